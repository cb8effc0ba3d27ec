"""The fixed addresses of providers: hosts on the internet, each with a tunnel to utilite.

The node's own files say everything but one thing: the private keys of the providers are theirs, so each gets a key made here,
whose public half takes the place of the one in the node's files."""

import re
import subprocess

from namespaces import Host, Namespace, run, wait_for

BITS = 24


class Tunnel:
    """One of utilite's tunnels, from the files that are laid for systemd-networkd."""

    def __init__(self, netdev, network, rules):
        def value(text, pattern):
            return re.search(rf"^{pattern}$", text, re.MULTILINE)[1]

        self.netdev = netdev
        self.interface = value(netdev, "Name=(.+)")
        self.endpoint, self.endpoint_port = value(netdev, "Endpoint=(.+)").rsplit(":", 1)
        self.node_key = value(netdev, "PrivateKey=(.+)")
        self.provider_key = value(netdev, "PublicKey=(.+)")
        self.table = value(network, "Table=(.+)")
        quoted = re.escape(self.interface)
        self.address, self.container = re.search(rf'iifname "{quoted}" ip daddr (\S+) dnat ip to (\S+)', rules).groups()


def tunnels(folder):
    """The tunnels of a node."""
    texts = dict(
        re.findall(r"^file: (\S+)\n(.*?)(?=^file: |\Z)", (folder / "etc/portadc/tunnels").read_text(), re.MULTILINE | re.DOTALL)
    )
    rules = (folder / "etc/portadc/rules.d/tunnel.nft").read_text()
    names = [name.removesuffix(".netdev") for name in texts if name.endswith(".netdev")]
    return [Tunnel(texts[f"{name}.netdev"], texts[f"{name}.network"], rules) for name in names]


def kernel_has_wireguard():
    bench = Namespace("bench-wireguard")
    command = ["ip", "-n", bench.name, "link", "add", "wg", "type", "wireguard"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def wireguard(within, interface, settings, known):
    """Makes `interface` where `within` runs commands, with the settings of `wg setconf`; the kernel does it, or, where that
    has no WireGuard, a program."""
    if not known:
        # It goes on in the background, and is there when it can be asked.
        ready = 'timeout 10 sh -c "until [ -S /run/wireguard/$1.sock ]; do sleep 0.1; done"'
        within("sh", "-c", f'wireguard-go "$1" >/run/wg.log 2>&1 && {ready}', "wg", interface)
    within("sh", "-c", 'echo "$2" >/run/wg.conf && wg setconf "$1" /run/wg.conf', "wg", interface, settings)


class Provider(Host):
    """An outside host that has a fixed address and hands it on."""

    def __init__(self, number, tunnel, known):
        super().__init__(f"provider-{number}")
        self.tunnel, self.known = tunnel, known
        self.interface = f"wg-provider-{number}"[:15]
        self.key = self.run("wg", "genkey").strip()

    def take_its_place(self, folder):
        """Puts its key where the node knows that of the real provider."""
        path = folder / "etc/portadc/tunnels"
        public = self.run("wg", "pubkey", text=self.key).strip()
        path.write_text(path.read_text().replace(f"PublicKey={self.tunnel.provider_key}\n", f"PublicKey={public}\n"))

    def connect(self, router):
        """Its network is up: now the tunnel. It is a provider that may send anything."""
        self.routes_packets()
        self.address("eth0", f"{self.tunnel.endpoint}/{BITS}")
        self.route("default", router)
        public = self.run("wg", "pubkey", text=self.tunnel.node_key).strip()
        if self.known:
            self.ip("link", "add", self.interface, "type", "wireguard")
        settings = f"[Interface]\nPrivateKey={self.key}\nListenPort={self.tunnel.endpoint_port}\n"
        wireguard(self.run, self.interface, f"{settings}[Peer]\nPublicKey={public}\nAllowedIPs=0.0.0.0/0\n", self.known)
        self.ip("link", "set", self.interface, "mtu", "1420", "up")
        self.route(f"{self.tunnel.address}/32", "0.0.0.0", "dev", self.interface)

    def route(self, destination, via, *more):
        # By a tunnel there is nobody to name.
        self.ip("route", "add", destination, *([] if via == "0.0.0.0" else ["via", via]), *more)

    def has_handshake(self):
        text = self.run("wg", "show", self.interface, "latest-handshakes")
        return text.split()[-1:] not in ([], ["0"])


def connect_node(node, known):
    """Utilite's end, where the kernel left it to systemd-networkd alone and that could not make it."""
    for tunnel in tunnels(node.folder):
        if not known:
            settings = node.within("cat", f"/run/50-{tunnel.interface}.netdev")
            settings = re.sub(r"\[NetDev\].*?(?=\[)", "", settings, flags=re.DOTALL)
            settings = settings.replace("[WireGuard]", "[Interface]").replace("[WireGuardPeer]", "[Peer]")
            wireguard(node.within, tunnel.interface, settings, known)

        def routed(table=tunnel.table):
            rules = run("ip", "-n", node.name, "-4", "rule", "show", "table", table)
            return "fwmark" in rules and run("ip", "-n", node.name, "-4", "route", "show", "table", table)

        wait_for(f"table {tunnel.table} at {node.name}", routed)


def counter(node, name):
    text = node.run("nft", "list", "counter", "inet", "tunnel", name)
    return int(re.search(r"packets (\d+)", text)[1])
