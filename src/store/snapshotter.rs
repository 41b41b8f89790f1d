//! Makes snapshots from sealed segments, beside the running server.
//!
//! Order of a step, each part durable before the next: the archive gets what retired, the new snapshot (which lacks it)
//! gets its name, then what neither of the two snapshots needs is removed, oldest first. A crash anywhere leaves a
//! directory that recovers to the same state, and a step that is repeated does the same again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::appender::discard;
use super::archive::{self, Archived};
use super::disk::Disk;
use super::error::StoreError;
use super::frame::{End, walk};
use super::header::{Header, Kind};
use super::journal::Settings;
use super::names::Layout;
use super::segment::Progress;
use super::snapshot::{self, Base};
use crate::model::id::Lsn;
use crate::model::replay::Replay;
use crate::mutant::{Mutant, is_on};

/// Sealed segments that are worth a snapshot: what recovery replays at most is these and the active one.
pub const SEALED_MIN: usize = 2;

/// Makes snapshots of the directory a journal is written to. Needs no lock of its own: it touches only what the journal
/// has finished with.
pub struct Snapshotter<S> {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    settings: Settings,
    sealed_min: usize,
    _state: std::marker::PhantomData<fn() -> S>,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct Step {
    /// The last fact in the new snapshot.
    pub last: Lsn,
    /// The size of the new snapshot in bytes.
    pub bytes: u64,
    /// Records that went to the archive.
    pub archived: usize,
    /// Files that are gone because nothing needs them.
    pub removed: usize,
    /// Snapshots that could not be used, and why.
    pub unusable: Vec<StoreError>,
}

impl<S: Replay> Snapshotter<S> {
    /// For the directory that was recovered with the same settings.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, settings: Settings) -> Self {
        Self { disk, dir: dir.to_owned(), settings, sealed_min: SEALED_MIN, _state: std::marker::PhantomData }
    }

    /// Makes a snapshot for every `segments` sealed segments (at least 1) instead of [`SEALED_MIN`].
    #[must_use]
    pub fn every(mut self, segments: usize) -> Self {
        self.sealed_min = segments.max(1);
        self
    }

    /// Makes a snapshot if there are enough sealed segments for one. Blocks for as long as that takes: call it on a
    /// thread of its own, every few seconds.
    ///
    /// # Errors
    /// Whatever happens, nothing that recovery needs is touched and the step may be repeated. After
    /// [`StoreError::Full`] and [`StoreError::Io`] that may help; [`StoreError::SyncFailed`] speaks of a disk that the
    /// journal should not trust either; [`StoreError::Damaged`] needs the operator.
    pub fn step(&mut self) -> Result<Option<Step>, StoreError> {
        let disk = &*self.disk;
        let layout = Layout::read(disk, &self.dir)?;
        let newest = layout.snapshots.last().map_or(Lsn(0), |(last, _)| *last);
        // The last segment is never sealed.
        if layout.segments_from(newest.plus(1)).len() <= self.sealed_min {
            return Ok(None);
        }
        let Base { mut progress, unusable, .. } = snapshot::newest::<S>(disk, &layout, &self.settings.server)?;
        let base = progress.last();
        let retired = self.replay(&layout, &mut progress)?;
        if progress.last() == base {
            return Ok(None);
        }
        if is_on(Mutant::SegmentsDroppedEarly) {
            self.prune(progress.last(), progress.last())?;
        }
        let covers = archive::header(&self.settings, progress.boot, base.plus(1), progress.last());
        archive::write(disk, &self.dir, &covers, &retired)?;
        let (_, bytes) = snapshot::write(disk, &self.dir, &self.settings, &progress)?;
        let removed = self.prune(base, progress.last())?;
        Ok(Some(Step { last: progress.last(), bytes, archived: retired.len(), removed, unusable }))
    }

    /// Applies the sealed segments after `progress` and returns what retired.
    fn replay(&self, layout: &Layout, progress: &mut Progress<S>) -> Result<Vec<Archived<S::Retired>>, StoreError> {
        let mut retired = Vec::new();
        let segments = layout.segments_from(progress.next);
        for (first, path) in segments.iter().take(segments.len().saturating_sub(1)) {
            if *first > progress.next {
                return Err(super::names::missing(&self.dir, progress.next));
            }
            let bytes = self.disk.read(path).map_err(StoreError::io("read", path))?;
            let header = Header::read(path, &bytes, Kind::Journal, &self.settings.server)?;
            progress.admit(path, &header)?;
            let walked = walk(&bytes, &header);
            match &walked.end {
                End::Sealed => {}
                // The journal is just about to seal it.
                End::Open | End::Torn { .. } => break,
                End::Rotten { at, why } => return Err(StoreError::damaged(path, *at, why.clone())),
            }
            progress.apply(path, &walked, &mut |state, at| {
                retired.extend(state.retire().into_iter().map(|record| Archived(at, record)));
            })?;
        }
        Ok(retired)
    }

    /// Removes all that is older than the two snapshots at `base` and `newest`.
    fn prune(&self, base: Lsn, newest: Lsn) -> Result<usize, StoreError> {
        if is_on(Mutant::NothingPruned) {
            return Ok(0);
        }
        let disk = &*self.disk;
        let layout = Layout::read(disk, &self.dir)?;
        let mut removed = 0;
        for (last, path) in &layout.snapshots {
            if *last != base && *last < newest {
                discard(disk, path)?;
                removed += 1;
            }
        }
        for pair in layout.segments.windows(2) {
            let [(_, path), (next, _)] = pair else { continue };
            if *next > base.plus(1) {
                break;
            }
            discard(disk, path)?;
            removed += 1;
        }
        Ok(removed)
    }
}
