"""Backups and moves between nodes: ci/check-backup calls pytest within name spaces of its own, where what it makes ends with it.

                        THIRD, with container `irc`
                             |
            client ---- [datacenter] ---- ONE, with container `web`
                             |
                           OTHER, its buddy

What a test leaves, those behind it in its module build on, so they come along when one is chosen; a module needs no other one.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import ordered
import pytest
from namespaces import Host, Switch
from node import Node

# Disk first: of a container that has written much, snapshots keep what counts for it.
ORDER = (
    "test_disk_limits",
    "test_restarts",
    "test_backup",
    "test_trouble",
    "test_hostile_sender",
    "test_hostile_buddy",
    "test_moves",
    "test_hostile_mover",
    "test_devices",
    "test_lxcfs",
)


def pytest_addoption(parser):
    parser.addoption("--nodes", type=Path, required=True, help="a folder with all files of these nodes")
    parser.addoption("--one", required=True, help="the node that has the container `web`")
    parser.addoption("--other", required=True, help="its buddy")
    parser.addoption("--third", required=True, help="the node that has the container `irc`")


@pytest.hookimpl(hookwrapper=True)
def pytest_collection_modifyitems(items):
    yield from ordered.in_order(items, ORDER)


@dataclass
class World:
    """The nodes and the client, with their network up."""

    one: Node
    other: Node
    third: Node
    client: Host


@pytest.fixture(scope="session")
def world(pytestconfig, tmp_path_factory):
    work = tmp_path_factory.mktemp("nodes")
    switch = Switch("switch")
    nodes = []
    for role in ("one", "other", "third"):
        node = Node(pytestconfig.getoption(role), pytestconfig.getoption("nodes"), work)
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
    return World(*nodes, client)
