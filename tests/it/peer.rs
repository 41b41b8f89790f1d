//! The direct connection between two players, on this machine's loopback: their handshake, and what finds the way.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rejoin::model::key::SecretKey;
use rejoin::model::limits::LISTEN_BACKLOG;
use rejoin::model::time::{Entropy, WallMs};
use rejoin::net::candidates::candidates;
use rejoin::net::certificate::Names;
use rejoin::net::host::HostNet;
use rejoin::net::keys::ServerKeys;
use rejoin::net::listen::listen_again;
use rejoin::net::peer::{PeerTls, explain};
use rejoin::net::seam::{Net, Stream};
use rejoin::net::tls::{self, Secured, TlsError, Trust};
use rustls::{AlertDescription, HandshakeKind, NamedGroup, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio_rustls::TlsStream;

type Outcome = Result<Secured<Stream>, TlsError>;

const ALICE: u8 = 1;
const BOB: u8 = 2;
const MALLORY: u8 = 3;

struct HostEntropy;

impl Entropy for HostEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).unwrap();
    }
}

/// Who holds the key `mine` and looks for the one who holds `theirs`.
fn peer(mine: u8, theirs: u8) -> PeerTls {
    let key = |of: u8| SecretKey::from_seed(&[of; 32]);
    PeerTls::new(tls::provider(), &key(mine), &key(theirs).public()).unwrap()
}

/// The accepted and the dialled end of one connection.
async fn connected() -> (Stream, Stream) {
    let listener = HostNet.listen(([127, 0, 0, 1], 0).into(), LISTEN_BACKLOG).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let ((accepted, from), dialed) = tokio::try_join!(listener.accept(), HostNet.dial(addr)).unwrap();
    assert_eq!(from, dialed.local);
    (accepted, dialed.stream)
}

async fn handshake(dialled: &PeerTls, dialling: &PeerTls) -> (Outcome, Outcome) {
    let (ours, theirs) = connected().await;
    tokio::join!(dialled.accept(ours), dialling.connect(theirs))
}

/// What went wrong on the dialled and on the dialling side, there at its first read at the latest.
async fn errors(dialled: &PeerTls, dialling: &PeerTls) -> (TlsError, TlsError) {
    let (ours, theirs) = connected().await;
    let dial = async {
        let mut secured = dialling.connect(theirs).await?;
        secured.stream.read_u8().await.map_err(explain)
    };
    // The connection ends with what it gave, so the read does.
    let accept = async { dialled.accept(ours).await.map(drop) };
    let (ours, theirs) = tokio::join!(accept, dial);
    (ours.unwrap_err(), theirs.unwrap_err())
}

async fn pass(from: &mut TlsStream<Stream>, to: &mut TlsStream<Stream>, sent: &[u8]) {
    let mut received = vec![0; sent.len()];
    let write = async {
        from.write_all(sent).await.unwrap();
        from.flush().await.unwrap();
    };
    tokio::join!(write, async { to.read_exact(&mut received).await.unwrap() });
    assert_eq!(received, sent);
}

#[tokio::test]
async fn two_players_reach_each_other_in_both_directions() {
    let (alice, bob) = (peer(ALICE, BOB), peer(BOB, ALICE));
    let long = vec![7; 100_000];
    let mut exporters = BTreeSet::new();
    for (dialled, dialling) in [(&alice, &bob), (&bob, &alice), (&alice, &bob)] {
        let (ours, theirs) = handshake(dialled, dialling).await;
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        assert_eq!(ours.exporter, theirs.exporter);
        exporters.insert(ours.exporter);
        pass(&mut ours.stream, &mut theirs.stream, b"first").await;
        pass(&mut theirs.stream, &mut ours.stream, &long).await;
        pass(&mut ours.stream, &mut theirs.stream, &long).await;
        // A ticket would have been read along with the first bytes.
        let TlsStream::Client(client) = &theirs.stream else { panic!("a dialling stream") };
        assert_eq!(client.get_ref().1.tls13_tickets_received(), 0);
        assert_eq!(client.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        for stream in [&ours.stream, &theirs.stream] {
            let shown = stream.get_ref().1.peer_certificates().unwrap();
            assert_eq!(shown.iter().map(|key| key.len()).collect::<Vec<_>>(), [44]);
        }
    }
    assert_eq!(exporters.len(), 3, "no two connections share a value");
    assert!(rustls::crypto::CryptoProvider::get_default().is_none(), "the provider is not global");
}

#[tokio::test]
async fn keys_are_agreed_on_with_the_post_quantum_hybrid() {
    let (ours, theirs) = handshake(&peer(ALICE, BOB), &peer(BOB, ALICE)).await;
    assert_eq!(ours.unwrap().group, NamedGroup::X25519MLKEM768);
    assert_eq!(theirs.unwrap().group, NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn who_dials_with_another_key_is_refused_and_told() {
    let (dialled, dialling) = errors(&peer(ALICE, BOB), &peer(MALLORY, ALICE)).await;
    assert!(matches!(dialled, TlsError::Stranger), "{dialled}");
    assert!(matches!(dialling, TlsError::Refused), "{dialling}");
}

#[tokio::test]
async fn who_is_dialled_with_another_key_is_refused_and_told() {
    let (dialled, dialling) = errors(&peer(MALLORY, BOB), &peer(BOB, ALICE)).await;
    assert!(matches!(dialled, TlsError::Refused), "{dialled}");
    assert!(matches!(dialling, TlsError::Stranger), "{dialling}");
}

#[tokio::test]
async fn a_player_who_reaches_themselves_is_refused() {
    let alice = peer(ALICE, BOB);
    let (dialled, dialling) = errors(&alice, &alice).await;
    assert!(matches!(dialled, TlsError::Refused), "{dialled}");
    assert!(matches!(dialling, TlsError::Stranger), "{dialling}");
}

/// A server as it meets clients; its files live as long as the directory.
fn server() -> (TempDir, Arc<ServerConfig>) {
    let dir = tempfile::tempdir().unwrap();
    let keys = ServerKeys::load_or_make(dir.path(), &HostEntropy).unwrap();
    // Nobody here looks at the dates.
    let certificate = keys.certificate(&Names::default(), &HostEntropy, WallMs(0)).unwrap();
    let config = tls::server_config(tls::provider(), certificate).unwrap();
    (dir, config)
}

#[tokio::test]
async fn a_player_and_a_server_do_not_take_each_other_for_a_player() {
    let (_dir, server) = server();
    let (ours, theirs) = connected().await;
    let (bob, turns) = (peer(BOB, ALICE), Semaphore::new(1));
    let (dialled, dialling) = tokio::join!(tls::accept(ours, &server, &turns), bob.connect(theirs));
    let (dialled, dialling) = (dialled.unwrap_err(), dialling.unwrap_err());
    assert!(matches!(dialled, TlsError::Broken(_)), "{dialled}");
    assert!(matches!(dialling, TlsError::Alert(AlertDescription::HandshakeFailure)), "{dialling}");
}

#[tokio::test]
async fn a_client_that_takes_a_player_for_a_server_is_refused() {
    let client = tls::client_config(tls::provider(), &Trust::Pin).unwrap();
    let (ours, theirs) = connected().await;
    let alice = peer(ALICE, BOB);
    let (dialled, dialling) = tokio::join!(alice.accept(ours), tls::connect(theirs, &client, "localhost"));
    let (dialled, dialling) = (dialled.unwrap_err(), dialling.unwrap_err());
    assert!(matches!(dialled, TlsError::Stranger), "{dialled}");
    assert!(matches!(dialling, TlsError::Alert(AlertDescription::HandshakeFailure)), "{dialling}");
}

#[tokio::test]
async fn what_is_not_tls_or_ends_is_told_apart() {
    let alice = peer(ALICE, BOB);
    let (ours, mut theirs) = connected().await;
    theirs.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = alice.accept(ours).await.unwrap_err();
    assert!(matches!(error, TlsError::Broken(_)), "{error}");

    let (ours, theirs) = connected().await;
    drop(theirs);
    let error = alice.accept(ours).await.unwrap_err();
    assert!(matches!(error, TlsError::Io(_)), "{error}");

    let (ours, theirs) = connected().await;
    drop(ours);
    let error = alice.connect(theirs).await.unwrap_err();
    assert!(matches!(error, TlsError::Io(_)), "{error}");
}

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[tokio::test]
async fn a_player_listens_on_the_same_port_again() {
    let listener = listen_again(&HostNet, ANY_PORT, None).await.unwrap();
    let addr = listener.local_addr().unwrap();
    assert_ne!(addr.port(), 0);
    drop(listener);
    let listener = listen_again(&HostNet, ANY_PORT, Some(addr.port())).await.unwrap();
    assert_eq!(listener.local_addr().unwrap(), addr);
}

#[tokio::test]
async fn a_port_that_is_taken_gives_way_to_another_unless_it_was_chosen() {
    let holder = listen_again(&HostNet, ANY_PORT, None).await.unwrap();
    let taken = holder.local_addr().unwrap();
    let other = listen_again(&HostNet, ANY_PORT, Some(taken.port())).await.unwrap();
    let port = other.local_addr().unwrap().port();
    assert!(port != 0 && port != taken.port(), "{port}");

    let error = listen_again(&HostNet, taken, None).await.err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let error = listen_again(&HostNet, taken, Some(port)).await.err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "the last port is no way around the chosen one");
}

#[tokio::test]
async fn a_chosen_port_wins_over_the_last_one() {
    let (chosen, last) = (
        listen_again(&HostNet, ANY_PORT, None).await.unwrap().local_addr().unwrap(),
        listen_again(&HostNet, ANY_PORT, None).await.unwrap().local_addr().unwrap(),
    );
    let listener = listen_again(&HostNet, chosen, Some(last.port())).await.unwrap();
    assert_eq!(listener.local_addr().unwrap(), chosen);
}

#[test]
fn the_interfaces_of_this_machine_have_names_and_addresses() {
    let interfaces = HostNet.interfaces().unwrap();
    assert!(interfaces.iter().any(|interface| interface.addr.is_loopback()), "{interfaces:?}");
    assert!(interfaces.iter().all(|interface| !interface.name.is_empty()), "{interfaces:?}");
}

#[tokio::test]
async fn an_address_that_is_offered_leads_to_the_listener() {
    let listener = listen_again(&HostNet, "0.0.0.0:0".parse().unwrap(), None).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let here = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let route = HostNet.dial(here).await.unwrap().local.ip();
    listener.accept().await.unwrap();
    let offered = candidates(&HostNet.interfaces().unwrap(), Some(route), port);
    assert_eq!(offered[0], here);
    for addr in offered.into_iter().filter(SocketAddr::is_ipv4) {
        let ((_, from), dialed) = tokio::try_join!(listener.accept(), HostNet.dial(addr)).unwrap();
        assert_eq!(from, dialed.local);
    }
}

#[tokio::test]
async fn a_dial_tells_its_own_end_also_of_ipv6_and_of_an_ipv4_address_in_its_form() {
    for (listen, dial) in [("[::1]:0", "::1"), ("[::]:0", "::ffff:127.0.0.1")] {
        let listener = HostNet.listen(listen.parse().unwrap(), LISTEN_BACKLOG).await.unwrap();
        let addr = SocketAddr::new(dial.parse().unwrap(), listener.local_addr().unwrap().port());
        let ((_, from), dialed) = tokio::try_join!(listener.accept(), HostNet.dial(addr)).unwrap();
        assert_eq!(from, dialed.local, "{dial}");
        assert!(dialed.local.ip().is_loopback(), "{}", dialed.local);
    }
}
