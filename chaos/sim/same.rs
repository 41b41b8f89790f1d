//! Determinism: a seed is the same world in another process and in another order.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::batch::plan;
use super::lane::Lane;

/// Prints seed and hash of each world, the last one first.
pub(crate) fn print(lane: Lane, seeds: Range<u64>, players: u8) {
    for seed in seeds.rev() {
        println!("{HASH}{seed} {:016x}", hash(lane, seed, players));
    }
}

/// What a line with a hash begins with.
const HASH: &str = "hash: ";

fn hash(lane: Lane, seed: u64, players: u8) -> u64 {
    lane.run(&plan(lane, seed, players, None), false).hash
}

/// Runs the worlds here on some threads, and in another process one by one from the last; whether each is the same.
pub(crate) fn check(lane: Lane, seeds: Range<u64>, players: u8, jobs: usize) -> bool {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    let count = seeds.end - seeds.start;
    command.args(["--lane", lane.name(), "--from", &seeds.start.to_string(), "--hashes", &count.to_string()]);
    command.args(["--players", &players.to_string()]).stdout(std::process::Stdio::piped());
    let other = command.spawn().expect("this program can be started again");
    let (next, here) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let hash = hash(lane, seed, players);
                    here.lock().unwrap().insert(seed, hash);
                }
            });
        }
    });
    let output = other.wait_with_output().expect("it was started");
    let text = String::from_utf8_lossy(&output.stdout);
    let there: BTreeMap<u64, u64> = text.lines().filter_map(|line| parse(line.strip_prefix(HASH)?)).collect();
    let here = here.into_inner().unwrap();
    let differ: Vec<u64> = here.iter().filter(|(seed, hash)| there.get(seed) != Some(hash)).map(|of| *of.0).collect();
    let different: std::collections::BTreeSet<u64> = here.values().copied().collect();
    println!(
        "{} lane: {} worlds in two processes and two orders, {} hashes differ; {} different hashes in all",
        lane.name(),
        here.len(),
        differ.len(),
        different.len()
    );
    if !differ.is_empty() {
        println!("FAILED: seeds {differ:?}");
    }
    // Worlds that are all alike would show nothing.
    differ.is_empty() && here.len() as u64 == count && different.len() > here.len() / 2
}

fn parse(line: &str) -> Option<(u64, u64)> {
    let (seed, hash) = line.split_once(' ')?;
    Some((seed.parse().ok()?, u64::from_str_radix(hash, 16).ok()?))
}
