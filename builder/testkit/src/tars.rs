//! Tars for tests: right ones made by GNU tar from a folder, wrong ones put together block by block.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// Runs GNU tar with `arguments` and returns the archive it writes. Panics when there is no GNU tar or it fails: tests
/// need it as their oracle.
pub fn gnu_tar<S: AsRef<OsStr>>(arguments: &[S]) -> Vec<u8> {
    let output = Command::new("tar")
        .args(["--create", "--file=-"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("this test needs GNU tar as `tar`: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "tar failed (it has to be GNU tar): {stderr}"
    );
    output.stdout
}

/// Sends `input` through a program such as `xz -c`. Panics when it is missing or fails.
pub fn filter(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs `{program}`: {error}"));
    let mut stdin = child.stdin.take().expect("it was piped");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).expect("the filter reads all of its input"));
        let output = child.wait_with_output().expect("the filter was started");
        assert!(output.status.success(), "`{program}` failed");
        output.stdout
    })
}

/// Fills `folder` with every kind of file that can be made without being root (as root, with devices and protected
/// attributes too): empty, inline, sector-sized, large, incompressible, zero and sparse files, hard links, symbolic
/// links, a named pipe, long and non-UTF-8 names, odd times and modes, extended attributes.
pub fn populate(folder: &Path) -> io::Result<()> {
    let at = |name: &str| folder.join(name);
    for (name, length) in [
        ("empty", 0),
        ("one", 1),
        ("inline-last", 2048),
        ("inline-over", 2049),
        ("sector", 4096),
        ("sector-over", 4097),
        ("chunk", 128 << 10),
        ("chunk-over", (128 << 10) + 1),
        ("large", 1_500_001),
    ] {
        fs::write(at(name), text(length))?;
    }
    fs::write(at("noise"), noise(3_000_000, 1))?;
    fs::write(at("noise-again"), noise(3_000_000, 1))?;
    fs::write(at("noise-small"), noise(1500, 2))?;
    fs::write(at("zeros"), vec![0; 700_000])?;
    let mixed = [text(200_000), noise(300_000, 3), vec![0; 400_000], text(5)].concat();
    fs::write(at("mixed"), mixed)?;

    for (name, size, data) in [
        ("sparse-front", 5_000_000, &[(4_900_000, 70_001)][..]),
        ("sparse-hole", 10_000_000, &[]),
        ("sparse-end", 9_000_000, &[(0, 10), (1_000_001, 300_000)]),
        ("sparse-small", 1800, &[]),
    ] {
        let file = File::create(at(name))?;
        file.set_len(size)?;
        for (offset, length) in data {
            file.write_all_at(&text(*length), *offset)?;
        }
    }
    // More regions than a GNU header and one block after it hold.
    let file = File::create(at("sparse-many"))?;
    for region in 0..100 {
        file.write_all_at(&text(100), region * 65_536)?;
    }

    let deep = folder.join(["directory-with-a-name-of-some-length"; 9].join("/"));
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("x".repeat(255)), b"deep")?;
    symlink("t".repeat(1000), at("long-link"))?;
    symlink("../one", at("link"))?;
    symlink("/nowhere", at("dangling"))?;
    fs::write(folder.join(OsStr::from_bytes(b"bytes-\xff\xfe\n")), b"not UTF-8")?;
    fs::create_dir(at("b"))?;
    fs::hard_link(at("large"), at("a-hardlink"))?;
    fs::hard_link(at("large"), at("b/z-hardlink"))?;
    fs::create_dir(at("sticky"))?;
    fs::set_permissions(at("sticky"), fs::Permissions::from_mode(0o1777))?;
    fs::set_permissions(at("one"), fs::Permissions::from_mode(0o4755))?;
    fs::set_permissions(at("sector"), fs::Permissions::from_mode(0o000))?;
    rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    for name in ["link", "pipe"] {
        fs::hard_link(at(name), at("b").join(name))?;
        fs::hard_link(at(name), at(&format!("a-{name}-hardlink")))?;
    }

    set_xattr(&at("one"), "user.short", b"value")?;
    set_xattr(&at("one"), "user.binary", b"\0\n=\xff")?;
    set_xattr(&at("one"), "user.empty", b"")?;
    set_xattr(&at("b"), "user.long", &noise(2000, 4))?;
    if rustix::process::geteuid().is_root() {
        set_xattr(&at("sector"), "trusted.overlay", b"y")?;
        // cap_net_raw=ep, as `setcap` stores it.
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set_xattr(&at("sector"), "security.capability", &capability)?;
        let device = rustix::fs::makedev(259, 70_000);
        rustix::fs::mknodat(
            CWD,
            at("block"),
            FileType::BlockDevice,
            Mode::from_raw_mode(0o660),
            device,
        )?;
        let device = rustix::fs::makedev(5, 1);
        rustix::fs::mknodat(
            CWD,
            at("console"),
            FileType::CharacterDevice,
            Mode::from_raw_mode(0o600),
            device,
        )?;
        for name in ["block", "console"] {
            fs::hard_link(at(name), at("b").join(name))?;
        }
        std::os::unix::fs::lchown(at("link"), Some(3_000_000), Some(4_000_000_000))?;
    }
    set_time(&at("one"), 1, 1)?;
    set_time(&at("sector"), -2, 999_999_999)?;
    set_time(&at("chunk"), 5_000_000_000, 500_000_000)?;
    Ok(())
}

/// Compressible bytes.
pub fn text(length: usize) -> Vec<u8> {
    (0..length / 8 + 1)
        .flat_map(|line| format!("{:07x}\n", line * line).into_bytes())
        .take(length)
        .collect()
}

/// Incompressible bytes (xorshift64*).
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut word = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    };
    (0..length.div_ceil(8))
        .flat_map(|_| word().to_le_bytes())
        .take(length)
        .collect()
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) -> io::Result<()> {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).map_err(|error| {
        io::Error::other(format!(
            "the temporary folder has to support extended attributes: {name}: {error}"
        ))
    })
}

fn set_time(path: &Path, seconds: i64, nanoseconds: i64) -> io::Result<()> {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(rustix::fs::utimensat(
        CWD,
        path,
        &times,
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

/// A tar put together header by header, right or wrong.
#[derive(Debug, Clone, Default)]
pub struct RawTar {
    /// The blocks so far.
    pub bytes: Vec<u8>,
}

/// A header with its data; every field can be set to something wrong.
#[derive(Debug, Clone)]
pub struct RawMember {
    /// Up to 100 bytes of name.
    pub name: Vec<u8>,
    /// Type.
    pub typeflag: u8,
    /// Target of a link.
    pub link: Vec<u8>,
    /// The size field, where it is not the data's length.
    pub size: Option<u64>,
    /// Device numbers.
    pub device: (u32, u32),
    /// Data.
    pub data: Vec<u8>,
}

impl RawMember {
    /// A member of a type without data.
    pub fn new(typeflag: u8, name: impl AsRef<[u8]>) -> Self {
        let name = name.as_ref().to_vec();
        Self {
            name,
            typeflag,
            link: Vec::new(),
            size: None,
            device: (0, 0),
            data: Vec::new(),
        }
    }

    /// The header, its checksum right.
    pub fn header(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let mut put =
            |offset: usize, bytes: &[u8]| block[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name);
        put(100, b"0000644\0");
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, &number(self.size.unwrap_or(self.data.len() as u64)));
        put(136, b"00000000001\0");
        put(156, &[self.typeflag]);
        put(157, &self.link);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}\0", self.device.0).as_bytes());
        put(337, format!("{:07o}\0", self.device.1).as_bytes());
        with_checksum(block)
    }
}

/// A size field: octal, or binary where that is too short.
fn number(value: u64) -> [u8; 12] {
    let mut field = [0; 12];
    if value < 1 << 33 {
        field.copy_from_slice(format!("{value:011o}\0").as_bytes());
    } else {
        field[0] = 0x80;
        field[4..].copy_from_slice(&value.to_be_bytes());
    }
    field
}

/// The header with the checksum it should have.
pub fn with_checksum(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

impl RawTar {
    /// Appends a member: header, data, padding.
    pub fn member(mut self, member: &RawMember) -> Self {
        self.bytes.extend_from_slice(&member.header());
        self.bytes.extend_from_slice(&member.data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// Appends a directory.
    pub fn directory(self, name: impl AsRef<[u8]>) -> Self {
        self.member(&RawMember::new(b'5', name))
    }

    /// Appends a file.
    pub fn file(self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        self.member(&RawMember {
            data: data.as_ref().to_vec(),
            ..RawMember::new(b'0', name)
        })
    }

    /// Appends a symbolic link.
    pub fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.member(&RawMember {
            link: target.as_ref().to_vec(),
            ..RawMember::new(b'2', name)
        })
    }

    /// Appends a hard link.
    pub fn hardlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.member(&RawMember {
            link: target.as_ref().to_vec(),
            ..RawMember::new(b'1', name)
        })
    }

    /// Appends a PAX header (`x`, or `g` for a global one) with the given records.
    pub fn pax(self, typeflag: u8, records: &[(&str, &[u8])]) -> Self {
        let data = records
            .iter()
            .flat_map(|(key, value)| pax_record(key, value))
            .collect();
        self.member(&RawMember {
            data,
            ..RawMember::new(typeflag, "PaxHeaders/x")
        })
    }

    /// Ends the archive as it should be ended.
    pub fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 1024]);
        self.bytes
    }
}

/// `length key=value\n`, the length counting itself.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = format!("{length} {key}=").into_bytes();
    record.extend_from_slice(value);
    record.push(b'\n');
    record
}
