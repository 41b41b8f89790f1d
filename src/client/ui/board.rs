//! A board as text.
//!
//! Holds: the picture depends on the arguments alone; it needs no colour; a row of 19 cells fits a screen of 80
//! columns, and no line ends in a blank.

use crate::model::games::Cell;

/// The board with its rows and columns numbered from 1, the last move in brackets; lines are parted by `\n` and the
/// last one has none. `rows` is what [`show`](crate::model::games::Game::show) gives: one letter a cell. A `last` that
/// is not on the board marks nothing.
#[must_use]
pub fn board(rows: &[String], last: Option<Cell>) -> String {
    let cols = rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
    let numbers: Vec<String> = (1..=cols).map(|col| format!("{col:>2} ")).collect();
    let mut lines = vec![line("  ", &numbers.join(" "))];
    for (row, letters) in (1_u16..).zip(rows) {
        let cells: Vec<String> =
            (1_u16..).zip(letters.chars()).map(|(col, letter)| cell(letter, last == Some(Cell { row, col }))).collect();
        lines.push(line(&format!("{row:>2}"), &cells.join("|")));
    }
    lines.join("\n")
}

fn line(number: &str, cells: &str) -> String {
    format!("{number} {cells}").trim_end().to_owned()
}

/// Always three columns wide.
fn cell(letter: char, is_last: bool) -> String {
    if is_last { format!("[{letter}]") } else { format!(" {letter} ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_board_is_numbered_and_its_last_move_bracketed() {
        let picture = ["    1   2   3", " 1  X | O | .", " 2  . |[X]| .", " 3  . | . | O"];
        assert_eq!(board(&rows(&["XO.", ".X.", "..O"]), Some(Cell { row: 2, col: 2 })), picture.join("\n"));
    }

    #[test]
    fn a_wide_board_is_drawn_with_its_last_move_in_the_corner() {
        let picture = [
            "    1   2   3   4   5   6   7",
            " 1  . | . | . | . | . | . | .",
            " 2  . | . | . | . | . | . | .",
            " 3  . | . | . | . | . | . | .",
            " 4  . | . | . | . | . | . | .",
            " 5  . | . | . | X | . | . | .",
            " 6  O | . | . | O | X | . |[X]",
        ];
        let shown = rows(&[".......", ".......", ".......", ".......", "...X...", "O..OX.X"]);
        assert_eq!(board(&shown, Some(Cell { row: 6, col: 7 })), picture.join("\n"));
    }

    #[test]
    fn without_a_last_move_on_the_board_nothing_is_marked() {
        let picture = "    1   2\n 1  . | .\n 2  . | .";
        for last in [None, Some(Cell { row: 0, col: 0 }), Some(Cell { row: 3, col: 1 }), Some(Cell { row: 1, col: 3 })]
        {
            assert_eq!(board(&rows(&["..", ".."]), last), picture);
        }
    }

    #[test]
    fn gomoku_and_the_widest_board_fit_the_screen() {
        for (side, width) in [(15, 62), (19, 78)] {
            let shown = vec!["X".repeat(side); side];
            let last = u16::try_from(side).ok();
            let text = board(&shown, last.map(|side| Cell { row: side, col: side }));
            assert_eq!(text.lines().count(), side + 1);
            assert_eq!(text.lines().map(|line| line.chars().count()).max(), Some(width));
            assert!(text.lines().all(|line| !line.ends_with(' ')));
            assert!(text.ends_with("|[X]"), "{text}");
        }
    }

    #[test]
    fn two_digit_numbers_stand_over_their_column() {
        let text = board(&rows(&["..........XO"]), Some(Cell { row: 1, col: 11 }));
        assert_eq!(
            text,
            "    1   2   3   4   5   6   7   8   9  10  11  12\n 1  . | . | . | . | . | . | . | . | . | . |[X]| O"
        );
    }

    #[test]
    fn rows_of_no_game_do_not_panic() {
        assert_eq!(board(&[], None), "");
        assert_eq!(board(&rows(&["", "é"]), None), "    1\n 1\n 2  é");
    }

    fn rows(rows: &[&str]) -> Vec<String> {
        rows.iter().map(|row| (*row).to_owned()).collect()
    }
}
