//! What a lock pins as a folder, and what is made of it without any server.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use debian::dpkg::InstalledDeb;
use engine::is_verification_failure;
use fetch::{Gathering, LockedBase, LockedSet, Mirrors, Network, Pinned, Stage3Files, check_base, obtain};
use model::sources::{BaseSource, PackagePlace};
use stages::vendor::fill;
use testkit::server::Server;
use testmirror::gentoo_mirror::{Gentoo, index};
use testmirror::gentoo_project::{wanting, written};
use testmirror::miniature::{Archive, Project};
use testmirror::workbench::{Workbench, files, offline, text};

fn deb(name: &str, version: &str) -> InstalledDeb {
    InstalledDeb {
        name: name.into(),
        version: version.into(),
        architecture: "arm64".into(),
        source: name.into(),
        source_version: version.into(),
    }
}

fn locked(project: &Project) -> LockedSet {
    project.lock().sets[&project.set.name].clone()
}

/// Everything that the lock of a project pins.
fn gather(
    project: &Project,
    bench: &Workbench,
    mirror: Option<&str>,
    network: &Network,
    installed: &[InstalledDeb],
) -> anyhow::Result<Vec<Pinned>> {
    let gathering = Gathering {
        engine: &bench.engine,
        root: project.bench.folder.path(),
        mirror,
        network,
    };
    gathering.set(&project.set, &locked(project), |_| Ok(installed.to_vec()))
}

/// Vendors a project, and the URL of the folder.
fn vendored(project: &Project, installed: &[InstalledDeb], folder: &Path) -> String {
    let bench = &project.bench;
    let pinned = gather(
        project,
        bench,
        project.mirror.as_deref(),
        &bench.network,
        installed,
    )
    .unwrap();
    let (bytes, written) = fill(&bench.engine, folder, &pinned).unwrap();
    assert_eq!(written, pinned.len());
    assert!(bytes.0 > 0);
    // Once more: all is there.
    assert_eq!(fill(&bench.engine, folder, &pinned).unwrap().1, 0);
    format!("file://{}", folder.display())
}

/// What a folder has, by a server.
fn served(folder: &Path) -> Server {
    let read = |path: std::path::PathBuf| {
        let bytes = fs::read(folder.join(&path)).unwrap();
        (path.to_str().unwrap().to_owned(), bytes)
    };
    Server::of_files(files(folder).into_iter().map(read).collect::<HashMap<_, _>>())
}

#[test]
fn a_debian_set_is_had_from_its_folder() {
    let archive = Archive::new();
    let mut files_of = archive.files();
    files_of.extend(archive.security().files());
    let project = Project::new("debian-updated", &archive.signer, files_of);
    project.update().unwrap();
    let installed = [deb("bash", "5.2-1+deb13u1"), deb("dash", "1:0.5-1")];
    let folder = project.bench.folder.path().join("a vendor");
    let url = vendored(&project, &installed, &folder);
    let names: Vec<_> = files(&folder)
        .iter()
        .map(|path| path.to_str().unwrap().to_owned())
        .filter(|path| !path.contains("by-hash"))
        .collect();
    assert_eq!(
        names,
        [
            "dists/trixie/InRelease",
            "dists/trixie/main/binary-arm64/Packages.xz",
            "dists/trixie/main/source/Sources.xz",
            "dists/trixie-security/InRelease",
            "dists/trixie-security/main/binary-arm64/Packages.xz",
            "dists/trixie-security/main/source/Sources.xz",
            "pool/main/d/dash/dash_0.5-1_arm64.deb",
            "pool/main/u/u-boot/u-boot_2025.01.orig.tar.xz",
            "pool/updates/main/b/bash/bash_5.2-1+deb13u1_arm64.deb",
            "pool/updates/main/l/linux/linux_6.12.111.orig.tar.xz",
        ]
    );

    // Nothing but the folder: an empty cache, no network.
    let (bare, locked) = (Workbench::new(), locked(&project));
    let LockedBase::Archive(base) = &locked.base else {
        panic!()
    };
    let mirrors = Mirrors::of_base(&project.set.base, Some(&url)).unwrap();
    assert_eq!(check_base(base, &mirrors, &offline()).unwrap().len(), 2);
    for file in locked.files() {
        let had = obtain(&bare.engine, file, &mirrors, &offline()).unwrap();
        let path = file.path.as_str();
        assert_eq!(fs::read(had).unwrap(), fs::read(folder.join(path)).unwrap());
    }
    // It is a mirror to be vendored from, as a folder and by a server, and the copies are the same.
    let server = served(&folder);
    for (mirror, network) in [(url.clone(), offline()), (server.url(), bare.network.clone())] {
        let bench = Workbench::new();
        let copy = bench.folder.path().join("copy");
        let pinned = gather(&project, &bench, Some(&mirror), &network, &installed).unwrap();
        fill(&bench.engine, &copy, &pinned).unwrap();
        assert_eq!(files(&copy), files(&folder));
        for file in files(&copy) {
            assert_eq!(
                fs::read(copy.join(&file)).unwrap(),
                fs::read(folder.join(&file)).unwrap()
            );
        }
    }
    // Without a folder that may be asked, the old error.
    let error = text(gather(
        &project,
        &Workbench::new(),
        Some(&server.url()),
        &offline(),
        &[],
    ));
    assert!(error.contains("nothing may be fetched"), "{error}");
}

#[test]
fn a_folder_that_is_not_what_was_locked_is_refused() {
    let archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    let folder = project.bench.folder.path().join("vendor");
    let installed = [deb("bash", "5.2-1")];
    let url = vendored(&project, &installed, &folder);
    let fails = || {
        let bench = Workbench::new();
        let error = gather(&project, &bench, Some(&url), &offline(), &installed).unwrap_err();
        assert!(
            bench
                .cached()
                .iter()
                .all(|path| !path.ends_with("bash_5.2-1_arm64.deb")),
            "{:?}",
            bench.cached()
        );
        error
    };
    let path = folder.join("pool/main/b/bash/bash_5.2-1_arm64.deb");
    let good = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut changed = good.clone();
    changed[7] ^= 1;
    fs::write(&path, changed).unwrap();
    assert!(is_verification_failure(&fails()), "one byte is another");
    fs::write(&path, &good[..9]).unwrap();
    assert!(format!("{:#}", fails()).contains("it has 9 bytes instead of 400"));
    fs::remove_file(&path).unwrap();
    assert!(format!("{:#}", fails()).contains("it is not there"));
    // Nobody waits for what is not a file.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(format!("{:#}", fails()).contains("no regular file"));

    // A base that the locked archive cannot have.
    let error = text(gather(
        &project,
        &Workbench::new(),
        project.mirror.as_deref(),
        &project.bench.network,
        &[deb("bash", "9")],
    ));
    assert!(
        error.contains("the base has bash 9 (arm64), which no index of the locked archive lists"),
        "{error}"
    );
}

#[test]
fn a_gentoo_set_is_had_from_its_folder_also_of_sources_that_are_folders() {
    let mirror = Gentoo::new();
    let mut project = wanting(&mirror, &["app-containers/lxc", "net-misc/rsync"]);
    project.update().unwrap();
    let folder = project.bench.folder.path().join("vendor");
    let url = vendored(&project, &[], &folder);
    let names = files(&folder);
    let locked_set = locked(&project);
    let base = locked_set.stage3().unwrap();
    // Kernel, U-Boot, the stage3, and each package.
    assert_eq!(names.len(), 3 + base.packages.len(), "{names:?}");
    let brings = |project: &Project, url: &str| {
        let bench = Workbench::new();
        let network = offline();
        let BaseSource::Stage3(source) = &project.set.base else {
            panic!()
        };
        let locked = locked(project);
        let base = locked.stage3().unwrap().clone();
        let root = project.bench.folder.path();
        let files = Stage3Files::new(&bench.engine, root, source, base, Some(url), &network);
        files.tarball().obtain()?;
        files.bring_packages()?;
        files
            .locked()
            .packages
            .iter()
            .try_for_each(|package| files.open(package).map(drop))
    };
    brings(&project, &url).unwrap();
    assert!(brings(&project, "file:///nowhere").is_err());

    // Packages of a folder of this machine, which goes away afterwards.
    let own = project.bench.folder.path().join("own");
    let packages = mirror.packages.clone();
    for package in &packages {
        let path = own.join(package.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, package.gpkg()).unwrap();
    }
    fs::write(own.join("Packages"), index("", &mirror.stanzas())).unwrap();
    let source = &mut written(&mut project).packages[0];
    source.place = PackagePlace::Folder("own".into());
    project.update().unwrap();
    let again = project.bench.folder.path().join("again");
    let url = vendored(&project, &[], &again);
    assert!(
        files(&again)
            .iter()
            .any(|path| path.starts_with("packages/official"))
    );
    fs::remove_dir_all(&own).unwrap();
    brings(&project, &url).unwrap();
}

#[test]
fn packages_that_the_archive_lacks_are_told_with_the_one_that_was_meant() {
    let archive = Archive::new();
    let mut files_of = archive.files();
    files_of.extend(archive.security().files());
    let project = Project::new("debian-updated", &archive.signer, files_of);
    project.update().unwrap();
    let LockedBase::Archive(base) = locked(&project).base else {
        panic!()
    };
    let gathering = Gathering {
        engine: &project.bench.engine,
        root: project.bench.folder.path(),
        mirror: project.mirror.as_deref(),
        network: &project.bench.network,
    };
    let asked = ["bash", "dahs", "dash", "nothing-like-it"]
        .map(str::to_owned)
        .into();
    let unknown = gathering
        .unknown_packages(&project.set.base, &base, &asked)
        .unwrap();
    let unknown: Vec<_> = unknown
        .iter()
        .map(|(name, meant)| (name.as_str(), meant.as_deref()))
        .collect();
    assert_eq!(unknown, [("dahs", Some("dash")), ("nothing-like-it", None)]);
}
