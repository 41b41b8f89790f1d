//! Signatures that were made or checked before on this thread, for simulations: there half of the time goes into
//! checking the same bytes again at every keeper.
//!
//! What must hold: nothing is remembered unless [`begin`] was called on this thread; what is remembered as right was
//! made by that very key over those very bytes, or was checked. What is not remembered is checked.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{PublicKey, Signature};

/// By key and bytes: the one signature that `sign` makes of them.
#[derive(Default)]
struct Known {
    /// By the checksum of the bytes, which finds them soon; bytes and key are compared as they are.
    made: BTreeMap<u32, Vec<Made>>,
}

struct Made {
    key: PublicKey,
    bytes: Box<[u8]>,
    signature: Signature,
}

impl Known {
    fn find(&self, sum: u32, key: &PublicKey, bytes: &[u8]) -> Option<Signature> {
        let made = self.made.get(&sum)?.iter().find(|made| made.key == *key && *made.bytes == *bytes)?;
        Some(made.signature)
    }

    fn keep(&mut self, sum: u32, key: &PublicKey, bytes: &[u8], signature: Signature) {
        self.made.entry(sum).or_default().push(Made { key: *key, bytes: bytes.into(), signature });
    }
}

thread_local! {
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// From here on this thread remembers; what it knew before is forgotten.
pub fn begin() {
    KNOWN.with(|known| *known.borrow_mut() = Some(Known::default()));
}

/// It remembers nothing any more.
pub fn end() {
    KNOWN.with(|known| *known.borrow_mut() = None);
}

/// The signature of `key` over `bytes`, made by `make` unless it is known.
pub(super) fn sign(key: &PublicKey, bytes: &[u8], make: impl FnOnce() -> Signature) -> Signature {
    KNOWN.with(|known| match known.borrow_mut().as_mut() {
        Some(known) => {
            let sum = crc32c::crc32c(bytes);
            known.find(sum, key, bytes).unwrap_or_else(|| {
                let signature = make();
                known.keep(sum, key, bytes, signature);
                signature
            })
        }
        None => make(),
    })
}

/// Whether it is right, by `check` unless it is known to be. Ed25519 has one signature of a key over some bytes, so
/// another than the known one is checked like any that was never seen.
pub(super) fn verify(key: &PublicKey, bytes: &[u8], signature: &Signature, check: impl FnOnce() -> bool) -> bool {
    KNOWN.with(|known| match known.borrow_mut().as_mut() {
        Some(known) => {
            let sum = crc32c::crc32c(bytes);
            let found = known.find(sum, key, bytes);
            if found.as_ref() == Some(signature) {
                return true;
            }
            let right = check();
            if right && found.is_none() {
                known.keep(sum, key, bytes, *signature);
            }
            right
        }
        None => check(),
    })
}

#[cfg(test)]
mod tests {
    use crate::model::key::{SecretKey, Signature, memo};

    #[test]
    fn what_is_known_to_be_right_makes_nothing_else_right() {
        let (key, other) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let fresh = key.sign(b"a");
        memo::begin();
        let signature = key.sign(b"a");
        assert_eq!(signature, fresh);
        for _ in 0..2 {
            assert!(key.public().verifies(b"a", &signature));
            assert!(!key.public().verifies(b"b", &signature), "other bytes");
            assert!(!other.public().verifies(b"a", &signature), "another key");
            assert!(!key.public().verifies(b"a", &other.sign(b"a")), "another signature");
            assert!(!key.public().verifies(b"a", &Signature::EMPTY));
        }
        memo::end();
        assert!(key.public().verifies(b"a", &signature));
    }
}
