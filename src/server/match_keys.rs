//! The keys by which a connection checks what its player sends, learned from what the engine sends to it.
//!
//! Invariant: bounded. Open matches are bounded by the engine, their epochs by [`EPOCHS_MAX`], decided ones by [`DECIDED_MAX`]: who comes later with one of those brings its grants.

use std::collections::{BTreeMap, VecDeque};

use crate::model::id::MatchId;
use crate::model::key::PublicKey;
use crate::model::limits::EPOCHS_MAX;
use crate::model::statement::Grant;

/// The keys of X and O in each epoch of each match that was shown on a connection.
#[derive(Debug, Default)]
pub(super) struct MatchKeys {
    epochs: BTreeMap<MatchId, BTreeMap<u32, [PublicKey; 2]>>,
    /// Matches that have their verdict, the oldest first.
    decided: VecDeque<MatchId>,
}

/// Decided matches whose keys are remembered.
const DECIDED_MAX: usize = 16;

impl MatchKeys {
    /// A new picture of all that is open.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A grant was shown.
    pub(super) fn learn(&mut self, grant: &Grant) {
        let epochs = self.epochs.entry(grant.match_id).or_default();
        epochs.insert(grant.epoch, grant.keys);
        if epochs.len() > EPOCHS_MAX {
            epochs.pop_first();
        }
    }

    /// A verdict was shown.
    pub(super) fn decided(&mut self, match_id: MatchId) {
        if !self.epochs.contains_key(&match_id) || self.decided.contains(&match_id) {
            return;
        }
        self.decided.push_back(match_id);
        if self.decided.len() > DECIDED_MAX
            && let Some(oldest) = self.decided.pop_front()
        {
            self.epochs.remove(&oldest);
        }
    }

    /// Whether anything is known of a match.
    pub(super) fn knows(&self, match_id: MatchId) -> bool {
        self.epochs.contains_key(&match_id)
    }

    /// The keys of X and O in an epoch.
    pub(super) fn of(&self, match_id: MatchId, epoch: u32) -> Option<[PublicKey; 2]> {
        self.epochs.get(&match_id)?.get(&epoch).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::Players;

    #[test]
    fn decided_matches_and_old_epochs_are_forgotten_and_open_ones_are_not() {
        let mut keys = MatchKeys::default();
        let grants: Vec<Grant> = (1..=40).map(|number| Players::new(number).grant()).collect();
        grants.iter().for_each(|grant| keys.learn(grant));
        for grant in &grants[1..] {
            keys.decided(grant.match_id);
            keys.decided(grant.match_id);
        }
        let known: Vec<bool> = grants.iter().map(|grant| keys.knows(grant.match_id)).collect();
        assert!(known[0], "an open one stays");
        assert_eq!(known.iter().filter(|known| **known).count(), 1 + DECIDED_MAX);
        assert!(known[39], "the newest are known");
        for epoch in 1..=200 {
            keys.learn(&Grant { epoch, ..grants[0].clone() });
        }
        assert_eq!(keys.of(grants[0].match_id, 200), Some(grants[0].keys));
        assert_eq!(keys.of(grants[0].match_id, 200 - 64), None);
        keys.decided(Players::new(99).grant().match_id);
        assert_eq!(keys.decided.len(), DECIDED_MAX, "what was never shown is nothing");
    }
}
