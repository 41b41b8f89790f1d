//! What the real shells write to their log in a world.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest};
use tracing::{Event, Level, Metadata, Subscriber};

/// Collects lines of one thread.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<Line>>>);

/// One line.
pub(super) struct Line {
    pub(super) level: Level,
    /// Its name, of `rejoin::ops::event`.
    pub(super) event: String,
    pub(super) text: String,
}

/// What is written of a line.
#[derive(Default)]
struct Writer {
    event: String,
    message: String,
    fields: String,
}

struct Collector(Log);

impl Log {
    /// From now on, until the guard is dropped.
    pub(super) fn collect(&self) -> DefaultGuard {
        tracing::subscriber::set_default(Collector(self.clone()))
    }

    /// What has come since the last time.
    pub(super) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && *metadata.level() <= Level::INFO && metadata.target().starts_with("rejoin")
}

impl Subscriber for Collector {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata)
    }

    fn max_level_hint(&self) -> Option<tracing::metadata::LevelFilter> {
        Some(tracing::metadata::LevelFilter::INFO)
    }

    fn event(&self, event: &Event<'_>) {
        let mut writer = Writer::default();
        event.record(&mut writer);
        let Writer { event: name, mut message, fields } = writer;
        message.push_str(&fields);
        let line = Line { level: *event.metadata().level(), event: name, text: message };
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

impl Visit for Writer {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => value.clone_into(&mut self.event),
            "message" => value.clone_into(&mut self.message),
            name => drop(write!(self.fields, " {name}={value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
