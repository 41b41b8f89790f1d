//! The server: the real engine and the real store; what its shell does between them is done here, by the world's time.
//!
//! What must hold: facts are durable when the sync that takes its simulated time is done, and only then the engine hears
//! `Flushed`; nobody is served before the start is on disk.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use rejoin::chaos::history::{Record, What};
use rejoin::model::engine::{Engine, Input, JobId, Settings};
use rejoin::model::fact::Fact;
use rejoin::model::id::{Boot, ConnId, Lsn, Mark};
use rejoin::model::key::{SecretKey, ServerId};
use rejoin::model::state::State;
use rejoin::model::time::Now;
use rejoin::server::checks;
use rejoin::store::faulty::FaultyDisk;
use rejoin::store::{self, Disk, Journal, Note, RESTORED, Recovered, Snapshotter, StoreError};

use super::entropy::Chance;
use super::guest::Guest;
use super::machine::{Death, Machine};
use super::world::{Task, World};
use crate::sim::plan::Host;

/// The state directory.
pub(super) const STATE: &str = "/srv/state";
/// How soon a server that could not go on is started again.
pub(super) const RESPAWN_MS: u64 = 150;
/// How often sealed segments are looked at, in a world with small ones.
const SNAPSHOT_EVERY_MS: u64 = 700;
/// Larger segments are none that fill up in a world.
const SMALL_SEGMENT: u64 = 64 * 1024;

/// The server's machine, and what outlives its process.
pub(super) struct Server {
    pub(super) machine: Machine,
    pub(super) key: SecretKey,
    pub(super) id: ServerId,
    /// The file beside the keys.
    pub(super) mark: Option<Mark>,
    /// A copy of the state, taken once all players were logged in.
    pub(super) copy: Option<FaultyDisk>,
    /// A byte that was changed in a file: what it was.
    pub(super) rot: Option<(PathBuf, usize, u8)>,
    pub(super) process: Option<Process>,
    /// When something is due.
    pub(super) due: u64,
    /// The most up-time that was ever on disk.
    uptime: u64,
    /// Whether a parent holds the listening socket while the process is down.
    pub(super) is_held: bool,
}

/// A run.
pub(super) struct Process {
    pub(super) engine: Engine,
    /// Inputs that effects have led to.
    pub(super) inputs: VecDeque<Input>,
    pub(super) journal: Journal<Fact>,
    /// Decided and not given to the disk yet.
    pub(super) waiting: Vec<Vec<Fact>>,
    /// Given to the disk, and when it will be done.
    pub(super) syncing: Option<(u64, Vec<Vec<Fact>>)>,
    pub(super) full: bool,
    pub(super) reserved: bool,
    /// Of whom it has heard, by connection.
    pub(super) guests: BTreeMap<ConnId, Guest>,
    /// Whose words are not dealt with, by the fact the replies wait for.
    pub(super) turns: VecDeque<(Lsn, ConnId)>,
    /// Those that have said hello before the start was on disk.
    pub(super) knocking: Vec<usize>,
    /// The fact that must be on disk before anybody is served, and this run.
    opening: Option<(Lsn, Boot)>,
    pub(super) draining: bool,
    pub(super) snapshotter: Snapshotter<State>,
    snapshot_at: u64,
    /// When the hashing thread is free.
    pub(super) hashes_until: u64,
}

impl Server {
    pub(super) fn new(chance: &Chance) -> Self {
        let key = SecretKey::from_seed(&chance.bytes());
        let id = ServerId::of(&key.public());
        Self {
            machine: Machine::new(Host::Server),
            key,
            id,
            mark: None,
            copy: None,
            rot: None,
            process: None,
            due: u64::MAX,
            uptime: 0,
            is_held: chance.one_of(2) == 0,
        }
    }
}

impl World<'_> {
    /// Recovers the state and begins to serve, if that can be done.
    pub(super) fn start_server(&mut self) {
        let settings = self.store_settings();
        self.server.machine.begin(self.now);
        let disk = self.server.machine.files();
        match store::recover::<State>(&disk, Path::new(STATE), &settings) {
            Ok(recovered) => self.serve(recovered, settings),
            Err(error) => self.not_recovered(&error),
        }
    }

    fn store_settings(&self) -> store::Settings {
        let segment_bytes = self.plan.segment_bytes;
        store::Settings { segment_bytes, ..store::Settings::new(self.server.id.0, self.chance.next()) }
    }

    fn not_recovered(&mut self, error: &StoreError) {
        self.note(0, || format!("cannot start: {error}"));
        if self.server.machine.disk.is_dead() {
            self.coverage.sometimes("power cut in recovery", true);
            let back = self.server.machine.back_after_ms;
            return self.end(0, Death::PowerCut, back);
        }
        if matches!(error, StoreError::Damaged { .. }) {
            let Some((path, at, byte)) = self.server.rot.take() else {
                self.violate("I14", format!("the server finds damage where nobody has done any: {error}"));
                return self.end(0, Death::Failed, u64::MAX);
            };
            self.coverage.sometimes("damage named at start", true);
            put_back(&self.server.machine.disk, &path, at, byte);
        }
        self.end(0, Death::Failed, RESPAWN_MS);
    }

    fn serve(&mut self, recovered: Recovered<State>, settings: store::Settings) {
        let Recovered { state, last, journal, notes, .. } = recovered;
        self.heed(&notes);
        let disk = self.server.machine.disk.clone();
        let head = state.head();
        let restored = disk.read(&Path::new(STATE).join(RESTORED)).is_ok();
        let lost = restored || self.server.mark.is_some_and(|mark| mark.is_beyond(head.boot, last));
        if !lost && head.uptime.0 < self.server.uptime {
            self.figures.backwards.push(format!("up-time {} ms after {}", head.uptime.0, self.server.uptime));
        }
        self.server.uptime = head.uptime.0;
        let (run, before) = (journal.boot(), self.server.mark.map_or(0, |mark| mark.boot.number));
        if !lost && run <= before {
            self.figures.backwards.push(format!("run {run} of the server comes after run {before}"));
        }
        let (accounts, games) = (state.account_count(), state.games().count());
        let boot = Boot { number: journal.boot(), nonce: self.chance.next() };
        let engine = Engine::new(Settings::default(), self.server.id, state, last, self.chance.bytes());
        let small = self.plan.segment_bytes <= SMALL_SEGMENT;
        let snapshot_at = if small { self.now + self.chance.between(100, SNAPSHOT_EVERY_MS) } else { u64::MAX };
        self.server.process = Some(Process {
            engine,
            inputs: VecDeque::from([Input::Booted(boot)]),
            journal,
            waiting: Vec::new(),
            syncing: None,
            full: false,
            reserved: false,
            guests: BTreeMap::new(),
            turns: VecDeque::new(),
            knocking: Vec::new(),
            opening: None,
            draining: false,
            snapshotter: Snapshotter::new(self.server.machine.files(), Path::new(STATE), settings),
            snapshot_at,
            hashes_until: 0,
        });
        self.history.push(Record { at_ms: self.now, who: "server".to_owned(), what: What::Started });
        self.note(0, || format!("started: run {}, {accounts} accounts, {games} matches, lost {lost}", boot.number));
        self.drive();
        if lost {
            self.coverage.sometimes("state found to be lost", true);
            self.tell(Input::StateLost);
        }
        if let Some(process) = &mut self.server.process {
            process.opening = Some((process.engine.lsns().0, boot));
        }
        let backlog = std::mem::take(&mut self.server.machine.backlog);
        backlog.into_iter().for_each(|arrival| self.arrive(arrival));
    }

    /// What recovery has found tells what a crash had hit, and whether damage was noticed.
    fn heed(&mut self, notes: &[Note]) {
        let mut passed_over = false;
        for note in notes {
            match note {
                Note::TailCut { .. } => self.coverage.sometimes("torn tail cut at recovery", true),
                Note::SnapshotUsed { .. } => self.coverage.sometimes("recovery from a snapshot", true),
                Note::SnapshotUnusable(_) => passed_over = true,
                Note::Removed { .. } => self.coverage.sometimes("unfinished file removed at recovery", true),
                _ => {}
            }
            self.note(0, || format!("recovery: {note}"));
        }
        if let Some((path, at, byte)) = self.server.rot.take() {
            if passed_over {
                self.coverage.sometimes("damaged snapshot passed over", true);
            } else {
                self.figures.damage_believed.push(format!("byte {at} of {}", path.display()));
            }
            put_back(&self.server.machine.disk, &path, at, byte);
        }
    }

    /// An input, and all that follows from it.
    pub(super) fn tell(&mut self, input: Input) {
        if let Some(process) = &mut self.server.process {
            process.inputs.push_back(input);
            self.drive();
        }
    }

    /// The inputs that wait, one after the other.
    pub(super) fn drive(&mut self) {
        let (now, wall) = (self.server.machine.now(self.now), self.server.machine.wall(self.now));
        while let Some(process) = &mut self.server.process
            && let Some(input) = process.inputs.pop_front()
        {
            process.engine.handle(now, wall, input);
            self.drain_engine();
        }
        self.begin_sync();
        self.server_waits();
    }

    pub(super) fn append(&mut self, facts: Vec<Fact>) {
        if let Some(process) = &mut self.server.process {
            process.waiting.push(facts);
        }
    }

    /// When the server has something to do.
    pub(super) fn server_waits(&mut self) {
        let Some(process) = &self.server.process else {
            self.server.due = u64::MAX;
            return;
        };
        let machine = &self.server.machine;
        let silent = process.guests.values().map(|guest| checks::silent_at(&guest.silence)).min().unwrap_or(Now::NEVER);
        let due = machine.when(process.engine.poll_timeout().min(silent));
        let syncing = process.syncing.as_ref().map_or(u64::MAX, |(until, _)| *until);
        self.server.due = due.min(syncing).min(process.snapshot_at);
    }

    /// Something of the server is due.
    pub(super) fn server_timers(&mut self) {
        let at = self.now;
        let Some(process) = &mut self.server.process else { return };
        if process.syncing.as_ref().is_some_and(|(until, _)| *until <= at) {
            return self.synced();
        }
        if process.snapshot_at <= at {
            process.snapshot_at = at + SNAPSHOT_EVERY_MS;
            self.note_mark();
            return self.snapshot();
        }
        let (now, wall) = (self.server.machine.now(at), self.server.machine.wall(at));
        if process.engine.poll_timeout() <= now {
            process.engine.handle_timeout(now, wall);
            self.drain_engine();
        }
        self.drop_silent(now);
        self.drive();
    }

    /// The start is on disk: the file beside the keys is written, and whoever knocks is let in.
    pub(super) fn finish_opening(&mut self) {
        let Some(process) = &mut self.server.process else { return };
        let flushed = process.engine.lsns().1;
        let Some((_, boot)) = process.opening.take_if(|(after, _)| *after <= flushed) else { return };
        self.server.mark = Some(Mark { boot, last: flushed });
        let marker = Path::new(STATE).join(RESTORED);
        let disk = &self.server.machine.disk;
        if disk.remove(&marker).is_ok() {
            drop(disk.sync_dir(Path::new(STATE)));
        }
        if disk.is_dead() {
            let back = self.server.machine.back_after_ms;
            return self.end(0, Death::PowerCut, back);
        }
        let Some(process) = &mut self.server.process else { return };
        let knocking = std::mem::take(&mut process.knocking);
        knocking.into_iter().for_each(|conn| self.let_in(conn));
    }

    /// How far the state has come is noted beside the keys, once the run is.
    fn note_mark(&mut self) {
        if self.serves()
            && let Some(process) = &self.server.process
            && let Some(mark) = &mut self.server.mark
        {
            mark.last = process.engine.lsns().1;
        }
    }

    pub(super) fn serves(&self) -> bool {
        self.server.process.as_ref().is_some_and(|process| process.opening.is_none())
    }

    /// A server that was asked to stop ends once all it has said is on disk.
    pub(super) fn finish_draining(&mut self) {
        let done = self.server.process.as_ref().is_some_and(|process| process.draining && process.engine.is_quiet());
        if done {
            let back = self.server.machine.back_after_ms;
            self.coverage.sometimes("stopped in order", true);
            self.note_mark();
            self.end(0, Death::Stopped, back);
        }
    }

    pub(super) fn hashed(&mut self, life: u64, job: JobId, done: rejoin::model::engine::Hashed) {
        if self.server.machine.life == life && self.server.machine.alive {
            self.tell(Input::Hashed { job, done });
        }
    }

    /// Asked to stop in order.
    pub(super) fn stop_server(&mut self, eta_ms: u64) {
        if let Some(process) = &mut self.server.process {
            process.draining = true;
            self.tell(Input::Drain { eta: std::time::Duration::from_millis(eta_ms) });
            self.hear_journal();
        }
    }

    /// An upgrade: the first run only writes, the second begins with what it wrote.
    pub(super) fn run_before(&mut self) {
        if self.plan.mode == crate::sim::plan::Mode::Upgrade {
            self.server.machine.back_after_ms = 40;
            self.later(self.plan.heal_at_ms / 3, Task::Then(super::world::Then::Upgrade));
        }
    }
}

/// As an operator does who puts the file back; what recovery has cut off needs no repair.
fn put_back(disk: &FaultyDisk, path: &Path, at: usize, byte: u8) {
    disk.damage(path, |bytes| {
        if let Some(damaged) = bytes.get_mut(at) {
            *damaged = byte;
        }
    });
}
