//! I5: all honest keepers have the same verdict, and the last result that was shown is it; with two honest players a
//! result that was shown never changes.

use std::collections::BTreeMap;

use super::case::{Case, Finding, SERVER};
use crate::chaos::finals::Verdict;
use crate::chaos::history::{Record, Told};

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut wrong = disagreeing(case);
    let results = results(case);
    for (match_id, shown) in &results {
        wrong.extend(changed(case, match_id, shown));
        wrong.extend(not_the_last(case, match_id, shown));
    }
    let settled = |id: &&str| case.holders(id).iter().any(|(_, kept)| kept.verdict.is_some());
    Finding { exercised: results.keys().any(settled), wrong }
}

/// A result on a screen.
struct Shown<'a> {
    device: &'a str,
    verdict: Verdict,
    /// By the server, or by both players.
    is_final: bool,
    recorded: bool,
}

fn results<'a>(case: &Case<'a>) -> BTreeMap<&'a str, Vec<Shown<'a>>> {
    let mut results: BTreeMap<&str, Vec<Shown<'_>>> = BTreeMap::new();
    for (_, record, told) in case.told() {
        let Told::Result { agreed, recorded, .. } = told else { continue };
        let Some((match_id, verdict)) = case.result(record, told) else { continue };
        let Record { who, .. } = record;
        let shown = Shown { device: who, verdict, is_final: *agreed || *recorded, recorded: *recorded };
        results.entry(match_id).or_default().push(shown);
    }
    results
}

fn disagreeing(case: &Case<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for match_id in case.matches() {
        let ruled: Vec<_> = case.holders(match_id).into_iter().filter(|(_, kept)| kept.verdict.is_some()).collect();
        for (one, mine) in &ruled {
            let Some((other, theirs)) = ruled.first().filter(|(_, theirs)| theirs.verdict != mine.verdict) else {
                continue;
            };
            // A verdict that a liar's foul corrects reaches only those that can be reached.
            if case.has_liar(match_id) && !case.together(match_id, one, other) {
                continue;
            }
            let (mine, theirs) = (&mine.verdict, &theirs.verdict);
            wrong.push(format!("match {match_id}: {other} has the verdict {theirs:?} and {one} has {mine:?}"));
        }
    }
    wrong
}

/// Results of one match that are not the same. What only a disk that is lost knew can have been lost with it, unless it
/// was final.
fn changed(case: &Case<'_>, match_id: &str, shown: &[Shown<'_>]) -> Vec<String> {
    let lies = case.has_liar(match_id);
    let stays = |shown: &&Shown<'_>| shown.is_final || !case.is_lost(shown.device);
    let mut wrong = Vec::new();
    let mut before: Option<&Shown<'_>> = None;
    for next in shown.iter().filter(stays) {
        if let Some(before) = before.filter(|before| before.verdict != next.verdict) {
            // A liar's foul may come to light at any time, and two players need not hear of it at once.
            if !lies || (next.verdict.why != "foul" && before.device == next.device) {
                let (a, b) = (&before.verdict, &next.verdict);
                wrong.push(format!(
                    "match {match_id}: {} was shown {a:?}, and {} was shown {b:?}",
                    before.device, next.device
                ));
            }
        }
        before = Some(next);
    }
    wrong
}

/// Devices whose last recorded result is not the server's verdict.
fn not_the_last(case: &Case<'_>, match_id: &str, shown: &[Shown<'_>]) -> Vec<String> {
    let Some(kept) = case.kept(SERVER, match_id).filter(|_| !case.is_lost(SERVER)) else { return Vec::new() };
    let last: BTreeMap<&str, &Shown<'_>> = shown.iter().map(|shown| (shown.device, shown)).collect();
    let reached = |device: &str| !case.is_lost(device) && case.together(match_id, SERVER, device);
    let differs = |shown: &&Shown<'_>| match &kept.verdict {
        Some(verdict) => shown.verdict != *verdict && reached(shown.device),
        None => shown.recorded,
    };
    let last = last.into_values().filter(differs);
    last.map(|shown| {
        let (device, verdict) = (shown.device, &shown.verdict);
        format!("match {match_id}: {device} was shown {verdict:?} at last; the server's verdict is {:?}", kept.verdict)
    })
    .collect()
}
