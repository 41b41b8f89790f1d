//! What an operator asks of the engine, with real players on the other side.

use super::last_error;
use crate::model::client::command::Typed;
use crate::model::client::event::Event;
use crate::model::engine::Input;
use crate::model::event::Event as LogEvent;
use crate::model::games::GameSpec;
use crate::model::id::Name;
use crate::model::message::UserState;
use crate::model::operator::{Act, Announcement, AskId, MatchRow, MatchState, SessionRow, Told, Unable};
use crate::model::refusal::Refusal;
use crate::model::world::World;

fn ask(world: &mut World, act: Act) -> Result<Told, Unable> {
    world.tell(Input::Operator { ask: AskId(7), act });
    world.settle();
    world.told.pop().expect("it is answered")
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn sessions(world: &mut World) -> Vec<SessionRow> {
    match ask(world, Act::Sessions) {
        Ok(Told::Sessions(rows)) => rows,
        other => panic!("{other:?}"),
    }
}

fn matches(world: &mut World) -> Vec<MatchRow> {
    match ask(world, Act::Matches) {
        Ok(Told::Matches(rows)) => rows,
        other => panic!("{other:?}"),
    }
}

fn begin(world: &mut World, from: usize, to: &str) {
    world.type_in(from, Typed::Begin(name(to), GameSpec::named("tictactoe").unwrap()));
    world.settle();
}

#[test]
fn an_announcement_reaches_every_player_who_is_connected() {
    let mut world = World::new(1, 3);
    world.log_in_all();
    world.put_to_sleep(2);
    let text = Announcement::new("restart in 60 s").unwrap();
    assert_eq!(ask(&mut world, Act::Announce(text)), Ok(Told::Announced { players: 2 }));
    let told = |number: usize| {
        let notice = |event: &&Event| matches!(event, Event::Notice { code: "announcement", text } if text == "the server says: restart in 60 s");
        world.clients[number].shown.iter().filter(notice).count()
    };
    assert_eq!([told(0), told(1), told(2)], [1, 1, 0]);
}

#[test]
fn sessions_and_matches_are_listed_as_they_are() {
    let mut world = World::new(1, 3);
    world.log_in_all();
    world.seat();
    world.put_to_sleep(2);
    let rows = sessions(&mut world);
    let seen: Vec<_> = rows.iter().map(|row| (row.user.as_str(), row.state, row.link.is_some())).collect();
    let busy = UserState::Busy;
    assert_eq!(seen, [("p0", busy, true), ("p1", busy, true), ("p2", UserState::Away, false)]);
    assert_eq!(rows[0].opponent, Some(name("p1")));
    assert_eq!(rows[2].opponent, None);
    let row = matches(&mut world).pop().unwrap();
    assert_eq!((row.state, row.plies, row.here, row.game.as_str()), (MatchState::Playing, 0, [true; 2], "tictactoe"));
    assert_eq!(row.turn.as_ref(), Some(&row.names[0]), "X moves first");
    world.type_in(0, Typed::Leave);
    world.settle();
    let rows = matches(&mut world);
    assert_eq!(rows[0].state, MatchState::Suspended);
    assert_eq!(sessions(&mut world)[0].opponent, None, "nobody is seated");
}

#[test]
fn who_is_kicked_has_no_session_any_more_and_may_log_in_again() {
    let mut world = World::new(1, 2);
    world.log_in_all();
    world.log.clear();
    assert_eq!(ask(&mut world, Act::Kick(name("nobody"))), Err(Unable::NoSuchUser));
    assert_eq!(ask(&mut world, Act::Kick(name("P1"))), Ok(Told::Kicked));
    assert!(world.log.contains(&LogEvent::LoggedOut { user: name("p1") }), "{:?}", world.log);
    assert_eq!(sessions(&mut world).len(), 1);
    assert_eq!(ask(&mut world, Act::Kick(name("p1"))), Err(Unable::NoSession));
    // It is on disk: after a kill the session is as gone as before.
    world.kill_server();
    world.start_server();
    world.settle();
    assert_eq!(sessions(&mut world).len(), 1);
    let state = world.recovered();
    assert!(state.named(&name("p1").key()).unwrap().session.is_none());
}

#[test]
fn nothing_is_answered_before_it_is_on_disk() {
    let mut world = World::new(1, 2);
    world.log_in_all();
    world.tell(Input::Operator { ask: AskId(1), act: Act::Kick(name("p1")) });
    for _ in 0..50 {
        world.deliver_all_but_the_disk();
    }
    assert!(world.told.is_empty());
    world.settle();
    assert_eq!(world.told, [Ok(Told::Kicked)]);
}

#[test]
fn a_kick_is_refused_while_nothing_can_be_changed() {
    let mut world = World::new(1, 2);
    world.log_in_all();
    world.tell(Input::DiskFull(true));
    assert_eq!(ask(&mut world, Act::Kick(name("p1"))), Err(Unable::Shut(Refusal::DiskFull)));
    assert_eq!(sessions(&mut world).len(), 2);
}

#[test]
fn after_closing_nothing_new_begins_and_the_end_of_the_last_match_is_told_once() {
    let mut world = World::new(1, 4);
    world.log_in_all();
    world.seat();
    // Asked before, answered after.
    begin(&mut world, 2, "p3");
    assert_eq!(ask(&mut world, Act::Close), Ok(Told::Closed { matches: 1 }));
    assert_eq!(world.over, 0, "a match is under way");
    world.type_in(3, Typed::Accept(None));
    world.settle();
    assert_eq!(last_error(&world, 3), Some("restarting"));
    begin(&mut world, 3, "p2");
    assert_eq!(last_error(&world, 3), Some("restarting"));
    world.type_in(3, Typed::Logout);
    world.settle();
    let password = crate::model::password::Password::new("correct horse").unwrap();
    world.type_in(3, Typed::Login(name("p3"), password));
    world.settle();
    assert_eq!(last_error(&world, 3), Some("restarting"));
    // Who is in a match comes back to it, and plays it to its end.
    world.break_link(0);
    world.settle();
    for number in [0, 1] {
        world.type_in(number, Typed::End);
    }
    world.settle();
    assert_eq!(world.recovered().verdicts().count(), 1);
    assert_eq!(world.over, 1);
    assert_eq!(ask(&mut world, Act::Close), Ok(Told::Closed { matches: 0 }));
    assert_eq!(world.over, 1, "it is told once");
}

#[test]
fn closing_is_over_at_once_when_nobody_plays() {
    let mut world = World::new(1, 2);
    world.log_in_all();
    world.seat();
    world.type_in(0, Typed::Leave);
    world.settle();
    assert_eq!(ask(&mut world, Act::Close), Ok(Told::Closed { matches: 0 }));
    assert_eq!(world.over, 1);
}
