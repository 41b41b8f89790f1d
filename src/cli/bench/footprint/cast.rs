//! Server and clients as processes of their own, as somebody would start them. They end when these are dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Longer than anything takes; who waits this long gives up.
const PATIENCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "measured-and-found-good";

pub(super) struct Server {
    child: Child,
    lines: Receiver<String>,
    address: String,
}

pub(super) struct Client {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Server {
    pub(super) fn start(home: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["server", "--listen", "127.0.0.1:0", "--state"]).arg(home.join("state"));
        command.arg("--certs").arg(home.join("certs")).current_dir(home);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(home.join("server.log"))?);
        let mut child = command.spawn().context("the server cannot be started")?;
        let lines = lines_of(child.stdout.take().expect("it is piped"));
        Ok(Self { child, lines, address: String::new() })
    }

    /// Waits until it takes connections.
    pub(super) fn ready(&mut self) -> anyhow::Result<()> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).context("the server does not get ready")?;
            if let Some((_, address)) = line.split_once("rejoin play --server ") {
                address.clone_into(&mut self.address);
                return Ok(());
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Client {
    pub(super) fn start(home: &Path, name: &str, address: &str) -> anyhow::Result<Self> {
        let state = home.join(name);
        std::fs::create_dir_all(&state)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["play", "--json", "--server", address, "--peer-listen", "127.0.0.1:0", "--state"]).arg(&state);
        command.current_dir(&state).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(File::create(state.join("errors"))?);
        let mut child = command.spawn().context("a client cannot be started")?;
        let lines = lines_of(child.stdout.take().expect("it is piped"));
        let input = child.stdin.take().expect("it is piped");
        Ok(Self { name: name.to_owned(), child, input, lines })
    }

    /// Makes an account and logs in.
    pub(super) fn join(&mut self) -> anyhow::Result<()> {
        let name = self.name.clone();
        self.done(&format!("adduser {name} {PASSWORD}"))?;
        self.done(&format!("login {name} {PASSWORD}"))
    }

    /// Seats two in a match; where the first sits.
    pub(super) fn seat(one: &mut Self, other: &mut Self) -> anyhow::Result<String> {
        one.done(&format!("begin {}", other.name))?;
        other.until("an invitation", |event| event["event"] == "invited")?;
        other.say("accept")?;
        let seat = one.until("the match", |event| event["event"] == "match")?["you"].clone();
        other.until("the match", |event| event["event"] == "match")?;
        Ok(seat.as_str().unwrap_or_default().to_owned())
    }

    /// Types a line, and waits until it is done.
    pub(super) fn done(&mut self, line: &str) -> anyhow::Result<()> {
        let word = line.split(' ').next().unwrap_or_default();
        self.say(line)?;
        let reply = self.until(word, |event| event["event"] == "reply" && event["command"] == word)?;
        ensure!(reply["ok"] == true, "{}: {word}: {reply}", self.name);
        Ok(())
    }

    /// Waits for an event, passing over what comes before it.
    pub(super) fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.with_context(|| format!("{} waits for {what} in vain", self.name))?;
            let event: Value = serde_json::from_str(&line)?;
            if wanted(&event) {
                return Ok(event);
            }
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn say(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.input, "{line}")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

fn lines_of(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        // To the end, so that the process never waits for its reader.
        BufReader::new(from).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    lines
}
