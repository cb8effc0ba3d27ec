//! What of the stage3 and of packages a node need not carry.

use thiserror::Error;

/// What is left out.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    rules: Vec<Rule>,
    /// Whether the package manager and its records stay.
    pub package_manager: PackageManager,
}

/// Whether a node has the package manager.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PackageManager {
    /// Its records are kept true: `emerge` goes on working.
    #[default]
    Keep,
    /// `sys-apps/portage`, the records of what is installed and the package repositories go.
    Drop,
}

/// Why a pattern is none.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("pattern {pattern:?} {reason}")]
pub struct PatternError {
    /// The pattern as written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

#[derive(Debug, Clone)]
struct Rule {
    leaves_out: bool,
    /// From the root, or anywhere.
    anchored: bool,
    components: Vec<Vec<u8>>,
}

impl Filters {
    /// Patterns in order; of those that match a path the last one decides:
    ///
    /// - `/usr/share/doc` leaves out a path with all that is below it;
    /// - `*.a` leaves out every file or folder of such a name, wherever it is;
    /// - `!/usr/share/locale/de` keeps what an earlier pattern leaves out.
    ///
    /// `*` is any run of bytes and `?` any byte within one component.
    pub fn new<P: AsRef<str>>(
        leave_out: &[P],
        package_manager: PackageManager,
    ) -> Result<Self, PatternError> {
        let rules = leave_out.iter().map(|pattern| rule(pattern.as_ref()));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            package_manager,
        })
    }

    /// Whether nothing is left out.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the path (components joined by `/`, relative to the root) is left out.
    pub fn leaves_out(&self, path: &[u8]) -> bool {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let last = self.rules.iter().rfind(|rule| rule.matches(&names));
        last.is_some_and(|rule| rule.leaves_out)
    }
}

impl Rule {
    /// Whether the path or a folder above it is meant.
    fn matches(&self, names: &[&[u8]]) -> bool {
        let is_here = |names: &[&[u8]]| {
            names.len() >= self.components.len()
                && self
                    .components
                    .iter()
                    .zip(names)
                    .all(|(pattern, name)| matches(pattern, name))
        };
        if self.anchored {
            is_here(names)
        } else {
            (0..names.len()).any(|start| is_here(&names[start..]))
        }
    }
}

fn rule(written: &str) -> Result<Rule, PatternError> {
    let fault = |reason| PatternError {
        pattern: written.to_owned(),
        reason,
    };
    let (leaves_out, pattern) = match written.strip_prefix('!') {
        None => (true, written),
        Some(kept) => (false, kept),
    };
    let anchored = pattern.starts_with('/');
    if !anchored && pattern.contains('/') {
        return Err(fault("has to start with `/`, or be a name without one"));
    }
    let names = pattern.trim_start_matches('/').trim_end_matches('/');
    if names.is_empty() {
        return Err(fault("means everything"));
    }
    let components: Vec<Vec<u8>> = names.split('/').map(|name| name.as_bytes().to_vec()).collect();
    if components
        .iter()
        .any(|name| matches!(&name[..], b"" | b"." | b".."))
    {
        return Err(fault("has an empty component, `.` or `..`"));
    }
    if components
        .iter()
        .any(|name| name.windows(2).any(|two| two == b"**"))
    {
        return Err(fault("has `**`: a pattern covers all that is below it anyway"));
    }
    if !anchored && matches!(names, "*" | "?*" | "*?") {
        return Err(fault("means everything"));
    }
    Ok(Rule {
        leaves_out,
        anchored,
        components,
    })
}

/// Whether a name is what a pattern of `*` and `?` means. In time proportional to both lengths multiplied.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut pos) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while pos < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, pos));
                at += 1;
            }
            Some(b'?') => (at, pos) = (at + 1, pos + 1),
            Some(byte) if *byte == name[pos] => (at, pos) = (at + 1, pos + 1),
            _ => match star {
                None => return false,
                Some((after, covered)) => {
                    star = Some((after, covered + 1));
                    (at, pos) = (after + 1, covered + 1);
                }
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let patterns = [
            "/usr/share/locale",
            "!/usr/share/locale/de*",
            "*.a",
            "!/usr/lib/libc_nonshared.a",
            "/usr/share/man/man?/*.3",
        ];
        let filters = Filters::new(&patterns, PackageManager::Keep).unwrap();
        for (path, left_out) in [
            ("usr/share/locale", true),
            ("usr/share/locale/fr/x.mo", true),
            ("usr/share/locale/de", false),
            ("usr/share/locale/de_AT/LC_MESSAGES/x.mo", false),
            ("usr/share/locales", false),
            ("usr/lib/libc.a", true),
            ("usr/lib/libc_nonshared.a", false),
            ("usr/lib/libc.a.txt", false),
            ("usr/share/man/man3/abs.3", true),
            ("usr/share/man/de/man3/abs.3", false),
            ("usr/share/man/man3/abs.3p", false),
        ] {
            assert_eq!(filters.leaves_out(path.as_bytes()), left_out, "{path}");
        }
    }

    #[test]
    fn stars_match_any_run() {
        for (pattern, name, is_match) in [
            ("*", "", true),
            ("a*b*c", "axxbxxbc", true),
            ("a*b*c", "axxbxxb", false),
            ("*.so.*", "lib.so.so.1", true),
            ("??", "a", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), name.as_bytes()),
                is_match,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn patterns_that_cannot_be_meant_are_refused() {
        for (pattern, reason) in [
            ("", "everything"),
            ("/", "everything"),
            ("*", "everything"),
            ("usr/share", "start with `/`"),
            ("/usr//share", "empty component"),
            ("/usr/../etc", "`..`"),
            ("/usr/**/x", "`**`"),
        ] {
            let error = Filters::new(&[pattern], PackageManager::Keep).unwrap_err();
            assert!(error.reason.contains(reason), "{error}");
        }
    }
}
