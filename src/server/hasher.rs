//! Password hashing, off the loop: the seam between the engine's `Effect::Hash` and the processors.
//!
//! Invariants: every job that was taken is answered once, as long as the hasher lives; the queue is bounded and a full
//! one refuses; an unknown user costs as much time as a wrong password. Nothing is hashed, and no arena is filled,
//! before the first job.

mod argon;

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};

pub use argon::{Argon, hash_now};

use crate::model::engine::{Hashed, Hashing, JobId};
use crate::model::limits::HASH_QUEUE_MAX;
use crate::model::password::{Password, PasswordHash};
use crate::model::time::Entropy;

/// Who hashes.
pub trait Hasher: Send + Sync {
    /// Takes a job; its result goes to the [`Done`] the hasher was made with. Never waits.
    ///
    /// # Errors
    /// [`Full`] when [`HASH_QUEUE_MAX`] jobs wait.
    fn start(&self, job: JobId, hashing: Hashing) -> Result<(), Full>;
}

/// Where results go; called on a hashing thread, once a job. The shell of the server makes `Input::Hashed` of it.
pub type Done = Arc<dyn Fn(JobId, Hashed) + Send + Sync>;

/// Too many jobs wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{HASH_QUEUE_MAX} passwords wait to be hashed: try again in a moment")]
pub struct Full;

/// Threads that hash with argon2id, each in an arena of its own. When this is dropped they finish the password in
/// work, leave the rest, and end.
pub struct HashThreads {
    jobs: SyncSender<(JobId, Hashing)>,
    stop: Arc<AtomicBool>,
}

impl HashThreads {
    /// Starts the threads; [`spare_cores`] is the usual number.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(threads: NonZeroUsize, entropy: &Arc<dyn Entropy>, done: &Done) -> io::Result<Self> {
        let (sender, queue) = sync_channel(HASH_QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let stop = Arc::new(AtomicBool::new(false));
        for number in 0..threads.get() {
            let worker = Worker {
                queue: Arc::clone(&queue),
                stop: Arc::clone(&stop),
                entropy: Arc::clone(entropy),
                done: Arc::clone(done),
            };
            thread::Builder::new().name(format!("hash-{number}")).spawn(move || worker.run())?;
        }
        Ok(Self { jobs: sender, stop })
    }
}

impl Hasher for HashThreads {
    fn start(&self, job: JobId, hashing: Hashing) -> Result<(), Full> {
        match self.jobs.try_send((job, hashing)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Full),
            Err(TrySendError::Disconnected(_)) => unreachable!("the threads hold the queue as long as this lives"),
        }
    }
}

impl Drop for HashThreads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for HashThreads {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("HashThreads").finish_non_exhaustive()
    }
}

/// One thread fewer than there are cores, at least one: hashing must not starve the loop.
#[must_use]
pub fn spare_cores() -> NonZeroUsize {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(cores - 1).unwrap_or(NonZeroUsize::MIN)
}

/// One hashing thread.
struct Worker {
    queue: Arc<Mutex<Receiver<(JobId, Hashing)>>>,
    stop: Arc<AtomicBool>,
    entropy: Arc<dyn Entropy>,
    done: Done,
}

impl Worker {
    fn run(self) {
        step_back();
        let mut argon = Argon::default();
        while let Some((job, hashing)) = self.next() {
            (self.done)(job, argon.carry_out(&hashing, &*self.entropy));
        }
    }

    fn next(&self) -> Option<(JobId, Hashing)> {
        // Receiving cannot leave the queue half changed, so a poisoned lock means nothing here.
        let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()?;
        (!self.stop.load(Ordering::Relaxed)).then_some(next)
    }
}

/// Lets every other thread go first. Only Linux can do this for one thread alone.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        /// The weakest priority there is.
        const NICE: i32 = 19;
        // Refused in some sandboxes: then hashing only competes as everything else does.
        let _ = rustix::process::nice(NICE);
    }
}

/// Answers at once and always the same: for the simulation, where hashing is not what is looked at.
#[doc(hidden)]
pub struct FakeHasher {
    done: Done,
}

impl FakeHasher {
    /// Results go to `done`, within `start`.
    #[must_use]
    pub const fn new(done: Done) -> Self {
        Self { done }
    }

    /// What it makes of a password.
    #[must_use]
    pub fn mark(password: &Password) -> PasswordHash {
        let digest = Sha256::digest(password.expose());
        PasswordHash::new(format!("$fake${}", data_encoding::HEXLOWER.encode(&digest)))
    }
}

impl Hasher for FakeHasher {
    fn start(&self, job: JobId, hashing: Hashing) -> Result<(), Full> {
        let done = match hashing {
            Hashing::Make(password) => Hashed::Made(Self::mark(&password)),
            Hashing::Verify { password, against } if against == Some(Self::mark(&password)) => Hashed::Right,
            Hashing::Change { old, against, new } if against == Self::mark(&old) => Hashed::Made(Self::mark(&new)),
            Hashing::Verify { .. } | Hashing::Change { .. } => Hashed::Wrong,
        };
        (self.done)(job, done);
        Ok(())
    }
}

impl fmt::Debug for FakeHasher {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("FakeHasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::ops::host::HostEntropy;

    #[test]
    fn every_kind_of_job_is_answered_with_its_number() {
        let (hasher, results) = threads(2);
        let ask = |number, hashing| {
            hasher.start(JobId(number), hashing).unwrap();
            let (job, done) = results.recv().unwrap();
            assert_eq!(job, JobId(number));
            done
        };
        let Hashed::Made(hash) = ask(1, Hashing::Make(password("first secret"))) else { panic!("no hash") };
        let verify = |typed| Hashing::Verify { password: password(typed), against: Some(hash.clone()) };
        assert_eq!(ask(2, verify("first secret")), Hashed::Right);
        assert_eq!(ask(3, verify("first secreT")), Hashed::Wrong);
        let change = |old| Hashing::Change { old: password(old), against: hash.clone(), new: password("second") };
        assert_eq!(ask(4, change("wrong")), Hashed::Wrong);
        let Hashed::Made(second) = ask(5, change("first secret")) else { panic!("no hash") };
        assert_eq!(ask(6, Hashing::Verify { password: password("second"), against: Some(second) }), Hashed::Right);
    }

    #[test]
    fn a_full_queue_refuses_and_every_job_taken_is_answered_once() {
        let (open, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let (answer, results) = channel();
        let done: Done = Arc::new(move |job, _| {
            // Ends with an error once the gate is open for good.
            let _ = gate.lock().unwrap().recv();
            answer.send(job).unwrap();
        });
        let hasher = HashThreads::spawn(NonZeroUsize::MIN, &entropy(), &done).unwrap();
        let taken = (0..).take_while(|number| hasher.start(JobId(*number), quick()).is_ok()).count();
        // One more than the queue holds if the thread has already taken the first.
        assert!((HASH_QUEUE_MAX..=HASH_QUEUE_MAX + 1).contains(&taken), "{taken}");
        drop(open);
        let answered: Vec<_> = results.iter().take(taken).collect();
        assert_eq!(answered, (0..taken as u64).map(JobId).collect::<Vec<_>>());
        hasher.start(JobId(1_000), quick()).unwrap();
        assert_eq!(results.recv(), Ok(JobId(1_000)), "nothing was answered twice");
    }

    #[test]
    fn the_threads_end_when_the_hasher_is_dropped_and_leave_what_waits() {
        let (hasher, results) = threads(2);
        let slow = || Hashing::Verify { password: password("typed"), against: None };
        (0..HASH_QUEUE_MAX as u64).for_each(|number| hasher.start(JobId(number), slow()).unwrap());
        drop(hasher);
        // The channel ends only when both threads have let go of their sender.
        let answered = results.iter().count();
        assert!(answered < HASH_QUEUE_MAX, "{answered} were hashed for nobody");
    }

    #[test]
    fn the_fake_tells_right_from_wrong_at_once() {
        let (done, results) = collector();
        let fake = FakeHasher::new(done);
        let ask = |hashing| {
            fake.start(JobId(1), hashing).unwrap();
            results.try_recv().unwrap().1
        };
        let hash = FakeHasher::mark(&password("a"));
        assert_eq!(ask(Hashing::Make(password("a"))), Hashed::Made(hash.clone()));
        assert_eq!(ask(Hashing::Verify { password: password("a"), against: Some(hash.clone()) }), Hashed::Right);
        assert_eq!(ask(Hashing::Verify { password: password("b"), against: Some(hash.clone()) }), Hashed::Wrong);
        assert_eq!(ask(Hashing::Verify { password: password("a"), against: None }), Hashed::Wrong);
        let change = Hashing::Change { old: password("b"), against: hash, new: password("c") };
        assert_eq!(ask(change), Hashed::Wrong);
    }

    fn threads(number: usize) -> (HashThreads, Receiver<(JobId, Hashed)>) {
        let (done, results) = collector();
        let hasher = HashThreads::spawn(NonZeroUsize::new(number).unwrap(), &entropy(), &done).unwrap();
        (hasher, results)
    }

    fn collector() -> (Done, Receiver<(JobId, Hashed)>) {
        let (sender, results): (Sender<(JobId, Hashed)>, _) = channel();
        (Arc::new(move |job, done| sender.send((job, done)).unwrap()), results)
    }

    fn entropy() -> Arc<dyn Entropy> {
        Arc::new(HostEntropy)
    }

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    /// A job of microseconds: the smallest parameters there are.
    fn quick() -> Hashing {
        let cheap = "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        Hashing::Verify { password: password("typed"), against: Some(PasswordHash::new(cheap.to_owned())) }
    }
}
