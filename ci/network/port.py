"""What somebody has who puts a machine at a port of the switch, and what a rule that goes does to what goes on. None of it is
wanted: docs/security.md says so, and here is shown that it says no less than is true."""

import sys
import time

import frames
import matrix
from namespaces import HERE, Host, wait_for

# A node that is switched off, and its place in the network.
ABSENT, BITS = "172.16.1.20", 16


def check(machines, addresses, switch):
    """Returns faults and a text."""
    thief = Host("thief")
    switch.connect(thief, "eth0")
    thief.address("eth0", f"{ABSENT}/{BITS}")
    faults = [*takes_over(thief, machines, addresses), *answers_for(thief, machines, addresses), *goes_on(machines, addresses)]
    return faults, f"{ABSENT} is who takes it, a neighbour is who says so, and what is open stays open until it is cut off"


def takes_over(thief, machines, addresses):
    """The address of a node that is down: others speak with the thief, and it opens to them what nodes may."""
    everybody = {**machines, "thief": thief}
    listeners = matrix.listen_all({"thief": thief})
    questions = [("blue-23", "thief", ABSENT, "22"), ("thief", "red-07", addresses["red-07"][0], "22")]
    others = [("thief", "red-07", addresses["red-07"][0], "8080"), ("thief", "web", addresses["web"][0], "8080")]
    answered = matrix.ask(everybody, [*questions, *others], 4)
    matrix.stop(listeners, ["thief"])
    faults = [f"{asker} does not reach {asked} at {address}" for asker, asked, address, what in questions if not answered[asker, asked, address, what]]
    return faults + [f"the thief reaches {question[1]} at {question[3]}" for question in others if answered[question]]


def answers_for(thief, machines, addresses):
    """The address of a node that is there: who hears the thief sends it what was for that node."""
    victim, claimed = machines["blue-23"], addresses["red-07"][0]
    own = thief.mac("eth0")
    matrix.ask(machines, [("blue-23", "red-07", claimed, "ping")], 4)
    # The kernel believes nothing within a second of what it has heard last.
    time.sleep(1.5)
    claim = frames.ethernet(own, frames.BROADCAST, frames.ARP, frames.arp_reply(own, claimed, "thief"))

    def believed():
        thief.run(sys.executable, "-B", HERE / "wire.py", "send", "eth0", text=f"{claim.hex()}\n")
        return [entry.get("lladdr") for entry in victim.ip_json("neighbour", "show", claimed)] == [own]

    wait_for(f"neighbour of blue-23 that believes {claimed} to be the thief: is that no longer so, or nothing tried", believed)
    # Everybody on the switch has heard it.
    for machine in machines.values():
        machine.ip("neighbour", "flush", "all")
    return []


def goes_on(machines, addresses):
    """A connection that is open, when the rule that let it in goes; and how it is ended."""
    node, peer = machines["red-07"], machines["blue-23"]
    faults = []
    echo = node.start("echo", "23")
    echo.stdout.readline()
    node.within("nft", "insert", "rule", "inet", "guard", "input", "tcp", "dport", "23", "accept")
    talk = peer.start("talk", addresses["red-07"][0], "23")

    def answered():
        talk.stdin.write("still there?\n")
        talk.stdin.flush()
        return talk.stdout.readline() == "true\n"

    if not answered():
        faults.append("blue-23 has no connection to red-07, so nothing is tried")
    node.within("nft", "--file", "/etc/nftables.conf")
    if matrix.ask(machines, [("blue-23", "red-07", addresses["red-07"][0], "23")], 2).popitem()[1]:
        faults.append("red-07 still lets new connections in, where the rule is gone")
    if not answered():
        faults.append("a connection ended with its rule: docs/security.md says otherwise")
    node.within("nft", "insert", "rule", "inet", "guard", "input", "ip", "saddr", addresses["blue-23"][0], "drop")
    if answered():
        faults.append("a rule above what is established does not cut a source off")
    node.within("nft", "--file", "/etc/nftables.conf")
    for process in (talk, echo):
        process.kill()
        process.wait()
    return faults
