//! Many clients: D14, D15, D16.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rejoin::client::{ClientHandle, Config, Order, Seams, start};
use rejoin::model::client::command::Typed;
use rejoin::model::client::event::{Event, Reply};
use rejoin::model::fact::Fact;
use rejoin::model::id::{Name, UserId};
use rejoin::model::password::Password;
use rejoin::model::state::State;
use rejoin::model::time::{Clock, WallMs};
use rejoin::net::host::HostNet;
use rejoin::net::keys::ServerKeys;
use rejoin::net::tls;
use rejoin::ops::host::{HostClock, HostEntropy};
use rejoin::ops::work::HostWorker;
use rejoin::server::hasher::hash_now;
use rejoin::store::{self, Disk, HostDisk};
use tokio::time::timeout;

use super::PATIENCE;
use super::people::{PASSWORD, Player, home};
use super::server::Server;

/// More than the hundred that were possible.
const CROWD: usize = 150;
/// Logins at once; they take turns at being hashed.
const AT_ONCE: usize = 30;
/// Lists that are timed.
const LISTS: usize = 51;
/// Their median must be below, debug build and busy machine included; it was 501 ms.
const LIST_MAX: Duration = Duration::from_millis(50);
/// Starts of a new client.
const STARTS: usize = 50;

#[test]
fn d14_fifty_new_clients_one_after_the_other_all_get_in() {
    let home = home();
    let server = Server::start(home.path());
    for number in 0..STARTS {
        Player::open(&server, &format!("new-{number}")).leave();
    }
}

#[test]
fn d15_d16_a_hundred_and_fifty_are_logged_in_and_a_list_takes_milliseconds() {
    let home = home();
    add_accounts(home.path());
    let server = Server::start(home.path());
    // Whoever has added the accounts has not written that it ended.
    server.expects(rejoin::ops::event::RECOVERED);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut clients = log_all_in(&server).await;
        let clock = HostClock::start();
        let mut took = Vec::new();
        for turn in 0..LISTS {
            let client = &mut clients[turn * CROWD / LISTS];
            let asked = clock.now();
            let reply = ask(client, Typed::List).await;
            took.push(clock.now().since(asked));
            assert_eq!(reply.users.map(|rows| rows.len()), Some(CROWD));
        }
        took.sort_unstable();
        let median = took[LISTS / 2];
        assert!(median < LIST_MAX, "{took:?}");
    });
}

async fn log_all_in(server: &Server) -> Vec<ClientHandle> {
    let seams = Seams {
        worker: Arc::new(HostWorker),
        net: Arc::new(HostNet),
        disk: Arc::new(HostDisk),
        clock: Arc::new(HostClock::start()),
        entropy: Arc::new(HostEntropy),
        provider: tls::provider(),
    };
    let config = |number: usize| Config {
        address: server.address().parse().unwrap(),
        state: server.dir.join("clients").join(number.to_string()),
        ca: None,
        trust_new: false,
        interactive: false,
        certs: server.dir.join("no-certs"),
        user: None,
        direct: false,
        peer_listen: "127.0.0.1:0".parse().unwrap(),
        peer_advertise: Vec::new(),
    };
    let mut clients: Vec<ClientHandle> = Vec::new();
    for number in 0..CROWD {
        let client = start(config(number), seams.clone()).unwrap();
        client.commands.send(Order::Typed(Typed::Login(name(number), password()))).await.unwrap();
        clients.push(client);
        if clients.len().is_multiple_of(AT_ONCE) {
            for client in &mut clients[number + 1 - AT_ONCE..] {
                let reply = reply(client).await;
                assert!(reply.ok, "{reply:?}");
            }
        }
    }
    const { assert!(CROWD.is_multiple_of(AT_ONCE), "all have been waited for") };
    clients
}

async fn ask(client: &mut ClientHandle, typed: Typed) -> Reply {
    client.commands.send(Order::Typed(typed)).await.unwrap();
    reply(client).await
}

async fn reply(client: &mut ClientHandle) -> Reply {
    let look = async {
        loop {
            if let Event::Reply(reply) = client.events.recv().await.expect("the client has ended") {
                return reply;
            }
        }
    };
    timeout(PATIENCE, look).await.expect("the reply comes in time")
}

/// Accounts written down as facts, so that only logins are hashed.
fn add_accounts(dir: &Path) {
    let keys = ServerKeys::load_or_make(&dir.join("certs"), &HostEntropy).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(HostDisk);
    let settings = store::Settings::new(keys.id().0, 1);
    let mut journal = store::recover::<State>(&disk, &dir.join("state"), &settings).unwrap().journal;
    let hash = hash_now(&password(), &HostEntropy);
    let account = |number: usize| Fact::AccountAdded {
        user: UserId((number as u128 + 1).to_be_bytes()),
        name: name(number),
        password: hash.clone(),
        origin: None,
        points: 0,
        at: WallMs(0),
    };
    journal.append(&[(0..CROWD).map(account).collect()]).unwrap();
}

fn name(number: usize) -> Name {
    Name::new(&format!("player-{number}")).unwrap()
}

fn password() -> Password {
    Password::new(PASSWORD).unwrap()
}
