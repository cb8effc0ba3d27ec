//! The modules as a tarball: sorted, root's, of one time, with nothing of the machine that built them.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use tar::{Builder, EntryType, Header};

/// Links to the source, made by the kernel's installation: they point to a folder of the building machine.
const LINKS_TO_SOURCE: [&str; 2] = ["build", "source"];

/// The list that modprobe reads; without it no module is found.
const INDEX: &str = "modules.dep.bin";

/// Packs the installed modules in `folder` into `tarball`, as `usr/lib/modules/<release>`. Everything bears the time
/// `released`, in seconds since 1970.
pub(super) fn pack(folder: &Path, release: &str, released: u64, tarball: &Path) -> Result<()> {
    ensure!(
        folder.join(INDEX).is_file(),
        "depmod made no {INDEX} in {}",
        folder.display()
    );
    let mut paths = Vec::new();
    collect(folder, Path::new(""), &mut paths)?;
    paths.sort_unstable();
    let file = File::create(tarball).with_context(|| format!("cannot make {}", tarball.display()))?;
    let mut archive = Builder::new(BufWriter::new(file));
    let root = Path::new("usr/lib/modules");
    let mut add = |path: &Path, source: Option<&Path>| {
        add(&mut archive, path, source, released).with_context(|| format!("cannot pack {}", path.display()))
    };
    add(root, None)?;
    add(&root.join(release), None)?;
    for path in paths {
        let source = folder.join(&path);
        let is_file = source.is_file();
        add(
            &root.join(release).join(path),
            is_file.then_some(source.as_path()),
        )?;
    }
    let mut file = archive
        .into_inner()
        .with_context(|| format!("cannot write {}", tarball.display()))?;
    file.flush()
        .with_context(|| format!("cannot write {}", tarball.display()))
}

/// Adds everything below `folder/inner` to `paths`, relative to `folder`.
fn collect(folder: &Path, inner: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let current = folder.join(inner);
    let entries = fs::read_dir(&current).with_context(|| format!("cannot read {}", current.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", current.display()))?;
        let path = inner.join(entry.file_name());
        let kind = entry
            .file_type()
            .with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_symlink() && LINKS_TO_SOURCE.iter().any(|link| path == Path::new(link)) {
            continue;
        }
        if kind.is_dir() {
            collect(folder, &path, paths)?;
        } else if !kind.is_file() {
            bail!(
                "{} among the modules is neither a file nor a folder",
                path.display()
            );
        }
        paths.push(path);
    }
    Ok(())
}

/// Adds one path: the file `source`, or a folder.
fn add(
    archive: &mut Builder<impl Write>,
    path: &Path,
    source: Option<&Path>,
    released: u64,
) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(released);
    header.set_uid(0);
    header.set_gid(0);
    match source {
        None => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            archive.append_data(&mut header, path, std::io::empty())
        }
        Some(source) => {
            let file = File::open(source)?;
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(file.metadata()?.len());
            archive.append_data(&mut header, path, BufReader::new(file))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Modules as an installation leaves them, made in the given order.
    fn installed(order: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in order {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
        symlink("/somewhere/linux", folder.path().join("build")).unwrap();
        folder
    }

    #[test]
    fn a_tarball_depends_on_nothing_but_names_and_contents() {
        let names = [
            "kernel/net/a.ko",
            "kernel/a.ko",
            "modules.dep.bin",
            "modules.alias",
        ];
        let reversed: Vec<_> = names.iter().rev().copied().collect();
        let tarball = |order: &[&str]| {
            let folder = installed(order);
            let path = folder
                .path()
                .join("../modules.tar")
                .with_extension(folder.path().file_name().unwrap());
            pack(folder.path(), "6.12.107-portadc", 1_700_000_000, &path).unwrap();
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            bytes
        };
        let bytes = tarball(&names);
        assert_eq!(bytes, tarball(&reversed));
        let mut archive = tar::Archive::new(&bytes[..]);
        let paths: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!(
                    (header.uid().unwrap(), header.mtime().unwrap()),
                    (0, 1_700_000_000)
                );
                entry.path().unwrap().display().to_string()
            })
            .collect();
        assert_eq!(
            paths,
            [
                "usr/lib/modules",
                "usr/lib/modules/6.12.107-portadc",
                "usr/lib/modules/6.12.107-portadc/kernel",
                "usr/lib/modules/6.12.107-portadc/kernel/a.ko",
                "usr/lib/modules/6.12.107-portadc/kernel/net",
                "usr/lib/modules/6.12.107-portadc/kernel/net/a.ko",
                "usr/lib/modules/6.12.107-portadc/modules.alias",
                "usr/lib/modules/6.12.107-portadc/modules.dep.bin",
            ]
        );
    }

    #[test]
    fn modules_without_their_index_are_refused() {
        let folder = installed(&["kernel/a.ko"]);
        let error = pack(folder.path(), "6.12", 0, Path::new("/no/such/folder/modules.tar")).unwrap_err();
        assert!(
            error.to_string().starts_with("depmod made no modules.dep.bin"),
            "{error}"
        );
    }
}
