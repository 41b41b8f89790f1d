//! Keys, signatures and hashes. All are Ed25519 and SHA-256; verification is strict.

#[doc(hidden)]
pub mod memo;

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, BASE32_NOPAD_NOCASE};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::id::{bytes_blob, bytes_id};

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

bytes_blob!(
    /// SHA-256 of the server key's public half: what clients pin. Its text form is 52 letters of lower-case base32
    /// without padding.
    ServerId, 32
);

/// The text is not the base32 form of a server id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a server id: 52 of the letters a-z and the digits 2-7 are needed")]
pub struct BadServerId;

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
        let key = PublicKey(self.0.verifying_key().to_bytes());
        memo::sign(&key, bytes, || Signature(self.0.sign(bytes).to_bytes()))
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
        memo::verify(self, bytes, signature, || {
            VerifyingKey::from_bytes(&self.0)
                .is_ok_and(|key| key.verify_strict(bytes, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok())
        })
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
        to.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl FromStr for ServerId {
    type Err = BadServerId;

    /// Takes upper case too: people read ids aloud and type them.
    fn from_str(text: &str) -> Result<Self, BadServerId> {
        let bytes = BASE32_NOPAD_NOCASE.decode(text.as_bytes()).map_err(|_| BadServerId)?;
        bytes.try_into().map(Self).map_err(|_| BadServerId)
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

    #[test]
    fn the_id_is_the_hash_of_the_public_key() {
        let text = ServerId::of(&PublicKey([0; 32])).to_string();
        assert_eq!(text, "mzuhvlpymk6xo3epygfy5h4oeaejofefn3rdhm4qfjmr2dk7fesq");
    }

    #[test]
    fn other_texts_are_no_server_id() {
        let good = ServerId([255; 32]).to_string();
        let last_bits_set = format!("{}7", &good[..51]);
        for bad in ["", "k7", &good[..51], &format!("{good}a"), &format!("{}1", &good[..51]), &last_bits_set] {
            assert_eq!(bad.parse::<ServerId>(), Err(BadServerId), "{bad:?}");
        }
    }
}
