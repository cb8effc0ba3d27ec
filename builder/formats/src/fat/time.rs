//! Times as FAT keeps them.

use super::FatError;
use crate::calendar::date_of;
use crate::units::Time;

/// 1980-01-01T00:00:00Z.
const FIRST: i64 = 315_532_800;

/// 2107-12-31T23:59:59Z.
const LAST: i64 = 4_354_819_199;

/// A date and a time of day, packed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    /// Years since 1980 (7 bits), month from 1 (4), day from 1 (5).
    pub(super) date: u16,
    /// Hour (5 bits), minute (6), second divided by two (5).
    pub(super) time: u16,
}

impl Stamp {
    /// A time in UTC, rounded down to two seconds.
    pub(super) fn new(time: Time) -> Result<Self, FatError> {
        if !(FIRST..=LAST).contains(&time.seconds) {
            return Err(FatError::Time {
                seconds: time.seconds,
            });
        }
        let (day_number, second) = (time.seconds / 86_400, time.seconds % 86_400);
        let (year, month, day) = date_of(day_number);
        // Each value fits its bits: the range was checked.
        Ok(Self {
            date: ((year - 1980) << 9 | (month << 5) | day) as u16,
            time: ((second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2)) as u16,
        })
    }
}
