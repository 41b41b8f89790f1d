//! Matches as a player's file has them, for tests of documents.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use super::Document;
use crate::model::evidence::{Evidence, Keeper};
use crate::model::fixture::{Players, entry_by, play};
use crate::model::games::Seat;
use crate::model::id::Name;
use crate::model::key::SecretKey;
use crate::model::sign::Signed;
use crate::model::statement::{Act, Grant, Ruling, Verdict};
use crate::model::time::WallMs;

/// X wins.
pub(crate) const WON: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];

/// A match as one of its keepers holds it, all of it signed.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) evidence: Evidence,
    pub(crate) verdict: Option<Signed<Verdict>>,
    keys: [SecretKey; 2],
}

/// Of the server of [`Players`].
pub(crate) fn server_key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

pub(crate) fn players() -> Players {
    Players::new(1)
}

impl Held {
    /// A match that has just been granted.
    pub(crate) fn new() -> Self {
        let players = players();
        let grant = Signed::by(&server_key(), &players.server, players.grant());
        Self { evidence: Evidence::new(grant).unwrap(), verdict: None, keys: players.keys }
    }

    pub(crate) fn players(&self) -> Players {
        let mut players = players();
        players.keys.clone_from(&self.keys);
        players
    }

    pub(crate) fn play(mut self, moves: &[(u16, u16)]) -> Self {
        for (row, col) in moves {
            let entry = play(&self.players(), &self.evidence.chain, *row, *col);
            self.evidence.chain.push(&entry).unwrap();
        }
        self
    }

    pub(crate) fn resign(mut self) -> Self {
        let entry = entry_by(&self.players(), &self.evidence.chain, Act::Resign, WallMs(7));
        self.evidence.chain.push(&entry).unwrap();
        self
    }

    /// A receipt for all there is.
    pub(crate) fn held_by(mut self, keeper: Keeper) -> Self {
        let key = match keeper {
            Keeper::Player(seat) => self.keys[seat.index()].clone(),
            Keeper::Server => server_key(),
        };
        let server = players().server;
        let held = Signed::by(&key, &server, self.evidence.held()).verify(&key.public(), &server).unwrap();
        assert!(self.evidence.receipt(keeper, held));
        self
    }

    /// Another key for a seat.
    pub(crate) fn regrant(mut self, seat: Seat, seed: u8) -> Self {
        self.keys[seat.index()] = SecretKey::from_seed(&[seed; 32]);
        let now = self.evidence.chain.grant();
        let keys = [self.keys[0].public(), self.keys[1].public()];
        let grant = Grant { epoch: now.epoch + 1, base: self.evidence.chain.head(), keys, ..now.clone() };
        let (key, server) = (server_key(), players().server);
        let grant = Signed::by(&key, &server, grant).verify(&key.public(), &server).unwrap();
        self.evidence.regrant(&grant).unwrap();
        self
    }

    /// The proof that the author of the last entry has signed another one too.
    pub(crate) fn foul(mut self, row: u16, col: u16) -> Self {
        let last = self.evidence.chain.plies() - 1;
        let mut before = Self { evidence: Self::new().evidence, ..self.clone() };
        for entry in self.evidence.chain.entries_from(0).iter().take(usize::from(last)) {
            before.evidence.chain.push(entry).unwrap();
        }
        let other = play(&before.players(), &before.evidence.chain, row, col);
        let merge = self.evidence.merge(&[], &[other]);
        assert_eq!(merge.fouls.len(), 1);
        self.evidence.take(&merge).unwrap();
        self
    }

    /// The verdict that the evidence says.
    pub(crate) fn settle(self) -> Self {
        let ruling = self.evidence.verdict().unwrap();
        self.ruled(ruling)
    }

    /// Any verdict.
    pub(crate) fn ruled(mut self, ruling: Ruling) -> Self {
        let match_id = self.evidence.chain.grant().match_id;
        self.verdict = Some(Signed::by(&server_key(), &players().server, Verdict { match_id, epoch: 1, ruling }));
        self
    }

    pub(crate) fn document(&self) -> Document {
        let names = ["alice", "bob"].map(|name| Name::new(name).unwrap());
        Document::of(&self.evidence, &names, &server_key().public(), self.verdict.as_ref())
    }
}

/// One match of every kind.
pub(crate) fn all() -> [Held; 6] {
    let [x, o] = Seat::BOTH.map(Keeper::Player);
    let open = Held::new().play(&WON[..2]).held_by(x);
    let won = Held::new().play(&WON).held_by(o).held_by(Keeper::Server).settle();
    let resigned = Held::new().play(&WON[..3]).resign().held_by(x).held_by(Keeper::Server).settle();
    let fouled = Held::new().play(&WON[..4]).foul(3, 3).held_by(Keeper::Server).settle();
    [Held::new(), open, won, resigned, fouled, two_epochs()]
}

/// X changes the device after three moves, and wins.
pub(crate) fn two_epochs() -> Held {
    let begun = Held::new().play(&WON[..3]).held_by(Keeper::Player(Seat::O)).held_by(Keeper::Server);
    let moved = begun.regrant(Seat::X, 50).play(&WON[3..]).held_by(Keeper::Server);
    moved.settle()
}
