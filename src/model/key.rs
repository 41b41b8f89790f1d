//! Keys, signatures and hashes. All are Ed25519 and SHA-256; verification is strict.

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::id::{BadId, bytes_id};

bytes_id!(
    /// The public half of a key.
    PublicKey, 32
);
bytes_id!(
    /// SHA-256 of a signed body with its kind and server id.
    Hash, 32
);
bytes_id!(
    /// An Ed25519 signature; all zero while a statement of the server waits to be signed.
    Signature, 64
);

/// SHA-256 of the server key's public half: what clients pin. It is written in base32, lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub [u8; 32]);

/// A private key; wiped when dropped, never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// From 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The 32 bytes it was made from, for writing it to a private file.
    #[must_use]
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs bytes. The same key and bytes always give the same signature.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        Signature(self.0.sign(bytes).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "SecretKey(of {:?})", self.public())
    }
}

impl PublicKey {
    /// Whether `signature` is this key's over `bytes`. Weak keys and signatures in a second form never are.
    #[must_use]
    pub fn verifies(&self, bytes: &[u8], signature: &Signature) -> bool {
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(bytes, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok())
    }
}

impl Signature {
    /// The place of a signature that the shell will fill in.
    pub const EMPTY: Self = Self([0; 64]);
}

impl Hash {
    /// SHA-256 of the parts, one after the other.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut digest = Sha256::new();
        parts.iter().for_each(|part| digest.update(part));
        Self(digest.finalize().into())
    }
}

impl ServerId {
    /// The id of the server with this key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        Self(Hash::of(&[&key.0]).0)
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&data_encoding::BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for ServerId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "ServerId({self})")
    }
}

impl std::str::FromStr for ServerId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bytes = data_encoding::BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).map_err(|_| BadId)?;
        bytes.try_into().map(Self).map_err(|_| BadId)
    }
}

impl Serialize for ServerId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        serde_bytes::ByteArray::new(self.0).serialize(to)
    }
}

impl<'de> Deserialize<'de> for ServerId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        serde_bytes::ByteArray::<32>::deserialize(from).map(|bytes| Self(bytes.into_array()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_id_reads_back_from_its_text() {
        let id = ServerId::of(&SecretKey::from_seed(&[7; 32]).public());
        assert_eq!(id.to_string().parse::<ServerId>(), Ok(id));
        assert_eq!(id.to_string().len(), 52);
        assert!("k7".parse::<ServerId>().is_err());
    }

    #[test]
    fn all_zero_keys_and_signatures_verify_nothing() {
        assert!(!PublicKey([0; 32]).verifies(b"x", &Signature::EMPTY));
        let mut low_order = [0; 32];
        low_order[0] = 1;
        assert!(!PublicKey(low_order).verifies(b"x", &Signature::EMPTY));
    }

    #[test]
    fn a_secret_key_never_prints_itself() {
        let key = SecretKey::from_seed(&[0x5a; 32]);
        assert!(!format!("{key:?}").contains("5a5a5a"));
    }
}
