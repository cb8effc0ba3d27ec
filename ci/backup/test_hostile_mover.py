"""Moves by a node that means no good: somebody has its card, so its keys and all that is told to it. It is THIRD, which has the
container `irc`; whom it is after are ONE, which has `web`, and OTHER."""

import os
import subprocess
import uuid

import pytest
import stream
from namespaces import run, wait_for
from stream import Stream

# As large as what is sent honestly, in bytes; of what a move may send beside that, see take-container.
SAID = 1 << 20
SPARE = 64 << 20
SECRET = bytes(range(256)) * 32
# Says of each subvolume of the card its number.
SUBVOLUMES = "btrfs subvolume list /.snapshots | awk '{ print $2 }' | sort"


def base(identity=None):
    return Stream().subvolume("base", identity).file("file", b"of base")


class Mover:
    def __init__(self, one, other, third):
        self.one, self.other, self.third = one, other, third
        # One connection for most of what is asked; where there is none, each has its own.
        for asker, asked in ((third, other), (third, one), (one, other)):
            connect = f"ssh -F /etc/portadc/move.ssh -f -N -M -o ControlPersist=yes {asked.name} > /dev/null 2>&1"
            asker.within("sh", "-c", connect)

    def asks(self, target, asked, data=b"", by=None):
        """What a node answers to THIRD, or who else asks."""
        by = by or self.third
        by.path("/tmp/data").write_bytes(data)
        return by.tries("sh", "-c", f"timeout 100 ssh -F /etc/portadc/move.ssh {target.name} {asked} < /tmp/data")

    def refuses(self, what, *question, **more):
        done = self.asks(*question, **more)
        assert done.returncode not in (0, 124) and "refuses" in done.stderr, f"{what}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stderr

    def accepts(self, what, *question, **more):
        done = self.asks(*question, **more)
        assert done.returncode == 0, f"{what}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stdout

    def sends(self, what, *streams, said=SAID, reason=""):
        """Sends OTHER the parts of `irc`, of which the last one has to be refused, and nothing is left of all."""
        before = self.other.sh(SUBVOLUMES)
        self.accepts(f"the offer of {what}", self.other, f"offer irc {said}")
        *honest, last = streams
        for part in honest:
            self.accepts(f"the first part of {what}", self.other, "receive irc base", part)
        part = "last" if honest else "base"
        told = self.refuses(what, self.other, f"receive irc {part}", last)
        assert reason in told, f"{what} is refused for another reason: {told}"
        self.asks(self.other, "abort irc")
        assert self.other.sh(SUBVOLUMES) == before, f"{what} leaves subvolumes, or takes some away"
        left = self.other.sh("ls -A /.snapshots/move/.in; ls -A /var/lib/lxc | grep irc || true")
        assert not left, f"{what} leaves {left}"

    def runs_at(self, name="web"):
        return [node for node in (self.one, self.other, self.third) if node.path(f"/run/{name}.pid").exists()]

    def moves(self, source, target, name="web"):
        done = source.tries("portadc-move", name, target.name)
        good = done.returncode == 0 and self.runs_at(name) == [target]
        assert good, f"{name} from {source.name} to {target.name}: {done.stdout}{done.stderr}"

    def mark(self):
        """Where its home believes `web` to be."""
        return self.one.sh("cat /var/lib/lxc/web/moved 2>/dev/null || true").strip()

    def claim(self, script):
        """From now on, THIRD says this to who asks for guests."""
        self.third.sh("[ -e /usr/lib/portadc/.honest ] || cp -p /usr/lib/portadc/take-container /usr/lib/portadc/.honest")
        self.third.path("/usr/lib/portadc/take-container").write_text(f"#!/bin/sh\n{script}\n")

    def boots(self):
        """Starts ONE, where making its containers may fail; returns what that said."""
        told = []
        honest = self.one.portadc

        def portadc(script, *arguments):
            done = self.one.tries(f"/usr/lib/portadc/{script}", *arguments)
            assert done.returncode != 0 and "not made: web" in done.stderr, f"making web succeeds: {done.stdout}{done.stderr}"
            told.append(done.stdout + done.stderr)

        self.one.portadc = portadc
        self.one.boot()
        self.one.portadc = honest
        return "".join(told)


@pytest.fixture(scope="module")
def mover(world):
    return Mover(world.one, world.other, world.third)


def test_devices(mover):
    """A stream makes a device of the card, and writes to it while it is received; or it comes to be within a container."""
    image = mover.other.path("/tmp/disk")
    image.write_bytes(bytes(1 << 20))
    disk = mover.other.within("losetup", "--find", "--show", "/tmp/disk").strip()
    device = os.stat(disk).st_rdev
    mover.sends(
        "a stream that writes to a disk",
        base()
        .device("disk", device)
        .add(stream.WRITE, (stream.PATH, "disk"), (stream.FILE_OFFSET, stream.u64(0)), (stream.DATA, b"gone"))
        .end(),
    )
    assert run("dd", f"if={disk}", "bs=4", "count=1", "status=none") == "\0" * 4, "a stream wrote to a disk of the node"
    mover.other.within("losetup", "--detach", disk)
    mover.sends(
        "a disk in a folder",
        base().folder("a").device("a/disk", device).end(),
        reason="a device is in it: block special file 7:",
    )
    memory = os.makedev(1, 1)
    # Further down than any path can name.
    deep = base()
    for top in ("a", "b"):
        path = top
        deep.folder(path)
        for _ in range(15):
            path += "/" + "d" * 200
            deep.folder(path)
        if top == "a":
            deep.device(f"{path}/disk", device)
    mover.sends("a disk far down", deep.rename("a", f"{path}/a").end(), reason="a device is in it: block special file 7:")
    mover.sends(
        "memory",
        base().end(),
        Stream().subvolume("last").device("memory", memory, stream.stat.S_IFCHR).end(),
        reason="a device is in it",
    )


def test_owners(mover):
    for uid, gid in ((65536, 0), (0, 70000), (1 << 31, 0)):
        mover.sends(f"a file of {uid}:{gid}", base().owner("file", uid, gid).end(), reason="an owner or a group is above 65535")


def test_beside(mover):
    """What a stream lays beside its own subvolume: links to what is not its own, other subvolumes, one within."""
    mover.other.sh("btrfs -q subvolume create /srv/victim; echo kept > /srv/victim/file")
    mover.sends("links beside", base().symlink("../web", "/srv/victim").end(), reason="something else")
    assert mover.other.path("/srv/victim/file").exists(), "a link beside a subvolume has another one deleted"
    for name in (".gone", ".gone.1", "last", "cell"):
        mover.sends(f"a link {name} beside", base().symlink(f"../{name}", "/srv/victim").end(), reason="something else")
    assert mover.other.path("/srv/victim/file").exists(), "a link where subvolumes go has another one deleted"
    mover.sends("a link as last", base().end(), Stream().subvolume("x").symlink("../last", "/srv/victim").end())
    mover.sends(
        "a link in the place of the first",
        base().end(),
        Stream().subvolume("last").rename("../base", "../x").symlink("../base", "/srv/victim").end(),
        reason="something else",
    )
    assert mover.other.path("/srv/victim/file").exists(), "a link in the place of a subvolume has another one deleted"
    mover.other.sh("btrfs -q subvolume delete /srv/victim || true")
    mover.sends(
        "two subvolumes",
        Stream()
        .subvolume("x")
        .file("y")
        .add(stream.SUBVOL, (stream.PATH, "base"), (stream.UUID, uuid.uuid4().bytes), (stream.CTRANSID, stream.u64(7)))
        .end(),
        reason="something else",
    )
    mover.sends("a subvolume of another name", Stream().subvolume("x").end())
    mover.sends("one that does not end", base().bytes)
    within = Stream().subvolume("x").subvolume("base").folder("a").rename("../x", "a/in")
    mover.sends("a subvolume within", within.end())


def test_within(mover):
    """Subvolumes that a container has made in its root, deeper than a path may be long, and with names that read as lines."""
    place = "/.snapshots/tried"
    make = f"""
import os, subprocess
os.makedirs("{place}/root")
os.rmdir("{place}/root")
def make(path, *options):
    subprocess.run(["btrfs", "-q", "subvolume", "create", path], check=True)
make("{place}/victim")
make("{place}/root")
os.symlink("{place}/victim", "{place}/root/victim")
os.symlink("{place}/victim", "{place}/link")
os.chdir("{place}/root")
for name in ["d" * 200] * 30 + ["x\\nID 5 gen 5 top level 5 path @", "y"]:
    if len(name) < 200:
        make("./in")
        os.rename("in", name)
    else:
        os.mkdir(name)
    os.chdir(name)
subprocess.run(["btrfs", "-q", "property", "set", "-t", "subvol", ".", "ro", "true"], check=True)
"""
    before = mover.other.sh(SUBVOLUMES)
    mover.other.within("python3", "-c", make)
    seen = mover.other.tries("/usr/lib/portadc/look-through", f"{place}/root")
    assert seen.returncode != 0 and "a subvolume is in it: ddd" in seen.stdout, (
        f"subvolumes within are let in: {seen.stdout}{seen.stderr}"
    )
    mover.other.portadc("throw-away", f"{place}/root", f"{place}/link", f"{place}/nothing")
    assert mover.other.sh(f"ls -A {place}") == "victim\n", (
        f"of what is thrown away, there is left: {mover.other.sh(f'ls -A {place}')}"
    )
    mover.other.portadc("throw-away", place)
    assert mover.other.sh(SUBVOLUMES) == before, "what is thrown away leaves subvolumes"


def test_shares(mover):
    """A stream shares data with what it does not name by a path of its own."""
    # What lies in the move of another container of its own, so it knows the number.
    known = uuid.uuid4()
    mover.other.path("/tmp/sent").write_bytes(Stream().subvolume("last", known).end())
    mover.other.sh("mkdir -p /.snapshots/move/sent; btrfs receive -q /.snapshots/move/sent < /tmp/sent")
    mover.other.path("/srv/secret").write_bytes(SECRET)
    mover.other.sh("btrfs filesystem sync /srv")
    for path in ("../../../../srv/secret", "../../../../var/lib/lxc/irc/rootfs/etc/hosts"):
        stolen = Stream().subvolume("last").clone("stolen", known, path, len(SECRET)).end()
        mover.sends(f"{path} of the node", base().end(), stolen)
    mover.sends("a snapshot of what is not of this move", base().end(), Stream().snapshot("last", known).end())
    mover.other.sh("btrfs -q subvolume delete /.snapshots/move/sent/last; rm -r /.snapshots/move/sent /srv/secret")
    # What an honest one does: it shares with what came before.
    first, content = uuid.uuid4(), bytes(8192)
    mover.accepts("an offer", mover.other, f"offer irc {SAID}")
    mover.accepts("a base", mover.other, "receive irc base", Stream().subvolume("base", first).file("zeros", content).end())
    mover.accepts(
        "one that shares with it",
        mover.other,
        "receive irc last",
        Stream().snapshot("last", first).clone("more", first, "zeros", 8192).end(),
    )
    mover.accepts("taking it back", mover.other, "abort irc")


def test_size(mover):
    """More than was said, in what is sent and in what is only reserved; and a card that would be full."""
    chunk = Stream().subvolume("base").file("file", b"x" * (48 << 10)).bytes
    write = chunk[len(Stream().subvolume("base").file("file").bytes) :]
    long = base().bytes + write * ((SPARE + 4 * SAID) // len(write)) + Stream().end()[17:]
    mover.sends("a longer stream than was said", long)
    mover.sends("a reservation", base().reserve("file", SPARE + 2 * SAID).end(), reason="MiB that were let in")
    free, size, block = (int(word) for word in mover.other.sh("stat -f --format='%a %b %S' /srv").split())
    filling = base()
    for part in range(16):
        filling.file(f"part{part}").reserve(f"part{part}", free * block // 17)
    mover.sends("a card full of reservations", filling.end())
    mover.other.sh("btrfs filesystem sync /srv; btrfs subvolume sync /srv >/dev/null; btrfs filesystem sync /srv")
    left = int(mover.other.sh("stat -f --format=%a /srv"))
    assert left > free - size // 20, f"what was reserved is not free again: {left} blocks of {free}"
    for said in ("08", "1000000000000000000", "99999999999999999999999"):
        mover.refuses(f"an offer of {said} bytes", mover.other, f"offer irc {said}")


def test_others_containers(mover):
    """It brings, ends and starts what is not its own."""
    mover.refuses("a container of another is offered", mover.other, "offer web 1000")
    mover.accepts("an offer", mover.other, "offer web 1000", by=mover.one)
    for asked in ("abort web", "receive web base", "start web", "start web cold", "offer web 1000"):
        mover.refuses(f"`{asked}` in the move of another", mover.other, asked, base().end())
    mover.accepts("the first part of who offered", mover.other, "receive web base", base().end(), by=mover.one)
    mover.accepts("the end of it", mover.other, "abort web", by=mover.one)
    assert mover.runs_at() == [mover.one], f"web runs at {[node.name for node in mover.runs_at()]}"
    # It keeps nobody else from what it may not touch.
    waiting = subprocess.Popen(
        mover.third.enter("sh", "-c", f"sleep 9 | ssh -F /etc/portadc/move.ssh {mover.other.name} receive web base"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    done = mover.asks(mover.other, "status web", by=mover.one)
    assert waiting.poll() is None and done.stdout == "absent\n", f"who may not move it holds its lock: {done.stdout}{done.stderr}"
    waiting.kill()
    waiting.wait()


def test_another_key(mover):
    """Who answers at a node's address, and has not its key, is not that node."""
    known = mover.one.path("/etc/portadc/move.known_hosts")
    text = known.read_text()
    lines = [line.split(" ") for line in text.splitlines()]
    keys = {line[0]: line[2] for line in lines if len(line) > 2}
    wrong = next(key for name, key in keys.items() if mover.other.name not in name.split(","))
    known.write_text(
        "".join(
            " ".join([line[0], line[1], wrong if mover.other.name in line[0].split(",") else line[2]]) + "\n"
            for line in lines
            if len(line) > 2
        )
    )
    # What is connected stays so.
    mover.one.tries("ssh", "-F", "/etc/portadc/move.ssh", "-O", "exit", mover.other.name)
    done = mover.one.tries("portadc-move", "web", mover.other.name)
    refused = done.returncode != 0 and "verification failed" in done.stderr and mover.runs_at() == [mover.one]
    assert refused, f"a node with another host key is taken for {mover.other.name}: {done.stdout}{done.stderr}"
    known.write_text(text)


def test_redirects(mover):
    """It says where a container is that it has never had."""
    mover.moves(mover.one, mover.other)
    for asked in (f"moved web {mover.third.name}", f"moved web {mover.one.name}"):
        mover.refuses(f"`{asked}`, told by who does not have it", mover.one, asked)
    assert mover.mark() == mover.other.name, f"web is believed to be at {mover.mark()}"
    mover.refuses("who does not have it brings it to its home", mover.one, "offer web 1000")
    mover.refuses("who does not have it brings it to a third", mover.other, "offer web 1000")
    told = mover.accepts("which guests there are", mover.other, "guests")
    assert "web" not in told, f"it is told of guests that are not its own: {told}"
    told = mover.accepts("whether it is there", mover.other, "status web")
    assert told == "absent\n", f"it is told that web is there: {told}"
    mover.refuses("who has a container is said by another than its home", mover.other, "where web")


def test_onward(mover):
    """What honest nodes may: from the node that has it to a third, of which its home hears; and its home has to be there."""
    mover.one.ip("link", "set", "eth0", "down")
    done = mover.other.tries("portadc-move", "web", mover.third.name)
    mover.one.ip("link", "set", "eth0", "up")
    told = done.returncode != 0 and f"{mover.one.name}, the home of web, does not say who has it" in done.stderr
    assert told and mover.runs_at() == [mover.other], f"without its home it moves on: {done.stdout}{done.stderr}"
    # What has arrived and moved on before its sender knew. Nobody starts it twice.
    wait_for("home", lambda: mover.asks(mover.one, "where web").returncode == 0)
    mover.moves(mover.other, mover.third)
    assert mover.mark() == mover.third.name, f"web is believed to be at {mover.mark()}"
    mover.moves(mover.third, mover.one)
    folder = "/var/lib/lxc/web"
    mover.other.sh(
        f"mkdir -m 0700 {folder}; btrfs -q subvolume snapshot /.snapshots/move/web/last {folder}/rootfs; "
        f"echo {mover.one.name} > {folder}/guest; echo {mover.third.name} > {folder}/leaving; echo {mover.third.name} > /.snapshots/move/web/to"
    )
    done = mover.other.tries("portadc-move", "--resume")
    assert done.returncode == 0 and mover.runs_at() == [mover.one], (
        f"one that moved on runs at {[node.name for node in mover.runs_at()]}: {done.stderr}"
    )
    assert not mover.other.path(folder).exists(), "what has moved on is kept where it left"


def test_new_card(mover):
    """It claims a container whose home has a new card: one that another node has, and one that nobody has."""
    mover.moves(mover.one, mover.other)
    mover.claim("echo web")
    mover.one.power_off()
    mover.one.new_card()
    done = mover.boots()
    said = (
        f"web: {mover.other.name} {mover.third.name} each say" in done
        or f"web: {mover.third.name} {mover.other.name} each say" in done
    )
    assert said, f"of two who have it, nothing is said: {done}"
    assert mover.runs_at() == [mover.other] and not mover.mark(), (
        f"with two who have it, it runs at {[n.name for n in mover.runs_at()]}, and is believed to be at {mover.mark()!r}"
    )
    # Somebody decides.
    mover.one.sh(
        f"mkdir -m 0700 /var/lib/lxc/web; echo {mover.other.name} > /var/lib/lxc/web/moved; /usr/lib/portadc/guests; /usr/lib/portadc/containers"
    )
    mover.moves(mover.other, mover.one)
    # In the name of another: a backslash that two shells take for the end of a line.
    for claim in (rf"printf '%s\n' 'x\\n{mover.other.name} web'", rf"printf '%s\n' 'x\n{mover.other.name} web'"):
        mover.claim(claim)
        mover.one.sh("lxc-stop --name web; mv /var/lib/lxc/web /var/lib/lxc/.kept")
        made = mover.one.tries("/usr/lib/portadc/containers")
        assert made.returncode == 0 and not mover.mark(), (
            f"it claims in the name of another: {mover.mark()} {made.stdout}{made.stderr}"
        )
        mover.one.sh(
            "btrfs -q subvolume delete /var/lib/lxc/web/rootfs || true; rm -r /var/lib/lxc/web; mv /var/lib/lxc/.kept /var/lib/lxc/web; "
            "/usr/lib/portadc/containers; lxc-start --name web"
        )
    # What nobody else claims is believed, and said: a person takes the mark away.
    mover.claim("echo web")
    mover.one.sh("lxc-stop --name web; mv /var/lib/lxc/web /var/lib/lxc/.kept")
    made = mover.one.portadc("containers")
    told = f"web: is at {mover.third.name}, where it moved before this card was new" in made
    assert told and mover.mark() == mover.third.name and not mover.runs_at(), f"one that a single node claims: {made}"
    mover.one.sh(
        "rm -r /var/lib/lxc/web; mv /var/lib/lxc/.kept /var/lib/lxc/web; /usr/lib/portadc/guests; /usr/lib/portadc/containers; "
        "lxc-start --name web"
    )
    mover.third.sh("mv /usr/lib/portadc/.honest /usr/lib/portadc/take-container")
