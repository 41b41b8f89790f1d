//! The host's own network: tokio's TCP sockets.
//!
//! What must hold: a port can be bound again at once after a kill; small frames leave at once on both ends; one
//! IPv6 wildcard socket serves IPv4 as well, and a host without IPv6 still serves IPv4; nobody is connected to
//! themselves.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use listenfd::ListenFd;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use super::calm::{CalmStream, Watch};
use super::seam::{Dialed, Interface, Listener, Net, Stream, Wait};

/// The network of the machine we run on.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostNet;

impl HostNet {
    /// The listening socket that our parent or systemd opened for us (`LISTEN_FDS`), if there is one. It takes the
    /// variables out of the environment, so call it first and once, inside the runtime, before other threads start.
    ///
    /// # Errors
    /// When what was handed over is not a listening TCP socket.
    pub fn inherited() -> io::Result<Option<Box<dyn Listener>>> {
        let Some(listener) = inherited()? else { return Ok(None) };
        Ok(Some(Box::new(HostListener::new(listener))))
    }
}

impl Net for HostNet {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Wait<'a, Vec<SocketAddr>> {
        Box::pin(async move { Ok(lookup_host((host, port)).await?.collect()) })
    }

    fn dial(&self, addr: SocketAddr) -> Wait<'_, Dialed> {
        Box::pin(async move {
            let socket = socket_for(addr)?;
            socket.set_nodelay(true)?;
            dialed(socket.connect(addr).await?)
        })
    }

    fn listen(&self, addr: SocketAddr, backlog: u32) -> Wait<'_, Box<dyn Listener>> {
        Box::pin(async move { Ok(Box::new(HostListener::new(bind(addr, backlog)?)) as Box<dyn Listener>) })
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let all = if_addrs::get_if_addrs()?.into_iter();
        let up = all.filter(if_addrs::Interface::is_oper_up);
        Ok(up.map(|interface| Interface { addr: interface.ip(), name: interface.name }).collect())
    }
}

/// A listening TCP socket.
struct HostListener {
    socket: TcpListener,
    calm: Watch,
}

impl HostListener {
    fn new(socket: TcpListener) -> Self {
        Self { socket, calm: Watch::default() }
    }
}

impl Listener for HostListener {
    fn accept(&self) -> Wait<'_, (Stream, SocketAddr)> {
        Box::pin(async move {
            let (stream, peer) = self.socket.accept().await?;
            // It fails only for a connection that is gone already; its first read will say so.
            let _ = stream.set_nodelay(true);
            Ok((Box::new(CalmStream::new(stream, self.calm.clone())) as Stream, canonical(peer)))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Binds and listens; call it inside the runtime. `[::]` falls back to `0.0.0.0` where IPv6 is absent.
///
/// # Errors
/// `AddrInUse` when somebody else listens there, or as the operating system says.
pub fn bind(addr: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    bind_one(addr, backlog).or_else(|error| match fallback(addr, &error) {
        Some(ipv4) => bind_one(ipv4, backlog),
        None => Err(error),
    })
}

/// As [`HostNet::inherited`], for the parent that passes the socket on.
///
/// # Errors
/// When what was handed over is not a listening TCP socket.
pub fn inherited() -> io::Result<Option<TcpListener>> {
    let Some(listener) = ListenFd::from_env().take_tcp_listener(0)? else { return Ok(None) };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener).map(Some)
}

fn bind_one(addr: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = socket_for(addr)?;
    if addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
    }
    // On Windows the same option would let a second server steal the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(backlog)
}

fn socket_for(addr: SocketAddr) -> io::Result<TcpSocket> {
    match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
}

/// A dialled port of this machine on which nobody listens may be drawn as the dialler's own port; TCP then connects
/// the socket to itself, and keeps the listener from coming back to its port.
fn dialed(stream: TcpStream) -> io::Result<Dialed> {
    let local = stream.local_addr()?;
    if stream.peer_addr()? == local {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(Dialed { local: canonical(local), stream: Box::new(stream) })
}

/// An IPv4 address as such, also on an IPv6 socket.
const fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Where to listen when listening on `addr` failed. A port that is taken or forbidden is so on IPv4 as well.
fn fallback(addr: SocketAddr, error: &io::Error) -> Option<SocketAddr> {
    let hopeless = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    let wildcard = addr.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    (wildcard && !hopeless).then(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), addr.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_got_connected_to_itself_is_no_connection() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let own = socket.local_addr().unwrap();
        let Ok(stream) = socket.connect(own).await else { return };
        assert_eq!(dialed(stream).err().unwrap().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn only_the_wildcard_falls_back_to_ipv4_and_only_where_ipv6_is_absent() {
        let wildcard: SocketAddr = "[::]:3000".parse().unwrap();
        let absent = io::Error::from(io::ErrorKind::AddrNotAvailable);
        assert_eq!(fallback(wildcard, &absent), Some("0.0.0.0:3000".parse().unwrap()));
        assert_eq!(fallback(wildcard, &io::ErrorKind::AddrInUse.into()), None);
        assert_eq!(fallback(wildcard, &io::ErrorKind::PermissionDenied.into()), None);
        assert_eq!(fallback("[::1]:3000".parse().unwrap(), &absent), None);
        assert_eq!(fallback("0.0.0.0:3000".parse().unwrap(), &absent), None);
    }
}
