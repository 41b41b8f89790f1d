//! A whole world in one thread, for tests of the model: the real engine, real players, a disk that loses what was not
//! flushed, links that break, processes that die. Every step is drawn from a seed.

#![allow(clippy::unwrap_used, reason = "a failed test should panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks for")]

mod direct;
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::client::command::Typed;
use super::client::event::{Event, MoveState};
use super::client::player::{self, Player};
use super::client::record::{MatchRecord, UserFiles, Write};
use super::engine::{Effect, Engine, Hashed, Hashing, Input, JobId, Settings};
use super::event::{Event as LogEvent, LinkEnd};
use super::evidence::Keeper;
use super::fact::Fact;
use super::games::{GameSpec, Seat};
use super::id::{Boot, ConnId, Lsn, MatchId, Name};
use super::key::{PublicKey, SecretKey, ServerId, Signature};
use super::message::{Entries, KeeperMessage, Proofs, ToClient, ToServer, Welcome};
use super::operator;
use super::password::{Password, PasswordHash};
use super::replay::Replay;
use super::sign::{Signed, Verified};
use super::state::State;
use super::statement::{Entry, Foul, Grant, Resume};
use super::time::{Now, WallMs};

/// A server and some clients.
pub(crate) struct World {
    pub(crate) random: ChaCha8Rng,
    pub(crate) now: Now,
    server_key: SecretKey,
    pub(crate) engine: Option<Engine>,
    /// Facts given to the journal, and how many of them are on disk.
    journal: Vec<Fact>,
    durable: usize,
    jobs: VecDeque<(JobId, Hashing)>,
    next_conn: u64,
    boots: u64,
    /// Whether players can reach each other.
    direct: bool,
    /// Whether the file beside the server's keys will say that state was lost.
    lost: bool,
    pub(crate) clients: Vec<Client>,
    /// What operators were told.
    pub(crate) told: Vec<Result<operator::Told, operator::Unable>>,
    /// How often the engine has said that no match is under way any more.
    pub(crate) over: usize,
    /// What the engine has logged.
    pub(crate) log: Vec<LogEvent>,
    /// Receipts the server has given.
    pub(crate) receipts: usize,
    /// The disk takes no more than this many facts.
    pub(crate) room: usize,
}

/// Moves by match and ply: who, and where.
pub(crate) type Told = BTreeMap<(String, u16), (String, Option<u16>, Option<u16>)>;

/// A client process and its disk.
pub(crate) struct Client {
    name: Name,
    pub(crate) player: Player,
    files: UserFiles,
    opened: bool,
    end: direct::End,
    /// Whether it cannot reach the server.
    asleep: bool,
    stopped: bool,
    conn: Option<Conn>,
    up: VecDeque<ToServer>,
    down: VecDeque<ToClient>,
    pub(crate) shown: Vec<Event>,
}

#[derive(Clone, Copy)]
struct Conn {
    id: ConnId,
    nonce: [u8; 16],
}

impl World {
    pub(crate) fn new(seed: u64, clients: usize) -> Self {
        let mut world = Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            now: Now(0),
            server_key: SecretKey::from_seed(&[9; 32]),
            engine: None,
            journal: Vec::new(),
            durable: 0,
            jobs: VecDeque::new(),
            next_conn: 0,
            boots: 0,
            direct: true,
            lost: false,
            clients: Vec::new(),
            told: Vec::new(),
            over: 0,
            log: Vec::new(),
            receipts: 0,
            room: usize::MAX,
        };
        world.start_server();
        for number in 0..clients {
            world.add_client(&format!("p{number}"));
        }
        world
    }

    /// One more device, of a new player or of one that there is.
    pub(crate) fn add_client(&mut self, name: &str) -> usize {
        let (name, number) = (Name::new(name).unwrap(), self.clients.len());
        let device = SecretKey::from_seed(&[u8::try_from(number).unwrap() + 50; 32]);
        let files = UserFiles { device, session: None, offers: Vec::new(), matches: Vec::new() };
        let player = Player::new(self.now, self.seed(), true);
        let (up, down, end) = (VecDeque::new(), VecDeque::new(), direct::End::default());
        let (opened, asleep, stopped, conn, shown) = (false, false, false, None, Vec::new());
        self.clients.push(Client { name, player, files, opened, end, asleep, stopped, conn, up, down, shown });
        self.drain_client(number);
        number
    }

    /// Logs a client in whose player has an account.
    pub(crate) fn log_in(&mut self, number: usize) {
        let name = self.clients[number].name.clone();
        self.type_in(number, Typed::Login(name, Password::new("correct horse").unwrap()));
        self.settle();
    }

    /// A client that cannot reach the server until it is woken.
    pub(crate) fn put_to_sleep(&mut self, number: usize) {
        self.clients[number].asleep = true;
        self.break_link(number);
    }

    pub(crate) fn wake(&mut self, number: usize) {
        self.clients[number].asleep = false;
    }

    /// A client loses its match files, and starts again.
    pub(crate) fn lose_files(&mut self, number: usize) {
        self.clients[number].files.matches.clear();
        self.clients[number].files.offers.clear();
        self.restart_client(number);
    }

    /// Kills the server and takes away what is not `kept` of its journal; it is started by the caller.
    pub(crate) fn lose_state(&mut self, kept: impl Fn(usize, &Fact) -> bool) {
        self.kill_server();
        let facts = std::mem::take(&mut self.journal).into_iter().enumerate();
        self.journal = facts.filter(|(at, fact)| kept(*at, fact)).map(|(_, fact)| fact).collect();
        self.durable = self.journal.len();
    }

    /// Number of facts on the server's disk.
    pub(crate) const fn durable(&self) -> usize {
        self.durable
    }

    pub(crate) fn server(&self) -> ServerId {
        ServerId::of(&self.server_key.public())
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        seed
    }

    /// Starts the server on what its disk holds.
    pub(crate) fn start_server(&mut self) {
        let state = self.recovered();
        let lsn = Lsn(self.durable as u64);
        self.boots += 1;
        let mut engine = Engine::new(Settings::default(), self.server(), state, lsn, self.seed());
        engine.handle(self.now, WallMs(self.now.0), Input::Booted(Boot { number: self.boots, nonce: self.boots }));
        if std::mem::take(&mut self.lost) {
            engine.handle(self.now, WallMs(self.now.0), Input::StateLost);
        }
        self.engine = Some(engine);
        self.drain_engine();
    }

    /// The state that the facts on disk give, through a snapshot on the way.
    pub(crate) fn recovered(&self) -> State {
        let mut state = State::default();
        let half = self.durable / 2;
        for fact in &self.journal[..half] {
            state.apply(fact).unwrap();
        }
        let mut copy = State::default();
        for piece in state.pieces() {
            let bytes = postcard::to_allocvec(&piece).unwrap();
            copy.absorb(postcard::from_bytes(&bytes).unwrap()).unwrap();
        }
        for fact in &self.journal[half..self.durable] {
            let bytes = postcard::to_allocvec(fact).unwrap();
            copy.apply(&postcard::from_bytes(&bytes).unwrap()).unwrap();
        }
        copy.forget_retired();
        copy
    }

    /// Kills the server: what was not flushed is gone, every connection breaks.
    pub(crate) fn kill_server(&mut self) {
        self.engine = None;
        self.journal.truncate(self.durable);
        self.jobs.clear();
        for number in 0..self.clients.len() {
            self.break_link(number);
        }
    }

    /// Kills a client and starts it again on what its disk holds.
    pub(crate) fn restart_client(&mut self, number: usize) {
        self.close_at_server(number);
        self.forget_lines(number);
        let player = Player::new(self.now, self.seed(), true);
        let client = &mut self.clients[number];
        (client.player, client.conn, client.stopped) = (player, None, false);
        client.up.clear();
        client.down.clear();
        client.opened = false;
        if client.files.session.is_some() {
            client.opened = true;
            let (name, files) = (client.name.clone(), Ok(Box::new(client.files.clone())));
            let input = player::Input::UserOpened { name, files };
            client.player.handle(self.now, WallMs(self.now.0), input);
        }
        self.drain_client(number);
    }

    /// Loses all that the server had but the accounts.
    pub(crate) fn wipe_server(&mut self) {
        self.kill_server();
        self.journal.retain(|fact| matches!(fact, Fact::AccountAdded { .. }));
        self.lost = true;
        self.durable = self.journal.len();
    }

    /// Loses a client's disk: what starts on the new one has another device key and no session.
    pub(crate) fn wipe_client(&mut self, number: usize) {
        let device = SecretKey::from_seed(&self.seed());
        self.clients[number].files = UserFiles { device, session: None, offers: Vec::new(), matches: Vec::new() };
        self.restart_client(number);
    }

    /// Kills a client; [`restart_client`](Self::restart_client) starts it again.
    pub(crate) fn stop_client(&mut self, number: usize) {
        self.break_link(number);
        self.forget_lines(number);
        self.clients[number].stopped = true;
    }

    /// Breaks a client's connection; both ends hear of it.
    pub(crate) fn break_link(&mut self, number: usize) {
        self.close_at_server(number);
        let client = &mut self.clients[number];
        if client.conn.take().is_some() {
            client.up.clear();
            client.down.clear();
            client.player.handle(self.now, WallMs(self.now.0), player::Input::Lost);
            self.drain_client(number);
        }
    }

    fn close_at_server(&mut self, number: usize) {
        if let Some(conn) = self.clients[number].conn {
            self.tell_engine(Input::Closed { conn: conn.id, end: LinkEnd::Reset });
        }
    }

    pub(crate) fn type_in(&mut self, number: usize, typed: Typed) {
        let client = &mut self.clients[number];
        client.player.handle(self.now, WallMs(self.now.0), player::Input::Typed(typed));
        self.drain_client(number);
    }

    /// Adds and logs in every client.
    pub(crate) fn log_in_all(&mut self) {
        for number in 0..self.clients.len() {
            let name = self.clients[number].name.clone();
            let password = Password::new("correct horse").unwrap();
            self.type_in(number, Typed::AddUser(name.clone(), password.clone()));
            self.type_in(number, Typed::Login(name, password));
        }
        self.settle();
    }

    /// Seats clients 0 and 1 in a match.
    pub(crate) fn seat(&mut self) {
        let to = self.clients[1].name.clone();
        self.type_in(0, Typed::Begin(to, GameSpec::named("tictactoe").unwrap()));
        self.settle();
        self.type_in(1, Typed::Accept(None));
        self.settle();
    }

    /// Lets everything happen that can, in a fixed order, with time moving to whatever is due within `horizon`.
    pub(crate) fn settle(&mut self) {
        let end = self.now + Duration::from_secs(8);
        loop {
            while self.step_any() {}
            let due = self.poll_timeout();
            if due > end {
                break;
            }
            self.pass(due);
            if !self.is_busy() && self.now >= end - Duration::from_secs(7) {
                break;
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.durable < self.journal.len().min(self.room)
            || !self.jobs.is_empty()
            || (0..self.clients.len()).any(|number| self.hears_directly(number))
            || self.clients.iter().any(|client| {
                !client.up.is_empty()
                    || !client.down.is_empty()
                    || !client.player.is_idle()
                    || (client.conn.is_none() && !client.asleep && !client.stopped && self.engine.is_some())
            })
    }

    fn poll_timeout(&self) -> Now {
        let running = self.clients.iter().filter(|client| !client.stopped);
        let clients = running.map(|client| client.player.poll_timeout());
        let engine = self.engine.as_ref().map(Engine::poll_timeout);
        clients.chain(engine).min().unwrap_or(Now::NEVER)
    }

    /// Moves time to `due`.
    pub(crate) fn pass(&mut self, due: Now) {
        self.now = self.now.max(due);
        for number in 0..self.clients.len() {
            if !self.clients[number].stopped {
                self.clients[number].player.handle_timeout(self.now, WallMs(self.now.0));
                self.drain_client(number);
            }
        }
        if let Some(engine) = &mut self.engine {
            engine.handle_timeout(self.now, WallMs(self.now.0));
        }
        self.drain_engine();
    }

    /// One thing that can happen without time passing, the first in a fixed order; whether there was one.
    fn step_any(&mut self) -> bool {
        self.flush()
            || self.hash()
            || (0..self.clients.len())
                .any(|number| self.deliver_up(number) || self.deliver_down(number) || self.deliver_direct(number))
    }

    /// One thing that can happen, drawn at random.
    pub(crate) fn step_random(&mut self) {
        let clients = self.clients.len();
        let number = self.draw(clients);
        match self.draw(6) {
            0 => drop(self.flush()),
            1 => drop(self.hash()),
            2 => drop(self.deliver_up(number)),
            3 => drop(self.deliver_down(number)),
            4 => drop(self.deliver_direct(number)),
            _ => {
                let due = self.poll_timeout().min(self.now + Duration::from_millis(100));
                self.pass(due);
            }
        }
    }

    pub(crate) fn draw(&mut self, below: usize) -> usize {
        usize::try_from(self.random.next_u32()).unwrap() % below
    }

    pub(crate) fn flush(&mut self) -> bool {
        let more = self.durable < self.journal.len().min(self.room);
        self.durable = self.durable.max(self.journal.len().min(self.room));
        if more {
            self.tell_engine(Input::Flushed(Lsn(self.durable as u64)));
        }
        more
    }

    /// Delivers whatever waits, but flushes nothing.
    pub(crate) fn deliver_all_but_the_disk(&mut self) {
        while self.hash()
            || (0..self.clients.len())
                .any(|number| self.deliver_up(number) || self.deliver_down(number) || self.deliver_direct(number))
        {
        }
    }

    /// An input from outside.
    pub(crate) fn tell(&mut self, input: Input) {
        self.tell_engine(input);
    }

    fn hash(&mut self) -> bool {
        let Some((job, hashing)) = self.jobs.pop_front() else { return false };
        // Any reversible mark will do for a hash here.
        let mark = |password: &Password| PasswordHash::new(format!("hash of {}", password.expose()));
        let done = match hashing {
            Hashing::Make(password) => Hashed::Made(mark(&password)),
            Hashing::Verify { password, against } if against == Some(mark(&password)) => Hashed::Right,
            Hashing::Change { old, against, new } if against == mark(&old) => Hashed::Made(mark(&new)),
            Hashing::Verify { .. } | Hashing::Change { .. } => Hashed::Wrong,
        };
        self.tell_engine(Input::Hashed { job, done });
        true
    }

    fn deliver_up(&mut self, number: usize) -> bool {
        let client = &mut self.clients[number];
        let (Some(Conn { id: conn, nonce }), Some(message)) = (client.conn, client.up.pop_front()) else {
            return false;
        };
        let server = self.server();
        let input = match message {
            ToServer::Resume(request) => {
                let (session, signature) = (request.session, request.signature);
                self.tell_engine(Input::Resume { conn, request });
                let device = self.clients[number].files.device.public();
                let signed = Signed { body: Resume { session, nonce, exporter: [0; 32] }, signature };
                Input::ResumeChecked { conn, good: signed.verify(&device, &server).is_ok() }
            }
            ToServer::Request { seq, command } => Input::Request { conn, seq, command },
            ToServer::Keeper(message) => {
                let Some(input) = self.keeper(conn, message) else { return true };
                input
            }
            ToServer::Candidates(candidates) => Input::Candidates { conn, candidates },
            ToServer::Stored { match_id, ruling } => Input::Stored { conn, match_id, ruling },
            ToServer::Ping(ping) => {
                self.clients[number].down.push_back(ToClient::Pong(ping));
                return true;
            }
            ToServer::Hello(_) | ToServer::Pong(_) | ToServer::Outage(_) => return true,
        };
        self.tell_engine(input);
        true
    }

    /// What a player says as a keeper, its signatures checked as the server's connections do.
    fn keeper(&self, conn: ConnId, message: KeeperMessage) -> Option<Input> {
        let (key, server) = (self.server_key.public(), self.server());
        let granted = |grants: Vec<Signed<Grant>>| -> Option<Vec<Verified<Grant>>> {
            grants.into_iter().map(|grant| grant.verify(&key, &server).ok()).collect()
        };
        let authentic = |grants: &[Verified<Grant>], entry: Signed<Entry>| {
            let Entry { match_id, epoch, seat, .. } = entry.body;
            let shown = grants.iter().find(|grant| grant.body().epoch == epoch).map(|grant| grant.body().keys);
            let keys = shown.or_else(|| self.keys(match_id, epoch))?;
            entry.verify(&keys[seat.index()], &server).ok()
        };
        Some(match message {
            KeeperMessage::Have(have) => Input::Have { conn, have },
            KeeperMessage::Entries(Entries { match_id, grants, entries }) => {
                let grants = granted(grants)?;
                let entries = entries.into_iter().map_while(|entry| authentic(&grants, entry)).collect();
                Input::Entries { conn, match_id, grants, entries }
            }
            KeeperMessage::Held { held, .. } => {
                let keys = self.keys(held.body.match_id, held.body.epoch)?;
                let held = keys.into_iter().find_map(|key| held.clone().verify(&key, &server).ok())?;
                Input::Held { conn, held }
            }
            KeeperMessage::Evidence(Proofs { match_id, grants, fouls }) => {
                let grants = granted(grants)?;
                let pair = |foul: Foul| Some([authentic(&grants, foul.first)?, authentic(&grants, foul.second)?]);
                let pairs = fouls.into_iter().filter_map(pair).collect();
                Input::Proofs { conn, match_id, pairs }
            }
            KeeperMessage::Promise(promise) => {
                let keys = self.keys(promise.body.match_id, promise.body.epoch - 1)?;
                let by = |seat: Seat| Some((seat, promise.clone().verify(&keys[seat.index()], &server).ok()?));
                let (seat, promise) = Seat::BOTH.into_iter().find_map(by)?;
                Input::Promise { conn, seat, promise }
            }
            KeeperMessage::Verdict(_) => return None,
        })
    }

    fn keys(&self, match_id: MatchId, epoch: u32) -> Option<[PublicKey; 2]> {
        let chain = &self.engine.as_ref()?.state().game(match_id)?.evidence.chain;
        let key = |seat| chain.key_of(epoch, seat).copied();
        Some([key(Seat::X)?, key(Seat::O)?])
    }

    fn deliver_down(&mut self, number: usize) -> bool {
        let client = &mut self.clients[number];
        let Some(message) = client.down.pop_front() else { return false };
        client.player.handle(self.now, WallMs(self.now.0), player::Input::Message(Box::new(message)));
        self.drain_client(number);
        true
    }

    fn tell_engine(&mut self, input: Input) {
        if let Some(engine) = &mut self.engine {
            engine.handle(self.now, WallMs(self.now.0), input);
            self.drain_engine();
        }
    }

    fn drain_engine(&mut self) {
        let server = self.server();
        while let Some(effect) = self.engine.as_mut().and_then(Engine::poll_effect) {
            match effect {
                Effect::Append(facts) => self.journal.extend(facts),
                Effect::Hash { job, hashing } => self.jobs.push_back((job, hashing)),
                Effect::Send { conn, mut message } => {
                    let receipt =
                        matches!(*message, ToClient::Keeper(KeeperMessage::Held { keeper: Keeper::Server, .. }));
                    self.receipts += usize::from(receipt);
                    message.seal(&self.server_key, &server);
                    let to = self.clients.iter_mut().find(|client| client.conn.is_some_and(|open| open.id == conn));
                    to.into_iter().for_each(|client| client.down.push_back((*message).clone()));
                }
                Effect::Log(event) => self.log.push(*event),
                Effect::Told { told, .. } => self.told.push(told),
                Effect::Over => self.over += 1,
                Effect::CheckResume { .. } | Effect::Pace { .. } | Effect::Close { .. } => {}
            }
        }
    }

    fn drain_client(&mut self, number: usize) {
        while let Some(effect) = self.clients[number].player.poll_effect() {
            match effect {
                player::Effect::Dial(dial) => {
                    let input = self.dial(number, dial);
                    self.clients[number].player.handle(self.now, WallMs(self.now.0), input);
                }
                player::Effect::Write(write) => self.clients[number].write(write),
                player::Effect::Send(message) => self.clients[number].up.push_back(*message),
                player::Effect::Show(event) => self.clients[number].shown.push(*event),
                player::Effect::OpenUser(name) => {
                    let client = &mut self.clients[number];
                    client.opened = true;
                    let files = Ok(Box::new(client.files.clone()));
                    client.player.handle(self.now, WallMs(self.now.0), player::Input::UserOpened { name, files });
                }
                player::Effect::Drop => {
                    self.close_at_server(number);
                    self.clients[number].conn = None;
                }
                player::Effect::Meet(meet) => self.meet(number, meet.map(|meet| *meet)),
                player::Effect::PeerDial(dial, addr) => self.dial_peer(number, dial, addr),
                player::Effect::PeerSend(conn, message) => self.send_peer(number, conn, *message),
                player::Effect::PeerDrop(conn) => self.drop_peer(number, conn),
                // A dial is through, or has failed, before it could be given up.
                player::Effect::PeerAbandon(_)
                | player::Effect::Abandon(_)
                | player::Effect::Adopt(_)
                | player::Effect::CloseUser => {}
            }
        }
    }

    fn dial(&mut self, number: usize, dial: super::client::supervisor::DialId) -> player::Input {
        if self.engine.is_none() || self.clients[number].asleep {
            return player::Input::Failed { dial, why: "refused".to_owned() };
        }
        self.next_conn += 1;
        let conn = Conn { id: ConnId(self.next_conn), nonce: [u8::try_from(self.next_conn % 251).unwrap(); 16] };
        let client = &mut self.clients[number];
        client.conn = Some(conn);
        client.up.clear();
        client.down.clear();
        let run = client.player.hello(1, 1).run;
        self.tell_engine(Input::Opened { conn: conn.id, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), run });
        let key = self.server_key.public();
        let welcome = Box::new(Welcome { version: 1, key, proof: Signature::EMPTY, nonce: conn.nonce });
        player::Input::Ready { dial, welcome, exporter: [0; 32] }
    }
}

impl Client {
    fn write(&mut self, write: Write) {
        match write {
            Write::Session(session) => self.files.session = session,
            Write::Offers(offers) => self.files.offers = offers,
            Write::Open { records, .. } => self.files.matches.push(records),
            Write::Append { match_id, records } => self.file(match_id).extend(records),
        }
    }

    fn file(&mut self, match_id: MatchId) -> &mut Vec<MatchRecord> {
        let is = |file: &&mut Vec<MatchRecord>| matches!(&file[0], MatchRecord::Opened { grant, .. } if grant.body.match_id == match_id);
        self.files.matches.iter_mut().find(is).expect("a file is opened before it is appended to")
    }

    /// Moves shown as acknowledged: match, ply, who, where.
    pub(crate) fn acknowledged(&self) -> Told {
        let mut moves = BTreeMap::new();
        for event in &self.shown {
            if let Event::Move { match_id, ply, by, row, col, acknowledged: true, .. } = event {
                moves.insert((match_id.clone(), *ply), (by.clone(), *row, *col));
            }
        }
        moves
    }

    /// Plies of own moves shown as kept.
    pub(crate) fn kept(&self) -> Vec<u16> {
        let kept = |event: &Event| match event {
            Event::Move { ply, state: MoveState::Kept, .. } => Some(*ply),
            _ => None,
        };
        self.shown.iter().filter_map(kept).collect()
    }
}
