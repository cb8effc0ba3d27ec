"""Frames in another's name, of a container and of its node: none comes out at the switch, each is counted by its reason, and
what they may send goes on."""

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace

import frames
import pytest
from frames import IPV4, ethernet
from spoofing import Capture, container_frames, node_frames, send

TIMES = 3


@dataclass
class Sender:
    """Who sends what: names and frames that are forged, with their counters, and honest ones."""

    machine: object
    interface: str
    node: object
    forged: list
    honest: list


@pytest.fixture(scope="module")
def world(network):
    return SimpleNamespace(
        internet=network.addresses["internet"],
        router=network.addresses["utilite"],
        other_node=network.addresses["blue-23"],
        other_container=network.addresses["irc"],
    )


@pytest.fixture(scope="module")
def senders(network, world):
    container = network["web"]
    node = container.node
    forged, *honest = container_frames(container, world)
    forged_by_node, *honest_of_node = node_frames(node, container, world)
    return {
        "container": Sender(container, "eth0", node, forged, honest),
        "node": Sender(node, "eth0", node, forged_by_node, honest_of_node),
    }


@pytest.fixture(scope="module", params=("container", "node"))
def sent(request, network, senders):
    """A sender, what of its frames came out at the switch, and which counters did not rise by as much as was sent. All the
    while its container has honest connections."""
    sender = senders[request.param]
    traffic = network["web"].start("go-on", network.addresses["internet"][0], "80")
    capture = Capture(network.datacenter, sender.node.name)
    miscounted = [fault for frame in sender.forged if (fault := sent_and_counted(sender, *frame))]
    send(sender.machine, sender.interface, *(frame for _, frame in sender.honest))
    seen = capture.end()
    made, failed = json.loads(traffic.communicate()[0])
    return SimpleNamespace(sender=sender, seen=seen, miscounted=miscounted, made=made, failed=failed)


def sent_and_counted(sender, name, frame, counter):
    """Sends a forged frame some times; says where it is not counted as often."""
    before = sender.node.counters()
    send(sender.machine, sender.interface, *[frame] * TIMES)
    if counter is None:
        return None

    def rise():
        return sender.node.counters()[counter] - before[counter]

    end = time.monotonic() + 2
    while rise() < TIMES and time.monotonic() < end:
        time.sleep(0.05)
    return None if rise() >= TIMES else f"of {TIMES} frames {name!r}, `{counter}` counted {rise()}"


def test_no_forged_frame_comes_out(sent):
    assert [name for name, *_ in sent.sender.forged if name in sent.seen] == []


def test_each_forged_frame_is_counted_by_its_reason(sent):
    assert sent.miscounted == []


def test_honest_frames_come_out(sent):
    assert [name for name, _ in sent.sender.honest if name not in sent.seen] == []


def test_honest_connections_go_on(sent):
    assert sent.failed == 0
    assert sent.made >= 10


def test_more_connections_at_once_than_a_container_may_open(network, world):
    container = network["web"]
    node = container.node
    own, destination = container.bare("ipv4.address"), world.internet[0]
    gateway, own_mac = node.mac(container.network["veth.pair"]), container.network["hwaddr"]
    body = frames.marker("flood")
    packets = [frames.udp(own, destination, 10000 + number, 9, body) for number in range(12000)]
    capture = Capture(network.datacenter, node.name)
    before = node.counters()["inet guard over-rate"]
    send(container, "eth0", *(ethernet(own_mac, gateway, IPV4, packet) for packet in packets))
    passed = capture.end().get("flood", 0)
    assert node.counters()["inet guard over-rate"] > before
    assert 0 < passed < len(packets)
    node.load_rules()


@pytest.mark.parametrize("name", ("container", "node"))
def test_without_rules_forged_frames_come_out(network, senders, name):
    """It is the rules that keep them back. A node forwards no broadcasts, and the kernel's own filter of sources has to go, too."""
    sender = senders[name]
    forged = [(kind, frame) for kind, frame, _ in sender.forged]
    if name == "container":
        forged = [(kind, frame) for kind, frame in forged if kind.startswith(("mac", "ipv4", "ipv6"))]
    with ExitStack() as stack:
        stack.enter_context(sender.node.without_rules())
        stack.enter_context(sender.node.with_sysctl("net.ipv4.conf.*.rp_filter", 0))
        capture = Capture(network.datacenter, sender.node.name)
        send(sender.machine, sender.interface, *(frame for _, frame in forged))
        time.sleep(0.2)
        seen = capture.end()
    network.forget_neighbours()
    assert [kind for kind, _ in forged if kind not in seen] == []
