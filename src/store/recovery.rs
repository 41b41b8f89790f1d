//! The state as it was acknowledged, from whatever a crash left.
//!
//! Nothing is changed before everything was read and found good. Then what an interrupted write left is cut, the end is
//! made durable, and only after that may anything be appended. What cannot come from an interrupted write is damage: it
//! is named, and nothing is changed at all.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::appender::{Appender, Position, discard, sync_parent};
use super::archive::gaps;
use super::disk::{Disk, DiskLock};
use super::error::{Damage, StoreError};
use super::frame::{End, walk};
use super::header::{HEADER_BYTES, Header, Kind};
use super::journal::{Journal, Settings};
use super::names::{LOCK, Layout, missing, segment};
use super::segment::Progress;
use super::snapshot;
use crate::model::id::Lsn;
use crate::model::replay::Replay;
use crate::mutant::{Mutant, is_on};

/// A state directory, recovered and locked.
pub struct Recovered<S: Replay> {
    /// With every acknowledged fact.
    pub state: S,
    /// The number of the last fact.
    pub last: Lsn,
    /// The number of the last run of the server that wrote a fact; 0 before the first.
    pub boot: u64,
    /// What was found and done.
    pub notes: Vec<Note>,
    /// Ready to append; its run is the one after `boot`.
    pub journal: Journal<S::Fact>,
}

/// Something the operator may want to know about a recovery that went well.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Note {
    /// There was nothing: a new directory.
    FirstStart,
    /// Recovery began with this snapshot.
    SnapshotUsed {
        /// The file.
        file: PathBuf,
        /// The last fact in it.
        last: Lsn,
    },
    /// A newer snapshot was passed over; nothing is lost by that.
    SnapshotUnusable(StoreError),
    /// Facts were replayed from the journal.
    Replayed {
        /// How many.
        facts: u64,
    },
    /// An interrupted write was cut off. What was in it was never acknowledged.
    TailCut {
        /// The segment.
        file: PathBuf,
        /// Where the cut is.
        byte: u64,
        /// How many bytes went.
        bytes: u64,
    },
    /// A segment that was being made, or a temporary file, was removed.
    Removed {
        /// The file.
        file: PathBuf,
    },
    /// Retired records of these facts are missing; the state itself is whole.
    ArchiveGap {
        /// The first fact.
        first: Lsn,
        /// The last fact.
        last: Lsn,
    },
}

/// What is in a state directory, read without changing anything.
pub(crate) struct Scan<S> {
    pub(crate) progress: Progress<S>,
    pub(crate) notes: Vec<Note>,
    tail: Tail,
    layout: Layout,
}

/// How the journal ends.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// The segment to append to and its good end; none before the first.
    active: Option<(PathBuf, Position)>,
    /// Bytes after the good end.
    torn: u64,
    /// A segment whose making was interrupted.
    unfinished: Option<PathBuf>,
}

/// Recovers the state directory `dir`, making it if it is not there, and takes its lock.
///
/// # Errors
/// [`StoreError::InUse`], [`StoreError::Damaged`], [`StoreError::OtherServer`], [`StoreError::NewerFormat`],
/// [`StoreError::OlderFormat`],
/// [`StoreError::UnfinishedCopy`]: nothing was changed. Others: as the operating system says; call again.
pub fn recover<S: Replay>(disk: &Arc<dyn Disk>, dir: &Path, settings: &Settings) -> Result<Recovered<S>, StoreError> {
    disk.create_dir(dir).map_err(StoreError::io("create", dir))?;
    let lock = take_lock(&**disk, dir)?;
    if Layout::read(&**disk, dir)?.unfinished_copy {
        return Err(StoreError::UnfinishedCopy { dir: dir.to_owned() });
    }
    let Scan { progress, mut notes, tail, layout } = scan::<S>(&**disk, dir, &settings.server)?;
    for file in layout.temporaries.iter().chain(&tail.unfinished) {
        discard(&**disk, file)?;
        notes.push(Note::Removed { file: file.clone() });
    }
    let mut active = match &tail.active {
        Some((path, position)) => {
            if tail.torn > 0 {
                notes.push(Note::TailCut { file: path.clone(), byte: position.len, bytes: tail.torn });
            }
            Appender::resume(&**disk, path, *position, tail.torn)?
        }
        None => {
            notes.push(Note::FirstStart);
            Appender::create(&**disk, &segment(dir, progress.next), &first_header(settings, &progress))?
        }
    };
    sync_parent(&**disk, &dir.join(LOCK))?;
    active.set_boot(if is_on(Mutant::BootNotRaised) { progress.boot } else { progress.boot + 1 });
    let (last, boot) = (progress.last(), progress.boot);
    let journal = Journal::new(Arc::clone(disk), dir, settings.clone(), active, lock);
    let mut state = progress.state;
    // What retired in the replayed facts is archived from the same facts when the next snapshot is made.
    drop(state.retire());
    Ok(Recovered { state, last, boot, notes, journal })
}

/// The lock of a state directory.
pub(crate) fn take_lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, StoreError> {
    let file = dir.join(LOCK);
    disk.lock(&file).map_err(StoreError::io("lock", &file))?.ok_or(StoreError::InUse { file })
}

/// The header of a segment that begins where `progress` ends.
pub(crate) const fn first_header<S>(settings: &Settings, progress: &Progress<S>) -> Header {
    Header {
        kind: Kind::Journal,
        server: settings.server,
        boot: progress.boot,
        first: progress.next,
        last: Lsn(0),
        chain: progress.chain,
        salt: settings.salt,
    }
}

/// Reads everything recovery needs and changes nothing.
pub(crate) fn scan<S: Replay>(disk: &dyn Disk, dir: &Path, server: &[u8; 32]) -> Result<Scan<S>, StoreError> {
    let layout = Layout::read(disk, dir)?;
    let base = snapshot::newest::<S>(disk, &layout, server)?;
    let mut notes: Vec<Note> = base.unusable.into_iter().map(Note::SnapshotUnusable).collect();
    let mut progress = base.progress;
    let before = progress.last();
    if let Some(file) = base.snapshot {
        notes.push(Note::SnapshotUsed { file, last: before });
    }
    let tail = follow(disk, dir, &layout, server, &mut progress)?;
    if progress.last() > before {
        notes.push(Note::Replayed { facts: progress.last().0 - before.0 });
    }
    notes.extend(gaps(&layout).into_iter().map(|(first, last)| Note::ArchiveGap { first, last }));
    Ok(Scan { progress, notes, tail, layout })
}

/// Applies every segment after `progress`. After an error `progress` is where the good facts end.
pub(crate) fn follow<S: Replay>(
    disk: &dyn Disk,
    dir: &Path,
    layout: &Layout,
    server: &[u8; 32],
    progress: &mut Progress<S>,
) -> Result<Tail, StoreError> {
    let segments = layout.segments_from(progress.next);
    let Some(((_, last_path), before)) = segments.split_last() else {
        return if layout.is_empty() { Ok(Tail::default()) } else { Err(missing(dir, progress.next)) };
    };
    let last_bytes = disk.read(last_path).map_err(StoreError::io("read", last_path))?;
    let bare = last_bytes.len() <= HEADER_BYTES;
    let mut tail = Tail::default();
    let full = if bare { before } else { segments };
    for (index, (first, path)) in full.iter().enumerate() {
        if *first > progress.next {
            return Err(missing(dir, progress.next));
        }
        let read;
        let bytes = if path == last_path {
            &last_bytes
        } else {
            read = disk.read(path).map_err(StoreError::io("read", path))?;
            &read
        };
        tail = apply(path, bytes, server, progress, index + 1 == full.len())?;
    }
    match (bare, tail.active.is_some()) {
        (true, _) => finish_bare(dir, segments, &last_bytes, server, progress, tail),
        (false, true) => Ok(tail),
        (false, false) => Err(missing(dir, progress.next)),
    }
}

/// Applies one segment of frames. Only the last of them may be unsealed; the tail then has it as the active one.
fn apply<S: Replay>(
    path: &Path,
    bytes: &[u8],
    server: &[u8; 32],
    progress: &mut Progress<S>,
    last: bool,
) -> Result<Tail, StoreError> {
    let header = Header::read(path, bytes, Kind::Journal, server)?;
    progress.admit(path, &header)?;
    let walked = walk(bytes, &header);
    progress.apply(path, &walked, &mut |_, _| {})?;
    let damaged = |at, why| Err(StoreError::damaged(path, at, why));
    match walked.end.clone() {
        End::Sealed => Ok(Tail::default()),
        End::Open | End::Torn { .. } if last => {
            let active = Some((path.to_owned(), progress.position(&header, &walked)));
            Ok(Tail { active, torn: (bytes.len() - walked.good) as u64, unfinished: None })
        }
        End::Open => damaged(bytes.len(), Damage::Unsealed),
        End::Torn { at, why } | End::Rotten { at, why } => damaged(at, why),
    }
}

/// Decides about a last segment without frames. After a sealed one it is the active one. After an unsealed one it was
/// about to become that when the server died: it goes, and so does one that is the only file and has half a header.
fn finish_bare<S: Replay>(
    dir: &Path,
    segments: &[(Lsn, PathBuf)],
    bytes: &[u8],
    server: &[u8; 32],
    progress: &Progress<S>,
    tail: Tail,
) -> Result<Tail, StoreError> {
    let Some((first, path)) = segments.last() else { return Ok(tail) };
    if *first > progress.next {
        return Err(missing(dir, progress.next));
    }
    let unsealed = tail.active.is_some();
    match Header::read(path, bytes, Kind::Journal, server) {
        Ok(header) => {
            progress.admit(path, &header)?;
            if unsealed {
                return Ok(Tail { unfinished: Some(path.clone()), ..tail });
            }
            Ok(Tail { active: Some((path.clone(), Position::start(&header))), torn: 0, unfinished: None })
        }
        Err(StoreError::Damaged { .. }) if unsealed || *first == Lsn(1) => {
            Ok(Tail { unfinished: Some(path.clone()), ..tail })
        }
        Err(error) => Err(error),
    }
}

impl<S> Scan<S> {
    /// Bytes that recovery would cut off, and of which file.
    pub(crate) fn torn(&self) -> Option<(&Path, u64, u64)> {
        let (path, position) = self.tail.active.as_ref()?;
        (self.tail.torn > 0).then_some((path, position.len, self.tail.torn))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstStart => write!(to, "a new state directory"),
            Self::SnapshotUsed { file, last } => {
                write!(to, "began with {}, which holds all up to fact {}", file.display(), last.0)
            }
            Self::SnapshotUnusable(error) => write!(to, "passed over a snapshot: {error}"),
            Self::Replayed { facts } => write!(to, "replayed {facts} facts"),
            Self::TailCut { file, byte, bytes } => {
                write!(to, "cut {bytes} bytes of an interrupted write off {} at byte {byte}", file.display())
            }
            Self::Removed { file } => write!(to, "removed the unfinished {}", file.display()),
            Self::ArchiveGap { first, last } => {
                write!(to, "the archive lacks what retired in the facts {} to {}", first.0, last.0)
            }
        }
    }
}
