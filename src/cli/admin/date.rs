//! A day as people write it.

use crate::model::time::WallMs;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// Days in 400 years, after which the calendar repeats.
const ERA_DAYS: u64 = 146_097;
/// Days from the first of March of year 0 to the first of January 1970. Years that begin in March have the leap day last.
const DAYS_BEFORE_1970: u64 = 719_468;

/// `2026-03-01`, in UTC.
pub(super) fn day(at: WallMs) -> String {
    let days = at.0 / DAY_MS + DAYS_BEFORE_1970;
    let (era, of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (1_735_689_599, "2024-12-31"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(WallMs(seconds * 1000)), expected);
        }
    }
}
