"""sys-apps/portage: the portage of ci/portage-venv, laid out as Gentoo's package has it and not as a Python module."""

import re
import tarfile

from gentoo_mirror.portage import virtual_environment
from gentoo_mirror.table import PROJECT, TIME

# Debian's Python looks for modules here.
MODULES = "usr/lib/python3/dist-packages"
BASE = "usr/lib/portage"

# What a user calls.
PROGRAMS = (
    "dispatch-conf", "ebuild", "egencache", "emaint", "emerge", "env-update", "etc-update", "glsa-check", "gpkg-sign", "portageq",
    "quickpkg",
)  # fmt: skip

# Written by portage's build where it is installed as part of a system.
SYSTEM = {
    "installation.py": [(r'if "MODULE" == "MODULE":', 'if "SYSTEM" == "MODULE":'), (r'elif "MODULE" ==', 'elif "SYSTEM" ==')],
    "const.py": [
        (r'PORTAGE_BASE_PATH = """"""', f'PORTAGE_BASE_PATH = "/{BASE}"'),
        (r'PORTAGE_BIN_PATH = """"""', f'PORTAGE_BIN_PATH = "/{BASE}/bin"'),
    ],
}


def files(version):
    """Its files: pairs of TarInfo and what a regular file holds."""
    venv = virtual_environment(PROJECT)
    if venv.name != version:
        raise SystemExit(f"error: packages.toml: sys-apps/portage is of version {version}, ci/portage-venv has {venv.name}")
    [site] = venv.glob("lib/python3*/site-packages")
    for package in ("portage", "_emerge"):
        for file in sorted((site / package).rglob("*.py")):
            data = file.read_bytes()
            if package == "portage" and file.parent == site / package:
                for old, new in SYSTEM.get(file.name, []):
                    text, count = re.subn(old, new, data.decode())
                    if count != 1:
                        raise SystemExit(f"error: {file} does not have {old} once")
                    data = text.encode()
            yield _file(f"{MODULES}/{file.relative_to(site)}", data, 0o644)
    scripts = venv / "lib/portage/bin"
    for file in sorted(scripts.rglob("*")):
        path = f"{BASE}/bin/{file.relative_to(scripts)}"
        if "__pycache__" in file.parts or file.is_dir():
            continue
        if file.is_symlink():
            yield _link(path, str(file.readlink()))
        else:
            yield _file(path, file.read_bytes(), 0o755 if file.stat().st_mode & 0o100 else 0o644)
    for name in PROGRAMS:
        if (scripts / name).exists():
            yield _link(f"usr/bin/{name}", f"../lib/portage/bin/{name}")
    for file in sorted((venv / "share/portage/config").rglob("*")):
        if file.is_file():
            yield _file(f"usr/share/{file.relative_to(venv / 'share')}", file.read_bytes(), 0o644)
    for name in ("etc-update.conf", "dispatch-conf.conf"):
        yield _file(f"etc/{name}", (venv / "etc" / name).read_bytes(), 0o644)


def _file(path, data, mode):
    member = tarfile.TarInfo(path)
    member.mode, member.mtime, member.size = mode, TIME, len(data)
    return member, data


def _link(path, target):
    member = tarfile.TarInfo(path)
    member.type, member.linkname, member.mode, member.mtime = tarfile.SYMTYPE, target, 0o777, TIME
    return member, None
