//! The catalogue of log events: their names, their fields, and the sentence of each in `log.txt`. It is an interface:
//! monitors, `rejoin logs` and tests read it.
//!
//! What must hold: nothing is logged with a name or a field that is not here.

/// One kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Whether it may be left out when more comes than can be written.
    pub class: Class,
    /// What it may say, besides its message.
    pub fields: &'static [&'static str],
    /// The sentence in `log.txt`; `{field}` stands for what the field says.
    pub text: &'static str,
}

/// Whether an event may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Never: who came and went, what was played, what failed.
    Audit,
    /// When more of them wait than can be written; how many were left out is written then.
    Routine,
}

/// The kind of that name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static Kind> {
    CATALOGUE.iter().find(|kind| kind.name == name)
}

macro_rules! catalogue {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $class:ident, [$($field:ident),*], $sentence:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// All kinds.
        pub const CATALOGUE: &[Kind] = &[$(
            Kind { name: $text, class: Class::$class, fields: &[$(stringify!($field)),*], text: $sentence },
        )*];
    };
}

catalogue! {
    /// The server takes connections.
    SERVER_STARTED = "server-started", Audit, [port, boot, last_run, sessions, matches],
        "server started on port {port}: run {boot}, last run {last_run}; recovered: sessions {sessions}, matches {matches}";
    /// The server stops because it was asked to.
    SERVER_STOPPING = "server-stopping", Audit, [], "server shutting down";
    /// How the last run ended and what was recovered.
    RECOVERED = "recovered", Audit, [boot, sessions, matches], "recovery, run {boot}: {message}";
    /// Something about the recovery or the state directory that somebody should look at.
    STATE_NOTE = "state-note", Audit, [error, state], "note on the state directory: {message} {error}";
    /// A client has seen a later state than is here.
    STATE_ROLLED_BACK = "state-rolled-back", Audit, [user, seen_boot, seen_lsn, boot, lsn],
        "{user} has seen a later state of this server: this one is old";
    /// A snapshot was made.
    SNAPSHOT = "snapshot", Routine, [lsn, bytes, archived], "snapshot made at {lsn}: {bytes} bytes";
    /// A snapshot could not be made.
    SNAPSHOT_FAILED = "snapshot-failed", Audit, [error], "no snapshot could be made: {error}";
    /// The disk is full, or has space again.
    DISK_FULL = "disk-full", Audit, [], "{message}";
    /// The journal cannot go on.
    JOURNAL_FAILED = "journal-failed", Audit, [error], "the journal cannot go on: {error}";
    /// The TLS certificate could not be renewed.
    CERTIFICATE_FAILED = "certificate-failed", Audit, [error], "the TLS certificate could not be renewed: {error}";
    /// A connection was taken.
    CONNECTED = "connected", Routine, [conn, ip, port], "client connected: {ip} port {port}";
    /// A connection ended.
    DISCONNECTED = "disconnected", Routine, [conn, ip, port, cause], "client disconnected: {ip} port {port} ({cause})";
    /// A connection was turned away.
    TURNED_AWAY = "turned-away", Routine, [ip, error], "connection turned away: {ip} {error}";
    /// A connection broke the protocol or its limits.
    MISBEHAVED = "misbehaved", Routine, [ip, conn, end], "connection closed for misbehaviour: {ip} {end}";
    /// An account was made.
    USER_ADDED = "user-added", Audit, [user, ip], "account made: {user} from {ip}";
    /// A login succeeded.
    LOGIN_OK = "login-ok", Audit, [user, ip, session], "login ok: {user} from {ip}";
    /// A login failed.
    LOGIN_FAILED = "login-failed", Audit, [user, ip], "login failed: {user} from {ip}";
    /// A client that had a session dials again: it asks to take it up.
    RETRY_SEEN = "retry-seen", Routine, [session, ip, conn], "retry seen: session {session} from {ip}";
    /// A session was taken up again.
    RESUMED = "resumed", Audit, [user, ip, session], "resumed: {user} from {ip}";
    /// A session was not taken up again.
    RESUME_REFUSED = "resume-refused", Audit, [ip, why], "resume refused: {ip} ({why})";
    /// A session ended.
    LOGGED_OUT = "logged-out", Audit, [user], "logout: {user}";
    /// A user has no link any more.
    LINK_LOST = "link-lost", Audit, [user, ip, session, cause], "link lost: {user} from {ip} ({cause})";
    /// A link was lost and is there again, or will not be.
    OUTAGE = "outage", Audit, [session, user, ip, cause, length_ms, at_least, attempts, waits_ms, ended],
        "outage: {user}, {length_ms} ms, {cause}; {ended}";
    /// The same outage, as the client that had it has recorded it.
    OUTAGE_TOLD = "outage-told", Audit, [session, user, ip, cause, length_ms, attempts, waits_ms],
        "outage as the client of {user} tells it: {length_ms} ms, {cause}; dials {attempts}, waits {waits_ms} ms";
    /// A match began.
    MATCH_STARTED = "match-started", Audit, [match_id, x, o, x_ip, o_ip, game],
        "match started: {x} (X, {x_ip}) and {o} (O, {o_ip}), {game}, {match_id}";
    /// A match was left unfinished.
    MATCH_SUSPENDED = "match-suspended", Audit, [match_id, by], "match suspended by {by}: {match_id}";
    /// A suspended match goes on.
    MATCH_RESUMED = "match-resumed", Audit, [match_id, x, o], "match goes on: {x} and {o}, {match_id}";
    /// A player is back at the board of a match in play.
    MATCH_REJOINED = "match-rejoined", Audit, [match_id, user, ip], "rejoined: {user} is back in {match_id}";
    /// A match has its verdict.
    MATCH_SETTLED = "match-settled", Audit, [match_id, x, o, x_ip, o_ip, winner, outcome, why, plies],
        "match ended: {x} ({x_ip}) and {o} ({o_ip}), winner {winner} ({why}), settled after {plies} moves, {match_id}";
    /// A player signed twice at one ply.
    FOUL = "foul", Audit, [match_id, by], "foul of {by} in {match_id}";
    /// A foul proved later has changed a verdict.
    VERDICT_CORRECTED = "verdict-corrected", Audit, [match_id, winner, why],
        "verdict corrected: {match_id}, winner {winner} ({why})";
    /// A player asks for a seat under another key.
    SEAT_ASKED = "seat-asked", Audit, [match_id, by], "{by} asks for the seat in {match_id} on another device";
    /// A seat's key has changed.
    REGRANTED = "regranted", Audit, [match_id, epoch, base], "a seat of {match_id} has another key: epoch {epoch}";
    /// A match that was not on record was taken from a player.
    MATCH_TAKEN = "match-taken", Audit, [match_id, by], "match {match_id}, not on record, taken from {by}";
    /// The server has found that it has lost state.
    STATE_LOST = "state-lost", Audit, [open], "state was lost or restored; open matches {open}";
    /// An entry was not taken.
    ENTRY_REFUSED = "entry-refused", Routine, [match_id, ip, why], "move refused: {ip} in {match_id} ({why})";
    /// An operator has asked for something, and what came of it.
    AUDIT = "audit", Audit, [uid, pid, command, about, outcome],
        "operator (uid {uid}, pid {pid}): {command} {about} ({outcome})";
    /// Events that could not be written for lack of time or space.
    EVENTS_LEFT_OUT = "events-left-out", Audit, [routine, audit],
        "left out of this log: {routine} routine events, {audit} others";
    /// A client of this machine begins.
    CLIENT_STARTED = "client-started", Audit, [server], "client started; server {server}";
    /// It ends.
    CLIENT_STOPPED = "client-stopped", Audit, [], "client stopped";
    /// A client dials.
    RETRY = "retry", Routine, [attempt, waited_ms], "dial {attempt} after {waited_ms} ms";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_different_and_sentences_use_only_fields_that_are_there() {
        for (at, kind) in CATALOGUE.iter().enumerate() {
            assert!(!CATALOGUE[..at].iter().any(|other| other.name == kind.name), "{} is there twice", kind.name);
            for part in kind.text.split('{').skip(1) {
                let field = part.split_once('}').expect("a brace is closed").0;
                assert!(field == "message" || kind.fields.contains(&field), "{}: {field}", kind.name);
            }
        }
    }
}
