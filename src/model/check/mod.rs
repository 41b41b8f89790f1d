//! The keeper protocol, searched exhaustively: real tables, the real engine and state, and every order in which what
//! was said can arrive, again, late, or never.
//!
//! Every statement that was ever sent lies in a pool, from which anything may reach anybody at any time. That covers
//! loss, doubling, reordering, partitions and broken connections. Each keeper is stepped by its own code; equal steps
//! are remembered. At every moment some things must hold ([`judge`]), and everything must come right once all that are
//! honest can reach each other ([`ending`]). A row is a choice of what may go wrong; a mutant is a row with a rule left
//! out, which must be seen to fail. `docs/model-check.md` has the rows that were searched, and the command.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test picks what it looks for")]

mod acts;
mod cast;
mod client;
mod ending;
mod item;
mod judge;
mod rows;
mod server;
mod tests;
mod world;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::client::{Client, Local};
use self::ending::Ending;
use self::item::{Item, Pool, digest};
use self::server::Server;
use self::world::{Act, Log, World};
use super::games::{Outcome, Seat};
use super::statement::Ruling;

/// A rule that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    KeyOutsideTheFile,
    SendBeforeSync,
    GrantsUnasked,
    TakesAfterPromise,
    SignsAfterPromise,
    BelievesTheServer,
    RecoveringSaysHeld,
    RecoveringGrants,
    GrantsAfterVerdict,
    StaleHaveCounts,
    OldReceiptsCount,
    AdoptsTheSecond,
}

/// How the server loses state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// All but the accounts.
    Wiped,
    /// It is restored from a copy taken at any time, and knows it.
    Restored,
}

/// What may happen in one search.
#[derive(Debug)]
struct Row {
    name: &'static str,
    /// Moves are made before this ply.
    plies: u16,
    resign: bool,
    /// Resigning off turn.
    wish: bool,
    /// Devices may crash, at any place.
    crash: bool,
    /// Receipts arrive one by one, not only in what is shown.
    receipts: bool,
    /// Verdicts are stored by both, and the match is filed away.
    retire: bool,
    /// Which players sit down at another device.
    device: [bool; 2],
    /// Which players lose their match file.
    wipe: [bool; 2],
    loss: Option<Loss>,
    /// The server may be started again.
    restart: bool,
    cheat: Option<Seat>,
    /// How many statements the cheat signs.
    signs: u8,
    mutant: Option<Mutant>,
    /// Not to be had by the rules as they are; the table says why.
    limit: bool,
    /// Steps after which the search is given up.
    states_max: usize,
    memo: Mutex<Memo>,
    told: AtomicBool,
}

/// Steps that were made before.
#[derive(Debug, Default)]
struct Memo {
    clients: HashMap<(u64, u64, Option<u8>), Arc<client::Stepped>>,
    servers: HashMap<(u64, u64), Arc<server::Stepped>>,
    endings: HashMap<u64, Arc<Ending>>,
    lines: HashMap<u64, Arc<Vec<super::transcript::Transcript>>>,
}

/// What a search has found.
#[derive(Debug)]
struct Found {
    name: &'static str,
    limit: bool,
    states: usize,
    depth: usize,
    exhausted: bool,
    /// What is wrong, and the shortest way there.
    violation: Option<(&'static str, Vec<String>)>,
    /// Whether somebody was shown a verdict in the search at all.
    decided: bool,
}

impl Row {
    fn memo<K: std::hash::Hash + Eq, V>(
        &self,
        map: impl Fn(&mut Memo) -> &mut HashMap<K, Arc<V>>,
        key: K,
        make: impl FnOnce() -> V,
    ) -> Arc<V> {
        let lock = || self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = map(&mut lock()).get(&key) {
            return Arc::clone(known);
        }
        let made = Arc::new(make());
        map(&mut lock()).insert(key, Arc::clone(&made));
        made
    }

    fn client_step(&self, client: &Local, input: &client::Input, cut: Option<u8>) -> Arc<client::Stepped> {
        let key = (client.print, input.number(), cut);
        self.memo(|memo| &mut memo.clients, key, || client.it.step(input, cut, self.mutant))
    }

    /// An item reaches a device; `None` if it is not for devices.
    fn item_step(&self, client: &Local, number: u64, item: &Item, cut: Option<u8>) -> Option<Arc<client::Stepped>> {
        let input = || match item {
            Item::Wanted(_, epoch) => client::Input::Wanted(*epoch),
            item => client::Input::Keeper(item.message().expect("it is for keepers")),
        };
        let hears = !matches!(item, Item::Stored(..));
        hears.then(|| {
            let key = (client.print, number, cut);
            self.memo(|memo| &mut memo.clients, key, || client.it.step(&input(), cut, self.mutant))
        })
    }

    fn server_step(&self, server: &Server, input: &server::Input) -> Arc<server::Stepped> {
        let key = (server.print, input.number());
        self.memo(|memo| &mut memo.servers, key, || server.step(input, self.mutant))
    }

    fn ending_of(&self, world: &World) -> Arc<Ending> {
        let clients = world.clients.each_ref().map(|client| client.as_ref().map(|client| client.print));
        let key = digest((world.server.print, clients, world.losses));
        self.memo(|memo| &mut memo.endings, key, || self.ending(world))
    }

    /// Searches, breadth first.
    fn search(self) -> Found {
        let (name, limit, max) = (self.name, self.limit, self.states_max);
        let failed = HasDiscoveries::AnyOf([WRONG].into());
        let checker = self.checker().threads(1).finish_when(failed).target_state_count(max).spawn_bfs().join();
        let discoveries = checker.discoveries();
        let violation = discoveries.get(WRONG).map(|path| {
            let steps = path.clone().into_vec();
            let why = steps.last().and_then(|(world, _)| world.bad).unwrap_or("?");
            let say = |(world, act): &(World, Option<Act>)| act.as_ref().map(|act| say(world, act));
            (why, steps.iter().filter_map(say).collect())
        });
        Found {
            name,
            limit,
            states: checker.unique_state_count(),
            depth: checker.max_depth(),
            exhausted: violation.is_none() && checker.state_count() < max,
            violation,
            decided: discoveries.contains_key(DECIDED),
        }
    }
}

const WRONG: &str = "all is as it must be";
const DECIDED: &str = "both are shown a verdict";

impl Model for Row {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let honest = |seat: Seat| self.cheat != Some(seat);
        let client = |seat: Seat| honest(seat).then(|| Client::seated(seat.index()));
        let mut pool = Pool::default();
        pool.add(Item::Grant(cast::first_grant()));
        vec![World {
            server: Server::granted(),
            clients: [client(Seat::X), client(Seat::O), None, None],
            pool,
            copy: None,
            losses: 0,
            signed: 0,
            wipes: 0,
            log: Log::default(),
            bad: None,
        }]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        if world.bad.is_none() {
            self.acts(world, acts);
        }
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = self.after(world, &act)?;
        self.judge(world, &mut next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            // Only the first is told of: the search overwrites what it has found.
            Property::always(WRONG, |row: &Self, world: &World| {
                world.bad.is_none() || row.told.swap(true, Ordering::Relaxed)
            }),
            Property::sometimes(DECIDED, |row: &Self, world: &World| {
                Seat::BOTH.into_iter().all(|seat| row.cheat == Some(seat) || world.log.recorded[seat.index()].is_some())
            }),
        ]
    }
}

fn say(world: &World, act: &Act) -> String {
    let name = |item: &u64| world.pool.items.get(item).map_or_else(|| format!("{item:x}"), Item::say);
    match act {
        Act::Deliver { who, item, cut } => {
            let crash = cut.map_or(String::new(), |cut| format!(" (crash after {cut} effects)"));
            format!("{} gets {}{crash}", cast::DEVICES[*who], name(item))
        }
        Act::Bring { item } => format!("S gets {}", name(item)),
        act => format!("{act:?}"),
    }
}

/// A number for a ruling.
pub(crate) const fn ruling_number(ruling: Option<Ruling>) -> u8 {
    match ruling {
        None => 0,
        Some(Ruling::Void) => 1,
        Some(Ruling::Foul { by: Seat::X }) => 2,
        Some(Ruling::Foul { by: Seat::O }) => 3,
        Some(Ruling::Resigned { by: Seat::X }) => 4,
        Some(Ruling::Resigned { by: Seat::O }) => 5,
        Some(Ruling::Board { outcome: Outcome::Win(Seat::X) }) => 6,
        Some(Ruling::Board { outcome: Outcome::Win(Seat::O) }) => 7,
        Some(Ruling::Board { outcome: Outcome::Draw }) => 8,
    }
}

/// How a player fares by the ruling of that number: 2 for a win, 0 for a loss.
fn fared(ruling: Option<u8>, seat: Seat) -> u8 {
    let winner = match ruling {
        Some(2 | 4 | 7) => Some(Seat::O),
        Some(3 | 5 | 6) => Some(Seat::X),
        _ => None,
    };
    winner.map_or(1, |winner| if winner == seat { 2 } else { 0 })
}
