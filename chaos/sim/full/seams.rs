//! What the real shells are given in a world: clock, randomness, a place to work, keys, passwords.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rejoin::model::id::Mark;
use rejoin::model::key::ServerId;
use rejoin::model::time::{Clock, Entropy, Now, WallMs};
use rejoin::net::certs::Certs;
use rejoin::net::keys::{KeysError, ServerKeys};
use rejoin::ops::work::{Work, Worker, Working};
use rejoin::server::MakeHasher;
use rejoin::server::hasher::{FakeHasher, Hasher};
use rejoin::server::journal::{JournalWork, Pause, RunJournal};
use rejoin::store::faulty::Seeded;
use tokio::time::sleep;

use super::wires::{MachineId, Wires};

/// The clock of a machine; it outlives its processes.
#[derive(Clone)]
pub(super) struct MachineClock {
    wires: Wires,
    rate: Arc<Mutex<Rate>>,
}

/// How the clock runs.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// What it showed at `since_us` of the world's time.
    shown_us: u64,
    since_us: u64,
    drift_permille: i64,
    stands: bool,
    jumped_ms: i64,
}

/// The clock as one process sees it.
pub(super) struct ProcessClock {
    of: MachineClock,
    start_us: u64,
}

/// Random bytes from a seed.
pub(super) struct SeededEntropy(Mutex<Seeded>);

/// How the disk of a machine takes its time, and whether its process gets any.
#[derive(Clone)]
pub(super) struct Pace {
    pub(super) wires: Wires,
    pub(super) machine: MachineId,
    /// Milliseconds that a sync takes longer.
    pub(super) slow_ms: Arc<AtomicU64>,
}

/// Keys that are in no file.
pub(super) struct SimCerts {
    drawn: [u8; 32],
    newest: Mutex<Option<Mark>>,
}

/// How often a process that was stopped is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A sync takes up to this long.
const SYNC_US_MAX: usize = 2_000;
/// How often sealed segments are looked at.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(700);

impl MachineClock {
    pub(super) fn new(wires: Wires) -> Self {
        let rate = Rate { shown_us: 0, since_us: 0, drift_permille: 0, stands: false, jumped_ms: 0 };
        Self { wires, rate: Arc::new(Mutex::new(rate)) }
    }

    /// For a process that starts.
    pub(super) fn start(&self) -> Arc<ProcessClock> {
        Arc::new(ProcessClock { of: self.clone(), start_us: self.shown_us() })
    }

    pub(super) fn jump(&self, ms: i64) {
        self.rate().jumped_ms += ms;
    }

    pub(super) fn drift(&self, permille: i64) {
        let (shown_us, since_us) = (self.shown_us(), self.wires.lock().now_us());
        let mut rate = self.rate();
        *rate = Rate { shown_us, since_us, drift_permille: permille, ..*rate };
    }

    /// A process that is stopped sees no time pass; when it goes on, all of it at once.
    pub(super) fn stand(&self, stands: bool) {
        let shown_us = self.shown_us();
        let mut rate = self.rate();
        if stands {
            // What it shows from now on; where it counts from stays.
            let now = self.wires.lock().now_us();
            *rate = Rate { shown_us, since_us: now, stands, ..*rate };
        } else {
            rate.stands = false;
        }
    }

    fn shown_us(&self) -> u64 {
        let now = self.wires.lock().now_us();
        let rate = *self.rate();
        let passed = if rate.stands { 0 } else { now.saturating_sub(rate.since_us) };
        let per_mille = u64::try_from(1000 + rate.drift_permille).unwrap_or(0);
        rate.shown_us + passed * per_mille / 1000
    }

    fn rate(&self) -> MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Now {
        Now(self.of.shown_us().saturating_sub(self.start_us) / 1000)
    }

    fn wall(&self) -> WallMs {
        let jumped = self.of.rate().jumped_ms;
        WallMs((super::EPOCH_MS + self.of.shown_us() / 1000).saturating_add_signed(jumped))
    }
}

impl SeededEntropy {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Seeded(seed))))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut seeded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&seeded.next().to_le_bytes()[..part.len()]);
        }
    }
}

impl Pace {
    /// Waits as long as the disk takes, and as long as the process is stopped.
    async fn pause(self) {
        let slow = Duration::from_millis(self.slow_ms.load(Ordering::Relaxed));
        let usual = self.wires.lock().random.up_to(SYNC_US_MAX) as u64;
        sleep(slow + Duration::from_micros(usual)).await;
        self.runs().await;
    }

    /// Until the process is not stopped.
    async fn runs(&self) {
        while self.wires.lock().machines[self.machine].frozen {
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Worker for Pace {
    fn start(&self, work: Work) -> Working {
        let pace = self.clone();
        Box::pin(async move {
            pace.pause().await;
            work();
            Ok(())
        })
    }
}

impl RunJournal for Pace {
    fn run(&self, work: JournalWork) {
        let pace = self.clone();
        tokio::spawn(work.run_async(move || Box::pin(pace.clone().pause()) as Pause));
    }

    fn run_snapshots(&self, mut step: Box<dyn FnMut() + Send>) {
        let pace = self.clone();
        tokio::spawn(async move {
            loop {
                sleep(SNAPSHOT_EVERY).await;
                pace.runs().await;
                step();
            }
        });
    }
}

impl SimCerts {
    /// Keys that are made from these bytes, the same each time.
    pub(super) fn new(drawn: [u8; 32]) -> Arc<Self> {
        Arc::new(Self { drawn, newest: Mutex::new(None) })
    }

    pub(super) fn id(&self) -> ServerId {
        ServerKeys::draw(self).id()
    }
}

impl Certs for SimCerts {
    fn keys(&self, _entropy: &dyn Entropy) -> Result<ServerKeys, KeysError> {
        Ok(ServerKeys::draw(self))
    }

    fn mark(&self) -> Result<Option<Mark>, KeysError> {
        Ok(*self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn write_mark(&self, mark: Mark) -> Result<(), KeysError> {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
        Ok(())
    }
}

impl Entropy for SimCerts {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.iter_mut().zip(self.drawn.iter().cycle()).for_each(|(byte, drawn)| *byte = *drawn);
    }
}

/// Passwords that cost nothing.
pub(super) fn hasher() -> MakeHasher {
    Arc::new(|done| Ok(Box::new(FakeHasher::new(done)) as Box<dyn Hasher>))
}
