//! One connection between the players: its echoes and its silence.

use std::collections::VecDeque;

use super::PeerConn;
use crate::model::limits::{PEER_ECHOES_MAX, PROBE_EVERY, SILENCE_MATCH_MAX};
use crate::model::time::Now;
use crate::mutant::{Mutant, is_on};

/// A connection that is through TLS.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) conn: PeerConn,
    /// When something last came on it; at first, when it was opened.
    pub(super) heard: Now,
    /// Since when it may be used: an echo has come back on it.
    pub(super) ready: Option<Now>,
    echo_at: Now,
    number: u32,
    /// Echoes on their way, the oldest first.
    sent: VecDeque<(u32, Now)>,
}

impl Line {
    /// It has just been opened; an echo is due at once.
    pub(super) const fn new(now: Now, conn: PeerConn) -> Self {
        Self { conn, heard: now, ready: None, echo_at: now, number: 0, sent: VecDeque::new() }
    }

    /// The number of an echo, if one is due.
    pub(super) fn echo(&mut self, now: Now) -> Option<u32> {
        if now < self.echo_at {
            return None;
        }
        self.echo_at = now + PROBE_EVERY;
        self.number = self.number.wrapping_add(1);
        if self.sent.len() == PEER_ECHOES_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((self.number, now));
        Some(self.number)
    }

    /// An echo is back: when it was sent. More than one may be on its way, and they come back in their order.
    pub(super) fn echoed(&mut self, number: u32) -> Option<Now> {
        let at = self.sent.iter().position(|(sent, _)| *sent == number)?;
        self.sent.drain(..=at).next_back().map(|(_, sent_at)| sent_at)
    }

    /// When it is to be given up.
    pub(super) fn deadline(&self) -> Now {
        if is_on(Mutant::SilenceIgnoredBetweenPlayers) { Now::NEVER } else { self.heard + SILENCE_MATCH_MAX }
    }

    /// When something is due on it.
    pub(super) fn timeout(&self) -> Now {
        self.echo_at.min(self.deadline())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_due_at_once_and_then_every_quarter_second() {
        let mut line = Line::new(Now(5), PeerConn(1));
        assert_eq!(line.echo(Now(5)), Some(1));
        assert_eq!(line.echo(Now(254)), None);
        assert_eq!(line.echo(Now(255)), Some(2));
    }

    #[test]
    fn an_answer_measures_its_own_echo_and_counts_once() {
        let mut line = Line::new(Now(0), PeerConn(1));
        for at in [0, 250, 500] {
            line.echo(Now(at));
        }
        assert_eq!(line.echoed(7), None, "never sent");
        assert_eq!(line.echoed(2), Some(Now(250)), "slower than an echo is often");
        assert_eq!(line.echoed(2), None);
        assert_eq!(line.echoed(1), None, "answers do not overtake each other");
        assert_eq!(line.echoed(3), Some(Now(500)));
    }

    #[test]
    fn eight_unanswered_echoes_are_remembered() {
        let mut line = Line::new(Now(0), PeerConn(1));
        for at in 0..9 {
            line.echo(Now(at * 250));
        }
        let mut other = line.clone();
        assert_eq!(line.echoed(1), None);
        assert_eq!(other.echoed(2), Some(Now(250)));
    }
}
