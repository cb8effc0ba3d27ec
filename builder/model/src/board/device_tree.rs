//! The rules of a board's device tree.

use std::collections::BTreeMap;
use std::path::{Component, Path};
use std::sync::Arc;

use formats::digest::parse_hex;

use super::toml::{DeviceTreeToml, ExpectationToml, PropertyStateToml};
use super::{DeviceTree, Expectation, PropertyState};
use crate::check::Check;
use crate::files::Files;
use crate::finding::{Findings, SourceFile};
use crate::names::quoted;
use crate::written::At;

/// Longest name of a property, in bytes. Devicetree specification 0.4, section 2.2.4.1.
const LONGEST_PROPERTY: usize = 31;

/// Holds `[device-tree]` against every rule but those of its source, which [`load_source`] reads.
pub(super) fn device_tree(check: &mut Check<'_>, written: &DeviceTreeToml) -> DeviceTree {
    check_path(
        check,
        &written.source,
        ".dts",
        "a source in the board's folder: \"node.dts\"",
    );
    check_path(
        check,
        &written.install,
        ".dtb",
        "a path below `dtbs/`: \"amlogic/meson-gxbb-odroidc2.dtb\"",
    );
    DeviceTree {
        source: Arc::new(SourceFile {
            path: check.file.path.with_file_name(&written.source.value),
            text: String::new(),
        }),
        install: written.install.value.clone(),
        expect: expectations(check, &written.expect),
        scpi_firmware: written
            .scpi_firmware
            .iter()
            .filter_map(|digest| sha256(check, digest))
            .collect(),
    }
}

/// The source that `written`, which is in `file`, names: a file in the board's folder.
pub(crate) fn load_source(
    files: &Files,
    file: &Arc<SourceFile>,
    written: &DeviceTreeToml,
    tree: &mut DeviceTree,
    findings: &mut Findings,
) {
    let loaded = files
        .load(&tree.source.path)
        .map_err(|finding| match finding.place {
            Some(_) => finding,
            None => finding
                .at(file.place(written.source.span.clone()))
                .hint("`source` is a file in the board's folder"),
        });
    if let Some(source) = findings.keep(loaded) {
        tree.source = source;
    }
}

fn sha256(check: &mut Check<'_>, written: &At<String>) -> Option<[u8; 32]> {
    let digest = parse_hex(written);
    if digest.is_none() {
        check
            .found(&written.span, format!("{} is no SHA-256", quoted(written)))
            .hint("64 hexadecimal digits in lower case, as `sha256sum` prints them");
    }
    digest
}

/// A path of a file that stays inside its folder.
pub(super) fn check_path(check: &mut Check<'_>, path: &At<String>, ending: &str, what: &str) {
    let inside = Path::new(path.as_str())
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let plain = path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.,/".contains(c));
    if !path.ends_with(ending) || path.len() == ending.len() || !inside || !plain {
        check
            .found(
                &path.span,
                format!(
                    "{} is no path of a `{ending}` file inside its folder",
                    quoted(path)
                ),
            )
            .hint(what);
    }
}

/// What is expected of the compiled tree: each property once, with either a value or a state.
fn expectations(check: &mut Check<'_>, written: &[ExpectationToml]) -> Vec<Expectation> {
    let mut seen = BTreeMap::new();
    let mut expectations = Vec::new();
    for expected in written {
        let ExpectationToml {
            node,
            property,
            value,
            state,
        } = expected;
        if !is_node_path(node) {
            check
                .found(&node.span, format!("{} is no path of a node", quoted(node)))
                .hint("names from the root on, with their addresses: \"/soc/apb@d0000000/mmc@72000\"");
        }
        if !is_property(property) {
            check
                .found(
                    &property.span,
                    format!("{} is no name of a property", quoted(property)),
                )
                .hint("letters, digits and `,._+?#-`, 31 at most: \"status\"");
        }
        if let Some(first) = seen.insert((node.as_str(), property.as_str()), &property.span) {
            check
                .found(
                    &property.span,
                    format!("property {} of {} is given twice", quoted(property), quoted(node)),
                )
                .related(first, "first here")
                .hint("remove one of the two");
        }
        let state = match (value, state) {
            (Some(value), None) => PropertyState::Text(value.value.clone()),
            (None, Some(state)) => match state.value {
                PropertyStateToml::Present => PropertyState::Present,
                PropertyStateToml::Absent => PropertyState::Absent,
            },
            (value, _) => {
                let both = value.is_some();
                check
                    .found(
                        &property.span,
                        format!(
                            "property {} is given {}",
                            quoted(property),
                            if both {
                                "both a value and a state"
                            } else {
                                "neither a value nor a state"
                            }
                        ),
                    )
                    .hint("one of the two: value = \"okay\", state = \"present\" or state = \"absent\"");
                continue;
            }
        };
        expectations.push(Expectation {
            node: node.value.clone(),
            property: property.value.clone(),
            state,
        });
    }
    expectations
}

/// `/`, or names of nodes with a `/` before each. Devicetree specification 0.4, sections 2.2.1 and 2.2.3.
fn is_node_path(path: &str) -> bool {
    let name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ",._+-@".contains(c))
    };
    path == "/"
        || path
            .strip_prefix('/')
            .is_some_and(|names| names.split('/').all(name))
}

/// A name of a property. Devicetree specification 0.4, section 2.2.4.1.
fn is_property(name: &str) -> bool {
    (1..=LONGEST_PROPERTY).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ",._+?#-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::{is_node_path, is_property};

    #[test]
    fn knows_nodes_and_properties() {
        for good in [
            "/",
            "/scpi/clocks",
            "/soc/apb@d0000000/mmc@72000",
            "/cpus/cpu@0,1",
        ] {
            assert!(is_node_path(good), "{good}");
        }
        for bad in ["", "scpi", "/scpi/", "//scpi", "/a b", "&scpi_clocks", "/a\n"] {
            assert!(!is_node_path(bad), "{bad}");
        }
        for good in ["status", "#address-cells", "sd-uhs-sdr12", "linux,cma-default"] {
            assert!(is_property(good), "{good}");
        }
        for bad in ["", "a b", "a/b", "a-name-of-more-than-31-characters"] {
            assert!(!is_property(bad), "{bad}");
        }
    }
}
