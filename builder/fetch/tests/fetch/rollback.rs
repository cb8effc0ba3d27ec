//! Servers that go back to an old state, every signature of which is right.

use fetch::{Moment, Update};
use testkit::server::Server;
use testmirror::gentoo_mirror::{BINHOST, Binary, Gentoo, gz, index};
use testmirror::gentoo_project::{base, needs};
use testmirror::keys::sign_detached;
use testmirror::miniature::{Archive, Project, now};
use testmirror::workbench::content;

const DAY: u64 = 86_400;

/// What the lock knows of an index.
fn known(project: &Project, index: &str) -> Option<Moment> {
    project.lock().sets[&project.set.name].indexes.get(index).copied()
}

fn warnings(update: anyhow::Result<Update>) -> Vec<String> {
    update.unwrap().warnings
}

#[test]
fn an_older_state_of_an_archive_is_refused_until_it_is_allowed() {
    let mut archive = Archive::new();
    archive.date = now() - 5 * DAY;
    let project = Project::debian(&archive);
    let old = archive.files();
    archive.date = now() - DAY;
    archive.kernels.push(("6.12.110", content(777)));
    *project.files.lock().unwrap() = archive.files();
    project.update().unwrap();
    let index = "dists/trixie/InRelease";
    let newest = Moment(archive.date as i64);
    assert_eq!(known(&project, index), Some(newest));

    *project.files.lock().unwrap() = old;
    let older = Moment((now() - 5 * DAY) as i64);
    // Both dates to the day: the archive's was taken a moment ago.
    let expected = format!("it is of {}", &older.to_string()[..10]);
    project.refuses(&expected, true);
    project.refuses(&format!("but sources.lock knows one of {newest}: "), true);
    project.refuses("`portadc update --allow-downgrade` takes it all the same", true);
    let update = project.downgrade().unwrap();
    assert!(
        update.to_string().contains("kernel  6.12.110 -> 6.12.107\n"),
        "{update}"
    );
    assert!(known(&project, index).unwrap() < newest);
    project.update().unwrap();
}

#[test]
fn a_mirror_that_is_stale_leaves_it_to_the_next() {
    let gentoo = Gentoo::new();
    let mut project = Project::new("gentoo", &gentoo.signer, gentoo.files());
    project.update().unwrap();
    let old = Gentoo {
        days: 9,
        signer: gentoo.signer.clone(),
        ..Gentoo::new()
    };
    let stale = Server::of_files(old.files().into_iter().collect());
    project.mirror = Some(stale.url());
    project.update().unwrap();
    assert!(
        stale
            .requests()
            .iter()
            .any(|request| request.path.contains("sha256sums.asc"))
    );
}

#[test]
fn an_older_index_of_each_kind_is_refused() {
    let gentoo = Gentoo {
        days: 3,
        ..Gentoo::new()
    };
    let signer = gentoo.signer.clone();
    let mut project = Project::new("gentoo", &signer, gentoo.files());
    project.needs = needs(&["net-misc/chrony"]);
    project.update().unwrap();
    let new = project.files.lock().unwrap().clone();
    let old = Gentoo {
        days: 30,
        signer,
        packages: gentoo.packages.clone(),
        ..Gentoo::new()
    }
    .files();
    for (path, name) in [
        ("pub/linux/kernel/v6.x/sha256sums.asc", "v6.x/sha256sums.asc"),
        (
            "releases/arm64/autobuilds/latest-stage3-arm64-systemd.txt",
            "latest-stage3-arm64-systemd.txt",
        ),
        (&format!("{BINHOST}/Packages.gz"), "official/Packages"),
    ] {
        let was = known(&project, name).unwrap();
        project
            .files
            .lock()
            .unwrap()
            .insert(path.into(), old[path].clone());
        project.refuses(&format!("but sources.lock knows one of {was}: "), true);
        *project.files.lock().unwrap() = new.clone();
        project.update().unwrap();
    }
    *project.files.lock().unwrap() = old;
    project.refuses("but sources.lock knows one of ", true);
    let before = known(&project, "official/Packages").unwrap();
    project.downgrade().unwrap();
    assert!(known(&project, "official/Packages").unwrap() < before);
}

#[test]
fn an_index_from_the_future_is_refused() {
    let gentoo = Gentoo::new();
    let mut project = Project::new("gentoo", &gentoo.signer, gentoo.files());
    project.needs = needs(&["net-misc/chrony"]);
    let header = format!("ARCH: arm64\nTIMESTAMP: {}\n", now() + DAY);
    let ahead = gz(&index(&header, &gentoo.stanzas()));
    project
        .files
        .lock()
        .unwrap()
        .insert(format!("{BINHOST}/Packages.gz"), ahead);
    project.refuses("it is from the future (", true);
}

#[test]
fn a_version_that_goes_down_is_refused_although_its_index_is_new() {
    let mut archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    archive.kernels.retain(|(version, _)| *version != "6.12.107");
    archive.kernels.push(("6.12.95", content(500)));
    archive.date = now();
    *project.files.lock().unwrap() = archive.files();
    project.refuses("a version would go down:\n- kernel 6.12.107 -> 6.12.95\n", true);
    project.refuses(
        "`portadc update --sources debian --allow-downgrade` takes it all the same",
        true,
    );
    project.downgrade().unwrap();
}

#[test]
fn packages_do_not_go_down_unless_what_was_locked_is_masked() {
    let gentoo = Gentoo::new();
    let mut project = Project::new("gentoo", &gentoo.signer, gentoo.files());
    project.needs = needs(&["app-containers/lxc"]);
    project.update().unwrap();
    assert!(
        base(&project)
            .packages
            .iter()
            .any(|package| package.cpv == "app-containers/lxc-6.0.4")
    );
    let lock = project.lock_text();
    // Nobody signs an index: it can leave out what is new.
    let packages: Vec<Binary> = gentoo
        .packages
        .iter()
        .filter(|package| !package.cpv.ends_with("-6.0.4"))
        .cloned()
        .collect();
    let less = Gentoo {
        packages,
        signer: gentoo.signer.clone(),
        days: 1,
        ..Gentoo::new()
    };
    *project.files.lock().unwrap() = less.files();
    project.refuses("- app-containers/lxc 6.0.4 -> 6.0.3\n", true);
    assert_eq!(project.lock_text(), lock);
    let model::sources::BaseSource::Stage3(source) = &mut project.set.base else {
        panic!()
    };
    source.mask.push(">=app-containers/lxc-6.0.4".into());
    project.update().unwrap();
}

#[test]
fn an_index_of_long_ago_is_a_warning() {
    let gentoo = Gentoo {
        days: 59,
        ..Gentoo::new()
    };
    let project = Project::new("gentoo", &gentoo.signer, gentoo.files());
    assert!(warnings(project.update()).is_empty());
    let old = Gentoo {
        days: 61,
        signer: gentoo.signer.clone(),
        ..Gentoo::new()
    };
    let project = Project::new("gentoo", &old.signer, old.files());
    let told = warnings(project.update());
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("v6.x/sha256sums.asc is of 20"), "{told:?}");
    assert!(
        told[0].contains(", 61 days old: the mirror may be stale"),
        "{told:?}"
    );
}

#[test]
fn a_lock_of_old_is_read_and_its_dates_count() {
    let mut archive = Archive::new();
    archive.date = now() - 5 * DAY;
    let project = Project::debian(&archive);
    let old = archive.files();
    archive.date = now() - DAY;
    let new = archive.files();
    *project.files.lock().unwrap() = new.clone();
    project.update().unwrap();
    let path = project.bench.folder.path().join("sources.lock");
    let text = project.lock_text().unwrap();
    let bare = &text[..text.find("[debian.indexes]").unwrap()];
    std::fs::write(&path, bare).unwrap();
    *project.files.lock().unwrap() = old;
    project.refuses("but sources.lock knows one of ", true);
    *project.files.lock().unwrap() = new;
    project.update().unwrap();
    assert_eq!(project.lock_text().unwrap(), text);
}

#[test]
fn an_older_release_by_the_name_of_a_newer_one_is_refused() {
    let gentoo = Gentoo {
        u_boot: "2024.10",
        ..Gentoo::new()
    };
    let project = Project::new("gentoo", &gentoo.signer, gentoo.files());
    project.refuses("it is signed, but holds `u-boot-2024.10`", true);
    let path = "pub/u-boot/u-boot-2025.01.tar.bz2";
    let mut files = project.files.lock().unwrap();
    files.insert(path.into(), content(3_000));
    files.insert(
        format!("{path}.sig"),
        sign_detached(&content(3_000), &gentoo.signer),
    );
    drop(files);
    project.refuses("it is signed, but no tarball of U-Boot", true);
}
