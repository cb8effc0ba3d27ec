//! Dates of the Gregorian calendar and days counted from 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date
//! Algorithms"). The year is taken to begin in March here, so that the leap day ends it.

/// Days from 1970-01-01 to 0000-03-01, where the first era begins.
const FIRST_ERA: i64 = 719_468;

/// Year, month and day of the month of a day.
pub fn date_of(day: i64) -> (i64, i64, i64) {
    // An era has 400 years: 146,097 days.
    let days = day + FIRST_ERA;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_month)
}

/// The day of a date.
pub fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - FIRST_ERA
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_are_inverses_and_agree_with_the_calendar() {
        // From date(1): `date -u -d @N +%F`, N seconds being so many days.
        for (day, date) in [
            (-1, (1969, 12, 31)),
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_708, (2026, 9, 12)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date_of(day), date);
        }
        for day in -60_000..60_000 {
            let (year, month, day_of_month) = date_of(day);
            assert_eq!(day_of(year, month, day_of_month), day);
        }
    }
}
