//! The pool: every statement that was ever sent. Whatever is in it may reach anybody at any time, any number of times,
//! or never.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::ruling_number;
use crate::model::evidence::Keeper;
use crate::model::games::Seat;
use crate::model::message::{Entries, KeeperMessage, Proofs};
use crate::model::sign::Signed;
use crate::model::statement::{Entry, Grant, Held, Promise, Ruling, Verdict};

/// One statement, or a request that follows from one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    Entry(Signed<Entry>),
    Grant(Signed<Grant>),
    Held(Keeper, Signed<Held>),
    Proofs(Proofs),
    Promise(Seat, Signed<Promise>),
    Verdict(Signed<Verdict>),
    /// The server asks this seat for its promise.
    Wanted(Seat, u32),
    /// This seat has the verdict on disk.
    Stored(Seat, Ruling),
}

/// Items by their numbers; copied when one is added.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    pub(super) items: Arc<BTreeMap<u64, Item>>,
    pub(super) print: u64,
}

/// A number for whatever tells one thing from another.
pub(super) fn digest(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl Item {
    /// The same for the same statement.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Entry(entry) => digest((1, entry.signature)),
            Self::Grant(grant) => digest((2, grant.signature)),
            Self::Held(_, held) => digest((3, held.signature)),
            Self::Proofs(proofs) => {
                let pairs = proofs.fouls.iter().map(|foul| (foul.first.body.seat, foul.first.body.epoch));
                digest((4, pairs.collect::<Vec<_>>()))
            }
            Self::Promise(_, promise) => digest((5, promise.signature)),
            Self::Verdict(verdict) => digest((6, verdict.signature)),
            Self::Wanted(seat, epoch) => digest((7, seat, epoch)),
            Self::Stored(seat, ruling) => digest((8, seat, ruling_number(Some(*ruling)))),
        }
    }

    /// What a keeper's message says, one by one; a `Have` is never kept. `by` is the player who says it.
    pub(super) fn all_of(message: &KeeperMessage, by: Option<Seat>) -> Vec<Self> {
        match message {
            KeeperMessage::Have(_) => Vec::new(),
            KeeperMessage::Entries(Entries { grants, entries, .. }) => {
                let grants = grants.iter().cloned().map(Self::Grant);
                grants.chain(entries.iter().cloned().map(Self::Entry)).collect()
            }
            KeeperMessage::Held { keeper, held } => vec![Self::Held(*keeper, held.clone())],
            KeeperMessage::Evidence(proofs) => vec![Self::Proofs(proofs.clone())],
            KeeperMessage::Promise(promise) => by.map(|by| Self::Promise(by, promise.clone())).into_iter().collect(),
            KeeperMessage::Verdict(verdict) => vec![Self::Verdict(verdict.clone())],
        }
    }

    /// As a keeper hears it, if it is for keepers.
    pub(super) fn message(&self) -> Option<KeeperMessage> {
        match self.clone() {
            Self::Entry(entry) => {
                let match_id = entry.body.match_id;
                Some(KeeperMessage::Entries(Entries { match_id, grants: Vec::new(), entries: vec![entry] }))
            }
            Self::Grant(grant) => {
                let match_id = grant.body.match_id;
                Some(KeeperMessage::Entries(Entries { match_id, grants: vec![grant], entries: Vec::new() }))
            }
            Self::Held(keeper, held) => Some(KeeperMessage::Held { keeper, held }),
            Self::Proofs(proofs) => Some(KeeperMessage::Evidence(proofs)),
            Self::Promise(_, promise) => Some(KeeperMessage::Promise(promise)),
            Self::Verdict(verdict) => Some(KeeperMessage::Verdict(verdict)),
            Self::Wanted(..) | Self::Stored(..) => None,
        }
    }
}

impl Pool {
    /// The server's connections are gone, and with them what it has said and nobody has.
    pub(super) fn forget(&mut self, stays: impl Fn(&Item) -> bool) {
        let items = Arc::make_mut(&mut self.items);
        items.retain(|_, item| stays(item));
        self.print = items.keys().fold(0, |print, number| print ^ number);
    }

    /// Whether it is new.
    pub(super) fn add(&mut self, item: Item) -> bool {
        let number = item.number();
        if self.items.contains_key(&number) {
            return false;
        }
        self.print ^= number;
        Arc::make_mut(&mut self.items).insert(number, item);
        true
    }
}

impl Item {
    /// As people read it.
    pub(super) fn say(&self) -> String {
        match self {
            Self::Entry(entry) => {
                let act = match &entry.body.act {
                    crate::model::statement::Act::Resign => "resigns".to_owned(),
                    crate::model::statement::Act::Play(play) => format!("{:?}", play.as_bytes()),
                };
                format!("{}'s ply {} (epoch {}): {act}", entry.body.seat, entry.body.ply, entry.body.epoch)
            }
            Self::Grant(grant) => format!("grant {} on base {}", grant.body.epoch, grant.body.base.plies),
            Self::Held(keeper, held) => format!("{keeper:?}'s receipt for {}", held.body.plies),
            Self::Proofs(proofs) => format!("proof against {}", proofs.fouls[0].first.body.seat),
            Self::Promise(seat, promise) => {
                format!("{seat}'s promise of {} for epoch {}", promise.body.head.plies, promise.body.epoch)
            }
            Self::Verdict(verdict) => format!("verdict {:?}", verdict.body.ruling),
            Self::Wanted(seat, epoch) => format!("{seat} is to promise for epoch {epoch}"),
            Self::Stored(seat, _) => format!("{seat} has stored the verdict"),
        }
    }
}
