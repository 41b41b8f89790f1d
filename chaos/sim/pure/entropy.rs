//! Random bytes from the world's seed.

use std::sync::{Arc, Mutex, PoisonError};

use rejoin::model::time::Entropy;
use rejoin::store::faulty::Seeded;

/// Shared by all that draws in a world; the order of the draws is the order of what happens.
#[derive(Clone, Debug)]
pub(super) struct Chance(Arc<Mutex<Seeded>>);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Seeded(seed ^ 0x5eed_0f9a_3e01))))
    }

    pub(super) fn next(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    /// A number from `from` to `to`.
    pub(super) fn between(&self, from: u64, to: u64) -> u64 {
        if to <= from { from } else { from + self.next() % (to - from + 1) }
    }

    /// One of `things`, which are not none.
    pub(super) fn one_of(&self, things: usize) -> usize {
        usize::try_from(self.next() % things.max(1) as u64).unwrap_or(0)
    }

    pub(super) fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let drawn = self.next().to_le_bytes();
            part.copy_from_slice(&drawn[..part.len()]);
        }
    }
}
