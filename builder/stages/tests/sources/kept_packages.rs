//! Packages that were locked: used where they are, damaged or gone, and locks that are old or were changed by hand.

use std::fs;

use engine::is_verification_failure;
use fetch::{Extent, Sha256Sum};
use formats::units::Time;
use model::sources::{BaseSource, PackagePlace, PackageSource};
use stages::rootfs::{Base, BaseLayers, GentooBase};
use testkit::golden;
use testmirror::gentoo_mirror::{Binary, Gentoo, index};
use testmirror::gentoo_project::{base, files_of, needs, wanting, written};
use testmirror::miniature::Project;
use testmirror::workbench::{impatient, offline, text};

/// A project whose packages are in a folder of its own.
fn with_folder(mirror: &Gentoo, packages: &[&str]) -> Project {
    let mut project = wanting(mirror, packages);
    let folder = project.bench.folder.path().join("packages");
    for package in &mirror.packages {
        let path = folder.join(package.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, package.gpkg()).unwrap();
    }
    fs::write(folder.join("Packages"), index("", &mirror.stanzas())).unwrap();
    written(&mut project).packages = vec![PackageSource {
        name: "own".into(),
        place: PackagePlace::Folder("packages".into()),
        signer: None,
    }];
    project
}

#[test]
fn a_folder_of_packages_is_used_where_it_is() {
    let mirror = Gentoo::new();
    let project = with_folder(&mirror, &["net-misc/chrony"]);
    project.update().unwrap();
    let offline = offline();
    let files = files_of(&project, None, &offline);
    let locked = &files.locked().packages[0];
    let folder = project.bench.folder.path().join("packages");
    let path = folder.join("net-misc/chrony/chrony-4.7-1.gpkg.tar");
    files.bring_packages().unwrap();
    files.open(locked).unwrap();
    assert!(
        !project
            .bench
            .cached()
            .iter()
            .any(|file| file.ends_with("chrony-4.7-1.gpkg.tar"))
    );
    // What changed there is no longer what is locked.
    let mut bytes = fs::read(&path).unwrap();
    bytes[700] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = files.open(locked).unwrap_err();
    assert!(is_verification_failure(&error), "{error:#}");
    assert!(format!("{error:#}").contains("chrony-4.7-1.gpkg.tar: its hash is "));
    fs::write(&path, &bytes[1..]).unwrap();
    let error = files.bring_packages().unwrap_err();
    assert!(is_verification_failure(&error), "{error:#}");
    assert!(
        format!("{error:#}").contains("chrony-4.7-1.gpkg.tar: it has "),
        "{error:#}"
    );
    fs::remove_file(&path).unwrap();
    let error = text(files.bring_packages());
    assert!(error.contains("chrony-4.7-1.gpkg.tar does not exist"), "{error}");

    fs::remove_file(folder.join("Packages")).unwrap();
    project.refuses("has no index `Packages`: `PKGDIR=", false);
    fs::remove_dir_all(&folder).unwrap();
    project.refuses("the package source `own` is the folder ", false);
}

/// Without signatures, which are made anew for each test, as their keys are.
#[test]
fn packages_over_a_stage3_are_the_bytes_of_their_revision() {
    let mut mirror = Gentoo::new();
    for package in &mut mirror.packages {
        package.signer = None;
    }
    let project = with_folder(&mirror, &["net-misc/chrony"]);
    project.update().unwrap();
    let BaseSource::Stage3(source) = &project.set.base else {
        panic!("the gentoo set has no stage3")
    };
    let offline = offline();
    let base = GentooBase {
        files: files_of(&project, None, &offline),
        source,
        time: Time::from_seconds(1_790_000_000),
    };
    let wanted = needs(&["net-misc/chrony"]).packages;
    let made = base
        .layers(&project.bench.engine, 3, &[&wanted])
        .unwrap()
        .remove(0);
    let entry = made.entries.last().unwrap();
    let names = entry.names().unwrap();
    golden::check(
        "gentoo-packages",
        names.iter().map(|name| (name, entry.read(name).unwrap())),
    );
}

#[test]
fn layers_that_are_made_need_neither_stage3_nor_packages() {
    let mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-misc/chrony"]);
    project.update().unwrap();
    let BaseSource::Stage3(source) = &project.set.base else {
        panic!("the gentoo set has no stage3")
    };
    let (engine, offline) = (&project.bench.engine, offline());
    let sources = engine.cache.root().join("sources");
    let base = GentooBase {
        files: files_of(&project, None, &offline),
        source,
        time: Time::from_seconds(1_790_000_000),
    };
    // The layer of the stage3 was made to see what it has installed, that of the packages was not made yet.
    let locked = base.files.locked();
    let kept = |sum: Sha256Sum| sources.join(sum.to_string());
    fs::remove_dir_all(kept(locked.tarball.sha256)).unwrap();
    let chosen = kept(locked.packages[0].sha256);
    fs::rename(&chosen, project.bench.folder.path().join("away")).unwrap();
    let asked_for = needs(&["net-misc/chrony"]).packages;
    let prepare = |zstd| base.prepare(engine, zstd, &[asked_for.clone()].into());
    let layers = |zstd| Ok(base.layers(engine, zstd, &[&asked_for])?.remove(0));
    for needed in [prepare(3), layers(3).map(drop)] {
        let error = text(needed);
        assert!(
            error.contains("1 of 1 packages cannot be had") && error.contains("chrony-4.7-1.gpkg.tar ("),
            "{error}"
        );
    }
    fs::rename(project.bench.folder.path().join("away"), &chosen).unwrap();
    prepare(3).unwrap();
    let made = layers(3).unwrap();

    fs::remove_dir_all(&sources).unwrap();
    let asked = project.server.requests().len();
    prepare(3).unwrap();
    let found = layers(3).unwrap();
    assert_eq!(found.key, made.key);
    let entries = |base: &BaseLayers| -> Vec<_> {
        let layers = base.layers.iter();
        layers.map(|layer| layer.entries.clone()).collect()
    };
    assert_eq!(entries(&found), entries(&made));
    assert!(!project.bench.folder.path().join("cache/sources").exists());
    // Stored otherwise, they have to be made anew.
    for needed in [prepare(4), layers(4).map(drop)] {
        let error = text(needed);
        assert!(
            error.contains("stage3-arm64-systemd-") && error.contains("is not in the cache"),
            "{error}"
        );
    }
    assert_eq!(project.server.requests().len(), asked);
}

#[test]
fn a_package_that_is_damaged_in_the_cache_is_fetched_again_or_refused() {
    let mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-misc/chrony"]);
    project.update().unwrap();
    let locked = base(&project).packages.remove(0);
    let kept = project.bench.engine.cache.root().join("sources");
    let kept = kept.join(locked.sha256.to_string()).join(locked.file());
    // Its bytes are not linked to those that the update keeps by another name.
    let good = fs::read(&kept).unwrap();
    let mut bad = good.clone();
    bad[700] ^= 1;
    let damage = |bytes: &[u8]| {
        fs::remove_file(&kept).unwrap();
        fs::write(&kept, bytes).unwrap();
    };
    damage(&bad);
    let network = offline();
    let files = files_of(&project, None, &network);
    files.bring_packages().unwrap();
    let error = files.open(&locked).unwrap_err();
    assert!(is_verification_failure(&error), "{error:#}");
    let error = format!("{error:#}");
    assert!(
        error.contains("its hash is ") && error.contains("run without `--offline`"),
        "{error}"
    );

    let network = impatient();
    let files = files_of(&project, None, &network);
    files.open(&locked).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), good);
    // One of another size is seen before it is opened.
    damage(&good[1..]);
    files.bring_packages().unwrap();
    assert_eq!(fs::read(&kept).unwrap(), good);
}

#[test]
fn packages_that_are_gone_are_resolved_again() {
    let mut mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-misc/chrony"]);
    project.update().unwrap();
    let packages = |project: &Project| {
        let locked = base(project).packages;
        locked.into_iter().map(|package| package.cpv).collect::<Vec<_>>()
    };
    // What is in the cache is not asked for.
    mirror.packages[3] = Binary {
        signer: Some(mirror.signer.clone()),
        ..Binary::new("net-misc/chrony-4.8")
    };
    *project.files.lock().unwrap() = mirror.files();
    project.update_if(Extent::IfGone).unwrap();
    assert_eq!(packages(&project), ["net-misc/chrony-4.7"]);
    fs::remove_dir_all(project.bench.engine.cache.root().join("sources")).unwrap();
    project.update_if(Extent::IfGone).unwrap();
    assert_eq!(packages(&project), ["net-misc/chrony-4.8"]);
}

#[test]
fn a_lock_of_packages_changed_by_hand_is_refused() {
    let mirror = Gentoo::new();
    let project = wanting(&mirror, &["net-misc/chrony"]);
    project.update().unwrap();
    let path = project.bench.folder.path().join("sources.lock");
    let good = fs::read_to_string(&path).unwrap();
    for (old, new, expected) in [
        (
            "path = \"net-misc/",
            "path = \"../",
            "is no path below a source of packages",
        ),
        (
            "cpv = \"net-misc/chrony-4.7\"",
            "cpv = \"chrony\"",
            "is no name of a package with its version",
        ),
        (
            "source = \"official\"",
            "source = \"other\"",
            "of which nothing is said",
        ),
        ("sha1 = \"", "sha1 = \"f", "is no SHA-1"),
        ("requested = true", "wanted = true", "unknown field `wanted`"),
    ] {
        assert!(good.contains(old), "{old}");
        fs::write(&path, good.replacen(old, new, 1)).unwrap();
        let error = text(fetch::Lock::load(project.bench.folder.path()));
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn a_lock_that_is_older_than_what_is_asked_for_is_told_so() {
    let mirror = Gentoo::new();
    let mut project = wanting(&mirror, &["net-misc/chrony"]);
    project.update().unwrap();
    let find = |project: &Project, packages: &[&str]| {
        let lock = project.lock();
        text(lock.find_with_base(&project.set, &needs(packages)).cloned())
    };
    project
        .lock()
        .find_with_base(&project.set, &project.needs)
        .unwrap();
    assert_eq!(
        find(&project, &["net-misc/chrony", "app-containers/lxc"]),
        "sources.lock is older than the overlays: they ask for `app-containers/lxc`, which was not asked for then; run \
         `portadc update --sources gentoo`"
    );
    assert!(find(&project, &[]).contains("none asks for `net-misc/chrony` any more"));

    written(&mut project).mask = vec!["<net-misc/chrony-5".into()];
    let error = find(&project, &["net-misc/chrony"]);
    assert!(
        error.contains(
            "older than sources.toml: it masks `<net-misc/chrony-5`, locked is net-misc/chrony-4.7"
        ),
        "{error}"
    );
    written(&mut project).mask.clear();
    written(&mut project).packages[0].name = "other".into();
    let error = find(&project, &["net-misc/chrony"]);
    assert!(
        error.contains("it has no package source `official`, from which 1 packages are locked"),
        "{error}"
    );
    written(&mut project).packages[0].name = "official".into();
    let mut signer = (**written(&mut project).packages[0].signer.as_ref().unwrap()).clone();
    signer.fingerprints = vec!["AB".repeat(20)];
    written(&mut project).packages[0].signer = Some(signer.into());
    let error = find(&project, &["net-misc/chrony"]);
    assert!(error.contains(", which is not pinned any more"), "{error}");
    written(&mut project).flavor = "arm64-openrc".into();
    let error = find(&project, &["net-misc/chrony"]);
    assert!(
        error.contains("it asks for a stage3 arm64-openrc, locked is "),
        "{error}"
    );
}
