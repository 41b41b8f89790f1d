//! Matches played by hand: signed entries, receipts and verdicts, each checked as a careful client would.

use std::time::Duration;

use rejoin::model::evidence::Keeper;
use rejoin::model::games::{GameSpec, Seat};
use rejoin::model::id::MatchId;
use rejoin::model::key::{PublicKey, SecretKey};
use rejoin::model::message::{Command, Entries, KeeperMessage, MatchView, Proofs, ToClient, ToServer};
use rejoin::model::refusal::Refusal;
use rejoin::model::sign::{Signed, Verified};
use rejoin::model::statement::{Act, Entry, Foul, Grant, Held, Ruling};
use rejoin::model::time::{Clock, WallMs};
use rejoin::model::transcript::Transcript;
use rejoin::ops::host::HostClock;

use super::client::{Player, new_key};

/// A player at the board.
pub(crate) struct Seated {
    pub(crate) player: Player,
    pub(crate) seat: Seat,
    pub(crate) key: SecretKey,
    pub(crate) chain: Transcript,
}

/// Lets one ask the other to play, and seats both: X first.
pub(crate) async fn seat(mut one: Player, mut other: Player, game: &str) -> [Seated; 2] {
    let keys = [new_key(), new_key()];
    let (to, from) = (other.name.clone(), one.name.clone());
    let game = GameSpec::named(game).unwrap();
    one.line.request(Command::Begin { to, game, key: keys[0].public() }).await.unwrap();
    other.line.wait("an invitation", |message| matches!(message, ToClient::Invited(_)).then_some(())).await;
    other.line.request(Command::Accept { from, key: keys[1].public() }).await.unwrap();
    let [key_of_one, key_of_other] = keys;
    let one = Seated::at(one, key_of_one).await;
    let other = Seated::at(other, key_of_other).await;
    if one.seat == Seat::X { [one, other] } else { [other, one] }
}

impl Seated {
    pub(crate) async fn at(mut player: Player, key: SecretKey) -> Self {
        let matched = |message: &ToClient| {
            if let ToClient::Matched(view) = message { Some((**view).clone()) } else { None }
        };
        let view = player.line.wait("a match", matched).await;
        let grant = checked(view, &player.line.welcome.key);
        let seat =
            Seat::BOTH.into_iter().find(|seat| grant.body.keys[seat.index()] == key.public()).expect("it is mine");
        assert_eq!(grant.body.users[seat.index()], player.view.user);
        Self { seat, key, chain: Transcript::new(grant).unwrap(), player }
    }

    pub(crate) fn match_id(&self) -> MatchId {
        self.chain.grant().match_id
    }

    /// What playing there is; both are counted from 1, and there need be no such cell.
    pub(crate) fn cell(&self, row: u16, col: u16) -> Act {
        let byte = |number: u16| u8::try_from(number - 1).unwrap();
        Act::Play(rejoin::model::games::Move::new(&[byte(row), byte(col)]).unwrap())
    }

    /// The next entry, if this player does `act`; nobody's turn is looked at.
    pub(crate) fn body(&self, act: Act) -> Entry {
        Entry { seat: self.seat, ..self.chain.next_entry(act, WallMs(0)) }
    }

    pub(crate) fn sign(&self, body: Entry) -> Signed<Entry> {
        Signed::by(&self.key, &self.player.line.server, body)
    }

    pub(crate) async fn send(&mut self, entries: Vec<Signed<Entry>>) {
        let match_id = self.match_id();
        self.player.line.send(&entries_of(match_id, Vec::new(), entries)).await;
    }

    /// Plays and waits until the server has it on disk; how long that took.
    pub(crate) async fn play(&mut self, row: u16, col: u16) -> Duration {
        self.act(self.cell(row, col)).await
    }

    pub(crate) async fn act(&mut self, act: Act) -> Duration {
        let entry = self.sign(self.body(act));
        self.chain.push(&Verified::from_disk(entry.clone())).unwrap();
        let clock = HostClock::start();
        self.send(vec![entry]).await;
        self.kept().await;
        Duration::from_millis(clock.now().0)
    }

    /// Waits for the server's receipt for all that is on the board.
    pub(crate) async fn kept(&mut self) {
        let (head, match_id, server) = (self.chain.head(), self.match_id(), self.player.line.server);
        let key = self.player.line.welcome.key;
        let receipt = |message: &ToClient| {
            if let ToClient::Keeper(KeeperMessage::Held { keeper: Keeper::Server, held }) = message
                && held.body.match_id == match_id
            {
                Some(held.clone())
            } else {
                None
            }
        };
        loop {
            let held = self.player.line.wait("a receipt", receipt).await.verify(&key, &server).expect("signed");
            let Held { plies, head: said, .. } = *held.body();
            if plies == head.plies {
                assert_eq!(said, head.head, "the server holds another chain");
                return;
            }
            assert!(plies < head.plies, "the server holds more than was played");
        }
    }

    /// Waits for the opponent's next entry, and checks it.
    pub(crate) async fn see(&mut self) {
        let match_id = self.match_id();
        let news = |message: &ToClient| {
            if let ToClient::Keeper(KeeperMessage::Entries(some)) = message
                && some.match_id == match_id
            {
                Some(some.entries.clone())
            } else {
                None
            }
        };
        let key = self.chain.grant().keys[self.seat.other().index()];
        for entry in self.player.line.wait("the opponent's move", news).await {
            let entry = entry.verify(&key, &self.player.line.server).expect("the opponent has signed it");
            self.chain.push(&entry).unwrap();
        }
    }

    /// Sends an entry as it is, and waits for the server to say why it does not take it.
    pub(crate) async fn refused(&mut self, entry: Signed<Entry>) -> Refusal {
        self.send(vec![entry]).await;
        self.refusal().await
    }

    pub(crate) async fn refusal(&mut self) -> Refusal {
        let match_id = self.match_id();
        let refused = |message: &ToClient| {
            if let ToClient::EntryRefused { match_id: of, refusal, .. } = message
                && *of == match_id
            {
                Some(*refusal)
            } else {
                None
            }
        };
        self.player.line.wait("a refusal", refused).await
    }

    /// Waits for the server's verdict, checks its signature, and says that it is stored.
    pub(crate) async fn verdict(&mut self) -> Ruling {
        let (match_id, server, key) = (self.match_id(), self.player.line.server, self.player.line.welcome.key);
        let verdict = |message: &ToClient| {
            if let ToClient::Keeper(KeeperMessage::Verdict(verdict)) = message
                && verdict.body.match_id == match_id
            {
                Some(verdict.clone())
            } else {
                None
            }
        };
        let verdict = self.player.line.wait("a verdict", verdict).await.verify(&key, &server).expect("signed");
        let ruling = verdict.body().ruling;
        self.player.line.send(&ToServer::Stored { match_id, ruling }).await;
        ruling
    }
}

/// The grant, once the server's signature was checked.
fn checked(view: MatchView, server_key: &PublicKey) -> Signed<Grant> {
    let server = view.grant.body.server;
    view.grant.verify(server_key, &server).expect("the server has signed it").into_signed()
}

/// A stretch of history, for the server.
pub(crate) fn entries_of(match_id: MatchId, grants: Vec<Signed<Grant>>, entries: Vec<Signed<Entry>>) -> ToServer {
    ToServer::Keeper(KeeperMessage::Entries(Entries { match_id, grants, entries }))
}

/// Proofs of fouls, for the server.
pub(crate) fn proofs_of(match_id: MatchId, grants: Vec<Signed<Grant>>, fouls: Vec<Foul>) -> ToServer {
    ToServer::Keeper(KeeperMessage::Evidence(Proofs { match_id, grants, fouls }))
}

/// Plays the moves in turn, X first, each kept by the server and seen by the other; how long the slowest took.
pub(crate) async fn play_all([x, o]: &mut [Seated; 2], moves: &[(u16, u16)]) -> Duration {
    let mut slowest = Duration::ZERO;
    for (row, col) in moves {
        let (mover, other) = if x.chain.turn() == Some(Seat::X) { (&mut *x, &mut *o) } else { (&mut *o, &mut *x) };
        slowest = slowest.max(mover.play(*row, *col).await);
        other.see().await;
    }
    slowest
}

/// X wins.
pub(crate) const X_WINS: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];
/// Nobody does.
pub(crate) const DRAWN: [(u16, u16); 9] = [(1, 1), (1, 2), (1, 3), (2, 2), (2, 1), (2, 3), (3, 2), (3, 1), (3, 3)];
