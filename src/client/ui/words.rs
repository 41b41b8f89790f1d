//! Events in words for people.
//!
//! Holds: no IO; everything that came from the network is escaped; the words sent, seen, kept, acknowledged, away,
//! suspended and recorded are used as the design defines them. The few things remembered between events (who plays,
//! the last move, what was shown) only decide how something is said, never whether a move or a result is.

use super::board::board;
use super::paint::{faint, good, odd, plain, strong};
use super::reply;
use super::state_line::length;
use crate::model::client::event::{Event, LinkState, MoveState, PathKind, Presence};
use crate::model::games::Cell;
use crate::model::statement::Fared;

/// Puts events into words, one after the other.
#[derive(Debug, Default)]
pub struct Words {
    /// Whether the link is live, and whether it has ever been.
    live: bool,
    was_live: bool,
    table: Option<Table>,
    path: Option<PathKind>,
}

/// How sure a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The server has it.
    Recorded,
    /// Both players have signed what decides it.
    Agreed,
    /// Nobody else has said so.
    Waiting,
}

/// The match that was shown last.
#[derive(Debug)]
struct Table {
    match_id: String,
    you: String,
    opponent: String,
    game: String,
    /// Moves on the board that was shown last.
    shown_ply: Option<u16>,
    /// The ply and cell of the last move.
    last: Option<(u16, Cell)>,
    /// A seat taken up again, on a board that is shown already.
    again: bool,
    /// Nobody sits at it: when it goes on it is told like a new one.
    suspended: bool,
}

impl Words {
    /// The lines for an event; there may be none.
    pub fn lines(&mut self, event: &Event) -> Vec<String> {
        match event {
            Event::Link { state, outage_ms, attempts } => self.link(*state, *outage_ms, *attempts),
            Event::Reply(reply) => reply::lines(reply),
            Event::Invited { by, game, resumes } => vec![strong(&invited(by, game, *resumes))],
            Event::InviteClosed { with, why } => vec![invite_closed(with, why)],
            Event::Match { match_id, you, opponent, game } => self.seated(match_id, you, opponent, game),
            Event::Board { match_id, ply, turn, rows, .. } => self.board(match_id, *ply, turn.as_deref(), rows),
            Event::Move { match_id, ply, by, row, col, resigns, state, acknowledged: _ } => {
                let cell = row.zip(*col).map(|(row, col)| Cell { row, col });
                self.moved(match_id, *ply, by, cell, *resigns, *state)
            }
            Event::Path { path } => self.path(*path),
            Event::Opponent { state } => vec![self.presence(*state)],
            Event::Suspended { match_id, with, by } => vec![self.suspended(match_id, with, by)],
            Event::Offered { match_id: _, opponent, game, ply } => vec![offered(opponent, game, *ply)],
            Event::Result { match_id, outcome, why, agreed, recorded } => {
                let ending = if *recorded {
                    Ending::Recorded
                } else if *agreed {
                    Ending::Agreed
                } else {
                    Ending::Waiting
                };
                vec![self.result(match_id, *outcome, why, ending)]
            }
            Event::Notice { code: _, text } => text.split('\n').map(|line| odd(&plain(line))).collect(),
        }
    }

    /// Whether there has been a link since the start.
    #[must_use]
    pub const fn was_live(&self) -> bool {
        self.was_live
    }

    fn link(&mut self, state: LinkState, outage_ms: Option<u64>, attempts: Option<u32>) -> Vec<String> {
        let live = state == LinkState::Live;
        let was = std::mem::replace(&mut self.live, live);
        let first = live && !self.was_live;
        self.was_live |= live;
        match (was, live) {
            (false, true) if first => vec![faint("connected")],
            (false, true) => vec![good(&back(outage_ms, attempts))],
            (true, false) if self.path == Some(PathKind::Direct) => {
                vec![odd(&format!("the server is gone; you play on directly with {}", self.opponent()))]
            }
            (true, false) => vec![odd("the server is gone; trying again by itself")],
            (true, true) | (false, false) => Vec::new(),
        }
    }

    fn seated(&mut self, match_id: &str, you: &str, opponent: &str, game: &str) -> Vec<String> {
        if let Some(table) = self.table.as_mut().filter(|table| table.match_id == match_id && !table.suspended) {
            table.again = true;
            return Vec::new();
        }
        let said = format!("{} with {}: you are {}", plain(game), plain(opponent), plain(you));
        self.path = None;
        self.table = Some(Table {
            match_id: match_id.to_owned(),
            you: you.to_owned(),
            opponent: opponent.to_owned(),
            game: game.to_owned(),
            shown_ply: None,
            last: None,
            again: false,
            suspended: false,
        });
        vec![strong(&said)]
    }

    fn board(&mut self, match_id: &str, ply: u16, turn: Option<&str>, rows: &[String]) -> Vec<String> {
        let table = self.table.as_mut().filter(|table| table.match_id == match_id);
        let again = table.as_ref().is_some_and(|table| table.again && table.shown_ply == Some(ply));
        let last = table.as_ref().and_then(|table| table.last);
        let last = last.filter(|(of, _)| of + 1 == ply).map(|(_, cell)| cell);
        let turn = table.as_ref().and_then(|table| Some(table.turn(turn?)));
        if let Some(table) = table {
            (table.again, table.shown_ply) = (false, Some(ply));
        }
        if again {
            return Vec::new();
        }
        let rows: Vec<String> = rows.iter().map(|row| plain(row)).collect();
        board(&rows, last).lines().map(str::to_owned).chain(turn).collect()
    }

    fn moved(
        &mut self,
        match_id: &str,
        ply: u16,
        by: &str,
        cell: Option<Cell>,
        resigns: bool,
        state: MoveState,
    ) -> Vec<String> {
        let table = self.table.as_mut().filter(|table| table.match_id == match_id);
        let mine = table.as_ref().is_none_or(|table| table.opponent != by);
        let opponent = table.as_ref().map_or_else(|| "the opponent".to_owned(), |table| plain(&table.opponent));
        if let Some((table, cell)) = table.zip(cell) {
            // Reports of an earlier move come after a later one was shown.
            if table.last.is_none_or(|(shown, _)| shown <= ply) {
                table.last = Some((ply, cell));
            }
        }
        let what = match (cell, resigns) {
            (_, true) => "resigning".to_owned(),
            (Some(Cell { row, col }), false) => format!("{row} {col}"),
            (None, false) => format!("move {}", ply + 1),
        };
        match (mine, state) {
            (true, MoveState::Sent) if resigns => vec!["you resign: sent".to_owned()],
            (true, MoveState::Sent) => vec![format!("you play {what}: sent")],
            (true, MoveState::Seen) => vec![faint(&format!("{what}: seen by {opponent}, acknowledged"))],
            (true, MoveState::Kept) => vec![faint(&format!("{what}: kept by the server, acknowledged"))],
            (false, MoveState::Sent | MoveState::Seen) if resigns => vec![format!("{opponent} resigns")],
            (false, MoveState::Sent | MoveState::Seen) => vec![format!("{opponent} plays {what}")],
            // It was acknowledged when it was shown; `status` counts what is kept.
            (false, MoveState::Kept) => Vec::new(),
        }
    }

    fn path(&mut self, path: PathKind) -> Vec<String> {
        let before = self.path.replace(path);
        match (before, path) {
            (Some(PathKind::Direct | PathKind::Server), PathKind::None) => {
                let opponent = self.opponent();
                vec![odd(&format!("no way to {opponent} just now; your moves wait on this disk until there is one"))]
            }
            (Some(PathKind::Server | PathKind::None) | None, PathKind::Direct) => {
                vec![faint(&format!("playing directly with {}", self.opponent()))]
            }
            (Some(PathKind::Direct), PathKind::Server) => {
                vec![faint("the direct path is gone; playing through the server")]
            }
            // A start without a way is told by who cannot be reached, and the way back by the link.
            (Some(PathKind::None) | None, PathKind::None)
            | (Some(PathKind::Server | PathKind::None) | None, PathKind::Server)
            | (Some(PathKind::Direct), PathKind::Direct) => Vec::new(),
        }
    }

    fn presence(&self, state: Presence) -> String {
        match state {
            Presence::Here => good(&format!("{} is here", self.opponent())),
            Presence::Away => odd(&format!("{} is away", self.opponent())),
        }
    }

    fn suspended(&mut self, match_id: &str, with: &str, by: &str) -> String {
        let table = self.table.as_mut().filter(|table| table.match_id == match_id);
        let game = table.map(|table| {
            table.suspended = true;
            plain(&table.game)
        });
        let game = game.map(|game| format!(" {game}")).unwrap_or_default();
        let (with, by) = (plain(with), plain(by));
        let left = if by == with { format!("{with} has left") } else { "you have left".to_owned() };
        odd(&format!("{left}: the match with {with} is suspended; begin {with}{game} goes on with it"))
    }

    fn result(&self, match_id: &str, outcome: Fared, why: &str, ending: Ending) -> String {
        let table = self.table.as_ref().filter(|table| table.match_id == match_id);
        let other = table.map_or_else(|| "the opponent".to_owned(), |table| plain(&table.opponent));
        let end = match ending {
            Ending::Recorded => ": recorded".to_owned(),
            Ending::Agreed if self.live => ": agreed, to be recorded".to_owned(),
            Ending::Agreed => ": agreed, to be recorded when the server is back".to_owned(),
            // Two players cannot agree on a foul.
            Ending::Waiting if why == "foul" => ", waiting for the server".to_owned(),
            Ending::Waiting => format!(", waiting for {other} or the server"),
        };
        let on_the_board = if ending == Ending::Waiting { " on the board" } else { "" };
        match (outcome, why) {
            (Fared::Win, "resigned") => good(&format!("you have won, {other} has resigned{end}")),
            (Fared::Win, "foul") => good(&format!("you have won by a foul of {other}{end}")),
            (Fared::Win, _) => good(&format!("you have won{on_the_board}{end}")),
            (Fared::Loss, "resigned") => strong(&format!("you have lost by resigning{end}")),
            (Fared::Loss, "foul") => odd(&format!("you have lost by a foul: two different moves at one turn{end}")),
            (Fared::Loss, _) => strong(&format!("you have lost{on_the_board}{end}")),
            (Fared::Draw, _) => strong(&format!("it is a draw{on_the_board}{end}")),
            (Fared::Void, _) => odd(&format!("the match counts for nobody: both have fouled{end}")),
        }
    }

    fn opponent(&self) -> String {
        self.table.as_ref().map_or_else(|| "the opponent".to_owned(), |table| plain(&table.opponent))
    }
}

impl Table {
    fn turn(&self, turn: &str) -> String {
        if turn == self.you { strong("your move") } else { format!("{}'s move", plain(&self.opponent)) }
    }
}

fn back(outage_ms: Option<u64>, attempts: Option<u32>) -> String {
    let after = outage_ms.map(|ms| format!(" after {}", length(ms))).unwrap_or_default();
    let tries = attempts.map(|tries| format!(" ({tries} attempt{})", if tries == 1 { "" } else { "s" }));
    format!("back{after}{}", tries.unwrap_or_default())
}

fn invited(by: &str, game: &str, resumes: bool) -> String {
    let (by, game) = (plain(by), plain(game));
    let what = if resumes { format!("go on with your match of {game}") } else { format!("play {game}") };
    format!("{by} asks you to {what}: accept or decline")
}

fn invite_closed(with: &str, why: &str) -> String {
    let with = plain(with);
    let why = match why {
        "declined" => "declined",
        "expired" => "nobody answered in time",
        "busy" => "one of you is in another match",
        "gone" => "one of you has logged out",
        other => &plain(other),
    };
    odd(&format!("the invitation between you and {with} is closed: {why}"))
}

fn offered(opponent: &str, game: &str, ply: u16) -> String {
    let (opponent, game) = (plain(opponent), plain(game));
    let moves = if ply == 1 { "1 move".to_owned() } else { format!("{ply} moves") };
    format!("your suspended {game} with {opponent} ({moves}) can go on: begin {opponent} {game}")
}

#[cfg(test)]
mod tests;
