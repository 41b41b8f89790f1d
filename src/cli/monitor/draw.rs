//! The monitor's picture. Pure: a view, a moment, a frame.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Row, Table};

use super::view::{Match, Player, View};
use crate::model::time::WallMs;
use crate::ops::record::{Record, plain, stamp};

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Green);
const BAD: Style = Style::new().fg(Color::Red);
const OVER: Style = Style::new().add_modifier(Modifier::DIM);

/// Everything, as of `now`. `hint`: what can be typed.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, now: WallMs, hint: &str) {
    let rows =
        [Constraint::Length(1), Constraint::Fill(3), Constraint::Fill(2), Constraint::Fill(3), Constraint::Length(1)];
    let [head, players, matches, outages, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Line::styled(headline(view, now), BOLD), head);
    draw_players(frame, players, view, now);
    draw_matches(frame, matches, view, now);
    draw_outages(frame, outages, view);
    frame.render_widget(Line::styled(hint.to_owned(), OVER), foot);
}

fn headline(view: &View, now: WallMs) -> String {
    let server = &view.server;
    if server.run.is_empty() {
        return "no run of the server is in the log yet".to_owned();
    }
    let (here, all) = view.here_of();
    let stopping = if server.stopping { ", shutting down" } else { "" };
    let (run, last, age) = (&server.run, &server.last_run, length(now, server.since));
    format!("run {run} for {age}, the last run: {last}{stopping} · {here} of {all} players have a link")
}

fn draw_players(frame: &mut Frame<'_>, area: Rect, view: &View, now: WallMs) {
    let row = |(name, player): (&String, &Player)| {
        let (state, style) = if player.here { ("here", GOOD) } else { ("away", BAD) };
        let cells = [
            plain(name),
            state.to_owned(),
            length(now, player.since),
            plain(&player.cause),
            player.outages.to_string(),
        ];
        Row::new(cells.into_iter().chain([plain(&player.ip)])).style(style)
    };
    // Who is away first: that is what one looks for.
    let mut all: Vec<_> = view.players.iter().collect();
    all.sort_by_key(|(name, player)| (player.here, *name));
    let widths = [Constraint::Min(10), len(5), len(9), len(9), len(8), Constraint::Min(15)];
    let head = ["player", "state", "for", "cause", "outages", "from"];
    frame.render_widget(table("Players", head, widths, all.into_iter().map(row)), area);
}

fn draw_matches(frame: &mut Frame<'_>, area: Rect, view: &View, now: WallMs) {
    let row = |of: &Match| {
        let id: String = of.id.chars().take(8).collect();
        let cells = [plain(&id), plain(&of.players[0]), plain(&of.players[1]), plain(&of.game), length(now, of.since)];
        Row::new(cells.into_iter().chain([plain(&of.state)])).style(if of.open { Style::new() } else { OVER })
    };
    // Those in play first, each part with the newest at its head.
    let (open, over): (Vec<&Match>, Vec<&Match>) = view.matches.iter().partition(|of| of.open);
    let widths = [len(8), Constraint::Min(8), Constraint::Min(8), len(10), len(9), Constraint::Min(20)];
    let head = ["match", "X", "O", "game", "for", "state"];
    frame.render_widget(table("Matches", head, widths, open.into_iter().chain(over).map(row)), area);
}

fn draw_outages(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let row = |outage: &Record| {
        let at = stamp(outage.at);
        let clock = at.split_once(' ').map_or(at.as_str(), |(_, clock)| clock).to_owned();
        let word = |name: &str| plain(&outage.word(name));
        let ms = outage.number("length_ms").unwrap_or_default();
        let more = if word("at_least") == "true" { "≥ " } else { "" };
        let dials = match word("attempts") {
            none if none.is_empty() => none,
            dials => format!("{dials} after {} ms", word("waits_ms")),
        };
        Row::new([clock, word("user"), format!("{more}{ms} ms"), word("cause"), word("ended"), dials])
    };
    let widths = [len(8), Constraint::Min(10), len(12), len(9), len(8), Constraint::Min(20)];
    let head = ["ended at", "player", "length", "cause", "how", "dials, after waits of"];
    frame.render_widget(table("Outages", head, widths, view.outages.iter().map(row)), area);
}

const fn len(columns: u16) -> Constraint {
    Constraint::Length(columns)
}

fn table<'a>(
    title: &'a str,
    head: [&'a str; 6],
    widths: [Constraint; 6],
    rows: impl Iterator<Item = Row<'a>>,
) -> Table<'a> {
    Table::new(rows, widths).header(Row::new(head).style(BOLD)).block(Block::bordered().title(title))
}

/// How long ago something was, in one unit or two.
fn length(now: WallMs, since: WallMs) -> String {
    let seconds = Duration::from_millis(now.0.saturating_sub(since.0)).as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600.. => format!("{} h {} m", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::view::tests::{record, story, told, told_by_bob};
    use super::*;

    /// The lines of the picture, without their ends.
    fn picture(view: &View, now: u64) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("there is memory");
        terminal.draw(|frame| draw(frame, view, WallMs(now), "q: quit")).expect("there is memory");
        let buffer = terminal.backend().buffer();
        let line = |row: &[ratatui::buffer::Cell]| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
        buffer.content.chunks(80).map(line).collect()
    }

    #[test]
    fn who_is_away_is_above_and_the_outage_has_its_cause_and_its_dials() {
        let mut view = told(&story());
        view.take(&told_by_bob());
        let lines = picture(&view, 74_000);
        assert!(
            lines[0].starts_with("run 2 for 1 m 5 s, the last run: killed · 1 of 2 players have a link"),
            "{lines:?}"
        );
        let with = |word: &str| lines.iter().position(|line| line.contains(word)).expect(word);
        assert!(lines[with("alice")].contains("away") && lines[with("alice")].contains("restart"), "{lines:?}");
        assert!(with("alice") < with("10.0.0.2"), "who is away comes first");
        assert!(lines[with("aa11")].contains("rejoined by bob"), "{lines:?}");
        let outage = &lines[with("812 ms")];
        assert!(outage.contains("00:00:09") && outage.contains("resumed"), "{outage}");
        assert!(outage.contains("3 after 40_80_160 ms") && !outage.contains('≥'), "{outage}");
        assert!(lines[23].starts_with("q: quit"));
    }

    #[test]
    fn before_the_first_event_it_says_so_and_what_a_client_has_typed_cannot_move_the_cursor() {
        assert!(picture(&View::default(), 0)[0].starts_with("no run of the server"));
        let view = told(&[record(1, "login-ok", "user=\u{1b}[2Jeve ip=10.0.0.1")]);
        assert!(picture(&view, 2).iter().any(|line| line.contains("\\u{1b}[2Jeve")));
    }
}
