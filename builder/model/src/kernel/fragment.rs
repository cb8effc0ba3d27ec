//! Fragments: pieces of a configuration, the kernel's or U-Boot's, in the syntax of `.config`; each line with the kernel
//! series it is for.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::version::VersionRange;
use crate::finding::{Finding, Findings, Place, SourceFile};

/// What one line of a fragment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The symbol, without `CONFIG_`.
    pub symbol: String,
    /// The value it shall have.
    pub value: Value,
    /// The series the line is for.
    pub range: VersionRange,
    /// The line.
    pub place: Place,
}

/// The value of a symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Off.
    No,
    /// A module.
    Module,
    /// Built in.
    Yes,
    /// A decimal or hexadecimal number, as written.
    Number(String),
    /// A text as written between its quotes. What a backslash in it means is the reader's matter: Linux takes it away,
    /// U-Boot hands it on to the C compiler.
    Text(String),
}

impl Value {
    /// A value as `.config` writes it behind the `=`; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "y" => return Some(Self::Yes),
            "m" => return Some(Self::Module),
            "n" => return Some(Self::No),
            _ => {}
        }
        if let Some(quoted) = text.strip_prefix('"') {
            return unquote(quoted).map(Self::Text);
        }
        let (digits, radix) = match text.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None => (text.strip_prefix('-').unwrap_or(text), 10),
        };
        let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        is_number.then(|| Self::Number(text.to_owned()))
    }
}

/// The text before the closing quote that ends `quoted`.
fn unquote(quoted: &str) -> Option<String> {
    let mut characters = quoted.char_indices();
    loop {
        match characters.next()? {
            (end, '"') => return characters.next().is_none().then(|| quoted[..end].to_owned()),
            (_, '\\') => {
                characters.next()?;
            }
            _ => {}
        }
    }
}

impl fmt::Display for Value {
    /// As `.config` writes it behind the `=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("n"),
            Self::Module => f.write_str("m"),
            Self::Yes => f.write_str("y"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

impl fmt::Display for Request {
    /// The line as `.config` has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Value::No => write!(f, "# CONFIG_{} is not set", self.symbol),
            _ => write!(f, "CONFIG_{}={}", self.symbol, self.value),
        }
    }
}

/// The requests of a fragment. Lines that are none become findings.
pub fn parse(file: &Arc<SourceFile>, findings: &mut Findings) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut start = 0;
    for line in file.text.split_inclusive('\n') {
        let text = line.trim_end();
        let span = start..start + text.len();
        start += line.len();
        match parse_line(text) {
            Ok(None) => {}
            Ok(Some((symbol, value, range))) => {
                requests.push(Request {
                    symbol: symbol.to_owned(),
                    value,
                    range,
                    place: file.place(span),
                });
            }
            Err(Malformed { message, at, hint }) => {
                let at = span.start + at.start..span.start + at.end;
                findings.push(Finding::new(message).at(file.place(at)).hint(hint));
            }
        }
    }
    requests
}

/// Why a line is not a request, and which of its bytes say so.
struct Malformed {
    message: String,
    at: Range<usize>,
    hint: &'static str,
}

/// How a line is written.
const LINE: &str = "a line is `CONFIG_NAME=y`, `=m`, `=n`, `=123`, `=\"text\"`, or `# CONFIG_NAME is not set`, and may end \
                    with `# >=6.10 <6.18`";

/// One line: nothing (empty, comment), or symbol, value and range.
fn parse_line(line: &str) -> Result<Option<(&str, Value, VersionRange)>, Malformed> {
    if let Some((symbol, rest)) = line
        .strip_prefix("# CONFIG_")
        .and_then(|rest| rest.split_once(" is not set"))
    {
        let start = line.len() - rest.len();
        return Ok(Some((
            checked_symbol(symbol, "# CONFIG_".len())?,
            Value::No,
            range_behind(line, start)?,
        )));
    }
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let malformed = || Malformed {
        message: "this is no line of a configuration".into(),
        at: 0..line.len(),
        hint: LINE,
    };
    let rest = line.strip_prefix("CONFIG_").ok_or_else(malformed)?;
    let (symbol, rest) = rest.split_once('=').ok_or_else(malformed)?;
    let symbol = checked_symbol(symbol, "CONFIG_".len())?;
    let start = line.len() - rest.len();
    let end = start + value_length(rest);
    let value = Value::parse(&line[start..end]).ok_or_else(|| Malformed {
        message: format!("`{}` is no value of a symbol", &line[start..end]),
        at: start..end,
        hint: LINE,
    })?;
    Ok(Some((symbol, value, range_behind(line, end)?)))
}

/// Bytes that the value at the start of `rest` has: up to its closing quote, or up to a blank.
fn value_length(rest: &str) -> usize {
    if !rest.starts_with('"') {
        return rest.find(char::is_whitespace).unwrap_or(rest.len());
    }
    let mut escaped = false;
    for (index, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return index + 1,
            b'\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// `symbol` if it is written like one; it starts at byte `at` of its line.
fn checked_symbol(symbol: &str, at: usize) -> Result<&str, Malformed> {
    let plain = symbol
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && !symbol.is_empty() {
        return Ok(symbol);
    }
    Err(Malformed {
        message: format!("`{symbol}` is no name of a symbol"),
        at: at..at + symbol.len(),
        hint: LINE,
    })
}

/// The range in the comment that ends `line` behind byte `end`; without one, every series.
fn range_behind(line: &str, end: usize) -> Result<VersionRange, Malformed> {
    let comment = line[end..].trim_start();
    if comment.is_empty() {
        return Ok(VersionRange::default());
    }
    let start = line.len() - comment.len();
    let malformed = |message: String| Malformed {
        message,
        at: start..line.len(),
        hint: "behind a value stands only the range of series it is for; other comments have a line of their own",
    };
    match comment.strip_prefix('#') {
        Some(range) if start > end => range
            .trim()
            .parse()
            .map_err(|error: super::version::VersionError| malformed(error.to_string())),
        _ => Err(malformed(format!("`{comment}` cannot follow a value"))),
    }
}

/// Adds a finding for each request whose symbol an earlier one wants otherwise in a series that both are for.
pub fn check_contradictions(requests: &[Request], findings: &mut Findings) {
    let mut earlier: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for request in requests {
        let others = earlier.entry(&request.symbol).or_default();
        let contradicts =
            |other: &&&Request| other.value != request.value && other.range.overlaps(request.range);
        if let Some(other) = others.iter().find(contradicts) {
            findings.push(
                Finding::new(format!(
                    "CONFIG_{} is to be {} here and {} at {}",
                    request.symbol, request.value, other.value, other.place
                ))
                .at(request.place.clone())
                .related(other.place.clone(), "the other line")
                .hint("drop one of them, or give them ranges of series that do not overlap"),
            );
        }
        others.push(request);
    }
}
