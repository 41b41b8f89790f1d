//! The dials under way, and the question whether a new server is trusted.
//!
//! What must hold: news of a dial that was abandoned is not heard; while a person is asked no dial goes out; whatever
//! server comes later is the one that came first.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::Shell;
use crate::client::config::Config;
use crate::client::dial::{DialError, Ready};
use crate::client::error::ClientError;
use crate::client::handle::Question;
use crate::client::link::Connection;
use crate::model::client::player::Input;
use crate::model::client::supervisor::DialId;
use crate::model::key::ServerId;
use crate::model::time::Now;

/// A dial the player wants.
pub(super) enum Dial {
    /// Its task; it ends with this.
    Running { _task: Task },
    /// It waits for a person to say whether the server is trusted.
    Parked,
}

/// A task that ends when this is dropped.
pub(super) struct Task(pub(super) AbortHandle);

/// What a dial tells.
pub(super) enum News {
    Reached,
    Done(Result<Box<Ready>, DialError>),
}

/// A question that was put to a person.
pub(super) struct Asked {
    id: ServerId,
    pub(super) answer: oneshot::Receiver<bool>,
}

impl Shell {
    pub(super) fn dial(&mut self, dial: DialId) {
        let entry = if self.question.is_some() { Dial::Parked } else { Dial::Running { _task: self.spawn(dial) } };
        self.dials.insert(dial, entry);
    }

    fn spawn(&self, dial: DialId) -> Task {
        let (dialer, tell) = (Arc::clone(&self.dialer), self.tell.clone());
        let task = tokio::spawn(async move {
            // The shell may have ended; then nobody wants to know.
            let done = dialer.dial(async || drop(tell.send((dial, News::Reached)).await)).await;
            drop(tell.send((dial, News::Done(done))).await);
        });
        Task(task.abort_handle())
    }

    pub(super) async fn on_news(&mut self, dial: DialId, news: News) -> Result<(), ClientError> {
        // Late news of a dial that was abandoned.
        if !self.dials.contains_key(&dial) {
            return Ok(());
        }
        match news {
            News::Reached => {
                self.looking.reached = true;
                self.feed(Input::Reached(dial)).await
            }
            News::Done(Ok(ready)) => self.on_ready(dial, ready).await,
            News::Done(Err(DialError::Failed { why, stranger })) => {
                self.dials.remove(&dial);
                self.looking.last = Some((why.clone(), stranger));
                self.feed(Input::Failed { dial, why }).await
            }
            News::Done(Err(DialError::Ask(id))) => self.ask(dial, id).await,
            News::Done(Err(DialError::Fatal(error))) => Err(error),
        }
    }

    async fn on_ready(&mut self, dial: DialId, ready: Box<Ready>) -> Result<(), ClientError> {
        self.dials.remove(&dial);
        self.looking.until = Now::NEVER;
        let is = ServerId::of(&ready.welcome.key);
        match self.server {
            Some(was) if was != is => {
                let Config { address, state, .. } = &self.dialer.config;
                let (address, state) = (address.key(), state.clone());
                return Err(ClientError::OtherServer { address, was, is, state });
            }
            Some(_) => {}
            None => {
                self.server = Some(is);
                self.open_recent(is).await?;
            }
        }
        let (welcome, exporter) = (ready.welcome.clone(), ready.exporter);
        self.ready = Some((dial, ready));
        self.feed(Input::Ready { dial, welcome, exporter }).await
    }

    pub(super) fn adopt(&mut self, dial: DialId) {
        if let Some((_, ready)) = self.ready.take_if(|(ready, _)| *ready == dial) {
            self.inbox.extend(self.meeting.route(ready.local.ip()).map(Input::Reachable));
            self.connection = Some(Connection::start(ready.stream, ready.decoder));
        }
    }

    /// Asks a person whether to trust a server; until the answer comes no dial goes out.
    async fn ask(&mut self, dial: DialId, id: ServerId) -> Result<(), ClientError> {
        self.dials.insert(dial, Dial::Parked);
        if self.question.is_some() {
            return Ok(());
        }
        self.looking.until = Now::NEVER;
        let (answer, answered) = oneshot::channel();
        let question = Question { address: self.dialer.config.address.key(), id, answer };
        // If nobody listens the answer is a no.
        let _ = self.questions.send(question).await;
        self.question = Some(Asked { id, answer: answered });
        Ok(())
    }

    pub(super) async fn on_answer(&mut self, yes: bool) -> Result<(), ClientError> {
        let Some(Asked { id, .. }) = self.question.take() else { return Ok(()) };
        if !yes {
            return Err(self.dialer.declined(id));
        }
        let dialer = Arc::clone(&self.dialer);
        self.on_disk(move |_| dialer.remember(id)).await?;
        let parked = |(dial, entry): (&DialId, &Dial)| matches!(entry, Dial::Parked).then_some(*dial);
        let waiting: Vec<DialId> = self.dials.iter().filter_map(parked).collect();
        waiting.into_iter().for_each(|dial| self.dial(dial));
        Ok(())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
