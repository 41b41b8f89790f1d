//! What the log and the metrics cost, by what they take from the moves.
//!
//! Two servers stand side by side, each with its own players: one as it is by default and read once a second by
//! whoever collects metrics, one that logs and counts nothing. The players of one and the other play in turn, for a
//! short while each, as fast as they can, while the others wait. What one pair of such turns has in common, the rest of
//! the machine above all, says nothing about the difference.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rustls::crypto::CryptoProvider;
use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::machine::Machine;
use super::players::{add_accounts, empty_cell, password, player};
use super::process::Process;
use crate::cli::child::{ServerProcess, start_client};
use crate::client::{ClientHandle, Order};
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, MoveState};
use crate::model::games::GameSpec;
use crate::net::tls;
use crate::ops::host::HostClock;

/// What the log and the metrics take from a server whose players move as fast as they can
#[derive(Debug, clap::Args)]
pub(super) struct Logging {
    /// Pairs who play, at each of the two servers
    #[arg(long, default_value_t = 16)]
    pairs: usize,
    /// Turns of playing, at each of the two servers
    #[arg(long, default_value_t = 40)]
    turns: usize,
    /// Milliseconds of one turn
    #[arg(long, default_value_t = 1000)]
    turn: u64,
    /// What is played; with tictactoe every fourth move or so begins or ends a match, which is logged
    #[arg(long, default_value = "gomoku")]
    game: String,
    /// Chooses the moves
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A server and its players.
struct Side {
    server: ServerProcess,
    process: Process,
    play: watch::Sender<bool>,
    moves: Arc<AtomicU64>,
    players: JoinSet<anyhow::Result<()>>,
}

/// What came of one turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    moves_per_s: f64,
    /// Of the server.
    cpu_us_each: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    game: String,
    pairs: usize,
    turns: usize,
    moves: u64,
    events: u64,
    off: Row,
    on: Row,
    /// What is lost with log and metrics on, in percent: the median over the pairs of turns, and the quarters.
    moves_lost_percent: Quarters,
    /// Processor time of the server for a move: what is added, in percent.
    cpu_added_percent: Quarters,
}

#[derive(Debug, Serialize)]
struct Row {
    moves_per_s: Quarters,
    cpu_us_each: Quarters,
}

/// The middle of some numbers, and how far they lie apart.
#[derive(Clone, Copy, Debug, Serialize)]
struct Quarters {
    lower: f64,
    median: f64,
    upper: f64,
}

/// Players who log in at once.
const LOGINS_AT_ONCE: usize = 16;
/// All must have moved by then.
const READY_MAX: Duration = Duration::from_secs(120);
/// Moves that are under way when a turn ends are over by then.
const PAUSE: Duration = Duration::from_millis(200);
/// How often metrics are collected from the server that has them.
const COLLECT_EVERY: Duration = Duration::from_secs(1);

impl Logging {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(self.turns > 0 && self.pairs > 0 && self.turn > 0, "somebody has to play, for a while");
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
            print(&report);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self, home: &Path, provider: &Arc<CryptoProvider>) -> anyhow::Result<Report> {
        let ops = free_port()?;
        let mut off = self.side(&home.join("off"), &["--unwatched"], provider).await?;
        let mut on = self.side(&home.join("on"), &["--ops", &ops.to_string()], provider).await?;
        let (sums, collected) = watch::channel(0);
        let collector = tokio::spawn(collect(ops, sums));
        let turn = Duration::from_millis(self.turn);
        let mut turns = [Vec::new(), Vec::new()];
        for number in 0..self.turns {
            // Neither is always the first.
            let order = if number.is_multiple_of(2) { [0, 1] } else { [1, 0] };
            for which in order {
                let side = if which == 0 { &mut off } else { &mut on };
                turns[which].push(side.turn(turn).await?);
            }
        }
        ensure!(*collected.borrow() > 0, "no metrics were collected");
        collector.abort();
        let [off_turns, on_turns] = turns;
        let events = lines(&home.join("on/state/log/events.jsonl"))?;
        ensure!(events > 0, "nothing was logged");
        ensure!(!home.join("off/state/log").exists(), "something was logged where nothing should be");
        let pairs = || off_turns.iter().zip(&on_turns);
        Ok(Report {
            machine: Machine::here(),
            game: self.game.clone(),
            pairs: self.pairs,
            turns: self.turns,
            moves: off.moves.load(Ordering::Relaxed) + on.moves.load(Ordering::Relaxed),
            events,
            off: Row::of(&off_turns)?,
            on: Row::of(&on_turns)?,
            moves_lost_percent: Quarters::of(
                pairs().map(|(off, on)| (1.0 - on.moves_per_s / off.moves_per_s) * 100.0),
            )?,
            cpu_added_percent: Quarters::of(pairs().map(|(off, on)| (on.cpu_us_each / off.cpu_us_each - 1.0) * 100.0))?,
        })
    }

    /// A server with all its players at their boards, who wait.
    async fn side(&self, home: &Path, more: &[&str], provider: &Arc<CryptoProvider>) -> anyhow::Result<Side> {
        std::fs::create_dir(home)?;
        add_accounts(home, self.pairs * 2)?;
        let server = ServerProcess::start_with(more, home, HostClock::start())?;
        let process = Process::new(server.worker_pid().context("the server runs")?);
        let game = GameSpec::named(&self.game)?;
        let (play, playing) = watch::channel(false);
        let (moves, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(LOGINS_AT_ONCE)));
        let (seated, mut seats) = tokio::sync::mpsc::channel(self.pairs * 2);
        let mut players = JoinSet::new();
        for number in 0..self.pairs * 2 {
            let handle = start_client(&server, &number.to_string(), provider, false)?;
            let random = ChaCha8Rng::seed_from_u64(self.seed ^ ((number as u64) << 20));
            let (game, playing, moves) = (game.clone(), playing.clone(), Arc::clone(&moves));
            let player = Player { number, game, playing, moves, seated: Some(seated.clone()), random };
            players.spawn(player.run(handle, Arc::clone(&gate)));
        }
        let all = async {
            for _ in 0..self.pairs * 2 {
                seats.recv().await.context("the players have ended")?;
            }
            anyhow::Ok(())
        };
        timeout(READY_MAX, all).await.context("not all matches have begun")??;
        Ok(Side { server, process, play, moves, players })
    }
}

impl Side {
    /// Lets the players play for so long, and waits until they have stopped.
    async fn turn(&mut self, length: Duration) -> anyhow::Result<Turn> {
        let (cpu, moves, start) = (self.cpu_ns()?, self.moves.load(Ordering::Relaxed), now());
        self.play.send_replace(true);
        tokio::time::sleep(length).await;
        self.play.send_replace(false);
        let (played, seconds) = (self.moves.load(Ordering::Relaxed) - moves, start.elapsed().as_secs_f64());
        tokio::time::sleep(PAUSE).await;
        let moved = (self.moves.load(Ordering::Relaxed) - moves) as f64;
        if let Some(ended) = self.players.try_join_next() {
            bail!("a player has ended: {ended:?}");
        }
        ensure!(played > 0, "nobody moved, at {}", self.server.addr());
        Ok(Turn { moves_per_s: played as f64 / seconds, cpu_us_each: (self.cpu_ns()? - cpu) as f64 / 1000.0 / moved })
    }

    fn cpu_ns(&mut self) -> anyhow::Result<u64> {
        Ok(self.process.look().context("the server is gone")?.cpu_ns)
    }
}

/// A client that plays at random while it may. Even numbers invite the next odd one.
struct Player {
    number: usize,
    game: GameSpec,
    playing: watch::Receiver<bool>,
    /// Moves of all players that are on the server's disk.
    moves: Arc<AtomicU64>,
    /// Told once, at the first board.
    seated: Option<tokio::sync::mpsc::Sender<()>>,
    random: ChaCha8Rng,
}

impl Player {
    async fn run(mut self, mut handle: ClientHandle, gate: Arc<Semaphore>) -> anyhow::Result<()> {
        let mut permit = Some(gate.acquire_owned().await?);
        let me = player(self.number).to_string();
        let login = || Order::Typed(Typed::Login(player(self.number), password()));
        let invite = || Order::Typed(Typed::Begin(player(self.number + 1), self.game.clone()));
        let inviter = self.number.is_multiple_of(2);
        handle.commands.send(login()).await?;
        let (mut you, mut next) = (String::new(), None);
        loop {
            let event = tokio::select! {
                biased;
                playing = may_play(&mut self.playing), if next.is_some() => {
                    playing?;
                    if let Some(order) = next.take() {
                        handle.commands.send(order).await?;
                    }
                    continue;
                }
                event = handle.events.recv() => event.context("the client has ended")?,
            };
            match event {
                Event::Reply(reply) if reply.command == "login" => {
                    if !reply.ok {
                        handle.commands.send(login()).await?;
                    } else {
                        drop(permit.take());
                        if inviter {
                            handle.commands.send(invite()).await?;
                        }
                    }
                }
                // The other is not there yet, or still at the end of the last match.
                Event::Reply(reply) if reply.command == "begin" && !reply.ok => {
                    tokio::time::sleep(RETRY).await;
                    handle.commands.send(invite()).await?;
                }
                Event::InviteClosed { .. } if inviter => handle.commands.send(invite()).await?,
                Event::Invited { .. } => handle.commands.send(Order::Typed(Typed::Accept(None))).await?,
                Event::Match { you: seat, .. } => you = seat,
                Event::Board { turn, rows, .. } => {
                    if let Some(seated) = self.seated.take() {
                        seated.send(()).await?;
                    }
                    if turn.as_ref() == Some(&you) {
                        next = empty_cell(&rows, &mut self.random).map(|words| Order::Typed(Typed::Send(words)));
                    }
                }
                Event::Move { by, state: MoveState::Kept, .. } if by == me => {
                    self.moves.fetch_add(1, Ordering::Relaxed);
                }
                Event::Result { recorded: true, .. } if inviter => next = Some(invite()),
                Event::Link { .. }
                | Event::Reply(_)
                | Event::InviteClosed { .. }
                | Event::Move { .. }
                | Event::Path { .. }
                | Event::Opponent { .. }
                | Event::Suspended { .. }
                | Event::Offered { .. }
                | Event::Result { .. }
                | Event::Notice { .. } => {}
            }
        }
    }
}

/// Waits until it is the players' turn.
async fn may_play(playing: &mut watch::Receiver<bool>) -> anyhow::Result<()> {
    playing.wait_for(|playing| *playing).await?;
    Ok(())
}

/// How long a player waits before it asks again.
const RETRY: Duration = Duration::from_millis(20);

/// Collects metrics as a Prometheus would, and counts how often that went well.
async fn collect(ops: SocketAddr, done: watch::Sender<u64>) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(COLLECT_EVERY);
    loop {
        tick.tick().await;
        let mut stream = TcpStream::connect(ops).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        ensure!(text.contains("rejoin_frame_bytes_total"), "no metrics: {text}");
        done.send_modify(|done| *done += 1);
    }
}

impl Row {
    fn of(turns: &[Turn]) -> anyhow::Result<Self> {
        Ok(Self {
            moves_per_s: Quarters::of(turns.iter().map(|turn| turn.moves_per_s))?,
            cpu_us_each: Quarters::of(turns.iter().map(|turn| turn.cpu_us_each))?,
        })
    }
}

impl Quarters {
    /// Of at least one number.
    fn of(numbers: impl Iterator<Item = f64>) -> anyhow::Result<Self> {
        let mut numbers: Vec<f64> = numbers.collect();
        numbers.sort_by(f64::total_cmp);
        let at = |quarters: usize| numbers.get((numbers.len().saturating_sub(1) * quarters + 2) / 4).copied();
        let [lower, median, upper] = [at(1), at(2), at(3)].map(|number| number.context("there are none"));
        Ok(Self { lower: lower?, median: median?, upper: upper? })
    }
}

impl std::fmt::Display for Quarters {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{:8.2}  (half of all between {:.2} and {:.2})", self.median, self.lower, self.upper)
    }
}

fn print(report: &Report) {
    let Report { machine, game, pairs, turns, moves, events, off, on, moves_lost_percent, cpu_added_percent } = report;
    println!("{machine}");
    println!("{pairs} pairs play {game} through a server as fast as they can, {turns} turns with log and metrics off");
    println!("and {turns} with both on; {moves} moves, {events} events; medians");
    println!("moves/s, off          {}", off.moves_per_s);
    println!("moves/s, on           {}", on.moves_per_s);
    println!("lost, %               {moves_lost_percent}");
    println!("server µs a move, off {}", off.cpu_us_each);
    println!("server µs a move, on  {}", on.cpu_us_each);
    println!("added, %              {cpu_added_percent}");
}

/// A port of this machine on which nobody listens at the moment.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Lines of a file.
fn lines(path: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(text.lines().count() as u64)
}

#[allow(clippy::disallowed_methods, reason = "a bench reads the clock, finer than in milliseconds")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quarters_of_numbers_are_among_them() {
        let quarters = Quarters::of([5.0, 1.0, 4.0, 2.0, 3.0].into_iter()).unwrap();
        assert_eq!([quarters.lower, quarters.median, quarters.upper], [2.0, 3.0, 4.0]);
        let one = Quarters::of(std::iter::once(7.0)).unwrap();
        assert_eq!([one.lower, one.median, one.upper], [7.0; 3]);
        assert!(Quarters::of(std::iter::empty()).is_err());
    }
}
