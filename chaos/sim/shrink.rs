//! A failing plan becomes a small one that fails in the same way.
//!
//! What must hold: what is kept has been run and has failed by the same invariant.

use super::outcome::Outcome;
use super::plan::{Fault, Plan};

/// The smallest plan that was found, and how many worlds it took.
pub(crate) struct Shrunk {
    pub(crate) plan: Plan,
    pub(crate) worlds: u32,
}

/// Makes `plan` smaller for as long as `goes_on` says so: first fewer faults, then a smaller world, then shorter and
/// earlier faults. `run` runs a world.
pub(crate) fn shrink(plan: &Plan, run: &dyn Fn(&Plan) -> Outcome, goes_on: &dyn Fn() -> bool) -> Shrunk {
    let wanted = invariants(&run(plan));
    let mut best = Shrunk { plan: plan.clone(), worlds: 1 };
    if wanted.is_empty() {
        return best;
    }
    loop {
        let before = best.plan.clone();
        for smaller in candidates(&before) {
            if !goes_on() {
                return best;
            }
            best.worlds += 1;
            // Of several invariants one is enough: the others were its consequences.
            if invariants(&run(&smaller)).iter().any(|found| wanted.contains(found)) {
                best.plan = smaller;
                break;
            }
        }
        if best.plan == before {
            return best;
        }
    }
}

fn invariants(outcome: &Outcome) -> Vec<String> {
    outcome.violations.iter().map(|violation| violation.invariant.clone()).collect()
}

/// Plans that are a step smaller, the boldest first.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut all = Vec::new();
    let count = plan.faults.len();
    // Halves, then single ones.
    for (from, to) in [(0, count / 2), (count / 2, count)] {
        if count > 2 {
            all.push(Plan { faults: without(&plan.faults, from..to), ..plan.clone() });
        }
    }
    all.extend((0..count).map(|at| Plan { faults: without(&plan.faults, at..at + 1), ..plan.clone() }));
    if plan.players > 2 {
        let faults = plan.faults.iter().copied().filter(|fault| fault.kind.fits(2)).collect();
        all.push(Plan { players: 2, faults, ..plan.clone() });
    }
    if plan.matches > 1 {
        all.push(Plan { matches: 1, ..plan.clone() });
    }
    if plan.whims > 0 {
        all.push(Plan { whims: 0, ..plan.clone() });
    }
    if plan.latency_ms != (1, 1) {
        all.push(Plan { latency_ms: (1, 1), ..plan.clone() });
    }
    if let Some(last) = plan.faults.iter().map(|fault| fault.at_ms).max()
        && plan.heal_at_ms > last + 1_500
    {
        all.push(Plan { heal_at_ms: last + 1_000, ..plan.clone() });
    }
    all
}

fn without(faults: &[Fault], gone: std::ops::Range<usize>) -> Vec<Fault> {
    faults.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, fault)| *fault).collect()
}
