//! The check before any work: everything that is missing, at once.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use formats::units::Bytes;
use rustix::fs::statvfs;

use super::tool::find_program;

/// Something a build needs from the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The program, as a [`Tool`](super::Tool) finds it, or an absolute path of a file.
    pub program: String,
    /// The Debian package that brings it.
    pub package: String,
    /// What it is needed for.
    pub purpose: String,
}

/// Collects what is missing.
#[derive(Debug, Default)]
pub struct Preflight {
    missing: Vec<Requirement>,
    problems: Vec<String>,
}

impl Requirement {
    /// `program` of the Debian package `package`, needed for `purpose`.
    pub fn new(program: &str, package: &str, purpose: &str) -> Self {
        Self {
            program: program.into(),
            package: package.into(),
            purpose: purpose.into(),
        }
    }

    /// Whether the machine has it.
    fn is_met(&self) -> bool {
        let program = Path::new(&self.program);
        if program.is_absolute() {
            return program.exists();
        }
        find_program(&self.program).is_some()
    }
}

impl Preflight {
    /// Asks for programs.
    pub fn programs(&mut self, requirements: impl IntoIterator<Item = Requirement>) {
        for requirement in requirements {
            if !requirement.is_met() && !self.missing.contains(&requirement) {
                self.missing.push(requirement);
            }
        }
    }

    /// Asks for `needed` free bytes in the file system of `folder` (or of its nearest existing parent).
    pub fn space(&mut self, folder: &Path, needed: Bytes, purpose: &str) -> Result<()> {
        let existing = folder
            .ancestors()
            .find(|folder| folder.exists())
            .unwrap_or(Path::new("/"));
        let free = free_bytes(existing)?;
        if free < needed {
            self.problems.push(format!(
                "{purpose}: {} has {free} free, {needed} are needed: free some space or choose another folder",
                existing.display()
            ));
        }
        Ok(())
    }

    /// Adds something else that stands in the way.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// Passes, or lists everything that is missing.
    pub fn finish(self) -> Result<()> {
        if self.missing.is_empty() && self.problems.is_empty() {
            return Ok(());
        }
        let mut text = String::from("this machine is not ready for the build:");
        for problem in &self.problems {
            text.push_str(&format!("\n  {problem}"));
        }
        for missing in &self.missing {
            let Requirement {
                program,
                package,
                purpose,
            } = missing;
            text.push_str(&format!(
                "\n  `{program}` is missing (package {package}): {purpose}"
            ));
        }
        let mut packages: Vec<_> = self
            .missing
            .iter()
            .map(|missing| missing.package.as_str())
            .collect();
        packages.sort_unstable();
        packages.dedup();
        if !packages.is_empty() {
            text.push_str(&format!(
                "\ninstall them with: apt-get install {}",
                packages.join(" ")
            ));
        }
        bail!(text)
    }
}

/// Bytes that this user can still write in the file system of `folder`.
fn free_bytes(folder: &Path) -> Result<Bytes> {
    let status =
        statvfs(folder).with_context(|| format!("cannot ask for free space in {}", folder.display()))?;
    Ok(Bytes(status.f_bavail.saturating_mul(status.f_frsize)))
}

/// The folder of the cache: `$XDG_CACHE_HOME/portadc`, or `~/.cache/portadc`.
pub fn cache_folder() -> Result<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Ok(base
        .context("neither XDG_CACHE_HOME nor HOME is set: where should the cache be?")?
        .join("portadc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_missing_is_listed_at_once() {
        let mut preflight = Preflight::default();
        preflight.programs([
            Requirement::new("sh", "dash", "nothing"),
            Requirement::new("no-such-one", "package-b", "one thing"),
            Requirement::new("/no/such/two", "package-a", "another"),
        ]);
        preflight
            .space(Path::new("/no/such/folder"), Bytes(u64::MAX), "images")
            .unwrap();
        let text = preflight.finish().unwrap_err().to_string();
        assert!(
            text.contains("`no-such-one` is missing (package package-b): one thing"),
            "{text}"
        );
        assert!(
            text.contains("`/no/such/two`") && text.contains("images: / has"),
            "{text}"
        );
        assert!(text.ends_with("apt-get install package-a package-b"), "{text}");
        assert!(!text.contains("`sh`"), "{text}");
    }
}
