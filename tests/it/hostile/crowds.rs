//! Too many of everything.

use std::net::IpAddr;

use rejoin::model::limits::{
    FAILURES_PER_MINUTE_USER, HASH_BUSY_RETRY, HASH_QUEUE_MAX, LOGINS_BURST_IP, SEND_QUEUE_MAX, SILENCE_MATCH_MAX,
    STRANGERS_PER_IP_MAX,
};
use rejoin::model::message::{Answer, Command, ToClient, UserState};
use rejoin::model::refusal::Refusal;
use rejoin::net::tls;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::rig::{
    Gate, Hashers, Honest, Line, PASSWORD, Player, RawClient, Setup, TLS, TestServer, login, new_key, patiently, seat,
};

const ELSEWHERE: &str = "203.0.113.7";

fn elsewhere() -> IpAddr {
    ELSEWHERE.parse().unwrap()
}

async fn from_elsewhere(server: &TestServer) -> RawClient {
    Line::over(server.dial_from(elsewhere()).await).await.hello().await
}

#[tokio::test]
async fn three_hundred_open_connections_disturb_nobody() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut open = Vec::new();
    for _ in 0..270 {
        open.push(server.dial().await);
    }
    let mut greeted = Vec::new();
    for number in 1..=30 {
        let mut client = RawClient::connect(&server).await;
        assert!(client.ping(number).await < SILENCE_MATCH_MAX);
        greeted.push(client);
    }
    let late = Player::join(&server, "late").await;
    assert_eq!(late.view.matches, []);
    assert_eq!(open.len() + greeted.len(), 300);
    honest.finish();
}

#[tokio::test]
async fn one_address_has_a_share_of_the_places_and_gets_them_back() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut hoarder = Player::join_over(from_elsewhere(&server).await, "hoarder").await;
    let mut hoard = Vec::new();
    for _ in 0..STRANGERS_PER_IP_MAX {
        hoard.push(server.dial_from(elsewhere()).await);
    }
    let mut one_more = server.dial_from(elsewhere()).await;
    let ended = patiently("the server to hang up", one_more.read(&mut [0])).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    server.log.line(&["turned-away", "too many connections", ELSEWHERE]).await;
    hoarder.line.ping(1).await;
    Player::join(&server, "neighbour").await;

    // Places are given back as the server notices, and then there is one for a newcomer.
    drop(hoard);
    patiently("a place", async { while served(server.dial_from(elsewhere()).await).await.is_none() {} }).await;
    honest.finish();
}

/// A handshake, if the server has a place for one.
async fn served(stream: TcpStream) -> Option<()> {
    tls::connect(stream, &TLS, "localhost").await.ok().map(drop)
}

#[tokio::test]
async fn logins_from_one_address_are_slowed_and_resumes_are_not() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut flood = from_elsewhere(&server).await;
    let device = new_key();
    for number in 0..LOGINS_BURST_IP {
        let name = format!("nobody-{number}");
        assert_eq!(flood.login(&name, PASSWORD, &device).await, Err(Refusal::WrongPassword), "{number}");
    }
    for busy in
        [flood.login("nobody", PASSWORD, &device).await.map(drop), flood.add_user("new", PASSWORD).await.map(drop)]
    {
        let Err(Refusal::Busy { retry_after_ms }) = busy else { panic!("{busy:?}") };
        assert!((1..=3_000).contains(&retry_after_ms), "{retry_after_ms}");
    }
    let local = Player::join(&server, "local").await;
    let same_network = from_elsewhere(&server).await;
    let mut back = local.resume_over(same_network).await;
    assert!(back.line.request(Command::List).await.is_ok());
    honest.finish();
}

#[tokio::test]
async fn guessing_one_users_password_is_slowed() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut alice = Player::join(&server, "alice").await;
    let mut guesser = from_elsewhere(&server).await;
    let device = new_key();
    for guess in 0..FAILURES_PER_MINUTE_USER {
        let guess = format!("password{guess}");
        assert_eq!(guesser.login("alice", &guess, &device).await, Err(Refusal::WrongPassword));
    }
    let slowed = guesser.login("alice", "password9", &device).await;
    assert!(matches!(slowed, Err(Refusal::Busy { .. })), "{slowed:?}");
    assert_eq!(server.log.count(&["login-failed", "alice", ELSEWHERE]), FAILURES_PER_MINUTE_USER as usize);
    assert!(alice.line.request(Command::List).await.is_ok());
    honest.finish();
}

#[tokio::test]
async fn a_flood_of_logins_waits_or_is_told_when_to_come_back() {
    let gate = Gate::new();
    let server = TestServer::with(Setup { hashers: Hashers::Gated(gate.clone()), ..Setup::default() });
    let honest = Honest::begin(&server);
    let mut watcher = Player::join(&server, "watcher").await;
    gate.close();
    let mut flood = Vec::new();
    for number in 0..HASH_QUEUE_MAX {
        let mut client = RawClient::connect(&server).await;
        let seq = client.ask(login(&format!("nobody-{number}"), PASSWORD, new_key().public())).await;
        flood.push((client, seq));
    }
    gate.holds(HASH_QUEUE_MAX).await;
    let busy = Err(Refusal::busy(HASH_BUSY_RETRY));
    let mut late = RawClient::connect(&server).await;
    assert_eq!(late.login("watcher", PASSWORD, &new_key()).await.map(drop), busy);
    assert_eq!(late.add_user("new", PASSWORD).await.map(drop), busy);
    let (first, _) = &mut flood[0];
    assert_eq!(first.add_user("new", PASSWORD).await.map(drop), busy, "one at a time for each connection");

    assert!(watcher.line.ping(1).await < SILENCE_MATCH_MAX);
    let (session, device) = (watcher.view.session, watcher.device.clone());
    late.resume(session, &device).await.expect("a resume does not wait behind logins");
    gate.open();
    for (client, seq) in &mut flood {
        assert_eq!(client.answer(*seq).await, Err(Refusal::WrongPassword));
    }
    honest.finish();
}

#[tokio::test]
async fn real_hashing_under_a_flood_leaves_the_others_their_heartbeat() {
    let server = TestServer::with(Setup { hashers: Hashers::Real, ..Setup::default() });
    let honest = Honest::begin(&server);
    let mut flood = Vec::new();
    for number in 0..20 {
        let mut client = RawClient::connect(&server).await;
        let seq = client.ask(login(&format!("nobody-{number}"), PASSWORD, new_key().public())).await;
        flood.push((client, seq));
    }
    let mut watcher = RawClient::connect(&server).await;
    for number in 1..=5 {
        assert!(watcher.ping(number).await < SILENCE_MATCH_MAX);
    }
    for (client, seq) in &mut flood {
        assert_eq!(client.answer(*seq).await, Err(Refusal::WrongPassword));
    }
    honest.finish();
}

/// It pings, so it is not silent; but what it is sent stays in the kernel, and then in the server's queue.
#[tokio::test]
async fn a_client_that_never_reads_is_dropped_and_only_that_one() {
    let server = TestServer::with(Setup { send_buffer: Some(4096), ..Setup::default() });
    let honest = Honest::begin(&server);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let small = socket.connect(server.addr).await.unwrap();
    let deaf = Player::join_over(Line::over(small).await.hello().await, "deaf").await;
    let other = Player::join(&server, "other").await;
    let mut board = seat(deaf, other, "tictactoe").await;
    let deaf_at = board.iter().position(|at| at.player.name.as_str() == "deaf").unwrap();
    board[deaf_at].player.line.stop_reading();
    let other = &mut board[1 - deaf_at];
    // What is said to the deaf one as often as one likes: that the opponent is here.
    let (session, device) = (other.player.view.session, other.player.device.clone());
    let mut said = 0;
    while server.log.count(&["misbehaved", "does not read"]) == 0 {
        other.player.line = RawClient::connect(&server).await;
        other.player.line.resume(session, &device).await.unwrap();
        said += 1;
        assert!(said < 10 * SEND_QUEUE_MAX, "it is held for ever");
    }
    server.log.line(&["misbehaved", "does not read"]).await;
    let Ok(Answer::Users { rows, .. }) = other.player.line.request(Command::List).await else { panic!() };
    let state = |name: &str| rows.iter().find(|row| row.name.as_str() == name).unwrap().state;
    assert_eq!((state("deaf"), state("other")), (UserState::Away, UserState::Busy));

    // It may come back and play on.
    let line = RawClient::connect(&server).await;
    let deaf = &mut board[deaf_at].player;
    let (session, device) = (deaf.view.session, deaf.device.clone());
    deaf.line = line;
    deaf.line.resume(session, &device).await.unwrap();
    crate::rig::play_all(&mut board, &crate::rig::X_WINS).await;
    honest.finish();
}

#[tokio::test]
async fn a_player_who_falls_silent_in_a_match_is_away_after_a_second_and_the_opponent_is_told() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let (mute, other) = (Player::join(&server, "mute").await, Player::join(&server, "other").await);
    let mut board = seat(mute, other, "tictactoe").await;
    let mute_at = board.iter().position(|at| at.player.name.as_str() == "mute").unwrap();
    board[mute_at].player.line.stop_pinging();
    let other = &mut board[1 - mute_at];
    let gone = ToClient::Opponent { match_id: other.match_id(), here: false };
    other.player.line.wait("word that the opponent is away", |said| (*said == gone).then_some(())).await;
    server.log.line(&["link-lost", "mute", "silence"]).await;
    honest.finish();
}
