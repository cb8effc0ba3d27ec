"""Backups and moves between nodes: ci/check-backup calls this within name spaces of its own, where what it makes ends with it.

            THIRD, with container `irc`
                 |
client ---- [datacenter] ---- ONE, with container `web`
                 |
               OTHER, its buddy
"""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "network"))

import devices
import exports
import hostile_buddy
import hostile_mover
import hostile_sender
import limits
import lxcfs
import moves
import restarts
import trouble
from namespaces import Host, Switch
from node import Node


def main():
    folder, one, other, third, work = sys.argv[1:]
    switch = Switch("switch")
    nodes = []
    for name in (one, other, third):
        node = Node(name, Path(folder), Path(work))
        switch.connect(node, "eth0")
        node.boot()
        nodes.append(node)
    client = Host("client")
    switch.connect(client, "eth0")
    client.address("eth0", "172.16.9.9/16", "fd54:ee1a:d2c6::9:9/48")
    # As any node has them: the way to a container leads by its home.
    routes = nodes[0].path("/usr/lib/portadc/routes.conf").read_text()
    for destination, via in re.findall(r"^Destination=(.+)\nGateway=(.+)$", routes, re.MULTILINE):
        client.route(destination, via)
    judges = {
        # First: of a container that has written much, snapshots keep what counts for it.
        "limits": lambda: limits.judge(*nodes[:2]),
        "restarts": lambda: restarts.judge(nodes[0]),
        "exports": lambda: exports.judge(*nodes[:2]),
        "trouble": lambda: trouble.judge(*nodes[:2]),
        "hostile_sender": lambda: hostile_sender.judge(*nodes[:2]),
        "hostile_buddy": lambda: hostile_buddy.judge(*nodes[:2]),
        "moves": lambda: moves.judge(*nodes[:2], client),
        "hostile_mover": lambda: hostile_mover.judge(*nodes),
        "devices": lambda: devices.judge(nodes[0]),
        "lxcfs": lambda: lxcfs.judge(nodes[0]),
    }
    # Of a person in a hurry.
    only = os.environ.get("ONLY", " ".join(judges)).split()
    faults = [fault for name in only for fault in judges[name]()]
    if faults:
        sys.exit("".join(f"error: {fault}\n" for fault in faults) + f"{len(faults)} faults")


main()
