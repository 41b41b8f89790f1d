//! How many connections there may be, in all and of strangers from one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::bucket::Counted;
use crate::model::limits::{CONNECTIONS_MAX, STRANGERS_PER_IP_MAX};

/// Counts connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    strangers: BTreeMap<IpAddr, usize>,
}

/// One connection, while it lives.
#[derive(Debug)]
pub(crate) struct Guest {
    doors: Doors,
    stranger: Option<IpAddr>,
}

impl Doors {
    /// Lets a connection in, or turns it away. This machine's own are not counted as strangers.
    pub(crate) fn enter(&self, ip: IpAddr) -> Option<Guest> {
        let network = Counted::network(ip);
        let stranger = (!network.is_loopback()).then_some(network);
        let mut counts = self.counts();
        if counts.all >= CONNECTIONS_MAX {
            return None;
        }
        if let Some(network) = stranger {
            let count = counts.strangers.entry(network).or_default();
            if *count >= STRANGERS_PER_IP_MAX {
                return None;
            }
            *count += 1;
        }
        counts.all += 1;
        Some(Guest { doors: self.clone(), stranger })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// It is a stranger no more.
    pub(crate) fn logged_in(&mut self) {
        let Some(network) = self.stranger.take() else { return };
        let mut counts = self.doors.counts();
        if let Some(count) = counts.strangers.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                counts.strangers.remove(&network);
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.logged_in();
        self.doors.counts().all -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_of_one_address_are_limited_and_places_come_back() {
        let doors = Doors::default();
        let ip = "10.0.0.1".parse().unwrap();
        let mut guests: Vec<Guest> = (0..STRANGERS_PER_IP_MAX).map(|_| doors.enter(ip).unwrap()).collect();
        assert!(doors.enter(ip).is_none());
        assert!(doors.enter("10.0.0.2".parse().unwrap()).is_some(), "others are not disturbed");
        guests[0].logged_in();
        guests.push(doors.enter(ip).unwrap());
        guests.clear();
        assert_eq!(doors.counts().all, 0);
        assert!(doors.counts().strangers.is_empty());
    }

    #[test]
    fn ten_thousand_are_the_most() {
        let doors = Doors::default();
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let guests: Vec<Guest> = (0..CONNECTIONS_MAX).map(|_| doors.enter(local).unwrap()).collect();
        assert!(doors.enter(local).is_none());
        drop(guests);
        assert!(doors.enter(local).is_some());
    }
}
