//! Keys that are looked for: on servers that have them, that have others, and that do everything that servers do.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use fetch::{Key, KeySearch, Keyring, Mode, Network, Search};
use model::sources::{Signer, WkdAddress};
use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::{Serialize, SerializeInto};
use sequoia_openpgp::types::ReasonForRevocation;
use tempfile::TempDir;
use testkit::server::{Answer, Request, Server};
use testmirror::gentoo_mirror::Gentoo;
use testmirror::keys::{expiring_key, fingerprint, key, revoked, write_keyring};
use testmirror::miniature::Project;
use testmirror::workbench::{files, impatient, text};

use crate::gpg::{Gpg, TEXT};

/// The hash is that of `releng`, as `gpg --with-wkd-hash` prints it.
const WKD: &str = "/.well-known/openpgpkey/keys.invalid/hu/wtktzo4gyuhzu8a4z5fdj3fgmr1u6tob?l=releng";

fn lookup(cert: &Cert) -> String {
    format!("/pks/lookup?op=get&options=mr&search=0x{}", fingerprint(cert))
}

fn signer(pinned: &[&Cert]) -> Signer {
    Signer {
        name: "gentoo".into(),
        keyring: "keys/gentoo.asc".into(),
        fingerprints: pinned.iter().map(|cert| fingerprint(cert)).collect(),
        wkd: WkdAddress::parse("releng@keys.invalid"),
        keyserver: None,
        obtain: None,
    }
}

fn binary(certs: &[&Cert]) -> Vec<u8> {
    certs.iter().flat_map(|cert| cert.to_vec().unwrap()).collect()
}

/// A project's folder, a folder of this machine, and a mirror.
struct Bench {
    root: TempDir,
    host: TempDir,
    server: Server,
    network: Network,
}

impl Bench {
    fn new(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let mut network = impatient();
        network.limits.tries = 2;
        Self {
            root: tempfile::tempdir().unwrap(),
            host: tempfile::tempdir().unwrap(),
            server: Server::start(answer),
            network,
        }
    }

    /// A mirror that has nothing but these bytes by this path.
    fn of(path: &str, bytes: Vec<u8>) -> Self {
        let path = path.to_owned();
        Self::new(move |request| match request.path == path {
            true => Answer::whole(&bytes),
            false => Answer::status(404),
        })
    }

    /// Upstream's own servers are out of reach here: only the mirror and the machine can answer.
    fn search(&self, signer: &Signer, search: Search) -> Vec<anyhow::Result<Key>> {
        let url = self.server.url();
        let near = Signer {
            wkd: signer.wkd.clone(),
            keyserver: Some("127.0.0.1:1".into()),
            ..signer.clone()
        };
        let search_for = KeySearch {
            folders: vec![PathBuf::from("/nonexistent"), self.host.path().to_owned()],
            ..KeySearch::new(self.root.path(), Some(&url), &self.network, SystemTime::now())
        };
        search_for.keys(&near, search)
    }

    fn one(&self, signer: &Signer) -> anyhow::Result<Key> {
        self.search(signer, Search::Ending).pop().unwrap()
    }

    /// What the keyring has.
    fn certs(&self) -> Vec<Cert> {
        let path = self.root.path().join("keys/gentoo.asc");
        sequoia_openpgp::cert::CertParser::from_file(path)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    /// Looking for `signer`'s key fails with `expected`, tells what to do, and leaves all files as they were.
    fn refuses(&self, signer: &Signer, expected: &str) -> String {
        let state = || {
            let names = files(self.root.path());
            let bytes: Vec<_> = names
                .iter()
                .map(|name| fs::read(self.root.path().join(name)).unwrap())
                .collect();
            (names, bytes)
        };
        let before = state();
        let error = text(self.one(signer));
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(error.contains("--mirror URL"), "{error}");
        assert_eq!(state(), before);
        error
    }
}

#[test]
fn a_web_key_directory_is_asked_first_and_then_a_key_server() {
    let cert = key("releng", 100);
    let bench = Bench::of(WKD, binary(&[&cert]));
    let found = bench.one(&signer(&[&cert])).unwrap();
    assert!(found.from.unwrap().ends_with(WKD));
    assert_eq!(found.keyring, PathBuf::from("keys/gentoo.asc"));
    assert_eq!(bench.certs(), [cert.clone().strip_secret_key_material()]);
    assert_eq!(bench.server.requests().len(), 1);
    // It is armored, as its name says, and readable for others.
    let written = fs::read(bench.root.path().join("keys/gentoo.asc")).unwrap();
    assert!(written.starts_with(b"-----BEGIN PGP PUBLIC KEY BLOCK-----"));

    // What is there is not asked for again.
    let kept = bench.one(&signer(&[&cert])).unwrap();
    assert_eq!(kept.from, None);
    assert_eq!(bench.server.requests().len(), 1);

    let bench = Bench::of(&lookup(&cert), cert.armored().to_vec().unwrap());
    assert!(
        bench
            .one(&signer(&[&cert]))
            .unwrap()
            .from
            .unwrap()
            .ends_with(&lookup(&cert))
    );
    let paths: Vec<_> = bench
        .server
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(paths, [WKD.to_owned(), lookup(&cert)]);
}

#[test]
fn a_package_of_this_machine_is_the_last_place_and_the_only_one_offline() {
    let cert = key("releng", 100);
    let mut bench = Bench::new(|_| Answer::status(404));
    write_keyring(
        &bench.host.path().join("gentoo-release.gpg"),
        &[&key("other", 3), &cert],
    );
    fs::write(bench.host.path().join("broken.asc"), "hello").unwrap();
    fs::write(bench.host.path().join("README"), binary(&[&cert])).unwrap();
    let found = bench.one(&signer(&[&cert])).unwrap();
    assert!(found.from.unwrap().ends_with("/gentoo-release.gpg"));
    assert_eq!(bench.certs().len(), 1);
    assert_eq!(bench.server.requests().len(), 2);

    fs::remove_dir_all(bench.root.path().join("keys")).unwrap();
    bench.network = Network::new(Mode::Offline);
    bench.one(&signer(&[&cert])).unwrap();
    assert_eq!(bench.server.requests().len(), 2);
    let other = key("another", 3);
    let error = text(bench.one(&signer(&[&other])));
    assert!(
        error.contains(" is missing, and was not found in /nonexistent or ")
            && error
                .contains("run `portadc keys` without `--offline`, or put it into keys/gentoo.asc yourself"),
        "{error}"
    );
    assert_eq!(bench.server.requests().len(), 2);
}

#[test]
fn of_several_keys_only_the_pinned_one_is_taken() {
    let (cert, other) = (key("releng", 100), key("other", 100));
    let bench = Bench::of(WKD, binary(&[&other, &cert, &key("third", 5)]));
    bench.one(&signer(&[&cert])).unwrap();
    assert_eq!(bench.certs(), [cert.clone().strip_secret_key_material()]);

    // What others signed on it is not taken either, nor a name that it does not have.
    let mut other_pair = other
        .primary_key()
        .key()
        .clone()
        .parts_into_secret()
        .unwrap()
        .into_keypair()
        .unwrap();
    let user = cert.userids().next().unwrap();
    let certified = user
        .userid()
        .certify(&mut other_pair, &cert, None, None, None)
        .unwrap();
    let packets: Vec<sequoia_openpgp::Packet> = vec![
        user.userid().clone().into(),
        certified.into(),
        sequoia_openpgp::packet::UserID::from("mallory").into(),
    ];
    let dressed = cert.clone().insert_packets(packets).unwrap().0;
    assert_ne!(dressed, cert);
    let bench = Bench::of(WKD, binary(&[&dressed]));
    bench.one(&signer(&[&cert])).unwrap();
    assert_eq!(bench.certs(), [cert.strip_secret_key_material()]);
}

#[test]
fn whatever_else_a_server_sends_is_one_error() {
    let (cert, other) = (key("releng", 100), key("other", 100));
    let all = binary(&[&cert]);
    let cases: Vec<(Answer, &str)> = vec![
        (
            Answer::whole(&binary(&[&other])),
            "it has another key than the pinned one",
        ),
        (
            Answer::whole(&binary(&[&other, &key("x", 1)])),
            "it has 2 keys, none of them the pinned one",
        ),
        (
            Answer::whole(b"<!DOCTYPE html><html>Welcome</html>"),
            "it is a web page, no OpenPGP certificate",
        ),
        (Answer::whole(b""), "it has no certificate"),
        (
            Answer::whole(b"\x00\x01\x02"),
            "it is no whole OpenPGP certificate",
        ),
        (
            Answer::whole(&all).cut_after(all.len() / 2),
            "the connection broke: ",
        ),
        (
            Answer::whole(&all[..40]).without_length(),
            "it is no whole OpenPGP certificate",
        ),
        (
            // What says that the subkey is one is cut.
            Answer::whole(&all[..all.len() - 9]).without_length(),
            "it has no key that may sign",
        ),
        // Cut between two packets: the key is there, but nothing that it says of itself.
        (
            Answer::whole(&all[..first_packet(&all)]).without_length(),
            "it does not vouch for itself",
        ),
        (
            Answer::whole(b"\x99").endless(),
            "it is longer than 4194304 bytes",
        ),
        (
            Answer::whole(&all).stall_after(20),
            "the server sends nothing for 300ms",
        ),
        (Answer::status(500), "the server answered 500"),
        (
            Answer::redirect("http://127.0.0.1:1/key"),
            "it redirects to http://127.0.0.1:1/key, which is not encrypted",
        ),
    ];
    for (answer, expected) in cases {
        let bench = Bench::new(move |request| match request.path == WKD {
            true => answer.clone(),
            false => Answer::status(404),
        });
        // A keyring that has others stays as it is, too.
        write_keyring(&bench.root.path().join("keys/gentoo.asc"), &[&other]);
        let error = bench.refuses(&signer(&[&cert]), expected);
        let name = format!(
            "the key {} of the signer `gentoo` is missing, and was not found:\n  ",
            fingerprint(&cert)
        );
        assert!(error.starts_with(&name), "{error}");
    }
}

/// The length of the first packet, which has a new or old header with a length of one or two bytes.
fn first_packet(bytes: &[u8]) -> usize {
    let cert = Cert::from_bytes(bytes).unwrap();
    let mut packet = Vec::new();
    sequoia_openpgp::Packet::from(cert.primary_key().key().clone())
        .serialize(&mut packet)
        .unwrap();
    packet.len()
}

#[test]
fn a_redirect_within_a_mirror_is_followed() {
    let cert = key("releng", 100);
    let bytes = binary(&[&cert]);
    let bench = Bench::new(move |request| match request.path.as_str() {
        WKD => Answer::redirect("/elsewhere"),
        "/elsewhere" => Answer::whole(&bytes),
        _ => Answer::status(404),
    });
    bench.one(&signer(&[&cert])).unwrap();
}

#[test]
fn a_renewal_is_merged_with_what_is_there() {
    // The first certificate has expired; its owner renewed it, and gpg replaced its own signatures.
    let gpg = Gpg::new();
    let generate = [
        "--faked-system-time",
        "20230101T000000",
        "--quick-generate-key",
        "r",
        "ed25519",
        "sign",
        "1y",
    ];
    gpg.run(&generate);
    let old = Cert::from_bytes(&gpg.run(&["--export"])).unwrap();
    let document = gpg.sign("--clearsign", &["--faked-system-time", "20230601T000000"]);
    gpg.run(&[
        "--faked-system-time",
        "20240601T000000",
        "--quick-set-expire",
        &fingerprint(&old),
        "50y",
    ]);
    let new = Cert::from_bytes(&gpg.run(&["--export"])).unwrap();
    assert_eq!(
        new.primary_key().self_signatures().count() + new.userids().next().unwrap().self_signatures().count(),
        1
    );

    let bench = Bench::of(WKD, binary(&[&new]));
    let other = key("other", 10);
    write_keyring(&bench.root.path().join("keys/gentoo.asc"), &[&other, &old]);
    let signer = signer(&[&old]);
    let keyring = || Keyring::load(bench.root.path(), &signer).unwrap();
    keyring().clearsigned(&document, SystemTime::now()).unwrap_err();
    let found = bench.one(&signer).unwrap();
    assert!(found.from.is_some() && found.warning.is_none(), "{found:?}");
    keyring().clearsigned(&document, SystemTime::now()).unwrap();
    let certs = bench.certs();
    assert_eq!(certs[0], other.strip_secret_key_material());
    let user = certs[1].userids().next().unwrap();
    assert_eq!(user.self_signatures().count(), 2, "the old self-signature stays");
    assert_eq!(
        String::from_utf8(document)
            .unwrap()
            .matches(TEXT.lines().next().unwrap())
            .count(),
        1
    );

    // Without names, as some key servers send it: what names said stays where it was known before.
    let nameless = Cert::from_packets(
        new.clone()
            .into_packets()
            .filter(|packet| matches!(packet, sequoia_openpgp::Packet::PublicKey(_))),
    )
    .unwrap();
    let bench = Bench::of(WKD, binary(&[&nameless]));
    write_keyring(&bench.root.path().join("keys/gentoo.asc"), &[&new]);
    assert_eq!(
        bench.search(&signer, Search::All).pop().unwrap().unwrap().warning,
        None
    );
    assert_eq!(bench.certs(), [new]);
}

#[test]
fn what_has_expired_everywhere_is_told_with_the_day() {
    let cert = expiring_key("releng", 100, 50);
    let bench = Bench::of(WKD, binary(&[&cert]));
    let error = bench.refuses(&signer(&[&cert]), "is missing, and was not found");
    assert!(error.contains("?l=releng: it expired on 20"), "{error}");
    write_keyring(&bench.root.path().join("keys/gentoo.asc"), &[&cert]);
    bench.refuses(&signer(&[&cert]), ", and no renewed one was found:\n");
}

#[test]
fn an_end_within_eight_weeks_is_a_warning_and_looked_beyond() {
    let cert = expiring_key("releng", 100, 155);
    let bench = Bench::of(WKD, binary(&[&cert]));
    let found = bench.one(&signer(&[&cert])).unwrap();
    let warning = found.warning.unwrap();
    assert!(
        warning.contains(" expires on 20") && warning.contains("no place has a renewed one"),
        "{warning}"
    );
    // Nothing but what is needed is asked for by an update, which says so, too.
    let asked = bench.server.requests().len();
    let found = bench
        .search(&signer(&[&cert]), Search::Needed)
        .pop()
        .unwrap()
        .unwrap();
    assert!(
        found
            .warning
            .unwrap()
            .ends_with("`portadc keys` looks for a renewed one")
    );
    assert_eq!(bench.server.requests().len(), asked);
    let far = expiring_key("releng", 100, 160);
    let bench = Bench::of(WKD, binary(&[&far]));
    assert_eq!(bench.one(&signer(&[&far])).unwrap().warning, None);
}

#[test]
fn a_revocation_is_heard_of_and_kept() {
    let cert = key("releng", 100);
    let withdrawn = revoked(&cert, ReasonForRevocation::KeyCompromised);
    let bench = Bench::of(WKD, binary(&[&withdrawn]));
    write_keyring(&bench.root.path().join("keys/gentoo.asc"), &[&cert]);
    assert_eq!(bench.one(&signer(&[&cert])).unwrap().from, None);
    let error = text(bench.search(&signer(&[&cert]), Search::All).pop().unwrap());
    assert!(
        error.contains(" was revoked (") && error.contains("pin that fingerprint"),
        "{error}"
    );
    let error = text(bench.one(&signer(&[&cert])));
    assert!(error.contains(" was revoked ("), "{error}");
    assert_eq!(bench.certs(), [withdrawn.strip_secret_key_material()]);
}

#[test]
fn news_that_nobody_has_are_a_warning() {
    let cert = key("releng", 100);
    let bench = Bench::new(|_| Answer::status(404));
    write_keyring(&bench.root.path().join("keys/gentoo.asc"), &[&cert]);
    let found = bench
        .search(&signer(&[&cert]), Search::All)
        .pop()
        .unwrap()
        .unwrap();
    let warning = found.warning.unwrap();
    assert!(warning.starts_with("nobody says whether the key "), "{warning}");
}

#[test]
fn a_keyring_that_is_none_is_not_written_over() {
    let cert = key("releng", 100);
    let bench = Bench::of(WKD, binary(&[&cert]));
    fs::create_dir(bench.root.path().join("keys")).unwrap();
    let path = bench.root.path().join("keys/gentoo.asc");
    fs::write(&path, "my notes\n").unwrap();
    let error = text(bench.one(&signer(&[&cert])));
    assert!(error.contains("is no file of OpenPGP certificates"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"my notes\n");
}

/// A project whose signer is pinned, but has no keyring; its mirror has the key.
fn pinned_project(gentoo: &Gentoo, certs: &[&Cert]) -> Project {
    let mut files = gentoo.files();
    files.insert(
        format!(
            "pks/lookup?op=get&options=mr&search=0x{}",
            fingerprint(&gentoo.signer)
        ),
        binary(certs),
    );
    let mut project = Project::new("gentoo", &gentoo.signer, files);
    fs::remove_file(project.bench.folder.path().join("keys/all.pgp")).unwrap();
    project.pin(&gentoo.signer);
    project.mirror = Some(project.server.url());
    project
}

#[test]
fn an_update_gets_what_is_missing_by_itself() {
    let gentoo = Gentoo::new();
    let project = pinned_project(&gentoo, &[&gentoo.signer]);
    project.update().unwrap();
    let asked = |project: &Project| {
        let requests = project.server.requests();
        requests
            .iter()
            .filter(|request| request.path.starts_with("/pks/"))
            .count()
    };
    assert_eq!(asked(&project), 1, "one keyring is of all signers");
    project.update().unwrap();
    assert_eq!(asked(&project), 1);
    let keyring = project.bench.folder.path().join("keys/all.pgp");
    assert_eq!(
        Cert::from_file(keyring).unwrap(),
        gentoo.signer.clone().strip_secret_key_material()
    );
}

#[test]
fn an_update_without_a_key_leaves_everything_as_it_was() {
    let gentoo = Gentoo::new();
    let mut project = pinned_project(&gentoo, &[&key("somebody", 9)]);
    project.bench.network.limits.tries = 1;
    project.refuses("it has another key than the pinned one", false);
    assert!(!project.bench.folder.path().join("keys/all.pgp").exists());
    assert_eq!(project.lock_text(), None);
    assert!(project.bench.cached().is_empty());
}

#[test]
fn an_update_warns_of_a_key_that_ends_soon() {
    let gentoo = Gentoo {
        signer: expiring_key("releng", 100, 130),
        ..Gentoo::new()
    };
    let mut packages = gentoo.packages.clone();
    packages.clear();
    let gentoo = Gentoo { packages, ..gentoo };
    let project = pinned_project(&gentoo, &[&gentoo.signer]);
    let warnings = project.update().unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].ends_with("`portadc keys` looks for a renewed one"),
        "{warnings:?}"
    );
}
