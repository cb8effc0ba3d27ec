"""A container moves to a node of the other bus: LXC's own programs, the nodes' own ssh, systemd and networkd."""

import re
import subprocess
import threading
import time

from namespaces import wait_for

# Seconds for a whole move: what is sent is read, compressed, encrypted and written by emulated processors.
MOVED = 600
# Seconds until a container answers that runs.
ECHO = 60
# Ends the mover while the container stops, which takes its systemd a while. Says what LXC said of it then; and the minute's
# timer comes round.
KILL = r"""
systemd-run --quiet --collect --unit=mover portadc-move "$1" "$2"
until grep -qsx lxc-stop /proc/[0-9]*/comm; do
    systemctl --quiet is-active mover || exit 1
    sleep 0.1
done
systemctl kill --signal=KILL mover
lxc-info --name "$1" --state --no-humanize
systemctl start moves.service
"""


class Watcher:
    """Asks an address for echoes until it is ended."""

    def __init__(self, machine, address):
        self.address = address
        command = machine.command("ping", "-nDi", "0.1", address)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.moments = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        wait_for(f"echo of {address}", lambda: self.moments, ECHO)

    def read(self):
        for line in self.process.stdout:
            if matched := re.match(r"\[([\d.]+)\] .* time=", line):
                self.moments.append(float(matched[1]))

    def end(self):
        """The longest time without an echo until there is one again, in seconds."""
        now = time.time()
        wait_for(f"echo of {self.address}", lambda: self.moments and self.moments[-1] > now, ECHO)
        self.process.terminate()
        self.process.wait()
        self.reader.join()
        return max(after - before for before, after in zip(self.moments, self.moments[1:]))


def state(node, name):
    """What LXC says of a container; `ABSENT` where it knows none."""
    return node.run("sh", "-c", f"lxc-info --name {name} --state --no-humanize 2>&- || echo ABSENT").strip()


def known_by(container):
    """What makes it that container, and a file of its own."""
    return container.run("cat", "/etc/machine-id", "/etc/hostname", "/etc/ssh/ssh_host_ed25519_key.pub", "/srv/kept")


def is_at(container, node, other):
    """Faults, if it does not run whole at `node`, or is anything at `other`."""
    name = container.name
    faults = []
    if (states := (state(node, name), state(other, name))) != ("RUNNING", "ABSENT"):
        faults.append(f"container {name} is {states[0]} at {node.name} and {states[1]} at {other.name}")
    else:
        container.node = node
        if (within := container.settled()) != "running":
            faults.append(f"{node.name}: the systemd of container {name} says {within!r}")
    return faults


def move(container, target, watched_by):
    """Moves it to `target`. Returns faults and a text."""
    name, source = container.name, container.node
    container.run("sh", "-c", "cat /proc/sys/kernel/random/uuid >>/srv/kept")
    before = known_by(container)
    watchers = [Watcher(watched_by, container.bare(key)) for key in ("ipv4.address", "ipv6.address")]
    told = source.run("portadc-move", name, target.name, seconds=MOVED)
    faults = is_at(container, target, source)
    silences = [watcher.end() for watcher in watchers]
    if not faults and (after := known_by(container)) != before:
        faults.append(f"{name} is another one at {target.name}: {after!r}, not {before!r}")
    sent = re.search(r"(\d+) bytes sent while it runs", told)[1]
    return faults, (
        f"{name} is at {target.name}: {sent} bytes sent while it ran; "
        f"silent for {silences[0]:.1f} s (IPv4), {silences[1]:.1f} s (IPv6)"
    )


def start_anew(nodes, containers):
    """What nodes go through while a container is away: all that has to do with it starts anew. Returns faults and a text."""
    services = ("nftables", "guard-uplink", "systemd-networkd", "lxc")
    for node in nodes:
        node.run("systemctl", "restart", *services, seconds=MOVED)
        node.run("/usr/lib/systemd/systemd-networkd-wait-online", "--timeout=100")
    states = {container.name: container.settled() for container in containers}
    faults = [
        f"{name}: after a new start of its node's services, its systemd says {state!r}"
        for name, state in states.items()
        if state != "running"
    ]
    return faults, f"{', '.join(states)} run where they are after a new start of {', '.join(services)}"


def kill_mover(container, target):
    """Kills the mover while the container stops. Returns faults and a text."""
    name, source = container.name, container.node
    before = known_by(container)
    told = source.run("sh", "-euc", KILL, "kill", name, target.name, seconds=MOVED)
    faults = is_at(container, source, target)
    if told.split()[0] != "RUNNING":
        faults.append(f"the mover of {name} was killed when that was {told.split()[0]}: nothing was tried")
    elif not faults and known_by(container) != before:
        faults.append(f"{name} is another one after its mover was killed")
    return faults, f"{name} was stopping when its mover was killed, and goes on at {source.name}"
