//! File capabilities, which packages of the eclass `fcaps` give their files after the merge: here the files have them at
//! once.

use std::collections::BTreeMap;

use super::error::Fault;
use super::phases::{Environment, text};

/// What `fcaps` gives a file.
#[derive(Debug, PartialEq, Eq, Default, Clone)]
pub(super) struct Capabilities {
    /// Value of `security.capability`; `None` where the package was built without.
    pub value: Option<Vec<u8>>,
    pub user: Option<String>,
    pub group: Option<String>,
    /// Mode bits to replace.
    pub mode: Option<u32>,
    /// Mode bits to add.
    pub also: u32,
}

/// Capabilities by path, as the eclass `fcaps` sets them after the merge. Only packages of that eclass have them set.
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
        let mut given = Capabilities::default();
        let (mut mode, mut caps_mode) = (None, None);
        let mut words = call.iter();
        let octal = |text: &String| u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o7777);
        let capabilities = loop {
            let Some(word) = words.next() else { break None };
            let option = match &word[..] {
                "-o" | "-g" | "-m" | "-M" => words
                    .next()
                    .ok_or_else(|| fault(format!("nothing follows {word}")))?,
                _ => break Some(word),
            };
            match &word[..] {
                "-o" => given.user = Some(option.clone()),
                "-g" => given.group = Some(option.clone()),
                "-m" => mode = Some(octal(option)),
                _ => caps_mode = Some(octal(option)),
            }
        };
        let Some(capabilities) = capabilities else {
            continue;
        };
        if with_capabilities {
            given.value = Some(value(capabilities).map_err(fault)?);
            given.mode = caps_mode.flatten();
        } else {
            given.mode = mode.flatten();
            // What cannot have capabilities runs as its owner.
            given.also = if mode.is_none() { 0o4000 } else { 0 };
        }
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

/// `security.capability` for a text as `setcap` reads it: names, `=` or `+`, and which sets (`e`, `i`, `p`). Revision 2
/// of `struct vfs_cap_data`: magic with the effective bit, then permitted and inheritable, low halves before high ones.
fn value(text: &str) -> Result<Vec<u8>, String> {
    let (names, sets) = text.split_once(['=', '+']).unwrap_or((text, "ep"));
    if sets.is_empty() || !sets.bytes().all(|set| b"eip".contains(&set)) {
        return Err(format!("{text:?} has other sets than e, i and p"));
    }
    let mut bits: u64 = 0;
    for name in names.split(',') {
        let short = name.trim().to_ascii_lowercase();
        let short = short.strip_prefix("cap_").unwrap_or(&short);
        let number = NAMES.iter().position(|known| *known == short);
        bits |= 1 << number.ok_or_else(|| format!("{name:?} is no capability"))?;
    }
    let set = |letter: char| if sets.contains(letter) { bits } else { 0 };
    let (permitted, inheritable) = (set('p'), set('i'));
    let magic: u32 = 0x0200_0000 | u32::from(sets.contains('e'));
    let words = [
        magic,
        permitted as u32,
        inheritable as u32,
        (permitted >> 32) as u32,
        (inheritable >> 32) as u32,
    ];
    Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
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
        assert_eq!(ping.mode, Some(0o711));
        assert_eq!(ping.value.as_ref().unwrap()[..8], [1, 0, 0, 2, 0, 0x20, 0, 0]);
        let other = &files[&b"bin/x"[..]];
        assert_eq!(
            other.value.as_ref().unwrap()[..],
            [0, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]
        );
        metadata.insert("USE".to_owned(), b"arm64".to_vec());
        assert_eq!(
            file_capabilities(&metadata, &variables).unwrap()[&b"bin/x"[..]].also,
            0o4000
        );
        let wrong = Environment::of("declare -a FILECAPS=([0]=\"cap_fly\" [1]=\"bin/ping\")\n");
        metadata.insert("USE".to_owned(), b"filecaps".to_vec());
        assert!(
            file_capabilities(&metadata, &wrong)
                .unwrap_err()
                .to_string()
                .contains("no capability")
        );
    }
}
