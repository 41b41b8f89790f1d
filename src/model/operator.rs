//! What an operator asks of a running server, and what comes back, as plain data.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::id::{ConnId, MatchId, Name, SessionId};
use super::limits::ANNOUNCEMENT_BYTES_MAX;
use super::message::UserState;
use super::refusal::Refusal;

/// A question or order of an operator, to be named with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AskId(pub u64);

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A sentence for every player who is connected.
    Announce(Announcement),
    /// Nobody logs in and no match begins from here on: the server stops when those under way are over.
    Close,
    /// Ends the session of a user, and the link of it.
    Kick(Name),
    /// Who is logged in.
    Sessions,
    /// Which matches are open.
    Matches,
}

/// What it gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was sent.
    Announced {
        /// To so many players.
        players: u32,
    },
    /// Nothing new begins.
    Closed {
        /// Matches under way.
        matches: u32,
    },
    /// The session is ended, on disk.
    Kicked,
    /// By name.
    Sessions(Vec<SessionRow>),
    /// By id.
    Matches(Vec<MatchRow>),
}

/// Why it was not done. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unable {
    /// No such account.
    #[error("there is no user of that name")]
    NoSuchUser,
    /// The user is not logged in.
    #[error("that user is not logged in")]
    NoSession,
    /// Nothing can be changed just now.
    #[error(transparent)]
    Shut(Refusal),
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Whose.
    pub user: Name,
    /// Which.
    pub session: SessionId,
    /// What the user does.
    pub state: UserState,
    /// The link of it, and from where, if there is one.
    pub link: Option<(ConnId, IpAddr)>,
    /// The opponent in the match that the user is seated in.
    pub opponent: Option<Name>,
}

/// One match that is unfinished, or whose verdict not both players have stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchRow {
    /// Which.
    pub match_id: MatchId,
    /// X and O.
    pub names: [Name; 2],
    /// Which of them have a link.
    pub here: [bool; 2],
    /// What is played.
    pub game: String,
    /// How far it is.
    pub state: MatchState,
    /// Entries.
    pub plies: u16,
    /// Who acts next, while it is undecided.
    pub turn: Option<Name>,
}

/// How far a match is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MatchState {
    /// Both are seated in it.
    Playing,
    /// Unfinished, and nobody is seated in it.
    Suspended,
    /// It has its verdict, which is still to be stored by a player.
    Decided,
}

/// A sentence of the operator: one line, without anything that a terminal would obey.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Announcement(String);

/// The text cannot be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an announcement is one line of 1 to {ANNOUNCEMENT_BYTES_MAX} bytes without control characters")]
pub struct BadAnnouncement;

impl Announcement {
    /// Checks the length and the letters.
    ///
    /// # Errors
    /// [`BadAnnouncement`].
    pub fn new(text: &str) -> Result<Self, BadAnnouncement> {
        let fits = (1..=ANNOUNCEMENT_BYTES_MAX).contains(&text.len());
        if fits && !text.trim().is_empty() && !text.chars().any(is_treacherous) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadAnnouncement)
        }
    }
}

impl<'de> Deserialize<'de> for Announcement {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Announcement {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(&self.0)
    }
}

impl fmt::Debug for Announcement {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?}", self.0)
    }
}

impl Unable {
    /// The stable word for scripts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoSuchUser => "no-such-user",
            Self::NoSession => "not-logged-in",
            Self::Shut(refusal) => refusal.word(),
        }
    }
}

/// What a terminal obeys, or what turns the order of the letters around.
fn is_treacherous(letter: char) -> bool {
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(letter, '\u{2028}' | '\u{2029}');
    letter.is_control() || turns || breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_one_line_that_no_terminal_obeys() {
        assert_eq!(Announcement::new("reinício em 60 s ♟").unwrap().to_string(), "reinício em 60 s ♟");
        assert!(Announcement::new(&"x".repeat(ANNOUNCEMENT_BYTES_MAX)).is_ok());
        let long = "x".repeat(ANNOUNCEMENT_BYTES_MAX + 1);
        for bad in ["", "  ", "two\nlines", "\u{1b}[2J", "bell\u{7}", "\u{9b}31m", "a\u{202e}b", "a\u{2028}b", &long] {
            assert_eq!(Announcement::new(bad), Err(BadAnnouncement), "{bad:?}");
        }
    }

    #[test]
    fn a_bad_one_is_not_read_from_a_frame_either() {
        let bytes = postcard::to_allocvec("two\nlines").unwrap();
        assert!(postcard::from_bytes::<Announcement>(&bytes).is_err());
        let bytes = postcard::to_allocvec("one line").unwrap();
        assert!(postcard::from_bytes::<Announcement>(&bytes).is_ok());
    }
}
