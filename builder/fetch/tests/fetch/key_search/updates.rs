//! Updates of projects whose keyrings lack a key.

use std::fs;

use sequoia_openpgp::Cert;
use sequoia_openpgp::parse::Parse;

use super::binary;
use testmirror::gentoo_mirror::Gentoo;
use testmirror::keys::{expiring_key, fingerprint, key};
use testmirror::miniature::Project;

/// A project whose signer is pinned, but has no keyring; its mirror has the key.
fn pinned_project(gentoo: &Gentoo, certs: &[&Cert]) -> Project {
    let mut files = gentoo.files();
    files.insert(
        format!(
            "pks/lookup?op=get&options=mr&search=0x{}",
            fingerprint(&gentoo.signer)
        ),
        binary(certs),
    );
    let mut project = Project::new("gentoo", &gentoo.signer, files);
    fs::remove_file(project.bench.folder.path().join("keys/all.pgp")).unwrap();
    project.pin(&gentoo.signer);
    project.mirror = Some(project.server.url());
    project
}

#[test]
fn an_update_gets_what_is_missing_by_itself() {
    let gentoo = Gentoo::new();
    let project = pinned_project(&gentoo, &[&gentoo.signer]);
    project.update().unwrap();
    let asked = |project: &Project| {
        let requests = project.server.requests();
        requests
            .iter()
            .filter(|request| request.path.starts_with("/pks/"))
            .count()
    };
    assert_eq!(asked(&project), 1, "one keyring is of all signers");
    project.update().unwrap();
    assert_eq!(asked(&project), 1);
    let keyring = project.bench.folder.path().join("keys/all.pgp");
    assert_eq!(
        Cert::from_file(keyring).unwrap(),
        gentoo.signer.clone().strip_secret_key_material()
    );
}

#[test]
fn an_update_without_a_key_leaves_everything_as_it_was() {
    let gentoo = Gentoo::new();
    let mut project = pinned_project(&gentoo, &[&key("somebody", 9)]);
    project.bench.network.limits.tries = 1;
    project.refuses("it has another key than the pinned one", false);
    assert!(!project.bench.folder.path().join("keys/all.pgp").exists());
    assert_eq!(project.lock_text(), None);
    assert!(project.bench.cached().is_empty());
}

#[test]
fn an_update_warns_of_a_key_that_ends_soon() {
    let gentoo = Gentoo {
        signer: expiring_key("releng", 100, 130),
        ..Gentoo::new()
    };
    let mut packages = gentoo.packages.clone();
    packages.clear();
    let gentoo = Gentoo { packages, ..gentoo };
    let project = pinned_project(&gentoo, &[&gentoo.signer]);
    let warnings = project.update().unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].ends_with("`portadc keys` looks for a renewed one"),
        "{warnings:?}"
    );
}
