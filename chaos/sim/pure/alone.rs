//! Moves that one keeper alone has: who dies as soon as one has heard of it, and who has lost the end of a match file.
//!
//! What must hold: nothing is lost of a move that its player still has on disk; the end of a file is lost only while both
//! other keepers have all that was in it on theirs.

use rejoin::model::client::table::Table;
use rejoin::model::games::Seat;
use rejoin::model::id::MatchId;
use rejoin::model::message::{Entries, KeeperMessage};
use rejoin::model::statement::Base;
use rejoin::store::{Disk, FRAME_HEAD_BYTES, HEADER_BYTES};

use super::machine::Death;
use super::net::{What, Who};
use super::strike::FOR_GOOD;
use super::world::{Task, Then, World};
use crate::sim::plan::Host;

/// How soon a player starts a client again that has died so.
const STARTS_AGAIN_MS: (u64, u64) = (40, 400);
/// How often is looked whether the end of a file can go.
const LOOK_EVERY_MS: u64 = 3;

impl World<'_> {
    /// From now on the player's next new move is one that one keeper alone hears of.
    pub(super) fn wait_for_a_move(&mut self, player: u8, for_ms: u64) -> bool {
        let number = self.number_of(Host::Player(player));
        if for_ms != FOR_GOOD && self.machine(number).alive {
            self.devices[number - 1].heard_by_one = Some(for_ms);
        }
        // It has struck once there is such a move.
        false
    }

    /// Something was said to another keeper, at the end of a connection: whether the power goes. Whoever has heard it
    /// cannot be reached by anybody for a while.
    pub(super) fn is_heard_by_one(&mut self, number: usize, conn: usize, said: &KeeperMessage) -> bool {
        let device = &mut self.devices[number];
        let table = device.process.as_ref().and_then(|process| process.player.table());
        let KeeperMessage::Entries(Entries { match_id, grants, entries }) = said else { return false };
        let [entry] = &entries[..] else { return false };
        let own = table.is_some_and(|table| table.id() == *match_id && table.seat() == entry.body.seat);
        let Some(for_ms) = device.heard_by_one.take_if(|_| own && grants.is_empty()) else { return false };
        device.machine.back_after_ms = self.chance.between(STARTS_AGAIN_MS.0, STARTS_AGAIN_MS.1);
        let other = 1 - self.end_at(number, conn);
        let heard = Who::One(self.net.conns[conn].ends[other].host);
        let for_ms = for_ms.min(self.plan.heal_at_ms.saturating_sub(self.now + 1));
        self.rule_both(heard, Who::Any, What::Cut, for_ms);
        self.struck_later(number + 1, "heard-by-one");
        true
    }

    /// The end of the player's match file is to go, as soon as it can be had from each of the other keepers.
    pub(super) fn look_for_an_end(&mut self, player: u8, for_ms: u64, until_ms: u64) {
        if self.is_healed || self.now > until_ms {
            return;
        }
        if !self.lose_end(player, for_ms) {
            self.later(self.now + LOOK_EVERY_MS, Task::Then(Then::LoseEnd { player, for_ms, until_ms }));
        }
    }

    /// The player's client dies, and its last move and what came after it are gone from its disk. It begins again where it
    /// cannot reach anybody for a while.
    fn lose_end(&mut self, player: u8, for_ms: u64) -> bool {
        let host = Host::Player(player);
        let (number, opponent) = (self.number_of(host), self.number_of(Host::Player(player ^ 1)));
        if !self.may_lose(host) || !self.machine(number).alive || number == opponent {
            return false;
        }
        let table =
            |number: usize| self.devices[number - 1].process.as_ref().and_then(|process| process.player.table());
        let Some((match_id, head, signature)) = table(number).and_then(own_move) else { return false };
        let has = |table: &Table| table.id() == match_id && table.evidence.chain.head_at(head.plies) == Some(head.head);
        if !table(opponent).is_some_and(has) || !self.server_has(match_id, head) {
            return false;
        }
        let path = self.user_dir(number - 1).join(format!("match-{match_id}.log"));
        let disk = self.machine(number).disk.clone();
        let Some(at) = disk.read(&path).ok().and_then(|bytes| frame_with(&bytes, &signature)) else { return false };
        let down_ms = self.chance.between(STARTS_AGAIN_MS.0, STARTS_AGAIN_MS.1);
        self.end(number, Death::Killed, down_ms);
        // Of the frame a part may be left, as of a write that was interrupted.
        let stays = if self.chance.one_of(2) == 0 { 0 } else { FRAME_HEAD_BYTES / 2 };
        disk.damage(&path, |bytes| bytes.truncate(at + stays));
        let for_ms = (down_ms + for_ms).min(self.plan.heal_at_ms.saturating_sub(self.now + 1));
        self.rule_both(Who::One(host), Who::Any, What::Cut, for_ms);
        self.frail.insert(host);
        let who = self.devices[number - 1].who.clone();
        self.wiped.insert(who);
        self.struck_later(number, "lost-end");
        true
    }

    /// Whether the server has so much of a match on disk.
    fn server_has(&self, match_id: MatchId, head: Base) -> bool {
        let Some(process) = self.server.process.as_ref().filter(|_| self.server.machine.alive) else { return false };
        let (appended, flushed) = process.engine.lsns();
        let of = process.engine.state().game(match_id);
        appended == flushed && of.is_some_and(|of| of.evidence.chain.head_at(head.plies) == Some(head.head))
    }
}

/// The newest entry, if it is the player's own and decides nothing: after it, and its signature.
fn own_move(table: &Table) -> Option<(MatchId, Base, [u8; 64])> {
    let chain = &table.evidence.chain;
    let head = chain.head();
    let entry = chain.entry(head.plies.checked_sub(1)?)?;
    let own = Seat::at(entry.body().ply) == table.seat() && table.key().is_some();
    (own && table.evidence.verdict().is_none()).then(|| (table.id(), head, entry.signed().signature.0))
}

/// Where in a record log the frame begins that has `part` in it.
fn frame_with(bytes: &[u8], part: &[u8]) -> Option<usize> {
    let found = bytes.windows(part.len()).position(|window| window == part)?;
    let mut at = HEADER_BYTES;
    loop {
        let len = bytes.get(at..at + 4).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes)?;
        let next = at + FRAME_HEAD_BYTES + len as usize;
        if found < next {
            return Some(at);
        }
        at = next;
    }
}
