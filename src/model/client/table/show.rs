//! A match as its player is shown it.

use super::{Effect, Table, show};
use crate::model::client::event::{Event, MoveState};
use crate::model::decide;
use crate::model::statement::{Act, Entry, Ruling};
use crate::mutant::{Mutant, is_on};

impl Table {
    /// The match as an event.
    #[must_use]
    pub fn match_event(&self) -> Event {
        Event::Match {
            match_id: self.id().to_string(),
            you: self.seat.to_string(),
            opponent: self.opponent().to_string(),
            game: self.grant().game.name(),
        }
    }

    /// The board as an event.
    #[must_use]
    pub fn board(&self) -> Event {
        let chain = &self.evidence.chain;
        Event::Board {
            match_id: self.id().to_string(),
            ply: chain.plies(),
            turn: chain.turn().map(|seat| seat.to_string()),
            rows: chain.game().show(),
            moves: chain.cells().into_iter().map(|cell| [cell.row, cell.col]).collect(),
        }
    }

    /// Shows moves that have become seen or kept since the last time. The receiver's own disk is the seen of the
    /// opponent's moves.
    pub(super) fn report(&mut self) -> Vec<Effect> {
        let now = [self.seen(), self.kept()];
        let mut effects = Vec::new();
        for (which, state) in [(0, MoveState::Seen), (1, MoveState::Kept)] {
            for entry in self.evidence.chain.entries_from(self.reported[which]) {
                let body = entry.body();
                let of_opponent = state == MoveState::Seen && body.seat != self.seat;
                if body.ply < now[which] && !of_opponent {
                    effects.push(show(self.move_event(body, Some(state))));
                }
            }
            self.reported[which] = self.reported[which].max(now[which]);
        }
        effects
    }

    /// The result by the evidence here, before the server has said it.
    pub(super) fn show_result(&mut self) -> Option<Effect> {
        let ruling = self.evidence.verdict()?;
        if self.shown == Some(ruling) {
            return None;
        }
        self.shown = Some(ruling);
        Some(show(self.result(ruling, is_on(Mutant::RecordedEarly))))
    }

    /// The result of a match that is over and not recorded.
    #[must_use]
    pub fn unrecorded(&self) -> Option<Event> {
        let ruling = self.evidence.verdict().filter(|_| !self.is_finished() && self.key.is_some())?;
        Some(self.result(ruling, false))
    }

    pub(super) fn result(&self, ruling: Ruling, recorded: bool) -> Event {
        Event::Result {
            match_id: self.id().to_string(),
            outcome: ruling.fared(self.seat),
            why: decide::why(ruling).to_owned(),
            agreed: self.is_agreed(),
            recorded,
        }
    }

    /// A move as an event. Without a state it is new here: `sent` if it is mine, else `seen`, for it is on my disk.
    pub(super) fn move_event(&self, entry: &Entry, state: Option<MoveState>) -> Event {
        let mine = entry.seat == self.seat;
        let state = state.unwrap_or(if mine { MoveState::Sent } else { MoveState::Seen });
        let cell = self.evidence.chain.cell_of(entry);
        Event::Move {
            match_id: self.id().to_string(),
            ply: entry.ply,
            by: self.name(entry.seat).to_string(),
            row: cell.map(|cell| cell.row),
            col: cell.map(|cell| cell.col),
            resigns: entry.act == Act::Resign,
            state,
            acknowledged: state != MoveState::Sent,
        }
    }
}
