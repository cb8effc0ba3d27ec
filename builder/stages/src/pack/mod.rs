//! Packs: the images of a fleet in one folder, as bases and deltas. `formats::pack` describes the files.
//!
//! | module | owns |
//! |---|---|
//! | `encryption` | deltas that only their recipients can read |
//! | `writer` | a pack written whole, or not at all |
//! | `export` | images made of a pack |

mod encryption;
mod export;
mod writer;

pub use encryption::{Identities, Recipients};
pub use export::{ExportRequest, Exported, export};
pub use writer::{PackFolder, PackWriter};

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use engine::failure;
use formats::blob::Blob;
use formats::bmap::BlockMap;
use formats::delta::{Delta, Patched};
use formats::digest::hex;
use formats::manifest::Manifest;
use formats::pack::{INDEX, Index, Node, PackedBase};
use formats::seekable;
use formats::segments::Segments;
use formats::source::{ReadAt, WholeBlob, starts_with};
use sha2::{Digest as _, Sha256};

/// How the name of a node's delta ends.
pub const DELTA: &str = ".delta";

/// How the name of a node's delta ends that is encrypted.
pub const ENCRYPTED_DELTA: &str = ".delta.age";

/// A pack that is there.
#[derive(Debug)]
pub struct Pack {
    folder: PathBuf,
    /// What is in it.
    pub index: Index,
    /// By what its deltas are decrypted.
    identities: Option<Identities>,
}

/// A node's card, read from a pack without being written anywhere.
pub type PackedCard = Patched<seekable::Reader<WholeBlob>>;

impl Pack {
    /// Opens the pack in `folder`.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(INDEX);
        let context = || format!("cannot read the pack's index {}", path.display());
        let json = files::read(&path).with_context(context)?;
        let index = Index::from_json(&json).with_context(context)?;
        Ok(Self {
            folder: folder.to_owned(),
            index,
            identities: None,
        })
    }

    /// The same pack, to be read with `identities`, which a pack has to have that is encrypted, and no other.
    pub fn unlocked(self, identities: Option<Identities>) -> Result<Self> {
        ensure!(
            identities.is_none() || self.index.is_encrypted(),
            "the pack {} is not encrypted, but an identity file was given for it: if it was encrypted, somebody has replaced it;              if it was not, leave --identity out",
            self.folder.display()
        );
        Ok(Self { identities, ..self })
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Result<&Node> {
        let found = self.index.nodes.iter().find(|node| node.name == name);
        found.with_context(|| {
            format!(
                "there is no node {name} in the pack {}, which has {}",
                self.folder.display(),
                match &self.index.nodes[..] {
                    [] => "none".to_owned(),
                    [only] => only.name.clone(),
                    [first, .., last] => format!(
                        "{} nodes from {} to {}",
                        self.index.nodes.len(),
                        first.name,
                        last.name
                    ),
                }
            )
        })
    }

    /// The base of a node.
    pub fn base(&self, node: &Node) -> Result<&PackedBase> {
        // The index was checked: this is always there.
        let found = self.index.bases.iter().find(|base| base.name == node.base);
        found.with_context(|| format!("the pack has no base {}", node.base))
    }

    /// Whether no file was changed after the index, which was written last.
    pub fn is_untouched(&self) -> bool {
        let time = |path: PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.mtime(), metadata.mtime_nsec()))
        };
        let Some(written) = time(self.folder.join(INDEX)) else {
            return false;
        };
        let bases = self.index.bases.iter().map(|base| base_files(&base.name));
        let is_encrypted = self.index.is_encrypted();
        let nodes = self.index.nodes.iter();
        let nodes = nodes.map(|node| node_files(&node.name, is_encrypted));
        bases
            .chain(nodes)
            .flatten()
            .all(|name| time(self.folder.join(name)).is_some_and(|time| time <= written))
    }

    /// The manifest of a node's image, as it is and as a file.
    pub fn manifest(&self, node: &Node) -> Result<(Manifest, Vec<u8>)> {
        let [_, name] = self.node_files(node);
        let bytes = self.verified(&name, &node.manifest_sha256)?;
        let manifest = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is no manifest", self.folder.join(name).display()))?;
        Ok((manifest, bytes))
    }

    /// What a node's card has other than its base.
    pub fn delta(&self, node: &Node) -> Result<Delta> {
        let [name, _] = self.node_files(node);
        let path = self.folder.join(name);
        let bytes = files::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let bytes = match &node.delta_sha256 {
            None => bytes,
            Some(sha256) => self
                .decrypted(&bytes, sha256)
                .with_context(|| format!("cannot decrypt {}", path.display()))?,
        };
        Delta::from_bytes(&bytes).map_err(|error| failure(format!("{}: {error}", path.display()), true))
    }

    /// The delta in `bytes`, if it is the one that the index tells of.
    fn decrypted(&self, bytes: &[u8], sha256: &str) -> Result<Vec<u8>> {
        if !bytes.starts_with(encryption::MAGIC) {
            let fault = "it is not encrypted, though the pack's index says so: the pack is damaged, or somebody has replaced the file";
            return Err(failure(fault.to_owned(), true));
        }
        let recipients = &self.index.recipients;
        let Some(identities) = &self.identities else {
            bail!(
                "it is encrypted to {}: name a file that has the private key of one of them with --identity, which export, inspect and \
                 diff take",
                recipients.join(", ")
            );
        };
        let plain = identities.decrypt(bytes, recipients)?;
        let found = hex(&Sha256::digest(&plain));
        if found != *sha256 {
            let fault = format!(
                "what it holds has SHA-256 {found}, the pack's index says {sha256}: it is another node's or another build's, or \
                 somebody has replaced it"
            );
            return Err(failure(fault, true));
        }
        Ok(plain)
    }

    fn node_files(&self, node: &Node) -> [String; 2] {
        node_files(&node.name, self.index.is_encrypted())
    }

    /// The segments of a base.
    pub fn segments(&self, base: &PackedBase) -> Result<Segments> {
        let [_, name] = base_files(&base.name);
        let xml = self.verified(&name, &base.map_sha256)?;
        let map = BlockMap::from_xml(&xml);
        let context = || format!("cannot use {}", self.folder.join(&name).display());
        map.with_context(context)?
            .segments()
            .context("its ranges are longer than any that a build makes")
            .with_context(context)
    }

    /// The compressed card of a base, as a file. It is not compared with its digest.
    fn frames(&self, base: &PackedBase) -> Result<(PathBuf, File)> {
        let [name, _] = base_files(&base.name);
        let path = self.folder.join(name);
        let file = files::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok((path, file))
    }

    /// The compressed card of a base, if it is the one that the index tells of.
    pub fn verified_frames(&self, base: &PackedBase) -> Result<Blob> {
        let (path, mut file) = self.frames(base)?;
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash).with_context(|| format!("cannot read {}", path.display()))?;
        compare(&path, &hex(&hash.finalize()), &base.sha256)?;
        Ok(file.into())
    }

    /// The card of a node, to be read at any place. What is read is not compared with anything.
    pub fn card(&self, name: &str) -> Result<PackedCard> {
        let node = self.node(name)?;
        let context = || {
            format!(
                "cannot read the card of {name} in the pack {}",
                self.folder.display()
            )
        };
        let (_, file) = self.frames(self.base(node)?)?;
        let frames = WholeBlob::new(file.into()).with_context(context)?;
        let base = seekable::Reader::open(frames).with_context(context)?;
        Patched::new(base, self.delta(node)?)
            .context("its delta goes on behind the end of its base")
            .with_context(context)
    }

    /// A file, if it is the one that the index tells of.
    fn verified(&self, name: &str, sha256: &str) -> Result<Vec<u8>> {
        let path = self.folder.join(name);
        let bytes = files::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        compare(&path, &hex(&Sha256::digest(&bytes)), sha256)?;
        Ok(bytes)
    }
}

/// Refuses a file of the pack that has another SHA-256 than its index says.
fn compare(path: &Path, found: &str, expected: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let fault = format!(
        "{} has SHA-256 {found}, the pack's index says {expected}: the pack is damaged, build it again",
        path.display()
    );
    Err(failure(fault, true))
}

/// Whether a file is encrypted, by its first bytes.
pub fn is_encrypted(file: &impl ReadAt) -> io::Result<bool> {
    starts_with(file, encryption::MAGIC)
}

/// The card of a node whose delta is the file `path`, which `identities` decrypt where it is encrypted.
pub fn card_of_delta(path: &Path, identities: Option<Identities>) -> Result<PackedCard> {
    let name = path.file_name().and_then(|name| name.to_str());
    let plain = name.map(|name| name.strip_suffix(".age").unwrap_or(name));
    let node = plain.and_then(|name| name.strip_suffix(DELTA));
    let (Some(node), Some(folder)) = (node, path.parent()) else {
        bail!(
            "{} is a delta without the name of a node: expected NODE{DELTA} or NODE{ENCRYPTED_DELTA}, in its pack",
            path.display()
        );
    };
    let pack = Pack::open(folder)?.unlocked(identities)?;
    let [expected, _] = node_files(node, pack.index.is_encrypted());
    ensure!(
        name == Some(expected.as_str()),
        "the pack's index tells of {expected}, not of {}",
        path.display()
    );
    pack.card(node)
}

/// The files of a base: its card and its block map.
fn base_files(name: &str) -> [String; 2] {
    [format!("{name}.img.zst"), format!("{name}.img.bmap")]
}

/// The files of a node: its delta, as it is where the pack is encrypted or not, and its manifest.
fn node_files(name: &str, is_encrypted: bool) -> [String; 2] {
    let delta = if is_encrypted { ENCRYPTED_DELTA } else { DELTA };
    [format!("{name}{delta}"), format!("{name}.manifest.json")]
}

/// Refuses a folder that is there, is not empty and is not a pack.
fn check_folder(folder: &Path) -> Result<()> {
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("cannot look into {}", folder.display())),
    };
    ensure!(
        is_empty || folder.join(INDEX).is_file(),
        "{} holds something else than a pack, which would be lost: choose another folder",
        folder.display()
    );
    Ok(())
}
