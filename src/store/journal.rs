//! The journal: facts in, numbers out, durable on return.
//!
//! Invariants: a batch is in one frame, whole or not at all. A segment holds frames only if the one before it is sealed,
//! and a sealed segment has a successor whose header is durable: so a missing last segment is noticed like any other.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::appender::{Appender, Position, discard};
use super::disk::{Disk, DiskLock};
use super::error::StoreError;
use super::frame::{FRAME_ITEMS_BYTES_MAX, encode_item};
use super::header::{Header, Kind};
use super::names;
use crate::model::id::Lsn;
use crate::mutant::{Mutant, is_on};

/// A segment that has reached this size is closed before the next append.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// Whose state it is, and how it is written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server id. Files of another server are refused.
    pub server: [u8; 32],
    /// Drawn at random by each run. It goes into the checksums of the files this run makes, so that nobody who can put
    /// bytes into a fact can put in bytes that pass for a frame.
    pub salt: u64,
    /// The size in bytes at which a segment is closed; [`SEGMENT_BYTES`] unless a test wants many small ones.
    pub segment_bytes: u64,
}

/// The facts of a server on its disk, open for appending. Holds the lock of the directory while it lives.
pub struct Journal<F> {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    settings: Settings,
    active: Appender,
    items: Vec<u8>,
    _lock: Box<dyn DiskLock>,
    _fact: PhantomData<fn(F)>,
}

/// Some of the encoded facts, for one frame.
struct Share {
    facts: u64,
    end: usize,
}

impl Settings {
    /// The usual settings for a server.
    #[must_use]
    pub const fn new(server: [u8; 32], salt: u64) -> Self {
        Self { server, salt, segment_bytes: SEGMENT_BYTES }
    }
}

impl<F: Serialize> Journal<F> {
    /// Goes on at the end of `active`.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: Settings,
        active: Appender,
        lock: Box<dyn DiskLock>,
    ) -> Self {
        let dir = dir.to_owned();
        Self { disk, dir, settings, active, items: Vec::new(), _lock: lock, _fact: PhantomData }
    }

    /// Facts from here on belong to this run of the server. Recovery has set the number after the last it found; a
    /// server that knows of a higher one says so before its first append.
    ///
    /// # Panics
    /// If the number is lower: numbers of runs never fall.
    pub fn start_boot(&mut self, number: u64) {
        assert!(number >= self.boot(), "the number of a run never falls");
        self.active.set_boot(number);
    }

    /// The number of this run of the server.
    #[must_use]
    pub const fn boot(&self) -> u64 {
        self.active.position().place.boot
    }

    /// The number of the last fact that is on the disk.
    #[must_use]
    pub const fn last(&self) -> Lsn {
        Lsn(self.active.position().place.first.0 - 1)
    }

    /// Appends all batches, each whole or not at all, and returns the number of the last fact once all are durable:
    /// one write and one sync, unless they are more than a frame may hold.
    ///
    /// # Errors
    /// [`StoreError::Full`]: nothing of the batches is in the journal, which is as good as before; try again later.
    /// [`StoreError::TooLarge`], [`StoreError::Encode`]: nothing was written. Any other error is final: whether the
    /// batches are on the disk is unknown, every later call returns the same error, and only recovery helps.
    pub fn append(&mut self, batches: &[Vec<F>]) -> Result<Lsn, StoreError> {
        self.active.usable()?;
        let shares = self.encode(batches)?;
        if !shares.is_empty() {
            self.roll()?;
        }
        let before = self.active.position();
        let mut start = 0;
        for share in shares {
            if let Err(error) = self.active.push(share.facts, &self.items[start..share.end]) {
                return Err(self.take_back(before, error));
            }
            start = share.end;
        }
        Ok(self.last())
    }

    /// Closes the segment, however small, and goes on in the next; whether there was anything in it.
    ///
    /// # Errors
    /// As those of [`append`](Self::append); after [`StoreError::Full`] the journal is as good as before.
    pub fn seal(&mut self) -> Result<bool, StoreError> {
        self.active.usable()?;
        let filled = self.active.position().frames > 0;
        if filled {
            self.begin_next()?;
        }
        Ok(filled)
    }

    /// Encodes the facts into `items` and shares them out to as few frames as can hold them.
    fn encode(&mut self, batches: &[Vec<F>]) -> Result<Vec<Share>, StoreError> {
        self.items.clear();
        let mut shares = Vec::new();
        let mut open = Share { facts: 0, end: 0 };
        let mut start = 0;
        let whole = if is_on(Mutant::BatchTorn) { 1 } else { usize::MAX };
        for batch in batches.iter().flat_map(|batch| batch.chunks(whole)) {
            for fact in batch {
                encode_item(&mut self.items, fact)?;
            }
            let end = self.items.len();
            if end - open.end > FRAME_ITEMS_BYTES_MAX {
                return Err(StoreError::TooLarge { bytes: end - open.end, max: FRAME_ITEMS_BYTES_MAX });
            }
            if end - start > FRAME_ITEMS_BYTES_MAX || (is_on(Mutant::BatchTorn) && open.facts > 0) {
                start = open.end;
                shares.push(std::mem::replace(&mut open, Share { facts: 0, end: start }));
            }
            open.facts += batch.len() as u64;
            open.end = end;
        }
        if open.facts > 0 {
            shares.push(open);
        }
        Ok(shares)
    }

    /// After a full disk the frames of this call that were already written are taken back.
    fn take_back(&mut self, before: Position, error: StoreError) -> StoreError {
        if self.active.usable().is_ok() && self.active.position() != before {
            return self.active.back_to(before).err().unwrap_or(error);
        }
        error
    }

    /// Closes a segment that is large enough and goes on in the next.
    fn roll(&mut self) -> Result<(), StoreError> {
        let at = self.active.position();
        if at.len < self.settings.segment_bytes || at.frames == 0 {
            return Ok(());
        }
        self.begin_next()
    }

    /// First the next segment has its header, then the old one its closing frame.
    fn begin_next(&mut self) -> Result<(), StoreError> {
        let at = self.active.position();
        let header = Header {
            kind: Kind::Journal,
            server: self.settings.server,
            boot: at.place.boot,
            first: at.place.first,
            last: Lsn(0),
            chain: at.place.before,
            salt: self.settings.salt,
        };
        let path = names::segment(&self.dir, header.first);
        let next = match Appender::create(&*self.disk, &path, &header) {
            Ok(next) => next,
            Err(full @ StoreError::Full { .. }) => return Err(full),
            Err(fatal) => return Err(self.active.break_with(fatal)),
        };
        match self.active.seal() {
            Ok(()) => self.active = next,
            Err(full @ StoreError::Full { .. }) => {
                drop(next);
                let removed = discard(&*self.disk, &path);
                return Err(removed.map_or_else(|error| self.active.break_with(error), |()| full));
            }
            Err(fatal) => return Err(fatal),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_can_be_given_to_its_thread() {
        fn is_send<T: Send>() {}
        is_send::<Journal<crate::store::toy::ToyFact>>();
    }
}
