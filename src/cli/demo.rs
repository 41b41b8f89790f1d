//! `rejoin demo`: two bots play two matches. In the first the server is killed and comes back at once; in the second it
//! stays dead to the end of the game, and the players finish without it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;

use super::child::{ServerProcess, start_client};
use super::story::{NAMES, Story};
use crate::client::bot::{self, Options};
use crate::client::{ClientHandle, Order};
use crate::model::client::command::Typed;
use crate::model::client::event::Event;
use crate::model::games::GameSpec;
use crate::model::id::Name;
use crate::model::password::Password;
use crate::model::time::ms;
use crate::net::tls;
use crate::ops::host::{HostClock, HostEntropy};

/// Watch a server die in mid-game, twice, while nothing is lost and play goes on
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// What the bots play
    #[arg(long, default_value = "tictactoe")]
    game: String,
    /// Milliseconds a bot thinks
    #[arg(long, default_value_t = 300)]
    think: u64,
}

/// The server is killed when this ply is on its way.
const KILL_AT: u16 = 2;
/// All of it takes a few seconds; longer than this and something is wrong.
const DEMO_MAX: Duration = Duration::from_secs(90);

/// What the two clients show, and who they are.
type Shown = (usize, Event);

/// All that takes part.
struct Stage {
    server: ServerProcess,
    story: Story,
    commands: Vec<mpsc::Sender<Order>>,
    events: mpsc::Receiver<Shown>,
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
        println!("A server, and two bots that play {} twice. The server is killed in both matches.", game.name());
        println!("(Here all three keepers of a match share one machine, and so its fate.)\n");
        let mut stage = self.set_up(home, &provider)?;
        stage.until(|story| story.logged_in == NAMES.len()).await?;
        self.first(&mut stage, &game).await?;
        self.second(&mut stage, &game).await?;
        stage.commands[0].send(Order::Typed(Typed::Leaders)).await?;
        stage.until(|story| story.leaders.is_some()).await?;
        let Stage { server, story, .. } = stage;
        tokio::task::block_in_place(|| server.stop())?;
        story.line("the server is stopped, and its journal read back");
        let found = story.ledger.compare(home)?;
        story.verdict(found)
    }

    fn set_up(&self, home: &Path, provider: &Arc<rustls::crypto::CryptoProvider>) -> anyhow::Result<Stage> {
        let clock = HostClock::start();
        let story = Story::new(clock);
        let server = tokio::task::block_in_place(|| ServerProcess::start(home, clock))?;
        story.line("a server starts, with a small parent that holds its socket");
        let (shown, events) = mpsc::channel(256);
        let mut commands = Vec::new();
        for (number, name) in NAMES.into_iter().enumerate() {
            let handle = start_client(&server, name, provider, true)?;
            commands.push(handle.commands.clone());
            let options = self.options(name, clock)?;
            tokio::spawn(bot::run(overheard(handle, number, shown.clone()), options, |_| {}));
        }
        Ok(Stage { server, story, commands, events })
    }

    /// The server is killed, and its parent starts it again at once.
    async fn first(&self, stage: &mut Stage, game: &GameSpec) -> anyhow::Result<()> {
        println!("\nThe first match: the server comes back at once.");
        stage.begin(game).await?;
        stage.until(|story| story.is_announced(KILL_AT)).await?;
        let (killed, started) = tokio::task::block_in_place(|| {
            let killed = stage.server.kill()?;
            anyhow::Ok((killed, stage.server.ready()?))
        })?;
        stage.story.is_down(killed, "** the server is killed (SIGKILL)");
        let pause = ms(started.since(killed));
        stage.story.line_at(started, &format!("   its parent starts the next run, {pause} ms later"));
        stage.until(Story::is_settled).await
    }

    /// The server is killed with its parent, and started again only when the game is over.
    async fn second(&self, stage: &mut Stage, game: &GameSpec) -> anyhow::Result<()> {
        println!("\nThe second match: the server stays dead until the game is over.");
        stage.begin(game).await?;
        stage.until(|story| story.direct == [true; 2] && story.is_announced(KILL_AT)).await?;
        let killed = tokio::task::block_in_place(|| stage.server.kill_for_good())?;
        stage.story.is_down(killed, "** the server and its parent are killed (SIGKILL)");
        stage.story.line("   alice and bob play on, directly");
        stage.until(|story| story.agreed == [true; 2]).await?;
        tokio::task::block_in_place(|| stage.server.start_again())?;
        stage.story.is_up_again();
        stage.until(Story::is_settled).await
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

impl Stage {
    /// One asks the other, who accepts.
    async fn begin(&mut self, game: &GameSpec) -> anyhow::Result<()> {
        self.story.next_match();
        let begin = Typed::Begin(Name::new(NAMES[1])?, game.clone());
        self.commands[0].send(Order::Typed(begin)).await?;
        Ok(())
    }

    /// Tells what happens until the story is so far.
    async fn until(&mut self, so_far: impl Fn(&Story) -> bool) -> anyhow::Result<()> {
        while !so_far(&self.story) {
            let (who, event) = self.events.recv().await.context("the clients have ended")?;
            self.story.tell(who, &event);
        }
        Ok(())
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
