//! What came of a world.

use std::collections::BTreeMap;

use rejoin::chaos::oracle::Violation;

use super::human::Phase;

/// What came of one world.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// What does not hold.
    pub(crate) violations: Vec<Violation>,
    /// Simulated time.
    pub(crate) simulated_ms: u64,
    /// Of everything that passed the network, in order; equal for equal worlds.
    pub(crate) hash: u64,
    /// What was met on the way.
    pub(crate) coverage: Coverage,
    /// One line an event, if it was asked for.
    pub(crate) trace: Vec<String>,
}

/// What was met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Coverage {
    /// Faults that struck something, by kind.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// What a suite that is worth its name meets now and then.
    pub(crate) sometimes: BTreeMap<&'static str, u64>,
    /// Faults by how far the players had come when they struck.
    pub(crate) matrix: BTreeMap<(&'static str, Phase), u64>,
    /// Invariants that were put to the test.
    pub(crate) exercised: BTreeMap<String, u64>,
}

impl Coverage {
    /// A fault has really struck.
    pub(crate) fn hit(&mut self, kind: &'static str, phase: Phase) {
        *self.faults.entry(kind).or_default() += 1;
        *self.matrix.entry((kind, phase)).or_default() += 1;
    }

    /// Something was met.
    pub(crate) fn sometimes(&mut self, what: &'static str, met: bool) {
        *self.sometimes.entry(what).or_default() += u64::from(met);
    }

    /// Adds what another world has met.
    pub(crate) fn add(&mut self, other: Self) {
        other.faults.into_iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += count);
        other.sometimes.into_iter().for_each(|(what, count)| *self.sometimes.entry(what).or_default() += count);
        other.matrix.into_iter().for_each(|(cell, count)| *self.matrix.entry(cell).or_default() += count);
        other.exercised.into_iter().for_each(|(what, count)| *self.exercised.entry(what).or_default() += count);
    }
}
