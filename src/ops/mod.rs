//! What operating needs: the host's clock, event names, the log, work that may block.

pub mod event;
pub mod host;
pub mod log;
pub mod work;
