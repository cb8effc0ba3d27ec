//! Units of systemd in a tree: the symbolic links that `systemctl enable`, `disable` and `mask` make or take away,
//! computed without running anything (systemd.unit(5), "[INSTALL] SECTION OPTIONS").

mod file;
mod links;

pub use links::{UnitError, UnitLinks};

use std::collections::BTreeSet;

use formats::tree::Tree;
use model::names::{nearest, slip};

/// Folders of system units in the order in which systemd looks into them, without those of a running system.
const SEARCH_PATH: [&str; 4] = [
    "etc/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// Where the links of an administrator are: the first of [`SEARCH_PATH`].
const CONFIGURATION: &str = SEARCH_PATH[0];

/// A unit's name taken apart: `serial-getty@ttyS0.service` is prefix `serial-getty`, instance `ttyS0`, suffix
/// `service`; a template has an empty instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct UnitName<'a> {
    whole: &'a str,
    prefix: &'a str,
    instance: Option<&'a str>,
    suffix: &'a str,
}

impl<'a> UnitName<'a> {
    fn parse(whole: &'a str) -> Option<Self> {
        let (stem, suffix) = whole.rsplit_once('.')?;
        if stem.is_empty() || suffix.is_empty() || whole.contains('/') {
            return None;
        }
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance)),
            None => (stem, None),
        };
        (!prefix.is_empty()).then_some(Self {
            whole,
            prefix,
            instance,
            suffix,
        })
    }

    fn is_template(self) -> bool {
        self.instance == Some("")
    }

    fn is_instance(self) -> bool {
        self.instance.is_some_and(|instance| !instance.is_empty())
    }

    /// The template that this is an instance of.
    fn template(self) -> String {
        format!("{}@.{}", self.prefix, self.suffix)
    }

    fn with_instance(self, instance: &str) -> String {
        format!("{}@{instance}.{}", self.prefix, self.suffix)
    }

    /// Whether `alias` can be another name of this unit: of the same kind, and an instance of the same name; a template
    /// can also be called as one of its instances.
    fn can_be_called(self, alias: UnitName<'_>) -> bool {
        self.suffix == alias.suffix
            && (match (self.instance, alias.instance) {
                (None, None) => true,
                (Some(own), Some(other)) => own == other || (self.is_template() && !alias.is_template()),
                _ => false,
            })
    }

    /// `text` with the specifiers of `[Install]` replaced; `Err` with one that has no meaning here.
    fn expand(self, text: &str) -> Result<String, char> {
        let mut expanded = String::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                expanded.push(character);
                continue;
            }
            match characters.next() {
                Some('%') => expanded.push('%'),
                Some('n') => expanded.push_str(self.whole),
                Some('N') => {
                    let end = self.whole.len() - self.suffix.len() - 1;
                    expanded.push_str(&self.whole[..end]);
                }
                Some('p') => expanded.push_str(self.prefix),
                Some('i') => expanded.push_str(self.instance.unwrap_or_default()),
                Some('j') => expanded.push_str(self.prefix.rsplit('-').next().unwrap_or_default()),
                other => return Err(other.unwrap_or('%')),
            }
        }
        Ok(expanded)
    }
}

/// The names of the units of a tree.
pub(super) struct KnownUnits(BTreeSet<String>);

/// The units of `tree`.
pub(super) fn known_units(tree: &Tree) -> KnownUnits {
    let folders = SEARCH_PATH.iter().filter_map(|folder| {
        let names = tree.names(tree.directory(folder.as_bytes())?)?;
        Some(
            names
                .keys()
                .map(|name| String::from_utf8_lossy(name).into_owned()),
        )
    });
    KnownUnits(folders.flatten().collect())
}

impl KnownUnits {
    /// The unit of the same kind that `name` is probably a slip of.
    pub fn nearest_to(&self, name: &str) -> Option<String> {
        self.alike(name, nearest)
    }

    /// The same where `name` may be right: the base could be another one.
    pub fn slip_of(&self, name: &str) -> Option<String> {
        self.alike(name, slip)
    }

    fn alike<'k>(
        &'k self,
        name: &str,
        choose: impl FnOnce(&str, Vec<&'k str>) -> Option<&'k str>,
    ) -> Option<String> {
        let (stem, suffix) = name.rsplit_once('.')?;
        let stems = self
            .0
            .iter()
            .filter_map(|name| name.strip_suffix(suffix)?.strip_suffix('.'));
        Some(format!("{}.{suffix}", choose(stem, stems.collect())?))
    }
}
