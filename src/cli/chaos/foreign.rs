//! A server that this run has not started: somewhere, and perhaps with a process on this machine that may be struck.
//!
//! What must hold: nobody but the process that was named is signalled, and one that has come in its place only if it is
//! the same program under the same parent, or what the unit's manager names.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Pid;

use super::process::this_program;
use super::stage::{SERVER, Stage};
use crate::chaos::history::What;
use crate::chaos::scenario::{Fault, Target};
use crate::model::key::ServerId;
use crate::net::address::Address;
use crate::net::known::KnownServers;

/// Where it is, and who may be struck.
#[derive(Clone, Debug)]
pub(super) struct Foreign {
    pub(super) address: Address,
    pub(super) victim: Option<Victim>,
}

/// A process that somebody else starts again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    /// Known by its parent and its command, should another come in its place.
    Process { pid: Pid, parent: i32, command: Vec<u8> },
    /// A unit of systemd.
    Unit(String),
}

/// How often it is looked for while it is away.
const LOOK_MS: u64 = 10;
/// A connection that is not there by then is none.
const CONNECT_MAX: Duration = Duration::from_millis(200);
/// Whoever asks a server for its id has it by then.
const ASK_MAX: Duration = Duration::from_secs(10);

impl Foreign {
    /// Whether a fault can be done to a server of which no more is known than this.
    pub(super) fn allows(&self, kind: Fault, target: Target) -> Result<(), String> {
        if kind.needs_networks() {
            return Err("from a machine of its own a player does not reach a server that is there already".to_owned());
        }
        if kind.breaks_ways() || !target.strikes(SERVER) {
            return Ok(());
        }
        if self.victim.is_none() {
            return Err("the server is not of this run: --pid or --unit names a process that may be struck".to_owned());
        }
        if matches!(kind, Fault::Kill | Fault::Pause | Fault::SlowCpu) {
            return Ok(());
        }
        Err(format!("{kind} can be done only to a server that this run has started itself"))
    }

    /// Where it is now.
    pub(super) fn addr(&self) -> anyhow::Result<SocketAddr> {
        let Address { host, port, .. } = &self.address;
        let found = (host.as_str(), *port).to_socket_addrs().with_context(|| format!("{host} is not known"))?.next();
        found.with_context(|| format!("{host} has no address"))
    }

    /// Who it is: as it was named, else as it says itself to one who has never seen it.
    pub(super) async fn id(&self, home: &Path) -> anyhow::Result<ServerId> {
        if let Some(id) = self.address.id {
            return Ok(id);
        }
        let state = home.join("asks");
        let mut command = this_program(home)?;
        command.args(["play", "--json", "--trust-new", "--server", &self.address.to_string(), "--state"]).arg(&state);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().context("nobody can be sent to ask")?;
        let lines = child.stdout.take().context("no standard output")?;
        let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(lines));
        let told = tokio::time::timeout(ASK_MAX, async {
            while let Some(line) = lines.next_line().await? {
                if line.contains(r#""state":"live""#) || line.contains(r#""state":"resuming""#) {
                    return Ok(true);
                }
            }
            anyhow::Ok(false)
        });
        ensure!(told.await.is_ok_and(|told| told.unwrap_or(false)), "there is no server at {}", self.address);
        child.kill().await?;
        let text = std::fs::read_to_string(state.join("known_servers")).context("the server has not said who it is")?;
        KnownServers::parse(&text)?.get(&self.address).context("the server has not said who it is")
    }
}

impl Victim {
    /// The process of that id, which must be there.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn process(pid: i32) -> anyhow::Result<Self> {
        let there = Pid::from_raw(pid).filter(|_| parent(pid).is_some());
        let pid = there.with_context(|| format!("there is no process {pid}"))?;
        let (parent, command) =
            (parent(pid.as_raw_nonzero().get()).unwrap_or(0), command_of(pid.as_raw_nonzero().get()));
        Ok(Self::Process { pid, parent, command })
    }

    /// The unit of that name, which must run.
    ///
    /// # Errors
    /// When it does not, or nobody can be asked.
    pub(super) fn unit(name: &str) -> anyhow::Result<Self> {
        let unit = Self::Unit(name.to_owned());
        ensure!(unit.find().is_some(), "systemd knows no main process of {name}; does it run?");
        Ok(unit)
    }

    /// The process that is there by now, if one is.
    pub(super) fn find(&self) -> Option<Pid> {
        match self {
            Self::Process { pid, parent: under, command } => {
                let is_it = |pid: i32| parent(pid) == Some(*under) && command_of(pid) == *command;
                let same = Some(pid.as_raw_nonzero().get()).filter(|pid| is_it(*pid));
                same.or_else(|| processes().into_iter().find(|pid| is_it(*pid))).and_then(Pid::from_raw)
            }
            Self::Unit(name) => {
                let mut ask = Command::new("systemctl");
                let answer = ask.args(["show", "--property", "MainPID", "--value", name]).output().ok()?;
                String::from_utf8_lossy(&answer.stdout).trim().parse().ok().and_then(Pid::from_raw)
            }
        }
    }
}

impl Stage {
    /// Looks whether the server is there (again).
    ///
    /// # Errors
    /// Never; it is looked for again.
    pub(super) fn look_for_server(&mut self) -> anyhow::Result<()> {
        let Some(foreign) = &self.server.foreign else { bail!("the server is of this run") };
        if let Some(victim) = &foreign.victim
            && self.server.process.is_none()
        {
            let Some(pid) = victim.find() else { return self.look_again() };
            self.server.life += 1;
            let as_who = (SERVER, self.server.life);
            self.server.process = Some(super::process::Process::of_others(pid, as_who, &self.ear));
            self.note(super::stage::SERVER_NAME.to_owned(), What::Started);
        }
        let addr = self.server.addr;
        let answers = std::net::TcpStream::connect_timeout(&addr, CONNECT_MAX).is_ok();
        if answers {
            self.server.ready = true;
            self.is_up(SERVER);
            return Ok(());
        }
        self.look_again()
    }

    fn look_again(&mut self) -> anyhow::Result<()> {
        let again = self.now_ms() + LOOK_MS;
        self.plan(again, super::stage::Due::Act(super::strike::Act::LookForServer));
        Ok(())
    }
}

/// The parent of a process that runs.
pub(super) fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // One that has ended and was not asked how is gone.
    fields.next().filter(|state| !matches!(*state, "Z" | "X"))?;
    fields.next()?.parse().ok()
}

fn command_of(pid: i32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

fn processes() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
