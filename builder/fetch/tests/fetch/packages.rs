//! Binary packages over a stage3: indexes that lie, packages that are not what was promised, and what is said of it.

use std::fs;

use engine::is_verification_failure;
use model::sources::PackagePlace;
use testkit::server::{Answer, Server};
use testmirror::gentoo_mirror::{BINHOST, Binary, Gentoo, gz, index};
use testmirror::gentoo_project::{base, files_of, needs, wanting, written};
use testmirror::keys::{Made, clearsign, fingerprint, key};
use testmirror::miniature::Project;
use testmirror::workbench::{impatient, offline, text};

/// Puts another index on the server.
fn put_index(project: &Project, bytes: Vec<u8>) {
    let mut files = project.files.lock().unwrap();
    files.insert(format!("{BINHOST}/Packages.gz"), bytes);
}

#[test]
fn packages_are_resolved_fetched_and_locked() {
    let mirror = Gentoo::new();
    let project = wanting(
        &mirror,
        &["app-containers/lxc", "net-misc/rsync", "net-misc/chrony"],
    );
    let report = project.update().unwrap().to_string();
    assert!(
        report.ends_with("\n  and 3 packages over it: 3 added, 0 removed, 0 changed"),
        "{report}"
    );
    let locked = base(&project);
    let told: Vec<_> = locked
        .packages
        .iter()
        .map(|package| (package.cpv.as_str(), package.build, package.requested))
        .collect();
    let place = |cpv: &str| told.iter().position(|(other, ..)| *other == cpv).unwrap();
    assert!(told.contains(&("net-misc/chrony-4.7", Some(1), true)), "{told:?}");
    assert!(
        told.contains(&("sys-libs/libcap-2.76", Some(3), false)),
        "{told:?}"
    );
    // What is needed comes before what needs it.
    assert!(place("sys-libs/libcap-2.76") < place("app-containers/lxc-6.0.4"));
    let signers: Vec<_> = locked.sources["official"].signers.iter().collect();
    assert_eq!(signers, [&fingerprint(&mirror.signer)]);

    let text = project.lock_text().unwrap();
    assert!(!text.contains("127.0.0.1"), "{text}");
    let line = text.lines().find(|line| line.contains("libcap")).unwrap();
    let start = "    { cpv = \"sys-libs/libcap-2.76\", build = 3, source = \"official\", path = \
                 \"sys-libs/libcap/libcap-2.76-3.gpkg.tar\", size = ";
    assert!(line.starts_with(start) && line.ends_with("\" },"), "{line}");

    let offline = offline();
    let files = files_of(&project, None, &offline);
    files.bring_packages().unwrap();
    for locked in &locked.packages {
        let package = files.open(locked).unwrap();
        let category = &package.metadata()["CATEGORY"];
        assert!(locked.cpv.as_bytes().starts_with(category.trim_ascii()));
    }

    // Once more: the same lock, no package a second time.
    let asked = project.server.requests().len();
    let report = project.update().unwrap();
    assert_eq!(report.packages, []);
    assert_eq!(project.lock_text().unwrap(), text);
    let again = project.server.requests();
    let again = again[asked..]
        .iter()
        .filter(|request| request.path.ends_with(".gpkg.tar"));
    assert_eq!(again.count(), 0);
}

#[test]
fn what_changed_is_told_package_by_package() {
    let mut mirror = Gentoo::new();
    let mut project = wanting(&mirror, &["app-containers/lxc", "net-misc/chrony"]);
    project.update().unwrap();
    let signer = Some(mirror.signer.clone());
    mirror.packages.extend([
        Binary {
            signer: signer.clone(),
            ..Binary::new("sys-libs/libcap-2.77")
        },
        Binary {
            signer,
            ..Binary::new("net-proxy/haproxy-3.2.1")
        },
    ]);
    *project.files.lock().unwrap() = mirror.files();
    project.needs = needs(&["app-containers/lxc", "net-proxy/haproxy"]);
    let report = project.update().unwrap();
    let lines: Vec<_> = report.packages.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "net-misc/chrony 4.7 (build 1) (removed)",
            "net-proxy/haproxy 3.2.1 (build 1) (new)",
            "sys-libs/libcap 2.76 (build 3) -> 2.77 (build 1)",
        ]
    );
    assert!(
        report
            .to_string()
            .ends_with("3 packages over it: 1 added, 1 removed, 1 changed"),
        "{report}"
    );
}

#[test]
fn a_package_that_nobody_has_is_told_with_all_places_looked() {
    let mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-vpn/i2pd"]);
    let error = text(project.update());
    for expected in [
        "cannot resolve the packages: ",
        "net-vpn/i2pd",
        "\n- the stage3 (2 packages)",
        "\n- `official`, http://127.0.0.1:",
        " (4 packages)",
        "sources.toml shows how to add a package source of your own",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(project.lock_text(), None);
}

#[test]
fn packages_that_are_not_what_they_have_to_be_are_refused() {
    let mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-misc/chrony"]);
    let good = mirror.packages[3].clone();
    let path = format!("{BINHOST}/{}", good.path());
    let refuse = |stanza, package: &Binary, expected: &str| {
        put_index(&project, gz(&index("", &[stanza])));
        let gpkg = package.gpkg();
        project.files.lock().unwrap().insert(path.clone(), gpkg);
        fs::remove_dir_all(project.bench.engine.cache.root().join("sources")).ok();
        project.refuses(expected, true);
    };
    // What the index says of a package that is honestly signed.
    for (key, value, expected) in [
        (
            "RDEPEND",
            "sys-libs/glibc",
            "it needs ``, the index has `sys-libs/glibc`",
        ),
        ("SLOT", "0/7", "its SLOT is `0/0`, the index has `0/7`"),
        ("USE", "seccomp", "its USE is ``, the index has `seccomp`"),
        ("BUILD_ID", "9", "its BUILD_ID is `1`, the index has `9`"),
        ("CPV", "net-misc/chrony-9", "net-misc/chrony-4.7"),
        (
            "PROVIDES",
            "arm_64: libc.so.6",
            "its PROVIDES is ``, the index has `arm_64: libc.so.6`",
        ),
    ] {
        let mut stanza = good.stanza();
        stanza.insert(key.into(), value.into());
        refuse(stanza, &good, expected);
    }
    // Nobody, and somebody else.
    let unsigned = Binary {
        signer: None,
        ..good.clone()
    };
    refuse(
        unsigned.stanza(),
        &unsigned,
        "the package is not signed, and its source requires a signature",
    );
    let stranger = Binary {
        signer: Some(key("stranger", 9)),
        ..good.clone()
    };
    refuse(stranger.stanza(), &stranger, "which is not in the keyring");
    // Other bytes than listed, of the same length.
    let other = good.clone().with("BUILD_TIME", "1789000001");
    assert_eq!(other.gpkg().len(), good.gpkg().len());
    refuse(good.stanza(), &other, "its hash is ");

    *project.files.lock().unwrap() = mirror.files();
    project.update().unwrap();
}

#[test]
fn a_source_without_a_signer_takes_what_anybody_signed_or_nobody() {
    let mut mirror = Gentoo::new();
    mirror.packages[3].signer = None;
    mirror.packages[2].signer = Some(key("stranger", 9));
    let mut project = wanting(&mirror, &["net-misc/chrony", "sys-libs/libcap"]);
    project.refuses("2 of 2 packages cannot be had", true);
    written(&mut project).packages[0].signer = None;
    project.update().unwrap();
    assert!(base(&project).sources["official"].signers.is_empty());
    let offline = offline();
    let files = files_of(&project, None, &offline);
    for locked in &files.locked().packages {
        files.open(locked).unwrap();
    }
    let signer = written(&mut project).signer.clone();
    written(&mut project).packages[0].signer = Some(signer);
    let lock = project.lock();
    let error = text(lock.find(&project.set).cloned());
    assert!(
        error.contains(
            "packages of `official` have to be signed now, nobody looked whether the locked ones are"
        ),
        "{error}"
    );
}

#[test]
fn all_packages_that_cannot_be_had_are_told_at_once() {
    let mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-misc/chrony", "sys-libs/libcap"]);
    {
        let mut files = project.files.lock().unwrap();
        files.retain(|path, _| !path.ends_with(".gpkg.tar"));
    }
    let error = text(project.update());
    for expected in [
        "2 of 2 packages cannot be had:\n- ",
        "net-misc/chrony-4.7 of the package source `official`: cannot fetch chrony-4.7-1.gpkg.tar",
        "sys-libs/libcap-2.76 of the package source `official`: cannot fetch libcap-2.76-3.gpkg.tar",
        "the server answered 404",
        "a source replaces packages when they are built again",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn an_index_that_cannot_list_a_package_is_told_so() {
    let mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-misc/chrony"]);
    for (key, value, expected) in [
        ("SHA1", None, "the index does not say its SHA-1"),
        ("SIZE", None, "the index does not say its size"),
        ("SIZE", Some("99999999999999"), "above the limit of 4294967296"),
        (
            "PATH",
            Some("net-misc/chrony/a?b.gpkg.tar"),
            "has other characters than letters",
        ),
        ("PATH", Some("../../etc/passwd"), "a path below the source"),
        ("SHA1", Some("abc"), "40 hexadecimal digits"),
        ("SIZE", Some("-1"), "a number that fits"),
        ("CPV", Some("chrony"), "chrony"),
    ] {
        let mut stanza = mirror.packages[3].stanza();
        match value {
            None => stanza.remove(key),
            Some(value) => stanza.insert(key.into(), value.into()),
        };
        put_index(&project, gz(&index("", &[stanza])));
        project.refuses(expected, false);
    }
}

#[test]
fn an_index_that_is_none_leaves_it_to_the_next_mirror() {
    let mirror = Gentoo::new();
    let mut project = wanting(&mirror, &["net-misc/chrony"]);
    let good = index("", &mirror.stanzas());
    let cut = gz(&good);
    for (answer, expected) in [
        (Answer::status(503), "Packages.gz: the server answered 503"),
        (Answer::whole(b"<html>"), "it cannot be unpacked"),
        (Answer::whole(&cut[..cut.len() / 2]), "it cannot be unpacked"),
        (Answer::whole(&gz("<html>\n")), "is not `KEY: VALUE`"),
        (Answer::whole(&gz("VERSION: 7\n")), "the index has version `7`"),
        (
            Answer::whole(&gz(&good.replacen("PACKAGES: 4", "PACKAGES: 5", 1))),
            "its header says 5",
        ),
        (Answer::whole(&gz("A: \u{1}\nA: b\n")), "is given twice"),
    ] {
        let bad = Server::start(move |_| answer.clone());
        let places = &mut written(&mut project).packages[0].place;
        let PackagePlace::Mirrors(mirrors) = places else {
            panic!("the source is no server")
        };
        let upstream = mirrors.pop().unwrap();
        *mirrors = vec![bad.url()];
        let error = text(project.update());
        assert!(
            error.contains("no mirror of the package source `official` has a readable index:\n  http://")
                && error.contains(expected),
            "{expected}: {error}"
        );
        written(&mut project).packages[0].place = PackagePlace::Mirrors(vec![bad.url(), upstream]);
        project.update().unwrap();
        fs::remove_file(project.bench.folder.path().join("sources.lock")).unwrap();
    }
}

#[test]
fn an_index_may_be_plain_and_may_have_its_packages_elsewhere() {
    let mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-misc/chrony"]);
    let elsewhere = Server::of_files(
        mirror
            .packages
            .iter()
            .map(|package| (format!("pool/{}", package.path()), package.gpkg()))
            .collect(),
    );
    let uri = format!("{}pool/", elsewhere.url());
    let plain = index(
        &format!("URI: {}\n", uri.trim_end_matches('/')),
        &mirror.stanzas(),
    );
    {
        let mut files = project.files.lock().unwrap();
        files.retain(|path, _| !path.starts_with(BINHOST));
        files.insert(format!("{BINHOST}/Packages"), plain.into_bytes());
    }
    project.update().unwrap();
    assert_eq!(base(&project).sources["official"].uri.as_deref(), Some(&uri[..]));
    fs::remove_dir_all(project.bench.engine.cache.root().join("sources")).unwrap();
    let network = impatient();
    let files = files_of(&project, None, &network);
    files.bring_packages().unwrap();
    files.open(&files.locked().packages[0]).unwrap();

    put_index(&project, gz(&index("URI: ssh://host/pool\n", &mirror.stanzas())));
    project.refuses(
        "has its packages at `ssh://host/pool`, which is no http:// or https:// URL of a folder",
        false,
    );
}

#[test]
fn packages_are_fetched_side_by_side_and_go_on_after_a_cut() {
    let mirror = Gentoo::new();
    let names: Vec<&'static str> = (0..12)
        .map(|number| &*Box::leak(format!("app-misc/thing{number}-1").into_boxed_str()))
        .collect();
    let packages: Vec<Binary> = names
        .iter()
        .map(|cpv| Binary {
            signer: Some(mirror.signer.clone()),
            ..Binary::new(cpv)
        })
        .collect();
    let mirror = Gentoo { packages, ..mirror };
    let atoms: Vec<String> = names
        .iter()
        .map(|cpv| cpv.trim_end_matches("-1").to_owned())
        .collect();
    let mut project = wanting(&mirror, &atoms.iter().map(String::as_str).collect::<Vec<_>>());
    let files = mirror.files();
    let cutting = Server::start(move |request| {
        let Some(bytes) = files.get(request.path.trim_start_matches('/')) else {
            return Answer::status(404);
        };
        let answer = Answer::file(request, bytes);
        match request.before {
            0 if request.path.ends_with(".gpkg.tar") => answer.cut_after(2_000),
            _ => answer,
        }
    });
    project.mirror = Some(cutting.url());
    project.update().unwrap();
    let requests = cutting.requests();
    let resumed = requests.iter().filter(|request| request.from == Some(2_000));
    assert_eq!(resumed.count(), 12);
    let locked = base(&project);
    assert_eq!(locked.packages.len(), 12);
    let again = text_of_update(&project);
    assert_eq!(project.lock_text().unwrap(), again);
}

/// The lock that a new cache and a new project come to.
fn text_of_update(project: &Project) -> String {
    let root = project.bench.folder.path();
    fs::remove_dir_all(project.bench.engine.cache.root().join("sources")).unwrap();
    let before = fs::read_to_string(root.join("sources.lock")).unwrap();
    fs::remove_file(root.join("sources.lock")).unwrap();
    project.update().unwrap();
    assert_eq!(fs::read_to_string(root.join("sources.lock")).unwrap(), before);
    before
}

#[test]
fn a_manifest_that_is_signed_for_another_package_does_not_count() {
    let mirror = Gentoo::new();
    let mut project = wanting(&mirror, &["net-misc/chrony"]);
    // A text that the right one signed, but no Manifest of this package.
    let signed = clearsign("DATA image.tar 1 SHA512 00\n", &mirror.signer, Made::now());
    let package = mirror.packages[3].clone();
    let mut gpkg = package.gpkg();
    let at = gpkg
        .windows(34)
        .position(|window| window == b"-----BEGIN PGP SIGNED MESSAGE-----")
        .unwrap();
    let end = at + signed.len();
    gpkg[at..end].copy_from_slice(&signed);
    let mut stanza = package.stanza();
    stanza.insert("SHA1".into(), {
        use sha1::Digest;
        formats::digest::hex(&sha1::Sha1::digest(&gpkg))
    });
    put_index(&project, gz(&index("", &[stanza])));
    let path = format!("{BINHOST}/{}", package.path());
    project.files.lock().unwrap().insert(path, gpkg);
    project.needs = needs(&["net-misc/chrony"]);
    let error = project.update().unwrap_err();
    assert!(is_verification_failure(&error), "{error:#}");
}
