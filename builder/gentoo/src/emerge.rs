//! What emerge prints, as far as something depends on it. It runs code of others, so its text is theirs: what is not exactly
//! as expected is skipped, and names are names or nothing.
//!
//! ```text
//! [ebuild  N     ] dev-libs/foo-1.2-r1:0/3::gentoo  USE="-doc"     in a list of what is going to be done
//! [binary  N     ] dev-build/ninja-1.12.1-2
//! >>> Emerging (2 of 5) dev-libs/foo-1.2-r1::gentoo                 while it is done
//! >>> Compiling source in /var/tmp/portage/...
//! ```

use crate::name::Cpv;

/// The package that emerge would compile, if a line of its list is of one.
pub fn compiled(line: &str) -> Option<Cpv> {
    let rest = line.strip_prefix("[ebuild")?;
    let (flags, rest) = rest.split_once(']')?;
    if !flags
        .chars()
        .all(|c| c == ' ' || c.is_ascii_alphabetic() || "~*#".contains(c))
    {
        return None;
    }
    let word = rest.split_ascii_whitespace().next()?;
    let cpv: Cpv = word.split(':').next()?.parse().ok()?;
    Some(cpv)
}

/// How far emerge is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It begins with a package.
    Package {
        /// Which one.
        cpv: Cpv,
        /// Counted from 1.
        number: u64,
        /// How many there are.
        of: u64,
        /// Whether it is compiled; else a binary package is installed.
        compiled: bool,
    },
    /// A phase of the package that it began with.
    Phase(&'static str),
    /// A package was not made.
    Failed(Cpv),
}

impl Step {
    /// The step that a line tells of, if it tells of one.
    pub fn of(line: &str) -> Option<Self> {
        let rest = line.strip_prefix(">>> ")?;
        for (start, phase) in [
            ("Unpacking source", "unpack"),
            ("Preparing source", "prepare"),
            ("Configuring source", "configure"),
            ("Compiling source", "compile"),
            ("Test phase", "test"),
            ("Install ", "install"),
            ("Building package", "package"),
        ] {
            if rest.starts_with(start) {
                return Some(Self::Phase(phase));
            }
        }
        let cpv = |text: &str| text.split(':').next()?.trim_end_matches(',').parse::<Cpv>().ok();
        if let Some(rest) = rest.strip_prefix("Failed to emerge ") {
            return cpv(rest.split_ascii_whitespace().next()?).map(Self::Failed);
        }
        let (compiled, rest) = match rest.strip_prefix("Emerging binary (") {
            Some(rest) => (false, rest),
            None => (true, rest.strip_prefix("Emerging (")?),
        };
        let (counts, rest) = rest.split_once(") ")?;
        let (number, of) = counts.split_once(" of ")?;
        let (number, of) = (number.parse().ok()?, of.parse().ok()?);
        let cpv = cpv(rest.split_ascii_whitespace().next()?)?;
        (number >= 1 && number <= of).then_some(Self::Package {
            cpv,
            number,
            of,
            compiled,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_names_and_nothing_else() {
        let name = |line| compiled(line).map(|cpv| cpv.to_string());
        assert_eq!(
            name("[ebuild  N     ] dev-libs/foo-1.2-r1:0/3::gentoo  USE=\"-doc\" 0 KiB").as_deref(),
            Some("dev-libs/foo-1.2-r1")
        );
        assert_eq!(name("[ebuild   R   ~] a-b/c-2").as_deref(), Some("a-b/c-2"));
        assert_eq!(name("[ebuild     U  ] a-b/c-2 [1]").as_deref(), Some("a-b/c-2"));
        for other in [
            "[binary  N     ] dev-libs/foo-1",
            "[blocks B      ] dev-libs/foo (\"dev-libs/foo\" is blocking x/y-1)",
            "[ebuild  N     ] ../../etc/passwd-1",
            "[ebuild  N     ] dev-libs/foo",
            "[ebuild  N     ] --root=/-1",
            "[ebuild $(id) ] dev-libs/foo-1",
            "[ebuild  N     ]",
            " [ebuild  N     ] dev-libs/foo-1",
            "",
        ] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn steps_are_told_apart() {
        let package = |compiled| Step::Package {
            cpv: "dev-libs/foo-1.2".parse().unwrap(),
            number: 2,
            of: 5,
            compiled,
        };
        assert_eq!(
            Step::of(">>> Emerging (2 of 5) dev-libs/foo-1.2::gentoo"),
            Some(package(true))
        );
        assert_eq!(
            Step::of(">>> Emerging binary (2 of 5) dev-libs/foo-1.2::gentoo for /"),
            Some(package(false))
        );
        assert_eq!(
            Step::of(">>> Compiling source in /var/tmp/portage/x ..."),
            Some(Step::Phase("compile"))
        );
        assert_eq!(
            Step::of(">>> Failed to emerge dev-libs/foo-1.2, Log file:"),
            Some(Step::Failed("dev-libs/foo-1.2".parse().unwrap()))
        );
        for other in [
            ">>> Emerging (6 of 5) dev-libs/foo-1.2::gentoo",
            ">>> Emerging (0 of 5) dev-libs/foo-1.2::gentoo",
            ">>> Emerging (1 of 99999999999999999999) dev-libs/foo-1.2",
            ">>> Emerging (1 of 5) foo",
            "Emerging (1 of 5) dev-libs/foo-1.2",
            ">>> ",
        ] {
            assert_eq!(Step::of(other), None, "{other}");
        }
    }
}
