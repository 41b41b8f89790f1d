//! A server as the model check tells it from another: what it will do, and nothing else.

use std::hash::{Hash, Hasher};

use super::Engine;
use crate::model::check::ruling_number;
use crate::model::fact::Fact;
use crate::model::id::MatchId;

impl Engine {
    /// Everything about one match that decides what is said and done.
    pub(crate) fn picture(&self, match_id: MatchId, to: &mut impl Hasher) {
        if let Some(of) = self.state.game(match_id) {
            of.evidence.chain.head().hash(to);
            of.grant().epoch.hash(to);
            of.evidence.fouls.each_ref().map(Option::is_some).hash(to);
            (ruling_number(of.ruling), of.told, of.asked, of.recovering).hash(to);
        }
        ruling_number(self.state.settled(match_id).map(|settled| settled.ruling)).hash(to);
        // Whom it is offered to again on the next connection.
        self.state.accounts().map(|account| account.open.contains(&match_id)).collect::<Vec<_>>().hash(to);
        // What was shown counts for a match that waits for it, and from the loss on for one that will.
        if self.loss_known || self.state.lost().is_some() {
            (self.loss_known, self.shown.get(&match_id)).hash(to);
        }
        if !self.loss_known {
            self.sure.contains(&match_id).hash(to);
        }
    }

    /// Facts that no rule has let through: only for what must be found out.
    pub(crate) fn force(&mut self, facts: Vec<Fact>) {
        self.commit(facts);
    }
}
