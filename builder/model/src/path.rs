//! Paths of a node, and patterns over them.

use std::fmt;

/// Longest component of a path, in bytes (Linux: `NAME_MAX`).
const MAX_COMPONENT: usize = 255;

/// Longest path, in bytes (Linux: `PATH_MAX` less its NUL).
const MAX_PATH: usize = 4095;

/// A path of the target's root file system below `/`. No component is empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetPath(String);

impl TargetPath {
    /// The path without its leading `/`: as layers name it.
    pub fn relative(&self) -> &str {
        &self.0
    }

    /// The directories it lies in, the deepest first; `/` itself is left out.
    pub fn parents(&self) -> impl Iterator<Item = Self> {
        self.0
            .rmatch_indices('/')
            .map(|(slash, _)| Self(self.0[..slash].to_owned()))
    }
}

impl fmt::Display for TargetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

/// An absolute path as a path of the target; else why it is none.
pub fn parse_target_path(text: &str) -> Result<TargetPath, String> {
    let Some(relative) = text.strip_prefix('/') else {
        return Err("does not start with `/`".to_owned());
    };
    if relative.is_empty() {
        return Err("is the root itself".to_owned());
    }
    if text.len() > MAX_PATH {
        return Err(format!("is {} bytes long, the limit is {MAX_PATH}", text.len()));
    }
    for component in relative.split('/') {
        match component {
            "" => return Err("has an empty component (`//` or a `/` at its end)".to_owned()),
            "." | ".." => return Err(format!("has the component `{component}`")),
            _ if component.len() > MAX_COMPONENT => {
                return Err(format!(
                    "has a component of {} bytes, the limit is {MAX_COMPONENT}",
                    component.len()
                ));
            }
            _ => {}
        }
    }
    if let Some(bad) = relative.chars().find(|c| c.is_control()) {
        return Err(format!("has the character `{}`", bad.escape_debug()));
    }
    Ok(TargetPath(relative.to_owned()))
}

/// Whether `path` fits `pattern`, component by component: `*` stands for any part of a component, a component `**`
/// for any number of components.
pub(crate) fn fits(pattern: &TargetPath, path: &TargetPath) -> bool {
    let pattern: Vec<_> = pattern.0.split('/').collect();
    let path: Vec<_> = path.0.split('/').collect();
    fits_components(&pattern, &path)
}

/// Whether a path is a pattern.
pub(crate) fn is_pattern(path: &TargetPath) -> bool {
    path.0.contains('*')
}

fn fits_components(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], _) => (0..=path.len()).any(|skipped| fits_components(rest, &path[skipped..])),
        ([first, pattern @ ..], [name, path @ ..]) => {
            fits_name(first, name) && fits_components(pattern, path)
        }
        _ => false,
    }
}

fn fits_name(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            name.char_indices()
                .map(|(at, _)| at)
                .chain([name.len()])
                .any(|at| fits_name(rest, &name[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_tree_or_name_nothing_are_refused() {
        for (text, reason) in [
            ("etc/fstab", "does not start with `/`"),
            ("/", "is the root itself"),
            ("/etc/../shadow", "has the component `..`"),
            ("/etc//fstab", "has an empty component (`//` or a `/` at its end)"),
            ("/etc/", "has an empty component (`//` or a `/` at its end)"),
            ("/a\nb", "has the character `\\n`"),
        ] {
            assert_eq!(parse_target_path(text), Err(reason.to_owned()), "{text}");
        }
        let path = parse_target_path("/a/b/c").unwrap();
        let parents: Vec<_> = path.parents().map(|parent| parent.to_string()).collect();
        assert_eq!(parents, ["/a/b", "/a"]);
    }

    #[test]
    fn patterns_stay_within_components_unless_doubled() {
        let fits = |pattern: &str, path: &str| {
            fits(
                &parse_target_path(pattern).unwrap(),
                &parse_target_path(path).unwrap(),
            )
        };
        assert!(fits("/etc/*.conf", "/etc/a.conf"));
        assert!(fits("/etc/ssh_*_key", "/etc/ssh_host_key_key"));
        assert!(!fits("/etc/*", "/etc/a/b"));
        assert!(fits("/etc/**", "/etc/a/b"));
        assert!(fits("/**/b", "/b") && fits("/**/b", "/a/a/b"));
        assert!(!fits("/etc/ssh_*_key", "/etc/ssh_host_key.pub"));
        assert!(fits("/é*", "/éü"));
    }
}
