//! Mounts the root file system of every image of the project in the current folder and compares it with the tree that
//! the image was made of, its container image too: content, modes, owners, times, extended attributes, device numbers, links. Needs root.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use engine::{Cache, Engine, Progress, Verbosity, cache_folder};
use fetch::{Mode, Network};
use formats::manifest::Manifest;
use formats::tree::Tree;
use model::project::Project;
use stages::build::{BuildRequest, Output, Sums, trees};
use stages::delta_base::ImageFormat;
use testkit::compare::differences;
use testkit::volume::{Access, LoopMount};

/// Differences that are listed of one image.
const SHOWN: usize = 20;

fn main() -> Result<ExitCode> {
    let root = Path::new(".");
    let images = root.join("out/images");
    let project = Project::load(root)?;
    let engine = Engine {
        cache: Cache::open(&cache_folder()?)?,
        logs: root.join("out/logs"),
        progress: Progress::new(Verbosity::Quiet),
        jobs: 1,
    };
    let request = BuildRequest {
        project: &project,
        nodes: project.fleet.nodes.iter().collect(),
        set: project
            .sources
            .set(None)
            .map_err(model::finding::Findings::from)?,
        mirror: None,
        network: Network::new(Mode::Offline),
        locked: true,
        blob_dir: None,
        output: Output::Images(ImageFormat::Plain, Sums::Skip),
        folder: images.clone(),
    };
    let (mut compared, mut names, mut wrong) = (0, 0, 0);
    let mut failure = None;
    trees(&engine, &request, |node, tree, template| {
        let mut compare = |mount: Result<LoopMount>, tree: &Tree| match mount {
            Err(error) => failure = Some(error),
            Ok(mount) => {
                let found = differences(mount.path(), tree);
                for difference in found.iter().take(SHOWN) {
                    println!("{}: {difference}", node.name);
                }
                wrong += found.len();
                names += tree.walk().count();
            }
        };
        let layout = &project.layouts[&node.layout];
        compare(mounted(&images, &node.name, layout), &tree);
        if let (Some(template), Some(name)) = (
            template,
            layout.root().and_then(|root| root.container_image.as_ref()),
        ) {
            compare(mounted_subvolume(&images, &node.name, name), template);
        }
        compared += 1;
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    println!("{compared} images mounted, {names} names compared with the layers: {wrong} differences");
    if compared == 0 {
        bail!("the fleet has no nodes");
    }
    Ok(if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The root file system of an image with all its subvolumes where a node has them.
fn mounted(images: &Path, node: &str, layout: &model::layout::Layout) -> Result<LoopMount> {
    let mut mount = mount(images, node, &[])?;
    for subvolume in &layout.root().context("no root file system")?.subvolumes {
        if subvolume.mount != "/" {
            mount.add(&subvolume.name, subvolume.mount.trim_start_matches('/'));
        }
    }
    Ok(mount)
}

/// One subvolume of an image.
fn mounted_subvolume(images: &Path, node: &str, name: &str) -> Result<LoopMount> {
    mount(images, node, &[&format!("subvol={name}")])
}

/// The root file system of an image, mounted with `options`.
fn mount(images: &Path, node: &str, options: &[&str]) -> Result<LoopMount> {
    let manifest = images.join(format!("{node}.manifest.json"));
    let manifest: Manifest = std::fs::read(&manifest)
        .map_err(anyhow::Error::from)
        .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    let partition = manifest
        .partitions
        .iter()
        .find(|partition| partition.file_system == "btrfs");
    let offset = partition.context("no root partition")?.first_sector.to_bytes().0;
    let image = images.join(format!("{node}.img"));
    Ok(LoopMount::new(&image, offset, Access::ReadOnly, options))
}
