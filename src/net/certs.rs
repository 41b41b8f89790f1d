//! Where the keys of a server are kept: the seam between the server and its certs directory.

use std::path::{Path, PathBuf};

use super::boot_file;
use super::keys::{KeysError, ServerKeys};
use crate::model::id::Boot;
use crate::model::time::Entropy;

/// The keys, and beside them the newest run they have seen. Calls block.
pub trait Certs: Send + Sync {
    /// Reads the keys, and makes what does not exist yet.
    ///
    /// # Errors
    /// [`KeysError`]; nothing that exists was changed.
    fn keys(&self, entropy: &dyn Entropy) -> Result<ServerKeys, KeysError>;

    /// The newest run that these keys have seen; `None` before the first.
    ///
    /// # Errors
    /// [`KeysError`] when it is not what was written.
    fn newest_boot(&self) -> Result<Option<Boot>, KeysError>;

    /// Writes down the newest run; it is durable when this returns.
    ///
    /// # Errors
    /// [`KeysError`]; what was written before is still there.
    fn write_boot(&self, boot: Boot) -> Result<(), KeysError>;
}

/// A directory of this machine.
#[derive(Clone, Debug)]
pub struct CertsDir(PathBuf);

impl CertsDir {
    /// The directory at `path`; it is made when the keys are.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Certs for CertsDir {
    fn keys(&self, entropy: &dyn Entropy) -> Result<ServerKeys, KeysError> {
        ServerKeys::load_or_make(&self.0, entropy)
    }

    fn newest_boot(&self) -> Result<Option<Boot>, KeysError> {
        boot_file::read(&self.0)
    }

    fn write_boot(&self, boot: Boot) -> Result<(), KeysError> {
        boot_file::write(&self.0, boot)
    }
}
