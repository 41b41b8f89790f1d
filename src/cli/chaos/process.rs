//! A process of the run: in a group of its own, heard line by line, and known to the guardian.
//!
//! What must hold: what it said is heard before its end is; and it is signalled only until its end was heard.

use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::foreign::parent;
use super::guard::Guardian;
use crate::model::time::Clock;
use crate::ops::host::HostClock;
use crate::server::supervise::SUPERVISED;

/// Something that was heard of a process.
#[derive(Debug)]
pub(super) struct Heard {
    /// When, in the time of the run.
    pub(super) at_ms: u64,
    /// Of whom: an index of the run.
    pub(super) who: usize,
    /// Of which of its lives.
    pub(super) life: u32,
    pub(super) said: Said,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Said {
    /// A line of its standard output.
    Line(String),
    /// It has ended, and everything it said was heard before; `None`: nobody knows how.
    Ended(Option<ExitStatus>),
}

/// Where what is heard goes.
#[derive(Clone)]
pub(super) struct Ear {
    pub(super) clock: HostClock,
    pub(super) to: UnboundedSender<Heard>,
}

/// One life of a process.
pub(super) struct Process {
    pid: Pid,
    typing: Option<UnboundedSender<String>>,
}

/// A command of this program, with nothing of the environment that would change what it does, in `home`.
pub(super) fn this_program(home: &Path) -> anyhow::Result<Command> {
    Ok(cleaned(Command::new(std::env::current_exe()?), home))
}

/// A command without the parts of the environment that would change what it does, in `home`.
pub(super) fn cleaned(mut command: Command, home: &Path) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REJOIN_")) {
        command.env_remove(name);
    }
    command.current_dir(home);
    command
}

/// How often it is looked whether a process of others is still there.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

impl Process {
    /// Starts a life. What it writes to standard error is added to `log`.
    ///
    /// Call it from the thread that lives as long as the run: on Linux a server dies with the thread that started it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        mut command: Command,
        log: &Path,
        (who, life): (usize, u32),
        ear: &Ear,
        guardian: &mut Guardian,
    ) -> anyhow::Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::from(log));
        command.process_group(0).kill_on_drop(true).env(SUPERVISED, std::process::id().to_string());
        let mut child = command.spawn().context("a process cannot be started")?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let pid = pid.context("a process without an id")?;
        guardian.runs(pid);
        let (mut stdin, stdout) =
            (child.stdin.take().context("no standard input")?, child.stdout.take().context("no standard output")?);
        let (typing, mut lines) = unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                // Its reader may be dead by now.
                if stdin.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let ear = ear.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            let tell = |said| drop(ear.to.send(Heard { at_ms: ear.clock.now().0, who, life, said }));
            while let Ok(Some(line)) = lines.next_line().await {
                tell(Said::Line(line));
            }
            let status = child.wait().await.ok();
            tell(Said::Ended(status));
        });
        Ok(Self { pid, typing: Some(typing) })
    }

    /// A process that somebody else has started, and whose end is heard of a little late.
    pub(super) fn of_others(pid: Pid, (who, life): (usize, u32), ear: &Ear) -> Self {
        let ear = ear.clone();
        tokio::spawn(async move {
            let raw = pid.as_raw_nonzero().get();
            let under = parent(raw);
            // Its id may be given to another one; that has another parent, or the same would be seen as its next life.
            while under.is_some() && parent(raw) == under {
                tokio::time::sleep(LOOK).await;
            }
            let _ = ear.to.send(Heard { at_ms: ear.clock.now().0, who, life, said: Said::Ended(None) });
        });
        Self { pid, typing: None }
    }

    pub(super) const fn pid(&self) -> Pid {
        self.pid
    }

    /// Types a line.
    pub(super) fn type_line(&self, line: &str) {
        // Who has ended hears nothing; its end says so.
        let _ = self.typing.as_ref().map(|typing| typing.send(format!("{line}\n")));
    }

    /// Nothing more will be typed.
    pub(super) fn hang_up(&mut self) {
        self.typing = None;
    }

    /// Whether the signal could be sent.
    pub(super) fn signal(&self, signal: Signal) -> bool {
        kill_process(self.pid, signal).is_ok()
    }

    /// Whether the kernel says that it stands still.
    pub(super) fn is_stopped(&self) -> bool {
        self.status("State:").is_some_and(|state| state.starts_with('T'))
    }

    /// Whether every thread of it stands still: none is in a call that writes.
    pub(super) fn stands_still(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid.as_raw_nonzero()));
        let stopped = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            // Behind the name, which may have any character.
            stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('T'))
        };
        tasks.is_ok_and(|tasks| tasks.filter_map(Result::ok).all(stopped))
    }

    /// Whether every thread of it has a tracer.
    pub(super) fn is_traced(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid.as_raw_nonzero()));
        let traced = |task: std::fs::DirEntry| {
            let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
            { status.lines() }.find_map(|line| line.strip_prefix("TracerPid:")).is_none_or(|pid| pid.trim() != "0")
        };
        tasks.is_ok_and(|tasks| tasks.filter_map(Result::ok).all(traced))
    }

    /// A line of `/proc/PID/status`.
    pub(super) fn status(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).ok()?;
        text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    }

    /// How many files it has open.
    pub(super) fn open_files(&self) -> Option<u64> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid.as_raw_nonzero())).ok()?;
        Some(files.count() as u64)
    }

    /// Sets a limit that can be lifted again; what it was.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn limit(&self, what: Resource, most: Option<u64>) -> anyhow::Result<Option<u64>> {
        let now = prlimit(Some(self.pid), what, Rlimit { current: most, maximum: hard(self.pid, what) })?;
        Ok(now.current)
    }
}

/// The limit above the limit, which only root may raise again.
fn hard(pid: Pid, what: Resource) -> Option<u64> {
    let names =
        [(Resource::Nofile, "Max open files"), (Resource::Data, "Max data size"), (Resource::As, "Max address space")];
    let (_, name) = names.into_iter().find(|(of, _)| *of == what)?;
    let text = std::fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero())).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
