"""Compiled Python modules, which Gentoo's packages have and Debian's make when they are installed. They are the same on every
processor, so the compiler is the same Python as this machine's processor runs it, in a folder with what it needs."""

import subprocess
import tarfile

from gentoo_mirror.table import TIME

# What it is made of: Debian's packages.
PYTHON = ("libc6", "libexpat1", "libpython3.13-minimal", "libpython3.13-stdlib", "python3.13-minimal", "zlib1g")
MODULES = ("usr/lib/python3/dist-packages/", "usr/lib/python3.13/", "usr/lib/portage/")


class Compiler:
    """Python in the folder `folder`, which must not exist; `packages` are PYTHON's for this machine."""

    def __init__(self, folder, packages):
        self.folder = folder
        for link in ("bin", "lib", "lib64"):
            (folder / "usr" / link).mkdir(parents=True)
            (folder / link).symlink_to(f"usr/{link}")
        for name in PYTHON:
            tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(packages[name].path)], stdout=subprocess.PIPE)
            # The links that make /usr a merged one stay.
            subprocess.run(
                ["tar", "--extract", "--keep-directory-symlink", "--directory", str(folder)], stdin=tar.stdout, check=True
            )
            if tar.wait() != 0:
                raise SystemExit(f"error: dpkg-deb cannot read {packages[name].path}")

    def compile(self, entries):
        """The compiled form of the modules among `entries` (path -> TarInfo and data), in the same shape."""
        sources = [path for path in entries if path.endswith(".py") and path.startswith(MODULES)]
        if not sources:
            return {}
        listed = self.folder / "sources"
        for path in sources:
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.unlink(missing_ok=True)
            file.write_bytes(entries[path][1] or b"")
        listed.write_text("".join(f"/{path}\n" for path in sources))
        # By the source's hash and not its time, and never compared: as a distribution's packages have it.
        python = ["python3.13", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-i", "/sources"]
        subprocess.run(["chroot", str(self.folder), *python], check=True, env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8"})
        compiled = {}
        for path in sources:
            folder, _, name = path.rpartition("/")
            cached = f"{folder}/__pycache__/{name.removesuffix('.py')}.cpython-313.pyc"
            data = (self.folder / cached).read_bytes()
            member = tarfile.TarInfo(cached)
            member.mode, member.mtime, member.size = 0o644, TIME, len(data)
            compiled[cached] = (member, data)
        return compiled
