//! One file of an image, and all files of its root file system as a tar.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context, Result, bail};
use formats::btrfs::read::{self as btrfs, Found, InodeKind, Part};
use formats::fat::read as fat;
use formats::layer::shown;
use formats::tar::{Kind as Member, TarWriter, Zeros};

use super::root::volume_prefix;
use super::{Image, Kind, find_file, root_view};

/// Zeros that are written at once.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// What a tar lacks of the root file system.
#[derive(Debug, Default)]
pub struct Left {
    /// Paths of sockets: a tar cannot hold them, and whoever listens makes them anew.
    pub sockets: Vec<String>,
}

/// Writes the file at `path` to `output`. `boot:/Image` is one of the boot partition, `@srv:/file` one of a subvolume,
/// any other path one of the root file system.
pub fn cat(image: &Image, path: &str, output: &mut dyn Write) -> Result<()> {
    if let Some(("boot", path)) = volume_prefix(path) {
        let window = image.volume(Kind::Fat)?;
        let reader = fat::Reader::open(&window)?;
        let entry = reader.find(path)?;
        let entry = entry.with_context(|| format!("there is no {path} on the boot partition"))?;
        if entry.is_directory {
            bail!("{path} is a directory");
        }
        for part in reader.parts(&entry) {
            output.write_all(&part?)?;
        }
        return Ok(());
    }
    let window = image.volume(Kind::Btrfs)?;
    let reader = btrfs::Reader::open(&window)?;
    let (view, inner) = find_file(&reader, path)?;
    let found = reader.find(&view, inner.as_bytes())?;
    let found = found.with_context(|| format!("there is no {path} on {}", image.path.display()))?;
    if !matches!(found.inode.kind, InodeKind::File(_)) {
        bail!("{path} is {}", found.inode.kind.what());
    }
    content(&reader, &found, Zeros::Written, &mut |bytes| {
        Ok(output.write_all(bytes)?)
    })
}

/// Writes the root file system as a tar to `output`, which should have a buffer.
pub fn tar(image: &Image, output: &mut dyn Write) -> Result<Left> {
    let window = image.volume(Kind::Btrfs)?;
    let reader = btrfs::Reader::open(&window)?;
    let view = root_view(&reader)?;
    let mut tar = TarWriter::new(output);
    let mut left = Left::default();
    let mut first: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    for found in reader.walk(&view) {
        let found = found?;
        let inode = &found.inode;
        if inode.kind == InodeKind::Socket {
            left.sockets.push(shown(&found.path));
            continue;
        }
        let number = (found.subvolume.id, inode.number);
        if inode.links > 1 && inode.kind != InodeKind::Directory {
            if let Some(target) = first.get(&number) {
                tar.member(&found.path, &inode.attributes, &Member::Hardlink(target))?;
                continue;
            }
            first.insert(number, found.path.clone());
        }
        let regions;
        let kind = match &inode.kind {
            InodeKind::Directory => Member::Directory,
            InodeKind::File(size) => {
                regions = reader.parts(found.subvolume, inode)?.regions()?;
                Member::File {
                    size: *size,
                    regions: &regions,
                }
            }
            InodeKind::Symlink(target) => Member::Symlink(target),
            InodeKind::CharacterDevice(device) => Member::CharacterDevice(*device),
            InodeKind::BlockDevice(device) => Member::BlockDevice(*device),
            InodeKind::Fifo | InodeKind::Socket => Member::Fifo,
        };
        let write = |tar: &mut TarWriter<_>| -> Result<()> {
            let zeros = tar.member(&found.path, &inode.attributes, &kind)?;
            content(&reader, &found, zeros, &mut |bytes| Ok(tar.data(bytes)?))?;
            Ok(tar.end_file()?)
        };
        write(&mut tar).with_context(|| format!("cannot write {} into the tar", shown(&found.path)))?;
    }
    tar.finish()?;
    Ok(left)
}

/// The bytes of a file, one part after the other.
fn content(
    reader: &btrfs::Reader<'_>,
    found: &Found<'_>,
    zeros: Zeros,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    for part in reader.parts(found.subvolume, &found.inode)? {
        match part? {
            Part::Bytes(bytes) => take(&bytes)?,
            Part::Zeros(_) if zeros == Zeros::Skipped => {}
            Part::Zeros(mut left) => {
                while left > 0 {
                    let step = left.min(ZEROS.len() as u64);
                    take(&ZEROS[..step as usize])?;
                    left -= step;
                }
            }
        }
    }
    Ok(())
}
