//! Looks at the processes of an experiment ten times a second.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cli::bench::process::{Cost, Process};
use crate::cli::bench::sockets::{Arrived, Sockets};

/// Who is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    One,
    Other,
}

/// One look at all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Seconds since the sampler was started.
    pub(super) at: f64,
    /// By role; none of who is not there yet.
    pub(super) costs: [Option<Cost>; 3],
    /// At sockets of all of them.
    pub(super) arrived: Arrived,
}

pub(super) struct Sampler {
    start: Instant,
    seen: Arc<Mutex<Seen>>,
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    processes: [Option<Process>; 3],
    sockets: Sockets,
    samples: Vec<Sample>,
}

/// How often.
const EVERY: Duration = Duration::from_millis(100);

impl Sampler {
    /// Watches nobody yet.
    #[allow(clippy::disallowed_methods, reason = "a bench reads the clock, finer than in milliseconds")]
    pub(super) fn start() -> Self {
        let (seen, start) = (Arc::new(Mutex::new(Seen::default())), Instant::now());
        let (stop, stopped) = channel();
        let of_thread = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                lock(&of_thread).look(start.elapsed().as_secs_f64());
            }
        });
        Self { start, seen, stop, thread }
    }

    pub(super) fn watch(&self, role: Role, pid: u32) {
        lock(&self.seen).processes[role as usize] = Some(Process::new(pid));
    }

    /// Takes a sample, and says when.
    pub(super) fn mark(&self) -> f64 {
        let at = self.start.elapsed().as_secs_f64();
        lock(&self.seen).look(at);
        at
    }

    /// Waits until so many seconds after the start.
    pub(super) fn sleep_until(&self, at: f64) {
        let left = at - self.start.elapsed().as_secs_f64();
        std::thread::sleep(Duration::from_secs_f64(left.max(0.0)));
    }

    /// All samples.
    pub(super) fn stop(self) -> Vec<Sample> {
        drop(self.stop);
        // It has nothing to panic about; if it does, what it has seen counts.
        let _ = self.thread.join();
        std::mem::take(&mut lock(&self.seen).samples)
    }
}

impl Seen {
    fn look(&mut self, at: f64) {
        let costs = self.processes.each_mut().map(|process| process.as_mut()?.look());
        let pids: Vec<u32> = self.processes.iter().flatten().map(Process::pid).collect();
        // Where the kernel does not tell, the bytes stay at nothing.
        let arrived = self.sockets.look(&pids).unwrap_or_default();
        self.samples.push(Sample { at, costs, arrived });
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
