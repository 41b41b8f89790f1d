//! The shell of the server.

pub mod respawn;
#[cfg(unix)]
pub mod supervise;
