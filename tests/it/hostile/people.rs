//! Requests that cannot be granted: of strangers, to oneself, too many, twice.

use rejoin::model::games::GameSpec;
use rejoin::model::id::{MatchId, Name};
use rejoin::model::limits::INVITES_OPEN_MAX;
use rejoin::model::message::{Answer, Command, Have, InviteEnd, KeeperMessage, ToClient, ToServer};
use rejoin::model::password::Password;
use rejoin::model::refusal::Refusal;
use rejoin::model::statement::{Base, Ruling};

use crate::rig::{Honest, PASSWORD, Player, RawClient, TestServer, entries_of, new_key, proofs_of};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn begin(to: &str) -> Command {
    Command::Begin { to: name(to), game: GameSpec::named("tictactoe").unwrap(), key: new_key().public() }
}

fn accept(from: &str) -> Command {
    Command::Accept { from: name(from), key: new_key().public() }
}

#[tokio::test]
async fn a_stranger_is_told_to_log_in_first() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut stranger = RawClient::connect(&server).await;
    let password = || Password::new(PASSWORD).unwrap();
    let match_id = MatchId([7; 16]);
    let requests = [
        Command::Passwd { old: password(), new: Password::new("another one").unwrap() },
        Command::Logout,
        Command::List,
        Command::Leaders,
        begin("anna"),
        accept("anna"),
        Command::Decline { from: name("anna") },
        Command::Leave { match_id },
        Command::TakeSeat { match_id, key: new_key().public() },
    ];
    for request in requests {
        assert_eq!(stranger.request(request.clone()).await, Err(Refusal::NotLoggedIn), "{request:?}");
    }
    let keeper = [
        ToServer::Keeper(KeeperMessage::Have(Have { match_id, epoch: 1, head: Base::NONE })),
        entries_of(match_id, Vec::new(), Vec::new()),
    ];
    for message in keeper {
        stranger.send(&message).await;
        let refused = |said: &ToClient| {
            let refusal = Refusal::NotAPlayer;
            (*said == ToClient::EntryRefused { match_id, ply: 0, refusal }).then_some(())
        };
        stranger.wait("a refusal", refused).await;
    }
    stranger.send(&proofs_of(match_id, Vec::new(), Vec::new())).await;
    stranger.send(&ToServer::Stored { match_id, ruling: Ruling::Void }).await;
    stranger.catch_up().await;
    assert_eq!(stranger.unread(), [], "what is nobody's business gets no answer");
    honest.finish();
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_one_answer() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut client = RawClient::connect(&server).await;
    let device = new_key();
    for who in ["nobody", "anna"] {
        assert_eq!(client.login(who, "wrong horse", &device).await, Err(Refusal::WrongPassword));
        server.log.line(&["login-failed", who, "127.0.0.1"]).await;
    }
    assert_eq!(client.add_user("ANNA", PASSWORD).await, Err(Refusal::UserExists), "names are unique without case");
    honest.finish();
}

#[tokio::test]
async fn nobody_plays_alone_or_with_whoever_is_not_there() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut alice = Player::join(&server, "alice").await;
    drop(Player::join(&server, "gone").await);
    server.log.line(&["link-lost", "gone"]).await;
    assert_eq!(alice.line.request(begin("alice")).await, Err(Refusal::Yourself));
    assert_eq!(alice.line.request(begin("ALICE")).await, Err(Refusal::Yourself));
    assert_eq!(alice.line.request(begin("nobody")).await, Err(Refusal::NoSuchUser));
    assert_eq!(alice.line.request(begin("gone")).await, Err(Refusal::OpponentOffline));
    let game = GameSpec { family: "mnk".to_owned(), version: 1, params: vec![255; 64] };
    let odd = Command::Begin { to: name("anna"), game, key: new_key().public() };
    assert_eq!(alice.line.request(odd).await, Err(Refusal::UnknownGame));
    honest.finish();
}

#[tokio::test]
async fn nobody_is_flooded_with_invitations() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut alice = Player::join(&server, "alice").await;
    let mut asked = Vec::new();
    for number in 0..=INVITES_OPEN_MAX {
        asked.push(Player::join(&server, &format!("guest-{number}")).await);
    }
    for number in 0..INVITES_OPEN_MAX {
        assert_eq!(alice.line.request(begin(&format!("guest-{number}"))).await, Ok(Answer::Done));
    }
    let last = format!("guest-{INVITES_OPEN_MAX}");
    assert_eq!(alice.line.request(begin("guest-0")).await, Err(Refusal::AlreadyInvited));
    assert_eq!(alice.line.request(begin(&last)).await, Err(Refusal::TooManyInvites));

    asked[0].line.request(Command::Decline { from: name("alice") }).await.unwrap();
    assert_eq!(alice.line.request(begin(&last)).await, Ok(Answer::Done), "a place is free");
    let invited = |message: &ToClient| matches!(message, ToClient::Invited(_)).then_some(());
    for guest in &mut asked {
        guest.line.wait("an invitation", invited).await;
        guest.line.catch_up().await;
        assert_eq!(guest.line.unread().iter().filter_map(invited).count(), 0, "one is enough");
    }
    honest.finish();
}

#[tokio::test]
async fn an_invitation_is_answered_once() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut alice = Player::join(&server, "alice").await;
    let mut bob = Player::join(&server, "bob").await;

    assert_eq!(bob.line.request(accept("alice")).await, Err(Refusal::NoInvite));
    assert_eq!(bob.line.request(accept("nobody")).await, Err(Refusal::NoSuchUser));
    alice.line.request(begin("bob")).await.unwrap();
    assert_eq!(alice.line.request(accept("alice")).await, Err(Refusal::NoInvite), "it is not alice's to accept");
    bob.line.request(Command::Decline { from: name("alice") }).await.unwrap();
    assert_eq!(bob.line.request(Command::Decline { from: name("alice") }).await, Err(Refusal::NoInvite));
    assert_eq!(bob.line.request(accept("alice")).await, Err(Refusal::NoInvite));
    let declined = ToClient::InviteClosed { with: name("bob"), why: InviteEnd::Declined };
    alice.line.wait("the no", |message| (*message == declined).then_some(())).await;

    alice.line.request(begin("bob")).await.unwrap();
    assert_eq!(bob.line.request(accept("alice")).await, Ok(Answer::Done));
    assert_eq!(bob.line.request(accept("alice")).await, Err(Refusal::NoInvite));
    assert_eq!(bob.line.request(begin("alice")).await, Err(Refusal::InMatch));
    let mut carol = Player::join(&server, "carol").await;
    assert_eq!(carol.line.request(begin("bob")).await, Err(Refusal::OpponentBusy));
    assert_eq!(server.log.count(&["match-started", "alice"]), 1);
    honest.finish();
}

#[tokio::test]
async fn a_request_that_comes_twice_is_carried_out_once() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut alice = Player::join(&server, "alice").await;
    let mut bob = Player::join(&server, "bob").await;
    let seq = alice.line.ask(begin("bob")).await;
    let same = ToServer::Request { seq, command: begin("bob") };
    alice.line.send(&same).await;
    for _ in 0..2 {
        assert_eq!(alice.line.answer(seq).await, Ok(Answer::Done));
    }
    alice.line.request(Command::Logout).await.unwrap();
    bob.line.catch_up().await;
    let seen = bob.line.unread();
    assert_eq!(seen.iter().filter(|message| matches!(message, ToClient::Invited(_))).count(), 1, "{seen:?}");
    assert_eq!(seen.iter().filter(|message| matches!(message, ToClient::InviteClosed { .. })).count(), 1);
    honest.finish();
}
