"""Moves by a node that means no good: somebody has its card, so its keys and all that is told to it. It is THIRD, which has the
container `irc`; whom it is after are ONE, which has `web`, and OTHER."""

import os
import subprocess
import uuid

import stream
from namespaces import run, wait_for
from stream import Stream

# As large as what is sent honestly, in bytes; of what a move may send beside that, see take-container.
SAID = 1 << 20
SPARE = 64 << 20
SECRET = bytes(range(256)) * 32
# Says of each subvolume of the card its number.
SUBVOLUMES = "btrfs subvolume list /.snapshots | awk '{ print $2 }' | sort"


def say(text):
    print(f"\n==> {text}", flush=True)


def base(identity=None):
    return Stream().subvolume("base", identity).file("file", b"of base")


class Judge:
    def __init__(self, one, other, third):
        self.one, self.other, self.third = one, other, third
        self.faults = []
        # One connection for most of what is asked; where there is none, each has its own.
        for asker, asked in ((third, other), (third, one), (one, other)):
            connect = f"ssh -F /etc/portadc/move.ssh -f -N -M -o ControlPersist=yes {asked.name} > /dev/null 2>&1"
            asker.within("sh", "-c", connect)

    def expect(self, good, fault):
        if not good:
            print(f"error: {fault}", flush=True)
            self.faults.append(fault)

    def asks(self, target, asked, data=b"", by=None):
        """What a node answers to THIRD, or who else asks."""
        by = by or self.third
        by.path("/tmp/data").write_bytes(data)
        return by.tries("sh", "-c", f"timeout 100 ssh -F /etc/portadc/move.ssh {target.name} {asked} < /tmp/data")

    def refuses(self, what, *question, **more):
        done = self.asks(*question, **more)
        self.expect(
            done.returncode not in (0, 124) and "refuses" in done.stderr, f"{what}: {done.returncode} {done.stdout}{done.stderr}"
        )
        return done.stderr

    def accepts(self, what, *question, **more):
        done = self.asks(*question, **more)
        self.expect(done.returncode == 0, f"{what}: {done.returncode} {done.stdout}{done.stderr}")
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
        self.expect(reason in told, f"{what} is refused for another reason: {told}")
        self.asks(self.other, "abort irc")
        self.expect(self.other.sh(SUBVOLUMES) == before, f"{what} leaves subvolumes, or takes some away")
        left = self.other.sh("ls -A /.snapshots/move/.in; ls -A /var/lib/lxc | grep irc || true")
        self.expect(not left, f"{what} leaves {left}")

    def runs_at(self, name="web"):
        return [node for node in (self.one, self.other, self.third) if node.path(f"/run/{name}.pid").exists()]

    def moves(self, source, target, name="web"):
        done = source.tries("portadc-move", name, target.name)
        good = done.returncode == 0 and self.runs_at(name) == [target]
        self.expect(good, f"{name} from {source.name} to {target.name}: {done.stdout}{done.stderr}")

    def mark(self):
        """Where its home believes `web` to be."""
        return self.one.sh("cat /var/lib/lxc/web/moved 2>/dev/null || true").strip()

    def devices(self):
        """A stream makes a device of the card, and writes to it while it is received; or it comes to be within a container."""
        image = self.other.path("/tmp/disk")
        image.write_bytes(bytes(1 << 20))
        disk = self.other.within("losetup", "--find", "--show", "/tmp/disk").strip()
        device = os.stat(disk).st_rdev
        self.sends(
            "a stream that writes to a disk",
            base()
            .device("disk", device)
            .add(stream.WRITE, (stream.PATH, "disk"), (stream.FILE_OFFSET, stream.u64(0)), (stream.DATA, b"gone"))
            .end(),
        )
        self.expect(run("dd", f"if={disk}", "bs=4", "count=1", "status=none") == "\0" * 4, "a stream wrote to a disk of the node")
        self.other.within("losetup", "--detach", disk)
        self.sends(
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
        self.sends("a disk far down", deep.rename("a", f"{path}/a").end(), reason="a device is in it: block special file 7:")
        self.sends(
            "memory",
            base().end(),
            Stream().subvolume("last").device("memory", memory, stream.stat.S_IFCHR).end(),
            reason="a device is in it",
        )

    def owners(self):
        for uid, gid in ((65536, 0), (0, 70000), (1 << 31, 0)):
            self.sends(f"a file of {uid}:{gid}", base().owner("file", uid, gid).end(), reason="an owner or a group is above 65535")

    def beside(self):
        """What a stream lays beside its own subvolume: links to what is not its own, other subvolumes, one within."""
        self.other.sh("btrfs -q subvolume create /srv/victim; echo kept > /srv/victim/file")
        self.sends("links beside", base().symlink("../web", "/srv/victim").end(), reason="something else")
        self.expect(self.other.path("/srv/victim/file").exists(), "a link beside a subvolume has another one deleted")
        for name in (".gone", ".gone.1", "last", "cell"):
            self.sends(f"a link {name} beside", base().symlink(f"../{name}", "/srv/victim").end(), reason="something else")
        self.expect(self.other.path("/srv/victim/file").exists(), "a link where subvolumes go has another one deleted")
        self.sends("a link as last", base().end(), Stream().subvolume("x").symlink("../last", "/srv/victim").end())
        self.sends(
            "a link in the place of the first",
            base().end(),
            Stream().subvolume("last").rename("../base", "../x").symlink("../base", "/srv/victim").end(),
            reason="something else",
        )
        self.expect(self.other.path("/srv/victim/file").exists(), "a link in the place of a subvolume has another one deleted")
        self.other.sh("btrfs -q subvolume delete /srv/victim || true")
        self.sends(
            "two subvolumes",
            Stream()
            .subvolume("x")
            .file("y")
            .add(stream.SUBVOL, (stream.PATH, "base"), (stream.UUID, uuid.uuid4().bytes), (stream.CTRANSID, stream.u64(7)))
            .end(),
            reason="something else",
        )
        self.sends("a subvolume of another name", Stream().subvolume("x").end())
        self.sends("one that does not end", base().bytes)
        within = Stream().subvolume("x").subvolume("base").folder("a").rename("../x", "a/in")
        self.sends("a subvolume within", within.end())

    def within(self):
        """Subvolumes that a container has made in its root, deeper than a path may be long, and with names that read as lines."""
        place = "/.snapshots/judge"
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
        before = self.other.sh(SUBVOLUMES)
        self.other.within("python3", "-c", make)
        seen = self.other.tries("/usr/lib/portadc/look-through", f"{place}/root")
        self.expect(
            seen.returncode != 0 and "a subvolume is in it: ddd" in seen.stdout,
            f"subvolumes within are let in: {seen.stdout}{seen.stderr}",
        )
        self.other.portadc("throw-away", f"{place}/root", f"{place}/link", f"{place}/nothing")
        self.expect(
            self.other.sh(f"ls -A {place}") == "victim\n",
            f"of what is thrown away, there is left: {self.other.sh(f'ls -A {place}')}",
        )
        self.other.portadc("throw-away", place)
        self.expect(self.other.sh(SUBVOLUMES) == before, "what is thrown away leaves subvolumes")

    def shares(self):
        """A stream shares data with what it does not name by a path of its own."""
        # What lies in the move of another container of its own, so it knows the number.
        known = uuid.uuid4()
        self.other.path("/tmp/sent").write_bytes(Stream().subvolume("last", known).end())
        self.other.sh("mkdir -p /.snapshots/move/sent; btrfs receive -q /.snapshots/move/sent < /tmp/sent")
        self.other.path("/srv/secret").write_bytes(SECRET)
        self.other.sh("btrfs filesystem sync /srv")
        for path in ("../../../../srv/secret", "../../../../var/lib/lxc/irc/rootfs/etc/hosts"):
            stolen = Stream().subvolume("last").clone("stolen", known, path, len(SECRET)).end()
            self.sends(f"{path} of the node", base().end(), stolen)
        self.sends("a snapshot of what is not of this move", base().end(), Stream().snapshot("last", known).end())
        self.other.sh("btrfs -q subvolume delete /.snapshots/move/sent/last; rm -r /.snapshots/move/sent /srv/secret")
        # What an honest one does: it shares with what came before.
        first, content = uuid.uuid4(), bytes(8192)
        self.accepts("an offer", self.other, f"offer irc {SAID}")
        self.accepts("a base", self.other, "receive irc base", Stream().subvolume("base", first).file("zeros", content).end())
        self.accepts(
            "one that shares with it",
            self.other,
            "receive irc last",
            Stream().snapshot("last", first).clone("more", first, "zeros", 8192).end(),
        )
        self.accepts("taking it back", self.other, "abort irc")

    def size(self):
        """More than was said, in what is sent and in what is only reserved; and a card that would be full."""
        chunk = Stream().subvolume("base").file("file", b"x" * (48 << 10)).bytes
        write = chunk[len(Stream().subvolume("base").file("file").bytes) :]
        long = base().bytes + write * ((SPARE + 4 * SAID) // len(write)) + Stream().end()[17:]
        self.sends("a longer stream than was said", long)
        self.sends("a reservation", base().reserve("file", SPARE + 2 * SAID).end(), reason="MiB that were let in")
        free, size, block = (int(word) for word in self.other.sh("stat -f --format='%a %b %S' /srv").split())
        filling = base()
        for part in range(16):
            filling.file(f"part{part}").reserve(f"part{part}", free * block // 17)
        self.sends("a card full of reservations", filling.end())
        self.other.sh("btrfs filesystem sync /srv; btrfs subvolume sync /srv >/dev/null; btrfs filesystem sync /srv")
        left = int(self.other.sh("stat -f --format=%a /srv"))
        self.expect(left > free - size // 20, f"what was reserved is not free again: {left} blocks of {free}")
        for said in ("08", "1000000000000000000", "99999999999999999999999"):
            self.refuses(f"an offer of {said} bytes", self.other, f"offer irc {said}")

    def others_containers(self):
        """It brings, ends and starts what is not its own."""
        self.refuses("a container of another is offered", self.other, "offer web 1000")
        self.accepts("an offer", self.other, "offer web 1000", by=self.one)
        for asked in ("abort web", "receive web base", "start web", "start web cold", "offer web 1000"):
            self.refuses(f"`{asked}` in the move of another", self.other, asked, base().end())
        self.accepts("the first part of who offered", self.other, "receive web base", base().end(), by=self.one)
        self.accepts("the end of it", self.other, "abort web", by=self.one)
        self.expect(self.runs_at() == [self.one], f"web runs at {[node.name for node in self.runs_at()]}")
        # It keeps nobody else from what it may not touch.
        waiting = subprocess.Popen(
            self.third.enter("sh", "-c", f"sleep 9 | ssh -F /etc/portadc/move.ssh {self.other.name} receive web base"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        done = self.asks(self.other, "status web", by=self.one)
        self.expect(
            waiting.poll() is None and done.stdout == "absent\n", f"who may not move it holds its lock: {done.stdout}{done.stderr}"
        )
        waiting.kill()
        waiting.wait()

    def another_key(self):
        """Who answers at a node's address, and has not its key, is not that node."""
        known = self.one.path("/etc/portadc/move.known_hosts")
        text = known.read_text()
        lines = [line.split(" ") for line in text.splitlines()]
        keys = {line[0]: line[2] for line in lines if len(line) > 2}
        wrong = next(key for name, key in keys.items() if self.other.name not in name.split(","))
        known.write_text(
            "".join(
                " ".join([line[0], line[1], wrong if self.other.name in line[0].split(",") else line[2]]) + "\n"
                for line in lines
                if len(line) > 2
            )
        )
        # What is connected stays so.
        self.one.tries("ssh", "-F", "/etc/portadc/move.ssh", "-O", "exit", self.other.name)
        done = self.one.tries("portadc-move", "web", self.other.name)
        refused = done.returncode != 0 and "verification failed" in done.stderr and self.runs_at() == [self.one]
        self.expect(refused, f"a node with another host key is taken for {self.other.name}: {done.stdout}{done.stderr}")
        known.write_text(text)

    def redirects(self):
        """It says where a container is that it has never had."""
        self.moves(self.one, self.other)
        for asked in (f"moved web {self.third.name}", f"moved web {self.one.name}"):
            self.refuses(f"`{asked}`, told by who does not have it", self.one, asked)
        self.expect(self.mark() == self.other.name, f"web is believed to be at {self.mark()}")
        self.refuses("who does not have it brings it to its home", self.one, "offer web 1000")
        self.refuses("who does not have it brings it to a third", self.other, "offer web 1000")
        told = self.accepts("which guests there are", self.other, "guests")
        self.expect("web" not in told, f"it is told of guests that are not its own: {told}")
        told = self.accepts("whether it is there", self.other, "status web")
        self.expect(told == "absent\n", f"it is told that web is there: {told}")
        self.refuses("who has a container is said by another than its home", self.other, "where web")

    def onward(self):
        """What honest nodes may: from the node that has it to a third, of which its home hears; and its home has to be there."""
        self.one.ip("link", "set", "eth0", "down")
        done = self.other.tries("portadc-move", "web", self.third.name)
        self.one.ip("link", "set", "eth0", "up")
        told = done.returncode != 0 and f"{self.one.name}, the home of web, does not say who has it" in done.stderr
        self.expect(told and self.runs_at() == [self.other], f"without its home it moves on: {done.stdout}{done.stderr}")
        # What has arrived and moved on before its sender knew. Nobody starts it twice.
        wait_for("home", lambda: self.asks(self.one, "where web").returncode == 0)
        self.moves(self.other, self.third)
        self.expect(self.mark() == self.third.name, f"web is believed to be at {self.mark()}")
        self.moves(self.third, self.one)
        folder = "/var/lib/lxc/web"
        self.other.sh(
            f"mkdir -m 0700 {folder}; btrfs -q subvolume snapshot /.snapshots/move/web/last {folder}/rootfs; "
            f"echo {self.one.name} > {folder}/guest; echo {self.third.name} > {folder}/leaving; echo {self.third.name} > /.snapshots/move/web/to"
        )
        done = self.other.tries("portadc-move", "--resume")
        self.expect(
            done.returncode == 0 and self.runs_at() == [self.one],
            f"one that moved on runs at {[node.name for node in self.runs_at()]}: {done.stderr}",
        )
        self.expect(not self.other.path(folder).exists(), "what has moved on is kept where it left")

    def new_card(self):
        """It claims a container whose home has a new card: one that another node has, and one that nobody has."""
        self.moves(self.one, self.other)
        self.claim("echo web")
        self.one.power_off()
        self.one.new_card()
        done = self.boots()
        said = (
            f"web: {self.other.name} {self.third.name} each say" in done
            or f"web: {self.third.name} {self.other.name} each say" in done
        )
        self.expect(said, f"of two who have it, nothing is said: {done}")
        self.expect(
            self.runs_at() == [self.other] and not self.mark(),
            f"with two who have it, it runs at {[n.name for n in self.runs_at()]}, and is believed to be at {self.mark()!r}",
        )
        # Somebody decides.
        self.one.sh(
            f"mkdir -m 0700 /var/lib/lxc/web; echo {self.other.name} > /var/lib/lxc/web/moved; /usr/lib/portadc/guests; /usr/lib/portadc/containers"
        )
        self.moves(self.other, self.one)
        # In the name of another: a backslash that two shells take for the end of a line.
        for claim in (rf"printf '%s\n' 'x\\n{self.other.name} web'", rf"printf '%s\n' 'x\n{self.other.name} web'"):
            self.claim(claim)
            self.one.sh("lxc-stop --name web; mv /var/lib/lxc/web /var/lib/lxc/.kept")
            made = self.one.tries("/usr/lib/portadc/containers")
            self.expect(
                made.returncode == 0 and not self.mark(),
                f"it claims in the name of another: {self.mark()} {made.stdout}{made.stderr}",
            )
            self.one.sh(
                "btrfs -q subvolume delete /var/lib/lxc/web/rootfs || true; rm -r /var/lib/lxc/web; mv /var/lib/lxc/.kept /var/lib/lxc/web; "
                "/usr/lib/portadc/containers; lxc-start --name web"
            )
        # What nobody else claims is believed, and said: a person takes the mark away.
        self.claim("echo web")
        self.one.sh("lxc-stop --name web; mv /var/lib/lxc/web /var/lib/lxc/.kept")
        made = self.one.portadc("containers")
        told = f"web: is at {self.third.name}, where it moved before this card was new" in made
        self.expect(told and self.mark() == self.third.name and not self.runs_at(), f"one that a single node claims: {made}")
        self.one.sh(
            "rm -r /var/lib/lxc/web; mv /var/lib/lxc/.kept /var/lib/lxc/web; /usr/lib/portadc/guests; /usr/lib/portadc/containers; "
            "lxc-start --name web"
        )
        self.third.sh("mv /usr/lib/portadc/.honest /usr/lib/portadc/take-container")

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
            self.expect(done.returncode != 0 and "not made: web" in done.stderr, f"making web succeeds: {done.stdout}{done.stderr}")
            told.append(done.stdout + done.stderr)

        self.one.portadc = portadc
        self.one.boot()
        self.one.portadc = honest
        return "".join(told)


def judge(one, other, third):
    judge = Judge(one, other, third)
    for step in (
        "devices",
        "owners",
        "beside",
        "within",
        "shares",
        "size",
        "others_containers",
        "another_key",
        "redirects",
        "onward",
        "new_card",
    ):
        say(f"hostile mover: {step.replace('_', ' ')}")
        getattr(judge, step)()
    return judge.faults
