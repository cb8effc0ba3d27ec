//! `portadc keys`

use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Result, anyhow};
use fetch::{KeySearch, Network, Search};
use model::names::suggest;
use model::sources::{Signer, Sources};
use serde_json::json;

use crate::arguments::Common;
use crate::output::{print, print_json, warn};
use crate::workplace;

/// Gets the pinned keys of the named signers, or of all, and lists them. What one signer's lack, keeps no other's from being got.
pub fn run(
    common: &Common,
    names: &[String],
    which: Search,
    mirror: Option<&str>,
    network: &Network,
) -> Result<()> {
    let folder = workplace::project_folder(common)?;
    let sources = Sources::load(&folder)?;
    let search = KeySearch::new(&folder, mirror, network, SystemTime::now());
    let (mut keys, mut failures) = (Vec::new(), Vec::new());
    for signer in chosen(&sources, names)? {
        for key in search.keys(&signer, which) {
            match key {
                Ok(key) => keys.push(key),
                Err(error) => failures.push(format!("{error:#}")),
            }
        }
    }
    if common.json {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "signer": key.signer,
                    "fingerprint": key.fingerprint,
                    "keyring": key.keyring.display().to_string(),
                    "from": key.from,
                    "until": key.until.map(|until| until.to_string()),
                    "warning": key.warning,
                })
            })
            .collect();
        print_json(&json!({ "keys": keys, "failures": failures }))?;
    } else {
        if !common.quiet {
            let lines: String = keys.iter().map(|key| format!("{key}\n")).collect();
            print(&lines)?;
        }
        for warning in keys.iter().filter_map(|key| key.warning.as_deref()) {
            warn(warning);
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(anyhow!(failures.join("\n"))),
    }
}

/// The signers of these names; where none is named, all that have something to look for.
fn chosen(sources: &Sources, names: &[String]) -> Result<Vec<Arc<Signer>>> {
    if names.is_empty() {
        let pinned = sources
            .signers
            .values()
            .filter(|signer| !signer.fingerprints.is_empty());
        return Ok(pinned.cloned().collect());
    }
    let chosen = names.iter().map(|name| match sources.signers.get(name) {
        Some(signer) if signer.fingerprints.is_empty() => Err(anyhow!(
            "sources.toml pins no fingerprint of the signer `{name}`, so there is no key to look for: {}",
            signer.remedy()
        )),
        Some(signer) => Ok(signer.clone()),
        None => {
            let known = sources.signers.keys().map(String::as_str);
            Err(anyhow!(
                "sources.toml has no signer `{name}`: {}",
                suggest(name, known)
            ))
        }
    });
    chosen.collect()
}
