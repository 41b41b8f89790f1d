//! The server as it is looked after: what it counts, whether it serves, who is there.
//!
//! What must hold: looking costs the engine one answer at a time; a server that recovers or drains does not call itself
//! ready.

pub mod http;
mod page;
mod seen;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::House;
use crate::model::engine::{Census, Found};
use crate::model::id::{Lsn, MatchId};
use crate::net::tls;
use crate::ops::files::EventLog;
use crate::ops::host::Stopwatch;
use crate::ops::metrics::{self, Metrics};

/// What is known of a server from outside of it.
#[derive(Default)]
pub struct Ops {
    /// What it counts.
    pub metrics: Arc<Metrics>,
    /// Where its events are written.
    pub log: Option<EventLog>,
    attached: OnceLock<Attached>,
    draining: AtomicBool,
}

/// What a server gives once it has recovered.
pub(super) struct Attached {
    pub(super) ask: mpsc::Sender<Ask>,
    pub(super) served: watch::Receiver<bool>,
    pub(super) house: Weak<House>,
    pub(super) boot: u64,
    pub(super) state: PathBuf,
}

/// A look at the engine.
pub(super) enum Ask {
    /// At everything.
    Census { rows_max: usize, tell: oneshot::Sender<Looked> },
    /// At one match.
    Depth { match_id: MatchId, tell: oneshot::Sender<Option<Found>> },
}

/// What the look has shown.
pub(super) struct Looked {
    pub(super) census: Census,
    /// The most inputs, and facts not on disk, that ever waited.
    pub(super) waited: (usize, u64),
    pub(super) facts: Lsn,
}

/// How long the engine may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

impl Ops {
    /// With this log.
    #[must_use]
    pub fn new(log: Option<EventLog>) -> Self {
        Self { log, ..Self::default() }
    }

    /// Without a log and without counting.
    #[must_use]
    pub fn off() -> Self {
        Self { metrics: Arc::new(Metrics::off()), ..Self::default() }
    }

    /// Whether the server serves.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed) && self.attached.get().is_some_and(|of| *of.served.borrow())
    }

    pub(super) fn attach(&self, attached: Attached) {
        // A server is spawned once.
        let _ = self.attached.set(attached);
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Asks the engine; nothing if it has not begun, has ended, or takes too long.
    pub(super) async fn look(&self, rows_max: usize) -> Option<Looked> {
        let watch = Stopwatch::start();
        let looked = self.ask(|tell| Ask::Census { rows_max, tell }).await;
        self.metrics.engine_lag.set(watch.elapsed().as_secs_f64());
        looked
    }

    /// One match; nothing if it is not known, or the engine does not answer.
    pub(super) async fn depth(&self, match_id: MatchId) -> Option<Found> {
        self.ask(|tell| Ask::Depth { match_id, tell }).await.flatten()
    }

    async fn ask<T>(&self, about: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let attached = self.attached.get()?;
        let (tell, told) = oneshot::channel();
        let answered = timeout(ANSWER_MAX, async {
            attached.ask.send(about(tell)).await.ok()?;
            told.await.ok()
        });
        answered.await.ok().flatten()
    }

    /// TLS handshakes being worked on.
    pub(super) fn handshakes(&self) -> i64 {
        let house = self.attached.get().and_then(|attached| attached.house.upgrade());
        house.map_or(0, |house| count(tls::TURNS.saturating_sub(house.turns.available_permits())))
    }

    /// Everything that is counted, as Prometheus reads it.
    pub(super) async fn text(&self) -> String {
        let metrics = &*self.metrics;
        metrics.ready.set(i64::from(self.is_ready()));
        if let Some((cpu, rss)) = metrics::process() {
            metrics.cpu.set(cpu);
            metrics.rss.set(whole(rss));
        }
        metrics.events_left_out.set(self.log.as_ref().map_or(0, |log| whole(log.left_out())));
        if let Some(attached) = self.attached.get() {
            metrics.boot.set(whole(attached.boot));
            metrics.handshakes.set(self.handshakes());
            let state = attached.state.clone();
            if let Ok((bytes, age)) = tokio::task::spawn_blocking(move || files(&state)).await {
                metrics.journal_bytes.set(whole(bytes));
                metrics.snapshot_age.set(age.map_or(-1, whole));
            }
        }
        if let Some(Looked { census, waited, facts }) = self.look(0).await {
            for (state, number) in [("live", census.live), ("away", census.away)] {
                metrics.sessions.get_or_create(&[("state", state)]).set(count(number));
            }
            let matches = [("active", census.active), ("suspended", census.suspended), ("decided", census.decided)];
            for (state, number) in matches {
                metrics.matches.get_or_create(&[("state", state)]).set(count(number));
            }
            metrics.logins_waiting.set(count(census.hashing));
            metrics.waits("inputs", waited.0);
            metrics.waits("unflushed", usize::try_from(waited.1).unwrap_or(usize::MAX));
            metrics.facts.set(whole(facts.0));
        }
        metrics.text()
    }
}

/// Bytes of the journal's files, and seconds since the newest snapshot was made.
fn files(state: &std::path::Path) -> (u64, Option<u64>) {
    let (mut bytes, mut newest) = (0, None);
    for entry in std::fs::read_dir(state).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(about) = entry.metadata() else { continue };
        if name.starts_with("journal-") {
            bytes += about.len();
        } else if name.starts_with("snapshot-") {
            newest = newest.max(about.modified().ok());
        }
    }
    let age = |made: SystemTime| made.elapsed().map_or(0, |age| age.as_secs());
    (bytes, newest.map(age))
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl fmt::Debug for Ops {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Ops").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_recovers_or_drains_is_not_ready() {
        let ops = Ops::default();
        assert!(!ops.is_ready(), "it recovers");
        let ((ask, _asked), (serve, served)) = (mpsc::channel(1), watch::channel(false));
        ops.attach(Attached { ask, served, house: Weak::new(), boot: 1, state: PathBuf::new() });
        assert!(!ops.is_ready(), "its start is not on disk");
        serve.send_replace(true);
        assert!(ops.is_ready());
        ops.drain();
        assert!(!ops.is_ready(), "it drains");
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_does_not_answer_holds_nobody_up_for_ever() {
        let ops = Ops::default();
        let ((ask, asked), (_serve, served)) = (mpsc::channel(1), watch::channel(true));
        ops.attach(Attached { ask, served, house: Weak::new(), boot: 7, state: PathBuf::from("nowhere") });
        assert!(ops.look(0).await.is_none());
        drop(asked);
        assert!(ops.text().await.contains("rejoin_run 7\n"));
    }
}
