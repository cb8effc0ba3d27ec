"""Moves: a container that serves goes from one node to the other and back, is cut off at any moment, and is never at two."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from namespaces import wait_for

ROOT = "/var/lib/lxc/web/rootfs"
# Asks on and on, from within the client's namespace: prints when each answer came, and what it was.
ASK = r"""
import socket, sys, time
address, family = sys.argv[1], socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
while True:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as link:
            link.settimeout(0.2)
            link.connect((address, 80))
            link.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while part := link.recv(4096):
                answer += part
        head, _, number = answer.partition(b"\r\n\r\n")
        # Of a container that ended meanwhile, there may be a part.
        if number and b"Content-Length: %d" % len(number) in head.split(b"\r\n"):
            print(time.monotonic(), number.decode(), flush=True)
    except OSError:
        pass
    time.sleep(0.02)
"""
# Sends with an address that is another's.
FORGE = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
    link.bind(("172.16.77.77", 0))
    link.sendto(b"x", ("172.16.9.9", 9))
"""


class Asker:
    """A client that asks on until it is ended."""

    def __init__(self, client, address):
        command = client.command(sys.executable, "-c", ASK, address)
        self.running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.answers = []
        threading.Thread(target=self.read, daemon=True).start()
        wait_for(f"answer of {address}", lambda: self.answers)

    def read(self):
        for line in self.running.stdout:
            moment, number = line.split()
            self.answers.append((float(moment), int(number)))

    def answers_again(self):
        """Waits for an answer that is asked for from now on."""
        begin = time.monotonic() + 0.3
        wait_for("answer of the container", lambda: self.answers[-1][0] > begin)

    def end(self):
        """Ends it; returns the longest time without an answer and the numbers that it was given."""
        self.running.kill()
        self.running.wait()
        moments = [moment for moment, _ in self.answers]
        return max(b - a for a, b in itertools.pairwise(moments)), [number for _, number in self.answers]


class Moves:
    def __init__(self, one, other, client):
        self.one, self.other, self.client = one, other, client
        fleet = one.path("/usr/lib/portadc/fleet-containers").read_text()
        self.addresses = re.findall(r"^web ipv[46] (\S+)$", fleet, re.MULTILINE)

    def runs_at(self):
        return [node for node in (self.one, self.other) if node.path("/run/web.pid").exists()]

    def move(self, source, target):
        return source.tries("portadc-move", "web", target.name)

    def lost(self, node, numbers):
        """Whether what clients were told is all in the file, in order."""
        beats = [int(line) for line in node.path(f"{ROOT}/srv/beats").read_text().split()]
        assert beats == list(range(1, len(beats) + 1)), f"the container's file has gaps: {len(beats)} lines"
        assert not numbers or max(numbers) <= len(beats), f"a client saw {max(numbers)}, the file ends at {len(beats)}"
        assert numbers == sorted(numbers), "a client saw the past"

    def held(self, node):
        """What it may send and is sent where it is now, as at home."""

        def count():
            counter = node.within("nft", "list", "counter", "inet", "guard", "spoofed-address")
            return int(re.search(r"packets (\d+)", counter).group(1))

        before = count()
        node.sh("ip -n web address add 172.16.77.77/32 dev eth0")
        node.within("ip", "netns", "exec", "web", "python3", "-c", FORGE)
        assert count() > before, f"at {node.name} it may send with an address that is not its own"
        node.sh("ip -n web address delete 172.16.77.77/32 dev eth0")
        knock = f"import socket; socket.create_connection(('{self.addresses[0]}', 22), 1)"
        done = subprocess.run(self.client.command(sys.executable, "-c", knock), capture_output=True, text=True, check=False)
        assert "timed out" in done.stderr, f"at {node.name} its port 22 is open: {done.stderr.strip().splitlines()[-1:]}"

    def nothing_left(self, what):
        left = self.other.sh("cd /var/lib/lxc; ls -d * 2>/dev/null || true; ls /.snapshots/move/.in").split()
        assert not left, f"{what} leaves {left} at {self.other.name}"
        marks = self.one.sh("ls /.snapshots/move/*/to 2>/dev/null || true")
        assert not marks, f"{what} leaves {marks} at {self.one.name}"

    def resumed(self, node):
        """Does what moves.timer does each minute. It waits its turn while what was killed is still ending."""
        resumed = node.tries("portadc-move", "--resume")
        assert resumed.returncode == 0, f"a move that was killed: {resumed.stdout}{resumed.stderr}"
        return not node.path("/var/lib/lxc/web/leaving").exists()


@pytest.fixture(scope="module")
def moves(world):
    return Moves(world.one, world.other, world.client)


def test_there_and_back(moves):
    for source, target in ((moves.one, moves.other), (moves.other, moves.one)):
        askers = [Asker(moves.client, address) for address in moves.addresses]
        moved = moves.move(source, target)
        assert moved.returncode == 0, f"the move from {source.name}: {moved.stdout}{moved.stderr}"
        print(moved.stdout.strip())
        for asker in askers:
            asker.answers_again()
        for address, asker in zip(moves.addresses, askers):
            silence, numbers = asker.end()
            print(f"{address}: {len(numbers)} answers, at most {silence:.2f} s without one")
        assert moves.runs_at() == [target], f"after the move it runs at {[node.name for node in moves.runs_at()]}"
        moves.lost(target, numbers)
        moves.held(target)


def test_restart(moves):
    """Both ends start anew while it is away."""
    moved = moves.move(moves.one, moves.other)
    assert moved.returncode == 0, f"the move: {moved.stdout}{moved.stderr}"
    for node in (moves.one, moves.other):
        node.power_off()
        node.boot()
    assert moves.runs_at() == [moves.other], f"after a start of both it runs at {[node.name for node in moves.runs_at()]}"
    asker = Asker(moves.client, moves.addresses[0])
    # The rules are loaded anew, as `systemctl reload nftables guard-uplink` does.
    for node in (moves.one, moves.other):
        node.sh("nft -f /etc/nftables.conf; /usr/lib/portadc/guests rules")
        node.sh("/usr/lib/portadc/guard-uplink; /usr/lib/portadc/guests uplink")
    asker.answers_again()
    moves.lost(moves.other, asker.end()[1])
    moved = moves.move(moves.other, moves.one)
    assert moved.returncode == 0 and moves.runs_at() == [moves.one], f"the way back: {moved.stdout}{moved.stderr}"


def test_failed_start(moves):
    moves.other.sh("touch /run/no-start")
    asker = Asker(moves.client, moves.addresses[0])
    moved = moves.move(moves.one, moves.other)
    asker.answers_again()
    silence, numbers = asker.end()
    moves.other.sh("rm /run/no-start")
    assert moved.returncode != 0 and moves.runs_at() == [moves.one], f"a start that fails: {moved.stdout}{moved.stderr}"
    moves.nothing_left("a start that failed")
    moves.lost(moves.one, numbers)
    print(f"{moved.stderr.strip().splitlines()[-1]}\nthe client: at most {silence:.2f} s without an answer")


def test_no_room(moves):
    """What does not fit is not begun."""
    free, size, block = (int(word) for word in moves.other.sh("stat -f --format='%a %b %S' /srv").split())
    moves.one.sh(f"head -c 30000000 /dev/urandom > {ROOT}/srv/bulk")
    moves.other.sh(f"fallocate -l {(free - size // 9) * block} /srv/filler; btrfs filesystem sync /srv")
    moved = moves.move(moves.one, moves.other)
    moves.other.sh("rm /srv/filler; btrfs filesystem sync /srv")
    refused = moved.returncode != 0 and "MiB are free" in moved.stderr
    assert refused and moves.runs_at() == [moves.one], f"a move without room: {moved.stdout}{moved.stderr}"
    moves.nothing_left("a move without room")


def test_lost_on_the_way(moves):
    """The connection ends while the first part is sent; then the node that sends goes down."""
    slow = ("tbf", "rate", "40mbit", "burst", "64k", "latency", "99ms")
    for power_off in (False, True):
        moves.one.run("tc", "qdisc", "replace", "dev", "eth0", "root", *slow)
        running = subprocess.Popen(
            moves.one.enter("portadc-move", "web", moves.other.name),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        begun = moves.other.path("/.snapshots/move/.in/web/cell/base")
        wait_for("beginning of the move", begun.exists)
        if power_off:
            moves.one.power_off()
            running.wait()
            moves.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
            moves.one.boot()
            resumed = moves.one.tries("portadc-move", "--resume")
            assert resumed.returncode == 0, f"after a start: {resumed.stdout}{resumed.stderr}"
        else:
            os.killpg(running.pid, signal.SIGTERM)
            moves.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
            running.wait()
        assert moves.runs_at() == [moves.one], f"it runs at {[node.name for node in moves.runs_at()]}"
        moves.nothing_left("a move that ended on the way")


def test_down_while_leaving(moves):
    """The node goes down when the container has stopped, and before it has arrived."""
    moves.one.sh(f"head -c 20000000 /dev/urandom > {ROOT}/srv/late")
    slow = ("tbf", "rate", "200mbit", "burst", "64k", "latency", "99ms")
    moves.one.run("tc", "qdisc", "replace", "dev", "eth0", "root", *slow)
    running = subprocess.Popen(
        moves.one.enter("portadc-move", "web", moves.other.name),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    mark = moves.one.path("/var/lib/lxc/web/leaving")
    wait_for("container that leaves", mark.exists)
    moves.one.power_off()
    running.wait()
    moves.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
    moves.one.boot()
    wait_for("end of the move", lambda: moves.resumed(moves.one))
    assert len(moves.runs_at()) == 1, f"it runs at {[node.name for node in moves.runs_at()]}"
    if moves.runs_at() == [moves.other]:
        moves.move(moves.other, moves.one)
    assert moves.runs_at() == [moves.one], f"at the end it runs at {[node.name for node in moves.runs_at()]}"


def test_unknown_guest(moves):
    """A container that the fleet has let go since it came."""
    moves.other.sh("mkdir -p /var/lib/lxc/ghost/rootfs; echo nobody > /var/lib/lxc/ghost/guest")
    for asked in (("guests",), ("guests", "rules"), ("containers",)):
        done = moves.other.tries(f"/usr/lib/portadc/{asked[0]}", *asked[1:])
        assert done.returncode == 0, f"with a guest that the fleet does not know, {asked}: {done.stderr}"
    moved = moves.move(moves.one, moves.other)
    assert moved.returncode == 0, f"a move to a node with such a guest: {moved.stderr}"
    moves.other.sh("rm -r /var/lib/lxc/ghost")
    # Others that cannot be made are no reason not to take one.
    moves.one.sh("mkdir -p /var/lib/lxc/broken; echo nobody > /var/lib/lxc/broken/guest")
    moves.move(moves.other, moves.one)
    moves.one.sh("rm -r /var/lib/lxc/broken")
    assert moves.runs_at() == [moves.one], f"after that it runs at {[node.name for node in moves.runs_at()]}"


def test_new_card(moves):
    """Its home gets a new card while it is away; then one while the node that has it is down."""
    moved = moves.move(moves.one, moves.other)
    assert moved.returncode == 0, f"the move: {moved.stdout}{moved.stderr}"
    asker = Asker(moves.client, moves.addresses[0])
    moves.one.power_off()
    moves.one.new_card()
    moves.one.boot()
    assert moves.runs_at() == [moves.other], f"with a new card at home it runs at {[node.name for node in moves.runs_at()]}"
    mark = moves.one.path("/var/lib/lxc/web/moved")
    assert mark.exists() and mark.read_text().strip() == moves.other.name, "a new card does not know where it is"
    restored = moves.one.tries("portadc-restore", "latest", "container", "web")
    refused = restored.returncode != 0 and f"web is at {moves.other.name}" in restored.stderr
    assert refused, f"one that is away is restored: {restored.stdout}{restored.stderr}"
    # Its home hands on what comes for it.
    asker.answers_again()
    moved = moves.move(moves.other, moves.one)
    assert moved.returncode == 0 and moves.runs_at() == [moves.one], f"the way back: {moved.stdout}{moved.stderr}"
    asker.answers_again()
    moves.lost(moves.one, asker.end()[1])
    moves.other.power_off()
    moves.one.sh("lxc-stop --name web; mv /var/lib/lxc/web /var/lib/lxc/.kept; ip neighbour flush dev eth0")
    made = moves.one.tries("/usr/lib/portadc/containers")
    said = "did not say which containers they have:" in made.stdout and moves.other.name in made.stdout
    assert made.returncode == 0 and said, f"where nobody answers: {made.stdout}{made.stderr}"
    assert moves.one.path(f"{ROOT}/etc/hostname").exists(), "where nobody answers, it is not made"
    moves.one.sh(
        "btrfs --quiet subvolume delete /var/lib/lxc/web/rootfs; rm -r /var/lib/lxc/web; mv /var/lib/lxc/.kept /var/lib/lxc/web"
    )
    moves.one.sh("lxc-start --name web")
    moves.other.boot()


def test_refusals(moves):
    """What a node that may bring containers asks for besides."""
    for asked in (
        "",
        "sh",
        "offer ../x 1",
        "offer nobody 1",
        "offer web",
        "offer web x",
        "receive web etc",
        "start web",
        "moved web nowhere",
        "status web; id",
        "moved web /etc",
        "yours web",
    ):
        done = moves.one.tries("ssh", "-F", "/etc/portadc/move.ssh", moves.other.name, asked, text="")
        refused = done.returncode != 0 and "refuses" in done.stderr
        assert refused, f"another node may `{asked}`: {done.stdout}{done.stderr}"
    for name, node in (("web", "nowhere"), ("nobody", moves.other.name), ("web", moves.one.name)):
        done = moves.one.tries("portadc-move", name, node)
        assert done.returncode != 0, f"{name} moves to {node}"


def test_killed(moves):
    """The mover ends at any moment; what goes on is `--resume`."""
    asker = Asker(moves.client, moves.addresses[0])
    outcomes, stopping = [], 0
    for step in range(12):
        source, target = (moves.one, moves.other) if moves.runs_at() == [moves.one] else (moves.other, moves.one)
        running = subprocess.Popen(
            source.enter("portadc-move", "web", target.name),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        if step > 2:
            # From when it stops the container.
            mark = source.path("/var/lib/lxc/web/leaving")
            wait_for("container that leaves", lambda mark=mark, mover=running: mark.exists() or mover.poll() is not None)
        time.sleep(0.2 * (step - 3 if step > 2 else step))
        try:
            os.killpg(running.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        running.wait()
        if step > 2 and mark.exists() and moves.runs_at() == [source]:
            stopping += 1
        assert len(moves.runs_at()) <= 1, f"after a kill at step {step} it runs twice"
        wait_for(f"end of the move that was killed at step {step}", lambda node=source: moves.resumed(node))
        now = moves.runs_at()
        assert len(now) == 1, f"after a kill at step {step} it runs at {[node.name for node in now]}"
        outcomes.append("stayed" if now == [source] else "moved")
        asker.answers_again()
    moves.lost(moves.runs_at()[0], asker.end()[1])
    assert stopping, "no mover was killed while the container stopped"
    print(
        f"{len(outcomes)} movers killed, {stopping} while it stopped: {outcomes.count('stayed')} stayed, {outcomes.count('moved')} moved"
    )
