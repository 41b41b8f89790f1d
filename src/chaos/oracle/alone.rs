//! I10: direct play goes on while the server is down, and is settled after.

use std::collections::BTreeSet;

use super::acknowledged::missing;
use super::case::{Ack, Case, Finding, SERVER};
use crate::chaos::history::What;

pub(super) fn check(case: &Case<'_>) -> Finding {
    let acks = alone(case);
    let mut wrong: Vec<String> = acks.iter().flat_map(|ack| missing(case, ack)).collect();
    let matches: BTreeSet<&str> = acks.iter().map(|ack| ack.match_id).collect();
    wrong.extend(matches.into_iter().filter_map(|match_id| unsettled(case, match_id)));
    wrong.sort();
    wrong.dedup();
    Finding { exercised: !acks.is_empty(), wrong }
}

/// Moves that a player was told to be seen while there was no server.
fn alone<'a>(case: &Case<'a>) -> Vec<Ack<'a>> {
    let mut down = false;
    let mut at_down = Vec::with_capacity(case.history.len());
    for record in case.history {
        match &record.what {
            What::Ended { .. } if record.who == SERVER => down = true,
            What::Started if record.who == SERVER => down = false,
            What::Started
            | What::Ended { .. }
            | What::Told { .. }
            | What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Unknown { .. }
            | What::Fault { .. } => {}
        }
        at_down.push(down);
    }
    case.acks().iter().filter(|ack| !ack.kept && at_down[ack.at]).cloned().collect()
}

/// A match that is decided at a player and has no verdict at the server, which could hear of it.
fn unsettled(case: &Case<'_>, match_id: &str) -> Option<String> {
    if case.is_lost(SERVER) {
        return None;
    }
    let verdict = case.kept(SERVER, match_id).and_then(|kept| kept.verdict.as_ref());
    let decided = |(keeper, _): &(&str, &_)| {
        *keeper != SERVER && case.together(match_id, keeper, SERVER) && case.verdict(keeper, match_id).is_some()
    };
    let (keeper, _) = case.holders(match_id).into_iter().find(decided).filter(|_| verdict.is_none())?;
    Some(format!("match {match_id} was played on without the server, is decided at {keeper}, and was never settled"))
}
