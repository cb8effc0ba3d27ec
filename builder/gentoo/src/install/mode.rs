//! Modes as `chmod` takes them: a number, or what is to change in the mode of a file that is there.

/// Set-user-ID, set-group-ID and sticky bits, then those of owner, group and others.
const ALL: u32 = 0o7777;

/// What `chmod` without `u`, `g`, `o` or `a` leaves alone: portage's umask.
const UMASK: u32 = 0o022;

/// Most bytes of a mode. Each of the twelve bits named by itself takes fewer.
const MAX_LENGTH: usize = 128;

/// A mode as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    /// `711`
    Number(u32),
    /// `u-s,go=rx`
    Changes(Vec<Change>),
}

/// One operation of a symbolic mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// The bits of those that it is for; none where it does not say.
    who: Option<u32>,
    operator: u8,
    what: What,
}

/// What an operation sets or takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// These bits of whoever it is for, and the bits to execute where `X` is given and any of them is set.
    Bits { bits: u32, execute: bool },
    /// What owner, group or others have: the place of their bits.
    Copy(u32),
}

impl Mode {
    /// Reads a mode; `None` for what `chmod` of a file would refuse.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > MAX_LENGTH {
            return None;
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let bits = u32::from_str_radix(text, 8).ok()?;
            return (bits <= ALL).then_some(Self::Number(bits));
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            let start = clause.find(['+', '-', '='])?;
            let (who, mut operations) = clause.split_at(start);
            let who = match who {
                "" => None,
                who => Some(
                    who.bytes()
                        .try_fold(0, |bits, byte| Some(bits | affected(byte)?))?,
                ),
            };
            while let Some(operator) = operations.bytes().next() {
                let rest = &operations[1..];
                let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
                let (what, rest) = rest.split_at(end);
                changes.push(Change {
                    who,
                    operator,
                    what: what_of(what)?,
                });
                operations = rest;
            }
        }
        Some(Self::Changes(changes))
    }

    /// The mode of a file that had `mode`.
    pub fn apply(&self, mode: u32) -> u32 {
        match self {
            Self::Number(bits) => *bits,
            Self::Changes(changes) => changes.iter().fold(mode, |mode, change| change.apply(mode)),
        }
    }
}

impl Change {
    fn apply(&self, mode: u32) -> u32 {
        let bits = match self.what {
            What::Copy(shift) => (mode >> shift & 0o7) * 0o111,
            What::Bits { bits, execute } => bits | if execute && mode & 0o111 != 0 { 0o111 } else { 0 },
        };
        let bits = bits & self.who.unwrap_or(ALL & !UMASK);
        match self.operator {
            b'+' => mode | bits,
            b'-' => mode & !bits,
            _ => mode & !self.who.unwrap_or(ALL) & ALL | bits,
        }
    }
}

/// The bits that belong to owner, group, others or all of them.
fn affected(who: u8) -> Option<u32> {
    match who {
        b'u' => Some(0o4700),
        b'g' => Some(0o2070),
        b'o' => Some(0o1007),
        b'a' => Some(ALL),
        _ => None,
    }
}

fn what_of(text: &str) -> Option<What> {
    match text {
        "u" => return Some(What::Copy(6)),
        "g" => return Some(What::Copy(3)),
        "o" => return Some(What::Copy(0)),
        _ => {}
    }
    let (mut bits, mut execute) = (0, false);
    for byte in text.bytes() {
        match byte {
            b'r' => bits |= 0o444,
            b'w' => bits |= 0o222,
            b'x' => bits |= 0o111,
            b'X' => execute = true,
            b's' => bits |= 0o6000,
            b't' => bits |= 0o1000,
            _ => return None,
        }
    }
    Some(What::Bits { bits, execute })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What `chmod` makes of a file's mode; `None` where it refuses.
    fn of_chmod(mode: u32, text: &str) -> Option<u32> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        let script = "umask 022; exec chmod -- \"$1\" \"$2\"";
        let mut chmod = Command::new("sh");
        chmod.args(["-c", script, "sh", text]).arg(file.path());
        let done = chmod.output().unwrap();
        done.status.success().then(|| {
            let mode = fs::metadata(file.path()).unwrap().permissions().mode();
            mode & ALL
        })
    }

    #[test]
    fn a_program_loses_what_its_package_takes() {
        for (mode, text, expected) in [
            (0o4711, "u-s", 0o711),
            (0o6755, "ug-s", 0o755),
            (0o755, "711", 0o711),
            (0o755, "go=", 0o700),
            (0o4755, "0710", 0o710),
            (0o644, "a+X", 0o644),
            (0o744, "a+X", 0o755),
            (0o640, "+w", 0o640),
            (0o640, "o=g,u+s", 0o4644),
        ] {
            assert_eq!(Mode::parse(text).unwrap().apply(mode), expected, "{text}");
            assert_eq!(of_chmod(mode, text), Some(expected), "chmod {text}");
        }
    }

    #[test]
    fn what_no_chmod_takes_is_refused() {
        for text in [
            "",
            "u",
            "z+x",
            "u-s,",
            ",u-s",
            "u~s",
            "8",
            "77777",
            "-1",
            "+0x1",
            "u-s -R",
            "u=rwz",
            "u=ug",
            "ü+x",
            "u+\0",
            "99999999999999999999",
        ] {
            assert_eq!(Mode::parse(text), None, "{text:?}");
        }
        assert_eq!(Mode::parse(&"u+s,".repeat(1000)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn modes_are_those_of_chmod(mode in 0..0o10000_u32, text in "([ugoa]{0,2}[-+=]([rwxXst]{0,3}|[ugo])([-+=][rwx]?)?,){0,1}[ugoa]{0,2}[-+=]([rwxXst]{0,3}|[ugo])") {
            let ours = Mode::parse(&text).map(|parsed| parsed.apply(mode));
            prop_assert_eq!(ours, of_chmod(mode, &text), "{}", text);
        }
    }
}
