//! x
pub mod cli;
pub mod client;
pub mod model;
pub mod net;
pub mod ops;
pub mod server;
pub mod store;
pub mod wire;
