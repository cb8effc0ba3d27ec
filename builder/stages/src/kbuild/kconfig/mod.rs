//! A reader of Kconfig files, exact enough to say why a symbol did not become what was asked: which symbols exist,
//! what they depend on, what selects them. Deciding values is left to the source's own programs.
//!
//! | module | owns |
//! |---|---|
//! | [`expression`] | dependencies and their values |
//! | `reader` | the files: menus, ifs, choices, sources |

pub mod expression;
mod reader;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use expression::Expression;

/// All symbols of a source; of a kernel, those of one architecture.
#[derive(Debug, Default)]
pub struct Kconfig {
    /// Symbols by name, without `CONFIG_`.
    pub symbols: BTreeMap<String, Symbol>,
}

/// A symbol: defined at one place or more, and selected by others.
#[derive(Debug, Default)]
pub struct Symbol {
    /// Where it is defined.
    pub definitions: Vec<Definition>,
    /// What switches it on whether its own dependencies are met or not.
    pub selectors: Vec<Selector>,
}

impl Symbol {
    /// The entries by which a user may set it.
    pub fn prompts(&self) -> Vec<&Definition> {
        let definitions = self.definitions.iter();
        definitions
            .filter(|definition| definition.prompt.is_some())
            .collect()
    }
}

/// One `config` entry.
#[derive(Debug, Default)]
pub struct Definition {
    /// File below the source's root and line: `drivers/usb/misc/Kconfig:331`.
    pub place: String,
    /// The type, where this entry names one.
    pub kind: Option<Kind>,
    /// `depends on` of the entry and of the menus, ifs and choices around it. All must hold.
    pub depends: Vec<Expression>,
    /// Present if a user may set it here; the conditions under which he may. All must hold.
    pub prompt: Option<Vec<Expression>>,
    /// The choice it is a member of, by number.
    pub choice: Option<usize>,
}

/// The type of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Bool,
    /// On, module or off.
    Tristate,
    /// Text, decimal or hexadecimal number.
    Other,
}

/// A `select` of a symbol.
#[derive(Debug)]
pub struct Selector {
    /// The symbol that selects.
    pub by: String,
    /// `if` behind the select.
    pub condition: Option<Expression>,
}

impl Kconfig {
    /// Reads the `Kconfig` at the root of `tree` and everything it sources; of a kernel as for `ARCH=arm64`.
    pub fn read(tree: &Path) -> Result<Self> {
        reader::read(tree)
    }

    /// The type of `symbol`: the first that any of its entries names.
    pub fn kind(&self, symbol: &str) -> Option<Kind> {
        self.symbols
            .get(symbol)?
            .definitions
            .iter()
            .find_map(|definition| definition.kind)
    }

    /// The other members of the choices that `symbol` is in.
    pub fn siblings(&self, symbol: &str) -> Vec<&str> {
        let choices = |symbol: &Symbol| {
            symbol
                .definitions
                .iter()
                .filter_map(|definition| definition.choice)
                .collect::<Vec<_>>()
        };
        let own = self.symbols.get(symbol).map(choices).unwrap_or_default();
        self.symbols
            .iter()
            .filter(|(name, other)| {
                *name != symbol && choices(other).iter().any(|choice| own.contains(choice))
            })
            .map(|(name, _)| name.as_str())
            .collect()
    }
}
