//! A guardian: a process of its own that ends what a run has started, and removes its files, when the run is gone.
//!
//! What must hold: whatever ends the run – its end, Ctrl-C, `kill -9` – the guardian hears it by the end of its input,
//! which no signal to the run can prevent; and a process id that was reaped is never signalled.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group, setsid};

use super::power::unmount_later;

/// Watches over a run (started by the run itself).
#[derive(Debug, clap::Args)]
pub(super) struct Guard {}

/// The run's end of it.
pub(super) struct Guardian {
    child: Child,
    orders: Option<ChildStdin>,
}

/// What the guardian is told, a line each.
const RUNS: &str = "runs ";
const ENDED: &str = "ended ";
const REMOVE: &str = "remove ";
const KEEP: &str = "keep ";
const MOUNTED: &str = "mounted ";

impl Guard {
    /// Until the input ends; then cleans up.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        // Away from the terminal: Ctrl-C is for the run.
        let _ = setsid();
        let (mut groups, mut dirs, mut mounts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if let Some(pid) = line.strip_prefix(RUNS) {
                groups.extend(pid.parse::<i32>());
            } else if let Some(pid) = line.strip_prefix(ENDED) {
                pid.parse::<i32>().iter().for_each(|pid| _ = groups.remove(pid));
            } else if let Some(dir) = line.strip_prefix(REMOVE) {
                dirs.insert(PathBuf::from(dir));
            } else if let Some(dir) = line.strip_prefix(MOUNTED) {
                mounts.insert(PathBuf::from(dir));
            } else if let Some(dir) = line.strip_prefix(KEEP) {
                dirs.remove(Path::new(dir));
            }
        }
        for pid in groups.iter().copied().filter_map(Pid::from_raw) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        for _ in 0..WAITS {
            if groups.iter().all(|pid| has_ended(*pid)) {
                break;
            }
            std::thread::sleep(WAIT);
        }
        // After a run that has ended by itself nothing is mounted any more.
        mounts.iter().filter(|dir| is_mounted(dir)).for_each(|dir| _ = unmount_later(dir));
        // Who was just killed may still be writing there.
        for dir in dirs {
            let _ = (0..REMOVE_TRIES).any(|_| std::fs::remove_dir_all(&dir).is_ok() || !dir.exists());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Whoever was killed is gone soon; nobody tells who is not the parent.
const WAITS: usize = 400;
const WAIT: Duration = Duration::from_millis(5);
const REMOVE_TRIES: usize = 100;

/// Whether a process is gone, or only waits for its parent to ask how it ended.
fn has_ended(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.map_or(true, |status| status.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

/// Whether something is mounted there: a directory on another device than the one above it.
fn is_mounted(dir: &Path) -> bool {
    let device = |of: &Path| std::fs::metadata(of).map(|meta| std::os::unix::fs::MetadataExt::dev(&meta)).ok();
    dir.parent().is_some_and(|above| device(dir).is_some() && device(dir) != device(above))
}

impl Guardian {
    /// Starts one that removes `dir` in the end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(dir: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["chaos", "guard"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().context("the guardian cannot be started")?;
        let orders = child.stdin.take();
        let mut guardian = Self { child, orders };
        guardian.say(REMOVE, &dir.display().to_string());
        Ok(guardian)
    }

    /// A process with a group of its own runs.
    pub(super) fn runs(&mut self, pid: Pid) {
        self.say(RUNS, &pid.as_raw_nonzero().to_string());
    }

    /// It has ended and was waited for.
    pub(super) fn ended(&mut self, pid: Pid) {
        self.say(ENDED, &pid.as_raw_nonzero().to_string());
    }

    /// Something is, or is about to be, mounted there.
    pub(super) fn mounts(&mut self, dir: &Path) {
        self.say(MOUNTED, &dir.display().to_string());
    }

    /// The files stay.
    pub(super) fn keep(&mut self, dir: &Path) {
        self.say(KEEP, &dir.display().to_string());
    }

    fn say(&mut self, word: &str, what: &str) {
        // A guardian that is gone guards nothing; the run goes on and cleans up by itself.
        let _ = self.orders.as_mut().map(|orders| writeln!(orders, "{word}{what}").and_then(|()| orders.flush()));
    }
}

impl Drop for Guardian {
    /// The guardian cleans up, and this waits for it.
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}
