//! Keeps the link to the server: dials, gives up, waits, dials again, for ever.
//!
//! ```text
//!   ┌──────────── lost, all dials failed ─────────────┐
//!   v                                                 │
//!  Down{retry_at} ──> Dialing ──ready──> Resuming ──> Live
//!                     (up to three side by side)
//! ```
//!
//! After each call that takes `now`, call `poll_effect` until `None`, then wait until `poll_timeout`.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::backoff::Backoff;
use crate::model::limits::{
    DIAL_FRESH, DIAL_MAX, DIAL_REACHED_WAIT, DIALS_MAX, HEALTHY_AFTER, RETRY_CAP_IDLE, RETRY_CAP_URGENT,
    RETRY_IDLE_AFTER, TELL_AFTER, WAKE_PAUSE,
};
use crate::model::time::Now;
use crate::mutant::{Mutant, is_on};

/// The link to the server, pure.
#[derive(Clone, Debug)]
pub struct Supervisor {
    link: Link,
    dials: Vec<Dial>,
    next_dial: u64,
    next_at: Now,
    /// When a dial was made, or is to be made, because the player typed.
    woken_at: Option<Now>,
    backoff: Backoff,
    urgent: bool,
    stopped: bool,
    outage: Option<Outage>,
    effects: VecDeque<Effect>,
}

/// One attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DialId(pub u64);

#[derive(Clone, Copy, Debug)]
struct Dial {
    id: DialId,
    since: Now,
    ends: Now,
    /// Whether something listens there.
    reached: Option<Now>,
}

/// Where the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Waiting for the next dial.
    Down,
    /// At least one dial is under way.
    Dialing,
    /// Connected to the right server; the session is being taken up.
    Resuming {
        /// Since when.
        since: Now,
    },
    /// In use.
    Live {
        /// Since when.
        since: Now,
    },
}

/// From the loss of a link to the next one that is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outage {
    since: Now,
    attempts: u32,
    told: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Dial: look up the name, connect, TLS, hello.
    Dial(DialId),
    /// Stop a dial that is under way.
    Abandon(DialId),
    /// Use the connection that a dial has made.
    Adopt(DialId),
    /// Drop the connection in use.
    Drop,
    /// The link has changed.
    Changed {
        /// To what.
        link: Link,
        /// How long there was none, when it is live again.
        outage: Option<Duration>,
        /// Dials since the link was lost.
        attempts: u32,
    },
    /// There has been no link for long: say once what is safe and where.
    Tell {
        /// For how long.
        outage: Duration,
    },
}

impl Supervisor {
    /// Wants a link from the start. `seed` spreads clients over time.
    #[must_use]
    pub fn new(now: Now, seed: u64) -> Self {
        Self {
            link: Link::Down,
            dials: Vec::new(),
            next_dial: 1,
            next_at: now,
            woken_at: None,
            backoff: Backoff::new(seed),
            urgent: false,
            stopped: false,
            outage: Some(Outage { since: now, attempts: 0, told: false }),
            effects: VecDeque::new(),
        }
    }

    /// Where the link is.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    /// When the next dial comes, and for how long there has been no link; for showing.
    #[must_use]
    pub fn outage(&self, now: Now) -> Option<(Duration, Duration)> {
        self.outage.map(|outage| (now.since(outage.since), self.next_at.since(now)))
    }

    /// Whether there is something to lose: it decides the cap of the waits.
    pub fn set_urgent(&mut self, now: Now, urgent: bool) {
        if urgent && !self.urgent && self.next_at != Now::NEVER {
            self.next_at = self.next_at.min(now + RETRY_CAP_URGENT);
        }
        self.urgent = urgent;
    }

    /// The player typed: dial at once, but not more often than every [`WAKE_PAUSE`].
    pub fn wake(&mut self, now: Now) {
        self.stopped = false;
        let at = self.woken_at.map_or(now, |woken| now.max(woken + WAKE_PAUSE));
        if matches!(self.link, Link::Down) && at < self.next_at {
            (self.next_at, self.woken_at) = (at, Some(at));
        }
    }

    /// The session was taken over elsewhere: do not fight for it; only [`wake`](Self::wake) dials again.
    pub fn stop(&mut self) {
        self.stopped = true;
        self.next_at = Now::NEVER;
    }

    /// A dial has reached something that listens. It may be held open for a server that is just starting, so the next
    /// dial beside it waits.
    pub fn reached(&mut self, now: Now, dial: DialId) {
        if let Some(dial) = self.dials.iter_mut().find(|known| known.id == dial) {
            dial.reached = Some(now);
            self.next_at = self.next_at.max(now + DIAL_REACHED_WAIT);
        }
    }

    /// A dial is ready for use. The first to be so wins.
    pub fn ready(&mut self, now: Now, dial: DialId) {
        if !self.knows(dial) {
            return;
        }
        self.dials.retain(|other| other.id != dial);
        let lost = if is_on(Mutant::AbandonedDialKept) { Vec::new() } else { std::mem::take(&mut self.dials) };
        for other in lost {
            self.effects.push_back(Effect::Abandon(other.id));
        }
        self.next_at = Now::NEVER;
        self.effects.push_back(Effect::Adopt(dial));
        self.change(Link::Resuming { since: now });
    }

    /// A dial has failed.
    pub fn failed(&mut self, now: Now, dial: DialId, retry_after: Duration) {
        let Some(at) = self.dials.iter().position(|known| known.id == dial) else {
            return;
        };
        let dial = self.dials.remove(at);
        let planned = self.next_at;
        if self.dials.is_empty() || dial.reached.is_some() {
            self.wait(now, retry_after);
        }
        if dial.reached.is_some() && retry_after.is_zero() {
            // Nobody holds it open any more: the next dial waits no longer than it would have beside this one.
            self.next_at = self.next_at.min(planned);
        }
        if self.dials.is_empty() {
            self.change(Link::Down);
        }
    }

    /// The session is up: the link is in use.
    pub fn live(&mut self, now: Now) {
        match self.link {
            Link::Resuming { .. } => self.change(Link::Live { since: now }),
            // Late news of a link already given up, or said twice.
            Link::Down | Link::Dialing | Link::Live { .. } => {}
        }
    }

    /// The connection in use is gone, or is to be given up.
    pub fn lost(&mut self, now: Now, retry_after: Duration) {
        match self.link {
            Link::Live { since } => {
                if now.since(since) >= HEALTHY_AFTER || is_on(Mutant::BackOffResetEarly) {
                    self.backoff.reset();
                }
                self.outage = Some(Outage { since: now, attempts: 0, told: false });
            }
            Link::Resuming { .. } => {}
            Link::Down | Link::Dialing => return,
        }
        self.effects.push_back(Effect::Drop);
        self.wait(now, retry_after);
        self.change(Link::Down);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        if let Link::Resuming { since } = self.link
            && since + DIAL_MAX <= now
        {
            self.lost(now, Duration::ZERO);
        }
        let late: Vec<DialId> = self.dials.iter().filter(|dial| dial.ends <= now).map(|dial| dial.id).collect();
        for dial in late {
            self.effects.push_back(Effect::Abandon(dial));
            self.failed(now, dial, Duration::ZERO);
        }
        if self.next_at <= now && matches!(self.link, Link::Down | Link::Dialing) {
            self.dial(now);
        }
        if let Some(outage) = self.outage.as_mut().filter(|outage| !outage.told && outage.since + TELL_AFTER <= now) {
            outage.told = true;
            let outage = now.since(outage.since);
            self.effects.push_back(Effect::Tell { outage });
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Now {
        let next_dial = match self.link {
            Link::Down | Link::Dialing => self.next_at,
            Link::Resuming { since } => since + DIAL_MAX,
            Link::Live { .. } => Now::NEVER,
        };
        let dials = self.dials.iter().map(|dial| dial.ends).min().unwrap_or(Now::NEVER);
        let tell = self.outage.filter(|outage| !outage.told).map_or(Now::NEVER, |outage| outage.since + TELL_AFTER);
        next_dial.min(dials).min(tell)
    }

    /// What to do next, until `None`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn knows(&self, dial: DialId) -> bool {
        self.dials.iter().any(|known| known.id == dial)
    }

    fn dial(&mut self, now: Now) {
        self.wait(now, Duration::ZERO);
        if self.dials.len() >= DIALS_MAX && !self.replace_newest(now) {
            return;
        }
        let id = DialId(self.next_dial);
        self.next_dial += 1;
        self.dials.push(Dial { id, since: now, ends: now + DIAL_MAX, reached: None });
        if let Some(outage) = &mut self.outage {
            outage.attempts = outage.attempts.saturating_add(1);
        }
        self.effects.push_back(Effect::Dial(id));
        self.change(Link::Dialing);
    }

    /// Gives up the newest dial for a fresh one, unless it is fresh itself, or has just reached somebody. What is sent
    /// into a network that is down may be lost for good, and who was reached may have fallen silent, so a network or a
    /// server that comes back must see a dial soon; the older dials keep their time, for one that is slow.
    fn replace_newest(&mut self, now: Now) -> bool {
        let is_old = |dial: &mut Dial| match dial.reached {
            None => dial.since + DIAL_FRESH <= now,
            Some(at) => at + DIAL_REACHED_WAIT <= now,
        };
        let Some(newest) = self.dials.pop_if(is_old) else {
            return false;
        };
        self.effects.push_back(Effect::Abandon(newest.id));
        true
    }

    /// Draws the moment of the next dial.
    fn wait(&mut self, now: Now, retry_after: Duration) {
        if self.stopped {
            return;
        }
        let long = self.outage.is_some_and(|outage| now.since(outage.since) >= RETRY_IDLE_AFTER);
        let urgent = if is_on(Mutant::BackOffCapWrong) { RETRY_CAP_URGENT * 4 } else { RETRY_CAP_URGENT };
        let cap = if long && !self.urgent { RETRY_CAP_IDLE } else { urgent };
        self.next_at = now + self.backoff.draw(cap).max(retry_after);
    }

    fn change(&mut self, link: Link) {
        if std::mem::discriminant(&self.link) == std::mem::discriminant(&link) {
            return;
        }
        self.link = link;
        let attempts = self.outage.map_or(0, |outage| outage.attempts);
        let outage = match link {
            Link::Live { since } => self.outage.take().map(|outage| since.since(outage.since)),
            Link::Down | Link::Dialing | Link::Resuming { .. } => None,
        };
        self.effects.push_back(Effect::Changed { link, outage, attempts });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the machine against a server that answers dials after `latency` once it is up at `up_at`; the time at
    /// which the link is live.
    fn comes_back(seed: u64, up_at: u64, urgent: bool) -> u64 {
        let mut supervisor = live_since_long(seed);
        supervisor.set_urgent(Now(100_000), urgent);
        supervisor.lost(Now(100_000), Duration::ZERO);
        let mut now = Now(100_000);
        loop {
            while let Some(effect) = supervisor.poll_effect() {
                match effect {
                    Effect::Dial(dial) if now.0 >= 100_000 + up_at => {
                        supervisor.ready(now, dial);
                        supervisor.live(now);
                        return now.0 - 100_000;
                    }
                    Effect::Dial(dial) => supervisor.failed(now, dial, Duration::ZERO),
                    Effect::Abandon(_)
                    | Effect::Adopt(_)
                    | Effect::Drop
                    | Effect::Changed { .. }
                    | Effect::Tell { .. } => {}
                }
            }
            assert!(supervisor.poll_timeout() > now || supervisor.poll_timeout() == now, "time does not run back");
            now = supervisor.poll_timeout().max(now);
            supervisor.handle_timeout(now);
        }
    }

    fn live_since_long(seed: u64) -> Supervisor {
        let mut supervisor = Supervisor::new(Now(0), seed);
        supervisor.handle_timeout(Now(0));
        supervisor.ready(Now(1), DialId(1));
        supervisor.live(Now(1));
        while supervisor.poll_effect().is_some() {}
        supervisor
    }

    #[test]
    fn comes_back_within_half_a_second_of_the_server_however_long_it_was_away() {
        for seed in 0..300 {
            for up_at in [0, 200, 1_000, 10_000, 3_600_000] {
                let back = comes_back(seed, up_at, true) - up_at;
                assert!(back <= 500, "seed {seed}: {back} ms after {up_at} ms");
            }
            assert!(comes_back(seed, 0, true) <= 50, "the first retry is quick");
            let idle = comes_back(seed, 3_600_000, false) - 3_600_000;
            assert!(idle <= 5_000, "seed {seed}: idle {idle} ms");
        }
    }

    #[test]
    fn a_dial_that_hangs_does_not_block_the_schedule_and_three_are_the_most() {
        let mut supervisor = Supervisor::new(Now(0), 1);
        let (mut most, mut begun, mut ended) = (0usize, 0u32, 0u32);
        let mut now = Now(0);
        while now < Now(20_000) {
            supervisor.handle_timeout(now);
            while let Some(effect) = supervisor.poll_effect() {
                begun += u32::from(matches!(effect, Effect::Dial(_)));
                ended += u32::from(matches!(effect, Effect::Abandon(_)));
            }
            most = most.max(supervisor.dials.len());
            now = supervisor.poll_timeout();
        }
        assert_eq!(most, DIALS_MAX);
        assert!(ended >= 9, "each dial ends after five seconds: {ended} of {begun}");
    }

    #[test]
    fn a_network_that_swallows_dials_sees_a_fresh_one_soon_after_it_is_back() {
        for seed in 0..300 {
            let mut supervisor = live_since_long(seed);
            supervisor.set_urgent(Now(100_000), true);
            supervisor.lost(Now(100_000), Duration::ZERO);
            let (mut now, mut last, mut widest) = (Now(100_000), Now(100_000), 0);
            let (mut begun, mut longest) = (std::collections::BTreeMap::new(), Duration::ZERO);
            while now < Now(130_000) {
                supervisor.handle_timeout(now);
                while let Some(effect) = supervisor.poll_effect() {
                    if let Effect::Dial(dial) = effect {
                        begun.insert(dial.0, now);
                        widest = widest.max(now.0 - last.0);
                        last = now;
                    } else if let Effect::Abandon(dial) = effect {
                        longest = longest.max(now.since(begun[&dial.0]));
                    }
                }
                now = supervisor.poll_timeout();
            }
            assert!(widest <= 750, "seed {seed}: no dial for {widest} ms");
            assert_eq!(longest, DIAL_MAX, "seed {seed}: some have all their time, for a slow network");
        }
    }

    #[test]
    fn the_first_dial_to_be_ready_wins_and_the_others_end() {
        let mut supervisor = Supervisor::new(Now(0), 1);
        let mut now = Now(0);
        while supervisor.dials.len() < 2 {
            supervisor.handle_timeout(now);
            now = supervisor.poll_timeout();
        }
        supervisor.ready(now, DialId(2));
        let effects: Vec<Effect> = std::iter::from_fn(|| supervisor.poll_effect()).collect();
        assert!(effects.contains(&Effect::Abandon(DialId(1))));
        assert!(effects.contains(&Effect::Adopt(DialId(2))));
        supervisor.ready(now, DialId(1));
        assert_eq!(supervisor.poll_effect(), None, "late news");
    }

    #[test]
    fn a_listener_that_is_held_open_is_not_dialled_twice_within_a_second() {
        let mut supervisor = Supervisor::new(Now(0), 1);
        supervisor.handle_timeout(Now(0));
        supervisor.reached(Now(1), DialId(1));
        assert_eq!(supervisor.poll_timeout(), Now(1_001));
    }

    #[test]
    fn whoever_was_reached_and_fell_silent_does_not_hold_up_the_next_dial() {
        let mut supervisor = Supervisor::new(Now(0), 1);
        supervisor.set_urgent(Now(0), true);
        while supervisor.dials.len() < DIALS_MAX {
            let next = supervisor.poll_timeout();
            supervisor.handle_timeout(next);
        }
        let all = supervisor.poll_timeout();
        (1..=DIALS_MAX as u64).for_each(|dial| supervisor.reached(all, DialId(dial)));
        while supervisor.poll_effect().is_some() {}
        supervisor.handle_timeout(supervisor.poll_timeout());
        let effects: Vec<Effect> = std::iter::from_fn(|| supervisor.poll_effect()).collect();
        assert!(effects.iter().any(|effect| matches!(effect, Effect::Dial(_))), "{effects:?}");
        assert_eq!(supervisor.dials.len(), DIALS_MAX);
    }

    #[test]
    fn whoever_was_reached_and_hung_up_does_not_hold_up_the_next_dial() {
        for seed in 0..300 {
            let mut supervisor = live_since_long(seed);
            supervisor.set_urgent(Now(100_000), true);
            supervisor.lost(Now(100_000), Duration::ZERO);
            while supervisor.dials.len() < 2 {
                supervisor.handle_timeout(supervisor.poll_timeout());
            }
            let [other, newest] = [supervisor.dials[0].id, supervisor.dials[1].id];
            let reached = supervisor.dials[1].since + Duration::from_millis(10);
            supervisor.reached(reached, newest);
            assert_eq!(supervisor.next_at, reached + DIAL_REACHED_WAIT);
            supervisor.failed(reached, newest, Duration::ZERO);
            assert!(supervisor.next_at <= reached + RETRY_CAP_URGENT, "seed {seed}: another is still under way");
            supervisor.reached(reached, other);
            let late = reached + DIAL_REACHED_WAIT - Duration::from_millis(1);
            supervisor.failed(late, other, Duration::ZERO);
            assert!(supervisor.next_at <= reached + DIAL_REACHED_WAIT, "seed {seed}: it was to come by then anyway");
        }
    }

    #[test]
    fn the_schedule_starts_anew_only_after_ten_seconds_of_health() {
        for (lived, anew) in [(9_999, false), (10_000, true)] {
            let mut supervisor = live_since_long(5);
            for _ in 0..8 {
                supervisor.backoff.draw(RETRY_CAP_URGENT);
            }
            supervisor.lost(Now(1 + lived), Duration::ZERO);
            let mut fresh = Backoff::new(0);
            fresh.draw(RETRY_CAP_URGENT);
            let first = supervisor.poll_timeout().since(Now(1 + lived));
            assert!(!anew || first <= Duration::from_millis(50));
        }
    }

    #[test]
    fn what_the_server_says_about_waiting_is_obeyed_and_typing_wakes_at_once() {
        let mut supervisor = live_since_long(1);
        supervisor.lost(Now(20_000), Duration::from_secs(3));
        assert!(supervisor.poll_timeout() >= Now(23_000));
        supervisor.wake(Now(20_100));
        assert_eq!(supervisor.poll_timeout(), Now(20_100));
    }

    #[test]
    fn who_types_all_the_time_dials_a_few_times_a_second() {
        let mut supervisor = live_since_long(1);
        supervisor.lost(Now(20_000), Duration::from_secs(60));
        let mut dials = 0;
        for at in (20_001..22_001).step_by(20) {
            supervisor.wake(Now(at));
            supervisor.handle_timeout(Now(at));
            while let Some(effect) = supervisor.poll_effect() {
                if let Effect::Dial(dial) = effect {
                    dials += 1;
                    supervisor.failed(Now(at), dial, Duration::from_secs(60));
                }
            }
        }
        assert_eq!(dials, 8, "at once, and then every {WAKE_PAUSE:?}");
    }

    #[test]
    fn the_player_is_told_once_after_three_minutes() {
        let mut supervisor = live_since_long(1);
        supervisor.lost(Now(20_000), Duration::ZERO);
        let mut told = Vec::new();
        let mut now = Now(20_000);
        while now < Now(600_000) {
            supervisor.handle_timeout(now);
            while let Some(effect) = supervisor.poll_effect() {
                match effect {
                    Effect::Dial(dial) => supervisor.failed(now, dial, Duration::ZERO),
                    Effect::Tell { .. } => told.push(now),
                    Effect::Abandon(_) | Effect::Adopt(_) | Effect::Drop | Effect::Changed { .. } => {}
                }
            }
            now = supervisor.poll_timeout();
        }
        assert_eq!(told, [Now(200_000)]);
    }

    #[test]
    fn an_outage_is_counted_from_the_loss_with_its_attempts() {
        let mut supervisor = live_since_long(2);
        supervisor.lost(Now(20_000), Duration::ZERO);
        let mut now = Now(20_000);
        let mut dials = 0;
        let (outage, attempts) = 'live: loop {
            now = supervisor.poll_timeout().max(now);
            supervisor.handle_timeout(now);
            while let Some(effect) = supervisor.poll_effect() {
                match effect {
                    Effect::Dial(dial) if dials == 3 => {
                        supervisor.ready(now, dial);
                        supervisor.live(now);
                    }
                    Effect::Dial(dial) => {
                        dials += 1;
                        supervisor.failed(now, dial, Duration::ZERO);
                    }
                    Effect::Changed { link: Link::Live { .. }, outage, attempts } => break 'live (outage, attempts),
                    Effect::Changed { .. }
                    | Effect::Abandon(_)
                    | Effect::Adopt(_)
                    | Effect::Drop
                    | Effect::Tell { .. } => {}
                }
            }
        };
        assert_eq!(attempts, 4);
        assert_eq!(outage, Some(now.since(Now(20_000))));
    }
}
