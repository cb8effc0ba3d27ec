"""Versions: what a version of Debian's is in Gentoo."""

import re

# PMS, section 3.2.
LEGAL = re.compile(r"\d+(\.\d+)*[a-z]?(_(alpha|beta|pre|rc|p)\d*)*(-r\d+)?")


def gentoo_version(debian):
    """`1:10.0p1-7+deb13u4` is `10.0_p1`; None if what follows is no version of Gentoo's."""
    version = debian.split(":", 1)[-1].rsplit("-", 1)[0]
    # A repackaged or renamed upstream version: what it really is.
    version = version.split("+really")[-1]
    version = re.sub(r"[.+~](dfsg|ds|repack|debian)[\d.]*$", "", version)
    version = re.sub(r"~?(alpha|beta|rc)(\d*)", r"_\1\2", version)
    # A snapshot (6.5+20250216) and OpenSSH's portable releases (10.0p1) are patch levels in Gentoo.
    version = re.sub(r"\+(\d+)$", r"_p\1", version)
    version = re.sub(r"(?<=\d)p(\d+)$", r"_p\1", version)
    return version if LEGAL.fullmatch(version) else None
