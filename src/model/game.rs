//! One match and one invitation, as the state holds them.

use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::games::{GameSpec, Seat};
use super::id::{InviteId, MatchId, UserId};
use super::key::{Hash, PublicKey};
use super::replay::Unfit;
use super::sign::{Signed, Verified};
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
    /// Keys that players ask to have their seats under.
    pub asked: [Option<PublicKey>; 2],
    /// Players may hold newer grants than the server, which has lost state: until both seats have shown what they hold
    /// it gives no receipt and changes no key.
    pub recovering: bool,
}

/// A match as files hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchPiece {
    /// The permissions to play, by epoch.
    pub grants: Vec<Grant>,
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
    /// Keys asked for.
    pub asked: [Option<PublicKey>; 2],
    /// Whether players may hold newer grants.
    pub recovering: bool,
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

/// Proofs of fouls in a match that had been filed away before they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// Which match.
    pub match_id: MatchId,
    /// At most one a seat.
    pub fouls: Vec<Foul>,
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
    /// That has just been granted.
    #[must_use]
    pub const fn new(evidence: Evidence, touched: UptimeMs) -> Self {
        Self { evidence, ruling: None, told: [false; 2], touched, asked: [None; 2], recovering: false }
    }

    /// Its newest grant.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        self.evidence.chain.grant()
    }

    /// The seat of a user.
    #[must_use]
    pub fn seat_of(&self, user: UserId) -> Option<Seat> {
        Seat::BOTH.into_iter().find(|seat| self.grant().users[seat.index()] == user)
    }

    /// The user in a seat.
    #[must_use]
    pub fn user(&self, seat: Seat) -> UserId {
        self.grant().users[seat.index()]
    }

    /// For a file.
    #[must_use]
    pub fn piece(&self) -> MatchPiece {
        let chain = &self.evidence.chain;
        MatchPiece {
            grants: chain.grants().iter().map(|grant| grant.body.clone()).collect(),
            links: chain.links().to_vec(),
            head: chain.head().head,
            fouls: self.evidence.fouls.clone(),
            ruling: self.ruling,
            told: self.told,
            touched: self.touched,
            asked: self.asked,
            recovering: self.recovering,
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
        let mut grants = piece.grants.into_iter().peekable();
        let first = grants.next().ok_or_else(|| Unfit("a match without a grant".to_owned()))?;
        let id = first.match_id;
        let unfit = |why: &dyn std::fmt::Display| Unfit(format!("match {id}: {why}"));
        let mut chain = Transcript::new(Signed::unsigned(first)).map_err(|why| unfit(&why))?;
        for link in piece.links {
            while let Some(grant) = grants.next_if(|grant| grant.base.plies <= chain.plies()) {
                chain.regrant(&Verified::from_disk(Signed::unsigned(grant))).map_err(|why| unfit(&why))?;
            }
            chain.take(link).map_err(|why| unfit(&why))?;
        }
        for grant in grants {
            chain.regrant(&Verified::from_disk(Signed::unsigned(grant))).map_err(|why| unfit(&why))?;
        }
        if chain.head().head != piece.head {
            return Err(unfit(&"the hash chain does not end as it was written"));
        }
        let evidence = Evidence { chain, fouls: piece.fouls, receipts: [None, None, None] };
        let MatchPiece { ruling, told, touched, asked, recovering, .. } = piece;
        Ok(Self { evidence, ruling, told, touched, asked, recovering })
    }
}
