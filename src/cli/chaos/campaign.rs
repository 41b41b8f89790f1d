//! `rejoin chaos campaign`: thousands of one kind of fault, in mid-game, with a running table.
//!
//! What must hold: every batch is judged by the oracle from what was told and what its disks hold; a fault that was not
//! seen to strike is not counted.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use super::doctor;
use super::run::INCONCLUSIVE;
use super::stage::{Around, Stage};
use super::words::violations;
use crate::chaos::history::{Record, What};
use crate::chaos::oracle;
use crate::chaos::report::{Report, quantile};
use crate::chaos::scenario::{Fault, Scenario, Span, Step, Target};
use crate::model::time::Entropy;
use crate::ops::host::HostEntropy;

/// Thousands of one kind, fast, with a running table
#[derive(Debug, clap::Args)]
pub(super) struct Campaign {
    #[command(subcommand)]
    what: Kind,
}

#[derive(Debug, clap::Subcommand)]
enum Kind {
    /// `kill -9` in mid-game: the server mostly, and the players
    Kills(Many),
    /// The power of a machine goes in mid-game, with all that was not synced: the server's mostly, a player's, and
    /// everybody's at once (needs root)
    PowerCuts(Many),
}

#[derive(Clone, Debug, clap::Args)]
struct Many {
    /// How many
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: u32,
    /// Pairs that play
    #[arg(long, value_name = "N", default_value_t = 3)]
    pairs: u16,
    /// Faults before everything is read, judged and begun anew
    #[arg(long, value_name = "N", default_value_t = 50)]
    batch: u32,
    /// What all chances are drawn from; drawn anew without it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Set this for the processes that are started: the server and the players
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::run::pair)]
    env: Vec<(String, String)>,
    /// Only the server is struck
    #[arg(long)]
    server_only: bool,
}

/// What was counted so far.
#[derive(Debug, Default)]
struct Table {
    struck: u32,
    acknowledged: usize,
    finished: usize,
    lost: usize,
    double: usize,
    other: usize,
    /// From the kill until a link was live again, in milliseconds.
    from_kill: Vec<u64>,
    /// The same from the start of the next process.
    from_start: Vec<u64>,
}

/// Of the power cuts one in so many is everybody's at once.
const ALL_ONE_IN: usize = 8;
/// One in so many is a player, and one in so many a pair.
const PLAYER_ONE_IN: usize = 4;
const PAIR_ONE_IN: usize = 16;
/// Moves that are acknowledged between two kills, at most.
const MOVES_BETWEEN_MAX: usize = 12;
/// Longer than any recovery; the oracle says which are too long.
const BACK_MAX: Duration = Duration::from_secs(20);

impl Campaign {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let (many, kind) = match self.what {
            Kind::Kills(many) => (many, Fault::Kill),
            Kind::PowerCuts(many) => (many, Fault::PowerCut),
        };
        if let Err(why) = doctor::allows(kind, None) {
            println!("{kind} is not possible here: {why}");
            return Ok(ExitCode::from(INCONCLUSIVE));
        }
        let mut bytes = [0; 4];
        HostEntropy.fill(&mut bytes);
        let first = many.seed.unwrap_or_else(|| u64::from(u32::from_le_bytes(bytes)));
        println!("{HEAD}");
        let mut table = Table::default();
        for seed in first.. {
            let left = many.count.saturating_sub(table.struck);
            if left == 0 {
                break;
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let before = table.struck;
            let found = runtime.block_on(batch(kind, &many, seed, left.min(many.batch), &mut table))?;
            println!("{}", table.line());
            found.iter().take(WHY_MAX).for_each(|why| println!("    seed {seed}: {why}"));
            if table.struck == before {
                bail!("nothing was struck with seed {seed}");
            }
        }
        let bad = table.lost + table.double + table.other > 0;
        Ok(ExitCode::from(u8::from(bad)))
    }
}

const HEAD: &str = "  struck      moves    matches   lost  double  other  |  from the kill: p50   p90   p99   max  |  \
                    from the start: p50   p90   p99   max ms";
const WHY_MAX: usize = 6;

/// A batch on fresh files; what was violated.
async fn batch(kind: Fault, many: &Many, seed: u64, count: u32, table: &mut Table) -> anyhow::Result<Vec<String>> {
    let home = tempfile::Builder::new().prefix("rejoin-chaos-").tempdir()?;
    let target = if many.server_only { Target::Server } else { Target::All };
    let workload = format!("[[workload]]\npairs = {}\nthink = \"5 ms\"\n", many.pairs);
    // The fault is there for what must be made ready for it; when it strikes is drawn.
    let text =
        format!("about = \"{kind}\"\n{workload}[[fault]]\nat = \"0 s\"\nkind = \"{kind}\"\ntarget = \"{target}\"\n");
    let scenario: Scenario = text.parse()?;
    let around = Around { env: many.env.clone(), ..Around::default() };
    let mut stage = Stage::set_up(home.path().to_owned(), &scenario, seed, around).await?;
    let ready = |stage: &Stage| stage.players.iter().all(|player| player.live && player.seat.is_some());
    if !stage.until(BACK_MAX, ready).await? {
        bail!("seed {seed}: the players do not play");
    }
    for _ in 0..count {
        let enough = stage.acks + 1 + stage.seeded.up_to(MOVES_BETWEEN_MAX - 1) as u64;
        if !stage.until(BACK_MAX, |stage| stage.acks >= enough).await? {
            break;
        }
        let step = once(kind, stage.draw_target(kind, many.server_only));
        let now = stage.now_ms();
        stage.plan_fault(&step, now, now);
        let back = |stage: &Stage| stage.strikes.is_over() && stage.players.iter().all(|player| player.live);
        if !stage.until(BACK_MAX, back).await? {
            break;
        }
    }
    stage.heal_all().await?;
    let closed = stage.close().await?;
    let doors = stage.stop_all().await?;
    let mut report = Report { length_ms: stage.now_ms(), finals: stage.finals(doors)?, ..Report::default() };
    report.history = std::mem::take(&mut stage.history);
    report.verdicts = oracle::judge(&report.history, &report.finals);
    table.add(&report, stage.strikes.proven());
    let mut found = violations(&report);
    found.extend(stage.surprises.iter().chain(&stage.panics()).cloned());
    if !closed {
        found.push("not every match was over and recorded in the end".to_owned());
    }
    table.other += found.len() - report.verdicts.violations.len();
    if !found.is_empty() {
        std::fs::write(home.path().join("report.json"), serde_json::to_vec(&report)?)?;
        stage.keep_files()?;
        found.push(format!("files in {}", home.keep().display()));
    }
    Ok(found)
}

fn once(kind: Fault, target: Target) -> Step {
    Step { at: Span::default(), lasts: Span::default(), kind, target, times: 1, amount: None }
}

impl Stage {
    fn draw_target(&mut self, kind: Fault, server_only: bool) -> Target {
        let players = self.players.len();
        let one = |stage: &mut Self, most: usize| u16::try_from(stage.seeded.up_to(most)).unwrap_or(0);
        if server_only {
            Target::Server
        } else if kind == Fault::PowerCut && self.seeded.up_to(ALL_ONE_IN - 1) == 0 {
            Target::All
        } else if self.seeded.up_to(PAIR_ONE_IN - 1) == 0 {
            Target::Pair(one(self, players / 2 - 1))
        } else if self.seeded.up_to(PLAYER_ONE_IN - 1) == 0 {
            Target::Client(one(self, players - 1))
        } else {
            Target::Server
        }
    }
}

impl Table {
    fn add(&mut self, report: &Report, struck: u32) {
        let figures = report.figures();
        self.struck += struck;
        self.acknowledged += figures.acknowledged;
        self.finished += figures.finished;
        for found in &report.verdicts.violations {
            match found.invariant.as_str() {
                "I1" => self.lost += 1,
                "I4" | "I5" => self.double += 1,
                _ => self.other += 1,
            }
        }
        self.from_kill.extend(report.recoveries_ms());
        self.from_start.extend(from_start(report));
        self.from_kill.sort_unstable();
        self.from_start.sort_unstable();
    }

    fn line(&self) -> String {
        let figures = |of: &[u64]| {
            let figure = |permille| quantile(of, permille).unwrap_or(0);
            let [p50, p90, p99, max] = [500, 900, 990, 1_000].map(figure);
            format!("{p50:5} {p90:5} {p99:5} {max:5}")
        };
        let Self { struck, acknowledged, finished, lost, double, other, .. } = self;
        format!(
            "{struck:8} {acknowledged:10} {finished:10} {lost:6} {double:7} {other:6}  |                 {}  |                  {}",
            figures(&self.from_kill),
            figures(&self.from_start)
        )
    }
}

/// For each outage in which the server was started: from then until the link was live.
fn from_start(report: &Report) -> Vec<u64> {
    let server = |record: &&Record| record.who == super::stage::SERVER_NAME && record.what == What::Started;
    let starts: Vec<u64> = report.history.iter().filter(server).map(|record| record.at_ms).collect();
    let outages = report.outages();
    let back = |outage: &crate::chaos::report::Outage| {
        let last = starts.iter().filter(|start| (outage.from_ms..=outage.to_ms).contains(start)).max()?;
        Some(outage.to_ms - last)
    };
    outages.iter().filter(|outage| outage.over).filter_map(back).collect()
}
