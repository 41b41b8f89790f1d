//! What the engine has to say to its log: part of what a good suite must meet.

use rejoin::model::event::Event;

use super::world::World;

impl World<'_> {
    /// A line of the server's log.
    pub(super) fn heed_log(&mut self, event: &Event) {
        let met = match event {
            Event::StateRolledBack { .. } => "state rolled back, as a player says",
            Event::Regranted { .. } => "seat granted anew",
            Event::Foul { .. } => "foul convicted",
            Event::VerdictCorrected { .. } => "verdict corrected",
            Event::MatchTaken { .. } => "match taken back from a player",
            Event::ResumeRefused { .. } => "resume refused",
            Event::UserAdded { .. }
            | Event::LoginOk { .. }
            | Event::LoginFailed { .. }
            | Event::Resumed { .. }
            | Event::LoggedOut { .. }
            | Event::Away { .. }
            | Event::MatchStarted { .. }
            | Event::MatchRejoined { .. }
            | Event::MatchSuspended { .. }
            | Event::MatchResumed { .. }
            | Event::MatchSettled { .. }
            | Event::SeatAsked { .. }
            | Event::StateLost { .. }
            | Event::EntryRefused { .. } => "",
        };
        match event {
            Event::StateRolledBack { .. } => self.figures.losses_named.push("state-rolled-back".to_owned()),
            Event::StateLost { .. } => self.figures.losses_named.push("state-lost".to_owned()),
            _ => {}
        }
        if !met.is_empty() {
            self.coverage.sometimes(met, true);
        }
        self.note(0, || format!("log: {event:?}"));
    }
}
