//! Pinned certificates as real signers have them: with a self-signature of another time, renewed since, taken back.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fetch::{Keyring, SignatureError};

use testmirror::keys::pinning;

use crate::gpg::{Gpg, TEXT};

/// Options with which gpg takes this for now; what was made at one second cannot be replaced in the same one.
fn at(time: &str) -> [&str; 2] {
    ["--faked-system-time", time]
}

/// Runs gpg at another time.
fn run(gpg: &Gpg, time: &str, arguments: &[&str]) {
    gpg.run(&[&at(time)[..], arguments].concat());
}

/// As kernel.org has it: one key that does everything, with one self-signature of 2013, by SHA-1.
fn autosigner() -> Gpg {
    let gpg = Gpg::new();
    let generate = [
        "--quick-generate-key",
        "autosigner <a@example.org>",
        "rsa3072",
        "sign,cert",
        "never",
    ];
    run(
        &gpg,
        "20130124T000000",
        &[&["--cert-digest-algo", "SHA1"][..], &generate].concat(),
    );
    gpg
}

/// As Gentoo has it: a primary key that certifies and a subkey that signs, of 2023, valid for three years.
fn release_key() -> (Gpg, String) {
    let gpg = Gpg::new();
    let generate = [
        "--quick-generate-key",
        "releng <r@example.org>",
        "ed25519",
        "cert",
        "3y",
    ];
    run(&gpg, "20230101T000000", &generate);
    let primary = gpg.fingerprint();
    run(
        &gpg,
        "20230101T000100",
        &["--quick-add-key", &primary, "ed25519", "sign", "3y"],
    );
    (gpg, primary)
}

/// Gives a key and its subkeys another end.
fn renew(gpg: &Gpg, primary: &str, time: &str, until: &str) {
    run(gpg, time, &["--quick-set-expire", primary, until]);
    run(gpg, time, &["--quick-set-expire", primary, until, "*"]);
}

/// How the certificate's own signatures were made, as gpg lists them: (type, hash, made).
fn own_signatures(gpg: &Gpg) -> Vec<(String, String, u64)> {
    let export = gpg.home.path().join("export");
    fs::write(&export, gpg.run(&["--export"])).unwrap();
    let packets = gpg.run(&["--list-packets", &export.to_string_lossy()]);
    let packets = String::from_utf8(packets).unwrap();
    let value = |text: &str, name: &str| {
        let rest = &text[text.find(name).unwrap() + name.len()..];
        rest.split([',', '\n', ' ']).next().unwrap().to_owned()
    };
    packets
        .split(":signature packet:")
        .skip(1)
        .map(|packet| {
            let made = value(packet, "created ").parse().unwrap();
            (value(packet, "sigclass "), value(packet, "digest algo "), made)
        })
        .collect()
}

/// What a signature of 2024 is taken for today.
fn judged(gpg: &Gpg, document: &[u8]) -> Result<String, SignatureError> {
    let signed = gpg.keyring().clearsigned(document, SystemTime::now())?;
    assert_eq!(
        String::from_utf8(signed.text).unwrap().trim_end(),
        TEXT.trim_end()
    );
    Ok(signed.signer)
}

#[test]
fn a_self_signature_by_sha1_counts_where_the_certificate_is_pinned() {
    let gpg = autosigner();
    // 2 is SHA-1.
    let made = own_signatures(&gpg);
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(made[0].1, "2", "{made:?}");
    let document = gpg.sign("--clearsign", &["--digest-algo", "SHA256"]);
    assert_eq!(judged(&gpg, &document).unwrap(), gpg.fingerprint());
    let signature = gpg.sign("--detach-sign", &["--digest-algo", "SHA256"]);
    let now = SystemTime::now();
    gpg.keyring().detached(TEXT.as_bytes(), &signature, now).unwrap();
    let error = gpg.keyring().detached(b"changed", &signature, now).unwrap_err();
    assert!(matches!(error, SignatureError::Changed { .. }), "{error}");

    // Where any key of the keyring counts, nobody says that it is this certificate.
    let anybody = pinning("anybody", "keys/k.asc", Vec::new());
    let anybody = Keyring::load(gpg.home.path(), &anybody).unwrap();
    let error = anybody.clearsigned(&document, now).unwrap_err();
    assert!(matches!(error, SignatureError::Unusable { .. }), "{error}");
}

#[test]
fn a_document_signed_by_sha1_does_not_count_whoever_is_pinned() {
    for gpg in [autosigner(), release_key().0] {
        let options = ["--digest-algo", "SHA1", "--faked-system-time", "20240101T000000"];
        let error = judged(&gpg, &gpg.sign("--clearsign", &options)).unwrap_err();
        assert!(matches!(error, SignatureError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("SHA1"), "{error}");
    }
}

#[test]
fn a_renewal_does_not_take_away_what_was_signed_before() {
    let (gpg, primary) = release_key();
    let document = gpg.sign("--clearsign", &at("20240101T000000"));
    renew(&gpg, &primary, "20250101T000000", "50y");
    // gpg replaces what was there: nothing is as old as the signature.
    let made = own_signatures(&gpg);
    let signed = 1_704_067_200;
    let old: Vec<_> = made.iter().filter(|(_, _, made)| *made <= signed).collect();
    assert!(old.is_empty() && made.len() == 2, "{made:?}");
    assert_eq!(judged(&gpg, &document).unwrap(), primary);

    // Signed after the renewal, too; but not before there was a key, nor from now on in the future.
    let later = gpg.sign("--clearsign", &at("20250601T000000"));
    assert_eq!(judged(&gpg, &later).unwrap(), primary);
    let early = [
        "--faked-system-time",
        "20220101T000000",
        "--ignore-time-conflict",
        "--ignore-valid-from",
    ];
    let error = judged(&gpg, &gpg.sign("--clearsign", &early)).unwrap_err();
    assert!(matches!(error, SignatureError::BeforeKey { .. }), "{error}");
    let tomorrow = SystemTime::now() - Duration::from_secs(600);
    let now = gpg.sign("--clearsign", &[]);
    let error = gpg.keyring().clearsigned(&now, tomorrow).unwrap_err();
    assert!(matches!(error, SignatureError::Future { .. }), "{error}");
}

#[test]
fn a_key_that_was_renewed_and_then_revoked_does_not_count() {
    let (gpg, primary) = release_key();
    let document = gpg.sign("--clearsign", &at("20240101T000000"));
    renew(&gpg, &primary, "20250101T000000", "50y");
    assert_eq!(judged(&gpg, &document).unwrap(), primary);
    revoke(&gpg, &primary);
    let error = judged(&gpg, &document).unwrap_err();
    assert!(matches!(error, SignatureError::KeyRevoked { .. }), "{error}");
}

/// Makes the certificate of revocation count that gpg keeps for that day.
fn revoke(gpg: &Gpg, primary: &str) {
    let path = gpg.home.path().join(format!("openpgp-revocs.d/{primary}.rev"));
    let disarmed = fs::read_to_string(path).unwrap();
    let armed = gpg.home.path().join("revocation");
    fs::write(&armed, disarmed.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    gpg.run(&["--import", &armed.to_string_lossy()]);
}

#[test]
fn a_subkey_that_was_revoked_does_not_count() {
    let (gpg, primary) = release_key();
    let document = gpg.sign("--clearsign", &at("20240101T000000"));
    renew(&gpg, &primary, "20250101T000000", "50y");
    // The primary key lives on, and has another subkey that signs.
    let commands = "key 1\nrevkey\ny\n1\n\ny\nsave\n";
    let script = gpg.home.path().join("commands");
    fs::write(&script, commands).unwrap();
    edit(&gpg, &script, &primary);
    gpg.run(&["--quick-add-key", &primary, "ed25519", "sign", "1y"]);
    let error = judged(&gpg, &document).unwrap_err();
    assert!(matches!(error, SignatureError::KeyRevoked { .. }), "{error}");
    let document = gpg.sign("--clearsign", &[]);
    let now = SystemTime::now() + Duration::from_secs(1);
    assert_eq!(gpg.keyring().clearsigned(&document, now).unwrap().signer, primary);
}

/// Edits a key with commands of a file.
fn edit(gpg: &Gpg, script: &Path, primary: &str) {
    let script = script.to_string_lossy();
    gpg.run(&["--command-file", &script, "--no-tty", "--edit-key", primary]);
}

#[test]
fn a_key_that_expired_and_was_not_renewed_does_not_count() {
    let (gpg, primary) = release_key();
    let document = gpg.sign("--clearsign", &at("20240101T000000"));
    let error = judged(&gpg, &document).unwrap_err();
    assert!(matches!(error, SignatureError::KeyExpired { .. }), "{error}");
    assert!(error.to_string().contains("2025-12-3"), "{error}");

    // The primary key alone was renewed: its subkey, which signs, has expired all the same.
    run(&gpg, "20250101T000000", &["--quick-set-expire", &primary, "50y"]);
    let error = judged(&gpg, &document).unwrap_err();
    assert!(matches!(error, SignatureError::KeyExpired { .. }), "{error}");
}

/// The real thing, which is not ours to keep here: `KEY` is a certificate of kernel.org's autosigner, `LIST` a list that it signed.
#[test]
#[ignore = "needs files from kernel.org: KEY=autosigner.asc LIST=sha256sums.asc"]
fn a_list_of_kernel_org_is_verified() {
    let [key, list] = ["KEY", "LIST"].map(|name| fs::read(std::env::var(name).unwrap()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("k.asc"), key).unwrap();
    let pinned = vec!["B8868C80BA62A1FFFAF5FDA9632D3A06589DA6B1".into()];
    let signer = pinning("kernel-org", "k.asc", pinned);
    let keyring = Keyring::load(folder.path(), &signer).unwrap();
    let now = SystemTime::now();
    let signed = keyring.clearsigned(&list, now).unwrap();
    println!("signed by {} on {}", signed.signer, signed.date);
    assert!(signed.text.len() > 1_000);
    // One bit anywhere in the signed text.
    let start = list.windows(2).position(|pair| pair == b"\n\n").unwrap() + 2;
    let end = start + signed.text.len() - 2;
    for at in [start, start + 63, (start + end) / 2, end - 1] {
        let mut changed = list.clone();
        changed[at] ^= 1;
        let error = keyring.clearsigned(&changed, now).unwrap_err();
        println!("byte {at}: {error}");
        assert!(matches!(error, SignatureError::Changed { .. }), "{error}");
    }
}
