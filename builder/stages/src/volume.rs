//! A root file system's tarball as a btrfs volume in a file: `portadc volume`.
//!
//! ```text
//! tar --> layer: index in memory, extents in the file, where the volume has them --> tree --> volume: the rest of the file
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use files::emit::{Readers, Written, check_output, complete_image, temporary};
use formats::blob::Blob;
use formats::btrfs::{
    DataSink, Figures, Profile, SubvolumeContent, SubvolumeSpec, VolumeSize, VolumeSpec, lay_out,
};
use formats::digest::hex;
use formats::ids;
use formats::layer::{Compression, Devices, Index, Inline, Layer, Limits, Packing, TarOptions, from_tar};
use formats::tree::{Share, Tree};
use formats::units::{Bytes, Time};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Room that a volume of no given size has for the kernel beside its content.
const FREE: Bytes = Bytes::mib(64);

/// What `portadc volume` is to do.
#[derive(Debug, Clone)]
pub struct VolumeRequest {
    /// Where the tarball comes from: plain, gzip, bzip2, xz or zstd.
    pub tar: Input,
    /// The file to write.
    pub output: PathBuf,
    /// How the files in it are compressed.
    pub compression: Compression,
    /// The subvolumes below the top level.
    pub subvolumes: Vec<SubvolumeRequest>,
    /// The size of the volume; `None` is as small as the content allows, with 64 MiB for the kernel to work.
    pub size: Option<Bytes>,
    /// The label of the volume.
    pub label: String,
    /// How often tree blocks are there.
    pub metadata: Profile,
    /// Threads that compress. The volume does not depend on it.
    pub jobs: NonZeroUsize,
}

/// Where a tarball comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Standard,
    /// A file.
    File(PathBuf),
}

/// A subvolume: its name and the path whose content it takes. As text `NAME` or `NAME:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubvolumeRequest {
    /// Its name in the top level.
    pub name: String,
    /// The path; `None` is an empty subvolume. The one at `/` becomes the default.
    pub mount: Option<String>,
}

impl FromStr for SubvolumeRequest {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, mount) = match text.split_once(':') {
            None => (text, None),
            Some((name, path)) => (name, Some(path)),
        };
        if name.is_empty() {
            bail!("subvolume {text:?} has no name: expected NAME or NAME:PATH");
        }
        if mount.is_some_and(|path| !path.starts_with('/')) {
            bail!("subvolume {text:?} needs a path that starts with /");
        }
        Ok(Self {
            name: name.to_owned(),
            mount: mount.map(str::to_owned),
        })
    }
}

/// A volume that was made.
#[derive(Debug, Clone)]
pub struct VolumeReport {
    /// The file.
    pub written: Written,
    /// How full the volume is.
    pub figures: Figures,
    /// Entries of the tarball.
    pub entries: usize,
    /// UUID of the volume, derived from its content.
    pub fsid: Uuid,
}

/// Makes a volume from a tarball. Nothing is unpacked, and data is written once: to where it lies in the volume. The same
/// tarball and request give the same volume.
pub fn volume_from_tar(request: &VolumeRequest) -> Result<VolumeReport> {
    let tar = match &request.tar {
        // What standard input is, if it is a file.
        Input::Standard => Path::new("/dev/stdin"),
        Input::File(path) => path,
    };
    check_output(&request.output, &[tar])?;
    // A tarball of a node has its keys.
    let file = temporary(&request.output, Readers::Owner)
        .with_context(|| format!("cannot write {}", request.output.display()))?;
    let shared = Arc::new(file.as_file().try_clone().context("cannot open a file twice")?);
    let mut sink = DataSink::new(shared.clone(), request.metadata);
    let index = read(request, &mut sink).with_context(|| match &request.tar {
        Input::Standard => "cannot read the tarball on standard input".to_owned(),
        Input::File(path) => format!("cannot read the tarball {}", path.display()),
    })?;
    let placed = sink
        .finish()
        .with_context(|| format!("cannot write {}", request.output.display()))?;

    let time = newest(&index);
    let identity = identity(&index, request);
    let mut entries = index.entries;
    placed.relocate(&mut entries);
    let blob = Blob::File(shared);
    let layer = Layer {
        entries,
        blob: blob.clone(),
    };
    let entries = layer.entries.len();
    let tree = Tree::stack(&[(&layer, Share::Role)], time)?;
    // The tree has its own copy of what the entries say.
    drop(layer);
    check_folders(request, &tree)?;

    let spec = spec(request, time, &identity);
    let fsid = spec.fsid;
    let volume = rayon::ThreadPoolBuilder::new()
        .num_threads(request.jobs.get())
        .build()
        .context("cannot start the threads that lay out the volume")?
        .install(|| lay_out(&spec, &tree))
        .with_context(|| format!("cannot lay out {}", request.output.display()))?;
    drop(tree);
    let written = complete_image(&volume.image, file, &blob, &request.output)?;
    Ok(VolumeReport {
        written,
        figures: volume.figures,
        entries,
        fsid,
    })
}

/// A subvolume takes the content of a folder that is there: a slip in its path would leave it empty.
fn check_folders(request: &VolumeRequest, tree: &Tree) -> Result<()> {
    for SubvolumeRequest { name, mount } in &request.subvolumes {
        if let Some(path) = mount
            && tree.directory(path.as_bytes()).is_none()
        {
            bail!(
                "the tarball has no folder {path:?} whose content subvolume {name:?} could take: `--subvol {name}` makes an empty one"
            );
        }
    }
    Ok(())
}

/// Reads the tarball; its extents go to `sink`.
fn read(request: &VolumeRequest, sink: &mut DataSink) -> Result<Index> {
    let tar: Box<dyn Read> = match &request.tar {
        Input::Standard => Box::new(io::stdin().lock()),
        Input::File(path) => Box::new(open(path)?),
    };
    let options = TarOptions {
        packing: Packing {
            compression: request.compression,
            inline: Inline::Smallest,
            jobs: request.jobs,
        },
        devices: Devices::Allowed,
        limits: Limits::of_memory(),
    };
    Ok(from_tar(tar, sink, &options)?)
}

fn open(path: &Path) -> Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        bail!("it is a folder");
    }
    Ok(file)
}

/// The newest time of all entries: the time of what the tarball does not give.
fn newest(index: &Index) -> Time {
    index
        .entries
        .iter()
        .map(|entry| entry.attributes.mtime)
        .max()
        .unwrap_or_default()
}

/// What identifiers are derived from: everything that the volume holds, and its label.
fn identity(index: &Index, request: &VolumeRequest) -> String {
    // The index has the checksums of all data.
    let digest = Sha256::digest(index.to_bytes());
    format!("{} {}", hex(&digest), request.label)
}

fn spec(request: &VolumeRequest, time: Time, identity: &str) -> VolumeSpec {
    let subvolumes = request.subvolumes.iter().map(|subvolume| SubvolumeSpec {
        name: subvolume.name.clone(),
        content: match &subvolume.mount {
            Some(path) => SubvolumeContent::Mount(path.clone().into_bytes()),
            None => SubvolumeContent::Empty,
        },
        default: subvolume
            .mount
            .as_ref()
            .is_some_and(|path| path.bytes().all(|byte| byte == b'/')),
        read_only: false,
        uuid: ids::uuid("subvolume", &[identity, &subvolume.name]),
    });
    VolumeSpec {
        label: request.label.clone(),
        fsid: ids::uuid("volume", &[identity]),
        metadata_uuid: None,
        time,
        size: request
            .size
            .map_or(VolumeSize::Minimal { free: FREE }, VolumeSize::Exact),
        metadata: request.metadata,
        subvolumes: subvolumes.collect(),
    }
}
