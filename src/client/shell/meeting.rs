//! The direct path: listening for the opponent, dialling, and the connections that come of it.
//!
//! What must hold: nobody gets through but the holder of the key in the grant; news of a dial or connection that was
//! given up is not heard; a stranger who connects costs a handshake, and only a few of them at once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_rustls::TlsStream;

use super::dialing::Task;
use super::{Connection, Shell};
use crate::client::config::{Config, Seams};
use crate::client::error::ClientError;
use crate::model::client::event::Event;
use crate::model::client::peer::{PeerConn, PeerDial};
use crate::model::client::player::{Input, Meet};
use crate::model::limits::FRAME_BYTES_MAX;
use crate::model::message::ToPeer;
use crate::net::candidates::candidates;
use crate::net::listen::listen_again;
use crate::net::peer::PeerTls;
use crate::net::seam::{Dialed, Listener, Stream};
use crate::wire::Decoder;

/// Strangers and opponents whose handshake is under way; beyond it a connection is closed at once.
const HANDSHAKES_MAX: usize = 8;
/// News not heard yet; beyond it the opponent waits.
const NEWS_MAX: usize = 64;
/// Descriptors or memory are short: how long to wait before the next connection is taken.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// All that belongs to the direct path.
pub(super) struct Meeting {
    seams: Seams,
    listen: SocketAddr,
    advertise: Vec<SocketAddr>,
    /// Of the match one is seated in.
    tls: Option<Arc<PeerTls>>,
    /// The listener's task and port.
    listener: Option<(Task, u16)>,
    /// Our end of the connection to the server.
    route: Option<IpAddr>,
    dials: BTreeMap<PeerDial, (u64, Task)>,
    greeting: BTreeMap<u64, Task>,
    conns: BTreeMap<PeerConn, (Connection<ToPeer>, Task)>,
    /// Numbers for attempts and connections; none comes twice.
    next: u64,
    tell: mpsc::Sender<PeerNews>,
}

/// What has happened on the direct path.
pub(super) enum PeerNews {
    /// Somebody has connected.
    Came(Stream),
    /// A handshake with somebody who connected is done.
    Greeted(u64, Option<Box<TlsStream<Stream>>>),
    /// A dial is done.
    Dialed(PeerDial, u64, Option<Box<TlsStream<Stream>>>),
    /// The opponent has said something.
    Heard(PeerConn, Box<ToPeer>),
    /// A connection is gone.
    Lost(PeerConn),
}

impl Meeting {
    pub(super) fn new(config: &Config, seams: Seams) -> (Self, mpsc::Receiver<PeerNews>) {
        let (tell, news) = mpsc::channel(NEWS_MAX);
        let meeting = Self {
            seams,
            listen: config.peer_listen,
            advertise: config.peer_advertise.clone(),
            tls: None,
            listener: None,
            route: None,
            dials: BTreeMap::new(),
            greeting: BTreeMap::new(),
            conns: BTreeMap::new(),
            next: 0,
            tell,
        };
        (meeting, news)
    }

    /// The way to the server leads from this address: where this client can be reached, if it listens.
    pub(super) fn route(&mut self, local: IpAddr) -> Option<Vec<SocketAddr>> {
        self.route = Some(local);
        self.candidates()
    }

    fn candidates(&self) -> Option<Vec<SocketAddr>> {
        let (_, port) = self.listener.as_ref()?;
        // Whoever forwards a port knows better than this machine.
        if !self.advertise.is_empty() {
            return Some(self.advertise.clone());
        }
        if !self.listen.ip().is_unspecified() {
            return Some(vec![SocketAddr::new(self.listen.ip(), *port)]);
        }
        // Without a list of the interfaces there is still the way to the server.
        let interfaces = self.seams.net.interfaces().unwrap_or_default();
        Some(candidates(&interfaces, self.route, *port))
    }

    fn is_listening(&self) -> bool {
        self.listener.is_some()
    }

    fn listen_with(&mut self, listener: Box<dyn Listener>, port: u16) {
        let (tell, clock) = (self.tell.clone(), Arc::clone(&self.seams.clock));
        let task = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        if tell.send(PeerNews::Came(stream)).await.is_err() {
                            return;
                        }
                    }
                    Err(_) => crate::ops::host::sleep_until(&*clock, clock.now() + ACCEPT_AGAIN_AFTER).await,
                }
            }
        });
        self.listener = Some((Task(task.abort_handle()), port));
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Who has come must prove to be the opponent.
    fn greet(&mut self, stream: Stream) {
        let Some(tls) = self.tls.clone().filter(|_| self.greeting.len() < HANDSHAKES_MAX) else { return };
        let (number, tell) = (self.number(), self.tell.clone());
        let task = tokio::spawn(async move {
            let done = tls.accept(stream).await.ok().map(|secured| Box::new(secured.stream));
            drop(tell.send(PeerNews::Greeted(number, done)).await);
        });
        self.greeting.insert(number, Task(task.abort_handle()));
    }

    pub(super) fn dial(&mut self, dial: PeerDial, addr: SocketAddr) {
        let Some(tls) = self.tls.clone() else { return };
        let (number, tell, net) = (self.number(), self.tell.clone(), Arc::clone(&self.seams.net));
        let task = tokio::spawn(async move {
            let dialling = async {
                let Dialed { stream, .. } = net.dial(addr).await.ok()?;
                tls.connect(stream).await.ok().map(|secured| Box::new(secured.stream))
            };
            let done = dialling.await;
            drop(tell.send(PeerNews::Dialed(dial, number, done)).await);
        });
        self.dials.insert(dial, (number, Task(task.abort_handle())));
    }

    pub(super) fn abandon(&mut self, dial: PeerDial) {
        self.dials.remove(&dial);
    }

    /// Whether the connection could take the message.
    pub(super) fn send(&self, conn: PeerConn, message: &ToPeer) -> bool {
        self.conns.get(&conn).is_none_or(|(connection, _)| connection.send(message).is_ok())
    }

    /// Closes a connection after what was sent on it.
    pub(super) fn drop_conn(&mut self, conn: PeerConn) {
        if let Some((connection, _)) = self.conns.remove(&conn) {
            tokio::spawn(connection.close());
        }
    }

    /// Ends all connections, after what was sent on them.
    pub(super) async fn close(&mut self) {
        for (_, (connection, _)) in std::mem::take(&mut self.conns) {
            connection.close().await;
        }
    }

    fn use_stream(&mut self, stream: TlsStream<Stream>) -> PeerConn {
        let conn = PeerConn(self.number());
        let mut connection = Connection::start(stream, Decoder::new(FRAME_BYTES_MAX));
        let (mut messages, tell) = (connection.take_messages(), self.tell.clone());
        let task = tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                if tell.send(PeerNews::Heard(conn, message)).await.is_err() {
                    return;
                }
            }
            drop(tell.send(PeerNews::Lost(conn)).await);
        });
        self.conns.insert(conn, (connection, Task(task.abort_handle())));
        conn
    }
}

impl Shell {
    /// Who may be at the other end from now on. The first time this client begins to listen.
    pub(super) async fn meet(&mut self, meet: Option<Meet>) {
        self.meeting.greeting.clear();
        let tls = meet.map(|meet| PeerTls::new(Arc::clone(&self.seams.provider), &meet.mine, &meet.theirs));
        self.meeting.tls = match tls.transpose() {
            Ok(tls) => tls.map(Arc::new),
            Err(error) => return self.show(unreachable_because(&error)).await,
        };
        if self.meeting.tls.is_none() || self.meeting.is_listening() {
            return;
        }
        let last = self.on_disk(|store| store.peer_port()).await;
        let listening = listen_again(&*self.seams.net, self.meeting.listen, last).await;
        match listening.and_then(|listener| listener.local_addr().map(|addr| (listener, addr.port()))) {
            Ok((listener, port)) => {
                if last != Some(port) {
                    // It is only a convenience for the opponent.
                    let _ = self.on_disk(move |store| store.keep_peer_port(port)).await;
                }
                self.meeting.listen_with(listener, port);
                self.inbox.extend(self.meeting.candidates().map(Input::Reachable));
            }
            Err(error) => self.show(unreachable_because(&error)).await,
        }
    }

    pub(super) async fn on_peer_news(&mut self, news: PeerNews) -> Result<(), ClientError> {
        match news {
            PeerNews::Came(stream) => self.meeting.greet(stream),
            PeerNews::Greeted(number, done) => {
                let known = self.meeting.greeting.remove(&number).is_some();
                if let Some(stream) = done.filter(|_| known) {
                    let conn = self.meeting.use_stream(*stream);
                    self.feed(Input::PeerOpened { conn, dial: None }).await?;
                }
            }
            PeerNews::Dialed(dial, number, done) => {
                // Late news of a dial that was abandoned.
                if self.meeting.dials.get(&dial).is_none_or(|(known, _)| *known != number) {
                    return Ok(());
                }
                self.meeting.dials.remove(&dial);
                let input = match done {
                    Some(stream) => Input::PeerOpened { conn: self.meeting.use_stream(*stream), dial: Some(dial) },
                    None => Input::PeerFailed(dial),
                };
                self.feed(input).await?;
            }
            PeerNews::Heard(conn, message) => {
                if self.meeting.conns.contains_key(&conn) {
                    self.feed(Input::PeerHeard { conn, message }).await?;
                }
            }
            PeerNews::Lost(conn) => {
                if self.meeting.conns.remove(&conn).is_some() {
                    self.feed(Input::PeerLost(conn)).await?;
                }
            }
        }
        Ok(())
    }
}

fn unreachable_because(error: &dyn std::fmt::Display) -> Event {
    let text =
        format!("the opponent cannot reach this client directly: {error}; --peer-listen ADDR chooses another port");
    Event::Notice { code: "peer-listen", text }
}
