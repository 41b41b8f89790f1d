//! What the programs themselves have written down: their outages (I12), and which connection had a session (I7).
//!
//! What must hold: nothing is concluded from what a log leaves out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use crate::chaos::finals::Outage;
use crate::cli::logs::read::Logs;
use crate::ops::event;
use crate::ops::record::Record;

/// What the log of a server says about sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Sessions that were live on two connections for longer than it takes to close one; as text.
    pub(super) doubles: Vec<String>,
    /// Times that a session came to another connection, which were all looked at.
    pub(super) moves: usize,
}

/// A connection that was replaced is told so, and closed whether or not it takes that.
const CLOSED_WITHIN_MS: u64 = 5_000;

/// The outages in the log of one device.
pub(super) fn outages(device: &str, state: &Path) -> Vec<Outage> {
    let (_, records) = Logs::read(state);
    let of = |record: &Record| Outage {
        who: device.to_owned(),
        cause: record.word("cause"),
        attempts: record.number("attempts").and_then(|attempts| u32::try_from(attempts).ok()),
        length_ms: record.number("length_ms"),
        waits_ms: record.word("waits_ms"),
    };
    records.iter().filter(|record| record.event == event::OUTAGE).map(of).collect()
}

/// Which connections had each session, by the log of a server; `None` if it has left something out.
pub(super) fn sessions(state: &Path) -> Option<Sessions> {
    let (_, records) = Logs::read(state);
    of_records(&records)
}

fn of_records(records: &[Record]) -> Option<Sessions> {
    let mut found = Sessions::default();
    let mut run = Run::default();
    for record in records {
        run.last_ms = record.at.0;
        let session = || record.word("session");
        if record.event == event::EVENTS_LEFT_OUT {
            return None;
        } else if record.event == event::SERVER_STARTED {
            // Numbers of connections begin anew, and what was open is not.
            run = Run::default();
        } else if record.event == event::RETRY_SEEN {
            run.asked.entry(session()).or_default().extend(record.number("conn"));
        } else if record.event == event::RESUME_REFUSED {
            // It does not say whose.
            run.asked.clear();
        } else if record.event == event::RESUMED {
            found.moves += 1;
            run.resumed(record.at.0, session());
        } else if record.event == event::LINK_LOST {
            run.owners.remove(&session());
        } else if let Some(conn) = record.number("conn").filter(|_| record.event == event::DISCONNECTED) {
            run.closed.insert(conn);
        }
        found.doubles.extend(run.late());
    }
    Some(found)
}

/// One run of a server.
#[derive(Default)]
struct Run {
    last_ms: u64,
    /// By session, the connections that have asked for it, the first one first.
    asked: BTreeMap<String, VecDeque<u64>>,
    owners: BTreeMap<String, u64>,
    closed: BTreeSet<u64>,
    /// Replaced and not closed yet: since when, whose, and which.
    replaced: Vec<(u64, String, u64)>,
}

impl Run {
    fn resumed(&mut self, at_ms: u64, session: String) {
        let Some(conn) = self.asked.get_mut(&session).and_then(VecDeque::pop_front) else {
            self.owners.remove(&session);
            return;
        };
        let before = self.owners.insert(session.clone(), conn);
        if let Some(before) = before.filter(|before| *before != conn && !self.closed.contains(before)) {
            self.replaced.push((at_ms, session, before));
        }
    }

    /// Those that are open for too long.
    fn late(&mut self) -> Vec<String> {
        let Self { last_ms, closed, replaced, .. } = self;
        replaced.retain(|(_, _, conn)| !closed.contains(conn));
        let late = replaced.extract_if(.., |(since, _, _)| last_ms.saturating_sub(*since) > CLOSED_WITHIN_MS);
        late.map(|(_, session, conn)| format!("session {session} went on, and its connection {conn} was open"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use serde_json::{Value, json};

    use super::*;

    fn records(lines: &[(u64, &str, Value)]) -> Vec<Record> {
        let line = |(at, event, fields): &(u64, &str, Value)| {
            let mut all = json!({ "at": at, "level": "INFO", "event": event });
            fields.as_object().unwrap().iter().for_each(|(name, value)| all[name] = value.clone());
            Record::parse(&all.to_string()).unwrap()
        };
        lines.iter().map(line).collect()
    }

    fn asks(at: u64, conn: u64) -> (u64, &'static str, Value) {
        (at, event::RETRY_SEEN, json!({ "session": "s", "conn": conn }))
    }

    fn resumed(at: u64) -> (u64, &'static str, Value) {
        (at, event::RESUMED, json!({ "session": "s" }))
    }

    fn closed(at: u64, conn: u64) -> (u64, &'static str, Value) {
        (at, event::DISCONNECTED, json!({ "conn": conn }))
    }

    fn starts(at: u64) -> (u64, &'static str, Value) {
        (at, event::SERVER_STARTED, json!({}))
    }

    #[test]
    fn a_connection_that_stays_open_beside_its_session_s_next_one_is_found() {
        let good = [asks(1, 1), resumed(2), asks(50, 2), resumed(60), closed(70, 1), closed(9_000, 2)];
        let found = of_records(&records(&good)).unwrap();
        assert_eq!((found.doubles.len(), found.moves), (0, 2));
        let bad = [asks(1, 1), resumed(2), asks(50, 2), resumed(60), closed(9_000, 2)];
        let found = of_records(&records(&bad)).unwrap();
        assert_eq!(found.doubles, ["session s went on, and its connection 1 was open"]);
        let another_run = [asks(1, 1), resumed(2), starts(3), asks(50, 1), resumed(60), closed(9_000, 1)];
        assert_eq!(of_records(&records(&another_run)).unwrap().doubles.len(), 0);
        let killed = [asks(1, 1), resumed(2), asks(50, 2), resumed(60), starts(9_000)];
        assert_eq!(of_records(&records(&killed)).unwrap().doubles.len(), 0, "its end was in nobody's power");
        let left_out = [starts(1), (2, event::EVENTS_LEFT_OUT, json!({ "routine": 3 }))];
        assert!(of_records(&records(&left_out)).is_none());
    }
}
