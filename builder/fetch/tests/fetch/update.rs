//! Updates against miniature mirrors: every kind of origin, and everything that makes one no good.

use std::fs;

use fetch::{
    BaseNeeds, Downgrade, Extent, LockedBase, Mirrors, Update, UpdateOptions, check_base, obtain, update,
};
use testkit::server::{Answer, Server};
use testmirror::miniature::{Archive, Project, now, xz};
use testmirror::workbench::{content, text};

/// What the project's server was asked for, but for the first `asked` requests.
fn requests(project: &Project, asked: usize) -> Vec<String> {
    let requests = project.server.requests();
    let told = requests
        .iter()
        .map(|request| format!("{} {}", request.method, request.path));
    told.skip(asked).collect()
}

/// Whether kernel, U-Boot and base changed.
fn changes(report: &Update) -> Vec<bool> {
    report.parts.iter().map(|part| part.is_change()).collect()
}

#[test]
fn a_mirror_is_resolved_into_a_lock_that_can_be_fetched() {
    let archive = Archive::new();
    let project = Project::debian(&archive);
    let report = project.update().unwrap();
    let shown = report.to_string();
    assert!(
        shown.starts_with("sources.lock, source set `debian`:\n  kernel  6.12.107 (new)\n"),
        "{shown}"
    );
    let lock = project.lock();
    let locked = lock.find(&project.set).unwrap();
    assert_eq!(locked.kernel.path, "pool/main/l/linux/linux_6.12.107.orig.tar.xz");
    assert_eq!(
        locked.kernel.signer,
        testmirror::keys::fingerprint(&archive.signer)
    );
    assert_eq!(locked.u_boot.version, "2025.01");
    assert_eq!(locked.epoch(), archive.date as i64);
    let text = project.lock_text().unwrap();
    assert!(!text.contains("127.0.0.1"), "no mirror stands in a lock: {text}");

    let mirrors = Mirrors::debian(Some(&project.server.url())).unwrap();
    let path = obtain(
        &project.bench.engine,
        &locked.kernel,
        &mirrors,
        &project.bench.network,
    )
    .unwrap();
    assert_eq!(fs::read(path).unwrap(), content(9_000));

    // Once more: the same bytes, no index is fetched a second time, and no file of the cache asked for.
    let asked = project.server.requests().len();
    assert!(
        project
            .update()
            .unwrap()
            .parts
            .iter()
            .all(|part| !part.is_change())
    );
    assert_eq!(project.lock_text().unwrap(), text);
    assert_eq!(
        requests(&project, asked),
        [
            "GET /dists/trixie/InRelease",
            "HEAD /pool/main/u/u-boot/u-boot_2025.01.orig.tar.xz"
        ]
    );
}

#[test]
fn security_updates_are_locked_beside_the_suite() {
    let archive = Archive::new();
    let mut security = archive.security();
    let mut files = archive.files();
    files.extend(security.files());
    let project = Project::new("debian-updated", &archive.signer, files.clone());
    let shown = project.update().unwrap().to_string();
    assert!(shown.contains(", trixie-security of "), "{shown}");
    let locked = project.lock().find(&project.set).unwrap().clone();
    assert_eq!(locked.kernel.version, "6.12.111", "the newer of both");
    assert_eq!(locked.kernel.index, "dists/trixie-security/InRelease");
    assert_eq!(locked.u_boot.index, "dists/trixie/InRelease");
    assert_eq!(locked.epoch(), security.date as i64);
    let LockedBase::Archive(base) = &locked.base else {
        panic!()
    };
    let mirrors = Mirrors::debian(Some(&project.server.url())).unwrap();
    let url = project.server.url();
    let found = check_base(base, &mirrors, &project.bench.network).unwrap();
    assert_eq!(found, [url.clone(), url]);

    // A set that asks for it is not served by a lock without, nor the other way round.
    let other = Project::debian(&archive);
    other.update().unwrap();
    let mut lock = other.lock();
    lock.sets
        .insert("debian-updated".into(), lock.sets["debian"].clone());
    let error = text(lock.find(&project.set));
    assert!(
        error.contains("trixie and trixie-security arm64 (main), locked is trixie arm64"),
        "{error}"
    );

    // The updates moved on: only the base is gone.
    security.date += 60;
    security.packages[0].1 = "5.2-1+deb13u2";
    files.extend(security.files());
    *project.files.lock().unwrap() = files;
    let error = text(check_base(base, &mirrors, &project.bench.network));
    assert!(
        error.starts_with("the mirror has moved on: none has the locked state of `trixie-security`"),
        "{error}"
    );
    assert_eq!(
        changes(&project.update_if(Extent::IfGone).unwrap()),
        [false, false, true]
    );
    assert!(changes(&project.update().unwrap()).iter().all(|change| !change));

    // Without the suite nothing is taken for it.
    project
        .files
        .lock()
        .unwrap()
        .remove("dists/trixie-security/InRelease");
    project.refuses("no mirror has a valid dists/trixie-security/InRelease", false);
    let forged = project.files.lock().unwrap()["dists/trixie/InRelease"].clone();
    project
        .files
        .lock()
        .unwrap()
        .insert("dists/trixie-security/InRelease".into(), forged);
    project.refuses("not for `trixie-security`", true);
}

#[test]
fn a_newer_version_is_shown_beside_the_old_one() {
    let mut archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    archive.kernels.push(("6.12.110", content(777)));
    archive.date += 3600;
    *project.files.lock().unwrap() = archive.files();
    let shown = project.update().unwrap().to_string();
    assert!(
        shown.contains("\n  kernel  6.12.107 -> 6.12.110\n  u-boot  2025.01 (unchanged)\n"),
        "{shown}"
    );
    let lock = project.lock();
    let locked = lock.find(&project.set).unwrap();
    assert_eq!(
        locked.u_boot.date.0 + 3600,
        locked.kernel.date.0,
        "what stays keeps its date"
    );
}

#[test]
fn a_mirror_that_updates_its_index_right_now_is_read_by_hash() {
    let archive = Archive::new();
    let project = Project::debian(&archive);
    let changed = xz(b"Package: other\n\n");
    project
        .files
        .lock()
        .unwrap()
        .insert("dists/trixie/main/source/Sources.xz".into(), changed);
    project.update().unwrap();
}

#[test]
fn a_changed_index_of_sources_is_refused() {
    let archive = Archive::new();
    let project = Project::debian(&archive);
    {
        let mut files = project.files.lock().unwrap();
        files.retain(|path, _| !path.contains("by-hash"));
        let index = files.get_mut("dists/trixie/main/source/Sources.xz").unwrap();
        let middle = index.len() / 2;
        index[middle] ^= 1;
    }
    project.refuses("its hash is ", true);
    assert!(project.bench.cached().is_empty(), "{:?}", project.bench.cached());
}

#[test]
fn another_suite_is_refused() {
    let mut archive = Archive::new();
    archive.codename = "bookworm".into();
    archive.suite = "oldstable".into();
    Project::debian(&archive).refuses(
        "it is signed, but for `oldstable`, `bookworm`, not for `trixie`",
        true,
    );
}

#[test]
fn a_stale_or_future_state_is_refused() {
    let mut archive = Archive::new();
    archive.valid_until = Some(now() - 60);
    Project::debian(&archive).refuses("it was valid until ", true);
    archive.valid_until = Some(now() + 60);
    Project::debian(&archive).update().unwrap();
    archive.date = now() + 3600;
    Project::debian(&archive).refuses("it is from the future", true);
}

#[test]
fn signatures_that_do_not_count_are_refused() {
    let archive = Archive::new();
    let other = Archive::new();
    Project::new("debian", &other.signer, archive.files()).refuses("which is not in the keyring", true);
    let project = Project::debian(&archive);
    let path = "dists/trixie/InRelease";
    let document = String::from_utf8(project.files.lock().unwrap()[path].clone()).unwrap();
    let changed = document.replace("13.7", "13.8");
    project
        .files
        .lock()
        .unwrap()
        .insert(path.into(), changed.into_bytes());
    project.refuses("it was changed after key ", true);
    let unsigned = b"Suite: stable\nCodename: trixie\n".to_vec();
    project.files.lock().unwrap().insert(path.into(), unsigned);
    project.refuses("it is not signed", true);
    project.files.lock().unwrap().remove(path);
    project.refuses("the server answered 404", false);
}

#[test]
fn a_series_that_is_absent_is_answered_with_what_there_is() {
    let mut archive = Archive::new();
    archive
        .kernels
        .retain(|(version, _)| !version.starts_with("6.12"));
    Project::debian(&archive).refuses("`trixie` has no linux of the series 6.12, only 6.1.3", false);
    archive.kernels.clear();
    Project::debian(&archive).refuses("`trixie` has no source package `linux`", false);
}

#[test]
fn only_what_is_gone_is_resolved_again() {
    let mut archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    let asked = project.server.requests().len();
    let report = project.update_if(Extent::IfGone).unwrap();
    assert!(report.parts.iter().all(|part| !part.is_change()));
    let kernel = "HEAD /pool/main/l/linux/linux_6.12.107.orig.tar.xz";
    let u_boot = "HEAD /pool/main/u/u-boot/u-boot_2025.01.orig.tar.xz";
    let release = "GET /dists/trixie/InRelease";
    assert_eq!(requests(&project, asked), [release, kernel, u_boot]);
    let before = project.lock().sets["debian"].clone();

    // The archive moved on and lists a newer kernel: the locked one can still be had, so it stays.
    archive.date += 3600;
    archive.kernels.push(("6.12.113", content(1_130)));
    *project.files.lock().unwrap() = archive.files();
    let asked = project.server.requests().len();
    let report = project.update_if(Extent::IfGone).unwrap();
    assert_eq!(changes(&report), [false, false, true]);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(requests(&project, asked), [release, kernel, u_boot, release]);
    let moved = project.lock().sets["debian"].clone();
    assert_eq!((&moved.kernel, &moved.u_boot), (&before.kernel, &before.u_boot));
    let LockedBase::Archive(base) = &moved.base else {
        panic!()
    };
    assert_eq!(base.date.0, archive.date as i64);
    assert_eq!(moved.epoch(), archive.date as i64);
    project.lock().find(&project.set).unwrap();

    // Only the kernel is gone.
    let gone = "pool/main/l/linux/linux_6.12.107.orig.tar.xz";
    project.files.lock().unwrap().remove(gone).unwrap();
    let report = project.update_if(Extent::IfGone).unwrap();
    assert_eq!(changes(&report), [true, false, false]);
    let locked = project.lock().sets["debian"].clone();
    assert_eq!((&locked.u_boot, &locked.base), (&moved.u_boot, &moved.base));
    assert_eq!(locked.kernel.version, "6.12.113");
    assert_eq!(locked.kernel.date.0, archive.date as i64);
    project.lock().find(&project.set).unwrap();
}

#[test]
fn a_part_that_cannot_be_asked_for_keeps_no_other_from_being_resolved() {
    let mut archive = Archive::new();
    let mut project = Project::debian(&archive);
    project.update().unwrap();
    let before = project.lock().sets["debian"].clone();
    archive.date += 3600;
    let files = archive.files();
    let half = Server::start(move |request| {
        match files
            .get(request.path.trim_start_matches('/'))
            .filter(|_| !request.path.starts_with("/pool/"))
        {
            Some(bytes) => Answer::file(request, bytes),
            None => Answer::status(503),
        }
    });
    project.mirror = Some(half.url());
    let report = project.update_if(Extent::IfGone).unwrap();
    assert_eq!(changes(&report), [false, false, true]);
    assert_eq!(report.warnings.len(), 2, "{:?}", report.warnings);
    let locked = project.lock().sets["debian"].clone();
    assert_eq!((&locked.kernel, &locked.u_boot), (&before.kernel, &before.u_boot));
}

#[test]
fn what_cannot_be_asked_for_is_not_gone() {
    let mut archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    let text = project.lock_text().unwrap();
    let if_gone = |mirror: &str| {
        let update = update(
            &project.bench.engine,
            project.bench.folder.path(),
            &project.set,
            &BaseNeeds::default(),
            Some(mirror),
            &project.bench.network,
            UpdateOptions {
                extent: Extent::IfGone,
                downgrade: Downgrade::Refuse,
            },
        );
        assert_eq!(project.lock_text().unwrap(), text);
        update.unwrap().warnings
    };
    // Nobody listens on the port of a server that was stopped.
    let dead = Server::start(|_| Answer::status(200)).url();
    let warnings = if_gone(&dead);
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(
        warnings[0].starts_with(
            "no mirror says whether it still has the locked base, so that stays locked:\n  http://"
        ),
        "{warnings:?}"
    );
    for status in [403, 405, 503] {
        let refusing = Server::start(move |_| Answer::status(status));
        assert_eq!(if_gone(&refusing.url()).len(), 3);
        // Each is asked once.
        assert_eq!(refusing.requests().len(), 3);
    }
    // As a network does that wants a login first.
    let liar = Server::start(|request| match request.method.as_str() {
        "HEAD" => Answer::whole(b"log in"),
        _ => Answer::status(511),
    });
    assert_eq!(if_gone(&liar.url()).len(), 3);

    // What is in the cache is not asked for.
    let locked = project.lock().sets["debian"].clone();
    let mirrors = Mirrors::debian(Some(&project.server.url())).unwrap();
    for file in locked.files() {
        obtain(&project.bench.engine, file, &mirrors, &project.bench.network).unwrap();
    }
    assert_eq!(if_gone(&dead).len(), 1);
    archive.kernels = vec![("6.12.110", content(777))];
    let mut files = archive.files();
    let state = project.files.lock().unwrap()["dists/trixie/InRelease"].clone();
    files.insert("dists/trixie/InRelease".into(), state);
    *project.files.lock().unwrap() = files;
    assert!(if_gone(&project.server.url()).is_empty());
}

#[test]
fn a_mirror_that_cannot_be_reached_has_not_moved_on() {
    let archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    let LockedBase::Archive(base) = project.lock().sets["debian"].base.clone() else {
        panic!()
    };
    let broken = Server::start(|_| Answer::status(503));
    let error = text(check_base(
        &base,
        &Mirrors::debian(Some(&broken.url())).unwrap(),
        &project.bench.network,
    ));
    assert!(
        error.starts_with("no mirror gives the locked state of `trixie` of "),
        "{error}"
    );
    assert!(error.contains("the server answered 503"), "{error}");
}

#[test]
fn a_base_is_only_made_from_the_locked_state() {
    let mut archive = Archive::new();
    let project = Project::debian(&archive);
    project.update().unwrap();
    let lock = project.lock();
    let LockedBase::Archive(base) = &lock.sets["debian"].base else {
        panic!()
    };
    let mirrors = Mirrors::debian(Some(&project.server.url())).unwrap();
    let found = check_base(base, &mirrors, &project.bench.network).unwrap();
    assert_eq!(found, [project.server.url()]);
    // The one that has it, not the first.
    let stale = Server::start(|_| Answer::whole(b"older"));
    let both = Mirrors::listed(vec![stale.url(), project.server.url()]);
    let found = check_base(base, &both, &project.bench.network).unwrap();
    assert_eq!(found, [project.server.url()]);
    archive.date += 60;
    *project.files.lock().unwrap() = archive.files();
    let error = text(check_base(base, &mirrors, &project.bench.network));
    assert!(error.starts_with("the mirror has moved on: "), "{error}");
    assert!(error.contains("run `portadc update`"), "{error}");
}
