"""The stage3: what emerge makes of @system in an empty folder, packed and signed as Gentoo's release engineers do."""

import gzip
import hashlib
import shutil
import subprocess
from email.utils import formatdate

from gentoo_mirror.portage import PROFILES

MAKE_CONF = """\
# Please consult /usr/share/portage/config/make.conf.example for a more detailed example.
COMMON_FLAGS="-O2 -pipe"
CFLAGS="${COMMON_FLAGS}"
CXXFLAGS="${COMMON_FLAGS}"
FCFLAGS="${COMMON_FLAGS}"
FFLAGS="${COMMON_FLAGS}"

# NOTE: This stage was built with the bindist USE flag enabled

# This sets the language of build output to English.
LC_MESSAGES=C.utf8
"""

BINHOST = """\
# These settings were set by the catalyst build script that automatically
# built this stage.
# Please consider using a local mirror.

[gentoo]
priority = 1
sync-uri = https://distfiles.gentoo.org/releases/arm64/binpackages/23.0/arm64
location = /var/cache/binhost/gentoo
verify-signature = true
"""

# What emerge leaves behind that a stage3 does not have.
LEFT_BEHIND = ("var/log/emerge.log", "var/log/emerge-fetch.log", "var/tmp/portage", "var/log/portage", "tmp/*")


def make_tree(portage, root, flavor, jobs):
    """Installs @system into the empty folder `root`."""
    # The layout comes first, so that everything else finds /usr merged; then the accounts' packages their files.
    portage.emerge(root, "--usepkgonly", "--oneshot", "--nodeps", "sys-apps/baselayout")
    # Of two builds that one with the profile's USE flags.
    portage.emerge(root, "--usepkgonly", "--binpkg-respect-use=y", "--oneshot", f"--jobs={jobs}", "@system")
    configuration = root / "etc/portage"
    (configuration / "binrepos.conf").mkdir(parents=True)
    (configuration / "make.conf").write_text(MAKE_CONF)
    (configuration / "binrepos.conf/gentoo.conf").write_text(BINHOST)
    (configuration / "make.profile").symlink_to(f"../../var/db/repos/gentoo/profiles/{PROFILES[flavor]}")
    for pattern in LEFT_BEHIND:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif not path.name.startswith(".keep"):
                path.unlink()


def publish(root, autobuilds, flavor, moment, key):
    """Packs the tree `root` into the folder `autobuilds` as of `moment` (a datetime in UTC), with all that lies beside it."""
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    folder = autobuilds / stamp
    folder.mkdir(parents=True, exist_ok=True)
    tarball = folder / f"stage3-arm64-{flavor}-{stamp}.tar.xz"
    subprocess.run(
        ["tar", "--create", "--file", str(tarball), "--use-compress-program=xz -1 -T0", "--sort=name"]
        + ["--numeric-owner", "--xattrs", "--xattrs-include=*", "--directory", str(root), "."],
        check=True,
    )
    contents = folder / f"{tarball.name}.CONTENTS.gz"
    listed = subprocess.run(["tar", "--list", "--verbose", "--file", str(tarball)], check=True, stdout=subprocess.PIPE)
    contents.write_bytes(gzip.compress(listed.stdout, mtime=0))

    lines = []
    for file in (tarball, contents):
        for title, algorithm in [("BLAKE2B", "blake2b"), ("SHA512", "sha512")]:
            lines.append(f"# {title} HASH\n{_sum(algorithm, file)}  {file.name}\n")
    key.clearsign("".join(lines), folder / f"{tarball.name}.DIGESTS")
    key.clearsign(f"# SHA256 HASH\n{_sum('sha256', tarball)}  {tarball.name}\n", folder / f"{tarball.name}.sha256")
    key.detach(tarball, folder / f"{tarball.name}.asc")

    seconds = int(moment.timestamp())
    latest = f"# Latest as of {formatdate(seconds)}\n# ts={seconds}\n{stamp}/{tarball.name} {tarball.stat().st_size}\n"
    key.clearsign(latest, autobuilds / f"latest-stage3-arm64-{flavor}.txt")


def _sum(algorithm, file):
    with open(file, "rb") as data:
        return hashlib.file_digest(data, algorithm).hexdigest()
