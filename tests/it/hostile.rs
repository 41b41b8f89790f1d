//! What hostile clients, crowds and bad disks can do to a server: it survives, with a clear answer or line in the log,
//! and nobody else is disturbed.
//!
//! "Nobody else" are two honest players, who sit in a match of their own all the while and whose every move must be
//! kept and passed on within the time in which silence would end a link.

mod crowds;
pub(crate) mod disks;
mod engine;
pub(crate) mod frames;
pub(crate) mod keepers;
pub(crate) mod moves;
mod peers;
mod people;
#[cfg(unix)]
mod process;
pub(crate) mod sessions;
