//! `portadc vendor`: everything that `sources.lock` pins of a set, as a folder that serves as its mirror.
//!
//! The folder has sources alone, by the paths that servers have them by. What is built of them is left out: it is made again,
//! bit for bit, by the same programs.

mod shelf;

use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::Engine;
use fetch::{BaseNeeds, Gathering, Lock, Network, Pinned};
use formats::units::Bytes;
use model::project::Project;
use model::sources::SourceSet;

use self::shelf::{Put, Shelf};
use crate::build::debian_packages;

/// What is vendored, and where to.
#[derive(Debug, Clone, Copy)]
pub struct VendorRequest<'a> {
    /// The project.
    pub project: &'a Project,
    /// The set.
    pub set: &'a SourceSet,
    /// The mirror that the user named.
    pub mirror: Option<&'a str>,
    /// How the network is used.
    pub network: &'a Network,
    /// The folder; made where it is missing.
    pub folder: &'a Path,
}

/// What was vendored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vendored {
    /// The folder.
    pub folder: PathBuf,
    /// Its files that the lock pins.
    pub files: usize,
    /// Bytes of all of them.
    pub bytes: Bytes,
    /// How many of them were written now; the others were there.
    pub written: usize,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Puts files into `folder`, as [`vendor`] does. Returns bytes of all, and how many files were not there yet.
pub fn fill(engine: &Engine, folder: &Path, pinned: &[Pinned]) -> Result<(Bytes, usize)> {
    put(engine, Shelf::open(folder)?, pinned)
}

fn put(engine: &Engine, shelf: Shelf, pinned: &[Pinned]) -> Result<(Bytes, usize)> {
    let total = pinned
        .iter()
        .fold(0, |sum: u64, file| sum.saturating_add(file.size.0));
    let task = engine.progress.bytes("vendor", total);
    let mut written = 0;
    for file in pinned {
        task.message(file.path.clone());
        if shelf.put(file)? == Put::Written {
            written += 1;
        }
        task.advance(file.size.0);
    }
    shelf.finish()?;
    task.done(format!("{} files ({})", pinned.len(), Bytes(total)));
    Ok((Bytes(total), written))
}

/// Puts everything that the lock pins of a set into a folder. What is there is compared and not written again; a run that is
/// cut off leaves whole files only, and the next goes on with the others.
pub fn vendor(engine: &Engine, request: &VendorRequest) -> Result<Vendored> {
    let VendorRequest {
        project,
        set,
        mirror,
        network,
        folder,
    } = *request;
    let needs = BaseNeeds::of(project, set);
    let lock = Lock::load(&project.root)?;
    let locked = lock.find_with_base(set, &needs)?;
    let shelf = Shelf::open(folder)?;
    let gathering = Gathering {
        engine,
        root: &project.root,
        mirror,
        network,
    };
    let mut pinned = gathering.set(set, locked, |archive| {
        // What a base was made of is what dpkg says in it: nothing else is exact for every version of apt.
        debian_packages(engine, project, set, locked, archive, mirror, network)
    })?;
    let mut warnings = Vec::new();
    let used = |board: &str| project.fleet.nodes.iter().any(|node| node.board == board);
    for (board, blobs) in project.sources.blobs.iter().filter(|(board, _)| used(board)) {
        if project.sources.accepts(&blobs.license) {
            pinned.extend(gathering.blobs(blobs)?);
            warnings.push(format!(
                "the folder has boot loaders of {board} under {}: they are not yours to pass on",
                blobs.license.title
            ));
        }
    }
    let (bytes, written) = put(engine, shelf, &pinned)?;
    Ok(Vendored {
        folder: folder.to_owned(),
        files: pinned.len(),
        bytes,
        written,
        warnings,
    })
}
