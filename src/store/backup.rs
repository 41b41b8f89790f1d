//! Copies of a state directory: made while a server runs on it, and put back.
//!
//! The order makes a copy consistent: snapshots, then archives, then the journal, so that each part has what the parts
//! copied before it rest on. A copy in the making is marked and recovery refuses it; a finished one has passed the check.

use std::path::Path;

use super::appender::discard;
use super::check::{Report, check, check_files};
use super::disk::Disk;
use super::error::StoreError;
use super::frame::{End, walk};
use super::header::{HEADER_BYTES, Header, Kind};
use super::names::{Layout, RESTORED, UNFINISHED_COPY};
use super::recovery::take_lock;
use super::repair::write_file;
use crate::model::id::Lsn;
use crate::model::replay::Replay;

/// How often a copy is begun anew because a snapshot was made meanwhile.
const ATTEMPTS_MAX: usize = 10;

/// Copies the state in `from`, on which a server may be running, to the directory `to`, which must hold no state. All
/// that was acknowledged before the call is in the copy.
///
/// # Errors
/// [`StoreError::NoState`], [`StoreError::NotEmpty`], [`StoreError::Restless`], damage, or as the operating system says.
pub fn backup<S: Replay>(disk: &dyn Disk, from: &Path, to: &Path, server: &[u8; 32]) -> Result<Report, StoreError> {
    begin(disk, from, to)?;
    let report = copy_whole::<S>(disk, from, to, server)?;
    discard(disk, &to.join(UNFINISHED_COPY))?;
    Ok(report)
}

/// Puts a backup back into `to`, which must hold no state, and leaves the marker [`RESTORED`] there.
///
/// # Errors
/// As [`backup`]; a damaged backup is refused before anything is written.
pub fn restore<S: Replay>(disk: &dyn Disk, from: &Path, to: &Path, server: &[u8; 32]) -> Result<Report, StoreError> {
    if let Some(damage) = check::<S>(disk, from, server)?.findings.into_iter().next() {
        return Err(damage);
    }
    begin(disk, from, to)?;
    let _lock = take_lock(disk, to)?;
    let report = copy_whole::<S>(disk, from, to, server)?;
    discard(disk, &to.join(RESTORED))?;
    write_file(disk, &to.join(RESTORED), b"")?;
    discard(disk, &to.join(UNFINISHED_COPY))?;
    Ok(report)
}

/// Marks `to` as unfinished.
fn begin(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), StoreError> {
    if Layout::read(disk, from)?.is_empty() {
        return Err(StoreError::NoState { dir: from.to_owned() });
    }
    disk.create_dir(to).map_err(StoreError::io("create", to))?;
    let there = Layout::read(disk, to)?;
    if there.unfinished_copy {
        return Ok(());
    }
    if !there.is_empty() {
        return Err(StoreError::NotEmpty { dir: to.to_owned() });
    }
    write_file(disk, &to.join(UNFINISHED_COPY), b"")
}

/// Copies until the copy is whole: a running server may remove a file that was listed just before.
fn copy_whole<S: Replay>(disk: &dyn Disk, from: &Path, to: &Path, server: &[u8; 32]) -> Result<Report, StoreError> {
    let mut last = StoreError::Restless { dir: from.to_owned() };
    for _ in 0..ATTEMPTS_MAX {
        for path in Layout::read(disk, to)?.files() {
            discard(disk, path)?;
        }
        match copy(disk, from, to, server) {
            Err(error) if error.is_gone() => continue,
            copied => copied?,
        }
        let report = check_files::<S>(disk, to, server)?;
        match report.findings.first() {
            None => return Ok(report),
            Some(damage) => last = damage.clone(),
        }
    }
    Err(last)
}

fn copy(disk: &dyn Disk, from: &Path, to: &Path, server: &[u8; 32]) -> Result<(), StoreError> {
    let layout = Layout::read(disk, from)?;
    let snapshots = layout.snapshots.iter().map(|(_, path)| path);
    for path in snapshots.chain(layout.archives.iter().map(|(_, _, path)| path)) {
        let bytes = disk.read(path).map_err(StoreError::io("read", path))?;
        copy_file(disk, path, to, &bytes)?;
    }
    let mut next = layout.segments.first().map_or(Lsn(1), |(first, _)| *first);
    // A segment that was sealed while it was copied has a successor by then.
    while let Some(after) = copy_segments(disk, from, to, server, next)? {
        next = after;
    }
    Ok(())
}

/// Copies the segments from `next` on, up to the first that is not sealed, which is cut to its whole frames. Returns
/// what must come next if none was.
fn copy_segments(
    disk: &dyn Disk,
    from: &Path,
    to: &Path,
    server: &[u8; 32],
    next: Lsn,
) -> Result<Option<Lsn>, StoreError> {
    let mut after = None;
    for (_, path) in Layout::read(disk, from)?.segments_from(next) {
        let bytes = disk.read(path).map_err(StoreError::io("read", path))?;
        let header = match Header::read(path, &bytes, Kind::Journal, server) {
            // It is just being made.
            Err(StoreError::Damaged { .. }) if bytes.len() <= HEADER_BYTES => return Ok(None),
            read => read?,
        };
        let walked = walk(&bytes, &header);
        if let End::Rotten { at, why } = walked.end {
            return Err(StoreError::damaged(path, at, why));
        }
        copy_file(disk, path, to, &bytes[..walked.good])?;
        if walked.end != End::Sealed {
            return Ok(None);
        }
        after = Some(walked.next.first);
    }
    Ok(after)
}

fn copy_file(disk: &dyn Disk, path: &Path, to: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    path.file_name().map_or(Ok(()), |name| write_file(disk, &to.join(name), bytes))
}
