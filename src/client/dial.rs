//! One dial: the name, TCP, TLS, `Hello`, the server's proof, and whether it is trusted.
//!
//! What must hold: a connection is handed up only from a server that has proved its id on this very connection and is
//! trusted; nothing but `Hello` was sent on it. Dropping the future ends the dial.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::config::{Config, Seams};
use super::error::ClientError;
use super::known::KnownFile;
use crate::model::key::ServerId;
use crate::model::limits::{DIAL_MAX, FRAME_BYTES_MAX};
use crate::model::message::{Hello, ToClient, ToServer, Welcome};
use crate::model::sign::Signed;
use crate::model::statement::Proof;
use crate::net::keys::published_id;
use crate::net::seam::{Dialed, Stream};
use crate::net::tls::{self, Secured, TlsError, Trust};
use crate::net::trust::{Decision, Evidence, TrustError, decide};
use crate::ops::work;
use crate::wire::{Decoded, Decoder, FrameError, decode, encode};

const READ_BYTES: usize = 1024;

/// What every dial of a client shares.
pub(super) struct Dialer {
    pub(super) config: Config,
    pub(super) known: KnownFile,
    seams: Seams,
    tls: Arc<ClientConfig>,
    hello: Hello,
    /// The server that was found to be the right one in this run.
    trusted: OnceLock<ServerId>,
}

/// A connection that can be used.
pub(super) struct Ready {
    pub(super) welcome: Box<Welcome>,
    pub(super) exporter: [u8; 32],
    pub(super) stream: TlsStream<Stream>,
    /// Our end of it.
    pub(super) local: SocketAddr,
    /// With what came after the first frame.
    pub(super) decoder: Decoder,
}

/// Why a dial gave no connection.
pub(super) enum DialError {
    /// It may do so the next time.
    Failed {
        /// Why, for people.
        why: String,
        /// Whether something answered that is no rejoin server.
        stranger: bool,
    },
    /// A person must say whether this server is the right one.
    Ask(ServerId),
    /// No later dial can do better.
    Fatal(ClientError),
}

impl Dialer {
    /// Reads the authority's file, if there is one.
    pub(super) fn new(config: Config, seams: Seams, hello: Hello) -> Result<Self, ClientError> {
        let trust = match &config.ca {
            Some(path) => Trust::Ca(read_authority(&seams, path)?),
            None => Trust::Pin,
        };
        let tls = tls::client_config(Arc::clone(&seams.provider), &trust).map_err(ClientError::Tls)?;
        let known = KnownFile::new(Arc::clone(&seams.disk), config.state.clone());
        Ok(Self { config, known, seams, tls, hello, trusted: OnceLock::new() })
    }

    /// Who the server at this address must be, as far as it is known before the first dial. Blocks.
    pub(super) fn expected(&self) -> Result<Option<ServerId>, ClientError> {
        let address = &self.config.address;
        let known = self.known.load()?.get(address);
        Ok(address.id.or(known).or_else(|| self.local()))
    }

    /// Dials once. `reached` is called when something listens.
    pub(super) async fn dial(self: Arc<Self>, reached: impl AsyncFnOnce()) -> Result<Box<Ready>, DialError> {
        let Dialed { stream, local } = self.connect().await?;
        reached().await;
        let host = &self.config.address.host;
        let Secured { stream, exporter, .. } =
            tls::connect(stream, &self.tls, host).await.map_err(|error| self.explain(error))?;
        let ready = self.greet(stream, local, exporter).await?;
        let id = ServerId::of(&ready.welcome.key);
        let proof = Signed { body: Proof { exporter }, signature: ready.welcome.proof };
        if proof.verify(&ready.welcome.key, &id).is_err() {
            let address = self.config.address.key();
            return Err(DialError::Fatal(ClientError::Proof { address, id }));
        }
        if self.trusted.get() != Some(&id) {
            let dialer = Arc::clone(&self);
            let judging = work::done(&*self.seams.worker, move || dialer.judge(id));
            judging.await.map_err(|_| failed(&"the look at the known servers has panicked"))??;
            self.trusted.get_or_init(|| id);
        }
        Ok(ready)
    }

    /// The first address that can be connected to.
    async fn connect(&self) -> Result<Dialed, DialError> {
        let address = &self.config.address;
        let resolved = self.seams.net.resolve(&address.host, address.port).await;
        let all: Vec<SocketAddr> = resolved.map_err(|error| failed(&error))?;
        let mut last = format!("no address is known for {}", address.host);
        // One that does not answer must not use up the time of the others.
        let share = DIAL_MAX / u32::try_from(all.len().max(1)).unwrap_or(u32::MAX);
        for addr in all {
            match timeout(share, self.seams.net.dial(addr)).await {
                Ok(Ok(dialed)) => return Ok(dialed),
                Ok(Err(error)) => last = format!("{addr}: {error}"),
                Err(_) => last = format!("{addr}: no answer"),
            }
        }
        Err(DialError::Failed { why: last, stranger: false })
    }

    /// Says hello and waits for the welcome.
    async fn greet(
        &self,
        mut stream: TlsStream<Stream>,
        local: SocketAddr,
        exporter: [u8; 32],
    ) -> Result<Box<Ready>, DialError> {
        let hello = encode(&ToServer::Hello(self.hello.clone()));
        stream.write_all(&hello).await.map_err(|error| failed(&error))?;
        stream.flush().await.map_err(|error| failed(&error))?;
        let mut decoder = Decoder::new(FRAME_BYTES_MAX);
        let mut buffer = [0; READ_BYTES];
        let frame = loop {
            if let Some(frame) = decoder.next_frame().map_err(broken)? {
                break frame;
            }
            match stream.read(&mut buffer).await {
                Ok(0) => return Err(failed(&"the server ended the connection")),
                Ok(len) => decoder.feed(&buffer[..len]),
                Err(error) => return Err(failed(&error)),
            }
        };
        match decode::<ToClient>(&frame) {
            Ok(Decoded::Message(ToClient::Welcome(welcome))) if self.speaks(welcome.version) => {
                Ok(Box::new(Ready { welcome: Box::new(welcome), exporter, stream, local, decoder }))
            }
            Ok(Decoded::Message(ToClient::Welcome(Welcome { version, .. }))) => {
                Err(DialError::Fatal(ClientError::Version { min: version, max: version }))
            }
            Ok(Decoded::Message(ToClient::UpgradeRequired { min, max })) => {
                Err(DialError::Fatal(ClientError::Version { min, max }))
            }
            // Too many connections, for example.
            Ok(Decoded::Message(ToClient::Closing { why, .. })) => {
                Err(failed(&format!("the server ended the connection ({why:?})")))
            }
            Ok(Decoded::Message(_) | Decoded::Unknown(_)) => Err(strange(&"the first frame is no welcome")),
            Err(error) => Err(strange(&error)),
        }
    }

    const fn speaks(&self, version: u16) -> bool {
        self.hello.min <= version && version <= self.hello.max
    }

    /// Whether the server that has proved to be `proven` is the right one; blocks.
    fn judge(&self, proven: ServerId) -> Result<(), DialError> {
        let known = self.known.load().map_err(DialError::Fatal)?;
        let Config { address, trust_new, interactive, ca, .. } = &self.config;
        let evidence = Evidence {
            address,
            proven,
            by_ca: ca.is_some(),
            known: &known,
            local: self.local(),
            trust_new: *trust_new,
            interactive: *interactive,
        };
        match decide(&evidence) {
            Decision::Accept { remember: false } => Ok(()),
            Decision::Accept { remember: true } => self.remember(proven).map_err(DialError::Fatal),
            Decision::Ask { id } => Err(DialError::Ask(id)),
            Decision::Refuse(why) => Err(DialError::Fatal(why.into())),
        }
    }

    /// Puts the server into `known_servers`; blocks.
    pub(super) fn remember(&self, id: ServerId) -> Result<(), ClientError> {
        self.known.remember(&self.config.address, id)
    }

    /// That a person has said no to this server.
    pub(super) fn declined(&self, proven: ServerId) -> ClientError {
        TrustError::Unknown { address: self.config.address.clone(), proven }.into()
    }

    /// The id in the certs directory at hand. One that cannot be read vouches for nobody.
    fn local(&self) -> Option<ServerId> {
        self.config.address.is_loopback().then(|| published_id(&self.config.certs).ok().flatten()).flatten()
    }

    fn explain(&self, error: TlsError) -> DialError {
        match error {
            TlsError::Certificate(_) => {
                let address = self.config.address.key();
                DialError::Fatal(ClientError::Certificate { address, why: error })
            }
            TlsError::Slow { .. } | TlsError::Io(_) => failed(&error),
            TlsError::Protocol
            | TlsError::Old
            | TlsError::Stranger
            | TlsError::Refused
            | TlsError::SameKey
            | TlsError::Ca(_)
            | TlsError::Alert(_)
            | TlsError::Broken(_) => strange(&error),
        }
    }
}

fn read_authority(seams: &Seams, path: &Path) -> Result<Vec<u8>, ClientError> {
    seams.disk.read(path).map_err(|source: io::Error| ClientError::Authority { path: path.to_owned(), source })
}

fn failed(why: &dyn std::fmt::Display) -> DialError {
    DialError::Failed { why: why.to_string(), stranger: false }
}

fn strange(why: &dyn std::fmt::Display) -> DialError {
    DialError::Failed { why: why.to_string(), stranger: true }
}

/// Frames of another version come from a server of another time.
fn broken(error: FrameError) -> DialError {
    match error {
        FrameError::Version { version } => {
            let version = u16::from(version);
            DialError::Fatal(ClientError::Version { min: version, max: version })
        }
        FrameError::TooLong { .. } | FrameError::Checksum => strange(&error),
    }
}
