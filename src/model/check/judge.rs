//! What must be true at every moment, and of what every moment comes to in the end.

use super::ending::End;
use super::item::{Item, digest};
use super::server::evidence;
use super::world::{World, number};
use super::{Row, cast, fared};
use crate::model::client::table::Table;
use crate::model::evidence::Keeper;
use crate::model::games::Seat;
use crate::model::statement::Ruling;
use crate::model::transcript::Transcript;

/// The server among the keepers.
const SERVER: u8 = 1 << 4;

impl Row {
    /// Brings the log up to date, and finds the first thing that is wrong.
    pub(super) fn judge(&self, before: &World, now: &mut World) {
        let lost = before.losses != now.losses;
        let bad = self
            .step_faults(before, now, lost)
            .or_else(|| self.acknowledge(before, now, lost))
            .or_else(|| self.record(now))
            .or_else(|| self.end_faults(now));
        now.bad = bad;
    }

    fn honest(&self, seat: Seat) -> bool {
        self.cheat != Some(seat)
    }

    fn step_faults(&self, before: &World, now: &World, lost: bool) -> Option<&'static str> {
        if let Err(why) = now.server.sound {
            return Some(why);
        }
        if now.clients.iter().flatten().any(|client| !client.faithful) {
            return Some("the file does not say what the memory says");
        }
        let convicts = |seat: Seat| {
            let held = now.clients.iter().flatten().map(|client| &client.it.table.evidence);
            held.chain(evidence(&now.server)).any(|evidence| evidence.fouls[seat.index()].is_some())
                || now.server.ruling() == Some(Ruling::Foul { by: seat })
                || now.server.ruling() == Some(Ruling::Void)
        };
        if Seat::BOTH.into_iter().any(|seat| self.honest(seat) && convicts(seat)) {
            return Some("an honest player is convicted");
        }
        let (old, new) = (before.server.ruling(), now.server.ruling());
        if !lost && old.is_some() && old != new {
            let foul = self.cheat.is_some_and(|by| new == Some(Ruling::Foul { by }));
            if !foul {
                return Some("a verdict changes without a foul");
            }
        }
        let epoch = |world: &World| world.server.game().map(|of| of.grant().epoch);
        if !lost && old.is_some() && epoch(now) > epoch(before) {
            return Some("a key is changed in a match that has a verdict");
        }
        None
    }

    /// Acknowledged is what an honest opponent or the server has signed for.
    fn acknowledge(&self, before: &World, now: &mut World, lost: bool) -> Option<&'static str> {
        let new = now.pool.items.iter().filter(|(number, _)| !before.pool.items.contains_key(number));
        let mut acked: Vec<(u64, u16)> = Vec::new();
        for (_, item) in new {
            let (by, plies) = match item {
                Item::Held(Keeper::Server, held) => (None, (held.body.plies, Some(held.body.head))),
                Item::Held(Keeper::Player(seat), held) => (Some(*seat), (held.body.plies, Some(held.body.head))),
                Item::Entry(entry) => (Some(entry.body.seat), (entry.body.ply, Some(entry.body.prev))),
                _ => continue,
            };
            if by.is_some_and(|seat| !self.honest(seat)) {
                continue;
            }
            let Some(chain) = holding(now, by, plies.0, plies.1) else { continue };
            let entries = chain.entries_from(0).into_iter().take(usize::from(plies.0));
            let counts = |seat: Seat| self.honest(seat) && by != Some(seat);
            acked.extend(
                entries
                    .filter(|entry| counts(entry.body().seat))
                    .map(|entry| (digest(entry.signed().signature), entry.body().ply)),
            );
        }
        for (entry, ply) in acked {
            now.log.acked.entry(entry).or_insert((ply, 0));
        }
        let keepers = keepers(now);
        let log = &mut now.log;
        for (entry, (_, mask)) in &mut log.acked {
            for (bit, held) in &keepers {
                match held {
                    Some(held) if held.contains(entry) => *mask |= bit,
                    Some(_) if lost && *bit == SERVER => *mask &= !bit,
                    Some(_) => {}
                    None => *mask &= !bit,
                }
            }
        }
        let standing: Vec<u16> = log.acked.values().filter(|(_, mask)| *mask != 0).map(|(ply, _)| *ply).collect();
        let twice = (1..standing.len()).any(|at| standing[..at].contains(&standing[at]));
        twice.then_some("two acknowledged moves at one ply")
    }

    /// What the players are shown.
    fn record(&self, now: &mut World) -> Option<&'static str> {
        for who in 0..4 {
            let Some(client) = now.clients[who].clone() else { continue };
            let (seat, at) = (cast::seat_of(who), who % 2);
            if let Some(ruling) = client.it.table.recorded() {
                let new = number(Some(ruling));
                let old = now.log.recorded[at].filter(|old| Some(*old) != new);
                if old.is_some() && (self.cheat.is_none() || fared(new, seat) < fared(old, seat)) {
                    return Some("a result shown as recorded changes");
                }
                now.log.recorded[at] = new;
            }
            let table = self.with_receipts(now, who);
            // Who changes devices has lost a keeper: against a liar only what is kept survives that.
            let moved = self.cheat.is_some() && (self.device[at] || superseded(now, who));
            if table.key().is_some() && table.is_agreed() && !moved {
                let new = number(table.evidence.verdict());
                if now.log.agreed[at].is_some_and(|old| Some(old) != new) && self.cheat.is_none() {
                    return Some("a result shown as agreed changes");
                }
                now.log.agreed[at] = new;
            }
            if self.cheat.is_none() && table.key().is_some() && !self.has_seen(now, &table) {
                return Some("a move shown as seen is not on the device that holds the seat");
            }
        }
        let [x, o] = now.log.recorded;
        let differ = self.cheat.is_none() && x.is_some() && o.is_some() && x != o;
        differ.then_some("the players are shown different results as recorded")
    }

    /// The table once every receipt under way has arrived.
    fn with_receipts(&self, now: &World, who: usize) -> Table {
        let mut local = now.clients[who].clone().expect("the caller has looked");
        for (number, item) in now.pool.items.iter().filter(|(_, item)| matches!(item, Item::Held(..))) {
            if let Some(stepped) = self.item_step(&local, *number, item, None) {
                local = stepped.local.clone();
            }
        }
        local.it.table.clone()
    }

    /// Whether what is shown as seen is on the disk of the device that has the opponent's seat, if there is one.
    fn has_seen(&self, now: &World, table: &Table) -> bool {
        let key = table.opponent_key();
        let Some(holder) = (0..4).find(|who| cast::key_of(*who).public() == *key) else { return true };
        let Some(theirs) = now.clients[holder].as_ref().map(|client| &client.it.table) else { return true };
        let seen = table.seen();
        let has = |ply: u16| table.evidence.chain.entry(ply) == theirs.evidence.chain.entry(ply);
        // A device that is left keeps its file; one that has not got its seat yet has none.
        seen == 0 || superseded(now, holder) || theirs.key().is_some() && has(seen - 1)
    }

    fn end_faults(&self, now: &World) -> Option<&'static str> {
        let ending = self.ending_of(now);
        if ending.bad.is_some() {
            return ending.bad;
        }
        ending.ends.iter().find_map(|end| self.faults_of(now, end))
    }

    fn faults_of(&self, now: &World, end: &End) -> Option<&'static str> {
        let verdict = number(end.verdict);
        let caught = self.cheat.is_some_and(|by| end.verdict == Some(Ruling::Foul { by }));
        // If both change devices, only the server's moves are sure.
        let sure = if self.device == [true; 2] { SERVER } else { u8::MAX };
        let lost = |(entry, (_, mask)): (&u64, &(u16, u8))| mask & sure != 0 && !end.chain.contains(entry);
        if !caught && now.log.acked.iter().any(lost) {
            return Some("an acknowledged move is lost");
        }
        for seat in Seat::BOTH {
            let worse = |told: Option<u8>| {
                told.is_some()
                    && told != verdict
                    && (self.cheat.is_none() || verdict.is_none() || fared(verdict, seat) < fared(told, seat))
            };
            if worse(now.log.recorded[seat.index()]) {
                return Some("a result shown as recorded does not stand");
            }
            if worse(now.log.agreed[seat.index()]) {
                return Some("a result shown as agreed does not stand");
            }
        }
        None
    }
}

/// The chain that a statement speaks of: of the server, or of a device in the seat.
fn holding(now: &World, by: Option<Seat>, plies: u16, head: Option<crate::model::key::Hash>) -> Option<&Transcript> {
    let devices = (0..4).filter(|who| by.is_none_or(|seat| cast::seat_of(*who) == seat));
    let devices = devices.filter_map(|who| now.clients[who].as_ref()).map(|client| &client.it.table.evidence.chain);
    let server = evidence(&now.server).filter(|_| by.is_none()).map(|evidence| &evidence.chain);
    server.into_iter().chain(devices).find(|chain| chain.head_at(plies) == head)
}

/// What each keeper that is in office holds; a device whose seat another one has by the newest grant is lost, and so is
/// one without a key.
fn keepers(now: &World) -> Vec<(u8, Option<Vec<u64>>)> {
    let held = |chain: &Transcript| chain.links().iter().map(|link| digest(link.signature)).collect::<Vec<_>>();
    let server = evidence(&now.server).map_or_else(Vec::new, |evidence| held(&evidence.chain));
    let mut all = vec![(SERVER, Some(server))];
    for who in 0..4 {
        let in_office =
            now.clients[who].as_ref().filter(|client| client.it.table.key().is_some() && !superseded(now, who));
        all.push((1 << who, in_office.map(|client| held(&client.it.table.evidence.chain))));
    }
    all
}

/// Whether another device has its seat by the newest grant.
fn superseded(now: &World, who: usize) -> bool {
    let (epoch, key) = (now.newest_epoch(), cast::key_of(who).public());
    let newest = now.pool.items.values().filter_map(|item| match item {
        Item::Grant(grant) if grant.body.epoch == epoch => Some(&grant.body),
        _ => None,
    });
    !newest.into_iter().any(|grant| grant.keys[who % 2] == key)
}
