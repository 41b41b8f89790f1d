//! One connection: TLS, hello, frames in and out, silence. Signatures are checked and made here, off the engine.

use std::future::ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsStream;
use tracing::{debug, info};

use super::checks::{self, Checks};
use super::log::{end_word, outage_told};
use super::{House, doors::Guest};
use crate::model::engine::Input;
use crate::model::event::LinkEnd;
use crate::model::id::{ConnId, Name, SessionId};
use crate::model::key::PublicKey;
use crate::model::limits::{
    FIRST_FRAME_MAX, FRAME_BYTES_MAX, FRAME_BYTES_STRANGER_MAX, SEND_QUEUE_MAX, SILENCE_IDLE_MAX,
};
use crate::model::message::{
    CloseReason, Entries, Have, Hello, KeeperMessage, ResumeRequest, ToClient, ToServer, Welcome,
};
use crate::model::pulse::Silence;
use crate::model::refusal::Refusal;
use crate::model::sign::Signed;
use crate::model::statement::{Proof, Resume};
use crate::model::time::{Clock, Now};
use crate::net::seam::Stream;
use crate::net::tls::{self, Secured};
use crate::ops::event;
use crate::ops::host::{Stopwatch, sleep_until};
use crate::ops::metrics::Metrics;
use crate::wire::{self, Decoded, Decoder, FrameError};

/// What the engine tells a connection.
#[derive(Debug)]
pub(crate) enum Order {
    /// Send.
    Send(Box<ToClient>),
    /// Whether the user is in a match.
    Pace(bool),
    /// Check the signature of the resume under way with this key.
    CheckResume(PublicKey),
    /// Say why and close.
    Close(CloseReason),
}

/// A connection that has said hello.
struct Conn {
    house: Arc<House>,
    id: ConnId,
    ip: IpAddr,
    port: u16,
    exporter: [u8; 32],
    nonce: [u8; 16],
    resume: Option<ResumeRequest>,
    /// Whether it was ever logged in.
    live: bool,
    checks: Checks,
    silence: Silence,
    /// What the engine has not dealt with yet.
    turns: Arc<Semaphore>,
    guest: Guest,
    link: Link,
    metrics: Arc<Metrics>,
    /// Since it asked for its session.
    asked: Option<Stopwatch>,
    /// Who has taken a session up again here and has not told of the outage.
    back: Option<(SessionId, Name)>,
}

/// Frames from the client and to it.
struct Link {
    stream: TlsStream<Stream>,
    decoder: Decoder,
    buffer: Box<[u8; READ_BYTES]>,
    metrics: Arc<Metrics>,
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The link went, by the other's doing.
    Lost(LinkEnd),
    /// This side closes it.
    Close(CloseReason),
    /// The client speaks another version.
    Version,
    /// The client does not read what is sent to it, and the engine has let go of it.
    Unread,
    /// The engine is gone.
    Dropped,
}

/// Bytes read at once.
const READ_BYTES: usize = 4096;
/// Messages of one connection that wait for the engine. What it says to all of them fits the queue of orders, so a client
/// that has much to show, and reads, is never taken for one that does not.
const TURNS_MAX: usize = 16;
/// Frames that the engine sends at most to whoever has sent one: three of entries, and whatever else it holds.
const REPLIES_MAX: usize = 8;
const _: () = assert!(TURNS_MAX * REPLIES_MAX <= SEND_QUEUE_MAX / 2);
/// Bytes of frames written at once.
const WRITE_BYTES: usize = 32 * 1024;
/// How long a goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

/// Serves one connection from the handshake to its end.
pub(crate) async fn serve(house: Arc<House>, stream: Stream, peer: SocketAddr, guest: Guest) {
    let secured = match tls::accept(stream, &house.tls, &house.turns).await {
        Ok(secured) => secured,
        Err(error) => {
            debug!(event = event::TURNED_AWAY, ip = %peer.ip(), %error, "no TLS connection came about");
            return;
        }
    };
    if !house.serves().await {
        return;
    }
    let Secured { stream, exporter, .. } = secured;
    let decoder = Decoder::new(FRAME_BYTES_STRANGER_MAX);
    let mut link = Link { stream, decoder, buffer: Box::new([0; READ_BYTES]), metrics: Arc::clone(&house.ops.metrics) };
    let hello = timeout(FIRST_FRAME_MAX, link.hello()).await.unwrap_or(Err(End::Close(CloseReason::Silent)));
    let hello = match hello {
        Ok(hello) => hello,
        Err(end) => return link.farewell(peer.ip(), &end).await,
    };
    let mut nonce = [0; 16];
    house.entropy.fill(&mut nonce);
    let proof = Signed::by(house.seals.key(), &house.server, Proof { exporter }).signature;
    let key = house.seals.public();
    let welcome = Welcome { version: wire::VERSION_MAX, key, proof, nonce };
    let silence = Silence::new(house.clock.now());
    let turns = Arc::new(Semaphore::new(TURNS_MAX));
    let (id, ip, port) = (house.next_conn(), peer.ip(), peer.port());
    let checks = Checks::new(id, key);
    let metrics = Arc::clone(&house.ops.metrics);
    let mut conn = Conn {
        house,
        id,
        ip,
        port,
        exporter,
        nonce,
        resume: None,
        live: false,
        checks,
        silence,
        turns,
        guest,
        link,
        metrics,
        asked: None,
        back: None,
    };
    let _counted = Counted::enter(&conn.metrics);
    info!(event = event::CONNECTED, conn = id.0, ip = %ip, port, "connected");
    if conn.write(&wire::encode(&ToClient::Welcome(welcome))).await.is_ok() {
        conn.run(hello).await;
    }
}

/// One connection more, for as long as it lives.
struct Counted(Arc<Metrics>);

impl Counted {
    fn enter(metrics: &Arc<Metrics>) -> Self {
        metrics.connections.inc();
        metrics.connected.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

impl Link {
    /// The first frame.
    async fn hello(&mut self) -> Result<Hello, End> {
        loop {
            if let Some(message) = self.next()? {
                let Decoded::Message(ToServer::Hello(hello)) = message else {
                    return Err(End::Close(CloseReason::Malformed));
                };
                let spoken = hello.min <= wire::VERSION_MAX && hello.max >= wire::VERSION_MIN;
                return if spoken { Ok(hello) } else { Err(End::Version) };
            }
            self.fill().await?;
        }
    }

    /// The next whole message among the bytes that have come.
    fn next(&mut self) -> Result<Option<Decoded<ToServer>>, End> {
        let frame = self.decoder.next_frame().map_err(|error| match error {
            FrameError::Version { .. } => End::Version,
            FrameError::TooLong { .. } | FrameError::Checksum => End::Close(CloseReason::Malformed),
        })?;
        frame.map(|frame| wire::decode(&frame)).transpose().map_err(|_| End::Close(CloseReason::Malformed))
    }

    /// Waits for bytes.
    async fn fill(&mut self) -> Result<(), End> {
        match self.stream.read(&mut self.buffer[..]).await {
            Ok(0) => Err(End::Lost(LinkEnd::Closed)),
            Ok(count) => {
                self.metrics.received(count);
                self.decoder.feed(&self.buffer[..count]);
                Ok(())
            }
            Err(_) => Err(End::Lost(LinkEnd::Reset)),
        }
    }

    /// Writes and flushes. A client that does not read for as long as silence is allowed is dropped.
    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.metrics.sent(bytes.len());
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(SILENCE_IDLE_MAX, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Lost(LinkEnd::Reset)),
            Err(_) => Err(End::Close(CloseReason::Slow)),
        }
    }

    /// Says why, if there is something to say, and closes.
    async fn farewell(&mut self, ip: IpAddr, end: &End) {
        let message = match end {
            End::Lost(_) | End::Dropped => None,
            End::Version => Some(ToClient::UpgradeRequired { min: wire::VERSION_MIN, max: wire::VERSION_MAX }),
            End::Close(why) => Some(ToClient::Closing { why: *why, retry_after_ms: 0 }),
            End::Unread => Some(ToClient::Closing { why: CloseReason::Slow, retry_after_ms: 0 }),
        };
        if matches!(end, End::Version | End::Close(CloseReason::Malformed | CloseReason::Slow)) {
            info!(event = event::MISBEHAVED, %ip, ?end, "a connection is closed");
        }
        let bytes = message.map(|message| wire::encode(&message)).unwrap_or_default();
        let goodbye = async {
            self.stream.write_all(&bytes).await?;
            self.stream.shutdown().await?;
            // A connection that is closed over what nobody has read is reset, and what was said is lost with it.
            while !bytes.is_empty() && self.stream.read(&mut self.buffer[..]).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        // Nothing more can be done for a peer that does not take it.
        let _ = timeout(GOODBYE_MAX, goodbye).await;
    }
}

impl Conn {
    async fn run(mut self, hello: Hello) {
        let (sender, mut orders) = mpsc::channel(SEND_QUEUE_MAX);
        let opened = Input::Opened { conn: self.id, ip: self.ip, run: hello.run };
        if !self.house.open(self.id, sender, opened).await {
            return;
        }
        let end = self.talk(&mut orders).await;
        let cause = match &end {
            End::Lost(how) => *how,
            End::Close(CloseReason::Silent) => LinkEnd::Silence,
            End::Close(_) | End::Version | End::Unread | End::Dropped => LinkEnd::Ours,
        };
        self.house.close(self.id, cause).await;
        self.link.farewell(self.ip, &end).await;
        let (conn, ip, port, cause) = (self.id.0, self.ip, self.port, end_word(cause));
        info!(event = event::DISCONNECTED, conn, %ip, port, cause, "disconnected");
    }

    /// Until the connection ends.
    async fn talk(&mut self, orders: &mut mpsc::Receiver<Order>) -> End {
        let mut some = Vec::new();
        let mut heard = None;
        // Set again only when it has run out: what comes between only puts the deadline off.
        let mut alarm = self.deadline();
        let mut silent = pin!(alarm_at(Arc::clone(&self.house.clock), alarm));
        loop {
            if heard.is_none() {
                heard = match self.link.next() {
                    Ok(message) => message,
                    Err(end) => return end,
                };
                if heard.is_some() {
                    self.silence.heard(self.house.clock.now());
                }
            }
            // A heartbeat is answered here and at once: it needs nothing of the engine.
            let ping = match heard {
                Some(Decoded::Message(ToServer::Ping(number))) => Some(number),
                Some(Decoded::Message(_) | Decoded::Unknown(_)) | None => None,
            };
            let deadline = self.deadline();
            if deadline < alarm {
                alarm = deadline;
                silent.set(alarm_at(Arc::clone(&self.house.clock), alarm));
            }
            let turns = &self.turns;
            tokio::select! {
                // What is owed goes out before more is taken in.
                biased;
                count = orders.recv_many(&mut some, SEND_QUEUE_MAX) => {
                    if count == 0 {
                        return if self.house.has_ended() { End::Dropped } else { End::Unread };
                    }
                    if let Err(end) = self.obey(&mut some).await {
                        return end;
                    }
                }
                number = ready(ping.unwrap_or_default()), if ping.is_some() => {
                    heard = None;
                    if let Err(end) = self.reply(ToClient::Pong(number)).await {
                        return end;
                    }
                }
                Ok(turn) = async { Arc::clone(turns).acquire_owned().await }, if heard.is_some() => {
                    if let Some(message) = heard.take()
                        && let Err(end) = self.take(message, turn).await
                    {
                        return end;
                    }
                }
                filled = self.link.fill(), if heard.is_none() => if let Err(end) = filled {
                    return end;
                },
                () = &mut silent, if heard.is_none() => {
                    if deadline <= alarm {
                        return End::Close(CloseReason::Silent);
                    }
                    alarm = deadline;
                    silent.set(alarm_at(Arc::clone(&self.house.clock), alarm));
                }
            }
        }
    }

    /// When silence is too long.
    fn deadline(&self) -> Now {
        checks::silent_at(&self.silence)
    }

    /// One message from the client.
    async fn take(&mut self, message: Decoded<ToServer>, turn: OwnedSemaphorePermit) -> Result<(), End> {
        let conn = self.id;
        let message = match message {
            Decoded::Message(message) => message,
            Decoded::Unknown(kind) => return self.reply(ToClient::Unsupported { kind }).await,
        };
        let input = match message {
            ToServer::Hello(_) => return Err(End::Close(CloseReason::Malformed)),
            ToServer::Ping(_) | ToServer::Pong(_) => return Ok(()),
            ToServer::Resume(request) => {
                info!(event = event::RETRY_SEEN, session = %request.session, ip = %self.ip, conn = conn.0, "retry seen");
                self.resume = Some(request.clone());
                self.asked = Some(Stopwatch::start());
                Input::Resume { conn, request }
            }
            ToServer::Request { seq, command } => Input::Request { conn, seq, command },
            // Before it is known whose connection it is, nothing is to be kept, nor worth a line in the log.
            ToServer::Keeper(
                KeeperMessage::Have(Have { match_id, .. }) | KeeperMessage::Entries(Entries { match_id, .. }),
            ) if !self.live => {
                let refusal = Refusal::NotAPlayer;
                return self.reply(ToClient::EntryRefused { match_id, ply: 0, refusal }).await;
            }
            ToServer::Keeper(_) | ToServer::Candidates(_) | ToServer::Stored { .. } if !self.live => return Ok(()),
            ToServer::Keeper(message) => match self.checks.keeper(message) {
                Some(input) => input,
                None => return Ok(()),
            },
            ToServer::Candidates(candidates) => Input::Candidates { conn, candidates },
            ToServer::Stored { match_id, ruling } => Input::Stored { conn, match_id, ruling },
            ToServer::Outage(record) => {
                if let Some((session, user)) = self.back.take() {
                    outage_told(&user, self.ip, session, &record);
                }
                return Ok(());
            }
        };
        self.house.tell_in_turn(input, turn).await;
        Ok(())
    }

    /// What the engine says, in order, in as few writes as may be.
    async fn obey(&mut self, orders: &mut Vec<Order>) -> Result<(), End> {
        let mut bytes = Vec::new();
        for order in orders.drain(..) {
            match order {
                Order::Send(message) => {
                    if matches!(*message, ToClient::Live(_)) {
                        // A client that has seen the end of its outage can count on the log for it.
                        self.house.logged().await;
                    }
                    self.append(&mut bytes, *message);
                }
                Order::Pace(urgent) => self.silence.set_urgent(self.house.clock.now(), urgent),
                Order::CheckResume(device) => {
                    let good = self.resume.take().is_some_and(|request| self.check(&device, &request));
                    self.house.tell(Input::ResumeChecked { conn: self.id, good }).await;
                }
                Order::Close(why) => {
                    self.write(&bytes).await?;
                    return Err(End::Close(why));
                }
            }
            if bytes.len() >= WRITE_BYTES {
                self.write(&std::mem::take(&mut bytes)).await?;
            }
        }
        self.write(&bytes).await
    }

    fn check(&self, device: &PublicKey, request: &ResumeRequest) -> bool {
        let body = Resume { session: request.session, nonce: self.nonce, exporter: self.exporter };
        Signed { body, signature: request.signature }.verify(device, &self.house.server).is_ok()
    }

    /// Signs what is the server's to sign, and learns from it what this connection may send.
    fn append(&mut self, bytes: &mut Vec<u8>, mut message: ToClient) {
        let House { seals, server, .. } = &*self.house;
        message.seal_by(server, |bytes| seals.sign(bytes));
        self.checks.sent(&message);
        if let ToClient::Live(view) = &message {
            self.guest.logged_in();
            if let Some(asked) = self.asked.take() {
                self.metrics.resumed(asked.elapsed());
                self.back = Some((view.session, view.name.clone()));
            }
            self.live = true;
            self.link.decoder.set_limit(FRAME_BYTES_MAX);
        }
        bytes.extend_from_slice(&wire::encode(&message));
    }

    async fn reply(&mut self, message: ToClient) -> Result<(), End> {
        self.write(&wire::encode(&message)).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        self.link.write(bytes).await
    }
}

/// Sleeps until a moment, or for ever.
async fn alarm_at(clock: Arc<dyn Clock>, at: Now) {
    sleep_until(&*clock, at).await;
}
