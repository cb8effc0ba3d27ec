"""emerge for a tree, with the packages of a stand-in mirror; ci/emerge calls it."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from gentoo_mirror.portage import PROFILES, Portage, virtual_environment
from gentoo_mirror.table import PROJECT


def main():
    parser = argparse.ArgumentParser(prog="ci/emerge", description=__doc__)
    parser.add_argument("mirror", type=Path, help="what ci/mirror made")
    parser.add_argument("root", type=Path, help="the tree")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what emerge is told")
    options = parser.parse_args()
    url = os.environ.get("MIRROR_URL", f"file://{options.mirror}/")
    built = os.environ.get("BUILT", f"{options.mirror}/own")
    with tempfile.TemporaryDirectory(prefix="emerge-") as work:
        work = Path(work)
        portage = Portage(
            virtual_environment(PROJECT),
            options.mirror / "repository",
            work / "packages",
            work,
            options.mirror / "gnupg",
            flavor_of(options.root),
            binhost=f"{url}releases/arm64/binpackages/23.0/arm64 file://{built}",
        )
        # What the tree's own emerge is told of packages.
        for name in ("package.accept_keywords", "package.use"):
            said = options.root / "etc/portage" / name
            if said.is_dir():
                shutil.copytree(said, work / "etc/portage" / name)
        command = portage.command(["--usepkgonly", "--getbinpkg", "--binpkg-respect-use=y", *options.arguments])
        sys.exit(subprocess.run(command, env=portage.environment_of(options.root), check=False).returncode)


def flavor_of(root):
    """The flavor of the stage3 that the tree `root` was: its profile says so."""
    profile = root / "etc/portage/make.profile"
    [flavor] = [name for name, path in PROFILES.items() if str(profile.readlink()).endswith(f"/profiles/{path}")]
    return flavor


main()
