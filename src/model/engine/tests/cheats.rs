//! What a lying player can do with good signatures, and what comes of it: a verdict, a line of the log, or nothing.
//! Bad signatures never get here: see `tests/it/hostile`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::model::engine::{Effect, Engine, Input, Settings};
use crate::model::event::{Event, LinkEnd};
use crate::model::fact::Fact;
use crate::model::fixture::{Players, entry_by, play};
use crate::model::games::{Outcome, Seat};
use crate::model::id::{Boot, ConnId, Lsn, MatchId, Name, RequestSeq, Run, SessionId};
use crate::model::key::SecretKey;
use crate::model::limits::{
    ACT_BYTES_MAX, ENTRIES_PER_FRAME_MAX, EPOCHS_MAX, FRAME_BYTES_MAX, GAME_PARAMS_BYTES_MAX, MATCHES_TAKEN_MAX,
    PLIES_MAX,
};
use crate::model::message::{Command, Entries, Have, KeeperMessage, ResumeRequest, ToClient};
use crate::model::password::PasswordHash;
use crate::model::refusal::Refusal;
use crate::model::replay::Replay;
use crate::model::sign::{Signed, Verified};
use crate::model::state::State;
use crate::model::statement::{Act, Base, Entry, Grant, Promise, Ruling};
use crate::model::time::{Now, WallMs};
use crate::model::transcript::Transcript;

const WON: Ruling = Ruling::Board { outcome: Outcome::Win(Seat::X) };
const X_WINS: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];
const X: ConnId = ConnId(1);
const O: ConnId = ConnId(2);

/// An engine with two players at one match, and a disk as fast as thought.
struct Bench {
    engine: Engine,
    players: Players,
    chain: Transcript,
    sent: Vec<(ConnId, ToClient)>,
    log: Vec<Event>,
    facts: Vec<Fact>,
    seq: u64,
}

impl Bench {
    fn new() -> Self {
        let players = Players::new(1);
        let mut facts = people(&players);
        facts.push(Fact::MatchStarted { grant: players.grant() });
        Self::with(players, &facts)
    }

    /// With these facts on disk; both players are connected.
    fn with(players: Players, facts: &[Fact]) -> Self {
        let mut state = State::default();
        facts.iter().for_each(|fact| state.apply(fact).unwrap());
        let engine = Engine::new(Settings::default(), players.server, state, Lsn(facts.len() as u64), [0; 32]);
        let chain = Transcript::new(players.first()).unwrap();
        let mut bench = Self { engine, players, chain, sent: Vec::new(), log: Vec::new(), facts: Vec::new(), seq: 0 };
        bench.feed(Input::Booted(Boot { number: 1, nonce: 1 }));
        bench.connects(X, 1);
        bench.connects(O, 2);
        bench.sent.clear();
        bench
    }

    /// A player takes up the session on this connection.
    fn connects(&mut self, conn: ConnId, user: u8) {
        self.feed(Input::Opened { conn, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), run: Run(conn.0) });
        let signature = crate::model::key::Signature::EMPTY;
        let request = ResumeRequest { session: SessionId([user; 16]), signature, seen: Default::default() };
        self.feed(Input::Resume { conn, request });
        self.feed(Input::ResumeChecked { conn, good: true });
    }

    fn feed(&mut self, input: Input) {
        self.engine.handle(Now(0), WallMs(0), input);
        loop {
            match self.engine.poll_effect() {
                Some(Effect::Append(facts)) => self.facts.extend(facts),
                Some(Effect::Send { conn, message }) => self.sent.push((conn, *message)),
                Some(Effect::Log(event)) => self.log.push(*event),
                Some(_) => {}
                None if self.engine.is_quiet() => return,
                None => {
                    let appended = self.engine.lsns().0;
                    self.engine.handle(Now(0), WallMs(0), Input::Flushed(appended));
                }
            }
        }
    }

    fn match_id(&self) -> MatchId {
        self.players.grant().match_id
    }

    /// The next entry of the bench's own chain, which takes it.
    fn signed(&mut self, row: u16, col: u16) -> Verified<Entry> {
        let entry = play(&self.players, &self.chain, row, col);
        self.chain.push(&entry).unwrap();
        entry
    }

    fn entries(&mut self, conn: ConnId, entries: Vec<Verified<Entry>>) {
        let match_id = self.match_id();
        self.feed(Input::Entries { conn, match_id, grants: Vec::new(), entries });
    }

    fn plays(&mut self, moves: &[(u16, u16)]) {
        for (row, col) in moves {
            let entry = self.signed(*row, *col);
            let conn = if entry.body().seat == Seat::X { X } else { O };
            self.entries(conn, vec![entry]);
        }
    }

    fn stored(&mut self, ruling: Ruling) {
        let match_id = self.match_id();
        [X, O].into_iter().for_each(|conn| self.feed(Input::Stored { conn, match_id, ruling }));
    }

    fn proof(&mut self, conn: ConnId, pair: [Verified<Entry>; 2]) {
        let match_id = self.match_id();
        self.feed(Input::Proofs { conn, match_id, pairs: vec![pair] });
    }

    fn ruling(&self) -> Option<Ruling> {
        self.engine.state().settled(self.match_id()).map(|settled| settled.ruling)
    }

    /// Points of X and O.
    fn points(&self) -> [u32; 2] {
        self.players.grant().users.map(|user| self.engine.state().account(user).unwrap().points())
    }

    /// The last verdict a player was sent.
    fn told(&self, conn: ConnId) -> Option<Ruling> {
        let verdict = |(to, said): &(ConnId, ToClient)| match said {
            ToClient::Keeper(KeeperMessage::Verdict(verdict)) if *to == conn => Some(verdict.body.ruling),
            _ => None,
        };
        self.sent.iter().rev().find_map(verdict)
    }

    fn refused(&self, conn: ConnId) -> Option<Refusal> {
        let refusal = |(to, said): &(ConnId, ToClient)| match said {
            ToClient::EntryRefused { refusal, .. } if *to == conn => Some(*refusal),
            _ => None,
        };
        self.sent.iter().rev().find_map(refusal)
    }

    /// Asks for a seat; the number of the request.
    fn take_seat(&mut self, conn: ConnId, seed: u8) -> RequestSeq {
        self.seq += 1;
        let seq = RequestSeq(self.seq);
        let command = Command::TakeSeat { match_id: self.match_id(), key: SecretKey::from_seed(&[seed; 32]).public() };
        self.feed(Input::Request { conn, seq, command });
        seq
    }

    /// What the player in `seat` promises, when it holds `head`.
    fn promise(&mut self, conn: ConnId, seat: Seat, epoch: u32, head: Base) {
        let body = Promise { match_id: self.match_id(), epoch, head };
        let promise = Signed::by(&self.players.keys[seat.index()], &self.players.server, body);
        self.feed(Input::Promise { conn, seat, promise: Verified::from_disk(promise) });
    }

    fn epoch(&self) -> u32 {
        self.engine.state().game(self.match_id()).unwrap().grant().epoch
    }
}

/// Two accounts that are logged in.
fn people(players: &Players) -> Vec<Fact> {
    let at = WallMs(0);
    let person = |(user, name): (crate::model::id::UserId, &str)| {
        let (name, password) = (Name::new(name).unwrap(), PasswordHash::new(String::new()));
        let device = SecretKey::from_seed(&[7; 32]).public();
        [
            Fact::AccountAdded { user, name, password, origin: None, points: 0, at },
            Fact::LoggedIn { session: SessionId(user.0), user, device, at },
        ]
    };
    players.grant().users.into_iter().zip(["alice", "bob"]).flat_map(person).collect()
}

/// X's other first move.
fn other_first(bench: &Bench) -> Verified<Entry> {
    play(&bench.players, &Transcript::new(bench.players.first()).unwrap(), 3, 3)
}

#[test]
fn who_signs_twice_before_the_end_loses_by_entries_or_by_a_proof() {
    for by_proof in [false, true] {
        let mut bench = Bench::new();
        bench.plays(&X_WINS[..2]);
        let (first, other) = (bench.chain.entry(0).unwrap(), other_first(&bench));
        if by_proof {
            bench.proof(O, [first, other]);
        } else {
            bench.entries(O, vec![other]);
        }
        let foul = Ruling::Foul { by: Seat::X };
        assert_eq!((bench.ruling(), bench.points()), (Some(foul), [0, 2]));
        assert_eq!([bench.told(X), bench.told(O)], [Some(foul); 2]);
        assert!(bench.log.contains(&Event::Foul { match_id: bench.match_id(), by: Seat::X }));
    }
}

#[test]
fn a_foul_proved_after_the_verdict_corrects_the_score_also_when_the_match_was_filed_away() {
    for filed in [false, true] {
        let mut bench = Bench::new();
        bench.plays(&X_WINS);
        assert_eq!((bench.ruling(), bench.points()), (Some(WON), [2, 0]));
        if filed {
            bench.stored(WON);
            assert!(bench.engine.state().game(bench.match_id()).is_none());
        }
        let (first, other) = (bench.chain.entry(0).unwrap(), other_first(&bench));
        bench.sent.clear();
        bench.proof(O, [first.clone(), other.clone()]);
        let foul = Ruling::Foul { by: Seat::X };
        assert_eq!((bench.ruling(), bench.points()), (Some(foul), [0, 2]), "filed: {filed}");
        assert_eq!([bench.told(X), bench.told(O)], [Some(foul); 2], "both are told");
        let shown = |(_, said): &(ConnId, ToClient)| matches!(said, ToClient::Keeper(KeeperMessage::Evidence(_)));
        assert_eq!(bench.sent.iter().filter(|said| shown(said)).count(), 2, "with the proof");
        assert!(bench.log.contains(&Event::Foul { match_id: bench.match_id(), by: Seat::X }));
        let corrected = Event::VerdictCorrected { match_id: bench.match_id(), ruling: foul };
        assert_eq!(bench.log.contains(&corrected), filed);

        // Again, and the other way round: nothing new.
        let facts = bench.facts.len();
        bench.proof(X, [other.clone(), first]);
        assert_eq!(bench.facts.len(), facts);
        // The other has cheated too.
        let one = bench.chain.entry(1).unwrap();
        let mut short = Transcript::new(bench.players.first()).unwrap();
        short.push(&bench.chain.entry(0).unwrap()).unwrap();
        let two = play(&bench.players, &short, 3, 2);
        bench.proof(X, [one, two]);
        assert_eq!((bench.ruling(), bench.points()), (Some(Ruling::Void), [0, 0]));
        assert_eq!([bench.told(X), bench.told(O)], [Some(Ruling::Void); 2]);
        replays(&bench);
    }
}

#[test]
fn whoever_was_away_when_a_filed_verdict_changed_is_shown_why_on_coming_back_and_on_a_have() {
    let mut bench = Bench::new();
    bench.plays(&X_WINS);
    bench.stored(WON);
    let (first, other) = (bench.chain.entry(0).unwrap(), other_first(&bench));
    bench.feed(Input::Closed { conn: X, end: LinkEnd::Reset });
    bench.proof(O, [first, other]);
    bench.sent.clear();
    bench.connects(ConnId(3), 1);
    assert_shown_why(&bench);
    bench.sent.clear();
    let have = Have { match_id: bench.match_id(), epoch: 1, head: bench.chain.head() };
    bench.feed(Input::Have { conn: O, have });
    assert_shown_why(&bench);
}

fn assert_shown_why(bench: &Bench) {
    let said: Vec<&KeeperMessage> = bench
        .sent
        .iter()
        .filter_map(|(_, said)| if let ToClient::Keeper(message) = said { Some(message) } else { None })
        .collect();
    assert!(matches!(said[..], [KeeperMessage::Evidence(_), KeeperMessage::Verdict(_)]), "{said:?}");
}

#[test]
fn a_spliced_or_shortened_transcript_changes_nothing() {
    let mut bench = Bench::new();
    bench.plays(&X_WINS[..3]);
    let before = bench.facts.len();
    let old: Vec<Verified<Entry>> = bench.chain.entries_from(0);
    bench.signed(2, 2);
    let fourth = bench.signed(1, 3);
    // The winning move without the one before it.
    bench.entries(X, vec![fourth.clone()]);
    // What follows another head.
    let mut loose = bench.chain.entry(3).unwrap().into_signed();
    loose.body.prev.0[0] ^= 1;
    bench.entries(O, vec![Verified::from_disk(loose), fourth]);
    // A beginning, the same again, and only its end.
    bench.entries(X, old[..1].to_vec());
    bench.entries(X, old.clone());
    bench.entries(O, old[2..].to_vec());
    assert_eq!(bench.facts.len(), before, "{:?}", &bench.facts[before..]);
    assert_eq!(bench.ruling(), None);
    assert!(bench.log.iter().all(|event| !matches!(event, Event::Foul { .. })));
}

#[test]
fn a_withheld_last_move_is_the_move_of_whoever_has_it() {
    let mut bench = Bench::new();
    bench.plays(&X_WINS[..4]);
    // X has shown the winning move to O alone, and O, who has lost, keeps quiet: X shows it.
    let last = bench.signed(1, 3);
    bench.entries(X, vec![last]);
    assert_eq!((bench.ruling(), bench.points()), (Some(WON), [2, 0]));

    // X has shown a losing resignation to O alone, and keeps quiet: O shows it.
    let mut bench = Bench::new();
    bench.plays(&X_WINS[..2]);
    let resign = entry_by(&bench.players, &bench.chain, Act::Resign, WallMs(0));
    bench.entries(O, vec![resign]);
    assert_eq!((bench.ruling(), bench.points()), (Some(Ruling::Resigned { by: Seat::X }), [0, 2]));
}

#[test]
fn an_old_transcript_after_the_verdict_is_answered_with_the_verdict() {
    for filed in [false, true] {
        let mut bench = Bench::new();
        bench.plays(&X_WINS);
        if filed {
            bench.stored(WON);
        }
        let facts = bench.facts.len();
        let all = bench.chain.entries_from(0);
        let first: Verified<Grant> = Verified::from_disk(bench.players.first());
        for (grants, entries) in
            [(vec![], all[..3].to_vec()), (vec![first.clone()], all[..2].to_vec()), (vec![first], all)]
        {
            let match_id = bench.match_id();
            bench.feed(Input::Entries { conn: O, match_id, grants, entries });
        }
        bench.stored(WON);
        let told = usize::from(!filed) * 2;
        assert_eq!(bench.facts.len(), facts + told, "nothing but who has it");
        assert_eq!((bench.ruling(), bench.points()), (Some(WON), [2, 0]));
    }
}

#[test]
fn a_promise_counts_for_the_seat_that_stays_and_for_all_it_holds() {
    let mut bench = Bench::new();
    bench.plays(&X_WINS[..2]);
    let head = bench.chain.head();
    bench.promise(X, Seat::X, 2, head);
    assert_eq!(bench.epoch(), 1, "nobody has asked");
    bench.take_seat(O, 9);
    assert!(bench.sent.iter().any(|(to, said)| *to == X && matches!(said, ToClient::PromiseWanted { epoch: 2, .. })));
    // The one who asks cannot promise for itself, nor by the other's mouth, nor the other by its key.
    bench.promise(O, Seat::O, 2, head);
    bench.promise(O, Seat::X, 2, head);
    bench.promise(X, Seat::O, 2, head);
    // Of another epoch; of a branch that is not.
    bench.promise(X, Seat::X, 1, head);
    bench.promise(X, Seat::X, 3, head);
    bench.promise(X, Seat::X, 2, Base { plies: 2, ..Base::NONE });
    assert_eq!(bench.epoch(), 1);
    // X signs on: what it promises beyond what is here must come first.
    let third = bench.signed(1, 2);
    bench.promise(X, Seat::X, 2, bench.chain.head());
    assert_eq!(bench.epoch(), 1);
    assert!(matches!(bench.sent.last(), Some((X, ToClient::Keeper(KeeperMessage::Have(_))))), "it is asked for");
    bench.entries(X, vec![third]);
    // A promise for less than it holds: the server's own longer chain is the base, so no kept move goes.
    bench.promise(X, Seat::X, 2, head);
    let of = bench.engine.state().game(bench.match_id()).unwrap();
    assert_eq!((of.grant().epoch, of.grant().base.plies), (2, 3));
    assert!(bench.log.contains(&Event::Regranted { match_id: bench.match_id(), epoch: 2, base: 3 }));
    // The same promise again is of an epoch that is over.
    bench.promise(X, Seat::X, 2, head);
    assert_eq!(bench.epoch(), 2);
    // The old device of O plays on under the old epoch: nothing comes of it, and nobody is convicted.
    let old = play(&bench.players, &bench.chain, 2, 2);
    let other = play(&bench.players, &bench.chain, 3, 2);
    let facts = bench.facts.len();
    bench.entries(O, vec![old]);
    bench.entries(O, vec![other]);
    assert_eq!(bench.facts.len(), facts);
    assert_eq!(bench.ruling(), None);
    replays(&bench);
}

#[test]
fn nothing_is_granted_once_there_is_a_verdict() {
    let mut bench = Bench::new();
    bench.plays(&X_WINS[..4]);
    bench.take_seat(O, 9);
    // The move that decides comes before the promise.
    let last = bench.signed(1, 3);
    bench.entries(X, vec![last]);
    assert_eq!(bench.ruling(), Some(WON));
    bench.promise(X, Seat::X, 2, bench.chain.head());
    let seq = bench.take_seat(X, 10);
    assert_eq!(bench.epoch(), 1);
    let refused = ToClient::Answer { seq, result: Err(Refusal::GameOver) };
    assert!(bench.sent.contains(&(X, refused)));
}

#[test]
fn a_pile_of_questions_for_a_seat_is_one_and_bounded() {
    let mut bench = Bench::new();
    bench.plays(&X_WINS[..2]);
    for _ in 0..1_000 {
        bench.take_seat(O, 9);
    }
    let asked = |fact: &&Fact| matches!(fact, Fact::SeatAsked { .. });
    assert_eq!(bench.facts.iter().filter(asked).count(), 1, "the same question is one");
    for seed in 10..200 {
        bench.take_seat(O, seed);
    }
    let of = bench.engine.state().game(bench.match_id()).unwrap();
    assert_eq!(of.asked[0], None);
    assert_eq!(of.asked[1], Some(SecretKey::from_seed(&[199; 32]).public()), "only the newest is remembered");
    bench.promise(X, Seat::X, 2, bench.chain.head());
    assert_eq!(bench.epoch(), 2);
}

#[test]
fn a_match_does_not_change_devices_for_ever_and_its_history_fits_its_frames() {
    let mut bench = Bench::new();
    bench.plays(&X_WINS[..2]);
    for seed in 10..100 {
        bench.take_seat(X, seed);
        bench.take_seat(O, seed + 100);
    }
    let grants = bench.engine.state().game(bench.match_id()).unwrap().evidence.chain.grants().to_vec();
    assert_eq!(grants.len(), EPOCHS_MAX);
    let seq = bench.take_seat(X, 200);
    let refused = ToClient::Answer { seq, result: Err(Refusal::TooManyDevices) };
    assert!(bench.sent.contains(&(X, refused)));
    bench.feed(Input::Have { conn: X, have: Have { match_id: bench.match_id(), epoch: 0, head: Base::NONE } });
    for (_, said) in &bench.sent {
        assert!(postcard::to_allocvec(said).unwrap().len() <= FRAME_BYTES_MAX);
    }
    // The largest there can be: full acts and parameters, and every grant beside a full part of the entries.
    let mut grant = grants[1].clone();
    grant.body.game.params = vec![7; GAME_PARAMS_BYTES_MAX];
    let full = Act::Play(crate::model::games::Move::new(&[7; ACT_BYTES_MAX]).unwrap());
    let entry = Signed::unsigned(Entry { act: full, ply: PLIES_MAX, ..bench.chain.entry(0).unwrap().body().clone() });
    let (grants, entries) = (vec![grant; EPOCHS_MAX], vec![entry; ENTRIES_PER_FRAME_MAX]);
    let largest = Entries { match_id: bench.match_id(), grants, entries };
    let bytes = postcard::to_allocvec(&ToClient::Keeper(KeeperMessage::Entries(largest))).unwrap().len();
    assert!(bytes <= FRAME_BYTES_MAX, "{bytes}");
}

#[test]
fn matches_are_taken_from_their_players_alone_and_not_without_end() {
    let players = Players::new(1);
    let facts = people(&players);
    let mut bench = Bench::with(players, &facts);
    let taken = |bench: &Bench| bench.engine.state().games().count();
    let grant = bench.players.grant();
    let offer = |bench: &mut Bench, grant: Grant| {
        let match_id = grant.match_id;
        let grants = vec![Verified::from_disk(Signed::unsigned(grant))];
        bench.feed(Input::Entries { conn: X, match_id, grants, entries: Vec::new() });
    };
    let stranger = crate::model::id::UserId([9; 16]);
    offer(&mut bench, Grant { users: [stranger, grant.users[1]], ..grant.clone() });
    assert_eq!((taken(&bench), bench.refused(X)), (0, Some(Refusal::NotAPlayer)), "a grant of other users");
    let base = Base { plies: 1, ..Base::NONE };
    offer(&mut bench, Grant { epoch: 2, base, ..grant.clone() });
    assert_eq!((taken(&bench), bench.refused(X)), (0, Some(Refusal::NotAPlayer)), "not from its beginning");
    for number in 0..MATCHES_TAKEN_MAX + 50 {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        let grant = Grant { match_id: MatchId(id), settle_by: WallMs(1), ..grant.clone() };
        offer(&mut bench, grant.clone());
        offer(&mut bench, grant);
    }
    assert_eq!((taken(&bench), bench.refused(X)), (MATCHES_TAKEN_MAX, Some(Refusal::TooManyMatches)));
    assert_eq!(bench.log.iter().filter(|event| matches!(event, Event::StateLost { .. })).count(), 1);
    assert_eq!(bench.log.iter().filter(|event| matches!(event, Event::MatchTaken { .. })).count(), MATCHES_TAKEN_MAX);
    // Of a user who is not known here it is recorded and not scored.
    let [x, _] = grant.users;
    let of = Grant { match_id: MatchId([8; 16]), users: [x, stranger], ..grant };
    assert!(bench.engine.state().account(x).unwrap().open.len() == MATCHES_TAKEN_MAX);
    offer(&mut bench, of);
    assert_eq!(taken(&bench), MATCHES_TAKEN_MAX);
}

#[test]
fn a_flood_of_what_keepers_say_leaves_nothing_behind() {
    let mut bench = Bench::new();
    bench.plays(&X_WINS[..2]);
    let facts = bench.facts.len();
    let size = |bench: &Bench| bench.engine.state().pieces().count();
    let before = size(&bench);
    let (own, match_id) = (bench.chain.entry(0).unwrap(), bench.match_id());
    for number in 0..5_000_u32 {
        let mut id = [7; 16];
        id[..4].copy_from_slice(&number.to_le_bytes());
        let unknown = MatchId(id);
        bench.feed(Input::Have { conn: X, have: Have { match_id: unknown, epoch: number, head: Base::NONE } });
        bench.feed(Input::Have { conn: X, have: Have { match_id, epoch: number, head: Base::NONE } });
        bench.feed(Input::Entries { conn: X, match_id: unknown, grants: Vec::new(), entries: vec![own.clone()] });
        bench.feed(Input::Proofs { conn: X, match_id, pairs: vec![[own.clone(), own.clone()]] });
        bench.feed(Input::Proofs { conn: X, match_id: unknown, pairs: vec![[own.clone(), own.clone()]] });
        bench.feed(Input::Ungranted { conn: X, match_id: unknown });
        bench.feed(Input::Stored { conn: X, match_id, ruling: WON });
        bench.sent.clear();
    }
    assert_eq!((bench.facts.len(), size(&bench)), (facts, before));
    assert!(bench.engine.shown.len() <= 1, "what was shown is counted for open matches alone");
    bench.plays(&X_WINS[2..]);
    assert_eq!((bench.ruling(), bench.points()), (Some(WON), [2, 0]));
}

#[test]
fn what_is_passed_on_to_an_opponent_is_passed_on_once() {
    let mut bench = Bench::new();
    bench.plays(&X_WINS[..1]);
    let of = bench.engine.state().game(bench.match_id()).unwrap().evidence.held();
    let held = Verified::from_disk(Signed::by(&bench.players.keys[1], &bench.players.server, of));
    let addr = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
    bench.sent.clear();
    for port in 1..=1_000 {
        bench.feed(Input::Held { conn: O, held: held.clone() });
        bench.feed(Input::Candidates { conn: O, candidates: vec![addr(port)] });
        bench.feed(Input::Candidates { conn: O, candidates: vec!["0.0.0.0:1".parse().unwrap(), addr(0)] });
    }
    let to_x = |wanted: fn(&ToClient) -> bool| bench.sent.iter().filter(|(to, said)| *to == X && wanted(said)).count();
    assert_eq!(to_x(|said| matches!(said, ToClient::Keeper(KeeperMessage::Held { .. }))), 1);
    let told = to_x(|said| matches!(said, ToClient::Peer { .. }));
    assert!((1..=16).contains(&told), "{told}");
    assert_eq!(
        to_x(
            |said| matches!(said, ToClient::Peer { candidates, .. } if candidates.contains(&"0.0.0.0:1".parse().unwrap()))
        ),
        0
    );
}

#[test]
fn what_a_client_says_it_has_seen_is_logged_and_moves_nothing() {
    let mut bench = Bench::new();
    let conn = ConnId(3);
    bench.feed(Input::Opened { conn, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), run: Run(3) });
    let seen = (Boot { number: u64::MAX, nonce: 7 }, Lsn(u64::MAX));
    let request = ResumeRequest { session: SessionId([1; 16]), signature: crate::model::key::Signature::EMPTY, seen };
    bench.feed(Input::Resume { conn, request });
    bench.feed(Input::ResumeChecked { conn, good: true });
    assert!(bench.log.iter().any(|event| matches!(event, Event::StateRolledBack { .. })));
    assert!(!bench.facts.iter().any(|fact| matches!(fact, Fact::StateLost { .. })));
    assert!(!bench.engine.state().game(bench.match_id()).unwrap().recovering);
}

#[test]
fn a_resume_that_comes_late_over_an_older_connection_takes_nothing() {
    let mut bench = Bench::new();
    let (given_up, newer) = (ConnId(3), ConnId(4));
    bench.feed(Input::Opened { conn: given_up, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), run: Run(3) });
    bench.connects(newer, 1);
    let here = |bench: &Bench| bench.sent.iter().filter(|(_, said)| matches!(said, ToClient::Live(_))).count();
    let before = here(&bench);
    let signature = crate::model::key::Signature::EMPTY;
    let request = ResumeRequest { session: SessionId([1; 16]), signature, seen: Default::default() };
    bench.feed(Input::Resume { conn: given_up, request });
    bench.feed(Input::ResumeChecked { conn: given_up, good: true });
    assert_eq!(here(&bench), before);
    bench.feed(Input::Closed { conn: given_up, end: crate::model::event::LinkEnd::Closed });
    assert!(!bench.log.iter().any(|event| matches!(event, Event::Away { .. })), "{:?}", bench.log);
}

/// Recovery comes to the same.
fn replays(bench: &Bench) {
    let mut state = State::default();
    let mut facts = people(&bench.players);
    facts.push(Fact::MatchStarted { grant: bench.players.grant() });
    facts.iter().chain(&bench.facts).for_each(|fact| state.apply(fact).unwrap());
    state.forget_retired();
    assert_eq!(state, *bench.engine.state());
}
