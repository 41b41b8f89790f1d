//! Each defect that was measured in the program this one comes after, as a test on real processes: `rejoin server`,
//! killed with SIGKILL where that matters, and `rejoin play --json` driven over pipes.
//!
//! What must hold: a defect, once seen anywhere, has a test here whose name begins with its number. Nothing sleeps to
//! let something happen: everything waits for a line it expects, and fails when that takes longer than [`PATIENCE`].
#![allow(clippy::wildcard_enum_match_arm, reason = "a test waits for one of many, or fails")]

mod accounts;
mod crowd;
mod forgery;
mod headline;
pub(crate) mod heard;
mod outage;
pub(crate) mod people;
mod play;
mod presence;
pub(crate) mod server;

use std::time::Duration;

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);
