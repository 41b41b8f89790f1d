//! An opponent who lies on the direct path: the real client at the other end stays at its board.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test waits for one of many")]

use std::net::SocketAddr;
use std::sync::Arc;

use rejoin::client::{ClientHandle, Config, Order, Seams, start};
use rejoin::model::client::command::Typed;
use rejoin::model::client::event::{Event, PathKind};
use rejoin::model::evidence::Keeper;
use rejoin::model::games::{GameSpec, Outcome, Seat};
use rejoin::model::id::{MatchId, Name};
use rejoin::model::key::{Hash, SecretKey, Signature};
use rejoin::model::message::{Command, Entries, Have, KeeperMessage, Proofs, ToClient, ToPeer};
use rejoin::model::password::Password;
use rejoin::model::sign::Signed;
use rejoin::model::statement::{Base, Fared, Grant, Held, Promise, Ruling, Verdict};
use rejoin::net::host::HostNet;
use rejoin::net::peer::PeerTls;
use rejoin::net::seam::{Net, Stream};
use rejoin::net::tls;
use rejoin::ops::host::{HostClock, HostEntropy};
use rejoin::ops::work::HostWorker;
use rejoin::store::HostDisk;
use rejoin::wire::{Decoded, Decoder, decode, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsStream;

use crate::rig::{Player, Seated, TestServer, X_WINS, new_key, patiently, random};

/// The honest client, and the liar who plays against it: in the seat of O.
struct Board {
    server: TestServer,
    honest: ClientHandle,
    liar: Seated,
    /// Where the honest client can be reached.
    at: SocketAddr,
    _files: tempfile::TempDir,
}

/// The liar's end of a direct connection.
struct Line {
    stream: TlsStream<Stream>,
    decoder: Decoder,
}

impl Board {
    async fn set() -> Self {
        loop {
            let server = TestServer::start();
            let files = tempfile::tempdir().unwrap();
            let mut honest = start(config(&server, &files), seams()).unwrap();
            let mut liar = Player::join(&server, "mallory").await;
            let (name, password) = (Name::new("alice").unwrap(), Password::new("correct horse").unwrap());
            for typed in [Typed::AddUser(name.clone(), password.clone()), Typed::Login(name.clone(), password)] {
                honest.commands.send(Order::Typed(typed)).await.unwrap();
                until(&mut honest, |event| matches!(event, Event::Reply(reply) if reply.ok).then_some(())).await;
            }
            let key = new_key();
            let game = GameSpec::named("tictactoe").unwrap();
            liar.line.request(Command::Begin { to: name, game, key: key.public() }).await.unwrap();
            until(&mut honest, |event| matches!(event, Event::Invited { .. }).then_some(())).await;
            honest.commands.send(Order::Typed(Typed::Accept(None))).await.unwrap();
            let liar = Seated::at(liar, key).await;
            // The server draws who begins.
            if liar.seat == Seat::X {
                continue;
            }
            let mut board = Self { server, honest, liar, at: SocketAddr::from(([127, 0, 0, 1], 1)), _files: files };
            let peer = |message: &ToClient| match message {
                ToClient::Peer { candidates, .. } => candidates.first().copied(),
                _ => None,
            };
            board.at = board.liar.player.line.wait("where alice is", peer).await;
            return board;
        }
    }

    /// A connection as the opponent.
    async fn dial(&self) -> Line {
        self.dial_as(&self.liar.key).await.expect("the opponent gets through")
    }

    async fn dial_as(&self, key: &SecretKey) -> Option<Line> {
        let theirs = self.liar.chain.grant().keys[Seat::X.index()];
        let peer = PeerTls::new(tls::provider(), key, &theirs).unwrap();
        let stream = HostNet.dial(self.at).await.unwrap().stream;
        let stream = peer.connect(stream).await.ok()?.stream;
        let mut line = Line { stream, decoder: Decoder::new(64 * 1024) };
        matches!(line.read().await?, ToPeer::Echo(_)).then_some(line)
    }

    /// The honest client plays, and the server has it.
    async fn play(&mut self, row: u16, col: u16) {
        let words = vec![row.to_string(), col.to_string()];
        self.honest.commands.send(Order::Typed(Typed::Send(words))).await.unwrap();
        self.liar.see().await;
    }

    /// The match is played to its end through the server, and scored.
    async fn finish(mut self) {
        for (at, (row, col)) in X_WINS.into_iter().enumerate() {
            if at % 2 == 0 {
                self.play(row, col).await;
            } else {
                self.liar.play(row, col).await;
                let ply = u16::try_from(at + 1).unwrap();
                let shown = |event: &Event| matches!(event, Event::Board { ply: now, .. } if *now == ply).then_some(());
                until(&mut self.honest, shown).await;
            }
        }
        assert_eq!(self.liar.verdict().await, Ruling::Board { outcome: Outcome::Win(Seat::X) });
        let won = |event: &Event| match event {
            Event::Result { outcome, recorded: true, .. } => Some(*outcome),
            _ => None,
        };
        assert_eq!(until(&mut self.honest, won).await, Fared::Win);
        assert!(!self.honest.end.is_finished());
    }
}

impl Line {
    async fn say(&mut self, message: &ToPeer) -> bool {
        self.say_bytes(&encode(message)).await
    }

    async fn say_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// The next message; `None` when the other end has closed.
    async fn read(&mut self) -> Option<ToPeer> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                let Decoded::Message(message) = decode(&frame).unwrap() else { panic!("an unknown kind") };
                return Some(message);
            }
            match patiently("bytes", self.stream.read(&mut buffer)).await {
                Ok(0) | Err(_) => return None,
                Ok(len) => self.decoder.feed(&buffer[..len]),
            }
        }
    }

    /// Answers echoes until there is a keeper message.
    async fn have(&mut self) -> KeeperMessage {
        loop {
            match self.read().await.expect("the other end has not closed") {
                ToPeer::Echo(number) => assert!(self.say(&ToPeer::Echoed(number)).await),
                ToPeer::Keeper(message) => return message,
                ToPeer::Echoed(_) | ToPeer::Use => {}
            }
        }
    }
}

fn config(server: &TestServer, files: &tempfile::TempDir) -> Config {
    Config {
        address: format!("{}#{}", server.addr, server.id).parse().unwrap(),
        state: files.path().to_owned(),
        ca: None,
        trust_new: false,
        interactive: false,
        certs: files.path().join("none"),
        user: None,
        direct: true,
        peer_listen: "127.0.0.1:0".parse().unwrap(),
        peer_advertise: Vec::new(),
    }
}

fn seams() -> Seams {
    Seams {
        worker: Arc::new(HostWorker),
        net: Arc::new(HostNet),
        disk: Arc::new(HostDisk),
        clock: Arc::new(HostClock::start()),
        entropy: Arc::new(HostEntropy),
        provider: tls::provider(),
    }
}

async fn until<T>(client: &mut ClientHandle, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
    loop {
        let event = patiently("an event", client.events.recv()).await.expect("the client has not ended");
        if let Some(found) = wanted(&event) {
            return found;
        }
    }
}

#[tokio::test]
async fn nobody_but_the_holder_of_the_opponents_key_gets_through() {
    let board = Board::set().await;
    assert!(board.dial_as(&new_key()).await.is_none(), "a stranger");
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 0xff, 0xff]] {
        let mut stream = HostNet.dial(board.at).await.unwrap().stream;
        stream.write_all(bytes).await.unwrap();
        let _ = stream.shutdown().await;
    }
    // Those who say nothing at all do not keep the opponent out for longer than a handshake may take.
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(HostNet.dial(board.at).await.unwrap());
    }
    let mut line = board.dial().await;
    assert!(matches!(line.have().await, KeeperMessage::Have(_)));
    drop((silent, line));
    board.finish().await;
}

#[tokio::test]
async fn what_a_lying_opponent_says_directly_changes_nothing_that_is_true() {
    let mut board = Board::set().await;
    let mut line = board.dial().await;
    let said = line.have().await;
    assert!(matches!(said, KeeperMessage::Have(_)));
    assert!(line.say(&ToPeer::Keeper(said)).await, "who holds as much says so");
    let direct = |event: &Event| matches!(event, Event::Path { path: PathKind::Direct }).then_some(());
    until(&mut board.honest, direct).await;
    board.play(1, 1).await;
    let (liar, match_id) = (&board.liar, board.liar.match_id());
    let (grant, server) = (liar.chain.grants()[0].clone(), liar.player.line.server);
    let entry = liar.body(liar.cell(2, 1));
    let keeper = |message| ToPeer::Keeper(message);
    let entries =
        |grants: Vec<Signed<Grant>>, entries| keeper(KeeperMessage::Entries(Entries { match_id, grants, entries }));
    let newer = Grant { epoch: 2, keys: [liar.key.public(); 2], base: liar.chain.head(), ..grant.body.clone() };
    let everything = Held { match_id, epoch: 1, plies: 9, head: Hash([7; 32]) };
    let won = Verdict { match_id, epoch: 1, ruling: Ruling::Board { outcome: Outcome::Win(Seat::O) } };
    let promise = Promise { match_id, epoch: 2, head: Base::NONE };
    let lies = [
        // A bad signature, a move out of turn, a move into a taken cell, a move that follows nothing.
        entries(vec![], vec![Signed { body: entry.clone(), signature: Signature([3; 64]) }]),
        entries(vec![], vec![liar.sign(rejoin::model::statement::Entry { ply: 2, ..entry.clone() })]),
        entries(vec![], vec![liar.sign(liar.body(liar.cell(1, 1)))]),
        entries(vec![], vec![liar.sign(rejoin::model::statement::Entry { prev: Hash([9; 32]), ..entry.clone() })]),
        // A grant, a receipt and a verdict that the server has never given.
        entries(vec![Signed::by(&liar.key, &server, newer)], vec![]),
        keeper(KeeperMessage::Held { keeper: Keeper::Server, held: Signed::by(&liar.key, &server, everything) }),
        keeper(KeeperMessage::Held {
            keeper: Keeper::Player(Seat::X),
            held: Signed::by(&liar.key, &server, everything),
        }),
        keeper(KeeperMessage::Held {
            keeper: Keeper::Player(Seat::O),
            held: Signed::by(&liar.key, &server, everything),
        }),
        keeper(KeeperMessage::Verdict(Signed::by(&liar.key, &server, won))),
        keeper(KeeperMessage::Promise(Signed::by(&liar.key, &server, promise))),
        keeper(KeeperMessage::Evidence(Proofs { match_id, grants: vec![grant], fouls: vec![] })),
        // More than there is, of this match and of another.
        keeper(KeeperMessage::Have(Have {
            match_id,
            epoch: u32::MAX,
            head: Base { plies: u16::MAX, head: Hash([1; 32]) },
        })),
        keeper(KeeperMessage::Have(Have { match_id: MatchId(random()), epoch: 1, head: Base::NONE })),
        ToPeer::Use,
        ToPeer::Echoed(u32::MAX),
    ];
    for lie in &lies {
        assert!(line.say(lie).await, "{lie:?}");
    }
    // What was said is heard in order: the answer to this comes after all of it.
    assert!(line.say(&ToPeer::Echo(77)).await);
    loop {
        match line.read().await.expect("still there") {
            ToPeer::Echoed(77) => break,
            ToPeer::Echo(number) => assert!(line.say(&ToPeer::Echoed(number)).await),
            _ => {}
        }
    }
    // A real move of the liar, and then another one in its place: proven by both.
    board.liar.play(2, 1).await;
    let (row, col) = X_WINS[2];
    let shown = |event: &Event| matches!(event, Event::Board { ply: 2, .. }).then_some(());
    until(&mut board.honest, shown).await;
    board.play(row, col).await;
    let head = board.liar.chain.entry(1).unwrap().body().prev;
    let other = rejoin::model::statement::Entry { prev: head, ply: 1, ..board.liar.body(board.liar.cell(3, 3)) };
    let other = board.liar.sign(other);
    assert!(
        line.say(&ToPeer::Keeper(KeeperMessage::Entries(Entries { match_id, grants: vec![], entries: vec![other] })))
            .await
    );
    board.server.expects(rejoin::ops::event::FOUL);
    assert_eq!(board.liar.verdict().await, Ruling::Foul { by: Seat::O });
    let result = |event: &Event| match event {
        Event::Result { outcome, why, recorded: true, .. } => Some((*outcome, why.clone())),
        _ => None,
    };
    assert_eq!(until(&mut board.honest, result).await, (Fared::Win, "foul".to_owned()));
    board.server.log.line(&["foul"]).await;
}

#[tokio::test]
async fn an_opponent_who_sends_garbage_or_without_end_loses_the_connection_and_not_the_other_the_match() {
    let board = Board::set().await;
    let floods: [Vec<u8>; 4] = [
        vec![0xff; 1 << 16],
        encode(&ToPeer::Echo(1)).repeat(20_000),
        encode(&ToPeer::Use).repeat(20_000),
        encode(&ToPeer::Keeper(KeeperMessage::Have(Have {
            match_id: board.liar.match_id(),
            epoch: 1,
            head: Base::NONE,
        })))
        .repeat(5_000),
    ];
    for bytes in floods {
        let mut line = board.dial().await;
        // It may be cut off at any byte.
        let _ = patiently("to be read or cut off", line.say_bytes(&bytes)).await;
    }
    board.finish().await;
}
