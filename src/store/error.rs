//! What can go wrong between us and the disk. Every error names the file; damage also names the byte and the repair.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::model::id::Lsn;
use crate::model::replay::Unfit;

/// Why the store cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The operating system refused; what the file holds is as it was or, after a write, unknown.
    #[error("cannot {doing} {}: {source}", file.display())]
    Io {
        /// The verb.
        doing: &'static str,
        /// Of what.
        file: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// A sync failed. The kernel may have dropped what was written, so no later sync can be believed: end and recover.
    #[error("cannot sync {}: {source}; what was written last may be lost: restart to recover", file.display())]
    SyncFailed {
        /// The file or directory.
        file: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The disk is full. What was on it is unharmed and nothing of the refused call is; the call may be repeated later.
    #[error("the disk is full: {} cannot grow", file.display())]
    Full {
        /// What could not grow.
        file: PathBuf,
    },
    /// The file is not what was written.
    #[error("{} is damaged at byte {byte}: {why}; to repair: {repair}", file.display())]
    Damaged {
        /// The damaged or missing file.
        file: PathBuf,
        /// Where in the file.
        byte: u64,
        /// How it shows.
        why: Damage,
        /// The command to type.
        repair: String,
    },
    /// A later version of this program wrote the file.
    #[error("{} has format version {version}, this program reads up to {known}: use a newer rejoin", file.display())]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u16,
        /// The newest version this program knows.
        known: u16,
    },
    /// An earlier version of this program wrote the file.
    #[error(
        "{} has format version {version}, this program reads {known}: use rejoin 0.1 with it, or begin with an empty \
         directory",
        file.display()
    )]
    OlderFormat {
        /// The file.
        file: PathBuf,
        /// Its version.
        version: u16,
        /// The version this program knows.
        known: u16,
    },
    /// The file belongs to another server's keys.
    #[error("{} belongs to server {found}, the keys are those of server {expected}", file.display())]
    OtherServer {
        /// The file.
        file: PathBuf,
        /// The server id in the file, in hexadecimal.
        found: String,
        /// Our server id, in hexadecimal.
        expected: String,
    },
    /// Another process holds the lock.
    #[error("another process is using this directory ({} is locked)", file.display())]
    InUse {
        /// The lock file.
        file: PathBuf,
    },
    /// A copy into this directory was interrupted; it is not whole.
    #[error("the copy into {} was not finished: repeat the restore or backup into it", dir.display())]
    UnfinishedCopy {
        /// The directory.
        dir: PathBuf,
    },
    /// A copy would mix with files that are there already.
    #[error("{} is not empty", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// There is nothing to copy.
    #[error("{} holds no state", dir.display())]
    NoState {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory changed faster than it could be copied.
    #[error("{} changed too fast to be copied: try again", dir.display())]
    Restless {
        /// The directory.
        dir: PathBuf,
    },
    /// One batch or piece is larger than a frame may be. Nothing was written.
    #[error("a batch of {bytes} bytes does not fit a frame of at most {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A value refuses to be encoded. Nothing was written.
    #[error("cannot encode: {0}")]
    Encode(String),
}

/// How damage shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Fewer bytes than a header or a frame needs.
    #[error("it is cut short")]
    Short,
    /// The first bytes are not those of such a file.
    #[error("this is not the file its name says")]
    Foreign,
    /// The header's checksum is wrong.
    #[error("its header has a wrong checksum")]
    Header,
    /// A frame of no or too many bytes.
    #[error("a frame claims {0} bytes")]
    Length(u32),
    /// A frame's checksum is wrong.
    #[error("a frame has a wrong checksum")]
    Checksum,
    /// A frame or segment is good by itself but was not written after the one before it.
    #[error("it does not continue what comes before it")]
    Chain,
    /// A number is missing or comes twice.
    #[error("number {} was expected, {} found", expected.0, found.0)]
    Order {
        /// The next number.
        expected: Lsn,
        /// What is there.
        found: Lsn,
    },
    /// A run of the server that is older than the one before.
    #[error("it was written by run {found} after run {before}")]
    Boot {
        /// The run before.
        before: u64,
        /// What is there.
        found: u64,
    },
    /// The checksum is right and the bytes mean nothing.
    #[error("a frame cannot be decoded")]
    Undecodable,
    /// A fact or piece does not fit the state.
    #[error("its content does not fit: {0}")]
    Unfit(Unfit),
    /// The closing frame counts differently.
    #[error("its closing frame does not count right")]
    Seal,
    /// Bytes after the closing frame.
    #[error("there are bytes after its closing frame")]
    AfterSeal,
    /// A file that must be complete does not end in a closing frame.
    #[error("its end is missing")]
    Unsealed,
    /// The file is not there.
    #[error("it is missing")]
    Missing,
}

impl StoreError {
    /// Maps an error of the operating system; a full disk becomes [`StoreError::Full`].
    pub(crate) fn io(doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            if is_full(&source) {
                Self::Full { file: file.to_owned() }
            } else {
                Self::Io { doing, file: file.to_owned(), source: Arc::new(source) }
            }
        }
    }

    /// Maps a failed sync, whatever its reason.
    pub(crate) fn sync(file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::SyncFailed { file: file.to_owned(), source: Arc::new(source) }
    }

    /// Damage in a file of a state directory.
    pub(crate) fn damaged(file: &Path, byte: usize, why: Damage) -> Self {
        let dir = file.parent().unwrap_or(file).display();
        let repair = format!("rejoin admin repair --state {dir}");
        Self::Damaged { file: file.to_owned(), byte: byte as u64, why, repair }
    }

    /// Whether a file vanished between being listed and being read.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Whether a write failed for want of room.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_names_file_byte_and_repair() {
        let error = StoreError::damaged(Path::new("state/journal-1.log"), 84, Damage::Checksum);
        assert_eq!(
            error.to_string(),
            "state/journal-1.log is damaged at byte 84: a frame has a wrong checksum; to repair: \
             rejoin admin repair --state state"
        );
    }

    #[test]
    fn a_full_disk_is_told_apart_from_a_broken_one() {
        let file = Path::new("f");
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(matches!(StoreError::io("write", file)(kind.into()), StoreError::Full { .. }));
        }
        assert!(matches!(StoreError::io("write", file)(io::ErrorKind::Other.into()), StoreError::Io { .. }));
        assert!(matches!(StoreError::sync(file)(io::ErrorKind::StorageFull.into()), StoreError::SyncFailed { .. }));
    }
}
