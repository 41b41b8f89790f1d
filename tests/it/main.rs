//! One promise each, against the real thing.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod admin;
mod client;
mod net;
mod store;
#[cfg(unix)]
mod supervise;
