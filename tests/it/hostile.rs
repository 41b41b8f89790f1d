//! What hostile clients, crowds and bad disks can do to a server: it survives, with a clear answer or line in the log,
//! and nobody else is disturbed.
//!
//! "Nobody else" are two honest players, who sit in a match of their own all the while and whose every move must be
//! kept and passed on within the time in which silence would end a link.

mod crowds;
mod disks;
mod engine;
mod frames;
mod keepers;
mod moves;
mod peers;
mod people;
#[cfg(unix)]
mod process;
mod sessions;
