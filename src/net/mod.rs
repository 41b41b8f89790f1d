//! Listening, dialling and TLS, through `trait Net`; who a server is, and whom a client trusts; how two players find
//! and know each other.
//!
//! What must hold: nothing here logs or prints, it returns facts and errors; a private key is never written over,
//! never readable by others and never printed; no connection is handed up before its handshake named `rejoin/1` on
//! both sides. The crypto provider is an argument everywhere, never global to the process.

pub mod address;
pub mod boot_file;
mod calm;
pub mod candidates;
pub mod certificate;
pub mod certs;
pub mod ed25519;
pub mod host;
pub mod keys;
pub mod known;
pub mod listen;
pub mod peer;
mod private_file;
pub mod seam;
pub mod tls;
pub mod trust;
