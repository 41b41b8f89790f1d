//! The simulation: whole worlds from a seed, which break in every way there is a name for, heal, and are judged.
//!
//! ```text
//! cargo test --test chaos                                    the short form
//! cargo test --test chaos -- --seed 7 --trace                one world, told line by line
//! cargo test --release --test chaos -- --lane full --seeds 50000
//! cargo test --release --test chaos -- --determinism 1000
//! cargo test --release --features mutants --test chaos -- --mutants
//! ```
//!
//! `chaos/README.md` tells more.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells what it finds")]
#![allow(clippy::disallowed_methods, reason = "a run may be limited by the clock of the machine")]
#![allow(clippy::cast_precision_loss, reason = "figures are printed with few digits")]

mod sim;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;

use sim::batch::{Batch, Sum, plan};
use sim::broken::Search;
use sim::lane::Lane;
use sim::outcome::Outcome;
use sim::plan::{Focus, Plan};
use sim::regression::{DIR, Regression};
use sim::{broken, report, same, shrink};

/// Worlds of the short form, which `cargo test` runs: lane, players, worlds.
const SHORT: [(Lane, u8, u64); 3] = [(Lane::Pure, 2, 20_000), (Lane::Full, 2, 200), (Lane::Full, 10, 5)];
/// How long a failing plan is made smaller.
const SHRINK_MAX: Duration = Duration::from_secs(60);
/// Failures that are told in full.
const FAILURES_TOLD: usize = 3;

/// Whole worlds from a seed.
#[derive(Debug, Parser)]
#[command(name = "chaos", disable_version_flag = true)]
struct Args {
    /// One world
    #[arg(long)]
    seed: Option<u64>,
    /// Tell the world line by line
    #[arg(long)]
    trace: bool,
    /// Only this lane
    #[arg(long)]
    lane: Option<Lane>,
    /// So many worlds in each lane
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Players in each world
    #[arg(long, default_value_t = 2)]
    players: u8,
    /// Worlds that look here most, with faults that the usual ones do not have
    #[arg(long)]
    focus: Option<Focus>,
    /// No world begins after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// Threads; all cores without it
    #[arg(long)]
    jobs: Option<usize>,
    /// A plan from a file
    #[arg(long)]
    plan: Option<PathBuf>,
    /// Whether so many worlds are the same in another process and another order
    #[arg(long)]
    determinism: Option<u64>,
    /// Print the hashes of so many worlds, from the last to the first
    #[arg(long, hide = true)]
    hashes: Option<u64>,
    /// Kill at every operation of a disk and every send of a match
    #[arg(long)]
    crash_points: bool,
    /// Look for every broken build
    #[arg(long)]
    mutants: bool,
    /// Look for one broken build
    #[arg(long)]
    mutant: Option<String>,
    /// Do not write failures down in `chaos/regressions`
    #[arg(long)]
    no_save: bool,
    /// Words of a test runner
    #[arg(hide = true)]
    words: Vec<String>,
    #[arg(long, hide = true)]
    nocapture: bool,
    #[arg(long, hide = true)]
    quiet: bool,
    #[arg(long, hide = true)]
    list: bool,
    #[arg(long, hide = true)]
    ignored: bool,
    #[arg(long, hide = true)]
    exact: bool,
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let for_others = !args.words.is_empty() && !args.words.iter().any(|word| "chaos".contains(word.as_str()));
    if args.list || args.ignored || for_others {
        return ExitCode::SUCCESS;
    }
    if args.run() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Args {
    fn run(&self) -> bool {
        let jobs = self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
        if let Some(name) = &self.mutant {
            let lane = self.lane.unwrap_or(Lane::Pure);
            let worlds = self.seeds.unwrap_or(40_000);
            let said = self.lane.is_some() || self.seeds.is_some() || self.focus.is_some();
            return broken::one(name, jobs, said.then_some(Search { lane, worlds, focus: self.focus }));
        }
        if self.mutants {
            return broken::all(jobs);
        }
        if let Some(count) = self.hashes {
            same::print(self.lane.unwrap_or(Lane::Full), self.from..self.from + count, self.players);
            return true;
        }
        if let Some(count) = self.determinism {
            return same::check(self.lane.unwrap_or(Lane::Full), self.from..self.from + count, self.players, jobs);
        }
        if let Some(path) = &self.plan {
            let regression = Regression::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            return self.one(regression.lane, &regression.plan);
        }
        if let Some(seed) = self.seed {
            let lanes = self.lane.map_or(Lane::ALL.to_vec(), |lane| vec![lane]);
            let well =
                lanes.iter().filter(|lane| self.one(**lane, &plan(**lane, seed, self.players, self.focus))).count();
            return well == lanes.len();
        }
        let mut well = self.regressions();
        let asked = self.seeds.or(self.minutes.map(|_| u64::MAX >> 1));
        if self.crash_points || asked.is_none() {
            well &= sim::points::all(self.lane, jobs);
        }
        if self.crash_points {
            return well;
        }
        let until = self.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
        for (lane, players, worlds) in SHORT {
            let (players, worlds) = match asked {
                Some(_) if players != 2 => continue,
                Some(worlds) => (self.players, worlds),
                None => (players, worlds),
            };
            if self.lane.is_some_and(|only| only != lane) {
                continue;
            }
            let seeds = self.from..self.from.saturating_add(worlds);
            let batch = Batch { lane, seeds, players, focus: self.focus, jobs, until, first_only: false };
            well &= self.batch(&batch);
        }
        well
    }

    /// Plans that have failed once.
    fn regressions(&self) -> bool {
        let all = Regression::all().unwrap_or_else(|error| panic!("{DIR}: {error}"));
        let mut well = true;
        for (path, regression) in &all {
            let outcome = regression.lane.run(&regression.plan, false);
            if !outcome.violations.is_empty() {
                well = false;
                println!("FAILED AGAIN: {} ({})", path.display(), regression.about);
                tell(&outcome);
            }
        }
        println!("{} plans that have failed once: {}", all.len(), if well { "all well" } else { "not well" });
        well
    }

    /// One world, told.
    fn one(&self, lane: Lane, plan: &Plan) -> bool {
        println!("{} lane: {}", lane.name(), serde_json::to_string_pretty(plan).unwrap());
        let outcome = lane.run(plan, self.trace);
        outcome.trace.iter().for_each(|line| println!("{line}"));
        println!("{} lane: {} ms simulated, hash {:016x}", lane.name(), outcome.simulated_ms, outcome.hash);
        tell(&outcome);
        outcome.violations.is_empty()
    }

    fn batch(&self, batch: &Batch) -> bool {
        let cpu = cpu_s();
        println!("\n{} lane, {} players:", batch.lane.name(), batch.players);
        let sum = batch.run();
        let covered = report::print(batch.lane, &sum, cpu_s() - cpu);
        if !covered {
            println!("FAILED: something that the suite is there to meet was not met");
        }
        self.failures(batch, &sum);
        covered && sum.failed.is_empty()
    }

    fn failures(&self, batch: &Batch, sum: &Sum) {
        let mut seeds = BTreeMap::<&str, BTreeSet<u64>>::new();
        for (seed, outcome) in &sum.failed {
            for violation in &outcome.violations {
                seeds.entry(&violation.invariant).or_default().insert(*seed);
            }
        }
        for (invariant, seeds) in &seeds {
            let some: Vec<u64> = seeds.iter().take(10).copied().collect();
            println!("FAILED: {invariant} in {} worlds, of seeds {some:?}", seeds.len());
        }
        for (seed, outcome) in sum.failed.iter().take(FAILURES_TOLD) {
            let (lane, name) = (batch.lane, batch.lane.name());
            println!(
                "\nFAILED: cargo test --test chaos -- --lane {name} --players {} {}--seed {seed} --trace",
                batch.players,
                batch.focus.map_or_else(String::new, |focus| format!("--focus {} ", focus.name()))
            );
            tell(outcome);
            let plan = batch.plan(*seed);
            let again = [lane.run(&plan, false), lane.run(&plan, false)];
            if again.iter().any(|other| other.hash != outcome.hash || other.violations != outcome.violations) {
                println!("NONDETERMINISTIC: the same seed went another way; this is a fault of the simulation");
                continue;
            }
            let until = Instant::now() + SHRINK_MAX;
            let shrunk = shrink::shrink(&plan, &|plan| lane.run(plan, false), &|| Instant::now() < until);
            println!(
                "  shrunk in {} worlds from {} faults to {}: {}",
                shrunk.worlds,
                plan.faults.len(),
                shrunk.plan.faults.len(),
                serde_json::to_string(&shrunk.plan).unwrap()
            );
            let about = outcome.violations.iter().map(|violation| violation.why.as_str()).next().unwrap_or_default();
            if !self.no_save {
                let regression = Regression { about: about.to_owned(), lane, plan: shrunk.plan };
                match regression.save() {
                    Ok(path) => println!("  saved as {}", path.display()),
                    Err(error) => println!("  cannot be saved in {DIR}: {error}"),
                }
            }
        }
    }
}

fn tell(outcome: &Outcome) {
    for violation in &outcome.violations {
        println!("  !! {}: {}", violation.invariant, violation.why);
    }
}

/// Processor time of this process so far, in seconds.
fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
