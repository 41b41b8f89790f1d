//! The server as a state machine: inputs in, effects out.
//!
//! Invariant: nothing leaves before the facts it rests on are on disk. Effects that leave are stamped with the newest
//! fact and wait for [`Input::Flushed`].
//!
//! ```text
//!  Request ── decide ──> Refusal ────────────────────────┐
//!                  └───> Facts ──> State::apply          │
//!                             └──> Effect::Append ──> journal
//!                                                        │
//!  Effect::Send <── held until Flushed(lsn of the facts) ┘
//! ```
//!
//! After each `handle` or `handle_timeout` call `poll_effect` until it returns `None`, then wait until `poll_timeout`.

mod census;
mod depth;
mod keeper;
mod login;
mod operator;
mod peers;
#[cfg(test)]
mod picture;
mod requests;
mod seats;
#[cfg(test)]
mod tests;
mod view;

pub use census::{Census, MatchRow, SessionRow};
pub use depth::{Depth, Found, Play};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::account::Account;
use super::bucket::Buckets;
use super::decide::{Points, Shown};
use super::event::{Event, LinkEnd};
use super::fact::Fact;
use super::game::Match;
use super::games::Seat;
use super::id::{Boot, ConnId, InviteId, Lsn, MatchId, RequestSeq, Run, SessionId, UserId};
use super::key::{PublicKey, ServerId};
use super::limits::{INVITE_MAX, MATCH_IDLE_MAX, MATCHES_ENDED_MAX, SESSION_IDLE_MAX, UPTIME_TICK};
use super::message::{Answer, CloseReason, Command, Have, InviteEnd, ResumeRequest, ToClient};
use super::operator::{Act, AskId, Told, Unable};
use super::password::{Password, PasswordHash};
use super::refusal::Refusal;
use super::replay::Replay;
use super::sign::Verified;
use super::state::State;
use super::statement::{Entry, Grant, Held, Promise, Ruling};
use super::time::{Now, UptimeMs, WallMs, ms};
use crate::mutant::{Mutant, is_on};

/// The server, pure.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Engine {
    settings: Settings,
    server: ServerId,
    boot: Boot,
    random: ChaCha12Rng,
    state: State,
    conns: BTreeMap<ConnId, Conn>,
    live: BTreeMap<UserId, ConnId>,
    jobs: BTreeMap<JobId, Job>,
    buckets: Buckets,
    invite_ends: BTreeMap<InviteId, Now>,
    uptime_base: UptimeMs,
    uptime_due: Now,
    appended: Lsn,
    flushed: Lsn,
    waiting: VecDeque<(Lsn, Effect)>,
    ready: VecDeque<Effect>,
    wall: WallMs,
    now: Now,
    /// Nothing new begins: the server stops when the matches under way are over.
    closing: bool,
    /// Whether it was said that they are.
    over_told: bool,
    draining: bool,
    disk_full: bool,
    /// What players have shown in this run, by open match.
    shown: BTreeMap<MatchId, Shown>,
    /// Whether this run has found that state was lost.
    loss_known: bool,
    /// Open matches that this run has begun, or heard of from both players: none of them was begun before a loss.
    sure: BTreeSet<MatchId>,
    /// Matches that players have brought back in this run.
    taken: BTreeSet<MatchId>,
    /// The last matches that have left the state in this run, the newest last.
    ended: VecDeque<Match>,
}

/// What an operator may choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// What a match gives.
    pub points: Points,
}

/// One connection.
#[derive(Clone, Debug)]
struct Conn {
    ip: IpAddr,
    run: Run,
    session: Option<(SessionId, UserId)>,
    resuming: Option<ResumeRequest>,
    hashing: bool,
    /// Where the client says it can be reached, once it has said so.
    candidates: Option<Vec<SocketAddr>>,
    /// How often it has said another thing about that.
    moves: u32,
    /// The receipts of opponents that were passed on to it: epoch and entries.
    passed: BTreeMap<MatchId, (u32, u16)>,
    /// Matches it has shown that are not known here, and could not be taken for want of room on the disk.
    untaken: BTreeSet<MatchId>,
}

/// What is being hashed, and for whom.
#[derive(Clone, Debug)]
struct Job {
    conn: ConnId,
    /// That the connection had when it asked.
    session: Option<SessionId>,
    seq: RequestSeq,
    command: Command,
}

/// A piece of work for the hashing threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// What has happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// This run begins; the first input.
    Booted(Boot),
    /// A connection has said hello.
    Opened {
        /// Its number.
        conn: ConnId,
        /// From where.
        ip: IpAddr,
        /// The run of the client.
        run: Run,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        conn: ConnId,
        /// How.
        end: LinkEnd,
    },
    /// A session is to be taken up again.
    Resume {
        /// On which connection.
        conn: ConnId,
        /// What was said.
        request: ResumeRequest,
    },
    /// The signature asked for by [`Effect::CheckResume`] was checked.
    ResumeChecked {
        /// On which connection.
        conn: ConnId,
        /// Whether it was right.
        good: bool,
    },
    /// A request.
    Request {
        /// On which connection.
        conn: ConnId,
        /// Its number.
        seq: RequestSeq,
        /// What is asked.
        command: Command,
    },
    /// A player says how much of a match it holds.
    Have {
        /// On which connection.
        conn: ConnId,
        /// What it holds.
        have: Have,
    },
    /// A player delivers a stretch of history; its signatures were checked.
    Entries {
        /// On which connection.
        conn: ConnId,
        /// Of which match.
        match_id: MatchId,
        /// By epoch.
        grants: Vec<Verified<Grant>>,
        /// In order.
        entries: Vec<Verified<Entry>>,
    },
    /// An entry whose signature was wrong, or of a match that is not the player's.
    BadEntry {
        /// On which connection.
        conn: ConnId,
        /// Of which match.
        match_id: MatchId,
        /// At which ply.
        ply: u16,
        /// What was wrong.
        refusal: Refusal,
    },
    /// Entries of an epoch whose grant has not been shown: its sender is asked for it.
    Ungranted {
        /// On which connection.
        conn: ConnId,
        /// Of which match.
        match_id: MatchId,
    },
    /// A player's receipt.
    Held {
        /// On which connection.
        conn: ConnId,
        /// The receipt.
        held: Verified<Held>,
    },
    /// Pairs of entries that a player holds as proofs.
    Proofs {
        /// On which connection.
        conn: ConnId,
        /// Of which match.
        match_id: MatchId,
        /// Both entries of each.
        pairs: Vec<[Verified<Entry>; 2]>,
    },
    /// A player's promise.
    Promise {
        /// On which connection.
        conn: ConnId,
        /// Whose key has signed it.
        seat: Seat,
        /// The promise.
        promise: Verified<Promise>,
    },
    /// Where a client can be reached by its opponent.
    Candidates {
        /// On which connection.
        conn: ConnId,
        /// The likeliest first.
        candidates: Vec<SocketAddr>,
    },
    /// The server was found to have lost state, at its start.
    StateLost,
    /// A player has a verdict on disk.
    Stored {
        /// On which connection.
        conn: ConnId,
        /// Of which match.
        match_id: MatchId,
        /// Which verdict.
        ruling: Ruling,
    },
    /// A hashing thread is done.
    Hashed {
        /// With what.
        job: JobId,
        /// What came of it.
        done: Hashed,
    },
    /// Facts up to here are on disk.
    Flushed(Lsn),
    /// The disk is full, or no longer.
    DiskFull(bool),
    /// The server is asked to stop.
    Drain {
        /// When it will be back, as far as known.
        eta: Duration,
    },
    /// An operator wants something; the answer is [`Effect::Told`].
    Operator {
        /// To be named with the answer.
        ask: AskId,
        /// What.
        act: Act,
    },
}

/// What a hashing thread is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hashing {
    /// Hash a new password.
    Make(Password),
    /// Check a password; with no hash to check against take the same time and say no.
    Verify {
        /// What was typed.
        password: Password,
        /// What it should be.
        against: Option<PasswordHash>,
    },
    /// Check the old one and hash the new one.
    Change {
        /// What was typed.
        old: Password,
        /// What it should be.
        against: PasswordHash,
        /// The new one.
        new: Password,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hashed {
    /// A new hash.
    Made(PasswordHash),
    /// The password is right.
    Right,
    /// It is wrong.
    Wrong,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Append to the journal, as one batch, and flush.
    Append(Vec<Fact>),
    /// Give this to the hashing threads.
    Hash {
        /// To be named with the result.
        job: JobId,
        /// What to do.
        hashing: Hashing,
    },
    /// Check the signature of a resume with this key.
    CheckResume {
        /// On which connection.
        conn: ConnId,
        /// Of the device that owns the session.
        device: PublicKey,
    },
    /// Send.
    Send {
        /// To whom.
        conn: ConnId,
        /// What; statements of the server in it are unsigned.
        message: Box<ToClient>,
    },
    /// Whether the user of a connection is in a match: it decides how often to ping.
    Pace {
        /// Which connection.
        conn: ConnId,
        /// In a match.
        urgent: bool,
    },
    /// Send why, then close.
    Close {
        /// Which.
        conn: ConnId,
        /// Why.
        why: CloseReason,
    },
    /// Write to the log.
    Log(Box<Event>),
    /// Answer an operator.
    Told {
        /// What was asked.
        ask: AskId,
        /// What came of it.
        told: Result<Told, Unable>,
    },
    /// Nothing new begins since [`Act::Close`], and no match is under way any more; said once.
    Over,
}

impl Engine {
    /// The engine of a recovered state; `lsn` is its newest fact and `seed` is drawn anew for each run.
    #[must_use]
    pub fn new(settings: Settings, server: ServerId, state: State, lsn: Lsn, seed: [u8; 32]) -> Self {
        Self {
            settings,
            server,
            boot: state.head().boot,
            random: ChaCha12Rng::from_seed(seed),
            uptime_base: state.head().uptime,
            state,
            conns: BTreeMap::new(),
            live: BTreeMap::new(),
            jobs: BTreeMap::new(),
            buckets: Buckets::default(),
            invite_ends: BTreeMap::new(),
            uptime_due: Now::NEVER,
            appended: lsn,
            flushed: lsn,
            waiting: VecDeque::new(),
            ready: VecDeque::new(),
            wall: WallMs(0),
            now: Now(0),
            closing: false,
            over_told: false,
            draining: false,
            disk_full: false,
            shown: BTreeMap::new(),
            sure: BTreeSet::new(),
            loss_known: false,
            taken: BTreeSet::new(),
            ended: VecDeque::new(),
        }
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Now, wall: WallMs, input: Input) {
        (self.now, self.wall) = (now, wall);
        match input {
            Input::Booted(boot) => self.boot(boot),
            Input::Opened { conn, ip, run } => {
                let opened = Conn {
                    ip,
                    run,
                    session: None,
                    resuming: None,
                    hashing: false,
                    candidates: None,
                    moves: 0,
                    passed: BTreeMap::new(),
                    untaken: BTreeSet::new(),
                };
                assert!(self.conns.insert(conn, opened).is_none(), "connection numbers are used once");
            }
            Input::Closed { conn, end } => self.closed(conn, end),
            Input::Resume { conn, request } => self.resume(conn, request),
            Input::ResumeChecked { conn, good } => self.resume_checked(conn, good),
            Input::Request { conn, seq, command } => self.request(conn, seq, command),
            Input::Have { conn, have } => self.have(conn, have),
            Input::Entries { conn, match_id, grants, entries } => self.entries(conn, match_id, &grants, &entries),
            Input::BadEntry { conn, match_id, ply, refusal } => self.refuse_entry(conn, match_id, ply, refusal),
            Input::Ungranted { conn, match_id } => self.ungranted(conn, match_id),
            Input::Held { conn, held } => self.held(conn, held),
            Input::Proofs { conn, match_id, pairs } => self.proofs(conn, match_id, &pairs),
            Input::Promise { conn, seat, promise } => self.promise(conn, seat, &promise),
            Input::Candidates { conn, candidates } => self.candidates(conn, candidates),
            Input::StateLost => self.lose_state(),
            Input::Stored { conn, match_id, ruling } => self.stored(conn, match_id, ruling),
            Input::Hashed { job, done } => self.hashed(job, done),
            Input::Flushed(lsn) => self.flushed(lsn),
            Input::DiskFull(full) => self.disk_full(full),
            Input::Drain { eta } => self.drain(eta),
            Input::Operator { ask, act } => self.operate(ask, act),
        }
    }

    /// Time has passed. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Now, wall: WallMs) {
        (self.now, self.wall) = (now, wall);
        let over = |end: &Now| *end <= now;
        let ended: Vec<InviteId> = self.invite_ends.iter().filter_map(|(id, end)| over(end).then_some(*id)).collect();
        for invite in ended {
            self.close_invite(invite, InviteEnd::Expired);
        }
        if self.uptime_due <= now && !self.is_shut() {
            self.tick();
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Now {
        let uptime_due = if self.is_shut() { Now::NEVER } else { self.uptime_due };
        self.invite_ends.values().copied().min().unwrap_or(Now::NEVER).min(uptime_due)
    }

    /// What to do next, until `None`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.ready.pop_front()
    }

    /// The state, for reading.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether everything decided is on disk and sent.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.flushed == self.appended && self.waiting.is_empty()
    }

    /// The newest fact decided, and the newest on disk.
    #[must_use]
    pub const fn lsns(&self) -> (Lsn, Lsn) {
        (self.appended, self.flushed)
    }

    fn boot(&mut self, boot: Boot) {
        assert!(boot.number > self.boot.number || is_on(Mutant::BootNotRaised), "every run has a higher number");
        self.boot = boot;
        self.uptime_due = self.now + UPTIME_TICK;
        self.invite_ends = self.state.invites().map(|open| (open.invite, self.now + INVITE_MAX)).collect();
        self.commit(vec![Fact::Booted { boot, server: self.server, at: self.wall }]);
    }

    fn closed(&mut self, conn: ConnId, end: LinkEnd) {
        let Some(Conn { session: Some((session, user)), ip, .. }) = self.conns.remove(&conn) else { return };
        if self.live.get(&user) != Some(&conn) {
            return;
        }
        self.live.remove(&user);
        if let Some(user) = self.state.account(user).map(|account| account.name.clone()) {
            self.log(Event::Away { user, ip, session, cause: end });
        }
        self.tell_presence(user, false);
    }

    /// Applies facts and gives them to the journal as one batch. Whatever leaves after this waits for them.
    fn commit(&mut self, facts: Vec<Fact>) {
        if facts.is_empty() {
            return;
        }
        for fact in &facts {
            self.state.apply(fact).expect("what is decided fits the state it was decided on");
            if let Fact::MatchStarted { grant: Grant { match_id, .. } } | Fact::Heard { match_id } = fact {
                self.sure.insert(*match_id);
            }
        }
        self.ended.extend(self.state.retire());
        let many = self.ended.len().saturating_sub(MATCHES_ENDED_MAX);
        self.ended.drain(..many);
        self.appended = self.appended.plus(facts.len() as u64);
        let unseats =
            |fact: &Fact| matches!(fact, Fact::Settled { .. } | Fact::MatchLeft { .. } | Fact::Shelved { .. });
        let unseated = facts.iter().any(unseats);
        self.ready.push_back(Effect::Append(facts));
        if unseated {
            self.tell_if_over();
        }
    }

    fn flushed(&mut self, lsn: Lsn) {
        assert!(lsn >= self.flushed, "flushes come in order");
        assert!(lsn <= self.appended, "only what was appended is flushed");
        self.flushed = lsn;
        while let Some((_, effect)) = self.waiting.pop_front_if(|(after, _)| *after <= lsn) {
            self.ready.push_back(effect);
        }
    }

    /// Lets an effect leave once everything decided so far is on disk.
    fn leave(&mut self, effect: Effect) {
        if is_on(Mutant::AckBeforeSync) || (self.appended <= self.flushed && self.waiting.is_empty()) {
            self.ready.push_back(effect);
        } else {
            self.waiting.push_back((self.appended, effect));
        }
    }

    fn send(&mut self, conn: ConnId, message: ToClient) {
        self.leave(Effect::Send { conn, message: Box::new(message) });
    }

    /// To whatever link a user has, if any.
    fn send_to(&mut self, user: UserId, message: ToClient) {
        if let Some(conn) = self.live.get(&user) {
            self.send(*conn, message);
        }
    }

    fn log(&mut self, event: Event) {
        self.leave(Effect::Log(Box::new(event)));
    }

    fn answer(&mut self, conn: ConnId, seq: RequestSeq, result: Result<Answer, Refusal>) {
        self.send(conn, ToClient::Answer { seq, result });
    }

    /// Ends a connection; what it was told before goes out first.
    fn close(&mut self, conn: ConnId, why: CloseReason) {
        self.leave(Effect::Close { conn, why });
    }

    fn disk_full(&mut self, full: bool) {
        let back = self.disk_full && !full;
        self.disk_full = full;
        if back {
            // Entries refused meanwhile are offered again by whoever holds them.
            let users: Vec<UserId> = self.live.keys().copied().collect();
            users.into_iter().for_each(|user| self.ask_for_entries(user));
            self.ask_for_untaken();
        }
    }

    fn drain(&mut self, eta: Duration) {
        if self.draining {
            return;
        }
        let eta_ms = u32::try_from(eta.as_millis()).unwrap_or(u32::MAX);
        let uptime = self.uptime();
        let live = self.live_sessions();
        self.commit(vec![Fact::Uptime { uptime, live }, Fact::Stopped { at: self.wall }]);
        self.draining = true;
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.send(conn, ToClient::Restarting { eta_ms }));
    }

    /// Why nothing may be changed just now.
    fn shut(&self) -> Result<(), Refusal> {
        if self.draining {
            Err(Refusal::Restarting)
        } else if self.disk_full {
            Err(Refusal::DiskFull)
        } else {
            Ok(())
        }
    }

    fn is_shut(&self) -> bool {
        self.shut().is_err()
    }

    fn uptime(&self) -> UptimeMs {
        let base = if is_on(Mutant::UptimeForgotten) { UptimeMs(0) } else { self.uptime_base };
        UptimeMs(base.0 + self.now.0)
    }

    fn live_sessions(&self) -> Vec<SessionId> {
        self.live.values().filter_map(|conn| self.conns.get(conn)?.session).map(|(session, _)| session).collect()
    }

    /// Writes up-time down and ends what nobody has used for long.
    fn tick(&mut self) {
        self.uptime_due = self.now + UPTIME_TICK;
        let uptime = self.uptime();
        let live = self.live_sessions();
        self.commit(vec![Fact::Uptime { uptime, live }]);
        let idle = |since: UptimeMs, max: Duration| uptime.0.saturating_sub(since.0) >= ms(max);
        let sessions = self.state.sessions().filter(|session| idle(session.seen, SESSION_IDLE_MAX));
        let sessions: Vec<Fact> = sessions.map(|session| Fact::LoggedOut { session: session.session }).collect();
        let matches = self.state.games().filter(|of| idle(of.touched, MATCH_IDLE_MAX));
        let matches: Vec<Fact> = matches.map(|of| Fact::Shelved { match_id: of.grant().match_id }).collect();
        self.shown.retain(|match_id, _| self.state.game(*match_id).is_some());
        self.sure.retain(|match_id| self.state.game(*match_id).is_some());
        self.commit(sessions);
        self.commit(matches);
    }

    fn random_id(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    /// The user of a connection.
    fn user_of(&self, conn: ConnId) -> Result<(SessionId, &Account), Refusal> {
        let (session, user) = self.conns.get(&conn).and_then(|conn| conn.session).ok_or(Refusal::NotLoggedIn)?;
        let account = self.state.account(user).expect("a live session has an account");
        Ok((session, account))
    }

    fn ip_of(&self, user: UserId) -> Option<IpAddr> {
        self.live.get(&user).and_then(|conn| self.conns.get(conn)).map(|conn| conn.ip)
    }

    /// Tells a user's connection how often to ping.
    fn pace(&mut self, user: UserId) {
        let Some(conn) = self.live.get(&user).copied() else { return };
        let urgent = self.state.account(user).is_some_and(|account| account.seated.is_some());
        self.leave(Effect::Pace { conn, urgent });
    }
}
