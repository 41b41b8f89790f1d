//! `rejoin admin passwd`: another password for somebody who has forgotten the old one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use super::{Admin, Code, Desk};
use crate::model::decide::choosable;
use crate::model::fact::Fact;
use crate::model::id::Name;
use crate::model::password::Password;
use crate::server::hasher::hash_now;

/// Set a player's password and end the player's session (the server must be stopped).
#[derive(clap::Args, Clone, Debug)]
pub struct Passwd {
    /// Whose.
    #[arg(value_parser = Name::new)]
    user: Name,
    /// Take the new password from the first line of this file.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Passwd {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        desk.must_exist(admin)?;
        let mut recovered = desk.recover(admin)?;
        let Some(account) = recovered.state.named(&self.user.key()) else {
            bail!("there is no user {}; `rejoin admin users` lists them", self.user);
        };
        let (user, name, logged_in) = (account.user, account.name.clone(), account.session.is_some());
        let password = match &self.password_file {
            Some(file) => from_file(file)?,
            None => ask_twice(desk, &name)?,
        };
        choosable(&password)?;
        let hash = hash_now(&password, desk.entropy);
        let fact = Fact::PasswordChanged { user, password: hash, keep: None };
        recovered.journal.append(&[vec![fact]]).map_err(super::desk::advise)?;
        let session = if logged_in { ", and the session is ended" } else { "" };
        writeln!(desk.out, "the password of {name} is changed{session}")?;
        Ok(Code::Done)
    }
}

/// The first line, without its end.
fn from_file(file: &Path) -> anyhow::Result<Password> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = Zeroizing::new(text);
    let line = text.split('\n').next().unwrap_or_default();
    password(line.strip_suffix('\r').unwrap_or(line))
}

fn ask_twice(desk: &mut Desk<'_>, name: &Name) -> anyhow::Result<Password> {
    let no_terminal = "cannot ask for a password here; give it with --password-file FILE";
    let first = (desk.ask)(&format!("new password of {name}: ")).context(no_terminal)?;
    let second = (desk.ask)("again: ").context(no_terminal)?;
    if first != second {
        bail!("the two are not the same; nothing is changed");
    }
    password(&first)
}

fn password(text: &str) -> anyhow::Result<Password> {
    Password::new(text).context("a password has at most 1024 bytes")
}
