//! Two players who reach each other play on while the server is dead: real processes, killed with SIGKILL.

use std::path::Path;
use std::time::Duration;

use rejoin::model::time::Clock;
use rejoin::ops::event;
use rejoin::ops::host::HostClock;
use serde_json::Value;

use crate::seed::people::{PASSWORD, Pair, Player, X_WINS, home};
use crate::seed::server::{Server, program};

/// From the open port of a server that is back until both players have the recorded result.
const RECORDED_MAX: Duration = Duration::from_secs(1);

/// Waits until both play directly.
fn direct(pair: &mut Pair) {
    pair.seats.iter_mut().for_each(|player| drop(path(player, "direct")));
}

fn path(player: &mut Player, kind: &str) -> Value {
    player.until(&[("event", "path".into()), ("path", kind.into())])
}

fn status(player: &mut Player) -> Value {
    player.done("status")["status"]["match"].clone()
}

fn score(pair: &mut Pair) -> [[u64; 4]; 2] {
    let [x, o] = pair.seats.each_ref().map(|player| player.name.clone());
    [pair.seats[0].score_of(&x), pair.seats[0].score_of(&o)]
}

/// X has won, O has lost, once.
const SCORED: [[u64; 4]; 2] = [[2, 1, 0, 0], [0, 0, 0, 1]];

#[test]
fn the_game_is_finished_without_the_server_and_recorded_within_a_second_of_its_return() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    direct(&mut pair);
    pair.play(&X_WINS[..2]);
    pair.forget();
    server.kill();
    pair.play(&X_WINS[2..]);
    for player in &mut pair.seats {
        let result = player.until(&[("event", "result".into())]);
        assert_eq!(result["recorded"], false);
    }
    let states: Vec<Value> = pair.seats[0].heard.since().iter().filter(|event| event["ply"] == 4).cloned().collect();
    let states: Vec<&str> = states.iter().filter_map(|event| event["state"].as_str()).collect();
    assert!(states.starts_with(&["sent"]), "{states:?}");
    for player in &mut pair.seats {
        let reply = player.done("delay");
        assert_eq!(reply["path"], "direct", "{reply}");
        player.link("down");
    }
    server.start_again();
    let clock = HostClock::start();
    pair.x_has_won();
    let took = Duration::from_millis(clock.now().0);
    assert!(took < RECORDED_MAX, "{took:?}");
    assert_eq!(score(&mut pair), SCORED);
    server.kill();
    server.start_again();
    pair.forget();
    pair.both_live();
    assert_eq!(score(&mut pair), SCORED, "a second kill changes nothing");
    pair.leave();
}

#[test]
fn a_client_killed_while_the_server_is_dead_is_back_at_the_board_by_itself() {
    for victims in [&[0][..], &[1], &[0, 1]] {
        let home = home();
        let mut server = Server::start(home.path());
        let mut pair = Pair::join(&server);
        direct(&mut pair);
        pair.play(&X_WINS[..2]);
        server.kill();
        pair.play(&X_WINS[2..3]);
        victims.iter().for_each(|at| pair.seats[*at].kill());
        pair.forget();
        victims.iter().for_each(|at| pair.seats[*at].start_again());
        victims.iter().for_each(|at| drop(path(&mut pair.seats[*at], "direct")));
        pair.play(&X_WINS[3..]);
        server.start_again();
        pair.x_has_won();
        assert_eq!(score(&mut pair), SCORED, "{victims:?}");
        pair.leave();
    }
}

#[test]
fn one_player_alone_settles_the_match_whoever_won() {
    for returns in 0..2 {
        let home = home();
        let mut server = Server::start(home.path());
        let mut pair = Pair::join(&server);
        direct(&mut pair);
        pair.play(&X_WINS[..2]);
        server.kill();
        pair.play(&X_WINS[2..]);
        pair.seats[1 - returns].kill();
        server.start_again();
        let recorded = [("event", "result".into()), ("recorded", true.into())];
        let result = pair.seats[returns].until(&recorded);
        assert_eq!(result["outcome"], ["win", "loss"][returns]);
        let x = pair.seats[0].name.clone();
        assert_eq!(pair.seats[returns].score_of(&x), SCORED[0]);
        pair.seats[1 - returns].start_again();
        let result = pair.seats[1 - returns].until(&recorded);
        assert_eq!(result["outcome"], ["loss", "win"][returns]);
        assert_eq!(score(&mut pair), SCORED);
        pair.leave();
    }
}

/// Another device: the name and the password, and nothing else.
fn other_device(server: &Server, name: &str) -> Player {
    let mut player = Player::open(server, &format!("{name}-elsewhere"));
    player.name = name.to_owned();
    player.done(&format!("login {name} {PASSWORD}"));
    player
}

#[test]
fn a_player_goes_on_from_another_device_and_the_old_one_cannot_write_any_more() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    direct(&mut pair);
    pair.play(&X_WINS[..2]);
    pair.forget();
    pair.seats[0].kill();
    let name = pair.seats[0].name.clone();
    let mut new = other_device(&server, &name);
    new.until(&[("event", "notice".into()), ("code", "seat-taken".into())]);
    let mut old = std::mem::replace(&mut pair.seats[0], new);
    pair.seats[1].until(&[("event", "notice".into()), ("code", "opponent-moved".into())]);
    old.start_again();
    old.until(&[("event", "notice".into()), ("code", "session-ended".into())]);
    assert_eq!(old.refused("send 3 3"), "not-logged-in", "nobody answers the old key");
    direct(&mut pair);
    pair.play(&X_WINS[2..]);
    pair.x_has_won();
    assert_eq!(score(&mut pair), SCORED);
    pair.leave();
}

#[test]
fn a_lost_match_file_is_noticed_and_play_goes_on_under_another_key() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..3]);
    let loser = &mut pair.seats[1];
    loser.kill();
    let lost = remove_matches(&loser.state);
    assert_eq!(lost, 1);
    pair.forget();
    pair.seats[1].start_again();
    pair.seats[1].until(&[("event", "notice".into()), ("code", "seat-taken".into())]);
    pair.play(&X_WINS[3..]);
    pair.x_has_won();
    pair.leave();
}

#[test]
fn a_match_that_has_moved_goes_on_through_a_server_that_was_killed() {
    let home = home();
    let mut server = Server::start(home.path());
    let join = Player::join_privately;
    let mut pair = Pair::seated(join(&server, "alice"), join(&server, "bob"), "begin bob");
    pair.play(&X_WINS[..2]);
    let x = &mut pair.seats[0];
    x.kill();
    remove_matches(&x.state);
    x.start_again();
    x.until(&[("event", "notice".into()), ("code", "seat-taken".into())]);
    pair.play(&X_WINS[2..3]);
    pair.forget();
    server.kill();
    server.start_again();
    pair.both_live();
    pair.play(&X_WINS[3..]);
    pair.x_has_won();
    assert_eq!(score(&mut pair), SCORED);
    pair.leave();
}

fn remove_matches(dir: &Path) -> usize {
    let mut removed = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            removed += remove_matches(&path);
        } else if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::remove_file(&path).unwrap();
            removed += 1;
        }
    }
    removed
}

#[test]
fn a_server_that_lost_its_state_takes_the_match_back_from_the_players() {
    let home = home();
    let mut server = Server::start(home.path());
    server.expects(event::STATE_LOST);
    server.expects(event::MATCH_TAKEN);
    let (alice, bob) = (Player::join(&server, "alice"), Player::join(&server, "bob"));
    let admin = |words: &[&str]| {
        let mut command = program();
        let done = command.arg("admin").args(words).current_dir(home.path()).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    admin(&["backup", "copy"]);
    let mut pair = Pair::seated(alice, bob, "begin bob");
    direct(&mut pair);
    pair.play(&X_WINS[..3]);
    server.kill();
    std::fs::remove_dir_all(home.path().join("state")).unwrap();
    admin(&["restore", "copy"]);
    pair.play(&X_WINS[3..4]);
    server.start_again();
    server.said("state was lost or restored");
    pair.both_live();
    pair.play(&X_WINS[4..]);
    pair.x_has_won();
    assert_eq!(score(&mut pair), SCORED);
    pair.leave();
}

#[test]
fn whoever_keeps_the_address_private_plays_through_the_server_alone() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::seated(Player::join(&server, "alice"), Player::join_privately(&server, "bob"), "begin bob");
    pair.play(&X_WINS[..2]);
    let [alice, bob] = pair.of("alice");
    bob.until(&[("event", "notice".into()), ("code", "direct-off".into())]);
    alice.until(&[("event", "notice".into()), ("code", "direct-on".into())]);
    assert!(!alice.heard.since().iter().any(|event| event["path"] == "direct"));
    pair.forget();
    server.kill();
    for player in &mut pair.seats {
        path(player, "none");
        player.opponent("away");
    }
    let x = &mut pair.seats[0];
    x.done("send 1 2");
    let seat = status(x);
    assert_eq!((seat["seen"].as_u64(), seat["kept"].as_u64(), seat["ply"].as_u64()), (Some(2), Some(2), Some(3)));
    server.start_again();
    pair.plies += 1;
    pair.see_board();
    pair.play(&X_WINS[3..]);
    pair.x_has_won();
    pair.leave();
}
