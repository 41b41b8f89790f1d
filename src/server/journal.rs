//! The journal's own thread: takes all that waits, writes it as one frame, syncs once, reports.
//!
//! A full disk is not an end: a reserve file gives back enough space for what was decided already, the engine is told
//! to refuse changes, and when there is room for a new reserve it is told to go on.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::model::fact::Fact;
use crate::model::id::Lsn;
use crate::ops::host::Stopwatch;
use crate::ops::metrics::Metrics;
use crate::store::{Disk, Journal, StoreError};

/// What the journal has to say; only the newest counts.
#[derive(Clone, Debug)]
pub struct JournalStatus {
    /// Facts up to here are on disk.
    pub flushed: Lsn,
    /// The disk is full: no more changes.
    pub full: bool,
    /// The journal cannot go on: end, and recover.
    pub failed: Option<StoreError>,
}

/// The work of the journal, to be run by whatever [`RunJournal`] has for it.
pub struct JournalWork {
    journal: Journal<Fact>,
    tasks: mpsc::UnboundedReceiver<Task>,
    status: watch::Sender<JournalStatus>,
    disk: Arc<dyn Disk>,
    reserve: PathBuf,
    reserve_bytes: usize,
    reserved: bool,
    arrived: Vec<Task>,
    waiting: Vec<Vec<Fact>>,
    metrics: Arc<Metrics>,
}

/// How the journal gets its time: a thread in the product, a task in the simulation.
pub trait RunJournal: Send + Sync {
    /// Runs the work until the engine lets go of it.
    fn run(&self, work: JournalWork);

    /// Calls `step` every few seconds, for ever.
    fn run_snapshots(&self, step: Box<dyn FnMut() + Send>);
}

/// How long the disk of a simulation takes.
#[doc(hidden)]
pub type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether there is more to do before the next batch is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Done,
    Again,
}

/// A thread of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnThread;

/// What the journal is to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Write a batch.
    Append(Vec<Fact>),
    /// Close the segment, so that a snapshot can be made of all up to here.
    Seal(oneshot::Sender<Result<bool, StoreError>>),
}

/// The engine's end.
pub(crate) struct JournalHandle {
    pub(crate) tasks: mpsc::UnboundedSender<Task>,
    pub(crate) status: watch::Receiver<JournalStatus>,
}

/// Batches in one frame at most.
const BATCHES_MAX: usize = 4096;
/// Space kept for what was decided before the engine hears that the disk is full.
pub const RESERVE_BYTES: usize = 4 * 1024 * 1024;
/// The file that keeps it.
const RESERVE: &str = "reserve";
/// How often sealed segments are looked at.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);
/// How often a full disk is tried again.
const FULL_RETRY: Duration = Duration::from_millis(500);

impl JournalWork {
    /// The work, and the end that the engine keeps. What is given to the engine's end is bounded by the engine: it
    /// takes no requests while too many facts are not on disk.
    pub(crate) fn new(
        journal: Journal<Fact>,
        disk: Arc<dyn Disk>,
        dir: &Path,
        reserve_bytes: usize,
        metrics: Arc<Metrics>,
    ) -> (Self, JournalHandle) {
        let (sender, tasks) = mpsc::unbounded_channel();
        let first = JournalStatus { flushed: journal.last(), full: false, failed: None };
        let (status, watch) = watch::channel(first);
        let reserve = dir.join(RESERVE);
        let (reserved, arrived, waiting) = (false, Vec::new(), Vec::new());
        let work = Self { journal, tasks, status, disk, reserve, reserve_bytes, reserved, arrived, waiting, metrics };
        (work, JournalHandle { tasks: sender, status: watch })
    }

    /// Says that the disk cannot be trusted any more.
    pub(crate) fn failed(&self) -> impl Fn(StoreError) + Send + Sync + use<> {
        let status = self.status.clone();
        move |error| status.send_modify(|status| status.failed = Some(error))
    }

    /// Blocks a thread with the work.
    pub fn run_blocking(mut self) {
        while self.tasks.blocking_recv_many(&mut self.arrived, BATCHES_MAX) > 0 {
            while self.step() == Step::Again {
                std::thread::sleep(FULL_RETRY);
            }
        }
    }

    /// Does the work on a task, which every write blocks; `pause` comes before each, and what has come by then is
    /// written too.
    #[doc(hidden)]
    pub async fn run_async(mut self, mut pause: impl FnMut() -> Pause + Send) {
        while self.tasks.recv_many(&mut self.arrived, BATCHES_MAX).await > 0 {
            pause().await;
            while self.step() == Step::Again {
                tokio::time::sleep(FULL_RETRY).await;
            }
        }
    }

    /// Writes what waits, and what has come since.
    fn step(&mut self) -> Step {
        while self.waiting.len() + self.arrived.len() < BATCHES_MAX
            && let Ok(more) = self.tasks.try_recv()
        {
            self.arrived.push(more);
        }
        let mut seals = Vec::new();
        for task in self.arrived.drain(..) {
            match task {
                Task::Append(batch) => self.waiting.push(batch),
                Task::Seal(done) => seals.push(done),
            }
        }
        let step = self.write_all();
        // Whoever asked for it is answered in any case; what waits behind a full disk is not in it.
        for done in seals {
            let sealed = self.journal.seal();
            if let Err(error) = &sealed
                && !matches!(error, StoreError::Full { .. })
            {
                self.status.send_modify(|status| status.failed = Some(error.clone()));
            }
            // The one who asked may be gone.
            drop(done.send(sealed));
        }
        step
    }

    fn write_all(&mut self) -> Step {
        let mut written = self.write();
        if matches!(written, Err(StoreError::Full { .. })) {
            self.status.send_modify(|status| status.full = true);
            // Its space goes to what waits.
            let _ = self.disk.remove(&self.reserve);
            self.reserved = false;
            written = self.write();
        }
        match written {
            Ok(()) => {}
            Err(StoreError::Full { .. }) => return self.again(),
            Err(error) => {
                self.status.send_modify(|status| status.failed = Some(error));
                self.tasks.close();
                self.waiting.clear();
                return Step::Done;
            }
        }
        self.reserved = self.reserved || self.reserve();
        self.status.send_if_modified(|status| std::mem::replace(&mut status.full, !self.reserved) == self.reserved);
        if self.reserved { Step::Done } else { self.again() }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if !self.waiting.is_empty() {
            let watch = Stopwatch::start();
            let flushed = self.journal.append(&self.waiting)?;
            self.metrics.synced(watch.elapsed());
            self.waiting.clear();
            self.status.send_modify(|status| status.flushed = flushed);
        }
        Ok(())
    }

    /// A full disk is tried again as long as the engine is there.
    fn again(&self) -> Step {
        if self.tasks.is_closed() && self.tasks.is_empty() { Step::Done } else { Step::Again }
    }

    /// Keeps space aside; whether there was enough.
    fn reserve(&self) -> bool {
        let made = match self.disk.create(&self.reserve) {
            Ok(mut file) => file.append(&vec![0; self.reserve_bytes]).and_then(|()| file.sync()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return true,
            Err(error) => Err(error),
        };
        if made.is_err() {
            let _ = self.disk.remove(&self.reserve);
        }
        made.is_ok()
    }
}

impl RunJournal for OnThread {
    fn run(&self, work: JournalWork) {
        let named = std::thread::Builder::new().name("journal".to_owned());
        named.spawn(|| work.run_blocking()).expect("a thread can be started");
    }

    fn run_snapshots(&self, mut step: Box<dyn FnMut() + Send>) {
        let named = std::thread::Builder::new().name("snapshots".to_owned());
        let repeat = move || loop {
            std::thread::sleep(SNAPSHOT_EVERY);
            step();
        };
        named.spawn(repeat).expect("a thread can be started");
    }
}
