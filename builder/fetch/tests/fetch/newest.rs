//! The newest version that can be had, where an index lists more than mirrors serve.

use fetch::{Mirrors, Sha256Sum, obtain};
use model::sources::Source;
use testkit::server::{Answer, Server};
use testmirror::gentoo_mirror::Gentoo;
use testmirror::gentoo_project;
use testmirror::keys::{Made, clearsign};
use testmirror::miniature::{Archive, Files, Project};
use testmirror::workbench::{content, text};

/// Of the series 6.12 it lists 6.12.117, 6.12.113, 6.12.107 and 6.12.9.
fn archive() -> Archive {
    let mut archive = Archive::new();
    archive.kernels.push(("6.12.113", content(1_130)));
    archive.kernels.push(("6.12.117", content(1_170)));
    archive
}

fn tarball(version: &str) -> String {
    format!("pool/main/l/linux/linux_{version}.orig.tar.xz")
}

/// What is listed stays so, but the mirror does not have the files.
fn drop_kernels(project: &Project, versions: &[&str]) {
    let mut files = project.files.lock().unwrap();
    for version in versions {
        files.remove(&tarball(version)).unwrap();
    }
}

fn kernel(project: &Project) -> String {
    project.lock().sets[&project.set.name].kernel.version.clone()
}

/// A mirror with these files that answers with `status` for those whose path contains `part`.
fn failing(files: Files, part: &'static str, status: u16) -> Server {
    Server::start(move |request| {
        if request.path.contains(part) {
            return Answer::status(status);
        }
        match files.get(request.path.trim_start_matches('/')) {
            Some(bytes) => Answer::file(request, bytes),
            None => Answer::status(404),
        }
    })
}

#[test]
fn what_is_listed_but_not_served_is_passed_over() {
    let archive = archive();
    let project = Project::debian(&archive);
    drop_kernels(&project, &["6.12.117"]);
    let report = project.update().unwrap();
    let shown = report.to_string();
    assert!(
        shown.contains("\n  kernel  6.12.113 (new) (6.12.117 is listed, but no mirror has it yet)\n  u-boot  2025.01 (new)\n"),
        "{shown}"
    );
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(kernel(&project), "6.12.113");

    drop_kernels(&project, &["6.12.113"]);
    project.refuses(
        "- kernel 6.12.113 -> 6.12.107 (6.12.117, 6.12.113 are listed, but no mirror has them yet)\n",
        true,
    );
    let report = project.downgrade().unwrap();
    let shown = report.to_string();
    assert!(
        shown.contains(
            "\n  kernel  6.12.113 -> 6.12.107 (6.12.117, 6.12.113 are listed, but no mirror has them yet)\n"
        ),
        "{shown}"
    );
    assert_eq!(report.parts[0].unserved, ["6.12.117", "6.12.113"]);

    // Once it is there it is taken.
    *project.files.lock().unwrap() = archive.files();
    let shown = project.update().unwrap().to_string();
    assert!(shown.contains("\n  kernel  6.12.107 -> 6.12.117\n"), "{shown}");
}

#[test]
fn where_nothing_is_served_one_error_says_so() {
    let project = Project::debian(&archive());
    drop_kernels(&project, &["6.12.117", "6.12.113", "6.12.107", "6.12.9"]);
    let error = text(project.update());
    let url = project.server.url();
    let expected = format!(
        "cannot resolve the kernel: no mirror has any version of the series 6.12 that dists/trixie/InRelease lists (6.12.117, \
         6.12.113, 6.12.107, 6.12.9); asked for the newest:\n  {url}{}: the server answered 404 Not Found\nname another mirror",
        tarball("6.12.117")
    );
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(project.lock_text(), None);
}

#[test]
fn a_mirror_that_cannot_be_asked_may_have_the_newest() {
    for status in [403, 405, 503] {
        let archive = archive();
        let mut project = Project::debian(&archive);
        let mirror = failing(archive.files(), "6.12.117", status);
        project.mirror = Some(mirror.url());
        let report = project.update().unwrap();
        assert_eq!(kernel(&project), "6.12.117");
        assert!(report.parts[0].unserved.is_empty());
        let [warning] = &report.warnings[..] else {
            panic!("{:?}", report.warnings)
        };
        let expected = "no mirror says whether it has linux_6.12.117.orig.tar.xz, the newest that is listed, so that is \
                        locked:\n  http://";
        assert!(warning.starts_with(expected), "{warning}");
        assert!(
            warning.contains(&format!("the server answered {status}")),
            "{warning}"
        );
    }
}

#[test]
fn what_is_in_the_cache_is_taken_without_asking() {
    let project = Project::debian(&archive());
    project.update().unwrap();
    let locked = project.lock().sets["debian"].clone();
    let mirrors = Mirrors::debian(Some(&project.server.url())).unwrap();
    let bench = &project.bench;
    obtain(&bench.engine, &locked.kernel, &mirrors, &bench.network).unwrap();
    drop_kernels(&project, &["6.12.117"]);
    let asked = project.server.requests().len();
    let report = project.update().unwrap();
    assert!(report.parts.iter().all(|part| !part.is_change()));
    assert!(report.parts[0].unserved.is_empty());
    let requests = &project.server.requests()[asked..];
    assert!(
        requests.iter().all(|request| !request.path.contains("linux")),
        "{requests:?}"
    );
    // A damaged one is none.
    let folder = bench.engine.cache.root().join("sources");
    let path = folder.join(locked.kernel.sha256.to_string());
    std::fs::write(path.join(&locked.kernel.file), content(1_169)).unwrap();
    project.downgrade().unwrap();
    assert_eq!(kernel(&project), "6.12.113");
}

/// Upstream whose list has 6.18.53 and a newer release, 6.18.54.
fn upstream() -> (Gentoo, Project) {
    let mirror = Gentoo::new();
    let mut project = gentoo_project::project(&mirror);
    let list: String = [("6.18.54", content(5_400)), ("6.18.53", content(4_000))]
        .iter()
        .map(|(version, bytes)| format!("{}  linux-{version}.tar.xz\n", Sha256Sum::of(bytes)))
        .collect();
    project.files.lock().unwrap().insert(
        "pub/linux/kernel/v6.x/sha256sums.asc".into(),
        clearsign(&list, &mirror.signer, Made::days_ago(1)),
    );
    let url = project.server.url();
    let Source::KernelOrg { mirrors, .. } = &mut project.set.kernel else {
        panic!("the gentoo set takes its kernel from elsewhere")
    };
    *mirrors = vec![format!("{url}pub/linux/kernel/")];
    (mirror, project)
}

const NEWEST: &str = "pub/linux/kernel/v6.x/linux-6.18.54.tar.xz";

#[test]
fn a_release_is_taken_where_any_mirror_has_it() {
    let (_mirror, mut project) = upstream();
    let report = project.update().unwrap();
    assert_eq!(report.parts[0].unserved, ["6.18.54"]);
    assert_eq!(kernel(&project), "6.18.53");

    // Upstream has it, the mirror that goes before it does not.
    let near = project.files.lock().unwrap().clone();
    let near = Server::of_files(near);
    project.mirror = Some(near.url());
    project
        .files
        .lock()
        .unwrap()
        .insert(NEWEST.into(), content(5_400));
    project.update().unwrap();
    assert_eq!(kernel(&project), "6.18.54");
    let requests = near.requests();
    assert!(
        requests.iter().any(|request| request.path.ends_with(NEWEST)),
        "{requests:?}"
    );

    // Its size is known where the cache has it, whoever has it no more.
    let locked = project.lock().sets["gentoo"].kernel.clone();
    let mirrors = Mirrors::of(&project.set.kernel, None).unwrap();
    let bench = &project.bench;
    obtain(&bench.engine, &locked, &mirrors, &bench.network).unwrap();
    project.files.lock().unwrap().remove(NEWEST).unwrap();
    project.update().unwrap();
    assert_eq!(project.lock().sets["gentoo"].kernel, locked);
}

#[test]
fn a_release_whose_size_nobody_says_is_not_passed_over() {
    let (_mirror, mut project) = upstream();
    project.update().unwrap();
    let files = project.files.lock().unwrap().clone();
    // The user's own mirror cannot say; upstream's says that it does not have it.
    let broken = failing(files, "6.18.54", 503);
    project.mirror = Some(broken.url());
    project.refuses(
        "cannot resolve the kernel: no mirror says how long v6.x/linux-6.18.54.tar.xz is:",
        false,
    );
    assert_eq!(kernel(&project), "6.18.53");
}
