//! Passwords, on their way in and hashed. Neither prints itself.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::limits::PASSWORD_BYTES_MAX;

/// A password as typed; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

/// A password hash in PHC form, for example `$argon2id$v=19$…`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash(String);

impl Password {
    /// Any text up to [`PASSWORD_BYTES_MAX`]; used exactly as given.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (text.len() <= PASSWORD_BYTES_MAX).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// For hashing only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PasswordHash {
    /// Takes a PHC string.
    #[must_use]
    pub const fn new(phc: String) -> Self {
        Self(phc)
    }

    /// For checking a password only.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Password(hidden)")
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("PasswordHash(hidden)")
    }
}

impl Serialize for Password {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(from)?);
        Self::new(&text).ok_or_else(|| serde::de::Error::custom("a password is too long"))
    }
}
