//! What passes, and that nothing changed does.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::model::document::fixture::{Held as Match, WON, all, players, server_key, two_epochs};
use crate::model::games::{GameSpec, Outcome};
use crate::model::id::UserId;
use crate::model::key::SecretKey;

const X: Keeper = Keeper::Player(Seat::X);
const O: Keeper = Keeper::Player(Seat::O);

#[test]
fn a_match_of_every_kind_passes_and_is_what_was_exported() {
    for (kind, held) in all().iter().enumerate() {
        let text = serde_json::to_string_pretty(&held.document()).unwrap();
        let read: Document = serde_json::from_str(&text).unwrap();
        for asked in [None, Some(players().server)] {
            let checked = read.check(asked).unwrap_or_else(|why| panic!("{kind}: {why}"));
            assert_eq!(checked.evidence, held.evidence, "{kind}");
            assert_eq!(checked.ruling(), held.verdict.as_ref().map(|verdict| verdict.body.ruling));
            assert!(checked.is_supported());
        }
    }
}

#[test]
fn a_receipt_of_an_epoch_before_counts_while_its_key_has_the_seat() {
    let held = two_epochs();
    assert_eq!(held.evidence.receipts.iter().flatten().map(|held| held.body().epoch).collect::<Vec<_>>(), [1, 2]);
    // The same seat's receipt, once its key is another: the model drops it, and a file that shows it is refused.
    let moved = held.clone().regrant(Seat::O, 51);
    let mut shown = moved.document();
    assert!(shown.check(None).is_ok());
    shown.receipts = held.document().receipts;
    assert_eq!(said(&shown), "receipt 1: it is by a key that does not speak for O any more");
}

/// Every field but the names, one after the other.
#[test]
fn whatever_field_is_changed_it_is_refused() {
    for held in all() {
        let whole = serde_json::to_value(held.document()).unwrap();
        let mut changed = 0;
        for path in leaves(&whole).into_iter().filter(|path| !path.starts_with("/names")) {
            for step in [0, 3, 6] {
                let mut other = whole.clone();
                change(other.pointer_mut(&path).unwrap(), step);
                assert_ne!(other, whole, "{path}");
                assert!(is_refused(&other), "{path} is {}", other.pointer(&path).unwrap());
                changed += 1;
            }
        }
        assert!(changed >= 75, "{changed}");
    }
}

#[test]
fn a_field_too_many_is_refused_everywhere() {
    let whole = serde_json::to_value(all()[4].document()).unwrap();
    let mut objects = 0;
    for path in nodes(&whole) {
        let mut other = whole.clone();
        if let Some(object) = other.pointer_mut(&path).unwrap().as_object_mut() {
            object.insert("more".to_owned(), Value::Null);
            assert!(is_refused(&other), "{path}");
            objects += 1;
        }
    }
    assert!(objects > 20);
}

proptest! {
    /// Every statement says what it says by its bytes: no bit of them, nor of a signature, can be another one.
    #[test]
    fn no_bit_of_what_was_signed_can_be_flipped(kind in 0usize..6, which in any::<usize>(), at in any::<usize>()) {
        let whole = serde_json::to_value(all()[kind].document()).unwrap();
        let signed = |path: &&String| path.ends_with("/signed") || path.ends_with("/signature");
        let leaves = leaves(&whole);
        let signed: Vec<&String> = leaves.iter().filter(signed).collect();
        let path = signed[which % signed.len()];
        let mut bytes = HEXLOWER.decode(whole.pointer(path).unwrap().as_str().unwrap().as_bytes()).unwrap();
        let bit = at % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let mut other = whole.clone();
        *other.pointer_mut(path).unwrap() = HEXLOWER.encode(&bytes).into();
        prop_assert!(is_refused(&other));
    }

    /// A bit of the file itself: what still passes says the same, but for the names.
    #[test]
    fn a_bit_of_the_file_changes_nothing_that_is_believed(kind in 0usize..6, at in any::<usize>()) {
        let document = all()[kind].document();
        let mut bytes = serde_json::to_vec(&document).unwrap();
        let bit = at % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(mut read) = serde_json::from_slice::<Document>(&bytes)
            && read.check(None).is_ok()
        {
            read.names = document.names.clone();
            prop_assert_eq!(read, document);
        }
    }
}

#[test]
fn only_the_server_that_is_asked_for_will_do() {
    let document = all()[2].document();
    let other = ServerId::of(&SecretKey::from_seed(&[9; 32]).public());
    let why = document.check(Some(other)).unwrap_err();
    assert_eq!(why, Wrong::OtherServer { is: players().server, asked: other });
    // A forger signs everything anew, and puts the real server's id beside it.
    let mut forged = document.clone();
    forged.server.key = SecretKey::from_seed(&[9; 32]).public().to_string();
    assert!(matches!(forged.check(Some(players().server)), Err(Wrong::OtherServer { .. })));
    assert!(said(&forged).starts_with("grant 1: it was signed for the server "), "{}", said(&forged));
}

#[test]
fn entries_are_all_there_in_order_and_once() {
    let whole = all()[2].document();
    let changed = |change: &dyn Fn(&mut Vec<EntryPage>)| {
        let mut document = whole.clone();
        change(&mut document.entries);
        said(&document)
    };
    assert_eq!(
        changed(&|entries| drop(entries.remove(1))),
        "entry 2: it cannot come here: 1 entries are held, so the next one is ply 1"
    );
    assert_eq!(
        changed(&|entries| entries.swap(0, 2)),
        "entry 1: it cannot come here: 0 entries are held, so the next one is ply 0"
    );
    assert_eq!(
        changed(&|entries| entries.insert(2, entries[1].clone())),
        "entry 3: it cannot come here: 2 entries are held, so the next one is ply 2"
    );
    // What a receipt and the verdict speak of must be there.
    assert_eq!(changed(&|entries| drop(entries.pop())), "receipt 1: it is for 5 moves that are not those in the file");
}

#[test]
fn an_entry_that_was_really_signed_but_by_another_or_against_the_rules_is_refused() {
    let held = Match::new().play(&WON[..2]);
    let (players, server) = (held.players(), players().server);
    let forged = |key: &SecretKey, change: &dyn Fn(&mut Entry)| {
        let taken = Match::new().play(&[(3, 3)]).evidence.chain.entry(0).unwrap().into_signed().body.act;
        let mut body = held.evidence.chain.next_entry(taken, crate::model::time::WallMs(0));
        change(&mut body);
        let mut document = held.document();
        document.entries.push(EntryPage::of(&server, &Signed::by(key, &server, body)));
        said(&document)
    };
    let [x, o] = &players.keys;
    assert_eq!(forged(x, &|_| {}), "it is good");
    assert_eq!(forged(o, &|_| {}), "entry 3: the signature is not by the key of X");
    assert_eq!(forged(o, &|entry| entry.seat = Seat::O), "entry 3: it cannot come here: it is not your turn");
    assert_eq!(
        forged(x, &|entry| entry.epoch = 2),
        "entry 3: it is of epoch 2, and no grant of that epoch is in the file"
    );
    assert_eq!(
        forged(x, &|entry| entry.prev.0[0] ^= 1),
        "entry 3: it cannot come here: that entry does not follow the last one"
    );
    assert!(forged(x, &|entry| entry.match_id = MatchId([9; 16])).starts_with("entry 3: it is of the match 0909"));
    let first = held.evidence.chain.entry(0).unwrap().into_signed().body.act;
    assert_eq!(forged(x, &|entry| entry.act = first.clone()), "entry 3: it cannot come here: that cell is taken");
    let resigned = Match::new().resign();
    let mut more = resigned.document();
    more.entries.push(held.document().entries[1].clone());
    assert!(said(&more).starts_with("entry 2: it cannot come here"), "{}", said(&more));
}

#[test]
fn grants_are_all_there_and_each_takes_over_what_is_there() {
    let whole = two_epochs().document();
    let changed = |change: &dyn Fn(&mut Document)| {
        let mut document = whole.clone();
        change(&mut document);
        said(&document)
    };
    assert_eq!(changed(&|of| of.grants.clear()), "there is no grant in it, so there is no match");
    assert_eq!(changed(&|of| drop(of.grants.remove(0))), "grant 1: it goes on from a grant that is not in the file");
    assert_eq!(
        changed(&|of| drop(of.grants.remove(1))),
        "entry 4: it is of epoch 2, and no grant of that epoch is in the file"
    );
    assert_eq!(
        changed(&|of| drop(of.entries.remove(2))),
        "grant 2: it cannot come here: the grant of epoch 2 does not follow what is held"
    );
    let dropped = Match::new().play(&WON[..4]).document().entries[3].clone();
    assert_eq!(
        changed(&|of| of.entries.insert(3, dropped.clone())),
        "grant 2: it takes over after 3 moves, and the file has 4 before it"
    );
    // The key that X had before.
    let old = Match::new().play(&WON[..3]).players();
    let mut body = two_epochs().evidence.chain.entry(4).unwrap().into_signed().body;
    body.epoch = 2;
    let by_old = EntryPage::of(&old.server, &Signed::by(&old.keys[0], &old.server, body));
    assert_eq!(changed(&|of| of.entries[4] = by_old.clone()), "entry 5: the signature is not by the key of X");
}

#[test]
fn a_grant_must_be_the_servers_of_this_match_and_of_a_known_game() {
    let players = players();
    let document = |key: &SecretKey, change: &dyn Fn(&mut Grant)| {
        let mut grant = players.grant();
        change(&mut grant);
        let mut document = Match::new().document();
        document.game = super::super::GamePage::of(&grant.game);
        document.grants = vec![GrantPage::of(&players.server, &Signed::by(key, &players.server, grant))];
        said(&document)
    };
    assert_eq!(document(&server_key(), &|_| {}), "it is good");
    assert_eq!(document(&players.keys[0], &|_| {}), "grant 1: the signature is not by the key of the server");
    let unknown = document(&server_key(), &|grant| grant.game.family = "chess\u{1b}[2J".to_owned());
    assert_eq!(unknown, "grant 1: it is of a game that this program does not know");
    let elsewhere = document(&server_key(), &|grant| grant.server = ServerId([3; 32]));
    assert!(elsewhere.starts_with("grant 1: it was signed for the server "), "{elsewhere}");
    assert!(document(&server_key(), &|grant| grant.match_id = MatchId([9; 16])).starts_with("`match` is "));
    let mut later = two_epochs().document();
    let mut grant = two_epochs().evidence.chain.grants()[1].clone();
    for change in [&|grant: &mut Grant| grant.users[0] = UserId([7; 16]) as _, &|grant: &mut Grant| {
        grant.game = GameSpec::named("connect4").unwrap();
    }] as [&dyn Fn(&mut Grant); 2]
    {
        change(&mut grant.body);
        later.grants[1] =
            GrantPage::of(&players.server, &Signed::by(&server_key(), &players.server, grant.body.clone()));
        assert_eq!(said(&later), "grant 2: it cannot come here: that entry belongs to another match");
    }
}

#[test]
fn receipts_are_by_their_keeper_for_what_is_here() {
    let held = Match::new().play(&WON[..3]).held_by(O).held_by(Keeper::Server);
    let (whole, players) = (held.document(), players());
    let with = |keeper: Keeper, key: &SecretKey, change: &dyn Fn(&mut Held)| {
        let mut body = held.evidence.held();
        change(&mut body);
        let mut document = whole.clone();
        document.receipts = vec![HeldPage::of(&players.server, keeper, &Signed::by(key, &players.server, body))];
        said(&document)
    };
    let [x, o] = &players.keys;
    assert_eq!(with(O, o, &|_| {}), "it is good");
    assert_eq!(with(X, o, &|_| {}), "receipt 1: the signature is not by the key of X");
    assert_eq!(with(O, x, &|_| {}), "receipt 1: the signature is not by the key of O");
    assert_eq!(with(Keeper::Server, o, &|_| {}), "receipt 1: the signature is not by the key of the server");
    let unfitting = |plies: u16| format!("receipt 1: it is for {plies} moves that are not those in the file");
    assert_eq!(with(O, o, &|held| held.plies = 2), unfitting(2));
    assert_eq!(with(O, o, &|held| held.plies = 9), unfitting(9));
    assert_eq!(with(O, o, &|held| held.head.0[0] ^= 1), unfitting(3));
    assert!(with(O, o, &|held| held.epoch = 4).starts_with("receipt 1: it is of epoch 4"));
    assert!(with(O, o, &|held| held.match_id.0[0] ^= 1).starts_with("receipt 1: it is of the match "));
    let mut twice = whole.clone();
    twice.receipts.push(whole.receipts[0].clone());
    assert_eq!(said(&twice), "`receipts` is 3 long, and by what was signed it is 2 long");
    let mut swapped = whole.clone();
    swapped.receipts.swap(0, 1);
    assert!(said(&swapped).starts_with("`receipts.1."), "{}", said(&swapped));
}

#[test]
fn a_foul_is_two_different_entries_of_one_seat_at_one_ply() {
    let whole = all()[4].document();
    assert_eq!(whole.check(None).unwrap().evidence.verdict(), Some(Ruling::Foul { by: Seat::O }));
    let nothing = "foul 1: the two entries prove nothing: they must be two different ones of one player for one move";
    for second in [whole.fouls[0].first.clone(), whole.entries[0].clone(), whole.entries[1].clone()] {
        let mut document = whole.clone();
        document.fouls[0].second = second;
        assert_eq!(said(&document), nothing);
    }
    let mut forged = whole.clone();
    let (players, mut body) = (players(), all()[4].evidence.fouls[1].clone().unwrap().second.body);
    body.at.0 += 1;
    forged.fouls[0].second = EntryPage::of(&players.server, &Signed::by(&players.keys[0], &players.server, body));
    assert_eq!(said(&forged), "the second entry of foul 1: the signature is not by the key of O");
}

#[test]
fn a_verdict_is_the_servers_and_may_say_what_the_evidence_does_not() {
    let won = Ruling::Board { outcome: Outcome::Win(Seat::O) };
    let lie = Match::new().play(&WON).ruled(won);
    let checked = lie.document().check(None).unwrap();
    assert_eq!(checked.ruling(), Some(won));
    assert!(!checked.is_supported());
    let (players, mut document) = (players(), lie.document());
    let page = |key: &SecretKey, match_id| {
        VerdictPage::of(&players.server, &Signed::by(key, &players.server, Verdict { match_id, epoch: 1, ruling: won }))
    };
    document.verdict = Some(page(&players.keys[1], players.grant().match_id));
    assert_eq!(said(&document), "the verdict: the signature is not by the key of the server");
    document.verdict = Some(page(&server_key(), MatchId([9; 16])));
    assert!(said(&document).starts_with("the verdict: it is of the match 0909"), "{}", said(&document));
}

#[test]
fn fields_that_mislead_are_named() {
    let whole = two_epochs().document();
    let changed = |change: &dyn Fn(&mut Document)| {
        let mut document = whole.clone();
        change(&mut document);
        said(&document)
    };
    assert_eq!(
        changed(&|of| of.entries[3].act = super::super::ActPage::Play("0202".to_owned())),
        "entry 4: `act.play` is \"0202\", and by what was signed it is \"0101\""
    );
    assert_eq!(changed(&|of| of.entries[0].ply = 7), "entry 1: `ply` is 7, and by what was signed it is 0");
    let winner = changed(&|of| of.verdict.as_mut().unwrap().winner = Some("O".to_owned()));
    assert_eq!(winner, "the verdict: `winner` is \"O\", and by what was signed it is \"X\"");
    assert_eq!(changed(&|of| of.format = "rejoin match/1".to_owned()), {
        "it calls itself \"rejoin match/1\", and this program reads \"rejoin match/2\""
    });
    assert_eq!(
        changed(&|of| of.grants[0].signed = of.entries[0].signed.clone()),
        "grant 1: what was signed cannot be read: it is no `rejoin grant/1`"
    );
    assert_eq!(
        changed(&|of| of.entries[0].signed.push_str("00")),
        "entry 1: what was signed cannot be read: it begins as `rejoin entry/1`, and what follows is none"
    );
    let hex = "entry 1: `signature` is not 64 bytes in lower-case hexadecimal";
    assert_eq!(changed(&|of| of.entries[0].signature.truncate(126)), hex);
    assert_eq!(
        changed(&|of| of.server.id = players().server.to_string().to_uppercase()).split(' ').next(),
        Some("`server.id`")
    );
    assert!(changed(&|of| of.server.key = "\u{1b}".to_owned()).starts_with("`server.key` is \"\\u001b\""));
}

/// Why it is refused.
fn said(document: &Document) -> String {
    document.check(None).map_or_else(|why| why.to_string(), |_| "it is good".to_owned())
}

fn is_refused(value: &Value) -> bool {
    serde_json::from_value::<Document>(value.clone()).is_err_and(|_| true)
        || serde_json::from_value::<Document>(value.clone()).is_ok_and(|document| document.check(None).is_err())
}

/// Every value in it, by its path.
fn nodes(value: &Value) -> Vec<String> {
    let mut paths = vec![String::new()];
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    for (name, value) in inner {
        paths.extend(nodes(value).into_iter().map(|path| format!("/{name}{path}")));
    }
    paths
}

fn leaves(value: &Value) -> Vec<String> {
    let is_leaf = |path: &String| !matches!(value.pointer(path), Some(Value::Object(_) | Value::Array(_)));
    nodes(value).into_iter().filter(is_leaf).collect()
}

/// Another value in place of this one: one letter, one bit.
fn change(value: &mut Value, step: u8) {
    let (letter, bit) = (usize::from(step), u32::from(step));
    *value = match &*value {
        Value::Number(number) => (number.as_u64().unwrap() ^ (1 << (bit * 7))).into(),
        Value::String(text) if text.is_empty() => "x".into(),
        Value::String(text) => {
            let at = letter * 5 % text.len();
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << (bit % 7);
            String::from_utf8(bytes).unwrap().into()
        }
        Value::Null => "X".into(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => panic!("there is none"),
    };
}
