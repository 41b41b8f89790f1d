//! `rejoin demo`: two bots play a match, the server is killed twice in the middle of it, and nothing is lost.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::sync::mpsc;

use super::child::{ServerProcess, start_client};
use super::ledger::{Found, Ledger};
use crate::client::bot::{self, Options};
use crate::client::{ClientHandle, Order, ui};
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, LinkState, MoveState, Reply};
use crate::model::games::{Cell, GameSpec};
use crate::model::id::Name;
use crate::model::message::LeaderRow;
use crate::model::password::Password;
use crate::model::time::{Clock, Now, ms};
use crate::net::tls;
use crate::ops::host::{HostClock, HostEntropy};

/// Watch a server die twice in mid-game while nothing is lost
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// What the bots play
    #[arg(long, default_value = "tictactoe")]
    game: String,
    /// Milliseconds a bot thinks
    #[arg(long, default_value_t = 300)]
    think: u64,
}

/// The two players.
const NAMES: [&str; 2] = ["alice", "bob"];
/// The server is killed when these plies are on their way.
const KILL_AT: [u16; 2] = [2, 5];
/// All of it takes a few seconds; longer than this and something is wrong.
const DEMO_MAX: Duration = Duration::from_secs(90);

/// What the two clients show, and who they are.
type Shown = (usize, Event);

/// The story so far.
struct Story {
    clock: HostClock,
    start: Now,
    ledger: Ledger,
    board: Vec<String>,
    last: Option<Cell>,
    announced: BTreeSet<u16>,
    acknowledged: BTreeSet<u16>,
    sent: Vec<(u16, Now)>,
    kills: usize,
    killed_at: Option<Now>,
    back: usize,
    recorded: [bool; 2],
    leaders: Option<Vec<LeaderRow>>,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let provider = tls::provider();
        tls::warm_up(&provider);
        let home = tempfile::tempdir()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let played = runtime.block_on(async { tokio::time::timeout(DEMO_MAX, self.play(home.path(), provider)).await });
        let held = played.with_context(|| format!("the demo was not over after {DEMO_MAX:?}"))?;
        runtime.shutdown_background();
        held?;
        Ok(ExitCode::SUCCESS)
    }

    async fn play(&self, home: &Path, provider: Arc<rustls::crypto::CryptoProvider>) -> anyhow::Result<()> {
        let game = GameSpec::named(&self.game)?;
        let clock = HostClock::start();
        println!("A server, and two bots that play {}. The server will be killed twice in mid-game.", game.name());
        println!("(Here all three keepers of the match share one machine, and so its fate.)\n");
        let mut story = Story::new(clock);
        let mut server = tokio::task::block_in_place(|| ServerProcess::start(home, clock))?;
        story.line("a server starts, with a small parent that holds its socket");
        let (shown, mut events) = mpsc::channel(256);
        let mut commands = Vec::new();
        for (number, name) in NAMES.into_iter().enumerate() {
            let handle = start_client(&server, name, &provider, true)?;
            commands.push(handle.commands.clone());
            let options = self.options(name, clock)?;
            tokio::spawn(bot::run(overheard(handle, number, shown.clone()), options, |_| {}));
        }
        let mut logged_in = 0;
        while story.recorded != [true; 2] {
            let (who, event) = events.recv().await.context("the clients have ended")?;
            if matches!(&event, Event::Reply(Reply { command, ok: true, .. }) if command == "login") {
                logged_in += 1;
                if logged_in == NAMES.len() {
                    let begin = Typed::Begin(Name::new(NAMES[1])?, game.clone());
                    commands[0].send(Order::Typed(begin)).await?;
                }
            }
            story.tell(who, &event);
            if story.kill_is_due() {
                self.kill(&mut server, &mut story)?;
            }
        }
        commands[0].send(Order::Typed(Typed::Leaders)).await?;
        while story.leaders.is_none() {
            let (who, event) = events.recv().await.context("the clients have ended")?;
            story.tell(who, &event);
        }
        tokio::task::block_in_place(|| server.stop())?;
        story.line("the server is stopped, and its journal read back");
        let found = story.ledger.compare(home)?;
        story.verdict(found)
    }

    fn kill(&self, server: &mut ServerProcess, story: &mut Story) -> anyhow::Result<()> {
        let (killed, started) = tokio::task::block_in_place(|| {
            let killed = server.kill()?;
            anyhow::Ok((killed, server.ready()?))
        })?;
        story.kills += 1;
        story.killed_at = Some(killed);
        story.back = 0;
        story.line_at(killed, "** the server is killed (SIGKILL)");
        story.line_at(started, &format!("   its parent starts the next run, {} ms later", ms(started.since(killed))));
        Ok(())
    }

    fn options(&self, name: &str, clock: HostClock) -> anyhow::Result<Options> {
        Ok(Options {
            user: Name::new(name)?,
            password: Password::new("a password for the demo").expect("short"),
            make_account: true,
            think: Duration::from_millis(self.think),
            clock: Arc::new(clock),
            entropy: Arc::new(HostEntropy),
        })
    }
}

/// The same client, with everything it shows also sent to `shown`.
fn overheard(handle: ClientHandle, who: usize, shown: mpsc::Sender<Shown>) -> ClientHandle {
    let ClientHandle { commands, events: mut theirs, status, questions, end } = handle;
    let (sender, events) = mpsc::channel(256);
    tokio::spawn(async move {
        while let Some(event) = theirs.recv().await {
            let both = tokio::join!(shown.send((who, event.clone())), sender.send(event));
            if both.0.is_err() && both.1.is_err() {
                break;
            }
        }
    });
    ClientHandle { commands, events, status, questions, end }
}

impl Story {
    fn new(clock: HostClock) -> Self {
        Self {
            clock,
            start: clock.now(),
            ledger: Ledger::default(),
            board: Vec::new(),
            last: None,
            announced: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            sent: Vec::new(),
            kills: 0,
            killed_at: None,
            back: 0,
            recorded: [false; 2],
            leaders: None,
        }
    }

    fn line(&self, text: &str) {
        self.line_at(self.clock.now(), text);
    }

    fn line_at(&self, at: Now, text: &str) {
        println!("{:7.3} s  {text}", at.since(self.start).as_secs_f64());
    }

    /// Whether a move is on its way at which the server is to be killed.
    fn kill_is_due(&self) -> bool {
        KILL_AT.get(self.kills).is_some_and(|ply| self.announced.contains(ply))
    }

    fn tell(&mut self, who: usize, event: &Event) {
        self.ledger.note(event);
        let name = NAMES[who];
        match event {
            Event::Link { state: LinkState::Live, outage_ms, attempts } if self.kills > 0 => {
                self.back += 1;
                let (outage, attempts) = (outage_ms.unwrap_or(0), attempts.unwrap_or(0));
                let attempts = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
                self.line(&format!("   {name} is back at the board after {outage} ms ({attempts})"));
            }
            Event::Match { you, opponent, .. } if self.kills == 0 => {
                self.line(&format!("{name} plays {you} against {opponent}"));
            }
            Event::Board { rows, .. } => self.board.clone_from(rows),
            Event::Move { by, ply, state, row, col, .. } => self.tell_move(who, by, *ply, *state, *row, *col),
            Event::Result { outcome, why, recorded, .. } => {
                self.recorded[who] = *recorded;
                let recorded = if *recorded { "recorded by the server" } else { "on the board" };
                let outcome = format!("{outcome:?}").to_lowercase();
                self.line(&format!("{name}: {outcome} ({why}), {recorded}"));
            }
            Event::Reply(Reply { rows: Some(rows), .. }) => self.leaders = Some(rows.clone()),
            Event::Link { .. }
            | Event::Match { .. }
            | Event::Reply(_)
            | Event::Invited { .. }
            | Event::InviteClosed { .. }
            | Event::Path { .. }
            | Event::Opponent { .. }
            | Event::Suspended { .. }
            | Event::Offered { .. }
            | Event::Notice { .. } => {}
        }
    }

    fn tell_move(&mut self, who: usize, by: &str, ply: u16, state: MoveState, row: Option<u16>, col: Option<u16>) {
        let now = self.clock.now();
        if state == MoveState::Sent && self.announced.insert(ply) {
            self.sent.push((ply, now));
            self.last = row.zip(col).map(|(row, col)| Cell { row, col });
            let cell = self.last.map(|Cell { row, col }| format!("{row} {col}")).unwrap_or_default();
            self.line(&format!("{by} plays {cell}"));
        }
        if NAMES[who] == by && state != MoveState::Sent && self.acknowledged.insert(ply) {
            let sent = self.sent.iter().find(|(sent, _)| *sent == ply).map_or(now, |(_, at)| *at);
            let keeper = if state == MoveState::Seen { "seen by the opponent" } else { "kept by the server" };
            self.line(&format!("   acknowledged after {} ms: {keeper}", ms(now.since(sent))));
        }
    }

    /// What was proved, or what was not.
    fn verdict(&self, found: Found) -> anyhow::Result<()> {
        println!("\n{}\n", ui::board::board(&self.board, self.last));
        let leaders = self.leaders.as_deref().unwrap_or_default();
        for LeaderRow { name, points, wins, draws, losses, .. } in leaders {
            println!("{name:8} {points} points  ({wins} won, {draws} drawn, {losses} lost)");
        }
        let Found { acknowledged, lost, changed, wrong_boards, .. } = found;
        println!("\n{lost} of {acknowledged} acknowledged moves lost, {changed} changed, over {} kills", self.kills);
        ensure!(self.kills == KILL_AT.len(), "the server was killed {} times only", self.kills);
        ensure!(self.back >= NAMES.len(), "not both were back after the last kill");
        ensure!(lost == 0 && changed == 0 && wrong_boards == 0, "what was acknowledged was not kept: {found:?}");
        let points: u32 = leaders.iter().map(|row| row.points).sum();
        if leaders.len() != NAMES.len() || points != 2 {
            bail!("the score is wrong: {leaders:?}");
        }
        println!("Everybody came back by themselves, and the score is right.");
        Ok(())
    }
}
