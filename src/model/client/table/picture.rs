//! A table as the model check tells it from another: what it will do, and nothing else.

use std::hash::{Hash, Hasher};

use super::Table;
use crate::model::check::ruling_number;
use crate::model::sign::Signed;
use crate::model::statement::{Promise, Ruling, Verdict};

impl Table {
    /// What is on disk as well.
    pub(crate) fn picture_on_disk(&self, to: &mut impl Hasher) {
        self.evidence.chain.head().hash(to);
        self.grant().epoch.hash(to);
        self.evidence.fouls.each_ref().map(Option::is_some).hash(to);
        (self.key.as_ref().map(super::SecretKey::public), self.wish).hash(to);
        self.promised.as_ref().map(|promise| (promise.body.epoch, promise.body.head)).hash(to);
        ruling_number(self.verdict.as_ref().map(|verdict| verdict.body.ruling)).hash(to);
        self.verdict.as_ref().map(|verdict| verdict.body.epoch).hash(to);
    }

    /// The receipts, which are shown and decide nothing.
    pub(crate) fn picture_of_receipts(&self, to: &mut impl Hasher) {
        for held in &self.evidence.receipts {
            held.as_ref().map(|held| (held.body().epoch, held.body().plies, held.body().head)).hash(to);
        }
    }

    /// What a crash forgets.
    pub(crate) fn picture_in_memory(&self, to: &mut impl Hasher) {
        (self.answered, self.awaited.map(|have| (have.epoch, have.head))).hash(to);
        let untold = self.untold.as_ref().map(|verdict| verdict.body.ruling);
        (ruling_number(untold), ruling_number(self.disputed)).hash(to);
        self.untold.as_ref().map(|verdict| verdict.body.epoch).hash(to);
    }

    /// Whether this device may sign.
    pub(crate) fn signs(&self) -> bool {
        self.may_sign().is_ok()
    }

    pub(crate) const fn promised(&self) -> Option<&Signed<Promise>> {
        self.promised.as_ref()
    }

    /// Forgets or remembers a promise: only for what must be found out.
    pub(crate) fn set_promised(&mut self, promise: Option<Signed<Promise>>) {
        self.promised = promise;
    }

    /// Believes what the server says: only for what must be found out.
    pub(crate) fn believe(&mut self, verdict: Signed<Verdict>) {
        self.shown = Some(verdict.body.ruling);
        self.verdict = Some(verdict);
    }

    /// As if another keeper had answered: only for what must be found out.
    pub(crate) fn set_answered(&mut self) {
        self.answered = true;
    }

    pub(crate) fn recorded(&self) -> Option<Ruling> {
        self.verdict.as_ref().map(|verdict| verdict.body.ruling)
    }
}
