//! Everything that can be wrong in a state directory, found without changing it.

use std::path::Path;

use super::archive;
use super::disk::Disk;
use super::error::{Damage, StoreError};
use super::frame::{End, Walked, walk};
use super::header::{HEADER_BYTES, Header, Kind};
use super::names::{Layout, missing};
use super::recovery::{Note, scan};
use super::snapshot;
use crate::model::id::Lsn;
use crate::model::replay::Replay;

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong, file by file. Empty: the directory is whole.
    pub findings: Vec<StoreError>,
    /// What recovery would say.
    pub notes: Vec<Note>,
    /// The last fact recovery would reach; none if it would refuse.
    pub last: Option<Lsn>,
    /// Snapshots looked at.
    pub snapshots: usize,
    /// Segments looked at.
    pub segments: usize,
    /// Archives looked at.
    pub archives: usize,
    /// Good records in them.
    pub records: u64,
}

/// Looks at every byte of a state directory: both snapshots, all segments, the archive.
///
/// # Errors
/// Only if the directory cannot be listed; all else is a finding.
pub fn check<S: Replay>(disk: &dyn Disk, dir: &Path, server: &[u8; 32]) -> Result<Report, StoreError> {
    let mut report = check_files::<S>(disk, dir, server)?;
    if Layout::read(disk, dir)?.unfinished_copy {
        report.last = None;
        report.findings.push(StoreError::UnfinishedCopy { dir: dir.to_owned() });
    }
    Ok(report)
}

/// As [`check`], also for a copy that is not finished.
pub(crate) fn check_files<S: Replay>(disk: &dyn Disk, dir: &Path, server: &[u8; 32]) -> Result<Report, StoreError> {
    let layout = Layout::read(disk, dir)?;
    let mut report = Report {
        snapshots: layout.snapshots.len(),
        segments: layout.segments.len(),
        archives: layout.archives.len(),
        ..Report::default()
    };
    for (last, path) in &layout.snapshots {
        report.found(snapshot::read::<S>(disk, path, *last, server).err());
    }
    report.segments(disk, dir, &layout, server);
    report.archives::<S>(disk, dir, &layout, server);
    match scan::<S>(disk, dir, server) {
        Ok(scan) => {
            let torn = scan.torn().map(|(file, byte, bytes)| Note::TailCut { file: file.to_owned(), byte, bytes });
            report.last = Some(scan.progress.last());
            report.notes = scan.notes;
            report.notes.extend(torn);
        }
        Err(error) => report.found(Some(error)),
    }
    Ok(report)
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds what is wrong, once.
    fn found(&mut self, error: Option<StoreError>) {
        let Some(error) = error else { return };
        let text = error.to_string();
        if !self.findings.iter().any(|finding| finding.to_string() == text) {
            self.findings.push(error);
        }
    }

    /// Each segment by itself and against the one before it.
    fn segments(&mut self, disk: &dyn Disk, dir: &Path, layout: &Layout, server: &[u8; 32]) {
        let oldest = layout.snapshots.first().map_or(Lsn(0), |(last, _)| *last);
        let mut expected = layout.segments.first().map_or(oldest, |(first, _)| (*first).min(oldest.plus(1)));
        let mut chain = None;
        let last = layout.segments.len().saturating_sub(1);
        for (index, (first, path)) in layout.segments.iter().enumerate() {
            if *first != expected && expected > Lsn(0) {
                self.found(Some(missing(dir, expected)));
                chain = None;
            }
            match segment(disk, path, *first, server, chain, last - index) {
                Ok((next, crc)) => (expected, chain) = (next, Some(crc)),
                Err(error) => {
                    self.found(Some(error));
                    // What it should hold ends where the next begins.
                    expected = layout.segments.get(index + 1).map_or(Lsn(0), |(first, _)| *first);
                    chain = None;
                }
            }
        }
    }

    /// Each archive by itself, and the gaps between them.
    fn archives<S: Replay>(&mut self, disk: &dyn Disk, dir: &Path, layout: &Layout, server: &[u8; 32]) {
        for (first, last, path) in &layout.archives {
            let mut records = 0;
            let read = archive::read_file::<S::Retired>(disk, path, server, (*first, *last), |_, _| records += 1);
            self.records += records;
            self.found(read.err());
        }
        for (first, last) in archive::gaps(layout) {
            self.found(Some(archive::gap(dir, Lsn(first.0 - 1), last.plus(1))));
        }
    }
}

/// Reads one segment, `after` which come that many, and returns what the next one must begin with.
fn segment(
    disk: &dyn Disk,
    path: &Path,
    first: Lsn,
    server: &[u8; 32],
    chain: Option<u32>,
    after: usize,
) -> Result<(Lsn, u32), StoreError> {
    let bytes = disk.read(path).map_err(StoreError::io("read", path))?;
    let header = match Header::read(path, &bytes, Kind::Journal, server) {
        // Its making may have been interrupted; whether it was is for recovery to decide.
        Err(StoreError::Damaged { .. }) if after == 0 && bytes.len() <= HEADER_BYTES => return Ok((first, 0)),
        read => read?,
    };
    let damaged = |at, why| Err(StoreError::damaged(path, at, why));
    if header.first != first {
        return damaged(0, Damage::Order { expected: first, found: header.first });
    }
    if chain.is_some_and(|chain| chain != header.chain) {
        return damaged(0, Damage::Chain);
    }
    let Walked { end, next, .. } = walk(&bytes, &header);
    match end {
        End::Rotten { at, why } => damaged(at, why),
        // The one before the last may be unsealed if the last has no frames yet; recovery decides.
        End::Torn { at, why } if after > 1 => damaged(at, why),
        End::Open if after > 1 => damaged(bytes.len(), Damage::Unsealed),
        End::Sealed | End::Open | End::Torn { .. } => Ok((next.first, next.before)),
    }
}
