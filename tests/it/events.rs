//! What is written down of what happens: the logs of real processes, read with `rejoin logs`.

use std::collections::BTreeMap;
use std::path::Path;

use rejoin::ops::event;
use rejoin::ops::record::Record;
use rustix::process::Signal;
use serde_json::Value;

use crate::seed::people::{PASSWORD, Pair, Player, X_WINS, home};
use crate::seed::server::{Server, program};

/// What a client and the server may differ by about one outage: what a frame takes, and a busy machine.
const DIFFER_MS_MAX: u64 = 1_500;

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
    let mut restarts = |server: &mut Server, pair: &mut Pair, kill: bool| {
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
    restarts(&mut server, &mut pair, true);
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
    restarts(&mut server, &mut pair, true);
    restarts(&mut server, &mut pair, false);
    // A program that is killed and started again takes its session up.
    let [_, bob] = pair.of("alice");
    bob.kill();
    server.logged(&["event=\"link-lost\"", "user=bob ", "cause=\"reset\""]);
    bob.start_again();
    bob.live();
    written(11);
    restarts(&mut server, &mut pair, true);
    pair.forget();
    pair.play(&X_WINS);
    pair.x_has_won();
    let states = [&carol, &pair.seats[0], &pair.seats[1]].map(|player| player.state.clone());
    carol.leave();
    pair.leave();
    server.stop();

    let clients: Vec<&Path> = states.iter().map(|state| state.as_path()).collect();
    let (seen, recorded) = (logs(&["outages"], &[&servers]), logs(&["outages"], &clients));
    let both: Vec<&Path> = clients.iter().copied().chain([servers.as_path()]).collect();
    let joined = logs(&["outages"], &both);
    assert_eq!(joined.len(), recorded.len(), "{joined:#?}");
    assert!(joined.iter().all(|outage| outage["seen_by"] == "both"), "{joined:#?}");
    let (seen, recorded) = (by_session(seen), by_session(recorded));
    let counts = |of: &BTreeMap<String, Vec<Value>>| of.values().map(Vec::len).collect::<Vec<_>>();
    let mut expected = counts(&recorded);
    expected.sort_unstable();
    assert_eq!(expected, [4, 4, 6], "four restarts for each, one silence and one start for bob");
    for (session, theirs) in &recorded {
        let ours = &seen[session];
        assert_eq!(ours.len(), theirs.len(), "{ours:#?} {theirs:#?}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            agree(ours, theirs);
        }
    }
    assert_eq!(seen.len(), recorded.len());
    is_by_the_catalogue(&both);
    let stats = &logs(&["stats"], &[&servers])[0];
    assert_eq!((word(&stats["causes"][0], "of"), &stats["causes"][0]["count"]), ("all", &14.into()));
}

/// One outage as the server has seen it, and as the client has recorded it.
fn agree(ours: &Value, theirs: &Value) {
    let why = format!("{ours:#} {theirs:#}");
    assert_eq!((word(ours, "user"), word(ours, "ended")), (word(theirs, "user"), word(theirs, "ended")), "{why}");
    let is_restart = |outage: &Value| outage["cause"] == "restart";
    assert_eq!(is_restart(ours), is_restart(theirs), "{why}");
    let [ours_ms, theirs_ms] = [ours, theirs].map(|outage| outage["length_ms"].as_u64().unwrap());
    assert!(theirs["attempts"].as_u64().unwrap() >= 1, "{why}");
    if ours["at_least"] == true {
        assert!(ours_ms <= theirs_ms + DIFFER_MS_MAX, "{why}");
    } else if word(theirs, "cause") != "started" {
        // Who is found silent was stopped before, and finds out only when it goes on.
        assert!(theirs_ms <= ours_ms + DIFFER_MS_MAX, "{why}");
    }
}

/// Where an event of the catalogue is brought about and looked for: a file, and a function in it that names the event.
const BROUGHT_ABOUT: [(&str, &str, &str); 39] = [
    (event::SERVER_STARTED, EVENTS, THE_STORY),
    (event::SERVER_STOPPING, EVENTS, THE_STORY),
    (event::RECOVERED, EVENTS, THE_STORY),
    (event::STATE_NOTE, LOST, "a_boot_file_that_cannot_be_read_or_written_is_a_warning"),
    (event::STATE_ROLLED_BACK, EVENTS, "an_older_state_is_named_by_the_client_that_has_seen_a_later_one"),
    (event::DISK_FULL, DISKS, "a_full_disk_refuses_changes_answers_questions_and_heals"),
    (event::JOURNAL_FAILED, DISKS, "a_disk_that_fails_to_sync_ends_the_server_and_nothing_acknowledged_is_lost"),
    (event::SNAPSHOT, CONTROL, "a_snapshot_now_holds_everything_and_the_next_start_uses_it"),
    (event::SNAPSHOT_FAILED, CONTROL, "a_snapshot_of_a_journal_that_has_rotted_is_refused_and_play_goes_on"),
    (event::CONNECTED, EVENTS, THE_STORY),
    (event::DISCONNECTED, EVENTS, THE_STORY),
    (event::TURNED_AWAY, FRAMES, "what_is_not_tls_is_turned_away"),
    (event::MISBEHAVED, FRAMES, "bytes_that_are_no_message_end_the_connection_with_a_reason"),
    (event::USER_ADDED, EVENTS, THE_STORY),
    (event::LOGIN_OK, EVENTS, THE_STORY),
    (event::LOGIN_FAILED, EVENTS, THE_STORY),
    (event::RETRY_SEEN, EVENTS, THE_STORY),
    (event::RESUMED, EVENTS, THE_STORY),
    (event::RESUME_REFUSED, SESSIONS, "a_session_is_taken_up_only_by_its_own_key"),
    (event::LOGGED_OUT, EVENTS, THE_STORY),
    (event::LINK_LOST, EVENTS, THE_STORY),
    (event::OUTAGE, EVENTS, THE_STORY),
    (event::MATCH_STARTED, EVENTS, THE_STORY),
    (event::MATCH_SUSPENDED, EVENTS, THE_STORY),
    (event::MATCH_RESUMED, EVENTS, THE_STORY),
    (event::MATCH_REJOINED, EVENTS, THE_STORY),
    (event::MATCH_SETTLED, EVENTS, THE_STORY),
    (event::FOUL, MOVES, "who_signs_two_moves_at_one_ply_loses"),
    (event::VERDICT_CORRECTED, KEEPERS, "a_foul_proved_when_all_is_filed_away_is_told_to_both"),
    (event::SEAT_ASKED, EVENTS, THE_STORY),
    (event::REGRANTED, EVENTS, THE_STORY),
    (event::MATCH_TAKEN, LOST, "matches_newer_than_the_restored_copy_come_back_from_the_players"),
    (event::STATE_LOST, LOST, "restarted"),
    (event::ENTRY_REFUSED, MOVES, "only_a_legal_move_in_turn_is_taken"),
    (event::EVENTS_LEFT_OUT, FILES, "what_waits_is_bounded_and_an_audit_event_stays_longer_than_any_other"),
    (event::AUDIT, CONTROL, "an_announcement_is_shown_to_every_player_and_is_in_the_audit_log"),
    (event::CLIENT_STARTED, EVENTS, THE_STORY),
    (event::CLIENT_STOPPED, EVENTS, THE_STORY),
    (event::RETRY, EVENTS, THE_STORY),
];

/// Events that no test here brings about.
const OWED: [&str; 1] = [event::CERTIFICATE_FAILED];

const THE_STORY: &str = "the_log_tells_the_story_of_a_match_that_is_left_taken_up_elsewhere_and_won";
const EVENTS: &str = include_str!("events.rs");
const LOST: &str = include_str!("lost.rs");
const DISKS: &str = include_str!("hostile/disks.rs");
const FRAMES: &str = include_str!("hostile/frames.rs");
const SESSIONS: &str = include_str!("hostile/sessions.rs");
const MOVES: &str = include_str!("hostile/moves.rs");
const KEEPERS: &str = include_str!("hostile/keepers.rs");
const CONTROL: &str = include_str!("control.rs");
const FILES: &str = include_str!("../../src/ops/files.rs");

#[test]
fn every_event_of_the_catalogue_is_brought_about_by_some_test() {
    for kind in event::CATALOGUE {
        let Some((name, file, function)) = BROUGHT_ABOUT.iter().find(|(name, ..)| *name == kind.name) else {
            assert!(OWED.contains(&kind.name), "no test brings {} about", kind.name);
            continue;
        };
        let begin = file.find(&format!("fn {function}(")).unwrap_or_else(|| panic!("{function} is not there"));
        let body = &file[begin..];
        let body = &body[..body.find("\n}\n").unwrap_or(body.len())];
        let constant = name.to_uppercase().replace('-', "_");
        let named = [
            format!("\"{name}\""),
            format!("event=\\\"{name}\\\""),
            format!("event::{constant}"),
            "\"routine\\\":3\"".to_owned(),
        ];
        assert!(named.iter().any(|word| body.contains(word)), "{function} does not look for {name}");
    }
}

#[test]
fn the_log_tells_the_story_of_a_match_that_is_left_taken_up_elsewhere_and_won() {
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
fn an_older_state_is_named_by_the_client_that_has_seen_a_later_one() {
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
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::rename(&old, &state).unwrap();
    server.start_again();
    server.logged(&["event=\"state-rolled-back\"", "user=alice "]);
    assert_eq!(logs(&["--event", event::STATE_ROLLED_BACK, "--user", "alice"], &[&state]).len(), 1);
    drop((alice, bob));
    server.stop();
}

/// Copies the files of a directory, and not what is below it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
