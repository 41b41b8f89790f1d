//! The three keepers of a match under every combination of fates, and play without the server.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks for")]

use super::{Told, World};
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, MoveState, PathKind};
use crate::model::password::Password;
use crate::model::statement::Fared;

const X_WINS: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];

/// What becomes of one keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Alive,
    Killed,
    Wiped,
}

const FATES: [Fate; 3] = [Fate::Alive, Fate::Killed, Fate::Wiped];

fn seated(seed: u64) -> World {
    let mut world = World::new(seed, 2);
    world.log_in_all();
    world.seat();
    world
}

/// The client whose turn it is and who may move.
fn mover(world: &World) -> usize {
    let is_mover = |number: &usize| {
        let table = world.clients[*number].player.table();
        table.is_some_and(|table| table.key().is_some() && table.evidence.chain.turn() == Some(table.seat()))
    };
    (0..world.clients.len()).find(is_mover).expect("somebody is to move")
}

fn play(world: &mut World, cells: &[(u16, u16)]) {
    for (row, col) in cells {
        let mover = mover(world);
        world.type_in(mover, Typed::Send(vec![row.to_string(), col.to_string()]));
        world.settle();
    }
}

fn log_in(world: &mut World, number: usize) {
    let (name, password) = (world.clients[number].name.clone(), Password::new("correct horse").unwrap());
    world.type_in(number, Typed::Login(name, password));
    world.settle();
}

fn results(world: &World, number: usize) -> Vec<(Fared, bool, bool)> {
    let result = |event: &Event| match event {
        Event::Result { outcome, agreed, recorded, .. } => Some((*outcome, *agreed, *recorded)),
        _ => None,
    };
    world.clients[number].shown.iter().filter_map(result).collect()
}

/// The last result shown, and whether it was recorded.
fn last(world: &World, number: usize) -> Option<(Fared, bool)> {
    results(world, number).last().map(|(fared, _, recorded)| (*fared, *recorded))
}

fn points(world: &World) -> Vec<u32> {
    world.recovered().leaders().map(super::super::account::Account::points).collect()
}

fn acknowledged(world: &World) -> Told {
    world.clients.iter().flat_map(super::Client::acknowledged).collect()
}

/// The server first: whoever comes back after it finds it as it is.
fn strike(world: &mut World, fates: [Fate; 3]) {
    match fates[2] {
        Fate::Alive => {}
        Fate::Killed => world.kill_server(),
        Fate::Wiped => world.wipe_server(),
    }
    for (number, fate) in fates[..2].iter().enumerate() {
        match fate {
            Fate::Alive => {}
            Fate::Killed => world.restart_client(number),
            Fate::Wiped => world.wipe_client(number),
        }
    }
    if fates[2] != Fate::Alive {
        world.start_server();
    }
    world.settle();
    for (number, fate) in fates[..2].iter().enumerate() {
        if *fate == Fate::Wiped || fates[2] == Fate::Wiped {
            log_in(world, number);
        }
    }
    world.settle();
}

#[test]
fn whatever_becomes_of_the_keepers_no_acknowledged_move_is_lost_and_the_verdict_is_right() {
    let mut rows = 0;
    for plies in 0..=X_WINS.len() {
        for at in 0..27 {
            let fates = [FATES[at % 3], FATES[at / 3 % 3], FATES[at / 9]];
            if fates.iter().filter(|fate| **fate == Fate::Wiped).count() > 1 {
                continue;
            }
            let mut world = seated(u64::from(plies as u8));
            let x = mover(&world);
            play(&mut world, &X_WINS[..plies]);
            let told = acknowledged(&world);
            assert_eq!(told.len(), plies, "{plies} {fates:?}");
            strike(&mut world, fates);
            play(&mut world, &X_WINS[plies..]);
            world.settle();
            let case = format!("after {plies} plies, X, O, server: {fates:?}");
            assert!(
                told.iter().all(|(at, value)| acknowledged(&world).get(at).is_none_or(|now| now == value)),
                "{case}"
            );
            assert_eq!(last(&world, x), Some((Fared::Win, true)), "{case}");
            assert_eq!(last(&world, 1 - x), Some((Fared::Loss, true)), "{case}");
            assert_eq!(points(&world), [2, 0], "{case}");
            world.kill_server();
            world.start_server();
            world.settle();
            assert_eq!(points(&world), [2, 0], "{case}, and another kill");
            rows += 1;
        }
    }
    assert_eq!(rows, 6 * 20);
}

#[test]
fn play_goes_on_to_the_end_without_the_server_and_is_settled_when_it_is_back() {
    for plies in 0..X_WINS.len() {
        let mut world = seated(7);
        let x = mover(&world);
        play(&mut world, &X_WINS[..plies]);
        assert_eq!(world.clients[x].player.status(world.now).seated.unwrap().path, PathKind::Direct);
        world.kill_server();
        play(&mut world, &X_WINS[plies..]);
        assert_eq!(results(&world, x), [(Fared::Win, false, false)], "the winner waits for the other's receipt");
        assert!(world.clients[x].player.status(world.now).seated.unwrap().agreed);
        assert_eq!(results(&world, 1 - x), [(Fared::Loss, true, false)]);
        let kept = world.clients[x].kept();
        assert!(kept.iter().all(|ply| usize::from(*ply) < plies), "{kept:?}");
        world.start_server();
        world.settle();
        assert_eq!(points(&world), [2, 0]);
        assert_eq!(last(&world, x), Some((Fared::Win, true)));
        world.kill_server();
        world.start_server();
        world.settle();
        assert_eq!(points(&world), [2, 0]);
    }
}

#[test]
fn one_player_alone_settles_the_match_and_the_other_a_day_later_learns_of_it() {
    for returns in 0..2 {
        let mut world = seated(8);
        play(&mut world, &X_WINS[..2]);
        world.kill_server();
        play(&mut world, &X_WINS[2..]);
        let away = 1 - returns;
        world.set_direct(false);
        world.stop_client(away);
        world.start_server();
        world.settle();
        assert_eq!(points(&world), [2, 0], "client {returns} delivers both players' entries");
        assert!(results(&world, returns).last().unwrap().2);
        world.pass(world.now + std::time::Duration::from_secs(24 * 3600));
        world.settle();
        world.restart_client(away);
        world.settle();
        assert!(results(&world, away).last().unwrap().2, "a day later");
        assert_eq!(points(&world), [2, 0]);
    }
}

#[test]
fn a_verdict_that_was_written_before_a_crash_and_perhaps_not_shown_is_shown_again_once() {
    let mut world = seated(12);
    let x = mover(&world);
    play(&mut world, &X_WINS);
    assert_eq!(last(&world, x), Some((Fared::Win, true)));
    world.kill_server();
    world.restart_client(x);
    world.clients[x].shown.clear();
    world.start_server();
    world.settle();
    assert_eq!(results(&world, x), [], "the server has heard that it is stored, which comes after showing it");
    // Of a server that has not heard it, all that is known is that the verdict is on this disk.
    world.wipe_server();
    world.start_server();
    world.settle();
    log_in(&mut world, x);
    assert_eq!((results(&world, x).len(), last(&world, x)), (1, Some((Fared::Win, true))));
    world.break_link(x);
    world.settle();
    assert_eq!(results(&world, x).len(), 1);
    assert_eq!(points(&world), [2, 0]);
}

#[test]
fn without_any_way_to_the_opponent_a_move_waits_and_the_match_goes_on_later() {
    let mut world = seated(9);
    let x = mover(&world);
    play(&mut world, &X_WINS[..2]);
    world.kill_server();
    world.set_direct(false);
    world.settle();
    play(&mut world, &X_WINS[2..3]);
    let states = |world: &World| -> Vec<MoveState> {
        let state = |event: &Event| match event {
            Event::Move { ply: 2, state, .. } => Some(*state),
            _ => None,
        };
        world.clients[x].shown.iter().filter_map(state).collect()
    };
    assert_eq!(states(&world), [MoveState::Sent]);
    let status = world.clients[x].player.status(world.now).seated.unwrap();
    assert_eq!((status.path, status.opponent_here), (PathKind::None, false));
    world.set_direct(true);
    world.pass(world.now + std::time::Duration::from_secs(6));
    world.settle();
    assert_eq!(states(&world), [MoveState::Sent, MoveState::Seen]);
    play(&mut world, &X_WINS[3..]);
    world.start_server();
    world.settle();
    assert_eq!(points(&world), [2, 0]);
}

#[test]
fn a_player_who_can_reach_the_server_alone_plays_through_it() {
    let mut world = World::new(10, 2);
    world.set_direct(false);
    world.log_in_all();
    world.seat();
    let x = mover(&world);
    play(&mut world, &X_WINS);
    assert_eq!(last(&world, x), Some((Fared::Win, true)));
}

#[test]
fn entries_reach_the_server_by_the_opponent_of_whoever_has_no_link() {
    let mut world = seated(11);
    let x = mover(&world);
    world.put_to_sleep(x);
    play(&mut world, &X_WINS);
    world.pass(world.now + std::time::Duration::from_secs(2));
    world.settle();
    assert_eq!(points(&world), [2, 0], "O has delivered X's entries");
    assert_eq!(last(&world, x), Some((Fared::Win, true)), "and passed the verdict on");
}
