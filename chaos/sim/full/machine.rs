//! Machines: what stays of one when its process is gone, and the real process that runs on it.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rejoin::client::{self, ClientHandle};
use rejoin::model::decide::Points;
use rejoin::model::key::ServerId;
use rejoin::model::limits::LISTEN_BACKLOG;
use rejoin::net::address::Address;
use rejoin::net::certificate::Names;
use rejoin::net::certs::Certs;
use rejoin::server::{self, Report, ServerError, Sizes};
use rejoin::store::Disk;
use rejoin::store::faulty::FaultyDisk;
use rustls::crypto::CryptoProvider;
use tokio::sync::Notify;
use turmoil::Sim;

use super::net::{SERVER_NAME, SimNet};
use super::other_disk::copy_out;
use super::seams::{MachineClock, Pace, SeededEntropy, SimCerts, hasher};
use super::wires::{MachineId, Wires};

/// A machine.
pub(super) struct Machine {
    /// In the simulator, and of a player's device in the history.
    pub(super) name: String,
    pub(super) id: MachineId,
    pub(super) disk: FaultyDisk,
    /// What its processes use; the faulty one unless the plan wants another.
    pub(super) seen_as: Rc<RefCell<Arc<dyn Disk>>>,
    pub(super) clock: MachineClock,
    pub(super) pace: Pace,
    /// Whether there is a process.
    pub(super) runs: bool,
    /// How many times it was started; also in the seed of what it draws.
    pub(super) starts: Rc<RefCell<u64>>,
}

/// What the server's process and the driver tell each other.
#[derive(Default)]
pub(super) struct ServerDesk {
    pub(super) report: Option<Report>,
    pub(super) ended: Option<Result<(), ServerError>>,
    pub(super) stop: Rc<Notify>,
    /// Instead of serving, the process copies its files to the disk that can be looked at from outside.
    pub(super) copies: Rc<Cell<bool>>,
}

/// What a client's process and the driver tell each other.
#[derive(Default)]
pub(super) struct ClientDesk {
    pub(super) handle: Option<ClientHandle>,
    pub(super) failed: Option<String>,
}

/// The directory of the server's state, on its disk.
pub(super) const SERVER_STATE: &str = "/server";
/// The directory of a client's files, on its disk.
pub(super) const CLIENT_STATE: &str = "/client";
/// The server tells its clients that it is back after this.
const ETA: Duration = Duration::from_millis(300);
/// Kept aside for a full disk.
const RESERVE_BYTES: usize = 4096;

impl Machine {
    pub(super) fn new(name: String, wires: &Wires, number: u8, disk: FaultyDisk) -> Self {
        let ip = [10, 0, 0, number].into();
        let id = wires.lock().add(ip, Some(disk.clone()));
        Self {
            name,
            id,
            seen_as: Rc::new(RefCell::new(Arc::new(disk.clone()))),
            disk,
            clock: MachineClock::new(wires.clone()),
            pace: Pace { wires: wires.clone(), machine: id, slow_ms: Arc::new(AtomicU64::new(0)) },
            runs: false,
            starts: Rc::default(),
        }
    }

    /// Puts another disk in.
    pub(super) fn replace_disk(&mut self, disk: FaultyDisk) {
        *self.seen_as.borrow_mut() = Arc::new(disk.clone());
        self.pace.wires.lock().machines[self.id].disk = Some(disk.clone());
        self.disk = disk;
    }

    pub(super) fn net(&self) -> SimNet {
        SimNet { wires: self.pace.wires.clone(), machine: self.id }
    }
}

/// What every process of a world shares.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) seed: u64,
    pub(super) certs: Arc<SimCerts>,
    pub(super) server: ServerId,
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) segment_bytes: u64,
    pub(super) direct: bool,
}

impl Common {
    /// Random bytes of one process.
    fn entropy(&self, machine: MachineId, start: u64) -> Arc<SeededEntropy> {
        let of = (machine as u64 + 1) << 32 | start;
        SeededEntropy::new(self.seed ^ of.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }
}

/// Puts the server's machine into the simulator, and starts its process.
pub(super) fn host_server(sim: &mut Sim<'_>, machine: &Machine, common: &Common) -> Rc<RefCell<ServerDesk>> {
    let desk = Rc::new(RefCell::new(ServerDesk::default()));
    let (net, disk, clock, pace) =
        (machine.net(), Rc::clone(&machine.seen_as), machine.clock.clone(), machine.pace.clone());
    let (starts, common, at) = (Rc::clone(&machine.starts), common.clone(), Rc::clone(&desk));
    let outside = machine.disk.clone();
    sim.host(machine.name.as_str(), move || {
        *starts.borrow_mut() += 1;
        let seams = server::Seams {
            net: Arc::new(net.clone()),
            disk: Arc::clone(&disk.borrow()),
            certs: Arc::clone(&common.certs) as Arc<dyn Certs>,
            clock: clock.start(),
            entropy: common.entropy(net.machine, *starts.borrow()),
            provider: Arc::clone(&common.provider),
            hasher: hasher(),
            journal: Arc::new(pace.clone()),
            worker: Arc::new(pace.clone()),
        };
        let sizes = Sizes { segment_bytes: common.segment_bytes, reserve_bytes: RESERVE_BYTES };
        let config =
            server::Config { state: SERVER_STATE.into(), points: Points::default(), names: Names::default(), sizes };
        let copies = Rc::clone(&at.borrow().copies);
        *at.borrow_mut() = ServerDesk { copies: Rc::clone(&copies), ..ServerDesk::default() };
        let (at, outside) = (Rc::clone(&at), outside.clone());
        async move {
            if copies.get() {
                copy_out(Path::new(SERVER_STATE), &outside)?;
                return std::future::pending().await;
            }
            serve(config, seams, at).await
        }
    });
    desk
}

async fn serve(config: server::Config, seams: server::Seams, desk: Rc<RefCell<ServerDesk>>) -> turmoil::Result {
    let listener = seams.net.listen(([0, 0, 0, 0], super::SERVER_PORT).into(), LISTEN_BACKLOG).await?;
    let stop = Rc::clone(&desk.borrow().stop);
    let ended = match config.build(seams).and_then(|server| server.spawn(listener)) {
        Ok(mut running) => {
            desk.borrow_mut().report = Some(running.report.clone());
            let failed = tokio::select! {
                error = running.ended() => Some(error),
                () = stop.notified() => None,
            };
            match failed {
                Some(error) => Err(error),
                None => running.stop(ETA).await,
            }
        }
        Err(error) => Err(error),
    };
    desk.borrow_mut().ended = Some(ended);
    // Its machine goes on; the driver takes the process away.
    std::future::pending().await
}

/// Puts a player's machine into the simulator, and starts its process.
pub(super) fn host_client(sim: &mut Sim<'_>, machine: &Machine, common: &Common) -> Rc<RefCell<ClientDesk>> {
    let desk = Rc::new(RefCell::new(ClientDesk::default()));
    let (net, disk, clock, pace) =
        (machine.net(), Rc::clone(&machine.seen_as), machine.clock.clone(), machine.pace.clone());
    let (starts, common, at) = (Rc::clone(&machine.starts), common.clone(), Rc::clone(&desk));
    sim.host(machine.name.as_str(), move || {
        *starts.borrow_mut() += 1;
        let seams = client::Seams {
            net: Arc::new(net.clone()),
            disk: Arc::clone(&disk.borrow()),
            clock: clock.start(),
            entropy: common.entropy(net.machine, *starts.borrow()),
            provider: Arc::clone(&common.provider),
            worker: Arc::new(pace.clone()),
        };
        let config = client::Config {
            address: Address { host: SERVER_NAME.to_owned(), port: super::SERVER_PORT, id: Some(common.server) },
            state: CLIENT_STATE.into(),
            ca: None,
            trust_new: false,
            interactive: false,
            certs: PathBuf::from("/none"),
            user: None,
            direct: common.direct,
            peer_listen: ([0, 0, 0, 0], 0).into(),
            peer_advertise: Vec::new(),
        };
        *at.borrow_mut() = ClientDesk::default();
        play(config, seams, Rc::clone(&at))
    });
    desk
}

async fn play(config: client::Config, seams: client::Seams, desk: Rc<RefCell<ClientDesk>>) -> turmoil::Result {
    match client::start(config, seams) {
        Ok(handle) => desk.borrow_mut().handle = Some(handle),
        Err(error) => desk.borrow_mut().failed = Some(error.to_string()),
    }
    std::future::pending().await
}
