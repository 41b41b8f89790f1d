//! The connections of the server, as its connection tasks serve them: the real checks of signatures, resumes, limits,
//! silence.

use std::collections::VecDeque;
use std::net::IpAddr;

use rejoin::model::engine::{Effect, Hashed, Hashing, Input};
use rejoin::model::event::LinkEnd;
use rejoin::model::id::{ConnId, SessionId};
use rejoin::model::key::PublicKey;
use rejoin::model::limits::FIRST_FRAME_MAX;
use rejoin::model::message::{
    CloseReason, Entries, Have, Hello, KeeperMessage, ResumeRequest, ToClient, ToServer, Welcome,
};
use rejoin::model::pulse::Silence;
use rejoin::model::refusal::Refusal;
use rejoin::model::sign::{Signed, Verified};
use rejoin::model::statement::{Proof, Resume};
use rejoin::model::time::{Now, ms};
use rejoin::server::checks::{self, Checks};
use rejoin::server::hasher::FakeHasher;
use rejoin::wire;

use super::machine::Death;
use super::net::{Arrival, Msg};
use super::world::{Task, World};

/// A connection that is through TLS.
pub(super) struct Guest {
    conn: usize,
    ip: IpAddr,
    /// What it has said first; none yet, and the engine does not know it.
    hello: Option<Hello>,
    is_open: bool,
    nonce: [u8; 16],
    resume: Option<ResumeRequest>,
    checks: Checks,
    live: bool,
    session: Option<SessionId>,
    pub(super) silence: Silence,
    /// Since when its player is in a match.
    strict_since: Option<u64>,
    /// What waits until the engine has dealt with what came before.
    inbox: VecDeque<ToServer>,
    turns: usize,
}

/// Messages of one connection that wait for the engine.
const TURNS_MAX: usize = 16;

impl World<'_> {
    /// Something has come to the server's machine.
    pub(super) fn reach_server(&mut self, arrival: Arrival) {
        let conn = arrival.conn;
        let id = ConnId(conn as u64 + 1);
        match arrival.msg {
            Msg::Tls => self.shake_hands(conn),
            Msg::Hello(hello) => {
                let Some(guest) = self.guest(id) else { return };
                guest.hello = Some(hello);
                if self.serves() {
                    self.let_in(conn);
                } else if let Some(process) = &mut self.server.process {
                    self.coverage.sometimes("hello before the start was on disk", true);
                    process.knocking.push(conn);
                }
            }
            Msg::Up(message) => {
                let now = self.server.machine.now(self.now);
                let Some(guest) = self.guest(id) else { return };
                guest.silence.heard(now);
                guest.inbox.push_back(*message);
                self.pump(id);
            }
            Msg::Close => {
                self.net.close(self.now, conn, 1, true);
                let was_open = self.server.process.as_mut().and_then(|process| process.guests.remove(&id));
                if was_open.is_some_and(|guest| guest.is_open) {
                    self.tell(Input::Closed { conn: id, end: LinkEnd::Reset });
                }
            }
            Msg::Syn
            | Msg::SynAck
            | Msg::Refused
            | Msg::TlsDone
            | Msg::Down(_)
            | Msg::PeerKey(_)
            | Msg::PeerProof(_)
            | Msg::PeerDone
            | Msg::Peer(_) => {}
        }
        self.server_waits();
    }

    fn guest(&mut self, id: ConnId) -> Option<&mut Guest> {
        self.server.process.as_mut()?.guests.get_mut(&id)
    }

    pub(super) fn guest_is_strict_since(&self, conn: usize) -> Option<u64> {
        self.server.process.as_ref()?.guests.get(&ConnId(conn as u64 + 1))?.strict_since
    }

    fn shake_hands(&mut self, conn: usize) {
        let id = ConnId(conn as u64 + 1);
        let ip = self.devices[self.net.conns[conn].ends[0].machine - 1].addr;
        let now = self.server.machine.now(self.now);
        let guest = Guest {
            conn,
            ip,
            hello: None,
            is_open: false,
            nonce: self.chance.bytes(),
            resume: None,
            checks: Checks::new(id, self.server.key.public()),
            live: false,
            session: None,
            silence: Silence::new(now),
            strict_since: None,
            inbox: VecDeque::new(),
            turns: 0,
        };
        let life = self.server.machine.life;
        let Some(process) = &mut self.server.process else { return };
        process.guests.insert(id, guest);
        self.later(self.now + ms(FIRST_FRAME_MAX), Task::Knocked { life, conn: id });
        self.net.send(self.now, conn, 1, Msg::TlsDone);
    }

    /// Who has not said hello by then is turned away.
    pub(super) fn knocked(&mut self, life: u64, id: ConnId) {
        if self.server.machine.life == life && self.guest(id).is_some_and(|guest| guest.hello.is_none()) {
            self.turn_away(id, CloseReason::Silent);
        }
    }

    /// The engine hears of a connection.
    pub(super) fn let_in(&mut self, conn: usize) {
        let id = ConnId(conn as u64 + 1);
        let exporter = self.net.conns[conn].exporter;
        let Some(guest) = self.guest(id) else { return };
        let Some(hello) = guest.hello.clone() else { return };
        if hello.min > wire::VERSION_MAX || hello.max < wire::VERSION_MIN {
            return self.turn_away(id, CloseReason::Malformed);
        }
        guest.is_open = true;
        let (nonce, ip) = (guest.nonce, guest.ip);
        let proof = Signed::by(&self.server.key, &self.server.id, Proof { exporter }).signature;
        let welcome = Welcome { version: wire::VERSION_MAX, key: self.server.key.public(), proof, nonce };
        self.answer(id, ToClient::Welcome(welcome));
        self.tell(Input::Opened { conn: id, ip, run: hello.run });
    }

    /// What waits of a connection, as far as its turns go.
    fn pump(&mut self, id: ConnId) {
        while let Some(guest) = self.guest(id)
            && guest.is_open
            && guest.turns < TURNS_MAX
            && let Some(message) = guest.inbox.pop_front()
        {
            self.take_message(id, message);
        }
    }

    /// One message, as the connection's task takes it.
    fn take_message(&mut self, conn: ConnId, message: ToServer) {
        let Some(guest) = self.guest(conn) else { return };
        let input = match message {
            ToServer::Hello(_) => return self.malformed(conn),
            ToServer::Ping(number) => return self.answer(conn, ToClient::Pong(number)),
            ToServer::Pong(_) | ToServer::Outage(_) => return,
            ToServer::Resume(request) => {
                guest.resume = Some(request.clone());
                Input::Resume { conn, request }
            }
            ToServer::Request { seq, command } => Input::Request { conn, seq, command },
            ToServer::Keeper(
                KeeperMessage::Have(Have { match_id, .. }) | KeeperMessage::Entries(Entries { match_id, .. }),
            ) if !guest.live => {
                let refusal = Refusal::NotAPlayer;
                return self.answer(conn, ToClient::EntryRefused { match_id, ply: 0, refusal });
            }
            ToServer::Keeper(_) | ToServer::Candidates(_) | ToServer::Stored { .. } if !guest.live => return,
            ToServer::Keeper(message) => match guest.checks.keeper(message) {
                Some(input) => input,
                None => return,
            },
            ToServer::Candidates(candidates) => Input::Candidates { conn, candidates },
            ToServer::Stored { match_id, ruling } => Input::Stored { conn, match_id, ruling },
        };
        if matches!(input, Input::BadEntry { .. }) {
            self.coverage.sometimes("entry with a wrong signature refused", true);
        }
        self.heed_duplicate(&input);
        guest_takes_turn(self, conn);
        self.tell(input);
        if let Some(process) = &mut self.server.process {
            let after = process.engine.lsns().0;
            process.turns.push_back((after, conn));
            self.end_turns();
        }
    }

    /// Whether somebody delivers what the server holds already.
    fn heed_duplicate(&mut self, input: &Input) {
        let Input::Entries { match_id, entries, .. } = input else { return };
        let of = self.server.process.as_ref().and_then(|process| process.engine.state().game(*match_id));
        let known = |of: &rejoin::model::game::Match| {
            let same = |entry: &Verified<rejoin::model::statement::Entry>| {
                of.evidence.chain.entry(entry.body().ply).as_ref() == Some(entry)
            };
            entries.last().is_some_and(same)
        };
        self.coverage.sometimes("duplicate entry taken as the same", of.is_some_and(known));
    }

    /// Connections may say more once the replies to what they said have gone to them.
    pub(super) fn end_turns(&mut self) {
        let mut freed = Vec::new();
        if let Some(process) = &mut self.server.process {
            let flushed = process.engine.lsns().1;
            while let Some((_, conn)) = process.turns.pop_front_if(|(after, _)| *after <= flushed) {
                if let Some(guest) = process.guests.get_mut(&conn) {
                    guest.turns = guest.turns.saturating_sub(1);
                    freed.extend((!guest.inbox.is_empty()).then_some(conn));
                }
            }
        }
        freed.into_iter().for_each(|conn| self.pump(conn));
    }

    fn malformed(&mut self, conn: ConnId) {
        self.turn_away(conn, CloseReason::Malformed);
        self.drive();
    }

    /// Says why, closes, and tells the engine.
    fn turn_away(&mut self, id: ConnId, why: CloseReason) {
        let Some(process) = &mut self.server.process else { return };
        let Some(guest) = process.guests.remove(&id) else { return };
        let taken = why == CloseReason::Superseded;
        self.coverage.sometimes("session taken over by a newer connection", taken);
        let closing = ToClient::Closing { why, retry_after_ms: 0 };
        self.transmit(guest.conn, closing);
        self.net.close(self.now, guest.conn, 1, false);
        let end = if why == CloseReason::Silent { LinkEnd::Silence } else { LinkEnd::Ours };
        if guest.is_open
            && let Some(process) = &mut self.server.process
        {
            process.inputs.push_back(Input::Closed { conn: id, end });
        }
    }

    /// Gives up the connections that have been silent for too long.
    pub(super) fn drop_silent(&mut self, now: Now) {
        let Some(process) = &self.server.process else { return };
        let silent =
            process.guests.iter().filter(|(_, guest)| checks::silent_at(&guest.silence) <= now).map(|(id, _)| *id);
        for id in silent.collect::<Vec<_>>() {
            self.note(0, || format!("silence on {}", id.0));
            self.turn_away(id, CloseReason::Silent);
        }
    }

    /// Does what the engine wants, in its order.
    pub(super) fn drain_engine(&mut self) {
        while let Some(effect) = self.server.process.as_mut().and_then(|process| process.engine.poll_effect()) {
            match effect {
                Effect::Append(facts) => self.append(facts),
                Effect::Hash { job, hashing } => self.hash_password(job, hashing),
                Effect::CheckResume { conn, device } => self.check_resume(conn, &device),
                Effect::Send { conn, message } => self.seal_and_send(conn, *message),
                Effect::Pace { conn, urgent } => {
                    let (at, now) = (self.now, self.server.machine.now(self.now));
                    if let Some(guest) = self.guest(conn) {
                        guest.strict_since = urgent.then(|| guest.strict_since.unwrap_or(at));
                        guest.silence.set_urgent(now, urgent);
                    }
                }
                Effect::Close { conn, why } => self.turn_away(conn, why),
                Effect::Log(event) => self.heed_log(&event),
                // No operator is simulated.
                Effect::Told { .. } | Effect::Over => {}
            }
        }
    }

    fn hash_password(&mut self, job: rejoin::model::engine::JobId, hashing: Hashing) {
        let right = |typed: &_, against: &_| FakeHasher::mark(typed) == *against;
        let done = match hashing {
            Hashing::Make(password) => Hashed::Made(FakeHasher::mark(&password)),
            Hashing::Verify { password, against: Some(against) } if right(&password, &against) => Hashed::Right,
            Hashing::Change { old, against, new } if right(&old, &against) => Hashed::Made(FakeHasher::mark(&new)),
            Hashing::Verify { .. } | Hashing::Change { .. } => Hashed::Wrong,
        };
        let takes = self.chance.between(3, 25);
        let life = self.server.machine.life;
        let Some(process) = &mut self.server.process else { return };
        process.hashes_until = process.hashes_until.max(self.now) + takes;
        let at = process.hashes_until;
        self.later(at, Task::Hashed { life, job, done });
    }

    fn check_resume(&mut self, id: ConnId, device: &PublicKey) {
        let server = self.server.id;
        let Some(guest) = self.server.process.as_mut().and_then(|process| process.guests.get_mut(&id)) else { return };
        let exporter = self.net.conns[guest.conn].exporter;
        let good = guest.resume.take().is_some_and(|request| {
            let body = Resume { session: request.session, nonce: guest.nonce, exporter };
            Signed { body, signature: request.signature }.verify(device, &server).is_ok()
        });
        if let Some(process) = &mut self.server.process {
            process.inputs.push_back(Input::ResumeChecked { conn: id, good });
        }
    }

    /// Signs what is the server's to sign, and sends.
    fn seal_and_send(&mut self, id: ConnId, mut message: ToClient) {
        message.seal(&self.server.key, &self.server.id);
        let Some(guest) = self.guest(id) else { return };
        guest.checks.sent(&message);
        if let ToClient::Live(view) = &message {
            self.fence(id, view.session);
        }
        self.answer(id, message);
    }

    /// A connection has a session: by now the one that had it before is closed.
    fn fence(&mut self, id: ConnId, session: SessionId) {
        let Some(process) = &mut self.server.process else { return };
        for (other, guest) in &mut process.guests {
            if *other == id {
                (guest.live, guest.session) = (true, Some(session));
            } else if guest.session == Some(session) {
                self.figures.doubles.push(format!("{session:?} is live on {} and on {}", other.0, id.0));
            }
        }
    }

    /// What the connection's task says.
    fn answer(&mut self, id: ConnId, message: ToClient) {
        if let Some(conn) = self.guest(id).map(|guest| guest.conn) {
            self.transmit(conn, message);
        }
    }

    fn transmit(&mut self, conn: usize, message: ToClient) {
        let at = self.now.max(self.server.machine.busy_until);
        self.net.send(at, conn, 1, Msg::Down(Box::new(message)));
        if self.server.machine.counts_send() {
            self.struck_later(0, "at-send");
            self.coverage.sometimes("server killed right after a send", true);
            let back = self.server.machine.back_after_ms;
            self.end(0, Death::Killed, back);
        }
    }
}

fn guest_takes_turn(world: &mut World<'_>, id: ConnId) {
    if let Some(guest) = world.guest(id) {
        guest.turns += 1;
    }
}
