//! Every time and size the system is bound by. Where two must agree, a constant assertion says so.

use std::time::Duration;

/// Pings while in a match, or while waiting for an answer.
pub const HEARTBEAT_MATCH: Duration = Duration::from_millis(250);
/// Silence after which a link is given up while in a match, or by a client that waits for an answer.
pub const SILENCE_MATCH_MAX: Duration = Duration::from_millis(1000);
/// Pings otherwise.
pub const HEARTBEAT_IDLE: Duration = Duration::from_secs(5);
/// Silence after which a link is given up otherwise.
pub const SILENCE_IDLE_MAX: Duration = Duration::from_secs(15);
const _: () = assert!(HEARTBEAT_MATCH.as_millis() * 3 <= SILENCE_MATCH_MAX.as_millis());
const _: () = assert!(HEARTBEAT_IDLE.as_millis() * 3 <= SILENCE_IDLE_MAX.as_millis());

/// A connection on which nothing has come for this long is watched together with the others like it.
pub const CALM_AFTER: Duration = Duration::from_secs(2);
/// How long what comes next on such a connection may wait for the others, on a server that has much to do.
pub const CALM_WAIT: Duration = Duration::from_millis(20);
const _: () = assert!(CALM_AFTER.as_millis() < HEARTBEAT_IDLE.as_millis());
const _: () = assert!(CALM_AFTER.as_millis() > SILENCE_MATCH_MAX.as_millis());
const _: () = assert!(CALM_WAIT.as_millis() * 10 <= HEARTBEAT_MATCH.as_millis());

/// A TLS handshake must be done after this.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// The first frame must be there after this.
pub const FIRST_FRAME_MAX: Duration = Duration::from_secs(5);

/// A frame's body before login.
pub const FRAME_BYTES_STRANGER_MAX: usize = 16 * 1024;
/// A frame's body after login.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
const _: () = assert!(FRAME_BYTES_STRANGER_MAX <= FRAME_BYTES_MAX);

/// Frames waiting to be written to one client; one more and it is dropped.
pub const SEND_QUEUE_MAX: usize = 256;
/// Connections that have not logged in, from one address.
pub const STRANGERS_PER_IP_MAX: usize = 256;
/// Connections in all.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections the kernel may hold for us before we accept them. With the usual 128, 400 clients that come back at
/// once wait 0.71 s instead of 0.04 s.
pub const LISTEN_BACKLOG: u32 = 4096;
/// The same for a player, who waits for one opponent alone.
pub const PEER_LISTEN_BACKLOG: u32 = 16;
/// Addresses of one player that are offered to the opponent; the likeliest come first, the rest is left out.
pub const CANDIDATES_MAX: usize = 8;

/// Bytes of an operator's announcement.
pub const ANNOUNCEMENT_BYTES_MAX: usize = 400;

/// Letters in a name.
pub const NAME_BYTES_MAX: usize = 32;
/// The shortest password that may be chosen.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// The longest password that may be sent.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// Logins waiting for a hashing thread; beyond it the answer is `busy`.
pub const HASH_QUEUE_MAX: usize = 64;
/// What a client is told to wait when the hashing queue is full.
pub const HASH_BUSY_RETRY: Duration = Duration::from_secs(2);

/// Logins and new accounts from one address in a minute.
pub const LOGINS_PER_MINUTE_IP: u32 = 20;
/// How many of these may come at once: a class sits behind one address.
pub const LOGINS_BURST_IP: u32 = 100;
/// Failed logins of one user in a minute before they are slowed.
pub const FAILURES_PER_MINUTE_USER: u32 = 5;
/// Resumes from one address in a minute.
pub const RESUMES_PER_MINUTE_IP: u32 = 6_000;
/// How many of these may come at once.
pub const RESUMES_BURST_IP: u32 = 10_000;
/// Buckets held at once; the fullest are forgotten first.
pub const BUCKETS_MAX: usize = 20_000;

/// An invitation nobody answered is closed after this.
pub const INVITE_MAX: Duration = Duration::from_secs(60);
/// Open invitations of one inviter.
pub const INVITES_OPEN_MAX: usize = 10;
/// Answers remembered of one run of a client.
pub const ANSWERS_MAX: usize = 64;
/// Runs of a client whose answers are remembered.
pub const RUNS_MAX: usize = 2;
/// Requests a client holds that were not answered yet.
pub const OUTBOX_MAX: usize = 16;
const _: () = assert!(OUTBOX_MAX <= ANSWERS_MAX);

/// A session nobody used ends after this much server up-time.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// An unfinished match is put into the archive after this much server up-time without a sign of life.
pub const MATCH_IDLE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often up-time is written down.
pub const UPTIME_TICK: Duration = Duration::from_secs(3600);

/// Opaque bytes of one act.
pub const ACT_BYTES_MAX: usize = 64;
/// Plies of one match; a game that cannot end before is refused.
pub const PLIES_MAX: u16 = 512;
/// Entries in one `Entries` message.
pub const ENTRIES_PER_FRAME_MAX: usize = 200;
/// Bytes of a game's parameters in a grant.
pub const GAME_PARAMS_BYTES_MAX: usize = 64;
/// Matches of one player that are not finished: beyond it no new one is begun.
pub const MATCHES_OPEN_MAX: usize = 64;
/// Grants of one match: beyond it no seat changes its key. Together with a frame's entries they fit a frame.
pub const EPOCHS_MAX: usize = 64;
/// Matches of one player that are open at the server, those included that it takes back after it has lost state.
pub const MATCHES_TAKEN_MAX: usize = 1024;
/// Matches that are over for both players and are still shown to whoever looks after the server: the last ones of this run.
pub const MATCHES_ENDED_MAX: usize = 32;

/// The first retry comes at a random moment of this length.
pub const RETRY_FIRST_MAX: Duration = Duration::from_millis(50);
/// Base of the full jitter.
pub const RETRY_BASE: Duration = Duration::from_millis(50);
/// Cap of the full jitter while there is something to lose. Measured: mean 0.17 s, worst 0.49 s after the server is
/// back; a 2 s cap gives 1.95 s.
pub const RETRY_CAP_URGENT: Duration = Duration::from_millis(500);
/// Between two dials that are made because the player typed: a program may type fifty times a second.
pub const WAKE_PAUSE: Duration = Duration::from_millis(250);
/// Cap for an idle client after [`RETRY_IDLE_AFTER`].
pub const RETRY_CAP_IDLE: Duration = Duration::from_secs(5);
/// How long an idle client stays at the urgent cap.
pub const RETRY_IDLE_AFTER: Duration = Duration::from_secs(60);
/// The back-off starts anew after a link was healthy for this long.
pub const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// One dial, from the look-up of the name to the server's first frame, ends after this.
pub const DIAL_MAX: Duration = Duration::from_secs(5);
/// Dials side by side.
pub const DIALS_MAX: usize = 3;
/// With so many under way, the newest gives way to another after this, if nothing has answered it: what was sent while
/// the network was down does not come.
pub const DIAL_FRESH: Duration = Duration::from_millis(250);
/// A dial that has reached a listening socket keeps the next one back for this long: the listener may be held open
/// for a server that is just starting.
pub const DIAL_REACHED_WAIT: Duration = Duration::from_secs(1);
/// Waits that are remembered of one outage.
pub const OUTAGE_WAITS_MAX: usize = 64;
/// After this long without a link the player is told once what is safe and where.
pub const TELL_AFTER: Duration = Duration::from_secs(180);
/// A settled match stays on its players' disks this long, and for as long a server that has lost state asks for all.
pub const SETTLED_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// After this long without the server's receipt for what is held here it is asked whether it holds less.
pub const KEPT_LATE_AFTER: Duration = Duration::from_secs(1);
/// How often it is asked again.
pub const NUDGE_EVERY: Duration = Duration::from_secs(5);
/// Echoes on each connection between the two players of a match.
pub const PROBE_EVERY: Duration = HEARTBEAT_MATCH;
/// The likeliest address of the opponent is dialled alone for this long.
pub const PEER_OTHERS_AFTER: Duration = Duration::from_millis(200);
/// A round of dials to the opponent is over after this: one that hangs does not hold back the next.
pub const PEER_ROUND_MAX: Duration = Duration::from_secs(1);
const _: () = assert!(PEER_OTHERS_AFTER.as_millis() < PEER_ROUND_MAX.as_millis());
/// Corrected verdicts of matches that were filed away, told to a player who comes back. Each is two messages, and all of
/// them must fit into the send queue.
pub const CORRECTIONS_TOLD_MAX: usize = 64;
const _: () = assert!(CORRECTIONS_TOLD_MAX * 2 < SEND_QUEUE_MAX);
/// Addresses of the opponent; more are not dialled.
pub const PEER_CANDIDATES_MAX: usize = 8;
/// Dials to the opponent side by side.
pub const PEER_DIALS_MAX: usize = 8;
const _: () = assert!(PEER_CANDIDATES_MAX <= PEER_DIALS_MAX);
/// Of two dials to one address the older gives way to a third after this; it is still sooner than [`DIAL_MAX`].
pub const PEER_DIAL_OLD: Duration = Duration::from_millis(1500);
const _: () = assert!(PEER_DIAL_OLD.as_millis() < DIAL_MAX.as_millis());
/// Connections between the two players at once.
pub const PEER_CONNS_MAX: usize = 4;
/// A connection that is not in use and was silent for this long makes room for a new one.
pub const PEER_STALE_AFTER: Duration = Duration::from_millis(500);
const _: () = assert!(PROBE_EVERY.as_millis() * 2 <= PEER_STALE_AFTER.as_millis());
const _: () = assert!(PEER_STALE_AFTER.as_millis() < SILENCE_MATCH_MAX.as_millis());
/// Echoes of one connection that were not answered yet; older ones measure nothing.
pub const PEER_ECHOES_MAX: usize = 8;
const _: () = assert!(PROBE_EVERY.as_millis() * PEER_ECHOES_MAX as u128 > SILENCE_MATCH_MAX.as_millis());
/// Round trips that are remembered of a path: one minute of echoes.
pub const DELAYS_MAX: usize = 240;
const _: () = assert!(PROBE_EVERY.as_millis() * DELAYS_MAX as u128 == 60_000);
