//! The engine's events as lines of the log. Names and messages are constant, facts are fields.

use tracing::{info, warn};

use crate::model::decide;
use crate::model::event::{Event, LinkEnd};
use crate::model::games::Seat;
use crate::model::id::{Name, SessionId};
use crate::model::limits::OUTAGE_WAITS_MAX;
use crate::model::outage::OutageRecord;
use crate::model::time::{Now, ms};
use crate::ops::event;
use crate::ops::metrics::Metrics;
use crate::ops::outage::{Outage, Outages};

/// Writes the engine's events, and the outages that they add up to.
#[derive(Debug, Default)]
pub(super) struct Lines {
    outages: Outages,
}

impl Lines {
    /// Writes one event.
    pub(super) fn write(&mut self, now: Now, what: &Event, metrics: &Metrics) {
        line(what);
        match what {
            Event::LoginOk { session, .. } => self.outages.began(*session),
            Event::Away { session, cause, .. } => self.outages.lost(now, *session, *cause),
            Event::Resumed { user, ip, session } => {
                let seen = self.outages.resumed(now, *session);
                metrics.outage(seen.cause.word(), seen.length);
                outage(user, *ip, *session, seen);
            }
            Event::UserAdded { .. }
            | Event::LoginFailed { .. }
            | Event::ResumeRefused { .. }
            | Event::LoggedOut { .. }
            | Event::MatchStarted { .. }
            | Event::MatchSuspended { .. }
            | Event::MatchResumed { .. }
            | Event::MatchRejoined { .. }
            | Event::MatchSettled { .. }
            | Event::Foul { .. }
            | Event::VerdictCorrected { .. }
            | Event::SeatAsked { .. }
            | Event::Regranted { .. }
            | Event::MatchTaken { .. }
            | Event::StateLost { .. }
            | Event::EntryRefused { .. }
            | Event::StateRolledBack { .. } => {}
        }
    }
}

/// How a link ended, as a word.
pub(super) const fn end_word(end: LinkEnd) -> &'static str {
    match end {
        LinkEnd::Closed => "closed",
        LinkEnd::Reset => "reset",
        LinkEnd::Silence => "silence",
        LinkEnd::Ours => "ours",
    }
}

fn outage(user: &Name, ip: std::net::IpAddr, session: SessionId, Outage { cause, length, at_least }: Outage) {
    let (cause, length_ms, ended) = (cause.word(), ms(length), "resumed");
    info!(event = event::OUTAGE, %session, %user, %ip, cause, length_ms, at_least, ended, "outage");
}

/// What a client says of its outage.
pub(super) fn outage_told(user: &Name, ip: std::net::IpAddr, session: SessionId, record: &OutageRecord) {
    let OutageRecord { cause, length_ms, attempts, waits_ms } = record;
    let waits = waits_ms.iter().take(OUTAGE_WAITS_MAX).map(u32::to_string).collect::<Vec<_>>();
    let (cause, waits_ms) = (cause.word(), waits.join(" "));
    info!(event = event::OUTAGE_TOLD, %session, %user, %ip, cause, length_ms, attempts, waits_ms, "outage told");
}

fn line(what: &Event) {
    let ip = |ips: &[Option<std::net::IpAddr>; 2], seat: Seat| {
        ips[seat.index()].map(|ip| ip.to_string()).unwrap_or_default()
    };
    match what {
        Event::UserAdded { user, ip } => info!(event = event::USER_ADDED, %user, %ip, "account made"),
        Event::LoginOk { user, ip, session } => info!(event = event::LOGIN_OK, %user, %ip, %session, "login"),
        Event::LoginFailed { user, ip } => info!(event = event::LOGIN_FAILED, %user, %ip, "login failed"),
        Event::Resumed { user, ip, session } => info!(event = event::RESUMED, %user, %ip, %session, "resumed"),
        Event::ResumeRefused { ip, refusal } => {
            info!(event = event::RESUME_REFUSED, %ip, why = refusal.word(), "resume refused");
        }
        Event::LoggedOut { user } => info!(event = event::LOGGED_OUT, %user, "logout"),
        Event::Away { user, ip, session, cause } => {
            let cause = end_word(*cause);
            info!(event = event::LINK_LOST, %user, %ip, %session, cause, "link lost");
        }
        Event::MatchStarted { match_id, names: [x, o], ips, game } => {
            let (x_ip, o_ip) = (ip(ips, Seat::X), ip(ips, Seat::O));
            info!(event = event::MATCH_STARTED, %match_id, %x, %o, x_ip, o_ip, game, "match started");
        }
        Event::MatchSuspended { match_id, by } => {
            info!(event = event::MATCH_SUSPENDED, %match_id, %by, "match suspended")
        }
        Event::MatchResumed { match_id, names: [x, o] } => {
            info!(event = event::MATCH_RESUMED, %match_id, %x, %o, "match resumed");
        }
        Event::MatchRejoined { match_id, user, ip } => {
            info!(event = event::MATCH_REJOINED, %match_id, %user, %ip, "back in a match");
        }
        Event::MatchSettled { match_id, names, ips, ruling, plies } => {
            let [x, o] = names;
            let winner = ruling.winner().map(|seat| names[seat.index()].to_string()).unwrap_or_default();
            let (x_ip, o_ip, why) = (ip(ips, Seat::X), ip(ips, Seat::O), decide::why(*ruling));
            info!(event = event::MATCH_SETTLED, %match_id, %x, %o, x_ip, o_ip, winner, why, plies, "match ended");
        }
        Event::Foul { match_id, by } => warn!(event = event::FOUL, %match_id, %by, "a player signed twice at one ply"),
        Event::VerdictCorrected { match_id, ruling } => {
            let (winner, why) =
                (ruling.winner().map(|seat| seat.to_string()).unwrap_or_default(), decide::why(*ruling));
            warn!(event = event::VERDICT_CORRECTED, %match_id, winner, why, "a verdict was corrected");
        }
        Event::SeatAsked { match_id, by } => {
            info!(event = event::SEAT_ASKED, %match_id, %by, "a player asks for the seat on another device");
        }
        Event::Regranted { match_id, epoch, base } => {
            info!(event = event::REGRANTED, %match_id, epoch, base, "a seat has another key");
        }
        Event::MatchTaken { match_id, by } => {
            warn!(event = event::MATCH_TAKEN, %match_id, %by, "a match that was not on record is taken from a player");
        }
        Event::StateLost { open } => warn!(
            event = event::STATE_LOST,
            open,
            "state was lost or restored: matches and verdicts are taken back from the players; accounts and passwords may be old"
        ),
        Event::EntryRefused { match_id, ip, refusal } => {
            info!(event = event::ENTRY_REFUSED, %match_id, %ip, why = refusal.word(), "entry refused");
        }
        Event::StateRolledBack { user, seen, here } => {
            warn!(
                event = event::STATE_ROLLED_BACK,
                %user,
                seen_boot = seen.0.number,
                seen_lsn = seen.1.0,
                boot = here.0.number,
                lsn = here.1.0,
                "a client has seen a later state: this one is old, and accounts and passwords may be too"
            );
        }
    }
}
