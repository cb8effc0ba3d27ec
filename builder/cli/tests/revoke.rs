//! A stolen card: what lay on it is drawn anew, whole or not at all, and nothing of it is trusted by what is built next.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};

mod place;

use place::Place;

impl Place {
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    #[track_caller]
    fn ends(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program, which must end with `code` and one error that has `named`.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32, named: &str) {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert_eq!(errors.matches("error:").count(), 1, "{errors}");
        assert!(errors.contains(named), "{named:?} is not in:\n{errors}");
    }

    /// All files of a folder by path within it.
    fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.path(folder);
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    let name = entry.path().strip_prefix(&root).unwrap().to_owned();
                    files.insert(
                        name.into_os_string().into_string().unwrap(),
                        fs::read(entry.path()).unwrap(),
                    );
                }
            }
        }
        files
    }

    /// What is in the store of identities but for what tells of it.
    fn identities(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files("identity");
        files.retain(|name, _| !matches!(name.as_str(), ".lock" | "revoked" | "known_hosts"));
        files
    }

    /// By what the things below these folders of the store are known: public keys without comments, machine ids.
    fn marks(&self, folders: &[&str]) -> Vec<String> {
        let of = |name: &str| {
            folders
                .iter()
                .any(|folder| name.starts_with(&format!("{folder}/")))
        };
        let files = self.identities().into_iter().filter(|(name, _)| of(name));
        let marks = files.filter_map(|(name, bytes)| {
            let text = String::from_utf8(bytes).ok()?;
            match () {
                () if name.ends_with(".pub") => Some(text.split(' ').nth(1)?.to_owned()),
                () if name.ends_with("machine-id") => Some(text.trim().to_owned()),
                () => None,
            }
        });
        marks.collect()
    }

    /// What every node's files are, as far as they are not for root alone, by node.
    fn rendered(&self, folder: &str) -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
        self.ends(&["render", "--all", "-o", folder]);
        let mut nodes: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
        for (path, bytes) in self.files(folder) {
            let (node, path) = path.split_once('/').unwrap();
            nodes
                .entry(node.to_owned())
                .or_default()
                .insert(path.to_owned(), bytes);
        }
        nodes
    }
}

/// What of the store is red-07's: it runs the container `web`.
const OF_RED_07: [&str; 3] = ["nodes/red-07", "links/red-07", "containers/web"];

fn has(bytes: &[u8], mark: &str) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark.as_bytes())
}

#[test]
fn nothing_that_is_built_knows_what_lay_on_the_card_and_all_others_stay_who_they_were() {
    let place = Place::new();
    let before = place.rendered("before");
    let (kept, old) = (place.identities(), place.marks(&OF_RED_07));
    assert_eq!(old.len(), 6);
    let knew: BTreeSet<&String> = before
        .iter()
        .filter(|(_, files)| {
            files
                .values()
                .any(|bytes| old.iter().any(|mark| has(bytes, mark)))
        })
        .map(|(node, _)| node)
        .collect();
    assert_eq!(knew.len(), 44, "the search would find it: {knew:?}");

    let told: serde_json::Value =
        serde_json::from_str(&place.ends(&["--json", "revoke", "red-07", "--yes"])).unwrap();
    let after = place.rendered("after");
    for (node, files) in &after {
        for (path, bytes) in files {
            let found = old.iter().find(|mark| has(bytes, mark));
            assert_eq!(found, None, "{path} of {node}");
        }
    }
    // What only root may read is not part of that.
    for node in ["red-07", "red-08", "blue-07"] {
        for path in place.ends(&["render", node]).lines() {
            let output = place.run(&["render", node, "--file", path]);
            assert!(
                old.iter().all(|mark| !has(&output.stdout, mark)),
                "{path} of {node}"
            );
        }
    }
    let now = place.identities();
    for (path, bytes) in &kept {
        let is_of_card = OF_RED_07
            .iter()
            .any(|folder| path.starts_with(&format!("{folder}/")));
        assert_eq!(now[path] != *bytes, is_of_card, "{path}");
        assert!(old.iter().all(|mark| !has(&now[path], mark)), "{path}");
    }
    assert_eq!(now.len(), kept.len());
    // Those that are to be built are those that have changed.
    let changed: Vec<&str> = before
        .iter()
        .filter(|(node, files)| after[*node] != **files)
        .map(|(node, _)| node.as_str())
        .collect();
    let mut build: Vec<&str> = told["build"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node.as_str().unwrap())
        .collect();
    build.sort_unstable();
    assert_eq!(build, changed);
    assert_eq!(told["containers"], serde_json::json!(["web"]));
    for entry in ["", "nodes/red-07", "links/red-07", "containers/web"] {
        assert_eq!(
            fs::metadata(place.path("identity").join(entry)).unwrap().mode() & 0o7777,
            0o700
        );
    }
    assert_eq!(
        fs::metadata(place.path("identity/revoked")).unwrap().mode() & 0o7777,
        0o600
    );
    assert!(!place.path("identity/.revoking").exists());
}

#[test]
fn what_a_router_holds_for_others_is_new_and_told() {
    let place = Place::new();
    place.ends(&["render", "blue-01"]);
    let shown = place.ends(&["show", "blue-01"]);
    let before = place.rendered("before");
    let text = place.ends(&["revoke", "blue-01", "--yes"]);
    assert!(text.contains("portadc build blue-01\n"), "{text}");
    let now = place.ends(&["show", "blue-01"]);
    let words = |text: &str| -> BTreeSet<String> { text.split_whitespace().map(str::to_owned).collect() };
    let gone: Vec<String> = words(&shown).difference(&words(&now)).cloned().collect();
    // An address of I2P, and a key of WireGuard for each of two providers.
    assert_eq!(gone.len(), 3, "{gone:?}");
    for word in &gone {
        assert!(
            text.contains(&format!("no longer {word}.")),
            "{word} is not told in:\n{text}"
        );
    }
    let new: Vec<String> = words(&now).difference(&words(&shown)).cloned().collect();
    assert!(new.iter().all(|word| text.contains(word)), "{new:?}: {text}");
    let after = place.rendered("after");
    let changed: Vec<&String> = before
        .keys()
        .filter(|node| before[*node] != after[*node])
        .collect();
    assert_eq!(changed, ["blue-01"]);
}

#[test]
fn containers_in_the_backups_that_it_kept_were_on_the_card_too() {
    let place = Place::new();
    place.ends(&["render", "--all", "-o", "before"]);
    let shown = place.ends(&["show", "red-07"]);
    let buddy = shown
        .lines()
        .find_map(|line| line.strip_prefix("buddy"))
        .and_then(|line| line.split_whitespace().next())
        .unwrap()
        .to_owned();
    let old = place.marks(&["containers/web"]);
    let text = place.ends(&["revoke", &buddy, "--yes"]);
    assert!(
        text.contains(&format!("web of red-07, in the backups that {buddy} kept")),
        "{text}"
    );
    assert!(
        place
            .marks(&["containers/web"])
            .iter()
            .all(|mark| !old.contains(mark))
    );
    // One that had moved there, whoever's it is.
    let old = place.marks(&["containers/irc"]);
    place.ends(&["revoke", "red-09", "--container", "irc", "--yes"]);
    assert!(
        place
            .marks(&["containers/irc"])
            .iter()
            .all(|mark| !old.contains(mark))
    );
    place.fails(
        &["revoke", "red-09", "--container", "nothing", "--yes"],
        1,
        "no container `nothing`",
    );
}

#[test]
fn whoever_cannot_be_revoked_is_told_and_nothing_changes() {
    let place = Place::new();
    place.fails(&["revoke", "red-07", "--yes"], 1, "nothing was ever built here");
    assert!(!place.path("identity").exists());
    place.ends(&["render", "red-07"]);
    let before = place.identities();
    place.fails(&["revoke", "red-70", "--yes"], 1, "did you mean `red-07`?");
    place.fails(&["revoke", "red-01", "--yes"], 1, "has no identity of red-01");
    place.fails(&["revoke", "red-07"], 2, "give --yes");
    assert_eq!(place.identities(), before);
    // What was revoked does not come back with an old backup of the folder.
    fs::create_dir(place.path("backup")).unwrap();
    let copied = Command::new("cp")
        .args(["-a", "identity/nodes/red-07", "backup/"])
        .current_dir(place.path(""))
        .status();
    assert!(copied.unwrap().success());
    place.ends(&["revoke", "red-07", "--yes"]);
    fs::remove_dir_all(place.path("identity/nodes/red-07")).unwrap();
    fs::rename(place.path("backup/red-07"), place.path("identity/nodes/red-07")).unwrap();
    place.fails(
        &["render", "red-08"],
        1,
        "red-07 has something again that was revoked",
    );
    place.ends(&["revoke", "red-07", "--yes"]);
    place.ends(&["render", "red-08"]);
}

/// Killed before each call that can change something in the store, one after the other, until a run gets through.
#[test]
fn cut_off_anywhere_all_of_it_is_old_or_all_of_it_is_new() {
    let place = Place::new();
    place.ends(&["render", "--all", "-o", "before"]);
    fs::write(
        place.path("identity/known_hosts"),
        "172.16.1.7,red-07 ssh-ed25519 AAAA\n",
    )
    .unwrap();
    let (mut kept, mut replaced) = (0, 0);
    for call in [
        "?rename,?renameat,?renameat2",
        "?unlink,?unlinkat",
        "?mkdir,?mkdirat",
    ] {
        for count in 1.. {
            let old = place.marks(&OF_RED_07);
            let others = place.marks(&["nodes", "links", "containers"]);
            let mut strace = Command::new("strace");
            strace
                .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
                .args(["-e", &format!("inject={call}:signal=KILL:when={count}")])
                .arg(env!("CARGO_BIN_EXE_portadc"))
                .args(["revoke", "red-07", "--yes"]);
            let status = strace
                .current_dir(place.path(""))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status()
                .expect("strace (Debian package strace) does not run");
            let was_killed = status.signal() == Some(9) || status.code() == Some(137);
            assert!(was_killed || status.success(), "{call} {count}: {status}");
            // Whoever comes next finds one of both.
            place.ends(&["render", "red-08"]);
            let new = place.marks(&OF_RED_07);
            assert_eq!(new.len(), old.len(), "{call} {count}");
            let same = new.iter().zip(&old).filter(|(new, old)| new == old).count();
            assert!(
                same == 0 || same == old.len(),
                "{call} {count}: {same} of {} are old",
                old.len()
            );
            assert!(was_killed || same == 0, "{call} {count}: nothing is new");
            match same {
                0 => replaced += usize::from(was_killed),
                _ => kept += 1,
            }
            let now = place.marks(&["nodes", "links", "containers"]);
            let differ = now
                .iter()
                .zip(&others)
                .filter(|(now, before)| now != before)
                .count();
            assert_eq!(differ, old.len() - same, "{call} {count}: others changed");
            for left in [".revoking", ".revoking.part"] {
                assert!(
                    !place.path("identity").join(left).exists(),
                    "{call} {count}: {left} is left"
                );
            }
            if !was_killed {
                break;
            }
        }
    }
    assert!(
        kept > 3 && replaced > 3,
        "{kept} runs came to nothing, {replaced} were completed"
    );
}
