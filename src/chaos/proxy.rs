//! A TCP proxy that breaks what passes, by a seed; it needs no rights.
//!
//! What must hold: what it passes on is in order and, unless it was told to change bytes, the same; what it holds back
//! is bounded; new weather counts for connections that are there as well.
//!
//! ```text
//!  client ──> listener ──up──> upstream         each way: delay, jitter, rate, a wall, changed bytes
//!         <──────────────down──
//! ```
#![allow(clippy::disallowed_methods, reason = "the shell reads the clock")]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::store::faulty::Seeded;

/// What the wires are like, both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// From the client to the server.
    pub up: Way,
    /// From the server to the client.
    pub down: Way,
    /// Whether nobody new gets through: new connections are reset.
    pub refuses: bool,
}

/// What one way is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// How long everything takes.
    pub delay: Duration,
    /// Up to so much more, drawn for each piece; the order stays.
    pub jitter: Duration,
    /// So many bytes in a second, at most; a small number is a trickle.
    pub bytes_per_second: Option<u32>,
    /// Nothing comes through; it waits, as far as there is room, and comes when the wall is gone.
    pub wall: bool,
    /// One byte in so many is changed.
    pub changed_one_in: Option<u32>,
}

/// Something that happens to all connections at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Both ends are closed in order.
    Cut,
    /// Both ends are reset.
    Reset,
    /// The server's end is reset, and the client is told nothing.
    HalfOpen,
}

/// What has passed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Connections taken.
    pub connections: u64,
    /// Connections that were cut or reset by a [`Blow`], and such as were refused.
    pub broken: u64,
    /// Bytes passed on, both ways.
    pub bytes: u64,
    /// Bytes changed.
    pub changed: u64,
    /// Pieces that were held up: late, slowed, or kept waiting at a wall.
    pub held: u64,
}

/// A proxy at work; it ends when this is dropped.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// Read ahead, for each way of a connection, in pieces of [`PIECE_BYTES`].
const PIECES_MAX: usize = 64;
const PIECE_BYTES: usize = 4096;
/// With a rate, pieces become as small as what passes in this time.
const PACE: Duration = Duration::from_millis(20);

struct Shared {
    upstream: Mutex<SocketAddr>,
    weather: watch::Sender<Weather>,
    blows: watch::Sender<(u64, Blow)>,
    seeds: Mutex<Seeded>,
    connections: AtomicU64,
    broken: AtomicU64,
    bytes: AtomicU64,
    changed: AtomicU64,
    held: AtomicU64,
    dials_a_second_max: AtomicU64,
}

impl Proxy {
    /// Listens on `listen` (port 0 for a free one) and passes on to `upstream`.
    ///
    /// # Errors
    /// When it cannot listen there.
    pub async fn start(listen: SocketAddr, upstream: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            weather: watch::Sender::new(Weather::default()),
            blows: watch::Sender::new((0, Blow::Cut)),
            seeds: Mutex::new(Seeded(seed)),
            connections: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            changed: AtomicU64::new(0),
            held: AtomicU64::new(0),
            dials_a_second_max: AtomicU64::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, accepting })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Passes new connections on to another address.
    pub fn lead_to(&self, upstream: SocketAddr) {
        *self.shared.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// Strikes all connections there are.
    pub fn strike(&self, blow: Blow) {
        self.shared.blows.send_modify(|(number, last)| {
            *number += 1;
            *last = blow;
        });
    }

    /// What has passed so far.
    #[must_use]
    pub fn passed(&self) -> Passed {
        let Shared { connections, broken, bytes, changed, held, .. } = &*self.shared;
        let [connections, broken, bytes, changed, held] =
            [connections, broken, bytes, changed, held].map(|count| count.load(Ordering::Relaxed));
        Passed { connections, broken, bytes, changed, held }
    }

    /// Most connections that were asked for in any second.
    #[must_use]
    pub fn dials_a_second_max(&self) -> u32 {
        u32::try_from(self.shared.dials_a_second_max.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.strike(Blow::Reset);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut dials = VecDeque::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Descriptors are short.
            sleep(PACE).await;
            continue;
        };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        dials.push_back(now);
        dials.retain(|dial| now - *dial < Duration::from_secs(1));
        shared.dials_a_second_max.fetch_max(dials.len() as u64, Ordering::Relaxed);
        if shared.weather.borrow().refuses {
            shared.broken.fetch_add(1, Ordering::Relaxed);
            reset(client);
            continue;
        }
        tokio::spawn(serve(client, Arc::clone(&shared)));
    }
}

/// One connection.
async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let mut blows = shared.blows.subscribe();
    blows.mark_unchanged();
    let upstream = *shared.upstream.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(mut server) = TcpStream::connect(upstream).await else { return reset(client) };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let blow = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let [up, down] = shared.two_seeds();
        let up = Pass { way: |all| &all.up, weather: shared.weather.subscribe(), seeded: up, shared: &shared };
        let down = Pass { way: |all| &all.down, weather: shared.weather.subscribe(), seeded: down, shared: &shared };
        tokio::select! {
            blow = next_blow(&mut blows) => Some(blow),
            () = async { tokio::join!(up.run(from_client, to_server), down.run(from_server, to_client)); } => None,
        }
    };
    let Some(blow) = blow else { return };
    shared.broken.fetch_add(1, Ordering::Relaxed);
    match blow {
        Blow::Cut => {
            let _ = tokio::join!(client.shutdown(), server.shutdown());
        }
        Blow::Reset => {
            reset(client);
            reset(server);
        }
        Blow::HalfOpen => {
            reset(server);
            // The client is told nothing until the next blow.
            let _ = next_blow(&mut blows).await;
            reset(client);
        }
    }
}

async fn next_blow(blows: &mut watch::Receiver<(u64, Blow)>) -> Blow {
    match blows.changed().await {
        Ok(()) => blows.borrow_and_update().1,
        // The proxy is gone.
        Err(_) => Blow::Reset,
    }
}

fn reset(stream: TcpStream) {
    // Without it the kernel would say goodbye in order.
    let _ = stream.set_zero_linger();
}

/// One way of one connection.
struct Pass<'a> {
    way: fn(&Weather) -> &Way,
    weather: watch::Receiver<Weather>,
    seeded: Seeded,
    shared: &'a Shared,
}

impl Pass<'_> {
    /// Until what comes has ended, or nobody takes it.
    async fn run(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let (tell, mut pieces) = mpsc::channel(PIECES_MAX);
        let reading = async move {
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let Ok(len @ 1..) = from.read(&mut piece).await else { return };
                piece.truncate(len);
                if tell.send((Instant::now(), piece)).await.is_err() {
                    return;
                }
            }
        };
        let writing = async move {
            let mut last = Instant::now();
            while let Some((came, piece)) = pieces.recv().await {
                let way = (self.way)(&self.weather.borrow_and_update()).clone();
                // In order: nothing overtakes what was drawn to be later.
                last = last.max(came + way.delay + self.drawn(way.jitter));
                if way.delay + way.jitter > Duration::ZERO || way.bytes_per_second.is_some() {
                    self.shared.held.fetch_add(1, Ordering::Relaxed);
                }
                sleep_until(last).await;
                if self.write(piece, &mut to).await.is_err() {
                    return;
                }
            }
            let _ = to.shutdown().await;
        };
        tokio::join!(reading, writing);
    }

    fn drawn(&mut self, most: Duration) -> Duration {
        let micros = usize::try_from(most.as_micros()).unwrap_or(usize::MAX - 1);
        Duration::from_micros(self.seeded.up_to(micros) as u64)
    }

    async fn write(&mut self, mut piece: Vec<u8>, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while !piece.is_empty() {
            let way = self.no_wall().await;
            let most = way.bytes_per_second.map_or(piece.len(), |rate| pace_bytes(rate).min(piece.len()));
            let rest = piece.split_off(most);
            self.change(&mut piece, way.changed_one_in);
            to.write_all(&piece).await?;
            self.shared.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
            if let Some(rate) = way.bytes_per_second {
                sleep(Duration::from_secs_f64(piece.len() as f64 / f64::from(rate.max(1)))).await;
            }
            piece = rest;
        }
        Ok(())
    }

    /// Waits until there is no wall.
    async fn no_wall(&mut self) -> Way {
        let way = self.way;
        if way(&self.weather.borrow()).wall {
            self.shared.held.fetch_add(1, Ordering::Relaxed);
        }
        match self.weather.wait_for(|all| !way(all).wall).await {
            Ok(all) => way(&all).clone(),
            // The proxy is gone, and its connections with it.
            Err(_) => Way::default(),
        }
    }

    fn change(&mut self, piece: &mut [u8], one_in: Option<u32>) {
        let Some(one_in) = one_in else { return };
        for byte in piece {
            if self.seeded.next().is_multiple_of(u64::from(one_in.max(1))) {
                *byte ^= 1 << self.seeded.up_to(7);
                self.shared.changed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// What passes at once at a rate.
fn pace_bytes(rate: u32) -> usize {
    let bytes = f64::from(rate) * PACE.as_secs_f64();
    (bytes as usize).max(1)
}

impl Shared {
    fn two_seeds(&self) -> [Seeded; 2] {
        let mut seeds = self.seeds.lock().unwrap_or_else(PoisonError::into_inner);
        [Seeded(seeds.next()), Seeded(seeds.next())]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use std::net::Ipv4Addr;

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A client and a server with a proxy between them.
    struct Between {
        proxy: Proxy,
        client: TcpStream,
        server: TcpStream,
    }

    async fn between(weather: Weather) -> Between {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(local).await.unwrap();
        let proxy = Proxy::start(local, listener.local_addr().unwrap(), 7).await.unwrap();
        proxy.set(weather);
        let client = TcpStream::connect(proxy.addr()).await.unwrap();
        let (server, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        Between { proxy, client, server }
    }

    async fn hear(stream: &mut TcpStream, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        timeout(PATIENCE, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }

    /// The first thing that is heard of the end.
    async fn end(stream: &mut TcpStream) -> io::Result<usize> {
        timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap()
    }

    fn up(way: Way) -> Weather {
        Weather { up: way, ..Weather::default() }
    }

    #[tokio::test]
    async fn what_is_sent_comes_unchanged_and_in_order_both_ways() {
        let way = Way { jitter: Duration::from_millis(5), ..Way::default() };
        let mut of = between(Weather { up: way.clone(), down: way, refuses: false }).await;
        let text: Vec<u8> = (0..200_000_u32).map(|byte| (byte % 251) as u8).collect();
        let (mut from_client, mut to_client) = of.client.split();
        let (mut from_server, mut to_server) = of.server.split();
        let (mut there, mut back) = (vec![0; text.len()], vec![0; text.len()]);
        timeout(PATIENCE, async {
            tokio::try_join!(
                to_client.write_all(&text),
                to_server.write_all(&text),
                from_server.read_exact(&mut there),
                from_client.read_exact(&mut back)
            )
        })
        .await
        .unwrap()
        .unwrap();
        assert!(there == text && back == text);
        let held = of.proxy.passed().held;
        assert!(held >= 2 * 200_000 / PIECE_BYTES as u64, "each piece was late: {held}");
        let passed = Passed { connections: 1, bytes: 400_000, held, ..Passed::default() };
        assert_eq!(of.proxy.passed(), passed);
    }

    #[tokio::test]
    async fn a_delay_and_a_rate_take_their_time() {
        let delay = Duration::from_millis(80);
        let mut of = between(up(Way { delay, ..Way::default() })).await;
        let begun = Instant::now();
        of.client.write_all(b"late").await.unwrap();
        assert_eq!(hear(&mut of.server, 4).await, b"late");
        assert!(begun.elapsed() >= delay);
        of.proxy.set(up(Way { bytes_per_second: Some(100), ..Way::default() }));
        let begun = Instant::now();
        of.client.write_all(&[1; 11]).await.unwrap();
        hear(&mut of.server, 11).await;
        assert!(begun.elapsed() >= Duration::from_millis(100), "ten bytes before the last take a tenth of a second");
    }

    #[tokio::test]
    async fn what_waits_at_a_wall_comes_when_it_is_gone_and_the_other_way_is_open() {
        let mut of = between(up(Way { wall: true, ..Way::default() })).await;
        of.client.write_all(b"held").await.unwrap();
        of.server.write_all(b"free").await.unwrap();
        assert_eq!(hear(&mut of.client, 4).await, b"free");
        assert!(of.server.try_read(&mut [0; 4]).is_err(), "nothing came");
        of.proxy.set(Weather::default());
        assert_eq!(hear(&mut of.server, 4).await, b"held");
        assert_eq!((of.proxy.passed().held, of.proxy.dials_a_second_max()), (1, 1));
    }

    #[tokio::test]
    async fn bytes_are_changed_and_counted() {
        let mut of = between(up(Way { changed_one_in: Some(10), ..Way::default() })).await;
        of.client.write_all(&[0; 1000]).await.unwrap();
        let changed = hear(&mut of.server, 1000).await.iter().filter(|byte| **byte != 0).count() as u64;
        assert_eq!(of.proxy.passed().changed, changed);
        assert!((20..500).contains(&changed), "{changed}");
    }

    #[tokio::test]
    async fn each_blow_is_what_it_is_called() {
        let mut of = between(Weather::default()).await;
        of.proxy.strike(Blow::Cut);
        assert_eq!((end(&mut of.client).await.unwrap(), end(&mut of.server).await.unwrap()), (0, 0));

        let mut of = between(Weather::default()).await;
        of.proxy.strike(Blow::Reset);
        for stream in [&mut of.client, &mut of.server] {
            assert_eq!(end(stream).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }

        let mut of = between(Weather::default()).await;
        of.proxy.strike(Blow::HalfOpen);
        assert_eq!(end(&mut of.server).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert!(of.client.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
        assert_eq!(of.proxy.passed().broken, 1);
        drop(of.proxy);
        assert_eq!(end(&mut of.client).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn nobody_new_gets_through_while_it_refuses() {
        let of = between(Weather::default()).await;
        of.proxy.set(Weather { refuses: true, ..Weather::default() });
        let mut other = TcpStream::connect(of.proxy.addr()).await.unwrap();
        assert_eq!(end(&mut other).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
