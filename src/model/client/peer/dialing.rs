//! Rounds of dials to the opponent's addresses.
//!
//! ```text
//!            now, or after the back-off     200 ms, or the first failed
//!   Rest ──> Waiting ──────────────> First ───────────────────────> All
//!              ^                                                      │
//!              └── all failed and no connection open, or one second ──┘
//! ```
//!
//! Invariants: never more than eight dials, nor more than two to one address; an address always has room for its first.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{Effect, PeerDial};
use crate::model::backoff::Backoff;
use crate::model::limits::{
    DIAL_MAX, PEER_CANDIDATES_MAX, PEER_DIAL_OLD, PEER_DIALS_MAX, PEER_OTHERS_AFTER, PEER_ROUND_MAX, RETRY_CAP_IDLE,
    RETRY_CAP_URGENT, RETRY_IDLE_AFTER, WAKE_PAUSE,
};
use crate::model::time::Now;

/// The dialling half of [`Peer`](super::Peer).
#[derive(Clone, Debug)]
pub(super) struct Dialing {
    candidates: Vec<SocketAddr>,
    /// The oldest first.
    dials: Vec<Dial>,
    next_dial: u64,
    phase: Phase,
    backoff: Backoff,
    /// Since when there has been a reason to hurry.
    urgent_since: Now,
    /// When a round began, or is to begin, because something had changed.
    woken_at: Option<Now>,
    /// Dials since the path was lost.
    pub(super) attempts: u32,
}

#[derive(Clone, Copy, Debug)]
struct Dial {
    id: PeerDial,
    addr: SocketAddr,
    begun: Now,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// There is a path, or nothing to dial.
    Rest,
    /// The next round begins then.
    Waiting { at: Now },
    /// The likeliest address is being dialled, the others follow.
    First { dial: PeerDial, begun: Now },
    /// All are being dialled.
    All { ends: Now },
}

impl Dialing {
    pub(super) fn new(now: Now, seed: u64) -> Self {
        Self {
            candidates: Vec::new(),
            dials: Vec::new(),
            next_dial: 1,
            phase: Phase::Rest,
            backoff: Backoff::new(seed),
            urgent_since: now,
            woken_at: None,
            attempts: 0,
        }
    }

    /// Where to dial from here on; whether that is something new.
    pub(super) fn candidates(&mut self, addrs: Vec<SocketAddr>, effects: &mut VecDeque<Effect>) -> bool {
        let mut candidates: Vec<SocketAddr> = Vec::new();
        for addr in addrs {
            if candidates.len() < PEER_CANDIDATES_MAX && !candidates.contains(&addr) {
                candidates.push(addr);
            }
        }
        if candidates == self.candidates {
            return false;
        }
        self.candidates = candidates;
        for dial in self.dials.extract_if(.., |dial| !self.candidates.contains(&dial.addr)) {
            effects.push_back(Effect::Abandon(dial.id));
        }
        true
    }

    /// A round at once, and in a hurry again: the addresses are new.
    pub(super) fn anew(&mut self, now: Now, effects: &mut VecDeque<Effect>) {
        self.urgent_since = now;
        self.backoff.reset();
        self.begin(now, effects);
    }

    /// A round at once if the next is being waited for, but not more often than every [`WAKE_PAUSE`].
    pub(super) fn wake(&mut self, now: Now, effects: &mut VecDeque<Effect>) {
        // One is under way, or there is nothing to dial.
        let Phase::Waiting { at: planned } = self.phase else { return };
        let at = self.woken_at.map_or(now, |woken| now.max(woken + WAKE_PAUSE));
        if at < planned {
            (self.phase, self.woken_at) = (Phase::Waiting { at }, Some(at));
        }
        if at <= now {
            self.begin(now, effects);
        }
    }

    /// The path is lost: a round after the next wait.
    pub(super) fn lost(&mut self, now: Now, was_healthy: bool) {
        if was_healthy {
            self.backoff.reset();
        }
        self.attempts = 0;
        self.urgent_since = now;
        self.wait(now);
    }

    /// There is a path, or no need of one.
    pub(super) fn rest(&mut self, effects: &mut VecDeque<Effect>) {
        self.abandon_all(effects);
        self.phase = Phase::Rest;
    }

    /// A dial has made a connection: one is enough, and so the two sides together stay below the limit of connections.
    /// The round lasts until it must have proved itself. Whether the dial was known.
    pub(super) fn opened(&mut self, now: Now, dial: PeerDial, effects: &mut VecDeque<Effect>) -> bool {
        if !self.forget(dial) {
            return false;
        }
        self.abandon_all(effects);
        self.phase = Phase::All { ends: now + PEER_ROUND_MAX };
        true
    }

    /// A dial has failed.
    pub(super) fn failed(&mut self, now: Now, dial: PeerDial, effects: &mut VecDeque<Effect>) {
        if !self.forget(dial) {
            return;
        }
        match self.phase {
            Phase::First { dial: first, begun } if first == dial => self.dial_others(now, begun, effects),
            Phase::Rest | Phase::Waiting { .. } | Phase::First { .. } | Phase::All { .. } => {}
        }
    }

    /// Time has passed, or a dial or a connection has ended. `open`: whether a connection may still become the path.
    pub(super) fn go_on(&mut self, now: Now, open: bool, effects: &mut VecDeque<Effect>) {
        let late: Vec<PeerDial> =
            self.dials.iter().filter(|dial| dial.begun + DIAL_MAX <= now).map(|dial| dial.id).collect();
        for dial in late {
            effects.push_back(Effect::Abandon(dial));
            self.failed(now, dial, effects);
        }
        match self.phase {
            Phase::Waiting { at } if at <= now => self.begin(now, effects),
            Phase::First { begun, .. } if begun + PEER_OTHERS_AFTER <= now => self.dial_others(now, begun, effects),
            Phase::All { ends } if ends <= now || (self.dials.is_empty() && !open) => self.wait(now),
            Phase::Rest | Phase::Waiting { .. } | Phase::First { .. } | Phase::All { .. } => {}
        }
    }

    /// When something is due.
    pub(super) fn timeout(&self) -> Now {
        let dials = self.dials.iter().map(|dial| dial.begun + DIAL_MAX).min().unwrap_or(Now::NEVER);
        match self.phase {
            Phase::Rest => dials,
            Phase::First { begun, .. } => dials.min(begun + PEER_OTHERS_AFTER),
            Phase::Waiting { at } | Phase::All { ends: at } => dials.min(at),
        }
    }

    fn begin(&mut self, now: Now, effects: &mut VecDeque<Effect>) {
        let Some(first) = self.candidates.first().copied() else {
            self.phase = Phase::Rest;
            return;
        };
        match self.dial(now, first, effects) {
            Some(dial) => self.phase = Phase::First { dial, begun: now },
            None => self.dial_others(now, now, effects),
        }
    }

    fn dial_others(&mut self, now: Now, begun: Now, effects: &mut VecDeque<Effect>) {
        for other in 1..self.candidates.len() {
            self.dial(now, self.candidates[other], effects);
        }
        self.phase = Phase::All { ends: begun + PEER_ROUND_MAX };
    }

    /// Dials an address. A second dial beside one that hangs takes no room that the first of another address may need;
    /// a third takes the place of the oldest when that has had its time.
    fn dial(&mut self, now: Now, addr: SocketAddr, effects: &mut VecDeque<Effect>) -> Option<PeerDial> {
        let same: Vec<Dial> = self.dials.iter().filter(|dial| dial.addr == addr).copied().collect();
        match same.as_slice() {
            [] => {}
            [_] if self.second_dials() < PEER_DIALS_MAX - self.candidates.len() => {}
            [oldest, _, ..] if oldest.begun + PEER_DIAL_OLD <= now => {
                effects.push_back(Effect::Abandon(oldest.id));
                self.forget(oldest.id);
            }
            [_, ..] => return None,
        }
        let id = PeerDial(self.next_dial);
        self.next_dial += 1;
        self.attempts = self.attempts.saturating_add(1);
        self.dials.push(Dial { id, addr, begun: now });
        assert!(self.dials.len() <= PEER_DIALS_MAX, "too many dials to the opponent");
        effects.push_back(Effect::Dial(id, addr));
        Some(id)
    }

    fn second_dials(&self) -> usize {
        let dialled = self.candidates.iter().filter(|addr| self.dials.iter().any(|dial| dial.addr == **addr)).count();
        self.dials.len() - dialled
    }

    /// Draws the moment of the next round. A path that never comes up is not dialled twice a second for ever.
    fn wait(&mut self, now: Now) {
        let long = now.since(self.urgent_since) >= RETRY_IDLE_AFTER;
        let cap = if long { RETRY_CAP_IDLE } else { RETRY_CAP_URGENT };
        self.phase = Phase::Waiting { at: now + self.backoff.draw(cap) };
    }

    fn forget(&mut self, dial: PeerDial) -> bool {
        let before = self.dials.len();
        self.dials.retain(|known| known.id != dial);
        self.dials.len() < before
    }

    fn abandon_all(&mut self, effects: &mut VecDeque<Effect>) {
        effects.extend(self.dials.drain(..).map(|dial| Effect::Abandon(dial.id)));
    }
}
