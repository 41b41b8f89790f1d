//! A real server in a process of its own, for the demo and the benches. It ends when this is dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustls::crypto::CryptoProvider;

use crate::client::{self, ClientHandle};
use crate::model::key::ServerId;
use crate::model::time::{Clock, Now};
use crate::net::address::Address;
use crate::net::host::HostNet;
use crate::net::keys::published_id;
use crate::net::seam::Net;
use crate::ops::host::{HostClock, HostEntropy};
use crate::ops::work::HostWorker;
use crate::store::HostDisk;

/// A supervised server: a parent that holds the socket, and a worker that may be killed.
pub(super) struct ServerProcess {
    parent: Child,
    lines: Receiver<(Now, String)>,
    clock: HostClock,
    /// The worker's process id.
    worker: Option<Pid>,
    /// Where it listens.
    addr: SocketAddr,
    /// Where its state and keys are.
    dir: PathBuf,
}

/// How long a server may take to say that it is ready.
const READY_MAX: Duration = Duration::from_secs(30);

impl ServerProcess {
    /// Starts a supervised server with its files in `dir`, on a free port of this machine.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(super) fn start(dir: &Path, clock: HostClock) -> anyhow::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), dir, clock)
    }

    /// As [`start`](Self::start), with more to say to `rejoin server`, and with all that a server says by default on
    /// standard error in `dir/log`.
    ///
    /// # Errors
    /// When it does not get ready.
    #[cfg(target_os = "linux")]
    pub(super) fn start_with(more: &[&str], dir: &Path, clock: HostClock) -> anyhow::Result<Self> {
        Self::start_as(SocketAddr::from(([127, 0, 0, 1], 0)), more, "info", dir, clock)
    }

    fn start_at(addr: SocketAddr, dir: &Path, clock: HostClock) -> anyhow::Result<Self> {
        Self::start_as(addr, &[], "warn", dir, clock)
    }

    fn start_as(addr: SocketAddr, more: &[&str], says: &str, dir: &Path, clock: HostClock) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["server", "--supervise", "--listen", &addr.to_string(), "--state"]).arg(dir.join("state"));
        command.arg("--certs").arg(dir.join("certs")).args(more).env("REJOIN_LOG", says);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(std::fs::File::options().create(true).append(true).open(dir.join("log"))?));
        let mut parent = command.spawn().context("the server cannot be started")?;
        let stdout = parent.stdout.take().expect("it is piped");
        let lines = lines_of(stdout, clock);
        let mut process = Self { parent, lines, clock, worker: None, addr, dir: dir.to_owned() };
        process.until("holding ")?;
        process.ready()?;
        Ok(process)
    }

    /// Waits for the worker to be ready, and says when it was started.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(super) fn ready(&mut self) -> anyhow::Result<Now> {
        let (started, line) = self.until(" started")?;
        let pid = line.split(' ').rev().nth(1).and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        self.worker = Some(pid.ok_or_else(|| anyhow!("no process id in {line:?}"))?);
        self.until("ready;")?;
        Ok(started)
    }

    /// Kills the worker with SIGKILL, and says when. Its parent starts another at once.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn kill(&mut self) -> anyhow::Result<Now> {
        let worker = self.worker.take().context("no worker is known to run")?;
        kill_process(worker, Signal::KILL)?;
        Ok(self.clock.now())
    }

    /// The worker's process id, while one is known to run.
    #[cfg(target_os = "linux")]
    pub(super) fn worker_pid(&self) -> Option<u32> {
        u32::try_from(self.worker?.as_raw_nonzero().get()).ok()
    }

    /// Where it listens.
    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Kills the parent and the worker with SIGKILL, and says when. Nobody starts another.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn kill_for_good(&mut self) -> anyhow::Result<Now> {
        let worker = self.worker.take().context("no worker is known to run")?;
        // The parent first: it would start the next. On Linux the worker ends with it.
        kill_process(self.pid(), Signal::KILL)?;
        match kill_process(worker, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
        let killed = self.clock.now();
        self.parent.wait()?;
        Ok(killed)
    }

    /// Starts one that was killed for good again, on its files and at its address.
    ///
    /// # Errors
    /// When it does not get ready.
    pub(super) fn start_again(&mut self) -> anyhow::Result<()> {
        let again = Self::start_at(self.addr, &self.dir, self.clock)?;
        *self = again;
        Ok(())
    }

    /// Who it is.
    ///
    /// # Errors
    /// When it has not published its id.
    fn id(&self) -> anyhow::Result<ServerId> {
        published_id(&self.dir.join("certs"))?.context("the server has not published its id")
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// When it ends badly.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(self.pid(), Signal::TERM)?;
        let status = self.parent.wait()?;
        if status.success() { Ok(()) } else { Err(anyhow!("the server ended with {status}")) }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.parent)
    }

    /// Reads lines until one contains `what`.
    fn until(&mut self, what: &str) -> anyhow::Result<(Now, String)> {
        loop {
            match self.lines.recv_timeout(READY_MAX) {
                Ok((at, line)) => {
                    if let Some((_, rest)) = line.split_once("holding ") {
                        let addr = rest.split(' ').next().unwrap_or_default();
                        self.addr = addr.parse().with_context(|| format!("no address in {line:?}"))?;
                    }
                    if line.contains(what) {
                        return Ok((at, line));
                    }
                }
                Err(RecvTimeoutError::Timeout) => bail!("the server did not say {what:?} within {READY_MAX:?}"),
                Err(RecvTimeoutError::Disconnected) => {
                    let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                    bail!("the server has ended: {}", log.trim())
                }
            }
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It may have ended by itself; the worker ends with its parent.
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

/// Starts a client of that server in this process, with files of its own beside the server's, and with `direct` a path
/// to its opponent that does not need the server.
///
/// # Errors
/// When its files cannot be opened.
pub(super) fn start_client(
    server: &ServerProcess,
    name: &str,
    provider: &Arc<CryptoProvider>,
    direct: bool,
) -> anyhow::Result<ClientHandle> {
    start_client_over(Arc::new(HostNet), server, name, provider, direct)
}

/// The same over a network of the caller's.
///
/// # Errors
/// When its files cannot be opened.
pub(super) fn start_client_over(
    net: Arc<dyn Net>,
    server: &ServerProcess,
    name: &str,
    provider: &Arc<CryptoProvider>,
    direct: bool,
) -> anyhow::Result<ClientHandle> {
    let address = Address { host: "127.0.0.1".to_owned(), port: server.addr.port(), id: Some(server.id()?) };
    let config = client::Config {
        address,
        state: server.dir.join("clients").join(name),
        ca: None,
        trust_new: false,
        interactive: false,
        certs: server.dir.join("certs"),
        user: None,
        direct,
        peer_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        peer_advertise: Vec::new(),
    };
    let seams = client::Seams {
        worker: Arc::new(HostWorker),
        net,
        disk: Arc::new(HostDisk),
        clock: Arc::new(server.clock),
        entropy: Arc::new(HostEntropy),
        provider: Arc::clone(provider),
    };
    Ok(client::start(config, seams)?)
}

/// Lines of a process, each with the moment it was read.
fn lines_of(from: impl Read + Send + 'static, clock: HostClock) -> Receiver<(Now, String)> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send((clock.now(), line)).is_err() {
                return;
            }
        }
    });
    lines
}
