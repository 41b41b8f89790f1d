//! Whose files are open.
//!
//! What must hold: they are opened before the first resume could need them, and for one server only.

use std::sync::Arc;

use super::Shell;
use crate::client::error::ClientError;
use crate::client::store::{OpenError, Opened};
use crate::model::client::event::Event;
use crate::model::client::player::Input;
use crate::model::client::record::{MatchRecord, UserFiles};
use crate::model::id::Name;
use crate::model::key::ServerId;
use crate::model::time::Now;

impl Shell {
    /// If it is known which server this is, its files are opened before the first dial: a player whose client died is
    /// back at the board, whether there is a server or not.
    pub(super) async fn open_before_dialing(&mut self) -> Result<(), ClientError> {
        let dialer = Arc::clone(&self.dialer);
        let Some(expected) = self.on_disk(move |_| dialer.expected()).await? else { return Ok(()) };
        self.open_recent(expected).await
    }

    pub(super) async fn open_recent(&mut self, server: ServerId) -> Result<(), ClientError> {
        let (user, wall) = (self.dialer.config.user.clone(), self.seams.clock.wall());
        let opened = self.on_disk(move |store| store.open_recent(server, user.as_ref(), wall)).await;
        let Some(opened) = opened.map_err(fatal)? else { return Ok(()) };
        self.server = Some(server);
        if is_in_a_match(&opened.files) {
            self.looking.until = Now::NEVER;
        }
        self.opened(opened).await;
        self.drain().await
    }

    pub(super) async fn open_user(&mut self, name: Name) -> Result<(), ClientError> {
        let server = self.server.expect("a login is sent on a link, and a link has a server");
        let (wanted, wall) = (name.clone(), self.seams.clock.wall());
        match self.on_disk(move |store| store.open(server, &wanted, wall)).await {
            Ok(opened) => self.opened(opened).await,
            Err(OpenError::Store(error)) => return Err(error.into()),
            Err(error @ OpenError::InUse(_)) => self.not_opened(name, "user-in-use", &error),
            Err(error @ OpenError::DeviceKey(_)) => self.not_opened(name, "device-key-damaged", &error),
        }
        Ok(())
    }

    async fn opened(&mut self, opened: Opened) {
        let Opened { name, files, notices } = opened;
        for (code, text) in notices {
            self.show(Event::Notice { code, text }).await;
        }
        self.inbox.push_back(Input::UserOpened { name, files: Ok(Box::new(files)) });
    }

    fn not_opened(&mut self, name: Name, word: &'static str, error: &OpenError) {
        self.inbox.push_back(Input::UserOpened { name, files: Err((word, error.to_string())) });
    }
}

/// Whether there is a match to come back to, and a session to do it with.
fn is_in_a_match(files: &UserFiles) -> bool {
    let open = |records: &Vec<MatchRecord>| !records.iter().any(|record| matches!(record, MatchRecord::Verdict(_)));
    files.session.is_some() && files.matches.iter().any(open)
}

fn fatal(error: OpenError) -> ClientError {
    match error {
        OpenError::InUse(user) => ClientError::InUse { user },
        OpenError::DeviceKey(path) => ClientError::DeviceKey { path },
        OpenError::Store(error) => error.into(),
    }
}
