//! One match in depth, for whoever looks after a server: what was played, and who is known to hold it.

use super::Engine;
use crate::model::evidence::Keeper;
use crate::model::game::Match;
use crate::model::games::{Cell, Seat};
use crate::model::id::{MatchId, Name};
use crate::model::statement::{Act, Entry, Ruling};
use crate::model::time::WallMs;

/// What there is to say of a match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// All of it: it is not over for both players, or was among the last to be.
    Whole(Box<Depth>),
    /// How it has ended. What was played is in the archive alone.
    Ended {
        /// X and O.
        names: [Name; 2],
        /// The verdict.
        ruling: Ruling,
    },
}

/// All that the server knows of one match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Depth {
    /// X and O.
    pub names: [Name; 2],
    /// Which of them have a link.
    pub here: [bool; 2],
    /// Which of them have told the server where they can be reached directly, and at how many addresses.
    pub addresses: [usize; 2],
    /// What is played.
    pub game: String,
    /// Whether both are seated in it.
    pub active: bool,
    /// Whether it is over for both, and has left the state for the archive.
    pub filed: bool,
    /// Of the newest grant: it grows when a seat's key changes.
    pub epoch: u32,
    /// Whether both players must show what they hold before the server gives receipts: it has lost state.
    pub recovering: bool,
    /// Who acts next.
    pub turn: Option<Seat>,
    /// The verdict.
    pub ruling: Option<Ruling>,
    /// Which players have it on disk.
    pub told: [bool; 2],
    /// How many entries X and O are known to hold: by what they have shown, signed and acknowledged in this run.
    pub known: [u16; 2],
    /// How many are on the server's disk for certain.
    pub kept: u16,
    /// What was played, in order.
    pub plays: Vec<Play>,
    /// The board before the first move.
    pub start: Vec<String>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// Who.
    pub seat: Seat,
    /// Where; none for giving up.
    pub cell: Option<Cell>,
    /// The player's word for when.
    pub at: WallMs,
    /// Of the grant it was played under.
    pub epoch: u32,
    /// The board after it.
    pub board: Vec<String>,
}

impl Engine {
    /// One match; none if it is not known, or was filed away unfinished.
    #[must_use]
    pub fn depth(&self, match_id: MatchId) -> Option<Found> {
        let ended = || self.ended.iter().rev().find(|of| of.grant().match_id == match_id);
        if let Some(of) = self.state.game(match_id).or_else(ended) {
            return Some(Found::Whole(Box::new(self.depth_of(match_id, of))));
        }
        let of = self.state.settled(match_id)?;
        Some(Found::Ended { names: self.names_of(of.users), ruling: of.ruling })
    }

    fn depth_of(&self, match_id: MatchId, of: &Match) -> Depth {
        let chain = &of.evidence.chain;
        let conns = Seat::BOTH.map(|seat| self.live.get(&of.user(seat)).and_then(|conn| self.conns.get(conn)));
        let epoch = chain.grant().epoch;
        let known = |seat: Seat| {
            let shown = self.shown.get(&match_id).map(|shown| shown.seats[seat.index()]);
            // The receipts of a player are passed on to the opponent, if that one is there.
            let passed = conns[seat.other().index()].and_then(|conn| conn.passed.get(&match_id).copied());
            let said = [shown, passed].into_iter().flatten().filter(|(of, _)| *of == epoch);
            let said = said.map(|(_, plies)| plies).max().unwrap_or(0);
            said.max(of.evidence.held_by(Keeper::Player(seat))).min(chain.plies())
        };
        let synced = self.appended == self.flushed;
        let mut game = chain.position_at(0);
        let start = game.show();
        let mut play = |entry: &Entry| {
            let cell = match &entry.act {
                Act::Play(play) => {
                    let cell = game.cell(play);
                    game.apply(entry.seat, play).expect("every entry held is legal");
                    cell
                }
                Act::Resign => None,
            };
            Play { seat: entry.seat, cell, at: entry.at, epoch: entry.epoch, board: game.show() }
        };
        Depth {
            names: self.names_of(of.grant().users),
            here: conns.map(|conn| conn.is_some()),
            addresses: conns.map(|conn| conn.and_then(|conn| conn.candidates.as_ref()).map_or(0, Vec::len)),
            game: of.grant().game.name(),
            active: self.state.is_active(of),
            filed: self.state.game(match_id).is_none(),
            epoch,
            recovering: of.recovering,
            turn: chain.turn(),
            // What is found out of a match that was filed away is not written into it.
            ruling: self.state.settled(match_id).map(|settled| settled.ruling).or(of.ruling),
            told: of.told,
            known: Seat::BOTH.map(known),
            // What was decided last may still be on its way to the disk.
            kept: if synced { chain.plies() } else { chain.plies().saturating_sub(1) },
            plays: chain.entries_from(0).iter().map(|entry| play(entry.body())).collect(),
            start,
        }
    }
}
