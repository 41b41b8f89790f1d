//! `rejoin chaos doctor`: which faults this machine allows, and why not the others.
//!
//! What must hold: a fault that is said to be possible can be carried out; the others have a reason that says what would
//! make them possible.

use std::process::ExitCode;

use super::clock::FalseClock;
use super::network::Network;
use super::power::PowerDisk;
use super::traced::Traced;
use crate::chaos::scenario::{Fault, Target};

/// Say which faults this machine allows, and why not the others
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {}

impl Doctor {
    /// A line for each.
    pub(super) fn run(self) -> ExitCode {
        let (mut possible, mut not) = (0, 0);
        for fault in Fault::ALL {
            match allows(*fault, None) {
                Ok(how) => {
                    possible += 1;
                    println!("yes  {fault:16} {} ({how})", fault.about());
                }
                Err(why) => {
                    not += 1;
                    println!("no   {fault:16} {}: {why}", fault.about());
                }
            }
        }
        println!("{possible} kinds of faults are possible here, {not} are not");
        ExitCode::SUCCESS
    }
}

/// How a fault is carried out here; else why it is not.
pub(super) fn allows(fault: Fault, target: Option<Target>) -> Result<&'static str, String> {
    let only_server = |how| match target {
        None | Some(Target::Server) => Ok(how),
        Some(target) => Err(format!("only the server can be the target, not {target}")),
    };
    match fault {
        Fault::Kill | Fault::Pause | Fault::RestartLoop | Fault::SlowCpu => Ok("signals"),
        Fault::PlannedRestart => Ok("SIGTERM; for a player the end of its input"),
        Fault::Cut
        | Fault::Reset
        | Fault::HalfOpen
        | Fault::Wall
        | Fault::OneWayUp
        | Fault::OneWayDown
        | Fault::Delay
        | Fault::Jitter
        | Fault::Trickle
        | Fault::ChangedBytes
        | Fault::Refuse => Ok("a proxy"),
        Fault::Descriptors | Fault::LittleMemory => Ok("a limit of the process"),
        Fault::Damage | Fault::Zeroes | Fault::Deleted | Fault::Truncate | Fault::OlderState => {
            only_server("its files, while it is down")
        }
        Fault::Wipe => match target {
            Some(Target::Server | Target::All) => {
                Err("accounts have one copy, at the server: only a player's disk can be lost".to_owned())
            }
            _ => Ok("its files, while it is down"),
        },
        Fault::KillAtSync | Fault::KillAtRename | Fault::DiskFull | Fault::ReadOnly | Fault::DiskError => {
            Traced::is_possible().and_then(|()| only_server("strace, which makes its system calls fail"))
        }
        Fault::PowerCut => {
            PowerDisk::is_possible().map(|()| "a file system in a file, copied as it is and mounted again")
        }
        Fault::ClockJump => FalseClock::is_possible().map(|()| "libfaketime"),
        Fault::Upgrade => only_server("`--old PROGRAM` names what is replaced"),
        Fault::NewAddress if matches!(target, Some(Target::Server | Target::All)) => {
            Err("only a player's machine can move".to_owned())
        }
        Fault::NewAddress | Fault::Apart | Fault::ApartOneWay => {
            Network::is_possible().map(|()| "a network namespace for each process")
        }
    }
}
