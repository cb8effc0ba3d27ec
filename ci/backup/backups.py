"""What the checks of backups have alike."""

import time

from tree import differences

ROOT = "/var/lib/lxc/web/rootfs"
KEPT = "/.snapshots/backup"


class Backup:
    """A node that makes backups, and the buddy that keeps them."""

    def __init__(self, one, other):
        self.one, self.other = one, other
        self.home = f"{KEPT}/{one.name}"

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
        assert not differences, f"{what}: the buddy has something else:\n{differences}"
