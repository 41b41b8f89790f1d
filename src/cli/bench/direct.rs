//! How fast the direct path is there, and how fast moves come over it; on one machine.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rustls::crypto::CryptoProvider;
use serde::Serialize;

use super::Spread;
use super::counted::{Book, CountedNet};
use super::machine::Machine;
use super::players::{Pair, Stage, add_accounts, millis};
use crate::cli::child::ServerProcess;
use crate::model::games::GameSpec;
use crate::net::seam::Net;
use crate::net::tls;
use crate::ops::host::HostClock;
use crate::store::{HostDisk, RecordLog};

/// How fast the direct path is there, and how fast moves come over it
#[derive(Debug, clap::Args)]
pub(super) struct Direct {
    /// Matches to play, one after the other
    #[arg(long, default_value_t = 30)]
    matches: usize,
    /// Moves in each
    #[arg(long, default_value_t = 20)]
    moves: u16,
    /// Milliseconds between a move that is on all disks and the next one
    #[arg(long, default_value_t = 10)]
    think: u64,
    /// Chooses the moves
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Table {
    machine: Machine,
    matches: usize,
    moves: u16,
    think_ms: u64,
    /// From the first dial to the path shown to X.
    dial_to_path: Spread,
    /// From the first dial to X's first move seen.
    dial_to_seen: Spread,
    /// From typing to the own disk.
    sent: Spread,
    /// From typing to the opponent's disk.
    there: Spread,
    /// From typing to the opponent's receipt on the own disk.
    seen: Spread,
    /// From typing to the server's receipt on the own disk.
    kept: Spread,
    /// Moves whose match had no direct path when they were made.
    indirect: usize,
    /// One append and sync, when nobody else writes.
    sync: Spread,
}

/// What was measured, in milliseconds.
#[derive(Default)]
struct Samples {
    dial_to_path: Vec<f64>,
    dial_to_seen: Vec<f64>,
    sent: Vec<f64>,
    there: Vec<f64>,
    seen: Vec<f64>,
    kept: Vec<f64>,
    indirect: usize,
}

/// Appends that are timed before the matches and again after them.
const SYNCS: usize = 200;
/// About what a client writes for a move.
const RECORD_BYTES: usize = 160;

impl Direct {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let provider = tls::provider();
        tls::warm_up(&provider);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let home = tempfile::tempdir()?;
        let table = runtime.block_on(self.measure(home.path(), &provider))?;
        // What clients still do in their files is not waited for.
        runtime.shutdown_background();
        if self.json {
            println!("{}", serde_json::to_string(&table)?);
        } else {
            print(&table);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(&self, home: &Path, provider: &Arc<CryptoProvider>) -> anyhow::Result<Table> {
        add_accounts(home, 2)?;
        let mut syncs = tokio::task::block_in_place(|| time_syncs(&home.join("syncs-before")))?;
        let server = tokio::task::block_in_place(|| ServerProcess::start(home, HostClock::start()))?;
        let book = Arc::new(Book::default());
        let net = |who| -> Arc<dyn Net> { Arc::new(CountedNet::new(who, Arc::clone(&book))) };
        let mut pair = Pair::start(&server, [net(0), net(1)], provider).await?;
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut samples = Samples::default();
        for _ in 0..self.matches {
            self.play(&mut pair, &book, &mut random, &mut samples).await?;
        }
        tokio::task::block_in_place(|| server.stop())?;
        syncs.extend(tokio::task::block_in_place(|| time_syncs(&home.join("syncs-after")))?);
        let spread = |samples| Spread::of(samples).context("nothing was measured");
        let Self { matches, moves, think, .. } = *self;
        Ok(Table {
            machine: Machine::here(),
            matches,
            moves,
            think_ms: think,
            dial_to_path: spread(samples.dial_to_path)?,
            dial_to_seen: spread(samples.dial_to_seen)?,
            sent: spread(samples.sent)?,
            there: spread(samples.there)?,
            seen: spread(samples.seen)?,
            kept: spread(samples.kept)?,
            indirect: samples.indirect,
            sync: spread(syncs)?,
        })
    }

    /// One match. X moves as soon as the path is there; the first move counts for the path alone.
    async fn play(
        &self,
        pair: &mut Pair,
        book: &Book,
        random: &mut ChaCha8Rng,
        samples: &mut Samples,
    ) -> anyhow::Result<()> {
        // Dials so far were those of the last match, or to the server.
        drop(book.take_dials());
        pair.begin(&GameSpec::named("gomoku")?).await?;
        let dialed = book.take_dials().into_iter().min().context("nobody has dialled")?;
        for ply in 0..self.moves {
            let (me, direct) = (pair.mover(ply)?, pair.seen.is_direct());
            let cell = pair.empty_cell(ply, random)?;
            let typed = pair.play(ply, cell).await?;
            let all = [(me, Stage::Sent), (1 - me, Stage::Seen), (me, Stage::Seen), (me, Stage::Kept)];
            pair.until(|seen| all.iter().all(|(who, stage)| seen.at(*who, ply, *stage).is_some())).await?;
            pair.until(|seen| seen.both_at(ply + 1)).await?;
            let [sent, there, seen, kept] = all.map(|(who, stage)| pair.seen.at(who, ply, stage).unwrap_or(typed));
            if ply == 0 {
                let path = pair.seen.direct_at[me].context("there is a path")?;
                samples.dial_to_path.push(millis(path.saturating_duration_since(dialed)));
                samples.dial_to_seen.push(millis(seen.saturating_duration_since(dialed)));
            } else if direct && pair.seen.is_direct() {
                let since = |at: Instant| millis(at.saturating_duration_since(typed));
                samples.sent.push(since(sent));
                samples.there.push(since(there));
                samples.seen.push(since(seen));
                samples.kept.push(since(kept));
            } else {
                samples.indirect += 1;
            }
            tokio::time::sleep(Duration::from_millis(self.think)).await;
        }
        pair.resign(self.moves).await
    }
}

/// How long one append with its sync takes in a file like a client's file of a match, in milliseconds each.
fn time_syncs(path: &Path) -> anyhow::Result<Vec<f64>> {
    let mut log = RecordLog::open(&HostDisk, path, [0; 32], 0)?.log;
    let append = || {
        #[allow(clippy::disallowed_methods, reason = "a bench reads the clock, finer than in milliseconds")]
        let start = Instant::now();
        log.append(&[&[0; RECORD_BYTES]])?;
        Ok(millis(start.elapsed()))
    };
    std::iter::repeat_with(append).take(SYNCS).collect()
}

fn print(table: &Table) {
    let Table {
        machine,
        matches,
        moves,
        think_ms,
        dial_to_path,
        dial_to_seen,
        sent,
        there,
        seen,
        kept,
        indirect,
        sync,
    } = table;
    println!("{machine}");
    println!(
        "{matches} matches of gomoku, {moves} moves each, {think_ms} ms between moves; server, two clients, loopback"
    );
    println!("from the first dial:");
    println!("  the path is shown to X             {dial_to_path}");
    println!("  X's first move is seen             {dial_to_seen}");
    println!("from typing a later move, by the direct path ({indirect} moves had none):");
    println!("  on the own disk (sent)             {sent}");
    println!("  on the opponent's disk             {there}");
    println!("  the opponent's receipt here (seen) {seen}");
    println!("  the server's receipt here (kept)   {kept}");
    println!("one append and sync, nobody else     {sync}");
}
