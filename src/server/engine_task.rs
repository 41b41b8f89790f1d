//! The one task that owns the engine.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tracing::{error, info};

use super::conn::Order;
use super::hasher::Hasher;
use super::journal::{JournalHandle, Task};
use super::log::Lines;
use super::office::Told;
use super::opening::Opening;
use super::ops::{Ask, Looked};
use super::{Knock, ServerError};
use crate::model::engine::{Effect, Engine, Hashed, Input, JobId};
use crate::model::event::LinkEnd;
use crate::model::id::{ConnId, Lsn};
use crate::model::message::ToClient;
use crate::model::operator::AskId;
use crate::model::refusal::Refusal;
use crate::model::time::Clock;
use crate::ops::event;
use crate::ops::host::sleep_until;
use crate::ops::metrics::Metrics;

/// The engine and everything its effects need.
pub(super) struct EngineTask {
    pub(super) engine: Engine,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal: JournalHandle,
    pub(super) full: bool,
    pub(super) hasher: Box<dyn Hasher>,
    pub(super) hashed: mpsc::UnboundedReceiver<(JobId, Hashed)>,
    pub(super) inputs: mpsc::Receiver<Knock>,
    pub(super) conns: BTreeMap<ConnId, mpsc::Sender<Order>>,
    /// Of connections whose last words are dealt with, by the fact that the replies wait for.
    pub(super) turns: VecDeque<(Lsn, OwnedSemaphorePermit)>,
    /// Operators who wait for an answer.
    pub(super) asked: BTreeMap<AskId, oneshot::Sender<Told>>,
    /// Whether nothing new begins and no match is under way.
    pub(super) over: watch::Sender<bool>,
    pub(super) draining: bool,
    pub(super) log: Lines,
    pub(super) metrics: Arc<Metrics>,
    /// Whoever looks after the server, and wants to know how many there are of everything.
    pub(super) looks: mpsc::Receiver<Ask>,
    /// The most inputs, and facts not on disk, that ever waited.
    pub(super) waited: (usize, u64),
}

/// Facts that may wait for the disk before no more requests are taken.
const UNFLUSHED_MAX: u64 = 100_000;
/// Inputs handled between two looks at the journal.
const INPUTS_AT_ONCE: usize = 256;

impl EngineTask {
    /// Until the server is drained, or the journal fails.
    pub(super) async fn run(mut self, opening: Opening) -> Result<(), ServerError> {
        self.handle(Input::Booted(opening.boot));
        if opening.lost {
            self.handle(Input::StateLost);
        }
        let mut opening = Some(Opening { after: self.engine.lsns().0, ..opening });
        let mut some = Vec::with_capacity(INPUTS_AT_ONCE);
        loop {
            if self.draining && self.engine.is_quiet() {
                return Ok(());
            }
            let (appended, flushed) = self.engine.lsns();
            if let Some(opening) = opening.take_if(|opening| opening.after <= flushed) {
                opening.finish();
            }
            let ready = appended.0 - flushed.0 < UNFLUSHED_MAX;
            let due = self.engine.poll_timeout();
            let clock = Arc::clone(&self.clock);
            tokio::select! {
                changed = self.journal.status.changed() => {
                    changed.map_err(|_| ServerError::Engine)?;
                    self.hear_journal()?;
                }
                hashed = self.hashed.recv() => if let Some((job, done)) = hashed {
                    self.handle(Input::Hashed { job, done });
                },
                Some(ask) = self.looks.recv() => self.look(ask),
                count = self.inputs.recv_many(&mut some, INPUTS_AT_ONCE), if ready => {
                    if count == 0 {
                        return Err(ServerError::Engine);
                    }
                    let waiting = (count + self.inputs.len(), appended.0 - flushed.0);
                    self.waited = (self.waited.0.max(waiting.0), self.waited.1.max(waiting.1));
                    for Knock { input, orders, turn, told } in some.drain(..) {
                        self.conns.extend(orders);
                        self.asked.extend(told);
                        self.handle(input);
                        self.turns.extend(turn.map(|turn| (self.engine.lsns().0, turn)));
                        self.end_turns();
                    }
                }
                () = sleep_until(&*clock, due) => {
                    self.engine.handle_timeout(self.clock.now(), self.clock.wall());
                    self.drain();
                }
            }
        }
    }

    /// Lets connections say more, once the replies to what they said have gone to them.
    fn end_turns(&mut self) {
        let flushed = self.engine.lsns().1;
        while self.turns.pop_front_if(|(after, _)| *after <= flushed).is_some() {}
    }

    fn look(&self, ask: Ask) {
        // Whoever has asked may be gone.
        match ask {
            Ask::Census { rows_max, tell } => {
                let (waited, facts) = (self.waited, self.engine.lsns().0);
                drop(tell.send(Looked { census: self.engine.census(rows_max), waited, facts }));
            }
            Ask::Depth { match_id, tell } => drop(tell.send(self.engine.depth(match_id))),
        }
    }

    fn hear_journal(&mut self) -> Result<(), ServerError> {
        let status = self.journal.status.borrow_and_update().clone();
        if let Some(failed) = status.failed {
            error!(event = event::JOURNAL_FAILED, error = %failed, "the journal cannot go on");
            return Err(failed.into());
        }
        if status.flushed > self.engine.lsns().1 {
            self.handle(Input::Flushed(status.flushed));
            self.end_turns();
        }
        if status.full != self.full {
            self.full = status.full;
            match self.full {
                true => error!(event = event::DISK_FULL, "the disk is full: nothing can be changed, reading goes on"),
                false => info!(event = event::DISK_FULL, "the disk has space again"),
            }
            self.handle(Input::DiskFull(self.full));
        }
        Ok(())
    }

    fn handle(&mut self, input: Input) {
        match &input {
            Input::Closed { conn, .. } => drop(self.conns.remove(conn)),
            Input::Drain { .. } => self.draining = true,
            Input::Booted(_)
            | Input::Opened { .. }
            | Input::Resume { .. }
            | Input::ResumeChecked { .. }
            | Input::Request { .. }
            | Input::Have { .. }
            | Input::Entries { .. }
            | Input::BadEntry { .. }
            | Input::Ungranted { .. }
            | Input::Held { .. }
            | Input::Proofs { .. }
            | Input::Promise { .. }
            | Input::Candidates { .. }
            | Input::StateLost
            | Input::Stored { .. }
            | Input::Hashed { .. }
            | Input::Operator { .. }
            | Input::Flushed(_)
            | Input::DiskFull(_) => {}
        }
        self.engine.handle(self.clock.now(), self.clock.wall(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                // When the journal has ended, its status says so.
                Effect::Append(facts) => drop(self.journal.tasks.send(Task::Append(facts))),
                Effect::Hash { job, hashing } => {
                    if self.hasher.start(job, hashing).is_err() {
                        // The engine counts the jobs, so there is always room; after a fault nobody is let in.
                        self.engine.handle(
                            self.clock.now(),
                            self.clock.wall(),
                            Input::Hashed { job, done: Hashed::Wrong },
                        );
                    }
                }
                Effect::CheckResume { conn, device } => self.order(conn, Order::CheckResume(device)),
                Effect::Send { conn, message } => {
                    if let Some(refusal) = refusal(&message) {
                        self.metrics.refused(refusal.word());
                    }
                    self.order(conn, Order::Send(message));
                }
                Effect::Pace { conn, urgent } => self.order(conn, Order::Pace(urgent)),
                Effect::Close { conn, why } => {
                    self.order(conn, Order::Close(why));
                    self.conns.remove(&conn);
                }
                Effect::Log(event) => self.log.write(self.clock.now(), &event, &self.metrics),
                Effect::Told { ask, told } => {
                    if let Some(waiting) = self.asked.remove(&ask) {
                        // The operator may have gone.
                        drop(waiting.send(told));
                    }
                }
                Effect::Over => drop(self.over.send_replace(true)),
            }
        }
    }

    /// Gives an order to a connection. One that does not take its orders is dropped.
    fn order(&mut self, conn: ConnId, order: Order) {
        let Some(orders) = self.conns.get(&conn) else { return };
        match orders.try_send(order) {
            Ok(()) => {}
            // It has ended, and says so itself.
            Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => {
                info!(event = event::MISBEHAVED, conn = conn.0, "a client does not read what is sent to it");
                self.conns.remove(&conn);
                self.engine.handle(self.clock.now(), self.clock.wall(), Input::Closed { conn, end: LinkEnd::Ours });
            }
        }
    }
}

/// What is refused by a message, if anything is.
fn refusal(message: &ToClient) -> Option<Refusal> {
    if let ToClient::Answer { result: Err(refusal), .. }
    | ToClient::ResumeRefused(refusal)
    | ToClient::EntryRefused { refusal, .. } = message
    {
        Some(*refusal)
    } else {
        None
    }
}
