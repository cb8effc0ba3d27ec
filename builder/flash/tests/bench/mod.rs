//! An image and a card to write it to.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flash::{FlashError, Report, Request};
use formats::bmap::BlockMap;
use formats::digest::hex;
use formats::manifest::{FORMAT, Firmware, Image, Manifest, Partition, Table, TableKind};
use formats::segments::Segments;
use formats::sparse::SparseImage;
use formats::units::{Bytes, Lba};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use testkit::oracle;

pub const MIB: u64 = 1 << 20;

/// An image of 12 MiB with holes, its block map, its manifest, which claims a larger partition, and a card of 80 MiB full of old bytes.
pub struct Bench {
    pub folder: TempDir,
    pub image: PathBuf,
    pub card: PathBuf,
    /// What the image holds.
    pub bytes: Vec<u8>,
    /// What its manifest says of its partition table.
    pub table: TableKind,
}

fn noise(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed);
        (state >> 56) as u8
    })
    .take(length as usize)
    .collect()
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("red-07.img");
        let card = folder.path().join("card");
        let mut bytes = vec![0; 12 * MIB as usize];
        let file = File::create(&image).unwrap();
        file.set_len(12 * MIB).unwrap();
        for (seed, offset, length) in [
            (1, 0, 8192),
            (2, MIB - 4096, 12_288),
            (3, 3 * MIB, 5 * MIB),
            (4, 12 * MIB - 4096, 4096),
        ] {
            let part = noise(seed, length);
            file.write_all_at(&part, offset).unwrap();
            bytes[offset as usize..(offset + length) as usize].copy_from_slice(&part);
        }
        fs::write(&card, vec![0xee; 80 * MIB as usize]).unwrap();
        let bench = Self {
            folder,
            image,
            card,
            bytes,
            table: TableKind::Mbr,
        };
        bench.describe(&[], Firmware::NotNeeded);
        bench
    }

    /// Writes block map and manifest. What is not zeros is mapped, and `zeros`.
    pub fn describe(&self, zeros: &[Range<u64>], firmware: Firmware) {
        let mut image = SparseImage::empty(Bytes(12 * MIB));
        for (block, bytes) in (0..).zip(self.bytes.chunks(4096)) {
            if bytes.iter().any(|byte| *byte != 0) {
                image.put(block * 4096, bytes.to_vec());
            }
        }
        let map = BlockMap::of(&Segments::cut(&image, zeros).unwrap()).to_xml();
        fs::write(self.map(), &map).unwrap();
        let manifest = Manifest {
            format: FORMAT,
            fleet: "test".to_owned(),
            node: "red-07".to_owned(),
            board: "test-board".to_owned(),
            layout: "node".to_owned(),
            sources: "debian".to_owned(),
            inputs: Vec::new(),
            installed: None,
            firmware,
            firmware_sha256: None,
            firmware_advice: (firmware == Firmware::Absent).then(|| "add it".to_owned()),
            partition_table: Table {
                kind: self.table,
                id: "00000001".to_owned(),
            },
            partitions: vec![Partition {
                number: 1,
                label: "root".to_owned(),
                first_sector: Lba(2048),
                sectors: 66 * 2048,
                part_uuid: "00000001-01".to_owned(),
                file_system: "btrfs".to_owned(),
                uuid: String::new(),
            }],
            image: Image {
                file: "red-07.img".to_owned(),
                size: Bytes(12 * MIB),
                mapped: image.mapped(),
                map_sha256: hex(&Sha256::digest(map)),
            },
        };
        fs::write(self.manifest(), serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    pub fn manifest(&self) -> PathBuf {
        self.folder.path().join("red-07.manifest.json")
    }

    pub fn map(&self) -> PathBuf {
        self.folder.path().join("red-07.img.bmap")
    }

    pub fn flash_to(&self, target: &Path) -> Result<Report, FlashError> {
        let request = Request::new("red-07", &self.image, target);
        flash::flash(&request, &mut |_, _, _| {})
    }

    pub fn flash(&self) -> Result<Report, FlashError> {
        self.flash_to(&self.card)
    }

    /// Whether nothing on the card has changed.
    pub fn card_is_untouched(&self) -> bool {
        fs::read(&self.card).unwrap().iter().all(|byte| *byte == 0xee)
    }

    /// Whether the card can be taken for one: its first MiB is neither what it was nor the image's.
    pub fn card_is_dead(&self) -> bool {
        fs::read(&self.card).unwrap()[..MIB as usize]
            .iter()
            .all(|byte| *byte == 0)
    }
}

/// A loop device on a file, gone when dropped.
pub struct Loop(String);

impl Loop {
    pub fn new(file: &Path, options: &[&str]) -> Self {
        let arguments = options.iter().map(|option| option.as_ref()).chain([
            "--show".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ]);
        Self(oracle::run("mount", "losetup", arguments).trim().to_owned())
    }

    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        oracle::output("mount", "losetup", ["-d", &self.0]);
    }
}
