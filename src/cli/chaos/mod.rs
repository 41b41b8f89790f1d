//! `rejoin chaos`: real processes are broken, and what is left is judged by the oracle of the simulation.
//!
//! What must hold: nothing that was started outlives the command, however that ends; nothing outside of its own temporary
//! directory is touched; and what was not put to the test is never called held.
//!
//! ```text
//!  scenario + seed ──> Stage: server, players, proxies ──lines──> history ──┐
//!                        ^ Strikes, at their times                          ├──> oracle ──> report
//!                        └ Guardian                    their files ─> finals ┘
//! ```

mod bounds;
mod campaign;
mod clock;
mod damage;
mod doctor;
mod ending;
mod foreign;
mod guard;
mod heal;
mod library;
mod logged;
mod network;
mod player;
mod power;
mod process;
mod run;
mod settled;
mod stage;
mod strike;
mod strikes;
mod traced;
mod ways;
mod words;

use std::process::ExitCode;

/// Break real processes, and prove that nothing is lost
#[derive(Debug, clap::Args)]
pub(super) struct Chaos {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Break real processes by a scenario, and judge what is left (exit code 0 held, 1 violated, 2 inconclusive)
    Run(run::Run),
    /// The scenarios that come with the program
    List,
    /// Say which faults this machine allows, and why not the others
    Doctor(doctor::Doctor),
    /// Thousands of one kind, fast, with a running table (exit codes as of `run`)
    Campaign(campaign::Campaign),
    /// Watch over a run
    #[command(hide = true)]
    Guard(guard::Guard),
}

impl Chaos {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Run(run) => run.run(),
            What::List => list(),
            What::Doctor(doctor) => Ok(doctor.run()),
            What::Campaign(campaign) => campaign.run(),
            What::Guard(guard) => guard.run(),
        }
    }
}

fn list() -> anyhow::Result<ExitCode> {
    for named in library::all()? {
        println!("{:22} {}", named.name, named.scenario.about);
    }
    Ok(ExitCode::SUCCESS)
}
