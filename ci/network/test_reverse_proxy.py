"""haproxy on utilite, in front of servers in the containers: requests by host name reach theirs, also while one dies."""

import time
from dataclasses import dataclass

import pytest
import reverse_proxy
from reverse_proxy import ask, spoken


@dataclass
class World:
    """What haproxy.cfg has, in whose containers, and their servers."""

    services: list
    owners: dict
    kinds: dict
    servers: reverse_proxy.Servers

    def of_kind(self, kind):
        return [service for service in self.services if service.kind.startswith(kind)]

    def start(self, network, name):
        for family in "46":
            self.servers.start(name, network[name], self.kinds[name], family)


@pytest.fixture(scope="module")
def world(network, certificate, tmp_path_factory):
    utilite = network["utilite"]
    found = reverse_proxy.services(utilite.folder / "etc/haproxy/haproxy.cfg")
    owners = {service.name: network.owner(next(iter(service.addresses))) for service in found}
    kinds = {}
    for service in found:
        kinds.setdefault(owners[service.name], set()).add((spoken(service, found), service.port))
    log = tmp_path_factory.mktemp("haproxy") / "log"
    # Theirs are its ports.
    with network.free_ports("utilite", *kinds):
        world = World(found, owners, kinds, reverse_proxy.Servers(certificate))
        for name in kinds:
            world.start(network, name)
        with reverse_proxy.haproxy(utilite, found, log, "-db"):
            yield world
        world.servers.stop_all()


def seen_as(network, name, address):
    """The address under which utilite sees who asks."""
    return network.addresses[{"home-pc": "toc-up"}.get(name, name)][":" in address]


@pytest.mark.parametrize("asker", ("internet", "router", "home-pc"))
def test_requests_reach_their_container(network, world, certificate, asker):
    asked = [
        (service, host, address)
        for service in world.services
        for host in service.hosts
        for address in network.addresses["utilite-up"]
    ]
    answers = ask(network[asker], certificate, [service.question(address, host) for service, host, address in asked])
    assert len(answers) == len(asked)
    for (service, host, address), answer in zip(asked, answers):
        wanted = [200, world.owners[service.name], seen_as(network, asker, address), "6"]
        if answer and service.kind in ("tls", "tcp"):
            # haproxy asks, and nobody says for whom.
            answer[2] = wanted[2]
        assert answer == wanted, f"{service.name} ({host}) at {address}"


def test_names_of_nobody_are_refused(network, world, certificate):
    at = network.addresses["utilite-up"][0]
    http, tls = world.of_kind("http")[0], world.of_kind("tls")[0]
    questions = [service.question(at, "nobody.example.net") for service in (http, tls)]
    of_http, of_tls = ask(network["internet"], certificate, questions)
    assert of_http and of_http[0] == 421
    assert of_tls is None


@pytest.mark.parametrize("spelt", ("in-capitals", "dot-of-the-root", "port"))
def test_other_spellings_of_a_name(network, world, certificate, spelt):
    service = world.of_kind("http")[0]
    host = service.hosts[0]
    name = {"in-capitals": host.upper(), "dot-of-the-root": f"{host}.", "port": f"{host.upper()}.:80"}[spelt]
    [answer] = ask(network["internet"], certificate, [service.question(network.addresses["utilite-up"][0], name)])
    assert answer and answer[:2] == [200, world.owners[service.name]]


def test_container_that_dies(network, world, certificate):
    """Its IPv6, then all of it, stops answering, and it comes back."""
    at, asker = network.addresses["utilite-up"][0], network["internet"]
    dies = world.of_kind("http")[0]
    name = world.owners[dies.name]
    # Of another container.
    other = next(service for service in world.of_kind("http") if world.owners[service.name] != name)

    def until(wanted, seconds=15):
        """How long it takes, and what came meanwhile that was neither the old answer nor the new one."""
        start, others = time.monotonic(), []
        while True:
            [answer] = ask(asker, certificate, [dies.question(at)], 8)
            if answer and wanted(answer):
                return time.monotonic() - start, others
            others.append(answer)
            assert time.monotonic() - start <= seconds, f"{name} changed, but {dies.name} still answers {answer}"

    world.servers.stop(name, "6")
    over, lost = until(lambda answer: answer[0] == 200 and answer[3] == "4")
    assert lost == [], f"requests that were not answered when IPv6 of {name} died"
    world.servers.stop(name, "4")
    gone, _ = until(lambda answer: answer[0] == 503)
    # Taken out: nobody waits for it any more.
    time.sleep(3)
    # On a busy machine, also one that is there takes a while to be asked.
    start = time.monotonic()
    ask(asker, certificate, [other.question(at)])
    usual = time.monotonic() - start
    start = time.monotonic()
    of_dead, of_other = ask(asker, certificate, [dies.question(at), other.question(at)])
    waited = max(0, time.monotonic() - start - usual)
    assert of_dead and of_dead[0] == 503
    assert waited <= 1.5
    assert of_other and of_other[:2] == [200, world.owners[other.name]]
    world.start(network, name)
    back, _ = until(lambda answer: answer[0] == 200 and answer[3] == "6", 30)
    print(f"IPv4 stands in after {over:.1f} s, a dead container is out after {gone:.1f} s, back after {back:.1f} s")
