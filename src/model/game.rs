//! One match and one invitation, as the state holds them.

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::games::{GameSpec, Seat};
use super::id::{InviteId, MatchId, UserId};
use super::key::{Hash, PublicKey};
use super::replay::Unfit;
use super::statement::{Foul, Grant, Ruling};
use super::time::UptimeMs;
use super::transcript::{Link, Transcript};

/// One match. Reading one from a file replays it, so that threads share the work.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "MatchPiece")]
pub struct Match {
    /// All the server holds about it.
    pub evidence: Evidence,
    /// The verdict, once there is one.
    pub ruling: Option<Ruling>,
    /// Which players have the verdict on disk.
    pub told: [bool; 2],
    /// The last sign of life.
    pub touched: UptimeMs,
}

/// A match as files hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchPiece {
    /// The permission to play.
    pub grant: Grant,
    /// The entries.
    pub links: Vec<Link>,
    /// Hash of the last entry: the chain is checked against it.
    pub head: Hash,
    /// Proofs of fouls.
    pub fouls: [Option<Foul>; 2],
    /// The verdict.
    pub ruling: Option<Ruling>,
    /// Which players have it.
    pub told: [bool; 2],
    /// The last sign of life.
    pub touched: UptimeMs,
}

/// What memory keeps of a finished match for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Which match.
    pub match_id: MatchId,
    /// Who played.
    pub users: [UserId; 2],
    /// The standing verdict.
    pub ruling: Ruling,
    /// Points it gave.
    pub credit: [u32; 2],
}

/// An open invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// Its id.
    pub invite: InviteId,
    /// Who asks.
    pub from: UserId,
    /// Who is asked.
    pub to: UserId,
    /// What to play.
    pub game: GameSpec,
    /// The inviter's match key.
    pub key: PublicKey,
    /// The suspended match to go on with.
    pub resume: Option<MatchId>,
}

impl Match {
    /// Its grant.
    #[must_use]
    pub const fn grant(&self) -> &Grant {
        self.evidence.chain.grant()
    }

    /// The seat of a user.
    #[must_use]
    pub fn seat_of(&self, user: UserId) -> Option<Seat> {
        Seat::BOTH.into_iter().find(|seat| self.grant().users[seat.index()] == user)
    }

    /// The user in a seat.
    #[must_use]
    pub const fn user(&self, seat: Seat) -> UserId {
        self.grant().users[seat.index()]
    }

    /// For a file.
    #[must_use]
    pub fn piece(&self) -> MatchPiece {
        let chain = &self.evidence.chain;
        MatchPiece {
            grant: chain.grant().clone(),
            links: chain.links().to_vec(),
            head: chain.head().head,
            fouls: self.evidence.fouls.clone(),
            ruling: self.ruling,
            told: self.told,
            touched: self.touched,
        }
    }
}

impl Serialize for Match {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.piece().serialize(to)
    }
}

impl TryFrom<MatchPiece> for Match {
    type Error = Unfit;

    /// Replays the entries and checks the hash chain.
    fn try_from(piece: MatchPiece) -> Result<Self, Unfit> {
        let id = piece.grant.match_id;
        let mut chain = Transcript::new(piece.grant).map_err(|why| Unfit(format!("match {id}: {why}")))?;
        for link in piece.links {
            chain.take(link).map_err(|why| Unfit(format!("match {id}: {why}")))?;
        }
        if chain.head().head != piece.head {
            return Err(Unfit(format!("match {id}: the hash chain does not end as it was written")));
        }
        let evidence = Evidence { chain, fouls: piece.fouls, receipts: [None, None, None] };
        Ok(Self { evidence, ruling: piece.ruling, told: piece.told, touched: piece.touched })
    }
}
