//! Files of known hash, from mirrors into the cache.
//!
//! ```text
//! <cache>/sources/<hash>/<file>        complete, hash checked
//! <cache>/blobs/<hash>/<file>          the same, of what is not ours to pass on
//! <cache>/sources/<hash>/<file>.part   the beginning of it; whoever writes it holds a lock on it
//! ```
//!
//! The folder's name is the hash that the file must have (SHA-256 for everything that is locked). So a partial file can only be the beginning of that very file,
//! whichever mirror and run it came from; and if it is not, the hash of the whole tells.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use formats::units::Bytes;
use reqwest::StatusCode;
use reqwest::blocking::Response;
use reqwest::header::CONTENT_RANGE;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::digest::Sum;
use super::http::{Http, Trouble, content_length, cut};
use super::mirror::{Mirrors, shown};
use super::{Mode, Network, VerificationFailed, failure};
use crate::engine::{Engine, Task};

/// A file that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Its name, a plain one.
    pub(super) name: String,
    /// Where it may be, relative to a mirror's folder, first to last.
    pub(super) paths: Vec<String>,
    /// Its size.
    pub(super) size: Bytes,
    /// Its digest.
    pub(super) sum: Sum,
    /// Where it is kept.
    pub(super) store: Store,
}

/// A folder of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// Of what everybody may have.
    Sources,
    /// Of what its licence lets the user have alone: whoever publishes a cache leaves this folder out.
    Blobs,
}

/// The file in the cache: found there, or fetched from the first mirror that has it.
pub(super) fn fetch(
    engine: &Engine,
    wanted: &Wanted,
    mirrors: &Mirrors,
    network: &Network,
) -> Result<PathBuf> {
    let name = &wanted.name;
    let folder = wanted.folder(engine);
    let done = folder.join(name);
    match wanted.check(&done) {
        Ok(()) => return Ok(done),
        Err(Flaw::Missing) if network.mode == Mode::Online => {}
        Err(Flaw::Missing) => bail!(
            "{name} ({}) is not in the cache {}, and nothing may be fetched: run the same command once without `--offline`",
            wanted.size,
            engine.cache.root().display()
        ),
        Err(Flaw::Unreadable(error)) => {
            return Err(error).with_context(|| format!("cannot read {}", done.display()));
        }
        Err(Flaw::Other(flaw)) if network.mode == Mode::Online => {
            engine
                .progress
                .say(format!("{}: {flaw}, fetching it again", done.display()));
        }
        Err(Flaw::Other(flaw)) => {
            let text = format!(
                "{}: {flaw}; remove it and run without `--offline`",
                done.display()
            );
            return Err(VerificationFailed(text).into());
        }
    }
    let route = mirrors.route()?;
    let http = Http::new(&route, &network.limits)?;
    let part = Part::open(engine, &folder, wanted)?;
    // Another process may have finished it while this one waited for it.
    if wanted.check(&done).is_ok() {
        part.remove();
        return Ok(done);
    }
    let task = engine.progress.bytes("fetch", wanted.size.0);
    task.message(name.clone());
    let mut download = Download {
        wanted,
        http,
        part,
        task,
        failures: Vec::new(),
        changed: false,
        absent: true,
    };
    for mirror in &route.mirrors {
        for path in &wanted.paths {
            if download.fetch_from(&format!("{mirror}{path}"))? {
                download.part.publish(&done)?;
                download.task.done(format!("{name} ({})", wanted.size));
                return Ok(done);
            }
        }
    }
    Err(download.failed())
}

/// Whether the cache has the file, byte for byte.
pub(super) fn is_cached(engine: &Engine, wanted: &Wanted) -> bool {
    wanted.check(&wanted.folder(engine).join(&wanted.name)).is_ok()
}

/// What is wrong with a file of the cache.
enum Flaw {
    Missing,
    Unreadable(io::Error),
    Other(String),
}

impl Wanted {
    /// Its folder in the cache.
    fn folder(&self, engine: &Engine) -> PathBuf {
        let store = match self.store {
            Store::Sources => "sources",
            Store::Blobs => "blobs",
        };
        engine.cache.root().join(store).join(self.sum.to_string())
    }

    /// Whether `path` is the wanted file, byte for byte.
    fn check(&self, path: &Path) -> Result<(), Flaw> {
        let mut file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Flaw::Missing,
            _ => Flaw::Unreadable(error),
        })?;
        self.check_file(&mut file)
    }

    fn check_file(&self, file: &mut File) -> Result<(), Flaw> {
        let length = file.metadata().map_err(Flaw::Unreadable)?.len();
        if length != self.size.0 {
            return Err(Flaw::Other(format!(
                "it has {length} bytes instead of {}",
                self.size.0
            )));
        }
        file.seek(SeekFrom::Start(0)).map_err(Flaw::Unreadable)?;
        let sum = self.sum.same_of(file).map_err(Flaw::Unreadable)?;
        if sum != self.sum {
            return Err(Flaw::Other(format!("its hash is {sum} instead of {}", self.sum)));
        }
        Ok(())
    }
}

/// A partial file, held for this process alone.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Part {
    /// Opens or makes it, and waits for any process that is writing it.
    fn open(engine: &Engine, folder: &Path, wanted: &Wanted) -> Result<Self> {
        let path = folder.join(format!("{}.part", wanted.name));
        let cannot = || format!("cannot write {}", path.display());
        loop {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path);
            let file = match opened {
                // The process before removed the empty folder just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.with_context(cannot)?,
            };
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => {
                    engine.progress.say(format!(
                        "waiting for another process that fetches {}",
                        wanted.name
                    ));
                    flock(&file, FlockOperation::LockExclusive).with_context(cannot)?;
                }
                locked => locked.with_context(cannot)?,
            }
            // Whoever held the lock may have renamed or removed the file: then this is not the partial file any more.
            let here = file.metadata().with_context(cannot)?;
            match fs::metadata(&path) {
                Ok(there) if there.dev() == here.dev() && there.ino() == here.ino() => {
                    let length = here.len();
                    return Ok(Self { path, file, length });
                }
                _ => continue,
            }
        }
    }

    /// Drops everything after the first `length` bytes.
    fn cut(&mut self, length: u64) -> Result<()> {
        if self.length == length {
            return Ok(());
        }
        self.file.set_len(length).with_context(|| self.cannot())?;
        self.length = length;
        Ok(())
    }

    /// Adds bytes. Where the disk is full the file is given up: what is left of it helps nobody.
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(bytes));
        if let Err(error) = written {
            let text = self.cannot();
            self.remove();
            return Err(error).context(text);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Gives the complete, checked file its name.
    fn publish(&mut self, done: &Path) -> Result<()> {
        self.file.sync_all().with_context(|| self.cannot())?;
        fs::rename(&self.path, done).with_context(|| format!("cannot rename {}", self.path.display()))?;
        let folder = done.parent().unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .with_context(|| format!("cannot write {} to the disk", folder.display()))
    }

    /// Removes it, and its folder if nothing else is in it. What cannot be removed is only space.
    fn remove(&self) {
        fs::remove_file(&self.path).ok();
        if let Some(folder) = self.path.parent() {
            fs::remove_dir(folder).ok();
        }
    }

    fn cannot(&self) -> String {
        format!("cannot write {}", self.path.display())
    }
}

/// Why a try ended: the mirror's trouble, or this machine's.
enum Stop {
    Mirror(Trouble),
    Here(anyhow::Error),
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Mirror(trouble)
    }
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Here(error)
    }
}

/// A file on its way.
struct Download<'a> {
    wanted: &'a Wanted,
    http: Http,
    part: Part,
    task: Task,
    /// What each URL had instead of the file.
    failures: Vec<String>,
    /// Whether one of them had other bytes than it must.
    changed: bool,
    /// Whether all of them answered that they do not have it.
    absent: bool,
}

impl Download<'_> {
    /// Fetches from one URL, going on after cuts. `false`: this URL does not have the file, the next may.
    fn fetch_from(&mut self, url: &str) -> Result<bool> {
        let (mut tried, mut farthest) = (0, self.part.length);
        loop {
            let trouble = match self.attempt(url) {
                Ok(()) => return Ok(true),
                Err(Stop::Here(error)) => return Err(error),
                Err(Stop::Mirror(trouble)) => trouble,
            };
            // A try that got further than all before it counts as the first again, unless all it got is a trickle.
            let trickle = farthest.saturating_add(self.http.limits.trickle);
            tried = if self.part.length > trickle { 1 } else { tried + 1 };
            farthest = farthest.max(self.part.length);
            if matches!(trouble, Trouble::NoRange(_)) {
                self.part.cut(0)?;
            }
            let given_up = matches!(trouble, Trouble::Lasting(_) | Trouble::Absent(_));
            self.absent &= matches!(trouble, Trouble::Absent(_));
            if given_up || tried >= self.http.limits.tries {
                self.failures
                    .push(format!("{}: {}", shown(url), trouble.into_text()));
                return Ok(false);
            }
            std::thread::sleep(self.http.limits.pause * tried);
        }
    }

    /// One request; complete and checked if it returns `Ok`.
    fn attempt(&mut self, url: &str) -> Result<(), Stop> {
        let size = self.wanted.size.0;
        if self.part.length > size {
            self.part.cut(0)?;
        }
        let resumed = self.part.length;
        if resumed < size || size == 0 {
            self.transfer(url)?;
        }
        let (got, size) = (self.part.length, self.wanted.size.0);
        if got < size {
            return Err(cut(got, size).into());
        }
        match self.wanted.check_file(&mut self.part.file) {
            Ok(()) => Ok(()),
            Err(Flaw::Missing) => Err(Stop::Here(anyhow!(self.part.cannot()))),
            Err(Flaw::Unreadable(error)) => Err(Stop::Here(anyhow!(error).context(self.part.cannot()))),
            Err(Flaw::Other(flaw)) => {
                self.part.cut(0)?;
                // The beginning may be another mirror's or an older run's fault: once more, from the start.
                Err(Stop::Mirror(if resumed > 0 {
                    Trouble::Passing(flaw)
                } else {
                    self.changed = true;
                    Trouble::Lasting(flaw)
                }))
            }
        }
    }

    /// Asks for what is missing and writes what comes.
    fn transfer(&mut self, url: &str) -> Result<(), Stop> {
        let size = self.wanted.size.0;
        let mut response = self.http.get(url, self.part.length)?;
        let total = if response.status() == StatusCode::PARTIAL_CONTENT {
            match content_range(&response) {
                Some((first, total)) if first == self.part.length => Some(total),
                _ => {
                    return Err(
                        Trouble::NoRange("the server sends another range than asked for".into()).into(),
                    );
                }
            }
        } else {
            self.part.cut(0)?;
            content_length(&response)
        };
        if let Some(total) = total.filter(|total| *total != size) {
            return Err(Trouble::Lasting(format!("it has {total} bytes instead of {size}")).into());
        }
        self.task.position(self.part.length);
        let (http, part, task) = (&self.http, &mut self.part, &self.task);
        http.copy(&mut response, |bytes| -> Result<(), Stop> {
            if part.length + bytes.len() as u64 > size {
                part.cut(0)?;
                return Err(Trouble::Lasting(format!("it has more than {size} bytes")).into());
            }
            part.append(bytes)?;
            task.position(part.length);
            Ok(())
        })
    }

    /// No mirror has it. A beginning is kept for the next run, an empty file is not.
    fn failed(self) -> anyhow::Error {
        if self.part.length == 0 {
            self.part.remove();
        }
        let mut text = format!(
            "cannot fetch {} ({}):\n  {}",
            self.wanted.name,
            self.wanted.size,
            self.failures.join("\n  ")
        );
        if self.absent {
            text.push_str("\nmirrors drop old versions: `portadc update` takes the newest");
        }
        failure(text, self.changed)
    }
}

/// First byte and total size of `Content-Range: bytes 100-199/200`.
fn content_range(response: &Response) -> Option<(u64, u64)> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, total.parse().ok()?))
}
