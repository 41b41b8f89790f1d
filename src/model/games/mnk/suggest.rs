//! A good move: what a bot plays.
//!
//! Invariants: the same position and `draw` give the same move; boards of at most nine cells are played perfectly;
//! the work is bounded by counted positions, never by a clock.
//!
//! Win if one stone does it; else stop the opponent who could. Of what is left, take the move with the best forced
//! end within the horizon, and among those the one whose lines hold the most promise.

use super::board::{Board, STEPS, Spot, Step};
use crate::model::games::Seat;

/// The best move for `seat`, and among equals the one `draw` points at; `None` on a full board.
pub(super) fn best(board: &Board, seat: Seat, draw: u64) -> Option<Spot> {
    let moves = pressing(board, seat);
    let horizon = horizon(board);
    let seen_to_the_end = horizon == i32::from(board.free());
    let mut scratch = board.clone();
    let mut top = (-END_MAX, 0);
    let mut equals = Vec::new();
    for spot in moves {
        // One below the best, so that an equal shows as equal and only what is worse is cut short.
        let forced = after(&mut scratch, spot, seat, horizon, top.0 - 1, END_MAX);
        let value = (forced, if seen_to_the_end { 0 } else { promise(board, spot, seat) });
        if value > top {
            top = value;
            equals.clear();
        }
        if value == top {
            equals.push(spot);
        }
    }
    let count = u64::try_from(equals.len()).expect("a board has few cells");
    let index = draw.checked_rem(count)?;
    equals.get(usize::try_from(index).expect("an index fits")).copied()
}

/// The moves worth looking at: all that win; else all that take a winning cell from the opponent; else all. No other
/// move can be better: with nothing to win, leaving the opponent a winning cell is the soonest loss there is.
fn pressing(board: &Board, seat: Seat) -> Vec<Spot> {
    let moves = board.landings();
    for winner in [seat, seat.other()] {
        let lines: Vec<Spot> = moves.iter().copied().filter(|spot| board.completes(*spot, winner)).collect();
        if !lines.is_empty() {
            return lines;
        }
    }
    moves
}

/// How many plies to look ahead: to the end on a small board, else as deep as [`POSITIONS_MAX`] lets us.
fn horizon(board: &Board) -> i32 {
    let free = i32::from(board.free());
    if board.rules().cells() <= SOLVED_CELLS_MAX {
        return free;
    }
    let moves = board.landings().len();
    let positions = |plies: &i32| moves.checked_pow(plies.unsigned_abs()).unwrap_or(usize::MAX);
    (1..=free).take_while(|plies| positions(plies) <= POSITIONS_MAX).last().unwrap_or(1)
}

/// What `seat` can force with `plies` to go, kept within `floor..=ceiling`: positive if it wins, and the more so the
/// sooner; negative if it loses; 0 if nothing is forced within sight.
fn forced(board: &mut Board, seat: Seat, plies: i32, floor: i32, ceiling: i32) -> i32 {
    if plies == 0 || board.free() == 0 {
        return 0.clamp(floor, ceiling);
    }
    let mut best = floor;
    for spot in pressing(board, seat) {
        best = best.max(after(board, spot, seat, plies, best, ceiling));
        if best >= ceiling {
            return ceiling;
        }
    }
    best
}

/// The same for `seat` once it has played `spot`.
fn after(board: &mut Board, spot: Spot, seat: Seat, plies: i32, floor: i32, ceiling: i32) -> i32 {
    if board.completes(spot, seat) {
        return plies;
    }
    board.put(spot, seat);
    let value = -forced(board, seat.other(), plies - 1, -ceiling, -floor);
    board.lift(spot);
    value
}

/// How much a stone there adds to lines of ours that can still be won, and takes from such lines of theirs.
fn promise(board: &Board, spot: Spot, seat: Seat) -> u64 {
    let needed = board.rules().in_a_row();
    let lines = STEPS.into_iter().flat_map(|step| (0..needed).map(move |back| (step, back)));
    lines.filter_map(|(step, back)| line_promise(board, spot.after(-step, back)?, step, seat)).sum()
}

/// The promise of the one line that starts at `first`; `None` if it does not fit on the board.
fn line_promise(board: &Board, first: Spot, step: Step, seat: Seat) -> Option<u64> {
    let needed = board.rules().in_a_row();
    let last = first.after(step, needed - 1)?;
    if !board.has(first) || !board.has(last) {
        return None;
    }
    let (mut ours, mut theirs) = (0, 0);
    for stone in (0..needed).filter_map(|steps| board.stone(first.after(step, steps)?)) {
        if stone == seat { ours += 1 } else { theirs += 1 }
    }
    Some(match (ours, theirs) {
        (stones, 0) => 2 * STONE_WEIGHT.pow(stones),
        (0, stones) => STONE_WEIGHT.pow(stones),
        (_, _) => 0,
    })
}

/// Boards of so many cells are looked at to the end of the game.
const SOLVED_CELLS_MAX: u16 = 9;
/// Positions looked at beyond that, before any is cut off.
const POSITIONS_MAX: usize = 4096;
/// More than any value of [`forced`].
const END_MAX: i32 = 1000;
/// One more stone makes a line this much more promising. The sum over all lines through a cell fits: of the longest
/// lines, 19, at most 18 stones lie there, and fewer than 4 × 19 lines pass.
const STONE_WEIGHT: u64 = 8;
const _: () = assert!(STONE_WEIGHT.checked_pow(18).unwrap().checked_mul(2 * 4 * 19).is_some());

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::model::games::mnk::Rules;
    use crate::model::games::{Game, Move, Outcome};

    #[test]
    fn tictactoe_is_never_lost_whatever_the_opponent_does() {
        for (bot, draw) in Seat::BOTH.into_iter().flat_map(|bot| [(bot, 0), (bot, 5), (bot, u64::MAX)]) {
            let mut ended = Vec::new();
            face_every_reply(&board("tictactoe"), bot, Seat::X, draw, &mut ended);
            assert!(!ended.contains(&Outcome::Win(bot.other())), "lost as {bot}");
            assert!(ended.contains(&Outcome::Win(bot)), "never won as {bot}");
        }
    }

    #[test]
    fn on_small_boards_every_win_is_as_quick_and_every_loss_as_slow_as_can_be() {
        for name in ["tictactoe", "3x3x3g", "3x3x2", "4x2x3"] {
            let mut values = BTreeMap::new();
            work_out(&board(name), Seat::X, &mut values);
            for (position, (seat, _, bests)) in &values {
                let position: Vec<&str> = position.iter().map(String::as_str).collect();
                let board = drawn(name, &position);
                for spot in (0..3).filter_map(|draw| best(&board, *seat, draw)) {
                    assert!(bests.contains(&(spot.row, spot.col)), "{name} {position:?}: {spot:?}, not {bests:?}");
                }
            }
        }
    }

    #[test]
    fn two_perfect_players_draw_tictactoe() {
        for draw in 0..20 {
            let outcome =
                game("tictactoe", |board, seat, ply| board.suggest(seat, draw * 31 + u64::from(ply)).unwrap());
            assert_eq!(outcome, Outcome::Draw, "draw {draw}");
        }
    }

    #[test]
    fn a_win_at_once_goes_before_a_block_and_before_a_later_win() {
        assert_eq!(suggestions("tictactoe", Seat::X, &["XX.", "OO.", "..."]), [Spot { row: 0, col: 2 }]);
        assert_eq!(suggestions("tictactoe", Seat::O, &["XX.", "OO.", "X.."]), [Spot { row: 1, col: 2 }]);
        assert_eq!(suggestions("tictactoe", Seat::O, &["X.X", ".O.", "..."]), [Spot { row: 0, col: 1 }]);
    }

    #[test]
    fn a_lost_position_is_held_as_long_as_it_can_be() {
        // X threatens two cells: each block is as good as the other, and better than none.
        let blocks = suggestions("tictactoe", Seat::O, &["X.X", "O..", "XO."]);
        assert_eq!(blocks, [Spot { row: 0, col: 1 }, Spot { row: 1, col: 1 }]);
    }

    #[test]
    fn the_draw_chooses_among_equals_and_decides_alone() {
        let board = board("tictactoe");
        let first = |draw| board.suggest(Seat::X, draw).unwrap();
        let all: BTreeSet<_> = (0..9).map(first).collect();
        assert_eq!(all.len(), 9, "every opening holds the draw");
        assert_eq!(first(u64::MAX), first(u64::MAX));
        assert_eq!(first(3), first(12));
    }

    #[test]
    fn connect4_sees_past_the_next_stone() {
        // A third stone beside the two leaves two cells to win on.
        let attack = [".......", ".......", ".......", ".......", "..XX..O", "OXOXXOO"];
        for spot in suggestions("connect4", Seat::X, &attack) {
            assert!([1, 4].contains(&spot.col), "{spot:?} forces nothing");
        }
        // Any other column lets O force a line.
        let defence = [".......", ".......", "O......", "X......", "O.O....", "XXOOXX."];
        assert_eq!(suggestions("connect4", Seat::X, &defence), [Spot { row: 4, col: 3 }]);
    }

    #[test]
    fn connect4_does_not_lift_the_opponent_onto_a_winning_cell() {
        // The fourth column promises three in a row, and X the cell above it.
        let rows = [".......", ".......", ".......", ".......", "XXX....", "XOO...O"];
        for spot in suggestions("connect4", Seat::O, &rows) {
            assert_ne!(spot.col, 3, "X wins on top of it");
        }
    }

    #[test]
    fn gomoku_blocks_a_four_and_takes_a_five() {
        let mut rows = vec![".".repeat(15); 15];
        rows[7] = ".....OXXXX.....".to_owned();
        rows[9] = "...OOOO........".to_owned();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        for five in suggestions("gomoku", Seat::O, &rows) {
            assert!(five.row == 9 && [2, 7].contains(&five.col), "{five:?} does not win");
        }
        let quiet: Vec<&str> = rows.iter().map(|row| if row.starts_with("...OOOO") { rows[0] } else { row }).collect();
        assert_eq!(suggestions("gomoku", Seat::O, &quiet), [Spot { row: 7, col: 10 }]);
    }

    #[test]
    fn gomoku_does_not_let_an_open_three_grow() {
        let mut rows = vec![".".repeat(15); 15];
        rows[7] = ".....XXX.......".to_owned();
        rows[2] = "..........OO...".to_owned();
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        for spot in suggestions("gomoku", Seat::O, &rows) {
            assert!(spot.row == 7 && [4, 8].contains(&spot.col), "{spot:?} leaves the three open");
        }
        for spot in suggestions("gomoku", Seat::X, &rows) {
            assert!(spot.row == 7 && [4, 8].contains(&spot.col), "{spot:?} makes no four");
        }
    }

    #[test]
    fn a_random_player_is_beaten_nearly_always() {
        for (name, games) in [("connect4", 10), ("gomoku", 5), ("4x4x3", 10), ("6x5x4g", 10)] {
            for bot in Seat::BOTH {
                let won = (0..games).filter(|seed| beats_chance(name, bot, *seed)).count();
                assert!(won * 10 >= games as usize * 9, "{name} as {bot}: {won} of {games}");
            }
        }
    }

    #[test]
    fn any_rules_get_a_legal_move_to_the_end() {
        for name in ["2x2x2", "2x19x19", "19x2x3g", "2x19x2g", "3x3x3g", "19x19x19", "12x3x12g"] {
            game(name, |board, seat, ply| board.suggest(seat, u64::from(ply)).unwrap());
        }
    }

    /// A position drawn as it is shown, the stones laid without regard to turns.
    fn drawn(name: &str, rows: &[&str]) -> Board {
        let mut board = board(name);
        for (row, letters) in (0..).zip(rows) {
            for (col, letter) in (0..).zip(letters.chars()) {
                match letter {
                    'X' => board.put(Spot { row, col }, Seat::X),
                    'O' => board.put(Spot { row, col }, Seat::O),
                    _ => {}
                }
            }
        }
        assert_eq!(board.show(), rows);
        board
    }

    /// All that is ever suggested there, in the order of the cells.
    fn suggestions(name: &str, seat: Seat, rows: &[&str]) -> Vec<Spot> {
        let board = drawn(name, rows);
        let mut spots: Vec<Spot> = (0..24).map(|draw| best(&board, seat, draw).unwrap()).collect();
        spots.sort_by_key(|spot| (spot.row, spot.col));
        spots.dedup();
        spots
    }

    fn board(name: &str) -> Board {
        Board::new(Rules::named(name).unwrap())
    }

    /// Plays the bot against each reply of the opponent, and notes how it ends.
    fn face_every_reply(board: &Board, bot: Seat, turn: Seat, draw: u64, ended: &mut Vec<Outcome>) {
        if let Some(outcome) = board.outcome() {
            ended.push(outcome);
            return;
        }
        let answers = if turn == bot { vec![best(board, bot, draw).unwrap()] } else { board.landings() };
        for spot in answers {
            let mut next = board.clone();
            next.apply(turn, &board.play(spot)).unwrap();
            face_every_reply(&next, bot, turn.other(), draw, ended);
        }
    }

    /// For each undecided position: whose turn it is, what that is worth to them, and which cells get it.
    type Values = BTreeMap<Vec<String>, (Seat, i32, Vec<(u8, u8)>)>;

    /// What a position is worth to `seat`, who is to move, by trying everything.
    fn work_out(board: &Board, seat: Seat, values: &mut Values) -> i32 {
        match board.outcome() {
            Some(Outcome::Win(winner)) => {
                let soon = i32::from(board.free()) + 1;
                return if winner == seat { soon } else { -soon };
            }
            Some(Outcome::Draw) => return 0,
            None => {}
        }
        if let Some((_, value, _)) = values.get(&board.show()) {
            return *value;
        }
        let worths: Vec<(Spot, i32)> = board
            .landings()
            .into_iter()
            .map(|spot| {
                let mut next = board.clone();
                next.apply(seat, &board.play(spot)).unwrap();
                (spot, -work_out(&next, seat.other(), values))
            })
            .collect();
        let value = worths.iter().map(|(_, worth)| *worth).max().unwrap();
        let bests = worths.iter().filter(|(_, worth)| *worth == value).map(|(spot, _)| (spot.row, spot.col)).collect();
        values.insert(board.show(), (seat, value, bests));
        value
    }

    fn beats_chance(name: &str, bot: Seat, seed: u64) -> bool {
        let mut chance = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let outcome = game(name, |board, seat, _| {
            // Xorshift: a few random numbers for a test.
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            if seat == bot {
                return board.suggest(seat, chance).unwrap();
            }
            let landings = board.landings();
            let spot = landings[usize::try_from(chance % landings.len() as u64).unwrap()];
            board.play(spot)
        });
        outcome == Outcome::Win(bot)
    }

    fn game(name: &str, mut choose: impl FnMut(&Board, Seat, u16) -> Move) -> Outcome {
        let mut board = board(name);
        for ply in 0.. {
            if let Some(outcome) = board.outcome() {
                return outcome;
            }
            let play = choose(&board, Seat::at(ply), ply);
            board.apply(Seat::at(ply), &play).unwrap();
        }
        unreachable!("plies run out after the cells")
    }
}
