//! Accounts and passwords: D11, D18, D21, D22.

use std::path::Path;

use super::people::{PASSWORD, Pair, Player, home};
use super::server::Server;

/// Its bytes must be nowhere on a disk.
const SECRET: &str = "Tr0ub4dor-and-3-more";
/// Accounts that are asked for at once; a kill comes after the first few.
const TYPED: usize = 60;

#[test]
fn d11_passwd_works_and_the_old_password_is_refused_after() {
    let home = home();
    let server = Server::start(home.path());
    let mut alice = Player::join(&server, "alice");
    assert_eq!(alice.refused(&format!("passwd wrong-wrong {SECRET}")), "wrong-password");
    assert_eq!(alice.refused(&format!("passwd {PASSWORD} {PASSWORD}")), "same-password");
    assert_eq!(alice.refused(&format!("passwd {PASSWORD} short")), "bad-password");
    alice.done(&format!("passwd {PASSWORD} {SECRET}"));
    assert_eq!(alice.list().len(), 1, "the one who asked is served on");
    alice.done("logout");
    assert_eq!(alice.refused(&format!("login alice {PASSWORD}")), "wrong-password");
    alice.done(&format!("login alice {SECRET}"));
    alice.leave();
}

#[test]
fn d18_a_second_login_elsewhere_is_refused_and_takes_no_invitation_away() {
    let home = home();
    let server = Server::start(home.path());
    let [alice, bob] = ["alice", "bob"].map(|name| Player::join(&server, name));
    let mut thief = Player::open(&server, "another-device");
    assert_eq!(thief.refused(&format!("login bob {PASSWORD}")), "logged-in-elsewhere");
    assert_eq!(thief.refused("login bob not-his-password"), "wrong-password");
    assert_eq!(thief.refused("login nobody not-his-password"), "wrong-password");
    let mut pair = Pair::seated(alice, bob, "begin bob");
    assert!(!thief.heard.since().iter().any(|event| event["event"] == "invited"));
    assert_eq!(thief.refused("accept bob"), "not-logged-in");
    // Where bob has logged out, the same words let him in elsewhere.
    let [bob, _] = pair.of("bob");
    bob.done("leave");
    bob.done("logout");
    thief.done(&format!("login bob {PASSWORD}"));
    thief.leave();
    pair.leave();
}

#[test]
fn d21_a_name_is_a_plain_word_and_a_password_is_nowhere_in_clear() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut alice = Player::open(&server, "alice");
    for line in ["adduser a;b", "adduser a\u{7}b", "adduser a/../b", "adduser ａｄｍｉｎ"] {
        assert_eq!(alice.refused(&format!("{line} {SECRET}")), "bad-name", "{line:?}");
    }
    assert_eq!(alice.refused(&format!("adduser a\tb {SECRET}")), "extra-words");
    // A line break ends the command, and makes no second one.
    alice.say("adduser a\nb secret");
    assert_eq!(alice.ask("b")["error"], "unknown-command");
    alice.done(&format!("adduser alice {SECRET}"));
    assert_eq!(alice.refused(&format!("adduser ALICE {SECRET}")), "user-exists");
    alice.done(&format!("login alice {SECRET}"));
    alice.done(&format!("passwd {SECRET} {PASSWORD}"));
    assert_eq!(alice.done("leaders")["rows"].as_array().unwrap().len(), 1);
    alice.kill();
    server.kill();
    let mut files = 0;
    each_file(home.path(), &mut |path, bytes| {
        files += 1;
        for secret in [SECRET, PASSWORD] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{}", path.display());
        }
    });
    assert!(files > 5, "{files} files were looked into");
    let said = server.heard.finish();
    assert!(!said.iter().any(|line| line.contains(SECRET) || line.contains(PASSWORD)), "{said:#?}");
}

#[test]
fn d22_every_account_that_was_acknowledged_survives_kill_9_in_the_middle_of_adding_more() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut kept = Vec::new();
    for (round, after) in [1, 4, 2].into_iter().enumerate() {
        let mut adder = Player::open(&server, &format!("adder-{round}"));
        let name = |number: usize| format!("user-{round}-{number}");
        for number in 0..TYPED {
            adder.say(&format!("adduser {} {PASSWORD}", name(number)));
        }
        for number in 0..after {
            adder.heard.until("an account", |event| {
                let message = event["message"].as_str().unwrap_or_default();
                (event["ok"] == true && message.starts_with(&format!("{} ", name(number)))).then_some(())
            });
        }
        server.kill();
        adder.kill();
        let answered = adder.heard.finish().iter().filter(|event| event["ok"] == true).count();
        assert!((after..TYPED).contains(&answered), "the kill came in the middle: {answered} of {TYPED}");
        kept.extend((0..answered).map(name));
        server.start_again();
    }
    let mut asker = Player::open(&server, "asker");
    for name in &kept {
        assert_eq!(asker.refused(&format!("adduser {name} {PASSWORD}")), "user-exists");
    }
    asker.done(&format!("login {} {PASSWORD}", kept[0]));
    assert!(asker.done("leaders")["rows"].as_array().unwrap().len() >= kept.len());
    asker.leave();
}

/// Every file under a directory, with its bytes.
fn each_file(dir: &Path, look: &mut dyn FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_file(&path, look);
        // Not the socket that a killed server has left behind.
        } else if path.is_file() {
            look(&path, &std::fs::read(&path).unwrap());
        }
    }
}
