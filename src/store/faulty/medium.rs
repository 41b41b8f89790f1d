//! What a faulty disk holds: contents and names, each live and durable, and the faults that are planned.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// What a power cut keeps or loses as one.
const SECTOR_BYTES: usize = 512;

/// A small random number generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

/// Everything on the disk, and what is to become of it.
#[derive(Debug, Default)]
pub(super) struct Medium {
    pub(super) files: BTreeMap<u64, Content>,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable: BTreeMap<PathBuf, u64>,
    pub(super) pending: Vec<Rename>,
    pub(super) dirs: BTreeSet<PathBuf>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) next_file: u64,
    pub(super) life: u64,
    pub(super) calls: BTreeMap<&'static str, u64>,
    pub(super) operations: u64,
    pub(super) faults: BTreeMap<u64, io::ErrorKind>,
    pub(super) power_cut_at: Option<u64>,
    pub(super) dead: bool,
    pub(super) capacity: Option<u64>,
}

/// The bytes of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// What reading shows.
    pub(super) live: Vec<u8>,
    /// What was synced.
    pub(super) durable: Vec<u8>,
    /// A sync has failed; none is to be believed.
    pub(super) lying: bool,
}

/// A change of names: a file gets a name, loses one, or both.
#[derive(Clone, Debug)]
pub(super) struct Rename {
    pub(super) file: u64,
    pub(super) from: Option<PathBuf>,
    pub(super) to: Option<PathBuf>,
}

/// What an operation is to do.
pub(super) enum Luck {
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

impl Medium {
    /// A copy that shares nothing, without locks and planned faults.
    pub(super) fn fork(&self) -> Self {
        Self {
            files: self.files.clone(),
            names: self.names.clone(),
            durable: self.durable.clone(),
            pending: self.pending.clone(),
            dirs: self.dirs.clone(),
            next_file: self.next_file,
            capacity: self.capacity,
            ..Self::default()
        }
    }

    /// Keeps what was synced, and of the rest what the seed says.
    pub(super) fn crash(&mut self, seed: u64) {
        let mut seeded = Seeded(seed);
        self.crash_names(&mut seeded);
        self.names = self.durable.clone();
        self.forget_nameless();
        for content in self.files.values_mut() {
            content.crash(&mut seeded);
        }
        self.restart();
    }

    /// Of the changes of names that were not synced, either the first few are kept or any; but none that rests on a lost
    /// one.
    fn crash_names(&mut self, seeded: &mut Seeded) {
        let pending = std::mem::take(&mut self.pending);
        let ordered = seeded.up_to(1) == 0;
        let first = seeded.up_to(pending.len());
        let mut lost: Vec<&Rename> = Vec::new();
        for (index, change) in pending.iter().enumerate() {
            let lucky = if ordered { index < first } else { seeded.up_to(1) == 0 };
            if lucky && !lost.iter().any(|before| change.rests_on(before)) {
                change.make(&mut self.durable);
            } else {
                lost.push(change);
            }
        }
    }

    /// Counts an operation and says what becomes of it.
    pub(super) fn luck(&mut self, name: &'static str) -> Luck {
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
    pub(super) fn begin(&mut self, name: &'static str, changes: bool) -> io::Result<()> {
        match self.luck(name) {
            Luck::Work => Ok(()),
            Luck::Cut if changes => Ok(()),
            Luck::Cut => Err(power_cut()),
            Luck::Fail(kind) => Err(kind.into()),
        }
    }

    /// Fails if the power went in the operation that `begin` began.
    pub(super) fn end(&self) -> io::Result<()> {
        if self.dead { Err(power_cut()) } else { Ok(()) }
    }

    pub(super) fn make(&mut self, path: &Path) -> u64 {
        self.next_file += 1;
        let file = self.next_file;
        self.files.insert(file, Content::default());
        self.change(Rename { file, from: None, to: Some(path.to_owned()) });
        file
    }

    pub(super) fn change(&mut self, change: Rename) {
        change.make(&mut self.names);
        self.pending.push(change);
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn content(&mut self, file: u64) -> io::Result<&mut Content> {
        self.files.get_mut(&file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Frees those of these files that no name, live or durable, leads to.
    pub(super) fn forget(&mut self, files: &[u64]) {
        for file in files {
            let names = self.names.values().chain(self.durable.values());
            let named = names.chain(self.pending.iter().map(|change| &change.file)).any(|other| other == file);
            if !named {
                self.files.remove(file);
            }
        }
    }

    /// Frees all files that no name, live or durable, leads to.
    fn forget_nameless(&mut self) {
        let names = self.names.values().chain(self.durable.values());
        let named: BTreeSet<u64> = names.copied().chain(self.pending.iter().map(|change| change.file)).collect();
        self.files.retain(|file, _| named.contains(file));
    }

    pub(super) fn used(&self) -> u64 {
        self.names.values().filter_map(|file| self.files.get(file)).map(|content| content.live.len() as u64).sum()
    }

    pub(super) fn restart(&mut self) {
        self.locks.clear();
        self.faults.clear();
        self.power_cut_at = None;
        self.dead = false;
        self.life += 1;
    }
}

impl Rename {
    /// Says which files have lost a name.
    pub(super) fn make(&self, names: &mut BTreeMap<PathBuf, u64>) -> [Option<u64>; 2] {
        let left = self.from.as_ref().and_then(|from| names.remove(from));
        let replaced = self.to.as_ref().and_then(|to| names.insert(to.clone(), self.file));
        [left, replaced]
    }

    pub(super) fn touches(&self, dir: &Path) -> bool {
        self.from.iter().chain(&self.to).any(|path| path.parent() == Some(dir))
    }

    /// Whether it makes no sense without the change `before` it.
    fn rests_on(&self, before: &Self) -> bool {
        let paths = |change: &Self| change.from.iter().chain(&change.to).cloned().collect::<BTreeSet<_>>();
        self.file == before.file || !paths(self).is_disjoint(&paths(before))
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

pub(super) fn power_cut() -> io::Error {
    io::Error::other("the power is gone")
}
