//! What breaks, and how it is mended.
//!
//! What must hold: a fault is counted only when there was something to break; whatever is not for good is mended at its
//! time, or when all is healed.

use std::sync::atomic::Ordering;

use rejoin::chaos::history::{End, What};

use super::machine::ServerDesk;
use super::wires::MachineId;
use super::world::World;
use crate::sim::human::Phase;
use crate::sim::plan::{Fault, Host, Kind};

/// Something to be done at a time.
#[derive(Clone, Debug)]
pub(super) enum Todo {
    /// The fault with this number.
    Strike(usize),
    /// The fault under way with this number is over.
    Over(u64),
    /// A part of a fault that comes in several.
    Step(u64, Step),
    /// A process that has ended by itself is started again.
    Again(Host),
}

/// A part of a fault.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Kill(Host),
    Start(Host),
    /// Starts it, and lets its power go in this operation of its disk.
    StartAndDie(Host, u32),
    Cut(MachineId, MachineId),
    Mend(MachineId, MachineId),
}

/// A fault under way.
#[derive(Clone, Debug)]
pub(super) struct Active {
    pub(super) fault: Fault,
    /// How far the player had come when it began.
    phase: Phase,
    /// For one that may strike later: what had been struck before, until it is known.
    before: Option<u64>,
    /// In the order in which they are done.
    pub(super) undo: Vec<Undo>,
}

/// How a part of a fault is mended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    Start(Host),
    Mend(MachineId, MachineId, bool),
    Unfreeze(Host),
    Calm,
    Fast(MachineId, MachineId),
    GoodBytes(MachineId, MachineId),
    NoLoss,
    Room(Host),
    FastSync(Host),
    NoDrift(Host),
    Disarm(Host),
}

/// How a process is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// The machine goes on, and says so to whoever speaks to the process.
    Killed,
    /// What was not synced may be lost; the others hear resets.
    PowerCut,
    /// And nobody hears anything.
    Silent,
    /// With its disk.
    Wiped,
    /// In order.
    Stopped,
}

/// Whoever looks after a process that has ended starts it again after this.
const AGAIN_MS: u64 = 250;
/// Between two kills of a process that is killed again and again.
const LOOP_MS: u64 = 180;

impl World {
    pub(super) fn carry_out(&mut self, todo: Todo) {
        match todo {
            Todo::Strike(number) => {
                let fault = self.plan.faults[number];
                self.strike(fault);
            }
            Todo::Over(id) => self.over(id),
            Todo::Step(id, step) => {
                if self.active.contains_key(&id) {
                    self.step_of(step);
                }
            }
            Todo::Again(host) => self.start(host),
        }
    }

    /// Breaks something, if it is there to be broken.
    fn strike(&mut self, fault: Fault) {
        self.last_number += 1;
        let id = self.last_number;
        let phase = self.phase(fault.kind.host());
        let before = self.struck_so_far(fault.kind);
        self.active.insert(id, Active { fault, phase, before, undo: Vec::new() });
        let Some(undo) = self.break_it(id, fault) else {
            self.active.remove(&id);
            self.trace(|| format!("{:<8} {:?} strikes nothing", "driver", fault.kind));
            return;
        };
        if before.is_none() && fault.kind.mined().is_none() {
            self.coverage().hit(fault.kind.name(), phase);
        }
        self.push("driver", What::Fault { fault: fault.kind.name().to_owned(), on: true });
        self.trace(|| format!("{:<8} {:?} for {} ms", "driver", fault.kind, fault.for_ms));
        if let Some(active) = self.active.get_mut(&id) {
            active.undo = undo;
        }
        if fault.for_ms != u64::MAX && fault.kind.mined().is_none() {
            let at = self.now_ms() + fault.for_ms;
            self.at(at, Todo::Over(id));
        }
    }

    /// What lay in wait at a machine strikes now; its length begins here.
    fn spring(&mut self, host: Host, by_disk: bool) {
        let is_it = |active: &Active| {
            let by = matches!(active.fault.kind, Kind::AtDisk { .. }) == by_disk;
            by && active.fault.kind.mined() == Some(host)
        };
        let Some(id) = self.active.iter().find(|(_, active)| is_it(active)).map(|(id, _)| *id) else { return };
        let Some(active) = self.active.get_mut(&id) else { return };
        active.undo = vec![Undo::Start(host)];
        let fault = active.fault;
        let phase = self.phase(Some(host));
        self.coverage().hit(fault.kind.name(), phase);
        if fault.for_ms != u64::MAX {
            let at = self.now_ms() + fault.for_ms;
            self.at(at, Todo::Over(id));
        }
    }

    /// What lay in wait for a process ends with it.
    fn drop_mines(&mut self, host: Host) {
        let waits = |active: &Active| {
            active.fault.kind.mined() == Some(host) && active.undo.iter().all(|undo| matches!(undo, Undo::Disarm(_)))
        };
        let gone: Vec<u64> = self.active.iter().filter(|(_, active)| waits(active)).map(|(id, _)| *id).collect();
        gone.into_iter().for_each(|id| drop(self.active.remove(&id)));
    }

    /// A fault is over.
    fn over(&mut self, id: u64) {
        let Some(Active { fault, phase, before, undo }) = self.active.remove(&id) else { return };
        if before.is_some_and(|before| self.struck_so_far(fault.kind).is_some_and(|now| now > before)) {
            self.coverage().hit(fault.kind.name(), phase);
        }
        undo.into_iter().for_each(|undo| self.undo(undo));
        self.push("driver", What::Fault { fault: fault.kind.name().to_owned(), on: false });
    }

    /// For a fault that waits for something to strike: how much of its kind was struck so far.
    fn struck_so_far(&self, kind: Kind) -> Option<u64> {
        if let Kind::DiskError { host } = kind {
            return self.machine(host).map(|machine| machine.disk.operations());
        }
        let met = self.wires.lock().met.clone();
        matches!(kind, Kind::BadByte { .. })
            .then_some(met.bad_bytes)
            .or_else(|| matches!(kind, Kind::Loss { .. }).then_some(met.lost))
    }

    /// Mends all that is not for good.
    pub(super) fn heal_faults(&mut self) {
        self.todo.retain(|_, todo| !matches!(todo, Todo::Strike(_)));
        let over: Vec<u64> =
            self.active.iter().filter(|(_, active)| active.fault.for_ms != u64::MAX).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.over(id));
    }

    /// What has to be done to mend it; `None` if there was nothing to break.
    fn break_it(&mut self, id: u64, fault: Fault) -> Option<Vec<Undo>> {
        let until = self.now_ms().saturating_add(fault.for_ms);
        if self.other && fault.kind.is_about_a_disk() && fault.kind.host().is_none_or(|host| host == Host::Server) {
            return None;
        }
        match fault.kind {
            Kind::Kill { host } => self.crash(host, Death::Killed).then(|| vec![Undo::Start(host)]),
            Kind::PowerCut { host } => self.crash(host, Death::PowerCut).then(|| vec![Undo::Start(host)]),
            Kind::Silence { host } => self.crash(host, Death::Silent).then(|| vec![Undo::Start(host)]),
            Kind::AtDisk { host, after } => {
                let disk = &self.machine(host).filter(|machine| machine.runs)?.disk;
                disk.cut_power_at(disk.operations() + u64::from(after.max(1)));
                self.disk_troubled |= host == Host::Server;
                Some(vec![Undo::Disarm(host)])
            }
            Kind::AtSend { host, after } => {
                let machine = self.machine(host).filter(|machine| machine.runs)?.id;
                let mut fabric = self.wires.lock();
                let of = &mut fabric.machines[machine];
                of.last_send = Some(of.sends + u64::from(after.max(1)));
                Some(vec![Undo::Disarm(host)])
            }
            Kind::RestartLoop { host, times } => {
                if !self.crash(host, Death::Killed) {
                    return None;
                }
                let now = self.now_ms();
                for round in 0..u64::from(times.saturating_sub(1)) {
                    let at = now + LOOP_MS / 2 + round * LOOP_MS;
                    self.at(at, Todo::Step(id, Step::Start(host)));
                    self.at(at + LOOP_MS / 2, Todo::Step(id, Step::Kill(host)));
                }
                Some(vec![Undo::Start(host)])
            }
            Kind::TwiceDown { after } => {
                if !self.crash(Host::Server, Death::PowerCut) {
                    return None;
                }
                self.disk_troubled = true;
                let at = self.now_ms() + AGAIN_MS;
                self.at(at, Todo::Step(id, Step::StartAndDie(Host::Server, after)));
                Some(vec![Undo::Disarm(Host::Server), Undo::Start(Host::Server)])
            }
            Kind::Pause { host } => {
                let machine = self.machine(host).filter(|machine| machine.runs)?;
                let (at, clock) = (machine.id, machine.clock.clone());
                clock.stand(true);
                self.wires.lock().freeze(at, true);
                Some(vec![Undo::Unfreeze(host)])
            }
            Kind::Partition { one, other } => self.cut_both(&[(self.id(one)?, self.id(other)?)], false),
            Kind::Hold { one, other } => self.cut_both(&[(self.id(one)?, self.id(other)?)], true),
            Kind::OneWay { from, to } => {
                let (from, to) = (self.id(from)?, self.id(to)?);
                self.wires.lock().cut(from, to);
                Some(vec![Undo::Mend(from, to, false)])
            }
            Kind::PlayersApart => {
                let pairs = self.between_players();
                self.cut_both(&pairs, false)
            }
            Kind::ServerAlone => {
                let pairs = self.to_the_server();
                self.cut_both(&pairs, false)
            }
            Kind::Swizzle => self.swizzle(id, until),
            Kind::Flap { times } => self.flap(id, times, fault.for_ms),
            Kind::LatencyStorm { ms } => {
                self.wires.lock().storm(Some(u64::from(ms)));
                Some(vec![Undo::Calm])
            }
            Kind::SlowLink { one, other, ms } => {
                let (one, other) = (self.id(one)?, self.id(other)?);
                let both = [(one, other), (other, one)];
                both.iter().for_each(|(from, to)| self.wires.lock().slow(*from, *to, Some(u64::from(ms))));
                Some(both.map(|(from, to)| Undo::Fast(from, to)).to_vec())
            }
            Kind::BadByte { one, other } => {
                let (one, other) = (self.id(one)?, self.id(other)?);
                self.wires.lock().bad_byte(one, other, true);
                Some(vec![Undo::GoodBytes(one, other)])
            }
            Kind::Loss { permille } => {
                self.wires.lock().loss = permille;
                Some(vec![Undo::NoLoss])
            }
            Kind::DiskError { host } => {
                let disk = &self.machine(host).filter(|machine| machine.runs)?.disk;
                disk.fail_at(disk.operations() + 1, std::io::ErrorKind::Other);
                self.disk_troubled |= host == Host::Server;
                Some(Vec::new())
            }
            Kind::DiskFull { host, bytes } => {
                let disk = &self.machine(host)?.disk;
                disk.set_capacity(Some(disk.used() + u64::from(bytes)));
                self.disk_troubled |= host == Host::Server;
                Some(vec![Undo::Room(host)])
            }
            Kind::SlowSync { host, ms } => {
                self.machine(host)?.pace.slow_ms.store(u64::from(ms), Ordering::Relaxed);
                Some(vec![Undo::FastSync(host)])
            }
            Kind::Rot { host } => self.rot(host).then(|| vec![Undo::Start(host)]),
            Kind::ClockJump { host, seconds } => {
                self.machine(host)?.clock.jump(i64::from(seconds) * 1000);
                self.sometimes("clock jumped backwards", seconds < 0);
                Some(Vec::new())
            }
            Kind::ClockDrift { host, permille } => {
                self.machine(host)?.clock.drift(i64::from(permille));
                Some(vec![Undo::NoDrift(host)])
            }
            Kind::WipePlayer { player } => self.wipe_player(player).then(Vec::new),
            Kind::TakeDevice { player } => self.take_device(player).then(Vec::new),
            // Of the pure lane alone.
            Kind::LeaveDevice { .. }
            | Kind::ReturnDevice { .. }
            | Kind::ReplayResume { .. }
            | Kind::CopyServer
            | Kind::HeardByOne { .. }
            | Kind::LostEnd { .. }
            | Kind::CutShort { .. } => None,
            Kind::WipeServer => self.wipe_server().then(|| vec![Undo::Start(Host::Server)]),
            Kind::LoginStorm { others } => {
                let first = u8::try_from(self.players.len()).ok()?;
                (first..first.saturating_add(others)).for_each(|number| self.join(number));
                Some(Vec::new())
            }
            Kind::PlannedRestart => {
                let stop = self.server_desk.borrow().stop.clone();
                self.server.runs.then(|| stop.notify_one())?;
                Some(vec![Undo::Start(Host::Server)])
            }
            Kind::NewAddress { player } => {
                let machine = self.id(Host::Player(player))?;
                self.last_number += 1;
                let [high, low] = u16::try_from(self.last_number).ok()?.to_be_bytes();
                self.wires.lock().renumber(machine, [10, 1, high, low].into());
                self.players[usize::from(player)].moved_ms = self.now_ms();
                Some(Vec::new())
            }
            Kind::Liar { player, lie } => self.turn_to_lies(player, lie).then(Vec::new),
        }
    }

    fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Start(host) => self.start(host),
            Undo::Mend(from, to, all_at_once) => self.wires.lock().mend(from, to, all_at_once),
            Undo::Unfreeze(host) => self.unfreeze(host),
            Undo::Calm => self.wires.lock().storm(None),
            Undo::Fast(from, to) => self.wires.lock().slow(from, to, None),
            Undo::GoodBytes(from, to) => self.wires.lock().bad_byte(from, to, false),
            Undo::NoLoss => self.wires.lock().lose_no_more(),
            Undo::Room(host) => {
                if let Some(machine) = self.machine(host) {
                    machine.disk.set_capacity(None);
                }
            }
            Undo::FastSync(host) => {
                if let Some(machine) = self.machine(host) {
                    machine.pace.slow_ms.store(0, Ordering::Relaxed);
                }
            }
            Undo::NoDrift(host) => {
                if let Some(machine) = self.machine(host) {
                    machine.clock.drift(0);
                }
            }
            Undo::Disarm(host) => {
                let Some(machine) = self.machine(host) else { return };
                if !machine.disk.is_dead() {
                    machine.disk.cut_power_at(u64::MAX);
                }
                self.wires.lock().machines[machine.id].last_send = None;
            }
        }
    }

    fn step_of(&mut self, step: Step) {
        match step {
            Step::Kill(host) => drop(self.crash(host, Death::Killed)),
            Step::Start(host) => self.start(host),
            Step::StartAndDie(host, after) => {
                if let Some(machine) = self.machine(host) {
                    machine.disk.cut_power_at(machine.disk.operations() + u64::from(after.max(1)));
                }
                self.start(host);
            }
            Step::Cut(from, to) => self.wires.lock().cut(from, to),
            Step::Mend(from, to) => self.wires.lock().mend(from, to, false),
        }
    }

    fn id(&self, host: Host) -> Option<MachineId> {
        self.machine(host).map(|machine| machine.id)
    }

    fn unfreeze(&mut self, host: Host) {
        let Some(machine) = self.machine(host) else { return };
        let (id, clock) = (machine.id, machine.clock.clone());
        if self.wires.lock().machines[id].frozen {
            clock.stand(false);
            self.wires.lock().freeze(id, false);
            self.sometimes("process stopped and gone on", true);
        }
    }

    /// What is cut for good is so for the machine that a player has moved to as well.
    pub(super) fn stays_cut(&mut self, host: Host) {
        let Some(new) = self.id(host) else { return };
        let kinds: Vec<Kind> = self
            .active
            .values()
            .filter(|active| active.fault.for_ms == u64::MAX)
            .map(|active| active.fault.kind)
            .collect();
        for kind in kinds {
            let mut pairs = Vec::new();
            if kind == Kind::ServerAlone {
                pairs = self.to_the_server();
            } else if kind == Kind::PlayersApart {
                pairs = self.between_players();
            } else if let Kind::Partition { one, other } = kind {
                pairs.extend(self.id(one).zip(self.id(other)));
            }
            pairs.retain(|(one, other)| [one, other].contains(&&new));
            drop(self.cut_both(&pairs, false));
        }
    }

    fn cut_both(&mut self, pairs: &[(MachineId, MachineId)], all_at_once: bool) -> Option<Vec<Undo>> {
        let mut fabric = self.wires.lock();
        let mut undo = Vec::new();
        for (one, other) in pairs {
            for (from, to) in [(*one, *other), (*other, *one)] {
                fabric.cut(from, to);
                undo.push(Undo::Mend(from, to, all_at_once));
            }
        }
        (!undo.is_empty()).then_some(undo)
    }

    fn between_players(&self) -> Vec<(MachineId, MachineId)> {
        let ids: Vec<MachineId> = self.players.iter().map(|player| self.devices[player.device].machine.id).collect();
        let mut pairs = Vec::new();
        for (at, one) in ids.iter().enumerate() {
            pairs.extend(ids[at + 1..].iter().map(|other| (*one, *other)));
        }
        pairs
    }

    fn to_the_server(&self) -> Vec<(MachineId, MachineId)> {
        self.players.iter().map(|player| (self.server.id, self.devices[player.device].machine.id)).collect()
    }

    /// Cuts one link after the other, and mends them in another order.
    fn swizzle(&mut self, id: u64, until: u64) -> Option<Vec<Undo>> {
        let now = self.now_ms();
        let mut links = self.to_the_server();
        links.extend(self.between_players());
        links.retain(|_| self.random.up_to(2) > 0);
        let length = until.min(now + 4000).saturating_sub(now).max(2);
        let moment = |random: &mut rejoin::store::faulty::Seeded| {
            now + random.up_to(usize::try_from(length / 2).unwrap_or(1)) as u64
        };
        for (one, other) in &links {
            let (cut, mend) = (moment(&mut self.random), moment(&mut self.random) + length / 2);
            for (from, to) in [(*one, *other), (*other, *one)] {
                self.at(cut, Todo::Step(id, Step::Cut(from, to)));
                self.at(mend, Todo::Step(id, Step::Mend(from, to)));
            }
        }
        let both = links.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]);
        let undo: Vec<Undo> = both.map(|(from, to)| Undo::Mend(from, to, false)).collect();
        (!undo.is_empty()).then_some(undo)
    }

    /// The direct links come and go.
    fn flap(&mut self, id: u64, times: u8, for_ms: u64) -> Option<Vec<Undo>> {
        let pairs = self.between_players();
        let part = (for_ms.min(10_000) / (2 * u64::from(times.max(1)))).max(20);
        let now = self.now_ms();
        for round in 0..u64::from(times) {
            for (one, other) in &pairs {
                for (from, to) in [(*one, *other), (*other, *one)] {
                    self.at(now + 2 * round * part, Todo::Step(id, Step::Cut(from, to)));
                    self.at(now + (2 * round + 1) * part, Todo::Step(id, Step::Mend(from, to)));
                }
            }
        }
        let both = pairs.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]);
        let undo: Vec<Undo> = both.map(|(from, to)| Undo::Mend(from, to, false)).collect();
        (!undo.is_empty() && times > 0).then_some(undo)
    }

    /// Takes a process away; false if there was none.
    pub(super) fn crash(&mut self, host: Host, death: Death) -> bool {
        let seed = self.random.next();
        let Some(machine) = self.machine_mut(host).filter(|machine| machine.runs) else { return false };
        machine.runs = false;
        self.drop_mines(host);
        let Some(machine) = self.machine_mut(host) else { return false };
        machine.clock.stand(false);
        let (name, id, disk) = (machine.name.clone(), machine.id, machine.disk.clone());
        let unsynced = disk.unsynced();
        {
            let mut fabric = self.wires.lock();
            fabric.machines[id].frozen = false;
            fabric.machines[id].dark = matches!(death, Death::Silent | Death::Wiped);
        }
        match death {
            Death::Killed | Death::Stopped => disk.kill(),
            // Nothing that is dropped now can still be written.
            Death::PowerCut | Death::Silent | Death::Wiped if !disk.is_dead() => {
                disk.cut_power_at(disk.operations() + 1);
            }
            Death::PowerCut | Death::Silent | Death::Wiped => {}
        }
        self.take_process(&name);
        if matches!(death, Death::PowerCut | Death::Silent | Death::Wiped) {
            disk.crash(seed);
        }
        self.sometimes("killed with bytes not synced", unsynced > 0);
        self.trace(|| format!("{host:<8} {death:?}, {unsynced} bytes not synced", host = host.to_string()));
        self.gone(
            host,
            match death {
                Death::Killed => End::Killed,
                Death::PowerCut | Death::Silent => End::PowerCut,
                Death::Wiped => End::Wiped,
                Death::Stopped => End::Stopped,
            },
        );
        true
    }

    fn take_process(&mut self, name: &str) {
        self.wires.lock().begin_death();
        self.sim.as_mut().expect("it is not over").crash(name);
        self.wires.lock().end_death();
    }

    /// Starts a process on the disk that is there; nothing if there is one, or if it is gone for good.
    pub(super) fn start(&mut self, host: Host) {
        let for_good = self.active.values().any(|active| {
            active.fault.for_ms == u64::MAX
                && active.undo.iter().any(|undo| matches!(undo, Undo::Start(of) if *of == host))
        });
        let lies =
            matches!(host, Host::Player(number) if self.players.get(usize::from(number)).is_some_and(|of| of.lies));
        let Some(machine) = self.machine_mut(host).filter(|machine| !machine.runs && !for_good && !lies) else {
            return;
        };
        machine.runs = true;
        let (name, id) = (machine.name.clone(), machine.id);
        self.wires.lock().power_on(id);
        self.sim.as_mut().expect("it is not over").bounce(name.as_str());
        match host {
            Host::Server => self.push("server", What::Started),
            Host::Player(number) | Host::Left(number) => {
                let now = self.now_ms();
                self.players[usize::from(number)].human.started(now, &mut self.history);
            }
        }
    }

    /// The power has gone in an operation of the disk, or the process was killed after a send: now it is seen.
    pub(super) fn finish_crash(&mut self, host: Host) {
        let Some(machine) = self.machine(host) else { return };
        let death = match (machine.disk.is_dead(), self.random.up_to(1)) {
            (false, _) => Death::Killed,
            (true, 0) => Death::PowerCut,
            (true, _) => Death::Silent,
        };
        self.spring(host, death != Death::Killed);
        let recovering = host == Host::Server && self.server_desk.borrow().report.is_none();
        self.sometimes("power lost during recovery", recovering && death != Death::Killed);
        self.crash(host, death);
        self.look_after(host);
    }

    /// A process has ended by itself, because it could not go on.
    pub(super) fn failed(&mut self, host: Host) {
        let Some(machine) = self.machine_mut(host) else { return };
        machine.runs = false;
        let (name, id) = (machine.name.clone(), machine.id);
        machine.disk.kill();
        self.wires.lock().machines[id].frozen = false;
        self.take_process(&name);
        self.gone(host, End::Failed);
        self.look_after(host);
    }

    /// The server has stopped as it was asked to.
    pub(super) fn stopped(&mut self) {
        self.crash(Host::Server, Death::Stopped);
        self.server_desk.replace(ServerDesk::default());
        self.look_after(Host::Server);
    }

    /// Starts it again soon, unless a fault says when.
    fn look_after(&mut self, host: Host) {
        let waits = |active: &super::faults::Active| {
            active.undo.iter().any(|undo| matches!(undo, Undo::Start(of) if *of == host))
        };
        if !self.active.values().any(waits) {
            let at = self.now_ms() + AGAIN_MS;
            self.at(at, Todo::Again(host));
        }
    }
}

impl Kind {
    /// The machine at which it lies in wait.
    const fn mined(&self) -> Option<Host> {
        if let Self::AtDisk { host, .. } | Self::AtSend { host, .. } = *self { Some(host) } else { None }
    }

    /// Whether it needs a disk that can be broken at will.
    const fn is_about_a_disk(&self) -> bool {
        matches!(
            self,
            Self::AtDisk { .. }
                | Self::DiskError { .. }
                | Self::DiskFull { .. }
                | Self::Rot { .. }
                | Self::TwiceDown { .. }
                | Self::WipeServer
        )
    }

    /// The machine that it is about, if it is one.
    pub(super) const fn host(&self) -> Option<Host> {
        match self {
            Self::Kill { host }
            | Self::PowerCut { host }
            | Self::Silence { host }
            | Self::AtDisk { host, .. }
            | Self::AtSend { host, .. }
            | Self::RestartLoop { host, .. }
            | Self::Pause { host }
            | Self::DiskError { host }
            | Self::DiskFull { host, .. }
            | Self::SlowSync { host, .. }
            | Self::Rot { host }
            | Self::ClockJump { host, .. }
            | Self::ClockDrift { host, .. } => Some(*host),
            Self::Partition { one, .. }
            | Self::Hold { one, .. }
            | Self::SlowLink { one, .. }
            | Self::BadByte { one, .. } => Some(*one),
            Self::OneWay { from, .. } => Some(*from),
            Self::WipePlayer { player }
            | Self::TakeDevice { player }
            | Self::LeaveDevice { player }
            | Self::ReturnDevice { player }
            | Self::HeardByOne { player }
            | Self::LostEnd { player }
            | Self::ReplayResume { player }
            | Self::CutShort { player, .. }
            | Self::NewAddress { player }
            | Self::Liar { player, .. } => Some(Host::Player(*player)),
            Self::PlayersApart
            | Self::ServerAlone
            | Self::Swizzle
            | Self::LatencyStorm { .. }
            | Self::Loss { .. }
            | Self::WipeServer
            | Self::CopyServer
            | Self::LoginStorm { .. }
            | Self::PlannedRestart
            | Self::TwiceDown { .. }
            | Self::Flap { .. } => None,
        }
    }
}
