//! The order of Debian's versions, as the Debian policy (5.6.12) and dpkg have it.

use std::cmp::Ordering;

/// Compares two versions. Whatever is written, there is an order: dpkg's own for what is a version.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (parts(a), parts(b));
    numbers(a.0, b.0)
        .then_with(|| part(a.1, b.1))
        .then_with(|| part(a.2, b.2))
}

/// Epoch, upstream version and revision.
fn parts(version: &str) -> (&str, &str, &str) {
    let version = version.trim();
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Digits as a number of any length; none are 0.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// In turn what is not a number, then a number.
fn part(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (text_a, rest_a) = split(a, |c| !c.is_ascii_digit());
        let (text_b, rest_b) = split(b, |c| !c.is_ascii_digit());
        let (number_a, rest_a) = split(rest_a, |c| c.is_ascii_digit());
        let (number_b, rest_b) = split(rest_b, |c| c.is_ascii_digit());
        let order = texts(text_a, text_b).then_with(|| numbers(number_a, number_b));
        if order.is_ne() || (rest_a.is_empty() && rest_b.is_empty()) {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

fn split(text: &str, is_first: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !is_first(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// A tilde comes before everything, even the end; letters come before all other characters.
fn texts(a: &str, b: &str) -> Ordering {
    let weight = |c: Option<char>| match c {
        Some('~') => (0, 0),
        None => (1, 0),
        Some(letter) if letter.is_ascii_alphabetic() => (2, letter as u32),
        Some(other) => (3, other as u32),
    };
    let (mut a, mut b) = (a.chars(), b.chars());
    loop {
        let (next_a, next_b) = (a.next(), b.next());
        let order = weight(next_a).cmp(&weight(next_b));
        if order.is_ne() || next_a.is_none() {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Versions that packages have had, and the corners of the policy.
    const VERSIONS: [&str; 28] = [
        "0",
        "0~",
        "1.0~rc1-1",
        "1.0~rc1~git2-1",
        "1.0~~",
        "1.0",
        "1.0-0",
        "1.0-1",
        "1.0-1+b1",
        "1.0-1+deb13u1",
        "1.0-1+deb13u2",
        "1.0-1+deb13u10",
        "1.0-1~deb13u1",
        "1.0-1.1",
        "1.0+dfsg-1",
        "1.0a-1",
        "1.0.1-1",
        "01.0-1",
        "1:0.9-1",
        "2:1.0",
        "1.10-1",
        "1.9-1",
        "1.0-1-1",
        "2.41-12",
        "6.12.107",
        "6.12.107-1",
        "9999999999999999999999-1",
        "1.0-",
    ];

    #[test]
    fn the_order_is_dpkgs() {
        let mut compared = 0;
        for a in VERSIONS {
            for b in VERSIONS {
                // The policy knows no empty revision, so dpkg does not compare it.
                if a.ends_with('-') || b.ends_with('-') {
                    continue;
                }
                let says = |operator: &str| {
                    let status = Command::new("dpkg")
                        .args(["--compare-versions", a, operator, b])
                        .status()
                        .expect("dpkg is there");
                    status.code() == Some(0)
                };
                let expected = match compare(a, b) {
                    Ordering::Less => "lt",
                    Ordering::Equal => "eq",
                    Ordering::Greater => "gt",
                };
                assert!(says(expected), "{a} {expected} {b}");
                compared += 1;
            }
        }
        assert_eq!(compared, 27 * 27);
    }

    #[test]
    fn whatever_is_written_has_an_order() {
        for a in ["", "-", ":", "1:", "é~", "1.0-"] {
            assert_eq!(compare(a, a), Ordering::Equal, "{a}");
            assert_eq!(compare(a, "9:9"), Ordering::Less, "{a}");
        }
    }
}
