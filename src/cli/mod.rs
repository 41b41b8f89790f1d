//! The command line: one file a subcommand. Flags go before the environment, that before `rejoin.toml`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is what the terminal is for")]

pub mod admin;
mod bench;
mod bot;
#[cfg(target_os = "linux")]
mod chaos;
#[cfg(unix)]
mod child;
mod config_file;
#[cfg(unix)]
mod demo;
mod direct;
#[doc(hidden)]
pub mod keepers;
#[cfg(unix)]
mod ledger;
mod logs;
mod monitor;
mod play;
mod server;
#[cfg(unix)]
mod story;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::model::time::Entropy;
use crate::net::certs::CertsDir;
use crate::net::host::HostNet;
use crate::ops::host::{HostClock, HostEntropy};
use crate::ops::work::HostWorker;
use crate::server::Seams;
use crate::server::hasher::{HashThreads, Hasher, spare_cores};
use crate::server::journal::OnThread;
use crate::store::HostDisk;

/// Play two-player games that survive the death of any machine in them.
#[derive(Debug, Parser)]
#[command(name = "rejoin", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve matches
    Server(server::Server),
    /// Play, at a prompt
    Play(play::Play),
    /// Watch a server die twice in mid-game while nothing is lost
    #[cfg(unix)]
    Demo(demo::Demo),
    /// Play by itself against whoever asks
    Bot(bot::Bot),
    /// Break real processes, and prove that nothing is lost
    #[cfg(target_os = "linux")]
    Chaos(chaos::Chaos),
    /// Look after a server's files
    Admin(admin::Admin),
    /// Read the event logs of a server or a client
    Logs(logs::LogsArgs),
    /// Watch a server: who is here, what is played, who was away how long
    Monitor(monitor::Monitor),
    /// Measure this program on this machine
    Bench(bench::Bench),
}

/// Runs what was typed, and says how it ended.
#[must_use]
pub fn run() -> ExitCode {
    small_pages();
    let parsed = config_file::with_defaults(Cli::command()).and_then(|command| {
        let matches = command.try_get_matches()?;
        Ok(Cli::from_arg_matches(&matches)?)
    });
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(usage) => usage.exit(),
            Err(other) => return failed(&other, USAGE),
        },
    };
    let result = match cli.command {
        Command::Server(server) => server.run(),
        Command::Play(play) => play.run(),
        #[cfg(unix)]
        Command::Demo(demo) => demo.run(),
        Command::Bot(bot) => bot.run(),
        Command::Admin(admin) => return admin.run(),
        Command::Logs(logs) => logs.run(),
        Command::Monitor(monitor) => monitor.run(),
        Command::Bench(bench) => bench.run(),
        #[cfg(target_os = "linux")]
        Command::Chaos(chaos) => chaos.run(),
    };
    result.unwrap_or_else(|error| failed(&error, 1))
}

/// Asks the system for small pages of memory: an idle server touches a little of many, and with pages of 2 MiB that is
/// twice the memory for nothing.
fn small_pages() {
    // Where the system does not know of it there is nothing to do.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// The machine we run on, for a server.
fn host_seams(certs: &Path, provider: Arc<rustls::crypto::CryptoProvider>) -> Seams {
    let entropy: Arc<dyn Entropy> = Arc::new(HostEntropy);
    let for_hashes = Arc::clone(&entropy);
    Seams {
        worker: Arc::new(HostWorker),
        net: Arc::new(HostNet),
        disk: Arc::new(HostDisk),
        certs: Arc::new(CertsDir::at(certs)),
        clock: Arc::new(HostClock::start()),
        entropy,
        provider,
        hasher: Arc::new(move |done| {
            let threads = HashThreads::spawn(spare_cores(), &for_hashes, &done)?;
            Ok(Box::new(threads) as Box<dyn Hasher>)
        }),
        journal: Arc::new(OnThread),
    }
}

/// The exit code of design §8 for what was typed wrongly.
const USAGE: u8 = 2;

/// Says what went wrong, once, and gives the exit code.
fn failed(error: &anyhow::Error, code: u8) -> ExitCode {
    anstream::eprintln!("rejoin: {}", chain(error));
    ExitCode::from(code)
}

/// What went wrong and why; an error that names its cause by itself does not have it named twice.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_named_once() {
        let source = std::io::Error::other("no such thing");
        let listen = crate::server::ServerError::Listen { addr: ([127, 0, 0, 1], 1).into(), source };
        assert_eq!(chain(&listen.into()), "cannot listen on 127.0.0.1:1: no such thing");
        let wrapped = anyhow::anyhow!("no such thing").context("in rejoin.toml");
        assert_eq!(chain(&wrapped), "in rejoin.toml: no such thing");
    }
}
