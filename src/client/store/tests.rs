//! The client's files on a disk that fails at every operation in turn.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use super::*;
use crate::model::client::record::MatchKey;
use crate::model::evidence::Evidence;
use crate::model::fixture::{Players, play};
use crate::model::id::{Boot, Lsn, SessionId, UserId};
use crate::model::sign::Signed;
use crate::model::statement::{Ruling, Verdict};
use crate::store::faulty::FaultyDisk;

const SEEDS: u64 = 6;
const NOW: WallMs = WallMs(1_000);

/// Every draw is another.
struct Counting(AtomicU8);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::Relaxed));
    }
}

fn store(disk: &FaultyDisk) -> Store {
    let entropy = Arc::new(Counting(AtomicU8::new(1)));
    Store::new(Arc::new(disk.clone()), entropy, PathBuf::from("state"))
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn session(number: u8) -> SavedSession {
    let seen = (Boot::default(), Lsn(u64::from(number)));
    SavedSession { session: SessionId([number; 16]), user: UserId([1; 16]), name: name("alice"), seen }
}

/// A match of some moves, as its file records it.
fn records(number: u8) -> Vec<MatchRecord> {
    let players = Players::new(number);
    let mut evidence = Evidence::new(players.first()).unwrap();
    let grant = Box::new(Signed::unsigned(players.grant()));
    let key = MatchKey::of(&players.keys[0]);
    let names = [name("alice"), name("bob")];
    let server = MatchRecord::Server(SecretKey::from_seed(&[1; 32]).public());
    let mut records = vec![MatchRecord::Opened { grant, names, user: UserId([1; 16]), key }, server];
    for (row, col) in [(1, 1), (2, 1), (1, 2), (2, 2)] {
        let entry = play(&players, &evidence.chain, row, col);
        records.push(MatchRecord::Entry(entry.signed().clone()));
        evidence.take(&evidence.merge(&[], &[entry])).unwrap();
    }
    records
}

fn verdict(number: u8) -> MatchRecord {
    let match_id = MatchId([number; 16]);
    MatchRecord::Verdict(Signed::unsigned(Verdict { match_id, epoch: 1, ruling: Ruling::Void }))
}

fn server() -> ServerId {
    Players::new(1).server
}

fn alice() -> Name {
    name("Alice")
}

fn begin(store: &mut Store, number: u8) {
    let match_id = MatchId([number; 16]);
    let mut records = records(number);
    let rest = records.split_off(2);
    store.write(Write::Open { match_id, records }).unwrap();
    store.write(Write::Append { match_id, records: rest }).unwrap();
}

fn match_file(number: u8) -> PathBuf {
    alice_dir().join(format!("match-{}.log", MatchId([number; 16])))
}

fn alice_dir() -> PathBuf {
    PathBuf::from("state").join(server().to_string()).join("user-alice")
}

/// What a player does from the first login into a match: the changes in their order.
fn life() -> Vec<Write> {
    let match_id = MatchId([1; 16]);
    let mut records = records(1);
    let mut moves = records.split_off(2);
    let rest = moves.split_off(2);
    vec![
        Write::Session(Some(session(1))),
        Write::Offers(vec![Players::new(1).keys[0].clone()]),
        Write::Open { match_id, records },
        Write::Offers(Vec::new()),
        Write::Append { match_id, records: moves },
        Write::Session(Some(session(2))),
        Write::Append { match_id, records: rest },
        Write::Session(None),
    ]
}

/// What must be found after the first `done` changes.
#[derive(Debug, PartialEq)]
struct Found {
    session: Option<SavedSession>,
    offers: usize,
    records: Vec<MatchRecord>,
}

fn expected(done: usize) -> Found {
    let mut found = Found { session: None, offers: 0, records: Vec::new() };
    for write in life().into_iter().take(done) {
        match write {
            Write::Session(session) => found.session = session,
            Write::Offers(offers) => found.offers = offers.len(),
            Write::Open { records, .. } | Write::Append { records, .. } => found.records.extend(records),
        }
    }
    found
}

/// Lives until something fails: the device key, if it could be used, and how many changes were made.
fn live(disk: &FaultyDisk) -> (Option<[u8; 32]>, usize) {
    let mut store = store(disk);
    let Ok(opened) = store.open(server(), &alice(), NOW) else { return (None, 0) };
    let device = *opened.files.device.seed();
    let done = life().into_iter().take_while(|write| store.write(write.clone()).is_ok()).count();
    (Some(device), done)
}

/// Checks what a disk holds after something went wrong.
fn check(disk: &FaultyDisk, device: Option<[u8; 32]>, done: usize, what: &str) {
    let mut store = store(disk);
    let opened = store.open(server(), &alice(), NOW).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(opened.notices.is_empty(), "{what}: {:?}", opened.notices);
    if let Some(device) = device {
        assert_eq!(*opened.files.device.seed(), device, "{what}: the device key was used");
    }
    let UserFiles { session, offers, mut matches, .. } = opened.files;
    let found = Found { session, offers: offers.len(), records: matches.pop().unwrap_or_default() };
    let (before, after) = (expected(done), expected(done + 1));
    assert!(found.session == before.session || found.session == after.session, "{what}: {found:?}");
    assert!(found.offers == before.offers || found.offers == after.offers, "{what}: {found:?}");
    assert!(found.records.starts_with(&before.records), "{what}: an acknowledged record is gone");
    assert!(after.records.starts_with(&found.records), "{what}: records out of nowhere");
    if done >= 2 {
        assert!(found.offers == 1 || !found.records.is_empty(), "{what}: the match key is lost");
    }
    // And it can be gone on with.
    store.write(Write::Session(Some(session_after()))).unwrap();
    if !found.records.is_empty() {
        let records = vec![MatchRecord::WishToResign];
        store.write(Write::Append { match_id: MatchId([1; 16]), records }).unwrap();
    }
}

fn session_after() -> SavedSession {
    session(9)
}

#[test]
fn a_crash_at_any_operation_leaves_the_old_or_the_new() {
    let whole = FaultyDisk::new();
    assert_eq!(live(&whole).1, life().len());
    for operation in 1..=whole.operations() {
        for seed in 0..SEEDS {
            let disk = FaultyDisk::new();
            disk.cut_power_at(operation);
            let (device, done) = live(&disk);
            disk.crash(seed);
            check(&disk, device, done, &format!("power cut at {operation}, seed {seed}, {done} done"));
        }
    }
}

#[test]
fn an_operation_that_fails_loses_nothing_before_it() {
    let whole = FaultyDisk::new();
    live(&whole);
    for operation in 1..=whole.operations() {
        for seed in 0..SEEDS {
            let disk = FaultyDisk::new();
            disk.fail_at(operation, io::ErrorKind::Other);
            let (device, done) = live(&disk);
            assert!(done < life().len(), "operation {operation} fails, and somebody hears of it");
            disk.crash(seed);
            check(&disk, device, done, &format!("operation {operation} failed, seed {seed}, {done} done"));
        }
    }
}

#[test]
fn a_user_is_played_by_one_client_at_a_time() {
    let disk = FaultyDisk::new();
    let (mut one, mut two) = (store(&disk), store(&disk));
    one.open(server(), &alice(), NOW).unwrap();
    let refused = two.open(server(), &name("ALICE"), NOW).err().unwrap();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
    two.open(server(), &name("bob"), NOW).unwrap();
    one.close();
    two.open(server(), &alice(), NOW).unwrap();
    one.open(server(), &name("bob"), NOW).expect("whoever opens another user lets go of the one before");
}

#[test]
fn the_one_who_played_last_and_is_free_is_opened() {
    let disk = FaultyDisk::new();
    let mut one = store(&disk);
    for who in ["bob", "alice", "carol", "dave"] {
        one.open(server(), &name(who), NOW).unwrap();
        let session = SavedSession { name: name(who), ..session(1) };
        one.write(Write::Session(Some(session))).unwrap();
    }
    one.write(Write::Session(None)).unwrap();
    one.close();
    let opened = |store: &mut Store, user: Option<&str>| {
        let user = user.map(name);
        store.open_recent(server(), user.as_ref(), NOW).map(|opened| opened.map(|opened| opened.name))
    };
    let (mut two, mut three, mut four) = (store(&disk), store(&disk), store(&disk));
    assert_eq!(opened(&mut one, None).unwrap(), Some(name("carol")), "dave has logged out");
    assert_eq!(opened(&mut two, None).unwrap(), Some(name("alice")), "carol plays");
    assert!(matches!(opened(&mut three, Some("alice")), Err(OpenError::InUse(_))));
    assert_eq!(opened(&mut three, Some("Bob")).unwrap(), Some(name("Bob")));
    assert_eq!(opened(&mut four, None).unwrap(), None);
    let elsewhere = ServerId([9; 32]);
    assert!(four.open_recent(elsewhere, Some(&alice()), NOW).unwrap().is_none(), "another server, another session");
}

#[test]
fn a_damaged_match_file_is_set_aside_and_blocks_nothing() {
    let disk = FaultyDisk::new();
    let mut store = store(&disk);
    store.open(server(), &alice(), NOW).unwrap();
    (1..=3).for_each(|number| begin(&mut store, number));
    for number in [1, 2] {
        store.close();
        assert!(disk.damage(&match_file(number), |bytes| bytes[120] ^= 1));
        let opened = store.open(server(), &alice(), NOW).unwrap();
        assert_eq!(opened.notices.len(), 1);
        assert_eq!(opened.notices[0].0, "match-file-damaged");
        assert_eq!(opened.files.matches.len(), 3 - usize::from(number));
        assert!(!disk.read(&match_file(number).with_added_extension("damaged")).unwrap().is_empty());
    }
    assert_eq!(file::read(&disk, &match_file(1)).unwrap(), None);
    // The same match, damaged again: the first damaged file is not written over.
    begin(&mut store, 1);
    store.close();
    disk.damage(&match_file(1), |bytes| bytes[120] ^= 1);
    store.open(server(), &alice(), NOW).unwrap();
    assert!(disk.read(&match_file(1).with_added_extension("2.damaged")).is_ok());
}

#[test]
fn a_damaged_device_key_is_refused_and_left_as_it_is() {
    for change in [|bytes: &mut Vec<u8>| bytes[12] ^= 1, |bytes: &mut Vec<u8>| bytes.truncate(7), Vec::clear] {
        let disk = FaultyDisk::new();
        let mut store = store(&disk);
        store.open(server(), &alice(), NOW).unwrap();
        store.close();
        let path = alice_dir().join("device.key");
        disk.damage(&path, change);
        let before = disk.read(&path).unwrap();
        let error = store.open(server(), &alice(), NOW).err().unwrap();
        assert!(matches!(&error, OpenError::DeviceKey(named) if *named == path), "{error}");
        assert_eq!(disk.read(&path).unwrap(), before);
    }
}

#[test]
fn a_damaged_session_is_set_aside_and_told() {
    let disk = FaultyDisk::new();
    let mut store = store(&disk);
    store.open(server(), &alice(), NOW).unwrap();
    store.write(Write::Session(Some(session(1)))).unwrap();
    store.close();
    disk.damage(&alice_dir().join("session"), |bytes| bytes[9] ^= 1);
    let opened = store.open_recent(server(), None, NOW).unwrap().expect("damage is told");
    assert_eq!((opened.files.session, opened.notices.len()), (None, 1));
}

#[test]
fn a_settled_match_is_kept_for_90_days_and_an_unsettled_one_for_ever() {
    let disk = FaultyDisk::new();
    let mut store = store(&disk);
    store.open(server(), &alice(), NOW).unwrap();
    (1..=2).for_each(|number| begin(&mut store, number));
    store.write(Write::Append { match_id: MatchId([1; 16]), records: vec![verdict(1)] }).unwrap();
    let edge = WallMs(ms(SETTLED_KEPT));
    for (wall, kept) in [(edge, 2), (WallMs(edge.0 + 1), 1)] {
        store.close();
        assert_eq!(store.open(server(), &alice(), wall).unwrap().files.matches.len(), kept);
    }
    assert_eq!(file::read(&disk, &match_file(1)).unwrap(), None);
}

#[test]
fn more_can_be_written_to_a_settled_match() {
    let disk = FaultyDisk::new();
    let mut store = store(&disk);
    store.open(server(), &alice(), NOW).unwrap();
    begin(&mut store, 1);
    let match_id = MatchId([1; 16]);
    for _ in 0..2 {
        store.write(Write::Append { match_id, records: vec![verdict(1)] }).unwrap();
    }
    store.close();
    let opened = store.open(server(), &alice(), NOW).unwrap();
    store.write(Write::Append { match_id, records: vec![verdict(1)] }).unwrap();
    assert_eq!(opened.files.matches[0].len(), records(1).len() + 2);
}

#[test]
fn a_name_that_is_a_path_leads_nowhere_else() {
    let disk = FaultyDisk::new();
    for bad in [".", "..", "recent", "lock"] {
        let mut store = store(&disk);
        store.open(server(), &name(bad), NOW).unwrap();
        store.write(Write::Session(Some(session(1)))).unwrap();
        let dir = PathBuf::from("state").join(server().to_string()).join(format!("user-{bad}"));
        assert!(disk.read(&dir.join("session")).is_ok(), "{bad}");
    }
}
