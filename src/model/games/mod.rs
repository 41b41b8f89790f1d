//! The rules of play behind one trait, so that a game is one file.
//!
//! A match names its game by a [`GameSpec`] and an act is a few opaque bytes: nothing outside this directory knows
//! what a move is. Two players, perfect information, no dice.

pub mod mnk;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::{ACT_BYTES_MAX, GAME_PARAMS_BYTES_MAX};

/// Which of the two players; X moves first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Seat {
    /// Moves at even plies.
    X,
    /// Moves at odd plies.
    O,
}

impl Seat {
    /// Both, in the order of moving.
    pub const BOTH: [Self; 2] = [Self::X, Self::O];

    /// The only lawful author of the entry at `ply`.
    #[must_use]
    pub const fn at(ply: u16) -> Self {
        if ply.is_multiple_of(2) { Self::X } else { Self::O }
    }

    /// The opponent.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::X => Self::O,
            Self::O => Self::X,
        }
    }

    /// 0 for X, 1 for O.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::X => 0,
            Self::O => 1,
        }
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(match self {
            Self::X => "X",
            Self::O => "O",
        })
    }
}

/// How a game ended by its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// This seat has won.
    Win(Seat),
    /// Nobody has.
    Draw,
}

/// Which rules a match is played by; part of the grant, so both players and the server agree on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GameSpec {
    /// The family of rules, for example `mnk`.
    pub family: String,
    /// The version of these rules.
    pub version: u16,
    /// Parameters, in the family's own encoding.
    pub params: Vec<u8>,
}

/// The bytes of one move, opaque outside its game; at most [`ACT_BYTES_MAX`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Move(Box<[u8]>);

impl Move {
    /// Takes the bytes, or `None` if there are too many.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= ACT_BYTES_MAX).then(|| Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Move {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Move({:?})", &self.0)
    }
}

impl Serialize for Move {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde_bytes::Bytes::new(&self.0).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Move {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = <&serde_bytes::Bytes>::deserialize(from)?;
        Self::new(bytes).ok_or_else(|| serde::de::Error::custom("an act is too long"))
    }
}

/// Why the rules do not allow a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Illegal {
    /// No such cell.
    #[error("that is off the board")]
    OffTheBoard,
    /// Somebody has played there, or the column is full.
    #[error("that cell is taken")]
    CellTaken,
    /// The game is decided.
    #[error("the game is over")]
    Over,
    /// Bytes or words that are no move of this game.
    #[error("that is no move of this game")]
    Malformed,
}

/// A cell as people name it, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// From the top.
    pub row: u16,
    /// From the left.
    pub col: u16,
}

/// One position of one game.
pub trait Game: fmt::Debug + Send + Sync {
    /// Plays a move for `seat`; on an error nothing has changed.
    ///
    /// # Errors
    /// What the rules say against it.
    fn apply(&mut self, seat: Seat, play: &Move) -> Result<(), Illegal>;

    /// How it has ended, or `None` while it goes on.
    fn outcome(&self) -> Option<Outcome>;

    /// The rows of the board from the top, one letter a cell: `X`, `O` or `.`.
    fn show(&self) -> Vec<String>;

    /// The move that a player's words mean here.
    ///
    /// # Errors
    /// [`Illegal::Malformed`] for words that are none, else what the rules say against the move.
    fn read(&self, words: &[&str]) -> Result<Move, Illegal>;

    /// Where a move of this game lands *if played now*; `None` if it is not legal.
    fn cell(&self, play: &Move) -> Option<Cell>;

    /// A good move for `seat`, who is to move; `None` when the game is over. Perfect on 3×3, sensible elsewhere.
    /// `draw` is a random number for choosing among equals.
    fn suggest(&self, seat: Seat, draw: u64) -> Option<Move>;

    /// A copy.
    fn boxed_clone(&self) -> Box<dyn Game>;
}

impl Clone for Box<dyn Game> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// The game is not known here, or its parameters make no game.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown game; try tictactoe, connect4, gomoku, or COLSxROWSxLINE such as 5x5x4 (7x6x4g: with gravity)")]
pub struct UnknownGame;

impl GameSpec {
    /// The game a player names: a preset (`tictactoe`, `connect4`, `gomoku`) or `COLSxROWSxLINE[g]`.
    ///
    /// # Errors
    /// [`UnknownGame`] for anything else.
    pub fn named(text: &str) -> Result<Self, UnknownGame> {
        mnk::Rules::named(text).map(Self::from).ok_or(UnknownGame)
    }

    /// The name people know it by.
    #[must_use]
    pub fn name(&self) -> String {
        mnk::Rules::of(self).map_or_else(|| format!("{}/{}", self.family, self.version), |rules| rules.name())
    }

    /// The starting position.
    ///
    /// # Errors
    /// [`UnknownGame`] for a family, version or parameters not known here.
    pub fn start(&self) -> Result<Box<dyn Game>, UnknownGame> {
        if self.params.len() > GAME_PARAMS_BYTES_MAX {
            return Err(UnknownGame);
        }
        let rules = mnk::Rules::of(self).ok_or(UnknownGame)?;
        Ok(Box::new(mnk::Board::new(rules)))
    }
}
