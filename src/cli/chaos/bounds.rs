//! What must hold of a run beside the invariants: times, numbers, and that nobody fell.

use std::collections::BTreeMap;

use super::stage::{SERVER_NAME, Stage};
use crate::chaos::history::{Record, Told, What, player_of};
use crate::chaos::report::{Report, quantile};
use crate::chaos::scenario::{Scenario, Span};
use crate::model::time::ms;

/// What must hold beside the invariants.
pub(super) fn bounds(report: &Report, scenario: &Scenario, stage: &Stage) -> Vec<(String, String, bool)> {
    let mut bounds = Vec::new();
    let back = report.back_ms();
    let mut within = |name: &str, most: Option<Span>, permille| {
        let Some(most) = most else { return };
        let took = quantile(&back, permille);
        let measured = took.map_or_else(|| "nobody was away".to_owned(), |took| format!("{took} ms"));
        bounds.push((format!("{name} within {most}"), measured, took.is_none_or(|took| took <= ms(most.0))));
    };
    within("99 of 100 links are live again", scenario.bounds.recovery_p99, 990);
    within("every link is live again", scenario.bounds.recovery_max, 1_000);
    if let Some(least) = scenario.bounds.finished {
        let finished = report.figures().finished;
        bounds.push((
            format!("at least {least} matches are finished"),
            finished.to_string(),
            finished >= least as usize,
        ));
    }
    if let Some(least) = scenario.bounds.alone {
        let users: Vec<&str> = stage.players.iter().map(|player| player.user.as_str()).collect();
        let fewest = alone(&report.history, &users).into_iter().min().unwrap_or(0);
        bounds.push((
            format!("every pair is shown at least {least} new moves while there is no server"),
            format!("the fewest: {fewest}"),
            fewest >= least,
        ));
    }
    for invariant in &scenario.bounds.exercised {
        let tested = report.verdicts.exercised.contains(invariant);
        bounds.push((format!("{invariant} is put to the test"), String::new(), tested));
    }
    let none = |name: &str, found: &[String]| (name.to_owned(), found.join("; "), found.is_empty());
    bounds.push(none("nobody ends without being asked", &stage.surprises));
    bounds.push(none("nobody panics", &stage.panics()));
    bounds
}

/// For each pair, how many moves were first acknowledged while there was no server.
///
/// A few travel on when the server has just died; players who play on make many.
fn alone(history: &[Record], users: &[&str]) -> Vec<u32> {
    let mut down = false;
    let mut acknowledged = std::collections::BTreeSet::new();
    let mut moves: BTreeMap<String, u32> = BTreeMap::new();
    for record in history {
        let by_server = record.who == SERVER_NAME;
        #[allow(clippy::wildcard_enum_match_arm, reason = "of all that can happen three lines are about this")]
        match &record.what {
            What::Ended { .. } if by_server => down = true,
            What::Started if by_server => down = false,
            What::Told { told: Told::Move { match_id, ply, acknowledged: true, .. } }
                if acknowledged.insert((match_id, ply)) && down =>
            {
                *moves.entry(player_of(&record.who).to_owned()).or_default() += 1;
            }
            _ => {}
        }
    }
    let of = |pair: &[&str]| pair.iter().filter_map(|user| moves.get(*user)).sum();
    users.chunks(2).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::history::End;

    #[test]
    fn moves_count_as_made_alone_once_and_for_their_pair() {
        let record = |who: &str, what| Record { at_ms: 0, who: who.to_owned(), what };
        let shown = |who: &str, ply, acknowledged| {
            let told = Told::Move {
                match_id: "m".to_owned(),
                ply,
                by: "p2".to_owned(),
                row: Some(1),
                col: Some(1),
                resigns: false,
                state: "seen".to_owned(),
                acknowledged,
            };
            record(who, What::Told { told })
        };
        let history = [
            shown("p2", 0, true),
            record(SERVER_NAME, What::Ended { how: End::Killed }),
            shown("p3", 0, true),
            shown("p2", 1, false),
            shown("p2", 2, true),
            shown("p3", 2, true),
            record(SERVER_NAME, What::Started),
            shown("p3", 3, true),
        ];
        assert_eq!(alone(&history, &["p0", "p1", "p2", "p3"]), [0, 1]);
    }
}
