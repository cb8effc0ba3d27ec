"""Backups: what the buddy keeps, what goes over the wire, what a sender may do there, and what comes back."""

import datetime
import os
import re
import signal
import subprocess

import pytest
from backups import KEPT, ROOT, Backup
from namespaces import wait_for

BIG = 24 << 20


def sent(output):
    return int(re.search(r"Total bytes sent: ([\d,]+)", output).group(1).replace(",", ""))


@pytest.fixture(scope="module")
def backup(world):
    return Backup(world.one, world.other)


def test_transfers(backup):
    backup.one.sh(f"""
            head -c {BIG} /dev/urandom > {ROOT}/srv/big
            echo one > {ROOT}/srv/linked; ln {ROOT}/srv/linked {ROOT}/srv/linked-too
            ln -s /etc/shadow {ROOT}/srv/link; mkfifo {ROOT}/srv/fifo
            truncate -s 8M {ROOT}/srv/sparse; echo end >> {ROOT}/srv/sparse
            mkdir '{ROOT}/srv/Grüße [1]'; echo odd > '{ROOT}/srv/Grüße [1]/a file (*)'; echo other > '{ROOT}/srv/Grüße [1]/another'
            echo secret > {ROOT}/etc/shadow; chmod 600 {ROOT}/etc/shadow; chown 12:34 {ROOT}/srv/big
            cp /bin/true {ROOT}/srv/program; chmod 4755 {ROOT}/srv/program
            echo of the node > /srv/file""")
    first = sent(backup.back_up())
    backup.whole("the first run")
    stored = int(backup.other.sh(f"stat --format=%b {backup.home}/current/lxc/web/rootfs/srv/sparse"))
    assert stored < 2048, f"of a hole of 8 MiB, {stored} blocks are stored"
    backup.one.sh(f"""
            printf changed | dd of={ROOT}/srv/big bs=1 seek=9000000 conv=notrunc status=none
            rm {ROOT}/srv/linked-too; echo two > {ROOT}/srv/linked-too; echo more >> /srv/file""")
    second = sent(backup.back_up())
    backup.whole("the second run")
    usage = backup.other.within("btrfs", "filesystem", "du", "--raw", "-s", f"{backup.home}/kept/{backup.kept()[0]}")
    exclusive = int(usage.splitlines()[-1].split()[1])
    print(
        f"first run: {first} bytes; second, of which one byte in {BIG} differs: {second}; "
        f"what the older snapshot does not share: {exclusive}"
    )
    assert first > BIG, f"{first} bytes went over the wire, fewer than there are"
    assert second < BIG / 50, f"the second run sent {second} bytes"
    assert exclusive < BIG / 10, f"the older snapshot has {exclusive} bytes of its own"
    third = sent(backup.back_up())
    print(f"third run, nothing has changed: {third} bytes")


def test_cut_off(backup):
    before = backup.kept()
    backup.one.sh(f"head -c {BIG} /dev/urandom > {ROOT}/srv/bigger")
    slow = ("tbf", "rate", "60mbit", "burst", "64k", "latency", "99ms")
    backup.one.run("tc", "qdisc", "replace", "dev", "eth0", "root", *slow)
    arrived = backup.other.path(f"{backup.home}/current/lxc/web/rootfs/srv/bigger")
    for part in (1, 4, 9, 14):
        running = subprocess.Popen(
            backup.one.enter("/usr/lib/portadc/backup"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        wait_for(f"{part} MiB", lambda least=part << 20: arrived.exists() and arrived.stat().st_size > least, 60)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        assert backup.kept() == before, "a run that was cut off made a snapshot"
    backup.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
    last = sent(backup.back_up())
    print(f"after 4 runs that were cut off, the last behind 14 MiB: {last} of {BIG} new bytes were sent")
    assert last < BIG - (12 << 20), "a run begins anew where another was cut off"
    backup.whole("the run after some that were cut off")


def test_confinement(backup):
    """What else a sender asks for."""
    before = backup.other.sh(f"find {backup.home} -maxdepth 3 | sort")
    config = ["ssh", "-F", "/etc/portadc/backup.ssh", "buddy"]
    kept = backup.kept()[-1]
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
        done = backup.one.tries(*config, asked, text="")
        refused = done.returncode != 0 and "refuses" in done.stderr
        assert refused, f"a sender may `{asked}`: {done.stdout}{done.stderr}"
    for more in (("-W", "127.0.0.1:22"), ("-N", "-o", "ExitOnForwardFailure=yes", "-R", "2222:127.0.0.1:22")):
        done = backup.one.tries("timeout", "5", *config[:3], *more, "buddy", text="")
        assert done.returncode not in (0, 124), f"a sender may forward: {more} {done.stdout}{done.stderr}"
    after = backup.other.sh(f"find {backup.home} -maxdepth 3 | sort")
    assert before == after, "what was refused has changed something"

    # A link that leads out of `current`, and something to write behind it.
    backup.other.sh(f"mkdir -p /tmp/outside; ln -s /tmp/outside {backup.home}/current/srv/way")
    backup.one.sh("mkdir -p /tmp/out/srv/way; echo in > /tmp/out/srv/way/x")
    rsync = ["rsync", "--rsh=ssh -F /etc/portadc/backup.ssh", "--archive", "--keep-dirlinks"]
    backup.one.tries(*rsync, "/tmp/out/", "buddy:current/")
    assert not backup.other.path("/tmp/outside/x").exists(), "a link leads a sender out of its place"
    known = backup.one.path("/etc/portadc/backup.known_hosts")
    text = known.read_text()
    host, kind, _ = text.split(maxsplit=2)
    wrong = backup.one.path("/etc/ssh/authorized_keys.d/root.backup").read_text().split()[-1]
    known.write_text(f"{host} {kind} {wrong}\n")
    done = backup.one.tries("/usr/lib/portadc/backup")
    refused = done.returncode != 0 and "verification failed" in done.stderr
    assert refused, f"a buddy with another host key is taken: {done.stderr}"
    known.write_text(text)


def test_retention(backup):
    """Which snapshots stay, of a year of them, against the rule in another form."""
    limits = dict(
        re.findall(r"^(hourly|daily|weekly)=(\d+)$", backup.other.path("/etc/portadc/backup.conf").read_text(), re.MULTILINE)
    )
    home, names = f"{KEPT}/retained", []
    now = datetime.datetime.now(datetime.UTC)
    for step in [*range(1, 60), *range(60, 2400, 17)]:
        names.append((now - datetime.timedelta(minutes=step * 27)).strftime("%Y%m%dT%H%M%SZ"))
    backup.other.sh(
        f"mkdir -p {home}/kept; btrfs -q subvolume create {home}/current; "
        f"for name in {' '.join(names)}; do btrfs -q subvolume snapshot -r {home}/current {home}/kept/$name; done"
    )
    backup.other.sh("SSH_ORIGINAL_COMMAND=keep /usr/lib/portadc/keep-backup retained")
    found = backup.other.sh(f"ls {home}/kept").split()
    names.append(max(found))
    wanted = set()
    for limit, form in (("hourly", "%Y%m%d%H"), ("daily", "%Y%m%d"), ("weekly", "%G-%V")):
        periods = {}
        for name in sorted(names):
            moment = datetime.datetime.strptime(name, "%Y%m%dT%H%M%SZ")
            periods[moment.strftime(form)] = name
        wanted |= {periods[period] for period in sorted(periods)[-int(limits[limit]) :]}
    assert set(found) == wanted, f"kept: {sorted(found)}, and not {sorted(wanted)}"
    print(f"{len(names)} snapshots, of which {len(found)} stay")
    backup.other.sh(f"btrfs -q subvolume delete {home}/current {home}/kept/*")


def test_restore(backup):
    replaced = backup.one.sh("ls /.snapshots/replaced 2>/dev/null || true").split()
    digest = backup.one.sh(f"sha256sum < {ROOT}/srv/big")
    backup.one.sh(f"rm {ROOT}/srv/big; mkdir -p /tmp/back; portadc-restore latest lxc/web/rootfs/srv/big /tmp/back")
    assert backup.one.sh("sha256sum < /tmp/back/big") == digest, "a file that was restored is another"
    odd = ROOT.removeprefix("/var/lib/") + "/srv/Grüße [1]"
    backup.one.within("portadc-restore", "latest", f"{odd}/a file (*)", "/tmp/back")
    backup.one.within("portadc-restore", "latest", odd, "/tmp/back")
    found = backup.one.sh("cd /tmp/back; find . -type f ! -name big | sort; cat 'a file (*)' Gr*/*")
    wanted = "./Grüße [1]/a file (*)\n./Grüße [1]/another\n./a file (*)\nodd\nodd\nother\n"
    assert found == wanted, f"files with odd names that were restored: {found}"
    for path in ("lxc/nobody", "../kept", "lxc/../../../../etc/hostname"):
        done = backup.one.tries("portadc-restore", "latest", path, "/tmp/back")
        assert done.returncode != 0, f"{path} is restored: {done.stdout}"
    running = backup.one.tries("portadc-restore", "latest", "container", "web")
    assert running.returncode != 0 and "runs" in running.stderr, "a container that runs is replaced"
    backup.one.sh("lxc-stop --name web; portadc-restore latest container web")
    backup.one.sh("/usr/lib/portadc/containers; lxc-start --name web")
    assert backup.one.sh(f"sha256sum < {ROOT}/srv/big") == digest, "the container that was restored has another file"
    backup.whole("the container that was restored")
    now = backup.one.sh("ls /.snapshots/replaced").split()
    assert set(replaced) < set(now) and len(now) == len(replaced) + 1, f"of what was replaced, there is {now}"


def test_exchange(backup):
    """A container that starts while it is restored is not exchanged under itself: who starts one has a lock, and who
    exchanges one asks again when he has it."""
    replaced = backup.one.sh("ls /.snapshots/replaced")
    backup.one.sh("lxc-stop --name web; rm -rf /tmp/held; mkdir /tmp/held; touch " + ROOT + "/srv/mine")
    lock = "/run/portadc/containers.lock"
    starts = "touch /tmp/held/lock; until [ -e /tmp/held/go ]; do sleep 0.1; done; lxc-start --name web"
    starter = subprocess.Popen(backup.one.enter("flock", "--close", lock, "sh", "-euc", starts))
    wait_for("the lock", backup.one.path("/tmp/held/lock").exists)
    restore = subprocess.Popen(
        backup.one.enter("portadc-restore", "latest", "container", "web"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    new = "/var/lib/lxc/.web.restored"
    waits = "for process in /proc/[0-9]*; do tr '\\0' ' ' < $process/cmdline 2> /dev/null | grep -x 'flock 8 ' || true; done"
    wait_for("its turn", lambda: restore.poll() is not None or backup.one.sh(waits), 60)
    assert restore.poll() is None and backup.one.path(f"{new}/rootfs/srv").exists(), "it does not wait for who starts a container"
    backup.one.sh("touch /tmp/held/go")
    told = restore.communicate()[1]
    starter.wait()
    assert restore.returncode != 0 and "web runs" in told, f"a container that has just started is replaced: {told}"
    whole = backup.one.path(f"{ROOT}/srv/mine").exists() and not backup.one.path(new).exists()
    assert whole and backup.one.sh("ls /.snapshots/replaced") == replaced, "of a restore that came too late, something is left"
    # What takes its place, does so under the lock.
    backup.one.path("/tmp/held/mv").write_text(
        f'#!/bin/sh\n! flock --nonblock {lock} true || echo "$*" >> /tmp/held/free\nexec /usr/bin/mv "$@"\n'
    )
    backup.one.sh("chmod 755 /tmp/held/mv; touch /tmp/held/free; lxc-stop --name web")
    done = backup.one.tries("env", "PATH=/tmp/held:/usr/sbin:/usr/bin:/sbin:/bin", "portadc-restore", "latest", "container", "web")
    free = backup.one.sh("cat /tmp/held/free")
    assert done.returncode == 0 and not free, f"containers are exchanged where anybody may start one: {free}{done.stderr}"
    backup.one.sh("/usr/lib/portadc/containers; lxc-start --name web; rm -r /tmp/held")


def test_other_tools(backup):
    """Where util-linux has no setpriv, as Gentoo's."""
    backup.other.sh("mv /usr/bin/setpriv /usr/bin/setpriv.away")
    backup.one.sh("echo once more >> /srv/file; chown 21:43 /srv/file")
    backup.back_up()
    backup.whole("the run without setpriv")
    backup.other.sh("mv /usr/bin/setpriv.away /usr/bin/setpriv")


def test_full(backup):
    """The buddy's card fills while something arrives."""
    before = backup.kept()
    free, size = (int(word) for word in backup.other.sh("stat -f --format='%a %b' /.snapshots").split())
    block = int(backup.other.sh("stat -f --format=%S /.snapshots"))
    # An eighth stays free, and more than that is sent.
    backup.other.sh(f"fallocate -l {(free - size // 8) * block} /srv/filler")
    backup.one.sh(f"head -c {size * block // 7} /dev/urandom > /srv/too-big")
    slow = ("tbf", "rate", "60mbit", "burst", "64k", "latency", "99ms")
    backup.one.run("tc", "qdisc", "replace", "dev", "eth0", "root", *slow)
    done = backup.one.tries("/usr/lib/portadc/backup")
    left, _ = (int(word) for word in backup.other.sh("stat -f --format='%a %b' /.snapshots").split())
    print(f"a buddy with an eighth of its card free, sent a seventh: {100 * left // size} % stay free")
    assert done.returncode != 0, f"more is received than there is room for: {done.stdout}"
    assert left > size // 50, f"a backup fills the card: {left} of {size} blocks are free"
    assert backup.kept() == before, "a run that was ended made a snapshot"
    backup.one.sh("rm /srv/too-big")
    backup.one.run("tc", "qdisc", "delete", "dev", "eth0", "root")
    backup.back_up()
    backup.whole("the run after one for which there was no room")
    backup.other.sh(f"fallocate -l {size // 16 * block} /srv/filler-too")
    done = backup.one.tries("/usr/lib/portadc/backup")
    refused = done.returncode != 0 and "less than a tenth" in done.stderr
    assert refused, f"a card with less than a tenth free takes more: {done.stderr}"
    backup.other.sh("rm /srv/filler /srv/filler-too")


def test_failures(backup):
    # One is called something that a terminal obeys, as it is and as some shells would say it.
    red = "red\033[31m\\033[31m"
    for name in ("inner", red):
        backup.one.within("btrfs", "-q", "subvolume", "create", f"{ROOT}/srv/{name}")
    backup.one.sh("head -c 300000 /dev/urandom > \"/srv/$(printf 'a\\033[31mb')\"")
    done = backup.one.tries("/usr/lib/portadc/backup")
    named = done.returncode != 0 and "srv/inner is a subvolume" in done.stderr and "srv/red?[31m\\033[31m is a" in done.stderr
    assert named, f"a subvolume is left out silently: {done.stderr}"
    moved = backup.one.tries("portadc-move", "web", backup.other.name)
    assert moved.returncode != 0 and "red?[31m\\033" in moved.stderr, f"it moves without its subvolumes: {moved.stderr}"
    said = done.stdout + done.stderr + moved.stdout + moved.stderr
    assert "\033" not in said, f"a container writes to the terminal: {said!r}"
    backup.one.within("btrfs", "-q", "subvolume", "delete", f"{ROOT}/srv/inner", f"{ROOT}/srv/{red}")
    backup.other.ip("link", "set", "eth0", "down")
    done = backup.one.tries("timeout", "60", "/usr/lib/portadc/backup")
    backup.other.ip("link", "set", "eth0", "up")
    assert done.returncode != 0, "a backup to nobody succeeds"
