"""Moves: a container that serves goes from one node to the other and back, is cut off at any moment, and is never at two."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time

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


def say(text):
    print(f"\n==> {text}", flush=True)


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


class Judge:
    def __init__(self, one, other, client):
        self.one, self.other, self.client = one, other, client
        self.faults = []
        fleet = one.path("/usr/lib/portadc/fleet-containers").read_text()
        self.addresses = re.findall(r"^web ipv[46] (\S+)$", fleet, re.MULTILINE)

    def expect(self, good, fault):
        if not good:
            print(f"error: {fault}", flush=True)
            self.faults.append(fault)

    def runs_at(self):
        return [node for node in (self.one, self.other) if node.path("/run/web.pid").exists()]

    def move(self, source, target):
        return source.tries("portadc-move", "web", target.name)

    def lost(self, node, numbers):
        """Whether what clients were told is all in the file, in order."""
        beats = [int(line) for line in node.path(f"{ROOT}/srv/beats").read_text().split()]
        self.expect(beats == list(range(1, len(beats) + 1)), f"the container's file has gaps: {len(beats)} lines")
        self.expect(not numbers or max(numbers) <= len(beats), f"a client saw {max(numbers)}, the file ends at {len(beats)}")
        self.expect(numbers == sorted(numbers), "a client saw the past")

    def there_and_back(self):
        for source, target in ((self.one, self.other), (self.other, self.one)):
            askers = [Asker(self.client, address) for address in self.addresses]
            moved = self.move(source, target)
            self.expect(moved.returncode == 0, f"the move from {source.name}: {moved.stdout}{moved.stderr}")
            print(moved.stdout.strip())
            for asker in askers:
                asker.answers_again()
            for address, asker in zip(self.addresses, askers):
                silence, numbers = asker.end()
                print(f"{address}: {len(numbers)} answers, at most {silence:.2f} s without one")
            self.expect(self.runs_at() == [target], f"after the move it runs at {[node.name for node in self.runs_at()]}")
            self.lost(target, numbers)
            self.held(target)

    def held(self, node):
        """What it may send and is sent where it is now, as at home."""

        def count():
            counter = node.within("nft", "list", "counter", "inet", "guard", "spoofed-address")
            return int(re.search(r"packets (\d+)", counter).group(1))

        before = count()
        node.sh("ip -n web address add 172.16.77.77/32 dev eth0")
        node.within("ip", "netns", "exec", "web", "python3", "-c", FORGE)
        self.expect(count() > before, f"at {node.name} it may send with an address that is not its own")
        node.sh("ip -n web address delete 172.16.77.77/32 dev eth0")
        knock = f"import socket; socket.create_connection(('{self.addresses[0]}', 22), 1)"
        done = subprocess.run(self.client.command(sys.executable, "-c", knock), capture_output=True, text=True, check=False)
        self.expect("timed out" in done.stderr, f"at {node.name} its port 22 is open: {done.stderr.strip().splitlines()[-1:]}")

    def restart(self):
        """Both ends start anew while it is away."""
        moved = self.move(self.one, self.other)
        self.expect(moved.returncode == 0, f"the move: {moved.stdout}{moved.stderr}")
        for node in (self.one, self.other):
            node.power_off()
            node.boot()
        self.expect(self.runs_at() == [self.other], f"after a start of both it runs at {[node.name for node in self.runs_at()]}")
        asker = Asker(self.client, self.addresses[0])
        # The rules are loaded anew, as `systemctl reload nftables guard-uplink` does.
        for node in (self.one, self.other):
            node.sh("nft -f /etc/nftables.conf; /usr/lib/portadc/guests rules")
            node.sh("/usr/lib/portadc/guard-uplink; /usr/lib/portadc/guests uplink")
        asker.answers_again()
        self.lost(self.other, asker.end()[1])
        moved = self.move(self.other, self.one)
        self.expect(moved.returncode == 0 and self.runs_at() == [self.one], f"the way back: {moved.stdout}{moved.stderr}")

    def failed_start(self):
        self.other.sh("touch /run/no-start")
        asker = Asker(self.client, self.addresses[0])
        moved = self.move(self.one, self.other)
        asker.answers_again()
        silence, numbers = asker.end()
        self.other.sh("rm /run/no-start")
        self.expect(moved.returncode != 0 and self.runs_at() == [self.one], f"a start that fails: {moved.stdout}{moved.stderr}")
        self.nothing_left("a start that failed")
        self.lost(self.one, numbers)
        print(f"{moved.stderr.strip().splitlines()[-1]}\nthe client: at most {silence:.2f} s without an answer")

    def nothing_left(self, what):
        left = self.other.sh("cd /var/lib/lxc; ls -d * 2>/dev/null || true; ls /.snapshots/move/.in").split()
        self.expect(not left, f"{what} leaves {left} at {self.other.name}")
        marks = self.one.sh("ls /.snapshots/move/*/to 2>/dev/null || true")
        self.expect(not marks, f"{what} leaves {marks} at {self.one.name}")

    def no_room(self):
        """What does not fit is not begun."""
        free, size, block = (int(word) for word in self.other.sh("stat -f --format='%a %b %S' /srv").split())
        self.one.sh(f"head -c 30000000 /dev/urandom > {ROOT}/srv/bulk")
        self.other.sh(f"fallocate -l {(free - size // 9) * block} /srv/filler; btrfs filesystem sync /srv")
        moved = self.move(self.one, self.other)
        self.other.sh("rm /srv/filler; btrfs filesystem sync /srv")
        refused = moved.returncode != 0 and "MiB are free" in moved.stderr
        self.expect(refused and self.runs_at() == [self.one], f"a move without room: {moved.stdout}{moved.stderr}")
        self.nothing_left("a move without room")

    def lost_on_the_way(self):
        """The connection ends while the first part is sent; then the node that sends goes down."""
        slow = ("tbf", "rate", "40mbit", "burst", "64k", "latency", "99ms")
        for power_off in (False, True):
            self.one.run("tc", "qdisc", "replace", "dev", "eth0", "root", *slow)
            running = subprocess.Popen(
                self.one.enter("portadc-move", "web", self.other.name),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            begun = self.other.path("/.snapshots/move/.in/web/cell/base")
            wait_for("beginning of the move", begun.exists)
            if power_off:
                self.one.power_off()
                running.wait()
                self.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
                self.one.boot()
                resumed = self.one.tries("portadc-move", "--resume")
                self.expect(resumed.returncode == 0, f"after a start: {resumed.stdout}{resumed.stderr}")
            else:
                os.killpg(running.pid, signal.SIGTERM)
                self.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
                running.wait()
            self.expect(self.runs_at() == [self.one], f"it runs at {[node.name for node in self.runs_at()]}")
            self.nothing_left("a move that ended on the way")

    def down_while_leaving(self):
        """The node goes down when the container has stopped, and before it has arrived."""
        self.one.sh(f"head -c 20000000 /dev/urandom > {ROOT}/srv/late")
        slow = ("tbf", "rate", "200mbit", "burst", "64k", "latency", "99ms")
        self.one.run("tc", "qdisc", "replace", "dev", "eth0", "root", *slow)
        running = subprocess.Popen(
            self.one.enter("portadc-move", "web", self.other.name),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        mark = self.one.path("/var/lib/lxc/web/leaving")
        wait_for("container that leaves", mark.exists)
        self.one.power_off()
        running.wait()
        self.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
        self.one.boot()
        wait_for("end of the move", lambda: self.resumed(self.one))
        self.expect(len(self.runs_at()) == 1, f"it runs at {[node.name for node in self.runs_at()]}")
        if self.runs_at() == [self.other]:
            self.move(self.other, self.one)
        self.expect(self.runs_at() == [self.one], f"at the end it runs at {[node.name for node in self.runs_at()]}")

    def unknown_guest(self):
        """A container that the fleet has let go since it came."""
        self.other.sh("mkdir -p /var/lib/lxc/ghost/rootfs; echo nobody > /var/lib/lxc/ghost/guest")
        for asked in (("guests",), ("guests", "rules"), ("containers",)):
            done = self.other.tries(f"/usr/lib/portadc/{asked[0]}", *asked[1:])
            self.expect(done.returncode == 0, f"with a guest that the fleet does not know, {asked}: {done.stderr}")
        moved = self.move(self.one, self.other)
        self.expect(moved.returncode == 0, f"a move to a node with such a guest: {moved.stderr}")
        self.other.sh("rm -r /var/lib/lxc/ghost")
        # Others that cannot be made are no reason not to take one.
        self.one.sh("mkdir -p /var/lib/lxc/broken; echo nobody > /var/lib/lxc/broken/guest")
        self.move(self.other, self.one)
        self.one.sh("rm -r /var/lib/lxc/broken")
        self.expect(self.runs_at() == [self.one], f"after that it runs at {[node.name for node in self.runs_at()]}")

    def new_card(self):
        """Its home gets a new card while it is away; then one while the node that has it is down."""
        moved = self.move(self.one, self.other)
        self.expect(moved.returncode == 0, f"the move: {moved.stdout}{moved.stderr}")
        asker = Asker(self.client, self.addresses[0])
        self.one.power_off()
        self.one.new_card()
        self.one.boot()
        self.expect(self.runs_at() == [self.other], f"with a new card at home it runs at {[node.name for node in self.runs_at()]}")
        mark = self.one.path("/var/lib/lxc/web/moved")
        self.expect(mark.exists() and mark.read_text().strip() == self.other.name, "a new card does not know where it is")
        restored = self.one.tries("portadc-restore", "latest", "container", "web")
        refused = restored.returncode != 0 and f"web is at {self.other.name}" in restored.stderr
        self.expect(refused, f"one that is away is restored: {restored.stdout}{restored.stderr}")
        # Its home hands on what comes for it.
        asker.answers_again()
        moved = self.move(self.other, self.one)
        self.expect(moved.returncode == 0 and self.runs_at() == [self.one], f"the way back: {moved.stdout}{moved.stderr}")
        asker.answers_again()
        self.lost(self.one, asker.end()[1])
        self.other.power_off()
        self.one.sh("lxc-stop --name web; mv /var/lib/lxc/web /var/lib/lxc/.kept; ip neighbour flush dev eth0")
        made = self.one.tries("/usr/lib/portadc/containers")
        said = "did not say which containers they have:" in made.stdout and self.other.name in made.stdout
        self.expect(made.returncode == 0 and said, f"where nobody answers: {made.stdout}{made.stderr}")
        self.expect(self.one.path(f"{ROOT}/etc/hostname").exists(), "where nobody answers, it is not made")
        self.one.sh(
            "btrfs --quiet subvolume delete /var/lib/lxc/web/rootfs; rm -r /var/lib/lxc/web; mv /var/lib/lxc/.kept /var/lib/lxc/web"
        )
        self.one.sh("lxc-start --name web")
        self.other.boot()

    def killed(self):
        """The mover ends at any moment; what goes on is `--resume`."""
        asker = Asker(self.client, self.addresses[0])
        outcomes, stopping = [], 0
        for step in range(12):
            source, target = (self.one, self.other) if self.runs_at() == [self.one] else (self.other, self.one)
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
            if step > 2 and mark.exists() and self.runs_at() == [source]:
                stopping += 1
            self.expect(len(self.runs_at()) <= 1, f"after a kill at step {step} it runs twice")
            wait_for(f"end of the move that was killed at step {step}", lambda node=source: self.resumed(node))
            now = self.runs_at()
            self.expect(len(now) == 1, f"after a kill at step {step} it runs at {[node.name for node in now]}")
            if len(now) != 1:
                asker.end()
                return
            outcomes.append("stayed" if now == [source] else "moved")
            asker.answers_again()
        self.lost(self.runs_at()[0], asker.end()[1])
        self.expect(stopping, "no mover was killed while the container stopped")
        print(
            f"{len(outcomes)} movers killed, {stopping} while it stopped: {outcomes.count('stayed')} stayed, {outcomes.count('moved')} moved"
        )

    def resumed(self, node):
        """Does what moves.timer does each minute. It waits its turn while what was killed is still ending."""
        resumed = node.tries("portadc-move", "--resume")
        self.expect(resumed.returncode == 0, f"a move that was killed: {resumed.stdout}{resumed.stderr}")
        return not node.path("/var/lib/lxc/web/leaving").exists()

    def refusals(self):
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
            done = self.one.tries("ssh", "-F", "/etc/portadc/move.ssh", self.other.name, asked, text="")
            refused = done.returncode != 0 and "refuses" in done.stderr
            self.expect(refused, f"another node may `{asked}`: {done.stdout}{done.stderr}")
        for name, node in (("web", "nowhere"), ("nobody", self.other.name), ("web", self.one.name)):
            done = self.one.tries("portadc-move", name, node)
            self.expect(done.returncode != 0, f"{name} moves to {node}")


def judge(one, other, client):
    judge = Judge(one, other, client)
    for step in (
        "there_and_back",
        "restart",
        "failed_start",
        "no_room",
        "lost_on_the_way",
        "down_while_leaving",
        "unknown_guest",
        "new_card",
        "refusals",
        "killed",
    ):
        say(f"move: {step.replace('_', ' ')}")
        getattr(judge, step)()
    return judge.faults
