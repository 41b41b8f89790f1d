//! A state small enough to compare by value: numbered entries that are put and closed. For tests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::replay::{Replay, Unfit};

/// The open entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toy {
    /// By number.
    pub open: BTreeMap<u64, u64>,
    /// How many were ever closed.
    pub closed: u64,
    retired: Vec<(u64, u64)>,
}

/// What happens to a [`Toy`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToyFact {
    /// A new entry; a number comes once.
    Put(u64, u64),
    /// An entry leaves for the archive.
    Close(u64),
    /// An entry of many bytes, for large facts; its value is their number.
    PutLarge(u64, Vec<u8>),
}

/// A part of a [`Toy`].
#[derive(Debug, Serialize, Deserialize)]
pub enum ToyPiece {
    /// An entry.
    Entry(u64, u64),
    /// The number of closed ones.
    Closed(u64),
}

impl Replay for Toy {
    type Fact = ToyFact;
    type Piece = ToyPiece;
    type Retired = (u64, u64);

    fn apply(&mut self, fact: &ToyFact) -> Result<(), Unfit> {
        let (number, value) = match fact {
            ToyFact::Put(number, value) => (*number, *value),
            ToyFact::PutLarge(number, bytes) => (*number, bytes.len() as u64),
            ToyFact::Close(number) => {
                let value = self.open.remove(number).ok_or_else(|| Unfit(format!("{number} is not open")))?;
                self.retired.push((*number, value));
                self.closed += 1;
                return Ok(());
            }
        };
        match self.open.insert(number, value) {
            None => Ok(()),
            Some(_) => Err(Unfit(format!("{number} comes twice"))),
        }
    }

    fn pieces(&self) -> Box<dyn Iterator<Item = ToyPiece> + '_> {
        let entries = self.open.iter().map(|(number, value)| ToyPiece::Entry(*number, *value));
        Box::new(std::iter::once(ToyPiece::Closed(self.closed)).chain(entries))
    }

    fn absorb(&mut self, piece: ToyPiece) -> Result<(), Unfit> {
        match piece {
            ToyPiece::Closed(closed) => self.closed = closed,
            ToyPiece::Entry(number, value) => {
                if self.open.insert(number, value).is_some() {
                    return Err(Unfit(format!("{number} comes twice")));
                }
            }
        }
        Ok(())
    }

    fn retire(&mut self) -> Vec<(u64, u64)> {
        std::mem::take(&mut self.retired)
    }
}
