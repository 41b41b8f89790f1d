//! Where an operator's wishes come in: those for the engine, snapshots, and the end of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::Knock;
use super::journal::Task;
use super::ops::Ops;
use super::snapshots::Snapshots;
use crate::model::engine::Input;
use crate::model::operator::{self, Act, AskId, Unable};
use crate::ops::work::{self, Worker};
use crate::store::{Step, StoreError};

/// What the engine answers.
pub(super) type Told = Result<operator::Told, Unable>;

/// The operator's way to a running server. It keeps nothing of the server alive.
#[derive(Clone)]
pub struct Office {
    inputs: mpsc::WeakSender<Knock>,
    journal: mpsc::WeakUnboundedSender<Task>,
    snapshots: Arc<Snapshots>,
    worker: Arc<dyn Worker>,
    /// Whether nothing new begins and no match is under way.
    over: watch::Receiver<bool>,
    /// Whether the server is to stop.
    stop: Arc<watch::Sender<bool>>,
    ops: Arc<Ops>,
    last_ask: Arc<AtomicU64>,
}

/// The server is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is stopping")]
pub struct Gone;

impl Office {
    pub(super) fn new(
        inputs: mpsc::WeakSender<Knock>,
        journal: mpsc::WeakUnboundedSender<Task>,
        snapshots: Arc<Snapshots>,
        worker: Arc<dyn Worker>,
        over: watch::Receiver<bool>,
        ops: Arc<Ops>,
    ) -> Self {
        let stop = Arc::new(watch::Sender::new(false));
        Self { inputs, journal, snapshots, worker, over, stop, ops, last_ask: Arc::default() }
    }

    /// Waits until an operator wants the server to stop.
    pub async fn stop_wanted(&self) {
        // The sender is in here too.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Asks the engine.
    pub(super) async fn ask(&self, act: Act) -> Result<Told, Gone> {
        let ask = AskId(self.last_ask.fetch_add(1, Ordering::Relaxed) + 1);
        let (tell, told) = oneshot::channel();
        let knock = Knock { told: Some((ask, tell)), ..Knock::new(Input::Operator { ask, act }) };
        let inputs = self.inputs.upgrade().ok_or(Gone)?;
        inputs.send(knock).await.map_err(|_| Gone)?;
        drop(inputs);
        told.await.map_err(|_| Gone)
    }

    /// Makes a snapshot of everything that is on disk by now; none if there is one of it.
    pub(super) async fn snapshot(&self) -> Result<Result<Option<Step>, StoreError>, Gone> {
        let (done, sealed) = oneshot::channel();
        self.journal.upgrade().ok_or(Gone)?.send(Task::Seal(done)).map_err(|_| Gone)?;
        if let Err(error) = sealed.await.map_err(|_| Gone)? {
            return Ok(Err(error));
        }
        let snapshots = Arc::clone(&self.snapshots);
        match work::done(&*self.worker, move || snapshots.make()).await {
            Ok(made) => Ok(made),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Whoever asks whether the server is ready hears that it is not.
    pub(super) fn drains(&self) {
        self.ops.drain();
    }

    /// Stops the server when no match is under way, or after this long; whoever has asked need not wait for it.
    pub(super) fn stop_when_over(&self, limit: Duration) {
        let Self { mut over, stop, .. } = self.clone();
        tokio::spawn(async move {
            // Out of time, or the engine is gone: the end either way.
            let _ = tokio::time::timeout(limit, over.wait_for(|over| *over)).await;
            stop.send_replace(true);
        });
    }
}
