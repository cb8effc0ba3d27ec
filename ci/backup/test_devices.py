"""What a container may open of the devices in its root file system: LXC itself, with the nodes' own configuration, and a root that
a node's root has laid devices into."""

import subprocess

import pytest
from confined import Confined
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


@pytest.fixture(scope="module")
def confined(world):
    return Confined(world.one)


def start(confined, settings):
    """Starts it; returns what it said of each word."""
    confined.configure(settings)
    (confined.root / "said").unlink(missing_ok=True)
    command = ["unshare", "--mount", "sh", "-c", START, "start", confined.folder, confined.files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"LXC does not start it: {done.stdout}{done.stderr}"
    return dict(line.split(" ", 1) for line in (confined.root / "said").read_text().splitlines())


def test_devices_that_a_container_may_open(confined):
    confined.folder.mkdir(mode=0o755)
    (confined.folder / "disk").write_bytes(bytes(1 << 20))
    disk = run("losetup", "--find", "--show", confined.folder / "disk").strip()
    confined.make_root(disk, INIT)
    listed = [line for line in confined.settings if not line.startswith("lxc.rootfs.options")]
    mounted = [line for line in confined.settings if not line.startswith("lxc.cgroup2.devices")]
    bare = [line.replace(",nodev", "") for line in mounted]
    said = start(confined, bare)
    assert said.get("/disk") == "open", f"without the node's settings the disk should be open, or nothing is tried: {said}"
    for what, settings, harmless in (
        ("the node's settings", confined.settings, False),
        ("nodev alone", mounted, False),
        ("the list alone", [*listed, "lxc.rootfs.options = idmap=container"], True),
    ):
        said = start(confined, settings)
        for name in LAID:
            wanted = name == "/zero" and harmless
            assert (said.get(name) == "open") == wanted, f"with {what}, {name} is {said.get(name)}"
        missing = [name for name, state in said.items() if name.startswith("/dev/") and state != "open"]
        assert not missing, f"with {what}, a container lacks {missing}: {said}"
    assert said.get("owners") == "65534 0", f"owners, as they are seen within: {said.get('owners')}"
    assert said.get("setuid") == "0 1000", (
        f"users that a program of the container's root and one of nobody's run as: {said.get('setuid')}"
    )
    run("losetup", "--detach", disk)
