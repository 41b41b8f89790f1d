//! After the last fault heals: every link is live in time (L1), every match can be played or is settled in time (L2); and
//! at no time do too many dial (L3).

use super::case::{Case, Finding};

/// A link of who is in a match or has something unsettled.
const LIVE_URGENT_MAX_MS: u64 = 1000;
/// Any other link.
const LIVE_IDLE_MAX_MS: u64 = 6000;
/// Until a link of who is urgent is known to lead nowhere.
const SILENCE_MAX_MS: u64 = 1000;
/// A match, until it is playable at both or settled at both.
const SETTLED_MAX_MS: u64 = 2000;
/// What the ticks of a simulation may add.
const SLACK_MS: u64 = 100;
/// Ways of a message from a dial to a live link.
const WAYS: u64 = 8;
/// Dials of one device in one second. The waits between them are drawn from 0 to 50, 100, 200 and 400 ms, and then from 0
/// to 500: seven or so fit into a second. That 20 of the long ones do has a chance of 2^20/20!, which is below 10^-12; the
/// four before them make 24.
const DIALS_A_SECOND_MAX: u32 = 24;
/// Dials of one device that are under way at once.
const DIALS_AT_ONCE_MAX: u32 = 3;

/// L1. A device of which nobody says whether it is urgent is.
pub(super) fn links(case: &Case<'_>) -> Finding {
    let healed = &case.finals.healed;
    let mut wrong = Vec::new();
    for (device, took) in &healed.live_ms {
        let urgent = healed.urgent.get(device).copied().unwrap_or(true);
        let noticed = if healed.deceived.contains(device) { SILENCE_MAX_MS } else { 0 };
        let max = if urgent { LIVE_URGENT_MAX_MS } else { LIVE_IDLE_MAX_MS } + noticed + WAYS * healed.distance_ms;
        if took.is_none_or(|took| took > max + SLACK_MS) {
            wrong.push(format!(
                "{device} is live {} after the end of the faults; at most {max} ms are allowed",
                shown(*took)
            ));
        }
    }
    Finding { exercised: healed.at_ms.is_some() && !healed.live_ms.is_empty(), wrong }
}

/// L2.
pub(super) fn matches(case: &Case<'_>) -> Finding {
    let healed = &case.finals.healed;
    let max = SETTLED_MAX_MS + WAYS * healed.distance_ms;
    let late = healed.settled_ms.iter().filter(|(_, took)| took.is_none_or(|took| took > max + SLACK_MS));
    let wrong = late.map(|(id, took)| {
        format!(
            "match {id} is playable or settled {} after the end of the faults; at most {max} ms are allowed",
            shown(*took)
        )
    });
    Finding { exercised: healed.at_ms.is_some() && !healed.settled_ms.is_empty(), wrong: wrong.collect() }
}

/// L3.
pub(super) fn storms(case: &Case<'_>) -> Finding {
    let figures = &case.finals.figures;
    let over = |dials: u32, max: u32| dials > max;
    let often = figures.dials_a_second_max.iter().filter(|(_, dials)| over(**dials, DIALS_A_SECOND_MAX));
    let beside = figures.dials_at_once_max.iter().filter(|(_, dials)| over(**dials, DIALS_AT_ONCE_MAX));
    let often = often.map(|(device, dials)| format!("{device} dials {dials} times in a second"));
    let beside = beside.map(|(device, dials)| format!("{device} has {dials} dials side by side"));
    Finding {
        exercised: figures.dials_a_second_max.values().any(|dials| *dials > 0),
        wrong: often.chain(beside).collect(),
    }
}

fn shown(took: Option<u64>) -> String {
    took.map_or("never".to_owned(), |took| format!("{took} ms"))
}
