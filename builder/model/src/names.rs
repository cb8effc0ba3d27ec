//! Names: which are allowed, and which one was probably meant.

/// Longest name, in bytes: the longest label of a host name (RFC 1123, 2.1).
pub const MAX_NAME: usize = 63;

/// Says why `name` cannot name a thing of the fleet: it becomes a part of host names, paths and identifiers, so it is
/// lower-case letters, digits and inner hyphens, at most [`MAX_NAME`] of them. `None` where it can.
pub fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".to_owned());
    }
    if let Some(bad) = name
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
    {
        let what = if bad.is_ascii_uppercase() {
            "the upper-case letter"
        } else {
            "the character"
        };
        return Some(format!("has {what} `{}`", bad.escape_debug()));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Some("starts or ends with a hyphen".to_owned());
    }
    if name.len() > MAX_NAME {
        return Some(format!("is {} bytes long, the limit is {MAX_NAME}", name.len()));
    }
    None
}

/// Says why `name` cannot be the host name of a node: the rules of [`name_fault`], and it must not read as an address
/// or as the node itself.
pub fn host_fault(name: &str) -> Option<String> {
    name_fault(name).or_else(|| {
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            Some("is only digits, so programs take it for an address".to_owned())
        } else if name == "localhost" {
            Some("is the name every node has for itself".to_owned())
        } else {
            None
        }
    })
}

/// Says why `name` is not a host name with or without a domain (RFC 1123): labels of letters, digits and inner hyphens
/// with dots between, at most 253 bytes.
pub fn domain_fault(name: &str) -> Option<String> {
    if name.len() > 253 {
        return Some(format!("is {} bytes long, the limit is 253", name.len()));
    }
    name.split('.')
        .find_map(|label| name_fault(&label.to_ascii_lowercase()))
}

/// The candidate that `word` is probably a slip of: at most one edit in three characters away, four in all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).min(4);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The candidate that `word` is a slip of, where it may be right as it is as well: at most two edits away.
pub fn slip<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest(word, candidates).filter(|near| strsim::osa_distance(word, near) <= 2)
}

/// What to do about `word` that is none of `candidates`: the one that was probably meant, else all of them.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(word, candidates.clone()) {
        return format!("did you mean `{near}`?");
    }
    let known: Vec<_> = candidates
        .into_iter()
        .map(|candidate| format!("`{candidate}`"))
        .collect();
    match known.len() {
        0 => "there is none yet".to_owned(),
        1..=20 => format!("known: {}", known.join(", ")),
        count => format!("known: {} and {} more", known[..20].join(", "), count - 20),
    }
}

/// `text` between backticks, control characters escaped: what the user wrote, safe to print.
pub fn quoted(text: &str) -> String {
    const LONGEST: usize = 100;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{}`", shown.replace("\\\"", "\"").replace("\\'", "'"))
}

/// Whether this is an atom that takes Gentoo packages (Package Manager Specification, 8.3), and none that blocks them.
pub fn is_gentoo_atom(text: &str) -> bool {
    text.parse()
        .is_ok_and(|atom: gentoo::Atom| atom.blocker.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atoms_are_told_from_other_text() {
        for good in [
            "sys-apps/openrc",
            ">=net-vpn/i2pd-2.50",
            "=app-misc/foo-1.2*",
            "dev-libs/openssl:0/3[-test,ssl(+)]",
        ] {
            assert!(is_gentoo_atom(good), "{good}");
        }
        for bad in ["", "openrc", ">=net-vpn/i2pd", "!app-misc/foo"] {
            assert!(!is_gentoo_atom(bad), "{bad}");
        }
    }
}
