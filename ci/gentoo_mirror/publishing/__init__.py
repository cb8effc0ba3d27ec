"""What a made mirror is published with. Nothing of this folder is in what takes minutes to make, so a change here makes none anew."""

import os
import shutil
import subprocess

from gentoo_mirror.keys import Key
from gentoo_mirror.publishing import upstream

# Where sources.toml has a keyring each; here all three are played by one key.
KEYRINGS = ("gentoo", "kernel-org", "u-boot")


def publish(made, directory, project, with_sources):
    """Puts the mirror `made` into `directory`, as hard links where that is possible."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in ["releases", "repository", "keys", "pub", "gnupg"]:
        shutil.rmtree(directory / name, ignore_errors=True)
    for name in ["releases", "repository"]:
        try:
            shutil.copytree(made / name, directory / name, symlinks=True, copy_function=os.link)
        except (OSError, shutil.Error):
            shutil.rmtree(directory / name)
            shutil.copytree(made / name, directory / name, symlinks=True)
    shutil.copytree(made / "gnupg", directory / "gnupg", ignore=shutil.ignore_patterns("S.*", "*.lock"))
    key = Key(directory / "gnupg")
    for name in KEYRINGS:
        key.export(directory / "keys" / f"{name}.asc")
    (directory / "keys/fingerprint").write_text(f"{key.fingerprint()}\n")
    if with_sources:
        upstream.publish(directory, project, key)
    key.stop()
    size = subprocess.run(["du", "-sh", directory], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]
    print(f"{directory}: a stand-in for Gentoo's mirror, {size}; its key is {key.fingerprint()}")
