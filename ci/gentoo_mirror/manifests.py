"""What Gentoo's servers add to a repository before they give it away: Manifests of whole packages, and the cache of metadata."""

import hashlib
import re
import subprocess

from gentoo_mirror.portage import processors


def write_manifests(repository, distfiles):
    """A Manifest for every package of the folder `repository`: its files, and what it downloads, which lies in `distfiles`."""
    for package in sorted({path.parent for path in repository.glob("*/*/*.ebuild")}):
        lines = []
        for file in sorted(path for path in package.rglob("*") if path.is_file()):
            kind = "EBUILD" if file.suffix == ".ebuild" else "AUX" if file.parent.name == "files" else "MISC"
            lines.append(_line(kind, file))
            if kind == "EBUILD":
                lines += [_line("DIST", distfiles / name) for name in _downloads(file)]
        (package / "Manifest").write_text("".join(sorted(lines)))


def write_cache(repository, portage):
    """metadata/md5-cache, without which emerge has bash read every ebuild."""
    command = portage.command([])
    command[1] = str(portage.system / "bin/egencache")
    # It does not look into the environment for this.
    repositories = portage.environment["PORTAGE_REPOSITORIES"]
    command += ["--update", "--repo=gentoo", f"--repositories-configuration={repositories}", f"--jobs={processors()}"]
    done = subprocess.run(
        command, env=portage.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    ebuilds, cached = (sum(1 for _ in repository.glob(pattern)) for pattern in ("*/*/*.ebuild", "metadata/md5-cache/*/*"))
    if done.returncode != 0 or ebuilds != cached:
        raise SystemExit(f"{done.stdout}\nerror: egencache: of {ebuilds} ebuilds {cached} are in the cache")


def distfile_folder(name):
    """Where a mirror has the distfile `name`: as distfiles/layout.conf says, filename-hash BLAKE2B 8."""
    return hashlib.blake2b(name.encode()).hexdigest()[:2]


def _downloads(ebuild):
    """The file that an ebuild downloads, if it does."""
    found = re.search(r'^SRC_URI="(\S+)"$', ebuild.read_text(), re.MULTILINE)
    return [found[1].rpartition("/")[2].replace("${P}", ebuild.stem)] if found else []


def _line(kind, file):
    data = file.read_bytes()
    blake, sha = hashlib.blake2b(data).hexdigest(), hashlib.sha512(data).hexdigest()
    return f"{kind} {file.name} {len(data)} BLAKE2B {blake} SHA512 {sha}\n"
