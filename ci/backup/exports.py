"""Backups: what the buddy keeps, what goes over the wire, what a sender may do there, and what comes back."""

import datetime
import os
import re
import signal
import subprocess
import time

from namespaces import wait_for
from tree import differences

ROOT = "/var/lib/lxc/web/rootfs"
BIG = 24 << 20
KEPT = "/.snapshots/backup"


def say(text):
    print(f"\n==> {text}", flush=True)


def sent(output):
    return int(re.search(r"Total bytes sent: ([\d,]+)", output).group(1).replace(",", ""))


class Judge:
    def __init__(self, one, other):
        self.one, self.other = one, other
        self.home = f"{KEPT}/{one.name}"
        self.faults = []

    def expect(self, good, fault):
        if not good:
            print(f"error: {fault}", flush=True)
            self.faults.append(fault)

    def kept(self):
        return self.other.sh(f"ls {self.home}/kept 2>/dev/null || true").split()

    def back_up(self):
        # Names count seconds.
        time.sleep(1.1)
        return self.one.portadc("backup")

    def differences(self):
        snapshot = f"{self.home}/kept/{self.kept()[-1]}"
        found = ""
        for here, there in (("/srv", "srv"), (ROOT, "lxc/web/rootfs")):
            found += differences(self.one.path(here), self.other.path(f"{snapshot}/{there}"))
        # The container counts on.
        return "".join(line for line in found.splitlines(True) if not line.startswith("srv/beats:"))

    def whole(self, what):
        differences = self.differences()
        self.expect(not differences, f"{what}: the buddy has something else:\n{differences}")

    def transfers(self):
        self.one.sh(f"""
            head -c {BIG} /dev/urandom > {ROOT}/srv/big
            echo one > {ROOT}/srv/linked; ln {ROOT}/srv/linked {ROOT}/srv/linked-too
            ln -s /etc/shadow {ROOT}/srv/link; mkfifo {ROOT}/srv/fifo
            truncate -s 8M {ROOT}/srv/sparse; echo end >> {ROOT}/srv/sparse
            mkdir '{ROOT}/srv/Grüße [1]'; echo odd > '{ROOT}/srv/Grüße [1]/a file (*)'; echo other > '{ROOT}/srv/Grüße [1]/another'
            echo secret > {ROOT}/etc/shadow; chmod 600 {ROOT}/etc/shadow; chown 12:34 {ROOT}/srv/big
            cp /bin/true {ROOT}/srv/program; chmod 4755 {ROOT}/srv/program
            echo of the node > /srv/file""")
        first = sent(self.back_up())
        self.whole("the first run")
        stored = int(self.other.sh(f"stat --format=%b {self.home}/current/lxc/web/rootfs/srv/sparse"))
        self.expect(stored < 2048, f"of a hole of 8 MiB, {stored} blocks are stored")
        self.one.sh(f"""
            printf changed | dd of={ROOT}/srv/big bs=1 seek=9000000 conv=notrunc status=none
            rm {ROOT}/srv/linked-too; echo two > {ROOT}/srv/linked-too; echo more >> /srv/file""")
        second = sent(self.back_up())
        self.whole("the second run")
        usage = self.other.within("btrfs", "filesystem", "du", "--raw", "-s", f"{self.home}/kept/{self.kept()[0]}")
        exclusive = int(usage.splitlines()[-1].split()[1])
        print(
            f"first run: {first} bytes; second, of which one byte in {BIG} differs: {second}; "
            f"what the older snapshot does not share: {exclusive}"
        )
        self.expect(first > BIG, f"{first} bytes went over the wire, fewer than there are")
        self.expect(second < BIG / 50, f"the second run sent {second} bytes")
        self.expect(exclusive < BIG / 10, f"the older snapshot has {exclusive} bytes of its own")
        third = sent(self.back_up())
        print(f"third run, nothing has changed: {third} bytes")

    def cut_off(self):
        before = self.kept()
        self.one.sh(f"head -c {BIG} /dev/urandom > {ROOT}/srv/bigger")
        slow = ("tbf", "rate", "60mbit", "burst", "64k", "latency", "99ms")
        self.one.run("tc", "qdisc", "replace", "dev", "eth0", "root", *slow)
        arrived = self.other.path(f"{self.home}/current/lxc/web/rootfs/srv/bigger")
        for part in (1, 4, 9, 14):
            running = subprocess.Popen(
                self.one.enter("/usr/lib/portadc/backup"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
            )
            wait_for(f"{part} MiB", lambda least=part << 20: arrived.exists() and arrived.stat().st_size > least, 60)
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            self.expect(self.kept() == before, "a run that was cut off made a snapshot")
        self.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
        last = sent(self.back_up())
        print(f"after 4 runs that were cut off, the last behind 14 MiB: {last} of {BIG} new bytes were sent")
        self.expect(last < BIG - (12 << 20), "a run begins anew where another was cut off")
        self.whole("the run after some that were cut off")

    def confinement(self):
        """What else a sender asks for."""
        before = self.other.sh(f"find {self.home} -maxdepth 3 | sort")
        config = ["ssh", "-F", "/etc/portadc/backup.ssh", "buddy"]
        kept = self.kept()[-1]
        for asked in (
            "",
            "sh",
            "cat /etc/shadow",
            "keep; id",
            "prepare $(id)",
            "list ..",
            "keep now",
            "rsync --server -logDtpre.iLsfxCIvu . /etc/",
            "rsync --server -logDtpre.iLsfxCIvu . ./",
            f"rsync --server -logDtpre.iLsfxCIvu . kept/{kept}/",
            "rsync --server -logDtpre.iLsfxCIvu . current/../kept/",
            "rsync --server --sender -logDtpre.iLsfxCIvu . /etc/shadow",
            f"rsync --server --sender -logDtpre.iLsfxCIvu . kept/{kept}/../../..",
            "rsync --server --sender -logDtpre.iLsfxCIvu . kept/",
            "rsync --server -slogDtpre.iLsfxCIvu",
            "rsync --daemon .",
            "rsync --server --log-file=/etc/x -logDtpre.iLsfxCIvu . current/",
            "rsync --server --temp-dir=/etc -logDtpre.iLsfxCIvu . current/",
            "btrfs subvolume delete kept",
        ):
            done = self.one.tries(*config, asked, text="")
            refused = done.returncode != 0 and "refuses" in done.stderr
            self.expect(refused, f"a sender may `{asked}`: {done.stdout}{done.stderr}")
        for more in (("-W", "127.0.0.1:22"), ("-N", "-o", "ExitOnForwardFailure=yes", "-R", "2222:127.0.0.1:22")):
            done = self.one.tries("timeout", "5", *config[:3], *more, "buddy", text="")
            self.expect(done.returncode not in (0, 124), f"a sender may forward: {more} {done.stdout}{done.stderr}")
        after = self.other.sh(f"find {self.home} -maxdepth 3 | sort")
        self.expect(before == after, "what was refused has changed something")

        # A link that leads out of `current`, and something to write behind it.
        self.other.sh(f"mkdir -p /tmp/outside; ln -s /tmp/outside {self.home}/current/srv/way")
        self.one.sh("mkdir -p /tmp/out/srv/way; echo in > /tmp/out/srv/way/x")
        rsync = ["rsync", "--rsh=ssh -F /etc/portadc/backup.ssh", "--archive", "--keep-dirlinks"]
        self.one.tries(*rsync, "/tmp/out/", "buddy:current/")
        self.expect(not self.other.path("/tmp/outside/x").exists(), "a link leads a sender out of its place")
        known = self.one.path("/etc/portadc/backup.known_hosts")
        text = known.read_text()
        host, kind, _ = text.split(maxsplit=2)
        wrong = self.one.path("/etc/ssh/authorized_keys.d/root.backup").read_text().split()[-1]
        known.write_text(f"{host} {kind} {wrong}\n")
        done = self.one.tries("/usr/lib/portadc/backup")
        refused = done.returncode != 0 and "verification failed" in done.stderr
        self.expect(refused, f"a buddy with another host key is taken: {done.stderr}")
        known.write_text(text)

    def retention(self):
        """Which snapshots stay, of a year of them, against the rule in another form."""
        limits = dict(
            re.findall(r"^(hourly|daily|weekly)=(\d+)$", self.other.path("/etc/portadc/backup.conf").read_text(), re.MULTILINE)
        )
        home, names = f"{KEPT}/retained", []
        now = datetime.datetime.now(datetime.UTC)
        for step in [*range(1, 60), *range(60, 2400, 17)]:
            names.append((now - datetime.timedelta(minutes=step * 27)).strftime("%Y%m%dT%H%M%SZ"))
        self.other.sh(
            f"mkdir -p {home}/kept; btrfs -q subvolume create {home}/current; "
            f"for name in {' '.join(names)}; do btrfs -q subvolume snapshot -r {home}/current {home}/kept/$name; done"
        )
        self.other.sh("SSH_ORIGINAL_COMMAND=keep /usr/lib/portadc/keep-backup retained")
        found = self.other.sh(f"ls {home}/kept").split()
        names.append(max(found))
        wanted = set()
        for limit, form in (("hourly", "%Y%m%d%H"), ("daily", "%Y%m%d"), ("weekly", "%G-%V")):
            periods = {}
            for name in sorted(names):
                moment = datetime.datetime.strptime(name, "%Y%m%dT%H%M%SZ")
                periods[moment.strftime(form)] = name
            wanted |= {periods[period] for period in sorted(periods)[-int(limits[limit]) :]}
        self.expect(set(found) == wanted, f"kept: {sorted(found)}, and not {sorted(wanted)}")
        print(f"{len(names)} snapshots, of which {len(found)} stay")
        self.other.sh(f"btrfs -q subvolume delete {home}/current {home}/kept/*")

    def restore(self):
        replaced = self.one.sh("ls /.snapshots/replaced 2>/dev/null || true").split()
        digest = self.one.sh(f"sha256sum < {ROOT}/srv/big")
        self.one.sh(f"rm {ROOT}/srv/big; mkdir -p /tmp/back; portadc-restore latest lxc/web/rootfs/srv/big /tmp/back")
        self.expect(self.one.sh("sha256sum < /tmp/back/big") == digest, "a file that was restored is another")
        odd = ROOT.removeprefix("/var/lib/") + "/srv/Grüße [1]"
        self.one.within("portadc-restore", "latest", f"{odd}/a file (*)", "/tmp/back")
        self.one.within("portadc-restore", "latest", odd, "/tmp/back")
        found = self.one.sh("cd /tmp/back; find . -type f ! -name big | sort; cat 'a file (*)' Gr*/*")
        wanted = "./Grüße [1]/a file (*)\n./Grüße [1]/another\n./a file (*)\nodd\nodd\nother\n"
        self.expect(found == wanted, f"files with odd names that were restored: {found}")
        for path in ("lxc/nobody", "../kept", "lxc/../../../../etc/hostname"):
            done = self.one.tries("portadc-restore", "latest", path, "/tmp/back")
            self.expect(done.returncode != 0, f"{path} is restored: {done.stdout}")
        running = self.one.tries("portadc-restore", "latest", "container", "web")
        self.expect(running.returncode != 0 and "runs" in running.stderr, "a container that runs is replaced")
        self.one.sh("lxc-stop --name web; portadc-restore latest container web")
        self.one.sh("/usr/lib/portadc/containers; lxc-start --name web")
        self.expect(self.one.sh(f"sha256sum < {ROOT}/srv/big") == digest, "the container that was restored has another file")
        self.whole("the container that was restored")
        now = self.one.sh("ls /.snapshots/replaced").split()
        self.expect(set(replaced) < set(now) and len(now) == len(replaced) + 1, f"of what was replaced, there is {now}")

    def exchange(self):
        """A container that starts while it is restored is not exchanged under itself: who starts one has a lock, and who
        exchanges one asks again when he has it."""
        replaced = self.one.sh("ls /.snapshots/replaced")
        self.one.sh("lxc-stop --name web; rm -rf /tmp/held; mkdir /tmp/held; touch " + ROOT + "/srv/mine")
        lock = "/run/portadc/containers.lock"
        starts = "touch /tmp/held/lock; until [ -e /tmp/held/go ]; do sleep 0.1; done; lxc-start --name web"
        starter = subprocess.Popen(self.one.enter("flock", "--close", lock, "sh", "-euc", starts))
        wait_for("the lock", self.one.path("/tmp/held/lock").exists)
        restore = subprocess.Popen(
            self.one.enter("portadc-restore", "latest", "container", "web"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        new = "/var/lib/lxc/.web.restored"
        waits = "for process in /proc/[0-9]*; do tr '\\0' ' ' < $process/cmdline 2> /dev/null | grep -x 'flock 8 ' || true; done"
        wait_for("its turn", lambda: restore.poll() is not None or self.one.sh(waits), 60)
        self.expect(
            restore.poll() is None and self.one.path(f"{new}/rootfs/srv").exists(), "it does not wait for who starts a container"
        )
        self.one.sh("touch /tmp/held/go")
        told = restore.communicate()[1]
        starter.wait()
        self.expect(restore.returncode != 0 and "web runs" in told, f"a container that has just started is replaced: {told}")
        whole = self.one.path(f"{ROOT}/srv/mine").exists() and not self.one.path(new).exists()
        self.expect(
            whole and self.one.sh("ls /.snapshots/replaced") == replaced, "of a restore that came too late, something is left"
        )
        # What takes its place, does so under the lock.
        self.one.path("/tmp/held/mv").write_text(
            f'#!/bin/sh\n! flock --nonblock {lock} true || echo "$*" >> /tmp/held/free\nexec /usr/bin/mv "$@"\n'
        )
        self.one.sh("chmod 755 /tmp/held/mv; touch /tmp/held/free; lxc-stop --name web")
        done = self.one.tries(
            "env", "PATH=/tmp/held:/usr/sbin:/usr/bin:/sbin:/bin", "portadc-restore", "latest", "container", "web"
        )
        free = self.one.sh("cat /tmp/held/free")
        self.expect(done.returncode == 0 and not free, f"containers are exchanged where anybody may start one: {free}{done.stderr}")
        self.one.sh("/usr/lib/portadc/containers; lxc-start --name web; rm -r /tmp/held")

    def other_tools(self):
        """Where util-linux has no setpriv, as Gentoo's."""
        self.other.sh("mv /usr/bin/setpriv /usr/bin/setpriv.away")
        self.one.sh("echo once more >> /srv/file; chown 21:43 /srv/file")
        self.back_up()
        self.whole("the run without setpriv")
        self.other.sh("mv /usr/bin/setpriv.away /usr/bin/setpriv")

    def full(self):
        """The buddy's card fills while something arrives."""
        before = self.kept()
        free, size = (int(word) for word in self.other.sh("stat -f --format='%a %b' /.snapshots").split())
        block = int(self.other.sh("stat -f --format=%S /.snapshots"))
        # An eighth stays free, and more than that is sent.
        self.other.sh(f"fallocate -l {(free - size // 8) * block} /srv/filler")
        self.one.sh(f"head -c {size * block // 7} /dev/urandom > /srv/too-big")
        slow = ("tbf", "rate", "60mbit", "burst", "64k", "latency", "99ms")
        self.one.run("tc", "qdisc", "replace", "dev", "eth0", "root", *slow)
        done = self.one.tries("/usr/lib/portadc/backup")
        left, _ = (int(word) for word in self.other.sh("stat -f --format='%a %b' /.snapshots").split())
        print(f"a buddy with an eighth of its card free, sent a seventh: {100 * left // size} % stay free")
        self.expect(done.returncode != 0, f"more is received than there is room for: {done.stdout}")
        self.expect(left > size // 50, f"a backup fills the card: {left} of {size} blocks are free")
        self.expect(self.kept() == before, "a run that was ended made a snapshot")
        self.one.sh("rm /srv/too-big")
        self.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
        self.back_up()
        self.whole("the run after one for which there was no room")
        self.other.sh(f"fallocate -l {size // 16 * block} /srv/filler-too")
        done = self.one.tries("/usr/lib/portadc/backup")
        refused = done.returncode != 0 and "less than a tenth" in done.stderr
        self.expect(refused, f"a card with less than a tenth free takes more: {done.stderr}")
        self.other.sh("rm /srv/filler /srv/filler-too")

    def failures(self):
        # One is called something that a terminal obeys, as it is and as some shells would say it.
        red = "red\033[31m\\033[31m"
        for name in ("inner", red):
            self.one.within("btrfs", "-q", "subvolume", "create", f"{ROOT}/srv/{name}")
        self.one.sh("head -c 300000 /dev/urandom > \"/srv/$(printf 'a\\033[31mb')\"")
        done = self.one.tries("/usr/lib/portadc/backup")
        named = done.returncode != 0 and "srv/inner is a subvolume" in done.stderr and "srv/red?[31m\\033[31m is a" in done.stderr
        self.expect(named, f"a subvolume is left out silently: {done.stderr}")
        moved = self.one.tries("portadc-move", "web", self.other.name)
        self.expect(moved.returncode != 0 and "red?[31m\\033" in moved.stderr, f"it moves without its subvolumes: {moved.stderr}")
        said = done.stdout + done.stderr + moved.stdout + moved.stderr
        self.expect("\033" not in said, f"a container writes to the terminal: {said!r}")
        self.one.within("btrfs", "-q", "subvolume", "delete", f"{ROOT}/srv/inner", f"{ROOT}/srv/{red}")
        self.other.ip("link", "set", "eth0", "down")
        done = self.one.tries("timeout", "60", "/usr/lib/portadc/backup")
        self.other.ip("link", "set", "eth0", "up")
        self.expect(done.returncode != 0, "a backup to nobody succeeds")


def judge(one, other):
    judge = Judge(one, other)
    for step in ("transfers", "cut_off", "confinement", "retention", "restore", "exchange", "other_tools", "full", "failures"):
        say(f"backup: {step.replace('_', ' ')}")
        getattr(judge, step)()
    return judge.faults
