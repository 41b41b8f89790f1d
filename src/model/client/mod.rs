//! The client as state machines: the link, one match, and the player who has both.
pub mod command;
pub mod delay;
pub mod event;
pub mod peer;
pub mod player;
pub mod record;
pub mod supervisor;
pub mod table;
