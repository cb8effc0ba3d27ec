//! USE dependencies: with which USE flags a package has to be built (PMS 8.3.4).

use std::fmt;

use crate::syntax::{SyntaxError, is_flag};

/// What an atom asks of one USE flag of the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseDependency {
    /// The flag.
    pub flag: String,
    /// What counts where the package does not know the flag; without it such a package is not taken.
    pub default: Option<UseState>,
    /// How the flag has to be.
    pub demand: UseDemand,
}

/// Whether a flag is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseState {
    /// It is.
    Enabled,
    /// It is not.
    Disabled,
}

/// How a flag of the package has to be, and on what in the package that depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseDemand {
    /// `flag` or `-flag`
    Is(UseState),
    /// `flag?`: enabled if it is there; `!flag?`: disabled if it is disabled there.
    If(UseState),
    /// `flag=`: as there.
    Same,
    /// `!flag=`: not as there.
    Opposite,
}

impl UseState {
    /// The state of a flag that is `enabled`.
    pub fn of(enabled: bool) -> Self {
        if enabled { Self::Enabled } else { Self::Disabled }
    }

    fn opposite(self) -> Self {
        match self {
            Self::Enabled => Self::Disabled,
            Self::Disabled => Self::Enabled,
        }
    }
}

impl UseDependency {
    /// The list between brackets.
    pub(crate) fn parse_list(list: &str) -> Result<Vec<Self>, SyntaxError> {
        list.split(',').map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, SyntaxError> {
        let error = |fault| SyntaxError::new(text, "USE dependency", fault);
        let (not, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (minus, rest) = match rest.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (condition, rest) = match rest.strip_suffix(['?', '=']) {
            Some(flag) => (rest.chars().next_back(), flag),
            None => (None, rest),
        };
        let (flag, default) = if let Some(flag) = rest.strip_suffix("(+)") {
            (flag, Some(UseState::Enabled))
        } else if let Some(flag) = rest.strip_suffix("(-)") {
            (flag, Some(UseState::Disabled))
        } else {
            (rest, None)
        };
        let demand = match (not, minus, condition) {
            (false, minus, None) => UseDemand::Is(UseState::of(!minus)),
            (not, false, Some('?')) => UseDemand::If(UseState::of(!not)),
            (false, false, Some(_)) => UseDemand::Same,
            (true, false, Some(_)) => UseDemand::Opposite,
            _ => {
                return Err(error(
                    "`!` goes with `?` or `=` behind the flag, `-` with neither",
                ));
            }
        };
        if !is_flag(flag) {
            return Err(error(
                "a flag has letters and digits, then also `+`, `_`, `@` and `-`",
            ));
        }
        Ok(Self {
            flag: flag.to_owned(),
            default,
            demand,
        })
    }

    /// What it comes to in a package that has the flag `enabled` or not; nothing where the condition does not hold.
    pub fn evaluate(&self, enabled: bool) -> Option<Self> {
        let there = UseState::of(enabled);
        let state = match self.demand {
            UseDemand::Is(state) => state,
            UseDemand::If(state) if state == there => state,
            UseDemand::If(_) => return None,
            UseDemand::Same => there,
            UseDemand::Opposite => there.opposite(),
        };
        Some(Self {
            demand: UseDemand::Is(state),
            ..self.clone()
        })
    }

    /// Whether it says how the flag has to be without a look at the package that it stands in.
    pub fn is_unconditional(&self) -> bool {
        matches!(self.demand, UseDemand::Is(_))
    }
}

impl fmt::Display for UseDependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, suffix) = match self.demand {
            UseDemand::Is(UseState::Enabled) => ("", ""),
            UseDemand::Is(UseState::Disabled) => ("-", ""),
            UseDemand::If(UseState::Enabled) => ("", "?"),
            UseDemand::If(UseState::Disabled) => ("!", "?"),
            UseDemand::Same => ("", "="),
            UseDemand::Opposite => ("!", "="),
        };
        let default = match self.default {
            None => "",
            Some(UseState::Enabled) => "(+)",
            Some(UseState::Disabled) => "(-)",
        };
        write!(f, "{prefix}{}{default}{suffix}", self.flag)
    }
}
