//! How many bytes a match costs, on every link and in every direction, TLS included.

mod print;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustls::crypto::CryptoProvider;
use serde::Serialize;

use super::counted::{Book, CountedNet, Record, Way};
use super::kinds::{Kinds, PROBE, add_up, told_by};
use super::machine::{Loopback, Machine};
use super::players::{Pair, Stage, add_accounts};
use crate::cli::child::ServerProcess;
use crate::model::games::GameSpec;
use crate::model::key::SecretKey;
use crate::model::limits::PEER_LISTEN_BACKLOG;
use crate::net::peer::PeerTls;
use crate::net::seam::Net;
use crate::net::tls::{self, Trust};
use crate::ops::host::HostClock;

/// Count the bytes of a five-move tic-tac-toe match on every link, from the invitation to the verdict
#[derive(Debug, clap::Args)]
pub(super) struct Bytes {
    /// Matches to play, one after the other
    #[arg(long, default_value_t = 20)]
    matches: usize,
    /// Seconds of waiting in a match without a move
    #[arg(long, default_value_t = 60)]
    idle: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
enum Flow {
    XToServer,
    ServerToX,
    OToServer,
    ServerToO,
    XToO,
    OToX,
}

/// Bytes of TLS records, by what is in them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Sum {
    /// Frames of the match.
    messages: usize,
    /// Records with nothing but pings, echoes and their answers.
    probes: usize,
    handshakes: usize,
}

/// What one part of a match has cost.
#[derive(Clone, Debug, Default, Serialize)]
struct Part {
    flows: BTreeMap<Flow, Sum>,
    /// Frames and their bytes without TLS, by kind; handshakes are not in it.
    kinds: BTreeMap<&'static str, (usize, usize)>,
    /// TLS records, and connections between the players.
    records: usize,
    peer_conns: usize,
    millis: u64,
    /// The same part by the loopback interface: all traffic of this network namespace, with TCP/IP headers.
    loopback: Option<Loopback>,
}

/// One handshake as it was counted on a connection with nothing else on it.
#[derive(Clone, Debug, Serialize)]
struct Handshake {
    group: String,
    /// From the side that dials: records and bytes.
    dialing: (usize, usize),
    /// From the other side.
    dialed: (usize, usize),
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    matches: usize,
    with_server: Handshake,
    with_opponent: Handshake,
    /// Two clients: dial, handshake, login.
    connect: Part,
    /// Of each match: the invitation until both are at the board with a direct path, the moves until the verdict is
    /// stored by both, and two seconds more.
    rounds: Vec<[Part; 3]>,
    idle_seconds: u64,
    idle: Part,
}

/// Tells records from each other.
struct Reader {
    server: SocketAddr,
    with_server: Handshake,
    with_opponent: Handshake,
    kinds: Kinds,
}

/// X takes the upper row.
const CELLS: [[u16; 2]; 5] = [[1, 1], [2, 1], [1, 2], [2, 2], [1, 3]];
/// How long the old system was measured beyond the end of its match.
const AFTER: Duration = Duration::from_secs(2);
/// Nothing came for this long: what belongs to the match has come.
const QUIET: Duration = Duration::from_millis(50);
/// Around the payload of a TLS 1.3 record: header, type and tag.
const RECORD_EXTRA_BYTES: usize = 5 + 1 + 16;

impl Bytes {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let provider = tls::provider();
        tls::warm_up(&provider);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let home = tempfile::tempdir()?;
        let report = runtime.block_on(self.measure(home.path(), &provider))?;
        // What clients still do in their files is not waited for.
        runtime.shutdown_background();
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print::print(&report);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self, home: &Path, provider: &Arc<CryptoProvider>) -> anyhow::Result<Report> {
        let game = GameSpec::named("tictactoe")?;
        add_accounts(home, 2)?;
        let server = tokio::task::block_in_place(|| ServerProcess::start(home, HostClock::start()))?;
        let reader = Reader {
            server: server.addr(),
            with_server: Handshake::with_server(server.addr(), provider).await?,
            with_opponent: Handshake::with_opponent(provider).await?,
            kinds: Kinds::of(&game),
        };
        let book = Arc::new(Book::default());
        let net = |who| -> Arc<dyn Net> { Arc::new(CountedNet::new(who, Arc::clone(&book))) };
        let mut part = Counting::start(&book, &reader);
        let mut pair = Pair::start(&server, [net(0), net(1)], provider).await?;
        let connect = part.end(0);
        let mut rounds = Vec::new();
        for _ in 0..self.matches {
            part = Counting::start(&book, &reader);
            pair.begin(&game).await?;
            let x = pair.seen.x().context("the seats are known")?;
            let begun = part.end(x);
            part = Counting::start(&book, &reader);
            play(&mut pair).await?;
            quiet(&book).await;
            let played = part.end(x);
            part = Counting::start(&book, &reader);
            tokio::time::sleep(AFTER).await;
            rounds.push([begun, played, part.end(x)]);
        }
        pair.begin(&game).await?;
        quiet(&book).await;
        part = Counting::start(&book, &reader);
        tokio::time::sleep(Duration::from_secs(self.idle)).await;
        let idle = part.end(pair.seen.x().context("the seats are known")?);
        play(&mut pair).await?;
        tokio::task::block_in_place(|| server.stop())?;
        let Reader { with_server, with_opponent, .. } = reader;
        let (matches, idle_seconds, machine) = (self.matches, self.idle, Machine::here());
        Ok(Report { machine, matches, with_server, with_opponent, connect, rounds, idle_seconds, idle })
    }
}

/// All moves, each as soon as its author has the one before, then the verdict.
async fn play(pair: &mut Pair) -> anyhow::Result<()> {
    for (ply, [row, col]) in (0..).zip(CELLS) {
        let me = pair.mover(ply)?;
        pair.play(ply, vec![row.to_string(), col.to_string()]).await?;
        pair.until(|seen| seen.at(1 - me, ply, Stage::Seen).is_some()).await?;
    }
    pair.verdict().await
}

/// Waits until nothing more comes.
async fn quiet(book: &Book) {
    let mut before = None;
    while before != Some(book.bytes()) {
        before = Some(book.bytes());
        tokio::time::sleep(QUIET).await;
    }
}

/// One part, while it is under way.
struct Counting<'a> {
    book: &'a Book,
    reader: &'a Reader,
    clock: tokio::time::Instant,
    loopback: Option<Loopback>,
}

impl<'a> Counting<'a> {
    fn start(book: &'a Book, reader: &'a Reader) -> Self {
        drop(book.take_records());
        #[allow(clippy::disallowed_methods, reason = "a bench reads the clock")]
        let clock = tokio::time::Instant::now();
        Self { book, reader, clock, loopback: Loopback::read() }
    }

    /// All that came; `x` is the number of the client who sits at X.
    fn end(&self, x: usize) -> Part {
        let now = Loopback::read();
        let loopback = now.zip(self.loopback).map(|(now, before)| now.since(before));
        let millis = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.reader.part(&self.book.take_records(), x, millis, loopback)
    }
}

impl Reader {
    fn part(&self, records: &[Record], x: usize, millis: u64, loopback: Option<Loopback>) -> Part {
        let mut part = Part { millis, loopback, ..Part::default() };
        for record in records {
            let Some(flow) = self.flow(record, x) else { continue };
            part.records += 1;
            part.peer_conns += usize::from(flow >= Flow::XToO && record.number == 0 && record.to.is_some());
            let sum = part.flows.entry(flow).or_default();
            if record.number < self.handshake_records(record) {
                sum.handshakes += record.bytes;
                continue;
            }
            let kinds = match flow {
                Flow::XToServer | Flow::OToServer => &self.kinds.to_server,
                Flow::ServerToX | Flow::ServerToO => &self.kinds.to_client,
                Flow::XToO | Flow::OToX => &self.kinds.to_peer,
            };
            let len = record.bytes.saturating_sub(RECORD_EXTRA_BYTES);
            add_up(kinds, std::iter::once(&len), &mut part.kinds);
            let probe = told_by(kinds, len).is_some_and(|frames| frames.iter().all(|(kind, _)| *kind == PROBE));
            *(if probe { &mut sum.probes } else { &mut sum.messages }) += record.bytes;
        }
        part
    }

    /// Where it belongs. Both ends of a connection between players are counted here: what was written will do.
    fn flow(&self, record: &Record, x: usize) -> Option<Flow> {
        let with_server = record.to == Some(self.server);
        match (record.who == x, with_server, record.way) {
            (true, true, Way::Written) => Some(Flow::XToServer),
            (true, true, Way::Read) => Some(Flow::ServerToX),
            (false, true, Way::Written) => Some(Flow::OToServer),
            (false, true, Way::Read) => Some(Flow::ServerToO),
            (true, false, Way::Written) => Some(Flow::XToO),
            (false, false, Way::Written) => Some(Flow::OToX),
            (true | false, false, Way::Read) => None,
        }
    }

    /// With how many records the direction of this one begins.
    fn handshake_records(&self, record: &Record) -> usize {
        let with_server = record.to == Some(self.server);
        let handshake = if with_server { &self.with_server } else { &self.with_opponent };
        let from_dialing = record.to.is_some() == (record.way == Way::Written);
        if from_dialing { handshake.dialing.0 } else { handshake.dialed.0 }
    }
}

impl Handshake {
    /// As every client does it.
    async fn with_server(addr: SocketAddr, provider: &Arc<CryptoProvider>) -> anyhow::Result<Self> {
        let book = Arc::new(Book::default());
        let config = tls::client_config(Arc::clone(provider), &Trust::Pin)?;
        let stream = CountedNet::new(0, Arc::clone(&book)).dial(addr).await?.stream;
        let secured = tls::connect(stream, &config, "127.0.0.1").await?;
        let records = book.take_records();
        let group = format!("{:?}", secured.group);
        Ok(Self { group, dialing: sum(&records, Way::Written), dialed: sum(&records, Way::Read) })
    }

    /// As two players do it.
    async fn with_opponent(provider: &Arc<CryptoProvider>) -> anyhow::Result<Self> {
        let keys = [1, 2].map(|seed| SecretKey::from_seed(&[seed; 32]));
        let side = |mine: usize| PeerTls::new(Arc::clone(provider), &keys[mine], &keys[1 - mine].public());
        let book = Arc::new(Book::default());
        let net = CountedNet::new(0, Arc::clone(&book));
        let listener = CountedNet::new(1, Arc::default())
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)), PEER_LISTEN_BACKLOG)
            .await?;
        let addr = listener.local_addr()?;
        let (dialed, accepted) = tokio::join!(net.dial(addr), listener.accept());
        let (here, there) = (side(0)?, side(1)?);
        let (dialed, accepted) = tokio::join!(here.connect(dialed?.stream), there.accept(accepted?.0));
        let (dialed, _) = (dialed?, accepted?);
        let records = book.take_records();
        let group = format!("{:?}", dialed.group);
        Ok(Self { group, dialing: sum(&records, Way::Written), dialed: sum(&records, Way::Read) })
    }

    const fn bytes(&self) -> usize {
        self.dialing.1 + self.dialed.1
    }
}

/// Records and bytes one way.
fn sum(records: &[Record], way: Way) -> (usize, usize) {
    let bytes = records.iter().filter(|record| record.way == way).map(|record| record.bytes);
    bytes.fold((0, 0), |(records, sum), bytes| (records + 1, sum + bytes))
}

impl Sum {
    const fn all(self) -> usize {
        self.messages + self.probes + self.handshakes
    }

    const fn and(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            probes: self.probes + other.probes,
            handshakes: self.handshakes + other.handshakes,
        }
    }
}

impl Part {
    fn sum(&self) -> Sum {
        self.flows.values().fold(Sum::default(), |sum, flow| sum.and(*flow))
    }

    /// Both, one after the other.
    fn and(mut self, other: &Self) -> Self {
        for (flow, sum) in &other.flows {
            let all = self.flows.entry(*flow).or_default();
            *all = all.and(*sum);
        }
        for (kind, (count, bytes)) in &other.kinds {
            let all = self.kinds.entry(kind).or_default();
            *all = (all.0 + count, all.1 + bytes);
        }
        self.records += other.records;
        self.peer_conns += other.peer_conns;
        self.millis += other.millis;
        let both = self.loopback.zip(other.loopback);
        self.loopback =
            both.map(|(one, two)| Loopback { bytes: one.bytes + two.bytes, packets: one.packets + two.packets });
        self
    }
}
