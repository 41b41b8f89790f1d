//! Round trips of one path: what it takes now and what it usually takes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::limits::DELAYS_MAX;

/// The latest round trips of one path, the oldest forgotten first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    round_trips: VecDeque<Duration>,
}

impl Delays {
    /// One more was measured.
    pub fn push(&mut self, round_trip: Duration) {
        if self.round_trips.len() == DELAYS_MAX {
            self.round_trips.pop_front();
        }
        self.round_trips.push_back(round_trip);
    }

    /// The last three, or as many as there are, the oldest first.
    #[must_use]
    pub fn last3(&self) -> Vec<Duration> {
        self.round_trips.iter().skip(self.round_trips.len().saturating_sub(3)).copied().collect()
    }

    /// The middle one; of an even number the mean of the two in the middle.
    #[must_use]
    pub fn median(&self) -> Option<Duration> {
        let sorted = self.sorted();
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get(sorted.len().saturating_sub(1) / 2)?;
        Some((lower + upper) / 2)
    }

    /// The shortest that at least 95 of 100 do not pass (nearest rank).
    #[must_use]
    pub fn p95(&self) -> Option<Duration> {
        let sorted = self.sorted();
        let rank = (sorted.len() * 95).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).copied()
    }

    /// The mean absolute difference of consecutive round trips; two at least. The difference is what RFC 3550 means by
    /// jitter, but of round trips and over all that are held, not smoothed by a sixteenth at a time.
    #[must_use]
    pub fn jitter(&self) -> Option<Duration> {
        let later = self.round_trips.iter().skip(1);
        let sum: Duration = self.round_trips.iter().zip(later).map(|(one, next)| one.abs_diff(*next)).sum();
        let differences = u32::try_from(self.round_trips.len().checked_sub(1)?).ok()?;
        sum.checked_div(differences)
    }

    /// Forgets all: the path is another one.
    pub fn clear(&mut self) {
        self.round_trips.clear();
    }

    fn sorted(&self) -> Vec<Duration> {
        let mut sorted: Vec<Duration> = self.round_trips.iter().copied().collect();
        sorted.sort_unstable();
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn of(round_trips: &[u64]) -> Delays {
        let mut delays = Delays::default();
        round_trips.iter().for_each(|round_trip| delays.push(ms(*round_trip)));
        delays
    }

    #[test]
    fn nothing_is_known_before_the_first_and_after_all_is_forgotten() {
        let mut delays = of(&[4, 9]);
        delays.clear();
        assert_eq!(delays, Delays::default());
        assert!(delays.last3().is_empty());
        assert_eq!((delays.median(), delays.p95(), delays.jitter()), (None, None, None));
    }

    #[test]
    fn one_is_its_own_median_and_has_no_jitter() {
        let delays = of(&[7]);
        assert_eq!(delays.last3(), [ms(7)]);
        assert_eq!((delays.median(), delays.p95(), delays.jitter()), (Some(ms(7)), Some(ms(7)), None));
    }

    #[test]
    fn the_last_three_come_oldest_first() {
        assert_eq!(of(&[1, 2]).last3(), [ms(1), ms(2)]);
        assert_eq!(of(&[9, 3, 1, 2]).last3(), [ms(3), ms(1), ms(2)]);
    }

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_two() {
        assert_eq!(of(&[30, 10, 20]).median(), Some(ms(20)));
        assert_eq!(of(&[40, 10, 20, 30]).median(), Some(ms(25)));
        assert_eq!(of(&[1, 2]).median(), Some(Duration::from_micros(1_500)));
    }

    #[test]
    fn p95_is_passed_by_one_of_twenty() {
        let upwards: Vec<u64> = (1..=20).collect();
        assert_eq!(of(&upwards).p95(), Some(ms(19)));
        assert_eq!(of(&upwards[..19]).p95(), Some(ms(19)), "of nineteen none may pass it");
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(of(&hundred).p95(), Some(ms(95)));
    }

    #[test]
    fn jitter_is_the_mean_step_up_or_down() {
        assert_eq!(of(&[10, 14]).jitter(), Some(ms(4)));
        assert_eq!(of(&[10, 14, 12, 12]).jitter(), Some(ms(2)));
        assert_eq!(of(&[5, 5, 5]).jitter(), Some(ms(0)));
    }

    #[test]
    fn two_hundred_and_forty_are_kept_and_the_oldest_goes_first() {
        let mut delays = of(&[1_000]);
        (0..239).for_each(|_| delays.push(ms(1)));
        assert_eq!(delays.round_trips.len(), 240);
        assert_eq!(delays.round_trips.front(), Some(&ms(1_000)));
        delays.push(ms(1));
        assert_eq!(delays.round_trips.len(), 240);
        assert_eq!(delays.jitter(), Some(ms(0)), "the first is forgotten");
    }
}
