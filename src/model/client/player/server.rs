//! What the server says.

use std::time::Duration;

use rand_chacha::rand_core::Rng;

use super::direct::Via;
use super::{Asked, Effect, Pending, Player, SEEN_SAVED_AFTER};
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, PathKind};
use crate::model::client::record::{SavedSession, Write};
use crate::model::client::table::{self, Table};
use crate::model::id::MatchId;
use crate::model::key::SecretKey;
use crate::model::message::{CloseReason, InviteView, KeeperMessage, MatchView, ToClient, ToServer, View};
use crate::model::refusal::Refusal;
use crate::model::time::ms;
use crate::mutant::{Mutant, is_on};

impl Player {
    pub(super) fn message(&mut self, message: ToClient) {
        let Some(heart) = &mut self.heart else { return };
        heart.silence.heard(self.now);
        match message {
            ToClient::Answer { seq, result } => self.answered(seq, result),
            ToClient::Live(view) => self.live(*view),
            ToClient::ResumeRefused(refusal) => self.resume_refused(refusal),
            ToClient::Ping(number) => self.send(ToServer::Pong(number)),
            ToClient::Pong(number) => {
                if let Some(round_trip) = heart.pulse.pong(self.now, number) {
                    self.server_delays.push(round_trip);
                }
            }
            ToClient::Invited(invite) => self.invited(invite),
            ToClient::InviteClosed { with, why } => {
                self.invites.retain(|open| open.by != with);
                self.invited.take_if(|(to, _)| to.key() == with.key());
                let why = format!("{why:?}").to_lowercase();
                self.show(Event::InviteClosed { with: with.to_string(), why });
            }
            ToClient::Matched(view) => self.matched(&view),
            ToClient::Suspended { match_id, by } => self.suspended(match_id, &by.to_string()),
            ToClient::Offered { match_id } => self.offered(match_id),
            ToClient::PromiseWanted { match_id, epoch } => {
                self.at(match_id, Via::Server, |table| table.on_promise_wanted(epoch));
            }
            ToClient::Peer { match_id, candidates } => self.opponent_at(match_id, candidates),
            ToClient::Opponent { match_id, here } => self.at(match_id, Via::Server, |table| table.on_opponent(here)),
            ToClient::Keeper(message) => self.keeper(message, Via::Server),
            ToClient::EntryRefused { match_id, refusal, .. } => self.entry_refused(match_id, refusal),
            ToClient::Restarting { eta_ms } => {
                let text = format!("the server restarts and is back in about {} s", eta_ms.div_ceil(1000));
                self.notice("restarting", text);
            }
            ToClient::Announcement(text) => self.notice("announcement", format!("the server says: {text}")),
            ToClient::Closing { why, retry_after_ms } => {
                self.closing(why, Duration::from_millis(u64::from(retry_after_ms)));
            }
            ToClient::Welcome(_) | ToClient::UpgradeRequired { .. } | ToClient::Unsupported { .. } => {}
        }
    }

    /// What another keeper says.
    pub(super) fn keeper(&mut self, message: KeeperMessage, via: Via) {
        let (id, wall) = (message.match_id(), self.wall);
        let shown = matches!(message, KeeperMessage::Have(_));
        let holds = |player: &Self| player.tables.get(&id).is_some_and(|table| table.key().is_some());
        let held = holds(self);
        self.at(id, via, |table| table.on_keeper(message, wall));
        self.gain(id);
        // Who has come back here before another device was given the seat that it had asked for asks anew.
        let taken = held && !holds(self) && self.heart.as_ref().is_some_and(|heart| heart.ready);
        if shown || taken {
            self.ask_for_seat(id);
        }
        self.rise(id);
    }

    /// Takes a seat by a key that was offered for it.
    fn gain(&mut self, match_id: MatchId) {
        let Some((user, table)) = self.user.as_mut().zip(self.tables.get_mut(&match_id)) else { return };
        let effects = table.gain(&user.offers);
        if effects.is_empty() {
            return;
        }
        let gained = table.key().map(SecretKey::public);
        user.offers.retain(|key| Some(key.public()) != gained);
        // What was to ask for the seat once more would ask for it under another key.
        let asks = |pending: &Pending| matches!(pending.typed, Typed::TakeSeat(of) if of == match_id);
        self.outbox.retain(|pending| pending.request.is_some() || !asks(pending));
        let offers = Effect::Write(Write::Offers(user.offers.clone()));
        let text = format!("you play against {} from here now", table.opponent());
        // The file first: a crash between the two leaves the key in both places, never in neither.
        self.carry_out(effects, Via::Server);
        self.effects.push_back(offers);
        self.notice("seat-taken", text);
    }

    /// A match in play whose key is not here is asked for: its file was lost, or is on another device.
    pub(super) fn ask_for_seat(&mut self, match_id: MatchId) {
        let Some(table) = self.tables.get(&match_id) else { return };
        let wanted = table.active && table.key().is_none() && table.evidence.verdict().is_none();
        if wanted && !self.asked_seats.contains_key(&match_id) {
            self.asked_seats.insert(match_id, Asked::Waits);
            let text = format!(
                "the key of this match is not on this disk; {} is asked to let you go on here",
                table.opponent()
            );
            self.notice("seat-elsewhere", text);
            self.enqueue(Typed::TakeSeat(match_id));
        }
    }

    /// Logged in or back: the whole picture.
    fn live(&mut self, view: View) {
        let View { session, user, name, boot, lsn, invites, matches, show_all } = view;
        let saved = SavedSession { session, user, name, seen: (boot, lsn) };
        let Some(open) = &mut self.user else { return };
        let new = open.session.as_ref().is_none_or(|known| known.session != session);
        open.session = Some(saved.clone());
        if new {
            self.ask_anew();
        }
        if new && !is_on(Mutant::SessionWrittenLate) {
            self.effects.push_back(Effect::Write(Write::Session(Some(saved))));
        } else {
            // What was seen of the server can wait: after a restart everybody's disk has better things to do.
            let spread = Duration::from_millis(self.random.next_u64() % ms(SEEN_SAVED_AFTER));
            self.save_at = self.now + SEEN_SAVED_AFTER + spread;
        }
        self.connected();
        self.drain_supervisor();
        for invite in invites.iter().filter(|invite| !self.invites.contains(invite)).cloned().collect::<Vec<_>>() {
            self.show_invite(&invite);
        }
        self.invites = invites;
        self.tables.values_mut().for_each(|table| table.active = false);
        for of in &matches {
            self.take_view(of);
        }
        // The verdict may have come from the opponent, and the view may be older.
        let in_play = |id: &MatchId| self.tables.get(id).is_none_or(|table| !table.is_finished());
        let seated = matches.iter().filter(|of| of.active).map(|of| of.grant.body.match_id).find(in_play);
        match seated {
            Some(id) => self.sit(id),
            None => self.stand_up(&matches),
        }
        let known: Vec<MatchId> = matches.iter().map(|of| of.grant.body.match_id).collect();
        self.greet_keepers(&known, show_all);
        for of in matches.iter().filter(|of| !of.active && of.opponent_here) {
            self.offered(of.grant.body.match_id);
        }
    }

    /// Somebody left the match meanwhile, or it has its verdict, which follows.
    fn stand_up(&mut self, matches: &[MatchView]) {
        let listed = matches.iter().any(|of| Some(of.grant.body.match_id) == self.seated);
        // A server that has lost state does not know it yet; and whoever plays on directly has not left.
        if !listed || self.path() == PathKind::Direct {
            return;
        }
        let left = self.seated.take().and_then(|id| self.tables.get(&id));
        let Some(table) = left.filter(|table| table.evidence.verdict().is_none()) else { return };
        let (match_id, with) = (table.id().to_string(), table.opponent().to_string());
        self.show(Event::Suspended { match_id, by: with.clone(), with });
    }

    /// The first thing said on every new link, for each match that is not settled on both sides.
    fn greet_keepers(&mut self, known: &[MatchId], all: bool) {
        let open = self.tables.values().filter(|table| all || !table.is_finished() || known.contains(&table.id()));
        let greetings: Vec<KeeperMessage> = open.flat_map(Table::greeting).collect();
        greetings.into_iter().for_each(|greeting| self.send(ToServer::Keeper(greeting)));
    }

    /// A match of the view: opens its file if it is new here.
    fn take_view(&mut self, view: &MatchView) {
        let id = view.grant.body.match_id;
        if let Some(table) = self.tables.get_mut(&id) {
            table.active = view.active;
            table.opponent_here = view.opponent_here;
            return;
        }
        // Whose invitation is accepted once more, by a server that has forgotten the first time, has the key in that match.
        let fits = |key: &&SecretKey| view.grant.body.keys.contains(&key.public());
        let known = self.tables.values().filter_map(Table::key).find(fits).cloned();
        let Some(user) = &mut self.user else { return };
        let Some(server_key) = self.server_key else { return };
        let Some(id) = user.session.as_ref().map(|session| session.user) else { return };
        let offered = user.offers.iter().position(|key| view.grant.body.keys.contains(&key.public()));
        let mut key = offered.map(|at| user.offers.remove(at));
        if is_on(Mutant::KeyOutsideTheFile) {
            key = key.or_else(|| Some(user.only_key()).filter(|key| view.grant.body.keys.contains(&key.public())));
        }
        let offers = key.is_some().then(|| Effect::Write(Write::Offers(user.offers.clone())));
        key = key.or(known);
        match Table::open(view, id, key, server_key) {
            Ok((table, effects)) => {
                self.tables.insert(table.id(), table);
                // The file first: a crash between the two leaves the key in both places, never in neither.
                self.carry_out(effects, Via::Server);
                self.effects.extend(offers);
            }
            Err(why) => self.notice("unknown-match", why.to_string()),
        }
    }

    fn matched(&mut self, view: &MatchView) {
        let id = view.grant.body.match_id;
        self.take_view(view);
        // One that the server had lost, and is told of by the other player, is not played yet: it asks what is here. And
        // the verdict may have come from the opponent, and this be older.
        if view.active && !self.tables.get(&id).is_some_and(Table::is_finished) {
            self.invites.clear();
            self.invited = None;
            self.sit(id);
            self.explain_ways();
        }
        let says = |table: &&Table| table.evidence.chain.plies() > 0 || table.key().is_none() || !view.active;
        let greeting = self.tables.get(&id).filter(says).map(Table::greeting).unwrap_or_default();
        greeting.into_iter().for_each(|greeting| self.send(ToServer::Keeper(greeting)));
    }

    fn invited(&mut self, invite: InviteView) {
        self.show_invite(&invite);
        self.invites.push(invite);
    }

    fn show_invite(&mut self, invite: &InviteView) {
        let (by, game) = (invite.by.to_string(), invite.game.name());
        self.show(Event::Invited { by, game, resumes: invite.resume.is_some() });
    }

    fn suspended(&mut self, match_id: MatchId, by: &str) {
        let Some(table) = self.tables.get_mut(&match_id) else { return };
        table.active = false;
        let (match_id_text, with, by) = (match_id.to_string(), table.opponent().to_string(), by.to_owned());
        self.show(Event::Suspended { match_id: match_id_text, with, by });
        self.rise_from(match_id);
    }

    fn offered(&mut self, match_id: MatchId) {
        let Some(table) = self.tables.get(&match_id).filter(|table| table.evidence.verdict().is_none()) else { return };
        let event = Event::Offered {
            match_id: match_id.to_string(),
            opponent: table.opponent().to_string(),
            game: table.grant().game.name(),
            ply: table.evidence.chain.plies(),
        };
        self.show(event);
    }

    fn entry_refused(&mut self, match_id: MatchId, refusal: Refusal) {
        let text = if refusal == Refusal::NotAPlayer {
            format!("the server does not know match {match_id}; it is kept on this disk")
        } else {
            format!("the server did not take a move of match {match_id}: {refusal}")
        };
        self.notice("entry-refused", text);
    }

    /// Leaves the seat of a match that has its verdict.
    fn rise(&mut self, match_id: MatchId) {
        if self.tables.get(&match_id).is_some_and(Table::is_finished) {
            self.rise_from(match_id);
        }
        if is_on(Mutant::DecidedDropped) && !self.may_tell() {
            self.tables.retain(|_, table| table.evidence.verdict().is_none());
            self.seated.take_if(|seated| !self.tables.contains_key(seated));
        }
    }

    fn rise_from(&mut self, match_id: MatchId) {
        self.seated.take_if(|seated| *seated == match_id);
    }

    fn resume_refused(&mut self, refusal: Refusal) {
        if let Refusal::Busy { retry_after_ms } = refusal {
            return self.lost(Duration::from_millis(u64::from(retry_after_ms)));
        }
        self.end_session();
        self.connected();
    }

    /// The session is over by the server's word. What is on this disk stays in use: a match goes on with the opponent
    /// until somebody logs in.
    fn end_session(&mut self) {
        self.notice("session-ended", "the session has ended; log in again");
        if let Some(user) = &mut self.user {
            user.session = None;
            self.effects.push_back(Effect::Write(Write::Session(None)));
        }
        self.invites.clear();
        self.invited = None;
    }

    fn closing(&mut self, why: CloseReason, retry_after: Duration) {
        match why {
            CloseReason::Superseded => {
                self.notice("superseded", "this session was taken up by another program; press Enter to take it back");
                self.supervisor.stop();
            }
            CloseReason::SessionEnded => self.end_session(),
            CloseReason::Full | CloseReason::Silent | CloseReason::Malformed | CloseReason::Slow => {}
        }
        self.lost(retry_after);
    }

    /// Lets a match act, if there is one.
    pub(super) fn at(&mut self, match_id: MatchId, via: Via, act: impl FnOnce(&mut Table) -> Vec<table::Effect>) {
        let Some(table) = self.tables.get_mut(&match_id) else { return };
        let effects = act(table);
        self.carry_out(effects, via);
    }
}
