//! I12: each outage is noticed, told and logged: its length, how many dials it took, why, and how it ended.

use std::collections::BTreeMap;

use super::case::{Case, Finding};
use crate::chaos::finals::Outage;
use crate::chaos::history::{End, Told, What};

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut finding = Finding::default();
    // Whether the link of a device is live, and was before in this run of it.
    let mut links: BTreeMap<&str, Link> = BTreeMap::new();
    // What was told of outages, and must be in the log in the end: device, time, length, dials.
    let mut told: Vec<(&str, u64, u64, u32)> = Vec::new();
    for record in case.history {
        let who = record.who.as_str();
        match &record.what {
            What::Started => drop(links.remove(who)),
            What::Ended { how } => {
                links.remove(who);
                told.retain(|(device, at_ms, ..)| *device != who || is_written(*how, record.at_ms - at_ms));
            }
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
                        told.extend(was_down.was_live.then_some((who, record.at_ms, *length, *attempts)));
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
    let lost = told.into_iter().filter(|(who, _, length, attempts)| !is_logged(case, who, *length, *attempts));
    let missing =
        |(who, _, length, attempts)| format!("{who}: no outage of {length} ms and {attempts} dials is in its log");
    finding.wrong.extend(lost.map(missing));
    finding.wrong.extend(case.finals.figures.unnoticed.iter().cloned());
    finding.wrong.extend(half_logged(&case.finals.figures.outages));
    finding
}

/// Whether a line of a log is there after the process has ended: nobody waits for the disk to write one.
const fn is_written(how: End, age_ms: u64) -> bool {
    match how {
        End::Stopped => true,
        End::Killed | End::Failed => age_ms >= WRITTEN_MS,
        End::PowerCut | End::Wiped => false,
    }
}

/// On a machine with other things to do a line waits so long for its writer.
const WRITTEN_MS: u64 = 2_000;

#[derive(Default)]
struct Link {
    down: bool,
    was_live: bool,
}

/// Whether the log has this outage; a run of which no log was read says nothing. The player is told a moment later than
/// the log: on a busy machine that is so much.
fn is_logged(case: &Case<'_>, who: &str, length: u64, dials: u32) -> bool {
    let logged = &case.finals.figures.outages;
    let late = case.finals.figures.late_ms;
    let as_long = |outage: &Outage| outage.length_ms.is_some_and(|logged| logged.abs_diff(length) <= late);
    let same = |outage: &Outage| outage.who == who && as_long(outage) && outage.attempts == Some(dials);
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
