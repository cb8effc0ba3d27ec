"""Disk: a container that fills what is its own leaves the others room, whether it was made here, restored, or came."""

import pytest

STORE = "/var/lib/lxc"
ROOT = f"{STORE}/web/rootfs"
LIMIT = 48 << 20
# What a container takes along when it moves.
KEPT = 20 << 20
# What its names and owners take, and what btrfs keeps in hand.
MORE = 8 << 20
FULL = "Disk quota exceeded"


class Disk:
    def __init__(self, one, other):
        self.one, self.other = one, other

    def is_full(self, node, what, most=LIMIT):
        """Writes more than is left of the limit, as the container; what could be written goes again."""
        done = node.tries("sh", "-c", f"head -c {2 * LIMIT} /dev/urandom > {ROOT}/srv/fill && sync -f {ROOT}")
        size = int(node.sh(f"stat --format=%s {ROOT}/srv/fill"))
        print(f"{what}: {size >> 20} MiB of {most >> 20} could be written")
        assert FULL in done.stderr and most - MORE < size <= most, f"{what} writes {size} bytes: {done.stderr}"
        other = node.tries("sh", "-c", f"head -c {LIMIT} /dev/urandom > /srv/others && sync -f /srv && rm /srv/others")
        assert other.returncode == 0, f"{what} is full, and the node cannot write: {other.stderr}"
        node.sh(f"rm {ROOT}/srv/fill; sync -f {ROOT}")

    def declare(self, size):
        """What the fleet says of it, on both nodes."""
        for node in (self.one, self.other):
            for file in ("/etc/portadc/containers", "/usr/lib/portadc/fleet-containers"):
                node.sh(f"sed -i 's/^web disk .*/web disk {size}/' {file}")
        self.one.portadc("containers")


@pytest.fixture(scope="module")
def disk(world):
    return Disk(world.one, world.other)


def test_container_that_fills_its_disk(disk):
    declared = disk.one.sh("sed -n 's/^web disk //p' /etc/portadc/containers").strip()
    assert declared.isdigit(), f"the fleet says no size of it: {declared!r}"
    disk.declare(LIMIT)
    disk.is_full(disk.one, "a container that was made here")
    # A start of the node says it once more.
    disk.one.portadc("containers")
    disk.one.portadc("backup")
    disk.one.sh("lxc-stop --name web; portadc-restore latest container web")
    disk.one.sh("/usr/lib/portadc/containers; lxc-start --name web")
    disk.is_full(disk.one, "a container that was restored")
    # What it came with counts on, wherever it goes.
    disk.one.sh(f"head -c {KEPT} /dev/urandom > {ROOT}/srv/kept; sync -f {ROOT}")
    for node, target in ((disk.one, disk.other), (disk.other, disk.one)):
        node.within("portadc-move", "web", target.name)
        disk.is_full(target, f"a container that came to {target.name} with {KEPT >> 20} MiB", LIMIT - KEPT)
    disk.one.sh(f"rm {ROOT}/srv/kept; sync -f {ROOT}; btrfs filesystem sync {ROOT}")
    disk.is_full(disk.one, "a container that deleted what it came with")
    disk.declare(declared)
