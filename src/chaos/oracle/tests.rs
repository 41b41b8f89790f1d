//! Histories made by hand: good ones, in which nothing is found, and bad ones with one thing wrong, which must be found.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

mod accounts;
mod good;
mod moves;
mod points;
mod results;
mod times;

use super::rules::SEATS;
use super::{Verdicts, judge};
use crate::chaos::finals::{Act, Door, Entry, Finals, Keeper, Kept, Outage, Regrant, Scored, Verdict};
use crate::chaos::history::{Call, End, Points, Record, Told, What, player_of};

/// The match of most histories.
const M: &str = "m";
/// X wins with the fifth move.
const X_WINS: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];

/// What makes one thing wrong.
type Spoil<T> = fn(&mut T);

/// A history as it is written.
#[derive(Clone, Default)]
struct World {
    history: Vec<Record>,
    finals: Finals,
    now_ms: u64,
    op: u64,
}

impl World {
    /// Two players who have accounts, are logged in and seated in a match; every keeper has its file.
    fn seated() -> Self {
        let mut world = Self::default();
        world.says("server", What::Started);
        for who in ["p0", "p1"] {
            world.says(who, What::Started);
            world.link(who, 40);
            let (user, password) = (who.to_owned(), secret(who));
            world.done(who, Call::AddUser { user: user.clone(), password: password.clone() });
            world.done(who, Call::Login { user: user.clone(), password: password.clone() });
            world.finals.doors.insert(user, Door { opens: vec![password], shut: vec!["another".to_owned()] });
        }
        world.sits("p0", "X");
        world.sits("p1", "O");
        for keeper in ["server", "p0", "p1"] {
            world.finals.keepers.entry(keeper.to_owned()).or_default().matches.insert(M.to_owned(), empty());
        }
        world.finals.figures.sizes.push(("queue".to_owned(), 3, 256));
        world.finals.figures.dials_a_second_max.insert("p0".to_owned(), 7);
        world.finals.figures.dials_at_once_max.insert("p0".to_owned(), 3);
        world.finals.healed.at_ms = Some(0);
        for who in ["p0", "p1"] {
            world.finals.healed.live_ms.insert(who.to_owned(), Some(300));
            world.finals.healed.urgent.insert(who.to_owned(), true);
        }
        world.finals.healed.settled_ms.insert(M.to_owned(), Some(700));
        world
    }

    /// A match that X has won, settled and told.
    fn won() -> Self {
        let mut world = Self::seated();
        world.plays_all(&X_WINS).settle(&by_board("X"));
        world
    }

    /// Time passes.
    fn wait(&mut self, ms: u64) -> &mut Self {
        self.now_ms += ms;
        self
    }

    fn says(&mut self, who: &str, what: What) -> &mut Self {
        self.now_ms += 1;
        self.history.push(Record { at_ms: self.now_ms, who: who.to_owned(), what });
        self
    }

    fn tells(&mut self, who: &str, told: Told) -> &mut Self {
        self.says(who, What::Told { told })
    }

    fn fault(&mut self, fault: &str) -> &mut Self {
        self.says("driver", What::Fault { fault: fault.to_owned(), on: true })
    }

    /// Its number.
    fn asks(&mut self, who: &str, call: Call) -> u64 {
        self.op += 1;
        let op = self.op;
        self.says(who, What::Invoke { op, call });
        op
    }

    fn done(&mut self, who: &str, call: Call) -> &mut Self {
        let op = self.asks(who, call);
        self.says(who, What::Ok { op })
    }

    fn refused(&mut self, who: &str, call: Call, error: &str) -> &mut Self {
        let op = self.asks(who, call);
        self.says(who, What::Fail { op, error: error.to_owned() })
    }

    /// The link is down for so long.
    fn link(&mut self, who: &str, outage_ms: u64) -> &mut Self {
        let link = |state: &str, outage_ms, attempts| Told::Link { state: state.to_owned(), outage_ms, attempts };
        self.tells(who, link("down", None, None));
        self.wait(outage_ms - 1);
        self.tells(who, link("live", Some(outage_ms), Some(1)))
    }

    /// The link is down for so long, and the log says so.
    fn outage(&mut self, who: &str, outage_ms: u64) -> &mut Self {
        self.finals.figures.outages.push(Outage {
            who: who.to_owned(),
            cause: "reset".to_owned(),
            attempts: Some(1),
            length_ms: Some(outage_ms),
            waits_ms: String::new(),
        });
        self.link(who, outage_ms)
    }

    fn sits(&mut self, who: &str, you: &str) -> &mut Self {
        let opponent = if player_of(who) == "p0" { "p1" } else { "p0" };
        let (match_id, game) = (M.to_owned(), "tictactoe".to_owned());
        self.tells(who, Told::Match { match_id, you: you.to_owned(), opponent: opponent.to_owned(), game })
    }

    /// The next move, by whose turn it is: at every keeper, seen and kept, and shown to both.
    fn plays(&mut self, row: u16, col: u16) -> &mut Self {
        let ply = self.plies();
        let mover = ["p0", "p1"][usize::from(ply % 2)];
        self.moves_at(mover, ply, (row, col), &["server", "p0", "p1"]);
        self.shown("p0", ply, (row, col), "kept");
        self.shown("p1", ply, (row, col), "kept");
        for who in ["p0", "p1"] {
            self.board(who);
        }
        self
    }

    /// One after the other.
    fn plays_all(&mut self, cells: &[(u16, u16)]) -> &mut Self {
        for (row, col) in cells {
            self.plays(*row, *col);
        }
        self
    }

    /// A move is typed, is on the disks of these keepers, and is seen by the other player.
    fn moves_at(&mut self, mover: &str, ply: u16, cell: (u16, u16), keepers: &[&str]) -> &mut Self {
        let moved = self.finals.keepers.contains_key("p0.2");
        let other = match player_of(mover) {
            "p0" => "p1",
            _ if moved => "p0.2",
            _ => "p0",
        };
        let op = self.asks(mover, send(ply, cell));
        self.shown(mover, ply, cell, "sent");
        self.says(mover, What::Ok { op });
        for keeper in keepers {
            self.kept(keeper).entries.push(entry(ply, cell));
        }
        self.shown(other, ply, cell, "seen");
        self.shown(mover, ply, cell, "seen")
    }

    fn shown(&mut self, who: &str, ply: u16, (row, col): (u16, u16), state: &str) -> &mut Self {
        let by = ["p0", "p1"][usize::from(ply % 2)].to_owned();
        self.tells(
            who,
            Told::Move {
                match_id: M.to_owned(),
                ply,
                by,
                row: Some(row),
                col: Some(col),
                resigns: false,
                state: state.to_owned(),
                acknowledged: state != "sent",
            },
        )
    }

    /// What its file has is drawn.
    fn board(&mut self, who: &str) -> &mut Self {
        let kept = self.kept(who);
        let rows = super::rules::play(kept).boards.pop().unwrap();
        let ply = u16::try_from(kept.entries.len()).unwrap();
        self.tells(who, Told::Board { match_id: M.to_owned(), ply, rows })
    }

    fn result(&mut self, who: &str, verdict: &Verdict, recorded: bool) -> &mut Self {
        let own = SEATS[usize::from(player_of(who) == "p1")];
        let outcome = match &verdict.winner {
            _ if verdict.void => "void",
            None => "draw",
            Some(winner) if winner == own => "win",
            Some(_) => "loss",
        };
        let (match_id, outcome, why) = (M.to_owned(), outcome.to_owned(), verdict.why.clone());
        self.tells(who, Told::Result { match_id, outcome, why, agreed: false, recorded })
    }

    /// The verdict is at every keeper, scored and told, and the points are asked for.
    fn settle(&mut self, verdict: &Verdict) -> &mut Self {
        for keeper in ["server", "p0", "p1"] {
            if self.finals.keepers.contains_key(keeper) {
                self.kept(keeper).verdict = Some(verdict.clone());
            }
        }
        self.score(verdict);
        for who in ["p0", "p1"] {
            self.result(who, verdict, false);
            self.result(who, verdict, true);
        }
        self.leaders("p0")
    }

    /// The verdict is in the journal, and nothing else was scored.
    fn score(&mut self, verdict: &Verdict) -> &mut Self {
        let players = ["p0".to_owned(), "p1".to_owned()];
        self.finals.ledger.verdicts = vec![Scored { match_id: M.to_owned(), players, verdict: verdict.clone() }];
        let row = |name: &str, seat: &str| {
            let (mut points, mut wins, mut draws, mut losses) = (0, 0, 0, 0);
            match &verdict.winner {
                _ if verdict.void => {}
                None => (points, draws) = (1, 1),
                Some(winner) if winner == seat => (points, wins) = (2, 1),
                Some(_) => losses = 1,
            }
            Points { name: name.to_owned(), points, wins, draws, losses }
        };
        let mut board = vec![row("p0", "X"), row("p1", "O")];
        board.sort_by_key(|row| std::cmp::Reverse(row.points));
        self.finals.ledger.board = board;
        self
    }

    /// Asks for the points and is told those of the server.
    fn leaders(&mut self, who: &str) -> &mut Self {
        let op = self.asks(who, Call::Ask { word: "leaders".to_owned() });
        let rows = self.finals.ledger.board.clone();
        self.tells(who, Told::Leaders { rows });
        self.says(who, What::Ok { op })
    }

    /// What a keeper has of the match.
    fn kept(&mut self, keeper: &str) -> &mut Kept {
        self.finals.keepers.entry(keeper.to_owned()).or_default().matches.entry(M.to_owned()).or_insert_with(empty)
    }

    /// The longest chain there is.
    fn plies(&self) -> u16 {
        let files = self.finals.keepers.values().filter_map(|keeper: &Keeper| keeper.matches.get(M));
        files.map(|kept| u16::try_from(kept.entries.len()).unwrap()).max().unwrap_or(0)
    }

    fn judged(&self) -> Verdicts {
        judge(&self.history, &self.finals)
    }

    /// Nothing is found.
    #[track_caller]
    fn is_good(&self) -> &Self {
        assert_eq!(self.judged().violations, []);
        self
    }

    /// It is good, and has put these to the test.
    #[track_caller]
    fn exercises(&self, invariants: &[&str]) {
        let exercised = self.is_good().judged().exercised;
        for invariant in invariants {
            assert!(exercised.contains(*invariant), "{invariant} is not among {exercised:?}");
        }
    }

    /// This invariant is named, for this reason.
    #[track_caller]
    fn breaks(&self, invariant: &str, why: &str) {
        let violations = self.judged().violations;
        let named = violations.iter().any(|found| found.invariant == invariant && found.why.contains(why));
        assert!(named, "{invariant} because of `{why}` is not among {violations:#?}");
    }
}

fn secret(user: &str) -> String {
    format!("secret of {user}")
}

fn empty() -> Kept {
    Kept {
        players: ["p0".to_owned(), "p1".to_owned()],
        game: "tictactoe".to_owned(),
        grant: "grant".to_owned(),
        ..Kept::default()
    }
}

/// The hash of the entry at a ply; of what it does, so that two values have two.
fn hash(ply: u16, (row, col): (u16, u16)) -> String {
    format!("{ply}:{row},{col}")
}

/// An entry; `chained` gives it the right `prev`.
fn entry(ply: u16, cell: (u16, u16)) -> Entry {
    let seat = SEATS[usize::from(ply % 2)].to_owned();
    let act = Act::Cell(cell.0, cell.1);
    let prev = match ply.checked_sub(1) {
        None => "grant".to_owned(),
        Some(before) => hash(before, X_WINS[usize::from(before) % X_WINS.len()]),
    };
    Entry { ply, seat, act, prev, hash: hash(ply, cell), signed: true, regrant: None }
}

/// Sets each entry behind the one before.
fn chain(kept: &mut Kept) {
    let mut before = kept.grant.clone();
    for entry in &mut kept.entries {
        entry.prev = before;
        before = entry.hash.clone();
    }
}

/// A further grant before the entry at `ply`.
fn regrant(kept: &mut Kept, ply: usize, name: &str) {
    let entry = &mut kept.entries[ply];
    let after = entry.regrant.take().map(Box::new);
    let base = std::mem::replace(&mut entry.prev, name.to_owned());
    entry.regrant = Some(Regrant { hash: name.to_owned(), base, after });
}

fn send(ply: u16, (row, col): (u16, u16)) -> Call {
    Call::Send { match_id: M.to_owned(), ply, row, col }
}

fn by_board(winner: &str) -> Verdict {
    Verdict { why: "board".to_owned(), winner: Some(winner.to_owned()), void: false }
}

fn foul(winner: &str) -> Verdict {
    Verdict { why: "foul".to_owned(), ..by_board(winner) }
}

fn killed() -> What {
    What::Ended { how: End::Killed }
}
