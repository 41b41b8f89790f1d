//! A picture of the state after the last fact of a sealed segment.

use std::path::{Path, PathBuf};

use super::decode::{Misfit, decode_in_order};
use super::disk::Disk;
use super::error::{Damage, StoreError};
use super::header::{Header, Kind};
use super::journal::Settings;
use super::names::{self, Layout};
use super::sealed;
use super::segment::Progress;
use crate::model::id::Lsn;
use crate::model::replay::Replay;

/// Where recovery begins.
pub(crate) struct Base<S> {
    /// The state.
    pub(crate) progress: Progress<S>,
    /// The snapshot it came from; none if all facts are in the journal.
    pub(crate) snapshot: Option<PathBuf>,
    /// Newer snapshots that cannot be used, and why.
    pub(crate) unusable: Vec<StoreError>,
}

/// Writes the state of `progress` and returns the file and its size in bytes.
pub(crate) fn write<S: Replay>(
    disk: &dyn Disk,
    dir: &Path,
    settings: &Settings,
    progress: &Progress<S>,
) -> Result<(PathBuf, u64), StoreError> {
    let path = names::snapshot(dir, progress.last());
    let header = Header {
        kind: Kind::Snapshot,
        server: settings.server,
        boot: progress.boot,
        first: Lsn(1),
        last: progress.last(),
        chain: progress.chain,
        salt: settings.salt,
    };
    let bytes = sealed::write(disk, &path, header, |writer| {
        let mut pieces = progress.state.pieces();
        pieces.try_for_each(|piece| writer.push(&piece))
    })?;
    Ok((path, bytes))
}

/// Reads the snapshot of everything up to `last`.
pub(crate) fn read<S: Replay>(
    disk: &dyn Disk,
    path: &Path,
    last: Lsn,
    server: &[u8; 32],
) -> Result<Progress<S>, StoreError> {
    let bytes = disk.read(path).map_err(StoreError::io("read", path))?;
    let (header, frames) = sealed::read(path, &bytes, Kind::Snapshot, server)?;
    if header.last != last {
        let why = Damage::Order { expected: last, found: header.last };
        return Err(StoreError::damaged(path, 0, why));
    }
    let mut state = S::default();
    let absorbed = decode_in_order::<S::Piece>(&frames, |_, pieces| {
        pieces.into_iter().try_for_each(|piece| state.absorb(piece)).map_err(Damage::Unfit)
    });
    absorbed.map_err(|Misfit { at, why }| StoreError::damaged(path, at, why))?;
    Ok(Progress { state, next: last.plus(1), chain: header.chain, boot: header.boot })
}

/// The newest snapshot that can be used, or the beginning if the journal reaches back to it.
pub(crate) fn newest<S: Replay>(disk: &dyn Disk, layout: &Layout, server: &[u8; 32]) -> Result<Base<S>, StoreError> {
    let mut unusable = Vec::new();
    for (last, path) in layout.snapshots.iter().rev() {
        match read(disk, path, *last, server) {
            Ok(progress) => return Ok(Base { progress, snapshot: Some(path.clone()), unusable }),
            Err(error @ (StoreError::Damaged { .. } | StoreError::Io { .. })) => unusable.push(error),
            Err(error) => return Err(error),
        }
    }
    let whole = layout.segments.first().is_none_or(|(first, _)| *first == Lsn(1));
    match unusable.first() {
        Some(error) if !whole || layout.segments.is_empty() => Err(error.clone()),
        Some(_) | None => Ok(Base { progress: Progress::start(), snapshot: None, unusable }),
    }
}
