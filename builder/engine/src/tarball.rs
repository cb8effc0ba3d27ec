//! Tarballs as layers, made once: the cache keeps the index and the blob of each.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use formats::blob::Blob;
use formats::layer::{
    Compression, Devices, Index, IndexError, Inline, Layer, Limits, Packing, TarOptions, ZstdLevel, from_tar,
};

use crate::{Engine, Entry, Key};

/// Goes up with every change of what a layer of the same tarball holds.
const REVISION: u32 = 1;

/// The stage's name in the cache.
const STAGE: &str = "rootfs";

/// The index of a layer in the cache.
pub const INDEX: &str = "index";

/// Its blob there.
pub const BLOB: &str = "blob";

/// A tarball of a root file system, or of a part of one: plain or compressed with gzip, bzip2, xz or zstd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tarball {
    /// Where it is.
    pub path: PathBuf,
    /// Identifies what is in it.
    pub key: Key,
    /// The output of the cache that it is a file of, and its name there.
    cached: Option<(Entry, String)>,
}

impl Tarball {
    /// The file `name` of an output in the cache, which is verified where the tarball is read.
    pub fn cached(entry: Entry, name: &str, key: Key) -> Self {
        Self {
            path: entry.folder().join(name),
            key,
            cached: Some((entry, name.to_owned())),
        }
    }

    /// Any tarball; its key is its content.
    pub fn from_file(path: &Path) -> Result<Self> {
        let key = Key::builder("tarball", 1).file("content", path)?.finish();
        Ok(Self {
            path: path.to_owned(),
            key,
            cached: None,
        })
    }

    /// Where it is, as it was made.
    pub fn verified(&self) -> Result<PathBuf> {
        match &self.cached {
            Some((entry, name)) => entry.verified(name),
            None => Ok(self.path.clone()),
        }
    }
}

/// How a role's files are stored at a zstd level of 0 (not at all) to 15.
pub fn packing(engine: &Engine, zstd: u8) -> Result<Packing> {
    let compression = match zstd {
        0 => Compression::None,
        level => match ZstdLevel::new(level) {
            Some(level) => Compression::Zstd(level),
            None => bail!("zstd level {level} is above the limit of 15"),
        },
    };
    Ok(Packing {
        compression,
        inline: Inline::Smallest,
        jobs: NonZeroUsize::new(engine.jobs).unwrap_or(NonZeroUsize::MIN),
    })
}

/// The layer of a tarball, in the cache.
#[derive(Debug)]
pub struct CachedLayer {
    /// The layer. The bytes of its blob are not compared with anything yet: see [`verify_blob`].
    pub layer: Layer,
    /// Identifies it.
    pub key: Key,
    /// Where it is kept.
    pub entry: Entry,
}

/// The layer of `tarball` with its files stored at zstd level `zstd`; made now if the cache does not have it.
pub fn layer_of(engine: &Engine, tarball: &Tarball, zstd: u8) -> Result<CachedLayer> {
    lazy_layer(engine, &tarball.key, zstd, || tarball.verified())
}

/// The same of a tarball that `key` identifies: the file itself is asked for only where the layer has to be made.
pub fn lazy_layer(
    engine: &Engine,
    key: &Key,
    zstd: u8,
    tarball: impl FnOnce() -> Result<PathBuf>,
) -> Result<CachedLayer> {
    let key = layer_key(key, zstd);
    let packing = packing(engine, zstd)?;
    let entry = engine
        .cache
        .obtain(STAGE, &key, |part| make(engine, &tarball()?, packing, part))?;
    Ok(CachedLayer {
        layer: load_layer(&entry)?,
        key,
        entry,
    })
}

/// The key of the layer of the tarball that `tarball` identifies.
pub fn layer_key(tarball: &Key, zstd: u8) -> Key {
    Key::builder(STAGE, REVISION)
        .key("tarball", tarball)
        .text("zstd", &zstd.to_string())
        .finish()
}

/// Whether the cache has the layer of a tarball by the layer's key.
pub fn is_made(engine: &Engine, layer: &Key) -> bool {
    engine.cache.find(STAGE, layer).is_some()
}

fn make(engine: &Engine, tarball: &Path, packing: Packing, part: &Path) -> Result<()> {
    let name = tarball
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let file = File::open(tarball).with_context(|| format!("cannot open {}", tarball.display()))?;
    let length = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
    let task = engine.progress.bytes(STAGE, length);
    task.message(name.clone());
    let blob = File::create(part.join(BLOB)).context("cannot make the blob of a layer")?;
    let options = TarOptions {
        packing,
        devices: Devices::Allowed,
        limits: Limits::default(),
    };
    let index = from_tar(
        Counted { file, task: &task },
        std::io::BufWriter::new(blob),
        &options,
    )
    .with_context(|| format!("cannot use the tarball {}", tarball.display()))?;
    fs::write(part.join(INDEX), index.to_bytes()).context("cannot write the index of a layer")?;
    task.done(format!(
        "{name}: {} entries, {} stored",
        index.entries.len(),
        formats::units::Bytes(index.blob_length)
    ));
    Ok(())
}

/// The layer whose index and blob are files of `entry`. The index has its own SHA-256; the bytes of the blob are compared
/// with the checksums in the index by [`verify_blob`], before they are laid out.
pub fn load_layer(entry: &Entry) -> Result<Layer> {
    let index = entry.present(INDEX)?;
    let index = fs::read(&index).with_context(|| format!("cannot read {}", index.display()))?;
    let blob = entry.present(BLOB)?;
    let blob = File::open(&blob).with_context(|| format!("cannot open {}", blob.display()))?;
    let layer = Index::from_bytes(&index).and_then(|index| index.with_blob(Blob::from(blob)));
    layer.map_err(|error| entry.damaged(error.to_string()))
}

/// Compares every sector of the blob in `entry` with its checksum.
pub fn verify_blob(entry: &Entry) -> Result<()> {
    load_layer(entry)?.verify().map_err(|error| match error {
        IndexError::Read(error) => {
            anyhow::Error::from(error).context(format!("cannot read {}", entry.folder().join(BLOB).display()))
        }
        damage => entry.damaged(damage.to_string()),
    })
}

/// A file whose reading moves a bar.
struct Counted<'a> {
    file: File,
    task: &'a crate::Task,
}

impl std::io::Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.task.advance(length as u64);
        Ok(length)
    }
}
