"""What is in QEMU: nodes, which `portadc boot` starts, checks and leaves running, and the containers on them. Commands get
there by ssh."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import rendered
from namespaces import wait_for

TRAFFIC = Path(__file__).parent / "traffic.pl"
# Seconds until a node answers by ssh, until it is checked after that, and for one command on it: on a busy machine it takes
# several times as long to emulate three.
PATIENCE, CHECKED, COMMAND = 600, 300, 240
SETTLED = """
end=$(($(date +%s) + 90))
while [ "$(date +%s)" -lt $end ]; do
    state=$(systemctl is-system-running 2>&-)
    case $state in running | degraded) break ;; esac
    sleep 1
done
echo $state
"""


class Guest(rendered.Node):
    """A node in QEMU, with the taps of `bench` that its ports are plugged into."""

    def __init__(self, bench, name, taps, portadc, work):
        self.name, self.folder, self.bench, self.work = name, work / "nodes" / name, bench, work
        self.answer = work / f"{name}.json"
        with open(self.answer, "w") as answer:
            command = [portadc, "--json", "--out", work, "boot", name, "--check", "--keep", "--timeout", PATIENCE]
            self.process = subprocess.Popen(bench.command(*command, "--tap", ",".join(taps)), stdout=answer)
        self.ssh = self.master = None

    def checked(self):
        """Waits until portadc has checked it. Returns what is wrong with it, and a text."""

        def told():
            text = self.answer.read_text()
            return text if text.endswith("\n}\n") else self.process.poll() is not None and "ended"

        text = wait_for(f"answer of portadc about {self.name}", told, PATIENCE + CHECKED)
        if text == "ended":
            sys.exit(f"error: {self.name} did not start; the end of its console:\n{self.console()}")
        told = json.loads(text)
        self.connect(told["login"])
        faults = [
            f"{self.name}: {outcome['check']}: {outcome['found']}, not {outcome['expected']}"
            for outcome in told["checks"]
            if not outcome["passed"]
        ]
        return faults, f"ssh after {told['ssh-seconds']} s, {len(told['checks'])} checks"

    def console(self):
        """The last lines that the node had to say."""
        path = self.work / f"logs/boot-{self.name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-20:]) if path.exists() else "nothing"

    def connect(self, login):
        """Keeps one connection open for all commands: to agree on keys takes an emulated node a second."""
        path = self.work / f"{self.name}.ssh"
        options = ["-F", "none", "-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", f"ControlPath={path}"]
        self.ssh = self.bench.command("ssh", *options, *login)
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.master = subprocess.Popen([*self.ssh, "-M", "-N"], **quiet)
        wait_for(f"connection to {self.name}", path.exists, COMMAND)

    def run(self, *command, text=None, seconds=COMMAND):
        """Runs a command on the node that has to succeed; returns what it printed."""
        words = shlex.join(map(str, command))
        try:
            done = subprocess.run(
                [*self.ssh, words], input=text or "", capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            sys.exit(f"error: {self.name}: after {seconds} s there is no end of {words}")
        if done.returncode != 0:
            sys.exit(f"error: {self.name}: {words}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def ip_json(self, *arguments):
        return json.loads(self.run("ip", "-j", *arguments) or "[]")

    def missing_tables(self):
        """The tables of its rules, and those of them that are not loaded."""
        files = [self.folder / "etc/nftables.conf", self.folder / "etc/portadc/guard-uplink.nft"]
        files += sorted(self.folder.glob("etc/portadc/rules.d/*.nft"))
        texts = [path.read_text() for path in files if path.exists()]
        wanted = {table for text in texts for table in re.findall(r"^(table \S+ \S+) \{", text, re.MULTILINE)}
        loaded = set(self.run("nft", "list", "tables").splitlines())
        return sorted(wanted), sorted(wanted - loaded)

    def end(self):
        for process in (self.master, self.process):
            if process:
                process.terminate()
                process.wait()


class Inside(rendered.Container):
    """A container on a guest, as LXC made it. `node` is where it is now."""

    def __init__(self, name, node):
        self.name, self.node, self.network = name, node, node.containers()[name]

    def run(self, *command, text=None):
        return self.node.run("lxc-attach", "--name", self.name, "--", *command, text=text)

    def settled(self):
        """Waits until its systemd has started what it starts; returns what that says. At first, it says nothing."""
        return self.run("sh", "-c", SETTLED).strip()

    def lay(self):
        """Lays what speaks for it where it is until its next start."""
        self.run("sh", "-c", "cat >/run/traffic.pl", text=TRAFFIC.read_text())

    def listen(self, ports):
        """Answers on these ports with its name."""
        self.lay()
        unit = ("systemd-run", "--quiet", "--unit=listener", "--service-type=forking")
        self.run(*unit, "perl", "/run/traffic.pl", "listen", self.name, *ports)

    def ask(self, seconds, questions):
        """What is answered to each question, as traffic.pl says it."""
        return self.run("perl", "/run/traffic.pl", "ask", seconds, *questions).splitlines()

    def send(self, frames):
        self.run("perl", "/run/traffic.pl", "send", "eth0", *(frame.hex() for frame in frames))
