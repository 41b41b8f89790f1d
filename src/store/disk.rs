//! The disk as a trait: the seam between what we decide to write and the file system.
//!
//! Calls block; they are made on a journal thread or a blocking thread, never on the event loop. Paths are whole paths.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
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

/// The host's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostDisk;

/// A real file; once cut, its length is synced too.
struct HostFile {
    file: File,
    cut: bool,
}

/// A real lock; the operating system frees it when the file is closed.
struct HostLock {
    _file: File,
}

impl Disk for HostDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.create_dir(parent)?;
        }
        match private_dir().create(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            created => created?,
        }
        self.sync_dir(dir.parent().unwrap_or(dir))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = private_file().append(true).create_new(true).open(path)?;
        Ok(Box::new(HostFile { file, cut: false }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Box::new(HostFile { file, cut: false }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {}
                Ok(_) => files.push(entry.path()),
                // It went away while we looked.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        files.sort();
        Ok(files)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let here = Path::new(".");
        let dir = if dir.as_os_str().is_empty() { here } else { dir };
        // Elsewhere a directory cannot be opened, and names are durable with their files.
        if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let file = private_file().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(HostLock { _file: file }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for HostFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.cut {
            self.file.sync_all()?
        } else {
            self.file.sync_data()?
        }
        self.cut = false;
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.cut = true;
        self.file.set_len(len)
    }
}

impl DiskLock for HostLock {}

/// Options for a file that only its owner may read.
fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// A builder of directories that only their owner may enter.
fn private_dir() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_appended_cut_listed_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b");
        HostDisk.create_dir(&dir).unwrap();
        HostDisk.create_dir(&dir).unwrap();
        let (one, two) = (dir.join("1"), dir.join("2"));
        let mut file = HostDisk.create(&one).unwrap();
        assert_eq!(HostDisk.create(&one).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
        file.append(b"hello").unwrap();
        file.truncate(2).unwrap();
        file.append(b"y").unwrap();
        file.sync().unwrap();
        HostDisk.open(&one).unwrap().append(b"!").unwrap();
        assert_eq!(HostDisk.read(&one).unwrap(), b"hey!");
        drop(HostDisk.create(&two).unwrap());
        assert_eq!(HostDisk.list(&dir).unwrap(), [one.clone(), two.clone()]);
        assert!(HostDisk.list(root.path()).unwrap().is_empty(), "directories are no files");
        HostDisk.rename(&one, &two).unwrap();
        HostDisk.sync_dir(&dir).unwrap();
        assert_eq!(HostDisk.read(&two).unwrap(), b"hey!");
        HostDisk.remove(&two).unwrap();
        assert!(HostDisk.list(&dir).unwrap().is_empty());
        assert!(HostDisk.list(&dir.join("absent")).unwrap().is_empty());
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("lock");
        let held = HostDisk.lock(&path).unwrap().unwrap();
        assert!(HostDisk.lock(&path).unwrap().is_none());
        drop(held);
        assert!(HostDisk.lock(&path).unwrap().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_look() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("d");
        HostDisk.create_dir(&dir).unwrap();
        drop(HostDisk.create(&dir.join("f")).unwrap());
        drop(HostDisk.lock(&dir.join("l")).unwrap());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&dir), mode(&dir.join("f")), mode(&dir.join("l"))], [0o700, 0o600, 0o600]);
    }
}
