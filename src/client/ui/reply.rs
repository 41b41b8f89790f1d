//! What came of a command, in words: sentences, and neat tables.

use super::paint::{odd, plain};
use super::state_line::{length, round_trip, turn};
use crate::model::client::event::{LinkState, PathKind, Reply, SeatStatus, Status};
use crate::model::games::Seat;
use crate::model::message::{LeaderRow, UserRow, UserState};

/// The lines for a reply; none for a command whose events say it all.
#[must_use]
pub fn lines(reply: &Reply) -> Vec<String> {
    let mut lines: Vec<String> = reply.message.iter().flat_map(|text| text.split('\n')).map(plain).collect();
    if !reply.ok {
        let why = if lines.is_empty() { plain(reply.error.unwrap_or("it was not done")) } else { lines.join(" ") };
        return vec![odd(&format!("{}: {why}", plain(&reply.command)))];
    }
    lines.extend(reply.users.as_deref().map(users).unwrap_or_default());
    lines.extend(reply.rows.as_deref().map(leaders).unwrap_or_default());
    lines.extend(reply.rtt_ms.as_deref().map(|rtt_ms| delay(rtt_ms, reply)).unwrap_or_default());
    lines.extend(reply.status.as_ref().map(status).unwrap_or_default());
    lines.extend(reply.file.as_deref().map(|file| format!("written to {}", plain(file))));
    if reply.command == "decline" && lines.is_empty() {
        lines.push("declined".to_owned());
    }
    lines
}

fn users(rows: &[UserRow]) -> Vec<String> {
    if rows.is_empty() {
        return vec!["nobody is here".to_owned()];
    }
    let word = |state| match state {
        UserState::Free => "free",
        UserState::Busy => "busy",
        UserState::Away => "away",
    };
    table(Side::Left, &["name", "state"], rows.iter().map(|row| vec![row.name.to_string(), word(row.state).to_owned()]))
}

fn leaders(rows: &[LeaderRow]) -> Vec<String> {
    if rows.is_empty() {
        return vec!["nobody has an account yet".to_owned()];
    }
    let cells = |row: &LeaderRow| {
        let numbers = [row.points, row.wins, row.draws, row.losses, row.left].map(|number| number.to_string());
        [row.name.to_string()].into_iter().chain(numbers).collect()
    };
    table(Side::Right, &["name", "points", "wins", "draws", "losses", "left"], rows.iter().map(cells))
}

/// The last round trips, and below them what they usually are.
fn delay(rtt_ms: &[f64], reply: &Reply) -> Vec<String> {
    let to = match reply.path {
        Some(PathKind::Direct) => "to the opponent, directly",
        Some(PathKind::Server) => "to the server, through which you play",
        Some(PathKind::None) | None => {
            return vec!["there is no way to anybody just now; nothing is measured".to_owned()];
        }
    };
    if rtt_ms.is_empty() {
        return vec![format!("{to}: no round trip was measured yet")];
    }
    let trips: Vec<String> = rtt_ms.iter().map(|ms| round_trip(*ms)).collect();
    let median = reply.median_ms.map(|ms| format!("median {}", round_trip(ms)));
    let p95 = reply.p95_ms.map(|ms| format!("95 of 100 within {}", round_trip(ms)));
    let jitter = reply.jitter_ms.map(|ms| format!("jitter {}", round_trip(ms)));
    let usual: Vec<String> = [median, p95, jitter].into_iter().flatten().collect();
    let usual = (!usual.is_empty()).then(|| format!("usually: {}", usual.join(", ")));
    [format!("{to}: {} (the last {})", trips.join(", "), trips.len())].into_iter().chain(usual).collect()
}

const fn way(path: PathKind) -> &'static str {
    match path {
        PathKind::Direct => "directly",
        PathKind::Server => "through the server",
        PathKind::None => "no way just now",
    }
}

fn status(status: &Status) -> Vec<String> {
    let user = match &status.user {
        Some(user) => format!("{} is logged in", plain(user)),
        None => "nobody is logged in".to_owned(),
    };
    [user, link(status)].into_iter().chain(status.seated.as_ref().map(seat).unwrap_or_default()).collect()
}

fn link(status: &Status) -> String {
    let word = match status.link {
        LinkState::Live => return "link to the server: live".to_owned(),
        LinkState::Down => "down",
        LinkState::Dialing => "dialing",
        LinkState::Resuming => "resuming",
    };
    let down = status.down_ms.map(|ms| format!(", {} without it", length(ms))).unwrap_or_default();
    // Whatever is typed makes the next one come at once.
    let retry = if status.link == LinkState::Down { ", tried again at once" } else { "" };
    format!("link to the server: {word}{down}{retry}")
}

fn seat(seat: &SeatStatus) -> Vec<String> {
    let opponent = plain(&seat.opponent);
    let presence = if seat.opponent_here { "here" } else { "away" };
    let rtt = seat.rtt_ms.map(|ms| format!(", {}", round_trip(ms))).unwrap_or_default();
    let first = format!("match with {opponent}, who is {presence}: you are {}, {}", plain(&seat.you), turn(seat));
    let counts = format!("moves: {}; seen by {opponent}: {}; kept by the server: {}", seat.ply, seat.seen, seat.kept);
    let path = format!("path to {opponent}: {}{rtt}", way(seat.path));
    [first, counts]
        .into_iter()
        .chain(last_own(seat))
        .chain([path, format!("match id {}", plain(&seat.match_id))])
        .collect()
}

/// How far the last own move has come.
fn last_own(seat: &SeatStatus) -> Option<String> {
    let opponent = plain(&seat.opponent);
    let mine = |ply: &u16| Seat::at(*ply).to_string() == seat.you;
    let last = (0..seat.ply).rev().find(mine)?;
    Some(match (seat.seen > last, seat.kept > last) {
        (true, true) => format!("your last move: seen by {opponent} and kept by the server, so acknowledged"),
        (true, false) => format!("your last move: seen by {opponent}, so acknowledged; not kept by the server yet"),
        (false, true) => format!("your last move: kept by the server, so acknowledged; not seen by {opponent} yet"),
        (false, false) => "your last move: sent, not acknowledged yet; it is on this disk alone".to_owned(),
    })
}

/// Columns as wide as their longest cell, the first to the left and the others to `side`.
fn table(side: Side, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let heads = heads.iter().map(|&head| head.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width = |col: usize| rows.iter().map(|row| row[col].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let cell = |(col, text): (usize, &String)| match side {
        Side::Right if col > 0 => format!("{text:>0$}", widths[col]),
        Side::Right | Side::Left => format!("{text:<0$}", widths[col]),
    };
    let line = |row: &Vec<String>| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ");
    rows.iter().map(|row| line(row).trim_end().to_owned()).collect()
}

#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::super::paint::colourless;
    use super::*;
    use crate::model::id::Name;

    #[test]
    fn list_and_leaders_are_neat_tables() {
        let user = |name, state| UserRow { name: Name::new(name).unwrap(), state };
        let users = vec![user("alice", UserState::Free), user("42", UserState::Busy), user("bob", UserState::Away)];
        let lines = said(&Reply { users: Some(users), ..Reply::done("list") });
        assert_eq!(lines, ["name   state", "alice  free", "42     busy", "bob    away"]);
        let row = |name, points, wins| LeaderRow {
            name: Name::new(name).unwrap(),
            points,
            wins,
            draws: 0,
            losses: 1,
            left: 2,
        };
        let rows = vec![row("alice", 120, 60), row("bob", 2, 1)];
        let table = [
            "name   points  wins  draws  losses  left",
            "alice     120    60      0       1     2",
            "bob         2     1      0       1     2",
        ];
        assert_eq!(said(&Reply { rows: Some(rows), ..Reply::done("leaders") }), table);
        assert_eq!(said(&Reply { users: Some(Vec::new()), ..Reply::done("list") }), ["nobody is here"]);
        assert_eq!(said(&Reply { rows: Some(Vec::new()), ..Reply::done("leaders") }), ["nobody has an account yet"]);
    }

    #[test]
    fn a_refusal_names_its_command() {
        let refused = Reply::refused("send", "not-your-turn", "it is not your turn");
        assert_eq!(said(&refused), ["send: it is not your turn"]);
        assert_eq!(said(&Reply { message: None, ..refused }), ["send: not-your-turn"]);
    }

    #[test]
    fn what_is_done_says_what_its_events_do_not() {
        assert_eq!(said(&Reply::said("login", "welcome, alice")), ["welcome, alice"]);
        assert_eq!(said(&Reply::done("send")), [""; 0]);
        assert_eq!(said(&Reply::done("decline")), ["declined"]);
        assert_eq!(said(&Reply { file: Some("a\u{7}b".to_owned()), ..Reply::done("export") }), ["written to a\\u{7}b"]);
    }

    #[test]
    fn delays_name_their_path() {
        let delay = |rtt_ms: &[f64], path| Reply { rtt_ms: Some(rtt_ms.to_vec()), path, ..Reply::done("delay") };
        let measured = delay(&[0.0, 12.0, 11.0], Some(PathKind::Server));
        let trips = "to the server, through which you play: <1 ms, 12 ms, 11 ms (the last 3)";
        assert_eq!(said(&measured), [trips]);
        let figures = Reply { median_ms: Some(2.0), p95_ms: Some(12.0), jitter_ms: Some(0.4), ..measured };
        let usual = "usually: median 2 ms, 95 of 100 within 12 ms, jitter <1 ms";
        assert_eq!(said(&figures), [trips, usual]);
        assert_eq!(said(&delay(&[1.0], Some(PathKind::Direct))), ["to the opponent, directly: 1 ms (the last 1)"]);
        let new = "to the opponent, directly: no round trip was measured yet";
        assert_eq!(said(&delay(&[], Some(PathKind::Direct))), [new]);
        let none = "there is no way to anybody just now; nothing is measured";
        assert_eq!(said(&delay(&[], Some(PathKind::None))), [none]);
    }

    #[test]
    fn status_says_how_far_the_moves_have_come() {
        let seat = SeatStatus {
            match_id: "0a".to_owned(),
            you: "X".to_owned(),
            opponent: "bob".to_owned(),
            opponent_here: false,
            turn: Some("O".to_owned()),
            ply: 5,
            seen: 5,
            kept: 3,
            path: PathKind::Direct,
            rtt_ms: Some(2.2),
            decided: false,
            outcome: None,
            agreed: false,
        };
        let user = Some("alice".to_owned());
        let down = Status { user, link: LinkState::Down, down_ms: Some(4_200), retry_ms: Some(0), seated: Some(seat) };
        let lines = [
            "alice is logged in",
            "link to the server: down, 4.2 s without it, tried again at once",
            "match with bob, who is away: you are X, bob's move",
            "moves: 5; seen by bob: 5; kept by the server: 3",
            "your last move: seen by bob, so acknowledged; not kept by the server yet",
            "path to bob: directly, 2 ms",
            "match id 0a",
        ];
        assert_eq!(said(&Reply { status: Some(down.clone()), ..Reply::done("status") }), lines);
        let last = |ply, seen, kept| {
            let seat = down.seated.clone().map(|seat| SeatStatus { ply, seen, kept, ..seat });
            last_own(&seat.unwrap())
        };
        assert_eq!(last(0, 0, 0), None);
        assert_eq!(last(1, 0, 0).unwrap(), "your last move: sent, not acknowledged yet; it is on this disk alone");
        let kept = "your last move: kept by the server, so acknowledged; not seen by bob yet";
        assert_eq!(last(1, 0, 1).unwrap(), kept);
        assert_eq!(last(4, 3, 3).unwrap(), "your last move: seen by bob and kept by the server, so acknowledged");
        let live = Status { user: None, link: LinkState::Live, down_ms: None, retry_ms: None, seated: None };
        let lines = ["nobody is logged in", "link to the server: live"];
        assert_eq!(said(&Reply { status: Some(live), ..Reply::done("status") }), lines);
    }

    fn said(reply: &Reply) -> Vec<String> {
        lines(reply).iter().map(|line| colourless(line)).collect()
    }
}
