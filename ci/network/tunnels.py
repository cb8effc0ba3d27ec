"""The fixed addresses of providers: hosts on the internet, each with a tunnel to utilite.

The node's own files say everything but one thing: the private keys of the providers are theirs, so each gets a key made here,
whose public half takes the place of the one in the node's files."""

import re
import subprocess

from namespaces import Host, Namespace, run, wait_for

# What containers answer to everybody, and what they do not.
OPEN, CLOSED = {"web": "80", "irc": "6667"}, "22"
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
        self.address, self.container = re.search(
            rf'iifname "{quoted}" ip daddr (\S+) dnat ip to (\S+)', rules
        ).groups()


def tunnels(folder):
    """The tunnels of a node."""
    texts = dict(re.findall(r"^file: (\S+)\n(.*?)(?=^file: |\Z)", (folder / "etc/portadc/tunnels").read_text(), re.M | re.S))
    rules = (folder / "etc/portadc/rules.d/tunnel.nft").read_text()
    names = [name.removesuffix(".netdev") for name in texts if name.endswith(".netdev")]
    return [Tunnel(texts[f"{name}.netdev"], texts[f"{name}.network"], rules) for name in names]


def kernel_has_wireguard():
    bench = Namespace("bench-wireguard")
    command = ["ip", "-n", bench.name, "link", "add", "wg", "type", "wireguard"]
    return subprocess.run(command, capture_output=True).returncode == 0


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
            settings = re.sub(r"\[NetDev\].*?(?=\[)", "", settings, flags=re.S)
            settings = settings.replace("[WireGuard]", "[Interface]").replace("[WireGuardPeer]", "[Peer]")
            wireguard(node.within, tunnel.interface, settings, known)

        def routed():
            rules = run("ip", "-n", node.name, "-4", "rule", "show", "table", tunnel.table)
            return "fwmark" in rules and run("ip", "-n", node.name, "-4", "route", "show", "table", tunnel.table)

        wait_for(f"table {tunnel.table} at {node.name}", routed)


def counter(node, name):
    text = node.run("nft", "list", "counter", "inet", "tunnel", name)
    return int(re.search(r"packets (\d+)", text)[1])


def elsewhere(node, provider, work):
    """A provider that is known by name and has got another address. Returns faults."""
    name = "provider.example.net"
    tunnel = provider.tunnel
    key = provider.run("wg", "pubkey", text=provider.key).strip()
    port = tunnel.endpoint_port
    listed, hosts = work / "tunnels", work / "hosts"
    text = (node.folder / "etc/portadc/tunnels").read_text()
    listed.write_text(text.replace(f"Endpoint={tunnel.endpoint}:{port}\n", f"Endpoint={name}:{port}\n"))
    hosts.write_text("127.0.0.1 localhost\n")
    node.within("mount", "--bind", hosts, "/etc/hosts")
    faults = []

    def endpoint(wanted, when, succeeds=True):
        command = ["nsenter", f"--target={node.networkd.pid}", "--net", "--mount", "/usr/lib/portadc/tunnel-endpoints", listed]
        done = subprocess.run(command, capture_output=True, text=True)
        found = node.within("wg", "show", tunnel.interface, "endpoints").split()[1]
        if found != wanted or (done.returncode == 0) != succeeds:
            faults.append(f"{when}, {tunnel.interface} leads to {found}, not to {wanted}: {done.stderr.strip()}")

    old = f"203.0.113.250:{port}"
    node.within("wg", "set", tunnel.interface, "peer", key, "endpoint", old)
    endpoint(old, "while it is in touch")
    # It has not been heard of since.
    node.within("wg", "set", tunnel.interface, "peer", key, "remove")
    settings = ("endpoint", old, "allowed-ips", "0.0.0.0/0", "persistent-keepalive", "1")
    node.within("wg", "set", tunnel.interface, "peer", key, *settings)
    endpoint(old, "where its name is not found", succeeds=False)
    hosts.write_text(f"127.0.0.1 localhost\n{tunnel.endpoint} {name}\n")
    endpoint(f"{tunnel.endpoint}:{port}", "when its name is that of another address")
    wait_for(
        f"handshake of {tunnel.interface}",
        lambda: node.within("wg", "show", tunnel.interface, "latest-handshakes").split()[1] != "0",
    )
    node.within("umount", "/etc/hosts")
    return faults


def check(node, providers, machines, addresses, ask, work):
    """Returns faults and a text. `ask` is matrix.ask."""
    faults = [line for line in node.log.read_text().splitlines() if re.search(r"50-wg-\S+:\d+:", line)]
    for provider in providers:
        wait_for(f"handshake of {provider.name}", provider.has_handshake, 40)
    internet = addresses["internet"][0]
    owner = {address: name for name in machines for address in addresses.get(name, ())}

    def tried(tunnels_asked, what=None):
        asked = [(tunnel, what or OPEN[owner[tunnel.container]]) for tunnel in tunnels_asked]
        questions = [("internet", tunnel.interface, tunnel.address, port) for tunnel, port in asked]
        answers = ask(machines, questions, 3)
        return [answers[question] for question in questions]

    every = [provider.tunnel for provider in providers]
    for tunnel, answer in zip(every, tried(every)):
        wanted = f"{owner[tunnel.container]} {internet}"
        if answer != wanted:
            faults.append(f"internet asks {tunnel.address} by {tunnel.interface}: {answer}, not {wanted!r}")
    faults += [f"{tunnel.address} answers on {CLOSED}" for tunnel, said in zip(every, tried(every, CLOSED)) if said]

    first = providers[0]
    faults += elsewhere(node, first, work)
    if not tried([first.tunnel])[0]:
        faults.append(f"{first.tunnel.address} does not answer any more since its provider was looked up again")

    # A provider that sends what is none of its business.
    first.route(f"{addresses['utilite'][0]}/32", "0.0.0.0", "dev", first.interface)
    machines = {**machines, "provider": first}
    before = counter(node, "foreign"), counter(node, "spoofed-address")
    question = ("provider", "utilite", addresses["utilite"][0], "22")
    if ask(machines, [question], 2)[question]:
        faults.append("a provider reaches utilite itself through its tunnel")
    first.ip("address", "add", "192.168.0.77/32", "dev", "lo")
    first.ip("route", "replace", f"{first.tunnel.address}/32", "dev", first.interface, "src", "192.168.0.77")
    question = ("provider", "container", first.tunnel.address, OPEN[owner[first.tunnel.container]])
    if ask(machines, [question], 2)[question]:
        faults.append("a provider reaches a container in the name of the uplink")
    first.ip("route", "replace", f"{first.tunnel.address}/32", "dev", first.interface)
    for name, old in zip(("foreign", "spoofed-address"), before):
        if counter(node, name) <= old:
            faults.append(f"`inet tunnel {name}` counted nothing")

    # That this can fail: an answer without its table goes nowhere, not even astray.
    old = counter(node, "astray")
    node.ip("-4", "rule", "del", "table", first.tunnel.table)
    if tried([first.tunnel])[0]:
        faults.append(f"without its table, {first.tunnel.address} should not answer")
    if counter(node, "astray") <= old:
        faults.append("`inet tunnel astray` counted nothing")
    if len(every) > 1 and not tried(every[1:])[0]:
        faults.append(f"{every[1].address} should not care for what {first.tunnel.interface} does")
    kind = "the kernel's WireGuard" if first.known else "wireguard-go"
    return faults, f"{len(every)} fixed addresses, each answered through its own tunnel ({kind})"
