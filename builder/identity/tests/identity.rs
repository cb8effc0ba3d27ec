//! Identities are made once, kept, and never handed out when something is wrong with them.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use identity::{Identity, IdentityStore};
use model::finding::Findings;
use model::fleet::Fleet;
use model::project::Project;
use testkit::oracle;

/// The cluster of the tests.
fn project() -> Project {
    Project::load(Path::new(testkit::fleet::PROJECT)).unwrap_or_else(|findings| panic!("{findings}"))
}

fn store() -> (tempfile::TempDir, PathBuf, IdentityStore) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("identity");
    let store = IdentityStore::open(&folder).unwrap();
    (root, folder, store)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The whole chain of an error.
fn failure(store: &IdentityStore, node: &str) -> String {
    format!("{:#}", store.node(node).unwrap_err())
}

#[test]
fn an_identity_is_made_once_and_kept() {
    let (_root, folder, store) = store();
    let first = store.node("red-07").unwrap();
    let other = store.node("red-08").unwrap();
    assert_ne!(first.machine_id, other.machine_id);
    assert_ne!(first.host_key, other.host_key);
    let again = IdentityStore::open(&folder).unwrap();
    assert_eq!(again.node("red-07").unwrap(), first);
    assert_eq!(again.operator().unwrap(), store.operator().unwrap());
    // Its machine id is a random UUID of version 4, as machine-id(5) wants it.
    assert_eq!(first.machine_id.len(), 32);
    assert_eq!(&first.machine_id[12..13], "4");
}

#[test]
fn ssh_keygen_reads_the_keys() {
    let (_root, folder, store) = store();
    let operator = store.operator().unwrap();
    let identity = store.node("red-07").unwrap();
    let key = folder.join("nodes/red-07/ssh_host_ed25519_key");
    for (key, public) in [
        (&key, &identity.host_key_public),
        (&operator.key, &operator.public_key),
    ] {
        let path = key.to_str().unwrap();
        let derived = oracle::run("openssh-client", "ssh-keygen", ["-y", "-f", path]);
        assert_eq!(derived.trim_end(), public);
        let listed = oracle::run("openssh-client", "ssh-keygen", ["-l", "-f", path]);
        assert!(
            listed.starts_with("256 SHA256:") && listed.trim_end().ends_with("(ED25519)"),
            "{listed}"
        );
    }
}

#[test]
fn ssh_keygen_finds_nodes_and_containers_in_known_hosts_by_name_and_address() {
    let (_root, _, store) = store();
    let fleet = project().fleet;
    let path = store.write_known_hosts(&fleet).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), fleet.nodes.len() + fleet.containers.len());
    let keys = [
        store.node("red-07").unwrap().host_key_public,
        store.container("web").unwrap().host_key_public,
    ];
    let [node, container] = &keys;
    let names = [
        ("red-07", node),
        ("172.16.1.7", node),
        ("web", container),
        ("172.16.107.2", container),
    ];
    for (name, key) in names {
        let found = oracle::run(
            "openssh-client",
            "ssh-keygen",
            ["-F", name, "-f", path.to_str().unwrap()],
        );
        let key = key.split(' ').nth(1).unwrap();
        assert!(found.contains(key), "{name}: {found}");
    }
    let before = fs::metadata(&path).unwrap().ino();
    store.write_known_hosts(&fleet).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().ino(),
        before,
        "written again for nothing"
    );
}

#[test]
fn nobody_else_can_read_it() {
    let (_root, folder, store) = store();
    store.operator().unwrap();
    store.node("red-07").unwrap();
    store.write_known_hosts(&project().fleet).unwrap();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        assert_eq!(
            fs::metadata(&folder).unwrap().mode() & 0o7777,
            0o700,
            "{}",
            folder.display()
        );
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                assert_eq!(metadata.mode() & 0o7777, 0o600, "{}", entry.path().display());
            }
        }
    }
}

#[test]
fn what_others_could_read_is_refused() {
    let (_root, folder, store) = store();
    store.node("red-07").unwrap();
    let key = folder.join("nodes/red-07/ssh_host_ed25519_key");
    set_mode(&key, 0o644);
    let text = failure(&store, "red-07");
    assert!(
        text.contains("ssh_host_ed25519_key can be reached by others (mode 0644): `chmod go= "),
        "{text}"
    );
    set_mode(&key, 0o600);
    set_mode(&folder.join("nodes/red-07"), 0o755);
    assert!(failure(&store, "red-07").contains("(mode 0755)"));
    set_mode(&folder.join("nodes/red-07"), 0o700);
    store.node("red-07").unwrap();
    set_mode(&folder, 0o750);
    let text = format!("{:#}", IdentityStore::open(&folder).unwrap_err());
    assert!(text.contains("(mode 0750)"), "{text}");
}

#[test]
fn damage_is_named_with_what_to_do_and_nothing_is_replaced() {
    let (_root, folder, store) = store();
    let whole = store.node("red-07").unwrap();
    store.node("red-08").unwrap();
    let node = folder.join("nodes/red-07");
    let (id, key, public) = (
        node.join("machine-id"),
        node.join("ssh_host_ed25519_key"),
        node.join("ssh_host_ed25519_key.pub"),
    );
    let cases: [(&Path, Option<&str>, &str); 7] = [
        (&id, Some("0123"), "machine-id is damaged: a machine id is 32"),
        (&id, Some("00000000000000000000000000000000\n"), "not all zero"),
        (
            &id,
            None,
            "machine-id is missing: restore it from a backup, or move",
        ),
        (
            &key,
            Some("-----BEGIN OPENSSH"),
            "ssh_host_ed25519_key is damaged (",
        ),
        (&key, None, "ssh_host_ed25519_key is missing"),
        (
            &public,
            Some("ssh-ed25519 AAAA"),
            "ssh_host_ed25519_key.pub is damaged (",
        ),
        (&public, None, "ssh_host_ed25519_key.pub is missing"),
    ];
    for (path, text, expected) in cases {
        let saved = fs::read(path).unwrap();
        match text {
            Some(text) => fs::write(path, text).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let found = failure(&store, "red-07");
        assert!(
            found.contains("the identity of node red-07 cannot be used: "),
            "{found}"
        );
        assert!(found.contains(expected), "{expected}: {found}");
        fs::write(path, saved).unwrap();
        set_mode(path, 0o600);
    }
    assert_eq!(store.node("red-07").unwrap(), whole);
    // The public half of another key.
    fs::copy(folder.join("nodes/red-08/ssh_host_ed25519_key.pub"), &public).unwrap();
    let found = failure(&store, "red-07");
    assert!(found.contains("does not belong to"), "{found}");
}

#[test]
fn keys_of_another_kind_or_with_a_passphrase_are_refused() {
    let (_root, folder, store) = store();
    store.node("red-07").unwrap();
    let key = folder.join("nodes/red-07/ssh_host_ed25519_key");
    let path = key.to_str().unwrap();
    for (arguments, expected) in [
        (["-t", "ecdsa", "-N", ""], "ecdsa-sha2-nistp256, not ssh-ed25519"),
        (["-t", "ed25519", "-N", "secret"], "has a passphrase"),
    ] {
        fs::remove_file(&key).unwrap();
        oracle::run(
            "openssh-client",
            "ssh-keygen",
            ["-q", "-f", path].iter().chain(&arguments),
        );
        let found = failure(&store, "red-07");
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn links_are_not_followed() {
    let (root, folder, store) = store();
    store.node("red-07").unwrap();
    let key = folder.join("nodes/red-07/ssh_host_ed25519_key");
    let elsewhere = root.path().join("elsewhere");
    fs::rename(&key, &elsewhere).unwrap();
    symlink(&elsewhere, &key).unwrap();
    assert!(failure(&store, "red-07").contains("cannot read"));
}

#[test]
fn a_name_never_leads_out_of_the_folder() {
    let (root, _, store) = store();
    for name in [
        "../../etc",
        "..",
        ".",
        "",
        "a/b",
        "/etc",
        "red-07\0",
        "Red",
        ".red.part",
    ] {
        assert!(store.node(name).is_err(), "{name}");
    }
    let outside: Vec<_> = fs::read_dir(root.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(outside, ["identity"]);
}

#[test]
fn builds_at_once_agree() {
    let (_root, folder, _) = store();
    let found: Vec<(Identity, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let store = IdentityStore::open(&folder).unwrap();
                    (
                        store.node("red-07").unwrap(),
                        store.operator().unwrap().public_key,
                    )
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let distinct: BTreeSet<_> = found
        .iter()
        .map(|(identity, operator)| (&identity.host_key, operator))
        .collect();
    assert_eq!(distinct.len(), 1);
}

#[test]
fn what_a_killed_build_left_is_made_up_for() {
    let (_root, folder, store) = store();
    // Killed while it made a node, and between the two halves of the operator's key.
    fs::create_dir(folder.join("nodes/.red-07.part")).unwrap();
    fs::write(folder.join("nodes/.red-07.part/machine-id"), "half").unwrap();
    let operator = store.operator().unwrap();
    fs::remove_file(folder.join("operator_ed25519.pub")).unwrap();
    assert_eq!(store.operator().unwrap(), operator);
    store.node("red-07").unwrap();
    let names: Vec<_> = fs::read_dir(folder.join("nodes"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["red-07"]);
}

#[test]
fn a_node_that_leaves_the_fleet_keeps_its_identity() {
    let (_root, _, store) = store();
    let mut fleet = project().fleet;
    store.write_known_hosts(&fleet).unwrap();
    let gone = store.node("red-07").unwrap();
    fleet.nodes.retain(|node| node.name != "red-07");
    let path = store.write_known_hosts(&fleet).unwrap();
    assert!(!fs::read_to_string(path).unwrap().contains("red-07"));
    assert_eq!(store.node("red-07").unwrap(), gone);
}

#[test]
fn a_private_key_is_never_printed_by_accident() {
    let (_root, _, store) = store();
    let identity = store.node("red-07").unwrap();
    let secret = identity.host_key.lines().nth(3).unwrap();
    assert!(!format!("{identity:?}").contains(secret));
}

#[test]
fn keys_of_services_tunnels_and_links_are_made_once_and_kept() {
    let (_root, folder, store) = store();
    let again = IdentityStore::open(&folder).unwrap();
    let key = store.i2p("irc").unwrap();
    assert_eq!(again.i2p("irc").unwrap(), key);
    assert_ne!(store.i2p("chat").unwrap(), key);
    let tunnel = store.tunnel("north").unwrap();
    assert_eq!(again.tunnel("north").unwrap().private(), tunnel.private());
    assert_ne!(store.tunnel("south").unwrap().private(), tunnel.private());
    let links = store.links("red-07").unwrap();
    assert_eq!(again.links("red-07").unwrap(), links);
    assert_ne!(links.backup.private, links.moving.private);
    let secrets = [&tunnel.private(), links.backup.private.lines().nth(3).unwrap()];
    let shown = format!("{key:?} {tunnel:?} {links:?}");
    assert!(
        !secrets.into_iter().any(|secret| shown.contains(secret)),
        "{shown}"
    );
}

#[test]
fn wg_and_ssh_keygen_see_the_same_public_keys() {
    let (_root, folder, store) = store();
    let key = store.tunnel("north").unwrap();
    let path = folder.join("tunnels/north");
    let command = format!("wg pubkey < {}", path.display());
    let public = oracle::run("wireguard-tools", "sh", ["-c", &command]);
    assert_eq!(public.trim_end(), key.public());
    let links = store.links("red-07").unwrap();
    for (name, pair) in [("backup", links.backup), ("move", links.moving)] {
        let path = folder.join(format!("links/red-07/{name}_ed25519"));
        let derived = oracle::run(
            "openssh-client",
            "ssh-keygen",
            ["-y", "-f", path.to_str().unwrap()],
        );
        assert_eq!(derived.trim_end(), pair.public);
    }
}

#[test]
fn damaged_keys_of_services_and_tunnels_are_named_and_not_replaced() {
    let (_root, folder, store) = store();
    store.i2p("irc").unwrap();
    store.tunnel("north").unwrap();
    for (path, told) in [
        ("i2p/irc", "whose parts belong together"),
        ("tunnels/north", "32 bytes in base64"),
    ] {
        let path = folder.join(path);
        let text = fs::read_to_string(&path).unwrap();
        let damaged = text.replacen(|_| true, "", 4);
        fs::write(&path, &damaged).unwrap();
        let error = match path.ends_with("irc") {
            true => store.i2p("irc").unwrap_err(),
            false => store.tunnel("north").unwrap_err(),
        };
        let error = format!("{error:#}");
        assert!(error.contains(told) && error.contains("restore it"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
    let error = format!("{:#}", store.i2p("../irc").unwrap_err());
    assert!(error.contains("service name"), "{error}");
}

#[test]
fn what_is_made_and_what_is_lost_is_told() {
    let (_root, folder, store) = store();
    let fleet = project().fleet;
    store.operator().unwrap();
    store.i2p("irc").unwrap();
    assert_eq!(store.changed(&fleet).unwrap(), Vec::<String>::new());
    store.write_known_hosts(&fleet).unwrap();
    let nodes = format!("{} in nodes/", fleet.nodes.len());
    let made = store.made();
    for expected in ["operator_ed25519", "i2p/irc", "containers/web", &nodes] {
        assert!(made.iter().any(|made| made == expected), "{expected}: {made:?}");
    }

    let again = IdentityStore::open(&folder).unwrap();
    assert_eq!(again.changed(&fleet).unwrap(), Vec::<String>::new());
    assert_eq!(again.made(), Vec::<String>::new());
    fs::remove_dir_all(folder.join("nodes/red-07")).unwrap();
    assert_eq!(again.changed(&fleet).unwrap(), ["red-07"]);
    assert_eq!(again.made(), ["nodes/red-07"]);
    again.write_known_hosts(&fleet).unwrap();
    assert_eq!(again.changed(&fleet).unwrap(), Vec::<String>::new());
}

#[test]
fn a_copied_identity_is_no_identity() {
    for (folder_of, what) in [
        ("nodes", "host key"),
        ("links", "key by which it reaches other nodes"),
    ] {
        let (_root, folder, store) = store();
        let fleet = project().fleet;
        store.write_known_hosts(&fleet).unwrap();
        store.public_keys(&fleet).unwrap();
        let (one, other) = (
            folder.join(folder_of).join("blue-07"),
            folder.join(folder_of).join("red-07"),
        );
        for entry in fs::read_dir(&one).unwrap() {
            let name = entry.unwrap().file_name();
            fs::copy(one.join(&name), other.join(&name)).unwrap();
        }
        let told = store.changed(&fleet).and_then(|_| store.public_keys(&fleet));
        let error = format!("{:#}", told.unwrap_err());
        let expected = format!("red-07 and blue-07 have the same {what}");
        assert!(
            error.contains(&expected) && error.contains("was copied"),
            "{error}"
        );
    }
    // Of what makes it itself, one part is enough.
    let (_root, folder, store) = store();
    let fleet = project().fleet;
    store.write_known_hosts(&fleet).unwrap();
    fs::copy(
        folder.join("nodes/red-07/machine-id"),
        folder.join("containers/web/machine-id"),
    )
    .unwrap();
    let error = format!("{:#}", store.changed(&fleet).unwrap_err());
    assert!(
        error.contains("red-07 and web have the same machine id"),
        "{error}"
    );
}

#[test]
fn of_a_lost_key_of_the_operator_no_node_loses_anything() {
    let (_root, folder, store) = store();
    store.operator().unwrap();
    let key = folder.join("operator_ed25519");
    // As `ssh-keygen -y` makes it.
    set_mode(&key.with_extension("pub"), 0o644);
    store.operator().unwrap();
    // A person may keep the private half elsewhere; only who logs in misses it.
    fs::remove_file(&key).unwrap();
    let error = store.operator().unwrap().unattended().unwrap_err().to_string();
    assert!(error.contains("operator_ed25519 is missing"), "{error}");
    fs::write(key.with_extension("pub"), "ssh-ed25519 AAAA").unwrap();
    let error = format!("{:#}", store.operator().unwrap_err());
    assert!(error.contains("operator_ed25519.pub is damaged"), "{error}");
    fs::remove_file(key.with_extension("pub")).unwrap();
    store.operator().unwrap().unattended().unwrap();
}

#[test]
fn an_operators_key_may_have_a_passphrase() {
    let (_root, folder, store) = store();
    let key = folder.join("operator_ed25519");
    let path = key.to_str().unwrap();
    let arguments = ["-q", "-t", "ed25519", "-N", "secret", "-f", path];
    oracle::run("openssh-client", "ssh-keygen", arguments);
    let written = fs::read_to_string(key.with_extension("pub")).unwrap();
    assert_eq!(store.operator().unwrap().public_key, written.trim_end());
    let error = store.operator().unwrap().unattended().unwrap_err().to_string();
    assert!(error.contains("has a passphrase"), "{error}");
    // The public half is made from it without the passphrase.
    fs::remove_file(key.with_extension("pub")).unwrap();
    let operator = store.operator().unwrap();
    assert_eq!(operator.public_key.split(' ').nth(1), written.split(' ').nth(1));
}

#[test]
fn another_operators_key_leaves_the_one_before_beside_it() {
    let (_root, folder, store) = store();
    let first = store.operator().unwrap();
    let private = fs::read(&first.key).unwrap();
    let second = store.rotate_operator().unwrap();
    assert_ne!(first.public_key, second.public_key);
    let before = folder.join("operator_ed25519_before");
    assert_eq!(fs::read(&before).unwrap(), private);
    let public = fs::read_to_string(before.with_extension("pub")).unwrap();
    assert_eq!(public.trim_end(), first.public_key);
    assert_eq!(IdentityStore::open(&folder).unwrap().operator().unwrap(), second);
}

/// The reference fleet with a node called `old` now called `new`.
fn renamed(old: &str, new: &str) -> Fleet {
    let mut fleet = project().fleet;
    let node = fleet.nodes.iter_mut().find(|node| node.name == old).unwrap();
    node.name = new.to_owned();
    fleet
}

#[test]
fn a_node_with_another_name_stays_who_it_is() {
    let (_root, folder, store) = store();
    store.write_known_hosts(&project().fleet).unwrap();
    let (identity, links) = (store.node("red-07").unwrap(), store.links("red-07").unwrap());
    let fleet = renamed("red-07", "red-x7");
    let findings = identity::findings(&folder, &fleet).unwrap();
    assert_eq!((findings.0.len(), findings.errors()), (1, 0), "{findings}");
    let hint = findings.0[0].hint.as_ref().unwrap();
    assert!(hint.contains("`portadc identity rename red-07 red-x7`"), "{hint}");
    for (old, new, said) in [
        ("red-08", "red-x7", "is a node of the fleet"),
        ("red-7", "red-x7", "did you mean `red-07`?"),
        ("red-07", "red-x77", "did you mean `red-x7`?"),
    ] {
        let error = format!("{:#}", store.rename(&fleet, old, new).unwrap_err());
        assert!(error.contains(said), "{error}");
    }
    store.rename(&fleet, "red-07", "red-x7").unwrap();
    assert_eq!(store.node("red-x7").unwrap(), identity);
    assert_eq!(store.links("red-x7").unwrap(), links);
    assert!(!folder.join("nodes/red-07").exists() && !folder.join("links/red-07").exists());
    let known = fs::read_to_string(folder.join("known_hosts")).unwrap();
    assert!(!known.contains("red-07"), "{known}");
    assert_eq!(identity::findings(&folder, &fleet).unwrap(), Findings::default());
    // Whoever has an identity of its own loses it to nobody.
    let fleet = renamed("red-08", "red-y8");
    store.node("red-y8").unwrap();
    let error = format!("{:#}", store.rename(&fleet, "red-08", "red-y8").unwrap_err());
    assert!(error.contains("has an identity of its own"), "{error}");
}

#[test]
fn what_was_cut_off_is_completed_or_has_not_begun() {
    let (_root, folder, store) = store();
    let identity = store.node("red-07").unwrap();
    store.operator().unwrap();
    // Cut off before all was drawn.
    fs::create_dir_all(folder.join(".revoking.part/nodes/red-x7")).unwrap();
    let again = IdentityStore::open(&folder).unwrap();
    assert!(!folder.join(".revoking.part").exists());
    assert_eq!(again.node("red-07").unwrap(), identity);
    // Cut off when it counted.
    let drawn = folder.join(".revoking");
    fs::create_dir_all(drawn.join("nodes")).unwrap();
    fs::rename(folder.join("nodes/red-07"), drawn.join("nodes/red-x7")).unwrap();
    fs::create_dir(folder.join("nodes/red-07")).unwrap();
    fs::write(drawn.join("gone"), "nodes/red-07\nlinks/red-07\n").unwrap();
    let again = IdentityStore::open(&folder).unwrap();
    assert!(!drawn.exists() && !folder.join("nodes/red-07").exists());
    assert_eq!(again.node("red-x7").unwrap(), identity);
}

#[test]
fn what_left_the_fleet_is_pruned_and_what_was_revoked_stays_known() {
    let (_root, folder, store) = store();
    let mut fleet = project().fleet;
    store.write_known_hosts(&fleet).unwrap();
    store.links("red-07").unwrap();
    assert_eq!(
        IdentityStore::prunable(&folder, &fleet).unwrap(),
        Vec::<String>::new()
    );
    fs::write(folder.join("revoked"), "AAAA\n").unwrap();
    fleet
        .nodes
        .retain(|node| !["red-07", "red-08"].contains(&&*node.name));
    let gone = IdentityStore::prunable(&folder, &fleet).unwrap();
    assert_eq!(gone, ["red-07", "red-08"]);
    assert!(folder.join("nodes/red-07").exists());
    store.prune(&gone).unwrap();
    for path in ["nodes/red-07", "nodes/red-08", "links/red-07"] {
        assert!(!folder.join(path).exists(), "{path}");
    }
    assert!(folder.join("nodes/red-09").exists());
    assert_eq!(fs::read_to_string(folder.join("revoked")).unwrap(), "AAAA\n");
    assert!(
        !fs::read_to_string(folder.join("known_hosts"))
            .unwrap()
            .contains("red-07")
    );
}

#[test]
fn a_store_is_one_fleets() {
    let (_root, folder, store) = store();
    let mut fleet = project().fleet;
    assert_eq!(identity::findings(&folder, &fleet).unwrap(), Findings::default());
    // Those of old do not say whose they are.
    store.record(&fleet).unwrap();
    store.record(&fleet).unwrap();
    fleet.name = "another".to_owned();
    let error = format!("{:#}", store.record(&fleet).unwrap_err());
    let said = identity::findings(&folder, &fleet).unwrap();
    assert_eq!(said.errors(), 1);
    assert_eq!(said.to_string(), error);
    for part in ["`another`", "`portable-datacenter`", "identity/fleet"] {
        assert!(error.contains(part), "{error}");
    }
    fs::write(folder.join("fleet"), "another\n").unwrap();
    set_mode(&folder.join("fleet"), 0o600);
    store.record(&fleet).unwrap();
}
