//! The file `known_servers`, shared by all clients of one state directory.

use std::path::PathBuf;
use std::sync::Arc;

use super::error::ClientError;
use super::file;
use crate::model::key::ServerId;
use crate::net::address::Address;
use crate::net::known::{BadLine, KnownServers};
use crate::store::{Disk, StoreError};

/// The file. Calls block on the disk.
pub(super) struct KnownFile {
    disk: Arc<dyn Disk>,
    state: PathBuf,
}

impl KnownFile {
    pub(super) const fn new(disk: Arc<dyn Disk>, state: PathBuf) -> Self {
        Self { disk, state }
    }

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.state.join("known_servers")
    }

    /// What it says; a file that does not exist says nothing.
    pub(super) fn load(&self) -> Result<KnownServers, ClientError> {
        let path = self.path();
        let bytes = file::read(&*self.disk, &path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        KnownServers::parse(&text).map_err(|why: BadLine| ClientError::KnownServers { path, why })
    }

    /// Adds a server, or gives it its new id; durable on return.
    pub(super) fn remember(&self, address: &Address, id: ServerId) -> Result<(), ClientError> {
        let disk = &*self.disk;
        disk.create_dir(&self.state).map_err(StoreError::io("create", &self.state))?;
        file::locked(disk, &self.state.join("known_servers.lock"), || {
            // Read anew: another client may have added one meanwhile.
            let mut known = self.load()?;
            if known.get(address) == Some(id) {
                return Ok(());
            }
            known.insert(address, id);
            Ok(file::replace(disk, &self.path(), known.to_string().as_bytes())?)
        })
    }
}
