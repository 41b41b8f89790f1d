//! The disk as a trait: the seam between what we decide to write and the file system.
//!
//! Calls block; they are made on a journal thread or a blocking thread, never on the event loop. Paths are whole paths.

use std::io;
use std::path::{Path, PathBuf};

/// A file system, as far as the journal, the snapshots and the client's match files need one.
///
/// A file is durable after its `sync`; its *name* is durable after `sync_dir` of its directory.
pub trait Disk: Send + Sync {
    /// Creates a directory (0700) and its parents; fine if it is there.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Creates a file (0600) that must not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, or as the operating system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for appending.
    ///
    /// # Errors
    /// `NotFound`, or as the operating system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// The whole of a file.
    ///
    /// # Errors
    /// `NotFound`, or as the operating system says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The files of a directory, sorted by name; empty if the directory does not exist.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Renames over whatever has the new name.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// As the operating system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock named by `path`, creating the file; `None` if somebody else holds it. Held until the
    /// guard is dropped or the process ends.
    ///
    /// # Errors
    /// As the operating system says.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;
}

/// A file open for appending.
pub trait DiskFile: Send {
    /// Writes all of `bytes` at the end.
    ///
    /// # Errors
    /// As the operating system says; part of the bytes may then be in the file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes all that was written durable.
    ///
    /// # Errors
    /// As the operating system says. What was written may then be lost: never retry, recover.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A lock, held while it lives.
pub trait DiskLock: Send + Sync {}
