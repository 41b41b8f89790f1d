//! What a client writes down, and what it finds again after a crash.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::model::evidence::Keeper;
use crate::model::id::{Boot, Lsn, MatchId, Name, SessionId, UserId};
use crate::model::key::{PublicKey, SecretKey};
use crate::model::sign::Signed;
use crate::model::statement::{Entry, Foul, Grant, Held, Promise, Verdict};

/// One record of a match file. A match file begins with [`MatchRecord::Opened`] and [`MatchRecord::Server`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MatchRecord {
    /// The permission to play, who plays, and the key that signs for this seat: whoever loses this file loses the key
    /// and cannot sign by mistake.
    Opened {
        /// The first one, signed by the server.
        grant: Box<Signed<Grant>>,
        /// Names of X and O.
        names: [Name; 2],
        /// The user whose file this is.
        user: UserId,
        /// The private half of the match key.
        key: MatchKey,
    },
    /// An entry, of either seat.
    Entry(Signed<Entry>),
    /// Proof of a foul.
    Foul(Box<Foul>),
    /// A receipt of another keeper.
    Held {
        /// Whose.
        keeper: Keeper,
        /// The receipt.
        held: Signed<Held>,
    },
    /// The wish to resign at the next own turn.
    WishToResign,
    /// The server's verdict, in accord with the evidence above it.
    Verdict(Signed<Verdict>),
    /// The key that signs for the server.
    Server(PublicKey),
    /// A newer grant: what is not in its base is dropped.
    Regranted(Box<Signed<Grant>>),
    /// The private half of the key that this seat has by the newest grant.
    Key(MatchKey),
    /// This player's promise: until a newer grant or a verdict comes nothing is signed.
    Promised(Signed<Promise>),
    /// A verdict has ended the promise.
    Released,
    /// Where the opponent may be reached.
    Candidates(Vec<SocketAddr>),
}

/// The 32 bytes of a match key; never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchKey([u8; 32]);

/// A session that can be taken up again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSession {
    /// Which.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// Their name.
    pub name: Name,
    /// The newest run and fact of the server this client has seen.
    pub seen: (Boot, Lsn),
}

/// Something to be on disk before anything after it leaves.
#[derive(Clone, Debug)]
pub enum Write {
    /// The session, or that there is none.
    Session(Option<SavedSession>),
    /// The match keys that are offered and not used yet.
    Offers(Vec<SecretKey>),
    /// A new match file.
    Open {
        /// Which match.
        match_id: MatchId,
        /// All that is known of it.
        records: Vec<MatchRecord>,
    },
    /// More records of a match.
    Append {
        /// Which match.
        match_id: MatchId,
        /// In order.
        records: Vec<MatchRecord>,
    },
}

/// All that a user has on this machine.
#[derive(Clone, Debug)]
pub struct UserFiles {
    /// The device key.
    pub device: SecretKey,
    /// The session, if there is one.
    pub session: Option<SavedSession>,
    /// Match keys that were offered and not used yet.
    pub offers: Vec<SecretKey>,
    /// The records of each match file.
    pub matches: Vec<Vec<MatchRecord>>,
}

impl MatchKey {
    /// Of a key.
    #[must_use]
    pub fn of(key: &SecretKey) -> Self {
        Self(*key.seed())
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> SecretKey {
        SecretKey::from_seed(&self.0)
    }
}

impl std::fmt::Debug for MatchKey {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("MatchKey(hidden)")
    }
}
