//! A new project.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use ipnet::Ipv4Net;
use model::names::{name_fault, quoted};
use model::schema::schemas;

use crate::place::{Draft, is_taken};
use crate::{STOCK, fleet};

/// Most nodes of a new fleet: the slots that two digits of an address count.
pub const MOST_NODES: u16 = 99;

/// Longest prefix of a network whose nodes may run containers: each node has 256 addresses of it for them.
pub const LONGEST_WITH_CONTAINERS: u8 = 16;

/// Longest prefix of any other network.
pub const LONGEST: u8 = 24;

/// What of a project nobody but its owner writes. Where one of them is, a new project would be mixed with an old one.
const OWN: [&str; 5] = ["boards", "identity", "kernel", "out", "sources.lock"];

/// What a new project writes, in the order in which it gets its place: with the last one the folder is a project.
const WRITTEN: [&str; 5] = [".gitignore", "schemas", "overlays", "sources.toml", "images"];

const IGNORED: &str = "# Keys of nodes and operators: keep a copy of it elsewhere.\n/identity/\n/out/\n";

const OVERLAYS: &str = "# Overlays of this project\n\n\
    An overlay is a folder of files, templates, packages and units that is laid over the base system; a role in `images/fleet.toml`\n\
    lists which. Those that come with portadc are used from there: `portadc list` shows them, and `portadc eject overlay/NAME`\n\
    copies one to here. A folder in here takes the place of the one of its name that comes with portadc, as a whole.\n";

/// What a new project is of.
#[derive(Debug, Clone)]
pub struct Choices {
    /// The fleet's name.
    pub fleet: String,
    /// The board of all nodes.
    pub board: String,
    /// How many nodes there are.
    pub nodes: u16,
    /// The network that they are on.
    pub subnet: Ipv4Net,
    /// Its router.
    pub gateway: Ipv4Addr,
    /// Its name servers.
    pub name_servers: Vec<Ipv4Addr>,
    /// Whether the nodes run containers.
    pub containers: bool,
    /// OpenSSH public keys that may log in.
    pub admin_keys: Vec<String>,
}

impl Choices {
    /// What keeps these from being a fleet, as far as no line of a file can show it.
    pub fn check(&self) -> Result<()> {
        if let Some(fault) = name_fault(&self.fleet) {
            bail!(
                "the name of the fleet {} {fault}: lower-case letters, digits and inner hyphens, 63 at most",
                quoted(&self.fleet)
            );
        }
        ensure!(
            (1..=MOST_NODES).contains(&self.nodes),
            "a new fleet has 1 to {MOST_NODES} nodes, not {}: more are another bus in images/fleet.toml",
            self.nodes
        );
        let (longest, why) = match self.containers {
            true => (
                LONGEST_WITH_CONTAINERS,
                "each node has a /24 of it for its containers",
            ),
            false => (LONGEST, "the nodes' addresses count from 101"),
        };
        ensure!(
            self.subnet.prefix_len() <= longest,
            "{} is too small a network, /{longest} is the smallest: {why}",
            self.subnet
        );
        Ok(())
    }
}

/// Whether `folder` can become a project: it is not there, or has nothing that a project has.
pub fn check_folder(folder: &Path) -> Result<()> {
    if !is_taken(folder) {
        return Ok(());
    }
    ensure!(folder.is_dir(), "{} is no folder", folder.display());
    let there: Vec<&str> = WRITTEN
        .into_iter()
        .chain(OWN)
        .filter(|name| is_taken(&folder.join(name)))
        .collect();
    ensure!(
        there.is_empty(),
        "{} has {} already: nothing was changed; name a folder that has none of a project's files",
        folder.display(),
        there.join(", ")
    );
    Ok(())
}

/// Makes the project that `choices` describe in `folder`, which `check` has found nothing wrong with before it gets its place.
pub fn init(folder: &Path, choices: &Choices, check: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    choices.check()?;
    check_folder(folder)?;
    let is_new = !folder.is_dir();
    // Beside a new folder, and in one that is there, so that giving it its place is one rename.
    let around = match is_new {
        true => std::path::absolute(folder)
            .ok()
            .and_then(|folder| folder.parent().map(PathBuf::from))
            .with_context(|| format!("{} is no place for a folder", folder.display()))?,
        false => folder.to_owned(),
    };
    fs::create_dir_all(&around).with_context(|| format!("cannot make {}", around.display()))?;
    let draft = Draft::new(&around)?;
    write(&draft, choices)?;
    check(&draft.path(PROJECT))?;
    if is_new {
        return draft.publish(PROJECT, folder);
    }
    for (index, name) in WRITTEN.into_iter().enumerate() {
        if let Err(error) = draft.publish(Path::new(PROJECT).join(name), &folder.join(name)) {
            for name in &WRITTEN[..index] {
                // Back into the draft, which is removed.
                fs::rename(folder.join(name), draft.path(Path::new(PROJECT).join(name))).ok();
            }
            return Err(error);
        }
    }
    Ok(())
}

/// The project's folder in a draft.
const PROJECT: &str = "project";

fn write(draft: &Draft, choices: &Choices) -> Result<()> {
    let project = Path::new(PROJECT);
    let sources = STOCK.iter().find(|file| file.path == "sources.toml");
    let sources = sources.context("the program came without sources.toml")?;
    let fleet = fleet::text(choices);
    let files = [
        ("images/fleet.toml", fleet.as_bytes()),
        ("sources.toml", sources.bytes),
        (".gitignore", IGNORED.as_bytes()),
        ("overlays/README.md", OVERLAYS.as_bytes()),
    ];
    for (name, bytes) in files {
        draft.write(project.join(name), bytes, false)?;
    }
    for (kind, schema) in schemas() {
        let text = format!("{schema:#}\n");
        draft.write(
            project.join(format!("schemas/{kind}.json")),
            text.as_bytes(),
            false,
        )?;
    }
    Ok(())
}
