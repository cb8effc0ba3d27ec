//! `portadc update`

use anyhow::Result;
use fetch::{BaseNeeds, Downgrade, Extent, UpdateOptions, update};
use model::sources::{BaseSource, Sources};
use serde_json::json;

use super::network;
use crate::arguments::{Common, SourceOptions};
use crate::output::{print, print_json, warn};
use crate::workplace;

/// Resolves a source set into the lock and lists what changed.
pub fn run(common: &Common, options: &SourceOptions, if_gone: bool, allow_downgrade: bool) -> Result<()> {
    let folder = workplace::project_folder(common)?;
    let sources = Sources::load(&folder)?;
    let set = workplace::source_set(&sources, options)?;
    // Which packages go over a stage3 the overlays say; a base of another kind is locked whatever they ask.
    let needs = match &set.base {
        BaseSource::Stage3(_) => BaseNeeds::of(&workplace::load_project(&folder)?, set),
        BaseSource::Archive { .. } => BaseNeeds::default(),
    };
    let engine = workplace::engine(common, &folder)?;
    let how = UpdateOptions {
        extent: if if_gone { Extent::IfGone } else { Extent::All },
        downgrade: if allow_downgrade {
            Downgrade::Allow
        } else {
            Downgrade::Refuse
        },
    };
    let update = update(
        &engine,
        &folder,
        set,
        &needs,
        options.mirror.as_deref(),
        &network(options),
        how,
    )?;
    if common.json {
        let parts: Vec<_> = update
            .parts
            .iter()
            .map(|part| {
                json!({ "part": part.part, "old": part.old, "new": part.new, "unserved": part.unserved })
            })
            .collect();
        let packages: Vec<_> = update
            .packages
            .iter()
            .map(|change| json!({ "name": change.name, "old": change.old, "new": change.new }))
            .collect();
        return print_json(&json!({
            "set": update.set,
            "parts": parts,
            "packages": packages,
            "warnings": update.warnings,
        }));
    }
    if !common.quiet {
        print(&format!("{update}\n"))?;
    }
    if common.verbose {
        let lines: String = update
            .packages
            .iter()
            .map(|change| format!("    {change}\n"))
            .collect();
        print(&lines)?;
    }
    for warning in &update.warnings {
        warn(warning);
    }
    Ok(())
}
