//! What `rejoin server` does on machines that are not as they should be: its words and its exit codes.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};

use rejoin::ops::event;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::rig::{Announced, PATIENCE};

/// A server process, ended with the test.
struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
    announced: Announced,
}

/// `rejoin server` with its files in `dir`, on a free port.
fn server(dir: &Path) -> Command {
    let mut command = rejoin(dir, &["server", "--listen", "127.0.0.1:0"]);
    command.arg("--state").arg(dir.join("state")).arg("--certs").arg(dir.join("certs"));
    command
}

/// `rejoin` in `dir`, with nothing set from outside.
fn rejoin(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REJOIN_")) {
        command.env_remove(name);
    }
    command
}

impl Process {
    /// Waits until it is ready.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("rejoin play --server") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended before it was ready");
        }
        Self { child, said, announced: Announced::default() }
    }

    fn expects(self, event: &'static str) -> Self {
        self.announced.expects(event);
        self
    }

    fn end_with(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let _ = self.said.read_to_end(&mut Vec::new());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        self.announced.check(log.lines());
    }
}

/// Runs to its end, which must come soon; exit code and what it said on standard error.
fn fails(command: &mut Command) -> (Option<i32>, String) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (ended, watch) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let alive = watch.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
        if alive {
            kill_process(pid, Signal::KILL).unwrap();
        }
        alive
    });
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    drop(ended);
    let said = String::from_utf8(stderr).unwrap();
    assert!(!watchdog.join().unwrap(), "it goes on: {said}");
    (status.code(), said)
}

#[test]
fn asked_to_stop_it_ends_well_and_killed_it_comes_back() {
    let dir = TempDir::new().unwrap();
    // It may be asked as soon as it has said that it is ready.
    for signal in [Signal::TERM, Signal::INT, Signal::TERM, Signal::INT] {
        assert_eq!(Process::start(&mut server(dir.path())).end_with(signal), Some(0));
    }
    assert_eq!(Process::start(&mut server(dir.path())).end_with(Signal::KILL), None);
    let mut back = Process::start(&mut server(dir.path())).expects(event::RECOVERED);
    assert_eq!(back.end_with(Signal::TERM), Some(0));
}

#[test]
fn a_second_server_on_the_same_directory_exits_with_8() {
    let dir = TempDir::new().unwrap();
    let _first = Process::start(&mut server(dir.path()));
    let (code, said) = fails(&mut server(dir.path()));
    assert_eq!(code, Some(8), "{said}");
    assert!(said.contains("another process is using this directory"), "{said}");
}

#[test]
fn damaged_state_exits_with_7_and_says_where_and_how_to_repair() {
    let dir = TempDir::new().unwrap();
    // Twice: what is damaged below must have something good behind it, or it looks like a crash.
    for _ in 0..2 {
        assert_eq!(Process::start(&mut server(dir.path())).end_with(Signal::TERM), Some(0));
    }
    let files = fs::read_dir(dir.path().join("state")).unwrap().map(|entry| entry.unwrap().path());
    let journal = files.filter(|path| path.extension() == Some("log".as_ref())).min().unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes[100] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let (code, said) = fails(&mut server(dir.path()));
    assert_eq!(code, Some(7), "{said}");
    assert!(said.contains("is damaged at byte") && said.contains("rejoin admin repair --state"), "{said}");
    assert_eq!(fs::read(&journal).unwrap(), bytes, "it is left as it was");
}

#[test]
fn a_key_others_can_read_is_refused_with_the_command_that_helps() {
    let dir = TempDir::new().unwrap();
    Process::start(&mut server(dir.path())).end_with(Signal::TERM);
    let key = dir.path().join("certs").join("server.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = fails(&mut server(dir.path()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("chmod 600 {}", key.display())), "{said}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(Process::start(&mut server(dir.path())).end_with(Signal::TERM), Some(0));
}

#[test]
fn what_it_leaves_on_the_disk_is_for_its_owner_alone() {
    let dir = TempDir::new().unwrap();
    Process::start(&mut server(dir.path())).end_with(Signal::TERM);
    let state = dir.path().join("state");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    let log = state.join("log");
    assert_eq!(mode(&log), 0o700);
    for entry in fs::read_dir(&state).unwrap().chain(fs::read_dir(&log).unwrap()) {
        let path = entry.unwrap().path();
        assert!(path == log || mode(&path) == 0o600, "{}", path.display());
    }
    for key in ["server.key", "ca.key"] {
        assert_eq!(mode(&dir.path().join("certs").join(key)), 0o600);
    }
}

/// Permissions do not bind whoever runs tests as root, so the directory is one that cannot be.
#[test]
fn a_state_directory_that_cannot_be_written_exits_with_1_and_is_named() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("state"), "a file").unwrap();
    let (code, said) = fails(&mut server(dir.path()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&dir.path().join("state").display().to_string()), "{said}");

    let below = dir.path().join("state").join("below");
    let mut command = rejoin(dir.path(), &["server", "--listen", "127.0.0.1:0", "--certs", "certs", "--state"]);
    let (code, said) = fails(command.arg(&below));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("state"), "{said}");
}

#[test]
fn a_taken_port_exits_with_1_and_is_named() {
    let dir = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (code, said) = fails(&mut rejoin(dir.path(), &["server", "--listen", &addr]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on {addr}")), "{said}");
}

#[test]
fn what_cannot_be_understood_exits_with_2() {
    let dir = TempDir::new().unwrap();
    let wrong: [&[&str]; 5] = [
        &[],
        &["no-such-command"],
        &["server", "--no-such-flag"],
        &["server", "--listen", "nowhere"],
        &["server", "--points", "2,1"],
    ];
    for args in wrong {
        let (code, said) = fails(&mut rejoin(dir.path(), args));
        assert_eq!(code, Some(2), "{args:?}: {said}");
        assert!(!said.is_empty(), "{args:?}");
    }
    fs::write(dir.path().join("rejoin.toml"), "not toml").unwrap();
    assert_eq!(fails(&mut rejoin(dir.path(), &["server"])).0, Some(2), "a file that is no settings");
}

#[test]
fn the_state_of_another_server_is_refused() {
    let (dir, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    Process::start(&mut server(dir.path())).end_with(Signal::TERM);
    let mut command = rejoin(dir.path(), &["server", "--listen", "127.0.0.1:0", "--state", "state", "--certs"]);
    let (code, said) = fails(command.arg(other.path().join("certs")));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("belongs to server"), "{said}");
}
