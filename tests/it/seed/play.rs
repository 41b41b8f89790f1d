//! What went wrong at the board: D6 to D10, D13, D19, D24.

use super::people::{PASSWORD, Pair, Player, X_WINS, home, says};
use super::server::Server;

/// A full board on which nobody has three in a row.
const DRAWN: [(u16, u16); 9] = [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (3, 1), (2, 3), (3, 3), (3, 2)];

#[test]
fn d6_a_player_whose_opponent_died_plays_on_when_the_opponent_is_back() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..3]);
    pair.forget();
    let [x, o] = &mut pair.seats;
    x.kill();
    o.opponent("away");
    let (row, col) = X_WINS[3];
    o.done(&format!("send {row} {col}"));
    o.until(&[("event", "move".into()), ("ply", 3.into()), ("acknowledged", true.into())]);
    pair.plies += 1;
    pair.seats[0].start_again();
    pair.seats[1].opponent("here");
    pair.see_board();
    pair.play(&X_WINS[4..]);
    pair.x_has_won();
    pair.leave();
}

#[test]
fn d7_a_wrong_move_is_refused_with_a_reason_and_hurts_neither_player() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&[(1, 1)]);
    let o = &mut pair.seats[1];
    for line in ["send 5 5", "send 0 1", "send 1 4", "send 99999999999999999999 1", "send -1 1"] {
        let error = o.refused(line);
        assert!(["off-the-board", "bad-move"].contains(&error.as_str()), "{line}: {error}");
    }
    for line in ["send a b", "send 1", "send 1 1 1", "send \u{1F600} 1", "send 1;1"] {
        assert_eq!(o.refused(line), "bad-move", "{line}");
    }
    assert_eq!(o.refused("send"), "missing-words");
    assert_eq!(o.refused("send 1 1"), "cell-taken");
    assert_eq!(pair.seats[0].refused("send 2 2"), "not-your-turn");
    pair.see_board();
    pair.play(&X_WINS[1..]);
    pair.x_has_won();
    assert_eq!(pair.seats[0].refused("send 3 3"), "no-match");
    pair.leave();
}

#[test]
fn d8_d13_a_full_board_is_a_draw_and_gives_each_a_point() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&DRAWN);
    assert_eq!(pair.result(), [says("draw", "board"), says("draw", "board")]);
    for player in &mut pair.seats {
        assert_eq!(player.score_of("alice"), [1, 0, 1, 0]);
        assert_eq!(player.score_of("bob"), [1, 0, 1, 0]);
        assert_eq!(player.state_of("alice").as_deref(), Some("free"));
    }
    pair.leave();
}

#[test]
fn d9_both_diagonals_win_and_a_row_comes_before_a_column() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&[(1, 3), (1, 2)]);
    let board = pair.seats[1].until(&[("event", "board".into()), ("ply", 2.into())]);
    assert_eq!(board["rows"], serde_json::json!([".OX", "...", "..."]));
    pair.play(&[(2, 2), (3, 2), (3, 1)]);
    pair.x_has_won();
    let [x, o] = pair.seats;
    let mut pair = Pair::seated(x, o, "rematch");
    pair.play(&[(1, 1), (1, 2), (2, 2), (3, 2), (3, 3)]);
    pair.x_has_won();
    pair.leave();
}

#[test]
fn d10_the_same_two_play_again_and_again() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    let mut wins = [0, 0];
    for words in ["rematch", "begin NAME", "rematch"] {
        pair.play(&X_WINS);
        pair.x_has_won();
        wins[usize::from(pair.seats[0].name == "bob")] += 1;
        let [winner, loser] = pair.seats;
        let words = words.replace("NAME", &winner.name);
        pair = Pair::seated(loser, winner, &words);
    }
    for (name, wins) in ["alice", "bob"].into_iter().zip(wins) {
        assert_eq!(pair.seats[0].score_of(name), [2 * wins, wins, 0, 3 - wins]);
    }
    pair.leave();
}

#[test]
fn d13_there_are_end_leave_and_logout_and_list_says_who_is_busy() {
    let home = home();
    let server = Server::start(home.path());
    let mut carol = Player::join(&server, "carol");
    assert_eq!(carol.refused("end"), "no-match");
    let mut pair = Pair::join(&server);
    let state = |text: &str| Some(text.to_owned());
    assert_eq!(["alice", "bob", "carol"].map(|name| carol.state_of(name)), ["busy", "busy", "free"].map(state));
    assert_eq!(carol.refused("begin bob"), "opponent-busy");
    pair.seats[0].done("end");
    assert_eq!(pair.result(), [says("loss", "resigned"), says("win", "resigned")]);
    let winner = pair.seats[1].name.clone();
    assert_eq!(carol.score_of(&winner), [2, 1, 0, 0]);
    assert_eq!(["alice", "bob", "carol"].map(|name| carol.state_of(name)), ["free"; 3].map(state));
    pair.seats[0].done("logout");
    assert_eq!(pair.seats[0].refused("list"), "not-logged-in");
    assert_eq!(carol.list().len(), 2, "who has logged out is gone");
    let name = pair.seats[0].name.clone();
    pair.seats[0].done(&format!("login {name} {PASSWORD}"));
    assert_eq!(carol.list().len(), 3);
    carol.done("exit");
    pair.leave();
}

#[test]
fn d19_who_declines_goes_on_and_who_asked_is_told() {
    let home = home();
    let server = Server::start(home.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| Player::join(&server, name));
    alice.done("begin bob");
    bob.until(&[("event", "invited".into()), ("by", "alice".into())]);
    bob.done("decline");
    alice.until(&[("event", "invite_closed".into()), ("with", "bob".into()), ("why", "declined".into())]);
    assert_eq!(bob.refused("accept alice"), "no-invite");
    for player in [&mut alice, &mut bob] {
        assert_eq!(player.list().len(), 2, "each is served on");
    }
    let mut pair = Pair::seated(bob, alice, "begin alice");
    pair.play(&X_WINS);
    pair.x_has_won();
    pair.leave();
}

#[test]
fn d24_x_moves_first_whoever_that_is_and_both_know_it() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    for _ in 0..4 {
        let match_id = pair.match_id.clone();
        let empty = [("event", "board".into()), ("match", match_id.as_str().into()), ("ply", 0.into())];
        for player in &mut pair.seats {
            assert_eq!(player.until(&empty)["turn"], "X");
        }
        assert_eq!(pair.seats[1].refused("send 1 1"), "not-your-turn");
        pair.play(&[(1, 1)]);
        assert_eq!(pair.seats[0].refused("send 1 2"), "not-your-turn");
        pair.seats[1].done("end");
        assert_eq!(pair.result(), [says("win", "resigned"), says("loss", "resigned")]);
        let [x, o] = pair.seats;
        pair = Pair::seated(x, o, "rematch");
    }
    pair.leave();
}
