//! Files that are written once and whole: snapshots and archives.
//!
//! A file gets its name only when all of it, up to its closing frame, is durable and was read back; so a file under its
//! own name that does not end in a closing frame is damaged.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::appender::{discard, sync_parent};
use super::disk::{Disk, DiskFile};
use super::error::{Damage, StoreError};
use super::frame::{self, Frame, Place, encode_item, walk};
use super::header::{Header, Kind};
use super::names::temporary;
use crate::mutant::{Mutant, is_on};

/// A chunk is written when its items have reached this size.
const CHUNK_BYTES: usize = 1024 * 1024;
/// The file is synced after this many bytes, so that no one sync holds up the journal's for long.
const SYNC_BYTES: usize = 8 * CHUNK_BYTES;

/// A sealed file in the making.
pub(crate) struct SealedWriter<'d> {
    disk: &'d dyn Disk,
    path: PathBuf,
    temporary: PathBuf,
    file: Box<dyn DiskFile>,
    header: Header,
    place: Place,
    frames: u64,
    items: u64,
    chunk: Vec<u8>,
    chunk_items: u64,
    unsynced: usize,
}

/// Makes the file `path`: `fill` pushes its items. Durable, read back and under its name on return; after an error
/// nothing is there but a temporary file, and that only if it could not be removed.
pub(crate) fn write(
    disk: &dyn Disk,
    path: &Path,
    header: Header,
    fill: impl FnOnce(&mut SealedWriter<'_>) -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let made = SealedWriter::create(disk, path, header).and_then(|mut writer| {
        fill(&mut writer)?;
        writer.finish()
    });
    if made.is_err() {
        // The first error is the one to tell; recovery removes what stays.
        let _unremoved = discard(disk, &temporary(path));
    }
    made
}

impl<'d> SealedWriter<'d> {
    fn create(disk: &'d dyn Disk, path: &Path, header: Header) -> Result<Self, StoreError> {
        let temporary = temporary(path);
        discard(disk, &temporary)?;
        let mut file = disk.create(&temporary).map_err(StoreError::io("create", &temporary))?;
        file.append(&header.encode()).map_err(StoreError::io("write", &temporary))?;
        let place = Place { salt: header.salt, boot: header.boot, first: header.first_item(), before: header.chain };
        let path = path.to_owned();
        Ok(Self {
            disk,
            path,
            temporary,
            file,
            header,
            place,
            frames: 0,
            items: 0,
            chunk: Vec::new(),
            chunk_items: 0,
            unsynced: 0,
        })
    }

    /// Adds one item.
    pub(crate) fn push<T: Serialize>(&mut self, item: &T) -> Result<(), StoreError> {
        encode_item(&mut self.chunk, item)?;
        self.chunk_items += 1;
        if self.chunk.len() >= CHUNK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Adds the items of a frame as they are.
    pub(crate) fn push_frame(&mut self, frame: &Frame<'_>) -> Result<(), StoreError> {
        self.flush()?;
        self.chunk.extend_from_slice(frame.items);
        self.chunk_items = frame.count;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if self.chunk_items == 0 {
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(self.chunk.len() + frame::FRAME_HEAD_BYTES);
        self.place.before = frame::encode(&mut bytes, self.place, self.chunk_items, &self.chunk)?;
        self.place.first = self.place.first.plus(self.chunk_items);
        self.frames += 1;
        self.items += self.chunk_items;
        self.chunk_items = 0;
        self.chunk.clear();
        self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.append(bytes).map_err(StoreError::io("write", &self.temporary))?;
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.unsynced = 0;
        if is_on(Mutant::SnapshotNotSynced) {
            return Ok(());
        }
        self.file.sync().map_err(StoreError::sync(&self.temporary))
    }

    fn finish(mut self) -> Result<u64, StoreError> {
        self.flush()?;
        let mut seal = Vec::new();
        frame::encode_seal(&mut seal, self.place, self.frames, self.items)?;
        self.write(&seal)?;
        self.sync()?;
        let bytes = self.disk.read(&self.temporary).map_err(StoreError::io("read", &self.temporary))?;
        let (header, _) = read(&self.temporary, &bytes, self.header.kind, &self.header.server)?;
        if header != self.header {
            return Err(StoreError::damaged(&self.temporary, 0, Damage::Header));
        }
        let renamed = self.disk.rename(&self.temporary, &self.path);
        renamed.map_err(StoreError::io("rename", &self.temporary))?;
        sync_parent(self.disk, &self.path)?;
        Ok(bytes.len() as u64)
    }
}

/// The header and the frames of a whole file.
pub(crate) fn read<'a>(
    path: &Path,
    bytes: &'a [u8],
    kind: Kind,
    server: &[u8; 32],
) -> Result<(Header, Vec<Frame<'a>>), StoreError> {
    let header = Header::read(path, bytes, kind, server)?;
    let walked = walk(bytes, &header);
    match walked.end {
        frame::End::Sealed => Ok((header, walked.frames)),
        frame::End::Open => Err(StoreError::damaged(path, walked.good, Damage::Unsealed)),
        frame::End::Torn { at, why } | frame::End::Rotten { at, why } => Err(StoreError::damaged(path, at, why)),
    }
}
