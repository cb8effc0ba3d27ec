//! Keys that are looked for: on servers that have them, that have others, and that do everything that servers do.

mod ends;
mod refused;
mod updates;

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use fetch::{Key, KeySearch, Mode, Network, Search};
use model::sources::{Signer, WkdAddress};
use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::SerializeInto;
use tempfile::TempDir;
use testkit::server::{Answer, Request, Server};

use testmirror::keys::{fingerprint, key, pinning, primary_pair, write_keyring};
use testmirror::workbench::{files, impatient, text};

/// The hash is that of `releng`, as `gpg --with-wkd-hash` prints it.
const WKD: &str = "/.well-known/openpgpkey/keys.invalid/hu/wtktzo4gyuhzu8a4z5fdj3fgmr1u6tob?l=releng";

fn lookup(cert: &Cert) -> String {
    format!("/pks/lookup?op=get&options=mr&search=0x{}", fingerprint(cert))
}

fn signer(pinned: &[&Cert]) -> Signer {
    let pinned = pinned.iter().map(|cert| fingerprint(cert)).collect();
    Signer {
        wkd: WkdAddress::parse("releng@keys.invalid"),
        obtain: None,
        ..pinning("gentoo", "keys/gentoo.asc", pinned)
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
    let mut other_pair = primary_pair(&other);
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
