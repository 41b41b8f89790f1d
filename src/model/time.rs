//! Time is an argument, never read.

use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since this process started, monotonic. Differences of two are durations; it means nothing in another
/// process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now(pub u64);

/// Milliseconds of wall-clock time since 1970, for people to read. It decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallMs(pub u64);

/// Milliseconds this server's state has been served, summed over all its runs: what long expiries are counted in, so
/// that downtime is never charged to anybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UptimeMs(pub u64);

impl Now {
    /// A moment that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Now {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(ms(length)))
    }
}

impl Sub<Duration> for Now {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(ms(length)))
    }
}

/// Whole milliseconds of a duration.
#[must_use]
pub fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// The clock of a shell: the seam between the model and the host's time.
pub trait Clock: Send + Sync {
    /// Monotonic, from the start of the process.
    fn now(&self) -> Now;
    /// The wall clock.
    fn wall(&self) -> WallMs;
}

/// Where a shell draws random bytes: the operating system in the product, a seed in the simulation.
pub trait Entropy: Send + Sync {
    /// Fills all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}
