"""Fixed addresses: each is answered by its container, through its own tunnel, and by a tunnel nothing else comes in."""

import re
import subprocess
from contextlib import contextmanager

import matrix
import pytest
from namespaces import wait_for
from tunnels import counter

# What containers answer to everybody, and what they do not.
OPEN, CLOSED = {"web": "80", "irc": "6667"}, "22"


@pytest.fixture(scope="module")
def utilite(network):
    return network["utilite"]


@pytest.fixture(scope="module")
def tunnels(network):
    """All of them, in touch with their providers."""
    for provider in network.providers:
        wait_for(f"handshake of {provider.name}", provider.has_handshake, 40)
    assert network.providers
    return [provider.tunnel for provider in network.providers]


@pytest.fixture
def provider(network, tunnels):
    return network.providers[0]


@pytest.fixture
def asked(network):
    """Asks fixed addresses from the internet for what their containers answer to everybody, or for something else."""

    def asked(tunnels, port=None):
        questions = [
            ("internet", tunnel.interface, tunnel.address, port or OPEN[network.owner(tunnel.container)]) for tunnel in tunnels
        ]
        answers = network.ask(questions, 3)
        return {question[2]: answers[question] for question in questions}

    return asked


def as_from(network, provider, address, port):
    """What a provider is answered that asks by its tunnel."""
    machines = {**network.machines, "provider": provider}
    question = ("provider", "utilite", address, port)
    return matrix.ask(machines, [question], 2)[question]


def test_networkd_reads_every_tunnel(utilite):
    complaints = [line for line in utilite.log.read_text().splitlines() if re.search(r"50-wg-\S+:\d+:", line)]
    assert complaints == []


def test_each_is_answered_by_its_container_who_sees_who_asks(network, tunnels, asked):
    internet = network.addresses["internet"][0]
    wanted = {tunnel.address: f"{network.owner(tunnel.container)} {internet}" for tunnel in tunnels}
    assert asked(tunnels) == wanted


def test_nothing_else_is_answered(tunnels, asked):
    assert asked(tunnels, CLOSED) == {tunnel.address: None for tunnel in tunnels}


def test_provider_that_is_known_by_name_has_another_address(utilite, provider, asked, tmp_path):
    name, tunnel = "provider.example.net", provider.tunnel
    key = provider.run("wg", "pubkey", text=provider.key).strip()
    port = tunnel.endpoint_port
    listed, hosts = tmp_path / "tunnels", tmp_path / "hosts"
    text = (utilite.folder / "etc/portadc/tunnels").read_text()
    listed.write_text(text.replace(f"Endpoint={tunnel.endpoint}:{port}\n", f"Endpoint={name}:{port}\n"))
    hosts.write_text("127.0.0.1 localhost\n")

    def look_up():
        """Whether it succeeds, and where the tunnel leads then."""
        within = ["nsenter", f"--target={utilite.networkd.pid}", "--net", "--mount"]
        done = subprocess.run([*within, "/usr/lib/portadc/tunnel-endpoints", listed], capture_output=True, text=True, check=False)
        endpoint = utilite.within("wg", "show", tunnel.interface, "endpoints").split()[1]
        return done.returncode == 0, endpoint

    old = f"203.0.113.250:{port}"
    utilite.within("mount", "--bind", hosts, "/etc/hosts")
    try:
        utilite.within("wg", "set", tunnel.interface, "peer", key, "endpoint", old)
        # It is in touch.
        assert look_up() == (True, old)
        # It has not been heard of since.
        utilite.within("wg", "set", tunnel.interface, "peer", key, "remove")
        settings = ("endpoint", old, "allowed-ips", "0.0.0.0/0", "persistent-keepalive", "1")
        utilite.within("wg", "set", tunnel.interface, "peer", key, *settings)
        # Its name is not found.
        assert look_up() == (False, old)
        hosts.write_text(f"127.0.0.1 localhost\n{tunnel.endpoint} {name}\n")
        assert look_up() == (True, f"{tunnel.endpoint}:{port}")
        wait_for(
            f"handshake of {tunnel.interface}",
            lambda: utilite.within("wg", "show", tunnel.interface, "latest-handshakes").split()[1] != "0",
        )
    finally:
        utilite.within("umount", "/etc/hosts")
    assert asked([tunnel])[tunnel.address]


def test_provider_does_not_reach_the_node(network, utilite, provider):
    address = network.addresses["utilite"][0]
    before = counter(utilite, "foreign")
    with routed(provider, address):
        assert as_from(network, provider, address, "22") is None
    assert counter(utilite, "foreign") > before


def test_provider_reaches_nothing_in_the_name_of_the_uplink(network, utilite, provider):
    tunnel, own = provider.tunnel, "192.168.0.77"
    before = counter(utilite, "spoofed-address")
    provider.ip("address", "add", f"{own}/32", "dev", "lo")
    provider.ip("route", "replace", f"{tunnel.address}/32", "dev", provider.interface, "src", own)
    try:
        assert as_from(network, provider, tunnel.address, OPEN[network.owner(tunnel.container)]) is None
    finally:
        provider.ip("route", "replace", f"{tunnel.address}/32", "dev", provider.interface)
        provider.ip("address", "del", f"{own}/32", "dev", "lo")
    assert counter(utilite, "spoofed-address") > before


def test_without_its_table_an_answer_goes_nowhere(utilite, tunnels, asked):
    first, *others = tunnels
    before = counter(utilite, "astray")
    with without_rule(utilite, first.table):
        assert asked([first])[first.address] is None
        assert counter(utilite, "astray") > before
        # The others do not care.
        assert None not in asked(others).values()
    assert asked([first])[first.address]


@contextmanager
def routed(provider, address):
    """Has a provider send what is for `address` through its tunnel, until the block ends."""
    provider.route(f"{address}/32", "0.0.0.0", "dev", provider.interface)
    try:
        yield
    finally:
        provider.ip("route", "del", f"{address}/32", "dev", provider.interface)


@contextmanager
def without_rule(node, table):
    """Takes away what sends answers to a tunnel's table, until the block ends."""
    [rule] = node.ip_json("-4", "rule", "show", "table", table)
    node.ip("-4", "rule", "del", "table", table)
    try:
        yield
    finally:
        mark = "/".join(rule[key] for key in ("fwmark", "fwmask") if key in rule)
        node.ip("-4", "rule", "add", "priority", rule["priority"], "fwmark", mark, "table", table)
