//! TLS 1.3 between the two players of a match.
//!
//! What must hold: each side proves that it holds its match key, and each takes the key of its opponent alone, so no
//! third party and no reflection of ourselves gets through. Keys travel raw (RFC 7250): no certificates, no names, no
//! dates. For the rest it is as on every connection: `rejoin/1` checked by both, nothing resumed, nothing early.
//!
//! The two ends do not learn at the same moment that all is well:
//!
//! ```text
//! dialling                                         dialled
//!    | ------------- ClientHello -------------------> |
//!    | <-- ServerHello, its key and proof, Finished - |
//!  connect returns: the other one is the opponent     |
//!    | --------- our key and proof, Finished -------> |
//!    |                                           accept returns: both are proved
//!    | <----------- its first frame, or an alert ---- |
//!  the link is up
//! ```
//!
//! So the dialled side must send a frame at once, and for the dialling side the link is up when that frame has come:
//! until then it may have been refused without knowing.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, public_key_to_spki};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, PeerIncompatible,
    ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::ed25519::Ed25519Key;
use super::tls::{self, ALPN, NAMELESS, Secured, TlsError};
use crate::model::key::{PublicKey, SecretKey};
use crate::model::limits::HANDSHAKE_MAX;

/// One player's side of the direct connections of one match.
#[derive(Clone)]
pub struct PeerTls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl PeerTls {
    /// With our match key and that of the opponent, both from the grant.
    ///
    /// # Errors
    /// [`TlsError::SameKey`] when they are the same, [`TlsError::Broken`] when the provider cannot do TLS 1.3.
    pub fn new(provider: Arc<CryptoProvider>, mine: &SecretKey, theirs: &PublicKey) -> Result<Self, TlsError> {
        let mine = Ed25519Key::of(mine.clone());
        if mine.public() == *theirs {
            return Err(TlsError::SameKey);
        }
        let pinned = Arc::new(Pinned::new(theirs, &provider));
        let shown = CertificateDer::from(raw(&mine.public()).as_ref().to_vec());
        let mine = Arc::new(CertifiedKey::new(vec![shown], Arc::new(mine)));
        Ok(Self {
            client: dialling(Arc::clone(&provider), Arc::clone(&mine), Arc::clone(&pinned))?,
            server: dialled(provider, mine, pinned)?,
        })
    }

    /// The dialled side of one handshake, within [`HANDSHAKE_MAX`]. When it returns, both sides have proved their keys;
    /// the other one knows it when our first frame has come.
    ///
    /// # Errors
    /// [`TlsError`]; the connection is closed.
    pub async fn accept<S>(&self, stream: S) -> Result<Secured<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.accept_within(stream, HANDSHAKE_MAX).await
    }

    /// The dialling side of one handshake, within [`HANDSHAKE_MAX`]. When it returns, the other side has proved its
    /// key, but may not have taken ours: it has when its first frame is there. If the first read fails instead,
    /// [`explain`] says why; a write before it may fail with a mere reset.
    ///
    /// # Errors
    /// [`TlsError`]; the connection is closed.
    pub async fn connect<S>(&self, stream: S) -> Result<Secured<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connect_within(stream, HANDSHAKE_MAX).await
    }

    async fn accept_within<S>(&self, stream: S, limit: Duration) -> Result<Secured<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let handshake = TlsAcceptor::from(Arc::clone(&self.server)).accept(stream);
        tls::secured(within(limit, handshake).await?.into())
    }

    async fn connect_within<S>(&self, stream: S, limit: Duration) -> Result<Secured<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // It is not sent, and nothing looks at it.
        let name = ServerName::try_from(NAMELESS).expect("a name reserved for this by RFC 2606");
        let handshake = TlsConnector::from(Arc::clone(&self.client)).connect(name, stream);
        tls::secured(within(limit, handshake).await?.into())
    }
}

impl fmt::Debug for PeerTls {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("PeerTls").finish_non_exhaustive()
    }
}

/// What an error of a connection between players means, in the handshake or in a read after it.
#[must_use]
pub fn explain(error: io::Error) -> TlsError {
    match tls::explain(error) {
        TlsError::Certificate(_)
        | TlsError::Broken(
            rustls::Error::NoCertificatesPresented
            | rustls::Error::PeerIncompatible(PeerIncompatible::IncorrectCertificateTypeExtension),
        ) => TlsError::Stranger,
        // What `Pinned` makes the other side say.
        TlsError::Alert(AlertDescription::AccessDenied) => TlsError::Refused,
        same @ (TlsError::Slow { .. }
        | TlsError::Protocol
        | TlsError::Old
        | TlsError::Stranger
        | TlsError::Refused
        | TlsError::SameKey
        | TlsError::Ca(_)
        | TlsError::Alert(_)
        | TlsError::Broken(_)
        | TlsError::Io(_)) => same,
    }
}

async fn within<T>(limit: Duration, handshake: impl Future<Output = io::Result<T>>) -> Result<T, TlsError> {
    timeout(limit, handshake).await.map_err(|_| TlsError::Slow { limit })?.map_err(explain)
}

fn dialling(
    provider: Arc<CryptoProvider>,
    mine: Arc<CertifiedKey>,
    pinned: Arc<Pinned>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Broken)?
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(mine)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(Arc::new(config))
}

fn dialled(
    provider: Arc<CryptoProvider>,
    mine: Arc<CertifiedKey>,
    pinned: Arc<Pinned>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Broken)?
        .with_client_cert_verifier(pinned)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(mine)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// A key as it travels: 44 bytes.
fn raw(key: &PublicKey) -> SubjectPublicKeyInfoDer<'static> {
    public_key_to_spki(&alg_id::ED25519, key.0)
}

/// Takes one key, and only from who can sign with it.
#[derive(Debug)]
struct Pinned {
    key: SubjectPublicKeyInfoDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    fn new(key: &PublicKey, provider: &CryptoProvider) -> Self {
        Self { key: raw(key), algorithms: provider.signature_verification_algorithms }
    }

    fn check(&self, shown: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        if shown.as_ref() == self.key.as_ref() && more.is_empty() {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    /// With the pinned key, which is the one that was shown.
    fn check_proof(
        &self,
        message: &[u8],
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature_with_raw_key(message, &self.key, proof, &self.algorithms)
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(shown, more).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _shown: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_proof(message, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(shown, more).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _shown: &CertificateDer<'_>,
        _proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        _shown: &CertificateDer<'_>,
        proof: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.check_proof(message, proof)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use rustls::HandshakeKind;
    use rustls::client::ResolvesClientCert;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_rustls::TlsStream;

    use super::*;

    type Outcome = Result<Secured<DuplexStream>, TlsError>;

    const LIMIT: Duration = Duration::from_millis(20);
    const ALICE: [u8; 32] = [1; 32];
    const BOB: [u8; 32] = [2; 32];

    fn peer(mine: [u8; 32], theirs: [u8; 32]) -> PeerTls {
        let theirs = SecretKey::from_seed(&theirs).public();
        PeerTls::new(tls::provider(), &SecretKey::from_seed(&mine), &theirs).unwrap()
    }

    /// Alice, who lies when she dials.
    fn alice_dialling(change: impl FnOnce(&mut ClientConfig)) -> PeerTls {
        let mut alice = peer(ALICE, BOB);
        change(Arc::make_mut(&mut alice.client));
        alice
    }

    /// Alice, who lies when she is dialled.
    fn alice_dialled(change: impl FnOnce(&mut ServerConfig)) -> PeerTls {
        let mut alice = peer(ALICE, BOB);
        change(Arc::make_mut(&mut alice.server));
        alice
    }

    /// What the dialled and the dialling side say; of the latter, its first read counts as well.
    async fn handshake(dialled: &PeerTls, dialling: &PeerTls) -> (Outcome, Outcome) {
        let (ours, theirs) = duplex(64 * 1024);
        let accept = async {
            let mut secured = dialled.accept(ours).await?;
            secured.stream.write_u8(0).await.unwrap();
            secured.stream.flush().await.unwrap();
            Ok(secured)
        };
        let dial = async {
            let mut secured = dialling.connect(theirs).await?;
            secured.stream.read_u8().await.map_err(explain)?;
            Ok(secured)
        };
        tokio::join!(accept, dial)
    }

    /// Shows alice's key, and signs with another.
    fn stolen() -> Arc<CertifiedKey> {
        let shown = CertificateDer::from(raw(&SecretKey::from_seed(&ALICE).public()).as_ref().to_vec());
        Arc::new(CertifiedKey::new(vec![shown], Arc::new(Ed25519Key::of(SecretKey::from_seed(&[3; 32])))))
    }

    /// Knows of raw keys and has none.
    #[derive(Debug)]
    struct Keyless;

    impl ResolvesClientCert for Keyless {
        fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            None
        }

        fn only_raw_public_keys(&self) -> bool {
            true
        }

        fn has_certs(&self) -> bool {
            true
        }
    }

    #[test]
    fn one_key_for_both_players_is_refused() {
        let mine = SecretKey::from_seed(&ALICE);
        let error = PeerTls::new(tls::provider(), &mine, &mine.public()).unwrap_err();
        assert!(matches!(error, TlsError::SameKey), "{error}");
    }

    #[tokio::test]
    async fn who_sends_nothing_is_given_up() {
        let (ours, _theirs) = duplex(64 * 1024);
        let error = peer(ALICE, BOB).accept_within(ours, LIMIT).await.unwrap_err();
        assert!(matches!(error, TlsError::Slow { limit: LIMIT }), "{error}");
        let (ours, _theirs) = duplex(64 * 1024);
        let error = peer(ALICE, BOB).connect_within(ours, LIMIT).await.unwrap_err();
        assert!(matches!(error, TlsError::Slow { limit: LIMIT }), "{error}");
    }

    #[tokio::test]
    async fn a_stolen_public_key_is_worth_nothing() {
        let bob = peer(BOB, ALICE);
        let resolver = Arc::new(AlwaysResolvesClientRawPublicKeys::new(stolen()));
        let thief = alice_dialling(|client| client.client_auth_cert_resolver = resolver);
        let (dialled, dialling) = handshake(&bob, &thief).await;
        assert!(matches!(dialled.unwrap_err(), TlsError::Stranger));
        assert!(matches!(dialling.unwrap_err(), TlsError::Alert(AlertDescription::DecryptError)));

        let resolver = Arc::new(AlwaysResolvesServerRawPublicKeys::new(stolen()));
        let thief = alice_dialled(|server| server.cert_resolver = resolver);
        let (dialled, dialling) = handshake(&thief, &bob).await;
        assert!(matches!(dialled.unwrap_err(), TlsError::Alert(AlertDescription::DecryptError)));
        assert!(matches!(dialling.unwrap_err(), TlsError::Stranger));
    }

    #[tokio::test]
    async fn who_shows_no_key_is_a_stranger() {
        let keyless = alice_dialling(|client| client.client_auth_cert_resolver = Arc::new(Keyless));
        let (dialled, dialling) = handshake(&peer(BOB, ALICE), &keyless).await;
        assert!(matches!(dialled.unwrap_err(), TlsError::Stranger));
        let error = dialling.unwrap_err();
        assert!(matches!(error, TlsError::Alert(AlertDescription::CertificateRequired)), "{error}");
    }

    #[tokio::test]
    async fn the_opponents_key_with_another_behind_it_is_not_taken() {
        let alice = SecretKey::from_seed(&ALICE);
        let shown = CertificateDer::from(raw(&alice.public()).as_ref().to_vec());
        let chain = Arc::new(CertifiedKey::new(vec![shown.clone(), shown], Arc::new(Ed25519Key::of(alice))));
        let resolver = Arc::new(AlwaysResolvesClientRawPublicKeys::new(chain));
        let chained = alice_dialling(|client| client.client_auth_cert_resolver = resolver);
        let (dialled, _) = handshake(&peer(BOB, ALICE), &chained).await;
        assert!(matches!(dialled.unwrap_err(), TlsError::Stranger));
    }

    #[tokio::test]
    async fn no_connection_is_resumed_though_the_dialling_side_would() {
        let alice = alice_dialling(|client| client.resumption = Resumption::in_memory_sessions(8));
        let bob = peer(BOB, ALICE);
        for _ in 0..2 {
            let (dialled, dialling) = handshake(&bob, &alice).await;
            assert!(dialled.is_ok());
            let TlsStream::Client(client) = dialling.unwrap().stream else { panic!("a dialling stream") };
            assert_eq!(client.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(client.get_ref().1.tls13_tickets_received(), 0);
        }
    }

    #[tokio::test]
    async fn who_does_not_speak_the_protocol_is_refused_by_both_sides() {
        let bob = peer(BOB, ALICE);
        let silent = alice_dialling(|client| client.alpn_protocols.clear());
        let (dialled, _) = handshake(&bob, &silent).await;
        assert!(matches!(dialled.unwrap_err(), TlsError::Protocol));

        let silent = alice_dialled(|server| server.alpn_protocols.clear());
        let (_, dialling) = handshake(&silent, &bob).await;
        assert!(matches!(dialling.unwrap_err(), TlsError::Protocol));

        let foreign = alice_dialling(|client| client.alpn_protocols = vec![b"h2".to_vec()]);
        let (dialled, dialling) = handshake(&bob, &foreign).await;
        assert!(matches!(dialled.unwrap_err(), TlsError::Protocol));
        assert!(matches!(dialling.unwrap_err(), TlsError::Protocol));
    }
}
