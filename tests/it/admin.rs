//! `rejoin admin` on real directories: what it says, what it changes, what it refuses.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use clap::Parser;
use clap::error::ErrorKind;
use rejoin::cli::admin::{Admin, Ask, Code, Desk};
use rejoin::model::fact::Fact;
use rejoin::model::id::{Name, SessionId, UserId};
use rejoin::model::key::PublicKey;
use rejoin::model::password::{Password, PasswordHash};
use rejoin::model::state::State;
use rejoin::model::time::WallMs;
use rejoin::net::keys::{ServerKeys, published_id};
use rejoin::ops::host::{HostClock, HostEntropy};
use rejoin::server::hasher::Argon;
use rejoin::store::{self, Disk, DiskFile, DiskLock, HostDisk, Recovered, Settings};
use tempfile::TempDir;
use zeroize::Zeroizing;

#[test]
fn imported_players_have_their_passwords_and_points() {
    let place = Place::new();
    let file = place.file("old.txt", "alice\tshort\t7\r\nBob\tb \u{1f3b2} b\t0\n");
    let said = place.ok(&["import", &file]);
    assert!(said.contains("imported 2 accounts"), "{said}");
    let state = place.state();
    for (name, password, points) in [("alice", "short", 7), ("bob", "b \u{1f3b2} b", 0)] {
        let account = state.named(&Name::new(name).unwrap().key()).unwrap();
        assert_eq!((account.points(), account.origin), (points, None));
        assert!(is_password(&account.password, password), "{name}");
        assert!(!is_password(&account.password, "wrong"), "{name}");
    }
    let users = place.ok(&["users"]);
    let rows: Vec<&str> = users.lines().skip(1).map(|row| row.split_whitespace().next().unwrap()).collect();
    assert_eq!(rows, ["alice", "Bob"], "most points first: {users}");
    assert!(place.ok(&["check"]).contains("good: the scores"));
}

#[test]
fn one_bad_line_and_nothing_is_imported() {
    let place = Place::new();
    place.ok(&["import", &place.file("first.txt", "carol\tpassword\t1\n")]);
    let file = place
        .file("bad.txt", "dora\tsecret-1\t1\nno tabs\nDORA\tsecret-2\t2\nemil\tsecret-3\tmany\nCarol\tsecret-4\t3\n");
    let (code, said) = place.run(&["import", &file]);
    assert_eq!(code, Code::Failed);
    for (line, why) in [(2, "fields"), (3, "line 1 already"), (4, "score"), (5, "has an account already")] {
        assert!(
            said.lines().any(|text| text.contains(&format!("bad.txt:{line}: ")) && text.contains(why)),
            "{line}: {said}"
        );
    }
    assert!(!said.contains("bad.txt:1:"), "{said}");
    assert!(said.contains("nothing was imported: correct the 4 bad lines"), "{said}");
    assert!(!said.contains("secret-"), "no password is shown: {said}");
    assert_eq!(names(&place.state()), ["carol"]);
}

#[test]
fn an_import_that_was_cut_short_is_continued() {
    let place = Place::new();
    place.ok(&["import", &place.file("half.txt", "alice\tfirst-password\t1\n")]);
    let whole = place.file("whole.txt", "ALICE\tother\t9\nbob\tpassword\t2\n");
    assert_eq!(place.run(&["import", &whole]).0, Code::Failed);
    let said = place.ok(&["import", &whole, "--skip-existing"]);
    assert!(said.contains("left out: ALICE on line 1") && said.contains("imported 1 accounts; left out 1"), "{said}");
    let state = place.state();
    assert_eq!(names(&state), ["alice", "bob"]);
    let alice = state.named(&Name::new("alice").unwrap().key()).unwrap();
    assert!(alice.points() == 1 && is_password(&alice.password, "first-password"), "who is there stays as they are");
    assert!(place.ok(&["import", &whole, "--skip-existing"]).contains("imported 0 accounts; left out 2"));
}

#[test]
fn what_writes_needs_the_server_stopped_and_what_reads_does_not() {
    let place = Place::new();
    let file = place.file("old.txt", "alice\tpassword\t1\n");
    place.ok(&["import", &file]);
    let server = place.recover();
    let before = place.bytes();
    let more = place.file("more.txt", "bob\tpassword\t1\n");
    let secret = place.file("secret", "new password\n");
    let passwd = ["passwd", "alice", "--password-file", &secret];
    for words in [&["import", &more][..], &passwd, &["repair"], &["repair", "--yes"]] {
        let (code, said) = place.run(words);
        assert_eq!(code, Code::InUse, "{words:?}: {said}");
        assert!(said.contains("stop the server first"), "{words:?}: {said}");
    }
    let copy = place.path("copy");
    for words in [&["check"][..], &["users"], &["dump"], &["backup", &copy]] {
        place.ok(words);
    }
    assert_eq!(place.bytes(), before, "nothing was changed");
    drop(server);
    place.ok(&passwd);
}

#[test]
fn a_reader_beside_a_busy_server_sees_a_prefix() {
    const ACCOUNTS: u32 = 400;
    let place = Place::new();
    let mut server = place.recover_with(|settings| Settings { segment_bytes: 2_000, ..settings });
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=ACCOUNTS {
                server.journal.append(&[vec![added(number, &format!("p{number}"))]]).unwrap();
            }
            stopped.store(true, Ordering::Release);
        });
        let mut seen = 0;
        loop {
            let last_look = stopped.load(Ordering::Acquire);
            // Before the first account there is a journal without facts.
            let (code, said) = place.run(&["users"]);
            assert_eq!(code, Code::Done, "{said}");
            let rows = u32::try_from(said.lines().count()).unwrap() - 1;
            assert!(rows >= seen, "what was seen once stays: {rows} after {seen}");
            seen = rows;
            let (code, said) = place.run(&["check"]);
            assert_eq!(code, Code::Done, "{said}");
            if last_look {
                break;
            }
        }
        assert_eq!(seen, ACCOUNTS);
    });
}

#[test]
fn a_segment_begun_while_the_files_are_read_is_no_damage() {
    let place = Place::new();
    let mut server = place.recover_with(|settings| Settings { segment_bytes: 100, ..settings });
    server.journal.append(&[vec![added(1, "p1")], vec![added(2, "p2")], vec![added(3, "p3")]]).unwrap();
    let before = HostDisk.list(&place.dir()).unwrap();
    server.journal.append(&[vec![added(4, "p4")]]).unwrap();
    assert!(HostDisk.list(&place.dir()).unwrap().len() > before.len(), "a segment was begun");
    // So many listings each command makes before its first look is over.
    for (words, stale) in [(&["users"][..], 2), (&["check"], 3)] {
        let disk = Arc::new(Behind { listing: before.clone(), stale: AtomicUsize::new(stale) });
        let (code, said) = place.run_on(disk, words, &mut |_| Err(io::Error::other("no terminal")));
        assert_eq!(code, Code::Done, "{words:?}: {said}");
    }
}

#[test]
fn a_new_password_ends_the_session() {
    let place = Place::new();
    place.ok(&["import", &place.file("old.txt", "alice\told password\t1\n")]);
    place.log_in("alice");
    assert_eq!(place.state().session_count(), 1);
    let users = place.ok(&["users"]);
    assert!(users.lines().nth(1).unwrap().contains(" yes "), "{users}");
    let said = place.ok(&["passwd", "ALICE", "--password-file", &place.file("secret", "new password\r\nmore\n")]);
    assert!(said.contains("the session is ended") && !said.contains("new password"), "{said}");
    let state = place.state();
    let hash = &state.named(&Name::new("alice").unwrap().key()).unwrap().password;
    assert!(is_password(hash, "new password") && !is_password(hash, "old password"));
    assert_eq!(state.session_count(), 0);
}

#[test]
fn a_password_is_asked_for_twice() {
    let place = Place::new();
    place.ok(&["import", &place.file("old.txt", "alice\told password\t1\n")]);
    let before = place.bytes();
    let (code, said) = place.asked(&["passwd", "alice"], &["one password", "another password"]);
    assert!(code == Code::Failed && said.contains("not the same"), "{said}");
    let (code, said) = place.asked(&["passwd", "alice"], &["short", "short"]);
    assert!(code == Code::Failed && said.contains("8 to 1024"), "{said}");
    let (code, said) = place.run(&["passwd", "alice"]);
    assert!(code == Code::Failed && said.contains("--password-file"), "without a terminal: {said}");
    let (code, said) = place.run(&["passwd", "nobody"]);
    assert!(code == Code::Failed && said.contains("there is no user nobody"), "{said}");
    assert_eq!(place.bytes(), before, "nothing was changed");
    assert_eq!(place.asked(&["passwd", "alice"], &["one password", "one password"]).0, Code::Done);
    let hash = place.state().named(&Name::new("alice").unwrap().key()).unwrap().password.clone();
    assert!(is_password(&hash, "one password"));
}

#[test]
fn damage_is_found_planned_and_repaired_only_when_told() {
    let place = Place::new();
    let mut server = place.recover();
    for number in 1..=3 {
        server.journal.append(&[vec![added(number, &format!("p{number}"))]]).unwrap();
    }
    drop(server);
    assert!(place.ok(&["repair"]).contains("nothing is damaged"));
    damage_middle(&place.dir());
    let before = place.bytes();
    for words in [&["check"][..], &["users"], &["dump"], &["backup", &place.path("copy")]] {
        let (code, said) = place.run(words);
        assert_eq!(code, Code::Damaged, "{words:?}: {said}");
        assert!(said.contains("repair"), "{words:?} says what to do: {said}");
    }
    let (code, plan) = place.run(&["repair"]);
    assert_eq!(code, Code::Damaged, "{plan}");
    assert!(plan.contains("lost: at least") && plan.contains("repair --yes"), "{plan}");
    assert_eq!(place.bytes(), before, "a plan changes nothing");
    let done = place.ok(&["repair", "--yes"]);
    assert!(done.contains("the originals are in"), "{done}");
    assert!(place.ok(&["check"]).contains("good: "));
    assert!(place.state().accounts().count() < 3, "what was damaged is lost, as the plan said");
}

#[test]
fn a_dump_is_json_without_secrets() {
    let place = Place::new();
    place.ok(&["import", &place.file("old.txt", "alice\tpassword\t7\n")]);
    place.log_in("alice");
    let text = place.ok(&["dump"]);
    let dump: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(dump["accounts"][0]["name"], "alice");
    assert_eq!(dump["accounts"][0]["points"], 7);
    assert_eq!(dump["accounts"][0]["logged_in"], true);
    assert_eq!(dump["sessions"][0]["name"], "alice");
    for part in ["invites", "matches", "verdicts"] {
        assert!(dump[part].is_array(), "{part}");
    }
    let state = place.state();
    let hash = state.accounts().next().unwrap().password.expose();
    assert!(!text.contains("argon2") && !text.contains(hash.rsplit('$').next().unwrap()));
}

#[test]
fn a_backup_comes_back_and_never_over_something() {
    let place = Place::new();
    place.ok(&["import", &place.file("old.txt", "alice\tpassword\t7\n")]);
    let copy = place.path("copy");
    let said = place.ok(&["backup", &copy]);
    assert!(said.contains("exist only") && said.contains("certs"), "{said}");
    let (code, said) = place.run(&["backup", &copy]);
    assert!(code == Code::Failed && said.contains("choose a directory without a state"), "{said}");
    let (code, said) = place.run(&["restore", &copy]);
    assert!(code == Code::Failed && said.contains("move the old one away"), "{said}");
    let before = place.state();
    fs::rename(place.dir(), place.path("moved")).unwrap();
    place.ok(&["restore", &copy]);
    assert_eq!(place.state(), before);
    assert!(place.dir().join(store::RESTORED).exists(), "the server is told at its next start");
}

#[test]
fn a_damaged_copy_is_refused_before_anything_is_written() {
    let place = Place::new();
    let mut server = place.recover();
    for number in 1..=2 {
        server.journal.append(&[vec![added(number, &format!("p{number}"))]]).unwrap();
    }
    drop(server);
    let (middle, end) = (place.path("middle"), place.path("end"));
    place.ok(&["backup", &middle]);
    place.ok(&["backup", &end]);
    fs::remove_dir_all(place.dir()).unwrap();
    damage_middle(Path::new(&middle));
    damage_end(Path::new(&end));
    for copy in [&middle, &end] {
        let (code, said) = place.run(&["restore", copy]);
        assert_eq!(code, Code::Damaged, "{said}");
        assert!(!place.dir().exists(), "{said}");
    }
    assert!(place.run(&["restore", &end]).1.contains("--cut-end"));
    assert_eq!(place.run(&["restore", &middle, "--cut-end"]).0, Code::Damaged, "that is not its end");
    assert!(place.ok(&["restore", &end, "--cut-end"]).contains("up to fact 1 again"));
    assert_eq!(names(&place.state()), ["p1"]);
}

#[test]
fn without_keys_or_state_it_says_what_to_do() {
    let place = Place::new();
    for words in [&["users"][..], &["check"], &["dump"], &["repair"], &["passwd", "a"], &["backup", &place.path("b")]] {
        let (code, said) = place.run(words);
        assert!(code == Code::Failed && said.contains("--state DIR"), "{words:?}: {said}");
    }
    assert!(!place.dir().exists(), "looking makes nothing");
    fs::remove_dir_all(place.path("certs")).unwrap();
    let (code, said) = place.run(&["users"]);
    assert!(code == Code::Failed && said.contains("--certs DIR") && said.contains("rejoin server"), "{said}");
}

#[test]
fn the_state_of_another_server_is_refused() {
    let place = Place::new();
    place.ok(&["import", &place.file("old.txt", "alice\tpassword\t7\n")]);
    fs::remove_dir_all(place.path("certs")).unwrap();
    ServerKeys::load_or_make(Path::new(&place.path("certs")), &HostEntropy).unwrap();
    for words in [&["users"][..], &["import", &place.file("more.txt", "bob\tp\t1\n")], &["repair", "--yes"]] {
        let (code, said) = place.run(words);
        assert!(code == Code::Failed && said.contains("--certs DIR"), "{words:?}: {said}");
    }
}

#[test]
fn the_words_are_understood_and_others_refused() {
    let Cli { admin } = Cli::try_parse_from(["rejoin", "users"]).unwrap();
    assert_eq!((admin.state, admin.certs), (PathBuf::from("state"), PathBuf::from("certs")));
    let Cli { admin } = Cli::try_parse_from(["rejoin", "users", "--state", "a", "--certs", "b"]).unwrap();
    assert_eq!((admin.state, admin.certs), (PathBuf::from("a"), PathBuf::from("b")));
    let refused = |words: &[&str]| Cli::try_parse_from([&["rejoin"], words].concat()).unwrap_err().kind();
    assert_eq!(refused(&["import"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused(&["backup"]), ErrorKind::MissingRequiredArgument);
    assert_eq!(refused(&["passwd", "a b"]), ErrorKind::ValueValidation);
    assert_eq!(refused(&["erase"]), ErrorKind::InvalidSubcommand);
    assert_eq!(refused(&["check", "--yes"]), ErrorKind::UnknownArgument);
}

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    admin: Admin,
}

/// A disk whose first listings are those of a moment ago: a server has gone on between the look and the read.
struct Behind {
    listing: Vec<PathBuf>,
    stale: AtomicUsize,
}

impl Disk for Behind {
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let left = self.stale.load(Ordering::Relaxed);
        self.stale.store(left.saturating_sub(1), Ordering::Relaxed);
        if left > 0 { Ok(self.listing.clone()) } else { HostDisk.list(dir) }
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        HostDisk.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        HostDisk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        HostDisk.open(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        HostDisk.read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        HostDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        HostDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        HostDisk.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        HostDisk.lock(path)
    }
}

/// A server's directories.
struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { root: tempfile::tempdir().unwrap() };
        ServerKeys::load_or_make(Path::new(&place.path("certs")), &HostEntropy).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn file(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Runs a command with nobody to ask; what it said, and at its end its error.
    fn run(&self, words: &[&str]) -> (Code, String) {
        self.run_asking(words, &mut |_| Err(io::Error::other("no terminal")))
    }

    fn asked(&self, words: &[&str], answers: &[&str]) -> (Code, String) {
        let mut answers = answers.iter();
        let mut ask = |_: &str| Ok(Zeroizing::new((*answers.next().unwrap()).to_owned()));
        let ended = self.run_asking(words, &mut ask);
        assert!(answers.next().is_none(), "all were asked for");
        ended
    }

    fn run_asking(&self, words: &[&str], ask: Ask<'_>) -> (Code, String) {
        self.run_on(Arc::new(HostDisk), words, ask)
    }

    fn run_on(&self, disk: Arc<dyn Disk>, words: &[&str], ask: Ask<'_>) -> (Code, String) {
        let dirs = ["--state", &self.path("state"), "--certs", &self.path("certs")];
        let Cli { admin } = Cli::try_parse_from([&["rejoin"], words, &dirs].concat()).unwrap();
        let (mut out, mut err, clock) = (Vec::new(), Vec::new(), HostClock::start());
        let mut desk = Desk { out: &mut out, err: &mut err, disk, clock: &clock, entropy: &HostEntropy, ask };
        let ended = admin.run_at(&mut desk);
        let said = String::from_utf8(out).unwrap();
        match ended {
            Ok(code) => (code, said),
            Err(error) => (Code::of(&error), format!("{said}{error:#}")),
        }
    }

    fn ok(&self, words: &[&str]) -> String {
        let (code, said) = self.run(words);
        assert_eq!(code, Code::Done, "{words:?}: {said}");
        said
    }

    fn settings(&self) -> Settings {
        Settings::new(published_id(Path::new(&self.path("certs"))).unwrap().unwrap().0, 1)
    }

    fn recover(&self) -> Recovered<State> {
        self.recover_with(|settings| settings)
    }

    fn recover_with(&self, change: impl FnOnce(Settings) -> Settings) -> Recovered<State> {
        let disk: Arc<dyn Disk> = Arc::new(HostDisk);
        store::recover(&disk, &self.dir(), &change(self.settings())).unwrap()
    }

    fn state(&self) -> State {
        store::view(&HostDisk, &self.dir(), &self.settings().server).unwrap().state
    }

    fn log_in(&self, name: &str) {
        let mut server = self.recover();
        let user = server.state.named(&Name::new(name).unwrap().key()).unwrap().user;
        let (session, device) = (SessionId([1; 16]), PublicKey([2; 32]));
        server.journal.append(&[vec![Fact::LoggedIn { session, user, device, at: WallMs(0) }]]).unwrap();
    }

    /// Every file of the state, with its bytes.
    fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = HostDisk.list(&self.dir()).unwrap();
        files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

/// Flips a bit in the first frame of the journal.
fn damage_middle(dir: &Path) {
    flip(dir, |_| store::HEADER_BYTES + store::FRAME_HEAD_BYTES + 4);
}

/// Flips a bit in the last byte of the journal.
fn damage_end(dir: &Path) {
    flip(dir, |len| len - 1);
}

fn flip(dir: &Path, place: impl FnOnce(usize) -> usize) {
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|end| end == "log");
    let journal = HostDisk.list(dir).unwrap().into_iter().find(is_journal).unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    let at = place(bytes.len());
    bytes[at] ^= 1;
    fs::write(&journal, bytes).unwrap();
}

fn added(number: u32, name: &str) -> Fact {
    let mut id = [0; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    let (name, password) = (Name::new(name).unwrap(), PasswordHash::new(String::new()));
    Fact::AccountAdded { user: UserId(id), name, password, origin: None, points: 0, at: WallMs(0) }
}

fn names(state: &State) -> Vec<&str> {
    let mut names: Vec<&str> = state.accounts().map(|account| account.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn is_password(hash: &PasswordHash, text: &str) -> bool {
    Argon::default().check(&Password::new(text).unwrap(), Some(hash))
}
