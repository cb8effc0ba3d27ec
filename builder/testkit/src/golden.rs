//! What stages of the cache make of small inputs, held against what they made of them before. A cache holds what an older
//! program made under the same key: whoever changes the bytes of a stage has to raise its revision, and is told so here.
//!
//! The records are in `builder/testkit/golden`, a file for each stage. One is written anew by its test with
//! `PORTADC_GOLDEN=record`, but not where bytes changed and the revision did not.

use std::fs;
use std::path::{Path, PathBuf};

use formats::digest::hex;
use sha2::{Digest, Sha256};

/// Asks for new records.
const ASK: &str = "PORTADC_GOLDEN";

/// A revision of a stage: where the source has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// The file below `builder/`.
    pub source: &'static str,
    /// The name of the constant.
    pub constant: &'static str,
}

const fn revision(source: &'static str, constant: &'static str) -> Revision {
    Revision { source, constant }
}

/// The stages whose bytes tests hold against a record.
pub const STAGES: [(&str, Revision); 7] = [
    ("rootfs", revision("engine/src/tarball.rs", "REVISION")),
    (
        "gentoo-packages",
        revision("stages/src/rootfs/gentoo.rs", "REVISION"),
    ),
    ("role", revision("stages/src/rootfs/role.rs", "REVISION")),
    ("node", revision("stages/src/rootfs/role.rs", "REVISION")),
    ("firmware", revision("stages/src/firmware/mod.rs", "REVISION")),
    ("image", revision("stages/src/build/card.rs", "REVISION")),
    ("delta", revision("formats/src/delta.rs", "VERSION")),
];

/// The revisions of stages that run programs for minutes, or on what only a network has: no test makes them anew.
pub const WITHOUT: [Revision; 7] = [
    // mmdebstrap.
    revision("stages/src/rootfs/debian.rs", "REVISION"),
    revision("stages/src/rootfs/debian.rs", "ADDED_REVISION"),
    // make and a cross compiler.
    revision("stages/src/kernel/configure.rs", "REVISION"),
    revision("stages/src/kernel/build.rs", "REVISION"),
    revision("stages/src/uboot/build.rs", "REVISION"),
    // emerge in a stage3.
    revision("fetch/src/stage3/compile/mod.rs", "REVISION"),
    revision("fetch/src/stage3/compile/plan.rs", "REVISION"),
];

/// Holds `parts`, all that `stage` made of an input that never changes, against the record.
///
/// # Panics
/// When they are not what is recorded, or nothing is.
pub fn check<N: AsRef<str>, B: AsRef<[u8]>>(stage: &str, parts: impl IntoIterator<Item = (N, B)>) {
    let (_, revision) = STAGES
        .iter()
        .find(|(name, _)| *name == stage)
        .unwrap_or_else(|| panic!("{stage} is not among the stages of {}", file!()));
    let mut sum = Sha256::new();
    for (name, bytes) in parts {
        for part in [name.as_ref().as_bytes(), bytes.as_ref()] {
            sum.update((part.len() as u64).to_le_bytes());
            sum.update(part);
        }
    }
    let now = format!(
        "revision {}\nsha256 {}\n",
        number(*revision),
        hex(&sum.finalize())
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(stage);
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    match verdict(stage, *revision, &recorded, &now) {
        Verdict::Same => {}
        Verdict::Anew if std::env::var_os(ASK).is_some_and(|value| value == "record") => {
            fs::write(&path, now).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        Verdict::Anew => panic!(
            "no record says what revision of stage {stage} makes these bytes: run this test with {ASK}=record, and commit {}",
            path.display()
        ),
        Verdict::Changed(said) => panic!("{said}"),
    }
}

/// What comes of a comparison.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    /// There is no record of this revision.
    Anew,
    Changed(String),
}

fn verdict(stage: &str, revision: Revision, recorded: &str, now: &str) -> Verdict {
    let of = |text: &str| text.lines().next().map(str::to_owned);
    if recorded == now {
        Verdict::Same
    } else if of(recorded) == of(now) {
        let Revision { source, constant } = revision;
        Verdict::Changed(format!(
            "bytes of stage {stage} changed: raise its {constant} in builder/{source}, or caches go on giving what an older \
             program made. Where only what the test puts in was changed, remove builder/testkit/golden/{stage} instead."
        ))
    } else {
        Verdict::Anew
    }
}

/// The number that the source gives a revision.
///
/// # Panics
/// When it gives none.
fn number(revision: Revision) -> u32 {
    let Revision { source, constant } = revision;
    let all = revisions(&builder().join(source));
    let found = all.into_iter().find(|(name, _)| name == constant);
    found
        .unwrap_or_else(|| panic!("builder/{source} has no {constant}"))
        .1
}

/// The constants of a source file that are called like revisions, with their values.
///
/// # Panics
/// When the file cannot be read.
pub fn revisions(source: &Path) -> Vec<(String, u32)> {
    let text = fs::read_to_string(source).unwrap_or_else(|error| panic!("{}: {error}", source.display()));
    let constants = text.lines().filter_map(|line| {
        let line = line.trim_start_matches("pub ").strip_prefix("const ")?;
        let (name, value) = line.split_once(": u32 = ")?;
        let value = value.trim_end_matches(';').parse().ok()?;
        let is_revision = name.ends_with("REVISION") || name == "VERSION";
        is_revision.then(|| (name.to_owned(), value))
    });
    constants.collect()
}

fn builder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_may_change_only_with_the_revision() {
        let revision = revision("stages/src/rootfs/role.rs", "REVISION");
        let said = |recorded: &str, now: &str| verdict("role", revision, recorded, now);
        let old = "revision 3\nsha256 aa\n";
        assert_eq!(said(old, old), Verdict::Same);
        assert_eq!(said("", old), Verdict::Anew);
        assert_eq!(said(old, "revision 4\nsha256 bb\n"), Verdict::Anew);
        let Verdict::Changed(said) = said(old, "revision 3\nsha256 bb\n") else {
            panic!("not told");
        };
        assert!(
            said.starts_with(
                "bytes of stage role changed: raise its REVISION in builder/stages/src/rootfs/role.rs"
            ),
            "{said}"
        );
    }
}
