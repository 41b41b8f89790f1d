//! Two players and a server with fixed keys, for tests of the model.

use super::games::{GameSpec, Seat};
use super::id::{MatchId, UserId};
use super::key::{SecretKey, ServerId};
use super::sign::{Signed, Verified};
use super::statement::{Act, Base, Entry, Grant};
use super::time::WallMs;
use super::transcript::Transcript;

/// The keys of one match.
pub(crate) struct Players {
    number: u8,
    pub(crate) keys: [SecretKey; 2],
    pub(crate) server: ServerId,
}

impl Players {
    pub(crate) fn new(number: u8) -> Self {
        let key = |kind: u8| SecretKey::from_seed(&[number.wrapping_mul(3).wrapping_add(kind); 32]);
        Self { number, keys: [key(100), key(101)], server: ServerId::of(&SecretKey::from_seed(&[1; 32]).public()) }
    }

    pub(crate) fn first(&self) -> Signed<Grant> {
        Signed::unsigned(self.grant())
    }

    pub(crate) fn grant(&self) -> Grant {
        Grant {
            server: self.server,
            match_id: MatchId([self.number; 16]),
            epoch: 1,
            base: Base::NONE,
            users: [UserId([1; 16]), UserId([2; 16])],
            keys: [self.keys[0].public(), self.keys[1].public()],
            game: GameSpec::named("tictactoe").expect("a preset"),
            settle_by: WallMs(0),
        }
    }
}

/// The next entry, with `act`, by whoever's turn it is.
pub(crate) fn entry_by(players: &Players, chain: &Transcript, act: Act, at: WallMs) -> Verified<Entry> {
    let body = chain.next_entry(act, at);
    let key = &players.keys[Seat::at(body.ply).index()];
    Signed::by(key, &players.server, body).verify(&key.public(), &players.server).expect("just signed")
}

/// The next entry, playing at `row`, `col`.
pub(crate) fn play(players: &Players, chain: &Transcript, row: u16, col: u16) -> Verified<Entry> {
    let open = GameSpec::named("tictactoe").and_then(|spec| spec.start()).expect("a preset");
    let act = open.read(&[&row.to_string(), &col.to_string()]).expect("on the board");
    entry_by(players, chain, Act::Play(act), WallMs(0))
}
