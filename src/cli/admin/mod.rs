//! `rejoin admin`: what an operator does to a state directory, or asks of the server that runs on it.
//!
//! What must hold: whatever only reads works beside a running server and changes nothing; whatever writes holds the
//! lock of the directory; a command that fails says what to do.

mod backup;
mod check;
#[cfg(unix)]
mod control;
mod date;
mod desk;
mod dump;
mod import;
mod passwd;
mod repair;
mod restore;
mod roll;
mod users;
mod verify;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

pub use desk::{Ask, Desk};

use crate::ops::host::{HostClock, HostEntropy};
use crate::store::{HostDisk, StoreError};

/// Look after a server's state.
#[derive(Args, Clone, Debug)]
pub struct Admin {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The state directory.
    #[arg(long, global = true, value_name = "DIR", env = "REJOIN_STATE", default_value = "state")]
    pub state: PathBuf,
    /// The directory of the server's keys.
    #[arg(long, global = true, value_name = "DIR", env = "REJOIN_CERTS", default_value = "certs")]
    pub certs: PathBuf,
}

/// What an operator can do.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Take over accounts from a file of lines NAME TAB PASSWORD TAB SCORE (the server must be stopped).
    Import(import::Import),
    /// Look at every byte and recompute the scores; changes nothing.
    Check(check::Check),
    /// Say what a repair would do, or do it (the server must be stopped).
    Repair(repair::Repair),
    /// Write the whole state as JSON, without anything secret.
    Dump(dump::Dump),
    /// List the players.
    Users(users::Users),
    /// Set a player's password and end the player's session (the server must be stopped).
    Passwd(passwd::Passwd),
    /// Copy the state, also while the server runs.
    Backup(backup::Backup),
    /// Put a copy back into an empty state directory.
    Restore(restore::Restore),
    /// Check a match that a player has exported, with nothing but the server's id.
    Verify(verify::Verify),
    /// Show a sentence to every player who is connected.
    #[cfg(unix)]
    Announce(control::Announce),
    /// Begin nothing new, and stop the server when the matches under way are over.
    #[cfg(unix)]
    Drain(control::Drain),
    /// End a player's session.
    #[cfg(unix)]
    Kick(control::Kick),
    /// List who is logged in, and from where (the server must run).
    #[cfg(unix)]
    Sessions(control::Sessions),
    /// List the open matches (the server must run).
    #[cfg(unix)]
    Matches(control::Matches),
    /// Make a snapshot of the running server's state.
    #[cfg(unix)]
    Snapshot(control::Snapshot),
}

/// How a command ended: its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done.
    Done = 0,
    /// Not done.
    Failed = 1,
    /// The state is damaged.
    Damaged = 7,
    /// Another process uses the directory.
    InUse = 8,
}

impl Admin {
    /// Does it, on the host's disk and terminal.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let clock = HostClock::start();
        let (mut out, mut err) = (io::BufWriter::new(io::stdout().lock()), io::stderr().lock());
        let ask = &mut |question: &str| rpassword::prompt_password(question).map(Zeroizing::new);
        let disk = Arc::new(HostDisk);
        let mut desk = Desk { out: &mut out, err: &mut err, disk, clock: &clock, entropy: &HostEntropy, ask };
        let done = self.run_at(&mut desk).and_then(|code| {
            desk.out.flush()?;
            Ok(code)
        });
        let code = done.unwrap_or_else(|error| {
            let code = Code::of(&error);
            if code != Code::Done {
                // With standard error gone there is nobody to tell.
                let _ = writeln!(err, "rejoin admin: {error:#}");
            }
            code
        });
        ExitCode::from(code as u8)
    }

    /// Does it with what is on the desk.
    ///
    /// # Errors
    /// What went wrong and what to do; [`Code::of`] tells the exit code.
    pub fn run_at(&self, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        match &self.command {
            Command::Import(import) => import.run(self, desk),
            Command::Check(check) => check.run(self, desk),
            Command::Repair(repair) => repair.run(self, desk),
            Command::Dump(dump) => dump.run(self, desk),
            Command::Users(users) => users.run(self, desk),
            Command::Passwd(passwd) => passwd.run(self, desk),
            Command::Backup(backup) => backup.run(self, desk),
            Command::Restore(restore) => restore.run(self, desk),
            Command::Verify(verify) => verify.run(desk),
            #[cfg(unix)]
            Command::Announce(announce) => announce.run(self, desk),
            #[cfg(unix)]
            Command::Drain(drain) => drain.run(self, desk),
            #[cfg(unix)]
            Command::Kick(kick) => kick.run(self, desk),
            #[cfg(unix)]
            Command::Sessions(sessions) => sessions.run(self, desk),
            #[cfg(unix)]
            Command::Matches(matches) => matches.run(self, desk),
            #[cfg(unix)]
            Command::Snapshot(snapshot) => snapshot.run(self, desk),
        }
    }
}

impl Code {
    /// The exit code of an error.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        let broken_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        if error.downcast_ref::<io::Error>().is_some_and(broken_pipe) {
            // Whoever reads has seen enough: `rejoin admin dump | head`.
            return Self::Done;
        }
        match error.downcast_ref::<desk::Advised>().map(|advised| &advised.error) {
            Some(StoreError::Damaged { .. } | StoreError::UnfinishedCopy { .. }) => Self::Damaged,
            Some(StoreError::InUse { .. }) => Self::InUse,
            Some(
                StoreError::Io { .. }
                | StoreError::SyncFailed { .. }
                | StoreError::Full { .. }
                | StoreError::NewerFormat { .. }
                | StoreError::OlderFormat { .. }
                | StoreError::OtherServer { .. }
                | StoreError::NotEmpty { .. }
                | StoreError::NoState { .. }
                | StoreError::Restless { .. }
                | StoreError::TooLarge { .. }
                | StoreError::Encode(_),
            )
            | None => Self::Failed,
        }
    }
}
