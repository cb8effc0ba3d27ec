//! Sizes, sectors and times as types, so that a sector is never taken for a byte.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Bytes in a sector of a card, as every partition table here counts them.
pub const SECTOR: u64 = 512;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A sector of a card, counted from its first, or a number of sectors. 512 bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lba(pub u64);

/// Neighbouring sectors of a card. Shown as `sectors 97..8191`: first and last, as partitioning tools do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sectors {
    /// The first.
    pub first: Lba,
    /// How many; none at all is legal here.
    pub count: u64,
}

/// A moment as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Time {
    /// Seconds since 1970-01-01T00:00:00Z; negative before.
    pub seconds: i64,
    /// Nanoseconds past `seconds`, below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Bytes {
    /// `n` KiB.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// `n` MiB.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// `n` GiB.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// The next multiple of `unit` that is not below this size.
    pub const fn round_up(self, unit: u64) -> Self {
        Self(self.0.div_ceil(unit) * unit)
    }
}

impl Lba {
    /// The byte at which this sector starts.
    pub const fn to_bytes(self) -> Bytes {
        Bytes(self.0 * SECTOR)
    }

    /// The sector that starts at `bytes`, or `None` where none does.
    pub const fn from_bytes(bytes: Bytes) -> Option<Self> {
        if bytes.0.is_multiple_of(SECTOR) {
            Some(Self(bytes.0 / SECTOR))
        } else {
            None
        }
    }
}

impl Sectors {
    /// The first sector behind them; `u64::MAX` where there is no such number.
    pub const fn end(self) -> Lba {
        Lba(self.first.0.saturating_add(self.count))
    }

    /// Whether any sector is in both.
    pub const fn overlaps(self, other: Self) -> bool {
        self.count > 0 && other.count > 0 && self.first.0 < other.end().0 && other.first.0 < self.end().0
    }

    /// Whether all of them are in `outer`.
    pub const fn is_within(self, outer: Self) -> bool {
        self.first.0 >= outer.first.0 && self.end().0 <= outer.end().0 && self.end().0 < u64::MAX
    }

    /// Bytes in them.
    pub const fn size(self) -> Bytes {
        Bytes(self.count * SECTOR)
    }
}

impl Time {
    /// A whole second.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self {
            seconds,
            nanoseconds: 0,
        }
    }
}

impl Add for Bytes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Bytes {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Sum for Bytes {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        Self(sizes.map(|size| size.0).sum())
    }
}

impl Add for Lba {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl fmt::Display for Bytes {
    /// Exact where a unit divides the size (`64 MiB`), else one decimal of the largest unit that fits (`12.5 MiB`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (unit, name) in UNITS {
            if self.0 >= unit {
                return if self.0.is_multiple_of(unit) {
                    write!(f, "{} {name}", self.0 / unit)
                } else {
                    write!(f, "{:.1} {name}", self.0 as f64 / unit as f64)
                };
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Display for Lba {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sector {}", self.0)
    }
}

impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => write!(f, "no sectors at {}", self.first.0),
            _ => write!(f, "sectors {}..{}", self.first.0, self.end().0 - 1),
        }
    }
}
