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

/// Bytes that are not those of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They do not begin as that kind does, or are too many.
    #[error("it is no `{0}`")]
    OtherKind(&'static str),
    /// The body is none, goes on after its end, or is not in its one encoding.
    #[error("it begins as `{0}`, and what follows is none")]
    Body(&'static str),
}

/// Kind, server id and encoded body of a statement are together at most this long.
const BYTES_MAX: usize = 1024;

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

    /// Fills in the signature that `sign` makes.
    pub fn seal(&mut self, server: &ServerId, sign: impl FnOnce(&[u8]) -> Signature) {
        self.signature = with_bytes(server, &self.body, sign);
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not `key`'s over this body under this server.
    pub fn verify(self, key: &PublicKey, server: &ServerId) -> Result<Verified<T>, BadSignature> {
        // What came from elsewhere can be longer than anything that is ever signed.
        if try_with_bytes(server, &self.body, |bytes| key.verifies(bytes, &self.signature)) == Some(true) {
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

/// The bytes that are signed and hashed.
#[must_use]
pub fn bytes<T: Statement>(server: &ServerId, body: &T) -> Vec<u8> {
    with_bytes(server, body, <[u8]>::to_vec)
}

/// The statement that such bytes are, and the server under which it was made. Takes any bytes.
///
/// # Errors
/// [`Unreadable`] unless they are exactly what [`bytes`] makes of a statement of this kind.
pub fn read<T: Statement>(bytes: &[u8]) -> Result<(ServerId, T), Unreadable> {
    let rest = bytes.strip_prefix(T::KIND.as_bytes()).filter(|_| bytes.len() <= BYTES_MAX);
    let (server, encoded) = rest.and_then(<[u8]>::split_first_chunk).ok_or(Unreadable::OtherKind(T::KIND))?;
    let server = ServerId(*server);
    let body: T = match postcard::take_from_bytes(encoded) {
        Ok((body, [])) => body,
        Ok(_) | Err(_) => return Err(Unreadable::Body(T::KIND)),
    };
    // No other encoding of a body is shorter than its one, so there is room for it.
    if with_bytes(&server, &body, |again| again == bytes) { Ok((server, body)) } else { Err(Unreadable::Body(T::KIND)) }
}

/// Calls `then` with the bytes that are signed and hashed.
fn with_bytes<T: Statement, R>(server: &ServerId, body: &T, then: impl FnOnce(&[u8]) -> R) -> R {
    try_with_bytes(server, body, then).expect("every body has bounded parts below the maximum")
}

/// The same; `None` for a body that does not fit.
fn try_with_bytes<T: Statement, R>(server: &ServerId, body: &T, then: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let mut bytes = [0; BYTES_MAX];
    let kind = T::KIND.as_bytes();
    let prefix = kind.len() + server.0.len();
    bytes[..kind.len()].copy_from_slice(kind);
    bytes[kind.len()..prefix].copy_from_slice(&server.0);
    let body = postcard::to_slice(body, &mut bytes[prefix..]).ok()?;
    let len = prefix + body.len();
    Some(then(&bytes[..len]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use proptest::prelude::*;

    use super::*;
    use crate::model::fixture::Players;
    use crate::model::statement::{Entry, Grant, Held};

    #[test]
    fn a_statement_is_read_from_its_bytes_alone_and_only_as_its_kind() {
        let players = Players::new(1);
        let (server, grant) = (players.server, players.grant());
        let whole = bytes(&server, &grant);
        assert_eq!(read(&whole), Ok((server, grant)));
        assert_eq!(read::<Entry>(&whole), Err(Unreadable::OtherKind("rejoin entry/1")));
        assert_eq!(read::<Grant>(&[&whole[..], &[0]].concat()), Err(Unreadable::Body("rejoin grant/1")));
        for len in 0..whole.len() {
            assert!(read::<Grant>(&whole[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_body_in_another_encoding_or_of_any_length_is_refused() {
        let players = Players::new(1);
        let mut grant = players.grant();
        let head = [Grant::KIND.as_bytes(), &players.server.0].concat();
        // The epoch, 1, as two bytes instead of one: after server and match, each with its length.
        let encoded = postcard::to_allocvec(&grant).unwrap();
        let (before, after) = encoded.split_at(33 + 17);
        assert_eq!(after[0], 1);
        let longer = [&head, before, &[0x81, 0], &after[1..]].concat();
        assert_eq!(postcard::from_bytes::<Grant>(&longer[head.len()..]).as_ref(), Ok(&grant));
        assert_eq!(read::<Grant>(&longer), Err(Unreadable::Body("rejoin grant/1")));
        grant.game.family = "x".repeat(BYTES_MAX);
        let huge = [head, postcard::to_allocvec(&grant).unwrap()].concat();
        assert_eq!(read::<Grant>(&huge), Err(Unreadable::OtherKind("rejoin grant/1")));
    }

    #[test]
    fn a_body_of_any_length_can_be_checked() {
        let players = Players::new(1);
        let mut grant = players.grant();
        grant.game.family = "x".repeat(BYTES_MAX);
        let key = players.keys[0].public();
        assert_eq!(Signed::unsigned(grant).verify(&key, &players.server), Err(BadSignature));
    }

    proptest! {
        /// Whatever is read, its bytes are those that were read.
        #[test]
        fn any_bytes_can_be_read(body in proptest::collection::vec(any::<u8>(), 0..1200)) {
            let some = [Held::KIND.as_bytes(), &[7; 32], &body].concat();
            if let Ok((server, held)) = read::<Held>(&some) {
                prop_assert_eq!(bytes(&server, &held), some);
            }
        }
    }
}
