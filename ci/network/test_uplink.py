"""Containers on networks of somebody else, whose routers know no way to them: foreign.toml.

far ---- stranger ---- [borrowed] ---- lender-1 ---- hidden
               |            |
               |        lender-2 ---- peer
               |
            [shared] ---- proxy-1 ---- present
               |
            neighbour
"""

import matrix
import pytest
from namespaces import Host, Switch
from rendered import Container, Node

FAR = ("198.51.100.9", "2001:db8:2::9")
# The router's addresses: far away, and on both networks.
AWAY = ("198.51.100.1", "2001:db8:2::1")
GATEWAYS = {"borrowed": ("192.168.1.1", "fd00:1::1"), "shared": ("192.168.2.1", "fd00:2::1")}
NEIGHBOUR = ("192.168.2.20", "fd00:2::20")
BITS = (24, 64)
NODES = {"lender-1": "borrowed", "lender-2": "borrowed", "proxy-1": "shared"}


@pytest.fixture(scope="module")
def foreign(pytestconfig, tmp_path_factory):
    """All machines by their names."""
    folder, log = pytestconfig.getoption("foreign"), tmp_path_factory.mktemp("foreign")
    switches = {name: Switch(name) for name in ("borrowed", "shared")}
    far, stranger, neighbour = Host("far"), Host("stranger"), Host("neighbour")
    nodes = {name: Node(name, folder) for name in NODES}
    away = Switch("away")
    away.connect(far, "eth0")
    away.connect(stranger, "away")
    switches["shared"].connect(neighbour, "eth0")
    for name, switch in switches.items():
        switch.connect(stranger, f"to-{name}")
    for name, node in nodes.items():
        switches[NODES[name]].connect(node, "eth0")
        node.boot(log, wireguard=True)
    stranger.routes_packets()
    for index in (0, 1):
        far.address("eth0", f"{FAR[index]}/{BITS[index]}")
        stranger.address("away", f"{AWAY[index]}/{BITS[index]}")
        far.route("default", AWAY[index])
        for name, gateway in GATEWAYS.items():
            stranger.address(f"to-{name}", f"{gateway[index]}/{BITS[index]}")
        neighbour.address("eth0", f"{NEIGHBOUR[index]}/{BITS[index]}")
        neighbour.route("default", GATEWAYS["shared"][index])
    for node in nodes.values():
        node.booted()
    containers = {name: Container(name, node) for node in nodes.values() for name in node.containers()}
    machines = {"far": far, "stranger": stranger, "neighbour": neighbour, **nodes, **containers}
    for machine in machines.values():
        machine.settled()
    listeners = matrix.listen_all(machines)
    yield machines
    for process in listeners.values():
        process.kill()
        process.wait()


def addresses(container):
    return [container.bare(key) for key in ("ipv4.address", "ipv6.address")]


def of_node(node):
    return [address.split("/")[0] for address in node.addresses()["local"]]


def answered(machines, *questions):
    """Who answers each (asker, asked, what), for IPv4 and then IPv6; the answer of a port names who asked as it was seen."""
    found = []
    for index in (0, 1):
        asked = [(asker, asked, address[index], what) for asker, asked, address, what in questions]
        answers = matrix.ask(machines, asked, 4)
        found.append([answers[question] for question in asked])
    return found


def seen_as(machines, asker, asked, to):
    """The addresses by which `asked` sees who asks it, for IPv4 and then IPv6."""
    return [answer[0] and answer[0].split()[1] for answer in answered(machines, (asker, asked, to, "80"))]


@pytest.mark.parametrize(("name", "network"), [("hidden", "borrowed"), ("present", "shared")])
def test_container_reaches_its_router_and_what_is_behind(foreign, name, network):
    """Names are asked for at the router, and nothing else there."""
    questions = [
        (name, "stranger", GATEWAYS[network], "ping"),
        (name, "far", FAR, "80"),
        (name, "stranger", GATEWAYS[network], "80"),
    ]
    for pinged, served, refused in answered(foreign, *questions):
        assert pinged
        assert served
        assert not refused


def test_what_a_masqueraded_container_sends_is_its_nodes_to_others(foreign):
    """And to nodes its own, by whose address their rules go."""
    assert seen_as(foreign, "hidden", "far", FAR) == of_node(foreign["lender-1"])
    assert seen_as(foreign, "hidden", "peer", addresses(foreign["peer"])) == addresses(foreign["hidden"])


def test_nobody_outside_opens_a_connection_to_a_masqueraded_container(foreign):
    hidden = addresses(foreign["hidden"])
    for found in answered(foreign, ("far", "hidden", hidden, "80"), ("far", "hidden", hidden, "ping")):
        assert found == [None, None]


def test_a_container_with_an_address_of_the_network_is_there_for_its_hosts(foreign):
    """What a rule allows is answered, and seen with the container's own address."""
    present = addresses(foreign["present"])
    for found in answered(foreign, ("neighbour", "present", present, "80"), ("neighbour", "present", present, "22")):
        assert found[0]
        assert not found[1]
    assert seen_as(foreign, "present", "far", FAR) == present


def test_an_address_that_no_container_has_is_nobodys(foreign):
    """The node answers for what it can hand on, not for the whole of its network of containers."""
    for address in ("192.168.2.131", "192.168.2.30"):
        foreign["neighbour"].run("sh", "-c", f"ping -c 1 -W 2 {address} || true")
        entries = foreign["neighbour"].ip_json("neighbour", "show", address)
        assert not any("lladdr" in entry for entry in entries), address
