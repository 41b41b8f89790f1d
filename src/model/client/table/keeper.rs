//! What the other keepers say, and what is said to them.

use super::{Effect, Table, show};
use crate::model::client::event::Event;
use crate::model::client::record::MatchRecord;
use crate::model::evidence::{Evidence, Keeper, Merge, Step};
use crate::model::games::Seat;
use crate::model::key::PublicKey;
use crate::model::message::{Entries, Have, KeeperMessage, Proofs, ToServer};
use crate::model::sign::{Signed, Verified};
use crate::model::statement::{Entry, Foul, Grant, Held, Ruling, Verdict};
use crate::model::time::WallMs;
use crate::model::transcript::Unplayable;
use crate::mutant::{Mutant, is_on};

impl Table {
    /// What another keeper says.
    pub fn on_keeper(&mut self, message: KeeperMessage, at: WallMs) -> Vec<Effect> {
        match message {
            KeeperMessage::Have(have) => self.on_have(&have, at),
            KeeperMessage::Entries(Entries { grants, entries, .. }) => self.on_entries(grants, entries, at),
            KeeperMessage::Held { keeper, held } => self.on_held(keeper, held),
            KeeperMessage::Evidence(Proofs { fouls, .. }) => self.on_proofs(fouls),
            KeeperMessage::Verdict(verdict) => self.on_verdict(verdict),
            // For the server alone.
            KeeperMessage::Promise(_) => Vec::new(),
        }
    }

    /// It says how much it holds: it is sent what it lacks.
    fn on_have(&mut self, have: &Have, at: WallMs) -> Vec<Effect> {
        let chain = &self.evidence.chain;
        let ahead = have.epoch > chain.grant().epoch || have.head.plies > chain.plies();
        if ahead {
            self.awaited = Some(*have);
        } else {
            self.answered = true;
        }
        // Who has no file has nothing to offer, and what it lacks is on its way.
        if self.key.is_none() || is_on(Mutant::LacksNotSent) {
            return Vec::new();
        }
        let (grants, entries) = self.evidence.news_for(have.epoch, have.head);
        let mut effects: Vec<Effect> = self.entries_out(&grants, &entries).into_iter().map(answer).collect();
        effects.extend(self.proofs_out().map(answer));
        effects.extend(self.promise_out().map(answer));
        // Who is told of grants has lost state, and hears of my seat by a receipt under its key.
        let receipt = if grants.is_empty() { self.receipt_out() } else { self.receipt() };
        effects.extend(receipt.map(answer));
        if let Some(verdict) = &self.verdict {
            effects.push(answer(KeeperMessage::Verdict(verdict.clone())));
        }
        effects.extend(self.wish_due(at));
        effects
    }

    /// A stretch of history. A keeper that passes on a wrong signature passes on nothing.
    fn on_entries(&mut self, grants: Vec<Signed<Grant>>, entries: Vec<Signed<Entry>>, at: WallMs) -> Vec<Effect> {
        let Some(grants) = self.granted(grants) else { return Vec::new() };
        let Some(entries) = entries.into_iter().map(|entry| self.authentic(entry, &grants)).collect::<Option<Vec<_>>>()
        else {
            return Vec::new();
        };
        if is_on(Mutant::SecondEntryKept) {
            self.evidence.chain.give_way(&entries);
        }
        let mut merge = self.evidence.merge(&grants, &entries);
        if is_on(Mutant::OwnEntriesRefused) {
            let own = |step: &Step| matches!(step, Step::Entry(entry) if entry.body().seat == self.seat);
            merge.adopt = merge.adopt.into_iter().take_while(|step| !own(step)).collect();
        }
        if self.promised.is_some() && !self.is_told(&merge) && !is_on(Mutant::TakesAfterPromise) {
            merge = merge.under_promise(&self.evidence);
        }
        let mut effects = self.adopt(&merge, false);
        if let Some(have) = self.awaited {
            let chain = &self.evidence.chain;
            if chain.grant().epoch > have.epoch || chain.holds(have.epoch, have.head) {
                (self.answered, self.awaited) = (true, None);
            }
        }
        let whole =
            grants.first().is_some_and(|grant| grant.body().epoch == self.evidence.chain.grants()[0].body.epoch);
        if !whole && matches!(merge.refused, Some(Unplayable::Gap { .. } | Unplayable::Ungranted { .. })) {
            effects.push(answer(self.have()));
        }
        if !merge.adopt.is_empty() {
            before_showing(&mut effects, self.receipt_out().map(pass));
        }
        effects.extend(self.wish_due(at));
        effects
    }

    /// Whether a merge brings what the server's verdict rests on.
    fn is_told(&self, merge: &Merge) -> bool {
        let told = self.untold.as_ref().filter(|told| told.body.epoch == self.grant().epoch);
        told.is_some_and(|told| self.evidence.verdict_after(merge, &[]) == Some(told.body.ruling))
    }

    /// Grants whose signatures are the server's; `None` if one is not.
    fn granted(&self, grants: Vec<Signed<Grant>>) -> Option<Vec<Verified<Grant>>> {
        let ours = |grant: Signed<Grant>| {
            let known = self.evidence.chain.grants().contains(&grant);
            if known {
                Some(Verified::from_disk(grant))
            } else {
                grant.verify(&self.server_key, &self.grant().server).ok()
            }
        };
        let same = |grant: &Verified<Grant>| grant.body().match_id == self.id();
        grants.into_iter().map(|grant| ours(grant).filter(same)).collect()
    }

    /// An entry whose signature is that of its seat in its epoch.
    fn authentic(&self, entry: Signed<Entry>, grants: &[Verified<Grant>]) -> Option<Verified<Entry>> {
        let (epoch, seat) = (entry.body.epoch, entry.body.seat);
        let key = self.key_of(epoch, seat, grants)?;
        entry.verify(&key, &self.grant().server).ok()
    }

    fn key_of(&self, epoch: u32, seat: Seat, grants: &[Verified<Grant>]) -> Option<PublicKey> {
        let known = self.evidence.chain.key_of(epoch, seat).copied();
        let new =
            || grants.iter().find(|grant| grant.body().epoch == epoch).map(|grant| grant.body().keys[seat.index()]);
        known.or_else(new)
    }

    /// Proofs of fouls, in epochs whose grants are held here.
    fn on_proofs(&mut self, fouls: Vec<Foul>) -> Vec<Effect> {
        let mut merge = self.evidence.merge(&[], &[]);
        let good = |foul: &Foul| {
            let signed = |entry: &Signed<Entry>| self.authentic(entry.clone(), &[]).is_some();
            foul.first.body.match_id == self.id()
                && Evidence::proves(foul)
                && signed(&foul.first)
                && signed(&foul.second)
        };
        merge.fouls = fouls.into_iter().take(Seat::BOTH.len()).filter(good).collect();
        self.adopt(&merge, false)
    }

    /// A receipt.
    fn on_held(&mut self, keeper: Keeper, held: Signed<Held>) -> Vec<Effect> {
        // One that brings nothing, as after every resume, need not be checked.
        if keeper == Keeper::Player(self.seat) || !self.evidence.lacks(keeper, &held.body) {
            return Vec::new();
        }
        let grant = self.grant();
        let key = match keeper {
            Keeper::Player(seat) => &grant.keys[seat.index()],
            Keeper::Server => &self.server_key,
        };
        let record = MatchRecord::Held { keeper, held: held.clone() };
        let Ok(held) = held.verify(key, &grant.server) else { return Vec::new() };
        if !self.evidence.receipt(keeper, held) {
            return Vec::new();
        }
        let stored = self.append(vec![record]);
        stored.into_iter().chain(self.report()).collect()
    }

    /// The server's verdict.
    fn on_verdict(&mut self, verdict: Signed<Verdict>) -> Vec<Effect> {
        let ruling = verdict.body.ruling;
        if self.verdict.as_ref().is_some_and(|held| held.body.ruling == ruling) {
            if self.evidence.verdict() != Some(ruling) {
                // A foul was proved here since; that news may have been lost.
                return self.proofs_out().map(answer).into_iter().collect();
            }
            let again = std::mem::take(&mut self.unshown).then(|| show(self.result(ruling, true)));
            return again.into_iter().chain([self.stored(ruling)]).collect();
        }
        let Ok(verdict) = verdict.verify(&self.server_key, &self.grant().server) else { return Vec::new() };
        self.untold = Some(verdict.into_signed());
        let settled = self.settle();
        if self.untold.is_some() { self.dispute(ruling) } else { settled }
    }

    /// Takes the server's verdict, if the evidence here says the same, and is not of an older epoch. It releases a promise:
    /// no key changes in a match that has one. Without the evidence it does not.
    fn settle(&mut self) -> Vec<Effect> {
        let (epoch, said) = (self.grant().epoch, self.evidence.verdict());
        let proven = |ruling| said == Some(ruling) || is_on(Mutant::VerdictBelieved);
        let Some(verdict) = self.untold.take_if(|told| told.body.epoch <= epoch && proven(told.body.ruling)) else {
            return Vec::new();
        };
        let ruling = verdict.body.ruling;
        self.verdict = Some(verdict.clone());
        self.shown = Some(ruling);
        self.active = false;
        let released = self.promised.take().map(|_| MatchRecord::Released);
        let file = self.append([MatchRecord::Verdict(verdict.clone())].into_iter().chain(released).collect());
        let told = pass(KeeperMessage::Verdict(verdict));
        file.into_iter().chain([show(self.result(ruling, true)), self.stored(ruling), told]).collect()
    }

    fn stored(&self, ruling: Ruling) -> Effect {
        Effect::Tell(Box::new(ToServer::Stored { match_id: self.id(), ruling }))
    }

    /// The server lacks evidence, or I do: each shows what it has, once for each verdict.
    fn dispute(&mut self, ruling: Ruling) -> Vec<Effect> {
        if self.disputed.replace(ruling) == Some(ruling) {
            return Vec::new();
        }
        self.proofs_out().into_iter().chain([self.have()]).map(answer).collect()
    }

    /// The server asks for a promise, because the opponent plays from another device from now on. What decides the match
    /// is shown instead.
    pub fn on_promise_wanted(&mut self, epoch: u32) -> Vec<Effect> {
        let due = epoch == self.grant().epoch.saturating_add(1) && self.evidence.verdict().is_none();
        // Without a key there is nothing to promise; to say so would be asked again, for ever.
        let Some(key) = self.key() else { return Vec::new() };
        if !due || !self.answered {
            return vec![answer(self.have())];
        }
        let before = self.promised.clone().filter(|promise| promise.body.epoch == epoch);
        let (promise, stored) = match before {
            Some(promise) => (promise, None),
            None => {
                let promise = Signed::by(key, &self.grant().server, self.evidence.promise(epoch));
                self.promised = Some(promise.clone());
                let stored = self.append(vec![MatchRecord::Promised(promise.clone())]);
                (promise, stored)
            }
        };
        stored.into_iter().chain([answer(KeeperMessage::Promise(promise))]).collect()
    }

    /// The opponent's link to the server.
    pub fn on_opponent(&mut self, here: bool) -> Vec<Effect> {
        if std::mem::replace(&mut self.opponent_here, here) == here {
            return Vec::new();
        }
        // It may have missed my last receipt.
        here.then(|| self.receipt_out().map(pass)).flatten().into_iter().collect()
    }

    /// Stores and shows what a merge found.
    pub(super) fn adopt(&mut self, merge: &Merge, signed_here: bool) -> Vec<Effect> {
        let is_new = |foul: &&Foul| self.evidence.fouls[foul.first.body.seat.index()].is_none();
        let fouled = merge.fouls.iter().any(|foul| is_new(&foul));
        let fouls = merge.fouls.iter().filter(is_new).map(|foul| MatchRecord::Foul(Box::new(foul.clone())));
        let steps = merge.adopt.iter().map(|step| match step {
            Step::Grant(grant) => MatchRecord::Regranted(Box::new(grant.signed().clone())),
            Step::Entry(entry) => MatchRecord::Entry(entry.signed().clone()),
        });
        let records: Vec<MatchRecord> = steps.chain(fouls).collect();
        if records.is_empty() {
            return Vec::new();
        }
        let mut effects: Vec<Effect> = self.append(records).into_iter().collect();
        for step in &merge.adopt {
            match step {
                Step::Entry(entry) => {
                    // One's own move that comes from another keeper is on its disk: `report` shows it.
                    if signed_here || entry.body().seat != self.seat {
                        effects.push(show(self.move_event(entry.body(), None)));
                    }
                    self.evidence.chain.push(entry).expect("the merge was made against this history");
                }
                Step::Grant(grant) => effects.extend(self.regrant(grant)),
            }
        }
        merge.fouls.iter().for_each(|foul| self.evidence.convict(foul.clone()));
        if fouled {
            effects.extend(self.proofs_out().map(spread));
        }
        if !merge.adopt.is_empty() {
            effects.push(show(self.board()));
        }
        effects.extend(self.report());
        effects.extend(self.show_result());
        effects.extend(self.settle());
        effects
    }

    /// A newer grant ends a promise, and tells an old device that the seat is another's.
    fn regrant(&mut self, grant: &Verified<Grant>) -> Vec<Effect> {
        let was_mine = self.key().is_some();
        self.evidence.regrant(grant).expect("the merge was made against this history");
        let plies = self.evidence.chain.plies();
        self.reported = self.reported.map(|reported| reported.min(plies));
        self.promised = None;
        self.disputed = None;
        let lost = was_mine && self.key().is_none();
        let text = if lost {
            "this seat is played from another device from now on; here you can only watch".to_owned()
        } else {
            format!("{} plays from another device from now on", self.opponent())
        };
        let code = if lost { "seat-moved" } else { "opponent-moved" };
        // The other end of the direct path may be the old device: it hears it from here.
        let news = self.entries_out(&[grant.signed().clone()], &[]).into_iter().map(spread);
        let mine = self.key().is_some() && !was_mine;
        let notice = (!mine && self.key.is_some()).then(|| show(Event::Notice { code, text }));
        notice.into_iter().chain(news).collect()
    }

    /// My receipt, if the last entry is not my own and says it already.
    pub(super) fn receipt_out(&self) -> Option<KeeperMessage> {
        let plies = self.evidence.chain.plies();
        if is_on(Mutant::TurnUnchecked) || is_on(Mutant::ResignsOffTurn) {
            // Nobody takes an entry under the wrong key: a receipt for it would be answered with a question for ever.
            let last = self.evidence.chain.entry(plies.checked_sub(1)?)?;
            self.authentic(last.into_signed(), &[])?;
        }
        let owed = plies > 0 && (Seat::at(plies - 1) != self.seat || self.evidence.chain.since(self.seat) == plies);
        if owed { self.receipt() } else { None }
    }

    /// All that is held here, under the key of the seat.
    fn receipt(&self) -> Option<KeeperMessage> {
        let held = Signed::by(self.key()?, &self.grant().server, self.evidence.held());
        Some(KeeperMessage::Held { keeper: Keeper::Player(self.seat), held })
    }

    /// The promise, while nothing has released it.
    pub(super) fn promise_out(&self) -> Option<KeeperMessage> {
        let due = self.evidence.verdict().is_none();
        self.promised.clone().filter(|_| due).map(KeeperMessage::Promise)
    }

    fn proofs_out(&self) -> Option<KeeperMessage> {
        let fouls: Vec<Foul> = self.evidence.fouls.iter().flatten().cloned().collect();
        let grants = self.evidence.chain.grants().to_vec();
        let proofs = || KeeperMessage::Evidence(Proofs { match_id: self.id(), grants, fouls: fouls.clone() });
        (!fouls.is_empty()).then(proofs)
    }

    pub(super) fn entries_out(&self, grants: &[Signed<Grant>], entries: &[Verified<Entry>]) -> Vec<KeeperMessage> {
        Entries::split(self.id(), grants, entries).map(KeeperMessage::Entries).collect()
    }
}

/// What another keeper waits for goes out as soon as it is on disk, before the player is shown anything.
pub(super) fn before_showing(effects: &mut Vec<Effect>, sends: impl IntoIterator<Item = Effect>) {
    if is_on(Mutant::SendBeforeSync) {
        effects.splice(..0, sends);
        return;
    }
    let written = effects.iter().take_while(|effect| matches!(effect, Effect::Write(_))).count();
    effects.splice(written..written, sends);
}

fn answer(message: KeeperMessage) -> Effect {
    Effect::Answer(Box::new(message))
}

pub(super) fn pass(message: KeeperMessage) -> Effect {
    Effect::Pass(Box::new(message))
}

pub(super) fn spread(message: KeeperMessage) -> Effect {
    Effect::Spread(Box::new(message))
}
