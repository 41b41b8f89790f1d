//! `rejoin chaos` as a user runs it: real processes, real faults, a verdict, and nothing left behind.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rejoin::chaos::report::{Report, Standing};
use rejoin::ops::event;

use crate::seed::server::{Server, program};

fn chaos(args: &[&str]) -> Command {
    let mut command = program();
    command.arg("chaos").args(args);
    command
}

fn run(args: &[&str]) -> Output {
    chaos(args).output().unwrap()
}

fn report(dir: &Path) -> Report {
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("</html>"));
    serde_json::from_slice(&std::fs::read(dir.join("report.json")).unwrap()).unwrap()
}

/// Times are left to the command: the tests beside this one have the processors too.
fn assert_nothing_lost(report: &Report) {
    let of_values = |found: &&rejoin::chaos::oracle::Violation| !["L1", "L2", "I9"].contains(&found.invariant.as_str());
    let found: Vec<_> = report.verdicts.violations.iter().filter(of_values).collect();
    assert!(found.is_empty(), "{found:#?}");
    for invariant in ["I1", "I2", "I3", "I4", "I5", "I8", "linear"] {
        assert!(report.verdicts.exercised.contains(invariant), "{invariant} was not put to the test");
    }
}

#[test]
fn everybody_is_killed_and_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().to_str().unwrap();
    let output = run(&["run", "kill-all", "--seed", "7", "--report", dir]);
    let report = report(home.path());
    assert_nothing_lost(&report);
    assert_eq!(report.skipped, []);
    assert_eq!(report.figures().faults, 2 * 5, "the server and four players, twice");
    assert!(String::from_utf8_lossy(&output.stdout).contains("kill-all"), "{output:?}");
}

#[test]
fn connections_are_broken_in_three_ways_and_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    run(&["run", "connections-cut", "--seed", "7", "--report", home.path().to_str().unwrap()]);
    let report = report(home.path());
    assert_nothing_lost(&report);
    assert_eq!((report.figures().faults, report.skipped.len()), (3, 0));
    assert_eq!(report.standing("L3").0, Standing::Pass, "dials were counted at the proxy");
}

#[test]
fn the_direct_path_is_broken_at_a_proxy_and_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    run(&["run", "path-broken", "--seed", "7", "--report", home.path().to_str().unwrap()]);
    let report = report(home.path());
    assert_nothing_lost(&report);
    assert_eq!(report.skipped, [], "each fault was met by something on the direct path");
    assert!(report.verdicts.exercised.contains("I13"));
}

#[test]
fn players_in_networks_of_their_own_are_kept_apart_and_move_and_nothing_is_lost() {
    if let Some(why) = refused("apart") {
        assert!(why.contains(": "), "a reason is given: {why}");
        return;
    }
    for scenario in ["apart", "new-address"] {
        let home = tempfile::tempdir().unwrap();
        run(&["run", scenario, "--seed", "7", "--report", home.path().to_str().unwrap()]);
        let report = report(home.path());
        assert_nothing_lost(&report);
        assert_eq!(report.skipped, [], "{scenario}: the kernels have noticed");
        for invariant in ["I7", "I12"] {
            assert_eq!(
                report.standing(invariant),
                (Standing::Pass, Vec::new()),
                "{scenario}: by the programs' own logs"
            );
        }
    }
}

/// What the doctor says against a kind of fault, if anything.
fn refused(kind: &str) -> Option<String> {
    let said = String::from_utf8_lossy(&run(&["doctor"]).stdout).into_owned();
    { said.lines() }.find(|line| line.starts_with(&format!("no   {kind} "))).map(str::to_owned)
}

#[test]
fn what_cannot_be_done_is_skipped_and_is_no_pass() {
    let home = tempfile::tempdir().unwrap();
    let scenario = home.path().join("own.toml");
    let text =
        "about = \"x\"\n[[workload]]\npairs = 1\n[[fault]]\nat = \"1 s\"\nkind = \"damage\"\ntarget = \"client 0\"\n";
    std::fs::write(&scenario, text).unwrap();
    let output = run(&["run", scenario.to_str().unwrap(), "--seed", "7"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("skipped: damage"), "{said}");
    let output = run(&["run", scenario.to_str().unwrap(), "--dry-run"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("(skipped: "));
}

#[test]
fn a_server_that_is_there_already_is_played_at_struck_and_left_running() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::supervised(home.path());
    // It is killed, and its next run says so.
    server.expects(event::RECOVERED);
    let (worker, address) = (server.worker().to_string(), server.address());
    let dir = home.path().join("report");
    let args = ["run", "kill-server", "--seed", "7", "--target", &address, "--report", dir.to_str().unwrap()];
    let untouched = run(&args);
    assert_eq!(untouched.status.code(), Some(2), "{untouched:?}");
    assert!(String::from_utf8_lossy(&untouched.stdout).contains("skipped: kill: the server is not of this run"));
    run(&[&args[..], &["--pid", &worker]].concat());
    let report = report(&dir);
    assert_eq!((report.figures().faults, &report.skipped), (3, &Vec::new()));
    assert!(report.verdicts.exercised.contains("I1"));
    for invariant in ["I4", "I5", "I10"] {
        assert_eq!(report.standing(invariant).0, Standing::NotExercised, "{invariant} is about files of others");
    }
    assert!(server.is_running());
}

#[test]
fn when_the_run_is_killed_nothing_of_it_is_left() {
    // The server, four players, the guardian.
    nothing_is_left("laptop-lid", "pause client", 6);
    if refused("apart").is_none() {
        // And whoever holds the networks of five machines and of their router: without a process there is none.
        nothing_is_left("apart", "apart path", 12);
    }
}

fn nothing_is_left(scenario: &str, fault: &str, processes: usize) {
    let home = tempfile::tempdir().unwrap();
    let mut command = chaos(&["run", scenario, "--seed", "7"]);
    let mut run = command.env("TMPDIR", home.path()).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok);
    lines.find(|line| line.contains(fault)).expect("it strikes");
    let started = children(run.id());
    assert_eq!((started.len(), files(home.path()).len()), (processes, 1));
    run.kill().unwrap();
    run.wait().unwrap();
    // The guardian holds the other end until it has cleaned up.
    lines.for_each(drop);
    assert_eq!(files(home.path()), Vec::<PathBuf>::new());
    for pid in started {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(command.is_empty(), "{pid} lives on: {}", String::from_utf8_lossy(&command));
    }
}

/// A suite that passes a broken server is worth nothing.
#[cfg(feature = "mutants")]
#[test]
fn broken_programs_are_failed() {
    for (mutant, scenario) in [
        ("moves-of-others-not-written", "kill-all"),
        ("no-back-off", "door-shut"),
        ("not-forwarded", "split-players"),
        ("rot-taken-for-torn", "damaged-journal"),
        ("direct-needs-server", "server-away"),
        ("sync-skipped", "power-cut"),
    ] {
        if scenario == "power-cut" && !rustix::process::geteuid().is_root() {
            continue;
        }
        let variable = format!("{}={mutant}", rejoin::mutant::VARIABLE);
        let output = run(&["run", scenario, "--seed", "7", "--env", &variable]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{mutant}: {said}");
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn children(of: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
