//! The supervisor's schedule: full jitter under one of two caps, seeded.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::limits::{RETRY_BASE, RETRY_FIRST_MAX};
use super::time::ms;
use crate::mutant::{Mutant, is_on};

/// Draws one wait after another.
#[derive(Clone, Debug)]
pub struct Backoff {
    random: ChaCha8Rng,
    attempt: u32,
}

impl Backoff {
    /// Starts at the shortest wait.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), attempt: 0 }
    }

    /// The next wait: 0 to 50 ms at first, then 0 to `min(cap, base · 2^attempt)`.
    pub fn draw(&mut self, cap: Duration) -> Duration {
        let doubled = RETRY_BASE.saturating_mul(1 << self.attempt.min(16));
        let max = if self.attempt == 0 || is_on(Mutant::NoBackOff) { RETRY_FIRST_MAX } else { doubled.min(cap) };
        self.attempt = self.attempt.saturating_add(1);
        Duration::from_millis(self.random.next_u64() % (ms(max) + 1))
    }

    /// Starts anew.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::limits::{RETRY_CAP_IDLE, RETRY_CAP_URGENT};

    #[test]
    fn the_first_wait_is_at_most_50_ms_and_no_wait_passes_the_cap() {
        for seed in 0..200 {
            let mut backoff = Backoff::new(seed);
            assert!(backoff.draw(RETRY_CAP_IDLE) <= RETRY_FIRST_MAX);
            let waits: Vec<Duration> = (0..20).map(|_| backoff.draw(RETRY_CAP_URGENT)).collect();
            assert!(waits.iter().all(|wait| *wait <= RETRY_CAP_URGENT));
            assert!(waits[0] <= RETRY_BASE * 2);
            backoff.reset();
            assert!(backoff.draw(RETRY_CAP_IDLE) <= RETRY_FIRST_MAX);
        }
    }

    #[test]
    fn clients_spread_over_the_whole_range() {
        let waits: Vec<u64> = (0..400)
            .map(|seed| {
                let mut backoff = Backoff::new(seed);
                (0..5).map(|_| backoff.draw(RETRY_CAP_URGENT)).last().map_or(0, ms)
            })
            .collect();
        let mean = waits.iter().sum::<u64>() / 400;
        assert!((200..300).contains(&mean), "mean wait {mean} ms");
    }

    #[test]
    fn one_seed_gives_one_schedule() {
        let draw = |seed| (0..9).scan(Backoff::new(seed), |b, _| Some(b.draw(RETRY_CAP_IDLE))).collect::<Vec<_>>();
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
