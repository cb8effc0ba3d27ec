//! The script that grows a node's root partition, run on a loop device as the node runs it on its card.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use testkit::oracle;

use crate::support::repository;

/// A disk image as a loop device with its second partition mounted. Everything is undone when it goes.
struct Disk {
    folder: tempfile::TempDir,
    device: String,
}

const MIB: u64 = 1 << 20;

const MBR: &str = "label: dos\nstart=8192,size=65536,type=c,bootable\nstart=73728,type=83\n";
const GPT: &str = "label: gpt\nstart=2048,size=65536\nstart=67584\n";

impl Disk {
    /// A disk that was made as 300 MiB and put on a card of `size` bytes.
    fn new(table: &str, size: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("disk");
        let file = File::create(&image).unwrap();
        file.set_len(300 * MIB).unwrap();
        let script = folder.path().join("table");
        fs::write(&script, table).unwrap();
        let sfdisk = format!("sfdisk --quiet {} < {}", image.display(), script.display());
        oracle::run("dash", "sh", ["-c", &sfdisk]);
        file.set_len(size).unwrap();
        let device = oracle::run("mount", "losetup", ["--find", "--show", image.to_str().unwrap()]);
        let disk = Self {
            folder,
            device: device.trim().to_owned(),
        };
        // The kernel of a test machine may know no partition tables; another has found the partitions by itself.
        oracle::run("util-linux", "partx", ["--update", &disk.device]);
        oracle::run("btrfs-progs", "mkfs.btrfs", ["--quiet", &disk.partition()]);
        fs::create_dir(disk.mountpoint()).unwrap();
        oracle::run(
            "mount",
            "mount",
            [Path::new(&disk.partition()), &disk.mountpoint()],
        );
        fs::write(disk.mountpoint().join("kept"), "kept").unwrap();
        disk
    }

    fn partition(&self) -> String {
        format!("{}p2", self.device)
    }

    fn mountpoint(&self) -> PathBuf {
        self.folder.path().join("mountpoint")
    }

    fn grow(&self) -> String {
        let script = repository().join("overlays/common/files/usr/lib/portadc/grow-root");
        let (partition, mountpoint) = (self.partition(), self.mountpoint());
        oracle::run(
            "dash",
            "sh",
            [&script, Path::new(&partition), &mountpoint].map(|argument| argument.to_str().unwrap()),
        )
    }

    /// Bytes of the partition and of the file system on it.
    fn sizes(&self) -> (u64, u64) {
        let partition = oracle::run("util-linux", "blockdev", ["--getsize64", &self.partition()]);
        let usage = oracle::run(
            "btrfs-progs",
            "btrfs",
            [
                "filesystem",
                "usage",
                "--raw",
                self.mountpoint().to_str().unwrap(),
            ],
        );
        let size = usage
            .lines()
            .find_map(|line| line.trim().strip_prefix("Device size:"))
            .unwrap();
        (partition.trim().parse().unwrap(), size.trim().parse().unwrap())
    }

    fn first_sectors(&self) -> Vec<u8> {
        fs::read(&self.device).unwrap()[..(MIB as usize)].to_vec()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for (program, arguments) in [
            ("umount", vec![self.mountpoint().to_str().unwrap().to_owned()]),
            ("partx", vec!["--delete".to_owned(), self.device.clone()]),
            ("losetup", vec!["--detach".to_owned(), self.device.clone()]),
        ] {
            // Each is tried whatever became of the one before.
            let _output = oracle::output("mount", program, arguments);
        }
    }
}

#[test]
fn partition_and_file_system_grow_to_the_end_of_the_card_and_no_further() {
    for table in [MBR, GPT] {
        let disk = Disk::new(table, 900 * MIB);
        let before = disk.first_sectors();
        let said = disk.grow();
        assert!(said.contains("MiB are free behind it"), "{said}");
        let (partition, file_system) = disk.sizes();
        assert!(
            partition > 860 * MIB && file_system > 860 * MIB,
            "{partition} {file_system}"
        );
        assert!(file_system <= partition);
        oracle::run("fdisk", "sfdisk", ["--verify", &disk.device]);
        // The boot code in front of an MBR's table, and the identifiers of table and partitions, stay.
        let after = disk.first_sectors();
        assert_eq!(before[..446], after[..446]);
        let dump = oracle::run("fdisk", "sfdisk", ["--dump", &disk.device]);
        assert!(
            dump.contains("start=       ") && dump.matches("size=       65536").count() == 1,
            "{dump}"
        );
        assert_eq!(
            fs::read_to_string(disk.mountpoint().join("kept")).unwrap(),
            "kept"
        );
        // Again: there is nothing left to do, so nothing is written.
        let said = disk.grow();
        assert!(!said.contains("free behind"), "{said}");
        assert_eq!(disk.first_sectors(), after);
        assert_eq!(disk.sizes(), (partition, file_system));
    }
}

#[test]
fn a_start_that_was_cut_off_between_partition_and_file_system_is_made_up_for() {
    let disk = Disk::new(MBR, 900 * MIB);
    let sfdisk = format!(
        "echo ', +' | sfdisk --quiet --no-reread --no-tell-kernel -N 2 {}",
        disk.device
    );
    oracle::run("dash", "sh", ["-c", &sfdisk]);
    oracle::run("util-linux", "partx", ["--update", "--nr", "2", &disk.device]);
    let (partition, file_system) = disk.sizes();
    assert!(partition > 860 * MIB && file_system < 300 * MIB);
    disk.grow();
    assert!(disk.sizes().1 > 860 * MIB);
}

#[test]
fn a_card_of_the_images_size_and_a_partition_behind_leave_all_as_it_is() {
    let disk = Disk::new(MBR, 300 * MIB);
    let before = (disk.first_sectors(), disk.sizes());
    disk.grow();
    assert_eq!((disk.first_sectors(), disk.sizes()), before);
    drop(disk);
    let disk = Disk::new(
        "label: dos\nstart=8192,size=65536\nstart=73728,size=409600\nstart=483328\n",
        900 * MIB,
    );
    let before = (disk.first_sectors(), disk.sizes());
    let said = disk.grow();
    assert!(said.contains("another partition follows"), "{said}");
    assert_eq!((disk.first_sectors(), disk.sizes()), before);
}
