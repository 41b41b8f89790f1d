//! A server by script: real TLS, real keys, and whatever frames the test wants.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rejoin::model::id::{Boot, Lsn, Name, SessionId, UserId};
use rejoin::model::key::{PublicKey, SecretKey, ServerId, Signature};
use rejoin::model::limits::FRAME_BYTES_MAX;
use rejoin::model::message::{Answer, Command, Hello, MatchView, ToClient, ToServer, View, Welcome};
use rejoin::model::sign::Signed;
use rejoin::model::statement::Proof;
use rejoin::model::time::Clock;
use rejoin::net::certificate::Names;
use rejoin::net::keys::ServerKeys;
use rejoin::net::tls::{self, Secured};
use rejoin::ops::host::{HostClock, HostEntropy};
use rejoin::wire::{Decoded, Decoder, VERSION_MAX, decode, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::PATIENCE;

pub(super) const NONCE: [u8; 16] = [7; 16];
pub(super) const SESSION: SessionId = SessionId([8; 16]);
pub(super) const ALICE: UserId = UserId([1; 16]);
pub(super) const BOB: UserId = UserId([2; 16]);

/// Where a server listens and who it is.
pub(super) struct Server {
    pub(super) keys: ServerKeys,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    turns: Semaphore,
}

/// One connection, from the server's side.
pub(super) struct Conn {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    pub(super) exporter: [u8; 32],
}

impl Server {
    /// Listens on a free port of this machine, with the keys in `certs`.
    pub(super) async fn start(certs: &Path) -> Self {
        Self::on(certs, "127.0.0.1:0".parse().unwrap()).await
    }

    pub(super) async fn on(certs: &Path, addr: SocketAddr) -> Self {
        let keys = ServerKeys::load_or_make(certs, &HostEntropy).unwrap();
        let certificate = keys.certificate(&Names::default(), &HostEntropy, HostClock::start().wall()).unwrap();
        let tls = tls::server_config(tls::provider(), certificate).unwrap();
        Self { keys, listener: TcpListener::bind(addr).await.unwrap(), tls, turns: Semaphore::new(tls::TURNS) }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(super) fn id(&self) -> ServerId {
        self.keys.id()
    }

    /// The next connection, after TLS and `Hello`.
    pub(super) async fn accept(&self) -> (Conn, Hello) {
        timeout(PATIENCE, self.accept_on()).await.expect("a client comes in time")
    }

    async fn accept_on(&self) -> (Conn, Hello) {
        loop {
            let (stream, _) = self.listener.accept().await.unwrap();
            // A client may end a dial in the middle.
            let Ok(Secured { stream, exporter, .. }) = tls::accept(stream, &self.tls, &self.turns).await else {
                continue;
            };
            let mut conn = Conn { stream, decoder: Decoder::new(FRAME_BYTES_MAX), exporter };
            match conn.try_read().await {
                Some(ToServer::Hello(hello)) => return (conn, hello),
                None => {}
                other => panic!("the first frame is {other:?}"),
            }
        }
    }

    /// The next connection, after the welcome.
    pub(super) async fn greet(&self) -> Conn {
        let (mut conn, _) = self.accept().await;
        conn.send(&self.welcome(&conn)).await;
        conn
    }

    /// The next connection, with the first of its frames that is no ping.
    pub(super) async fn greet_and_read(&self) -> (Conn, ToServer) {
        let mut conn = self.greet().await;
        let first = conn.read().await;
        (conn, first)
    }

    pub(super) fn welcome(&self, conn: &Conn) -> ToClient {
        let id = self.id();
        let proof = Signed::by(self.keys.key(), &id, Proof { exporter: conn.exporter }).signature;
        welcome(self.keys.public(), proof)
    }

    pub(super) fn key(&self) -> &SecretKey {
        self.keys.key()
    }

    /// Logs alice in on a connection, whatever her password; her device key.
    pub(super) async fn log_in(&self, conn: &mut Conn, matches: Vec<MatchView>) -> PublicKey {
        let (seq, device) = match conn.read().await {
            ToServer::Request { seq, command: Command::Login { device, .. } } => (seq, device),
            other => panic!("not a login: {other:?}"),
        };
        conn.send(&live(matches)).await;
        conn.send(&ToClient::Answer { seq, result: Ok(Answer::Done) }).await;
        device
    }
}

impl Conn {
    pub(super) async fn send(&mut self, message: &ToClient) {
        self.send_bytes(&encode(message)).await;
    }

    /// Sends messages in one piece.
    pub(super) async fn send_all(&mut self, messages: &[ToClient]) {
        let bytes: Vec<u8> = messages.iter().flat_map(encode).collect();
        self.send_bytes(&bytes).await;
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Whether the client ends TLS before it ends the connection.
    pub(super) async fn ended_politely(&mut self) -> bool {
        // Without the last alert this is an error.
        matches!(self.stream.read(&mut [0; 64]).await, Ok(0))
    }

    /// The next message that is no ping; pings are answered.
    pub(super) async fn read(&mut self) -> ToServer {
        self.try_read().await.expect("the client has ended the connection")
    }

    /// As `read`, or `None` when the client has ended the connection.
    pub(super) async fn try_read(&mut self) -> Option<ToServer> {
        timeout(PATIENCE, self.read_on()).await.expect("the client says something in time")
    }

    async fn read_on(&mut self) -> Option<ToServer> {
        let mut buffer = [0; 4096];
        loop {
            while let Some(frame) = self.decoder.next_frame().unwrap() {
                match decode::<ToServer>(&frame).unwrap() {
                    Decoded::Message(ToServer::Ping(number)) => self.send(&ToClient::Pong(number)).await,
                    Decoded::Message(message) => return Some(message),
                    Decoded::Unknown(kind) => panic!("kind {kind}"),
                }
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(len) => self.decoder.feed(&buffer[..len]),
            }
        }
    }

    /// Ends the connection with a reset, as a killed process with unread bytes does.
    pub(super) fn reset(self) {
        self.stream.get_ref().0.set_zero_linger().unwrap();
    }
}

pub(super) fn welcome(key: PublicKey, proof: Signature) -> ToClient {
    ToClient::Welcome(Welcome { version: VERSION_MAX, key, proof, nonce: NONCE })
}

/// All that alice must know.
pub(super) fn live(matches: Vec<MatchView>) -> ToClient {
    ToClient::Live(Box::new(View {
        session: SESSION,
        user: ALICE,
        name: Name::new("alice").unwrap(),
        boot: Boot { number: 1, nonce: 1 },
        lsn: Lsn(1),
        invites: Vec::new(),
        matches,
        show_all: false,
    }))
}
