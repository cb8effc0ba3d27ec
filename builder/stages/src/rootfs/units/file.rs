//! Unit files: where one is found, and what its `[Install]` section says.

use std::collections::BTreeSet;

use formats::tree::{InodeKind, Tree};

use super::{SEARCH_PATH, UnitName};

/// Largest unit file or drop-in that is read, in bytes.
const MAX_UNIT_FILE: u64 = 1 << 20;

/// The `[Install]` section of a unit with its drop-ins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Install {
    pub wanted_by: Vec<String>,
    pub required_by: Vec<String>,
    pub upheld_by: Vec<String>,
    pub alias: Vec<String>,
    pub also: Vec<String>,
    pub default_instance: Option<String>,
}

/// A unit as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnitFile {
    /// Absolute path of its file on the node; an instance has its template's.
    pub path: String,
    /// What its `[Install]` section says.
    pub install: Install,
}

/// What is at the name of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup {
    /// A unit.
    Unit(UnitFile),
    /// Nothing.
    Missing,
    /// A link to `/dev/null`.
    Masked,
    /// A link to another unit.
    AliasOf(String),
    /// A file that cannot be read as one, and why.
    Unreadable(String),
}

/// Looks for a unit the way systemd does: the first folder that has the name, else the first that has its template.
pub(super) fn look_up(tree: &Tree, name: UnitName<'_>) -> Lookup {
    let template = name.template();
    let names = if name.is_instance() {
        vec![name.whole, &template]
    } else {
        vec![name.whole]
    };
    for candidate in names {
        for folder in SEARCH_PATH {
            let path = format!("{folder}/{candidate}");
            let Some(id) = tree.lookup(path.as_bytes()) else {
                continue;
            };
            match &tree.inodes[id.0].kind {
                InodeKind::File(content, blob) => {
                    let bytes = match content.read(blob, MAX_UNIT_FILE) {
                        Ok(bytes) => bytes,
                        Err(error) => return Lookup::Unreadable(format!("/{path}: {error}")),
                    };
                    let mut install = Install::default();
                    install.read(&String::from_utf8_lossy(&bytes));
                    if let Err(fault) = read_drop_ins(tree, name, &mut install) {
                        return Lookup::Unreadable(fault);
                    }
                    return Lookup::Unit(UnitFile {
                        path: format!("/{path}"),
                        install,
                    });
                }
                InodeKind::Symlink(target) => {
                    let target = String::from_utf8_lossy(target);
                    return if target == "/dev/null" {
                        Lookup::Masked
                    } else {
                        Lookup::AliasOf(target.rsplit('/').next().unwrap_or_default().to_owned())
                    };
                }
                _ => return Lookup::Unreadable(format!("/{path} is not a file")),
            }
        }
    }
    Lookup::Missing
}

/// Reads `<unit>.d/*.conf` of all folders; of two files with one name the first folder's counts.
fn read_drop_ins(tree: &Tree, name: UnitName<'_>, install: &mut Install) -> Result<(), String> {
    let template = name.template();
    let mut units = vec![name.whole];
    if name.is_instance() {
        units.push(&template);
    }
    let mut seen = BTreeSet::new();
    for unit in units {
        for folder in SEARCH_PATH {
            let folder = format!("{folder}/{unit}.d");
            let Some(names) = tree.lookup(folder.as_bytes()).and_then(|id| tree.names(id)) else {
                continue;
            };
            for (file, id) in names {
                if !file.ends_with(b".conf") || !seen.insert(file.clone()) {
                    continue;
                }
                if let InodeKind::File(content, blob) = &tree.inodes[id.0].kind {
                    let bytes = content
                        .read(blob, MAX_UNIT_FILE)
                        .map_err(|error| format!("/{folder}/{}: {error}", String::from_utf8_lossy(file)))?;
                    install.read(&String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
    Ok(())
}

impl Install {
    /// Whether enabling the unit would do anything.
    pub fn is_empty(&self) -> bool {
        [
            &self.wanted_by,
            &self.required_by,
            &self.upheld_by,
            &self.alias,
            &self.also,
        ]
        .iter()
        .all(|names| names.is_empty())
    }

    /// Adds what the `[Install]` sections of a unit file say (systemd.syntax(7)).
    pub fn read(&mut self, text: &str) {
        let mut in_install = false;
        for line in logical_lines(text) {
            if let Some(section) = line.strip_prefix('[') {
                in_install = section == "Install]";
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| in_install) else {
                continue;
            };
            let value = value.trim();
            let names = match key.trim_end() {
                "WantedBy" => &mut self.wanted_by,
                "RequiredBy" => &mut self.required_by,
                "UpheldBy" => &mut self.upheld_by,
                "Alias" => &mut self.alias,
                "Also" => &mut self.also,
                "DefaultInstance" => {
                    self.default_instance = (!value.is_empty()).then(|| value.to_owned());
                    continue;
                }
                _ => continue,
            };
            // An empty value takes back what was said before.
            if value.is_empty() {
                names.clear();
            }
            names.extend(
                value
                    .split_ascii_whitespace()
                    .map(|name| name.trim_matches('"').to_owned()),
            );
        }
    }
}

/// The lines of a unit file without comments; lines that end in a backslash joined with the next by a space.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with(['#', ';']) {
            continue;
        }
        let (part, continues) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        open.push_str(part);
        if continues {
            open.push(' ');
        } else {
            lines.push(std::mem::take(&mut open).trim().to_owned());
        }
    }
    lines.push(open.trim().to_owned());
    lines.retain(|line| !line.is_empty());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_comments_continuations_and_resets_are_understood() {
        let mut install = Install::default();
        install.read(
            "[Unit]\nWantedBy=never.target\n\n# [Install]\n[Install]\n\
             WantedBy = a.target \\\n; between\n  b.target\nRequiredBy=x.target\nRequiredBy=\nRequiredBy=y.target\n\
             DefaultInstance=tty1\nAlias=\"q.service\"\n[X-Other]\nAlso=z.service\n",
        );
        assert_eq!(install.wanted_by, ["a.target", "b.target"]);
        assert_eq!(install.required_by, ["y.target"]);
        assert_eq!(install.alias, ["q.service"]);
        assert_eq!(install.default_instance.as_deref(), Some("tty1"));
        assert!(install.also.is_empty() && !install.is_empty());
    }
}
