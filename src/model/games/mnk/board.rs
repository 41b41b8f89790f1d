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
        let mut steps = 1;
        while steps < self.rules.in_a_row
            && let Some(beside) = spot.after(step, steps)
            && self.stone(beside) == Some(seat)
        {
            steps += 1;
        }
        usize::from(steps) - 1
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
        let mut upwards = (0..self.rules.rows).rev().map(|row| Spot { row, col });
        Ok(upwards.find(|spot| self.stone(*spot).is_none()).unwrap_or(top))
    }

    /// The cell a player names by row and column where stones fall: it must be the one where the stone lands.
    fn dropped_at(&self, named: Spot) -> Result<Spot, Illegal> {
        self.vacant(named)?;
        let landing = self.drop_into(named.col)?;
        if landing == named { Ok(landing) } else { Err(Illegal::OffTheBoard) }
    }

    /// The bytes of the move that lays a stone there.
    pub(super) fn play(&self, spot: Spot) -> Move {
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
mod tests;
