//! When matches went on after a moment, read from the history as it grows.

use std::collections::{BTreeMap, BTreeSet};

use crate::chaos::history::{Record, Told, What, player_of};

/// The matches under way at a moment, and how long after it each went on – a move was newly acknowledged – or was over at
/// both.
///
/// What must hold: each line is looked at once; and who is told of a result before the match is shown once more does not
/// wait for a second result, which never comes.
pub(super) struct Course {
    at_ms: u64,
    /// Lines that were looked at.
    read: usize,
    /// By match, who was told of a recorded result.
    open: BTreeMap<String, BTreeSet<String>>,
    over: BTreeSet<String>,
    acknowledged: BTreeSet<(String, u16)>,
    took: BTreeMap<String, u64>,
}

impl Course {
    /// Nothing read so far.
    pub(super) fn since(at_ms: u64) -> Self {
        let (open, over) = (BTreeMap::new(), BTreeSet::new());
        Self { at_ms, read: 0, open, over, acknowledged: BTreeSet::new(), took: BTreeMap::new() }
    }

    /// Looks at the lines that are new.
    pub(super) fn read(&mut self, history: &[Record]) {
        for record in &history[self.read..] {
            if let What::Told { told } = &record.what {
                self.told(player_of(&record.who), told, record.at_ms.checked_sub(self.at_ms));
            }
        }
        self.read = history.len();
    }

    /// Whether each match has gone on or is over.
    pub(super) fn all_settled(&self) -> bool {
        self.open.keys().all(|match_id| self.took.contains_key(match_id))
    }

    /// How long each took.
    pub(super) fn settled_ms(&self) -> BTreeMap<String, Option<u64>> {
        let open = self.open.keys().map(|match_id| (match_id.clone(), self.took.get(match_id).copied()));
        open.collect()
    }

    fn told(&mut self, player: &str, told: &Told, after: Option<u64>) {
        #[allow(clippy::wildcard_enum_match_arm, reason = "of all that can be told three lines are about this")]
        match told {
            Told::Match { match_id, .. } if after.is_none() && !self.over.contains(match_id) => {
                self.open.entry(match_id.clone()).or_default();
            }
            Told::Move { match_id, ply, acknowledged: true, .. } => {
                let is_new = self.acknowledged.insert((match_id.clone(), *ply));
                if let Some(after) = after.filter(|_| is_new && self.open.contains_key(match_id)) {
                    self.took.entry(match_id.clone()).or_insert(after);
                }
            }
            Told::Result { match_id, recorded: true, .. } => {
                let Some(at) = self.open.get_mut(match_id) else { return };
                at.insert(player.to_owned());
                if at.len() < 2 {
                    return;
                }
                if let Some(after) = after {
                    self.took.entry(match_id.clone()).or_insert(after);
                } else {
                    self.open.remove(match_id);
                    self.over.insert(match_id.clone());
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_that_is_over_and_shown_once_more_is_not_waited_for() {
        let told = |at_ms, who: &str, told| Record { at_ms, who: who.to_owned(), what: What::Told { told } };
        let seat = || Told::Match {
            match_id: "m".to_owned(),
            you: "X".to_owned(),
            opponent: "p1".to_owned(),
            game: "tictactoe".to_owned(),
        };
        let result = || Told::Result {
            match_id: "m".to_owned(),
            outcome: "draw".to_owned(),
            why: "board".to_owned(),
            agreed: true,
            recorded: true,
        };
        let mut history = vec![told(1, "p0", seat()), told(2, "p0", result())];
        let mut course = Course::since(10);
        course.read(&history);
        assert!(!course.all_settled(), "the other has not heard of it");
        history.extend([told(3, "p1", result()), told(4, "p1", seat())]);
        course.read(&history);
        assert!(course.all_settled());
        assert_eq!(course.settled_ms(), BTreeMap::new());
        history.extend([told(11, "p0", seat())]);
        course.read(&history);
        assert!(course.all_settled(), "what began later is not asked for");
    }
}
