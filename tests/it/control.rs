//! What an operator asks of a running server: real processes, and the control socket by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Output;

use rejoin::ops::event;
use rejoin::server::control::{CALLERS_MAX, Control, REQUEST_BYTES_MAX, SOCKET};
use serde_json::Value;

use crate::seed::people::{Pair, Player, X_WINS, home};
use crate::seed::server::{Server, program};

/// `rejoin admin` with these words, on the state of a server whose files are in `dir`.
fn admin(dir: &Path, words: &[&str]) -> Output {
    let mut command = program();
    command.arg("admin").args(words).arg("--state").arg(dir.join("state")).current_dir(dir);
    command.output().unwrap()
}

/// What it said, when it did what it should.
fn done(dir: &Path, words: &[&str]) -> String {
    let output = admin(dir, words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it complained about, when it did not.
fn refused(dir: &Path, words: &[&str]) -> String {
    let output = admin(dir, words);
    assert_eq!(output.status.code(), Some(1), "{words:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("state").join(SOCKET)
}

/// The lines of JSON for one request.
fn lines(dir: &Path, words: &[&str]) -> Vec<Value> {
    done(dir, words).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Somebody who speaks to the socket by hand.
pub(crate) struct Caller(BufReader<UnixStream>);

impl Caller {
    pub(crate) fn new(dir: &Path) -> Self {
        let stream = UnixStream::connect(socket(dir)).unwrap();
        stream.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        // The server may have hung up already.
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// The next line; null when the server has hung up.
    pub(crate) fn hear(&mut self) -> Value {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => Value::Null,
            Ok(_) => serde_json::from_str(&line).unwrap(),
            // What was said beyond the limit is not read any more.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Value::Null,
            Err(error) => panic!("no answer: {error}"),
        }
    }
}

#[test]
fn an_announcement_is_shown_to_every_player_and_is_in_the_audit_log() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    assert_eq!(done(home.path(), &["announce", "restart in 60 s"]), "shown to 2 players\n");
    for player in &mut pair.seats {
        let notice = player.until(&[("event", "notice".into()), ("code", "announcement".into())]);
        assert_eq!(notice["text"], "the server says: restart in 60 s");
    }
    server.logged(&["INFO", "event=\"audit\"", "command=\"announce\"", "restart in 60 s", "outcome=\"done\"", "uid="]);
    assert!(refused(home.path(), &["announce", "\u{1b}[2Jgone"]).contains("without control characters"));
    pair.leave();
}

#[test]
fn sessions_and_matches_are_tables_for_people_and_json_for_programs() {
    let home = home();
    let mut server = Server::start(home.path());
    assert_eq!(done(home.path(), &["sessions"]).lines().count(), 1, "a head alone");
    assert_eq!(done(home.path(), &["matches"]).lines().count(), 1);
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..2]);
    let carol = Player::join(&server, "carol");
    let table = done(home.path(), &["sessions"]);
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    let users: Vec<&str> = words.iter().map(|row| row[0]).collect();
    assert_eq!(users, ["USER", "alice", "bob", "carol"]);
    assert_eq!(words[1][1..4], ["busy", "bob", "127.0.0.1"]);
    assert_eq!(words[3][1..4], ["free", "-", "127.0.0.1"]);
    let all = lines(home.path(), &["sessions", "--json"]);
    assert_eq!(all[3], serde_json::json!({"done": {"sessions": {"count": 3}}}));
    assert_eq!(all[0]["session"]["opponent"], "bob");
    let all = lines(home.path(), &["matches", "--json"]);
    let of = &all[0]["match"];
    assert_eq!(
        (&of["match"], &of["state"], &of["plies"]),
        (&pair.match_id.as_str().into(), &"playing".into(), &2.into())
    );
    assert_eq!(of["turn"], pair.seats[0].name, "X is to move");
    let table = done(home.path(), &["matches"]);
    assert!(table.lines().nth(1).unwrap().starts_with(&pair.match_id), "{table}");
    server.logged(&["event=\"audit\"", "command=\"matches\""]);
    carol.leave();
    pair.leave();
}

#[test]
fn who_is_kicked_is_out_and_may_come_back_with_the_password() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..1]);
    assert!(refused(home.path(), &["kick", "nobody"]).contains("no user of that name"));
    assert!(refused(home.path(), &["kick", "no body"]).contains("a name is"));
    assert!(done(home.path(), &["kick", "bob"]).contains("the session is ended"));
    server.logged(&["event=\"audit\"", "command=\"kick\"", "about=\"bob\"", "outcome=\"done\""]);
    server.logged(&["event=\"audit\"", "command=\"kick\"", "about=\"nobody\"", "outcome=\"no-such-user\""]);
    let [_, bob] = pair.of("alice");
    bob.until(&[("event", "notice".into()), ("code", "session-ended".into())]);
    assert!(refused(home.path(), &["kick", "bob"]).contains("not logged in"));
    let sessions = lines(home.path(), &["sessions", "--json"]);
    assert_eq!(sessions.len(), 2, "one and the end: {sessions:?}");
    // The link comes back by itself, the session does not: it takes the password.
    bob.done("login bob correct-horse");
    pair.play(&X_WINS[1..]);
    pair.x_has_won();
    pair.leave();
}

#[test]
fn a_drain_waits_for_the_match_and_stops_in_order() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut carol = Player::join(&server, "carol");
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..4]);
    let dir = home.path().to_owned();
    let draining = std::thread::spawn(move || done(&dir, &["drain", "--json"]));
    server.logged(&["event=\"audit\"", "command=\"drain\"", "outcome=\"done\""]);
    assert_eq!(carol.refused("begin alice"), "restarting");
    let mut dora = Player::open(&server, "dora");
    assert_eq!(dora.refused("adduser dora correct-horse"), "restarting");
    pair.play(&X_WINS[4..]);
    pair.x_has_won();
    let said = draining.join().unwrap();
    let first = said.lines().next().unwrap();
    assert_eq!(first, r#"{"draining":{"matches":1,"limit_ms":300000}}"#);
    assert!(server.ended().success());
    assert!(!socket(home.path()).exists(), "the socket's file is gone");
    carol.until(&[("event", "notice".into()), ("code", "restarting".into())]);
    server.start_again();
    server.said("the last run ended well");
    pair.both_live();
    pair.leave();
}

#[test]
fn a_drain_ends_at_its_limit_and_a_parent_starts_no_other() {
    let home = home();
    let mut server = Server::supervised(home.path());
    let pair = Pair::join(&server);
    let said = done(home.path(), &["drain", "--limit", "0"]);
    assert!(said.contains("1 match is under way") && said.contains("0 s from now"), "{said}");
    assert!(server.ended().success());
    server.said("none follows");
    drop(pair);
}

#[test]
pub(crate) fn a_snapshot_now_holds_everything_and_the_next_start_uses_it() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS);
    pair.x_has_won();
    assert!(done(home.path(), &["snapshot", "now"]).starts_with("snapshot made: all facts up to number "));
    let snapshots = || {
        let names = std::fs::read_dir(home.path().join("state")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("snapshot-")).count()
    };
    assert_eq!(snapshots(), 1);
    server.logged(&["event=\"snapshot\""]);
    server.kill();
    server.start_again();
    assert!(pair.seats[0].score_of("alice")[0] + pair.seats[0].score_of("bob")[0] > 0, "the points are there");
    assert!(done(home.path(), &["check"]).contains("good: the scores"));
    assert!(lines(home.path(), &["snapshot", "now", "--json"])[0]["done"]["snapshot"]["made"].is_boolean());
    pair.leave();
}

#[test]
pub(crate) fn a_snapshot_of_a_journal_that_has_rotted_is_refused_and_play_goes_on() {
    let home = home();
    let mut server = Server::start(home.path());
    server.expects(event::SNAPSHOT_FAILED);
    let mut pair = Pair::join(&server);
    let entries = std::fs::read_dir(home.path().join("state")).unwrap().map(|entry| entry.unwrap().path());
    let is_journal = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("journal-");
    let journal = entries.into_iter().find(is_journal).unwrap();
    let mut bytes = std::fs::read(&journal).unwrap();
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[written / 2] ^= 0x10;
    // In place, as a disk does it: the server goes on writing behind it.
    let file = std::fs::OpenOptions::new().write(true).open(&journal).unwrap();
    file.write_at(&bytes[written / 2..=written / 2], written as u64 / 2).unwrap();
    let why = refused(home.path(), &["snapshot", "now"]);
    assert!(why.contains("damaged"), "{why}");
    server.logged(&["event=\"snapshot-failed\"", "damaged"]);
    pair.play(&X_WINS);
    pair.x_has_won();
    pair.leave();
}

#[test]
fn a_server_may_have_as_many_files_open_as_the_system_allows() {
    let home = home();
    let [soft, hard] = Server::start_with_files(home.path(), 512).files_max();
    assert_ne!(soft, "512");
    assert_eq!(soft, hard);
}

#[test]
fn without_a_server_it_is_said_so_and_what_is_to_be_done() {
    let home = home();
    std::fs::create_dir(home.path().join("state")).unwrap();
    for words in [&["sessions"][..], &["announce", "hello"], &["drain"], &["snapshot", "now"]] {
        let said = refused(home.path(), words);
        assert!(said.contains("no server runs on ") && said.contains("--state DIR"), "{said}");
    }
    // A socket that a run has left behind when it died is no server either.
    drop(UnixListener::bind(socket(home.path())).unwrap());
    assert!(refused(home.path(), &["matches"]).contains("no server runs on "));
    // One that hangs up, sooner or later, has not done what was asked.
    std::fs::remove_file(socket(home.path())).unwrap();
    let listener = UnixListener::bind(socket(home.path())).unwrap();
    let hangs_up = std::thread::spawn(move || (0..2).for_each(|_| drop(listener.accept().unwrap())));
    for _ in 0..2 {
        let said = refused(home.path(), &["sessions"]);
        assert!(said.contains("has hung up") || said.contains("does not answer"), "{said}");
    }
    hangs_up.join().unwrap();
}

#[test]
fn the_socket_is_the_users_alone_and_replaces_what_a_dead_run_has_left() {
    let home = home();
    let mut server = Server::start(home.path());
    let mode = |path: &Path| std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&socket(home.path())), 0o600);
    server.kill();
    assert!(socket(home.path()).exists(), "it was left behind");
    server.start_again();
    assert_eq!(done(home.path(), &["sessions"]).lines().count(), 1);
    let names = std::fs::read_dir(home.path().join("state")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_string_lossy().starts_with('.')), "nothing else is left");
    server.stop();
    assert!(!socket(home.path()).exists());
}

#[tokio::test]
async fn what_is_no_socket_is_not_removed() {
    let home = home();
    let path = home.path().join(SOCKET);
    std::fs::write(&path, "precious").unwrap();
    let error = Control::open(home.path()).unwrap_err();
    assert!(error.to_string().contains("is no socket"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
    assert!(Control::open(home.path()).is_err(), "nor is a link followed");
}

#[test]
fn whatever_comes_in_is_answered_and_the_server_goes_on() {
    let home = home();
    let mut server = Server::start(home.path());
    let word = |line: &Value| line["refused"]["error"].as_str().unwrap_or_default().to_owned();
    let mut caller = Caller::new(home.path());
    for bad in [
        &b"\n"[..],
        b"sessions\n",
        b"{\"command\":\"kick\"}\n",
        b"{\"command\":\"shell\",\"text\":\"rm\"}\n",
        b"{\"command\":\"drain\",\"limit_ms\":-5}\n",
        b"\xff\xfe\x00\n",
        b"\x00\x00\x00\n",
        &[&b"[".repeat(4000)[..], b"\n"].concat(),
    ] {
        caller.say(bad);
        let answer = caller.hear();
        assert_eq!(word(&answer), "malformed", "{bad:?}: {answer}");
        assert!(answer["refused"]["message"].as_str().unwrap().contains(' '));
    }
    // What is whole is answered on the same connection, also in two pieces, also two at once.
    caller.say(b"{\"command\":\"announce\",\"text\":\"a\\nb\"}\n");
    assert_eq!(word(&caller.hear()), "bad-announcement");
    caller.say(b"{\"command\":");
    caller.say(b"\"sessions\"}\n{\"command\":\"matches\"}\n");
    assert_eq!(caller.hear()["done"]["sessions"]["count"], 0);
    assert_eq!(caller.hear()["done"]["matches"]["count"], 0);
    // A line without an end is not collected for ever, and half a line is no request.
    let mut endless = Caller::new(home.path());
    endless.say(&b"x".repeat(REQUEST_BYTES_MAX));
    assert_eq!(word(&endless.hear()), "malformed");
    assert_eq!(endless.hear(), Value::Null, "and it is hung up on");
    let mut half = Caller::new(home.path());
    half.say(b"{\"command\":\"drain\",\"limit_ms\":0}");
    half.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(word(&half.hear()), "malformed");
    server.logged(&["event=\"audit\"", "command=\"malformed\""]);
    assert_eq!(done(home.path(), &["sessions"]).lines().count(), 1, "it goes on");
    server.stop();
}

#[test]
fn there_are_places_for_some_operators_and_the_next_is_told_so() {
    let home = home();
    let _server = Server::start(home.path());
    let mut callers: Vec<Caller> = (0..CALLERS_MAX).map(|_| Caller::new(home.path())).collect();
    for caller in &mut callers {
        caller.say(b"{\"command\":\"matches\"}\n");
        assert_eq!(caller.hear()["done"]["matches"]["count"], 0);
    }
    let mut next = Caller::new(home.path());
    assert_eq!(next.hear()["refused"]["error"], "busy");
    let mut rest = Vec::new();
    assert_eq!(next.0.read_to_end(&mut rest).unwrap(), 0);
    // A place comes back.
    drop(callers.pop());
    loop {
        let mut again = Caller::new(home.path());
        again.say(b"{\"command\":\"sessions\"}\n");
        if again.hear()["done"]["sessions"]["count"] == 0 {
            break;
        }
    }
}
