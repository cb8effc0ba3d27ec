//! The text of a new fleet: few lines, each with what else it could be.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::choices::Choices;

/// `images/fleet.toml`
pub fn text(choices: &Choices) -> String {
    let Choices {
        fleet,
        board,
        nodes,
        subnet,
        gateway,
        ..
    } = choices;
    let [a, b, c, _] = subnet.trunc().network().octets();
    let keys: Vec<String> = choices.admin_keys.iter().map(|key| quoted(key)).collect();
    let keys = match keys.as_slice() {
        [] => "[]".to_owned(),
        keys => format!("[\n    {},\n]", keys.join(",\n    ")),
    };
    let name_servers: Vec<String> = choices
        .name_servers
        .iter()
        .map(|server| format!("\"{server}\""))
        .collect();
    let name_servers = name_servers.join(", ");
    let layout = if choices.containers { "card" } else { "gateway" };
    let slots = match nodes {
        1 => "1".to_owned(),
        _ => format!("1-{nodes}"),
    };
    let dhcp = match choices.containers {
        true => "",
        false => "# Or \"dhcp\": the addresses that a DHCP server gives them.\n",
    };
    let (role, uplink, containers, bus) = match choices.containers {
        true => {
            let apart = apart_from(*subnet);
            (
                ROLE_WITH_CONTAINERS,
                UPLINK,
                container(fleet, apart),
                pattern(apart),
            )
        }
        false => (ROLE, "", String::new(), String::new()),
    };
    format!(
        r#"#:schema ../schemas/fleet.json
#
# A fleet of boards, one card each. `portadc check` holds this file against every rule; `portadc show {fleet}-01` says where each
# value of a node comes from; `portadc list` says which boards, layouts and overlays there are. After a change: `portadc check`, then
# `portadc build --all`.

# UUIDs and disk signatures are derived from it: never change it once cards are flashed.
name = "{fleet}"

# OpenSSH public keys that may log in as root on every node, one line of a `.pub` file each. The first build makes a key besides, in
# identity/, which is to be kept: ssh -i identity/operator_ed25519 -o UserKnownHostsFile=identity/known_hosts root@{first}
admin-keys = {keys}

# NTP servers, names or addresses: most boards have no clock that survives a power cut.
time-servers = ["0.pool.ntp.org", "1.pool.ntp.org", "2.pool.ntp.org"]

# Where nodes are, in which language, and who logs in beside root:
#
# [system]
# time-zone = "Europe/Vienna"
# locale = "de_AT.UTF-8"
#
# [users.anna]
# keys = ["ssh-ed25519 ..."]
# sudo = true

# What every node has. A cluster or a single node may say otherwise with the same keys.
[defaults]
network = "lan"
role = "node"
# A folder of boards/, here or stock: `portadc list`.
board = "{board}"
# The partitions of a card: a file of images/layouts/, here or stock. `card` has subvolumes for containers, `gateway` has none.
layout = "{layout}"
# How the processor's clock is chosen: performance, ondemand or powersave.
governor = "ondemand"

# The network that the nodes are plugged into. Its router and its name servers need not be nodes of the fleet.
[networks.lan]
subnet = "{subnet}"
gateway = "{gateway}"
name-servers = [{name_servers}]
# With IPv6 addresses as well; the cluster below then has `address6 = "fd00:1:2:3::{{slot}}"`:
# subnet6 = "fd00:1:2:3::/64"
# gateway6 = "fd00:1:2:3::1"
{uplink}
{role}
# Nodes that share a power supply and a switch. {{slot}} is a node's number in it, {{slot:02}} the same with two digits.
[clusters.{fleet}]
slots = "{slots}"
names = "{fleet}-{{slot:02}}"
{dhcp}address = "{a}.{b}.{c}.1{{slot:02}}"
{bus}# The ports of its switch, and what its supply gives; both are held against what the nodes need:
# switch = {{ ports = 8, uplinks = 1 }}
# supply = {{ volts = 5.0, amperes = 10.0 }}
#
# What one board draws in amperes, as you measured it. A supply needs to be told this of the governor above:
# [power.ondemand]
# idle = 0.29
# busy = 0.65

{containers}# One node's exception from what stands above:
#
# [nodes.{fleet}-01]
# address = "{example}"
# mac = "02:00:00:00:00:01"
"#,
        subnet = subnet.trunc(),
        first = Ipv4Addr::new(a, b, c, 101),
        example = Ipv4Addr::new(a, b, c, 50),
    )
}

const ROLE: &str = r#"# What nodes are for: the overlays that are laid over the base system, in this order. A folder of overlays/ here takes the place of the
# stock one of its name; `portadc eject overlay/NAME` copies one to edit. What is for another base is left out: `gentoo` and
# `openrc` with the source set `debian`.
#
# Others that there are: `zram` (compressed swap, with `zram = "256 MiB"` in [defaults]); `firewall` and `guard`, which let in nothing
# but what [[allow]] names, so do not add them without this:
#
# [[allow]]
# from = ["lan"]
# to = ["nodes"]
# tcp = [22]
# icmp = true
[roles.node]
overlays = ["common", "gentoo", "first-start", "openrc", "power"]
"#;

const ROLE_WITH_CONTAINERS: &str = r#"# What nodes are for: the overlays that are laid over the base system, in this order. A folder of overlays/ here takes the place of the
# stock one of its name; `portadc eject overlay/NAME` copies one to edit. What is for another base is left out: `gentoo` and
# `openrc` with the source set `debian`. A container starts as a snapshot of the base with the overlays of `container-image`.
#
# Others that there are: `backup` (containers and /srv, kept by the node's `buddy`); `zram` (compressed swap, with
# `zram = "256 MiB"` in [defaults]).
[roles.node]
overlays = ["common", "gentoo", "first-start", "openrc", "power", "firewall", "guard", "routes", "hypervisor", "move"]
container-image = ["container", "first-start"]
containers = true

# Who may open connections to whom; nobody else does. Names of networks and containers, `containers` and `nodes` for all of them.
[[allow]]
from = ["lan"]
to = ["containers", "nodes"]
tcp = [22]
icmp = true

# Nodes look after each other, and move containers to each other.
[[allow]]
from = ["nodes"]
to = ["nodes"]
tcp = [22]
icmp = true
"#;

const UPLINK: &str = r#"# What containers send elsewhere leaves with the address of their node, so that the router needs to know nothing of them. Else it
# could be "routed" (the router has a route to the containers of each node), or "proxy-arp" (containers have addresses of this network).
uplink = "masquerade"
"#;

/// The first two bytes of networks that are not the nodes': containers have theirs there.
fn apart_from(subnet: Ipv4Net) -> [u8; 2] {
    let is_free = |[a, b]: &[u8; 2]| {
        let net = Ipv4Net::new_assert(Ipv4Addr::new(*a, *b, 0, 0), 16);
        !net.contains(&subnet) && !subnet.contains(&net)
    };
    // No network is in both.
    [[10, 200], [172, 31]]
        .into_iter()
        .find(is_free)
        .unwrap_or([192, 168])
}

/// The pattern of the nodes' networks of containers.
fn pattern([a, b]: [u8; 2]) -> String {
    format!(
        "# The network of each node's containers. Nodes know the way to those of all others.\n\
         containers = \"{a}.{b}.{{slot}}.0/24\"\n"
    )
}

/// An example of a container.
fn container(fleet: &str, [a, b]: [u8; 2]) -> String {
    format!(
        "# What nodes run. A container keeps its data for as long as its card lives.\n\
         #\n\
         # [containers.web]\n\
         # node = \"{fleet}-01\"\n\
         # address = \"{a}.{b}.1.2\"\n\
         # memory = \"512 MiB\"\n\
         # disk = \"8 GiB\"\n\n"
    )
}

/// `text` as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
