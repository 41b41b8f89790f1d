//! A TCP proxy that passes everything on and remembers it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// All bytes that passed, in both directions, each connection and direction by itself.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Vec<u8>>>>);

impl Recorder {
    /// Listens on a free port, and passes on to `server`. It ends with the runtime.
    pub(crate) async fn before(server: SocketAddr) -> (Self, SocketAddr) {
        let recorder = Self::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tapes = recorder.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                tokio::spawn(tapes.clone().pass(from_client, to_server));
                tokio::spawn(tapes.clone().pass(from_server, to_client));
            }
        });
        (recorder, addr)
    }

    async fn pass(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let tape = {
            let mut tapes = self.0.lock().unwrap();
            tapes.push(Vec::new());
            tapes.len() - 1
        };
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            self.0.lock().unwrap()[tape].extend_from_slice(&bytes[..count]);
            if to.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    }

    pub(crate) fn tapes(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}
