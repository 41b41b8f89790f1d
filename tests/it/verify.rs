//! A match played by real processes, exported, and checked by somebody who knows nothing but the server's id.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::rig::{Announced, PATIENCE};

/// A process of this program. It ends with the test, also when that fails.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    fn start(words: &[&str], dir: &Path) -> Self {
        let mut child =
            rejoin(words, dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || said.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { input: child.stdin.take(), child, lines }
    }

    /// Waits for a line that `wanted` takes.
    fn until<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        let mut seen = Vec::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else { panic!("no {what} in {seen:#?}") };
            if let Some(found) = wanted(&line) {
                return found;
            }
            seen.push(line);
        }
    }

    fn type_in(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for an event of that name whose fields are these.
    fn event(&self, name: &str, fields: &[(&str, Value)]) -> Value {
        self.until(&format!("{name} {fields:?}"), |line| {
            let event: Value = serde_json::from_str(line).unwrap();
            let fits = event["event"] == name && fields.iter().all(|(field, value)| event[*field] == *value);
            fits.then_some(event)
        })
    }

    fn done(&mut self, line: &str) {
        self.type_in(line);
        let command = line.split(' ').next().unwrap();
        let reply = self.event("reply", &[("command", command.into())]);
        assert_eq!(reply["ok"], true, "{line}: {reply}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        }
        let _ = self.child.wait();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        Announced::default().check(log.lines());
    }
}

fn rejoin(words: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
    command.args(words).current_dir(dir).env("REJOIN_LOG", "warn").stderr(Stdio::inherit());
    command
}

/// The exit code and all that is said.
fn verify(words: &[&str], dir: &Path) -> (Option<i32>, String) {
    let words = [&["admin", "verify"], words].concat();
    let output = rejoin(&words, dir).stderr(Stdio::piped()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// A player at the prompt of a script, logged in.
fn player(name: &str, address: &str, dir: &Path) -> Process {
    let mut player = Process::start(&["play", "--json", "--server", address, "--state", name], dir);
    player.done(&format!("adduser {name} correct-horse"));
    player.done(&format!("login {name} correct-horse"));
    player
}

#[test]
fn whoever_has_the_servers_id_can_check_an_exported_match_and_no_changed_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let server = Process::start(&["server", "--listen", "127.0.0.1:0"], dir);
    let address = server.until("address", |line| line.trim().strip_prefix("rejoin play --server ").map(str::to_owned));
    let id = address.split('#').nth(1).unwrap();

    let (mut alice, mut bob) = (player("alice", &address, dir), player("bob", &address, dir));
    alice.done("begin bob");
    bob.event("invited", &[]);
    bob.done("accept");
    let seat = alice.event("match", &[])["you"].clone();
    bob.event("match", &[]);
    let (x, o) = if seat == "X" { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
    for (ply, cell) in (0..).zip(["1 1", "2 1", "1 2", "2 2", "1 3"]) {
        let (mover, other) = if ply % 2 == 0 { (&mut *x, &mut *o) } else { (&mut *o, &mut *x) };
        mover.done(&format!("send {cell}"));
        other.event("move", &[("ply", ply.into())]);
    }
    x.event("result", &[("recorded", true.into())]);
    x.done("export match.json");
    // Nobody else is needed from here on.
    drop((server, alice, bob));

    let (code, said) = verify(&["match.json", "--key", id], dir);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("    5  X  1 3\n"), "{said}");
    assert!(said.contains("every move is acknowledged"), "{said}");
    assert!(said.contains("wins on the board; the evidence in this file says the same"), "{said}");
    assert_eq!(verify(&["match.json", "--key", &address], dir).0, Some(0));

    let whole = fs::read_to_string(dir.join("match.json")).unwrap();
    // X's second move, one column further.
    let changed = whole.replace("\"play\": \"0001\"", "\"play\": \"0002\"");
    assert_ne!(changed, whole);
    fs::write(dir.join("changed.json"), changed).unwrap();
    let (code, said) = verify(&["changed.json", "--key", id], dir);
    assert_eq!(code, Some(1), "{said}");
    let why = r#"entry 3: `act.play` is "0002", and by what was signed it is "0001""#;
    assert!(said.ends_with(&format!("changed.json is not to be trusted: {why}\n")), "{said}");

    let stranger = "a".repeat(52);
    assert_eq!(verify(&["match.json", "--key", &stranger], dir).0, Some(1));
    assert_eq!(verify(&["match.json", "--key", "k7"], dir).0, Some(2));
    assert_eq!(verify(&["--key", id], dir).0, Some(2));
    assert_eq!(verify(&["missing.json", "--key", id], dir).0, Some(1));
}
