//! `rejoin monitor`: who has a link, what is played, and who was away how long, in a terminal.

mod draw;
mod view;

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use self::view::View;
use super::logs::read::Logs;
use crate::model::time::{Clock, ms};
use crate::ops::host::{HostClock, Stopwatch};
use crate::ops::record::Record;

/// Watch sessions, matches and outages of a server
#[derive(Debug, clap::Args)]
pub(super) struct Monitor {
    /// The server's state directory
    #[arg(long, value_name = "DIR", env = "REJOIN_STATE", default_value = "state")]
    state: PathBuf,
    /// Show what is in the log as it happened, from its beginning
    #[arg(long)]
    replay: bool,
    /// How many times as fast
    #[arg(long, value_name = "TIMES", default_value_t = 1, requires = "replay", value_parser = clap::value_parser!(u64).range(1..))]
    speed: u64,
}

/// How often the log is looked at, and the picture drawn.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often a server is looked for.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A replay does not wait longer than this for the next event.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// What was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Quit,
    Pause,
    Other,
}

impl Monitor {
    /// # Errors
    /// Without a terminal, without a log to replay, or when the terminal goes away.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        ensure!(
            io::stdout().is_terminal() && io::stdin().is_terminal(),
            "rejoin monitor draws on a terminal, and this is none; for scripts there is `rejoin logs --json --follow`"
        );
        let (mut logs, mut records) = Logs::read(&self.state);
        records.sort_by_key(|record| record.at);
        let state = self.state.display();
        ensure!(!self.replay || !records.is_empty(), "there is no event in the log of {state}: nothing to replay");
        let mut terminal = ratatui::init();
        let shown = if self.replay {
            self.replay(&mut terminal, &records)
        } else {
            live(&mut terminal, &self.state, &mut logs, &records)
        };
        ratatui::restore();
        shown?;
        Ok(ExitCode::SUCCESS)
    }

    fn replay(&self, terminal: &mut DefaultTerminal, records: &[Record]) -> io::Result<()> {
        let due = view::schedule(records, self.speed, ms(WAIT_MAX));
        let (mut view, mut next, mut elapsed, mut paused) = (View::default(), 0, 0, false);
        loop {
            let step = Stopwatch::start();
            while due.get(next).is_some_and(|due| *due <= elapsed) {
                view.take(&records[next]);
                next += 1;
            }
            let state = match (next == due.len(), paused) {
                (true, _) => "the end",
                (false, true) => "paused",
                (false, false) => "replay",
            };
            let hint = format!("{state}: event {next} of {} · space: pause · q: quit", due.len());
            let now = view.last.unwrap_or_default();
            terminal.draw(|frame| draw::draw(frame, &view, now, &hint))?;
            match typed()? {
                Key::Quit => return Ok(()),
                Key::Pause => paused = !paused,
                Key::Other => {}
            }
            if !paused {
                elapsed += ms(step.elapsed());
            }
        }
    }
}

/// What there is, and from then on what is written.
fn live(terminal: &mut DefaultTerminal, state: &Path, logs: &mut Logs, records: &[Record]) -> io::Result<()> {
    let (clock, mut view) = (HostClock::start(), View::default());
    records.iter().for_each(|record| view.take(record));
    let (mut up, mut asked) = (true, None::<Stopwatch>);
    loop {
        if asked.as_ref().is_none_or(|asked| asked.elapsed() >= ASK_EVERY) {
            (up, asked) = (is_up(state), Some(Stopwatch::start()));
        }
        let hint = if up { "live · q: quit" } else { "NO SERVER RUNS HERE: this is how it was last · q: quit" };
        terminal.draw(|frame| draw::draw(frame, &view, clock.wall(), hint))?;
        if typed()? == Key::Quit {
            return Ok(());
        }
        let mut news = logs.more();
        news.sort_by_key(|record| record.at);
        news.iter().for_each(|record| view.take(record));
    }
}

/// Whether a server listens to its operator: a log alone does not tell that its writer was killed.
#[cfg(unix)]
fn is_up(state: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(state.join(crate::server::control::SOCKET)).is_ok()
}

/// Whether a server listens to its operator, which none does here.
#[cfg(not(unix))]
const fn is_up(_state: &Path) -> bool {
    true
}

/// Waits for a key, and not for long.
fn typed() -> io::Result<Key> {
    if !event::poll(LOOK_EVERY)? {
        return Ok(Key::Other);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Press => meant(key),
        // The next picture has the new size.
        Event::Key(_)
        | Event::Resize(..)
        | Event::FocusGained
        | Event::FocusLost
        | Event::Mouse(_)
        | Event::Paste(_) => Key::Other,
    })
}

fn meant(key: KeyEvent) -> Key {
    let is = |letter: char| key.code == KeyCode::Char(letter);
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if is('q') || key.code == KeyCode::Esc || (is('c') && control) {
        Key::Quit
    } else if is(' ') {
        Key::Pause
    } else {
        Key::Other
    }
}
