//! Heartbeats: the client pings, the server answers, and either gives up after silence.
//!
//! One side asking is enough for both: the server hears the pings, the client the answers.

use std::time::Duration;

use super::limits::{HEARTBEAT_IDLE, HEARTBEAT_MATCH, SILENCE_IDLE_MAX, SILENCE_MATCH_MAX};
use super::time::Now;

/// Watches one connection for silence.
#[derive(Clone, Debug)]
pub struct Silence {
    urgent: bool,
    heard: Now,
}

/// Says when to ping.
#[derive(Clone, Debug)]
pub struct Pulse {
    urgent: bool,
    due: Now,
    number: u32,
    sent_at: Now,
    waiting: bool,
}

impl Silence {
    /// A connection that has just come up.
    #[must_use]
    pub const fn new(now: Now) -> Self {
        Self { urgent: false, heard: now }
    }

    /// Something came.
    pub fn heard(&mut self, now: Now) {
        self.heard = self.heard.max(now);
    }

    /// Whether the user is in a match. The stricter limit counts from here.
    pub const fn set_urgent(&mut self, now: Now, urgent: bool) {
        if urgent && !self.urgent {
            self.heard = now;
        }
        self.urgent = urgent;
    }

    /// When the connection is to be given up.
    #[must_use]
    pub fn deadline(&self) -> Now {
        self.heard + if self.urgent { SILENCE_MATCH_MAX } else { SILENCE_IDLE_MAX }
    }
}

impl Pulse {
    /// A connection that has just come up: the first ping is due at once.
    #[must_use]
    pub const fn new(now: Now) -> Self {
        Self { urgent: false, due: now, number: 0, sent_at: now, waiting: false }
    }

    /// Whether the user is in a match. A ping is due at once when one begins: the other side has become strict.
    pub fn set_urgent(&mut self, now: Now, urgent: bool) {
        if urgent && !self.urgent {
            self.due = self.due.min(now);
        }
        self.urgent = urgent;
    }

    /// When the next ping is due.
    #[must_use]
    pub const fn due(&self) -> Now {
        self.due
    }

    /// The number to ping with, if one is due.
    pub fn ping(&mut self, now: Now) -> Option<u32> {
        if now < self.due {
            return None;
        }
        self.due = now + if self.urgent { HEARTBEAT_MATCH } else { HEARTBEAT_IDLE };
        self.number = self.number.wrapping_add(1);
        self.sent_at = now;
        self.waiting = true;
        Some(self.number)
    }

    /// An answer: the round trip, if it is to the last ping.
    pub fn pong(&mut self, now: Now, number: u32) -> Option<Duration> {
        let fits = self.waiting && number == self.number;
        self.waiting &= !fits;
        fits.then(|| now.since(self.sent_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_given_up_after_one_second_of_silence_and_not_before() {
        let mut silence = Silence::new(Now(0));
        assert_eq!(silence.deadline(), Now(15_000));
        silence.set_urgent(Now(100), true);
        assert_eq!(silence.deadline(), Now(1_100));
        silence.heard(Now(900));
        assert_eq!(silence.deadline(), Now(1_900));
        silence.set_urgent(Now(1_000), true);
        assert_eq!(silence.deadline(), Now(1_900), "saying it again changes nothing");
        silence.set_urgent(Now(1_000), false);
        assert_eq!(silence.deadline(), Now(15_900));
    }

    #[test]
    fn pings_come_at_once_when_a_match_begins_and_then_every_quarter_second() {
        let mut pulse = Pulse::new(Now(0));
        assert_eq!(pulse.ping(Now(0)), Some(1));
        assert_eq!(pulse.ping(Now(4_999)), None);
        pulse.set_urgent(Now(1_000), true);
        assert_eq!(pulse.ping(Now(1_000)), Some(2));
        assert_eq!(pulse.due(), Now(1_250));
        assert_eq!(pulse.pong(Now(1_012), 1), None, "an old answer measures nothing");
        assert_eq!(pulse.pong(Now(1_012), 2), Some(Duration::from_millis(12)));
        assert_eq!(pulse.pong(Now(1_013), 2), None, "an answer counts once");
    }
}
