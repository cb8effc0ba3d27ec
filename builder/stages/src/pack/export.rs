//! Images made of a pack: the very files that a build writes.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use engine::{Progress, failure};
use files::emit::{Readers, write_file};
use files::private;
use formats::blob::Blob;
use formats::bmap::BlockMap;
use formats::digest::hex;
use formats::pack::{Node, PackedBase};
use formats::seekable::{FrameStore, Reader};
use formats::segments::Segments;
use formats::source::{ReadAt, WholeBlob};
use formats::sparse::SparseImage;
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use super::Pack;
use crate::delta_base::{DeltaBase, ImageFormat};

/// What to export.
#[derive(Debug)]
pub struct ExportRequest<'a> {
    /// From where.
    pub pack: &'a Pack,
    /// Which nodes.
    pub nodes: Vec<&'a Node>,
    /// How the images are written.
    pub format: ImageFormat,
    /// Where to.
    pub folder: &'a Path,
    /// Who is told.
    pub progress: &'a Progress,
    /// How many threads work.
    pub jobs: usize,
}

/// An image that was exported.
#[derive(Debug)]
pub struct Exported {
    /// The node.
    pub node: String,
    /// The image's file.
    pub path: PathBuf,
}

/// Writes images, their block maps and manifests into a folder, which is made where it is missing. Everything in the
/// pack is verified before an image gets its name.
pub fn export(request: &ExportRequest) -> Result<Vec<Exported>> {
    let folder = request.folder;
    ensure!(
        !folder.join(".state").exists(),
        "{} is where `portadc build` writes images: choose another folder",
        folder.display()
    );
    // Whoever has no right key is told before anything is written.
    if let Some(node) = request.nodes.first().filter(|node| node.delta_sha256.is_some()) {
        request.pack.delta(node)?;
    }
    private::make_folders(folder, private::FOLDER)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(request.jobs)
        .build()
        .context("cannot start the threads that write images")?;
    let task = request.progress.steps("export", request.nodes.len() as u64);
    let mut exported = Vec::new();
    for base in &request.pack.index.bases {
        let nodes: Vec<_> = request
            .nodes
            .iter()
            .filter(|node| node.base == base.name)
            .collect();
        if nodes.is_empty() {
            continue;
        }
        let written: Vec<Exported> = pool.install(|| {
            let base = Opened::open(request, base)?;
            let write = |node: &&&Node| {
                let written = base.write(request, node);
                task.advance(1);
                written.with_context(|| format!("cannot export {}", node.name))
            };
            nodes.par_iter().map(write).collect::<Result<_>>()
        })?;
        exported.extend(written);
    }
    task.done(format!("{} images", exported.len()));
    Ok(exported)
}

/// A base that images are made of.
struct Opened {
    image: SparseImage,
    segments: Segments,
    delta_base: DeltaBase,
}

impl Opened {
    fn open(request: &ExportRequest, base: &PackedBase) -> Result<Self> {
        let pack = request.pack;
        let segments = pack.segments(base)?;
        let frames = pack.verified_frames(base)?;
        let image = unpacked(&frames, &segments, request.folder)
            .with_context(|| format!("cannot unpack the base {}", base.name))?;
        let delta_base = match request.format {
            ImageFormat::Plain => DeltaBase::new(request.format, &image, &segments, request.folder, 1)?,
            ImageFormat::Compressed => {
                let frames = FrameStore::open(frames, segments.clone())
                    .with_context(|| format!("cannot use the base {}", base.name))?;
                DeltaBase::with_frames(image.clone(), frames)
            }
        };
        Ok(Self {
            image,
            segments,
            delta_base,
        })
    }

    fn write(&self, request: &ExportRequest, node: &Node) -> Result<Exported> {
        let ExportRequest {
            pack, format, folder, ..
        } = request;
        let (manifest, manifest_file) = pack.manifest(node)?;
        let delta = pack.delta(node)?;
        let end = delta.runs.last().map_or(0, |run| run.range().end);
        ensure!(
            end <= self.image.size.0,
            "the delta goes on behind the end of its base"
        );
        let card = self.image.patched(&delta);
        let segments = self.segments.for_node(&card, &delta)?;
        let map = BlockMap::of(&segments).to_xml();
        let found = hex(&Sha256::digest(&map));
        let expected = &manifest.image.map_sha256;
        if found != *expected {
            let fault = format!(
                "base and delta make an image whose block map has SHA-256 {found}, the manifest says {expected}: the pack is \
                 damaged, build it again"
            );
            return Err(failure(fault, true));
        }
        let path = folder.join(format!("{}{}", node.name, format.suffix()));
        self.delta_base.write(&delta, &segments, &path)?;
        let map_path = folder.join(format!("{}.img.bmap", node.name));
        write_file(&map_path, map.as_bytes(), Readers::Owner)?;
        let [_, manifest_name] = pack.node_files(node);
        write_file(&folder.join(manifest_name), &manifest_file, Readers::Owner)?;
        Ok(Exported {
            node: node.name.clone(),
            path,
        })
    }
}

/// The card in `frames` as a file of `folder` without a name.
fn unpacked(frames: &Blob, segments: &Segments, folder: &Path) -> Result<SparseImage> {
    let reader = Reader::open(WholeBlob::new(frames.clone())?)?;
    ensure!(
        reader.size() == segments.size.0,
        "it has {} bytes, its block map is of {}",
        reader.size(),
        segments.size.0
    );
    let file = tempfile::tempfile_in(folder)?;
    file.set_len(segments.size.0)?;
    let mapped: Vec<_> = segments.mapped().map(|(segment, _)| segment).collect();
    mapped.par_iter().try_for_each(|segment| -> io::Result<()> {
        let mut bytes = vec![0; segment.length as usize];
        reader.read_exact_at(&mut bytes, segment.offset)?;
        file.write_all_at(&bytes, segment.offset)
    })?;
    let mut image = SparseImage::empty(segments.size);
    let blob = Blob::from(file);
    for segment in mapped {
        let length = u64::from(segment.length);
        image.put_blob(segment.offset, length, blob.clone(), segment.offset);
    }
    Ok(image)
}
