//! I9: no time runs backwards, and downtime is nobody's fault.

use std::collections::BTreeMap;

use super::case::{Case, Finding};
use crate::chaos::history::{Told, What};

/// How much later than it happens something may be told.
const SLACK_MS: u64 = 100;
/// Of how many hundredths a clock that runs wrong can be wrong.
const DRIFT_PERCENT: u64 = 20;

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut wrong = case.finals.figures.backwards.clone();
    let pairs = case.history.windows(2).filter(|pair| pair[1].at_ms < pair[0].at_ms);
    wrong.extend(pairs.map(|pair| format!("{} ms comes after {} ms", pair[1].at_ms, pair[0].at_ms)));
    let outages = outages(case, &mut wrong);
    let verdicts = reasons(case, &mut wrong);
    Finding { exercised: outages || verdicts, wrong }
}

/// Notes outages that were told with lengths they cannot have had; whether there was one.
fn outages(case: &Case<'_>, wrong: &mut Vec<String>) -> bool {
    // Since when the link can have been down at most, and at least.
    let mut began: BTreeMap<&str, (u64, Option<u64>)> = BTreeMap::new();
    let late = ["pause", "slow-sync"].into_iter().any(|fault| case.struck(fault));
    let mut any = false;
    for record in case.history {
        let (who, now) = (record.who.as_str(), record.at_ms);
        match &record.what {
            What::Started => drop(began.insert(who, (now, None))),
            What::Told { told: Told::Link { state, outage_ms, .. } } if state == "live" => {
                let before = began.insert(who, (now, None));
                let (Some((since, told)), Some(length)) = (before, outage_ms) else { continue };
                any = true;
                let most = now.saturating_sub(since);
                let least = told.map_or(0, |told| now.saturating_sub(told));
                let spare = |span: u64| {
                    SLACK_MS
                        + case.finals.figures.late_ms
                        + if case.struck("clock-drift") { span * DRIFT_PERCENT / 100 } else { 0 }
                };
                if *length > most + spare(most) || (!late && length + spare(least) < least) {
                    wrong
                        .push(format!("{who} tells an outage of {length} ms at {now} ms; it was {least} to {most} ms"));
                }
            }
            What::Told { told: Told::Link { .. } } => {
                let (_, told) = began.entry(who).or_insert((0, None));
                told.get_or_insert(now);
            }
            What::Told { .. }
            | What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Unknown { .. }
            | What::Ended { .. }
            | What::Fault { .. } => {}
        }
    }
    any
}

/// Notes verdicts for any other reason than the board, giving up, or a foul; whether there was a verdict.
fn reasons(case: &Case<'_>, wrong: &mut Vec<String>) -> bool {
    let shown = case.told().filter_map(|(_, record, told)| case.result(record, told));
    let scored = case.finals.ledger.verdicts.iter().map(|scored| (scored.match_id.as_str(), scored.verdict.clone()));
    let mut any = false;
    for (match_id, verdict) in shown.chain(scored) {
        any = true;
        if !["board", "resigned", "foul"].contains(&verdict.why.as_str()) {
            wrong.push(format!("match {match_id} is lost by `{}`", verdict.why));
        }
    }
    any
}
