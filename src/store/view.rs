//! The state as the files show it, read beside a running server. Changes nothing and takes no lock.
//!
//! What is read is a prefix of what was acknowledged. A server that begins a file or removes one meanwhile looks like
//! damage for a moment: only what is found twice in a row is believed.

use std::path::Path;

use super::disk::Disk;
use super::error::StoreError;
use super::names::Layout;
use super::recovery::{Note, scan};
use crate::model::id::Lsn;
use crate::model::replay::Replay;

/// How often the files are read anew because they changed meanwhile.
const ATTEMPTS_MAX: usize = 10;

/// A state, read.
pub struct View<S> {
    /// With every fact up to `last`.
    pub state: S,
    /// The number of the last fact.
    pub last: Lsn,
    /// What recovery would say of the snapshots, the journal and the archive.
    pub notes: Vec<Note>,
}

/// Reads the state in `dir`.
///
/// # Errors
/// [`StoreError::NoState`], [`StoreError::UnfinishedCopy`], [`StoreError::Restless`], or as recovery.
pub fn view<S: Replay>(disk: &dyn Disk, dir: &Path, server: &[u8; 32]) -> Result<View<S>, StoreError> {
    let mut before: Option<String> = None;
    for _ in 0..ATTEMPTS_MAX {
        let layout = Layout::read(disk, dir)?;
        if layout.unfinished_copy {
            return Err(StoreError::UnfinishedCopy { dir: dir.to_owned() });
        }
        if layout.is_empty() {
            return Err(StoreError::NoState { dir: dir.to_owned() });
        }
        match scan::<S>(disk, dir, server) {
            Ok(scan) => {
                let (last, notes) = (scan.progress.last(), scan.notes);
                let mut state = scan.progress.state;
                drop(state.retire());
                return Ok(View { state, last, notes });
            }
            Err(error) => {
                let text = error.to_string();
                if before.as_ref() == Some(&text) {
                    return Err(error);
                }
                before = Some(text);
            }
        }
    }
    Err(StoreError::Restless { dir: dir.to_owned() })
}
