//! The event log on disk, and the thread that writes it.
//!
//! ```text
//! log/events.jsonl           one JSON object a line      log/events-MILLISECONDS.jsonl   older ones
//! log/log.txt                the same for people         log/log-MILLISECONDS.txt
//! ```
//!
//! What must hold: whoever has something to log never waits for the disk; events come out whole and in order; no audit
//! event is left out unless so many wait that the disk must have been gone for long, and then the log says how many.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use super::event::{self, Class};
use super::record::Record;
use crate::model::time::{Clock, WallMs};

/// An event log in use. Clones write to the same.
#[derive(Clone)]
pub struct EventLog(Arc<Shared>);

/// How the files grow.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Bytes at which a file is put aside for a new one.
    pub file_bytes: u64,
    /// Files put aside that are kept of each kind.
    pub kept: usize,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    written: watch::Sender<u64>,
    recent: Mutex<Recent>,
    news: broadcast::Sender<Event>,
    clock: Box<dyn Clock>,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Line>,
    /// Lines taken so far.
    taken: u64,
    left_out: [u64; 2],
    left_out_ever: u64,
    closed: bool,
}

/// An event that was written: its number in this run, and its JSON line.
pub type Event = (u64, Arc<str>);

/// The last audit events, for whoever begins to look on.
#[derive(Default)]
struct Recent {
    last: u64,
    events: VecDeque<Event>,
}

/// One event, ready to be written.
struct Line {
    class: Class,
    json: String,
    text: String,
}

/// One of the two files, as far as it is open.
struct Rolling {
    dir: PathBuf,
    stem: &'static str,
    extension: &'static str,
    open: Option<(File, u64)>,
    sizes: Sizes,
}

/// The thread's side.
struct Writer {
    shared: Arc<Shared>,
    events: Rolling,
    text: Rolling,
    _lock: File,
}

/// Routine events that may wait.
const ROUTINE_MAX: usize = 8_192;
/// Audit events that may wait: more than a full disk lets happen in hours.
const AUDIT_MAX: usize = 100_000;
/// Events that are remembered for whoever begins to look on.
const RECENT_MAX: usize = 2048;
/// What is read for them of an earlier run.
const REMEMBERED_BYTES: u64 = 128 * 1024;
/// Events that somebody who looks on may be behind.
const NEWS_MAX: usize = 1024;
/// What is logged within this time of a line is written with it: when a thousand clients come back at once, each line
/// would wake the thread for two writes.
const GATHER: Duration = Duration::from_millis(2);
/// How often a disk that takes nothing is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// Programs that may write beside each other under one directory, each to files of its own.
const BESIDE_MAX: usize = 64;
/// The current file of events.
pub const EVENTS: &str = "events";
/// The extension of files of events.
pub const EVENTS_EXTENSION: &str = "jsonl";
/// What directories of logs are called; those beside the first have a number after it.
pub const DIR: &str = "log";

impl Default for Sizes {
    fn default() -> Self {
        Self { file_bytes: 8 * 1024 * 1024, kept: 32 }
    }
}

impl EventLog {
    /// Opens the log of a state directory and starts its thread. A second program on the same directory gets files of
    /// its own, beside the first one's.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn open(state: &Path, sizes: Sizes, clock: Box<dyn Clock>) -> io::Result<Self> {
        let (dir, lock) = claim(state)?;
        let queue = Mutex::new(Queue::default());
        let shared = Arc::new(Shared::new(queue, clock));
        shared.remember(&dir);
        let rolling = |stem, extension| Rolling { dir: dir.clone(), stem, extension, open: None, sizes };
        let (events, text) = (rolling(EVENTS, EVENTS_EXTENSION), rolling("log", "txt"));
        let writer = Writer { shared: Arc::clone(&shared), events, text, _lock: lock };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
        Ok(Self(shared))
    }

    /// What the log's clock says.
    #[must_use]
    pub fn wall(&self) -> WallMs {
        self.0.clock.wall()
    }

    /// Takes an event. Never waits for the disk.
    pub fn push(&self, record: &Record) {
        let class = class(record);
        let line = Line { class, json: record.json(), text: record.text() };
        let mut queue = self.0.queue();
        let (max, place) = match class {
            Class::Routine => (ROUTINE_MAX, 0),
            Class::Audit => (AUDIT_MAX, 1),
        };
        if queue.lines.len() >= max {
            queue.left_out[place] += 1;
            queue.left_out_ever += 1;
            return;
        }
        // If others wait already, the thread is on its way.
        let is_first = queue.lines.is_empty();
        queue.lines.push_back(line);
        queue.taken += 1;
        drop(queue);
        if is_first {
            self.0.wake.notify_one();
        }
    }

    /// Waits until all that was pushed so far is in the files, but not longer than `max`.
    pub async fn written(&self, max: Duration) {
        let taken = self.0.queue().taken;
        let mut written = self.0.written.subscribe();
        // Whoever waits has something better to do than to wait for a disk that hangs.
        let _ = tokio::time::timeout(max, written.wait_for(|written| *written >= taken)).await;
    }

    /// The last audit events, and all that come.
    #[must_use]
    pub fn watch(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        // Under the lock, so that nothing is missed or comes twice.
        let recent = self.0.recent.lock().unwrap_or_else(PoisonError::into_inner);
        (recent.events.iter().cloned().collect(), self.0.news.subscribe())
    }

    /// How many events were left out so far.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.0.queue().left_out_ever
    }

    /// Writes what waits and ends; nothing may be pushed after it. Blocks, but not longer than `max`.
    pub fn close(&self, max: Duration) {
        let mut queue = self.0.queue();
        queue.closed = true;
        let taken = queue.taken;
        self.0.wake.notify_all();
        let done = |_: &mut Queue| *self.0.written.borrow() < taken;
        let (queue, _) = self.0.wake.wait_timeout_while(queue, max, done).unwrap_or_else(PoisonError::into_inner);
        drop(queue);
    }
}

impl Shared {
    fn new(queue: Mutex<Queue>, clock: Box<dyn Clock>) -> Self {
        let (wake, written, news) = (Condvar::new(), watch::Sender::new(0), broadcast::Sender::new(NEWS_MAX));
        Self { queue, wake, written, recent: Mutex::default(), news, clock }
    }

    /// Reads what earlier runs have written last.
    fn remember(&self, dir: &Path) {
        let path = dir.join(EVENTS).with_extension(EVENTS_EXTENSION);
        let read = File::open(path).and_then(|mut file| {
            let mut bytes = Vec::new();
            let len = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(len.saturating_sub(REMEMBERED_BYTES)))?;
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        // What cannot be read is not remembered; `rejoin logs` says what is wrong with it.
        for line in String::from_utf8_lossy(&read.unwrap_or_default()).lines() {
            if let Ok(record) = Record::parse(line) {
                self.tell(class(&record), line);
            }
        }
    }

    /// Tells those who look on.
    fn tell(&self, class: Class, json: &str) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.last += 1;
        if class == Class::Audit {
            let event: Event = (recent.last, Arc::from(json));
            if recent.events.len() >= RECENT_MAX {
                recent.events.pop_front();
            }
            recent.events.push_back(event.clone());
            // There may be nobody.
            let _ = self.news.send(event);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let idle = |queue: &mut Queue| queue.lines.is_empty() && queue.left_out == [0, 0] && !queue.closed;
            let mut queue = shared.wake.wait_while(shared.queue(), idle).unwrap_or_else(PoisonError::into_inner);
            if !queue.closed {
                drop(queue);
                std::thread::sleep(GATHER);
                queue = shared.queue();
            }
            let lines = std::mem::take(&mut queue.lines);
            let left_out = std::mem::take(&mut queue.left_out);
            let closed = queue.closed;
            drop(queue);
            let written = lines.len() as u64;
            let note = (left_out != [0, 0]).then(|| note(shared.clock.wall(), left_out));
            self.write(lines.into_iter().chain(note));
            // Under the lock, so that whoever waits for the end does not miss it.
            let queue = shared.queue();
            shared.written.send_modify(|sum| *sum += written);
            shared.wake.notify_all();
            if closed && queue.lines.is_empty() {
                return;
            }
        }
    }

    /// Writes until the disk takes it, or the log is closed.
    fn write(&mut self, lines: impl Iterator<Item = Line>) {
        let (mut events, mut text) = (String::new(), String::new());
        for line in lines {
            self.shared.tell(line.class, &line.json);
            events = events + &line.json + "\n";
            text = text + &line.text + "\n";
        }
        for (file, bytes) in [(&mut self.events, events), (&mut self.text, text)] {
            while file.append(bytes.as_bytes(), &*self.shared.clock).is_err() {
                if self.shared.queue().closed {
                    return;
                }
                std::thread::sleep(RETRY);
            }
        }
    }
}

impl Rolling {
    fn append(&mut self, bytes: &[u8], clock: &dyn Clock) -> io::Result<()> {
        // With nothing to write, as at the end, no file is put aside.
        if bytes.is_empty() {
            return Ok(());
        }
        if self.open.as_ref().is_some_and(|(_, len)| *len >= self.sizes.file_bytes) {
            self.roll(clock.wall())?;
        }
        let (mut file, len) = match self.open.take() {
            Some(open) => open,
            None => open_to_append(&self.path(None))?,
        };
        // After an error the file is opened anew, which ends the line that was cut off.
        file.write_all(bytes)?;
        self.open = Some((file, len + bytes.len() as u64));
        Ok(())
    }

    /// Puts the file aside, and removes the oldest of those that were.
    fn roll(&mut self, at: WallMs) -> io::Result<()> {
        self.open = None;
        let mut old: Vec<u64> = fs::read_dir(&self.dir)?.filter_map(|entry| self.moment(&entry.ok()?.path())).collect();
        old.sort_unstable();
        // Later than all before, also when several are put aside at once or the clock goes back.
        let at = old.last().map_or(at.0, |last| at.0.max(last + 1));
        fs::rename(self.path(None), self.path(Some(at)))?;
        let surplus = (old.len() + 1).saturating_sub(self.sizes.kept);
        old.iter().take(surplus).try_for_each(|at| fs::remove_file(self.path(Some(*at))))
    }

    /// When a file of this kind was put aside.
    fn moment(&self, path: &Path) -> Option<u64> {
        let name = path.file_stem()?.to_str()?;
        let of_this = path.extension().is_some_and(|extension| extension == self.extension);
        name.strip_prefix(self.stem)?.strip_prefix('-')?.parse().ok().filter(|_| of_this)
    }

    fn path(&self, aside: Option<u64>) -> PathBuf {
        let aside = aside.map(|at| format!("-{at:013}")).unwrap_or_default();
        self.dir.join(format!("{}{aside}.{}", self.stem, self.extension))
    }
}

fn class(record: &Record) -> Class {
    event::kind(&record.event).map_or(Class::Routine, |kind| kind.class)
}

/// The first directory of logs that nobody writes to, and the lock on it.
fn claim(state: &Path) -> io::Result<(PathBuf, File)> {
    for number in 1..=BESIDE_MAX {
        let name = if number == 1 { DIR.to_owned() } else { format!("{DIR}-{number}") };
        let dir = state.join(name);
        private_dir(&dir)?;
        let lock = private().write(true).create(true).truncate(false).open(dir.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => return Ok((dir, lock)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::other("too many programs write logs under this directory"))
}

/// Opens a file and ends the line that a crash may have cut off; how long it is.
fn open_to_append(path: &Path) -> io::Result<(File, u64)> {
    let mut file = private().read(true).append(true).create(true).open(path)?;
    let mut len = file.seek(SeekFrom::End(0))?;
    if len > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            len += 1;
        }
    }
    Ok((file, len))
}

fn note(at: WallMs, [routine, audit]: [u64; 2]) -> Line {
    let fields = [("routine".to_owned(), routine.into()), ("audit".to_owned(), audit.into())];
    let (level, event) = ("WARN".to_owned(), event::EVENTS_LEFT_OUT.to_owned());
    let record = Record { at, level, event, fields: fields.into_iter().collect() };
    Line { class: Class::Audit, json: record.json(), text: record.text() }
}

#[cfg(unix)]
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(not(unix))]
fn private() -> OpenOptions {
    OpenOptions::new()
}

fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::host::HostClock;

    const LONG: Duration = Duration::from_secs(20);

    fn open(dir: &Path, sizes: Sizes) -> EventLog {
        EventLog::open(dir, sizes, Box::new(HostClock::start())).unwrap()
    }

    fn login(number: u64) -> Record {
        let fields = [("user".to_owned(), format!("user-{number}").into())].into_iter().collect();
        let (level, event) = ("INFO".to_owned(), event::LOGIN_OK.to_owned());
        Record { at: WallMs(number), level, event, fields }
    }

    fn wait(log: &EventLog) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(log.written(LONG));
    }

    fn moments(dir: &Path) -> Vec<u64> {
        let mut files: Vec<PathBuf> = fs::read_dir(dir.join(DIR)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == EVENTS_EXTENSION));
        // `events-…` comes before `events.…`.
        files.sort();
        let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
        text.lines().filter_map(|line| Record::parse(line).ok()).map(|record| record.at.0).collect()
    }

    #[test]
    fn events_are_whole_and_in_order_over_many_files_and_two_runs() {
        let dir = tempfile::tempdir().unwrap();
        let sizes = Sizes { file_bytes: 1_000, kept: 1_000 };
        for run in 0..2 {
            let log = open(dir.path(), sizes);
            for number in 0..200 {
                log.push(&login(run * 200 + number));
                wait(&log);
            }
            log.close(LONG);
            // The lock goes with the thread, a moment after the last line.
            while claim(dir.path()).unwrap().0 != dir.path().join(DIR) {}
        }
        assert_eq!(moments(dir.path()), (0..400).collect::<Vec<_>>());
        let files = fs::read_dir(dir.path().join(DIR)).unwrap().count();
        assert!(files > 4, "{files} files");
    }

    #[test]
    fn only_so_many_old_files_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path(), Sizes { file_bytes: 1, kept: 3 });
        for number in 0..50 {
            log.push(&login(number));
            wait(&log);
        }
        log.close(LONG);
        assert_eq!(moments(dir.path()), [46, 47, 48, 49]);
    }

    #[test]
    fn a_line_that_a_crash_has_cut_off_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(DIR)).unwrap();
        fs::write(dir.path().join("log/events.jsonl"), format!("{}\n{{\"at\":2,\"ev", login(1).json())).unwrap();
        let log = open(dir.path(), Sizes::default());
        log.push(&login(3));
        log.close(LONG);
        assert_eq!(moments(dir.path()), [1, 3]);
    }

    #[test]
    fn two_programs_write_beside_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let logs = [open(dir.path(), Sizes::default()), open(dir.path(), Sizes::default())];
        logs.iter().for_each(|log| log.push(&login(1)));
        logs.iter().for_each(|log| log.close(LONG));
        assert!(dir.path().join("log-2/events.jsonl").exists());
        assert_eq!(moments(dir.path()), [1]);
    }

    #[test]
    fn what_waits_is_bounded_and_an_audit_event_stays_longer_than_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let shared = Shared::new(Mutex::new(Queue::default()), Box::new(HostClock::start()));
        let log = EventLog(Arc::new(shared));
        let routine = Record { event: event::CONNECTED.to_owned(), ..login(1) };
        for _ in 0..ROUTINE_MAX + 3 {
            log.push(&routine);
        }
        log.push(&login(2));
        assert_eq!(log.0.queue().left_out, [3, 0]);
        // The thread comes only then, and says what it has not seen.
        let rolling = |stem, extension| Rolling {
            dir: dir.path().join(DIR),
            stem,
            extension,
            open: None,
            sizes: Sizes::default(),
        };
        let (_, lock) = claim(dir.path()).unwrap();
        let (events, text) = (rolling(EVENTS, EVENTS_EXTENSION), rolling("log", "txt"));
        let writer = Writer { shared: Arc::clone(&log.0), events, text, _lock: lock };
        std::thread::spawn(move || writer.run());
        log.close(LONG);
        let written = fs::read_to_string(dir.path().join("log/events.jsonl")).unwrap();
        assert_eq!(written.lines().count(), ROUTINE_MAX + 2);
        assert!(written.lines().last().unwrap().contains("\"routine\":3"), "{written}");
    }
}
