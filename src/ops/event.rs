//! Names of log events. They are an interface: monitors and tests read them.

/// The server takes connections.
pub const SERVER_STARTED: &str = "server-started";
/// The server stops because it was asked to.
pub const SERVER_STOPPING: &str = "server-stopping";
/// How the last run ended and what was recovered.
pub const RECOVERED: &str = "recovered";
/// Something about the recovery or the state directory that somebody should look at.
pub const STATE_NOTE: &str = "state-note";
/// A client has seen a later state than is here.
pub const STATE_ROLLED_BACK: &str = "state-rolled-back";
/// A snapshot was made.
pub const SNAPSHOT: &str = "snapshot";
/// A snapshot could not be made.
pub const SNAPSHOT_FAILED: &str = "snapshot-failed";
/// The disk is full, or has space again.
pub const DISK_FULL: &str = "disk-full";
/// The journal cannot go on.
pub const JOURNAL_FAILED: &str = "journal-failed";
/// The TLS certificate could not be renewed.
pub const CERTIFICATE_FAILED: &str = "certificate-failed";
/// A connection was taken.
pub const CONNECTED: &str = "connected";
/// A connection ended.
pub const DISCONNECTED: &str = "disconnected";
/// A connection was turned away.
pub const TURNED_AWAY: &str = "turned-away";
/// A connection broke the protocol or its limits.
pub const MISBEHAVED: &str = "misbehaved";
/// An account was made.
pub const USER_ADDED: &str = "user-added";
/// A login succeeded.
pub const LOGIN_OK: &str = "login-ok";
/// A login failed.
pub const LOGIN_FAILED: &str = "login-failed";
/// A session was taken up again.
pub const RESUMED: &str = "resumed";
/// A session was not taken up again.
pub const RESUME_REFUSED: &str = "resume-refused";
/// A session ended.
pub const LOGGED_OUT: &str = "logged-out";
/// A user has no link any more.
pub const LINK_LOST: &str = "link-lost";
/// A match began.
pub const MATCH_STARTED: &str = "match-started";
/// A match was left unfinished.
pub const MATCH_SUSPENDED: &str = "match-suspended";
/// A suspended match goes on.
pub const MATCH_RESUMED: &str = "match-resumed";
/// A match has its verdict.
pub const MATCH_SETTLED: &str = "match-settled";
/// A player signed twice at one ply.
pub const FOUL: &str = "foul";
/// A foul proved later has changed a verdict.
pub const VERDICT_CORRECTED: &str = "verdict-corrected";
/// A player asks for a seat under another key.
pub const SEAT_ASKED: &str = "seat-asked";
/// A seat's key has changed.
pub const REGRANTED: &str = "regranted";
/// A match that was not on record was taken from a player.
pub const MATCH_TAKEN: &str = "match-taken";
/// The server has found that it has lost state.
pub const STATE_LOST: &str = "state-lost";
/// An entry was not taken.
pub const ENTRY_REFUSED: &str = "entry-refused";
