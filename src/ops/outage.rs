//! Outages as the server sees them. Pure.
//!
//! What must hold: one outage for each time a session is taken up again, whatever happened in between; its cause is
//! `restart` exactly when this run has not seen the session before.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::event::LinkEnd;
use crate::model::id::SessionId;
pub use crate::model::outage::Cause;
use crate::model::time::Now;

/// Who has lost its link, and who has one.
#[derive(Debug, Default)]
pub struct Outages {
    seen: BTreeMap<SessionId, Link>,
    /// Whether some sessions that were away were forgotten.
    forgetful: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Live,
    Lost { since: Now, cause: LinkEnd },
}

/// One outage, once it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Why.
    pub cause: Cause,
    /// For how long.
    pub length: Duration,
    /// Whether it was longer than can be known here.
    pub at_least: bool,
}

/// Sessions without a link that are remembered.
const LOST_MAX: usize = 65_536;

impl Outages {
    /// A session began, with a link.
    pub fn began(&mut self, session: SessionId) {
        self.seen.insert(session, Link::Live);
    }

    /// A session has no link any more.
    pub fn lost(&mut self, now: Now, session: SessionId, cause: LinkEnd) {
        if self.seen.len() >= LOST_MAX
            && let Some(longest) = self.longest_away()
        {
            self.seen.remove(&longest);
            self.forgetful = true;
        }
        self.seen.insert(session, Link::Lost { since: now, cause });
    }

    /// A session was taken up again.
    pub fn resumed(&mut self, now: Now, session: SessionId) -> Outage {
        match self.seen.insert(session, Link::Live) {
            Some(Link::Lost { since, cause }) => {
                Outage { cause: cause.into(), length: now.since(since), at_least: false }
            }
            Some(Link::Live) => Outage { cause: Cause::Replaced, length: Duration::ZERO, at_least: true },
            None if self.forgetful => Outage { cause: Cause::Unknown, length: Duration::ZERO, at_least: true },
            // It was lost before this run began.
            None => Outage { cause: Cause::Restart, length: now.since(Now(0)), at_least: true },
        }
    }

    fn longest_away(&self) -> Option<SessionId> {
        let lost = self.seen.iter().filter_map(|(session, link)| match link {
            Link::Lost { since, .. } => Some((*since, *session)),
            Link::Live => None,
        });
        lost.min().map(|(_, session)| session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: SessionId = SessionId([1; 16]);

    #[test]
    fn an_outage_has_the_cause_and_length_of_the_loss() {
        let mut outages = Outages::default();
        outages.began(ALICE);
        outages.lost(Now(5_000), ALICE, LinkEnd::Silence);
        let seen = outages.resumed(Now(5_700), ALICE);
        let length = Duration::from_millis(700);
        assert_eq!(seen, Outage { cause: Cause::Silence, length, at_least: false });
        assert_eq!(outages.resumed(Now(9_000), ALICE).cause, Cause::Replaced, "the old link was not found dead");
    }

    #[test]
    fn whoever_was_not_seen_in_this_run_comes_from_another() {
        let mut outages = Outages::default();
        let seen = outages.resumed(Now(80), ALICE);
        assert_eq!((seen.cause, seen.at_least), (Cause::Restart, true));
    }

    #[test]
    fn not_more_than_so_many_are_remembered() {
        let mut outages = Outages::default();
        let session = |number: usize| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(number as u64).to_le_bytes());
            SessionId(id)
        };
        for number in 0..=LOST_MAX {
            outages.lost(Now(number as u64), session(number), LinkEnd::Reset);
        }
        assert_eq!(outages.seen.len(), LOST_MAX);
        assert_eq!(outages.resumed(Now(1 << 20), session(0)).cause, Cause::Unknown);
        assert_eq!(outages.resumed(Now(1 << 20), session(1)).cause, Cause::Reset);
    }
}
