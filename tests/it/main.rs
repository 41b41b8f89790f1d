//! One promise each, against the real thing.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod admin;
#[cfg(unix)]
mod browser;
mod certificate;
#[cfg(target_os = "linux")]
mod chaos;
mod client;
#[cfg(unix)]
mod control;
#[cfg(unix)]
mod direct;
#[cfg(unix)]
mod events;
mod fates;
#[cfg(unix)]
mod finals;
mod hostile;
mod house;
mod lost;
mod net;
#[cfg(unix)]
mod ops;
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
#[cfg(unix)]
mod witnesses;
