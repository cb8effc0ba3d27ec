"""The fleet's network with real packets, in network namespaces: ci/check-network calls pytest within name spaces of its own,
where what is made here ends with it. topology.py has the picture."""

from pathlib import Path

import pytest
import topology
from namespaces import Namespace, run


def pytest_addoption(parser):
    parser.addoption("--nodes", type=Path, required=True, help="a folder with the rendered files of all nodes")
    parser.addoption("--foreign", type=Path, required=True, help="the same of the fleet foreign.toml")


def pytest_generate_tests(metafunc):
    """One test for each node of the fleet, where a test asks for the folder of a node."""
    if "node_folder" in metafunc.fixturenames:
        folders = sorted(metafunc.config.getoption("nodes").iterdir())
        metafunc.parametrize("node_folder", folders, ids=[folder.name for folder in folders])


@pytest.fixture(scope="session")
def nodes(pytestconfig):
    return pytestconfig.getoption("nodes")


@pytest.fixture(scope="session")
def bench():
    """A namespace with a port such as a node has."""
    bench = Namespace("bench")
    bench.ip("link", "add", "eth0", "type", "veth", "peer", "wire")
    return bench


@pytest.fixture(scope="session")
def network(nodes, tmp_path_factory):
    network = topology.build(nodes, tmp_path_factory.mktemp("log"))
    yield network
    for process in network.listeners.values():
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Of what containers serve by TLS, with the key."""
    folder = tmp_path_factory.mktemp("certificate")
    both, alone = folder / "containers.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=containers", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    run("openssl", "req", "-x509", *subject, "-keyout", both, "-out", alone)
    both.write_text(both.read_text() + alone.read_text())
    return both
