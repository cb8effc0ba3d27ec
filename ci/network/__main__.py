"""The fleet's network with real packets, in network namespaces: ci/check-network calls this within name spaces of its
own, where what it makes ends with it.

    internet, providers ---- router ---- [uplink] ---- toc ---- home-pc
                                          |
                                       utilite ---- [datacenter] ---- red-07 ---- web
                                                          |
                                                       blue-23 ---- irc

What is in the middle comes from the folder with the rendered files of all nodes; what is around it is made here.
"""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import crowd
import inproxy
import matrix
import monitor
import port
import spoofing
import tunnels
from namespaces import HERE, Host, Namespace, Switch, cable
from rendered import Container, Node

INTERNET = ("203.0.113.9", "2001:db8::9")
# The router's two addresses, of which the fleet knows the second.
ROUTER_OUTSIDE = ("203.0.113.1", "2001:db8::1")
ROUTER = ("192.168.0.1", "fd54:ee1a:d2c5:1680::1")
ROUTER_RULES = """
table inet router {
    chain forward {
        type filter hook forward priority filter;
        iifname "inside" oifname "inside" drop
    }
}
"""
HOME_PC = ("192.168.142.10", "fd54:ee1a:d2c5:142::10")
# The names in the table of the nodes that are the two gateways.
GATEWAYS = {"toc": "red-01", "utilite": "blue-01"}
# Some that reach nobody, and do where toc, utilite and red-07 have no rules.
REFUSED = [
    ("internet", "home-pc"),
    ("internet", "red-07"),
    ("internet", "web"),
    ("blue-23", "red-07"),
    ("red-07", "router"),
    ("web", "toc-up"),
    ("web", "red-07"),
    ("web", "utilite"),
]


def say(text):
    print(f"\n==> {text}", flush=True)


def finish(faults, text):
    """Ends the judge if there is something wrong."""
    if faults:
        sys.exit("".join(f"error: {fault}\n" for fault in faults) + f"{len(faults)} faults")
    print(text, flush=True)


def check_rules(folder):
    """nft reads every ruleset of every node, without loading it."""
    bench = Namespace("bench")
    bench.ip("link", "add", "eth0", "type", "veth", "peer", "wire")
    faults, rulesets = [], 0
    for node in sorted(folder.iterdir()):
        commands = [["nft", "--includepath", node / "etc", "--check", "--file", node / "etc/nftables.conf"]]
        uplink = node / "etc/portadc/guard-uplink.nft"
        if uplink.exists():
            commands.append(["env", f"GUARD_UPLINK={uplink}", node / "usr/lib/portadc/guard-uplink", "--check"])
        for command in commands:
            # With a /sys of the namespace, where the board's address is read.
            done = subprocess.run(["ip", "netns", "exec", bench.name, *command], capture_output=True, text=True)
            if done.returncode != 0:
                faults.append(f"{node.name}: {done.stderr.strip()}")
            rulesets += 1
    finish(faults, f"{rulesets} rulesets of {len(list(folder.iterdir()))} nodes")


def build(folder, log):
    """All machines by the names of the table, connected and up, and the switch of the datacenter."""
    outside, uplink, datacenter = Switch("outside"), Switch("uplink"), Switch("datacenter")

    internet, router, home = Host("internet"), Host("router"), Host("home-pc")
    outside.connect(internet, "eth0")
    outside.connect(router, "outside")
    uplink.connect(router, "inside")
    # A namespace goes by the name of its node, as do its files.
    nodes = {name: Node(GATEWAYS.get(name, name), folder) for name in (*GATEWAYS, "red-07", "blue-23")}
    for name in GATEWAYS:
        uplink.connect(nodes[name], "ethToInternet")
    cable(nodes["toc"], "ethLocalNetwork", home, "eth0")
    datacenter.connect(nodes["utilite"], "ethLocalNetwork")
    for name in ("red-07", "blue-23"):
        datacenter.connect(nodes[name], "eth0")
    # Before utilite hears of them.
    known = tunnels.kernel_has_wireguard()
    of_utilite = tunnels.tunnels(nodes["utilite"].folder)
    providers = [tunnels.Provider(number, tunnel, known) for number, tunnel in enumerate(of_utilite, 1)]
    for provider in providers:
        outside.connect(provider, "eth0")
        provider.take_its_place(nodes["utilite"].folder)
    for node in nodes.values():
        node.boot(log, known)

    # The internet's router knows the way to what is behind each gateway, but is no detour between them.
    router.routes_packets()
    router.run("nft", "--file", "-", text=ROUTER_RULES)
    bits = (24, 64)
    for index in (0, 1):
        internet.address("eth0", f"{INTERNET[index]}/{bits[index]}")
        internet.route("default", ROUTER_OUTSIDE[index])
        router.address("outside", f"{ROUTER_OUTSIDE[index]}/{bits[index]}")
        router.address("inside", f"{ROUTER[index]}/{bits[index]}")
        home.address("eth0", f"{HOME_PC[index]}/{bits[index]}")
    for provider in providers:
        provider.connect(ROUTER_OUTSIDE[0])
        for machine in (internet, router):
            machine.route(f"{provider.tunnel.address}/32", provider.tunnel.endpoint)
    for node in nodes.values():
        node.booted()
    tunnels.connect_node(nodes["utilite"], known)
    addresses = {"internet": INTERNET, "router": ROUTER, "home-pc": HOME_PC}
    for name, node in nodes.items():
        of = {file: tuple(address.split("/")[0] for address in listed) for file, listed in node.addresses().items()}
        addresses[name] = of["local"]
        if "internet" in of:
            addresses[f"{name}-up"] = of["internet"]
    for index, (to_home, to_datacenter) in enumerate(
        (("192.168.142.0/24", "172.16.0.0/16"), ("fd54:ee1a:d2c5:142::/64", "fd54:ee1a:d2c6::/48"))
    ):
        router.route(to_home, addresses["toc-up"][index])
        router.route(to_datacenter, addresses["utilite-up"][index])
        home.route("default", addresses["toc"][index])

    containers = {name: Container(name, node) for node in nodes.values() for name in node.containers()}
    for name, container in containers.items():
        addresses[name] = tuple(map(container.bare, ("ipv4.address", "ipv6.address")))
    machines = {"internet": internet, "router": router, "home-pc": home, **nodes, **containers}
    for machine in machines.values():
        machine.settled()
    return machines, addresses, datacenter, providers


def main():
    folder, log, work = map(Path, sys.argv[1:])
    say("every ruleset, read by nft")
    check_rules(folder)

    say("the network comes up")
    start = time.monotonic()
    machines, addresses, datacenter, providers = build(folder, log)
    listeners = matrix.listen_all(machines)
    print(f"{len(machines)} machines in {time.monotonic() - start:.1f} s")

    say("the units of nodes, read by systemd")
    faults = [text for machine in machines.values() if isinstance(machine, Node) and (text := machine.faults_of_units())]
    finish(faults, "nothing wrong")

    say("who reaches whom")
    faults, tried = matrix.check(HERE / "reachability.txt", machines, addresses)
    finish(faults, f"{tried} connections and echoes as reachability.txt says")

    say("fixed addresses of providers")
    utilite = machines["utilite"]
    finish(*tunnels.check(utilite, providers, machines, addresses, matrix.ask, work))

    say("what stands before services: haproxy")
    # Theirs are its ports.
    busy = ("utilite", "web", "irc")
    matrix.stop(listeners, busy)
    finish(*inproxy.check(utilite, machines, addresses, work))

    say("who wants every connection of what stands before services")
    finish(*crowd.check_proxy(utilite, machines, addresses, work))
    listeners |= matrix.listen_all({name: machines[name] for name in busy})

    say("what stands before services: i2pd")
    faults, count = inproxy.check_i2p(utilite, work)
    finish(faults, f"{count} addresses as they were computed")

    say("what a monitor gets to know")
    faults, count = monitor.check_plugins(utilite.folder, work)
    faults += monitor.check_nrpe(machines["red-07"], machines, addresses, work)
    objects = [utilite.folder / "usr/share/portadc" / name for name in ("nagios.cfg", "nagios-services.cfg")]
    found, counted = monitor.check_objects(objects, work)
    finish(faults + found, f"{count} checks as they should be; {counted}")

    say("who wants every connection and every neighbour")
    finish(*crowd.check(machines, addresses, work))

    say("who wants every place of sshd")
    matrix.stop(listeners, ["red-07"])
    finish(*crowd.check_ssh(machines["red-07"], machines["blue-23"], utilite, addresses["red-07"][0], work))
    listeners |= matrix.listen_all({"red-07": machines["red-07"]})

    say("what a port of the switch has, and a connection whose rule goes")
    finish(*port.check(machines, addresses, datacenter))

    say("frames in another's name")
    world = SimpleNamespace(
        container=machines["web"],
        switch=datacenter,
        internet=INTERNET,
        router=addresses["utilite"],
        other_node=addresses["blue-23"],
        other_container=addresses["irc"],
    )
    faults, kinds, made = spoofing.check(world)
    finish(faults, f"{kinds} kinds, none came out; {made} honest connections meanwhile")

    say("the same without rules: it is they that refuse")
    for name in ("toc", "utilite", "red-07"):
        machines[name].run("nft", "flush", "ruleset")
    for machine in machines.values():
        # Some now believe what they were told in the last step.
        machine.ip("neighbour", "flush", "all")
    finish(matrix.check_open(REFUSED, machines, addresses), f"{len(REFUSED)} refused pairs reach each other")
    matrix.stop(listeners, list(listeners))


main()
