"""A buddy whose card was stolen: what it sends to a node that wants its own back, by real rsync and ssh."""

from exports import ROOT, Judge, say

SNAPSHOT = "20260101T000000Z"
# In place of keep-backup: it has what it likes, and sends of it what it is asked for.
SCRIPT = r"""#!/bin/sh
cd /tmp/hostile
printf 'red \033[31m\n' >&2
case $SSH_ORIGINAL_COMMAND in
list) cat list ;;
*) exec $SSH_ORIGINAL_COMMAND ;;
esac
"""
FOLDER = f"/tmp/hostile/kept/{SNAPSHOT}/lxc/web"


class Buddy(Judge):
    def begin(self):
        self.other.sh("cp -a /usr/lib/portadc/keep-backup /tmp/honest")
        keep = self.other.path("/usr/lib/portadc/keep-backup")
        self.other.sh("mkdir -p /tmp/hostile")
        keep.write_text(SCRIPT)
        # As on a new card, which has nothing of it.
        self.one.sh("lxc-stop --name web")
        self.clean()

    def end(self):
        self.other.sh("cp -a /tmp/honest /usr/lib/portadc/keep-backup; rm -rf /tmp/hostile")

    def offer(self, script):
        """What the buddy has: a small container, and what `script` adds to it."""
        self.other.sh(
            f"rm -rf /tmp/hostile; mkdir -p {FOLDER}/rootfs/srv {FOLDER}/rootfs/etc; cd {FOLDER}; "
            f"echo {SNAPSHOT} > /tmp/hostile/list; echo old > rootfs/srv/old; {script}"
        )

    def restore(self):
        return self.one.tries("portadc-restore", "latest", "container", "web")

    def clean(self):
        self.one.sh(
            "if [ -d /var/lib/lxc/web/rootfs ] && [ ! -L /var/lib/lxc/web/rootfs ]; then btrfs -q subvolume delete "
            "/var/lib/lxc/web/rootfs; fi; rm -rf /var/lib/lxc/web /var/lib/lxc/.web.restored 2> /dev/null || true"
        )

    def reads(self):
        """What it can: read all that it keeps."""
        self.one.sh(f"echo secret > {ROOT}/etc/secret; chmod 600 {ROOT}/etc/secret")
        self.back_up()
        found = self.other.sh(f"cat {self.home}/kept/{self.kept()[-1]}/lxc/web/rootfs/etc/secret")
        self.expect(found == "secret\n", f"backups cannot be read where they are kept: {found}")

    def stalls(self):
        """What it can: keep a backup waiting; its unit has an end."""
        self.other.path("/usr/lib/portadc/keep-backup").write_text("#!/bin/sh\nexec sleep 600\n")
        done = self.one.tries("timeout", "--kill-after=1", "5", "/usr/lib/portadc/backup")
        self.expect(done.returncode == 124, f"a buddy that says nothing keeps nobody waiting: {done}")
        unit = self.one.path("/usr/lib/systemd/system/backup.service").read_text()
        self.expect("TimeoutStartSec=12h\n" in unit, "a backup may wait for ever")
        self.other.path("/usr/lib/portadc/keep-backup").write_text(SCRIPT)

    def settings(self):
        """A configuration of LXC has hooks, which run as root of the node."""
        self.offer(
            "echo 'lxc.hook.pre-start = /var/lib/lxc/web/hook' > local.conf; cp /bin/true hook; "
            "echo x > config; echo x > guest; echo other > moved; echo x > trial; mkdir more; touch more/x"
        )
        done = self.restore()
        self.expect(done.returncode == 0, f"it is not restored: {done.stderr}")
        # What counts for its disk, this node has written.
        found = self.one.sh("ls -A /var/lib/lxc/web").split()
        self.expect(found == ["counted", "local.conf.restored", "rootfs"], f"a buddy brings {found}")
        self.expect("local.conf.restored" in done.stdout, f"that a configuration came is not said: {done.stdout}")
        mode = self.one.sh("stat --format='%a %u' /var/lib/lxc/web/local.conf.restored 2> /dev/null || true").split()
        self.expect(mode == ["600", "0"], f"local.conf.restored is {mode}")
        self.clean()

    def links(self):
        """What is to become a folder is a link into the node."""
        self.one.sh("mkdir -p /srv/victim; echo mine > /srv/victim/file")
        for script in (
            "rm -r rootfs; ln -s /srv/victim rootfs",
            "ln -s /srv/victim local.conf",
            "rm -r rootfs/srv; ln -s /srv/victim rootfs/srv",
            "mkdir local.conf; ln -s /srv/victim/file local.conf/x",
            "mkfifo local.conf",
        ):
            self.offer(script)
            self.restore()
            state = self.one.sh("cd /var/lib/lxc/web 2> /dev/null || exit 0; stat --format='%n %F' rootfs; ls -A")
            self.expect(
                not state or (state.startswith("rootfs directory") and "local.conf" not in state), f"with `{script}`: {state}"
            )
            self.expect(self.one.sh("ls -A /srv/victim; cat /srv/victim/file") == "file\nmine\n", f"`{script}` leads into the node")
            self.clean()
        self.one.sh("rm -r /srv/victim")

    def rights(self):
        """Devices, programs with rights, owners that no container has: names that a terminal obeys."""
        self.offer(
            "mkdir rootfs/dev; mknod rootfs/dev/disk b 7 0; cp /bin/true rootfs/srv/root; chmod 4755 rootfs/srv/root; "
            "cp /bin/true \"rootfs/srv/$(printf 'a\\033[31mb')\"; chmod 2755 rootfs/srv/a*; "
            "cp /bin/true rootfs/srv/capable; setcap cap_net_admin+ep rootfs/srv/capable; touch rootfs/srv/strange; "
            "chown 0:70000 rootfs/srv/strange"
        )
        done = self.restore()
        self.expect(done.returncode == 0, f"it is not restored: {done.stderr}")
        self.expect(not self.one.sh("find /var/lib/lxc -type b -o -type c"), "a buddy makes devices in a container")
        for told in ("dev/disk", "srv/root", "srv/a^[[31mb", "srv/capable", "srv/strange", "70000"):
            self.expect(told in done.stdout + done.stderr, f"{told} is not told: {done.stdout}{done.stderr}")
        self.expect("\033" not in done.stdout + done.stderr, f"a buddy writes to the terminal: {done.stdout!r} {done.stderr!r}")
        self.clean()

    def names(self):
        """Snapshots that are called what they like."""
        self.offer(f"printf '%s\\n' '{SNAPSHOT}/../../../x' 'red \033[31m' '-rf' '--help' {SNAPSHOT} > /tmp/hostile/list")
        done = self.one.tries("portadc-restore")
        self.expect(done.stdout == f"{SNAPSHOT}\n", f"snapshots are {done.stdout!r}")
        self.expect("\033" not in done.stdout + done.stderr, f"a buddy writes to the terminal: {done.stdout!r} {done.stderr!r}")

    def files(self):
        """A file that was asked for is something else, in a folder of a container with a way out of it."""
        self.one.sh("rm -rf /tmp/to /tmp/victim; mkdir -p /tmp/to /tmp/victim; ln -s /tmp/victim /tmp/to/notes")
        for script in (
            "mkdir -p ../../srv/notes; echo x > ../../srv/notes/x",
            "mkdir ../../srv; ln -s /tmp/victim ../../srv/notes",
            "mkdir ../../srv; mknod ../../srv/notes b 7 0",
            "mkdir ../../srv; ln -s /tmp/victim/x ../../srv/notes",
        ):
            self.offer(script)
            self.one.tries("portadc-restore", "latest", "srv/notes", "/tmp/to")
            found = self.one.sh("ls -A /tmp/victim; find /tmp/to -type b; ls -A /tmp/to")
            self.expect(found == "notes\n", f"with `{script}`, {found}")
        # A folder of a container that runs leads to one of the node; so does one that is nobody's.
        self.clean()
        self.one.sh(
            f"mkdir /var/lib/lxc/web; btrfs -q subvolume create {ROOT}; mkdir -p {ROOT}/srv/own; "
            f"ln -s /tmp/victim {ROOT}/srv/way; ln -s /tmp/victim /tmp/way"
        )
        self.offer("mkdir ../../srv; echo x > ../../srv/notes")
        done = self.one.tries("portadc-restore", "latest", "srv/notes", f"{ROOT}/srv/own")
        there = self.one.path(f"{ROOT}/srv/own/notes").exists()
        self.expect(done.returncode == 0 and there, f"nothing is restored into a folder of a container: {done.stderr}")
        for way in (f"{ROOT}/srv/way", "/tmp/way"):
            self.one.tries("portadc-restore", "latest", "srv/notes", way)
            self.expect(not self.one.sh("ls -A /tmp/victim"), f"what is restored into {way} lands where that leads")
        self.clean()
        done = self.one.tries("portadc-restore", "latest", "srv/nothing", "/tmp/to")
        self.expect(done.returncode != 0, "what is not there is restored")


def judge(one, other):
    judge = Buddy(one, other)
    say("hostile buddy: reads")
    judge.reads()
    judge.begin()
    for step in ("stalls", "settings", "links", "rights", "names", "files"):
        say(f"hostile buddy: {step}")
        getattr(judge, step)()
    judge.end()
    done = one.tries("portadc-restore", "latest", "container", "web")
    judge.expect(done.returncode == 0, f"what an honest buddy has does not come back: {done.stderr}")
    # What it replaces may have subvolumes that the container made.
    one.sh(f"btrfs -q subvolume create {ROOT}/srv/inner")
    done = one.tries("portadc-restore", "latest", "container", "web")
    judge.expect(done.returncode == 0, f"a container with a subvolume within is not replaced: {done.stderr}")
    one.sh(f"/usr/lib/portadc/containers; lxc-start --name web; test -e {ROOT}/etc/hostname")
    return judge.faults
