//! What the simulation and `rejoin chaos` share: what was told and what is left in the end, in plain types, and the
//! oracle that judges it.
//!
//! What must hold: nothing here believes a machine of this program. The oracle is handed values – what players typed
//! and were shown, what the keepers' files hold – and recomputes everything else by itself.
//!
//! ```text
//!  players ──Record──> history ──┐
//!  keepers' files ────> Finals ──┼──> oracle::judge ──> Violation…
//!  times, sizes, bytes > Figures ┘
//! ```

pub mod finals;
pub mod history;
pub mod oracle;
pub mod proxy;
pub mod report;
pub mod scenario;
