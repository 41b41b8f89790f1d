//! Pure decisions: no IO, no clock, no randomness, no tasks.
pub mod account;
pub mod backoff;
pub mod bucket;
#[cfg(test)]
mod check;
pub mod client;
pub mod decide;
pub mod document;
pub mod engine;
pub mod event;
pub mod evidence;
pub mod fact;
#[cfg(test)]
pub(crate) mod fixture;
pub mod game;
pub mod games;
pub mod id;
pub mod key;
pub mod limits;
pub mod message;
pub mod operator;
pub mod outage;
pub mod password;
pub mod pulse;
pub mod refusal;
pub mod replay;
pub mod sign;
pub mod state;
pub mod statement;
pub mod time;
pub mod transcript;
#[cfg(test)]
pub(crate) mod world;
