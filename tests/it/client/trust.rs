//! Who is trusted, and how a client ends when nobody can be.

use rejoin::model::key::{SecretKey, ServerId};
use rejoin::model::message::ToClient;
use rejoin::model::sign::Signed;
use rejoin::model::statement::Proof;
use rejoin::net::known::KnownServers;
use tokio::net::TcpListener;

use super::server::{Server, welcome};
use super::*;

async fn refused(config: Config, server: &Server, answer: impl Fn(&server::Conn) -> ToClient) -> ClientError {
    let client = start(config, seams()).unwrap();
    let (mut conn, _) = server.accept().await;
    let answer = answer(&conn);
    conn.send(&answer).await;
    let error = end(client).await;
    assert_eq!(conn.try_read().await, None, "nothing but the hello was sent");
    error
}

fn known(dirs: &Dirs, server: &Server) -> Option<ServerId> {
    let text = std::fs::read_to_string(dirs.state.join("known_servers")).unwrap_or_default();
    KnownServers::parse(&text).unwrap().get(&server.addr().to_string().parse().unwrap())
}

#[tokio::test]
async fn a_wrong_proof_is_refused() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let (id, public) = (server.id(), server.keys.public());
    let other_connection = Signed::by(server.key(), &id, Proof { exporter: [0; 32] }).signature;
    let error = refused(pinned(&server, &dirs.state), &server, |_| welcome(public, other_connection)).await;
    assert!(matches!(error, ClientError::Proof { .. }), "{error}");
    assert_eq!(error.exit_code(), 5);
    let thief = SecretKey::from_seed(&[1; 32]);
    let stolen = |conn: &server::Conn| {
        let proof = Signed::by(&thief, &id, Proof { exporter: conn.exporter }).signature;
        welcome(public, proof)
    };
    let error = refused(pinned(&server, &dirs.state), &server, stolen).await;
    assert!(matches!(error, ClientError::Proof { .. }), "{error}");
    assert_eq!(known(&dirs, &server), None);
}

#[tokio::test]
async fn another_server_than_the_pinned_one_is_refused() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let other = config(&format!("{}#{}", server.addr(), ServerId([1; 32])), &dirs.state);
    let error = refused(other, &server, |conn| server.welcome(conn)).await;
    assert_eq!(error.exit_code(), 5, "{error}");
    assert!(error.to_string().contains(&server.id().to_string()), "{error}");
}

#[tokio::test]
async fn an_unknown_server_is_refused_by_a_script_and_taken_with_trust_new_for_good() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let script = config(&server.addr().to_string(), &dirs.state);
    let error = refused(script.clone(), &server, |conn| server.welcome(conn)).await;
    assert_eq!(error.exit_code(), 5);
    assert!(error.to_string().contains("--trust-new"), "{error}");
    for trust_new in [true, false] {
        let mut client = start(Config { trust_new, ..script.clone() }, seams()).unwrap();
        let _conn = server.greet().await;
        live(&mut client).await;
        assert_eq!(known(&dirs, &server), Some(server.id()));
        leave(client).await;
    }
}

#[tokio::test]
async fn a_person_is_asked_once_and_the_answer_counts() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let person = Config { interactive: true, ..config(&server.addr().to_string(), &dirs.state) };
    for yes in [false, true] {
        let mut client = start(person.clone(), seams()).unwrap();
        let _asked_on = server.greet().await;
        let question = timeout(PATIENCE, client.questions.recv()).await.unwrap().unwrap();
        assert_eq!((question.id, question.address), (server.id(), server.addr().to_string()));
        question.answer.send(yes).unwrap();
        if yes {
            let _conn = server.greet().await;
            live(&mut client).await;
            assert_eq!(known(&dirs, &server), Some(server.id()));
            leave(client).await;
        } else {
            assert_eq!(end(client).await.exit_code(), 5);
            assert_eq!(known(&dirs, &server), None);
        }
    }
}

#[tokio::test]
async fn the_certs_directory_at_hand_vouches_for_a_local_server() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let local = Config { certs: dirs.certs.clone(), ..config(&server.addr().to_string(), &dirs.state) };
    let mut client = start(local, seams()).unwrap();
    let _conn = server.greet().await;
    live(&mut client).await;
    assert_eq!(known(&dirs, &server), None, "the directory says it each time");
    leave(client).await;
}

#[tokio::test]
async fn the_authority_decides_when_one_is_given() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    let by_ca = |ca: PathBuf| Config { ca: Some(ca), ..config(&server.addr().to_string(), &dirs.state) };
    let mut client = start(by_ca(dirs.certs.join("ca.pem")), seams()).unwrap();
    let _conn = server.greet().await;
    live(&mut client).await;
    leave(client).await;

    let other = dirs.root.path().join("other");
    Server::start(&other).await;
    let client = start(by_ca(other.join("ca.pem")), seams()).unwrap();
    let serve = async { server.greet().await };
    let error = tokio::select! { error = end(client) => error, _ = serve => panic!("the certificate was taken") };
    assert!(matches!(error, ClientError::Certificate { .. }), "{error}");
    assert_eq!(error.exit_code(), 5);

    let error = start(by_ca(dirs.root.path().join("absent.pem")), seams()).err().unwrap();
    assert_eq!(error.exit_code(), 1, "{error}");
}

#[tokio::test]
async fn a_server_of_another_time_is_named_with_the_side_that_is_old() {
    let dirs = Dirs::new();
    let server = Server::start(&dirs.certs).await;
    for (min, max, old) in [(0, 0, "the server is too old"), (2, 5, "this program is too old")] {
        let answer = ToClient::UpgradeRequired { min, max };
        let error = refused(pinned(&server, &dirs.state), &server, |_| answer.clone()).await;
        assert_eq!(error.exit_code(), 6);
        assert!(error.to_string().contains(old), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_ends_with_the_usual_causes() {
    let dirs = Dirs::new();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = end(start(config(&free.to_string(), &dirs.state), hasty()).unwrap()).await;
    assert_eq!(error.exit_code(), 4);
    for cause in ["not running", "port", "firewall", "--listen", "refused"] {
        assert!(error.to_string().contains(cause), "{error}");
    }
}

#[tokio::test]
async fn another_program_on_the_port_is_told_from_a_server_that_is_starting() {
    let dirs = Dirs::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let chatty = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.6\r\n").await;
        }
    });
    let error = end(start(config(&address, &dirs.state), hasty()).unwrap()).await;
    assert_eq!(error.exit_code(), 4, "{error}");
    chatty.abort();

    // Nobody accepts: the socket is held open for a server that is just starting.
    let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = start(config(&held.local_addr().unwrap().to_string(), &dirs.state), hasty()).unwrap();
    let mut status = client.status.clone();
    let long = status.wait_for(|status| status.down_ms.is_some_and(|down| down > 20_000));
    timeout(PATIENCE, long).await.unwrap().expect("it goes on trying");
    leave(client).await;
}

#[tokio::test]
async fn a_line_of_known_servers_that_cannot_be_read_is_named() {
    let dirs = Dirs::new();
    std::fs::create_dir_all(&dirs.state).unwrap();
    std::fs::write(dirs.state.join("known_servers"), "what is this?\n").unwrap();
    let error = end(start(config("127.0.0.1:1", &dirs.state), seams()).unwrap()).await;
    assert!(error.to_string().contains("known_servers: line 1"), "{error}");
    assert_eq!(error.exit_code(), 1);
}
