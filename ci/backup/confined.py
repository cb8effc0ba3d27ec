"""A container of LXC itself, with the nodes' own configuration, whose root a node's root has laid devices into."""

import os
from pathlib import Path

from namespaces import run


class Confined:
    """A container of the node, named `tried`, in a folder of its own."""

    def __init__(self, node):
        # Where the container's users come as well.
        self.files, self.folder = node.folder, Path("/run/confined")
        self.root = self.folder / "tried/rootfs"
        text = (self.files / "etc/lxc/container.conf").read_text()
        # Of the rest, LXC would need controllers, a network and systemd here.
        skipped = ("lxc.net.", "lxc.cgroup2.memory", "lxc.cgroup2.pids", "lxc.hook.")
        self.settings = [line for line in text.splitlines() if not line.startswith(skipped)]

    def make_root(self, disk, init):
        """Its root file system, on a card of its own; `init` is its first process."""
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
        # Busybox gives up rights that it was not asked for by name, so a program of our own does what setuid programs do.
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
        (self.root / "sbin/init").write_text(init)
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


# The source of a program that does what setuid programs do.
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
