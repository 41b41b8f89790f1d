//! The story of the demo, told as it happens: a line a thing, with its time.

use std::collections::BTreeSet;

use anyhow::ensure;

use super::ledger::{Found, Ledger};
use crate::client::ui;
use crate::model::client::event::{Event, LinkState, MoveState, PathKind, Reply};
use crate::model::games::Cell;
use crate::model::message::LeaderRow;
use crate::model::time::{Clock, Now, ms};
use crate::ops::host::HostClock;

/// The two players.
pub(super) const NAMES: [&str; 2] = ["alice", "bob"];

/// The story so far.
pub(super) struct Story {
    clock: HostClock,
    start: Now,
    pub(super) ledger: Ledger,
    board: Vec<String>,
    last: Option<Cell>,
    introduced: BTreeSet<(usize, String)>,
    /// The match that is played; late news of the one before is not told.
    current: Option<String>,
    announced: BTreeSet<u16>,
    acknowledged: BTreeSet<u16>,
    sent: Vec<(u16, Now)>,
    pub(super) logged_in: usize,
    matches: u32,
    kills: usize,
    back: usize,
    down_since: Option<Now>,
    up_since: Option<Now>,
    /// Of the match that is played: who plays directly, knows an ending both have signed, has it from the server.
    pub(super) direct: [bool; 2],
    pub(super) agreed: [bool; 2],
    pub(super) recorded: [bool; 2],
    pub(super) leaders: Option<Vec<LeaderRow>>,
}

impl Story {
    pub(super) fn new(clock: HostClock) -> Self {
        Self {
            clock,
            start: clock.now(),
            ledger: Ledger::default(),
            board: Vec::new(),
            last: None,
            introduced: BTreeSet::new(),
            current: None,
            announced: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            sent: Vec::new(),
            logged_in: 0,
            matches: 0,
            kills: 0,
            back: 0,
            down_since: None,
            up_since: None,
            direct: [false; 2],
            agreed: [false; 2],
            recorded: [false; 2],
            leaders: None,
        }
    }

    pub(super) fn line(&self, text: &str) {
        self.line_at(self.clock.now(), text);
    }

    pub(super) fn line_at(&self, at: Now, text: &str) {
        println!("{:7.3} s  {text}", at.since(self.start).as_secs_f64());
    }

    /// Another match begins.
    pub(super) fn next_match(&mut self) {
        self.matches += 1;
        self.current = None;
        self.announced.clear();
        self.acknowledged.clear();
        self.sent.clear();
        (self.direct, self.agreed, self.recorded) = ([false; 2], [false; 2], [false; 2]);
        (self.down_since, self.up_since) = (None, None);
    }

    /// Whether the move is on its way.
    pub(super) fn is_announced(&self, ply: u16) -> bool {
        self.announced.contains(&ply)
    }

    /// Whether both have the server back after each kill, and the result from it.
    pub(super) fn is_settled(&self) -> bool {
        self.recorded == [true; 2] && self.back >= self.kills * NAMES.len()
    }

    /// The server was killed.
    pub(super) fn is_down(&mut self, at: Now, text: &str) {
        self.kills += 1;
        self.down_since = Some(at);
        self.line_at(at, text);
    }

    /// The server that was killed for good is ready again.
    pub(super) fn is_up_again(&mut self) {
        let now = self.clock.now();
        self.up_since = Some(now);
        let down = self.down_since.map_or(0.0, |since| now.since(since).as_secs_f64());
        self.line_at(now, &format!("** the server is started again, after {down:.1} s"));
    }

    pub(super) fn tell(&mut self, who: usize, event: &Event) {
        self.ledger.note(event);
        let name = NAMES[who];
        match event {
            Event::Link { state: LinkState::Live, outage_ms, attempts } if self.kills > 0 => {
                self.back += 1;
                let (outage, attempts) = (outage_ms.unwrap_or(0), attempts.unwrap_or(0));
                let attempts = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
                self.line(&format!("   {name} has the server back after {outage} ms ({attempts})"));
            }
            Event::Match { match_id, you, opponent, .. } if self.introduced.insert((who, match_id.clone())) => {
                self.current = Some(match_id.clone());
                self.line(&format!("{name} plays {you} against {opponent}"));
            }
            Event::Board { rows, .. } => self.board.clone_from(rows),
            Event::Move { match_id, by, ply, state, row, col, .. } if self.is_current(match_id) => {
                self.tell_move(who, by, *ply, *state, *row, *col);
            }
            Event::Path { path } => self.direct[who] |= *path == PathKind::Direct,
            Event::Result { match_id, outcome, why, agreed, recorded } if self.is_current(match_id) => {
                let outcome = format!("{name}: {outcome:?} ({why})").to_lowercase();
                self.tell_result(who, &outcome, *agreed, *recorded);
            }
            Event::Notice { code: "agreed", .. } => {
                self.agreed[who] = true;
                self.line(&format!("{name}: the other has it too, so it is agreed"));
            }
            Event::Reply(Reply { rows: Some(rows), .. }) => self.leaders = Some(rows.clone()),
            Event::Reply(Reply { command, ok: true, .. }) if command == "login" => self.logged_in += 1,
            Event::Link { .. }
            | Event::Match { .. }
            | Event::Move { .. }
            | Event::Result { .. }
            | Event::Reply(_)
            | Event::Invited { .. }
            | Event::InviteClosed { .. }
            | Event::Opponent { .. }
            | Event::Suspended { .. }
            | Event::Offered { .. }
            | Event::Notice { .. } => {}
        }
    }

    fn is_current(&self, match_id: &str) -> bool {
        self.current.as_deref() == Some(match_id)
    }

    fn tell_result(&mut self, who: usize, outcome: &str, agreed: bool, recorded: bool) {
        self.agreed[who] |= agreed;
        self.recorded[who] |= recorded;
        let after = |since: Now| format!(", {} ms after the server was ready", ms(self.clock.now().since(since)));
        let how = match (recorded, agreed) {
            (true, _) => format!("recorded by the server{}", self.up_since.map(after).unwrap_or_default()),
            (false, true) => "on the board, and agreed: both have signed it".to_owned(),
            (false, false) => "on the board".to_owned(),
        };
        self.line(&format!("{outcome}, {how}"));
    }

    fn tell_move(&mut self, who: usize, by: &str, ply: u16, state: MoveState, row: Option<u16>, col: Option<u16>) {
        let now = self.clock.now();
        if state == MoveState::Sent && self.announced.insert(ply) {
            self.sent.push((ply, now));
            self.last = row.zip(col).map(|(row, col)| Cell { row, col });
            let cell = self.last.map(|Cell { row, col }| format!("{row} {col}")).unwrap_or_default();
            self.line(&format!("{by} plays {cell}"));
        }
        if NAMES[who] == by && state != MoveState::Sent && self.acknowledged.insert(ply) {
            let sent = self.sent.iter().find(|(sent, _)| *sent == ply).map_or(now, |(_, at)| *at);
            let keeper = if state == MoveState::Seen { "seen by the opponent" } else { "kept by the server" };
            self.line(&format!("   acknowledged after {} ms: {keeper}", ms(now.since(sent))));
        }
    }

    /// What was proved, or what was not.
    pub(super) fn verdict(&self, found: Found) -> anyhow::Result<()> {
        println!("\n{}\n", ui::board::board(&self.board, self.last));
        let leaders = self.leaders.as_deref().unwrap_or_default();
        for LeaderRow { name, points, wins, draws, losses, .. } in leaders {
            println!("{name:8} {points} points  ({wins} won, {draws} drawn, {losses} lost)");
        }
        let Found { acknowledged, lost, changed, wrong_boards, .. } = found;
        println!("\n{lost} of {acknowledged} acknowledged moves lost, {changed} changed, over {} kills", self.kills);
        ensure!(lost == 0 && changed == 0 && wrong_boards == 0, "what was acknowledged was not kept: {found:?}");
        let points: u32 = leaders.iter().map(|row| row.points).sum();
        let right = leaders.len() == NAMES.len() && points == 2 * self.matches;
        ensure!(right, "the score is wrong: {leaders:?}");
        println!("Everybody came back by themselves, a match was finished without the server, and the score is right.");
        Ok(())
    }
}
