//! Results that nobody has earned, and names that no client can type: D17, D21.

use rejoin::model::evidence::Keeper;
use rejoin::model::games::{Outcome, Seat};
use rejoin::model::id::{MatchId, Name, RequestSeq, Run};
use rejoin::model::key::{Hash, SecretKey, ServerId};
use rejoin::model::limits::FRAME_BYTES_MAX;
use rejoin::model::message::{Command, Entries, Hello, KeeperMessage, Proofs, ToClient, ToServer};
use rejoin::model::password::Password;
use rejoin::model::sign::Signed;
use rejoin::model::statement::{Act, Entry, Foul, Held, Ruling};
use rejoin::model::time::WallMs;
use rejoin::net::tls::{self, Secured, Trust};
use rejoin::wire::{Decoded, Decoder, VERSION_MAX, VERSION_MIN, decode, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use super::PATIENCE;
use super::people::{PASSWORD, Pair, Player, X_WINS, home};
use super::server::Server;

#[test]
fn d17_a_stranger_cannot_decide_a_match_and_there_is_no_word_for_a_result() {
    let home = home();
    let server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..2]);
    let [x, o] = pair.seats.each_ref().map(|player| player.name.clone());
    let line = format!("result {x} {o} WIN");
    assert_eq!(pair.seats[0].refused(&line), "unknown-command");
    let mallory = Player::join(&server, "mallory");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let match_id: MatchId = pair.match_id.parse().unwrap();
    runtime.block_on(forge(&server, None, match_id));
    drop(mallory);
    runtime.block_on(forge(&server, Some("mallory"), match_id));
    // Neither the match nor the scores have noticed.
    let score = |pair: &mut Pair| [&x, &o].map(|name| pair.seats[1].score_of(name));
    assert_eq!(score(&mut pair), [[0; 4]; 2]);
    pair.play(&X_WINS[2..]);
    pair.x_has_won();
    runtime.block_on(forge(&server, Some("mallory"), match_id));
    assert_eq!(score(&mut pair), [[2, 1, 0, 0], [0, 0, 0, 1]]);
    pair.leave();
}

#[test]
fn d21_a_name_that_no_client_can_type_is_refused_on_the_wire_too() {
    let home = home();
    let server = Server::start(home.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for letter in [b'\t', b';', b'\n'] {
        runtime.block_on(async {
            let mut line = Line::connect(&server).await;
            let mut bytes = add_user(1, "aQa");
            let at = bytes.windows(3).position(|part| part == b"aQa").unwrap();
            bytes[at + 1] = letter;
            seal(&mut bytes);
            line.write(&bytes).await;
            assert_eq!(line.read().await, None, "the connection ends");
        });
    }
    // The same frame with a good letter is taken.
    runtime.block_on(async {
        let mut line = Line::connect(&server).await;
        let mut bytes = add_user(1, "aQa");
        seal(&mut bytes);
        line.write(&bytes).await;
        let answer = line.until_answer(1).await;
        assert!(answer.is_ok(), "{answer:?}");
    });
    let mut alice = Player::join(&server, "alice");
    assert_eq!(alice.done("leaders")["rows"].as_array().unwrap().len(), 2);
    alice.leave();
}

/// Sends all that could say how a match ended, and waits until the server has been through it.
async fn forge(server: &Server, login: Option<&str>, match_id: MatchId) {
    let mut line = Line::connect(server).await;
    let key = SecretKey::from_seed(&[66; 32]);
    if let Some(name) = login {
        let (name, password) = (Name::new(name).unwrap(), Password::new(PASSWORD).unwrap());
        let command = Command::Login { name, password, device: key.public() };
        // The first login of this device may have to wait until the one before is gone.
        let mut seq = 0;
        loop {
            seq += 1;
            line.send(&ToServer::Request { seq: RequestSeq(seq), command: command.clone() }).await;
            match line.until_answer(seq).await {
                Ok(()) => break,
                Err(why) => assert_eq!(why, "logged-in-elsewhere"),
            }
        }
    }
    for message in forgeries(&key, &server.id(), match_id) {
        line.send(&message).await;
    }
    // Requests are carried out in order: who is answered here has been heard before.
    line.send(&ToServer::Request { seq: RequestSeq(1 << 20), command: Command::Leaders }).await;
    let answer = line.until_answer(1 << 20).await;
    assert_eq!(answer.is_ok(), login.is_some(), "{answer:?}");
}

fn forgeries(key: &SecretKey, server: &ServerId, match_id: MatchId) -> Vec<ToServer> {
    let mut messages = Vec::new();
    let ply = 2;
    for seat in Seat::BOTH {
        let entry = |act| Entry { match_id, epoch: 1, ply, seat, act, prev: Hash([0; 32]), at: WallMs(0) };
        let [resigns, again] = [1, 2].map(|at| Signed::by(key, server, Entry { at: WallMs(at), ..entry(Act::Resign) }));
        let held = Held { match_id, epoch: 1, plies: ply + 1, head: Hash([1; 32]) };
        let foul = Foul { first: resigns.clone(), second: again };
        messages.extend([
            ToServer::Keeper(KeeperMessage::Entries(Entries { match_id, grants: Vec::new(), entries: vec![resigns] })),
            ToServer::Keeper(KeeperMessage::Evidence(Proofs { match_id, grants: Vec::new(), fouls: vec![foul] })),
            ToServer::Keeper(KeeperMessage::Held { keeper: Keeper::Player(seat), held: Signed::by(key, server, held) }),
            ToServer::Stored { match_id, ruling: Ruling::Resigned { by: seat } },
            ToServer::Stored { match_id, ruling: Ruling::Board { outcome: Outcome::Win(seat) } },
            ToServer::Request { seq: RequestSeq(1 << 10), command: Command::Leave { match_id } },
        ]);
    }
    messages
}

/// A frame by hand.
fn add_user(seq: u64, name: &str) -> Vec<u8> {
    let (name, password) = (Name::new(name).unwrap(), Password::new(PASSWORD).unwrap());
    encode(&ToServer::Request { seq: RequestSeq(seq), command: Command::AddUser { name, password } })
}

/// Makes the checksum of a changed frame right.
fn seal(frame: &mut [u8]) {
    let sum = crc32c::crc32c(&frame[8..]);
    frame[4..8].copy_from_slice(&sum.to_le_bytes());
}

/// A connection on which anything can be said.
struct Line {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
}

impl Line {
    async fn connect(server: &Server) -> Self {
        let config = tls::client_config(tls::provider(), &Trust::Pin).unwrap();
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let Secured { stream, .. } = tls::connect(stream, &config, "127.0.0.1").await.unwrap();
        let mut line = Self { stream, decoder: Decoder::new(FRAME_BYTES_MAX) };
        line.send(&ToServer::Hello(Hello { min: VERSION_MIN, max: VERSION_MAX, run: Run(1) })).await;
        assert!(matches!(line.read().await, Some(ToClient::Welcome(_))));
        line
    }

    async fn send(&mut self, message: &ToServer) {
        self.write(&encode(message)).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next message; nothing when the connection has ended.
    async fn read(&mut self) -> Option<ToClient> {
        timeout(PATIENCE, self.read_on()).await.expect("something comes in time")
    }

    async fn read_on(&mut self) -> Option<ToClient> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                match decode(&frame).unwrap() {
                    Decoded::Message(ToClient::Closing { .. }) => return None,
                    Decoded::Message(message) => return Some(message),
                    Decoded::Unknown(kind) => panic!("kind {kind} is not known"),
                }
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.decoder.feed(&buffer[..count]),
            }
        }
    }

    /// The answer to a request, and the stable word of a refusal.
    async fn until_answer(&mut self, wanted: u64) -> Result<(), &'static str> {
        loop {
            match self.read().await.expect("the connection goes on") {
                ToClient::Answer { seq, result } if seq == RequestSeq(wanted) => {
                    return result.map(drop).map_err(|refusal| refusal.word());
                }
                _ => {}
            }
        }
    }
}
