//! `sources.lock`: when it counts, who may write it, and what no honest one has.

use std::fs;

use fetch::{BaseNeeds, Lock, Network, UpdateOptions, kernel_of_series, locked_set, update};
use model::sources::Series;
use testmirror::miniature::{Archive, Project};
use testmirror::workbench::{files, offline, text};

#[test]
fn a_lock_that_does_not_fit_is_renewed_or_refused() {
    let archive = Archive::new();
    let mut project = Project::debian(&archive);
    let (root, url) = (project.bench.folder.path().to_owned(), project.server.url());
    let find = |project: &Project, network: &Network, locked| {
        locked_set(
            &project.bench.engine,
            &root,
            &project.set,
            &BaseNeeds::default(),
            Some(&url),
            network,
            locked,
        )
    };
    let online = project.bench.network.clone();
    let expected =
        "sources.lock does not have the source set `debian`: run `portadc update --sources debian`";
    assert_eq!(text(find(&project, &online, true)), expected);
    assert_eq!(text(find(&project, &offline(), false)), expected);
    assert_eq!(find(&project, &online, false).unwrap().kernel.version, "6.12.107");
    find(&project, &offline(), true).unwrap();

    let model::sources::Source::Archive { series, .. } = &mut project.set.kernel else {
        panic!()
    };
    *series = model::sources::Series::parse("6.1").unwrap();
    let error = text(find(&project, &online, true));
    assert_eq!(
        error,
        "sources.lock is older than sources.toml: it asks for the kernel series 6.1 from trixie, locked is 6.12.107 from \
         dists/trixie/InRelease; run `portadc update --sources debian`"
    );
    assert_eq!(find(&project, &online, false).unwrap().kernel.version, "6.1.3");

    let model::sources::BaseSource::Archive { archive, .. } = &mut project.set.base else {
        panic!()
    };
    std::sync::Arc::make_mut(archive)
        .components
        .push("contrib".into());
    let error = text(find(&project, &online, true));
    assert!(
        error.contains("it asks for the base trixie arm64 (main contrib), locked is trixie arm64 (main);"),
        "{error}"
    );
    assert!(
        text(update(
            &project.bench.engine,
            &root,
            &project.set,
            &BaseNeeds::default(),
            None,
            &offline(),
            UpdateOptions::default()
        ))
        .contains("offline")
    );
}

#[test]
fn a_kernel_of_another_series_is_found_but_not_locked() {
    let archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    let text_before = project.lock_text();
    let url = project.server.url();
    let find = |series: &str, network: &Network, locked| {
        kernel_of_series(
            &project.bench.engine,
            project.bench.folder.path(),
            &project.set,
            &Series::parse(series).unwrap(),
            Some(&url),
            network,
            locked,
        )
    };
    let online = &project.bench.network;
    let asked = project.server.requests().len();
    assert_eq!(find("6.12", &offline(), true).unwrap().version, "6.12.107");
    assert_eq!(project.server.requests().len(), asked);
    assert_eq!(find("6.1", online, false).unwrap().version, "6.1.3");
    let pinned = "sources.lock has no kernel of the series 6.1 for the source set `debian`: name a tarball of it with \
                  `--source FILE`, or look for one without --offline and --locked";
    assert_eq!(text(find("6.1", online, true)), pinned);
    assert_eq!(text(find("6.1", &offline(), false)), pinned);
    let error = text(find("7.0", online, false));
    assert!(
        error.contains("name a tarball of it with `--source FILE`: `trixie` has no linux of the series 7.0, only 6.1.3, 6.12"),
        "{error}"
    );
    assert_eq!(project.lock_text(), text_before);
}

#[test]
fn sets_that_are_locked_at_the_same_time_are_all_kept() {
    let archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    let root = project.bench.folder.path();
    let set = project.lock().sets["debian"].clone();
    std::thread::scope(|scope| {
        for number in 0..16 {
            let set = set.clone();
            scope.spawn(move || Lock::store(root, &format!("set-{number}"), set).unwrap());
        }
    });
    assert_eq!(project.lock().sets.len(), 17);
    let left = files(root)
        .into_iter()
        .filter(|path| path.parent() == Some("".as_ref()));
    assert_eq!(left.collect::<Vec<_>>(), [std::path::Path::new("sources.lock")]);
}

#[test]
fn a_lock_changed_by_hand_is_refused() {
    let archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    let root = project.bench.folder.path();
    let good = project.lock_text().unwrap();
    for (old, new, expected) in [
        ("file = \"linux_6", "file = \"../linux_6", "is no name of a file"),
        ("path = \"pool/", "path = \"../pool/", "is no path below a mirror"),
        (
            "path = \"pool/",
            "path = \"http://elsewhere/pool/",
            "is no path below a mirror",
        ),
        ("sha256 = \"", "sha256 = \"f", "is no SHA-256"),
        ("size = ", "sise = ", "unknown field `sise`"),
    ] {
        assert!(good.contains(old), "{old}");
        fs::write(root.join("sources.lock"), good.replacen(old, new, 1)).unwrap();
        let error = text(Lock::load(root));
        assert!(error.contains(expected), "{expected}: {error}");
    }
}
