//! The games, once more: a grid, stones, and lines of them.
//!
//! What must hold: nothing of the rules that the program plays by is used here. A line is looked for on the whole board,
//! from every stone on.

/// One game of the family of stones on a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    cols: usize,
    rows: usize,
    line: usize,
    falls: bool,
}

/// A position. Seats are 0 for X and 1 for O.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Board {
    grid: Grid,
    cells: Vec<Option<usize>>,
}

impl Grid {
    /// By the name of the game: `tictactoe`, `connect4`, `gomoku`, or sizes such as `7x6x4g`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let sizes = match name {
            "tictactoe" => "3x3x3",
            "connect4" => "7x6x4g",
            "gomoku" => "15x15x5",
            other => other,
        };
        let falls = sizes.ends_with('g');
        let numbers: Option<Vec<usize>> =
            sizes.trim_end_matches('g').split('x').map(|size| size.parse().ok()).collect();
        let &[cols, rows, line] = numbers?.as_slice() else { return None };
        Some(Self { cols, rows, line, falls })
    }
}

impl Board {
    pub(super) fn new(grid: Grid) -> Self {
        Self { grid, cells: vec![None; grid.cols * grid.rows] }
    }

    /// Lays a stone; row and column from 1.
    pub(super) fn put(&mut self, seat: usize, row: u16, col: u16) -> Result<(), String> {
        let (row, col) = (usize::from(row), usize::from(col));
        if row == 0 || col == 0 || row > self.grid.rows || col > self.grid.cols {
            return Err(format!("{row},{col} is off the board"));
        }
        if self.at(row - 1, col - 1).is_some() {
            return Err(format!("{row},{col} is taken"));
        }
        if self.grid.falls && row < self.grid.rows && self.at(row, col - 1).is_none() {
            return Err(format!("{row},{col} rests on nothing"));
        }
        self.cells[(row - 1) * self.grid.cols + col - 1] = Some(seat);
        Ok(())
    }

    /// Who has a line.
    pub(super) fn winner(&self) -> Option<usize> {
        let spots = (0..self.grid.rows).flat_map(|row| (0..self.grid.cols).map(move |col| (row, col)));
        spots.filter_map(|(row, col)| self.at(row, col).filter(|seat| self.begins_a_line(row, col, *seat))).next()
    }

    pub(super) fn is_full(&self) -> bool {
        self.cells.iter().all(Option::is_some)
    }

    /// From the top.
    pub(super) fn rows(&self) -> Vec<String> {
        let letter = |cell: &Option<usize>| cell.map_or('.', |seat| if seat == 0 { 'X' } else { 'O' });
        self.cells.chunks(self.grid.cols).map(|row| row.iter().map(letter).collect()).collect()
    }

    fn at(&self, row: usize, col: usize) -> Option<usize> {
        if row < self.grid.rows && col < self.grid.cols { self.cells[row * self.grid.cols + col] } else { None }
    }

    /// To the right, down, and down to either side.
    fn begins_a_line(&self, row: usize, col: usize, seat: usize) -> bool {
        let line = self.grid.line;
        let right = || (0..line).all(|step| self.at(row, col + step) == Some(seat));
        let down = || (0..line).all(|step| self.at(row + step, col) == Some(seat));
        let aslant = || (0..line).all(|step| self.at(row + step, col + step) == Some(seat));
        let back = || col + 1 >= line && (0..line).all(|step| self.at(row + step, col - step) == Some(seat));
        right() || down() || aslant() || back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(game: &str, cells: &[(u16, u16)]) -> Result<Board, String> {
        let mut board = Board::new(Grid::named(game).unwrap());
        for (ply, (row, col)) in cells.iter().enumerate() {
            board.put(ply % 2, *row, *col)?;
        }
        Ok(board)
    }

    #[test]
    fn lines_are_found_in_every_direction() {
        let lines =
            [[(2, 1), (2, 2), (2, 3)], [(1, 3), (2, 3), (3, 3)], [(1, 1), (2, 2), (3, 3)], [(1, 3), (2, 2), (3, 1)]];
        for line in lines {
            let mut board = Board::new(Grid::named("tictactoe").unwrap());
            for (at, (row, col)) in line.into_iter().enumerate() {
                assert_eq!(board.winner(), None, "after {at} stones of {line:?}");
                board.put(1, row, col).unwrap();
            }
            assert_eq!(board.winner(), Some(1), "{line:?}");
        }
    }

    #[test]
    fn a_full_board_without_a_line_is_a_draw() {
        let drawn = [(1, 1), (2, 2), (3, 3), (1, 2), (3, 2), (3, 1), (1, 3), (2, 3), (2, 1)];
        let board = played("tictactoe", &drawn).unwrap();
        assert_eq!((board.winner(), board.is_full()), (None, true));
        assert_eq!(board.rows(), ["XOX", "XOO", "OXX"]);
    }

    #[test]
    fn stones_fall_in_connect4_and_four_make_a_line() {
        assert!(played("connect4", &[(5, 1)]).is_err(), "it hangs in the air");
        let won = played("connect4", &[(6, 1), (6, 2), (5, 1), (5, 2), (4, 1), (4, 2), (3, 1)]).unwrap();
        assert_eq!(won.winner(), Some(0));
    }

    #[test]
    fn five_make_a_line_in_gomoku_and_four_do_not() {
        let mut board = played("gomoku", &[]).unwrap();
        for col in 10..14 {
            board.put(0, 15, col).unwrap();
        }
        assert_eq!(board.winner(), None);
        board.put(0, 15, 14).unwrap();
        assert_eq!(board.winner(), Some(0));
    }

    #[test]
    fn cells_that_are_taken_or_off_the_board_are_refused() {
        assert!(played("tictactoe", &[(1, 1), (1, 1)]).is_err());
        assert!(played("tictactoe", &[(4, 1)]).is_err() && played("tictactoe", &[(0, 1)]).is_err());
        assert_eq!(Grid::named("chess"), None);
    }
}
