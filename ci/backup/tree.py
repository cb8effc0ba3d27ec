"""What a folder has, for comparison with another."""

import hashlib
import os
import stat


def tree(top):
    """Every path below `top` with all that a backup has to keep of it. Links to one file have the same first name."""
    found, first_names = {}, {}
    for folder, folders, files in os.walk(top):
        for name in sorted([*folders, *files]):
            path = os.path.join(folder, name)
            inner = os.path.relpath(path, top)
            status = os.lstat(path)
            content = None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            attributes = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}
            first = first_names.setdefault((status.st_dev, status.st_ino), inner)
            times = None if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns
            found[inner] = (oct(status.st_mode), status.st_uid, status.st_gid, status.st_rdev, times, content, attributes, first)
    return found


def differences(one, other):
    """Paths that two trees do not have alike, a line each."""
    one, other = tree(one), tree(other)
    paths = sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
    return "".join(f"{path}: {one.get(path)} and {other.get(path)}\n" for path in paths)
