//! `rejoin server` in a process of its own. It ends with the test, also when that fails.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};

use rejoin::model::key::ServerId;
use rejoin::net::keys::published_id;
use rejoin::ops::event;
use rustix::process::{Pid, Signal, kill_process};

use super::heard::Heard;
use crate::rig::Announced;

/// A server, its output and its log.
pub(crate) struct Server {
    child: Child,
    /// Standard output and standard error.
    pub(crate) heard: Heard<String>,
    pub(crate) addr: SocketAddr,
    pub(crate) dir: PathBuf,
    announced: Announced,
}

impl Server {
    /// Starts one with its files in `dir`, on a free port of this machine.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_on(dir, SocketAddr::from(([127, 0, 0, 1], 0)), &[])
    }

    /// As [`start`](Self::start), with a small parent that holds the socket.
    pub(crate) fn supervised(dir: &Path) -> Self {
        Self::start_on(dir, SocketAddr::from(([127, 0, 0, 1], 0)), &["--supervise"])
    }

    /// As [`start`](Self::start), with more flags.
    pub(crate) fn start_with(dir: &Path, flags: &[&str]) -> Self {
        Self::start_on(dir, SocketAddr::from(([127, 0, 0, 1], 0)), flags)
    }

    /// Another on the port and the files of this one, which was killed.
    pub(crate) fn again_with(&self, flags: &[&str]) -> Self {
        let mut again = Self::start_on(&self.dir, self.addr, flags);
        again.announced = self.announced.clone();
        again
    }

    /// By a shell that may have so many files open.
    pub(crate) fn start_with_files(dir: &Path, files: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -Sn {files}; exec \"$@\""), "sh"]).arg(program().get_program());
        Self::start_by(shell, dir, SocketAddr::from(([127, 0, 0, 1], 0)), &[])
    }

    /// How many files it may have open: the soft limit and the hard one.
    pub(crate) fn files_max(&self) -> [String; 2] {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let mut words = line.split_whitespace().skip(3).map(str::to_owned);
        [words.next().unwrap(), words.next().unwrap()]
    }

    fn start_on(dir: &Path, addr: SocketAddr, flags: &[&str]) -> Self {
        Self::start_by(program(), dir, addr, flags)
    }

    fn start_by(mut command: Command, dir: &Path, addr: SocketAddr, flags: &[&str]) -> Self {
        command.args(["server", "--listen", &addr.to_string(), "--state"]).arg(dir.join("state"));
        command.arg("--certs").arg(dir.join("certs")).args(flags).current_dir(dir);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (lines, heard) = channel();
        pass_on(child.stdout.take().unwrap(), lines.clone());
        pass_on(child.stderr.take().unwrap(), lines);
        let mut server =
            Self { child, heard: Heard::new(heard), addr, dir: dir.to_owned(), announced: Announced::default() };
        server.ready();
        server
    }

    /// Waits until it takes connections.
    pub(crate) fn ready(&mut self) {
        self.said("ready; ");
        let address = self.said("rejoin play --server ");
        let address = address.split_once("--server ").unwrap().1.split_once('#').unwrap().0;
        self.addr = address.parse().unwrap();
    }

    /// Its log may have warnings and errors of this name; others fail the test.
    pub(crate) fn expects(&self, event: &'static str) {
        self.announced.expects(event);
    }

    /// Kills it with SIGKILL and waits until it is gone. The next run says so.
    pub(crate) fn kill(&mut self) {
        self.expects(event::RECOVERED);
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills the worker of a supervised server with SIGKILL; wait for the next with [`ready`](Self::ready).
    pub(crate) fn kill_worker(&mut self) {
        self.expects(event::RECOVERED);
        let pid = self.worker();
        self.heard.forget();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }

    /// The process id of the worker of a supervised server.
    pub(crate) fn worker(&mut self) -> i32 {
        let worker = |line: &String| line.strip_suffix(" started")?.rsplit(' ').next()?.parse().ok();
        self.heard.until("the worker's process id", worker)
    }

    /// Whether the process that was started is there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Asks it to stop and waits until it has, which it must have done well.
    pub(crate) fn stop(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Waits until it has ended by itself; how.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Starts it again, by hand, on the port it had.
    pub(crate) fn start_again(&mut self) {
        let had = self.addr;
        *self = self.again_with(&[]);
        assert_eq!(self.addr, had, "it is found where it was");
    }

    /// Waits for a line with this text; the line.
    pub(crate) fn said(&mut self, text: &str) -> String {
        self.logged(&[text])
    }

    /// Waits for a line that holds all of this; the line.
    pub(crate) fn logged(&mut self, parts: &[&str]) -> String {
        let holds = |line: &String| parts.iter().all(|part| line.contains(part)).then(|| line.clone());
        self.heard.until(&format!("{parts:?}"), holds)
    }

    pub(crate) fn id(&self) -> ServerId {
        published_id(&self.dir.join("certs")).unwrap().expect("a server that is ready has published its id")
    }

    /// What a player types after `--server`.
    pub(crate) fn address(&self) -> String {
        format!("{}#{}", self.addr, self.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // A worker ends with its parent.
        let said = self.heard.finish();
        self.announced.check(said.iter().map(String::as_str));
    }
}

/// This program, with nothing of the environment that would change what it does.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REJOIN_")) {
        command.env_remove(name);
    }
    command
}

/// Passes lines on, to the end, so that the process never waits for its reader.
fn pass_on(from: impl Read + Send + 'static, to: Sender<String>) {
    std::thread::spawn(move || {
        // The test may have ended.
        BufReader::new(from).lines().map_while(Result::ok).for_each(|line| drop(to.send(line)));
    });
}
