//! A player's device: the real player and the real files; what the client's shell does between them is done here.
//!
//! What must hold: effects are carried out in their order, each before the next; once the disk has lost its power
//! nothing leaves any more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use rejoin::client::store::{OpenError, Opened, Store};
use rejoin::model::client::peer::{PeerConn, PeerDial};
use rejoin::model::client::player::{Effect, Input, Meet, Player};
use rejoin::model::client::record::{MatchRecord, UserFiles};
use rejoin::model::client::supervisor::DialId;
use rejoin::model::id::Name;
use rejoin::model::message::{KeeperMessage, ToPeer, ToServer};
use rejoin::store::StoreError;

use super::entropy::Chance;
use super::liar::Liar;
use super::machine::{Death, Machine};
use super::net::Msg;
use super::shown::Shown;
use super::world::World;
use crate::sim::plan::Host;

/// Where a client keeps its files.
pub(super) const STATE: &str = "/home/state";
/// How long a client looks for a server that was never reached, when there is no match to wait for.
const LOOK_MAX_MS: u64 = 5_000;
/// How soon a player starts a client again that has ended by itself.
const RESPAWN_MS: (u64, u64) = (150, 400);
/// The port of the server.
pub(super) const SERVER_PORT: u16 = 3000;

/// A device.
pub(super) struct Device {
    pub(super) number: usize,
    /// Whose.
    pub(super) human: usize,
    /// What it is called in the history.
    pub(super) who: String,
    pub(super) machine: Machine,
    pub(super) addr: IpAddr,
    pub(super) process: Option<Process>,
    /// When something is due.
    pub(super) due: u64,
    pub(super) shown: Shown,
    pub(super) liar: Option<Liar>,
    /// A match file that was damaged, and not named yet.
    pub(super) rot: Option<PathBuf>,
    /// Its power goes once one other keeper has heard of its next move, and that one cannot be reached for so long.
    pub(super) heard_by_one: Option<u64>,
    pub(super) chance: Chance,
}

/// A client process.
pub(super) struct Process {
    pub(super) player: Player,
    store: Store,
    /// Inputs that carrying out effects has led to.
    inbox: VecDeque<Input>,
    /// In use, to the server.
    pub(super) conn: Option<usize>,
    pub(super) dials: BTreeMap<DialId, usize>,
    /// Waits for the player to adopt it.
    ready: Option<(DialId, usize)>,
    /// When to give up looking for a server, and whether one was ever reached.
    looking: (u64, bool),
    pub(super) meet: Option<Meet>,
    pub(super) port: Option<u16>,
    pub(super) peer_dials: BTreeMap<PeerDial, (Option<usize>, Meet)>,
    /// Who has connected and not proved to be the opponent.
    pub(super) greeting: BTreeSet<usize>,
    pub(super) lines: BTreeMap<PeerConn, usize>,
    /// Numbers for connections with the opponent.
    pub(super) next: u64,
}

/// The process cannot go on.
pub(super) struct Ends(Death);

impl Process {
    /// An input that comes after those that wait.
    pub(super) fn push(&mut self, input: Input) {
        self.inbox.push_back(input);
    }

    /// Listens where it was last reached, or else at `fresh`; and whether that could be written down.
    pub(super) fn listen(&mut self, fresh: u16) -> (u16, Result<(), StoreError>) {
        match self.store.peer_port() {
            Some(last) => (last, Ok(())),
            None => (fresh, self.store.keep_peer_port(fresh)),
        }
    }
}

impl Device {
    pub(super) fn new(human: usize, who: String, machine: Machine, number: usize, chance: &Chance) -> Self {
        let number_below = u8::try_from(number).unwrap_or(u8::MAX);
        let addr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, number_below.saturating_add(1)));
        Self {
            number,
            human,
            who,
            machine,
            addr,
            process: None,
            due: u64::MAX,
            shown: Shown::default(),
            liar: None,
            rot: None,
            heard_by_one: None,
            chance: chance.clone(),
        }
    }
}

impl World<'_> {
    /// A client begins, on what its disk holds.
    pub(super) fn start_device(&mut self, number: usize) {
        let at = self.now;
        let device = &mut self.devices[number];
        device.machine.begin(at);
        device.shown.cause = "restart";
        let now = device.machine.now(at);
        let store = Store::new(device.machine.files(), Arc::new(device.chance.clone()), PathBuf::from(STATE));
        device.process = Some(Process {
            player: Player::new(now, device.chance.bytes(), true),
            store,
            inbox: VecDeque::new(),
            conn: None,
            dials: BTreeMap::new(),
            ready: None,
            looking: (at + LOOK_MAX_MS, false),
            meet: None,
            port: None,
            peer_dials: BTreeMap::new(),
            greeting: BTreeSet::new(),
            lines: BTreeMap::new(),
            next: 0,
        });
        let human = device.human;
        if self.seats[human] == number {
            self.humans[human].started(at, &mut self.history);
        }
        self.note(number + 1, || "started".to_owned());
        if let Err(Ends(how)) = self.open_recent(number) {
            return self.device_ends(number, how);
        }
        self.device_timer(number);
    }

    /// A player whose client died is back at the board, whether there is a server or not.
    fn open_recent(&mut self, number: usize) -> Result<(), Ends> {
        let (at, server) = (self.now, self.server.id);
        let device = &mut self.devices[number];
        let wall = device.machine.wall(at);
        let Some(process) = &mut device.process else { return Ok(()) };
        match process.store.open_recent(server, None, wall) {
            Ok(None) => {
                self.heed_no_session(number);
                Ok(())
            }
            Ok(Some(opened)) => {
                if is_in_a_match(&opened.files) {
                    process.looking.0 = u64::MAX;
                }
                self.opened(number, opened);
                self.drain_device(number)
            }
            Err(error) => Err(self.not_opened(number, &error)),
        }
    }

    /// A client begins without a session. Who was logged in is not asked again.
    fn heed_no_session(&mut self, number: usize) {
        let Device { human, who, .. } = &self.devices[number];
        if self.seats[*human] == number && self.humans[*human].has_session() && !self.wiped.contains(who) {
            let why = format!("{who} was logged in, and its client has forgotten it");
            self.violate("L1", why);
        }
    }

    fn not_opened(&mut self, number: usize, error: &OpenError) -> Ends {
        self.note(number + 1, || format!("files not opened: {error}"));
        Ends(Death::Failed)
    }

    fn opened(&mut self, number: usize, opened: Opened) {
        let Opened { name, files, notices } = opened;
        for (code, text) in notices {
            let event = rejoin::model::client::event::Event::Notice { code, text };
            self.show(number, &event);
        }
        if let Some(process) = &mut self.devices[number].process {
            process.inbox.push_back(Input::UserOpened { name, files: Ok(Box::new(files)) });
        }
    }

    /// One input, and all that follows from it.
    pub(super) fn feed(&mut self, number: usize, input: Input) {
        let Some(process) = &mut self.devices[number].process else { return };
        process.inbox.push_back(input);
        if let Err(Ends(how)) = self.drain_device(number) {
            self.device_ends(number, how);
        }
        self.device_waits(number);
    }

    fn device_ends(&mut self, number: usize, how: Death) {
        let machine = &self.devices[number].machine;
        let back = if machine.disk.is_dead() || how != Death::Failed {
            machine.back_after_ms
        } else {
            self.chance.between(RESPAWN_MS.0, RESPAWN_MS.1)
        };
        let how = if machine.disk.is_dead() { Death::PowerCut } else { how };
        if machine.disk.is_dead() {
            self.coverage.sometimes("power cut in a write of a client", true);
        }
        self.end(number + 1, how, back);
    }

    /// The inputs that wait, one after the other.
    fn drain_device(&mut self, number: usize) -> Result<(), Ends> {
        let at = self.now;
        loop {
            let device = &mut self.devices[number];
            let (now, wall) = (device.machine.now(at), device.machine.wall(at));
            let Some(process) = &mut device.process else { return Ok(()) };
            let Some(input) = process.inbox.pop_front() else { return Ok(()) };
            process.player.handle(now, wall, input);
            self.carry_out(number)?;
        }
    }

    /// When the device has something to do.
    pub(super) fn device_waits(&mut self, number: usize) {
        let device = &mut self.devices[number];
        let Some(process) = &device.process else {
            device.due = u64::MAX;
            return;
        };
        device.due = device.machine.when(process.player.poll_timeout()).min(process.looking.0);
    }

    /// Something of the device is due.
    pub(super) fn device_timer(&mut self, number: usize) {
        let at = self.now;
        let device = &mut self.devices[number];
        let (now, wall) = (device.machine.now(at), device.machine.wall(at));
        let Some(process) = &mut device.process else { return };
        if process.looking.0 <= at {
            process.looking.0 = u64::MAX;
            if !process.looking.1 {
                self.coverage.sometimes("client gave up looking for a server", true);
                return self.device_ends(number, Death::Failed);
            }
        }
        process.player.handle_timeout(now, wall);
        let done = self.carry_out(number).and_then(|()| self.drain_device(number));
        if let Err(Ends(how)) = done {
            self.device_ends(number, how);
        }
        self.device_waits(number);
    }

    /// What the player types, if it is time.
    pub(super) fn let_type(&mut self, number: usize) {
        self.take_first_copy();
        let device = &self.devices[number];
        let Some(process) = &device.process else { return };
        let human = &mut self.humans[device.human];
        let user = process.player.has_session().then(|| human.name.clone());
        let typed = human.act(self.now, user.as_deref(), &mut self.history);
        if let Some(typed) = typed {
            self.note(number + 1, || format!("types {} {}", typed.word(), words_of(&typed)));
            self.feed(number, Input::Typed(typed));
        }
    }

    /// Does what the player wants, in its order, each before the next.
    fn carry_out(&mut self, number: usize) -> Result<(), Ends> {
        while let Some(effect) = self.devices[number].process.as_mut().and_then(|of| of.player.poll_effect()) {
            self.do_one(number, effect)?;
        }
        // A connection that was not adopted is not wanted.
        if let Some((_, conn)) = self.devices[number].process.as_mut().and_then(|of| of.ready.take()) {
            self.net.close(self.now, conn, 0, false);
        }
        Ok(())
    }

    fn do_one(&mut self, number: usize, effect: Effect) -> Result<(), Ends> {
        let at = self.now.max(self.devices[number].machine.busy_until);
        let Some(process) = &mut self.devices[number].process else { return Ok(()) };
        match effect {
            Effect::Dial(dial) => self.dial_server(number, dial),
            Effect::Abandon(dial) => {
                if let Some(conn) = process.dials.remove(&dial) {
                    self.net.close(at, conn, 0, false);
                }
            }
            Effect::Adopt(dial) => {
                if let Some((_, conn)) = process.ready.take_if(|(ready, _)| *ready == dial) {
                    process.conn = Some(conn);
                    self.reachable(number);
                    self.adopted(number, conn);
                }
            }
            Effect::Drop => {
                if let Some(conn) = process.conn.take() {
                    self.devices[number].shown.gave_up();
                    self.net.close(at, conn, 0, false);
                }
            }
            Effect::OpenUser(name) => self.open_user(number, &name)?,
            Effect::CloseUser => process.store.close(),
            Effect::Write(write) => {
                let written = process.store.write(write);
                self.written(number, written)?;
            }
            Effect::Send(message) => {
                if let Some(conn) = process.conn {
                    let promises = matches!(*message, ToServer::Keeper(KeeperMessage::Promise(_)));
                    self.coverage.sometimes("promise given", promises);
                    let said = if let ToServer::Keeper(said) = &*message { Some(said.clone()) } else { None };
                    self.tell_server(number, conn, at, *message);
                    return self.sent(number, conn, said.as_ref());
                }
            }
            Effect::Show(event) => self.show(number, &event),
            Effect::Meet(meet) => self.meet(number, meet.map(|meet| *meet))?,
            Effect::PeerDial(dial, addr) => self.dial_peer(number, dial, addr),
            Effect::PeerAbandon(dial) => {
                if let Some((Some(conn), _)) = process.peer_dials.remove(&dial) {
                    self.net.close(at, conn, 0, false);
                }
            }
            Effect::PeerSend(line, message) => {
                if let Some(conn) = process.lines.get(&line).copied() {
                    let said = if let ToPeer::Keeper(said) = &*message { Some(said.clone()) } else { None };
                    self.tell_opponent(number, conn, at, *message);
                    return self.sent(number, conn, said.as_ref());
                }
            }
            Effect::PeerDrop(line) => {
                if let Some(conn) = process.lines.remove(&line) {
                    let end = self.end_at(number, conn);
                    self.net.close(at, conn, end, false);
                }
            }
        }
        Ok(())
    }

    /// Which end of a connection a device has.
    pub(super) fn end_at(&self, number: usize, conn: usize) -> usize {
        usize::from(self.net.conns[conn].ends[0].machine != number + 1)
    }

    /// One more message was sent.
    fn sent(&mut self, number: usize, conn: usize, said: Option<&KeeperMessage>) -> Result<(), Ends> {
        if said.is_some_and(|said| self.is_heard_by_one(number, conn, said)) {
            return Err(Ends(Death::PowerCut));
        }
        if self.devices[number].machine.counts_send() {
            self.struck_later(number + 1, "at-send");
            self.coverage.sometimes("client killed right after a send", true);
            return Err(Ends(Death::Killed));
        }
        Ok(())
    }

    /// A write took its time, or was the last.
    pub(super) fn written(&mut self, number: usize, written: Result<(), StoreError>) -> Result<(), Ends> {
        let at = self.now;
        let machine = &mut self.devices[number].machine;
        machine.busy_until = machine.busy_until.max(at) + machine.sync_ms;
        written.map_err(|error| {
            self.note(number + 1, || format!("cannot write: {error}"));
            self.coverage.sometimes("disk full at a client", matches!(error, StoreError::Full { .. }));
            Ends(Death::Failed)
        })
    }

    fn open_user(&mut self, number: usize, name: &Name) -> Result<(), Ends> {
        let (at, server) = (self.now, self.server.id);
        let device = &mut self.devices[number];
        let wall = device.machine.wall(at);
        let Some(process) = &mut device.process else { return Ok(()) };
        match process.store.open(server, name, wall) {
            Ok(opened) => self.opened(number, opened),
            Err(error @ OpenError::Store(_)) => return Err(self.not_opened(number, &error)),
            Err(error @ (OpenError::InUse(_) | OpenError::DeviceKey(_))) => {
                let word = if matches!(error, OpenError::InUse(_)) { "user-in-use" } else { "device-key-damaged" };
                let files = Err((word, error.to_string()));
                process.inbox.push_back(Input::UserOpened { name: name.clone(), files });
            }
        }
        Ok(())
    }

    fn dial_server(&mut self, number: usize, dial: DialId) {
        let at = self.now.max(self.devices[number].machine.busy_until);
        let device = &mut self.devices[number];
        device.shown.dials(at);
        let (from, to) = ((number + 1, device.machine.host), (0, Host::Server));
        let conn = self.net.dial(at, from, to, SERVER_PORT);
        if let Some(process) = &mut device.process {
            process.dials.insert(dial, conn);
            let at_once = u32::try_from(process.dials.len()).unwrap_or(u32::MAX);
            let most = self.figures.dials_at_once_max.entry(device.who.clone()).or_default();
            *most = at_once.max(*most);
        }
    }

    /// Something has come on a connection to the server.
    pub(super) fn hear_server(&mut self, number: usize, conn: usize, msg: Msg) {
        let at = self.now;
        let Some(process) = &mut self.devices[number].process else { return };
        let dial = process.dials.iter().find(|(_, known)| **known == conn).map(|(dial, _)| *dial);
        match (msg, dial) {
            (Msg::SynAck, Some(dial)) => {
                process.looking.1 = true;
                self.net.send(at, conn, 0, Msg::Tls);
                self.feed(number, Input::Reached(dial));
            }
            (Msg::TlsDone, Some(_)) => {
                let hello = process.player.hello(rejoin::wire::VERSION_MIN, rejoin::wire::VERSION_MAX);
                self.overhear_hello(number, &hello);
                self.net.send(at, conn, 0, Msg::Hello(hello));
            }
            (Msg::Down(message), Some(dial)) => self.welcomed(number, conn, dial, *message),
            (msg @ (Msg::Refused | Msg::Close), Some(dial)) => {
                process.dials.remove(&dial);
                self.coverage.sometimes("link lost in the TLS handshake", matches!(msg, Msg::Close));
                self.net.close(at, conn, 0, true);
                self.feed(number, Input::Failed { dial, why: "refused".to_owned() });
            }
            (Msg::Down(message), None) if process.conn == Some(conn) => {
                self.feed(number, Input::Message(message));
                self.lie_afterwards(number, conn);
            }
            (Msg::Close, None) if process.conn == Some(conn) => {
                process.conn = None;
                self.devices[number].shown.cause = "reset";
                self.net.close(at, conn, 0, true);
                self.feed(number, Input::Lost);
            }
            (_, _) => self.net.close(at, conn, 0, true),
        }
    }

    /// The server's first frame: whether it is the right server is known by its proof.
    fn welcomed(&mut self, number: usize, conn: usize, dial: DialId, message: rejoin::model::message::ToClient) {
        use rejoin::model::message::ToClient;
        use rejoin::model::sign::Signed;
        use rejoin::model::statement::Proof;

        let exporter = self.net.conns[conn].exporter;
        let Some(process) = &mut self.devices[number].process else { return };
        process.dials.remove(&dial);
        let ToClient::Welcome(welcome) = message else {
            self.net.close(self.now, conn, 0, false);
            return self.feed(number, Input::Failed { dial, why: "no welcome".to_owned() });
        };
        let proof = Signed { body: Proof { exporter }, signature: welcome.proof };
        assert!(proof.verify(&welcome.key, &self.server.id).is_ok(), "the server proves its id");
        process.looking.0 = u64::MAX;
        process.ready = Some((dial, conn));
        self.feed(number, Input::Ready { dial, welcome: Box::new(welcome), exporter });
    }
}

/// Whether there is a match to come back to, and a session to do it with.
fn is_in_a_match(files: &UserFiles) -> bool {
    let open = |records: &Vec<MatchRecord>| !records.iter().any(|record| matches!(record, MatchRecord::Verdict(_)));
    files.session.is_some() && files.matches.iter().any(open)
}

/// What of a command is worth a word in the trace.
fn words_of(typed: &rejoin::model::client::command::Typed) -> String {
    use rejoin::model::client::command::Typed;
    if let Typed::Send(words) = typed { words.join(",") } else { String::new() }
}
