//! The store loses nothing that was acknowledged, whatever happens to process, power and disk.
//!
//! The oracle compares values: after every fault the recovered state must be that of all acknowledged batches, or of
//! these and the one append that was under way.

mod copies;
mod crash;
mod damage;
mod faults;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rejoin::model::id::Lsn;
use rejoin::model::replay::Replay;
use rejoin::store::faulty::FaultyDisk;
use rejoin::store::toy::{Toy, ToyFact};
use rejoin::store::{Disk, Note, Recovered, Settings, Snapshotter, StoreError, check, read_archive, recover};

/// The server of all these tests.
const SERVER: [u8; 32] = [7; 32];
/// Small enough for many segments.
const SEGMENT_BYTES: u64 = 400;

/// A disk with a state directory, and what was acknowledged on it.
#[derive(Clone)]
struct Host {
    disk: FaultyDisk,
    dir: PathBuf,
    /// Batches in the journal for sure.
    told: u64,
    /// Batches of the append that has not returned.
    asked: u64,
}

/// Nearly the usual settings.
fn settings() -> Settings {
    Settings { segment_bytes: SEGMENT_BYTES, ..Settings::new(SERVER, 99) }
}

/// The batch with this number.
fn batch(number: u64) -> Vec<ToyFact> {
    let mut facts = vec![ToyFact::Put(2 * number, number * 7), ToyFact::Put(2 * number + 1, number * 7 + 1)];
    if number >= 5 {
        facts.push(ToyFact::Close(2 * (number - 5)));
    }
    facts
}

/// The state after that many batches.
fn state_after(batches: u64) -> Toy {
    let mut toy = Toy::default();
    for fact in (0..batches).flat_map(batch) {
        toy.apply(&fact).unwrap();
    }
    drop(toy.retire());
    toy
}

/// How many facts that many batches are.
fn facts_in(batches: u64) -> u64 {
    (0..batches).map(|number| batch(number).len() as u64).sum()
}

/// What the facts up to `last` retire.
fn retired_up_to(last: Lsn) -> Vec<(u64, u64)> {
    let mut toy = Toy::default();
    for fact in (0..).flat_map(batch).take(usize::try_from(last.0).unwrap()) {
        toy.apply(&fact).unwrap();
    }
    toy.retire()
}

impl Host {
    fn new() -> Self {
        Self { disk: FaultyDisk::new(), dir: PathBuf::from("state"), told: 0, asked: 0 }
    }

    /// The same on a disk of its own.
    fn fork(&self) -> Self {
        Self { disk: self.disk.fork(), ..self.clone() }
    }

    fn shared(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn recover(&self) -> Result<Recovered<Toy>, StoreError> {
        recover(&self.shared(), &self.dir, &settings())
    }

    /// Recovers and compares; the append that was under way is known afterwards.
    fn recover_and_compare(&mut self, why: &str) -> Recovered<Toy> {
        let recovered = self.recover().unwrap_or_else(|error| panic!("{why}: {error}"));
        let lasting = [self.told, self.told + self.asked];
        let found = lasting.into_iter().find(|batches| recovered.state == state_after(*batches));
        let Some(found) = found else {
            panic!("{why}: told {}, asked {}, found {:?}", self.told, self.asked, recovered.state)
        };
        assert_eq!(recovered.last, Lsn(facts_in(found)), "{why}");
        (self.told, self.asked) = (found, 0);
        recovered
    }

    /// Appends that many batches in one call.
    fn append(&mut self, recovered: &mut Recovered<Toy>, batches: u64) -> Result<Lsn, StoreError> {
        assert_eq!(self.asked, 0);
        self.asked = batches;
        let facts: Vec<_> = (self.told..self.told + batches).map(batch).collect();
        let last = recovered.journal.append(&facts)?;
        self.told += batches;
        self.asked = 0;
        assert_eq!(last, Lsn(facts_in(self.told)));
        Ok(last)
    }

    fn snapshotter(&self) -> Snapshotter<Toy> {
        Snapshotter::new(self.shared(), &self.dir, settings()).every(2)
    }

    /// A server's life: recover, append, make snapshots.
    fn work(&mut self, appends: u64) -> Result<Recovered<Toy>, StoreError> {
        let mut recovered = self.recover()?;
        let mut snapshotter = self.snapshotter();
        for round in 0..appends {
            self.append(&mut recovered, 1 + round % 3)?;
            if round % 4 == 3 {
                snapshotter.step()?;
            }
        }
        Ok(recovered)
    }

    /// Everything on the disk fits together, the archive too.
    fn assert_whole(&self, why: &str) {
        let report = check::<Toy>(&self.disk, &self.dir, &SERVER).unwrap();
        assert!(report.is_good(), "{why}: {:?}", report.findings);
        self.assert_archived(why);
    }

    /// The archive has what retired before the newest snapshot, each once, in order.
    fn assert_archived(&self, why: &str) {
        let mut archived = Vec::new();
        read_archive::<(u64, u64)>(&self.disk, &self.dir, &SERVER, |_, record| archived.push(record))
            .unwrap_or_else(|error| panic!("{why}: {error}"));
        let covered = self.files("archive-").last().map_or(Lsn(0), |path| number(path, 1));
        let snapshot = self.files("snapshot-").last().map_or(Lsn(0), |path| number(path, 0));
        assert!(covered >= snapshot, "{why}: archived up to {covered:?}, snapshot at {snapshot:?}");
        assert_eq!(archived, retired_up_to(covered), "{why}");
    }

    /// The files of one kind, in order.
    fn files(&self, kind: &str) -> Vec<PathBuf> {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let whole = |path: &PathBuf| name(path).starts_with(kind) && !name(path).ends_with(".tmp");
        self.disk.fork().list(&self.dir).unwrap().into_iter().filter(whole).collect()
    }
}

/// The number in a file's name at that place.
fn number(path: &Path, place: usize) -> Lsn {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    Lsn(stem.split('-').nth(place + 1).unwrap().parse().unwrap())
}

/// Whether recovery said that it cut something off.
fn said_cut(notes: &[Note]) -> bool {
    notes.iter().any(|note| matches!(note, Note::TailCut { .. }))
}
