//! Parse, run, exit code.

use std::process::ExitCode;

/// A large state is read by several threads into millions of small pieces; the system's allocator spends a third of
/// the start on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rejoin::cli::run()
}
