//! How far the state has come, noted beside the keys at the start, every few seconds and at the end, so that an older
//! copy of the state directory is known as one.
//!
//! What must hold: nothing is noted before it is in the journal, and no fact before the run is served.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tracing::warn;

use super::journal::JournalStatus;
use crate::model::id::{Boot, Mark};
use crate::net::certs::Certs;
use crate::ops::event;

/// Notes what is on disk.
pub(super) struct Noted {
    certs: Arc<dyn Certs>,
    boot: Boot,
    status: watch::Receiver<JournalStatus>,
    written: Mutex<Written>,
}

/// What has come of it.
enum Written {
    /// The run is not on disk yet.
    Nothing,
    /// This is there.
    Mark(Mark),
    /// The operator knows that there is nothing.
    Failed,
}

impl Noted {
    pub(super) fn new(certs: &Arc<dyn Certs>, boot: Boot, status: &watch::Receiver<JournalStatus>) -> Self {
        Self { certs: Arc::clone(certs), boot, status: status.clone(), written: Mutex::new(Written::Nothing) }
    }

    /// The run is on disk. Blocks on the disk.
    pub(super) fn opened(&self) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        *written = self.write(self.mark(), false);
    }

    /// Notes what has come since. Blocks on the disk.
    pub(super) fn look(&self) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = self.mark();
        match &*written {
            Written::Nothing => {}
            Written::Mark(old) => {
                if *old != mark {
                    *written = self.write(mark, false);
                }
            }
            Written::Failed => *written = self.write(mark, true),
        }
    }

    fn mark(&self) -> Mark {
        Mark { boot: self.boot, last: self.status.borrow().flushed }
    }

    fn write(&self, mark: Mark, said: bool) -> Written {
        match self.certs.write_mark(mark) {
            Ok(()) => Written::Mark(mark),
            Err(error) => {
                if !said {
                    warn!(
                        event = event::STATE_NOTE,
                        %error,
                        "the keys cannot note this run: should state be lost, only the clients will tell"
                    );
                }
                Written::Failed
            }
        }
    }
}
