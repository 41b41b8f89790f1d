//! One match as its player's client holds it: a keeper with a key.
//!
//! Invariants: an entry is on this disk before it is sent; after a start nothing is signed before another keeper has
//! answered a `Have`; a result is shown as recorded only when the server's verdict is what the evidence here says.

use super::event::{Event, MoveState, Presence};
use super::record::{MatchKey, MatchRecord, Write};
use crate::model::decide;
use crate::model::evidence::{Evidence, Keeper, Merge};
use crate::model::games::{Illegal, Seat};
use crate::model::id::{MatchId, Name, UserId};
use crate::model::key::{PublicKey, SecretKey};
use crate::model::limits::ENTRIES_PER_FRAME_MAX;
use crate::model::message::{Entries, Have, MatchView, Proofs, ToServer};
use crate::model::refusal::Refusal;
use crate::model::sign::{Signed, Verified};
use crate::model::statement::{Act, Entry, Foul, Grant, Held, Ruling, Verdict};
use crate::model::time::WallMs;

/// One match at one player.
#[derive(Debug)]
pub struct Table {
    /// All that is held about it.
    pub evidence: Evidence,
    grant: Signed<Grant>,
    names: [Name; 2],
    seat: Seat,
    key: Option<SecretKey>,
    answered: bool,
    wish: bool,
    shown: Option<Ruling>,
    verdict: Option<Signed<Verdict>>,
    disputed: Option<Ruling>,
    /// How many entries have been shown as seen and as kept.
    reported: [u16; 2],
    /// Whether the server has both players seated in it.
    pub active: bool,
    /// Whether the opponent has a link.
    pub opponent_here: bool,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// On disk before anything after it.
    Write(Write),
    /// To the server, if there is a link.
    Send(Box<ToServer>),
    /// To the player.
    Show(Box<Event>),
}

/// Why a player cannot act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cannot {
    /// The rules, or the turn.
    Refused(Refusal),
    /// No other keeper has been reached since this program started.
    Unanswered,
    /// The key of this seat is on another device.
    NoKey,
}

/// A file that holds no match that can be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a match file that does not fit together: {0}")]
pub struct BadFile(String);

impl Table {
    /// A match that has just been granted; the file is made first.
    ///
    /// # Errors
    /// [`BadFile`] if the grant is not of a game known here, or not this user's.
    pub fn open(view: &MatchView, user: UserId, key: Option<SecretKey>) -> Result<(Self, Vec<Effect>), BadFile> {
        let mut table = Self::new(view.grant.clone(), view.names.clone(), user, key)?;
        (table.active, table.opponent_here) = (view.active, view.opponent_here);
        // What is made here cannot have been signed for before: no keeper can show entries of this key.
        table.answered = table.key.is_some();
        let write = table.key.as_ref().map(|key| {
            let record = MatchRecord::Opened {
                grant: Box::new(view.grant.clone()),
                names: view.names.clone(),
                user,
                key: MatchKey::of(key),
            };
            Effect::Write(Write::Open { match_id: view.grant.body.match_id, record: Box::new(record) })
        });
        Ok((table, write.into_iter().collect()))
    }

    /// A match found in its file.
    ///
    /// # Errors
    /// [`BadFile`] if the records do not follow from each other.
    pub fn load(records: Vec<MatchRecord>) -> Result<Self, BadFile> {
        let bad = |why: &dyn std::fmt::Display| BadFile(why.to_string());
        let mut records = records.into_iter();
        let Some(MatchRecord::Opened { grant, names, user, key }) = records.next() else {
            return Err(BadFile("it does not begin with a grant".to_owned()));
        };
        let mut table = Self::new(*grant, names, user, Some(key.key()))?;
        for record in records {
            match record {
                MatchRecord::Opened { .. } => return Err(BadFile("it begins twice".to_owned())),
                MatchRecord::Entry(entry) => {
                    table.evidence.chain.push(&Verified::from_disk(entry)).map_err(|why| bad(&why))?;
                }
                MatchRecord::Foul(foul) => table.evidence.convict(*foul),
                MatchRecord::Held { keeper, held } => {
                    table.evidence.receipt(keeper, Verified::from_disk(held));
                }
                MatchRecord::WishToResign => table.wish = true,
                MatchRecord::Verdict(verdict) => table.verdict = Some(verdict),
            }
        }
        table.shown = table.verdict.as_ref().map(|verdict| verdict.body.ruling);
        table.reported = [table.seen(), table.kept()];
        Ok(table)
    }

    fn new(grant: Signed<Grant>, names: [Name; 2], user: UserId, key: Option<SecretKey>) -> Result<Self, BadFile> {
        let evidence = Evidence::new(grant.body.clone()).map_err(|why| BadFile(why.to_string()))?;
        let seat = Seat::BOTH.into_iter().find(|seat| grant.body.users[seat.index()] == user);
        let seat = seat.ok_or_else(|| BadFile("this user does not play in it".to_owned()))?;
        Ok(Self {
            evidence,
            grant,
            names,
            seat,
            key,
            answered: false,
            wish: false,
            shown: None,
            verdict: None,
            disputed: None,
            reported: [0; 2],
            active: false,
            opponent_here: false,
        })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> MatchId {
        self.grant.body.match_id
    }

    /// This player's seat.
    #[must_use]
    pub const fn seat(&self) -> Seat {
        self.seat
    }

    /// The player in a seat.
    #[must_use]
    pub const fn name(&self, seat: Seat) -> &Name {
        &self.names[seat.index()]
    }

    /// The other player.
    #[must_use]
    pub const fn opponent(&self) -> &Name {
        self.name(self.seat.other())
    }

    /// The grant, its entries, receipts and verdict, for a file.
    #[must_use]
    pub fn grant(&self) -> &Signed<Grant> {
        &self.grant
    }

    /// The server's verdict, once it is on this disk.
    #[must_use]
    pub const fn verdict(&self) -> Option<&Signed<Verdict>> {
        self.verdict.as_ref()
    }

    /// The public half of this seat's key, by the grant.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.grant.body.keys[self.seat.index()]
    }

    /// Whether nothing more is to be done: the verdict is stored.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.verdict.is_some()
    }

    /// How many entries the opponent has on disk.
    #[must_use]
    pub fn seen(&self) -> u16 {
        self.evidence.held_by(Keeper::Player(self.seat.other()))
    }

    /// How many entries the server has on disk.
    #[must_use]
    pub fn kept(&self) -> u16 {
        self.evidence.held_by(Keeper::Server)
    }

    /// Whether there is something the server does not have yet.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        !self.is_finished() && (self.kept() < self.evidence.chain.plies() || self.evidence.verdict().is_some())
    }

    /// How much is held here; the first thing said on every new link.
    #[must_use]
    pub fn have(&self) -> ToServer {
        let Held { match_id, epoch, .. } = self.evidence.held();
        ToServer::Have(Have { match_id, epoch, head: self.evidence.chain.head() })
    }

    /// Plays the move that `words` mean.
    ///
    /// # Errors
    /// [`Cannot`]; nothing has changed.
    pub fn play(&mut self, words: &[&str], at: WallMs) -> Result<Vec<Effect>, Cannot> {
        self.may_sign()?;
        let chain = &self.evidence.chain;
        if chain.turn() != Some(self.seat) {
            let over = chain.decided().is_some();
            return Err(Cannot::Refused(if over { Refusal::GameOver } else { Refusal::NotYourTurn }));
        }
        let refused = |why: Illegal| Cannot::Refused(why.into());
        let play = chain.game().read(words).map_err(refused)?;
        let act = Act::Play(play);
        chain.check(&chain.next_entry(act.clone(), at)).map_err(|why| Cannot::Refused(why.into()))?;
        Ok(self.sign(act, at))
    }

    /// Gives up: at once on the own turn, else at the next one. Says whether it was at once.
    ///
    /// # Errors
    /// [`Cannot`]; nothing has changed.
    pub fn resign(&mut self, at: WallMs) -> Result<(bool, Vec<Effect>), Cannot> {
        if self.key.is_none() {
            return Err(Cannot::NoKey);
        }
        match self.evidence.chain.turn() {
            None => Err(Cannot::Refused(Refusal::GameOver)),
            Some(turn) if turn == self.seat && self.answered => Ok((true, self.sign(Act::Resign, at))),
            Some(_) => {
                let first = !std::mem::replace(&mut self.wish, true);
                let stored = first.then(|| self.append(vec![MatchRecord::WishToResign])).flatten();
                Ok((false, stored.into_iter().collect()))
            }
        }
    }

    /// Another keeper has said how much it holds.
    pub fn on_have(&mut self, have: &Have, at: WallMs) -> Vec<Effect> {
        self.answered = true;
        let chain = &self.evidence.chain;
        let mut effects = Vec::new();
        let agrees = chain.head_at(have.head.plies) == Some(have.head.head);
        // Who is ahead sends by itself.
        if have.head.plies < chain.plies() || (have.head.plies == chain.plies() && !agrees) {
            let entries = chain.entries_from(if agrees { have.head.plies } else { 0 });
            effects.extend(self.entries_out(&entries));
        }
        effects.extend(self.receipt_out());
        effects.extend(self.wish_due(at));
        effects
    }

    /// Entries from another keeper.
    pub fn on_entries(&mut self, entries: Vec<Signed<Entry>>, at: WallMs) -> Vec<Effect> {
        let keys = self.grant.body.keys;
        let server = self.grant.body.server;
        let good: Result<Vec<Verified<Entry>>, _> = entries
            .into_iter()
            .map(|entry| {
                let key = keys[entry.body.seat.index()];
                entry.verify(&key, &server)
            })
            .collect();
        // A keeper that passes on a wrong signature passes on nothing.
        let Ok(entries) = good else { return Vec::new() };
        let merge = self.evidence.merge(&entries);
        let mut effects = self.adopt(&merge);
        if !merge.adopt.is_empty() {
            effects.extend(self.receipt_out());
        }
        effects.extend(self.wish_due(at));
        effects
    }

    /// Proofs of fouls from another keeper.
    pub fn on_proofs(&mut self, fouls: Vec<Foul>) -> Vec<Effect> {
        let mut merge = self.evidence.merge(&[]);
        let good = |foul: &Foul| {
            let key = &self.grant.body.keys[foul.first.body.seat.index()];
            let signed = |entry: &Signed<Entry>| entry.clone().verify(key, &self.grant.body.server).is_ok();
            foul.first.body.match_id == self.id()
                && Evidence::proves(foul)
                && signed(&foul.first)
                && signed(&foul.second)
        };
        merge.fouls = fouls.into_iter().filter(good).collect();
        self.adopt(&merge)
    }

    /// A receipt of another keeper.
    pub fn on_held(&mut self, keeper: Keeper, held: Signed<Held>, server_key: &PublicKey) -> Vec<Effect> {
        let key = match keeper {
            Keeper::Player(seat) => &self.grant.body.keys[seat.index()],
            Keeper::Server => server_key,
        };
        let record = MatchRecord::Held { keeper, held: held.clone() };
        let Ok(held) = held.verify(key, &self.grant.body.server) else { return Vec::new() };
        if keeper == Keeper::Player(self.seat) || !self.evidence.receipt(keeper, held) {
            return Vec::new();
        }
        let stored = self.append(vec![record]);
        stored.into_iter().chain(self.report()).collect()
    }

    /// The server's verdict.
    pub fn on_verdict(&mut self, verdict: Signed<Verdict>, server_key: &PublicKey) -> Vec<Effect> {
        let ruling = verdict.body.ruling;
        let Ok(verdict) = verdict.verify(server_key, &self.grant.body.server) else { return Vec::new() };
        let stored = ToServer::Stored { match_id: self.id(), ruling };
        if self.verdict.as_ref().is_some_and(|held| held.body.ruling == ruling) {
            return vec![send(stored)];
        }
        if self.evidence.verdict() != Some(ruling) {
            return self.dispute(ruling);
        }
        let verdict = verdict.into_signed();
        self.verdict = Some(verdict.clone());
        self.shown = Some(ruling);
        self.active = false;
        let file = self.append(vec![MatchRecord::Verdict(verdict)]);
        file.into_iter().chain([show(self.result(ruling, true)), send(stored)]).collect()
    }

    /// The server lacks evidence, or I do: each shows what it has, once for each verdict.
    fn dispute(&mut self, ruling: Ruling) -> Vec<Effect> {
        if self.disputed.replace(ruling) == Some(ruling) {
            return Vec::new();
        }
        let fouls: Vec<Foul> = self.evidence.fouls.iter().flatten().cloned().collect();
        let proofs = (!fouls.is_empty()).then(|| ToServer::Evidence(Proofs { match_id: self.id(), fouls }));
        proofs.into_iter().chain([self.have()]).map(send).collect()
    }

    /// The opponent's link.
    pub fn on_opponent(&mut self, here: bool) -> Vec<Effect> {
        if std::mem::replace(&mut self.opponent_here, here) == here {
            return Vec::new();
        }
        let state = if here { Presence::Here } else { Presence::Away };
        let mut effects = vec![show(Event::Opponent { state })];
        if here {
            // It may have missed my last receipt.
            effects.extend(self.receipt_out());
        }
        effects
    }

    /// The match as an event.
    #[must_use]
    pub fn match_event(&self) -> Event {
        Event::Match {
            match_id: self.id().to_string(),
            you: self.seat.to_string(),
            opponent: self.opponent().to_string(),
            game: self.grant.body.game.name(),
        }
    }

    /// The board as an event.
    #[must_use]
    pub fn board(&self) -> Event {
        let chain = &self.evidence.chain;
        Event::Board {
            match_id: self.id().to_string(),
            ply: chain.plies(),
            turn: chain.turn().map(|seat| seat.to_string()),
            rows: chain.game().show(),
            moves: chain.cells().into_iter().map(|cell| [cell.row, cell.col]).collect(),
        }
    }

    fn may_sign(&self) -> Result<(), Cannot> {
        if self.key.is_none() {
            Err(Cannot::NoKey)
        } else if !self.answered {
            Err(Cannot::Unanswered)
        } else {
            Ok(())
        }
    }

    /// Signs the next entry, stores it, shows it, sends it.
    fn sign(&mut self, act: Act, at: WallMs) -> Vec<Effect> {
        let key = self.key.as_ref().expect("the caller has checked");
        let entry = Signed::by(key, &self.grant.body.server, self.evidence.chain.next_entry(act, at));
        let entry = Verified::from_disk(entry);
        let merge = self.evidence.merge(std::slice::from_ref(&entry));
        assert!(merge.refused.is_none(), "the caller has checked that it can be played");
        let mut effects = self.adopt(&merge);
        effects.extend(self.entries_out(&[entry]));
        effects
    }

    /// The wish to resign, on the own turn.
    fn wish_due(&mut self, at: WallMs) -> Vec<Effect> {
        let due = self.wish && self.may_sign().is_ok() && self.evidence.chain.turn() == Some(self.seat);
        if due { self.sign(Act::Resign, at) } else { Vec::new() }
    }

    /// Stores and shows what a merge found.
    fn adopt(&mut self, merge: &Merge) -> Vec<Effect> {
        let fouls = merge.fouls.iter().filter(|foul| self.evidence.fouls[foul.first.body.seat.index()].is_none());
        let fouls = fouls.map(|foul| MatchRecord::Foul(Box::new(foul.clone())));
        let entries = merge.adopt.iter().map(|entry| MatchRecord::Entry(entry.signed().clone()));
        let records: Vec<MatchRecord> = entries.chain(fouls).collect();
        if records.is_empty() {
            return Vec::new();
        }
        let mut effects: Vec<Effect> = self.append(records).into_iter().collect();
        for entry in &merge.adopt {
            effects.push(show(self.move_event(entry.body(), None)));
            self.evidence.chain.push(entry).expect("the merge was made against this history");
        }
        merge.fouls.iter().for_each(|foul| self.evidence.convict(foul.clone()));
        if !merge.adopt.is_empty() {
            effects.push(show(self.board()));
        }
        effects.extend(self.report());
        effects.extend(self.show_result());
        effects
    }

    /// Shows moves that have become seen or kept since the last time. The receiver's own disk is the seen of the
    /// opponent's moves.
    fn report(&mut self) -> Vec<Effect> {
        let now = [self.seen(), self.kept()];
        let mut effects = Vec::new();
        for (which, state) in [(0, MoveState::Seen), (1, MoveState::Kept)] {
            for entry in self.evidence.chain.entries_from(self.reported[which]) {
                let body = entry.body();
                let of_opponent = state == MoveState::Seen && body.seat != self.seat;
                if body.ply < now[which] && !of_opponent {
                    effects.push(show(self.move_event(body, Some(state))));
                }
            }
            self.reported[which] = self.reported[which].max(now[which]);
        }
        effects
    }

    /// The result by the evidence here, before the server has said it.
    fn show_result(&mut self) -> Option<Effect> {
        let ruling = self.evidence.verdict()?;
        if self.shown == Some(ruling) {
            return None;
        }
        self.shown = Some(ruling);
        Some(show(self.result(ruling, false)))
    }

    fn result(&self, ruling: Ruling, recorded: bool) -> Event {
        let why = decide::why(ruling).to_owned();
        Event::Result { match_id: self.id().to_string(), outcome: ruling.fared(self.seat), why, recorded }
    }

    /// A move as an event. Without a state it is new here: `sent` if it is mine, else `seen`, for it is on my disk.
    fn move_event(&self, entry: &Entry, state: Option<MoveState>) -> Event {
        let mine = entry.seat == self.seat;
        let state = state.unwrap_or(if mine { MoveState::Sent } else { MoveState::Seen });
        let cell = match &entry.act {
            // In running play it is the next move, and the position is at hand.
            Act::Play(play) if entry.ply == self.evidence.chain.plies() => self.evidence.chain.game().cell(play),
            Act::Play(play) => self.evidence.chain.position_at(entry.ply).cell(play),
            Act::Resign => None,
        };
        Event::Move {
            match_id: self.id().to_string(),
            ply: entry.ply,
            by: self.name(entry.seat).to_string(),
            row: cell.map(|cell| cell.row),
            col: cell.map(|cell| cell.col),
            resigns: entry.act == Act::Resign,
            state,
            acknowledged: state != MoveState::Sent,
        }
    }

    fn entries_out(&self, entries: &[Verified<Entry>]) -> Vec<Effect> {
        let part = |some: &[Verified<Entry>]| {
            let entries = some.iter().map(|entry| entry.signed().clone()).collect();
            send(ToServer::Entries(Entries { match_id: self.id(), entries }))
        };
        entries.chunks(ENTRIES_PER_FRAME_MAX).map(part).collect()
    }

    /// My receipt, if the last entry is not my own and says it already.
    fn receipt_out(&self) -> Option<Effect> {
        let plies = self.evidence.chain.plies();
        let key = self.key.as_ref()?;
        let owed = plies > 0 && Seat::at(plies - 1) != self.seat;
        owed.then(|| send(ToServer::Held(Signed::by(key, &self.grant.body.server, self.evidence.held()))))
    }

    /// A spectator has no file: what it sees is on the other device.
    fn append(&self, records: Vec<MatchRecord>) -> Option<Effect> {
        self.key.is_some().then(|| Effect::Write(Write::Append { match_id: self.id(), records }))
    }
}

fn send(message: ToServer) -> Effect {
    Effect::Send(Box::new(message))
}

fn show(event: Event) -> Effect {
    Effect::Show(Box::new(event))
}
