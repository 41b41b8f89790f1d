//! One match as its player's client holds it: a keeper with a key.
//!
//! Invariants: an entry is on this disk before it is sent; after a start nothing is signed before another keeper has
//! answered a `Have`; after a promise nothing is signed, nor taken of the epoch that ends, before the newer grant or a
//! verdict; a result is shown as recorded only when the server's verdict is what the evidence here says. By which path
//! a message came is not known here.

mod keeper;
#[cfg(test)]
mod picture;
mod show;

use std::net::SocketAddr;

use super::event::Event;
use super::record::{MatchKey, MatchRecord, Write};
use crate::model::evidence::{Evidence, Keeper, Step};
use crate::model::games::{Illegal, Seat};
use crate::model::id::{MatchId, Name, UserId};
use crate::model::key::{PublicKey, SecretKey, ServerId};
use crate::model::message::{Have, KeeperMessage, MatchView, ToServer};
use crate::model::refusal::Refusal;
use crate::model::sign::{Signed, Verified};
use crate::model::statement::{Act, Base, Grant, Promise, Ruling, Verdict};
use crate::model::time::WallMs;
use crate::mutant::{Mutant, is_on};

/// One match at one player.
#[derive(Clone, Debug)]
pub struct Table {
    /// All that is held about it.
    pub evidence: Evidence,
    names: [Name; 2],
    user: UserId,
    seat: Seat,
    /// Of this seat, as the file has it; without a file this is a spectator.
    key: Option<SecretKey>,
    /// Signs grants, verdicts and the server's receipts.
    server_key: PublicKey,
    answered: bool,
    /// What a keeper says it holds beyond this; nothing is signed before it is here.
    awaited: Option<Have>,
    wish: bool,
    promised: Option<Signed<Promise>>,
    shown: Option<Ruling>,
    /// Whether a crash may have come between writing the verdict and showing it.
    unshown: bool,
    verdict: Option<Signed<Verdict>>,
    /// A verdict for which evidence is missing here.
    untold: Option<Signed<Verdict>>,
    disputed: Option<Ruling>,
    /// How many entries have been shown as seen and as kept.
    reported: [u16; 2],
    candidates: Vec<SocketAddr>,
    /// Whether the server has both players seated in it.
    pub active: bool,
    /// Whether the opponent has a link to the server, by the server's word.
    pub opponent_here: bool,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub enum Effect {
    /// On disk before anything after it.
    Write(Write),
    /// To the keeper that has just spoken.
    Answer(Box<KeeperMessage>),
    /// To every keeper that can be reached.
    Spread(Box<KeeperMessage>),
    /// To the opponent, by the best way there is.
    Pass(Box<KeeperMessage>),
    /// To the server, if there is a link.
    Tell(Box<ToServer>),
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
    /// The opponent is about to play from another device.
    Promised,
}

/// A file that holds no match that can be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a match file that does not fit together: {0}")]
pub struct BadFile(String);

impl Table {
    /// A match that has just been granted; the file is made first. Without a key nothing is written: whoever has it is
    /// on another device, or its file was lost.
    ///
    /// # Errors
    /// [`BadFile`] if the grant is not of a game known here, or not this user's, or not of this server.
    pub fn open(
        view: &MatchView,
        user: UserId,
        key: Option<SecretKey>,
        server_key: PublicKey,
    ) -> Result<(Self, Vec<Effect>), BadFile> {
        let mut table = Self::new(view.grant.clone(), view.names.clone(), user, server_key)?;
        (table.active, table.opponent_here) = (view.active, view.opponent_here);
        // What is made here cannot have been signed for before: no keeper can show entries of this key.
        table.answered = key.is_some();
        let write = key.map(|key| table.begin_file(key));
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
        let Some(MatchRecord::Server(server_key)) = records.next() else {
            return Err(BadFile("the server's key is missing".to_owned()));
        };
        let mut table = Self::new(*grant, names, user, server_key)?;
        table.key = Some(key.key());
        for record in records {
            match record {
                MatchRecord::Opened { .. } | MatchRecord::Server(_) => {
                    return Err(BadFile("it begins twice".to_owned()));
                }
                MatchRecord::Entry(entry) => {
                    table.evidence.chain.push(&Verified::from_disk(entry)).map_err(|why| bad(&why))?;
                }
                MatchRecord::Regranted(grant) => {
                    table.evidence.regrant(&Verified::from_disk(*grant)).map_err(|why| bad(&why))?;
                    table.promised = None;
                }
                MatchRecord::Foul(foul) => table.evidence.convict(*foul),
                MatchRecord::Held { keeper, held } => {
                    table.evidence.receipt(keeper, Verified::from_disk(held));
                }
                MatchRecord::WishToResign => table.wish = true,
                MatchRecord::Verdict(verdict) => table.verdict = Some(verdict),
                MatchRecord::Key(key) => table.key = Some(key.key()),
                MatchRecord::Promised(promise) => table.promised = Some(promise),
                MatchRecord::Released => table.promised = None,
                MatchRecord::Candidates(candidates) => table.candidates = candidates,
            }
        }
        table.shown = table.evidence.verdict();
        table.reported = [table.seen(), table.kept()];
        Ok(table)
    }

    fn new(grant: Signed<Grant>, names: [Name; 2], user: UserId, server_key: PublicKey) -> Result<Self, BadFile> {
        let bad = |why: &dyn std::fmt::Display| BadFile(why.to_string());
        let body = &grant.body;
        let seat = Seat::BOTH.into_iter().find(|seat| body.users[seat.index()] == user);
        let seat = seat.ok_or_else(|| bad(&"this user does not play in it"))?;
        if ServerId::of(&server_key) != body.server {
            return Err(bad(&"it is of another server"));
        }
        Ok(Self {
            evidence: Evidence::new(grant).map_err(|why| bad(&why))?,
            names,
            user,
            seat,
            key: None,
            server_key,
            answered: false,
            awaited: None,
            wish: false,
            promised: None,
            shown: None,
            unshown: false,
            verdict: None,
            untold: None,
            disputed: None,
            reported: [0; 2],
            candidates: Vec::new(),
            active: false,
            opponent_here: false,
        })
    }

    /// The first write of a file: all that is known of the match, and the key.
    fn begin_file(&mut self, key: SecretKey) -> Effect {
        let chain = &self.evidence.chain;
        let (first, later) = chain.grants().split_first().expect("there is one from the start");
        let opened = MatchRecord::Opened {
            grant: Box::new(first.clone()),
            names: self.names.clone(),
            user: self.user,
            key: MatchKey::of(&key),
        };
        let mut records = vec![opened, MatchRecord::Server(self.server_key)];
        let mut later = later.iter().peekable();
        for entry in chain.entries_from(0) {
            while let Some(grant) = later.next_if(|grant| grant.body.base.plies <= entry.body().ply) {
                records.push(MatchRecord::Regranted(Box::new(grant.clone())));
            }
            records.push(MatchRecord::Entry(entry.into_signed()));
        }
        records.extend(later.map(|grant| MatchRecord::Regranted(Box::new(grant.clone()))));
        records.extend(self.evidence.fouls.iter().flatten().map(|foul| MatchRecord::Foul(Box::new(foul.clone()))));
        records.extend(self.verdict.clone().map(MatchRecord::Verdict));
        self.key = Some(key);
        Effect::Write(Write::Open { match_id: self.id(), records })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> MatchId {
        self.evidence.chain.grant().match_id
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

    /// The newest grant.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        self.evidence.chain.grant()
    }

    /// Signs grants, verdicts and the server's receipts.
    #[must_use]
    pub const fn server_key(&self) -> &PublicKey {
        &self.server_key
    }

    /// The server's verdict, once it is on this disk.
    #[must_use]
    pub const fn verdict(&self) -> Option<&Signed<Verdict>> {
        self.verdict.as_ref()
    }

    /// What the server has said last, also where evidence for it is missing here.
    #[must_use]
    pub fn told_verdict(&self) -> Option<&Signed<Verdict>> {
        self.untold.as_ref().or(self.verdict.as_ref())
    }

    /// The key of this seat, if it is here: what signs, and what the opponent's end of the direct path asks for.
    #[must_use]
    pub fn key(&self) -> Option<&SecretKey> {
        let granted = &self.grant().keys[self.seat.index()];
        self.key.as_ref().filter(|key| key.public() == *granted)
    }

    /// The key of the opponent's seat.
    #[must_use]
    pub fn opponent_key(&self) -> &PublicKey {
        &self.grant().keys[self.seat.other().index()]
    }

    /// Where the opponent was last said to be reached.
    #[must_use]
    pub fn candidates(&self) -> &[SocketAddr] {
        &self.candidates
    }

    /// Where the opponent may be reached from now on.
    pub fn on_candidates(&mut self, candidates: Vec<SocketAddr>) -> Vec<Effect> {
        if self.candidates == candidates {
            return Vec::new();
        }
        self.candidates.clone_from(&candidates);
        self.append(vec![MatchRecord::Candidates(candidates)]).into_iter().collect()
    }

    /// Takes the seat by one of these keys, if the newest grant names it and it is not in the file yet.
    pub fn gain(&mut self, keys: &[SecretKey]) -> Vec<Effect> {
        let granted = self.grant().keys[self.seat.index()];
        let Some(key) = keys.iter().find(|key| self.key().is_none() && key.public() == granted).cloned() else {
            return Vec::new();
        };
        // Nothing was signed with it yet.
        self.answered = true;
        let stored = if self.key.is_none() {
            Some(self.begin_file(key))
        } else {
            let record = MatchRecord::Key(MatchKey::of(&key));
            self.key = Some(key);
            self.append(vec![record])
        };
        stored.into_iter().chain(self.receipt_out().map(keeper::pass)).collect()
    }

    /// Whether nothing more is to be done: the verdict is stored, and no foul was proved since.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| self.evidence.verdict() == Some(verdict.body.ruling))
    }

    /// It was the last match before a crash, which may have come between writing its verdict and showing it: should the
    /// server not have heard of the writing, the player is shown it again.
    pub fn doubt(&mut self) {
        self.unshown = self.is_finished();
    }

    /// How many entries the opponent has on disk.
    #[must_use]
    pub fn seen(&self) -> u16 {
        self.evidence.held_by(Keeper::Player(self.seat.other()))
    }

    /// How many entries the server has on disk.
    #[must_use]
    pub fn kept(&self) -> u16 {
        if is_on(Mutant::KeptEarly) { self.evidence.chain.plies() } else { self.evidence.held_by(Keeper::Server) }
    }

    /// Whether there is something the server does not have yet.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        let more = self.kept() < self.evidence.chain.plies() || self.evidence.verdict().is_some();
        !self.is_finished() && self.key.is_some() && more
    }

    /// Whether the board is decided and both players have signed what decides it: with two honest players the verdict
    /// cannot be another one.
    #[must_use]
    pub fn is_agreed(&self) -> bool {
        let chain = &self.evidence.chain;
        let all = chain.plies();
        let last_is_mine = all > 0 && Seat::at(all - 1) == self.seat;
        self.evidence.verdict().is_some_and(|ruling| chain.decided() == Some(ruling))
            && (!last_is_mine || self.seen() == all)
    }

    /// How much is held here, as far as this file's key speaks for the seat: under the newest grant that names it, and
    /// what a later one has in its base. Who has no key speaks for no seat.
    #[must_use]
    pub fn have(&self) -> KeeperMessage {
        let (chain, key) = (&self.evidence.chain, self.key.as_ref().map(SecretKey::public));
        let mine = |grant: &Signed<Grant>| Some(grant.body.keys[self.seat.index()]) == key;
        let at = chain.grants().iter().rposition(mine);
        let (epoch, head) = at.map_or((0, Base::NONE), |at| {
            let next = chain.grants().get(at + 1).map(|next| next.body.base);
            (chain.grants()[at].body.epoch, next.unwrap_or_else(|| chain.head()))
        });
        KeeperMessage::Have(Have { match_id: self.id(), epoch, head })
    }

    /// The first things said on every new link. A promise goes before all else: a server that has lost state learns of it
    /// that the other seat may have another key by now.
    #[must_use]
    pub fn greeting(&self) -> Vec<KeeperMessage> {
        self.promise_out().into_iter().chain([self.have()]).collect()
    }

    /// Plays the move that `words` mean.
    ///
    /// # Errors
    /// [`Cannot`]; nothing has changed.
    pub fn play(&mut self, words: &[&str], at: WallMs) -> Result<Vec<Effect>, Cannot> {
        self.may_sign()?;
        let chain = &self.evidence.chain;
        if chain.turn() != Some(self.seat) && !is_on(Mutant::TurnUnchecked) {
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
        if self.key().is_none() {
            return Err(Cannot::NoKey);
        }
        match self.evidence.chain.turn() {
            None => Err(Cannot::Refused(Refusal::GameOver)),
            Some(turn) if (turn == self.seat || is_on(Mutant::ResignsOffTurn)) && self.may_sign().is_ok() => {
                Ok((true, self.sign(Act::Resign, at)))
            }
            Some(_) => {
                let first = !std::mem::replace(&mut self.wish, true);
                let stored = first.then(|| self.append(vec![MatchRecord::WishToResign])).flatten();
                Ok((false, stored.into_iter().collect()))
            }
        }
    }

    fn may_sign(&self) -> Result<(), Cannot> {
        if self.key().is_none() {
            Err(Cannot::NoKey)
        } else if self.promised.is_some() && !is_on(Mutant::SignsAfterPromise) {
            Err(Cannot::Promised)
        } else if !self.answered && !is_on(Mutant::SignsUnanswered) {
            Err(Cannot::Unanswered)
        } else {
            Ok(())
        }
    }

    /// Signs the next entry, stores it, shows it, sends it.
    fn sign(&mut self, act: Act, at: WallMs) -> Vec<Effect> {
        let key = self.key.as_ref().expect("the caller has checked");
        let entry = Signed::by(key, &self.grant().server, self.evidence.chain.next_entry(act, at));
        let entry = Verified::from_disk(entry);
        let merge = self.evidence.merge(&[], std::slice::from_ref(&entry));
        assert!(matches!(merge.adopt[..], [Step::Entry(_)]), "the caller has checked that it can be played");
        let mut effects = self.adopt(&merge, true);
        keeper::before_showing(&mut effects, self.entries_out(&[], &[entry]).into_iter().map(keeper::spread));
        effects
    }

    /// The wish to resign, on the own turn.
    fn wish_due(&mut self, at: WallMs) -> Vec<Effect> {
        let due = self.wish && self.may_sign().is_ok() && self.evidence.chain.turn() == Some(self.seat);
        if due { self.sign(Act::Resign, at) } else { Vec::new() }
    }

    /// A spectator has no file: what it sees is on the other device.
    fn append(&self, mut records: Vec<MatchRecord>) -> Option<Effect> {
        if is_on(Mutant::MovesOfOthersNotWritten) {
            records.retain(|record| !matches!(record, MatchRecord::Entry(entry) if entry.body.seat != self.seat));
        }
        self.key.is_some().then(|| Effect::Write(Write::Append { match_id: self.id(), records }))
    }
}

fn show(event: Event) -> Effect {
    Effect::Show(Box::new(event))
}
