//! Matches: what is on disk before it leaves, what is found again, and what others can check.

use rejoin::model::games::GameSpec;
use rejoin::model::id::MatchId;
use rejoin::model::key::{PublicKey, SecretKey, Signature};
use rejoin::model::message::{Answer, Command, KeeperMessage, MatchView, ToClient, ToServer};
use rejoin::model::sign::Signed;
use rejoin::model::statement::{Base, Grant};
use serde_json::Value;

use super::disk::SlowDisk;
use super::link::logged_in;
use super::server::{ALICE, BOB, Conn, Server};
use super::*;

const MATCH: MatchId = MatchId([5; 16]);

fn on(disk: &SlowDisk) -> Seams {
    Seams { disk: Arc::new(disk.clone()), ..seams() }
}

async fn type_begin(client: &ClientHandle) {
    type_in(client, Typed::Begin(name("bob"), GameSpec::named("tictactoe").unwrap())).await;
}

async fn type_move(client: &ClientHandle) {
    type_in(client, Typed::Send(vec!["2".to_owned(), "2".to_owned()])).await;
}

/// Reads alice's `begin` and seats her, as X, in a match with bob.
async fn seat(server: &Server, conn: &mut Conn) {
    let (seq, key) = match conn.read().await {
        ToServer::Request { seq, command: Command::Begin { key, .. } } => (seq, key),
        other => panic!("not a begin: {other:?}"),
    };
    let grant = Grant {
        server: server.id(),
        match_id: MATCH,
        epoch: 1,
        base: Base::NONE,
        users: [ALICE, BOB],
        keys: [key, SecretKey::from_seed(&[3; 32]).public()],
        game: GameSpec::named("tictactoe").unwrap(),
        settle_by: HostClock::start().wall(),
    };
    let grant = Signed::by(server.key(), &server.id(), grant);
    let names = [name("alice"), name("bob")];
    let view = MatchView { grant, names, active: true, opponent_here: true };
    let answer = ToClient::Answer { seq, result: Ok(Answer::Done) };
    conn.send_all(&[answer, ToClient::Matched(Box::new(view))]).await;
}

async fn seated(client: &mut ClientHandle) {
    event(client, |event| matches!(event, Event::Match { .. }).then_some(())).await;
}

/// Alice, seated in a match in which she has moved once.
async fn in_a_match(server: &Server, config: Config, seams: Seams) -> (ClientHandle, Conn) {
    let (mut client, mut conn, _) = logged_in(server, config, seams).await;
    type_begin(&client).await;
    seat(server, &mut conn).await;
    seated(&mut client).await;
    type_move(&client).await;
    assert!(matches!(conn.read().await, ToServer::Keeper(KeeperMessage::Entries(_))));
    (client, conn)
}

#[tokio::test]
async fn nothing_is_sent_before_it_is_on_disk() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let disk = SlowDisk::default();
    let mut client = start(pinned(&server, &dirs.state), on(&disk)).unwrap();
    type_login(&client).await;
    let mut conn = server.greet().await;
    server.log_in(&mut conn, Vec::new()).await;
    assert_eq!(disk.synced("known_servers"), 1, "before the server is used");
    assert_eq!(disk.synced("device.key"), 1, "before the key is used");
    type_begin(&client).await;
    seat(&server, &mut conn).await;
    assert_eq!(disk.synced("offers"), 1, "before the match key is offered");
    assert_eq!(disk.synced("session"), 1);
    seated(&mut client).await;
    type_move(&client).await;
    assert!(matches!(conn.read().await, ToServer::Keeper(KeeperMessage::Entries(_))));
    // The file, its grant, the entry.
    assert_eq!(disk.synced("match-"), 3, "before the entry leaves");
    assert_eq!(disk.synced("offers"), 2, "the offer is used up");
    leave(client).await;
}

#[tokio::test]
async fn after_a_failed_write_nothing_leaves_and_the_client_ends() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let disk = SlowDisk::default();
    let (client, mut conn) = in_a_match(&server, pinned(&server, &dirs.state), on(&disk)).await;
    disk.fail("match-");
    type_in(&client, Typed::End).await;
    let error = end(client).await;
    assert!(error.to_string().contains("match-05050505"), "{error}");
    assert_eq!(error.exit_code(), 1);
    assert_eq!(conn.try_read().await, None);
}

#[tokio::test]
async fn a_player_whose_client_died_is_back_at_the_board_while_the_server_is_down() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let config = pinned(&server, &dirs.state);
    let (client, conn) = in_a_match(&server, config.clone(), seams()).await;
    client.end.abort();
    drop((server, conn));
    let mut client = start(config, hasty()).unwrap();
    let board = event(&mut client, |event| match event {
        Event::Board { rows, ply, .. } => Some((rows, ply)),
        _ => None,
    })
    .await;
    assert_eq!(board, (vec!["...".to_owned(), ".X.".to_owned(), "...".to_owned()], 1));
    let mut status = client.status.clone();
    let long = status.wait_for(|status| status.down_ms.is_some_and(|down| down > 20_000));
    timeout(PATIENCE, long).await.unwrap().expect("with a match it tries for ever");
    leave(client).await;
}

#[tokio::test]
async fn an_exported_match_can_be_checked_with_the_servers_key_alone() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let (mut client, _conn) = in_a_match(&server, pinned(&server, &dirs.state), seams()).await;
    let path = dirs.root.path().join("match.json");
    for error in [None, Some("file-exists")] {
        client.commands.send(Order::Export(Some(path.clone()))).await.unwrap();
        let reply = event(&mut client, |event| match event {
            Event::Reply(reply) if reply.command == "export" => Some(reply),
            _ => None,
        })
        .await;
        assert_eq!(reply.error, error);
        assert_eq!(reply.file.is_some(), error.is_none());
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let public: PublicKey = text_of(&file["server"]["key"]).parse().unwrap();
    assert_eq!(public, server.keys.public());
    assert!(is_signed_by(&public, &file["grants"][0]), "{text}");
    let entries = file["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    let x: PublicKey = text_of(&file["grants"][0]["keys"]["X"]).parse().unwrap();
    assert!(is_signed_by(&x, &entries[0]), "{text}");
    assert!(!is_signed_by(&public, &entries[0]));
    assert_eq!(file["game"]["name"], "tictactoe");
    leave(client).await;
}

#[tokio::test]
async fn without_a_match_there_is_nothing_to_export() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let mut client = start(pinned(&server, &dirs.state), seams()).unwrap();
    client.commands.send(Order::Export(None)).await.unwrap();
    assert_eq!(reply(&mut client).await.error, Some("no-match"));
    leave(client).await;
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn is_signed_by(key: &PublicKey, statement: &Value) -> bool {
    let hex = |field: &str| data_encoding::HEXLOWER.decode(text_of(&statement[field]).as_bytes()).unwrap();
    key.verifies(&hex("signed"), &Signature(hex("signature").try_into().unwrap()))
}
