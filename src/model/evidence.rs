//! Everything one keeper holds about a match, the one place where histories meet, and the verdict.
//!
//! Evidence only grows, the order of arrival does not matter, and the verdict is a pure function of it.

use serde::{Deserialize, Serialize};

use super::games::{Seat, UnknownGame};
use super::key::PublicKey;
use super::sign::{Signed, Verified};
use super::statement::{Base, Entry, Foul, Grant, Held, Promise, Ruling};
use super::transcript::{Transcript, Unplayable};
use crate::mutant::{Mutant, is_on};

/// What one keeper holds about a match.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// The newest grants, and the longest valid chain under them.
    pub chain: Transcript,
    /// The first proof that a seat signed twice at one ply.
    pub fouls: [Option<Foul>; 2],
    /// The longest receipt of each keeper: X, O, server.
    pub receipts: [Option<Verified<Held>>; 3],
}

/// How two histories compare, and what mine should take from theirs.
#[derive(Clone, Debug, PartialEq)]
pub struct Merge {
    /// How theirs compares with mine.
    pub relation: Relation,
    /// What to adopt, in order.
    pub adopt: Vec<Step>,
    /// Proofs to store.
    pub fouls: Vec<Foul>,
    /// Why the first grant or entry that was not taken was not.
    pub refused: Option<Unplayable>,
    /// How the chain decides the match once it is adopted.
    pub decided: Option<Ruling>,
}

/// One step by which a history grows.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A newer grant; what is not in its base is dropped.
    Grant(Verified<Grant>),
    /// The next entry.
    Entry(Verified<Entry>),
}

/// How their history compares with mine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Equal.
    Same,
    /// Mine goes on after theirs.
    Ahead,
    /// Theirs goes on after mine.
    Behind,
    /// They differ at some ply.
    Forked,
}

/// My chain as it grows. In running play there is one new entry, and nothing is copied for it but the position.
struct Growing<'a> {
    mine: &'a Transcript,
    longer: Option<Transcript>,
    /// A first new entry that was checked against mine, and is not in the longer one yet.
    checked: Option<Verified<Entry>>,
}

impl Evidence {
    /// Of a match that has just been granted.
    ///
    /// # Errors
    /// [`UnknownGame`] if the grant's rules are not known here.
    pub fn new(first: Signed<Grant>) -> Result<Self, UnknownGame> {
        Ok(Self { chain: Transcript::new(first)?, fouls: [None, None], receipts: [None, None, None] })
    }

    /// Compares a stretch of their history with mine: entries in order, and the grants they were played under. Changes
    /// nothing.
    #[must_use]
    pub fn merge(&self, grants: &[Verified<Grant>], theirs: &[Verified<Entry>]) -> Merge {
        let mut merge = Merge {
            relation: Relation::Same,
            adopt: Vec::new(),
            fouls: Vec::new(),
            refused: None,
            decided: self.chain.decided(),
        };
        let mut growing = Growing { mine: &self.chain, longer: None, checked: None };
        let mut grants = grants.iter().peekable();
        for entry in theirs {
            let epoch = entry.body().epoch;
            while let Some(grant) = grants.next_if(|grant| grant.body().epoch <= epoch) {
                if !growing.take_grant(grant, &mut merge) {
                    return merge;
                }
            }
            if !growing.take_entry(entry, &mut merge) {
                return merge;
            }
        }
        for grant in grants {
            if !growing.take_grant(grant, &mut merge) {
                return merge;
            }
        }
        let last = theirs.last().map_or(0, |entry| entry.body().ply.saturating_add(1));
        merge.relation = if !merge.adopt.is_empty() {
            Relation::Behind
        } else if last < self.chain.plies() {
            Relation::Ahead
        } else {
            Relation::Same
        };
        merge
    }

    /// What a keeper lacks that knows grants up to `epoch` and stands at `head`: newer grants and entries. If its history
    /// is no beginning of mine it is shown all of mine, and finds where they fork; one that knows a newer grant than I
    /// lacks nothing.
    #[must_use]
    pub fn news_for(&self, epoch: u32, head: Base) -> (Vec<Signed<Grant>>, Vec<Verified<Entry>>) {
        let chain = &self.chain;
        let now = chain.grant().epoch;
        if chain.holds(epoch, head) {
            let newer = chain.grants().iter().filter(|grant| grant.body.epoch > epoch).cloned().collect();
            (newer, chain.entries_from(head.plies))
        } else if epoch > now || (epoch == now && head.plies > chain.plies()) {
            (Vec::new(), Vec::new())
        } else {
            (chain.grants().to_vec(), chain.entries_from(0))
        }
    }

    /// Takes what [`merge`](Self::merge) found.
    ///
    /// # Errors
    /// [`Unplayable`] if the merge was made against another history.
    pub fn take(&mut self, merge: &Merge) -> Result<(), Unplayable> {
        for step in &merge.adopt {
            match step {
                Step::Grant(grant) => self.regrant(grant)?,
                Step::Entry(entry) => self.chain.push(entry)?,
            }
        }
        merge.fouls.iter().for_each(|foul| self.convict(foul.clone()));
        Ok(())
    }

    /// Takes a newer grant. Receipts for what it drops, and of a device that no longer speaks for its seat, are void.
    ///
    /// # Errors
    /// [`Unplayable`] if it is not of this match, or its base is not held here.
    pub fn regrant(&mut self, grant: &Verified<Grant>) -> Result<(), Unplayable> {
        let before = self.chain.grant().keys;
        self.chain.regrant(grant)?;
        let (plies, now) = (grant.body().base.plies, grant.body().keys);
        for seat in Seat::BOTH {
            let at = seat.index();
            self.receipts[at].take_if(|held| held.body().plies > plies || before[at] != now[at]);
        }
        self.receipts[2].take_if(|held| held.body().plies > plies);
        Ok(())
    }

    /// Stores a proof; the first of each seat is enough.
    pub fn convict(&mut self, foul: Foul) {
        self.fouls[foul.first.body.seat.index()].get_or_insert(foul);
    }

    /// Whether a proof holds: one seat, one ply, one epoch, two entries. Signatures are checked by the caller.
    #[must_use]
    pub fn proves(foul: &Foul) -> bool {
        let (a, b) = (&foul.first.body, &foul.second.body);
        (a.match_id, a.epoch, a.ply, a.seat) == (b.match_id, b.epoch, b.ply, b.seat)
            && (a != b || is_on(Mutant::DuplicateConvicts))
    }

    /// Stores a keeper's receipt if it is one that I lack; whether it is.
    pub fn receipt(&mut self, keeper: Keeper, held: Verified<Held>) -> bool {
        let lacked = self.lacks(keeper, held.body());
        if lacked {
            self.receipts[keeper.index()] = Some(held);
        }
        lacked
    }

    /// Whether a keeper's receipt fits my chain and says more than its last.
    #[must_use]
    pub fn lacks(&self, keeper: Keeper, said: &Held) -> bool {
        let grant = self.chain.grant();
        let fits = said.match_id == grant.match_id
            && said.epoch == grant.epoch
            && self.chain.head_at(said.plies) == Some(said.head);
        fits && self.receipts[keeper.index()].as_ref().is_none_or(|old| old.body().plies < said.plies)
    }

    /// Number of entries that a keeper is known to have on its disk: its receipts; for a player the entries of its
    /// present key, each of which is a receipt for all before it; for the server the base of the newest grant.
    #[must_use]
    pub fn held_by(&self, keeper: Keeper) -> u16 {
        let receipt = self.receipts[keeper.index()].as_ref().map_or(0, |held| held.body().plies);
        let entries = self.chain.plies();
        let own = match keeper {
            Keeper::Player(seat) => {
                let last =
                    if entries > 0 && Seat::at(entries - 1) == seat { entries } else { entries.saturating_sub(1) };
                if last > self.chain.since(seat) { last } else { 0 }
            }
            Keeper::Server => self.chain.grant().base.plies,
        };
        receipt.max(own)
    }

    /// What the opponent of a seat whose key changes promises: that of the epoch so far there is nothing but this.
    #[must_use]
    pub fn promise(&self, epoch: u32) -> Promise {
        Promise { match_id: self.chain.grant().match_id, epoch, head: self.chain.head() }
    }

    /// The grant that gives `keys` their seats, once it may be signed: nothing decides the match, at least one key is
    /// new, and the player who keeps the key has promised and delivered what it holds. With both keys new there is
    /// nobody to ask.
    #[must_use]
    pub fn next_grant(
        &self,
        keys: [Option<PublicKey>; 2],
        promise: Option<(Seat, &Verified<Promise>)>,
    ) -> Option<Grant> {
        let now = self.chain.grant();
        let epoch = now.epoch.checked_add(1)?;
        if self.verdict().is_some() || keys == [None, None] {
            return None;
        }
        let stays = Seat::BOTH.into_iter().find(|seat| keys[seat.index()].is_none());
        if let Some(stays) = stays.filter(|_| !is_on(Mutant::PromiseSkipped)) {
            let (by, promise) = promise?;
            let said = promise.body();
            if by != stays
                || said.match_id != now.match_id
                || said.epoch != epoch
                || !self.chain.holds(now.epoch, said.head)
            {
                return None;
            }
        }
        let keys = [keys[0].unwrap_or(now.keys[0]), keys[1].unwrap_or(now.keys[1])];
        Some(Grant { epoch, base: self.chain.head(), keys, ..now.clone() })
    }

    /// What I hold, as a receipt to sign.
    #[must_use]
    pub fn held(&self) -> Held {
        let Base { plies, head } = self.chain.head();
        let grant = self.chain.grant();
        Held { match_id: grant.match_id, epoch: grant.epoch, plies, head }
    }

    /// Who won and why; `None` while nothing decides it.
    #[must_use]
    pub fn verdict(&self) -> Option<Ruling> {
        judge(Seat::BOTH.map(|seat| self.fouls[seat.index()].is_some()), self.chain.decided())
    }

    /// The verdict once a merge and some proofs are taken.
    #[must_use]
    pub fn verdict_after(&self, merge: &Merge, proofs: &[Foul]) -> Option<Ruling> {
        let new = |seat: Seat| merge.fouls.iter().chain(proofs).any(|foul| foul.first.body.seat == seat);
        judge(Seat::BOTH.map(|seat| self.fouls[seat.index()].is_some() || new(seat)), merge.decided)
    }
}

/// One of the three that hold a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keeper {
    /// A player's client.
    Player(Seat),
    /// The server.
    Server,
}

impl Merge {
    /// Without what a keeper that has promised must not take: entries of the epoch that is ending, unless a newer grant
    /// has them in its base.
    #[must_use]
    pub fn under_promise(mut self, before: &Evidence) -> Self {
        if !self.adopt.iter().any(|step| matches!(step, Step::Grant(_))) {
            self.adopt.clear();
            self.decided = before.chain.decided();
        }
        self
    }

    /// The entries among what is to be adopted.
    pub fn entries(&self) -> impl Iterator<Item = &Verified<Entry>> {
        self.adopt.iter().filter_map(|step| match step {
            Step::Entry(entry) => Some(entry),
            Step::Grant(_) => None,
        })
    }
}

impl Growing<'_> {
    fn now(&self) -> &Transcript {
        self.longer.as_ref().unwrap_or(self.mine)
    }

    /// The longer chain, with all that was taken.
    fn longer(&mut self) -> &mut Transcript {
        let mine = self.mine;
        let longer = self.longer.get_or_insert_with(|| mine.clone());
        if let Some(entry) = self.checked.take() {
            longer.push(&entry).expect("it was checked against this chain");
        }
        longer
    }

    /// Whether to go on with what comes after the grant.
    fn take_grant(&mut self, grant: &Verified<Grant>, merge: &mut Merge) -> bool {
        if grant.body().epoch <= self.now().grant().epoch {
            return true;
        }
        let longer = self.longer();
        match longer.regrant(grant) {
            Ok(()) => {
                merge.decided = longer.decided();
                merge.adopt.push(Step::Grant(grant.clone()));
                true
            }
            Err(why) => {
                merge.refused = Some(why);
                false
            }
        }
    }

    /// Whether to go on with what comes after the entry.
    fn take_entry(&mut self, entry: &Verified<Entry>, merge: &mut Merge) -> bool {
        let (ply, epoch) = (entry.body().ply, entry.body().epoch);
        if self.checked.is_some() {
            self.longer();
        }
        match self.now().entry(ply) {
            Some(held) if held.body() == entry.body() && !is_on(Mutant::DuplicateConvicts) => true,
            // A newer grant has made it void.
            Some(held) if epoch < held.body().epoch => true,
            Some(held) => {
                merge.relation = Relation::Forked;
                merge.fouls.extend(foul(&held, entry).filter(|_| !is_on(Mutant::FoulDropped)));
                // What follows belongs to the other branch.
                false
            }
            None if epoch < self.now().grant().epoch && !is_on(Mutant::StaleEpochTaken) => true,
            None => match self.grow(entry) {
                Ok(decided) => {
                    merge.decided = decided;
                    merge.adopt.push(Step::Entry(entry.clone()));
                    true
                }
                Err(why) => {
                    merge.refused = Some(why);
                    false
                }
            },
        }
    }

    fn grow(&mut self, entry: &Verified<Entry>) -> Result<Option<Ruling>, Unplayable> {
        match &mut self.longer {
            None => {
                let decided = self.mine.check(entry.body())?;
                self.checked = Some(entry.clone());
                Ok(decided)
            }
            Some(longer) => {
                longer.push(entry)?;
                Ok(longer.decided())
            }
        }
    }
}

impl Keeper {
    const fn index(self) -> usize {
        match self {
            Self::Player(seat) => seat.index(),
            Self::Server => 2,
        }
    }
}

/// The first rule that applies: fouls of X and O before the board.
const fn judge(fouls: [bool; 2], decided: Option<Ruling>) -> Option<Ruling> {
    match fouls {
        [true, true] => Some(Ruling::Void),
        [true, false] => Some(Ruling::Foul { by: Seat::X }),
        [false, true] => Some(Ruling::Foul { by: Seat::O }),
        [false, false] => decided,
    }
}

/// The proof that two entries of one seat at one ply differ, if they do.
fn foul(held: &Verified<Entry>, other: &Verified<Entry>) -> Option<Foul> {
    let foul = Foul { first: held.signed().clone(), second: other.signed().clone() };
    Evidence::proves(&foul).then_some(foul)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use proptest::prelude::*;

    use super::*;
    use crate::model::fixture::{Players, entry_by, play};
    use crate::model::statement::Act;
    use crate::model::time::WallMs;

    fn chain(players: &Players, moves: &[(u16, u16)]) -> Evidence {
        let mut evidence = Evidence::new(players.first()).unwrap();
        for (row, col) in moves {
            let entry = play(players, &evidence.chain, *row, *col);
            let merge = evidence.merge(&[], &[entry]);
            assert_eq!(merge.refused, None);
            evidence.take(&merge).unwrap();
        }
        evidence
    }

    #[test]
    fn a_forked_ply_is_a_foul_of_its_author_whichever_came_first() {
        let players = Players::new(1);
        let honest = chain(&players, &[(1, 1), (2, 2)]);
        let cheat = chain(&players, &[(1, 1), (2, 3)]);
        for (mine, theirs) in [(&honest, &cheat), (&cheat, &honest)] {
            let merge = mine.merge(&[], &theirs.chain.entries_from(0));
            assert_eq!(merge.relation, Relation::Forked);
            let mut after = mine.clone();
            after.take(&merge).unwrap();
            assert_eq!(after.verdict(), Some(Ruling::Foul { by: Seat::O }));
            assert_eq!(after.chain, mine.chain, "what was stored first stays");
        }
    }

    #[test]
    fn a_foul_outranks_a_won_board_and_two_fouls_are_void() {
        let players = Players::new(2);
        let won = chain(&players, &[(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)]);
        assert_eq!(won.verdict().unwrap().winner(), Some(Seat::X));
        let other = chain(&players, &[(1, 1), (2, 1), (3, 3)]);
        let mut after = won.clone();
        after.take(&won.merge(&[], &other.chain.entries_from(0))).unwrap();
        assert_eq!(after.verdict(), Some(Ruling::Foul { by: Seat::X }));
        let third = chain(&players, &[(1, 1), (3, 1)]);
        let merge = after.merge(&[], &third.chain.entries_from(0));
        after.take(&merge).unwrap();
        assert_eq!(after.verdict(), Some(Ruling::Void));
    }

    #[test]
    fn spliced_skipped_and_foreign_entries_are_refused() {
        let players = Players::new(3);
        let mine = chain(&players, &[(1, 1)]);
        let longer = chain(&players, &[(1, 1), (2, 2), (3, 3)]);
        let skipped = mine.merge(&[], &longer.chain.entries_from(2));
        assert_eq!(skipped.refused, Some(Unplayable::Gap { want: 1 }));
        let stranger = Players::new(4);
        let foreign = mine.merge(&[], &chain(&stranger, &[(1, 1)]).chain.entries_from(0));
        assert!(foreign.adopt.is_empty());
        assert!(foreign.fouls.is_empty(), "an entry of another match proves nothing");
        let mut spliced = longer.chain.entry(1).unwrap().into_signed();
        spliced.body.prev.0[0] ^= 1;
        let spliced = mine.merge(&[], &[Verified::from_disk(spliced)]);
        assert_eq!(spliced.refused, Some(Unplayable::Unchained));
    }

    #[test]
    fn resigning_decides_for_the_other_and_ends_the_chain() {
        let players = Players::new(5);
        let mut mine = chain(&players, &[(1, 1)]);
        let resign = entry_by(&players, &mine.chain, Act::Resign, WallMs(1));
        mine.take(&mine.merge(&[], &[resign])).unwrap();
        assert_eq!(mine.verdict(), Some(Ruling::Resigned { by: Seat::O }));
        let more = play(&players, &mine.chain, 2, 2);
        assert_eq!(mine.merge(&[], &[more]).refused, Some(Unplayable::Over));
    }

    #[test]
    fn an_entry_is_a_receipt_for_all_before_it() {
        let players = Players::new(6);
        let mut mine = chain(&players, &[(1, 1), (2, 2), (3, 3)]);
        assert_eq!(mine.held_by(Keeper::Player(Seat::X)), 3);
        assert_eq!(mine.held_by(Keeper::Player(Seat::O)), 2);
        assert_eq!(mine.held_by(Keeper::Server), 0);
        let held = Verified::from_disk(crate::model::sign::Signed::unsigned(mine.held()));
        assert!(mine.receipt(Keeper::Player(Seat::O), held.clone()));
        assert!(!mine.receipt(Keeper::Player(Seat::O), held), "the same again says nothing new");
        assert_eq!(mine.held_by(Keeper::Player(Seat::O)), 3);
    }

    proptest! {
        /// Two branches of one match: without a fork both orders of merging give one chain; with one, both find it.
        #[test]
        fn merging_commutes_and_finds_every_fork(
            left in proptest::collection::vec((1u16..=3, 1u16..=3), 0..9),
            right in proptest::collection::vec((1u16..=3, 1u16..=3), 0..9),
        ) {
            let players = Players::new(7);
            let (a, b) = (legal(&players, &left), legal(&players, &right));
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.take(&a.merge(&[], &b.chain.entries_from(0))).unwrap();
            ba.take(&b.merge(&[], &a.chain.entries_from(0))).unwrap();
            let shared = a.chain.plies().min(b.chain.plies());
            let forked = a.chain.head_at(shared) != b.chain.head_at(shared);
            prop_assert_eq!(ab.verdict().is_some_and(|ruling| matches!(ruling, Ruling::Foul { .. })), forked);
            if forked {
                prop_assert_eq!(ab.verdict(), ba.verdict());
            } else {
                prop_assert_eq!(&ab.chain, &ba.chain);
                prop_assert_eq!(ab.chain.plies(), a.chain.plies().max(b.chain.plies()));
            }
        }
    }

    /// The chain of those of `moves` that are legal.
    fn legal(players: &Players, moves: &[(u16, u16)]) -> Evidence {
        let mut evidence = Evidence::new(players.first()).unwrap();
        for (row, col) in moves {
            let Ok(play) = evidence.chain.game().read(&[&row.to_string(), &col.to_string()]) else { continue };
            let entry = entry_by(players, &evidence.chain, Act::Play(play), WallMs(0));
            let merge = evidence.merge(&[], &[entry]);
            evidence.take(&merge).unwrap();
        }
        evidence
    }
}
