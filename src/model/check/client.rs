//! A player's device: the real table, and what is on its disk.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::Mutant;
use super::cast::{USERS, key_of, seat_of, server_key, view, words};
use super::item::{Item, digest};
use crate::model::client::record::{MatchRecord, Write};
use crate::model::client::table::{Effect, Table};
use crate::model::games::Seat;
use crate::model::message::{Entries, KeeperMessage, ToServer};
use crate::model::sign::Signed;
use crate::model::statement::Entry;
use crate::model::time::WallMs;

/// A device.
#[derive(Clone, Debug)]
pub(super) struct Client {
    who: usize,
    pub(super) table: Table,
    /// None when nothing was ever written.
    file: Vec<MatchRecord>,
}

/// A device at one moment, with a number that tells it from every other.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub(super) it: Arc<Client>,
    pub(super) print: u64,
    /// Whether the file says what the memory says.
    pub(super) faithful: bool,
}

/// What happens at a device.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Keeper(KeeperMessage),
    Wanted(u32),
    /// 0 and 1 are moves, 2 gives up on the own turn, 3 off turn.
    Play(u8),
    Crash,
}

/// What comes of it.
#[derive(Clone, Debug)]
pub(super) struct Stepped {
    pub(super) local: Local,
    /// In order; answers to whoever spoke and what goes to everybody alike.
    pub(super) out: Vec<KeeperMessage>,
    pub(super) stored: Vec<Item>,
    /// How many places there are to crash at.
    pub(super) cuts: u8,
    /// Whether there was anything to do: a move that was refused is none.
    pub(super) done: bool,
}

impl Client {
    /// At the start of a match.
    pub(super) fn seated(who: usize) -> Local {
        let (table, effects) = Table::open(&view(), USERS[who % 2], Some(key_of(who)), server_key().public()).unwrap();
        let mut client = Self { who, table, file: Vec::new() };
        effects.into_iter().for_each(|effect| client.write(&effect));
        client.local()
    }

    /// A device without a file; with a mutant it has kept the key of the one that was wiped.
    pub(super) fn newcomer(who: usize, mutant: Option<Mutant>) -> Local {
        let kept = (mutant == Some(Mutant::KeyOutsideTheFile)).then(|| key_of(who % 2));
        let (table, effects) = Table::open(&view(), USERS[who % 2], kept, server_key().public()).unwrap();
        let mut client = Self { who, table, file: Vec::new() };
        effects.into_iter().for_each(|effect| client.write(&effect));
        client.local()
    }

    /// Carries an input out. With a cut only so many effects are carried out, and then the device is started again.
    pub(super) fn step(&self, input: &Input, cut: Option<u8>, mutant: Option<Mutant>) -> Stepped {
        let mut next = self.clone();
        let Some(mut effects) = next.hear(input, mutant) else {
            return Stepped { local: self.local(), out: vec![], stored: vec![], cuts: 0, done: false };
        };
        // What was offered on this device is on its disk from before it was offered.
        if next.who >= 2 {
            effects.extend(next.table.gain(&[key_of(next.who)]));
        }
        let cuts = u8::try_from(effects.len()).unwrap();
        let crashed = cut.is_some() || matches!(input, Input::Crash);
        effects.truncate(cut.map_or(usize::MAX, usize::from));
        let (mut out, mut stored) = (Vec::new(), Vec::new());
        let last_write = effects.iter().rposition(|effect| matches!(effect, Effect::Write(_)));
        let unsynced = last_write.filter(|_| cut.is_some() && mutant == Some(Mutant::SendBeforeSync));
        for (at, effect) in effects.iter().enumerate() {
            if Some(at) != unsynced {
                next.write(effect);
            }
            match effect {
                Effect::Answer(message) | Effect::Spread(message) | Effect::Pass(message) => {
                    out.push((**message).clone());
                }
                Effect::Tell(message) => {
                    if let ToServer::Stored { ruling, .. } = **message {
                        stored.push(Item::Stored(seat_of(self.who), ruling));
                    }
                }
                Effect::Write(_) | Effect::Show(_) => {}
            }
        }
        if crashed {
            next = Self { table: next.loaded(), ..next };
        }
        Stepped { local: next.local(), out, stored, cuts, done: true }
    }

    fn hear(&mut self, input: &Input, mutant: Option<Mutant>) -> Option<Vec<Effect>> {
        let forgets = match (mutant, input) {
            (Some(Mutant::TakesAfterPromise), Input::Keeper(_)) | (Some(Mutant::SignsAfterPromise), Input::Play(_)) => {
                self.table.promised().cloned()
            }
            _ => None,
        };
        if forgets.is_some() {
            self.table.set_promised(None);
        }
        let epoch = self.table.grant().epoch;
        let receipts = self.table.evidence.receipts.clone();
        let effects = match input {
            Input::Keeper(KeeperMessage::Verdict(verdict)) if mutant == Some(Mutant::BelievesTheServer) => {
                self.table.believe(verdict.clone());
                let records = vec![MatchRecord::Verdict(verdict.clone())];
                vec![Effect::Write(Write::Append { match_id: super::cast::MATCH, records })]
            }
            Input::Keeper(message) => {
                if mutant == Some(Mutant::AdoptsTheSecond) {
                    self.adopt_the_second(message);
                }
                self.table.on_keeper(message.clone(), WallMs(0))
            }
            Input::Wanted(epoch) => self.table.on_promise_wanted(*epoch),
            Input::Play(choice @ 0..=1) => {
                let words = words(&self.table.evidence.chain, *choice)?;
                self.table.play(&words, WallMs(0)).ok()?
            }
            Input::Play(choice) => {
                let own = self.table.evidence.chain.turn() == Some(seat_of(self.who));
                if (*choice == 2) != own || !self.table.signs() {
                    return None;
                }
                self.table.resign(WallMs(0)).ok()?.1
            }
            Input::Crash => Vec::new(),
        };
        if let Some(promise) = forgets.filter(|_| self.table.grant().epoch == epoch) {
            self.table.set_promised(Some(promise));
        }
        if mutant == Some(Mutant::OldReceiptsCount) && self.table.grant().epoch != epoch {
            self.table.evidence.receipts = receipts;
        }
        Some(effects)
    }

    /// What must be found out: an entry that does not fit takes the place of the one stored first.
    fn adopt_the_second(&mut self, message: &KeeperMessage) {
        let KeeperMessage::Entries(Entries { entries, .. }) = message else { return };
        let Some(other) = entries.first() else { return };
        let held = self.table.evidence.chain.entry(other.body.ply);
        let forked = |held: &Signed<Entry>| held.body.epoch == other.body.epoch && held.body != other.body;
        if !held.is_some_and(|held| forked(held.signed())) {
            return;
        }
        let before = |record: &MatchRecord| match record {
            MatchRecord::Entry(entry) => entry.body.ply < other.body.ply,
            _ => true,
        };
        let mut file: Vec<MatchRecord> = self.file.iter().filter(|record| before(record)).cloned().collect();
        file.push(MatchRecord::Entry(other.clone()));
        if let Ok(mut table) = Table::load(file.clone()) {
            table.set_answered();
            (self.table, self.file) = (table, file);
        }
    }

    fn write(&mut self, effect: &Effect) {
        match effect {
            Effect::Write(Write::Open { records, .. }) => self.file.clone_from(records),
            Effect::Write(Write::Append { records, .. }) => self.file.extend(records.iter().cloned()),
            Effect::Write(Write::Session(_) | Write::Offers(_))
            | Effect::Answer(_)
            | Effect::Spread(_)
            | Effect::Pass(_)
            | Effect::Tell(_)
            | Effect::Show(_) => {}
        }
    }

    fn loaded(&self) -> Table {
        if self.file.is_empty() {
            return Table::open(&view(), USERS[self.who % 2], None, server_key().public()).unwrap().0;
        }
        Table::load(self.file.clone()).unwrap()
    }

    fn local(&self) -> Local {
        let loaded = self.loaded();
        let of = |table: &Table| {
            let mut hasher = DefaultHasher::new();
            table.picture_on_disk(&mut hasher);
            hasher.finish()
        };
        let mut hasher = DefaultHasher::new();
        self.who.hash(&mut hasher);
        self.table.picture_on_disk(&mut hasher);
        self.table.picture_of_receipts(&mut hasher);
        self.table.picture_in_memory(&mut hasher);
        of(&loaded).hash(&mut hasher);
        loaded.picture_of_receipts(&mut hasher);
        let faithful = self.file.is_empty() || of(&loaded) == of(&self.table);
        Local { it: Arc::new(self.clone()), print: hasher.finish(), faithful }
    }

    /// Whether it has a file.
    pub(super) const fn keeps(&self) -> bool {
        !self.file.is_empty()
    }

    /// The seat it plays.
    pub(super) const fn seat(&self) -> Seat {
        seat_of(self.who)
    }
}

impl Input {
    /// The same for the same input.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Keeper(KeeperMessage::Have(have)) => digest((1, have.epoch, have.head)),
            Self::Keeper(message) => {
                let items = Item::all_of(message, Some(Seat::X));
                digest((2, items.iter().map(Item::number).collect::<Vec<_>>()))
            }
            Self::Wanted(epoch) => digest((3, epoch)),
            Self::Play(choice) => digest((4, choice)),
            Self::Crash => digest(5),
        }
    }
}
