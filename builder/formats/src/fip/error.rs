//! What cannot be packed, and what is wrong with what was found.

use thiserror::Error;
use uuid::Uuid;

use super::Loader;

/// Parts that do not make a boot area.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FipError {
    /// BL1 is another file.
    #[error(
        "BL1 has {size} bytes, it must have {expected}: 97 sectors, of which the first is the partition table's too"
    )]
    Bl1Size {
        /// Its bytes.
        size: u64,
        /// What it has to have.
        expected: u64,
    },
    /// BL1 has bytes where the partition table goes.
    #[error(
        "byte {at:#x} of BL1 is not zero: bytes 0x70 to 0x1ff are the partition table's, writing them would break it"
    )]
    Bl1OverTable {
        /// The first of them.
        at: u64,
    },
    /// BL1 is not what the boot ROM accepts.
    #[error("the boot ROM would not accept BL1: {0}")]
    Bl1(Fault),
    /// The BL2 to sign is another file.
    #[error("BL2 has {size} bytes, a bl2.package has {expected}")]
    Bl2Size {
        /// Its bytes.
        size: u64,
        /// What it has to have.
        expected: u64,
    },
    /// A file without content.
    #[error("{loader} is empty")]
    Empty {
        /// Which.
        loader: Loader,
    },
    /// U-Boot is larger than BL2 loads.
    #[error("bl33 has {size} bytes, it must stay below {limit} (4 MiB)")]
    Bl33TooLarge {
        /// Its bytes.
        size: u64,
        /// The first size that is too large.
        limit: u64,
    },
    /// A size that the format has no number for.
    #[error("{loader} has {size} bytes, more than a FIP can hold")]
    TooLarge {
        /// Which.
        loader: Loader,
        /// Its bytes.
        size: u64,
    },
    /// Two entries for one boot loader.
    #[error("{loader} is there twice")]
    Twice {
        /// Which.
        loader: Loader,
    },
    /// Something that the boot needs is not there.
    #[error("there is no {loader}: the S905 does not start without it")]
    Missing {
        /// What.
        loader: Loader,
    },
    /// A BL31 that brings a header along.
    #[error(
        "bl31 is a bl31.img: its first 512 bytes say where it is loaded and belong into the FIP's table, which is not \
         written here; it would not start"
    )]
    Bl31Header,
    /// The package does not fit in front of what follows.
    #[error(
        "the FIP reaches from byte {start} to {end}, but {next} starts at byte {limit}: {loader} has {size} bytes, at most \
         {fitting} would fit"
    )]
    Reaches {
        /// First byte of the package.
        start: u64,
        /// First byte after it.
        end: u64,
        /// First byte of what follows.
        limit: u64,
        /// What follows: `partition 1`.
        next: String,
        /// Its last entry.
        loader: Loader,
        /// Bytes of what that entry was made of.
        size: u64,
        /// The most that would fit.
        fitting: u64,
    },
}

/// Something wrong with a part that was found. Offsets count from the part's first byte.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// No header where one has to be.
    #[error("no @AML header at byte {at:#x}")]
    NoHeader {
        /// Where it has to be.
        at: u64,
    },
    /// A header's field is not what the format says.
    #[error("the header's {field} is {found:#x}, it must be {expected:#x}")]
    Header {
        /// Which field.
        field: &'static str,
        /// What it says.
        found: u64,
        /// What it has to say.
        expected: u64,
    },
    /// A header says that bytes are hashed that are not there.
    #[error(
        "the header at byte {at:#x} says that bytes {start:#x} to {end:#x} are hashed, the part ends at {size:#x}"
    )]
    HashedRange {
        /// The header.
        at: u64,
        /// First hashed byte.
        start: u64,
        /// First byte after them.
        end: u64,
        /// Bytes of the part.
        size: u64,
    },
    /// The digest is another.
    #[error("the signature at byte {at:#x} does not verify: header or content were changed after signing")]
    Digest {
        /// The header.
        at: u64,
    },
    /// Bytes that must be zero are not.
    #[error("byte {at:#x} is not zero, as all bytes between {start:#x} and {end:#x} must be")]
    NotZero {
        /// The first of them.
        at: u64,
        /// First byte that must be zero.
        start: u64,
        /// First byte behind them.
        end: u64,
    },
    /// The image ends within the part.
    #[error("it goes on to byte {end} of what has {size}")]
    Beyond {
        /// First byte after it.
        end: u64,
        /// Bytes of the image.
        size: u64,
    },
    /// The table's header is not that of a FIP.
    #[error("its {field} is {found:#x}, it must be {expected:#x}")]
    TableHeader {
        /// Which field.
        field: &'static str,
        /// What it says.
        found: u64,
        /// What it has to say.
        expected: u64,
    },
    /// A record for nothing that is known.
    #[error("record {number} has the UUID {uuid}, which stands for no boot loader")]
    UnknownUuid {
        /// From 0.
        number: usize,
        /// What it says.
        uuid: Uuid,
    },
    /// Two records for one boot loader.
    #[error("record {number} is a second one of {loader}")]
    Twice {
        /// From 0.
        number: usize,
        /// Which.
        loader: Loader,
    },
    /// A record's flags are not zero.
    #[error("record {number} has the flags {flags:#x}, there are none")]
    Flags {
        /// From 0.
        number: usize,
        /// What it says.
        flags: u64,
    },
    /// A record says a place other than the next slot.
    #[error("record {number} says offset {found:#x}, it must be {expected:#x}")]
    Offset {
        /// From 0.
        number: usize,
        /// What it says.
        found: u64,
        /// The slot behind the entry before.
        expected: u64,
    },
    /// A record's size is not that of the entry.
    #[error("record {number} says {found:#x} bytes, the entry has {expected:#x}")]
    Size {
        /// From 0.
        number: usize,
        /// What it says.
        found: u64,
        /// What the entry has.
        expected: u64,
    },
    /// No last record.
    #[error("its last record is missing")]
    NoEnd,
    /// What a table says of where BL31 is loaded is only half there.
    #[error("what it says of where bl31 is loaded is damaged at byte {at:#x}")]
    LoadData {
        /// Where.
        at: u64,
    },
    /// An entry is a whole `bl31.img`.
    #[error(
        "it starts with the header of a bl31.img, which belongs into the table: BL2 would run it as code"
    )]
    Bl31Header,
    /// A boot loader that nothing starts without is not there.
    #[error("it has no {0}")]
    Lacks(Loader),
}

impl Fault {
    /// The same fault of bytes that start `by` later in the part.
    pub(super) fn shifted(self, by: u64) -> Self {
        match self {
            Self::NotZero { at, start, end } => Self::NotZero {
                at: at.saturating_add(by),
                start: start.saturating_add(by),
                end: end.saturating_add(by),
            },
            other => other,
        }
    }
}
