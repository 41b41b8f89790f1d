//! A server that has lost state takes matches and verdicts back from the players.

use std::cell::Cell;

use super::board::{epoch, evidence, play, points, results};
use crate::model::client::event::Event;
use crate::model::engine::Input;
use crate::model::event::Event as LogEvent;
use crate::model::fact::Fact;
use crate::model::world::World;

/// X wins with all of them.
const MOVES: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];

fn begun(seed: u64, plies: usize) -> World {
    let mut world = World::new(seed, 2);
    world.log_in_all();
    world.seat();
    MOVES[..plies].iter().for_each(|cell| play(&mut world, *cell));
    world
}

/// All that an empty state directory can get back: accounts (an import), and logins.
fn people(_: usize, fact: &Fact) -> bool {
    matches!(fact, Fact::AccountAdded { .. } | Fact::LoggedIn { .. })
}

/// Starts the server as one that has found the loss by its boot file.
fn start(world: &mut World) {
    world.start_server();
    world.tell(Input::StateLost);
}

fn settled(world: &World) -> usize {
    world.log.iter().filter(|event| matches!(event, LogEvent::MatchSettled { .. })).count()
}

#[test]
fn a_decided_match_is_settled_again_from_either_player_alone_and_once() {
    for (alone, other) in [(0, 1), (1, 0)] {
        let mut world = begun(11, 5);
        assert_eq!((points(&world), settled(&world)), (vec![0, 2], 1));
        world.put_to_sleep(other);
        world.lose_state(people);
        start(&mut world);
        assert_eq!(points(&world), [0, 0]);
        world.settle();
        assert_eq!(points(&world), [0, 2], "taken back from player {alone}, who had it in a settled file");
        world.wake(other);
        world.settle();
        world.settle();
        assert_eq!((points(&world), settled(&world)), (vec![0, 2], 2), "once more in all");
        assert_eq!(results(&world), ["Loss", "Win"]);
        let taken = world.log.iter().filter(|event| matches!(event, LogEvent::MatchTaken { .. })).count();
        let lost = world.log.iter().filter(|event| matches!(event, LogEvent::StateLost { .. })).count();
        assert_eq!((taken, lost), (1, 1));
        assert_eq!(world.recovered().games().count(), 0, "both have it, so it is filed away again");
    }
}

#[test]
fn a_match_decided_while_the_server_was_losing_its_state_is_settled() {
    let mut world = begun(12, 4);
    // The last move reaches nobody before the server and its state are gone.
    let mover = usize::from(
        world.clients[0].player.table().unwrap().evidence.chain.turn()
            != Some(world.clients[0].player.table().unwrap().seat()),
    );
    world.put_to_sleep(1 - mover);
    world.kill_server();
    world.type_in(
        mover,
        crate::model::client::command::Typed::Send(vec![MOVES[4].0.to_string(), MOVES[4].1.to_string()]),
    );
    world.lose_state(people);
    start(&mut world);
    world.settle();
    assert_eq!(points(&world), [0, 2], "the winner's file is enough");
    world.wake(1 - mover);
    world.settle();
    assert_eq!(results(&world), ["Loss", "Win"]);
}

#[test]
fn an_undecided_match_waits_for_both_and_goes_on() {
    for second in [1, 0] {
        for plies in 0..5 {
            let mut world = begun(13, plies);
            world.put_to_sleep(second);
            world.lose_state(people);
            start(&mut world);
            let receipts = world.receipts;
            for _ in 0..3 {
                world.settle();
            }
            assert_eq!(world.receipts, receipts, "no receipt before both have shown what they hold");
            let of = world.recovered().games().next().unwrap().clone();
            assert!(of.recovering && of.evidence.chain.plies() == u16::try_from(plies).unwrap());
            world.wake(second);
            world.settle();
            let state = world.recovered();
            let of = state.games().next().unwrap();
            assert!(!of.recovering && state.is_active(of), "both sit at it again");
            if plies > 0 {
                assert!(world.receipts > receipts);
            }
            MOVES[plies..].iter().for_each(|cell| play(&mut world, *cell));
            world.settle();
            assert_eq!((points(&world), results(&world)), (vec![0, 2], vec!["Loss".to_owned(), "Win".to_owned()]));
        }
    }
}

/// A state of every age, from before the match to just before the end of it; found by the boot file, or by a client
/// that has seen a later one.
#[test]
fn an_older_state_is_brought_up_to_date_by_the_players() {
    for by_file in [true, false] {
        let whole = begun(14, 3).durable();
        for age in 0..whole {
            let mut world = begun(14, 3);
            world.lose_state(|at, fact| at < age || people(at, fact) && !matches!(fact, Fact::Booted { .. }));
            world.start_server();
            if by_file {
                world.tell(Input::StateLost);
            }
            world.settle();
            world.settle();
            assert_eq!(evidence(&world).chain.plies(), 3, "state of age {age}");
            assert!(!world.recovered().games().next().unwrap().recovering);
            MOVES[3..].iter().for_each(|cell| play(&mut world, *cell));
            world.settle();
            assert_eq!(points(&world), [0, 2]);
        }
    }
}

#[test]
fn a_seat_that_moved_after_the_copy_was_made_stays_where_it_is() {
    for number in [0, 1] {
        let mut world = begun(15, 2);
        let copied = world.durable();
        world.lose_files(number);
        world.settle();
        play(&mut world, MOVES[2]);
        assert_eq!(epoch(&world), 2);
        world.lose_state(|at, _| at < copied);
        start(&mut world);
        world.settle();
        world.settle();
        assert_eq!((epoch(&world), evidence(&world).chain.plies()), (2, 3));
        MOVES[3..].iter().for_each(|cell| play(&mut world, *cell));
        world.settle();
        assert_eq!((points(&world), results(&world)), (vec![0, 2], vec!["Loss".to_owned(), "Win".to_owned()]));
    }
}

/// Whether the server still waits for a player to show what it holds.
fn waits(world: &World) -> bool {
    world.recovered().games().next().unwrap().recovering
}

#[test]
fn what_a_full_disk_could_not_take_back_is_asked_for_as_soon_as_there_is_room() {
    let mut world = begun(19, 5);
    world.lose_state(people);
    start(&mut world);
    world.tell(Input::DiskFull(true));
    world.settle();
    assert_eq!((world.recovered().games().count(), points(&world)), (0, vec![0, 0]));
    world.tell(Input::DiskFull(false));
    // No time passes.
    loop {
        world.deliver_all_but_the_disk();
        if !world.flush() {
            break;
        }
    }
    assert_eq!(points(&world), [0, 2]);
}

#[test]
fn a_loss_that_is_found_later_does_not_touch_a_match_that_was_begun_since() {
    let mut world = begun(18, 2);
    world.put_to_sleep(1);
    world.lose_files(0);
    world.settle();
    let asked = |world: &World| world.recovered().games().next().unwrap().asked;
    let before = asked(&world);
    assert_ne!(before, [None, None], "the seat waits for the other's promise");
    world.tell(Input::StateLost);
    world.settle();
    assert!(!waits(&world) && asked(&world) == before);
    world.wake(1);
    world.settle();
    assert_eq!(epoch(&world), 2, "the seat has moved");
}

#[test]
fn a_device_that_was_left_does_not_speak_for_its_seat() {
    let mut world = begun(16, 2);
    let copied = world.durable();
    world.put_to_sleep(0);
    let newer = world.add_client("p0");
    world.log_in(newer);
    world.settle();
    assert_eq!(epoch(&world), 2, "the seat has moved");
    world.put_to_sleep(newer);
    world.wake(0);
    world.lose_state(|at, _| at < copied);
    start(&mut world);
    world.settle();
    assert_eq!(epoch(&world), 2, "the opponent has shown the grant");
    // It knows the newest grant by now, and comes again with it.
    world.break_link(0);
    world.settle();
    assert!(waits(&world), "the key of that grant is on another device");
    world.put_to_sleep(0);
    world.wake(newer);
    world.log_in(newer);
    world.settle();
    assert!(!waits(&world));
    MOVES[2..].iter().for_each(|cell| play(&mut world, *cell));
    world.settle();
    assert_eq!((points(&world), results(&world)), (vec![0, 2], vec!["Loss".to_owned(), "Win".to_owned()]));
}

#[test]
fn a_seat_that_was_promised_away_is_spoken_for_by_who_has_it_or_asks_again() {
    for granted in [false, true] {
        let moves = |room: usize| {
            let mut world = begun(17, 2);
            world.room = room;
            world.put_to_sleep(0);
            let newer = world.add_client("p0");
            world.log_in(newer);
            world.put_to_sleep(newer);
            (world, newer)
        };
        let (copied, regranted) = (begun(17, 2).durable(), Cell::new(0));
        moves(usize::MAX).0.lose_state(|at, fact| {
            if matches!(fact, Fact::Regranted { .. }) {
                regranted.set(at);
            }
            true
        });
        assert!(regranted.get() > copied);
        let (mut world, newer) = moves(regranted.get() + usize::from(granted));
        world.wake(0);
        world.lose_state(|at, _| at < copied);
        world.room = usize::MAX;
        start(&mut world);
        world.settle();
        assert!(waits(&world), "the opponent has promised that seat to another device");
        world.put_to_sleep(0);
        world.wake(newer);
        world.log_in(newer);
        world.settle();
        assert!(!waits(&world), "it shows the grant, or asks again");
    }
}

#[test]
fn what_was_shown_as_acknowledged_is_on_the_board_after_a_loss() {
    for seed in 0..60 {
        let mut world = begun(100 + seed, 0);
        let age = world.durable();
        for step in 0..120 {
            let number = world.draw(2);
            match world.draw(12) {
                0 => world.restart_client(number),
                1 => world.break_link(number),
                2 if step > 60 => {
                    world.lose_state(|at, _| at < age);
                    start(&mut world);
                }
                3..=6 => {
                    let (row, col) = (world.draw(3) + 1, world.draw(3) + 1);
                    let words = vec![row.to_string(), col.to_string()];
                    world.type_in(number, crate::model::client::command::Typed::Send(words));
                }
                _ => (0..6).for_each(|_| world.step_random()),
            }
        }
        world.settle();
        world.settle();
        // Whoever has restarted is shown the board anew, so all that was ever told must be in the files.
        let state = world.recovered();
        for client in &world.clients {
            for ((match_id, ply), (by, row, col)) in client.acknowledged() {
                let Some(of) = state.game(match_id.parse().unwrap()) else {
                    assert!(state.settled(match_id.parse().unwrap()).is_some(), "seed {seed}: a match is gone");
                    continue;
                };
                assert!(of.evidence.chain.plies() > ply, "seed {seed}: ply {ply} of {by} at {row:?} {col:?} is lost");
            }
        }
        let credit: u32 = state.verdicts().flat_map(|settled| settled.credit).sum();
        assert_eq!(points(&world).iter().sum::<u32>(), credit, "seed {seed}");
        let convicted = |event: &Event| matches!(event, Event::Result { why, .. } if why == "foul");
        assert!(!world.clients.iter().any(|client| client.shown.iter().any(convicted)), "seed {seed}: a false foul");
    }
}
