//! What left the state for good: one sealed file for each snapshot, covering the facts between it and the one before.
//!
//! The files cover the facts from the first to the newest snapshot's without a gap, so that a missing one is noticed.
//! Two may overlap after a crash or a damaged snapshot; the reader skips what it has seen.

use std::path::Path;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::appender::discard;
use super::decode::{Misfit, decode_in_order};
use super::disk::Disk;
use super::error::{Damage, StoreError};
use super::frame::{Frame, Place, find_after};
use super::header::{HEADER_BYTES, Header, Kind};
use super::journal::Settings;
use super::names::{self, Layout};
use super::sealed;
use crate::model::id::Lsn;

/// One record and the last fact of the frame that retired it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Archived<R>(pub(crate) Lsn, pub(crate) R);

/// Writes the archive of the facts `first` to `last`, then removes those it covers.
pub(crate) fn write<R: Serialize>(
    disk: &dyn Disk,
    dir: &Path,
    header: &Header,
    records: &[Archived<R>],
) -> Result<(), StoreError> {
    let path = names::archive(dir, header.first, header.last);
    sealed::write(disk, &path, header.clone(), |writer| records.iter().try_for_each(|record| writer.push(record)))?;
    for (first, last, covered) in Layout::read(disk, dir)?.archives {
        if covered != path && first >= header.first && last <= header.last {
            discard(disk, &covered)?;
        }
    }
    Ok(())
}

/// The header of the archive of the facts `first` to `last`.
pub(crate) const fn header(settings: &Settings, boot: u64, first: Lsn, last: Lsn) -> Header {
    Header { kind: Kind::Archive, server: settings.server, boot, first, last, chain: 0, salt: settings.salt }
}

/// Gives every archived record to `visit`, oldest first, each once, and returns how many there are. Safe while a server
/// is running.
///
/// # Errors
/// Damage, a gap between two files, or as the operating system says.
pub fn read_archive<R: DeserializeOwned + Send>(
    disk: &dyn Disk,
    dir: &Path,
    server: &[u8; 32],
    mut visit: impl FnMut(Lsn, R),
) -> Result<u64, StoreError> {
    let layout = Layout::read(disk, dir)?;
    let mut covered = Lsn(0);
    let mut records = 0;
    for (first, last, path) in &layout.archives {
        if *last <= covered {
            continue;
        }
        if first.0 > covered.0 + 1 {
            return Err(gap(dir, covered, *first));
        }
        let seen = covered;
        read_file(disk, path, server, (*first, *last), |at, record| {
            if at > seen {
                records += 1;
                visit(at, record);
            }
        })?;
        covered = *last;
    }
    Ok(records)
}

/// The ranges of facts that no archive covers, though a snapshot does. Only names are looked at.
pub(crate) fn gaps(layout: &Layout) -> Vec<(Lsn, Lsn)> {
    let end = layout.snapshots.last().map_or(Lsn(0), |(last, _)| *last);
    let mut gaps = Vec::new();
    let mut covered = Lsn(0);
    for (first, last) in layout.archives.iter().map(|(first, last, _)| (*first, *last)).chain([(end.plus(1), end)]) {
        if first.0 > covered.0 + 1 {
            gaps.push((covered.plus(1), Lsn(first.0 - 1)));
        }
        covered = covered.max(last);
    }
    gaps
}

/// The error for the facts after `covered` and before `first`.
pub(crate) fn gap(dir: &Path, covered: Lsn, first: Lsn) -> StoreError {
    StoreError::damaged(&names::archive(dir, covered.plus(1), Lsn(first.0 - 1)), 0, Damage::Missing)
}

/// Gives every record of one file to `visit`.
pub(crate) fn read_file<R: DeserializeOwned + Send>(
    disk: &dyn Disk,
    path: &Path,
    server: &[u8; 32],
    (first, last): (Lsn, Lsn),
    mut visit: impl FnMut(Lsn, R),
) -> Result<(), StoreError> {
    let bytes = disk.read(path).map_err(StoreError::io("read", path))?;
    let (header, frames) = sealed::read(path, &bytes, Kind::Archive, server)?;
    if (header.first, header.last) != (first, last) {
        let why = Damage::Order { expected: first, found: header.first };
        return Err(StoreError::damaged(path, 0, why));
    }
    let read = decode_in_order::<Archived<R>>(&frames, |_, records| {
        records.into_iter().for_each(|Archived(at, record)| visit(at, record));
        Ok(())
    });
    read.map_err(|Misfit { at, why }| StoreError::damaged(path, at, why))
}

/// Every good frame of a damaged file; without its header, which holds the salt, there is none.
pub(crate) fn salvage<'a>(bytes: &'a [u8], header: &Header) -> Vec<Frame<'a>> {
    let mut frames = Vec::new();
    let mut place = Place { salt: header.salt, boot: header.boot, first: header.first_item(), before: 0 };
    let mut at = HEADER_BYTES;
    while let Some(frame) = Frame::read(bytes, at, place.salt).ok().or_else(|| find_after(bytes, at, &place)) {
        at = frame.end();
        place.first = frame.last().plus(1);
        if frame.count > 0 {
            frames.push(frame);
        }
    }
    frames
}
