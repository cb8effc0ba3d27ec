//! Reading volumes: ours, those of mkfs.btrfs, what the kernel made of them, and damaged ones.

#![allow(clippy::unwrap_used, missing_docs)]

mod btrfs_common;

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use btrfs_common::*;
use formats::blob::Blob;
use formats::btrfs::read::{InodeKind, Part, ReadError, Reader, Subvolume, View};
use formats::btrfs::{VolumeSize, VolumeSpec};
use formats::source::{ReadAt, WholeBlob};
use formats::units::Bytes;
use proptest::prelude::*;
use testkit::listing;
use testkit::oracle::run;
use testkit::volume::{Access, LoopMount, btrfs};

fn card_spec() -> VolumeSpec {
    VolumeSpec {
        subvolumes: card_subvolumes(),
        ..spec("read")
    }
}

#[test]
fn a_card_is_read_with_all_its_subvolumes() {
    let tree = every_kind();
    let spec = card_spec();
    let written = write(&spec, &tree);
    let image = &written.volume.image;
    let reader = Reader::open(image).unwrap();
    let summary = reader.summary();
    assert_eq!((summary.label.as_str(), summary.fsid), ("read", spec.fsid));
    let subvolumes = reader.subvolumes().unwrap();
    let names: Vec<_> = subvolumes
        .iter()
        .map(|subvolume| String::from_utf8_lossy(&subvolume.path).into_owned())
        .collect();
    assert_eq!(names, ["", "@", "@lxc", "@srv", "@snapshots", "@log"]);
    assert!(subvolumes[1].is_default && !subvolumes[0].is_default);

    let view = view(&reader, &spec);
    let mut listing = listing::of_reader(&reader, &view);
    let mut expected = listing::of_tree(&tree);
    // Mount points are made where the tree lacks them.
    for path in ["var", "var/lib", "var/lib/lxc", "var/log", ".snapshots"] {
        assert!(listing.remove(path.as_bytes()).is_some(), "{path}");
        expected.remove(path.as_bytes());
    }
    listing::assert_equal(&listing, &expected);
    let verification = reader.verify();
    assert!(verification.faults.is_empty(), "{verification:?}");
    assert!(
        verification.data > Bytes::mib(5) && verification.superblocks == 2,
        "{verification:?}"
    );
}

#[test]
fn paths_lead_through_links_and_subvolumes() {
    let written = write(&card_spec(), &every_kind());
    let reader = Reader::open(&written.volume.image).unwrap();
    let view = view(&reader, &card_spec());
    let path_of = |path: &str| {
        let found = reader.find(&view, path.as_bytes()).unwrap();
        found.map(|found| String::from_utf8(found.path).unwrap())
    };
    assert_eq!(path_of("/").as_deref(), Some(""));
    assert_eq!(path_of("link/7/7").as_deref(), Some("inline/7/7"));
    assert_eq!(path_of("/up").as_deref(), Some("text/7/7"));
    assert_eq!(
        path_of("srv//./inner/../inner/file").as_deref(),
        Some("srv/inner/file")
    );
    for missing in ["loop", "nothing", "holes/x", "srv/nothing/.."] {
        assert_eq!(path_of(missing), None, "{missing}");
    }
    let found = reader.find(&view, b"srv/inner/file").unwrap().unwrap();
    assert_eq!(found.subvolume.path, b"@srv");
    let parts: Vec<_> = reader
        .parts(found.subvolume, &found.inode)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(parts, [Part::Bytes(b"on another subvolume".to_vec())]);
}

/// A folder with what mkfs.btrfs can copy.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for number in 0..400_usize {
        let directory = root.join(format!("directory {}", number % 13));
        fs::create_dir_all(&directory).unwrap();
        let bytes = if number % 2 == 0 {
            noise(number * number, number as u64)
        } else {
            text(number * number * 3, number as u64)
        };
        fs::write(directory.join(format!("file {number}")), bytes).unwrap();
    }
    symlink("directory 1", root.join("link")).unwrap();
    fs::set_permissions(root.join("directory 3"), PermissionsExt::from_mode(0o1711)).unwrap();
    fs::hard_link(root.join("directory 2/file 2"), root.join("linked")).unwrap();
    folder
}

/// A volume made by mkfs.btrfs.
fn foreign(path: &Path, folder: &Path, options: &[&str]) {
    File::create(path).unwrap().set_len(512 << 20).unwrap();
    let mut arguments = vec!["--quiet", "--rootdir", folder.to_str().unwrap()];
    arguments.extend(options);
    arguments.push(path.to_str().unwrap());
    run("btrfs-progs", "mkfs.btrfs", arguments);
}

fn open_file(path: &Path) -> WholeBlob {
    WholeBlob::new(Blob::from(File::open(path).unwrap())).unwrap()
}

#[test]
fn volumes_of_mkfs_are_read() {
    let folder = folder();
    let place = tempfile::tempdir().unwrap();
    let variants: [&[&str]; 4] = [
        &[],
        &["--metadata=single", "--nodesize=4096"],
        &["--mixed", "--nodesize=4096"],
        &["--nodesize=65536", "--features=^no-holes"],
    ];
    for (number, options) in variants.iter().enumerate() {
        let path = place.path().join(number.to_string());
        foreign(&path, folder.path(), options);
        let source = open_file(&path);
        let reader = Reader::open(&source).unwrap();
        let view = View::of(reader.subvolumes().unwrap()[0].clone());
        let listing = listing::of_reader(&reader, &view);
        let mount = LoopMount::new(&path, 0, Access::ReadOnly, &[]);
        listing::assert_equal(&listing, &listing::of_folder(mount.path()));
        let verification = reader.verify();
        assert!(verification.faults.is_empty(), "{options:?}: {verification:?}");
    }
}

#[test]
fn what_the_kernel_wrote_is_read() {
    let folder = folder();
    let written = write(&spec("kernel"), &every_kind());
    File::options()
        .write(true)
        .open(&written.path)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    {
        let mount = LoopMount::new(&written.path, 0, Access::ReadWrite, &["compress-force=zstd"]);
        let root = mount.path();
        let text_of = |path: &Path| path.to_str().unwrap().to_owned();
        run(
            "coreutils",
            "cp",
            ["-a", &text_of(folder.path()), &text_of(&root.join("copy"))],
        );
        btrfs(&["subvolume", "create", &text_of(&root.join("copy/inner"))]);
        fs::write(root.join("copy/inner/file"), text(100_000, 5)).unwrap();
        btrfs(&[
            "subvolume",
            "snapshot",
            "-r",
            &text_of(root),
            &text_of(&root.join("snapshot")),
        ]);
        // Holes, reserved space, parts of extents, and a file that grew from inline data.
        let file = File::create(root.join("written")).unwrap();
        for number in 0..200_u64 {
            file.write_all_at(&noise(3000, number), number * 70_001).unwrap();
            if number % 10 == 0 {
                file.sync_all().unwrap();
            }
        }
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 20 << 20, 5 << 20).unwrap();
        fs::write(root.join("plain"), text(2_000_000, 1)).unwrap();
        for number in 0..2000 {
            fs::hard_link(root.join("plain"), root.join(format!("copy/{number:0200}"))).unwrap();
        }
    }
    let source = open_file(&written.path);
    let reader = Reader::open(&source).unwrap();
    let subvolumes = reader.subvolumes().unwrap();
    assert_eq!(subvolumes.len(), 3);
    assert!(subvolumes[2].read_only && subvolumes[2].path == b"snapshot");
    let mut view = View::of(subvolumes[0].clone());
    for subvolume in &subvolumes[1..] {
        view.mounts.insert(subvolume.path.clone(), subvolume.clone());
    }
    let mut listing = listing::of_reader(&reader, &view);
    let mount = LoopMount::new(&written.path, 0, Access::ReadOnly, &[]);
    let mut shown = listing::of_folder(mount.path());
    // The kernel makes up an inode for a subvolume that a snapshot leaves behind.
    assert!(shown.remove(&b"snapshot/copy/inner"[..]).is_some());
    listing.remove(&b"snapshot/copy/inner"[..]);
    listing::assert_equal(&listing, &shown);
    let verification = reader.verify();
    assert!(verification.faults.is_empty(), "{verification:?}");
}

/// All that a reader can be asked for. How far it comes is its own matter; it has to end.
fn read_everything(source: &dyn ReadAt) -> Result<u64, ReadError> {
    let reader = Reader::open(source)?;
    let mut bytes = 0;
    let verification = reader.verify();
    assert!(verification.faults.len() <= 100);
    for subvolume in reader.subvolumes()? {
        let view = View::of(subvolume.clone());
        let _ = reader.find(&view, b"text/../link/6/146");
        let _ = reader.inode(&subvolume, Subvolume::ROOT + 1);
        for found in reader.walk(&view) {
            let found = found?;
            for part in reader.parts(found.subvolume, &found.inode)? {
                bytes += u64::from(matches!(part?, Part::Bytes(_)));
            }
        }
    }
    Ok(bytes)
}

/// A small volume in memory, without the zeros at its end.
fn small_volume() -> Vec<u8> {
    let mut layer = builder();
    for number in 0..60_u64 {
        let path = format!("{}/{number}", number % 5).into_bytes();
        layer
            .file(&path, mode(0o644), &text(700 * number as usize, number))
            .unwrap();
        layer
            .file(
                &[&path[..], b"n"].concat(),
                mode(0o644),
                &noise(90 * number as usize, number),
            )
            .unwrap();
    }
    layer.symlink(b"link", mode(0o777), b"1/1").unwrap();
    let spec = VolumeSpec {
        size: VolumeSize::Minimal { free: Bytes(0) },
        subvolumes: card_subvolumes(),
        ..spec("small")
    };
    let written = write(&spec, &tree(layer));
    fs::read(&written.path).unwrap()
}

/// Where the blocks of a volume start: those with its UUID where a block has it.
fn blocks(volume: &[u8]) -> Vec<usize> {
    let fsid = volume[(64 << 10) + 32..][..16].to_vec();
    (0..volume.len() - 16384)
        .step_by(4096)
        .filter(|start| *start != 64 << 10 && *start != 64 << 20 && volume[start + 32..][..16] == fsid)
        .collect()
}

#[test]
fn a_bad_copy_is_found_and_the_other_one_used() {
    let sound = small_volume();
    let places = blocks(&sound);
    let everything = read_everything(&sound).unwrap();
    // The first copies: half of each chunk's two.
    let mut damaged = sound.clone();
    let mut addresses = std::collections::BTreeSet::new();
    let mut hit = 0;
    for place in &places {
        let address = u64::from_le_bytes(sound[place + 48..][..8].try_into().unwrap());
        if addresses.insert(address) {
            damaged[place + 200] ^= 1;
            hit += 1;
        }
    }
    assert_eq!(read_everything(&damaged).unwrap(), everything);
    let reader = Reader::open(&damaged).unwrap();
    assert_eq!(reader.verify().faults.len(), hit);
    // The first superblock.
    damaged[(64 << 10) + 100] ^= 1;
    assert_eq!(read_everything(&damaged).unwrap(), everything);
    // The second copies, too.
    for place in &places {
        damaged[place + 201] ^= 1;
    }
    let error = Reader::open(&damaged).err().unwrap();
    assert!(error.to_string().contains("checksum is wrong"), "{error}");
}

#[test]
fn damaged_data_is_named() {
    let mut volume = small_volume();
    let noise = noise(90 * 59, 59);
    let place = volume
        .windows(512)
        .position(|window| window == &noise[..512])
        .unwrap();
    assert!(place > 1 << 20);
    volume[place + 5000] ^= 0x80;
    let error = read_everything(&volume).unwrap_err();
    assert!(
        matches!(error, ReadError::Data { address, .. } if address == (place as u64 + 4096)),
        "{error}"
    );
    let reader = Reader::open(&volume).unwrap();
    let faults = reader.verify().faults;
    assert!(
        faults.len() == 1 && faults[0].to_string() == error.to_string(),
        "{faults:?}"
    );
}

#[test]
fn what_is_no_volume_is_refused() {
    for source in [vec![], vec![0; 1 << 20], noise(1 << 20, 1)] {
        let error = Reader::open(&source).err().unwrap();
        assert!(
            error.to_string().starts_with("no btrfs superblock at byte 65536"),
            "{error}"
        );
    }
    let mut cut = small_volume();
    cut.truncate(cut.len() - 1);
    assert!(Reader::open(&cut).err().unwrap().to_string().contains("only"), "");
    assert_eq!(InodeKind::Fifo.what(), "a named pipe");
}

/// Sets the checksum of what starts at `start` and has `length` bytes.
fn sum(volume: &mut [u8], start: usize, length: usize) {
    let sum = crc32c::crc32c(&volume[start + 32..start + length]);
    volume[start..start + 4].copy_from_slice(&sum.to_le_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Blocks and superblocks with other bytes and right checksums: what nobody but an attacker makes.
    #[test]
    fn hostile_volumes_are_read_to_an_end(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 32..16384_usize, any::<u8>(), any::<bool>()), 1..40),
    ) {
        static SMALL: std::sync::OnceLock<(Vec<u8>, Vec<usize>)> = std::sync::OnceLock::new();
        let (sound, places) = SMALL.get_or_init(|| {
            let volume = small_volume();
            let places = blocks(&volume);
            (volume, places)
        });
        let mut volume = sound.clone();
        for (place, offset, byte, is_head) in &changes {
            if place.index(20) == 0 {
                for start in [64 << 10, 64 << 20] {
                    volume[start + 32 + offset % 300] = *byte;
                    sum(&mut volume, start, 4096);
                }
                continue;
            }
            // Both copies alike, or the good one would be used.
            let start = *place.get(places);
            let address = volume[start + 48..start + 56].to_vec();
            // Heads of items say more than their data.
            let offset = if *is_head { 96 + offset % 400 } else { *offset };
            for copy in places {
                if volume[copy + 48..copy + 56] == address[..] {
                    volume[copy + offset] = *byte;
                    sum(&mut volume, *copy, 16384);
                }
            }
        }
        let _ = read_everything(&volume);
    }

    #[test]
    fn flipped_and_cut_volumes_are_read_to_an_end(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..200),
        kept in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        static SMALL: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut volume = SMALL.get_or_init(small_volume).clone();
        // Most of a volume is free; what is at its start is not.
        for (place, byte) in flips {
            let place = place.index(24 << 20);
            volume[place] ^= byte;
        }
        if is_cut {
            volume.truncate(kept.index(volume.len()));
        }
        let _ = read_everything(&volume);
    }
}
