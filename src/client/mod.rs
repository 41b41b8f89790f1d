//! The shell of the player's client: one task that carries out what `model::client::player` decides.
//!
//! What must hold: effects are carried out in their order, so what is to be written is on disk before anything after
//! it is sent or shown; a frame of a connection that was given up is never heard; the files of a user are used by one
//! client at a time and shown to no other server than the one they belong to.

pub mod bot;
mod config;
mod dial;
mod error;
mod export;
mod file;
pub mod handle;
mod known;
#[doc(hidden)]
pub mod left;
mod link;
mod log;
mod shell;
#[doc(hidden)]
pub mod store;
pub mod ui;
mod watch;

pub use config::{Config, Seams};
pub use error::ClientError;
pub use handle::{ClientHandle, Order, Question};
pub use shell::start;
