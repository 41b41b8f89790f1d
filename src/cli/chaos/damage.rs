//! What is done to files while nobody has them open.
//!
//! What must hold: what is changed can be put back byte by byte.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::store::faulty::Seeded;

/// A file as it was.
pub(super) struct Original {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Original {
    /// Puts it back.
    ///
    /// # Errors
    /// As the disk says.
    pub(super) fn put_back(self) -> anyhow::Result<()> {
        fs::write(&self.path, &self.bytes).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Turns one bit around, in the middle of one of the larger files.
///
/// # Errors
/// As the disk says, or when there is nothing to damage.
pub(super) fn flip(state: &Path, seeded: &mut Seeded) -> anyhow::Result<Original> {
    let (path, bytes) = newest(state)?;
    let mut damaged = bytes.clone();
    // In front, so that good frames follow: what is at the very end may be torn by any crash.
    let at = seeded.up_to(bytes.len() / 3) + bytes.len() / 8;
    damaged[at] ^= 1 << seeded.up_to(7);
    fs::write(&path, damaged)?;
    Ok(Original { path, bytes })
}

/// Makes bytes of one of the larger files zero, as a block that was never written.
///
/// # Errors
/// As the disk says, or when there is nothing to damage.
pub(super) fn zero(state: &Path, most: u64) -> anyhow::Result<Original> {
    let (path, bytes) = newest(state)?;
    let mut damaged = bytes.clone();
    let at = bytes.len() / 8;
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len() / 3);
    damaged[at..at + most].fill(0);
    fs::write(&path, damaged)?;
    Ok(Original { path, bytes })
}

/// Takes a file away.
///
/// # Errors
/// As the disk says, or when there is nothing to delete.
pub(super) fn delete(state: &Path) -> anyhow::Result<Original> {
    let (path, bytes) = newest(state)?;
    fs::remove_file(&path)?;
    Ok(Original { path, bytes })
}

/// Cuts the last bytes off.
///
/// # Errors
/// As the disk says, or when there is nothing to cut.
pub(super) fn cut(state: &Path, most: u64) -> anyhow::Result<Original> {
    let (path, bytes) = newest(state)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len() / 2);
    fs::write(&path, &bytes[..bytes.len() - most])?;
    Ok(Original { path, bytes })
}

/// Puts a copy in the place of a directory.
///
/// # Errors
/// As the disk says.
pub(super) fn replace(state: &Path, copy: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(state)?;
    copy_dir(copy, state)
}

/// Copies the files of a directory.
///
/// # Errors
/// As the disk says.
pub(super) fn copy_dir(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            // Not the operator's socket.
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The journal's newest segment that has something in it.
fn newest(state: &Path) -> anyhow::Result<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(state)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(JOURNAL)));
    files.sort();
    while let Some(path) = files.pop() {
        let bytes = fs::read(&path)?;
        if bytes.len() >= BYTES_MIN {
            return Ok((path, bytes));
        }
    }
    anyhow::bail!("no journal in {} has anything in it", state.display())
}

const JOURNAL: &str = "journal";
const BYTES_MIN: usize = 64;
