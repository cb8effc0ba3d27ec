//! A finished output, and the sums that its files are checked against before they are used.
//!
//! `SHA256SUMS` is in it from the moment it has its name, in the form that `sha256sum --check` reads. Outputs of versions
//! that wrote none are given one when a file of theirs is first used: what has rotted until then is not found, what rots
//! later is, and a kernel that took many minutes needs no other key.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, ensure};
use files::emit::{Readers, TEMPORARY, write_file};
use formats::digest::hex;
use sha2::{Digest as _, Sha256};

use crate::VerificationFailed;

/// The file that lists the others.
const SUMS: &str = "SHA256SUMS";

/// SHA-256 in hexadecimal by path within the output, `/` between its parts.
type Sums = BTreeMap<String, String>;

/// A finished output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    stage: String,
    folder: PathBuf,
}

impl Entry {
    /// The output of `stage` in `folder`.
    pub(crate) fn new(stage: &str, folder: PathBuf) -> Self {
        Self {
            stage: stage.to_owned(),
            folder,
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The paths of all of its files, in order, relative to its folder.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(self.sums()?.into_keys().collect())
    }

    /// The path of its file `name`, which has to be there. Nothing is said of what is in it.
    pub fn present(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(path),
            Ok(_) => Err(self.damaged(format!("{name} is no file"))),
            Err(error) => Err(self.unreadable(name, error)),
        }
    }

    /// The path of its file `name`, which was compared with its sum now.
    pub fn verified(&self, name: &str) -> Result<PathBuf> {
        let path = self.present(name)?;
        let found = sum_of(&path).map_err(|error| self.unreadable(name, error))?;
        self.compare(name, &found)?;
        Ok(path)
    }

    /// What its file `name` holds, compared with its sum.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.present(name)?;
        let bytes = fs::read(path).map_err(|error| self.unreadable(name, error))?;
        self.compare(name, &hex(&Sha256::digest(&bytes)))?;
        Ok(bytes)
    }

    /// The same of a file that is text.
    pub fn text(&self, name: &str) -> Result<String> {
        String::from_utf8(self.read(name)?).map_err(|_| self.damaged(format!("{name} is no text")))
    }

    /// What is to be done about `fault`, which makes the output useless.
    pub fn damaged(&self, fault: impl Into<String>) -> Error {
        let Self { stage, folder } = self;
        let advice = format!(
            "the cached output of {stage} is damaged: remove {}",
            folder.display()
        );
        Error::from(VerificationFailed(fault.into())).context(advice)
    }

    fn compare(&self, name: &str, found: &str) -> Result<()> {
        match self.sums()?.get(name) {
            Some(expected) if expected == found => Ok(()),
            Some(expected) => {
                Err(self.damaged(format!("{name} has SHA-256 {found}, it was made with {expected}")))
            }
            None => Err(self.damaged(format!("its {SUMS} does not list {name}"))),
        }
    }

    fn unreadable(&self, name: &str, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound => self.damaged(format!("{name} is missing")),
            _ => Error::from(error).context(format!("cannot read {}", self.folder.join(name).display())),
        }
    }

    /// The sums of its files, taken now where it has none.
    fn sums(&self) -> Result<Sums> {
        match fs::read_to_string(self.folder.join(SUMS)) {
            Ok(text) => parse(&text).ok_or_else(|| self.damaged(format!("its {SUMS} is no list of sums"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let sums = sums_of(&self.folder)?;
                let text = to_text(&sums)?;
                match write_file(&self.folder.join(SUMS), text.as_bytes(), Readers::Anybody) {
                    // Nobody can give a cache sums that cannot be written to; it is used as it is.
                    Err(error) if !is_read_only(&error) => Err(error),
                    _ => Ok(sums),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(self.damaged(format!("its {SUMS} is no text")))
            }
            Err(error) => Err(self.unreadable(SUMS, error)),
        }
    }
}

/// Lists the files in `folder`, which becomes an output.
pub(crate) fn seal(folder: &Path) -> Result<()> {
    let path = folder.join(SUMS);
    fs::write(&path, to_text(&sums_of(folder)?)?).with_context(|| format!("cannot write {}", path.display()))
}

fn is_read_only(error: &Error) -> bool {
    let kinds = [io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::PermissionDenied];
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| kinds.contains(&error.kind()))
}

fn sums_of(folder: &Path) -> Result<Sums> {
    let mut sums = Sums::new();
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        let path = folder.join(&below);
        let listed = || format!("cannot look into {}", path.display());
        for entry in fs::read_dir(&path).with_context(listed)? {
            let entry = entry.with_context(listed)?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .with_context(|| format!("{} has a name that is no text", entry.path().display()))?;
            let within = format!("{below}{name}");
            if entry.file_type().with_context(listed)?.is_dir() {
                folders.push(within + "/");
            } else if within != SUMS && !within.starts_with(TEMPORARY) {
                let sum = sum_of(&entry.path())
                    .with_context(|| format!("cannot read {}", entry.path().display()))?;
                sums.insert(within, sum);
            }
        }
    }
    Ok(sums)
}

fn sum_of(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

fn to_text(sums: &Sums) -> Result<String> {
    let mut text = String::new();
    for (name, sum) in sums {
        ensure!(
            !name.contains(['\n', '\r', '\\']),
            "{name:?} cannot be listed: sha256sum would read another name"
        );
        text += &format!("{sum}  {name}\n");
    }
    Ok(text)
}

fn parse(text: &str) -> Option<Sums> {
    let line = |line: &str| {
        let (sum, name) = line.split_once("  ")?;
        Some((name.to_owned(), sum.to_owned()))
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::is_verification_failure;
    use crate::{Cache, Key};

    fn cache() -> (tempfile::TempDir, Entry) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let key = Key::builder("s", 1).finish();
        let entry = cache.obtain("s", &key, |part| {
            fs::create_dir(part.join("sub"))?;
            fs::write(part.join("sub/b"), "bb")?;
            Ok(fs::write(part.join("a"), "aa")?)
        });
        (folder, entry.unwrap())
    }

    fn fault<T: std::fmt::Debug>(result: Result<T>) -> String {
        let error = result.unwrap_err();
        assert!(is_verification_failure(&error), "{error:#}");
        format!("{error:#}")
    }

    #[test]
    fn what_is_as_it_was_made_is_used_and_nothing_else() {
        let (_folder, entry) = cache();
        assert_eq!(entry.names().unwrap(), ["a", "sub/b"]);
        assert_eq!(entry.text("a").unwrap(), "aa");
        entry.verified("sub/b").unwrap();
        testkit::oracle::run(
            "sh",
            "dash",
            [
                "-c",
                "cd \"$0\" && sha256sum --check --strict SHA256SUMS",
                entry.folder().to_str().unwrap(),
            ],
        );
        let advice = format!(
            "the cached output of s is damaged: remove {}: ",
            entry.folder().display()
        );
        for bytes in ["ab", "a", ""] {
            fs::write(entry.folder().join("a"), bytes).unwrap();
            let said = format!("{advice}a has SHA-256 {}, it was", hex(&Sha256::digest(bytes)));
            assert!(fault(entry.read("a")).starts_with(&said));
            assert!(fault(entry.verified("a")).starts_with(&said));
        }
        fs::remove_file(entry.folder().join("a")).unwrap();
        assert_eq!(fault(entry.read("a")), format!("{advice}a is missing"));
        assert_eq!(fault(entry.present("a")), format!("{advice}a is missing"));
        entry.verified("sub/b").unwrap();
    }

    #[test]
    fn a_list_that_is_damaged_vouches_for_nothing() {
        let (_folder, entry) = cache();
        for (sums, said) in [
            (&b""[..], "its SHA256SUMS does not list a"),
            (b"x", "its SHA256SUMS is no list of sums"),
            (b"\xff", "its SHA256SUMS is no text"),
        ] {
            fs::write(entry.folder().join(SUMS), sums).unwrap();
            assert!(fault(entry.read("a")).ends_with(said));
        }
    }

    #[test]
    fn an_output_without_sums_is_given_them_when_it_is_first_used() {
        let (_folder, entry) = cache();
        let sums = fs::read(entry.folder().join(SUMS)).unwrap();
        fs::remove_file(entry.folder().join(SUMS)).unwrap();
        entry.present("a").unwrap();
        assert!(!entry.folder().join(SUMS).exists());
        // What a killed run left while it wrote them.
        fs::write(entry.folder().join(".portadc-x"), "x").unwrap();
        entry.read("a").unwrap();
        assert_eq!(fs::read(entry.folder().join(SUMS)).unwrap(), sums);
        fs::write(entry.folder().join("sub/b"), "bc").unwrap();
        assert!(fault(entry.verified("sub/b")).contains("sub/b has SHA-256"));
    }
}
