//! `rejoin logs`: what has happened, and how long nobody could be reached.

mod outages;
mod query;
pub(super) mod read;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use self::query::{Query, Since};
use self::read::{Logs, Skipped, What};
use crate::model::time::Clock;
use crate::ops::host::HostClock;
use crate::ops::record::Record;

/// Read the event logs of a server or a client
#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    #[command(subcommand)]
    show: Option<Show>,
    /// A state directory; several, of a server and of clients, are read as one
    #[arg(long, value_name = "DIR", env = "REJOIN_STATE", default_value = "state", global = true)]
    state: Vec<PathBuf>,
    /// From when on: 90s, 10m, 1h or 2d ago, or a time in UTC such as "2026-06-20 15:50:00"
    #[arg(long, value_name = "WHEN", value_parser = Since::parse, global = true)]
    since: Option<Since>,
    /// What one player did or met
    #[arg(long, value_name = "NAME", global = true)]
    user: Option<String>,
    /// What happened in one match; the beginning of its id is enough
    #[arg(long = "match", value_name = "ID", global = true)]
    match_id: Option<String>,
    /// Events of this name; `*` stands for anything, as in resume.*
    #[arg(long, value_name = "NAME", global = true)]
    event: Option<String>,
    /// Go on with what happens from now on
    #[arg(long, global = true)]
    follow: bool,
    /// One JSON object a line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
enum Show {
    /// One line an outage
    Outages,
    /// How many outages there were, and how long, by cause and by hour
    Stats,
}

/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl LogsArgs {
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self.print(&mut io::stdout().lock()) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            done => Ok(done?),
        }
    }

    fn print(&self, to: &mut impl Write) -> io::Result<ExitCode> {
        let query = self.query();
        let (mut logs, mut records): (Vec<Logs>, Vec<Record>) = (Vec::new(), Vec::new());
        for state in &self.state {
            let (log, some) = Logs::read(state);
            logs.push(log);
            records.extend(some.into_iter().filter(|record| query.admits(record)));
        }
        records.sort_by_key(|record| record.at);
        self.show(to, &records)?;
        to.flush()?;
        tell_skipped(&mut logs);
        if !self.follow || self.show == Some(Show::Stats) {
            let nothing = logs.iter().all(Logs::is_none);
            return Ok(if nothing { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        loop {
            std::thread::sleep(LOOK_EVERY);
            let news = logs.iter_mut().flat_map(Logs::more);
            let mut news: Vec<Record> = news.filter(|record| query.admits(record)).collect();
            news.sort_by_key(|record| record.at);
            self.show(to, &news)?;
            to.flush()?;
            tell_skipped(&mut logs);
        }
    }

    fn query(&self) -> Query {
        let since = self.since.map(|since| since.from(HostClock::start().wall()));
        Query { since, user: self.user.clone(), match_id: self.match_id.clone(), event: self.event.clone() }
    }

    fn show(&self, to: &mut impl Write, records: &[Record]) -> io::Result<()> {
        match self.show {
            None => records.iter().try_for_each(|record| {
                let line = if self.json { record.json() } else { record.text() };
                writeln!(to, "{line}")
            }),
            Some(Show::Outages) => outages::outages(records).iter().try_for_each(|outage| self.line(to, outage)),
            Some(Show::Stats) => self.line(to, &outages::stats(&outages::outages(records))),
        }
    }

    fn line<T: Serialize + std::fmt::Display>(&self, to: &mut impl Write, what: &T) -> io::Result<()> {
        if self.json { writeln!(to, "{}", serde_json::to_string(what)?) } else { writeln!(to, "{what}") }
    }
}

/// Says, where it does not mix with what was asked for, what could not be read.
fn tell_skipped(logs: &mut [Logs]) {
    for Skipped { path, what } in logs.iter_mut().flat_map(|log| std::mem::take(&mut log.skipped)) {
        match what {
            What::Lines(lines) => {
                eprintln!("rejoin logs: {}: passed over, lines that are no events: {lines}", path.display())
            }
            What::NoLog => eprintln!(
                "rejoin logs: {}: there is no log; say where the state of a server or a client is with --state DIR",
                path.display()
            ),
            What::Unreadable(why) => eprintln!("rejoin logs: {}: cannot be read: {why}", path.display()),
        }
    }
}
