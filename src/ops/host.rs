//! The clock and the entropy of the machine we run on.
#![allow(clippy::disallowed_methods, reason = "this is where the clock is read")]

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::time::{Clock, Entropy, Now, WallMs, ms};

/// The operating system's clock; monotonic time counts from when this was made. Under a paused runtime it is the
/// runtime's virtual time.
#[derive(Clone, Copy, Debug)]
pub struct HostClock {
    start: tokio::time::Instant,
}

/// The operating system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostEntropy;

impl HostClock {
    /// Counts from now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

/// Measures how long something takes, finer than a clock tells.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// So far.
    #[must_use]
    pub fn elapsed(self) -> std::time::Duration {
        self.0.elapsed()
    }
}

impl Clock for HostClock {
    fn now(&self) -> Now {
        Now(ms(self.start.elapsed()))
    }

    fn wall(&self) -> WallMs {
        WallMs(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, ms))
    }
}

impl Entropy for HostEntropy {
    /// # Panics
    /// If the operating system has no random numbers: nothing here can be safe then.
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives random numbers");
    }
}

/// Sleeps until a moment of `clock`, or for ever.
pub async fn sleep_until(clock: &dyn Clock, at: Now) {
    if at == Now::NEVER {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(at.since(clock.now())).await;
}
