//! The boot area of Amlogic's S905 (GXBB): a signed first stage, and a firmware image package (FIP) whose entries are
//! signed each by itself. "Signed" is the vendor's word: there is no key, a signature is a SHA-256 that boot ROM and BL2
//! compare.
//!
//! ```text
//! card    0     112    440     512                    49,664                                       partition 1
//!         | BL1 | 0 .. | MBR   | BL1, from sector 1   | FIP: table | bl30 | bl301 | bl31 | bl33 |  ...
//!         '-- sector 0 is BL1's and the table's       '-- sector 97
//!
//! USB     0                    49,152
//!         | BL2, signed        | FIP ...
//!
//! FIP     0        16                              0x4000         next multiple of 0x4000
//!         | header | records of 40 bytes, 0 ...    | entry, 0 ... | entry, 0 ...
//!
//! entry   | @AML header, 64 | SHA-256, 32 | payload from byte 96 on | first 96 bytes of the payload |
//! BL2     | nonce, 16 | @AML header, 64 | SHA-256, 32 | 0 ... 4096 | bl2.package, first 0xB000 bytes |
//! ```
//!
//! The ROM of the S905 reads a card from sector 1 and an eMMC from sector 0; BL1 has a header for each, at bytes 528 and
//! 16. It has zeros from byte 112 to sector 1 that neither header covers: there the partition table goes.
//!
//! | module | owns |
//! |---|---|
//! | `header` | the `@AML` header and what its signature covers |
//! | `bl1` | the first stage: a BL1 that its vendor signed, a BL2 that is signed here |
//! | `entry` | one entry of a FIP |
//! | `toc` | the table of contents, and whole packages |
//! | `load` | where BL31 is loaded, of vendors who say it in the table |
//! | `area` | first stage and package on a card, or as one file for USB |
//! | `read` | what is there, on images of any origin |
//! | `read::form` | how boot loaders lie on them |
//! | `error` | what cannot be packed, what is wrong with what was found |

mod area;
mod bl1;
mod entry;
mod error;
mod header;
mod load;
mod read;
mod toc;

pub use area::{FIP_SECTOR, boot_area, usb_image};
pub use bl1::{BL1_SIZE, BL2_SIZE, FirstStage, NONCE_SIZE, Nonce, derived_nonce};
pub use entry::{Id, derived_id};
pub use error::{Fault, FipError};
pub use read::{FoundFirmware, FoundPart, Packaging, PartName, read, u_boot_version};
pub use toc::MAX_BL33;
pub use toc::{FIRST_SLOT, Package, PackageEntry, package};

use std::fmt;

/// A boot loader that a FIP has an entry for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loader {
    /// Firmware of the system control processor.
    Bl30,
    /// What the board adds to it: clocks, suspend.
    Bl301,
    /// The secure monitor.
    Bl31,
    /// A trusted operating system; the boards known here have none.
    Bl32,
    /// U-Boot.
    Bl33,
}

impl Loader {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 5] = [Self::Bl30, Self::Bl301, Self::Bl31, Self::Bl32, Self::Bl33];

    /// Its name: `bl30`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bl30 => "bl30",
            Self::Bl301 => "bl301",
            Self::Bl31 => "bl31",
            Self::Bl32 => "bl32",
            Self::Bl33 => "bl33",
        }
    }

    /// The loader of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|loader| loader.name() == name)
    }

    /// What stands for it in a FIP, as Trusted Firmware-A and the vendor number them: a UUID whose first three fields are
    /// stored little-endian.
    pub const fn uuid(self) -> uuid::Uuid {
        uuid::Uuid::from_u128(match self {
            Self::Bl30 => 0x3dfd6697_be89_49e8_ae5d_78a140608213,
            Self::Bl301 => 0xaabbccdd_abcd_efef_abcd_12345678abcd,
            Self::Bl31 => 0x6d08d447_fe4c_4698_9b95_2950cbbd5a00,
            Self::Bl32 => 0x89e1d005_dc53_4713_8d2b_500a4b7a3e38,
            Self::Bl33 => 0xa7eed0d6_eafc_4bd5_9782_9934f234b6e4,
        })
    }

    /// The loader of this UUID.
    pub fn from_uuid(uuid: uuid::Uuid) -> Option<Self> {
        Self::ALL.into_iter().find(|loader| loader.uuid() == uuid)
    }
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
