//! File capabilities, which packages of the eclass `fcaps` give their files after the merge: here the files have them at
//! once.

use std::collections::BTreeMap;

use super::error::Fault;
use super::mode::Mode;
use super::phases::{Environment, text};

/// What `fcaps` gives a file.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(super) struct Capabilities {
    /// Value of `security.capability`; `None` where the package was built without.
    pub value: Option<Vec<u8>>,
    /// Name or number of who owns it from now on.
    pub user: Option<String>,
    pub group: Option<String>,
    /// What its mode changes to.
    pub mode: Mode,
}

/// Capabilities by path, as the eclass `fcaps` sets them after the merge. Only packages of that eclass have them set.
///
/// Each call of it is `[-o OWNER] [-g GROUP] [-m MODE] [-M CAPS_MODE] CAPABILITIES FILE...`. A file that has its
/// capabilities gets the second mode, and keeps its owner; where the package is built without, it gets owner, group and the
/// first mode instead.
pub(super) fn file_capabilities(
    metadata: &BTreeMap<String, Vec<u8>>,
    environment: &Environment,
) -> Result<BTreeMap<Vec<u8>, Capabilities>, Fault> {
    let mut files = BTreeMap::new();
    if !text(metadata, "INHERITED")
        .split_whitespace()
        .any(|eclass| eclass == "fcaps")
    {
        return Ok(files);
    }
    let has = |file: &str| {
        text(metadata, file)
            .split_whitespace()
            .any(|flag| flag.trim_start_matches(['+', '-']) == "filecaps")
    };
    let with_capabilities = has("USE") || !has("IUSE");
    let words = environment.array("FILECAPS");
    for call in words.split(|word| word == "--") {
        let fault = |what: String| Fault::Metadata {
            file: "environment.bz2".to_owned(),
            what: format!("has FILECAPS that are not understood: {what}"),
        };
        let (mut user, mut group) = ("0", "0");
        let (mut mode, mut caps_mode) = ("4711", "711");
        let mut words = call.iter();
        let capabilities = loop {
            let Some(word) = words.next() else { break None };
            let option = match &word[..] {
                "-o" => &mut user,
                "-g" => &mut group,
                "-m" => &mut mode,
                "-M" => &mut caps_mode,
                _ => break Some(word),
            };
            *option = words
                .next()
                .ok_or_else(|| fault(format!("nothing follows {word}")))?;
        };
        let Some(capabilities) = capabilities else {
            continue;
        };
        let mode = if with_capabilities { caps_mode } else { mode };
        let given = Capabilities {
            value: match with_capabilities {
                true => Some(value(capabilities).map_err(fault)?),
                false => None,
            },
            user: (!with_capabilities).then(|| user.to_owned()),
            group: (!with_capabilities).then(|| group.to_owned()),
            mode: Mode::parse(mode).ok_or_else(|| fault(format!("{mode:?} is no mode of a file")))?,
        };
        for file in words {
            files.insert(file.trim_start_matches('/').as_bytes().to_vec(), given.clone());
        }
    }
    Ok(files)
}

/// Capabilities in the order of their numbers (`linux/capability.h`).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// `security.capability` for a text as `setcap` reads it (`cap_from_text(3)`): clauses of names and of what is done with them
/// in the sets `e`, `i` and `p`; `=ep` where no clause says that. Revision 2 of `struct vfs_cap_data`: magic with the
/// effective bit, then permitted and inheritable, low halves before high ones.
fn value(text: &str) -> Result<Vec<u8>, String> {
    let operators = ['=', '+', '-'];
    let with_default = format!("{text}=ep");
    let text = if text.contains(operators) {
        text
    } else {
        &with_default
    };
    let (mut effective, mut inheritable, mut permitted) = (0_u64, 0_u64, 0_u64);
    for clause in text.split_whitespace() {
        let start = clause.find(operators);
        let start =
            start.ok_or_else(|| format!("{clause:?} does not say what becomes of its capabilities"))?;
        let (names, mut operations) = clause.split_at(start);
        let bits = named(names)?;
        while let Some(operator) = operations.bytes().next() {
            let rest = &operations[1..];
            let end = rest.find(operators).unwrap_or(rest.len());
            let (sets, rest) = rest.split_at(end);
            if !sets.bytes().all(|set| b"eip".contains(&set)) {
                return Err(format!("{clause:?} has other sets than e, i and p"));
            }
            for (letter, set) in [
                ('e', &mut effective),
                ('i', &mut inheritable),
                ('p', &mut permitted),
            ] {
                match (operator, sets.contains(letter)) {
                    (b'=' | b'+', true) => *set |= bits,
                    (b'=', false) | (b'-', true) => *set &= !bits,
                    _ => {}
                }
            }
            operations = rest;
        }
    }
    // A file has one bit for all: whether what it gets is in effect at once.
    if effective != 0 && effective != permitted | inheritable {
        return Err(format!(
            "{text:?} has some of its capabilities in effect and others not"
        ));
    }
    let magic: u32 = 0x0200_0000 | u32::from(effective != 0);
    let words = [
        magic,
        permitted as u32,
        inheritable as u32,
        (permitted >> 32) as u32,
        (inheritable >> 32) as u32,
    ];
    Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
}

/// The bits of some capabilities: names between commas, `all` or nothing for all of them.
fn named(names: &str) -> Result<u64, String> {
    if matches!(names, "" | "all") {
        return Ok((1 << NAMES.len()) - 1);
    }
    let mut bits = 0;
    for name in names.split(',') {
        let short = name.to_ascii_lowercase();
        let short = short.strip_prefix("cap_").unwrap_or(&short);
        let number = NAMES.iter().position(|known| *known == short);
        bits |= 1 << number.ok_or_else(|| format!("{name:?} is no capability"))?;
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_those_of_the_eclass() {
        let variables = Environment::of(
            "declare -a FILECAPS=([0]=\"-M\" [1]=\"711\" [2]=\"cap_net_raw\" [3]=\"bin/ping\" [4]=\"--\" [5]=\"cap_setuid,cap_bpf=p\" [6]=\"/bin/x\")\n",
        );
        let mut metadata = BTreeMap::from([
            ("IUSE".to_owned(), b"+filecaps".to_vec()),
            ("USE".to_owned(), b"arm64 filecaps".to_vec()),
        ]);
        assert!(file_capabilities(&metadata, &variables).unwrap().is_empty());
        metadata.insert("INHERITED".to_owned(), b"fcaps toolchain-funcs".to_vec());
        let files = file_capabilities(&metadata, &variables).unwrap();
        let ping = &files[&b"bin/ping"[..]];
        assert_eq!((ping.mode.apply(0o4755), ping.user.as_deref()), (0o711, None));
        assert_eq!(ping.value.as_ref().unwrap()[..8], [1, 0, 0, 2, 0, 0x20, 0, 0]);
        let other = &files[&b"bin/x"[..]];
        assert_eq!(
            other.value.as_ref().unwrap()[..],
            [0, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]
        );
        metadata.insert("USE".to_owned(), b"arm64".to_vec());
        let other = &file_capabilities(&metadata, &variables).unwrap()[&b"bin/x"[..]];
        assert_eq!(
            (other.mode.apply(0o755), other.user.as_deref()),
            (0o4711, Some("0"))
        );
    }

    /// What these words of FILECAPS make of a file of this mode.
    fn given(words: &[&str], mode: u32) -> Result<(u32, Vec<u8>), String> {
        let words = words
            .iter()
            .enumerate()
            .map(|(at, word)| format!("[{at}]=\"{word}\""));
        let words = words.collect::<Vec<_>>().join(" ");
        let variables = Environment::of(&format!("declare -a FILECAPS=({words})\n"));
        let metadata = BTreeMap::from([("INHERITED".to_owned(), b"fcaps".to_vec())]);
        let files = file_capabilities(&metadata, &variables).map_err(|fault| fault.to_string())?;
        let (_, file) = files.into_iter().next().ok_or("no file")?;
        Ok((file.mode.apply(mode), file.value.unwrap_or_default()))
    }

    #[test]
    fn a_program_with_capabilities_is_not_setuid_any_more() {
        // As iputils has it; then what the eclass does where nothing is said.
        let (mode, value) = given(&["-M", "u-s", "cap_net_raw+p", "usr/bin/ping"], 0o4755).unwrap();
        assert_eq!((mode, &value[..8]), (0o755, &[0, 0, 0, 2, 0, 0x20, 0, 0][..]));
        let (mode, value) = given(&["cap_net_raw", "usr/bin/ping"], 0o4755).unwrap();
        assert_eq!((mode, &value[..8]), (0o711, &[1, 0, 0, 2, 0, 0x20, 0, 0][..]));
    }

    #[test]
    fn capabilities_are_read_as_setcap_reads_them() {
        let of = |text: &str| given(&[text, "x"], 0).map(|(_, value)| value);
        assert_eq!(of("cap_net_raw=ep"), of("cap_net_raw"));
        assert_eq!(of("cap_net_raw+e+p"), of("cap_net_raw=ep"));
        assert_eq!(of("cap_chown=p cap_net_raw=p"), of("CAP_CHOWN,net_raw+p"));
        assert_eq!(of("all=p cap_chown-p").unwrap()[4..8], [0xfe, 0xff, 0xff, 0xff]);
        assert!(
            of("cap_chown=ep cap_net_raw=p")
                .unwrap_err()
                .contains("in effect")
        );
        assert!(of("cap_fly").unwrap_err().contains("no capability"));
        assert!(of("cap_chown=epx").unwrap_err().contains("other sets"));
        assert!(of("cap_chown=ep cap_kill").unwrap_err().contains("does not say"));
    }

    #[test]
    fn a_mode_that_is_none_is_refused() {
        for mode in ["", "u-s;rm", "../x", "u-s -R /", "99999", "\u{1b}[2J", "$(id)"] {
            let error = given(&["-M", mode, "cap_net_raw", "bin/ping"], 0o755).unwrap_err();
            assert!(
                error.contains("is no mode of a file") && !error.contains('\u{1b}'),
                "{error}"
            );
        }
        assert!(given(&["-M"], 0).unwrap_err().contains("nothing follows -M"));
    }
}
