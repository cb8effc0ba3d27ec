//! Patches of the source, applied in order, exactly: no fuzz, no guessing.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use engine::{Log, Tool};
use model::kernel::Patch;

use super::source::KernelSource;

/// The files that `patches` change, below the source's root.
pub(super) fn files(patches: &[&Patch]) -> BTreeSet<PathBuf> {
    patches
        .iter()
        .flat_map(|patch| files_of(&patch.file.text))
        .collect()
}

/// The files named by a patch's `---` and `+++` lines, without the first component (`patch -p1`).
fn files_of(patch: &str) -> impl Iterator<Item = PathBuf> + '_ {
    patch.lines().filter_map(|line| {
        let name = line.strip_prefix("--- ").or_else(|| line.strip_prefix("+++ "))?;
        let name = name.split('\t').next()?.trim();
        let mut parts = Path::new(name).components();
        matches!(parts.next(), Some(Component::Normal(_))).then(|| parts.as_path().to_owned())
    })
}

/// Applies `patches` to `tree`. An error names the patch, and the file and hunk as `patch` reports them.
pub(super) fn apply(patches: &[&Patch], source: &KernelSource, tree: &Path, log: &mut Log) -> Result<()> {
    for patch in patches {
        let path = &patch.file.path;
        // Read once and checked in the model: what is applied is what is in the key.
        let copy = tree.join(".portadc.patch");
        std::fs::write(&copy, &patch.file.text)
            .with_context(|| format!("cannot write {}", copy.display()))?;
        if files_of(&patch.file.text).next().is_none() {
            bail!("{} changes no file: is it a unified diff?", path.display());
        }
        Tool::new("patch", "patch")
            .args([
                "-p1",
                "--batch",
                "--forward",
                "--fuzz=0",
                "--no-backup-if-mismatch",
                "--reject-file=-",
            ])
            .folder(tree)
            .input(&copy)
            .run(log, |_| ())
            .with_context(|| format!("{} does not apply to linux {}", path.display(), source.version))?;
        std::fs::remove_file(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use model::finding::SourceFile;
    use model::kernel::version::VersionRange;

    use super::*;

    const GOOD: &str = "Say why.\n---\n drivers/net.c | 2 +-\n\n--- a/drivers/net.c\n+++ b/drivers/net.c\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";

    fn patch(name: &str, text: &str) -> Patch {
        let file = SourceFile {
            path: Path::new("kernel/patches").join(name),
            text: text.into(),
        };
        Patch {
            file: Arc::new(file),
            range: VersionRange::default(),
        }
    }

    /// A tree with one file, and the outcome of `patches` on it.
    fn applied(patches: &[Patch]) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("drivers"))?;
        fs::write(tree.join("drivers/net.c"), "one\ntwo\nthree\n")?;
        let source = KernelSource {
            tarball: Box::new(|| Ok("linux.tar.xz".into())),
            sha256: String::new(),
            version: "6.12.107".parse()?,
        };
        let mut log = Log::create(&folder.path().join("log"))?;
        apply(&patches.iter().collect::<Vec<_>>(), &source, &tree, &mut log)?;
        assert_eq!(fs::read_dir(&tree)?.count(), 1, "patch left something behind");
        Ok(fs::read_to_string(tree.join("drivers/net.c"))?)
    }

    #[test]
    fn patches_are_applied_in_order() {
        let second = GOOD.replace("-two\n+TWO", "-TWO\n+2");
        let result = applied(&[patch("1.patch", GOOD), patch("2.patch", &second)]).unwrap();
        assert_eq!(result, "one\n2\nthree\n");
        assert_eq!(
            files(&[&patch("1.patch", GOOD)]).into_iter().collect::<Vec<_>>(),
            [Path::new("drivers/net.c")]
        );
    }

    #[test]
    fn a_patch_that_does_not_apply_is_named_with_its_hunk() {
        let wrong = GOOD.replace("-two", "-zwei");
        let error = format!("{:#}", applied(&[patch("1.patch", &wrong)]).unwrap_err());
        assert!(
            error.starts_with("kernel/patches/1.patch does not apply to linux 6.12.107: "),
            "{error}"
        );
        assert!(
            error.contains("patching file drivers/net.c") && error.contains("Hunk #1 FAILED at 1"),
            "{error}"
        );
    }

    #[test]
    fn a_patch_applied_already_is_an_error_not_a_reversal() {
        let error = format!(
            "{:#}",
            applied(&[patch("1.patch", GOOD), patch("1.patch", GOOD)]).unwrap_err()
        );
        assert!(error.contains("previously applied"), "{error}");
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        let error = applied(&[patch("1.patch", "hello\n")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "kernel/patches/1.patch changes no file: is it a unified diff?"
        );
    }

    #[test]
    fn a_patch_cannot_leave_the_tree() {
        let outside = GOOD
            .replace("a/drivers", "a/../../drivers")
            .replace("b/drivers", "b/../../drivers");
        assert!(applied(&[patch("1.patch", &outside)]).is_err());
    }
}
