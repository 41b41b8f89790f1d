//! What one server writes to its log.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tracing::Dispatch;
use tracing_subscriber::filter::LevelFilter;

use super::patiently;

/// All lines of all levels so far.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<watch::Sender<String>>);

impl Log {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(String::new())))
    }

    /// To be called on every thread whose lines belong here.
    pub(crate) fn on_thread(&self, level: LevelFilter) -> impl Fn() + Send + Sync + 'static {
        let dispatch = self.dispatch(level);
        // For as long as the thread lives.
        move || std::mem::forget(tracing::dispatcher::set_default(&dispatch))
    }

    /// Takes what is of this level, or above it.
    pub(crate) fn dispatch(&self, level: LevelFilter) -> Dispatch {
        let log = self.clone();
        let lines = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
        Dispatch::new(lines.with_writer(move || log.clone()).finish())
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        self.0.borrow().clone()
    }

    /// How many lines have all these words in them.
    pub(crate) fn count(&self, words: &[&str]) -> usize {
        self.0.borrow().lines().filter(|line| has_all(line, words)).count()
    }

    /// Waits for a line with all these words in it.
    pub(crate) async fn line(&self, words: &[&str]) -> String {
        let mut watch = self.0.subscribe();
        let what = format!("a line of the log with {words:?}");
        let text = patiently(&what, watch.wait_for(|text| text.lines().any(|line| has_all(line, words)))).await;
        text.unwrap().lines().find(|line| has_all(line, words)).unwrap().to_owned()
    }

    /// Waits for more than `before` lines with all these words in them.
    pub(crate) async fn more(&self, before: usize, words: &[&str]) {
        let mut watch = self.0.subscribe();
        let more = |text: &String| text.lines().filter(|line| has_all(line, words)).count() > before;
        let what = format!("more than {before} lines of the log with {words:?}");
        drop(patiently(&what, watch.wait_for(more)).await.unwrap());
    }
}

fn has_all(line: &str, words: &[&str]) -> bool {
    words.iter().all(|word| line.contains(word))
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_modify(|text| text.push_str(&String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
