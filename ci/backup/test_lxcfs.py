"""LXCFS that dies under a container that runs: LXC and LXCFS themselves, and the node's own way to mount it anew."""

import subprocess
import time

import pytest
from confined import Confined
from namespaces import run

# What runs as the container's first process: says over and over what it reads.
INIT = """#!/bin/sh
export PATH=/bin
while sleep 0.1; do
    { cat /proc/uptime; grep MemTotal /proc/meminfo; } > /said.new 2>&1
    mv /said.new /said
done
"""
# Runs within a mount namespace of its own, until it is ended. LXCFS tells a container's memory by its control group.
START = r"""
set -eu
folder=$1 files=$2
exec 2> "$folder/errors"
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for file in subuid subgid; do
    mount --bind "$files/etc/$file" "/etc/$file"
done
mkdir -p /var/lib/lxc /var/lib/lxcfs
mount --rbind "$folder" /var/lib/lxc
serve() {
    lxcfs /var/lib/lxcfs > "$folder/lxcfs.log" 2>&1 &
    lxcfs=$!
    until mountpoint -q /var/lib/lxcfs; do sleep 0.1; done
}
serve
lxc-start --name tried --foreground --logfile "$folder/log" &
read -r next
kill -KILL $lxcfs
wait $lxcfs || true
umount -l /var/lib/lxcfs
echo killed
read -r next
serve
echo served
read -r next
PATH=$PATH:/usr/sbin "$files/usr/lib/portadc/remount-lxcfs" || echo failed
echo mounted
read -r next
lxc-stop --name tried --kill
kill $lxcfs
wait
"""


class Scene(Confined):
    def __init__(self, node):
        super().__init__(node)
        self.folder = self.folder.with_name("confined-lxcfs")
        self.root = self.folder / "tried/rootfs"

    def said(self, wanted):
        """What the container reads, once that is as it should be; or what it is after ten seconds."""
        text = ""
        for _ in range(100):
            time.sleep(0.1)
            # What it has read before counts no more.
            if (self.root / "said").exists():
                text = (self.root / "said").read_text()
                (self.root / "said").unlink()
                if wanted(text):
                    break
        return text


@pytest.fixture(scope="module")
def scene(world):
    return Scene(world.one)


def test_lxcfs_that_dies_under_a_container(scene):
    scene.folder.mkdir(mode=0o755)
    (scene.folder / "disk").write_bytes(bytes(1 << 20))
    disk = run("losetup", "--find", "--show", scene.folder / "disk").strip()
    scene.make_root(disk, INIT)
    for name in ("cat", "grep", "mv", "sleep"):
        (scene.root / "bin" / name).symlink_to("busybox")
    scene.configure(scene.settings)
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", START, "start", scene.folder, scene.files],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def step():
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    def is_well(text):
        return "MemTotal" in text and "not connected" not in text

    def is_gone(text):
        return text.count("not connected") == 2

    try:
        text = scene.said(is_well)
        assert is_well(text), f"with LXCFS a container reads {text!r}: {(scene.folder / 'errors').read_text()}"
        assert step() == "killed", "LXCFS cannot be killed"
        text = scene.said(is_gone)
        assert is_gone(text), f"without LXCFS a container reads {text!r}, or nothing is tried"
        assert step() == "served", "LXCFS does not start again"
        text = scene.said(is_gone)
        assert is_gone(text), f"LXCFS that is not mounted anew gives {text!r}, or nothing is tried"
        answer = step()
        assert answer == "mounted", f"it is not mounted anew: {answer}: {(scene.folder / 'errors').read_text()}"
        text = scene.said(is_well)
        assert is_well(text), f"with another LXCFS the container reads {text!r}"
        # As long as it runs, not as long as the machine does: it is LXCFS that answers.
        uptime = float(text.split()[0])
        assert uptime < 120, f"the container has been up for {uptime} s"
    finally:
        process.stdin.close()
        process.wait(30)
        run("losetup", "--detach", disk)
