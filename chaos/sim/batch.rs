//! Many worlds, on some threads.
#![allow(clippy::disallowed_methods, reason = "worlds are counted by the clock of the machine")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::lane::Lane;
use super::outcome::{Coverage, Outcome};
use super::plan::{Focus, Plan};
use super::swarm;

/// A world that takes longer than this on the clock of the machine hangs.
const HANGS_AFTER: Duration = Duration::from_secs(120);
/// How often the threads are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which worlds.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) lane: Lane,
    pub(crate) seeds: Range<u64>,
    pub(crate) players: u8,
    /// Of the worlds that look somewhere most, only those that look here.
    pub(crate) focus: Option<Focus>,
    pub(crate) jobs: usize,
    /// No world begins after this.
    pub(crate) until: Option<Instant>,
    /// Whether the first failure ends it.
    pub(crate) first_only: bool,
}

/// What came of them.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) worlds: u64,
    pub(crate) simulated_ms: u64,
    pub(crate) took: Duration,
    pub(crate) coverage: Coverage,
    /// Of the worlds that failed, by seed.
    pub(crate) failed: BTreeMap<u64, Outcome>,
}

impl Batch {
    /// The plan of one of its seeds.
    pub(crate) fn plan(&self, seed: u64) -> Plan {
        plan(self.lane, seed, self.players, self.focus)
    }

    /// Runs them.
    ///
    /// # Panics
    /// If a world hangs; the message names the seed.
    pub(crate) fn run(&self) -> Sum {
        let begun = Instant::now();
        let (next, enough) = (AtomicU64::new(self.seeds.start), AtomicBool::new(false));
        let at_work: Mutex<BTreeMap<u64, Instant>> = Mutex::new(BTreeMap::new());
        let (tell, told) = channel();
        let mut sum = Sum::default();
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                let (next, enough, at_work, tell) = (&next, &enough, &at_work, tell.clone());
                scope.spawn(move || {
                    while !enough.load(Ordering::Relaxed) && self.until.is_none_or(|until| Instant::now() < until) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.seeds.end {
                            return;
                        }
                        at_work.lock().unwrap().insert(seed, Instant::now());
                        let outcome = self.lane.run(&self.plan(seed), false);
                        at_work.lock().unwrap().remove(&seed);
                        if tell.send((seed, outcome)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(tell);
            loop {
                match told.recv_timeout(LOOK_EVERY) {
                    Ok((seed, outcome)) => {
                        if self.first_only && !outcome.violations.is_empty() {
                            enough.store(true, Ordering::Relaxed);
                        }
                        sum.add(seed, outcome);
                    }
                    Err(RecvTimeoutError::Timeout) => self.look(&at_work.lock().unwrap()),
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            }
        });
        sum.took = begun.elapsed();
        sum
    }

    fn look(&self, at_work: &BTreeMap<u64, Instant>) {
        if let Some((seed, _)) = at_work.iter().find(|(_, begun)| begun.elapsed() > HANGS_AFTER) {
            // A thread cannot be ended from outside.
            eprintln!("FAILED: the world of seed {seed} ({} lane) hangs", self.lane.name());
            std::process::exit(1);
        }
    }
}

/// What a seed is in a lane: faults that the lane does not know are left out. With a focus it is what it would be had it
/// drawn that one.
pub(crate) fn plan(lane: Lane, seed: u64, players: u8, focus: Option<Focus>) -> Plan {
    let mut plan = swarm::plan(seed, players, focus);
    plan.faults.retain(|fault| lane.knows(&fault.kind));
    plan
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.worlds += 1;
        self.simulated_ms += outcome.simulated_ms;
        let Outcome { violations, simulated_ms, hash, coverage, trace } = outcome;
        self.coverage.add(coverage);
        if !violations.is_empty() {
            let outcome = Outcome { violations, simulated_ms, hash, coverage: Coverage::default(), trace };
            self.failed.insert(seed, outcome);
        }
    }
}
