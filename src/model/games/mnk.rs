//! The m,n,k family: stones on a grid, and the first line of `in_a_row` of them wins.
//!
//! Invariants: every [`Rules`] value is a game that can be played and ends within a match's plies; one set of rules
//! has exactly one [`GameSpec`], and anything else that calls itself `mnk` is refused.
//!
//! A move is two bytes, row and column, both from 0 and from the top left. With gravity it is one byte, the column,
//! and the stone lands on the lowest free row. Each move has exactly one encoding.

mod board;
mod suggest;

use std::fmt;

pub use board::Board;

use super::GameSpec;
use crate::model::limits::PLIES_MAX;

/// What the family is called in a [`GameSpec`].
pub const FAMILY: &str = "mnk";
/// The version of these rules.
pub const VERSION: u16 = 1;
/// The shortest side, in cells.
pub const SIDE_MIN: u8 = 2;
/// The longest side, in cells.
pub const SIDE_MAX: u8 = 19;
/// The shortest line that can win.
pub const IN_A_ROW_MIN: u8 = 2;
const _: () = assert!(SIDE_MAX as u16 * SIDE_MAX as u16 <= PLIES_MAX);

/// One game of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    cols: u8,
    rows: u8,
    in_a_row: u8,
    gravity: bool,
}

impl Rules {
    /// Three in a row on 3×3.
    pub const TICTACTOE: Self = Self { cols: 3, rows: 3, in_a_row: 3, gravity: false };
    /// Four in a row on 7×6, stones fall.
    pub const CONNECT4: Self = Self { cols: 7, rows: 6, in_a_row: 4, gravity: true };
    /// Five or more in a row on 15×15.
    pub const GOMOKU: Self = Self { cols: 15, rows: 15, in_a_row: 5, gravity: false };

    /// Rules with these sides and line, in cells; `None` unless both sides are 2 to 19 and a line of at least 2 fits
    /// along one of them.
    #[must_use]
    pub fn new(cols: u8, rows: u8, in_a_row: u8, gravity: bool) -> Option<Self> {
        let side = SIDE_MIN..=SIDE_MAX;
        let line = IN_A_ROW_MIN..=cols.max(rows);
        let playable = side.contains(&cols) && side.contains(&rows) && line.contains(&in_a_row);
        playable.then_some(Self { cols, rows, in_a_row, gravity })
    }

    /// The rules a player names: a preset or `COLSxROWSxLINE`, with a `g` at the end for gravity.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        if let Some((_, rules)) = PRESETS.iter().find(|(name, _)| *name == text) {
            return Some(*rules);
        }
        let (sizes, gravity) = text.strip_suffix('g').map_or((text, false), |sizes| (sizes, true));
        let mut sizes = sizes.split('x');
        let (cols, rows, in_a_row) = (size(sizes.next()?)?, size(sizes.next()?)?, size(sizes.next()?)?);
        if sizes.next().is_some() {
            return None;
        }
        Self::new(cols, rows, in_a_row, gravity)
    }

    /// The rules a match is played by; `None` unless the spec is exactly what [`GameSpec::from`] makes of some rules.
    #[must_use]
    pub fn of(spec: &GameSpec) -> Option<Self> {
        if spec.family != FAMILY || spec.version != VERSION {
            return None;
        }
        let &[cols, rows, in_a_row, gravity] = spec.params.as_slice() else {
            return None;
        };
        let gravity = match gravity {
            0 => false,
            1 => true,
            _ => return None,
        };
        Self::new(cols, rows, in_a_row, gravity)
    }

    /// The name people know it by: the preset's, if it is one. [`Rules::named`] understands it.
    #[must_use]
    pub fn name(&self) -> String {
        self.to_string()
    }

    /// Columns, 2 to 19.
    #[must_use]
    pub const fn cols(&self) -> u8 {
        self.cols
    }

    /// Rows, 2 to 19.
    #[must_use]
    pub const fn rows(&self) -> u8 {
        self.rows
    }

    /// Stones in a line that win; more of them win too.
    #[must_use]
    pub const fn in_a_row(&self) -> u8 {
        self.in_a_row
    }

    /// Whether stones fall to the lowest free row of their column.
    #[must_use]
    pub const fn gravity(&self) -> bool {
        self.gravity
    }

    /// Cells of the board.
    #[must_use]
    pub fn cells(&self) -> u16 {
        u16::from(self.cols) * u16::from(self.rows)
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = PRESETS.iter().find(|(_, rules)| rules == self) {
            return to.write_str(name);
        }
        write!(to, "{}x{}x{}{}", self.cols, self.rows, self.in_a_row, if self.gravity { "g" } else { "" })
    }
}

impl From<Rules> for GameSpec {
    fn from(rules: Rules) -> Self {
        Self {
            family: FAMILY.to_owned(),
            version: VERSION,
            params: vec![rules.cols, rules.rows, rules.in_a_row, u8::from(rules.gravity)],
        }
    }
}

/// A side or a line: digits and nothing else, since `parse` alone would also take a sign.
fn size(word: &str) -> Option<u8> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

const PRESETS: [(&str, Rules); 3] =
    [("tictactoe", Rules::TICTACTOE), ("connect4", Rules::CONNECT4), ("gomoku", Rules::GOMOKU)];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;
    use crate::model::limits::{ACT_BYTES_MAX, GAME_PARAMS_BYTES_MAX};

    #[test]
    fn every_game_has_one_name_and_one_spec() {
        let mut games = 0;
        for (cols, rows) in (0..=21).flat_map(|cols| (0..=21).map(move |rows| (cols, rows))) {
            for (in_a_row, gravity) in (0..=21).flat_map(|line| [(line, false), (line, true)]) {
                let sides_fit = (2..=19).contains(&cols) && (2..=19).contains(&rows);
                let line_fits = in_a_row >= 2 && (in_a_row <= cols || in_a_row <= rows);
                let spec = spec(&[cols, rows, in_a_row, u8::from(gravity)]);
                let rules = Rules::of(&spec);
                assert_eq!(rules.is_some(), sides_fit && line_fits, "{spec:?}");
                if let Some(rules) = rules {
                    games += 1;
                    assert_eq!(GameSpec::from(rules), spec);
                    assert_eq!(Rules::named(&rules.name()), Some(rules));
                    assert_eq!((rules.cols(), rules.rows()), (cols, rows));
                    assert_eq!((rules.in_a_row(), rules.gravity()), (in_a_row, gravity));
                }
            }
        }
        // 18 × 18 boards, whose longer sides sum to 4,371, and each has lines from 2 on, with and without gravity.
        assert_eq!(games, 2 * (4371 - 18 * 18));
    }

    #[test]
    fn presets_are_known_by_name_and_by_size() {
        for (name, sizes) in [("tictactoe", "3x3x3"), ("connect4", "7x6x4g"), ("gomoku", "15x15x5")] {
            let rules = Rules::named(name).unwrap();
            assert_eq!(Rules::named(sizes), Some(rules));
            assert_eq!(rules.name(), name);
            assert_eq!(GameSpec::named(name).unwrap().name(), name);
        }
        assert_eq!(Rules::named("7x6x4").unwrap().name(), "7x6x4");
        assert_eq!(GameSpec::named("5x6x4g").unwrap().params, [5, 6, 4, 1]);
    }

    #[test]
    fn words_that_name_no_game_are_refused() {
        let others = ["", "g", "x", "xx", "xxg", "chess", "Gomoku", "tictactoe ", "connect4g", "gomokug"];
        let shapes =
            ["3", "3x3", "3x3x", "x3x3", "3x3x3x3", "3x3x3gg", "g3x3x3", "3x3x3G", "3X3X3", "3 x 3 x 3", "3×3×3"];
        let numbers =
            ["+3x3x3", "3x-3x3", "3x3x3.0", "0x3x3", "1x3x3", "20x3x3", "3x20x3", "3x3x1", "3x3x4", "259x3x3"];
        for text in others.into_iter().chain(shapes).chain(numbers) {
            assert_eq!(Rules::named(text), None, "{text:?}");
            assert!(GameSpec::named(text).is_err(), "{text:?}");
        }
        assert_eq!(Rules::named(&"9x".repeat(100_000)), None);
    }

    #[test]
    fn specs_of_other_games_or_with_wrong_params_are_refused() {
        let good = GameSpec::from(Rules::TICTACTOE);
        assert_eq!(Rules::of(&good), Some(Rules::TICTACTOE));
        let bad = [
            GameSpec { family: "MNK".to_owned(), ..good.clone() },
            GameSpec { family: String::new(), ..good.clone() },
            GameSpec { version: 0, ..good.clone() },
            GameSpec { version: 2, ..good },
            spec(&[]),
            spec(&[3, 3, 3]),
            spec(&[3, 3, 3, 2]),
            spec(&[3, 3, 3, 255]),
            spec(&[3, 3, 3, 0, 0]),
            spec(&[0; GAME_PARAMS_BYTES_MAX + 1]),
        ];
        for spec in bad {
            assert_eq!(Rules::of(&spec), None, "{spec:?}");
            assert!(spec.start().is_err(), "{spec:?}");
        }
    }

    #[test]
    fn params_and_moves_keep_within_the_limits() {
        assert!(GameSpec::from(Rules::GOMOKU).params.len() <= GAME_PARAMS_BYTES_MAX);
        const { assert!(2 <= ACT_BYTES_MAX) };
    }

    fn spec(params: &[u8]) -> GameSpec {
        GameSpec { family: "mnk".to_owned(), version: 1, params: params.to_vec() }
    }
}
