//! What happened, as those who saw it tell: one line a thing, by value.
//!
//! What must hold: a command without an answer is *unknown*: it may have been done at any later moment. It is never
//! taken for refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One line of a history. Lines are in the order of their times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Milliseconds since the beginning of the run, by the clock of whoever ran it.
    pub at_ms: u64,
    /// Who tells: `server`, or the device of a player (`p0`; a second device of the same player is `p0.2`).
    pub who: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A player has typed something. Numbers of commands are given once in a run.
    Invoke {
        /// Which command.
        op: u64,
        /// What it says.
        call: Call,
    },
    /// It was done.
    Ok {
        /// Which command.
        op: u64,
    },
    /// It was refused, and has changed nothing.
    Fail {
        /// Which command.
        op: u64,
        /// The stable word.
        error: String,
    },
    /// Its answer never came: the client died, or the run ended.
    Unknown {
        /// Which command.
        op: u64,
    },
    /// A player was shown something.
    Told {
        /// What.
        told: Told,
    },
    /// A process began.
    Started,
    /// A process ended.
    Ended {
        /// How.
        how: End,
    },
    /// A fault begins, or is over.
    Fault {
        /// Its kind.
        fault: String,
        /// Whether it begins.
        on: bool,
    },
}

/// A command, with what matters of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Call {
    /// `adduser`
    AddUser {
        /// Name.
        user: String,
        /// Password.
        password: String,
    },
    /// `login`
    Login {
        /// Name.
        user: String,
        /// Password.
        password: String,
    },
    /// `passwd`
    Passwd {
        /// Whose.
        user: String,
        /// The one before.
        old: String,
        /// The one after.
        new: String,
    },
    /// `logout`
    Logout {
        /// Whose.
        user: String,
    },
    /// `begin`
    Begin {
        /// With whom.
        opponent: String,
    },
    /// `accept`
    Accept {
        /// Whose invitation.
        opponent: String,
    },
    /// `send`
    Send {
        /// In which match.
        #[serde(rename = "match")]
        match_id: String,
        /// How many moves there were before, by what was shown.
        ply: u16,
        /// From 1.
        row: u16,
        /// From 1.
        col: u16,
    },
    /// `end`
    End {
        /// Which match.
        #[serde(rename = "match")]
        match_id: String,
    },
    /// `leave`
    Leave {
        /// Which match.
        #[serde(rename = "match")]
        match_id: String,
    },
    /// Something that changes nothing: its first word.
    Ask {
        /// `leaders`, for example.
        word: String,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It was killed; what it had written is there.
    Killed,
    /// Its power went: what was not synced may be lost.
    PowerCut,
    /// It was asked to, and did so in order.
    Stopped,
    /// By itself, because it could not go on.
    Failed,
    /// It and its disk are gone for good.
    Wiped,
}

/// What a player was shown. The tags are those of `rejoin play --json`, so a line of it can be read as one of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Told {
    /// The link to the server.
    Link {
        /// `down`, `dialing`, `resuming`, `live`.
        state: String,
        /// When live again: how long there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outage_ms: Option<u64>,
        /// When live again: dials it took.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempts: Option<u32>,
    },
    /// A seat in a match.
    Match {
        /// Its id.
        #[serde(rename = "match")]
        match_id: String,
        /// `X` or `O`.
        you: String,
        /// The other.
        opponent: String,
        /// What is played.
        game: String,
    },
    /// The board.
    Board {
        /// Of which match.
        #[serde(rename = "match")]
        match_id: String,
        /// Moves made.
        ply: u16,
        /// From the top: `X`, `O`, `.`.
        rows: Vec<String>,
    },
    /// A move, or another keeper of it.
    Move {
        /// Of which match.
        #[serde(rename = "match")]
        match_id: String,
        /// From 0.
        ply: u16,
        /// Who.
        by: String,
        /// From 1; absent for an act that is no cell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        row: Option<u16>,
        /// From 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        col: Option<u16>,
        /// Present for the act that gives up.
        #[serde(default)]
        resigns: bool,
        /// `sent`, `seen` or `kept`.
        state: String,
        /// Whether two of the three keepers have it.
        acknowledged: bool,
    },
    /// How a match ended.
    Result {
        /// Which.
        #[serde(rename = "match")]
        match_id: String,
        /// `win`, `draw`, `loss`, `void`.
        outcome: String,
        /// `board`, `resigned`, `foul`.
        why: String,
        /// Both players have signed what decides it.
        #[serde(default)]
        agreed: bool,
        /// The server has the verdict.
        recorded: bool,
    },
    /// A match is suspended.
    Suspended {
        /// Which.
        #[serde(rename = "match")]
        match_id: String,
    },
    /// How entries travel.
    Path {
        /// `direct`, `server` or `none`.
        path: String,
    },
    /// Something to know.
    Notice {
        /// The stable word.
        code: String,
    },
    /// The points, as `leaders` tells them.
    Leaders {
        /// Most points first.
        rows: Vec<Points>,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// A row of the leaderboard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Points {
    /// Who.
    pub name: String,
    /// Two a win, one a draw, unless the run says otherwise.
    pub points: u32,
    /// Matches won.
    pub wins: u32,
    /// Matches drawn.
    pub draws: u32,
    /// Matches lost.
    pub losses: u32,
}

/// Which player a device belongs to: `p0` for `p0.2`.
#[must_use]
pub fn player_of(who: &str) -> &str {
    // Asked for every line of a history, many times; a search for a pattern takes longer than the name is long.
    for (at, byte) in who.bytes().enumerate() {
        if byte == b'.' {
            return &who[..at];
        }
    }
    who
}

/// The calls of a history, by their number.
#[must_use]
pub fn calls(history: &[Record]) -> BTreeMap<u64, (&Record, &Call)> {
    let mut calls = BTreeMap::new();
    for record in history {
        if let What::Invoke { op, call } = &record.what {
            calls.insert(*op, (record, call));
        }
    }
    calls
}
