//! Outages out of events, and their figures. Pure.
//!
//! What must hold: an outage that both the client and the server have written down is one; what the client says of it
//! counts, because only the client knows its dials; of two lengths the longer one. In the server's log the client's word
//! stands behind the outage that it is about, for wherever the client's own log is not at hand.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::model::time::WallMs;
use crate::ops::event;
use crate::ops::record::{Record, stamp};

/// One outage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Outage {
    /// When it ended.
    pub(super) at: u64,
    pub(super) session: String,
    pub(super) user: String,
    pub(super) cause: String,
    pub(super) length_ms: u64,
    /// Whether it was longer than whoever wrote it down could know.
    pub(super) at_least: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attempts: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) waits_ms: String,
    pub(super) ended: String,
    pub(super) seen_by: SeenBy,
}

/// Who has written it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SeenBy {
    Client,
    Server,
    Both,
}

/// The figures of some outages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    /// A cause, `all`, or an hour.
    pub(super) of: String,
    pub(super) count: usize,
    pub(super) p50_ms: u64,
    pub(super) p95_ms: u64,
    pub(super) p99_ms: u64,
    pub(super) max_ms: u64,
}

/// The figures of all outages, by cause and by the hour in which they ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Stats {
    pub(super) causes: Vec<Figures>,
    pub(super) hours: Vec<Figures>,
}

/// How far apart the two notes of one outage may be: the clocks of two machines differ.
const APART_MS_MAX: u64 = 2_000;
const HOUR_MS: u64 = 3_600_000;

/// The outages among these events, by the time they ended. A link that is not back counts as none.
pub(super) fn outages(records: &[Record]) -> Vec<Outage> {
    let (mut outages, by_servers) = noted(records);
    for seen in by_servers {
        let apart = |of: &Outage| of.at.abs_diff(seen.at);
        let same =
            |of: &&mut Outage| of.seen_by == SeenBy::Client && of.session == seen.session && apart(of) <= APART_MS_MAX;
        match outages.iter_mut().filter(same).min_by_key(|of| apart(of)) {
            Some(known) => {
                known.seen_by = SeenBy::Both;
                // A program that was stopped finds out late that nobody has heard it.
                known.length_ms = known.length_ms.max(seen.length_ms);
            }
            None => outages.push(seen),
        }
    }
    outages.sort_by(|one, other| (one.at, &one.session).cmp(&(other.at, &other.session)));
    outages
}

/// The outages as clients have written them down, and as servers have.
fn noted(records: &[Record]) -> (Vec<Outage>, Vec<Outage>) {
    let (mut by_clients, mut by_servers): (Vec<Outage>, Vec<Outage>) = (Vec::new(), Vec::new());
    // The last one of each session: a client tells of the outage that has just ended.
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for record in records {
        if record.event == event::OUTAGE {
            let outage = Outage::of(record);
            if outage.seen_by == SeenBy::Client {
                by_clients.push(outage);
            } else {
                last.insert(outage.session.clone(), by_servers.len());
                by_servers.push(outage);
            }
        } else if record.event == event::OUTAGE_TOLD
            && let Some(at) = last.remove(&record.word("session"))
        {
            by_servers[at].told(record);
        }
    }
    (by_clients, by_servers)
}

/// The figures of these outages; those of unknown length are counted with what is known of it.
pub(super) fn stats(outages: &[Outage]) -> Stats {
    let mut causes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    let mut hours: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for outage in outages {
        causes.entry(&outage.cause).or_default().push(outage.length_ms);
        hours.entry(outage.at / HOUR_MS).or_default().push(outage.length_ms);
    }
    let all = outages.iter().map(|outage| outage.length_ms).collect();
    let hour = |number: u64| stamp(WallMs(number * HOUR_MS)).chars().take(16).collect();
    Stats {
        causes: std::iter::once(("all", all))
            .chain(causes)
            .filter_map(|(cause, lengths)| figures(cause.to_owned(), lengths))
            .collect(),
        hours: hours.into_iter().filter_map(|(number, lengths)| figures(hour(number), lengths)).collect(),
    }
}

fn figures(of: String, mut lengths: Vec<u64>) -> Option<Figures> {
    lengths.sort_unstable();
    let rank = |percent: usize| lengths.get((lengths.len() * percent).div_ceil(100).checked_sub(1)?).copied();
    let (p50_ms, p95_ms, p99_ms, max_ms) = (rank(50)?, rank(95)?, rank(99)?, *lengths.last()?);
    Some(Figures { of, count: lengths.len(), p50_ms, p95_ms, p99_ms, max_ms })
}

impl Outage {
    fn of(record: &Record) -> Self {
        let attempts = record.number("attempts");
        Self {
            at: record.at.0,
            session: record.word("session"),
            user: record.word("user"),
            cause: record.word("cause"),
            length_ms: record.number("length_ms").unwrap_or_default(),
            at_least: record.word("at_least") == "true",
            attempts,
            waits_ms: record.word("waits_ms"),
            ended: record.word("ended"),
            // Only clients count their dials.
            seen_by: if attempts.is_some() { SeenBy::Client } else { SeenBy::Server },
        }
    }

    /// Adds what the client has told the server of it.
    fn told(&mut self, record: &Record) {
        self.attempts = record.number("attempts");
        self.waits_ms = record.word("waits_ms");
        self.length_ms = self.length_ms.max(record.number("length_ms").unwrap_or_default());
        self.at_least = false;
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, session, user, cause, length_ms, at_least, attempts, waits_ms, ended, seen_by } = self;
        let more = if *at_least { "at least " } else { "" };
        write!(to, "[{}] {user}: {more}{length_ms} ms, {cause}", stamp(WallMs(*at)))?;
        match attempts {
            Some(1) => write!(to, ", 1 dial after {waits_ms} ms")?,
            Some(attempts) => write!(to, ", {attempts} dials, waits {waits_ms} ms")?,
            None => {}
        }
        let seen_by = match seen_by {
            SeenBy::Client => "client",
            SeenBy::Server => "server",
            SeenBy::Both => "client and server",
        };
        write!(to, "; {ended}; session {session}; seen by {seen_by}")
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.causes.is_empty() {
            return write!(to, "no outage is in the log");
        }
        for (title, rows) in [("cause", &self.causes), ("hour (UTC)", &self.hours)] {
            writeln!(to, "{title:<18}{:>8}{:>9}{:>9}{:>9}{:>9}", "count", "p50 ms", "p95 ms", "p99 ms", "max ms")?;
            for Figures { of, count, p50_ms, p95_ms, p99_ms, max_ms } in rows {
                writeln!(to, "{of:<18}{count:>8}{p50_ms:>9}{p95_ms:>9}{p99_ms:>9}{max_ms:>9}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at: u64, session: &str, length_ms: u64, attempts: Option<u64>) -> Record {
        let attempts = attempts.map(|number| format!(r#","attempts":{number},"waits_ms":"3 80""#)).unwrap_or_default();
        let line = format!(
            r#"{{"at":{at},"level":"INFO","event":"outage","session":"{session}","user":"alice","cause":"reset","length_ms":{length_ms},"ended":"resumed"{attempts}}}"#
        );
        Record::parse(&line).unwrap()
    }

    #[test]
    fn what_client_and_server_have_seen_is_one_outage_and_the_client_knows_more() {
        let records = [
            seen(1_000, "a", 95, None),
            seen(1_004, "a", 100, Some(2)),
            seen(9_000, "a", 7, None),
            seen(9_001, "a", 3, Some(1)),
        ];
        let all = outages(&records);
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].length_ms, all[0].seen_by), (100, SeenBy::Both));
        assert_eq!((all[1].length_ms, all[1].seen_by), (7, SeenBy::Both), "it was stopped");
        let line = "[1970-01-01 00:00:01] alice: 100 ms, reset, 2 dials, waits 3 80 ms; resumed; session a; seen by client and server";
        assert_eq!(all[0].to_string(), line);
    }

    #[test]
    fn where_only_the_server_s_log_is_read_the_dials_are_those_that_the_client_has_told_it() {
        let told =
            |at: u64, session: &str| Record { event: event::OUTAGE_TOLD.to_owned(), ..seen(at, session, 120, Some(2)) };
        let records = [
            seen(1_000, "a", 95, None),
            seen(1_001, "b", 70, None),
            told(1_010, "a"),
            seen(5_000, "a", 400, None),
            told(5_010, "a"),
            told(5_020, "a"),
            told(5_030, "c"),
        ];
        let known: Vec<_> = outages(&records).iter().map(|of| (of.length_ms, of.attempts, of.seen_by)).collect();
        let server = SeenBy::Server;
        assert_eq!(known, [(120, Some(2), server), (70, None, server), (400, Some(2), server)]);
        assert!(outages(&records)[0].to_string().contains("120 ms, reset, 2 dials, waits 3 80 ms; resumed"));
        let both = [&records[..], &[seen(1_004, "a", 121, Some(3))]].concat();
        let of_both = outages(&both).into_iter().find(|of| of.seen_by == SeenBy::Both);
        assert_eq!(of_both.and_then(|of| of.attempts), Some(3), "its own log is nearer");
    }

    #[test]
    fn two_outages_soon_after_each_other_stay_two() {
        let records = [
            seen(1_000, "a", 5, None),
            seen(1_500, "a", 6, None),
            seen(1_001, "a", 5, Some(1)),
            seen(1_501, "a", 6, Some(1)),
        ];
        let all = outages(&records);
        assert_eq!(all.iter().map(|outage| outage.seen_by).collect::<Vec<_>>(), [SeenBy::Both, SeenBy::Both]);
        let others = [seen(1_000, "a", 5, None), seen(1_001, "b", 5, Some(1))];
        assert_eq!(outages(&others).len(), 2, "of two sessions");
    }

    #[test]
    fn the_figures_are_those_of_the_nearest_rank() {
        let records: Vec<Record> = (1..=200).map(|length| seen(length * 20_000, "a", length, None)).collect();
        let Stats { causes, hours } = stats(&outages(&records));
        let of = "all".to_owned();
        assert_eq!(causes[0], Figures { of, count: 200, p50_ms: 100, p95_ms: 190, p99_ms: 198, max_ms: 200 });
        assert_eq!(causes[1].of, "reset");
        assert_eq!(
            hours.iter().map(|hour| (hour.of.as_str(), hour.count)).collect::<Vec<_>>(),
            [("1970-01-01 00:00", 179), ("1970-01-01 01:00", 21)]
        );
        assert_eq!(stats(&[]), Stats { causes: Vec::new(), hours: Vec::new() });
    }
}
