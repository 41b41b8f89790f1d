//! Where a player listens for the opponent.
//!
//! What must hold: after a restart it is the same port as before if it can be had, because the opponent knows that one.

use std::io;
use std::net::SocketAddr;

use super::seam::{Listener, Net};
use crate::model::limits::PEER_LISTEN_BACKLOG;

/// Listens on `addr`. If that leaves the port open (0), the port of the last time is tried first; when it cannot be
/// had, another one will do: ask the listener for it.
///
/// # Errors
/// `AddrInUse` when the port was chosen and somebody else listens there, or as the operating system says.
pub async fn listen_again(net: &dyn Net, addr: SocketAddr, last: Option<u16>) -> io::Result<Box<dyn Listener>> {
    if let (0, Some(port)) = (addr.port(), last) {
        let known = SocketAddr::new(addr.ip(), port);
        if let Ok(listener) = net.listen(known, PEER_LISTEN_BACKLOG).await {
            return Ok(listener);
        }
    }
    net.listen(addr, PEER_LISTEN_BACKLOG).await
}
