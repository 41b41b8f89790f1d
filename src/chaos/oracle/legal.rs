//! I3: moves are legal, alternate and are chained; and what was shown is what is in the chain.

use super::case::{Case, Finding};
use crate::chaos::history::Told;

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut finding = Finding::default();
    for (keeper, files) in case.finals.keepers.iter().filter(|(keeper, _)| case.is_honest(keeper)) {
        for (match_id, kept) in &files.matches {
            finding.exercised |= !kept.entries.is_empty();
            let wrong = case.played(keeper, match_id).map(|played| &played.wrong);
            finding.wrong.extend(wrong.into_iter().flatten().map(|why| format!("match {match_id} at {keeper}: {why}")));
        }
    }
    for (_, record, told) in case.told() {
        match told {
            Told::Board { match_id, ply, rows } => {
                finding.exercised = true;
                let why = misdrawn(*ply, rows).or_else(|| differs(case, &record.who, match_id, *ply, rows));
                finding.wrong.extend(why.map(|why| format!("match {match_id}: {} was shown {why}", record.who)));
            }
            Told::Move { match_id, ply, by, .. } => {
                let lawful = case.players(match_id).is_none_or(|players| players[usize::from(*ply % 2)] == by);
                if !lawful {
                    finding
                        .wrong
                        .push(format!("match {match_id}: {} was shown ply {ply} as a move of {by}", record.who));
                }
            }
            Told::Link { .. }
            | Told::Match { .. }
            | Told::Result { .. }
            | Told::Suspended { .. }
            | Told::Path { .. }
            | Told::Notice { .. }
            | Told::Leaders { .. }
            | Told::Other => {}
        }
    }
    finding
}

/// Whether the stones cannot be those of so many entries, the last of which may have given up.
fn misdrawn(ply: u16, rows: &[String]) -> Option<String> {
    let count = |letter| rows.iter().flat_map(|row| row.chars()).filter(|stone| *stone == letter).count();
    let [x, o] = [count('X'), count('O')];
    let ply = usize::from(ply);
    let fits = |plies: usize| (x, o) == (plies.div_ceil(2), plies / 2);
    let possible = fits(ply) || (ply > 0 && fits(ply - 1));
    (!possible).then(|| format!("{x} X and {o} O after {ply} plies"))
}

/// Whether the chain on the disk of who was shown it has another board. A disk that is lost, or holds no file of the
/// match, cannot say.
fn differs(case: &Case<'_>, device: &str, match_id: &str, ply: u16, rows: &[String]) -> Option<String> {
    let kept = case.kept(device, match_id).filter(|_| !case.is_lost(device))?;
    match case.played(device, match_id)?.boards.get(usize::from(ply)) {
        Some(board) if board == rows => None,
        Some(board) => Some(format!("{rows:?} after {ply} plies; its chain has {board:?}")),
        None => Some(format!("{ply} plies, and its chain has {}", kept.entries.len())),
    }
}
