//! A whole world: machines, the network, the players at their keyboards, and what is to happen when.
//!
//! What must hold: time jumps from one thing that is due to the next; all chance comes from the plan's seed; the same
//! plan is the same world.

use std::collections::{BTreeMap, BTreeSet};

use rejoin::chaos::finals::{Figures, Healed};
use rejoin::chaos::history::{Record, What};
use rejoin::chaos::oracle::Violation;
use rejoin::model::engine::{Hashed, JobId};
use rejoin::model::id::ConnId;

use super::device::Device;
use super::echo::Said;
use super::entropy::Chance;
use super::heal::HEALED_MAX_MS;
use super::machine::{Death, Machine};
use super::net::Net;
use super::server::Server;
use crate::sim::human::{Human, Phase, Ways};
use crate::sim::outcome::Coverage;
use crate::sim::plan::{Host, Plan};

/// All there is.
pub(super) struct World<'a> {
    pub(super) plan: &'a Plan,
    pub(super) now: u64,
    pub(super) chance: Chance,
    pub(super) net: Net,
    pub(super) server: Server,
    pub(super) devices: Vec<Device>,
    pub(super) humans: Vec<Human>,
    /// The device each of them sits at.
    pub(super) seats: Vec<usize>,
    agenda: BTreeMap<(u64, u64), Task>,
    tasks: u64,
    pub(super) history: Vec<Record>,
    pub(super) coverage: Coverage,
    pub(super) figures: Figures,
    pub(super) healed: Healed,
    pub(super) violations: Vec<Violation>,
    pub(super) hash: u64,
    /// Room for one message.
    pub(super) bytes: Vec<u8>,
    /// Most direct connections of one device side by side.
    pub(super) lines_max: u64,
    pub(super) trace: Option<Vec<String>>,
    /// Losses and lies: which pair of players, or all, has no second keeper to lose.
    pub(super) frail: BTreeSet<Host>,
    pub(super) wiped: BTreeSet<String>,
    /// Players who have left a device that goes on.
    pub(super) left: BTreeSet<Host>,
    /// How each device has taken up its session, as somebody on the wire knows it.
    pub(super) overheard: BTreeMap<usize, Said>,
    /// Connections of somebody who says again what a player has said, and what that is.
    pub(super) echoes: BTreeMap<usize, Said>,
    /// Until when links of a device are cut short, and how soon.
    pub(super) cut_short: BTreeMap<usize, (u64, u64)>,
    pub(super) liars: BTreeSet<String>,
    pub(super) is_healed: bool,
    /// Since when all is well.
    pub(super) well_since: Option<u64>,
}

/// Something that is to happen.
#[derive(Clone, Debug)]
pub(super) enum Task {
    /// A fault of the plan.
    Strike(usize),
    /// A fault is over.
    Undo(Undo),
    /// A part of a fault with several.
    Then(Then),
    /// A process begins, if it is still the one that was meant.
    Start {
        machine: usize,
        life: u64,
    },
    /// A password is hashed.
    Hashed {
        life: u64,
        job: JobId,
        done: Hashed,
    },
    /// A connection has had its time to say hello.
    Knocked {
        life: u64,
        conn: ConnId,
    },
    Heal,
}

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    /// A rule of the network.
    Rule(u64),
    /// A process gets time again.
    Pause(usize),
    /// A process is done with its disk.
    Busy(usize),
    /// A disk has room.
    Room(usize),
    /// A sync takes what it usually takes.
    Sync(usize),
    /// A clock runs as it should.
    Drift(usize),
}

/// What is part of a longer fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// The machine's process is killed once more.
    Kill { machine: usize, back_after_ms: u64 },
    /// No direct link works for so long.
    Apart { for_ms: u64 },
    /// A link is cut for so long.
    Cut { one: Host, other: Host, for_ms: u64 },
    /// The server stops in order, for another to begin.
    Upgrade,
    /// A connection breaks.
    Break { conn: usize },
    /// The end of a player's match file goes, once that can be.
    LoseEnd { player: u8, for_ms: u64, until_ms: u64 },
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &'a Plan, trace: bool) -> Self {
        let chance = Chance::new(plan.seed);
        let mut world = Self {
            plan,
            now: 0,
            net: Net::new(plan.latency_ms, chance.clone()),
            server: Server::new(&chance),
            chance,
            devices: Vec::new(),
            humans: Vec::new(),
            seats: Vec::new(),
            agenda: BTreeMap::new(),
            tasks: 0,
            history: Vec::new(),
            coverage: Coverage::default(),
            figures: Figures::default(),
            healed: Healed::default(),
            violations: Vec::new(),
            hash: 0,
            bytes: vec![0; rejoin::model::limits::FRAME_BYTES_MAX],
            lines_max: 0,
            trace: trace.then(Vec::new),
            frail: BTreeSet::new(),
            wiped: BTreeSet::new(),
            left: BTreeSet::new(),
            overheard: BTreeMap::new(),
            echoes: BTreeMap::new(),
            cut_short: BTreeMap::new(),
            liars: BTreeSet::new(),
            is_healed: false,
            well_since: None,
        };
        (0..plan.players).for_each(|number| world.add_human(number));
        world
    }

    /// The machines are switched on, and everything that the plan wants is on the agenda.
    pub(super) fn begin(&mut self) {
        if !self.plan.direct {
            self.keep_players_apart();
        }
        self.start_server();
        self.run_before();
        for device in 0..self.devices.len() {
            self.start_device(device);
        }
        for (fault, at) in self.plan.faults.iter().map(|fault| fault.at_ms).enumerate() {
            self.later(at, Task::Strike(fault));
        }
        self.later(self.plan.heal_at_ms, Task::Heal);
    }

    /// One more player, at a new device.
    pub(super) fn add_human(&mut self, number: u8) {
        let Plan { game, think_ms, whims, matches, .. } = self.plan;
        let ways = Ways { game, think_ms: *think_ms, whims: *whims, matches: *matches, is_prompt: true };
        let human = Human::new(self.plan.seed, number, self.plan.players, &ways);
        self.humans.push(human);
        self.seats.push(self.devices.len());
        self.add_device(self.humans.len() - 1);
    }

    /// A new device of a player.
    pub(super) fn add_device(&mut self, human: usize) {
        let machine = Machine::new(Host::Player(u8::try_from(human).expect("a world has few players")));
        let who = self.humans[human].who();
        self.devices.push(Device::new(human, who, machine, self.devices.len(), &self.chance));
    }

    /// Puts something on the agenda.
    pub(super) fn later(&mut self, at_ms: u64, task: Task) {
        self.tasks += 1;
        self.agenda.insert((at_ms, self.tasks), task);
    }

    /// Everything, to the end.
    pub(super) fn run(&mut self) {
        loop {
            let due = self.due();
            let end = if self.is_healed { self.plan.heal_at_ms + HEALED_MAX_MS } else { u64::MAX };
            if self.is_over() {
                break;
            }
            if due > end || due == u64::MAX {
                self.heed_stuck();
                break;
            }
            self.now = self.now.max(due);
            self.step();
            if self.is_healed {
                self.look_for_health();
            }
        }
    }

    /// When something is due next.
    fn due(&self) -> u64 {
        let mut due = self.agenda.first_key_value().map_or(u64::MAX, |((at, _), _)| *at).min(self.net.due());
        if self.server.machine.runs() {
            due = due.min(self.server.due);
        }
        for device in self.devices.iter().filter(|device| device.machine.runs()) {
            due = due.min(device.due);
            if self.seats[device.human] == device.number {
                due = due.min(self.humans[device.human].due_ms().max(device.machine.busy_until));
            }
        }
        due
    }

    /// One thing that is due.
    fn step(&mut self) {
        if self.agenda.first_key_value().is_some_and(|((at, _), _)| *at <= self.now) {
            if let Some((_, task)) = self.agenda.pop_first() {
                self.act(task);
            }
        } else if self.net.due() <= self.now {
            if let Some(arrival) = self.net.take() {
                self.arrive(arrival);
            }
        } else if self.server.machine.runs() && self.server.due <= self.now {
            self.server_timers();
        } else {
            for number in 0..self.devices.len() {
                let device = &self.devices[number];
                if device.machine.runs() && device.due <= self.now {
                    return self.device_timer(number);
                }
                if device.machine.runs() && self.seats[device.human] == number && device.machine.busy_until <= self.now
                {
                    self.let_type(number);
                }
            }
        }
    }

    fn act(&mut self, task: Task) {
        match task {
            Task::Strike(fault) => self.strike(fault),
            Task::Undo(undo) => self.undo(undo),
            Task::Then(then) => self.then(then),
            Task::Start { machine, life } => self.start(machine, life),
            Task::Hashed { life, job, done } => self.hashed(life, job, done),
            Task::Knocked { life, conn } => self.knocked(life, conn),
            Task::Heal => self.heal(),
        }
    }

    pub(super) fn machine(&mut self, number: usize) -> &mut Machine {
        if number == 0 { &mut self.server.machine } else { &mut self.devices[number - 1].machine }
    }

    pub(super) fn machine_of(&self, number: usize) -> &Machine {
        if number == 0 { &self.server.machine } else { &self.devices[number - 1].machine }
    }

    /// Starts what is down, if it is still the process that went.
    fn start(&mut self, number: usize, life: u64) {
        let machine = self.machine(number);
        if machine.alive || machine.gone || machine.life != life {
            return;
        }
        if number == 0 { self.start_server() } else { self.start_device(number - 1) }
    }

    /// Ends a process. It comes back after so long, or never.
    pub(super) fn end(&mut self, number: usize, how: Death, back_after_ms: u64) {
        let (now, seed) = (self.now, self.chance.next());
        let machine = self.machine(number);
        if std::mem::take(&mut machine.is_mined) && machine.disk.is_dead() {
            self.struck_later(number, "at-disk");
        }
        if number == 0 {
            self.break_in_sync(how);
        }
        let machine = self.machine(number);
        machine.alive = false;
        machine.sends_left = None;
        machine.backlog.clear();
        machine.off = how.is_power_cut();
        machine.gone = back_after_ms == u64::MAX;
        if how.is_power_cut() {
            machine.disk.crash(seed)
        } else {
            machine.disk.kill()
        }
        let life = machine.life;
        for (conn, end) in self.net.of(number) {
            self.net.close(now, conn, end, how == Death::Silent);
            if how == Death::Silent {
                self.net.forget_unsent(conn, end);
            }
        }
        if number == 0 {
            self.server.process = None;
            self.history.push(Record { at_ms: now, who: "server".to_owned(), what: What::Ended { how: how.end() } });
        } else {
            let device = &mut self.devices[number - 1];
            device.heard_by_one = None;
            (device.process, device.shown) = (None, device.shown.after_end());
            let human = device.human;
            if self.seats[human] == number - 1 {
                self.humans[human].ended(now, how.end(), &mut self.history);
            }
        }
        self.note(number, || format!("ENDED ({how:?})"));
        if back_after_ms != u64::MAX {
            self.later(now.saturating_add(back_after_ms), Task::Start { machine: number, life });
        }
    }

    /// How far the player at a machine has come; of the server: the first player.
    pub(super) fn phase_of(&self, host: Host) -> Phase {
        let human = match host {
            // Who invites in some worlds, who is invited in others.
            Host::Server => usize::from(!self.plan.seed.is_multiple_of(2)),
            Host::Player(number) | Host::Left(number) => usize::from(number).min(self.humans.len() - 1),
        };
        let (human, device) = (&self.humans[human], &self.devices[self.seats[human]]);
        let user = device.process.as_ref().is_some_and(|process| process.player.has_session());
        human.phase(user.then_some(human.name.as_str()))
    }

    pub(super) fn name_of(&self, machine: usize) -> String {
        if machine == 0 { "server".to_owned() } else { self.devices[machine - 1].who.clone() }
    }

    /// A line of the trace, if one is kept.
    pub(super) fn note(&mut self, machine: usize, text: impl FnOnce() -> String) {
        if self.trace.is_some() {
            let who = self.name_of(machine);
            self.say(&who, text);
        }
    }

    /// A line of the trace, if one is kept.
    pub(super) fn say(&mut self, who: &str, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let (seconds, ms) = (self.now / 1000, self.now % 1000);
            trace.push(format!("{seconds:>3}.{ms:03} {who:<8} {}", text()));
        }
    }

    pub(super) fn violate(&mut self, invariant: &str, why: String) {
        self.say("!!", || format!("{invariant}: {why}"));
        self.violations.push(Violation { invariant: invariant.to_owned(), why });
    }
}
