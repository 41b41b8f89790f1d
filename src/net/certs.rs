//! Where the keys of a server are kept: the seam between the server and its certs directory.

use std::path::{Path, PathBuf};

use super::boot_file;
use super::keys::{KeysError, ServerKeys};
use crate::model::id::Mark;
use crate::model::time::Entropy;

/// The keys, and beside them how far they have seen the state come. Calls block.
pub trait Certs: Send + Sync {
    /// Reads the keys, and makes what does not exist yet.
    ///
    /// # Errors
    /// [`KeysError`]; nothing that exists was changed.
    fn keys(&self, entropy: &dyn Entropy) -> Result<ServerKeys, KeysError>;

    /// How far these keys have seen the state come; `None` before the first run.
    ///
    /// # Errors
    /// [`KeysError`] when it is not what was written.
    fn mark(&self) -> Result<Option<Mark>, KeysError>;

    /// Writes down how far the state has come; it is durable when this returns.
    ///
    /// # Errors
    /// [`KeysError`]; what was written before is still there.
    fn write_mark(&self, mark: Mark) -> Result<(), KeysError>;
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

    fn mark(&self) -> Result<Option<Mark>, KeysError> {
        boot_file::read(&self.0)
    }

    fn write_mark(&self, mark: Mark) -> Result<(), KeysError> {
        boot_file::write(&self.0, mark)
    }
}
