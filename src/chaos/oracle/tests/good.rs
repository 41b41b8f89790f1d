//! Histories in which nothing is wrong, however much has happened.

use super::*;
use crate::chaos::oracle::CHECKS;

#[test]
fn a_match_that_was_won_and_settled_is_good() {
    World::won().exercises(&["I1", "I2", "I3", "I4", "I5", "I11", "I13", "L1", "L2", "L3", "linear", "I8", "I9"]);
}

#[test]
fn an_empty_run_puts_nothing_to_the_test() {
    let nothing = World::default();
    assert_eq!(nothing.is_good().judged().exercised, Default::default());
}

#[test]
fn every_invariant_is_put_to_the_test_by_some_good_run() {
    let mut world = World::seated();
    world.fault("bad-byte").outage("p0", 90);
    world.plays(1, 1);
    world.says("server", killed());
    world.moves_at("p1", 1, (2, 1), &["server", "p0", "p1"]);
    world.says("server", What::Started);
    world.says("p1", killed()).says("p1", What::Started).link("p1", 30).sits("p1", "O");
    world.plays_all(&X_WINS[2..]);
    world.settle(&by_board("X"));
    let all: Vec<&str> = CHECKS.iter().map(|(invariant, _)| *invariant).collect();
    world.exercises(&all);
}

/// p0 goes on at another device: moves it had made and nobody had are gone, all others stay.
#[test]
fn a_device_may_change_and_take_with_it_what_nobody_else_had() {
    let mut world = World::seated();
    world.plays(1, 1).plays(2, 1);
    world.done("p0", send(2, (3, 3)));
    world.shown("p0", 2, (3, 3), "sent");
    world.kept("p0").entries.push(entry(2, (3, 3)));
    world.board("p0");
    world.says("p0", killed());
    world.finals.wiped.push("p0".to_owned());
    world.says("p0.2", What::Started).link("p0.2", 40).sits("p0.2", "X");
    world.kept("p0.2").entries = world.kept("server").entries.clone();
    for cell in &X_WINS[2..] {
        let ply = u16::try_from(world.kept("server").entries.len()).unwrap();
        let mover = if ply % 2 == 0 { "p0.2" } else { "p1" };
        world.moves_at(mover, ply, *cell, &["server", "p0.2", "p1"]);
    }
    for keeper in ["server", "p0.2", "p1"] {
        regrant(world.kept(keeper), 2, "second grant");
        regrant(world.kept(keeper), 2, "third grant");
        world.kept(keeper).verdict = Some(by_board("X"));
    }
    world.board("p0.2");
    world.score(&by_board("X")).result("p0.2", &by_board("X"), true).result("p1", &by_board("X"), true);
    world.exercises(&["I1", "I2", "I6"]);
}

/// p1 signs two moves at ply 1, shows one to p0 and the other to the server, and is convicted.
#[test]
fn a_liar_is_convicted_and_its_forks_bind_nobody() {
    let mut world = World::seated();
    world.finals.liars.push("p1".to_owned());
    world.plays(1, 1);
    world.shown("p0", 1, (2, 1), "seen");
    world.kept("p0").entries.push(entry(1, (2, 1)));
    world.moves_at("p0", 2, (1, 2), &["p0"]);
    world.kept("server").entries.push(entry(1, (3, 3)));
    for keeper in ["server", "p0"] {
        world.kept(keeper).fouls = [false, true];
    }
    world.result("p0", &by_board("X"), false);
    world.settle(&foul("X"));
    world.exercises(&["I1", "I15"]);
}

/// Only a liar has seen the move, and the disk of who made it is gone: nothing was promised.
#[test]
fn against_a_liar_only_what_is_kept_survives_the_own_disk() {
    let mut world = World::seated();
    world.finals.liars.push("p1".to_owned());
    world.plays(1, 1).plays(2, 1);
    world.moves_at("p0", 2, (3, 3), &["p1"]);
    world.finals.wiped.push("p0".to_owned());
    world.kept("p0").entries.truncate(2);
    world.is_good();
}

#[test]
fn players_who_never_meet_again_keep_what_they_have() {
    let mut world = World::seated();
    world.plays(1, 1);
    world.moves_at("p1", 1, (2, 1), &["p0", "p1"]);
    world.finals.apart = vec![["p0".to_owned(), "server".to_owned()], ["server".to_owned(), "p1".to_owned()]];
    world.is_good();
}

#[test]
fn calls_without_an_answer_may_have_happened_or_not() {
    let mut world = World::seated();
    let op = world.asks("p0", send(0, (1, 1)));
    world.says("p0", What::Unknown { op }).says("p0", killed());
    world.is_good();
    for keeper in ["server", "p0", "p1"] {
        world.kept(keeper).entries.push(entry(0, (1, 1)));
    }
    world.is_good();
}

#[test]
fn a_draw_gives_a_point_to_both_and_giving_up_a_win_to_the_other() {
    let mut world = World::seated();
    for (row, col) in [(1, 1), (2, 2), (3, 3), (1, 2), (3, 2), (3, 1), (1, 3), (2, 3), (2, 1)] {
        world.plays(row, col);
        ["server", "p0", "p1"].iter().for_each(|keeper| chain(world.kept(keeper)));
    }
    world.settle(&Verdict { why: "board".to_owned(), winner: None, void: false });
    world.exercises(&["I4", "I5"]);
    let mut world = World::seated();
    world.plays(1, 1);
    world.done("p1", Call::End { match_id: M.to_owned() });
    for keeper in ["server", "p0", "p1"] {
        let resigns = Entry { act: Act::Resign, ..entry(1, (0, 0)) };
        world.kept(keeper).entries.push(resigns);
    }
    world.board("p0");
    world.settle(&Verdict { why: "resigned".to_owned(), ..by_board("X") });
    world.exercises(&["I4", "I5"]);
}

#[test]
fn what_the_server_did_after_the_copy_may_be_lost_if_it_says_so() {
    let mut world = World::seated();
    let new = "a newer secret".to_owned();
    world.done("p0", Call::Passwd { user: "p0".to_owned(), old: secret("p0"), new: new.clone() });
    world.finals.doors.get_mut("p0").unwrap().shut.push(new);
    world.finals.wiped.push("server".to_owned());
    world.breaks("I8", "nobody has named a loss");
    world.finals.figures.losses_named.push("state-rolled-back".to_owned());
    world.is_good();
}

#[test]
fn two_liars_leave_a_match_that_is_void() {
    let mut world = World::seated();
    world.finals.liars = vec!["p0".to_owned(), "p1".to_owned()];
    world.kept("server").fouls = [true, true];
    world.settle(&Verdict { why: "foul".to_owned(), winner: None, void: true });
    world.exercises(&["I4"]);
    world.finals.ledger.board[0].losses = 1;
    world.breaks("I4", "the server's board has");
}

#[test]
fn what_a_run_did_not_contain_is_not_put_to_the_test() {
    let lacks = |world: &World, invariant: &str| assert!(!world.is_good().judged().exercised.contains(invariant));
    let mut world = World::seated();
    lacks(&world, "I10");
    lacks(&world, "I12");
    lacks(&world, "I14");
    lacks(&world, "I15");
    lacks(&world, "I3");
    lacks(&world, "I2");
    lacks(&world, "linear");
    world.finals.healed.at_ms = None;
    lacks(&world, "L1");
    lacks(&world, "L2");
    world.finals.figures.dials_a_second_max.insert("p0".to_owned(), 0);
    lacks(&world, "L3");
    world.finals.doors.clear();
    lacks(&world, "I8");
    world.done("p0", Call::Logout { user: "p0".to_owned() }).exercises(&["I8"]);
    world.kept("server").entries.push(entry(0, (1, 1)));
    let op = world.asks("p0", send(0, (1, 1)));
    world.says("p0", What::Unknown { op }).exercises(&["I3"]);
    lacks(&world, "I2");
}
