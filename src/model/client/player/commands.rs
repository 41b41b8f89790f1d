//! What the player types, and the requests that follow.

use super::direct::{Via, in_ms};
use super::{Asked, Effect, OFFERS_MAX, Pending, Player, User};
use crate::model::client::command::Typed;
use crate::model::client::delay::Delays;
use crate::model::client::event::{Event, Reply};
use crate::model::client::record::{UserFiles, Write};
use crate::model::client::table::{Cannot, Table};
use crate::model::id::{MatchId, Name, RequestSeq};
use crate::model::key::{PublicKey, SecretKey};
use crate::model::limits::{INVITE_MAX, KEPT_LATE_AFTER};
use crate::model::message::{Answer, Command, ToServer};
use crate::model::refusal::Refusal;
use crate::model::time::Now;
use crate::mutant::{Mutant, is_on};
use rand_chacha::rand_core::Rng;

impl Player {
    pub(super) fn typed(&mut self, typed: Typed) {
        self.supervisor.wake(self.now);
        self.wake_peer();
        match typed {
            Typed::AddUser(..)
            | Typed::Login(..)
            | Typed::Passwd(..)
            | Typed::Logout
            | Typed::Leaders
            | Typed::List
            | Typed::Begin(..)
            | Typed::Accept(_)
            | Typed::Decline(_)
            | Typed::Leave
            | Typed::TakeSeat(_)
            | Typed::Rematch => self.enqueue(typed),
            Typed::Send(words) => self.play(&words),
            Typed::End => self.resign(),
            Typed::Board => self.board(),
            Typed::Delay => self.delay(),
            Typed::Status => {
                let status = Some(self.status(self.now));
                self.reply(Reply { status, path: Some(self.path()), ..Reply::done("status") });
            }
        }
    }

    /// Makes and sends the request at the head of the outbox, if it is time.
    pub(super) fn next_request(&mut self) {
        let ready = self.heart.as_ref().is_some_and(|heart| heart.ready);
        while ready
            && self.held_until().is_none()
            && self.outbox.front().is_some_and(|head| head.request.is_none() && !head.opening)
        {
            let head = self.outbox.pop_front().expect("just looked at");
            match self.make_request(&head.typed) {
                Ok(Some(command)) => {
                    self.last_seq = RequestSeq(self.last_seq.0 + 1);
                    let seq = self.last_seq;
                    self.send(ToServer::Request { seq, command: command.clone() });
                    self.outbox.push_front(Pending { request: Some((seq, command)), ..head });
                }
                Ok(None) => self.outbox.push_front(Pending { opening: true, ..head }),
                Err(refusal) => self.refused(&head.typed, refusal),
            }
        }
    }

    /// Until when what would begin another match waits after an outage: a game that was decided meanwhile is settled
    /// first, or else the server would still see the player in it; and the other must come back as well.
    pub(super) fn held_until(&self) -> Option<Now> {
        let head = self.outbox.front().filter(|head| head.request.is_none())?;
        let begins = matches!(head.typed, Typed::Begin(..) | Typed::Accept(_) | Typed::Rematch);
        let settling =
            self.seated_table().is_some_and(|table| table.evidence.verdict().is_some() && !table.is_finished());
        let until = self.live_at? + KEPT_LATE_AFTER;
        (begins && (settling || head.outage) && self.now < until).then_some(until)
    }

    /// The request that a command comes to, or `None` while the user's files are being opened.
    fn make_request(&mut self, typed: &Typed) -> Result<Option<Command>, Refusal> {
        Ok(Some(match typed {
            Typed::AddUser(name, password) => Command::AddUser { name: name.clone(), password: password.clone() },
            Typed::Login(name, password) => {
                if self.has_session() {
                    return Err(Refusal::AlreadyLoggedIn);
                }
                let Some(user) = self.user.as_ref().filter(|user| user.name.key() == name.key()) else {
                    self.effects.push_back(Effect::OpenUser(name.clone()));
                    return Ok(None);
                };
                let device = user.device.public();
                Command::Login { name: name.clone(), password: password.clone(), device }
            }
            Typed::Passwd(old, new) => Command::Passwd { old: old.clone(), new: new.clone() },
            Typed::Logout => Command::Logout,
            Typed::Leaders => Command::Leaders,
            Typed::List => Command::List,
            Typed::Begin(to, game) => {
                let key = self.offer()?;
                Command::Begin { to: to.clone(), game: game.clone(), key }
            }
            Typed::Rematch => {
                let (to, game, _) = self.last.clone().ok_or(Refusal::NoMatch)?;
                Command::Begin { to, game, key: self.offer()? }
            }
            Typed::Accept(from) => {
                let from = self.inviter(from.as_ref())?;
                Command::Accept { from, key: self.offer()? }
            }
            Typed::Decline(from) => Command::Decline { from: self.inviter(from.as_ref())? },
            Typed::TakeSeat(match_id) => Command::TakeSeat { match_id: *match_id, key: self.seat_key(*match_id)? },
            Typed::Leave => Command::Leave { match_id: self.seated.ok_or(Refusal::NoMatch)? },
            Typed::Send(_) | Typed::Board | Typed::Delay | Typed::End | Typed::Status => {
                unreachable!("answered here, never queued")
            }
        }))
    }

    pub(super) fn user_opened(&mut self, name: Name, files: Result<Box<UserFiles>, (&'static str, String)>) {
        let waiting = self.outbox.front_mut().filter(|head| head.opening);
        let logging_in = waiting.map(|head| head.opening = false).is_some();
        match files {
            // The password was typed: a new session takes the place of the old one.
            Ok(files) if logging_in => self.load(name, UserFiles { session: None, ..*files }),
            Ok(files) => self.load(name, *files),
            Err((error, why)) if logging_in => {
                self.outbox.pop_front();
                self.reply(Reply::refused("login", error, why));
            }
            Err((error, why)) => self.notice(error, why),
        }
    }

    fn load(&mut self, name: Name, files: UserFiles) {
        let UserFiles { device, session, offers, matches } = files;
        self.user = Some(User { name, device, session, offers });
        self.seat_keys.clear();
        self.tables.clear();
        self.seated = None;
        for records in matches {
            match Table::load(records) {
                Ok(table) => {
                    self.tables.insert(table.id(), table);
                }
                Err(why) => self.notice("match-file-damaged", why.to_string()),
            }
        }
        let newest = |table: &Table| table.evidence.chain.links().last().map(|link| link.at);
        if let Some(last) = self.tables.values_mut().max_by_key(|table| newest(table)) {
            last.doubt();
        }
        // One that is over and not recorded is at hand too: the opponent may not know the last move.
        let open = self.tables.values().filter(|table| !table.is_finished());
        let seated = open.max_by_key(|table| newest(table)).map(Table::id);
        // Until the server says which match one is seated in, the newest unfinished one is the best guess.
        if let Some(id) = seated.filter(|_| self.has_session()) {
            self.sit(id);
        }
        let ended: Vec<Event> = self.tables.values().filter_map(Table::unrecorded).collect();
        ended.into_iter().for_each(|result| self.show(result));
    }

    /// Takes a seat: shows the match and its board.
    pub(super) fn sit(&mut self, id: MatchId) {
        let Some(table) = self.tables.get(&id) else { return };
        self.seated = Some(id);
        let game = table.grant().game.clone();
        self.last = Some((table.opponent().clone(), game, id));
        let (shown, board) = (table.match_event(), table.board());
        self.show(shown);
        self.show(board);
    }

    /// A new match key, on disk before it is offered.
    fn offer(&mut self) -> Result<PublicKey, Refusal> {
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        self.random.fill_bytes(&mut *seed);
        let user = self.user.as_mut().ok_or(Refusal::NotLoggedIn)?;
        let key = if is_on(Mutant::KeyOutsideTheFile) { user.only_key() } else { SecretKey::from_seed(&seed) };
        let public = key.public();
        user.offers.push(key);
        let surplus = user.offers.len().saturating_sub(OFFERS_MAX);
        user.offers.drain(..surplus);
        self.effects.push_back(Effect::Write(Write::Offers(user.offers.clone())));
        Ok(public)
    }

    /// The key to ask for a seat with. Who asks again, for the answer is slow, names the same: another one would take the
    /// seat from the first as soon as that is granted, and drop what was played meanwhile.
    fn seat_key(&mut self, match_id: MatchId) -> Result<PublicKey, Refusal> {
        let on_offer = |key: &PublicKey| {
            self.user.as_ref().is_some_and(|user| user.offers.iter().any(|offer| offer.public() == *key))
        };
        if let Some(key) = self.seat_keys.get(&match_id).copied().filter(on_offer) {
            return Ok(key);
        }
        let key = self.offer()?;
        self.seat_keys.insert(match_id, key);
        Ok(key)
    }

    fn inviter(&self, named: Option<&Name>) -> Result<Name, Refusal> {
        match (named, &self.invites[..]) {
            (Some(name), _) => Ok(name.clone()),
            (None, [only]) => Ok(only.by.clone()),
            (None, _) => Err(Refusal::NoInvite),
        }
    }

    /// The answer to the request at the head of the outbox.
    pub(super) fn answered(&mut self, seq: RequestSeq, result: Result<Answer, Refusal>) {
        let fits = |head: &Pending| head.request.as_ref().is_some_and(|(sent, _)| *sent == seq);
        // A late second answer.
        if !self.outbox.front().is_some_and(fits) {
            return;
        }
        let Pending { typed, .. } = self.outbox.pop_front().expect("just looked at");
        let word = typed.word();
        match result {
            Err(refusal) => self.refused(&typed, refusal),
            Ok(Answer::Users { rows, .. }) => self.reply(Reply { users: Some(rows), ..Reply::done(word) }),
            Ok(Answer::Leaders { rows, .. }) => self.reply(Reply { rows: Some(rows), ..Reply::done(word) }),
            Ok(Answer::Done) => self.done(typed),
        }
    }

    fn refused(&mut self, typed: &Typed, refusal: Refusal) {
        let Typed::TakeSeat(match_id) = typed else { return self.refuse(typed.word(), refusal) };
        // Nobody has typed it. What stands in its way may pass.
        self.asked_seats.insert(*match_id, Asked::Refused);
        self.notice("seat-refused", refusal.to_string());
    }

    fn done(&mut self, typed: Typed) {
        let word = typed.word();
        match typed {
            Typed::AddUser(name, _) => self.reply(Reply::said(word, format!("{name} is there; login {name}"))),
            Typed::Login(name, _) => self.reply(Reply::said(word, format!("welcome, {name}"))),
            Typed::Passwd(..) => self.reply(Reply::said(word, "the password is changed")),
            Typed::Begin(to, _) => {
                self.reply(Reply::said(word, format!("asked {to}; waiting for an answer")));
                self.invited = Some((to, self.now + INVITE_MAX));
            }
            Typed::Rematch => {
                self.reply(Reply::said(word, "asked for another one; waiting for an answer"));
                self.invited = self.last.as_ref().map(|(with, ..)| (with.clone(), self.now + INVITE_MAX));
            }
            Typed::Logout => {
                // On disk first: who was told so is not logged in again after a crash.
                self.forget_session();
                self.reply(Reply::said(word, "logged out"));
            }
            Typed::Decline(_) => {
                self.reply(Reply::done(word));
            }
            Typed::Accept(_) | Typed::Leave => self.reply(Reply::done(word)),
            Typed::Leaders
            | Typed::List
            | Typed::Send(_)
            | Typed::Board
            | Typed::Delay
            | Typed::End
            | Typed::TakeSeat(_)
            | Typed::Status => {}
        }
    }

    /// The session is over; the files stay, and another user may log in.
    pub(super) fn forget_session(&mut self) {
        if !is_on(Mutant::LogoutForgotten) {
            self.effects.push_back(Effect::Write(Write::Session(None)));
        }
        self.effects.push_back(Effect::CloseUser);
        self.user = None;
        self.tables.clear();
        self.outbox.retain(|pending| !matches!(pending.typed, Typed::TakeSeat(_)));
        self.asked_seats.clear();
        self.seated = None;
        self.last = None;
        self.invites.clear();
        self.invited = None;
    }

    fn play(&mut self, words: &[String]) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let wall = self.wall;
        let Some(table) = self.seated.and_then(|id| self.tables.get_mut(&id)) else {
            return self.refuse("send", Refusal::NoMatch);
        };
        match table.play(&words, wall) {
            Ok(effects) => {
                self.carry_out(effects, Via::Server);
                self.reply(Reply::done("send"));
            }
            Err(why) => self.cannot("send", why),
        }
    }

    fn resign(&mut self) {
        let wall = self.wall;
        let Some(table) = self.seated.and_then(|id| self.tables.get_mut(&id)) else {
            return self.refuse("end", Refusal::NoMatch);
        };
        let on_turn = table.evidence.chain.turn() == Some(table.seat());
        match table.resign(wall) {
            Ok((at_once, effects)) => {
                self.carry_out(effects, Via::Server);
                let said = match (at_once, on_turn) {
                    (true, _) => "you have resigned",
                    (false, true) => "you will resign as soon as the server or the opponent is reached",
                    (false, false) => "you will resign when your turn comes; it is the other's move",
                };
                self.reply(Reply::said("end", said));
            }
            Err(why) => self.cannot("end", why),
        }
    }

    fn board(&mut self) {
        match self.table().map(Table::board) {
            Some(board) => {
                self.show(board);
                self.reply(Reply::done("board"));
            }
            None => self.refuse("board", Refusal::NoMatch),
        }
    }

    fn delay(&mut self) {
        let delays = self.delays();
        let reply = Reply {
            rtt_ms: Some(delays.map(Delays::last3).unwrap_or_default().into_iter().map(in_ms).collect()),
            median_ms: delays.and_then(Delays::median).map(in_ms),
            p95_ms: delays.and_then(Delays::p95).map(in_ms),
            jitter_ms: delays.and_then(Delays::jitter).map(in_ms),
            path: Some(self.path()),
            ..Reply::done("delay")
        };
        self.reply(reply);
    }

    pub(super) fn refuse(&mut self, word: &str, refusal: Refusal) {
        self.reply(Reply::refused(word, refusal.word(), refusal.to_string()));
    }

    fn cannot(&mut self, word: &str, cannot: Cannot) {
        match cannot {
            Cannot::Refused(refusal) => self.refuse(word, refusal),
            Cannot::Unanswered if !self.has_session() => self.refuse(word, Refusal::NotLoggedIn),
            Cannot::Unanswered => {
                let why = "wait for the server or the opponent: neither has been reached since this program started, \
                           and only they know whether you have moved already";
                self.reply(Reply::refused(word, "nobody-reached", why));
            }
            Cannot::Promised => {
                let why = "the opponent is about to play from another device; wait until the server has said so";
                self.reply(Reply::refused(word, "opponent-moving", why));
            }
            Cannot::NoKey => {
                let why = "the key of this match is on another device; go on there, or wait until the opponent's \
                           program has let you go on here";
                self.reply(Reply::refused(word, "other-device", why));
                let refused = |seated: &MatchId| self.asked_seats.get(seated) == Some(&Asked::Refused);
                if let Some(seated) = self.seated.filter(refused) {
                    self.asked_seats.remove(&seated);
                    self.ask_for_seat(seated);
                }
            }
        }
    }
}
