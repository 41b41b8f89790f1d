//! What a process has said: kept, so that whatever came early can still be waited for.

use std::fmt::Debug;
use std::sync::mpsc::Receiver;

use rejoin::model::time::Clock;
use rejoin::ops::host::HostClock;

use super::PATIENCE;

/// The lines of a process, in order.
pub(crate) struct Heard<T> {
    lines: Receiver<T>,
    kept: Vec<T>,
    /// Where [`until`](Self::until) begins to look.
    start: usize,
}

impl<T: Debug> Heard<T> {
    pub(crate) const fn new(lines: Receiver<T>) -> Self {
        Self { lines, kept: Vec::new(), start: 0 }
    }

    /// Looks only at what comes after this.
    pub(crate) fn forget(&mut self) {
        self.start = self.count();
    }

    /// How many lines have come.
    pub(crate) fn count(&mut self) -> usize {
        self.kept.extend(self.lines.try_iter());
        self.kept.len()
    }

    /// All that has come.
    pub(crate) fn all(&mut self) -> &[T] {
        self.count();
        &self.kept
    }

    /// What has come since the last [`forget`](Self::forget).
    pub(crate) fn since(&mut self) -> &[T] {
        self.count();
        &self.kept[self.start..]
    }

    /// Waits for a line that came since the last [`forget`](Self::forget), or is still to come.
    pub(crate) fn until<R>(&mut self, what: &str, wanted: impl Fn(&T) -> Option<R>) -> R {
        self.until_from(self.start, what, wanted)
    }

    /// As [`until`](Self::until), from the line of this number on.
    pub(crate) fn until_from<R>(&mut self, from: usize, what: &str, wanted: impl Fn(&T) -> Option<R>) -> R {
        let clock = HostClock::start();
        let end = clock.now() + PATIENCE;
        let mut next = from;
        loop {
            if let Some(found) = self.kept[next..].iter().find_map(&wanted) {
                return found;
            }
            next = self.kept.len();
            match self.lines.recv_timeout(end.since(clock.now())) {
                Ok(line) => self.kept.push(line),
                Err(why) => panic!("waiting for {what}: {why}; it said {:#?}", &self.kept[from..]),
            }
        }
    }

    /// Everything a process has said, when it has ended.
    pub(crate) fn finish(&mut self) -> &[T] {
        self.kept.extend(self.lines.iter());
        &self.kept
    }
}
