//! Whether calls that overlap can have happened one after the other: the search of Wing and Gong, with the memory of Lowe.

use std::collections::BTreeSet;

/// A call: what it does, and when it can have happened.
#[derive(Clone, Debug)]
pub(super) struct Op<T> {
    pub(super) what: T,
    /// When it was asked.
    pub(super) from: usize,
    /// When it was answered; never if `None`: it may happen at any later time.
    pub(super) until: Option<usize>,
    /// Whether it must have happened.
    pub(super) must: bool,
}

/// Steps of one search. One that is longer decides nothing.
const STEPS_MAX: usize = 200_000;

/// Whether some order of the calls leads from `start` to an end, each of those that must happen once, each of the others
/// at most once, and none before one that was answered before it was asked. `None` if the search was given up.
pub(super) fn linearizes<T, S: Clone + Ord>(
    ops: &[Op<T>],
    start: S,
    step: impl Fn(&S, &T) -> Option<S>,
    is_end: impl Fn(&S) -> bool,
) -> Option<bool> {
    let mut seen: BTreeSet<(Vec<u64>, S)> = BTreeSet::new();
    let mut open = vec![(vec![0; ops.len().div_ceil(64)], start)];
    let mut steps = 0;
    while let Some((done, state)) = open.pop() {
        let left = || ops.iter().enumerate().filter(|(at, _)| !has(&done, *at));
        if left().all(|(_, op)| !op.must) && is_end(&state) {
            return Some(true);
        }
        // Nothing that was asked later can come before the first answer that is still due.
        let due = left().filter(|(_, op)| op.must).filter_map(|(_, op)| op.until).min().unwrap_or(usize::MAX);
        let newest = ops.iter().enumerate().filter(|(at, _)| has(&done, *at)).map(|(_, op)| op.from).max().unwrap_or(0);
        let may = left().filter(|(_, op)| op.from < due && op.until.is_none_or(|until| until > newest));
        for (at, op) in may {
            steps += 1;
            if steps > STEPS_MAX {
                return None;
            }
            let Some(after) = step(&state, &op.what) else { continue };
            let mut done = done.clone();
            done[at / 64] |= 1 << (at % 64);
            if seen.insert((done.clone(), after.clone())) {
                open.push((done, after));
            }
        }
    }
    Some(false)
}

fn has(done: &[u64], at: usize) -> bool {
    done[at / 64] & (1 << (at % 64)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls that write a number; the order of what is left.
    fn can_be(ops: &[(u32, usize, Option<usize>, bool)], left: &[u32]) -> bool {
        let ops: Vec<Op<u32>> = ops.iter().map(|&(what, from, until, must)| Op { what, from, until, must }).collect();
        let step = |state: &usize, what: &u32| (left.get(*state) == Some(what)).then_some(state + 1);
        linearizes(&ops, 0, step, |state| *state == left.len()).unwrap()
    }

    #[test]
    fn calls_that_overlap_may_have_any_order_and_others_their_own() {
        let overlap = [(1, 0, Some(3), true), (2, 1, Some(2), true)];
        assert!(can_be(&overlap, &[1, 2]) && can_be(&overlap, &[2, 1]));
        let one_by_one = [(1, 0, Some(1), true), (2, 2, Some(3), true)];
        assert!(can_be(&one_by_one, &[1, 2]) && !can_be(&one_by_one, &[2, 1]));
    }

    #[test]
    fn what_was_not_answered_may_happen_late_or_never_and_what_was_must() {
        let ops = [(1, 0, None, false), (2, 1, Some(2), true)];
        assert!(can_be(&ops, &[1, 2]) && can_be(&ops, &[2, 1]) && can_be(&ops, &[2]));
        assert!(!can_be(&ops, &[1]), "2 must have happened");
        assert!(!can_be(&ops, &[2, 1, 1]), "once");
    }

    #[test]
    fn what_need_not_happen_must_still_happen_in_its_time() {
        let ops = [(1, 0, Some(1), false), (2, 2, Some(3), true)];
        assert!(can_be(&ops, &[1, 2]) && can_be(&ops, &[2]));
        assert!(!can_be(&ops, &[2, 1]));
    }
}
