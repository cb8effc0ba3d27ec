//! A JSON Schema for each kind of TOML file, from the types that read it, so that editors complete and explain keys.

use schemars::JsonSchema;
use serde_json::Value;

use crate::board::BoardToml;
use crate::fleet::FleetToml;
use crate::layout::LayoutToml;

/// The schema of each kind of file, by the kind's name.
pub fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("fleet", schema::<FleetToml>()),
        ("board", schema::<BoardToml>()),
        ("layout", schema::<LayoutToml>()),
    ]
}

fn schema<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}
