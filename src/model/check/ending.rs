//! What everything comes to once all that are honest can reach each other: the real exchange of `Have`s and answers,
//! again and again, until nothing changes any more.

use std::collections::VecDeque;

use super::cast::{MATCH, USERS, key_of, seat_of};
use super::client::{Input, Local};
use super::item::Item;
use super::server::{self, Server};
use super::world::World;
use super::{Mutant, Row};
use crate::model::games::Seat;
use crate::model::message::{Have, KeeperMessage, ToClient};
use crate::model::statement::Ruling;

/// Rounds of everybody with everybody before they must be done.
const ROUNDS_MAX: usize = 30;
/// Messages in one exchange before it must be done.
const MESSAGES_MAX: usize = 200;

/// The ends of it in both orders.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) ends: Vec<End>,
    pub(super) bad: Option<&'static str>,
}

/// One end of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct End {
    pub(super) verdict: Option<Ruling>,
    /// The entries that everybody holds, by the numbers of their signatures.
    pub(super) chain: Vec<u64>,
}

/// Who is there.
#[derive(Clone)]
struct Here {
    server: Server,
    clients: [Option<Local>; 4],
    lost: bool,
}

/// Two that can reach each other.
#[derive(Clone, Copy)]
enum Link {
    Server(usize),
    Peers(usize, usize),
}

impl Row {
    /// In two opposite orders.
    pub(super) fn ending(&self, world: &World) -> Ending {
        let here = Here { server: world.server.clone(), clients: world.clients.clone(), lost: world.losses > 0 };
        let there: Vec<usize> = (0..4).filter(|who| world.clients[*who].is_some()).collect();
        let mut links: Vec<Link> = there.iter().map(|who| Link::Server(*who)).collect();
        for one in there.iter().filter(|who| *who % 2 == 0) {
            links.extend(there.iter().filter(|who| *who % 2 == 1).map(|other| Link::Peers(*one, *other)));
        }
        // Whether the last move of a device that is being left comes before the grant is for the network to say.
        let moving = world.clients.iter().flatten().any(|client| client.it.table.key().is_none());
        let forth = self.complete(here.clone(), &links);
        links.reverse();
        let back = self.complete(here, &links);
        let ends = [forth, back].into_iter().map(|end| end.and_then(|here| self.look(&here)));
        match ends.collect::<Result<Vec<End>, _>>() {
            Ok(ends) => {
                let bad = (!moving && ends[0] != ends[1]).then_some("the order of arrival matters");
                Ending { ends, bad }
            }
            Err(bad) => Ending { ends: Vec::new(), bad: Some(bad) },
        }
    }

    fn complete(&self, mut here: Here, links: &[Link]) -> Result<Here, &'static str> {
        let prints = |here: &Here| {
            (here.server.print, here.clients.each_ref().map(|client| client.as_ref().map(|client| client.print)))
        };
        for _ in 0..ROUNDS_MAX {
            let before = prints(&here);
            for link in links {
                match *link {
                    Link::Server(who) => self.with_server(&mut here, who)?,
                    Link::Peers(one, other) => self.with_peer(&mut here, one, other)?,
                }
            }
            if prints(&here) == before {
                return Ok(here);
            }
        }
        Err("it does not come to rest")
    }

    /// A new connection of a device to the server, until nobody has anything more to say.
    fn with_server(&self, here: &mut Here, who: usize) -> Result<(), &'static str> {
        let seat = seat_of(who);
        let state = here.server.it.state();
        let known = state.account(USERS[who % 2]).is_some_and(|account| account.open.contains(&MATCH));
        let Some(client) = &here.clients[who] else { return Ok(()) };
        // That the server has lost state shows in some match or other.
        let asks_for_all = state.lost().is_some() || here.lost;
        if client.it.table.is_finished() && !known && !asks_for_all {
            return Ok(());
        }
        if who >= 2 && client.it.table.key().is_none() {
            let wants = here
                .server
                .game()
                .is_some_and(|of| of.ruling.is_none() && of.asked[seat.index()] != Some(key_of(who).public()));
            if wants {
                here.server = self.server_step(&here.server, &server::Input::TakeSeat(who)).server.clone();
            }
        }
        let mut have = client.it.table.have();
        if let (KeeperMessage::Have(have), Some(Mutant::StaleHaveCounts)) = (&mut have, self.mutant) {
            *have = Have { epoch: have.epoch.max(here.server.have().epoch), ..*have };
        }
        let (mut up, mut down) = (VecDeque::from([server::Input::Keeper(seat, have)]), VecDeque::new());
        for _ in 0..MESSAGES_MAX {
            if let Some(input) = up.pop_front() {
                let stepped = self.server_step(&here.server, &input);
                here.server = stepped.server.clone();
                down.extend(stepped.out.iter().filter(|(to, _)| *to == seat).map(|(_, message)| message.clone()));
                continue;
            }
            let input = match down.pop_front() {
                Some(ToClient::Keeper(message)) => Input::Keeper(message),
                Some(ToClient::PromiseWanted { epoch, .. }) => Input::Wanted(epoch),
                Some(_) => continue,
                None => return Ok(()),
            };
            let Some(client) = &here.clients[who] else { return Ok(()) };
            let stepped = self.client_step(client, &input, None);
            here.clients[who] = Some(stepped.local.clone());
            up.extend(stepped.out.iter().map(|message| server::Input::Keeper(seat, message.clone())));
            up.extend(stepped.stored.iter().filter_map(|item| match item {
                Item::Stored(seat, ruling) => Some(server::Input::Stored(*seat, *ruling)),
                _ => None,
            }));
        }
        Err("a device and the server never stop talking")
    }

    /// A new connection of two devices.
    fn with_peer(&self, here: &mut Here, one: usize, other: usize) -> Result<(), &'static str> {
        let have = |who: usize| here.clients[who].as_ref().map(|client| client.it.table.have());
        let mut queue: VecDeque<(usize, KeeperMessage)> =
            [(one, have(other)), (other, have(one))].into_iter().filter_map(|(to, have)| Some((to, have?))).collect();
        for _ in 0..MESSAGES_MAX {
            let Some((to, message)) = queue.pop_front() else { return Ok(()) };
            let Some(client) = &here.clients[to] else { continue };
            let stepped = self.client_step(client, &Input::Keeper(message), None);
            here.clients[to] = Some(stepped.local.clone());
            let from = if to == one { other } else { one };
            queue.extend(stepped.out.iter().map(|message| (from, message.clone())));
        }
        Err("two devices never stop talking")
    }

    /// Whether all is as it must be in the end.
    fn look(&self, here: &Here) -> Result<End, &'static str> {
        let verdict = here.server.ruling();
        let there: Vec<&Local> = here.clients.iter().flatten().collect();
        let chain_of = |links: &[crate::model::transcript::Link]| -> Vec<u64> {
            links.iter().map(|link| super::item::digest(link.signature)).collect()
        };
        // Who has no file keeps nothing.
        let files = there.iter().filter(|client| client.it.keeps());
        let mut chains: Vec<Vec<u64>> = files.map(|client| chain_of(client.it.table.evidence.chain.links())).collect();
        chains.extend(server::evidence(&here.server).map(|evidence| chain_of(evidence.chain.links())));
        let chain = chains.last().cloned().unwrap_or_default();
        match self.faults(here, verdict, &there, &chains) {
            Some(bad) => Err(bad),
            None => Ok(End { verdict, chain }),
        }
    }

    fn faults(
        &self,
        here: &Here,
        verdict: Option<Ruling>,
        there: &[&Local],
        chains: &[Vec<u64>],
    ) -> Option<&'static str> {
        if let Err(why) = here.server.sound {
            return Some(why);
        }
        // A cheat may have given each another history that ends alike.
        let forked = verdict.is_some() && self.cheat.is_some();
        if !forked && chains.windows(2).any(|pair| pair[0] != pair[1]) {
            return Some("histories do not converge");
        }
        if verdict.is_some() {
            // A player with two devices is told on one of them.
            let told = |seat: Seat| {
                let mut devices = there.iter().filter(|client| client.it.seat() == seat);
                devices.any(|client| client.it.table.recorded() == verdict) || self.cheat == Some(seat)
            };
            return (!Seat::BOTH.into_iter().all(told)).then_some("a player never gets the verdict");
        }
        if there.iter().any(|client| client.it.keeps() && client.it.table.evidence.verdict().is_some()) {
            return Some("a decided match gets no verdict");
        }
        let both = self.cheat.is_none();
        if both && there.iter().any(|client| client.it.table.promised().is_some()) {
            return Some("a promise is never released");
        }
        for seat in Seat::BOTH {
            let signing = there.iter().filter(|client| client.it.seat() == seat && client.it.table.signs()).count();
            if both && signing != 1 || signing > 1 {
                return Some("not exactly one device of a seat may sign");
            }
        }
        None
    }
}
