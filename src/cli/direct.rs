//! The flags of the direct path, the same for every client.

use std::net::SocketAddr;

/// How the opponent reaches this client.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Direct {
    /// Where to listen for the opponent; port 0 is a free one, and the same again after a restart
    #[arg(long, env = "REJOIN_PEER_LISTEN", value_name = "ADDR", default_value = "[::]:0")]
    pub peer_listen: SocketAddr,
    /// Tell the opponent this machine's addresses, to play on while the server is down
    #[arg(long, env = "REJOIN_DIRECT", value_name = "on|off", default_value = "on")]
    pub direct: Switch,
}

/// On or off.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}
