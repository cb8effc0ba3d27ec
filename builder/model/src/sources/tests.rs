use super::*;

const GOOD: &str = r#"
default = "debian"

[signers.debian]
keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
obtain = "install debian-archive-keyring"

[signers.kernel-org]
keyring = "keys/kernel-org.asc"
fingerprints = ["B886 8C80 BA62 A1FF FAF5  FDA9 632D 3A06 589D A6B1"]
wkd = "autosigner@Kernel.org"
keyserver = "hkps://keys.example/"

[sets.debian]
description = "d"
archive = { suite = "trixie", components = ["main"], signer = "debian" }
kernel.archive = { package = "linux", series = "6.12" }
u-boot.archive = { package = "u-boot", series = "2025.01" }
base.archive = { architecture = "arm64" }

[sets.gentoo]
description = "g"
kernel.kernel-org = { series = "6.18", mirrors = ["https://a.example/k"], signer = "kernel-org" }
u-boot.release = { version = "2025.01", mirrors = ["https://a.example/u/"], signer = "kernel-org" }

[sets.gentoo.base.stage3]
flavor = "arm64-systemd"
mirrors = ["https://a.example/g"]
signer = "kernel-org"
mask = ["sys-apps/openrc"]
leave-out = { paths = ["/usr/share/doc", "/usr/lib64/*.a"], package-manager = "drop" }

[[sets.gentoo.base.stage3.packages]]
name = "official"
mirrors = ["https://a.example/p"]
signer = "kernel-org"

[[sets.gentoo.base.stage3.packages]]
name = "own"
folder = "packages"

[[sets.gentoo.base.stage3.packages]]
name = "built"
compile = { keywords = ["app-containers/lxc ~arm64", "net-analyzer/nrpe  **"], use = [">=app-containers/lxc-6 -man ssl"] }

[sets.gentoo.base.stage3.repository]
mirrors = ["https://a.example/s"]
signer = "debian"
distfiles = ["https://a.example/d"]

[licenses.vendor]
title = "the vendor's terms"
text = "https://a.example/terms"

[blobs.board]
license = "vendor"
mirrors = ["https://a.example/b"]
files."bl1.bin" = { size = 512, sha256 = "15cf3aa6c6bd1f296de6f1e08de68c200f95f80197765a587743d6b4edf06435" }
"#;

fn check(text: &str) -> Result<Sources, Findings> {
    Sources::check(&Arc::new(SourceFile {
        path: "sources.toml".into(),
        text: text.into(),
    }))
}

/// The messages of a text in which `old` was replaced by `new`.
fn messages(old: &str, new: &str) -> Vec<String> {
    assert!(GOOD.contains(old), "{old}");
    match check(&GOOD.replacen(old, new, 1)) {
        Ok(_) => Vec::new(),
        Err(findings) => findings.0.into_iter().map(|finding| finding.message).collect(),
    }
}

#[test]
fn a_good_file_becomes_two_complete_sets() {
    let sources = check(GOOD).unwrap();
    assert_eq!(sources.set(None).unwrap().name, "debian");
    let Source::KernelOrg { mirrors, signer, .. } = &sources.set(Some("gentoo")).unwrap().kernel else {
        panic!("{sources:?}")
    };
    assert_eq!(mirrors, &["https://a.example/k/"]);
    assert_eq!(signer.fingerprints, ["B8868C80BA62A1FFFAF5FDA9632D3A06589DA6B1"]);
    assert_eq!(signer.wkd.as_ref().unwrap().to_string(), "autosigner@kernel.org");
    assert_eq!(signer.keyserver.as_deref(), Some("keys.example"));
    let names = |set: &str| -> Vec<_> {
        let signers = sources.sets[set].signers();
        signers.into_iter().map(|signer| signer.name.clone()).collect()
    };
    assert_eq!(names("gentoo"), ["debian", "kernel-org"]);
    assert_eq!(names("debian"), ["debian"]);
}

#[test]
fn a_gentoo_base_knows_its_init_its_packages_and_what_to_leave_out() {
    let sources = check(GOOD).unwrap();
    let BaseSource::Stage3(base) = &sources.sets["gentoo"].base else {
        panic!("{sources:?}")
    };
    assert_eq!(base.init, Init::Systemd);
    let names: Vec<_> = base.packages.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["official", "own", "built"]);
    let official = base.package_source("official").unwrap();
    assert_eq!(
        official.place,
        PackagePlace::Mirrors(vec!["https://a.example/p/".into()])
    );
    assert_eq!(official.signer.as_ref().unwrap().name, "kernel-org");
    let own = base.package_source("own").unwrap();
    assert_eq!(own.place, PackagePlace::Folder("packages".into()));
    assert_eq!(own.signer, None);
    assert_eq!(base.mask, ["sys-apps/openrc"]);
    assert_eq!(base.leave_out.paths, ["/usr/share/doc", "/usr/lib64/*.a"]);
    assert_eq!(base.leave_out.package_manager, gentoo::PackageManager::Drop);

    let other = check(&GOOD.replace("arm64-systemd", "arm64-openrc")).unwrap();
    let BaseSource::Stage3(base) = &other.sets["gentoo"].base else {
        panic!("{other:?}")
    };
    assert_eq!(base.init, Init::OpenRc);

    // Neither packages nor anything to leave out has to be named.
    let start = GOOD.find("mask = ").unwrap();
    let end = GOOD.find("[licenses.vendor]").unwrap();
    let bare = check(&format!("{}{}", &GOOD[..start], &GOOD[end..])).unwrap();
    let BaseSource::Stage3(base) = &bare.sets["gentoo"].base else {
        panic!("{bare:?}")
    };
    assert_eq!((base.packages.len(), &base.leave_out), (0, &LeaveOut::default()));
}

#[test]
fn what_is_compiled_is_said_as_portage_says_it() {
    let sources = check(GOOD).unwrap();
    let BaseSource::Stage3(base) = &sources.sets["gentoo"].base else {
        panic!("{sources:?}")
    };
    let (source, compile) = base.compiled().unwrap();
    assert_eq!((source.name.as_str(), &source.signer), ("built", &None));
    assert_eq!(
        compile.keywords,
        ["app-containers/lxc ~arm64", "net-analyzer/nrpe **"]
    );
    assert_eq!(compile.use_flags, [">=app-containers/lxc-6 -man ssl"]);
    let repository = base.repository.as_ref().unwrap();
    assert_eq!(repository.mirrors, ["https://a.example/s/"]);
    assert_eq!(repository.distfiles, ["https://a.example/d/"]);
    assert_eq!(
        (repository.signer.name.as_str(), &repository.snapshot),
        ("debian", &None)
    );

    for (old, new, expected) in [
        (
            "lxc ~arm64\"",
            "lxc\"",
            "`app-containers/lxc` is not an atom and a keyword",
        ),
        ("lxc ~arm64\"", "lxc $(id)\"", "`$(id)` is not a keyword"),
        (
            "\"app-containers/lxc ~",
            "\"lxc ~",
            "`lxc` is no atom of a package",
        ),
        ("-man ssl", "-man s;sl", "`s;sl` is not a USE flag"),
        ("-man ssl", "--man", "`--man` is not a USE flag"),
        (
            "compile = {",
            "folder = \"p\"\ncompile = {",
            "the package source `built` is in two places",
        ),
        (
            "compile = {",
            "signer = \"debian\"\ncompile = {",
            "`built` has a signer, and is compiled here",
        ),
        (
            "folder = \"packages\"",
            "compile = {}",
            "there are two package sources that are compiled",
        ),
        (
            "distfiles = ",
            "snapshot = \"20261301\"\ndistfiles = ",
            "`20261301` is no day of a snapshot",
        ),
    ] {
        assert_eq!(messages(old, new), [expected], "{new}");
    }
    let start = GOOD.find("[sets.gentoo.base.stage3.repository]").unwrap();
    let end = GOOD.find("[licenses.vendor]").unwrap();
    let without = check(&format!("{}{}", &GOOD[..start], &GOOD[end..])).unwrap_err();
    assert_eq!(
        without.0[0].message,
        "there are no ebuilds that `built` could be compiled from"
    );
}

#[test]
fn a_licence_counts_once_it_is_accepted() {
    let sources = check(GOOD).unwrap();
    let blobs = &sources.blobs["board"];
    assert_eq!(blobs.mirrors, ["https://a.example/b/"]);
    assert_eq!(blobs.files["bl1.bin"].size.0, 512);
    assert!(!sources.accepts(&blobs.license));
    let accepted = GOOD.replacen('\n', "\naccept-licenses = [\"vendor\"]\n", 1);
    let sources = check(&accepted).unwrap();
    assert!(sources.accepts(&sources.blobs["board"].license));
}

#[test]
fn a_set_that_does_not_exist_is_named_with_the_nearest() {
    let finding = check(GOOD).unwrap().set(Some("gento")).unwrap_err();
    assert_eq!(finding.message, "there is no source set `gento`");
    assert_eq!(finding.hint.as_deref(), Some("did you mean `gentoo`?"));
}

#[test]
fn each_rule_has_its_finding() {
    for (old, new, expected) in [
        (
            "default = \"debian\"",
            "default = \"debain\"",
            "there is no source set `debain`",
        ),
        (
            "signer = \"debian\"",
            "signer = \"debina\"",
            "there is no signer `debina`",
        ),
        (
            "B886 ",
            "",
            "`8C80 BA62 A1FF FAF5  FDA9 632D 3A06 589D A6B1` is no OpenPGP fingerprint",
        ),
        ("\"trixie\"", "\"../trixie\"", "`../trixie` is no name of a suite"),
        (
            "\"trixie\"",
            "\"trixie\", security = \"../trixie\"",
            "`../trixie` is no name of a suite",
        ),
        (
            "\"trixie\"",
            "\"trixie\", security = \"trixie\"",
            "the suite of security updates is the suite itself",
        ),
        (
            "components = [\"main\"]",
            "components = []",
            "the archive has no components",
        ),
        (
            "\"arm64\"",
            "\"amd64\"",
            "`amd64` is no architecture that a node can have",
        ),
        ("\"6.12\"", "\"6.x\"", "`6.x` is no version"),
        ("\"linux\"", "\"a/b\"", "`a/b` is no name of a source package"),
        (
            "[\"https://a.example/k\"]",
            "[]",
            "there is no mirror to fetch this from",
        ),
        (
            "https://a.example/k",
            "ftp://a.example/k",
            "`ftp://a.example/k` is no mirror",
        ),
        ("https://a.example/k", "https:///k", "`https:///k` is no mirror"),
        ("\"keys/kernel-org.asc\"", "\"\"", "the keyring has no path"),
        (
            "obtain = \"install debian-archive-keyring\"\n",
            "",
            "nothing says where the keyring of the signer `debian` comes from",
        ),
        (
            "obtain = \"install debian-archive-keyring\"\n",
            "keyserver = \"hkps://keys.example\"\n",
            "keys of the signer `debian` are fetched, but none is pinned",
        ),
        (
            "autosigner@Kernel.org",
            "autosigner@kernel.org/../x",
            "`autosigner@kernel.org/../x` is no mail address",
        ),
        (
            "hkps://keys.example/",
            "hkp://keys.example",
            "`hkp://keys.example` is no key server",
        ),
        (
            "hkps://keys.example/",
            "hkps://keys.example/a?b",
            "`hkps://keys.example/a?b` is no key server",
        ),
        (
            "hkps://keys.example/",
            "hkps://me@keys.example",
            "`hkps://me@keys.example` is no key server",
        ),
        (
            "archive = { suite = \"trixie\", components = [\"main\"], signer = \"debian\" }\n",
            "",
            "this comes from an archive, but the set names none",
        ),
        (
            "kernel.archive = { package",
            "kernel.tarball = { package",
            "unknown key `tarball` in `sets.debian.kernel`",
        ),
        (
            "package = \"linux\"",
            "packet = \"linux\"",
            "unknown key `packet` in `sets.debian.kernel.archive`",
        ),
        (
            "\"arm64-systemd\"",
            "\"arm64\"",
            "`arm64` is no flavor of a stage3 that a node can have",
        ),
        (
            "\"arm64-systemd\"",
            "\"amd64-systemd\"",
            "`amd64-systemd` is no flavor of a stage3 that a node can have",
        ),
        (
            "name = \"own\"",
            "name = \"official\"",
            "there are two package sources `official`",
        ),
        (
            "name = \"own\"",
            "name = \"my own\"",
            "`my own` is no name of a package source",
        ),
        ("folder = \"packages\"", "folder = \"\"", "the folder has no path"),
        (
            "folder = \"packages\"\n",
            "",
            "the package source `own` is nowhere",
        ),
        (
            "folder = \"packages\"",
            "folder = \"packages\"\nmirrors = [\"https://a.example/o\"]",
            "the package source `own` is in two places",
        ),
        (
            "folder = \"packages\"",
            "folder = \"packages\"\nsigner = \"gentooo\"",
            "there is no signer `gentooo`",
        ),
        (
            "[\"https://a.example/p\"]",
            "[\"rsync://a.example/p\"]",
            "`rsync://a.example/p` is no mirror",
        ),
        (
            "[\"sys-apps/openrc\"]",
            "[\"openrc\"]",
            "`openrc` is no atom of a package",
        ),
        (
            "\"/usr/share/doc\"",
            "\"usr/share/doc\"",
            "pattern \"usr/share/doc\" has to start with `/`, or be a name without one",
        ),
        (
            "\"/usr/share/doc\"",
            "\"/usr/../etc\"",
            "pattern \"/usr/../etc\" has an empty component, `.` or `..`",
        ),
        ("\"/usr/share/doc\"", "\"/\"", "pattern \"/\" means everything"),
        (
            "package-manager = \"drop\"",
            "package-manager = \"remove\"",
            "`sets.gentoo.base.stage3.leave-out.package-manager` cannot be `remove`",
        ),
        (
            "default = \"debian\"\n",
            "default = \"debian\"\naccept-licenses = [\"vendro\"]\n",
            "there is no license `vendro`",
        ),
        (
            "license = \"vendor\"",
            "license = \"none\"",
            "there is no license `none`",
        ),
        (
            "\"bl1.bin\"",
            "\"../bl1.bin\"",
            "`../bl1.bin` is no name of a blob",
        ),
        ("size = 512", "size = 0", "a blob has no 0 bytes"),
        (
            "\"15cf3aa6c6",
            "\"15CF3AA6C6",
            "`15CF3AA6C6bd1f296de6f1e08de68c200f95f80197765a587743d6b4edf06435` is no SHA-256",
        ),
        (
            "[\"https://a.example/b\"]",
            "[]",
            "there is no mirror to fetch this from",
        ),
    ] {
        let found = messages(old, new);
        assert!(
            found.iter().any(|message| message == expected),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn all_findings_come_at_once_with_their_places() {
    let text = GOOD.replace("\"trixie\"", "\"\"").replace("\"6.18\"", "\"new\"");
    let findings = check(&text).unwrap_err();
    let places: Vec<_> = findings
        .0
        .iter()
        .map(|finding| finding.place.as_ref().unwrap().line_column().0)
        .collect();
    assert_eq!(places, [16, 23], "{findings}");
}

#[test]
fn a_series_holds_its_own_releases_only() {
    let series = Series::parse("6.12").unwrap();
    for (version, held) in [
        ("6.12", true),
        ("6.12.107", true),
        ("6.1", false),
        ("6.120", false),
        ("6.12-rc1", false),
    ] {
        assert_eq!(series.holds(version), held, "{version}");
    }
    for bad in ["", "6.", ".6", "6..1", "6.12-rc1", "99999999999999999999999"] {
        assert!(Series::parse(bad).is_none(), "{bad}");
    }
}
