//! The pure lane: whole worlds without sockets, in one thread, for volume.
//!
//! The engine, the store, the players and their files are the real ones, on disks that fail; what their shells do
//! between them – connections, syncs, dials, syscalls – is done here by the world's time, which jumps from one thing
//! that is due to the next.
//!
//! ```text
//!  plan ──> World ──strike──> machines, rules of the network
//!             │
//!             ├─ server: Engine + store on FaultyDisk, a Guest for each connection
//!             ├─ device: Player + client Store on FaultyDisk, a Human at the keyboard
//!             └─ net: connections, in order; latency, cuts, loss
//!  after heal_at: look_for_health; in the end: keepers, doors, figures ──> oracle
//! ```

#![allow(clippy::wildcard_enum_match_arm, reason = "a simulation picks what it looks for among messages and events")]

mod alone;
mod clock;
mod device;
mod echo;
mod ending;
mod entropy;
mod guest;
mod heal;
mod journal;
mod liar;
mod log;
mod losses;
mod machine;
mod meeting;
mod net;
mod post;
mod seats;
mod server;
mod shown;
mod silence;
mod strike;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use rejoin::model::key::memo;

use self::world::World;
use super::outcome::Outcome;
use super::plan::Plan;

/// What a suite that is worth its name meets in this lane.
pub(crate) const SOMETIMES: &[&str] = &[
    "agreed while the server was down",
    "back after five dials or more",
    "both reconnect at once",
    "client killed right after a send",
    "clock jumped backwards",
    "crash between sync and acknowledgement",
    "crash between write and sync",
    "damage named at start",
    "damaged match file set aside",
    "damaged snapshot passed over",
    "disk full at a client",
    "disk full in a snapshot",
    "disk full, and the server went on",
    "duplicate entry taken as the same",
    "entry with a wrong signature refused",
    "foul convicted",
    "hello before the start was on disk",
    "journal failed, and was recovered",
    "link lost in the TLS handshake",
    "match finished while the server was down",
    "match taken back from a player",
    "move acknowledged while the server was down",
    "power cut in a snapshot",
    "power cut in a write of a client",
    "power cut in a write of the journal",
    "power cut in recovery",
    "promise given",
    "recovery from a snapshot",
    "resume refused",
    "seat granted anew",
    "seat moved",
    "server back during direct play",
    "server killed right after a send",
    "session taken over by a newer connection",
    "snapshot made",
    "state found to be lost",
    "state rolled back, as a player says",
    "stopped in order",
    "torn tail cut at recovery",
    "unfinished file removed at recovery",
    "verdict corrected",
];

/// Runs a world.
pub(crate) fn run(plan: &Plan, trace: bool) -> Outcome {
    memo::begin();
    let mut world = World::new(plan, trace);
    let done = catch_unwind(AssertUnwindSafe(|| {
        world.begin();
        world.run();
        world.judge();
    }));
    if let Err(panic) = done {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        world.violate("panic", said.unwrap_or_else(|| "without a word".to_owned()));
    }
    memo::end();
    Outcome {
        violations: world.violations,
        simulated_ms: world.now,
        hash: world.hash,
        coverage: world.coverage,
        trace: world.trace.unwrap_or_default(),
    }
}

/// Whether there is such a fault here.
pub(crate) const fn knows(_kind: &super::plan::Kind) -> bool {
    true
}
