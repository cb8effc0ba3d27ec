"""kernel.org and U-Boot: the tarballs that portadc's `debian` set has in its cache, under their upstream names."""

import bz2
import lzma
import os
import shutil
import tomllib
from pathlib import Path


def publish(directory, project, autosigner, u_boot_signer):
    """Lays out `pub/` below `directory`: the kernel with signed sums, U-Boot with its signature."""
    lock = tomllib.loads((project / "sources.lock").read_text())["debian"]
    kernel, u_boot = lock["kernel"], lock["u-boot"]

    folder = directory / f"pub/linux/kernel/v{kernel['version'].split('.')[0]}.x"
    folder.mkdir(parents=True)
    name = f"linux-{kernel['version']}.tar.xz"
    _link(_cached(kernel), folder / name)
    autosigner.clearsign(f"{kernel['sha256']}  {name}\n", folder / "sha256sums.asc")

    folder = directory / "pub/u-boot"
    folder.mkdir(parents=True)
    tarball = folder / f"u-boot-{u_boot['version']}.tar.bz2"
    source = _cached(u_boot)
    if source.suffix == ".bz2":
        _link(source, tarball)
    elif source.suffix == ".xz":
        with lzma.open(source) as data, bz2.open(tarball, "wb") as packed:
            shutil.copyfileobj(data, packed)
    else:
        raise SystemExit(f"error: {source} is neither .tar.bz2 nor .tar.xz")
    u_boot_signer.detach(tarball, tarball.with_name(f"{tarball.name}.sig"), armor=False)


def _cached(locked):
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "portadc/sources" / locked["sha256"] / locked["file"]
    if not path.exists():
        raise SystemExit(f"error: no {path}: run ci/build first, or leave the sources out with --without-sources")
    return path


def _link(source, destination):
    try:
        os.link(source, destination)
    except OSError:
        shutil.copyfile(source, destination)
