//! I12: each outage is told and logged: its length, how many dials it took, why, and how it ended.

use std::collections::BTreeMap;

use super::case::{Case, Finding};
use crate::chaos::finals::Outage;
use crate::chaos::history::{Told, What};

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut finding = Finding::default();
    // Whether the link of a device is live, and was before in this run of it.
    let mut links: BTreeMap<&str, Link> = BTreeMap::new();
    for record in case.history {
        let who = record.who.as_str();
        match &record.what {
            What::Started | What::Ended { .. } => drop(links.remove(who)),
            What::Told { told: Told::Link { state, outage_ms, attempts } } => {
                let link = links.entry(who).or_default();
                if state != "live" {
                    link.down = true;
                    continue;
                }
                let was_down = std::mem::replace(link, Link { down: false, was_live: true });
                if !was_down.down {
                    continue;
                }
                finding.exercised |= was_down.was_live;
                match (outage_ms, attempts) {
                    (Some(length), Some(attempts)) if *attempts > 0 => {
                        let lost = was_down.was_live && !is_logged(case, who, *length, *attempts);
                        let missing = format!("{who}: no outage of {length} ms and {attempts} dials is in its log");
                        finding.wrong.extend(lost.then_some(missing));
                    }
                    (length, dials) => finding.wrong.push(format!(
                        "{who} is live again at {} ms and tells an outage of {length:?} ms and {dials:?} dials",
                        record.at_ms
                    )),
                }
            }
            What::Told { .. }
            | What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Unknown { .. }
            | What::Fault { .. } => {}
        }
    }
    finding.wrong.extend(half_logged(&case.finals.figures.outages));
    finding
}

#[derive(Default)]
struct Link {
    down: bool,
    was_live: bool,
}

/// Whether the log has this outage; a run of which no log was read says nothing.
fn is_logged(case: &Case<'_>, who: &str, length: u64, dials: u32) -> bool {
    let logged = &case.finals.figures.outages;
    let same =
        |outage: &Outage| outage.who == who && outage.length_ms == Some(length) && outage.attempts == Some(dials);
    logged.is_empty() || logged.iter().any(same)
}

/// Lines of the log that do not say all. The last outage of a device may go on.
fn half_logged(outages: &[Outage]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, outage) in outages.iter().enumerate() {
        let goes_on = !outages[at + 1..].iter().any(|later| later.who == outage.who);
        let ended = outage.length_ms.is_some() && outage.attempts.is_some();
        if outage.cause.is_empty() || !(ended || goes_on) {
            wrong.push(format!("an outage is logged without all that belongs to it: {outage:?}"));
        }
    }
    wrong
}
