//! A player of a run: what it makes of the lines of `rejoin play --json`, and what it types.
//!
//! What must hold: it plays by what it was shown and nothing else; a command is typed once, gets a number, and its answer
//! – or that there never was one – is noted; whatever is refused and can pass is tried again.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::process::Process;
use crate::chaos::history::Call;
use crate::store::faulty::Seeded;

/// One player, at its present device.
pub(super) struct Player {
    pub(super) user: String,
    pub(super) password: String,
    /// `p0`, and `p0.2` once it has lost its disk.
    pub(super) device: String,
    pub(super) state: PathBuf,
    /// Where it finds the server.
    pub(super) server: String,
    pub(super) direct: bool,
    /// Where it listens for the other player.
    pub(super) listen: SocketAddr,
    /// What the other is told instead.
    pub(super) advertise: Option<SocketAddr>,
    pub(super) game: String,
    pub(super) think_ms: u64,
    /// Whom it plays with; `asks`: it is the one who begins.
    pub(super) partner: String,
    pub(super) asks: bool,
    pub(super) process: Option<Process>,
    pub(super) life: u32,
    /// Of this life.
    pub(super) live: bool,
    pub(super) logged_in: bool,
    pub(super) seat: Option<Seat>,
    /// How often it was shown a match to sit in.
    pub(super) seats: u64,
    pub(super) pending: VecDeque<(u64, String)>,
    /// Matches whose results were told as recorded.
    pub(super) done: BTreeSet<String>,
    /// Matches are begun in this life.
    pub(super) begins: bool,
    /// No more matches are begun.
    pub(super) closing: bool,
}

/// The match it sits in, as far as it was shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seat {
    pub(super) match_id: String,
    you: String,
    ply: u16,
    turn: Option<String>,
    rows: Vec<String>,
}

/// Something to be typed when its time comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    AddUser,
    Login,
    /// Whenever there is no match, again and again.
    Begin,
    /// A match is over, or the other was not free.
    BeginNow,
    Accept(String),
    /// In this match at this ply.
    Move(String, u16),
    Leaders,
}

/// What to type, and what it means.
pub(super) struct Typed {
    pub(super) line: String,
    pub(super) call: Call,
}

/// After a refusal that can pass.
const AGAIN_MS: u64 = 200;
/// An invitation that came to nothing is given again.
const BEGIN_EVERY_MS: u64 = 1_000;

impl Player {
    /// What follows from a line; each wish with the wait before it.
    pub(super) fn on(&mut self, line: &Value) -> Vec<(u64, Wish)> {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        match text("event").as_str() {
            "link" => {
                self.live = text("state") == "live";
                Vec::new()
            }
            "reply" => self.answered(&text("command"), line["ok"] == Value::Bool(true), &text("error")),
            "invited" => vec![(0, Wish::Accept(text("by")))],
            "match" => {
                let (match_id, you) = (text("match"), text("you"));
                // A server with an older state shows a match once more whose result is known; that is not told again.
                if self.done.contains(&match_id) {
                    return Vec::new();
                }
                self.seats += 1;
                self.seat = Some(Seat { match_id, you, ply: 0, turn: None, rows: Vec::new() });
                Vec::new()
            }
            "board" => self.board(line).into_iter().collect(),
            "result" if line["recorded"] == Value::Bool(true) => {
                self.done.insert(text("match"));
                self.rise(&text("match"))
            }
            "suspended" => self.rise(&text("match")),
            "notice" if matches!(text("code").as_str(), "session-ended" | "superseded") => {
                (self.logged_in, self.seat) = (false, None);
                vec![(0, Wish::Login)]
            }
            _ => Vec::new(),
        }
    }

    /// What to type for a wish whose time has come; also the next time for one that is to come again.
    pub(super) fn typed(&mut self, wish: &Wish, seeded: &mut Seeded) -> (Option<Typed>, Option<u64>) {
        let (user, password) = (self.user.clone(), self.password.clone());
        match wish {
            Wish::AddUser => (typed(format!("adduser {user} {password}"), Call::AddUser { user, password }), None),
            Wish::Login => (typed(format!("login {user} {password}"), Call::Login { user, password }), None),
            Wish::Leaders => (typed("leaders".to_owned(), Call::Ask { word: "leaders".to_owned() }), None),
            Wish::Accept(opponent) => {
                (typed(format!("accept {opponent}"), Call::Accept { opponent: opponent.clone() }), None)
            }
            Wish::Begin => (self.begin(), self.asks.then_some(BEGIN_EVERY_MS)),
            Wish::BeginNow => (self.begin(), None),
            Wish::Move(match_id, ply) => (self.make_move(match_id, *ply, seeded), None),
        }
    }

    /// A life begins or has ended: what was shown to it is forgotten; the calls that were not answered.
    pub(super) fn forget(&mut self) -> Vec<u64> {
        (self.live, self.seat, self.begins) = (false, None, false);
        std::mem::take(&mut self.pending).into_iter().map(|(op, _)| op).collect()
    }

    /// The call that a reply answers.
    pub(super) fn answers(&mut self, command: &str) -> Option<u64> {
        let at = self.pending.iter().position(|(_, word)| word == command)?;
        self.pending.remove(at).map(|(op, _)| op)
    }

    fn begin(&self) -> Option<Typed> {
        let waits = self.pending.iter().any(|(_, word)| word == "begin");
        if self.closing || !self.asks || self.seat.is_some() || waits || !self.live || !self.logged_in {
            return None;
        }
        let opponent = self.partner.clone();
        typed(format!("begin {opponent} {}", self.game), Call::Begin { opponent })
    }

    fn make_move(&self, match_id: &str, ply: u16, seeded: &mut Seeded) -> Option<Typed> {
        // A board that is shown twice is one position; a second move could be taken for a later one.
        if self.pending.iter().any(|(_, word)| word == "send" || word == "end") {
            return None;
        }
        let seat = self.seat.as_ref().filter(|seat| seat.match_id == match_id && seat.ply == ply)?;
        let (match_id, long) = (match_id.to_owned(), seat.rows.len() > SHORT_ROWS);
        // The end of a run is not waited for over a long game.
        if self.closing && long {
            return typed("end".to_owned(), Call::End { match_id });
        }
        let cells = free(&seat.rows, self.game.starts_with("connect"));
        let (row, col) = *cells.get(seeded.up_to(cells.len().checked_sub(1)?))?;
        typed(format!("send {row} {col}"), Call::Send { match_id, ply, row, col })
    }

    fn answered(&mut self, command: &str, ok: bool, error: &str) -> Vec<(u64, Wish)> {
        match (command, ok, error) {
            ("adduser", true, _) | ("adduser", _, "user-exists") => vec![(0, Wish::Login)],
            ("adduser", ..) => vec![(AGAIN_MS, Wish::AddUser)],
            ("login", true, _) | ("login", _, "already-logged-in") => {
                self.logged_in = true;
                // One chain of wishes a life.
                let first = !std::mem::replace(&mut self.begins, true);
                first.then_some((0, Wish::Begin)).into_iter().collect()
            }
            ("login", ..) => vec![(AGAIN_MS, Wish::Login)],
            ("begin", false, "in-match" | "already-invited") => Vec::new(),
            ("begin", false, _) => vec![(AGAIN_MS / 2, Wish::BeginNow)],
            ("accept", false, "no-invite" | "in-match") => Vec::new(),
            // The invitation stands, over a restart too, and is not told twice.
            ("accept", false, _) => vec![(AGAIN_MS, Wish::Accept(self.partner.clone()))],
            // Nothing is signed before another keeper was reached; and a full disk, or a device that moves, can pass.
            ("send" | "end", false, _) => self.my_move(AGAIN_MS).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn board(&mut self, line: &Value) -> Option<(u64, Wish)> {
        let seat = self.seat.as_mut().filter(|seat| line["match"] == seat.match_id.as_str())?;
        seat.ply = line["ply"].as_u64().and_then(|ply| u16::try_from(ply).ok())?;
        seat.turn = line["turn"].as_str().map(str::to_owned);
        let rows = line["rows"].as_array()?.iter().filter_map(Value::as_str);
        seat.rows = rows.map(str::to_owned).collect();
        self.my_move(self.think_ms)
    }

    fn my_move(&self, after_ms: u64) -> Option<(u64, Wish)> {
        let seat = self.seat.as_ref().filter(|seat| seat.turn.as_ref() == Some(&seat.you))?;
        Some((after_ms, Wish::Move(seat.match_id.clone(), seat.ply)))
    }

    fn rise(&mut self, match_id: &str) -> Vec<(u64, Wish)> {
        self.seat.take_if(|seat| seat.match_id == match_id);
        vec![(0, Wish::BeginNow)]
    }
}

/// Boards with no more rows are played to the end.
const SHORT_ROWS: usize = 3;

#[allow(clippy::unnecessary_wraps, reason = "so it reads in a match")]
fn typed(line: String, call: Call) -> Option<Typed> {
    Some(Typed { line, call })
}

/// The free cells; in a game in which pieces fall, the lowest of each column.
fn free(rows: &[String], falls: bool) -> Vec<(u16, u16)> {
    let is_free = |row: usize, col: usize| rows.get(row).and_then(|cells| cells.chars().nth(col)) == Some('.');
    let cols = rows.first().map_or(0, |cells| cells.chars().count());
    let cells = (0..rows.len()).flat_map(|row| (0..cols).map(move |col| (row, col)));
    let lands = |(row, col): &(usize, usize)| is_free(*row, *col) && !(falls && is_free(row + 1, *col));
    let numbered = |(row, col)| Some((u16::try_from(row + 1).ok()?, u16::try_from(col + 1).ok()?));
    cells.filter(lands).filter_map(numbered).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use serde_json::json;

    use super::*;

    #[test]
    fn it_moves_on_its_turn_where_there_is_room_and_once_for_a_position() {
        let mut player = player();
        let mut seeded = Seeded(7);
        player.on(&json!({"event":"match","match":"m","you":"O","opponent":"p0","game":"tictactoe"}));
        assert_eq!(player.on(&json!({"event":"board","match":"m","ply":0,"turn":"X","rows":["...","...","..."]})), []);
        player.pending.push_back((1, "send".to_owned()));
        let wishes = player.on(&json!({"event":"board","match":"m","ply":7,"turn":"O","rows":["XO.","OXO","XOX"]}));
        assert_eq!(wishes, [(20, Wish::Move("m".to_owned(), 7))]);
        assert!(player.typed(&wishes[0].1, &mut seeded).0.is_none(), "the last one is not answered yet");
        player.pending.clear();
        let (typed, _) = player.typed(&wishes[0].1, &mut seeded);
        assert_eq!(typed.unwrap().line, "send 1 3");
        player.on(&json!({"event":"board","match":"m","ply":8,"turn":"X","rows":["XOO","OXO","XOX"]}));
        assert!(player.typed(&wishes[0].1, &mut seeded).0.is_none(), "that position has gone by");
    }

    #[test]
    fn a_refused_move_is_tried_again_and_answers_find_their_calls() {
        let mut player = player();
        player.on(&json!({"event":"match","match":"m","you":"X","opponent":"p0","game":"tictactoe"}));
        player.on(&json!({"event":"board","match":"m","ply":0,"turn":"X","rows":["...","...","..."]}));
        player.pending.extend([(3, "begin".to_owned()), (4, "send".to_owned()), (5, "send".to_owned())]);
        let refused = json!({"event":"reply","command":"send","ok":false,"error":"nobody-reached"});
        assert_eq!(player.on(&refused), [(AGAIN_MS, Wish::Move("m".to_owned(), 0))]);
        assert_eq!([player.answers("send"), player.answers("send"), player.answers("send")], [Some(4), Some(5), None]);
        assert_eq!(player.forget(), [3]);
    }

    #[test]
    fn an_invitation_that_stands_is_accepted_until_it_is_gone() {
        let mut player = player();
        let answer = |error: &str| json!({"event":"reply","command":"accept","ok":false,"error":error});
        assert_eq!(player.on(&answer("restarting")), [(AGAIN_MS, Wish::Accept("p0".to_owned()))]);
        assert_eq!(player.on(&answer("no-invite")), []);
    }

    fn player() -> Player {
        let name = || "p1".to_owned();
        Player {
            user: name(),
            password: name(),
            device: name(),
            state: PathBuf::new(),
            server: String::new(),
            direct: true,
            listen: ([127, 0, 0, 1], 0).into(),
            advertise: None,
            game: "tictactoe".to_owned(),
            think_ms: 20,
            partner: "p0".to_owned(),
            asks: false,
            process: None,
            life: 0,
            live: true,
            logged_in: true,
            seat: None,
            seats: 0,
            pending: VecDeque::new(),
            done: BTreeSet::new(),
            begins: false,
            closing: false,
        }
    }
}
