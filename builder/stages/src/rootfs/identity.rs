//! What makes a node itself, made once and kept: machine ids and ssh keys, and the key of whoever flashes.
//!
//! ```text
//! identity/                     0700, ignored by git: whoever has it can be every node
//!   operator_ed25519(.pub)      logs in as root on every node
//!   known_hosts                 host keys of the whole fleet, for `ssh -o UserKnownHostsFile=`
//!   nodes/<name>/machine-id
//!   nodes/<name>/ssh_host_ed25519_key(.pub)
//!   containers/<name>/              the same of each container
//!   .lock                       held while something is made
//! ```
//!
//! Each folder of a node appears whole or not at all. Nothing here is ever deleted or replaced: a node that left the
//! fleet may come back.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use model::fleet::{Fleet, Node};
use model::names::host_fault;
use rustix::fs::{FlockOperation, OFlags, flock};
use ssh_key::rand_core::{OsRng, RngCore};
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

/// Largest file of the store that is read, in bytes; keys have a few hundred.
const MAX_FILE: u64 = 64 * 1024;

const MACHINE_ID: &str = "machine-id";
const HOST_KEY: &str = "ssh_host_ed25519_key";
const OPERATOR_KEY: &str = "operator_ed25519";
const KNOWN_HOSTS: &str = "known_hosts";

/// The folder of identities of a project.
#[derive(Debug, Clone)]
pub struct IdentityStore {
    folder: PathBuf,
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

/// The key pair of whoever flashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Where the private key is, for `ssh -i`.
    pub key: PathBuf,
    /// The public key: one line as in a `.pub` file.
    pub public_key: String,
}

impl IdentityStore {
    /// The store in `folder`, which is made where it is missing.
    pub fn open(folder: &Path) -> Result<Self> {
        let store = Self {
            folder: folder.to_owned(),
        };
        make_private_folder(folder)?;
        make_private_folder(&store.nodes())?;
        make_private_folder(&store.containers())?;
        Ok(store)
    }

    /// The identity of the node called `name`, made now if it has none.
    pub fn node(&self, name: &str) -> Result<Identity> {
        self.identity(&self.nodes(), name, "node")
    }

    /// The identity of the container called `name`, made now if it has none. It goes with it from node to node.
    pub fn container(&self, name: &str) -> Result<Identity> {
        self.identity(&self.containers(), name, "container")
    }

    /// The identities of the containers that `fleet` has on `node`, by name.
    pub fn containers_of(&self, fleet: &Fleet, node: &Node) -> Result<BTreeMap<String, Identity>> {
        let containers = fleet.containers.iter();
        let of_node = containers.filter(|container| container.node == node.name);
        of_node
            .map(|container| Ok((container.name.clone(), self.container(&container.name)?)))
            .collect()
    }

    fn identity(&self, folder: &Path, name: &str, what: &str) -> Result<Identity> {
        if let Some(fault) = host_fault(name) {
            bail!("{what} name `{}` {fault}", name.escape_debug());
        }
        let own = folder.join(name);
        if !exists(&own)? {
            let _lock = self.lock()?;
            // Another build may have made it while this one waited.
            if !exists(&own)? {
                make_identity(folder, name)?;
            }
        }
        read_identity(&own).with_context(|| format!("the identity of {what} {name} cannot be used"))
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
            }
            // The public half comes last: where it is, the pair is whole. After a cut between the two it is made
            // from the private one.
            if !exists(&public)? {
                let pair = parse_private(&key, &read_private(&key)?)?;
                write_atomically(&public, public_text(&pair)?.as_bytes())?;
            }
        }
        let (_, public_key) = read_pair(&key).context("the operator's key cannot be used")?;
        Ok(Operator { key, public_key })
    }

    /// Writes the host keys of all nodes of `fleet` to `known_hosts` of this store, and returns its path. Identities
    /// that are missing are made.
    pub fn write_known_hosts(&self, fleet: &Fleet) -> Result<PathBuf> {
        let path = self.folder.join(KNOWN_HOSTS);
        let text = self.known_hosts(fleet)?;
        if fs::read(&path).is_ok_and(|written| written == text.as_bytes()) {
            return Ok(path);
        }
        write_atomically(&path, text.as_bytes())?;
        Ok(path)
    }

    /// One line a node and a container, sshd(8) "SSH_KNOWN_HOSTS FILE FORMAT": `172.16.1.7,red-07 ssh-ed25519 AAAA...`.
    fn known_hosts(&self, fleet: &Fleet) -> Result<String> {
        let mut text = String::new();
        let mut add = |address: Ipv4Addr, name: &str, identity: Identity| {
            let mut words = identity.host_key_public.split(' ');
            let (Some(kind), Some(key)) = (words.next(), words.next()) else {
                bail!("the host key of {name} has no two words")
            };
            text.push_str(&format!("{address},{name} {kind} {key}\n"));
            Ok(())
        };
        for node in &fleet.nodes {
            add(node.address, &node.name, self.node(&node.name)?)?;
        }
        for container in &fleet.containers {
            add(
                container.address,
                &container.name,
                self.container(&container.name)?,
            )?;
        }
        Ok(text)
    }

    fn nodes(&self) -> PathBuf {
        self.folder.join("nodes")
    }

    fn containers(&self) -> PathBuf {
        self.folder.join("containers")
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
            .with_context(|| format!("cannot make {}", path.display()))?;
        flock(&file, FlockOperation::LockExclusive)
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(file)
    }
}

/// Makes the folder of `name` in `folder` under a name that nothing can have, then renames it.
fn make_identity(folder: &Path, name: &str) -> Result<()> {
    let part = folder.join(format!(".{name}.part"));
    match fs::remove_dir_all(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot remove {}", part.display()));
        }
        _ => {}
    }
    make_private_folder(&part)?;
    let pair = generate_key(&format!("root@{name}"))?;
    write_new(
        &part.join(MACHINE_ID),
        format!("{}\n", generate_machine_id()?).as_bytes(),
    )?;
    write_new(&part.join(HOST_KEY), private_text(&pair)?.as_bytes())?;
    write_new(&public_path(&part.join(HOST_KEY)), public_text(&pair)?.as_bytes())?;
    sync_folder(&part)?;
    fs::rename(&part, folder.join(name)).with_context(|| format!("cannot rename {}", part.display()))?;
    sync_folder(folder)
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
    let (host_key, host_key_public) = read_pair(&folder.join(HOST_KEY))?;
    Ok(Identity {
        machine_id,
        host_key,
        host_key_public,
    })
}

/// A private key and its public half, as texts, each held against the other.
fn read_pair(key: &Path) -> Result<(String, String)> {
    let private = read_private(key)?;
    let pair = parse_private(key, &private)?;
    let public_path = public_path(key);
    let public = read_private(&public_path)?.trim_end().to_owned();
    let written = PublicKey::from_openssh(&public).map_err(|error| {
        anyhow!(
            "{} is damaged ({error}): make it again with `ssh-keygen -y -f {}`",
            public_path.display(),
            key.display()
        )
    })?;
    ensure!(
        written.key_data() == pair.public_key().key_data(),
        "{} does not belong to {}: make it again with `ssh-keygen -y -f {}`",
        public_path.display(),
        key.display(),
        key.display()
    );
    Ok((private, public))
}

fn parse_private(path: &Path, text: &str) -> Result<PrivateKey> {
    let parent = path.parent().unwrap_or(path);
    let key = PrivateKey::from_openssh(text)
        .map_err(|error| anyhow!("{} is damaged ({error}){}", path.display(), what_to_do(parent)))?;
    ensure!(
        !key.is_encrypted(),
        "{} has a passphrase, a key of a node cannot: remove it with `ssh-keygen -p -f {}`",
        path.display(),
        path.display()
    );
    ensure!(
        key.algorithm() == Algorithm::Ed25519,
        "{} is a key of type {}, not ssh-ed25519{}",
        path.display(),
        key.algorithm(),
        what_to_do(parent)
    );
    Ok(key)
}

fn what_to_do(folder: &Path) -> String {
    format!(
        ": restore it from a backup, or move {} away to have a new one made (what knew the old one must be told)",
        folder.display()
    )
}

fn generate_key(comment: &str) -> Result<PrivateKey> {
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).context("cannot make an ssh key")?;
    key.set_comment(comment);
    Ok(key)
}

/// A random id with the bits of a version 4 UUID, as machine-id(5) asks for.
fn generate_machine_id() -> Result<String> {
    let mut bytes = [0; 16];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| anyhow!("the operating system gives no random bytes: {error}"))?;
    Ok(uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .simple()
        .to_string())
}

fn private_text(key: &PrivateKey) -> Result<String> {
    Ok(key
        .to_openssh(LineEnding::LF)
        .context("cannot encode an ssh key")?
        .to_string())
}

fn public_text(key: &PrivateKey) -> Result<String> {
    let line = key
        .public_key()
        .to_openssh()
        .context("cannot encode an ssh key")?;
    Ok(format!("{line}\n"))
}

fn public_path(key: &Path) -> PathBuf {
    key.with_extension("pub")
}

fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

/// A folder that only its owner can enter. One that others can enter is an error.
fn make_private_folder(folder: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {}", folder.display()));
        }
        _ => {}
    }
    let metadata =
        fs::symlink_metadata(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
    ensure!(metadata.is_dir(), "{} is not a folder", folder.display());
    check_mode(folder, &metadata)
}

/// Nobody but the owner may reach what is in the store.
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    let mode = metadata.mode() & 0o7777;
    ensure!(
        mode & 0o077 == 0,
        "{} can be reached by others (mode {mode:04o}): `chmod go= {}`, and if others use this machine, take its keys \
         as known to them",
        path.display(),
        path.display()
    );
    Ok(())
}

/// A file of the store; links are not followed.
fn read_private(path: &Path) -> Result<String> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                let folder = path.parent().unwrap_or(path);
                anyhow!("{} is missing{}", path.display(), what_to_do(folder))
            }
            _ => anyhow!(error).context(format!("cannot read {}", path.display())),
        })?;
    let metadata = file
        .metadata()
        .with_context(|| format!("cannot look at {}", path.display()))?;
    ensure!(metadata.is_file(), "{} is not a file", path.display());
    check_mode(path, &metadata)?;
    ensure!(
        metadata.len() <= MAX_FILE,
        "{} has {} bytes, no key has more than {MAX_FILE}",
        path.display(),
        metadata.len()
    );
    let mut text = String::new();
    file.read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// A new file of mode 0600 that has reached the disk.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        // The umask can only have taken bits away from the owner.
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Replaces a file: there is the old one or the new one, never a part.
fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.persist(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot write {} to the disk", folder.display()))
}
