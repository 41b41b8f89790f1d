//! The flags of the direct path, the same for every client.

use std::net::SocketAddr;

/// How the opponent reaches this client.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Direct {
    /// Where to listen for the opponent; port 0 is a free one, and the same again after a restart
    #[arg(long, env = "REJOIN_PEER_LISTEN", value_name = "ADDR", default_value = "[::]:0")]
    pub peer_listen: SocketAddr,
    /// Tell the opponent this address instead of this machine's: where a forwarded port is reached; with commas several
    #[arg(long, env = "REJOIN_PEER_ADVERTISE", value_name = "ADDR", value_delimiter = ',', value_parser = reachable)]
    pub peer_advertise: Vec<SocketAddr>,
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

/// An address that somebody can dial.
fn reachable(text: &str) -> Result<SocketAddr, String> {
    let addr: SocketAddr =
        text.parse().map_err(|_| "an address is written like 203.0.113.7:4000 or [2001:db8::7]:4000")?;
    if addr.port() == 0 || addr.ip().is_unspecified() {
        return Err("nobody can connect there: name the address and port that the opponent dials".to_owned());
    }
    Ok(addr)
}
