//! The signed index of a suite of Debian's: where it is, and what it says.

/// Larger than any InRelease (140 KB in 2026) by far.
pub(super) const INRELEASE_LIMIT: u64 = 8 << 20;

/// Where a suite's `InRelease` is.
pub(super) fn inrelease(suite: &str) -> String {
    format!("dists/{suite}/InRelease")
}

/// The single-line fields of a Release file, and the lines of its SHA256 list: sum, size, path.
#[allow(clippy::type_complexity)]
pub(super) fn read_fields(text: &str) -> (Vec<(&str, &str)>, Vec<(&str, &str, &str)>) {
    let (mut fields, mut sums, mut in_sums) = (Vec::new(), Vec::new(), false);
    for line in text.lines() {
        if let Some(entry) = line.strip_prefix(' ') {
            let mut words = entry.split_whitespace();
            if let (true, Some(sum), Some(size), Some(path)) =
                (in_sums, words.next(), words.next(), words.next())
            {
                sums.push((sum, size, path));
            }
        } else if let Some((name, value)) = line.split_once(':') {
            in_sums = name == "SHA256";
            fields.push((name, value.trim()));
        }
    }
    (fields, sums)
}
