//! The files of a small state directory of format version 2, and the value they must recover to.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rejoin::model::fact::Fact;
use rejoin::model::game::Match;
use rejoin::model::games::{GameSpec, Outcome, Seat};
use rejoin::model::id::{Boot, InviteId, Lsn, MatchId, Name, RequestSeq, Run, SessionId};
use rejoin::model::password::PasswordHash;
use rejoin::model::replay::Replay;
use rejoin::model::sign::{Signed, Verified};
use rejoin::model::state::State;
use rejoin::model::statement::{Entry, Ruling};
use rejoin::model::time::{UptimeMs, WallMs};
use rejoin::store::{Disk, HostDisk, LOCK, Settings, Snapshotter, StoreError, check, read_archive, recover};
use tempfile::TempDir;

use super::samples::{self, MATCH, SESSION, USERS, foul, name, seat_key, server};
use super::{golden, writes_golden};

const DIR: &str = "state-v2";
const SECOND: MatchId = MatchId([0x2d; 16]);
const THIRD: MatchId = MatchId([0x3d; 16]);
const FOURTH: MatchId = MatchId([0x44; 16]);
const FIFTH: MatchId = MatchId([0x55; 16]);
const AT: WallMs = WallMs(1_700_000_000_000);

fn settings() -> Settings {
    // Small segments, so that a few facts make a snapshot and an archive.
    Settings { segment_bytes: 500, ..Settings::new(server().0, 0x5a17) }
}

fn account(number: usize, who: &str) -> Fact {
    let password = PasswordHash::new(format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA${who}"));
    let origin = Some((Run(7), RequestSeq(1)));
    let points = u32::try_from(number).unwrap() * 10;
    Fact::AccountAdded { user: USERS[number], name: name(who), password, origin, points, at: AT }
}

fn login(number: u8) -> Fact {
    let session = SessionId([SESSION.0[0] + number; 16]);
    Fact::LoggedIn { session, user: USERS[usize::from(number)], device: samples::device_key(number).public(), at: AT }
}

fn played(entry: Signed<Entry>) -> Fact {
    let Entry { match_id, ply, act, at, .. } = entry.body;
    Fact::Played { match_id, ply, act, at, signature: entry.signature }
}

/// A match from its start to its last entry.
fn match_of(match_id: MatchId, cells: &[[u8; 2]]) -> Vec<Fact> {
    let mut facts = vec![Fact::MatchStarted { grant: samples::grant(match_id) }];
    facts.extend(samples::entries(match_id, cells).into_iter().map(played));
    facts
}

fn invited(number: u8, from: usize) -> Fact {
    let (game, key) = (GameSpec::named("tictactoe").unwrap(), seat_key(Seat::X).public());
    Fact::Invited { invite: InviteId([number; 16]), from: USERS[from], to: USERS[1 - from], game, key, resume: None }
}

/// The life of a server, as batches: every kind of fact is in it.
fn batches() -> Vec<Vec<Fact>> {
    let boot = |number| Fact::Booted { boot: Boot { number, nonce: 99 }, server: server(), at: AT };
    let won = Ruling::Board { outcome: Outcome::Win(Seat::X) };
    let told = |seat| vec![Fact::Told { match_id: MATCH, seat }];
    let x_wins = [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2]];
    let mut all = vec![
        vec![boot(1)],
        vec![account(0, "alice")],
        vec![account(1, "bob")],
        vec![login(0)],
        vec![login(1)],
        vec![invited(1, 0), Fact::Answered { session: SESSION, run: Run(7), seq: RequestSeq(2) }],
    ];
    all.extend(match_of(MATCH, &x_wins).into_iter().map(|fact| vec![fact]));
    all.push(vec![Fact::Settled { match_id: MATCH, ruling: won, credit: [2, 0] }]);
    all.extend([told(Seat::X), told(Seat::O)]);
    all.push(vec![Fact::Uptime { uptime: UptimeMs(3_600_000), live: vec![SESSION] }, Fact::Stopped { at: AT }]);
    all.push(vec![boot(2)]);
    // A second match is left, taken up again, and ends with a foul; a third is never finished.
    all.extend(match_of(SECOND, &[[0, 0], [1, 1]]).into_iter().map(|fact| vec![fact]));
    all.push(vec![Fact::MatchLeft { match_id: SECOND }]);
    all.push(vec![Fact::MatchResumed { match_id: SECOND }]);
    all.push(vec![
        Fact::Fouled { match_id: SECOND, foul: Box::new(foul()) },
        Fact::Settled { match_id: SECOND, ruling: Ruling::Foul { by: Seat::X }, credit: [0, 2] },
    ]);
    all.extend(match_of(THIRD, &[[1, 1]]).into_iter().map(|fact| vec![fact]));
    all.push(vec![Fact::Shelved { match_id: THIRD }]);
    let password = PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$again".to_owned());
    all.push(vec![Fact::PasswordChanged { user: USERS[0], password, keep: Some(SESSION) }]);
    all.push(vec![Fact::LoggedOut { session: SessionId([SESSION.0[0] + 1; 16]) }]);
    all.push(vec![invited(2, 0), Fact::InviteClosed { invite: InviteId([2; 16]) }, invited(3, 1)]);
    all.extend(moved_seat().into_iter().map(|fact| vec![fact]));
    all.extend(lost_state().into_iter().map(|fact| vec![fact]));
    all.push(vec![invited(4, 1)]);
    all
}

/// A match in which O goes on with another device.
fn moved_seat() -> Vec<Fact> {
    let mut facts = match_of(FOURTH, &[[1, 1], [0, 0]]);
    let mut chain = samples::chain(FOURTH, &[[1, 1], [0, 0]]);
    let grant = samples::second_grant(&chain);
    facts.push(Fact::SeatAsked { match_id: FOURTH, seat: Seat::O, key: grant.keys[1] });
    facts.push(Fact::Regranted { grant: grant.clone() });
    chain.regrant(&Verified::from_disk(samples::signed(grant))).unwrap();
    for cell in [[2, 2], [0, 2]] {
        samples::play(&mut chain, cell, samples::second_key);
        facts.push(played(chain.entry(chain.plies() - 1).unwrap().into_signed()));
    }
    facts
}

/// State is found to be lost: one match is heard of from both, one is taken and waits, and the oldest, long filed away,
/// is found to have been won by a cheat.
fn lost_state() -> Vec<Fact> {
    let mut facts = vec![Fact::StateLost { at: AT }, Fact::Heard { match_id: FOURTH }];
    facts.push(Fact::SeatAsked { match_id: FOURTH, seat: Seat::X, key: samples::device_key(7).public() });
    facts.push(Fact::MatchTaken { grant: samples::grant(FIFTH) });
    facts.extend(samples::entries(FIFTH, &[[2, 0]]).into_iter().map(played));
    let ruling = Ruling::Foul { by: Seat::X };
    facts.push(Fact::Corrected { match_id: MATCH, foul: Box::new(foul()), ruling, credit: [0, 2] });
    facts
}

/// The state after all of it.
fn expected() -> State {
    let mut state = State::default();
    batches().iter().flatten().for_each(|fact| state.apply(fact).unwrap());
    state.forget_retired();
    state
}

/// Writes the directory with the store's own code.
fn write(dir: &Path) {
    let _ = fs::remove_dir_all(dir);
    let disk: Arc<dyn Disk> = Arc::new(HostDisk);
    let batches = batches();
    // Two runs: the second begins with the second `Booted`.
    let is_second = |batch: &Vec<Fact>| matches!(batch[0], Fact::Booted { boot: Boot { number: 2, .. }, .. });
    let (first, second) = batches.split_at(batches.iter().position(is_second).unwrap());
    for run in [first, second] {
        let mut journal = recover::<State>(&disk, dir, &settings()).unwrap().journal;
        for batch in run {
            journal.append(std::slice::from_ref(batch)).unwrap();
        }
        Snapshotter::<State>::new(Arc::clone(&disk), dir, settings()).every(2).step().unwrap().expect("a snapshot");
    }
    fs::remove_file(dir.join(LOCK)).unwrap();
}

/// A copy, because recovery writes.
fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

#[test]
fn state_files_of_version_2_recover_to_what_was_written() {
    if writes_golden() {
        write(&golden(DIR));
    }
    let dir = copy(&golden(DIR));
    let names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    for kind in ["journal-", "snapshot-", "archive-"] {
        assert!(names.iter().any(|name| name.starts_with(kind)), "there is a file of each kind: {names:?}");
    }
    let disk: Arc<dyn Disk> = Arc::new(HostDisk);
    assert!(check::<State>(&HostDisk, dir.path(), &server().0).unwrap().is_good());
    let recovered = recover::<State>(&disk, dir.path(), &settings()).unwrap();
    let facts: usize = batches().iter().map(Vec::len).sum();
    assert_eq!(recovered.last, Lsn(facts as u64));
    assert_eq!(recovered.boot, 2);
    assert_eq!(recovered.state, expected());
    assert_as_people_know_it(&recovered.state);

    let mut archived = Vec::new();
    read_archive::<Match>(&HostDisk, dir.path(), &server().0, |_, of| archived.push(of.grant().match_id)).unwrap();
    assert_eq!(archived.first(), Some(&MATCH), "what both were told of is in the archive");
}

/// The same in numbers, in case the model itself has changed its mind.
fn assert_as_people_know_it(state: &State) {
    let leaders: Vec<(&str, u32, u32, u32)> =
        state.leaders().map(|of| (of.name.as_str(), of.points(), of.tally.wins, of.tally.losses)).collect();
    assert_eq!(leaders, [("bob", 14, 2, 0), ("alice", 0, 0, 2)]);
    assert_eq!(state.head().uptime, UptimeMs(3_600_000));
    let open: Vec<MatchId> = state.games().map(|of| of.grant().match_id).collect();
    assert_eq!(open, [SECOND, FOURTH, FIFTH]);
    let moved = state.game(FOURTH).unwrap();
    assert_eq!((moved.evidence.chain.grants().len(), moved.evidence.chain.plies(), moved.recovering), (2, 4, false));
    assert_eq!(moved.asked, [Some(samples::device_key(7).public()), None]);
    assert!(state.game(FIFTH).unwrap().recovering && state.lost().is_some());
    assert_eq!(state.proven(MATCH).unwrap().fouls, [foul()]);
    let verdicts: Vec<(MatchId, Ruling)> = state.verdicts().map(|of| (of.match_id, of.ruling)).collect();
    let cheated = Ruling::Foul { by: Seat::X };
    assert_eq!(verdicts, [(SECOND, cheated), (MATCH, cheated)], "one of them was corrected");
    assert_eq!(
        state.named(&Name::new("ALICE").unwrap().key()).unwrap().password.expose().rsplit('$').next(),
        Some("again")
    );
    assert_eq!((state.session_count(), state.invites().count()), (1, 1));
    assert!(state.session(SESSION).unwrap().has_answered(Run(7), RequestSeq(2)));
}

#[test]
fn every_kind_of_fact_is_in_the_files() {
    let mut kinds: Vec<u8> = batches().iter().flatten().map(|fact| postcard::to_allocvec(fact).unwrap()[0]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, (0..=23).collect::<Vec<u8>>());
    // The last kind there is: when one is added after it, a sample belongs here, in a directory of its own.
    let (ruling, credit) = (Ruling::Void, [0, 0]);
    let corrected = Fact::Corrected { match_id: MATCH, foul: Box::new(foul()), ruling, credit };
    assert_eq!(postcard::to_allocvec(&corrected).unwrap()[0], 23);
    let mut pieces: Vec<u8> = expected().pieces().map(|piece| postcard::to_allocvec(&piece).unwrap()[0]).collect();
    pieces.dedup();
    assert_eq!(pieces, (0..=7).collect::<Vec<u8>>());
}

/// What nobody uses any more is named with the program that reads it, and left as it is.
#[test]
fn state_files_of_version_1_are_refused_with_what_reads_them() {
    let dir = copy(&golden(DIR));
    let journal = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    for path in journal {
        let mut bytes = fs::read(&path).unwrap();
        bytes[8..12].copy_from_slice(&[1, 0, 0xfe, 0xff]);
        fs::write(&path, bytes).unwrap();
    }
    let before: Vec<Vec<u8>> =
        fs::read_dir(dir.path()).unwrap().map(|e| fs::read(e.unwrap().path()).unwrap()).collect();
    let disk: Arc<dyn Disk> = Arc::new(HostDisk);
    let error = recover::<State>(&disk, dir.path(), &settings()).err().unwrap();
    assert!(matches!(error, StoreError::OlderFormat { version: 1, .. }), "{error}");
    assert!(error.to_string().contains("rejoin 0.1"), "{error}");
    fs::remove_file(dir.path().join(LOCK)).unwrap();
    let after: Vec<Vec<u8>> = fs::read_dir(dir.path()).unwrap().map(|e| fs::read(e.unwrap().path()).unwrap()).collect();
    assert_eq!(after, before);
}
