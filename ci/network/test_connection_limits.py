"""Whoever wants all of what there is for all: connections, neighbours, places of sshd. Each takes what it is given, which is
less than there is, and the others get through meanwhile. What is sent is bounded, and what is left behind goes."""

import os
import sys

import frames
import pytest
import sshd
from frames import IPV4, IPV6, ethernet
from namespaces import HERE
from rendered import GATEWAYS

# By the rules: what one container opens, what one source has at a node, at a router from outside.
OF_CONTAINER, OF_SOURCE, OF_OUTSIDE = 2048, 512, 512
# By the rules: neighbours at a container's cable, and some that come after the first.
OF_CABLE = 150
# By sshd's settings: what one source has that did not log in.
OF_STRANGER = 8


def opened(node, source):
    """How many connections a node's kernel knows that come from `source`, an address or a network."""
    family = "ipv6" if ":" in source else "ipv4"
    return len(node.run("conntrack", "-L", "-f", family, "-s", source).splitlines())


def neighbours(node, interface):
    """How many neighbours it has or looks for."""
    return sum(len(node.ip_json(family, "neighbour", "show", "dev", interface)) for family in ("-4", "-6"))


def spray(machine, interface, packets, a_second=4000):
    """Sends packets, as (destination's MAC, packet), so many a second."""
    kind = {4: IPV4, 6: IPV6}
    own = machine.mac(interface)
    text = "".join(ethernet(own, to, kind[packet[0] >> 4], packet).hex() + "\n" for to, packet in packets)
    machine.run(sys.executable, "-B", HERE / "wire.py", "send", interface, a_second, text=text)


def udp_from_new_ports(source, destination, count):
    return [frames.udp(source, destination, 20000 + number, 9, b"more") for number in range(count)]


def has_its_share(node, source, limit):
    """That a source has no more than `limit` connections at a node, and tried to have more."""
    assert limit // 2 < opened(node, source) <= limit, f"{source} at {node.name}"


def reach(network, *pairs):
    """That these reach each other all the same."""
    questions = [(asker, asked, network.addresses[asked][family], port) for asker, asked, port in pairs for family in (0, 1)]
    answers = network.ask(questions, 6)
    assert [question for question in questions if not answers[question]] == []


@pytest.fixture(autouse=True)
def forget(request):
    """What is left of one test is no part of the next: new rules count anew, and connections are none."""
    yield
    if "network" in request.fixturenames:
        for name in ("red-07", "utilite"):
            request.getfixturevalue("network")[name].load_rules()


def test_neighbours_that_are_needed_stay(network, tmp_path):
    """What a node and its containers cannot do without is there whatever else is, and does not count."""
    node, container = network["red-07"], network["web"]
    for machine in (node, container):
        machine.ip("neighbour", "flush", "all")
    # What LXC says of the container: a process that is in there.
    within = container.start("keep", "9001")
    stand_in = tmp_path / "lxc-info"
    stand_in.write_text(f"#!/bin/sh\necho {within.pid}\n")
    stand_in.chmod(0o755)
    within.stdout.readline()
    for _ in range(2):
        node.within("env", f"PATH={tmp_path}:{os.environ['PATH']}", "/usr/lib/portadc/pin-neighbours")
    within.communicate()
    places = [(node, "eth0", address) for address in network.addresses["utilite"]]
    places += [(node, container.network["veth.pair"], address) for address in network.addresses["web"]]
    places += [(container, "eth0", address) for address in GATEWAYS]
    for machine, interface, address in places:
        [found] = machine.ip_json("neighbour", "show", "to", address, "dev", interface) or [{}]
        is_kept = "PERMANENT" in found.get("state", []) or {"managed", "extern_learn"} <= set(found)
        assert is_kept, f"{machine.name} may forget {address} at {interface}: {found}"


def test_container(network):
    """One that opens whatever it can: TCP that is answered, and UDP, from ever new ports."""
    web, internet, utilite = network["web"], network["internet"], network["utilite"]
    node = web.node
    destination, own = network.addresses["internet"][0], network.addresses["web"][0]
    keeper = internet.start("keep", "9000")
    keeper.stdout.readline()
    holder = web.start("hold", destination, "9000", "1400")
    holder.stdout.readline()
    try:
        gateway = node.mac(web.network["veth.pair"])
        spray(web, "eth0", [(gateway, packet) for packet in udp_from_new_ports(own, destination, 1400)])
        for machine in (node, utilite):
            has_its_share(machine, own, OF_CONTAINER)
        reach(
            network,
            *(("utilite", "red-07", "22"), ("blue-23", "red-07", "22"), ("router", "web", "8080"), ("irc", "web", "80")),
            *(("irc", "internet", "80"), ("home-pc", "utilite-up", "22")),
        )
    finally:
        for process in (holder, keeper):
            process.communicate()


def test_node(network):
    """One that asks another one for as much as it can: an echo of ever new numbers each."""
    node, other = network["red-07"], network["blue-23"]
    own, destination = network.addresses["blue-23"][0], network.addresses["red-07"][0]
    echoes = [frames.icmp(own, destination, 8, 0, number.to_bytes(2, "big") + b"\0\1more") for number in range(900)]
    spray(other, "eth0", [(node.mac("eth0"), packet) for packet in echoes], 400)
    has_its_share(node, own, OF_SOURCE)
    reach(network, ("utilite", "red-07", "22"), ("router", "red-07", "22"))


def test_container_that_sends_to_every_address(network):
    web = network["web"]
    node = web.node
    gateway = node.mac(web.network["veth.pair"])
    packets = [
        frames.udp(own, network_of_nodes.format(number), 4444, 9, b"anybody?")
        for own, network_of_nodes in zip(network.addresses["web"], ("172.16.60.{}", "fd54:ee1a:d2c6::60:{}"))
        for number in range(1, 255)
    ]
    spray(web, "eth0", [(gateway, packet) for packet in packets])
    # The nodes of the fleet, both families.
    assert neighbours(node, "eth0") <= 2 * 46


def test_container_that_is_many(network):
    web = network["web"]
    node = web.node
    gateway = node.mac(web.network["veth.pair"])
    own_mac = web.network["hwaddr"]
    asked = [frames.neighbour_solicit(f"fe80::7:{number}", frames.link_local(gateway), own_mac) for number in range(500)]
    spray(web, "eth0", [(gateway, packet) for packet in asked])
    assert neighbours(node, web.network["veth.pair"]) <= OF_CABLE


@pytest.mark.parametrize("family", ("ipv4", "ipv6"))
def test_somebody_outside(network, family):
    """Who has an address, or a /64."""
    internet, router, utilite = (network[name] for name in ("internet", "router", "utilite"))
    via = router.mac("outside")
    own, destination = network.addresses["internet"], network.addresses["utilite-up"]
    if family == "ipv4":
        source, packets = own[0], udp_from_new_ports(own[0], destination[0], 1500)
    else:
        source = "2001:db8::/64"
        of_64 = [f"2001:db8::5:{number}" for number in range(4)]
        packets = [packet for address in of_64 for packet in udp_from_new_ports(address, destination[1], 400)]
    spray(internet, "eth0", [(via, packet) for packet in packets], 1000)
    has_its_share(utilite, source, OF_OUTSIDE)
    reach(network, ("router", "utilite-up", "22"), ("home-pc", "utilite-up", "80"), ("web", "internet", "80"))


def test_places_of_sshd(network, tmp_path):
    """A peer takes every place that it can get, and another one wants to log in."""
    node, peer, other = network["red-07"], network["blue-23"], network["utilite"]
    address = network.addresses["red-07"][0]
    with network.free_ports("red-07"):
        process, log = sshd.start(node, tmp_path)
        taken = peer.start("hold", address, "22", "100")
        places = int(taken.stdout.readline())
        asked = other.start("hold", address, "22", "5")
        answered = int(asked.stdout.readline())
        for holder in (taken, asked):
            holder.communicate()
        process.kill()
        process.wait()
    assert 0 < places <= OF_STRANGER, log.read_text()
    assert answered == 5
