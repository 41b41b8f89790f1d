//! What a server counts and measures, as Prometheus reads it.
//!
//! What must hold: whatever happens for every move costs an atomic addition and no more; everything else is looked up
//! when somebody asks.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::outage::Cause;

/// What a server finds as the cause of an outage.
const CAUSES: [Cause; 6] =
    [Cause::Reset, Cause::Silence, Cause::Refused, Cause::Restart, Cause::Replaced, Cause::Unknown];

/// One label and its value.
pub type Label = [(&'static str, &'static str); 1];

/// The metrics of a server.
pub struct Metrics {
    registry: Registry,
    /// Connections that have said hello.
    pub connections: Gauge,
    /// Connections taken since the start.
    pub connected: Counter,
    /// Sessions, by `state`: `live` or `away`.
    pub sessions: Family<Label, Gauge>,
    /// Matches, by `state`: `active`, `suspended` or `decided`.
    pub matches: Family<Label, Gauge>,
    /// Outages that are over, by `cause`.
    pub outages: Family<Label, Histogram>,
    /// From a client's asking for its session to its having it.
    pub resumes: Histogram,
    /// TLS handshakes being worked on.
    pub handshakes: Gauge,
    /// Passwords that are hashed or wait to be.
    pub logins_waiting: Gauge,
    /// Writing and syncing one frame of the journal.
    pub syncs: Histogram,
    /// Bytes of the journal's files.
    pub journal_bytes: Gauge,
    /// Since the newest snapshot was made.
    pub snapshot_age: Gauge,
    /// How long the engine took to answer this look at it.
    pub engine_lag: Gauge<f64, AtomicU64>,
    /// The most that ever waited, by `queue`.
    pub queue_max: Family<Label, Gauge>,
    /// What was refused, by `kind`.
    pub refusals: Family<Label, Counter>,
    /// Bytes of frames, by `direction`.
    pub bytes: Family<Label, Counter>,
    /// Facts written to the journal.
    pub facts: Gauge,
    /// The number of this run.
    pub boot: Gauge,
    /// Whether the server serves: not while it recovers or drains.
    pub ready: Gauge,
    /// Events left out of the log.
    pub events_left_out: Gauge,
    /// Processor time of the process.
    pub cpu: Gauge<f64, AtomicU64>,
    /// Memory of the process.
    pub rss: Gauge,
    /// Bytes received; one of [`bytes`](Self::bytes), at hand without a look at the labels.
    bytes_in: Counter,
    /// Bytes sent.
    bytes_out: Counter,
    /// How often frames were written, and the microseconds that took: for a mean.
    synced: [AtomicU64; 2],
    /// Whether nothing is counted.
    off: bool,
}

/// Times from a millisecond to a minute.
fn times() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

/// Times of a disk.
fn disk_times() -> Histogram {
    Histogram::new([0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0])
}

impl Default for Metrics {
    fn default() -> Self {
        let bytes = Family::<Label, Counter>::default();
        let [bytes_in, bytes_out] = ["in", "out"].map(|way| bytes.get_or_create_owned(&[("direction", way)]));
        let mut metrics = Self {
            registry: Registry::default(),
            connections: Gauge::default(),
            connected: Counter::default(),
            sessions: Family::default(),
            matches: Family::default(),
            outages: Family::new_with_constructor(times),
            resumes: times(),
            handshakes: Gauge::default(),
            logins_waiting: Gauge::default(),
            syncs: disk_times(),
            journal_bytes: Gauge::default(),
            snapshot_age: Gauge::default(),
            engine_lag: Gauge::default(),
            queue_max: Family::default(),
            refusals: Family::default(),
            bytes,
            facts: Gauge::default(),
            boot: Gauge::default(),
            ready: Gauge::default(),
            events_left_out: Gauge::default(),
            cpu: Gauge::default(),
            rss: Gauge::default(),
            bytes_in,
            bytes_out,
            synced: Default::default(),
            off: false,
        };
        // What has not happened yet is 0, so that the first time is a change.
        for cause in CAUSES {
            drop(metrics.outages.get_or_create(&[("cause", cause.word())]));
        }
        for kind in ["busy", "disk-full", "wrong-password"] {
            drop(metrics.refusals.get_or_create(&[("kind", kind)]));
        }
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let to = &mut self.registry;
        to.register("rejoin_connections", "Connections that have said hello", self.connections.clone());
        to.register("rejoin_connections_taken", "Connections taken since the start", self.connected.clone());
        to.register("rejoin_sessions", "Sessions, with a link or without", self.sessions.clone());
        to.register("rejoin_matches", "Matches that are not over for both players", self.matches.clone());
        to.register_with_unit("rejoin_outage", "Outages that are over", Unit::Seconds, self.outages.clone());
        to.register_with_unit("rejoin_resume", "Taking a session up again", Unit::Seconds, self.resumes.clone());
        to.register("rejoin_handshakes", "TLS handshakes being worked on", self.handshakes.clone());
        to.register("rejoin_logins_waiting", "Passwords hashed or waiting", self.logins_waiting.clone());
        to.register_with_unit("rejoin_journal_sync", "One frame on disk", Unit::Seconds, self.syncs.clone());
        to.register_with_unit("rejoin_journal", "The journal's files", Unit::Bytes, self.journal_bytes.clone());
        to.register_with_unit("rejoin_snapshot_age", "The newest snapshot", Unit::Seconds, self.snapshot_age.clone());
        to.register_with_unit("rejoin_engine_lag", "An answer of the engine", Unit::Seconds, self.engine_lag.clone());
        to.register("rejoin_queue_max", "The most that ever waited", self.queue_max.clone());
        to.register("rejoin_refusals", "What was refused", self.refusals.clone());
        to.register_with_unit("rejoin_frame", "Bytes of frames", Unit::Bytes, self.bytes.clone());
        to.register("rejoin_facts", "Facts decided so far, in all runs", self.facts.clone());
        to.register("rejoin_run", "The number of this run", self.boot.clone());
        to.register("rejoin_ready", "Whether the server serves", self.ready.clone());
        to.register("rejoin_events_left_out", "Events left out of the log", self.events_left_out.clone());
        to.register_with_unit("rejoin_cpu", "Processor time of the process", Unit::Seconds, self.cpu.clone());
        to.register_with_unit("rejoin_resident", "Memory of the process", Unit::Bytes, self.rss.clone());
    }

    /// That count nothing of what is noted: to measure what counting costs.
    #[must_use]
    pub fn off() -> Self {
        Self { off: true, ..Self::default() }
    }

    /// Notes bytes received.
    pub fn received(&self, bytes: usize) {
        if !self.off {
            self.bytes_in.inc_by(bytes as u64);
        }
    }

    /// Notes bytes sent.
    pub fn sent(&self, bytes: usize) {
        if !self.off {
            self.bytes_out.inc_by(bytes as u64);
        }
    }

    /// Bytes received and sent so far.
    #[must_use]
    pub fn bytes_so_far(&self) -> (u64, u64) {
        (self.bytes_in.get(), self.bytes_out.get())
    }

    /// Notes that a session was taken up again.
    pub fn resumed(&self, took: Duration) {
        if !self.off {
            self.resumes.observe(took.as_secs_f64());
        }
    }

    /// Notes how much waits in a queue.
    pub fn waits(&self, queue: &'static str, number: usize) {
        self.queue_max.get_or_create(&[("queue", queue)]).set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// Notes a refusal.
    pub fn refused(&self, kind: &'static str) {
        if !self.off {
            self.refusals.get_or_create(&[("kind", kind)]).inc();
        }
    }

    /// Notes that a frame was written.
    pub fn synced(&self, took: Duration) {
        if self.off {
            return;
        }
        self.syncs.observe(took.as_secs_f64());
        self.synced[0].fetch_add(1, Ordering::Relaxed);
        self.synced[1].fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long that took in the mean, in milliseconds.
    #[must_use]
    pub fn mean_sync_ms(&self) -> Option<f64> {
        let [count, micros] = self.synced.each_ref().map(|sum| sum.load(Ordering::Relaxed) as f64);
        (count > 0.0).then(|| micros / count / 1000.0)
    }

    /// How often frames were written, and the milliseconds that took, since the start.
    #[must_use]
    pub fn syncs_so_far(&self) -> (u64, f64) {
        let [count, micros] = self.synced.each_ref().map(|sum| sum.load(Ordering::Relaxed));
        (count, micros as f64 / 1000.0)
    }

    /// Notes an outage.
    pub fn outage(&self, cause: &'static str, length: Duration) {
        if !self.off {
            self.outages.get_or_create(&[("cause", cause)]).observe(length.as_secs_f64());
        }
    }

    /// Everything, as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Processor time in seconds and memory in bytes of this process, where the system tells it.
#[must_use]
pub fn process() -> Option<(f64, u64)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let pages: u64 = fields.nth(8)?.parse().ok()?;
    let ticks = (user + system) as f64 / TICKS_PER_SECOND;
    Some((ticks, pages * PAGE_BYTES))
}

/// What Linux counts processor time in, for programs.
const TICKS_PER_SECOND: f64 = 100.0;
/// A page of memory.
const PAGE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_in_the_text() {
        let metrics = Metrics::default();
        metrics.refused("busy");
        metrics.outage("reset", Duration::from_millis(300));
        metrics.received(7);
        let text = metrics.text();
        assert!(text.contains("rejoin_refusals_total{kind=\"busy\"} 1\n"), "{text}");
        assert!(text.contains("rejoin_outage_seconds_bucket{le=\"0.5\",cause=\"reset\"} 1\n"), "{text}");
        assert!(text.contains("rejoin_frame_bytes_total{direction=\"in\"} 7\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn metrics_that_are_off_count_nothing() {
        let note = |metrics: &Metrics| {
            metrics.refused("busy");
            metrics.outage("reset", Duration::from_millis(300));
            metrics.received(7);
            metrics.sent(9);
            metrics.resumed(Duration::from_millis(4));
            metrics.synced(Duration::from_millis(2));
        };
        let (on, off) = (Metrics::default(), Metrics::off());
        note(&on);
        note(&off);
        // Labels come in any order.
        let lines = |metrics: &Metrics| {
            let mut lines: Vec<String> = metrics.text().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&off), lines(&Metrics::default()));
        assert_ne!(lines(&on), lines(&off));
        assert_eq!(off.mean_sync_ms(), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_uses_something() {
        let (seconds, bytes) = process().unwrap();
        assert!(seconds < 10_000.0 && bytes > 1_000_000, "{seconds} s, {bytes} bytes");
    }
}
