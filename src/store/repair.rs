//! Makes a damaged directory recover again, with as little lost as can be.
//!
//! The state goes back to the last fact before the damage; what comes after cannot be trusted without it. Originals are
//! kept in a folder `damaged-N`; a crash in the middle leaves a directory that can be repaired again.

use std::fmt;
use std::path::{Path, PathBuf};

use super::appender::{Appender, sync_parent};
use super::archive::{gaps, salvage};
use super::check::check;
use super::disk::Disk;
use super::error::{Damage, StoreError};
use super::frame::Frame;
use super::header::{HEADER_BYTES, Header, Kind};
use super::journal::Settings;
use super::names::{self, Layout, temporary};
use super::recovery::{first_header, follow, scan, take_lock};
use super::segment::Progress;
use super::{archive, sealed, snapshot};
use crate::model::id::Lsn;
use crate::model::replay::Replay;

/// What a repair does, and what it costs.
#[derive(Debug, Default)]
pub struct Plan {
    /// What is wrong.
    pub damage: Vec<StoreError>,
    /// The last fact the repaired directory has.
    pub keeps: Lsn,
    /// Facts after it that were once in the journal, as far as the files still show.
    pub lost_facts: u64,
    /// Bytes of the journal that are not used any more.
    pub lost_bytes: u64,
    /// Files that are moved away whole.
    pub aside: Vec<PathBuf>,
    /// Segments that keep only so many bytes.
    pub cuts: Vec<(PathBuf, u64)>,
    /// Facts whose retired records are lost, at least in part.
    pub archive_losses: Vec<(Lsn, Lsn)>,
    /// A segment to begin, so that the sealed one before it has a successor.
    fresh: Option<Header>,
    /// Archives to write anew from what can be read of them.
    mend: Vec<(PathBuf, Header)>,
}

/// Says what a repair would do. Changes nothing.
///
/// # Errors
/// What a repair cannot help with: another server's files, a newer format, an unreadable disk.
pub fn plan_repair<S: Replay>(disk: &dyn Disk, dir: &Path, settings: &Settings) -> Result<Plan, StoreError> {
    let mut layout = Layout::read(disk, dir)?;
    let damage = check::<S>(disk, dir, &settings.server)?.findings;
    if let Some(other) = damage.iter().find(|error| !matches!(error, StoreError::Damaged { .. })) {
        return Err(other.clone());
    }
    let mut plan = Plan { damage, ..Plan::default() };
    let mut progress = match snapshot::newest::<S>(disk, &layout, &settings.server) {
        Ok(base) => base.progress,
        Err(StoreError::Damaged { .. }) => Progress::start(),
        Err(error) => return Err(error),
    };
    let base = progress.last();
    let stop = loop {
        match follow(disk, dir, &layout, &settings.server, &mut progress) {
            Ok(_) => break None,
            // Bytes after a closing frame are in nobody's way once they are cut off: the journal goes on after it.
            Err(StoreError::Damaged { file, byte, why: Damage::AfterSeal, .. }) => plan.cuts.push((file, byte)),
            Err(StoreError::Damaged { file, byte, .. }) => break Some((file, byte)),
            Err(error) => return Err(error),
        }
    };
    plan.keeps = progress.last();
    plan.set_old_aside(&layout, base);
    if let Some((file, byte)) = stop {
        let open = plan.stop_at(disk, &layout, base, progress.next, (&file, byte))?;
        plan.fresh = (!open && progress.next > Lsn(1)).then(|| first_header(settings, &progress));
    }
    plan.mend_archives(&mut layout, settings, progress.boot);
    Ok(plan)
}

/// Repairs the directory and returns what was done and where the originals are. The directory recovers afterwards.
///
/// # Errors
/// As [`plan_repair`], or as the operating system says: then it may be repeated.
pub fn repair<S: Replay>(
    disk: &dyn Disk,
    dir: &Path,
    settings: &Settings,
) -> Result<(Plan, Option<PathBuf>), StoreError> {
    let _lock = take_lock(disk, dir)?;
    let plan = plan_repair::<S>(disk, dir, settings)?;
    if plan.damage.is_empty() {
        return Ok((plan, None));
    }
    let folder = new_folder(disk, dir)?;
    let rewritten = plan.mend.iter().map(|(path, _)| path).chain(plan.cuts.iter().map(|(path, _)| path));
    for path in rewritten {
        keep_original(disk, path, &folder)?;
    }
    for path in plan.aside.iter().rev() {
        let Some(name) = path.file_name() else { continue };
        disk.rename(path, &folder.join(name)).map_err(StoreError::io("move", path))?;
        sync_parent(disk, &folder.join(name))?;
        sync_parent(disk, path)?;
    }
    for (path, len) in &plan.cuts {
        cut(disk, path, *len)?;
    }
    for (path, header) in &plan.mend {
        mend(disk, path, header, &folder)?;
    }
    if let Some(header) = &plan.fresh {
        drop(Appender::create(disk, &names::segment(dir, header.first), header)?);
    }
    scan::<S>(disk, dir, &settings.server)?;
    Ok((plan, Some(folder)))
}

impl Plan {
    /// Damaged snapshots go; if a segment from before the usable snapshot is damaged or missing, so does all that only
    /// made sense together with it.
    fn set_old_aside(&mut self, layout: &Layout, base: Lsn) {
        let damaged: Vec<&PathBuf> = self.damage.iter().filter_map(damaged_file).collect();
        let old = |path: &&PathBuf| names::segment_number(path).is_some_and(|first| first <= base);
        let broken = damaged.iter().any(old);
        let snapshots =
            layout.snapshots.iter().filter(|(last, path)| damaged.contains(&path) || broken && *last < base);
        let segments = layout.segments.iter().filter(|(first, _)| broken && *first <= base);
        self.aside = snapshots.chain(segments).map(|(_, path)| path.clone()).collect();
    }

    /// The journal ends at the first damage after the snapshot: the damaged segment is cut there, and what comes after
    /// goes. Says whether a segment was cut, which is then the open one.
    fn stop_at(
        &mut self,
        disk: &dyn Disk,
        layout: &Layout,
        base: Lsn,
        next: Lsn,
        (file, byte): (&Path, u64),
    ) -> Result<bool, StoreError> {
        let mut open = false;
        let mut highest = self.keeps;
        for (first, path) in layout.segments_from(base.plus(1)) {
            let damaged = path == file;
            if !damaged && *first < next {
                continue;
            }
            let bytes = disk.read(path).map_err(StoreError::io("read", path))?;
            highest = highest.max(Lsn(first.0 - 1)).max(last_fact(path, &bytes));
            if damaged && byte >= HEADER_BYTES as u64 {
                open = true;
                self.lost_bytes += bytes.len() as u64 - byte;
                self.cuts.push((path.clone(), byte));
            } else {
                self.lost_bytes += bytes.len() as u64;
                self.aside.push(path.clone());
            }
        }
        self.lost_facts = highest.0 - self.keeps.0;
        Ok(open)
    }

    /// Archives of facts that are lost go: what retired before the loss retires again. Damaged ones keep what can be
    /// read. A missing one becomes an empty one, so that a later loss is seen.
    fn mend_archives(&mut self, layout: &mut Layout, settings: &Settings, boot: u64) {
        let keeps = self.keeps;
        let beyond = |(_, last, _): &(Lsn, Lsn, PathBuf)| *last > keeps;
        self.aside.extend(layout.archives.iter().filter(|range| beyond(range)).map(|(_, _, path)| path.clone()));
        layout.archives.retain(|(_, _, path)| !self.aside.contains(path));
        layout.snapshots.retain(|(_, path)| !self.aside.contains(path));
        for (first, last, path) in &layout.archives {
            if self.damage.iter().filter_map(damaged_file).any(|damaged| damaged == path) {
                self.mend.push((path.clone(), archive::header(settings, boot, *first, *last)));
            }
        }
        let dir = self.mend.first().map(|(path, _)| path.clone());
        let dir = dir.or_else(|| layout.files().next().cloned()).and_then(|path| path.parent().map(Path::to_owned));
        for (first, last) in gaps(layout) {
            let Some(dir) = &dir else { continue };
            self.mend.push((names::archive(dir, first, last), archive::header(settings, boot, first, last)));
        }
        self.archive_losses = self.mend.iter().map(|(_, header)| (header.first, header.last)).collect();
    }
}

/// The file a finding is about.
fn damaged_file(error: &StoreError) -> Option<&PathBuf> {
    if let StoreError::Damaged { file, .. } = error { Some(file) } else { None }
}

/// The last fact that is readable in a segment.
fn last_fact(path: &Path, bytes: &[u8]) -> Lsn {
    let Some(header) = Header::peek(path, bytes, Kind::Journal) else { return Lsn(0) };
    salvage(bytes, &header).last().map_or(Lsn(0), Frame::last)
}

/// The first folder of its kind without files.
fn new_folder(disk: &dyn Disk, dir: &Path) -> Result<PathBuf, StoreError> {
    let mut number = 1;
    loop {
        let folder = dir.join(format!("damaged-{number}"));
        if disk.list(&folder).map_err(StoreError::io("list", &folder))?.is_empty() {
            disk.create_dir(&folder).map_err(StoreError::io("create", &folder))?;
            return Ok(folder);
        }
        number += 1;
    }
}

/// Copies a file that will be written anew; a missing one has no original.
fn keep_original(disk: &dyn Disk, path: &Path, folder: &Path) -> Result<(), StoreError> {
    let bytes = match disk.read(path).map_err(StoreError::io("read", path)) {
        Err(error) if error.is_gone() => return Ok(()),
        read => read?,
    };
    let Some(name) = path.file_name() else { return Ok(()) };
    write_file(disk, &folder.join(name), &bytes)
}

/// A new file with these bytes, durable on return.
pub(crate) fn write_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut file = disk.create(path).map_err(StoreError::io("create", path))?;
    file.append(bytes).map_err(StoreError::io("write", path))?;
    file.sync().map_err(StoreError::sync(path))?;
    sync_parent(disk, path)
}

/// Replaces a file by its first `len` bytes.
fn cut(disk: &dyn Disk, path: &Path, len: u64) -> Result<(), StoreError> {
    let mut bytes = disk.read(path).map_err(StoreError::io("read", path))?;
    bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
    let short = temporary(path);
    super::appender::discard(disk, &short)?;
    write_file(disk, &short, &bytes)?;
    disk.rename(&short, path).map_err(StoreError::io("rename", &short))?;
    sync_parent(disk, path)
}

/// Writes an archive anew with every good frame of the original in `folder`.
fn mend(disk: &dyn Disk, path: &Path, header: &Header, folder: &Path) -> Result<(), StoreError> {
    let original = path.file_name().map(|name| folder.join(name)).and_then(|copy| disk.read(&copy).ok());
    let bytes = original.unwrap_or_default();
    let old = Header::peek(path, &bytes, Kind::Archive);
    let frames = old.map_or_else(Vec::new, |old| salvage(&bytes, &old));
    sealed::write(disk, path, header.clone(), |writer| frames.iter().try_for_each(|frame| writer.push_frame(frame)))?;
    Ok(())
}

impl fmt::Display for Plan {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.damage.is_empty() {
            return write!(to, "nothing is damaged");
        }
        for error in &self.damage {
            writeln!(to, "damage: {error}")?;
        }
        writeln!(to, "kept: all up to fact {}", self.keeps.0)?;
        writeln!(to, "lost: at least {} facts, {} bytes of the journal", self.lost_facts, self.lost_bytes)?;
        for (first, last) in &self.archive_losses {
            writeln!(to, "lost: records that retired in the facts {} to {}, as far as unreadable", first.0, last.0)?;
        }
        for path in &self.aside {
            writeln!(to, "moved away: {}", path.display())?;
        }
        self.cuts.iter().try_for_each(|(path, len)| writeln!(to, "cut to {len} bytes: {}", path.display()))
    }
}
