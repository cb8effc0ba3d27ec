//! What a template can use: the node and everything around it.
//!
//! | name | is |
//! |---|---|
//! | `node` | the node: `name`, `fqdns` (none or one), `cluster`, `slot`, `address` (none where `dhcp`), `dhcp` (whether a DHCP server gives it one), `prefix`, `network`, `uplink`, `gateways`, `name_servers`, `other_routers4` and `other_routers6` (gateways and name servers that are no nodes), `macs`, `role`, `board`, `layout`, `governor`, `zram` (bytes; nothing where it has none); `move_private_key` and `monitor` (none or one address), which only the node itself has; what its ports have; what it does: see each feature |
//! | `nodes` | all nodes of the fleet, each like `node`, without what only the node itself may know |
//! | `fleet` | `name`, `time_servers`, `domains` (none or one) |
//! | `networks` | by name: `name`, `base`, `prefix`, `subnets`, `subnet4`, `subnet6` (none or one), `gateways`, `name_servers` |
//! | `routes` | the way to the containers of each node: see containers |
//! | `clusters` | the buses: see the monitor |
//! | `peers` | the nodes that run containers, as they know each other: see moves |
//! | `hosts` | hosts outside of the fleet that keep backups: see backups |
//! | `board` | `name`, `consoles` (device names) |
//! | `mounts` | the lines of fstab: `device`, `path`, `type`, `options` |
//! | `identity` | `machine_id`, `host_key`, `host_key_public` |
//! | `authorized_keys` | public keys that may log in as root |
//! | `vars` | what the user gave names to: the fleet's values under those of the role, and under those of the node |
//!
//! What a node may lack is a list of none or one (`gateways`, `macs`), so that a template says what happens without:
//! a variable never renders as nothing.
//!
//! A template that knows nothing of `node`, `mounts` and `identity`, and of no `vars` that a node of the role has a value of its own
//! for, is rendered once for all nodes of a role.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding};
use identity::{Identity, Operator, Secrets};
use model::board::Board;
use model::fleet::features::backup::{BackupContext, BuddyContext, GuestContext, HostContext};
use model::fleet::features::containers::{ContainerSecrets, ContainersContext, RouteContext};
use model::fleet::features::inproxy::{HiddenSecrets, InproxyContext};
use model::fleet::features::monitor::ClusterContext;
use model::fleet::features::moves::PeerContext;
use model::fleet::features::texts;
use model::fleet::features::tunnels::TunnelContext;
use model::fleet::{Fleet, Node, PublicKeys, Role, Uplink};
use model::layout::{FileSystem, Layout};
use serde::Serialize;
use serde_json::Value;

use super::network::{self, NetworkContext, PortsContext};

/// Names that a template can start with, for the hint of an error.
pub(super) const NAMES: [&str; 13] = [
    "node",
    "nodes",
    "fleet",
    "networks",
    "routes",
    "clusters",
    "peers",
    "hosts",
    "board",
    "mounts",
    "identity",
    "authorized_keys",
    VARS,
];

/// The one of them that is the user's.
pub(super) const VARS: &str = "vars";

/// Those of them that grow with the fleet.
pub(super) const ALL_NAMES: [&str; 5] = ["nodes", "routes", "clusters", "peers", "hosts"];

/// Those of them that are each node's own.
pub(super) const OWN_NAMES: [&str; 3] = ["node", "mounts", "identity"];

/// How the partitions of a node's card are found: values of `PARTUUID=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionIds {
    /// Of the boot partition (`1f3a5c7e-01` on MBR, a UUID on GPT).
    pub boot_partuuid: String,
    /// Of the root partition.
    pub root_partuuid: String,
}

/// One node with what its files are rendered from.
#[derive(Debug, Clone, Copy)]
pub struct NodeInputs<'a> {
    /// The node.
    pub node: &'a Node,
    /// Its keys and machine id.
    pub identity: &'a Identity,
    /// Those of its containers, by their names.
    pub containers: &'a BTreeMap<String, Identity>,
    /// What else only the node itself may know.
    pub secrets: &'a Secrets,
    /// Where its file systems are.
    pub card: &'a PartitionIds,
}

#[derive(Serialize)]
pub(super) struct Context<'a> {
    #[serde(flatten)]
    own: Option<OwnContext<'a>>,
    #[serde(flatten)]
    all: Option<&'a AllContext<'a>>,
    fleet: FleetContext<'a>,
    networks: &'a BTreeMap<&'a str, NetworkContext<'a>>,
    board: BoardContext<'a>,
    authorized_keys: Vec<&'a str>,
    vars: BTreeMap<&'a str, &'a Value>,
}

/// What grows with the fleet.
#[derive(Serialize)]
struct AllContext<'a> {
    nodes: Vec<NodeContext<'a>>,
    routes: Vec<RouteContext<'a>>,
    clusters: Vec<ClusterContext<'a>>,
    peers: Vec<PeerContext<'a>>,
    hosts: Vec<HostContext<'a>>,
}

/// What only the context of a node has.
#[derive(Serialize)]
struct OwnContext<'a> {
    node: NodeContext<'a>,
    mounts: Vec<Mount>,
    identity: IdentityContext<'a>,
}

/// What all nodes of a role have in common: made once.
pub(super) struct Shared<'a> {
    fleet: &'a Fleet,
    role: &'a Role,
    board: &'a Board,
    layout: Layout,
    operator: &'a Operator,
    known: &'a BTreeMap<String, PublicKeys>,
    networks: BTreeMap<&'a str, NetworkContext<'a>>,
    all: AllContext<'a>,
}

#[derive(Clone, Serialize)]
struct NodeContext<'a> {
    name: &'a str,
    cluster: &'a str,
    slot: u16,
    fqdns: Vec<String>,
    address: Option<String>,
    dhcp: bool,
    prefix: u8,
    network: &'a str,
    uplink: Uplink,
    gateways: Vec<String>,
    name_servers: Vec<String>,
    other_routers4: Vec<String>,
    other_routers6: Vec<String>,
    macs: Vec<String>,
    role: &'a str,
    board: &'a str,
    layout: &'a str,
    governor: String,
    zram: Option<u64>,
    #[serde(flatten)]
    ports: PortsContext<'a>,
    #[serde(flatten)]
    containers: ContainersContext<'a>,
    #[serde(flatten)]
    own: Option<NodeOwnContext<'a>>,
}

/// What only the node itself may know of itself.
#[derive(Clone, Serialize)]
struct NodeOwnContext<'a> {
    inproxy: Vec<InproxyContext<'a>>,
    tunnels: Vec<TunnelContext<'a>>,
    buddy: Vec<BuddyContext<'a>>,
    guests: Vec<GuestContext<'a>>,
    backup: Vec<BackupContext<'a>>,
    move_private_key: &'a str,
    monitor: Vec<String>,
}

#[derive(Debug, Serialize)]
struct FleetContext<'a> {
    name: &'a str,
    time_servers: &'a [String],
    domains: &'a [String],
}

#[derive(Debug, Serialize)]
struct BoardContext<'a> {
    name: &'a str,
    consoles: Vec<&'a str>,
}

#[derive(Serialize)]
struct IdentityContext<'a> {
    machine_id: &'a str,
    host_key: &'a str,
    host_key_public: &'a str,
}

/// A line of fstab(5).
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Mount {
    device: String,
    path: String,
    r#type: &'static str,
    options: String,
}

impl<'a> Shared<'a> {
    /// `operator` may log in beside the people whose keys the fleet has; `known` has the keys of all nodes that run
    /// containers, by their names.
    pub fn new(
        fleet: &'a Fleet,
        role: &'a Role,
        board: &'a Board,
        layout: Layout,
        operator: &'a Operator,
        known: &'a BTreeMap<String, PublicKeys>,
    ) -> Self {
        let networks = fleet.networks.values();
        let networks = networks.map(|network| (network.name.as_str(), NetworkContext::of(network)));
        Self {
            fleet,
            role,
            board,
            layout,
            operator,
            known,
            networks: networks.collect(),
            all: AllContext {
                nodes: fleet.nodes.iter().map(|node| node_context(fleet, node)).collect(),
                routes: RouteContext::all(fleet),
                clusters: ClusterContext::all(fleet),
                peers: PeerContext::all(fleet, known),
                hosts: HostContext::all(fleet, known),
            },
        }
    }

    /// What the templates of one node are rendered from; what grows with the fleet is not there where no template asks for
    /// it, which spares a large fleet much time.
    pub fn of_node(&'a self, inputs: &NodeInputs<'a>, with_all: bool) -> Context<'a> {
        let NodeInputs {
            node,
            identity,
            containers,
            secrets,
            card,
        } = *inputs;
        let mut itself = node_context(self.fleet, node);
        itself.containers.complete(self.fleet, node, |container| {
            let identity = containers.get(container)?;
            Some(ContainerSecrets {
                machine_id: identity.machine_id.clone(),
                host_key_base64: Base64::encode_string(identity.host_key.as_bytes()),
                host_key_public: identity.host_key_public.clone(),
            })
        });
        itself.ports.complete(self.fleet, node);
        itself.own = Some(self.own_context(node, secrets));
        let own = OwnContext {
            node: itself,
            mounts: mounts(&self.layout, card),
            identity: IdentityContext {
                machine_id: &identity.machine_id,
                host_key: &identity.host_key,
                host_key_public: &identity.host_key_public,
            },
        };
        self.context(Some(own), with_all, self.fleet.vars_of_node(node))
    }

    fn own_context(&'a self, node: &'a Node, secrets: &'a Secrets) -> NodeOwnContext<'a> {
        let inproxy = InproxyContext::on(self.fleet, node, |service| {
            let key = secrets.i2p.get(service)?;
            Some(HiddenSecrets {
                b32: key.address(),
                keys_base64: key.to_base64(),
            })
        });
        let private_key = |tunnel: &str| Some(secrets.tunnels.get(tunnel)?.private());
        let buddy = BuddyContext::of(self.fleet, node, self.known);
        NodeOwnContext {
            inproxy: inproxy.into_iter().collect(),
            tunnels: TunnelContext::all(self.fleet, node, private_key),
            buddy: buddy.into_iter().collect(),
            guests: GuestContext::all(self.fleet, node, self.known),
            backup: vec![BackupContext::of(self.fleet, &secrets.links.backup.private)],
            move_private_key: &secrets.links.moving.private,
            monitor: texts(self.fleet.monitor_of(node)),
        }
    }

    /// What the templates are rendered from that know of no node.
    pub fn of_role(&'a self) -> Context<'a> {
        self.context(None, true, self.fleet.vars_of_role(self.role))
    }

    fn context(
        &'a self,
        own: Option<OwnContext<'a>>,
        with_all: bool,
        vars: BTreeMap<&'a str, &'a Value>,
    ) -> Context<'a> {
        let mut authorized_keys: Vec<&str> = Vec::new();
        for key in self.fleet.admin_keys.iter().chain([&self.operator.public_key]) {
            if !authorized_keys.contains(&key.as_str()) {
                authorized_keys.push(key);
            }
        }
        Context {
            own,
            all: with_all.then_some(&self.all),
            fleet: FleetContext {
                name: &self.fleet.name,
                time_servers: &self.fleet.time_servers,
                domains: self.fleet.system.domain.as_slice(),
            },
            networks: &self.networks,
            board: BoardContext {
                name: &self.board.name,
                // `ttyAML0,115200n8` is the device and how it is set.
                consoles: self
                    .board
                    .consoles
                    .iter()
                    .map(|console| console.split(',').next().unwrap_or_default())
                    .collect(),
            },
            authorized_keys,
            vars,
        }
    }
}

/// Where a node mounts the file systems of its card: absolute paths, a directory before what lies in it.
pub(super) fn mount_points(layout: &Layout) -> Vec<String> {
    let mut paths = Vec::new();
    for partition in &layout.partitions {
        match &partition.file_system {
            FileSystem::Fat => paths.push("/boot".to_owned()),
            FileSystem::Btrfs(btrfs) => {
                paths.extend(btrfs.subvolumes.iter().map(|subvolume| subvolume.mount.clone()))
            }
        }
    }
    paths.sort();
    paths
}

fn mounts(layout: &Layout, card: &PartitionIds) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for partition in &layout.partitions {
        match &partition.file_system {
            // Read-only: a power cut cannot damage what starts the node. A boot partition that is damaged all the same
            // keeps no node from starting.
            FileSystem::Fat => mounts.push(Mount {
                device: format!("PARTUUID={}", card.boot_partuuid),
                path: "/boot".to_owned(),
                r#type: "vfat",
                options: "ro,noatime,umask=0077,nofail".to_owned(),
            }),
            FileSystem::Btrfs(btrfs) => {
                let compress = match btrfs.zstd {
                    0 => String::new(),
                    level => format!(",compress=zstd:{level}"),
                };
                mounts.extend(btrfs.subvolumes.iter().map(|subvolume| Mount {
                    device: format!("PARTUUID={}", card.root_partuuid),
                    path: fstab_field(&subvolume.mount),
                    r#type: "btrfs",
                    options: format!(
                        "noatime{compress}{},subvol={}",
                        // Devices are in `/dev` alone. What containers and other nodes write is on the other subvolumes.
                        match (subvolume.data, subvolume.mount == "/") {
                            (true, _) => ",nodev,nosuid",
                            (false, true) => "",
                            (false, false) => ",nodev",
                        },
                        fstab_field(&subvolume.name)
                    ),
                }));
            }
        }
    }
    mounts.sort_by(|one, other| one.path.cmp(&other.path));
    mounts
}

/// A text as fstab(5) has it: white space in octal.
fn fstab_field(text: &str) -> String {
    text.replace('\\', "\\134")
        .replace(' ', "\\040")
        .replace('\t', "\\011")
}

fn node_context<'a>(fleet: &'a Fleet, node: &'a Node) -> NodeContext<'a> {
    let network = fleet.networks.get(&node.network);
    let (other_routers4, other_routers6) = network
        .map(|network| network::other_routers(fleet, network))
        .unwrap_or_default();
    NodeContext {
        name: &node.name,
        cluster: &node.cluster,
        slot: node.slot,
        fqdns: fleet
            .system
            .domain
            .iter()
            .map(|domain| format!("{}.{domain}", node.name))
            .collect(),
        address: node.address.map(|address| address.to_string()),
        dhcp: node.address.is_none(),
        prefix: network.map_or(32, |network| network.prefix),
        network: &node.network,
        uplink: network.map(|network| network.uplink).unwrap_or_default(),
        gateways: network
            .map(|network| network::gateways(network, node))
            .unwrap_or_default(),
        name_servers: network.map(network::name_servers).unwrap_or_default(),
        other_routers4,
        other_routers6,
        macs: node.mac.iter().map(|mac| mac.to_string()).collect(),
        role: &node.role,
        board: &node.board,
        layout: &node.layout,
        governor: node.governor.to_string(),
        zram: node.zram.as_ref().map(|zram| zram.value.0),
        ports: PortsContext::of(fleet, node),
        containers: ContainersContext::of(fleet, node),
        own: None,
    }
}
