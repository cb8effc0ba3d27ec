//! A fleet's images: sources fetched, the kernel compiled beside the base, the layers of each role made once, then every
//! node's card. What did not change is left alone.
//!
//! | module | owns |
//! |---|---|
//! | `inputs` | kernel and base: fetched and made, side by side |
//! | `base` | what the cards of a kind have in common |
//! | `card` | one node's card |
//! | `images` | cards as files of their own |
//! | `pack` | cards as a base and deltas |
//! | `space` | whether the disk has room for images |
//! | `state`, `figures` | which images are still right, and what they are in numbers |
//! | `folder` | the folder of images: one build at a time, `SHA256SUMS` |

mod card;
mod common_card;
mod figures;
mod folder;
mod images;
mod inputs;
mod pack;
mod space;
mod state;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use engine::{Engine, Preflight};
use fetch::{self, BaseNeeds, Lock, LockedSet, Mirrors, Network, Stage3Files};
use files::private;
use formats::tree::Tree;
use formats::units::Time;
use identity::{IdentityStore, Operator};
use model::board::Board;
use model::fleet::{Node, PublicKeys};
use model::project::Project;
use model::sources::{BaseSource, SourceSet, Stage3};

use crate::delta_base::ImageFormat;
use crate::firmware::{BoardsFirmware, FirmwareRequest};
use crate::kernel;
use crate::pack::{PackFolder, Recipients};
use crate::rootfs::{ContainerImageLayers, GentooBase, RoleInputs, debian_requirements, role_layers};
use crate::uboot::{self, UBootBuild, UBootSource};

pub use card::partition_ids;
pub use figures::ImageFigures;
pub use images::Sums;
pub(crate) use inputs::debian_packages;
pub use inputs::{KERNEL, kernel_source};
pub use state::ImageFiles;

use card::CardMaker;
use folder::ImageFolder;
use inputs::Inputs;

/// What to build.
#[derive(Debug, Clone)]
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
    /// In which format the cards are written.
    pub output: Output,
    /// The folder of images, or of the pack.
    pub folder: PathBuf,
}

/// The format in which cards are written.
#[derive(Debug, Clone)]
pub enum Output {
    /// A file each.
    Images(ImageFormat, Sums),
    /// A base and a delta each, from which images are exported. The deltas are encrypted to the recipients, if there are any.
    Pack(Recipients),
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

/// Images, and what the user should know of them.
#[derive(Debug, Default)]
struct Made {
    images: Vec<BuiltImage>,
    warnings: Vec<String>,
}

/// An image.
#[derive(Debug)]
pub struct BuiltImage {
    /// The node it is for.
    pub node: String,
    /// The node's address, or `dhcp`.
    pub address: String,
    /// The image's file.
    pub path: PathBuf,
    /// Whether this build wrote it.
    pub written: bool,
    /// What it is, in numbers.
    pub figures: ImageFigures,
    /// Its own SHA-256, if that was ever asked for.
    pub sha256: Option<String>,
}

/// Builds the images of `request`, or finds them built.
pub fn build(engine: &Engine, request: &BuildRequest) -> Result<BuildReport> {
    let fleet = &request.project.fleet;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(engine.jobs)
        .build()
        .context("cannot start the threads that write images")?;
    let logs = private::take(&engine.logs)?;
    let (mut images, narrowed, warnings) = match &request.output {
        Output::Images(format, sums) => {
            let folder = ImageFolder::open(&request.folder)?;
            preflight(engine, request)?;
            let workshop = Workshop::open(engine, request)?;
            let kinds = workshop.kinds()?;
            let mut warnings = workshop.warnings();
            let made = pool.install(|| images::write(engine, &folder, &kinds, *format, *sums))?;
            folder.write_sums(fleet)?;
            workshop.tell_made();
            warnings.extend(made.warnings);
            (made.images, folder.narrowed, warnings)
        }
        Output::Pack(recipients) => {
            let folder = PackFolder::open(&request.folder)?;
            pack::check_recipients(&folder, recipients)?;
            preflight(engine, request)?;
            let planned = BuildRequest {
                nodes: pack::planned(&folder, fleet, &request.nodes),
                ..request.clone()
            };
            let workshop = Workshop::open(engine, &planned)?;
            let kinds = workshop.kinds()?;
            let mut warnings = workshop.warnings();
            let made =
                pool.install(|| pack::write(engine, &folder, recipients, &kinds, fleet, &request.nodes))?;
            workshop.tell_made();
            warnings.extend(made.warnings);
            (made.images, folder.narrowed, warnings)
        }
    };
    let places: HashMap<_, _> = fleet.nodes.iter().map(|node| &node.name).zip(0..).collect();
    images.sort_by_key(|image| places.get(&image.node).copied().unwrap_or(usize::MAX));
    Ok(BuildReport {
        folder: request.folder.clone(),
        images,
        warnings: [logs, narrowed].into_iter().flatten().chain(warnings).collect(),
    })
}

/// The root file system of each node of `request`, and its container image, as the trees that its image was made
/// of: for whoever compares images with what went in.
pub fn trees(
    engine: &Engine,
    request: &BuildRequest,
    mut visit: impl FnMut(&Node, Tree, Option<&Tree>),
) -> Result<()> {
    let workshop = Workshop::open(engine, request)?;
    for maker in workshop.kinds()? {
        let image = maker.layers.container_image.as_ref();
        let image = image.map(ContainerImageLayers::tree).transpose()?;
        for planned in maker.plan()? {
            visit(planned.node, maker.tree(&planned.own)?, image.as_ref());
        }
    }
    Ok(())
}

/// What all cards of a build are made of.
struct Workshop<'a> {
    engine: &'a Engine,
    request: &'a BuildRequest<'a>,
    /// The boot areas of the boards.
    firmware: BoardsFirmware,
    inputs: Inputs<'a>,
    store: IdentityStore,
    operator: Operator,
    known: BTreeMap<String, PublicKeys>,
    /// Nodes and containers that are no longer whom they were.
    changed: Vec<String>,
    time: Time,
}

impl<'a> Workshop<'a> {
    /// What the user should know.
    fn warnings(&self) -> Vec<String> {
        let changed = match self.changed.as_slice() {
            [] => None,
            names => Some(format!(
                "identity/ has another identity of {} than before: machine id and host key are new, and who knew the old ones has to \
                 be told; to have the old ones, restore identity/ from a backup and build again",
                names.join(", ")
            )),
        };
        changed.into_iter().chain(self.firmware.warnings()).collect()
    }

    /// Tells what became part of the store of identities.
    fn tell_made(&self) {
        let made = self.store.made();
        if !made.is_empty() {
            let progress = &self.engine.progress;
            progress.say(format!(
                "made in identity/, which is to be kept: {}",
                made.join(", ")
            ));
        }
    }
    /// Fetches and makes what is missing.
    fn open(engine: &'a Engine, request: &'a BuildRequest<'a>) -> Result<Self> {
        let project = request.project;
        let locked = fetch::locked_set(
            engine,
            &project.root,
            request.set,
            &BaseNeeds::of(project, request.set),
            request.mirror,
            &request.network,
            request.locked,
        )?;
        let time = Time::from_seconds(epoch(locked.epoch())?);
        let store = IdentityStore::open(&project.root.join("identity"))?;
        store.record(&project.fleet)?;
        let operator = store.operator()?;
        let changed = store.changed(&project.fleet)?;
        store.write_known_hosts(&project.fleet)?;
        let known = store.public_keys(&project.fleet)?;
        // Said before, not after, a kernel is compiled.
        let firmware = firmware(engine, request, &locked)?;
        Ok(Self {
            firmware,
            inputs: Inputs::make(engine, request, &locked, time)?,
            engine,
            request,
            store,
            operator,
            known,
            changed,
            time,
        })
    }

    /// Nodes that have role, board and layout in common have everything in common but what is rendered for them: what
    /// they share is made once.
    fn kinds(&self) -> Result<Vec<CardMaker<'_>>> {
        let project = self.request.project;
        let mut kinds: BTreeMap<_, Vec<&Node>> = BTreeMap::new();
        for node in &self.request.nodes {
            kinds
                .entry((&node.role, &node.board, &node.layout))
                .or_default()
                .push(*node);
        }
        let maker = |((role, board, layout), nodes): ((&'a String, &String, &String), _)| {
            let platform = self.request.set.base.platform();
            let overlays: Vec<_> = project.overlays_of(role, platform).collect();
            let board = &project.boards[board];
            let layout = project.layout_of(role, layout, platform);
            let layers = role_layers(
                self.engine,
                &RoleInputs {
                    fleet: &project.fleet,
                    role: &project.fleet.roles[role],
                    overlays: &overlays,
                    container_image: &project
                        .container_image_overlays(role, platform)
                        .collect::<Vec<_>>(),
                    board,
                    layout: &layout,
                    operator: &self.operator,
                    known: &self.known,
                    base: &*self.inputs.base,
                    modules: &self.inputs.modules,
                    time: self.time,
                },
            )?;
            Ok(CardMaker {
                project,
                set: self.request.set,
                role,
                inputs: &self.inputs,
                board,
                firmware: self.firmware.of(&board.name),
                layout,
                kernel_arguments: project.kernel_arguments(role, platform),
                layers,
                store: &self.store,
                time: self.time,
                nodes,
            })
        };
        kinds.into_iter().map(maker).collect()
    }
}

/// Everything that the machine lacks for this build, at once. Room for images is asked for when their size is known.
fn preflight(engine: &Engine, request: &BuildRequest) -> Result<()> {
    let mut preflight = Preflight::default();
    preflight.programs(kernel::programs(&request.project.kernel));
    match &request.set.base {
        BaseSource::Archive { .. } => debian_requirements(&mut preflight),
        BaseSource::Stage3(source) => gentoo_requirements(engine, request, source, &mut preflight)?,
    }
    if !engine.cache.has_any("kernel") {
        preflight.space(engine.cache.root(), kernel::BUILD_SPACE, "the kernel's build")?;
    }
    preflight.finish()
}

/// Asks for what a locked Gentoo base needs from this machine. Where none is locked that fits, resolving it asks.
fn gentoo_requirements(
    engine: &Engine,
    request: &BuildRequest,
    source: &Stage3,
    preflight: &mut Preflight,
) -> Result<()> {
    let project = request.project;
    let lock = Lock::load(&project.root)?;
    let needs = BaseNeeds::of(project, request.set);
    if let Ok(locked) = lock.find_with_base(request.set, &needs)
        && let Some(base) = locked.stage3()
    {
        let (root, network) = (&project.root, &request.network);
        let files = Stage3Files::new(engine, root, source, base.clone(), request.mirror, network);
        let time = Time::from_seconds(epoch(locked.epoch())?);
        let base = GentooBase { files, source, time };
        for zstd in inputs::levels(request) {
            base.requirements(engine, zstd, &inputs::package_sets(request), preflight);
        }
    }
    Ok(())
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

/// The boot areas of the boards that the nodes run on. U-Boot is compiled for a board that has all else.
fn firmware(engine: &Engine, request: &BuildRequest, locked: &LockedSet) -> Result<BoardsFirmware> {
    let project = request.project;
    let boards = request.nodes.iter().map(|node| &project.boards[&node.board]);
    let u_boot = |board: &Board| -> Result<Option<PathBuf>> {
        let Some(u_boot) = &board.u_boot else {
            return Ok(None);
        };
        let mirrors = Mirrors::of(&request.set.u_boot, request.mirror)?;
        let source = UBootSource::fetch(engine, &locked.u_boot, &mirrors, &request.network)?;
        let wanted = UBootBuild {
            board: u_boot,
            source: &source,
            cross_compile: &project.kernel.cross_compile,
        };
        Ok(Some(uboot::build(engine, &wanted)?.binary))
    };
    let firmware = FirmwareRequest {
        project,
        blob_dir: request.blob_dir.as_deref(),
        u_boot: &u_boot,
        mirror: request.mirror,
        network: &request.network,
    };
    BoardsFirmware::find(engine, &firmware, boards)
}
