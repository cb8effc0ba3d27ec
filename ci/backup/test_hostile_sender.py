"""A node whose card was stolen: what its backup key does at its buddy, by real rsync and ssh, and what comes of it there."""

import pytest
from backups import KEPT, Backup

CONFIG = ["ssh", "-F", "/etc/portadc/backup.ssh", "buddy"]
RSYNC = [
    "rsync",
    "--rsh=ssh -F /etc/portadc/backup.ssh",
    "--archive",
    "--hard-links",
    "--acls",
    "--xattrs",
    "--numeric-ids",
    "--inplace",
    "--delete-delay",
    "--timeout=600",
]
PLAIN = ["--no-devices", "--no-specials"]


class Sender(Backup):
    def push(self, script, *options):
        """Sends what `script` makes in an empty folder."""
        self.one.sh(f"rm -rf /tmp/evil; mkdir /tmp/evil; cd /tmp/evil; {script}")
        return self.one.tries(*RSYNC, *options, "/tmp/evil/", "buddy:current/")


@pytest.fixture(scope="module")
def sender(world):
    return Sender(world.one, world.other)


def test_links(sender):
    """The buddy takes files with two names apart: what is in their way may be anything."""
    sender.other.sh("mkdir -p -m 0700 /root/.ssh; echo whole > /root/kept")
    sender.one.tries(*CONFIG, "prepare", text="")
    for way in (
        "ln -s /root/.ssh .apart",
        "ln -s /root/kept .apart",
        "mkdir .apart",
        "ln -s /root/.ssh srv; ln -s /root/.ssh lxc",
        "mkdir -p a/.apart; ln -s /root/.ssh a/b",
    ):
        sent = sender.push(
            f"{way}; echo key > authorized_keys; ln authorized_keys ./-rf; mkdir -p 'x\ny'; ln authorized_keys 'x\ny/z'", *PLAIN
        )
        assert sent.returncode == 0, f"nothing of the attack is sent: {sent.stderr}"
        for asked in ("prepare", "keep"):
            sender.one.tries(*CONFIG, asked, text="")
        found = sender.other.sh("ls -A /root/.ssh; cat /root/kept")
        assert found == "whole\n", f"with `{way}`, a sender writes as root: {found}"
        sender.other.sh("rm -rf /root/.ssh; mkdir -m 0700 /root/.ssh; echo whole > /root/kept")
    # A file that is brought back comes from a place of the sender's choice, to one.
    sender.push("ln -s /root way; mkdir srv; echo mine > srv/kept", *PLAIN)
    sender.one.tries(*CONFIG, "keep", text="")
    names = "way/kept\0srv/kept\0/root/kept\0../../root/kept\0../../../../../../root/.ssh/x\0"
    sender.one.tries(*CONFIG, "repair", text=names)
    assert sender.other.sh("cat /root/kept") == "whole\n", "what is brought back comes out of its place"
    sender.other.sh("rm -r /root/.ssh /root/kept")
    sender.back_up()
    sender.whole("the run after an attack with links")


def test_devices(sender):
    """Devices do not arrive, whatever rsync is asked for; programs arrive as data."""
    script = "mknod disk b 7 0; mknod null c 1 3; cp /bin/true program; chmod 6755 program; echo data > data"
    for options in (["--devices", "--specials"], ["--devices", "--no-specials"], PLAIN):
        sender.push(script, *options)
    found = sender.other.sh(f"find {KEPT} -type b -o -type c")
    assert not found, f"a sender makes devices: {found}"
    program = f"{sender.home}/current/program"
    assert sender.other.path(program).exists(), "a program is no data"
    done = sender.other.tries("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", f"exec {program}")
    assert done.returncode != 0, f"anybody may run a program of the sender, as root: {done}"
    for line in sender.other.path("/etc/fstab").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "btrfs" and place not in ("/", "/var/lib/lxc"):
            assert {"nodev", "nosuid"} <= set(options.split(",")), f"{place} is mounted with {options}"


def test_owner(sender):
    """The folder itself is part of what is sent."""
    sender.push("chmod 0777 .; chown 65534:65534 .; setfacl -m u:65534:rwx . 2> /dev/null || true; touch x", *PLAIN)
    for place in (KEPT, sender.home, f"{sender.home}/kept"):
        found = sender.other.sh(f"stat --format='%a %u' {place}").split()
        assert found == ["700", "0"], f"{place} is {found}"


def test_options(sender):
    """Whatever rsync could be asked for besides."""
    kept = sender.kept()[-1]
    for asked in (
        "rsync --server -lHogDtpAXre.iLsfxCIvu . current/",
        "rsync --server -Te.x -logtpre.iLsfxCIvu . current/",
        "rsync --server -logtpre.iLsfxCIvu -Me.x . current/",
        "rsync --server -fe.x -logtpre.iLsfxCIvu . current/",
        "rsync --server -logtprLe.iLsfxCIvu . current/",
        "rsync --server -logtprKe.iLsfxCIvu . current/",
        "rsync --server -logtpr . current/",
        "rsync --server -logtpre.i/x . current/",
        "rsync --server . current/ x",
        "rsync --server -logtpre.iLsfxCIvu --sender . current/",
        "rsync --server -logtpre.iLsfxCIvu --files-from=- . current/",
        "rsync --server -logtpre.iLsfxCIvu --copy-dest=/home . current/",
        "rsync --server -logtpre.iLsfxCIvu . . current/",
        f"rsync --server --sender -logtprLe.iLsfxCIvu . kept/{kept}/",
        "rsync --server --sender -logtpre.iLsfxCIvu . current/",
        f"rsync --server --sender -logtpre.iLsfxCIvu --inplace . kept/{kept}/",
        "rsync --server --sender -logtpre.iLsfxCIvu . kept/x/",
        f"rsync --server --sender -logtpre.iLsfxCIvu --delete-delay . kept/{kept}/",
        "rsync --server --sender -logtpre.iLsfxCIvu --remove-source-files . kept/x/",
        "keep complete",
        "repair x",
        "list x",
    ):
        done = sender.one.tries("timeout", "20", *CONFIG, asked, text="")
        refused = done.returncode != 0 and "refuses" in done.stderr
        assert refused, f"a sender may `{asked}`: {done.stdout}{done.stderr}"


def test_cell(sender):
    """What an rsync could do that obeyed its sender in everything."""
    sender.other.sh("mkdir -p /srv/in; mkdir -p /tmp/kept-out; touch /srv/near")
    for script in (
        "mknod new/disk b 7 0",
        "mount -t tmpfs tmpfs /home",
        "mount -o remount,rw /usr",
        "umount /home/new",
        "touch /usr/x",
        "touch /home/x",
        "touch /x",
        "ls /proc/self",
        "ls /etc",
        "ls /root",
        "ls /srv/near",
        "ls /home/new/../near",
        "ls /sys/kernel",
        "chroot /home/new /usr/bin/true",
        "unshare --mount true",
        "test $(ls /proc/*/stat | wc -l) -gt 0",
        "hostname other",
        "cp /usr/bin/true new/run; chmod 4755 new/run; new/run",
        "ln -s /dev new/dev; ls new/dev/zero",
        "ip link add x type dummy",
        "ping -c 1 127.0.0.1",
        "nice -n -5 true",
        "date --set=2000-01-01",
    ):
        done = sender.other.tries("/usr/lib/portadc/cell", "rw=/srv/in:new", "--", "sh", "-ec", script)
        if script.startswith("nice"):
            # It says so, and goes on.
            assert "Permission denied" in done.stderr, f"in a cell, `{script}` works: {done.stderr}"
        else:
            assert done.returncode != 0, f"in a cell, `{script}` works: {done.stdout}{done.stderr}"
    done = sender.other.tries("/usr/lib/portadc/cell", "rw=/srv/in:new", "--", "sh", "-ec", "touch new/x; chown 12:34 new/x")
    assert done.returncode == 0, f"in a cell, nothing can be written: {done.stderr}"
    sender.other.sh("rm -r /srv/in /srv/near /tmp/kept-out")


def test_own(sender):
    """What it can: lose what is its own, as far as that is not kept any more, and read what is."""
    sender.back_up()
    before = sender.kept()[-1]
    sender.one.sh("rm -rf /tmp/read; mkdir /tmp/read")
    done = sender.one.tries("portadc-restore", before, "lxc/web/rootfs/etc", "/tmp/read")
    assert done.returncode == 0 and sender.one.path("/tmp/read/etc/hostname").exists(), f"it cannot read its own: {done.stderr}"
    sender.push("true", *PLAIN)
    sender.one.tries(*CONFIG, "keep", text="")
    last = sender.kept()[-1]
    left = sender.other.sh(f"ls -A {sender.home}/kept/{last}")
    assert last > before and not left, f"a sender cannot take away what it keeps there: {left}"


def test_honest_backup_after_all_of_that(sender):
    sender.back_up()
    sender.whole("the run after all attacks")
