//! Handshakes and sockets, on this machine's loopback.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rejoin::model::limits::LISTEN_BACKLOG;
use rejoin::model::time::{Entropy, WallMs};
use rejoin::net::certificate::{Certificate, Names};
use rejoin::net::ed25519::Ed25519Key;
use rejoin::net::host::HostNet;
use rejoin::net::keys::{KeysError, ServerKeys};
use rejoin::net::seam::{Listener, Net, Stream};
use rejoin::net::tls::{self, Secured, TlsError, Trust};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ClientConfig, HandshakeKind, NamedGroup, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

type Outcome = Result<Secured<Stream>, TlsError>;

struct HostEntropy;

impl Entropy for HostEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap();
    }
}

#[allow(clippy::disallowed_methods, reason = "certificates are judged by the clock of the host")]
fn wall() -> WallMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    WallMs(since.as_millis().try_into().unwrap())
}

fn keys_in(dir: &Path) -> ServerKeys {
    ServerKeys::load_or_make(dir, &HostEntropy).unwrap()
}

fn certificate_of(dir: &Path) -> Arc<Certificate> {
    keys_in(dir).certificate(&Names::default(), &HostEntropy, wall()).unwrap()
}

fn server_config(certificate: Arc<dyn ResolvesServerCert>) -> Arc<ServerConfig> {
    tls::server_config(tls::provider(), certificate).unwrap()
}

/// A new server with keys of its own; its files live as long as the directory.
fn new_server() -> (TempDir, Arc<ServerConfig>) {
    let dir = tempfile::tempdir().unwrap();
    let config = server_config(certificate_of(dir.path()));
    (dir, config)
}

fn client_config(trust: &Trust) -> Arc<ClientConfig> {
    tls::client_config(tls::provider(), trust).unwrap()
}

fn trusting(ca_dir: &Path) -> Arc<ClientConfig> {
    client_config(&Trust::Ca(fs::read(ca_dir.join("ca.pem")).unwrap()))
}

fn changed(config: &Arc<ClientConfig>, change: impl FnOnce(&mut ClientConfig)) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(config);
    change(&mut config);
    Arc::new(config)
}

async fn listen(addr: &str) -> (Box<dyn Listener>, SocketAddr) {
    let listener = HostNet.listen(addr.parse().unwrap(), LISTEN_BACKLOG).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Two ends of one connection.
async fn connected() -> (Stream, Stream) {
    let (listener, addr) = listen("127.0.0.1:0").await;
    let ((accepted, _), dialed) = tokio::try_join!(listener.accept(), HostNet.dial(addr)).unwrap();
    (accepted, dialed.stream)
}

/// One handshake: what the server and the client say of it.
async fn handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, host: &str) -> (Outcome, Outcome) {
    let (ours, theirs) = connected().await;
    let turns = Semaphore::new(tls::TURNS);
    tokio::join!(tls::accept(ours, server, &turns), tls::connect(theirs, client, host))
}

async fn client_error(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, host: &str) -> TlsError {
    let (_, client) = handshake(server, client, host).await;
    client.unwrap_err()
}

#[tokio::test]
async fn both_ends_share_a_value_that_no_other_connection_has_and_bytes_pass() {
    let (_dir, server) = new_server();
    let client = client_config(&Trust::Pin);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (ours, theirs) = handshake(&server, &client, "whatever").await;
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!(ours.exporter, theirs.exporter);
        seen.push(ours.exporter);

        let mut word = [0; 4];
        theirs.stream.write_all(b"ping").await.unwrap();
        theirs.stream.flush().await.unwrap();
        ours.stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"ping");
    }
    assert_ne!(seen[0], seen[1]);
    assert!(rustls::crypto::CryptoProvider::get_default().is_none(), "the provider is not global");
}

#[tokio::test]
async fn keys_are_agreed_on_with_the_post_quantum_hybrid() {
    let (_dir, server) = new_server();
    let (ours, theirs) = handshake(&server, &client_config(&Trust::Pin), "localhost").await;
    assert_eq!(ours.unwrap().group, NamedGroup::X25519MLKEM768);
    assert_eq!(theirs.unwrap().group, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn a_client_without_tls_1_3_is_refused_with_an_alert() {
    let (_dir, server) = new_server();
    let (ours, mut theirs) = connected().await;
    let talk = async {
        theirs.write_all(&tls12_client_hello()).await.unwrap();
        let mut answer = Vec::new();
        // The server may close with bytes unread; what counts is what it said before.
        let _ = theirs.read_to_end(&mut answer).await;
        answer
    };
    let turns = Semaphore::new(tls::TURNS);
    let (outcome, answer) = tokio::join!(tls::accept(ours, &server, &turns), talk);
    let error = outcome.unwrap_err();
    assert!(matches!(error, TlsError::Old), "{error:?}");
    let fatal_protocol_version = [21, 3, 3, 0, 2, 2, 70];
    assert_eq!(answer, fatal_protocol_version);
}

/// What a TLS 1.2 client begins with: ECDHE with AES-GCM, no `supported_versions`.
fn tls12_client_hello() -> Vec<u8> {
    let signature_algorithms = [0, 13, 0, 4, 0, 2, 4, 3];
    let groups = [0, 10, 0, 4, 0, 2, 0, 29];
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 16]);
    body.extend(signature_algorithms);
    body.extend(groups);
    let len = u8::try_from(body.len()).unwrap();
    let mut hello = vec![22, 3, 1, 0, len + 4, 1, 0, 0, len];
    hello.extend(body);
    hello
}

#[tokio::test]
async fn who_does_not_speak_the_protocol_is_refused_by_both_sides() {
    let (dir, server) = new_server();
    let client = client_config(&Trust::Pin);

    let silent = changed(&client, |config| config.alpn_protocols.clear());
    let (ours, _) = handshake(&server, &silent, "localhost").await;
    assert!(matches!(ours.unwrap_err(), TlsError::Protocol));

    let foreign = changed(&client, |config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let (ours, theirs) = handshake(&server, &foreign, "localhost").await;
    assert!(matches!(ours.unwrap_err(), TlsError::Protocol));
    assert!(matches!(theirs.unwrap_err(), TlsError::Protocol));

    let mut silent_server = ServerConfig::clone(&server_config(certificate_of(dir.path())));
    silent_server.alpn_protocols.clear();
    let error = client_error(&Arc::new(silent_server), &client, "localhost").await;
    assert!(matches!(error, TlsError::Protocol), "{error}");
}

#[tokio::test]
async fn what_is_not_tls_is_told_apart() {
    let (_dir, server) = new_server();
    let (ours, mut theirs) = connected().await;
    theirs.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let turns = Semaphore::new(tls::TURNS);
    assert!(matches!(tls::accept(ours, &server, &turns).await.unwrap_err(), TlsError::Broken(_)));

    let (ours, theirs) = connected().await;
    drop(theirs);
    assert!(matches!(tls::accept(ours, &server, &turns).await.unwrap_err(), TlsError::Io(_)));
}

#[tokio::test]
async fn the_own_authority_stands_for_this_machine_and_no_other() {
    let (dir, server) = new_server();
    let client = trusting(dir.path());
    for host in ["localhost", "127.0.0.1", "::1"] {
        let (ours, theirs) = handshake(&server, &client, host).await;
        assert!(ours.is_ok() && theirs.is_ok(), "{host}");
    }
    for host in ["game.example", "10.0.0.1", "fe80::1%eth0"] {
        let error = client_error(&server, &client, host).await;
        let name = matches!(
            error,
            TlsError::Certificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
        );
        assert!(name, "{host}: {error:?}");
    }
}

#[tokio::test]
async fn another_authority_refuses_the_server() {
    let (_dir, server) = new_server();
    let (other_dir, _) = new_server();
    let (ours, theirs) = handshake(&server, &trusting(other_dir.path()), "localhost").await;
    let error = theirs.unwrap_err();
    assert!(matches!(error, TlsError::Certificate(CertificateError::UnknownIssuer)), "{error:?}");
    let error = ours.unwrap_err();
    assert!(matches!(error, TlsError::Alert(rustls::AlertDescription::UnknownCA)), "{error:?}");
}

#[tokio::test]
async fn dates_count_for_an_authority_and_not_for_a_pin() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = keys_in(dir.path()).certificate(&Names::default(), &HostEntropy, WallMs(0)).unwrap();
    let server = server_config(Arc::clone(&certificate) as _);
    let error = client_error(&server, &trusting(dir.path()), "localhost").await;
    let expired =
        matches!(error, TlsError::Certificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }));
    assert!(expired, "{error:?}");
    assert!(handshake(&server, &client_config(&Trust::Pin), "localhost").await.1.is_ok());

    certificate.renew(&HostEntropy, wall()).unwrap();
    assert!(handshake(&server, &trusting(dir.path()), "localhost").await.1.is_ok(), "renewed while running");
}

/// Shows a certificate it holds no key for.
#[derive(Debug)]
struct Thief(Arc<CertifiedKey>);

impl ResolvesServerCert for Thief {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn a_pin_takes_any_certificate_but_only_from_who_holds_its_key() {
    let (dir, _) = new_server();
    let stolen = CertificateDer::from_pem_file(dir.path().join("ca.pem")).unwrap();
    let thief = Thief(Arc::new(CertifiedKey::new(vec![stolen], Arc::new(Ed25519Key::make(&HostEntropy)))));
    let error = client_error(&server_config(Arc::new(thief)), &client_config(&Trust::Pin), "localhost").await;
    assert!(matches!(error, TlsError::Certificate(CertificateError::BadSignature)), "{error:?}");
}

#[tokio::test]
async fn no_connection_is_resumed_though_the_client_would() {
    let (_dir, server) = new_server();
    let client = changed(&client_config(&Trust::Pin), |config| config.resumption = Resumption::in_memory_sessions(8));
    for _ in 0..2 {
        let (ours, theirs) = handshake(&server, &client, "localhost").await;
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!(theirs.stream.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        // A ticket would be read along with this.
        ours.stream.write_all(b"x").await.unwrap();
        ours.stream.flush().await.unwrap();
        theirs.stream.read_exact(&mut [0]).await.unwrap();
        let tokio_rustls::TlsStream::Client(client) = theirs.stream else { panic!("a client's stream") };
        assert_eq!(client.get_ref().1.tls13_tickets_received(), 0);
    }
}

/// An authority as an operator has one, with the certificate it gave to `localhost`.
pub(crate) struct Operator {
    ca_pem: String,
    pub(crate) chain_pem: String,
    pub(crate) key_pem: String,
}

pub(crate) fn operator() -> Operator {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &rcgen::Issuer::from_params(&ca, &ca_key)).unwrap();
    Operator { ca_pem, chain_pem: leaf.pem(), key_pem: key.serialize_pem() }
}

fn put(dir: &Path, name: &str, text: &str, mode: u32) {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = mode;
}

fn install(operator: &Operator, dir: &Path) {
    put(dir, "tls.pem", &operator.chain_pem, 0o644);
    put(dir, "tls.key", &operator.key_pem, 0o600);
}

#[tokio::test]
async fn the_operators_certificate_is_used_and_read_again_at_renewal() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (operator(), operator());
    install(&first, dir.path());
    let certificate = certificate_of(dir.path());
    assert!(!dir.path().join("ca.key").exists(), "no authority of our own is needed");
    let server = server_config(Arc::clone(&certificate) as _);
    let by = |operator: &Operator| client_config(&Trust::Ca(operator.ca_pem.clone().into_bytes()));
    assert!(handshake(&server, &by(&first), "localhost").await.1.is_ok());

    put(dir.path(), "tls.pem", &second.chain_pem, 0o644);
    let error = certificate.renew(&HostEntropy, wall()).unwrap_err();
    assert!(matches!(error, KeysError::Operator { .. }), "the new chain with the old key: {error}");
    assert!(handshake(&server, &by(&first), "localhost").await.1.is_ok(), "the old one stays in use");

    install(&second, dir.path());
    certificate.renew(&HostEntropy, wall()).unwrap();
    assert!(handshake(&server, &by(&second), "localhost").await.1.is_ok());
}

#[test]
fn the_operators_files_are_refused_when_half_wide_or_broken() {
    let good = operator();
    let try_with = |pem: Option<&str>, key: Option<(&str, u32)>| {
        let dir = tempfile::tempdir().unwrap();
        if let Some(pem) = pem {
            put(dir.path(), "tls.pem", pem, 0o644);
        }
        if let Some((key, mode)) = key {
            put(dir.path(), "tls.key", key, mode);
        }
        let keys = ServerKeys::load_or_make(dir.path(), &HostEntropy)?;
        keys.certificate(&Names::default(), &HostEntropy, wall()).map(drop)
    };
    let (pem, key) = (Some(good.chain_pem.as_str()), Some((good.key_pem.as_str(), 0o600)));
    assert!(try_with(pem, key).is_ok());
    assert!(matches!(try_with(pem, None), Err(KeysError::Half { missing }) if missing.ends_with("tls.key")));
    assert!(matches!(try_with(None, key), Err(KeysError::Half { missing }) if missing.ends_with("tls.pem")));
    assert!(matches!(try_with(Some(""), key), Err(KeysError::Operator { path, .. }) if path.ends_with("tls.pem")));
    let no_key = Some(("no key", 0o600));
    assert!(matches!(try_with(pem, no_key), Err(KeysError::Operator { path, .. }) if path.ends_with("tls.key")));
    #[cfg(unix)]
    assert!(matches!(try_with(pem, Some((&good.key_pem, 0o640))), Err(KeysError::Wide { mode: 0o640, .. })));
}

#[tokio::test]
async fn the_same_port_can_be_listened_on_again_at_once() {
    let (listener, addr) = listen("127.0.0.1:0").await;
    let (accepted, mut dialed) = tokio::try_join!(listener.accept(), HostNet.dial(addr)).unwrap();
    // The server closes first, so that the kernel keeps its end of the connection for a while.
    drop(accepted);
    drop(listener);
    assert_eq!(dialed.stream.read(&mut [0]).await.unwrap(), 0);
    drop(dialed);
    assert!(HostNet.listen(addr, LISTEN_BACKLOG).await.is_ok());
}

#[tokio::test]
async fn a_taken_port_is_refused_also_on_the_wildcard() {
    let (_listener, addr) = listen("[::]:0").await;
    for wildcard in ["[::]", "0.0.0.0"] {
        let again = format!("{wildcard}:{}", addr.port()).parse().unwrap();
        let error = HostNet.listen(again, LISTEN_BACKLOG).await.err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{wildcard}");
    }
}

#[tokio::test]
async fn the_wildcard_serves_ipv4_and_shows_ipv4_addresses() {
    let (listener, addr) = listen("[::]:0").await;
    let here = SocketAddr::from(([127, 0, 0, 1], addr.port()));
    let ((_, peer), _) = tokio::try_join!(listener.accept(), HostNet.dial(here)).unwrap();
    assert_eq!(peer.ip(), here.ip());
}

/// More than the 128 that sockets get when nobody says a number. Other kernels may cap it there.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crowd_may_wait_to_be_accepted() {
    let (listener, addr) = listen("127.0.0.1:0").await;
    let mut waiting = Vec::new();
    for _ in 0..400 {
        // One too many is not refused: the kernel lets it try again, a second later at the earliest.
        let dialled = tokio::time::timeout(std::time::Duration::from_millis(900), HostNet.dial(addr)).await;
        waiting.push(dialled.expect("the kernel keeps it waiting").unwrap());
    }
    for _ in &waiting {
        listener.accept().await.unwrap();
    }
}

#[tokio::test]
async fn names_and_addresses_resolve() {
    let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert_eq!(HostNet.resolve("127.0.0.1", 3000).await.unwrap(), [addr("127.0.0.1:3000")]);
    assert_eq!(HostNet.resolve("::1", 3000).await.unwrap(), [addr("[::1]:3000")]);
    let local = HostNet.resolve("localhost", 3000).await.unwrap();
    assert!(!local.is_empty() && local.iter().all(|addr| addr.ip().is_loopback()), "{local:?}");
}
