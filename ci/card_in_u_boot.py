"""Compares a card as U-Boot reads it with what `portadc inspect --json` (standard input) says of it."""

import json
import os
import re
import select
import subprocess
import sys
import time

FIRMWARE = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
PROMPT = "=> "
# Seconds until U-Boot must have answered: a virtual machine on a busy host is slow.
PATIENCE = 120
# Where U-Boot loads files to: free memory of QEMU's machine.
ADDRESS = "0x48000000"


class UBoot:
    """A virtual machine with the card, its serial line in our hands."""

    def __init__(self, image):
        self.text = ""
        self.machine = subprocess.Popen(
            ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-m", "512M", "-bios", FIRMWARE]
            + ["-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none", "-no-reboot"]
            + ["-drive", f"if=none,id=card,format=raw,snapshot=on,file={image.replace(',', ',,')}"]
            + ["-device", "virtio-blk-pci,drive=card"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def wait(self, mark):
        """What is printed before `mark`."""
        until = time.monotonic() + PATIENCE
        while mark not in self.text:
            ready, _, _ = select.select([self.machine.stdout], [], [], max(0, until - time.monotonic()))
            data = os.read(self.machine.stdout.fileno(), 4096) if ready else b""
            if not data:
                sys.exit(f"U-Boot never printed {mark!r}; it printed:\n{self.text}")
            self.text += data.decode("utf-8", "replace").replace("\r", "")
        before, self.text = self.text.split(mark, 1)
        return before

    def send(self, line):
        self.machine.stdin.write(line.encode() + b"\n")
        self.machine.stdin.flush()

    def run(self, command):
        """What `command` prints."""
        self.send(command)
        self.wait(command + "\n")
        return self.wait(PROMPT)


def compare(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: U-Boot reads {found}, portadc says {expected}")


def main():
    image, card = sys.argv[1], json.load(sys.stdin)
    u_boot = UBoot(image)
    try:
        u_boot.wait("autoboot")
        u_boot.send("")
        u_boot.wait(PROMPT)
        u_boot.run("virtio scan")

        # Number, first sector, sectors; an MBR's are followed by type and the active flag.
        rows = re.findall(
            r"^ *(\d+)\t(\d+) *\t(\d+) *\t\S+\t([0-9a-f]{2})( Boot)?$", u_boot.run("part list virtio 0"), re.MULTILINE
        )
        found = [(int(n), int(first), int(count), int(kind, 16), bool(boot)) for n, first, count, kind, boot in rows]
        expected = [
            (part["number"], part["first-sector"], part["sectors"], int(part["kind"], 16), part["active"])
            for part in card["partitions"]
        ]
        compare("partitions", found, expected)

        files = card["partitions"][0]["content"]["files"]
        listed, folders = {}, [""]
        while folders:
            folder = folders.pop()
            for size, name in re.findall(r"^ *(\d*) {3,}(\S.*)$", u_boot.run(f"ls virtio 0:1 /{folder}"), re.MULTILINE):
                if size:
                    listed[folder + name] = int(size)
                elif name not in ("./", "../"):
                    folders.append(folder + name)
        compare("files of partition 1", listed, files)

        for path, size in files.items():
            answer = u_boot.run(f"load virtio 0:1 {ADDRESS} /{path}")
            compare(f"bytes read of {path}", re.findall(r"^(\d+) bytes read", answer, re.MULTILINE), [str(size)])
        print(f"{len(expected)} partitions, {len(files)} files of {sum(files.values())} bytes: as portadc says")
    finally:
        u_boot.machine.kill()
        u_boot.machine.wait()


main()
