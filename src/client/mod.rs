//! The shell of the player's client.
pub mod ui;
