//! I2: each ply of a match has one value at all honest keepers in the end.
//!
//! Also at keepers that never met again: each seat has one author, who signs once. Only a liar can have shown two keepers
//! two values; then both must know it, as soon as they can hear of each other. The server is asked even if it has lost
//! its disk: what it holds it has from the copy or taken back from the players.

use super::case::{Case, Finding, SERVER};
use crate::chaos::finals::Kept;

pub(super) fn check(case: &Case<'_>) -> Finding {
    let mut finding = Finding::default();
    for match_id in case.matches() {
        let mut holders = case.holders(match_id);
        if let Some(kept) = case.kept(SERVER, match_id).filter(|_| case.is_lost(SERVER)) {
            holders.push((SERVER, kept));
        }
        for (at, (one, mine)) in holders.iter().enumerate() {
            for (other, theirs) in &holders[..at] {
                finding.exercised |= !mine.entries.is_empty() && !theirs.entries.is_empty();
                let Some(why) = differ(mine, theirs)
                    .filter(|why| !by_a_liar(case, match_id, (one, mine), (other, theirs), why.ply))
                else {
                    continue;
                };
                finding.wrong.push(format!("match {match_id}: {other} and {one} differ: {}", why.text));
            }
        }
    }
    finding
}

/// The first difference.
struct Difference {
    /// `None`: not in an entry.
    ply: Option<usize>,
    text: String,
}

fn differ(mine: &Kept, theirs: &Kept) -> Option<Difference> {
    if (&mine.grant, &mine.game) != (&theirs.grant, &theirs.game) {
        return Some(Difference { ply: None, text: "they hold different grants".to_owned() });
    }
    let pairs = mine.entries.iter().zip(&theirs.entries).enumerate();
    let (ply, (here, there)) =
        { pairs }.find(|(_, (a, b))| (&a.act, &a.seat, &a.hash) != (&b.act, &b.seat, &b.hash))?;
    Some(Difference { ply: Some(ply), text: format!("{there:?} and {here:?}") })
}

/// Whether a liar has signed both, and is convicted of it where that can be known.
fn by_a_liar(case: &Case<'_>, match_id: &str, one: (&str, &Kept), other: (&str, &Kept), ply: Option<usize>) -> bool {
    let (Some(players), Some(ply)) = (case.players(match_id), ply) else { return false };
    let seat = ply % 2;
    let known = one.1.fouls[seat] && other.1.fouls[seat];
    case.is_liar(players[seat]) && (known || !case.together(match_id, one.0, other.0))
}
