//! One promise each, against the real thing.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod admin;
mod client;
#[cfg(unix)]
mod direct;
mod fates;
#[cfg(unix)]
mod finals;
mod hostile;
mod house;
mod lost;
mod net;
mod peer;
mod rig;
mod secrets;
#[cfg(unix)]
mod seed;
mod store;
#[cfg(unix)]
mod supervise;
#[cfg(unix)]
mod verify;
mod wire;
