//! The player's client as a state machine: the link, the requests under way, the matches.
//!
//! Effects are carried out in their order: what is to be written is on disk before anything after it is sent or shown.
//! After each call that takes `now`, call `poll_effect` until `None`, then wait until `poll_timeout`.

mod commands;
mod direct;
mod server;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::command::Typed;
use super::delay::Delays;
use super::event::{Event, LinkState, Reply, SeatStatus, Status};
use super::peer::{PeerConn, PeerDial};
use super::record::{SavedSession, UserFiles, Write};
use super::supervisor::{self, DialId, Link, Supervisor};
use super::table::Table;
use crate::model::games::GameSpec;
use crate::model::id::{MatchId, Name, RequestSeq, Run};
use crate::model::key::{PublicKey, SecretKey, ServerId};
use crate::model::limits::{OUTBOX_MAX, SILENCE_MATCH_MAX};
use crate::model::message::{Command, Hello, InviteView, ResumeRequest, ToClient, ToPeer, ToServer, Welcome};
use crate::model::pulse::{Pulse, Silence};
use crate::model::sign::Signed;
use crate::model::statement::Resume;
use crate::model::time::{Now, WallMs};
use crate::mutant::{Mutant, is_on};
pub use direct::Meet;
use direct::{Direct, Ways, in_ms};

/// Match keys that may be offered at once: ten invitations and some answers.
const OFFERS_MAX: usize = 32;
/// How long after a resume the newest fact seen is written down.
const SEEN_SAVED_AFTER: Duration = Duration::from_secs(5);

/// The client, pure.
#[derive(Debug)]
pub struct Player {
    supervisor: Supervisor,
    heart: Option<Heart>,
    server_key: Option<PublicKey>,
    run: Run,
    last_seq: RequestSeq,
    outbox: VecDeque<Pending>,
    random: ChaCha12Rng,
    user: Option<User>,
    tables: BTreeMap<MatchId, Table>,
    seated: Option<MatchId>,
    /// Seats that were asked for on the present link, in the present session.
    asked_seats: BTreeMap<MatchId, Asked>,
    /// The keys that seats were asked for with.
    seat_keys: BTreeMap<MatchId, PublicKey>,
    last: Option<(Name, GameSpec, MatchId)>,
    invites: Vec<InviteView>,
    /// Whom this player has invited, and until when there may be an answer.
    invited: Option<(Name, Now)>,
    server_delays: Delays,
    direct: Option<Direct>,
    ways: Ways,
    failure_told: bool,
    /// When the link last began to carry requests.
    live_at: Option<Now>,
    save_at: Now,
    effects: VecDeque<Effect>,
    now: Now,
    wall: WallMs,
}

/// The user whose files are open.
#[derive(Debug)]
struct User {
    name: Name,
    device: SecretKey,
    session: Option<SavedSession>,
    offers: Vec<SecretKey>,
}

/// The heartbeat of the connection in use.
#[derive(Debug)]
struct Heart {
    pulse: Pulse,
    silence: Silence,
    ready: bool,
}

/// A request, from typing to the answer. They are carried out one after the other.
#[derive(Debug)]
struct Pending {
    typed: Typed,
    /// Made when its turn comes; sent again, with the same number, on every new link until it is answered.
    request: Option<(RequestSeq, Command)>,
    opening: bool,
    /// Whether it was typed while there was no link.
    outage: bool,
}

/// What came of asking for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// No answer yet, or a grant that is not here yet.
    Waits,
    /// The next move that is typed asks again.
    Refused,
}

/// What has happened.
#[derive(Debug)]
pub enum Input {
    /// The player typed a command.
    Typed(Typed),
    /// The files asked for by [`Effect::OpenUser`], or why there are none (a stable word and a sentence).
    UserOpened {
        /// Whose.
        name: Name,
        /// What there was.
        files: Result<Box<UserFiles>, (&'static str, String)>,
    },
    /// A dial has reached something that listens.
    Reached(DialId),
    /// A dial is through: TLS is up and the server has proved its id.
    Ready {
        /// Which.
        dial: DialId,
        /// What the server said.
        welcome: Box<Welcome>,
        /// Of the TLS connection.
        exporter: [u8; 32],
    },
    /// A dial has failed.
    Failed {
        /// Which.
        dial: DialId,
        /// Why, for people.
        why: String,
    },
    /// From the server, on the connection in use.
    Message(Box<ToClient>),
    /// The connection in use is gone.
    Lost,
    /// Where this client can be reached by an opponent, the likeliest first.
    Reachable(Vec<SocketAddr>),
    /// A connection with the opponent is through TLS.
    PeerOpened {
        /// Which.
        conn: PeerConn,
        /// The dial that made it; none if it was accepted.
        dial: Option<PeerDial>,
    },
    /// A dial to the opponent has failed.
    PeerFailed(PeerDial),
    /// From the opponent.
    PeerHeard {
        /// On which connection.
        conn: PeerConn,
        /// What.
        message: Box<ToPeer>,
    },
    /// A connection with the opponent is gone.
    PeerLost(PeerConn),
}

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Dial: look up the name, connect, TLS, `Hello`, wait for `Welcome`.
    Dial(DialId),
    /// Stop a dial that is under way.
    Abandon(DialId),
    /// Use the connection that a dial has made.
    Adopt(DialId),
    /// Drop the connection in use.
    Drop,
    /// Lock and load the files of a user.
    OpenUser(Name),
    /// Let go of them.
    CloseUser,
    /// On disk before anything after it.
    Write(Write),
    /// On the connection in use.
    Send(Box<ToServer>),
    /// To the player.
    Show(Box<Event>),
    /// Who may be at the other end of connections with the opponent from now on; nobody, when there is no match.
    Meet(Option<Box<Meet>>),
    /// Dial the opponent: connect and TLS.
    PeerDial(PeerDial, SocketAddr),
    /// Stop such a dial.
    PeerAbandon(PeerDial),
    /// Send to the opponent.
    PeerSend(PeerConn, Box<ToPeer>),
    /// Close a connection with the opponent, after what was sent.
    PeerDrop(PeerConn),
}

impl Player {
    /// A client that wants a link from the start, and with `direct` a path to the opponent that does not need the server.
    /// `seed` is drawn anew for each start.
    #[must_use]
    pub fn new(now: Now, seed: [u8; 32], direct: bool) -> Self {
        let mut random = ChaCha12Rng::from_seed(seed);
        Self {
            supervisor: Supervisor::new(now, random.next_u64()),
            heart: None,
            server_key: None,
            run: Run(random.next_u64()),
            last_seq: RequestSeq(0),
            outbox: VecDeque::new(),
            random,
            user: None,
            tables: BTreeMap::new(),
            seated: None,
            asked_seats: BTreeMap::new(),
            seat_keys: BTreeMap::new(),
            last: None,
            invites: Vec::new(),
            invited: None,
            server_delays: Delays::default(),
            direct: None,
            ways: Ways::new(direct),
            failure_told: false,
            live_at: None,
            save_at: Now::NEVER,
            effects: VecDeque::new(),
            now,
            wall: WallMs(0),
        }
    }

    /// Something has happened.
    pub fn handle(&mut self, now: Now, wall: WallMs, input: Input) {
        (self.now, self.wall) = (now, wall);
        match input {
            Input::Typed(typed) => self.typed(typed),
            Input::UserOpened { name, files } => self.user_opened(name, files),
            Input::Reached(dial) => self.supervisor.reached(now, dial),
            Input::Ready { dial, welcome, exporter } => self.ready(dial, &welcome, exporter),
            Input::Failed { dial, why } => self.failed(dial, why),
            Input::Message(message) => self.message(*message),
            Input::Lost => self.lost(Duration::ZERO),
            Input::Reachable(candidates) => self.reachable_at(candidates),
            Input::PeerOpened { conn, dial } => self.peer_opened(conn, dial),
            Input::PeerFailed(dial) => self.peer_failed(dial),
            Input::PeerHeard { conn, message } => self.peer_heard(conn, *message),
            Input::PeerLost(conn) => self.peer_lost(conn),
        }
        self.settle_down();
    }

    /// Time has passed. Early or repeated calls do nothing.
    pub fn handle_timeout(&mut self, now: Now, wall: WallMs) {
        (self.now, self.wall) = (now, wall);
        self.supervisor.handle_timeout(now);
        let dead = self.heart.as_ref().is_some_and(|heart| heart.deadline() <= now);
        if dead {
            self.lost(Duration::ZERO);
        } else if let Some(number) = self.heart.as_mut().and_then(|heart| heart.pulse.ping(now)) {
            self.send(ToServer::Ping(number));
        }
        self.peer_timeout();
        if self.save_at <= now {
            self.save_at = Now::NEVER;
            let session = self.user.as_ref().and_then(|user| user.session.clone());
            self.effects.extend(session.map(|session| Effect::Write(Write::Session(Some(session)))));
        }
        self.settle_down();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Now {
        let heart = self.heart.as_ref().map(|heart| heart.deadline().min(heart.pulse.due()));
        let link = self.supervisor.poll_timeout().min(heart.unwrap_or(Now::NEVER));
        link.min(self.save_at).min(self.poll_peer_timeout()).min(self.held_until().unwrap_or(Now::NEVER))
    }

    /// What to do next, until `None`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The first frame on every connection.
    #[must_use]
    pub const fn hello(&self, min: u16, max: u16) -> Hello {
        Hello { min, max, run: self.run }
    }

    /// Whether there is a session to take up again.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.session.is_some())
    }

    /// Whether no command is waiting for an answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.outbox.is_empty()
    }

    /// The match one is seated in, or else the last one.
    #[must_use]
    pub fn table(&self) -> Option<&Table> {
        let last = self.last.as_ref().map(|(_, _, id)| *id);
        self.seated.or(last).and_then(|id| self.tables.get(&id))
    }

    /// Where the player is.
    #[must_use]
    pub fn status(&self, now: Now) -> Status {
        let (down, retry) = self.supervisor.outage(now).unzip();
        let whole_ms = |length: Duration| u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let session = self.user.as_ref().and_then(|user| user.session.as_ref());
        Status {
            user: session.map(|session| session.name.to_string()),
            link: link_state(self.supervisor.link()),
            down_ms: down.map(whole_ms),
            retry_ms: retry.filter(|_| matches!(self.supervisor.link(), Link::Down)).map(whole_ms),
            seated: self.seated.and_then(|id| self.tables.get(&id)).map(|table| self.seat_status(table)),
        }
    }

    fn seat_status(&self, table: &Table) -> SeatStatus {
        SeatStatus {
            match_id: table.id().to_string(),
            you: table.seat().to_string(),
            opponent: table.opponent().to_string(),
            opponent_here: self.opponent_here(),
            turn: table.evidence.chain.turn().map(|seat| seat.to_string()),
            ply: table.evidence.chain.plies(),
            seen: table.seen(),
            kept: table.kept(),
            path: self.path(),
            rtt_ms: self.delays().and_then(|delays| delays.last3().last().copied()).map(in_ms),
            decided: table.evidence.verdict().is_some(),
            outcome: table.evidence.verdict().map(|ruling| ruling.fared(table.seat())),
            agreed: table.is_agreed(),
        }
    }

    fn ready(&mut self, dial: DialId, welcome: &Welcome, exporter: [u8; 32]) {
        self.supervisor.ready(self.now, dial);
        self.drain_supervisor();
        if !matches!(self.supervisor.link(), Link::Resuming { .. }) || self.heart.is_some() {
            return;
        }
        self.server_key = Some(welcome.key);
        self.heart = Some(Heart { pulse: Pulse::new(self.now), silence: Silence::new(self.now), ready: false });
        let server = ServerId::of(&welcome.key);
        let session = self.user.as_ref().and_then(|user| Some((user.session.as_ref()?, &user.device)));
        let resume = session.map(|(saved, device)| {
            let body = Resume { session: saved.session, nonce: welcome.nonce, exporter };
            let signature = Signed::by(device, &server, body).signature;
            ToServer::Resume(ResumeRequest { session: saved.session, signature, seen: saved.seen })
        });
        match resume {
            Some(resume) => self.send(resume),
            None => self.connected(),
        }
    }

    fn failed(&mut self, dial: DialId, why: String) {
        self.supervisor.failed(self.now, dial, Duration::ZERO);
        if !std::mem::replace(&mut self.failure_told, true) {
            self.notice("unreachable", format!("the server cannot be reached: {why}; trying again by itself"));
        }
    }

    /// The link can carry requests.
    fn connected(&mut self) {
        let Some(heart) = self.heart.as_mut().filter(|heart| !heart.ready) else { return };
        heart.ready = true;
        self.live_at = Some(self.now);
        self.supervisor.live(self.now);
        self.failure_told = false;
        self.ways.told = false;
        self.ask_anew();
        self.server_delays.clear();
        self.wake_peer();
        for pending in &self.outbox {
            if let Some((seq, command)) = &pending.request {
                let request = ToServer::Request { seq: *seq, command: command.clone() };
                self.effects.push_back(Effect::Send(Box::new(request)));
            }
        }
    }

    /// On another link, and in another session, seats are asked for again. What waits for its answer goes out again by
    /// itself; another one would take the seat from it.
    fn ask_anew(&mut self) {
        let asked = |pending: &Pending| {
            if let Typed::TakeSeat(of) = pending.typed { Some((of, Asked::Waits)) } else { None }
        };
        self.asked_seats = self.outbox.iter().filter_map(asked).collect();
    }

    fn lost(&mut self, retry_after: Duration) {
        self.heart = None;
        self.supervisor.lost(self.now, retry_after);
    }

    /// After every input: what follows from the new state.
    fn settle_down(&mut self) {
        self.next_request();
        let unsettled = self.tables.values().any(Table::is_unsettled);
        self.supervisor.set_urgent(self.now, self.seated.is_some() || unsettled || !self.outbox.is_empty());
        let in_match = unsettled || self.seated_table().is_some_and(|table| !table.is_finished());
        // Whoever waits for an answer wants to know soon that the link leads nowhere.
        let waits = !self.outbox.is_empty() || self.invited.as_ref().is_some_and(|(_, until)| self.now < *until);
        if let Some(heart) = &mut self.heart {
            heart.pulse.set_urgent(self.now, in_match || waits);
            heart.silence.set_urgent(self.now, in_match || waits);
            if let Some(number) = heart.pulse.ping(self.now) {
                self.effects.push_back(Effect::Send(Box::new(ToServer::Ping(number))));
            }
        }
        self.drain_supervisor();
        self.follow_ways();
    }

    fn drain_supervisor(&mut self) {
        while let Some(effect) = self.supervisor.poll_effect() {
            match effect {
                supervisor::Effect::Dial(dial) => self.effects.push_back(Effect::Dial(dial)),
                supervisor::Effect::Abandon(dial) => self.effects.push_back(Effect::Abandon(dial)),
                supervisor::Effect::Adopt(dial) => self.effects.push_back(Effect::Adopt(dial)),
                supervisor::Effect::Drop => {
                    self.heart = None;
                    self.effects.push_back(Effect::Drop);
                }
                supervisor::Effect::Changed { link, outage, attempts } => self.changed(link, outage, attempts),
                supervisor::Effect::Tell { outage } => self.tell(outage),
            }
        }
    }

    fn changed(&mut self, link: Link, outage: Option<Duration>, attempts: u32) {
        let state = link_state(link);
        let live = state == LinkState::Live;
        let outage_ms = outage.and_then(|outage| u64::try_from(outage.as_millis()).ok());
        self.show(Event::Link { state, outage_ms, attempts: live.then_some(attempts) });
    }

    fn tell(&mut self, outage: Duration) {
        let open = self.tables.values().filter(|table| !table.is_finished()).count();
        let text = format!(
            "the server has been away for {} s; your session and {open} unfinished match(es) are safe on this disk and \
             on the opponent's, and this program goes on trying",
            outage.as_secs()
        );
        self.notice("server-away", text);
    }

    fn send(&mut self, message: ToServer) {
        self.effects.push_back(Effect::Send(Box::new(message)));
    }

    fn show(&mut self, event: Event) {
        self.effects.push_back(Effect::Show(Box::new(event)));
    }

    fn notice(&mut self, code: &'static str, text: impl Into<String>) {
        self.show(Event::Notice { code, text: text.into() });
    }

    fn reply(&mut self, reply: Reply) {
        self.show(Event::Reply(reply));
    }

    fn enqueue(&mut self, typed: Typed) {
        if self.outbox.len() >= OUTBOX_MAX {
            let why = "too many commands wait for the server; this one was not taken";
            return self.reply(Reply::refused(typed.word(), "busy", why));
        }
        let live = matches!(self.supervisor.link(), Link::Live { .. });
        let outage = self.live_at.is_some() && !live;
        if !live && self.supervisor.outage(self.now).is_some_and(is_long) {
            let text = format!("the server is away; {} goes out as soon as it is back", typed.word());
            self.notice("queued", text);
        }
        self.outbox.push_back(Pending { typed, request: None, opening: false, outage });
    }
}

impl Heart {
    /// When the connection is to be given up.
    fn deadline(&self) -> Now {
        if is_on(Mutant::SilenceIgnoredByClient) { Now::NEVER } else { self.silence.deadline() }
    }
}

impl User {
    /// The key of all matches: only for a rule that is left out.
    fn only_key(&self) -> SecretKey {
        let mut seed = [0; 32];
        seed.iter_mut().zip(self.name.as_str().bytes()).for_each(|(to, from)| *to = from);
        SecretKey::from_seed(&seed)
    }
}

/// Whether the player has noticed an outage by now.
fn is_long((outage, _): (Duration, Duration)) -> bool {
    outage >= SILENCE_MATCH_MAX
}

const fn link_state(link: Link) -> LinkState {
    match link {
        Link::Down => LinkState::Down,
        Link::Dialing => LinkState::Dialing,
        Link::Resuming { .. } => LinkState::Resuming,
        Link::Live { .. } => LinkState::Live,
    }
}
