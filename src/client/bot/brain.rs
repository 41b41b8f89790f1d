//! What a bot makes of what it is shown. Pure but for the random number that chooses among equal moves.
//!
//! What must hold: every refusal that can pass is answered by trying again, and a position is always that of the newest
//! board shown, so a move is never chosen twice for one that has gone by.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{BotError, Options, Played};
use crate::model::client::command::Typed;
use crate::model::client::event::{Event, LinkState, Reply};
use crate::model::games::{Game, GameSpec, Seat};
use crate::model::id::Name;

/// After a refusal that may pass.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// After a move that could not be signed yet: no other keeper has been reached.
const MOVE_RETRY_AFTER: Duration = Duration::from_millis(500);
/// Opponents of matches that are remembered for their results.
const OPPONENTS_MAX: usize = 256;

/// A bot, without its hands.
pub(super) struct Brain {
    options: Options,
    login: Login,
    invited: BTreeSet<String>,
    table: Option<Table>,
    opponents: BTreeMap<String, String>,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Give this command.
    Type {
        /// After this wait.
        after: Duration,
        /// Which.
        typed: Typed,
    },
    /// Call [`Brain::play`].
    Think {
        /// After this wait.
        after: Duration,
    },
    /// Tell whoever runs the bot.
    Report(Played),
}

/// Whether it is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Login {
    /// Not known before the first link: there may be a session from before.
    Unknown,
    No,
    Asked,
    Yes,
}

/// The match it sits in.
struct Table {
    match_id: String,
    seat: String,
    spec: Option<GameSpec>,
    /// With the bot to move; none while it is not its turn.
    to_move: Option<Box<dyn Game>>,
}

impl Brain {
    pub(super) const fn new(options: Options) -> Self {
        Self { options, login: Login::Unknown, invited: BTreeSet::new(), table: None, opponents: BTreeMap::new() }
    }

    /// What follows from an event; `user` is who the client says is logged in.
    pub(super) fn on(&mut self, event: &Event, user: Option<&str>) -> Result<Vec<Step>, BotError> {
        Ok(match event {
            Event::Link { state: LinkState::Live, .. } => self.live(user),
            Event::Reply(reply) => self.reply(reply)?,
            Event::Invited { by, .. } => {
                self.invited.insert(by.clone());
                accept(by).into_iter().collect()
            }
            Event::InviteClosed { with, .. } => {
                self.invited.remove(with);
                Vec::new()
            }
            Event::Match { match_id, you, opponent, game } => {
                self.sit(match_id, you, opponent, game);
                Vec::new()
            }
            Event::Board { match_id, ply, turn, moves, .. } => {
                self.look(match_id, *ply, turn.as_deref(), moves).into_iter().collect()
            }
            Event::Result { match_id, outcome, why, recorded, agreed: _ } => {
                let opponent = self.opponents.get(match_id).cloned();
                let (match_id, why) = (match_id.clone(), why.clone());
                let mut steps = if *recorded { self.rise(&match_id) } else { Vec::new() };
                let played = Played { match_id, opponent, outcome: *outcome, why, recorded: *recorded };
                steps.push(Step::Report(played));
                steps
            }
            Event::Suspended { match_id, .. } => self.rise(match_id),
            Event::Notice { code: "superseded", .. } => return Err(BotError::Superseded(self.options.user.clone())),
            Event::Notice { code: "session-ended", .. } => {
                self.login = Login::No;
                self.table = None;
                Vec::new()
            }
            Event::Link { state: LinkState::Down | LinkState::Dialing | LinkState::Resuming, .. }
            | Event::Move { .. }
            | Event::Path { .. }
            | Event::Opponent { .. }
            | Event::Offered { .. }
            | Event::Notice { .. } => Vec::new(),
        })
    }

    /// The best move of the newest position, if it is the bot's turn in it.
    pub(super) fn play(&mut self) -> Option<Typed> {
        let table = self.table.as_ref()?;
        let game = table.to_move.as_ref()?;
        let mut draw = [0; 8];
        self.options.entropy.fill(&mut draw);
        let seat = seat_named(&table.seat)?;
        let cell = game.cell(&game.suggest(seat, u64::from_le_bytes(draw))?)?;
        Some(Typed::Send(vec![cell.row.to_string(), cell.col.to_string()]))
    }

    fn live(&mut self, user: Option<&str>) -> Vec<Step> {
        let mine = |name: &str| name.eq_ignore_ascii_case(self.options.user.as_str());
        match self.login {
            Login::Unknown if user.is_some_and(mine) => {
                self.login = Login::Yes;
                Vec::new()
            }
            Login::Unknown if self.options.make_account => {
                self.login = Login::Asked;
                vec![self.add_user(Duration::ZERO)]
            }
            Login::Unknown | Login::No => {
                self.login = Login::Asked;
                vec![self.log_in(Duration::ZERO)]
            }
            // The client gives what was asked again on every link, until it is answered.
            Login::Asked | Login::Yes => Vec::new(),
        }
    }

    fn reply(&mut self, reply: &Reply) -> Result<Vec<Step>, BotError> {
        let refused = |error| BotError::Refused {
            command: reply.command.clone(),
            user: self.options.user.clone(),
            error,
            why: reply.message.clone().unwrap_or_default(),
        };
        Ok(match (reply.command.as_str(), reply.error) {
            ("adduser", None | Some("user-exists")) => vec![self.log_in(Duration::ZERO)],
            (
                "adduser" | "login",
                Some(error @ ("bad-password" | "wrong-password" | "user-in-use" | "unsupported")),
            ) => {
                return Err(refused(error));
            }
            ("adduser", Some(_)) => vec![self.add_user(RETRY_AFTER)],
            ("login", None | Some("already-logged-in")) => {
                self.login = Login::Yes;
                Vec::new()
            }
            ("login", Some(_)) => vec![self.log_in(RETRY_AFTER)],
            // Its key is elsewhere, so it can never be played here: leaving it blocks nobody.
            ("send", Some("other-device")) => vec![Step::Type { after: Duration::ZERO, typed: Typed::Leave }],
            ("send", Some("no-match")) => {
                self.table = None;
                Vec::new()
            }
            ("send", Some(_)) if self.table.as_ref().is_some_and(|table| table.to_move.is_some()) => {
                vec![Step::Think { after: MOVE_RETRY_AFTER }]
            }
            // Whoever asked may ask again, and the invitation stays open for when this match is over.
            (_, None | Some(_)) => Vec::new(),
        })
    }

    fn sit(&mut self, match_id: &str, you: &str, opponent: &str, game: &str) {
        if self.opponents.len() >= OPPONENTS_MAX {
            self.opponents.pop_first();
        }
        self.opponents.insert(match_id.to_owned(), opponent.to_owned());
        self.invited.remove(opponent);
        let spec = GameSpec::named(game).ok();
        self.table = Some(Table { match_id: match_id.to_owned(), seat: you.to_owned(), spec, to_move: None });
    }

    fn look(&mut self, match_id: &str, ply: u16, turn: Option<&str>, moves: &[[u16; 2]]) -> Option<Step> {
        let table = self.table.as_mut().filter(|table| table.match_id == match_id)?;
        let mine = turn == Some(table.seat.as_str());
        table.to_move = table.spec.as_ref().filter(|_| mine).and_then(|spec| position(spec, ply, moves));
        table.to_move.as_ref().map(|_| Step::Think { after: self.options.think })
    }

    /// The match is over or left: who has asked meanwhile is answered.
    fn rise(&mut self, match_id: &str) -> Vec<Step> {
        self.table.take_if(|table| table.match_id == match_id);
        self.invited.iter().filter_map(|by| accept(by)).collect()
    }

    fn add_user(&self, after: Duration) -> Step {
        let typed = Typed::AddUser(self.options.user.clone(), self.options.password.clone());
        Step::Type { after, typed }
    }

    fn log_in(&self, after: Duration) -> Step {
        let typed = Typed::Login(self.options.user.clone(), self.options.password.clone());
        Step::Type { after, typed }
    }
}

fn accept(by: &str) -> Option<Step> {
    let typed = Typed::Accept(Some(Name::new(by).ok()?));
    Some(Step::Type { after: Duration::ZERO, typed })
}

fn seat_named(name: &str) -> Option<Seat> {
    Seat::BOTH.into_iter().find(|seat| seat.to_string() == name)
}

/// The game after these moves; none if they are not all there or not of this game.
fn position(spec: &GameSpec, ply: u16, moves: &[[u16; 2]]) -> Option<Box<dyn Game>> {
    if moves.len() != usize::from(ply) {
        return None;
    }
    let mut game = spec.start().ok()?;
    for (ply, [row, col]) in (0..).zip(moves) {
        let play = game.read(&[&row.to_string(), &col.to_string()]).ok()?;
        game.apply(Seat::at(ply), &play).ok()?;
    }
    Some(game)
}

#[cfg(test)]
mod tests;
