//! `rejoin bot`: a player that is a program.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use etcetera::BaseStrategy;
use zeroize::Zeroizing;

use super::direct::{Direct, Switch};
use crate::client::bot::{self, BotError, Options, Played};
use crate::client::{self, Config, Seams};
use crate::model::id::Name;
use crate::model::password::Password;
use crate::model::statement::Fared;
use crate::net::address::Address;
use crate::net::host::HostNet;
use crate::net::tls;
use crate::ops::host::{HostClock, HostEntropy};
use crate::ops::work::HostWorker;
use crate::store::HostDisk;

/// A player that accepts every invitation.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Bot {
    /// As whom to play.
    #[arg(long, value_name = "NAME", value_parser = Name::new)]
    pub user: Name,
    /// Take the password from the first line of this file.
    #[arg(long, value_name = "FILE")]
    pub password_file: PathBuf,
    /// The server.
    #[arg(long, value_name = "HOST:PORT[#ID]", env = "REJOIN_SERVER", default_value = "localhost:3000")]
    pub server: Address,
    /// Where the bot keeps its files.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// How long to think about a move, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 300)]
    pub think: u64,
    /// Make the account first; fine if it is there.
    #[arg(long)]
    pub make_account: bool,
    /// Trust a server that was never met.
    #[arg(long)]
    pub trust_new: bool,
    /// The certs directory of a server on this machine.
    #[arg(long, value_name = "DIR", env = "REJOIN_CERTS", default_value = "certs")]
    pub certs: PathBuf,
    #[command(flatten)]
    pub direct: Direct,
}

impl Bot {
    /// Plays until something ends it that waiting does not mend.
    ///
    /// # Errors
    /// What went wrong before it could begin.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let password = password(&self.password_file)?;
        let state = match &self.state {
            Some(state) => state.clone(),
            None => etcetera::choose_base_strategy()
                .context("the home directory is not known: say where to keep files with --state DIR")?
                .data_dir()
                .join("rejoin"),
        };
        // A bot that cannot write its log plays all the same.
        let _log = crate::ops::log::start_quietly(&state);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let ended = runtime.block_on(self.play(password, state));
        Ok(match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // With standard error gone there is nobody to tell.
                let _ = writeln!(io::stderr(), "rejoin bot: {error}");
                ExitCode::from(exit_code(&error))
            }
        })
    }

    async fn play(self, password: Password, state: PathBuf) -> Result<(), BotError> {
        let (clock, entropy) = (Arc::new(HostClock::start()), Arc::new(HostEntropy));
        let seams = Seams {
            worker: Arc::new(HostWorker),
            net: Arc::new(HostNet),
            disk: Arc::new(HostDisk),
            clock: clock.clone(),
            entropy: entropy.clone(),
            provider: tls::provider(),
        };
        let config = Config {
            address: self.server,
            state,
            ca: None,
            trust_new: self.trust_new,
            interactive: false,
            certs: self.certs,
            user: Some(self.user.clone()),
            direct: self.direct.direct == Switch::On,
            peer_listen: self.direct.peer_listen,
            peer_advertise: self.direct.peer_advertise,
        };
        let handle = client::start(config, seams)?;
        let (user, make_account, think) = (self.user, self.make_account, Duration::from_millis(self.think));
        let options = Options { user, password, make_account, think, clock, entropy };
        bot::run(handle, options, |played| {
            // A reader that is gone is no reason to stop playing.
            let _ = writeln!(io::stdout(), "{}", line(&played));
        })
        .await
    }
}

/// The first line of a file, without its end.
fn password(file: &Path) -> anyhow::Result<Password> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = Zeroizing::new(text);
    let line = text.lines().next().unwrap_or_default();
    Password::new(line).context("a password has at most 1024 bytes")
}

/// The exit code of design §8.
fn exit_code(error: &BotError) -> u8 {
    match error {
        BotError::Client(error) => error.exit_code(),
        BotError::Refused { .. } => 3,
        BotError::Superseded(_) => 8,
        BotError::Stopped(_) => 1,
    }
}

fn line(played: &Played) -> String {
    let outcome = match played.outcome {
        Fared::Win => "won",
        Fared::Draw => "drawn",
        Fared::Loss => "lost",
        Fared::Void => "void",
    };
    let Played { match_id, why, .. } = played;
    let opponent = played.opponent.as_ref().map_or_else(String::new, |name| format!(" against {name}"));
    let recorded = if played.recorded { "recorded" } else { "the server does not know yet" };
    format!("{outcome}{opponent} ({why}; {recorded}) match {match_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_one_line() {
        let mut played = Played {
            match_id: "ab".to_owned(),
            opponent: Some("alice".to_owned()),
            outcome: Fared::Win,
            why: "board".to_owned(),
            recorded: true,
        };
        assert_eq!(line(&played), "won against alice (board; recorded) match ab");
        (played.opponent, played.recorded, played.outcome) = (None, false, Fared::Draw);
        assert_eq!(line(&played), "drawn (board; the server does not know yet) match ab");
    }
}
