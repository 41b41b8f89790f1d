//! Broken builds: how many worlds it takes to find each.
#![allow(clippy::disallowed_methods, reason = "worlds are counted by the clock of the machine")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rejoin::mutant::Mutant;

use super::batch::Batch;
use super::lane::Lane;

/// Worlds tried for one broken build, in the pure lane and then in the full one.
const WORLDS_MAX: [(Lane, u64); 2] = [(Lane::Pure, 40_000), (Lane::Full, 2_000)];
/// And for how long in one lane.
const LANE_MAX: Duration = Duration::from_secs(120);

/// Runs this program once for each broken build; whether all were found.
pub(crate) fn all(jobs: usize) -> bool {
    if !cfg!(feature = "mutants") {
        eprintln!(
            "broken builds are not in this one: cargo test --release --features mutants --test chaos -- --mutants"
        );
        return false;
    }
    println!("| broken build | lane | worlds | found by |\n|---|---|---|---|");
    let mut needed: Vec<Option<u64>> = Vec::new();
    for mutant in Mutant::ALL {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.args(["--mutant", mutant.name(), "--jobs", &jobs.to_string()]);
        let output = command.stderr(Stdio::null()).output().expect("this program can be started again");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix(FOUND));
        needed.push(line.and_then(|line| line.split(' ').nth(1)?.parse().ok()));
        match line.map(|line| line.splitn(3, ' ').collect::<Vec<_>>()) {
            Some(words) => println!("| {} | {} |", mutant.name(), words.join(" | ")),
            None => println!("| {} | – | **not found** | |", mutant.name()),
        }
    }
    let mut found: Vec<u64> = needed.iter().flatten().copied().collect();
    found.sort_unstable();
    let median = found.get(found.len() / 2).copied().unwrap_or(0);
    println!("\n{} of {} found, median {median} worlds", found.len(), needed.len());
    found.len() == needed.len()
}

/// What a line with a finding begins with.
const FOUND: &str = "found: ";

/// Looks for one broken build; whether it was found.
pub(crate) fn one(name: &str, jobs: usize) -> bool {
    #[cfg(feature = "mutants")]
    if let Err(error) = rejoin::mutant::choose(name) {
        eprintln!("{error}");
        return false;
    }
    // A world that panics says so in its outcome.
    std::panic::set_hook(Box::new(|_| {}));
    for (lane, worlds) in WORLDS_MAX {
        let until = Some(Instant::now() + LANE_MAX);
        let batch = Batch { lane, seeds: 0..worlds, players: 2, jobs, until, first_only: true };
        let sum = batch.run();
        if let Some((seed, outcome)) = sum.failed.first_key_value() {
            let mut invariants: Vec<&str> =
                outcome.violations.iter().map(|violation| violation.invariant.as_str()).collect();
            invariants.dedup();
            println!("{FOUND}{} {} {}", lane.name(), seed + 1, invariants.join(" "));
            return true;
        }
    }
    println!("{name} was not found");
    false
}
