"""What somebody has who puts a machine at a port of the switch, and what a rule that goes does to what goes on. None of it is
wanted: docs/security.md says so, and here is shown that it says no less than is true."""

import sys
import time

import frames
import matrix
import pytest
from namespaces import HERE, Host, wait_for

# A node that is switched off, and its place in the network.
ABSENT, BITS = "172.16.1.20", 16


@pytest.fixture(scope="module")
def thief(network):
    thief = Host("thief")
    network.datacenter.connect(thief, "eth0")
    thief.address("eth0", f"{ABSENT}/{BITS}")
    yield thief
    thief.ip("link", "set", "eth0", "down")
    network.forget_neighbours()


def test_address_of_a_node_that_is_down_is_taken_over(network, thief):
    """Others speak with the thief, and it opens to them what nodes may."""
    node, container = network.addresses["red-07"][0], network.addresses["web"][0]
    may = [("blue-23", "thief", ABSENT, "22"), ("thief", "red-07", node, "22")]
    may_not = [("thief", "red-07", node, "8080"), ("thief", "web", container, "8080")]
    listeners = matrix.listen_all({"thief": thief})
    try:
        answered = matrix.ask({**network.machines, "thief": thief}, [*may, *may_not], 4)
    finally:
        matrix.stop(listeners, ["thief"])
    assert [question for question in may if not answered[question]] == []
    assert [question for question in may_not if answered[question]] == []


def test_address_of_a_node_that_is_there_is_answered_for(network, thief):
    """Who hears the thief sends it what was for that node."""
    victim, claimed = network["blue-23"], network.addresses["red-07"][0]
    own = thief.mac("eth0")
    network.ask([("blue-23", "red-07", claimed, "ping")], 4)
    # The kernel believes nothing within a second of what it has heard last.
    time.sleep(1.5)
    claim = frames.ethernet(own, frames.BROADCAST, frames.ARP, frames.arp_reply(own, claimed, "thief"))

    def believed():
        thief.run(sys.executable, "-B", HERE / "wire.py", "send", "eth0", text=f"{claim.hex()}\n")
        return [entry.get("lladdr") for entry in victim.ip_json("neighbour", "show", claimed)] == [own]

    try:
        wait_for(f"neighbour of blue-23 that believes {claimed} to be the thief: is that no longer so, or nothing tried", believed)
    finally:
        # Everybody on the switch has heard it.
        network.forget_neighbours()


def test_connection_whose_rule_goes(network):
    """It goes on, and how it is ended."""
    node, peer = network["red-07"], network["blue-23"]
    echo = node.start("echo", "23")
    echo.stdout.readline()
    node.within("nft", "insert", "rule", "inet", "guard", "input", "tcp", "dport", "23", "accept")
    talk = peer.start("talk", network.addresses["red-07"][0], "23")

    def answered():
        talk.stdin.write("still there?\n")
        talk.stdin.flush()
        return talk.stdout.readline() == "true\n"

    try:
        assert answered(), "there is no connection, so nothing is tried"
        node.within("nft", "--file", "/etc/nftables.conf")
        question = ("blue-23", "red-07", network.addresses["red-07"][0], "23")
        assert network.ask([question], 2)[question] is None, "new connections come in, where the rule is gone"
        assert answered(), "a connection ended with its rule: docs/security.md says otherwise"
        node.within("nft", "insert", "rule", "inet", "guard", "input", "ip", "saddr", network.addresses["blue-23"][0], "drop")
        assert not answered(), "a rule above what is established does not cut a source off"
    finally:
        node.within("nft", "--file", "/etc/nftables.conf")
        for process in (talk, echo):
            process.kill()
            process.wait()
