//! What operating needs: the host's clock, event names, the log.

pub mod event;
pub mod host;
pub mod log;
