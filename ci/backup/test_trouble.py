"""Backups where something is wrong: a clock, a file that cannot be read, a snapshot that somebody made by hand."""

import datetime
import hashlib
import mmap
import os

import pytest
from backups import KEPT, Backup

# Goes before date(1) where a clock is to be wrong: only what asks for now is told another time.
DATE = """#!/bin/sh
for word; do
    case $word in
    --date=* | --file=*) exec /usr/bin/date "$@" ;;
    esac
done
exec /usr/bin/date --date="$(cat /tmp/wrong/clock)" "$@"
"""


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Trouble(Backup):
    def rot(self, path):
        """Damages a file of random bytes on the card of `one`, as a card does: its checksum says so from then on."""
        there = self.one.path(path)
        self.one.sh("sync -f /srv")
        part = there.read_bytes()[100000:104096]
        with open(self.one.image, "r+b") as image, mmap.mmap(image.fileno(), 0) as card:
            at = card.find(part)
            assert at > 0 and card.find(part, at + 1) < 0, "it lies on the card in more than one place, or in none"
            card[at + 7] ^= 1
        descriptor = os.open(there, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
        assert not self.readable(path), f"{path} can still be read: nothing is tried here"

    def readable(self, path):
        return self.one.tries("sh", "-c", 'cat "$1" > /dev/null', "read", path).returncode == 0

    def in_last(self, path):
        return self.other.path(f"{self.home}/kept/{self.kept()[-1]}/{path}")

    def retained(self, *names):
        """Makes a sender with snapshots of these names."""
        home = f"{KEPT}/retained"
        made = " ".join(f"'{name}'" for name in names)
        self.other.sh(
            f"mkdir -p {home}/kept; btrfs -q subvolume create {home}/current; "
            f'for name in {made}; do btrfs -q subvolume snapshot -r {home}/current "{home}/kept/$name"; done'
        )
        return home

    def drop(self, home):
        self.other.sh(f"btrfs -q subvolume delete {home}/current {home}/kept/*")

    def keep(self, clock="now", asked="keep"):
        """Has the buddy do what a sender asks for, at another time."""
        self.other.path("/tmp/wrong/clock").write_text(clock)
        path = "PATH=/tmp/wrong:/usr/sbin:/usr/bin:/sbin:/bin"
        return self.other.tries("env", path, f"SSH_ORIGINAL_COMMAND={asked}", "/usr/lib/portadc/keep-backup", "retained")


@pytest.fixture(scope="module")
def trouble(world):
    return Trouble(world.one, world.other)


def test_same_second(trouble):
    """A file that changes in the second of its snapshot, and keeps its size."""
    for content, moment in (("one", "03:04:05.1"), ("two", "03:04:05.9")):
        trouble.one.sh(f"echo {content} > /srv/second; touch --date='2026-01-02 {moment}' /srv/second")
        trouble.back_up()
    trouble.whole("after a change within a second")


def test_unreadable(trouble):
    """A file of the node has a bad checksum."""
    odd = "odd \\#012 [*] ü\nname"
    files = ["precious", "precious-too", odd]
    trouble.one.sh("head -c 300000 /dev/urandom > /srv/precious; ln /srv/precious /srv/precious-too; echo old > /srv/other")
    trouble.one.sh(f"head -c 300000 /dev/urandom > '/srv/{odd}'; head -c 300000 /dev/urandom > /srv/still")
    trouble.back_up()
    good = {file: digest(trouble.one.path(f"/srv/{file}")) for file in [*files, "still"]}
    trouble.one.sh(
        f"echo more >> /srv/precious; echo more >> '/srv/{odd}'; echo new > /srv/other; head -c 300000 /dev/urandom > /srv/fresh"
    )
    for file in ("precious", odd, "still", "fresh"):
        trouble.rot(f"/srv/{file}")
    for run in ("first", "second"):
        before = trouble.kept()
        # What a run leaves that was cut off.
        trouble.other.sh(f"printf half | dd of={trouble.home}/current/srv/precious conv=notrunc status=none")
        # rsync waits for ever where a file that it cannot read has two names.
        done = trouble.one.tries("timeout", "--kill-after=5", "120", "/usr/lib/portadc/backup")
        named = done.returncode != 0 and "cannot be read: srv/precious\n" in done.stderr
        assert named, f"the {run} run does not say what it could not read: {done.stdout}{done.stderr}"
        assert trouble.kept()[-1] > before[-1], f"the {run} run with unreadable files makes no snapshot"
        for file in files:
            kept = trouble.in_last(f"srv/{file}")
            assert kept.exists() and digest(kept) == good[file], f"the {run} run loses the last good copy of {file!r}"
        assert not trouble.in_last("srv/fresh").exists(), "of what could never be read, something is kept"
        assert trouble.in_last("srv/other").read_text() == "new\n", f"the {run} run does not bring what can be read"
    done = trouble.one.tries("portadc-restore", "latest", "srv/still", "/srv")
    again = done.returncode == 0 and trouble.readable("/srv/still") and digest(trouble.one.path("/srv/still")) == good["still"]
    assert again, f"a file with a bad checksum is not restored: {done.stdout}{done.stderr}"
    for file in ("precious", odd):
        trouble.one.within("portadc-restore", "latest", f"srv/{file}", "/srv")
    trouble.one.sh("ln -f /srv/precious /srv/precious-too; rm /srv/fresh")
    trouble.back_up()
    trouble.whole("the run after one with unreadable files")
    assert not trouble.kept()[-1].endswith("incomplete"), "a whole run is called incomplete"


def test_clocks(trouble):
    trouble.other.sh("mkdir -p /tmp/wrong")
    trouble.other.path("/tmp/wrong/date").write_text(DATE)
    trouble.other.sh("chmod 755 /tmp/wrong/date")
    now = datetime.datetime.now(datetime.UTC)
    real = [(now - datetime.timedelta(hours=hours)).strftime("%Y%m%dT%H%M%SZ") for hours in [*range(1, 24), *range(24, 600, 24)]]
    future, odd = "20991231T000000Z", ["before-upgrade", "20261399T996199Z", "a * b", "20260101T000000Z.old"]
    home = trouble.retained(*real, future, *odd)
    trouble.keep()
    settled = set(trouble.other.sh(f"ls {home}/kept").splitlines()) & set(real)

    done = trouble.keep()
    found = set(trouble.other.sh(f"ls {home}/kept").splitlines())
    assert done.returncode == 0, f"with a snapshot from the future and some made by hand, a buddy refuses: {done.stderr}"
    assert {future, *odd} <= found, f"what does not count is let go: {found}"
    assert f"{future} is later" in done.stderr and "a * b is nothing" in done.stderr, f"it is not told: {done.stderr}"
    listed = trouble.keep(asked="list").stdout.split()
    assert listed and listed[-1] < future and set(listed) <= {*found}, f"a snapshot from the future is listed: {listed}"

    for hour in range(26):
        done = trouble.keep(f"10 years {hour} hours")
        assert done.returncode == 0, f"ten years ahead: {done.stderr}"
    found = set(trouble.other.sh(f"ls {home}/kept").splitlines())
    assert settled <= found, f"a day ten years ahead costs {len(settled - found)} of {len(settled)} snapshots"
    done = trouble.keep()
    found = set(trouble.other.sh(f"ls {home}/kept").splitlines())
    listed = trouble.keep(asked="list").stdout.split()
    right = done.returncode == 0 and settled <= found and listed[-1].startswith(now.strftime("%Y%m%d"))
    assert right, f"after a day ten years ahead: {done.stderr}{listed}"

    # Behind what it has been: there are more than would stay.
    trouble.other.sh("mkdir -p /var/lib/systemd/timesync; touch /var/lib/systemd/timesync/clock")
    old = [(now - datetime.timedelta(days=1000, minutes=minutes)).strftime("%Y%m%dT%H%M%SZ") for minutes in range(1, 40)]
    trouble.drop(home)
    trouble.retained(*old)
    done = trouble.keep("900 days ago")
    found = set(trouble.other.sh(f"ls {home}/kept").splitlines())
    assert done.returncode == 0 and set(old) <= found, f"a clock that is behind costs snapshots: {done.stdout}{done.stderr}"
    trouble.drop(home)

    # Nobody has told the time since the start.
    heard = "/run/systemd/timesync/synchronized"
    trouble.retained(*old)
    trouble.other.sh(f"rm {heard}")
    done = trouble.keep()
    found = set(trouble.other.sh(f"ls {home}/kept").splitlines())
    held = done.returncode == 0 and set(old) <= found and "no time server was heard" in done.stderr
    assert held, f"a clock that nobody sets costs snapshots: {done.stdout}{done.stderr}"
    # A host with another program for that asks the kernel.
    trouble.other.path("/tmp/wrong/timedatectl").write_text(
        "#!/bin/sh\n[ \"$*\" = 'show --property=NTPSynchronized --value' ] && echo yes\n"
    )
    trouble.other.sh("chmod 755 /tmp/wrong/timedatectl")
    trouble.keep()
    left = set(old) & set(trouble.other.sh(f"ls {home}/kept").splitlines())
    assert 0 < len(left) < len(old), f"with a clock that is set, {len(left)} of {len(old)} snapshots stay"
    trouble.other.sh(f"rm /tmp/wrong/timedatectl; touch {heard}")
    trouble.drop(home)

    # However many follow that lack something, the last that lacks nothing stays.
    home = trouble.retained(*(f"{name}-incomplete" for name in real), "20200101T000000Z", "20200102T000000Z")
    trouble.keep(asked="keep incomplete")
    found = set(trouble.other.sh(f"ls {home}/kept").splitlines())
    assert "20200102T000000Z" in found, f"the last whole snapshot is let go: {found}"
    trouble.drop(home)


def test_timers(trouble):
    """A clock that is set back must not keep a unit of ours waiting until it has caught up."""
    for node in (trouble.one, trouble.other):
        units = [*node.folder.glob("*/**/*.timer"), *node.folder.glob("*/**/*.timer.d/*.conf")]
        assert units, "there is no timer"
        for unit in units:
            assert "OnCalendar" not in unit.read_text(), f"{unit.name} waits for a time of the clock"
