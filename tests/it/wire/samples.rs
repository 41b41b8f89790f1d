//! A message of every kind, with fixed keys and numbers.

use std::net::SocketAddr;

use rejoin::model::evidence::Keeper;
use rejoin::model::games::{GameSpec, Illegal, Move, Outcome, Seat};
use rejoin::model::id::{Boot, Lsn, MatchId, Name, RequestSeq, Run, SessionId, UserId};
use rejoin::model::key::{SecretKey, ServerId, Signature};
use rejoin::model::message::{
    Answer, CloseReason, Command, Entries, Have, Hello, InviteEnd, InviteView, KeeperMessage, LeaderRow, MatchView,
    Proofs, ResumeRequest, ToClient, ToPeer, ToServer, UserRow, UserState, View, Welcome,
};
use rejoin::model::operator::Announcement;
use rejoin::model::outage::{Cause, OutageRecord};
use rejoin::model::password::Password;
use rejoin::model::refusal::Refusal;
use rejoin::model::sign::{Signed, Verified};
use rejoin::model::statement::{Act, Base, Entry, Foul, Grant, Held, Promise, Proof, Ruling, Verdict};
use rejoin::model::time::WallMs;
use rejoin::model::transcript::Transcript;

/// The server's key.
pub(super) fn server_key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

pub(crate) fn server() -> ServerId {
    ServerId::of(&server_key().public())
}

/// The match key of a seat.
pub(super) fn seat_key(seat: Seat) -> SecretKey {
    SecretKey::from_seed(&[10 + u8::try_from(seat.index()).unwrap(); 32])
}

pub(super) fn device_key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[20 + number; 32])
}

pub(super) const MATCH: MatchId = MatchId([0x4d; 16]);
pub(super) const USERS: [UserId; 2] = [UserId([0xa1; 16]), UserId([0xb2; 16])];
pub(super) const SESSION: SessionId = SessionId([0x5e; 16]);

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn grant(match_id: MatchId) -> Grant {
    Grant {
        server: server(),
        match_id,
        epoch: 1,
        base: Base::NONE,
        users: USERS,
        keys: Seat::BOTH.map(|seat| seat_key(seat).public()),
        game: GameSpec::named("tictactoe").unwrap(),
        settle_by: WallMs(1_800_000_000_000),
    }
}

/// A grant as the server signs it.
pub(super) fn signed(grant: Grant) -> Signed<Grant> {
    Signed::by(&server_key(), &server(), grant)
}

/// The history of a match in which these cells are played, X first, rows and columns from 0.
pub(super) fn chain(match_id: MatchId, cells: &[[u8; 2]]) -> Transcript {
    let mut chain = Transcript::new(signed(grant(match_id))).unwrap();
    cells.iter().for_each(|cell| play(&mut chain, *cell, seat_key));
    chain
}

/// One more move, signed by the key of its seat.
pub(super) fn play(chain: &mut Transcript, cell: [u8; 2], key: impl Fn(Seat) -> SecretKey) {
    let body = chain.next_entry(Act::Play(Move::new(&cell).unwrap()), WallMs(1_700_000_000_000));
    let entry = Signed::by(&key(body.seat), &server(), body);
    chain.push(&Verified::from_disk(entry)).unwrap();
}

/// The key under which O sits after a change of device.
pub(super) fn second_key(seat: Seat) -> SecretKey {
    match seat {
        Seat::X => seat_key(seat),
        Seat::O => SecretKey::from_seed(&[12; 32]),
    }
}

/// The grant that follows: O has another key.
pub(super) fn second_grant(chain: &Transcript) -> Grant {
    let keys = Seat::BOTH.map(|seat| second_key(seat).public());
    Grant { epoch: chain.grant().epoch + 1, base: chain.head(), keys, ..chain.grant().clone() }
}

/// The entries of a match in which these cells are played, X first, rows and columns from 0.
pub(super) fn entries(match_id: MatchId, cells: &[[u8; 2]]) -> Vec<Signed<Entry>> {
    chain(match_id, cells).entries_from(0).into_iter().map(Verified::into_signed).collect()
}

pub(super) fn foul() -> Foul {
    let first = entries(MATCH, &[[0, 0]]).remove(0);
    let second = entries(MATCH, &[[2, 2]]).remove(0);
    Foul { first, second }
}

fn head() -> Base {
    chain(MATCH, &[[0, 0], [1, 1]]).head()
}

fn have() -> Have {
    Have { match_id: MATCH, epoch: 1, head: head() }
}

fn held(key: &SecretKey) -> Signed<Held> {
    let Base { plies, head } = head();
    Signed::by(key, &server(), Held { match_id: MATCH, epoch: 1, plies, head })
}

fn verdict(ruling: Ruling) -> Signed<Verdict> {
    Signed::by(&server_key(), &server(), Verdict { match_id: MATCH, epoch: 2, ruling })
}

fn some_entries() -> Entries {
    let mut chain = chain(MATCH, &[[0, 0], [1, 1]]);
    chain.regrant(&Verified::from_disk(signed(second_grant(&chain)))).unwrap();
    let resign = chain.next_entry(Act::Resign, WallMs(1_700_000_000_001));
    let resign = Signed::by(&second_key(resign.seat), &server(), resign);
    let mut entries: Vec<Signed<Entry>> = chain.entries_from(0).into_iter().map(Verified::into_signed).collect();
    entries.push(resign);
    Entries { match_id: MATCH, grants: chain.grants().to_vec(), entries }
}

fn proofs() -> Proofs {
    Proofs { match_id: MATCH, grants: vec![signed(grant(MATCH))], fouls: vec![foul()] }
}

fn promise() -> Signed<Promise> {
    Signed::by(&seat_key(Seat::X), &server(), Promise { match_id: MATCH, epoch: 2, head: head() })
}

fn candidates() -> Vec<SocketAddr> {
    vec!["192.168.1.20:49152".parse().unwrap(), "[2001:db8::7]:443".parse().unwrap()]
}

/// What keepers say, whoever they are.
fn keepers() -> Vec<(String, KeeperMessage)> {
    let held = |keeper, key: &SecretKey| KeeperMessage::Held { keeper, held: held(key) };
    let plain = [
        ("have", KeeperMessage::Have(have())),
        ("have-nothing", KeeperMessage::Have(Have { match_id: MATCH, epoch: 0, head: Base::NONE })),
        ("entries", KeeperMessage::Entries(some_entries())),
        ("held-server", held(Keeper::Server, &server_key())),
        ("held-x", held(Keeper::Player(Seat::X), &seat_key(Seat::X))),
        ("held-o", held(Keeper::Player(Seat::O), &seat_key(Seat::O))),
        ("evidence", KeeperMessage::Evidence(proofs())),
        ("promise", KeeperMessage::Promise(promise())),
    ];
    let mut all: Vec<_> = plain.into_iter().map(|(name, message)| (format!("keeper-{name}"), message)).collect();
    for (name, ruling) in rulings() {
        all.push((format!("keeper-verdict-{name}"), KeeperMessage::Verdict(verdict(ruling))));
    }
    all
}

/// As [`kind_to_server`], of what keepers say.
const fn kind_of_keeper(message: &KeeperMessage) -> &'static str {
    match message {
        KeeperMessage::Have(_) => "keeper-have",
        KeeperMessage::Entries(_) => "keeper-entries",
        KeeperMessage::Held { .. } => "keeper-held-",
        KeeperMessage::Evidence(_) => "keeper-evidence",
        KeeperMessage::Promise(_) => "keeper-promise",
        KeeperMessage::Verdict(_) => "keeper-verdict-",
    }
}

fn rulings() -> Vec<(&'static str, Ruling)> {
    vec![
        ("foul", Ruling::Foul { by: Seat::O }),
        ("void", Ruling::Void),
        ("won", Ruling::Board { outcome: Outcome::Win(Seat::X) }),
        ("drawn", Ruling::Board { outcome: Outcome::Draw }),
        ("resigned", Ruling::Resigned { by: Seat::X }),
    ]
}

fn commands() -> Vec<(&'static str, Command)> {
    let password = |text| Password::new(text).unwrap();
    let (game, key) = (GameSpec::named("gomoku").unwrap(), seat_key(Seat::O).public());
    vec![
        ("add-user", Command::AddUser { name: name("alice"), password: password("correct horse") }),
        (
            "login",
            Command::Login { name: name("Al.i_c-e"), password: password("grüße"), device: device_key(0).public() },
        ),
        ("passwd", Command::Passwd { old: password("correct horse"), new: password("battery staple") }),
        ("logout", Command::Logout),
        ("list", Command::List),
        ("leaders", Command::Leaders),
        ("begin", Command::Begin { to: name("bob"), game, key }),
        ("accept", Command::Accept { from: name("alice"), key }),
        ("decline", Command::Decline { from: name("alice") }),
        ("leave", Command::Leave { match_id: MATCH }),
        ("take-seat", Command::TakeSeat { match_id: MATCH, key }),
    ]
}

fn outage() -> OutageRecord {
    OutageRecord { cause: Cause::Restart, length_ms: 1_234, attempts: 3, waits_ms: vec![0, 31, 480] }
}

/// To the server.
pub(super) fn to_server() -> Vec<(String, ToServer)> {
    let signature = Signature([7; 64]);
    let seen = (Boot { number: 3, nonce: 0x0102_0304_0506_0708 }, Lsn(70_000));
    let mut all: Vec<(String, ToServer)> = vec![
        ("hello".to_owned(), ToServer::Hello(Hello { min: 2, max: 2, run: Run(0x1122_3344_5566_7788) })),
        ("resume".to_owned(), ToServer::Resume(ResumeRequest { session: SESSION, signature, seen })),
        ("ping".to_owned(), ToServer::Ping(300)),
        ("pong".to_owned(), ToServer::Pong(u32::MAX)),
        ("candidates".to_owned(), ToServer::Candidates(candidates())),
        ("candidates-none".to_owned(), ToServer::Candidates(Vec::new())),
        ("outage".to_owned(), ToServer::Outage(outage())),
    ];
    all.extend(keepers().into_iter().map(|(name, message)| (name, ToServer::Keeper(message))));
    for (name, command) in commands() {
        all.push((format!("request-{name}"), ToServer::Request { seq: RequestSeq(200), command }));
    }
    for (name, ruling) in rulings() {
        all.push((format!("stored-{name}"), ToServer::Stored { match_id: MATCH, ruling }));
    }
    all
}

/// What the name of a sample begins with. A new kind of message does not compile here before it has one.
pub(super) const fn kind_to_server(message: &ToServer) -> &'static str {
    match message {
        ToServer::Hello(_) => "hello",
        ToServer::Resume(_) => "resume",
        ToServer::Request { .. } => "request-",
        ToServer::Ping(_) => "ping",
        ToServer::Pong(_) => "pong",
        ToServer::Keeper(message) => kind_of_keeper(message),
        ToServer::Candidates(_) => "candidates",
        ToServer::Stored { .. } => "stored-",
        ToServer::Outage(_) => "outage",
    }
}

/// As [`kind_to_server`].
pub(super) const fn kind_to_client(message: &ToClient) -> &'static str {
    match message {
        ToClient::Welcome(_) => "welcome",
        ToClient::UpgradeRequired { .. } => "upgrade-required",
        ToClient::Answer { .. } => "answer-",
        ToClient::Live(_) => "live",
        ToClient::ResumeRefused(_) => "resume-refused",
        ToClient::Ping(_) => "ping",
        ToClient::Pong(_) => "pong",
        ToClient::Invited(_) => "invited",
        ToClient::InviteClosed { .. } => "invite-closed-",
        ToClient::Matched(_) => "matched",
        ToClient::Suspended { .. } => "suspended",
        ToClient::Opponent { .. } => "opponent",
        ToClient::Keeper(message) => kind_of_keeper(message),
        ToClient::EntryRefused { .. } => "entry-refused",
        ToClient::Restarting { .. } => "restarting",
        ToClient::Closing { .. } => "closing-",
        ToClient::Unsupported { .. } => "unsupported",
        ToClient::Offered { .. } => "offered",
        ToClient::PromiseWanted { .. } => "promise-wanted",
        ToClient::Peer { .. } => "peer",
        ToClient::Announcement(_) => "announcement",
    }
}

/// As [`kind_to_server`].
pub(super) const fn kind_to_peer(message: &ToPeer) -> &'static str {
    match message {
        ToPeer::Echo(_) => "echo",
        ToPeer::Echoed(_) => "echoed",
        ToPeer::Use => "use",
        ToPeer::Keeper(message) => kind_of_keeper(message),
    }
}

/// From one client to the other.
pub(super) fn to_peer() -> Vec<(String, ToPeer)> {
    let mut all = vec![
        ("echo".to_owned(), ToPeer::Echo(300)),
        ("echoed".to_owned(), ToPeer::Echoed(u32::MAX)),
        ("use".to_owned(), ToPeer::Use),
    ];
    all.extend(keepers().into_iter().map(|(name, message)| (name, ToPeer::Keeper(message))));
    all
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::UserExists,
        Refusal::WrongPassword,
        Refusal::SamePassword,
        Refusal::BadPassword,
        Refusal::NotLoggedIn,
        Refusal::AlreadyLoggedIn,
        Refusal::LoggedInElsewhere,
        Refusal::SessionEnded,
        Refusal::NoSuchUser,
        Refusal::Yourself,
        Refusal::OpponentOffline,
        Refusal::OpponentBusy,
        Refusal::InMatch,
        Refusal::NoMatch,
        Refusal::TooManyInvites,
        Refusal::TooManyMatches,
        Refusal::AlreadyInvited,
        Refusal::NoInvite,
        Refusal::UnknownGame,
        Refusal::NotYourTurn,
        Illegal::CellTaken.into(),
        Illegal::OffTheBoard.into(),
        Illegal::Over.into(),
        Illegal::Malformed.into(),
        Refusal::NotAPlayer,
        Refusal::BadSignature,
        Refusal::OutOfOrder,
        Refusal::Busy { retry_after_ms: 2_000 },
        Refusal::DiskFull,
        Refusal::Restarting,
        Refusal::Unsupported,
        Refusal::TooManyDevices,
        Refusal::KeyKnown,
    ]
}

fn match_view(active: bool) -> MatchView {
    MatchView { grant: signed(grant(MATCH)), names: [name("alice"), name("bob")], active, opponent_here: !active }
}

fn invite(resume: Option<MatchId>) -> InviteView {
    InviteView { by: name("bob"), game: GameSpec::named("connect4").unwrap(), resume }
}

fn answers() -> Vec<(&'static str, Answer)> {
    let states = [("alice", UserState::Free), ("bob", UserState::Busy), ("carol", UserState::Away)];
    let users = states.map(|(who, state)| UserRow { name: name(who), state }).to_vec();
    let leader = LeaderRow { name: name("alice"), points: 1_000, wins: 499, draws: 2, losses: 3, left: 4 };
    vec![
        ("done", Answer::Done),
        ("users", Answer::Users { rows: users, total: 3 }),
        ("leaders", Answer::Leaders { rows: vec![leader], total: 1 }),
    ]
}

fn view() -> View {
    View {
        session: SESSION,
        user: USERS[0],
        name: name("alice"),
        boot: Boot { number: 3, nonce: 0x0102_0304_0506_0708 },
        lsn: Lsn(70_000),
        invites: vec![invite(None), invite(Some(MATCH))],
        matches: vec![match_view(true)],
        show_all: true,
    }
}

/// From the server.
pub(super) fn to_client() -> Vec<(String, ToClient)> {
    let proof = Signed::by(&server_key(), &server(), Proof { exporter: [9; 32] }).signature;
    let welcome = Welcome { version: 2, key: server_key().public(), proof, nonce: [8; 16] };
    let (match_id, seq) = (MATCH, RequestSeq(200));
    let plain = [
        ("welcome", ToClient::Welcome(welcome)),
        ("upgrade-required", ToClient::UpgradeRequired { min: 2, max: 2 }),
        ("live", ToClient::Live(Box::new(view()))),
        ("resume-refused", ToClient::ResumeRefused(Refusal::SessionEnded)),
        ("ping", ToClient::Ping(300)),
        ("pong", ToClient::Pong(u32::MAX)),
        ("invited", ToClient::Invited(invite(Some(MATCH)))),
        ("matched", ToClient::Matched(Box::new(match_view(false)))),
        ("suspended", ToClient::Suspended { match_id, by: name("bob") }),
        ("opponent", ToClient::Opponent { match_id, here: true }),
        ("restarting", ToClient::Restarting { eta_ms: 1_000 }),
        ("unsupported", ToClient::Unsupported { kind: 99 }),
        ("offered", ToClient::Offered { match_id }),
        ("promise-wanted", ToClient::PromiseWanted { match_id, epoch: 2 }),
        ("peer", ToClient::Peer { match_id, candidates: candidates() }),
        ("announcement", ToClient::Announcement(Announcement::new("restart in 60 s").unwrap())),
    ];
    let mut all: Vec<(String, ToClient)> =
        plain.into_iter().map(|(name, message)| (name.to_owned(), message)).collect();
    for (name, answer) in answers() {
        all.push((format!("answer-{name}"), ToClient::Answer { seq, result: Ok(answer) }));
    }
    for refusal in refusals() {
        all.push((format!("answer-refused-{}", refusal.word()), ToClient::Answer { seq, result: Err(refusal) }));
    }
    let cell_taken = ToClient::EntryRefused { match_id, ply: 2, refusal: Refusal::CellTaken };
    all.push(("entry-refused".to_owned(), cell_taken));
    all.extend(keepers().into_iter().map(|(name, message)| (name, ToClient::Keeper(message))));
    let ends = [InviteEnd::Declined, InviteEnd::Expired, InviteEnd::Busy, InviteEnd::Gone];
    for why in ends {
        all.push((format!("invite-closed-{why:?}"), ToClient::InviteClosed { with: name("bob"), why }));
    }
    let reasons = [
        CloseReason::Superseded,
        CloseReason::SessionEnded,
        CloseReason::Full,
        CloseReason::Silent,
        CloseReason::Malformed,
        CloseReason::Slow,
    ];
    for why in reasons {
        all.push((format!("closing-{why:?}"), ToClient::Closing { why, retry_after_ms: 250 }));
    }
    all
}
