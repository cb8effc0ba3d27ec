//! Text with `{slot}` and `{cluster}` in it, from which names and addresses of a bus are made.

use std::fmt::Write as _;

use super::slots::Fault;

/// A pattern, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Cluster,
    /// The slot's number with at least this many digits.
    Slot(usize),
}

impl Pattern {
    /// Parses `{cluster}`, `{slot}` and `{slot:02}` (any width from 1 to 9) within other text.
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
                "slot" => Part::Slot(1),
                other => match other.strip_prefix("slot:0").map(str::as_bytes) {
                    Some([digit @ b'1'..=b'9']) => Part::Slot(usize::from(digit - b'0')),
                    _ => {
                        let known = "known: {cluster}, {slot}, {slot:02}";
                        return Err((
                            open..close,
                            format!("`{{{}}}` is not known here; {known}", other.escape_debug()),
                        ));
                    }
                },
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
        self.parts.iter().any(|part| matches!(part, Part::Slot(_)))
    }

    /// The text for a slot of a cluster.
    pub fn fill(&self, cluster: &str, slot: u16) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Cluster => text.push_str(cluster),
                Part::Slot(width) => {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{slot:0width$}");
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_in_cluster_and_slot() {
        let pattern = Pattern::parse("{cluster}-{slot:02}.{slot}x").unwrap();
        assert_eq!(pattern.fill("red", 7), "red-07.7x");
        assert_eq!(pattern.fill("red", 123), "red-123.123x");
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
        ] {
            assert_eq!(Pattern::parse(text).unwrap_err().0, span, "{text}");
        }
    }
}
