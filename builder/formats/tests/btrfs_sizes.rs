//! Volumes of any size, with more data and metadata than one chunk holds.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use std::fs::File;
use std::io::{BufWriter, Read};

use btrfs_common::*;
use formats::blob::Blob;
use formats::btrfs::{MIN_SIZE, Profile, VolumeError, VolumeSize, VolumeSpec, lay_out};
use formats::layer::{Compression, Content, Data, Encoding, Extent, LayerBuilder, SECTOR, ZstdLevel};
use formats::tree::{Inode, InodeId, InodeKind, Share, Tree};
use formats::units::Bytes;
use testkit::compare::assert_same;
use testkit::volume::{Access, LoopMount, btrfs_check};

/// A tree with one file whose extents of `length` bytes fill a blob of zeros.
fn zeros(extents: u64, length: u64) -> Tree {
    let file = tempfile::tempfile().unwrap();
    file.set_len(extents * length).unwrap();
    let checksum = crc32c::crc32c(&[0; SECTOR as usize]);
    let extents: Vec<Extent> = (0..extents)
        .map(|number| Extent {
            file_offset: number * length,
            length,
            encoding: Encoding::Raw,
            blob_offset: number * length,
            stored_length: length,
            checksums: vec![checksum; (length / SECTOR) as usize],
        })
        .collect();
    let mut tree = tree(builder());
    let content = Content {
        size: extents.len() as u64 * length,
        data: Data::Extents(extents),
    };
    let kind = InodeKind::File(content, Blob::from(file));
    tree.inodes.push(Inode {
        attributes: mode(0o644),
        kind,
        share: Share::Role,
    });
    let InodeKind::Directory(entries) = &mut tree.inodes[0].kind else {
        panic!("a root that is no directory")
    };
    entries.insert(b"zeros".to_vec(), InodeId(1));
    tree
}

/// A few files of every kind of storage.
fn few() -> Tree {
    let mut layer = builder();
    layer.file(b"inline", mode(0o644), b"short").unwrap();
    layer.file(b"text", mode(0o644), &text(1 << 20, 1)).unwrap();
    layer.file(b"noise", mode(0o644), &noise(1 << 20, 1)).unwrap();
    tree(layer)
}

#[test]
fn volumes_from_small_to_large() {
    let tree = few();
    let sizes = [
        MIN_SIZE,
        Bytes::mib(128),
        Bytes::mib(129),
        Bytes::gib(1),
        Bytes::gib(8),
        Bytes::gib(64),
        Bytes::gib(300),
    ];
    for size in sizes {
        for metadata in [Profile::Dup, Profile::Single] {
            let spec = VolumeSpec {
                size: VolumeSize::Exact(size),
                metadata,
                ..spec("sizes")
            };
            let written = check_by_oracles(&spec, &tree);
            assert_eq!(written.volume.image.size, size);
        }
    }
}

#[test]
fn a_size_that_is_no_multiple_of_a_sector() {
    let size = Bytes(Bytes::mib(200).0 + 1234);
    check_by_oracles(
        &VolumeSpec {
            size: VolumeSize::Exact(size),
            ..spec("odd size")
        },
        &few(),
    );
}

#[test]
fn data_of_several_chunks() {
    // Nothing of 128 MiB fits before the second superblock, and eight of them fill a chunk.
    let tree = zeros(9, 128 << 20);
    let written = check_by_oracles(&spec("1.1 GiB"), &tree);
    let dump = testkit::volume::dump_tree(&written.path);
    assert!(dump.matches("type DATA|single").count() >= 2, "{dump}");
}

/// The bytes of a large file, made as they are read.
struct Stream {
    seed: u64,
    /// Bytes that are left.
    left: u64,
    block: Vec<u8>,
    /// Blocks that came before `block`.
    number: u64,
    /// Bytes of `block` that came.
    used: usize,
}

impl Stream {
    const BLOCK: usize = 1 << 20;

    fn new(seed: u64, length: u64) -> Self {
        Self {
            seed,
            left: length,
            block: Vec::new(),
            number: 0,
            used: 0,
        }
    }

    /// Noise, of every fourth file also text and zeros, no two blocks the same.
    fn next_block(&mut self) {
        self.number += 1;
        let number = self.seed << 32 | self.number;
        self.block = match self.number % 3 {
            1 if self.seed.is_multiple_of(4) => text(Self::BLOCK, number),
            2 if self.seed.is_multiple_of(4) => vec![0; Self::BLOCK],
            _ => noise(Self::BLOCK, number),
        };
        self.used = 0;
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.used == self.block.len() {
            self.next_block();
        }
        let length = buffer.len().min(self.block.len() - self.used);
        let length = self.left.min(length as u64) as usize;
        buffer[..length].copy_from_slice(&self.block[self.used..self.used + length]);
        self.used += length;
        self.left -= length as u64;
        Ok(length)
    }
}

#[test]
#[ignore = "takes minutes and 10 GiB of disk: ci/nightly runs it"]
fn gibibytes_of_data_come_back() {
    let files: Vec<(String, u64, u64)> = (0..12)
        .map(|number| {
            (
                format!("{}/{number}", number % 2),
                number,
                (500 << 20) + number * 1_234_567,
            )
        })
        .collect();
    let blob = tempfile::tempfile().unwrap();
    let packing = packing(Compression::Zstd(ZstdLevel::DEFAULT));
    let mut layer = LayerBuilder::new(packing, BufWriter::new(blob.try_clone().unwrap())).unwrap();
    for (path, seed, length) in &files {
        let stream = Stream::new(*seed, *length);
        layer
            .file_from(path.as_bytes(), mode(0o644), *length, stream)
            .unwrap();
    }
    let (index, writer) = layer.finish().unwrap();
    drop(writer.into_inner().unwrap());
    let layer = index.with_blob(Blob::from(blob)).unwrap();
    let written = write(&spec("gibibytes"), &tree_of(&layer));
    drop(layer);
    let figures = written.volume.figures;
    assert!(
        figures.data > Bytes::gib(4) && figures.minimum > Bytes::gib(5),
        "{figures:?}"
    );
    let dump = testkit::volume::dump_tree(&written.path);
    let chunks: Vec<&str> = dump
        .lines()
        .filter(|line| line.contains("type DATA|single"))
        .collect();
    assert!(chunks.len() >= 4, "{chunks:?}");

    btrfs_check(&written.path);
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &[]);
    for (path, seed, length) in &files {
        let mut file = File::open(mount.path().join(path)).unwrap();
        assert_eq!(file.metadata().unwrap().len(), *length, "{path}");
        let mut should = Stream::new(*seed, *length);
        let (mut is_bytes, mut should_bytes) = (vec![0; 1 << 20], vec![0; 1 << 20]);
        let mut done = 0;
        while done < *length {
            let step = (*length - done).min(1 << 20) as usize;
            file.read_exact(&mut is_bytes[..step]).unwrap();
            should.read_exact(&mut should_bytes[..step]).unwrap();
            assert!(
                is_bytes[..step] == should_bytes[..step],
                "{path} differs at byte {done} or behind"
            );
            done += step as u64;
        }
    }
}

#[test]
fn data_behind_the_third_superblock() {
    // 257 GiB are too much to be read; the trees alone are checked, and the volume is mounted.
    let tree = zeros(257 * 8, 128 << 20);
    let spec = VolumeSpec {
        size: VolumeSize::Minimal { free: Bytes::gib(1) },
        ..spec("257 GiB")
    };
    let mut volume = lay_out(&spec, &tree).unwrap();
    volume.image.sort().unwrap();
    let data = volume.image.pieces.len();
    volume.image.pieces.retain(|piece| piece.length < 64 << 20);
    assert!(volume.image.pieces.len() < data);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume");
    testkit::image::write(&volume.image, &path);
    testkit::volume::btrfs(&["check", "--readonly", path.to_str().unwrap()]);
    let mount = LoopMount::new(&path, 0, Access::ReadWrite, &[]);
    assert_eq!(mount.path().join("zeros").metadata().unwrap().len(), 257 << 30);
}

#[test]
fn metadata_of_several_chunks() {
    // Each attribute fills a leaf: more than 256 MiB of them need a second chunk.
    let mut layer = raw_builder();
    let mut value = noise(16_200, 1);
    for number in 0..17_000_u64 {
        value[..8].copy_from_slice(&number.to_le_bytes());
        let name = format!("{}/{number}", number % 100);
        layer
            .file(name.as_bytes(), with_xattr(b"user.large", &value), b"")
            .unwrap();
    }
    let written = check_by_oracles(&spec("metadata"), &tree(layer));
    let dump = testkit::volume::dump_superblock(&written.path);
    assert!(
        written.volume.figures.metadata > Bytes::mib(256),
        "{:?}\n{dump}",
        written.volume.figures
    );
}

#[test]
fn the_smallest_size_is_told_and_suffices() {
    let tree = zeros(3, 100 << 20);
    let with = |size| VolumeSpec {
        size: VolumeSize::Exact(size),
        ..spec("smallest")
    };
    let Err(VolumeError::TooSmall { needed, given }) = lay_out(&with(Bytes::mib(256)), &tree) else {
        panic!("300 MiB fit into 256 MiB")
    };
    assert_eq!(given, Bytes::mib(256));
    let written = write(&with(needed), &tree);
    assert_eq!(written.volume.figures.minimum, needed);
    btrfs_check(&written.path);
    let mount = LoopMount::new(&written.path, 0, Access::ReadWrite, &[]);
    assert_same(mount.path(), &tree);
    std::fs::write(mount.path().join("written"), noise(100_000, 1)).unwrap();
    drop(mount);
    btrfs_check(&written.path);
    let less = lay_out(&with(Bytes(needed.0 - 1)), &tree).unwrap_err();
    assert_eq!(
        less,
        VolumeError::TooSmall {
            needed,
            given: Bytes(needed.0 - 1)
        }
    );
}

#[test]
fn sizes_beyond_all_bounds_do_not_wrap() {
    for size in [
        VolumeSize::Exact(Bytes(u64::MAX)),
        VolumeSize::Minimal {
            free: Bytes(u64::MAX),
        },
    ] {
        let volume = lay_out(
            &VolumeSpec {
                size,
                ..spec("endless")
            },
            &few(),
        )
        .unwrap();
        assert!(volume.image.size.0 > u64::MAX - SECTOR);
    }
}
