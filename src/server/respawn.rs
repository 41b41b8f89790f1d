//! When a worker that ended is started again: the pure part of `rejoin server --supervise`.
//!
//! What must hold: a worker that dies is back at once; one that cannot live is not started in a storm; one that must
//! not go on (damaged state, wrong usage) is not started again.

use std::fmt;
use std::time::Duration;

use crate::model::time::Now;

/// How a worker ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(i32),
    /// It did not even begin.
    NotStarted(String),
}

/// What to do after an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start the next worker.
    Start {
        /// After this wait.
        after: Duration,
    },
    /// End as well, with this exit code.
    End {
        /// 0 when all went well.
        code: u8,
    },
}

/// The policy, fed with every start and end.
#[derive(Clone, Debug, Default)]
pub struct Respawn {
    started: Option<Now>,
    deaths_quick: u32,
    stopping: bool,
}

impl Respawn {
    /// A worker runs.
    pub fn started(&mut self, now: Now) {
        self.started = Some(now);
    }

    /// Somebody asked the worker to stop: whatever its end is, none follows.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// The worker ended.
    pub fn ended(&mut self, now: Now, exit: &Exit) -> Next {
        let lived = self.started.take().map_or(Duration::ZERO, |started| now.since(started));
        if self.stopping || matches!(exit, Exit::Code(CODE_OK | CODE_USAGE | CODE_DAMAGED)) {
            return Next::End { code: exit.code() };
        }
        self.deaths_quick = if lived < LIFE_HEALTHY { self.deaths_quick.saturating_add(1) } else { 0 };
        Next::Start { after: wait(self.deaths_quick) }
    }
}

impl Exit {
    /// The code with which the parent passes this end on.
    const fn code(&self) -> u8 {
        match self {
            Self::Code(code) => *code,
            Self::Signal(_) | Self::NotStarted(_) => CODE_FAILED,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(to, "ended with code {code}"),
            Self::Signal(signal) => write!(to, "was killed by signal {signal}"),
            Self::NotStarted(why) => write!(to, "could not be started: {why}"),
        }
    }
}

impl fmt::Display for Next {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { after: Duration::ZERO } => write!(to, "the next starts at once"),
            Self::Start { after } => write!(to, "the next starts in {after:?}"),
            Self::End { .. } => write!(to, "none follows"),
        }
    }
}

fn wait(deaths_quick: u32) -> Duration {
    match deaths_quick.checked_sub(DEATHS_FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => WAIT_BASE.saturating_mul(2_u32.saturating_pow(doublings)).min(WAIT_MAX),
    }
}

/// A worker that lived this long was well started; its death is not counted.
const LIFE_HEALTHY: Duration = Duration::from_secs(1);
/// So many quick deaths in a row cost no wait.
const DEATHS_FREE: u32 = 5;
/// The wait after one quick death more; it doubles with each.
const WAIT_BASE: Duration = Duration::from_millis(250);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(5);

// The exit codes of `rejoin` that this policy knows.
const CODE_OK: u8 = 0;
const CODE_FAILED: u8 = 1;
const CODE_USAGE: u8 = 2;
const CODE_DAMAGED: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Exit = Exit::Signal(9);

    /// One life of this length, from `now` on; moves `now` to its end.
    fn live(respawn: &mut Respawn, now: &mut Now, length: Duration, exit: &Exit) -> Next {
        respawn.started(*now);
        *now = *now + length;
        respawn.ended(*now, exit)
    }

    fn waits(respawn: &mut Respawn, now: &mut Now, deaths: usize) -> Vec<u64> {
        let wait = |next| match next {
            Next::Start { after } => u64::try_from(after.as_millis()).unwrap(),
            Next::End { code } => panic!("ended with {code}"),
        };
        (0..deaths).map(|_| wait(live(respawn, now, Duration::from_millis(999), &KILLED))).collect()
    }

    #[test]
    fn the_sixth_quick_death_in_a_row_costs_a_wait_that_doubles_up_to_five_seconds() {
        let (mut respawn, mut now) = (Respawn::default(), Now(7));
        let waited = waits(&mut respawn, &mut now, 12);
        assert_eq!(waited, [0, 0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 5000, 5000]);
    }

    #[test]
    fn a_healthy_life_forgets_the_quick_deaths_before() {
        let (mut respawn, mut now) = (Respawn::default(), Now(7));
        waits(&mut respawn, &mut now, 9);
        let next = live(&mut respawn, &mut now, LIFE_HEALTHY, &KILLED);
        assert_eq!(next, Next::Start { after: Duration::ZERO });
        assert_eq!(waits(&mut respawn, &mut now, 6), [0, 0, 0, 0, 0, 250]);
    }

    #[test]
    fn only_a_good_end_wrong_usage_and_damaged_state_are_final() {
        for code in 0..=u8::MAX {
            let next = live(&mut Respawn::default(), &mut Now(0), Duration::ZERO, &Exit::Code(code));
            let ends = matches!(code, 0 | 2 | 7);
            assert_eq!(next, if ends { Next::End { code } } else { Next::Start { after: Duration::ZERO } });
        }
    }

    #[test]
    fn a_worker_that_cannot_be_started_is_tried_again_with_growing_waits() {
        let mut respawn = Respawn::default();
        let missing = Exit::NotStarted("no such file".to_owned());
        let nexts: Vec<_> = (0..6).map(|_| respawn.ended(Now(0), &missing)).collect();
        assert_eq!(nexts[4..], [Duration::ZERO, WAIT_BASE].map(|after| Next::Start { after }));
    }

    #[test]
    fn after_a_request_to_stop_every_end_is_final() {
        for (exit, code) in [(Exit::Code(0), 0), (Exit::Code(1), 1), (KILLED, 1)] {
            let mut respawn = Respawn::default();
            respawn.started(Now(0));
            respawn.stop();
            assert_eq!(respawn.ended(Now(1), &exit), Next::End { code });
        }
    }

    #[test]
    fn a_very_long_row_of_deaths_does_not_overflow() {
        let mut respawn = Respawn { deaths_quick: u32::MAX, ..Respawn::default() };
        assert_eq!(respawn.ended(Now(0), &KILLED), Next::Start { after: WAIT_MAX });
    }
}
