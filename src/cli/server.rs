//! `rejoin server`: serve matches.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::warn;

use super::{failed, host_seams};
use crate::model::decide::Points;
use crate::model::limits::LISTEN_BACKLOG;
use crate::net::certificate::Names;
use crate::net::host::HostNet;
use crate::net::seam::Net;
use crate::net::tls;
use crate::ops::event;
use crate::ops::host::HostClock;
use crate::ops::log::Files;
use crate::server::control::Control;
use crate::server::ops::{Ops, http};
use crate::server::supervise::{self, Worker};
use crate::server::{Config, Report, Running, ServerError, Sizes};

/// Serve matches
#[derive(Debug, clap::Args)]
pub(super) struct Server {
    /// Where to listen; the default takes IPv4 too
    #[arg(long, value_name = "ADDR", env = "REJOIN_LISTEN", default_value = "[::]:3000")]
    listen: SocketAddr,
    /// Where accounts, scores and matches are kept
    #[arg(long, value_name = "DIR", env = "REJOIN_STATE", default_value = "state")]
    state: PathBuf,
    /// Where the server's keys are kept
    #[arg(long, value_name = "DIR", env = "REJOIN_CERTS", default_value = "certs")]
    certs: PathBuf,
    /// Hold the socket in a small parent that starts the server again when it dies
    #[arg(long, env = "REJOIN_SUPERVISE")]
    supervise: bool,
    /// Serve metrics, health and a page to look at on this address, or port of this machine; unencrypted
    #[arg(long, value_name = "ADDR", env = "REJOIN_OPS", value_parser = http::parse_addr)]
    ops: Option<SocketAddr>,
    /// Points for a win, a draw and a loss
    #[arg(long, value_name = "WIN,DRAW,LOSS", env = "REJOIN_POINTS", default_value = "2,1,0", value_parser = points)]
    points: Points,
    /// Log nothing and count nothing: to measure what that costs
    #[arg(long, hide = true)]
    unwatched: bool,
}

/// What a planned restart is announced with.
const RESTART_ETA: Duration = Duration::from_secs(1);
/// An address that routes to the outside, for finding out which of ours faces it. Nothing is sent there.
const OUTSIDE: (&str, u16) = ("192.0.2.1", 9);

/// Every connection is an open file, and a shell often allows 1,024 where the system allows many more.
fn raise_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        warn!(event = event::STATE_NOTE, %error, "the limit of open files could not be raised");
    }
}

impl Server {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.supervise && !supervise::is_worker() {
            return self.supervise();
        }
        // On a side thread: aws-lc's first random number takes about 30 ms in a new process.
        let provider = tls::provider();
        let warm = Arc::clone(&provider);
        std::thread::spawn(move || tls::warm_up(&warm));
        let log = if self.unwatched { None } else { self.log() };
        supervise::end_with_parent()?;
        raise_files();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.serve(provider, log.as_ref()))
    }

    /// The log's files; a server serves without them too.
    fn log(&self) -> Option<Files> {
        let log = crate::ops::log::start(&self.state);
        if let Err(error) = &log {
            warn!(event = event::STATE_NOTE, %error, state = %self.state.display(), "events are not written to files");
        }
        log.ok()
    }

    fn supervise(self) -> anyhow::Result<ExitCode> {
        let args = std::env::args_os().skip(1).filter(|arg| arg != "--supervise").collect();
        let worker = Worker::this_program(args)?;
        // The clock is tokio's; it needs no runtime to be read.
        let clock = HostClock::start();
        let mut report = |event: &supervise::Event| println!("rejoin: {event}");
        Ok(ExitCode::from(supervise::run(self.listen, &worker, &clock, &mut report)?))
    }

    async fn serve(
        self,
        provider: Arc<rustls::crypto::CryptoProvider>,
        log: Option<&Files>,
    ) -> anyhow::Result<ExitCode> {
        let seams = host_seams(&self.certs, provider);
        let listener = match HostNet::inherited().context("the socket handed over cannot be used")? {
            Some(listener) => listener,
            None => {
                let listen = |source| ServerError::Listen { addr: self.listen, source };
                HostNet.listen(self.listen, LISTEN_BACKLOG).await.map_err(listen)?
            }
        };
        let config = self.config();
        let (state, listening) = (self.state.clone(), listener.local_addr()?);
        let ops = if self.unwatched { Ops::off() } else { Ops::new(log.map(|files| files.log().clone())) };
        let ops = Arc::new(ops);
        if let Some(addr) = self.ops {
            let listen = |source| ServerError::Listen { addr, source };
            let listener = tokio::net::TcpListener::bind(addr).await.map_err(listen)?;
            say_ops(listener.local_addr()?);
            // Before the recovery: whoever looks must see that it is not ready.
            tokio::spawn(http::serve(listener, Arc::clone(&ops)));
        }
        let built = tokio::task::spawn_blocking(move || config.build(seams)).await?;
        let started = built.and_then(|server| server.with_ops(ops).spawn(listener));
        let running = match started {
            Ok(running) => running,
            Err(error) => return Ok(give_up(error)),
        };
        // Before anybody hears that it is ready: who does may ask it to stop at once.
        let stop = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let control = control(&state, &running);
        say_ready(&running.report, listening);
        warn_about_disk(&state);
        // Without a service manager there is nobody to tell.
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let ended = wait(running, stop).await;
        // Its file goes with it.
        if let Some(control) = control {
            control.abort();
            let _ = control.await;
        }
        ended
    }

    fn config(&self) -> Config {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let names = Names { host: Some(host), addresses: outside_ip().into_iter().collect() };
        Config { state: self.state.clone(), points: self.points, names, sizes: Sizes::default() }
    }
}

/// Until somebody asks the server to stop, or it cannot go on.
async fn wait(mut running: Running, (mut term, mut interrupt): (Signal, Signal)) -> anyhow::Result<ExitCode> {
    let office = running.office();
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
        () = office.stop_wanted() => {}
        error = running.ended() => return Ok(give_up(error)),
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    running.stop(RESTART_ETA).await?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the socket that `rejoin admin` asks at. A server serves without it too.
fn control(state: &Path, running: &Running) -> Option<tokio::task::JoinHandle<()>> {
    match Control::open(state) {
        Ok(control) => Some(tokio::spawn(control.serve(running.office()))),
        Err(error) => {
            warn!(event = event::STATE_NOTE, %error, "there is no control socket: `rejoin admin` cannot ask this server");
            None
        }
    }
}

fn give_up(error: ServerError) -> ExitCode {
    let code = error.exit_code();
    failed(&anyhow::Error::new(error), code)
}

/// The line to send to a friend, and what was found.
fn say_ready(report: &Report, listening: SocketAddr) {
    let (hint, address) = reached_at(listening, outside_ip());
    let last_run = match report.ended_well {
        None => "a new server",
        Some(true) => "the last run ended well",
        Some(false) => "the last run failed",
    };
    let (boot, sessions, matches) = (report.boot.number, report.sessions, report.matches);
    let (sessions, matches) = (counted(sessions, "session"), counted(matches, "match"));
    println!("run {boot}: {last_run}; {sessions} and {matches} recovered");
    if report.lost {
        println!(
            "state was lost or restored: matches and verdicts are taken back from the players; accounts and passwords \
             may be old"
        );
    }
    println!("ready; {hint}:");
    println!("  rejoin play --server {address}#{}", report.server);
}

/// Who can play, and where the server is found: `outside` is this machine's address for others, if it has one.
fn reached_at(listening: SocketAddr, outside: Option<IpAddr>) -> (String, SocketAddr) {
    let (own, port) = (listening.ip().to_canonical(), listening.port());
    let open = format!("send this to a friend (TCP port {port} must be open in your firewall)");
    let (hint, ip) = match outside {
        Some(outside) if own.is_unspecified() => (open, outside),
        None if own.is_unspecified() => {
            ("this machine is in no network, so play on it".to_owned(), IpAddr::from([127, 0, 0, 1]))
        }
        Some(_) | None if own.is_loopback() => {
            ("it listens on this machine only, so play here (for others: --listen ADDR)".to_owned(), own)
        }
        Some(_) | None => (open, own),
    };
    (hint, SocketAddr::new(ip, port))
}

/// Where the page is, and whether others can see it.
fn say_ops(addr: SocketAddr) {
    println!("metrics and a page to look at: http://{addr}/");
    if !addr.ip().is_loopback() {
        warn!(event = event::STATE_NOTE, "whoever reaches {addr} can see who plays; it is not encrypted");
    }
}

/// A number and its noun.
fn counted(number: usize, noun: &str) -> String {
    let plural = if noun.ends_with("ch") { "es" } else { "s" };
    format!("{number} {noun}{}", if number == 1 { "" } else { plural })
}

/// The address of ours that faces the outside; no packet is sent to find out.
fn outside_ip() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(OUTSIDE).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

/// Says so when the state directory is on something that a power cut, or the network, can take away.
#[cfg(target_os = "linux")]
fn warn_about_disk(state: &Path) {
    const KINDS: [(u64, &str); 6] = [
        (0x0102_1994, "a tmpfs: everything is gone when this machine stops"),
        (0x8584_58f6, "a ramfs: everything is gone when this machine stops"),
        (0x794c_7630, "an overlay: it may be gone with its container"),
        (0x6969, "NFS: a sync may not reach a disk"),
        (0xff53_4d42, "CIFS: a sync may not reach a disk"),
        (0xfe53_4d42, "SMB: a sync may not reach a disk"),
    ];
    let Ok(found) = rustix::fs::statfs(state) else { return };
    let magic = u64::try_from(found.f_type).unwrap_or(0) & 0xffff_ffff;
    if let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == magic) {
        warn!(event = event::STATE_NOTE, state = %state.display(), "the state directory is on {kind}");
    }
}

#[cfg(not(target_os = "linux"))]
fn warn_about_disk(_state: &Path) {}

fn points(text: &str) -> Result<Points, String> {
    let numbers: Result<Vec<u32>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    match numbers.as_deref() {
        Ok([win, draw, loss]) => Ok(Points { win: *win, draw: *draw, loss: *loss }),
        Ok(_) | Err(_) => Err("three whole numbers are needed, such as 2,1,0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_others_can_reach_is_to_be_sent_to_a_friend() {
        let outside = Some(IpAddr::from([192, 168, 1, 20]));
        for (listening, outside, at, hint) in [
            ("[::]:3000", outside, "192.168.1.20:3000", "send this to a friend (TCP port 3000 must be open"),
            ("0.0.0.0:3000", outside, "192.168.1.20:3000", "send this to a friend"),
            ("[::]:3000", None, "127.0.0.1:3000", "this machine is in no network"),
            ("10.0.0.7:3000", outside, "10.0.0.7:3000", "send this to a friend"),
            ("127.0.0.1:3000", outside, "127.0.0.1:3000", "it listens on this machine only"),
            ("[::1]:3000", None, "[::1]:3000", "it listens on this machine only"),
            ("[::ffff:127.0.0.1]:3000", outside, "127.0.0.1:3000", "it listens on this machine only"),
        ] {
            let (said, address) = reached_at(listening.parse().expect("an address"), outside);
            assert!(said.starts_with(hint), "{listening}: {said}");
            assert_eq!(address.to_string(), at);
        }
    }
}
