//! What every admin command needs: where to write, the disk, and how to open a state.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use super::Admin;
use crate::model::key::ServerId;
use crate::model::state::State;
use crate::model::time::{Clock, Entropy};
use crate::net::keys::published_id;
use crate::store::{self, Disk, LOCK, Recovered, Settings, StoreError, View};

/// Asks for a password without showing it.
pub type Ask<'a> = &'a mut dyn FnMut(&str) -> io::Result<Zeroizing<String>>;

/// Everything a command touches besides its arguments.
pub struct Desk<'a> {
    /// What was asked for.
    pub out: &'a mut dyn Write,
    /// Progress.
    pub err: &'a mut dyn Write,
    /// Where the state is.
    pub disk: Arc<dyn Disk>,
    /// For the time of an import.
    pub clock: &'a dyn Clock,
    /// For salts and ids.
    pub entropy: &'a dyn Entropy,
    /// Asks the operator for a password.
    pub ask: Ask<'a>,
}

impl Desk<'_> {
    /// Reads the state, also beside a running server.
    pub(super) fn view(&self, admin: &Admin) -> anyhow::Result<View<State>> {
        store::view(&*self.disk, &admin.state, &admin.server()?.0).map_err(advise)
    }

    /// Locks and recovers the state, to append to it.
    pub(super) fn recover(&self, admin: &Admin) -> anyhow::Result<Recovered<State>> {
        store::recover(&self.disk, &admin.state, &self.settings(admin)?).map_err(advise)
    }

    /// How this run writes.
    pub(super) fn settings(&self, admin: &Admin) -> anyhow::Result<Settings> {
        let mut salt = [0; 8];
        self.entropy.fill(&mut salt);
        Ok(Settings::new(admin.server()?.0, u64::from_le_bytes(salt)))
    }

    /// Fails if another process uses the state.
    pub(super) fn must_be_free(&self, admin: &Admin) -> anyhow::Result<()> {
        let file = admin.state.join(LOCK);
        let lock = self.disk.lock(&file).with_context(|| format!("cannot lock {}", file.display()))?;
        lock.map(drop).ok_or_else(|| advise(StoreError::InUse { file }))
    }

    /// Fails if there is no state.
    pub(super) fn must_exist(&self, admin: &Admin) -> anyhow::Result<()> {
        let files = self.disk.list(&admin.state).with_context(|| format!("cannot list {}", admin.state.display()))?;
        let name =
            |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ours = |path| ["journal-", "snapshot-"].iter().any(|kind| name(path).starts_with(kind));
        if !files.iter().any(ours) {
            return Err(advise(StoreError::NoState { dir: admin.state.clone() }));
        }
        Ok(())
    }
}

impl Admin {
    /// Whose state it is.
    pub(super) fn server(&self) -> anyhow::Result<ServerId> {
        let certs = self.certs.display();
        match published_id(&self.certs)? {
            Some(id) => Ok(id),
            None => bail!(
                "{certs} holds no server.pub, so whose state this is cannot be known: say where the server's keys are \
                 with --certs DIR, or start `rejoin server --certs {certs}` once to make them"
            ),
        }
    }
}

/// What the store says, and what to do where it does not say that itself.
#[derive(Debug, thiserror::Error)]
#[error("{error}{}{}", if advice.is_empty() { "" } else { "; " }, advice)]
pub(super) struct Advised {
    pub(super) error: StoreError,
    advice: &'static str,
}

/// Adds what to do where the error itself does not say it.
pub(super) fn advise(error: StoreError) -> anyhow::Error {
    let advice = match &error {
        StoreError::InUse { .. } => "stop the server first, then repeat this",
        StoreError::OtherServer { .. } => "say where that server's keys are with --certs DIR",
        StoreError::NoState { .. } => "say where the state is with --state DIR",
        StoreError::NotEmpty { .. } => "choose a directory without a state, or move the old one away first",
        StoreError::Full { .. } => "make room, then repeat this",
        StoreError::Io { .. }
        | StoreError::SyncFailed { .. }
        | StoreError::Damaged { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::OlderFormat { .. }
        | StoreError::UnfinishedCopy { .. }
        | StoreError::Restless { .. }
        | StoreError::TooLarge { .. }
        | StoreError::Encode(_) => "",
    };
    anyhow::Error::new(Advised { error, advice })
}
