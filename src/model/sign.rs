//! Statements: what is signed, and the proof that a signature was checked.
//!
//! The signed bytes are the statement's kind, the server id, and the body in its one encoding, so that no signature
//! means anything as another kind or under another server. A body has exactly one encoding: what arrives is decoded
//! and encoded again before it is checked.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::key::{Hash, PublicKey, SecretKey, ServerId, Signature};

/// Something that can be signed.
pub trait Statement: Serialize + DeserializeOwned {
    /// Its kind and version, for example `rejoin entry/1`.
    const KIND: &'static str;
}

/// A statement and a signature that may or may not fit it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// What is said.
    pub body: T,
    /// By whom, is known to whoever checks it.
    pub signature: Signature,
}

/// A statement whose signature was checked against a key. There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(Signed<T>);

/// The signature is not of that key over that body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is wrong")]
pub struct BadSignature;

/// A statement's encoded body is at most this long.
const BODY_BYTES_MAX: usize = 1024;

impl<T: Statement> Signed<T> {
    /// Signs `body`.
    #[must_use]
    pub fn by(key: &SecretKey, server: &ServerId, body: T) -> Self {
        let signature = with_bytes(server, &body, |bytes| key.sign(bytes));
        Self { body, signature }
    }

    /// A statement of the server on its way to the shell, which signs it.
    #[must_use]
    pub const fn unsigned(body: T) -> Self {
        Self { body, signature: Signature::EMPTY }
    }

    /// Fills in the signature.
    pub fn seal(&mut self, key: &SecretKey, server: &ServerId) {
        self.signature = with_bytes(server, &self.body, |bytes| key.sign(bytes));
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not `key`'s over this body under this server.
    pub fn verify(self, key: &PublicKey, server: &ServerId) -> Result<Verified<T>, BadSignature> {
        if with_bytes(server, &self.body, |bytes| key.verifies(bytes, &self.signature)) {
            Ok(Verified(self))
        } else {
            Err(BadSignature)
        }
    }
}

impl<T> Verified<T> {
    /// Taken from one's own disk: it was checked before it was written, and checksums guard it since.
    #[must_use]
    pub const fn from_disk(signed: Signed<T>) -> Self {
        Self(signed)
    }

    /// What is said.
    #[must_use]
    pub const fn body(&self) -> &T {
        &self.0.body
    }

    /// With its signature, to store or pass on.
    #[must_use]
    pub fn into_signed(self) -> Signed<T> {
        self.0
    }

    /// With its signature, to store or pass on.
    #[must_use]
    pub const fn signed(&self) -> &Signed<T> {
        &self.0
    }
}

/// The hash that the next statement of a chain names.
#[must_use]
pub fn hash<T: Statement>(server: &ServerId, body: &T) -> Hash {
    with_bytes(server, body, |bytes| Hash::of(&[bytes]))
}

/// Calls `then` with the bytes that are signed and hashed.
fn with_bytes<T: Statement, R>(server: &ServerId, body: &T, then: impl FnOnce(&[u8]) -> R) -> R {
    let mut bytes = [0; BODY_BYTES_MAX];
    let kind = T::KIND.as_bytes();
    let prefix = kind.len() + server.0.len();
    bytes[..kind.len()].copy_from_slice(kind);
    bytes[kind.len()..prefix].copy_from_slice(&server.0);
    let body = postcard::to_slice(body, &mut bytes[prefix..]).expect("every body has bounded parts below the maximum");
    let len = prefix + body.len();
    then(&bytes[..len])
}
