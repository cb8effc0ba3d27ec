//! Text with `{slot}` and `{cluster}` in it, from which names and addresses of a bus are made.

use std::fmt::Write as _;
use std::ops::{Range, RangeInclusive};

use super::slots::Fault;

/// What a number that is counted from a slot may be: no part of an address is more.
const NUMBERS: RangeInclusive<i64> = 0..=65535;

/// What a pattern may say.
const KNOWN: &str = "known: {cluster}, {slot}, {slot:02}, {slot + 100}, {slot - 1}, {slot * 8 + 120:02}";

/// A pattern, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Cluster,
    Number(Number),
}

/// `{slot * 8 + 120:02}`
#[derive(Debug, Clone, PartialEq, Eq)]
struct Number {
    factor: i64,
    offset: i64,
    /// Digits, at least.
    width: usize,
    /// Where it stands, braces included.
    span: Range<usize>,
}

impl Pattern {
    /// Parses `{cluster}` and `{slot}` within other text. A slot's number may be multiplied, then added to or subtracted from,
    /// and padded to a width from 1 to 9: `{slot * 8 + 120:03}`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find(['{', '}']).map(|offset| at + offset) {
            if open > at {
                parts.push(Part::Text(text[at..open].to_owned()));
            }
            let close = match text[open..].find('}') {
                Some(offset) if offset > 0 => open + offset + 1,
                _ => return Err((open..open + 1, "a brace without its partner".to_owned())),
            };
            parts.push(match &text[open + 1..close - 1] {
                "cluster" => Part::Cluster,
                inner => Part::Number(Number::parse(inner, open..close)?),
            });
            at = close;
        }
        if at < text.len() {
            parts.push(Part::Text(text[at..].to_owned()));
        }
        Ok(Self { parts })
    }

    /// Whether different slots give different texts.
    pub fn tells_slots_apart(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Number(_)))
    }

    /// The text for a slot of a cluster; else which number of it cannot be.
    pub fn fill(&self, cluster: &str, slot: u16) -> Result<String, Fault> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Cluster => text.push_str(cluster),
                Part::Number(number) => {
                    let width = number.width;
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{:0width$}", number.of(slot)?);
                }
            }
        }
        Ok(text)
    }
}

impl Number {
    /// What stands between the braces at `span`.
    fn parse(inner: &str, span: Range<usize>) -> Result<Self, Fault> {
        let unknown = || {
            let message = format!("`{{{}}}` is not known here; {KNOWN}", inner.escape_debug());
            (span.clone(), message)
        };
        let (sum, width) = match inner.split_once(':') {
            None => (inner, 1),
            Some((sum, width)) => match width.strip_prefix('0').map(str::as_bytes) {
                Some([digit @ b'1'..=b'9']) => (sum, usize::from(digit - b'0')),
                _ => return Err(unknown()),
            },
        };
        let rest = sum.trim_start().strip_prefix("slot").ok_or_else(unknown)?;
        let mut number = Self {
            factor: 1,
            offset: 0,
            width,
            span: span.clone(),
        };
        let mut rest = rest.trim();
        // In this order, each once: what it comes to is read from left to right.
        for sign in [&['*'][..], &['+', '-']] {
            let Some(operator) = rest.chars().next().filter(|first| sign.contains(first)) else {
                continue;
            };
            let operand = rest[1..].trim_start();
            let digits = operand.bytes().take_while(u8::is_ascii_digit).count();
            let value = operand[..digits].parse().ok();
            let Some(value) = value.filter(|value| NUMBERS.contains(value)) else {
                if digits == 0 {
                    return Err(unknown());
                }
                let start = span.start + 1 + sum.trim_end().len() - operand.len();
                let message = format!(
                    "`{}` is not within {} to {}",
                    &operand[..digits],
                    NUMBERS.start(),
                    NUMBERS.end()
                );
                return Err((start..start + digits, message));
            };
            match operator {
                '*' if value == 0 => {
                    return Err((span, "times 0 is the same number for all slots".to_owned()));
                }
                '*' => number.factor = value,
                '+' => number.offset = value,
                _ => number.offset = -value,
            }
            rest = operand[digits..].trim_start();
        }
        match rest {
            "" => Ok(number),
            _ => Err(unknown()),
        }
    }

    /// The number for `slot`.
    fn of(&self, slot: u16) -> Result<i64, Fault> {
        // Neither can leave an i64: all three are below 2^16.
        let value = i64::from(slot) * self.factor + self.offset;
        if NUMBERS.contains(&value) {
            return Ok(value);
        }
        let message = format!(
            "for slot {slot} this is {value}, which is not within {} to {}",
            NUMBERS.start(),
            NUMBERS.end()
        );
        Err((self.span.clone(), message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pattern: &str, slot: u16) -> Result<String, Fault> {
        Pattern::parse(pattern)?.fill("red", slot)
    }

    #[test]
    fn fills_in_cluster_and_slot() {
        let pattern = "{cluster}-{slot:02}.{slot}x";
        assert_eq!(filled(pattern, 7).unwrap(), "red-07.7x");
        assert_eq!(filled(pattern, 123).unwrap(), "red-123.123x");
    }

    #[test]
    fn counts_from_the_slot() {
        for (pattern, slot, text) in [
            ("{slot + 100}", 7, "107"),
            ("{slot+100}", 7, "107"),
            ("{ slot - 1 }", 1, "0"),
            ("{slot * 2:02}", 3, "06"),
            ("{slot*8+120}/29", 1, "128/29"),
            ("{slot * 8 - 8 :03}", 2, "008"),
            ("{slot * 65}", 999, "64935"),
            ("{slot + 65535}", 0, "65535"),
        ] {
            assert_eq!(filled(pattern, slot).as_deref(), Ok(text), "{pattern}");
        }
    }

    #[test]
    fn points_at_a_number_that_cannot_be() {
        for (pattern, slot, span) in [
            ("a.{slot - 2}", 1, 2..12),
            ("{slot}{slot * 66}", 999, 6..17),
            ("{slot + 65535}", 1, 0..14),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            assert_eq!(pattern.fill("red", slot).unwrap_err().0, span, "{pattern:?}");
        }
    }

    #[test]
    fn points_at_what_it_does_not_know() {
        for (text, span) in [
            ("ä{slots}", 2..9),
            ("{slot:2}", 0..8),
            ("{slot:00}", 0..9),
            ("a{slot", 1..2),
            ("a}b", 1..2),
            ("{{slot}}", 0..7),
            ("{slot + }", 0..9),
            ("{slot + 1 * 2}", 0..14),
            ("{slot + 1 + 2}", 0..14),
            ("{slot / 2}", 0..10),
            ("{slot + -1}", 0..11),
            ("{100 + slot}", 0..12),
            ("{cluster + 1}", 0..13),
            ("{slot * 0}", 0..10),
            ("x{slot + 65536 :02}", 9..14),
            ("{slot * 99999999999999999999 + 1}", 8..28),
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err().0, span, "{text}");
        }
    }
}
