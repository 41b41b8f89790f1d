//! One player's window: a real client with a runtime and a disk of its own, both of which can be taken away.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use rejoin::client::{ClientHandle, Config, Order, Seams, start};
use rejoin::model::client::command::Typed;
use rejoin::model::client::event::{Event, Reply, Status};
use rejoin::model::id::Name;
use rejoin::model::statement::Fared;
use rejoin::net::host::HostNet;
use rejoin::net::tls;
use rejoin::ops::host::{HostClock, HostEntropy};
use rejoin::ops::work::HostWorker;
use rejoin::store::faulty::FaultyDisk;
use tokio::runtime::Runtime;
use tracing_subscriber::filter::LevelFilter;

use super::X_WINS;
use crate::rig::{Announced, Log};

/// A player, over all runs and devices.
pub(super) struct Window {
    pub(super) name: Name,
    address: String,
    disk: FaultyDisk,
    /// Of all runs; nothing odd is meant to come of them.
    log: Log,
    runtime: Option<Runtime>,
    client: Option<ClientHandle>,
    /// All that the player was ever shown.
    pub(super) shown: Vec<Event>,
    /// Where in it the present run begins.
    run: usize,
    /// Where in it the present device begins.
    device: usize,
}

/// A board as it was shown: its plies and its moves.
type Shown<'a> = (u16, &'a [[u16; 2]]);

impl Window {
    pub(super) fn open(name: &str, address: String) -> Self {
        let name = Name::new(name).unwrap();
        let (disk, log) = (FaultyDisk::new(), Log::new());
        let mut window =
            Self { name, address, disk, log, runtime: None, client: None, shown: Vec::new(), run: 0, device: 0 };
        window.start();
        window
    }

    /// Starts the client on what the disk holds.
    pub(super) fn start(&mut self) {
        assert!(self.runtime.is_none(), "it was killed before");
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let builder = builder.worker_threads(1).on_thread_start(self.log.on_thread(LevelFilter::INFO));
        let runtime = builder.enable_all().build().unwrap();
        let config = Config {
            address: self.address.parse().unwrap(),
            state: PathBuf::from("/client"),
            ca: None,
            trust_new: false,
            interactive: false,
            certs: PathBuf::from("/no-certs"),
            user: None,
            direct: true,
            peer_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            peer_advertise: Vec::new(),
        };
        let seams = Seams {
            worker: Arc::new(HostWorker),
            net: Arc::new(HostNet),
            disk: Arc::new(self.disk.clone()),
            clock: Arc::new(HostClock::start()),
            entropy: Arc::new(HostEntropy),
            provider: tls::provider(),
        };
        let inside = (runtime.enter(), tracing::dispatcher::set_default(&self.log.dispatch(LevelFilter::INFO)));
        let client = start(config, seams).unwrap();
        drop(inside);
        (self.runtime, self.client) = (Some(runtime), Some(client));
        self.run = self.shown.len();
    }

    /// The power goes in the middle of whatever it does; of what was not synced stays what the seed says.
    pub(super) async fn kill(&mut self, seed: u64) {
        self.disk.cut_power_at(self.disk.operations() + 1);
        if let Some(runtime) = self.runtime.take() {
            // It may not be dropped where a runtime is at work.
            std::thread::spawn(move || drop(runtime)).join().unwrap();
        }
        // What had come to the screen was seen.
        let mut client = self.client.take().expect("it runs");
        while let Ok(event) = client.events.try_recv() {
            self.shown.push(event);
        }
        // It was cut off, or has found its disk dead.
        let panicked = client.end.await.is_err_and(|error| error.is_panic());
        assert!(!panicked, "the client of {} has panicked at its end", self.name);
        self.disk.crash(seed);
    }

    /// Another device, after [`kill`](Self::kill).
    pub(super) fn wipe(&mut self) {
        self.disk = FaultyDisk::new();
        self.device = self.shown.len();
    }

    pub(super) async fn type_in(&self, typed: Typed) {
        self.client.as_ref().expect("it runs").commands.send(Order::Typed(typed)).await.unwrap();
    }

    /// Waits for the next thing that is shown; for ever if nobody runs.
    pub(super) async fn hear(&mut self) {
        let Some(client) = &mut self.client else { return std::future::pending().await };
        tokio::select! {
            event = client.events.recv() => match event {
                Some(event) => self.shown.push(event),
                None => panic!("the client of {} has ended: {:?}", self.name, (&mut client.end).await),
            },
            // That it has ended is heard above.
            Ok(()) = client.status.changed() => {}
        }
    }

    pub(super) fn status(&self) -> Status {
        self.client.as_ref().expect("it runs").status.borrow().clone()
    }

    /// The first reply to a command `word` from this place on.
    pub(super) fn reply(&self, from: usize, word: &str) -> Option<Reply> {
        self.shown[from..].iter().find_map(|event| match event {
            Event::Reply(reply) if reply.command == word => Some(reply.clone()),
            _ => None,
        })
    }

    /// Whether this notice was shown in the present run.
    pub(super) fn noticed(&self, word: &str) -> bool {
        self.shown[self.run..].iter().any(|event| matches!(event, Event::Notice { code, .. } if *code == word))
    }

    /// The seat of the match, once there is one.
    pub(super) fn seat(&self) -> Option<&str> {
        self.shown.iter().rev().find_map(|event| match event {
            Event::Match { you, .. } => Some(you.as_str()),
            _ => None,
        })
    }

    /// Moves on the board as it was last shown in the present run.
    pub(super) fn plies(&self) -> Option<u16> {
        boards(&self.shown[self.run..]).last().map(|(plies, _)| plies)
    }

    /// The last result this player was shown, and whether it was recorded. A device on which the match was shown shows
    /// its end too; to another one the match was over before.
    pub(super) fn result(&self) -> Option<(Fared, bool)> {
        let here = self.shown[self.device..].iter().any(|event| matches!(event, Event::Match { .. }));
        self.shown[if here { self.device } else { 0 }..].iter().rev().find_map(|event| match event {
            Event::Result { outcome, recorded, .. } => Some((*outcome, *recorded)),
            _ => None,
        })
    }

    pub(super) fn is_settled(&self) -> bool {
        self.result().is_some_and(|(_, recorded)| recorded)
    }

    /// Checks all that was ever shown: one value a move, every board a beginning of the one match there is, and on one
    /// device no board without a move that was acknowledged before.
    pub(super) fn check(&self, case: &str, names: [&Name; 2]) {
        let mut told = 0;
        for (at, event) in self.shown.iter().enumerate() {
            if at == self.device {
                told = 0;
            }
            match event {
                Event::Move { ply, by, row, col, acknowledged, .. } => {
                    let (name, cell) = (names[usize::from(ply % 2)], X_WINS[usize::from(*ply)]);
                    assert_eq!((by.as_str(), *row, *col), (name.as_str(), Some(cell.0), Some(cell.1)), "{case}");
                    told = told.max(if *acknowledged { ply + 1 } else { 0 });
                }
                Event::Board { ply, moves, .. } => {
                    let cells: Vec<(u16, u16)> = moves.iter().map(|[row, col]| (*row, *col)).collect();
                    assert_eq!(cells, X_WINS[..usize::from(*ply)], "{case}, {}", self.name);
                    assert!(*ply >= told, "{case}: {} was told of {told} moves and is shown {ply}", self.name);
                }
                _ => {}
            }
        }
        let last = boards(&self.shown).last().map(|(plies, _)| usize::from(plies));
        assert_eq!(last, Some(X_WINS.len()), "{case}: the last board of {}", self.name);
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        Announced::default().check(self.log.text().lines());
    }
}

fn boards(shown: &[Event]) -> impl Iterator<Item = Shown<'_>> {
    shown.iter().filter_map(|event| match event {
        Event::Board { ply, moves, .. } => Some((*ply, moves.as_slice())),
        _ => None,
    })
}
