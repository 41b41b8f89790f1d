//! I6: a run that is over, or an owner that was replaced, never writes.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Case, Finding};
use crate::chaos::history::{Told, What, player_of};

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut wrong = case.finals.figures.stale.clone();
    let mut starts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ended: BTreeSet<&str> = BTreeSet::new();
    // The device that has moved last, by match and player.
    let mut owner: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for record in case.history {
        let who = record.who.as_str();
        match &record.what {
            What::Started => {
                *starts.entry(who).or_default() += 1;
                ended.remove(who);
            }
            What::Ended { .. } => drop(ended.insert(who)),
            What::Told { told } => {
                if ended.contains(who) {
                    wrong.push(format!("{who} shows something at {} ms, after its process ended", record.at_ms));
                }
                if let Told::Move { match_id, ply, by, state, .. } = told
                    && by == player_of(who)
                    && state == "sent"
                {
                    let before = owner.insert((match_id, by), who);
                    if let Some(newer) = before.filter(|before| number(before) > number(who)) {
                        wrong.push(format!("match {match_id}: {who} makes ply {ply} after {newer} has taken its seat"));
                    }
                }
            }
            What::Invoke { .. } | What::Ok { .. } | What::Fail { .. } | What::Unknown { .. } | What::Fault { .. } => {}
        }
    }
    let again = starts.iter().any(|(who, count)| *count > 1 || number(who) > 1);
    Finding { exercised: again, wrong }
}

/// Which device of its player.
fn number(device: &str) -> u32 {
    device.split_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
}
