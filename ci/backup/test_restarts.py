"""A container that ends and starts again by itself: how often it may, and what keeps it from that."""

import subprocess

import pytest
from namespaces import wait_for

NAME = "web"
FOLDER = f"/var/lib/lxc/{NAME}"
RUN = f"/run/portadc/run/{NAME}"
# Goes before sleep(1): nobody here has the time, but how long it would have been is kept.
SLEEP = "#!/bin/sh\necho $1 >> /tmp/slept/log\n"
# Seconds of a run that is short, and how long its container waits then, as docs/security.md says.
PACE = 30


class Restarts:
    def __init__(self, node):
        self.node = node

    def ends(self, after):
        """Has it end as many seconds after its start; what the unit does then. Returns for how long it waits."""
        self.node.sh(
            f"lxc-stop --name {NAME}; mkdir -p {RUN.rpartition('/')[0]}; : > /tmp/slept/log; "
            f"read -r uptime _ < /proc/uptime; echo 1 $((${{uptime%.*}} - {after})) > {RUN}"
        )
        done = self.node.tries("env", "PATH=/tmp/slept:/usr/sbin:/usr/bin:/sbin:/bin", "/usr/lib/portadc/restart-container", NAME)
        assert done.returncode == 0, f"one that ended after {after} s: {done.stdout}{done.stderr}"
        # The stand-in for LXC sleeps for parts of a second.
        return [int(word) for word in self.node.sh("cat /tmp/slept/log").split() if word.isdigit()]

    def runs(self):
        return self.node.path(f"/run/{NAME}.pid").exists()


@pytest.fixture(scope="module")
def restarts(world):
    node = world.one
    node.sh("mkdir -p /tmp/slept")
    node.path("/tmp/slept/sleep").write_text(SLEEP)
    node.sh("chmod 755 /tmp/slept/sleep")
    yield Restarts(node)
    node.sh("rm -r /tmp/slept")


def test_pace(restarts):
    """One that ends at once, again and again, starts once in half a minute."""
    for after, wanted in ((0, [PACE]), (0, [PACE]), (PACE - 5, [PACE]), (PACE + 5, [])):
        waited = restarts.ends(after)
        assert waited == wanted and restarts.runs(), (
            f"one that ended {after} s after its start waits {waited}, and runs: {restarts.runs()}"
        )
    # The unit is one: what asks for it while it waits has asked for the same start.
    unit = restarts.node.path("/usr/lib/systemd/system/restart-container@.service").read_text()
    assert "Type=oneshot\n" in unit and "Restart=on-failure\nRestartSec=1min\n" in unit, "the unit starts more than one at once"


def test_others(restarts):
    """Whose it is to start by now, nobody else starts."""
    for mark in ("leaving", "trial", "moved"):
        restarts.node.sh(f"echo {restarts.node.name} > {FOLDER}/{mark}")
        restarts.ends(PACE + 5)
        assert not restarts.runs(), f"one with the mark `{mark}` is started"
        restarts.node.sh(f"rm {FOLDER}/{mark}")
    # A mark that comes while the lock is somebody's counts.
    holder = subprocess.Popen(
        restarts.node.enter(
            "flock",
            "--close",
            "/run/portadc/containers.lock",
            "sh",
            "-euc",
            f"touch /tmp/slept/held; sleep 2; echo x > {FOLDER}/leaving",
        )
    )
    wait_for("the lock", restarts.node.path("/tmp/slept/held").exists)
    restarts.ends(PACE + 5)
    holder.wait()
    assert not restarts.runs(), "one that leaves while another has the lock is started"
    restarts.node.sh(f"rm {FOLDER}/leaving; lxc-start --name {NAME}")
