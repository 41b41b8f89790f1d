//! The server: the real engine and the real store; what its shell does between them is done here, by the world's time.
//!
//! What must hold: facts are durable when the sync that takes its simulated time is done, and only then the engine hears
//! `Flushed`; nobody is served before the start is on disk.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use rejoin::chaos::history::{Record, What};
use rejoin::model::engine::{Engine, Input, JobId, Settings};
use rejoin::model::fact::Fact;
use rejoin::model::id::{Boot, ConnId, Lsn};
use rejoin::model::key::{SecretKey, ServerId};
use rejoin::model::state::State;
use rejoin::model::time::Now;
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
const RESPAWN_MS: u64 = 150;
/// How often sealed segments are looked at, in a world with small ones.
const SNAPSHOT_EVERY_MS: u64 = 700;
/// Larger segments are none that fill up in a world.
const SMALL_SEGMENT: u64 = 64 * 1024;
/// How soon a full disk is tried again.
const FULL_RETRY_MS: u64 = 500;
/// Space kept aside for what was decided when the disk fills up.
const RESERVE_BYTES: usize = 8 * 1024;
const RESERVE: &str = "reserve";

/// The server's machine, and what outlives its process.
pub(super) struct Server {
    pub(super) machine: Machine,
    pub(super) key: SecretKey,
    pub(super) id: ServerId,
    /// The file beside the keys.
    pub(super) boot: Option<Boot>,
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
    journal: Journal<Fact>,
    /// Decided and not given to the disk yet.
    waiting: Vec<Vec<Fact>>,
    /// Given to the disk, and when it will be done.
    syncing: Option<(u64, Vec<Vec<Fact>>)>,
    full: bool,
    reserved: bool,
    /// Of whom it has heard, by connection.
    pub(super) guests: BTreeMap<ConnId, Guest>,
    /// Whose words are not dealt with, by the fact the replies wait for.
    pub(super) turns: VecDeque<(Lsn, ConnId)>,
    /// Those that have said hello before the start was on disk.
    pub(super) knocking: Vec<usize>,
    /// The fact that must be on disk before anybody is served, and this run.
    opening: Option<(Lsn, Boot)>,
    pub(super) draining: bool,
    snapshotter: Snapshotter<State>,
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
            boot: None,
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
        let newest = head.boot;
        let older = |seen: Boot| seen.number > newest.number || (seen.number == newest.number && seen != newest);
        let lost = restored || self.server.boot.is_some_and(older);
        if !lost && head.uptime.0 < self.server.uptime {
            self.figures.backwards.push(format!("up-time {} ms after {}", head.uptime.0, self.server.uptime));
        }
        self.server.uptime = head.uptime.0;
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

    /// The journal's thread takes all that waits.
    fn begin_sync(&mut self) {
        let takes = self.chance_of_sync();
        let Some(process) = &mut self.server.process else { return };
        if process.syncing.is_none() && !process.waiting.is_empty() {
            process.syncing = Some((self.now + takes, std::mem::take(&mut process.waiting)));
        }
    }

    fn chance_of_sync(&self) -> u64 {
        let due = self.server.process.as_ref().is_some_and(|of| of.syncing.is_none() && !of.waiting.is_empty());
        if due { self.chance.between(0, 2) + self.server.machine.sync_ms } else { 0 }
    }

    /// When the server has something to do.
    pub(super) fn server_waits(&mut self) {
        let Some(process) = &self.server.process else {
            self.server.due = u64::MAX;
            return;
        };
        let machine = &self.server.machine;
        let silent = process.guests.values().map(|guest| guest.silence.deadline()).min().unwrap_or(Now::NEVER);
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

    /// The sync is done.
    fn synced(&mut self) {
        let Some((_, batches)) = self.server.process.as_mut().and_then(|process| process.syncing.take()) else {
            return;
        };
        let disk = self.server.machine.disk.clone();
        let Some(process) = &mut self.server.process else { return };
        match process.write(&disk, batches, self.now) {
            Ok(()) => {}
            Err(_) if disk.is_dead() => {
                let back = self.server.machine.back_after_ms;
                self.coverage.sometimes("power cut in a write of the journal", true);
                return self.end(0, Death::PowerCut, back);
            }
            Err(error) => {
                self.note(0, || format!("the journal cannot go on: {error}"));
                self.coverage.sometimes("journal failed, and was recovered", true);
                return self.end(0, Death::Failed, RESPAWN_MS);
            }
        }
        self.hear_journal();
    }

    fn hear_journal(&mut self) {
        let Some(process) = &mut self.server.process else { return };
        let (_, flushed) = process.engine.lsns();
        let last = process.journal.last();
        if last > flushed {
            process.inputs.push_back(Input::Flushed(last));
        }
        let full = !process.reserved;
        if full != process.full {
            process.full = full;
            process.inputs.push_back(Input::DiskFull(full));
            self.note(0, || format!("disk full: {full}"));
            self.coverage.sometimes("disk full, and the server went on", full);
        }
        self.drive();
        self.end_turns();
        self.finish_opening();
        self.finish_draining();
    }

    /// The start is on disk: the file beside the keys is written, and whoever knocks is let in.
    fn finish_opening(&mut self) {
        let Some(process) = &mut self.server.process else { return };
        let flushed = process.engine.lsns().1;
        let Some((_, boot)) = process.opening.take_if(|(after, _)| *after <= flushed) else { return };
        self.server.boot = Some(boot);
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

    pub(super) fn serves(&self) -> bool {
        self.server.process.as_ref().is_some_and(|process| process.opening.is_none())
    }

    /// A server that was asked to stop ends once all it has said is on disk.
    fn finish_draining(&mut self) {
        let done = self.server.process.as_ref().is_some_and(|process| process.draining && process.engine.is_quiet());
        if done {
            let back = self.server.machine.back_after_ms;
            self.coverage.sometimes("stopped in order", true);
            self.end(0, Death::Stopped, back);
        }
    }

    fn snapshot(&mut self) {
        let Some(process) = &mut self.server.process else { return };
        let made = process.snapshotter.step();
        let disk = &self.server.machine.disk;
        if disk.is_dead() {
            let back = self.server.machine.back_after_ms;
            self.coverage.sometimes("power cut in a snapshot", true);
            return self.end(0, Death::PowerCut, back);
        }
        match made {
            Ok(None) => {}
            Ok(Some(step)) => {
                self.coverage.sometimes("snapshot made", true);
                self.note(0, || format!("snapshot up to fact {}", step.last.0));
            }
            Err(error @ StoreError::SyncFailed { .. }) => {
                self.note(0, || format!("snapshot: {error}"));
                return self.end(0, Death::Failed, RESPAWN_MS);
            }
            Err(error) => {
                self.coverage.sometimes("disk full in a snapshot", matches!(error, StoreError::Full { .. }));
                self.note(0, || format!("no snapshot: {error}"));
            }
        }
        self.server_waits();
    }

    /// The process ends while the disk is at work: some of what it was to do is done.
    pub(super) fn break_in_sync(&mut self, how: Death) {
        let Some((_, batches)) = self.server.process.as_mut().and_then(|process| process.syncing.take()) else {
            return;
        };
        let disk = self.server.machine.disk.clone();
        if how == Death::Failed || disk.is_dead() {
            return;
        }
        let done = self.chance.between(1, 3);
        disk.cut_power_at(disk.operations() + done);
        if let Some(process) = &mut self.server.process {
            let written = process.write(&disk, batches, self.now);
            self.coverage.sometimes("crash between write and sync", written.is_err() && done > 1);
            self.coverage.sometimes("crash between sync and acknowledgement", written.is_ok());
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

impl Process {
    /// One step of the journal's thread: writes, syncs, keeps space aside.
    fn write(&mut self, disk: &FaultyDisk, batches: Vec<Vec<Fact>>, at_ms: u64) -> Result<(), StoreError> {
        let reserve = Path::new(STATE).join(RESERVE);
        let mut written = self.journal.append(&batches);
        if matches!(written, Err(StoreError::Full { .. })) {
            // Its space goes to what waits.
            let _ = disk.remove(&reserve);
            self.reserved = false;
            written = self.journal.append(&batches);
        }
        match written {
            Ok(_) => self.reserved = self.reserved || keep_aside(disk, &reserve),
            Err(StoreError::Full { .. }) => {
                self.syncing = Some((at_ms + FULL_RETRY_MS, batches));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if !self.reserved {
            self.syncing = Some((at_ms + FULL_RETRY_MS, Vec::new()));
        }
        Ok(())
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

/// Keeps space aside; whether there was enough.
fn keep_aside(disk: &FaultyDisk, reserve: &Path) -> bool {
    let made = match disk.create(reserve) {
        Ok(mut file) => file.append(&[0; RESERVE_BYTES]).and_then(|()| file.sync()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return true,
        Err(error) => Err(error),
    };
    if made.is_err() {
        let _ = disk.remove(reserve);
    }
    made.is_ok()
}
