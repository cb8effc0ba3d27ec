//! Disks as a made-up kernel describes them.

use super::*;

/// A system with one disk, 8:16, its partition 8:17, and a volume 253:0 made of that.
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
        fake.put("sys/devices/sdb/dev", "8:16\n");
        fake.put("sys/devices/sdb/sdb1/partition", "1\n");
        fake.put("sys/devices/sdb/sdb1/dev", "8:17\n");
        fake.put("sys/devices/dm-0/dev", "253:0\n");
        fake.link("sys/devices/sdb/sdb1/holders/dm-0", "sys/devices/dm-0");
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
        examine_disk(Path::new("/dev/sdb"), "8:16".to_owned(), &self.system)
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
    let error = examine_disk(Path::new("/dev/sdb1"), "8:17".to_owned(), &fake.system).unwrap_err();
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
