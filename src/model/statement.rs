//! The statements of the keeper protocol: grant, entry, receipt, promise, verdict.

use serde::{Deserialize, Serialize};

use super::games::{GameSpec, Move, Outcome, Seat};
use super::id::{MatchId, SessionId, UserId};
use super::key::{Hash, PublicKey, ServerId};
use super::sign::{Signed, Statement};
use super::time::WallMs;

/// The server's permission to play one match: who, by which keys, by which rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The server that settles it.
    pub server: ServerId,
    /// The match.
    pub match_id: MatchId,
    /// Grows when a seat's key changes.
    pub epoch: u32,
    /// Where it takes over: what the epochs before leave standing. The first entry under this grant names the grant as
    /// what came before it, and the grant names the end of its base.
    pub base: Base,
    /// Who plays, X first.
    pub users: [UserId; 2],
    /// The keys that sign each seat's entries.
    pub keys: [PublicKey; 2],
    /// The rules.
    pub game: GameSpec,
    /// Until when it may be settled, wall clock.
    pub settle_by: WallMs,
}

/// The end of a stretch of entries: how many, and the hash of the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Base {
    /// Number of entries.
    pub plies: u16,
    /// Hash of the last; of nothing (all zero) for none.
    pub head: Hash,
}

impl Base {
    /// Before the first entry.
    pub const NONE: Self = Self { plies: 0, head: Hash([0; 32]) };
}

/// What a player does at one ply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Act {
    /// Plays a move of the game.
    Play(Move),
    /// Gives up; decides the board for the opponent.
    Resign,
}

/// One signed act at one ply; `prev` chains it to the entry before (for ply 0: to the grant).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The match.
    pub match_id: MatchId,
    /// Of the grant it is played under.
    pub epoch: u32,
    /// From 0.
    pub ply: u16,
    /// Who acts; there is one lawful seat for each ply.
    pub seat: Seat,
    /// What.
    pub act: Act,
    /// Hash of what came before.
    pub prev: Hash,
    /// A player's word for people to read; it decides nothing.
    pub at: WallMs,
}

/// A receipt: "I have these entries on my disk". Signed by a seat's match key or by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The match.
    pub match_id: MatchId,
    /// Of the newest grant known.
    pub epoch: u32,
    /// Number of entries held.
    pub plies: u16,
    /// Hash of the last one.
    pub head: Hash,
}

/// "From now on I take nothing of the epoch before beyond this": signed by the opponent of a seat whose key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The match.
    pub match_id: MatchId,
    /// Of the grant that is to come.
    pub epoch: u32,
    /// All that the promising player holds.
    pub head: Base,
}

/// Who won and why; signed by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The match.
    pub match_id: MatchId,
    /// Of the newest grant it rests on: evidence of another epoch that says the same is not its evidence. 0 if the match
    /// has been filed away.
    pub epoch: u32,
    /// What the evidence says.
    pub ruling: Ruling,
}

/// What the evidence of a match says, by the first rule that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ruling {
    /// This seat signed two different entries at one ply, and loses.
    Foul {
        /// Who.
        by: Seat,
    },
    /// Both did: nobody scores.
    Void,
    /// The longest valid chain is decided by the rules.
    Board {
        /// How.
        outcome: Outcome,
    },
    /// The last entry of the longest valid chain gives up.
    Resigned {
        /// Who gave up.
        by: Seat,
    },
}

impl Ruling {
    /// Who has won, if anybody.
    #[must_use]
    pub const fn winner(self) -> Option<Seat> {
        match self {
            Self::Foul { by } | Self::Resigned { by } => Some(by.other()),
            Self::Board { outcome: Outcome::Win(seat) } => Some(seat),
            Self::Void | Self::Board { outcome: Outcome::Draw } => None,
        }
    }

    /// How `seat` fared.
    #[must_use]
    pub fn fared(self, seat: Seat) -> Fared {
        match (self.winner(), self) {
            (Some(winner), _) if winner == seat => Fared::Win,
            (Some(_), _) => Fared::Loss,
            (None, Self::Void) => Fared::Void,
            (None, _) => Fared::Draw,
        }
    }
}

/// How a match went for one player.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fared {
    /// Won.
    Win,
    /// Neither.
    Draw,
    /// Lost.
    Loss,
    /// Not counted.
    Void,
}

/// Proof that a seat signed two different entries at one ply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foul {
    /// The one stored first.
    pub first: Signed<Entry>,
    /// The other.
    pub second: Signed<Entry>,
}

/// The body that a device key signs to take its session up again on a new connection. The TLS exporter ties it to
/// that connection, so it can be neither replayed nor passed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The session.
    pub session: SessionId,
    /// Drawn by the server for this connection.
    pub nonce: [u8; 16],
    /// Of this TLS connection.
    pub exporter: [u8; 32],
}

/// The body by which a server proves its id on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Of this TLS connection.
    pub exporter: [u8; 32],
}

impl Statement for Grant {
    const KIND: &'static str = "rejoin grant/1";
}
impl Statement for Entry {
    const KIND: &'static str = "rejoin entry/1";
}
impl Statement for Held {
    const KIND: &'static str = "rejoin held/1";
}
impl Statement for Promise {
    const KIND: &'static str = "rejoin promise/1";
}
impl Statement for Verdict {
    const KIND: &'static str = "rejoin verdict/1";
}
impl Statement for Resume {
    const KIND: &'static str = "rejoin resume/1";
}
impl Statement for Proof {
    const KIND: &'static str = "rejoin proof/1";
}
