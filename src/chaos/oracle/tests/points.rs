//! I4.

use super::*;

#[test]
fn i4_a_match_is_scored_once() {
    let mut world = World::won();
    let again = world.finals.ledger.verdicts[0].clone();
    world.finals.ledger.verdicts.push(again);
    world.breaks("I4", "scored twice");
}

#[test]
fn i4_only_a_foul_corrects_a_verdict() {
    let mut world = World::won();
    let mut other = world.finals.ledger.verdicts[0].clone();
    other.verdict = by_board("O");
    world.finals.ledger.verdicts.insert(0, other);
    world.breaks("I4", "and then as");
    world.finals.ledger.verdicts[0].verdict = Verdict { why: "foul".to_owned(), winner: None, void: true };
    world.breaks("I4", "and then as");
}

#[test]
fn i4_a_correction_takes_the_place_of_the_verdict() {
    let mut world = World::won();
    world.finals.liars.push("p0".to_owned());
    let before = world.finals.ledger.verdicts.clone();
    world.kept("server").fouls = [true, false];
    world.kept("p1").fouls = [true, false];
    world.settle(&foul("O"));
    world.finals.ledger.verdicts.splice(0..0, before);
    world.is_good();
    world.finals.ledger.board[1].points = 2;
    world.breaks("I4", "the server's board has");
}

#[test]
fn i4_the_board_is_the_sum_of_the_verdicts() {
    let spoil: [Spoil<Points>; 4] =
        [|row| row.points += 2, |row| row.wins += 1, |row| row.draws += 1, |row| row.losses += 1];
    for spoil in spoil {
        let mut world = World::won();
        spoil(&mut world.finals.ledger.board[0]);
        world.breaks("I4", "the server's board has");
    }
    let mut world = World::won();
    world.finals.ledger.board.reverse();
    world.breaks("I4", "not in the order");
    let mut world = World::won();
    world.finals.ledger.board.pop();
    world.breaks("I4", "lacks p1");
}

#[test]
fn i4_points_that_an_account_began_with_count() {
    let mut world = World::won();
    world.finals.ledger.imported.insert("p0".to_owned(), 7);
    world.breaks("I4", "the server's board has");
    world.finals.ledger.board[0].points += 7;
    world.leaders("p0").is_good();
}

#[test]
fn i4_the_verdict_is_what_the_evidence_says() {
    let mut world = World::won();
    world.kept("p1").verdict = Some(by_board("O"));
    world.breaks("I4", "p1 has the verdict");
    let mut world = World::seated();
    world.plays(1, 1);
    world.settle(&by_board("X"));
    world.breaks("I4", "its evidence says None");
    let mut world = World::won();
    world.finals.liars.push("p1".to_owned());
    world.kept("p0").fouls = [false, true];
    world.breaks("I4", "p0 has the verdict");
    world.finals.apart = vec![["p0".to_owned(), "server".to_owned()]];
    world.is_good();
}

#[test]
fn i4_what_is_decided_at_the_server_is_scored_there() {
    let mut world = World::won();
    world.kept("server").verdict = None;
    world.breaks("I4", "and has no verdict");
    world.breaks("I4", "and scored is");
    let mut world = World::won();
    world.finals.ledger = Default::default();
    world.breaks("I4", "and scored is None");
}

#[test]
fn i4_what_is_scored_is_there() {
    let mut world = World::won();
    let mut other = world.finals.ledger.verdicts[0].clone();
    other.match_id = "other".to_owned();
    world.finals.ledger.verdicts.push(other);
    world.breaks("I4", "match other is scored and not there");
}

#[test]
fn i4_the_points_told_at_last_are_those_of_the_verdicts() {
    let mut world = World::won();
    let op = world.asks("p1", Call::Ask { word: "leaders".to_owned() });
    let rows = vec![Points { name: "p0".to_owned(), ..Points::default() }];
    world.tells("p1", Told::Leaders { rows }).says("p1", What::Ok { op });
    world.breaks("I4", "what p1 was told at last");
}

#[test]
fn i4_points_told_before_everything_was_settled_are_not_the_last() {
    let mut world = World::seated();
    let none = |name: &str| Points { name: name.to_owned(), ..Points::default() };
    world.plays_all(&X_WINS);
    let (won, rows) = (by_board("X"), vec![none("p0"), none("p1")]);
    let ask = || Call::Ask { word: "leaders".to_owned() };
    world.result("p0", &won, false);
    world.asks("p0", ask());
    world.result("p1", &won, false).tells("p0", Told::Leaders { rows: rows.clone() });
    world.asks("p0", ask());
    world.settle(&won);
    world.history.truncate(world.history.len() - 3);
    world.tells("p0", Told::Leaders { rows: rows.clone() });
    world.is_good();
    world.asks("p0", ask());
    world.result("p1", &won, true).tells("p0", Told::Leaders { rows });
    world.breaks("I4", "what p0 was told at last");
}

#[test]
fn i4_points_told_by_a_server_that_was_restored_lack_what_it_had_lost() {
    let mut world = World::won();
    world.fault("wipe-server");
    let op = world.asks("p1", Call::Ask { word: "leaders".to_owned() });
    let rows = vec![Points { name: "p0".to_owned(), ..Points::default() }];
    world.tells("p1", Told::Leaders { rows }).says("p1", What::Ok { op });
    world.is_good();
}

#[test]
fn i4_points_are_told_at_last_when_all_matches_are_settled() {
    let mut world = World::won();
    let mut other = world.finals.ledger.verdicts[0].clone();
    other.match_id = "other".to_owned();
    world.finals.ledger.verdicts.push(other);
    let kept = world.kept("server").clone();
    world.finals.keepers.get_mut("server").unwrap().matches.insert("other".to_owned(), kept);
    (world.finals.ledger.board[0].points, world.finals.ledger.board[0].wins) = (4, 2);
    world.finals.ledger.board[1].losses = 2;
    let told = |found: &crate::chaos::oracle::Violation| found.why.contains("was told at last");
    assert!(!world.judged().violations.iter().any(told), "nobody was told of the other match");
}
