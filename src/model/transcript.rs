//! Grants and the hash-chained entries played under them.
//!
//! Invariant: the entries are chained, alternate, and every one is legal, so the position is always the game replayed.
//! An entry is kept as its act, time and signature; its place in the chain gives the rest.
//!
//! ```text
//!  grant 1 <── e0 <── e1 <── e2      epoch 1; e2 is not in the base of grant 2, and is dropped with it
//!                      ^
//!                   grant 2 <── e2' <── e3'      epoch 2
//! ```

use serde::{Deserialize, Serialize};

use super::games::{Cell, Game, Illegal, Outcome, Seat, UnknownGame};
use super::key::{Hash, PublicKey, Signature};
use super::limits::PLIES_MAX;
use super::sign::{self, Signed, Verified};
use super::statement::{Act, Base, Entry, Grant, Ruling};
use super::time::WallMs;
use crate::mutant::{Mutant, is_on};

/// The history of one match, as one keeper holds it.
#[derive(Clone, Debug)]
pub struct Transcript {
    /// By epoch; never empty.
    grants: Vec<Signed<Grant>>,
    links: Vec<Link>,
    /// What each entry names as its `prev`; so no hash is computed twice.
    prevs: Vec<Hash>,
    /// Where each entry has landed, if it is a move and moves are cells; so no game is played again to show one.
    cells: Vec<Option<Cell>>,
    head: Hash,
    game: Box<dyn Game>,
    resigned: Option<Seat>,
}

/// What the place in the chain does not say about an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What was done.
    pub act: Act,
    /// The player's word for when.
    pub at: WallMs,
    /// The player's signature over the whole entry.
    pub signature: Signature,
}

/// Why an entry cannot be the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Unplayable {
    /// It belongs to another match.
    #[error("that entry belongs to another match")]
    OtherMatch,
    /// It is not the next ply.
    #[error("{want} entries are held, so the next one is ply {want}")]
    Gap {
        /// The ply that can be taken.
        want: u16,
    },
    /// The other seat acts at this ply.
    #[error("it is not your turn")]
    NotYourTurn,
    /// Its `prev` is not the head.
    #[error("that entry does not follow the last one")]
    Unchained,
    /// The match is decided.
    #[error("the game is over")]
    Over,
    /// The rules are against it.
    #[error("{0}")]
    Illegal(#[from] Illegal),
    /// It is of an epoch whose grant, or the base of whose grant, is not held here.
    #[error("the grant of epoch {epoch} does not follow what is held")]
    Ungranted {
        /// Of the grant or entry.
        epoch: u32,
    },
}

impl Transcript {
    /// The start of a match.
    ///
    /// # Errors
    /// [`UnknownGame`] if the grant's rules are not known here.
    pub fn new(first: Signed<Grant>) -> Result<Self, UnknownGame> {
        let game = first.body.game.start()?;
        let head = sign::hash(&first.body.server, &first.body);
        let (links, prevs, cells) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { grants: vec![first], links, prevs, cells, head, game, resigned: None })
    }

    /// The newest grant: who may play, by which keys.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.newest().body
    }

    /// The grants, by epoch. On the server they are not signed: the shell signs what leaves.
    #[must_use]
    pub fn grants(&self) -> &[Signed<Grant>] {
        &self.grants
    }

    /// The key of a seat in an epoch.
    #[must_use]
    pub fn key_of(&self, epoch: u32, seat: Seat) -> Option<&PublicKey> {
        let grant = self.grants.iter().find(|grant| grant.body.epoch == epoch)?;
        Some(&grant.body.keys[seat.index()])
    }

    /// Number of entries before the first that the seat's present key can have signed.
    #[must_use]
    pub fn since(&self, seat: Seat) -> u16 {
        let key = self.grant().keys[seat.index()];
        let first = self.grants.iter().find(|grant| grant.body.keys[seat.index()] == key);
        first.map_or(0, |grant| grant.body.base.plies)
    }

    /// Number of entries; also the ply of the next one.
    #[must_use]
    pub fn plies(&self) -> u16 {
        u16::try_from(self.links.len()).expect("no entry past PLIES_MAX is ever taken")
    }

    /// How many entries there are and the hash of what the next one follows.
    #[must_use]
    pub fn head(&self) -> Base {
        Base { plies: self.plies(), head: self.head }
    }

    /// Whose entry is next; `None` when the match is decided.
    #[must_use]
    pub fn turn(&self) -> Option<Seat> {
        self.decided().is_none().then(|| Seat::at(self.plies()))
    }

    /// The position.
    #[must_use]
    pub fn game(&self) -> &dyn Game {
        self.game.as_ref()
    }

    /// How the chain decides the match, by the rules or by resigning.
    #[must_use]
    pub fn decided(&self) -> Option<Ruling> {
        let by_rules = || self.game.outcome().map(Ruling::from);
        self.resigned.map(|by| Ruling::Resigned { by }).or_else(by_rules)
    }

    /// The stored parts of the entries, in order.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The entry that comes next if its lawful author does `act`.
    #[must_use]
    pub fn next_entry(&self, act: Act, at: WallMs) -> Entry {
        self.entry_after(self.plies(), self.head, act, at)
    }

    /// Whether `entry` can be the next one, and how it would decide the match; changes nothing.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(&self, entry: &Entry) -> Result<Option<Ruling>, Unplayable> {
        self.fits(entry)?;
        self.goes_on()?;
        match &entry.act {
            Act::Resign => Ok(Some(Ruling::Resigned { by: entry.seat })),
            Act::Play(play) => {
                let mut game = self.game.clone();
                game.apply(entry.seat, play)?;
                Ok(game.outcome().map(Ruling::from))
            }
        }
    }

    /// Takes the next entry; on an error nothing has changed.
    ///
    /// # Errors
    /// Why it cannot be the next one.
    pub fn push(&mut self, entry: &Verified<Entry>) -> Result<(), Unplayable> {
        let Signed { body, signature } = entry.signed();
        self.fits(body)?;
        self.take(Link { act: body.act.clone(), at: body.at, signature: *signature })
    }

    /// Takes a newer grant: what is not in its base is dropped. On an error nothing has changed.
    ///
    /// # Errors
    /// [`Unplayable`] if it is not of this match, or its base is not held here.
    pub fn regrant(&mut self, grant: &Verified<Grant>) -> Result<(), Unplayable> {
        let next = grant.body();
        let now = self.grant();
        if (next.server, next.match_id, next.users) != (now.server, now.match_id, now.users) || next.game != now.game {
            return Err(Unplayable::OtherMatch);
        }
        if next.epoch <= now.epoch || !self.holds(now.epoch, next.base) {
            return Err(Unplayable::Ungranted { epoch: next.epoch });
        }
        self.cut(next.base.plies);
        self.head = sign::hash(&next.server, next);
        self.grants.push(grant.signed().clone());
        Ok(())
    }

    /// Drops all entries from `plies` on.
    fn cut(&mut self, plies: u16) {
        if plies < self.plies() {
            self.game = self.position_at(plies);
            self.head = self.prevs[usize::from(plies)];
            self.links.truncate(usize::from(plies));
            self.prevs.truncate(usize::from(plies));
            self.cells.truncate(usize::from(plies));
            // A resignation can only have been the last entry.
            self.resigned = None;
        }
    }

    /// Drops what differs from `theirs`: only for a rule that is left out.
    #[doc(hidden)]
    pub fn give_way(&mut self, theirs: &[Verified<Entry>]) {
        let differs = |entry: &&Entry| {
            let held = self.entry(entry.ply);
            held.is_some_and(|held| held.body().epoch == entry.epoch && held.body() != *entry)
        };
        if let Some(ply) = theirs.iter().map(Verified::body).find(differs).map(|entry| entry.ply) {
            self.cut(ply);
        }
    }

    /// Whether an entry's place is the next one.
    fn fits(&self, body: &Entry) -> Result<(), Unplayable> {
        let grant = self.grant();
        if body.match_id != grant.match_id {
            return Err(Unplayable::OtherMatch);
        }
        let stale = body.epoch < grant.epoch && is_on(Mutant::StaleEpochTaken);
        if body.epoch != grant.epoch && !stale {
            return Err(Unplayable::Ungranted { epoch: body.epoch });
        }
        if body.ply != self.plies() {
            return Err(Unplayable::Gap { want: self.plies() });
        }
        if body.seat != Seat::at(body.ply) && !is_on(Mutant::TurnUnchecked) {
            return Err(Unplayable::NotYourTurn);
        }
        if body.prev != self.head && !stale && !is_on(Mutant::PrevUnchecked) {
            return Err(Unplayable::Unchained);
        }
        Ok(())
    }

    /// Whether there can be another entry at all.
    fn goes_on(&self) -> Result<(), Unplayable> {
        if self.decided().is_some() || self.plies() >= PLIES_MAX { Err(Unplayable::Over) } else { Ok(()) }
    }

    /// Takes the next entry in its stored form, which must have been checked before it was stored.
    ///
    /// # Errors
    /// [`Unplayable::Over`] or [`Unplayable::Illegal`]: the files are not what was written.
    pub fn take(&mut self, link: Link) -> Result<(), Unplayable> {
        self.goes_on()?;
        let seat = Seat::at(self.plies());
        let cell = match &link.act {
            Act::Play(play) => {
                let cell = self.game.cell(play);
                self.game.apply(seat, play)?;
                cell
            }
            Act::Resign => {
                self.resigned = Some(seat);
                None
            }
        };
        self.cells.push(cell);
        let entry = self.entry_after(self.plies(), self.head, link.act.clone(), link.at);
        self.prevs.push(self.head);
        self.head = sign::hash(&self.grant().server, &entry);
        self.links.push(link);
        Ok(())
    }

    /// The entries from `ply` on, whole.
    #[must_use]
    pub fn entries_from(&self, ply: u16) -> Vec<Verified<Entry>> {
        let stored = (0..).zip(self.links.iter().zip(&self.prevs)).skip(usize::from(ply));
        let whole = |(ply, (link, prev)): (u16, (&Link, &Hash))| {
            let body = self.entry_after(ply, *prev, link.act.clone(), link.at);
            Verified::from_disk(Signed { body, signature: link.signature })
        };
        stored.map(whole).collect()
    }

    /// The entry at `ply`, whole.
    #[must_use]
    pub fn entry(&self, ply: u16) -> Option<Verified<Entry>> {
        let at = usize::from(ply);
        let (link, prev) = self.links.get(at).zip(self.prevs.get(at))?;
        let body = self.entry_after(ply, *prev, link.act.clone(), link.at);
        Some(Verified::from_disk(Signed { body, signature: link.signature }))
    }

    /// The head after `plies` entries, grants there included; `None` if there are fewer.
    #[must_use]
    pub fn head_at(&self, plies: u16) -> Option<Hash> {
        if plies == self.plies() {
            return Some(self.head);
        }
        self.prevs.get(usize::from(plies)).copied()
    }

    /// Whether a keeper that knows grants up to `epoch` and stands at `head` holds nothing but a beginning of this.
    #[must_use]
    pub fn holds(&self, epoch: u32, head: Base) -> bool {
        let Some(at) = self.grants.iter().position(|grant| grant.body.epoch == epoch) else { return false };
        let first = self.grants[at].body.base.plies;
        match self.grants.get(at + 1).map(|next| next.body.base) {
            Some(base) if base.plies == head.plies => base.head == head.head,
            Some(base) if base.plies < head.plies => false,
            Some(_) | None => head.plies >= first && self.head_at(head.plies) == Some(head.head),
        }
    }

    /// The position after `plies` entries, with the last move's cell; for showing.
    #[must_use]
    pub fn position_at(&self, plies: u16) -> Box<dyn Game> {
        let mut game = self.grant().game.start().expect("the game was known when this was made");
        for (ply, link) in (0..plies).zip(&self.links) {
            if let Act::Play(play) = &link.act {
                game.apply(Seat::at(ply), play).expect("every entry held is legal");
            }
        }
        game
    }

    /// Where each move has landed, as far as moves are cells.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell> {
        self.cells.iter().flatten().copied().collect()
    }

    /// Where an entry lands, if it is a move and moves are cells; it need not be one of those held.
    #[must_use]
    pub fn cell_of(&self, entry: &Entry) -> Option<Cell> {
        let Act::Play(play) = &entry.act else { return None };
        let at = usize::from(entry.ply);
        match self.links.get(at) {
            Some(link) if link.act == entry.act => self.cells[at],
            Some(_) => self.position_at(entry.ply).cell(play),
            None => self.game.cell(play),
        }
    }

    fn entry_after(&self, ply: u16, prev: Hash, act: Act, at: WallMs) -> Entry {
        let played_under = self.grants.iter().rev().find(|grant| grant.body.base.plies <= ply);
        let Grant { match_id, epoch, .. } = played_under.unwrap_or(self.newest()).body;
        Entry { match_id, epoch, ply, seat: Seat::at(ply), act, prev, at }
    }

    fn newest(&self) -> &Signed<Grant> {
        self.grants.last().expect("there is one from the start")
    }
}

/// Signatures do not count: each of them can be made in one way only.
impl PartialEq for Transcript {
    fn eq(&self, other: &Self) -> bool {
        let bodies = |of: &Self| of.grants.iter().map(|grant| grant.body.clone()).collect::<Vec<_>>();
        bodies(self) == bodies(other) && self.links == other.links && self.head == other.head
    }
}

/// What the rules say is a ruling of the board.
impl From<Outcome> for Ruling {
    fn from(outcome: Outcome) -> Self {
        Self::Board { outcome }
    }
}
