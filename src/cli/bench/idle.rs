//! What it costs the server to hold sessions that do nothing but send their heartbeats.
//!
//! The sessions are in the server's state before it starts, and are taken up with signatures: no password is hashed.
//! They are held by processes of their own, which do what a client does on an idle link: answer the welcome, ping every
//! five seconds, read what comes.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::machine::Machine;
use super::players::player;
use super::process::Process;
use crate::cli::child::ServerProcess;
use crate::model::fact::Fact;
use crate::model::id::{Boot, Lsn, Run, SessionId, UserId};
use crate::model::key::{SecretKey, ServerId};
use crate::model::limits::{CONNECTIONS_MAX, FRAME_BYTES_MAX, HEARTBEAT_IDLE};
use crate::model::message::{Hello, ResumeRequest, ToClient, ToServer, Welcome};
use crate::model::password::PasswordHash;
use crate::model::sign::Signed;
use crate::model::state::State;
use crate::model::statement::Resume;
use crate::model::time::WallMs;
use crate::net::host::HostNet;
use crate::net::keys::ServerKeys;
use crate::net::seam::Net;
use crate::net::tls::{self, Secured, Trust};
use crate::ops::host::{HostClock, HostEntropy};
use crate::store::{self, Disk, HostDisk};
use crate::wire::{self, Decoded, Decoder};

/// What the server pays for sessions that only send heartbeats
#[derive(Debug, clap::Args)]
pub(super) struct Idle {
    /// Sessions that are logged in
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Seconds to measure
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Processes that hold them
    #[arg(long, default_value_t = 4)]
    holders: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Be such a process: for the sessions from FROM on, COUNT of them, of the server at ADDR
    #[arg(long, hide = true, num_args = 3, value_names = ["ADDR", "FROM", "COUNT"])]
    hold: Option<Vec<String>>,
    /// Where the server's keys are
    #[arg(long, hide = true)]
    certs: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    sessions: usize,
    seconds: f64,
    /// Of the server, in percent of one core.
    cpu_percent: f64,
    /// For each heartbeat: read, decrypted, answered.
    cpu_us_each: f64,
    rss_mb_before: f64,
    rss_mb: f64,
}

/// Handshakes of one holder at once.
const AT_ONCE: usize = 32;
/// Files beside the sockets.
const FILES_BESIDE: u64 = 200;
/// What the logins leave behind is over after this.
const SETTLED_AFTER: Duration = Duration::from_secs(12);
/// What a holder says when all its sessions are live.
const HELD: &str = "held";

impl Idle {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(hold) = &self.hold {
            let certs = self.certs.as_deref().context("it must know the server")?;
            return hold_all(hold, certs);
        }
        ensure!(self.sessions <= CONNECTIONS_MAX, "a server takes {CONNECTIONS_MAX} connections");
        let report = self.measure()?;
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
            return Ok(ExitCode::SUCCESS);
        }
        let Report { machine, sessions, seconds, cpu_percent, cpu_us_each, rss_mb_before, rss_mb } = report;
        println!("{machine}");
        println!("{sessions} sessions that are logged in and idle, a heartbeat of each every {HEARTBEAT_IDLE:?}");
        println!("server CPU     {cpu_percent:8.2} % of a core over {seconds:.0} s, {cpu_us_each:.1} µs a heartbeat");
        println!("server memory  {rss_mb:8.1} MB, {rss_mb_before:.1} MB before the first came");
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self) -> anyhow::Result<Report> {
        let home = tempfile::tempdir()?;
        raise_files(self.sessions as u64 + FILES_BESIDE)?;
        add_sessions(home.path(), self.sessions)?;
        let server = ServerProcess::start(home.path(), HostClock::start())?;
        let mut process = Process::new(server.worker_pid().context("the server runs")?);
        let before = process.look().context("the server is gone")?;
        let mut holders = Vec::new();
        let each = self.sessions.div_ceil(self.holders.max(1)).max(1);
        for from in (0..self.sessions).step_by(each) {
            holders.push(Holder::start(home.path(), server.addr(), from, each.min(self.sessions - from))?);
        }
        for holder in &mut holders {
            holder.held()?;
        }
        std::thread::sleep(SETTLED_AFTER);
        #[allow(clippy::disallowed_methods, reason = "a bench reads the clock, finer than in milliseconds")]
        let start = Instant::now();
        let first = process.look().context("the server is gone")?;
        std::thread::sleep(Duration::from_secs(self.seconds));
        let last = process.look().context("the server is gone")?;
        let seconds = start.elapsed().as_secs_f64();
        let cpu = (last.cpu_ns - first.cpu_ns) as f64 / 1e9;
        let heartbeats = self.sessions as f64 * seconds / HEARTBEAT_IDLE.as_secs_f64();
        for holder in &mut holders {
            holder.still()?;
        }
        let mb = |kib: u64| kib as f64 * 1024.0 / 1e6;
        Ok(Report {
            machine: Machine::here(),
            sessions: self.sessions,
            seconds,
            cpu_percent: cpu / seconds * 100.0,
            cpu_us_each: cpu * 1e6 / heartbeats.max(1.0),
            rss_mb_before: mb(before.rss_kib),
            rss_mb: mb(last.rss_kib),
        })
    }
}

/// A process that holds sessions. It ends when this is dropped.
struct Holder(Child, std::io::Lines<BufReader<std::process::ChildStdout>>);

impl Holder {
    fn start(home: &Path, addr: SocketAddr, from: usize, count: usize) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "idle", "--hold", &addr.to_string(), &from.to_string(), &count.to_string()]);
        command.arg("--certs").arg(home.join("certs")).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("a holder cannot be started")?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Ok(Self(child, lines))
    }

    /// Waits until all its sessions are live.
    fn held(&mut self) -> anyhow::Result<()> {
        match self.1.next() {
            Some(Ok(line)) if line == HELD => Ok(()),
            Some(_) | None => bail!("a holder could not hold its sessions"),
        }
    }

    /// That none of them has ended meanwhile: then the holder ends too.
    fn still(&mut self) -> anyhow::Result<()> {
        ensure!(self.0.try_wait()?.is_none(), "a session was lost while it was measured");
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Holds sessions until the process is ended.
fn hold_all(words: &[String], certs: &Path) -> anyhow::Result<ExitCode> {
    let [addr, from, count] = words else { bail!("three words are needed") };
    let (addr, from, count): (SocketAddr, usize, usize) = (addr.parse()?, from.parse()?, count.parse()?);
    raise_files(count as u64 + FILES_BESIDE)?;
    let server = crate::net::keys::published_id(certs)?.context("the server has published its id")?;
    let tls = tls::client_config(tls::provider(), &Trust::Pin)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let (live, mut lives) = tokio::sync::mpsc::channel(count.max(1));
        let mut all = JoinSet::new();
        for number in from..from + count {
            let (tls, turns, live) = (Arc::clone(&tls), Arc::clone(&turns), live.clone());
            all.spawn(async move { hold(addr, number, server, &tls, &turns, live).await });
        }
        for _ in 0..count {
            tokio::select! {
                live = lives.recv() => live.context("all have ended")?,
                ended = all.join_next() => bail!("a session ended: {ended:?}"),
            }
        }
        println!("{HELD}");
        std::io::stdout().flush()?;
        let ended = all.join_next().await;
        bail!("a session ended: {ended:?}")
    })
}

/// Takes one session up, and sends its heartbeats until something goes wrong.
async fn hold(
    addr: SocketAddr,
    number: usize,
    server: ServerId,
    tls: &Arc<ClientConfig>,
    turns: &Semaphore,
    live: tokio::sync::mpsc::Sender<()>,
) -> anyhow::Result<()> {
    let turn = turns.acquire().await?;
    let stream = HostNet.dial(addr).await?.stream;
    let Secured { stream, exporter, .. } = tls::connect(stream, tls, "localhost").await?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    let mut buffer = [0; 2048];
    let hello = Hello { min: wire::VERSION_MIN, max: wire::VERSION_MAX, run: Run(number as u64) };
    writer.write_all(&wire::encode(&ToServer::Hello(hello))).await?;
    writer.flush().await?;
    let mut said = Some(turn);
    let mut pings = 0;
    let mut tick = tokio::time::interval(HEARTBEAT_IDLE);
    loop {
        while let Some(frame) = decoder.next_frame()? {
            match wire::decode::<ToClient>(&frame)? {
                Decoded::Message(ToClient::Welcome(Welcome { nonce, .. })) => {
                    let body = Resume { session: session(number), nonce, exporter };
                    let signature = Signed::by(&device(number), &server, body).signature;
                    let seen = (Boot::default(), Lsn(0));
                    let resume = ResumeRequest { session: session(number), signature, seen };
                    writer.write_all(&wire::encode(&ToServer::Resume(resume))).await?;
                    writer.flush().await?;
                }
                Decoded::Message(ToClient::Live(_)) => {
                    drop(said.take());
                    live.send(()).await?;
                    // As with clients that come one by one: not all at one moment.
                    let share = u32::try_from(number % 997).unwrap_or(0);
                    tick.reset_after(HEARTBEAT_IDLE * share / 997);
                }
                Decoded::Message(ToClient::ResumeRefused(refusal)) => bail!("session {number}: {refusal}"),
                Decoded::Message(ToClient::Closing { why, .. }) => bail!("session {number} is closed: {why:?}"),
                Decoded::Message(_) | Decoded::Unknown(_) => {}
            }
        }
        tokio::select! {
            count = reader.read(&mut buffer) => {
                let count = count?;
                ensure!(count > 0, "session {number} was hung up on");
                decoder.feed(&buffer[..count]);
            }
            _ = tick.tick(), if said.is_none() => {
                pings += 1;
                writer.write_all(&wire::encode(&ToServer::Ping(pings))).await?;
                writer.flush().await?;
            }
        }
    }
}

/// Accounts with a session each, written as facts. Nobody knows their passwords.
fn add_sessions(home: &Path, count: usize) -> anyhow::Result<()> {
    let keys = ServerKeys::load_or_make(&home.join("certs"), &HostEntropy)?;
    let disk: Arc<dyn Disk> = Arc::new(HostDisk);
    let settings = store::Settings::new(keys.id().0, 1);
    let mut journal = store::recover::<State>(&disk, &home.join("state"), &settings)?.journal;
    let facts = (0..count).flat_map(|number| {
        let user = UserId((number as u128 + 1).to_be_bytes());
        let password = PasswordHash::new("$none".to_owned());
        let (name, at) = (player(number), WallMs(0));
        [
            Fact::AccountAdded { user, name, password, origin: None, points: 0, at },
            Fact::LoggedIn { session: session(number), user, device: device(number).public(), at },
        ]
    });
    journal.append(&facts.map(|fact| vec![fact]).collect::<Vec<_>>())?;
    Ok(())
}

fn session(number: usize) -> SessionId {
    SessionId((number as u128 + 1).to_be_bytes())
}

/// For anybody to know: the sessions are made for the measurement.
fn device(number: usize) -> SecretKey {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    SecretKey::from_seed(&seed)
}

/// Lets this process, and those it starts, have so many files open.
fn raise_files(files: u64) -> anyhow::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    let most = maximum.unwrap_or(files);
    ensure!(most >= files, "{files} open files are needed, and {most} are allowed: raise the limit (ulimit -Hn)");
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum })?;
    Ok(())
}
