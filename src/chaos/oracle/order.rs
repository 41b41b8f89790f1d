//! Each match is a register that the calls of `send` lengthen: some order of them that respects their times must give the
//! chain that is left.
//!
//! `send` is answered when the move is signed and on the player's own disk: so one that was answered with ok has happened, one
//! that was refused has not, and one without an answer may have happened at any time after it was asked. A disk that is
//! lost takes with it what was nowhere else.

use std::collections::BTreeMap;

use super::case::{Case, Finding, SERVER};
use super::linear::{Op, linearizes};
use crate::chaos::finals::{Act, Kept};
use crate::chaos::history::{Call, What, player_of};

/// Words of `error` that do not say that nothing was done: the client gave up waiting.
const UNDECIDED: [&str; 1] = ["unanswered"];

pub(super) fn check(case: &Case<'_>) -> Finding {
    let ends = answers(case.history);
    let mut finding = Finding::default();
    for match_id in case.matches() {
        let Some(kept) = reference(case, match_id) else { continue };
        let ops = ops(case, match_id, kept, &ends);
        let sent = ops.iter().any(|op| op.must);
        let step = |plies: &usize, what: &Step<'_>| {
            kept.entries.get(*plies).filter(|_| what.fits(*plies, kept)).map(|_| plies + 1)
        };
        match linearizes(&ops, 0, step, |plies| *plies == kept.entries.len()) {
            Some(true) => finding.exercised |= sent,
            Some(false) => {
                finding.exercised |= sent;
                finding
                    .wrong
                    .push(format!("match {match_id}: no order of the calls gives the chain: {}", why(&ops, kept)));
            }
            None => {}
        }
    }
    finding
}

/// The answer to each command that has one: where it is in the history, and the word of a refusal.
pub(super) fn answers(history: &[crate::chaos::history::Record]) -> BTreeMap<u64, (usize, Option<&str>)> {
    let mut answers = BTreeMap::new();
    for (at, record) in history.iter().enumerate() {
        match &record.what {
            What::Ok { op } => drop(answers.insert(*op, (at, None))),
            What::Fail { op, error } if !UNDECIDED.contains(&error.as_str()) => {
                answers.insert(*op, (at, Some(error.as_str())));
            }
            What::Fail { .. }
            | What::Unknown { .. }
            | What::Invoke { .. }
            | What::Told { .. }
            | What::Started
            | What::Ended { .. }
            | What::Fault { .. } => {}
        }
    }
    answers
}

/// What can lengthen the chain by one.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Send {
        by: &'a str,
        ply: u16,
        row: u16,
        col: u16,
    },
    End {
        by: &'a str,
    },
    /// By somebody whose calls are not known.
    Any {
        ply: usize,
    },
}

impl Step<'_> {
    fn fits(&self, plies: usize, kept: &Kept) -> bool {
        let Some(entry) = kept.entries.get(plies) else { return false };
        let author = &kept.players[plies % 2];
        match *self {
            Self::Send { by, ply, row, col } => {
                author == by && usize::from(ply) == plies && entry.act == Act::Cell(row, col)
            }
            Self::End { by } => author == by && entry.act == Act::Resign,
            Self::Any { ply } => ply == plies,
        }
    }
}

/// The chain that is left: the longest one. In a match with a liar, that of the honest player: beyond a fork the server
/// need not have it.
fn reference<'a>(case: &Case<'a>, match_id: &str) -> Option<&'a Kept> {
    let holders = case.holders(match_id);
    let own = |(keeper, _): &&(&str, &Kept)| *keeper != SERVER || !case.has_liar(match_id);
    holders.iter().filter(own).max_by_key(|(_, kept)| kept.entries.len()).map(|(_, kept)| *kept)
}

fn ops<'a>(
    case: &Case<'a>,
    match_id: &str,
    kept: &'a Kept,
    ends: &BTreeMap<u64, (usize, Option<&str>)>,
) -> Vec<Op<Step<'a>>> {
    let mut ops = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    for (from, record) in case.history.iter().enumerate() {
        let What::Invoke { op, call } = &record.what else { continue };
        let by = player_of(&record.who);
        known.push(by);
        let answer = ends.get(op);
        let refused = answer.is_some_and(|(_, error)| error.is_some());
        match call {
            Call::Send { match_id: id, ply, row, col } if id == match_id && !refused => {
                let until = answer.map(|(until, _)| *until);
                let must = until.is_some() && !case.is_lost(&record.who) && case.is_honest(&record.who);
                let what = Step::Send { by, ply: *ply, row: *row, col: *col };
                ops.push(Op { what, from, until, must });
            }
            // It is signed on the own turn, which may never come.
            Call::End { match_id: id } if id == match_id && !refused => {
                ops.push(Op { what: Step::End { by }, from, until: None, must: false });
            }
            Call::Send { .. }
            | Call::End { .. }
            | Call::AddUser { .. }
            | Call::Login { .. }
            | Call::Passwd { .. }
            | Call::Logout { .. }
            | Call::Begin { .. }
            | Call::Accept { .. }
            | Call::Leave { .. }
            | Call::Ask { .. } => {}
        }
    }
    let stranger = |ply: &usize| {
        let author = kept.players[ply % 2].as_str();
        case.is_liar(author) || !known.contains(&author)
    };
    let free = (0..kept.entries.len()).filter(stranger);
    ops.extend(free.map(|ply| Op { what: Step::Any { ply }, from: 0, until: None, must: false }));
    ops
}

/// The first thing that does not fit, for people.
fn why(ops: &[Op<Step<'_>>], kept: &Kept) -> String {
    let lost = ops.iter().find(|op| op.must && !(0..kept.entries.len()).any(|ply| op.what.fits(ply, kept)));
    let unasked = (0..kept.entries.len()).find(|ply| !ops.iter().any(|op| op.what.fits(*ply, kept)));
    match (lost, unasked) {
        (Some(op), _) => format!("{:?} was done and is not in it", op.what),
        (None, Some(ply)) => format!("ply {ply}, {:?}, was never asked for", kept.entries[ply].act),
        (None, None) => format!("their times do not fit {:?}", kept.entries),
    }
}
