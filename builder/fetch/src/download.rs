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

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use engine::{Engine, Task, VerificationFailed, failure};
use files::private;
use formats::units::Bytes;
use reqwest::StatusCode;
use reqwest::blocking::Response;
use reqwest::header::CONTENT_RANGE;

use super::digest::{Sha256Sum, Sum};
use super::folder;
use super::http::{Http, Trouble, content_length, cut};
use super::mirror::{Mirrors, shown};
use super::part::Part;
use super::{Mode, Network};

/// A file that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// Its name, a plain one.
    pub(super) name: String,
    /// Where it may be, relative to a mirror's folder, first to last.
    pub(super) paths: Vec<String>,
    /// Its size.
    pub(super) size: Bytes,
    /// Its digests, at least one; the first is the one that it is kept by.
    pub(super) sums: Vec<Sum>,
    /// Where it is kept.
    pub(super) store: Store,
    /// What to do where no mirror has it any more.
    pub(super) if_gone: &'static str,
}

/// What to do where no mirror has something any more that it once had.
pub(super) const OLD_VERSION: &str = "mirrors drop old versions: `portadc update` takes the newest";

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
    fetch_within(engine, wanted, mirrors, network, None)
}

/// The same as a part of `whole`, a task that counts bytes.
pub(super) fn fetch_within(
    engine: &Engine,
    wanted: &Wanted,
    mirrors: &Mirrors,
    network: &Network,
    whole: Option<&Task>,
) -> Result<PathBuf> {
    let name = &wanted.name;
    let folder = wanted.folder(engine);
    let done = wanted.path(engine);
    let route = match network.mode {
        // Where the cache has it, mirrors are not looked up.
        Mode::Online => None,
        Mode::Offline => Some(mirrors.route_in(Mode::Offline)?).filter(|route| !route.mirrors.is_empty()),
    };
    let may_fetch = network.mode == Mode::Online || route.is_some();
    match wanted.check(&done) {
        Ok(()) => {
            if let Some(whole) = whole {
                whole.advance(wanted.size.0);
            }
            return Ok(done);
        }
        Err(Flaw::Missing) if may_fetch => {}
        Err(Flaw::Missing) => bail!(
            "{name} ({}) is not in the cache {}, and nothing may be fetched: run the same command once without `--offline`, or name a folder that has it with `--mirror`",
            wanted.size,
            engine.cache.root().display()
        ),
        Err(Flaw::Unreadable(error)) => {
            return Err(error).with_context(|| format!("cannot read {}", done.display()));
        }
        Err(Flaw::Other(flaw)) if may_fetch => {
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
    let route = match route {
        Some(folders) => folders,
        None => mirrors.route()?,
    };
    let http = Http::new(&route, &network.limits)?;
    let part = Part::open(engine, &folder, name)?;
    // Another process may have finished it while this one waited for it.
    if wanted.check(&done).is_ok() {
        part.remove();
        return Ok(done);
    }
    let mut download = Download {
        wanted,
        http,
        part,
        shown: Shown::of(engine, wanted, whole),
        failures: Vec::new(),
        changed: false,
        absent: true,
    };
    for mirror in &route.mirrors {
        for path in &wanted.paths {
            if download.fetch_from(&format!("{mirror}{path}"))? {
                download.part.publish(&done)?;
                download.shown.done(wanted);
                return Ok(done);
            }
        }
    }
    Err(download.failed())
}

/// Gives a fetched file also the name by which builds look for it. Its own stays: the next update looks for that one.
pub(super) fn keep_as(fetched: &Path, engine: &Engine, sha256: Sha256Sum) -> Result<PathBuf> {
    let to = engine.cache.root().join("sources").join(sha256.to_string());
    let done = to.join(fetched.file_name().unwrap_or_default());
    let link = || match fs::hard_link(fetched, &done) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // The file system may not know hard links.
        Err(_) => fs::rename(fetched, &done),
        Ok(()) => Ok(()),
    };
    private::make_folders(&to, private::OPEN_FOLDER)?;
    link().with_context(|| format!("cannot keep {} as {}", fetched.display(), done.display()))?;
    Ok(done)
}

/// Whether the cache has the file, byte for byte.
pub(super) fn is_cached(engine: &Engine, wanted: &Wanted) -> bool {
    wanted.check(&wanted.path(engine)).is_ok()
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
        // What has no digest is never the right file, whatever folder it would be in.
        let folder = self.sums.first().map(Sum::to_string).unwrap_or_default();
        engine.cache.root().join(store).join(folder)
    }

    /// Where the cache has it, or would have it.
    pub(super) fn path(&self, engine: &Engine) -> PathBuf {
        self.folder(engine).join(&self.name)
    }

    /// Whether `path`, a file that nobody fetches, is the wanted one.
    pub(super) fn check_here(&self, path: &Path) -> Result<()> {
        let shown = path.display();
        match self.check(path) {
            Ok(()) => Ok(()),
            Err(Flaw::Missing) => bail!("{shown} does not exist"),
            Err(Flaw::Unreadable(error)) => Err(error).with_context(|| format!("cannot read {shown}")),
            Err(Flaw::Other(flaw)) => Err(VerificationFailed(format!("{shown}: {flaw}")).into()),
        }
    }

    /// Whether `path` is a file of the right size. Its bytes are to be checked where they are used.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.look(path).is_ok()
    }

    /// Whether `path` is the wanted file, byte for byte.
    fn check(&self, path: &Path) -> Result<(), Flaw> {
        self.check_file(&mut self.look(path)?)
    }

    /// The file `path`, if it has the right size.
    fn look(&self, path: &Path) -> Result<File, Flaw> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Flaw::Missing,
            _ => Flaw::Unreadable(error),
        })?;
        self.check_size(&file)?;
        Ok(file)
    }

    fn check_size(&self, file: &File) -> Result<(), Flaw> {
        let length = file.metadata().map_err(Flaw::Unreadable)?.len();
        if length != self.size.0 {
            return Err(Flaw::Other(format!(
                "it has {length} bytes instead of {}",
                self.size.0
            )));
        }
        Ok(())
    }

    fn check_file(&self, file: &mut File) -> Result<(), Flaw> {
        self.check_size(file)?;
        for wanted in &self.sums {
            file.seek(SeekFrom::Start(0)).map_err(Flaw::Unreadable)?;
            let sum = wanted.same_of(&mut *file).map_err(Flaw::Unreadable)?;
            if sum != *wanted {
                return Err(Flaw::Other(format!("its hash is {sum} instead of {wanted}")));
            }
        }
        Ok(())
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

/// Where one sees how far a download is.
enum Shown<'a> {
    /// In a line of its own.
    Alone(Task),
    /// In that of all files it belongs to, which has been told of so many of its bytes.
    Within(&'a Task, u64),
}

impl<'a> Shown<'a> {
    fn of(engine: &Engine, wanted: &Wanted, whole: Option<&'a Task>) -> Self {
        match whole {
            Some(whole) => Self::Within(whole, 0),
            None => {
                let task = engine.progress.bytes("fetch", wanted.size.0);
                task.message(wanted.name.clone());
                Self::Alone(task)
            }
        }
    }

    /// So many bytes are there.
    fn position(&mut self, position: u64) {
        match self {
            Self::Alone(task) => task.position(position),
            Self::Within(whole, told) => {
                // Bytes that turn out to be wrong and are fetched again count once.
                whole.advance(position.saturating_sub(*told));
                *told = position.max(*told);
            }
        }
    }

    fn done(self, wanted: &Wanted) {
        match self {
            Self::Alone(task) => task.done(format!("{} ({})", wanted.name, wanted.size)),
            Self::Within(..) => {}
        }
    }
}

/// A file on its way.
struct Download<'a> {
    wanted: &'a Wanted,
    http: Http,
    part: Part,
    shown: Shown<'a>,
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
        if let Some(path) = folder::path_of(url) {
            return self.copy(path);
        }
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
        self.shown.position(self.part.length);
        let (http, part, shown) = (&self.http, &mut self.part, &mut self.shown);
        http.copy(&mut response, |bytes| -> Result<(), Stop> {
            if part.length + bytes.len() as u64 > size {
                part.cut(0)?;
                return Err(Trouble::Lasting(format!("it has more than {size} bytes")).into());
            }
            part.append(bytes)?;
            shown.position(part.length);
            Ok(())
        })
    }

    /// Writes what is missing of what a folder has.
    fn copy(&mut self, path: &Path) -> Result<(), Stop> {
        let size = self.wanted.size.0;
        let (mut file, total) = folder::open(path)?;
        if total != size {
            return Err(Trouble::Lasting(format!("it has {total} bytes instead of {size}")).into());
        }
        let cannot = |error: io::Error| Trouble::Lasting(error.to_string());
        file.seek(SeekFrom::Start(self.part.length)).map_err(cannot)?;
        let mut buffer = vec![0; 256 << 10];
        // No more than its size: it may grow while it is read.
        let mut rest = file.take(size - self.part.length);
        loop {
            let count = match rest.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(cannot(error).into()),
            };
            self.part.append(&buffer[..count])?;
            self.shown.position(self.part.length);
        }
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
            text.push('\n');
            text.push_str(self.wanted.if_gone);
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
