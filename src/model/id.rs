//! Names and numbers: one newtype an id.
//!
//! Everything random is 128 bits and never reissued, so nothing here assumes that this engine is the only one in
//! the world.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Fixed bytes that serialise as one blob; the text form is left to the type. Wants `fmt` and serde's traits in scope.
macro_rules! bytes_blob {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                serde_bytes::ByteArray::new(self.0).serialize(to)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                serde_bytes::ByteArray::<$len>::deserialize(from).map(|bytes| Self(bytes.into_array()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(to, "{}(", stringify!($name))?;
                self.0.iter().take(4).try_for_each(|byte| write!(to, "{byte:02x}"))?;
                write!(to, ")")
            }
        }
    };
}

/// Fixed bytes that serialise as one blob and print as hex.
macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        crate::model::id::bytes_blob!($(#[$doc])* $name, $len);

        impl fmt::Display for $name {
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; $len * 2];
                data_encoding::HEXLOWER.encode_mut(&self.0, &mut text);
                to.write_str(std::str::from_utf8(&text).expect("hexadecimal digits"))
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::model::id::BadId;

            fn from_str(text: &str) -> Result<Self, crate::model::id::BadId> {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| crate::model::id::BadId)?;
                bytes.try_into().map(Self).map_err(|_| crate::model::id::BadId)
            }
        }
    };
}

pub(crate) use {bytes_blob, bytes_id};

/// The text is not the hexadecimal form of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: hexadecimal digits of the right number are needed")]
pub struct BadId;

bytes_id!(
    /// One account, for good; the name on it is for people.
    UserId, 16
);
bytes_id!(
    /// One match.
    MatchId, 16
);
bytes_id!(
    /// One login on one device; outlives connections.
    SessionId, 16
);
bytes_id!(
    /// One open invitation.
    InviteId, 16
);

/// One start of a client process, drawn at random, so that request numbers may begin at 1 each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Run(pub u64);

/// The number of a request within one [`Run`], from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestSeq(pub u64);

/// One connection of this run of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// The number of a fact in the journal, from 1; 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The number `facts` later.
    #[must_use]
    pub const fn plus(self, facts: u64) -> Self {
        Self(self.0 + facts)
    }
}

/// One run of the server: a number that grows by one at each start, and 8 random bytes that tell apart two runs that
/// got the same number (a state directory restored from a copy).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Boot {
    /// From 1.
    pub number: u64,
    /// Drawn at start.
    pub nonce: u64,
}

/// How far a state has come, as is noted outside of it: a run, and a fact that was on disk in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The newest run.
    pub boot: Boot,
    /// The newest fact that was on disk when this was noted; there may have been more.
    pub last: Lsn,
}

impl Mark {
    /// Whether a state whose newest run is `boot` and whose newest fact is `last` is not the one that has come this far:
    /// older, or another one.
    #[must_use]
    pub fn is_beyond(&self, boot: Boot, last: Lsn) -> bool {
        let another_run = self.boot.number == boot.number && self.boot != boot;
        another_run || self.boot.number > boot.number || self.last > last
    }
}

/// A player's name: 1–32 of `[A-Za-z0-9_.-]`, unique without case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Name(String);

/// A [`Name`] folded to lower case: the form that must be unique.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NameKey(String);

/// The text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 32 of the letters A-Z a-z, digits, '_', '.' and '-'")]
pub struct BadName;

impl Name {
    /// Checks the length and the letters.
    ///
    /// # Errors
    /// [`BadName`] for an empty or too long text, or any other letter.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if (1..=super::limits::NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName)
        }
    }

    /// As typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that must be unique.
    #[must_use]
    pub fn key(&self) -> NameKey {
        NameKey(self.0.to_ascii_lowercase())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_plain_and_unique_without_case() {
        assert_eq!(Name::new("Alice").unwrap().key(), Name::new("aLICE").unwrap().key());
        for bad in ["", "a b", "x;y", "tab\t", "line\n", "\u{1b}[31m", "ａｄｍｉｎ", &"x".repeat(33)] {
            assert_eq!(Name::new(bad), Err(BadName), "{bad:?}");
        }
        assert!(Name::new(&"x".repeat(32)).is_ok());
    }

    #[test]
    fn only_a_state_that_has_come_as_far_is_the_one_that_was_noted() {
        let boot = |number, nonce| Boot { number, nonce };
        let mark = Mark { boot: boot(5, 1), last: Lsn(90) };
        for (found, last, beyond, why) in [
            (boot(5, 1), 90, false, "the same"),
            (boot(5, 1), 95, false, "there was more"),
            (boot(6, 2), 91, false, "a run that ended before it was noted"),
            (boot(5, 1), 89, true, "a copy made earlier in that run"),
            (boot(4, 1), 95, true, "an earlier run"),
            (boot(5, 2), 95, true, "another run of that number"),
            (boot(6, 2), 60, true, "a copy that has been started since, and ended before it was noted"),
            (Boot::default(), 0, true, "nothing"),
        ] {
            assert_eq!(mark.is_beyond(found, Lsn(last)), beyond, "{why}");
        }
    }

    #[test]
    fn ids_print_and_parse_as_hex() {
        let id = MatchId([0xab; 16]);
        assert_eq!(id.to_string().parse::<MatchId>(), Ok(id));
        let every = UserId(std::array::from_fn(|at| u8::try_from(at).unwrap().wrapping_mul(0x1f)));
        assert_eq!(every.to_string(), "001f3e5d7c9bbad9f81736557493b2d1");
        assert_eq!("ab".parse::<MatchId>(), Err(BadId));
    }
}
