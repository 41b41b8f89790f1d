//! Who this server is: the certs directory.
//!
//! What must hold: a private key that exists is never written over; each has a public witness beside it, written
//! after it, so a crash in between is told apart from a lost key (made anew would be another server to every
//! client) and a damaged one is noticed.
//!
//! ```text
//! server.key  Ed25519, private: signs grants, verdicts and receipts   server.pub  the server id, as text
//! ca.key      Ed25519, private: signs the TLS certificate             ca.pem      for `--ca`
//! tls.key     private, the operator's, optional                       tls.pem     its chain, used for TLS if there
//! boot        how far the server's state has come (`boot_file.rs`)
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::certificate::{self, Certificate, Names, Source};
use super::ed25519::Ed25519Key;
use super::private_file::{Readers, claim, make_dir, read_private, read_public, sync_dir, write_new};
use crate::model::key::{PublicKey, SecretKey, ServerId};
use crate::model::time::{Entropy, WallMs};

/// The keys of one server, wiped when dropped.
#[derive(Debug)]
pub struct ServerKeys {
    server: Ed25519Key,
    source: Source,
}

/// The certs directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The operating system refused.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        #[source]
        error: io::Error,
    },
    /// A private key others may read or change.
    #[error("{path} may be read or changed by others (mode {mode:o}); run: chmod 600 {path}")]
    Wide {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that is not what its name says. It was left as it is.
    #[error("{path} is damaged; restore it from a backup")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// A private key is gone, but its witness is there.
    #[error(
        "{key} is gone, but {witness} says there was one; restore it from a backup, or remove {witness} to begin \
             with a new key, which no client that knew the old one will trust"
    )]
    Lost {
        /// The key's file.
        key: PathBuf,
        /// The file that tells of it.
        witness: PathBuf,
    },
    /// A private key and its witness do not belong together.
    #[error(
        "{key} and {witness} do not belong together, so one of them is damaged; restore both from a backup, or \
             remove {witness} if you are sure of {key}"
    )]
    Disagree {
        /// The key's file.
        key: PathBuf,
        /// The file that tells of another.
        witness: PathBuf,
    },
    /// One of the operator's two files is there without the other.
    #[error("{missing} is needed beside its other half, tls.pem or tls.key; add it or remove the other")]
    Half {
        /// The file that is not there.
        missing: PathBuf,
    },
    /// The operator's certificate or key cannot be used.
    #[error("{path}: {why}")]
    Operator {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate could not be made.
    #[error("the TLS certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl KeysError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }
}

impl ServerKeys {
    /// Reads the keys in `dir`, and makes what does not exist yet. Blocks on the disk.
    ///
    /// # Errors
    /// [`KeysError`], whose text says how to repair. Nothing that exists was changed.
    pub fn load_or_make(dir: &Path, entropy: &dyn Entropy) -> Result<Self, KeysError> {
        make_dir(dir)?;
        let _claim = claim(dir)?;
        let server = SERVER.load_or_make(dir, entropy)?;
        let source = match Source::operator(dir)? {
            Some(source) => source,
            None => Source::Ours { ca: Box::new(CA.load_or_make(dir, entropy)?) },
        };
        let pairs = match &source {
            Source::Ours { ca } => vec![(SERVER, &server), (CA, ca)],
            Source::Operator { .. } => vec![(SERVER, &server)],
        };
        if pairs.iter().any(|(pair, _)| !dir.join(pair.witness).exists()) {
            // A power cut that keeps a witness must keep its key. A witness it takes is made again, so
            // nothing needs to follow it.
            sync_dir(dir)?;
        }
        pairs.iter().try_for_each(|(pair, key)| pair.check_or_tell(dir, key))?;
        Ok(Self { server, source })
    }

    /// New keys that are in no file, for a simulation.
    #[doc(hidden)]
    #[must_use]
    pub fn draw(entropy: &dyn Entropy) -> Self {
        let (server, ca) = (Ed25519Key::make(entropy), Ed25519Key::make(entropy));
        Self { server, source: Source::Ours { ca: Box::new(ca) } }
    }

    /// What clients know this server by.
    #[must_use]
    pub fn id(&self) -> ServerId {
        ServerId::of(&self.server.public())
    }

    /// The public half of the server key.
    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.server.public()
    }

    /// The server key, for whoever signs grants and verdicts.
    #[must_use]
    pub const fn key(&self) -> &SecretKey {
        self.server.secret()
    }

    /// The certificate to show in handshakes: the operator's, or one made in memory for [`certificate::VALID`].
    /// Call [`Certificate::renew`] every [`certificate::RENEW_EVERY`].
    ///
    /// # Errors
    /// [`KeysError`] when the operator's files cannot be used.
    pub fn certificate(
        &self,
        names: &Names,
        entropy: &dyn Entropy,
        now: WallMs,
    ) -> Result<Arc<Certificate>, KeysError> {
        Certificate::new(self.source.clone(), names.clone(), entropy, now).map(Arc::new)
    }
}

/// The id of the server whose certs directory this is, as clients on the same machine may read it; `None` if there
/// is none.
///
/// # Errors
/// [`KeysError`] when the file cannot be read or holds no id.
pub fn published_id(dir: &Path) -> Result<Option<ServerId>, KeysError> {
    let path = dir.join(SERVER.witness);
    let Some(text) = read_public(&path)? else { return Ok(None) };
    parse_id(&text).map(Some).ok_or(KeysError::Damaged { path })
}

/// A private key and the public file that tells of it.
struct Pair {
    key: &'static str,
    witness: &'static str,
    tell: fn(&Ed25519Key) -> Result<String, KeysError>,
    agree: fn(&Ed25519Key, &[u8]) -> bool,
}

const SERVER: Pair = Pair {
    key: "server.key",
    witness: "server.pub",
    tell: |key| Ok(format!("{}\n", ServerId::of(&key.public()))),
    agree: |key, text| parse_id(text) == Some(ServerId::of(&key.public())),
};

const CA: Pair = Pair {
    key: "ca.key",
    witness: "ca.pem",
    tell: |key| Ok(certificate::authority_pem(key)?),
    agree: certificate::is_authority_of,
};

impl Pair {
    fn load_or_make(&self, dir: &Path, entropy: &dyn Entropy) -> Result<Ed25519Key, KeysError> {
        let (path, witness) = (dir.join(self.key), dir.join(self.witness));
        if let Some(pem) = read_private(&path)? {
            return Ed25519Key::from_pem(&pem).ok_or(KeysError::Damaged { path });
        }
        if witness.exists() {
            return Err(KeysError::Lost { key: path, witness });
        }
        let key = Ed25519Key::make(entropy);
        write_new(&path, key.to_pem().as_bytes(), Readers::Owner)?;
        Ok(key)
    }

    fn check_or_tell(&self, dir: &Path, key: &Ed25519Key) -> Result<(), KeysError> {
        let witness = dir.join(self.witness);
        match read_public(&witness)? {
            Some(told) if (self.agree)(key, &told) => Ok(()),
            Some(_) => Err(KeysError::Disagree { key: dir.join(self.key), witness }),
            None => write_new(&witness, (self.tell)(key)?.as_bytes(), Readers::All),
        }
    }
}

fn parse_id(text: &[u8]) -> Option<ServerId> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    const FILES: [&str; 4] = ["server.key", "ca.key", "server.pub", "ca.pem"];
    /// What a crash or a power cut can leave of them: names become durable in any order, but no witness before its
    /// key. The last is what an operator's certificate, taken away again, leaves.
    const LEFT: [&[&str]; 8] = [
        &[],
        &["server.key"],
        &["ca.key"],
        &["server.key", "ca.key"],
        &["server.key", "server.pub", "ca.key"],
        &["server.key", "ca.key", "ca.pem"],
        &FILES,
        &["server.key", "server.pub"],
    ];

    /// Every key is another.
    struct Counting(AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn load(dir: &Path, first_seed: u8) -> Result<ServerKeys, KeysError> {
        ServerKeys::load_or_make(dir, &Counting(AtomicU8::new(first_seed)))
    }

    fn read(dir: &Path, name: &str) -> Vec<u8> {
        fs::read(dir.join(name)).unwrap()
    }

    #[test]
    fn keys_made_once_are_the_same_at_every_start() {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("deep/certs");
        let id = load(&certs, 1).unwrap().id();
        let before = FILES.map(|name| read(&certs, name));
        assert_eq!(load(&certs, 100).unwrap().id(), id);
        assert_eq!(FILES.map(|name| read(&certs, name)), before);
        assert_eq!(published_id(&certs).unwrap(), Some(id));
        assert_eq!(published_id(dir.path()).unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn private_files_are_0600_and_the_id_is_readable_by_all() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        load(dir.path(), 1).unwrap();
        let mode = |name| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(FILES.map(mode), [0o600, 0o600, 0o644, 0o644]);
        fs::set_permissions(dir.path().join("ca.key"), fs::Permissions::from_mode(0o640)).unwrap();
        let error = load(dir.path(), 1).unwrap_err();
        assert!(matches!(error, KeysError::Wide { mode: 0o640, .. }), "{error}");
    }

    #[test]
    fn a_crash_between_any_two_steps_recovers_with_the_keys_already_made() {
        let whole = tempfile::tempdir().unwrap();
        load(whole.path(), 1).unwrap();
        for left in LEFT {
            let half = tempfile::tempdir().unwrap();
            for name in FILES {
                if left.contains(&name) {
                    fs::copy(whole.path().join(name), half.path().join(name)).unwrap();
                } else {
                    fs::write(half.path().join(format!("{name}.new")), "half of it").unwrap();
                }
            }
            load(half.path(), 100).unwrap();
            for name in left {
                assert_eq!(read(half.path(), name), read(whole.path(), name), "{name} of {left:?}");
            }
            assert_eq!(fs::read_dir(half.path()).unwrap().count(), FILES.len(), "{left:?}");
            let id = load(half.path(), 200).unwrap().id();
            assert_eq!(published_id(half.path()).unwrap(), Some(id));
        }
    }

    #[test]
    fn a_damaged_key_is_named_and_never_written_over() {
        for (name, bytes) in [("server.key", &b""[..]), ("ca.key", b"-----BEGIN PRIVATE KEY-----\nMC4C")] {
            let dir = tempfile::tempdir().unwrap();
            load(dir.path(), 1).unwrap();
            // Written in place, so the mode stays.
            fs::write(dir.path().join(name), bytes).unwrap();
            let error = load(dir.path(), 1).unwrap_err();
            assert!(matches!(&error, KeysError::Damaged { path } if path.ends_with(name)), "{error}");
            assert_eq!(read(dir.path(), name), bytes);
        }
    }

    #[test]
    fn a_key_with_a_flipped_bit_is_noticed() {
        for (name, witness) in [("server.key", "server.pub"), ("ca.key", "ca.pem")] {
            let dir = tempfile::tempdir().unwrap();
            load(dir.path(), 1).unwrap();
            let mut pem = read(dir.path(), name);
            pem[60] = if pem[60] == b'A' { b'B' } else { b'A' };
            fs::write(dir.path().join(name), pem).unwrap();
            let error = load(dir.path(), 1).unwrap_err();
            assert!(matches!(&error, KeysError::Disagree { witness: w, .. } if w.ends_with(witness)), "{error}");
        }
    }

    #[test]
    fn a_lost_key_is_not_made_anew() {
        for name in ["server.key", "ca.key"] {
            let dir = tempfile::tempdir().unwrap();
            load(dir.path(), 1).unwrap();
            fs::remove_file(dir.path().join(name)).unwrap();
            let error = load(dir.path(), 1).unwrap_err();
            assert!(matches!(&error, KeysError::Lost { key, .. } if key.ends_with(name)), "{error}");
            assert!(!dir.path().join(name).exists());
        }
    }

    #[test]
    fn a_damaged_public_id_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("server.pub"), "k7").unwrap();
        assert!(matches!(published_id(dir.path()), Err(KeysError::Damaged { .. })));
    }

    #[test]
    fn debug_shows_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let shown = format!("{:?}", load(dir.path(), 0xab).unwrap());
        assert!(!shown.contains("171") && !shown.contains("abab"), "{shown}");
    }
}
