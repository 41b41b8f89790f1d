//! The promise in one story: whoever dies in mid-game, the game goes on and is counted once.

use super::people::{Pair, X_WINS, home};
use super::server::Server;

#[test]
fn a_match_survives_kill_9_of_the_server_and_its_result_a_second_one() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..3]);

    pair.forget();
    server.kill();
    server.start_again();
    server.said("the last run failed; 2 sessions and 1 match recovered");
    pair.both_live();
    pair.see_board();
    pair.play(&X_WINS[3..]);
    pair.x_has_won();

    pair.forget();
    server.kill();
    server.start_again();
    pair.both_live();
    let [x, o] = pair.seats.each_ref().map(|player| player.name.clone());
    for player in &mut pair.seats {
        assert_eq!(player.score_of(&x), [2, 1, 0, 0]);
        assert_eq!(player.score_of(&o), [0, 0, 0, 1]);
    }
    pair.leave();
}

#[test]
fn a_player_whose_client_was_killed_with_kill_9_is_back_at_the_board_and_finishes() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    for victim in [0, 1] {
        pair.play(&X_WINS[victim..=victim]);
        pair.forget();
        pair.seats[victim].kill();
        pair.seats[1 - victim].opponent("away");
        pair.seats[victim].start_again();
        pair.seats[1 - victim].opponent("here");
        pair.seats[victim].live();
        pair.seats[victim].until(&[("event", "match".into()), ("match", pair.match_id.as_str().into())]);
        // The other has not lost sight of the board.
        pair.seats[1 - victim].done("board");
        pair.see_board();
    }
    pair.play(&X_WINS[2..]);
    pair.x_has_won();
    pair.leave();
}
