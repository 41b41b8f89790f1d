//! From the start of a server process to the first TLS handshake answered.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use backon::{ConstantBuilder, Retryable};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::Spread;
use crate::model::fact::Fact;
use crate::model::games::{GameSpec, Seat};
use crate::model::id::{MatchId, Name, SessionId, UserId};
use crate::model::key::{PublicKey, ServerId, Signature};
use crate::model::password::PasswordHash;
use crate::model::state::State;
use crate::model::statement::{Act, Base, Grant};
use crate::model::time::WallMs;
use crate::net::host::HostNet;
use crate::net::keys::ServerKeys;
use crate::net::seam::Net;
use crate::net::tls::{self, Trust};
use crate::ops::host::HostEntropy;
use crate::store::{self, Disk, HostDisk, Snapshotter};

/// From the start of a server process to the first TLS handshake answered
#[derive(Debug, clap::Args)]
pub(super) struct Start {
    /// Starts to measure for each row
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// Accounts, each with a session, in the large state
    #[arg(long, default_value_t = 100_000)]
    accounts: u32,
    /// Unfinished matches in the large state
    #[arg(long, default_value_t = 50_000)]
    matches: u32,
    /// Moves in each of them
    #[arg(long, default_value_t = 20)]
    moves: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The three rows.
#[derive(Debug, Serialize)]
struct Table {
    /// Keys are made, the state is empty.
    first_start: Spread,
    /// Keys are there, the state is empty.
    empty: Spread,
    /// Keys are there, the state is large.
    large: Spread,
    /// What the large state holds.
    accounts: u32,
    matches: u32,
    moves: u16,
    bytes: u64,
}

/// Facts in one append while a state is written.
const FACTS_AT_ONCE: usize = 20_000;
/// How often it is dialled.
const DIAL_EVERY: Duration = Duration::from_millis(1);
/// A server that has not answered by then never will.
const START_MAX: Duration = Duration::from_secs(60);

impl Start {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let dir = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let measure = |name: &str, fresh: bool| -> anyhow::Result<Spread> {
            let samples: anyhow::Result<Vec<f64>> = (0..self.runs)
                .map(|run| {
                    let home = dir.path().join(if fresh { format!("{name}-{run}") } else { name.to_owned() });
                    std::fs::create_dir_all(&home)?;
                    runtime.block_on(first_answer(&home))
                })
                .collect();
            Spread::of(samples?).context("no runs")
        };
        let first_start = measure("first", true)?;
        let home = dir.path().join("empty");
        std::fs::create_dir_all(&home)?;
        ServerKeys::load_or_make(&home.join("certs"), &HostEntropy)?;
        let empty = measure("empty", false)?;
        let home = dir.path().join("large");
        let bytes = self.write_state(&home)?;
        let large = measure("large", false)?;
        let Self { accounts, matches, moves, .. } = self;
        let table = Table { first_start, empty, large, accounts, matches, moves, bytes };
        if self.json {
            println!("{}", serde_json::to_string(&table)?);
        } else {
            println!("From process start to the first TLS handshake answered:");
            println!("very first start (keys are made)   {first_start}");
            println!("empty state                        {empty}");
            println!("large state                        {large}");
            let mib = bytes / (1024 * 1024);
            println!("large: {accounts} accounts and sessions, {matches} matches of {moves} moves; {mib} MiB on disk");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Writes a large state as facts, with the snapshots that a server would have made on the way; its size on disk.
    fn write_state(&self, home: &Path) -> anyhow::Result<u64> {
        let disk: Arc<dyn Disk> = Arc::new(HostDisk);
        let keys = ServerKeys::load_or_make(&home.join("certs"), &HostEntropy)?;
        let state = home.join("state");
        let settings = store::Settings::new(keys.id().0, 1);
        let mut journal = store::recover::<State>(&disk, &state, &settings)?.journal;
        let mut snapshotter = Snapshotter::<State>::new(disk, &state, settings);
        let mut batch = Vec::with_capacity(FACTS_AT_ONCE);
        for fact in self.facts(keys.id()) {
            batch.push(fact);
            if batch.len() == FACTS_AT_ONCE {
                journal.append(&batch.drain(..).map(|fact| vec![fact]).collect::<Vec<_>>())?;
                snapshotter.step()?;
            }
        }
        journal.append(&[batch])?;
        snapshotter.step()?;
        let sizes = std::fs::read_dir(&state)?.map(|entry| Ok(entry?.metadata()?.len()));
        sizes.sum::<std::io::Result<u64>>().map_err(Into::into)
    }

    fn facts(&self, server: ServerId) -> impl Iterator<Item = Fact> + use<> {
        let Self { accounts, matches, moves, .. } = *self;
        let users = (0..accounts).flat_map(|number| {
            let user = UserId(id(1, number));
            let name = Name::new(&format!("player-{number}")).expect("letters and digits");
            let phc =
                "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
            let (password, at) = (PasswordHash::new(phc.to_owned()), WallMs(0));
            let device = PublicKey(wide(2, number));
            [
                Fact::AccountAdded { user, name, password, origin: None, points: 0, at },
                Fact::LoggedIn { session: SessionId(id(3, number)), user, device, at },
            ]
        });
        let game = GameSpec::named("gomoku").expect("a preset");
        let games = (0..matches).flat_map(move |number| {
            let match_id = MatchId(id(4, number));
            let pair = [2 * number % accounts, (2 * number + 1) % accounts];
            let grant = Grant {
                server,
                match_id,
                epoch: 1,
                base: Base::NONE,
                users: pair.map(|user| UserId(id(1, user))),
                keys: [PublicKey(wide(5, number)), PublicKey(wide(6, number))],
                game: game.clone(),
                settle_by: WallMs(0),
            };
            let plies = plies(&game, match_id, moves, number);
            std::iter::once(Fact::MatchStarted { grant }).chain(plies)
        });
        users.chain(games)
    }
}

/// Legal moves that end no game: scattered over a large board. Recovery checks no signatures, so any will do here.
fn plies(game: &GameSpec, match_id: MatchId, moves: u16, seed: u32) -> Vec<Fact> {
    let mut random = ChaCha8Rng::seed_from_u64(u64::from(seed));
    let mut board = game.start().expect("a preset");
    let mut facts = Vec::new();
    while facts.len() < usize::from(moves) && board.outcome().is_none() {
        let (row, col) = (random.next_u32() % 15 + 1, random.next_u32() % 15 + 1);
        let Ok(play) = board.read(&[&row.to_string(), &col.to_string()]) else { continue };
        let ply = u16::try_from(facts.len()).expect("few");
        if board.apply(Seat::at(ply), &play).is_err() {
            continue;
        }
        let mut signature = Signature::EMPTY;
        random.fill_bytes(&mut signature.0);
        facts.push(Fact::Played { match_id, ply, act: Act::Play(play), at: WallMs(u64::from(ply)), signature });
    }
    facts
}

/// Starts a server and dials it until it answers a handshake; milliseconds from its start.
async fn first_answer(home: &Path) -> anyhow::Result<f64> {
    let addr = free_port().await?;
    let config = tls::client_config(tls::provider(), &Trust::Pin)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["server", "--listen", &addr.to_string(), "--state"]).arg(home.join("state"));
    command.arg("--certs").arg(home.join("certs")).env("REJOIN_LOG", "error");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    #[allow(clippy::disallowed_methods, reason = "a bench reads the clock, finer than in milliseconds")]
    let start = std::time::Instant::now();
    let mut server = Ended(command.spawn()?);
    let handshake = || async {
        let stream = HostNet.dial(addr).await?.stream;
        tls::connect(stream, &config, "localhost").await.map_err(anyhow::Error::new)
    };
    let often = ConstantBuilder::default().with_delay(DIAL_EVERY).without_max_times();
    let alive = |_: &anyhow::Error| server.0.try_wait().is_ok_and(|ended| ended.is_none());
    let answered = tokio::time::timeout(START_MAX, handshake.retry(often).when(alive)).await;
    answered.with_context(|| format!("the server did not answer within {START_MAX:?}"))??;
    Ok(start.elapsed().as_secs_f64() * 1000.0)
}

/// A process that is killed when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(HostNet.listen(SocketAddr::from(([127, 0, 0, 1], 0)), 1).await?.local_addr()?)
}

fn id(kind: u8, number: u32) -> [u8; 16] {
    let mut id = [kind; 16];
    // Spread as random ids are.
    id[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b1).to_be_bytes());
    id[12..].copy_from_slice(&number.to_be_bytes());
    id
}

fn wide(kind: u8, number: u32) -> [u8; 32] {
    let mut bytes = [kind; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}
