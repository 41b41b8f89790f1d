//! What an operator asks of the engine.
//!
//! What must hold: an answer leaves when what it speaks of is on disk, like any other; after [`Act::Close`] nobody logs
//! in and no match begins, but whoever is in one comes back to it.

use super::{Effect, Engine};
use crate::model::account::{Account, Session};
use crate::model::event::Event;
use crate::model::fact::Fact;
use crate::model::game::Match;
use crate::model::games::Seat;
use crate::model::id::{Name, SessionId, UserId};
use crate::model::message::{CloseReason, InviteEnd, ToClient, UserState};
use crate::model::operator::{Act, Announcement, AskId, MatchRow, MatchState, SessionRow, Told, Unable};
use crate::model::refusal::Refusal;
use crate::mutant::{Mutant, is_on};

impl Engine {
    pub(super) fn operate(&mut self, ask: AskId, act: Act) {
        let told = match act {
            Act::Announce(text) => Ok(self.announce(&text)),
            Act::Close => Ok(self.close_doors()),
            Act::Kick(name) => self.kick(&name),
            Act::Sessions => Ok(self.session_rows()),
            Act::Matches => Ok(Told::Matches(self.state.games().map(|of| self.match_row(of)).collect())),
        };
        self.leave(Effect::Told { ask, told });
        self.tell_if_over();
    }

    /// Why nothing new may begin just now.
    pub(super) fn closed_to_new(&self) -> Result<(), Refusal> {
        if self.closing { Err(Refusal::Restarting) } else { self.shut() }
    }

    /// A match may have ended that a stop waits for.
    pub(super) fn tell_if_over(&mut self) {
        if self.closing && !self.over_told && self.playing() == 0 {
            self.over_told = true;
            self.leave(Effect::Over);
        }
    }

    fn announce(&mut self, text: &Announcement) -> Told {
        let players: Vec<UserId> = self.live.keys().copied().collect();
        players.iter().for_each(|user| self.send_to(*user, ToClient::Announcement(text.clone())));
        Told::Announced { players: u32::try_from(players.len()).unwrap_or(u32::MAX) }
    }

    fn close_doors(&mut self) -> Told {
        self.closing = true;
        Told::Closed { matches: u32::try_from(self.playing()).unwrap_or(u32::MAX) }
    }

    fn playing(&self) -> usize {
        self.state.games().filter(|of| self.state.is_active(of)).count()
    }

    fn kick(&mut self, name: &Name) -> Result<Told, Unable> {
        self.shut().map_err(Unable::Shut)?;
        let account = self.state.named(&name.key()).ok_or(Unable::NoSuchUser)?;
        let session = account.session.ok_or(Unable::NoSession)?;
        let (user, name) = (account.user, account.name.clone());
        self.end_of_session(user, session);
        self.log(Event::LoggedOut { user: name });
        if let Some(conn) = self.live.remove(&user) {
            self.unbind(conn);
            self.close(conn, CloseReason::SessionEnded);
            self.tell_presence(user, false);
        }
        Ok(Told::Kicked)
    }

    /// Ends a session and the invitations to and from its user.
    pub(super) fn end_of_session(&mut self, user: UserId, session: SessionId) {
        let mine = |open: &&crate::model::game::Invite| open.from == user || open.to == user;
        let invites: Vec<_> = self.state.invites().filter(mine).map(|open| open.invite).collect();
        invites.into_iter().for_each(|invite| self.close_invite(invite, InviteEnd::Gone));
        if !is_on(Mutant::LogoutForgotten) {
            self.commit(vec![Fact::LoggedOut { session }]);
        }
    }

    fn session_rows(&self) -> Told {
        let mut rows: Vec<SessionRow> = self.state.sessions().filter_map(|session| self.session_row(session)).collect();
        rows.sort_by_cached_key(|row| row.user.key());
        Told::Sessions(rows)
    }

    fn session_row(&self, session: &Session) -> Option<SessionRow> {
        let account = self.state.account(session.user)?;
        let conn = self.live.get(&session.user);
        Some(SessionRow {
            user: account.name.clone(),
            session: session.session,
            state: match (conn, account.seated) {
                (None, _) => UserState::Away,
                (Some(_), None) => UserState::Free,
                (Some(_), Some(_)) => UserState::Busy,
            },
            link: conn.and_then(|conn| Some((*conn, self.conns.get(conn)?.ip))),
            opponent: self.opponent_name(account),
        })
    }

    fn opponent_name(&self, account: &Account) -> Option<Name> {
        let match_id = account.seated?;
        let seat = self.state.game(match_id)?.seat_of(account.user)?;
        let names = self.names(match_id);
        Some(names[seat.other().index()].clone())
    }

    fn match_row(&self, of: &Match) -> MatchRow {
        let match_id = of.grant().match_id;
        let names = self.names(match_id);
        let state = match (of.ruling, self.state.is_active(of)) {
            (Some(_), _) => MatchState::Decided,
            (None, true) => MatchState::Playing,
            (None, false) => MatchState::Suspended,
        };
        let turn = of.evidence.chain.turn().filter(|_| state != MatchState::Decided);
        MatchRow {
            match_id,
            here: Seat::BOTH.map(|seat| self.live.contains_key(&of.user(seat))),
            game: of.grant().game.name(),
            state,
            plies: of.evidence.chain.plies(),
            turn: turn.map(|seat| names[seat.index()].clone()),
            names,
        }
    }
}
