//! A disk in memory that fails as real ones do, for tests and simulations. Deterministic for a seed.
//!
//! It remembers what was synced. A crash keeps all of that, and of the rest what the seed says: of the bytes of a file a
//! first part, perhaps with sectors of zeros in it; of the changes of names the first few, or any that make sense without
//! the lost ones. A sync that was made to fail has lost what it should have kept, though reading still shows it, and no later sync brings it back.

mod medium;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::medium::{Luck, Medium, Rename, power_cut};
use super::disk::{Disk, DiskFile, DiskLock};

pub use self::medium::Seeded;

/// A handle of the disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk {
    shared: Arc<Mutex<Medium>>,
}

struct FaultyFile {
    shared: Arc<Mutex<Medium>>,
    file: u64,
    life: u64,
}

struct FaultyLock {
    shared: Arc<Mutex<Medium>>,
    path: PathBuf,
    life: u64,
}

impl FaultyDisk {
    /// An empty disk that works.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared().operations
    }

    /// How often an operation was called, by its name in [`Disk`] or [`DiskFile`].
    #[must_use]
    pub fn calls(&self, name: &str) -> u64 {
        self.shared().calls.get(name).copied().unwrap_or(0)
    }

    /// Makes the operation with this number, counted from 1 at the beginning, fail once. A write that fails leaves half
    /// of its bytes; a sync that fails loses them.
    pub fn fail_at(&self, operation: u64, kind: io::ErrorKind) {
        self.shared().faults.insert(operation, kind);
    }

    /// Takes back what was to fail.
    pub fn fail_no_more(&self) {
        self.shared().faults.clear();
    }

    /// Makes the power go in the middle of the operation with this number; all fail until [`FaultyDisk::crash`].
    pub fn cut_power_at(&self, operation: u64) {
        self.shared().power_cut_at = Some(operation);
    }

    /// Whether the power is gone.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.shared().dead
    }

    /// Bytes that fit; more is a full disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared().capacity = bytes;
    }

    /// The bytes of all files.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.shared().used()
    }

    /// Bytes that were written and not synced.
    #[must_use]
    pub fn unsynced(&self) -> u64 {
        let shared = self.shared();
        shared.files.values().map(|content| content.live.len().abs_diff(content.durable.len()) as u64).sum()
    }

    /// All files, in the order of their paths.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.shared().names.keys().cloned().collect()
    }

    /// The machine dies and comes back: open files and locks are gone, what was not synced is kept as `seed` says, all
    /// planned faults are forgotten.
    pub fn crash(&self, seed: u64) {
        self.shared().crash(seed);
    }

    /// The process dies and the machine lives: open files and locks are gone, nothing else.
    pub fn kill(&self) {
        self.shared().restart();
    }

    /// A copy of the disk as it is, which shares nothing with it.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { shared: Arc::new(Mutex::new(self.shared().fork())) }
    }

    /// Changes a file behind everybody's back, durably, as damage does. Says whether it is there.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut shared = self.shared();
        let Some(file) = shared.names.get(path).copied() else { return false };
        let Some(content) = shared.files.get_mut(&file) else { return false };
        change(&mut content.live);
        content.durable = content.live.clone();
        true
    }

    /// Takes a file away behind everybody's back. Says whether it was there.
    pub fn lose(&self, path: &Path) -> bool {
        let mut shared = self.shared();
        shared.durable.remove(path);
        shared.names.remove(path).is_some()
    }

    /// Lets two files change their names behind everybody's back.
    pub fn swap(&self, one: &Path, two: &Path) {
        let mut shared = self.shared();
        let files = (shared.names.get(one).copied(), shared.names.get(two).copied());
        let (Some(first), Some(second)) = files else { return };
        for (path, file) in [(one, second), (two, first)] {
            shared.names.insert(path.to_owned(), file);
            shared.durable.insert(path.to_owned(), file);
        }
    }

    fn shared(&self) -> MutexGuard<'_, Medium> {
        lock(&self.shared)
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut shared = self.shared();
        shared.begin("create_dir", true)?;
        shared.dirs.extend(dir.ancestors().map(Path::to_owned));
        shared.end()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut shared = self.shared();
        shared.begin("create", true)?;
        if shared.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !path.parent().is_some_and(|dir| shared.dirs.contains(dir)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = shared.make(path);
        shared.end()?;
        Ok(Box::new(FaultyFile { shared: Arc::clone(&self.shared), file, life: shared.life }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut shared = self.shared();
        shared.begin("open", false)?;
        let file = shared.find(path)?;
        Ok(Box::new(FaultyFile { shared: Arc::clone(&self.shared), file, life: shared.life }))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut shared = self.shared();
        shared.begin("read", false)?;
        let file = shared.find(path)?;
        Ok(shared.content(file)?.live.clone())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut shared = self.shared();
        shared.begin("list", false)?;
        Ok(shared.names.keys().filter(|path| path.parent() == Some(dir)).cloned().collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut shared = self.shared();
        shared.begin("rename", true)?;
        let file = shared.find(from)?;
        shared.change(Rename { file, from: Some(from.to_owned()), to: Some(to.to_owned()) });
        shared.end()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut shared = self.shared();
        shared.begin("remove", true)?;
        let file = shared.find(path)?;
        shared.change(Rename { file, from: Some(path.to_owned()), to: None });
        shared.end()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut shared = self.shared();
        shared.begin("sync_dir", false)?;
        let last = shared.pending.iter().rposition(|change| change.touches(dir)).map_or(0, |last| last + 1);
        let changes: Vec<Rename> = shared.pending.drain(..last).collect();
        let losers: Vec<u64> = changes.iter().flat_map(|change| change.make(&mut shared.durable)).flatten().collect();
        shared.forget(&losers);
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        let mut shared = self.shared();
        shared.begin("lock", true)?;
        if shared.find(path).is_err() {
            shared.make(path);
        }
        shared.end()?;
        if !shared.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        let life = shared.life;
        Ok(Some(Box::new(FaultyLock { shared: Arc::clone(&self.shared), path: path.to_owned(), life })))
    }
}

impl DiskFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut shared = self.shared()?;
        let half = &bytes[..bytes.len() / 2];
        let (written, result) = match shared.luck("append") {
            Luck::Work => {
                let room = shared.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(shared.used()));
                let fits = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
                let full = fits < bytes.len();
                (&bytes[..fits], if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) })
            }
            Luck::Fail(kind) => (half, Err(kind.into())),
            Luck::Cut => (bytes, Err(power_cut())),
        };
        shared.content(self.file)?.live.extend_from_slice(written);
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut shared = self.shared()?;
        match shared.luck("sync") {
            Luck::Work => {
                let content = shared.content(self.file)?;
                if !content.lying {
                    content.durable = content.live.clone();
                }
                Ok(())
            }
            Luck::Fail(kind) => {
                shared.content(self.file)?.lying = true;
                Err(kind.into())
            }
            Luck::Cut => Err(power_cut()),
        }
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut shared = self.shared()?;
        shared.begin("truncate", true)?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        shared.content(self.file)?.live.resize(len, 0);
        shared.end()
    }
}

impl FaultyFile {
    fn shared(&self) -> io::Result<MutexGuard<'_, Medium>> {
        let shared = lock(&self.shared);
        if shared.life == self.life { Ok(shared) } else { Err(io::Error::other("opened before the crash")) }
    }
}

impl DiskLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        if shared.life == self.life {
            shared.locks.remove(&self.path);
        }
    }
}

fn lock(shared: &Mutex<Medium>) -> MutexGuard<'_, Medium> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn disk() -> (FaultyDisk, PathBuf) {
        let disk = FaultyDisk::new();
        disk.create_dir(Path::new("d")).unwrap();
        (disk, PathBuf::from("d/f"))
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_a_first_part_of_the_rest() {
        let mut lengths = BTreeSet::new();
        for seed in 0..200 {
            let (disk, path) = disk();
            let mut file = disk.create(&path).unwrap();
            file.append(&[1; 600]).unwrap();
            file.sync().unwrap();
            disk.sync_dir(Path::new("d")).unwrap();
            file.append(&[2; 600]).unwrap();
            disk.crash(seed);
            let bytes = disk.read(&path).unwrap();
            assert_eq!(bytes[..600], [1; 600], "seed {seed}");
            assert!(bytes[600..].iter().all(|byte| [0, 2].contains(byte)), "seed {seed}");
            lengths.insert(bytes.len());
            assert!(file.append(b"x").is_err(), "a file is not open after a crash");
        }
        assert!(lengths.len() > 50 && lengths.iter().all(|len| (600..=1200).contains(len)));
    }

    #[test]
    fn a_name_may_be_lost_until_its_directory_is_synced() {
        let there = |seed, sync: bool| {
            let (disk, path) = disk();
            disk.create(&path).unwrap().sync().unwrap();
            if sync {
                disk.sync_dir(Path::new("d")).unwrap();
            }
            disk.crash(seed);
            !disk.list(Path::new("d")).unwrap().is_empty()
        };
        assert!((0..20).all(|seed| there(seed, true)));
        assert!((0..20).any(|seed| there(seed, false)) && !(0..20).all(|seed| there(seed, false)));
    }

    #[test]
    fn a_failed_sync_has_lost_the_bytes_for_good() {
        let (disk, path) = disk();
        let mut file = disk.create(&path).unwrap();
        disk.sync_dir(Path::new("d")).unwrap();
        file.append(b"gone").unwrap();
        disk.fail_at(disk.operations() + 1, io::ErrorKind::Other);
        assert!(file.sync().is_err());
        assert!(file.sync().is_ok(), "the second sync lies");
        assert_eq!(disk.read(&path).unwrap(), b"gone");
        disk.crash(0);
        assert_eq!(disk.read(&path).unwrap(), b"");
    }

    #[test]
    fn a_full_disk_takes_what_fits() {
        let (disk, path) = disk();
        let mut file = disk.create(&path).unwrap();
        disk.set_capacity(Some(3));
        assert_eq!(file.append(b"hello").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!((disk.read(&path).unwrap(), disk.used()), (b"hel".to_vec(), 3));
    }

    #[test]
    fn the_power_goes_once_and_everything_fails_until_the_crash() {
        let (disk, path) = disk();
        disk.cut_power_at(disk.operations() + 2);
        let mut file = disk.create(&path).unwrap();
        assert!(file.append(b"x").is_err());
        assert!(disk.is_dead() && disk.read(&path).is_err());
        disk.crash(1);
        assert!(!disk.is_dead() && disk.list(Path::new("d")).is_ok());
    }

    #[test]
    fn a_lock_is_held_by_one_until_it_dies() {
        let (disk, path) = disk();
        let held = disk.lock(&path).unwrap().unwrap();
        assert!(disk.lock(&path).unwrap().is_none());
        disk.kill();
        let again = disk.lock(&path).unwrap();
        drop(held);
        assert!(disk.lock(&path).unwrap().is_none(), "a guard from before frees nothing");
        drop(again);
        assert!(disk.lock(&path).unwrap().is_some());
    }
}
