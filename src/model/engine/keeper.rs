//! The server as a keeper: what players hold, deliver and are owed.

use super::Engine;
use crate::model::decide;
use crate::model::event::Event;
use crate::model::evidence::{Evidence, Keeper, Merge, Relation};
use crate::model::fact::Fact;
use crate::model::game::Match;
use crate::model::games::Seat;
use crate::model::id::{ConnId, MatchId, UserId};
use crate::model::limits::ENTRIES_PER_FRAME_MAX;
use crate::model::message::{Entries, Have, Proofs, ToClient};
use crate::model::refusal::Refusal;
use crate::model::sign::{Signed, Verified};
use crate::model::statement::{Base, Entry, Foul, Held, Ruling, Verdict};
use crate::model::transcript::Unplayable;

impl Engine {
    /// A player shows how much it holds: it gets what it lacks, then what the server holds.
    pub(super) fn have(&mut self, conn: ConnId, have: Have) {
        let match_id = have.match_id;
        let Ok((of, _)) = self.match_of(conn, match_id) else {
            return self.not_open(conn, match_id, have.head.plies);
        };
        let chain = &of.evidence.chain;
        let agrees = chain.head_at(have.head.plies) == Some(have.head.head);
        let entries = if agrees { chain.entries_from(have.head.plies) } else { Vec::new() };
        self.send_entries(conn, match_id, &entries);
        // Where the heads differ, the other shows its chain from the start, and the fork is found.
        let forked = !agrees && have.head.plies <= self.plies(match_id);
        self.send_have(conn, match_id, forked);
        if agrees {
            self.send_held(conn, match_id);
        }
        self.send_judgement(conn, match_id);
    }

    pub(super) fn entries(&mut self, conn: ConnId, match_id: MatchId, entries: &[Verified<Entry>]) {
        let first = entries.first().map_or(0, |entry| entry.body().ply);
        let Ok((of, _)) = self.match_of(conn, match_id) else {
            return self.not_open(conn, match_id, first);
        };
        let merge = of.evidence.merge(entries);
        self.deliver(conn, match_id, &merge, &[]);
        let ply = first.saturating_add(u16::try_from(merge.adopt.len()).unwrap_or(u16::MAX));
        match merge.refused {
            Some(Unplayable::Gap { .. }) => self.send_have(conn, match_id, false),
            Some(why) => self.refuse_entry(conn, match_id, ply, why.into()),
            None if merge.relation != Relation::Forked => self.send_held(conn, match_id),
            None => {}
        }
    }

    pub(super) fn proofs(&mut self, conn: ConnId, match_id: MatchId, pairs: &[[Verified<Entry>; 2]]) {
        let Ok((of, _)) = self.match_of(conn, match_id) else { return };
        let proof = |[first, second]: &[Verified<Entry>; 2]| {
            let foul = Foul { first: first.signed().clone(), second: second.signed().clone() };
            (foul.first.body.match_id == match_id && Evidence::proves(&foul)).then_some(foul)
        };
        let fouls: Vec<Foul> = pairs.iter().filter_map(proof).collect();
        let nothing = of.evidence.merge(&[]);
        self.deliver(conn, match_id, &nothing, &fouls);
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
        for user in users.into_iter().filter(|user| Ok(*user) != from) {
            if let Some(other) = self.live.get(&user).copied() {
                self.send_entries(other, match_id, &merge.adopt);
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
            for conn in users.map(|user| self.live.get(&user).copied()).into_iter().flatten() {
                self.send_judgement(conn, match_id);
            }
            users.into_iter().for_each(|user| self.pace(user));
        }
    }

    pub(super) fn held(&mut self, conn: ConnId, held: Verified<Held>) {
        let Held { match_id, plies, head, .. } = *held.body();
        let Ok((of, seat)) = self.match_of(conn, match_id) else { return };
        if of.evidence.chain.head_at(plies) != Some(head) {
            return;
        }
        let opponent = of.user(seat.other());
        let held = held.into_signed();
        self.send_to(opponent, ToClient::Held { keeper: Keeper::Player(seat), held });
    }

    pub(super) fn stored(&mut self, conn: ConnId, match_id: MatchId, ruling: Ruling) {
        let Ok((of, seat)) = self.match_of(conn, match_id) else { return };
        if of.ruling == Some(ruling) && !of.told[seat.index()] && !self.is_shut() {
            self.commit(vec![Fact::Told { match_id, seat }]);
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
        open.into_iter().for_each(|match_id| self.send_have(conn, match_id, false));
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

    fn match_of(&self, conn: ConnId, match_id: MatchId) -> Result<(&Match, Seat), Refusal> {
        let user = self.user_of(conn)?.1.user;
        let of = decide::playing(&self.state, user, match_id)?;
        Ok((of, of.seat_of(user).expect("the user plays in it")))
    }

    /// A match that is settled and stored by both is answered with its verdict; any other is not the player's.
    fn not_open(&mut self, conn: ConnId, match_id: MatchId, ply: u16) {
        let user = self.user_of(conn).map(|(_, account)| account.user);
        let settled =
            self.state.settled(match_id).filter(|settled| user.is_ok_and(|user| settled.users.contains(&user)));
        match settled.map(|settled| settled.ruling) {
            Some(ruling) => self.send(conn, ToClient::Verdict(Signed::unsigned(Verdict { match_id, ruling }))),
            None => self.refuse_entry(conn, match_id, ply, Refusal::NotAPlayer),
        }
    }

    fn plies(&self, match_id: MatchId) -> u16 {
        self.state.game(match_id).map_or(0, |of| of.evidence.chain.plies())
    }

    fn send_entries(&mut self, conn: ConnId, match_id: MatchId, entries: &[Verified<Entry>]) {
        for some in entries.chunks(ENTRIES_PER_FRAME_MAX) {
            let entries = some.iter().map(|entry| entry.signed().clone()).collect();
            self.send(conn, ToClient::Entries(Entries { match_id, entries }));
        }
    }

    /// How much the server holds; `nothing` makes the other show all it has.
    fn send_have(&mut self, conn: ConnId, match_id: MatchId, nothing: bool) {
        let Some(of) = self.state.game(match_id) else { return };
        let epoch = of.grant().epoch;
        let head = if nothing { Base::NONE } else { of.evidence.chain.head() };
        self.send(conn, ToClient::Have(Have { match_id, epoch, head }));
    }

    fn send_held(&mut self, conn: ConnId, match_id: MatchId) {
        let Some(of) = self.state.game(match_id) else { return };
        let held = Signed::unsigned(of.evidence.held());
        self.send(conn, ToClient::Held { keeper: Keeper::Server, held });
    }

    /// The verdict, if there is one, with the proofs it rests on; the entries went before it.
    fn send_judgement(&mut self, conn: ConnId, match_id: MatchId) {
        let Some(of) = self.state.game(match_id) else { return };
        let fouls: Vec<Foul> = of.evidence.fouls.iter().flatten().cloned().collect();
        let ruling = of.ruling;
        if !fouls.is_empty() {
            self.send(conn, ToClient::Evidence(Proofs { match_id, fouls }));
        }
        if let Some(ruling) = ruling {
            self.send(conn, ToClient::Verdict(Signed::unsigned(Verdict { match_id, ruling })));
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
