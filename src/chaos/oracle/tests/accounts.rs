//! I6, I7, I8, I11, I13 and I14.

use super::*;
use crate::chaos::finals::Figures;

#[test]
fn i6_a_process_that_ended_shows_nothing() {
    let mut world = World::seated();
    world.says("p0", killed()).sits("p0", "X");
    world.breaks("I6", "after its process ended");
    let mut world = World::seated();
    world.says("p0", killed()).says("p0", What::Started).sits("p0", "X");
    world.exercises(&["I6"]);
}

#[test]
fn i6_is_about_processes_that_begin_again_and_further_devices() {
    assert!(!World::won().is_good().judged().exercised.contains("I6"));
    let mut world = World::seated();
    world.says("p0.2", What::Started).exercises(&["I6"]);
}

#[test]
fn i8_a_door_without_an_account_stays_shut() {
    let mut world = World::default();
    world.finals.doors.insert("p0".to_owned(), Door { opens: vec![], shut: vec![secret("p0")] });
    let call = Call::AddUser { user: "p0".to_owned(), password: secret("p0") };
    let op = world.asks("p0", call);
    world.says("p0", What::Unknown { op }).is_good();
    assert!(!world.judged().exercised.contains("I8"), "nothing was acknowledged");
    let login = Call::Login { user: "p0".to_owned(), password: secret("p0") };
    world.refused("p0", login, "wrong-password").is_good();
    assert!(!world.judged().exercised.contains("I8"), "nothing was acknowledged");
    world.finals.doors.get_mut("p0").unwrap().opens.push("any".to_owned());
    world.breaks("I8", "p0");
}

#[test]
fn i8_one_of_the_passwords_that_are_shut_out_is_the_right_one() {
    let mut world = World::seated();
    world.finals.doors.insert("p0".to_owned(), Door { opens: vec![], shut: vec!["another".to_owned(), secret("p0")] });
    world.breaks("I8", "p0");
}

#[test]
fn i6_a_device_whose_seat_was_taken_moves_no_more() {
    let mut world = World::seated();
    world.finals.wiped.push("p0".to_owned());
    world.says("p0.2", What::Started).link("p0.2", 20).sits("p0.2", "X");
    world.shown("p0.2", 0, (1, 1), "sent");
    world.exercises(&["I6"]);
    world.shown("p0", 0, (2, 2), "sent");
    world.breaks("I6", "after p0.2 has taken its seat");
}

#[test]
fn i6_what_is_signed_at_a_device_that_was_left_counts_for_nothing() {
    let mut world = World::seated();
    world.finals.wiped.push("p0".to_owned());
    world.fault("leave-device").says("p0.2", What::Started).link("p0.2", 20).sits("p0.2", "X");
    world.shown("p0.2", 0, (1, 1), "sent").shown("p0", 0, (2, 2), "sent");
    world.exercises(&["I6"]);
    assert!(!world.judged().violations.iter().any(|found| found.invariant == "I6"), "nobody has taken it");
    world.shown("p0", 0, (2, 2), "seen");
    world.breaks("I6", "ply 0 of p0 counts");
    let mut world = World::seated();
    world.finals.wiped.push("p0".to_owned());
    world.fault("leave-device").says("p0.2", What::Started).link("p0.2", 20).sits("p0.2", "X");
    world.shown("p0.2", 0, (1, 1), "sent").shown("p0", 0, (2, 2), "sent");
    world.tells("p0", Told::Notice { code: "seat-moved".to_owned() }).shown("p0", 0, (1, 1), "seen");
    assert!(
        !world.judged().violations.iter().any(|found| found.invariant == "I6"),
        "it is told of the move that counts"
    );
    world.shown("p0", 2, (2, 2), "sent").shown("p0", 2, (2, 2), "seen");
    world.breaks("I6", "ply 2 of p0 counts");
    let mut world = World::seated();
    world.finals.wiped.extend(["p0".to_owned(), "p0.2".to_owned()]);
    world.fault("leave-device").says("p0.2", What::Started).sits("p0.2", "X").shown("p0.2", 0, (1, 1), "sent");
    world.fault("return-device").shown("p0", 0, (2, 2), "sent").shown("p0", 0, (2, 2), "seen");
    assert!(!world.judged().violations.iter().any(|found| found.invariant == "I6"), "the seat is p0's again");
    let mut world = World::seated();
    world.finals.wiped.extend(["p0".to_owned(), "p0.2".to_owned()]);
    world.fault("leave-device").says("p0.2", What::Started).sits("p0.2", "X").shown("p0.2", 0, (1, 1), "sent");
    world.tells("p0", Told::Notice { code: "seat-taken".to_owned() });
    world.shown("p0", 0, (1, 1), "sent").shown("p0", 0, (1, 1), "seen");
    assert!(!world.judged().violations.iter().any(|found| found.invariant == "I6"), "the seat was given to p0 again");
}

#[test]
fn i6_nobody_sits_in_two_matches() {
    let other = || Told::Match {
        match_id: "other".to_owned(),
        you: "X".to_owned(),
        opponent: "p1".to_owned(),
        game: "tictactoe".to_owned(),
    };
    let mut world = World::seated();
    world.sits("p0", "X").tells("p0", other());
    world.breaks("I6", "p0 is seated in other");
    let mut world = World::seated();
    world.sits("p0", "X").tells("p0", Told::Suspended { match_id: M.to_owned() }).tells("p0", other());
    assert!(!world.judged().violations.iter().any(|found| found.invariant == "I6"), "the first was left");
    let mut world = World::seated();
    world.says("p0", What::Started).sits("p0", "X").link("p0", 20).tells("p0", other());
    assert!(!world.judged().violations.iter().any(|found| found.invariant == "I6"), "the server knows better");
}

#[test]
fn what_was_measured_and_must_not_be_is_named() {
    let measured: [(&str, Spoil<Figures>); 8] = [
        ("I6", |figures| figures.stale.push("spoiled".to_owned())),
        ("I7", |figures| figures.doubles.push("spoiled".to_owned())),
        ("I9", |figures| figures.backwards.push("spoiled".to_owned())),
        ("I11", |figures| figures.leaks.push("spoiled".to_owned())),
        ("I12", |figures| figures.unnoticed.push("spoiled".to_owned())),
        ("I13", |figures| figures.sizes.push(("spoiled".to_owned(), 257, 256))),
        ("I14", |figures| figures.damage_believed.push("spoiled".to_owned())),
        ("I14", |figures| figures.unreadable.push("spoiled".to_owned())),
    ];
    for (invariant, spoil) in measured {
        let mut world = World::won();
        spoil(&mut world.finals.figures);
        world.breaks(invariant, "spoiled");
    }
}

#[test]
fn i8_an_account_that_was_acknowledged_is_there() {
    let mut world = World::seated();
    *world.finals.doors.get_mut("p0").unwrap() = Door { opens: vec![], shut: vec![secret("p0")] };
    world.breaks("I8", "p0");
}

#[test]
fn i8_a_password_that_was_acknowledged_opens_and_the_old_one_does_not() {
    let change = |world: &mut World| {
        let call = Call::Passwd { user: "p0".to_owned(), old: secret("p0"), new: "new".to_owned() };
        world.done("p0", call);
    };
    let door = |opens: &str, shut: &str| Door { opens: vec![opens.to_owned()], shut: vec![shut.to_owned()] };
    let mut world = World::seated();
    change(&mut world);
    world.breaks("I8", "p0");
    world.finals.doors.insert("p0".to_owned(), door("new", &secret("p0")));
    world.exercises(&["I8"]);
    world.finals.doors.insert("p0".to_owned(), door("something else", "new"));
    world.breaks("I8", "p0");
    world.finals.doors.insert("p0".to_owned(), Door { opens: vec!["new".to_owned(), secret("p0")], shut: vec![] });
    world.breaks("I8", "p0");
}

#[test]
fn i8_a_change_without_an_answer_may_have_happened_until_another_login_says_no() {
    let mut world = World::seated();
    let call = Call::Passwd { user: "p0".to_owned(), old: secret("p0"), new: "new".to_owned() };
    let op = world.asks("p0", call);
    world.says("p0", What::Unknown { op }).is_good();
    world.finals.doors.insert("p0".to_owned(), Door { opens: vec!["new".to_owned()], shut: vec![secret("p0")] });
    world.is_good();
    world.done("p0", Call::Login { user: "p0".to_owned(), password: "new".to_owned() });
    world.finals.doors.insert("p0".to_owned(), Door { opens: vec![secret("p0")], shut: vec![] });
    world.breaks("I8", "p0");
}

#[test]
fn i8_answers_at_the_door_tell_what_is_behind_it() {
    let login = |password: &str| Call::Login { user: "p0".to_owned(), password: password.to_owned() };
    let mut world = World::seated();
    world.refused("p0", login(&secret("p0")), "wrong-password");
    world.breaks("I8", "p0");
    let mut world = World::seated();
    world.refused("p0", login(&secret("p0")), "busy").is_good();
    world.done("p0", login("another"));
    world.breaks("I8", "p0");
    let mut world = World::default();
    let call = Call::AddUser { user: "p0".to_owned(), password: secret("p0") };
    world.refused("p0", call.clone(), "user-exists");
    world.finals.doors.insert("p0".to_owned(), Door::default());
    world.breaks("I8", "p0");
    let mut world = World::seated();
    world.done("p0", call);
    world.breaks("I8", "p0");
}

#[test]
fn i8_who_has_logged_out_sits_nowhere() {
    let mut world = World::seated();
    world.done("p0", Call::Logout { user: "p0".to_owned() });
    world.exercises(&["I8"]);
    world.sits("p0", "X");
    world.breaks("I8", "logged out");
    let mut world = World::seated();
    world.done("p0", Call::Logout { user: "p0".to_owned() });
    world.done("p0", Call::Login { user: "p0".to_owned(), password: secret("p0") }).sits("p0", "X").is_good();
}
