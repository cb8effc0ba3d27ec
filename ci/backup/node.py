"""A node with a card of its own: the rendered files over the host's, btrfs with the card's subvolumes, and the real nft,
networkd and sshd, in namespaces."""

import fcntl
import os
import re
import struct
import subprocess
import tomllib
from pathlib import Path

import sshd
from namespaces import Namespace, run, wait_for

HERE = Path(__file__).parent
CARD = HERE.parent.parent / "images/layouts/card.toml"
CARD_BYTES = 1 << 30

# Runs within a mount namespace of its own: a root that is made of the node's files, the checks' and the host's, with the card
# in it; then what the units do at a start. What is written beside the card is in memory.
BOOT = r"""
set -eu
node=$1 ours=$2 loop=$3 subvolumes=$4
mkdir -p /run/upper
mount -t tmpfs -o mode=0755 tmpfs /run/upper
mkdir /run/upper/new /run/upper/work /run/upper/root
# No layer may lie within another.
cp -a "$node" /run/upper/node
cp -a "$ours" /run/upper/ours
mount -t overlay -o "lowerdir=/run/upper/node:/run/upper/ours:/,upperdir=/run/upper/new,workdir=/run/upper/work" overlay /run/upper/root
cd /run/upper/root
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=0755 tmpfs run
mkdir -p run/systemd/netif run/systemd/network run/systemd/timesync run/sshd run/netns
# A time server has been heard.
touch run/systemd/timesync/synchronized
for place in $subvolumes; do
    mkdir -p "./${place%%=*}"
    mount -o "${place#*=}" "$loop" "./${place%%=*}"
done
exec chroot . sh -euc '
    chown -R systemd-network:systemd-network /run/systemd/netif
    rm -rf /root/.ssh
    ip address replace 169.254.1.1/32 dev lo scope link
    /usr/lib/portadc/container-routes
    /usr/lib/portadc/guests routes
    nft --file /etc/nftables.conf
    /usr/lib/portadc/guests rules
    /usr/lib/portadc/guard-uplink
    /usr/lib/portadc/guests uplink
    /usr/lib/systemd/systemd-networkd &
    exec /usr/sbin/sshd -D -e'
"""


# BTRFS_IOC_QUOTA_CTL and its command BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA, as linux/btrfs.h has them.
QUOTA_CTL, ENABLE_SIMPLE_QUOTA = 0xC0109428, 4


def count_extents(path):
    """What nodes have btrfs do with a new card (`btrfs quota enable --simple`); the program of Debian 12 cannot."""
    folder = os.open(path, os.O_RDONLY)
    fcntl.ioctl(folder, QUOTA_CTL, struct.pack("<QQ", ENABLE_SIMPLE_QUOTA, 0))
    os.close(folder)


def own_files(folder):
    """What nodes have of the checks: LXC's stand-in, and a main configuration of sshd that leads to theirs."""
    for name in ("lxc-start", "lxc-stop", "lxc-info", "lxc-wait"):
        path = folder / "usr/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((HERE / "lxc").read_bytes())
        path.chmod(0o755)
    for path, text in (
        ("usr/lib/checks/beat.py", (HERE / "beat.py").read_text()),
        ("etc/ssh/sshd_config", sshd.settings()),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    folder.chmod(0o755)
    return folder


class Node(Namespace):
    """A node of the fleet, from the folder with its files."""

    def __init__(self, name, folder, work):
        super().__init__(name)
        self.folder = folder / name
        self.folder.chmod(0o755)
        self.log = work / f"{name}.log"
        self.ours = own_files(work / "ours")
        self.image, self.top = work / f"{name}.img", work / "top"
        self.sshd = None
        self.new_card()

    def new_card(self):
        """An empty card with the subvolumes of the layout, and a template of a few files."""
        # Another file: what the kernel still has to write to the card that was taken out is not on this one.
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(CARD_BYTES)
        run("mkfs.btrfs", "-q", self.image)
        self.subvolumes = self.make_subvolumes(self.top)

    def make_subvolumes(self, top):
        """Makes the subvolumes; returns those that are mounted, `FOLDER=OPTIONS` each, as the node's fstab has them."""
        partitions = tomllib.loads(CARD.read_text())["partitions"]
        subvolumes = next(part["subvolumes"] for part in partitions if part["file-system"] == "btrfs")
        top.mkdir(exist_ok=True)
        run("mount", "-o", "loop", self.image, top)
        for subvolume in subvolumes:
            run("btrfs", "--quiet", "subvolume", "create", top / subvolume["name"])
        for folder in ("etc", "srv"):
            (top / "@template" / folder).mkdir()
        (top / "@template/etc/hosts").write_text("127.0.0.1 localhost\n")
        count_extents(top)
        run("umount", top)
        lines = [line.split() for line in (self.folder / "etc/fstab").read_text().splitlines()]
        return " ".join(f"{line[1]}={line[3]}" for line in lines if line[1] in ("/var/lib/lxc", "/srv", "/.snapshots"))

    def boot(self):
        """Starts it; the card is as it was left."""
        self.sysctl_d(self.folder)
        loop = run("losetup", "--find", "--show", self.image).strip()
        command = self.command("unshare", "--mount", "sh", "-c", BOOT, "boot", self.folder, self.ours, loop)
        with open(self.log, "a") as log:
            self.sshd = subprocess.Popen([*command, self.subvolumes], stdout=log, stderr=log)
        try:
            wait_for(f"sshd at {self.name}", self.listens)
        finally:
            # From here on it goes with the last that has it mounted.
            run("losetup", "--detach", loop)
        network = (self.folder / "etc/systemd/network/10-local.network").read_text()
        self.settled(re.findall(r"^Address=(.+)$", network, re.MULTILINE))
        # lxc.service comes last.
        self.portadc("containers")
        self.within("sh", "-c", "for c in /var/lib/lxc/*/config; do [ ! -e $c ] || { n=${c%/*}; lxc-start --name ${n##*/}; }; done")

    def power_off(self):
        """Ends everything at once; nobody is told."""
        self.ip("link", "set", "eth0", "down")
        for container in self.sh("cd /run; ls *.pid 2>/dev/null || true").split():
            self.sh(f"lxc-stop --kill --name {container.removesuffix('.pid')}")
        members = run("ip", "netns", "pids", self.name).split()
        for member in members:
            subprocess.run(["kill", "-KILL", member], stderr=subprocess.DEVNULL, check=False)
        self.sshd.wait()
        # What only the machine's memory had.
        self.ip("address", "flush", "dev", "eth0")
        self.run("nft", "flush", "ruleset")
        self.ip("link", "set", "eth0", "up")

    def listens(self):
        if self.sshd.poll() is not None:
            raise RuntimeError(f"{self.name} did not come up:\n{self.log.read_text()}")
        return ":22 " in self.run("ss", "-Hltn")

    def enter(self, *command):
        target = f"--target={self.sshd.pid}"
        return ["nsenter", target, "--net", "--mount", "--root", "--wd", *map(str, command)]

    def within(self, *command, text=None):
        """Runs a command that has to succeed, as root of the node; returns what it printed."""
        return run(*self.enter(*command), text=text)

    def sh(self, script):
        return self.within("sh", "-euc", script)

    def portadc(self, script, *arguments):
        """Runs one of the node's own scripts of /usr/lib/portadc."""
        return self.within(f"/usr/lib/portadc/{script}", *arguments)

    def tries(self, *command, text=None):
        """Runs a command that may fail."""
        return subprocess.run(self.enter(*command), capture_output=True, text=True, input=text, check=False)

    def path(self, path):
        """A path of the node as it is seen from here."""
        return Path(f"/proc/{self.sshd.pid}/root") / str(path).lstrip("/")
