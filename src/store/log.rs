//! A small file of opaque records that only grows: what a client knows of one match.
//!
//! The same frames as the journal's, one for each append, and the same rules: a torn tail is cut before anything is
//! appended, damage is refused, a failed sync is final.

use std::io;
use std::path::Path;

use serde_bytes::{ByteBuf, Bytes};

use super::appender::{Appender, Position, discard};
use super::decode::{Misfit, decode_in_order};
use super::disk::Disk;
use super::error::StoreError;
use super::frame::{End, encode_item, walk};
use super::header::{HEADER_BYTES, Header, Kind};
use crate::model::id::Lsn;

/// Records on the disk, open for appending.
pub struct RecordLog {
    active: Appender,
    items: Vec<u8>,
}

/// A log, opened, and what it held.
pub struct OpenedLog {
    /// To append to.
    pub log: RecordLog,
    /// All records, oldest first.
    pub records: Vec<Vec<u8>>,
    /// Bytes of an interrupted append that were cut off.
    pub bytes_cut: u64,
}

/// What the bytes of a log say.
struct Content {
    records: Vec<Vec<u8>>,
    /// Where the next frame goes.
    at: Position,
    /// Bytes after the last good frame.
    bytes_cut: u64,
}

impl RecordLog {
    /// Opens the log at `path` or makes it. `owner` is in its header and must be the same each time; `salt` is random
    /// and used when the file is made.
    ///
    /// # Errors
    /// Damage, another owner, a newer format, or as the operating system says.
    pub fn open(disk: &dyn Disk, path: &Path, owner: [u8; 32], salt: u64) -> Result<OpenedLog, StoreError> {
        let new = Header { kind: Kind::Records, server: owner, boot: 0, first: Lsn(1), last: Lsn(0), chain: 0, salt };
        let bytes = match disk.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::make(disk, path, &new),
            read => read.map_err(StoreError::io("read", path))?,
        };
        match Content::of(path, &bytes, &owner) {
            // Nothing is written behind a header before it is durable: its making was interrupted.
            Err(StoreError::Damaged { .. }) if bytes.len() <= HEADER_BYTES => {
                discard(disk, path)?;
                Self::make(disk, path, &new)
            }
            Err(error) => Err(set_aside(error)),
            Ok(Content { records, at, bytes_cut }) => {
                let active = Appender::resume(disk, path, at, bytes_cut)?;
                Ok(OpenedLog { log: Self { active, items: Vec::new() }, records, bytes_cut })
            }
        }
    }

    /// The records of the log at `path` as [`open`](Self::open) would find them, oldest first. Changes nothing.
    ///
    /// # Errors
    /// As [`open`](Self::open); a log that is not there or was never begun has no records.
    pub fn read(disk: &dyn Disk, path: &Path, owner: &[u8; 32]) -> Result<Vec<Vec<u8>>, StoreError> {
        let bytes = match disk.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(StoreError::io("read", path))?,
        };
        match Content::of(path, &bytes, owner) {
            Err(StoreError::Damaged { .. }) if bytes.len() <= HEADER_BYTES => Ok(Vec::new()),
            content => content.map(|content| content.records),
        }
    }

    fn make(disk: &dyn Disk, path: &Path, header: &Header) -> Result<OpenedLog, StoreError> {
        let log = Self { active: Appender::create(disk, path, header)?, items: Vec::new() };
        Ok(OpenedLog { log, records: Vec::new(), bytes_cut: 0 })
    }

    /// Appends the records, all or none, durable on return.
    ///
    /// # Errors
    /// As [`super::Journal::append`].
    pub fn append(&mut self, records: &[&[u8]]) -> Result<(), StoreError> {
        self.items.clear();
        for record in records {
            encode_item(&mut self.items, Bytes::new(record))?;
        }
        if records.is_empty() { self.active.usable() } else { self.active.push(records.len() as u64, &self.items) }
    }
}

impl Content {
    fn of(path: &Path, bytes: &[u8], owner: &[u8; 32]) -> Result<Self, StoreError> {
        let header = Header::read(path, bytes, Kind::Records, owner)?;
        let walked = walk(bytes, &header);
        match walked.end {
            End::Open | End::Torn { .. } => {}
            End::Rotten { at, why } => return Err(StoreError::damaged(path, at, why)),
            End::Sealed => return Err(StoreError::damaged(path, walked.good, super::Damage::Seal)),
        }
        let mut records = Vec::new();
        decode_in_order::<ByteBuf>(&walked.frames, |_, items| {
            records.extend(items.into_iter().map(ByteBuf::into_vec));
            Ok(())
        })
        .map_err(|Misfit { at, why }| StoreError::damaged(path, at, why))?;
        let frames = walked.frames.len() as u64;
        let at = Position { place: walked.next, len: walked.good as u64, frames, items: records.len() as u64 };
        Ok(Self { records, at, bytes_cut: (bytes.len() - walked.good) as u64 })
    }
}

/// A client's file is repaired by setting it aside: the other keepers have what was in it.
fn set_aside(error: StoreError) -> StoreError {
    let StoreError::Damaged { file, byte, why, .. } = error else { return error };
    let repair = format!("rename {} and start again", file.display());
    StoreError::Damaged { file, byte, why, repair }
}
