//! The log: lines on standard error, and the events of the catalogue in files.

use std::fmt;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt as lines, registry};

use super::files::{EventLog, Sizes};
use super::host::HostClock;
use super::record::Record;

/// The files of a program's log; what waits is written when this is dropped.
pub struct Files(EventLog);

/// Gives events to the files.
pub struct ToFiles(EventLog);

/// What an event says.
#[derive(Default)]
struct Fields {
    event: String,
    fields: Map<String, Value>,
}

/// How long the end of a program waits for its log.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Writes what happens to standard error, one line each, and the events of the catalogue to files under `state`.
/// `REJOIN_LOG` takes a filter, such as `debug`, for standard error.
///
/// # Errors
/// When the files cannot be opened; standard error is written to all the same.
pub fn start(state: &Path) -> io::Result<Files> {
    let opened = EventLog::open(state, Sizes::default(), Box::new(HostClock::start()));
    let to_files = opened.as_ref().ok().map(|log| ToFiles(log.clone()).with_filter(worth_keeping()));
    let filter = EnvFilter::try_from_env("REJOIN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let to_terminal = lines::layer()
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .with_filter(filter);
    // Somebody else's log, in a test, is as good.
    let _ = registry().with(to_files).with(to_terminal).try_init();
    opened.map(Files)
}

/// Writes the events of the catalogue to files under `state`, and nothing else.
///
/// # Errors
/// When the files cannot be opened.
pub fn start_quietly(state: &Path) -> io::Result<Files> {
    let log = EventLog::open(state, Sizes::default(), Box::new(HostClock::start()))?;
    let _ = registry().with(ToFiles(log.clone()).with_filter(worth_keeping())).try_init();
    Ok(Files(log))
}

/// What goes to the files: whatever a stranger can cause for nothing, and without end, is left out.
fn worth_keeping() -> FilterFn<fn(&tracing::Metadata<'_>) -> bool> {
    filter_fn(|of| *of.level() <= tracing::Level::INFO && of.fields().field("event").is_some())
}

impl Files {
    /// The log itself.
    #[must_use]
    pub const fn log(&self) -> &EventLog {
        &self.0
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.0.close(CLOSE_MAX);
    }
}

impl ToFiles {
    /// Into this log.
    #[must_use]
    pub const fn new(log: EventLog) -> Self {
        Self(log)
    }
}

impl<S: Subscriber> Layer<S> for ToFiles {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut said = Fields::default();
        event.record(&mut said);
        if !said.event.is_empty() {
            let level = event.metadata().level().to_string();
            self.0.push(&Record { at: self.0.wall(), level, event: said.event, fields: said.fields });
        }
    }
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => value.clone_into(&mut self.event),
            _ => self.put(field, value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}
