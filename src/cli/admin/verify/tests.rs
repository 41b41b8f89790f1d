//! What the command says about files of every kind.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::sync::Arc;

use clap::Parser;
use proptest::prelude::*;

use super::*;
use crate::model::document::fixture::{Held, WON, all, players, server_key, two_epochs};
use crate::model::evidence::Keeper;
use crate::model::games::Seat;
use crate::model::statement::Ruling;
use crate::ops::host::{HostClock, HostEntropy};
use crate::store::HostDisk;

/// The exit code and all that is said.
fn run(bytes: &[u8], words: &[&str]) -> (Code, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("match.json");
    std::fs::write(&file, bytes).unwrap();
    run_on(file.to_str().unwrap(), words)
}

fn run_on(file: &str, words: &[&str]) -> (Code, String) {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        verify: Verify,
    }
    let line = Line::try_parse_from(["verify", file].iter().chain(words)).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let clock = HostClock::start();
    let ask = &mut |_: &str| unreachable!("nobody is asked");
    let mut desk =
        Desk { out: &mut out, err: &mut err, disk: Arc::new(HostDisk), clock: &clock, entropy: &HostEntropy, ask };
    match line.verify.run(&mut desk) {
        Ok(code) => (code, String::from_utf8(out).unwrap()),
        Err(error) => (Code::of(&error), format!("{error:#}")),
    }
}

fn file(held: &Held) -> Vec<u8> {
    serde_json::to_vec_pretty(&held.document()).unwrap()
}

fn good(held: &Held) -> String {
    let (code, said) = run(&file(held), &["--key", &players().server.to_string()]);
    assert_eq!(code, Code::Done, "{said}");
    said
}

#[test]
fn a_match_is_told_move_by_move() {
    let [_, _, won, resigned, fouled, _] = all();
    let said = good(&won);
    assert!(said.starts_with("match 01010101010101010101010101010101, tictactoe\nserver "), "{said}");
    assert!(said.contains(" (the one you asked for)\nX: alice, account 0101"), "{said}");
    assert!(said.contains("moves: 5, each signed by its player\n    1  X  1 1\n    2  O  2 1\n"), "{said}");
    assert!(said.contains("  X X X\n  O O .\n  . . .\n"), "{said}");
    assert!(said.contains("of 5 moves: 5 by X, 5 by O, 5 by the server\n  every move is acknowledged"), "{said}");
    let verdict = "verdict of the server: X (alice) wins on the board; the evidence in this file says the same\n";
    assert!(said.ends_with(verdict), "{said}");
    let said = good(&resigned);
    assert!(said.contains("    4  O  resigns\n"), "{said}");
    assert!(said.contains("verdict of the server: X (alice) wins, O has resigned;"), "{said}");
    let said = good(&fouled);
    assert!(
        said.contains("foul proven: O has signed two different moves as move 4 (epoch 1): 2 2 and 3 3\n"),
        "{said}"
    );
    assert!(said.contains("verdict of the server: X (alice) wins, by a foul of O;"), "{said}");
}

#[test]
fn another_key_of_a_seat_is_told_with_the_move_it_counts_from() {
    let said = good(&two_epochs());
    let old = players().keys[0].public();
    let line = format!("epoch 2, from move 4 on: X has another key, by a grant of the server; before it was {old}\n");
    assert!(said.contains(&line), "{said}");
}

#[test]
fn what_is_missing_is_said() {
    let [new, open, ..] = all();
    let said = good(&new);
    assert!(said.contains("no move is in the file\n"), "{said}");
    let later = "  what came later can have been left out by whoever wrote the file\n";
    let open_end = "no verdict of the server in this file, and nothing decides it: it is X's turn\n";
    assert!(said.ends_with(&format!("{open_end}{later}")), "{said}");
    assert!(good(&open).contains("2 by X, 2 by O, 0 by the server\n  every move is acknowledged"));
    let alone = good(&Held::new().play(&WON));
    assert!(
        alone.contains("5 by X, 4 by O, 0 by the server\n  not acknowledged by anybody in this file: move 5\n"),
        "{alone}"
    );
    assert!(
        alone.ends_with(&format!(
            "no verdict of the server in this file; by the evidence in it: X (alice) wins on the board\n{later}"
        )),
        "{alone}"
    );
}

#[test]
fn a_verdict_without_its_evidence_is_named_and_is_no_success() {
    for (held, evidence) in [
        (Held::new().play(&WON), "X (alice) wins on the board"),
        (Held::new().play(&WON[..3]).held_by(Keeper::Player(Seat::O)), "nothing decides it"),
    ] {
        let (code, said) = run(&file(&held.ruled(Ruling::Resigned { by: Seat::X })), &[]);
        assert_eq!(code, Code::Failed);
        let line = format!(
            "the server's verdict says: O (bob) wins, X has resigned; the evidence in this file: {evidence}. Evidence is \
             missing, or the server lies\n"
        );
        assert!(said.ends_with(&line), "{said}");
    }
}

#[test]
fn a_server_is_named_by_id_address_or_key_and_without_one_little_is_shown() {
    let won = file(&all()[2]);
    let id = players().server;
    for key in [id.to_string(), format!("games.example.org:3000#{id}"), server_key().public().to_string()] {
        assert_eq!(run(&won, &["--key", &key]).0, Code::Done, "{key}");
    }
    let (code, said) = run(&won, &[]);
    assert_eq!(code, Code::Done);
    assert!(said.contains(&format!("server {id} (by the key in the file)\n")), "{said}");
    assert!(said.contains("only shows that the file is consistent; give --key ID to know which server"), "{said}");
    let other = players().keys[0].public();
    let (code, said) = run(&won, &["--key", &other.to_string()]);
    assert_eq!(code, Code::Failed);
    let asked = ServerId::of(&other);
    assert!(said.ends_with(&format!("is not to be trusted: it is of the server {id}, not of {asked}")), "{said}");
    for bad in ["", "k7", "host:3000", "host:3000#k7"] {
        assert!(server(bad).unwrap_err().starts_with("give the server's id"), "{bad}");
    }
}

#[test]
fn a_changed_file_is_refused_with_the_place() {
    let mut document = all()[2].document();
    document.entries[1].at = 5;
    let (code, said) = run(&serde_json::to_vec(&document).unwrap(), &[]);
    assert_eq!(code, Code::Failed);
    assert!(said.ends_with("is not to be trusted: entry 2: `at` is 5, and by what was signed it is 0"), "{said}");
}

#[test]
fn a_file_that_is_no_match_is_refused_with_what_to_do() {
    let whole = file(&all()[2]);
    let half = &whole[..whole.len() / 2];
    let deep = "[".repeat(1_000_000);
    let nested = format!("{{\"format\":\"rejoin match/2\",\"match\":{deep}");
    let wrong_type = String::from_utf8(whole.clone()).unwrap().replacen("\"ply\": 0", "\"ply\": -1", 1);
    let huge_number = wrong_type.replacen("\"ply\": -1", "\"ply\": 1e999", 1);
    let twice = wrong_type.replacen("\"ply\": -1", "\"ply\": 0, \"ply\": 1", 1);
    let name = wrong_type.replacen("alice", "al\\u001b[2Jice", 1);
    for bytes in [b"", &b"\xff\xfe"[..], b"null", b"[]", b"{}", half, deep.as_bytes(), &[0; 1000]] {
        let (code, said) = run(bytes, &[]);
        assert_eq!(code, Code::Failed);
        assert!(
            said.contains(" is not an exported match; `export` at the prompt of `rejoin play` writes one"),
            "{said}"
        );
    }
    for text in [nested, wrong_type, huge_number, twice, name] {
        let (code, said) = run(text.as_bytes(), &[]);
        assert_eq!(code, Code::Failed);
        assert!(said.contains(" is not "), "{said}");
    }
    let (_, said) = run(br#"{"format":"rejoin match/1","match":"00"}"#, &[]);
    assert!(said.ends_with(
        r#"calls itself "rejoin match/1", and this program reads "rejoin match/2"; export the match again"#
    ));
}

#[test]
fn a_file_of_any_size_is_read_only_so_far() {
    let limit = usize::try_from(FILE_BYTES_MAX).unwrap();
    let mut padded = file(&all()[2]);
    padded.resize(limit, b' ');
    assert_eq!(run(&padded, &[]).0, Code::Done);
    padded.push(b' ');
    let (code, said) = run(&padded, &[]);
    assert_eq!(code, Code::Failed);
    assert!(said.contains("cannot read ") && said.contains("larger than 4194304 bytes"), "{said}");
    let (code, said) = run_on("/nowhere/match.json", &[]);
    assert_eq!(code, Code::Failed);
    assert!(said.contains("cannot read /nowhere/match.json: No such file"), "{said}");
    #[cfg(target_os = "linux")]
    assert!(run_on("/dev/zero", &[]).1.contains("larger than"));
}

#[test]
fn nothing_in_a_file_is_obeyed_by_the_terminal() {
    let won = String::from_utf8(file(&all()[2])).unwrap();
    let evil = "\\u001b]0;x\\u0007\\u009b2J\\u202e";
    let mut texts = vec![
        won.replacen("\"rejoin match/2\"", &format!("\"{evil}\""), 1),
        won.replacen("\"alice\"", &format!("\"{evil}\""), 1),
        won.replacen("\"tictactoe\"", &format!("\"{evil}\""), 1),
        won.replacen("\"seat\": \"X\"", &format!("\"seat\": \"{evil}\""), 1),
        won.replacen("\"keeper\": \"O\"", &format!("\"keeper\": \"{evil}\""), 1),
        won.replacen("\"ply\"", &format!("\"{evil}\""), 1),
        won.replacen("\"play\"", &format!("\"{evil}\""), 1),
        won.replacen("\"kind\": \"rejoin grant/1\"", &format!("\"kind\": \"{}\"", evil.repeat(50_000)), 1),
    ];
    // As it stands, not spelled out: `{evil}` read by JSON.
    let raw: String = serde_json::from_str(&format!("\"{evil}\"")).unwrap();
    texts.push(won.replacen("\"ply\"", &format!("\"{}\"", raw.trim_start_matches(char::is_control)), 1));
    for text in texts {
        assert_ne!(text, won);
        let (code, said) = run(text.as_bytes(), &[]);
        assert_eq!(code, Code::Failed);
        assert_eq!(said, plain(&said));
        assert!(said.len() < 3_000, "{}", said.len());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<usize>()) {
        prop_assert!(parse(&bytes).is_err());
        // A piece of a real file overwritten.
        let mut real = file(&all()[5]);
        let at = at % real.len();
        let end = (at + bytes.len()).min(real.len());
        real[at..end].copy_from_slice(&bytes[..end - at]);
        if let Ok(document) = parse(&real) {
            let _ = document.check(None);
        }
    }
}
