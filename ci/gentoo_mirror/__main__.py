"""Makes the stand-in for Gentoo's mirror; ci/mirror calls it. What takes minutes is kept in the cache folder."""

import argparse
import fcntl
import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from gentoo_mirror import ebuilds, manifests, stage3
from gentoo_mirror.bytecode import PYTHON, Compiler
from gentoo_mirror.debian import Archive, host_architecture
from gentoo_mirror.image import write_image
from gentoo_mirror.keys import Key
from gentoo_mirror.portage import PROFILES, STAGE3S, Portage, pretend_installed, processors, virtual_environment
from gentoo_mirror.publishing import publish
from gentoo_mirror.table import HERE, PROJECT, Table

PACKAGES = "releases/arm64/binpackages/23.0/arm64"
AUTOBUILDS = "releases/arm64/autobuilds"

# What plays no part in making it: how it is published, how it is served, and an oracle.
NO_INPUTS = (HERE / "publishing", HERE / "serve.py", HERE / "emerge.py")

# Made mirrors that no input leads to any more go after a week.
KEPT_SECONDS = 7 * 24 * 3600


def main():
    parser = argparse.ArgumentParser(prog="ci/mirror", description=__doc__)
    parser.add_argument("directory", type=Path, help="folder that becomes the mirror; what it has of one is replaced")
    parser.add_argument("--without-sources", action="store_true", help="leave out the kernel and U-Boot (pub/)")
    options = parser.parse_args()

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "portadc-ci/mirror"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = obtain(cache)
        publish(made, options.directory, PROJECT, with_sources=not options.without_sources)


def obtain(cache):
    """The folder of the cache with the mirror of the present inputs, made now if it is not there."""
    table = Table()
    archive = Archive(cache / "apt", PROJECT)
    archive.update()
    packages = archive.packages(table.debs())
    made = cache / inputs(packages)
    if not made.exists():
        table.complete(packages)
        host = Archive(cache / "apt-host", PROJECT, host_architecture())
        host.update()
        part = cache / "part"
        shutil.rmtree(part, ignore_errors=True)
        sources = {recipe.pf: archive.upstream(packages[recipe.debs[0]]) for recipe in table.recipes if recipe.origin == "upstream"}
        make(part, table, packages, host.packages(PYTHON), sources)
        part.rename(made)
    os.utime(made)
    for other in cache.iterdir():
        if len(other.name) == len(made.name) and time.time() - other.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(other)
    return made


def inputs(packages):
    """A name for all that the mirror is made of. Short: GnuPG's sockets lie in a folder of this name."""
    key = hashlib.sha256()
    for file in [*sorted(HERE.rglob("*")), PROJECT / "ci/portage-venv"]:
        is_input = "__pycache__" not in file.parts and not any(file.is_relative_to(other) for other in NO_INPUTS)
        if is_input and file.is_file():
            key.update(f"{file.relative_to(PROJECT)} {file.stat().st_mode & 0o111} ".encode())
            key.update(hashlib.sha256(file.read_bytes()).digest())
    for name in sorted(packages):
        key.update(f"{name} {packages[name].sha256}\n".encode())
    return key.hexdigest()[:16]


def make(folder, table, packages, python, sources):
    """Makes the mirror (without sources) in `folder`. `python` are the packages of a Python for this machine, `sources` the tarballs
    of what is to be compiled, by name and version."""
    work = folder / "work"
    distfiles = work / "distfiles"
    distfiles.mkdir(parents=True)
    key = Key(folder / "gnupg")
    compiler = Compiler(work / "python", python)
    certificate = work / "certificate"
    key.export(certificate)
    # Where getuto takes it from.
    release_keys = {"usr/share/openpgp-keys/gentoo-release.asc": certificate.read_bytes()}
    for recipe in table.recipes:
        more = release_keys if recipe.name == "sec-keys/openpgp-keys-gentoo-release" else {}
        write_image(recipe, packages, compiler, distfiles / f"{recipe.pf}.tar", more)
    for pf, tarball in sources.items():
        (distfiles / f"{pf}.tar{tarball.suffix}").symlink_to(tarball)
    say("images of the packages")

    # That whose packages are made, and that which is given away.
    images, repository, binhost = work / "repository", folder / "repository", folder / PACKAGES
    binhost.mkdir(parents=True)
    accounts = ebuilds.account_ebuilds(table)
    ebuilds.write_repository(images, table, accounts, images=True)
    moment = datetime.now(UTC).replace(microsecond=0)
    ebuilds.shuffle_build_times(images, moment)
    ebuilds.write_repository(repository, table, accounts)
    venv = virtual_environment(PROJECT)

    def portage_for(flavor, name, repository=images, packages=binhost):
        own = work / name
        own.mkdir()
        (own / "distfiles").symlink_to(distfiles)
        return Portage(venv, repository, packages, own, key.home, flavor, signing_key=key.fingerprint())

    manifests.write_manifests(repository, distfiles)
    manifests.write_cache(repository, portage_for("systemd", "cache", repository))
    keep_distfiles(table, sources, distfiles, folder / "distfiles")
    say("the repository and its distfiles")

    portage = {flavor: portage_for(flavor, flavor) for flavor in PROFILES}
    jobs = processors() + 1
    pretend_installed(work / "build", table)
    there = [recipe for recipe in table.recipes if recipe.origin == "binhost"]
    # Gentoo's binhost has packages of three profiles side by side.
    builds = {
        "openrc": [recipe.name for recipe in there if "+systemd" in recipe.iuse],
        "desktop": [recipe.name for recipe in there if recipe.desktop],
        "systemd": [recipe.name for recipe in there] + list(accounts),
    }
    for flavor, names in builds.items():
        portage[flavor].emerge(work / "build", "--buildpkgonly", "--nodeps", "--oneshot", f"--jobs={jobs}", *names)
        say(f"{len(names)} binary packages for {flavor}")
    names = [recipe.name for recipe in table.recipes if recipe.origin != "binhost"]
    own = portage_for("systemd", "own", packages=folder / "own")
    own.emerge(work / "build", "--buildpkgonly", "--nodeps", "--oneshot", f"--jobs={jobs}", *names)
    say(f"{len(names)} binary packages of what the binhost lacks")

    def make_stage3(flavor):
        tree = work / f"stage3-{flavor}"
        stage3.make_tree(portage[flavor], tree, flavor, jobs)
        stage3.publish(tree, folder / AUTOBUILDS, flavor, moment, key)
        say(f"stage3-arm64-{flavor}")

    # emerge installs one package after the other: together they take hardly longer than one.
    with ThreadPoolExecutor() as pool:
        list(pool.map(make_stage3, STAGE3S))
    key.stop()
    shutil.rmtree(work)


def keep_distfiles(table, sources, distfiles, folder):
    """Lays out in `folder` what is downloaded to compile, as Gentoo's mirrors do."""
    names = [f"{recipe.pf}.tar" for recipe in table.recipes if recipe.origin == "distfile"]
    names += [f"{pf}.tar{tarball.suffix}" for pf, tarball in sources.items()]
    for name in names:
        path = folder / manifests.distfile_folder(name) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(distfiles / name, path)
    (folder / "layout.conf").write_text("[structure]\n0=filename-hash BLAKE2B 8\n1=flat\n")


def say(text):
    print(f"made: {text}", flush=True)


main()
