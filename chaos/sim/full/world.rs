//! A world: its machines, its players, and the driver that lets time pass and things break.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rejoin::chaos::history::{End, Record, What};
use rejoin::client::Order;
use rejoin::model::client::event::{Event, LinkState, MoveState, PathKind, Status};
use rejoin::model::time::Entropy;
use rejoin::server::ServerError;
use rejoin::store::faulty::{FaultyDisk, Seeded};
use rejoin::store::{Note, StoreError};
use tracing::Level;
use tracing::subscriber::DefaultGuard;
use turmoil::{Builder, Sim};

use super::ending::Healed;
use super::faults::{Active, Todo};
use super::log::{Line, Log};
use super::losses::Losses;
use super::machine::{ClientDesk, Common, Machine, ServerDesk, host_client, host_server};
use super::other_disk::OtherDisk;
use super::seams::{SeededEntropy, SimCerts};
use super::wires::Wires;
use super::{EPOCH_MS, TICK_MS, golden};
use crate::sim::human::{Human, Phase, Ways};
use crate::sim::interposer::Inside;
use crate::sim::outcome::{Coverage, Outcome};
use crate::sim::plan::{DiskModel, Host, Mode, Plan};

/// Everything of one world.
pub(super) struct World {
    pub(super) plan: Plan,
    /// `None` once it is over.
    pub(super) sim: Option<Sim<'static>>,
    pub(super) wires: Wires,
    pub(super) common: Common,
    pub(super) server: Machine,
    pub(super) server_desk: Rc<RefCell<ServerDesk>>,
    pub(super) devices: Vec<Device>,
    pub(super) players: Vec<Player>,
    pub(super) todo: BTreeMap<(u64, u64), Todo>,
    pub(super) active: BTreeMap<u64, Active>,
    /// Numbers of things to do, and of faults under way.
    pub(super) last_number: u64,
    pub(super) random: Seeded,
    pub(super) history: Vec<Record>,
    pub(super) outcome: Outcome,
    pub(super) losses: Losses,
    pub(super) matches: BTreeMap<String, Watched>,
    pub(super) healed: Option<Healed>,
    /// The server's files as they were when all had logged in.
    pub(super) copy: Option<FaultyDisk>,
    /// Errors in the log that a fault explains.
    pub(super) disk_troubled: bool,
    /// The server's disk is the simulator's, which can neither be copied nor broken at will.
    pub(super) other: bool,
    pub(super) ended_ms: u64,
    /// What the server has said of state that it lost.
    pub(super) losses_named: Vec<String>,
    trace: bool,
    told: usize,
    log: Log,
    _collecting: DefaultGuard,
    inside: Inside,
}

/// A device of a player.
pub(super) struct Device {
    pub(super) machine: Machine,
    pub(super) desk: Rc<RefCell<ClientDesk>>,
    pub(super) player: usize,
    /// When its link came back last.
    back_ms: Option<u64>,
}

/// Somebody, and the device in use.
pub(super) struct Player {
    pub(super) human: Human,
    pub(super) device: usize,
    /// Somebody who cheats sits there.
    pub(super) lies: bool,
    /// Since when this player is where it is.
    pub(super) moved_ms: u64,
}

/// A match, as the players were shown it.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    pub(super) players: BTreeSet<usize>,
    pub(super) left: bool,
}

impl World {
    pub(super) fn new(plan: &Plan, trace: bool) -> Self {
        let inside = Inside::enter(plan.seed);
        let log = Log::default();
        let collecting = log.collect();
        let mut builder = Builder::new();
        builder
            .epoch(UNIX_EPOCH + Duration::from_millis(EPOCH_MS))
            .rng_seed(plan.seed)
            .tick_duration(Duration::from_millis(TICK_MS))
            .simulation_duration(Duration::from_secs(100_000))
            .enable_random_order();
        let mut sim = builder.build();
        let wires = Wires::new(plan.seed, plan.latency_ms);
        let upgrade = plan.mode == Mode::Upgrade;
        let mut drawn = golden::SERVER_KEY;
        if !upgrade {
            SeededEntropy::new(plan.seed).fill(&mut drawn);
        }
        let certs = SimCerts::new(drawn);
        let common = Common {
            seed: plan.seed,
            server: certs.id(),
            certs,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            segment_bytes: plan.segment_bytes,
            direct: plan.direct,
        };
        let server =
            Machine::new("server".to_owned(), &wires, 1, if upgrade { golden::disk() } else { FaultyDisk::new() });
        let other = plan.disk == DiskModel::Turmoil && !upgrade;
        if other {
            *server.seen_as.borrow_mut() = Arc::new(OtherDisk::default());
        }
        let server_desk = host_server(&mut sim, &server, &common);
        let mut world = Self {
            plan: plan.clone(),
            sim: Some(sim),
            wires,
            common,
            server,
            server_desk,
            devices: Vec::new(),
            players: Vec::new(),
            todo: BTreeMap::new(),
            active: BTreeMap::new(),
            last_number: 0,
            random: Seeded(plan.seed ^ 0x6661_756c_7473),
            history: Vec::new(),
            outcome: Outcome::default(),
            losses: Losses::default(),
            matches: BTreeMap::new(),
            healed: None,
            copy: None,
            disk_troubled: false,
            other,
            ended_ms: 0,
            losses_named: Vec::new(),
            trace,
            told: 0,
            log,
            _collecting: collecting,
            inside,
        };
        world.server.runs = true;
        world.push("server", What::Started);
        (0..plan.players).for_each(|number| world.join(number));
        for (number, fault) in plan.faults.iter().enumerate() {
            world.at(fault.at_ms, Todo::Strike(number));
        }
        world
    }

    /// Somebody new, at a device of their own.
    pub(super) fn join(&mut self, number: u8) {
        let Plan { seed, players, game, think_ms, whims, matches, .. } = &self.plan;
        let ways = Ways { game, think_ms: *think_ms, whims: *whims, matches: *matches, is_prompt: false };
        let human = Human::new(*seed, number, *players, &ways);
        self.players.push(Player { human, device: self.devices.len(), lies: false, moved_ms: 0 });
        self.new_device(self.players.len() - 1);
    }

    /// The device that a player uses from now on.
    pub(super) fn new_device(&mut self, player: usize) {
        let number = u8::try_from(self.devices.len() + 2).expect("worlds are small");
        let name = self.players[player].human.who();
        let mut machine = Machine::new(name, &self.wires, number, FaultyDisk::new());
        let sim = self.sim.as_mut().expect("it is not over");
        let desk = host_client(sim, &machine, &self.common);
        machine.runs = true;
        self.players[player].device = self.devices.len();
        self.players[player].moved_ms = self.now_ms();
        self.devices.push(Device { machine, desk, player, back_ms: None });
        let now = self.now_ms();
        self.players[player].human.started(now, &mut self.history);
    }

    pub(super) fn now_ms(&self) -> u64 {
        let Some(sim) = &self.sim else { return self.ended_ms };
        u64::try_from(sim.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Something to be done at a time.
    pub(super) fn at(&mut self, at_ms: u64, todo: Todo) {
        self.last_number += 1;
        self.todo.insert((at_ms, self.last_number), todo);
    }

    pub(super) fn push(&mut self, who: &str, what: What) {
        let at_ms = self.now_ms();
        self.history.push(Record { at_ms, who: who.to_owned(), what });
    }

    pub(super) fn sometimes(&mut self, what: &'static str, met: bool) {
        debug_assert!(super::SOMETIMES.contains(&what), "{what} is in the list");
        self.outcome.coverage.sometimes(what, met);
    }

    /// Until there is nothing left to do.
    pub(super) fn run(&mut self) {
        super::SOMETIMES.iter().for_each(|what| self.outcome.coverage.sometimes(what, false));
        while !self.is_over() {
            self.tick();
        }
    }

    fn tick(&mut self) {
        let now = self.now_ms();
        while let Some(entry) = self.todo.first_entry().filter(|entry| entry.key().0 <= now) {
            let todo = entry.remove();
            self.carry_out(todo);
        }
        self.inside.set_elapsed_ms(now);
        self.wires.lock().tick(now * 1000, false);
        let stepped = self.sim.as_mut().expect("it is not over").step();
        self.wires.lock().tick((now + TICK_MS) * 1000, true);
        if let Err(error) = stepped {
            self.violation("panic", format!("a machine has failed: {error}"));
        }
        self.look_at_processes();
        self.look_at_log();
        self.let_people_act();
        self.look_at_recovery();
        self.tell();
    }

    /// Whether a process has ended, by itself or by a fault inside of it.
    fn look_at_processes(&mut self) {
        if self.server.runs {
            if self.wires.lock().is_finished(self.server.id) {
                self.finish_crash(Host::Server);
            } else {
                self.look_at_server();
            }
        }
        for at in 0..self.devices.len() {
            if self.devices[at].machine.runs {
                self.look_at_client(at);
            }
        }
    }

    fn look_at_server(&mut self) {
        let (ended, report) = {
            let mut desk = self.server_desk.borrow_mut();
            (desk.ended.take(), desk.report.take())
        };
        if let Some(report) = report {
            let torn = report.notes.iter().any(|note| matches!(note, Note::TailCut { .. }));
            let removed = report.notes.iter().any(|note| matches!(note, Note::Removed { .. }));
            self.sometimes("torn tail cut at recovery", torn);
            self.sometimes("half-written file removed at recovery", removed);
            let direct = self.statuses().any(|status| status.seated.is_some_and(|seat| seat.path == PathKind::Direct));
            self.sometimes("server back during direct play", direct && report.boot.number > 1);
        }
        match ended {
            None => {}
            Some(Ok(())) => self.stopped(),
            Some(Err(error)) => self.server_failed(&error),
        }
    }

    fn server_failed(&mut self, error: &ServerError) {
        let damaged = matches!(error, ServerError::Store(StoreError::Damaged { .. }));
        let explained = self.disk_troubled || self.losses.rotten.is_some();
        if !explained {
            self.violation("log", format!("the server has ended without a reason: {error}"));
        }
        if damaged {
            self.put_back_rot(Host::Server);
        }
        self.failed(Host::Server);
    }

    fn look_at_client(&mut self, at: usize) {
        let machine = self.devices[at].machine.id;
        if self.wires.lock().is_finished(machine) {
            return self.finish_crash(self.host_of(at));
        }
        let (failed, ended) = {
            let desk = self.devices[at].desk.borrow();
            let ended = desk.handle.as_ref().is_some_and(|handle| handle.end.is_finished());
            (desk.failed.clone(), ended)
        };
        if failed.is_some() || ended {
            self.hear(at);
            let why = failed.or_else(|| self.reason(at)).unwrap_or_default();
            self.trace(|| format!("{} ended: {why}", "client"));
            self.put_back_rot(self.host_of(at));
            self.failed(self.host_of(at));
        }
    }

    /// Why a client has ended by itself.
    fn reason(&self, at: usize) -> Option<String> {
        let mut handle = self.devices[at].desk.borrow_mut().handle.take()?;
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(&mut handle.end).poll(&mut context) {
            std::task::Poll::Ready(Ok(Err(error))) => Some(error.to_string()),
            std::task::Poll::Ready(Ok(Ok(()))) => Some("as it was told to".to_owned()),
            std::task::Poll::Ready(Err(error)) => Some(error.to_string()),
            std::task::Poll::Pending => None,
        }
    }

    pub(super) fn host_of(&self, device: usize) -> Host {
        Host::Player(u8::try_from(self.devices[device].player).expect("worlds are small"))
    }

    fn look_at_log(&mut self) {
        for Line { level, event, text } in self.log.take() {
            let met = match event.as_str() {
                "snapshot" => Some("snapshot made"),
                "foul" => Some("foul convicted"),
                "verdict-corrected" => Some("verdict corrected"),
                "regranted" => Some("seat moved"),
                "match-taken" => Some("match taken from a player"),
                "state-lost" | "state-rolled-back" => Some("loss of state noticed"),
                "resume-refused" => Some("resume refused"),
                "disk-full" => Some("disk full"),
                "match-suspended" => Some("match suspended"),
                _ => None,
            };
            if let Some(met) = met {
                self.sometimes(met, true);
            }
            if met == Some("loss of state noticed") {
                self.losses_named.push(event.clone());
            }
            if level == Level::ERROR && !self.disk_troubled {
                self.violation("log", format!("{event}: {text}"));
            }
            self.trace(|| format!("{:<8} {level} {event} {text}", "log"));
        }
    }

    fn let_people_act(&mut self) {
        for at in 0..self.players.len() {
            let device = self.players[at].device;
            if !self.devices[device].machine.runs {
                continue;
            }
            self.hear(device);
            if self.wires.lock().machines[self.devices[device].machine.id].frozen {
                continue;
            }
            let now = self.now_ms();
            if now < self.players[at].human.due_ms() {
                continue;
            }
            let Some(status) = self.status(device) else { continue };
            let human = &mut self.players[at].human;
            let Some(typed) = human.act(now, status.user.as_deref(), &mut self.history) else { continue };
            let desk = self.devices[device].desk.borrow();
            if let Some(handle) = &desk.handle {
                // A client that does not take it is as good as one that does not answer.
                let _ = handle.commands.try_send(Order::Typed(typed));
            }
        }
        if self.copy.is_none() && !self.other && self.statuses().all(|status| status.user.is_some()) {
            self.take_copy();
        }
    }

    /// All that a device has shown since the last time.
    fn hear(&mut self, device: usize) {
        let (now, player) = (self.now_ms(), self.devices[device].player);
        let next = |world: &Self| world.devices[device].desk.borrow_mut().handle.as_mut()?.events.try_recv().ok();
        while let Some(event) = next(self) {
            self.watch(device, player, &event);
            if self.players[player].device == device {
                self.players[player].human.shown(now, &event, &mut self.history);
            }
        }
    }

    /// What an event means for the world as a whole.
    fn watch(&mut self, device: usize, player: usize, event: &Event) {
        let (now, down) = (self.now_ms(), !self.server.runs);
        match event {
            Event::Match { match_id, .. } => {
                let watched = self.matches.entry(match_id.clone()).or_default();
                watched.players.insert(player);
                watched.left = false;
            }
            Event::Suspended { match_id, .. } => {
                self.matches.entry(match_id.clone()).or_default().left = true;
            }
            Event::Result { agreed, recorded, .. } => {
                self.sometimes("match decided while the server was down", down && !recorded);
                self.sometimes("result agreed on by the players", *agreed);
            }
            Event::Move { state, .. } => {
                self.sometimes("move seen while the server was down", down && *state == MoveState::Seen);
            }
            Event::Link { state: LinkState::Live, attempts, .. } => {
                self.devices[device].back_ms = Some(now);
                let both = self.devices.iter().enumerate().any(|(at, other)| {
                    at != device && now > 1000 && other.back_ms.is_some_and(|back| back + TICK_MS >= now)
                });
                self.sometimes("both back at once", both);
                self.sometimes("many attempts before a link", attempts.is_some_and(|count| count >= 6));
            }
            Event::Link { .. }
            | Event::Reply(_)
            | Event::Invited { .. }
            | Event::InviteClosed { .. }
            | Event::Board { .. }
            | Event::Path { .. }
            | Event::Opponent { .. }
            | Event::Offered { .. }
            | Event::Notice { .. } => {}
        }
    }

    /// What a device says of itself; nothing while it has no process.
    pub(super) fn status(&self, device: usize) -> Option<Status> {
        if !self.devices[device].machine.runs {
            return None;
        }
        self.devices[device].desk.borrow().handle.as_ref().map(|handle| handle.status.borrow().clone())
    }

    /// Of the devices in use; one without a process has nobody logged in.
    fn statuses(&self) -> impl Iterator<Item = Status> {
        let players = self.players.iter().take(usize::from(self.plan.players));
        players.filter_map(|player| self.status(player.device))
    }

    /// How far the players have come, for the table of faults and states.
    pub(super) fn phase(&self, host: Option<Host>) -> Phase {
        let player = match host {
            Some(Host::Player(number) | Host::Left(number)) => usize::from(number),
            // Who invites in some worlds, who is invited in others.
            Some(Host::Server) | None => usize::from(!self.plan.seed.is_multiple_of(2)),
        };
        let Some(player) = self.players.get(player) else { return Phase::Outside };
        let user = self.status(player.device).and_then(|status| status.user);
        player.human.phase(user.as_deref())
    }

    pub(super) fn violation(&mut self, invariant: &str, why: String) {
        self.trace(|| format!("!! {invariant}: {why}"));
        let violation = rejoin::chaos::oracle::Violation { invariant: invariant.to_owned(), why };
        if !self.outcome.violations.contains(&violation) {
            self.outcome.violations.push(violation);
        }
    }

    pub(super) fn trace(&mut self, line: impl FnOnce() -> String) {
        if self.trace {
            let ms = self.now_ms();
            self.tell();
            self.outcome.trace.push(format!("{:>4}.{:03} {}", ms / 1000, ms % 1000, line()));
        }
    }

    /// Puts what has come to the history into the trace.
    fn tell(&mut self) {
        let new = self.told..self.history.len();
        self.told = self.history.len();
        if self.trace {
            for Record { at_ms, who, what } in &self.history[new] {
                let line = format!("{:>4}.{:03} {who:<8} {what:?}", at_ms / 1000, at_ms % 1000);
                self.outcome.trace.push(line);
            }
        }
    }

    pub(super) fn machine(&self, host: Host) -> Option<&Machine> {
        match host {
            Host::Server => Some(&self.server),
            Host::Player(number) | Host::Left(number) => {
                self.players.get(usize::from(number)).map(|player| &self.devices[player.device].machine)
            }
        }
    }

    pub(super) fn machine_mut(&mut self, host: Host) -> Option<&mut Machine> {
        match host {
            Host::Server => Some(&mut self.server),
            Host::Player(number) | Host::Left(number) => {
                let device = self.players.get(usize::from(number))?.device;
                Some(&mut self.devices[device].machine)
            }
        }
    }

    /// The process of a machine is gone; the history says how.
    pub(super) fn gone(&mut self, host: Host, how: End) {
        let now = self.now_ms();
        match host {
            Host::Server => self.push("server", What::Ended { how }),
            Host::Player(number) | Host::Left(number) => {
                let player = &mut self.players[usize::from(number)];
                player.human.ended(now, how, &mut self.history);
                self.devices[player.device].desk.replace(ClientDesk::default());
            }
        }
    }

    pub(super) fn coverage(&mut self) -> &mut Coverage {
        &mut self.outcome.coverage
    }
}
