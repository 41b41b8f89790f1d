//! The simulation: whole worlds from a seed, which break in every way there is a name for, heal, and are judged.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it tells what it finds")]

mod sim;

fn main() {
    sim::try_pure::main();
}
