//! I6: a run that is over, or an owner that was replaced, never writes; and nobody sits in two matches (E10).

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Case, Finding, SERVER};
use crate::chaos::history::{Call, Told, What, player_of};

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut wrong = case.finals.figures.stale.clone();
    let mut starts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ended: BTreeSet<&str> = BTreeSet::new();
    // The device that has moved last, by match and player.
    let mut owner: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    // Who has left a device cannot keep it from signing. But nobody takes that.
    let left = case.struck("leave-device");
    // Once a player has come back to a device that was left, numbers of devices do not say whose the seat is.
    let mut returned = false;
    let mut untaken: BTreeSet<(&str, &str, u16)> = BTreeSet::new();
    for record in case.history {
        let who = record.who.as_str();
        match &record.what {
            What::Started => {
                *starts.entry(who).or_default() += 1;
                ended.remove(who);
            }
            What::Ended { .. } => drop(ended.insert(who)),
            What::Told { told } => {
                // A login typed before the device was left may come through late, and the seat is asked for and given there.
                if matches!(told, Told::Notice { code } if code == "seat-taken") {
                    owner.retain(|(_, by), _| *by != player_of(who));
                }
                if matches!(told, Told::Notice { code } if code == "seat-moved") {
                    // From now on it is told of what the newer device has signed at these plies.
                    untaken.retain(|(_, device, _)| *device != who);
                }
                if ended.contains(who) {
                    wrong.push(format!("{who} shows something at {} ms, after its process ended", record.at_ms));
                }
                if let Told::Move { match_id, ply, by, acknowledged: true, .. } = told
                    && by == player_of(who)
                    && untaken.contains(&(match_id, who, *ply))
                {
                    wrong
                        .push(format!("match {match_id}: ply {ply} of {who} counts, whose seat was another's by then"));
                }
                if let Told::Move { match_id, ply, by, state, .. } = told
                    && by == player_of(who)
                    && state == "sent"
                    && !returned
                {
                    if left && owner.get(&(match_id, by)).is_some_and(|newer| number(newer) > number(who)) {
                        untaken.insert((match_id, who, *ply));
                        continue;
                    }
                    untaken.remove(&(match_id, who, *ply));
                    let before = owner.insert((match_id, by), who);
                    if let Some(newer) = before.filter(|before| number(before) > number(who)) {
                        wrong.push(format!("match {match_id}: {who} makes ply {ply} after {newer} has taken its seat"));
                    }
                }
            }
            What::Fault { fault, on: true } if fault == "return-device" => {
                returned = true;
                untaken.clear();
            }
            What::Invoke { .. } | What::Ok { .. } | What::Fail { .. } | What::Unknown { .. } | What::Fault { .. } => {}
        }
    }
    wrong.extend(two_seats(case));
    let again = starts.iter().any(|(who, count)| *count > 1 || number(who) > 1);
    Finding { exercised: again, wrong }
}

/// Devices that are shown a seat in a match while they sit in another one, which is neither over nor left. A server that has
/// lost its state may have forgotten the first, and a liar is told of a match of its own making.
fn two_seats(case: &Case<'_>) -> Vec<String> {
    if case.is_lost(SERVER) {
        return Vec::new();
    }
    let mut seats: BTreeMap<&str, &str> = BTreeMap::new();
    // Before the first link a client shows what its disk has: the server may know better.
    let mut alone: BTreeSet<&str> = BTreeSet::new();
    let mut wrong = Vec::new();
    for record in case.history.iter().filter(|record| case.is_honest(&record.who)) {
        let who = record.who.as_str();
        match &record.what {
            What::Told { told: Told::Match { match_id, .. } } => {
                let before = seats.insert(who, match_id).filter(|before| before != match_id);
                wrong.extend(before.map(|before| format!("{who} is seated in {match_id}, and sits in {before}")));
            }
            What::Told { told: Told::Result { match_id, .. } | Told::Suspended { match_id } } => {
                let _ = seats.remove(who).filter(|seat| seat != match_id).map(|other| seats.insert(who, other));
            }
            What::Told { told: Told::Link { state, .. } } if state == "live" => {
                if alone.remove(who) {
                    seats.remove(who);
                }
            }
            What::Invoke { call: Call::Leave { .. } | Call::Logout { .. } | Call::Login { .. }, .. }
            | What::Ended { .. } => drop(seats.remove(who)),
            What::Started => {
                alone.insert(who);
                seats.remove(who);
            }
            What::Told { .. }
            | What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Unknown { .. }
            | What::Fault { .. } => {}
        }
    }
    wrong
}

/// Which device of its player.
fn number(device: &str) -> u32 {
    device.split_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
}
