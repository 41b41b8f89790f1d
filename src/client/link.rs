//! A connection in use, to the server or to the opponent: one task reads frames, one writes them.
//!
//! What must hold: frames come out in order and only from this connection; when it is dropped nothing more comes or
//! goes. A broken connection is noticed by the reader, after what came before the break.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsStream;

use crate::model::limits::SEND_QUEUE_MAX;
use crate::net::seam::Stream;
use crate::wire::{Decoded, Decoder, Wire, decode, encode};

/// Messages read ahead; beyond it the other side waits.
const READ_AHEAD_MAX: usize = 64;
const READ_BYTES: usize = 4096;
/// How long a polite end may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// A connection whose other end has proved who it is; `In` comes from there.
pub(super) struct Connection<In> {
    messages: mpsc::Receiver<Box<In>>,
    queue: mpsc::Sender<Vec<u8>>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

/// The queue is full: the other end does not read what is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<In: Wire + Send + 'static> Connection<In> {
    /// Starts reading and writing. `decoder` may hold frames that came with the first one.
    pub(super) fn start(stream: TlsStream<Stream>, decoder: Decoder) -> Self {
        let (read, write) = tokio::io::split(stream);
        let (heard, messages) = mpsc::channel(READ_AHEAD_MAX);
        let (queue, queued) = mpsc::channel(SEND_QUEUE_MAX);
        let reader = tokio::spawn(read_all(read, decoder, heard));
        let writer = tokio::spawn(write_all(write, queued));
        Self { messages, queue, reader, writer }
    }

    /// The next message, or `None` when the connection is gone. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Box<In>> {
        self.messages.recv().await
    }

    /// The messages, for somebody else to read; [`next`](Self::next) says `None` from then on.
    pub(super) fn take_messages(&mut self) -> mpsc::Receiver<Box<In>> {
        let (_, none) = mpsc::channel(1);
        std::mem::replace(&mut self.messages, none)
    }

    /// Queues a message.
    pub(super) fn send<Out: Wire>(&self, message: &Out) -> Result<(), Full> {
        match self.queue.try_send(encode(message)) {
            // A writer that has ended met a broken connection: the reader will say so when all that came is read.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Full),
        }
    }

    /// Writes what is queued and ends TLS, if that can be done soon.
    pub(super) async fn close(mut self) {
        let (closed, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.queue, closed));
        // Whether it could be done makes no difference any more.
        let _ = timeout(CLOSE_MAX, &mut self.writer).await;
    }
}

impl<In> Drop for Connection<In> {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

/// Ends when the connection does, or when what comes is not this protocol.
async fn read_all<In: Wire>(mut read: ReadHalf<TlsStream<Stream>>, mut decoder: Decoder, heard: mpsc::Sender<Box<In>>) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        loop {
            let frame = match decoder.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return,
            };
            match decode::<In>(&frame) {
                Ok(Decoded::Message(message)) => {
                    if heard.send(Box::new(message)).await.is_err() {
                        return;
                    }
                }
                // Of a later time, and not needed here.
                Ok(Decoded::Unknown(_)) => {}
                Err(_) => return,
            }
        }
        match read.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(len) => decoder.feed(&buffer[..len]),
        }
    }
}

/// Ends after the last message, with a polite end of TLS, or when the connection breaks.
async fn write_all(mut write: WriteHalf<TlsStream<Stream>>, mut queued: mpsc::Receiver<Vec<u8>>) {
    while let Some(mut bytes) = queued.recv().await {
        while let Ok(more) = queued.try_recv() {
            bytes.extend_from_slice(&more);
        }
        if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}
