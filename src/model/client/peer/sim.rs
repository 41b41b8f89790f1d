//! Two peers and the net between them, in virtual time: addresses that refuse or hang, latencies, partitions, resets,
//! connections dead in one direction, crashes that the other side hears of or not. Every step is drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{Effect, Frame, Peer, PeerConn, PeerDial};
use crate::model::limits::{PEER_CONNS_MAX, PEER_DIALS_MAX};
use crate::model::time::Now;

/// The longest latency in one direction, without jitter.
const LATENCY_MAX: u64 = 40;
/// How long the faults may go on.
const FAULTS_FOR: u64 = 40_000;
/// After the last fault both are up on one connection within this.
const HEALED_WITHIN: u64 = 2_000;
/// How long it then must stay so.
const STAYS_FOR: u64 = 60_000;
/// Dials of one side in any minute, whatever happens.
const DIALS_PER_MINUTE: usize = 200;

#[test]
fn both_are_on_the_same_connection_within_two_seconds_of_the_last_fault_and_stay_there() {
    let (mut slowest, mut most_dials, mut ups) = (0, 0, 0);
    for seed in 0..600 {
        let mut sim = Sim::new(seed);
        let last_fault = sim.draw_faults();
        sim.run_until(last_fault + HEALED_WITHIN);
        sim.assert_together();
        slowest = slowest.max(sim.changed_at.saturating_sub(last_fault));
        ups += sim.ups;
        let calm_since = sim.changed_at;
        sim.run_until(last_fault + HEALED_WITHIN + STAYS_FOR);
        sim.assert_together();
        assert_eq!(sim.changed_at, calm_since, "seed {seed}: the path changes without a fault\n{}", sim.story());
        for node in 0..2 {
            let dialled = &sim.nodes[node].dialled;
            let late = dialled.iter().filter(|at| **at > last_fault + HEALED_WITHIN).count();
            assert_eq!(late, 0, "seed {seed}: {node} dials though it is up\n{}", sim.story());
            let in_minute = |from: u64| dialled.iter().filter(|at| (from..from + 60_000).contains(at)).count();
            let most = dialled.iter().map(|at| in_minute(*at)).max().unwrap_or(0);
            assert!(most <= DIALS_PER_MINUTE, "seed {seed}: {node} dials {most} times in a minute");
            most_dials = most_dials.max(most);
        }
    }
    assert!(ups > 600 * 2 * 2, "the faults take the path down: only {ups} times up");
    assert!(slowest > 1_000, "silent deaths are among the faults: healed after {slowest} ms");
    assert!(most_dials > 10, "there are addresses that do not answer: {most_dials} dials");
}

#[test]
fn without_faults_each_comes_up_once_and_moves_at_most_once() {
    let mut moved = 0;
    for seed in 0..300 {
        let mut sim = Sim::new(seed);
        sim.run_until(10_000);
        sim.assert_together();
        let count = |what: &str| sim.told.iter().filter(|told| told.contains(what)).count();
        assert_eq!((count("Up"), count("Down")), (2, 0), "seed {seed}\n{}", sim.story());
        assert!(count("Switched") <= 1, "seed {seed}: only `Use` moves anybody\n{}", sim.story());
        moved += count("Switched");
    }
    assert!(moved > 0, "sometimes the two begin on different connections");
}

struct Sim {
    seed: u64,
    random: ChaCha8Rng,
    now: u64,
    events: BTreeMap<(u64, u64), Event>,
    next: u64,
    nodes: [Node; 2],
    wires: Vec<Wire>,
    latency: u64,
    partition_ends: u64,
    /// When a path last came up, changed or went down.
    changed_at: u64,
    ups: usize,
    told: Vec<String>,
}

struct Node {
    peer: Option<Peer>,
    life: u32,
    /// Whether a dial to it is refused while it is dead, or hangs.
    silent: bool,
    addrs: Vec<(SocketAddr, Answer)>,
    /// Open connections: the wire of each.
    conns: BTreeMap<PeerConn, usize>,
    dials: BTreeSet<PeerDial>,
    dialled: Vec<u64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Accepts,
    Refuses,
    Hangs,
}

/// A connection between the two; arrays are by node.
struct Wire {
    conns: [Option<PeerConn>; 2],
    last_arrival: [u64; 2],
    /// What this node sends vanishes.
    mute: [bool; 2],
    /// This end died: a frame that reaches it is answered by a reset, or by nothing.
    dead: [Option<Reset>; 2],
}

#[derive(Clone, Copy, PartialEq)]
enum Reset {
    Yes,
    No,
}

#[derive(Clone, Copy)]
enum Event {
    Connected { node: usize, life: u32, dial: PeerDial, other_life: u32 },
    Refused { node: usize, life: u32, dial: PeerDial },
    Arrives { wire: usize, to: usize, what: What },
    Fault(Fault),
    Restart(usize),
}

#[derive(Clone, Copy)]
enum What {
    Open,
    Frame(Frame),
    End,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Partition { length: u64 },
    Crash { node: usize, silent: bool, length: u64 },
    Mute { node: usize },
    ResetBoth,
    ResetOne { node: usize, heard_of: bool },
    Latency(u64),
    Shuffle { node: usize },
    Wake { node: usize },
}

impl Sim {
    fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let latency = random.next_u64() % LATENCY_MAX + 1;
        let reachable = random.next_u64() % 3;
        let nodes = [0, 1].map(|node| Node {
            peer: None,
            life: 0,
            silent: false,
            addrs: draw_addrs(&mut random, node, reachable == 2 || reachable == node as u64),
            conns: BTreeMap::new(),
            dials: BTreeSet::new(),
            dialled: Vec::new(),
        });
        let mut sim = Self {
            seed,
            random,
            now: 0,
            events: BTreeMap::new(),
            next: 0,
            nodes,
            wires: Vec::new(),
            latency,
            partition_ends: 0,
            changed_at: 0,
            ups: 0,
            told: Vec::new(),
        };
        for node in 0..2 {
            let at = sim.draw(300);
            sim.at(at, Event::Restart(node));
        }
        sim
    }

    /// Plans the faults; when the last of them is over.
    fn draw_faults(&mut self) -> u64 {
        let mut over = 300;
        for _ in 0..self.draw(12) {
            let at = self.draw(FAULTS_FOR);
            let node = self.draw(2) as usize;
            let yes = self.draw(2) == 0;
            let (fault, length) = match self.draw(8) {
                0 => {
                    let length = self.draw(4_000);
                    (Fault::Partition { length }, length)
                }
                1 | 2 => {
                    let length = self.draw(3_000);
                    (Fault::Crash { node, silent: yes, length }, length)
                }
                3 => (Fault::Mute { node }, 0),
                4 => (if yes { Fault::ResetBoth } else { Fault::Shuffle { node } }, 0),
                5 => (Fault::ResetOne { node, heard_of: yes }, 0),
                6 => (Fault::Latency(self.draw(LATENCY_MAX) + 1), 0),
                _ => (Fault::Wake { node }, 0),
            };
            over = over.max(at + length);
            self.at(at, Event::Fault(fault));
        }
        over
    }

    fn run_until(&mut self, end: u64) {
        let mut calls_at_once = 0;
        loop {
            let timeouts = self.nodes.iter().filter_map(|node| node.peer.as_ref()).map(|peer| peer.poll_timeout().0);
            let timeout = timeouts.min().unwrap_or(u64::MAX);
            let event = self.events.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
            let next = timeout.min(event).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            calls_at_once = if next == self.now { calls_at_once + 1 } else { 0 };
            assert!(calls_at_once < 200, "seed {}: busy at {next}\n{}", self.seed, self.story());
            self.now = next;
            if event == next {
                let (_, event) = self.events.pop_first().unwrap();
                self.happens(event);
            } else {
                for node in 0..2 {
                    self.tell(node, Peer::handle_timeout);
                }
            }
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Restart(node) => self.restart(node),
            Event::Fault(fault) => self.fault(fault),
            Event::Refused { node, life, dial } if self.nodes[node].life == life => {
                self.nodes[node].dials.remove(&dial);
                self.tell(node, |peer, now| peer.failed(now, dial));
            }
            Event::Connected { node, life, dial, other_life } if self.nodes[node].life == life => {
                self.connected(node, dial, other_life);
            }
            // The process that dialled is dead.
            Event::Refused { .. } | Event::Connected { .. } => {}
            Event::Arrives { wire, to, what } => self.arrives(wire, to, what),
        }
    }

    fn restart(&mut self, node: usize) {
        let seed = self.random.next_u64();
        let addrs: Vec<SocketAddr> = self.nodes[1 - node].addrs.iter().map(|(addr, _)| *addr).collect();
        if self.nodes[node].peer.is_none() {
            self.nodes[node].peer = Some(Peer::new(Now(self.now), seed, node == 0));
            self.tell(node, |peer, now| peer.candidates(now, addrs));
        }
    }

    fn connected(&mut self, node: usize, dial: PeerDial, other_life: u32) {
        // An abandoned dial may have been done by the time the shell hears of it.
        let wanted = self.nodes[node].dials.remove(&dial) || self.draw(3) == 0;
        if !wanted || self.now < self.partition_ends {
            return;
        }
        if self.nodes[1 - node].peer.is_none() || self.nodes[1 - node].life != other_life {
            self.tell(node, |peer, now| peer.failed(now, dial));
            return;
        }
        let wire = self.wires.len();
        self.wires.push(Wire { conns: [None; 2], last_arrival: [0; 2], mute: [false; 2], dead: [None; 2] });
        self.send(wire, node, What::Open);
        let conn = self.number(wire, node);
        self.tell(node, |peer, now| peer.opened(now, conn, Some(dial)));
    }

    fn number(&mut self, wire: usize, node: usize) -> PeerConn {
        let conn = PeerConn(wire as u64 * 2 + node as u64);
        self.wires[wire].conns[node] = Some(conn);
        self.nodes[node].conns.insert(conn, wire);
        conn
    }

    /// In order, and after a partition with a retransmission.
    fn send(&mut self, wire: usize, from: usize, what: What) {
        let jitter = self.draw(self.latency / 4 + 1);
        let retransmitted = self.draw(200);
        if self.wires[wire].mute[from] {
            return;
        }
        let mut arrival = (self.now + self.latency + jitter).max(self.wires[wire].last_arrival[from]);
        if self.now < self.partition_ends {
            arrival = arrival.max(self.partition_ends + self.latency + retransmitted);
        }
        self.wires[wire].last_arrival[from] = arrival;
        self.at(arrival, Event::Arrives { wire, to: 1 - from, what });
    }

    fn arrives(&mut self, wire: usize, to: usize, what: What) {
        let conn = self.wires[wire].conns[to];
        let open = conn.filter(|conn| self.nodes[to].conns.contains_key(conn));
        match (what, open) {
            (What::Open, _) if self.nodes[to].peer.is_some() && self.wires[wire].dead[to].is_none() => {
                let conn = self.number(wire, to);
                self.tell(to, |peer, now| peer.opened(now, conn, None));
            }
            (What::Frame(frame), Some(conn)) => self.tell(to, |peer, now| peer.heard(now, conn, Some(frame))),
            (What::End, Some(conn)) => {
                self.nodes[to].conns.remove(&conn);
                self.tell(to, |peer, now| peer.lost(now, conn));
            }
            (What::Open | What::Frame(_), None) if self.wires[wire].dead[to] != Some(Reset::No) => {
                self.send(wire, to, What::End);
            }
            (What::Open | What::Frame(_) | What::End, _) => {}
        }
    }

    fn fault(&mut self, fault: Fault) {
        self.told.push(format!("{} {fault:?}", self.now));
        match fault {
            Fault::Partition { length } => self.partition_ends = self.partition_ends.max(self.now + length),
            Fault::Crash { node, silent, length } => self.crash(node, silent, length),
            Fault::Mute { node } => self.wires.iter_mut().for_each(|wire| wire.mute[node] = true),
            Fault::ResetBoth => (0..2).for_each(|node| self.reset(node, Reset::No)),
            Fault::ResetOne { node, heard_of } => self.reset(node, if heard_of { Reset::Yes } else { Reset::No }),
            Fault::Latency(latency) => self.latency = latency,
            Fault::Shuffle { node } => {
                let mut addrs: Vec<SocketAddr> = self.nodes[1 - node].addrs.iter().map(|(addr, _)| *addr).collect();
                addrs.reverse();
                self.tell(node, |peer, now| peer.candidates(now, addrs));
            }
            Fault::Wake { node } => self.tell(node, |peer, now| peer.wake(now)),
        }
    }

    fn crash(&mut self, node: usize, silent: bool, length: u64) {
        if self.nodes[node].peer.take().is_none() {
            return;
        }
        self.changed_at = self.now;
        self.nodes[node].life += 1;
        self.nodes[node].silent = silent;
        self.nodes[node].dials.clear();
        for wire in std::mem::take(&mut self.nodes[node].conns).into_values() {
            if !silent {
                self.send(wire, node, What::End);
            }
        }
        for wire in &mut self.wires {
            wire.dead[node].get_or_insert(if silent { Reset::No } else { Reset::Yes });
        }
        self.at(self.now + length, Event::Restart(node));
    }

    /// All connections end at this side.
    fn reset(&mut self, node: usize, other_hears: Reset) {
        while let Some((conn, wire)) = self.nodes[node].conns.pop_first() {
            self.wires[wire].dead[node].get_or_insert(other_hears);
            self.tell(node, |peer, now| peer.lost(now, conn));
        }
    }

    /// One input, then all effects.
    fn tell(&mut self, node: usize, input: impl FnOnce(&mut Peer, Now)) {
        let now = Now(self.now);
        let Some(peer) = self.nodes[node].peer.as_mut() else { return };
        input(peer, now);
        let effects: Vec<Effect> = std::iter::from_fn(|| peer.poll_effect()).collect();
        assert!(peer.lines.len() <= PEER_CONNS_MAX, "seed {}: too many connections", self.seed);
        for effect in effects {
            self.effect(node, effect);
        }
        assert!(self.nodes[node].dials.len() <= PEER_DIALS_MAX, "seed {}: too many dials", self.seed);
        assert!(self.nodes[node].conns.len() <= PEER_CONNS_MAX, "seed {}: a connection is forgotten", self.seed);
    }

    fn effect(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Dial(dial, addr) => self.dial(node, dial, addr),
            Effect::Abandon(dial) => {
                self.nodes[node].dials.remove(&dial);
            }
            Effect::Send(conn, frame) => {
                let wire = self.nodes[node].conns.get(&conn).copied();
                let wire = wire.unwrap_or_else(|| panic!("seed {}: sends on a lost {conn:?}", self.seed));
                self.send(wire, node, What::Frame(frame));
            }
            Effect::Drop(conn) => {
                let wire = self.nodes[node].conns.remove(&conn);
                self.send(wire.expect("it drops what it has"), node, What::End);
            }
            Effect::Up { .. } | Effect::Switched { .. } | Effect::Down { .. } => {
                self.ups += usize::from(matches!(effect, Effect::Up { .. }));
                self.changed_at = self.now;
                self.told.push(format!("{} node {node}: {effect:?}", self.now));
            }
            Effect::RoundTrip(_) => {}
        }
    }

    fn dial(&mut self, node: usize, dial: PeerDial, addr: SocketAddr) {
        let other = &self.nodes[1 - node];
        let answer = other.addrs.iter().find(|(known, _)| *known == addr).map_or(Answer::Hangs, |(_, answer)| *answer);
        let answer = match (answer, &other.peer) {
            (Answer::Accepts, None) => {
                if other.silent {
                    Answer::Hangs
                } else {
                    Answer::Refuses
                }
            }
            (Answer::Accepts | Answer::Refuses | Answer::Hangs, _) => answer,
        };
        let (life, other_life) = (self.nodes[node].life, other.life);
        self.nodes[node].dials.insert(dial);
        self.nodes[node].dialled.push(self.now);
        match answer {
            Answer::Hangs => {}
            Answer::Accepts | Answer::Refuses if self.now < self.partition_ends => {}
            Answer::Accepts => {
                let event = Event::Connected { node, life, dial, other_life };
                self.at(self.now + self.latency * 4, event);
            }
            Answer::Refuses => self.at(self.now + self.latency * 2, Event::Refused { node, life, dial }),
        }
    }

    fn assert_together(&self) {
        let [one, two] = [0, 1].map(|node| {
            let node = &self.nodes[node];
            let conn = node.peer.as_ref().and_then(Peer::conn);
            conn.map(|conn| node.conns.get(&conn).copied().expect("what is in use is open"))
        });
        assert!(
            one.is_some() && one == two,
            "seed {}: {one:?} and {two:?} at {}\n{}",
            self.seed,
            self.now,
            self.story()
        );
    }

    fn story(&self) -> String {
        let latency = self.latency;
        format!("latency {latency}\n{}", self.told[self.told.len().saturating_sub(40)..].join("\n"))
    }

    fn at(&mut self, at: u64, event: Event) {
        self.next += 1;
        self.events.insert((at, self.next), event);
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random.next_u64() % below
    }
}

/// One to four addresses; of a reachable side one of them at least accepts.
fn draw_addrs(random: &mut ChaCha8Rng, node: usize, reachable: bool) -> Vec<(SocketAddr, Answer)> {
    let count = random.next_u64() % 4 + 1;
    let accepts = random.next_u64() % count;
    let of = |port: u64| SocketAddr::from(([10, 0, 0, node as u8], port as u16));
    let mut answers = [Answer::Refuses, Answer::Hangs, Answer::Accepts].into_iter().cycle();
    (0..count)
        .map(|port| {
            let drawn = answers.nth((random.next_u64() % 3) as usize).unwrap_or(Answer::Hangs);
            let answer = match drawn {
                _ if reachable && port == accepts => Answer::Accepts,
                Answer::Accepts if !reachable => Answer::Hangs,
                Answer::Accepts | Answer::Refuses | Answer::Hangs => drawn,
            };
            (of(port), answer)
        })
        .collect()
}
