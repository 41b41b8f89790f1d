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
fn i1_a_kept_move_comes_to_the_opponent_directly_unless_the_two_cannot_find_each_other() {
    let mut world = World::seated();
    let op = world.plays(1, 1).asks("p1", send(1, (2, 1)));
    world.says("p1", What::Ok { op }).shown("p1", 1, (2, 1), "kept");
    for keeper in ["server", "p1"] {
        world.kept(keeper).entries.push(entry(1, (2, 1)));
    }
    world.finals.apart.push(["p0".to_owned(), "server".to_owned()]);
    world.breaks("I1", "p0 has 1 entries");
    world.finals.strangers.insert(M.to_owned());
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
    world.breaks("I1", ", and p1 was told that 3,3 of p0 at ply 2 is seen");
    world.finals.wiped.push("p1".to_owned());
    world.breaks("I1", ", and p1 was told that 3,3 of p0 at ply 2 is seen");
}

#[test]
fn i1_a_liar_says_anything_but_a_receipt_of_the_server_is_one() {
    let mut world = World::seated();
    world.finals.liars.push("p0".to_owned());
    world.shown("p1", 0, (1, 1), "seen");
    let seen_twice = |state: &str, lost: bool| {
        let mut world = world.clone();
        world.shown("p1", 0, (1, 1), "kept").shown("p1", 0, (3, 3), state);
        world.finals.wiped.extend(lost.then(|| "p1".to_owned()));
        world
    };
    seen_twice("seen", false).breaks("I1", ", and p1");
    seen_twice("kept", true).breaks("I1", ", and p1");
    let two = |world: World| world.judged().violations.iter().any(|found| found.why.contains(", and p1"));
    assert!(!two(seen_twice("seen", true)), "the own disk is gone, and the liar has shown another");
}

/// Nobody reaches anybody: who has a move is known from what was told alone.
fn all_apart() -> World {
    let mut world = World::seated();
    for [one, other] in [["p0", "p1"], ["p0", "server"], ["p1", "server"]] {
        world.finals.apart.push([one.to_owned(), other.to_owned()]);
    }
    world
}

#[test]
fn i1_who_made_a_move_has_it_and_who_gave_no_receipt_may_not() {
    let kept_at = |who: &str, keepers: &[&str]| {
        let mut world = all_apart();
        keepers.iter().for_each(|keeper| world.kept(keeper).entries.push(entry(0, (1, 1))));
        let op = world.asks("p0", send(0, (1, 1)));
        world.says("p0", What::Unknown { op }).shown(who, 0, (1, 1), "kept");
        world
    };
    kept_at("p0", &["server", "p0"]).is_good();
    kept_at("p0", &["server"]).breaks("I1", "p0 has 0 entries");
    kept_at("p0", &["p0"]).breaks("I1", "server has 0 entries");
    kept_at("p1", &["server", "p0", "p1"]).is_good();
    kept_at("p1", &["server", "p1"]).breaks("I1", "p0 has 0 entries");
}

#[test]
fn i1_a_receipt_is_of_the_device_that_gave_it() {
    let mut world = all_apart();
    world.moves_at("p0", 0, (1, 1), &["p0"]);
    world.breaks("I1", "p1 has 0 entries");
    world.finals.wiped.push("p1".to_owned());
    world.kept("p1.2");
    world.finals.apart.push(["p1.2".to_owned(), "p0".to_owned()]);
    world.finals.apart.push(["p1.2".to_owned(), "server".to_owned()]);
    world.is_good();
}

#[test]
fn i1_who_watches_at_another_device_holds_nothing() {
    let mut world = World::seated();
    world.finals.keepers.entry("p1.2".to_owned()).or_default();
    world.shown("p1.2", 0, (1, 1), "seen");
    world.finals.wiped = ["p0", "p1"].map(str::to_owned).to_vec();
    world.is_good();
}

#[test]
fn i1_a_conviction_that_a_keeper_has_not_heard_of_excuses_nobody() {
    let mut world = World::seated();
    world.finals.liars.push("p1".to_owned());
    world.plays(1, 1).moves_at("p1", 1, (2, 1), &["p0"]);
    world.breaks("I1", "server has 1 entries");
    world.kept("server").fouls = [true, false];
    world.breaks("I1", "server has 1 entries");
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
    world.kept("p0").fouls = [false, true];
    world.breaks("I2", "server and p0 differ");
    world.kept("p0").fouls = [false, false];
    world.finals.apart.push(["p0".to_owned(), "server".to_owned()]);
    world.is_good();
    world.finals.liars = vec!["p0".to_owned()];
    world.finals.keepers.remove("p1");
    world.kept("p1").entries = vec![entry(0, (1, 1)), entry(1, (3, 3))];
    world.breaks("I2", "server and p1 differ");
}

#[test]
fn i3_entries_are_legal_and_alternate() {
    let spoil: [(&str, Spoil<Kept>); 6] = [
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
    let spoil: [(&str, Spoil<Kept>); 5] = [
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
fn i3_entries_are_signed_by_the_key_of_their_seat() {
    let mut world = World::won();
    world.kept("p0").entries[2].signed = false;
    world.breaks("I3", "ply 2 is not signed");
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
fn i10_is_about_moves_that_are_seen_while_there_is_no_server() {
    let exercised = |world: &World| world.judged().exercised.contains("I10");
    let mut world = World::won();
    world.says("server", killed()).says("server", What::Started);
    assert!(!exercised(&world), "the server was there");
    world.history[0].what = What::Unknown { op: 0 };
    assert!(!exercised(&world), "nobody has said that it was not");
    let mut world = World::seated();
    world.plays(1, 1).says("server", killed());
    world.shown("p0", 0, (1, 1), "kept");
    assert!(!exercised(&world), "a receipt of the server that comes late");
    let mut world = World::seated();
    world.says("server", killed()).says("p0", What::Started).says("p1", killed());
    world.plays(1, 1);
    assert!(exercised(&world));
}

#[test]
fn i10_only_what_is_decided_where_the_server_hears_of_it_must_be_settled() {
    let mut world = World::seated();
    world.says("server", killed()).plays(1, 1).is_good();
    let mut world = World::seated();
    world.plays_all(&X_WINS[..4]).says("server", killed()).moves_at("p0", 4, X_WINS[4], &["p0", "p1"]);
    for who in ["p0", "p1"] {
        world.finals.apart.push([who.to_owned(), "server".to_owned()]);
    }
    world.is_good();
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

#[test]
fn linear_a_call_explains_its_own_move_alone() {
    let calls = [
        ("p0", send(0, (2, 2))),
        ("p0", send(2, (1, 1))),
        ("p1", send(0, (1, 1))),
        ("p0", Call::End { match_id: M.to_owned() }),
        ("p0", Call::Send { match_id: "other".to_owned(), ply: 0, row: 1, col: 1 }),
    ];
    for (who, call) in calls {
        let mut world = World::seated();
        let op = world.asks(who, call);
        world.says(who, What::Unknown { op });
        world.kept("server").entries.push(entry(0, (1, 1)));
        world.breaks("linear", "was never asked for");
    }
}

#[test]
fn linear_giving_up_waits_for_the_own_turn_which_may_never_come() {
    let end = || Call::End { match_id: M.to_owned() };
    let mut world = World::won();
    world.done("p1", end()).is_good();
    let resigns = Entry { act: Act::Resign, ..entry(0, (0, 0)) };
    let given_up = |asked: &dyn Fn(&mut World)| {
        let mut world = World::seated();
        asked(&mut world);
        world.kept("p0").entries.push(resigns.clone());
        world
    };
    let asked = given_up(&|world| {
        world.asks("p0", end());
    });
    asked.is_good();
    let refused = given_up(&|world| {
        world.refused("p0", end(), "game-over");
    });
    refused.breaks("linear", "was never asked for");
    let elsewhere = given_up(&|world| {
        world.done("p0", Call::End { match_id: "other".to_owned() });
    });
    elsewhere.breaks("linear", "was never asked for");
}

#[test]
fn linear_beside_a_liar_the_honest_players_own_chain_counts() {
    let mut world = World::seated();
    world.finals.liars.push("p1".to_owned());
    world.plays(1, 1);
    world.kept("server").entries.push(entry(1, (2, 1)));
    world.kept("server").entries.push(entry(2, (3, 3)));
    world.is_good();
    world.finals.liars.clear();
    world.breaks("linear", "was never asked for");
    let mut world = World::seated();
    world.kept("server").entries.push(entry(0, (1, 1)));
    world.breaks("linear", "was never asked for");
}
