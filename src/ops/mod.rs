//! What operating needs: the host's clock, the catalogue of events, the log and its files, outages, work that may block.

pub mod event;
pub mod files;
pub mod host;
pub mod log;
pub mod metrics;
pub mod outage;
pub mod record;
pub mod work;
