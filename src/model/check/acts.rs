//! What can happen next.

use super::cast::{MATCH, act, key_of, server_key};
use super::client::Input;
use super::item::Item;
use super::world::{Act, World};
use super::{Loss, Row};
use crate::model::evidence::Keeper;
use crate::model::games::Seat;
use crate::model::key::ServerId;
use crate::model::sign::{Signed, Verified};
use crate::model::statement::{Entry, Held, Promise};
use crate::model::time::WallMs;
use crate::model::transcript::Transcript;

impl Row {
    pub(super) fn acts(&self, world: &World, acts: &mut Vec<Act>) {
        for who in (0..4).filter(|who| world.clients[*who].is_some()) {
            self.of_device(world, who, acts);
        }
        for (number, item) in world.pool.items.iter() {
            match item {
                Item::Entry(_) | Item::Proofs(_) | Item::Promise(..) => acts.push(Act::Bring { item: *number }),
                Item::Stored(..) if self.retire => acts.push(Act::Bring { item: *number }),
                // Grants are shown by who holds them; the server keeps no receipts.
                Item::Stored(..) | Item::Grant(_) | Item::Held(..) | Item::Verdict(_) | Item::Wanted(..) => {}
            }
        }
        for at in 0..2 {
            if self.device[at] && world.clients[at + 2].is_none() && world.clients[at].is_some() {
                acts.push(Act::Device { who: at + 2 });
            }
            if self.wipe[at] && world.clients[at].is_some() && world.wipes == 0 {
                acts.push(Act::Wipe { who: at });
            }
        }
        if self.restart && world.losses > 0 {
            acts.push(Act::Restart);
        }
        match self.loss.filter(|_| world.losses == 0) {
            Some(Loss::Wiped) => acts.push(Act::WipeServer),
            Some(Loss::Restored) if world.copy.is_none() => acts.push(Act::Copy),
            Some(Loss::Restored) => acts.push(Act::Restore),
            None => {}
        }
        if let Some(cheat) = self.cheat {
            self.of_cheat(world, cheat, acts);
        }
    }

    fn of_device(&self, world: &World, who: usize, acts: &mut Vec<Act>) {
        let Some(client) = &world.clients[who] else { return };
        let table = &client.it.table;
        let chain = &table.evidence.chain;
        let turn = chain.turn() == Some(client.it.seat());
        let mut choices: Vec<u8> = Vec::new();
        if turn && table.key().is_some() {
            // The first move is the same by symmetry.
            let moves = if chain.plies() >= self.plies {
                0
            } else if chain.plies() == 0 && who == 0 {
                1
            } else {
                2
            };
            choices.extend(0..moves);
            choices.extend((self.resign && chain.plies() < self.plies).then_some(2));
        }
        if self.wish && !turn && chain.turn().is_some() && table.key().is_some() {
            choices.push(3);
        }
        for choice in choices {
            let cuts = self.crash.then(|| self.client_step(client, &Input::Play(choice), None).cuts);
            acts.extend(places(cuts).map(|cut| Act::Play { who, choice, cut }));
        }
        for (number, item) in world.pool.items.iter() {
            let hears = match item {
                Item::Entry(_) | Item::Grant(_) | Item::Proofs(_) | Item::Verdict(_) => true,
                Item::Held(..) => self.receipts,
                Item::Wanted(seat, _) => *seat == client.it.seat(),
                Item::Promise(..) | Item::Stored(..) => false,
            };
            if hears {
                let cuts = if self.crash {
                    self.item_step(client, *number, item, None).map(|stepped| stepped.cuts)
                } else {
                    None
                };
                acts.extend(places(cuts).map(|cut| Act::Deliver { who, item: *number, cut }));
            }
        }
        acts.extend([Act::Greet { who }, Act::Hear { who }]);
        if self.crash || self.loss.is_some() {
            let others = (0..4).filter(|from| from % 2 != who % 2 && world.clients[*from].is_some());
            acts.extend(others.map(|from| Act::Meet { who, from }));
        }
        if self.crash {
            acts.push(Act::Crash { who });
        }
        if who >= 2 && table.key().is_none() {
            acts.push(Act::TakeSeat { who });
        }
    }

    fn of_cheat(&self, world: &World, cheat: Seat, acts: &mut Vec<Act>) {
        if self.loss.is_some() {
            acts.extend((1..=world.newest_epoch()).map(|epoch| Act::Show { epoch }));
        }
        if self.retire && world.server.ruling().is_some() {
            acts.push(Act::CheatStored);
        }
        if world.signed >= self.signs {
            return;
        }
        let wanted = world.pool.items.values().any(|item| matches!(item, Item::Wanted(seat, _) if *seat == cheat));
        for line in self.lines(world).iter() {
            for item in self.forgeries(line, cheat, wanted) {
                if !world.pool.items.contains_key(&item.number()) {
                    acts.push(Act::Sign(Box::new(item)));
                }
            }
        }
    }

    /// What the cheat can sign about one line of play.
    fn forgeries(&self, line: &Transcript, cheat: Seat, wanted: bool) -> Vec<Item> {
        let (key, server) = (key_of(cheat.index()), ServerId::of(&server_key().public()));
        let mut items = Vec::new();
        let grant = line.grant();
        if line.turn() == Some(cheat) && line.plies() < self.plies {
            let choices = if self.resign { 3 } else { 2 };
            for act in (0..choices).filter_map(|choice| act(line, choice)) {
                let entry: Entry = line.next_entry(act, WallMs(0));
                items.push(Item::Entry(Signed::by(&key, &server, entry)));
            }
        }
        let head = line.head();
        if line.plies() > 0 && Seat::at(line.plies() - 1) != cheat {
            let held = Held { match_id: MATCH, epoch: grant.epoch, plies: head.plies, head: head.head };
            items.push(Item::Held(Keeper::Player(cheat), Signed::by(&key, &server, held)));
        }
        if wanted {
            let promise = Promise { match_id: MATCH, epoch: grant.epoch + 1, head };
            items.push(Item::Promise(cheat, Signed::by(&key, &server, promise)));
        }
        items
    }

    /// Every line of play that what is in the pool makes.
    fn lines(&self, world: &World) -> std::sync::Arc<Vec<Transcript>> {
        self.memo(
            |memo| &mut memo.lines,
            world.pool.print,
            || {
                let mut lines = vec![Transcript::new(super::cast::first_grant()).unwrap()];
                let mut at = 0;
                while at < lines.len() {
                    for item in world.pool.items.values() {
                        let mut longer = lines[at].clone();
                        let grown = match item {
                            Item::Entry(entry) => longer.push(&Verified::from_disk(entry.clone())).is_ok(),
                            Item::Grant(grant) => longer.regrant(&Verified::from_disk(grant.clone())).is_ok(),
                            _ => false,
                        };
                        if grown && !lines.contains(&longer) {
                            lines.push(longer);
                        }
                    }
                    at += 1;
                }
                lines
            },
        )
    }
}

/// Where a device may crash in a step: nowhere, or, if that is looked at, after so many of its effects.
fn places(cuts: Option<u8>) -> impl Iterator<Item = Option<u8>> {
    std::iter::once(None).chain(cuts.into_iter().flat_map(|cuts| (0..=cuts).map(Some)))
}
