//! What a client writes to its log: its dials, its outages, its matches.

use tracing::info;

use super::watch::{Outage, Retry, Watch};
use crate::model::client::event::{Event, LinkState};
use crate::model::id::{Name, SessionId};
use crate::model::message::{CloseReason, ToClient, ToServer, View};
use crate::model::outage::{Cause, OutageRecord};
use crate::model::statement::Fared;
use crate::model::time::{Now, ms};
use crate::ops::event;

/// The log of one client.
#[derive(Debug)]
pub(super) struct Log {
    watch: Watch,
    user: Option<Name>,
    /// An outage that is over as soon as the player is told so, with its session.
    over: Option<(SessionId, Outage)>,
    /// It, once that was told, for the server.
    told: Option<OutageRecord>,
    /// The match at the board.
    match_id: String,
}

impl Log {
    pub(super) fn new(now: Now, server: &str) -> Self {
        info!(event = event::CLIENT_STARTED, server, "client started");
        Self { watch: Watch::new(now), user: None, over: None, told: None, match_id: String::new() }
    }

    /// The connection broke.
    pub(super) fn broke(&mut self) {
        self.watch.because(Cause::Reset);
    }

    /// The server says something, which the player has not heard yet.
    pub(super) fn heard(&mut self, now: Now, message: &ToClient) {
        if let ToClient::Live(view) = message {
            self.live(now, view);
        } else if let ToClient::Closing { why, .. } = message {
            self.watch.because(match why {
                CloseReason::Silent => Cause::Silence,
                CloseReason::Superseded
                | CloseReason::SessionEnded
                | CloseReason::Full
                | CloseReason::Malformed
                | CloseReason::Slow => Cause::Refused,
            });
        } else if matches!(message, ToClient::ResumeRefused(_)) {
            self.watch.because(Cause::Refused);
        }
    }

    pub(super) fn sent(&mut self, message: &ToServer) {
        if matches!(message, ToServer::Resume(_)) {
            self.watch.resuming();
        }
    }

    pub(super) fn dialled(&mut self, now: Now) {
        if let Some(Retry { attempt, waited }) = self.watch.dialled(now) {
            info!(event = event::RETRY, attempt, waited_ms = ms(waited), "dial");
        }
    }

    pub(super) fn dropped(&mut self, now: Now) {
        (self.over, self.told) = (None, None);
        let Some(cause) = self.watch.dropped(now) else { return };
        let (user, session) = (name(self.user.as_ref()), id(self.watch.session()));
        info!(event = event::LINK_LOST, user, session, cause = cause.word(), "link lost");
    }

    /// The outage that has just ended, once.
    pub(super) const fn outage(&mut self) -> Option<OutageRecord> {
        self.told.take()
    }

    /// What the player is shown.
    pub(super) fn shown(&mut self, event: &Event) {
        if let Event::Link { state: LinkState::Live, outage_ms, attempts } = event
            && let Some((session, outage)) = self.over.take()
        {
            // What is written is what is told.
            let length_ms = outage_ms.unwrap_or_else(|| ms(outage.length));
            let attempts = attempts.map_or(outage.attempts, u64::from);
            written(&name(self.user.as_ref()), session, &outage, length_ms, attempts);
            self.told = Some(record(&outage, length_ms, attempts));
        } else if let Event::Match { match_id, you, opponent, game } = event
            && self.match_id != *match_id
        {
            self.match_id.clone_from(match_id);
            let me = name(self.user.as_ref());
            let (x, o) = if you == "X" { (&me, opponent) } else { (opponent, &me) };
            info!(event = event::MATCH_STARTED, match_id, x, o, game, "match started");
        } else if let Event::Result { match_id, outcome, why, recorded: true, .. } = event {
            let outcome = match outcome {
                Fared::Win => "win",
                Fared::Draw => "draw",
                Fared::Loss => "loss",
                Fared::Void => "void",
            };
            info!(event = event::MATCH_SETTLED, match_id, outcome, why, "match ended");
        }
    }

    fn live(&mut self, now: Now, view: &View) {
        let View { session, boot, name, matches, .. } = view;
        self.user = Some(name.clone());
        match self.watch.live(now, *session, *boot) {
            Some(outage) => {
                info!(event = event::RESUMED, user = %name, %session, "resumed");
                self.over = Some((*session, outage));
            }
            None => info!(event = event::LOGIN_OK, user = %name, %session, "login"),
        }
        if let Some(of) = matches.iter().find(|of| of.active) {
            let match_id = of.grant.body.match_id;
            self.match_id = match_id.to_string();
            info!(event = event::MATCH_REJOINED, %match_id, user = %name, "back in a match");
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        info!(event = event::CLIENT_STOPPED, "client stopped");
    }
}

fn written(user: &str, session: SessionId, Outage { cause, waits_ms, .. }: &Outage, length_ms: u64, attempts: u64) {
    let (cause, ended) = (cause.word(), "resumed");
    let waits_ms = waits_ms.iter().map(u64::to_string).collect::<Vec<_>>().join(" ");
    info!(event = event::OUTAGE, %session, user, cause, length_ms, attempts, waits_ms, ended, "outage");
}

/// For the server.
fn record(Outage { cause, waits_ms, .. }: &Outage, length_ms: u64, attempts: u64) -> OutageRecord {
    let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let waits_ms = waits_ms.iter().copied().map(short).collect();
    OutageRecord { cause: *cause, length_ms, attempts: short(attempts), waits_ms }
}

fn name(user: Option<&Name>) -> String {
    user.map(ToString::to_string).unwrap_or_default()
}

fn id(session: Option<SessionId>) -> String {
    session.map(|session| session.to_string()).unwrap_or_default()
}
