"""Disk: a container that fills what is its own leaves the others room, whether it was made here, restored, or came."""

STORE = "/var/lib/lxc"
ROOT = f"{STORE}/web/rootfs"
LIMIT = 48 << 20
# What a container takes along when it moves.
KEPT = 20 << 20
# What its names and owners take, and what btrfs keeps in hand.
MORE = 8 << 20
FULL = "Disk quota exceeded"


class Judge:
    def __init__(self, one, other):
        self.one, self.other = one, other
        self.faults = []

    def expect(self, good, fault):
        if not good:
            print(f"error: {fault}", flush=True)
            self.faults.append(fault)

    def is_full(self, node, what, most=LIMIT):
        """Writes more than is left of the limit, as the container; what could be written goes again."""
        done = node.tries("sh", "-c", f"head -c {2 * LIMIT} /dev/urandom > {ROOT}/srv/fill && sync -f {ROOT}")
        size = int(node.sh(f"stat --format=%s {ROOT}/srv/fill"))
        print(f"{what}: {size >> 20} MiB of {most >> 20} could be written")
        self.expect(FULL in done.stderr and most - MORE < size <= most, f"{what} writes {size} bytes: {done.stderr}")
        other = node.tries("sh", "-c", f"head -c {LIMIT} /dev/urandom > /srv/others && sync -f /srv && rm /srv/others")
        self.expect(other.returncode == 0, f"{what} is full, and the node cannot write: {other.stderr}")
        node.sh(f"rm {ROOT}/srv/fill; sync -f {ROOT}")

    def declare(self, size):
        """What the fleet says of it, on both nodes."""
        for node in (self.one, self.other):
            for file in ("/etc/portadc/containers", "/usr/lib/portadc/fleet-containers"):
                node.sh(f"sed -i 's/^web disk .*/web disk {size}/' {file}")
        self.one.portadc("containers")

    def limits(self):
        declared = self.one.sh("sed -n 's/^web disk //p' /etc/portadc/containers").strip()
        self.expect(declared.isdigit(), f"the fleet says no size of it: {declared!r}")
        self.declare(LIMIT)
        self.is_full(self.one, "a container that was made here")
        # A start of the node says it once more.
        self.one.portadc("containers")
        self.one.portadc("backup")
        self.one.sh("lxc-stop --name web; portadc-restore latest container web")
        self.one.sh("/usr/lib/portadc/containers; lxc-start --name web")
        self.is_full(self.one, "a container that was restored")
        # What it came with counts on, wherever it goes.
        self.one.sh(f"head -c {KEPT} /dev/urandom > {ROOT}/srv/kept; sync -f {ROOT}")
        for node, target in ((self.one, self.other), (self.other, self.one)):
            node.within("portadc-move", "web", target.name)
            self.is_full(target, f"a container that came to {target.name} with {KEPT >> 20} MiB", LIMIT - KEPT)
        self.one.sh(f"rm {ROOT}/srv/kept; sync -f {ROOT}; btrfs filesystem sync {ROOT}")
        self.is_full(self.one, "a container that deleted what it came with")
        self.declare(declared)


def judge(one, other):
    print("\n==> limits: a container fills its disk", flush=True)
    judge = Judge(one, other)
    judge.limits()
    return judge.faults
