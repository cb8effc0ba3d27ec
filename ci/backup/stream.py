"""Streams as `btrfs receive` takes them, of whatever commands one likes: what a kernel would never send. Version 1, but for
FALLOCATE. Documented in the kernel (fs/btrfs/send.h) and at btrfs.readthedocs.io, "Send stream format"."""

import stat
import struct
import uuid

(
    SUBVOL,
    SNAPSHOT,
    MKFILE,
    MKDIR,
    MKNOD,
    MKFIFO,
    MKSOCK,
    SYMLINK,
    RENAME,
    LINK,
    UNLINK,
    RMDIR,
    SET_XATTR,
    REMOVE_XATTR,
    WRITE,
    CLONE,
    TRUNCATE,
    CHMOD,
    CHOWN,
    UTIMES,
    END,
    UPDATE_EXTENT,
    FALLOCATE,
) = range(1, 24)
(
    UUID,
    CTRANSID,
    INO,
    SIZE,
    MODE,
    UID,
    GID,
    RDEV,
    _,
    _,
    _,
    _,
    XATTR_NAME,
    XATTR_DATA,
    PATH,
    PATH_TO,
    PATH_LINK,
    FILE_OFFSET,
    DATA,
    CLONE_UUID,
    CLONE_CTRANSID,
    CLONE_PATH,
    CLONE_OFFSET,
    CLONE_LEN,
) = range(1, 25)
FALLOCATE_MODE = 25
GENERATION = 7

TABLE = []
for number in range(256):
    for _ in range(8):
        number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
    TABLE.append(number)


def crc32c(data):
    """As streams have it: it begins with 0, and nothing is inverted."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc


def u64(number):
    return struct.pack("<Q", number)


class Stream:
    """Commands, one after the other. Paths are within the subvolume that was begun last."""

    def __init__(self):
        self.bytes = b"btrfs-stream\0" + struct.pack("<I", 1)

    def add(self, command, *attributes):
        data = b""
        for kind, value in attributes:
            value = value.encode() if isinstance(value, str) else value
            data += struct.pack("<HH", kind, len(value)) + value
        head = struct.pack("<IH", len(data), command)
        self.bytes += head + struct.pack("<I", crc32c(head + bytes(4) + data)) + data
        return self

    def subvolume(self, path, identity=None):
        identity = identity or uuid.uuid4()
        return self.add(SUBVOL, (PATH, path), (UUID, identity.bytes), (CTRANSID, u64(GENERATION)))

    def snapshot(self, path, of, generation=GENERATION):
        own, parent = (UUID, uuid.uuid4().bytes), (CLONE_UUID, of.bytes)
        return self.add(SNAPSHOT, (PATH, path), own, (CTRANSID, u64(GENERATION)), parent, (CLONE_CTRANSID, u64(generation)))

    def folder(self, path):
        return self.add(MKDIR, (PATH, path), (INO, u64(300)))

    def file(self, path, content=b""):
        self.add(MKFILE, (PATH, path), (INO, u64(300)))
        for start in range(0, len(content), 48 << 10):
            self.add(WRITE, (PATH, path), (FILE_OFFSET, u64(start)), (DATA, content[start : start + (48 << 10)]))
        return self

    def symlink(self, path, target):
        return self.add(SYMLINK, (PATH, path), (INO, u64(300)), (PATH_LINK, target))

    def rename(self, path, to):
        return self.add(RENAME, (PATH, path), (PATH_TO, to))

    def device(self, path, device, kind=stat.S_IFBLK):
        return self.add(MKNOD, (PATH, path), (INO, u64(300)), (MODE, u64(kind | 0o666)), (RDEV, u64(device)))

    def owner(self, path, uid, gid):
        return self.add(CHOWN, (PATH, path), (UID, u64(uid)), (GID, u64(gid)))

    def clone(self, path, of, of_path, length, generation=GENERATION):
        """Makes a file that shares its data with `of_path` of the subvolume with UUID `of`."""
        self.file(path)
        source = (CLONE_UUID, of.bytes), (CLONE_CTRANSID, u64(generation)), (CLONE_PATH, of_path), (CLONE_OFFSET, u64(0))
        return self.add(CLONE, (FILE_OFFSET, u64(0)), (CLONE_LEN, u64(length)), (PATH, path), *source)

    def reserve(self, path, size):
        """Takes room on the card for a file, of which nothing is sent."""
        mode = struct.pack("<I", 0)
        return self.add(FALLOCATE, (PATH, path), (FALLOCATE_MODE, mode), (FILE_OFFSET, u64(0)), (SIZE, u64(size)))

    def end(self):
        return self.add(END).bytes
