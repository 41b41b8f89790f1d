//! A disk that is slow, writes down what became durable when, and can be told to fail.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rejoin::store::{Disk, DiskFile, DiskLock, HostDisk};

/// A message that overtook a sync of this length would be noticed.
const SLOWNESS: Duration = Duration::from_millis(60);

#[derive(Clone, Default)]
pub(super) struct SlowDisk {
    synced: Arc<Mutex<Vec<String>>>,
    bad: Arc<Mutex<Option<&'static str>>>,
}

struct SlowFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    disk: SlowDisk,
}

impl SlowDisk {
    /// How many syncs of files or directories with this in their name are done.
    pub(super) fn synced(&self, name: &str) -> usize {
        self.synced.lock().unwrap().iter().filter(|file| file.contains(name)).count()
    }

    /// Makes every sync of a file with this in its name fail.
    pub(super) fn fail(&self, name: &'static str) {
        *self.bad.lock().unwrap() = Some(name);
    }

    fn sync(&self, path: &Path, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if self.bad.lock().unwrap().is_some_and(|bad| name.contains(bad)) {
            return Err(io::Error::other("a test wants it so"));
        }
        thread::sleep(SLOWNESS);
        sync()?;
        self.synced.lock().unwrap().push(name);
        Ok(())
    }
}

impl Disk for SlowDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        HostDisk.create_dir(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SlowFile { file: HostDisk.create(path)?, path: path.to_owned(), disk: self.clone() }))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SlowFile { file: HostDisk.open(path)?, path: path.to_owned(), disk: self.clone() }))
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        HostDisk.read(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        HostDisk.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        HostDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        HostDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sync(dir, || HostDisk.sync_dir(dir))
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        HostDisk.lock(path)
    }
}

impl DiskFile for SlowFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync(&self.path, || self.file.sync())
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
}
