//! The server as a keeper: what players hold, deliver and are owed.

use std::collections::BTreeSet;

use super::Engine;
use crate::model::decide;
use crate::model::event::Event;
use crate::model::evidence::{Evidence, Keeper, Merge, Relation, Step};
use crate::model::fact::Fact;
use crate::model::game::Match;
use crate::model::games::Seat;
use crate::model::id::{ConnId, MatchId, UserId};
use crate::model::limits::CORRECTIONS_TOLD_MAX;
use crate::model::message::{Entries, Have, KeeperMessage, Proofs, ToClient};
use crate::model::refusal::Refusal;
use crate::model::sign::{Signed, Verified};
use crate::model::statement::{Base, Entry, Foul, Grant, Held, Ruling, Verdict};
use crate::model::transcript::Unplayable;
use crate::mutant::{Mutant, is_on};

impl Engine {
    /// A player shows how much it holds: it gets what it lacks, then what the server holds.
    pub(super) fn have(&mut self, conn: ConnId, have: Have) {
        let match_id = have.match_id;
        let Ok((of, seat)) = self.match_of(conn, match_id) else {
            return self.not_open(conn, match_id, have.head.plies);
        };
        let (mut grants, entries) = of.evidence.news_for(have.epoch, have.head);
        if grants.is_empty() {
            grants.extend(newest_grant(of));
        }
        let agrees = of.evidence.chain.holds(have.epoch, have.head);
        self.shows(match_id, seat, have.epoch, have.head.plies);
        self.send_history(conn, match_id, &grants, &entries);
        self.send_have(conn, match_id);
        if agrees {
            self.send_held(conn, match_id);
        }
        self.send_judgement(conn, match_id);
        self.want_promise(match_id, seat);
    }

    /// A player delivers a stretch of history. Of a match the server has no record of, the grant, which it has signed in
    /// its time, is record enough.
    pub(super) fn entries(
        &mut self,
        conn: ConnId,
        match_id: MatchId,
        grants: &[Verified<Grant>],
        entries: &[Verified<Entry>],
    ) {
        let first = entries.first().map_or(0, |entry| entry.body().ply);
        if let Err(refusal) = self.take_match(conn, match_id, grants) {
            return self.refuse_entry(conn, match_id, first, refusal);
        }
        let Ok((of, _)) = self.match_of(conn, match_id) else {
            return self.not_open(conn, match_id, first);
        };
        let merge = of.evidence.merge(grants, entries);
        let whole = grants.first().is_some_and(|grant| grant.body().base == Base::NONE);
        self.deliver(conn, match_id, &merge, &[]);
        self.hear(match_id);
        let ply = first.saturating_add(u16::try_from(merge.entries().count()).unwrap_or(u16::MAX));
        match merge.refused {
            Some(Unplayable::Gap { .. } | Unplayable::Ungranted { .. }) if !whole => self.send_have(conn, match_id),
            Some(why) => self.refuse_entry(conn, match_id, ply, why.into()),
            None if merge.relation != Relation::Forked => self.send_held(conn, match_id),
            None => {}
        }
    }

    /// A player sends entries of an epoch that was not shown on its connection, or of a newer one than the server knows:
    /// what each of the two lacks comes of telling it how much the server holds.
    pub(super) fn ungranted(&mut self, conn: ConnId, match_id: MatchId) {
        match self.match_of(conn, match_id) {
            Ok((of, _)) => {
                let newest: Vec<_> = newest_grant(of).into_iter().collect();
                self.send_history(conn, match_id, &newest, &[]);
                self.send_have(conn, match_id);
            }
            Err(_) => self.not_open(conn, match_id, 0),
        }
    }

    /// A player shows proofs.
    pub(super) fn proofs(&mut self, conn: ConnId, match_id: MatchId, pairs: &[[Verified<Entry>; 2]]) {
        let proof = |[first, second]: &[Verified<Entry>; 2]| {
            let foul = Foul { first: first.signed().clone(), second: second.signed().clone() };
            (foul.first.body.match_id == match_id && Evidence::proves(&foul)).then_some(foul)
        };
        let fouls: Vec<Foul> = pairs.iter().filter_map(proof).collect();
        match self.match_of(conn, match_id) {
            Ok((of, _)) => {
                let nothing = of.evidence.merge(&[], &[]);
                self.deliver(conn, match_id, &nothing, &fouls);
            }
            Err(_) => self.correct(conn, match_id, &fouls),
        }
    }

    /// Stores what is new, tells the opponent, and both if there is a verdict.
    fn deliver(&mut self, conn: ConnId, match_id: MatchId, merge: &Merge, proofs: &[Foul]) {
        let of = self.state.game(match_id).expect("the caller has it");
        let facts = decide::deliver(of, merge, proofs, self.settings.points);
        if facts.is_empty() {
            return;
        }
        if let Err(refusal) = self.shut() {
            return self.refuse_entry(conn, match_id, of.evidence.chain.plies(), refusal);
        }
        let users = of.grant().users;
        let fouled = facts.iter().any(|fact| matches!(fact, Fact::Fouled { .. }));
        let settled = facts.iter().any(|fact| matches!(fact, Fact::Settled { .. }));
        self.commit(facts);
        let from = self.user_of(conn).map(|(_, account)| account.user);
        let (grants, entries) = if is_on(Mutant::NotForwarded) { Default::default() } else { news(merge) };
        for user in users.into_iter().filter(|user| Ok(*user) != from) {
            if let Some(other) = self.live.get(&user).copied() {
                self.send_history(other, match_id, &grants, &entries);
                if !merge.adopt.is_empty() {
                    self.send_held(other, match_id);
                }
            }
        }
        if fouled {
            self.log_fouls(match_id);
        }
        if settled {
            self.log_settled(match_id);
            self.shown.remove(&match_id);
            for conn in users.map(|user| self.live.get(&user).copied()).into_iter().flatten() {
                self.send_judgement(conn, match_id);
            }
            users.into_iter().for_each(|user| self.pace(user));
        }
    }

    /// A foul proved after both players have stored the verdict and the match has been filed away.
    fn correct(&mut self, conn: ConnId, match_id: MatchId, fouls: &[Foul]) {
        let Ok(user) = self.user_of(conn).map(|(_, account)| account.user) else { return };
        let Some(settled) = self.state.settled(match_id).filter(|settled| settled.users.contains(&user)).copied()
        else {
            return;
        };
        let facts = decide::correct(&settled, fouls, self.settings.points);
        if facts.is_empty() {
            // Known before: whoever shows it has not heard what came of it.
            return self.send_filed(conn, match_id);
        }
        if let Err(refusal) = self.shut() {
            return self.refuse_entry(conn, match_id, 0, refusal);
        }
        let known = self.state.proven(match_id).map_or(0, |proven| proven.fouls.len());
        self.commit(facts);
        let proven: Vec<Seat> = self.proven(match_id).iter().map(|foul| foul.first.body.seat).collect();
        for by in proven.into_iter().skip(known) {
            self.log(Event::Foul { match_id, by });
        }
        let Some(ruling) = self.state.settled(match_id).map(|settled| settled.ruling) else { return };
        self.log(Event::VerdictCorrected { match_id, ruling });
        for conn in settled.users.map(|user| self.live.get(&user).copied()).into_iter().flatten() {
            self.send_filed(conn, match_id);
        }
    }

    /// The verdicts that were corrected after their matches had been filed away: this player may have been away. Who has
    /// heard of them takes them for the same again.
    pub(super) fn tell_corrections(&mut self, conn: ConnId, user: UserId) {
        let of_user =
            |match_id: &MatchId| self.state.settled(*match_id).is_some_and(|settled| settled.users.contains(&user));
        let corrected = self.state.corrections().map(|proven| proven.match_id).filter(of_user);
        let corrected: Vec<MatchId> = corrected.take(CORRECTIONS_TOLD_MAX).collect();
        corrected.into_iter().for_each(|match_id| self.send_filed(conn, match_id));
    }

    /// What has corrected the verdict of a match that is filed away.
    fn proven(&self, match_id: MatchId) -> Vec<Foul> {
        self.state.proven(match_id).map(|proven| proven.fouls.clone()).unwrap_or_default()
    }

    /// The verdict of a match that is filed away, and what has corrected it. Its players have its grants.
    fn send_filed(&mut self, conn: ConnId, match_id: MatchId) {
        let Some(ruling) = self.state.settled(match_id).map(|settled| settled.ruling) else { return };
        let (grants, fouls) = (Vec::new(), self.proven(match_id));
        if !fouls.is_empty() {
            self.send(conn, ToClient::Keeper(KeeperMessage::Evidence(Proofs { match_id, grants, fouls })));
        }
        let verdict = Signed::unsigned(Verdict { match_id, epoch: 0, ruling });
        self.send(conn, ToClient::Keeper(KeeperMessage::Verdict(verdict)));
    }

    pub(super) fn held(&mut self, conn: ConnId, held: Verified<Held>) {
        let Held { match_id, epoch, plies, head } = *held.body();
        let Ok((of, seat)) = self.match_of(conn, match_id) else { return };
        let chain = &of.evidence.chain;
        if epoch == chain.grant().epoch && chain.head_at(plies) == Some(head) {
            let opponent = self.live.get(&of.user(seat.other())).copied();
            if of.recovering {
                self.shows(match_id, seat, epoch, plies);
            }
            let Some((to, link)) = opponent.and_then(|conn| Some((conn, self.conns.get_mut(&conn)?))) else { return };
            // The same again says nothing, however often it is said.
            if link.passed.insert(match_id, (epoch, plies)).is_none_or(|before| before < (epoch, plies)) {
                let held = held.into_signed();
                self.send(to, ToClient::Keeper(KeeperMessage::Held { keeper: Keeper::Player(seat), held }));
            }
        } else if plies > chain.plies() && of.ruling.is_none() && !self.is_shut() {
            // The opponent has reached this player and not the server: it can be had from here. Where it could not be
            // taken the same receipt would come again and again.
            self.send_have(conn, match_id);
        }
    }

    pub(super) fn stored(&mut self, conn: ConnId, match_id: MatchId, ruling: Ruling) {
        let Ok((of, seat)) = self.match_of(conn, match_id) else { return };
        if of.ruling == Some(ruling) && !of.told[seat.index()] && !self.is_shut() {
            self.commit(vec![Fact::Told { match_id, seat }]);
            self.shown.remove(&match_id);
        }
    }

    pub(super) fn refuse_entry(&mut self, conn: ConnId, match_id: MatchId, ply: u16, refusal: Refusal) {
        let Some(ip) = self.conns.get(&conn).map(|conn| conn.ip) else { return };
        self.log(Event::EntryRefused { match_id, ip, refusal });
        self.send(conn, ToClient::EntryRefused { match_id, ply, refusal });
    }

    /// Asks a user to send what the server lacks.
    pub(super) fn ask_for_entries(&mut self, user: UserId) {
        let Some(conn) = self.live.get(&user).copied() else { return };
        let open = self.state.account(user).map(|account| account.open.clone()).unwrap_or_default();
        open.into_iter().for_each(|match_id| self.send_have(conn, match_id));
    }

    /// Tells the opponents in whose match a user is seated.
    pub(super) fn tell_presence(&mut self, user: UserId, here: bool) {
        let seated = self.state.account(user).and_then(|account| account.seated);
        let Some(of) = seated.and_then(|match_id| self.state.game(match_id)) else { return };
        let match_id = of.grant().match_id;
        for other in of.grant().users.into_iter().filter(|other| *other != user) {
            self.send_to(other, ToClient::Opponent { match_id, here });
        }
    }

    pub(super) fn match_of(&self, conn: ConnId, match_id: MatchId) -> Result<(&Match, Seat), Refusal> {
        let user = self.user_of(conn)?.1.user;
        let of = decide::playing(&self.state, user, match_id)?;
        Ok((of, of.seat_of(user).expect("the user plays in it")))
    }

    /// A match that is settled and stored by both is answered with its verdict; of one that is not known here all is
    /// wanted; any other is not the player's.
    fn not_open(&mut self, conn: ConnId, match_id: MatchId, ply: u16) {
        let user = self.user_of(conn).map(|(_, account)| account.user);
        match self.state.settled(match_id) {
            Some(settled) if user.is_ok_and(|user| settled.users.contains(&user)) => self.send_filed(conn, match_id),
            None if user.is_ok() && self.state.game(match_id).is_none() => {
                self.ask_for_all(conn, match_id);
            }
            Some(_) | None => self.refuse_entry(conn, match_id, ply, Refusal::NotAPlayer),
        }
    }

    /// Asks for everything about a match that is not known here.
    fn ask_for_all(&mut self, conn: ConnId, match_id: MatchId) {
        let nothing = Have { match_id, epoch: 0, head: Base::NONE };
        self.send(conn, ToClient::Keeper(KeeperMessage::Have(nothing)));
    }

    /// Asks for the matches that could not be taken back when they were shown.
    pub(super) fn ask_for_untaken(&mut self) {
        let untaken = self.conns.iter_mut().map(|(conn, link)| (*conn, std::mem::take(&mut link.untaken)));
        let untaken: Vec<(ConnId, BTreeSet<MatchId>)> = untaken.collect();
        for (conn, matches) in untaken {
            matches.into_iter().for_each(|match_id| self.ask_for_all(conn, match_id));
        }
    }

    pub(super) fn send_history(
        &mut self,
        conn: ConnId,
        match_id: MatchId,
        grants: &[Signed<Grant>],
        entries: &[Verified<Entry>],
    ) {
        for part in Entries::split(match_id, grants, entries) {
            self.send(conn, ToClient::Keeper(KeeperMessage::Entries(part)));
        }
    }

    /// How much the server holds.
    pub(super) fn send_have(&mut self, conn: ConnId, match_id: MatchId) {
        let Some(of) = self.state.game(match_id) else { return };
        let have = Have { match_id, epoch: of.grant().epoch, head: of.evidence.chain.head() };
        self.send(conn, ToClient::Keeper(KeeperMessage::Have(have)));
    }

    /// The server's receipt. While players may know newer grants than it does, it gives none.
    pub(super) fn send_held(&mut self, conn: ConnId, match_id: MatchId) {
        let early = is_on(Mutant::ReceiptWhileRecovering);
        let Some(of) = self.state.game(match_id).filter(|of| !of.recovering || early) else { return };
        let held = Signed::unsigned(of.evidence.held());
        self.send(conn, ToClient::Keeper(KeeperMessage::Held { keeper: Keeper::Server, held }));
    }

    /// The verdict, if there is one, with the proofs it rests on; the entries went before it.
    fn send_judgement(&mut self, conn: ConnId, match_id: MatchId) {
        let Some(of) = self.state.game(match_id) else { return };
        let fouls: Vec<Foul> = of.evidence.fouls.iter().flatten().cloned().collect();
        let (ruling, grants, epoch) = (of.ruling, of.evidence.chain.grants().to_vec(), of.grant().epoch);
        if !fouls.is_empty() {
            self.send(conn, ToClient::Keeper(KeeperMessage::Evidence(Proofs { match_id, grants, fouls })));
        }
        if let Some(ruling) = ruling {
            let verdict = Signed::unsigned(Verdict { match_id, epoch, ruling });
            self.send(conn, ToClient::Keeper(KeeperMessage::Verdict(verdict)));
        }
    }

    fn log_fouls(&mut self, match_id: MatchId) {
        let Some(of) = self.state.game(match_id) else { return };
        let by: Vec<Seat> = Seat::BOTH.into_iter().filter(|seat| of.evidence.fouls[seat.index()].is_some()).collect();
        by.into_iter().for_each(|by| self.log(Event::Foul { match_id, by }));
    }

    fn log_settled(&mut self, match_id: MatchId) {
        let Some(of) = self.state.game(match_id) else { return };
        let Some(ruling) = of.ruling else { return };
        let (plies, ips) = (of.evidence.chain.plies(), of.grant().users.map(|user| self.ip_of(user)));
        let names = self.names(match_id);
        self.log(Event::MatchSettled { match_id, names, ips, ruling, plies });
    }
}

/// The newest grant, if it is not the one that every player is shown at first: by it a connection knows the keys.
fn newest_grant(of: &Match) -> Option<Signed<Grant>> {
    let grants = of.evidence.chain.grants();
    (grants.len() > 1 || of.recovering).then(|| grants.last().cloned()).flatten()
}

/// What a merge adopts, to be passed on.
fn news(merge: &Merge) -> (Vec<Signed<Grant>>, Vec<Verified<Entry>>) {
    let grant = |step: &Step| match step {
        Step::Grant(grant) => Some(grant.signed().clone()),
        Step::Entry(_) => None,
    };
    (merge.adopt.iter().filter_map(grant).collect(), merge.entries().cloned().collect())
}
