//! The server's signatures, each made once: both players of a match are shown the same grant and the same receipts.
//!
//! What must hold: a signature comes from here only for the very bytes it was made over; what is remembered is bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::model::key::{Hash, PublicKey, SecretKey, Signature};

/// The server key, and what it has signed lately.
pub(crate) struct Seals {
    key: SecretKey,
    made: Mutex<Made>,
}

/// By the hash of what was signed; when the younger are many, the older are forgotten.
#[derive(Default)]
struct Made {
    younger: BTreeMap<Hash, Signature>,
    older: BTreeMap<Hash, Signature>,
}

/// Signatures in each half: after a restart the second player of a match may come when a thousand others have come.
const HALF_MAX: usize = 2048;

impl Seals {
    pub(crate) fn new(key: SecretKey) -> Self {
        Self { key, made: Mutex::default() }
    }

    /// The public half of the key.
    pub(crate) fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// The key itself, for what is signed once only.
    pub(crate) const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The key's one signature over these bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Signature {
        let hash = Hash::of(&[bytes]);
        if let Some(made) = self.made(|made| made.find(&hash)) {
            return made;
        }
        // Not under the lock: two that ask at once make the same.
        let signature = self.key.sign(bytes);
        self.made(|made| made.remember(hash, signature));
        signature
    }

    fn made<T>(&self, act: impl FnOnce(&mut Made) -> T) -> T {
        act(&mut self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Made {
    fn find(&self, hash: &Hash) -> Option<Signature> {
        self.younger.get(hash).or_else(|| self.older.get(hash)).copied()
    }

    fn remember(&mut self, hash: Hash, signature: Signature) {
        if self.younger.len() >= HALF_MAX {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(hash, signature);
    }
}

impl fmt::Debug for Seals {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Seals").field("key", &self.key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_asked_and_however_often_the_signature_is_the_keys_own() {
        let key = SecretKey::from_seed(&[7; 32]);
        let seals = Seals::new(key.clone());
        for bytes in [&b"a"[..], b"b", b"a", b"", b"b"] {
            assert_eq!(seals.sign(bytes), key.sign(bytes));
        }
        assert_eq!(seals.made(|made| made.younger.len()), 3, "each was made once");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_of_it() {
        let mut made = Made::default();
        let hash = |number: usize| Hash::of(&[&number.to_le_bytes()]);
        for number in 0..HALF_MAX * 5 {
            made.remember(hash(number), Signature::EMPTY);
            assert!(made.younger.len() + made.older.len() <= HALF_MAX * 2);
            assert!(made.find(&hash(number.saturating_sub(HALF_MAX - 1))).is_some());
        }
        assert!(made.find(&hash(0)).is_none());
    }
}
