//! Kills a server in mid-game, again and again, and measures how its clients come back.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::Serialize;
use tokio::sync::Semaphore;

use super::Spread;
use super::players::{add_accounts, empty_cell, millis, password, player};
use crate::cli::child::{ServerProcess, start_client};
use crate::cli::ledger::{Found, Ledger};
use crate::client::{ClientHandle, Order};
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, LinkState};
use crate::model::games::GameSpec;
use crate::model::time::{Clock, Now, ms};
use crate::net::tls;
use crate::ops::host::{HostClock, sleep_until};

/// Kill a server in mid-game, again and again, and measure how its clients come back
#[derive(Debug, clap::Args)]
pub(super) struct Recover {
    /// Matches under way, each with two clients
    #[arg(long, default_value_t = 200)]
    matches: usize,
    /// Times the server is killed with SIGKILL at a random moment
    #[arg(long, default_value_t = 10)]
    kills: usize,
    /// Milliseconds between a board and the answer to it
    #[arg(long, default_value_t = 250)]
    think: u64,
    /// Milliseconds of play before each kill, and at random up to as many again; who has had a link for 10 seconds dials
    /// again within 50 ms of losing it, others within 500
    #[arg(long, default_value_t = 1500)]
    play: u64,
    /// What is played: a long game outlasts many kills; tictactoe adds a new match for each pair every two seconds
    #[arg(long, default_value = "gomoku")]
    game: String,
    /// Chooses the moments and the moves
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What all clients report to.
struct Watch {
    clock: HostClock,
    told: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    ledger: Ledger,
    /// When each client's link was live last, and whether it is.
    live: BTreeMap<usize, (Now, bool)>,
    /// When each pair's last move was acknowledged.
    moved: BTreeMap<usize, Now>,
    logins: usize,
}

/// One kill.
#[derive(Debug, Serialize)]
struct Row {
    kill: usize,
    back: usize,
    playing_on: usize,
    /// From the kill to the start of the next worker.
    restart_ms: u64,
    /// From the worker's start.
    from_start: Spread,
    /// From the kill.
    from_kill: Spread,
    /// What the worker has used when all were back, by client: its start, its files, and all that was played.
    cpu_ms_each: f64,
    /// What all clients have used from the kill until then, by client, with this bench's own work.
    clients_cpu_ms_each: f64,
}

#[derive(Debug, Serialize)]
struct Table {
    clients: usize,
    matches: usize,
    rows: Vec<Row>,
    /// Over all kills, from the worker's start.
    from_start: Spread,
    /// Over all kills, from the kill.
    from_kill: Spread,
    /// What a start costs when nobody comes; each row has it in its sum.
    idle_start_cpu_ms: f64,
    found: Found,
}

/// Clients that log in at once: more than this would only fill the hashing queue.
const LOGINS_AT_ONCE: usize = 16;
/// Everybody must be logged in and seated by then.
const READY_MAX: Duration = Duration::from_secs(120);
/// Who is not back by then counts as lost.
const BACK_MAX: Duration = Duration::from_secs(10);
/// How long a worker must have done nothing to speak of until its start is over.
const STILL: Duration = Duration::from_millis(500);
/// What is nothing to speak of.
const STILL_CPU_NS: u64 = 1_000_000;

impl Recover {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let provider = tls::provider();
        tls::warm_up(&provider);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let home = tempfile::tempdir()?;
        let table = runtime.block_on(self.measure(home.path(), provider))?;
        // What clients still do in their files is not waited for.
        runtime.shutdown_background();
        let held = table.found.lost == 0
            && table.found.changed == 0
            && table.found.wrong_boards == 0
            && table.rows.iter().all(|row| row.back == table.clients && row.playing_on == table.matches);
        if self.json {
            println!("{}", serde_json::to_string(&table)?);
        } else {
            print(&table);
        }
        Ok(ExitCode::from(u8::from(!held)))
    }

    async fn measure(&self, home: &Path, provider: Arc<rustls::crypto::CryptoProvider>) -> anyhow::Result<Table> {
        let game = GameSpec::named(&self.game)?;
        let clock = HostClock::start();
        add_accounts(home, self.matches * 2)?;
        let mut server = ServerProcess::start(home, clock)?;
        let watch = Arc::new(Watch { clock, told: Mutex::default() });
        let gate = Arc::new(Semaphore::new(LOGINS_AT_ONCE));
        let mut clients = Vec::new();
        for number in 0..self.matches * 2 {
            let handle = start_client(&server, &number.to_string(), &provider, false)?;
            let mover = Mover {
                number,
                game: game.clone(),
                think: Duration::from_millis(self.think),
                watch: Arc::clone(&watch),
            };
            let random = ChaCha8Rng::seed_from_u64(self.seed ^ ((number as u64) << 20));
            clients.push(tokio::spawn(mover.run(handle, Arc::clone(&gate), random)));
        }
        watch.until(READY_MAX, |seen| seen.moved.len() == self.matches).await.context("not all matches have begun")?;
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut rows = Vec::new();
        let (mut all_start, mut all_kill) = (Vec::new(), Vec::new());
        let mut own = Used::of(std::process::id());
        for kill in 1..=self.kills {
            let play = Duration::from_millis(self.play + random.next_u64() % self.play.max(1));
            tokio::time::sleep(play).await;
            let before = own.ns();
            let (killed, started) = tokio::task::block_in_place(|| {
                let killed = server.kill()?;
                anyhow::Ok((killed, server.ready()?))
            })?;
            let count = self.matches * 2;
            // Who is late is counted below, not an error here.
            let _ = watch.until(BACK_MAX, |seen| seen.back_since(killed).count() == count).await;
            let (used, clients_used) = (cpu_ns(&server), own.ns().saturating_sub(before));
            let _ = watch.until(BACK_MAX, |seen| seen.moved_since(started) == self.matches).await;
            let seen = watch.seen();
            let back: Vec<Now> = seen.back_since(killed).collect();
            let playing_on = seen.moved_since(started);
            drop(seen);
            let since = |from: Now| -> Vec<f64> { back.iter().map(|at| millis(at.since(from))).collect() };
            all_start.extend(since(started));
            all_kill.extend(since(killed));
            rows.push(Row {
                kill,
                back: back.len(),
                playing_on,
                restart_ms: ms(started.since(killed)),
                from_start: Spread::of(since(started)).context("nobody came back")?,
                from_kill: Spread::of(since(killed)).context("nobody came back")?,
                cpu_ms_each: used as f64 / 1e6 / count as f64,
                clients_cpu_ms_each: clients_used as f64 / 1e6 / count as f64,
            });
        }
        clients.iter().for_each(tokio::task::JoinHandle::abort);
        let idle_start = idle_start_ns(&mut server).await?;
        tokio::task::block_in_place(|| server.stop())?;
        let found = watch.seen().ledger.clone().compare(home)?;
        Ok(Table {
            clients: self.matches * 2,
            matches: self.matches,
            rows,
            from_start: Spread::of(all_start).context("no kills")?,
            from_kill: Spread::of(all_kill).context("no kills")?,
            idle_start_cpu_ms: idle_start as f64 / 1e6,
            found,
        })
    }
}

/// A client that plays at random, for ever. Even numbers invite the next odd one.
struct Mover {
    number: usize,
    game: GameSpec,
    think: Duration,
    watch: Arc<Watch>,
}

/// What a mover does next.
enum Next {
    Send(Vec<String>),
    Invite,
}

impl Mover {
    async fn run(self, mut handle: ClientHandle, gate: Arc<Semaphore>, mut random: ChaCha8Rng) -> anyhow::Result<()> {
        let permit = gate.acquire_owned().await?;
        let login = || Order::Typed(Typed::Login(player(self.number), password()));
        handle.commands.send(login()).await?;
        let mut permit = Some(permit);
        let mut you = String::new();
        let mut next: Option<(Now, Next)> = None;
        loop {
            let due = next.as_ref().map_or(Now::NEVER, |(at, _)| *at);
            let event = tokio::select! {
                event = handle.events.recv() => event.context("the client has ended")?,
                () = sleep_until(&self.watch.clock, due) => {
                    match next.take() {
                        Some((_, Next::Send(words))) => handle.commands.send(Order::Typed(Typed::Send(words))).await?,
                        Some((_, Next::Invite)) => {
                            let invite = Typed::Begin(player(self.number + 1), self.game.clone());
                            handle.commands.send(Order::Typed(invite)).await?;
                        }
                        None => {}
                    }
                    continue;
                }
            };
            let now = self.watch.clock.now();
            self.watch.note(self.number, now, &event);
            match event {
                Event::Reply(reply) if reply.command == "login" => {
                    if reply.ok {
                        permit = None;
                        self.watch.seen().logins += 1;
                        next = self.inviter().then_some((now, Next::Invite));
                    } else {
                        handle.commands.send(login()).await?;
                    }
                }
                Event::Reply(reply) if reply.command == "begin" && !reply.ok => {
                    next = Some((now + self.think, Next::Invite));
                }
                Event::InviteClosed { .. } if self.inviter() => next = Some((now + self.think, Next::Invite)),
                Event::Invited { .. } => handle.commands.send(Order::Typed(Typed::Accept(None))).await?,
                Event::Match { you: seat, .. } => you = seat,
                Event::Board { turn, rows, .. } if turn.as_ref() == Some(&you) => {
                    next = empty_cell(&rows, &mut random).map(|words| (now + self.think, Next::Send(words)));
                }
                Event::Result { recorded: true, .. } => {
                    next = self.inviter().then_some((now + self.think, Next::Invite));
                }
                Event::Reply(_)
                | Event::InviteClosed { .. }
                | Event::Board { .. }
                | Event::Result { .. }
                | Event::Link { .. }
                | Event::Move { .. }
                | Event::Path { .. }
                | Event::Opponent { .. }
                | Event::Suspended { .. }
                | Event::Offered { .. }
                | Event::Notice { .. } => {}
            }
            let _ = &permit;
        }
    }

    const fn inviter(&self) -> bool {
        self.number.is_multiple_of(2)
    }
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, client: usize, now: Now, event: &Event) {
        let mut seen = self.seen();
        seen.ledger.note(event);
        match event {
            Event::Link { state, .. } => {
                let live = *state == LinkState::Live;
                let at = if live { now } else { seen.live.get(&client).map_or(now, |(at, _)| *at) };
                seen.live.insert(client, (at, live));
            }
            Event::Move { acknowledged: true, .. } => {
                seen.moved.insert(client / 2, now);
            }
            Event::Move { .. }
            | Event::Reply(_)
            | Event::Invited { .. }
            | Event::InviteClosed { .. }
            | Event::Match { .. }
            | Event::Board { .. }
            | Event::Path { .. }
            | Event::Opponent { .. }
            | Event::Suspended { .. }
            | Event::Offered { .. }
            | Event::Result { .. }
            | Event::Notice { .. } => {}
        }
    }

    /// Waits until something holds.
    async fn until(&self, max: Duration, holds: impl Fn(&Seen) -> bool) -> anyhow::Result<()> {
        let end = self.clock.now() + max;
        while !holds(&self.seen()) {
            if self.clock.now() > end {
                bail!("it took longer than {max:?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

impl Seen {
    /// When each client that is back since `killed` was so.
    fn back_since(&self, killed: Now) -> impl Iterator<Item = Now> {
        self.live.values().filter(move |(at, live)| *live && *at > killed).map(|(at, _)| *at)
    }

    fn moved_since(&self, from: Now) -> usize {
        self.moved.values().filter(|at| **at > from).count()
    }
}

/// What a worker uses for its start, with all the files and nobody who comes.
async fn idle_start_ns(server: &mut ServerProcess) -> anyhow::Result<u64> {
    // The clients are going.
    still(server).await;
    tokio::task::block_in_place(|| {
        server.kill()?;
        server.ready()
    })?;
    Ok(still(server).await)
}

/// What the worker has used when it does nothing any more.
async fn still(server: &ServerProcess) -> u64 {
    let mut used = cpu_ns(server);
    loop {
        tokio::time::sleep(STILL).await;
        let more = cpu_ns(server);
        if more - used <= STILL_CPU_NS {
            return more;
        }
        used = more;
    }
}

/// What the worker has used so far; 0 where the kernel does not tell.
fn cpu_ns(server: &ServerProcess) -> u64 {
    #[cfg(target_os = "linux")]
    let used = server.worker_pid().map_or(0, |pid| Used::of(pid).ns());
    #[cfg(not(target_os = "linux"))]
    let used = 0;
    used
}

/// What a process uses, where the kernel tells.
struct Used {
    #[cfg(target_os = "linux")]
    process: super::process::Process,
}

impl Used {
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "nobody tells"))]
    const fn of(pid: u32) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            process: super::process::Process::new(pid),
        }
    }

    /// So far, without threads that ended before they were looked at.
    fn ns(&mut self) -> u64 {
        #[cfg(target_os = "linux")]
        let used = self.process.look().map_or(0, |used| used.cpu_ns);
        #[cfg(not(target_os = "linux"))]
        let used = 0;
        used
    }
}

fn print(table: &Table) {
    let Table { clients, matches, rows, from_start, from_kill, idle_start_cpu_ms, found } = table;
    println!("{matches} matches, {clients} clients, {} kills", rows.len());
    println!(
        "kill  back       playing on  restart  from the worker's start: first / median / last   CPU a client: server, client"
    );
    for Row { kill, back, playing_on, restart_ms, from_start, cpu_ms_each, clients_cpu_ms_each, .. } in rows {
        let Spread { min, median, max, .. } = from_start;
        let back = format!("{kill:4}  {back:4} of {clients:<4}  {playing_on:3} of {matches:<3}  {restart_ms:4} ms");
        let cpu = format!("{cpu_ms_each:.3} ms, {clients_cpu_ms_each:.3} ms");
        println!("{back}  {min:6.0} / {median:6.0} / {max:6.0} ms  {cpu:>22}");
    }
    println!("from the worker's start  {from_start}");
    println!("from the kill            {from_kill}");
    println!("a start when nobody comes: {idle_start_cpu_ms:.1} ms of CPU");
    let Found { acknowledged, lost, changed, boards, wrong_boards } = found;
    println!(
        "{lost} of {acknowledged} acknowledged moves lost, {changed} changed; {wrong_boards} of {boards} boards wrong"
    );
}
