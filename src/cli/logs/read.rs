//! Reads event logs as they are on disk: put aside, current, damaged, and still being written.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::ops::files::{DIR, EVENTS, EVENTS_EXTENSION};
use crate::ops::record::Record;

/// The logs of one state directory.
pub(in crate::cli) struct Logs {
    state: PathBuf,
    tails: Vec<Tail>,
    /// What could not be used.
    pub(super) skipped: Vec<Skipped>,
}

/// Something that was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) path: PathBuf,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Lines that are no events.
    Lines(usize),
    /// The whole file.
    Unreadable(String),
    /// There is no log.
    NoLog,
}

/// The file that is written to.
struct Tail {
    path: PathBuf,
    open: Option<File>,
    lines: Lines,
    /// The newest file that had been put aside when the directory was first read.
    newest_old: Option<PathBuf>,
}

/// Cuts bytes into events.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    bad: usize,
}

/// Longer than any event.
const LINE_BYTES_MAX: usize = 256 * 1024;

impl Logs {
    /// Reads all that is there; the newest file of each directory stays open, for [`more`](Self::more).
    pub(in crate::cli) fn read(state: &Path) -> (Self, Vec<Record>) {
        let mut logs = Self { state: state.to_owned(), tails: Vec::new(), skipped: Vec::new() };
        let mut records = Vec::new();
        for dir in dirs(state) {
            let tail = logs.begin(&dir, &mut records);
            logs.tails.push(tail);
        }
        if logs.tails.is_empty() {
            logs.skipped.push(Skipped { path: state.to_owned(), what: What::NoLog });
        }
        (logs, records)
    }

    /// Whether there is one at all.
    pub(super) const fn is_none(&self) -> bool {
        self.tails.is_empty()
    }

    /// What has been written since.
    pub(in crate::cli) fn more(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut tails = std::mem::take(&mut self.tails);
        // A program that was started meanwhile may write beside the others.
        for dir in dirs(&self.state) {
            if !tails.iter().any(|known| known.path.parent() == Some(&dir)) {
                tails.push(self.begin(&dir, &mut records));
            }
        }
        for tail in &mut tails {
            self.drain(tail, &mut records);
            let here = File::open(&tail.path).ok();
            let current = here.as_ref().and_then(identity);
            let before = tail.open.as_ref().and_then(identity);
            if current != before && here.is_some() {
                // It was put aside between the two looks: what came last is in the old one, or in several.
                self.drain(tail, &mut records);
                self.between(tail, before, current, &mut records);
                tail.open = here;
                tail.lines = Lines::default();
                self.drain(tail, &mut records);
            }
        }
        self.tails = tails;
        records
    }

    /// Reads a directory of logs.
    fn begin(&mut self, dir: &Path, records: &mut Vec<Record>) -> Tail {
        // Opened before the others are listed: a file put aside meanwhile is read here, and then only here.
        let mut tail = Tail::of(dir);
        let current = tail.open.as_ref().and_then(identity);
        for path in old_files(dir) {
            tail.newest_old = Some(path.clone());
            self.whole(path, current, records);
        }
        self.drain(&mut tail, records);
        tail
    }

    /// Reads what was put aside after one file and before another.
    fn between(&mut self, tail: &Tail, before: Option<u64>, current: Option<u64>, records: &mut Vec<Record>) {
        let files = old_files(tail.path.parent().unwrap_or(Path::new("")));
        // Where there was no current file at the last look, what was put aside by then was read.
        let is_before = |path: &PathBuf| match before {
            Some(_) => File::open(path).ok().as_ref().and_then(identity) == before,
            None => tail.newest_old.as_ref() == Some(path),
        };
        // One that is not there any more was older than all that are.
        let later = files.iter().position(is_before).map_or(0, |at| at + 1);
        for path in files.into_iter().skip(later) {
            self.whole(path, current, records);
        }
    }

    /// Reads a file that was put aside, unless it is the one that was opened before.
    fn whole(&mut self, path: PathBuf, current: Option<u64>, records: &mut Vec<Record>) {
        match read_whole(&path, current) {
            Ok((lines, some)) => {
                records.extend(some);
                self.skip(&path, lines);
            }
            // It was the oldest, and was removed when another one was put aside.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let what = What::Unreadable(error.to_string());
                self.skipped.push(Skipped { path, what });
            }
        }
    }

    fn drain(&mut self, tail: &mut Tail, records: &mut Vec<Record>) {
        let Some(file) = &mut tail.open else { return };
        let mut bytes = Vec::new();
        if let Err(error) = file.read_to_end(&mut bytes) {
            let what = What::Unreadable(error.to_string());
            self.skipped.push(Skipped { path: tail.path.clone(), what });
            tail.open = None;
        }
        records.extend(tail.lines.take(&bytes));
        let bad = std::mem::take(&mut tail.lines.bad);
        self.skip(&tail.path.clone(), bad);
    }

    fn skip(&mut self, path: &Path, lines: usize) {
        if lines > 0 {
            self.skipped.push(Skipped { path: path.to_owned(), what: What::Lines(lines) });
        }
    }
}

impl Tail {
    /// The current file in a directory of logs, if it is there.
    fn of(dir: &Path) -> Self {
        let path = dir.join(EVENTS).with_extension(EVENTS_EXTENSION);
        Self { open: File::open(&path).ok(), path, lines: Lines::default(), newest_old: None }
    }
}

impl Lines {
    /// The events among these bytes; what is after the last end of line waits for more.
    fn take(&mut self, bytes: &[u8]) -> Vec<Record> {
        self.rest.extend_from_slice(bytes);
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        if self.rest.len() > LINE_BYTES_MAX {
            self.rest.clear();
            self.bad += 1;
        }
        let mut records = Vec::new();
        for line in whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match std::str::from_utf8(line).map(Record::parse) {
                Ok(Ok(record)) => records.push(record),
                Ok(Err(_)) | Err(_) => self.bad += 1,
            }
        }
        records
    }

    /// As [`take`](Self::take), when nothing more will come.
    fn finish(mut self, bytes: &[u8]) -> (usize, Vec<Record>) {
        let mut records = self.take(bytes);
        if !self.rest.is_empty() {
            records.extend(self.take(b"\n"));
        }
        (self.bad, records)
    }
}

/// The directories of logs under a state directory; what was named may be one itself.
fn dirs(state: &Path) -> Vec<PathBuf> {
    let is_log = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let beside = name.strip_prefix(DIR).and_then(|rest| rest.strip_prefix('-'));
        path.is_dir() && (name == DIR || beside.is_some_and(|number| number.parse::<u32>().is_ok()))
    };
    if is_log(state) {
        return vec![state.to_owned()];
    }
    let entries = fs::read_dir(state).into_iter().flatten();
    let mut dirs: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_log(path)).collect();
    dirs.sort();
    dirs
}

/// Files that were put aside, the oldest first.
fn old_files(dir: &Path) -> Vec<PathBuf> {
    let aside = |path: &PathBuf| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let of_events = path.extension().is_some_and(|extension| extension == EVENTS_EXTENSION);
        of_events && stem.strip_prefix(EVENTS).is_some_and(|rest| rest.starts_with('-'))
    };
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(aside).collect();
    files.sort();
    files
}

fn read_whole(path: &Path, current: Option<u64>) -> io::Result<(usize, Vec<Record>)> {
    let mut file = File::open(path)?;
    if current.is_some() && identity(&file) == current {
        return Ok((0, Vec::new()));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Lines::default().finish(&bytes))
}

/// What stays the same when a file gets another name.
#[cfg(unix)]
fn identity(file: &File) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    Some(file.metadata().ok()?.ino())
}

/// What stays the same when a file gets another name.
#[cfg(not(unix))]
fn identity(file: &File) -> Option<u64> {
    let since = file.metadata().ok()?.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(at: u64) -> String {
        format!("{{\"at\":{at},\"level\":\"INFO\",\"event\":\"foul\"}}\n")
    }

    fn moments(records: &[Record]) -> Vec<u64> {
        records.iter().map(|record| record.at.0).collect()
    }

    #[test]
    fn files_put_aside_come_first_and_what_is_damaged_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::create_dir(&log).unwrap();
        fs::write(log.join("events-0000000000002.jsonl"), [b"\xff\xfe\n", line(3).as_bytes(), b"{\"at\":4"].concat())
            .unwrap();
        fs::write(log.join("events-0000000000001.jsonl"), [line(1), line(2)].concat()).unwrap();
        fs::write(log.join("events.jsonl"), [line(5), "no event\n".to_owned()].concat()).unwrap();
        fs::write(log.join("other.txt"), "?").unwrap();
        fs::create_dir(log.join("events-0000000000003.jsonl")).unwrap();
        let (logs, records) = Logs::read(dir.path());
        assert_eq!(moments(&records), [1, 2, 3, 5]);
        let skipped: Vec<_> = logs.skipped.iter().map(|skipped| skipped.what.clone()).collect();
        assert_eq!(skipped[0], What::Lines(2));
        assert!(matches!(skipped[1], What::Unreadable(_)));
        assert_eq!(skipped[2], What::Lines(1));
    }

    #[test]
    fn what_is_written_later_is_followed_over_a_change_of_files() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::create_dir(&log).unwrap();
        let path = log.join("events.jsonl");
        fs::write(&path, line(1)).unwrap();
        let (mut logs, records) = Logs::read(&log);
        assert_eq!(moments(&records), [1]);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let (half, rest) = (&line(2)[..9], &line(2)[9..]);
        file.write_all(half.as_bytes()).unwrap();
        assert!(logs.more().is_empty());
        file.write_all([rest, line(3).as_str()].concat().as_bytes()).unwrap();
        fs::rename(&path, log.join("events-0000000000009.jsonl")).unwrap();
        fs::write(&path, line(4)).unwrap();
        assert_eq!(moments(&logs.more()), [2, 3, 4]);
        assert!(logs.more().is_empty());
        assert_eq!(logs.skipped, []);
        let (_, all) = Logs::read(dir.path());
        assert_eq!(moments(&all), [1, 2, 3, 4]);
    }

    #[test]
    fn several_files_put_aside_between_two_looks_are_all_read() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::create_dir(&log).unwrap();
        let path = log.join("events.jsonl");
        fs::write(log.join("events-0000000000001.jsonl"), line(1)).unwrap();
        fs::write(&path, line(2)).unwrap();
        let (mut logs, records) = Logs::read(dir.path());
        assert_eq!(moments(&records), [1, 2]);
        for at in 3..6 {
            fs::rename(&path, log.join(format!("events-{at:013}.jsonl"))).unwrap();
            fs::write(&path, line(at)).unwrap();
        }
        assert_eq!(moments(&logs.more()), [3, 4, 5]);
        assert!(logs.more().is_empty());
    }

    #[test]
    fn files_put_aside_before_the_first_current_one_was_seen_are_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        fs::create_dir(&log).unwrap();
        fs::write(log.join("events-0000000000001.jsonl"), line(1)).unwrap();
        let (mut logs, records) = Logs::read(dir.path());
        assert_eq!(moments(&records), [1]);
        for at in 2..4 {
            fs::write(log.join(format!("events-{at:013}.jsonl")), line(at)).unwrap();
        }
        fs::write(log.join("events.jsonl"), line(4)).unwrap();
        assert_eq!(moments(&logs.more()), [2, 3, 4]);
        assert!(logs.more().is_empty());
    }

    #[test]
    fn where_no_log_is_it_is_said_and_one_that_begins_later_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let (mut logs, records) = Logs::read(&state);
        assert!(records.is_empty() && logs.is_none());
        assert_eq!(std::mem::take(&mut logs.skipped), [Skipped { path: state.clone(), what: What::NoLog }]);
        fs::create_dir_all(state.join("log")).unwrap();
        assert!(logs.more().is_empty());
        fs::write(state.join("log/events.jsonl"), line(1)).unwrap();
        assert_eq!(moments(&logs.more()), [1]);
        fs::create_dir(state.join("log-2")).unwrap();
        fs::write(state.join("log-2/events-0000000000002.jsonl"), line(2)).unwrap();
        fs::write(state.join("log-2/events.jsonl"), line(3)).unwrap();
        assert_eq!(moments(&logs.more()), [2, 3]);
    }

    #[test]
    fn a_log_that_begins_later_is_found_once_its_directory_is_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        let (mut logs, records) = Logs::read(dir.path());
        assert!(records.is_empty());
        fs::write(dir.path().join("log/events.jsonl"), line(1)).unwrap();
        assert_eq!(moments(&logs.more()), [1]);
    }
}
