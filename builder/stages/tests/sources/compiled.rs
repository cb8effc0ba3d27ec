//! Packages that were compiled: taken from what was vendored, and the snapshot of ebuilds that the lock pins beside them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::is_verification_failure;
use fetch::{
    Lock, LockedBase, LockedCompile, LockedFile, LockedStage3, Moment, Network, Sha256Sum, Stage3Files,
};
use formats::units::Bytes;
use model::sources::{Compile, PackagePlace, PackageSource, Repository};
use stages::audit::{Audit, AuditRequest, audit};
use testkit::tars::RawTar;
use testmirror::gentoo_mirror::Gentoo;
use testmirror::gentoo_project::{base, wanting, written};
use testmirror::keys::fingerprint;
use testmirror::miniature::{Project, xz};
use testmirror::workbench::{Workbench, offline, text};

const SNAPSHOT: &str = "gentoo-20261120.tar.xz";

/// A snapshot as it is locked.
fn snapshot(mirror: &Gentoo, bytes: &[u8]) -> LockedFile {
    LockedFile {
        version: "20261120".into(),
        file: SNAPSHOT.into(),
        path: SNAPSHOT.into(),
        size: Bytes(bytes.len() as u64),
        sha256: Sha256Sum::of(bytes),
        signer: fingerprint(&mirror.signer),
        index: format!("{SNAPSHOT}.gpgsig"),
        date: Moment(1_763_683_200),
    }
}

/// What was compiled of a snapshot.
fn compiled(snapshot: LockedFile) -> LockedCompile {
    LockedCompile {
        atoms: BTreeSet::new(),
        keywords: Vec::new(),
        use_flags: Vec::new(),
        distfiles: Vec::new(),
        tools: Vec::new(),
        snapshot,
    }
}

/// Has a project take its ebuilds from the folder `snapshots` of its server.
fn add_repository(project: &mut Project) {
    let url = project.server.url();
    let source = written(project);
    source.repository = Some(Repository {
        mirrors: vec![format!("{url}snapshots/")],
        signer: Arc::clone(&source.signer),
        snapshot: None,
        distfiles: vec![format!("{url}distfiles/")],
    });
}

fn compile() -> PackagePlace {
    PackagePlace::Compile(Compile::default())
}

/// A project whose one source of packages is compiled, what is locked of it, and a folder that has those packages as
/// `portadc vendor` puts them there.
fn vendored(mirror: &Gentoo) -> (Project, LockedStage3, PathBuf) {
    let mut project = wanting(mirror, &["net-misc/chrony", "app-containers/lxc"]);
    project.update().unwrap();
    add_repository(&mut project);
    written(&mut project).packages[0].place = compile();
    let folder = project.bench.folder.path().join("vendor");
    for package in &mirror.packages {
        let path = folder.join("packages/official").join(package.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, package.gpkg()).unwrap();
    }
    let base = LockedStage3 {
        compiled: Some(compiled(snapshot(mirror, b""))),
        ..base(&project)
    };
    (project, base, folder)
}

/// Brings the packages of `base` from the folder alone into an empty cache, and opens each.
fn bring(project: &mut Project, base: &LockedStage3, folder: &Path) -> (Workbench, anyhow::Result<()>) {
    let (bench, network) = (Workbench::new(), offline());
    let (root, url) = (
        project.bench.folder.path().to_owned(),
        format!("file://{}", folder.display()),
    );
    let source = &*written(project);
    let files = Stage3Files::new(&bench.engine, &root, source, base.clone(), Some(&url), &network);
    let brought = files.bring_packages().and_then(|()| {
        let packages = &files.locked().packages;
        packages
            .iter()
            .try_for_each(|package| files.open(package).map(drop))
    });
    (bench, brought)
}

#[test]
fn what_was_compiled_comes_out_of_a_vendored_folder() {
    let mirror = Gentoo::new();
    let (mut project, base, folder) = vendored(&mirror);
    assert!(base.packages.len() > 1);
    let (bench, brought) = bring(&mut project, &base, &folder);
    brought.unwrap();
    // Nothing was compiled, nor begun.
    for name in ["compiled", "compiling", "stage3"] {
        assert!(!bench.engine.cache.root().join(name).exists(), "{name}");
    }
    let kept = bench.cached();
    for package in &base.packages {
        let path = PathBuf::from(package.sha256.to_string()).join(package.file());
        assert!(kept.contains(&path), "{kept:?}");
    }
}

#[test]
fn a_vendored_package_that_cannot_be_had_is_told_with_the_reason() {
    let mirror = Gentoo::new();
    let (mut project, base, folder) = vendored(&mirror);
    let locked = base.packages.iter().find(|locked| locked.cpv.contains("lxc"));
    let path = folder.join("packages/official").join(&locked.unwrap().path);
    let good = fs::read(&path).unwrap();
    let mut changed = good.clone();
    changed[700] ^= 1;
    // Neither the stage3 nor the snapshot is there, so that compiling fails: then the reason goes before that error.
    let reason = "compiled packages cannot be taken from the mirror: app-containers/lxc-6.0.4: cannot fetch lxc-6.0.4-1.gpkg.tar (";
    for (bytes, expected) in [
        (Some(changed), "its hash is "),
        (Some(good[..900].to_vec()), "it has 900 bytes instead of "),
        (None, "it is not there"),
    ] {
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (bench, brought) = bring(&mut project, &base, &folder);
        let error = text(brought);
        let first = error.lines().next().unwrap_or_default();
        assert!(first.starts_with(reason) && first.contains(expected), "{error}");
        assert!(
            !bench
                .cached()
                .iter()
                .any(|kept| kept.ends_with("lxc-6.0.4-1.gpkg.tar"))
        );
    }
}

/// An advisory that holds all of rsync before 3.4.2 for open.
const ADVISORY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<glsa id=\"202611-01\"><title>rsync: a hole</title>\
    <product type=\"ebuild\">rsync</product><affected><package name=\"net-misc/rsync\" auto=\"yes\" arch=\"*\">\
    <unaffected range=\"ge\">3.4.2</unaffected><vulnerable range=\"lt\">3.4.2</vulnerable></package></affected>\
    <impact type=\"high\"/></glsa>\n";

const ADVISORY_AT: &str = "gentoo-20261120/metadata/glsa/glsa-202611-01.xml";

/// A project whose lock pins a snapshot, which its server has, and the project that commands work on. Its overlays ask for
/// nothing.
fn locking(snapshot_bytes: &[u8]) -> (Project, model::project::Project) {
    let mirror = Gentoo::new();
    let mut project = wanting(&mirror, &[]);
    project.update().unwrap();
    add_repository(&mut project);
    written(&mut project).packages.push(PackageSource {
        name: "built".into(),
        place: compile(),
        signer: None,
    });
    let path = format!("snapshots/{SNAPSHOT}");
    project
        .files
        .lock()
        .unwrap()
        .insert(path, snapshot_bytes.to_vec());
    let root = project.bench.folder.path();
    let mut locked = project.lock().sets[&project.set.name].clone();
    let LockedBase::Stage3(base) = &mut locked.base else {
        panic!("the gentoo set has an archive")
    };
    base.compiled = Some(compiled(snapshot(&mirror, snapshot_bytes)));
    Lock::store(root, &project.set.name, locked).unwrap();
    let mut described = model::project::Project::load(Path::new(testkit::fleet::PROJECT)).unwrap();
    described.root = root.to_owned();
    for overlay in described.overlays.values_mut() {
        overlay.packages.gentoo.clear();
    }
    (project, described)
}

fn audited(
    project: &Project,
    described: &model::project::Project,
    network: &Network,
    advisories: Option<&Path>,
) -> anyhow::Result<Audit> {
    audit(
        &project.bench.engine,
        &AuditRequest {
            project: described,
            set: &project.set,
            mirror: None,
            network,
            advisories,
        },
    )
}

#[test]
fn an_audit_reads_the_locked_snapshot() {
    let tar = RawTar::default()
        .directory("gentoo-20261120/")
        .file("gentoo-20261120/net-misc/rsync/Manifest", "DIST x")
        .file(ADVISORY_AT, ADVISORY)
        .end();
    let (project, described) = locking(&xz(&tar));
    let network = &project.bench.network;
    let found = audited(&project, &described, network, None).unwrap();
    assert_eq!((found.packages, found.advisories.as_str()), (2, SNAPSHOT));
    let open: Vec<_> = found
        .open
        .iter()
        .map(|open| {
            (
                open.package.as_str(),
                open.advisory.as_str(),
                open.mended.as_deref(),
            )
        })
        .collect();
    assert_eq!(open, [("net-misc/rsync", "GLSA-202611-01", Some("3.4.2"))]);
    // Then it is in the cache.
    assert_eq!(audited(&project, &described, &offline(), None).unwrap(), found);
    // Advisories that are named go before.
    let own = project.bench.folder.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("glsa-1.xml"), ADVISORY.replace("3.4.2", "3.4")).unwrap();
    let found = audited(&project, &described, &offline(), Some(&own)).unwrap();
    assert_eq!(
        (found.advisories, found.open.len()),
        (own.display().to_string(), 0)
    );
}

#[test]
fn a_locked_snapshot_that_is_hostile_or_another_is_refused() {
    let large = vec![b' '; (1 << 20) + 1];
    for (tar, expected) in [
        (
            RawTar::default().symlink(ADVISORY_AT, "/etc/shadow").end(),
            "the advisory glsa-202611-01.xml is refused: it is a symbolic link",
        ),
        (
            RawTar::default().file(ADVISORY_AT, large).end(),
            "the advisory glsa-202611-01.xml is refused: it has 1048577 bytes",
        ),
        (
            RawTar::default().file("gentoo-20261120/README", "").end(),
            "has no advisories",
        ),
    ] {
        let (project, described) = locking(&xz(&tar));
        let error = text(audited(&project, &described, &project.bench.network, None));
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let (project, described) = locking(&xz(&RawTar::default().file(ADVISORY_AT, ADVISORY).end()));
    let path = format!("snapshots/{SNAPSHOT}");
    project.files.lock().unwrap().get_mut(&path).unwrap()[40] ^= 1;
    let error = audited(&project, &described, &project.bench.network, None).unwrap_err();
    assert!(is_verification_failure(&error), "{error:#}");
    // Where none is locked there is one thing to do.
    let root = project.bench.folder.path();
    let mut locked = project.lock().sets[&project.set.name].clone();
    if let LockedBase::Stage3(base) = &mut locked.base {
        base.compiled = None;
    }
    Lock::store(root, &project.set.name, locked).unwrap();
    let error = text(audited(&project, &described, &project.bench.network, None));
    assert!(
        error.starts_with(
            "sources.lock pins no snapshot of Gentoo's ebuild repository for the source set `gentoo`"
        ) && error.ends_with("or its folder metadata/glsa, with --advisories"),
        "{error}"
    );
}
