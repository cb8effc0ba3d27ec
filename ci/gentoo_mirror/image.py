"""What a package installs: files of Debian's packages where Gentoo's would have them, as a tarball for its ebuild."""

import io
import stat
import tarfile
from fnmatch import fnmatchcase

from gentoo_mirror import package_manager
from gentoo_mirror.table import HERE, TIME

# What belongs to Debian's way of doing things. PAM's configuration and the alternatives are Gentoo's own.
REMOVED = (
    "etc/apparmor.d/*", "etc/apt/*", "etc/bash_completion.d/*", "etc/cron.*", "etc/default/*", "etc/dhcp/*",
    "etc/dpkg/*", "etc/init.d/*", "etc/kernel/*", "etc/logrotate.d/*", "etc/network/*", "etc/pam.d/*", "etc/ppp/*",
    "etc/rsyslog.d/*", "etc/runit/*", "etc/sv/*", "etc/ufw/*", "etc/update-motd.d/*", "usr/lib/sysusers.d/*",
    "usr/share/bug/*", "usr/share/debconf/*", "usr/share/debianutils/*", "usr/share/doc-base/*",
    "usr/share/initramfs-tools/*", "usr/share/lintian/*", "usr/share/menu/*", "usr/share/pam-configs/*",
    "usr/share/pam/*", "usr/share/runit/*",
)  # fmt: skip
KEPT = (
    "etc/default/useradd", "etc/default/lxc*", "etc/init.d/cgroups", "etc/init.d/savecache", "usr/lib/sysusers.d/basic.conf",
)  # fmt: skip

# Files that Gentoo's package has of its own.
FILES = HERE / "files"

# Debian's group `shadow`, which Gentoo does not have: what it lets do, a program does as root there.
SHADOW = 42


class Image:
    """The files of one package, by path without leading slash."""

    def __init__(self, recipe):
        self.recipe = recipe
        self.entries = {}

    def add_debian(self, package):
        for member, data in package.members():
            path = self._path(member.name.removeprefix("./").rstrip("/"), package.name)
            if path is None or not (member.isdir() or member.isreg() or member.issym() or member.islnk()):
                continue
            if member.islnk():
                member.linkname = self._path(member.linkname.removeprefix("./"), package.name)
            if member.gid == SHADOW:
                member.mode = (member.mode & ~stat.S_ISGID) | stat.S_ISUID
                member.gid = 0
            if path in self.recipe.modes:
                member.mode = int(self.recipe.modes[path], 8)
            self._put(path, member, data)

    def add_portage(self):
        for member, data in package_manager.files(self.recipe.version):
            self._put(member.name, member, data)

    def add_file(self, path, data):
        member = tarfile.TarInfo(path)
        member.mode, member.mtime, member.size = 0o644, TIME, len(data)
        self._put(path, member, data)

    def add_compiled(self, compiler):
        """The compiled form of its Python modules."""
        if any(path.endswith(".py") for path in self.entries):
            self.entries |= compiler.compile(self.entries)

    def add_own(self):
        """What stands in files/ and in the table."""
        folder = FILES / self.recipe.name
        for file in sorted(folder.rglob("*")):
            path = str(file.relative_to(folder))
            if file.is_dir():
                continue
            member = tarfile.TarInfo(path)
            member.mtime = TIME
            if file.is_symlink():
                member.type, member.linkname, member.mode = tarfile.SYMTYPE, str(file.readlink()), 0o777
                self._put(path, member, None)
                continue
            runs = file.stat().st_mode & stat.S_IXUSR
            member.mode = int(self.recipe.modes.get(path, "0755" if runs else "0644"), 8)
            data = file.read_bytes()
            member.size = len(data)
            self._put(path, member, data)
        for path, target in self.recipe.links.items():
            member = tarfile.TarInfo(path)
            member.type, member.linkname, member.mode, member.mtime = tarfile.SYMTYPE, target, 0o777, TIME
            self._put(path, member, None)

    def write(self, destination):
        # A link in sbin to the program of the same name in bin: these are one folder in Gentoo.
        for path in [path for path in self.entries if path.startswith("usr/sbin/")]:
            if f"usr/bin/{path.removeprefix('usr/sbin/')}" in self.entries:
                del self.entries[path]
        with tarfile.open(destination, "w", format=tarfile.PAX_FORMAT) as tar:
            # Hard links come after what they lead to.
            for path, (member, data) in sorted(self.entries.items(), key=lambda entry: (entry[1][0].islnk(), entry[0])):
                member.uname = member.gname = ""
                tar.addfile(member, io.BytesIO(data) if data is not None else None)

    def _path(self, path, deb):
        """Where Gentoo has it; None if it has it not."""
        removed = any(fnmatchcase(path, pattern) for pattern in (*REMOVED, *self.recipe.remove))
        if not path or path == "." or (removed and not any(fnmatchcase(path, pattern) for pattern in KEPT)):
            return None
        if path.startswith("usr/share/doc/"):
            return path.replace(f"usr/share/doc/{deb}", f"usr/share/doc/{self.recipe.pf}/{deb}", 1)
        return self.recipe.move.get(path, path)

    def _put(self, path, member, data):
        there = self.entries.get(path)
        if there and not (member.isdir() and there[0].isdir()) and not self._is_own(path):
            raise SystemExit(f"error: packages.toml: {self.recipe.name} has /{path} twice")
        member.name = path
        self.entries[path] = (member, data)

    def _is_own(self, path):
        return path in self.recipe.links or (FILES / self.recipe.name / path).exists()


def write_image(recipe, packages, compiler, destination, more=None):
    """The tarball of `recipe` from Debian's packages, and of the files `more` (path -> what it holds)."""
    image = Image(recipe)
    for deb in recipe.debs:
        image.add_debian(packages[deb])
    if recipe.portage:
        image.add_portage()
    image.add_own()
    for path, data in (more or {}).items():
        image.add_file(path, data)
    image.add_compiled(compiler)
    image.write(destination)
