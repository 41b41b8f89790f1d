//! `rejoin play --json`: one JSON object a line.
//!
//! Holds: every line is one whole object with an `event`, on its way before the next is made; the schema only grows.

use std::io::{self, Write};

use super::session::Face;
use crate::model::client::event::Event;

/// Writes events as JSON.
#[derive(Debug)]
pub struct Json<W> {
    output: W,
}

impl<W: Write> Json<W> {
    /// Writes there, and flushes after each line.
    #[must_use]
    pub const fn new(output: W) -> Self {
        Self { output }
    }
}

impl<W: Write> Face for Json<W> {
    fn show(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.output.write_all(&line)?;
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;
    use crate::model::client::event::{LinkState, MoveState, PathKind, Presence, Reply, SeatStatus, Status};
    use crate::model::id::Name;
    use crate::model::message::{LeaderRow, UserRow, UserState};
    use crate::model::statement::Fared;

    #[test]
    fn link_events_have_these_lines() {
        let link = |state, outage_ms, attempts| Event::Link { state, outage_ms, attempts };
        golden(&link(LinkState::Down, None, None), r#"{"event":"link","state":"down"}"#);
        golden(&link(LinkState::Dialing, None, None), r#"{"event":"link","state":"dialing"}"#);
        golden(&link(LinkState::Resuming, None, None), r#"{"event":"link","state":"resuming"}"#);
        let live = r#"{"event":"link","state":"live","outage_ms":412,"attempts":3}"#;
        golden(&link(LinkState::Live, Some(412), Some(3)), live);
        for (path, line) in [
            (PathKind::Direct, r#"{"event":"path","path":"direct"}"#),
            (PathKind::Server, r#"{"event":"path","path":"server"}"#),
            (PathKind::None, r#"{"event":"path","path":"none"}"#),
        ] {
            golden(&Event::Path { path }, line);
        }
        golden(&Event::Opponent { state: Presence::Here }, r#"{"event":"opponent","state":"here"}"#);
        golden(&Event::Opponent { state: Presence::Away }, r#"{"event":"opponent","state":"away"}"#);
        let notice = Event::Notice { code: "restarting", text: "back soon".to_owned() };
        golden(&notice, r#"{"event":"notice","code":"restarting","text":"back soon"}"#);
    }

    #[test]
    fn events_before_a_match_have_these_lines() {
        let (by, game) = ("bob".to_owned(), "gomoku".to_owned());
        let invited = Event::Invited { by: by.clone(), game: game.clone(), resumes: false };
        golden(&invited, r#"{"event":"invited","by":"bob","game":"gomoku","resumes":false}"#);
        let closed = Event::InviteClosed { with: by.clone(), why: "expired".to_owned() };
        golden(&closed, r#"{"event":"invite_closed","with":"bob","why":"expired"}"#);
        let offered = Event::Offered { match_id: id(), opponent: by, game, ply: 4 };
        golden(&offered, r#"{"event":"offered","match":"0a","opponent":"bob","game":"gomoku","ply":4}"#);
    }

    #[test]
    fn events_of_a_match_have_these_lines() {
        let (you, opponent, game) = ("X".to_owned(), "bob".to_owned(), "tictactoe".to_owned());
        let seated = Event::Match { match_id: id(), you, opponent, game };
        golden(&seated, r#"{"event":"match","match":"0a","you":"X","opponent":"bob","game":"tictactoe"}"#);
        let rows = ["X..", "...", "..."].map(str::to_owned).to_vec();
        let board = Event::Board { match_id: id(), ply: 1, turn: Some("O".to_owned()), rows, moves: vec![[1, 1]] };
        golden(&board, r#"{"event":"board","match":"0a","ply":1,"turn":"O","rows":["X..","...","..."]}"#);
        let decided = Event::Board { match_id: id(), ply: 5, turn: None, rows: Vec::new(), moves: Vec::new() };
        golden(&decided, r#"{"event":"board","match":"0a","ply":5,"turn":null,"rows":[]}"#);
        let moved = |state, acknowledged, cell: Option<(u16, u16)>| Event::Move {
            match_id: id(),
            ply: 0,
            by: "alice".to_owned(),
            row: cell.map(|(row, _)| row),
            col: cell.map(|(_, col)| col),
            resigns: cell.is_none(),
            state,
            acknowledged,
        };
        for (state, word, acknowledged) in
            [(MoveState::Sent, "sent", false), (MoveState::Seen, "seen", true), (MoveState::Kept, "kept", true)]
        {
            let line = format!(
                r#"{{"event":"move","match":"0a","ply":0,"by":"alice","row":1,"col":3,"state":"{word}","acknowledged":{acknowledged}}}"#
            );
            golden(&moved(state, acknowledged, Some((1, 3))), &line);
        }
        let resigned =
            r#"{"event":"move","match":"0a","ply":0,"by":"alice","resigns":true,"state":"sent","acknowledged":false}"#;
        golden(&moved(MoveState::Sent, false, None), resigned);
    }

    #[test]
    fn endings_have_these_lines() {
        let suspended = Event::Suspended { match_id: id(), with: "bob".to_owned(), by: "bob".to_owned() };
        golden(&suspended, r#"{"event":"suspended","match":"0a","with":"bob","by":"bob"}"#);
        for (outcome, word) in
            [(Fared::Win, "win"), (Fared::Draw, "draw"), (Fared::Loss, "loss"), (Fared::Void, "void")]
        {
            let result =
                Event::Result { match_id: id(), outcome, why: "board".to_owned(), agreed: true, recorded: false };
            let line = format!(
                r#"{{"event":"result","match":"0a","outcome":"{word}","why":"board","agreed":true,"recorded":false}}"#
            );
            golden(&result, &line);
        }
    }

    #[test]
    fn replies_have_these_lines() {
        let golden = |reply, line| golden(&Event::Reply(reply), line);
        golden(Reply::done("send"), r#"{"event":"reply","command":"send","ok":true}"#);
        let said = r#"{"event":"reply","command":"login","ok":true,"message":"welcome, alice"}"#;
        golden(Reply::said("login", "welcome, alice"), said);
        let refused =
            r#"{"event":"reply","command":"send","ok":false,"error":"cell-taken","message":"that cell is taken"}"#;
        golden(Reply::refused("send", "cell-taken", "that cell is taken"), refused);
        let name = || Name::new("bob").unwrap();
        let users = [UserState::Free, UserState::Busy, UserState::Away].map(|state| UserRow { name: name(), state });
        let list = r#"{"event":"reply","command":"list","ok":true,"users":[{"name":"bob","state":"free"},{"name":"bob","state":"busy"},{"name":"bob","state":"away"}]}"#;
        golden(Reply { users: Some(users.to_vec()), ..Reply::done("list") }, list);
        let row = LeaderRow { name: name(), points: 7, wins: 3, draws: 1, losses: 2, left: 1 };
        let leaders = r#"{"event":"reply","command":"leaders","ok":true,"rows":[{"name":"bob","points":7,"wins":3,"draws":1,"losses":2,"left":1}]}"#;
        golden(Reply { rows: Some(vec![row]), ..Reply::done("leaders") }, leaders);
        let delay = Reply { rtt_ms: Some(vec![0.25, 12.0]), path: Some(PathKind::Direct), ..Reply::done("delay") };
        golden(delay, r#"{"event":"reply","command":"delay","ok":true,"rtt_ms":[0.25,12.0],"path":"direct"}"#);
        let figures = Reply {
            median_ms: Some(1.0),
            p95_ms: Some(2.0),
            jitter_ms: Some(0.5),
            rtt_ms: Some(vec![1.0, 1.0, 2.0]),
            path: Some(PathKind::Direct),
            ..Reply::done("delay")
        };
        let line = r#"{"event":"reply","command":"delay","ok":true,"rtt_ms":[1.0,1.0,2.0],"median_ms":1.0,"p95_ms":2.0,"jitter_ms":0.5,"path":"direct"}"#;
        golden(figures, line);
        let export = Reply { file: Some("match-0a.json".to_owned()), ..Reply::done("export") };
        golden(export, r#"{"event":"reply","command":"export","ok":true,"file":"match-0a.json"}"#);
    }

    #[test]
    fn a_status_has_this_line() {
        let seat = SeatStatus {
            match_id: id(),
            you: "X".to_owned(),
            opponent: "bob".to_owned(),
            opponent_here: true,
            turn: None,
            ply: 4,
            seen: 4,
            kept: 3,
            path: PathKind::Server,
            rtt_ms: Some(0.5),
            decided: true,
            outcome: Some(Fared::Win),
            agreed: true,
        };
        let user = Some("alice".to_owned());
        let status = Status { user, link: LinkState::Down, down_ms: Some(40), retry_ms: Some(9), seated: Some(seat) };
        let reply = Reply { status: Some(status), path: Some(PathKind::None), ..Reply::done("status") };
        golden(
            &Event::Reply(reply),
            r#"{"event":"reply","command":"status","ok":true,"path":"none","status":{"user":"alice","link":"down","down_ms":40,"retry_ms":9,"match":{"match":"0a","you":"X","opponent":"bob","opponent_here":true,"turn":null,"ply":4,"seen":4,"kept":3,"path":"server","rtt_ms":0.5,"decided":true,"outcome":"win","agreed":true}}}"#,
        );
    }

    #[test]
    fn whatever_a_text_holds_an_event_is_one_line() {
        let notice = Event::Notice { code: "x", text: "a\nb\u{1b}\"".to_owned() };
        golden(&notice, r#"{"event":"notice","code":"x","text":"a\nb\u001b\""}"#);
    }

    fn golden(event: &Event, line: &str) {
        let mut written = Vec::new();
        Json::new(&mut written).show(event).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), format!("{line}\n"));
    }

    fn id() -> String {
        "0a".to_owned()
    }
}
