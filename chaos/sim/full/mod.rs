//! The full lane: the real server and the real clients over simulated machines, network, disks and time.
//!
//! What must hold: a world depends on its plan alone; it is run on a fresh thread, because libraries keep random numbers
//! for each thread. The machines, their runtimes and their time are turmoil's; the network is `wires`, the disk is
//! `rejoin::store::faulty`. Players live outside of their machines, as people do.
//!
//! Linux on x86-64 only: elsewhere the keys of TLS come from the operating system, so that only what is shown is the
//! same every time, and not the hash.

#[cfg(not(tokio_unstable))]
compile_error!(
    "the simulation needs `--cfg tokio_unstable`, which .cargo/config.toml sets and a RUSTFLAGS in the environment drops"
);

mod ending;
mod faults;
mod golden;
mod liar;
mod log;
mod losses;
mod machine;
mod net;
mod other_disk;
mod seams;
mod wires;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use rejoin::chaos::oracle::Violation;

use super::outcome::Outcome;
use super::plan::Plan;
use world::World;

/// When worlds begin, in milliseconds since 1970: the first of September 2026.
pub(crate) const EPOCH_MS: u64 = 1_788_220_800_000;
/// Where the server listens.
const SERVER_PORT: u16 = 3000;
/// How far the world goes in one step.
const TICK_MS: u64 = 10;

/// What a good suite meets now and then.
pub(crate) const SOMETIMES: &[&str] = &[
    "killed with bytes not synced",
    "torn tail cut at recovery",
    "half-written file removed at recovery",
    "snapshot made",
    "link lost in the TLS handshake",
    "match decided while the server was down",
    "move seen while the server was down",
    "server back during direct play",
    "both back at once",
    "many attempts before a link",
    "disk full",
    "clock jumped backwards",
    "seat moved",
    "foul convicted",
    "verdict corrected",
    "match taken from a player",
    "loss of state noticed",
    "match suspended",
    "result agreed on by the players",
    "resume refused",
    "process stopped and gone on",
    "byte changed on the way",
    "power lost during recovery",
];

thread_local! {
    /// What a panic has said on this thread while a world ran.
    static SAID: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs the world of a plan; call it on a fresh thread. With `trace` it tells what happens.
pub(crate) fn run(plan: &Plan, trace: bool) -> Outcome {
    listen_to_panics();
    SAID.set(Some(Vec::new()));
    let mut world = World::new(plan, trace);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    let said = SAID.take().unwrap_or_default();
    if ran.is_err() || !said.is_empty() {
        let why = if said.is_empty() { "without a word".to_owned() } else { said.join("; ") };
        let violation = Violation { invariant: "panic".to_owned(), why };
        return world.panicked(violation);
    }
    world.end()
}

/// Keeps what is said by panics in worlds, once for the whole program.
fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let kept = SAID.with_borrow_mut(|said| said.as_mut().map(|said| said.push(info.to_string())));
            if kept.is_none() {
                usual(info);
            }
        }));
    });
}

/// Whether there is such a fault here: those of worlds with a focus are made in the pure lane alone.
pub(crate) const fn knows(kind: &super::plan::Kind) -> bool {
    kind.is_usual()
}
