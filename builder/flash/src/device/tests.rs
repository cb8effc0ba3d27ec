//! Disks as a made-up kernel describes them.

use super::*;

/// A system with one removable disk, 8:16, its partition 8:17, and a volume 253:0 made of that.
struct Fake {
    folder: tempfile::TempDir,
    system: System,
}

impl Fake {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let system = System {
            sys: folder.path().join("sys"),
            proc: folder.path().join("proc"),
        };
        let fake = Self { folder, system };
        fake.put("sys/devices/sdb/size", "62333952\n");
        fake.put("sys/devices/sdb/ro", "0\n");
        fake.put("sys/devices/sdb/queue/logical_block_size", "512\n");
        fake.put("sys/devices/sdb/dev", "8:16\n");
        fake.put("sys/devices/sdb/removable", "1\n");
        fake.put("sys/devices/sdb/sdb1/partition", "1\n");
        fake.put("sys/devices/sdb/sdb1/dev", "8:17\n");
        fake.put("sys/devices/dm-0/dev", "253:0\n");
        fake.put("sys/devices/dm-0/size", "4096\n");
        fake.put("sys/devices/dm-0/ro", "0\n");
        fake.put("sys/devices/dm-0/queue/logical_block_size", "512\n");
        fake.link("sys/devices/sdb/sdb1/holders/dm-0", "sys/devices/dm-0");
        fake.link("sys/devices/dm-0/slaves/sdb1", "sys/devices/sdb/sdb1");
        fake.link("sys/dev/block/253:0", "sys/devices/dm-0");
        fake.link("sys/dev/block/8:16", "sys/devices/sdb");
        fake.link("sys/dev/block/8:17", "sys/devices/sdb/sdb1");
        fake.put("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
        fake.mounts(&["0:5 / /proc rw - proc proc rw", "8:1 / / rw - ext4 /dev/none1 rw"]);
        fake
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(self.folder.path().join(target), path).unwrap();
    }

    fn mounts(&self, lines: &[&str]) {
        let text: String = lines.iter().map(|line| format!("36 35 {line}\n")).collect();
        self.put("proc/self/mountinfo", &text);
    }

    fn examine(&self) -> Result<Bytes, DeviceError> {
        self.examine_as("/dev/sdb", "8:16", FixedDisks::Refuse)
    }

    fn examine_as(&self, path: &str, disk: &str, fixed_disks: FixedDisks) -> Result<Bytes, DeviceError> {
        examine_disk(Path::new(path), disk.to_owned(), fixed_disks, &self.system)
    }

    /// Adds a disk of 1 MiB that nothing uses and that nothing marks as a card.
    fn add_fixed_disk(&self, folder: &str, disk: &str) {
        self.put(&format!("{folder}/size"), "2048\n");
        self.put(&format!("{folder}/ro"), "0\n");
        self.put(&format!("{folder}/queue/logical_block_size"), "512\n");
        self.put(&format!("{folder}/removable"), "0\n");
        self.link(&format!("sys/dev/block/{disk}"), folder);
    }

    fn refused(&self) -> String {
        self.examine().unwrap_err().to_string()
    }
}

#[test]
fn an_unused_disk_is_accepted() {
    assert_eq!(Fake::new().examine().unwrap(), Bytes(62_333_952 * 512));
}

#[test]
fn every_use_is_found() {
    let fake = Fake::new();
    for (line, said) in [
        (
            "8:16 / /media/card rw - vfat /dev/none rw",
            "/dev/sdb is in use: it or a part of it is mounted at /media/card",
        ),
        (
            "8:17 /sub /media/my\\040card rw shared:7 master:1 - vfat /dev/none rw",
            "/dev/sdb is in use: it or a part of it is mounted at /media/my card",
        ),
        (
            "253:0 / /srv rw - xfs /dev/none rw",
            "/dev/sdb is in use: it or a part of it is mounted at /srv",
        ),
        (
            "8:17 / / rw - ext4 /dev/root rw",
            "/dev/sdb holds the running system: it is mounted at /",
        ),
    ] {
        fake.mounts(&["0:5 / /proc rw - proc proc rw", line]);
        assert_eq!(fake.refused(), said);
    }
    // The root is named even where another mount comes first.
    fake.mounts(&[
        "8:17 / /boot rw - ext4 /dev/none rw",
        "253:0 / / rw - ext4 /dev/none rw",
    ]);
    assert_eq!(
        fake.refused(),
        "/dev/sdb holds the running system: it is mounted at /"
    );
}

#[test]
fn disks_that_cannot_be_cards_are_refused() {
    let fake = Fake::new();
    let error = fake
        .examine_as("/dev/sdb1", "8:17", FixedDisks::Accept)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/sdb1 is a partition; an image goes to the whole disk, /dev/sdb"
    );
    fake.put("sys/devices/sdb/ro", "1\n");
    assert_eq!(fake.refused(), "/dev/sdb is write-protected");
    fake.put("sys/devices/sdb/size", "0\n");
    assert_eq!(fake.refused(), "there is no card in /dev/sdb");
    fake.put("sys/devices/sdb/size", "many\n");
    assert!(matches!(fake.examine(), Err(DeviceError::Examine { .. })));
}

#[test]
fn what_is_made_of_other_disks_is_refused_whatever_the_user_says() {
    let error = Fake::new()
        .examine_as("/dev/mapper/group-volume", "253:0", FixedDisks::Accept)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/mapper/group-volume is made of another disk, sdb1; an image goes to a whole disk"
    );
}

#[test]
fn an_unused_disk_that_is_no_card_needs_a_word() {
    let fake = Fake::new();
    // The disk inside the computer: of some other system, or of a pool that is not imported.
    let folder = "sys/devices/pci0000:00/ata1/sda";
    fake.add_fixed_disk(folder, "8:0");
    fake.put(&format!("{folder}/device/type"), "0\n");
    let error = fake
        .examine_as("/dev/sda", "8:0", FixedDisks::Refuse)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "/dev/sda is a fixed disk: neither removable, nor SD or MMC, nor attached by USB; if it shall be overwritten \
         all the same, give --fixed-disk"
    );
    let accepted = fake.examine_as("/dev/sda", "8:0", FixedDisks::Accept);
    assert_eq!(accepted.unwrap(), Bytes::mib(1));
    // A word is none against a use.
    fake.mounts(&["8:0 / /srv rw - ext4 /dev/none rw"]);
    assert!(matches!(
        fake.examine_as("/dev/sda", "8:0", FixedDisks::Accept),
        Err(DeviceError::Mounted { .. })
    ));
}

#[test]
fn every_kind_of_card_is_known() {
    for (folder, attribute, value) in [
        ("sys/devices/usb1/1-1/sdc", "device/type", "0\n"),
        ("sys/devices/mmc0/mmcblk0", "device/type", "SD\n"),
        ("sys/devices/mmc1/mmcblk1", "device/type", "MMC\n"),
        ("sys/devices/virtual/loop0", "loop/backing_file", "/tmp/card\n"),
        ("sys/devices/ata1/sdd", "removable", "1\n"),
    ] {
        let fake = Fake::new();
        fake.add_fixed_disk(folder, "9:9");
        fake.put(&format!("{folder}/{attribute}"), value);
        let accepted = fake.examine_as("/dev/card", "9:9", FixedDisks::Refuse);
        assert_eq!(accepted.unwrap(), Bytes::mib(1), "{folder}");
    }
    // Other things are named after USB, too.
    let fake = Fake::new();
    fake.add_fixed_disk("sys/devices/usb-like/sde", "9:9");
    assert!(matches!(
        fake.examine_as("/dev/sde", "9:9", FixedDisks::Refuse),
        Err(DeviceError::FixedDisk { .. })
    ));
}

#[test]
fn a_kernel_that_does_not_answer_is_no_permission() {
    let fake = Fake::new();
    fs::remove_file(fake.folder.path().join("proc/self/mountinfo")).unwrap();
    assert!(matches!(fake.examine(), Err(DeviceError::Examine { .. })));
    let fake = Fake::new();
    fs::remove_file(fake.folder.path().join("sys/devices/sdb/ro")).unwrap();
    assert!(matches!(fake.examine(), Err(DeviceError::Examine { .. })));
}

#[test]
fn what_was_found_stays_what_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (card, other) = (folder.path().join("card"), folder.path().join("other"));
    fs::write(&card, "card").unwrap();
    fs::write(&other, "other").unwrap();
    let (place, metadata) = locate(&card).unwrap();
    fs::rename(&other, &card).unwrap();
    assert_eq!(fs::read_to_string(own_path(&place)).unwrap(), "card");
    assert_ne!(metadata.ino(), fs::metadata(&card).unwrap().ino());
}

#[test]
fn a_disk_of_larger_sectors_is_refused() {
    let fake = Fake::new();
    fake.put("sys/devices/sdb/queue/logical_block_size", "4096\n");
    assert_eq!(
        fake.refused(),
        "/dev/sdb has sectors of 4096 bytes, and an image is laid out for 512: no board would find its partitions; use another card"
    );
}

#[test]
fn a_disk_that_is_named_without_its_folder_is_asked_for() {
    let fake = Fake::new();
    fake.link("sys/class/block/portadc-none", "sys/devices/sdb");
    for (name, said) in [
        (
            "portadc-none",
            "there is no file portadc-none, but a disk /dev/portadc-none: name it so",
        ),
        ("portadc-no", "there is no portadc-no: name a card's disk, or"),
    ] {
        let error = Target::open(Path::new(name), FixedDisks::Refuse, &fake.system).unwrap_err();
        assert!(error.to_string().starts_with(said), "{error}");
    }
}
