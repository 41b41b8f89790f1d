//! x
pub mod model;
pub mod net;
pub mod server;
pub mod store;
pub mod wire;
