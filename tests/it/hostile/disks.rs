//! Disks that are full, broken or refuse to be written.

use std::io::ErrorKind;
use std::sync::Arc;

use rejoin::model::games::GameSpec;
use rejoin::model::message::{Answer, Command, Have, KeeperMessage, ToClient, ToServer};
use rejoin::model::refusal::Refusal;
use rejoin::model::sign::Verified;
use rejoin::ops::event;
use rejoin::server::ServerError;
use rejoin::store::StoreError;
use rejoin::store::faulty::FaultyDisk;

use crate::rig::{Honest, PASSWORD, Player, RawClient, Setup, TestServer, X_WINS, new_key, play_all, seat};

fn on(disk: &FaultyDisk) -> TestServer {
    TestServer::with(Setup { disk: Arc::new(disk.clone()), ..Setup::default() })
}

#[tokio::test]
pub(crate) async fn a_full_disk_refuses_changes_answers_questions_and_heals() {
    let disk = FaultyDisk::new();
    let server = on(&disk);
    server.expects(event::DISK_FULL);
    let (alice, bob) = (Player::join(&server, "alice").await, Player::join(&server, "bob").await);
    let mut carol = Player::join(&server, "carol").await;
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS[..1]).await;
    disk.set_capacity(Some(disk.used()));
    // What is under way when it fills up is still kept.
    play_all(&mut board, &X_WINS[1..2]).await;
    server.log.line(&["disk-full", "the disk is full"]).await;

    assert_eq!(carol.line.add_user("dave", PASSWORD).await, Err(Refusal::DiskFull));
    let (to, game) = (board[0].player.name.clone(), GameSpec::named("tictactoe").unwrap());
    let begin = Command::Begin { to, game, key: new_key().public() };
    assert_eq!(carol.line.request(begin).await, Err(Refusal::DiskFull));
    assert!(carol.line.request(Command::List).await.is_ok());
    assert!(carol.line.request(Command::Leaders).await.is_ok());
    let mut back = carol.resume_over(RawClient::connect(&server).await).await;
    assert!(back.line.request(Command::List).await.is_ok(), "a session can be taken up");

    let [x, o] = &mut board;
    let next = x.sign(x.body(x.cell(1, 2)));
    assert_eq!(x.refused(next.clone()).await, Refusal::DiskFull);
    disk.set_capacity(None);
    server.log.line(&["disk-full", "has space again"]).await;
    // The server asks for what it had to refuse.
    let have = Have { match_id: x.match_id(), epoch: 1, head: x.chain.head() };
    let have = ToClient::Keeper(KeeperMessage::Have(have));
    x.player.line.wait("the question for more", |said| (*said == have).then_some(())).await;
    x.send(vec![next.clone()]).await;
    x.chain.push(&Verified::from_disk(next)).unwrap();
    x.kept().await;
    o.see().await;
    play_all(&mut board, &X_WINS[3..]).await;
    for at in &mut board {
        assert!(at.verdict().await.winner().is_some());
    }
    assert!(back.line.add_user("dave", PASSWORD).await.is_ok());
}

#[tokio::test]
pub(crate) async fn a_disk_that_fails_to_sync_ends_the_server_and_nothing_acknowledged_is_lost() {
    let disk = FaultyDisk::new();
    let mut server = on(&disk);
    server.expects(event::JOURNAL_FAILED);
    let (alice, bob) = (Player::join(&server, "alice").await, Player::join(&server, "bob").await);
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS[..2]).await;
    let [x, _] = &mut board;
    // The next operations are the write of the entry and its sync.
    disk.fail_at(disk.operations() + 2, ErrorKind::Other);
    let lost = x.sign(x.body(x.cell(3, 3)));
    x.send(vec![lost]).await;
    let error = server.ended().await;
    assert!(matches!(error, ServerError::Store(StoreError::SyncFailed { .. })), "{error}");
    assert_eq!(error.exit_code(), 1);
    server.log.line(&["journal-failed", "cannot sync"]).await;
    server.kill();

    disk.crash(7);
    server.restart();
    for at in &mut board {
        at.player.line = RawClient::connect(&server).await;
        at.player.line.resume(at.player.view.session, &at.player.device).await.unwrap();
    }
    // What was never acknowledged may be played again, otherwise; what was is on the board.
    let [x, _] = &mut board;
    let (match_id, head) = (x.match_id(), x.chain.head());
    let ask = ToServer::Keeper(KeeperMessage::Have(Have { match_id, epoch: 1, head }));
    x.player.line.send(&ask).await;
    x.kept().await;
}

#[test]
fn a_disk_that_refuses_to_be_written_is_named() {
    let disk = FaultyDisk::new();
    disk.fail_at(1, ErrorKind::ReadOnlyFilesystem);
    let error = TestServer::try_with(Setup { disk: Arc::new(disk), ..Setup::default() }).err().unwrap();
    assert_eq!(error.exit_code(), 1);
    let said = error.to_string();
    assert!(said.contains("state") && said.contains("read-only"), "{said}");
}

#[tokio::test]
async fn points_outlive_a_power_cut() {
    let disk = FaultyDisk::new();
    let mut server = on(&disk);
    let honest = Honest::begin(&server);
    let played = honest.finish();
    let settled = server.log.count(&["match-settled"]);
    server.kill();
    disk.crash(1);
    server.restart();
    let mut line = RawClient::connect(&server).await;
    line.add_user("reader", PASSWORD).await.unwrap();
    line.login("reader", PASSWORD, &new_key()).await.unwrap();
    let Ok(Answer::Leaders { rows, .. }) = line.request(Command::Leaders).await else { panic!() };
    assert_eq!(settled, played.matches as usize);
    assert_eq!(rows.iter().map(|row| row.points).sum::<u32>(), 2 * played.matches);
}
