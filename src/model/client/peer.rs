//! Keeps the direct link between the two players of one match.
//!
//! ```text
//!            an echo came back, or `Use`
//!   Down ───────────────────────────────────> Up ──┐ another connection takes the place
//!    ^  rounds of dials; accepts at any time  │ ^──┘ of the one in use: Switched
//!    └───── lost or silent, no other ready ───┘
//! ```
//!
//! Both sides listen and dial. A connection is *ready* when an echo has come back on it. An echo is a frame, so the
//! opponent has then checked this side's key as well, whichever of the two dialled.
//!
//! One side is the chooser. It takes the first connection that is ready and says `Use` on it. The other side takes the
//! first that is ready as well, but keeps the others open until `Use`; then it drops all but the one that `Use` names.
//!
//! The chooser drops the others later, when the opponent has answered an echo that followed the `Use` on the connection
//! in use: sooner, the other side could lose the one it is on before it reads where to go. The same rule decides about
//! a connection that becomes ready while one is in use. It comes from an opponent that believes it has none, because it
//! was restarted, or because it had dialled before it read `Use`. If an echo that was sent on the connection in use
//! *after* the new one was ready is answered, the opponent is there, and the new one is dropped. If none is, the
//! connection in use ends or falls silent, and the new one takes its place. So the chooser never leaves a connection
//! that the opponent still answers on, and never drops the only one it answers on: the two cannot stay on different
//! ones, nor drive each other from one to the next.
//!
//! After each call that takes `now`, call `poll_effect` until `None`, then wait until `poll_timeout`.

mod dialing;
mod line;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use self::dialing::Dialing;
use self::line::Line;
use crate::model::limits::{HEALTHY_AFTER, PEER_CONNS_MAX, PEER_STALE_AFTER};
use crate::model::time::Now;

/// The direct link to the opponent in one match, pure.
#[derive(Clone, Debug)]
pub struct Peer {
    chooser: bool,
    state: State,
    /// All that are open, the newest last.
    lines: Vec<Line>,
    dialing: Dialing,
    effects: VecDeque<Effect>,
}

/// One attempt at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerDial(pub u64);

/// One connection, numbered by the shell; no number comes twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerConn(pub u64);

/// What the two machines say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// To be answered with the same number.
    Echo(u32),
    /// The answer.
    Echoed(u32),
    /// The chooser: this connection, and no other.
    Use,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Connect and do the TLS handshake; then `opened` or `failed`.
    Dial(PeerDial, SocketAddr),
    /// Stop a dial that is under way.
    Abandon(PeerDial),
    /// Send on a connection.
    Send(PeerConn, Frame),
    /// Close a connection; what comes on it after is ignored.
    Drop(PeerConn),
    /// There is a path.
    Up {
        /// Where to send.
        conn: PeerConn,
        /// How long there was none: since the loss, or since the match was taken up.
        after: Duration,
        /// Dials since then.
        attempts: u32,
    },
    /// The path goes over another connection, or the opponent's does, without a gap. What was sent on the one before may
    /// be lost, and its round trips say nothing about this one.
    Switched {
        /// Where to send from here on.
        conn: PeerConn,
    },
    /// The path is lost.
    Down {
        /// Over which it went.
        conn: PeerConn,
    },
    /// A round trip on the connection in use.
    RoundTrip(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down {
        since: Now,
    },
    /// `since`: when this connection was taken.
    Up {
        conn: PeerConn,
        since: Now,
    },
    Stopped,
}

impl Peer {
    /// Waits for candidates and for connections. `chooser`: whether this side's match key is the smaller one. `seed`
    /// spreads the rounds of the two over time.
    #[must_use]
    pub fn new(now: Now, seed: u64, chooser: bool) -> Self {
        Self {
            chooser,
            state: State::Down { since: now },
            lines: Vec::new(),
            dialing: Dialing::new(now, seed),
            effects: VecDeque::new(),
        }
    }

    /// Where the opponent may be, the likeliest first; it replaces what was said before. If that is something new and
    /// there is no path, a round begins at once.
    pub fn candidates(&mut self, now: Now, addrs: Vec<SocketAddr>) {
        let changed = self.dialing.candidates(addrs, &mut self.effects);
        match self.state {
            State::Down { .. } if changed => self.dialing.anew(now, &mut self.effects),
            State::Down { .. } | State::Up { .. } | State::Stopped => {}
        }
    }

    /// A connection is through TLS, with the opponent's key at the other end; `dial` made it, or it was accepted.
    pub fn opened(&mut self, now: Now, conn: PeerConn, dial: Option<PeerDial>) {
        let wanted = match (self.state, dial) {
            (State::Stopped, _) => false,
            (State::Down { .. } | State::Up { .. }, None) => true,
            // Late news of a dial already given up.
            (State::Down { .. } | State::Up { .. }, Some(dial)) => self.dialing.opened(now, dial, &mut self.effects),
        };
        if self.line(conn).is_some() {
            return;
        }
        if !wanted || !self.make_room(now) {
            self.effects.push_back(Effect::Drop(conn));
            return;
        }
        self.lines.push(Line::new(now, conn));
        self.echo(now);
    }

    /// A dial has failed.
    pub fn failed(&mut self, now: Now, dial: PeerDial) {
        self.dialing.failed(now, dial, &mut self.effects);
        self.go_on(now);
    }

    /// A frame came on a connection; `None` if it is not one of these.
    pub fn heard(&mut self, now: Now, conn: PeerConn, frame: Option<Frame>) {
        let Some(line) = self.line(conn) else {
            return;
        };
        line.heard = line.heard.max(now);
        match frame {
            Some(Frame::Echo(number)) => self.effects.push_back(Effect::Send(conn, Frame::Echoed(number))),
            Some(Frame::Echoed(number)) => self.echoed(now, conn, number),
            Some(Frame::Use) => self.named(now, conn),
            None => {}
        }
    }

    /// A connection has ended.
    pub fn lost(&mut self, now: Now, conn: PeerConn) {
        self.lines.retain(|line| line.conn != conn);
        self.settle(now);
        self.go_on(now);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        for line in self.lines.extract_if(.., |line| line.deadline() <= now) {
            self.effects.push_back(Effect::Drop(line.conn));
        }
        self.settle(now);
        self.echo(now);
        self.go_on(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Now {
        let lines = self.lines.iter().map(Line::timeout).min().unwrap_or(Now::NEVER);
        lines.min(self.dialing.timeout())
    }

    /// What to do next, until `None`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Whether there is a path: authenticated and echoed.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Where to send, if there is a path.
    #[must_use]
    pub const fn conn(&self) -> Option<PeerConn> {
        match self.state {
            State::Up { conn, .. } => Some(conn),
            State::Down { .. } | State::Stopped => None,
        }
    }

    /// Something has changed – the player typed, the server came back: dial at once if there is no path.
    pub fn wake(&mut self, now: Now) {
        match self.state {
            State::Down { .. } => self.dialing.wake(now, &mut self.effects),
            State::Up { .. } | State::Stopped => {}
        }
    }

    /// The match is over: drops everything and dials no more. Nothing is lost by that, so there is no `Down`.
    pub fn stop(&mut self) {
        self.state = State::Stopped;
        self.dialing.rest(&mut self.effects);
        self.effects.extend(self.lines.drain(..).map(|line| Effect::Drop(line.conn)));
    }

    fn line(&mut self, conn: PeerConn) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.conn == conn)
    }

    /// Makes room for one more connection, if need be at the cost of the one that has been silent for the longest: an
    /// opponent that was restarted comes back while its dead connections are still here. Those that are as fresh as
    /// the new one stay, else the two sides might drop each other's.
    fn make_room(&mut self, now: Now) -> bool {
        if self.lines.len() < PEER_CONNS_MAX {
            return true;
        }
        let used = self.conn();
        let stale = self.lines.iter().filter(|line| Some(line.conn) != used && line.heard + PEER_STALE_AFTER <= now);
        let Some(stale) = stale.min_by_key(|line| line.heard).map(|line| line.conn) else {
            return false;
        };
        self.lines.retain(|line| line.conn != stale);
        self.effects.push_back(Effect::Drop(stale));
        true
    }

    /// Sends the echoes that are due.
    fn echo(&mut self, now: Now) {
        for line in &mut self.lines {
            if let Some(number) = line.echo(now) {
                self.effects.push_back(Effect::Send(line.conn, Frame::Echo(number)));
            }
        }
    }

    fn echoed(&mut self, now: Now, conn: PeerConn, number: u32) {
        let Some(line) = self.line(conn) else {
            return;
        };
        let Some(sent) = line.echoed(number) else {
            return;
        };
        line.ready.get_or_insert(now);
        match self.state {
            State::Down { .. } => self.take(now, conn),
            State::Up { conn: used, since } if used == conn && since < sent => self.drop_rivals(conn, sent),
            State::Up { .. } | State::Stopped => {}
        }
        if self.conn() == Some(conn) {
            self.effects.push_back(Effect::RoundTrip(now.since(sent)));
        }
    }

    /// The chooser has decided. It has had an answer on this connection, so it works both ways.
    fn named(&mut self, now: Now, conn: PeerConn) {
        if self.chooser {
            return;
        }
        if let Some(line) = self.line(conn) {
            line.ready.get_or_insert(now);
        }
        self.effects.extend(self.lines.extract_if(.., |line| line.conn != conn).map(|line| Effect::Drop(line.conn)));
        if self.conn() == Some(conn) {
            // What was written over there before went another way, and may have been lost with it.
            self.effects.push_back(Effect::Switched { conn });
        } else {
            self.take(now, conn);
        }
    }

    /// Uses a connection that is ready.
    fn take(&mut self, now: Now, conn: PeerConn) {
        if self.chooser {
            self.effects.push_back(Effect::Send(conn, Frame::Use));
        }
        self.dialing.rest(&mut self.effects);
        self.effects.push_back(match self.state {
            State::Down { since } => Effect::Up { conn, after: now.since(since), attempts: self.dialing.attempts },
            State::Up { .. } | State::Stopped => Effect::Switched { conn },
        });
        self.state = State::Up { conn, since: now };
    }

    /// If the connection in use is gone, takes the newest that is ready, or is down.
    fn settle(&mut self, now: Now) {
        let State::Up { conn, since } = self.state else {
            return;
        };
        if self.line(conn).is_some() {
            return;
        }
        if let Some(other) = self.lines.iter().rfind(|line| line.ready.is_some()).map(|line| line.conn) {
            self.take(now, other);
            return;
        }
        self.state = State::Down { since: now };
        self.effects.push_back(Effect::Down { conn });
        self.dialing.lost(now, now.since(since) >= HEALTHY_AFTER);
    }

    fn go_on(&mut self, now: Now) {
        self.dialing.go_on(now, !self.lines.is_empty(), &mut self.effects);
    }

    /// The chooser: drops what was ready before the opponent read an echo that followed `Use`.
    fn drop_rivals(&mut self, used: PeerConn, read: Now) {
        if !self.chooser {
            return;
        }
        let rivals = |line: &mut Line| line.conn != used && line.ready.is_some_and(|ready| ready < read);
        self.effects.extend(self.lines.extract_if(.., rivals).map(|line| Effect::Drop(line.conn)));
    }
}
