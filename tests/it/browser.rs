//! The monitor page in a real browser: `tests/browser/monitor.mjs`, run by node with Debian's Chromium. It measures
//! times, so it runs alone: `cargo test --test it browser -- --ignored`.

use std::path::Path;
use std::process::Command;

/// Where Debian puts it, unless `CHROMIUM` says otherwise.
const CHROMIUM: &str = "/usr/bin/chromium";

#[test]
#[ignore = "needs node and Chromium, which .ci/run installs, and a quiet machine"]
fn the_monitor_page_shows_a_kill_survives_it_and_is_usable_by_everybody() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    if let Some(missing) = missing(&dir) {
        panic!("{missing}; `.ci/run` installs it");
    }
    let mut node = Command::new("node");
    node.arg("monitor.mjs").current_dir(&dir).env("REJOIN", env!("CARGO_BIN_EXE_rejoin"));
    // It says itself what it has measured, and what went wrong.
    let status = node.status().unwrap();
    assert!(status.success(), "{status}");
}

/// What the test needs and is not there.
fn missing(dir: &Path) -> Option<String> {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| CHROMIUM.to_owned());
    let node = Command::new("node").arg("--version").output();
    if !node.is_ok_and(|output| output.status.success()) {
        Some("node cannot be run".to_owned())
    } else if !Path::new(&chromium).exists() {
        Some(format!("there is no {chromium}"))
    } else if !dir.join("node_modules/playwright-core").exists() {
        Some("node_modules are missing (`npm ci` in tests/browser)".to_owned())
    } else {
        None
    }
}
