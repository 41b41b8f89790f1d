//! What was told to players, held against what the server's files say. It folds the journal by itself and shares
//! nothing with the server's state but the facts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use crate::model::client::event::Event;
use crate::model::fact::Fact;
use crate::model::game::{Match, MatchPiece};
use crate::model::games::{GameSpec, Seat};
use crate::model::id::MatchId;
use crate::model::replay::{Replay, Unfit};
use crate::model::state::Piece;
use crate::model::statement::Act;
use crate::net::keys::published_id;
use crate::store::{self, Disk, HostDisk};

/// A move as it was told: who, and where.
type Told = (String, Option<u16>, Option<u16>);

/// All that the players of one run were told.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    moves: BTreeMap<(String, u16), Told>,
    boards: BTreeMap<(String, u16), Vec<String>>,
    conflicts: Vec<String>,
}

/// What the comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Found {
    /// Moves that were acknowledged to somebody.
    pub(super) acknowledged: usize,
    /// Of these, not in the server's files.
    pub(super) lost: usize,
    /// Of these, something else in the server's files, or told with two values.
    pub(super) changed: usize,
    /// Boards that were shown.
    pub(super) boards: usize,
    /// Of these, not what the moves make.
    pub(super) wrong_boards: usize,
}

/// The moves of every match, as the journal tells them.
#[derive(Debug, Default)]
struct Journal(BTreeMap<MatchId, Moves>);

#[derive(Debug)]
struct Moves {
    game: GameSpec,
    acts: Vec<Act>,
}

impl Ledger {
    /// Notes what one player was shown.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Move { match_id, ply, by, row, col, acknowledged: true, .. } => {
                let told = (by.clone(), *row, *col);
                let old = self.moves.insert((match_id.clone(), *ply), told.clone());
                if let Some(old) = old.filter(|old| *old != told) {
                    self.conflicts.push(format!("match {match_id} ply {ply}: {old:?} and {told:?}"));
                }
            }
            Event::Board { match_id, ply, rows, .. } => {
                let old = self.boards.insert((match_id.clone(), *ply), rows.clone());
                if old.is_some_and(|old| old != *rows) {
                    self.conflicts.push(format!("match {match_id} ply {ply}: two boards"));
                }
            }
            Event::Move { .. }
            | Event::Link { .. }
            | Event::Reply(_)
            | Event::Invited { .. }
            | Event::InviteClosed { .. }
            | Event::Match { .. }
            | Event::Path { .. }
            | Event::Opponent { .. }
            | Event::Suspended { .. }
            | Event::Offered { .. }
            | Event::Result { .. }
            | Event::Notice { .. } => {}
        }
    }

    /// Reads the server's files and compares. The server must have ended.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub(super) fn compare(&self, home: &Path) -> anyhow::Result<Found> {
        let server = published_id(&home.join("certs"))?.context("no server id")?;
        let disk: Arc<dyn Disk> = Arc::new(HostDisk);
        let state = home.join("state");
        let settings = store::Settings::new(server.0, 1);
        let mut journal = store::recover::<Journal>(&disk, &state, &settings)?.state;
        store::read_archive(&*disk, &state, &server.0, |_, retired: MatchPiece| journal.take(&retired))?;
        let mut found = Found { acknowledged: self.moves.len(), boards: self.boards.len(), ..Found::default() };
        for ((match_id, ply), (_, row, col)) in &self.moves {
            match journal.cell(match_id, *ply) {
                None => found.lost += 1,
                Some(cell) if cell == (*row, *col) => {}
                Some(_) => found.changed += 1,
            }
        }
        for ((match_id, ply), rows) in &self.boards {
            let right = journal.board(match_id, *ply).is_none_or(|board| board == *rows);
            found.wrong_boards += usize::from(!right);
        }
        found.changed += self.conflicts.len();
        Ok(found)
    }
}

impl Journal {
    fn take(&mut self, piece: &MatchPiece) {
        let acts = piece.links.iter().map(|link| link.act.clone()).collect();
        let grant = &piece.grants[0];
        self.0.insert(grant.match_id, Moves { game: grant.game.clone(), acts });
    }

    /// Where the move at `ply` went, by replaying those before it; `None` if it is not there.
    fn cell(&self, match_id: &str, ply: u16) -> Option<(Option<u16>, Option<u16>)> {
        let moves = self.0.get(&match_id.parse().ok()?)?;
        match moves.acts.get(usize::from(ply))? {
            Act::Resign => Some((None, None)),
            Act::Play(play) => {
                let cell = moves.position(ply).cell(play)?;
                Some((Some(cell.row), Some(cell.col)))
            }
        }
    }

    /// The board after `plies` moves; `None` if they are not all there.
    fn board(&self, match_id: &str, plies: u16) -> Option<Vec<String>> {
        let moves = self.0.get(&match_id.parse().ok()?)?;
        (moves.acts.len() >= usize::from(plies)).then(|| moves.position(plies).show())
    }
}

impl Moves {
    fn position(&self, plies: u16) -> Box<dyn crate::model::games::Game> {
        let mut game = self.game.start().expect("the server knew the game");
        for (ply, act) in (0..plies).zip(&self.acts) {
            if let Act::Play(play) = act {
                game.apply(Seat::at(ply), play).expect("the server has checked it");
            }
        }
        game
    }
}

impl Replay for Journal {
    type Fact = Fact;
    type Piece = Piece;
    type Retired = Match;

    fn apply(&mut self, fact: &Fact) -> Result<(), Unfit> {
        match fact {
            Fact::MatchStarted { grant } => {
                self.0.insert(grant.match_id, Moves { game: grant.game.clone(), acts: Vec::new() });
            }
            Fact::Played { match_id, ply, act, .. } => {
                let moves = self.0.get_mut(match_id).ok_or_else(|| Unfit("a move without a match".to_owned()))?;
                if usize::from(*ply) != moves.acts.len() {
                    return Err(Unfit("a move out of order".to_owned()));
                }
                moves.acts.push(act.clone());
            }
            // What another device has played and a newer grant leaves out is not acknowledged.
            Fact::Regranted { grant } => {
                if let Some(moves) = self.0.get_mut(&grant.match_id) {
                    moves.acts.truncate(usize::from(grant.base.plies));
                }
            }
            Fact::MatchTaken { grant } => {
                self.0.insert(grant.match_id, Moves { game: grant.game.clone(), acts: Vec::new() });
            }
            Fact::Booted { .. }
            | Fact::Stopped { .. }
            | Fact::Uptime { .. }
            | Fact::AccountAdded { .. }
            | Fact::PasswordChanged { .. }
            | Fact::LoggedIn { .. }
            | Fact::LoggedOut { .. }
            | Fact::Invited { .. }
            | Fact::InviteClosed { .. }
            | Fact::MatchResumed { .. }
            | Fact::MatchLeft { .. }
            | Fact::Fouled { .. }
            | Fact::Settled { .. }
            | Fact::Told { .. }
            | Fact::Shelved { .. }
            | Fact::Answered { .. }
            | Fact::SeatAsked { .. }
            | Fact::StateLost { .. }
            | Fact::Heard { .. }
            | Fact::Corrected { .. } => {}
        }
        Ok(())
    }

    fn pieces(&self) -> Box<dyn Iterator<Item = Piece> + '_> {
        Box::new(std::iter::empty())
    }

    fn absorb(&mut self, piece: Piece) -> Result<(), Unfit> {
        match piece {
            Piece::Match(of) => self.take(&of.piece()),
            Piece::Head(_)
            | Piece::Account(_)
            | Piece::Session(_)
            | Piece::Settled(_)
            | Piece::Invite(_)
            | Piece::Lost(_)
            | Piece::Proven(_) => {}
        }
        Ok(())
    }

    fn retire(&mut self) -> Vec<Match> {
        Vec::new()
    }
}
