//! Watches the link of a client for its log: what was dialled when, and how each outage began and ended. Pure.
//!
//! What must hold: one outage for each time the session was taken up on a new connection; its cause is `restart` exactly
//! when the server has told another run before.

use std::time::Duration;

use crate::model::id::{Boot, SessionId};
use crate::model::limits::OUTAGE_WAITS_MAX;
use crate::model::outage::Cause;
use crate::model::time::{Now, ms};

/// What is known of the link.
#[derive(Debug)]
pub(super) struct Watch {
    down: Option<Down>,
    resuming: bool,
    cause: Option<Cause>,
    last: Option<(SessionId, Boot)>,
}

/// Since there has been no link.
#[derive(Debug)]
struct Down {
    since: Now,
    cause: Cause,
    attempts: u64,
    last: Now,
    waits_ms: Vec<u64>,
}

/// An outage that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    pub(super) cause: Cause,
    pub(super) length: Duration,
    pub(super) attempts: u64,
    /// Before each dial, the first of them only if there were many.
    pub(super) waits_ms: Vec<u64>,
}

/// A dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) attempt: u64,
    pub(super) waited: Duration,
}

impl Watch {
    pub(super) const fn new(now: Now) -> Self {
        Self { down: Some(Down::new(now, Cause::Started)), resuming: false, cause: None, last: None }
    }

    /// The session of the last link.
    pub(super) fn session(&self) -> Option<SessionId> {
        self.last.map(|(session, _)| session)
    }

    /// Why the link will be dropped, if it is: the first reason counts.
    pub(super) fn because(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    /// The link was dropped. Why, if that is news.
    pub(super) fn dropped(&mut self, now: Now) -> Option<Cause> {
        self.resuming = false;
        let cause = self.cause.take().unwrap_or(Cause::Silence);
        let news = self.down.is_none();
        self.down.get_or_insert_with(|| Down::new(now, cause));
        news.then_some(cause)
    }

    pub(super) fn dialled(&mut self, now: Now) -> Option<Retry> {
        let down = self.down.as_mut()?;
        let waited = now.since(down.last);
        down.last = now;
        down.attempts += 1;
        if down.waits_ms.len() < OUTAGE_WAITS_MAX {
            down.waits_ms.push(ms(waited));
        }
        Some(Retry { attempt: down.attempts, waited })
    }

    /// The server is asked for the session.
    pub(super) const fn resuming(&mut self) {
        self.resuming = true;
    }

    /// There is a session on a link; the outage, if it was one that had to be waited out.
    pub(super) fn live(&mut self, now: Now, session: SessionId, boot: Boot) -> Option<Outage> {
        self.cause = None;
        let before = self.last.replace((session, boot));
        let down = self.down.take()?;
        if !std::mem::take(&mut self.resuming) {
            return None;
        }
        let restarted = before.is_some_and(|(_, known)| known != boot);
        let cause = if restarted { Cause::Restart } else { down.cause };
        let Down { since, attempts, waits_ms, .. } = down;
        Some(Outage { cause, length: now.since(since), attempts, waits_ms })
    }
}

impl Down {
    const fn new(now: Now, cause: Cause) -> Self {
        Self { since: now, cause, attempts: 0, last: now, waits_ms: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: SessionId = SessionId([7; 16]);

    fn boot(number: u64) -> Boot {
        Boot { number, ..Boot::default() }
    }

    fn logged_in() -> Watch {
        let mut watch = Watch::new(Now(0));
        watch.dialled(Now(10));
        assert_eq!(watch.live(Now(50), ALICE, boot(1)), None, "a login is no outage");
        watch
    }

    #[test]
    fn an_outage_has_its_attempts_and_waits() {
        let mut watch = logged_in();
        watch.because(Cause::Reset);
        assert_eq!(watch.dropped(Now(1_000)), Some(Cause::Reset));
        watch.dialled(Now(1_020));
        let retry = watch.dialled(Now(1_100));
        assert_eq!(retry, Some(Retry { attempt: 2, waited: Duration::from_millis(80) }));
        watch.resuming();
        let outage = watch.live(Now(1_150), ALICE, boot(1)).unwrap();
        let length = Duration::from_millis(150);
        assert_eq!(outage, Outage { cause: Cause::Reset, length, attempts: 2, waits_ms: vec![20, 80] });
    }

    #[test]
    fn a_link_that_breaks_again_before_it_is_live_is_the_same_outage() {
        let mut watch = logged_in();
        assert_eq!(watch.dropped(Now(1_000)), Some(Cause::Silence), "nobody has said why");
        watch.resuming();
        watch.because(Cause::Reset);
        assert_eq!(watch.dropped(Now(1_500)), None);
        watch.resuming();
        let outage = watch.live(Now(2_000), ALICE, boot(1)).unwrap();
        assert_eq!((outage.cause, outage.length), (Cause::Silence, Duration::from_secs(1)));
    }

    #[test]
    fn another_run_of_the_server_is_the_cause_whatever_it_looked_like() {
        let mut watch = logged_in();
        watch.because(Cause::Reset);
        watch.dropped(Now(1_000));
        watch.resuming();
        assert_eq!(watch.live(Now(2_000), ALICE, boot(2)).unwrap().cause, Cause::Restart);
    }

    #[test]
    fn a_reason_does_not_outlive_the_link_it_was_for() {
        let mut watch = logged_in();
        watch.because(Cause::Refused);
        watch.live(Now(60), ALICE, boot(1));
        assert_eq!(watch.dropped(Now(1_000)), Some(Cause::Silence));
    }
}
