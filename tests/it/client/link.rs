//! Connections that break, and clients that end.

use rejoin::model::key::PublicKey;
use rejoin::model::message::{CloseReason, ToClient, ToServer};
use rejoin::model::sign::Signed;
use rejoin::model::statement::Resume;

use super::server::{self, Conn, NONCE, SESSION, Server};
use super::*;

/// A client that is logged in as alice.
pub(super) async fn logged_in(server: &Server, config: Config, seams: Seams) -> (ClientHandle, Conn, PublicKey) {
    let mut client = start(config, seams).unwrap();
    type_login(&client).await;
    let mut conn = server.greet().await;
    let device = server.log_in(&mut conn, Vec::new()).await;
    let reply = reply(&mut client).await;
    assert!(reply.ok, "{reply:?}");
    (client, conn, device)
}

/// Lets alice resume; panics if her signature is not good on this very connection.
pub(super) async fn resume(server: &Server, device: &PublicKey) -> Conn {
    let (mut conn, first) = server.greet_and_read().await;
    let ToServer::Resume(request) = first else { panic!("{first:?} comes before the resume") };
    assert_eq!(request.session, SESSION);
    let body = Resume { session: SESSION, nonce: NONCE, exporter: conn.exporter };
    let signed = Signed { body, signature: request.signature };
    signed.verify(device, &server.id()).expect("it is signed for this connection");
    conn.send(&server::live(Vec::new())).await;
    conn
}

#[tokio::test]
async fn a_client_logs_in_and_ends_politely() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let (client, mut conn, _) = logged_in(&server, pinned(&server, &dirs.state), seams()).await;
    let ended = async {
        type_in(&client, Typed::List).await;
        leave(client).await;
    };
    let heard = async {
        assert!(matches!(conn.read().await, ToServer::Request { .. }), "what is queued is sent");
        assert!(conn.ended_politely().await);
    };
    tokio::join!(ended, heard);
    // The lock is free.
    let user = Some(name("alice"));
    let again = start(Config { user, ..pinned(&server, &dirs.state) }, seams()).unwrap();
    let (_conn, first) = server.greet_and_read().await;
    assert!(matches!(first, ToServer::Resume(_)), "{first:?}");
    leave(again).await;
}

#[tokio::test]
async fn a_reset_is_acted_on_at_once_and_the_session_taken_up_on_the_new_connection() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let (mut client, conn, device) = logged_in(&server, pinned(&server, &dirs.state), seams()).await;
    conn.reset();
    let (_conn, outage_ms) = tokio::join!(resume(&server, &device), live(&mut client));
    assert!(outage_ms < 200, "{outage_ms} ms");
    assert_eq!(client.status.borrow().user.as_deref(), Some("alice"));
    leave(client).await;
}

#[tokio::test]
async fn a_frame_of_a_connection_that_was_given_up_is_not_heard() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let (mut client, mut conn, device) = logged_in(&server, pinned(&server, &dirs.state), seams()).await;
    let closing = ToClient::Closing { why: CloseReason::Slow, retry_after_ms: 0 };
    conn.send_all(&[ToClient::Restarting { eta_ms: 1 }, closing, ToClient::Restarting { eta_ms: 2 }]).await;
    let mut restarts = 0;
    let looked = event(&mut client, |event| {
        match event {
            Event::Notice { code: "restarting", .. } => restarts += 1,
            Event::Link { state: LinkState::Live, .. } => return Some(()),
            _ => {}
        }
        None
    });
    let (_conn, ()) = tokio::join!(resume(&server, &device), looked);
    assert_eq!(restarts, 1);
    leave(client).await;
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_the_connection_and_not_the_client() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let (mut client, mut conn, device) = logged_in(&server, pinned(&server, &dirs.state), seams()).await;
    conn.send_bytes(&[1, 0, 0, 0, 9, 9, 9, 9, 1, 0, 0]).await;
    let (_conn, _) = tokio::join!(resume(&server, &device), live(&mut client));
    leave(client).await;
}

#[tokio::test]
async fn a_kind_of_message_that_is_not_known_is_passed_over() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let (mut client, mut conn, _) = logged_in(&server, pinned(&server, &dirs.state), seams()).await;
    let mut unknown = vec![0, 0, 0, 0, 0, 0, 0, 0, rejoin::wire::VERSION, 200];
    let crc = crc32c::crc32c(&unknown[8..]);
    unknown[4..8].copy_from_slice(&crc.to_le_bytes());
    conn.send_bytes(&unknown).await;
    conn.send(&ToClient::Restarting { eta_ms: 1 }).await;
    event(&mut client, |event| matches!(event, Event::Notice { code: "restarting", .. }).then_some(())).await;
    leave(client).await;
}

#[tokio::test]
async fn one_user_is_played_in_one_window() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let (client, _conn, _) = logged_in(&server, pinned(&server, &dirs.state), seams()).await;
    let mut second = start(pinned(&server, &dirs.state), seams()).unwrap();
    let _second_conn = server.greet().await;
    live(&mut second).await;
    type_login(&second).await;
    assert_eq!(reply(&mut second).await.error, Some("user-in-use"));
    let user = Some(name("alice"));
    let third = start(Config { user, ..pinned(&server, &dirs.state) }, seams()).unwrap();
    assert_eq!(end(third).await.exit_code(), 8);
    leave(second).await;
    leave(client).await;
}

#[tokio::test]
async fn the_session_is_not_shown_to_a_server_that_has_taken_the_place_of_the_old_one() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let addr = server.addr();
    let local = Config { certs: dirs.certs.clone(), ..config(&addr.to_string(), &dirs.state) };
    let (client, conn, _) = logged_in(&server, local, seams()).await;
    let session = dirs.state.join(server.id().to_string()).join("user-alice/session");
    drop((server, conn));
    std::fs::remove_dir_all(&dirs.certs).unwrap();
    let other = Server::on(&dirs.certs, addr).await;
    let mut conn = other.greet().await;
    let error = end(client).await;
    assert!(matches!(error, ClientError::OtherServer { .. }), "{error}");
    assert_eq!(error.exit_code(), 5);
    assert_eq!(conn.try_read().await, None);
    assert!(session.exists());
}
