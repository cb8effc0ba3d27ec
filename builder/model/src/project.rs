//! A project: every file of it that this crate knows, read and checked against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use formats::units::Bytes;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::board::{Board, UBoot, check_board, load_fragment, load_kernel_fragment, load_source};
use crate::container_image::check_container_images;
use crate::document;
use crate::files::{Files, PartKind};
use crate::finding::{Finding, Findings, SourceFile};
use crate::fleet::{Fleet, FleetToml, Known, Node, check_fleet};
use crate::kernel::Kernel;
use crate::layout::{Card, CheckedLayout, Layout, check_layouts};
use crate::names::{name_fault, quoted, suggest};
use crate::overlay::{self, Overlay, Sysctl};
use crate::sources::{Platform, Sources};
use crate::together::{check_together, tell_brought};
use crate::users::User;
use crate::written::Origin;

/// Everything that a project describes, checked.
#[derive(Debug, Clone)]
pub struct Project {
    /// Its root folder.
    pub root: PathBuf,
    /// Where its parts come from.
    pub files: Files,
    /// `images/fleet.toml`.
    pub fleet: Fleet,
    /// Boards by name: `boards/*/board.toml`, of the project or of the program.
    pub boards: BTreeMap<String, Board>,
    /// Layouts by name: `images/layouts/*.toml`.
    pub layouts: BTreeMap<String, Layout>,
    /// Overlays by name: `overlays/*/`.
    pub overlays: BTreeMap<String, Overlay>,
    /// `kernel/`.
    pub kernel: Kernel,
    /// `sources.toml`.
    pub sources: Sources,
    /// Where each value of a board was written, by board.
    pub board_origins: BTreeMap<String, Vec<Origin>>,
    /// Where each value of a layout was written, by layout.
    pub layout_origins: BTreeMap<String, Vec<Origin>>,
    /// What is to be told of, and keeps nothing from being built.
    pub warnings: Findings,
}

/// A file that could be read, with what was written there.
struct Loaded<T> {
    file: Arc<SourceFile>,
    written: T,
}

impl Project {
    /// Reads the project at `root`, which has all parts itself. Everything that is wrong with it comes back at once, by file
    /// and line.
    pub fn load(root: &Path) -> Result<Self, Findings> {
        Self::load_from(Files::of(root))
    }

    /// The same of a project that may use parts which come with the program.
    pub fn load_from(files: Files) -> Result<Self, Findings> {
        let mut findings = Findings::default();
        let boards = load_all(&files, PartKind::Board, &mut findings);
        let layouts = load_all(&files, PartKind::Layout, &mut findings);
        let overlays = load_overlays(&files, &mut findings);
        let mut kernel = findings.keep_all(Kernel::load(&files));
        let sources = findings.keep_all(Sources::load(files.root()));
        let known = Known {
            boards: boards.keys().cloned().collect(),
            layouts: layouts.keys().cloned().collect(),
            overlays: overlays
                .iter()
                .map(|(name, overlay)| {
                    let provides = overlay.as_ref().map(|overlay| overlay.provides.clone());
                    (name.clone(), provides)
                })
                .collect(),
        };
        let mut fleet = load::<FleetToml>(&files, Path::new("images/fleet.toml"), &mut findings)
            .map(|fleet| check_fleet(&fleet.file, &fleet.written, &known, &mut findings))
            .unwrap_or_default();

        let mut board_origins = BTreeMap::new();
        let mut checked_boards = BTreeMap::new();
        let mut needed_of_kernel = Vec::new();
        for (name, Loaded { file, written }) in only_loaded(boards) {
            let before = findings.errors();
            let mut board = check_board(&name, &file, &written, &mut findings);
            if findings.errors() == before {
                if let (Some(written), Some(tree)) = (&written.device_tree, &mut board.device_tree) {
                    load_source(&files, &file, written, tree, &mut findings);
                }
                if let (Some(written), Some(u_boot)) = (&written.u_boot, &mut board.u_boot) {
                    u_boot.requests = load_fragment(&files, &file, written, u_boot, &mut findings);
                }
                if let Some(written) = &written.kernel_fragment {
                    let needed = load_kernel_fragment(&files, &file, written, &mut findings);
                    // One kernel serves the fleet, and boards that no node has would only make it larger.
                    let is_used = fleet.nodes.iter().any(|node| node.board == name);
                    if is_used && findings.errors() == before {
                        needed_of_kernel.extend(needed);
                    }
                }
            }
            board_origins.insert(name.clone(), written.origins(&file));
            checked_boards.insert(name, board);
        }
        let layouts = only_loaded(layouts).map(|(name, Loaded { file, written })| (name, file, written));
        let layouts = check_layouts(layouts, &mut findings);
        check_cards(&fleet, &checked_boards, &layouts, &mut findings);
        check_memory(&fleet, &checked_boards, &mut findings);
        check_container_images(&fleet, &layouts, &mut findings);
        check_together(&fleet, &overlays, &layouts, &mut findings);
        if let Some(kernel) = &mut kernel {
            // One kernel serves all nodes.
            let in_use = |name: &&String| fleet.roles.values().any(|role| role.overlays.contains(name));
            let asked = overlays.iter().filter(|(name, _)| in_use(name));
            let asked =
                asked.flat_map(|(_, overlay)| overlay.iter().flat_map(|overlay| &overlay.kernel_requests));
            kernel.add(asked, &mut findings);
            kernel.add_boards(needed_of_kernel, &mut findings);
        }
        tell_brought(&mut fleet, &overlays);
        findings.sort();
        let (Some(kernel), Some(sources)) = (kernel, sources) else {
            return Err(findings);
        };
        let warnings = findings.into_warnings()?;
        let layout_origins = layouts
            .iter()
            .map(|(name, checked)| (name.clone(), checked.origins.clone()));
        Ok(Self {
            layout_origins: layout_origins.collect(),
            root: files.root().to_owned(),
            files,
            fleet,
            boards: checked_boards,
            layouts: layouts
                .into_iter()
                .map(|(name, checked)| (name, checked.layout))
                .collect(),
            overlays: overlays
                .into_iter()
                .filter_map(|(name, overlay)| Some((name, overlay?)))
                .collect(),
            kernel,
            sources,
            board_origins,
            warnings,
        })
    }

    /// The node called `name`; the finding about an unknown one says which was probably meant.
    pub fn node(&self, name: &str) -> Result<&Node, Finding> {
        self.fleet
            .nodes
            .iter()
            .find(|node| node.name == name)
            .ok_or_else(|| {
                let names = self.fleet.nodes.iter().map(|node| node.name.as_str());
                Finding::new(format!("there is no node {}", quoted(name))).hint(suggest(name, names))
            })
    }

    /// The overlays of a role that are laid over a base of `platform`, first to last.
    pub fn overlays_of(&self, role: &str, platform: Platform) -> impl Iterator<Item = &Overlay> {
        let role = self.fleet.roles.get(role);
        let names = role.into_iter().flat_map(|role| &role.overlays);
        names
            .filter_map(|name| self.overlays.get(name))
            .filter(move |overlay| overlay.applies_to(platform))
    }

    /// The overlays of a role's container image, first to last.
    pub fn container_image_overlays(&self, role: &str, platform: Platform) -> impl Iterator<Item = &Overlay> {
        let role = self.fleet.roles.get(role);
        let names = role.into_iter().flat_map(|role| &role.container_image);
        names
            .filter_map(|name| self.overlays.get(&name.value))
            .filter(move |overlay| overlay.applies_to(platform))
    }

    /// The layout called `name` as the cards of a role have it over a base of `platform`: with the subvolumes of its overlays.
    pub fn layout_of(&self, role: &str, name: &str, platform: Platform) -> Layout {
        let overlays = self.overlays_of(role, platform);
        let subvolumes = overlays.flat_map(|overlay| &overlay.subvolumes);
        self.layouts[name].with(subvolumes.map(|subvolume| &subvolume.value))
    }

    /// The users that the nodes of a role have over a base of `platform`, in the order of their names.
    pub fn users_of(&self, role: &str, platform: Platform) -> Vec<&User> {
        self.fleet.users_with(self.overlays_of(role, platform))
    }

    /// The settings of the kernel that the overlays of a role make over a base of `platform`.
    pub fn sysctls_of(&self, role: &str, platform: Platform) -> impl Iterator<Item = &Sysctl> {
        self.overlays_of(role, platform)
            .flat_map(|overlay| &overlay.sysctls)
    }

    /// What the kernel's command line of a role's nodes has beside what portadc says to every kernel, each word once: what its
    /// overlays ask for over a base of `platform`, first to last, then the role itself.
    pub fn kernel_arguments(&self, role: &str, platform: Platform) -> Vec<String> {
        let of_role = self.fleet.roles.get(role);
        let of_role = of_role.into_iter().flat_map(|role| &role.kernel_arguments);
        let asked = self
            .overlays_of(role, platform)
            .flat_map(|overlay| &overlay.kernel_arguments)
            .chain(of_role);
        let mut arguments: Vec<String> = Vec::new();
        for argument in asked {
            if !arguments.contains(&argument.value) {
                arguments.push(argument.value.clone());
            }
        }
        arguments
    }

    /// The packages that the overlays of a role, and the fleet itself, ask of a base of `platform`.
    fn role_packages(&self, role: &str, platform: Platform) -> BTreeSet<String> {
        self.fleet
            .packages_with(self.overlays_of(role, platform), platform.distribution)
    }

    /// The packages that the overlays of a role's container image ask for; `None` where it has no such overlays.
    fn container_image_packages(&self, role: &str, platform: Platform) -> Option<BTreeSet<String>> {
        let has_image = self
            .fleet
            .roles
            .get(role)
            .is_some_and(|role| !role.container_image.is_empty());
        has_image.then(|| {
            overlay::packages(
                self.container_image_overlays(role, platform),
                platform.distribution,
            )
        })
    }

    /// What the roles of `nodes`, and their container images, ask of a base of `platform`: each set once.
    pub fn package_sets<'n>(
        &self,
        nodes: impl IntoIterator<Item = &'n Node>,
        platform: Platform,
    ) -> BTreeSet<BTreeSet<String>> {
        let roles: BTreeSet<&String> = nodes.into_iter().map(|node| &node.role).collect();
        roles
            .into_iter()
            .flat_map(|role| {
                let image = self.container_image_packages(role, platform);
                image.into_iter().chain([self.role_packages(role, platform)])
            })
            .collect()
    }

    /// All packages that overlays and the fleet itself ask of a base of `platform`, for all nodes.
    pub fn packages(&self, platform: Platform) -> BTreeSet<String> {
        self.package_sets(&self.fleet.nodes, platform)
            .into_iter()
            .flatten()
            .collect()
    }

    /// The board called `name` and its U-Boot; without a name, the one board of the fleet that has a U-Boot.
    pub fn u_boot(&self, name: Option<&str>) -> Result<(&Board, &UBoot), Finding> {
        let with_u_boot = |board: &&Board| board.u_boot.is_some();
        let names = |boards: &[&Board]| {
            let names: Vec<_> = boards.iter().map(|board| board.name.as_str()).collect();
            names.join(", ")
        };
        let board = match name {
            Some(name) => self.boards.get(name).ok_or_else(|| {
                let names = self.boards.keys().map(String::as_str);
                Finding::new(format!("there is no board {}", quoted(name))).hint(suggest(name, names))
            })?,
            None => {
                let used = |board: &&Board| self.fleet.nodes.iter().any(|node| node.board == board.name);
                let boards: Vec<_> = self.boards.values().filter(used).filter(with_u_boot).collect();
                match boards[..] {
                    [board] => board,
                    [] => {
                        return Err(Finding::new("no board of the fleet has a U-Boot")
                            .hint("a board has one that has a table [u-boot] in its board.toml"));
                    }
                    _ => {
                        return Err(Finding::new("more than one board of the fleet has a U-Boot")
                            .hint(format!("name one: {}", names(&boards))));
                    }
                }
            }
        };
        let u_boot = board.u_boot.as_ref().ok_or_else(|| {
            let boards: Vec<_> = self.boards.values().filter(with_u_boot).collect();
            Finding::new(format!("board {} has no U-Boot", quoted(&board.name))).hint(format!(
                "a board has one that has a table [u-boot] in its board.toml: {}",
                names(&boards)
            ))
        })?;
        Ok((board, u_boot))
    }
}

/// Holds each layout against each board that some node brings it together with.
fn check_cards(
    fleet: &Fleet,
    boards: &BTreeMap<String, Board>,
    layouts: &BTreeMap<String, CheckedLayout>,
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for node in &fleet.nodes {
        let (Some(checked), Some(board), Some(origin)) = (
            layouts.get(&node.layout),
            boards.get(&node.board),
            node.origins.iter().find(|origin| origin.name == "board"),
        ) else {
            continue;
        };
        if !seen.insert((&node.layout, &node.board)) {
            continue;
        }
        let card = Card {
            layout: &checked.layout,
            places: &checked.places,
            board,
            chosen: &origin.place,
        };
        card.check_count(findings);
        if checked.sound {
            card.check_room(findings);
        }
    }
}

/// Holds what the containers of each node may use of its memory, and its compressed swap where nothing in it can be compressed,
/// against what its board has.
fn check_memory(fleet: &Fleet, boards: &BTreeMap<String, Board>, findings: &mut Findings) {
    for node in &fleet.nodes {
        let Some(most) = boards.get(&node.board).and_then(|board| board.memory) else {
            continue;
        };
        let swap = node.zram.as_ref();
        let mut together = swap.map_or(Bytes(0), |swap| swap.value);
        if let Some(swap) = swap.filter(|swap| swap.value > most) {
            let message = format!(
                "the compressed swap of `{}` may hold {}, and a board `{}` has {most}",
                node.name, swap.value, node.board
            );
            findings.push(
                Finding::new(message)
                    .at(swap.place.clone())
                    .hint("it lies in the node's memory: a quarter of that is a good start"),
            );
            continue;
        }
        let limited = fleet
            .containers
            .iter()
            .filter(|container| container.node == node.name);
        for (container, memory) in
            limited.filter_map(|container| Some((container, container.memory.as_ref()?)))
        {
            together = together + memory.value;
            if together > most {
                let message = match together == memory.value {
                    true => format!("`{}` may use {together} of memory", container.name),
                    false => format!(
                        "with `{}`, the containers{} of `{}` may use {together} of memory",
                        container.name,
                        swap.map_or("", |_| " and the compressed swap"),
                        node.name
                    ),
                };
                findings.push(
                    Finding::new(format!("{message}, and a board `{}` has {most}", node.board))
                        .at(memory.place.clone())
                        .hint("what all of them use at once has to be there: lower a limit, or choose another node"),
                );
                break;
            }
        }
    }
}

/// What could be read of `files`.
fn only_loaded<T>(files: BTreeMap<String, Option<Loaded<T>>>) -> impl Iterator<Item = (String, Loaded<T>)> {
    files
        .into_iter()
        .filter_map(|(name, loaded)| Some((name, loaded?)))
}

/// The file at `path` as `T`, or `None` with what is wrong.
fn load<T: DeserializeOwned + JsonSchema>(
    files: &Files,
    path: &Path,
    findings: &mut Findings,
) -> Option<Loaded<T>> {
    let file = findings.keep(files.load(path))?;
    let written = document::parse(&file, findings)?;
    Some(Loaded { file, written })
}

/// Boards or layouts by name. A part whose file has faults is still known by its name.
fn load_all<T: DeserializeOwned + JsonSchema>(
    files: &Files,
    kind: PartKind,
    findings: &mut Findings,
) -> BTreeMap<String, Option<Loaded<T>>> {
    let parts = files.parts(kind, findings);
    parts
        .into_iter()
        .map(|(name, path)| {
            check_entry_name(&name, &path, kind, findings);
            (name, load(files, &kind.main_file(path), findings))
        })
        .collect()
}

/// `overlays/*/` by the folder's name. An overlay that has faults is still known by its name.
fn load_overlays(files: &Files, findings: &mut Findings) -> BTreeMap<String, Option<Overlay>> {
    let names = files.parts(PartKind::Overlay, findings).into_keys();
    names
        .map(|name| {
            let overlay = findings.keep_all(Overlay::load(files, &name));
            let warnings = overlay.iter().flat_map(|overlay| &overlay.warnings.0);
            findings.0.extend(warnings.cloned());
            (name, overlay)
        })
        .collect()
}

/// A name that is taken from a path obeys the rules of names.
fn check_entry_name(name: &str, path: &Path, kind: PartKind, findings: &mut Findings) {
    if let Some(fault) = name_fault(name) {
        findings.push(
            Finding::new(format!(
                "`{}`: {} name {} {fault}",
                path.display(),
                kind.text(),
                quoted(name)
            ))
            .hint("names are lower-case letters, digits and inner hyphens, 63 at most"),
        );
    }
}
