//! What the tests against a running server share: the server itself, clients that speak its frames by hand, and two
//! honest players whom no attack may disturb.
//!
//! Nothing here sleeps to let something happen: everything waits for what it expects, and fails when that takes longer
//! than [`PATIENCE`].

mod client;
mod honest;
mod log;
mod odd;
mod proxy;
mod server;
mod table;

use std::future::Future;
use std::time::Duration;

pub(crate) use client::{Line, Player, RawClient, TLS, login, new_key, random};
pub(crate) use honest::Honest;
pub(crate) use log::Log;
pub(crate) use odd::{Announced, Watched, was_seen};
pub(crate) use proxy::Recorder;
pub(crate) use server::{Gate, Hashers, Setup, TestServer, unstarted};
pub(crate) use table::{Seated, X_WINS, entries_of, play_all, proofs_of, seat};

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// What everybody's password is unless a test is about passwords.
pub(crate) const PASSWORD: &str = "correct horse";

/// Waits, but not for ever.
pub(crate) async fn patiently<T>(what: &str, wait: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wait).await {
        Ok(done) => done,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

/// The frame around a message (its kind and body) that need not be one.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let body = u32::try_from(message.len() - 1).unwrap();
    let mut rest = vec![rejoin::wire::VERSION];
    rest.extend_from_slice(message);
    [&body.to_le_bytes()[..], &crc32c::crc32c(&rest).to_le_bytes(), &rest].concat()
}
