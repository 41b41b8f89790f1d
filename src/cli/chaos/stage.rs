//! The stage of a run: the server, the players, the ways between them, and what is heard of all of them, in one loop.
//!
//! What must hold: everything that is heard becomes a line of the history in the order of its time; nothing waits for a
//! time where an event would do, and every wait for an event has an end.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::clock::FalseClock;
use super::damage::copy_dir;
use super::foreign::Foreign;
use super::guard::Guardian;
use super::network::Network;
use super::player::{Player, Wish};
use super::power::PowerDisk;
use super::process::{Ear, Heard, Process, Said, cleaned};
use super::strike::Act;
use super::strikes::Strikes;
use crate::chaos::history::{End, Record, Told, What};
use crate::chaos::proxy::Proxy;
use crate::chaos::scenario::{Fault, Scenario, Target};
use crate::model::key::ServerId;
use crate::model::time::{Clock, Entropy};
use crate::net::keys::published_id;
use crate::ops::host::{HostClock, HostEntropy};
use crate::store::faulty::Seeded;

/// Index of the server among those of whom something is heard; the players follow.
pub(super) const SERVER: usize = 0;
/// Its name in the history.
pub(super) const SERVER_NAME: &str = "server";
/// Where it listens on a machine of its own.
const PORT_APART: u16 = 3_000;
/// How long a server may take to be ready.
pub(super) const READY_MAX: Duration = Duration::from_secs(30);

/// All that takes part.
pub(super) struct Stage {
    pub(super) home: PathBuf,
    pub(super) ear: Ear,
    heard: UnboundedReceiver<Heard>,
    pub(super) guardian: Guardian,
    pub(super) server: Server,
    pub(super) players: Vec<Player>,
    /// Whose power can be cut, and their disks.
    pub(super) disks: BTreeMap<usize, PowerDisk>,
    /// Whose clocks can jump.
    pub(super) clocks: BTreeMap<usize, FalseClock>,
    /// A machine of its own for each process, if the scenario needs that.
    pub(super) network: Option<Network>,
    /// A way to the server for each player, if the scenario breaks ways; then a way to each from the other player, if it
    /// breaks those.
    pub(super) proxies: Vec<Proxy>,
    pub(super) history: Vec<Record>,
    agenda: BTreeMap<u64, Vec<Due>>,
    ops: u64,
    pub(super) seeded: Seeded,
    pub(super) strikes: Strikes,
    /// Processes that ended without being asked to, in words.
    pub(super) surprises: Vec<String>,
    /// Losses of state that the server has named.
    pub(super) losses_named: Vec<String>,
    /// Lines that told of an acknowledged move.
    pub(super) acks: u64,
    /// Sizes that were measured: name, value, limit.
    pub(super) sizes: Vec<(String, u64, u64)>,
    /// Set for every process.
    env: Vec<(String, String)>,
}

/// The server.
pub(super) struct Server {
    /// The program that is replaced by this one.
    pub(super) old: Option<PathBuf>,
    /// It was there before this run and stays.
    pub(super) foreign: Option<Foreign>,
    pub(super) state: PathBuf,
    pub(super) addr: SocketAddr,
    pub(super) id: Option<ServerId>,
    pub(super) process: Option<Process>,
    pub(super) life: u32,
    /// It takes connections.
    pub(super) ready: bool,
    /// Files it had open when it first said so in this life.
    pub(super) files: Option<u64>,
}

/// What is around a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Around {
    /// Set for every process.
    pub(super) env: Vec<(String, String)>,
    /// A server that is there already.
    pub(super) foreign: Option<Foreign>,
    /// The program that an upgrade replaces by this one.
    pub(super) old: Option<PathBuf>,
}

/// What is to be done at a time.
#[derive(Clone, Debug)]
pub(super) enum Due {
    Wish { player: usize, life: u32, wish: Wish },
    Act(Act),
}

impl Stage {
    /// Everything in place and nobody started.
    ///
    /// # Errors
    /// When there is no room, port or guardian.
    pub(super) async fn set_up(home: PathBuf, scenario: &Scenario, seed: u64, around: Around) -> anyhow::Result<Self> {
        let Around { env, foreign, .. } = &around;
        let (env, foreign) = (env.clone(), foreign.clone());
        let guardian = Guardian::start(&home)?;
        let (to, heard) = unbounded_channel();
        let ear = Ear { clock: HostClock::start(), to };
        let seeded = Seeded(seed);
        // Not from the seed: whoever runs it twice at once needs two ports.
        let mut ports = Seeded(u64::from(std::process::id()));
        let apart = scenario.faults.iter().any(|step| step.kind.needs_networks());
        let addr = match &foreign {
            None if apart => SocketAddr::from((Network::addr(SERVER), PORT_APART)),
            None => free_port(&mut ports)?,
            Some(foreign) => foreign.addr()?,
        };
        let state = home.join("state");
        let server = Server {
            old: around.old,
            foreign,
            state,
            addr,
            id: None,
            process: None,
            life: 0,
            ready: false,
            files: None,
        };
        let strikes = Strikes::default();
        let mut stage = Self {
            home,
            ear,
            heard,
            guardian,
            server,
            players: Vec::new(),
            disks: BTreeMap::new(),
            clocks: BTreeMap::new(),
            network: None,
            proxies: Vec::new(),
            history: Vec::new(),
            agenda: BTreeMap::new(),
            ops: 0,
            seeded,
            strikes,
            surprises: Vec::new(),
            losses_named: Vec::new(),
            acks: 0,
            sizes: Vec::new(),
            env,
        };
        if apart {
            let players: u16 = scenario.workloads.iter().map(|workload| 2 * workload.pairs).sum();
            let Self { network, guardian, .. } = &mut stage;
            *network = Some(Network::make(usize::from(players) + 1, |holder| guardian.runs(holder))?);
        }
        if let Some(state) = stage.disk_for(scenario, SERVER, SERVER_NAME)? {
            stage.server.state = state;
        }
        stage.clock_for(scenario, SERVER, SERVER_NAME)?;
        stage.start_server()?;
        if !stage.until(READY_MAX, |stage| stage.server.ready).await? {
            bail!("the server is not ready after {READY_MAX:?}");
        }
        let id = match &stage.server.foreign {
            None => published_id(&stage.home.join("certs"))?.context("the server has not published its id")?,
            Some(foreign) => foreign.id(&stage.home).await?,
        };
        stage.server.id = Some(id);
        // Somebody may have played there before, with the same seed too.
        let prefix = match &stage.server.foreign {
            None => String::new(),
            Some(_) => {
                let mut bytes = [0; 4];
                HostEntropy.fill(&mut bytes);
                format!("chaos{:08x}", u32::from_le_bytes(bytes))
            }
        };
        let through_proxies = scenario.faults.iter().any(|step| step.kind.breaks_ways());
        let is_direct = |target| matches!(target, Target::Path(_) | Target::Direct);
        let direct_proxies = scenario.faults.iter().any(|step| step.kind.breaks_ways() && is_direct(step.target));
        let mut to_players = Vec::new();
        let mut number = 0;
        for workload in &scenario.workloads {
            for _ in 0..workload.pairs {
                for asks in [true, false] {
                    let mut at = addr;
                    if through_proxies {
                        let seed = stage.seeded.next();
                        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                        let proxy = Proxy::start(local, addr, seed).await?;
                        at = proxy.addr();
                        stage.proxies.push(proxy);
                    }
                    let (mut listen, mut advertise) = (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None);
                    if direct_proxies {
                        listen = free_port(&mut ports)?;
                        let seed = stage.seeded.next();
                        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                        let proxy = Proxy::start(local, listen, seed).await?;
                        advertise = Some(proxy.addr());
                        to_players.push(proxy);
                    }
                    if apart {
                        listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                    }
                    let name = format!("{prefix}p{number}");
                    let disk = stage.disk_for(scenario, number + 1, &name)?;
                    stage.clock_for(scenario, number + 1, &name)?;
                    let partner = if asks { number + 1 } else { number - 1 };
                    let player = Player {
                        user: name.clone(),
                        password: format!("secret-{:016x}", stage.seeded.next()),
                        state: disk.unwrap_or_else(|| stage.home.join("clients").join(&name)),
                        device: name,
                        server: format!("{at}#{id}"),
                        direct: workload.direct,
                        listen,
                        advertise,
                        game: workload.game.clone(),
                        think_ms: u64::try_from(workload.think.0.as_millis()).unwrap_or(u64::MAX),
                        partner: format!("{prefix}p{partner}"),
                        asks,
                        process: None,
                        life: 0,
                        live: false,
                        logged_in: false,
                        seat: None,
                        seats: 0,
                        pending: std::collections::VecDeque::new(),
                        done: std::collections::BTreeSet::new(),
                        begins: false,
                        closing: false,
                    };
                    stage.players.push(player);
                    number += 1;
                }
            }
        }
        stage.proxies.extend(to_players);
        for player in 0..stage.players.len() {
            stage.start_player(player)?;
            stage.wish(player, 0, Wish::AddUser);
        }
        Ok(stage)
    }

    /// A disk of its own for whoever may lose power; where its files are then.
    fn disk_for(&mut self, scenario: &Scenario, who: usize, name: &str) -> anyhow::Result<Option<PathBuf>> {
        let cuts = scenario.faults.iter().filter(|step| step.kind == Fault::PowerCut);
        if !{ cuts }.any(|step| step.target.strikes(who)) {
            return Ok(None);
        }
        let dir = self.home.join("disks").join(name);
        self.guardian.mounts(&dir);
        self.disks.insert(who, PowerDisk::make(&dir)?);
        Ok(Some(dir.join("state")))
    }

    /// A clock of its own for whoever's may jump.
    fn clock_for(&mut self, scenario: &Scenario, who: usize, name: &str) -> anyhow::Result<()> {
        let jumps = scenario.faults.iter().filter(|step| step.kind == Fault::ClockJump);
        if { jumps }.any(|step| step.target.strikes(who)) {
            self.clocks.insert(who, FalseClock::set_up(self.home.join(format!("{name}.clock")))?);
        }
        Ok(())
    }

    /// The files of the run stay, for people to look at.
    ///
    /// # Errors
    /// When what is on a disk of its own cannot be copied.
    pub(super) fn keep_files(&mut self) -> anyhow::Result<()> {
        self.guardian.keep(&self.home);
        let players = self.players.iter().map(|player| (player.device.as_str(), &player.state));
        for (name, state) in players.chain([(SERVER_NAME, &self.server.state)]) {
            if state.starts_with(self.home.join("disks")) && state.exists() {
                copy_dir(state, &self.home.join("kept").join(name))?;
            }
        }
        Ok(())
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.ear.clock.now().0
    }

    /// Starts the server, at its port and on its files.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start_server(&mut self) -> anyhow::Result<()> {
        if self.server.foreign.is_some() {
            return self.look_for_server();
        }
        let mut command = self.program(SERVER, self.server.old.as_deref())?;
        command.args(["server", "--listen", &self.server.addr.to_string(), "--state"]).arg(&self.server.state);
        command.arg("--certs").arg(self.home.join("certs")).env("REJOIN_LOG", "warn");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        let _ = self.clocks.get(&SERVER).map(|clock| clock.give_to(&mut command));
        self.server.life += 1;
        let (log, as_who) = (self.home.join("server.log"), (SERVER, self.server.life));
        let process = Process::start(command, &log, as_who, &self.ear, &mut self.guardian)?;
        self.server.process = Some(process);
        self.note(SERVER_NAME.to_owned(), What::Started);
        Ok(())
    }

    /// A command of this program, or of another one of this name, on the machine of somebody.
    ///
    /// # Errors
    /// When its path cannot be found out.
    pub(super) fn program(&self, who: usize, other: Option<&Path>) -> anyhow::Result<Command> {
        let path = other.map_or_else(std::env::current_exe, std::path::absolute)?;
        let command = match &self.network {
            Some(network) => network.on(who, &path).into(),
            None => Command::new(path),
        };
        Ok(cleaned(command, &self.home))
    }

    /// Starts a player's client on its files.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start_player(&mut self, player: usize) -> anyhow::Result<()> {
        let certs = self.home.join("certs");
        let mut command = self.program(player + 1, None)?;
        let of = &mut self.players[player];
        command.args(["play", "--json", "--server", &of.server, "--peer-listen", &of.listen.to_string()]);
        if let Some(told) = of.advertise {
            command.args(["--peer-advertise", &told.to_string()]);
        }
        command.args(["--direct", if of.direct { "on" } else { "off" }]);
        command.arg("--state").arg(&of.state).arg("--certs").arg(certs);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if of.logged_in {
            command.args(["--user", &of.user]);
        }
        let _ = self.clocks.get(&(player + 1)).map(|clock| clock.give_to(&mut command));
        of.life += 1;
        let (log, as_who) = (self.home.join(format!("{}.log", of.device)), (player + 1, of.life));
        let process = Process::start(command, &log, as_who, &self.ear, &mut self.guardian)?;
        of.process = Some(process);
        let device = of.device.clone();
        self.note(device, What::Started);
        if self.players[player].logged_in {
            self.players[player].begins = true;
            self.wish(player, 0, Wish::Begin);
        }
        Ok(())
    }

    /// Who that is in the history.
    pub(super) fn name(&self, who: usize) -> String {
        who.checked_sub(1).map_or_else(|| SERVER_NAME.to_owned(), |player| self.players[player].device.clone())
    }

    /// Whether it has a life.
    pub(super) fn runs(&self, who: usize) -> bool {
        match who.checked_sub(1) {
            None => self.server.process.is_some(),
            Some(player) => self.players[player].process.is_some(),
        }
    }

    /// Its present life, if it has one.
    pub(super) fn process(&mut self, who: usize) -> Option<&mut Process> {
        match who.checked_sub(1) {
            None => self.server.process.as_mut(),
            Some(player) => self.players[player].process.as_mut(),
        }
    }

    pub(super) fn wish(&mut self, player: usize, after_ms: u64, wish: Wish) {
        let life = self.players[player].life;
        self.plan(self.now_ms() + after_ms, Due::Wish { player, life, wish });
    }

    pub(super) fn plan(&mut self, at_ms: u64, due: Due) {
        self.agenda.entry(at_ms).or_default().push(due);
    }

    pub(super) fn note(&mut self, who: String, what: What) {
        // Lines of one moment are read later than it; the history is in the order of its lines.
        let at_ms = self.history.last().map_or(0, |last| last.at_ms).max(self.now_ms());
        self.history.push(Record { at_ms, who, what });
    }

    /// Goes on until something holds; whether it came to that in time.
    ///
    /// # Errors
    /// When a process cannot be started or a fault not be carried out.
    pub(super) async fn until(&mut self, most: Duration, holds: impl Fn(&Self) -> bool) -> anyhow::Result<bool> {
        let end = self.now_ms() + u64::try_from(most.as_millis()).unwrap_or(u64::MAX / 2);
        while !holds(self) {
            let now = self.now_ms();
            if now >= end {
                return Ok(false);
            }
            let next = self.agenda.keys().next().copied().unwrap_or(u64::MAX).min(end);
            tokio::select! {
                biased;
                Some(heard) = self.heard.recv() => self.hear(heard)?,
                () = tokio::time::sleep(Duration::from_millis(next.saturating_sub(now))) => self.do_due()?,
            }
        }
        Ok(true)
    }

    fn do_due(&mut self) -> anyhow::Result<()> {
        let later = self.agenda.split_off(&(self.now_ms() + 1));
        for due in std::mem::replace(&mut self.agenda, later).into_values().flatten() {
            match due {
                Due::Wish { player, life, wish } => self.fulfil(player, life, &wish),
                Due::Act(act) => self.act(&act)?,
            }
        }
        Ok(())
    }

    fn fulfil(&mut self, player: usize, life: u32, wish: &Wish) {
        let of = &mut self.players[player];
        if of.life != life || of.process.is_none() {
            return;
        }
        let (typed, again) = of.typed(wish, &mut self.seeded);
        if let Some(typed) = typed {
            self.ops += 1;
            let op = self.ops;
            let word = typed.line.split(' ').next().unwrap_or_default().to_owned();
            of.pending.push_back((op, word));
            let device = of.device.clone();
            if let Some(process) = &of.process {
                process.type_line(&typed.line);
            }
            self.note(device, What::Invoke { op, call: typed.call });
        }
        if let Some(after_ms) = again {
            self.wish(player, after_ms, wish.clone());
        }
    }

    fn hear(&mut self, heard: Heard) -> anyhow::Result<()> {
        let Heard { at_ms, who, life, said } = heard;
        let is_old = match who.checked_sub(1) {
            None => self.server.life != life,
            Some(player) => self.players[player].life != life,
        };
        if is_old {
            return Ok(());
        }
        match said {
            Said::Line(line) => match who.checked_sub(1) {
                None => self.server_said(&line),
                Some(player) => self.player_said(player, at_ms, &line),
            },
            Said::Ended(status) => self.ended(who, status)?,
        }
        Ok(())
    }

    fn server_said(&mut self, line: &str) {
        if line.starts_with("state was lost or restored") {
            self.losses_named.push(line.to_owned());
        }
        if line.starts_with("ready;") {
            self.server.ready = true;
            self.server.files = self.server.process.as_ref().and_then(Process::open_files);
            self.is_up(SERVER);
        }
    }

    fn player_said(&mut self, player: usize, at_ms: u64, line: &str) {
        // A line that a kill has cut is no line.
        let Ok(line) = serde_json::from_str::<Value>(line) else { return };
        let device = self.players[player].device.clone();
        let at_ms = self.history.last().map_or(0, |last| last.at_ms).max(at_ms);
        let mut note = |what| self.history.push(Record { at_ms, who: device.clone(), what });
        if line["event"] == "reply" {
            let command = line["command"].as_str().unwrap_or_default();
            if let Some(op) = self.players[player].answers(command) {
                let error = || line["error"].as_str().unwrap_or_default().to_owned();
                note(if line["ok"] == true { What::Ok { op } } else { What::Fail { op, error: error() } });
            }
            if let Ok(rows) = serde_json::from_value(line["rows"].clone()) {
                note(What::Told { told: Told::Leaders { rows } });
            }
        } else if let Ok(told) = serde_json::from_value::<Told>(line.clone())
            && !matches!(told, Told::Other)
        {
            let acknowledged = matches!(told, Told::Move { acknowledged: true, .. });
            note(What::Told { told });
            self.acks += u64::from(acknowledged);
        }
        let was_live = self.players[player].live;
        for (after_ms, wish) in self.players[player].on(&line) {
            self.wish(player, after_ms, wish);
        }
        if self.players[player].live && !was_live {
            self.is_up(player + 1);
        }
    }

    fn ended(&mut self, who: usize, status: Option<ExitStatus>) -> anyhow::Result<()> {
        if let Some(pid) = self.process(who).map(|process| process.pid()) {
            self.guardian.ended(pid);
        }
        let name = self.name(who);
        match who.checked_sub(1) {
            None => (self.server.process, self.server.ready) = (None, false),
            Some(player) => {
                self.players[player].process = None;
                for op in self.players[player].forget() {
                    self.note(name.clone(), What::Unknown { op });
                }
            }
        }
        let how = self.strikes.how_it_ended(who, status);
        self.note(name.clone(), What::Ended { how: how.unwrap_or(End::Failed) });
        if how.is_none() {
            let status = status.map_or_else(|| "nobody knows how".to_owned(), |status| status.to_string());
            self.surprises.push(format!("{name} ended by itself: {status}"));
        }
        self.after_end(who, status)
    }
}

/// A port that no outgoing connection is given, so that nobody takes it while the server is down.
fn free_port(seeded: &mut Seeded) -> anyhow::Result<SocketAddr> {
    const FIRST: u16 = 10_240;
    const PORTS: usize = 20_000;
    const TRIES: usize = 200;
    for _ in 0..TRIES {
        let port = FIRST + u16::try_from(seeded.up_to(PORTS)).unwrap_or(0);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    bail!("no port is free")
}
