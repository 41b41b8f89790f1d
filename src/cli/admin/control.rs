//! What an operator asks of a server that runs, over the socket in its state directory.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use super::{Admin, Code, Desk};
use crate::model::id::Name;
use crate::model::message::UserState;
use crate::model::operator::{Announcement, MatchState};
use crate::server::control::SOCKET;
use crate::server::control::protocol::{Done, Line, Match, Request, Session};

/// Say something to every player who is connected.
#[derive(clap::Args, Clone, Debug)]
pub struct Announce {
    /// One line, such as "restart in 60 s".
    text: String,
    #[command(flatten)]
    form: Form,
}

/// Let nobody log in and no match begin, and stop the server when those under way are over.
#[derive(clap::Args, Clone, Debug)]
pub struct Drain {
    /// Stop after this many seconds in any case; 0 stops at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    limit: u32,
    #[command(flatten)]
    form: Form,
}

/// End a player's session; the player may log in again.
#[derive(clap::Args, Clone, Debug)]
pub struct Kick {
    /// Whose.
    user: String,
    #[command(flatten)]
    form: Form,
}

/// List who is logged in, as the running server sees it.
#[derive(clap::Args, Clone, Debug)]
pub struct Sessions {
    #[command(flatten)]
    form: Form,
}

/// List the open matches, as the running server sees them.
#[derive(clap::Args, Clone, Debug)]
pub struct Matches {
    #[command(flatten)]
    form: Form,
}

/// Snapshots of the running server.
#[derive(clap::Args, Clone, Debug)]
pub struct Snapshot {
    #[command(subcommand)]
    what: SnapshotCommand,
}

/// What to do about snapshots.
#[derive(clap::Subcommand, Clone, Debug)]
pub(super) enum SnapshotCommand {
    /// Make one of all that is on disk, and let the files go that it makes needless.
    Now {
        #[command(flatten)]
        form: Form,
    },
}

/// For whom the answer is.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(super) struct Form {
    /// Print the server's lines as they come, one JSON object each.
    #[arg(long)]
    json: bool,
}

/// What is said when no answer comes.
const HUNG_UP: &str = "the server has hung up before it had answered: it may have stopped, see its log";
/// How long the server may take to answer; [`Drain`] waits for its end on top.
const ANSWER_MAX: Duration = Duration::from_secs(60);

impl Announce {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        // Said here already, for a server that does not run too.
        Announcement::new(&self.text)?;
        ask(admin, desk, self.form, &Request::Announce { text: self.text.clone() })
    }
}

impl Drain {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        ask(admin, desk, self.form, &Request::Drain { limit_ms: u64::from(self.limit) * 1000 })
    }
}

impl Kick {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        ask(admin, desk, self.form, &Request::Kick { user: Name::new(&self.user)? })
    }
}

impl Sessions {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        ask(admin, desk, self.form, &Request::Sessions)
    }
}

impl Matches {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        ask(admin, desk, self.form, &Request::Matches)
    }
}

impl Snapshot {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        let SnapshotCommand::Now { form } = &self.what;
        ask(admin, desk, *form, &Request::Snapshot)
    }
}

/// Asks, and shows what comes back as it comes.
fn ask(admin: &Admin, desk: &mut Desk<'_>, form: Form, request: &Request) -> anyhow::Result<Code> {
    let mut stream = connect(&admin.state)?;
    let mut bytes = serde_json::to_vec(request)?;
    bytes.push(b'\n');
    // Not as an error of output: nobody who reads has gone.
    stream.write_all(&bytes).map_err(|error| anyhow!("{HUNG_UP}: {error}"))?;
    let mut table = Table::default();
    let mut reader = BufReader::new(stream);
    let mut draining = false;
    loop {
        let mut text = String::new();
        match reader.read_line(&mut text) {
            // The server is gone, as it was asked to be.
            Ok(0) if draining => return Ok(Code::Done),
            Err(_) if draining => return Ok(Code::Done),
            Ok(0) => bail!("{HUNG_UP}"),
            Ok(_) => {}
            Err(error) => bail!("the server does not answer: {error}"),
        }
        let line: Line = serde_json::from_str(&text).context("the server answers with something else than expected")?;
        if form.json {
            desk.out.write_all(text.as_bytes())?;
        } else if let Line::Refused { message, .. } = &line {
            bail!("{message}");
        } else {
            table.show(desk.out, &line)?;
        }
        desk.out.flush()?;
        match line {
            Line::Refused { .. } => return Ok(Code::Failed),
            // Its end is the end of the connection.
            Line::Draining { .. } | Line::Done(Done::Stopping) => {
                draining = true;
                reader.get_ref().set_read_timeout(None)?;
            }
            Line::Done(_) => return Ok(Code::Done),
            Line::Session(_) | Line::Match(_) => {}
        }
    }
}

fn connect(state: &Path) -> anyhow::Result<UnixStream> {
    let path = state.join(SOCKET);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => bail!(
            "no server runs on {}: start it with `rejoin server`, or say where its state is with --state DIR",
            state.display()
        ),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!("{} is for the user alone that the server runs as, and root: use sudo, or that user", path.display())
        }
        Err(error) => return Err(error).with_context(|| format!("cannot connect to {}", path.display())),
    };
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}

/// Rows for people, under a head that comes once.
#[derive(Debug, Default)]
struct Table {
    headed: bool,
}

impl Table {
    fn show(&mut self, out: &mut dyn Write, line: &Line) -> io::Result<()> {
        match line {
            Line::Session(row) => {
                self.head(out, &SESSION_HEAD)?;
                row_of(out, &session_cells(row))
            }
            Line::Match(row) => {
                self.head(out, &MATCH_HEAD)?;
                row_of(out, &match_cells(row))
            }
            Line::Draining { matches, limit_ms } => writeln!(
                out,
                "nobody logs in and no match begins from here on; {}; the server stops {} s from now at the latest",
                match matches {
                    0 => "no match is under way".to_owned(),
                    1 => "1 match is under way".to_owned(),
                    some => format!("{some} matches are under way"),
                },
                limit_ms.div_ceil(1000)
            ),
            Line::Done(done) => self.done(out, done),
            Line::Refused { .. } => Ok(()),
        }
    }

    fn done(&mut self, out: &mut dyn Write, done: &Done) -> io::Result<()> {
        match done {
            Done::Announced { players: 1 } => writeln!(out, "shown to 1 player"),
            Done::Announced { players } => writeln!(out, "shown to {players} players"),
            Done::Stopping => writeln!(out, "the server stops"),
            Done::Kicked => writeln!(out, "the session is ended; the player may log in again"),
            Done::Sessions { .. } => self.head(out, &SESSION_HEAD),
            Done::Matches { .. } => self.head(out, &MATCH_HEAD),
            Done::Snapshot { made: false, .. } => writeln!(out, "nothing has changed since the last snapshot"),
            Done::Snapshot { made: true, lsn, bytes } => {
                let (lsn, bytes) = (lsn.unwrap_or(0), bytes.unwrap_or(0));
                writeln!(out, "snapshot made: all facts up to number {lsn}, {bytes} bytes")
            }
        }
    }

    fn head<const N: usize>(&mut self, out: &mut dyn Write, head: &[(&str, usize); N]) -> io::Result<()> {
        if std::mem::replace(&mut self.headed, true) {
            return Ok(());
        }
        row_of(out, &head.map(|(name, width)| (name.to_owned(), width)))
    }
}

const SESSION_HEAD: [(&str, usize); 6] =
    [("USER", 32), ("STATE", 5), ("OPPONENT", 32), ("FROM", 39), ("CONN", 8), ("SESSION", 0)];
const MATCH_HEAD: [(&str, usize); 7] =
    [("MATCH", 32), ("GAME", 12), ("STATE", 9), ("MOVES", 5), ("X", 32), ("O", 32), ("TURN", 0)];

fn session_cells(row: &Session) -> [(String, usize); 6] {
    let state = match row.state {
        UserState::Free => "free",
        UserState::Busy => "busy",
        UserState::Away => "away",
    };
    let conn = row.conn.map_or_else(|| NONE.to_owned(), |conn| conn.to_string());
    let cells =
        [row.user.clone(), state.to_owned(), or_none(&row.opponent), or_none(&row.ip), conn, row.session.clone()];
    with_widths(cells, &SESSION_HEAD)
}

fn match_cells(row: &Match) -> [(String, usize); 7] {
    let state = match row.state {
        MatchState::Playing => "playing",
        MatchState::Suspended => "suspended",
        MatchState::Decided => "decided",
    };
    let player = |name: &String, here: bool| if here { name.clone() } else { format!("{name} (away)") };
    let (x, o) = (player(&row.x, row.x_here), player(&row.o, row.o_here));
    let cells =
        [row.match_id.clone(), row.game.clone(), state.to_owned(), row.plies.to_string(), x, o, or_none(&row.turn)];
    with_widths(cells, &MATCH_HEAD)
}

/// What is not there.
const NONE: &str = "-";

fn or_none(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| NONE.to_owned())
}

fn with_widths<const N: usize>(cells: [String; N], head: &[(&str, usize); N]) -> [(String, usize); N] {
    let mut widths = head.iter().map(|(_, width)| *width);
    cells.map(|cell| (cell, widths.next().unwrap_or(0)))
}

fn row_of(out: &mut dyn Write, cells: &[(String, usize)]) -> io::Result<()> {
    let row: Vec<String> = cells.iter().map(|(cell, width)| format!("{cell:<width$}")).collect();
    writeln!(out, "{}", row.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[Line]) -> String {
        let (mut out, mut table) = (Vec::new(), Table::default());
        lines.iter().for_each(|line| table.show(&mut out, line).unwrap());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn people_get_a_table_with_one_head_also_when_it_is_empty() {
        let session = |user: &str, away: bool| {
            Line::Session(Session {
                user: user.to_owned(),
                state: if away { UserState::Away } else { UserState::Busy },
                ip: (!away).then(|| "127.0.0.1".to_owned()),
                conn: (!away).then_some(7),
                opponent: Some("bob".to_owned()),
                session: "00ff".to_owned(),
            })
        };
        let text = shown(&[session("alice", false), session("carol", true), Line::Done(Done::Sessions { count: 2 })]);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["USER", "STATE", "OPPONENT", "FROM", "CONN", "SESSION"]);
        assert_eq!(words[1], ["alice", "busy", "bob", "127.0.0.1", "7", "00ff"]);
        assert_eq!(words[2], ["carol", "away", "bob", "-", "-", "00ff"]);
        assert_eq!(words.len(), 3);
        assert_eq!(shown(&[Line::Done(Done::Matches { count: 0 })]).lines().count(), 1);
    }
}
