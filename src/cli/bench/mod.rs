//! `rejoin bench`: measurements that anybody can repeat.

#[cfg(unix)]
mod bytes;
#[cfg(unix)]
mod counted;
#[cfg(unix)]
mod direct;
#[cfg(target_os = "linux")]
mod footprint;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(unix)]
mod kinds;
#[cfg(target_os = "linux")]
mod logging;
#[cfg(unix)]
mod machine;
#[cfg(unix)]
mod players;
#[cfg(target_os = "linux")]
mod process;
#[cfg(unix)]
mod recover;
#[cfg(target_os = "linux")]
mod sockets;
mod start;

use std::process::ExitCode;

use serde::Serialize;

/// Measure this program on this machine
#[derive(Debug, clap::Args)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// From the start of a server process to the first TLS handshake answered
    Start(start::Start),
    /// Kill a server in mid-game, again and again, and measure how its clients come back
    #[cfg(unix)]
    Recover(recover::Recover),
    /// Count the bytes of a match on every link, from the invitation to the verdict
    #[cfg(unix)]
    Bytes(bytes::Bytes),
    /// Measure how fast the direct path is there, and how fast moves come over it
    #[cfg(unix)]
    Direct(direct::Direct),
    /// What server and clients cost: CPU, memory and bytes of a server alone, with two clients, with two in a match
    #[cfg(target_os = "linux")]
    Footprint(footprint::Footprint),
    /// What the server pays for sessions that only send heartbeats
    #[cfg(target_os = "linux")]
    Idle(idle::Idle),
    /// What the log and the metrics take from a server whose players move as fast as they can
    #[cfg(target_os = "linux")]
    Logging(logging::Logging),
}

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Start(start) => start.run(),
            #[cfg(unix)]
            What::Recover(recover) => recover.run(),
            #[cfg(unix)]
            What::Bytes(bytes) => bytes.run(),
            #[cfg(unix)]
            What::Direct(direct) => direct.run(),
            #[cfg(target_os = "linux")]
            What::Footprint(footprint) => footprint.run(),
            #[cfg(target_os = "linux")]
            What::Idle(idle) => idle.run(),
            #[cfg(target_os = "linux")]
            What::Logging(logging) => logging.run(),
        }
    }
}

/// The spread of some measurements, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Spread {
    count: usize,
    min: f64,
    median: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl Spread {
    /// Of at least one measurement.
    fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let at = |share: f64| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let place = (share * (samples.len().saturating_sub(1)) as f64).round() as usize;
            samples.get(place).copied()
        };
        Some(Self {
            count: samples.len(),
            min: at(0.0)?,
            median: at(0.5)?,
            p95: at(0.95)?,
            p99: at(0.99)?,
            max: at(1.0)?,
        })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, min, median, p95, p99, max } = self;
        write!(
            to,
            "min {min:7.2}  median {median:7.2}  p95 {p95:7.2}  p99 {p99:7.2}  max {max:7.2} ms  ({count} samples)"
        )
    }
}
