"""What a made mirror is published with. Nothing of this folder is in what takes minutes to make, so a change here makes none anew."""

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from gentoo_mirror.publishing import signers, snapshot, upstream

# What was made; all else is added here.
MADE = ("distfiles", "own", "releases", "repository")


def publish(made, directory, project, with_sources):
    """Puts the mirror `made` into `directory`, as hard links where that is possible."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in [*MADE, "keys", "pks", ".well-known", "pub", "gnupg", "snapshots"]:
        shutil.rmtree(directory / name, ignore_errors=True)
    for name in MADE:
        try:
            shutil.copytree(made / name, directory / name, symlinks=True, copy_function=os.link)
        except (OSError, shutil.Error):
            shutil.rmtree(directory / name)
            shutil.copytree(made / name, directory / name, symlinks=True)
    shutil.copytree(made / "gnupg", directory / "gnupg", ignore=shutil.ignore_patterns("S.*", "*.lock"))
    with ExitStack() as cleaning:
        # In folders with short names, for GnuPG's sockets; nobody needs these private keys again.
        homes = Path(cleaning.enter_context(tempfile.TemporaryDirectory(prefix="keys-")))
        gentoo = signers.Gentoo(directory / "gnupg")
        snapshots, autosigner, u_boot = (role(homes / role.name) for role in (signers.Snapshots, signers.Autosigner, signers.UBoot))
        everybody = [snapshots, autosigner, u_boot, gentoo]
        for signer in everybody:
            cleaning.callback(signer.stop)
        snapshot.publish(directory / "repository", directory, snapshots)
        if with_sources:
            upstream.publish(directory, project, autosigner, u_boot)
        # What they signed is older than this.
        gentoo.renew()
        u_boot.renew()
        signers.publish(directory, everybody)
    size = subprocess.run(["du", "-sh", directory], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]
    print(f"{directory}: a stand-in for Gentoo's mirror, {size}")
