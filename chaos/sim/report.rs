//! What a run tells.

use std::collections::BTreeSet;

use super::batch::Sum;
use super::human::Phase;
use super::lane::Lane;
use super::plan::Kind;

/// From so many worlds on, what was never met is a failure: the suite then does not do what it says.
pub(crate) const ENOUGH_WORLDS: [(Lane, u64); 2] = [(Lane::Pure, 20_000), (Lane::Full, 2_000)];

/// Prints what came of a batch; whether all is well but for worlds that failed.
pub(crate) fn print(lane: Lane, sum: &Sum, cpu_s: f64) -> bool {
    let simulated_s = sum.simulated_ms as f64 / 1_000.0;
    println!(
        "{} lane: {} worlds in {:.1} s ({:.0} a minute); {:.1} simulated hours, {:.0} simulated s per CPU s; {} failed",
        lane.name(),
        sum.worlds,
        sum.took.as_secs_f64(),
        sum.worlds as f64 / sum.took.as_secs_f64() * 60.0,
        simulated_s / 3_600.0,
        simulated_s / cpu_s.max(0.001),
        sum.failed.len()
    );
    let coverage = &sum.coverage;
    let row = |counts: Vec<(&str, u64)>| {
        counts.iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(" · ")
    };
    println!("  faults: {}", row(coverage.faults.iter().map(|(kind, count)| (*kind, *count)).collect()));
    println!("  met: {}", row(coverage.sometimes.iter().map(|(what, count)| (*what, *count)).collect()));
    println!("  judged: {}", row(coverage.exercised.iter().map(|(what, count)| (what.as_str(), *count)).collect()));
    let never: Vec<&str> =
        lane.sometimes().iter().filter(|what| !coverage.sometimes.contains_key(*what)).copied().collect();
    let never: Vec<&str> = never
        .into_iter()
        .chain(coverage.sometimes.iter().filter(|(_, count)| **count == 0).map(|(what, _)| *what))
        .collect();
    let unhit: Vec<&str> = Kind::SAMPLES
        .iter()
        .filter(|kind| lane.knows(kind) && kind.is_usual() && !coverage.faults.contains_key(kind.name()))
        .map(Kind::name)
        .collect();
    matrix(lane, sum);
    let enough = ENOUGH_WORLDS.iter().any(|(of, worlds)| *of == lane && sum.worlds >= *worlds);
    if !never.is_empty() {
        println!("  never met: {}", never.join(", "));
    }
    if !unhit.is_empty() {
        println!("  never struck: {}", unhit.join(", "));
    }
    !enough || (never.is_empty() && unhit.is_empty())
}

/// Whether a fault can strike there at all: lies are told in a match.
fn can_strike(name: &str, phase: Phase) -> bool {
    let in_match = matches!(phase, Phase::OwnTurn | Phase::OthersTurn | Phase::Decided);
    in_match || !name.starts_with("liar-")
}

/// Faults by how far the players had come; `-` where one cannot strike.
fn matrix(lane: Lane, sum: &Sum) {
    println!("  {:18} {}", "fault × state", Phase::ALL.map(|phase| format!("{:>9}", phase.name())).join(" "));
    let mut empty = Vec::new();
    let struck = |kind: &Kind| sum.coverage.faults.contains_key(kind.name());
    let told = |kind: &&Kind| lane.knows(kind) && (kind.is_usual() || struck(kind));
    let names: BTreeSet<&str> = Kind::SAMPLES.iter().filter(told).map(Kind::name).collect();
    for name in names {
        let count = |phase| sum.coverage.matrix.get(&(name, phase)).copied().unwrap_or(0);
        let can = |phase| count(phase) > 0 || can_strike(name, phase);
        let cell = |phase| if can(phase) { count(phase).to_string() } else { "-".to_owned() };
        println!("  {name:18} {}", Phase::ALL.map(|phase| format!("{:>9}", cell(phase))).join(" "));
        let is_empty = |phase: &&Phase| count(**phase) == 0 && can(**phase);
        empty.extend(Phase::ALL.iter().filter(is_empty).map(|phase| (name, phase.name())));
    }
    let cells: Vec<String> = empty.iter().map(|(name, phase)| format!("{name} × {phase}")).collect();
    println!(
        "  empty cells: {}{}",
        empty.len(),
        if cells.is_empty() { String::new() } else { format!(" ({})", cells.join(", ")) }
    );
}
