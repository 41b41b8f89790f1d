//! What a player is told when something cannot be done. Stable words for scripts, sentences for people.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::games::Illegal;
use super::transcript::Unplayable;

/// Why a request was not carried out. Nothing has changed.
///
/// The list only grows at its end: it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The name is taken, in this or another case.
    #[error("that name is taken")]
    UserExists,
    /// One answer for an unknown user and a wrong password.
    #[error("wrong name or password")]
    WrongPassword,
    /// The new password is the old one.
    #[error("that is the password already")]
    SamePassword,
    /// Too short or too long.
    #[error("a password has 8 to 1024 bytes")]
    BadPassword,
    /// The request needs a login.
    #[error("log in first: login NAME")]
    NotLoggedIn,
    /// This connection has a session already.
    #[error("you are logged in already; logout first")]
    AlreadyLoggedIn,
    /// The user has a live session on another device.
    #[error("this user is logged in on another device, which is connected; log out there first")]
    LoggedInElsewhere,
    /// The session has ended, or its signature was wrong.
    #[error("that session has ended; log in again")]
    SessionEnded,
    /// No such user.
    #[error("there is no user of that name")]
    NoSuchUser,
    /// An invitation to oneself.
    #[error("you cannot play against yourself")]
    Yourself,
    /// Not logged in, or without a link.
    #[error("that player is not here")]
    OpponentOffline,
    /// Seated in another match.
    #[error("that player is in a match")]
    OpponentBusy,
    /// Seated in a match.
    #[error("you are in a match; leave or end it first")]
    InMatch,
    /// Not seated in a match.
    #[error("you are not in a match")]
    NoMatch,
    /// Too many invitations are open.
    #[error("ten of your invitations are open; wait for an answer")]
    TooManyInvites,
    /// Too many matches are unfinished.
    #[error("too many of your matches are unfinished; finish one first")]
    TooManyMatches,
    /// The same invitation is open.
    #[error("you have asked that player already")]
    AlreadyInvited,
    /// No open invitation from that player.
    #[error("there is no open invitation from that player")]
    NoInvite,
    /// The rules are not known to the server.
    #[error("the server does not know that game")]
    UnknownGame,
    /// The other seat acts next.
    #[error("it is not your turn")]
    NotYourTurn,
    /// Somebody has played there.
    #[error("that cell is taken")]
    CellTaken,
    /// No such cell.
    #[error("that is off the board")]
    OffTheBoard,
    /// The match is decided.
    #[error("the game is over")]
    GameOver,
    /// Bytes that are no move of the game.
    #[error("that is no move of this game")]
    BadMove,
    /// A match that is not the player's.
    #[error("that is not a match of yours")]
    NotAPlayer,
    /// The signature is not of that seat's key.
    #[error("the signature is wrong")]
    BadSignature,
    /// An entry that does not follow what the server has.
    #[error("that entry does not follow the last one")]
    OutOfOrder,
    /// Too many requests, or the hashing queue is full.
    #[error("the server is busy; try again in {} s", retry_after_ms.div_ceil(1000))]
    Busy {
        /// How long to wait.
        retry_after_ms: u32,
    },
    /// The disk is full: nothing can be changed, reading works.
    #[error("the server's disk is full: nothing can be changed just now")]
    DiskFull,
    /// The server is about to stop.
    #[error("the server is restarting")]
    Restarting,
    /// A request this server does not know.
    #[error("the server does not know that request")]
    Unsupported,
    /// A match whose seats have changed their keys too often.
    #[error("this match has changed devices too often; it goes on where it is")]
    TooManyDevices,
    /// A match key that a seat of this match has or had already.
    #[error("that match key is not a new one")]
    KeyKnown,
}

impl Refusal {
    /// [`Refusal::Busy`] with a time to wait.
    #[must_use]
    pub fn busy(retry_after: Duration) -> Self {
        Self::Busy { retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX) }
    }

    /// The stable word for scripts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::UserExists => "user-exists",
            Self::WrongPassword => "wrong-password",
            Self::SamePassword => "same-password",
            Self::BadPassword => "bad-password",
            Self::NotLoggedIn => "not-logged-in",
            Self::AlreadyLoggedIn => "already-logged-in",
            Self::LoggedInElsewhere => "logged-in-elsewhere",
            Self::SessionEnded => "session-ended",
            Self::NoSuchUser => "no-such-user",
            Self::Yourself => "yourself",
            Self::OpponentOffline => "opponent-offline",
            Self::OpponentBusy => "opponent-busy",
            Self::InMatch => "in-match",
            Self::NoMatch => "no-match",
            Self::TooManyInvites => "too-many-invites",
            Self::TooManyMatches => "too-many-matches",
            Self::AlreadyInvited => "already-invited",
            Self::NoInvite => "no-invite",
            Self::UnknownGame => "unknown-game",
            Self::NotYourTurn => "not-your-turn",
            Self::CellTaken => "cell-taken",
            Self::OffTheBoard => "off-the-board",
            Self::GameOver => "game-over",
            Self::BadMove => "bad-move",
            Self::NotAPlayer => "not-a-player",
            Self::BadSignature => "bad-signature",
            Self::OutOfOrder => "out-of-order",
            Self::Busy { .. } => "busy",
            Self::DiskFull => "disk-full",
            Self::Restarting => "restarting",
            Self::Unsupported => "unsupported",
            Self::TooManyDevices => "too-many-devices",
            Self::KeyKnown => "key-known",
        }
    }
}

impl From<Illegal> for Refusal {
    fn from(illegal: Illegal) -> Self {
        match illegal {
            Illegal::OffTheBoard => Self::OffTheBoard,
            Illegal::CellTaken => Self::CellTaken,
            Illegal::Over => Self::GameOver,
            Illegal::Malformed => Self::BadMove,
        }
    }
}

impl From<Unplayable> for Refusal {
    fn from(unplayable: Unplayable) -> Self {
        match unplayable {
            Unplayable::OtherMatch => Self::NotAPlayer,
            Unplayable::Gap { .. } | Unplayable::Unchained | Unplayable::Ungranted { .. } => Self::OutOfOrder,
            Unplayable::NotYourTurn => Self::NotYourTurn,
            Unplayable::Over => Self::GameOver,
            Unplayable::Illegal(illegal) => illegal.into(),
        }
    }
}
