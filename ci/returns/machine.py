"""A node in QEMU on a card of its own, which a reset does not end: its console, its events, and what it does when asked."""

import json
import shlex
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

FIRMWARE = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
# Seconds for a start, and for an answer: a virtual machine on a busy host is slow.
START, COMMAND = 600, 90


class Fault(Exception):
    """What is wrong with the node."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Machine:
    def __init__(self, name, settings, image, work):
        """`settings`: what `portadc show` says of the node, by name."""
        self.name, self.folder = name, work / name
        self.folder.mkdir()
        self.card = self.folder / "card.img"
        subprocess.run(["cp", "--reflink=auto", "--sparse=always", image, self.card], check=True)
        self.console = self.folder / "console"
        self.process = None
        self.lock, self.events = threading.Lock(), []
        self.address = settings["address"]
        self.net = f"net={settings['subnet']},host={settings['gateway']}"

    def command(self, port):
        """QEMU as `portadc boot` starts it, but that it goes on after a reset."""
        drive = f"if=none,id=card,format=raw,cache=unsafe,file={str(self.card).replace(',', ',,')}"
        forwarded = f"hostfwd=tcp:127.0.0.1:{port}-{self.address}:22"
        command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "1024M", "-bios", FIRMWARE]
        command += ["-drive", drive, "-device", "virtio-blk-pci,drive=card", "-device", "virtio-net-pci,netdev=lan"]
        command += ["-netdev", f"user,id=lan,restrict=on,{self.net},{forwarded}"]
        return command + ["-device", "i6300esb", "-action", "watchdog=reset"]

    def start(self):
        port = free_port()
        sockets = {name: self.folder / name for name in ("serial", "qmp", "gdb")}
        listening = {name: f"{path},server=on,wait=off" for name, path in sockets.items()}
        # It ends with the thread that started it.
        command = ["setpriv", "--pdeathsig", "KILL", *self.command(port), "-display", "none", "-monitor", "none"]
        command += ["-chardev", f"socket,id=line,path={listening['serial']},logfile={self.console}", "-serial", "chardev:line"]
        command += ["-qmp", f"unix:{listening['qmp']}", "-gdb", f"unix:{listening['gdb']}"]
        with open(self.folder / "qemu", "wb") as said:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        self.debugger, self.line = sockets["gdb"], self.connect(sockets["serial"])
        threading.Thread(target=self.drain, daemon=True).start()
        events = self.connect(sockets["qmp"]).makefile("rw")
        events.write('{"execute": "qmp_capabilities"}\n')
        events.flush()
        threading.Thread(target=self.listen, args=(events,), daemon=True).start()
        self.ssh = ["ssh", "-F", "none", "-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "IdentityAgent=none"]
        self.ssh += ["-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]
        self.ssh += ["-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=identity/known_hosts"]
        self.ssh += ["-o", f"HostKeyAlias={self.address}", "-i", "identity/operator_ed25519", "-p", str(port), "root@127.0.0.1"]

    def connect(self, path):
        end = time.monotonic() + 30
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
                return connection
            except OSError:
                connection.close()
                if self.process.poll() is not None or time.monotonic() > end:
                    raise Fault(f"QEMU does not start: {(self.folder / 'qemu').read_text()}") from None
                time.sleep(0.1)

    def drain(self):
        """The log has it; a line that nobody reads would fill up."""
        while self.line.recv(65536):
            pass

    def listen(self, events):
        for line in events:
            said = json.loads(line)
            if (event := said.get("event")) not in ("RESET", "WATCHDOG"):
                continue
            now = time.monotonic()
            with self.lock:
                last = self.events[-1] if self.events else None
                # QEMU may tell the same reset twice.
                if event == "WATCHDOG" or not last or last[1] == "WATCHDOG" or now - last[0] > 5:
                    self.events.append((now, event))

    def type(self, text):
        self.line.sendall(text.encode() + b"\r")

    def said(self, since=0):
        """What came by the serial line from that byte on."""
        return self.console.read_bytes()[since:].decode("utf-8", "replace").replace("\r", "")

    def mark(self):
        """How much has been said, and has happened, up to now."""
        with self.lock:
            return self.console.stat().st_size, len(self.events)

    def resets(self, mark):
        """The times of the resets since then, and whether the watchdog made them."""
        with self.lock:
            since = self.events[mark[1] :]
        before = [None, *(event for _, event in since)]
        return [(at, last == "WATCHDOG") for last, (at, event) in zip(before, since) if event == "RESET"]

    def wait(self, what, condition, seconds):
        end = time.monotonic() + seconds
        while not (value := condition()):
            if self.process.poll() is not None:
                raise Fault(f"QEMU ended instead of: {what}")
            if time.monotonic() > end:
                raise Fault(f"after {seconds} s: not {what}; the end of the console:\n{self.said()[-1500:]}")
            time.sleep(0.3)
        return value

    def ask(self, command, seconds=COMMAND):
        """The answer of a command, `None` where nobody answers."""
        try:
            done = subprocess.run(
                [*self.ssh, command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return None
        if done.returncode == 255:
            return None
        if done.returncode:
            raise Fault(f"{command}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def run(self, command):
        if (answer := self.ask(command)) is None:
            raise Fault(f"no answer to {command}; the end of the console:\n{self.said()[-1500:]}")
        return answer

    def write(self, path, text):
        self.run(f"mkdir -p {shlex.quote(str(Path(path).parent))}; printf %s {shlex.quote(text)} >{shlex.quote(path)}")

    def up(self, seconds=START):
        """Waits until the node's sshd answers, which it does once it has started; returns what tells this start from others."""
        return self.wait("an answer by ssh", lambda: self.ask("cat /proc/sys/kernel/random/boot_id", 20), seconds)

    def anew(self, before, seconds=START):
        """Waits for an answer of another start than `before`."""

        def answered():
            told = self.ask("cat /proc/sys/kernel/random/boot_id", 20)
            return told if told != before else None

        return self.wait("an answer of another start", answered, seconds)

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.card.unlink(missing_ok=True)


def missing_programs():
    wanted = {"qemu-system-aarch64", "setpriv", "ssh", "mcopy"}
    return sorted(name for name in wanted if not shutil.which(name))
