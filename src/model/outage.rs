//! An outage as the client that had it tells the server: only the client knows its dials.

use serde::{Deserialize, Serialize};

use super::event::LinkEnd;

/// An outage that is over. The server writes it down; nothing rests on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageRecord {
    /// Why, as the client found it.
    pub cause: Cause,
    /// From the loss that it noticed, or its own start, until it had its session.
    pub length_ms: u64,
    /// Its dials.
    pub attempts: u32,
    /// The wait before each of them, the first [`OUTAGE_WAITS_MAX`](super::limits::OUTAGE_WAITS_MAX) only.
    pub waits_ms: Vec<u32>,
}

/// Why there was no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The connection broke, or its end was closed.
    Reset,
    /// Nothing was heard for too long.
    Silence,
    /// The server has let go of it.
    Refused,
    /// The server was another run before.
    Restart,
    /// The session came over a new connection before the old one was found dead.
    Replaced,
    /// The program of the player was started.
    Started,
    /// It is not known any more.
    Unknown,
}

impl Cause {
    /// The word in the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Silence => "silence",
            Self::Refused => "refused",
            Self::Restart => "restart",
            Self::Replaced => "replaced",
            Self::Started => "started",
            Self::Unknown => "unknown",
        }
    }
}

impl From<LinkEnd> for Cause {
    fn from(end: LinkEnd) -> Self {
        match end {
            LinkEnd::Closed | LinkEnd::Reset => Self::Reset,
            LinkEnd::Silence => Self::Silence,
            LinkEnd::Ours => Self::Refused,
        }
    }
}
