"""The machines of the checks, connected and up.

    internet, providers ---- router ---- [uplink] ---- toc ---- home-pc
                                          |
                                       utilite ---- [datacenter] ---- red-07 ---- web
                                                          |
                                                       blue-23 ---- irc

What is in the middle comes from the folder with the rendered files of all nodes; what is around it is made here.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

import matrix
import tunnels
from namespaces import Host, Switch, cable
from rendered import Container, Node

INTERNET = ("203.0.113.9", "2001:db8::9")
# The router's two addresses, of which the fleet knows the second.
ROUTER_OUTSIDE = ("203.0.113.1", "2001:db8::1")
ROUTER = ("192.168.0.1", "fd54:ee1a:d2c5:1680::1")
ROUTER_RULES = """
table inet router {
    chain forward {
        type filter hook forward priority filter;
        iifname "inside" oifname "inside" drop
    }
}
"""
HOME_PC = ("192.168.142.10", "fd54:ee1a:d2c5:142::10")
# The names in reachability.txt of the nodes that are the two gateways.
GATEWAYS = {"toc": "red-01", "utilite": "blue-01"}
NODES = (*GATEWAYS, "red-07", "blue-23")


@dataclass
class Network:
    """All machines by the names of reachability.txt, pairs of addresses (IPv4, IPv6) by the same names, the switch of the
    datacenter, and the providers of fixed addresses."""

    machines: dict
    addresses: dict
    datacenter: Switch
    providers: list
    listeners: dict = field(default_factory=dict)

    def __getitem__(self, name):
        return self.machines[name]

    def listen(self, *names):
        """Makes these machines listen on every port of reachability.txt."""
        self.listeners |= matrix.listen_all({name: self.machines[name] for name in names})

    @contextmanager
    def free_ports(self, *names):
        """Leaves the ports of these machines to others until the block ends."""
        matrix.stop(self.listeners, names)
        try:
            yield
        finally:
            self.listen(*names)

    def ask(self, questions, seconds):
        return matrix.ask(self.machines, questions, seconds)

    def owner(self, address):
        """The machine of the table that has this address."""
        return next(name for name in self.machines if address in self.addresses[name])

    def forget_neighbours(self):
        """Some may believe what they were told by somebody else."""
        for machine in self.machines.values():
            machine.ip("neighbour", "flush", "all")


def build(folder, log):
    """The network of the nodes whose files are in `folder`; what systemd-networkd says goes to `log`."""
    outside, uplink, datacenter = Switch("outside"), Switch("uplink"), Switch("datacenter")

    internet, router, home = Host("internet"), Host("router"), Host("home-pc")
    outside.connect(internet, "eth0")
    outside.connect(router, "outside")
    uplink.connect(router, "inside")
    # A namespace goes by the name of its node, as do its files.
    nodes = {name: Node(GATEWAYS.get(name, name), folder) for name in NODES}
    for name in GATEWAYS:
        uplink.connect(nodes[name], "ethToInternet")
    cable(nodes["toc"], "ethLocalNetwork", home, "eth0")
    datacenter.connect(nodes["utilite"], "ethLocalNetwork")
    for name in ("red-07", "blue-23"):
        datacenter.connect(nodes[name], "eth0")
    # Before utilite hears of them.
    known = tunnels.kernel_has_wireguard()
    of_utilite = tunnels.tunnels(nodes["utilite"].folder)
    providers = [tunnels.Provider(number, tunnel, known) for number, tunnel in enumerate(of_utilite, 1)]
    for provider in providers:
        outside.connect(provider, "eth0")
        provider.take_its_place(nodes["utilite"].folder)
    for node in nodes.values():
        node.boot(log, known)

    # The internet's router knows the way to what is behind each gateway, but is no detour between them.
    router.routes_packets()
    router.run("nft", "--file", "-", text=ROUTER_RULES)
    bits = (24, 64)
    for index in (0, 1):
        internet.address("eth0", f"{INTERNET[index]}/{bits[index]}")
        internet.route("default", ROUTER_OUTSIDE[index])
        router.address("outside", f"{ROUTER_OUTSIDE[index]}/{bits[index]}")
        router.address("inside", f"{ROUTER[index]}/{bits[index]}")
        home.address("eth0", f"{HOME_PC[index]}/{bits[index]}")
    for provider in providers:
        provider.connect(ROUTER_OUTSIDE[0])
        for machine in (internet, router):
            machine.route(f"{provider.tunnel.address}/32", provider.tunnel.endpoint)
    for node in nodes.values():
        node.booted()
    tunnels.connect_node(nodes["utilite"], known)
    addresses = {"internet": INTERNET, "router": ROUTER, "home-pc": HOME_PC}
    for name, node in nodes.items():
        of = {file: tuple(address.split("/")[0] for address in listed) for file, listed in node.addresses().items()}
        addresses[name] = of["local"]
        if "internet" in of:
            addresses[f"{name}-up"] = of["internet"]
    for index, (to_home, to_datacenter) in enumerate(
        (("192.168.142.0/24", "172.16.0.0/16"), ("fd54:ee1a:d2c5:142::/64", "fd54:ee1a:d2c6::/48"))
    ):
        router.route(to_home, addresses["toc-up"][index])
        router.route(to_datacenter, addresses["utilite-up"][index])
        home.route("default", addresses["toc"][index])

    containers = {name: Container(name, node) for node in nodes.values() for name in node.containers()}
    for name, container in containers.items():
        addresses[name] = tuple(map(container.bare, ("ipv4.address", "ipv6.address")))
    machines = {"internet": internet, "router": router, "home-pc": home, **nodes, **containers}
    for machine in machines.values():
        machine.settled()
    network = Network(machines, addresses, datacenter, providers)
    network.listen(*machines)
    return network
