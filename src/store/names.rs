//! The names of a state directory's files, and what of them is there.
//!
//! Names carry the numbers of the facts, so that a listing alone shows the order and the gaps.

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::error::{Damage, StoreError};
use crate::model::id::Lsn;

/// The exclusive lock of a state directory.
pub const LOCK: &str = "lock";
/// Says that the directory came from a backup; the server reads it at start.
pub const RESTORED: &str = "restored";
/// Says that a copy into the directory is not whole.
pub(crate) const UNFINISHED_COPY: &str = "unfinished-copy";
/// Ends the name of a file that is being made.
const TEMPORARY: &str = ".tmp";

/// The files of a state directory, each kind in order.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// By the last fact they hold.
    pub(crate) snapshots: Vec<(Lsn, PathBuf)>,
    /// By their first fact.
    pub(crate) segments: Vec<(Lsn, PathBuf)>,
    /// By the first and the last fact they cover.
    pub(crate) archives: Vec<(Lsn, Lsn, PathBuf)>,
    /// Left behind by a crash, or being made.
    pub(crate) temporaries: Vec<PathBuf>,
    /// A copy into this directory is not whole.
    pub(crate) unfinished_copy: bool,
}

impl Layout {
    /// Reads the names.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Self, StoreError> {
        let mut layout = Self::default();
        for path in disk.list(dir).map_err(StoreError::io("list", dir))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if name.ends_with(TEMPORARY) {
                layout.temporaries.push(path);
            } else if let Some(first) = segment_number(&path) {
                layout.segments.push((first, path));
            } else if let Some(last) = number(name, "snapshot-", ".snap") {
                layout.snapshots.push((last, path));
            } else if let Some((first, last)) = range(name) {
                layout.archives.push((first, last, path));
            } else if name == UNFINISHED_COPY {
                layout.unfinished_copy = true;
            }
        }
        Ok(layout)
    }

    /// Whether nothing was ever written here.
    pub(crate) const fn is_empty(&self) -> bool {
        self.snapshots.is_empty() && self.segments.is_empty() && self.archives.is_empty()
    }

    /// The segments that begin at or after `next`.
    pub(crate) fn segments_from(&self, next: Lsn) -> &[(Lsn, PathBuf)] {
        let before = self.segments.partition_point(|(first, _)| *first < next);
        &self.segments[before..]
    }

    /// Every file that belongs to the state.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let snapshots = self.snapshots.iter().map(|(_, path)| path);
        let archives = self.archives.iter().map(|(_, _, path)| path);
        snapshots.chain(archives).chain(self.segments.iter().map(|(_, path)| path))
    }
}

/// The journal segment that begins with `first`.
pub(crate) fn segment(dir: &Path, first: Lsn) -> PathBuf {
    dir.join(format!("journal-{:020}.log", first.0))
}

/// The first fact a segment's name speaks of.
pub(crate) fn segment_number(path: &Path) -> Option<Lsn> {
    number(path.file_name()?.to_str()?, "journal-", ".log")
}

/// The snapshot of everything up to `last`.
pub(crate) fn snapshot(dir: &Path, last: Lsn) -> PathBuf {
    dir.join(format!("snapshot-{:020}.snap", last.0))
}

/// The archive of what retired in the facts `first` to `last`.
pub(crate) fn archive(dir: &Path, first: Lsn, last: Lsn) -> PathBuf {
    dir.join(format!("archive-{:020}-{:020}.arc", first.0, last.0))
}

/// The name under which a file is made before it gets its own.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY);
    name.into()
}

/// The error for a segment that is not there.
pub(crate) fn missing(dir: &Path, first: Lsn) -> StoreError {
    StoreError::damaged(&segment(dir, first), 0, Damage::Missing)
}

/// The number between two fixed parts; only the form we write ourselves is ours.
fn number(name: &str, before: &str, after: &str) -> Option<Lsn> {
    digits(name.strip_prefix(before)?.strip_suffix(after)?)
}

fn range(name: &str) -> Option<(Lsn, Lsn)> {
    let (first, last) = name.strip_prefix("archive-")?.strip_suffix(".arc")?.split_once('-')?;
    Some((digits(first)?, digits(last)?))
}

fn digits(text: &str) -> Option<Lsn> {
    let plain = text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok().map(Lsn) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::faulty::FaultyDisk;

    #[test]
    fn names_are_read_back_in_order_and_others_are_left_alone() {
        let disk = FaultyDisk::new();
        let dir = Path::new("state");
        disk.create_dir(dir).unwrap();
        let ours =
            [segment(dir, Lsn(101)), segment(dir, Lsn(1)), snapshot(dir, Lsn(100)), archive(dir, Lsn(1), Lsn(100))];
        let others = [dir.join("README.md"), dir.join("journal-1.log"), dir.join("journal-+0000000000000000001.log")];
        let temporary = temporary(&snapshot(dir, Lsn(200)));
        for path in ours.iter().chain(&others).chain([&temporary]) {
            drop(disk.create(path).unwrap());
        }
        let layout = Layout::read(&disk, dir).unwrap();
        assert_eq!(layout.segments.iter().map(|(first, _)| first.0).collect::<Vec<_>>(), [1, 101]);
        assert_eq!(layout.snapshots, [(Lsn(100), ours[2].clone())]);
        assert_eq!(layout.archives, [(Lsn(1), Lsn(100), ours[3].clone())]);
        assert_eq!(layout.temporaries, [temporary]);
        assert_eq!(layout.files().count(), ours.len());
        assert_eq!(layout.segments_from(Lsn(2)).len(), 1);
        assert!(!layout.unfinished_copy && !layout.is_empty());
    }
}
