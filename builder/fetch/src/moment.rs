//! Moments that signers wrote down: dates of indexes, ends of validity. They are the only times that get into a lock,
//! and from there into images.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use formats::calendar::{date_of, day_of};
use serde::{Deserialize, Serialize};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Seconds since 1970-01-01T00:00:00Z; `2026-09-12T07:55:41Z` as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(pub i64);

impl Moment {
    /// The second that holds `time`.
    pub fn of(time: SystemTime) -> Self {
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs() as i64,
            Err(before) => -(before.duration().as_secs_f64().ceil() as i64),
        })
    }

    /// A date as Debian's Release files write it: `Sat, 12 Sep 2026 07:55:41 UTC`.
    pub fn parse_release(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (_weekday, day, month, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let (time, zone) = (words.next()?, words.next()?);
        if !matches!(zone, "UTC" | "GMT" | "+0000" | "Z") || words.next().is_some() {
            return None;
        }
        let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
        Self::civil(number(year)?, month, number(day)?, time)
    }

    /// A date as locks write it: `2026-09-12T07:55:41Z`.
    fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let mut parts = date.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        Self::civil(number(year)?, number(month)?, number(day)?, time)
    }

    /// A date of the Gregorian calendar from year 1970 to 9999, and `hh:mm:ss`.
    fn civil(year: i64, month: i64, day: i64, time: &str) -> Option<Self> {
        let mut parts = time.split(':');
        let (hour, minute, second) = (
            number(parts.next()?)?,
            number(parts.next()?)?,
            number(parts.next()?)?,
        );
        let fits = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60
            && parts.next().is_none();
        fits.then(|| Self(day_of(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second))
    }
}

/// A number of digits only.
fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        let (year, month, day) = date_of(day);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3_600,
            second / 60 % 60,
            second % 60
        )
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is no date such as 2026-09-12T07:55:41Z"))
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        // From date(1): `date -u -d @N +%FT%TZ`.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (1_789_199_741, "2026-09-12T07:55:41Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Moment(seconds).to_string(), text);
            assert_eq!(Moment::try_from(text.to_owned()), Ok(Moment(seconds)));
        }
        for day in 0..60_000 {
            let moment = Moment(day * 86_400 + 7);
            assert_eq!(Moment::try_from(moment.to_string()), Ok(moment));
        }
        let release = Moment::parse_release("Sat, 12 Sep 2026 07:55:41 UTC");
        assert_eq!(release, Some(Moment(1_789_199_741)));
        for bad in [
            "",
            "Sat, 12 Sep 2026 07:55:41",
            "Sat, 12 Sep 2026 07:55:41 CEST",
            "Sat, 12 Foo 2026 07:55:41 UTC",
        ] {
            assert_eq!(Moment::parse_release(bad), None, "{bad}");
        }
        for bad in [
            "2026-13-01T00:00:00Z",
            "2026-09-12",
            "2026-09-12T07:55Z",
            "2026-09-12T+7:55:41Z",
        ] {
            assert!(Moment::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
