//! The rules of the board, promise by promise.

#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::games::GameSpec;

const TOP_ROW: [[u8; 2]; 5] = [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2]];

#[test]
fn every_game_of_tictactoe_ends_as_counted_by_others() {
    let mut seen = BTreeMap::new();
    let games = ends(&board("tictactoe"), 0, &mut seen);
    assert_eq!(games, Ends { x: 131_184, o: 77_904, draw: 46_080 });
    assert_eq!(seen.len(), 5_478, "legal positions");
}

#[test]
fn every_line_of_tictactoe_wins_for_either_seat() {
    let rows = (0..3).map(|row| [[row, 0], [row, 1], [row, 2]]);
    let cols = (0..3).map(|col| [[0, col], [1, col], [2, col]]);
    let diagonals = [[[0, 0], [1, 1], [2, 2]], [[0, 2], [1, 1], [2, 0]]];
    for line in rows.chain(cols).chain(diagonals) {
        for (seat, last) in Seat::BOTH.into_iter().flat_map(|seat| (0..3).map(move |last| (seat, last))) {
            let mut board = board("tictactoe");
            for cell in (0..3).filter(|cell| *cell != last) {
                board.apply(seat, &play(&line[cell])).unwrap();
                assert_eq!(board.outcome(), None, "{line:?}");
            }
            board.apply(seat, &play(&line[last])).unwrap();
            assert_eq!(board.outcome(), Some(Outcome::Win(seat)), "{line:?}");
        }
    }
}

#[test]
fn d9_the_anti_diagonal_wins() {
    let board = played("tictactoe", &[[0, 2], [0, 0], [1, 1], [0, 1], [2, 0]]);
    assert_eq!(board.show(), ["OOX", ".X.", "X.."]);
    assert_eq!(board.outcome(), Some(Outcome::Win(Seat::X)));
}

#[test]
fn d8_a_full_board_without_a_line_is_a_draw() {
    let all = [[0, 0], [0, 1], [0, 2], [1, 1], [1, 0], [1, 2], [2, 1], [2, 0], [2, 2]];
    assert_eq!(played("tictactoe", &all[..8]).outcome(), None);
    let mut board = played("tictactoe", &all);
    assert_eq!(board.show(), ["XOX", "XOO", "OXX"]);
    assert_eq!(board.outcome(), Some(Outcome::Draw));
    assert_eq!(board.apply(Seat::O, &play(&[0, 0])), Err(Illegal::Over));
}

#[test]
fn the_last_stone_of_a_full_board_can_win() {
    let all = [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2], [2, 1], [2, 0], [2, 2]];
    let board = played("tictactoe", &all);
    assert_eq!(board.free(), 0);
    assert_eq!(board.outcome(), Some(Outcome::Win(Seat::X)));
}

#[test]
fn d7_words_that_are_no_move_are_refused_with_a_reason() {
    let board = played("tictactoe", &[[1, 1]]);
    let refused: [(&[&str], Illegal); 14] = [
        (&[], Illegal::Malformed),
        (&["1"], Illegal::Malformed),
        (&["1", "2", "3"], Illegal::Malformed),
        (&["a", "b"], Illegal::Malformed),
        (&["1", ""], Illegal::Malformed),
        (&["-1", "1"], Illegal::Malformed),
        (&["+1", "1"], Illegal::Malformed),
        (&["1.0", "1"], Illegal::Malformed),
        (&["١", "1"], Illegal::Malformed),
        (&["5", "5"], Illegal::OffTheBoard),
        (&["0", "1"], Illegal::OffTheBoard),
        (&["1", "4"], Illegal::OffTheBoard),
        (&["257", "99999999999999999999"], Illegal::OffTheBoard),
        (&["2", "2"], Illegal::CellTaken),
    ];
    for (words, reason) in refused {
        assert_eq!(board.read(words), Err(reason), "{words:?}");
    }
    assert_eq!(board.read(&["3", "1"]), Ok(play(&[2, 0])));
}

#[test]
fn row_comes_before_column() {
    let mut board = Board::new(Rules::named("5x2x3").unwrap());
    let act = board.read(&["2", "5"]).unwrap();
    assert_eq!(board.cell(&act), Some(Cell { row: 2, col: 5 }));
    board.apply(Seat::O, &act).unwrap();
    assert_eq!(board.show(), [".....", "....O"]);
    assert_eq!(board.cell(&act), None);
}

#[test]
fn after_the_end_every_move_is_refused_as_over() {
    let won = played("tictactoe", &TOP_ROW);
    assert_eq!(won.outcome(), Some(Outcome::Win(Seat::X)));
    for bytes in [[2, 2], [0, 0], [9, 9]] {
        assert_eq!(won.clone().apply(Seat::O, &play(&bytes)), Err(Illegal::Over));
        assert_eq!(won.cell(&play(&bytes)), None);
    }
    for words in [["3", "3"], ["1", "1"], ["0", "9"]] {
        assert_eq!(won.read(&words), Err(Illegal::Over));
    }
    assert_eq!(won.clone().apply(Seat::O, &play(&[2])), Err(Illegal::Malformed));
    assert_eq!(won.read(&["three"]), Err(Illegal::Malformed));
    assert_eq!(won.suggest(Seat::O, 0), None);
}

#[test]
fn with_gravity_stones_fall_until_the_column_is_full() {
    let mut board = board("connect4");
    for ply in 0..6 {
        let act = board.read(&["7"]).unwrap();
        assert_eq!(act, play(&[6]));
        assert_eq!(board.cell(&act), Some(Cell { row: 6 - ply, col: 7 }));
        board.apply(Seat::at(ply), &act).unwrap();
    }
    let column: String = board.show().iter().map(|row| &row[6..]).collect();
    assert_eq!(column, "OXOXOX");
    assert_eq!(board.apply(Seat::X, &play(&[6])), Err(Illegal::CellTaken));
    assert_eq!(board.apply(Seat::X, &play(&[7])), Err(Illegal::OffTheBoard));
    assert_eq!(board.read(&["7"]), Err(Illegal::CellTaken));
    assert_eq!(board.read(&["1", "7"]), Err(Illegal::CellTaken));
    assert_eq!(board.read(&["0"]), Err(Illegal::OffTheBoard));
    assert_eq!(board.read(&["8"]), Err(Illegal::OffTheBoard));
}

#[test]
fn with_gravity_a_row_may_be_named_if_the_stone_lands_there() {
    let mut board = board("connect4");
    board.apply(Seat::X, &play(&[3])).unwrap();
    assert_eq!(board.read(&["5", "4"]), Ok(play(&[3])));
    assert_eq!(board.read(&["6", "4"]), Err(Illegal::CellTaken));
    assert_eq!(board.read(&["4", "4"]), Err(Illegal::OffTheBoard));
    assert_eq!(board.read(&["7", "4"]), Err(Illegal::OffTheBoard));
    assert_eq!(board.read(&["5", "x"]), Err(Illegal::Malformed));
    assert_eq!(board.apply(Seat::O, &play(&[4, 3])), Err(Illegal::Malformed));
}

#[test]
fn with_gravity_a_rising_diagonal_wins() {
    let mut board = board("connect4");
    for (ply, col) in (0..).zip([0, 1, 1, 2, 2, 3, 2, 3, 3, 6, 3]) {
        assert_eq!(board.outcome(), None);
        board.apply(Seat::at(ply), &play(&[col])).unwrap();
    }
    assert_eq!(board.show()[2..], ["...X...", "..XX...", ".XXO...", "XOOO..O"]);
    assert_eq!(board.outcome(), Some(Outcome::Win(Seat::X)));
}

#[test]
fn a_line_longer_than_needed_wins() {
    let mut board = board("gomoku");
    for col in [0, 1, 2, 4, 5, 3] {
        assert_eq!(board.outcome(), None);
        board.apply(Seat::X, &play(&[14, col])).unwrap();
    }
    assert_eq!(board.outcome(), Some(Outcome::Win(Seat::X)));
}

#[test]
fn a_line_does_not_wrap_around_the_edge() {
    let mut board = Board::new(Rules::named("3x4x3").unwrap());
    for spot in [[0, 1], [0, 2], [1, 0], [2, 0], [3, 2]] {
        board.apply(Seat::O, &play(&spot)).unwrap();
    }
    assert_eq!(board.outcome(), None, "{:?}", board.show());
}

#[test]
fn hostile_bytes_never_panic_and_a_refused_move_changes_nothing() {
    let edges = [0, 1, 2, 3, 5, 6, 7, 13, 14, 15, 127, 128, 129, 254, 255];
    let two = (0..=u16::MAX).map(|both| both.to_be_bytes().to_vec());
    let three = edges.iter().flat_map(|a| edges.iter().flat_map(move |b| edges.map(|c| vec![*a, *b, c])));
    let one = (0..=u8::MAX).map(|byte| vec![byte]);
    let acts: Vec<Vec<u8>> = [vec![]].into_iter().chain(one).chain(two).chain(three).collect();
    for name in ["tictactoe", "connect4", "19x2x19"] {
        let mut board = board(name);
        let first = board.suggest(Seat::X, 7).unwrap();
        board.apply(Seat::X, &first).unwrap();
        let legal = acts.iter().filter(|act| try_out(&mut board.clone(), &play(act))).count();
        assert_eq!(legal, board.landings().len(), "{name}: one encoding for each move");
    }
}

#[test]
fn a_start_is_found_behind_the_trait_and_a_copy_is_its_own() {
    let start = GameSpec::named("tictactoe").unwrap().start().unwrap();
    let mut copy = start.clone();
    copy.apply(Seat::X, &play(&[0, 0])).unwrap();
    assert_eq!(start.show(), ["...", "...", "..."]);
    assert_eq!(copy.show(), ["X..", "...", "..."]);
}

proptest! {
    #[test]
    fn wins_are_those_a_scan_of_the_whole_board_finds(
        (cols, rows, line) in (2..=19_u8, 2..=19_u8, 2..=6_u8),
        gravity: bool,
        picks in prop::collection::vec(any::<usize>(), 361),
    ) {
        let rules = Rules::new(cols, rows, line.min(cols.max(rows)), gravity).unwrap();
        let mut board = Board::new(rules);
        for (ply, pick) in (0..).zip(picks) {
            let landings = board.landings();
            let spot = landings[pick % landings.len()];
            board.apply(Seat::at(ply), &board.play(spot)).unwrap();
            let full = board.show().iter().all(|row| !row.contains('.'));
            let expected = scanned(&board).map(Outcome::Win).or(full.then_some(Outcome::Draw));
            prop_assert_eq!(board.outcome(), expected, "{:?}", board);
            if expected.is_some() {
                break;
            }
        }
        prop_assert!(board.outcome().is_some(), "a game ends");
    }

    #[test]
    fn random_bytes_and_words_never_panic(
        (cols, rows, gravity) in (2..=19_u8, 2..=19_u8, any::<bool>()),
        acts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..=64), 0..50),
        words in prop::collection::vec(".{0,20}|[0-9]{1,25}", 0..4),
    ) {
        let mut board = Board::new(Rules::new(cols, rows, 2, gravity).unwrap());
        for act in acts {
            try_out(&mut board, &play(&act));
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Ok(act) = board.read(&words) {
            prop_assert!(try_out(&mut board, &act), "what was read is legal");
        }
    }
}

fn board(name: &str) -> Board {
    Board::new(Rules::named(name).unwrap())
}

fn play(bytes: &[u8]) -> Move {
    Move::new(bytes).unwrap()
}

fn played(name: &str, moves: &[[u8; 2]]) -> Board {
    let mut board = board(name);
    for (ply, bytes) in (0..).zip(moves) {
        board.apply(Seat::at(ply), &play(bytes)).unwrap();
    }
    board
}

/// Whether a move was legal; checks that it was foretold, and that nothing happened if it was not.
fn try_out(board: &mut Board, act: &Move) -> bool {
    let (before, foretold) = (board.clone(), board.cell(act));
    let result = board.apply(Seat::O, act);
    assert_eq!(result.is_ok(), foretold.is_some(), "{act:?}");
    if result.is_err() {
        assert_eq!(*board, before, "{act:?}");
    }
    result.is_ok()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ends {
    x: u32,
    o: u32,
    draw: u32,
}

/// How many games go on from here to each end; every position is worked out once.
fn ends(board: &Board, ply: u16, seen: &mut BTreeMap<Vec<String>, Ends>) -> Ends {
    if let Some(known) = seen.get(&board.show()) {
        return *known;
    }
    let mut sum = match board.outcome() {
        Some(Outcome::Win(Seat::X)) => Ends { x: 1, ..Ends::default() },
        Some(Outcome::Win(Seat::O)) => Ends { o: 1, ..Ends::default() },
        Some(Outcome::Draw) => Ends { draw: 1, ..Ends::default() },
        None => Ends::default(),
    };
    for bytes in (0..3).flat_map(|row| (0..3).map(move |col| [row, col])) {
        let mut next = board.clone();
        if next.apply(Seat::at(ply), &play(&bytes)).is_ok() {
            let Ends { x, o, draw } = ends(&next, ply + 1, seen);
            sum = Ends { x: sum.x + x, o: sum.o + o, draw: sum.draw + draw };
        }
    }
    seen.insert(board.show(), sum);
    sum
}

/// Who has a line, found by reading the shown board along every line from every cell.
fn scanned(board: &Board) -> Option<Seat> {
    let grid: Vec<Vec<char>> = board.show().iter().map(|row| row.chars().collect()).collect();
    let at = |row: usize, col: usize| grid.get(row).and_then(|cells| cells.get(col)).copied();
    let needed = usize::from(board.rules.in_a_row);
    for (row, col) in (0..grid.len()).flat_map(|row| (0..grid[0].len()).map(move |col| (row, col))) {
        for (seat, letter) in [(Seat::X, 'X'), (Seat::O, 'O')] {
            let lines = [
                (0..needed).all(|n| at(row, col + n) == Some(letter)),
                (0..needed).all(|n| at(row + n, col) == Some(letter)),
                (0..needed).all(|n| at(row + n, col + n) == Some(letter)),
                (0..needed).all(|n| col >= n && at(row + n, col - n) == Some(letter)),
            ];
            if lines.contains(&true) {
                return Some(seat);
            }
        }
    }
    None
}
