//! Keys that were renewed, that end, and that were revoked.

use std::time::SystemTime;

use fetch::{Keyring, Search};
use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::types::ReasonForRevocation;
use testkit::server::Answer;

use super::{Bench, WKD, binary, signer};
use crate::gpg::{Gpg, TEXT};
use testmirror::keys::{expiring_key, fingerprint, key, revoked, write_keyring};
use testmirror::workbench::text;

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
