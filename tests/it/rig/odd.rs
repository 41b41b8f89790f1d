//! Nothing odd goes unseen: a line of level WARN or ERROR which the test has not announced fails it, whichever server or
//! client of the rig has written it. What was written at all is noted, for whoever asks whether an event ever comes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rejoin::ops::files::{DIR, EVENTS_EXTENSION};
use rejoin::ops::record::Record;
use tracing::subscriber::DefaultGuard;

use super::Log;

/// The events that a test means to cause in one server or client. Clones are of the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announced(Arc<Mutex<BTreeSet<&'static str>>>);

/// Looks at what is logged on this thread until it is dropped: at clients in a test's own runtime.
pub(crate) struct Watched {
    pub(crate) log: Log,
    announced: Announced,
    _guard: DefaultGuard,
}

/// All events of all tests in this process so far.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// About the machine that the tests run on, and about nothing that a test does.
const OF_THE_MACHINE: &str = "the state directory is on ";

impl Announced {
    /// What comes of this name is meant to come.
    pub(crate) fn expects(&self, event: &'static str) {
        self.0.lock().unwrap().insert(event);
    }

    /// Looks at lines as they go to standard error. What is there besides the log is passed over.
    pub(crate) fn check<'a>(&self, lines: impl Iterator<Item = &'a str>) {
        let found = lines.filter_map(|line| {
            let mut words = line.split_whitespace();
            let (at, level) = (words.next()?, words.next()?);
            let event = line.split_once(" event=\"").and_then(|(_, rest)| rest.split_once('"'));
            (at.ends_with('Z') && at.contains('T')).then_some((level, event.map_or("", |(name, _)| name), line))
        });
        self.judge(found.collect());
    }

    /// Looks at the files of events below a state directory.
    pub(crate) fn check_files(&self, state: &Path) {
        let below = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
        let is_log = |dir: &std::path::PathBuf| dir.file_name().unwrap().to_string_lossy().starts_with(DIR);
        let files =
            below(state).filter(|dir| dir.is_dir() && is_log(dir)).flat_map(|dir| below(&dir).collect::<Vec<_>>());
        for file in files.filter(|file| file.extension().is_some_and(|extension| extension == EVENTS_EXTENSION)) {
            let bytes = std::fs::read(&file).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let records: Vec<(Record, &str)> =
                text.lines().filter_map(|line| Some((Record::parse(line).ok()?, line))).collect();
            self.judge(records.iter().map(|(of, line)| (of.level.as_str(), of.event.as_str(), *line)).collect());
        }
    }

    /// Level, event and line of each.
    fn judge(&self, found: Vec<(&str, &str, &str)>) {
        let announced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_odd = |(level, event, line): &&(&str, &str, &str)| {
            matches!(*level, "WARN" | "ERROR") && !announced.contains(event) && !line.contains(OF_THE_MACHINE)
        };
        let odd: Vec<&str> = found.iter().filter(is_odd).map(|(.., line)| *line).collect();
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(found.iter().map(|(_, event, _)| (*event).to_owned()));
        drop((announced, seen));
        // A test that fails already has something better to say.
        if !std::thread::panicking() {
            assert!(odd.is_empty(), "lines of WARN or ERROR that the test has not announced: {odd:#?}");
        }
    }
}

impl Watched {
    pub(crate) fn here() -> Self {
        let log = Log::new();
        let guard = tracing::dispatcher::set_default(&log.dispatch(tracing_subscriber::filter::LevelFilter::INFO));
        Self { log, announced: Announced::default(), _guard: guard }
    }
}

impl Watched {
    /// There may be warnings and errors of this name; others fail the test.
    pub(crate) fn expects(&self, event: &'static str) {
        self.announced.expects(event);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.announced.check(self.log.text().lines());
    }
}

/// Whether any test in this process has seen this event.
pub(crate) fn was_seen(event: &str) -> bool {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).contains(event)
}

#[test]
#[should_panic(expected = "that the test has not announced")]
fn a_warning_that_nobody_has_announced_fails_the_test() {
    let announced = Announced::default();
    announced.expects("foul");
    let lines = [
        "2026-06-20T15:50:00.000000Z  WARN conn{id=7}: rejoin::server: a player signed twice event=\"foul\" by=X",
        "2026-06-20T15:50:00.000000Z  INFO rejoin::server: login event=\"login-ok\" user=alice",
        "run 2: the last run failed; WARN is no level here",
    ];
    announced.check(lines.into_iter());
    assert!(was_seen("foul") && was_seen("login-ok"));
    announced.check(["2026-06-20T15:50:00.000000Z ERROR rejoin: the disk is full event=\"disk-full\""].into_iter());
}
