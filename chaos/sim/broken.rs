//! Broken builds: how many worlds it takes to find each.
#![allow(clippy::disallowed_methods, reason = "worlds are counted by the clock of the machine")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rejoin::mutant::Mutant;

use super::batch::Batch;
use super::lane::Lane;
use super::plan::Focus;

/// Where a broken build is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    pub(crate) lane: Lane,
    pub(crate) worlds: u64,
    /// Among worlds that look there most; among all of them if `None`.
    pub(crate) focus: Option<Focus>,
}

/// For how long a lane is searched.
const LANE_MAX: Duration = Duration::from_secs(120);
/// What a line with a finding begins with.
const FOUND: &str = "found: ";

/// Runs this program once for each broken build; whether all were found.
pub(crate) fn all(jobs: usize) -> bool {
    if !cfg!(feature = "mutants") {
        eprintln!(
            "broken builds are not in this one: cargo test --release --features mutants --test chaos -- --mutants"
        );
        return false;
    }
    println!("| broken build | lane | worlds | of focus | found by |\n|---|---|---|---|---|");
    let begun = Instant::now();
    let mut needed: Vec<u64> = Vec::new();
    let mut missed: Vec<&str> = Vec::new();
    for mutant in Mutant::ALL {
        let program = std::env::current_exe().expect("this program has a path");
        let mut command = Command::new(program);
        command.args(["--mutant", mutant.name(), "--jobs", &jobs.to_string()]);
        let output = command.stderr(Stdio::null()).output().expect("this program can be started again");
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix(FOUND));
        let words: Vec<&str> = line.map(|line| line.splitn(4, ' ').collect()).unwrap_or_default();
        if let Some(worlds) = words.get(1).and_then(|worlds| worlds.parse().ok()) {
            needed.push(worlds);
            println!("| `{}` | {} |", mutant.name(), words.join(" | "));
        } else {
            missed.push(mutant.name());
            println!("| `{}` | – | **not found** | | |", mutant.name());
        }
    }
    needed.sort_unstable();
    let median = needed.get(needed.len() / 2).copied().unwrap_or(0);
    let took = begun.elapsed().as_secs();
    println!("\n{} of {} found in {took} s, median {median} worlds", needed.len(), Mutant::ALL.len());
    if !missed.is_empty() {
        println!("not found: {}", missed.join(", "));
    }
    missed.is_empty()
}

/// Looks for one broken build, where it is likeliest to be seen or where it is said; whether it was found.
pub(crate) fn one(name: &str, jobs: usize, wanted: Option<Search>) -> bool {
    #[cfg(feature = "mutants")]
    if let Err(error) = rejoin::mutant::choose(name) {
        eprintln!("{error}");
        return false;
    }
    // A world that panics says so in its outcome.
    std::panic::set_hook(Box::new(|_| {}));
    let searches = wanted.map_or_else(|| searches(name), |wanted| vec![wanted]);
    for Search { lane, worlds, focus } in searches {
        let until = Some(Instant::now() + LANE_MAX);
        let batch = Batch { lane, seeds: 0..worlds, players: 2, focus, jobs, until, first_only: true };
        let sum = batch.run();
        if let Some((seed, outcome)) = sum.failed.first_key_value() {
            let mut invariants: Vec<&str> =
                outcome.violations.iter().map(|violation| violation.invariant.as_str()).collect();
            invariants.dedup();
            let focus = focus.map_or("usual", Focus::name);
            println!("{FOUND}{} {} {focus} {}", lane.name(), seed + 1, invariants.join(" "));
            outcome.violations.iter().for_each(|violation| println!("  {}: {}", violation.invariant, violation.why));
            return true;
        }
    }
    println!("{name} was not found");
    false
}

/// First the worlds that look where the rule matters, then all.
fn searches(name: &str) -> Vec<Search> {
    let focused = Mutant::from_name(name).and_then(focus_of).map(|focus| Search {
        lane: Lane::Pure,
        worlds: 10_000,
        focus: Some(focus),
    });
    let rest = [(Lane::Pure, 40_000), (Lane::Full, 2_000)];
    focused.into_iter().chain(rest.map(|(lane, worlds)| Search { lane, worlds, focus: Some(Focus::Any) })).collect()
}

/// What a world must do more of for the rule to matter. Whatever has the same focus is searched in the same worlds, which
/// every run has among its own.
const fn focus_of(mutant: Mutant) -> Option<Focus> {
    Some(match mutant {
        Mutant::SyncSkipped
        | Mutant::SyncErrorIgnored
        | Mutant::StoreNamesNotSynced
        | Mutant::ClientNamesNotSynced
        | Mutant::TornTailKept
        | Mutant::FrameChecksumUnchecked
        | Mutant::RotTakenForTorn
        | Mutant::BatchTorn
        | Mutant::SegmentsDroppedEarly
        | Mutant::SnapshotNotSynced
        | Mutant::VerdictsNotInSnapshot
        | Mutant::NothingPruned
        | Mutant::AckBeforeSync
        | Mutant::BootNotRaised
        | Mutant::UptimeForgotten => Focus::Disks,
        Mutant::ReceiptWhileRecovering | Mutant::GrantWhileRecovering | Mutant::StaleHaveCounts => Focus::Recovery,
        Mutant::RequestsDoneTwice
        | Mutant::AnswersForgotten
        | Mutant::AnswersUnbounded
        | Mutant::OldPasswordStays
        | Mutant::LogoutForgotten
        | Mutant::OldSessionKept
        | Mutant::OneMatchUnchecked
        | Mutant::LeavingLoses
        | Mutant::TurnUnchecked
        | Mutant::ResignsOffTurn => Focus::Whims,
        Mutant::ReplayedResumeTaken
        | Mutant::TwoConnectionsLive
        | Mutant::BackOffResetEarly
        | Mutant::NoBackOff
        | Mutant::BackOffCapWrong
        | Mutant::SilenceIgnoredByClient
        | Mutant::SilenceIgnoredByServer
        | Mutant::SilenceIgnoredBetweenPlayers
        | Mutant::LacksNotSent => Focus::Links,
        Mutant::PromiseSkipped | Mutant::OwnEntriesRefused | Mutant::TakesAfterPromise | Mutant::SignsAfterPromise => {
            Focus::Seats
        }
        Mutant::CorrectionScoredTwice
        | Mutant::StaleEpochTaken
        | Mutant::SecondEntryKept
        | Mutant::FoulDropped
        | Mutant::PrevUnchecked
        | Mutant::VerdictBelieved => Focus::Liars,
        Mutant::SendBeforeSync | Mutant::SignsUnanswered => Focus::Keepers,
        Mutant::LossUnnoticed
        | Mutant::SessionWrittenLate
        | Mutant::VerdictScoredAgain
        | Mutant::NotForwarded
        | Mutant::DuplicateConvicts
        | Mutant::MovesOfOthersNotWritten
        | Mutant::KeyOutsideTheFile
        | Mutant::RecordedEarly
        | Mutant::KeptEarly
        | Mutant::DecidedDropped
        | Mutant::DirectNeedsServer
        | Mutant::AbandonedDialKept => return None,
    })
}
