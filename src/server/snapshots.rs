//! Snapshots: every few seconds one look whether they are worth it, and one at once when an operator wants it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{error, info};

use crate::model::state::State;
use crate::ops::event;
use crate::store::{self, Disk, Snapshotter, Step, StoreError};

/// Makes snapshots, one at a time.
pub(super) struct Snapshots {
    makers: Mutex<Makers>,
    /// A disk that fails to sync here cannot be trusted by the journal either.
    failed: Box<dyn Fn(StoreError) + Send + Sync>,
}

struct Makers {
    usual: Snapshotter<State>,
    /// Takes whatever is sealed.
    at_once: Snapshotter<State>,
}

impl Snapshots {
    pub(super) fn new(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        settings: &store::Settings,
        failed: impl Fn(StoreError) + Send + Sync + 'static,
    ) -> Self {
        let maker = || Snapshotter::new(Arc::clone(disk), dir, settings.clone());
        Self { makers: Mutex::new(Makers { usual: maker(), at_once: maker().every(1) }), failed: Box::new(failed) }
    }

    /// One look at the sealed segments.
    pub(super) fn look(&self) {
        // What went wrong is in the log, and the next look tries again.
        let _ = self.step(|makers| &mut makers.usual);
    }

    /// A snapshot of all that is sealed; none if there is nothing new.
    pub(super) fn make(&self) -> Result<Option<Step>, StoreError> {
        self.step(|makers| &mut makers.at_once)
    }

    /// The log says what came of it.
    fn step(&self, which: fn(&mut Makers) -> &mut Snapshotter<State>) -> Result<Option<Step>, StoreError> {
        // A step that panicked has changed nothing in here.
        let mut makers = self.makers.lock().unwrap_or_else(PoisonError::into_inner);
        let step = which(&mut makers).step();
        match &step {
            Ok(None) => {}
            Ok(Some(step)) => {
                let (lsn, bytes, archived) = (step.last.0, step.bytes, step.archived);
                info!(event = event::SNAPSHOT, lsn, bytes, archived, "snapshot made");
            }
            Err(error @ StoreError::SyncFailed { .. }) => (self.failed)(error.clone()),
            Err(error) => error!(event = event::SNAPSHOT_FAILED, %error, "no snapshot could be made"),
        }
        step
    }
}
