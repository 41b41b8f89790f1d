//! What the player is shown. Written as JSON, these are the lines of `rejoin play --json`; the schema only grows.

use serde::Serialize;

use crate::model::message::{LeaderRow, UserRow};
use crate::model::statement::Fared;

/// Something to show.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "events are few and live shortly")]
pub enum Event {
    /// The link to the server has changed.
    Link {
        /// To what.
        state: LinkState,
        /// When live again: how long there was none.
        #[serde(skip_serializing_if = "Option::is_none")]
        outage_ms: Option<u64>,
        /// When live again: dials it took.
        #[serde(skip_serializing_if = "Option::is_none")]
        attempts: Option<u32>,
    },
    /// What came of a command; exactly one for each.
    Reply(Reply),
    /// Somebody asks you to play.
    Invited {
        /// Who.
        by: String,
        /// What.
        game: String,
        /// Whether it goes on with a suspended match.
        resumes: bool,
    },
    /// An invitation from or to you is gone.
    InviteClosed {
        /// The other.
        with: String,
        /// `declined`, `expired`, `busy` or `gone`.
        why: String,
    },
    /// You are in a match.
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
        /// `X` or `O`; nobody's when the match is decided.
        turn: Option<String>,
        /// From the top.
        rows: Vec<String>,
        /// The moves so far, each as row and column from 1; for programs in this process, not written as JSON. Shorter
        /// than `ply` if one gives up or is no cell.
        #[serde(skip)]
        moves: Vec<[u16; 2]>,
    },
    /// A move, or another keeper of it.
    Move {
        /// Of which match.
        #[serde(rename = "match")]
        match_id: String,
        /// From 0.
        ply: u16,
        /// Who moved.
        by: String,
        /// From 1; absent where a move is no cell, and for resigning.
        #[serde(skip_serializing_if = "Option::is_none")]
        row: Option<u16>,
        /// From 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        col: Option<u16>,
        /// Present for the entry that gives up.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        resigns: bool,
        /// How far it has come.
        state: MoveState,
        /// Whether two of the three keepers have it on disk.
        acknowledged: bool,
    },
    /// How entries travel.
    Path {
        /// By which way.
        path: PathKind,
    },
    /// The opponent has come or gone, by whatever path.
    Opponent {
        /// Whether it can be reached.
        state: Presence,
    },
    /// The match is suspended: it blocks nobody and can be gone on with.
    Suspended {
        /// Which.
        #[serde(rename = "match")]
        match_id: String,
        /// The other.
        with: String,
        /// Who left.
        by: String,
    },
    /// A suspended match whose opponent is there: `begin OPPONENT GAME` goes on with it.
    Offered {
        /// Which.
        #[serde(rename = "match")]
        match_id: String,
        /// The other.
        opponent: String,
        /// What is played.
        game: String,
        /// Moves made.
        ply: u16,
    },
    /// How a match ended.
    Result {
        /// Which.
        #[serde(rename = "match")]
        match_id: String,
        /// For you.
        outcome: Fared,
        /// `board`, `resigned` or `foul`.
        why: String,
        /// Whether both players have signed what decides it; then the verdict of two honest ones cannot be another.
        agreed: bool,
        /// Whether the server has the verdict.
        recorded: bool,
    },
    /// Something the player should know; `code` is stable.
    Notice {
        /// For scripts.
        code: &'static str,
        /// For people.
        text: String,
    },
}

/// What came of a command.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Reply {
    /// Its first word.
    pub command: String,
    /// Whether it was done.
    pub ok: bool,
    /// A stable word, if not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<&'static str>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Of `list`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<UserRow>>,
    /// Of `leaders`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Vec<LeaderRow>>,
    /// Of `delay`: the last three round trips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<Vec<f64>>,
    /// Of `delay`: the middle one of the last minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_ms: Option<f64>,
    /// Of `delay`: what 95 of 100 do not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// Of `delay`: the mean difference from one to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Of `delay` and `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathKind>,
    /// Of `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Of `export`: the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Where a player is; also what the prompt is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Who is logged in.
    pub user: Option<String>,
    /// The link to the server.
    pub link: LinkState,
    /// For how long there has been none.
    pub down_ms: Option<u64>,
    /// When the next dial comes.
    pub retry_ms: Option<u64>,
    /// The match one is seated in.
    #[serde(rename = "match")]
    pub seated: Option<SeatStatus>,
}

/// The match one is seated in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeatStatus {
    /// Its id.
    #[serde(rename = "match")]
    pub match_id: String,
    /// `X` or `O`.
    pub you: String,
    /// The other.
    pub opponent: String,
    /// Whether the other can be reached, by any path.
    pub opponent_here: bool,
    /// Whose turn it is; nobody's when decided.
    pub turn: Option<String>,
    /// Moves made.
    pub ply: u16,
    /// How many of them the opponent has on disk.
    pub seen: u16,
    /// How many of them the server has on disk.
    pub kept: u16,
    /// How entries travel.
    pub path: PathKind,
    /// The last round trip on that path.
    pub rtt_ms: Option<f64>,
    /// Whether it is over by what is known here.
    pub decided: bool,
    /// For you, once it is decided.
    pub outcome: Option<Fared>,
    /// Whether both players have signed what decides it.
    pub agreed: bool,
}

/// The link to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// None; the next dial is waited for.
    Down,
    /// A dial is under way.
    Dialing,
    /// Connected; the session is being taken up.
    Resuming,
    /// In use.
    Live,
}

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveState {
    /// It is on this disk and on its way.
    Sent,
    /// The opponent has it on disk.
    Seen,
    /// The server has it on disk.
    Kept,
}

/// How entries travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// From client to client.
    Direct,
    /// Through the server.
    Server,
    /// Not at all just then.
    None,
}

/// The opponent's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// There is one.
    Here,
    /// There is none.
    Away,
}

impl Reply {
    /// Done.
    #[must_use]
    pub fn done(command: &str) -> Self {
        Self { command: command.to_owned(), ok: true, ..Self::default() }
    }

    /// Done, with a sentence for people.
    #[must_use]
    pub fn said(command: &str, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..Self::done(command) }
    }

    /// Not done.
    #[must_use]
    pub fn refused(command: &str, error: &'static str, message: impl Into<String>) -> Self {
        let message = Some(message.into());
        Self { command: command.to_owned(), error: Some(error), message, ..Self::default() }
    }
}
