//! Small files that are replaced whole: after a crash there is the old one or the new one, never a part.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::mutant::{Mutant, is_on};
use crate::store::{Disk, StoreError};

/// What a sealed file holds; its first eight bytes say it, and the format's version with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The 32 bytes of a device key.
    Device,
    /// A saved session.
    Session,
    /// Match keys that were offered.
    Offers,
}

/// How long to wait at most for a client that is changing a shared file: a few writes, on a slow disk.
const TRIES_MAX: u32 = 500;
const TRY_EVERY: Duration = Duration::from_millis(10);
const CRC_BYTES: usize = 4;

impl Kind {
    const fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Device => b"rejoinD1",
            Self::Session => b"rejoinS1",
            Self::Offers => b"rejoinO1",
        }
    }

    /// The bytes of a file with this content.
    pub(super) fn seal(self, body: &[u8]) -> Zeroizing<Vec<u8>> {
        let magic = self.magic();
        // The room is made before: a buffer that grows leaves copies of a key behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(magic.len() + body.len() + CRC_BYTES));
        bytes.extend_from_slice(magic);
        bytes.extend_from_slice(body);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The content of a file, or `None` if these are not the bytes that were written.
    pub(super) fn unseal(self, bytes: &[u8]) -> Option<&[u8]> {
        let (sealed, crc) = bytes.split_last_chunk::<CRC_BYTES>()?;
        let whole = crc32c::crc32c(sealed) == u32::from_le_bytes(*crc);
        sealed.strip_prefix(self.magic()).filter(|_| whole)
    }
}

/// The bytes of a file, `None` if it does not exist.
pub(super) fn read(disk: &dyn Disk, path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    match disk.read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(|bytes| Some(Zeroizing::new(bytes))).map_err(StoreError::io("read", path)),
    }
}

/// Writes a file in place of the one that may be there; durable on return.
pub(super) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_added_extension("new");
    match disk.remove(&temporary) {
        // A crash has left none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(StoreError::io("remove", &temporary))?,
    }
    let mut file = disk.create(&temporary).map_err(StoreError::io("create", &temporary))?;
    file.append(bytes).map_err(StoreError::io("write", &temporary))?;
    file.sync().map_err(StoreError::sync(&temporary))?;
    disk.rename(&temporary, path).map_err(StoreError::io("rename", &temporary))?;
    sync_names(disk, path)
}

/// Removes a file, if it is there; durable on return.
pub(super) fn remove(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(StoreError::io("remove", path)).and_then(|()| sync_names(disk, path)),
    }
}

/// Renames a file that cannot be used, so that it blocks nothing and nobody writes over it; returns its new name.
pub(super) fn set_aside(disk: &dyn Disk, path: &Path) -> Result<PathBuf, StoreError> {
    let taken = disk.list(parent(path)).map_err(StoreError::io("list", parent(path)))?;
    let numbered = (2..).map(|number: u32| path.with_added_extension(format!("{number}.damaged")));
    let mut names = std::iter::once(path.with_added_extension("damaged")).chain(numbered);
    let aside = names.find(|name| !taken.contains(name)).expect("a directory holds fewer files than there are numbers");
    disk.rename(path, &aside).map_err(StoreError::io("rename", path))?;
    sync_names(disk, path)?;
    Ok(aside)
}

/// Calls `then` while no other client that asks for the same lock does.
pub(super) fn locked<T, E: From<StoreError>>(
    disk: &dyn Disk,
    lock: &Path,
    then: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    for _ in 0..TRIES_MAX {
        if let Some(_guard) = disk.lock(lock).map_err(StoreError::io("lock", lock))? {
            return then();
        }
        thread::sleep(TRY_EVERY);
    }
    Err(StoreError::InUse { file: lock.to_owned() }.into())
}

fn sync_names(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    if is_on(Mutant::ClientNamesNotSynced) {
        return Ok(());
    }
    disk.sync_dir(parent(path)).map_err(StoreError::sync(parent(path)))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
