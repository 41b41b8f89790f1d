//! What the monitor knows: a fold over the events of a server. Pure.
//!
//! What must hold: whoever had a link when a server ends without a word has none from the start of the next run on.

use std::collections::{BTreeMap, VecDeque};

use crate::model::time::WallMs;
use crate::ops::event;
use crate::ops::record::Record;

/// So many matches and outages are kept, the newest first.
const KEPT_MAX: usize = 200;

/// Everything that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct View {
    pub(super) server: Server,
    pub(super) players: BTreeMap<String, Player>,
    /// The newest first.
    pub(super) matches: VecDeque<Match>,
    /// Of the server's log, the newest first.
    pub(super) outages: VecDeque<Record>,
    /// When the last event was written.
    pub(super) last: Option<WallMs>,
}

/// The server's present run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Server {
    /// Number of the run; nothing before the first.
    pub(super) run: String,
    pub(super) since: WallMs,
    /// How the run before has ended.
    pub(super) last_run: String,
    pub(super) stopping: bool,
}

/// Who is logged in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Player {
    pub(super) here: bool,
    /// Since when that is so.
    pub(super) since: WallMs,
    pub(super) ip: String,
    /// Why there is no link.
    pub(super) cause: String,
    pub(super) outages: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Match {
    pub(super) id: String,
    pub(super) players: [String; 2],
    pub(super) game: String,
    pub(super) state: String,
    pub(super) open: bool,
    pub(super) since: WallMs,
}

impl View {
    /// One more event, in the order of time.
    pub(super) fn take(&mut self, record: &Record) {
        self.last = Some(record.at);
        match record.event.as_str() {
            event::SERVER_STARTED => self.started(record),
            event::SERVER_STOPPING => self.server.stopping = true,
            event::LOGIN_OK | event::RESUMED => self.here(record),
            event::LINK_LOST => self.away(&record.word("user"), record.at, &record.word("cause")),
            event::LOGGED_OUT => drop(self.players.remove(&record.word("user"))),
            event::OUTAGE => self.outage(record),
            event::OUTAGE_TOLD => self.outage_told(record),
            event::MATCH_STARTED => self.began(record),
            event::MATCH_SUSPENDED => self.told(record, true, format!("left by {}", record.word("by"))),
            event::MATCH_RESUMED => self.told(record, true, "goes on".to_owned()),
            event::MATCH_REJOINED => self.told(record, true, format!("rejoined by {}", record.word("user"))),
            event::REGRANTED => self.told(record, true, "a seat has moved".to_owned()),
            event::MATCH_SETTLED | event::VERDICT_CORRECTED => self.told(record, false, ending(record)),
            _ => {}
        }
    }

    /// Who has a link, and how many there are.
    pub(super) fn here_of(&self) -> (usize, usize) {
        (self.players.values().filter(|player| player.here).count(), self.players.len())
    }

    fn started(&mut self, record: &Record) {
        let (run, last_run) = (record.word("boot"), record.word("last_run"));
        self.server = Server { run, since: record.at, last_run, stopping: false };
        let lost: Vec<String> =
            self.players.iter().filter(|(_, player)| player.here).map(|(name, _)| name.clone()).collect();
        lost.iter().for_each(|name| self.away(name, record.at, "restart"));
    }

    fn here(&mut self, record: &Record) {
        let outages = self.players.get(&record.word("user")).map_or(0, |player| player.outages);
        let (since, ip) = (record.at, record.word("ip"));
        let player = Player { here: true, since, ip, cause: String::new(), outages };
        self.players.insert(record.word("user"), player);
    }

    fn away(&mut self, name: &str, at: WallMs, cause: &str) {
        if let Some(player) = self.players.get_mut(name) {
            (player.here, player.since, player.cause) = (false, at, cause.to_owned());
        }
    }

    fn outage(&mut self, record: &Record) {
        if let Some(player) = self.players.get_mut(&record.word("user")) {
            player.outages += 1;
        }
        self.outages.push_front(record.clone());
        self.outages.truncate(KEPT_MAX);
    }

    /// Only the client knows its dials. It tells of the outage that has just ended.
    fn outage_told(&mut self, record: &Record) {
        let session = record.word("session");
        let Some(of) = self.outages.iter_mut().find(|of| of.word("session") == session) else { return };
        if of.number("attempts").is_some() {
            return;
        }
        for field in ["attempts", "waits_ms"] {
            of.fields.extend(record.fields.get(field).map(|value| (field.to_owned(), value.clone())));
        }
        if record.number("length_ms") > of.number("length_ms") {
            of.fields.insert("length_ms".to_owned(), record.fields["length_ms"].clone());
        }
        of.fields.remove("at_least");
    }

    fn began(&mut self, record: &Record) {
        self.matches.push_front(Match {
            id: record.word("match_id"),
            players: [record.word("x"), record.word("o")],
            game: record.word("game"),
            state: "in play".to_owned(),
            open: true,
            since: record.at,
        });
        self.matches.truncate(KEPT_MAX);
    }

    /// News of a match; one that began before the log does is not shown.
    fn told(&mut self, record: &Record, open: bool, state: String) {
        let id = record.word("match_id");
        if let Some(of) = self.matches.iter_mut().find(|of| of.id == id) {
            (of.state, of.open, of.since) = (state, open, record.at);
        }
    }
}

fn ending(record: &Record) -> String {
    let (winner, why) = (record.word("winner"), record.word("why"));
    if winner.is_empty() { format!("nobody wins ({why})") } else { format!("{winner} wins ({why})") }
}

/// When each event of a replay is due, in milliseconds from its beginning: `speed` times as fast as it happened, and
/// no wait longer than `wait_max`.
pub(super) fn schedule(records: &[Record], speed: u64, wait_max: u64) -> Vec<u64> {
    let mut due = 0;
    let mut before: Option<WallMs> = None;
    let at = |record: &Record| {
        let gap = before.replace(record.at).map_or(0, |before| record.at.0.saturating_sub(before.0));
        due += (gap / speed.max(1)).min(wait_max);
        due
    };
    records.iter().map(at).collect()
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;

    /// An event with fields in the form of `name=value`.
    pub(in super::super) fn record(at: u64, event: &str, fields: &str) -> Record {
        let fields = fields.split_whitespace().map(|field| {
            let (name, value) = field.split_once('=').unwrap();
            (name.to_owned(), value.parse::<u64>().map_or_else(|_| value.into(), Into::into))
        });
        Record { at: WallMs(at), level: "INFO".to_owned(), event: event.to_owned(), fields: fields.collect() }
    }

    /// A server that is killed in a match of two players, of whom one has come back.
    pub(in super::super) fn story() -> Vec<Record> {
        vec![
            record(1_000, "server-started", "boot=1 last_run=first port=3000"),
            record(2_000, "login-ok", "user=alice ip=10.0.0.1"),
            record(2_500, "login-ok", "user=bob ip=10.0.0.2"),
            record(3_000, "match-started", "match_id=aa11 x=alice o=bob game=tictactoe"),
            record(9_000, "server-started", "boot=2 last_run=killed port=3000"),
            record(9_300, "resumed", "user=bob ip=10.0.0.2"),
            record(9_300, "match-rejoined", "match_id=aa11 user=bob"),
            record(9_310, "outage", "session=b user=bob cause=restart length_ms=512 at_least=true ended=resumed"),
        ]
    }

    /// What bob's client says of the last event of the story.
    pub(in super::super) fn told_by_bob() -> Record {
        let fields = "session=b user=bob cause=restart length_ms=812 attempts=3 waits_ms=40_80_160";
        record(9_330, "outage-told", fields)
    }

    pub(in super::super) fn told(records: &[Record]) -> View {
        let mut view = View::default();
        records.iter().for_each(|record| view.take(record));
        view
    }

    #[test]
    fn who_had_a_link_when_the_server_was_killed_is_away_until_it_comes_back() {
        let view = told(&story());
        assert_eq!((view.server.run.as_str(), view.server.last_run.as_str()), ("2", "killed"));
        let [alice, bob] = ["alice", "bob"].map(|name| view.players[name].clone());
        assert_eq!((alice.here, alice.cause.as_str(), alice.since), (false, "restart", WallMs(9_000)));
        assert_eq!((bob.here, bob.cause.as_str(), bob.since, bob.outages), (true, "", WallMs(9_300), 1));
        assert_eq!(view.here_of(), (1, 2));
        assert_eq!(view.matches[0].state, "rejoined by bob");
        assert_eq!(view.outages.len(), 1);
    }

    #[test]
    fn an_outage_has_the_dials_that_its_client_has_told_of_it_and_no_others() {
        let mut view = told(&story());
        view.take(&record(9_320, "outage-told", "session=a user=alice cause=reset length_ms=9 attempts=9 waits_ms=9"));
        assert_eq!(view.outages[0].number("attempts"), None, "it is another's");
        view.take(&told_by_bob());
        let of = view.outages[0].clone();
        assert_eq!((of.number("attempts"), of.word("waits_ms").as_str()), (Some(3), "40_80_160"));
        assert_eq!((of.number("length_ms"), of.word("at_least").as_str()), (Some(812), ""));
        view.take(&record(9_340, "outage-told", "session=b user=bob cause=reset length_ms=9 attempts=9 waits_ms=9"));
        assert_eq!(view.outages[0], of, "it is told once");
    }

    #[test]
    fn a_match_is_shown_with_how_it_has_ended_and_a_logout_clears_the_row() {
        let mut view = told(&story());
        view.take(&record(9_900, "match-settled", "match_id=aa11 winner=alice why=board plies=5"));
        view.take(&record(9_950, "logged-out", "user=bob"));
        view.take(&record(9_960, "match-settled", "match_id=other winner=bob why=board plies=5"));
        assert_eq!((view.matches.len(), view.matches[0].open), (1, false));
        assert_eq!(view.matches[0].state, "alice wins (board)");
        assert_eq!(view.players.keys().collect::<Vec<_>>(), ["alice"]);
    }

    #[test]
    fn a_replay_keeps_short_waits_and_cuts_long_ones() {
        assert_eq!(schedule(&story(), 1, 1_000), [0, 1_000, 1_500, 2_000, 3_000, 3_300, 3_300, 3_310]);
        assert_eq!(schedule(&story(), 10, 1_000), [0, 100, 150, 200, 800, 830, 830, 831]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut view = View::default();
        for at in 0..1_000 {
            view.take(&record(at, "match-started", &format!("match_id=m{at} x=a o=b game=gomoku")));
            view.take(&record(at, "outage", "user=a cause=reset length_ms=1 attempts=1 ended=resumed"));
        }
        assert_eq!((view.matches.len(), view.outages.len()), (KEPT_MAX, KEPT_MAX));
        assert_eq!(view.matches[0].id, "m999");
    }
}
