"""Three nodes in QEMU on one switch: ci/check-switch calls this within name spaces of its own, where what it makes ends with
it.

    internet ---- router ---- [uplink] ---- utilite ---- [datacenter] ---- red-07 ---- web
                                                              |
                                                           blue-23 ---- irc

The router and both switches are one namespace, where the taps of QEMU are; in the middle are images as they are flashed.
"""

import ipaddress
import re
import sys
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import devices
import matrix
import moving
import outside
import restarting
import spoofing
from guests import TRAFFIC, Guest, Inside
from namespaces import HERE, Host, cable

INTERNET = ("203.0.113.9", "2001:db8::9")
# The router's addresses there.
ROUTER_OUTSIDE = ("203.0.113.1", "2001:db8::1")
# The names in the table of the nodes that are booted.
NODES = {"utilite": "blue-01", "red-07": "red-07", "blue-23": "blue-23"}
# Those who ask: the others are ci/check-network's.
ASKERS = ("internet", "router", "web", "irc")


def say(text):
    print(f"\n==> {text}", flush=True)


def finish(faults, text):
    """Ends the judge if there is something wrong."""
    if faults:
        sys.exit("".join(f"error: {fault}\n" for fault in faults) + f"{len(faults)} faults")
    print(f"ok  {text}", flush=True)


class Outsider(Host):
    """A machine in a namespace of its own that asks as containers do."""

    def ask(self, seconds, questions):
        return self.run("perl", TRAFFIC, "ask", seconds, *questions).splitlines()


class Bench(Outsider):
    """The internet's router, which has the switches in it."""

    def switch(self, name):
        """An unmanaged switch: it forwards whatever it gets."""
        self.ip("link", "add", name, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        # What it is not given an address for, it has no part in.
        self.sysctl(f"net.ipv4.conf.{name}.arp_ignore", 1)
        self.sysctl(f"net.ipv6.conf.{name}.addr_gen_mode", 1)
        self.ip("link", "set", name, "up")

    def tap(self, name, switch):
        self.ip("tuntap", "add", "mode", "tap", "name", name)
        self.sysctl(f"net.ipv6.conf.{name}.disable_ipv6", 1)
        self.ip("link", "set", name, "master", switch, "up")
        return name


def build(fleet, portadc, work):
    """The machines outside, and the nodes, which are starting."""
    uplink = fleet["networks"]["uplink"]
    internet, bench = Outsider("internet"), Bench("router")
    cable(internet, "eth0", bench, "outside")
    for switch in ("uplink", "datacenter"):
        bench.switch(switch)
    bench.routes_packets()
    bits = (24, 64)
    for index, (subnet, gateway) in enumerate((("subnet", "gateway"), ("subnet6", "gateway6"))):
        internet.address("eth0", f"{INTERNET[index]}/{bits[index]}")
        bench.address("outside", f"{ROUTER_OUTSIDE[index]}/{bits[index]}")
        internet.route("default", ROUTER_OUTSIDE[index])
        bench.address("uplink", f"{uplink[gateway]}/{ipaddress.ip_network(uplink[subnet]).prefixlen}")
    for destination, via in uplink["routes"].items():
        bench.route(destination, via)

    nodes = {}
    for name, node in NODES.items():
        taps = [bench.tap(node, "datacenter")]
        if name == "utilite":
            taps.append(bench.tap(f"{node}-up", "uplink"))
        nodes[name] = Guest(bench, node, taps, portadc, work)
    return internet, bench, nodes


def memory_files(container):
    """Whether what is in memory as files may be as large as all of it, as its systemd has it mounted. Returns faults."""
    most = container.run("cat", "/sys/fs/cgroup/memory.max").strip()
    found = container.run("findmnt", "--list", "--noheadings", "--bytes", "--types", "tmpfs", "--output", "TARGET,SIZE")
    sizes = [(target, int(size)) for target, size in map(str.split, found.splitlines())]
    if not most.isdigit() or not {"/run", "/tmp", "/dev/shm"} <= {target for target, _ in sizes}:
        return [f"{container.name}: of {most} bytes of memory, nothing is set aside for files: {sizes}"]
    together = sum(size for _, size in sizes)
    return [] if together <= int(most) else [f"{container.name}: files in memory may take {together} of its {most} bytes: {sizes}"]


def check_swap(node):
    """Whether it has as much swap in its memory as the fleet says, and no other. Returns faults and a text."""
    said = node.folder / "etc/portadc/zram"
    wanted = int((said.exists() and said.read_text().strip()) or 0)
    found = node.run("swapon", "--show=NAME,SIZE", "--bytes", "--noheadings").split()
    # The first page says what it is.
    right = found == (["/dev/zram0", str(wanted - 4096)] if wanted else [])
    return [] if right else [
        f"{node.name}: of {wanted} bytes of swap, there is {found}"
    ], f"{node.name}: {wanted >> 20} MiB of swap in memory"


def check_hypervisor(node):
    """What LXC itself says of its kernel and of its containers. Returns faults and a text."""
    report = node.run("env", "TERM=dumb", "lxc-checkconfig")
    report = re.sub(r"\x1b\[[0-9;]*m", "", report)
    enabled = len(re.findall(r": enabled", report))
    lacking = [line for line in report.splitlines() if re.search("missing|required|disabled", line)]
    faults = [f"{node.name}: lxc-checkconfig: {line}" for line in lacking]
    if not enabled:
        faults.append(f"{node.name}: lxc-checkconfig finds no configuration of the kernel: {report}")
    for name in node.containers():
        faults += memory_files(Inside(name, node))
        state = node.run("lxc-info", "--name", name, "--state", "--no-humanize").strip()
        within = Inside(name, node).settled()
        if (state, within) != ("RUNNING", "running"):
            faults.append(f"{node.name}: container {name} is {state}, its systemd says {within!r}")
    names = ", ".join(node.containers())
    return faults, f"{node.name}: lxc-checkconfig: {enabled} enabled, none missing; {names} running, systemd within as well"


def ask_all(machines, questions, seconds):
    """Tries (asker, asked, address, what) from all askers at once; returns what was answered to each."""

    def ask(asker):
        own = [question for question in questions if question[0] == asker]
        words = [
            f"{address},{what}" if what == "ping" else f"{address},{what},{outside.http(asked)}" for _, asked, address, what in own
        ]
        return dict(zip(own, machines[asker].ask(seconds, words), strict=True))

    answered = {}
    with ThreadPoolExecutor() as pool:
        for answers in pool.map(ask, sorted({question[0] for question in questions})):
            answered |= answers
    return answered


def check_table(machines, addresses, containers):
    """The table's rows of who asks here, and columns of who is here. Returns faults and a text."""
    expected = matrix.Expected(HERE / "reachability.txt")
    questions = [
        (asker, asked, address, what)
        for asker, asked in expected.cells
        if asker in ASKERS and asked in addresses
        for address in addresses[asked]
        for what in matrix.TRIED
    ]

    def is_right(question):
        asker, asked, _, what = question
        wanted, got = expected.cells[asker, asked].get(what), answered[question]
        if wanted is None:
            # Where rules refuse, there is silence; `refused` would be said by the machine behind them.
            return got == "-"
        # Listeners of the judge are in containers. A node has sshd, and refuses by itself what it has no program for.
        return got.split(" ")[0] == wanted if wanted == "echo" or asked in containers else got != "-"

    answered = ask_all(machines, questions, 5)
    # On a busy machine an answer may take longer: what is missing is tried again, with time.
    again = [question for question in questions if not is_right(question) and answered[question] == "-"]
    answered |= ask_all(machines, again, 20)
    faults = [
        f"{asker} asks {asked} at {address} ({what}): {answered[asker, asked, address, what]!r}, "
        f"where {expected.cells[asker, asked].get(what, 'nothing')} answers"
        for asker, asked, address, what in questions
        if not is_right((asker, asked, address, what))
    ]
    seen = 0
    for asker, asked, who in expected.seen:
        if asker not in ASKERS or asked not in containers or who not in addresses:
            continue
        for address, wanted in zip(addresses[asked], addresses[who]):
            port = next(what for what in matrix.PORTS if expected.cells[asker, asked].get(what))
            got = answered[asker, asked, address, port].split(" ")[-1]
            seen += 1
            if got != wanted:
                faults.append(f"{asked} sees {asker} as {got}, not as {who} ({wanted})")
    reached = sum(answer != "-" for answer in answered.values())
    return faults, (
        f"{len(questions)} connections and echoes of {', '.join(ASKERS)} as reachability.txt says, by IPv4 and IPv6: "
        f"{reached} let through, {len(questions) - reached} not; {seen} seen as who they are"
    )


def check_forged(container, world):
    """Frames of a container in another's name, and whether its node counts them. Returns faults and a text."""
    forged, *honest = spoofing.container_frames(container, world)
    node = container.node
    # What an honest machine does first: the node learns who the router is.
    container.ask(5, [f"{world.router[0]},ping", f"{world.router[1]},ping"])
    before = node.counters()
    capture = spoofing.Capture(world.switch, node.name)
    container.send([frame for _, frame, _ in forged] + [frame for _, frame in honest])
    time.sleep(1)
    seen, after = capture.end(), node.counters()
    faults = [f"{container.name}: {name!r} came out at the switch" for name, *_ in forged if name in seen]
    faults += [f"{container.name}: {name!r} did not come out at the switch" for name, _ in honest if name not in seen]
    for counter in {counter for *_, counter in forged if counter}:
        sent = sum(counter == other for *_, other in forged)
        if after[counter] - before[counter] < sent:
            faults.append(f"{node.name}: of {sent} frames, `{counter}` counted {after[counter] - before[counter]}")
    return faults, (
        f"{len(forged)} kinds of forged frames of {container.name} at {node.name}: none came out at the switch, "
        f"{len(honest)} honest ones did"
    )


def check_without_rules(container, world):
    """That forged frames can come out: without the rules and the kernel's own filter of sources, those do that are forwarded
    at all. Returns faults and a text."""
    node = container.node
    node.run("nft", "flush", "ruleset")
    node.sysctl("net.ipv4.conf.*.rp_filter", 0)
    forged, *_ = spoofing.container_frames(container, world)
    routed = {name: frame for name, frame, _ in forged if name.startswith(("mac", "ipv4", "ipv6"))}
    capture = spoofing.Capture(world.switch, node.name)
    container.send(routed.values())
    time.sleep(1)
    seen = capture.end()
    faults = [f"without rules, {name!r} of {container.name} should come out" for name in routed if name not in seen]
    return faults, f"without rules, {len(routed)} of them do"


def main():
    portadc, work = map(Path, sys.argv[1:3])
    every_end = sys.argv[3:] == ["every-end"]
    fleet = tomllib.loads(Path("images/fleet.toml").read_text())
    start = time.monotonic()

    say("three nodes on one switch")
    internet, bench, nodes = build(fleet, portadc, work)
    for name, node in nodes.items():
        faults, text = node.checked()
        finish(faults, f"{node.name}: {text}: running, no failed unit, ports configured, containers running")
    for node in nodes.values():
        tables, missing = node.missing_tables()
        finish([f"{node.name}: there is no {table}" for table in missing], f"{node.name}: {', '.join(tables)} loaded")
        finish(*check_swap(node))
    hypervisors = [node for node in nodes.values() if node.containers()]
    with ThreadPoolExecutor() as pool:
        for faults, text in pool.map(check_hypervisor, hypervisors):
            finish(faults, text)

    addresses = {}
    for name, node in nodes.items():
        for file, listed in node.addresses().items():
            addresses[name if file == "local" else f"{name}-up"] = tuple(address.split("/")[0] for address in listed)
    outer = addresses.pop("utilite-up")
    containers = {name: Inside(name, node) for node in hypervisors for name in node.containers()}
    for name, container in containers.items():
        addresses[name] = tuple(map(container.bare, ("ipv4.address", "ipv6.address")))

    def listen(*listeners):
        for container in listeners:
            served = {service["port"] for service in fleet["services"].values() if service["container"] == container.name}
            container.listen(sorted({*matrix.PORTS, *map(str, served)}))

    say("who reaches whom")
    machines = {"internet": internet, "router": bench, **containers}
    listen(*containers.values())
    finish(*check_table(machines, addresses, containers))

    say("what is open to the internet")
    finish(*outside.check(fleet, outer, lambda questions: internet.ask(20, questions)))

    say("frames in another's name")
    web, home, away = containers["web"], nodes["red-07"], nodes["blue-23"]
    world = SimpleNamespace(
        switch=bench,
        internet=INTERNET,
        router=addresses["utilite"],
        other_node=addresses["blue-23"],
        other_container=addresses["irc"],
    )
    finish(*check_forged(web, world))

    say("devices of the node")
    finish(*devices.check(web))

    say("a container that ends")
    finish(*restarting.check(web, addresses["irc"][0], every_end))
    listen(web)

    say("a container moves to the other bus")
    finish(*moving.move(web, away, bench))
    finish(*restarting.restarts(web, addresses["irc"][0], restarting.reboot))
    finish(*moving.start_anew((home, away), containers.values()))
    listen(*containers.values())
    finish(*check_table(machines, addresses, containers))
    world.other_node = addresses["red-07"]
    finish(*check_forged(web, world))
    finish(*moving.kill_mover(web, home))
    listen(web)
    finish(*check_table(machines, addresses, containers))
    finish(*check_without_rules(web, world))

    for node in nodes.values():
        node.end()
    print(f"{time.monotonic() - start:.0f} s")


main()
