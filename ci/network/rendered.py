"""Machines of the fleet: what portadc lays on a node, at work in a namespace. Its own programs do the work: the node's
scripts, nft and systemd-networkd, which find the files at their places."""

import re
import subprocess
from contextlib import contextmanager
from pathlib import Path

from namespaces import Host, Namespace, cable, run, wait_for

# In the mode `router`, LXC gives a container default routes to these, and has the node answer for them on its cable.
GATEWAYS = ("169.254.1.1", "fe80::1")

# Runs within a mount namespace of its own: the node's files over the host's, then what its units do, then networkd, which
# stays. With a /sys that cannot be written to it does without udev.
BOOT = r"""
set -eu
node=$1
wireguard=$2
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/netif /run/systemd/network
mount -t overlay -o "lowerdir=$node/etc:/etc" overlay /etc
mount -t overlay -o "lowerdir=$node/usr/lib:/usr/lib" overlay /usr/lib
[ ! -d "$node/usr/bin" ] || mount -t overlay -o "lowerdir=$node/usr/bin:/usr/bin" overlay /usr/bin
mount -t sysfs -o ro sysfs /sys
chown -R systemd-network:systemd-network /run/systemd/netif
[ ! -x /usr/lib/portadc/container-routes ] || /usr/lib/portadc/container-routes
[ ! -x /usr/lib/portadc/tunnels ] || /usr/lib/portadc/tunnels
# Where the kernel has no WireGuard, a program makes the devices, and networkd is not to wait for its own.
[ "$wireguard" = True ] || find /run/systemd/network -name "*.netdev" -exec mv {} /run/ ";"
nft --file /etc/nftables.conf
[ ! -x /usr/lib/portadc/guard-uplink ] || /usr/lib/portadc/guard-uplink
[ ! -e /etc/portadc/uplink.nft ] || nft --file /etc/portadc/uplink.nft
exec /usr/lib/systemd/systemd-networkd
"""


class Node(Namespace):
    """A node of the fleet, from the folder with its files. Ports get their names from the caller, as the .link files
    would name them."""

    def __init__(self, name, folder):
        super().__init__(name)
        self.folder = folder / name
        self.networkd = None

    def boot(self, log, wireguard):
        """Loads its rules and configures its network. `wireguard`: whether the kernel can make tunnels."""
        self.sysctl_d(self.folder)
        self.log = log / f"{self.name}.log"
        with open(self.log, "w") as output:
            command = self.command("unshare", "--mount", "sh", "-c", BOOT, "boot", self.folder, wireguard)
            self.networkd = subprocess.Popen(command, stdout=output, stderr=output)

    def booted(self):
        """Waits until the network is as it was described."""
        wait_for(f"systemd-networkd at {self.name}", self.networkd_runs)
        self.settled([address for addresses in self.addresses().values() for address in addresses])
        wait_for(f"routes at {self.name}", self.has_all_routes)

    def networkd_runs(self):
        if self.networkd.poll() is not None:
            raise RuntimeError(f"{self.name} did not come up:\n{self.log.read_text()}")
        return "systemd-network" in Path(f"/proc/{self.networkd.pid}/comm").read_text()

    def within(self, *command):
        """Runs a command where the node's files are."""
        return run("nsenter", f"--target={self.networkd.pid}", "--net", "--mount", *command)

    def start_within(self, *command, log=subprocess.DEVNULL):
        """Starts a program where the node's files are."""
        return subprocess.Popen(
            ["nsenter", f"--target={self.networkd.pid}", "--net", "--mount", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def load_rules(self):
        """Loads its rules anew: what they counted is forgotten, and so are connections."""
        self.within("nft", "--file", "/etc/nftables.conf")
        self.within("sh", "-euc", "[ ! -x /usr/lib/portadc/guard-uplink ] || /usr/lib/portadc/guard-uplink")
        self.run("conntrack", "-F")

    @contextmanager
    def without_rules(self):
        """Lets everything through until the block ends."""
        self.run("nft", "flush", "ruleset")
        try:
            yield
        finally:
            self.load_rules()

    def faults_of_units(self):
        """What systemd finds wrong with the node's own units, whose programs and dependencies it looks for."""
        units = [path.name for folder in ("etc", "usr/lib") for path in self.folder.glob(f"{folder}/systemd/system/*.service")]
        return self.within("sh", "-c", 'systemd-analyze verify --recursive-errors=no --man=no "$@" 2>&1', "verify", *units)

    def addresses(self):
        """Addresses with prefixes, by the file that has them: `local`, `internet`."""
        files = self.folder.glob("etc/systemd/network/*.network")
        return {re.sub(r"^\d+-", "", path.stem): re.findall(r"^Address=(.+)$", path.read_text(), re.MULTILINE) for path in files}

    def has_all_routes(self):
        """Whether the kernel has every route that its files name. Those to its own containers come with them."""
        texts = [path.read_text() for path in self.folder.glob("etc/systemd/network/*.network")]
        if Path(self.folder / "usr/lib/portadc/container-routes").exists():
            texts.append(self.within("cat", "/run/systemd/network/10-local.network.d/containers.conf"))
        wanted = {route for text in texts for route in re.findall(r"^Destination=(.+)$", text, re.MULTILINE)}
        wanted |= {"default" for text in texts if re.search(r"^\[Network\](?:\n.+)*\nGateway=", text, re.MULTILINE)}
        found = [route["dst"] for family in ("-4", "-6") for route in self.ip_json(family, "route")]
        return wanted <= set(found)

    def containers(self):
        """What LXC is told of each of its containers."""
        containers = {}
        path = self.folder / "etc/portadc/containers"
        for line in path.read_text().splitlines() if path.exists() else []:
            if matched := re.match(r"(\S+) config lxc\.net\.0\.(\S+) = (.+)", line):
                name, key, value = matched.groups()
                containers.setdefault(name, {})[key] = value
        return containers

    def counters(self):
        """Packets by table and counter: `inet guard spoofed-mac`."""
        counters = {}
        for family, table in (("inet", "guard"), ("arp", "guard"), ("netdev", "guard-uplink")):
            text = self.run("nft", "list", "counters", "table", family, table)
            for name, packets in re.findall(r"counter (\S+) \{\s*packets (\d+)", text):
                counters[f"{family} {table} {name}"] = int(packets)
        return counters


class Container(Host):
    """A container, as LXC gives it its network: a cable to its node, which has a route to each of its addresses."""

    def __init__(self, name, node):
        super().__init__(name)
        self.node = node
        self.network = network = node.containers()[name]
        cable(node, network["veth.pair"], self, "eth0", macs=(None, network["hwaddr"]))
        node.sysctl(f"net.ipv6.conf.{network['veth.pair']}.proxy_ndp", 1)
        for gateway in GATEWAYS:
            node.ip("neighbour", "add", "proxy", gateway, "dev", network["veth.pair"])
        for key, gateway in zip(("ipv4.address", "ipv6.address"), GATEWAYS):
            if key not in network:
                continue
            self.address("eth0", network[key])
            node.ip("route", "add", network[key], "dev", network["veth.pair"])
            self.route("default", gateway, "dev", "eth0", "onlink")

    def bare(self, key):
        return self.network[key].split("/")[0]
