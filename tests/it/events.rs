//! What is written down of what happens: the logs of real processes, read with `rejoin logs`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::channel;

use rejoin::model::limits::ANNOUNCEMENT_BYTES_MAX;
use rejoin::model::time::WallMs;
use rejoin::ops::event;
use rejoin::ops::files::{EventLog, Sizes};
use rejoin::ops::host::HostClock;
use rejoin::ops::record::Record;
use rejoin::server::control::Control;
use rustix::process::Signal;
use serde_json::Value;

use crate::control::Caller;
use crate::rig::{Announced, PATIENCE, Setup, TestServer};
use crate::seed::heard::Heard;
use crate::seed::people::{PASSWORD, Pair, Player, X_WINS, home};
use crate::seed::server::{Server, program};

/// What a client and the server may differ by about one outage: what a frame takes, and a busy machine.
const DIFFER_MS_MAX: u64 = 1_500;
/// Announcements between two looks at whether a player who does not read them was let go of.
const AT_ONCE: usize = 100;

/// What `rejoin logs` prints with these arguments, as JSON; it must not have passed over anything.
fn logs(words: &[&str], states: &[&Path]) -> Vec<Value> {
    let mut command = program();
    command.arg("logs").args(words).arg("--json");
    for state in states {
        command.arg("--state").arg(state);
    }
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// Outages by session, in their order.
fn by_session(outages: Vec<Value>) -> BTreeMap<String, Vec<Value>> {
    let mut sorted: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for outage in outages {
        sorted.entry(word(&outage, "session").to_owned()).or_default().push(outage);
    }
    sorted
}

/// Every line in these logs is in the catalogue, with fields that are there.
fn is_by_the_catalogue(states: &[&Path]) {
    for line in logs(&[], states) {
        let record = Record::parse(&line.to_string()).unwrap();
        let kind = event::kind(&record.event).unwrap_or_else(|| panic!("{} is not in the catalogue", record.event));
        for field in record.fields.keys().filter(|field| *field != "message") {
            assert!(kind.fields.contains(&field.as_str()), "{} has {field}, which is not in the catalogue", kind.name);
        }
    }
}

#[test]
fn the_outages_in_the_servers_log_are_one_to_one_those_that_the_clients_have_recorded() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut carol = Player::join(&server, "carol");
    let mut pair = Pair::join(&server);
    let restarts = |server: &mut Server, carol: &mut Player, pair: &mut Pair, kill: bool| {
        pair.forget();
        carol.heard.forget();
        if kill {
            server.kill()
        } else {
            server.stop()
        }
        pair.seats.iter_mut().for_each(|player| drop(player.link("down")));
        carol.link("down");
        pair.forget();
        carol.heard.forget();
        server.start_again();
        pair.both_live();
        carol.live();
    };
    // Lines are written beside the game: a server that is killed at once leaves its last ones out.
    let servers = home.path().join("state");
    let written = |outages: usize| {
        let written = |_look| logs(&["outages"], &[&servers]).len() >= outages;
        assert!((0..1_000).any(written), "{outages} outages are not in the log");
    };
    restarts(&mut server, &mut carol, &mut pair, true);
    // Alive, and silent: only the heartbeat tells, and the client finds that its connection was let go of.
    let [alice, bob] = pair.of("alice");
    alice.heard.forget();
    bob.heard.forget();
    bob.signal(Signal::STOP);
    alice.opponent("away");
    server.logged(&["event=\"link-lost\"", "user=bob ", "cause=\"silence\""]);
    bob.signal(Signal::CONT);
    bob.link("down");
    bob.live();
    written(4);
    restarts(&mut server, &mut carol, &mut pair, true);
    restarts(&mut server, &mut carol, &mut pair, false);
    // A program that is killed and started again takes its session up.
    let [_, bob] = pair.of("alice");
    let mut told = BTreeMap::from([("bob".to_owned(), outages_told(bob, 1))]);
    // A client that is killed at once leaves its last lines out too.
    let is_written = |_look| logs(&["outages"], &[&bob.state]).len() >= told["bob"].len();
    assert!((0..1_000).any(is_written), "what bob was told is not in his log");
    bob.kill();
    server.logged(&["event=\"link-lost\"", "user=bob ", "cause=\"reset\""]);
    bob.start_again();
    bob.live();
    written(11);
    restarts(&mut server, &mut carol, &mut pair, true);
    pair.forget();
    pair.play(&X_WINS);
    pair.x_has_won();
    for player in [&mut carol].into_iter().chain(&mut pair.seats) {
        // The first link of a life is an outage only where a session was taken up with it.
        let first = usize::from(player.name != "bob");
        told.entry(player.name.clone()).or_default().extend(outages_told(player, first));
    }
    let states = [&carol, &pair.seats[0], &pair.seats[1]].map(|player| player.state.clone());
    carol.leave();
    pair.leave();
    server.stop();

    let clients: Vec<&Path> = states.iter().map(|state| state.as_path()).collect();
    let recorded = one_to_one(&servers, &clients);
    assert_eq!(recorded.len(), 3, "one session each");
    for theirs in recorded.values() {
        let user = word(&theirs[0], "user");
        let of_log = |outage: &Value| [&outage["length_ms"], &outage["attempts"]].map(|value| value.as_u64().unwrap());
        assert_eq!(
            theirs.iter().map(of_log).collect::<Vec<_>>(),
            told[user],
            "{user}: what was told is what was logged"
        );
        // A busy machine may add some, which must agree all the same.
        let causes: Vec<&str> = theirs.iter().map(|outage| word(outage, "cause")).collect();
        let of = |cause: &str| causes.iter().filter(|of| **of == cause).count();
        let starts = usize::from(user == "bob");
        assert_eq!((of("restart"), of("started")), (4, starts), "{user}: {causes:?}");
        assert!(causes.len() >= 4 + 2 * starts, "{user}: {causes:?}");
    }
    let stats = &logs(&["stats"], &[&servers])[0];
    let count: usize = recorded.values().map(Vec::len).sum();
    assert_eq!((word(&stats["causes"][0], "of"), &stats["causes"][0]["count"]), ("all", &count.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_let_go_of_because_it_does_not_read_hears_why_and_both_sides_record_one_refusal() {
    let server = TestServer::with(Setup { send_buffer: Some(4096), ..Setup::default() });
    let control = Control::open(&server.state_dir()).unwrap();
    let serving = tokio::spawn(control.serve(server.office()));
    let home = home();
    let state = home.path().join("carol");
    let mut carol = Player::start("carol", format!("{}#{}", server.addr, server.id), state.clone());
    carol.live();
    carol.done(&format!("adduser carol {PASSWORD}"));
    carol.done(&format!("login carol {PASSWORD}"));
    carol.heard.forget();
    carol.signal(Signal::STOP);
    let mut operator = Caller::new(server.state_dir().parent().unwrap());
    let request = format!("{{\"command\":\"announce\",\"text\":\"{}\"}}\n", "x".repeat(ANNOUNCEMENT_BYTES_MAX));
    while server.log.count(&["event=\"misbehaved\"", "does not read"]) == 0 {
        operator.say(request.repeat(AT_ONCE).as_bytes());
        (0..AT_ONCE).for_each(|_| assert!(operator.hear()["done"]["announced"].is_object()));
    }
    carol.signal(Signal::CONT);
    carol.link("down");
    carol.live();
    let seen = server.log.line(&["event=\"outage\"", "user=carol ", "cause=\"refused\""]).await;
    server.log.line(&["event=\"outage-told\"", "user=carol ", "cause=\"refused\""]).await;
    carol.leave();
    let recorded = logs(&["outages"], &[&state]);
    assert_eq!((recorded.len(), server.log.count(&["event=\"outage\""])), (1, 1), "{recorded:#?}");
    assert_eq!(word(&recorded[0], "cause"), "refused");
    assert!(seen.contains(word(&recorded[0], "session")), "{seen}");
    serving.abort();
}

#[cfg(target_os = "linux")]
#[test]
fn after_a_chaos_run_the_outages_in_the_servers_log_are_one_to_one_those_that_the_clients_have_recorded() {
    let home = home();
    let scenario = home.path().join("own.toml");
    std::fs::write(&scenario, OUTAGES).unwrap();
    let mut run = program();
    run.args(["chaos", "run", "--keep", "--seed", "7"]).arg(&scenario).env("TMPDIR", home.path());
    let output = run.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let files = said.lines().find_map(|line| line.trim_start().strip_prefix("files in ")).expect(&said);
    let dirs = std::fs::read_dir(Path::new(files).join("clients")).unwrap();
    let clients: Vec<PathBuf> = dirs.map(|entry| entry.unwrap().path()).collect();
    let clients: Vec<&Path> = clients.iter().map(PathBuf::as_path).collect();
    let recorded = one_to_one(&Path::new(files).join("state"), &clients);
    assert_eq!(recorded.len(), 4, "one session each");
    let all: Vec<&str> = recorded.values().flatten().map(|outage| word(outage, "cause")).collect();
    let of = |cause: &str| all.iter().filter(|of| **of == cause).count();
    assert!(of("restart") >= 2 * 4 && of("reset") >= 2 * 4 && of("silence") >= 1, "{all:?}: {said}");
}

/// What happens on the way and to the server: silence, resets, and its end.
#[cfg(target_os = "linux")]
const OUTAGES: &str = r#"
about = "each cause of an outage, one after the other"

[[workload]]
pairs = 2
game = "gomoku"
think = "20 ms"

[[fault]]
at = "200 ms"
for = "2500 ms"
kind = "wall"
target = "link 1"

[[fault]]
at = "4 s"
kind = "reset"
target = "links"

[[fault]]
at = "5500 ms"
for = "600 ms"
kind = "kill"
target = "server"

[[fault]]
at = "7500 ms"
for = "400 ms"
kind = "planned-restart"
target = "server"

[[fault]]
at = "9500 ms"
for = "2 s"
kind = "pause"
target = "client 2"

[[fault]]
at = "13 s"
kind = "cut"
target = "links"
"#;

/// What the clients have recorded, by session, which must be what is in the server's log.
fn one_to_one(servers: &Path, clients: &[&Path]) -> BTreeMap<String, Vec<Value>> {
    let (seen, recorded) = (logs(&["--event", event::OUTAGE], &[servers]), logs(&["outages"], clients));
    let shown = by_session(logs(&["outages"], &[servers]));
    let both: Vec<&Path> = clients.iter().copied().chain([servers]).collect();
    let joined = logs(&["outages"], &both);
    assert_eq!(joined.len(), recorded.len(), "{joined:#?}");
    assert!(joined.iter().all(|outage| outage["seen_by"] == "both"), "{joined:#?}");
    let (seen, recorded) = (by_session(seen), by_session(recorded));
    for (session, theirs) in &recorded {
        let (ours, shown) = (&seen[session], &shown[session]);
        assert_eq!((ours.len(), shown.len()), (theirs.len(), theirs.len()), "{ours:#?} {theirs:#?}");
        for ((ours, shown), theirs) in ours.iter().zip(shown).zip(theirs) {
            agree(ours, theirs);
            // The server has it from the client, unless that was struck again before it could tell.
            let dials = |of: &Value| [of["attempts"].clone(), of["waits_ms"].clone()];
            assert!(shown["attempts"].is_null() || dials(shown) == dials(theirs), "{shown:#} {theirs:#}");
        }
        assert!(shown.iter().any(|of| of["attempts"].is_u64()), "it could tell: {shown:#?}");
    }
    assert_eq!((seen.len(), shown.len()), (recorded.len(), recorded.len()));
    is_by_the_catalogue(&both);
    recorded
}

/// Lengths and dials of the outages that this run of a client has told its player, after so many first links.
fn outages_told(player: &mut Player, first: usize) -> Vec<[u64; 2]> {
    let live = player.heard.all().iter().filter(|event| event["event"] == "link" && event["state"] == "live");
    let told = |event: &Value| [&event["outage_ms"], &event["attempts"]].map(|value| value.as_u64().unwrap());
    live.skip(first).map(told).collect()
}

/// What the server and the client may call the cause of one outage. Who is found silent was stopped before, and finds a
/// connection that was let go of, or nothing heard either. Who finds the server silent lets go of the connection.
const CAUSES: [(&str, &str); 9] = [
    ("restart", "restart"),
    ("silence", "silence"),
    ("silence", "reset"),
    ("reset", "reset"),
    ("reset", "silence"),
    ("reset", "started"),
    ("silence", "started"),
    ("replaced", "silence"),
    ("refused", "refused"),
];

/// One outage as the server has seen it, and as the client has recorded it.
fn agree(ours: &Value, theirs: &Value) {
    let why = format!("{ours:#} {theirs:#}");
    assert_eq!((word(ours, "user"), word(ours, "ended")), (word(theirs, "user"), word(theirs, "ended")), "{why}");
    assert!(CAUSES.contains(&(word(ours, "cause"), word(theirs, "cause"))), "{why}");
    let [ours_ms, theirs_ms] = [ours, theirs].map(|outage| outage["length_ms"].as_u64().unwrap());
    let (attempts, waits) = (theirs["attempts"].as_u64().unwrap(), word(theirs, "waits_ms").split(' ').count() as u64);
    assert!(attempts >= 1 && waits == attempts, "a wait for each dial: {why}");
    assert!(ours["attempts"].is_null(), "the server cannot know: {why}");
    if ours["at_least"] == true {
        assert!(ours_ms <= theirs_ms + DIFFER_MS_MAX, "{why}");
    } else if word(theirs, "cause") != "started" {
        // Who is found silent was stopped before, and finds out only when it goes on.
        assert!(theirs_ms <= ours_ms + DIFFER_MS_MAX, "{why}");
    }
}

#[test]
pub(crate) fn the_log_tells_the_story_of_a_match_that_is_left_taken_up_elsewhere_and_won() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    let mut carol = Player::open(&server, "carol");
    assert_eq!(carol.refused("login alice not-her-password"), "wrong-password");
    pair.play(&X_WINS[..2]);
    pair.forget();
    let [alice, bob] = pair.of("alice");
    alice.done("leave");
    bob.until(&[("event", "suspended".into())]);
    alice.done("begin bob");
    bob.until(&[("event", "invited".into())]);
    bob.done("accept");
    bob.until(&[("event", "match".into())]);
    alice.until(&[("event", "match".into())]);
    bob.kill();
    alice.opponent("away");
    bob.start_again();
    bob.live();
    alice.heard.forget();
    bob.kill();
    alice.opponent("away");
    let mut elsewhere = Player::open(&server, "bob-elsewhere");
    elsewhere.done(&format!("login bob {PASSWORD}"));
    elsewhere.until(&[("event", "notice".into()), ("code", "seat-taken".into())]);
    elsewhere.name = "bob".to_owned();
    let seat = pair.seats.iter().position(|player| player.name == "bob").unwrap();
    pair.seats[seat] = elsewhere;
    pair.play(&X_WINS[2..]);
    pair.x_has_won();
    let alice = pair.seats[1 - seat].state.clone();
    pair.seats[1 - seat].done("logout");
    carol.leave();
    pair.leave();
    server.stop();

    let state = home.path().join("state");
    for name in [
        event::RECOVERED,
        event::SERVER_STARTED,
        event::CONNECTED,
        event::USER_ADDED,
        event::LOGIN_OK,
        event::LOGIN_FAILED,
        event::MATCH_STARTED,
        event::MATCH_SUSPENDED,
        event::MATCH_RESUMED,
        event::LINK_LOST,
        event::DISCONNECTED,
        event::RETRY_SEEN,
        event::RESUMED,
        event::OUTAGE,
        event::MATCH_REJOINED,
        event::SEAT_ASKED,
        event::REGRANTED,
        event::MATCH_SETTLED,
        event::LOGGED_OUT,
        event::SERVER_STOPPING,
    ] {
        assert!(!logs(&["--event", name], &[&state]).is_empty(), "the server has not logged {name}");
    }
    for name in [event::CLIENT_STARTED, event::RETRY, event::CLIENT_STOPPED] {
        assert!(!logs(&["--event", name], &[&alice]).is_empty(), "the client has not logged {name}");
    }
    is_by_the_catalogue(&[&state, &alice]);
    let of_match = logs(&["--match", &pair_id(&state), "--user", "alice", "--event", "match-.*"], &[&state]);
    assert!(of_match.len() >= 4, "started, suspended, resumed, settled: {of_match:#?}");
}

/// The id of the match that was settled.
fn pair_id(state: &Path) -> String {
    word(&logs(&["--event", event::MATCH_SETTLED], &[state])[0], "match_id").to_owned()
}

#[test]
pub(crate) fn an_older_state_is_named_by_the_client_that_has_seen_a_later_one() {
    let home = home();
    let mut server = Server::start(home.path());
    let alice = Player::join(&server, "alice");
    server.stop();
    let (state, old) = (home.path().join("state"), home.path().join("old"));
    std::fs::rename(&state, &old).unwrap();
    copy(&old, &state);
    server.start_again();
    server.logged(&["event=\"resumed\"", "user=alice "]);
    let bob = Player::join(&server, "bob");
    server.kill();
    server.expects(event::STATE_LOST);
    server.expects(event::STATE_ROLLED_BACK);
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::rename(&old, &state).unwrap();
    server.start_again();
    server.logged(&["event=\"state-rolled-back\"", "user=alice "]);
    assert_eq!(logs(&["--event", event::STATE_ROLLED_BACK, "--user", "alice"], &[&state]).len(), 1);
    drop((alice, bob));
    server.stop();
}

#[test]
pub(crate) fn a_burst_on_a_disk_that_takes_nothing_costs_routine_events_alone_and_is_told() {
    /// More than may wait of what may be left out.
    const BURST: u64 = 12_000;
    let home = home();
    let in_the_way = home.path().join("log").join("events.jsonl");
    std::fs::create_dir_all(&in_the_way).unwrap();
    let log = EventLog::open(home.path(), Sizes::default(), Box::new(HostClock::start())).unwrap();
    for number in 0..BURST {
        log.push(&record(number, event::CONNECTED, "port", number));
        log.push(&record(number, event::LOGIN_OK, "user", number));
    }
    assert!(log.left_out() > 0, "nobody has waited for the disk");
    // The disk takes something again.
    std::fs::remove_dir(&in_the_way).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(log.written(PATIENCE));
    log.close(PATIENCE);
    let announced = Announced::default();
    announced.expects(event::EVENTS_LEFT_OUT);
    announced.check_files(home.path());
    let numbers = |name: &str, field: &str| -> Vec<u64> {
        logs(&["--event", name], &[home.path()]).iter().map(|line| line[field].as_u64().unwrap()).collect()
    };
    assert_eq!(numbers(event::LOGIN_OK, "user"), (0..BURST).collect::<Vec<_>>(), "every audit event, in its order");
    let left_out: u64 = numbers(event::EVENTS_LEFT_OUT, "routine").iter().sum();
    assert_eq!(numbers(event::EVENTS_LEFT_OUT, "audit").iter().sum::<u64>(), 0);
    assert_eq!(numbers(event::CONNECTED, "port").len() as u64 + left_out, BURST, "and every other one is counted");
    assert_eq!(log.left_out(), left_out);
}

fn record(at: u64, event: &str, field: &str, value: impl Into<Value>) -> Record {
    let fields = [(field.to_owned(), value.into())].into_iter().collect();
    Record { at: WallMs(at), level: "INFO".to_owned(), event: event.to_owned(), fields }
}

/// Standard output, standard error and exit code of `rejoin logs` with these words.
fn said(words: &[&str], state: &Path) -> (Vec<String>, String, Option<i32>) {
    let output = program().arg("logs").args(words).arg("--state").arg(state).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (out.lines().map(str::to_owned).collect(), err, output.status.code())
}

#[test]
fn logs_are_read_by_time_name_match_and_event_over_files_put_aside_and_damaged_ones() {
    let home = home();
    let log = home.path().join("log");
    std::fs::create_dir(&log).unwrap();
    let evil = "a\n[2026-06-20 15:50:00] login ok: \"root\"\u{1b}[2J";
    let line = |record: &Record| record.json() + "\n";
    let hour = 3_600_000;
    // The second of three is missing, as after a bound was reached by hand; the first ends in the middle of a line.
    let first = [line(&record(hour, event::LOGIN_OK, "user", "alice")), "{\"at\":3600001,\"ev".to_owned()].concat();
    std::fs::write(log.join("events-0000000000001.jsonl"), first).unwrap();
    let third = [
        b"\x00\xff\xfe garbage\n".to_vec(),
        line(&record(2 * hour, event::MATCH_SUSPENDED, "match_id", "ab12")).into_bytes(),
        b"[]\n\n{}\n".to_vec(),
    ];
    std::fs::write(log.join("events-0000000000003.jsonl"), third.concat()).unwrap();
    let current =
        [record(3 * hour, event::RESUMED, "user", "alice"), record(4 * hour, event::LOGIN_FAILED, "user", evil)];
    std::fs::write(log.join("events.jsonl"), current.iter().map(line).collect::<String>()).unwrap();

    let (all, skipped, code) = said(&[], home.path());
    assert_eq!(code, Some(0));
    assert_eq!(all.len(), 4, "{all:#?}");
    assert!(all[0].starts_with("[1970-01-01 01:00:00] login ok: alice"), "{all:#?}");
    assert!(all[3].contains("login failed: a\\u{a}[2026"), "one line, and nothing that a terminal obeys: {all:#?}");
    assert!(!all[3].contains('\u{1b}'));
    let names = [("events-0000000000001.jsonl", 1), ("events-0000000000003.jsonl", 3)];
    assert_eq!(skipped.lines().count(), names.len(), "{skipped}");
    for (name, lines) in names {
        assert!(skipped.contains(&format!("{name}: passed over, lines that are no events: {lines}")), "{skipped}");
    }
    for (words, expected) in [
        (&["--since", "1970-01-01 03:00:00"][..], &all[2..]),
        (&["--since", "1h"], &[]),
        (&["--user", "ALICE"], &[all[0].clone(), all[2].clone()]),
        (&["--match", "ab"], &all[1..2]),
        (&["--event", "resume.*"], &all[2..3]),
        (&["--event", "*resume*", "--user", "bob"], &[]),
    ] {
        assert_eq!(said(words, home.path()).0, expected, "{words:?}");
    }
    let (json, ..) = said(&["--json", "--event", event::LOGIN_FAILED], home.path());
    let read: Value = serde_json::from_str(&json[0]).unwrap();
    assert_eq!((json.len(), &read["user"]), (1, &evil.into()), "a program reads what was said");
    assert_eq!(said(&["--since", "soon"], home.path()).2, Some(2));
    let (nothing, why, code) = said(&["outages"], &home.path().join("elsewhere"));
    assert_eq!((nothing.len(), code), (0, Some(1)));
    assert!(why.contains("there is no log") && why.contains("--state DIR"), "{why}");
    assert_eq!(said(&["stats"], home.path()).0, ["no outage is in the log"]);
}

#[test]
fn what_is_followed_goes_on_over_files_put_aside_and_over_a_restart() {
    let home = home();
    let sizes = Sizes { file_bytes: 300, kept: 100 };
    let mut command = program();
    command.args(["logs", "--follow", "--json", "--event", event::LOGIN_OK, "--state"]).arg(home.path());
    let mut reader = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (tell, heard) = channel();
    let lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
    let mut heard = Heard::new(heard);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // It was there before the log, which is written by three runs of a server.
    for run in 0..3 {
        let log = EventLog::open(home.path(), sizes, Box::new(HostClock::start())).unwrap();
        for number in 0..20 {
            log.push(&record(run * 20 + number, event::LOGIN_OK, "user", "alice"));
            runtime.block_on(log.written(PATIENCE));
        }
        log.close(PATIENCE);
        let last = format!("\"at\":{},", run * 20 + 19);
        heard.until("the last line of a run", |line: &String| line.contains(&last).then_some(()));
    }
    reader.kill().unwrap();
    reader.wait().unwrap();
    let moments = heard.finish().iter().map(|line| Record::parse(line).unwrap().at.0);
    assert_eq!(moments.collect::<Vec<_>>(), (0..60).collect::<Vec<_>>(), "each once, in order");
    let files = std::fs::read_dir(home.path().join("log")).unwrap().count();
    assert!(files > 6, "{files} files");
}

/// Copies the files of a directory, and not what is below it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
