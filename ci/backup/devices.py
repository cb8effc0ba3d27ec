"""What a container may open of the devices in its root file system: LXC itself, with the nodes' own configuration, and a root that
a node's root has laid devices into."""

import os
import subprocess
from pathlib import Path

from namespaces import run

# What runs as the container's first process: which devices it can open, what it sees of owners, whether setuid works.
INIT = """#!/bin/sh
export PATH=/bin
exec > /said 2>&1
for device in /disk /memory /zero /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty1 /dev/ptmx; do
    if dd if=$device of=/dev/null bs=1 count=0 2> /why; then
        echo "$device open"
    else
        echo "$device $(sed 's/.*: //;q' /why)"
    fi
done
echo "owners $(stat -c %u /outsider /own | xargs)"
echo "setuid $(su-as 1000 /setuid -u) $(su-as 1000 /outsider -u)"
"""
# Runs within a mount namespace of its own. The devices' list is for version 2 of cgroups alone, which nodes have.
START = r"""
set -eu
folder=$1 files=$2
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for file in subuid subgid; do
    mount --bind "$files/etc/$file" "/etc/$file"
done
timeout 60 lxc-start --lxcpath "$folder" --name tried --foreground --logfile "$folder/log" || { cat "$folder/log" >&2; exit 1; }
"""
# The disk, the node's memory, and what is harmless, as devices laid into a root.
LAID = ("/disk", "/memory", "/zero")


class Judge:
    def __init__(self, node):
        # Where the container's users come as well.
        self.files, self.folder = node.folder, Path("/run/lxc-judge")
        self.root = self.folder / "tried/rootfs"
        self.faults = []
        text = (self.files / "etc/lxc/container.conf").read_text()
        # Of the rest, LXC would need controllers, a network and systemd here.
        skipped = ("lxc.net.", "lxc.cgroup2.memory", "lxc.cgroup2.pids", "lxc.hook.")
        self.settings = [line for line in text.splitlines() if not line.startswith(skipped)]

    def expect(self, good, fault):
        if not good:
            print(f"error: {fault}", flush=True)
            self.faults.append(fault)

    def make_root(self, disk):
        image = self.folder / "card"
        with open(image, "wb") as file:
            file.truncate(256 << 20)
        run("mkfs.btrfs", "-q", image)
        (self.folder / "tried").mkdir()
        run("mount", "-o", "loop", image, self.folder / "tried")
        for folder in ("bin", "dev", "proc", "sys", "sbin", "tmp", "run", "etc"):
            (self.root / folder).mkdir(parents=True)
        run("cp", "/bin/busybox", self.root / "bin/busybox")
        for name in ("sh", "dd", "sed", "stat", "xargs", "echo"):
            (self.root / "bin" / name).symlink_to("busybox")
        # Busybox gives up rights that it was not asked for by name, so a program of the judge's does what setuid programs do.
        source = self.folder / "who.c"
        source.write_text(WHO)
        run("gcc", "-static", "-O1", "-o", self.root / "setuid", source)
        run("cp", self.root / "setuid", self.root / "outsider")
        run("cp", self.root / "setuid", self.root / "bin/su-as")
        (self.root / "own").touch()
        os.chown(self.root / "outsider", 70000, 70000)
        for name in ("setuid", "outsider"):
            (self.root / name).chmod(0o4755)
        for name, kind, device in (
            ("disk", "b", os.stat(disk).st_rdev),
            ("memory", "c", os.makedev(1, 1)),
            ("zero", "c", os.makedev(1, 5)),
        ):
            run("mknod", "-m", "0666", self.root / name, kind, os.major(device), os.minor(device))
        (self.root / "sbin/init").write_text(INIT)
        (self.root / "sbin/init").chmod(0o755)

    def configure(self, settings):
        """Writes its configuration."""
        own = [
            "lxc.uts.name = tried",
            f"lxc.rootfs.path = dir:{self.root}",
            "lxc.idmap = u 0 1048576 65536",
            "lxc.idmap = g 0 1048576 65536",
            "lxc.net.0.type = empty",
        ]
        (self.folder / "tried/config").write_text("\n".join([*settings, *own, ""]))

    def start(self, settings):
        """Starts it; returns what it said of each word."""
        self.configure(settings)
        (self.root / "said").unlink(missing_ok=True)
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", START, "start", self.folder, self.files], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            self.expect(False, f"LXC does not start it: {done.stdout}{done.stderr}")
            return {}
        return dict(line.split(" ", 1) for line in (self.root / "said").read_text().splitlines())

    def tried(self):
        self.folder.mkdir(mode=0o755)
        (self.folder / "disk").write_bytes(bytes(1 << 20))
        disk = run("losetup", "--find", "--show", self.folder / "disk").strip()
        self.make_root(disk)
        listed = [line for line in self.settings if not line.startswith("lxc.rootfs.options")]
        mounted = [line for line in self.settings if not line.startswith("lxc.cgroup2.devices")]
        bare = [line.replace(",nodev", "") for line in mounted]
        said = self.start(bare)
        self.expect(
            said.get("/disk") == "open", f"without the node's settings the disk should be open, or nothing is tried: {said}"
        )
        for what, settings, harmless in (
            ("the node's settings", self.settings, False),
            ("nodev alone", mounted, False),
            ("the list alone", [*listed, "lxc.rootfs.options = idmap=container"], True),
        ):
            said = self.start(settings)
            for name in LAID:
                wanted = name == "/zero" and harmless
                self.expect((said.get(name) == "open") == wanted, f"with {what}, {name} is {said.get(name)}")
            missing = [name for name, state in said.items() if name.startswith("/dev/") and state != "open"]
            self.expect(not missing, f"with {what}, a container lacks {missing}: {said}")
        self.expect(said.get("owners") == "65534 0", f"owners, as they are seen within: {said.get('owners')}")
        self.expect(
            said.get("setuid") == "0 1000",
            f"users that a program of the container's root and one of nobody's run as: {said.get('setuid')}",
        )
        run("losetup", "--detach", disk)


WHO = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
/* NAME -u: prints who it runs as. NAME USER PROGRAM...: runs a program as another user. */
int main(int count, char **words) {
    if (count == 2)
        return printf("%d\n", geteuid()) < 0;
    if (setresuid(atoi(words[1]), atoi(words[1]), atoi(words[1])) != 0)
        return 1;
    return execv(words[2], words + 2);
}
"""


def judge(node):
    judge = Judge(node)
    print("\n==> devices: within a container of LXC", flush=True)
    judge.tried()
    return judge.faults
