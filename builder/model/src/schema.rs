//! A JSON Schema for each kind of TOML file, from the types that read it, so that editors complete and explain keys.

use serde_json::Value;

use crate::board::BoardToml;
use crate::document::schema_of;
use crate::fleet::FleetToml;
use crate::kernel::KernelToml;
use crate::layout::LayoutToml;
use crate::overlay::OverlayToml;
use crate::sources::SourcesToml;

/// The schema of each kind of file, by the kind's name.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("fleet", schema_of::<FleetToml>()),
        ("board", schema_of::<BoardToml>()),
        ("layout", schema_of::<LayoutToml>()),
        ("overlay", schema_of::<OverlayToml>()),
        ("kernel", schema_of::<KernelToml>()),
        ("sources", schema_of::<SourcesToml>()),
    ]
}
