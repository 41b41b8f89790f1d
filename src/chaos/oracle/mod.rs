//! The oracle: what must never be, and what must be in time (design: I1 to I15, L1 to L3).
//!
//! What must hold: it believes nobody. It has its own rules of the games, its own verdicts and its own sums, imports nothing
//! of this program outside of `chaos`, and each check is a pure function of what was told and what is left. A check that
//! says nothing is wrong also says whether the run has put its invariant to the test at all.
//!
//! ```text
//!  acknowledged I1   agreement I2   legal I3   points I4   results I5   owners I6 I7   doors I8   times I9
//!  alone I10   figures I7 I11 I13 I14   outages I12   honest I15   healing L1 L2 L3   order linear
//! ```

mod acknowledged;
mod agreement;
mod alone;
mod board;
mod case;
mod doors;
mod figures;
mod healing;
mod honest;
mod legal;
mod linear;
mod order;
mod outages;
mod owners;
mod points;
mod results;
mod rules;
#[cfg(test)]
mod tests;
mod times;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::case::{Case, Finding};
use super::finals::Finals;
use super::history::Record;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// `I1` to `I15`, `L1` to `L3`, or `linear`: no order of the calls that respects their times leads to what is left.
    pub invariant: String,
    /// What does not hold, with the values that show it.
    pub why: String,
}

/// The judgement of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// All that was found.
    pub violations: Vec<Violation>,
    /// Invariants that this run has put to the test; the others it says nothing about.
    pub exercised: BTreeSet<String>,
}

type Check = fn(&Case<'_>) -> Finding;

const CHECKS: [(&str, Check); 19] = [
    ("I1", acknowledged::check),
    ("I2", agreement::check),
    ("I3", legal::check),
    ("I4", points::check),
    ("I5", results::check),
    ("I6", owners::check),
    ("I7", figures::sessions),
    ("I8", doors::check),
    ("I9", times::check),
    ("I10", alone::check),
    ("I11", figures::secrets),
    ("I12", outages::check),
    ("I13", figures::sizes),
    ("I14", figures::damage),
    ("I15", honest::check),
    ("L1", healing::links),
    ("L2", healing::matches),
    ("L3", healing::storms),
    ("linear", order::check),
];

/// Judges a run.
#[must_use]
pub fn judge(history: &[Record], finals: &Finals) -> Verdicts {
    let case = Case::new(history, finals);
    let mut verdicts = Verdicts::default();
    for (invariant, check) in CHECKS {
        let Finding { exercised, wrong } = check(&case);
        if exercised {
            verdicts.exercised.insert(invariant.to_owned());
        }
        let named = wrong.into_iter().map(|why| Violation { invariant: invariant.to_owned(), why });
        verdicts.violations.extend(named);
    }
    verdicts
}
