"""Compares two systems that the same packages were installed into: names, types, modes, owners, times, content, extended
attributes, hard links, and the records of the package manager. Usage: compare_systems.py OURS THEIRS

Not compared, because they say when or in which order something was done: times of directories, of symbolic links and of
what no package brings; the order of CONTENTS; caches of portage.
"""

import hashlib
import os
import stat
import sys

# Caches and logs that portage makes itself again.
OURS_NOT = (
    "/etc/ld.so.cache",
    "/var/cache/edb/dep",
    "/var/cache/edb/mtimedb",
    "/var/cache/edb/vdb_metadata.pickle",
    "/var/cache/edb/vdb_metadata_delta.json",
    "/var/cache/edb/vdb_blockers.pickle",
    "/var/lib/portage/preserved_libs_registry",
    "/var/lib/portage/world_sets",
    "/var/lib/portage/world.",
    "/var/log",
    "/var/tmp",
    "/tmp",
)
# What follows from packages, made at the time of installing.
MADE = (
    "/etc/csh.env",
    "/etc/environment.d",
    "/etc/group",
    "/etc/gshadow",
    "/etc/ld.so.conf",
    "/etc/passwd",
    "/etc/profile.env",
    "/etc/shadow",
    "/var/cache/edb",
    "/var/db/pkg",
    "/var/lib/portage",
)


def content(path, place):
    with open(place, "rb") as file:
        data = file.read()
    if path.endswith("/CONTENTS"):
        lines = data.decode().splitlines()
        # The time of a symbolic link is that of installing.
        lines = [line.rsplit(" ", 1)[0] if line.startswith("sym ") else line for line in lines]
        data = "\n".join(sorted(lines)).encode()
    if path == "/var/lib/portage/config":
        data = b"\n".join(sorted(data.splitlines()))
    return data


def listing(root):
    found, links = {}, {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            place = os.path.join(folder, name)
            path = place[len(root) :]
            if any(
                path == skipped or path.startswith(skipped + "/") or skipped.endswith(".") and path.startswith(skipped)
                for skipped in OURS_NOT
            ):
                continue
            if path.startswith("/var/db/pkg/") and name in ("metadata", ".metadata"):
                continue
            # Saved again after the phases that portage runs.
            if path.startswith("/var/db/pkg/") and name == "environment.bz2":
                continue
            status = os.lstat(place)
            is_made = any(path == made or path.startswith(made + "/") for made in MADE)
            what = {"type": stat.S_IFMT(status.st_mode), "owner": (status.st_uid, status.st_gid)}
            if stat.S_ISLNK(status.st_mode):
                what["target"] = os.readlink(place)
            else:
                what["mode"] = oct(stat.S_IMODE(status.st_mode))
                what["xattrs"] = {key: os.getxattr(place, key) for key in os.listxattr(place)}
            if stat.S_ISREG(status.st_mode):
                data = content(path, place)
                what["content"] = hashlib.sha256(data).hexdigest()
                what["start"] = data[:300]
                if not is_made:
                    what["mtime"] = int(status.st_mtime)
                links.setdefault(status.st_ino, []).append(path)
            found[path] = what
    for names in links.values():
        for path in names:
            found[path]["links"] = sorted(names)
    return found


def main():
    ours, theirs = (listing(root.rstrip("/")) for root in sys.argv[1:3])
    differences = 0
    for path in sorted(ours.keys() | theirs.keys()):
        if ours.get(path) != theirs.get(path):
            differences += 1
            print(f"{path}\n  portadc: {ours.get(path)}\n  portage: {theirs.get(path)}", file=sys.stderr)
    if differences:
        sys.exit(f"error: {differences} of {len(theirs)} paths differ")
    print(f"{len(theirs)} paths are the same")


main()
