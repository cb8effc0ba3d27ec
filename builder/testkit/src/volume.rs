//! btrfs-progs and the kernel as oracles of a volume.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::oracle::{output, run};

/// Debian package of `btrfs`.
const BTRFS_PROGS: &str = "btrfs-progs";

/// Debian package of `mount` and `losetup`.
const MOUNT: &str = "mount";

/// How often a busy volume is unmounted again: a program that another thread is about to start holds what was open when
/// it was forked, until it runs.
const BUSY_TRIES: usize = 250;

/// Checks all trees and all data of the volume in the file `image`.
///
/// # Panics
/// When `btrfs check` finds anything, or is missing.
pub fn btrfs_check(image: &Path) {
    check(image, &["--mode=original", "--check-data-csum"]);
}

/// Checks all trees a second way, which shares little code with the first and takes long for large trees.
///
/// # Panics
/// When `btrfs check` finds anything, or is missing.
pub fn btrfs_check_lowmem(image: &Path) {
    check(image, &["--mode=lowmem"]);
}

fn check(image: &Path, options: &[&str]) {
    // Whether the volume is mounted is not asked: the answer is an error where any loop device goes at that moment, which
    // those of other tests do.
    let arguments = ["check", "--readonly", "--force"]
        .iter()
        .chain(options)
        .map(Path::new);
    let output = output(BTRFS_PROGS, "btrfs", arguments.chain([image]));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    // Some findings are printed without a failure.
    let lower: String = text
        .to_lowercase()
        .replace("no error found", "")
        .lines()
        .filter(|line| !line.contains("mount status"))
        .collect();
    let is_clean = !["error", "mismatch", "invalid", "warning", "missing"]
        .iter()
        .any(|word| lower.contains(word));
    assert!(
        output.status.success() && is_clean,
        "btrfs check {options:?} of {}:\n{text}",
        image.display()
    );
}

/// All items of all trees as text.
///
/// # Panics
/// When `btrfs` cannot read the volume, or is missing.
pub fn dump_tree(image: &Path) -> String {
    run(
        BTRFS_PROGS,
        "btrfs",
        ["inspect-internal", "dump-tree"]
            .map(Path::new)
            .into_iter()
            .chain([image]),
    )
}

/// The superblock as text.
///
/// # Panics
/// When `btrfs` cannot read the volume, or is missing.
pub fn dump_superblock(image: &Path) -> String {
    run(
        BTRFS_PROGS,
        "btrfs",
        ["inspect-internal", "dump-super", "-f"]
            .map(Path::new)
            .into_iter()
            .chain([image]),
    )
}

/// Runs `btrfs` with arguments of any kind.
///
/// # Panics
/// When it does not succeed, or is missing.
pub fn btrfs(arguments: &[&str]) -> String {
    run(BTRFS_PROGS, "btrfs", arguments)
}

/// Whether a mount can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It cannot.
    ReadOnly,
    /// It can.
    ReadWrite,
}

/// A volume of a file, mounted by the kernel until dropped. Needs the rights of root.
#[derive(Debug)]
pub struct LoopMount {
    device: String,
    folder: TempDir,
    /// Where something is mounted, in the order of mounting.
    mounted: Vec<PathBuf>,
}

impl LoopMount {
    /// Mounts the btrfs volume that starts at byte `offset` of `image`, with `options` beside those of `access`.
    ///
    /// # Panics
    /// When the kernel refuses, or the rights or programs are missing.
    pub fn new(image: &Path, offset: u64, access: Access, options: &[&str]) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "mounting {} needs the rights of root",
            image.display()
        );
        let offset = format!("--offset={offset}");
        let mut arguments = vec!["--find", "--show", &offset];
        if access == Access::ReadOnly {
            arguments.push("--read-only");
        }
        let image = image.to_str().expect("test images have plain names");
        arguments.push(image);
        let device = run(MOUNT, "losetup", arguments).trim().to_owned();
        let folder = tempfile::tempdir().expect("a folder to mount at");
        let mut mount = Self {
            device,
            folder,
            mounted: Vec::new(),
        };
        let mut all = vec![if access == Access::ReadOnly { "ro" } else { "rw" }];
        all.extend(options);
        mount.mount(&all, mount.path().to_owned());
        mount
    }

    /// Where the volume is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The loop device.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Mounts a further subvolume of the volume at `path`; a relative one is below the first mount.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn add(&mut self, subvolume: &str, path: impl AsRef<Path>) {
        let at = self.path().join(path);
        self.mount(&[&format!("subvol={subvolume}")], at);
    }

    fn mount(&mut self, options: &[&str], at: PathBuf) {
        let options = options.join(",");
        let arguments = ["-t", "btrfs", "-o", &options, &self.device].map(OsStr::new);
        run(MOUNT, "mount", arguments.into_iter().chain([at.as_os_str()]));
        self.mounted.push(at);
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        let mut failed = Vec::new();
        for at in self.mounted.iter().rev() {
            let mut result = output(MOUNT, "umount", [at]);
            for _ in 0..BUSY_TRIES {
                if result.status.success() || !result.stderr.ends_with(b"busy.\n") {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
                result = output(MOUNT, "umount", [at]);
            }
            if !result.status.success() {
                failed.push(String::from_utf8_lossy(&result.stderr).into_owned());
            }
        }
        let result = output(MOUNT, "losetup", ["--detach", &self.device]);
        if !result.status.success() {
            failed.push(String::from_utf8_lossy(&result.stderr).into_owned());
        }
        assert!(
            failed.is_empty() || std::thread::panicking(),
            "cannot unmount {}: {failed:?}",
            self.device
        );
    }
}
