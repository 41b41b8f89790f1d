//! What a player's machine does with what is typed and what arrives, played through whole worlds.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks for")]

use super::{Effect, Input};
use crate::model::client::command::Typed;
use crate::model::client::event::Event;
use crate::model::client::peer::PeerConn;
use crate::model::client::record::Write;
use crate::model::client::table;
use crate::model::engine::Input as EngineInput;
use crate::model::event::Event as LogEvent;
use crate::model::games::{GameSpec, Seat};
use crate::model::limits::{HEARTBEAT_IDLE, INVITE_MAX, SILENCE_MATCH_MAX};
use crate::model::message::{Answer, Entries, KeeperMessage, MatchView, ToClient, ToPeer, ToServer};
use crate::model::statement::Fared;
use crate::model::time::WallMs;
use crate::model::world::World;

/// Plays `cells` in turn, whoever's turn it is; everything settles after each.
fn play(world: &mut World, cells: &[(u16, u16)]) {
    for (row, col) in cells {
        let mover = mover(world);
        world.type_in(mover, Typed::Send(vec![row.to_string(), col.to_string()]));
        world.settle();
    }
}

/// The client whose turn it is.
fn mover(world: &World) -> usize {
    let is_mover = |number: &usize| {
        world.clients[*number].player.table().is_some_and(|table| table.evidence.chain.turn() == Some(table.seat()))
    };
    (0..world.clients.len()).find(is_mover).expect("somebody is to move")
}

fn results(world: &World, number: usize) -> Vec<(Fared, bool)> {
    let result = |event: &Event| match event {
        Event::Result { outcome, recorded, .. } => Some((*outcome, *recorded)),
        _ => None,
    };
    world.clients[number].shown.iter().filter_map(result).collect()
}

fn seated() -> World {
    let mut world = World::new(1, 2);
    world.log_in_all();
    world.seat();
    assert!(world.clients.iter().all(|client| client.player.status(world.now).seated.is_some()), "both sit");
    world
}

const X_WINS: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];

#[test]
fn a_match_is_played_settled_and_scored() {
    let mut world = seated();
    let x = mover(&world);
    play(&mut world, &X_WINS);
    assert_eq!(results(&world, x), [(Fared::Win, false), (Fared::Win, true)]);
    assert_eq!(results(&world, 1 - x), [(Fared::Loss, false), (Fared::Loss, true)]);
    assert_eq!(agreements(&world, x), 0, "the server's verdict says more");
    let leaders: Vec<(u32, u32)> =
        world.recovered().leaders().map(|account| (account.points(), account.tally.wins)).collect();
    assert_eq!(leaders, [(2, 1), (0, 0)]);
    assert_eq!(world.recovered().games().count(), 0, "both have stored it, so it went to the archive");
}

#[test]
fn every_move_is_sent_then_seen_and_kept_each_once() {
    let mut world = seated();
    let x = mover(&world);
    play(&mut world, &[(2, 2)]);
    let states = |number: usize| -> Vec<(String, bool)> {
        let state = |event: &Event| match event {
            Event::Move { ply: 0, state, acknowledged, .. } => Some((format!("{state:?}"), *acknowledged)),
            _ => None,
        };
        world.clients[number].shown.iter().filter_map(state).collect()
    };
    let mut mine = states(x);
    assert_eq!(mine.remove(0), ("Sent".to_owned(), false));
    mine.sort();
    assert_eq!(mine, [("Kept".to_owned(), true), ("Seen".to_owned(), true)]);
    assert_eq!(states(1 - x), [("Seen".to_owned(), true), ("Kept".to_owned(), true)]);
}

#[test]
fn the_server_is_killed_in_mid_game_and_both_are_back_at_their_board() {
    let mut world = seated();
    let x = mover(&world);
    play(&mut world, &X_WINS[..2]);
    world.kill_server();
    // A move made while the server is away waits on the mover's disk.
    let (row, col) = X_WINS[2];
    world.type_in(x, Typed::Send(vec![row.to_string(), col.to_string()]));
    world.start_server();
    world.settle();
    play(&mut world, &X_WINS[3..]);
    world.kill_server();
    world.start_server();
    world.settle();
    assert_eq!(results(&world, x).last(), Some(&(Fared::Win, true)));
    assert_eq!(world.recovered().leaders().next().unwrap().points(), 2);
}

#[test]
fn a_client_that_died_is_back_at_the_board_and_signs_only_after_it_was_answered() {
    let mut world = seated();
    play(&mut world, &X_WINS[..2]);
    let x = mover(&world);
    world.kill_server();
    world.restart_client(x);
    assert!(world.clients[x].player.table().is_some(), "the board is on disk");
    world.type_in(x, Typed::Send(vec!["1".to_owned(), "2".to_owned()]));
    let refused = world.clients[x].shown.iter().rev().find_map(|event| match event {
        Event::Reply(reply) => reply.error,
        _ => None,
    });
    assert_eq!(refused, Some("nobody-reached"));
    world.start_server();
    world.settle();
    play(&mut world, &X_WINS[2..]);
    assert_eq!(results(&world, x).last(), Some(&(Fared::Win, true)));
}

#[test]
fn resigning_off_turn_is_a_wish_that_survives_a_crash() {
    let mut world = seated();
    let x = mover(&world);
    world.type_in(1 - x, Typed::End);
    world.settle();
    assert!(results(&world, x).is_empty(), "it is not the resigner's turn");
    world.restart_client(1 - x);
    world.settle();
    play(&mut world, &[(1, 1)]);
    assert_eq!(results(&world, x).last(), Some(&(Fared::Win, true)));
    assert_eq!(results(&world, 1 - x).last(), Some(&(Fared::Loss, true)));
}

#[test]
fn a_match_that_was_left_blocks_nobody_and_goes_on_when_both_want() {
    let mut world = seated();
    let x = mover(&world);
    play(&mut world, &X_WINS[..1]);
    world.type_in(1 - x, Typed::Leave);
    world.settle();
    assert!(world.clients.iter().all(|client| client.player.status(world.now).seated.is_none()));
    assert_eq!(world.recovered().accounts().map(|account| world.recovered().left(account)).sum::<usize>(), 1);
    world.seat();
    let resumed = world.clients[1].shown.iter().any(|event| matches!(event, Event::Invited { resumes: true, .. }));
    assert!(resumed);
    play(&mut world, &X_WINS[1..]);
    assert_eq!(results(&world, x), [(Fared::Win, false), (Fared::Win, true)]);
}

#[test]
fn who_is_told_to_be_logged_out_has_no_session_on_disk() {
    let mut world = World::new(3, 1);
    world.log_in_all();
    let player = &mut world.clients[0].player;
    player.handle(world.now, WallMs(0), Input::Typed(Typed::Logout));
    let mut sent = std::iter::from_fn(|| player.poll_effect());
    let seq = sent.find_map(|effect| match effect {
        Effect::Send(message) => match *message {
            ToServer::Request { seq, .. } => Some(seq),
            _ => None,
        },
        _ => None,
    });
    let answer = ToClient::Answer { seq: seq.expect("it is asked"), result: Ok(Answer::Done) };
    player.handle(world.now, WallMs(0), Input::Message(Box::new(answer)));
    let done: Vec<Effect> = std::iter::from_fn(|| player.poll_effect()).collect();
    let at = |is: fn(&Effect) -> bool| done.iter().position(is).expect("it is done");
    let gone = at(|effect| matches!(effect, Effect::Write(Write::Session(None))));
    let told = at(|effect| matches!(effect, Effect::Show(event) if matches!(**event, Event::Reply(_))));
    assert!(gone < told, "{done:?}");
}

#[test]
fn a_seat_is_asked_for_once_however_often_the_link_breaks() {
    let mut world = seated();
    // The server is killed before it has written down that the seat was asked for.
    world.room = world.durable();
    world.lose_files(0);
    world.settle();
    world.kill_server();
    world.room = usize::MAX;
    world.start_server();
    world.settle();
    let asked = |event: &&LogEvent| matches!(event, LogEvent::SeatAsked { .. });
    assert_eq!(world.log.iter().filter(asked).count(), 1);
    assert!(world.clients[0].player.table().is_some_and(|table| table.key().is_some()), "it has its seat");
}

#[test]
fn who_knows_the_verdict_does_not_sit_down_again() {
    let mut world = seated();
    let table = world.clients[0].player.table().unwrap();
    let (grant, names) =
        (table.evidence.chain.grants()[0].clone(), [Seat::X, Seat::O].map(|seat| table.name(seat).clone()));
    play(&mut world, &X_WINS);
    let shown = world.clients[0].shown.len();
    let late = MatchView { grant, names, active: true, opponent_here: true };
    let player = &mut world.clients[0].player;
    player.handle(world.now, WallMs(0), Input::Message(Box::new(ToClient::Matched(Box::new(late)))));
    assert_eq!(player.status(world.now).seated, None);
    world.settle();
    let sits = |event: &Event| matches!(event, Event::Match { .. });
    assert!(!world.clients[0].shown[shown..].iter().any(sits));
}

#[test]
fn who_logs_in_again_asks_for_the_seat_again() {
    let mut world = seated();
    world.lose_files(0);
    // The seat is wanted while this waits for its answer, so that it is asked for by nobody.
    world.type_in(0, Typed::Logout);
    world.settle();
    assert!(!world.log.iter().any(|event| matches!(event, LogEvent::SeatAsked { .. })), "it logs out before");
    let refused = |event: &Event| matches!(event, Event::Reply(reply) if reply.command == "take-seat");
    assert!(!world.clients[0].shown.iter().any(refused), "nobody has typed it");
    world.log_in(0);
    assert!(world.clients[0].player.table().is_some_and(|table| table.key().is_some()), "it has its seat");
}

#[test]
fn a_seat_that_was_refused_is_asked_for_at_the_next_move() {
    let mut world = seated();
    let x = mover(&world);
    world.tell(EngineInput::DiskFull(true));
    world.lose_files(x);
    world.settle();
    let refused = |event: &Event| matches!(event, Event::Notice { code: "seat-refused", .. });
    assert!(world.clients[x].shown.iter().any(refused), "the server takes nothing just then");
    world.tell(EngineInput::DiskFull(false));
    world.type_in(x, Typed::Send(vec!["1".to_owned(), "1".to_owned()]));
    world.settle();
    assert!(world.clients[x].player.table().is_some_and(|table| table.key().is_some()), "it has its seat");
}

#[test]
fn rematch_asks_the_last_opponent_for_the_same_game() {
    let mut world = seated();
    play(&mut world, &X_WINS);
    world.type_in(0, Typed::Rematch);
    world.settle();
    world.type_in(1, Typed::Accept(None));
    world.settle();
    assert!(world.clients.iter().all(|client| client.player.status(world.now).seated.is_some()));
}

#[test]
fn who_waits_for_an_answer_soon_knows_that_the_link_leads_nowhere() {
    let mut world = World::new(1, 2);
    world.log_in_all();
    world.settle();
    let (to, game) =
        (world.clients[1].player.user.as_ref().unwrap().name.clone(), GameSpec::named("tictactoe").unwrap());
    let is_strict = |world: &World| {
        let silent_at = world.clients[0].player.heart.as_ref().unwrap().silence.deadline();
        silent_at <= world.now + SILENCE_MATCH_MAX
    };
    assert!(!is_strict(&world));
    world.type_in(0, Typed::Leaders);
    assert!(is_strict(&world), "a request is not answered yet");
    world.settle();
    assert!(!is_strict(&world));
    for ends in [Typed::Decline(None), Typed::Status] {
        world.type_in(0, Typed::Begin(to.clone(), game.clone()));
        world.settle();
        assert!(is_strict(&world), "an invitation is not answered yet");
        world.type_in(1, ends);
        let end = world.now + INVITE_MAX + HEARTBEAT_IDLE;
        while world.now < end && is_strict(&world) {
            world.settle();
        }
        assert!(!is_strict(&world), "it was declined, or has run out");
    }
}

#[test]
fn who_has_won_while_the_server_is_down_is_told_once_that_it_is_agreed() {
    let mut world = seated();
    let x = mover(&world);
    play(&mut world, &X_WINS[..4]);
    world.kill_server();
    let (row, col) = X_WINS[4];
    world.type_in(x, Typed::Send(vec![row.to_string(), col.to_string()]));
    assert_eq!(results(&world, x), [(Fared::Win, false)]);
    assert_eq!(agreements(&world, x), 0, "the other has not signed it");
    let receipt = receipt_for_all(&world, 1 - x, x);
    for _ in 0..2 {
        hear(&mut world, x, receipt.clone());
    }
    assert_eq!(agreements(&world, x), 1);
    let status = world.clients[x].player.status(world.now);
    assert!(status.seated.is_some_and(|seat| seat.agreed && seat.outcome == Some(Fared::Win)));
    world.start_server();
    world.settle();
    assert_eq!(results(&world, x), [(Fared::Win, false), (Fared::Win, true)]);
    assert_eq!(agreements(&world, x), 1);
}

#[test]
fn a_rematch_asked_for_while_the_server_is_down_waits_for_the_settlement() {
    let mut world = seated();
    let x = mover(&world);
    play(&mut world, &X_WINS[..4]);
    world.kill_server();
    let (row, col) = X_WINS[4];
    world.type_in(x, Typed::Send(vec![row.to_string(), col.to_string()]));
    world.type_in(x, Typed::Rematch);
    world.start_server();
    world.settle();
    let asked = |event: &Event| matches!(event, Event::Reply(reply) if reply.command == "rematch" && reply.ok);
    assert!(world.clients[x].shown.iter().any(asked));
    assert!(world.clients[1 - x].shown.iter().any(|event| matches!(event, Event::Invited { resumes: false, .. })));
}

fn agreements(world: &World, number: usize) -> usize {
    let told = |event: &&Event| matches!(event, Event::Notice { code: "agreed", .. });
    world.clients[number].shown.iter().filter(told).count()
}

/// What client `number` would answer if it heard all that `other` holds.
fn receipt_for_all(world: &World, number: usize, other: usize) -> KeeperMessage {
    let mut table = world.clients[number].player.table().unwrap().clone();
    let chain = &table.evidence.chain;
    let (epoch, head) = (chain.grant().epoch, chain.head());
    let (_, entries) = world.clients[other].player.table().unwrap().evidence.news_for(epoch, head);
    let entries = Entries::split(table.id(), &[], &entries).next().unwrap();
    let effects = table.on_keeper(KeeperMessage::Entries(entries), WallMs(0));
    let receipt = |effect| match effect {
        table::Effect::Pass(message) => Some(*message).filter(|message| matches!(message, KeeperMessage::Held { .. })),
        _ => None,
    };
    effects.into_iter().find_map(receipt).unwrap()
}

/// Client `number` hears it from its opponent.
fn hear(world: &mut World, number: usize, message: KeeperMessage) {
    let (now, client) = (world.now, &mut world.clients[number]);
    let input = Input::PeerHeard { conn: PeerConn(0), message: Box::new(ToPeer::Keeper(message)) };
    client.player.handle(now, WallMs(0), input);
    while let Some(effect) = client.player.poll_effect() {
        if let Effect::Show(event) = effect {
            client.shown.push(*event);
        }
    }
}
