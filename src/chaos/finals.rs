//! What is left in the end: what the keepers' files hold, and what else was measured.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::history::Points;

/// All that is judged beside the history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finals {
    /// Every keeper that still has a disk: `server`, and the devices of the players.
    pub keepers: BTreeMap<String, Keeper>,
    /// What the server's files say about points.
    pub ledger: Ledger,
    /// What a newcomer found out by logging in to each account in the end: the passwords that were let in and those
    /// that were not, by user.
    pub doors: BTreeMap<String, Door>,
    /// How things stood after the last fault was healed.
    pub healed: Healed,
    /// What was measured all along.
    pub figures: Figures,
    /// Players who were made to lie. The promises are made to the others.
    pub liars: Vec<String>,
    /// Losses that the promise does not cover: devices, or `server`, that lost their disk. So did, as far as the promise
    /// goes, a device whose seats another one has taken, and one whose files were damaged.
    pub wiped: Vec<String>,
    /// Pairs of `server` and devices that could not reach each other in the end, be it that one of them was not running.
    /// Who can reach a third that reaches the other is not cut off from it.
    #[serde(default)]
    pub apart: Vec<[String; 2]>,
    /// Matches whose two players may not find each other without the server: they were never connected directly in it,
    /// or have both moved since it began.
    #[serde(default)]
    pub strangers: BTreeSet<String>,
}

/// One keeper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeper {
    /// By match.
    pub matches: BTreeMap<String, Kept>,
}

/// A match in the files of one keeper.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// X and O.
    pub players: [String; 2],
    /// What is played, `tictactoe` for example.
    pub game: String,
    /// The longest valid chain, from ply 0.
    pub entries: Vec<Entry>,
    /// Which of the two were shown to have signed two different entries at one ply.
    pub fouls: [bool; 2],
    /// The server's verdict, if this keeper has one.
    pub verdict: Option<Verdict>,
    /// Hash of the grant the chain begins at, in hexadecimal.
    pub grant: String,
}

/// One entry of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// From 0.
    pub ply: u16,
    /// `X` or `O`.
    pub seat: String,
    /// What it does.
    pub act: Act,
    /// Hash of what it follows, in hexadecimal.
    pub prev: String,
    /// Its own hash.
    pub hash: String,
    /// Whether it bears the signature of the key that its seat had in its epoch.
    #[serde(default = "yes")]
    pub signed: bool,
    /// A grant that stands between this entry and the one before: then `prev` is the hash of that grant, which names the
    /// hash of the entry before as the end of its base.
    pub regrant: Option<Regrant>,
}

const fn yes() -> bool {
    true
}

/// A later grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regrant {
    /// Its hash.
    pub hash: String,
    /// What it follows.
    pub base: String,
    /// Another one directly before it: then that one's hash is the base, and its base the hash of the entry before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Box<Self>>,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A cell; row and column from 1.
    Cell(u16, u16),
    /// Gives up.
    Resign,
}

/// Who has won, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `board`, `resigned`, `foul`.
    pub why: String,
    /// `X`, `O`; nobody for a draw, and when it is void.
    pub winner: Option<String>,
    /// Nobody scores.
    pub void: bool,
}

/// The points in the server's files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Every verdict in the journal (and, where segments were dropped, the archive), in order; a correction is a second
    /// one of the same match.
    pub verdicts: Vec<Scored>,
    /// The leaderboard as the server keeps it.
    pub board: Vec<Points>,
    /// Points that accounts began with, by user.
    #[serde(default)]
    pub imported: BTreeMap<String, u32>,
}

/// A verdict that counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scored {
    /// Of which match.
    pub match_id: String,
    /// X and O.
    pub players: [String; 2],
    /// Which.
    pub verdict: Verdict,
}

/// What a newcomer was told at the door of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// Passwords that were let in.
    pub opens: Vec<String>,
    /// Passwords that were not.
    pub shut: Vec<String>,
}

/// How long recovery took, after the last fault was healed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Healed {
    /// When, in the time of the history; `None` if the run was not about that.
    pub at_ms: Option<u64>,
    /// For each device that the promise covers: how long until its link was live, `None` if it never was.
    pub live_ms: BTreeMap<String, Option<u64>>,
    /// For each device: whether it was in a match or had something unsettled, so that the shorter bound holds.
    pub urgent: BTreeMap<String, bool>,
    /// Devices whose link led nowhere at that moment and which had not noticed: a second of silence tells them.
    #[serde(default)]
    pub deceived: BTreeSet<String>,
    /// How long a message travels at most. The bounds are those of a fast network; four round trips to the server come
    /// on top: TCP, TLS, the first frames, the session.
    pub distance_ms: u64,
    /// For each match that was not settled then: how long until it was playable at both or settled at both.
    pub settled_ms: BTreeMap<String, Option<u64>>,
}

/// What was measured all along.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How much later than it was told something may stand in the history: a busy machine reads late.
    #[serde(default)]
    pub late_ms: u64,
    /// Most dials of one device to the server in any second.
    pub dials_a_second_max: BTreeMap<String, u32>,
    /// Most dials of one device to the server that were under way at once.
    #[serde(default)]
    pub dials_at_once_max: BTreeMap<String, u32>,
    /// Secrets that were found in clear: where, and which.
    pub leaks: Vec<String>,
    /// Sizes that have limits: name, value, limit.
    pub sizes: Vec<(String, u64, u64)>,
    /// Outages as the devices told them in their logs: device, cause, attempts, length, how it ended.
    pub outages: Vec<Outage>,
    /// Sessions that were live on two connections at once, and resumes taken twice; as text.
    pub doubles: Vec<String>,
    /// Silences that were too long, and that nobody has acted upon.
    #[serde(default)]
    pub unnoticed: Vec<String>,
    /// Frames of an older run, or of an owner that was replaced, that were taken.
    pub stale: Vec<String>,
    /// Damage that was answered as if it were the truth.
    pub damage_believed: Vec<String>,
    /// Keepers whose files cannot be read in the end, though no fault has left them so; as text.
    #[serde(default)]
    pub unreadable: Vec<String>,
    /// Times that ran backwards.
    pub backwards: Vec<String>,
    /// Losses of state that the program has named by itself, in its log or at its start: `state-rolled-back`, for example.
    #[serde(default)]
    pub losses_named: Vec<String>,
}

/// One outage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Of which device.
    pub who: String,
    /// `reset`, `silence`, `refused`, `restart`; empty if nobody said.
    pub cause: String,
    /// Dials.
    pub attempts: Option<u32>,
    /// Its length, once it was over.
    pub length_ms: Option<u64>,
    /// Milliseconds before each dial, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waits_ms: String,
}
