//! The shell of the engine: sockets, threads and files around one task that decides.
//!
//! ```text
//!  listener ──> connection tasks ──Input──> engine task ──Append──> journal thread
//!                     ^                      │  ^  ^                     │
//!                     └────────Order─────────┘  │  └──────Flushed────────┘
//!                                               └──Hashed── hashing threads
//! ```
//!
//! Building, running and stopping are three steps: [`Config::build`] recovers and binds nothing it was not given,
//! [`Server::spawn`] starts the tasks, [`Running::stop`] drains.

#[doc(hidden)]
pub mod checks;
mod conn;
#[cfg(unix)]
pub mod control;
mod doors;
mod engine_task;
pub mod hasher;
pub mod journal;
mod log;
mod match_keys;
mod noted;
mod office;
mod opening;
pub mod ops;
pub mod respawn;
mod seals;
mod snapshots;
#[cfg(unix)]
pub mod supervise;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use self::conn::Order;
use self::doors::Doors;
use self::engine_task::EngineTask;
use self::hasher::{Done, Hasher};
use self::journal::{JournalWork, RESERVE_BYTES, RunJournal};
use self::noted::Noted;
use self::office::Told;
pub use self::office::{Gone, Office};
use self::opening::Opening;
use self::ops::{Attached, Ops};
use self::seals::Seals;
use self::snapshots::Snapshots;
use crate::model::decide::Points;
use crate::model::engine::{Engine, Input, Settings};
use crate::model::event::LinkEnd;
use crate::model::id::{Boot, ConnId, Lsn};
use crate::model::key::ServerId;
use crate::model::operator::AskId;
use crate::model::state::State;
use crate::model::time::{Clock, Entropy, WallMs};
use crate::net::certificate::{self, Certificate, Names};
use crate::net::certs::Certs;
use crate::net::keys::{KeysError, ServerKeys};
use crate::net::seam::{Listener, Net};
use crate::net::tls::{self, TlsError};
use crate::ops::event;
use crate::ops::work::{self, Worker};
use crate::store::{self, Disk, Note, Recovered, StoreError};

/// What an operator chooses.
#[derive(Clone, Debug)]
pub struct Config {
    /// The state directory.
    pub state: PathBuf,
    /// What a match gives.
    pub points: Points,
    /// What else the certificate is for.
    pub names: Names,
    /// How its files grow.
    pub sizes: Sizes,
}

/// How the files of a server grow; a simulation wants small ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes at which the journal begins another file.
    pub segment_bytes: u64,
    /// Bytes kept aside for the day when the disk is full.
    pub reserve_bytes: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { segment_bytes: store::SEGMENT_BYTES, reserve_bytes: RESERVE_BYTES }
    }
}

/// Everything outside the process, so that a simulation can pass its own.
#[derive(Clone)]
pub struct Seams {
    /// The network.
    pub net: Arc<dyn Net>,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The keys.
    pub certs: Arc<dyn Certs>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// Cryptography of TLS.
    pub provider: Arc<CryptoProvider>,
    /// Password hashing.
    pub hasher: MakeHasher,
    /// The journal's thread.
    pub journal: Arc<dyn RunJournal>,
    /// Work that may block.
    pub worker: Arc<dyn Worker>,
}

/// Makes the password hasher, which gives its results to the one passed in.
pub type MakeHasher = Arc<dyn Fn(Done) -> std::io::Result<Box<dyn Hasher>> + Send + Sync>;

/// Why a server cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The hashing threads.
    #[error("no thread can be started: {0}")]
    Threads(std::io::Error),
    /// The engine has ended by itself: a fault of this program, logged with its place.
    #[error("the engine has stopped; this is a fault of the program, and the journal is whole: start again")]
    Engine,
}

/// A server with its state recovered, ready to take connections.
pub struct Server {
    seams: Seams,
    config: Config,
    keys: ServerKeys,
    certificate: Arc<Certificate>,
    tls: Arc<ServerConfig>,
    recovered: Recovered<State>,
    report: Report,
    ops: Arc<Ops>,
}

/// What was found at the start.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who this server is.
    pub server: ServerId,
    /// The number of this run.
    pub boot: Boot,
    /// Whether the run before ended well; `None` at the first start.
    pub ended_well: Option<bool>,
    /// When the run before began or ended.
    pub last_run: WallMs,
    /// Sessions that can be taken up again.
    pub sessions: usize,
    /// Matches that are not settled on both sides.
    pub matches: usize,
    /// Accounts.
    pub accounts: u32,
    /// Whether the state was found to be lost, or older than the keys have seen, or put back from a copy.
    pub lost: bool,
    /// What the operator should know.
    pub notes: Vec<Note>,
}

impl Report {
    /// How the run before ended: `none`, `well` or `failed`.
    #[must_use]
    pub const fn last_run_word(&self) -> &'static str {
        match self.ended_well {
            None => "none",
            Some(true) => "well",
            Some(false) => "failed",
        }
    }
}

/// A server at work.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// What was found at the start.
    pub report: Report,
    inputs: mpsc::Sender<Knock>,
    /// Closed when no connection is left.
    conns: mpsc::Receiver<Infallible>,
    engine: JoinHandle<Result<(), ServerError>>,
    accept: JoinHandle<()>,
    renew: JoinHandle<()>,
    office: Office,
    ops: Arc<Ops>,
    noted: Arc<Noted>,
    worker: Arc<dyn Worker>,
}

/// What all connections share.
pub(crate) struct House {
    pub(crate) server: ServerId,
    pub(crate) seals: Seals,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) turns: Semaphore,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    last_conn: AtomicU64,
    inputs: mpsc::Sender<Knock>,
    /// Whether the start is on disk.
    served: watch::Receiver<bool>,
    pub(crate) ops: Arc<Ops>,
    _open: mpsc::Sender<Infallible>,
}

/// Something for the engine; a new connection comes with the way to reach it.
pub(crate) struct Knock {
    input: Input,
    orders: Option<(ConnId, mpsc::Sender<Order>)>,
    /// Held until the replies have gone to the connection.
    turn: Option<OwnedSemaphorePermit>,
    /// An operator, who waits for the answer.
    told: Option<(AskId, oneshot::Sender<Told>)>,
}

impl Knock {
    const fn new(input: Input) -> Self {
        Self { input, orders: None, turn: None, told: None }
    }
}

/// Inputs that wait for the engine; more wait in the connections' tasks, which then read no more.
const INPUTS_MAX: usize = 1024;
/// How long whoever logs in waits for the log.
const LOGGED_MAX: Duration = Duration::from_millis(250);
/// How long a server that stops waits until its last words are written. Who takes longer, be it because nobody is there
/// any more, would make all the others wait for the next server.
const LAST_WORDS_MAX: Duration = Duration::from_millis(250);
/// After the listener says no, how long until it is asked again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

impl ServerError {
    /// The exit code of design §8.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Store(StoreError::InUse { .. }) => 8,
            Self::Store(StoreError::Damaged { .. }) => 7,
            Self::Store(_) | Self::Keys(_) | Self::Tls(_) | Self::Listen { .. } | Self::Threads(_) | Self::Engine => 1,
        }
    }
}

impl Config {
    /// Reads the keys and recovers the state. Blocks on the disk.
    ///
    /// # Errors
    /// [`ServerError`]; nothing was changed that the next start would miss.
    pub fn build(self, seams: Seams) -> Result<Server, ServerError> {
        let keys = seams.certs.keys(&*seams.entropy)?;
        let settings = store_settings(keys.id(), self.sizes, &*seams.entropy);
        let recovered = store::recover::<State>(&seams.disk, &self.state, &settings)?;
        // After the recovery: it may have to wait for the TLS library's first random number.
        let certificate = keys.certificate(&self.names, &*seams.entropy, seams.clock.wall())?;
        let tls = tls::server_config(Arc::clone(&seams.provider), Arc::clone(&certificate) as _)?;
        let (newest, last) = (recovered.state.head().boot, recovered.last);
        let lost = opening::is_lost(&*seams.disk, &self.state, &*seams.certs, newest, last);
        let report = report(keys.id(), &recovered, lost, &*seams.entropy);
        Ok(Server { seams, config: self, keys, certificate, tls, recovered, report, ops: Arc::default() })
    }
}

fn store_settings(server: ServerId, sizes: Sizes, entropy: &dyn Entropy) -> store::Settings {
    let mut salt = [0; 8];
    entropy.fill(&mut salt);
    let settings = store::Settings::new(server.0, u64::from_le_bytes(salt));
    store::Settings { segment_bytes: sizes.segment_bytes, ..settings }
}

fn report(server: ServerId, recovered: &Recovered<State>, lost: bool, entropy: &dyn Entropy) -> Report {
    let mut nonce = [0; 8];
    entropy.fill(&mut nonce);
    let state = &recovered.state;
    let head = state.head();
    Report {
        server,
        boot: Boot { number: recovered.journal.boot(), nonce: u64::from_le_bytes(nonce) },
        ended_well: (recovered.boot > 0).then_some(head.ended_well),
        last_run: head.at,
        sessions: state.sessions().count(),
        matches: state.games().filter(|of| of.ruling.is_none()).count(),
        accounts: state.account_count(),
        lost,
        notes: recovered.notes.clone(),
    }
}

impl Server {
    /// What was found at the start.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Has the server looked after through this: what it counts, its log, whether it serves.
    #[must_use]
    pub fn with_ops(self, ops: Arc<Ops>) -> Self {
        Self { ops, ..self }
    }

    /// Starts the tasks and takes connections.
    ///
    /// # Errors
    /// [`ServerError::Listen`] when the listener does not say where it is.
    pub fn spawn(self, listener: Box<dyn Listener>) -> Result<Running, ServerError> {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let addr = listener.local_addr().map_err(|source| ServerError::Listen { addr: unknown, source })?;
        let Self { seams, config, keys, certificate, tls, recovered, report, ops } = self;
        let (inputs, input) = mpsc::channel(INPUTS_MAX);
        log_report(&report);
        let state_dir = config.state.clone();

        let Recovered { state, last, journal, .. } = recovered;
        let settings = store_settings(keys.id(), config.sizes, &*seams.entropy);
        let (disk, reserve_bytes) = (Arc::clone(&seams.disk), config.sizes.reserve_bytes);
        let (work, handle) = JournalWork::new(journal, disk, &config.state, reserve_bytes, Arc::clone(&ops.metrics));
        let failed = work.failed();
        seams.journal.run(work);
        let snapshots = Arc::new(Snapshots::new(&seams.disk, &config.state, &settings, failed));
        let noted = Arc::new(Noted::new(&seams.certs, report.boot, &handle.status));
        let (looking, noting) = (Arc::clone(&snapshots), Arc::clone(&noted));
        seams.journal.run_snapshots(Box::new(move || {
            looking.look();
            noting.look();
        }));
        let (over, is_over) = watch::channel(false);
        let tasks = handle.tasks.downgrade();
        let office =
            Office::new(inputs.downgrade(), tasks, snapshots, Arc::clone(&seams.worker), is_over, Arc::clone(&ops));

        let mut seed = [0; 32];
        seams.entropy.fill(&mut seed);
        let engine = Engine::new(Settings { points: config.points }, report.server, state, last, seed);
        // At most `HASH_QUEUE_MAX` jobs are under way, so this is bounded too.
        let (done, hashed) = mpsc::unbounded_channel();
        let done: Done = Arc::new(move |job, result| drop(done.send((job, result))));
        let hasher = (seams.hasher)(done).map_err(ServerError::Threads)?;
        let (ask, looks) = mpsc::channel(1);
        let task = EngineTask {
            engine,
            clock: Arc::clone(&seams.clock),
            journal: handle,
            full: false,
            hasher,
            hashed,
            inputs: input,
            conns: BTreeMap::new(),
            turns: VecDeque::new(),
            asked: BTreeMap::new(),
            over,
            draining: false,
            log: log::Lines::default(),
            metrics: Arc::clone(&ops.metrics),
            looks,
            waited: (0, 0),
        };
        let (serve, served) = watch::channel(false);
        let (lost, after, disk, boot) = (report.lost, Lsn(0), Arc::clone(&seams.disk), report.boot);
        let opening = Opening { lost, after, disk, state: config.state, boot, noted: Arc::clone(&noted), serve };
        let engine = tokio::spawn(task.run(opening));

        let (open, conns) = mpsc::channel(1);
        let house = Arc::new(House {
            server: report.server,
            seals: Seals::new(keys.key().clone()),
            tls,
            turns: Semaphore::new(tls::TURNS),
            clock: Arc::clone(&seams.clock),
            entropy: Arc::clone(&seams.entropy),
            last_conn: AtomicU64::new(0),
            inputs: inputs.clone(),
            served,
            ops: Arc::clone(&ops),
            _open: open,
        });
        ops.attach(Attached {
            ask,
            served: house.served.clone(),
            house: Arc::downgrade(&house),
            boot: report.boot.number,
            state: state_dir,
        });
        let accept = tokio::spawn(accept(listener, house));
        let worker = Arc::clone(&seams.worker);
        let renew = tokio::spawn(renew(certificate, seams));
        let (port, boot, sessions, matches) = (addr.port(), report.boot.number, report.sessions, report.matches);
        let last_run = report.last_run_word();
        info!(event = event::SERVER_STARTED, port, boot, last_run, sessions, matches, "server started");
        Ok(Running { addr, report, inputs, conns, engine, accept, renew, office, ops, noted, worker })
    }
}

impl Running {
    /// Where an operator can ask for things.
    #[must_use]
    pub fn office(&self) -> Office {
        self.office.clone()
    }

    /// Stops accepting, tells the clients when it is back, writes everything down, and ends.
    ///
    /// # Errors
    /// [`ServerError`] if the journal could not be finished.
    pub async fn stop(mut self, eta: Duration) -> Result<(), ServerError> {
        info!(event = event::SERVER_STOPPING, "server shutting down");
        self.ops.drain();
        self.accept.abort();
        let _ = self.inputs.send(Knock::new(Input::Drain { eta })).await;
        let ended = (&mut self.engine).await.unwrap_or(Err(ServerError::Engine));
        let noted = Arc::clone(&self.noted);
        // What cannot be noted was said.
        drop(work::done(&*self.worker, move || noted.look()).await);
        // What the engine has said last is still to be written by the connections.
        let _ = timeout(LAST_WORDS_MAX, self.conns.recv()).await;
        self.renew.abort();
        ended
    }

    /// Waits until the server ends by itself, which it does only when it cannot go on.
    pub async fn ended(&mut self) -> ServerError {
        match (&mut self.engine).await {
            Ok(Err(error)) => error,
            Ok(Ok(())) | Err(_) => ServerError::Engine,
        }
    }
}

impl House {
    /// Waits until the start is on disk; false when the engine has ended before. Handshakes go on meanwhile.
    pub(crate) async fn serves(&self) -> bool {
        self.served.clone().wait_for(|served| *served).await.is_ok()
    }

    /// Waits until what was logged so far is in the log's file, as far as a server that was killed has one.
    pub(crate) async fn logged(&self) {
        if let Some(log) = &self.ops.log {
            log.written(LOGGED_MAX).await;
        }
    }

    pub(crate) fn next_conn(&self) -> ConnId {
        ConnId(self.last_conn.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Announces a connection; false when the engine is gone.
    pub(crate) async fn open(&self, conn: ConnId, orders: mpsc::Sender<Order>, opened: Input) -> bool {
        self.inputs.send(Knock { orders: Some((conn, orders)), ..Knock::new(opened) }).await.is_ok()
    }

    /// Whether the engine is gone.
    pub(crate) fn has_ended(&self) -> bool {
        self.inputs.is_closed()
    }

    pub(crate) async fn tell(&self, input: Input) {
        // When the engine is gone, the connection hears it from its orders.
        let _ = self.inputs.send(Knock::new(input)).await;
    }

    /// As [`tell`](Self::tell); `turn` ends when the engine has dealt with it.
    pub(crate) async fn tell_in_turn(&self, input: Input, turn: OwnedSemaphorePermit) {
        let _ = self.inputs.send(Knock { turn: Some(turn), ..Knock::new(input) }).await;
    }

    pub(crate) async fn close(&self, conn: ConnId, end: LinkEnd) {
        self.tell(Input::Closed { conn, end }).await;
    }
}

/// Takes connections for ever.
async fn accept(listener: Box<dyn Listener>, house: Arc<House>) {
    let doors = Doors::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match doors.enter(peer.ip()) {
                Some(guest) => drop(tokio::spawn(conn::serve(Arc::clone(&house), stream, peer, guest))),
                None => debug!(event = event::TURNED_AWAY, ip = %peer.ip(), "too many connections"),
            },
            Err(error) => {
                debug!(event = event::TURNED_AWAY, %error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// Shows a fresh certificate every day.
async fn renew(certificate: Arc<Certificate>, seams: Seams) {
    loop {
        tokio::time::sleep(certificate::RENEW_EVERY).await;
        let (certificate, entropy, wall) = (Arc::clone(&certificate), Arc::clone(&seams.entropy), seams.clock.wall());
        let renewed = work::done(&*seams.worker, move || certificate.renew(&*entropy, wall)).await;
        if let Ok(Err(error)) = renewed {
            error!(event = event::CERTIFICATE_FAILED, %error, "the TLS certificate could not be renewed");
        }
    }
}

fn log_report(report: &Report) {
    let (boot, sessions, matches) = (report.boot.number, report.sessions, report.matches);
    match report.ended_well {
        None => info!(event = event::RECOVERED, boot, "first start"),
        Some(true) => info!(event = event::RECOVERED, boot, sessions, matches, "the last run ended well"),
        Some(false) => warn!(event = event::RECOVERED, boot, sessions, matches, "the last run failed"),
    }
    for note in &report.notes {
        match note {
            Note::FirstStart | Note::SnapshotUsed { .. } | Note::Replayed { .. } | Note::Removed { .. } => {
                debug!(event = event::STATE_NOTE, "{note}");
            }
            Note::TailCut { .. } => info!(event = event::STATE_NOTE, "{note}"),
            Note::SnapshotUnusable(_) | Note::ArchiveGap { .. } => warn!(event = event::STATE_NOTE, "{note}"),
        }
    }
}
