//! The oracle: what must never be, and what must be in time (design: I1 to I15, L1 to L3).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::finals::Finals;
use super::history::Record;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// `I1` to `I15`, `L1` to `L3`.
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

/// Judges a run.
#[must_use]
pub fn judge(_history: &[Record], _finals: &Finals) -> Verdicts {
    Verdicts::default()
}
