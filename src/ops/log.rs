//! The log on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Writes events of this program to standard error, one line each. `REJOIN_LOG` takes a filter such as `debug`.
/// A second call does nothing.
pub fn start() {
    let filter = EnvFilter::try_from_env("REJOIN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Somebody else's log, in a test, is as good.
    let _ = lines.try_init();
}
