//! Which events somebody wants to see. Pure.

use std::time::Duration;

use time::macros::format_description;
use time::{Date, PrimitiveDateTime};

use crate::model::time::{WallMs, ms};
use crate::ops::record::Record;

/// All of it must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) since: Option<WallMs>,
    pub(super) user: Option<String>,
    pub(super) match_id: Option<String>,
    pub(super) event: Option<String>,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// So long before the command was typed.
    Ago(Duration),
    /// A moment, in UTC.
    At(WallMs),
}

/// Fields that name a player.
const USERS: [&str; 5] = ["user", "x", "o", "by", "winner"];

impl Query {
    pub(super) fn admits(&self, record: &Record) -> bool {
        let named = |name: &String| USERS.iter().any(|field| record.word(field).eq_ignore_ascii_case(name));
        self.since.is_none_or(|since| record.at >= since)
            && self.user.as_ref().is_none_or(named)
            && self.match_id.as_ref().is_none_or(|id| record.word("match_id").starts_with(id.as_str()))
            && self.event.as_ref().is_none_or(|pattern| fits(pattern, &record.event))
    }
}

impl Since {
    /// Reads `90s`, `10m`, `1h`, `2d`, `2026-06-20` or `2026-06-20 15:50:00`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || "a length such as 90s, 10m, 1h, 2d or a time in UTC such as 2026-06-20 15:50:00 is needed".to_owned();
        let unit = text.chars().last().and_then(|unit| match unit {
            's' => Some(1),
            'm' => Some(60),
            'h' => Some(3600),
            'd' => Some(24 * 3600),
            _ => None,
        });
        if let Some(unit) = unit {
            let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
            return number.checked_mul(unit).map(|seconds| Self::Ago(Duration::from_secs(seconds))).ok_or_else(wrong);
        }
        let day = format_description!("[year]-[month]-[day]");
        let moment = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
        let read = PrimitiveDateTime::parse(&text.replace('T', " ").replace('Z', ""), moment)
            .or_else(|_| Date::parse(text, day).map(Date::midnight))
            .map_err(|_| wrong())?;
        u64::try_from(read.assume_utc().unix_timestamp())
            .map(|seconds| Self::At(WallMs(seconds * 1000)))
            .map_err(|_| wrong())
    }

    pub(super) fn from(self, now: WallMs) -> WallMs {
        match self {
            Self::Ago(length) => WallMs(now.0.saturating_sub(ms(length))),
            Self::At(moment) => moment,
        }
    }
}

/// Whether a name fits a pattern, in which `*`, and `.*` too, stand for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let pattern = pattern.replace(".*", "*");
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_names() {
        for (pattern, name, is) in [
            ("resumed", "resumed", true),
            ("resume", "resumed", false),
            ("resume.*", "resumed", true),
            ("resume.*", "resume-refused", true),
            ("resume*", "match-resumed", false),
            ("*resumed", "match-resumed", true),
            ("m*-*d", "match-started", true),
            ("m*-*d", "match-", false),
            ("*", "foul", true),
            ("", "foul", false),
            ("aa*a", "aa", false),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn times_are_lengths_or_moments() {
        assert_eq!(Since::parse("90s"), Ok(Since::Ago(Duration::from_secs(90))));
        assert_eq!(Since::parse("2d").map(|since| since.from(WallMs(172_800_500))), Ok(WallMs(500)));
        let moment = Ok(Since::At(WallMs(1_781_970_600_000)));
        assert_eq!(Since::parse("2026-06-20 15:50:00"), moment);
        assert_eq!(Since::parse("2026-06-20T15:50:00Z"), moment);
        assert_eq!(Since::parse("2026-06-20"), Ok(Since::At(WallMs(1_781_913_600_000))));
        for wrong in
            ["", "h", "1w", "-1h", "99999999999999999999s", "99999999999999999d", "yesterday", "2026-13-01", "é"]
        {
            assert!(Since::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let line = r#"{"at":5,"level":"INFO","event":"match-started","x":"alice","o":"bob","match_id":"ab12"}"#;
        let record = Record::parse(line).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let all = Query { since: Some(WallMs(5)), user: text("BOB"), match_id: text("ab"), event: text("match*") };
        assert!(all.admits(&record));
        let late = Query { since: Some(WallMs(6)), ..all.clone() };
        let carol = Query { user: text("carol"), ..all.clone() };
        let other = Query { match_id: text("b1"), ..all.clone() };
        let name = Query { event: text("foul"), ..all };
        assert!([late, carol, other, name].iter().all(|query| !query.admits(&record)));
    }
}
