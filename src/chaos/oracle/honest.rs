//! I15: no honest player is ever convicted.

use super::case::{Case, Finding};
use crate::chaos::finals::Verdict;
use crate::chaos::history::What;

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut finding = Finding::default();
    let died = case.history.iter().any(|record| matches!(record.what, What::Ended { .. }));
    for (keeper, files) in case.finals.keepers.iter().filter(|(keeper, _)| case.is_honest(keeper)) {
        for (match_id, kept) in &files.matches {
            finding.exercised |= !kept.entries.is_empty() && (died || case.has_liar(match_id));
            let convicted = |seat: &usize| kept.fouls[*seat] && is_honest(case, match_id, *seat);
            let told = (0..2).filter(convicted).map(|seat| format!("match {match_id}: {keeper} convicts seat {seat}"));
            finding.wrong.extend(told);
            let ruled = kept.verdict.iter().filter(|verdict| convicts(case, match_id, verdict));
            finding.wrong.extend(ruled.map(|verdict| format!("match {match_id}: {keeper} has {verdict:?}")));
        }
    }
    for (_, record, told) in case.told() {
        let Some((match_id, verdict)) = case.result(record, told) else { continue };
        if convicts(case, match_id, &verdict) {
            finding.wrong.push(format!("match {match_id}: {} was told {verdict:?}", record.who));
        }
    }
    for scored in case.finals.ledger.verdicts.iter().filter(|scored| convicts(case, &scored.match_id, &scored.verdict))
    {
        finding.wrong.push(format!("match {} is scored as {:?}", scored.match_id, scored.verdict));
    }
    finding
}

/// Whether a verdict says of an honest player that it has signed twice.
fn convicts(case: &Case<'_>, match_id: &str, verdict: &Verdict) -> bool {
    let loses = |seat: usize| verdict.winner.as_deref() != Some(super::rules::SEATS[seat]);
    verdict.why == "foul" && (0..2).any(|seat| loses(seat) && is_honest(case, match_id, seat))
}

/// Of a match nobody can tell the players of, everybody is.
fn is_honest(case: &Case<'_>, match_id: &str, seat: usize) -> bool {
    case.players(match_id).is_none_or(|players| !case.is_liar(players[seat]))
}
