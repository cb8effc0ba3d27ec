//! Times as FAT keeps them.

use super::FatError;
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
        let (year, month, day) = civil(day_number);
        // Each value fits its bits: the range was checked.
        Ok(Self {
            date: ((year - 1980) << 9 | (month << 5) | day) as u16,
            time: ((second / 3600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2)) as u16,
        })
    }
}

/// Year, month and day of a day counted from 1970-01-01, not before it. The year is taken to begin in March, so that
/// the leap day ends it (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(day_number: i64) -> (i64, i64, i64) {
    let days = day_number + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}
