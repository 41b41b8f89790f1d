//! What real servers and clients leave on a disk, read as the simulation reads it and judged by its oracle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rejoin::chaos::finals::{Act, Finals, Keeper, Kept};
use rejoin::chaos::history::{Call, Points, Record, Told, What};
use rejoin::chaos::oracle::{Verdicts, judge};
use rejoin::cli::keepers::{player_keeper, secrets_in, server_keeper, server_sizes};
use rejoin::model::key::ServerId;
use rejoin::store::{Disk, HostDisk};

use crate::seed::people::{PASSWORD, Pair, Player, X_WINS, home};
use crate::seed::server::Server;

fn disk() -> Arc<dyn Disk> {
    Arc::new(HostDisk)
}

/// Every file in a directory and below, by path.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        // Not the socket that a killed server has left behind.
        } else if path.is_file() {
            all.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    all
}

/// What all keepers hold, when nobody runs any more; reading it changes nothing.
fn read(server: &Server, devices: &[(&str, &Path)]) -> Finals {
    let (id, disk) = (server.id(), disk());
    let before = files(&server.dir);
    let mut finals = Finals::default();
    let (keeper, ledger) = server_keeper(&disk, &server.dir.join("state"), id).unwrap();
    finals.ledger = ledger;
    finals.figures.sizes = server_sizes(&disk, &server.dir.join("state"), id);
    assert_eq!(finals.figures.sizes.len(), 4);
    finals.keepers.insert("server".to_owned(), keeper);
    for (device, state) in devices {
        let user = device.split('.').next().unwrap();
        finals.keepers.insert((*device).to_owned(), player_keeper(&disk, state, id, user).unwrap());
    }
    assert!(files(&server.dir) == before, "reading changes nothing");
    finals
}

/// What a player was shown, as the lines that the oracle reads. Links are left out: nobody has noted the times.
fn history(player: &mut Player, device: &str) -> Vec<Record> {
    let lines = player.heard.all().iter().map(|line| serde_json::from_value(line.clone()).unwrap());
    let told = lines.filter(|told| !matches!(told, Told::Link { .. } | Told::Other));
    told.map(|told| Record { at_ms: 0, who: device.to_owned(), what: What::Told { told } }).collect()
}

/// Somebody who does not play asks for the points.
fn leaders(player: &mut Player) -> [Record; 2] {
    let rows: Vec<Points> = serde_json::from_value(player.done("leaders")["rows"].clone()).unwrap();
    assert_eq!(rows.len(), 2);
    let asks = What::Invoke { op: 0, call: Call::Ask { word: "leaders".to_owned() } };
    [asks, What::Told { told: Told::Leaders { rows } }].map(|what| Record { at_ms: 0, who: "looker".to_owned(), what })
}

fn assert_good(verdicts: &Verdicts, exercised: &[&str]) {
    assert_eq!(verdicts.violations, []);
    for invariant in exercised {
        assert!(verdicts.exercised.contains(*invariant), "{invariant} is not among {:?}", verdicts.exercised);
    }
}

fn only(keeper: &Keeper) -> &Kept {
    keeper.matches.values().next().unwrap()
}

#[test]
fn a_match_that_lost_its_server_is_read_alike_at_all_three_keepers() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.seats.iter_mut().for_each(|player| drop(player.until(&[("event", "path".into()), ("path", "direct".into())])));
    pair.play(&X_WINS[..2]);
    server.kill();
    pair.play(&X_WINS[2..4]);
    server.start_again();
    pair.both_live();
    pair.play(&X_WINS[4..]);
    pair.x_has_won();
    let names = pair.seats.each_ref().map(|player| player.name.clone());
    let points = leaders(&mut pair.seats[0]);
    pair.seats.iter_mut().for_each(Player::kill);
    server.kill();

    let states = pair.seats.each_ref().map(|player| player.state.clone());
    let devices = [(names[0].as_str(), states[0].as_path()), (names[1].as_str(), states[1].as_path())];
    let finals = read(&server, &devices);
    for keeper in finals.keepers.values() {
        let kept = only(keeper);
        assert_eq!((kept.players.clone(), kept.game.as_str()), (names.clone(), "tictactoe"));
        let acts: Vec<Act> = kept.entries.iter().map(|entry| entry.act.clone()).collect();
        assert_eq!(acts, X_WINS.map(|(row, col)| Act::Cell(row, col)));
        assert_eq!(kept.verdict.as_ref().map(|verdict| verdict.why.as_str()), Some("board"));
    }
    let mut told: Vec<Record> = history(&mut pair.seats[1], &names[1]);
    told.extend(history(&mut pair.seats[0], &names[0]));
    told.extend(points);
    assert_good(&judge(&told, &finals), &["I1", "I2", "I3", "I4", "I5"]);
    let Some(What::Told { told: Told::Leaders { rows } }) = told.last_mut().map(|record| &mut record.what) else {
        panic!()
    };
    rows[0].points += 1;
    assert!(judge(&told, &finals).violations.iter().any(|found| found.invariant == "I4"), "the points are looked at");

    let [one, other] = states;
    let server_id = server.id().to_string();
    let users = [(&one, &names[0]), (&other, &names[1])]
        .map(|(state, name)| state.join(&server_id).join(format!("user-{name}")));
    let state = server.dir.join("state");
    let dirs = [users[0].as_path(), users[1].as_path(), state.as_path()];
    assert_eq!(secrets_in(&disk(), &dirs, &[PASSWORD.to_owned()]), [""; 0]);
    assert_ne!(secrets_in(&disk(), &dirs, &["mnk".to_owned()]), [""; 0], "it does look");
}

#[test]
fn a_seat_that_moved_is_chained_over_both_grants() {
    let home = home();
    let mut server = Server::start(home.path());
    let mut pair = Pair::join(&server);
    pair.play(&X_WINS[..3]);
    pair.seats[1].kill();
    let (name, old) = (pair.seats[1].name.clone(), pair.seats[1].state.clone());
    let mut new = Player::open(&server, &format!("{name}-elsewhere"));
    new.name.clone_from(&name);
    new.done(&format!("login {name} {PASSWORD}"));
    new.until(&[("event", "notice".into()), ("code", "seat-taken".into())]);
    let mut before = std::mem::replace(&mut pair.seats[1], new);
    pair.play(&X_WINS[3..]);
    pair.x_has_won();
    pair.seats.iter_mut().for_each(Player::kill);
    server.kill();

    let newer = format!("{name}.2");
    let states = pair.seats.each_ref().map(|player| player.state.clone());
    let stays = pair.seats[0].name.clone();
    let devices = [(stays.as_str(), states[0].as_path()), (newer.as_str(), &states[1]), (name.as_str(), &old)];
    let mut finals = read(&server, &devices);
    finals.wiped.push(name.clone());
    for keeper in ["server", &stays, &newer] {
        let regrants: Vec<u16> = only(&finals.keepers[keeper])
            .entries
            .iter()
            .filter(|entry| entry.regrant.is_some())
            .map(|entry| entry.ply)
            .collect();
        assert_eq!(regrants, [3], "{keeper}");
    }
    assert_eq!(only(&finals.keepers[&name]).entries.len(), 3, "the old device has what it had");
    let mut told = history(&mut before, &name);
    told.extend(history(&mut pair.seats[0], &stays));
    told.extend(history(&mut pair.seats[1], &newer));
    assert_good(&judge(&told, &finals), &["I1", "I2", "I3", "I4", "I5"]);
    finals.keepers.get_mut("server").unwrap().matches.values_mut().for_each(|kept| drop(kept.entries.pop()));
    assert!(judge(&told, &finals).violations.iter().any(|found| found.invariant == "I1"));
}

/// Snapshot, archive and journal, points from an import, and a verdict that was corrected after its match was filed away.
#[test]
fn a_state_of_all_kinds_of_files_gives_every_match_and_all_points() {
    let state = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden/state-v2");
    let server: ServerId = crate::wire::samples::server();
    let (keeper, ledger) = server_keeper(&disk(), &state, server).unwrap();
    assert_eq!(keeper.matches.len(), 5);
    let seats_moved = keeper.matches.values().flat_map(|kept| &kept.entries).filter(|entry| entry.regrant.is_some());
    assert_eq!(seats_moved.count(), 1);
    assert_eq!(ledger.imported, BTreeMap::from([("bob".to_owned(), 10)]));
    let finals = Finals {
        keepers: BTreeMap::from([("server".to_owned(), keeper)]),
        ledger,
        liars: vec!["alice".to_owned()],
        ..Finals::default()
    };
    assert_good(&judge(&[], &finals), &["I3", "I4", "I15"]);
}
