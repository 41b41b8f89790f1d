//! The direct path: listening, dialling, and both keys checked as TLS between players does.

use std::net::SocketAddr;

use rejoin::model::client::peer::{PeerConn, PeerDial};
use rejoin::model::client::player::{Input, Meet};
use rejoin::model::key::PublicKey;

use super::device::Ends;
use super::net::Msg;
use super::world::World;

/// Where a client listens that has not listened before.
const FIRST_PORT: u64 = 40_000;
const PORTS: u64 = 20_000;
/// Strangers and opponents whose handshake is under way.
const HANDSHAKES_MAX: usize = 8;

impl World<'_> {
    /// Who may be at the other end from now on. The first time this client begins to listen.
    pub(super) fn meet(&mut self, number: usize, meet: Option<Meet>) -> Result<(), Ends> {
        let at = self.now;
        let Some(process) = &mut self.devices[number].process else { return Ok(()) };
        for conn in std::mem::take(&mut process.greeting) {
            self.net.close(at, conn, 1, false);
        }
        process.meet = meet;
        if process.meet.is_none() || process.port.is_some() {
            return Ok(());
        }
        let fresh = self.chance.between(FIRST_PORT, FIRST_PORT + PORTS);
        let fresh = u16::try_from(fresh).expect("ports are small");
        let (port, kept) = process.listen(fresh);
        process.port = Some(port);
        if self.devices[number].machine.disk.is_dead() {
            self.written(number, kept)?;
        }
        self.reachable(number);
        Ok(())
    }

    /// The player hears where it can be reached, if it listens.
    pub(super) fn reachable(&mut self, number: usize) {
        let device = &mut self.devices[number];
        let addr = device.addr;
        if let Some(process) = &mut device.process
            && let Some(port) = process.port
        {
            process.push(Input::Reachable(vec![SocketAddr::new(addr, port)]));
        }
    }

    pub(super) fn dial_peer(&mut self, number: usize, dial: PeerDial, to: SocketAddr) {
        let other = self.devices.iter().position(|device| device.addr == to.ip());
        let at = self.now.max(self.devices[number].machine.busy_until);
        let from = (number + 1, self.devices[number].machine.host);
        let Some(meet) = self.devices[number].process.as_ref().and_then(|process| process.meet.clone()) else { return };
        // An address that nobody has any more does not answer.
        let conn = other.map(|other| self.net.dial(at, from, (other + 1, self.devices[other].machine.host), to.port()));
        if let Some(process) = &mut self.devices[number].process {
            process.peer_dials.insert(dial, (conn, meet));
        }
    }

    /// Something has come on a connection between players, to the end that has dialled or was dialled.
    pub(super) fn hear_peer(&mut self, number: usize, conn: usize, end: usize, msg: Msg) {
        let Some(process) = &mut self.devices[number].process else { return };
        let line = process.lines.iter().find(|(_, known)| **known == conn).map(|(line, _)| *line);
        match (msg, line) {
            (Msg::Peer(message), Some(line)) => self.feed(number, Input::PeerHeard { conn: line, message }),
            (Msg::Close, Some(line)) => {
                process.lines.remove(&line);
                self.net.close(self.now, conn, end, true);
                self.feed(number, Input::PeerLost(line));
            }
            (msg, None) if end == 0 => self.hear_dialled(number, conn, msg),
            (msg, _) => self.hear_stranger(number, conn, msg),
        }
    }

    /// On a connection that this device is dialling.
    fn hear_dialled(&mut self, number: usize, conn: usize, msg: Msg) {
        let at = self.now;
        let Some(process) = &mut self.devices[number].process else { return };
        let known = process.peer_dials.iter().find(|(_, (known, _))| *known == Some(conn));
        let Some((dial, (_, meet))) = known.map(|(dial, known)| (*dial, known.clone())) else {
            return self.net.close(at, conn, 0, true);
        };
        match msg {
            Msg::SynAck => self.net.send(at, conn, 0, Msg::PeerKey(meet.mine.public())),
            Msg::PeerProof(key) if key == meet.theirs => {
                process.peer_dials.remove(&dial);
                self.net.send(at, conn, 0, Msg::PeerDone);
                self.open_line(number, conn, Some(dial));
            }
            _ => {
                process.peer_dials.remove(&dial);
                self.net.close(at, conn, 0, false);
                self.feed(number, Input::PeerFailed(dial));
            }
        }
    }

    /// On a connection that somebody else has dialled.
    fn hear_stranger(&mut self, number: usize, conn: usize, msg: Msg) {
        let at = self.now;
        let Some(process) = &mut self.devices[number].process else { return };
        match msg {
            Msg::PeerKey(key) => {
                let mine: Option<PublicKey> =
                    process.meet.as_ref().filter(|meet| meet.theirs == key).map(|meet| meet.mine.public());
                match mine.filter(|_| process.greeting.len() < HANDSHAKES_MAX) {
                    Some(mine) => {
                        process.greeting.insert(conn);
                        self.net.send(at, conn, 1, Msg::PeerProof(mine));
                    }
                    None => self.net.close(at, conn, 1, false),
                }
            }
            Msg::PeerDone if process.greeting.remove(&conn) => self.open_line(number, conn, None),
            _ => {
                process.greeting.remove(&conn);
                self.net.close(at, conn, 1, false);
            }
        }
    }

    fn open_line(&mut self, number: usize, conn: usize, dial: Option<PeerDial>) {
        let Some(process) = &mut self.devices[number].process else { return };
        process.next += 1;
        let line = PeerConn(process.next);
        process.lines.insert(line, conn);
        let most = process.lines.len() as u64;
        self.lines_max = self.lines_max.max(most);
        self.feed(number, Input::PeerOpened { conn: line, dial });
    }
}
