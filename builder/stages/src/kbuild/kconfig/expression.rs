//! Dependency expressions of Kconfig, and what of them keeps a symbol off.

use std::collections::BTreeSet;
use std::fmt;

/// An expression as Kconfig writes it (`Documentation/kbuild/kconfig-language.rst`, "Menu dependencies").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// A symbol, or one of the constants `y`, `m`, `n`.
    Symbol(String),
    /// A quoted text.
    Literal(String),
    /// `$(...)`: a question to the compiler or a shell, whose answer is not known here.
    Macro(String),
    /// `!a`
    Not(Box<Expression>),
    /// `a && b`
    And(Box<Expression>, Box<Expression>),
    /// `a || b`
    Or(Box<Expression>, Box<Expression>),
    /// `a = b`, `a <= b` and so on, verbatim.
    Compare(Box<Expression>, &'static str, Box<Expression>),
}

/// Off, module or built in. Kconfig's `&&` is the smaller and `||` the larger of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tristate {
    /// Off.
    No,
    /// A module.
    Module,
    /// Built in.
    Yes,
}

/// Operators of comparisons; the longer ones first, so that `<=` is not taken for `<`.
const COMPARISONS: [&str; 6] = ["!=", "<=", ">=", "=", "<", ">"];

impl Expression {
    /// The expression that `text` is; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { rest: text };
        let expression = parser.alternatives()?;
        parser.rest.trim_start().is_empty().then_some(expression)
    }

    /// Its value, where `value_of` knows the symbols' texts (`y`, `m`, `n`, a number, a text). Macros count as met.
    pub fn value(&self, value_of: &dyn Fn(&str) -> String) -> Tristate {
        match self {
            Self::Symbol(_) | Self::Literal(_) => Tristate::parse(&self.text(value_of)),
            Self::Macro(_) => Tristate::Yes,
            Self::Not(inner) => match inner.value(value_of) {
                Tristate::No => Tristate::Yes,
                Tristate::Module => Tristate::Module,
                Tristate::Yes => Tristate::No,
            },
            Self::And(left, right) => left.value(value_of).min(right.value(value_of)),
            Self::Or(left, right) => left.value(value_of).max(right.value(value_of)),
            Self::Compare(left, operator, right) => {
                if matches!(**left, Self::Macro(_)) || matches!(**right, Self::Macro(_)) {
                    return Tristate::Yes;
                }
                let (left, right) = (left.text(value_of), right.text(value_of));
                // Numbers compare as numbers, all else as text.
                let order = match (number(&left), number(&right)) {
                    (Some(left), Some(right)) => left.cmp(&right),
                    _ => left.cmp(&right),
                };
                let holds = match *operator {
                    "=" => order.is_eq(),
                    "!=" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                };
                if holds { Tristate::Yes } else { Tristate::No }
            }
        }
    }

    /// The conjuncts that are below `needed`: what has to change for the whole to reach it.
    pub fn unmet(&self, needed: Tristate, value_of: &dyn Fn(&str) -> String) -> Vec<&Self> {
        match self {
            Self::And(left, right) => {
                let mut unmet = left.unmet(needed, value_of);
                unmet.extend(right.unmet(needed, value_of));
                unmet
            }
            _ if self.value(value_of) < needed => vec![self],
            _ => Vec::new(),
        }
    }

    /// The symbols in it, without the constants.
    pub fn symbols(&self) -> BTreeSet<&str> {
        let mut symbols = BTreeSet::new();
        self.visit(&mut |expression| {
            if let Self::Symbol(symbol) = expression
                && !matches!(symbol.as_str(), "y" | "m" | "n")
            {
                symbols.insert(symbol.as_str());
            }
        });
        symbols
    }

    /// The macros in it.
    pub fn macros(&self) -> Vec<&str> {
        let mut macros = Vec::new();
        self.visit(&mut |expression| {
            if let Self::Macro(text) = expression {
                macros.push(text.as_str());
            }
        });
        macros
    }

    /// Calls `look` for this expression and everything in it.
    fn visit<'a>(&'a self, look: &mut dyn FnMut(&'a Self)) {
        look(self);
        match self {
            Self::Not(inner) => inner.visit(look),
            Self::And(left, right) | Self::Or(left, right) | Self::Compare(left, _, right) => {
                left.visit(look);
                right.visit(look);
            }
            Self::Symbol(_) | Self::Literal(_) | Self::Macro(_) => {}
        }
    }

    /// The text of a symbol or literal.
    fn text(&self, value_of: &dyn Fn(&str) -> String) -> String {
        match self {
            Self::Symbol(symbol) if is_constant(symbol) => symbol.clone(),
            Self::Symbol(symbol) => value_of(symbol),
            Self::Literal(text) => text.clone(),
            _ => String::new(),
        }
    }
}

/// Whether a bare word stands for itself: the constants, and numbers.
fn is_constant(word: &str) -> bool {
    matches!(word, "y" | "m" | "n") || number(word).is_some()
}

/// A decimal or hexadecimal number.
fn number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl Tristate {
    /// `y` and `m`; everything else is off.
    pub fn parse(text: &str) -> Self {
        match text {
            "y" => Self::Yes,
            "m" => Self::Module,
            _ => Self::No,
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `&&` binds tighter than `||`, `!` tighter than both: only these two places need parentheses.
        let grouped = |inner: &Self, f: &mut fmt::Formatter<'_>| match inner {
            Self::Or(..) => write!(f, "({inner})"),
            _ => write!(f, "{inner}"),
        };
        match self {
            Self::Symbol(text) | Self::Macro(text) => f.write_str(text),
            Self::Literal(text) => write!(f, "\"{text}\""),
            Self::Not(inner) => match **inner {
                Self::And(..) | Self::Or(..) => write!(f, "!({inner})"),
                _ => write!(f, "!{inner}"),
            },
            Self::And(left, right) => {
                grouped(left, f)?;
                f.write_str(" && ")?;
                grouped(right, f)
            }
            Self::Or(left, right) => write!(f, "{left} || {right}"),
            Self::Compare(left, operator, right) => write!(f, "{left} {operator} {right}"),
        }
    }
}

/// Reads an expression from the start of a text.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// `a || b || ...`
    fn alternatives(&mut self) -> Option<Expression> {
        let mut left = self.conjunction()?;
        while self.take("||") {
            left = Expression::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        Some(left)
    }

    /// `a && b && ...`
    fn conjunction(&mut self) -> Option<Expression> {
        let mut left = self.operand()?;
        while self.take("&&") {
            left = Expression::And(Box::new(left), Box::new(self.operand()?));
        }
        Some(left)
    }

    /// `!a`, `(a)`, a comparison or a single word.
    fn operand(&mut self) -> Option<Expression> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with('!') && !self.rest.starts_with("!=") {
            self.take("!");
            return Some(Expression::Not(Box::new(self.operand()?)));
        }
        if self.take("(") {
            let inner = self.alternatives()?;
            return self.take(")").then_some(inner);
        }
        let left = self.word()?;
        for operator in COMPARISONS {
            if self.take(operator) {
                return Some(Expression::Compare(
                    Box::new(left),
                    operator,
                    Box::new(self.word()?),
                ));
            }
        }
        Some(left)
    }

    /// A symbol, a quoted text or a macro.
    fn word(&mut self) -> Option<Expression> {
        self.rest = self.rest.trim_start();
        if let Some(quote @ ('"' | '\'')) = self.rest.chars().next() {
            let (text, rest) = self.rest[1..].split_once(quote)?;
            self.rest = rest;
            return Some(Expression::Literal(text.to_owned()));
        }
        if self.rest.starts_with("$(") {
            let (text, rest) = self.rest.split_at(macro_length(self.rest)?);
            self.rest = rest;
            return Some(Expression::Macro(text.to_owned()));
        }
        let end = self.rest.find(|c: char| !is_word(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!text.is_empty()).then(|| Expression::Symbol(text.to_owned()))
    }

    /// Skips `token` if it is next.
    fn take(&mut self, token: &str) -> bool {
        match self.rest.trim_start().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// Characters of a bare word.
fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-./".contains(character)
}

/// Bytes of the macro that `text` starts with: up to the parenthesis that closes the first.
fn macro_length(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(index + 1),
            b')' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(symbol: &str) -> String {
        match symbol {
            "ON" => "y",
            "MODULE" => "m",
            "VERSION" => "120200",
            "NAME" => "gcc",
            _ => "n",
        }
        .into()
    }

    #[test]
    fn expressions_have_the_value_that_kconfig_gives_them() {
        for (text, value) in [
            ("ON", Tristate::Yes),
            ("OFF", Tristate::No),
            ("ON && MODULE", Tristate::Module),
            ("OFF || MODULE && ON", Tristate::Module),
            ("(OFF || ON) && !OFF", Tristate::Yes),
            ("!MODULE", Tristate::Module),
            ("MODULE != n", Tristate::Yes),
            ("OFF=n", Tristate::Yes),
            ("ON=m || OFF", Tristate::No),
            ("VERSION >= 110000 && VERSION<130000", Tristate::Yes),
            ("NAME = \"gcc\"", Tristate::Yes),
            ("NAME != 'gcc'", Tristate::No),
            ("$(cc-option,-fno-such(thing)) && ON", Tristate::Yes),
        ] {
            let expression = Expression::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(expression.value(&value_of), value, "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_none() {
        for text in [
            "", "A &&", "|| A", "(A", "A)", "A B", "$(open", "\"open", "A = ", "A & B", "A == B",
        ] {
            assert_eq!(Expression::parse(text), None, "{text}");
        }
    }

    #[test]
    fn printed_it_means_the_same() {
        for text in [
            "A && (B || C)",
            "A && B || C",
            "!(A && B)",
            "!A && B != \"x\"",
            "(A || B) && (C || D)",
        ] {
            assert_eq!(Expression::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_unmet_part_is_what_has_to_change() {
        let expression = Expression::parse("ON && (OFF || GONE) && MODULE && !ON").unwrap();
        let unmet = |needed| {
            let unmet = expression.unmet(needed, &value_of);
            unmet.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(unmet(Tristate::Module), ["OFF || GONE", "!ON"]);
        assert_eq!(unmet(Tristate::Yes), ["OFF || GONE", "MODULE", "!ON"]);
    }
}
