//! The network as a trait: the seam between the shells and the host's sockets.
//!
//! The shells reach other machines through [`Net`] alone, so that a simulation can stand in for all of it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// The answer of a call that waits.
pub type Wait<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// A byte stream to another machine.
pub type Stream = Box<dyn Io>;

/// What a byte stream can do.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection that we made.
pub struct Dialed {
    /// For the bytes.
    pub stream: Stream,
    /// Our end of it: the address of ours that the other side can see, unless somebody on the way translates it.
    pub local: SocketAddr,
}

/// One address of an interface of this machine; an interface with several is there several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// As the operating system calls it, `eth0` for example.
    pub name: String,
    /// Without the zone that a link-local address needs.
    pub addr: IpAddr,
}

/// The network, as far as servers and clients need one. No call has a time limit of its own: the caller sets it, and
/// dropping the future ends the attempt.
pub trait Net: Send + Sync {
    /// Every address of a host name (or of an address written as text), in the order to try them.
    ///
    /// # Errors
    /// As the resolver says; an empty answer is not an error.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Wait<'a, Vec<SocketAddr>>;

    /// Connects to one address.
    ///
    /// # Errors
    /// As the operating system says.
    fn dial(&self, addr: SocketAddr) -> Wait<'_, Dialed>;

    /// Listens. `backlog` connections may wait in the kernel; the product passes `limits::LISTEN_BACKLOG`.
    ///
    /// # Errors
    /// `AddrInUse` when somebody else listens there, or as the operating system says.
    fn listen(&self, addr: SocketAddr, backlog: u32) -> Wait<'_, Box<dyn Listener>>;

    /// Every address of the interfaces that are up at this moment. It asks the operating system and blocks for as
    /// long as that takes: well below a millisecond as a rule, some more on a machine with very many interfaces.
    ///
    /// # Errors
    /// As the operating system says.
    fn interfaces(&self) -> io::Result<Vec<Interface>>;
}

/// A listening socket.
pub trait Listener: Send + Sync {
    /// The next connection, and where it comes from; an IPv4 peer has an IPv4 address, also on an IPv6 socket.
    /// Dropping the future loses no connection.
    ///
    /// # Errors
    /// The listener stays good: the error is that of one connection, or says that descriptors or memory are short,
    /// when it is wise to wait a moment before the next call.
    fn accept(&self) -> Wait<'_, (Stream, SocketAddr)>;

    /// Where it listens; port 0 is resolved to the real one.
    ///
    /// # Errors
    /// As the operating system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}
