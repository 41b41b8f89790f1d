//! I5 and I15.

use super::*;

#[test]
fn i5_keepers_have_one_verdict() {
    let mut world = World::won();
    world.kept("p1").verdict = Some(by_board("O"));
    world.breaks("I5", "server has the verdict");
}

#[test]
fn i5_a_result_that_was_shown_stays() {
    let mut world = World::seated();
    world.plays_all(&X_WINS);
    world.result("p1", &by_board("O"), false);
    world.settle(&by_board("X"));
    world.breaks("I5", "p1 was shown");
    world.finals.wiped.push("p1".to_owned());
    world.is_good();
    world.result("p1", &by_board("O"), true);
    world.breaks("I5", "p1 was shown");
}

#[test]
fn i5_only_a_foul_of_a_liar_changes_a_result() {
    let mut world = World::won();
    world.finals.liars.push("p1".to_owned());
    world.kept("server").fouls = [false, true];
    world.kept("p0").fouls = [false, true];
    world.settle(&foul("X"));
    world.is_good();
    world.result("p0", &by_board("X"), true);
    world.breaks("I5", "p0 was shown");
}

#[test]
fn i5_the_last_result_is_the_servers_verdict() {
    let mut world = World::won();
    world.finals.liars.push("p1".to_owned());
    world.result("p0", &foul("X"), true);
    world.breaks("I5", "at last");
    world.finals.apart.push(["p0".to_owned(), "server".to_owned()]);
    world.finals.apart.push(["p0".to_owned(), "p1".to_owned()]);
    world.is_good();
    let mut world = World::won();
    (world.kept("server").verdict, world.kept("p0").verdict) = (None, None);
    world.breaks("I5", "the server's verdict is None");
}

#[test]
fn i15_no_keeper_and_no_screen_convicts_an_honest_player() {
    let mut world = World::won();
    world.kept("p0").fouls = [false, true];
    world.breaks("I15", "p0 convicts seat 1");
    let mut world = World::won();
    world.kept("server").verdict = Some(foul("X"));
    world.breaks("I15", "server has");
    let mut world = World::won();
    world.result("p1", &foul("X"), false);
    world.breaks("I15", "p1 was told");
    let mut world = World::won();
    world.score(&foul("O"));
    world.breaks("I15", "is scored as");
}

#[test]
fn i15_a_liar_does_not_take_an_honest_player_along() {
    let mut world = World::seated();
    world.finals.liars.push("p1".to_owned());
    world.plays(1, 1);
    for keeper in ["server", "p0"] {
        world.kept(keeper).fouls = [false, true];
    }
    world.settle(&foul("X"));
    world.exercises(&["I15"]);
    world.settle(&Verdict { why: "foul".to_owned(), winner: None, void: true });
    world.breaks("I15", "void: true");
}

/// The server has convicted p1 of a foul; p0 has not heard of it.
fn convicted_elsewhere() -> World {
    let mut world = World::won();
    world.finals.liars.push("p1".to_owned());
    world.kept("server").fouls = [false, true];
    world.kept("server").verdict = Some(foul("X"));
    world.score(&foul("X"));
    world.finals.apart.push(["p0".to_owned(), "server".to_owned()]);
    world
}

#[test]
fn i5_a_correction_need_not_be_where_nobody_can_tell_of_it() {
    let mut world = convicted_elsewhere();
    world.is_good();
    world.finals.apart.clear();
    world.breaks("I5", "server has the verdict");
    world.breaks("I5", "p0 was shown");
    let mut world = convicted_elsewhere();
    world.finals.liars.clear();
    world.breaks("I5", "server has the verdict");
}

#[test]
fn i5_a_disk_that_is_lost_shows_what_it_knew() {
    let mut world = convicted_elsewhere();
    world.finals.apart.clear();
    world.finals.wiped.push("p0".to_owned());
    world.is_good();
}

#[test]
fn i5_devices_of_one_player_need_not_hear_of_a_foul_at_once() {
    let mut world = World::won();
    world.finals.liars.push("p1".to_owned());
    world.result("p0.2", &foul("X"), false).result("p0", &by_board("X"), true);
    assert!(!world.judged().violations.iter().any(|found| found.why.contains("p0 was shown")));
}
