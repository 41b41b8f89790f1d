//! One position of an m,n,k game.
//!
//! Invariants: `stones` counts the cells that are not empty; `outcome` is set by the stone that decides the game and
//! by nothing else; a refused move changes nothing. Whose turn it is lies outside: an entry's ply names its author.

use std::ops::Neg;

use super::{Rules, SIDE_MAX, suggest};
use crate::model::games::{Cell, Game, Illegal, Move, Outcome, Seat};

/// The stones on the grid, one byte a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    cells: Box<[Option<Seat>]>,
    stones: u16,
    rules: Rules,
    outcome: Option<Outcome>,
}
const _: () = assert!(size_of::<Option<Seat>>() == 1);

/// A cell counted from 0, from the top left; it may lie off the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) row: u8,
    pub(super) col: u8,
}

/// A direction in which a line can run, by cells down and to the right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    down: i8,
    right: i8,
}

/// Along a row, along a column, along either diagonal. Each stands for its opposite too.
pub(super) const STEPS: [Step; 4] =
    [Step { down: 0, right: 1 }, Step { down: 1, right: 0 }, Step { down: 1, right: 1 }, Step { down: 1, right: -1 }];

impl Board {
    /// The empty board.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { cells: vec![None; usize::from(rules.cells())].into(), stones: 0, rules, outcome: None }
    }

    pub(super) const fn rules(&self) -> Rules {
        self.rules
    }

    /// Cells without a stone.
    pub(super) fn free(&self) -> u16 {
        self.rules.cells() - self.stones
    }

    pub(super) const fn has(&self, spot: Spot) -> bool {
        spot.row < self.rules.rows && spot.col < self.rules.cols
    }

    /// Whose stone lies there; nobody's on an empty cell and off the board.
    pub(super) fn stone(&self, spot: Spot) -> Option<Seat> {
        if self.has(spot) { self.cells[self.index(spot)] } else { None }
    }

    /// Lays a stone without asking what it means.
    pub(super) fn put(&mut self, spot: Spot, seat: Seat) {
        let old = self.cells[self.index(spot)].replace(seat);
        assert!(old.is_none(), "two stones on one cell");
        self.stones += 1;
    }

    /// Takes back a stone that was [`Board::put`].
    pub(super) fn lift(&mut self, spot: Spot) {
        let old = self.cells[self.index(spot)].take();
        assert!(old.is_some(), "no stone to take back");
        self.stones -= 1;
    }

    /// Whether a stone of `seat` there makes a line that wins. Only lines through that cell are looked at.
    pub(super) fn completes(&self, spot: Spot, seat: Seat) -> bool {
        STEPS.into_iter().any(|step| {
            let line = 1 + self.run(spot, step, seat) + self.run(spot, -step, seat);
            line >= usize::from(self.rules.in_a_row)
        })
    }

    /// Where the next stone can come to lie.
    pub(super) fn landings(&self) -> Vec<Spot> {
        if self.rules.gravity {
            (0..self.rules.cols).filter_map(|col| self.drop_into(col).ok()).collect()
        } else {
            self.spots().filter(|spot| self.stone(*spot).is_none()).collect()
        }
    }

    /// How many stones of `seat` follow each other from beside `spot` on, as far as a line needs.
    fn run(&self, spot: Spot, step: Step, seat: Seat) -> usize {
        let beside = |steps| spot.after(step, steps).and_then(|spot| self.stone(spot));
        (1..self.rules.in_a_row).take_while(|steps| beside(*steps) == Some(seat)).count()
    }

    fn spots(&self) -> impl Iterator<Item = Spot> {
        let Rules { cols, rows, .. } = self.rules;
        (0..rows).flat_map(move |row| (0..cols).map(move |col| Spot { row, col }))
    }

    fn index(&self, spot: Spot) -> usize {
        usize::from(spot.row) * usize::from(self.rules.cols) + usize::from(spot.col)
    }

    /// Where the stone of these bytes comes to lie.
    fn landing(&self, play: &Move) -> Result<Spot, Illegal> {
        match (self.rules.gravity, play.as_bytes()) {
            (true, &[col]) => self.drop_into(col),
            (false, &[row, col]) => self.vacant(Spot { row, col }),
            (true | false, _) => Err(Illegal::Malformed),
        }
    }

    /// The spot itself if a stone can be laid there, gravity aside.
    fn vacant(&self, spot: Spot) -> Result<Spot, Illegal> {
        if self.outcome.is_some() {
            return Err(Illegal::Over);
        }
        if !self.has(spot) {
            return Err(Illegal::OffTheBoard);
        }
        if self.stone(spot).is_some() {
            return Err(Illegal::CellTaken);
        }
        Ok(spot)
    }

    /// The lowest free cell of a column.
    fn drop_into(&self, col: u8) -> Result<Spot, Illegal> {
        let top = self.vacant(Spot { row: 0, col })?;
        let upwards = (0..self.rules.rows).rev().map(|row| Spot { row, col });
        Ok(upwards.into_iter().find(|spot| self.stone(*spot).is_none()).unwrap_or(top))
    }

    /// The cell a player names by row and column where stones fall: it must be the one where the stone lands.
    fn dropped_at(&self, named: Spot) -> Result<Spot, Illegal> {
        self.vacant(named)?;
        let landing = self.drop_into(named.col)?;
        if landing == named { Ok(landing) } else { Err(Illegal::OffTheBoard) }
    }

    fn play(&self, spot: Spot) -> Move {
        let bytes: &[u8] = if self.rules.gravity { &[spot.col] } else { &[spot.row, spot.col] };
        Move::new(bytes).expect("one or two bytes are within the limit of an act")
    }
}

impl Game for Board {
    fn apply(&mut self, seat: Seat, play: &Move) -> Result<(), Illegal> {
        let spot = self.landing(play)?;
        self.put(spot, seat);
        if self.completes(spot, seat) {
            self.outcome = Some(Outcome::Win(seat));
        } else if self.free() == 0 {
            self.outcome = Some(Outcome::Draw);
        }
        Ok(())
    }

    fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    fn show(&self) -> Vec<String> {
        let letter = |cell: &Option<Seat>| match cell {
            Some(Seat::X) => 'X',
            Some(Seat::O) => 'O',
            None => '.',
        };
        self.cells.chunks(usize::from(self.rules.cols)).map(|row| row.iter().map(letter).collect()).collect()
    }

    fn read(&self, words: &[&str]) -> Result<Move, Illegal> {
        let spot = match (self.rules.gravity, words) {
            (true, [col]) => self.drop_into(number(col)?),
            (true, [row, col]) => self.dropped_at(Spot { row: number(row)?, col: number(col)? }),
            (false, [row, col]) => self.vacant(Spot { row: number(row)?, col: number(col)? }),
            (true | false, _) => Err(Illegal::Malformed),
        }?;
        Ok(self.play(spot))
    }

    fn cell(&self, play: &Move) -> Option<Cell> {
        let Spot { row, col } = self.landing(play).ok()?;
        Some(Cell { row: u16::from(row) + 1, col: u16::from(col) + 1 })
    }

    fn suggest(&self, seat: Seat, draw: u64) -> Option<Move> {
        if self.outcome.is_some() {
            return None;
        }
        suggest::best(self, seat, draw).map(|spot| self.play(spot))
    }

    fn boxed_clone(&self) -> Box<dyn Game> {
        Box::new(self.clone())
    }
}

impl Spot {
    /// The spot so many steps further; `None` before the first row or column.
    pub(super) fn after(self, step: Step, steps: u8) -> Option<Self> {
        let steps = steps.cast_signed();
        Some(Self {
            row: self.row.checked_add_signed(step.down * steps)?,
            col: self.col.checked_add_signed(step.right * steps)?,
        })
    }
}

impl Neg for Step {
    type Output = Self;

    fn neg(self) -> Self {
        Self { down: -self.down, right: -self.right }
    }
}

/// A row or column as people count it, from 1, turned into one from 0. What is on no board comes out on none: 0 as
/// the largest number there is, too large a number nearly so.
fn number(word: &str) -> Result<u8, Illegal> {
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Illegal::Malformed);
    }
    Ok(word.parse().unwrap_or(u8::MAX).wrapping_sub(1))
}
const _: () = assert!(SIDE_MAX < u8::MAX - 1);

#[cfg(test)]
mod tests {
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
}
