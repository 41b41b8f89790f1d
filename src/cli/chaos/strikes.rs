//! What is known of the faults of a run: each with its state and its evidence, and who is down because of which.
//!
//! What must hold: what cannot be shown to have struck is named as missed and counts for nothing.
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many kinds of faults each place carries out a few")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Resource, Signal};

use super::damage;
use super::network::Counted;
use super::traced::Traced;
use crate::chaos::history::End;
use crate::chaos::proxy::{Passed, Weather};
use crate::chaos::scenario::{Fault, Step};

/// All faults of a run.
#[derive(Default)]
pub(super) struct Strikes {
    /// Each with its repetitions, in the order of the scenario.
    pub(super) all: Vec<Strike>,
    /// What the ways are like by now.
    pub(super) weather: Vec<Weather>,
    /// Processes that are down, and why.
    pub(super) down: BTreeMap<usize, Down>,
    /// Processes that are given little time.
    pub(super) slowed: BTreeSet<usize>,
    /// When the last fault was over.
    pub(super) healed_ms: Option<u64>,
    /// Devices, or the server, that have lost their disk.
    pub(super) wiped: Vec<String>,
    /// Damage that was not named.
    pub(super) believed: Vec<String>,
    /// Processes that were asked to stop for good.
    stopping: BTreeSet<usize>,
}

/// One fault, once.
pub(super) struct Strike {
    pub(super) step: Step,
    pub(super) who: Vec<usize>,
    pub(super) ways: Vec<usize>,
    pub(super) state: State,
    /// Why it is believed to have struck; none so far.
    pub(super) evidence: Option<String>,
    pub(super) before: Vec<Passed>,
    pub(super) limits: Vec<(usize, Resource, Option<u64>)>,
    pub(super) traced: Vec<Traced>,
    /// What the networks of those it is about had counted before.
    pub(super) counted: Vec<Counted>,
    /// Its lines in the history begin here.
    pub(super) on_ms: u64,
    pub(super) lasts_ms: u64,
    /// It waits so long for somebody to strike.
    pub(super) waits_until_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Planned,
    Active,
    /// Its time is over, and not all it took down is up again.
    Healing,
    Over,
}

/// A process that is down.
pub(super) struct Down {
    pub(super) strike: usize,
    pub(super) kind: Fault,
    /// The process has ended.
    pub(super) ended: bool,
    /// It may be started.
    pub(super) healed: bool,
    /// Files that are put back if they are refused.
    pub(super) original: Option<damage::Original>,
}

impl Strikes {
    /// A process will be asked to stop for good.
    pub(super) fn expect_stop(&mut self, who: usize) {
        self.stopping.insert(who);
    }

    /// Whether all is healed.
    pub(super) fn is_over(&self) -> bool {
        self.down.is_empty() && self.all.iter().all(|strike| strike.state == State::Over)
    }

    /// What is broken just now, in words.
    pub(super) fn active(&self) -> Vec<String> {
        let active = self.all.iter().filter(|strike| matches!(strike.state, State::Active | State::Healing));
        active.map(|strike| format!("{} {}", strike.step.kind, strike.step.target)).collect()
    }

    /// Faults that were seen to strike; who stands beside another who is struck counts for nothing.
    pub(super) fn proven(&self) -> u32 {
        u32::try_from(self.all.iter().filter(|strike| strike.evidence.is_some()).count()).unwrap_or(u32::MAX)
    }

    /// Faults that were not seen to strike: what, and when they were tried.
    pub(super) fn missed(&self) -> impl Iterator<Item = (&Step, u64)> {
        self.all.iter().filter(|strike| strike.evidence.is_none()).map(|strike| (&strike.step, strike.on_ms))
    }

    /// How a process ended, if a fault has asked for it; and the evidence that it was the fault.
    pub(super) fn how_it_ended(&mut self, who: usize, status: Option<ExitStatus>) -> Option<End> {
        // Of a process of others nobody is told how it ended; one that was killed is gone.
        let Some(status) = status else {
            let down = self.down.get(&who).filter(|down| down.kind == Fault::Kill)?;
            self.all[down.strike].evidence = Some("gone after signal 9".to_owned());
            return Some(End::Killed);
        };
        if self.stopping.contains(&who) {
            return status.success().then_some(End::Stopped);
        }
        let down = self.down.get(&who)?;
        let strike = &mut self.all[down.strike];
        match down.kind {
            Fault::PlannedRestart => {
                strike.evidence = status.success().then(|| "ended in order".to_owned());
                status.success().then_some(End::Stopped)
            }
            // A server that finds damage says so and ends; so does one whose disk fails.
            _ if status.code() == Some(CODE_DAMAGED) && down.original.is_some() => Some(End::Failed),
            Fault::DiskError | Fault::DiskFull | Fault::ReadOnly | Fault::LittleMemory => {
                strike.evidence = Some(format!("ended: {status}"));
                Some(End::Failed)
            }
            _ => {
                let killed = status.signal() == Some(Signal::KILL.as_raw());
                // With the power it is not the end of the process that counts.
                if killed && down.kind != Fault::PowerCut {
                    strike.evidence = Some("killed by signal 9".to_owned());
                }
                killed.then_some(match down.kind {
                    Fault::Wipe => End::Wiped,
                    Fault::PowerCut => End::PowerCut,
                    _ => End::Killed,
                })
            }
        }
    }
}

/// The exit code of a server that finds its state damaged.
pub(super) const CODE_DAMAGED: i32 = 7;
