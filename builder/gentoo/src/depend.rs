//! Dependency strings, as `RDEPEND` and its kin have them in EAPI 0 to 9 (PMS 8.2).
//!
//! ```text
//! >=lib/foo-1:=  gui? ( lib/x )  || ( lib/a ( lib/b lib/c ) )  !app/old
//! ```

use std::fmt;

use thiserror::Error;

use crate::atom::Atom;
use crate::syntax::{SyntaxError, is_flag};

/// Most groups within each other. None of Gentoo's packages comes near; it bounds what a reader has to remember.
pub const MAX_DEPTH: usize = 32;

/// One item of a dependency string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dependency {
    /// A package.
    Atom(Atom),
    /// `( ... )`: all of them.
    All(Vec<Dependency>),
    /// `|| ( ... )`: one of them.
    Any(Vec<Dependency>),
    /// `flag? ( ... )`, `!flag? ( ... )`: all of them if the package itself is built so.
    If {
        /// The flag of the package that depends.
        flag: String,
        /// How the flag has to be.
        enabled: bool,
        /// What is needed then.
        then: Vec<Dependency>,
    },
}

/// One item of a dependency string for a package that is built: no condition is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// A package, or that it is not there.
    Atom(Atom),
    /// All of them; never empty.
    All(Vec<Need>),
    /// One of them. None can be met where there are none, which EAPI 7 and later have.
    Any(Vec<Need>),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, needs) = match self {
            Self::Atom(atom) => return atom.fmt(f),
            Self::All(needs) => ("(", needs),
            Self::Any(needs) => ("|| (", needs),
        };
        f.write_str(start)?;
        for need in needs {
            write!(f, " {need}")?;
        }
        f.write_str(" )")
    }
}

/// Why a text is not a dependency string.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DependError {
    /// A word of it is wrong.
    #[error(transparent)]
    Word(#[from] SyntaxError),
    /// A group has no end.
    #[error("a `(` of the dependencies has no `)`")]
    Open,
    /// A group ends that has not begun.
    #[error("a `)` of the dependencies has no `(`")]
    Close,
    /// What has to stand before a group stands elsewhere.
    #[error("`{word}` of the dependencies is not followed by `(`")]
    NoGroup {
        /// `||` or a condition.
        word: String,
    },
    /// Too many groups within each other.
    #[error("groups of the dependencies lie more than {MAX_DEPTH} deep in each other")]
    Deep,
}

/// What kind of group an item starts.
enum Group {
    All,
    Any,
    If { flag: String, enabled: bool },
}

/// The items of a dependency string.
pub fn parse(text: &str) -> Result<Vec<Dependency>, DependError> {
    let mut open: Vec<(Group, Vec<Dependency>)> = Vec::new();
    let mut items = Vec::new();
    let mut words = text.split_ascii_whitespace();
    while let Some(word) = words.next() {
        let group = match word {
            ")" => {
                let (group, outer) = open.pop().ok_or(DependError::Close)?;
                let inner = std::mem::replace(&mut items, outer);
                items.push(match group {
                    Group::All => Dependency::All(inner),
                    Group::Any => Dependency::Any(inner),
                    Group::If { flag, enabled } => Dependency::If {
                        flag,
                        enabled,
                        then: inner,
                    },
                });
                continue;
            }
            "(" => Group::All,
            "||" => Group::Any,
            "^^" | "??" => {
                return Err(
                    SyntaxError::new(word, "dependency", "only `REQUIRED_USE` has such groups").into(),
                );
            }
            _ => match word.strip_suffix('?') {
                Some(condition) => {
                    let (flag, enabled) = match condition.strip_prefix('!') {
                        Some(flag) => (flag, false),
                        None => (condition, true),
                    };
                    if !is_flag(flag) {
                        return Err(SyntaxError::new(word, "condition", "it is a USE flag and `?`").into());
                    }
                    Group::If {
                        flag: flag.to_owned(),
                        enabled,
                    }
                }
                None => {
                    items.push(Dependency::Atom(word.parse()?));
                    continue;
                }
            },
        };
        if !matches!(group, Group::All) && words.next() != Some("(") {
            return Err(DependError::NoGroup {
                word: word.to_owned(),
            });
        }
        if open.len() == MAX_DEPTH {
            return Err(DependError::Deep);
        }
        open.push((group, std::mem::take(&mut items)));
    }
    if open.is_empty() {
        Ok(items)
    } else {
        Err(DependError::Open)
    }
}

/// How a package with a given EAPI and flags reads its dependencies.
pub struct Reader<'a> {
    /// Whether the package is built with a flag.
    pub enabled: &'a dyn Fn(&str) -> bool,
    /// Whether `|| ( )` is met, which it is up to EAPI 6.
    pub empty_any_is_met: bool,
}

impl Reader<'_> {
    /// What is needed of all these items.
    pub fn needs(&self, items: &[Dependency]) -> Vec<Need> {
        let mut needs = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Dependency::Atom(atom) => needs.push(Need::Atom(self.atom(atom))),
                Dependency::All(items) => {
                    let items = self.needs(items);
                    if !items.is_empty() {
                        needs.push(Need::All(items));
                    }
                }
                Dependency::Any(items) => {
                    let branches = self.branches(items);
                    if !(branches.is_empty() && self.empty_any_is_met) {
                        needs.push(Need::Any(branches));
                    }
                }
                Dependency::If { flag, enabled, then } => {
                    if (self.enabled)(flag) == *enabled {
                        needs.extend(self.needs(then));
                    }
                }
            }
        }
        needs
    }

    /// Each item that is left is a branch: all that a condition asks for together is one.
    fn branches(&self, items: &[Dependency]) -> Vec<Need> {
        items
            .iter()
            .filter_map(|item| {
                let mut needs = self.needs(std::slice::from_ref(item));
                match needs.len() {
                    0 | 1 => needs.pop(),
                    _ => Some(Need::All(needs)),
                }
            })
            .collect()
    }

    fn atom(&self, atom: &Atom) -> Atom {
        let use_dependencies = atom
            .use_dependencies
            .iter()
            .filter_map(|dependency| dependency.evaluate((self.enabled)(&dependency.flag)))
            .collect();
        Atom {
            use_dependencies,
            ..atom.clone()
        }
    }
}
