//! Plans that have failed once, as files; every run begins with them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lane::Lane;
use super::plan::Plan;

/// Where they are, seen from the package.
pub(crate) const DIR: &str = "chaos/regressions";

/// One that has failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Regression {
    /// What was wrong, for people.
    pub(crate) about: String,
    /// How it is run.
    pub(crate) lane: Lane,
    /// The world.
    pub(crate) plan: Plan,
}

impl Regression {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
    }

    /// All in the directory, by name.
    pub(crate) fn all() -> io::Result<Vec<(PathBuf, Self)>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(DIR)? {
            let path = entry?.path();
            if path.extension() == Some("json".as_ref()) {
                paths.push(path);
            }
        }
        paths.sort();
        paths.into_iter().map(|path| Self::read(&path).map(|regression| (path, regression))).collect()
    }

    /// Writes it down under a name made of lane and seed.
    pub(crate) fn save(&self) -> io::Result<PathBuf> {
        let path = Path::new(DIR).join(format!("{}-{}.json", self.lane.name(), self.plan.seed));
        fs::write(&path, serde_json::to_string_pretty(self).map_err(io::Error::other)? + "\n")?;
        Ok(path)
    }
}
