//! The faults: each strikes, is recorded and counted if it has struck something, and is undone.

use std::path::{Path, PathBuf};

use rejoin::chaos::history::{Record, What as Happened};
use rejoin::model::key::SecretKey;

use super::liar::Liar;
use super::machine::Death;
use super::net::{Rule, What, Who};
use super::world::{Task, Then, Undo, World};
use crate::sim::plan::{Fault, Host, Kind, Lie};
pub(super) use crate::sim::swarm::FOR_GOOD;

/// For how long a fault waits for the moment at which it may strike.
const LOOKS_FOR_MS: u64 = 2_000;

impl World<'_> {
    /// A fault of the plan is due.
    pub(super) fn strike(&mut self, number: usize) {
        let fault = self.plan.faults[number];
        let Fault { at_ms, for_ms, kind } = fault;
        let for_ms =
            if for_ms == u64::MAX { for_ms } else { for_ms.min(self.plan.heal_at_ms.saturating_sub(at_ms + 1)) };
        let (host, phase) = (host_of(&kind), self.phase_of(host_of(&kind)));
        let line = self.trace.as_ref().map_or(0, Vec::len);
        if self.strike_one(kind, for_ms) {
            self.coverage.hit(kind.name(), phase);
            if let Some(trace) = &mut self.trace {
                let (seconds, ms) = (self.now / 1000, self.now % 1000);
                trace.insert(line, format!("{seconds:>3}.{ms:03} {host:<8} FAULT {kind:?} for {for_ms} ms"));
            }
            self.tell_fault(kind.name(), true);
        }
    }

    fn tell_fault(&mut self, name: &str, on: bool) {
        let what = Happened::Fault { fault: name.to_owned(), on };
        self.history.push(Record { at_ms: self.now, who: "driver".to_owned(), what });
    }

    /// Whether it has struck something.
    fn strike_one(&mut self, kind: Kind, for_ms: u64) -> bool {
        match kind {
            Kind::Kill { host } => self.end_host(host, Death::Killed, for_ms),
            Kind::PowerCut { host } => self.end_host(host, Death::PowerCut, for_ms),
            Kind::Silence { host } => self.end_host(host, Death::Silent, for_ms),
            Kind::AtDisk { host, after } => self.plan_cut(host, after, for_ms),
            Kind::AtSend { host, after } => {
                self.at_running(host, |machine| {
                    (machine.sends_left, machine.back_after_ms) = (Some(after.max(1)), for_ms);
                });
                // It has struck once so much is sent.
                false
            }
            Kind::RestartLoop { host, times } => self.loop_restarts(host, times, for_ms),
            Kind::Pause { host } => {
                let paused = self.at_running(host, |machine| machine.paused += 1);
                self.undone(paused, for_ms, Undo::Pause(self.number_of(host)))
            }
            Kind::Partition { one, other } => self.rule_both(Who::One(one), Who::One(other), What::Cut, for_ms),
            Kind::OneWay { from, to } => self.rule(Who::One(from), Who::One(to), What::Cut, for_ms),
            Kind::PlayersApart => self.rule(Who::AnyPlayer, Who::AnyPlayer, What::Cut, for_ms),
            Kind::ServerAlone => self.rule_both(Who::One(Host::Server), Who::AnyPlayer, What::Cut, for_ms),
            Kind::Swizzle => self.swizzle(for_ms),
            Kind::Hold { one, other } => self.rule_both(Who::One(one), Who::One(other), What::Hold, for_ms),
            Kind::LatencyStorm { ms } => self.rule(Who::Any, Who::Any, What::Storm(ms.into()), for_ms),
            Kind::Loss { permille } => self.rule(Who::Any, Who::Any, What::Loss(permille.into()), for_ms),
            Kind::SlowLink { one, other, ms } => {
                self.rule_both(Who::One(one), Who::One(other), What::Slow(ms.into()), for_ms)
            }
            Kind::BadByte { one, other } => {
                let open = self.net.between(one, other);
                open.iter().for_each(|conn| self.net.break_off(self.now, *conn));
                !open.is_empty()
            }
            Kind::DiskError { host } => self.at_running(host, |machine| {
                machine.disk.fail_at(machine.disk.operations() + 1, std::io::ErrorKind::Other);
            }),
            Kind::DiskFull { host, bytes } => {
                let full = self.at_running(host, |machine| {
                    machine.disk.set_capacity(Some(machine.disk.used() + u64::from(bytes)));
                });
                self.undone(full, for_ms, Undo::Room(self.number_of(host)))
            }
            Kind::SlowSync { host, ms } => {
                let slow = self.at_running(host, |machine| machine.sync_ms = u64::from(ms));
                self.undone(slow, for_ms, Undo::Sync(self.number_of(host)))
            }
            Kind::Rot { host } => self.rot(host, for_ms),
            Kind::ClockJump { host, seconds } => {
                self.coverage.sometimes("clock jumped backwards", seconds < 0);
                self.at_running(host, |machine| machine.clock.jump(seconds))
            }
            Kind::ClockDrift { host, permille } => {
                let now = self.now;
                let drifts = self.at_running(host, |machine| machine.clock.drift(now, permille));
                self.clock_changed(host);
                self.undone(drifts, for_ms, Undo::Drift(self.number_of(host)))
            }
            Kind::WipePlayer { player } => self.wipe_player(player, for_ms),
            Kind::WipeServer => self.wipe_server(for_ms),
            Kind::CopyServer => self.has_matches() && self.take_copy(),
            Kind::LoginStorm { others } => self.login_storm(others),
            Kind::TakeDevice { player } => self.take_device(player, for_ms),
            Kind::LeaveDevice { player } => self.leave_device(player, for_ms),
            Kind::ReturnDevice { player } => self.return_device(player, for_ms),
            Kind::HeardByOne { player } => self.wait_for_a_move(player, for_ms),
            Kind::LostEnd { player } => {
                let until_ms = self.now + LOOKS_FOR_MS;
                if for_ms != FOR_GOOD && player < self.plan.players {
                    self.look_for_an_end(player, for_ms, until_ms);
                }
                // It has struck once it can.
                false
            }
            Kind::ReplayResume { player } => self.replay_resume(player),
            Kind::CutShort { player, ms } => self.cut_links_short(player, ms.into(), for_ms),
            Kind::PlannedRestart => self.plan_restart(for_ms),
            Kind::TwiceDown { after } => {
                let struck = self.end_host(Host::Server, Death::PowerCut, for_ms);
                if struck {
                    let machine = &mut self.server.machine;
                    machine.back_after_ms = for_ms;
                    machine.disk.cut_power_at(machine.disk.operations() + u64::from(after.max(1)));
                }
                struck
            }
            Kind::Flap { times } => self.flap(times, for_ms),
            Kind::NewAddress { player } => self.new_address(player),
            Kind::Liar { player, lie } => self.corrupt(player, lie),
        }
    }

    pub(super) fn number_of(&self, host: Host) -> usize {
        match host {
            Host::Server => 0,
            Host::Player(player) | Host::Left(player) => {
                self.seats.get(usize::from(player)).map_or(0, |device| device + 1)
            }
        }
    }

    fn end_host(&mut self, host: Host, how: Death, for_ms: u64) -> bool {
        let number = self.number_of(host);
        let alive = self.machine(number).alive;
        if alive {
            self.end(number, how, for_ms);
        }
        alive
    }

    fn at_running(&mut self, host: Host, act: impl FnOnce(&mut super::machine::Machine)) -> bool {
        let number = self.number_of(host);
        let machine = self.machine(number);
        let alive = machine.alive;
        if alive {
            act(machine);
        }
        alive
    }

    fn clock_changed(&mut self, host: Host) {
        match self.number_of(host).checked_sub(1) {
            None => self.server_waits(),
            Some(device) => self.device_waits(device),
        }
    }

    /// Puts the end of a fault on the agenda, if it has struck.
    fn undone(&mut self, struck: bool, for_ms: u64, undo: Undo) -> bool {
        if struck && for_ms != u64::MAX {
            self.later(self.now + for_ms, Task::Undo(undo));
        }
        struck
    }

    fn plan_cut(&mut self, host: Host, after: u32, for_ms: u64) -> bool {
        self.at_running(host, |machine| {
            (machine.is_mined, machine.back_after_ms) = (true, for_ms);
            machine.disk.cut_power_at(machine.disk.operations() + u64::from(after.max(1)));
        });
        // It has struck once the disk comes to that.
        false
    }

    fn loop_restarts(&mut self, host: Host, times: u8, for_ms: u64) -> bool {
        let (machine, times) = (self.number_of(host), u64::from(times.max(1)));
        let each = if for_ms == u64::MAX { 100 } else { (for_ms / times).max(2) };
        for time in 1..times {
            self.later(self.now + time * each, Task::Then(Then::Kill { machine, back_after_ms: each / 2 }));
        }
        self.end_host(host, Death::Killed, each / 2)
    }

    /// A rule for the network, one way.
    fn rule(&mut self, from: Who, to: Who, what: What, for_ms: u64) -> bool {
        let id = self.chance.next();
        self.net.rules.push(Rule { id, from, to, what });
        self.undone(true, for_ms, Undo::Rule(id))
    }

    pub(super) fn rule_both(&mut self, one: Who, other: Who, what: What, for_ms: u64) -> bool {
        self.rule(one, other, what, for_ms);
        self.rule(other, one, what, for_ms)
    }

    /// In this world no player reaches another.
    pub(super) fn keep_players_apart(&mut self) {
        self.rule(Who::AnyPlayer, Who::AnyPlayer, What::Cut, u64::MAX);
    }

    /// Each link for itself, at moments of its own.
    fn swizzle(&mut self, for_ms: u64) -> bool {
        let length = if for_ms == u64::MAX { 2_000 } else { for_ms };
        let players: Vec<Host> = (0..self.plan.players).map(Host::Player).collect();
        let mut links: Vec<(Host, Host)> = players.iter().map(|player| (Host::Server, *player)).collect();
        links.extend(players.chunks(2).filter_map(|pair| Some((*pair.first()?, *pair.get(1)?))));
        for (one, other) in links {
            let from = self.chance.between(0, length / 2);
            let for_ms = self.chance.between(length / 4, length - from);
            self.later(self.now + from, Task::Then(Then::Cut { one, other, for_ms }));
        }
        true
    }

    fn flap(&mut self, times: u8, for_ms: u64) -> bool {
        let length = if for_ms == u64::MAX { 2_000 } else { for_ms };
        let each = (length / u64::from(times.max(1))).max(2);
        for time in 0..u64::from(times.max(1)) {
            self.later(self.now + time * each, Task::Then(Then::Apart { for_ms: each / 2 }));
        }
        true
    }

    /// A part of a longer fault.
    pub(super) fn then(&mut self, then: Then) {
        match then {
            Then::Kill { machine, back_after_ms } => {
                if self.machine(machine).alive {
                    self.end(machine, Death::Killed, back_after_ms);
                }
            }
            Then::Apart { for_ms } => {
                let between = |of: &super::net::Conn| of.ends.iter().all(|end| end.host != Host::Server && end.open);
                let open: Vec<usize> = (0..self.net.conns.len()).filter(|at| between(&self.net.conns[*at])).collect();
                open.into_iter().for_each(|conn| self.net.break_off(self.now, conn));
                self.rule(Who::AnyPlayer, Who::AnyPlayer, What::Cut, for_ms);
            }
            Then::Cut { one, other, for_ms } => {
                let for_ms = for_ms.min(self.plan.heal_at_ms.saturating_sub(self.now + 1));
                self.rule_both(Who::One(one), Who::One(other), What::Cut, for_ms);
            }
            Then::Upgrade => drop(self.plan_restart(40)),
            Then::LoseEnd { player, for_ms, until_ms } => self.look_for_an_end(player, for_ms, until_ms),
            Then::Break { conn } => self.net.break_off(self.now, conn),
        }
    }

    /// A fault is over.
    pub(super) fn undo(&mut self, undo: Undo) {
        let now = self.now;
        match undo {
            Undo::Rule(id) => self.net.undo(now, id),
            Undo::Pause(number) => {
                let machine = self.machine(number);
                machine.paused = machine.paused.saturating_sub(1);
                machine.resumed_at = now;
                self.note(number, || "goes on".to_owned());
                self.wake(number);
            }
            Undo::Busy(number) => self.wake(number),
            Undo::Room(number) => self.machine(number).disk.set_capacity(None),
            Undo::Sync(number) => self.machine(number).sync_ms = 0,
            Undo::Drift(number) => {
                self.machine(number).clock.drift(now, 0);
                let host = self.machine(number).host;
                self.clock_changed(host);
            }
        }
    }

    /// The directory of the files of a device's player.
    pub(super) fn user_dir(&self, number: usize) -> PathBuf {
        let name = &self.humans[self.devices[number].human].name;
        Path::new(super::device::STATE).join(self.server.id.to_string()).join(format!("user-{name}"))
    }

    fn login_storm(&mut self, others: u8) -> bool {
        for _ in 0..others {
            let Ok(number) = u8::try_from(self.humans.len()) else { break };
            self.add_human(number);
            let machine = self.devices.len();
            let at = self.now + self.chance.between(0, 20);
            self.later(at, Task::Start { machine, life: 0 });
        }
        others > 0
    }

    fn plan_restart(&mut self, for_ms: u64) -> bool {
        let stops = self.server.machine.runs() && self.server.process.as_ref().is_some_and(|of| !of.draining);
        if stops {
            self.server.machine.back_after_ms = for_ms;
            self.stop_server(for_ms.min(60_000));
        }
        stops
    }

    fn new_address(&mut self, player: u8) -> bool {
        let number = self.number_of(Host::Player(player));
        let changed = self.chance.between(1, 250);
        if !self.machine(number).alive {
            return false;
        }
        self.devices[number - 1].addr = [10, 1, u8::try_from(changed).unwrap_or(1), player].into();
        for (conn, end) in self.net.of(number) {
            // What comes to the old address is answered by nobody.
            self.net.conns[conn].ends[end].is_mute = true;
            match self.net.conns[conn].ends[1].machine {
                0 => self.hear_server(number - 1, conn, super::net::Msg::Close),
                _ => self.hear_peer(number - 1, conn, end, super::net::Msg::Close),
            }
        }
        true
    }

    fn corrupt(&mut self, player: u8, lie: Lie) -> bool {
        let host = Host::Player(player);
        if player >= self.plan.players || !self.may_lose(host) {
            return false;
        }
        let device = self.seats[usize::from(player)];
        let stranger = SecretKey::from_seed(&self.chance.bytes());
        let is_late = self.chance.one_of(3) == 0;
        self.devices[device].liar = Some(Liar::new(lie, is_late, stranger));
        if lie == Lie::Stale {
            let table = self.devices[device].process.as_ref().and_then(|process| process.player.table());
            let key = table.and_then(|table| Some((table.id(), table.grant().epoch, table.key()?.clone())));
            if let Some(liar) = &mut self.devices[device].liar {
                liar.old_key = key;
            }
        }
        self.frail.insert(host);
        self.liars.insert(self.humans[usize::from(player)].name.clone());
        // It has struck once the first lie is told.
        false
    }

    /// The first lie is told.
    pub(super) fn struck_by_lie(&mut self, number: usize) {
        let Some(liar) = &self.devices[number].liar else { return };
        let host = self.devices[number].machine.host;
        let player = if let Host::Player(player) | Host::Left(player) = host { player } else { 0 };
        let name = Kind::Liar { player, lie: liar.lie }.name();
        self.struck_later(number + 1, name);
    }

    /// What lay in wait has struck at a machine.
    pub(super) fn struck_later(&mut self, machine: usize, name: &'static str) {
        let phase = self.phase_of(self.machine_of(machine).host);
        self.coverage.hit(name, phase);
        self.note(machine, || format!("FAULT {name}"));
        self.tell_fault(name, true);
    }
}

/// Whose fault it is, for the table of faults and states.
fn host_of(kind: &Kind) -> Host {
    match *kind {
        Kind::Kill { host }
        | Kind::PowerCut { host }
        | Kind::Silence { host }
        | Kind::AtDisk { host, .. }
        | Kind::AtSend { host, .. }
        | Kind::RestartLoop { host, .. }
        | Kind::Pause { host }
        | Kind::DiskError { host }
        | Kind::DiskFull { host, .. }
        | Kind::SlowSync { host, .. }
        | Kind::Rot { host }
        | Kind::ClockJump { host, .. }
        | Kind::ClockDrift { host, .. } => host,
        Kind::Partition { one, other }
        | Kind::Hold { one, other }
        | Kind::SlowLink { one, other, .. }
        | Kind::BadByte { one, other } => {
            if one == Host::Server {
                other
            } else {
                one
            }
        }
        Kind::OneWay { from, to } => {
            if from == Host::Server {
                to
            } else {
                from
            }
        }
        Kind::WipePlayer { player }
        | Kind::TakeDevice { player }
        | Kind::LeaveDevice { player }
        | Kind::ReturnDevice { player }
        | Kind::HeardByOne { player }
        | Kind::LostEnd { player }
        | Kind::ReplayResume { player }
        | Kind::CutShort { player, .. }
        | Kind::NewAddress { player }
        | Kind::Liar { player, .. } => Host::Player(player),
        Kind::PlayersApart
        | Kind::ServerAlone
        | Kind::Swizzle
        | Kind::LatencyStorm { .. }
        | Kind::Loss { .. }
        | Kind::WipeServer
        | Kind::CopyServer
        | Kind::LoginStorm { .. }
        | Kind::PlannedRestart
        | Kind::TwiceDown { .. }
        | Kind::Flap { .. } => Host::Server,
    }
}
