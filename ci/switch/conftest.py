"""Three nodes in QEMU on one switch: ci/check-switch calls pytest within name spaces of its own, where what it makes ends with
it.

    internet ---- router ---- [uplink] ---- utilite ---- [datacenter] ---- red-07 ---- web
                                                              |
                                                           blue-23 ---- irc

The router and both switches are one namespace, where the taps of QEMU are; in the middle are images as they are flashed.
What a test leaves, those behind it in its module build on, so they come along when one is chosen.
"""

import tomllib
from pathlib import Path

import bench
import ordered
import pytest
from guests import Inside

# Moves last: the last of them takes a node's rules away.
ORDER = ("test_start", "test_connections", "test_forged_frames", "test_devices", "test_restarts", "test_moves")


def pytest_addoption(parser):
    parser.addoption("--portadc", type=Path, required=True, help="the program")
    parser.addoption("--work", type=Path, required=True, help="a folder with the images and the rendered files of the nodes")
    parser.addoption("--every-end", action="store_true", help="also the ends of a container's run that take long")


def pytest_configure(config):
    config.addinivalue_line("markers", "every_end: runs with --every-end alone")


@pytest.hookimpl(hookwrapper=True)
def pytest_collection_modifyitems(config, items):
    if not config.getoption("every_end"):
        items[:] = [item for item in items if not item.get_closest_marker("every_end")]
    yield from ordered.in_order(items, ORDER)


@pytest.fixture(scope="session")
def world(pytestconfig):
    fleet = tomllib.loads(Path("images/fleet.toml").read_text())
    internet, router, nodes = bench.build(fleet, pytestconfig.getoption("portadc"), pytestconfig.getoption("work"))
    told = {name: node.checked() for name, node in nodes.items()}
    addresses = {}
    for name, node in nodes.items():
        for file, listed in node.addresses().items():
            addresses[name if file == "local" else f"{name}-up"] = tuple(address.split("/")[0] for address in listed)
    outer = addresses.pop("utilite-up")
    containers = {name: Inside(name, node) for node in nodes.values() for name in node.containers()}
    for name, container in containers.items():
        addresses[name] = tuple(map(container.bare, ("ipv4.address", "ipv6.address")))
    world = bench.World(fleet, internet, router, nodes, containers, addresses, outer, told)
    world.listen(*containers)
    yield world
    for node in nodes.values():
        node.end()


@pytest.fixture(scope="session")
def web(world):
    return world.containers["web"]


@pytest.fixture
def passes():
    """Takes faults and a text: there may be none of the former."""

    def passes(result):
        faults, text = result
        assert not faults, "\n".join(faults)
        print(text)

    return passes
