//! What a device has shown: where its link and its match are, as far as anybody outside can see.

use std::collections::{BTreeSet, VecDeque};

use rejoin::chaos::finals::Outage;
use rejoin::model::client::event::{Event, LinkState, PathKind};

use super::world::World;

/// Two that come back within this do so at once.
const AT_ONCE_MS: u64 = 20;

/// As it was shown last.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) link: LinkState,
    pub(super) path: PathKind,
    pub(super) seat: Option<String>,
    /// When it was shown.
    pub(super) seated_at: u64,
    /// When the last move was shown.
    pub(super) moved_at: u64,
    /// Results the server has; they outlive the process, as the player does.
    pub(super) recorded: BTreeSet<String>,
    /// Results, recorded or not.
    pub(super) decided: BTreeSet<String>,
    /// All matches that were shown.
    pub(super) matches: BTreeSet<String>,
    /// When the link was last live anew.
    live_at: u64,
    /// How the link went.
    pub(super) cause: &'static str,
    /// Dials of the last second.
    dials: VecDeque<u64>,
    dials_max: u32,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            link: LinkState::Down,
            path: PathKind::None,
            seat: None,
            seated_at: 0,
            moved_at: 0,
            recorded: BTreeSet::new(),
            decided: BTreeSet::new(),
            matches: BTreeSet::new(),
            live_at: 0,
            cause: "",
            dials: VecDeque::new(),
            dials_max: 0,
        }
    }
}

impl Shown {
    /// What is left of it when the process ends.
    pub(super) fn after_end(&mut self) -> Self {
        let Self { recorded, decided, matches, dials, dials_max, live_at, .. } = std::mem::take(self);
        Self { recorded, decided, matches, dials, dials_max, live_at, ..Self::default() }
    }

    /// The client gave its connection up by itself.
    pub(super) fn gave_up(&mut self) {
        if self.cause.is_empty() {
            self.cause = "silence";
        }
    }

    /// One more dial.
    pub(super) fn dials(&mut self, at_ms: u64) {
        self.dials.push_back(at_ms);
        while self.dials.front().is_some_and(|first| *first + 1000 <= at_ms) {
            self.dials.pop_front();
        }
        self.dials_max = self.dials_max.max(u32::try_from(self.dials.len()).unwrap_or(u32::MAX));
    }

    pub(super) const fn dials_max(&self) -> u32 {
        self.dials_max
    }

    /// Whether a match is over here, or can be gone on with.
    pub(super) fn has(&self, match_id: &str) -> bool {
        self.recorded.contains(match_id)
            || match &self.seat {
                Some(seat) if seat == match_id => self.path != PathKind::None,
                Some(_) | None => self.link == LinkState::Live,
            }
    }

    fn see(&mut self, event: &Event) {
        match event {
            Event::Link { state, .. } => self.link = *state,
            Event::Path { path } => self.path = *path,
            Event::Match { match_id, .. } => {
                self.seat = Some(match_id.clone());
                self.matches.insert(match_id.clone());
            }
            Event::Result { match_id, recorded, .. } => {
                self.decided.insert(match_id.clone());
                if *recorded {
                    self.recorded.insert(match_id.clone());
                    self.seat.take_if(|seat| seat == match_id);
                }
            }
            Event::Suspended { match_id, .. } => drop(self.seat.take_if(|seat| seat == match_id)),
            // Who logs out gets up from the table.
            Event::Reply(reply) if reply.ok && reply.command == "logout" => self.seat = None,
            Event::Reply(_)
            | Event::Invited { .. }
            | Event::InviteClosed { .. }
            | Event::Board { .. }
            | Event::Move { .. }
            | Event::Opponent { .. }
            | Event::Offered { .. }
            | Event::Notice { .. } => {}
        }
    }
}

impl World<'_> {
    /// Something is shown to the player.
    pub(super) fn show(&mut self, number: usize, event: &Event) {
        self.note(number + 1, || words_of(event));
        let device = &mut self.devices[number];
        device.shown.see(event);
        if matches!(event, Event::Move { .. }) {
            device.shown.moved_at = self.now;
        }
        if matches!(event, Event::Match { .. } | Event::Link { state: LinkState::Live, .. }) {
            device.shown.seated_at = self.now;
        }
        if let Event::Link { state: LinkState::Live, outage_ms, attempts } = event {
            let cause = std::mem::take(&mut device.shown.cause).to_owned();
            let outage = Outage {
                who: device.who.clone(),
                cause,
                attempts: *attempts,
                length_ms: *outage_ms,
                waits_ms: String::new(),
            };
            self.figures.outages.push(outage);
            self.heed_return(number);
        }
        self.heed_event(number, event);
        let human = self.devices[number].human;
        if self.seats[human] == number {
            self.humans[human].shown(self.now, event, &mut self.history);
        }
    }

    /// A link is live again.
    fn heed_return(&mut self, number: usize) {
        let now = self.now;
        let together =
            self.devices.iter().any(|other| other.number != number && other.shown.live_at + AT_ONCE_MS > now);
        let shown = &mut self.devices[number].shown;
        let again = shown.live_at > 0;
        shown.live_at = now;
        let direct = shown.path == PathKind::Direct;
        self.coverage.sometimes("both reconnect at once", again && together);
        self.coverage.sometimes("server back during direct play", again && direct);
    }

    /// What of it a good suite must meet.
    fn heed_event(&mut self, number: usize, event: &Event) {
        match event {
            Event::Result { recorded: false, .. } if !self.server.machine.alive => {
                self.coverage.sometimes("match finished while the server was down", true);
            }
            Event::Move { acknowledged: true, .. } if !self.server.machine.alive => {
                self.coverage.sometimes("move acknowledged while the server was down", true);
            }
            Event::Link { state: LinkState::Live, attempts: Some(attempts), .. } => {
                self.coverage.sometimes("back after five dials or more", *attempts >= 5);
            }
            Event::Notice { code, .. } => {
                self.coverage.sometimes("seat moved", *code == "seat-taken");
                self.coverage.sometimes("damaged match file set aside", *code == "match-file-damaged");
                self.coverage.sometimes("agreed while the server was down", *code == "agreed");
                if matches!(*code, "match-file-damaged" | "file-damaged") {
                    self.told_damage(number);
                }
            }
            Event::Link { .. }
            | Event::Path { .. }
            | Event::Match { .. }
            | Event::Result { .. }
            | Event::Suspended { .. }
            | Event::Reply(_)
            | Event::Invited { .. }
            | Event::InviteClosed { .. }
            | Event::Board { .. }
            | Event::Move { .. }
            | Event::Opponent { .. }
            | Event::Offered { .. } => {}
        }
    }
}

/// One line of the trace.
fn words_of(event: &Event) -> String {
    match event {
        Event::Move { match_id, ply, by, row, col, state, acknowledged, .. } => {
            let cell = row.zip(*col).map_or_else(|| "resigns".to_owned(), |(row, col)| format!("{row},{col}"));
            let known = if *acknowledged { ", acknowledged" } else { "" };
            format!("move {ply} of {} by {by} at {cell} {state:?}{known}", &match_id[..4])
        }
        Event::Board { match_id, ply, turn, rows, .. } => {
            format!("board of {} at {ply}, turn {turn:?}: {}", &match_id[..4], rows.join("/"))
        }
        Event::Link { state, outage_ms, attempts } => format!("link {state:?} {outage_ms:?} ms, {attempts:?} dials"),
        Event::Reply(reply) => format!("reply {} ok {} {:?}", reply.command, reply.ok, reply.error),
        Event::Match { .. }
        | Event::Result { .. }
        | Event::Suspended { .. }
        | Event::Path { .. }
        | Event::Invited { .. }
        | Event::InviteClosed { .. }
        | Event::Opponent { .. }
        | Event::Offered { .. }
        | Event::Notice { .. } => format!("{event:?}"),
    }
}
