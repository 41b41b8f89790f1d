//! What the store needs of a state to recover it: facts to apply, pieces to take a picture of it.

use serde::{Serialize, de::DeserializeOwned};

/// A fact or a piece does not fit the state: the files are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

/// A state that is rebuilt from a snapshot and the facts after it.
///
/// `pieces` then `absorb` of each gives an equal state; `apply` is the only writer, live and in recovery.
pub trait Replay: Default + Send + 'static {
    /// What the journal holds.
    type Fact: Serialize + DeserializeOwned + Send;
    /// What a snapshot holds: small parts of the state, each decoded by itself, so that threads can share the work.
    type Piece: Serialize + DeserializeOwned + Send;
    /// What left the state for good and goes to the archive.
    type Retired: Serialize + DeserializeOwned + Send;

    /// Changes the state.
    ///
    /// # Errors
    /// [`Unfit`] when the fact cannot have been written after the ones before it: damage, never a refusal.
    fn apply(&mut self, fact: &Self::Fact) -> Result<(), Unfit>;

    /// Every part of the state, in an order in which `absorb` can take them.
    fn pieces(&self) -> Box<dyn Iterator<Item = Self::Piece> + '_>;

    /// Takes one piece of a snapshot.
    ///
    /// # Errors
    /// [`Unfit`] when it contradicts the pieces before it.
    fn absorb(&mut self, piece: Self::Piece) -> Result<(), Unfit>;

    /// What left the state since the last call.
    fn retire(&mut self) -> Vec<Self::Retired>;
}
