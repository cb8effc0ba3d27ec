"""A container that ends and starts again by itself: how often it may, and what keeps it from that."""

import subprocess

from namespaces import wait_for

NAME = "web"
FOLDER = f"/var/lib/lxc/{NAME}"
RUN = f"/run/portadc/run/{NAME}"
# Goes before sleep(1): nobody here has the time, but how long it would have been is kept.
SLEEP = "#!/bin/sh\necho $1 >> /tmp/slept/log\n"
# Seconds of a run that is short, and how long its container waits then, as docs/security.md says.
PACE = 30


class Judge:
    def __init__(self, node):
        self.node = node
        self.faults = []

    def expect(self, good, fault):
        if not good:
            print(f"error: {fault}", flush=True)
            self.faults.append(fault)

    def ends(self, after):
        """Has it end as many seconds after its start; what the unit does then. Returns for how long it waits."""
        self.node.sh(
            f"lxc-stop --name {NAME}; mkdir -p {RUN.rpartition('/')[0]}; : > /tmp/slept/log; "
            f"read -r uptime _ < /proc/uptime; echo 1 $((${{uptime%.*}} - {after})) > {RUN}"
        )
        done = self.node.tries("env", "PATH=/tmp/slept:/usr/sbin:/usr/bin:/sbin:/bin", "/usr/lib/portadc/restart-container", NAME)
        self.expect(done.returncode == 0, f"one that ended after {after} s: {done.stdout}{done.stderr}")
        # The stand-in for LXC sleeps for parts of a second.
        return [int(word) for word in self.node.sh("cat /tmp/slept/log").split() if word.isdigit()]

    def runs(self):
        return self.node.path(f"/run/{NAME}.pid").exists()

    def pace(self):
        """One that ends at once, again and again, starts once in half a minute."""
        for after, wanted in ((0, [PACE]), (0, [PACE]), (PACE - 5, [PACE]), (PACE + 5, [])):
            waited = self.ends(after)
            self.expect(
                waited == wanted and self.runs(),
                f"one that ended {after} s after its start waits {waited}, and runs: {self.runs()}",
            )
        # The unit is one: what asks for it while it waits has asked for the same start.
        unit = self.node.path("/usr/lib/systemd/system/restart-container@.service").read_text()
        self.expect(
            "Type=oneshot\n" in unit and "Restart=on-failure\nRestartSec=1min\n" in unit, "the unit starts more than one at once"
        )

    def others(self):
        """Whose it is to start by now, nobody else starts."""
        for mark in ("leaving", "trial", "moved"):
            self.node.sh(f"echo {self.node.name} > {FOLDER}/{mark}")
            self.ends(PACE + 5)
            self.expect(not self.runs(), f"one with the mark `{mark}` is started")
            self.node.sh(f"rm {FOLDER}/{mark}")
        # A mark that comes while the lock is somebody's counts.
        holder = subprocess.Popen(
            self.node.enter(
                "flock",
                "--close",
                "/run/portadc/containers.lock",
                "sh",
                "-euc",
                f"touch /tmp/slept/held; sleep 2; echo x > {FOLDER}/leaving",
            )
        )
        wait_for("the lock", self.node.path("/tmp/slept/held").exists)
        self.ends(PACE + 5)
        holder.wait()
        self.expect(not self.runs(), "one that leaves while another has the lock is started")
        self.node.sh(f"rm {FOLDER}/leaving; lxc-start --name {NAME}")


def judge(node):
    judge = Judge(node)
    node.sh("mkdir -p /tmp/slept")
    node.path("/tmp/slept/sleep").write_text(SLEEP)
    node.sh("chmod 755 /tmp/slept/sleep")
    for step in ("pace", "others"):
        print(f"\n==> restarts: {step}", flush=True)
        getattr(judge, step)()
    node.sh("rm -r /tmp/slept")
    return judge.faults
