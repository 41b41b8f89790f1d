//! A real server in this process, with a runtime of its own: what a `kill` takes away is dropped, the files stay.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rejoin::model::engine::{Hashing, JobId};
use rejoin::model::key::ServerId;
use rejoin::model::limits::LISTEN_BACKLOG;
use rejoin::net::certificate::Names;
use rejoin::net::certs::CertsDir;
use rejoin::net::host::HostNet;
use rejoin::net::seam::{Listener, Stream, Wait};
use rejoin::net::tls;
use rejoin::ops::event;
use rejoin::ops::host::{HostClock, HostEntropy};
use rejoin::ops::work::HostWorker;
use rejoin::server::hasher::{FakeHasher, Full, HashThreads, Hasher, spare_cores};
use rejoin::server::journal::{JournalWork, RunJournal};
use rejoin::server::{Config, MakeHasher, Office, Report, Running, Seams, ServerError, Sizes};
use rejoin::store::{Disk, HostDisk};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tracing_subscriber::filter::LevelFilter;

use super::{Announced, Log, PATIENCE, patiently};

/// What a test may choose.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) hashers: Hashers,
    /// Bytes the kernel holds for a client that does not read; as many as it likes if `None`.
    pub(crate) send_buffer: Option<u32>,
}

/// Who hashes.
#[derive(Clone)]
pub(crate) enum Hashers {
    /// Nobody; answers at once.
    Fake,
    /// Threads, with argon2id.
    Real,
    /// Nobody, and only when the test lets it.
    Gated(Arc<Gate>),
}

/// A server with its files in a directory of its own.
pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    pub(crate) id: ServerId,
    pub(crate) log: Log,
    announced: Announced,
    pub(crate) report: Report,
    pub(crate) setup: Setup,
    dir: TempDir,
    strangers: Strangers,
    journal: Arc<Journals>,
    runtime: Option<Runtime>,
    running: Option<Running>,
}

/// Local ports of clients that the server shall take for somebody from elsewhere.
type Strangers = Arc<Mutex<BTreeMap<u16, IpAddr>>>;

impl Default for Setup {
    fn default() -> Self {
        Self { disk: Arc::new(HostDisk), hashers: Hashers::Fake, send_buffer: None }
    }
}

/// A server that has not been started, with its files in `dir`.
pub(crate) fn unstarted(dir: &Path) -> rejoin::server::Server {
    let (config, seams) = parts(&Setup::default(), dir, Arc::new(Journals::default()));
    config.build(seams).unwrap()
}

impl TestServer {
    /// On a free port of this machine, with an empty state directory and no real hashing.
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        Self::try_with(setup).unwrap()
    }

    /// As [`with`](Self::with), where it may fail.
    pub(crate) fn try_with(setup: Setup) -> Result<Self, ServerError> {
        let dir = tempfile::tempdir().unwrap();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (log, strangers, journal) = (Log::new(), Strangers::default(), Arc::new(Journals::default()));
        let (runtime, running) = launch(&setup, &dir, anywhere, &log, &strangers, &journal)?;
        Ok(Self {
            addr: running.addr,
            id: running.report.server,
            report: running.report.clone(),
            log,
            announced: Announced::default(),
            setup,
            dir,
            strangers,
            journal,
            runtime: Some(runtime),
            running: Some(running),
        })
    }

    /// The same files and port again, after [`kill`](Self::kill) or [`stop`](Self::stop).
    pub(crate) fn restart(&mut self) {
        assert!(self.runtime.is_none(), "it was stopped before");
        let (runtime, running) =
            launch(&self.setup, &self.dir, self.addr, &self.log, &self.strangers, &self.journal).unwrap();
        self.report = running.report.clone();
        (self.runtime, self.running) = (Some(runtime), Some(running));
    }

    /// Its log may have warnings and errors of this name; others fail the test.
    pub(crate) fn expects(&self, event: &'static str) {
        self.announced.expects(event);
    }

    /// Takes everything away in the middle of whatever it does; only what is on disk stays. The next run says so.
    pub(crate) fn kill(&mut self) {
        self.expects(event::RECOVERED);
        self.take_away();
    }

    fn take_away(&mut self) {
        self.running = None;
        if let Some(runtime) = self.runtime.take() {
            // It may not be dropped where a runtime is at work.
            std::thread::spawn(move || drop(runtime)).join().unwrap();
        }
        self.journal.join();
    }

    /// Stops as an operator stops it.
    pub(crate) async fn stop(&mut self) -> Result<(), ServerError> {
        let running = self.running.take().unwrap();
        let runtime = self.runtime.as_ref().unwrap();
        let stopped = runtime.spawn(running.stop(Duration::from_secs(1)));
        let stopped = patiently("the server to stop", stopped).await.unwrap();
        self.take_away();
        stopped
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ServerError {
        patiently("the server to end", self.running.as_mut().unwrap().ended()).await
    }

    /// Where an operator can ask for things.
    pub(crate) fn office(&self) -> Office {
        self.running.as_ref().expect("it runs").office()
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn certs_dir(&self) -> PathBuf {
        self.dir.path().join("certs")
    }

    /// A connection from this machine.
    pub(crate) async fn dial(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// A connection that the server takes for one from `ip`.
    pub(crate) async fn dial_from(&self, ip: IpAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = socket.local_addr().unwrap().port();
        self.strangers.lock().unwrap().insert(port, ip);
        socket.connect(self.addr).await.unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.running = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.announced.check(self.log.text().lines());
    }
}

fn launch(
    setup: &Setup,
    dir: &TempDir,
    addr: SocketAddr,
    log: &Log,
    strangers: &Strangers,
    journal: &Arc<Journals>,
) -> Result<(Runtime, Running), ServerError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime =
        builder.worker_threads(2).enable_all().on_thread_start(log.on_thread(LevelFilter::TRACE)).build().unwrap();
    let (config, seams) = parts(setup, dir.path(), Arc::clone(journal) as Arc<dyn RunJournal>);
    let (send_buffer, strangers) = (setup.send_buffer, Arc::clone(strangers));
    let (tell, told) = std::sync::mpsc::channel();
    // On a thread of the runtime, so that its lines get into the log.
    runtime.spawn(async move {
        let listener = Box::new(Door { listener: listen(addr, send_buffer), strangers });
        let started = config.build(seams).and_then(|server| server.spawn(listener));
        tell.send(started).unwrap();
    });
    match told.recv_timeout(PATIENCE).expect("it starts or says why not") {
        Ok(running) => Ok((runtime, running)),
        Err(error) => {
            runtime.shutdown_background();
            Err(error)
        }
    }
}

/// What a server with its files in `dir` is made of.
fn parts(setup: &Setup, dir: &Path, journal: Arc<dyn RunJournal>) -> (Config, Seams) {
    let config = Config {
        state: dir.join("state"),
        points: rejoin::model::decide::Points::default(),
        names: Names::default(),
        sizes: Sizes::default(),
    };
    let seams = Seams {
        worker: Arc::new(HostWorker),
        net: Arc::new(HostNet),
        disk: Arc::clone(&setup.disk),
        certs: Arc::new(CertsDir::at(&dir.join("certs"))),
        clock: Arc::new(HostClock::start()),
        entropy: Arc::new(HostEntropy),
        provider: tls::provider(),
        hasher: setup.hashers.make(),
        journal,
    };
    (config, seams)
}

fn listen(addr: SocketAddr, send_buffer: Option<u32>) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    if let Some(bytes) = send_buffer {
        socket.set_send_buffer_size(bytes).unwrap();
    }
    socket.bind(addr).unwrap();
    socket.listen(LISTEN_BACKLOG).unwrap()
}

/// A listening socket that can be told where its guests come from.
struct Door {
    listener: TcpListener,
    strangers: Strangers,
}

impl Listener for Door {
    fn accept(&self) -> Wait<'_, (Stream, SocketAddr)> {
        Box::pin(async move {
            let (stream, mut peer) = self.listener.accept().await?;
            let _ = stream.set_nodelay(true);
            if let Some(ip) = self.strangers.lock().unwrap().remove(&peer.port()) {
                peer.set_ip(ip);
            }
            Ok((Box::new(stream) as Stream, peer))
        })
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The journal's threads, which can be waited for: the directory is locked until they end. No snapshots are made.
#[derive(Default)]
struct Journals(Mutex<Vec<JoinHandle<()>>>);

impl Journals {
    fn join(&self) {
        self.0.lock().unwrap().drain(..).for_each(|thread| thread.join().unwrap());
    }
}

impl RunJournal for Journals {
    fn run(&self, work: JournalWork) {
        self.0.lock().unwrap().push(std::thread::spawn(|| work.run_blocking()));
    }

    fn run_snapshots(&self, _step: Box<dyn FnMut() + Send>) {}
}

impl Hashers {
    fn make(&self) -> MakeHasher {
        match self.clone() {
            Self::Fake => Arc::new(|done| Ok(Box::new(FakeHasher::new(done)) as Box<dyn Hasher>)),
            Self::Real => Arc::new(|done| {
                let entropy = Arc::new(HostEntropy) as _;
                Ok(Box::new(HashThreads::spawn(spare_cores(), &entropy, &done)?) as Box<dyn Hasher>)
            }),
            Self::Gated(gate) => Arc::new(move |done| {
                gate.0.lock().unwrap().hasher = Some(FakeHasher::new(done));
                Ok(Box::new(AtGate(Arc::clone(&gate))) as Box<dyn Hasher>)
            }),
        }
    }
}

/// A hasher that holds its jobs while the test wants it to.
pub(crate) struct Gate(Mutex<Held>, watch::Sender<usize>);

#[derive(Default)]
struct Held {
    hasher: Option<FakeHasher>,
    closed: bool,
    jobs: Vec<(JobId, Hashing)>,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::default(), watch::Sender::new(0)))
    }

    pub(crate) fn close(&self) {
        self.0.lock().unwrap().closed = true;
    }

    /// Does what was held, and holds nothing more.
    pub(crate) fn open(&self) {
        let mut held = self.0.lock().unwrap();
        held.closed = false;
        let jobs = std::mem::take(&mut held.jobs);
        for (job, hashing) in jobs {
            held.hasher.as_ref().unwrap().start(job, hashing).unwrap();
        }
    }

    /// Waits until that many jobs are held.
    pub(crate) async fn holds(&self, jobs: usize) {
        let mut held = self.1.subscribe();
        patiently("passwords to wait at the gate", held.wait_for(|held| *held >= jobs)).await.unwrap();
    }
}

/// What the server has of a gate.
struct AtGate(Arc<Gate>);

impl Hasher for AtGate {
    fn start(&self, job: JobId, hashing: Hashing) -> Result<(), Full> {
        let Gate(held, count) = &*self.0;
        let mut held = held.lock().unwrap();
        if !held.closed {
            return held.hasher.as_ref().unwrap().start(job, hashing);
        }
        held.jobs.push((job, hashing));
        count.send_replace(held.jobs.len());
        Ok(())
    }
}
