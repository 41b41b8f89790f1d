//! What was lost, or never said, when the server went away: D1 to D5, D23.

use std::net::TcpStream;
use std::time::Duration;

use rejoin::model::time::Clock;
use rejoin::ops::host::HostClock;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::PATIENCE;
use super::people::{Pair, Player, X_WINS, home};
use super::server::Server;

/// From the kill until the server is ready on its port again, debug build and busy machine included.
const BACK_MAX: Duration = Duration::from_secs(5);
/// How long a dead server's clients are watched.
const WATCHED: Duration = Duration::from_secs(3);
/// Dials in that time: the mean pause is 250 ms, so a schedule makes about 15 and a busy loop thousands.
const DIALS_MAX: usize = 40;

#[test]
fn d1_the_result_survives_kill_9_and_nobody_crashes() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..4]);
    pair.forget();
    server.kill();
    let [x, o] = &mut pair.seats;
    x.link("down");
    o.link("down");
    let (row, col) = X_WINS[4];
    x.done(&format!("send {row} {col}"));
    server.start_again();
    pair.plies += 1;
    pair.see_board();
    pair.x_has_won();
    let (x, o) = (pair.seats[0].name.clone(), pair.seats[1].name.clone());
    assert_eq!(pair.seats[1].score_of(&x), [2, 1, 0, 0]);
    assert_eq!(pair.seats[1].score_of(&o), [0, 0, 0, 1]);
    pair.leave();
}

#[test]
fn d2_a_planned_stop_in_mid_game_is_announced_and_crashes_nobody() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..2]);
    pair.forget();
    server.stop();
    for player in &mut pair.seats {
        player.until(&[("event", "notice".into()), ("code", "restarting".into())]);
        player.link("down");
    }
    pair.forget();
    server.start_again();
    server.said("the last run ended well; 2 sessions and 1 match recovered");
    pair.both_live();
    pair.play(&X_WINS[2..]);
    pair.x_has_won();
    pair.leave();
}

#[test]
fn d3_the_same_port_takes_connections_right_after_each_of_ten_kills() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut player = Player::join(&server, "alice");
    // These never hang up: their ends hold the old connections open for the whole test.
    let mut idle = Vec::new();
    let clock = HostClock::start();
    for kill in 1..=10 {
        idle.push(TcpStream::connect(server.addr).unwrap());
        player.heard.forget();
        let killed = clock.now();
        server.kill();
        server.start_again();
        drop(TcpStream::connect(server.addr).unwrap());
        let took = clock.now().since(killed);
        assert!(took < BACK_MAX, "kill {kill}: {took:?}");
        player.live();
    }
    player.leave();
}

#[test]
fn d3_a_parent_that_holds_the_port_takes_connections_even_while_there_is_no_server() {
    let home = home();
    let mut server = Server::supervised(home.path());
    let mut pair = Pair::join(&server);
    for place in X_WINS {
        pair.forget();
        server.kill_worker();
        TcpStream::connect(server.addr).expect("nobody is refused");
        server.ready();
        pair.both_live();
        pair.play(&[place]);
    }
    pair.x_has_won();
    pair.leave();
    server.stop();
}

#[test]
fn d4_a_restart_says_how_the_last_run_ended_and_remembers_logins_invitations_and_matches() {
    let home = home();
    let mut server = Server::start(home.path());
    server.said("run 1: a new server; 0 sessions and 0 matches recovered");
    let mut carol = Player::join(&server, "carol");
    let mut dave = Player::join(&server, "dave");
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..1]);
    carol.done("begin dave");
    carol.heard.forget();
    dave.heard.forget();
    pair.forget();
    server.kill();
    server.start_again();
    server.said("run 2: the last run failed; 4 sessions and 1 match recovered");
    server.logged(&["WARN", "the last run failed", "event=\"recovered\"", "sessions=4", "matches=1"]);
    pair.both_live();
    pair.see_board();
    carol.live();
    dave.live();
    dave.done("accept carol");
    carol.until(&[("event", "match".into()), ("opponent", "dave".into())]);
    server.stop();
    server.start_again();
    server.said("run 3: the last run ended well; 4 sessions and 2 matches recovered");
}

#[test]
fn d5_an_idle_player_is_told_of_the_outage_and_never_shown_an_empty_list() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut alice = Player::join(&server, "alice");
    let bob = Player::join(&server, "bob");
    alice.heard.forget();
    server.kill();
    alice.link("down");
    alice.say("list");
    // It is answered at once, so the program has read the line before.
    assert_eq!(alice.done("status")["status"]["user"], "alice");
    assert!(!alice.heard.since().iter().any(|event| event["command"] == "list"), "nobody can know");
    server.start_again();
    let reply = alice.until(&[("event", "reply".into()), ("command", "list".into())]);
    assert_eq!(reply["ok"], true, "{reply}");
    assert_eq!(reply["users"].as_array().unwrap().len(), 2, "{reply}");
    let live = |event: &serde_json::Value| event["event"] == "link" && event["state"] == "live";
    let listed = |event: &serde_json::Value| event["command"] == "list";
    let events = alice.heard.since();
    assert!(events.iter().position(live) < events.iter().position(listed), "{events:?}");
    alice.leave();
    bob.leave();
}

#[test]
fn d23_while_the_server_is_down_its_clients_dial_now_and_then() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut player = Player::join(&server, "alice");
    player.heard.forget();
    let cpu_before = cpu_time(&player);
    server.kill();
    let dials = count_dials(&server);
    let cpu = cpu_time(&player).checked_sub(cpu_before).unwrap();
    assert!((3..=DIALS_MAX).contains(&dials), "{dials} dials in {WATCHED:?}");
    assert!(cpu < WATCHED / 4, "{cpu:?} of processor time in {WATCHED:?}");
    server.start_again();
    let attempts = player.live()["attempts"].as_u64().unwrap();
    assert!(attempts >= u64::try_from(dials).unwrap(), "{attempts} attempts, {dials} dials");
    player.leave();
}

/// Connections taken, and closed at once, where the server was.
fn count_dials(server: &Server) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(server.addr).await.unwrap();
        timeout(PATIENCE, listener.accept()).await.expect("it dials in time").unwrap();
        let mut dials = 1;
        let count = async {
            loop {
                listener.accept().await.unwrap();
                dials += 1;
            }
        };
        let counted: Result<(), _> = timeout(WATCHED, count).await;
        assert!(counted.is_err(), "it counts to the end");
        dials
    })
}

/// Processor time a process has used.
#[cfg(target_os = "linux")]
fn cpu_time(player: &Player) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", player.pid())).unwrap();
    // The name in parentheses may hold blanks; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

/// Elsewhere only the dials are counted.
#[cfg(not(target_os = "linux"))]
fn cpu_time(_player: &Player) -> Duration {
    Duration::ZERO
}
