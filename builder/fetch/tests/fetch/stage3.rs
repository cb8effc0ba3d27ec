//! A stage3: digests, signatures, mirrors, and the set that it is the base of.

use std::fs;

use fetch::{Mirrors, Sha256Sum, kernel_of_series, obtain};
use model::sources::Series;
use testkit::server::{Answer, Server};
use testmirror::gentoo_mirror::{AUTOBUILDS, Gentoo, STAMP, u_boot};
use testmirror::gentoo_project::{base, files_of, needs, project};
use testmirror::keys::{Made, clearsign, expiring_key, key, revoked, sign_detached, write_keyring};
use testmirror::workbench::{content, impatient, offline, text};

fn tarball_path() -> String {
    format!("{AUTOBUILDS}/{STAMP}/{}", Gentoo::stage3_name())
}

#[test]
fn upstream_is_resolved_into_a_lock_that_can_be_fetched() {
    let mirror = Gentoo::new();
    let project = project(&mirror);
    project.update().unwrap();
    let lock = project.lock();
    let locked = lock.find(&project.set).unwrap();
    assert_eq!(locked.kernel.version, "6.18.53");
    assert_eq!(locked.u_boot.version, "2025.01");
    let base = base(&project);
    assert_eq!(base.tarball.sha256, Sha256Sum::of(&mirror.tarball()));
    assert!(base.packages.is_empty());
    assert!(!project.lock_text().unwrap().contains("127.0.0.1"));
    let other = kernel_of_series(
        &project.bench.engine,
        project.bench.folder.path(),
        &project.set,
        &Series::parse("6.17").unwrap(),
        None,
        &project.bench.network,
        false,
    );
    assert!(text(other).contains("it lists no release of the series 6.17"));

    // The stage3 was fetched to be hashed; builds find it where they look.
    let offline = offline();
    let files = files_of(&project, None, &offline);
    assert_eq!(
        fs::read(files.tarball().obtain().unwrap()).unwrap(),
        mirror.tarball()
    );
    // And so does the next update.
    project.update().unwrap();
    let fetched = project.server.requests();
    let fetched = fetched
        .iter()
        .filter(|request| request.path == format!("/{}", tarball_path()));
    assert_eq!(fetched.count(), 1);
    let bench = &project.bench;
    for (file, source, bytes) in [
        (&locked.kernel, &project.set.kernel, content(4_000)),
        (&locked.u_boot, &project.set.u_boot, u_boot("2025.01")),
    ] {
        let mirrors = Mirrors::of(source, None).unwrap();
        let path = obtain(&bench.engine, file, &mirrors, &bench.network).unwrap();
        assert_eq!(fs::read(path).unwrap(), bytes);
    }
}

#[test]
fn either_digest_will_do_and_the_signature_beside_the_tarball_may_be_missing() {
    for digests in [&["SHA512"][..], &["BLAKE2B"][..]] {
        let mirror = Gentoo {
            digests,
            asc: false,
            ..Gentoo::new()
        };
        project(&mirror).update().unwrap();
    }
    let mirror = Gentoo {
        digests: &[],
        ..Gentoo::new()
    };
    let expected = format!(
        "it has neither a SHA-512 nor a BLAKE2b of {}",
        Gentoo::stage3_name()
    );
    project(&mirror).refuses(&expected, false);
}

#[test]
fn every_digest_and_signature_that_is_there_has_to_be_right() {
    let mirror = Gentoo::new();
    let project = project(&mirror);
    let put = |path: String, bytes: Vec<u8>| {
        let mut files = project.files.lock().unwrap();
        files.insert(path, bytes).unwrap()
    };
    let digests = format!("{}.DIGESTS", tarball_path());
    let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let good = put(digests.clone(), Vec::new());
    let signed = text_of(&good);
    for kind in ["BLAKE2B", "SHA512"] {
        // Of the one kind the digest of another file, correctly signed.
        let start = signed.find(&format!("# {kind} HASH\n")).unwrap();
        let at = start + kind.len() + 8;
        let body =
            &signed[signed.find("\n\n").unwrap() + 2..signed.find("-----BEGIN PGP SIGNATURE").unwrap()];
        let wrong = body.replacen(&signed[at..at + 128], &"ab".repeat(64), 1);
        put(
            digests.clone(),
            clearsign(&wrong, &mirror.signer, Made::days_ago(1)),
        );
        project.refuses(&format!("instead of {}", "ab".repeat(64)), true);
    }
    put(digests.clone(), signed.replace("HASH", "HAsH").into_bytes());
    project.refuses("it was changed after key ", true);
    put(digests, good);

    let asc = format!("{}.asc", tarball_path());
    let good = put(asc.clone(), sign_detached(b"another tarball", &mirror.signer));
    project.refuses("no mirror has a signature that vouches for ", true);
    put(asc.clone(), sign_detached(&mirror.tarball(), &key("somebody", 9)));
    project.refuses("which is not in the keyring", true);
    put(asc.clone(), b"<html>404</html>".to_vec());
    project.refuses("no mirror has a signature that vouches for ", true);
    put(asc, good);
    project.update().unwrap();
}

#[test]
fn each_reason_why_a_signature_does_not_count_is_told() {
    let mirror = Gentoo::new();
    let project = project(&mirror);
    let path = format!("{AUTOBUILDS}/latest-stage3-arm64-systemd.txt");
    let latest = |signer, made| {
        let name = format!("{STAMP}/{}", Gentoo::stage3_name());
        clearsign(&format!("{name} {}\n", mirror.tarball().len()), signer, made)
    };
    let keyring = project.bench.folder.path().join("keys/all.pgp");
    let expired = expiring_key("expired", 100, 50);
    let withdrawn = key("withdrawn", 100);
    let unknown = key("unknown", 100);
    let made = Made::days_ago(60);
    for (document, certs, expected) in [
        (latest(&expired, made), vec![&expired], ", which expired on "),
        (
            latest(&withdrawn, made),
            vec![&revoked(
                &withdrawn,
                sequoia_openpgp::types::ReasonForRevocation::KeyCompromised,
            )],
            ", which was revoked",
        ),
        (latest(&unknown, made), vec![], "which is not in the keyring"),
        (b"nothing\n".to_vec(), vec![], "it is not signed"),
        (
            latest(
                &mirror.signer,
                Made {
                    valid: Some(testmirror::keys::DAY),
                    ..made
                },
            ),
            vec![],
            "its signature by key ",
        ),
    ] {
        let all: Vec<_> = certs.into_iter().chain([&mirror.signer]).collect();
        write_keyring(&keyring, &all);
        project.files.lock().unwrap().insert(path.clone(), document);
        project.refuses(expected, true);
    }
}

#[test]
fn mirrors_are_asked_in_order_and_the_own_one_first() {
    let mirror = Gentoo::new();
    let mut project = project(&mirror);
    // The own one lacks the kernel, which upstream has.
    let mut near = mirror.files();
    near.retain(|path, _| path.starts_with("releases/"));
    let own = Server::of_files(
        near.into_iter()
            .map(|(path, bytes)| (format!("gentoo/{path}"), bytes))
            .collect(),
    );
    project.mirror = Some(format!("{}gentoo", own.url()));
    project.needs = needs(&["net-misc/chrony"]);
    project.update().unwrap();
    let asked_upstream = |part: &str| {
        let requests = project.server.requests();
        requests.iter().any(|request| request.path.contains(part))
    };
    assert!(!asked_upstream("releases/"), "{:?}", project.server.requests());
    assert!(asked_upstream("sha256sums.asc"));
    let packages = own.requests();
    assert!(
        packages
            .iter()
            .any(|request| request.path.ends_with("net-misc/chrony/chrony-4.7-1.gpkg.tar")),
        "{packages:?}"
    );

    // One that is not there leaves it to upstream.
    let dead = Server::start(|_| Answer::status(200)).url();
    project.mirror = Some(dead);
    project.update().unwrap();
    assert!(asked_upstream("releases/"));

    project.mirror = Some("/srv/mirror".into());
    project.refuses("`/srv/mirror` is no mirror", false);
}

#[test]
fn a_tarball_that_is_gone_is_explained() {
    let mirror = Gentoo::new();
    let project = project(&mirror);
    project.update().unwrap();
    fs::remove_dir_all(project.bench.engine.cache.root().join("sources")).unwrap();
    project.files.lock().unwrap().remove(&tarball_path());
    let error = text(files_of(&project, None, &impatient()).tarball().bring());
    assert!(
        error.contains("the server answered 404") && error.contains("\nmirrors keep the last few builds"),
        "{error}"
    );
    let error = text(files_of(&project, None, &offline()).tarball().obtain());
    assert!(
        error.contains("run the same command once without `--offline`"),
        "{error}"
    );
    // A mirror that still has it.
    let own = Server::of_files(mirror.files());
    let (url, network) = (own.url(), impatient());
    let path = files_of(&project, Some(&url), &network).tarball().obtain();
    assert_eq!(fs::read(path.unwrap()).unwrap(), mirror.tarball());
}

#[test]
fn a_tarball_without_a_database_is_no_stage3() {
    let mirror = Gentoo {
        installed: Vec::new(),
        ..Gentoo::new()
    };
    let mut project = project(&mirror);
    project.needs = needs(&["net-misc/chrony"]);
    project.refuses(
        "is no stage3: there is no installed package in its /var/db/pkg",
        false,
    );
}
