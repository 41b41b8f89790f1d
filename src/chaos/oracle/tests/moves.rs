//! I1, I2, I3, I10 and the order of the calls.

use super::*;

#[test]
fn i1_a_kept_move_that_the_server_lacks_is_lost() {
    let mut world = World::won();
    world.kept("server").entries.pop();
    world.breaks("I1", "server has 4 entries");
}

#[test]
fn i1_a_seen_move_that_the_opponent_lacks_is_lost() {
    let mut world = World::seated();
    world.plays(1, 1).moves_at("p1", 1, (2, 1), &["server", "p1"]);
    world.breaks("I1", "p0 has 1 entries");
}

#[test]
fn i1_a_move_has_changed_where_another_one_is_in_its_place() {
    let mut world = World::won();
    world.kept("p1").entries[4] = entry(4, (3, 3));
    world.breaks("I1", "p1 has 3,3 at ply 4");
}

#[test]
fn i1_a_seen_move_comes_to_the_server_unless_nobody_can_reach_it() {
    let mut world = World::seated();
    world.plays(1, 1).moves_at("p1", 1, (2, 1), &["p0", "p1"]);
    world.finals.apart.push(["p0".to_owned(), "server".to_owned()]);
    world.breaks("I1", "server has 1 entries");
    world.finals.apart.push(["server".to_owned(), "p1".to_owned()]);
    world.is_good();
}

#[test]
fn i1_who_has_the_move_holds_it_though_nobody_reaches_it() {
    let mut world = World::seated();
    world.plays(1, 1).moves_at("p1", 1, (2, 1), &["server", "p1"]);
    for [one, other] in [["p0", "p1"], ["p0", "server"], ["p1", "server"]] {
        world.finals.apart.push([one.to_owned(), other.to_owned()]);
    }
    world.breaks("I1", "p0 has 1 entries");
}

#[test]
fn i1_a_match_nobody_has_a_record_of_is_lost() {
    for keeper in ["server", "p0"] {
        let mut world = World::won();
        world.finals.keepers.get_mut(keeper).unwrap().matches.clear();
        world.breaks("I1", &format!("{keeper} has no record"));
    }
    let mut world = World::won();
    world.fault("rot").finals.keepers.get_mut("p0").unwrap().matches.clear();
    world.is_good();
}

#[test]
fn i1_the_loss_of_one_disk_is_covered_by_the_other_two() {
    let mut world = World::seated();
    world.plays(1, 1).moves_at("p1", 1, (2, 1), &["p0"]);
    world.finals.wiped.push("p1".to_owned());
    world.breaks("I1", "server has 1 entries");
    world.finals.wiped.push("p0".to_owned());
    world.is_good();
}

#[test]
fn i1_what_the_server_has_kept_survives_a_liar_and_the_own_disk() {
    let mut world = World::seated();
    world.finals.liars.push("p1".to_owned());
    world.plays(1, 1).plays(2, 1).plays(1, 2);
    world.finals.wiped.push("p0".to_owned());
    world.kept("server").entries.pop();
    world.breaks("I1", "server has 2 entries");
}

#[test]
fn i1_a_move_is_never_told_with_two_values() {
    let mut world = World::won();
    world.shown("p1", 2, (3, 3), "seen");
    world.breaks("I1", "p1 was told that 3,3 of p0 at ply 2 is seen");
    let mut world = World::won();
    world.finals.wiped.push("p1".to_owned());
    world.shown("p1", 2, (3, 3), "seen");
    world.breaks("I1", "p1 was told that 3,3 of p0 at ply 2 is seen");
    world.finals.liars.push("p0".to_owned());
    assert!(!world.judged().violations.iter().any(|found| found.invariant == "I1"), "a liar says anything");
}

#[test]
fn i2_two_honest_keepers_have_two_values() {
    let mut world = World::seated();
    for (keeper, cell) in [("server", (1, 1)), ("p0", (1, 1)), ("p1", (2, 2))] {
        world.kept(keeper).entries.push(entry(0, cell));
    }
    world.breaks("I2", "server and p1 differ");
    world.finals.apart = vec![["p1".to_owned(), "server".to_owned()], ["p0".to_owned(), "p1".to_owned()]];
    world.breaks("I2", "server and p1 differ");
}

#[test]
fn i2_the_same_cell_signed_twice_is_two_values() {
    let mut world = World::won();
    world.kept("p1").entries[4].hash = "of another time".to_owned();
    world.breaks("I2", "differ");
}

#[test]
fn i2_a_server_that_lost_its_disk_still_agrees_with_the_players() {
    let mut world = World::won();
    world.finals.wiped.push("server".to_owned());
    world.kept("server").entries[4] = entry(4, (3, 3));
    world.breaks("I2", "server");
}

#[test]
fn i2_keepers_hold_the_same_grant() {
    let mut world = World::seated();
    world.kept("p1").grant = "another".to_owned();
    world.breaks("I2", "different grants");
}

#[test]
fn i2_a_liars_fork_must_come_to_light_where_it_can() {
    let mut world = World::seated();
    world.finals.liars.push("p1".to_owned());
    world.plays(1, 1);
    world.kept("server").entries.push(entry(1, (2, 1)));
    world.kept("p0").entries.push(entry(1, (3, 3)));
    world.breaks("I2", "server and p0 differ");
    world.finals.apart.push(["p0".to_owned(), "server".to_owned()]);
    world.is_good();
    world.finals.liars = vec!["p0".to_owned()];
    world.finals.keepers.remove("p1");
    world.kept("p1").entries = vec![entry(0, (1, 1)), entry(1, (3, 3))];
    world.breaks("I2", "server and p1 differ");
}

#[test]
fn i3_entries_are_legal_and_alternate() {
    let spoil: [(&str, fn(&mut Kept)); 6] = [
        ("2,1 is taken", |kept| kept.entries[3].act = Act::Cell(2, 1)),
        ("4,1 is off the board", |kept| kept.entries[3].act = Act::Cell(4, 1)),
        ("is by X", |kept| kept.entries[3].seat = "X".to_owned()),
        ("says it is ply 7", |kept| kept.entries[3].ply = 7),
        ("after the end of the game", |kept| kept.entries.push(entry(5, (3, 3)))),
        ("no game is called chess", |kept| kept.game = "chess".to_owned()),
    ];
    for (why, spoil) in spoil {
        let mut world = World::won();
        spoil(world.kept("server"));
        world.breaks("I3", why);
    }
}

#[test]
fn i3_entries_are_chained_also_over_further_grants() {
    let spoil: [(&str, fn(&mut Kept)); 5] = [
        ("ply 0 follows nothing", |kept| kept.entries[0].prev = "nothing".to_owned()),
        ("ply 3 follows nothing", |kept| kept.entries[3].prev = "nothing".to_owned()),
        ("ply 3 follows 2:1,2, not second", |kept| {
            regrant(kept, 3, "second");
            kept.entries[3].prev = hash(2, (1, 2));
        }),
        ("the grant before ply 3 follows nothing", |kept| {
            regrant(kept, 3, "second");
            kept.entries[3].regrant.as_mut().unwrap().base = "nothing".to_owned();
        }),
        ("the grant before ply 3 follows 2:1,2, not second", |kept| {
            regrant(kept, 3, "second");
            regrant(kept, 3, "third");
            kept.entries[3].regrant.as_mut().unwrap().base = hash(2, (1, 2));
        }),
    ];
    for (why, spoil) in spoil {
        let mut world = World::won();
        spoil(world.kept("p0"));
        world.breaks("I3", why);
    }
}

#[test]
fn i3_what_is_shown_is_what_is_in_the_chain() {
    let rows = |rows: [&str; 3]| rows.map(str::to_owned).to_vec();
    let board = |ply, rows| Told::Board { match_id: M.to_owned(), ply, rows };
    let mut world = World::won();
    world.tells("p0", board(1, rows(["...", ".X.", "..."])));
    world.breaks("I3", "its chain has");
    let mut world = World::won();
    world.tells("p0", board(6, rows(["XXX", "OO.", "O.."])));
    world.breaks("I3", "6 plies, and its chain has 5");
    let mut world = World::won();
    world.finals.wiped.push("p1".to_owned());
    world.tells("p1", board(2, rows(["X..", "X..", "..."])));
    world.breaks("I3", "2 X and 0 O after 2 plies");
}

#[test]
fn i3_moves_are_shown_as_those_of_their_author() {
    let mut world = World::won();
    let told = Told::Move {
        match_id: M.to_owned(),
        ply: 1,
        by: "p0".to_owned(),
        row: Some(2),
        col: Some(1),
        resigns: false,
        state: "sent".to_owned(),
        acknowledged: false,
    };
    world.tells("p1", told);
    world.breaks("I3", "ply 1 as a move of p0");
}

#[test]
fn i10_what_is_played_without_the_server_stays() {
    let mut world = World::seated();
    world.plays(1, 1).says("server", killed());
    world.moves_at("p1", 1, (2, 1), &["p0", "p1"]);
    world.says("server", What::Started);
    world.breaks("I10", "server has 1 entries");
}

#[test]
fn i10_what_is_decided_without_the_server_is_settled_after() {
    let mut world = World::seated();
    world.plays_all(&X_WINS[..4]);
    world.says("server", killed());
    world.moves_at("p0", 4, X_WINS[4], &["server", "p0", "p1"]);
    world.breaks("I10", "was never settled");
    world.settle(&by_board("X"));
    world.exercises(&["I10"]);
}

#[test]
fn linear_a_move_that_was_done_is_in_the_chain() {
    let mut world = World::seated();
    world.done("p0", send(0, (1, 1)));
    world.breaks("linear", "was done and is not in it");
    world.finals.wiped.push("p0".to_owned());
    world.is_good();
}

#[test]
fn linear_a_move_that_was_refused_or_never_asked_for_is_not() {
    let mut world = World::seated();
    world.kept("p0").entries.push(entry(0, (1, 1)));
    world.breaks("linear", "was never asked for");
    world.refused("p0", send(0, (1, 1)), "not-your-turn");
    world.breaks("linear", "was never asked for");
    world.refused("p0", send(0, (1, 1)), "unanswered");
    world.is_good();
}

#[test]
fn linear_a_move_is_not_answered_before_the_one_it_follows_is_asked_for() {
    let mut world = World::seated();
    world.done("p1", send(1, (2, 1))).done("p0", send(0, (1, 1)));
    for keeper in ["server", "p0", "p1"] {
        world.kept(keeper).entries = vec![entry(0, (1, 1)), entry(1, (2, 1))];
    }
    world.breaks("linear", "their times do not fit");
}

#[test]
fn linear_a_move_that_is_made_twice_has_happened_twice() {
    let mut world = World::seated();
    world.done("p0", send(0, (1, 1))).done("p0", send(0, (1, 1)));
    for keeper in ["server", "p0", "p1"] {
        world.kept(keeper).entries.push(entry(0, (1, 1)));
    }
    world.breaks("linear", "no order");
}
