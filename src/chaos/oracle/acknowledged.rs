//! I1: no acknowledged move is lost or changed.
//!
//! A move is acknowledged when two of the three keepers have it. Whoever was told so names two of them: its own disk, and
//! the one that gave the receipt. As long as one of these is honest and has its disk, the move must be there, and at
//! every other keeper that could hear of it. Where both are gone nothing is promised: two disks lost, or the own disk
//! together with a lying opponent, against which only the server's receipt counts.

use std::collections::BTreeMap;

use super::case::{Ack, Case, Finding, SERVER};
use crate::chaos::finals::Act;
use crate::chaos::history::player_of;

pub(super) fn check(case: &Case<'_>) -> Finding {
    let acks = case.acks();
    // A move is told again after each restart; where it must be is the same each time.
    let mut asked: BTreeMap<(&str, &str, u16, bool), Vec<&Ack<'_>>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (at, ack) in acks.iter().enumerate() {
        let before = asked.entry((ack.match_id, ack.device, ack.ply, ack.kept)).or_default();
        if !before.iter().any(|before| (before.by, &before.act) == (ack.by, &ack.act)) {
            before.push(ack);
            wrong.extend(missing(case, ack));
            wrong.extend(changed(case, ack, &acks[..at]));
        }
    }
    wrong.sort();
    wrong.dedup();
    Finding { exercised: !acks.is_empty(), wrong }
}

/// The keepers at which the move is not, and must be.
pub(super) fn missing<'a>(case: &Case<'a>, ack: &Ack<'a>) -> Vec<String> {
    let survivors = survivors(case, ack);
    let mut wrong = Vec::new();
    for keeper in case.keepers_of(ack.match_id) {
        if !case.is_honest(keeper) || case.is_lost(keeper) {
            continue;
        }
        let has_it = survivors.contains(&keeper);
        let hears_of_it = survivors.iter().any(|from| case.together(ack.match_id, from, keeper));
        if !has_it && !hears_of_it {
            continue;
        }
        let Some(kept) = case.kept(keeper, ack.match_id) else {
            if !may_have_no_file(case, keeper) {
                wrong.push(format!("{keeper} has no record of match {}, of which {}", ack.match_id, said(ack)));
            }
            continue;
        };
        // After a conviction a keeper need not take up what the liar alone had a receipt for.
        if !has_it && case.has_convicted_liar(ack.match_id, kept) {
            continue;
        }
        match kept.entries.get(usize::from(ack.ply)) {
            None => wrong.push(format!(
                "{keeper} has {} entries of match {}; {}",
                kept.entries.len(),
                ack.match_id,
                said(ack)
            )),
            Some(entry) if entry.act != ack.act => {
                wrong.push(format!(
                    "{keeper} has {} at ply {} of match {}; {}",
                    shown(&entry.act),
                    ack.ply,
                    ack.match_id,
                    said(ack)
                ));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// Of the keepers that are known to have the move, the honest ones that still have their disk.
fn survivors<'a>(case: &Case<'a>, ack: &Ack<'a>) -> Vec<&'a str> {
    let all = case.keepers_of(ack.match_id);
    let user = player_of(ack.device);
    let others = || all.iter().copied().filter(|keeper| *keeper != SERVER && player_of(keeper) != user);
    let mut holders: Vec<&str> = all.iter().copied().filter(|keeper| *keeper == ack.device).collect();
    if ack.kept {
        holders.extend(all.iter().copied().filter(|keeper| *keeper == SERVER));
    }
    // The author of a move has it, and so has who gives a receipt for it. Which of several devices that was is not known.
    let by_opponent = !ack.kept || ack.by != user;
    if by_opponent && !others().any(|device| case.is_lost(device)) {
        holders.extend(others().take(1));
    }
    holders.retain(|keeper| case.is_honest(keeper) && !case.is_lost(keeper));
    // Who watches at a second device is told of moves that are on other disks.
    holders.retain(|keeper| case.kept(keeper, ack.match_id).is_some() || !may_have_no_file(case, keeper));
    holders
}

/// Whether a match can be missing at a keeper for a reason: who plays at a further device has none of its own until the
/// seat is moved, nor has one whose invitation is accepted again because the server has forgotten the first time; a
/// damaged file is set aside, and one is removed when the clock says that it is old.
fn may_have_no_file(case: &Case<'_>, keeper: &str) -> bool {
    let watches = player_of(keeper) != keeper || (case.is_lost(SERVER) && case.was_noticed(keeper, "seat-elsewhere"));
    keeper != SERVER && (watches || case.struck("rot") || case.struck("clock-jump"))
}

/// Whether somebody was told another value before. The word of a liar's receipt does not bind anybody else.
fn changed(case: &Case<'_>, ack: &Ack<'_>, before: &[Ack<'_>]) -> Option<String> {
    let lies = case.has_liar(ack.match_id);
    let counts = |one: &&Ack<'_>| {
        let same_disk = one.device == ack.device && !case.is_lost(ack.device);
        !lies || same_disk || (one.kept && ack.kept)
    };
    let same_place = |one: &&Ack<'_>| (one.match_id, one.ply) == (ack.match_id, ack.ply);
    let differs = |one: &&Ack<'_>| (one.by, &one.act) != (ack.by, &ack.act);
    let other = before.iter().filter(same_place).filter(counts).find(differs)?;
    Some(format!("{}, and {}", said(other), said(ack)))
}

fn said(ack: &Ack<'_>) -> String {
    let state = if ack.kept { "kept" } else { "seen" };
    format!("{} was told that {} of {} at ply {} is {state}", ack.device, shown(&ack.act), ack.by, ack.ply)
}

fn shown(act: &Act) -> String {
    match act {
        Act::Cell(row, col) => format!("{row},{col}"),
        Act::Resign => "giving up".to_owned(),
    }
}
