//! What was written last: a note beside the images that lets the next build leave alone what is still right.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use engine::Key;
use files::emit::{Readers, write_file};
use formats::bmap::BlockMap;
use formats::digest::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::card::NodeCard;
use super::figures::ImageFigures;
use crate::block_map::faults;
use crate::delta_base::{DeltaBase, ImageFormat};
use crate::inspect::open_built;

/// The files of one node's image in the folder of images. Its formats have manifest and block map in common.
#[derive(Debug, Clone)]
pub struct ImageFiles {
    /// The card.
    pub image: PathBuf,
    /// What went into it. It is there only while every image beside it is complete.
    pub manifest: PathBuf,
    /// The image's block map, for `bmaptool`.
    pub map: PathBuf,
    folder: PathBuf,
    node: String,
    format: ImageFormat,
    /// The note.
    state: PathBuf,
}

/// What the note says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageState {
    /// Everything that could change the image.
    key: String,
    /// What the image is.
    #[serde(flatten)]
    pub figures: ImageFigures,
    /// The image's own SHA-256, if anybody has asked for it.
    pub sha256: Option<String>,
    /// SHA-256 of the manifest.
    pub manifest_sha256: String,
    /// Inode, size and time of the file as it was left, and of those beside it: a file that was touched since
    /// is made anew.
    image: Fingerprint,
    manifest: Fingerprint,
    map: Fingerprint,
}

/// What changes when somebody touches a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    inode: u64,
    size: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl ImageFiles {
    /// The files of `node` in `folder`.
    pub fn new(folder: &Path, node: &str, format: ImageFormat) -> Self {
        let name = format!("{node}{}", format.suffix());
        Self {
            image: folder.join(&name),
            manifest: folder.join(format!("{node}.manifest.json")),
            map: folder.join(format!("{node}.img.bmap")),
            folder: folder.to_owned(),
            node: node.to_owned(),
            format,
            state: folder.join(".state").join(format!("{name}.json")),
        }
    }

    /// The files of the finished image of `node` in `folder`, in whatever format there is one.
    pub fn find(folder: &Path, node: &str) -> Option<Self> {
        let mut formats = ImageFormat::ALL
            .into_iter()
            .map(|format| Self::new(folder, node, format));
        formats.find(|files| files.finished().is_some())
    }

    /// The files of an image of `node` in `folder` that nothing is noted of: it was changed since it was built, or never
    /// built there, but exported.
    pub fn unnoted(folder: &Path, node: &str) -> Option<Self> {
        let mut formats = ImageFormat::ALL
            .into_iter()
            .map(|format| Self::new(folder, node, format));
        formats.find(|files| {
            let mut needed = [&files.image, &files.manifest, &files.map].into_iter();
            needed.all(|path| path.is_file())
        })
    }

    /// The note, if the image it tells of is still there as it was left.
    pub fn finished(&self) -> Option<ImageState> {
        let state: ImageState = serde_json::from_slice(&fs::read(&self.state).ok()?).ok()?;
        let untouched = state.image == Fingerprint::of(&self.image).ok()?
            && state.manifest == Fingerprint::of(&self.manifest).ok()?
            && state.map == Fingerprint::of(&self.map).ok()?;
        untouched.then_some(state)
    }

    /// The note, if the image is the one that `key` identifies.
    pub fn current(&self, key: &Key) -> Option<ImageState> {
        self.finished().filter(|state| state.key == key.as_str())
    }

    /// Takes away whatever tells of another image than `key`'s before that is written: the note; unless another format of
    /// the very image is there, also manifest, map and that other format.
    fn invalidate(&self, key: &Key) -> Result<Beside> {
        remove(&self.state)?;
        if self.others().any(|other| other.current(key).is_some()) {
            return Ok(Beside::Right);
        }
        for other in self.others() {
            remove(&other.state)?;
            remove(&other.image)?;
        }
        remove(&self.manifest)?;
        remove(&self.map)?;
        Ok(Beside::Missing)
    }

    /// Writes `card` over `delta_base`, manifest and map beside it, and the note at last.
    pub fn write(&self, key: &Key, card: &NodeCard, delta_base: &DeltaBase) -> Result<ImageState> {
        let beside = self.invalidate(key)?;
        delta_base.write(&card.delta, &card.segments, &self.image)?;
        // A map that is another format's, too, may have been found damaged: it is never left as it is without a look.
        let is_there = fs::read(&self.map).is_ok_and(|map| map == card.map.as_bytes());
        if beside == Beside::Missing || !is_there {
            write_file(&self.map, card.map.as_bytes(), Readers::Owner)?;
            write_file(&self.manifest, card.manifest.as_bytes(), Readers::Owner)?;
        }
        let fingerprint =
            |path: &Path| Fingerprint::of(path).with_context(|| format!("cannot look at {}", path.display()));
        let state = ImageState {
            key: key.as_str().to_owned(),
            figures: card.figures.clone(),
            sha256: None,
            manifest_sha256: hex(&Sha256::digest(&card.manifest)),
            image: fingerprint(&self.image)?,
            manifest: fingerprint(&self.manifest)?,
            map: fingerprint(&self.map)?,
        };
        self.note(&state)?;
        Ok(state)
    }

    /// What the finished image has that its block map does not say; `None` where it is as it was written. Notes tell of files
    /// that were touched, not of disks that rot.
    pub fn damage(&self) -> Option<String> {
        let compare = || -> Result<Option<String>> {
            let state = self.finished().context("it has just been changed")?;
            let map = fs::read(&self.map).context("its block map cannot be read")?;
            ensure!(
                hex(&Sha256::digest(&map)) == state.figures.map_sha256,
                "its block map is not the one that was written with it"
            );
            let faults = faults(&open_built(&self.image)?, &BlockMap::from_xml(&map)?)?;
            Ok(faults.into_iter().next().map(|fault| fault.said))
        };
        compare().unwrap_or_else(|error| Some(format!("{error:#}")))
    }

    /// The SHA-256 of the finished image itself, which is noted where it was not yet.
    pub fn sha256(&self) -> Result<String> {
        let mut state = self
            .finished()
            .with_context(|| format!("{} has just been changed", self.image.display()))?;
        if let Some(sha256) = state.sha256 {
            return Ok(sha256);
        }
        let hash = || -> io::Result<Sha256> {
            let mut hash = Sha256::new();
            io::copy(&mut File::open(&self.image)?, &mut hash)?;
            Ok(hash)
        };
        let hash = hash().with_context(|| format!("cannot read {}", self.image.display()))?;
        let sha256 = hex(&hash.finalize());
        state.sha256 = Some(sha256.clone());
        self.note(&state)?;
        Ok(sha256)
    }

    fn note(&self, state: &ImageState) -> Result<()> {
        write_file(&self.state, &serde_json::to_vec(state)?, Readers::Owner)
    }

    /// The files of the same node's image in other formats.
    fn others(&self) -> impl Iterator<Item = Self> {
        ImageFormat::ALL
            .into_iter()
            .filter(|format| *format != self.format)
            .map(|format| Self::new(&self.folder, &self.node, format))
    }
}

/// Manifest and map beside an image that is about to be written.
#[derive(PartialEq, Eq)]
enum Beside {
    /// They are another format's of the same image.
    Right,
    /// They have to be written.
    Missing,
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

impl Fingerprint {
    fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        })
    }
}
