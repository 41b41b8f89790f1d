//! Players for the benches: their accounts, and two of them who play with each other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use rustls::crypto::CryptoProvider;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::cli::child::{ServerProcess, start_client_over};
use crate::client::{ClientHandle, Order};
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, LinkState, MoveState, PathKind, Reply};
use crate::model::fact::Fact;
use crate::model::games::GameSpec;
use crate::model::id::{Name, UserId};
use crate::model::password::Password;
use crate::model::state::State;
use crate::model::time::WallMs;
use crate::net::keys::ServerKeys;
use crate::net::seam::Net;
use crate::ops::host::HostEntropy;
use crate::server::hasher::hash_now;
use crate::store::{self, Disk, HostDisk};

/// Whatever two players wait for has happened by then, or something is wrong.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Events not read yet.
const EVENTS_MAX: usize = 256;

/// Two players who are logged in, the first of whom invites.
pub(super) struct Pair {
    commands: [mpsc::Sender<Order>; 2],
    shown: mpsc::Receiver<Shown>,
    /// What they were shown.
    pub(super) seen: Seen,
}

/// Something that one of them was shown.
struct Shown {
    who: usize,
    at: Instant,
    event: Event,
}

/// What the two were shown of the match they are in.
#[derive(Default)]
pub(super) struct Seen {
    live: [bool; 2],
    logged_in: [bool; 2],
    invited: bool,
    /// Who sits at X, once both have been shown the match.
    seats: [Option<String>; 2],
    path: [Option<PathKind>; 2],
    /// When each was first shown that the path is direct.
    pub(super) direct_at: [Option<Instant>; 2],
    /// The board as each has it.
    boards: [(u16, Vec<String>); 2],
    recorded: [bool; 2],
    moves: BTreeMap<(usize, u16, Stage), Instant>,
}

/// How far a move has come, by what one player was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// On the disk of its author.
    Sent,
    /// To its author: on the disk of the opponent. To the opponent: on the own disk.
    Seen,
    /// On the server's disk.
    Kept,
}

impl Pair {
    /// Two clients of that server, connected and logged in.
    pub(super) async fn start(
        server: &ServerProcess,
        nets: [Arc<dyn Net>; 2],
        provider: &Arc<CryptoProvider>,
    ) -> anyhow::Result<Self> {
        let (sender, shown) = mpsc::channel(EVENTS_MAX);
        let mut commands = Vec::new();
        for (who, net) in nets.into_iter().enumerate() {
            let handle = start_client_over(net, server, &who.to_string(), provider, true)?;
            commands.push(handle.commands.clone());
            tokio::spawn(overhear(handle, who, sender.clone()));
        }
        let commands = commands.try_into().ok().context("there are two")?;
        let mut pair = Self { commands, shown, seen: Seen::default() };
        pair.until(|seen| seen.live == [true; 2]).await?;
        for who in 0..2 {
            pair.type_in(who, Typed::Login(player(who), password())).await?;
        }
        pair.until(|seen| seen.logged_in == [true; 2]).await?;
        Ok(pair)
    }

    /// From the invitation until both are at the board and know a direct path.
    pub(super) async fn begin(&mut self, game: &GameSpec) -> anyhow::Result<()> {
        let Seen { live, logged_in, .. } = self.seen;
        self.seen = Seen { live, logged_in, ..Seen::default() };
        self.type_in(0, Typed::Begin(player(1), game.clone())).await?;
        self.until(|seen| seen.invited).await?;
        self.type_in(1, Typed::Accept(None)).await?;
        self.until(|seen| seen.is_direct()).await.context("no direct path")
    }

    /// Plays on whose turn it is, and says when that was typed.
    pub(super) async fn play(&self, ply: u16, words: Vec<String>) -> anyhow::Result<Instant> {
        #[allow(clippy::disallowed_methods, reason = "a bench reads the clock, finer than in milliseconds")]
        let typed = Instant::now();
        self.type_in(self.mover(ply)?, Typed::Send(words)).await?;
        Ok(typed)
    }

    /// Resigns for whose turn it is, and waits for the server's verdict at both.
    pub(super) async fn resign(&mut self, ply: u16) -> anyhow::Result<()> {
        self.type_in(self.mover(ply)?, Typed::End).await?;
        self.verdict().await
    }

    /// Waits for the server's verdict at both.
    pub(super) async fn verdict(&mut self) -> anyhow::Result<()> {
        self.until(|seen| seen.recorded == [true; 2]).await.context("no verdict")
    }

    /// Who is to move.
    pub(super) fn mover(&self, ply: u16) -> anyhow::Result<usize> {
        let x = self.seen.x().context("the seats are not known")?;
        Ok(if ply.is_multiple_of(2) { x } else { 1 - x })
    }

    /// An empty cell of the mover's board, as words.
    pub(super) fn empty_cell(&self, ply: u16, random: &mut ChaCha8Rng) -> anyhow::Result<Vec<String>> {
        empty_cell(&self.seen.boards[self.mover(ply)?].1, random).context("the board is full")
    }

    /// Waits until something holds.
    pub(super) async fn until(&mut self, holds: impl Fn(&Seen) -> bool) -> anyhow::Result<()> {
        let all = async {
            while !holds(&self.seen) {
                let Shown { who, at, event } = self.shown.recv().await.context("the clients have ended")?;
                self.seen.note(who, at, event)?;
            }
            Ok(())
        };
        timeout(WAIT_MAX, all).await.with_context(|| format!("it took longer than {WAIT_MAX:?}"))?
    }

    async fn type_in(&self, who: usize, typed: Typed) -> anyhow::Result<()> {
        Ok(self.commands[who].send(Order::Typed(typed)).await?)
    }
}

impl Seen {
    /// Who sits at X.
    pub(super) fn x(&self) -> Option<usize> {
        let at = self.seats.iter().position(|seat| seat.as_deref() == Some("X"))?;
        self.seats[1 - at].as_ref().map(|_| at)
    }

    /// Whether both are at the board and each reaches the other directly.
    pub(super) fn is_direct(&self) -> bool {
        self.x().is_some() && self.path == [Some(PathKind::Direct); 2]
    }

    /// When a player was shown that a move has come so far.
    pub(super) fn at(&self, who: usize, ply: u16, stage: Stage) -> Option<Instant> {
        self.moves.get(&(who, ply, stage)).copied()
    }

    /// Whether both have this many moves on their boards.
    pub(super) fn both_at(&self, plies: u16) -> bool {
        self.boards.iter().all(|(ply, _)| *ply == plies)
    }

    fn note(&mut self, who: usize, at: Instant, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Link { state, .. } => self.live[who] = state == LinkState::Live,
            Event::Reply(Reply { command, ok: true, .. }) => self.logged_in[who] |= command == "login",
            Event::Reply(Reply { command, message, .. }) => bail!("{command} is refused: {message:?}"),
            Event::Invited { .. } => self.invited = true,
            Event::Match { you, .. } => {
                self.seats[who] = Some(you);
                self.path[who] = None;
            }
            Event::Board { ply, rows, .. } => self.boards[who] = (ply, rows),
            Event::Path { path } => {
                self.path[who] = Some(path);
                if path == PathKind::Direct {
                    self.direct_at[who].get_or_insert(at);
                }
            }
            Event::Move { ply, state, .. } => {
                let stage = match state {
                    MoveState::Sent => Stage::Sent,
                    MoveState::Seen => Stage::Seen,
                    MoveState::Kept => Stage::Kept,
                };
                self.moves.entry((who, ply, stage)).or_insert(at);
            }
            Event::Result { recorded, .. } => self.recorded[who] = recorded,
            Event::InviteClosed { .. }
            | Event::Opponent { .. }
            | Event::Suspended { .. }
            | Event::Offered { .. }
            | Event::Notice { .. } => {}
        }
        Ok(())
    }
}

/// Passes on what a client shows, with the moment.
async fn overhear(mut handle: ClientHandle, who: usize, to: mpsc::Sender<Shown>) {
    while let Some(event) = handle.events.recv().await {
        #[allow(clippy::disallowed_methods, reason = "a bench reads the clock, finer than in milliseconds")]
        let at = Instant::now();
        if to.send(Shown { who, at, event }).await.is_err() {
            return;
        }
    }
}

/// Accounts for all clients, written as facts: only their logins are hashed one by one.
pub(super) fn add_accounts(home: &Path, count: usize) -> anyhow::Result<()> {
    let keys = ServerKeys::load_or_make(&home.join("certs"), &HostEntropy)?;
    let disk: Arc<dyn Disk> = Arc::new(HostDisk);
    let settings = store::Settings::new(keys.id().0, 1);
    let mut journal = store::recover::<State>(&disk, &home.join("state"), &settings)?.journal;
    let hash = hash_now(&password(), &HostEntropy);
    let account = |number: usize| Fact::AccountAdded {
        user: UserId((number as u128 + 1).to_be_bytes()),
        name: player(number),
        password: hash.clone(),
        origin: None,
        points: 0,
        at: WallMs(0),
    };
    journal.append(&[(0..count).map(account).collect()])?;
    Ok(())
}

/// The name of an account.
pub(super) fn player(number: usize) -> Name {
    Name::new(&format!("player-{number}")).expect("letters and digits")
}

/// The password of all accounts.
pub(super) fn password() -> Password {
    Password::new("measured and found good").expect("short")
}

/// A random empty cell, as words.
pub(super) fn empty_cell(rows: &[String], random: &mut ChaCha8Rng) -> Option<Vec<String>> {
    let cells = rows.iter().zip(1..).flat_map(|(row, number)| {
        row.chars().zip(1..).filter(|(cell, _)| *cell == '.').map(move |(_, col): (char, u16)| (number, col))
    });
    let cells: Vec<(u16, u16)> = cells.collect();
    let place = usize::try_from(random.next_u64()).ok()?.checked_rem(cells.len())?;
    let (row, col) = cells.get(place)?;
    Some(vec![row.to_string(), col.to_string()])
}

/// In milliseconds, with their parts.
#[allow(clippy::cast_precision_loss, reason = "milliseconds are few")]
pub(super) fn millis(length: Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}
