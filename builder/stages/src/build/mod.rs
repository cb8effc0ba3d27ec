//! A fleet's images: sources fetched, the kernel compiled beside the base, the layers of each role made once, then every
//! node's card. What did not change is left alone.
//!
//! | module | owns |
//! |---|---|
//! | `inputs` | kernel and base: fetched and made, side by side |
//! | `base` | what the cards of a kind have in common |
//! | `card` | one node's image |
//! | `state` | which images are still right |
//! | `folder` | the folder of images: one build at a time, `SHA256SUMS` |

mod base;
mod card;
mod folder;
mod inputs;
mod state;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use formats::tree::Tree;
use formats::units::{Bytes, Time};
use model::fleet::Node;
use model::project::Project;
use model::sources::SourceSet;
use rayon::prelude::*;

use crate::engine::{Engine, Preflight};
use crate::fetch::{self, Network};
use crate::firmware::{BoardsFirmware, FirmwareRequest};
use crate::kernel;
use crate::rootfs::identity::IdentityStore;
use crate::rootfs::{RoleInputs, debian_requirements, role_layers};

pub use inputs::{KERNEL, kernel_source};
pub use state::{ImageFiles, ImageState};

use card::CardMaker;
use folder::ImageFolder;
use inputs::{Inputs, check_base_source};

/// Disk space that one image may take; more than any has been seen to.
const IMAGE_SPACE: Bytes = Bytes::mib(320);

/// What to build.
#[derive(Debug)]
pub struct BuildRequest<'a> {
    /// The project.
    pub project: &'a Project,
    /// The nodes whose images are wanted.
    pub nodes: Vec<&'a Node>,
    /// The source set.
    pub set: &'a SourceSet,
    /// The Debian mirror to use instead of the host's.
    pub mirror: Option<&'a str>,
    /// How the network is used.
    pub network: Network,
    /// Whether only what is in `sources.lock` may be used.
    pub locked: bool,
    /// A folder that has the boot loaders of boards; without one they are fetched where their licence is accepted.
    pub blob_dir: Option<PathBuf>,
    /// The folder of images.
    pub images: PathBuf,
}

/// What a build did.
#[derive(Debug)]
pub struct BuildReport {
    /// The folder of images.
    pub folder: PathBuf,
    /// The images that were asked for, in the order of the fleet.
    pub images: Vec<BuiltImage>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// An image.
#[derive(Debug)]
pub struct BuiltImage {
    /// The node it is for.
    pub node: String,
    /// The node's address.
    pub address: Ipv4Addr,
    /// The image's file.
    pub path: PathBuf,
    /// Whether this build wrote it.
    pub written: bool,
    /// What it is.
    pub state: ImageState,
}

/// Builds the images of `request`, or finds them built.
pub fn build(engine: &Engine, request: &BuildRequest) -> Result<BuildReport> {
    let fleet = &request.project.fleet;
    let folder = ImageFolder::open(&request.images)?;
    preflight(engine, request)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(engine.jobs)
        .build()
        .context("cannot start the threads that write images")?;
    // Said before, not after, a kernel is compiled.
    let firmware = firmware(engine, request, &BTreeMap::new())?;
    let mut images = Vec::new();
    for_each_kind(engine, request, &firmware, |maker, nodes| {
        let task = engine.progress.steps("images", nodes.len() as u64);
        let failed = AtomicBool::new(false);
        let made: Vec<Result<Option<BuiltImage>>> = pool.install(|| {
            nodes
                .par_iter()
                .map(|node| {
                    // One failure is likely to be everyone's, as a full disk is.
                    if failed.load(Ordering::Relaxed) {
                        return Ok(None);
                    }
                    let image = maker.image(node, &folder.files(&node.name));
                    failed.fetch_or(image.is_err(), Ordering::Relaxed);
                    task.advance(1);
                    image.map(Some)
                })
                .collect()
        });
        let made: Vec<_> = made
            .into_iter()
            .filter_map(Result::transpose)
            .collect::<Result<_>>()?;
        let written = made.iter().filter(|image| image.written).count();
        task.done(format!("{written} written, {} unchanged", made.len() - written));
        images.extend(made);
        Ok(())
    })?;
    folder.write_sums(fleet)?;
    let place = |name: &str| fleet.nodes.iter().position(|node| node.name == name);
    images.sort_by_key(|image| place(&image.node));
    Ok(BuildReport {
        folder: request.images.clone(),
        images,
        warnings: firmware.warnings(),
    })
}

/// The root file system of each node of `request` as the tree that its image was made of: for whoever compares images
/// with what went in.
pub fn trees(engine: &Engine, request: &BuildRequest, mut visit: impl FnMut(&Node, Tree)) -> Result<()> {
    // It lies outside of every file system.
    for_each_kind(engine, request, &BoardsFirmware::default(), |maker, nodes| {
        for node in nodes {
            visit(node, maker.tree(&maker.own_layer(node)?)?);
        }
        Ok(())
    })
}

/// Nodes that have role, board and layout in common have everything in common but what is rendered for them: what they
/// share is made once, then they are visited together.
fn for_each_kind(
    engine: &Engine,
    request: &BuildRequest,
    firmware: &BoardsFirmware,
    mut visit: impl FnMut(&CardMaker, &[&Node]) -> Result<()>,
) -> Result<()> {
    let project = request.project;
    let locked = fetch::locked_set(
        engine,
        &project.root,
        request.set,
        request.mirror,
        &request.network,
        request.locked,
    )?;
    let time = Time::from_seconds(epoch(locked.epoch())?);
    let store = IdentityStore::open(&project.root.join("identity"))?;
    let operator = store.operator()?;
    store.write_known_hosts(&project.fleet)?;
    let inputs = Inputs::make(engine, request, &locked, time)?;

    let mut kinds: BTreeMap<_, Vec<&Node>> = BTreeMap::new();
    for node in &request.nodes {
        kinds
            .entry((&node.role, &node.board, &node.layout))
            .or_default()
            .push(*node);
    }
    for ((role, board, layout), nodes) in kinds {
        let overlays: Vec<_> = overlays_of(project, role).collect();
        let board = &project.boards[board];
        let layout = &project.layouts[layout];
        let layers = role_layers(
            engine,
            &RoleInputs {
                fleet: &project.fleet,
                overlays: &overlays,
                board,
                layout,
                base: &inputs.base,
                modules: &inputs.modules,
                time,
            },
        )?;
        let maker = CardMaker {
            project,
            set: &request.set.name,
            role,
            inputs: &inputs,
            board,
            firmware: firmware.of(&board.name),
            layout,
            layers: &layers,
            overlays: &overlays,
            store: &store,
            operator: &operator,
            time,
            base: Mutex::new(None),
        };
        visit(&maker, &nodes)?;
    }
    Ok(())
}

/// Everything that the machine lacks for this build, at once.
fn preflight(engine: &Engine, request: &BuildRequest) -> Result<()> {
    check_base_source(request.set)?;
    let mut preflight = Preflight::default();
    preflight.programs(kernel::programs(&request.project.kernel));
    debian_requirements(&mut preflight);
    let missing = request
        .nodes
        .iter()
        .filter(|node| ImageFiles::new(&request.images, &node.name).finished().is_none())
        .count() as u64;
    preflight.space(&request.images, Bytes(IMAGE_SPACE.0 * missing), "images")?;
    if !engine.cache.has_any("kernel") {
        preflight.space(engine.cache.root(), kernel::BUILD_SPACE, "the kernel's build")?;
    }
    preflight.finish()
}

/// The time that everything made here carries: `SOURCE_DATE_EPOCH` if it is set, else the lock's.
fn epoch(locked: i64) -> Result<i64> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else {
        return Ok(locked);
    };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    match seconds {
        // FAT knows no time before 1980 and none after 2107.
        Some(seconds) if (315_532_800..4_354_819_200).contains(&seconds) => Ok(seconds),
        _ => bail!(
            "SOURCE_DATE_EPOCH is {}: expected seconds since 1970, from 1980 to 2107",
            text.to_string_lossy()
        ),
    }
}

/// The overlays of a role, first to last.
fn overlays_of<'a>(
    project: &'a Project,
    role: &str,
) -> impl Iterator<Item = &'a model::overlay::Overlay> + use<'a> {
    project.fleet.roles[role]
        .overlays
        .iter()
        .map(|name| &project.overlays[name])
}

/// The boot areas of the boards that the nodes run on; `u_boot` is what was compiled for each board.
fn firmware(
    engine: &Engine,
    request: &BuildRequest,
    u_boot: &BTreeMap<String, PathBuf>,
) -> Result<BoardsFirmware> {
    let project = request.project;
    let boards = request.nodes.iter().map(|node| &project.boards[&node.board]);
    let request = FirmwareRequest {
        project,
        blob_dir: request.blob_dir.as_deref(),
        u_boot,
        network: &request.network,
    };
    BoardsFirmware::find(engine, &request, boards)
}

/// Packages of the base, for the whole fleet: one base serves all roles.
fn packages(project: &Project) -> std::collections::BTreeSet<String> {
    let roles = project.fleet.nodes.iter().map(|node| &node.role);
    roles
        .flat_map(|role| overlays_of(project, role))
        .flat_map(|overlay| overlay.packages.debian.iter().cloned())
        .collect()
}
