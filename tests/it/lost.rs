//! A server that has lost state knows it by the boot file beside its keys, and takes back what the players hold.

use std::fs;
use std::path::Path;

use rejoin::model::games::{Outcome, Seat};
use rejoin::model::id::Boot;
use rejoin::model::message::{Answer, Command, Have, KeeperMessage, ToClient, ToServer};
use rejoin::model::statement::{Base, Ruling};
use rejoin::net::boot_file;
use rejoin::ops::event;
use rejoin::store::RESTORED;

use crate::rig::{Player, RawClient, Seated, TestServer, X_WINS, entries_of, play_all, seat};

/// Starts it again; whether it has found a loss, and has said so.
async fn restarted(server: &mut TestServer) -> bool {
    let said = server.log.count(&["state-lost"]);
    server.restart();
    // Who is answered is served after everything the start has written.
    RawClient::connect(server).await;
    let lost = server.report.lost;
    assert_eq!(server.log.count(&["state-lost", "lost or restored"]), said + usize::from(lost));
    assert_eq!(noted_run(server), Some(server.report.boot));
    lost
}

fn noted_run(server: &TestServer) -> Option<Boot> {
    boot_file::read(&server.certs_dir()).unwrap().map(|mark| mark.boot)
}

fn replace(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_state_that_the_keys_have_seen_is_no_loss_whatever_ended_the_run() {
    let mut server = TestServer::start();
    RawClient::connect(&server).await;
    assert!(!server.report.lost, "new keys and a new state");
    assert_eq!(noted_run(&server), Some(server.report.boot));
    server.stop().await.unwrap();
    assert!(!restarted(&mut server).await);
    server.kill();
    assert!(!restarted(&mut server).await);
    server.kill();
    // The run is in the journal before the file names it: a crash between the two is none either.
    fs::remove_file(server.certs_dir().join(boot_file::BOOT)).unwrap();
    assert!(!restarted(&mut server).await);
    assert_eq!(server.report.boot.number, 4);
}

#[tokio::test]
async fn an_empty_an_older_and_another_state_are_found_once_each() {
    let mut server = TestServer::start();
    server.expects(event::STATE_LOST);
    let copies = tempfile::tempdir().unwrap();
    let (first, second) = (copies.path().join("first"), copies.path().join("second"));
    RawClient::connect(&server).await;
    server.stop().await.unwrap();
    replace(&server.state_dir(), &first);
    assert!(!restarted(&mut server).await);
    server.stop().await.unwrap();
    replace(&server.state_dir(), &second);

    replace(&first, &server.state_dir());
    assert!(restarted(&mut server).await, "an older run");
    server.stop().await.unwrap();
    replace(&second, &server.state_dir());
    assert!(restarted(&mut server).await, "a run of the same number, and another");
    server.stop().await.unwrap();
    assert!(!restarted(&mut server).await, "it is found once");
    server.stop().await.unwrap();
    fs::remove_dir_all(server.state_dir()).unwrap();
    assert!(restarted(&mut server).await, "nothing at all");
    server.kill();
    assert!(!restarted(&mut server).await);
    server.kill();
    fs::write(server.state_dir().join(RESTORED), "").unwrap();
    assert!(restarted(&mut server).await, "put back by an operator");
    server.kill();
    assert!(!server.state_dir().join(RESTORED).exists());
    assert!(!restarted(&mut server).await, "the marker is used up");
}

#[tokio::test]
async fn a_copy_made_earlier_in_the_same_run_is_found() {
    let mut server = TestServer::start();
    server.expects(event::STATE_LOST);
    // The copy is of a run that had not ended.
    server.expects(event::RECOVERED);
    RawClient::connect(&server).await;
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("copy");
    replace(&server.state_dir(), &copy);
    Player::join(&server, "alice").await;
    server.stop().await.unwrap();
    replace(&copy, &server.state_dir());
    assert!(restarted(&mut server).await, "alice's account is not in it");
    server.stop().await.unwrap();
    assert!(!restarted(&mut server).await, "it is found once");
}

#[tokio::test]
pub(crate) async fn a_boot_file_that_cannot_be_read_or_written_is_a_warning() {
    let mut server = TestServer::start();
    server.expects(event::STATE_NOTE);
    server.expects(event::STATE_LOST);
    RawClient::connect(&server).await;
    server.kill();
    let file = server.certs_dir().join(boot_file::BOOT);
    fs::write(&file, "rejoin boot/1 1 2 3\n").unwrap();
    assert!(restarted(&mut server).await, "who cannot know takes the safe side");
    server.log.line(&["WARN", "state-note", "cannot be read"]).await;
    server.kill();
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    server.restart();
    RawClient::connect(&server).await;
    server.log.line(&["WARN", "state-note", "cannot note this run"]).await;
}

/// A match begun and won after the copy was made, and one that was open then.
#[tokio::test]
pub(crate) async fn matches_newer_than_the_restored_copy_come_back_from_the_players() {
    let mut server = TestServer::start();
    server.expects(event::STATE_LOST);
    server.expects(event::MATCH_TAKEN);
    let (alice, bob) = (Player::join(&server, "alice").await, Player::join(&server, "bob").await);
    server.stop().await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    replace(&server.state_dir(), copies.path().join("copy").as_path());
    server.restart();
    let [alice, bob] = [back(alice, &server).await, back(bob, &server).await];
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS).await;
    for at in &mut board {
        at.verdict().await;
        at.player.line.catch_up().await;
    }
    server.kill();
    replace(copies.path().join("copy").as_path(), &server.state_dir());
    assert!(restarted(&mut server).await);
    let [mut x, mut o] = board;
    x.player = back(x.player, &server).await;
    assert!(x.player.view.show_all && x.player.view.matches.is_empty(), "it asks for all that there is");
    shows(&mut x).await;
    assert_eq!(x.verdict().await, Ruling::Board { outcome: Outcome::Win(Seat::X) });
    o.player = back(o.player, &server).await;
    assert_eq!(o.player.view.matches.len(), 1, "it is known here by now");
    shows(&mut o).await;
    assert_eq!(o.verdict().await, Ruling::Board { outcome: Outcome::Win(Seat::X) });
    let id = o.match_id().to_string();
    server.log.line(&["WARN", "match-taken", &id]).await;
    assert_eq!(server.log.count(&["match-settled", &id]), 2, "once before, once after");
    let Ok(Answer::Leaders { rows, .. }) = o.player.line.request(Command::Leaders).await else { panic!() };
    assert_eq!(rows.iter().map(|row| row.points).collect::<Vec<_>>(), [2, 0]);
}

/// Takes up the session.
async fn back(player: Player, server: &TestServer) -> Player {
    player.resume_over(RawClient::connect(server).await).await
}

/// Shows what this player holds, all of it if that is what is wanted.
async fn shows(at: &mut Seated) {
    let (match_id, head) = (at.match_id(), at.chain.head());
    at.player.line.send(&ToServer::Keeper(KeeperMessage::Have(Have { match_id, epoch: 1, head }))).await;
    let asked = |said: &ToClient| {
        if let ToClient::Keeper(KeeperMessage::Have(have)) = said
            && have.match_id == match_id
        {
            Some(*have)
        } else {
            None
        }
    };
    let have = at.player.line.wait("what the server holds", asked).await;
    if have.head == Base::NONE {
        let entries = at.chain.entries_from(0).into_iter().map(|entry| entry.into_signed()).collect();
        let grants = at.chain.grants().to_vec();
        at.player.line.send(&entries_of(match_id, grants, entries)).await;
    }
}
