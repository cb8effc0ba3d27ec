//! Dependency atoms: which packages one takes (PMS 8.3).
//!
//! ```text
//! !!      >=        lib/foo-1.2  :0/1=   ::gentoo    [ssl(+),-gui]
//! blocker operator  version      slot    repository  USE dependencies
//! ```

use std::fmt;
use std::str::FromStr;

use crate::name::{Cpv, PackageName};
use crate::syntax::{SyntaxError, is_repository, is_slot};
use crate::use_dependency::UseDependency;
use crate::version::Version;

/// What a dependency asks of one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Atom {
    /// Set where what matches must not be installed.
    pub blocker: Option<Blocker>,
    /// The package.
    pub name: PackageName,
    /// Which versions; none for all.
    pub version: Option<(Operator, Version)>,
    /// Which slots.
    pub slot: SlotDependency,
    /// From which repository of ebuilds; none for any.
    pub repository: Option<String>,
    /// How the package has to be built.
    pub use_dependencies: Vec<UseDependency>,
}

/// How much a blocker forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocker {
    /// `!`: both may be there while one replaces the other.
    Weak,
    /// `!!`: not even then.
    Strong,
}

/// How a version relates to that of the atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `=` with `*` behind the version: what starts with it.
    Prefix,
    /// `~`: any revision of it. A revision that it has itself does not count.
    AnyRevision,
    /// `>=`
    GreaterOrEqual,
    /// `>`
    Greater,
}

/// Which slots an atom takes, and what happens to it when the package changes slot or sub-slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotDependency {
    /// The slot; none for any.
    pub slot: Option<String>,
    /// The sub-slot; none for any.
    pub subslot: Option<String>,
    /// `*` or `=` behind them.
    pub operator: Option<SlotOperator>,
}

/// What a change of slot or sub-slot means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotOperator {
    /// `*`: nothing.
    Any,
    /// `=`: whoever depends has to be built again. A package that is built names slot and sub-slot it was built with.
    Rebuild,
}

impl Atom {
    pub(crate) fn matches_version(&self, version: &Version) -> bool {
        let Some((operator, wanted)) = &self.version else {
            return true;
        };
        match operator {
            Operator::Less => version < wanted,
            Operator::LessOrEqual => version <= wanted,
            Operator::Equal => version == wanted,
            Operator::Prefix => version.starts_with(wanted),
            // By the text: emerge takes 1.00 for no revision of 1.0, although the two are equal.
            Operator::AnyRevision => version.without_revision() == wanted.without_revision(),
            Operator::GreaterOrEqual => version >= wanted,
            Operator::Greater => version > wanted,
        }
    }
}

impl SlotDependency {
    pub(crate) fn matches(&self, slot: &str, subslot: &str) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.slot, slot) && is(&self.subslot, subslot)
    }
}

impl FromStr for Atom {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let error = |fault| SyntaxError::new(text, "atom", fault);
        let (blocker, rest) = match text.strip_prefix('!') {
            None => (None, text),
            Some(rest) => match rest.strip_prefix('!') {
                None => (Some(Blocker::Weak), rest),
                Some(rest) => (Some(Blocker::Strong), rest),
            },
        };
        let (rest, use_dependencies) = match rest.split_once('[') {
            None => (rest, Vec::new()),
            Some((rest, list)) => {
                let list = list
                    .strip_suffix(']')
                    .ok_or_else(|| error("`[` has its `]` at the end"))?;
                (rest, UseDependency::parse_list(list)?)
            }
        };
        let (rest, repository) = match rest.split_once("::") {
            None => (rest, None),
            Some((rest, repository)) if is_repository(repository) => (rest, Some(repository.to_owned())),
            Some(_) => return Err(error("behind `::` stands the name of a repository")),
        };
        let (rest, slot) = match rest.split_once(':') {
            None => (rest, SlotDependency::default()),
            Some((rest, slot)) => {
                let slot = SlotDependency::parse(slot).ok_or_else(|| {
                    error("behind `:` stands SLOT, SLOT/SUBSLOT, with `=` or without, `=` or `*`")
                })?;
                (rest, slot)
            }
        };
        let operators = [
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
            ("=", Operator::Equal),
            ("~", Operator::AnyRevision),
        ];
        let operator = operators
            .iter()
            .find_map(|(written, operator)| Some((*operator, rest.strip_prefix(written)?)));
        let (name, version) = match operator {
            None => (rest.parse()?, None),
            Some((operator, rest)) => {
                let (operator, rest) = match (operator, rest.strip_suffix('*')) {
                    (Operator::Equal, Some(rest)) => (Operator::Prefix, rest),
                    _ => (operator, rest),
                };
                let cpv: Cpv = rest.parse()?;
                (cpv.name, Some((operator, cpv.version)))
            }
        };
        Ok(Self {
            blocker,
            name,
            version,
            slot,
            repository,
            use_dependencies,
        })
    }
}

impl SlotDependency {
    /// What stands behind the colon.
    fn parse(text: &str) -> Option<Self> {
        let (slots, operator) = match text.strip_suffix('=') {
            Some(slots) => (slots, Some(SlotOperator::Rebuild)),
            None if text == "*" => ("", Some(SlotOperator::Any)),
            None => (text, None),
        };
        if slots.is_empty() && operator.is_some() {
            return Some(Self {
                operator,
                ..Self::default()
            });
        }
        let (slot, subslot) = match slots.split_once('/') {
            Some((slot, subslot)) => (slot, Some(subslot)),
            None => (slots, None),
        };
        let legal = is_slot(slot) && subslot.is_none_or(is_slot);
        legal.then(|| Self {
            slot: Some(slot.to_owned()),
            subslot: subslot.map(str::to_owned),
            operator,
        })
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.blocker {
            None => "",
            Some(Blocker::Weak) => "!",
            Some(Blocker::Strong) => "!!",
        })?;
        match &self.version {
            None => write!(f, "{}", self.name)?,
            Some((Operator::Prefix, version)) => write!(f, "={}-{version}*", self.name)?,
            Some((operator, version)) => {
                let operator = match operator {
                    Operator::Less => "<",
                    Operator::LessOrEqual => "<=",
                    Operator::Equal | Operator::Prefix => "=",
                    Operator::AnyRevision => "~",
                    Operator::GreaterOrEqual => ">=",
                    Operator::Greater => ">",
                };
                write!(f, "{operator}{}-{version}", self.name)?;
            }
        }
        let SlotDependency {
            slot,
            subslot,
            operator,
        } = &self.slot;
        if slot.is_some() || operator.is_some() {
            write!(f, ":{}", slot.as_deref().unwrap_or_default())?;
        }
        if let Some(subslot) = subslot {
            write!(f, "/{subslot}")?;
        }
        f.write_str(match operator {
            None => "",
            Some(SlotOperator::Any) => "*",
            Some(SlotOperator::Rebuild) => "=",
        })?;
        if let Some(repository) = &self.repository {
            write!(f, "::{repository}")?;
        }
        if let Some((first, others)) = self.use_dependencies.split_first() {
            write!(f, "[{first}")?;
            for dependency in others {
                write!(f, ",{dependency}")?;
            }
            f.write_str("]")?;
        }
        Ok(())
    }
}
