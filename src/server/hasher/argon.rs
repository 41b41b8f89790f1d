//! One password at a time: argon2id in an arena that is filled again and again.
//!
//! Invariants: a check against nothing, or against a hash nobody can read, takes the time of a real one and says no;
//! no hash, wherever it came from, makes a thread use more than [`ARENA_BYTES_MAX`] or pass over it more than
//! [`PASSES_MAX`] times.

use std::fmt;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash as Phc, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};

use crate::model::engine::{Hashed, Hashing};
use crate::model::password::{Password, PasswordHash};
use crate::model::time::Entropy;

/// What new passwords are hashed with: 19 MiB, two passes, one lane.
const NEW: Params = Params::DEFAULT;
const _: () = assert!(NEW.m_cost() == 19_456 && NEW.t_cost() == 2 && NEW.p_cost() == 1);
/// Bytes of a new salt.
const SALT_BYTES: usize = 16;
/// The most memory a stored hash may ask for.
pub(super) const ARENA_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The most passes a stored hash may ask for.
pub(super) const PASSES_MAX: u32 = 16;
/// What the password of an unknown user is checked against. The answer is not looked at.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// An arena, and what is done in it.
#[derive(Default)]
pub struct Argon {
    blocks: Vec<Block>,
}

/// Hashes one password, in about 30 ms. For many use one [`Argon`].
#[must_use]
pub fn hash_now(password: &Password, entropy: &dyn Entropy) -> PasswordHash {
    Argon::default().make(password, entropy)
}

impl Argon {
    /// Does what a job asks.
    #[must_use]
    pub fn carry_out(&mut self, hashing: &Hashing, entropy: &dyn Entropy) -> Hashed {
        match hashing {
            Hashing::Make(password) => Hashed::Made(self.make(password, entropy)),
            Hashing::Verify { password, against } => {
                if self.check(password, against.as_ref()) {
                    Hashed::Right
                } else {
                    Hashed::Wrong
                }
            }
            Hashing::Change { old, against, new } => {
                if self.check(old, Some(against)) {
                    Hashed::Made(self.make(new, entropy))
                } else {
                    Hashed::Wrong
                }
            }
        }
    }

    /// Hashes a new password with a fresh salt.
    #[must_use]
    pub fn make(&mut self, password: &Password, entropy: &dyn Entropy) -> PasswordHash {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        let recipe = Recipe { algorithm: Algorithm::Argon2id, version: Version::V0x13, params: NEW };
        let hash =
            self.hash(password, &salt, &recipe, Params::DEFAULT_OUTPUT_LEN).expect("our own parameters are good");
        let phc = Phc {
            algorithm: ARGON2ID_IDENT,
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&NEW).expect("our own parameters can be written"),
            salt: Some(Salt::new(&salt).expect("the salt has a usual length")),
            hash: Some(hash),
        };
        PasswordHash::new(phc.to_string())
    }

    /// Whether this is the password. With nothing to check against, or with what cannot be read, no: in the same time.
    #[must_use]
    pub fn check(&mut self, password: &Password, against: Option<&PasswordHash>) -> bool {
        self.check_or(password, against, NOBODY)
    }

    /// As `check`, with the hash that stands in for what is missing.
    fn check_or(&mut self, password: &Password, against: Option<&PasswordHash>, nobody: &str) -> bool {
        let stored = against.and_then(|hash| Stored::read(hash.expose()));
        let known = stored.is_some();
        let stored = stored.or_else(|| Stored::read(nobody)).expect("the constant is well-formed");
        let hash = self.hash(password, &stored.salt, &stored.recipe, stored.hash.len());
        // The comparison takes the same time wherever they differ.
        hash.is_some_and(|hash| hash == stored.hash) && known
    }

    fn hash(&mut self, password: &Password, salt: &[u8], recipe: &Recipe, length: usize) -> Option<Output> {
        let (blocks, usual) = (recipe.params.block_count(), NEW.block_count());
        if self.blocks.len() < blocks {
            self.blocks.resize(blocks.max(usual), Block::new());
        }
        let mut buffer = [0; Output::MAX_LENGTH];
        let out = buffer.get_mut(..length)?;
        let argon = Argon2::new(recipe.algorithm, recipe.version, recipe.params.clone());
        let text = password.expose().as_bytes();
        let done = argon.hash_password_into_with_memory(text, salt, out, &mut self.blocks[..blocks]);
        if blocks > usual {
            // A stranger's appetite is not kept.
            self.blocks = Vec::new();
        }
        done.ok()?;
        Output::new(out).ok()
    }
}

impl fmt::Debug for Argon {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What lies in the arena came from a password.
        to.debug_struct("Argon").finish_non_exhaustive()
    }
}

/// How a hash is made.
struct Recipe {
    algorithm: Algorithm,
    version: Version,
    params: Params,
}

/// A stored hash, taken apart.
struct Stored {
    recipe: Recipe,
    salt: Salt,
    hash: Output,
}

impl Stored {
    /// None if it is not a PHC string of argon2, or asks for too much.
    fn read(phc: &str) -> Option<Self> {
        let phc = Phc::new(phc).ok()?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).ok()?;
        let version = phc.version.map_or(Ok(Version::V0x10), Version::try_from).ok()?;
        let params = Params::try_from(&phc).ok()?;
        if params.t_cost() > PASSES_MAX || params.m_cost() as usize > ARENA_BYTES_MAX / Block::SIZE {
            return None;
        }
        Some(Self { recipe: Recipe { algorithm, version, params }, salt: phc.salt?, hash: phc.hash? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failed test should panic; time is measured")]

    use std::time::{Duration, Instant};

    use argon2::PasswordHasher;

    use super::*;
    use crate::model::limits::PASSWORD_BYTES_MAX;
    use crate::ops::host::HostEntropy;

    #[test]
    fn a_hash_says_how_it_was_made_and_two_of_one_password_differ() {
        let (one, two) =
            (hash_now(&password("secret123"), &HostEntropy), hash_now(&password("secret123"), &HostEntropy));
        assert!(one.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.expose());
        assert_ne!(one, two);
        assert!(Argon::default().check(&password("secret123"), Some(&two)));
        assert!(!Argon::default().check(&password("secret124"), Some(&two)));
    }

    #[test]
    fn every_byte_of_a_long_strange_password_counts() {
        let text = format!("nul \0 and 🎲 {}", "x".repeat(PASSWORD_BYTES_MAX - 15));
        assert_eq!(text.len(), PASSWORD_BYTES_MAX);
        let mut argon = Argon::default();
        let hash = argon.make(&password(&text), &HostEntropy);
        assert!(argon.check(&password(&text), Some(&hash)));
        for wrong in [text.replace('\0', "\u{1}"), text.replace('🎲', "🎳"), text[..text.len() - 1].to_owned()] {
            assert!(!argon.check(&password(&wrong), Some(&hash)));
        }
        assert!(!argon.check(&password("nul "), Some(&hash)), "not cut at the zero byte");
    }

    #[test]
    fn hashes_made_with_other_parameters_are_checked_too() {
        let mut argon = Argon::default();
        for (algorithm, memory, passes, lanes) in
            [(Algorithm::Argon2id, 8, 1, 1), (Algorithm::Argon2i, 64, 3, 2), (Algorithm::Argon2d, 32 * 1024, 1, 4)]
        {
            let params = Params::new(memory, passes, lanes, None).unwrap();
            let other = Argon2::new(algorithm, Version::V0x13, params);
            let phc = other.hash_password_with_salt(b"old secret", b"some old salt").unwrap();
            let hash = PasswordHash::new(phc.to_string());
            assert!(argon.check(&password("old secret"), Some(&hash)), "{phc}");
            assert!(!argon.check(&password("old secreT"), Some(&hash)), "{phc}");
            assert!(argon.blocks.len() <= NEW.block_count(), "the larger arena is given back");
        }
    }

    #[test]
    fn what_cannot_be_read_or_asks_too_much_is_wrong() {
        let tail = "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let greedy = [
            format!("$argon2id$v=19$m=262145,t=1,p=1{tail}"),
            format!("$argon2id$v=19$m=4294967295,t=1,p=1{tail}"),
            format!("$argon2id$v=19$m=8,t=17,p=1{tail}"),
        ];
        let broken = ["", "$", "plain", "$argon2id$v=19$m=19456,t=2,p=1", "$scrypt$ln=1,r=1,p=1$AAAA$AAAA"];
        for phc in greedy.iter().map(String::as_str).chain(broken) {
            assert!(Stored::read(phc).is_none(), "{phc}");
        }
        assert!(Stored::read(&format!("$argon2id$v=19$m=262144,t=16,p=1{tail}")).is_some(), "the edge is allowed");
        let hash = PasswordHash::new(greedy[0].clone());
        assert!(!Argon::default().check(&password("anything"), Some(&hash)));
    }

    #[test]
    fn the_password_of_nobody_is_wrong_too() {
        let mut argon = Argon::default();
        let nobody = argon.make(&password("of nobody"), &HostEntropy);
        assert!(argon.check_or(&password("of nobody"), Some(&nobody), nobody.expose()));
        assert!(!argon.check_or(&password("of nobody"), None, nobody.expose()));
        let stored = Stored::read(NOBODY).unwrap();
        assert_eq!(stored.recipe.params.block_count(), NEW.block_count());
        assert_eq!(stored.recipe.params.t_cost(), NEW.t_cost());
    }

    #[test]
    fn an_unknown_user_takes_as_long_as_a_wrong_password() {
        const ROUNDS: usize = 9;
        // A check that skips the hash is thousands of times faster; the rest is room for a busy machine.
        const FACTOR_MAX: u32 = 4;
        let mut argon = Argon::default();
        let hash = argon.make(&password("right"), &HostEntropy);
        let unreadable = PasswordHash::new("damaged".to_owned());
        let kinds = [Some(&hash), None, Some(&unreadable)];
        let mut fastest = [Duration::MAX; 3];
        // In turns, so that whatever else the machine does slows all of them alike.
        for _ in 0..ROUNDS {
            for (kind, fastest) in kinds.iter().zip(&mut fastest) {
                let start = Instant::now();
                assert!(!argon.check(&password("wrong"), *kind));
                *fastest = start.elapsed().min(*fastest);
            }
        }
        let [wrong, unknown, unreadable] = fastest;
        for other in [unknown, unreadable] {
            assert!(other * FACTOR_MAX > wrong && wrong * FACTOR_MAX > other, "{wrong:?} for a wrong one, {other:?}");
        }
    }

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }
}
