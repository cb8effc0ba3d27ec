"""A buddy whose card was stolen: what it sends to a node that wants its own back, by real rsync and ssh."""

import pytest
from backups import ROOT, Backup

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


class Buddy(Backup):
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


@pytest.fixture(scope="module")
def buddy(world):
    return Buddy(world.one, world.other)


@pytest.fixture(scope="class")
def hostile(buddy):
    buddy.begin()
    yield buddy
    buddy.end()


def test_reads(buddy):
    """What it can: read all that it keeps."""
    buddy.one.sh(f"echo secret > {ROOT}/etc/secret; chmod 600 {ROOT}/etc/secret")
    buddy.back_up()
    found = buddy.other.sh(f"cat {buddy.home}/kept/{buddy.kept()[-1]}/lxc/web/rootfs/etc/secret")
    assert found == "secret\n", f"backups cannot be read where they are kept: {found}"


class TestHostile:
    """It sends what it likes."""

    def test_stalls(self, hostile):
        """What it can: keep a backup waiting; its unit has an end."""
        hostile.other.path("/usr/lib/portadc/keep-backup").write_text("#!/bin/sh\nexec sleep 600\n")
        done = hostile.one.tries("timeout", "--kill-after=1", "5", "/usr/lib/portadc/backup")
        assert done.returncode == 124, f"a buddy that says nothing keeps nobody waiting: {done}"
        unit = hostile.one.path("/usr/lib/systemd/system/backup.service").read_text()
        assert "TimeoutStartSec=12h\n" in unit, "a backup may wait for ever"
        hostile.other.path("/usr/lib/portadc/keep-backup").write_text(SCRIPT)

    def test_settings(self, hostile):
        """A configuration of LXC has hooks, which run as root of the node."""
        hostile.offer(
            "echo 'lxc.hook.pre-start = /var/lib/lxc/web/hook' > local.conf; cp /bin/true hook; "
            "echo x > config; echo x > guest; echo other > moved; echo x > trial; mkdir more; touch more/x"
        )
        done = hostile.restore()
        assert done.returncode == 0, f"it is not restored: {done.stderr}"
        # What counts for its disk, this node has written.
        found = hostile.one.sh("ls -A /var/lib/lxc/web").split()
        assert found == ["counted", "local.conf.restored", "rootfs"], f"a buddy brings {found}"
        assert "local.conf.restored" in done.stdout, f"that a configuration came is not said: {done.stdout}"
        mode = hostile.one.sh("stat --format='%a %u' /var/lib/lxc/web/local.conf.restored 2> /dev/null || true").split()
        assert mode == ["600", "0"], f"local.conf.restored is {mode}"
        hostile.clean()

    def test_links(self, hostile):
        """What is to become a folder is a link into the node."""
        hostile.one.sh("mkdir -p /srv/victim; echo mine > /srv/victim/file")
        for script in (
            "rm -r rootfs; ln -s /srv/victim rootfs",
            "ln -s /srv/victim local.conf",
            "rm -r rootfs/srv; ln -s /srv/victim rootfs/srv",
            "mkdir local.conf; ln -s /srv/victim/file local.conf/x",
            "mkfifo local.conf",
        ):
            hostile.offer(script)
            hostile.restore()
            state = hostile.one.sh("cd /var/lib/lxc/web 2> /dev/null || exit 0; stat --format='%n %F' rootfs; ls -A")
            assert not state or (state.startswith("rootfs directory") and "local.conf" not in state), f"with `{script}`: {state}"
            assert hostile.one.sh("ls -A /srv/victim; cat /srv/victim/file") == "file\nmine\n", f"`{script}` leads into the node"
            hostile.clean()
        hostile.one.sh("rm -r /srv/victim")

    def test_rights(self, hostile):
        """Devices, programs with rights, owners that no container has: names that a terminal obeys."""
        hostile.offer(
            "mkdir rootfs/dev; mknod rootfs/dev/disk b 7 0; cp /bin/true rootfs/srv/root; chmod 4755 rootfs/srv/root; "
            "cp /bin/true \"rootfs/srv/$(printf 'a\\033[31mb')\"; chmod 2755 rootfs/srv/a*; "
            "cp /bin/true rootfs/srv/capable; setcap cap_net_admin+ep rootfs/srv/capable; touch rootfs/srv/strange; "
            "chown 0:70000 rootfs/srv/strange"
        )
        done = hostile.restore()
        assert done.returncode == 0, f"it is not restored: {done.stderr}"
        assert not hostile.one.sh("find /var/lib/lxc -type b -o -type c"), "a buddy makes devices in a container"
        for told in ("dev/disk", "srv/root", "srv/a^[[31mb", "srv/capable", "srv/strange", "70000"):
            assert told in done.stdout + done.stderr, f"{told} is not told: {done.stdout}{done.stderr}"
        assert "\033" not in done.stdout + done.stderr, f"a buddy writes to the terminal: {done.stdout!r} {done.stderr!r}"
        hostile.clean()

    def test_names(self, hostile):
        """Snapshots that are called what they like."""
        hostile.offer(f"printf '%s\\n' '{SNAPSHOT}/../../../x' 'red \033[31m' '-rf' '--help' {SNAPSHOT} > /tmp/hostile/list")
        done = hostile.one.tries("portadc-restore")
        assert done.stdout == f"{SNAPSHOT}\n", f"snapshots are {done.stdout!r}"
        assert "\033" not in done.stdout + done.stderr, f"a buddy writes to the terminal: {done.stdout!r} {done.stderr!r}"

    def test_files(self, hostile):
        """A file that was asked for is something else, in a folder of a container with a way out of it."""
        hostile.one.sh("rm -rf /tmp/to /tmp/victim; mkdir -p /tmp/to /tmp/victim; ln -s /tmp/victim /tmp/to/notes")
        for script in (
            "mkdir -p ../../srv/notes; echo x > ../../srv/notes/x",
            "mkdir ../../srv; ln -s /tmp/victim ../../srv/notes",
            "mkdir ../../srv; mknod ../../srv/notes b 7 0",
            "mkdir ../../srv; ln -s /tmp/victim/x ../../srv/notes",
        ):
            hostile.offer(script)
            hostile.one.tries("portadc-restore", "latest", "srv/notes", "/tmp/to")
            found = hostile.one.sh("ls -A /tmp/victim; find /tmp/to -type b; ls -A /tmp/to")
            assert found == "notes\n", f"with `{script}`, {found}"
        # A folder of a container that runs leads to one of the node; so does one that is nobody's.
        hostile.clean()
        hostile.one.sh(
            f"mkdir /var/lib/lxc/web; btrfs -q subvolume create {ROOT}; mkdir -p {ROOT}/srv/own; "
            f"ln -s /tmp/victim {ROOT}/srv/way; ln -s /tmp/victim /tmp/way"
        )
        hostile.offer("mkdir ../../srv; echo x > ../../srv/notes")
        done = hostile.one.tries("portadc-restore", "latest", "srv/notes", f"{ROOT}/srv/own")
        there = hostile.one.path(f"{ROOT}/srv/own/notes").exists()
        assert done.returncode == 0 and there, f"nothing is restored into a folder of a container: {done.stderr}"
        for way in (f"{ROOT}/srv/way", "/tmp/way"):
            hostile.one.tries("portadc-restore", "latest", "srv/notes", way)
            assert not hostile.one.sh("ls -A /tmp/victim"), f"what is restored into {way} lands where that leads"
        hostile.clean()
        done = hostile.one.tries("portadc-restore", "latest", "srv/nothing", "/tmp/to")
        assert done.returncode != 0, "what is not there is restored"


def test_honest_buddy_gives_back_what_it_has(buddy):
    one = buddy.one
    done = buddy.restore()
    assert done.returncode == 0, f"what an honest buddy has does not come back: {done.stderr}"
    # What it replaces may have subvolumes that the container made.
    one.sh(f"btrfs -q subvolume create {ROOT}/srv/inner")
    done = buddy.restore()
    assert done.returncode == 0, f"a container with a subvolume within is not replaced: {done.stderr}"
    one.sh(f"/usr/lib/portadc/containers; lxc-start --name web; test -e {ROOT}/etc/hostname")
