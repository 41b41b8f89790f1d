//! Where the player is, in one line: the live prompt, and the words `status` uses.
//!
//! Holds: no number changes faster than it can be read; times never run backwards within an outage, but for the one
//! that counts down to the next try.

use super::paint::plain;
use crate::model::client::event::{LinkState, PathKind, SeatStatus, Status};
use crate::model::statement::Fared;

/// A next try that is nearer is not announced: it is there before it is read.
const RETRY_SHOWN_MS_MIN: u64 = 500;

/// Whoever has just started and has no link after this has none, and is not on the way to one.
const CONNECTING_MS_MAX: u64 = 3_000;

/// The prompt without its last `> `: `alice (X) vs bob · your move · server 12 ms`. `was_live`: whether there has been
/// a link since this program started.
#[must_use]
pub fn state_line(status: &Status, was_live: bool) -> String {
    let live = status.link == LinkState::Live;
    let mut parts = vec![who(status)];
    if let Some(seat) = &status.seated {
        parts.push(turn(seat));
        let logged_in = status.user.is_some();
        if logged_in && !seat.opponent_here {
            parts.push(format!("{} is away", plain(&seat.opponent)));
        }
        parts.extend(path(seat));
    }
    if !live {
        parts.push(down(status, was_live));
    }
    parts.join(" · ")
}

/// Whose move it is, or what has come of it and who has still to say so.
#[must_use]
pub fn turn(seat: &SeatStatus) -> String {
    match (&seat.turn, seat.outcome) {
        (_, Some(outcome)) => ended(seat, outcome),
        (Some(turn), None) if *turn == seat.you => "your move".to_owned(),
        (Some(_), None) => format!("{}'s move", plain(&seat.opponent)),
        (None, None) => "decided".to_owned(),
    }
}

fn ended(seat: &SeatStatus, outcome: Fared) -> String {
    let how = match outcome {
        Fared::Win => "won",
        Fared::Loss => "lost",
        Fared::Draw => "a draw",
        Fared::Void => "void",
    };
    // A foul is decided while it is somebody's turn, and by the server: the two players have nothing to agree on.
    match (seat.agreed, &seat.turn) {
        (true, _) => format!("{how}: agreed, to be recorded"),
        (false, None) => format!("{how}, waiting for {} or the server", plain(&seat.opponent)),
        (false, Some(_)) => format!("{how} by a foul, waiting for the server"),
    }
}

/// A length of time as people say it: `20 ms`, `0.4 s`, `12 s`, `3 min`, `2 h 5 min`.
#[must_use]
pub fn length(ms: u64) -> String {
    match ms / 1000 {
        0 if ms < 100 => format!("{ms} ms"),
        0..10 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds @ 120..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A round trip: whole milliseconds, finer below one.
#[must_use]
pub fn round_trip(ms: f64) -> String {
    if ms < 1.0 { "<1 ms".to_owned() } else { format!("{ms:.0} ms") }
}

fn who(status: &Status) -> String {
    let user = status.user.as_deref().map(plain);
    match (user, &status.seated) {
        (Some(user), Some(seat)) => format!("{user} ({}) vs {}", plain(&seat.you), plain(&seat.opponent)),
        (Some(user), None) => user,
        (None, _) => "not logged in".to_owned(),
    }
}

fn path(seat: &SeatStatus) -> Option<String> {
    let word = match seat.path {
        PathKind::Direct => "direct",
        PathKind::Server => "server",
        PathKind::None => return None,
    };
    let rtt = seat.rtt_ms.map(|ms| format!(" {}", round_trip(ms)));
    Some(format!("{word}{}", rtt.unwrap_or_default()))
}

/// Whole seconds: the prompt is painted anew as they pass.
fn down(status: &Status, was_live: bool) -> String {
    let down_ms = status.down_ms.unwrap_or(0);
    let word = if was_live || down_ms >= CONNECTING_MS_MAX { "server down" } else { "connecting" };
    let outage = match down_ms {
        0..1000 => String::new(),
        ms @ 1000..120_000 => format!(" {} s", ms / 1000),
        ms => format!(" {}", length(ms)),
    };
    let retry = status.retry_ms.filter(|ms| *ms > RETRY_SHOWN_MS_MIN);
    let retry = retry.map(|ms| format!(", next try in {} s", ms.div_ceil(1000))).unwrap_or_default();
    format!("{word}{outage}{retry}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_says_where_the_player_is() {
        let start = Status { user: None, link: LinkState::Dialing, down_ms: Some(10), retry_ms: None, seated: None };
        assert_eq!(state_line(&start, false), "not logged in · connecting");
        let alice = Status { user: Some("alice".to_owned()), link: LinkState::Live, down_ms: None, ..start };
        assert_eq!(state_line(&alice, true), "alice");
        let seated = Status { seated: Some(seat()), ..alice.clone() };
        assert_eq!(state_line(&seated, true), "alice (X) vs bob · your move · server 12 ms");
        let down = Status { link: LinkState::Down, down_ms: Some(4_900), ..seated.clone() };
        assert_eq!(state_line(&down, true), "alice (X) vs bob · your move · server 12 ms · server down 4 s");
        let cut_off = Status { seated: Some(SeatStatus { path: PathKind::None, ..seat() }), ..down.clone() };
        assert_eq!(state_line(&cut_off, true), "alice (X) vs bob · your move · server down 4 s");
        let direct = SeatStatus { path: PathKind::Direct, turn: Some("O".to_owned()), rtt_ms: Some(0.2), ..seat() };
        let direct = Status { seated: Some(direct), ..down };
        assert_eq!(state_line(&direct, true), "alice (X) vs bob · bob's move · direct <1 ms · server down 4 s");
        let away = SeatStatus { opponent_here: false, path: PathKind::None, ..seat() };
        let away = Status { seated: Some(away), ..alice };
        assert_eq!(state_line(&away, true), "alice (X) vs bob · your move · bob is away");
        let alone = Status { link: LinkState::Down, down_ms: Some(4_900), ..away };
        assert_eq!(state_line(&alone, true), "alice (X) vs bob · your move · bob is away · server down 4 s");
        let ended = Status { user: None, ..alone };
        assert_eq!(state_line(&ended, true), "not logged in · your move · server down 4 s");
    }

    #[test]
    fn a_decided_match_says_what_it_waits_for() {
        let ended =
            |outcome, agreed| SeatStatus { turn: None, decided: true, outcome: Some(outcome), agreed, ..seat() };
        assert_eq!(turn(&ended(Fared::Win, false)), "won, waiting for bob or the server");
        assert_eq!(turn(&ended(Fared::Win, true)), "won: agreed, to be recorded");
        assert_eq!(turn(&ended(Fared::Loss, true)), "lost: agreed, to be recorded");
        assert_eq!(turn(&ended(Fared::Draw, false)), "a draw, waiting for bob or the server");
        let foul = SeatStatus { turn: Some("X".to_owned()), ..ended(Fared::Loss, false) };
        assert_eq!(turn(&foul), "lost by a foul, waiting for the server");
        assert_eq!(turn(&SeatStatus { outcome: Some(Fared::Void), ..foul }), "void by a foul, waiting for the server");
    }

    #[test]
    fn the_next_try_is_announced_when_it_is_far_enough_to_be_read() {
        let link = LinkState::Down;
        let idle =
            |retry_ms| Status { user: None, link, down_ms: Some(75_000), retry_ms: Some(retry_ms), seated: None };
        assert_eq!(state_line(&idle(500), true), "not logged in · server down 75 s");
        assert_eq!(state_line(&idle(501), true), "not logged in · server down 75 s, next try in 1 s");
        assert_eq!(state_line(&idle(1_001), true), "not logged in · server down 75 s, next try in 2 s");
    }

    #[test]
    fn an_outage_is_counted_in_units_that_fit() {
        let down = |ms| Status { user: None, link: LinkState::Down, down_ms: Some(ms), retry_ms: None, seated: None };
        for (ms, shown) in [(999, "server down"), (1_000, "server down 1 s"), (119_999, "server down 119 s")] {
            assert_eq!(state_line(&down(ms), true), format!("not logged in · {shown}"));
        }
        assert_eq!(state_line(&down(120_000), true), "not logged in · server down 2 min");
        assert_eq!(state_line(&down(2_999), false), "not logged in · connecting 2 s");
        assert_eq!(state_line(&down(3_000), false), "not logged in · server down 3 s");
    }

    #[test]
    fn lengths_read_as_people_say_them() {
        let table =
            [(99, "99 ms"), (100, "0.1 s"), (449, "0.4 s"), (9_999, "9.9 s"), (10_000, "10 s"), (3_599_999, "59 min")];
        for (ms, said) in table.into_iter().chain([(7_500_000, "2 h 5 min")]) {
            assert_eq!(length(ms), said);
        }
    }

    fn seat() -> SeatStatus {
        SeatStatus {
            match_id: "ab".repeat(16),
            you: "X".to_owned(),
            opponent: "bob".to_owned(),
            opponent_here: true,
            turn: Some("X".to_owned()),
            ply: 2,
            seen: 2,
            kept: 2,
            path: PathKind::Server,
            rtt_ms: Some(12.3),
            decided: false,
            outcome: None,
            agreed: false,
        }
    }
}
