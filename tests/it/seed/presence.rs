//! Who is there, and what the log says of it: D12, D20.

use std::time::Duration;

use rejoin::model::limits::SILENCE_MATCH_MAX;
use rejoin::model::time::Clock;
use rejoin::ops::host::HostClock;
use rustix::process::Signal;

use super::people::{Pair, Player, X_WINS, home};
use super::server::Server;

/// What a busy machine may add.
const LATE_MAX: Duration = Duration::from_secs(2);

#[test]
fn d12_a_dead_player_is_away_within_the_heartbeat_limit_and_cannot_be_invited() {
    let home = home();
    let server = Server::start(home.path());
    let [mut carol, mut dave] = ["carol", "dave"].map(|name| Player::join(&server, name));
    let mut pair = Pair::join(&server);
    let [alice, bob] = pair.of("alice");
    let away_in_time = |player: &mut Player| {
        let clock = HostClock::start();
        player.opponent("away");
        let took = Duration::from_millis(clock.now().0);
        assert!(took < SILENCE_MATCH_MAX + LATE_MAX, "{took:?}");
    };
    // Alive, and silent: only the heartbeat can tell.
    bob.signal(Signal::STOP);
    away_in_time(alice);
    server_sees(&mut carol, "bob", "away");
    alice.heard.forget();
    bob.signal(Signal::CONT);
    alice.opponent("here");
    server_sees(&mut carol, "bob", "busy");
    alice.heard.forget();
    bob.kill();
    away_in_time(alice);
    server_sees(&mut carol, "bob", "away");
    assert_eq!(carol.refused("begin bob"), "opponent-busy");
    alice.done("leave");
    assert_eq!(carol.refused("begin bob"), "opponent-offline");
    dave.kill();
    server_sees(&mut carol, "dave", "away");
    assert_eq!(carol.refused("begin dave"), "opponent-offline");
    assert_eq!(carol.refused("begin nobody"), "no-such-user");
    carol.leave();
}

/// Asks until the server has heard of it.
fn server_sees(player: &mut Player, name: &str, state: &str) {
    let clock = HostClock::start();
    while player.state_of(name).as_deref() != Some(state) {
        assert!(clock.now().0 < 10_000, "{name} is not {state}");
    }
}

#[test]
fn d20_the_log_names_both_players_the_winner_and_the_address_of_who_was_lost() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    let [x, o] = pair.seats.each_ref().map(|player| player.name.clone());
    let (id, x_is, o_is) = (pair.match_id.clone(), format!("x={x} "), format!("o={o} "));
    let ips = ["x_ip=\"127.0.0.1\"", "o_ip=\"127.0.0.1\""];
    for name in [&x, &o] {
        server.logged(&["INFO", "event=\"user-added\"", &format!("user={name} "), "ip=127.0.0.1"]);
        server.logged(&["INFO", "event=\"login-ok\"", &format!("user={name} "), "ip=127.0.0.1"]);
    }
    server.logged(&["event=\"connected\"", "ip=127.0.0.1", "port="]);
    server.logged(&["event=\"match-started\"", &id, &x_is, &o_is, ips[0], ips[1]]);
    pair.seats[1].kill();
    server.logged(&["event=\"link-lost\"", &format!("user={o} "), "ip=127.0.0.1", "cause=\"reset\""]);
    server.logged(&["event=\"disconnected\"", "ip=127.0.0.1"]);
    pair.seats[1].start_again();
    server.logged(&["event=\"resumed\"", &format!("user={o} "), "ip=127.0.0.1"]);
    pair.play(&X_WINS);
    pair.x_has_won();
    server.logged(&["event=\"match-settled\"", &id, &x_is, &o_is, ips[0], ips[1], &format!("winner=\"{x}\"")]);
    pair.leave();
    server.stop();
    server.logged(&["event=\"server-stopping\""]);
}
