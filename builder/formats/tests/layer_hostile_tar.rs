//! Tars that somebody made up, cut or broke: each is refused with the entry's name and the reason.

mod layer_common;

use formats::layer::*;
use formats::units::Bytes;
use layer_common::{options, read};
use testkit::tars::{RawMember, RawTar, filter, with_checksum};

/// Each tar as a test of its own, with the message it has to be refused with.
macro_rules! refused {
    ($($name:ident: $tar:expr => $message:expr;)*) => {$(
        #[test]
        fn $name() {
            let tar: Vec<u8> = $tar;
            let error = read(&tar, &options()).expect_err("this tar has to be refused");
            assert_eq!(error.to_string(), $message);
        }
    )*};
}

fn tar() -> RawTar {
    RawTar::default()
}

fn member(typeflag: u8, name: &str) -> RawMember {
    RawMember::new(typeflag, name)
}

/// A GNU long name (`L`) or target (`K`) before a file.
fn long(typeflag: u8, name: &[u8]) -> Vec<u8> {
    let long = RawMember {
        data: [name, b"\0"].concat(),
        ..member(typeflag, "././@LongLink")
    };
    tar()
        .file("target", "")
        .member(&long)
        .hardlink("short", "target")
        .end()
}

/// A file with PAX records before it.
fn pax(records: &[(&str, &[u8])]) -> Vec<u8> {
    tar().pax(b'x', records).file("file", "data").end()
}

/// A header with bytes put at an offset, its checksum right.
fn patched(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut header = member(b'0', "file").header();
    header[offset..offset + bytes.len()].copy_from_slice(bytes);
    [&with_checksum(header)[..], &[0; 1024]].concat()
}

refused! {
    absolute: tar().file("/etc/passwd", "x").end()
        => "entry `/etc/passwd` is refused: the path is absolute";
    absolute_root: tar().directory("/").end()
        => "entry `/` is refused: the path is absolute";
    parent: tar().file("a/../../etc/passwd", "x").end()
        => "entry `a/../../etc/passwd` is refused: the path contains `..`";
    parent_behind_dot: tar().file("./..", "x").end()
        => "entry `./..` is refused: the path contains `..`";
    empty_component: tar().file("a//b", "x").end()
        => "entry `a//b` is refused: the path has an empty component or a `.` inside";
    dot_component: tar().file("a/./b", "x").end()
        => "entry `a/./b` is refused: the path has an empty component or a `.` inside";
    file_with_slash: tar().file("a/", "x").end()
        => "entry `a/` is refused: the path has an empty component or a `.` inside";
    root_as_file: tar().file("./", "x").end()
        => "entry `./` is refused: the path has an empty component or a `.` inside";
    no_name: tar().file("", "x").end()
        => "entry `/` is refused: the path has an empty component or a `.` inside";
    absolute_in_long_name: long(b'L', b"/long")
        => "entry `/long` is refused: the path is absolute";
    parent_in_pax_path: pax(&[("path", b"../up")])
        => "entry `../up` is refused: the path contains `..`";
    nul_in_pax_path: pax(&[("path", b"a\0b")])
        => "entry `a\\u{0}b` with its header at byte 1024 is refused: its name or target contains a NUL byte";
    nul_in_long_name: long(b'L', b"a\0b")
        => "entry `a\\u{0}b` with its header at byte 1536 is refused: its name or target contains a NUL byte";
    long_component: pax(&[("path", &[b'n'; 256])])
        => format!("entry `{}…` is refused: the path has a component of 256 bytes, above the limit of 255", "n".repeat(160));
    long_path: pax(&[("path", &b"p/".repeat(2048))])
        => format!("entry `{}…` is refused: the path of 4096 bytes is above the limit of 4095", "p/".repeat(80));

    deep_path: tar().pax(b'x', &[("path", b"d/".repeat(257).as_slice())]).directory("d").end()
        => format!("entry `{}…` is refused: the path has 257 components, above the limit of 256", "d/".repeat(80));

    through_symlink: tar().symlink("lib", "/etc").file("lib/passwd", "x").end()
        => "entry `lib/passwd` is refused: it passes through `lib`, which is a symbolic link";
    through_symlink_deeper: tar().symlink("a", ".").directory("a/b/c").end()
        => "entry `a/b/c` is refused: it passes through `a`, which is a symbolic link";
    through_file: tar().file("a", "x").file("a/b", "x").end()
        => "entry `a/b` is refused: it passes through `a`, which is a file";
    symlink_over_parent: tar().file("lib/passwd", "x").symlink("lib", "/etc").end()
        => "entry `lib` is refused: earlier entries lie in it, so it can only be a directory";
    duplicate_file: tar().file("a", "x").file("./a", "y").end()
        => "entry `./a` is refused: an earlier entry has the same path";
    duplicate_directory: tar().directory("a").directory("a/").end()
        => "entry `a/` is refused: an earlier entry has the same path";
    duplicate_kind: tar().directory("a").symlink("a", "/etc").end()
        => "entry `a` is refused: an earlier entry has the same path";
    empty_symlink: tar().symlink("a", "").end()
        => "entry `a` is refused: the target of a symbolic link has 1 to 4095 bytes and no NUL; this one has 0 bytes";

    hardlink_to_nothing: tar().hardlink("a", "b").file("b", "x").end()
        => "entry `a` is refused: it links to `b`, which is no earlier entry";
    hardlink_to_itself: tar().hardlink("a", "a").end()
        => "entry `a` is refused: it links to `a`, which is no earlier entry";
    hardlink_to_directory: tar().directory("b").hardlink("a", "b").end()
        => "entry `a` is refused: it links to `b`, which is a directory";
    hardlink_out: tar().hardlink("a", "../../etc/shadow").end()
        => "entry `a` is refused: it links to `../../etc/shadow`: the path contains `..`";
    hardlink_absolute: tar().hardlink("a", "/etc/shadow").end()
        => "entry `a` is refused: it links to `/etc/shadow`: the path is absolute";
    hardlink_through_symlink: tar().directory("d").file("d/f", "x").symlink("s", "d").hardlink("a", "s/f").end()
        => "entry `a` is refused: it links to `s/f`, which is no earlier entry";
    hardlink_with_data: tar().file("b", "x").member(&RawMember { link: b"b".to_vec(), data: b"y".to_vec(), ..member(b'1', "a") }).end()
        => "entry `a` with its header at byte 1024 is refused: it is a hard link with 1 bytes of data";
    directory_with_data: tar().member(&RawMember { data: b"y".to_vec(), ..member(b'5', "a") }).end()
        => "entry `a` with its header at byte 0 is refused: it is a directory with 1 bytes of data";

    unknown_type: tar().member(&member(b'V', "volume")).end()
        => "entry `volume` with its header at byte 0 is refused: its type V is not known";
    unprintable_type: tar().member(&member(0x1b, "a")).end()
        => "entry `a` with its header at byte 0 is refused: its type \\u{1b} is not known";
    size_is_text: patched(124, b"12x")
        => "entry `file` with its header at byte 0 is refused: its size is no number";
    negative_size: patched(124, &[0xff; 12])
        => "entry `file` with its header at byte 0 is refused: its size is out of range";
    huge_size: patched(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")
        => "entry `file` with its header at byte 0 is refused: its size is out of range";
    negative_owner: patched(108, &[0xff; 8])
        => "entry `file` with its header at byte 0 is refused: its uid is out of range";
    no_owner: pax(&[("gid", b"4294967295")])
        => "entry `file` with its header at byte 1024 is refused: its gid is out of range";
    mode_is_text: patched(100, b"rw-r--r--".first_chunk::<8>().expect("it is longer"))
        => "entry `file` with its header at byte 0 is refused: its mode is no number";

    empty: Vec::new() => "the archive is empty";
    not_a_tar: b"#!/bin/sh\n".repeat(100)
        => "the block at byte 0 is no tar header: its checksum is wrong";
    lz4: b"\x04\x22\x4d\x18lz4".repeat(100)
        => "the archive is compressed with lz4, which is not supported: gzip, bzip2, xz and zstd are";
    wrong_checksum: {
        let mut tar = tar().file("a", "x").file("b", "y").end();
        tar[1024 + 100] ^= 1;
        tar
    } => "the block at byte 1024 is no tar header: its checksum is wrong";
    cut_in_padding: tar().file("a", "x").end()[..700].to_vec()
        => "the archive is cut short: it ends at byte 700, within `a`";
    cut_in_header: tar().file("a", "x").end()[..100].to_vec()
        => "the archive is cut short: it ends at byte 100, within a header";
    cut_in_data: tar().file("a", [b'x'; 5000]).end()[..3000].to_vec()
        => "the archive is cut short: it ends at byte 3000, within `a`";
    cut_before_end: tar().file("a", "x").bytes
        => "the archive is cut short: it ends at byte 1024 without two blocks of zeros";
    cut_in_end: [tar().file("a", "x").bytes, vec![0; 512]].concat()
        => "the archive is cut short: it ends at byte 1536 without two blocks of zeros";
    one_block_of_zeros: [tar().bytes, vec![0; 512], tar().file("a", "x").end()].concat()
        => "the archive goes on after its end mark, at byte 512";
    garbage_after_end: [tar().file("a", "x").end(), vec![0; 5000], b"garbage".to_vec()].concat()
        => "the archive goes on after its end mark, at byte 7048";
    second_archive: [tar().file("a", "x").end(), tar().file("b", "y").end()].concat()
        => "the archive goes on after its end mark, at byte 2048";

    pax_without_member: tar().pax(b'x', &[("path", b"a")]).end()
        => "entry `/` with its header at byte 1024 is refused: an extended header belongs to no entry";
    pax_length_wrong: tar().member(&RawMember { data: b"99 path=a\n".to_vec(), ..member(b'x', "h") }).file("a", "").end()
        => "entry `h` with its header at byte 0 is refused: its extended header is malformed";
    pax_time_wrong: pax(&[("mtime", b"yesterday")])
        => "entry `PaxHeaders/x` with its header at byte 0 is refused: its mtime is no number";
    pax_size_wrong: pax(&[("size", b"-1")])
        => "entry `PaxHeaders/x` with its header at byte 0 is refused: its size is no number";
    pax_size_beyond: pax(&[("size", b"1000000")])
        => "the archive is cut short: it ends at byte 3072, within `file`";
    global_path: tar().pax(b'g', &[("path", b"a")]).file("b", "x").end()
        => "entry `PaxHeaders/x` with its header at byte 0 is refused: a global extended header sets `path`";
    global_xattr: tar().pax(b'g', &[("SCHILY.xattr.user.a", b"a")]).file("b", "x").end()
        => "entry `PaxHeaders/x` with its header at byte 0 is refused: a global extended header sets `SCHILY.xattr.user.a`";
    xattr_without_namespace: pax(&[("SCHILY.xattr.a", b"value")])
        => "entry `file` is refused: extended attribute `a` is not named `namespace.name` within 255 bytes";
    xattr_with_nul: pax(&[("SCHILY.xattr.user.a\0", b"value")])
        => "entry `file` is refused: extended attribute `user.a\\u{0}` is not named `namespace.name` within 255 bytes";
    xattr_too_large: pax(&[("SCHILY.xattr.user.a", &[1; 65537])])
        => "entry `file` is refused: extended attribute `user.a` of 65537 bytes is above the limit of 65536";
    xattr_unreadable: pax(&[("LIBARCHIVE.xattr.user.a", b"dmFsdWU=")])
        => "entry `PaxHeaders/x` with its header at byte 0 is refused: it has extended attributes as LIBARCHIVE.xattr without SCHILY.xattr, which is not supported";
    acl_as_text: pax(&[("SCHILY.acl.access", b"user::rw-,user:daemon:r--,group::r--,mask::r--,other::r--")])
        => "entry `PaxHeaders/x` with its header at byte 0 is refused: it has an ACL as text (`tar --xattrs --xattrs-include='*'` keeps ACLs as they are stored), which is not supported";
    large_extension: tar().member(&RawMember { size: Some(1 << 40), ..member(b'x', "h") }).end()
        => "entry `h` with its header at byte 0 is refused: its extended header of 1099511627776 bytes brings it above the limit of 1048576";
    many_extensions: (0..12)
        .fold(tar(), |tar, _| tar.pax(b'x', &[("SCHILY.xattr.user.a", &[1; 100_000])]))
        .file("file", "")
        .end()
        => "entry `PaxHeaders/x` with its header at byte 1008640 is refused: its extended header of 100028 bytes brings it above the limit of 1048576";
    large_long_name: tar().member(&RawMember { size: Some(1 << 32), ..member(b'L', "h") }).end()
        => "entry `h` with its header at byte 0 is refused: its extended header of 4294967296 bytes brings it above the limit of 1048576";

    sparse_overlap: pax(&[("GNU.sparse.size", b"10000"), ("GNU.sparse.map", b"0,2,1,2")])
        => "entry `file` with its header at byte 1024 is refused: its map of a sparse file is wrong: its regions overlap or lie behind the end of the file";
    sparse_beyond: pax(&[("GNU.sparse.size", b"10000"), ("GNU.sparse.map", b"9999,4")])
        => "entry `file` with its header at byte 1024 is refused: its map of a sparse file is wrong: its regions overlap or lie behind the end of the file";
    sparse_overflow: pax(&[("GNU.sparse.size", b"10000"), ("GNU.sparse.map", b"18446744073709551615,4")])
        => "entry `file` with its header at byte 1024 is refused: its map of a sparse file is wrong: its regions overlap or lie behind the end of the file";
    sparse_missing_data: pax(&[("GNU.sparse.size", b"10000"), ("GNU.sparse.map", b"0,4,4096,4")])
        => "entry `file` with its header at byte 1024 is refused: its map of a sparse file is wrong: its regions have not as many bytes as the data";
    sparse_odd: pax(&[("GNU.sparse.size", b"10000"), ("GNU.sparse.map", b"0,4,4096")])
        => "entry `file` with its header at byte 1024 is refused: its map of a sparse file is wrong: it has half a region, or too many";
    sparse_version: pax(&[("GNU.sparse.major", b"2"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"4")])
        => "entry `file` with its header at byte 1024 is refused: it has a sparse file of an unknown version, which is not supported";
    sparse_without_map: pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"4")])
        => "entry `file` with its header at byte 1024 is refused: its map of a sparse file is wrong: it is longer than the data";
    sparse_directory: tar().pax(b'x', &[("GNU.sparse.size", b"10000"), ("GNU.sparse.map", b"")]).directory("d").end()
        => "entry `d` with its header at byte 1024 is refused: it is a directory with 0 bytes of data";
    large_sparse_file: pax(&[("GNU.sparse.size", b"9000000000000"), ("GNU.sparse.map", b"0,4")])
        => "entry `file` is refused: a file of 9000000000000 bytes is above the limit of 8589934592";
}

/// `tar` read with some limits changed.
fn limited(tar: &[u8], change: impl Fn(&mut Limits)) -> String {
    let mut options = options();
    change(&mut options.limits);
    read(tar, &options)
        .expect_err("the limit has to stop this tar")
        .to_string()
}

#[test]
fn limits_stop_what_they_say() {
    let entries = tar().file("a", "x").file("b", "x").file("c", "x").end();
    assert_eq!(
        limited(&entries, |limits| limits.entries = 2),
        "entry `c` is one more than the limit of 2 entries"
    );
    let sizes = tar().file("a", [1; 3000]).file("b", [1; 3000]).end();
    assert_eq!(
        limited(&sizes, |limits| limits.file = Bytes(2999)),
        "entry `a` is refused: a file of 3000 bytes is above the limit of 2999"
    );
    assert_eq!(
        limited(&sizes, |limits| limits.total = Bytes(5999)),
        "with entry `b` the files have more than the limit of 5.9 KiB together"
    );
    assert_eq!(
        limited(&entries, |limits| limits.total = Bytes(2000)),
        "the archive unpacks to more than the limit of 2000 bytes"
    );
    let path = tar().file("a/b/c/d", "x").end();
    assert_eq!(
        limited(&path, |limits| limits.path = 6),
        "entry `a/b/c/d` is refused: the path of 7 bytes is above the limit of 6"
    );
    assert_eq!(
        limited(&pax(&[("SCHILY.xattr.user.a", &[1; 2000])]), |limits| limits
            .metadata =
            Bytes::kib(2)),
        "with entry `file` names, attributes and maps take more than the limit of 2 KiB"
    );
    let xattr = pax(&[("SCHILY.xattr.user.a", b"value")]);
    assert_eq!(
        limited(&xattr, |limits| limits.xattr = 4),
        "entry `file` is refused: extended attribute `user.a` of 5 bytes is above the limit of 4"
    );
}

#[test]
fn bombs_stop_at_the_limit() {
    let zeros = vec![0; 64 << 20];
    // In a file, behind the end mark, and as an extended header that is never read.
    let in_file = tar().file("bomb", &zeros).end();
    let behind_end = [tar().file("a", "x").end(), zeros].concat();
    for (program, arguments) in [
        ("gzip", ["-c", "-9"]),
        ("xz", ["-c", "-1"]),
        ("zstd", ["-c", "-9"]),
    ] {
        for bomb in [&in_file, &behind_end] {
            let packed = filter(program, &arguments, bomb);
            assert!(packed.len() < 200_000);
            let mut blob = Vec::new();
            let mut options = options();
            options.limits.total = Bytes::mib(1);
            let error =
                from_tar(&packed[..], &mut blob, &options).expect_err("the limit has to stop this tar");
            assert!(
                matches!(
                    error,
                    TarError::Archive(ArchiveError::Long { limit: 1_048_576 }) | TarError::Total { .. }
                ),
                "{program}: {error}"
            );
            assert!(blob.len() < 2 << 20);
        }
    }
}

#[test]
fn block_devices_are_refused_too() {
    let tar = tar()
        .member(&RawMember {
            device: (8, 1),
            ..member(b'4', "dev/sda1")
        })
        .end();
    let layer = read(&tar, &options()).expect("devices are allowed");
    assert_eq!(
        layer.entries[0].body,
        Body::BlockDevice(Device { major: 8, minor: 1 })
    );
    let refused = TarOptions {
        devices: Devices::Refused,
        ..options()
    };
    let error = read(&tar, &refused).expect_err("devices are not allowed");
    assert_eq!(
        error.to_string(),
        "entry `dev/sda1` is refused: device nodes are not allowed here"
    );
}

#[test]
fn a_sink_that_is_full_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let tar = tar().file("a", [7; 10_000]).end();
    let error = from_tar(&tar[..], Full, &options()).expect_err("nothing can be written");
    assert_eq!(error.to_string(), "cannot write the extents of a layer");
}

#[test]
fn unusual_but_sound_tars_are_read() {
    let records: &[(&str, &[u8])] = &[
        ("mtime", b"-1.25"),
        ("uid", b"4000000000"),
        ("path", b"./dir/\xff"),
        ("comment", b"no matter"),
        ("VENDOR.key", b"no matter"),
        ("SCHILY.xattr.security.capability", b"\x01\0\0\x02\n="),
        ("RHT.security.selinux", b"system_u:object_r:bin_t:s0"),
    ];
    let tar = tar()
        .pax(b'g', &[("gid", b"77"), ("comment", b"no matter")])
        .directory("./")
        .directory("./dir/")
        .pax(b'x', records)
        .file("short", "data")
        .hardlink("link", "./dir/\u{0}".trim_end_matches('\0').to_owned() + "x")
        .end();
    // The link's target is not UTF-8, so it is put into the header by hand.
    let mut tar = tar;
    let position = tar
        .windows(6)
        .rposition(|bytes| bytes == b"dir/x\0")
        .expect("the target");
    tar[position + 4] = 0xff;
    let start = position / 512 * 512;
    let header = with_checksum(*tar[start..].first_chunk().expect("a block"));
    tar[start..start + 512].copy_from_slice(&header);

    let layer = read(&tar, &options()).expect("a sound tar");
    let paths: Vec<_> = layer.entries.iter().map(|entry| &entry.path[..]).collect();
    assert_eq!(paths, [&b""[..], b"dir", b"dir/\xff", b"link"]);
    let file = &layer.entries[2].attributes;
    assert_eq!((file.uid, file.gid), (4_000_000_000, 77));
    assert_eq!((file.mtime.seconds, file.mtime.nanoseconds), (-2, 750_000_000));
    assert_eq!(file.xattrs[&b"security.capability"[..]], b"\x01\0\0\x02\n=");
    assert_eq!(
        file.xattrs[&b"security.selinux"[..]],
        b"system_u:object_r:bin_t:s0\0"
    );
    assert_eq!(layer.entries[3].body, Body::Hardlink(b"dir/\xff".to_vec()));
    assert_eq!(
        layer.entries[3].attributes, *file,
        "a hard link is the file itself"
    );
}
