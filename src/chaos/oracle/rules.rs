//! A chain, played through: every position, what is wrong with it, and who has won.

use super::board::{Board, Grid};
use crate::chaos::finals::{Act, Entry, Kept, Regrant, Verdict};

/// A chain, played through.
pub(super) struct Played {
    /// After no entry, after one, and so on, as far as it is legal; from the top.
    pub(super) boards: Vec<Vec<String>>,
    /// How the board, or giving up, decides it.
    pub(super) decided: Option<Verdict>,
    /// What is not as it must be.
    pub(super) wrong: Vec<String>,
}

pub(super) const SEATS: [&str; 2] = ["X", "O"];

/// Plays a chain through from its beginning.
pub(super) fn play(kept: &Kept) -> Played {
    let Some(grid) = Grid::named(&kept.game) else {
        return Played { boards: Vec::new(), decided: None, wrong: vec![format!("no game is called {}", kept.game)] };
    };
    let mut board = Board::new(grid);
    let mut played = Played { boards: vec![board.rows()], decided: None, wrong: Vec::new() };
    let mut before = kept.grant.as_str();
    for (at, entry) in kept.entries.iter().enumerate() {
        let seat = at % 2;
        played.wrong.extend(misplaced(at, entry, before));
        before = &entry.hash;
        if played.decided.is_some() {
            played.wrong.push(format!("ply {at} comes after the end of the game"));
            break;
        }
        match entry.act {
            Act::Resign => played.decided = Some(won("resigned", 1 - seat)),
            Act::Cell(row, col) => {
                if let Err(why) = board.put(seat, row, col) {
                    played.wrong.push(format!("ply {at}: {why}"));
                    break;
                }
                played.decided = decided(&board);
            }
        }
        played.boards.push(board.rows());
    }
    played
}

/// What the evidence of one keeper says: fouls first, then the board or giving up.
pub(super) fn verdict(kept: &Kept, played: &Played) -> Option<Verdict> {
    match kept.fouls {
        [true, true] => Some(Verdict { why: "foul".to_owned(), winner: None, void: true }),
        [true, false] => Some(won("foul", 1)),
        [false, true] => Some(won("foul", 0)),
        [false, false] => played.decided.clone(),
    }
}

pub(super) fn won(why: &str, seat: usize) -> Verdict {
    Verdict { why: why.to_owned(), winner: Some(SEATS[seat].to_owned()), void: false }
}

fn decided(board: &Board) -> Option<Verdict> {
    let drawn = || Verdict { why: "board".to_owned(), winner: None, void: false };
    board.winner().map(|seat| won("board", seat)).or_else(|| board.is_full().then(drawn))
}

/// What is wrong with the place of an entry; `before` is the hash of what it must follow.
fn misplaced(at: usize, entry: &Entry, before: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if usize::from(entry.ply) != at {
        wrong.push(format!("entry {at} says it is ply {}", entry.ply));
    }
    if entry.seat != SEATS[at % 2] {
        wrong.push(format!("ply {at} is by {}", entry.seat));
    }
    if !entry.signed {
        wrong.push(format!("ply {at} is not signed by the key that {} had then", entry.seat));
    }
    let mut follows = before;
    for grant in grants(entry.regrant.as_ref()) {
        if grant.base != follows {
            wrong.push(format!("the grant before ply {at} follows {}, not {follows}", grant.base));
        }
        follows = &grant.hash;
    }
    if entry.prev != follows {
        wrong.push(format!("ply {at} follows {}, not {follows}", entry.prev));
    }
    wrong
}

/// The grants before an entry, the first one first.
fn grants(last: Option<&Regrant>) -> Vec<&Regrant> {
    let mut grants: Vec<&Regrant> = std::iter::successors(last, |grant| grant.after.as_deref()).collect();
    grants.reverse();
    grants
}
