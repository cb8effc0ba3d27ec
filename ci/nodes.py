"""Names of nodes for checks, so that these know none of the fleet's: `portadc list --json` (standard input) says what there is.

portadc list --json | python3 ci/nodes.py KIND

host         the first node that has a container
far-host     the first one on another bus that has a container
spare        the first node of the host's role, board and layout that has no container
gateway      the first router
kinds        one node of each role on each bus, one with containers where there is any; a line each
"""

import json
import sys


def first(nodes, what):
    for node in nodes:
        return node
    raise SystemExit(f"error: the fleet has {what}, which this check looks at")


def hosts(nodes):
    return [node for node in nodes if node["containers"]]


def host(nodes):
    return first(hosts(nodes), "no node with a container")


def far_host(nodes):
    cluster = host(nodes)["cluster"]
    return first((node for node in hosts(nodes) if node["cluster"] != cluster), "containers on one bus alone")


def spare(nodes):
    same = [host(nodes)[key] for key in ("role", "board", "layout")]
    others = (node for node in nodes if [node[key] for key in ("role", "board", "layout")] == same)
    return first((node for node in others if not node["containers"]), "no second node like its host of containers")


def gateway(nodes):
    return first((node for node in nodes if node["gateway"]), "no router")


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
