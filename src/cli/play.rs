//! `rejoin play`: the player's client, at a prompt, in plain lines or as JSON.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use etcetera::BaseStrategy;

use super::direct::{Direct, Switch};
use crate::client::{self, Config, Seams, ui};
use crate::model::id::Name;
use crate::net::address::Address;
use crate::net::host::HostNet;
use crate::net::tls;
use crate::ops;
use crate::ops::host::{HostClock, HostEntropy};
use crate::ops::work::HostWorker;
use crate::store::HostDisk;

/// Play against somebody, at a prompt or from a script.
#[derive(Clone, Debug, Args)]
pub(super) struct Play {
    /// Where the server is; with #ID only the server of that id is meant
    #[arg(long, env = "REJOIN_SERVER", value_name = "HOST:PORT[#ID]", default_value = "localhost:3000")]
    pub server: Address,
    /// Where keys and matches are kept [default: rejoin in the user's data directory]
    #[arg(long, env = "REJOIN_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Trust the servers that this authority vouches for (PEM); names and dates are checked
    #[arg(long, env = "REJOIN_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Trust a server that was never seen before, and remember it
    #[arg(long)]
    pub trust_new: bool,
    /// Whose session to take up
    #[arg(long, env = "REJOIN_USER", value_name = "NAME", value_parser = Name::new)]
    pub user: Option<Name>,
    /// One JSON object a line on standard output; the same commands on standard input
    #[arg(long)]
    pub json: bool,
    /// Where the public key of a server on this machine may lie
    #[arg(long, env = "REJOIN_CERTS", value_name = "DIR", default_value = "certs")]
    pub certs: PathBuf,
    #[command(flatten)]
    pub direct: Direct,
}

impl Play {
    /// Plays until the player leaves; the exit code.
    ///
    /// # Errors
    /// When there is no place for the state, or no runtime or terminal.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let state = self.state.map_or_else(default_state, Ok)?;
        let json = self.json;
        let config = Config {
            address: self.server,
            state,
            ca: self.ca,
            trust_new: self.trust_new,
            interactive: !json && ui::is_interactive(),
            certs: self.certs,
            user: self.user,
            direct: self.direct.direct == Switch::On,
            peer_listen: self.direct.peer_listen,
            peer_advertise: self.direct.peer_advertise,
        };
        // A client that cannot write its log plays all the same.
        let _log = ops::log::start_quietly(&config.state);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
        let code = runtime.block_on(play(config, json))?;
        // A read of standard input that never ends must not hold the exit up.
        runtime.shutdown_background();
        Ok(code.into())
    }
}

async fn play(config: Config, json: bool) -> io::Result<u8> {
    match client::start(config, seams()) {
        Ok(handle) => ui::run(handle, json).await,
        Err(error) => {
            writeln!(io::stderr(), "rejoin: {error}")?;
            Ok(error.exit_code())
        }
    }
}

/// The machine we run on. Inside the runtime.
fn seams() -> Seams {
    let provider = tls::provider();
    let warm = Arc::clone(&provider);
    // The first random number of a process takes 30 ms to come; it is drawn while the server's name is looked up.
    tokio::task::spawn_blocking(move || tls::warm_up(&warm));
    Seams {
        worker: Arc::new(HostWorker),
        net: Arc::new(HostNet),
        disk: Arc::new(HostDisk),
        clock: Arc::new(HostClock::start()),
        entropy: Arc::new(HostEntropy),
        provider,
    }
}

/// `rejoin` in the data directory of the user, as the platform has it.
fn default_state() -> anyhow::Result<PathBuf> {
    let strategy = etcetera::choose_base_strategy().context("there is no home directory; name a place with --state")?;
    Ok(strategy.data_dir().join("rejoin"))
}

/// One for the client, one for what it waits for.
const WORKERS: usize = 2;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        play: Play,
    }

    #[test]
    fn all_flags_are_understood() {
        let typed = "rejoin --server host:4000 --state s --ca ca.pem --trust-new --user alice --json --certs c \
                     --direct off --peer-listen 127.0.0.1:4001 --peer-advertise 203.0.113.7:4000,[2001:db8::7]:4000";
        let play = Cli::try_parse_from(typed.split(' ')).unwrap().play;
        assert_eq!(play.server.to_string(), "host:4000");
        assert_eq!((play.state, play.ca), (Some("s".into()), Some("ca.pem".into())));
        assert_eq!((play.trust_new, play.json, play.certs), (true, true, "c".into()));
        assert_eq!(play.user, Some(Name::new("alice").unwrap()));
        assert_eq!(play.direct.direct, Switch::Off);
        assert_eq!(play.direct.peer_listen.port(), 4001);
        let told: Vec<String> = play.direct.peer_advertise.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["203.0.113.7:4000", "[2001:db8::7]:4000"]);
    }

    #[test]
    fn an_address_that_nobody_can_dial_is_not_told() {
        for (typed, says) in
            [("0.0.0.0:4000", "nobody can connect"), ("203.0.113.7:0", "nobody can connect"), ("host", "an address is")]
        {
            let error = Cli::try_parse_from(["rejoin", "--peer-advertise", typed]).unwrap_err().to_string();
            assert!(error.contains(says), "{typed}: {error}");
        }
    }

    #[test]
    fn a_wrong_address_or_name_says_what_is_right() {
        let error = Cli::try_parse_from(["rejoin", "--server", "host:0"]).unwrap_err().to_string();
        assert!(error.contains("a number from 1 to 65535 is needed"), "{error}");
        let error = Cli::try_parse_from(["rejoin", "--user", "a b"]).unwrap_err().to_string();
        assert!(error.contains("a name is 1 to 32"), "{error}");
    }
}
