"""What is around the nodes: the internet, its router, the switches that the nodes are plugged into."""

import ipaddress
from dataclasses import dataclass

import matrix
from guests import TRAFFIC, Guest
from namespaces import Host, cable

INTERNET = ("203.0.113.9", "2001:db8::9")
# The router's addresses there.
ROUTER_OUTSIDE = ("203.0.113.1", "2001:db8::1")
# The names in the table of the nodes that are booted.
NODES = {"utilite": "blue-01", "red-07": "red-07", "blue-23": "blue-23"}


class Outsider(Host):
    """A machine in a namespace of its own that asks as containers do."""

    def ask(self, seconds, questions):
        return self.run("perl", TRAFFIC, "ask", seconds, *questions).splitlines()


class Bench(Outsider):
    """The internet's router, which has the switches in it."""

    def switch(self, name):
        """An unmanaged switch: it forwards whatever it gets."""
        self.ip("link", "add", name, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        # What it is not given an address for, it has no part in.
        self.sysctl(f"net.ipv4.conf.{name}.arp_ignore", 1)
        self.sysctl(f"net.ipv6.conf.{name}.addr_gen_mode", 1)
        self.ip("link", "set", name, "up")

    def tap(self, name, switch):
        self.ip("tuntap", "add", "mode", "tap", "name", name)
        self.sysctl(f"net.ipv6.conf.{name}.disable_ipv6", 1)
        self.ip("link", "set", name, "master", switch, "up")
        return name


@dataclass
class World:
    """All machines. `nodes` and `addresses` go by the names in the table, `outer` are the router's addresses outside, `told`
    has what portadc found on each node."""

    fleet: dict
    internet: Outsider
    bench: Bench
    nodes: dict
    containers: dict
    addresses: dict
    outer: tuple
    told: dict

    def listen(self, *names):
        """Has these containers answer on the ports of the table and of their services."""
        for name in names:
            served = {service["port"] for service in self.fleet["services"].values() if service["container"] == name}
            self.containers[name].listen(sorted({*matrix.PORTS, *map(str, served)}))


def build(fleet, portadc, work):
    """The machines outside, and the nodes, which are starting."""
    uplink = fleet["networks"]["uplink"]
    internet, bench = Outsider("internet"), Bench("router")
    cable(internet, "eth0", bench, "outside")
    for switch in ("uplink", "datacenter"):
        bench.switch(switch)
    bench.routes_packets()
    bits = (24, 64)
    for index, (subnet, gateway) in enumerate((("subnet", "gateway"), ("subnet6", "gateway6"))):
        internet.address("eth0", f"{INTERNET[index]}/{bits[index]}")
        bench.address("outside", f"{ROUTER_OUTSIDE[index]}/{bits[index]}")
        internet.route("default", ROUTER_OUTSIDE[index])
        bench.address("uplink", f"{uplink[gateway]}/{ipaddress.ip_network(uplink[subnet]).prefixlen}")
    for destination, via in uplink["routes"].items():
        bench.route(destination, via)

    nodes = {}
    for name, node in NODES.items():
        taps = [bench.tap(node, "datacenter")]
        if name == "utilite":
            taps.append(bench.tap(f"{node}-up", "uplink"))
        nodes[name] = Guest(bench, node, taps, portadc, work)
    return internet, bench, nodes
