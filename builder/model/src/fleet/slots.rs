//! The slots of a bus as written: `1-6, 8-23`.

use std::ops::Range;

/// Highest slot of a bus. No bus comes near; a larger number is a slip.
pub const MAX_SLOT: u16 = 999;

/// What is wrong with a list of slots, and which bytes of it.
pub type Fault = (Range<usize>, String);

/// The slots that `text` lists, ascending.
pub fn parse_slots(text: &str) -> Result<Vec<u16>, Fault> {
    let mut slots = Vec::new();
    let mut start = 0;
    for item in text.split(',') {
        let span = start + item.len() - item.trim_start().len()..start + item.trim_end().len();
        start += item.len() + 1;
        let item = item.trim();
        if item.is_empty() {
            return Err((
                0..text.len(),
                "a list of slots is numbers and ranges: \"1-6, 8-23\"".to_owned(),
            ));
        }
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        let (first, last) = match (parse_slot(first.trim()), parse_slot(last.trim())) {
            (Ok(first), Ok(last)) => (first, last),
            (Err(fault), _) | (_, Err(fault)) => return Err((span, fault)),
        };
        if first > last {
            return Err((
                span,
                format!("the range {first}-{last} is empty: its end is before its start"),
            ));
        }
        for slot in first..=last {
            if slots.contains(&slot) {
                return Err((span, format!("slot {slot} is listed twice")));
            }
            slots.push(slot);
        }
    }
    slots.sort_unstable();
    Ok(slots)
}

fn parse_slot(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|slot| (1..=MAX_SLOT).contains(slot) && text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or_else(|| {
            format!(
                "a slot is a number from 1 to {MAX_SLOT}, not `{}`",
                text.escape_debug()
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_ranges_and_numbers() {
        assert_eq!(parse_slots("1-3, 7,5-5"), Ok(vec![1, 2, 3, 5, 7]));
        assert_eq!(parse_slots("999").map(|slots| slots.len()), Ok(1));
    }

    #[test]
    fn points_at_the_item_that_is_wrong() {
        for (text, span) in [
            ("1-3, 2", 5..6),
            ("0", 0..1),
            ("1-1000", 0..6),
            ("4, 9-7", 3..6),
            ("1,+2", 2..4),
            ("", 0..0),
            ("1,", 0..2),
            ("1-2-3", 0..5),
        ] {
            assert_eq!(parse_slots(text).unwrap_err().0, span, "{text}");
        }
    }
}
