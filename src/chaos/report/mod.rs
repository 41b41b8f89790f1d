//! The report of a run: one file that shows what broke, what was noticed, and what was proved.
//!
//! What must hold: it is made from the history and the judgement alone; what was not put to the test is called so, and
//! never passed.
#![allow(clippy::wildcard_enum_match_arm, reason = "of all that can happen each place looks at a few kinds")]

mod page;
mod timeline;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::finals::Finals;
use super::history::{Record, Told, What, player_of};
use super::oracle::Verdicts;

pub use page::html;

/// All that a report is made from; `report.json` is this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of the scenario.
    pub name: String,
    /// What it shows.
    pub about: String,
    /// What to type to run it again.
    pub command: String,
    /// What the run drew its chances from.
    pub seed: u64,
    /// Processors, system, program.
    pub machine: String,
    /// When it began, for people.
    pub began: String,
    /// How long it took.
    pub length_ms: u64,
    /// What happened.
    pub history: Vec<Record>,
    /// What was left.
    pub finals: Finals,
    /// What the oracle says.
    pub verdicts: Verdicts,
    /// What a bound of the scenario says, beside the invariants: name, what was measured, whether it holds.
    pub bounds: Vec<(String, String, bool)>,
    /// Faults that were to be and could not: which, and why.
    pub skipped: Vec<(String, String)>,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All that was put to the test holds, and nothing was skipped.
    Held,
    /// Something does not hold.
    Violated,
    /// Nothing was found, but not all was put to the test.
    Inconclusive,
}

/// One invariant in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Put to the test, and held.
    Pass,
    /// Does not hold.
    Fail,
    /// The run says nothing about it.
    NotExercised,
}

/// One outage of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Whose.
    pub who: String,
    /// From the last moment of the link.
    pub from_ms: u64,
    /// To the first moment it was live again; the end of the run if it never was.
    pub to_ms: u64,
    /// Dials.
    pub attempts: Option<u32>,
    /// Whether it came back.
    pub over: bool,
}

/// What was counted in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Different moves that somebody was told are acknowledged.
    pub acknowledged: usize,
    /// Different matches whose result somebody was told is recorded.
    pub finished: usize,
    /// Faults that struck.
    pub faults: usize,
}

/// The invariants, and what each promises.
pub const INVARIANTS: &[(&str, &str)] = &[
    ("I1", "an acknowledged move is never lost or changed"),
    ("I2", "each move of a match has one value at all keepers"),
    ("I3", "moves are legal, alternate and are chained"),
    ("I4", "a match scores by its one verdict; the leaderboard is the sum of the verdicts"),
    ("I5", "all keepers have the same verdict, and it is the one last shown"),
    ("I6", "a stale run or owner never writes"),
    ("I7", "a session is live on one connection; a replayed resume is refused"),
    ("I8", "an acknowledged adduser, passwd or logout holds after any crash"),
    ("I9", "no time runs backwards"),
    ("I10", "direct play goes on while the server is down, and is settled after"),
    ("I11", "no secret in clear, anywhere"),
    ("I12", "each outage is logged with its cause, attempts and outcome"),
    ("I13", "queues, files and memory stay bounded"),
    ("I14", "damage is detected, never answered as truth"),
    ("I15", "no honest player is convicted"),
    ("L1", "links are live within a second after the last fault"),
    ("L2", "matches are playable or settled within two seconds"),
    ("L3", "nobody dials too often"),
];

impl Report {
    /// What came of the run.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let broken = !self.verdicts.violations.is_empty() || self.bounds.iter().any(|(_, _, holds)| !holds);
        match broken {
            true => Verdict::Violated,
            false if self.skipped.is_empty() && !self.verdicts.exercised.is_empty() => Verdict::Held,
            false => Verdict::Inconclusive,
        }
    }

    /// How one invariant stands, and why it fails.
    #[must_use]
    pub fn standing(&self, invariant: &str) -> (Standing, Vec<&str>) {
        let of_it = self.verdicts.violations.iter().filter(|violation| violation.invariant == invariant);
        let why: Vec<&str> = of_it.map(|violation| violation.why.as_str()).collect();
        let standing = match (why.is_empty(), self.verdicts.exercised.contains(invariant)) {
            (false, _) => Standing::Fail,
            (true, true) => Standing::Pass,
            (true, false) => Standing::NotExercised,
        };
        (standing, why)
    }

    /// All outages, in the order of their beginnings.
    #[must_use]
    pub fn outages(&self) -> Vec<Outage> {
        outages(&self.history, self.length_ms)
    }

    /// Lengths of the outages that are over, in milliseconds, the shortest first.
    #[must_use]
    pub fn recoveries_ms(&self) -> Vec<u64> {
        let over = self.outages().into_iter().filter(|outage| outage.over);
        let mut lengths: Vec<u64> = over.map(|outage| outage.to_ms - outage.from_ms).collect();
        lengths.sort_unstable();
        lengths
    }

    /// How long the links that were away took to be live again once the fault was over, in milliseconds, the shortest
    /// first; from the loss of the link where no fault ended meanwhile.
    #[must_use]
    pub fn back_ms(&self) -> Vec<u64> {
        let over = |record: &&Record| matches!(record.what, What::Fault { on: false, .. });
        let ends: Vec<u64> = self.history.iter().filter(over).map(|record| record.at_ms).collect();
        let back = |outage: &Outage| {
            let within = ends.iter().filter(|end| (outage.from_ms..=outage.to_ms).contains(end));
            outage.to_ms - within.max().copied().unwrap_or(outage.from_ms)
        };
        let mut back: Vec<u64> = self.outages().iter().filter(|outage| outage.over).map(back).collect();
        back.sort_unstable();
        back
    }

    /// What was counted.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        let (mut moves, mut matches) = (BTreeSet::new(), BTreeSet::new());
        for record in &self.history {
            match &record.what {
                What::Told { told: Told::Move { match_id, ply, acknowledged: true, .. } } => {
                    moves.insert((match_id, ply));
                }
                What::Told { told: Told::Result { match_id, recorded: true, .. } } => {
                    matches.insert(match_id);
                }
                What::Fault { on: true, .. } => figures.faults += 1,
                _ => {}
            }
        }
        (figures.acknowledged, figures.finished) = (moves.len(), matches.len());
        figures
    }

    /// How often each fault struck while the players were so far: moves of all matches under way, in words.
    #[must_use]
    pub fn matrix(&self) -> BTreeMap<(String, &'static str), u32> {
        let mut matrix = BTreeMap::new();
        let mut tables = BTreeMap::<&str, &'static str>::new();
        for record in &self.history {
            match &record.what {
                What::Fault { fault, on: true } => {
                    for state in tables.values() {
                        *matrix.entry((fault.clone(), *state)).or_default() += 1;
                    }
                    if tables.is_empty() {
                        *matrix.entry((fault.clone(), STATES[0])).or_default() += 1;
                    }
                }
                What::Told { told } => {
                    let state = match told {
                        Told::Match { .. } => Some(STATES[1]),
                        Told::Move { state, .. } if state == "sent" => Some(STATES[2]),
                        Told::Move { .. } => Some(STATES[3]),
                        Told::Result { recorded: false, .. } => Some(STATES[4]),
                        Told::Result { recorded: true, .. } => Some(STATES[0]),
                        _ => None,
                    };
                    if let Some(state) = state {
                        tables.insert(player_of(&record.who), state);
                    }
                }
                _ => {}
            }
        }
        matrix
    }
}

/// How far a player is when a fault strikes.
pub const STATES: [&str; 5] =
    ["no match", "match begun", "move on its way", "move acknowledged", "result not recorded"];

/// The value that so many of 1,000 do not pass.
#[must_use]
pub fn quantile(sorted: &[u64], permille: usize) -> Option<u64> {
    let rank = (sorted.len() * permille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied()
}

fn outages(history: &[Record], end_ms: u64) -> Vec<Outage> {
    let mut open = BTreeMap::<&str, u64>::new();
    let mut been_live = BTreeMap::<&str, bool>::new();
    let mut all = Vec::new();
    for record in history {
        let What::Told { told: Told::Link { state, attempts, outage_ms } } = &record.what else { continue };
        let who = record.who.as_str();
        if state != "live" {
            // Before the first link there is nothing to lose.
            if been_live.contains_key(who) {
                open.entry(who).or_insert(record.at_ms);
            }
            continue;
        }
        been_live.insert(who, true);
        if let Some(from_ms) = open.remove(who) {
            // The player's own clock knows better when it began.
            let from_ms = outage_ms.map_or(from_ms, |length| record.at_ms.saturating_sub(length));
            let outage = Outage { who: who.to_owned(), from_ms, to_ms: record.at_ms, attempts: *attempts, over: true };
            all.push(outage);
        }
    }
    let left = open.into_iter().map(|(who, from_ms)| {
        let to_ms = end_ms.max(from_ms);
        Outage { who: who.to_owned(), from_ms, to_ms, attempts: None, over: false }
    });
    all.extend(left);
    all.sort_by_key(|outage| outage.from_ms);
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::super::oracle::Violation;
    use super::*;

    fn link(at_ms: u64, state: &str, outage_ms: Option<u64>) -> Record {
        let attempts = outage_ms.map(|_| 3);
        let told = Told::Link { state: state.to_owned(), outage_ms, attempts };
        Record { at_ms, who: "p0".to_owned(), what: What::Told { told } }
    }

    #[test]
    fn an_outage_lasts_from_the_loss_until_the_link_is_live() {
        let history = [
            link(0, "dialing", None),
            link(10, "live", None),
            link(1_000, "down", None),
            link(1_010, "dialing", None),
            link(1_200, "live", Some(210)),
            link(5_000, "down", None),
        ];
        let report = Report { history: history.to_vec(), length_ms: 6_000, ..Report::default() };
        let outage = |from_ms, to_ms, attempts, over| Outage { who: "p0".to_owned(), from_ms, to_ms, attempts, over };
        assert_eq!(report.outages(), [outage(990, 1_200, Some(3), true), outage(5_000, 6_000, None, false)]);
        assert_eq!(report.recoveries_ms(), [210]);
    }

    #[test]
    fn what_was_skipped_or_not_tested_is_no_pass() {
        let mut report = Report::default();
        assert_eq!(report.verdict(), Verdict::Inconclusive);
        report.verdicts.exercised.insert("I1".to_owned());
        assert_eq!(report.verdict(), Verdict::Held);
        assert_eq!((report.standing("I1").0, report.standing("I2").0), (Standing::Pass, Standing::NotExercised));
        report.skipped.push(("power-cut".to_owned(), "needs root".to_owned()));
        assert_eq!(report.verdict(), Verdict::Inconclusive);
        let violation = Violation { invariant: "I1".to_owned(), why: "gone".to_owned() };
        report.verdicts.violations.push(violation);
        assert_eq!((report.verdict(), report.standing("I1")), (Verdict::Violated, (Standing::Fail, vec!["gone"])));
    }

    #[test]
    fn quantiles_are_values_that_were_there() {
        assert_eq!(quantile(&[], 500), None);
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!([500, 990, 1_000].map(|permille| quantile(&hundred, permille)), [Some(50), Some(99), Some(100)]);
        assert_eq!(quantile(&[7], 1), Some(7));
    }
}
