//! Where packages are compiled: a stage3, unpacked, that is entered, with the snapshot of the ebuild repository in its place.
//!
//! ```text
//! <cache>/compiling/lock        held by whoever compiles: one at a time
//! <cache>/compiling/root        the stage3
//! <cache>/compiling/repository  the snapshot
//! <cache>/compiling/distfiles   what is compiled
//! <cache>/compiling/packages    what is done so far, and what was fetched to compile with
//! <cache>/compiling/of          for which output they are: a killed run's are gone on with, another's are not
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use engine::sandbox::{Access, Bind, Sandbox};
use engine::{Key, Log, VerificationFailed};
use files::private;
use formats::unpack::unpack;
use model::sources::{Compile, Init, Stage3};
use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags, flock, openat2};

use super::super::{Errand, LockedCompile, Stage3Tarball};
use super::unsigned::{is_sound, unsigned};
use super::{check_host, repository, snapshot};
use crate::digest::Sha256Sum;

/// Memory that one job of a compiler may take: C++ does.
const MEMORY_OF_JOB: u64 = 1 << 30;

/// Features of portage that cannot work, or have nothing to guard, where there are name spaces around it already; nobody's
/// signature is asked for again, for everything was verified before it was brought.
const FEATURES: &str = "-pid-sandbox -network-sandbox -ipc-sandbox -mount-sandbox -sandbox -usersandbox -userpriv -userfetch \
     -cgroup -distlocks -parallel-fetch -parallel-install -news -getbinpkg -binpkg-request-signature -binpkg-signing \
     -ccache -distcc -test -pkgdir-index-trusted \
     binpkg-ignore-signature binpkg-multi-instance";

/// Folders of the workshop, as they are named and seen.
const REPOSITORY: Bind = Bind {
    name: "repository",
    at: "/var/db/repos/gentoo",
    access: Access::Read,
};
const DISTFILES: Bind = Bind {
    name: "distfiles",
    at: "/var/cache/distfiles",
    access: Access::Read,
};
const PACKAGES: Bind = Bind {
    name: "packages",
    at: "/var/cache/binpkgs",
    access: Access::Write,
};

/// A stage3 to compile in. Its stage3 and snapshot go when it is dropped.
#[derive(Debug)]
pub(super) struct Workshop {
    sandbox: Sandbox,
    log: Log,
    epoch: i64,
    jobs: usize,
    _lock: File,
}

impl Workshop {
    /// Unpacks `stage3` and the snapshot of `compile`. Waits for whoever compiles with this cache.
    pub(super) fn open(stage3: &Stage3Tarball, how: &Compile, locked: &LockedCompile) -> Result<Self> {
        let Stage3Tarball { errand, source, .. } = *stage3;
        let engine = errand.engine;
        check_host()?;
        let folder = engine.cache.root().join("compiling");
        private::make_folders(&folder, private::OPEN_FOLDER)?;
        let lock = hold(errand, &folder.join("lock"))?;
        let mut workshop = Self {
            sandbox: Sandbox::new(&folder)?,
            log: engine.log("compile")?,
            epoch: locked.snapshot.date.0,
            jobs: jobs(engine.jobs),
            _lock: lock,
        };
        workshop.clear()?;
        let task = engine.progress.steps("compile", 0);
        task.message("unpacking the stage3");
        let tarball = stage3.obtain()?;
        workshop.unpack("root", 0, &tarball)?;
        task.message("unpacking the ebuild repository");
        let tarball = snapshot::bring(errand, repository(source)?, &locked.snapshot)?;
        workshop.unpack("repository", 1, &tarball)?;
        workshop.sandbox.make_folder("distfiles")?;
        workshop.configure(source, how)?;
        task.done(format!("{} and {}", stage3.name(), locked.snapshot.file));
        Ok(workshop)
    }

    /// Removes all but the packages that are done.
    fn clear(&mut self) -> Result<()> {
        for name in ["root", "repository", "distfiles"] {
            self.sandbox.remove(name, &mut self.log)?;
        }
        Ok(())
    }

    fn unpack(&mut self, name: &str, strip: usize, tarball: &Path) -> Result<()> {
        let open = || -> Result<Box<dyn Read>> {
            let file = File::open(tarball).with_context(|| format!("cannot open {}", tarball.display()))?;
            let (_, reader) = unpack(BufReader::new(file))
                .with_context(|| format!("cannot unpack {}", tarball.display()))?;
            Ok(Box::new(reader))
        };
        self.sandbox.make_folder(name)?;
        self.sandbox.unpack(name, strip, open, &mut self.log)
    }

    /// Unpacks files that are made here into a folder that is there: they belong to the root of the sandbox.
    fn add(&mut self, name: &str, files: impl IntoIterator<Item = (String, Content)>) -> Result<()> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut from_files = Vec::new();
        for (path, content) in files {
            match content {
                Content::Text(text) => {
                    let mut header = header(text.len() as u64);
                    tar.append_data(&mut header, &path, text.as_bytes())?;
                }
                Content::File(file) => from_files.push((path, file)),
            }
        }
        let open = move || -> Result<Box<dyn Read>> {
            let text = tar.into_inner()?;
            if from_files.is_empty() {
                return Ok(Box::new(std::io::Cursor::new(text)));
            }
            let mut spool = tempfile::tempfile()?;
            let mut tar = tar::Builder::new(&mut spool);
            for (path, file) in from_files {
                let mut header = header(file.metadata()?.len());
                tar.append_data(&mut header, &path, file)?;
            }
            tar.finish()?;
            drop(tar);
            std::io::Seek::rewind(&mut spool)?;
            Ok(Box::new(spool))
        };
        self.sandbox.unpack(name, 0, open, &mut self.log)
    }

    /// Says in the stage3 what portage may take, and where it is.
    fn configure(&mut self, source: &Stage3, how: &Compile) -> Result<()> {
        let lines = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let init = match source.init {
            Init::Systemd => gentoo::resolve::Init::Systemd,
            Init::OpenRc => gentoo::resolve::Init::OpenRc,
        };
        let mut masks = source.mask.clone();
        masks.extend(init.masks()?.into_iter().map(|mask| mask.atom.to_string()));
        let repositories = format!(
            "[DEFAULT]\nmain-repo = gentoo\n\n[gentoo]\nlocation = {}\nauto-sync = no\n",
            REPOSITORY.at
        );
        let keep = String::new;
        let files = [
            (
                "etc/portage/package.accept_keywords/portadc",
                lines(&how.keywords),
            ),
            ("etc/portage/package.use/portadc", lines(&how.use_flags)),
            ("etc/portage/package.mask/portadc", lines(&masks)),
            ("etc/portage/repos.conf/gentoo.conf", repositories),
            ("var/db/repos/gentoo/.keep", keep()),
            ("var/cache/distfiles/.keep", keep()),
            ("var/cache/binpkgs/.keep", keep()),
        ];
        self.add(
            Sandbox::ROOT,
            files.map(|(path, text)| (path.to_owned(), Content::Text(text))),
        )
        .context("cannot configure portage")
    }

    /// Runs a program of the stage3; `packages` says whether the packages that are done are seen.
    pub(super) fn run(&mut self, program: &[&str], each_line: impl FnMut(&str)) -> Result<()> {
        let environment = [
            ("HOME", "/root".to_owned()),
            ("LC_ALL", "C.UTF-8".into()),
            ("TZ", "UTC".into()),
            ("TERM", "dumb".into()),
            ("NOCOLOR", "true".into()),
            ("FEATURES", FEATURES.into()),
            ("MAKEOPTS", format!("-j{}", self.jobs)),
            ("SOURCE_DATE_EPOCH", self.epoch.max(0).to_string()),
            ("PKGDIR", PACKAGES.at.into()),
            ("DISTDIR", DISTFILES.at.into()),
            ("PORTAGE_TMPDIR", "/var/tmp".into()),
            ("BINPKG_FORMAT", "gpkg".into()),
            ("BINPKG_COMPRESS", "zstd".into()),
            ("EMERGE_DEFAULT_OPTS", String::new()),
            ("GENTOO_MIRRORS", String::new()),
            ("FETCHCOMMAND", "/bin/false".into()),
            ("RESUMECOMMAND", "/bin/false".into()),
            ("CLEAN_DELAY", "0".into()),
        ];
        let binds = [REPOSITORY, DISTFILES, PACKAGES];
        self.sandbox
            .enter(&binds, &environment, program, &mut self.log, each_line)
    }

    /// The Manifest of a package in the snapshot.
    pub(super) fn manifest(&self, name: &gentoo::PackageName) -> Result<Vec<u8>> {
        let within = format!("repository/{name}/Manifest");
        let read = || -> Result<Vec<u8>> {
            let folder = File::open(self.sandbox.folder())?;
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            let file = File::from(openat2(&folder, &within, flags, Mode::empty(), resolve)?);
            let mut bytes = Vec::new();
            file.take(gentoo::repository::MAX_MANIFEST as u64 + 1)
                .read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().with_context(|| format!("the snapshot has no readable Manifest of {name}"))
    }

    /// Begins with the packages for the output `key`: with those that a killed run of the same left, if each is sound.
    pub(super) fn begin_packages(&mut self, key: Option<&Key>) -> Result<()> {
        let of = self.sandbox.folder().join("of");
        let packages = self.packages();
        let text = key.map(|key| format!("{key}\n"));
        let same = text.is_some() && fs::read_to_string(&of).ok() == text;
        if !(same && packages.is_dir()) {
            self.end_packages()?;
            self.sandbox.make_folder(PACKAGES.name)?;
            if let Some(text) = text {
                fs::write(&of, text).with_context(|| format!("cannot write {}", of.display()))?;
            }
            return Ok(());
        }
        for path in files_below(&packages)? {
            if !is_sound(&path) {
                fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Removes the packages.
    pub(super) fn end_packages(&mut self) -> Result<()> {
        let of = self.sandbox.folder().join("of");
        match fs::remove_file(&of) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", of.display()));
            }
            _ => {}
        }
        self.sandbox.remove(PACKAGES.name, &mut self.log)
    }

    /// The folder of the packages.
    pub(super) fn packages(&self) -> PathBuf {
        self.sandbox.folder().join(PACKAGES.name)
    }

    /// Adds binary packages to compile with, files by their path below the folder of packages, without their signatures.
    /// Returns the SHA-256 of each as it is there.
    pub(super) fn add_packages(&mut self, files: &[(String, PathBuf)]) -> Result<BTreeSet<Sha256Sum>> {
        let mut sums = BTreeSet::new();
        let mut contents = Vec::with_capacity(files.len());
        for (path, file) in files {
            let mut file = unsigned(file)?;
            sums.insert(Sha256Sum::of_reader(&mut file)?);
            file.rewind()?;
            contents.push((path.clone(), Content::File(file)));
        }
        self.add(PACKAGES.name, contents)
            .context("cannot bring packages to compile with")?;
        Ok(sums)
    }

    /// Adds what is compiled.
    pub(super) fn add_distfiles(&mut self, files: &[(String, PathBuf)]) -> Result<()> {
        let mut contents = Vec::with_capacity(files.len());
        for (path, file) in files {
            let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
            contents.push((path.clone(), Content::File(opened)));
        }
        self.add(DISTFILES.name, contents)
            .context("cannot bring what is compiled")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What cannot be removed now the next run removes, and tells why it cannot.
        self.clear().ok();
    }
}

/// What a file holds.
enum Content {
    Text(String),
    File(File),
}

/// The header of a file that everybody may read.
fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    header
}

/// All regular files below a folder, in order. What is neither a file nor a folder is refused.
pub(super) fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let listed = || format!("cannot look into {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(listed)? {
            let entry = entry.with_context(listed)?;
            let kind = entry.file_type().with_context(listed)?;
            match (kind.is_dir(), kind.is_file()) {
                (true, _) => folders.push(entry.path()),
                (_, true) => files.push(entry.path()),
                _ => {
                    let text = format!("{} is neither a file nor a folder", entry.path().display());
                    return Err(VerificationFailed(text).into());
                }
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Waits until nobody else compiles with this cache.
fn hold(errand: &Errand, path: &Path) -> Result<File> {
    let cannot = || format!("cannot lock {}", path.display());
    let file = File::create(path).with_context(cannot)?;
    private::give(&file).with_context(cannot)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        errand
            .engine
            .progress
            .say("waiting for another process that compiles packages");
        flock(&file, FlockOperation::LockExclusive).with_context(cannot)?;
    }
    Ok(file)
}

/// Jobs that the machine has memory for, of those that are allowed.
fn jobs(allowed: usize) -> usize {
    let available = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| available(&text))
        .unwrap_or(MEMORY_OF_JOB);
    let fit = usize::try_from(available / MEMORY_OF_JOB).unwrap_or(usize::MAX);
    allowed.min(fit).max(1)
}

/// Bytes that /proc/meminfo says programs may still have.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_bounded_by_memory() {
        assert_eq!(
            available("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n"),
            Some(2 << 30)
        );
        assert_eq!(available("MemAvailable: many kB\n"), None);
        assert_eq!(available(""), None);
        assert_eq!(jobs(0), 1);
    }

    #[test]
    fn links_among_packages_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("app/a")).unwrap();
        fs::write(folder.path().join("app/a/x"), "").unwrap();
        assert_eq!(files_below(folder.path()).unwrap().len(), 1);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("app/b")).unwrap();
        let error = files_below(folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("app/b is neither a file nor a folder"), "{error}");
    }
}
