//! The simulator's own file system as the server's disk: another's idea of what a crash leaves.
//!
//! It keeps or loses blocks of what was not synced each by itself, and names that were not synced. A process that is
//! killed loses as much as one whose power goes. It can only be used by a process on its machine.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rejoin::store::faulty::FaultyDisk;
use rejoin::store::{Disk, DiskFile, DiskLock};
use turmoil::fs::shim::std::fs;

/// The file system of the machine whose process calls.
#[derive(Clone, Default)]
pub(super) struct OtherDisk(Arc<Mutex<BTreeSet<PathBuf>>>);

struct OtherFile(fs::File);

struct OtherLock {
    held: Arc<Mutex<BTreeSet<PathBuf>>>,
    path: PathBuf,
}

impl Disk for OtherDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        // Each name on the way must be durable.
        dir.ancestors().skip(1).try_for_each(fs::sync_dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = fs::OpenOptions::new().write(true).append(true).create_new(true).open(path)?;
        Ok(Box::new(OtherFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OtherFile(fs::OpenOptions::new().write(true).append(true).open(path)?)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        if !fs::exists(dir) {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(entry.path());
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
        fs::sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(OtherLock { held: Arc::clone(&self.0), path: path.to_owned() })))
    }
}

impl DiskFile for OtherFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

impl DiskLock for OtherLock {}

impl Drop for OtherLock {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

/// Copies the files of a directory out of the simulator, from within a process of the machine.
pub(super) fn copy_out(dir: &Path, to: &FaultyDisk) -> io::Result<()> {
    to.create_dir(dir)?;
    let from = OtherDisk::default();
    for path in from.list(dir)? {
        let mut file = to.create(&path)?;
        file.append(&from.read(&path)?)?;
        file.sync()?;
    }
    to.sync_dir(dir)
}
