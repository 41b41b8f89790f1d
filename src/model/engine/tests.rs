//! Properties of the engine under any order of events, with kills at any moment.

#![allow(clippy::unwrap_used, reason = "a failed test should panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks for")]

mod board;
mod cheats;
mod lost;
mod operator;
mod seats;

use crate::model::client::command::Typed;
use crate::model::client::event::Event;
use crate::model::replay::Replay;
use crate::model::state::{Piece, State};
use crate::model::world::{Told, World};

const SEEDS: u64 = 300;
const STEPS: usize = 400;

#[test]
fn what_was_acknowledged_is_never_lost_or_changed_whoever_dies_when() {
    let (mut acknowledged, mut kills, mut settled) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut world = World::new(seed, 2);
        world.log_in_all();
        world.seat();
        let mut told = Told::new();
        for _ in 0..STEPS {
            match world.draw(60) {
                0 => {
                    world.kill_server();
                    check(seed, &world, &mut told);
                    world.start_server();
                    kills += 1;
                }
                1 => {
                    let number = world.draw(2);
                    note(seed, &world, &mut told);
                    world.restart_client(number);
                }
                2 => {
                    let number = world.draw(2);
                    world.break_link(number);
                }
                3 => {
                    let (number, which) = (world.draw(2), world.draw(3));
                    world.type_in(number, [Typed::End, Typed::Leave, Typed::Rematch][which].clone());
                }
                4..=9 => {
                    let number = world.draw(2);
                    let (row, col) = (world.draw(3) + 1, world.draw(3) + 1);
                    world.type_in(number, Typed::Send(vec![row.to_string(), col.to_string()]));
                }
                10 => world.type_in(1, Typed::Accept(None)),
                _ => world.step_random(),
            }
        }
        // Faults off: everything comes to rest, and all agree.
        world.settle();
        world.settle();
        check(seed, &world, &mut told);
        acknowledged += told.len();
        settled += world.recovered().verdicts().count();
        assert_same_boards(seed, &world);
        assert_eq!(
            parts(&world.recovered()),
            parts(world.engine.as_ref().unwrap().state()),
            "seed {seed}: replay is live"
        );
    }
    assert!(
        acknowledged > 500 && kills > 500 && settled > 50,
        "{acknowledged} moves, {kills} kills, {settled} verdicts"
    );
}

/// Adds what was shown as acknowledged; a move must never be shown with two values.
fn note(seed: u64, world: &World, told: &mut Told) {
    for client in &world.clients {
        for (at, value) in client.acknowledged() {
            let old = told.insert(at.clone(), value.clone());
            assert!(old.is_none_or(|old| old == value), "seed {seed}: two values for {at:?}");
        }
    }
}

/// What a player was told is kept by the server must be on the server's disk, and scores follow from verdicts.
fn check(seed: u64, world: &World, told: &mut Told) {
    note(seed, world, told);
    let state = world.recovered();
    for client in &world.clients {
        for event in &client.shown {
            if let Event::Move { match_id, ply, state: crate::model::client::event::MoveState::Kept, .. } = event {
                let id = match_id.parse().unwrap();
                let held = state.game(id).map(|of| of.evidence.chain.plies());
                assert!(
                    held.is_none_or(|plies| plies > *ply),
                    "seed {seed}: kept ply {ply} is not on the server's disk"
                );
                assert!(held.is_some() || state.settled(id).is_some(), "seed {seed}: a kept match is gone");
            }
            if let Event::Result { match_id, recorded: true, .. } = event {
                assert!(state.settled(match_id.parse().unwrap()).is_some(), "seed {seed}: a recorded result is gone");
            }
        }
    }
    let credit: u32 = state.verdicts().flat_map(|settled| settled.credit).sum();
    let points: u32 = state.accounts().map(crate::model::account::Account::points).sum();
    assert_eq!(points, credit, "seed {seed}: the leaderboard is the fold of the verdicts");
}

/// Both players and the server hold one chain of every match they all still hold.
fn assert_same_boards(seed: u64, world: &World) {
    let state = world.recovered();
    for of in state.games() {
        for client in &world.clients {
            if let Some(table) = client.player.table().filter(|table| table.id() == of.grant().match_id) {
                assert_eq!(table.evidence.chain, of.evidence.chain, "seed {seed}: boards differ");
            }
        }
    }
}

fn parts(state: &State) -> Vec<Piece> {
    state.pieces().collect()
}

#[test]
fn a_request_number_is_answered_once_over_crashes_of_either_side() {
    for seed in 0..40 {
        let mut world = World::new(seed, 2);
        world.log_in_all();
        world.seat();
        world.type_in(0, Typed::Leave);
        // The request is carried out and on disk, but the answer is lost with the server.
        while world.engine.as_ref().unwrap().state().accounts().any(|account| account.seated.is_some()) {
            world.step_random();
        }
        world.flush();
        world.kill_server();
        world.start_server();
        world.settle();
        let replies =
            world.clients[0].shown.iter().filter(|event| matches!(event, Event::Reply(r) if r.command == "leave"));
        let replies: Vec<&Event> = replies.collect();
        assert_eq!(replies.len(), 1, "seed {seed}");
        assert!(matches!(replies[0], Event::Reply(reply) if reply.ok), "seed {seed}: {replies:?}");
    }
}

#[test]
fn nothing_leaves_before_its_facts_are_flushed() {
    let mut world = World::new(3, 2);
    world.log_in_all();
    world.seat();
    let before = world.clients[1].shown.len();
    world.type_in(0, Typed::Send(vec!["1".to_owned(), "1".to_owned()]));
    world.type_in(1, Typed::Send(vec!["1".to_owned(), "1".to_owned()]));
    // Everything but the disk goes on: neither the opponent nor the mover hears anything of the move.
    let (appended, flushed) = world.engine.as_ref().unwrap().lsns();
    for _ in 0..50 {
        world.deliver_all_but_the_disk();
    }
    let after = world.engine.as_ref().unwrap().lsns();
    assert!(after.0 > appended && after.1 == flushed, "a fact waits for the disk");
    assert!(world.clients.iter().all(|client| client.kept().is_empty()));
    let moves =
        world.clients[1].shown[before..].iter().filter(|event| matches!(event, Event::Move { by, .. } if by == "p0"));
    assert_eq!(moves.count(), 0);
    world.settle();
    assert!(world.clients.iter().any(|client| !client.kept().is_empty()));
}

#[test]
fn a_full_disk_refuses_changes_serves_reads_and_takes_the_moves_when_there_is_space() {
    use crate::model::engine::Input;
    let mut world = World::new(3, 2);
    world.log_in_all();
    world.seat();
    world.tell(Input::DiskFull(true));
    for number in 0..2 {
        world.type_in(number, Typed::Send(vec!["2".to_owned(), "2".to_owned()]));
        world.type_in(number, Typed::List);
        world.type_in(number, Typed::Leave);
    }
    world.settle();
    let replies = |word: &str| -> Vec<bool> {
        let reply = |event: &Event| match event {
            Event::Reply(reply) if reply.command == word => Some(reply.ok),
            _ => None,
        };
        world.clients.iter().flat_map(|client| client.shown.iter().filter_map(reply)).collect()
    };
    assert_eq!(replies("list"), [true, true]);
    assert_eq!(replies("leave"), [false, false]);
    assert!(world.clients.iter().all(|client| client.kept().is_empty()));
    world.tell(Input::DiskFull(false));
    world.settle();
    assert!(world.clients.iter().all(|client| client.kept() == [0]), "offered again and kept");
}

#[test]
fn an_account_that_was_made_is_not_refused_by_a_disk_that_is_full_since() {
    use crate::model::engine::Input;
    let mut world = World::new(5, 1);
    world.settle();
    let name = crate::model::id::Name::new("newcomer").unwrap();
    let password = crate::model::password::Password::new("correct horse").unwrap();
    world.type_in(0, Typed::AddUser(name, password));
    world.deliver_all_but_the_disk();
    let (appended, flushed) = world.engine.as_ref().unwrap().lsns();
    assert!(appended > flushed, "the account waits for the disk, and the answer for the account");
    world.break_link(0);
    world.flush();
    world.tell(Input::DiskFull(true));
    world.settle();
    let answered = |event: &Event| matches!(event, Event::Reply(reply) if reply.command == "adduser" && reply.ok);
    assert!(world.clients[0].shown.iter().any(answered), "{:?}", last_error(&world, 0));
}

#[test]
fn a_second_login_on_another_device_is_refused_while_the_first_is_connected() {
    let mut world = World::new(1, 2);
    world.log_in_all();
    let name = crate::model::id::Name::new("p0").unwrap();
    let password = crate::model::password::Password::new("correct horse").unwrap();
    world.type_in(1, Typed::Logout);
    world.settle();
    world.type_in(1, Typed::Login(name.clone(), password.clone()));
    world.settle();
    assert_eq!(last_error(&world, 1), Some("logged-in-elsewhere"));
    world.type_in(0, Typed::Logout);
    world.settle();
    world.type_in(1, Typed::Login(name, password));
    world.settle();
    assert_eq!(last_error(&world, 1), None);
}

fn last_error(world: &World, number: usize) -> Option<&'static str> {
    let reply = |event: &Event| match event {
        Event::Reply(reply) => Some(reply.error),
        _ => None,
    };
    world.clients[number].shown.iter().rev().find_map(reply).flatten()
}
