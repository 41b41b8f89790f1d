//! A disk in memory that fails as real ones do, for tests and simulations. Deterministic for a seed.
//!
//! It remembers what was synced. A crash keeps all of that, and of the rest what the seed says: of the bytes of a file a
//! first part, perhaps with sectors of zeros in it; of the changes of names the first few, in order. A sync that was made
//! to fail has lost what it should have kept, though reading still shows it, and no later sync brings it back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, DiskLock};

/// What a power cut keeps or loses as one.
const SECTOR_BYTES: usize = 512;

/// A handle of the disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk {
    shared: Arc<Mutex<Shared>>,
}

/// A small random number generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

#[derive(Debug, Default)]
struct Shared {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    pending: Vec<Rename>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    next_file: u64,
    life: u64,
    calls: BTreeMap<&'static str, u64>,
    operations: u64,
    faults: BTreeMap<u64, io::ErrorKind>,
    power_cut_at: Option<u64>,
    dead: bool,
    capacity: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    lying: bool,
}

/// A change of names: a file gets a name, loses one, or both.
#[derive(Debug)]
struct Rename {
    file: u64,
    from: Option<PathBuf>,
    to: Option<PathBuf>,
}

struct FaultyFile {
    shared: Arc<Mutex<Shared>>,
    file: u64,
    life: u64,
}

struct FaultyLock {
    shared: Arc<Mutex<Shared>>,
    path: PathBuf,
    life: u64,
}

/// What an operation is to do.
enum Luck {
    Work,
    Fail(io::ErrorKind),
    /// The power goes in the middle of it.
    Cut,
}

impl Seeded {
    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `max`.
    pub fn up_to(&mut self, max: usize) -> usize {
        let span = max as u64 + 1;
        usize::try_from(self.next() % span).unwrap_or(max)
    }
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

    /// The machine dies and comes back: open files and locks are gone, what was not synced is kept as `seed` says, all
    /// planned faults are forgotten.
    pub fn crash(&self, seed: u64) {
        let mut shared = self.shared();
        let mut seeded = Seeded(seed);
        let kept = seeded.up_to(shared.pending.len());
        let pending = std::mem::take(&mut shared.pending);
        for change in pending.iter().take(kept) {
            change.make(&mut shared.durable);
        }
        shared.names = shared.durable.clone();
        shared.forget_nameless();
        for content in shared.files.values_mut() {
            content.crash(&mut seeded);
        }
        shared.restart();
    }

    /// The process dies and the machine lives: open files and locks are gone, nothing else.
    pub fn kill(&self) {
        self.shared().restart();
    }

    /// A copy of the disk as it is, which shares nothing with it.
    #[must_use]
    pub fn fork(&self) -> Self {
        let shared = self.shared();
        let forked = Shared {
            files: shared.files.clone(),
            names: shared.names.clone(),
            durable: shared.durable.clone(),
            pending: shared.pending.iter().map(Rename::copy).collect(),
            dirs: shared.dirs.clone(),
            next_file: shared.next_file,
            capacity: shared.capacity,
            ..Shared::default()
        };
        Self { shared: Arc::new(Mutex::new(forked)) }
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

    fn shared(&self) -> MutexGuard<'_, Shared> {
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
        changes.iter().for_each(|change| change.make(&mut shared.durable));
        shared.forget_nameless();
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
    fn shared(&self) -> io::Result<MutexGuard<'_, Shared>> {
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

impl Shared {
    /// Counts an operation and says what becomes of it.
    fn luck(&mut self, name: &'static str) -> Luck {
        if self.dead {
            return Luck::Fail(io::ErrorKind::Other);
        }
        self.operations += 1;
        *self.calls.entry(name).or_default() += 1;
        if self.power_cut_at == Some(self.operations) {
            self.dead = true;
            return Luck::Cut;
        }
        self.faults.remove(&self.operations).map_or(Luck::Work, Luck::Fail)
    }

    /// As `luck`; an operation that `changes` something does so even if the power goes in the middle: the crash
    /// decides whether that is seen afterwards.
    fn begin(&mut self, name: &'static str, changes: bool) -> io::Result<()> {
        match self.luck(name) {
            Luck::Work => Ok(()),
            Luck::Cut if changes => Ok(()),
            Luck::Cut => Err(power_cut()),
            Luck::Fail(kind) => Err(kind.into()),
        }
    }

    /// Fails if the power went in the operation that `begin` began.
    fn end(&self) -> io::Result<()> {
        if self.dead { Err(power_cut()) } else { Ok(()) }
    }

    fn make(&mut self, path: &Path) -> u64 {
        self.next_file += 1;
        let file = self.next_file;
        self.files.insert(file, Content::default());
        self.change(Rename { file, from: None, to: Some(path.to_owned()) });
        file
    }

    fn change(&mut self, change: Rename) {
        change.make(&mut self.names);
        self.pending.push(change);
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn content(&mut self, file: u64) -> io::Result<&mut Content> {
        self.files.get_mut(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Frees files that no name, live or durable, leads to.
    fn forget_nameless(&mut self) {
        let names = self.names.values().chain(self.durable.values());
        let named: BTreeSet<u64> = names.copied().chain(self.pending.iter().map(|change| change.file)).collect();
        self.files.retain(|file, _| named.contains(file));
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|file| self.files.get(file)).map(|content| content.live.len() as u64).sum()
    }

    fn restart(&mut self) {
        self.locks.clear();
        self.faults.clear();
        self.power_cut_at = None;
        self.dead = false;
        self.life += 1;
    }
}

impl Rename {
    fn make(&self, names: &mut BTreeMap<PathBuf, u64>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some(to) = &self.to {
            names.insert(to.clone(), self.file);
        }
    }

    fn touches(&self, dir: &Path) -> bool {
        self.from.iter().chain(&self.to).any(|path| path.parent() == Some(dir))
    }

    fn copy(&self) -> Self {
        Self { file: self.file, from: self.from.clone(), to: self.to.clone() }
    }
}

impl Content {
    /// Keeps what was synced, and of the rest what the seed says.
    fn crash(&mut self, seeded: &mut Seeded) {
        let grown = self.live.starts_with(&self.durable);
        if !grown && seeded.up_to(1) == 0 || self.lying {
            self.live = self.durable.clone();
        }
        let synced = self.durable.len().min(self.live.len());
        let kept = synced + seeded.up_to(self.live.len() - synced);
        self.live.truncate(kept);
        let holes = seeded.up_to(3) == 0;
        for sector in synced / SECTOR_BYTES..=kept / SECTOR_BYTES {
            let range = (sector * SECTOR_BYTES).max(synced)..((sector + 1) * SECTOR_BYTES).min(kept);
            if holes && range.start < range.end && seeded.up_to(1) == 0 {
                self.live[range].fill(0);
            }
        }
        self.durable = self.live.clone();
        self.lying = false;
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn power_cut() -> io::Error {
    io::Error::other("the power is gone")
}

#[cfg(test)]
mod tests {
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
