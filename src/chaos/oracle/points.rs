//! I4: a match scores by its one standing verdict, and the leaderboard is the sum of these.

use std::collections::BTreeMap;

use super::case::{Case, Finding, SERVER};
use super::rules;
use crate::chaos::finals::{Scored, Verdict};
use crate::chaos::history::{Call, Points, Record, Told, What};

/// Points of a match won and drawn.
const WIN: u32 = 2;
const DRAW: u32 = 1;

pub(super) fn check(case: &Case<'_>) -> Finding {
    let ledger = &case.finals.ledger;
    let mut wrong = scored_twice(&ledger.verdicts);
    let standing = standing(&ledger.verdicts);
    wrong.extend(unfounded(case, &standing));
    let points = fold(case, &standing);
    wrong.extend(differs(&points, &ledger.board, "the server's board"));
    // Who has points in no account: the account was lost with the disk.
    let unknown = |name: &&&str| !ledger.board.iter().any(|row| row.name == ***name) && !case.is_lost(SERVER);
    wrong.extend(points.keys().filter(unknown).map(|name| format!("the server's board lacks {name}")));
    if let Some((who, rows)) = last_leaders(case, &standing) {
        wrong.extend(differs(&points, rows, &format!("what {who} was told at last")));
    }
    Finding { exercised: !ledger.verdicts.is_empty(), wrong }
}

/// Verdicts of a match after its first that correct nothing: only a foul can, and only once a verdict.
fn scored_twice(verdicts: &[Scored]) -> Vec<String> {
    let mut before: BTreeMap<&str, &Verdict> = BTreeMap::new();
    let mut wrong = Vec::new();
    for scored in verdicts {
        let id = scored.match_id.as_str();
        match before.insert(id, &scored.verdict) {
            Some(old) if *old == scored.verdict => wrong.push(format!("match {id} is scored twice as {old:?}")),
            Some(old) if scored.verdict.why != "foul" || old.void => {
                wrong.push(format!("match {id} is scored as {old:?} and then as {:?}", scored.verdict));
            }
            Some(_) | None => {}
        }
    }
    wrong
}

/// The last verdict of each match.
fn standing(verdicts: &[Scored]) -> BTreeMap<&str, &Scored> {
    verdicts.iter().map(|scored| (scored.match_id.as_str(), scored)).collect()
}

/// Where the verdict is not what the evidence beside it says.
fn unfounded(case: &Case<'_>, standing: &BTreeMap<&str, &Scored>) -> Vec<String> {
    let mut wrong = Vec::new();
    for match_id in case.matches() {
        for (keeper, kept) in case.holders(match_id) {
            let said = case.verdict(keeper, match_id);
            let stale = keeper != SERVER && kept.fouls != [false; 2] && !case.together(match_id, SERVER, keeper);
            match &kept.verdict {
                Some(verdict) if said.as_ref() != Some(verdict) && !stale => {
                    wrong.push(format!(
                        "match {match_id}: {keeper} has the verdict {verdict:?}; its evidence says {said:?}"
                    ));
                }
                None if keeper == SERVER && said.is_some() => {
                    wrong.push(format!("match {match_id} is decided at the server as {said:?}, and has no verdict"));
                }
                Some(_) | None => {}
            }
            let scored = standing.get(match_id).map(|scored| &scored.verdict);
            if keeper == SERVER && kept.verdict.as_ref() != scored {
                wrong.push(format!("match {match_id}: the verdict is {:?} and scored is {scored:?}", kept.verdict));
            }
        }
    }
    let known = |id: &&str| case.is_lost(SERVER) || case.kept(SERVER, id).is_some();
    wrong.extend(standing.keys().filter(|id| !known(id)).map(|id| format!("match {id} is scored and not there")));
    wrong
}

fn fold<'a>(case: &Case<'a>, standing: &BTreeMap<&str, &'a Scored>) -> BTreeMap<&'a str, Points> {
    let mut points: BTreeMap<&str, Points> = BTreeMap::new();
    for (name, began) in &case.finals.ledger.imported {
        points.entry(name).or_default().points += began;
    }
    for Scored { players, verdict, .. } in standing.values() {
        for (seat, name) in players.iter().enumerate() {
            let row = points.entry(name).or_default();
            match &verdict.winner {
                _ if verdict.void => {}
                None => (row.points, row.draws) = (row.points + DRAW, row.draws + 1),
                Some(winner) if winner == rules::SEATS[seat] => {
                    (row.points, row.wins) = (row.points + WIN, row.wins + 1)
                }
                Some(_) => row.losses += 1,
            }
        }
    }
    points.into_iter().map(|(name, row)| (name, Points { name: name.to_owned(), ..row })).collect()
}

fn differs(points: &BTreeMap<&str, Points>, rows: &[Points], whose: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in rows {
        let none = Points { name: row.name.clone(), ..Points::default() };
        let due = points.get(row.name.as_str()).unwrap_or(&none);
        if due != row {
            wrong.push(format!("{whose} has {row:?}; the verdicts make it {due:?}"));
        }
    }
    if !rows.is_sorted_by_key(|row| std::cmp::Reverse(row.points)) {
        wrong.push(format!("{whose} is not in the order of the points"));
    }
    wrong
}

/// The last leaderboard that was asked for after every verdict had been told, if there is one.
fn last_leaders<'a>(case: &Case<'a>, standing: &BTreeMap<&str, &Scored>) -> Option<(&'a str, &'a [Points])> {
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    let mut told: BTreeMap<&str, (usize, Verdict)> = BTreeMap::new();
    let mut last = None;
    for (at, record) in case.history.iter().enumerate() {
        let Record { who, what, .. } = record;
        match what {
            What::Invoke { call: Call::Ask { word }, .. } if word == "leaders" => drop(asked.insert(who, at)),
            What::Told { told: Told::Leaders { rows } } => {
                let since = asked.get(who.as_str()).copied();
                let settled = |(id, scored): (&&str, &&Scored)| {
                    told.get(*id).is_some_and(|(when, verdict)| Some(*when) < since && *verdict == scored.verdict)
                };
                last = standing.iter().all(settled).then_some((who.as_str(), rows.as_slice()));
            }
            What::Told { told: shown @ Told::Result { recorded: true, .. } } => {
                if let Some((id, verdict)) = case.result(record, shown).filter(|_| case.is_honest(who)) {
                    let when = told.get(id).filter(|(_, before)| *before == verdict).map_or(at, |(when, _)| *when);
                    told.insert(id, (when, verdict));
                }
            }
            // What was on record is lost with the disk, until the players bring it again.
            What::Fault { fault, on: true } if fault == "wipe-server" => {
                told.clear();
                last = None;
            }
            What::Told { .. }
            | What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Unknown { .. }
            | What::Started
            | What::Ended { .. }
            | What::Fault { .. } => {}
        }
    }
    last
}
