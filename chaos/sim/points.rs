//! Crash points: a kill at every operation of a disk and after every send of a match, each in a world of its own.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::lane::Lane;
use super::outcome::Outcome;
use super::plan::{DiskModel, Fault, Host, Kind, Mode, Plan};

/// Points of one kind; a match has fewer.
const POINTS_MAX: u32 = 2_000;

/// Runs them all; whether all is well.
pub(crate) fn all(lane: Option<Lane>, jobs: usize) -> bool {
    let lanes = lane.map_or(Lane::ALL.to_vec(), |lane| vec![lane]);
    let hosts = [Host::Server, Host::Player(0), Host::Player(1)];
    type Make = Box<dyn Fn(u32) -> Kind + Sync>;
    let disk = |host| -> (String, Make) {
        (format!("operations of the disk of {host}"), Box::new(move |after| Kind::AtDisk { host, after }))
    };
    let send =
        |host| -> (String, Make) { (format!("sends of {host}"), Box::new(move |after| Kind::AtSend { host, after })) };
    let all: Vec<(String, Make)> = hosts.into_iter().flat_map(|host| [disk(host), send(host)]).collect();
    let mut well = true;
    for lane in lanes {
        for (what, kind) in &all {
            let (points, failed) = every(lane, kind, jobs);
            println!("{} lane: killed at each of {points} {what}: {} failed", lane.name(), failed.len());
            for (after, outcome) in &failed {
                println!("  at {after}: {:?}", outcome.violations);
            }
            well &= failed.is_empty() && points > 0 && points < POINTS_MAX;
        }
    }
    well
}

/// Kills at 1, 2, 3 … until the match is over before; how many points there are, and which of them fail.
fn every(lane: Lane, kind: &(dyn Fn(u32) -> Kind + Sync), jobs: usize) -> (u32, BTreeMap<u32, Outcome>) {
    let next = AtomicUsize::new(1);
    let (beyond, failed) = (Mutex::new(POINTS_MAX), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let after = u32::try_from(next.fetch_add(1, Ordering::Relaxed)).expect("it is below the maximum");
                    if after >= *beyond.lock().unwrap() {
                        return;
                    }
                    let kind = kind(after);
                    let outcome = lane.run(&plan(kind), false);
                    if outcome.coverage.faults.is_empty() {
                        let mut beyond = beyond.lock().unwrap();
                        *beyond = (*beyond).min(after);
                    }
                    if !outcome.violations.is_empty() {
                        failed.lock().unwrap().insert(after, outcome);
                    }
                }
            });
        }
    });
    (beyond.into_inner().unwrap() - 1, failed.into_inner().unwrap())
}

/// One match in which nothing else happens.
fn plan(kind: Kind) -> Plan {
    Plan {
        seed: 1,
        mode: Mode::CrashPoint,
        focus: super::plan::Focus::Broad,
        players: 2,
        matches: 1,
        game: "tictactoe".to_owned(),
        think_ms: 20,
        latency_ms: (1, 3),
        direct: true,
        whims: 0,
        segment_bytes: 2_000,
        disk: DiskModel::Faulty,
        heal_at_ms: 5_000,
        faults: vec![Fault { at_ms: 0, for_ms: 200, kind }],
    }
}
