"""Backups and moves between nodes: ci/check-backup calls this within name spaces of its own, where what it makes ends with it.

                        THIRD, with container `irc`
                             |
            client ---- [datacenter] ---- ONE, with container `web`
                             |
                           OTHER, its buddy
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "network"))

import devices
import exports
import hostile_mover
import limits
import moves
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
    faults = exports.judge(*nodes[:2]) + limits.judge(*nodes[:2]) + moves.judge(*nodes[:2], client)
    faults += hostile_mover.judge(*nodes) + devices.judge(nodes[0])
    if faults:
        sys.exit("".join(f"error: {fault}\n" for fault in faults) + f"{len(faults)} faults")


main()
