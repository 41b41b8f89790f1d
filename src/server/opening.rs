//! The start: whether the state is older than the keys have seen, and what must be on disk before anybody is served.
//!
//! ```text
//!  Booted (and StateLost) in the journal ──> run noted beside the keys, marker of the restore gone ──> whoever is through TLS is welcomed
//! ```
//!
//! A crash between any two of them finds the loss again, which does no harm.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tracing::warn;

use super::noted::Noted;
use crate::model::id::{Boot, Lsn};
use crate::net::certs::Certs;
use crate::ops::event;
use crate::store::{Disk, RESTORED};

/// What is still to be done before anybody is served.
pub(super) struct Opening {
    /// Whether the state was lost or restored.
    pub(super) lost: bool,
    /// The fact that must be on disk first.
    pub(super) after: Lsn,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) state: PathBuf,
    pub(super) boot: Boot,
    pub(super) noted: Arc<Noted>,
    pub(super) serve: watch::Sender<bool>,
}

/// Whether a state whose newest run is `boot` and whose newest fact is `last` is older than the keys have seen, or was
/// put back from a copy.
pub(super) fn is_lost(disk: &dyn Disk, state: &Path, certs: &dyn Certs, boot: Boot, last: Lsn) -> bool {
    let restored = disk.read(&state.join(RESTORED)).is_ok();
    let older = match certs.mark() {
        Ok(mark) => mark.is_some_and(|mark| mark.is_beyond(boot, last)),
        Err(error) => {
            warn!(event = event::STATE_NOTE, %error, "what the keys have seen cannot be read: taken as a loss of state");
            true
        }
    };
    restored || older
}

impl Opening {
    /// The run is in the journal. Blocks on the disk; nobody is served yet.
    pub(super) fn finish(self) {
        self.noted.opened();
        let marker = self.state.join(RESTORED);
        match self.disk.remove(&marker).and_then(|()| self.disk.sync_dir(&self.state)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                warn!(event = event::STATE_NOTE, %error, "{} cannot be removed", marker.display());
            }
            Ok(()) | Err(_) => {}
        }
        self.serve.send_replace(true);
    }
}
