"""Who wants every connection of haproxy: each takes what it is given, which is less than there is, and others get through."""

import csv
import re
import signal
import socket
import time
from contextlib import contextmanager

import pytest
import reverse_proxy
from namespaces import wait_for
from reverse_proxy import workers

# By haproxy.cfg: what one source has at once, and all processes after many reloads.
OF_CLIENT, WORKERS = 200, 3


@pytest.fixture(scope="module")
def services(network):
    """A service of each kind."""
    found = reverse_proxy.services(network["utilite"].folder / "etc/haproxy/haproxy.cfg")
    return {kind: next(service for service in found if service.kind.startswith(kind)) for kind in ("http", "tls", "tcp")}


@pytest.fixture(scope="module")
def haproxy(network, certificate, tmp_path_factory):
    utilite = network["utilite"]
    found = reverse_proxy.services(utilite.folder / "etc/haproxy/haproxy.cfg")
    owners = {service.name: network.owner(next(iter(service.addresses))) for service in found}
    servers = reverse_proxy.Servers(certificate)
    with network.free_ports("utilite", *set(owners.values())):
        for service in found:
            servers.start(service.name, network[owners[service.name]], [(service.spoken, service.port)], "6")
        log = tmp_path_factory.mktemp("haproxy-limits") / "log"
        with reverse_proxy.haproxy(utilite, found, log, "-W") as process:
            yield process
        servers.stop_all()


@pytest.fixture
def answered(network, haproxy, certificate):
    """Fails where somebody at home is not answered."""

    def answered(*services):
        for service in services:
            question = service.question(network.addresses["utilite-up"][0])
            [answer] = reverse_proxy.ask(network["home-pc"], certificate, [question])
            assert answer and answer[0] == 200, service.name

    return answered


@contextmanager
def held(machine, address, port, count, *sources):
    """How many connections a machine can open, from each of these sources; it holds them until the block ends."""
    process = machine.start("hold", address, port, count, *sources)
    try:
        yield int(process.stdout.readline())
    finally:
        process.communicate()


def test_sources_of_one_64(network, services, answered):
    """Connections in the name of four addresses."""
    internet, at = network["internet"], network.addresses["utilite-up"][1]
    sources = [f"2001:db8::7:{number}" for number in range(4)]
    with (
        internet.more_addresses("eth0", *(f"{source}/64" for source in sources)),
        held(internet, at, services["http"].public, 100, *sources) as is_open,
    ):
        assert OF_CLIENT // 2 < is_open <= OF_CLIENT
        answered(services["http"], services["tls"])


def test_many_sources_at_one_listener(network, services, answered):
    """Each with what it may have: the other listeners go on."""
    internet, at = network["internet"], network.addresses["utilite-up"][0]
    sources = [f"203.0.113.{number}" for number in range(100, 121)]
    with (
        internet.more_addresses("eth0", *(f"{source}/24" for source in sources)),
        held(internet, at, services["http"].public, 195, *sources) as is_open,
    ):
        taken, of_all = sessions(network["utilite"], "http")
        print(f"{len(sources)} addresses have {is_open} connections; {taken} of {of_all} are those of the listener")
        assert 0 < taken <= of_all // 3
        answered(services["tls"], services["tcp"])


def test_reloads_while_connections_stay(network, haproxy, services, answered):
    """Each reload finds somebody who stays."""
    staying = []
    for _ in range(5):
        staying.append(network["internet"].start("hold", network.addresses["utilite-up"][0], services["tcp"].public, 1))
        assert int(staying[-1].stdout.readline()) == 1
        older = workers(haproxy.pid)
        haproxy.send_signal(signal.SIGUSR2)
        wait_for("new worker of haproxy", lambda older=older: set(workers(haproxy.pid)) - set(older))
        time.sleep(0.5)
    assert len(workers(haproxy.pid)) <= WORKERS
    answered(services["http"], services["tls"])
    for process in staying:
        process.communicate()


def sessions(node, frontend):
    """How many connections a listener has now, and how many haproxy has for all, as it says itself."""
    found = []
    for question in ("show stat", "show info"):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(f"/proc/{node.networkd.pid}/root/run/haproxy/admin.sock")
            link.sendall(f"{question}\n".encode())
            found.append(b"".join(iter(lambda link=link: link.recv(65536), b"")).decode())
    rows = csv.DictReader(found[0].removeprefix("# ").splitlines())
    taken = next(row["scur"] for row in rows if (row["pxname"], row["svname"]) == (frontend, "FRONTEND"))
    return int(taken), int(re.search(r"^Maxconn: (\d+)$", found[1], re.MULTILINE)[1])
