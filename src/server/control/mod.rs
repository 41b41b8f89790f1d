//! `control.sock` in the state directory: what an operator may ask of a running server.
//!
//! What must hold: nobody but the user the server runs as, and root, is heard; whatever comes in is answered or closed,
//! within a bound of bytes and time; every request is in the log as `audit` before its answer leaves.
//!
//! A request is one line of JSON, an answer is some lines of JSON of which the last is `done` or `refused`
//! ([`protocol`]).

pub mod protocol;
mod socket;

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::info;

use self::protocol::{Done, Line, Request};
use super::office::{Gone, Office};
use crate::model::operator::{Act, Announcement, Told};
use crate::ops::event;

/// The socket's name in the state directory.
pub const SOCKET: &str = "control.sock";
/// Bytes of one request, its end of line included.
pub const REQUEST_BYTES_MAX: usize = 4096;
/// Operators at once; the next one is told so.
pub const CALLERS_MAX: usize = 16;
/// How long an operator may take to ask.
pub const REQUEST_MAX: Duration = Duration::from_secs(60);
/// How long an operator may take to read.
const READ_MAX: Duration = Duration::from_secs(10);
/// After the socket says no, how long until it is asked again.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);
/// Bytes of an answer that are written at once.
const WRITE_BYTES: usize = 32 * 1024;

/// The socket, open. Its file goes when this is dropped.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
}

/// One operator.
struct Caller {
    office: Office,
    uid: u32,
    pid: i32,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Control {
    /// Opens the socket in a state directory whose lock is held: one that is there is left over from a run that died.
    ///
    /// # Errors
    /// What the operating system says; or something else than a socket is in its place.
    pub fn open(state: &Path) -> io::Result<Self> {
        let path = state.join(SOCKET);
        match path.symlink_metadata() {
            Ok(found) if !found.file_type().is_socket() => {
                let why = format!("{} is there and is no socket", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::from_std(socket::listen(state, &path)?)?;
        Ok(Self { listener, path })
    }

    /// Answers for ever.
    pub async fn serve(self, office: Office) {
        let places = Arc::new(Semaphore::new(CALLERS_MAX));
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            };
            let Some((uid, pid)) = socket::trusted(&stream) else {
                info!(event = event::TURNED_AWAY, "an operator of another user is turned away");
                continue;
            };
            let place = Arc::clone(&places).try_acquire_owned();
            let mut caller = Caller::new(office.clone(), stream, uid, pid);
            tokio::spawn(async move {
                match place {
                    Ok(_place) => caller.serve().await,
                    Err(_) => drop(caller.say(&[Line::refused("busy", "too many operators at once")]).await),
                }
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The next run replaces it in any case.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Caller {
    fn new(office: Office, stream: UnixStream, uid: u32, pid: i32) -> Self {
        let (reader, writer) = stream.into_split();
        Self { office, uid, pid, reader: BufReader::new(reader), writer }
    }

    /// One request after the other, until the caller hangs up or takes too long.
    async fn serve(&mut self) {
        loop {
            let mut bytes = Vec::new();
            let mut bounded = (&mut self.reader).take(REQUEST_BYTES_MAX as u64);
            match timeout(REQUEST_MAX, bounded.read_until(b'\n', &mut bytes)).await {
                Ok(Ok(count)) if count > 0 => {}
                Ok(Ok(_) | Err(_)) | Err(_) => return,
            }
            if bytes.last() != Some(&b'\n') {
                let why = format!("a request is one line of at most {REQUEST_BYTES_MAX} bytes");
                drop(self.say(&[Line::refused("malformed", &why)]).await);
                return;
            }
            if self.answer(&bytes).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        let request = match Request::read(bytes) {
            Ok(request) => request,
            Err(why) => {
                self.audit("malformed", "", "refused");
                return self.say(&[Line::refused("malformed", &why)]).await;
            }
        };
        let lines =
            self.carry_out(&request).await.unwrap_or_else(|Gone| vec![Line::refused("stopping", &Gone.to_string())]);
        let outcome = match lines.last() {
            Some(Line::Refused { error, .. }) => error,
            Some(Line::Done(_) | Line::Draining { .. } | Line::Session(_) | Line::Match(_)) | None => "done",
        };
        self.audit(request.command(), &request.about(), outcome);
        let drains = matches!(request, Request::Drain { .. }) && outcome == "done";
        if drains {
            self.office.drains();
        }
        self.say(&lines).await?;
        if let (Request::Drain { limit_ms }, true) = (&request, drains) {
            self.office.stop_when_over(Duration::from_millis(*limit_ms));
            self.office.stop_wanted().await;
            return self.say(&[Line::Done(Done::Stopping)]).await;
        }
        Ok(())
    }

    async fn carry_out(&self, request: &Request) -> Result<Vec<Line>, Gone> {
        let act = match request {
            Request::Announce { text } => match Announcement::new(text) {
                Ok(text) => Act::Announce(text),
                Err(bad) => return Ok(vec![Line::refused("bad-announcement", &bad.to_string())]),
            },
            Request::Drain { .. } => Act::Close,
            Request::Kick { user } => Act::Kick(user.clone()),
            Request::Sessions => Act::Sessions,
            Request::Matches => Act::Matches,
            Request::Snapshot => return Ok(vec![self.snapshot().await?]),
        };
        Ok(match self.office.ask(act).await? {
            Ok(told) => lines(told, request),
            Err(unable) => vec![Line::refused(unable.word(), &unable.to_string())],
        })
    }

    async fn snapshot(&self) -> Result<Line, Gone> {
        Ok(match self.office.snapshot().await? {
            Ok(Some(step)) => {
                Line::Done(Done::Snapshot { made: true, lsn: Some(step.last.0), bytes: Some(step.bytes) })
            }
            Ok(None) => Line::Done(Done::Snapshot { made: false, lsn: None, bytes: None }),
            Err(error) => Line::refused("snapshot-failed", &error.to_string()),
        })
    }

    fn audit(&self, command: &str, about: &str, outcome: &str) {
        let (uid, pid) = (self.uid, self.pid);
        info!(event = event::AUDIT, uid, pid, command, about, outcome, "an operator's request");
    }

    async fn say(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line)?;
            bytes.push(b'\n');
            if bytes.len() >= WRITE_BYTES {
                self.write(&std::mem::take(&mut bytes)).await?;
            }
        }
        self.write(&bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        timeout(READ_MAX, self.writer.write_all(bytes)).await.map_err(late)?
    }
}

/// What the engine has said, as it is answered.
fn lines(told: Told, request: &Request) -> Vec<Line> {
    match told {
        Told::Announced { players } => vec![Line::Done(Done::Announced { players })],
        Told::Closed { matches } => {
            let limit_ms = if let Request::Drain { limit_ms } = request { *limit_ms } else { 0 };
            vec![Line::Draining { matches, limit_ms }]
        }
        Told::Kicked => vec![Line::Done(Done::Kicked)],
        Told::Sessions(rows) => {
            let done = Line::Done(Done::Sessions { count: rows.len() });
            rows.into_iter().map(|row| Line::Session(row.into())).chain([done]).collect()
        }
        Told::Matches(rows) => {
            let done = Line::Done(Done::Matches { count: rows.len() });
            rows.into_iter().map(|row| Line::Match(row.into())).chain([done]).collect()
        }
    }
}
