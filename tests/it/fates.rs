//! The three keepers of a match under every combination of fates: real clients and a real server, with TLS between all
//! of them, on disks that lose what was not synced. `src/model/world/tests.rs` has the same table for the model alone.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks for")]

mod window;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use rejoin::model::client::event::{Event, PathKind};
use rejoin::model::statement::Fared;
use world::World;

const X_WINS: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];
/// Worlds that are played at the same time.
const AT_ONCE: usize = 8;

/// What becomes of one keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Alive,
    /// The power goes; it starts again on what was synced and some of the rest.
    Killed,
    /// Its disk is lost: a player goes on at another device; the operator puts back a copy from before the match.
    Wiped,
}

/// Whether the copy that is put back knows of the logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sessions {
    Kept,
    Lost,
}

/// What becomes of X, O and the server after that many moves.
#[derive(Clone, Copy, Debug)]
struct Case {
    plies: usize,
    fates: [Fate; 3],
    sessions: Sessions,
}

const FATES: [Fate; 3] = [Fate::Alive, Fate::Killed, Fate::Wiped];

/// Every combination but those that take two disks away; a lost server comes back with and without the sessions.
fn table() -> Vec<Case> {
    let mut cases = Vec::new();
    for plies in 0..=X_WINS.len() {
        for at in 0..27 {
            let fates = [FATES[at % 3], FATES[at / 3 % 3], FATES[at / 9]];
            if fates.iter().filter(|fate| **fate == Fate::Wiped).count() < 2 {
                cases.push(Case { plies, fates, sessions: Sessions::Kept });
            }
        }
    }
    assert_eq!(cases.len(), 6 * 20);
    let lost = cases.iter().filter(|case| case.fates[2] == Fate::Wiped).copied();
    let lost: Vec<Case> = lost.map(|case| Case { sessions: Sessions::Lost, ..case }).collect();
    cases.extend(lost);
    cases
}

async fn survive(case: Case, seed: u64) {
    let Case { plies, fates, sessions } = case;
    let text = format!("seed {seed}: after {plies} plies X, O, server are {fates:?}, sessions {sessions:?}");
    let mut world = World::seated(text, seed, sessions).await;
    world.play(0..plies).await;
    world.strike(&case).await;
    world.play(plies..X_WINS.len()).await;
    world.settle().await;
    for number in 0..2 {
        world.check_points(number).await;
    }
    world.kill_server();
    world.restart_server();
    for number in 0..2 {
        world.check_points(number).await;
    }
    world.check_boards();
}

/// Plays a world for each case, some at the same time, and says which have failed.
fn survive_all(cases: Vec<Case>) {
    let numbered = Mutex::new(cases.into_iter().zip(0..));
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = numbered.lock().unwrap().next();
                    let Some((case, seed)) = next else { return };
                    if catch_unwind(AssertUnwindSafe(|| run(survive(case, seed)))).is_err() {
                        failed.lock().unwrap().push(case);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} have failed: {failed:#?}", failed.len());
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

#[test]
fn whatever_becomes_of_the_keepers_no_acknowledged_move_is_lost_and_the_match_counts_once() {
    survive_all(table());
}

/// E7, E6: who comes back alone delivers both players' entries, and the other learns of it later.
async fn returns_alone(seat: usize) {
    let case = format!("{} returns alone", ["the winner", "the loser"][seat]);
    let mut world = World::seated(case, seat as u64, Sessions::Kept).await;
    world.play(0..2).await;
    let direct = |event: &Event| matches!(event, Event::Path { path: PathKind::Direct });
    world
        .until("the direct path", |windows| windows.iter().all(|window| window.shown.iter().any(direct)).then_some(()))
        .await;
    world.kill_server();
    world.play(2..X_WINS.len()).await;
    for (of, fared) in [(0, Fared::Win), (1, Fared::Loss)] {
        let number = world.number(of);
        let agreed = |windows: &[window::Window; 2]| {
            let window = &windows[number];
            let agreed = window.status().seated.is_some_and(|seated| seated.agreed);
            (agreed && window.result() == Some((fared, false))).then_some(())
        };
        world.until("both to have signed", agreed).await;
    }
    let away = world.number(1 - seat);
    world.kill_window(away).await;
    world.restart_server();
    world.settle_at(seat).await;
    world.check_points(1 - away).await;
    world.windows[away].start();
    world.settle().await;
    for number in 0..2 {
        world.check_points(number).await;
    }
    world.check_boards();
}

#[test]
fn the_winner_returns_alone() {
    run(returns_alone(0));
}

#[test]
fn the_loser_returns_alone() {
    run(returns_alone(1));
}
