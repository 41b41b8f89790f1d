//! `rejoin server --supervise`: a small parent that holds the listening socket and starts the worker again when it
//! dies.
//!
//! What must hold: the socket stays open from the first start to the last end, so that a connection made while no
//! worker lives is served by the next one; a worker never outlives its parent.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::{env, fmt, io};

use rustix::process::{Pid, Signal, getpid, getppid, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::sleep;

use super::respawn::{Exit, Next, Respawn};
use crate::model::limits::LISTEN_BACKLOG;
use crate::model::time::Clock;
use crate::net::host::{bind, inherited};

/// In a worker's environment: the process id of its parent.
pub const SUPERVISED: &str = "REJOIN_SUPERVISED";

/// What the parent starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, without `--supervise`.
    pub args: Vec<OsString>,
}

/// Something to tell the operator; its text is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The socket is open, and stays open.
    Listening {
        /// Where; port 0 is resolved to the real one.
        addr: SocketAddr,
    },
    /// A worker runs.
    Started {
        /// Its process id.
        pid: u32,
    },
    /// A worker ended, or could not be started.
    Ended {
        /// Its process id, if it had one.
        pid: Option<u32>,
        /// How.
        exit: Exit,
        /// What follows.
        next: Next,
    },
}

/// Supervising is not possible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuperviseError {
    /// The socket cannot be opened, or is not one.
    #[error("cannot listen on {addr}: {error}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the operating system said.
        #[source]
        error: io::Error,
    },
    /// The operating system refused something else.
    #[error("cannot supervise: {0}")]
    Io(#[from] io::Error),
    /// This worker was started by a parent that is gone.
    #[error("the parent that started this server is gone")]
    Orphan,
    /// [`SUPERVISED`] is in the environment, but no parent put it there.
    #[error("{SUPERVISED} is set, but not to a process id; unset it")]
    BadParent,
}

impl Worker {
    /// This very program with other arguments. Looked up once, so that a new version put in its place is what the
    /// next restart runs.
    ///
    /// # Errors
    /// When the operating system does not say which program this is.
    pub fn this_program(args: Vec<OsString>) -> io::Result<Self> {
        Ok(Self { program: env::current_exe()?, args })
    }

    /// The listener becomes its standard input, announced the way systemd does it.
    fn start(&self, listener: &TcpListener) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .stdin(Stdio::from(OwnedFd::from(listener.try_clone()?)))
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDS_FIRST_FD", "0")
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDNAMES")
            .env(SUPERVISED, getpid().as_raw_nonzero().to_string())
            // A group of its own, or Ctrl-C would reach it twice: from the terminal and from us.
            .process_group(0)
            .kill_on_drop(true);
        command.spawn()
    }
}

/// Listens on `addr` (or takes the socket that systemd opened) and keeps a worker running on it; returns the exit
/// code to end with. SIGTERM and SIGINT are passed on to the worker, whose end is then the last.
///
/// Blocks. Call it from the main thread: on Linux a worker dies with the *thread* that started it.
///
/// # Errors
/// [`SuperviseError`] when it cannot listen, or the operating system refuses to watch signals or workers.
pub fn run(
    addr: SocketAddr,
    worker: &Worker,
    clock: &dyn Clock,
    report: &mut dyn FnMut(&Event),
) -> Result<u8, SuperviseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = listen(addr).map_err(|error| SuperviseError::Listen { addr, error })?;
        supervise(&listener, worker, clock, report).await
    })
}

/// Whether this process is the worker of a parent. Such a process must not supervise another, whatever its
/// configuration says.
#[must_use]
pub fn is_worker() -> bool {
    env::var_os(SUPERVISED).is_some()
}

/// Ties this process to the parent named in [`SUPERVISED`], if there is one: it is killed when the parent dies, so
/// that the next parent finds the state directory and the port free. A worker calls this first.
///
/// # Errors
/// [`SuperviseError::Orphan`] when the parent died before the tie was made: end at once.
pub fn end_with_parent() -> Result<(), SuperviseError> {
    let Some(text) = env::var_os(SUPERVISED) else { return Ok(()) };
    let parent = text.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    let parent = parent.ok_or(SuperviseError::BadParent)?;
    tie_to(parent)?;
    if getppid() == Some(parent) { Ok(()) } else { Err(SuperviseError::Orphan) }
}

impl fmt::Display for Event {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening { addr } => write!(to, "holding {addr} for the workers"),
            Self::Started { pid } => write!(to, "worker {pid} started"),
            Self::Ended { pid: Some(pid), exit, next } => write!(to, "worker {pid} {exit}; {next}"),
            Self::Ended { pid: None, exit, next } => write!(to, "a worker {exit}; {next}"),
        }
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    match inherited()? {
        Some(listener) => listener.into_std(),
        None => bind(addr, LISTEN_BACKLOG)?.into_std(),
    }
}

async fn supervise(
    listener: &TcpListener,
    worker: &Worker,
    clock: &dyn Clock,
    report: &mut dyn FnMut(&Event),
) -> Result<u8, SuperviseError> {
    let mut signals = Signals::watch()?;
    let mut respawn = Respawn::default();
    report(&Event::Listening { addr: listener.local_addr()? });
    loop {
        let (pid, exit) = match worker.start(listener) {
            Ok(mut child) => {
                let pid = child.id();
                respawn.started(clock.now());
                pid.into_iter().for_each(|pid| report(&Event::Started { pid }));
                (pid, signals.pass_on_until_end(&mut child, &mut respawn).await?)
            }
            Err(error) => (None, Exit::NotStarted(error.to_string())),
        };
        let next = respawn.ended(clock.now(), &exit);
        report(&Event::Ended { pid, exit, next });
        match next {
            Next::End { code } => return Ok(code),
            Next::Start { after } => tokio::select! {
                biased;
                _ = signals.next() => return Ok(0),
                () = sleep(after) => {}
            },
        }
    }
}

/// The signals that ask for an end.
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
        }
    }

    async fn pass_on_until_end(&mut self, child: &mut Child, respawn: &mut Respawn) -> io::Result<Exit> {
        loop {
            let signal = tokio::select! {
                status = child.wait() => return Ok(exit_of(status?)),
                signal = self.next() => signal,
            };
            respawn.stop();
            // Until it is waited for, its process id belongs to nobody else. An error means that it has just ended.
            let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, signal));
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::NotStarted(status.to_string()),
    }
}

#[cfg(target_os = "linux")]
fn tie_to(_parent: Pid) -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Where the kernel does not tell, a thread looks.
#[cfg(not(target_os = "linux"))]
fn tie_to(parent: Pid) -> io::Result<()> {
    const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(100);
    let look = move || {
        while getppid() == Some(parent) {
            std::thread::sleep(LOOK_EVERY);
        }
        let _ = kill_process(getpid(), Signal::KILL);
    };
    std::thread::Builder::new().name("parent".to_owned()).spawn(look).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_event_is_one_line_with_pid_and_reason() {
        let again = Next::Start { after: Duration::from_millis(500) };
        for (event, line) in [
            (
                Event::Listening { addr: SocketAddr::from(([127, 0, 0, 1], 3000)) },
                "holding 127.0.0.1:3000 for the workers",
            ),
            (Event::Started { pid: 12 }, "worker 12 started"),
            (
                Event::Ended { pid: Some(12), exit: Exit::Signal(9), next: Next::Start { after: Duration::ZERO } },
                "worker 12 was killed by signal 9; the next starts at once",
            ),
            (
                Event::Ended { pid: Some(12), exit: Exit::Code(1), next: again },
                "worker 12 ended with code 1; the next starts in 500ms",
            ),
            (
                Event::Ended { pid: Some(12), exit: Exit::Code(7), next: Next::End { code: 7 } },
                "worker 12 ended with code 7; none follows",
            ),
            (
                Event::Ended { pid: None, exit: Exit::NotStarted("gone".to_owned()), next: again },
                "a worker could not be started: gone; the next starts in 500ms",
            ),
        ] {
            assert_eq!(event.to_string(), line);
        }
    }
}
