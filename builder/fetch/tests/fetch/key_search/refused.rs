//! Answers that are no key, or another one.

use std::fs;

use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;
use sequoia_openpgp::serialize::Serialize;
use testkit::server::Answer;

use super::{Bench, WKD, binary, signer};
use testmirror::keys::{fingerprint, key, write_keyring};
use testmirror::workbench::text;

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
