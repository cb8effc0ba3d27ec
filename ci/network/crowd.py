"""Whoever wants all of what there is for all: connections, neighbours, places at haproxy. Each takes what it is given, which is
less than there is, and the others get through meanwhile. What is sent is bounded, and so is what is left behind."""

import csv
import os
import re
import signal
import socket
import sys
import time
from pathlib import Path

import frames
import inproxy
import matrix
import sshd
from frames import IPV4, IPV6, ethernet
from namespaces import HERE, wait_for
from rendered import GATEWAYS

# By the rules: what one container opens, what one source has at a node, at a router from outside.
OF_CONTAINER, OF_SOURCE, OF_OUTSIDE = 2048, 512, 512
# By the rules: neighbours at a container's cable, and some that come after the first.
OF_CABLE = 150
# By sshd's settings: what one source has that did not log in.
OF_STRANGER = 8
# By haproxy.cfg: what one source has at once, all processes after many reloads.
OF_CLIENT, WORKERS = 200, 3


def opened(node, source):
    """How many connections a node's kernel knows that come from `source`, an address or a network."""
    family = "ipv6" if ":" in source else "ipv4"
    return len(node.run("conntrack", "-L", "-f", family, "-s", source).splitlines())


def neighbours(node, interface):
    """How many neighbours it has or looks for."""
    return sum(len(node.ip_json(family, "neighbour", "show", "dev", interface)) for family in ("-4", "-6"))


def spray(machine, interface, packets, a_second=4000):
    """Sends packets, as (destination's MAC, packet), so many a second."""
    kind = {4: IPV4, 6: IPV6}
    own = machine.mac(interface)
    text = "".join(ethernet(own, to, kind[packet[0] >> 4], packet).hex() + "\n" for to, packet in packets)
    machine.run(sys.executable, "-B", HERE / "wire.py", "send", interface, a_second, text=text)


def udp_from_new_ports(source, destination, count):
    return [frames.udp(source, destination, 20000 + number, 9, b"more") for number in range(count)]


class Crowd:
    """What is tried, and what was wrong."""

    def __init__(self, machines, addresses):
        self.machines, self.addresses = machines, addresses
        self.faults, self.figures = [], []

    def held(self, who, source, node, limit):
        """That a source has no more than `limit` connections at a node, and tried to have more."""
        count = opened(node, source)
        self.figures.append(f"{who} {count} at {node.name}")
        if not limit // 2 < count <= limit:
            self.faults.append(f"{who} has {count} connections at {node.name}, where {limit} are allowed")

    def others(self, *pairs, what):
        """That these reach each other all the same."""
        questions = [(asker, asked, self.addresses[asked][family], port) for asker, asked, port in pairs for family in (0, 1)]
        answers = matrix.ask(self.machines, questions, 6)
        self.faults += [f"{what}, {q[0]} does not reach {q[1]} at {q[2]}, {q[3]}" for q in questions if not answers[q]]

    def forget(self, *names):
        """What is left of one attack is no part of the next: new rules count anew, and connections are none."""
        for name in names:
            self.machines[name].within("nft", "--file", "/etc/nftables.conf")
            self.machines[name].run("conntrack", "-F")


def check(machines, addresses, work):
    """Nodes, their containers and utilite. Returns faults and a text."""
    crowd = Crowd(machines, addresses)
    pinned(crowd, work)
    container(crowd)
    peer(crowd)
    sweep(crowd)
    outside(crowd)
    return crowd.faults, ", ".join(crowd.figures)


def container(crowd):
    """One that opens whatever it can: TCP that is answered, and UDP, from ever new ports."""
    web, internet = crowd.machines["web"], crowd.machines["internet"]
    node, utilite = web.node, crowd.machines["utilite"]
    destination, own = crowd.addresses["internet"][0], crowd.addresses["web"][0]
    keeper = internet.start("keep", "9000")
    keeper.stdout.readline()
    holder = web.start("hold", destination, "9000", "1400")
    holder.stdout.readline()
    gateway = node.mac(web.network["veth.pair"])
    spray(web, "eth0", [(gateway, packet) for packet in udp_from_new_ports(own, destination, 1400)])
    for machine in (node, utilite):
        crowd.held("a container", own, machine, OF_CONTAINER)
    crowd.others(
        *(("utilite", "red-07", "22"), ("blue-23", "red-07", "22"), ("router", "web", "8080"), ("irc", "web", "80")),
        *(("irc", "internet", "80"), ("home-pc", "utilite-up", "22")),
        what="while a container opens all it can",
    )
    for process in (holder, keeper):
        process.communicate()
    crowd.forget(node.name, "utilite")


def peer(crowd):
    """A node that asks another one for as much as it can: an echo of ever new numbers each."""
    node, other = crowd.machines["red-07"], crowd.machines["blue-23"]
    own, destination = crowd.addresses["blue-23"][0], crowd.addresses["red-07"][0]
    echoes = [frames.icmp(own, destination, 8, 0, number.to_bytes(2, "big") + b"\0\1more") for number in range(900)]
    spray(other, "eth0", [(node.mac("eth0"), packet) for packet in echoes], 400)
    crowd.held("a node", own, node, OF_SOURCE)
    crowd.others(("utilite", "red-07", "22"), ("router", "red-07", "22"), what="while a node asks for all it can")
    crowd.forget(node.name)


def sweep(crowd):
    """A container that sends to every address of the node's network."""
    web = crowd.machines["web"]
    node = web.node
    gateway = node.mac(web.network["veth.pair"])
    packets = [
        frames.udp(own, network.format(number), 4444, 9, b"anybody?")
        for own, network in zip(crowd.addresses["web"], ("172.16.60.{}", "fd54:ee1a:d2c6::60:{}"))
        for number in range(1, 255)
    ]
    spray(web, "eth0", [(gateway, packet) for packet in packets])
    found = neighbours(node, "eth0")
    crowd.figures.append(f"{found} neighbours at {node.name}")
    # The nodes of the fleet, both families.
    if found > 2 * 46:
        crowd.faults.append(f"a container has {node.name} look for {found} neighbours")

    # It is many itself.
    own_mac = web.network["hwaddr"]
    asked = [frames.neighbour_solicit(f"fe80::7:{number}", frames.link_local(gateway), own_mac) for number in range(500)]
    spray(web, "eth0", [(gateway, packet) for packet in asked])
    found = neighbours(node, web.network["veth.pair"])
    crowd.figures.append(f"{found} behind one cable")
    if found > OF_CABLE:
        crowd.faults.append(f"a container has {node.name} remember {found} neighbours behind its cable")


def pinned(crowd, work):
    """What a node and its containers cannot do without is there whatever else is, and does not count."""
    node, container = crowd.machines["red-07"], crowd.machines["web"]
    for machine in (node, container):
        machine.ip("neighbour", "flush", "all")
    # What LXC says of the container: a process that is in there.
    within = container.start("keep", "9001")
    stand_in = work / "bin/lxc-info"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\necho {within.pid}\n")
    stand_in.chmod(0o755)
    within.stdout.readline()
    for _ in range(2):
        node.within("env", f"PATH={stand_in.parent}:{os.environ['PATH']}", "/usr/lib/portadc/pin-neighbours")
    within.communicate()
    places = [(node, "eth0", address) for address in crowd.addresses["utilite"]]
    places += [(node, container.network["veth.pair"], address) for address in crowd.addresses["web"]]
    places += [(container, "eth0", address) for address in GATEWAYS]
    for machine, interface, address in places:
        [found] = machine.ip_json("neighbour", "show", "to", address, "dev", interface) or [{}]
        if "PERMANENT" not in found.get("state", []) and not {"managed", "extern_learn"} <= set(found):
            crowd.faults.append(f"{machine.name} may forget {address} at {interface}: {found}")


def outside(crowd):
    """Somebody on the internet, who has a /64."""
    internet, router, utilite = (crowd.machines[name] for name in ("internet", "router", "utilite"))
    via = router.mac("outside")
    own, destination = crowd.addresses["internet"], crowd.addresses["utilite-up"]
    packets = udp_from_new_ports(own[0], destination[0], 1500)
    spray(internet, "eth0", [(via, packet) for packet in packets], 1000)
    crowd.held("one address", own[0], utilite, OF_OUTSIDE)
    packets = [
        packet
        for number in range(4)
        for packet in udp_from_new_ports(f"2001:db8::5:{number}", destination[1], 400)
    ]
    spray(internet, "eth0", [(via, packet) for packet in packets], 1000)
    crowd.held("a /64", "2001:db8::/64", utilite, OF_OUTSIDE)
    crowd.others(
        *(("router", "utilite-up", "22"), ("home-pc", "utilite-up", "80"), ("web", "internet", "80")),
        what="while somebody outside opens all he can",
    )
    crowd.forget("utilite")


def check_ssh(node, peer, other, address, work):
    """A peer that takes every place of sshd, and one that wants to log in. Returns faults and a text."""
    process, log = sshd.start(node, work)
    taken = peer.start("hold", address, "22", "100")
    places = int(taken.stdout.readline())
    asked = other.start("hold", address, "22", "5")
    answered = int(asked.stdout.readline())
    for holder in (taken, asked):
        holder.communicate()
    process.kill()
    process.wait()
    faults = []
    if not 0 < places <= OF_STRANGER:
        faults.append(f"{peer.name} has {places} places of sshd, where {OF_STRANGER} are allowed: {log.read_text()}")
    if answered != 5:
        faults.append(f"of 5 who come by {other.name} meanwhile, sshd takes {answered}")
    return faults, f"one source has {places} places, and {answered} of 5 others find one"


def check_proxy(node, machines, addresses, work):
    """haproxy. Returns faults and a text."""
    found = inproxy.services(node.folder / "etc/haproxy/haproxy.cfg")
    faults, text = [], []
    servers = inproxy.Servers(work / "containers.pem")
    owner = {address: name for name in machines for address in addresses[name]}
    for service in found:
        container = machines[owner[next(iter(service.addresses))]]
        servers.start(service.name, container, [(service.spoken, service.port)], "6")
    haproxy = inproxy.start_haproxy(node, found, work / "haproxy-crowd.log", "-W")
    http, tls, tcp = (next(service for service in found if service.kind.startswith(kind)) for kind in ("http", "tls", "tcp"))
    internet, at = machines["internet"], addresses["utilite-up"]

    def answered(what, *questions):
        for service, address in questions:
            answer = inproxy.ask(machines["home-pc"], work / "containers.pem", [service.question(address)])[0]
            if not answer or answer[0] != 200:
                faults.append(f"{what}, {service.name} answers {answer} to others")

    def held(what, address, port, count, sources, wanted=None):
        process = internet.start("hold", address, port, count, *sources)
        is_open = int(process.stdout.readline())
        if wanted and not wanted // 2 < is_open <= wanted:
            faults.append(f"{what} has {is_open} connections, where {wanted} are allowed")
        text.append(f"{what} {is_open}")
        return process

    # Connections in the name of four addresses of one /64.
    of_64 = [f"2001:db8::7:{number}" for number in range(4)]
    internet.address("eth0", *(f"{address}/64" for address in of_64))
    process = held("a /64", at[1], http.public, 100, of_64, OF_CLIENT)
    answered("while one /64 has all it can", (http, at[0]), (tls, at[0]))
    process.communicate()

    # Many, each with what it may have, at one listener: the others go on.
    many = [f"203.0.113.{number}" for number in range(100, 121)]
    internet.address("eth0", *(f"{address}/24" for address in many))
    process = held("21 addresses", at[0], http.public, 195, many)
    taken, of_all = sessions(node, "http")
    text.append(f"{taken} of {of_all} are those of the listener")
    if not 0 < taken <= of_all // 3:
        faults.append(f"one listener of haproxy has {taken} of {of_all} connections")
    answered("while 21 addresses have all they can of HTTP", (tls, at[0]), (tcp, at[0]))
    process.communicate()

    # Each reload finds somebody who stays.
    staying = []
    for _ in range(5):
        staying.append(held("one", at[0], tcp.public, 1, []))
        text.pop()
        older = children(haproxy.pid)
        haproxy.send_signal(signal.SIGUSR2)
        wait_for("new worker of haproxy", lambda: set(children(haproxy.pid)) - set(older))
        time.sleep(0.5)
    workers = len(children(haproxy.pid))
    text.append(f"{workers} workers after 5 reloads")
    if workers > WORKERS:
        faults.append(f"after 5 reloads, {workers} workers of haproxy are there, where {WORKERS} are allowed")
    answered("after 5 reloads", (http, at[0]), (tls, at[0]))
    for process in staying:
        process.communicate()
    for process in children(haproxy.pid):
        os.kill(process, signal.SIGKILL)
    haproxy.kill()
    haproxy.wait()
    for name, family in list(servers.running):
        servers.stop(name, family)
    return faults, ", ".join(text)


def sessions(node, frontend):
    """How many connections a listener has now, and how many haproxy has for all, as it says itself."""
    found = []
    for question in ("show stat", "show info"):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(f"/proc/{node.networkd.pid}/root/run/haproxy/admin.sock")
            link.sendall(f"{question}\n".encode())
            found.append(b"".join(iter(lambda: link.recv(65536), b"")).decode())
    rows = csv.DictReader(found[0].removeprefix("# ").splitlines())
    taken = next(row["scur"] for row in rows if (row["pxname"], row["svname"]) == (frontend, "FRONTEND"))
    return int(taken), int(re.search(r"^Maxconn: (\d+)$", found[1], re.MULTILINE)[1])


def children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]
