"""What a container, and a node, might send in another's name, and what comes out at a switch."""

import json
import subprocess
import sys

import frames
from frames import ALL_NODES, ARP, BROADCAST, EXPERIMENT, IPV4, IPV6, ethernet
from namespaces import HERE

STRANGER = "02:00:00:00:66:66"


def container_frames(container, world):
    """Name, frame and counter of each. None: there is no hook that would count it, as a node never bridges."""
    own_mac, gateway = container.network["hwaddr"], container.node.mac(container.network["veth.pair"])
    own4, own6, internet4, internet6 = *map(container.bare, ("ipv4.address", "ipv6.address")), *world.internet
    local = frames.link_local(own_mac)

    def to_internet(name, source=own4, sender=own_mac):
        destination, kind = (internet6, IPV6) if ":" in source else (internet4, IPV4)
        return ethernet(sender, gateway, kind, frames.udp(source, destination, 4444, 9, frames.marker(name)))

    return (
        [
            ("mac", to_internet("mac", sender=STRANGER), "inet guard spoofed-mac"),
            ("mac6", to_internet("mac6", own6, STRANGER), "inet guard spoofed-mac"),
            ("ipv4-node", to_internet("ipv4-node", world.other_node[0]), "inet guard spoofed-address"),
            ("ipv4-other", to_internet("ipv4-other", world.other_container[0]), "inet guard spoofed-address"),
            ("ipv6-node", to_internet("ipv6-node", world.other_node[1]), "inet guard spoofed-address"),
            ("ipv6-other", to_internet("ipv6-other", world.other_container[1]), "inet guard spoofed-address"),
            *broadcasts(own_mac, own4, local, world, "inet guard"),
            ("arp-own-gateway", arp(own_mac, own_mac, "169.254.1.1", "arp-own-gateway"), "arp guard spoofed-arp"),
            ("arp-gateway", arp(own_mac, own_mac, world.router[0], "arp-gateway"), "arp guard spoofed-arp"),
            ("arp-mac", arp(own_mac, STRANGER, own4, "arp-mac"), "arp guard spoofed-arp"),
            ("nd-gateway", multicast(own_mac, frames.neighbour_advert(own6, world.router[1], "nd-gateway")), None),
            ("type", ethernet(own_mac, BROADCAST, EXPERIMENT, frames.marker("type")), None),
            ("vlan", frames.vlan(to_internet("vlan")), None),
        ],
        ("honest", to_internet("honest")),
        ("honest6", to_internet("honest6", own6)),
    )


def node_frames(node, container, world):
    """The same from the node's own port, past everything but what guards the port."""
    own_mac = node.mac("eth0")
    own4, own6 = (address.split("/")[0] for address in node.addresses()["local"])
    local = frames.link_local(own_mac)
    table = "netdev guard-uplink"

    def to_all(name, source, sender=own_mac):
        destination, kind = (ALL_NODES[1], IPV6) if ":" in source else ("255.255.255.255", IPV4)
        return ethernet(sender, BROADCAST, kind, frames.udp(source, destination, 4444, 9, frames.marker(name)))

    return (
        [
            ("mac", to_all("mac", own4, STRANGER), f"{table} spoofed-mac"),
            ("ipv4-node", to_all("ipv4-node", world.other_node[0]), f"{table} spoofed-address"),
            ("ipv4-router", to_all("ipv4-router", world.router[0]), f"{table} spoofed-address"),
            ("ipv6-node", to_all("ipv6-node", world.other_node[1]), f"{table} spoofed-address"),
            ("ipv6-local", to_all("ipv6-local", "fe80::1"), f"{table} spoofed-address"),
            *broadcasts(own_mac, own4, local, world, table),
            ("arp-gateway", arp(own_mac, own_mac, world.router[0], "arp-gateway"), f"{table} spoofed-arp"),
            ("arp-container", arp(own_mac, own_mac, container.bare("ipv4.address"), "arp-container"), f"{table} spoofed-arp"),
            ("arp-mac", arp(own_mac, STRANGER, own4, "arp-mac"), f"{table} spoofed-arp"),
            (
                "nd-gateway",
                multicast(own_mac, frames.neighbour_advert(own6, world.router[1], "nd-gateway")),
                f"{table} spoofed-nd",
            ),
            (
                "nd-container",
                multicast(own_mac, frames.neighbour_advert(own6, container.bare("ipv6.address"), "nd-container")),
                f"{table} spoofed-nd",
            ),
            (
                "nd-own",
                multicast(own_mac, frames.neighbour_advert(world.router[1], own6, "nd-own")),
                f"{table} spoofed-address",
            ),
            ("type", ethernet(own_mac, BROADCAST, EXPERIMENT, frames.marker("type")), f"{table} foreign-type"),
            ("vlan", frames.vlan(to_all("vlan", own4)), f"{table} foreign-type"),
        ],
        ("honest", to_all("honest", own4)),
        ("honest6", to_all("honest6", own6)),
        (
            "honest-nd",
            multicast(own_mac, frames.neighbour_advert(own6, own6, "honest-nd")),
        ),
    )


def broadcasts(own_mac, own4, local, world, table):
    """What plays the router or the server of addresses, under one's own name."""
    return [
        ("dhcp", ethernet(own_mac, BROADCAST, IPV4, frames.dhcp_offer(own4, "dhcp")), f"{table} rogue-dhcp"),
        ("dhcpv6", multicast(own_mac, frames.dhcpv6_advertise(local, "dhcpv6")), f"{table} rogue-dhcp"),
        ("ra", multicast(own_mac, frames.router_advert(local, "ra")), f"{table} rogue-ra"),
        (
            "redirect",
            ethernet(own_mac, BROADCAST, IPV4, frames.redirect(own4, world.other_node[0], own4, "redirect")),
            f"{table} rogue-redirect",
        ),
    ]


def arp(sender, claimed_mac, claimed_address, name):
    return ethernet(sender, BROADCAST, ARP, frames.arp_reply(claimed_mac, claimed_address, name))


def multicast(sender, packet):
    return ethernet(sender, ALL_NODES[0], IPV6, packet)


class Capture:
    """What comes in at a switch by one of its ports."""

    def __init__(self, switch, port):
        command = switch.command(sys.executable, "-B", HERE / "wire.py", "capture", port)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def end(self):
        """How often each marker was seen."""
        return json.loads(self.process.communicate()[0])


def send(machine, interface, *frames_to_send):
    text = "".join(frame.hex() + "\n" for frame in frames_to_send)
    machine.run(sys.executable, "-B", HERE / "wire.py", "send", interface, text=text)
