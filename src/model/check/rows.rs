//! The rows of the search: what may go wrong in each, and how far it is looked.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::{Loss, Memo, Mutant, Row};
use crate::model::games::Seat;

/// Steps in one search, as long as nothing else is said.
const STEPS_MAX: usize = 100_000;

/// Two honest players, a server, three plies, nothing that fails but the network.
fn row(name: &'static str) -> Row {
    Row {
        name,
        plies: 3,
        resign: false,
        wish: false,
        crash: false,
        receipts: false,
        retire: false,
        device: [false; 2],
        wipe: [false; 2],
        loss: None,
        restart: false,
        cheat: None,
        signs: 0,
        mutant: None,
        limit: false,
        states_max: STEPS_MAX,
        memo: Mutex::new(Memo::default()),
        told: AtomicBool::new(false),
    }
}

const X: [bool; 2] = [true, false];
const O: [bool; 2] = [false, true];
const BOTH: [bool; 2] = [true, true];

/// Rows that are searched whole in every run of the tests.
pub(super) fn short() -> Vec<Row> {
    let wiped = Some(Loss::Wiped);
    vec![
        Row { resign: true, ..row("honest, resign, 3 plies") },
        Row { plies: 1, crash: true, ..row("crash anywhere, 1 ply") },
        Row { plies: 1, device: X, ..row("device change, 1 ply") },
        Row { plies: 1, wipe: X, ..row("X wiped, 1 ply") },
        Row { plies: 1, resign: true, loss: wiped, restart: true, ..row("server wiped, resign, 1 ply") },
        Row { cheat: Some(Seat::X), signs: 2, plies: 2, resign: true, ..row("cheat X, 2 signatures, 2 plies") },
        Row { cheat: Some(Seat::O), signs: 2, plies: 2, resign: true, ..row("cheat O, 2 signatures, 2 plies") },
    ]
}

/// The rows of the table, without those that are searched in every run.
pub(super) fn long() -> Vec<Row> {
    let mut rows = honest();
    rows.extend(losses());
    rows.extend(cheats());
    rows
}

fn honest() -> Vec<Row> {
    vec![
        Row { resign: true, plies: 4, ..row("honest, resign, 4 plies") },
        Row { resign: true, receipts: true, ..row("honest, resign, receipts one by one, 3 plies") },
        Row { resign: true, wish: true, ..row("honest, wish to resign, 3 plies") },
        Row { resign: true, retire: true, ..row("honest, filed away, 3 plies") },
        Row { plies: 2, crash: true, ..row("crash anywhere, 2 plies") },
        Row { plies: 3, crash: true, ..row("crash anywhere, 3 plies") },
        Row { wipe: X, plies: 2, ..row("X wiped, 2 plies") },
        Row { wipe: X, ..row("X wiped, 3 plies") },
        Row { wipe: O, plies: 2, resign: true, ..row("O wiped, resign, 2 plies") },
        Row { device: X, plies: 2, ..row("device change, 2 plies") },
        Row { device: X, ..row("device change, 3 plies") },
        Row { device: X, resign: true, plies: 2, ..row("device change, resign, 2 plies") },
        Row { device: O, resign: true, plies: 2, ..row("device change of O, resign, 2 plies") },
        Row { device: BOTH, plies: 1, ..row("both change devices, 1 ply") },
        Row { device: BOTH, plies: 2, ..row("both change devices, 2 plies") },
    ]
}

fn losses() -> Vec<Row> {
    let (wiped, restored) = (Some(Loss::Wiped), Some(Loss::Restored));
    vec![
        Row { loss: wiped, resign: true, restart: true, ..row("server wiped, resign, 3 plies") },
        Row { loss: restored, resign: true, restart: true, ..row("server restored, resign, 3 plies") },
        Row {
            loss: wiped,
            device: X,
            plies: 1,
            resign: true,
            limit: true,
            ..row("server wiped, device change, 1 ply")
        },
        Row { loss: wiped, device: X, plies: 2, limit: true, ..row("server wiped, device change, 2 plies") },
        Row { loss: restored, device: X, plies: 1, ..row("server restored, device change, 1 ply") },
        Row {
            loss: restored,
            device: X,
            plies: 1,
            resign: true,
            limit: true,
            ..row("server restored, device change, resign, 1 ply")
        },
    ]
}

fn cheats() -> Vec<Row> {
    let (x, o, wiped) = (Some(Seat::X), Some(Seat::O), Some(Loss::Wiped));
    vec![
        Row { cheat: x, signs: 4, resign: true, ..row("cheat X, 4 signatures, 3 plies") },
        Row { cheat: o, signs: 3, resign: true, plies: 4, ..row("cheat O, 3 signatures, 4 plies") },
        Row { cheat: x, signs: 3, retire: true, resign: true, ..row("cheat X, filed away, 3 signatures") },
        Row { cheat: o, signs: 3, retire: true, resign: true, ..row("cheat O, filed away, 3 signatures") },
        Row { cheat: x, signs: 3, loss: wiped, resign: true, ..row("cheat X, server wiped, 3 signatures") },
        Row { cheat: o, signs: 3, loss: wiped, resign: true, ..row("cheat O, server wiped, 3 signatures") },
        Row { cheat: o, signs: 3, device: X, plies: 2, resign: true, ..row("cheat O, device change of X, 2 plies") },
        Row { cheat: o, signs: 3, device: X, ..row("cheat O, device change of X, 3 plies") },
        Row { cheat: x, signs: 3, device: O, plies: 2, resign: true, ..row("cheat X, device change of O, 2 plies") },
    ]
}

/// Rules left out, each with a row in which it is missed.
pub(super) fn mutants() -> Vec<Row> {
    let with = |mutant: Mutant, row: Row| Row { mutant: Some(mutant), ..row };
    vec![
        with(Mutant::KeyOutsideTheFile, Row { wipe: X, ..row("the key is kept outside the match file") }),
        with(Mutant::SendBeforeSync, Row { crash: true, plies: 1, ..row("what is sent is not on disk") }),
        with(Mutant::GrantsUnasked, Row { device: X, plies: 2, ..row("the opponent is not asked to promise") }),
        with(Mutant::TakesAfterPromise, Row { device: X, plies: 2, ..row("after a promise old entries are taken") }),
        with(Mutant::SignsAfterPromise, Row { device: X, plies: 2, ..row("after a promise entries are signed") }),
        with(
            Mutant::BelievesTheServer,
            Row {
                cheat: Some(Seat::X),
                signs: 3,
                loss: Some(Loss::Wiped),
                ..row("verdicts are believed without evidence")
            },
        ),
        with(
            Mutant::RecoveringSaysHeld,
            Row { loss: Some(Loss::Restored), device: X, plies: 1, ..row("a recovering server gives receipts") },
        ),
        with(
            Mutant::RecoveringGrants,
            Row { loss: Some(Loss::Restored), device: X, plies: 1, ..row("a recovering server grants") },
        ),
        with(Mutant::GrantsAfterVerdict, Row { device: X, resign: true, plies: 1, ..row("a grant after the verdict") }),
        with(
            Mutant::StaleHaveCounts,
            Row { loss: Some(Loss::Restored), device: X, plies: 1, ..row("a stale device speaks for its seat") },
        ),
        with(
            Mutant::OldReceiptsCount,
            Row { device: O, plies: 1, receipts: true, ..row("receipts of an old epoch count") },
        ),
        with(
            Mutant::AdoptsTheSecond,
            Row { cheat: Some(Seat::X), signs: 3, ..row("of two entries the second is adopted") },
        ),
    ]
}
