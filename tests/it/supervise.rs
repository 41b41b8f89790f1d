//! `rejoin server --supervise`, with this test binary in the parts of parent and worker.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use rejoin::model::time::{Clock, Now, WallMs};
use rejoin::net::host::HostNet;
use rejoin::server::respawn::{Exit, Next};
use rejoin::server::supervise::{self, Event, SUPERVISED, Worker};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Set for a process that shall be the parent.
const PARENT: &str = "REJOIN_TEST_PARENT";
/// How the parent begins the line that tells where it listens.
const TELL: &str = "listening on ";
/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Every life counts as quick, which is what the test needs.
struct Still;

impl Clock for Still {
    fn now(&self) -> Now {
        Now(0)
    }

    fn wall(&self) -> WallMs {
        WallMs(0)
    }
}

/// Runs this binary's test `part` and nothing else.
fn arguments(part: &str) -> Vec<OsString> {
    ["--exact", part, "--nocapture", "--test-threads=1"].map(OsString::from).to_vec()
}

fn worker() -> Worker {
    Worker::this_program(arguments("supervise::part_of_the_worker")).unwrap()
}

/// Not a test of its own: what a worker does. For each connection it tells its process id, then obeys one letter.
#[test]
fn part_of_the_worker() {
    if !supervise::is_worker() {
        return;
    }
    supervise::end_with_parent().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = HostNet::inherited().unwrap().expect("the parent passes the listener on");
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(format!("{}\n", std::process::id()).as_bytes()).await.unwrap();
            match stream.read_u8().await {
                Ok(code @ b'0'..=b'9') => std::process::exit(i32::from(code - b'0')),
                // Anything else: until the other side hangs up.
                Ok(_) | Err(_) => {
                    let _ = stream.read_u8().await;
                }
            }
        }
    });
}

/// Not a test of its own: what a parent does. It tells where it listens.
#[test]
fn part_of_the_parent() {
    if env::var_os(PARENT).is_none() {
        return;
    }
    let report = &mut |event: &Event| {
        if let Event::Listening { addr } = event {
            writeln!(std::io::stdout(), "\n{TELL}{addr}").unwrap();
        }
    };
    let code = supervise::run(anywhere(), &worker(), &Still, report).unwrap();
    std::process::exit(code.into());
}

/// A process that is the parent. It ends with the test, also when that fails.
struct Parent {
    child: Child,
    addr: SocketAddr,
    /// Closed when neither it nor a worker of it lives.
    lines: mpsc::Receiver<String>,
}

impl Parent {
    fn start() -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(arguments("supervise::part_of_the_parent"))
            .env(PARENT, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let (lines_in, lines) = mpsc::channel();
        // It reads to the end, because the workers write there too.
        std::thread::spawn(move || {
            let told = said.map_while(Result::ok).filter_map(|line| line.strip_prefix(TELL).map(str::to_owned));
            told.for_each(|addr| lines_in.send(addr).unwrap());
        });
        let addr = lines.recv_timeout(PATIENCE).expect("the parent tells where it listens").parse().unwrap();
        Self { child, addr, lines }
    }

    /// Waits until nobody of the family lives; the parent's exit code.
    fn end(&mut self) -> Option<i32> {
        assert_eq!(self.lines.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "they live on");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits until a worker serves this connection; its process id.
fn served_by(stream: &mut TcpStream) -> i32 {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn a_dead_worker_is_replaced_and_who_waited_meanwhile_is_served() {
    let (events_in, events) = mpsc::channel();
    let parent = std::thread::spawn(move || {
        supervise::run(anywhere(), &worker(), &Still, &mut |event| events_in.send(event.clone()).unwrap())
    });
    let Ok(Event::Listening { addr }) = events.recv_timeout(PATIENCE) else { panic!("it listens first") };

    let mut first = connect(addr);
    let pid = served_by(&mut first);
    let mut waiting = connect(addr);
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    assert_ne!(served_by(&mut waiting), pid);

    waiting.write_all(b"1").unwrap();
    let mut last = connect(addr);
    served_by(&mut last);
    last.write_all(b"7").unwrap();
    assert_eq!(parent.join().unwrap().unwrap(), 7, "damaged state is not tried again");

    let ends: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Ended { exit, next, .. } => Some((exit, next)),
            Event::Listening { .. } | Event::Started { .. } => None,
        })
        .collect();
    let at_once = Next::Start { after: Duration::ZERO };
    let wanted = [(Exit::Signal(9), at_once), (Exit::Code(1), at_once), (Exit::Code(7), Next::End { code: 7 })];
    assert_eq!(ends, wanted);
}

#[test]
fn a_request_to_stop_reaches_the_worker_and_ends_both() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut parent = Parent::start();
        served_by(&mut connect(parent.addr));
        kill_process(Pid::from_child(&parent.child), signal).unwrap();
        // This worker does not catch the signal, so it dies of it; the parent passes that on as a failure.
        assert_eq!(parent.end(), Some(1));
    }
}

#[test]
fn a_worker_dies_with_its_parent() {
    let mut parent = Parent::start();
    served_by(&mut connect(parent.addr));
    parent.child.kill().unwrap();
    assert_eq!(parent.end(), None, "killed");
}

#[test]
fn a_worker_whose_parent_is_gone_already_does_not_begin() {
    let run = |parent: &str| {
        Command::new(env::current_exe().unwrap())
            .args(arguments("supervise::part_of_the_worker"))
            .env(SUPERVISED, parent)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    for (parent, reason) in [("1", "Orphan"), ("none", "BadParent"), ("0", "BadParent")] {
        let output = run(parent);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(reason), "{parent}: {said}");
    }
}
