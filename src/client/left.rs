//! What clients have left on a disk, read beside them or after their end: for whoever judges what became of a match.
//!
//! What must hold: nothing is changed and no lock is taken; a match is what the client would find at its next start, and
//! one whose file it would set aside or remove is not there.

use std::path::Path;

use super::store::{match_of, take, user_dir};
use crate::model::client::record::MatchRecord;
use crate::model::id::Name;
use crate::model::key::ServerId;
use crate::store::{Disk, RecordLog, StoreError};

/// The records of every match of a user at a server that can be used.
///
/// # Errors
/// As the disk says.
pub fn matches(
    disk: &dyn Disk,
    state: &Path,
    server: ServerId,
    user: &Name,
) -> Result<Vec<Vec<MatchRecord>>, StoreError> {
    let dir = user_dir(state, server, user);
    let mut matches = Vec::new();
    for path in disk.list(&dir).map_err(StoreError::io("list", &dir))? {
        if match_of(&path).is_none() {
            continue;
        }
        let bytes = match RecordLog::read(disk, &path, &server.0) {
            Err(StoreError::Damaged { .. }) => continue,
            read => read?,
        };
        let records: Option<Vec<MatchRecord>> = bytes.iter().map(|record| take(record)).collect();
        matches.extend(records.filter(|records| !records.is_empty()));
    }
    Ok(matches)
}
