//! What a client is started with.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

use crate::model::id::Name;
use crate::model::time::{Clock, Entropy};
use crate::net::address::Address;
use crate::net::seam::Net;
use crate::ops::work::Worker;
use crate::store::Disk;

/// What the player has said.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server, perhaps with a pin.
    pub address: Address,
    /// Where this client keeps its files.
    pub state: PathBuf,
    /// The authority that the server's certificate must come from (PEM).
    pub ca: Option<PathBuf>,
    /// Trust a server that was never met without asking.
    pub trust_new: bool,
    /// Whether there is a person to ask.
    pub interactive: bool,
    /// The certs directory at hand: its `server.pub` is believed for loopback addresses.
    pub certs: PathBuf,
    /// Whose session to take up; without it, the one used last that no other client uses.
    pub user: Option<Name>,
    /// Whether the opponent is told where this client is, and reached directly.
    pub direct: bool,
    /// Where to listen for the opponent; port 0 is a free one, and the same one again after a restart.
    pub peer_listen: SocketAddr,
    /// What the opponent is told instead of this machine's addresses, if anything.
    pub peer_advertise: Vec<SocketAddr>,
}

/// The world a client runs in.
#[derive(Clone)]
pub struct Seams {
    /// The network.
    pub net: Arc<dyn Net>,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
    /// The cryptography of TLS.
    pub provider: Arc<CryptoProvider>,
    /// Work that may block.
    pub worker: Arc<dyn Worker>,
}
