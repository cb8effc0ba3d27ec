//! Where each file of a boot area comes from: the folder that the user names, or, once the licence is accepted, the URL
//! and hash in `sources.toml`. U-Boot is compiled, unless it is in the folder.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use engine::Engine;
use fetch::{Mirrors, obtain_blob};
use model::board::Board;
use model::sources::BlobSet;
use sha2::{Digest as _, Sha256};

use super::FirmwareRequest;

/// Bytes of the largest file that is read; no boot loader comes near.
const MOST: u64 = 64 << 20;

/// The files of a boot area.
#[derive(Debug, Default)]
pub struct Blobs {
    /// By name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What the user should know of them.
    pub warnings: Vec<String>,
}

/// What came of looking for them.
#[derive(Debug)]
pub enum Search {
    /// All of them.
    Found(Blobs),
    /// They may not be fetched, and no folder was named: why, and what to do.
    Refused(String),
}

/// Finds every file that the boot area of `board` is made of.
pub fn find(engine: &Engine, request: &FirmwareRequest<'_>, board: &Board) -> Result<Search> {
    let sources = &request.project.sources;
    let set = sources.blobs.get(&board.name);
    let accepted = set.filter(|set| sources.accepts(&set.license));
    if request.blob_dir.is_none() && accepted.is_none() {
        return Ok(Search::Refused(refusal(board, set)));
    }
    if let Some(folder) = request.blob_dir.filter(|folder| !folder.is_dir()) {
        bail!("--blob-dir {} is no folder", folder.display());
    }
    let mut blobs = Blobs::default();
    let (mut missing, mut others) = (Vec::new(), Vec::new());
    let wanted = board.boot_contents().flat_map(|content| content.files());
    for (loader, name) in wanted {
        if blobs.files.contains_key(name) {
            continue;
        }
        let pin = set.and_then(|set| set.files.get(name));
        let compiled = || match loader {
            "bl33" => (request.u_boot)(board),
            _ => Ok(None),
        };
        let own = request.blob_dir.map(|folder| folder.join(name));
        let bytes = if let Some(path) = own.filter(|path| path.exists()) {
            let bytes = read(&path)?;
            if pin.is_some_and(|pin| *Sha256::digest(&bytes) != pin.sha256) {
                others.push(name);
            }
            bytes
        } else if let Some(path) = compiled()? {
            read(&path)?
        } else if let Some((pin, set)) = pin.zip(accepted) {
            let mirrors = Mirrors::upstream(request.mirror, &set.mirrors)?;
            read(&obtain_blob(engine, name, pin, &mirrors, request.network)?)?
        } else {
            missing.push((name, pin.is_some()));
            continue;
        };
        blobs.files.insert(name.to_owned(), bytes);
    }
    if let (false, Some(folder)) = (others.is_empty(), request.blob_dir) {
        blobs.warnings.push(format!(
            "the boot area of {} holds files of {} that are not the ones that sources.toml pins: {}",
            board.name,
            folder.display(),
            others.join(", ")
        ));
    }
    if missing.is_empty() {
        Ok(Search::Found(blobs))
    } else {
        bail!(lacking(request.blob_dir, board, set, &missing))
    }
}

/// Why nothing is fetched, what to read, and what to write.
fn refusal(board: &Board, set: Option<&BlobSet>) -> String {
    match set {
        Some(set) => format!(
            "its boot loaders are under {}, which you have not accepted: read {}, then write accept-licenses = [\"{}\"] in \
             sources.toml, or name a folder that has them with --blob-dir",
            set.license.title, set.license.text, set.license.name
        ),
        None => {
            let contents = board.boot_contents();
            let files: Vec<_> = contents
                .flat_map(|content| content.files())
                .map(|(_, file)| file)
                .collect();
            format!(
                "sources.toml does not say where its boot loaders are: name a folder that has {} with --blob-dir, or add \
                 [blobs.{}] with license, mirrors, and of each file size and sha256",
                files.join(", "),
                board.name
            )
        }
    }
}

/// Which files are missing, and what to do about each of them.
fn lacking(folder: Option<&Path>, board: &Board, set: Option<&BlobSet>, missing: &[(&str, bool)]) -> String {
    let names = |pinned: bool| -> Vec<&str> {
        let those = missing.iter().filter(|(_, is_pinned)| *is_pinned == pinned);
        those.map(|(name, _)| *name).collect()
    };
    let all: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let mut text = format!("the boot area of {} lacks {}", board.name, all.join(", "));
    match folder {
        Some(folder) => text += &format!(": put what is missing into {}", folder.display()),
        None => text += ": name a folder that has what is missing with --blob-dir",
    }
    if let (false, Some(set)) = (names(true).is_empty(), set) {
        text += &format!(
            "; {} would be fetched if you accepted {}: read {}, then write accept-licenses = [\"{}\"] in sources.toml",
            names(true).join(", "),
            set.license.title,
            set.license.text,
            set.license.name
        );
    }
    let unpinned = names(false);
    if !unpinned.is_empty() {
        text += &format!(
            "; {} cannot be fetched: [blobs.{}.files] of sources.toml has no size and sha256 for {}",
            unpinned.join(", "),
            board.name,
            if unpinned.len() == 1 { "it" } else { "them" }
        );
    }
    text
}

/// All of a file, which is not a device or pipe and not too large for a boot loader.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = || format!("cannot read {}", path.display());
    let file = files::open(path).with_context(cannot)?;
    let metadata = file.metadata().with_context(cannot)?;
    if !metadata.is_file() {
        bail!("{} is no regular file", path.display());
    }
    if metadata.len() > MOST {
        bail!(
            "{} has {} bytes, no boot loader has more than {MOST}",
            path.display(),
            metadata.len()
        );
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    file.take(MOST).read_to_end(&mut bytes).with_context(cannot)?;
    Ok(bytes)
}
