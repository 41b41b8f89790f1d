//! The client's shell against a server by script, over real sockets and TLS.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test waits for one of many, or fails")]

mod disk;
mod link;
mod matches;
mod server;
mod trust;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rejoin::client::{ClientError, ClientHandle, Config, Order, Seams, start};
use rejoin::model::client::command::Typed;
use rejoin::model::client::event::{Event, LinkState, Reply};
use rejoin::model::id::Name;
use rejoin::model::password::Password;
use rejoin::model::time::{Clock, Now, WallMs};
use rejoin::net::host::HostNet;
use rejoin::net::tls;
use rejoin::ops::host::{HostClock, HostEntropy};
use rejoin::ops::work::HostWorker;
use rejoin::store::HostDisk;
use server::Server;
use tokio::time::timeout;

use crate::rig::Watched;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Directories of one test.
struct Dirs {
    root: tempfile::TempDir,
    _watched: Watched,
    certs: PathBuf,
    state: PathBuf,
}

/// A clock on which seconds are short.
struct Hasty(HostClock);

impl Clock for Hasty {
    fn now(&self) -> Now {
        Now(self.0.now().0 * 50)
    }

    fn wall(&self) -> WallMs {
        self.0.wall()
    }
}

impl Dirs {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (certs, state) = (root.path().join("certs"), root.path().join("state"));
        Self { root, _watched: Watched::here(), certs, state }
    }
}

/// A script's client: it asks nobody and has no certs directory at hand.
fn config(server: &str, state: &Path) -> Config {
    Config {
        address: server.parse().unwrap(),
        state: state.to_owned(),
        ca: None,
        trust_new: false,
        interactive: false,
        certs: state.join("no-certs"),
        user: None,
        direct: false,
        peer_listen: "127.0.0.1:0".parse().unwrap(),
        peer_advertise: Vec::new(),
    }
}

fn pinned(server: &Server, state: &Path) -> Config {
    config(&format!("{}#{}", server.addr(), server.id()), state)
}

fn seams() -> Seams {
    Seams {
        worker: Arc::new(HostWorker),
        net: Arc::new(HostNet),
        disk: Arc::new(HostDisk),
        clock: Arc::new(HostClock::start()),
        entropy: Arc::new(HostEntropy),
        provider: tls::provider(),
    }
}

fn hasty() -> Seams {
    Seams { clock: Arc::new(Hasty(HostClock::start())), ..seams() }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

async fn type_in(client: &ClientHandle, typed: Typed) {
    client.commands.send(Order::Typed(typed)).await.unwrap();
}

async fn type_login(client: &ClientHandle) {
    type_in(client, Typed::Login(name("alice"), Password::new("correct horse").unwrap())).await;
}

/// Waits for the first event that `wanted` takes.
async fn event<T>(client: &mut ClientHandle, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
    let look = async {
        loop {
            let event = client.events.recv().await.expect("the client has ended");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    };
    timeout(PATIENCE, look).await.expect("the event comes in time")
}

async fn reply(client: &mut ClientHandle) -> Reply {
    event(client, |event| if let Event::Reply(reply) = event { Some(reply) } else { None }).await
}

/// Waits for a link in use; how long there was none.
async fn live(client: &mut ClientHandle) -> u64 {
    event(client, |event| match event {
        Event::Link { state: LinkState::Live, outage_ms, .. } => outage_ms,
        _ => None,
    })
    .await
}

/// How a client ends by itself.
async fn end(client: ClientHandle) -> ClientError {
    timeout(PATIENCE, client.end).await.expect("it ends in time").unwrap().unwrap_err()
}

/// Ends a client by the player's wish.
async fn leave(client: ClientHandle) {
    let ClientHandle { commands, end, .. } = client;
    drop(commands);
    timeout(PATIENCE, end).await.expect("it ends in time").unwrap().unwrap();
}
