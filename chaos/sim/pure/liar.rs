//! A player who lies: the client is the honest one, and the world tampers with what it says.

use std::collections::BTreeMap;

use rejoin::model::client::table::Table;
use rejoin::model::games::Move;
use rejoin::model::id::MatchId;
use rejoin::model::key::{SecretKey, ServerId};
use rejoin::model::message::{Entries, KeeperMessage, Proofs, ToPeer, ToServer};
use rejoin::model::sign::Signed;
use rejoin::model::statement::{Act, Entry, Foul};

use super::net::Msg;
use super::world::World;
use crate::sim::plan::Lie;

/// What a liar does, and has done.
pub(super) struct Liar {
    pub(super) lie: Lie,
    /// Which fault of the plan it is, until it has struck.
    pub(super) strikes: bool,
    /// Whether it shows what else it has signed only when the match is over.
    is_late: bool,
    /// What it has signed beside what it plays.
    forks: BTreeMap<(MatchId, u32, u16), Signed<Entry>>,
    /// Proofs of that, for later.
    proofs: Vec<Proofs>,
    said: Vec<KeeperMessage>,
    /// The key of its seat in an epoch that may have ended since.
    pub(super) old_key: Option<(MatchId, u32, SecretKey)>,
    stranger: SecretKey,
}

/// Messages that are remembered to be said again.
const SAID_MAX: usize = 16;

impl Liar {
    pub(super) const fn new(lie: Lie, is_late: bool, stranger: SecretKey) -> Self {
        Self {
            lie,
            strikes: true,
            is_late,
            forks: BTreeMap::new(),
            proofs: Vec::new(),
            said: Vec::new(),
            old_key: None,
            stranger,
        }
    }
}

impl World<'_> {
    /// What a client says to the server, or what its player makes of it.
    pub(super) fn tell_server(&mut self, number: usize, conn: usize, at_ms: u64, message: ToServer) {
        self.overhear(number, &message);
        let said = match message {
            ToServer::Keeper(said) if self.devices[number].liar.is_some() => said,
            honest => return self.net.send(at_ms, conn, 0, Msg::Up(Box::new(honest))),
        };
        for said in self.tamper(number, said, true) {
            self.net.send(at_ms, conn, 0, Msg::Up(Box::new(ToServer::Keeper(said))));
        }
    }

    /// What a client says to its opponent, or what its player makes of it.
    pub(super) fn tell_opponent(&mut self, number: usize, conn: usize, at_ms: u64, message: ToPeer) {
        let end = self.end_at(number, conn);
        let said = match message {
            ToPeer::Keeper(said) if self.devices[number].liar.is_some() => said,
            honest => return self.net.send(at_ms, conn, end, Msg::Peer(Box::new(honest))),
        };
        for said in self.tamper(number, said, false) {
            self.net.send(at_ms, conn, end, Msg::Peer(Box::new(ToPeer::Keeper(said))));
        }
    }

    fn tamper(&mut self, number: usize, said: KeeperMessage, to_server: bool) -> Vec<KeeperMessage> {
        let Some(liar) = &self.devices[number].liar else { return vec![said] };
        let told = match liar.lie {
            Lie::Equivocate if to_server => self.equivocate(number, said.clone()),
            Lie::Equivocate => vec![said.clone()],
            Lie::Withhold => self.withhold(number, said.clone()),
            Lie::Replay => self.replay(number, said.clone()),
            Lie::Forge => self.forge(number, said.clone()),
            Lie::Stale => self.sign_for_old_epoch(number, said.clone()),
        };
        let lied = told.len() != 1 || told[0] != said;
        if lied && self.devices[number].liar.as_mut().is_some_and(|liar| std::mem::take(&mut liar.strikes)) {
            self.struck_by_lie(number);
        }
        told
    }

    /// The server is shown another entry than the opponent.
    fn equivocate(&mut self, number: usize, said: KeeperMessage) -> Vec<KeeperMessage> {
        let KeeperMessage::Entries(mut some) = said else { return vec![said] };
        let (server, draw) = (self.server.id, self.chance.next());
        let device = &mut self.devices[number];
        let Some((process, liar)) = device.process.as_ref().zip(device.liar.as_mut()) else { return Vec::new() };
        let Some(table) = process.player.table().filter(|table| table.id() == some.match_id) else {
            return vec![KeeperMessage::Entries(some)];
        };
        let (seat, chain) = (table.seat(), &table.evidence.chain);
        if let Some(last) = some.entries.last_mut().filter(|last| last.body.seat == seat)
            && let Some(key) = table.key()
        {
            let place = (last.body.match_id, last.body.epoch, last.body.ply);
            let other = || other_act(&last.body, chain, draw);
            if !liar.forks.contains_key(&place)
                && let Some(act) = other()
            {
                let second = fork(key, &server, &last.body, act);
                let (grants, fouls) =
                    (chain.grants().to_vec(), vec![Foul { first: last.clone(), second: second.clone() }]);
                liar.proofs.push(Proofs { match_id: last.body.match_id, grants, fouls });
                liar.forks.insert(place, second);
            }
            if let Some(fork) = liar.forks.get(&place).filter(|_| !liar.is_late) {
                *last = fork.clone();
            }
        }
        vec![KeeperMessage::Entries(some)]
    }

    /// A match has its verdict: the server is shown that all was otherwise.
    pub(super) fn lie_afterwards(&mut self, number: usize, conn: usize) {
        let device = &mut self.devices[number];
        let Some(liar) = device.liar.as_mut().filter(|liar| liar.is_late) else { return };
        let over = |proofs: &Proofs| device.shown.recorded.contains(&proofs.match_id.to_string());
        let Some(at) = liar.proofs.iter().position(over) else { return };
        let said = KeeperMessage::Evidence(liar.proofs.swap_remove(at));
        let strikes = std::mem::take(&mut liar.strikes);
        self.net.send(self.now, conn, 0, Msg::Up(Box::new(ToServer::Keeper(said))));
        if strikes {
            self.struck_by_lie(number);
        }
    }

    /// Nobody is shown what this player has signed last.
    fn withhold(&self, number: usize, said: KeeperMessage) -> Vec<KeeperMessage> {
        let Some(table) = self.devices[number].process.as_ref().and_then(|process| process.player.table()) else {
            return vec![said];
        };
        let newest = |entry: &Signed<Entry>| {
            let last = table.evidence.chain.plies().checked_sub(1) == Some(entry.body.ply);
            entry.body.match_id == table.id() && entry.body.seat == table.seat() && last
        };
        match said {
            KeeperMessage::Entries(Entries { match_id, grants, mut entries }) if entries.iter().any(newest) => {
                entries.retain(|entry| !newest(entry));
                let left = Entries { match_id, grants, entries };
                if left.entries.is_empty() { Vec::new() } else { vec![KeeperMessage::Entries(left)] }
            }
            other => vec![other],
        }
    }

    /// In the place of what it has signed newly comes what it signs with the key that its seat had before.
    fn sign_for_old_epoch(&self, number: usize, said: KeeperMessage) -> Vec<KeeperMessage> {
        let server = self.server.id;
        let Some((id, epoch, key)) = self.devices[number].liar.as_ref().and_then(|liar| liar.old_key.clone()) else {
            return vec![said];
        };
        let seat = self.devices[number].process.as_ref().and_then(|process| process.player.table()).map(Table::seat);
        match said {
            KeeperMessage::Entries(Entries { match_id, grants, mut entries }) if match_id == id => {
                if let Some(last) =
                    entries.last_mut().filter(|last| Some(last.body.seat) == seat && last.body.epoch > epoch)
                {
                    *last = Signed::by(&key, &server, Entry { epoch, ..last.body.clone() });
                }
                vec![KeeperMessage::Entries(Entries { match_id, grants, entries })]
            }
            other => vec![other],
        }
    }

    /// Something that was said before is said again.
    fn replay(&mut self, number: usize, said: KeeperMessage) -> Vec<KeeperMessage> {
        let drawn = self.chance.next();
        let Some(liar) = self.devices[number].liar.as_mut() else { return vec![said] };
        let mut told = vec![said.clone()];
        if let Some(old) = usize::try_from(drawn % SAID_MAX as u64).ok().and_then(|at| liar.said.get(at)) {
            told.push(old.clone());
        }
        if liar.said.len() < SAID_MAX {
            liar.said.push(said);
        }
        told
    }

    /// With every entry comes another, signed by a key that is not in the grant: for either seat. Or in its place one
    /// that follows nothing.
    fn forge(&self, number: usize, said: KeeperMessage) -> Vec<KeeperMessage> {
        let (server, drawn) = (self.server.id, self.chance.next());
        let Some(liar) = self.devices[number].liar.as_ref() else { return vec![said] };
        let mut told = vec![said.clone()];
        if let KeeperMessage::Entries(Entries { match_id, entries, .. }) = &said
            && let Some(last) = entries.last()
        {
            let mut body = last.body.clone();
            let table = self.devices[number].process.as_ref().and_then(|process| process.player.table());
            let own = table.filter(|table| table.id() == *match_id && table.seat() == body.seat).and_then(Table::key);
            let (match_id, grants) = (*match_id, Vec::new());
            if let Some(key) = own.filter(|_| liar.strikes && drawn % 3 == 0) {
                // Under its own key, as if something else had come before.
                body.prev = rejoin::model::sign::hash(&server, &last.body);
                let entries = vec![Signed::by(key, &server, body)];
                return vec![KeeperMessage::Entries(Entries { match_id, grants, entries })];
            }
            if drawn % 2 == 0 {
                (body.ply, body.seat) = (body.ply + 1, body.seat.other());
                body.prev = rejoin::model::sign::hash(&server, &last.body);
            }
            body.act = Act::Resign;
            let forged = Signed::by(&liar.stranger, &server, body);
            told.push(KeeperMessage::Entries(Entries { match_id, grants, entries: vec![forged] }));
        }
        told
    }
}

/// Another act at the place of `entry`.
fn other_act(entry: &Entry, chain: &rejoin::model::transcript::Transcript, draw: u64) -> Option<Act> {
    let resigns = Some(Act::Resign).filter(|act| *act != entry.act);
    if draw.is_multiple_of(3) {
        return resigns;
    }
    let position = chain.position_at(entry.ply);
    // The games that are played here name a cell or a column by one byte.
    let cells = (0..9_u64).filter_map(|more| u8::try_from(draw.wrapping_add(more) % 9).ok());
    let others = cells.filter_map(|cell| Move::new(&[cell])).filter(|play| position.cell(play).is_some());
    others.map(Act::Play).find(|act| *act != entry.act).or(resigns)
}

fn fork(key: &SecretKey, server: &ServerId, entry: &Entry, act: Act) -> Signed<Entry> {
    Signed::by(key, server, Entry { act, ..entry.clone() })
}
