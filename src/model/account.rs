//! Accounts and sessions, as the state holds them.

use std::collections::{BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::id::{MatchId, Name, RequestSeq, Run, SessionId, UserId};
use super::key::PublicKey;
use super::limits::{ANSWERS_MAX, RUNS_MAX};
use super::password::PasswordHash;
use super::statement::Fared;
use super::time::{UptimeMs, WallMs};
use crate::mutant::{Mutant, is_on};

/// One player.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// For good.
    pub user: UserId,
    /// As chosen.
    pub name: Name,
    /// Hashed.
    pub password: PasswordHash,
    /// The request that made it.
    pub origin: Option<(Run, RequestSeq)>,
    /// When it was made.
    pub since: WallMs,
    /// Points it started with.
    pub imported: u32,
    /// What the verdicts gave.
    pub tally: Tally,
    /// The one session, if logged in.
    pub session: Option<SessionId>,
    /// The match it is seated in; one at a time.
    pub seated: Option<MatchId>,
    /// Every match that is unfinished, or whose verdict this player does not have on disk yet.
    pub open: BTreeSet<MatchId>,
}

/// Results of one player: the fold of the verdicts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Sum of credits.
    pub points: u32,
    /// Matches won.
    pub wins: u32,
    /// Matches drawn.
    pub draws: u32,
    /// Matches lost.
    pub losses: u32,
}

/// One login on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// The key that resumes it.
    pub device: PublicKey,
    /// When somebody was last seen with it.
    pub seen: UptimeMs,
    /// Requests carried out, by run of the client, the newest run last.
    pub answered: VecDeque<(Run, VecDeque<RequestSeq>)>,
}

impl Account {
    /// All points.
    #[must_use]
    pub const fn points(&self) -> u32 {
        self.imported.saturating_add(self.tally.points)
    }
}

impl Tally {
    /// Adds one result, or takes it away again.
    pub fn count(&mut self, fared: Fared, credit: u32, add: bool) {
        let step = |number: &mut u32, by: u32| {
            *number = if add { number.saturating_add(by) } else { number.saturating_sub(by) };
        };
        step(&mut self.points, credit);
        match fared {
            Fared::Win => step(&mut self.wins, 1),
            Fared::Draw => step(&mut self.draws, 1),
            Fared::Loss => step(&mut self.losses, 1),
            Fared::Void => {}
        }
    }
}

impl Session {
    /// Whether this request was carried out.
    #[must_use]
    pub fn has_answered(&self, run: Run, seq: RequestSeq) -> bool {
        self.answered.iter().any(|(of, seqs)| *of == run && seqs.contains(&seq))
    }

    /// Remembers that it was; the oldest request, and the oldest run, are forgotten past the limits.
    pub fn answer(&mut self, run: Run, seq: RequestSeq) {
        if !self.answered.iter().any(|(of, _)| *of == run) {
            if self.answered.len() == RUNS_MAX && !is_on(Mutant::AnswersUnbounded) {
                self.answered.pop_front();
            }
            self.answered.push_back((run, VecDeque::new()));
        }
        let seqs = self.answered.iter_mut().find_map(|(of, seqs)| (*of == run).then_some(seqs));
        let seqs = seqs.expect("the run was added above");
        if seqs.len() == ANSWERS_MAX && !is_on(Mutant::AnswersUnbounded) {
            seqs.pop_front();
        }
        seqs.push_back(seq);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_64_answers_of_the_last_two_runs_are_remembered() {
        let mut session = Session {
            session: SessionId([0; 16]),
            user: UserId([0; 16]),
            device: PublicKey([0; 32]),
            seen: UptimeMs(0),
            answered: VecDeque::new(),
        };
        (1..=65).for_each(|seq| session.answer(Run(1), RequestSeq(seq)));
        assert!(!session.has_answered(Run(1), RequestSeq(1)));
        assert!(session.has_answered(Run(1), RequestSeq(2)));
        session.answer(Run(2), RequestSeq(1));
        assert!(session.has_answered(Run(1), RequestSeq(65)));
        session.answer(Run(3), RequestSeq(1));
        assert!(!session.has_answered(Run(1), RequestSeq(65)));
        assert!(session.has_answered(Run(2), RequestSeq(1)));
    }
}
