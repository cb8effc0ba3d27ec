"""A node whose card was stolen: what its backup key does at its buddy, by real rsync and ssh, and what comes of it there."""

from exports import KEPT, Judge, say

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


class Sender(Judge):
    def push(self, script, *options):
        """Sends what `script` makes in an empty folder."""
        self.one.sh(f"rm -rf /tmp/evil; mkdir /tmp/evil; cd /tmp/evil; {script}")
        return self.one.tries(*RSYNC, *options, "/tmp/evil/", "buddy:current/")

    def links(self):
        """The buddy takes files with two names apart: what is in their way may be anything."""
        self.other.sh("mkdir -p -m 0700 /root/.ssh; echo whole > /root/kept")
        self.one.tries(*CONFIG, "prepare", text="")
        for way in (
            "ln -s /root/.ssh .apart",
            "ln -s /root/kept .apart",
            "mkdir .apart",
            "ln -s /root/.ssh srv; ln -s /root/.ssh lxc",
            "mkdir -p a/.apart; ln -s /root/.ssh a/b",
        ):
            sent = self.push(
                f"{way}; echo key > authorized_keys; ln authorized_keys ./-rf; mkdir -p 'x\ny'; ln authorized_keys 'x\ny/z'", *PLAIN
            )
            self.expect(sent.returncode == 0, f"nothing of the attack is sent: {sent.stderr}")
            for asked in ("prepare", "keep"):
                self.one.tries(*CONFIG, asked, text="")
            found = self.other.sh("ls -A /root/.ssh; cat /root/kept")
            self.expect(found == "whole\n", f"with `{way}`, a sender writes as root: {found}")
            self.other.sh("rm -rf /root/.ssh; mkdir -m 0700 /root/.ssh; echo whole > /root/kept")
        # A file that is brought back comes from a place of the sender's choice, to one.
        self.push("ln -s /root way; mkdir srv; echo mine > srv/kept", *PLAIN)
        self.one.tries(*CONFIG, "keep", text="")
        names = "way/kept\0srv/kept\0/root/kept\0../../root/kept\0../../../../../../root/.ssh/x\0"
        self.one.tries(*CONFIG, "repair", text=names)
        self.expect(self.other.sh("cat /root/kept") == "whole\n", "what is brought back comes out of its place")
        self.other.sh("rm -r /root/.ssh /root/kept")
        self.back_up()
        self.whole("the run after an attack with links")

    def devices(self):
        """Devices do not arrive, whatever rsync is asked for; programs arrive as data."""
        script = "mknod disk b 7 0; mknod null c 1 3; cp /bin/true program; chmod 6755 program; echo data > data"
        for options in (["--devices", "--specials"], ["--devices", "--no-specials"], PLAIN):
            self.push(script, *options)
        found = self.other.sh(f"find {KEPT} -type b -o -type c")
        self.expect(not found, f"a sender makes devices: {found}")
        program = f"{self.home}/current/program"
        self.expect(self.other.path(program).exists(), "a program is no data")
        done = self.other.tries("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", f"exec {program}")
        self.expect(done.returncode != 0, f"anybody may run a program of the sender, as root: {done}")
        for line in self.other.path("/etc/fstab").read_text().splitlines():
            _, place, kind, options, *_ = line.split()
            if kind == "btrfs" and place not in ("/", "/var/lib/lxc"):
                self.expect({"nodev", "nosuid"} <= set(options.split(",")), f"{place} is mounted with {options}")

    def owner(self):
        """The folder itself is part of what is sent."""
        self.push("chmod 0777 .; chown 65534:65534 .; setfacl -m u:65534:rwx . 2> /dev/null || true; touch x", *PLAIN)
        for place in (KEPT, self.home, f"{self.home}/kept"):
            found = self.other.sh(f"stat --format='%a %u' {place}").split()
            self.expect(found == ["700", "0"], f"{place} is {found}")

    def options(self):
        """Whatever rsync could be asked for besides."""
        kept = self.kept()[-1]
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
            done = self.one.tries("timeout", "20", *CONFIG, asked, text="")
            refused = done.returncode != 0 and "refuses" in done.stderr
            self.expect(refused, f"a sender may `{asked}`: {done.stdout}{done.stderr}")

    def cell(self):
        """What an rsync could do that obeyed its sender in everything."""
        self.other.sh("mkdir -p /srv/in; mkdir -p /tmp/kept-out; touch /srv/near")
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
            done = self.other.tries("/usr/lib/portadc/cell", "rw=/srv/in:new", "--", "sh", "-ec", script)
            if script.startswith("nice"):
                # It says so, and goes on.
                self.expect("Permission denied" in done.stderr, f"in a cell, `{script}` works: {done.stderr}")
            else:
                self.expect(done.returncode != 0, f"in a cell, `{script}` works: {done.stdout}{done.stderr}")
        done = self.other.tries("/usr/lib/portadc/cell", "rw=/srv/in:new", "--", "sh", "-ec", "touch new/x; chown 12:34 new/x")
        self.expect(done.returncode == 0, f"in a cell, nothing can be written: {done.stderr}")
        self.other.sh("rm -r /srv/in /srv/near /tmp/kept-out")

    def own(self):
        """What it can: lose what is its own, as far as that is not kept any more, and read what is."""
        self.back_up()
        before = self.kept()[-1]
        self.one.sh("rm -rf /tmp/read; mkdir /tmp/read")
        done = self.one.tries("portadc-restore", before, "lxc/web/rootfs/etc", "/tmp/read")
        self.expect(
            done.returncode == 0 and self.one.path("/tmp/read/etc/hostname").exists(), f"it cannot read its own: {done.stderr}"
        )
        self.push("true", *PLAIN)
        self.one.tries(*CONFIG, "keep", text="")
        last = self.kept()[-1]
        left = self.other.sh(f"ls -A {self.home}/kept/{last}")
        self.expect(last > before and not left, f"a sender cannot take away what it keeps there: {left}")


def judge(one, other):
    judge = Sender(one, other)
    for step in ("links", "devices", "owner", "options", "cell", "own"):
        say(f"hostile sender: {step}")
        getattr(judge, step)()
    judge.back_up()
    judge.whole("the run after all attacks")
    return judge.faults
