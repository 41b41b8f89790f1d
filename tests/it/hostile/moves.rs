//! Entries that are no moves, and entries that are too many.

use rejoin::model::evidence::Keeper;
use rejoin::model::games::{Move, Outcome, Seat};
use rejoin::model::id::MatchId;
use rejoin::model::key::{Hash, Signature};
use rejoin::model::message::{Have, KeeperMessage, Proofs, ToClient, ToServer};
use rejoin::model::refusal::Refusal;
use rejoin::model::sign::Signed;
use rejoin::model::statement::{Act, Base, Entry, Foul, Held, Ruling};
use rejoin::ops::event;

use crate::rig::{Honest, Player, Seated, TestServer, X_WINS, entries_of, play_all, proofs_of, seat};

async fn board(server: &TestServer, names: [&str; 2]) -> [Seated; 2] {
    let [one, other] = names;
    seat(Player::join(server, one).await, Player::join(server, other).await, "tictactoe").await
}

/// After everything refused: the match goes on as if nothing had been tried.
async fn goes_on(board: &mut [Seated; 2], moves: &[(u16, u16)], plies: u16) {
    play_all(board, moves).await;
    for at in board {
        assert_eq!(at.chain.plies(), plies);
        assert_eq!(
            at.player
                .line
                .unread()
                .iter()
                .filter(|said| matches!(said, ToClient::Keeper(KeeperMessage::Entries(_))))
                .count(),
            0
        );
    }
}

#[tokio::test]
pub(crate) async fn only_a_legal_move_in_turn_is_taken() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut board = board(&server, ["alice", "bob"]).await;
    let [x, o] = &mut board;

    let before_x = o.sign(o.body(o.cell(1, 1)));
    assert_eq!(o.refused(before_x).await, Refusal::NotYourTurn);
    x.play(1, 1).await;
    o.see().await;
    let again = x.sign(x.body(x.cell(2, 2)));
    assert_eq!(x.refused(again).await, Refusal::NotYourTurn);
    let taken = o.sign(o.body(o.cell(1, 1)));
    assert_eq!(o.refused(taken).await, Refusal::CellTaken);
    for (row, col) in [(4, 1), (1, 4), (256, 256)] {
        let off = o.sign(o.body(o.cell(row, col)));
        assert_eq!(o.refused(off).await, Refusal::OffTheBoard);
    }
    for bytes in [&[][..], &[0], &[0, 0, 0], &[7; 64]] {
        let odd = o.sign(o.body(Act::Play(Move::new(bytes).unwrap())));
        assert_eq!(o.refused(odd).await, Refusal::BadMove, "{bytes:?}");
    }
    server.log.line(&["entry-refused", "cell-taken", "127.0.0.1"]).await;
    goes_on(&mut board, &X_WINS[1..], 5).await;
    honest.finish();
}

#[tokio::test]
async fn only_the_seats_own_key_moves_it() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut board = board(&server, ["alice", "bob"]).await;
    let [x, o] = &mut board;

    let mut unsigned = x.sign(x.body(x.cell(1, 1)));
    unsigned.signature = Signature::EMPTY;
    assert_eq!(x.refused(unsigned).await, Refusal::BadSignature);
    let mut changed = x.sign(x.body(x.cell(1, 1)));
    changed.body.act = x.cell(2, 2);
    assert_eq!(x.refused(changed).await, Refusal::BadSignature);
    // O moves for X, and X signs with a key that is not of this match.
    let for_x = o.sign(Entry { seat: Seat::X, ..o.body(o.cell(1, 1)) });
    assert_eq!(o.refused(for_x).await, Refusal::BadSignature);
    let by_device = Signed::by(&x.player.device, &x.player.line.server, x.body(x.cell(1, 1)));
    assert_eq!(x.refused(by_device).await, Refusal::BadSignature);
    // Good entries before a bad one count, none after it does.
    let good = x.sign(x.body(x.cell(1, 1)));
    let bad = Signed { signature: Signature::EMPTY, ..good.clone() };
    x.send(vec![bad, good]).await;
    assert_eq!(x.refusal().await, Refusal::BadSignature);
    goes_on(&mut board, &X_WINS, 5).await;
    honest.finish();
}

#[tokio::test]
async fn an_entry_counts_in_its_own_match_and_place_only() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut board = board(&server, ["alice", "bob"]).await;
    play_all(&mut board, &X_WINS).await;
    for at in &mut board {
        at.verdict().await;
    }
    let old = board[0].chain.entry(0).unwrap().into_signed();
    let old_match = board[0].match_id();
    let [one, other] = board.map(|at| at.player);
    let mut board = seat(one, other, "tictactoe").await;
    let [mover, _] = &mut board;

    // The old entry as it is, and renamed to the new match.
    assert_eq!(mover.refused(old.clone()).await, Refusal::NotAPlayer);
    let mut renamed = old.clone();
    renamed.body.match_id = mover.match_id();
    assert_eq!(mover.refused(renamed).await, Refusal::BadSignature);
    // To the old match it adds nothing: that has its verdict, which is shown again.
    let entries = vec![old];
    mover.player.line.send(&entries_of(old_match, Vec::new(), entries)).await;
    let shown = |said: &ToClient| {
        let ToClient::Keeper(KeeperMessage::Verdict(verdict)) = said else { return None };
        (verdict.body.match_id == old_match).then_some(verdict.body.ruling)
    };
    let ruling = mover.player.line.wait("the old verdict", shown).await;
    assert_eq!(ruling, Ruling::Board { outcome: Outcome::Win(Seat::X) });

    let [x, _] = &mut board;
    let unchained = x.sign(Entry { prev: Hash([1; 32]), ..x.body(x.cell(1, 1)) });
    assert_eq!(x.refused(unchained).await, Refusal::OutOfOrder);
    let other_epoch = x.sign(Entry { epoch: 2, ..x.body(x.cell(1, 1)) });
    x.send(vec![other_epoch]).await;
    // Its grant may be one that the server has lost.
    let have = Have { match_id: x.match_id(), epoch: 1, head: x.chain.head() };
    let have = ToClient::Keeper(KeeperMessage::Have(have));
    x.player.line.wait("the question for its grant", |said| (*said == have).then_some(())).await;
    goes_on(&mut board, &X_WINS, 5).await;
    honest.finish();
}

#[tokio::test]
async fn a_gap_is_answered_with_how_much_is_held() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut board = board(&server, ["alice", "bob"]).await;
    play_all(&mut board, &X_WINS[..2]).await;
    let [x, _] = &mut board;
    let (match_id, head) = (x.match_id(), x.chain.head());
    for ply in [4, 6, 510, 512, u16::MAX - 1] {
        let skipping = x.sign(Entry { ply, ..x.body(x.cell(3, 3)) });
        x.send(vec![skipping]).await;
        let have = ToClient::Keeper(KeeperMessage::Have(Have { match_id, epoch: 1, head }));
        x.player.line.wait("what the server holds", |said| (*said == have).then_some(())).await;
    }
    // The last number there is, of either seat.
    let last = x.sign(Entry { ply: u16::MAX, ..x.body(x.cell(3, 3)) });
    x.send(vec![last.clone(), last]).await;
    x.player.line.catch_up().await;
    goes_on(&mut board, &X_WINS[2..], 5).await;
    honest.finish();
}

#[tokio::test]
async fn nobody_moves_in_a_strangers_match_or_after_the_end() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut board = board(&server, ["alice", "bob"]).await;
    let mut mallory = Player::join(&server, "mallory").await;
    let [x, _] = &mut board;
    let match_id = x.match_id();

    let stolen = x.sign(x.body(x.cell(1, 1)));
    mallory.line.send(&entries_of(match_id, Vec::new(), vec![stolen.clone()])).await;
    let have = Have { match_id, epoch: 1, head: x.chain.head() };
    mallory.line.send(&ToServer::Keeper(KeeperMessage::Have(have))).await;
    let unknown = MatchId([9; 16]);
    mallory.line.send(&entries_of(unknown, Vec::new(), vec![stolen])).await;
    for _ in 0..2 {
        let refused = ToClient::EntryRefused { match_id, ply: 0, refusal: Refusal::NotAPlayer };
        mallory.line.wait("a refusal", |said| (*said == refused).then_some(())).await;
    }
    // Of a match that nobody knows here the grant is wanted first.
    let all = Have { match_id: unknown, epoch: 0, head: Base::NONE };
    let all = ToClient::Keeper(KeeperMessage::Have(all));
    mallory.line.wait("a question", |said| (*said == all).then_some(())).await;
    mallory.line.catch_up().await;
    assert_eq!(mallory.line.unread(), [], "nothing is shown of somebody else's match");

    play_all(&mut board, &X_WINS).await;
    let [x, o] = &mut board;
    for at in [&mut *x, &mut *o] {
        let ruling = Ruling::Board { outcome: Outcome::Win(Seat::X) };
        assert_eq!(at.verdict().await, ruling);
    }
    x.player.line.catch_up().await;
    let after = o.sign(o.body(o.cell(3, 3)));
    o.send(vec![after]).await;
    assert_eq!(o.verdict().await.winner(), Some(Seat::X), "the verdict is shown again");
    honest.finish();
}

#[tokio::test]
async fn a_move_after_the_end_is_refused_while_the_verdict_is_not_stored() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut board = board(&server, ["alice", "bob"]).await;
    play_all(&mut board, &X_WINS).await;
    let [_, o] = &mut board;
    let after = o.sign(o.body(o.cell(3, 3)));
    assert_eq!(o.refused(after).await, Refusal::GameOver);
    let resign = o.sign(o.body(Act::Resign));
    assert_eq!(o.refused(resign).await, Refusal::GameOver);
    honest.finish();
}

#[tokio::test]
pub(crate) async fn who_signs_two_moves_at_one_ply_loses() {
    let server = TestServer::start();
    server.expects(event::FOUL);
    let honest = Honest::begin(&server);
    let mut board = board(&server, ["alice", "bob"]).await;
    let [x, o] = &mut board;
    let other = x.sign(x.body(x.cell(3, 3)));
    x.play(1, 1).await;
    o.see().await;
    let first = x.chain.entry(0).unwrap().into_signed();
    x.send(vec![other.clone()]).await;
    for at in [&mut *x, &mut *o] {
        let evidence = |said: &ToClient| {
            if let ToClient::Keeper(KeeperMessage::Evidence(proofs)) = said { Some(proofs.clone()) } else { None }
        };
        let proofs = at.player.line.wait("the evidence", evidence).await;
        let foul = Foul { first: first.clone(), second: other.clone() };
        assert_eq!(proofs, Proofs { match_id: at.match_id(), grants: at.chain.grants().to_vec(), fouls: vec![foul] });
        assert_eq!(at.verdict().await, Ruling::Foul { by: Seat::X });
    }
    let match_id = x.match_id().to_string();
    server.log.line(&["foul", &match_id, "by=X"]).await;
    server.log.line(&["match-settled", &match_id, "why=\"foul\""]).await;
    honest.finish();
}

#[tokio::test]
async fn a_winner_who_is_found_to_have_signed_twice_loses_after_all() {
    let server = TestServer::start();
    server.expects(event::FOUL);
    server.expects(event::VERDICT_CORRECTED);
    let honest = Honest::begin(&server);
    let mut board = board(&server, ["alice", "bob"]).await;
    let [x, _] = &mut board;
    let other = x.sign(x.body(x.cell(3, 3)));
    let match_id = x.match_id();
    play_all(&mut board, &X_WINS).await;
    let [x, o] = &mut board;
    let first = x.chain.entry(0).unwrap().into_signed();
    // The cheat showed the other move to nobody but bob, who takes it to the server once he has lost.
    let proofs = proofs_of(match_id, Vec::new(), vec![Foul { first, second: other }]);
    o.player.line.send(&proofs).await;
    for at in [&mut *x, &mut *o] {
        assert_eq!(at.verdict().await.winner(), Some(Seat::X), "as it looked at first");
        assert_eq!(at.verdict().await, Ruling::Foul { by: Seat::X });
    }
    honest.finish();
}

#[tokio::test]
async fn nobody_is_convicted_by_what_others_make_up() {
    let server = TestServer::start();
    let honest = Honest::begin(&server);
    let mut board = board(&server, ["alice", "bob"]).await;
    play_all(&mut board, &X_WINS[..1]).await;
    let [x, o] = &mut board;
    let match_id = x.match_id();
    let real = x.chain.entry(0).unwrap().into_signed();
    let forged = |body: Entry| Signed::by(&o.key, &o.player.line.server, body);
    let other_act = Entry { act: o.cell(3, 3), ..real.body.clone() };
    let as_o = o.sign(o.body(o.cell(3, 3)));
    let pairs = [
        // The same twice; one of O's making; X's at ply 0 and O's at ply 1; X's own with the body changed.
        (real.clone(), real.clone()),
        (real.clone(), forged(other_act.clone())),
        (real.clone(), as_o.clone()),
        (real.clone(), Signed { body: other_act, signature: real.signature }),
    ];
    for (first, second) in pairs {
        let fouls = vec![Foul { first, second }];
        o.player.line.send(&proofs_of(match_id, Vec::new(), fouls)).await;
    }
    // A receipt that is wrong is not passed on either.
    let lie = Held { match_id, epoch: 1, plies: 1, head: Hash([3; 32]) };
    let receipt = |held| ToServer::Keeper(KeeperMessage::Held { keeper: Keeper::Player(Seat::O), held });
    o.player.line.send(&receipt(Signed::by(&o.key, &o.player.line.server, lie))).await;
    let by_nobody = Signed::unsigned(Held { head: o.chain.head().head, ..lie });
    o.player.line.send(&receipt(by_nobody)).await;
    o.player.line.catch_up().await;
    x.player.line.catch_up().await;
    let said = x.player.line.unread();
    let convicts =
        |said: &ToClient| matches!(said, ToClient::Keeper(KeeperMessage::Evidence(_) | KeeperMessage::Verdict(_)));
    assert!(!said.iter().any(convicts), "{said:?}");
    let passed_on =
        |said: &&ToClient| matches!(said, ToClient::Keeper(KeeperMessage::Held { keeper: Keeper::Player(_), .. }));
    assert_eq!(said.iter().filter(passed_on).count(), 0);
    assert_eq!(server.log.count(&["foul", &match_id.to_string()]), 0);
    goes_on(&mut board, &X_WINS[1..], 5).await;
    honest.finish();
}
