//! Sockets on which little comes wait together, apart from the others.
//!
//! With ten thousand clients that only send their heartbeats, most of what a heartbeat costs is that somebody wakes up
//! for it alone. A socket on which nothing has come for a while is watched by a thread of its own that, after it has
//! passed on what is there, sleeps for [`CALM_WAIT`] before it asks again: then all that came meanwhile is worked on in
//! one go. When something comes soon after something else, the socket is back with the others.
//!
//! ```text
//!            a read after CALM_AFTER
//!  lively ────────────────────────────> calm: what comes is told up to CALM_WAIT later, on a busy server
//!         <────────────────────────────
//!             a read before that
//! ```
//!
//! What must hold: no byte is lost or told twice by a change; where little comes at all, nothing is told late.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::model::limits::{CALM_AFTER, CALM_WAIT};

/// The thread that watches calm sockets. It is there from the first of them on.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<OnceLock<Option<Watcher>>>);

/// It ends with the last who can give sockets to it.
#[derive(Debug)]
struct Watcher {
    handle: Handle,
    _open: oneshot::Sender<()>,
}

/// An accepted TCP connection.
#[derive(Debug)]
pub(super) struct CalmStream {
    /// There, unless a change has failed.
    socket: Option<TcpStream>,
    /// Where it is watched while it is lively.
    home: Handle,
    watch: Watch,
    temper: Temper,
    is_calm: bool,
    /// Whether somebody waits to write: whoever that is would not hear of a change.
    writing: bool,
}

/// What a socket is like, by the moments at which something came.
#[derive(Debug)]
struct Temper {
    heard: Instant,
    calm: bool,
}

impl Watch {
    /// Where calm sockets are watched; nowhere if no thread can be started.
    fn handle(&self) -> Option<&Handle> {
        self.0.get_or_init(|| Watcher::start().ok()).as_ref().map(|watcher| &watcher.handle)
    }
}

impl Watcher {
    fn start() -> io::Result<Self> {
        let pause = || std::thread::sleep(CALM_WAIT);
        let runtime = Builder::new_current_thread().enable_io().on_thread_park(pause).build()?;
        let handle = runtime.handle().clone();
        let (open, closed) = oneshot::channel();
        // Nothing is run here but the watching: whoever waits for a socket is woken where it is at home.
        std::thread::Builder::new().name("calm".to_owned()).spawn(move || runtime.block_on(closed))?;
        Ok(Self { handle, _open: open })
    }
}

impl CalmStream {
    /// Call it on the runtime that works on the connection.
    pub(super) fn new(socket: TcpStream, watch: Watch) -> Self {
        let temper = Temper { heard: now(), calm: false };
        Self { socket: Some(socket), home: Handle::current(), watch, temper, is_calm: false, writing: false }
    }

    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Has the socket watched elsewhere, if it has become another. True if it is.
    fn change(&mut self) -> io::Result<bool> {
        if self.temper.calm == self.is_calm || self.writing {
            return Ok(false);
        }
        let place = if self.temper.calm { self.watch.handle() } else { Some(&self.home) };
        let Some(place) = place else { return Ok(false) };
        let Some(socket) = self.socket.take() else { return Ok(false) };
        let socket = socket.into_std()?;
        let _there = place.enter();
        self.socket = Some(TcpStream::from_std(socket)?);
        self.is_calm = self.temper.calm;
        Ok(true)
    }

    /// Notes whether a write has to wait.
    fn wrote<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        self.writing = polled.is_pending();
        polled
    }
}

impl Temper {
    /// Something came.
    fn heard(&mut self, now: Instant) {
        self.calm = now.saturating_duration_since(self.heard) >= CALM_AFTER;
        self.heard = now;
    }
}

#[allow(clippy::disallowed_methods, reason = "the host's network reads the host's clock")]
fn now() -> Instant {
    Instant::now()
}

impl AsyncRead for CalmStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        loop {
            if let Poll::Ready(read) = me.socket()?.poll_read(cx, buf) {
                me.temper.heard(now());
                return Poll::Ready(read);
            }
            // Nothing is there: the moment to change. Where it is watched then must be asked again.
            if !me.change()? {
                return Poll::Pending;
            }
        }
    }
}

impl AsyncWrite for CalmStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let polled = me.socket()?.poll_write(cx, bytes);
        me.wrote(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let polled = me.socket()?.poll_write_vectored(cx, parts);
        me.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::ready;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_socket_is_calm_after_the_named_time_and_not_before() {
        let start = now();
        let mut temper = Temper { heard: start, calm: false };
        let just_before = start + CALM_AFTER - Duration::from_millis(1);
        temper.heard(just_before);
        assert!(!temper.calm);
        temper.heard(just_before + CALM_AFTER);
        assert!(temper.calm);
        temper.heard(just_before + CALM_AFTER * 2 - Duration::from_millis(1));
        assert!(!temper.calm);
    }

    #[tokio::test]
    async fn bytes_come_whole_and_once_however_often_the_socket_changes() {
        let (mut there, mut here) = pair().await;
        for round in 0..100_u8 {
            let calm = round % 3 != 0;
            here.temper = Temper { heard: now() - if calm { CALM_AFTER } else { CALM_AFTER / 2 }, calm: here.is_calm };
            there.write_all(&[round]).await.unwrap();
            assert_eq!(here.read_u8().await.unwrap(), round);
            let mut later = [0; 2];
            let late = async {
                // Read before it is written, so that the socket changes and has to be told.
                here.read_exact(&mut later).await.unwrap();
            };
            let write = async {
                tokio::task::yield_now().await;
                there.write_all(&[round, round ^ 0xff]).await.unwrap();
            };
            tokio::join!(late, write);
            assert_eq!(later, [round, round ^ 0xff]);
            here.write_all(&[round]).await.unwrap();
            assert_eq!(there.read_u8().await.unwrap(), round);
        }
    }

    #[tokio::test]
    async fn a_calm_socket_hears_that_the_other_side_has_gone() {
        let (mut there, mut here) = pair().await;
        here.temper.heard = now() - CALM_AFTER;
        there.write_all(&[1]).await.unwrap();
        assert_eq!(here.read_u8().await.unwrap(), 1);
        let gone = async {
            tokio::task::yield_now().await;
            drop(there);
        };
        let (read, ()) = tokio::join!(here.read_u8(), gone);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(here.is_calm);
    }

    #[tokio::test]
    async fn a_socket_whose_writer_waits_stays_where_it_is() {
        let (mut there, mut here) = pair().await;
        let block = vec![7; 1 << 16];
        let mut sent = 0;
        // Until the other side, which does not read, holds all it can.
        let full = std::future::poll_fn(|cx| {
            loop {
                sent += ready!(Pin::new(&mut here).poll_write(cx, &block)).unwrap();
            }
        });
        let () = tokio::select! { biased; () = full => unreachable!(), () = tokio::task::yield_now() => () };
        here.temper.heard = now() - CALM_AFTER;
        there.write_all(&[1]).await.unwrap();
        assert_eq!(here.read_u8().await.unwrap(), 1);
        assert!(here.temper.calm && !here.change().unwrap());
        let mut all = vec![0; sent];
        there.read_exact(&mut all).await.unwrap();
        assert!(all.iter().all(|byte| *byte == 7));
    }

    async fn pair() -> (TcpStream, CalmStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (here, _) = listener.accept().await.unwrap();
        (there, CalmStream::new(here, Watch::default()))
    }
}
