//! Requests that need no hashing: lists, invitations, matches.

use super::Engine;
use crate::model::account::Account;
use crate::model::decide;
use crate::model::event::Event;
use crate::model::fact::Fact;
use crate::model::games::GameSpec;
use crate::model::id::{ConnId, InviteId, MatchId, Name, RequestSeq, UserId};
use crate::model::key::PublicKey;
use crate::model::limits::{INVITE_MAX, MATCH_IDLE_MAX};
use crate::model::message::{Answer, Command, InviteEnd, InviteView, ToClient};
use crate::model::refusal::Refusal;
use crate::model::time::{WallMs, ms};
use crate::mutant::{Mutant, is_on};
use rand_chacha::rand_core::Rng;

impl Engine {
    pub(super) fn request(&mut self, conn: ConnId, seq: RequestSeq, command: Command) {
        if !self.conns.contains_key(&conn) {
            return;
        }
        if self.was_answered(conn, seq) {
            return self.answer(conn, seq, Ok(Answer::Done));
        }
        let result = match command {
            Command::AddUser { .. } | Command::Login { .. } | Command::Passwd { .. } => {
                return self.hash_first(conn, seq, command);
            }
            Command::Logout => self.shut().and_then(|()| self.log_out(conn, seq)),
            Command::List => self.user_of(conn).map(|_| self.users()).map(|users| self.answer(conn, seq, Ok(users))),
            Command::Leaders => {
                self.user_of(conn).map(|_| self.leaders()).map(|leaders| self.answer(conn, seq, Ok(leaders)))
            }
            Command::Begin { to, game, key } => self.begin(conn, seq, &to, &game, key),
            Command::Accept { from, key } => self.accept(conn, seq, &from, key),
            Command::Decline { from } => self.decline(conn, seq, &from),
            Command::Leave { match_id } => self.leave_match(conn, seq, match_id),
            Command::TakeSeat { match_id, key } => self.take_seat(conn, seq, match_id, key),
        };
        if let Err(refusal) = result {
            self.answer(conn, seq, Err(refusal));
        }
    }

    fn was_answered(&self, conn: ConnId, seq: RequestSeq) -> bool {
        let Some(open) = self.conns.get(&conn) else { return false };
        let session = open.session.and_then(|(session, _)| self.state.session(session));
        !is_on(Mutant::RequestsDoneTwice) && session.is_some_and(|session| session.has_answered(open.run, seq))
    }

    /// Commits what a request changes together with the memory that it was carried out, and answers.
    pub(super) fn carry_out(&mut self, conn: ConnId, seq: RequestSeq, mut facts: Vec<Fact>) {
        let open = &self.conns[&conn];
        if let Some((session, _)) = open.session {
            facts.push(Fact::Answered { session, run: open.run, seq });
        }
        self.commit(facts);
        self.answer(conn, seq, Ok(Answer::Done));
    }

    fn begin(
        &mut self,
        conn: ConnId,
        seq: RequestSeq,
        to: &Name,
        game: &GameSpec,
        key: PublicKey,
    ) -> Result<(), Refusal> {
        self.closed_to_new()?;
        let invite = InviteId(self.random_id());
        let from = self.user_of(conn)?.1;
        let by = from.name.clone();
        let facts = decide::begin(&self.state, from, to, |user| self.live.contains_key(&user), game, key, invite)?;
        self.carry_out(conn, seq, facts);
        self.invite_ends.insert(invite, self.now + INVITE_MAX);
        let open = self.state.invite(invite).expect("just made");
        let (to, resume) = (open.to, open.resume);
        self.send_to(to, ToClient::Invited(InviteView { by, game: game.clone(), resume }));
        Ok(())
    }

    fn accept(&mut self, conn: ConnId, seq: RequestSeq, from: &Name, key: PublicKey) -> Result<(), Refusal> {
        self.closed_to_new()?;
        let (match_id, inviter_is_x) = (MatchId(self.random_id()), self.random.next_u32().is_multiple_of(2));
        let user = self.user_of(conn)?.1.user;
        let invite = decide::invite_from(&self.state, from, user)?.clone();
        let settle_by = WallMs(self.wall.0.saturating_add(ms(MATCH_IDLE_MAX)));
        let facts = decide::accept(&self.state, &invite, key, self.server, match_id, inviter_is_x, settle_by)?;
        let players = [invite.from, invite.to];
        let touches = |open: &UserId| players.contains(open);
        let others: Vec<InviteId> = self
            .state
            .invites()
            .filter(|open| touches(&open.from) || touches(&open.to))
            .map(|open| open.invite)
            .filter(|open| *open != invite.invite)
            .collect();
        others.into_iter().for_each(|other| self.close_invite(other, InviteEnd::Busy));
        self.carry_out(conn, seq, facts);
        self.invite_ends.remove(&invite.invite);
        self.seated(invite.from, invite.to);
        Ok(())
    }

    /// Both are in a match: tells them, and their connections to ping often.
    pub(super) fn seated(&mut self, one: UserId, other: UserId) {
        let match_id = self.state.account(one).and_then(|account| account.seated).expect("just seated");
        let names = self.names(match_id);
        let of = self.state.game(match_id).expect("just seated");
        let (resumed, ips) = (of.evidence.chain.plies() > 0, of.grant().users.map(|user| self.ip_of(user)));
        let game = of.grant().game.name();
        self.log(if resumed {
            Event::MatchResumed { match_id, names }
        } else {
            Event::MatchStarted { match_id, names, ips, game }
        });
        for user in [one, other] {
            let view = self.match_view(match_id, user).expect("just seated");
            self.send_to(user, ToClient::Matched(Box::new(view)));
            self.pace(user);
        }
        self.introduce(match_id);
    }

    fn decline(&mut self, conn: ConnId, seq: RequestSeq, from: &Name) -> Result<(), Refusal> {
        self.shut()?;
        let user = self.user_of(conn)?.1.user;
        let invite = decide::invite_from(&self.state, from, user)?.invite;
        self.close_invite(invite, InviteEnd::Declined);
        self.carry_out(conn, seq, Vec::new());
        Ok(())
    }

    /// Ends an invitation without a match and tells both.
    pub(super) fn close_invite(&mut self, invite: InviteId, why: InviteEnd) {
        self.invite_ends.remove(&invite);
        let Some(open) = self.state.invite(invite).cloned() else { return };
        self.commit(vec![Fact::InviteClosed { invite }]);
        for (user, other) in [(open.from, open.to), (open.to, open.from)] {
            if let Some(with) = self.state.account(other).map(|account| account.name.clone()) {
                self.send_to(user, ToClient::InviteClosed { with, why });
            }
        }
    }

    fn leave_match(&mut self, conn: ConnId, seq: RequestSeq, match_id: MatchId) -> Result<(), Refusal> {
        self.shut()?;
        let account: &Account = self.user_of(conn)?.1;
        let by = account.name.clone();
        let facts = decide::leave(&self.state, account, match_id)?;
        let users = self.state.game(match_id).expect("it was left").grant().users;
        self.carry_out(conn, seq, facts);
        self.log(Event::MatchSuspended { match_id, by: by.clone() });
        for user in users {
            self.send_to(user, ToClient::Suspended { match_id, by: by.clone() });
            self.pace(user);
        }
        Ok(())
    }

    /// Tells the opponents of a user's suspended matches that they can be gone on with.
    pub(super) fn offer_suspended(&mut self, user: UserId) {
        let Some(account) = self.state.account(user).filter(|account| account.seated.is_none()) else { return };
        let open = account.open.iter().filter_map(|id| self.state.game(*id)).filter(|of| of.ruling.is_none());
        let others = open.filter_map(|of| Some((of.grant().match_id, of.user(of.seat_of(user)?.other()))));
        let free = |other: UserId| self.state.account(other).is_some_and(|other| other.seated.is_none());
        let offers: Vec<(MatchId, UserId)> = others.filter(|(_, other)| free(*other)).collect();
        for (match_id, other) in offers {
            self.send_to(other, ToClient::Offered { match_id });
        }
    }
}
