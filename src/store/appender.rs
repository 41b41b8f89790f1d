//! The one place where frames go to the end of a file that grows.
//!
//! Invariant: the file holds whole frames up to `len`, all synced; a frame is written once, then synced once. A write
//! that finds the disk full is taken back and may be repeated. After any other failure nothing is known of the end of
//! the file: the appender is broken for good and says so to every later call.

use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::frame::{self, Place};
use super::header::{HEADER_BYTES, Header};
use crate::mutant::{Mutant, is_on};

/// The end of a file of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Where the next frame stands.
    pub(crate) place: Place,
    /// Bytes of header and whole frames.
    pub(crate) len: u64,
    /// Whole frames.
    pub(crate) frames: u64,
    /// Items in them.
    pub(crate) items: u64,
}

/// A file of frames, open for appending.
pub(crate) struct Appender {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    at: Position,
    frame: Vec<u8>,
    broken: Option<StoreError>,
}

impl Position {
    /// The end of a file that holds its header only.
    pub(crate) const fn start(header: &Header) -> Self {
        let place = Place { salt: header.salt, boot: header.boot, first: header.first_item(), before: header.chain };
        Self { place, len: HEADER_BYTES as u64, frames: 0, items: 0 }
    }
}

impl Appender {
    /// Makes the file, which must not exist; its header and its name are durable on return. After `Full` it is not
    /// there.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, header: &Header) -> Result<Self, StoreError> {
        let made = Self::write_new(disk, path, header);
        if let Err(StoreError::Full { .. }) = made {
            discard(disk, path)?;
        }
        made
    }

    fn write_new(disk: &dyn Disk, path: &Path, header: &Header) -> Result<Self, StoreError> {
        let mut file = disk.create(path).map_err(StoreError::io("create", path))?;
        file.append(&header.encode()).map_err(StoreError::io("write", path))?;
        file.sync().map_err(StoreError::sync(path))?;
        sync_parent(disk, path)?;
        Ok(Self::at(file, path, Position::start(header)))
    }

    /// Opens the file at its last whole frame: what comes after, `torn` bytes, is cut, and all before is made durable,
    /// because a process that was killed may have left good frames which are not on the disk yet.
    pub(crate) fn resume(disk: &dyn Disk, path: &Path, at: Position, torn: u64) -> Result<Self, StoreError> {
        let mut file = disk.open(path).map_err(StoreError::io("open", path))?;
        if torn > 0 && !is_on(Mutant::TornTailKept) {
            file.truncate(at.len).map_err(StoreError::io("cut", path))?;
        }
        file.sync().map_err(StoreError::sync(path))?;
        sync_parent(disk, path)?;
        Ok(Self::at(file, path, at))
    }

    fn at(file: Box<dyn DiskFile>, path: &Path, at: Position) -> Self {
        Self { file, path: path.to_owned(), at, frame: Vec::new(), broken: None }
    }

    /// The end.
    pub(crate) const fn position(&self) -> Position {
        self.at
    }

    /// Frames from here on are of this run.
    pub(crate) const fn set_boot(&mut self, boot: u64) {
        self.at.place.boot = boot;
    }

    /// Whether it can be used at all.
    pub(crate) fn usable(&self) -> Result<(), StoreError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Says `error` to every later call.
    pub(crate) fn break_with(&mut self, error: StoreError) -> StoreError {
        self.broken = Some(error.clone());
        error
    }

    /// Appends one frame of `count` items, durable on return.
    pub(crate) fn push(&mut self, count: u64, items: &[u8]) -> Result<(), StoreError> {
        self.usable()?;
        self.frame.clear();
        let before = frame::encode(&mut self.frame, self.at.place, count, items)?;
        self.write()?;
        self.at.place.before = before;
        self.at.place.first = self.at.place.first.plus(count);
        self.at.frames += 1;
        self.at.items += count;
        Ok(())
    }

    /// Appends the closing frame, durable on return; nothing may follow.
    pub(crate) fn seal(&mut self) -> Result<(), StoreError> {
        self.usable()?;
        self.frame.clear();
        frame::encode_seal(&mut self.frame, self.at.place, self.at.frames, self.at.items)?;
        self.write()
    }

    /// Takes back what was appended after `position`.
    pub(crate) fn back_to(&mut self, position: Position) -> Result<(), StoreError> {
        assert!(position.len <= self.at.len, "a file can only be cut back");
        self.at = position;
        let cut = self.file.truncate(self.at.len).map_err(StoreError::io("cut", &self.path));
        let cut = cut.and_then(|()| self.file.sync().map_err(StoreError::sync(&self.path)));
        cut.map_err(|error| self.break_with(error))
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.file.append(&self.frame) {
            let error = StoreError::io("write", &self.path)(error);
            if matches!(error, StoreError::Full { .. }) {
                self.back_to(self.at)?;
                return Err(error);
            }
            return Err(self.break_with(error));
        }
        let synced = if is_on(Mutant::SyncSkipped) { Ok(()) } else { self.file.sync() };
        if let Err(error) = synced
            && !is_on(Mutant::SyncErrorIgnored)
        {
            let error = StoreError::sync(&self.path)(error);
            return Err(self.break_with(error));
        }
        self.at.len += self.frame.len() as u64;
        Ok(())
    }
}

/// Removes a file if it is there, for good on return.
pub(crate) fn discard(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        removed => removed.map_err(StoreError::io("remove", path))?,
    }
    sync_parent(disk, path)
}

/// Makes the name of a file durable.
pub(crate) fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    if is_on(Mutant::StoreNamesNotSynced) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(path);
    disk.sync_dir(dir).map_err(StoreError::sync(dir))
}
