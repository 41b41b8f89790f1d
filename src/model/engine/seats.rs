//! A seat's key changes one way; and what a server does that has lost state.

use super::Engine;
use crate::model::decide;
use crate::model::event::Event;
use crate::model::fact::Fact;
use crate::model::game::Match;
use crate::model::games::Seat;
use crate::model::id::{ConnId, MatchId, RequestSeq};
use crate::model::key::PublicKey;
use crate::model::limits::MATCHES_TAKEN_MAX;
use crate::model::message::ToClient;
use crate::model::refusal::Refusal;
use crate::model::sign::{Signed, Verified};
use crate::model::statement::{Base, Grant, Promise};
use crate::mutant::{Mutant, is_on};

impl Engine {
    /// A player asks for the seat under another key; the opponent is asked for its promise.
    pub(super) fn take_seat(
        &mut self,
        conn: ConnId,
        seq: RequestSeq,
        match_id: MatchId,
        key: PublicKey,
    ) -> Result<(), Refusal> {
        self.shut()?;
        let by = self.user_of(conn)?.1.name.clone();
        let (of, seat) = self.match_of(conn, match_id)?;
        let asked = decide::take_seat(of, seat, key)?;
        let new = asked.is_some();
        self.carry_out(conn, seq, asked.into_iter().collect());
        if new {
            self.log(Event::SeatAsked { match_id, by });
        }
        if !self.regrant(match_id, None) {
            self.hear(match_id);
            self.want_promise(match_id, seat.other());
        }
        Ok(())
    }

    /// Asks the player in `seat` for its promise, if the other seat's key is to change.
    pub(super) fn want_promise(&mut self, match_id: MatchId, seat: Seat) {
        let Some(of) = self.state.game(match_id) else { return };
        let due = of.asked[seat.other().index()].is_some() && of.asked[seat.index()].is_none();
        if due && of.ruling.is_none() && (!of.recovering || is_on(Mutant::GrantWhileRecovering)) {
            let (user, epoch) = (of.user(seat), of.grant().epoch.saturating_add(1));
            self.send_to(user, ToClient::PromiseWanted { match_id, epoch });
        }
    }

    /// A player promises that it takes nothing more of the epoch that ends.
    pub(super) fn promise(&mut self, conn: ConnId, seat: Seat, promise: &Verified<Promise>) {
        let Promise { match_id, epoch: promised, head } = *promise.body();
        if !matches!(self.match_of(conn, match_id), Ok((_, mine)) if mine == seat) {
            return;
        }
        let shown = &mut self.shown.entry(match_id).or_default().promised[seat.index()];
        *shown = (*shown).max(promised);
        let Some(of) = self.state.game(match_id).filter(|_| !self.is_shut()) else { return };
        let (epoch, chain) = (of.grant().epoch, &of.evidence.chain);
        if !chain.holds(epoch, head) && head.plies > chain.plies() {
            // What it holds comes first, and then the promise again.
            self.send_have(conn, match_id);
        } else {
            self.regrant(match_id, Some((seat, promise)));
        }
    }

    /// Gives the new keys their seats, if it may be; whether it did.
    fn regrant(&mut self, match_id: MatchId, promise: Option<(Seat, &Verified<Promise>)>) -> bool {
        let Some(of) = self.state.game(match_id) else { return false };
        let Some(fact) = decide::regrant(of, promise) else { return false };
        self.commit(vec![fact]);
        let of = self.state.game(match_id).expect("it was just granted anew");
        let (grant, users) = (of.grant().clone(), of.grant().users);
        self.log(Event::Regranted { match_id, epoch: grant.epoch, base: grant.base.plies });
        for user in users {
            if let Some(conn) = self.live.get(&user).copied() {
                self.send_history(conn, match_id, &[Signed::unsigned(grant.clone())], &[]);
            }
        }
        self.introduce(match_id);
        true
    }

    /// Makes a record of a match that a player holds a grant for and the server does not.
    pub(super) fn take_match(
        &mut self,
        conn: ConnId,
        match_id: MatchId,
        grants: &[Verified<Grant>],
    ) -> Result<(), Refusal> {
        if self.state.game(match_id).is_some() || self.state.settled(match_id).is_some() {
            return Ok(());
        }
        let Some(first) = grants.first().map(Verified::body) else { return Ok(()) };
        let account = self.user_of(conn)?.1;
        if first.match_id != match_id || first.base != Base::NONE || !first.users.contains(&account.user) {
            return Err(Refusal::NotAPlayer);
        }
        first.game.start().map_err(|_| Refusal::UnknownGame)?;
        if account.open.len() >= MATCHES_TAKEN_MAX {
            return Err(Refusal::TooManyMatches);
        }
        if let Err(refusal) = self.shut() {
            let untaken = self.conns.get_mut(&conn).map(|link| &mut link.untaken);
            if let Some(untaken) = untaken.filter(|some| some.len() < MATCHES_TAKEN_MAX) {
                untaken.insert(match_id);
            }
            return Err(refusal);
        }
        // One that could have been filed away unfinished is no sign of loss.
        if self.wall < first.settle_by {
            self.lose_state();
        }
        let (user, by) = self.user_of(conn).map(|(_, account)| (account.user, account.name.clone()))?;
        self.commit(vec![Fact::MatchTaken { grant: first.clone() }]);
        self.taken.insert(match_id);
        self.log(Event::MatchTaken { match_id, by });
        // The other may never have heard of it: the match began and was lost while that player was away.
        for other in first.users.into_iter().filter(|other| *other != user) {
            if let Some(view) = self.match_view(match_id, other) {
                self.send_to(other, ToClient::Matched(Box::new(view)));
            }
        }
        Ok(())
    }

    /// The server has found that it has lost state; once in each run.
    pub(super) fn lose_state(&mut self) {
        if is_on(Mutant::LossUnnoticed) || std::mem::replace(&mut self.loss_known, true) {
            return;
        }
        let open = |match_id: &MatchId| self.state.game(*match_id).filter(|of| !of.recovering);
        let sure: Vec<Fact> = self.sure.iter().filter_map(open).flat_map(still_sure).collect();
        self.commit([Fact::StateLost { at: self.wall }].into_iter().chain(sure).collect());
        self.log(Event::StateLost { open: self.state.games().count() });
        let shown: Vec<MatchId> = self.shown.keys().copied().collect();
        shown.into_iter().for_each(|match_id| self.hear(match_id));
    }

    /// A player has shown how much it holds of a match, by grants up to `epoch`.
    pub(super) fn shows(&mut self, match_id: MatchId, seat: Seat, epoch: u32, plies: u16) {
        let shown = &mut self.shown.entry(match_id).or_default().seats[seat.index()];
        *shown = (*shown).max((epoch, plies));
        self.hear(match_id);
    }

    /// Goes on with a match as before the loss once both seats have been heard.
    pub(super) fn hear(&mut self, match_id: MatchId) {
        let Some((of, shown)) = self.state.game(match_id).zip(self.shown.get(&match_id)) else { return };
        let Some(fact) = decide::heard(of, shown).filter(|_| !self.is_shut()) else { return };
        let users = of.grant().users;
        self.commit(vec![fact]);
        for user in users {
            if let Some(conn) = self.live.get(&user).copied() {
                self.send_held(conn, match_id);
            }
        }
        Seat::BOTH.into_iter().for_each(|seat| self.want_promise(match_id, seat));
        self.seat_again(match_id);
    }

    /// Players who hold an unfinished match that the server had forgotten, and sit nowhere else, play on.
    fn seat_again(&mut self, match_id: MatchId) {
        let taken = self.taken.remove(&match_id);
        let Some(of) = self.state.game(match_id).filter(|_| taken) else { return };
        let [x, o] = of.grant().users;
        let free = |user| self.state.account(user).is_some_and(|account| account.seated.is_none());
        let here = self.live.contains_key(&x) && self.live.contains_key(&o);
        if of.ruling.is_none() && of.evidence.verdict().is_none() && here && free(x) && free(o) {
            self.commit(vec![Fact::MatchResumed { match_id }]);
            self.seated(x, o);
        }
    }
}

/// What a loss that is found now does not change in a match that was begun after it.
fn still_sure(of: &Match) -> Vec<Fact> {
    let match_id = of.grant().match_id;
    let asked = Seat::BOTH.into_iter().zip(of.asked).filter_map(|(seat, key)| Some((seat, key?)));
    let asked = asked.map(|(seat, key)| Fact::SeatAsked { match_id, seat, key });
    [Fact::Heard { match_id }].into_iter().chain(asked).collect()
}
