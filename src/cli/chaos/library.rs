//! The scenarios that come with the program.
//!
//! What must hold: each of them can be read (a test), and a file of the user's own is found as well.

use std::path::Path;

use anyhow::{Context, bail};

use crate::chaos::scenario::Scenario;

/// A scenario and its name.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) name: String,
    /// What was typed for it.
    pub(super) typed: String,
    pub(super) scenario: Scenario,
}

macro_rules! scenarios {
    ($($name:literal),+ $(,)?) => {
        /// Name and text.
        const LIBRARY: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../chaos/scenarios/", $name, ".toml")))),+];
    };
}

scenarios![
    "kill-server",
    "kill-player",
    "kill-pair",
    "kill-all",
    "server-away",
    "restart-loop",
    "planned-restart",
    "pause-server",
    "pause-player",
    "connections-cut",
    "partition",
    "split-players",
    "one-way",
    "path-broken",
    "path-alone",
    "apart",
    "new-address",
    "slow-links",
    "changed-bytes",
    "door-shut",
    "no-descriptors",
    "slow-cpu",
    "damaged-journal",
    "lost-journal",
    "older-state",
    "wiped-player",
    "clock-jump",
    "upgrade",
    "power-cut",
    "power-cut-all",
    "kill-at-sync",
    "kill-at-rename",
    "little-memory",
    "disk-error",
    "disk-full",
    "read-only",
    "everything-once",
    "laptop-lid",
];

/// A few minutes' worth: every way of ending a process, and the ways between them.
const SHORT: &[&str] = &[
    "kill-server",
    "kill-all",
    "server-away",
    "planned-restart",
    "pause-player",
    "connections-cut",
    "partition",
    "changed-bytes",
    "damaged-journal",
    "wiped-player",
];

/// The short selection.
///
/// # Errors
/// When one cannot be read.
pub(super) fn short() -> anyhow::Result<Vec<Named>> {
    find(&SHORT.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

/// All of them, in the order of the list.
///
/// # Errors
/// When one cannot be read.
pub(super) fn all() -> anyhow::Result<Vec<Named>> {
    LIBRARY.iter().map(|(name, text)| read(name, name, text)).collect()
}

/// Those that were asked for, by name or as a file; all without any.
///
/// # Errors
/// When there is none of that name, or a file cannot be read.
pub(super) fn find(asked: &[String]) -> anyhow::Result<Vec<Named>> {
    if asked.is_empty() {
        return all();
    }
    asked.iter().map(|typed| one(typed)).collect()
}

fn one(typed: &str) -> anyhow::Result<Named> {
    if let Some((name, text)) = LIBRARY.iter().find(|(name, _)| *name == typed) {
        return read(name, typed, text);
    }
    let path = Path::new(typed);
    if !path.exists() {
        bail!("there is no scenario {typed}, and no file of that name; see `rejoin chaos list`");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {typed}"))?;
    let name = path.file_stem().map_or_else(|| typed.to_owned(), |stem| stem.to_string_lossy().into_owned());
    read(&name, typed, &text)
}

fn read(name: &str, typed: &str, text: &str) -> anyhow::Result<Named> {
    let scenario = text.parse().with_context(|| format!("in the scenario {name}"))?;
    Ok(Named { name: name.to_owned(), typed: typed.to_owned(), scenario })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;

    #[test]
    fn every_scenario_can_be_read_and_is_found_by_its_name() {
        for named in all().unwrap() {
            assert_eq!(find(std::slice::from_ref(&named.name)).unwrap()[0].scenario, named.scenario);
        }
        assert_eq!(short().unwrap().len(), SHORT.len());
        assert!(find(&["no-such-scenario".to_owned()]).is_err());
    }

    #[test]
    fn every_file_is_in_the_list() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("chaos/scenarios");
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(LIBRARY.iter().any(|(listed, _)| *listed == name), "{name} is not embedded");
        }
    }
}
