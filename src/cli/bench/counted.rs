//! A network that counts what goes over it, below TLS.
//!
//! What must hold: every byte that a socket has taken or given is counted once, and nothing is held back, changed or
//! put into other pieces for it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::host::HostNet;
use crate::net::seam::{Dialed, Interface, Listener, Net, Stream, Wait};

/// The host's network, of which every byte is written into a book.
pub(super) struct CountedNet {
    who: usize,
    book: Arc<Book>,
}

/// What all counted networks of one measurement have seen.
#[derive(Default)]
pub(super) struct Book {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    bytes: u64,
    records: Vec<Record>,
    dials: Vec<Instant>,
}

/// One whole TLS record that was read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Whose network.
    pub(super) who: usize,
    /// Where the connection was dialled to; none if it was accepted.
    pub(super) to: Option<SocketAddr>,
    /// Which way.
    pub(super) way: Way,
    /// Records before it on this connection and in this direction.
    pub(super) number: usize,
    /// With its header.
    pub(super) bytes: usize,
}

/// Seen from the end that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Read,
    Written,
}

impl CountedNet {
    /// The network of number `who`.
    pub(super) const fn new(who: usize, book: Arc<Book>) -> Self {
        Self { who, book }
    }
}

impl Book {
    /// All bytes so far, those of records that are not whole yet included.
    pub(super) fn bytes(&self) -> u64 {
        self.pages().bytes
    }

    /// The records since this was last called.
    pub(super) fn take_records(&self) -> Vec<Record> {
        std::mem::take(&mut self.pages().records)
    }

    /// When each dial since this was last called began.
    pub(super) fn take_dials(&self) -> Vec<Instant> {
        std::mem::take(&mut self.pages().dials)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Net for CountedNet {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Wait<'a, Vec<SocketAddr>> {
        HostNet.resolve(host, port)
    }

    fn dial(&self, addr: SocketAddr) -> Wait<'_, Dialed> {
        #[allow(clippy::disallowed_methods, reason = "a bench reads the clock, finer than in milliseconds")]
        let now = Instant::now();
        self.book.pages().dials.push(now);
        Box::pin(async move {
            let Dialed { stream, local } = HostNet.dial(addr).await?;
            let stream = Counted::new(stream, self.who, Some(addr), &self.book);
            Ok(Dialed { stream: Box::new(stream), local })
        })
    }

    fn listen(&self, addr: SocketAddr, backlog: u32) -> Wait<'_, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = HostNet.listen(addr, backlog).await?;
            let (who, book) = (self.who, Arc::clone(&self.book));
            Ok(Box::new(CountedListener { listener, who, book }) as Box<dyn Listener>)
        })
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        HostNet.interfaces()
    }
}

struct CountedListener {
    listener: Box<dyn Listener>,
    who: usize,
    book: Arc<Book>,
}

impl Listener for CountedListener {
    fn accept(&self) -> Wait<'_, (Stream, SocketAddr)> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            Ok((Box::new(Counted::new(stream, self.who, None, &self.book)) as Stream, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A stream whose bytes are counted as they pass.
struct Counted {
    stream: Stream,
    who: usize,
    to: Option<SocketAddr>,
    read: Cutter,
    written: Cutter,
    book: Arc<Book>,
}

impl Counted {
    fn new(stream: Stream, who: usize, to: Option<SocketAddr>, book: &Arc<Book>) -> Self {
        Self { stream, who, to, read: Cutter::default(), written: Cutter::default(), book: Arc::clone(book) }
    }

    fn count(&mut self, way: Way, bytes: &[u8]) {
        let Self { who, to, .. } = *self;
        let cutter = match way {
            Way::Read => &mut self.read,
            Way::Written => &mut self.written,
        };
        let mut pages = self.book.pages();
        pages.bytes += bytes.len() as u64;
        cutter.feed(bytes, |number, bytes| pages.records.push(Record { who, to, way, number, bytes }));
    }
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, into))?;
        this.count(Way::Read, &into.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = ready!(Pin::new(&mut this.stream).poll_write(context, bytes))?;
        this.count(Way::Written, &bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = ready!(Pin::new(&mut this.stream).poll_write_vectored(context, parts))?;
        let mut left = taken;
        for part in parts {
            let len = part.len().min(left);
            this.count(Way::Written, &part[..len]);
            left -= len;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

/// A TLS record begins with its type, a version and the length of the rest.
const HEADER_BYTES: usize = 5;

/// Finds the records in a stream of bytes.
#[derive(Debug, Default)]
struct Cutter {
    header: [u8; HEADER_BYTES],
    /// Bytes of the present header that have come.
    have: usize,
    /// Bytes of the present body that have not come.
    left: usize,
    /// Whole records.
    number: usize,
}

impl Cutter {
    /// Takes bytes as they come; `done` hears number and length of each record that they complete.
    fn feed(&mut self, mut bytes: &[u8], mut done: impl FnMut(usize, usize)) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.have < HEADER_BYTES {
                self.header[self.have] = *first;
                self.have += 1;
                bytes = rest;
                if self.have < HEADER_BYTES {
                    continue;
                }
                self.left = self.body();
            }
            let (_, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= bytes.len() - rest.len();
            bytes = rest;
            if self.left == 0 {
                done(self.number, HEADER_BYTES + self.body());
                self.number += 1;
                self.have = 0;
            }
        }
    }

    fn body(&self) -> usize {
        usize::from(u16::from_be_bytes([self.header[3], self.header[4]]))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    fn record(body: usize) -> Vec<u8> {
        let len = u16::try_from(body).unwrap().to_be_bytes();
        [&[23, 3, 3][..], &len, &vec![7; body]].concat()
    }

    #[test]
    fn records_are_found_however_the_bytes_are_cut() {
        let stream = [record(3), record(0), record(300), record(1)].concat();
        for step in 1..=stream.len() {
            let (mut cutter, mut found) = (Cutter::default(), Vec::new());
            stream.chunks(step).for_each(|part| cutter.feed(part, |number, bytes| found.push((number, bytes))));
            assert_eq!(found, [(0, 8), (1, 5), (2, 305), (3, 6)], "cut every {step} bytes");
        }
    }

    /// Both ends of a real connection.
    async fn connected(book: &Arc<Book>) -> (Stream, Stream, SocketAddr) {
        let here = CountedNet::new(0, Arc::clone(book));
        let there = CountedNet::new(1, Arc::clone(book));
        let listener = there.listen("127.0.0.1:0".parse().unwrap(), 1).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (dialed, accepted) = tokio::join!(here.dial(addr), listener.accept());
        (dialed.unwrap().stream, accepted.unwrap().0, addr)
    }

    #[tokio::test]
    async fn every_byte_is_counted_once_at_each_end() {
        let book = Arc::new(Book::default());
        let (mut near, mut far, addr) = connected(&book).await;
        assert_eq!(book.take_dials().len(), 1);
        near.write_all(&record(10)).await.unwrap();
        let parts = [record(1), record(2)];
        let written = near.write_vectored(&parts.each_ref().map(|part| IoSlice::new(part))).await.unwrap();
        assert_eq!(written, 13, "a fresh socket takes it whole");
        near.shutdown().await.unwrap();
        let mut came = Vec::new();
        far.read_to_end(&mut came).await.unwrap();
        assert_eq!(came.len(), 28);
        assert_eq!(book.bytes(), 2 * 28);
        let records = book.take_records();
        let of = |who, to, way| {
            let mine = records.iter().filter(move |record| (record.who, record.to, record.way) == (who, to, way));
            mine.map(|record| (record.number, record.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(of(0, Some(addr), Way::Written), [(0, 15), (1, 6), (2, 7)]);
        assert_eq!(of(1, None, Way::Read), [(0, 15), (1, 6), (2, 7)]);
        assert_eq!(records.len(), 6, "and nothing else");
        assert!(book.take_records().is_empty(), "each is told once");
    }

    #[tokio::test]
    async fn what_a_socket_did_not_take_is_not_counted() {
        let book = Arc::new(Book::default());
        let (mut near, mut far, _) = connected(&book).await;
        let large = record(16_000).repeat(64);
        let parts = [IoSlice::new(&large), IoSlice::new(&large)];
        let mut taken = 0;
        // Until the socket is full.
        while let Ok(len) = timeout(Duration::ZERO, near.write_vectored(&parts)).await {
            taken += len.unwrap();
            let Ok(len) = timeout(Duration::ZERO, near.write(&large)).await else { break };
            taken += len.unwrap();
        }
        assert_eq!(book.bytes(), taken as u64);
        drop(near);
        let mut came = Vec::new();
        far.read_to_end(&mut came).await.unwrap();
        assert_eq!(came.len(), taken);
        assert_eq!(book.bytes(), 2 * taken as u64);
    }
}
