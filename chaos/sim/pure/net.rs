//! The network: connections that keep their order, and the rules that say what becomes of a message.
//!
//! What must hold: on one connection and in one direction messages arrive in the order they were sent, or not at all
//! from some point on. What a cut link keeps back is sent again when it is whole, as TCP does.

use std::collections::{BTreeMap, VecDeque};

use rejoin::model::key::PublicKey;
use rejoin::model::message::{Hello, ToClient, ToPeer, ToServer};

use super::entropy::Chance;
use crate::sim::plan::Host;

/// What travels.
#[derive(Clone, Debug)]
pub(super) enum Msg {
    /// TCP asks.
    Syn,
    /// Something listens.
    SynAck,
    /// Nothing does.
    Refused,
    /// The first flight of TLS, to the server.
    Tls,
    /// The server's flight.
    TlsDone,
    /// The first frame.
    Hello(Hello),
    /// To the server.
    Up(Box<ToServer>),
    /// To a client.
    Down(Box<ToClient>),
    /// A player who dials shows its key.
    PeerKey(PublicKey),
    /// The one who was dialled shows its own.
    PeerProof(PublicKey),
    /// The one who dials is content.
    PeerDone,
    /// Between players.
    Peer(Box<ToPeer>),
    /// The other end has closed, or is gone.
    Close,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Number of the machine: 0 is the server's.
    pub(super) machine: usize,
    pub(super) host: Host,
    /// Whether a process there still has it.
    pub(super) open: bool,
    /// Nobody answers there any more.
    pub(super) is_mute: bool,
    /// What was sent later than this never was.
    closed_at: u64,
    /// When the newest message to this end arrives.
    last: u64,
}

/// A connection; its first end has dialled.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) ends: [End; 2],
    /// Whether the end that was dialled has answered.
    pub(super) is_accepted: bool,
    /// Which port was dialled.
    pub(super) port: u16,
    /// What TLS makes of it.
    pub(super) exporter: [u8; 32],
    /// When something last came to each end.
    pub(super) heard: [u64; 2],
    /// What a link keeps back, to each end, with the time it was sent.
    stuck: [VecDeque<(u64, Msg)>; 2],
}

/// Something that comes to an end of a connection.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) conn: usize,
    /// Which end it comes to.
    pub(super) to: usize,
    pub(super) sent_ms: u64,
    pub(super) msg: Msg,
    /// When it would arrive if no storm and no slow link kept it.
    undelayed_ms: u64,
}

/// Whom a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    One(Host),
    AnyPlayer,
    Any,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Cut,
    Hold,
    /// Up to so many milliseconds more.
    Storm(u64),
    /// So many milliseconds more.
    Slow(u64),
    /// Of 1,000 messages, so many are lost.
    Loss(u64),
}

/// What becomes of messages from one to another, one way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) id: u64,
    pub(super) from: Who,
    pub(super) to: Who,
    pub(super) what: What,
}

/// The network.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) conns: Vec<Conn>,
    pub(super) rules: Vec<Rule>,
    latency_ms: (u64, u64),
    chance: Chance,
    wire: BTreeMap<(u64, u64), Arrival>,
    sent: u64,
    /// Connections that a lost message has broken, for coverage.
    pub(super) lost: u64,
}

/// The longest wait before TCP sends again, once a link is whole.
const AGAIN_MAX_MS: u64 = 400;

impl Who {
    fn is(self, host: Host) -> bool {
        match self {
            Self::One(one) => one == host,
            Self::AnyPlayer => host != Host::Server,
            Self::Any => true,
        }
    }
}

impl Net {
    pub(super) fn new(latency_ms: (u64, u64), chance: Chance) -> Self {
        let (conns, rules, wire) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { conns, rules, latency_ms, chance, wire, sent: 0, lost: 0 }
    }

    /// A new connection, and its first message.
    pub(super) fn dial(&mut self, at_ms: u64, from: (usize, Host), to: (usize, Host), port: u16) -> usize {
        let end = |(machine, host): (usize, Host)| End {
            machine,
            host,
            open: true,
            is_mute: false,
            closed_at: u64::MAX,
            last: 0,
        };
        let exporter = self.chance.bytes();
        self.conns.push(Conn {
            ends: [end(from), end(to)],
            is_accepted: false,
            port,
            exporter,
            heard: [at_ms; 2],
            stuck: Default::default(),
        });
        let conn = self.conns.len() - 1;
        self.send(at_ms, conn, 0, Msg::Syn);
        conn
    }

    /// Sends from one end of a connection, if it is open there.
    pub(super) fn send(&mut self, at_ms: u64, conn: usize, from: usize, msg: Msg) {
        let ends = self.conns[conn].ends;
        if !ends[from].open {
            return;
        }
        let (here, there) = (ends[from].host, ends[1 - from].host);
        let loss =
            self.rules_for(here, there).find_map(|what| if let What::Loss(much) = what { Some(much) } else { None });
        if loss.is_some_and(|much| self.chance.next() % 1000 < much) {
            self.lost += 1;
            return self.break_off(at_ms, conn);
        }
        self.pass(at_ms, conn, 1 - from, msg, at_ms);
    }

    /// A connection breaks; both ends hear of it.
    pub(super) fn break_off(&mut self, at_ms: u64, conn: usize) {
        for to in 0..2 {
            self.pass(at_ms, conn, to, Msg::Close, at_ms);
        }
    }

    /// Closes an end: what it has sent still goes out, and then the other hears of it, unless it is done silently.
    pub(super) fn close(&mut self, at_ms: u64, conn: usize, end: usize, silently: bool) {
        if !self.conns[conn].ends[end].open {
            return;
        }
        if !silently {
            self.pass(at_ms, conn, 1 - end, Msg::Close, at_ms);
        }
        let end = &mut self.conns[conn].ends[end];
        (end.open, end.closed_at) = (false, at_ms);
    }

    /// A machine without power sends nothing again that TCP had not delivered.
    pub(super) fn forget_unsent(&mut self, conn: usize, end: usize) {
        self.conns[conn].stuck[1 - end].clear();
    }

    /// Somebody at the other end answers that there is no such connection.
    pub(super) fn reset(&mut self, at_ms: u64, conn: usize, to: usize) {
        self.pass(at_ms, conn, to, Msg::Close, at_ms);
    }

    fn rules_for(&self, from: Host, to: Host) -> impl Iterator<Item = What> + '_ {
        self.rules.iter().filter(move |rule| rule.from.is(from) && rule.to.is(to)).map(|rule| rule.what)
    }

    /// Whether something keeps messages back.
    pub(super) fn is_cut(&self, from: Host, to: Host) -> bool {
        self.rules_for(from, to).any(|what| matches!(what, What::Cut | What::Hold))
    }

    fn pass(&mut self, at_ms: u64, conn: usize, to: usize, msg: Msg, sent_ms: u64) {
        let [here, there] = [self.conns[conn].ends[1 - to].host, self.conns[conn].ends[to].host];
        if !self.conns[conn].stuck[to].is_empty() || self.is_cut(here, there) {
            self.conns[conn].stuck[to].push_back((sent_ms, msg));
            return;
        }
        let takes = self.chance.between(self.latency_ms.0, self.latency_ms.1);
        let mut more = (0, 0);
        for what in self.rules_for(here, there) {
            match what {
                What::Storm(ms) => more.0 += ms,
                What::Slow(ms) => more.1 += ms,
                What::Cut | What::Hold | What::Loss(_) => {}
            }
        }
        let mut delay = more.1;
        if more.0 > 0 {
            delay += self.chance.between(0, more.0);
        }
        self.put(delay, Arrival { conn, to, sent_ms, msg, undelayed_ms: at_ms + takes });
    }

    /// It is on its way, and arrives so many milliseconds later than it could, after what was sent before it.
    fn put(&mut self, delay_ms: u64, arrival: Arrival) {
        let end = &mut self.conns[arrival.conn].ends[arrival.to];
        end.last = end.last.max(arrival.undelayed_ms + delay_ms);
        self.sent += 1;
        self.wire.insert((end.last, self.sent), arrival);
    }

    /// Storms and slow links are over, also for what they keep on its way: it arrives now, unless it would not be here yet
    /// without them.
    pub(super) fn calm(&mut self, at_ms: u64) {
        for end in self.conns.iter_mut().flat_map(|conn| &mut conn.ends) {
            end.last = end.last.min(at_ms);
        }
        for (_, arrival) in std::mem::take(&mut self.wire) {
            let late_ms = at_ms.saturating_sub(arrival.undelayed_ms);
            self.put(late_ms, arrival);
        }
    }

    /// Undoes a rule; what it alone kept back is on its way.
    pub(super) fn undo(&mut self, at_ms: u64, id: u64) {
        let held = self.rules.iter().any(|rule| rule.id == id && rule.what == What::Hold);
        self.rules.retain(|rule| rule.id != id);
        for conn in 0..self.conns.len() {
            for to in 0..2 {
                let Some((since, _)) = self.conns[conn].stuck[to].front() else { continue };
                let [here, there] = [self.conns[conn].ends[1 - to].host, self.conns[conn].ends[to].host];
                if self.is_cut(here, there) {
                    continue;
                }
                let since = *since;
                let waited = at_ms.saturating_sub(since).min(AGAIN_MAX_MS);
                let asks = matches!(self.conns[conn].stuck[to].front(), Some((_, Msg::Syn | Msg::SynAck)));
                let again = match (held, asks) {
                    (true, _) => at_ms,
                    (false, true) => asked_again(since, at_ms).unwrap_or(u64::MAX / 2),
                    (false, false) => at_ms + self.chance.between(0, waited),
                };
                let takes = self.chance.between(self.latency_ms.0, self.latency_ms.1);
                for (sent_ms, msg) in std::mem::take(&mut self.conns[conn].stuck[to]) {
                    self.put(0, Arrival { conn, to, sent_ms, msg, undelayed_ms: again + takes });
                }
            }
        }
    }

    /// A machine without power has not heard that somebody dials: it is asked again.
    pub(super) fn ask_again(&mut self, at_ms: u64, arrival: Arrival) {
        let sender = &self.conns[arrival.conn].ends[1 - arrival.to];
        if let Some(again) = asked_again(arrival.sent_ms, at_ms + 1).filter(|_| sender.open) {
            self.put(0, Arrival { undelayed_ms: again, ..arrival });
        }
    }

    /// When the next message arrives.
    pub(super) fn due(&self) -> u64 {
        self.wire.first_key_value().map_or(u64::MAX, |((at, _), _)| *at)
    }

    /// The next message, if it was really sent.
    pub(super) fn take(&mut self) -> Option<Arrival> {
        let (_, arrival) = self.wire.pop_first()?;
        let sender = &self.conns[arrival.conn].ends[1 - arrival.to];
        let is_reset = matches!(arrival.msg, Msg::Close);
        (is_reset || arrival.sent_ms <= sender.closed_at).then_some(arrival)
    }

    /// The connections of a machine that are open there, and which end of them it has.
    pub(super) fn of(&self, machine: usize) -> Vec<(usize, usize)> {
        let ends = |(conn, of): (usize, &Conn)| {
            let at = |end: usize| (of.ends[end].machine == machine && of.ends[end].open).then_some((conn, end));
            at(0).or_else(|| at(1).filter(|_| of.is_accepted))
        };
        self.conns.iter().enumerate().filter_map(ends).collect()
    }

    /// The open connections between two hosts.
    pub(super) fn between(&self, one: Host, other: Host) -> Vec<usize> {
        let fits = |of: &Conn| {
            let hosts = [of.ends[0].host, of.ends[1].host];
            (hosts == [one, other] || hosts == [other, one]) && of.ends.iter().any(|end| end.open)
        };
        (0..self.conns.len()).filter(|conn| fits(&self.conns[*conn])).collect()
    }
}

/// When TCP asks again for a connection, as Linux does.
fn asked_again(since_ms: u64, at_ms: u64) -> Option<u64> {
    [1_000, 3_000, 7_000].into_iter().map(|later| since_ms + later).find(|again| *again >= at_ms)
}
