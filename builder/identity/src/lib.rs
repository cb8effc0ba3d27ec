//! What makes a node itself, made once and kept: machine ids and ssh keys, and the key of whoever flashes.
//!
//! ```text
//! identity/                     0700, ignored by git: whoever has it can be every node
//!   fleet                       the name of the fleet that all of it is of
//!   operator_ed25519(.pub)      logs in as root on every node; the private half may be elsewhere
//!   operator_ed25519_before     the same before it was drawn anew, with its .pub
//!   known_hosts                 host keys of the whole fleet, for `ssh -o UserKnownHostsFile=`
//!   nodes/<name>/machine-id
//!   nodes/<name>/ssh_host_ed25519_key(.pub)
//!   containers/<name>/          the same of each container
//!   links/<node>/               backup_ed25519(.pub), move_ed25519(.pub): by which it reaches other nodes
//!   i2p/<service>               the key of its address of I2P
//!   tunnels/<name>              the WireGuard key of this end
//!   revoked                     public keys that must not come back: see `revoke`
//!   .lock                       held while something is made
//! ```
//!
//! Each folder of a node appears whole or not at all. Nothing here is deleted or replaced, as a node that left the fleet may
//! come back, unless somebody asks for that: to revoke a node, to give it another name, to prune.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::files::private;
use anyhow::{Context, Result, anyhow, bail, ensure};
use model::fleet::{Fleet, Node};
use model::names::name_fault;
use rustix::fs::{FlockOperation, flock};
use ssh_key::rand_core::{OsRng, RngCore};

pub use i2p::I2pKey;
pub use kept::findings;
pub use revoke::{Replaced, Revocation};
pub use ssh::KeyPair;
pub use wireguard::WireGuardKey;

use files::{
    check_mode, exists, make_private_folder, read_private, sync_folder, write_atomically, write_new,
};
use ssh::{
    Private, generate_key, make_pair, private_text, public_path, public_text, read_loose_pair, read_pair,
};

mod change;
mod files;
mod fleet;
mod i2p;
mod kept;
mod revoke;
mod ssh;
mod wireguard;

/// How many things of one folder are named one by one.
const MANY: usize = 4;
const MACHINE_ID: &str = "machine-id";
const HOST_KEY: &str = "ssh_host_ed25519_key";
const OPERATOR_KEY: &str = "operator_ed25519";
/// The operator's key before it was drawn anew.
const BEFORE: &str = "operator_ed25519_before";
const BACKUP_KEY: &str = "backup_ed25519";
const MOVE_KEY: &str = "move_ed25519";

/// The folder of identities of a project.
#[derive(Debug, Clone)]
pub struct IdentityStore {
    folder: PathBuf,
    /// What has been made since it was opened: `nodes/red-07`.
    made: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// What makes a node or a container itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// 32 hexadecimal digits, machine-id(5).
    pub machine_id: String,
    /// The ssh host key: OpenSSH's private format, several lines.
    pub host_key: String,
    /// Its public half: one line as in a `.pub` file.
    pub host_key_public: String,
}

/// By what a node reaches other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// Exports backups, and nothing else.
    pub backup: KeyPair,
    /// Brings containers, and nothing else.
    pub moving: KeyPair,
}

/// What only a node itself may know, besides its identity.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// By what it reaches other nodes.
    pub links: Links,
    /// The keys of the services that it has addresses of I2P for, by their names.
    pub i2p: BTreeMap<String, I2pKey>,
    /// The keys of its ends of tunnels, by their names.
    pub tunnels: BTreeMap<String, WireGuardKey>,
}

/// The key pair of whoever flashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Where the private key is, for `ssh -i`; it may have a passphrase, or be elsewhere.
    pub key: PathBuf,
    /// The public key: one line as in a `.pub` file.
    pub public_key: String,
    private: Private,
}

impl Operator {
    /// Stands for one where nobody logs in: to see what is made of its public key.
    pub fn stand_in(public_key: &str) -> Self {
        Self {
            key: PathBuf::from(OPERATOR_KEY),
            public_key: public_key.to_owned(),
            private: Private::Elsewhere,
        }
    }

    /// The private key's file, for whoever logs in while nobody can be asked for a passphrase.
    pub fn unattended(&self) -> Result<&Path> {
        let key = self.key.display();
        match self.private {
            Private::Plain => Ok(&self.key),
            Private::Closed => bail!(
                "{key} has a passphrase, and nobody can be asked for it here: use a copy of the project whose key has none,                  or log in by hand"
            ),
            Private::Elsewhere => bail!(
                "{key} is missing, and only it logs in at nodes here: its public half in {key}.pub is enough for builds alone"
            ),
        }
    }
}

impl IdentityStore {
    /// The store in `folder`, which is made where it is missing.
    pub fn open(folder: &Path) -> Result<Self> {
        let store = Self {
            folder: folder.to_owned(),
            made: Arc::default(),
        };
        make_private_folder(folder)?;
        for kind in change::KINDS {
            make_private_folder(&folder.join(kind))?;
        }
        store.settle()?;
        Ok(store)
    }

    /// The store in `folder`, which has to be there.
    pub fn open_existing(folder: &Path) -> Result<Self> {
        ensure!(
            exists(folder)?,
            "there is no {}: nothing was ever built here; restore it from a backup if there should be one",
            folder.display()
        );
        Self::open(folder)
    }

    /// The identity of the node called `name`, made now if it has none.
    pub fn node(&self, name: &str) -> Result<Identity> {
        self.identity(&self.nodes(), name, "node")
    }

    /// The identity of the container called `name`, made now if it has none. It goes with it from node to node.
    pub fn container(&self, name: &str) -> Result<Identity> {
        self.identity(&self.folder.join("containers"), name, "container")
    }

    /// The identities of the containers that `fleet` has on `node`, by name.
    pub fn containers_of(&self, fleet: &Fleet, node: &Node) -> Result<BTreeMap<String, Identity>> {
        let containers = fleet.containers.iter();
        let of_node = containers.filter(|container| container.node == node.name);
        of_node
            .map(|container| Ok((container.name.clone(), self.container(&container.name)?)))
            .collect()
    }

    /// By what the node called `name` reaches others, made now if it has nothing yet.
    pub fn links(&self, name: &str) -> Result<Links> {
        let folder = self.folder.join("links");
        let own = self.whole(&folder, name, "node", |part| make_links(part, name))?;
        let read = || -> Result<Links> {
            check_mode(&own, &fs::symlink_metadata(&own)?)?;
            Ok(Links {
                backup: read_pair(&own.join(BACKUP_KEY))?,
                moving: read_pair(&own.join(MOVE_KEY))?,
            })
        };
        let links =
            read().with_context(|| format!("the keys by which {name} reaches other nodes cannot be used"))?;
        self.refuse_revoked(name, [&*links.backup.public, &links.moving.public])?;
        Ok(links)
    }

    /// What only `node` itself may know, besides its identity. What is missing is made.
    pub fn secrets(&self, fleet: &Fleet, node: &Node) -> Result<Secrets> {
        let services = fleet.inproxied(node).filter(|service| service.i2p);
        Ok(Secrets {
            links: self.links(&node.name)?,
            i2p: services
                .map(|service| Ok((service.name.clone(), self.i2p(&service.name)?)))
                .collect::<Result<_>>()?,
            tunnels: fleet
                .tunnels_of(node)
                .map(|tunnel| Ok((tunnel.name.clone(), self.tunnel(&tunnel.name)?)))
                .collect::<Result<_>>()?,
        })
    }

    /// The key of the address of I2P of the service called `name`, made now if it has none.
    pub fn i2p(&self, name: &str) -> Result<I2pKey> {
        self.once(&i2p_file(&self.folder, name)?, || Ok(I2pKey::draw()?.to_text()))?;
        let key = Self::made_i2p(&self.folder, name)?;
        let key = key.context("a key that was just made is gone")?;
        self.refuse_revoked(name, [&*key.address()])?;
        Ok(key)
    }

    /// The same of the store in `folder`, if it was made: nothing is made there.
    pub fn made_i2p(folder: &Path, name: &str) -> Result<Option<I2pKey>> {
        read_made(&i2p_file(folder, name)?, I2pKey::from_text)
    }

    /// The key of this end of the tunnel called `name`, made now if it has none.
    pub fn tunnel(&self, name: &str) -> Result<WireGuardKey> {
        self.once(&tunnel_file(&self.folder, name)?, || {
            Ok(WireGuardKey::draw()?.to_text())
        })?;
        let key = Self::made_tunnel(&self.folder, name)?;
        let key = key.context("a key that was just made is gone")?;
        self.refuse_revoked(name, [&*key.public()])?;
        Ok(key)
    }

    /// The same of the store in `folder`, if it was made: nothing is made there.
    pub fn made_tunnel(folder: &Path, name: &str) -> Result<Option<WireGuardKey>> {
        read_made(&tunnel_file(folder, name)?, WireGuardKey::from_text)
    }

    /// Writes what `draw` gives to the file at `path` if it is not there.
    fn once(&self, path: &Path, draw: impl FnOnce() -> Result<String>) -> Result<()> {
        if !exists(path)? {
            let _lock = self.lock()?;
            // Another build may have made it while this one waited.
            if !exists(path)? {
                write_atomically(path, draw()?.as_bytes())?;
                self.note(path);
            }
        }
        Ok(())
    }

    fn identity(&self, folder: &Path, name: &str, what: &str) -> Result<Identity> {
        let own = self.whole(folder, name, what, |part| make_identity(part, name))?;
        let identity =
            read_identity(&own).with_context(|| format!("the identity of {what} {name} cannot be used"))?;
        self.refuse_revoked(name, [&*identity.host_key_public, &identity.machine_id])?;
        Ok(identity)
    }

    /// The folder of `name` in `folder`, made now with what `fill` puts into it if it is not there.
    fn whole(
        &self,
        folder: &Path,
        name: &str,
        what: &str,
        fill: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        check_name(name, what)?;
        let own = folder.join(name);
        if !exists(&own)? {
            let _lock = self.lock()?;
            // Another build may have made it while this one waited.
            if !exists(&own)? {
                make_whole(folder, name, fill)?;
                self.note(&own);
            }
        }
        Ok(own)
    }

    /// The operator's key pair, made now if there is none.
    pub fn operator(&self) -> Result<Operator> {
        let key = self.folder.join(OPERATOR_KEY);
        let public = public_path(&key);
        if !exists(&public)? {
            let _lock = self.lock()?;
            if !exists(&key)? {
                let pair = generate_key("portadc operator")?;
                write_atomically(&key, private_text(&pair)?.as_bytes())?;
                self.note(&key);
            }
            // The public half comes last: where it is, the pair is whole. After a cut between the two it is made
            // from the private one.
            if !exists(&public)? {
                let pair = ssh::parse(&key, &read_private(&key)?)?;
                write_atomically(&public, public_text(&pair)?.as_bytes())?;
            }
        }
        let (public_key, private) = read_loose_pair(&key).context("the operator's key cannot be used")?;
        Ok(Operator {
            key,
            public_key,
            private,
        })
    }

    fn note(&self, path: &Path) {
        let path = path.strip_prefix(&self.folder).unwrap_or(path).to_owned();
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(path);
    }

    /// What has been made since the store was opened, for whoever has to keep it: `nodes/red-07`, and of many in one folder
    /// their number, `46 in nodes/`.
    pub fn made(&self) -> Vec<String> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let mut folders: BTreeMap<Option<&Path>, Vec<String>> = BTreeMap::new();
        for path in made.iter() {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            folders
                .entry(folder)
                .or_default()
                .push(path.display().to_string());
        }
        let told = folders.into_iter().flat_map(|(folder, paths)| match folder {
            Some(folder) if paths.len() > MANY => vec![format!("{} in {}/", paths.len(), folder.display())],
            _ => paths,
        });
        told.collect()
    }

    fn nodes(&self) -> PathBuf {
        self.folder.join("nodes")
    }

    /// Held until it is dropped.
    fn lock(&self) -> Result<File> {
        let path = self.folder.join(".lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| private::give(&file).map(|()| file))
            .with_context(|| format!("cannot make {}", path.display()))?;
        flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", path.display()))?;
        // Before anything is made in a place that is to get what was drawn.
        self.complete()?;
        Ok(file)
    }
}

/// A name becomes a part of paths.
fn check_name(name: &str, what: &str) -> Result<()> {
    match name_fault(name) {
        Some(fault) => bail!("{what} name `{}` {fault}", name.escape_debug()),
        None => Ok(()),
    }
}

fn i2p_file(folder: &Path, name: &str) -> Result<PathBuf> {
    check_name(name, "service")?;
    Ok(folder.join("i2p").join(name))
}

fn tunnel_file(folder: &Path, name: &str) -> Result<PathBuf> {
    check_name(name, "tunnel")?;
    Ok(folder.join("tunnels").join(name))
}

/// The key in the file at `path`, if that is there.
fn read_made<K, E: std::fmt::Display>(
    path: &Path,
    parse: impl FnOnce(&str) -> Result<K, E>,
) -> Result<Option<K>> {
    if !exists(path)? {
        return Ok(None);
    }
    let key = parse(&read_private(path)?);
    key.map(Some)
        .map_err(|fault| anyhow!("{} is damaged: {fault}{}", path.display(), what_to_do(path)))
}

/// Makes the folder of `name` in `folder` under a name that nothing can have, then renames it.
fn make_whole(folder: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let part = folder.join(format!(".{name}.part"));
    match fs::remove_dir_all(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", part.display()));
        }
        _ => {}
    }
    make_private_folder(&part)?;
    fill(&part)?;
    sync_folder(&part)?;
    fs::rename(&part, folder.join(name)).with_context(|| format!("cannot rename {}", part.display()))?;
    sync_folder(folder)
}

/// Fills the folder of a node or a container.
fn make_identity(part: &Path, name: &str) -> Result<()> {
    let machine_id = format!("{}\n", generate_machine_id()?);
    write_new(&part.join(MACHINE_ID), machine_id.as_bytes())?;
    make_pair(&part.join(HOST_KEY), &format!("root@{name}"))
}

/// Fills the folder of what a node reaches others by.
fn make_links(part: &Path, name: &str) -> Result<()> {
    make_pair(&part.join(BACKUP_KEY), &format!("backup@{name}"))?;
    make_pair(&part.join(MOVE_KEY), &format!("move@{name}"))
}

/// Random bytes of the operating system.
fn draw<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| anyhow!("the operating system gives no random bytes: {error}"))?;
    Ok(bytes)
}

impl std::fmt::Debug for Identity {
    /// Without the private key: what is printed may end in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("machine_id", &self.machine_id)
            .field("host_key_public", &self.host_key_public)
            .finish_non_exhaustive()
    }
}

fn read_identity(folder: &Path) -> Result<Identity> {
    check_mode(folder, &fs::symlink_metadata(folder)?)?;
    let path = folder.join(MACHINE_ID);
    let machine_id = read_private(&path)?.trim_end().to_owned();
    let is_id = machine_id.len() == 32
        && machine_id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && machine_id.bytes().any(|byte| byte != b'0');
    ensure!(
        is_id,
        "{} is damaged: a machine id is 32 lower-case hexadecimal digits, not all zero{}",
        path.display(),
        what_to_do(folder)
    );
    let host_key = read_pair(&folder.join(HOST_KEY))?;
    Ok(Identity {
        machine_id,
        host_key: host_key.private,
        host_key_public: host_key.public,
    })
}

/// The same for a key in the file at `path`, which is half of the operator's pair or belongs to a node's folder.
fn what_to_do_about(path: &Path) -> String {
    let is_operator = path.file_stem().is_some_and(|stem| stem == OPERATOR_KEY);
    match path.parent() {
        Some(folder) if !is_operator => what_to_do(folder),
        _ => format!(
            ": restore it from a backup, or move what is left of {0} and {0}.pub away to have a new pair made (nodes that run know \
             the old one)",
            path.with_extension("").display()
        ),
    }
}

fn what_to_do(folder: &Path) -> String {
    format!(
        ": restore it from a backup, or move {} away to have a new one made (what knew the old one must be told)",
        folder.display()
    )
}

/// A random id with the bits of a version 4 UUID, as machine-id(5) asks for.
fn generate_machine_id() -> Result<String> {
    Ok(uuid::Builder::from_random_bytes(draw()?)
        .into_uuid()
        .simple()
        .to_string())
}
