//! What a liar can say as a keeper: forged grants, old transcripts, proofs without end.

use rejoin::model::evidence::Keeper;
use rejoin::model::games::{Outcome, Seat};
use rejoin::model::id::MatchId;
use rejoin::model::key::{Hash, ServerId};
use rejoin::model::message::{Command, Have, KeeperMessage, ToClient, ToServer};
use rejoin::model::refusal::Refusal;
use rejoin::model::sign::Signed;
use rejoin::model::statement::{Base, Foul, Grant, Held, Promise, Ruling};
use rejoin::ops::event;

use crate::rig::{Honest, Player, TestServer, X_WINS, entries_of, new_key, play_all, proofs_of, random, seat};

const WON: Ruling = Ruling::Board { outcome: Outcome::Win(Seat::X) };

async fn refusal_of(player: &mut Player, of: MatchId) -> Refusal {
    let refused = |said: &ToClient| {
        if let ToClient::EntryRefused { match_id, refusal, .. } = said
            && *match_id == of
        {
            Some(*refusal)
        } else {
            None
        }
    };
    player.line.wait("a refusal", refused).await
}

/// Points of alice and bob.
async fn points(player: &mut Player) -> Vec<(String, u32)> {
    let Ok(rejoin::model::message::Answer::Leaders { rows, .. }) = player.line.request(Command::Leaders).await else {
        panic!("no leaders")
    };
    let ours = rows.iter().filter(|row| ["alice", "bob"].contains(&row.name.as_str()));
    ours.map(|row| (row.name.to_string(), row.points)).collect()
}

#[tokio::test]
async fn a_grant_that_this_server_has_not_signed_for_this_player_opens_nothing() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let (alice, bob) = (Player::join(&server, "alice").await, Player::join(&server, "bob").await);
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS[..1]).await;
    let mut mallory = Player::join(&server, "mallory").await;
    let real = board[0].chain.grants()[0].clone();
    let entry = board[0].chain.entry(0).unwrap().into_signed();

    let mine = new_key();
    let made_up = Grant {
        match_id: MatchId(random()),
        users: [mallory.view.user, real.body.users[1]],
        keys: [mine.public(), mine.public()],
        ..real.body.clone()
    };
    let elsewhere = Grant { server: ServerId::of(&mine.public()), ..made_up.clone() };
    let forged = [
        // By another key; of another server, by that server's key; by nobody; a real signature over another body.
        Signed::by(&mine, &server.id, made_up.clone()),
        Signed::by(&mine, &elsewhere.server.clone(), elsewhere),
        Signed::unsigned(made_up.clone()),
        Signed { body: made_up.clone(), signature: real.signature },
    ];
    for grant in forged {
        let of = grant.body.match_id;
        mallory.line.send(&entries_of(of, vec![grant.clone()], Vec::new())).await;
        assert_eq!(refusal_of(&mut mallory, of).await, Refusal::BadSignature);
        mallory.line.send(&proofs_of(of, vec![grant], Vec::new())).await;
    }
    // A real grant: of others, and under another match's name.
    let of = real.body.match_id;
    mallory.line.send(&entries_of(of, vec![real.clone()], vec![entry.clone()])).await;
    assert_eq!(refusal_of(&mut mallory, of).await, Refusal::NotAPlayer);
    let other = MatchId(random());
    mallory.line.send(&entries_of(other, vec![real], Vec::new())).await;
    assert_eq!(refusal_of(&mut mallory, other).await, Refusal::BadSignature);
    mallory.line.catch_up().await;
    assert_eq!(mallory.line.unread(), [], "nothing came of it");
    assert_eq!(server.log.count(&["match-taken"]) + server.log.count(&["state-lost"]), 0);
    server.log.line(&["entry-refused", "bad-signature"]).await;
    play_all(&mut board, &X_WINS[1..]).await;
    honest.finish();
}

#[tokio::test]
async fn old_transcripts_after_the_verdict_change_nothing() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let (alice, bob) = (Player::join(&server, "alice").await, Player::join(&server, "bob").await);
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS).await;
    for at in &mut board {
        assert_eq!(at.verdict().await, WON);
    }
    let [_, o] = &mut board;
    let before = points(&mut o.player).await;
    assert_eq!(before.iter().map(|(_, points)| points).sum::<u32>(), 2);
    let (match_id, grants) = (o.match_id(), o.chain.grants().to_vec());
    let all: Vec<_> = o.chain.entries_from(0).into_iter().map(|entry| entry.into_signed()).collect();
    for entries in [all[..4].to_vec(), all.clone(), all[4..].to_vec()] {
        o.player.line.send(&entries_of(match_id, grants.clone(), entries)).await;
        assert_eq!(o.verdict().await, WON, "it is shown again");
    }
    // Nor does it if O has forgotten all.
    o.player.line.send(&ToServer::Keeper(KeeperMessage::Have(Have { match_id, epoch: 1, head: Base::NONE }))).await;
    assert_eq!(o.verdict().await, WON);
    assert_eq!(points(&mut o.player).await, before);
    let id = match_id.to_string();
    assert_eq!(server.log.count(&["match-settled", &id]) + server.log.count(&["verdict-corrected", &id]), 1);
    honest.finish();
}

#[tokio::test]
pub(crate) async fn a_foul_proved_when_all_is_filed_away_is_told_to_both() {
    let server = TestServer::start();
    server.expects(event::FOUL);
    server.expects(event::VERDICT_CORRECTED);
    let honest = Honest::begin(&server);
    let (alice, bob) = (Player::join(&server, "alice").await, Player::join(&server, "bob").await);
    let mut board = seat(alice, bob, "tictactoe").await;
    let other = board[0].sign(board[0].body(board[0].cell(3, 3)));
    play_all(&mut board, &X_WINS).await;
    for at in &mut board {
        assert_eq!(at.verdict().await, WON);
        at.player.line.catch_up().await;
    }
    let [x, o] = &mut board;
    let (match_id, grants) = (x.match_id(), x.chain.grants().to_vec());
    let first = x.chain.entry(0).unwrap().into_signed();
    let foul = Foul { first, second: other };
    o.player.line.send(&proofs_of(match_id, grants, vec![foul.clone()])).await;
    for at in [&mut *x, &mut *o] {
        let proofs = |said: &ToClient| {
            if let ToClient::Keeper(KeeperMessage::Evidence(proofs)) = said { Some(proofs.fouls.clone()) } else { None }
        };
        assert_eq!(at.player.line.wait("the proof", proofs).await, std::slice::from_ref(&foul));
        assert_eq!(at.verdict().await, Ruling::Foul { by: Seat::X });
    }
    let of_o = points(&mut o.player).await.into_iter().find(|(name, _)| *name == o.player.name.to_string()).unwrap();
    assert_eq!(of_o.1, 2);
    server.log.line(&["verdict-corrected", &match_id.to_string(), "winner=\"O\""]).await;
    honest.finish();
}

/// As much as one connection can say, for as long as two others need for a few matches.
#[tokio::test]
async fn a_flood_of_proofs_and_histories_disturbs_nobody() {
    const ROUNDS: usize = 400;
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let (alice, bob) = (Player::join(&server, "alice").await, Player::join(&server, "bob").await);
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS[..2]).await;
    let [x, _] = &mut board;
    let (match_id, grants) = (x.match_id(), x.chain.grants().to_vec());
    let own: Vec<_> = x.chain.entries_from(0).into_iter().map(|entry| entry.into_signed()).collect();
    let same = Foul { first: own[0].clone(), second: own[0].clone() };
    let server_id = x.player.line.server;
    for round in 0..ROUNDS {
        let unknown = MatchId(random());
        let head = Base { plies: u16::try_from(round).unwrap(), head: Hash(random()) };
        let held = Held { match_id, epoch: 1, plies: head.plies, head: head.head };
        let promise = Promise { match_id, epoch: 2, head };
        let messages = [
            proofs_of(match_id, grants.clone(), vec![same.clone(); 100]),
            proofs_of(unknown, Vec::new(), vec![same.clone(); 100]),
            entries_of(match_id, grants.clone(), own.clone()),
            entries_of(unknown, Vec::new(), vec![own[0].clone(); 200]),
            ToServer::Keeper(KeeperMessage::Have(Have { match_id: unknown, epoch: 9, head })),
            ToServer::Keeper(KeeperMessage::Have(Have { match_id, epoch: 1, head })),
            ToServer::Keeper(KeeperMessage::Held {
                keeper: Keeper::Server,
                held: Signed::by(&x.key, &server_id, held),
            }),
            ToServer::Keeper(KeeperMessage::Promise(Signed::by(&x.key, &server_id, promise))),
        ];
        for message in &messages {
            x.player.line.send(message).await;
        }
    }
    x.player.line.catch_up().await;
    let played = honest.finish();
    assert!(played.matches > 0);
    x.player.line.unread();
    assert_eq!(server.log.count(&["foul", &match_id.to_string()]), 0);
    assert_eq!(server.log.count(&["misbehaved"]), 0, "who reads is not dropped");
}

/// After a loss of state a client shows every match of the last three months at once.
#[tokio::test]
async fn who_shows_a_thousand_matches_and_reads_is_not_dropped() {
    const MATCHES: usize = 1_000;
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut alice = Player::join(&server, "alice").await;
    let haves: Vec<u8> = (0..MATCHES)
        .flat_map(|_| {
            let have = Have { match_id: MatchId(random()), epoch: 1, head: Base { plies: 5, head: Hash(random()) } };
            rejoin::wire::encode(&ToServer::Keeper(KeeperMessage::Have(have)))
        })
        .collect();
    alice.line.send_raw(&haves).await;
    let wanted = |said: &ToClient| matches!(said, ToClient::Keeper(KeeperMessage::Have(_))).then_some(());
    for _ in 0..MATCHES {
        alice.line.wait("the question for all of it", wanted).await;
    }
    assert_eq!(server.log.count(&["misbehaved"]), 0);
    honest.finish();
}
