//! TLS 1.3 and nothing older, on every connection.
//!
//! What must hold: both sides check after the handshake that `rejoin/1` was agreed on, because rustls lets a peer
//! pass that offers no protocol at all; no tickets, no resumption, no early data, so each connection has keys of its
//! own; the crypto provider is an argument, never global to the process.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{Acceptor, NoServerSessionStorage, ResolvesServerCert};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, NamedGroup, PeerIncompatible,
    RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

use crate::model::limits::HANDSHAKE_MAX;

/// The one application protocol.
pub const ALPN: &[u8] = b"rejoin/1";
/// Handshakes worked on at once: enough that the processors never wait for the network.
pub const TURNS: usize = 16;
/// A handshake that is not through by then gives its turn to the next, and goes on beside it.
const TURN_MAX: Duration = Duration::from_millis(100);
/// The label under which both sides draw the value that names their connection.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-rejoin/1";

/// How a client judges the server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Any certificate will do, because the server proves its id in its first frame: by a pin, or on first use. That
    /// the server holds the certificate's key is checked all the same.
    Pin,
    /// It must come from one of these authorities (PEM), name the host, and be in date.
    Ca(Vec<u8>),
}

/// A connection after its handshake.
pub struct Secured<S> {
    /// For the frames.
    pub stream: TlsStream<S>,
    /// The same 32 bytes on both ends of this connection, and of no other: what proofs of identity sign.
    pub exporter: [u8; 32],
    /// How the keys were agreed on.
    pub group: NamedGroup,
}

impl<S> fmt::Debug for Secured<S> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Secured").field("group", &self.group).finish_non_exhaustive()
    }
}

/// No secured connection came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The handshake was not done in time.
    #[error("the TLS handshake took longer than {limit:?}")]
    Slow {
        /// What was allowed.
        limit: Duration,
    },
    /// The other side does not speak `rejoin/1`.
    #[error("the other side does not speak rejoin/1")]
    Protocol,
    /// The other side offers nothing newer than TLS 1.2.
    #[error("the other side does not speak TLS 1.3")]
    Old,
    /// The other side shows no key, another one than the opponent's in this match, or cannot sign with it.
    #[error("the other side does not hold the key of this match")]
    Stranger,
    /// To the other side we are the stranger.
    #[error("the other side says that we do not hold the key of this match")]
    Refused,
    /// Both players of a match with the same key: whoever reflects what we send would be the opponent.
    #[error("both players of this match have the same key")]
    SameKey,
    /// The authority given with `--ca` does not stand for this server.
    #[error("the server's certificate is refused: {0}")]
    Certificate(CertificateError),
    /// The PEM text given with `--ca` holds no usable certificate.
    #[error("no certificate of an authority could be read: {0}")]
    Ca(String),
    /// The other side ended the handshake.
    #[error("the other side ended the TLS handshake: {0:?}")]
    Alert(AlertDescription),
    /// What came is not TLS, or broken.
    #[error("the TLS handshake failed: {0}")]
    Broken(rustls::Error),
    /// The connection failed below TLS.
    #[error("the connection failed during the TLS handshake: {0}")]
    Io(#[source] io::Error),
}

/// The product's cryptography: aws-lc, the post-quantum hybrid X25519MLKEM768 first, and of the ciphers the one whose
/// hash is SHA-256: a handshake hashes a hundred times, and processors do that one themselves, but not SHA-384.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

/// Draws a first random number. In a new process that takes aws-lc about 30 ms: call it on a side thread at start.
/// If it fails the first handshake reports it.
pub fn warm_up(provider: &CryptoProvider) {
    let _ = provider.secure_random.fill(&mut [0; 1]);
}

/// The server's side of every connection.
///
/// # Errors
/// [`TlsError::Broken`] when the provider cannot do TLS 1.3.
pub fn server_config(
    provider: Arc<CryptoProvider>,
    certificate: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Broken)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// The client's side of connections to servers it trusts by `trust`.
///
/// # Errors
/// [`TlsError::Ca`] when the authority's PEM cannot be used, [`TlsError::Broken`] when the provider cannot do TLS 1.3.
pub fn client_config(provider: Arc<CryptoProvider>, trust: &Trust) -> Result<Arc<ClientConfig>, TlsError> {
    let algorithms = provider.signature_verification_algorithms;
    let builder =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).map_err(TlsError::Broken)?;
    let mut config = match trust {
        Trust::Pin => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(algorithms))),
        Trust::Ca(pem) => builder.with_root_certificates(authorities(pem)?),
    }
    .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    // With a pin the name decides nothing, so nobody on the way needs to read it.
    config.enable_sni = *trust != Trust::Pin;
    Ok(Arc::new(config))
}

/// The server's side of one handshake, within [`HANDSHAKE_MAX`]. Of many at once, [`TURNS`] are worked on and the
/// others wait in order: so the first clients are through early, and not all of them late.
///
/// # Errors
/// [`TlsError`]; the connection is closed.
pub async fn accept<S>(stream: S, config: &Arc<ServerConfig>, turns: &Semaphore) -> Result<Secured<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    accept_within(stream, config, turns, HANDSHAKE_MAX).await
}

/// The client's side of one handshake, within [`HANDSHAKE_MAX`]. `host` is what the user typed, without port.
///
/// # Errors
/// [`TlsError`]; the connection is closed.
pub async fn connect<S>(stream: S, config: &Arc<ClientConfig>, host: &str) -> Result<Secured<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connect_within(stream, config, host, HANDSHAKE_MAX).await
}

async fn accept_within<S>(
    stream: S,
    config: &Arc<ServerConfig>,
    turns: &Semaphore,
    limit: Duration,
) -> Result<Secured<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = async {
        // Whoever says nothing waits here, and takes nobody's turn.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let turn = turns.acquire().await.ok();
        let mut rest = pin!(hello.into_stream(Arc::clone(config)));
        let quick = timeout(TURN_MAX, &mut rest).await;
        drop(turn);
        match quick {
            Ok(done) => done,
            Err(_) => rest.await,
        }
    };
    let stream = timeout(limit, handshake).await.map_err(|_| TlsError::Slow { limit })?.map_err(explain)?;
    secured(stream.into())
}

async fn connect_within<S>(
    stream: S,
    config: &Arc<ClientConfig>,
    host: &str,
    limit: Duration,
) -> Result<Secured<S>, TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // An IPv6 address with a zone is a good address that no certificate can name: then an authority refuses it, and
    // a pin does not care.
    let name = ServerName::try_from(host.to_owned())
        .unwrap_or_else(|_| ServerName::try_from(NAMELESS).expect("a name reserved for this by RFC 2606"));
    let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    let stream = timeout(limit, handshake).await.map_err(|_| TlsError::Slow { limit })?.map_err(explain)?;
    secured(stream.into())
}

pub(super) fn secured<S>(stream: TlsStream<S>) -> Result<Secured<S>, TlsError> {
    let (_, connection) = stream.get_ref();
    if connection.alpn_protocol() != Some(ALPN) {
        return Err(TlsError::Protocol);
    }
    let group = connection.negotiated_key_exchange_group().expect("known once a handshake is done").name();
    let exporter = match &stream {
        TlsStream::Client(client) => client.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None),
        TlsStream::Server(server) => server.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None),
    };
    Ok(Secured { exporter: exporter.map_err(TlsError::Broken)?, group, stream })
}

/// Finds what rustls said inside of what tokio says.
#[expect(clippy::wildcard_enum_match_arm, reason = "the enum is rustls' and grows")]
pub(super) fn explain(error: io::Error) -> TlsError {
    let tls = match error.downcast::<rustls::Error>() {
        Ok(tls) => tls,
        Err(io) => return TlsError::Io(io),
    };
    match tls {
        rustls::Error::NoApplicationProtocol
        | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => TlsError::Protocol,
        rustls::Error::PeerIncompatible(
            PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        )
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => TlsError::Old,
        rustls::Error::InvalidCertificate(why) => TlsError::Certificate(why),
        rustls::Error::AlertReceived(alert) => TlsError::Alert(alert),
        other => TlsError::Broken(other),
    }
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| TlsError::Ca(error.to_string()))?;
        roots.add(certificate).map_err(|error| TlsError::Ca(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsError::Ca("the file holds none".to_owned()));
    }
    Ok(roots)
}

/// Takes any certificate, but only from who holds its key.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Stands for a host that no certificate can name.
pub(super) const NAMELESS: &str = "nameless.invalid";

#[cfg(test)]
mod tests {
    use rustls::server::ResolvesServerCertUsingSni;
    use tokio::io::duplex;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_client_that_sends_nothing_is_given_up() {
        let config = server_config(provider(), Arc::new(ResolvesServerCertUsingSni::new())).unwrap();
        let (ours, _theirs) = duplex(1024);
        let error = accept_within(ours, &config, &Semaphore::new(1), LIMIT).await.unwrap_err();
        assert!(matches!(error, TlsError::Slow { limit: LIMIT }), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_sends_nothing_is_given_up() {
        let config = client_config(provider(), &Trust::Pin).unwrap();
        let (ours, _theirs) = duplex(64 * 1024);
        let error = connect_within(ours, &config, "fe80::1%eth0", LIMIT).await.unwrap_err();
        assert!(matches!(error, TlsError::Slow { limit: LIMIT }), "{error}");
    }

    #[test]
    fn the_post_quantum_hybrid_is_offered_first() {
        let groups: Vec<_> = provider().kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(groups[0], NamedGroup::X25519MLKEM768, "{groups:?}");
    }

    #[test]
    fn the_cipher_hashed_in_hardware_is_offered_first_and_the_stronger_ones_too() {
        let suites: Vec<_> = provider().cipher_suites.iter().map(|suite| suite.suite()).collect();
        assert_eq!(suites[0], CipherSuite::TLS13_AES_128_GCM_SHA256, "{suites:?}");
        assert!(suites.contains(&CipherSuite::TLS13_AES_256_GCM_SHA384), "{suites:?}");
        assert!(suites.contains(&CipherSuite::TLS13_CHACHA20_POLY1305_SHA256), "{suites:?}");
    }

    #[test]
    fn a_text_without_certificates_is_no_authority() {
        for text in ["", "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let error = client_config(provider(), &Trust::Ca(text.into())).unwrap_err();
            assert!(matches!(error, TlsError::Ca(_)), "{text:?}: {error}");
        }
    }
}
