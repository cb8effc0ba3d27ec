"""Network namespaces, the cables between them and what runs within. The name space of processes around all of this ends
with the check, and takes everything along."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
# Values that are the machine's, for all of its namespaces: no namespace has them to set.
OF_THE_MACHINE = ("net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_buckets", "net.ipv4.neigh.", "net.ipv6.neigh.")


def run(*command, text=None):
    """Runs a command that has to succeed; returns what it printed."""
    done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def wait_for(what, condition, seconds=20):
    """Returns what `condition` returns, once that is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds} s there is still no {what}")
        time.sleep(0.1)
    return value


class Namespace:
    """A machine as far as the network can tell."""

    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        self.ip("link", "set", "lo", "up")
        # What bridges carry is none of netfilter's business, here as in a switch.
        for family in ("iptables", "ip6tables", "arptables"):
            self.sysctl(f"net.bridge.bridge-nf-call-{family}", 0, optional=True)

    def command(self, *command):
        """`command` as it is run within."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *map(str, command)]

    def run(self, *command, text=None):
        return run(*self.command(*command), text=text)

    def start(self, *arguments):
        """Starts traffic.py with these arguments; it reads and writes JSON."""
        command = self.command(sys.executable, "-B", HERE / "traffic.py", *arguments)
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ip(self, *arguments):
        return run("ip", "-n", self.name, *arguments)

    def ip_json(self, *arguments):
        return json.loads(run("ip", "-n", self.name, "-j", *arguments) or "[]")

    def sysctl(self, name, value, optional=False):
        """Sets a value; a star in its name stands for each interface."""
        path = "/proc/sys/" + name.replace(".", "/")
        if optional and not os.path.exists(path):
            return
        self.run("sh", "-c", f"for path in {path}; do echo {value} >$path; done")

    @contextmanager
    def with_sysctl(self, name, value):
        """Sets a value as `sysctl` does, and what was there when the block ends."""
        files = "/proc/sys/" + name.replace(".", "/")
        before = self.run("sh", "-c", f"grep -H '' {files}").splitlines()
        self.sysctl(name, value)
        try:
            yield
        finally:
            for path, old in (line.split(":") for line in before):
                self.run("sh", "-c", f"echo {old} >{path}")

    def sysctl_d(self, folder):
        """Sets what the files below `folder` say of the network, as systemd-sysctl does: without what a `-` marks where it is
        not there, and what is the machine's."""
        for path in sorted(folder.glob("etc/sysctl.d/*.conf")):
            for line in path.read_text().splitlines():
                name, separator, value = line.partition("=")
                if separator and name.strip("-").startswith("net.") and not name.startswith(OF_THE_MACHINE):
                    self.sysctl(name.strip("- "), value.strip(), optional=name.startswith("-"))

    def mac(self, interface):
        return self.ip_json("link", "show", interface)[0]["address"]

    def routes_packets(self):
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)

    def settled(self, addresses=()):
        """Waits until these addresses, with prefixes, and all that it has besides can be used."""

        def ready():
            found = [address for link in self.ip_json("address") for address in link["addr_info"]]
            have = {f"{address['local']}/{address['prefixlen']}" for address in found}
            return set(addresses) <= have and not any(address.get("tentative") for address in found)

        wait_for(f"usable addresses {' '.join(addresses)} at {self.name}", ready)


def cable(one, interface, other, interface_of_other, macs=(None, None)):
    """Connects two machines. Their ports are up, and have addresses yet to get."""
    run("ip", "-n", one.name, "link", "add", interface, "type", "veth", "peer", interface_of_other, "netns", other.name)
    for machine, port, mac in ((one, interface, macs[0]), (other, interface_of_other, macs[1])):
        if mac:
            machine.ip("link", "set", port, "address", mac)
        machine.ip("link", "set", port, "up")


class Switch(Namespace):
    """An unmanaged switch: it forwards whatever it gets."""

    def __init__(self, name):
        super().__init__(name)
        self.ip("link", "add", "bridge", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        self.ip("link", "set", "bridge", "up")

    def connect(self, machine, interface):
        """Gives a machine a port that is named after it."""
        cable(machine, interface, self, machine.name)
        self.ip("link", "set", machine.name, "master", "bridge")


class Host(Namespace):
    """A machine that is no part of the fleet, with one port and addresses that are set by hand."""

    def address(self, interface, *addresses):
        for address in addresses:
            # Nobody else can have it.
            self.ip("address", "add", address, "dev", interface, *(["nodad"] if ":" in address else []))

    @contextmanager
    def more_addresses(self, interface, *addresses):
        """Has these as well until the block ends."""
        self.address(interface, *addresses)
        try:
            yield
        finally:
            for address in addresses:
                self.ip("address", "del", address, "dev", interface)

    def route(self, destination, via, *more):
        self.ip("route", "add", destination, "via", via, *more)
