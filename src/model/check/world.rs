//! One moment of everything: two players' devices, the server, what is under way, and what was promised to whom.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::client::{self, Client, Local};
use super::item::{Item, Pool, digest};
use super::server::{self, Server};
use super::{Row, ruling_number};
use crate::model::games::Seat;
use crate::model::message::{Have, KeeperMessage, ToClient};
use crate::model::statement::Ruling;

/// One moment.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) server: Server,
    /// X, O, another device of X, another of O.
    pub(super) clients: [Option<Local>; 4],
    pub(super) pool: Pool,
    /// A copy of the server's state, taken at some time.
    pub(super) copy: Option<Server>,
    /// How often the server has lost state.
    pub(super) losses: u8,
    /// How many statements the cheat has signed.
    pub(super) signed: u8,
    /// How many wipes there were.
    pub(super) wipes: u8,
    pub(super) log: Log,
    /// The first thing that is not as it must be.
    pub(super) bad: Option<&'static str>,
}

/// What players were told, which must stay true.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Log {
    /// Acknowledged entries, by the number of their signature: at which ply, and which keepers have had them on disk
    /// and are not lost since (a bit for each device, one for the server).
    pub(super) acked: BTreeMap<u64, (u16, u8)>,
    /// The newest result shown as recorded to X and O.
    pub(super) recorded: [Option<u8>; 2],
    /// The newest result shown as agreed to X and O.
    pub(super) agreed: [Option<u8>; 2],
}

/// What can happen next.
#[derive(Clone, PartialEq)]
pub(super) enum Act {
    /// A device plays, and crashes after so many of the effects.
    Play { who: usize, choice: u8, cut: Option<u8> },
    /// An item reaches a device.
    Deliver { who: usize, item: u64, cut: Option<u8> },
    /// An item reaches the server.
    Bring { item: u64 },
    /// A device says what it has to the server, and gets what it lacks.
    Greet { who: usize },
    /// The server says what it has to a device, and gets what it lacks.
    Hear { who: usize },
    /// Another device says what it has.
    Meet { who: usize, from: usize },
    /// A newcomer asks for its seat.
    TakeSeat { who: usize },
    /// The player sits down at another device; the first one goes on.
    Device { who: usize },
    /// The match file is lost, and the key with it.
    Wipe { who: usize },
    /// The program is started again.
    Crash { who: usize },
    /// The server is started again.
    Restart,
    /// The server loses all but the accounts.
    WipeServer,
    /// The server's state is copied.
    Copy,
    /// The server is restored from the copy.
    Restore,
    /// The cheat signs something.
    Sign(Box<Item>),
    /// The cheat says that it knows this epoch, and shows its grants.
    Show { epoch: u32 },
    /// The cheat says that it has stored the verdict.
    CheatStored,
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.print() == other.print()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, to: &mut H) {
        self.print().hash(to);
    }
}

impl World {
    /// Tells this moment from every other.
    pub(super) fn print(&self) -> u64 {
        let clients = self.clients.each_ref().map(|client| client.as_ref().map(|client| client.print));
        let copy = self.copy.as_ref().map(|copy| copy.print);
        let counts = (self.losses, self.signed, self.wipes, self.bad);
        digest((self.server.print, clients, self.pool.print, copy, counts, &self.log))
    }

    /// The newest epoch that anybody can know.
    pub(super) fn newest_epoch(&self) -> u32 {
        let epochs =
            self.pool.items.values().map(|item| if let Item::Grant(grant) = item { grant.body.epoch } else { 0 });
        epochs.max().unwrap_or(0)
    }

    fn spread(&mut self, by: Option<Seat>, messages: &[KeeperMessage]) {
        for item in messages.iter().flat_map(|message| Item::all_of(message, by)) {
            self.pool.add(item);
        }
    }

    /// The server has lost state, and its connections.
    fn lose(&mut self) {
        self.losses += 1;
        let held: Vec<_> =
            self.clients.iter().flatten().map(|client| client.it.table.evidence.chain.grants()).collect();
        let stays = |item: &Item| match item {
            Item::Grant(grant) => held.iter().any(|grants| grants.contains(grant)),
            Item::Wanted(..) => false,
            _ => true,
        };
        self.pool.forget(stays);
    }

    /// What came of a step of a device.
    fn take_step(&mut self, who: usize, stepped: &client::Stepped) {
        self.clients[who] = Some(stepped.local.clone());
        self.spread(Some(super::cast::seat_of(who)), &stepped.out);
        stepped.stored.iter().for_each(|item| {
            self.pool.add(item.clone());
        });
    }

    /// What the server says to somebody who may not be there just then.
    pub(super) fn take_out(&mut self, to: Seat, message: &ToClient) {
        match message {
            ToClient::Keeper(message) => self.spread(None, std::slice::from_ref(message)),
            ToClient::PromiseWanted { epoch, .. } => {
                self.pool.add(Item::Wanted(to, *epoch));
            }
            _ => {}
        }
    }
}

impl Row {
    /// The world after an act, before it is judged; `None` if nothing changes.
    pub(super) fn after(&self, before: &World, act: &Act) -> Option<World> {
        let mut world = before.clone();
        match act {
            Act::Play { who, choice, cut } => {
                let input = client::Input::Play(*choice);
                if !self.at(&mut world, *who, &input, *cut) {
                    return None;
                }
            }
            Act::Deliver { who, item, cut } => {
                let client = before.clients[*who].as_ref()?;
                let stepped = self.item_step(client, *item, &before.pool.items[item], *cut)?;
                world.take_step(*who, &stepped);
            }
            Act::Bring { item } => {
                let input = match &before.pool.items[item] {
                    Item::Stored(seat, ruling) => server::Input::Stored(*seat, *ruling),
                    Item::Promise(seat, promise) => {
                        server::Input::Keeper(*seat, KeeperMessage::Promise(promise.clone()))
                    }
                    item => server::Input::Keeper(Seat::X, item.message()?),
                };
                self.at_server(&mut world, &input, None);
            }
            Act::Greet { who } => {
                let seat = super::cast::seat_of(*who);
                let input = server::Input::Keeper(seat, self.have_of(&world, *who));
                self.at_server(&mut world, &input, Some(*who));
            }
            Act::Hear { who } => {
                let have = world.server.have();
                self.answer(&mut world, *who, have);
            }
            Act::Meet { who, from } => {
                let KeeperMessage::Have(have) = world.clients[*from].as_ref()?.it.table.have() else { return None };
                self.at(&mut world, *who, &client::Input::Keeper(KeeperMessage::Have(have)), None);
            }
            Act::TakeSeat { who } => {
                self.at_server(&mut world, &server::Input::TakeSeat(*who), None);
            }
            Act::Device { who } => world.clients[*who] = Some(Client::newcomer(*who, None)),
            Act::Wipe { who } => {
                world.clients[*who] = None;
                world.clients[*who + 2] = Some(Client::newcomer(*who + 2, self.mutant));
                world.wipes += 1;
            }
            Act::Crash { who } => {
                self.at(&mut world, *who, &client::Input::Crash, None);
            }
            Act::Restart => {
                self.at_server(&mut world, &server::Input::Restart, None);
            }
            Act::WipeServer => {
                world.server = Server::wiped();
                world.lose();
            }
            Act::Copy => world.copy = Some(world.server.clone()),
            Act::Restore => {
                world.server = world.copy.take()?.restored();
                world.lose();
            }
            Act::Sign(item) => {
                world.pool.add((**item).clone());
                world.signed += 1;
            }
            Act::Show { epoch } => self.show(&mut world, *epoch),
            Act::CheatStored => {
                world.pool.add(Item::Stored(self.cheat?, world.server.ruling()?));
            }
        }
        (world.print() != before.print()).then_some(world)
    }

    /// What a device says it has.
    pub(super) fn have_of(&self, world: &World, who: usize) -> KeeperMessage {
        let have = world.clients[who].as_ref().map(|client| client.it.table.have());
        match have.expect("the device is there") {
            KeeperMessage::Have(have) if self.mutant == Some(super::Mutant::StaleHaveCounts) => {
                KeeperMessage::Have(Have { epoch: have.epoch.max(world.server.have().epoch), ..have })
            }
            have => have,
        }
    }

    /// The server's `Have` at a device; what history it shows reaches the server at once, the rest some time.
    fn answer(&self, world: &mut World, who: usize, have: Have) {
        let Some(client) = &world.clients[who] else { return };
        let stepped = self.client_step(client, &client::Input::Keeper(KeeperMessage::Have(have)), None);
        let seat = super::cast::seat_of(who);
        world.clients[who] = Some(stepped.local.clone());
        world.spread(Some(seat), &stepped.out);
        for message in &stepped.out {
            if let KeeperMessage::Entries(_) = message {
                self.at_server(world, &server::Input::Keeper(seat, message.clone()), None);
            }
        }
    }

    /// The cheat shows the grants it knows, and says it has this epoch.
    fn show(&self, world: &mut World, epoch: u32) {
        let Some(seat) = self.cheat else { return };
        let mut grants: Vec<_> = world
            .pool
            .items
            .values()
            .filter_map(|item| if let Item::Grant(grant) = item { Some(grant.clone()) } else { None })
            .collect();
        grants.retain(|grant| grant.body.epoch <= epoch);
        grants.sort_by_key(|grant| grant.body.epoch);
        let entries = crate::model::message::Entries { match_id: super::cast::MATCH, grants, entries: Vec::new() };
        self.at_server(world, &server::Input::Keeper(seat, KeeperMessage::Entries(entries)), None);
        let have = Have { epoch, ..world.server.have() };
        self.at_server(world, &server::Input::Keeper(seat, KeeperMessage::Have(have)), None);
    }

    /// Whether there was anything to do.
    fn at(&self, world: &mut World, who: usize, input: &client::Input, cut: Option<u8>) -> bool {
        let Some(client) = &world.clients[who] else { return false };
        let stepped = self.client_step(client, input, cut);
        world.take_step(who, &stepped);
        stepped.done
    }

    /// An input of the server. History it sends to the device that is connected just then arrives at once.
    fn at_server(&self, world: &mut World, input: &server::Input, connected: Option<usize>) {
        let stepped = self.server_step(&world.server, input);
        world.server = stepped.server.clone();
        for (to, message) in &stepped.out {
            world.take_out(*to, message);
            let there = connected.filter(|who| super::cast::seat_of(*who) == *to);
            if let (Some(who), ToClient::Keeper(message @ KeeperMessage::Entries(_))) = (there, message) {
                self.at(world, who, &client::Input::Keeper(message.clone()), None);
            }
        }
    }
}

/// As people read it.
impl fmt::Debug for Act {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        use super::cast::DEVICES as D;
        let crash = |cut: &Option<u8>| cut.map_or(String::new(), |cut| format!(" (crash after {cut} effects)"));
        match self {
            Self::Play { who, choice: 2, cut } => write!(to, "{} resigns{}", D[*who], crash(cut)),
            Self::Play { who, choice: 3, cut } => write!(to, "{} wishes to resign{}", D[*who], crash(cut)),
            Self::Play { who, choice, cut } => write!(to, "{} plays {choice}{}", D[*who], crash(cut)),
            Self::Deliver { who, item, cut } => write!(to, "{} gets {item:x}{}", D[*who], crash(cut)),
            Self::Bring { item } => write!(to, "S gets {item:x}"),
            Self::Greet { who } => write!(to, "{} greets S", D[*who]),
            Self::Hear { who } => write!(to, "S greets {}", D[*who]),
            Self::Meet { who, from } => write!(to, "{} greets {}", D[*from], D[*who]),
            Self::TakeSeat { who } => write!(to, "{} asks for its seat", D[*who]),
            Self::Device { who } => write!(to, "{} is there", D[*who]),
            Self::Wipe { who } => write!(to, "{} is wiped", D[*who]),
            Self::Crash { who } => write!(to, "{} crashes", D[*who]),
            Self::Restart => write!(to, "S is started again"),
            Self::WipeServer => write!(to, "S is wiped"),
            Self::Copy => write!(to, "S is copied"),
            Self::Restore => write!(to, "S is restored"),
            Self::Sign(item) => write!(to, "the cheat signs {}", item.say()),
            Self::Show { epoch } => write!(to, "the cheat shows epoch {epoch}"),
            Self::CheatStored => write!(to, "the cheat has stored the verdict"),
        }
    }
}

/// Numbers of rulings, for comparing how a player fared.
pub(super) fn number(ruling: Option<Ruling>) -> Option<u8> {
    ruling.map(|ruling| ruling_number(Some(ruling)))
}
