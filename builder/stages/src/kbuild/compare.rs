//! What was asked for against what came out, and why they differ.

use std::fmt;
use std::path::Path;

use model::kernel::fragment::{Request, Value};

use super::Subject;
use super::dotconfig::DotConfig;
use super::kconfig::expression::{Expression, Tristate};
use super::kconfig::{Definition, Kconfig, Kind, Symbol};

/// Symbols that an explanation lists before it says that there are more.
const LISTED: usize = 6;

/// Changes of a letter that still make a name a likely typing error of another.
const TYPING_ERRORS: usize = 2;

/// The outcome of a comparison.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Requests that were not granted.
    pub mismatches: Vec<Mismatch>,
    /// Requests to switch off a symbol that does not exist: granted, but possibly misspelt.
    pub absent: Vec<Request>,
}

/// A request that was not granted.
#[derive(Debug)]
pub(super) struct Mismatch {
    request: Request,
    got: Value,
    reasons: Vec<String>,
}

/// All requests that were not granted, as an error.
#[derive(Debug)]
pub(super) struct ConfigError {
    /// What was configured.
    pub subject: Subject,
    /// What was not granted; never empty.
    pub mismatches: Vec<Mismatch>,
}

/// Compares `requests` with `config`, the configuration of what errors call `name`. The Kconfig files of `tree` are read
/// only where something differs.
pub(super) fn compare(
    requests: &[&Request],
    config: &DotConfig,
    tree: &Path,
    name: &str,
) -> anyhow::Result<Comparison> {
    let off = |request: &&&Request| request.value == Value::No;
    let differs = |request: &&&Request| config.value(&request.symbol) != request.value;
    let mut comparison = Comparison::default();
    if !requests.iter().any(|request| differs(&request) || off(&request)) {
        return Ok(comparison);
    }
    let kconfig = Kconfig::read(tree)?;
    for request in requests.iter().filter(differs) {
        comparison.mismatches.push(Mismatch {
            request: (*request).clone(),
            got: config.value(&request.symbol),
            reasons: reasons(request, config, &kconfig, name),
        });
    }
    let defined = |symbol: &str| {
        kconfig
            .symbols
            .get(symbol)
            .is_some_and(|symbol| !symbol.definitions.is_empty())
    };
    for request in requests
        .iter()
        .filter(off)
        .filter(|request| !defined(&request.symbol))
    {
        comparison.absent.push((*request).clone());
    }
    Ok(comparison)
}

/// Why `request` was not granted.
fn reasons(request: &Request, config: &DotConfig, kconfig: &Kconfig, name: &str) -> Vec<String> {
    let Some(symbol) = kconfig
        .symbols
        .get(&request.symbol)
        .filter(|symbol| !symbol.definitions.is_empty())
    else {
        return vec![match nearest(&request.symbol, kconfig) {
            Some(nearest) => format!("{name} has no symbol of this name; is CONFIG_{nearest} meant?"),
            None => format!("{name} has no symbol of this name"),
        }];
    };
    let kind = kconfig.kind(&request.symbol);
    match (&request.value, kind) {
        (Value::Module, Some(Kind::Bool)) => return vec!["it is a bool: on or off, never a module".into()],
        (Value::Yes | Value::Module, Some(Kind::Other)) => {
            return vec!["it is a number or a text, not a switch".into()];
        }
        (Value::Number(_) | Value::Text(_), Some(Kind::Bool | Kind::Tristate)) => {
            return vec!["it is a switch, neither a number nor a text".into()];
        }
        _ => {}
    }
    let wanted = Tristate::parse(&request.value.to_string());
    let got = Tristate::parse(&config.value(&request.symbol).to_string());
    if wanted < got {
        return why_on(symbol, config);
    }
    // A bool is on as soon as its dependencies are not off; a tristate is built in only if they are.
    let needed = match (&request.value, kind) {
        (Value::Yes, Some(Kind::Tristate)) => Tristate::Yes,
        _ => Tristate::Module,
    };
    why_off(request, symbol, needed, config, kconfig)
}

/// Why a symbol is on that shall be off, or built in that shall be a module.
fn why_on(symbol: &Symbol, config: &DotConfig) -> Vec<String> {
    let value_of = |name: &str| text_of(&config.value(name));
    let selectors = symbol.selectors.iter().filter(|selector| {
        let condition = selector
            .condition
            .as_ref()
            .map_or(Tristate::Yes, |condition| condition.value(&value_of));
        Tristate::parse(&value_of(&selector.by)).min(condition) > Tristate::No
    });
    let selectors: Vec<_> = selectors.map(|selector| selector.by.as_str()).collect();
    if !selectors.is_empty() {
        return vec![format!("selected by {}", list(&selectors))];
    }
    let prompts = symbol.prompts();
    if prompts.is_empty() {
        return vec!["it has no prompt: its default alone decides".into()];
    }
    let mut reasons: Vec<_> = prompts
        .iter()
        .flat_map(|definition| unmet(definition, Tristate::Module, &value_of))
        .collect();
    if reasons.is_empty() {
        reasons.push("another member of its choice, or a range, decides".into());
    } else {
        reasons.insert(0, "its default decides, as its prompt is hidden:".into());
    }
    reasons
}

/// Why a symbol did not reach what it shall be.
fn why_off(
    request: &Request,
    symbol: &Symbol,
    needed: Tristate,
    config: &DotConfig,
    kconfig: &Kconfig,
) -> Vec<String> {
    let value_of = |name: &str| text_of(&config.value(name));
    let prompts = symbol.prompts();
    if prompts.is_empty() {
        let selectors: Vec<_> = symbol
            .selectors
            .iter()
            .map(|selector| selector.by.as_str())
            .collect();
        return vec![match selectors.is_empty() {
            true => "it has no prompt and nothing selects it: its default alone decides".into(),
            false => format!("it has no prompt: it is on when selected by {}", list(&selectors)),
        }];
    }
    let mut reasons = Vec::new();
    for definition in &prompts {
        let conditions = conditions(definition);
        if !conditions.is_empty() {
            let conditions: Vec<_> = conditions.iter().map(|condition| grouped(condition)).collect();
            reasons.push(format!(
                "depends on {} ({})",
                conditions.join(" && "),
                definition.place
            ));
        }
        reasons.extend(unmet(definition, needed, &value_of));
    }
    let met = prompts
        .iter()
        .any(|definition| unmet(definition, needed, &value_of).is_empty());
    if met {
        let siblings = kconfig.siblings(&request.symbol);
        let chosen = siblings
            .iter()
            .find(|sibling| config.value(sibling) == Value::Yes);
        let macros: Vec<_> = prompts
            .iter()
            .flat_map(|definition| conditions(definition))
            .flat_map(Expression::macros)
            .collect();
        if let Some(chosen) = chosen {
            reasons.push(format!("unmet: CONFIG_{chosen} is chosen instead of it"));
        } else if !macros.is_empty() {
            reasons.push(format!(
                "unmet: the compiler or a program answered no to {}",
                list(&macros)
            ));
        } else {
            reasons.push("the value is out of its range or of another type".into());
        }
    }
    reasons
}

/// All that must hold for `definition` to be settable.
fn conditions(definition: &Definition) -> Vec<&Expression> {
    definition
        .depends
        .iter()
        .chain(definition.prompt.iter().flatten())
        .collect()
}

/// The conditions of `definition` below `needed`, each with the values of its symbols.
fn unmet(definition: &Definition, needed: Tristate, value_of: &dyn Fn(&str) -> String) -> Vec<String> {
    let unmet = conditions(definition)
        .into_iter()
        .flat_map(|condition| condition.unmet(needed, value_of));
    let describe = |condition: &Expression| {
        let values: Vec<_> = condition
            .symbols()
            .iter()
            .map(|name| format!("{name}={}", value_of(name)))
            .collect();
        match condition {
            Expression::Symbol(_) => format!("unmet: {}", values.concat()),
            _ => format!("unmet: {condition} ({})", values.join(", ")),
        }
    };
    unmet.map(describe).collect()
}

/// `condition` as an operand of `&&`.
fn grouped(condition: &Expression) -> String {
    match condition {
        Expression::Or(..) => format!("({condition})"),
        _ => condition.to_string(),
    }
}

/// A value as expressions compare it: without quotes.
fn text_of(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The first names, and how many more there are.
fn list(names: &[&str]) -> String {
    let mut text = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" or {} others", names.len() - LISTED));
    }
    text
}

/// The existing symbol that `name` is most likely a misspelling of.
fn nearest<'a>(name: &str, kconfig: &'a Kconfig) -> Option<&'a str> {
    let defined = kconfig
        .symbols
        .iter()
        .filter(|(_, symbol)| !symbol.definitions.is_empty());
    let near = defined.filter(|(other, _)| other.len().abs_diff(name.len()) <= TYPING_ERRORS);
    let with_distance = near.map(|(other, _)| (strsim::damerau_levenshtein(name, other), other.as_str()));
    with_distance
        .filter(|(distance, _)| *distance <= TYPING_ERRORS)
        .min()
        .map(|(_, other)| other)
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request {
            symbol, value, place, ..
        } = &self.request;
        write!(
            f,
            "\n  {place}: CONFIG_{symbol}: wanted {value}, got {}",
            self.got
        )?;
        self.reasons
            .iter()
            .try_for_each(|reason| write!(f, "\n      {reason}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject {
            name,
            asked_in,
            advice,
        } = &self.subject;
        let lines = match self.mismatches.len() {
            1 => format!("1 line of {asked_in} does"),
            many => format!("{many} lines of {asked_in} do"),
        };
        write!(
            f,
            "{lines} not survive the configuration of {name}; nothing was compiled:"
        )?;
        self.mismatches.iter().try_for_each(|mismatch| mismatch.fmt(f))?;
        write!(f, "\n{advice}")
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
