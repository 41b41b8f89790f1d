//! A seat's key changes: a lost file, another device, one or both seats, and a server that dies on the way.

use super::board::{epoch, play, points, results};
use crate::model::client::command::Typed;
use crate::model::client::event::Event;
use crate::model::world::World;

/// X wins with all of them.
const MOVES: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];

/// Two players in a match in which `plies` moves were made.
fn begun(seed: u64, plies: usize) -> World {
    let mut world = World::new(seed, 2);
    world.log_in_all();
    world.seat();
    MOVES[..plies].iter().for_each(|cell| play(&mut world, *cell));
    world
}

/// Plays the rest; the match is settled right, once, and both know.
fn plays_on(world: &mut World, plies: usize, why: &str) {
    MOVES[plies..].iter().for_each(|cell| play(world, *cell));
    world.settle();
    assert_eq!(points(world), [0, 2], "{why}");
    assert_eq!(results(world), ["Loss", "Win"], "{why}");
}

#[test]
fn whoever_loses_the_file_watches_asks_and_plays_on() {
    for (number, plies) in [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2), (0, 3), (1, 3), (0, 4), (1, 4)] {
        let mut world = begun(5, plies);
        world.lose_files(number);
        world.settle();
        assert_eq!(epoch(&world), 2, "player {number} after {plies}");
        let told = |event: &Event| matches!(event, Event::Notice { code: "seat-taken", .. });
        assert_eq!(world.clients[number].shown.iter().filter(|event| told(event)).count(), 1);
        plays_on(&mut world, plies, "after the loss of a file");
    }
}

#[test]
fn another_device_takes_the_seat_and_the_old_one_is_refused() {
    for number in [0, 1] {
        let mut world = begun(6, 3);
        world.put_to_sleep(number);
        let newer = world.add_client(&format!("p{number}"));
        world.log_in(newer);
        world.settle();
        assert_eq!(epoch(&world), 2, "the opponent was there and has promised");
        world.wake(number);
        world.settle();
        let ended = |event: &Event| matches!(event, Event::Notice { code: "session-ended", .. });
        assert!(world.clients[number].shown.iter().any(ended), "the old session is over");
        let before = world.durable();
        world.type_in(number, Typed::Send(vec!["3".to_owned(), "3".to_owned()]));
        world.settle();
        assert_eq!(world.durable(), before, "nothing comes of what the old device does");
        play(&mut world, MOVES[3]);
        // The old device again: the seat goes back to it the same way.
        world.type_in(newer, Typed::Logout);
        world.settle();
        world.put_to_sleep(newer);
        world.log_in(number);
        world.settle();
        assert_eq!(epoch(&world), 3);
        plays_on(&mut world, 4, "after two changes of device");
    }
}

#[test]
fn nobody_takes_a_seat_while_the_opponent_is_away() {
    let mut world = begun(7, 2);
    world.put_to_sleep(0);
    world.put_to_sleep(1);
    let newer = world.add_client("p0");
    world.log_in(newer);
    for _ in 0..3 {
        world.settle();
        assert_eq!(epoch(&world), 1);
    }
    world.type_in(newer, Typed::Send(vec!["3".to_owned(), "3".to_owned()]));
    world.settle();
    assert_eq!(world.recovered().games().next().unwrap().evidence.chain.plies(), 2, "it only watches");
    world.wake(1);
    world.settle();
    assert_eq!(epoch(&world), 2);
    plays_on(&mut world, 2, "after the opponent has come back");
}

#[test]
fn both_seats_at_once_need_nobodys_promise() {
    for plies in 0..5 {
        let mut world = begun(8, plies);
        world.kill_server();
        world.lose_files(0);
        world.lose_files(1);
        world.start_server();
        world.settle();
        assert!(epoch(&world) >= 2);
        plays_on(&mut world, plies, "with two new keys");
    }
}

#[test]
fn a_server_that_dies_between_ask_promise_and_grant_gets_there_all_the_same() {
    for both in [false, true] {
        let upset = |world: &mut World| {
            world.lose_files(1);
            if both {
                world.lose_files(0);
            }
        };
        let mut whole = begun(9, 2);
        let before = whole.durable();
        upset(&mut whole);
        whole.settle();
        let after = whole.durable();
        assert!(after >= before + 3, "an ask, its answer, a grant");
        for room in before..=after {
            let mut world = begun(9, 2);
            world.room = room;
            upset(&mut world);
            world.settle();
            world.kill_server();
            world.room = usize::MAX;
            world.start_server();
            world.settle();
            assert!(epoch(&world) >= 2, "after a crash behind fact {room}");
            plays_on(&mut world, 2, "after the crash");
        }
    }
}

#[test]
fn asking_again_and_again_changes_nothing() {
    let mut world = begun(10, 2);
    world.put_to_sleep(0);
    world.lose_files(1);
    world.settle();
    let before = world.durable();
    let of = world.recovered().games().next().unwrap().grant().match_id;
    let state = || world.recovered().games().next().unwrap().asked;
    let asked = state();
    for _ in 0..40 {
        world.type_in(1, Typed::TakeSeat(of));
        world.settle();
    }
    let now = world.recovered().games().next().unwrap().asked;
    assert_eq!(now.iter().flatten().count(), asked.iter().flatten().count());
    // Each is one fact for the newest key and one for the answer, and nothing is kept of those before; up-time is
    // written meanwhile.
    assert!(world.durable() - before <= 2 * 40 + 10);
    world.wake(0);
    world.settle();
    plays_on(&mut world, 2, "after a pile of questions");
}
