//! Token buckets: how often something may be asked from one place. Pure, so they are simulated too.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::id::UserId;
use super::limits::{
    BUCKETS_MAX, FAILURES_PER_MINUTE_USER, LOGINS_BURST_IP, LOGINS_PER_MINUTE_IP, RESUMES_BURST_IP,
    RESUMES_PER_MINUTE_IP,
};
use super::time::{Now, ms};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// Logins and new accounts from one address (IPv6: from one /64).
    Login(IpAddr),
    /// Wrong passwords for one user.
    Failure(UserId),
    /// Resumes from one address.
    Resume(IpAddr),
}

/// All buckets.
#[derive(Clone, Debug, Default)]
pub struct Buckets {
    levels: BTreeMap<Counted, Level>,
}

/// Tokens are counted in milliseconds of refill, so that no fraction is lost.
#[derive(Clone, Copy, Debug)]
struct Level {
    spent_ms: u64,
    at: Now,
}

impl Counted {
    /// The network that one household or class has.
    #[must_use]
    pub fn network(ip: IpAddr) -> IpAddr {
        match ip.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        }
    }

    /// How many may come at once, and how long one token takes to come back.
    const fn rate(self) -> (u64, u64) {
        let (burst, per_minute) = match self {
            Self::Login(_) => (LOGINS_BURST_IP, LOGINS_PER_MINUTE_IP),
            Self::Failure(_) => (FAILURES_PER_MINUTE_USER, FAILURES_PER_MINUTE_USER),
            Self::Resume(_) => (RESUMES_BURST_IP, RESUMES_PER_MINUTE_IP),
        };
        (burst as u64, 60_000 / per_minute as u64)
    }
}

impl Buckets {
    /// Takes one token.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, now: Now, counted: Counted) -> Result<(), Duration> {
        self.check(now, counted)?;
        if self.levels.len() >= BUCKETS_MAX {
            self.forget(now);
        }
        let level = self.levels.entry(counted).or_insert(Level { spent_ms: 0, at: now });
        level.spent_ms = level.left(now) + counted.rate().1;
        level.at = now;
        Ok(())
    }

    /// Whether there is a token.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn check(&self, now: Now, counted: Counted) -> Result<(), Duration> {
        let (burst, token_ms) = counted.rate();
        let spent_ms = self.levels.get(&counted).map_or(0, |level| level.left(now));
        let over_ms = (spent_ms + token_ms).saturating_sub(burst * token_ms);
        if over_ms == 0 { Ok(()) } else { Err(Duration::from_millis(over_ms)) }
    }

    /// Forgets those that are full again, and if that is not enough the half that is nearest to it: only whoever
    /// spent least gains by that.
    fn forget(&mut self, now: Now) {
        self.levels.retain(|_, level| level.left(now) > 0);
        if self.levels.len() >= BUCKETS_MAX {
            let mut left: Vec<u64> = self.levels.values().map(|level| level.left(now)).collect();
            let middle = left.len() / 2;
            let (_, median, _) = left.select_nth_unstable(middle);
            let median = *median;
            let mut room = BUCKETS_MAX / 2;
            self.levels.retain(|_, level| {
                let keep = level.left(now) > median || room > 0;
                room -= usize::from(keep && room > 0);
                keep
            });
        }
    }
}

impl Level {
    fn left(self, now: Now) -> u64 {
        self.spent_ms.saturating_sub(ms(now.since(self.at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_may_log_in_at_once_and_then_20_a_minute() {
        let mut buckets = Buckets::default();
        let class = Counted::Login("10.0.0.1".parse().unwrap());
        for _ in 0..LOGINS_BURST_IP {
            assert_eq!(buckets.take(Now(5), class), Ok(()));
        }
        assert_eq!(buckets.take(Now(5), class), Err(Duration::from_secs(3)));
        assert_eq!(buckets.take(Now(5 + 2_999), class), Err(Duration::from_millis(1)));
        assert_eq!(buckets.take(Now(5 + 3_000), class), Ok(()));
        assert_eq!(buckets.take(Now(5), Counted::Login("10.0.0.2".parse().unwrap())), Ok(()));
    }

    #[test]
    fn a_whole_ipv6_network_shares_one_bucket_and_mapped_v4_is_v4() {
        let net = |text: &str| Counted::network(text.parse().unwrap());
        assert_eq!(net("2001:db8::1"), net("2001:db8::ffff:1"));
        assert_ne!(net("2001:db8::1"), net("2001:db8:0:1::1"));
        assert_eq!(net("::ffff:10.0.0.1"), net("10.0.0.1"));
    }

    #[test]
    fn memory_is_bounded_and_heavy_users_are_not_forgotten() {
        let mut buckets = Buckets::default();
        let heavy = Counted::Login("10.0.0.1".parse().unwrap());
        for _ in 0..LOGINS_BURST_IP {
            buckets.take(Now(0), heavy).unwrap();
        }
        for number in 0..u32::try_from(BUCKETS_MAX).unwrap() + 10 {
            let ip = IpAddr::V4((0x0b00_0000 + number).into());
            buckets.take(Now(0), Counted::Login(ip)).unwrap();
            assert!(buckets.levels.len() <= BUCKETS_MAX);
        }
        assert!(buckets.take(Now(0), heavy).is_err());
    }
}
