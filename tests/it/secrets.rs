//! No secret in clear: not in a file of the server, not in its log, not in a byte between it and a client.

use std::fs;
use std::path::Path;

use data_encoding::{BASE64, HEXLOWER};
use rejoin::model::id::Name;
use rejoin::model::message::Command;
use rejoin::model::password::Password;
use tokio::net::TcpStream;

use crate::rig::{Hashers, Line, Player, RawClient, Recorder, Setup, TestServer, X_WINS, play_all, seat};

/// Recognisable, and with nothing that an encoding would change.
const FIRST: &str = "FirstPasswordOfAlice0123456789";
const SECOND: &str = "SecondPasswordOfAlice0123456789";
const WRONG: &str = "WrongPasswordOfAlice0123456789";

/// A secret, in every form that could give it away.
struct Secret {
    name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    fn new(name: &'static str, bytes: &[u8]) -> Self {
        let list = format!("{bytes:?}");
        let listed = list.trim_matches(['[', ']']).as_bytes().to_vec();
        let hex = HEXLOWER.encode(bytes).into_bytes();
        let upper = hex.to_ascii_uppercase();
        // The end of a base64 text depends on what follows.
        let base64 = BASE64.encode(&bytes[..bytes.len() / 3 * 3]).into_bytes();
        Self { name, forms: vec![bytes.to_vec(), hex, upper, base64, listed] }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| contains(bytes, form))
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    let Some(first) = part.first() else { return true };
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| byte == first) {
        if bytes[from + at..].starts_with(part) {
            return true;
        }
        from += at + 1;
    }
    false
}

/// Every file below a directory.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

async fn through(proxy: std::net::SocketAddr) -> RawClient {
    Line::over(TcpStream::connect(proxy).await.unwrap()).await.hello().await
}

#[tokio::test]
async fn no_secret_is_in_a_file_a_line_of_the_log_or_a_byte_on_the_way() {
    let mut server = TestServer::with(Setup { hashers: Hashers::Real, ..Setup::default() });
    let (recorder, proxy) = Recorder::before(server.addr).await;

    let mut line = through(proxy).await;
    line.add_user("alice", FIRST).await.unwrap();
    let device = crate::rig::new_key();
    assert!(line.login("alice", WRONG, &device).await.is_err());
    let view = line.login("alice", FIRST, &device).await.unwrap();
    let (old, new) = (Password::new(FIRST).unwrap(), Password::new(SECOND).unwrap());
    line.request(Command::Passwd { old, new }).await.unwrap();
    let alice = Player { line, name: Name::new("alice").unwrap(), device, view };
    // It was resumed, which the log tells with its session.
    let alice = alice.resume_over(through(proxy).await).await;
    let bob = Player::join_over(through(proxy).await, "bob").await;
    let mut board = seat(alice, bob, "tictactoe").await;
    play_all(&mut board, &X_WINS).await;
    for at in &mut board {
        at.verdict().await;
        at.player.line.catch_up().await;
    }
    let server_key = rejoin::net::keys::ServerKeys::load_or_make(&server.certs_dir(), &rejoin::ops::host::HostEntropy);
    let mut secrets: Vec<Secret> = [("the first", FIRST), ("the second", SECOND), ("the wrong", WRONG)]
        .map(|(name, password)| Secret::new(name, password.as_bytes()))
        .into();
    secrets.push(Secret::new("the server key", &*server_key.unwrap().key().seed()));
    for at in &board {
        secrets.push(Secret::new("a match key", &*at.key.seed()));
        secrets.push(Secret::new("a device key", &*at.player.device.seed()));
    }
    let alice = &board.iter().find(|at| at.player.name.as_str() == "alice").unwrap().player;
    let public = Secret::new("a public key", &alice.device.public().0);
    let session = alice.view.session.to_string();
    server.stop().await.unwrap();

    let mut places = contents(&server.state_dir());
    assert!(places.iter().any(|(_, bytes)| public.is_in(bytes)), "the search finds what is there");
    let log = server.log.text();
    assert!(log.contains("login-ok") && log.contains(&session), "the search finds what is there");
    places.push(("the log".to_owned(), log.into_bytes()));
    let tapes = recorder.tapes();
    assert_eq!(tapes.len(), 6, "three connections, both ways");
    assert!(tapes.iter().all(|tape| tape.len() > 1000), "the recorder records");
    assert!(tapes.iter().all(|tape| !contains(tape, b"alice") && !public.is_in(tape)), "not even what is public");
    places.extend(tapes.into_iter().map(|tape| ("the network".to_owned(), tape)));
    for (place, bytes) in &places {
        for secret in &secrets {
            assert!(!secret.is_in(bytes), "{} is in {place}", secret.name);
        }
    }
}

#[test]
fn a_secret_is_recognised_in_every_form() {
    let secret = Secret::new("a key", &[1, 2, 3, 250, 251, 252]);
    for form in
        [&b"..\x01\x02\x03\xfa\xfb\xfc.."[..], b"key=010203fafbfc", b"010203FAFBFC", b"[0, 1, 2, 3, 250, 251, 252]"]
    {
        assert!(secret.is_in(form), "{form:?}");
    }
    assert!(secret.is_in(BASE64.encode(&[1, 2, 3, 250, 251, 252]).as_bytes()));
    assert!(!secret.is_in(b"\x01\x02\x03\xfa\xfb"));
}
