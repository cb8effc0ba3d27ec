//! Every revision of a stage of the cache is one whose bytes a test holds against a record, or is named as one without.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use testkit::golden::{STAGES, WITHOUT, revisions};

use crate::builder;

/// Adds the revisions in the sources below `folder`, by path below `builder/`.
fn collect(folder: &Path, found: &mut BTreeSet<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = path.strip_prefix(builder()).unwrap().to_str().unwrap().to_owned();
            let names = revisions(&path).into_iter().map(|(name, _)| name);
            let names = names.filter(|name| name.ends_with("REVISION"));
            found.extend(names.map(|name| (source.clone(), name)));
        }
    }
}

#[test]
fn every_revision_is_recorded_or_named() {
    let mut found = BTreeSet::new();
    for krate in fs::read_dir(builder()).unwrap() {
        let sources = krate.unwrap().path().join("src");
        if sources.is_dir() {
            collect(&sources, &mut found);
        }
    }
    let known = STAGES.iter().map(|(_, revision)| revision).chain(&WITHOUT);
    let known = known.filter(|revision| revision.constant.ends_with("REVISION"));
    let known: BTreeSet<_> = known
        .map(|revision| (revision.source.to_owned(), revision.constant.to_owned()))
        .collect();
    assert_eq!(found, known, "testkit::golden names the revisions");
    let records = builder().join("testkit/golden");
    let records: BTreeSet<_> = fs::read_dir(records)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let stages: BTreeSet<_> = STAGES.iter().map(|(stage, _)| (*stage).to_owned()).collect();
    assert_eq!(records, stages);
}
