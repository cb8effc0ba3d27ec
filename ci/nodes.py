"""Names of nodes for checks, so that these know none of the fleet's: `portadc list --json` (standard input) says what there is.

    portadc list --json | python3 ci/nodes.py KIND

    host         a node that runs containers where there is any, else any that is no router
    far-host     the same on another bus
    spare        another node of the host's role, board and layout, without containers where there is any
    gateway      a router
    kinds        one node of each role on each bus, with containers where there is any; a line each

Of several it is the first one.
"""

import json
import sys


def first(nodes, what):
    for node in nodes:
        return node
    raise SystemExit(f"error: the fleet has no {what}, which this check looks at")


def hosts(nodes):
    return sorted((node for node in nodes if not node["gateway"]), key=lambda node: not node["containers"])


def host(nodes):
    return first(hosts(nodes), "node that is no router")


def far_host(nodes):
    cluster = host(nodes)["cluster"]
    return first((node for node in hosts(nodes) if node["cluster"] != cluster), "such node on a second bus")


def spare(nodes):
    one = host(nodes)
    alike = [node for node in nodes if node is not one and all(node[key] == one[key] for key in ("role", "board", "layout"))]
    return first(sorted(alike, key=lambda node: bool(node["containers"])), "second node like its host")


def gateway(nodes):
    return first((node for node in nodes if node["gateway"]), "router")


def kinds(nodes):
    found = {}
    for node in sorted(nodes, key=lambda node: not node["containers"]):
        found.setdefault((node["role"], node["cluster"]), node)
    return list(found.values())


KINDS = {"host": host, "far-host": far_host, "spare": spare, "gateway": gateway, "kinds": kinds}


def main():
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        raise SystemExit(f"error: expected one of {', '.join(KINDS)}")
    found = KINDS[sys.argv[1]](json.load(sys.stdin)["nodes"])
    for node in found if isinstance(found, list) else [found]:
        print(node["name"])


main()
