//! What goes over the control socket: one line of JSON a request, some lines of JSON an answer.
//!
//! ```text
//! {"command":"kick","user":"bob"}
//!                                  {"done":"kicked"}   or   {"refused":{"error":"no-such-user","message":"…"}}
//! ```

use serde::{Deserialize, Serialize};

use crate::model::id::Name;
use crate::model::message::UserState;
use crate::model::operator::{MatchRow, MatchState, SessionRow};

/// What an operator asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Shows a sentence to every player who is connected.
    Announce {
        /// One line.
        text: String,
    },
    /// Lets nobody log in and no match begin; stops the server when those under way are over, or after the limit.
    Drain {
        /// In milliseconds.
        limit_ms: u64,
    },
    /// Ends a user's session.
    Kick {
        /// Whose.
        user: Name,
    },
    /// Who is logged in.
    Sessions,
    /// Which matches are open.
    Matches,
    /// Makes a snapshot of all that is on disk.
    Snapshot,
}

/// One line of an answer; [`Done`](Self::Done) and [`Refused`](Self::Refused) are the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// One session.
    Session(Session),
    /// One match.
    Match(Match),
    /// Nothing new begins; the last line follows when the server stops.
    Draining {
        /// Matches under way.
        matches: u32,
        /// As asked.
        limit_ms: u64,
    },
    /// It is done, and on disk.
    Done(Done),
    /// It is not done.
    Refused {
        /// A stable word.
        error: String,
        /// A sentence.
        message: String,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// It was sent.
    Announced {
        /// To so many.
        players: u32,
    },
    /// The server stops.
    Stopping,
    /// The session is ended.
    Kicked,
    /// All were listed.
    Sessions {
        /// So many.
        count: usize,
    },
    /// All were listed.
    Matches {
        /// So many.
        count: usize,
    },
    /// All that is on disk is in a snapshot.
    Snapshot {
        /// Whether that took a new one.
        made: bool,
        /// The newest fact in it.
        lsn: Option<u64>,
        /// Its size.
        bytes: Option<u64>,
    },
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose.
    pub user: String,
    /// What the user does.
    pub state: UserState,
    /// From where the user is connected.
    pub ip: Option<String>,
    /// The number of that connection in the log.
    pub conn: Option<u64>,
    /// In the match the user is seated in.
    pub opponent: Option<String>,
    /// Its id.
    pub session: String,
}

/// One match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Its id.
    #[serde(rename = "match")]
    pub match_id: String,
    /// Who plays X.
    pub x: String,
    /// Who plays O.
    pub o: String,
    /// Whether X has a link.
    pub x_here: bool,
    /// Whether O has a link.
    pub o_here: bool,
    /// What is played.
    pub game: String,
    /// How far it is.
    pub state: MatchState,
    /// Moves made.
    pub plies: u16,
    /// Who moves next.
    pub turn: Option<String>,
}

impl Request {
    /// One line.
    ///
    /// # Errors
    /// A sentence for whoever sent it.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| format!("that is no request: {error}"))
    }

    /// Its word.
    pub(super) const fn command(&self) -> &'static str {
        match self {
            Self::Announce { .. } => "announce",
            Self::Drain { .. } => "drain",
            Self::Kick { .. } => "kick",
            Self::Sessions => "sessions",
            Self::Matches => "matches",
            Self::Snapshot => "snapshot",
        }
    }

    /// What it is about, for the log.
    pub(super) fn about(&self) -> String {
        match self {
            // It may hold anything.
            Self::Announce { text } => text.escape_debug().to_string(),
            Self::Drain { limit_ms } => format!("{limit_ms} ms"),
            Self::Kick { user } => user.to_string(),
            Self::Sessions | Self::Matches | Self::Snapshot => String::new(),
        }
    }
}

impl Line {
    pub(super) fn refused(error: &str, message: &str) -> Self {
        Self::Refused { error: error.to_owned(), message: message.to_owned() }
    }
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        let SessionRow { user, session, state, link, opponent } = row;
        Self {
            user: user.to_string(),
            state,
            ip: link.map(|(_, ip)| ip.to_string()),
            conn: link.map(|(conn, _)| conn.0),
            opponent: opponent.map(|name| name.to_string()),
            session: session.to_string(),
        }
    }
}

impl From<MatchRow> for Match {
    fn from(row: MatchRow) -> Self {
        let MatchRow { match_id, names: [x, o], here: [x_here, o_here], game, state, plies, turn } = row;
        let (x, o, turn) = (x.to_string(), o.to_string(), turn.map(|name| name.to_string()));
        Self { match_id: match_id.to_string(), x, o, x_here, o_here, game, state, plies, turn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_anything_else_is_told_why_not() {
        let bob = Name::new("bob").unwrap();
        assert_eq!(Request::read(br#"{"command":"kick","user":"bob"}"#), Ok(Request::Kick { user: bob }));
        assert_eq!(Request::read(b"{\"command\":\"sessions\"}\r\n"), Ok(Request::Sessions));
        let deep = "[".repeat(2000);
        for bad in [
            "",
            "\n",
            "kick bob",
            "{}",
            r#"{"command":"kick"}"#,
            r#"{"command":"kick","user":"../x"}"#,
            r#"{"command":"kick","user":7}"#,
            r#"{"command":"kick","user":"bob","force":true}"#,
            r#"{"command":"format-disk"}"#,
            r#"{"command":"drain","limit_ms":-1}"#,
            r#"{"command":"drain","limit_ms":1e99}"#,
            r#"{"command":"sessions"}{"command":"sessions"}"#,
            &deep,
        ] {
            assert!(Request::read(bad.as_bytes()).unwrap_err().starts_with("that is no request: "), "{bad}");
        }
        assert!(Request::read(b"\xff\xfe{}").is_err());
    }

    #[test]
    fn lines_are_as_documented() {
        let line = Line::refused("no-such-user", "there is no user of that name");
        let text = r#"{"refused":{"error":"no-such-user","message":"there is no user of that name"}}"#;
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
        assert_eq!(serde_json::to_string(&Line::Done(Done::Kicked)).unwrap(), r#"{"done":"kicked"}"#);
        let drained = Line::Draining { matches: 3, limit_ms: 300_000 };
        assert_eq!(serde_json::to_string(&drained).unwrap(), r#"{"draining":{"matches":3,"limit_ms":300000}}"#);
        let sent = Line::Done(Done::Announced { players: 2 });
        assert_eq!(serde_json::to_string(&sent).unwrap(), r#"{"done":{"announced":{"players":2}}}"#);
    }
}
