//! Sessions that are stolen, replayed, doubled and confused.

use rejoin::model::id::{Boot, Lsn, Name, SessionId};
use rejoin::model::key::Signature;
use rejoin::model::limits::OUTAGE_WAITS_MAX;
use rejoin::model::message::{Answer, CloseReason, Command, ResumeRequest, ToClient, ToServer};
use rejoin::model::outage::{Cause, OutageRecord};
use rejoin::model::password::Password;
use rejoin::model::refusal::Refusal;

use crate::rig::{
    Gate, Hashers, Honest, PASSWORD, Player, RawClient, Setup, TestServer, X_WINS, entries_of, login, new_key,
    play_all, seat,
};

#[tokio::test]
pub(crate) async fn a_session_is_taken_up_only_by_its_own_key() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let alice = Player::join(&server, "alice").await;
    let mut mallory = Player::join(&server, "mallory").await;
    let session = alice.view.session;

    let mut thief = RawClient::connect(&server).await;
    assert_eq!(thief.resume(session, &new_key()).await, Err(Refusal::SessionEnded), "a key of nobody's");
    assert_eq!(thief.resume(session, &mallory.device).await, Err(Refusal::SessionEnded), "a key of another's");
    let unsigned = ResumeRequest { session, signature: Signature::EMPTY, seen: (Boot::default(), Lsn(0)) };
    thief.send(&ToServer::Resume(unsigned)).await;
    let refused = ToClient::ResumeRefused(Refusal::SessionEnded);
    thief.wait("a refusal", |said| (*said == refused).then_some(())).await;
    let unknown = SessionId([8; 16]);
    assert_eq!(thief.resume(unknown, &mallory.device).await, Err(Refusal::SessionEnded), "no such session");
    assert_eq!(thief.request(Command::List).await, Err(Refusal::NotLoggedIn));
    server.log.line(&["resume-refused", "session-ended", "127.0.0.1"]).await;

    assert_eq!(mallory.line.resume(session, &alice.device).await, Err(Refusal::AlreadyLoggedIn));
    let view = mallory.line.request(Command::List).await;
    assert!(view.is_ok(), "who is logged in stays so");
    honest.finish();
}

#[tokio::test]
async fn of_its_outage_a_client_is_heard_once_and_a_stranger_never() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let told = |attempts| {
        let waits_ms = vec![7; 3 * OUTAGE_WAITS_MAX];
        ToServer::Outage(OutageRecord { cause: Cause::Reset, length_ms: u64::MAX, attempts, waits_ms })
    };
    let mut stranger = RawClient::connect(&server).await;
    stranger.send(&told(1001)).await;
    stranger.ping(1).await;
    let mut alice = Player::join(&server, "alice").await;
    alice.line.send(&told(1002)).await;
    alice.line.ping(1).await;
    let mut again = RawClient::connect(&server).await;
    again.resume(alice.view.session, &alice.device).await.unwrap();
    again.send(&told(1003)).await;
    again.send(&told(1004)).await;
    assert!(again.request(Command::List).await.is_ok());
    let line = server.log.line(&["outage-told", "alice", "1003"]).await;
    assert_eq!(line.matches(" 7").count(), OUTAGE_WAITS_MAX - 1, "the first of many: {line}");
    assert_eq!(server.log.count(&["outage-told", "alice"]), 1);
    assert_eq!(server.log.count(&["outage-told", "attempts=100"]), 1, "{}", server.log.text());
    honest.finish();
}

#[tokio::test]
async fn a_resume_that_was_overheard_is_worth_nothing_elsewhere() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let alice = Player::join(&server, "alice").await;
    let mut again = RawClient::connect(&server).await;
    let request = again.resume_request(alice.view.session, &alice.device);
    let mut thief = RawClient::connect(&server).await;
    thief.send(&ToServer::Resume(request.clone())).await;
    let refused = ToClient::ResumeRefused(Refusal::SessionEnded);
    thief.wait("a refusal", |said| (*said == refused).then_some(())).await;

    again.send(&ToServer::Resume(request.clone())).await;
    again.live().await;
    thief.send(&ToServer::Resume(request)).await;
    thief.wait("a refusal", |said| (*said == refused).then_some(())).await;
    assert!(again.request(Command::List).await.is_ok());
    honest.finish();
}

#[tokio::test]
async fn the_newest_connection_of_a_session_fences_the_one_before() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let (alice, bob) = (Player::join(&server, "alice").await, Player::join(&server, "bob").await);
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS[..2]).await;
    let [x, _] = &mut board;
    let (session, device) = (x.player.view.session, x.player.device.clone());

    let newer = RawClient::connect(&server).await;
    let mut newest = RawClient::connect(&server).await;
    let mut old = std::mem::replace(&mut x.player.line, newer);
    x.player.line.resume(session, &device).await.unwrap();
    // The old one plays on without looking.
    let ghost = x.sign(x.body(x.cell(3, 3)));
    let match_id = x.match_id();
    old.send(&entries_of(match_id, Vec::new(), vec![ghost])).await;
    assert_eq!(old.closing().await, CloseReason::Superseded);
    play_all(&mut board, &X_WINS[2..3]).await;

    // Both at once: one of them is live in the end, the other was told why not.
    let [x, _] = &mut board;
    let view = newest.resume(session, &device).await.unwrap();
    assert_eq!(view.matches.len(), 1);
    let mut old = std::mem::replace(&mut x.player.line, newest);
    assert_eq!(old.closing().await, CloseReason::Superseded);
    play_all(&mut board, &X_WINS[3..]).await;
    for at in &mut board {
        at.verdict().await;
    }
    honest.finish();
}

#[tokio::test]
async fn of_many_resumes_at_once_one_is_live_and_the_others_are_told() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let alice = Player::join(&server, "alice").await;
    let mut lines = Vec::new();
    for _ in 0..8 {
        lines.push(RawClient::connect(&server).await);
    }
    for line in &mut lines {
        let request = line.resume_request(alice.view.session, &alice.device);
        line.send(&ToServer::Resume(request)).await;
    }
    // Signatures are checked side by side: that of a newer connection may be checked first.
    let late = |said: &ToClient| matches!(said, ToClient::Closing { why: CloseReason::Silent, .. });
    let answered = |said: &ToClient| (matches!(said, ToClient::Live(_)) || late(said)).then(|| !late(said));
    let mut let_in = Vec::new();
    for mut line in lines {
        if line.wait("the view or the end", answered).await {
            let_in.push(line);
        }
    }
    let mut live = 0;
    for mut line in let_in {
        let seq = line.ask(Command::List).await;
        let outcome = |said: &ToClient| {
            if let ToClient::Closing { why, .. } = said {
                assert_eq!(*why, CloseReason::Superseded);
                return Some(false);
            }
            matches!(said, ToClient::Answer { seq: of, result: Ok(_) } if *of == seq).then_some(true)
        };
        live += u32::from(line.wait("an answer or the end", outcome).await);
    }
    assert_eq!(live, 1);
    honest.finish();
}

#[tokio::test]
async fn a_second_device_must_wait_until_the_first_is_gone() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut alice = Player::join(&server, "alice").await;
    let mut second = RawClient::connect(&server).await;
    let device = new_key();
    assert_eq!(second.login("alice", PASSWORD, &device).await, Err(Refusal::LoggedInElsewhere));
    assert_eq!(second.login("alice", "wrong horse", &device).await, Err(Refusal::WrongPassword));
    assert!(alice.line.request(Command::List).await.is_ok(), "the first is not disturbed");

    let session = alice.view.session;
    alice.line.request(Command::Logout).await.unwrap();
    let view = second.login("alice", PASSWORD, &device).await.unwrap();
    assert_ne!(view.session, session);
    assert_eq!(alice.line.resume(session, &alice.device).await, Err(Refusal::SessionEnded));
    assert_eq!(second.login("alice", PASSWORD, &device).await, Err(Refusal::AlreadyLoggedIn));
    honest.finish();
}

#[tokio::test]
async fn a_session_outlives_a_killed_server_and_ends_with_its_logout() {
    let mut server = TestServer::start();
    let alice = Player::join(&server, "alice").await;
    let bob = Player::join(&server, "bob").await;
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS[..3]).await;
    server.kill();
    server.restart();
    assert_eq!((server.report.sessions, server.report.matches), (2, 1));
    assert_eq!(server.report.ended_well, Some(false));
    for at in &mut board {
        let line = RawClient::connect(&server).await;
        let mut old = std::mem::replace(&mut at.player.line, line);
        let _ = old.rest().await;
        at.player.line.resume(at.player.view.session, &at.player.device).await.unwrap();
    }
    play_all(&mut board, &X_WINS[3..]).await;
    for at in &mut board {
        at.verdict().await;
        at.player.line.request(Command::Logout).await.unwrap();
    }
    server.stop().await.unwrap();
    server.restart();
    assert_eq!((server.report.sessions, server.report.ended_well), (0, Some(true)));
    let mut line = RawClient::connect(&server).await;
    let ended = line.resume(board[0].player.view.session, &board[0].player.device).await;
    assert_eq!(ended, Err(Refusal::SessionEnded));
}

#[tokio::test]
async fn a_match_that_was_left_blocks_nobody_and_is_offered_again() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let (alice, bob) = (Player::join(&server, "alice").await, Player::join(&server, "bob").await);
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS[..2]).await;
    let match_id = board[0].match_id();
    let chain = board[0].chain.clone();
    let [mut one, other] = board.map(|at| at.player);
    one.line.request(Command::Leave { match_id }).await.unwrap();
    assert_eq!(one.line.request(Command::Leave { match_id }).await, Err(Refusal::NoMatch));
    // Both are free for others.
    let carol = Player::join(&server, "carol").await;
    let mut aside = seat(carol, other, "tictactoe").await;
    play_all(&mut aside, &X_WINS).await;
    for at in &mut aside {
        at.verdict().await;
    }
    let [mut away, mut back] = aside.map(|at| at.player);
    if back.name.as_str() == "carol" {
        std::mem::swap(&mut away, &mut back);
    }
    let back = back.resume_over(RawClient::connect(&server).await).await;
    let offered = ToClient::Offered { match_id };
    one.line.wait("the offer", |said| (*said == offered).then_some(())).await;
    assert_eq!(
        back.view.matches.iter().find(|of| of.grant.body.match_id == match_id).unwrap().grant.body,
        *chain.grant()
    );
    honest.finish();
}

fn passwd(old: &str, new: &str) -> Command {
    Command::Passwd { old: Password::new(old).unwrap(), new: Password::new(new).unwrap() }
}

/// A password is checked for the session that asked, and the check takes a while: long enough to become somebody else.
#[tokio::test]
async fn a_password_that_was_right_for_one_user_changes_no_others() {
    let gate = Gate::new();
    let server = TestServer::with(Setup { hashers: Hashers::Gated(gate.clone()), ..Setup::default() });
    let honest = Honest::begin(&server);
    let victim = Player::join(&server, "victim").await;
    let mut mallory = Player::join(&server, "mallory").await;
    gate.close();
    let change = mallory.line.ask(passwd(PASSWORD, "mine from now on")).await;
    gate.holds(1).await;
    mallory.line.request(Command::Logout).await.unwrap();
    // With a device that was left open, but without its user's password.
    mallory.line.resume(victim.view.session, &victim.device).await.unwrap();
    gate.open();
    assert_eq!(mallory.line.answer(change).await, Err(Refusal::NotLoggedIn));
    mallory.line.request(Command::Logout).await.unwrap();
    let mut line = RawClient::connect(&server).await;
    assert!(line.login("victim", PASSWORD, &victim.device).await.is_ok(), "it is what it was");
    honest.finish();
}

/// A connection has one user, whatever it asks for at once.
#[tokio::test]
async fn a_login_and_a_resume_side_by_side_make_one_user() {
    let gate = Gate::new();
    let server = TestServer::with(Setup { hashers: Hashers::Gated(gate.clone()), ..Setup::default() });
    let honest = Honest::begin(&server);
    let one = Player::join(&server, "one").await;
    let mut other = Player::join(&server, "other").await;
    other.line.request(Command::Logout).await.unwrap();
    let mut line = RawClient::connect(&server).await;
    gate.close();
    let login = line.ask(login("other", PASSWORD, other.device.public())).await;
    gate.holds(1).await;
    line.resume(one.view.session, &one.device).await.unwrap();
    gate.open();
    assert_eq!(line.answer(login).await, Err(Refusal::AlreadyLoggedIn));
    let mut watcher = Player::join(&server, "watcher").await;
    drop(line);
    server.log.line(&["link-lost", "user=one", "cause=\"reset\""]).await;
    let Ok(Answer::Users { rows, .. }) = watcher.line.request(Command::List).await else { panic!() };
    let known: Vec<&Name> = rows.iter().map(|row| &row.name).collect();
    assert!(!known.contains(&&other.name), "{rows:?}");
    honest.finish();
}
