//! The network as one machine of a world sees it.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin::net::seam::{Dialed, Interface, Listener, Net, Stream, Wait};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::wires::{Listening, MachineId, Read, Wires};

/// The sockets of one machine.
#[derive(Clone)]
pub(super) struct SimNet {
    pub(super) wires: Wires,
    pub(super) machine: MachineId,
}

struct SimListener {
    net: SimNet,
    port: u16,
}

/// One end of a connection.
struct SimStream {
    wires: Wires,
    conn: u64,
    side: usize,
    sleep: Option<Pin<Box<Sleep>>>,
}

/// What there is for a dial at this moment.
enum Way {
    /// Nobody answers.
    Silent,
    /// It takes this long to get there.
    Open(MachineId, u64),
}

/// The name by which clients dial the server.
pub(super) const SERVER_NAME: &str = "server";
/// TCP asks again after this.
const SYN_AGAIN: Duration = Duration::from_secs(1);

impl Net for SimNet {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Wait<'a, Vec<SocketAddr>> {
        Box::pin(async move {
            let known = if host == SERVER_NAME { Some(self.wires.lock().machines[0].ip) } else { host.parse().ok() };
            Ok(known.map(|ip: IpAddr| SocketAddr::new(ip, port)).into_iter().collect())
        })
    }

    fn dial(&self, addr: SocketAddr) -> Wait<'_, Dialed> {
        self.count_dial(addr.port());
        Box::pin(async move {
            loop {
                let Way::Open(target, there_us) = self.way_to(addr.ip()) else {
                    sleep(SYN_AGAIN).await;
                    continue;
                };
                sleep(Duration::from_micros(there_us)).await;
                // The link may have been cut meanwhile.
                let Way::Open(target, _) = self.way_to(addr.ip()).of(target) else { continue };
                let (stream, local, back_us) = self.knock(target, addr);
                sleep(Duration::from_micros(back_us)).await;
                while self.wires.lock().is_cut(target, self.machine) {
                    sleep(SYN_AGAIN).await;
                }
                let Some(stream) = stream else { return Err(io::ErrorKind::ConnectionRefused.into()) };
                return Ok(Dialed { stream: Box::new(stream), local });
            }
        })
    }

    fn listen(&self, addr: SocketAddr, _backlog: u32) -> Wait<'_, Box<dyn Listener>> {
        Box::pin(async move {
            let mut fabric = self.wires.lock();
            let port = if addr.port() == 0 { fabric.free_port(self.machine) } else { addr.port() };
            let listeners = &mut fabric.machines[self.machine].listeners;
            if listeners.contains_key(&port) {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            listeners.insert(port, Listening::default());
            Ok(Box::new(SimListener { net: self.clone(), port }) as Box<dyn Listener>)
        })
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        Ok(vec![Interface { name: "eth0".to_owned(), addr: self.wires.lock().machines[self.machine].ip }])
    }
}

impl Way {
    /// As it is, if it leads to the same machine as before.
    fn of(self, before: MachineId) -> Self {
        match self {
            Self::Open(machine, us) if machine == before => Self::Open(machine, us),
            Self::Open(..) | Self::Silent => Self::Silent,
        }
    }
}

impl SimNet {
    fn count_dial(&self, port: u16) {
        if port != super::SERVER_PORT {
            return;
        }
        let mut fabric = self.wires.lock();
        let second = fabric.now_us() / 1_000_000;
        *fabric.met.dials.entry((self.machine, second)).or_default() += 1;
    }

    fn way_to(&self, ip: IpAddr) -> Way {
        let mut fabric = self.wires.lock();
        let Some(target) = fabric.at(ip) else { return Way::Silent };
        let silent = fabric.is_finished(self.machine)
            || fabric.machines[self.machine].frozen
            || fabric.machines[target].dark
            || fabric.is_cut(self.machine, target);
        if silent { Way::Silent } else { Way::Open(target, fabric.delay_us(self.machine, target)) }
    }

    /// Arrives at a machine: with a connection, if somebody listens there; and how long the answer takes.
    fn knock(&self, target: MachineId, addr: SocketAddr) -> (Option<SimStream>, SocketAddr, u64) {
        let mut fabric = self.wires.lock();
        let port = fabric.free_port(self.machine);
        let local = SocketAddr::new(fabric.machines[self.machine].ip, port);
        let back_us = fabric.delay_us(target, self.machine);
        if !fabric.machines[target].listeners.contains_key(&addr.port()) {
            return (None, local, back_us);
        }
        let conn = fabric.connect([(self.machine, local), (target, addr)]);
        if let Some(listening) = fabric.machines[target].listeners.get_mut(&addr.port()) {
            listening.backlog.push_back(conn);
            if let Some(waker) = listening.waker.take() {
                waker.wake();
            }
        }
        (Some(SimStream { wires: self.wires.clone(), conn, side: 0, sleep: None }), local, back_us)
    }
}

impl Listener for SimListener {
    fn accept(&self) -> Wait<'_, (Stream, SocketAddr)> {
        Box::pin(std::future::poll_fn(move |context| {
            let mut fabric = self.net.wires.lock();
            let machine = &mut fabric.machines[self.net.machine];
            let frozen = machine.frozen;
            let Some(listening) = machine.listeners.get_mut(&self.port) else { return Poll::Pending };
            let next = if frozen { None } else { listening.backlog.pop_front() };
            let Some(conn) = next else {
                listening.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            let peer = fabric.conns[&conn].ends[0].addr;
            let stream = SimStream { wires: self.net.wires.clone(), conn, side: 1, sleep: None };
            Poll::Ready(Ok((Box::new(stream) as Stream, peer)))
        }))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::new([0, 0, 0, 0].into(), self.port))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        let mut fabric = self.net.wires.lock();
        let listening = fabric.machines[self.net.machine].listeners.remove(&self.port);
        for conn in listening.into_iter().flat_map(|listening| listening.backlog) {
            fabric.close(conn, 1);
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let read = self.wires.lock().read(self.conn, self.side, to, context.waker());
            match read {
                Read::Some | Read::End => return Poll::Ready(Ok(())),
                Read::Reset => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Read::Nothing => return Poll::Pending,
                Read::Later(us) => {
                    let timer = self.sleep.insert(Box::pin(sleep(Duration::from_micros(us))));
                    if timer.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.wires.lock().write(self.conn, self.side, bytes, context.waker()) {
            Ok(Some(len)) => Poll::Ready(Ok(len)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wires.lock().finish(self.conn, self.side);
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.wires.lock().close(self.conn, self.side);
    }
}
