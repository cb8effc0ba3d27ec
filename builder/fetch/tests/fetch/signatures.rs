//! Every way in which a signature does not count has its own error.

use std::fs;
use std::time::{Duration, SystemTime};

use fetch::{Keyring, SignatureError, Signed};
use sequoia_openpgp::Cert;
use sequoia_openpgp::types::ReasonForRevocation;
use tempfile::TempDir;
use testmirror::keys::{
    DAY, Made, clearsign, expiring_key, fingerprint, key, pinning, primary_pair, revoked, sign_detached,
    sign_inline, write_keyring,
};
use testmirror::workbench::text;

use crate::gpg::{Gpg, TEXT};

/// A keyring on disk, of which `pinned` are pinned.
fn keyring(certs: &[&Cert], pinned: &[&Cert]) -> (TempDir, anyhow::Result<Keyring>) {
    let folder = tempfile::tempdir().unwrap();
    write_keyring(&folder.path().join("keys/k.pgp"), certs);
    let pinned = pinned.iter().map(|cert| fingerprint(cert)).collect();
    let signer = pinning("test", "keys/k.pgp", pinned);
    let keyring = Keyring::load(folder.path(), &signer);
    (folder, keyring)
}

fn verify(certs: &[&Cert], pinned: &[&Cert], document: &[u8]) -> Result<Signed, SignatureError> {
    keyring(certs, pinned)
        .1
        .unwrap()
        .clearsigned(document, SystemTime::now())
}

#[test]
fn a_good_signature_gives_the_text_the_signer_and_the_date() {
    let cert = key("signer", 100);
    let made = Made::days_ago(3);
    let signed = verify(
        &[&key("other", 5), &cert],
        &[&cert],
        &clearsign(TEXT, &cert, made),
    )
    .unwrap();
    assert_eq!(
        String::from_utf8(signed.text).unwrap().trim_end(),
        TEXT.trim_end()
    );
    assert_eq!(signed.signer, fingerprint(&cert));
    let seconds = made.at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(signed.date.0, seconds as i64);
}

#[test]
fn what_is_not_signed_is_not_read() {
    let cert = key("signer", 10);
    assert_eq!(
        verify(&[&cert], &[], TEXT.as_bytes()),
        Err(SignatureError::Unsigned)
    );
    assert_eq!(verify(&[&cert], &[], b""), Err(SignatureError::Unsigned));
    let inline = sign_inline(TEXT, &cert);
    assert_eq!(verify(&[&cert], &[], &inline), Err(SignatureError::Unsigned));
    // Text around the signed part is not part of the result; text before it makes it another kind of document.
    let document = clearsign(TEXT, &cert, Made::now());
    let after = [&document[..], b"\nSuite: sid\n"].concat();
    if let Ok(signed) = verify(&[&cert], &[], &after) {
        assert!(!String::from_utf8(signed.text).unwrap().contains("sid"));
    }
    let before = [b"Suite: sid\n", &document[..]].concat();
    assert_eq!(verify(&[&cert], &[], &before), Err(SignatureError::Unsigned));
}

#[test]
fn a_cut_document_has_no_signature_to_judge() {
    let cert = key("signer", 10);
    let document = clearsign(TEXT, &cert, Made::now());
    for length in [document.len() / 4, document.len() / 2, document.len() - 60] {
        let error = verify(&[&cert], &[], &document[..length]).unwrap_err();
        let expected = matches!(
            error,
            SignatureError::Malformed { .. } | SignatureError::Unsigned | SignatureError::UnknownKey { .. }
        );
        assert!(expected, "{length}: {error}");
    }
}

#[test]
fn changed_text_under_a_good_signature_is_told_from_a_wrong_signature() {
    let cert = key("signer", 10);
    let key_name = fingerprint(&cert);
    let document = String::from_utf8(clearsign(TEXT, &cert, Made::now())).unwrap();
    let changed = document.replace("trixie", "trixia");
    assert_ne!(changed, document);
    let error = verify(&[&cert], &[], changed.as_bytes()).unwrap_err();
    assert_eq!(
        error,
        SignatureError::Changed {
            key: key_name.clone()
        }
    );
    assert_eq!(
        error.to_string(),
        format!("it was changed after key {key_name} signed it")
    );

    // The last bytes of the packet are the signature proper; the digest before it stays right.
    let (head, body) = document.split_once("-----BEGIN PGP SIGNATURE-----").unwrap();
    let armor = format!("-----BEGIN PGP SIGNATURE-----{body}");
    let mut reader = sequoia_openpgp::armor::Reader::from_bytes(armor.as_bytes(), None);
    let mut packet = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut packet).unwrap();
    let last = packet.len() - 3;
    packet[last] ^= 1;
    let mut writer =
        sequoia_openpgp::armor::Writer::new(Vec::new(), sequoia_openpgp::armor::Kind::Signature).unwrap();
    std::io::Write::write_all(&mut writer, &packet).unwrap();
    let forged = [head.as_bytes(), &writer.finalize().unwrap()].concat();
    assert_eq!(
        verify(&[&cert], &[], &forged),
        Err(SignatureError::Wrong { key: key_name })
    );
}

#[test]
fn an_unknown_key_is_named() {
    let (known, unknown) = (key("known", 10), key("unknown", 10));
    let error = verify(&[&known], &[], &clearsign(TEXT, &unknown, Made::now())).unwrap_err();
    assert!(matches!(error, SignatureError::UnknownKey { .. }), "{error}");
    assert!(
        error.to_string().ends_with("keys/k.pgp: ask the tester"),
        "{error}"
    );
}

#[test]
fn a_key_of_the_keyring_that_is_not_pinned_does_not_count() {
    let (pinned, other) = (key("pinned", 10), key("other", 10));
    let error = verify(
        &[&pinned, &other],
        &[&pinned],
        &clearsign(TEXT, &other, Made::now()),
    )
    .unwrap_err();
    assert_eq!(
        error,
        SignatureError::NotPinned {
            key: fingerprint(&other),
            pinned: fingerprint(&pinned),
        }
    );
}

#[test]
fn an_expired_key_does_not_count_even_for_what_it_signed_before() {
    let cert = expiring_key("signer", 100, 50);
    for made in [Made::days_ago(60), Made::days_ago(99)] {
        let error = verify(&[&cert], &[], &clearsign(TEXT, &cert, made)).unwrap_err();
        assert!(matches!(error, SignatureError::KeyExpired { .. }), "{error}");
    }
}

#[test]
fn a_signature_made_after_its_key_expired_does_not_count() {
    // The key lived on where it was signed, and had expired where it is verified.
    let long = key("signer", 100);
    let document = clearsign(TEXT, &long, Made::days_ago(5));
    let policy = sequoia_openpgp::policy::StandardPolicy::new();
    let mut pair = primary_pair(&long);
    let ended = SystemTime::now() - DAY * 20;
    let signatures = long
        .with_policy(&policy, None)
        .unwrap()
        .primary_key()
        .set_expiration_time(&mut pair, Some(ended))
        .unwrap();
    let short = long.clone().insert_packets(signatures).unwrap().0;
    let error = verify(&[&short], &[], &document).unwrap_err();
    assert!(matches!(error, SignatureError::KeyExpired { .. }), "{error}");
}

#[test]
fn a_revoked_key_does_not_count_whatever_the_reason() {
    let cert = key("signer", 100);
    for reason in [
        ReasonForRevocation::KeyCompromised,
        ReasonForRevocation::KeySuperseded,
    ] {
        // Superseded keys were good when they signed; an index must be signed by one that is good now.
        let document = clearsign(TEXT, &cert, Made::days_ago(50));
        let error = verify(&[&revoked(&cert, reason)], &[&cert], &document).unwrap_err();
        assert!(matches!(error, SignatureError::KeyRevoked { .. }), "{error}");
    }
}

#[test]
fn an_expired_or_future_signature_does_not_count() {
    let cert = key("signer", 100);
    let made = Made {
        valid: Some(DAY),
        ..Made::days_ago(3)
    };
    let error = verify(&[&cert], &[], &clearsign(TEXT, &cert, made)).unwrap_err();
    assert!(matches!(error, SignatureError::Expired { .. }), "{error}");
    let made = Made {
        at: SystemTime::now() + DAY,
        valid: None,
    };
    let error = verify(&[&cert], &[], &clearsign(TEXT, &cert, made)).unwrap_err();
    assert!(matches!(error, SignatureError::Future { .. }), "{error}");
}

#[test]
fn a_subkey_that_the_keyring_lacks_is_unknown() {
    let cert = key("signer", 10);
    let document = clearsign(TEXT, &cert, Made::now());
    let stripped = cert.clone().retain_subkeys(|_| false);
    let error = verify(&[&stripped], &[], &document).unwrap_err();
    assert!(matches!(error, SignatureError::UnknownKey { .. }), "{error}");
}

#[test]
fn detached_signatures_vouch_for_their_data_only() {
    let cert = key("signer", 10);
    let (_folder, keyring) = keyring(&[&cert], &[&cert]);
    let keyring = keyring.unwrap();
    let now = SystemTime::now();
    let signature = sign_detached(b"tarball", &cert);
    assert_eq!(
        keyring.detached(b"tarball", &signature, now).unwrap().signer,
        fingerprint(&cert)
    );
    let error = keyring.detached(b"tarbell", &signature, now).unwrap_err();
    assert_eq!(
        error,
        SignatureError::Changed {
            key: fingerprint(&cert)
        }
    );
    let error = keyring
        .detached(b"tarball", b"<html>404</html>", now)
        .unwrap_err();
    assert!(
        matches!(error, SignatureError::Malformed { .. } | SignatureError::Unsigned),
        "{error}"
    );
}

#[test]
fn a_missing_keyring_says_how_to_get_it() {
    let cert = key("signer", 1);
    let (folder, _) = keyring(&[&cert], &[]);
    let mut signer = pinning("kernel-org", "keys/absent.asc", Vec::new());
    let error = text(Keyring::load(folder.path(), &signer));
    assert!(
        error.ends_with("keys/absent.asc of the signer `kernel-org` is missing: ask the tester"),
        "{error}"
    );
    fs::write(folder.path().join("keys/empty.asc"), "").unwrap();
    signer.keyring = "keys/empty.asc".into();
    assert!(Keyring::load(folder.path(), &signer).is_err());
    fs::write(folder.path().join("keys/noise.asc"), "hello\n").unwrap();
    signer.keyring = "keys/noise.asc".into();
    assert!(Keyring::load(folder.path(), &signer).is_err());
    signer.keyring = "keys/k.pgp".into();
    signer.fingerprints = vec!["AB".repeat(20)];
    let error = text(Keyring::load(folder.path(), &signer));
    assert!(error.contains("does not hold the pinned key ABAB"), "{error}");
}

#[test]
fn arbitrary_bytes_are_refused_without_a_panic() {
    let cert = key("signer", 10);
    let (_folder, keyring) = keyring(&[&cert], &[]);
    let keyring = keyring.unwrap();
    let document = clearsign(TEXT, &cert, Made::now());
    for position in (0..document.len()).step_by(3) {
        let mut bytes = document.clone();
        bytes[position] = bytes[position].wrapping_add(0x41);
        if let Ok(signed) = keyring.clearsigned(&bytes, SystemTime::now()) {
            // Only what is not part of the signed text (armor, headers, spaces at the end of a line) may change.
            assert_eq!(
                String::from_utf8(signed.text).unwrap().trim_end(),
                TEXT.trim_end(),
                "{position}"
            );
        }
    }
}

#[test]
fn what_gpg_signs_is_verified() {
    let gpg = Gpg::new();
    // RSA as the kernel's and Debian's signers have it, and long enough for any policy.
    gpg.run(&["--quick-generate-key", "autosigner", "rsa3072", "sign", "1y"]);
    let document = gpg.sign("--clearsign", &[]);
    let detached = gpg.sign("--detach-sign", &[]);
    let keyring = gpg.keyring();
    let now = SystemTime::now() + Duration::from_secs(1);
    let signed = keyring.clearsigned(&document, now).unwrap();
    assert_eq!(
        String::from_utf8(signed.text).unwrap().trim_end(),
        TEXT.trim_end()
    );
    assert_eq!(signed.signer, gpg.fingerprint());
    keyring.detached(TEXT.as_bytes(), &detached, now).unwrap();
    let late = SystemTime::now() + DAY * 400;
    let error = keyring.clearsigned(&document, late).unwrap_err();
    assert!(matches!(error, SignatureError::KeyExpired { .. }), "{error}");
}

#[test]
fn a_release_key_of_gpg_counts_by_its_subkey_until_it_is_revoked() {
    let gpg = Gpg::new();
    // As Gentoo has it: the primary key certifies, a subkey signs, the primary key is pinned.
    gpg.run(&["--quick-generate-key", "releng", "ed25519", "cert", "1y"]);
    let primary = gpg.fingerprint();
    gpg.run(&["--quick-add-key", &primary, "rsa3072", "sign", "1y"]);
    let document = gpg.sign("--clearsign", &[]);
    let armored = gpg.sign("--detach-sign", &["--armor"]);
    let now = SystemTime::now() + Duration::from_secs(1);
    let signed = gpg.keyring().clearsigned(&document, now).unwrap();
    assert_eq!(signed.signer, primary);
    let file = gpg.home.path().join("text");
    gpg.keyring().detached_file(&file, &armored, now).unwrap();
    fs::write(&file, "another text").unwrap();
    let error = gpg.keyring().detached_file(&file, &armored, now).unwrap_err();
    assert!(matches!(error, SignatureError::Changed { .. }), "{error}");

    let changed = String::from_utf8(document.clone()).unwrap();
    let changed = changed.replace("trixie", "trixia");
    let error = gpg.keyring().clearsigned(changed.as_bytes(), now).unwrap_err();
    assert!(matches!(error, SignatureError::Changed { .. }), "{error}");

    let stranger = Gpg::new();
    stranger.run(&["--quick-generate-key", "stranger", "ed25519", "sign", "1y"]);
    let error = gpg.keyring().clearsigned(&stranger.sign("--clearsign", &[]), now);
    assert!(
        matches!(error, Err(SignatureError::UnknownKey { .. })),
        "{error:?}"
    );

    // gpg keeps a certificate of revocation for the day that it is needed, disarmed by a colon.
    let path = format!("openpgp-revocs.d/{primary}.rev");
    let disarmed = fs::read_to_string(gpg.home.path().join(path)).unwrap();
    let armed = gpg.home.path().join("revocation");
    fs::write(&armed, disarmed.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    gpg.run(&["--import", &armed.to_string_lossy()]);
    let later = now + Duration::from_secs(5);
    let error = gpg.keyring().clearsigned(&document, later).unwrap_err();
    assert!(matches!(error, SignatureError::KeyRevoked { .. }), "{error}");
}

#[test]
fn a_key_of_gpg_that_expired_years_ago_does_not_count() {
    let gpg = Gpg::new();
    let then = ["--faked-system-time", "20200101T000000"];
    let generate = ["--quick-generate-key", "releng", "rsa3072", "sign", "1y"];
    gpg.run(&[&then[..], &generate[..]].concat());
    let document = gpg.sign("--clearsign", &["--faked-system-time", "20200201T000000"]);
    let keyring = gpg.keyring();
    let error = keyring.clearsigned(&document, SystemTime::now()).unwrap_err();
    assert!(matches!(error, SignatureError::KeyExpired { .. }), "{error}");
    // It did count in its time.
    let in_march = SystemTime::UNIX_EPOCH + Duration::from_secs(1_583_000_000);
    assert_eq!(
        keyring.clearsigned(&document, in_march).unwrap().signer,
        gpg.fingerprint()
    );
}
