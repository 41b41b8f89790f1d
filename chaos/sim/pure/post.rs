//! What comes to a machine: the kernel answers for itself, a paused or busy process hears later.

use rejoin::model::limits::FRAME_BYTES_MAX;
use rejoin::model::message::{ToClient, ToPeer, ToServer};

use super::net::{Arrival, Msg};
use super::world::{Task, Undo, World};

impl World<'_> {
    /// A message is there.
    pub(super) fn arrive(&mut self, arrival: Arrival) {
        let Arrival { conn, to, .. } = arrival;
        let end = self.net.conns[conn].ends[to];
        let (now, number) = (self.now, end.machine);
        let is_held = number == 0 && self.server.is_held;
        let machine = self.machine(number);
        if machine.off || (machine.gone && !machine.alive) {
            if matches!(arrival.msg, Msg::Syn) {
                self.net.ask_again(now, arrival);
            }
            return;
        }
        if matches!(arrival.msg, Msg::Syn) {
            return self.knock(conn, number, is_held);
        }
        if !end.open {
            if !matches!(arrival.msg, Msg::Close | Msg::Refused) && !end.is_mute {
                self.net.reset(now, conn, 1 - to);
            }
            return;
        }
        if !machine.alive {
            // Only what is held for the server's next process is heard.
            if number == 0 && matches!(arrival.msg, Msg::Tls) {
                machine.backlog.push_back(arrival);
            }
        } else if machine.paused > 0 || machine.busy_until > now || !machine.backlog.is_empty() {
            let wakes = machine.paused == 0 && machine.backlog.is_empty();
            let at = machine.busy_until;
            machine.backlog.push_back(arrival);
            if wakes {
                self.later(at, Task::Undo(Undo::Busy(number)));
            }
        } else {
            self.deliver(arrival);
        }
    }

    /// TCP asks whether something listens.
    fn knock(&mut self, conn: usize, number: usize, is_held: bool) {
        let port = self.net.conns[conn].port;
        let listens = match number.checked_sub(1) {
            None => self.server.machine.alive || is_held,
            Some(device) => self.devices[device].process.as_ref().is_some_and(|process| process.port == Some(port)),
        };
        self.hash_more(conn as u64, if listens { 1 } else { 2 });
        if listens {
            self.net.conns[conn].is_accepted = true;
            self.net.send(self.now, conn, 1, Msg::SynAck);
        } else {
            self.net.send(self.now, conn, 1, Msg::Refused);
            self.net.close(self.now, conn, 1, false);
        }
    }

    fn deliver(&mut self, arrival: Arrival) {
        self.hash_message(&arrival);
        self.trace_message(&arrival);
        let Arrival { conn, to, .. } = arrival;
        if to == 0 && self.hear_echo(conn, &arrival.msg) {
            return;
        }
        self.heed_silence(conn, to, &arrival.msg);
        let ends = self.net.conns[conn].ends;
        match (ends[to].machine.checked_sub(1), ends[1].machine) {
            (None, _) => self.reach_server(arrival),
            (Some(device), 0) => self.hear_server(device, conn, arrival.msg),
            (Some(device), _) => self.hear_peer(device, conn, to, arrival.msg),
        }
    }

    /// A process gets time again: it hears the server before it finds silence, and the opponent after that.
    pub(super) fn wake(&mut self, number: usize) {
        let now = self.now;
        let machine = self.machine(number);
        if machine.paused > 0 || !machine.alive {
            return;
        }
        if machine.busy_until > now {
            let at = machine.busy_until;
            return self.later(at, Task::Undo(Undo::Busy(number)));
        }
        let mut waiting: Vec<Arrival> = machine.backlog.drain(..).collect();
        let life = machine.life;
        let direct = |arrival: &Arrival| self.net.conns[arrival.conn].ends[1].machine != 0;
        let peers: Vec<Arrival> = waiting.extract_if(.., |arrival| number > 0 && direct(arrival)).collect();
        waiting.into_iter().for_each(|arrival| self.arrive_again(number, life, arrival));
        if number > 0 && self.machine(number).life == life && self.devices[number - 1].due <= now {
            self.device_timer(number - 1);
        }
        peers.into_iter().for_each(|arrival| self.arrive_again(number, life, arrival));
    }

    fn arrive_again(&mut self, number: usize, life: u64, arrival: Arrival) {
        let machine = self.machine(number);
        if machine.life == life && machine.alive {
            self.arrive(arrival);
        }
    }

    /// Every message but heartbeats, as it arrives.
    fn trace_message(&mut self, arrival: &Arrival) {
        let beat = match &arrival.msg {
            Msg::Up(message) => matches!(**message, ToServer::Ping(_)),
            Msg::Down(message) => matches!(**message, ToClient::Pong(_)),
            Msg::Peer(message) => matches!(**message, ToPeer::Echo(_) | ToPeer::Echoed(_)),
            _ => false,
        };
        if beat || self.trace.is_none() {
            return;
        }
        let to = self.net.conns[arrival.conn].ends[arrival.to].machine;
        let said: String = format!("{:?}", arrival.msg).chars().take(160).collect();
        self.note(to, || format!("  <- {:>3} {said}", arrival.conn));
    }

    /// What passes the network makes the world's hash; a message that fits no frame is no message.
    fn hash_message(&mut self, arrival: &Arrival) {
        let place = (arrival.conn as u64) << 4 | arrival.to as u64;
        let mut bytes = std::mem::take(&mut self.bytes);
        let beat = |kind: u64, number: u32| (kind << 32) | u64::from(number);
        let of = match &arrival.msg {
            // Most of what passes are heartbeats.
            Msg::Up(message) => match &**message {
                ToServer::Ping(number) => Ok(beat(1, *number)),
                other => Err(postcard::to_slice(other, &mut bytes)),
            },
            Msg::Down(message) => match &**message {
                ToClient::Pong(number) => Ok(beat(2, *number)),
                other => Err(postcard::to_slice(other, &mut bytes)),
            },
            Msg::Peer(message) => match &**message {
                ToPeer::Echo(number) => Ok(beat(3, *number)),
                ToPeer::Echoed(number) => Ok(beat(4, *number)),
                other => Err(postcard::to_slice(other, &mut bytes)),
            },
            Msg::Hello(hello) => Err(postcard::to_slice(hello, &mut bytes)),
            Msg::PeerKey(key) | Msg::PeerProof(key) => Err(postcard::to_slice(key, &mut bytes)),
            Msg::Syn => Ok(beat(5, 0)),
            Msg::SynAck => Ok(beat(6, 0)),
            Msg::Refused => Ok(beat(7, 0)),
            Msg::Tls => Ok(beat(8, 0)),
            Msg::TlsDone => Ok(beat(9, 0)),
            Msg::PeerDone => Ok(beat(10, 0)),
            Msg::Close => Ok(beat(11, 0)),
        };
        let said = match of {
            Ok(said) => said,
            Err(Ok(encoded)) => (encoded.len() as u64) << 32 | u64::from(crc32c::crc32c(encoded)),
            Err(Err(error)) => {
                let why = format!("a message of more than {FRAME_BYTES_MAX} bytes: {error}");
                self.violate("I13", why);
                0
            }
        };
        self.bytes = bytes;
        self.hash_more(place, said);
    }

    /// Something more that happened.
    pub(super) fn hash_more(&mut self, place: u64, said: u64) {
        let mixed = self.hash ^ self.now.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place.rotate_left(40) ^ said;
        self.hash = mixed.wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
    }
}
