//! What may be written to. A disk that anything uses is refused, and so is everything that is not a whole disk. A disk
//! that cannot be a card, such as the one inside the computer, needs the user's word. A plain file can stand for a card.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use formats::units::{Bytes, SECTOR};
use rustix::fs::{OFlags, major, minor};
use thiserror::Error;

use crate::image::Image;

/// A card, open for writing and for nobody else.
#[derive(Debug)]
pub struct Target {
    /// What the user called it.
    pub path: PathBuf,
    /// It.
    pub file: File,
    /// It once more, around the page cache; `None` for a file whose file system cannot do that.
    pub(crate) direct: Option<File>,
    /// How much it holds.
    pub size: Bytes,
    /// What the kernel says of the disk; `None` for a file.
    pub(crate) disk: Option<PathBuf>,
}

/// What to do with a disk that nothing uses, but that is not known to be a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixedDisks {
    /// It may hold what somebody needs: refuse.
    Refuse,
    /// The user knows.
    Accept,
}

/// Where the kernel says who uses what.
#[derive(Debug, Clone)]
pub struct System {
    /// `/sys`.
    pub sys: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
}

/// Why something must not be written to. Nothing was.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// The kernel does not say what has to be known.
    #[error("cannot examine {}", path.display())]
    Examine {
        /// The file or device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such disk.
    #[error("there is no disk {}; `lsblk` lists those that there are", path.display())]
    NoDisk {
        /// What was named.
        path: PathBuf,
    },
    /// There is no such file. One of the wrong size would be made of a slip of the pen, so none is.
    #[error(
        "there is no {0}: name a card's disk, or make a file of a card's size that stands for one, `truncate -s SIZE {0}`",
        path.display()
    )]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// A disk, named without its folder.
    #[error("there is no file {name}, but a disk /dev/{name}: name it so")]
    BareName {
        /// What was named.
        name: String,
    },
    /// What a program leaves that writes to a disk which is not there.
    #[error(
        "{} is a plain file among the devices, no card: remove it, and name the card's disk (`lsblk` lists those that there are)",
        path.display()
    )]
    FileInDev {
        /// What was named.
        path: PathBuf,
    },
    /// Partition tables count sectors; an image counts those of 512 bytes.
    #[error(
        "{} has sectors of {sector} bytes, and an image is laid out for 512: no board would find its partitions; use another card",
        path.display()
    )]
    Sectors {
        /// What was named.
        path: PathBuf,
        /// Bytes of its logical sectors.
        sector: u64,
    },
    /// Neither a disk nor a file.
    #[error("{} is neither a disk nor a plain file", path.display())]
    NotADisk {
        /// What was named.
        path: PathBuf,
    },
    /// A partition, which has no room for the boot area.
    #[error("{} is a partition; an image goes to the whole disk, /dev/{disk}", path.display())]
    Partition {
        /// What was named.
        path: PathBuf,
        /// The disk it is on.
        disk: String,
    },
    /// A card reader without a card.
    #[error("there is no card in {}", path.display())]
    Empty {
        /// What was named.
        path: PathBuf,
    },
    /// The switch on the side of the card, or a device that cannot be written.
    #[error("{} is write-protected", path.display())]
    ReadOnly {
        /// What was named.
        path: PathBuf,
    },
    /// The system that runs this program runs from it.
    #[error("{} holds the running system: it is mounted at /", path.display())]
    System {
        /// What was named.
        path: PathBuf,
    },
    /// Somebody's files are on it.
    #[error("{} is in use: it or a part of it is mounted at {mount}", path.display())]
    Mounted {
        /// What was named.
        path: PathBuf,
        /// Where.
        mount: String,
    },
    /// The kernel swaps to it.
    #[error("{} is in use: the system swaps to {swap}", path.display())]
    Swap {
        /// What was named.
        path: PathBuf,
        /// The device or file.
        swap: String,
    },
    /// A logical volume, a RAID or an opened encryption: no board could start from it.
    #[error("{} is made of another disk, {part}; an image goes to a whole disk", path.display())]
    MadeOfOthers {
        /// What was named.
        path: PathBuf,
        /// One of the disks or partitions below it.
        part: String,
    },
    /// Nothing uses it, but it is not a card: it may be another system's, or a pool's that is not imported.
    #[error(
        "{} is a fixed disk: neither removable, nor SD or MMC, nor attached by USB; \
         if it shall be overwritten all the same, give --fixed-disk",
        path.display()
    )]
    FixedDisk {
        /// What was named.
        path: PathBuf,
    },
    /// Something else has it: LVM, RAID, a virtual machine, another flash.
    #[error("{} is in use by another program or by the kernel", path.display())]
    Busy {
        /// What was named.
        path: PathBuf,
    },
    /// The image itself.
    #[error("{} is the image that is to be written", path.display())]
    IsImage {
        /// What was named.
        path: PathBuf,
    },
    /// The image does not fit.
    #[error("{} holds {} bytes ({size}), the image has {} ({needed})", path.display(), size.0, needed.0)]
    TooSmall {
        /// What was named.
        path: PathBuf,
        /// What it holds.
        size: Bytes,
        /// The size of the image.
        needed: Bytes,
    },
}

/// A device's number, as the kernel writes it: `8:16`.
type Number = String;

impl System {
    /// The running system.
    pub fn host() -> Self {
        Self {
            sys: PathBuf::from("/sys"),
            proc: PathBuf::from("/proc"),
        }
    }
}

impl Target {
    /// Opens what may be written to. From the first look on, everything is done with what was opened: its name may mean
    /// something else by then.
    pub fn open(path: &Path, fixed_disks: FixedDisks, system: &System) -> Result<Self, DeviceError> {
        let examine = |source| DeviceError::Examine {
            path: path.to_owned(),
            source,
        };
        let (place, metadata) = locate(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if path.starts_with("/dev") => DeviceError::NoDisk {
                path: path.to_owned(),
            },
            io::ErrorKind::NotFound => match bare_name(path, system) {
                Some(name) => DeviceError::BareName { name },
                None => DeviceError::NoFile {
                    path: path.to_owned(),
                },
            },
            _ => examine(error),
        })?;
        let kind = metadata.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            return Err(DeviceError::NotADisk {
                path: path.to_owned(),
            });
        }
        if kind.is_file() && is_among_devices(&metadata) {
            return Err(DeviceError::FileInDev {
                path: path.to_owned(),
            });
        }
        // For a block device, O_EXCL means: fail if the kernel or another such opener has it. Files do not know it.
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::EXCL.bits() as i32)
            .open(own_path(&place));
        // Before the result is looked at: it tells more than that the disk is busy.
        let disk = if kind.is_block_device() {
            let disk = number(metadata.rdev());
            let folder = system.sys.join("dev/block").join(&disk);
            Some((folder, examine_disk(path, disk, fixed_disks, system)?))
        } else {
            None
        };
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => DeviceError::Busy {
                path: path.to_owned(),
            },
            io::ErrorKind::ReadOnlyFilesystem => DeviceError::ReadOnly {
                path: path.to_owned(),
            },
            _ => examine(error),
        })?;
        let (disk, size) = match disk {
            Some((folder, size)) => (Some(folder), size),
            None => (None, Bytes(file.metadata().map_err(examine)?.len())),
        };
        Ok(Self {
            path: path.to_owned(),
            direct: open_direct(&file).map_err(examine)?,
            file,
            size,
            disk,
        })
    }

    /// Refuses a card that the image does not fit on, and the image itself.
    pub fn check_room(&self, image: &Image) -> Result<(), DeviceError> {
        let identity = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let same = identity(&self.file).and_then(|own| Ok(own == identity(&image.file)?));
        if same.map_err(|source| DeviceError::Examine {
            path: self.path.clone(),
            source,
        })? {
            return Err(DeviceError::IsImage {
                path: self.path.clone(),
            });
        }
        if self.size < image.size {
            return Err(DeviceError::TooSmall {
                path: self.path.clone(),
                size: self.size,
                needed: image.size,
            });
        }
        Ok(())
    }
}

/// The name of a disk that was meant by `path`, which is not there: `sdb`, `mmcblk0`.
fn bare_name(path: &Path, system: &System) -> Option<String> {
    let name = path.to_str().filter(|name| !name.contains('/'))?;
    system
        .sys
        .join("class/block")
        .join(name)
        .exists()
        .then(|| name.to_owned())
}

/// Whether a file lies where the kernel has its devices, and not on a file system that is mounted there, as /dev/shm is.
fn is_among_devices(metadata: &Metadata) -> bool {
    fs::metadata("/dev").is_ok_and(|devices| devices.dev() == metadata.dev())
        && fs::metadata("/").is_ok_and(|root| root.dev() != metadata.dev())
}

/// What is at `path`, without opening it as a device: some act when they are opened, or wait.
fn locate(path: &Path) -> io::Result<(File, Metadata)> {
    let place = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::PATH.bits() as i32)
        .open(path)?;
    let metadata = place.metadata()?;
    Ok((place, metadata))
}

/// A name of an open file that stays the file's.
fn own_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// Opens what is open once more, so that it passes by the page cache; `None` where that is not possible.
pub(crate) fn open_direct(file: &File) -> io::Result<Option<File>> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(own_path(file));
    match opened {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        opened => opened.map(Some),
    }
}

fn number(device: u64) -> Number {
    format!("{}:{}", major(device), minor(device))
}

/// Refuses a disk that is not whole, writable, unused and either a card or meant to be overwritten; returns its size.
fn examine_disk(
    path: &Path,
    disk: Number,
    fixed_disks: FixedDisks,
    system: &System,
) -> Result<Bytes, DeviceError> {
    let examine = |source| DeviceError::Examine {
        path: path.to_owned(),
        source,
    };
    let folder = fs::canonicalize(system.sys.join("dev/block").join(&disk)).map_err(examine)?;
    if folder.join("partition").exists() {
        let disk = folder.parent().and_then(Path::file_name).unwrap_or_default();
        return Err(DeviceError::Partition {
            path: path.to_owned(),
            disk: disk.to_string_lossy().into_owned(),
        });
    }
    let attribute = |name: &str| fs::read_to_string(folder.join(name)).map_err(examine);
    let number_in = |name: &str| {
        let parsed = attribute(name)?.trim().parse::<u64>();
        parsed.map_err(|error| examine(io::Error::other(error)))
    };
    let size = number_in("size")?;
    if size == 0 {
        return Err(DeviceError::Empty {
            path: path.to_owned(),
        });
    }
    if attribute("ro")?.trim() != "0" {
        return Err(DeviceError::ReadOnly {
            path: path.to_owned(),
        });
    }
    let sector = number_in("queue/logical_block_size")?;
    if sector != SECTOR {
        return Err(DeviceError::Sectors {
            path: path.to_owned(),
            sector,
        });
    }
    if let Some(part) = first_entry(&folder.join("slaves")).map_err(examine)? {
        return Err(DeviceError::MadeOfOthers {
            path: path.to_owned(),
            part,
        });
    }
    let mut parts = BTreeSet::from([disk]);
    collect_parts(&folder, &mut parts).map_err(examine)?;
    check_mounts(path, &parts, system)?;
    check_swaps(path, &parts, system)?;
    if fixed_disks == FixedDisks::Refuse && !is_card(&folder).map_err(examine)? {
        return Err(DeviceError::FixedDisk {
            path: path.to_owned(),
        });
    }
    // The kernel counts in 512 bytes, whatever the disk's own sector is.
    Ok(Bytes(size * SECTOR))
}

/// Whether a disk is what cards are: removable, SD or MMC, attached by USB, or a loop device, which stands for one.
fn is_card(folder: &Path) -> io::Result<bool> {
    let attribute = |name: &str| match fs::read_to_string(folder.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        result => result.map(|text| text.trim().to_owned()),
    };
    // A bus of USB is a part of the path of all that hangs on it: `/sys/devices/pci0000:00/0000:00:14.0/usb2/2-1/...`.
    let on_usb = folder.iter().any(|part| {
        let bus = part.to_str().and_then(|part| part.strip_prefix("usb"));
        bus.is_some_and(|bus| bus.parse::<u32>().is_ok())
    });
    Ok(on_usb
        || attribute("removable")? == "1"
        || ["SD", "MMC"].contains(&attribute("device/type")?.as_str())
        || folder.join("loop/backing_file").exists())
}

/// The name of something in a folder; `None` where it is empty or missing.
fn first_entry(folder: &Path) -> io::Result<Option<String>> {
    match fs::read_dir(folder) {
        Ok(mut entries) => {
            let first = entries.next().transpose()?;
            Ok(first.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Adds the numbers of a disk's partitions and of everything that is made of them (LVM, RAID, encryption).
fn collect_parts(folder: &Path, parts: &mut BTreeSet<Number>) -> io::Result<()> {
    let mut inner = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.join("partition").exists() {
            inner.push(path);
        }
    }
    match fs::read_dir(folder.join("holders")) {
        Ok(holders) => {
            for holder in holders {
                inner.push(fs::canonicalize(holder?.path())?);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    for path in inner {
        if parts.insert(fs::read_to_string(path.join("dev"))?.trim().to_owned()) {
            collect_parts(&path, parts)?;
        }
    }
    Ok(())
}

/// Refuses a disk of which a part is mounted. A line of `mountinfo` (proc_pid_mountinfo(5)):
///
/// ```text
/// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
///       ^device    ^mount point              ^ ^type ^source
/// ```
fn check_mounts(path: &Path, parts: &BTreeSet<Number>, system: &System) -> Result<(), DeviceError> {
    let file = system.proc.join("self/mountinfo");
    let text = fs::read_to_string(&file).map_err(|source| DeviceError::Examine { path: file, source })?;
    let mut mounts = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(device), Some(mount)) = (words.get(2), words.get(4)) else {
            continue;
        };
        // btrfs shows a number of its own; its source tells the disk.
        let source = words
            .iter()
            .position(|word| *word == "-")
            .and_then(|at| words.get(at + 2));
        let source = source.and_then(|source| device_number(&unescape(source)));
        if parts.contains(*device) || source.is_some_and(|source| parts.contains(&source)) {
            mounts.push(unescape(mount));
        }
    }
    let path = path.to_owned();
    match mounts
        .into_iter()
        .reduce(|first, other| if other == "/" { other } else { first })
    {
        None => Ok(()),
        Some(mount) if mount == "/" => Err(DeviceError::System { path }),
        Some(mount) => Err(DeviceError::Mounted { path, mount }),
    }
}

/// Refuses a disk that the kernel swaps to. The first column of `/proc/swaps` names a device, or a file, whose disk is
/// mounted.
fn check_swaps(path: &Path, parts: &BTreeSet<Number>, system: &System) -> Result<(), DeviceError> {
    let file = system.proc.join("swaps");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        // A kernel that cannot swap.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(DeviceError::Examine { path: file, source }),
    };
    for line in text.lines().skip(1) {
        let swap = unescape(line.split_whitespace().next().unwrap_or_default());
        if device_number(&swap).is_some_and(|number| parts.contains(&number)) {
            return Err(DeviceError::Swap {
                path: path.to_owned(),
                swap,
            });
        }
    }
    Ok(())
}

/// The number of a block device, where the path is one.
fn device_number(path: &str) -> Option<Number> {
    let metadata = fs::metadata(path).ok()?;
    metadata
        .file_type()
        .is_block_device()
        .then(|| number(metadata.rdev()))
}

/// Space, tab, line break and backslash, which these files write as octal numbers.
fn unescape(text: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(text.to_owned(), |text, (code, character)| {
        text.replace(code, character)
    })
}
