//! The direct path to the opponent of the match one is seated in, and which way what is said to the keepers goes.

use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::rand_core::Rng;

use super::{Effect, Player};
use crate::model::client::delay::Delays;
use crate::model::client::event::{Event, PathKind, Presence};
use crate::model::client::peer::{self, Frame, Peer, PeerConn, PeerDial};
use crate::model::client::table::{self, Table};
use crate::model::id::MatchId;
use crate::model::key::{PublicKey, SecretKey};
use crate::model::limits::{KEPT_LATE_AFTER, NUDGE_EVERY, SILENCE_MATCH_MAX};
use crate::model::message::{KeeperMessage, ToPeer, ToServer};
use crate::model::time::Now;
use crate::mutant::{Mutant, is_on};

/// The direct path of one match.
#[derive(Debug)]
pub(super) struct Direct {
    match_id: MatchId,
    keys: [PublicKey; 2],
    peer: Peer,
    delays: Delays,
    /// Whether the opponent has said what it holds since the path came up: from then on all is known that is needed to
    /// move.
    greeted: bool,
}

/// What is known about the direct path of this client as a whole.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// Whether the player wants one at all.
    allowed: bool,
    /// Where this client listens.
    candidates: Option<Vec<SocketAddr>>,
    /// Whether the server knows it, on the present link.
    pub(super) told: bool,
    /// Whether the player knows that the opponent is told.
    explained: bool,
    shown_path: Option<(MatchId, PathKind)>,
    shown_here: Option<(MatchId, bool)>,
    /// Since when there has been no path to the opponent.
    alone_since: Option<Now>,
    /// When to ask the server whether it holds less than this client.
    nudge_at: Option<Now>,
    /// A match whose result was shown before the opponent had signed what decides it.
    unagreed: Option<MatchId>,
}

/// Who may be at the other end of the direct path, and by which key this end is known there.
#[derive(Clone, Debug)]
pub struct Meet {
    /// The key of this player's seat.
    pub mine: SecretKey,
    /// The key of the opponent's seat.
    pub theirs: PublicKey,
}

/// Where a keeper has spoken from, for answers to go back there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Server,
    Peer(PeerConn),
}

impl Ways {
    pub(super) fn new(allowed: bool) -> Self {
        Self { allowed, ..Self::default() }
    }
}

impl Player {
    /// A connection with the opponent is through TLS.
    pub(super) fn peer_opened(&mut self, conn: PeerConn, dial: Option<PeerDial>) {
        match &mut self.direct {
            Some(direct) => direct.peer.opened(self.now, conn, dial),
            None => self.effects.push_back(Effect::PeerDrop(conn)),
        }
    }

    pub(super) fn peer_failed(&mut self, dial: PeerDial) {
        if let Some(direct) = &mut self.direct {
            direct.peer.failed(self.now, dial);
        }
    }

    pub(super) fn peer_lost(&mut self, conn: PeerConn) {
        if let Some(direct) = &mut self.direct {
            direct.peer.lost(self.now, conn);
        }
    }

    pub(super) fn peer_heard(&mut self, conn: PeerConn, message: ToPeer) {
        let Some(direct) = &mut self.direct else { return };
        let frame = match &message {
            ToPeer::Echo(number) => Some(Frame::Echo(*number)),
            ToPeer::Echoed(number) => Some(Frame::Echoed(*number)),
            ToPeer::Use => Some(Frame::Use),
            ToPeer::Keeper(_) => None,
        };
        direct.peer.heard(self.now, conn, frame);
        let match_id = direct.match_id;
        direct.greeted |= matches!(message, ToPeer::Keeper(KeeperMessage::Have(_)));
        if let ToPeer::Keeper(message) = message
            && message.match_id() == match_id
        {
            self.keeper(message, Via::Peer(conn));
        }
    }

    /// Where this client can be reached.
    pub(super) fn reachable_at(&mut self, candidates: Vec<SocketAddr>) {
        if self.ways.candidates.as_ref() != Some(&candidates) {
            (self.ways.candidates, self.ways.told) = (Some(candidates), false);
        }
    }

    /// Where the opponent can be reached.
    pub(super) fn opponent_at(&mut self, match_id: MatchId, candidates: Vec<SocketAddr>) {
        if let Some(direct) = self.direct.as_mut().filter(|direct| direct.match_id == match_id) {
            direct.peer.candidates(self.now, candidates.clone());
        }
        self.at(match_id, Via::Server, |table| table.on_candidates(candidates));
    }

    /// Something has changed that may have opened a way: dial at once.
    pub(super) fn wake_peer(&mut self) {
        if let Some(direct) = &mut self.direct {
            direct.peer.wake(self.now);
        }
    }

    pub(super) fn peer_timeout(&mut self) {
        if let Some(direct) = &mut self.direct {
            direct.peer.handle_timeout(self.now);
        }
        if self.ways.nudge_at.is_some_and(|at| at <= self.now) {
            self.ways.nudge_at = Some(self.now + NUDGE_EVERY);
            if let Some(have) = self.seated_table().map(Table::have) {
                self.tell_server(have);
            }
        }
    }

    pub(super) fn poll_peer_timeout(&self) -> Now {
        let peer = self.direct.as_ref().map_or(Now::NEVER, |direct| direct.peer.poll_timeout());
        let alone = self.ways.alone_since.map_or(Now::NEVER, |since| since + SILENCE_MATCH_MAX);
        let shown_away = self.ways.shown_here.is_some_and(|(_, here)| !here);
        let alone = if shown_away { Now::NEVER } else { alone };
        peer.min(alone).min(self.ways.nudge_at.unwrap_or(Now::NEVER))
    }

    /// After every input: the direct path follows the seat, and the player is told what has changed.
    pub(super) fn follow_ways(&mut self) {
        self.meet();
        self.drain_peer();
        self.tell_candidates();
        self.watch_kept();
        self.show_path();
        self.show_presence();
        self.tell_agreed();
    }

    /// Keeps the direct path of the match one is seated in, under the keys of its newest grant.
    fn meet(&mut self) {
        let may = self.ways.allowed && (self.is_ready() || !is_on(Mutant::DirectNeedsServer));
        let table = self.seated_table().filter(|_| may);
        let wanted = table.and_then(|table| Some((table.id(), [table.key()?.public(), *table.opponent_key()])));
        if wanted == self.direct.as_ref().map(|direct| (direct.match_id, direct.keys)) {
            return;
        }
        if let Some(direct) = &mut self.direct {
            direct.peer.stop();
            self.drain_peer();
            self.direct = None;
        }
        let Some((match_id, keys)) = wanted else { return self.effects.push_back(Effect::Meet(None)) };
        let (now, seed) = (self.now, self.random.next_u64());
        let table = self.seated_table().expect("just looked at");
        let mine = table.key().expect("just looked at").clone();
        let mut peer = Peer::new(now, seed, keys[0] < keys[1]);
        peer.candidates(now, table.candidates().to_vec());
        self.direct = Some(Direct { match_id, keys, peer, delays: Delays::default(), greeted: false });
        self.effects.push_back(Effect::Meet(Some(Box::new(Meet { mine, theirs: keys[1] }))));
    }

    fn drain_peer(&mut self) {
        while let Some(effect) = self.direct.as_mut().and_then(|direct| direct.peer.poll_effect()) {
            match effect {
                peer::Effect::Dial(dial, addr) => self.effects.push_back(Effect::PeerDial(dial, addr)),
                peer::Effect::Abandon(dial) => self.effects.push_back(Effect::PeerAbandon(dial)),
                peer::Effect::Send(conn, frame) => {
                    let message = match frame {
                        Frame::Echo(number) => ToPeer::Echo(number),
                        Frame::Echoed(number) => ToPeer::Echoed(number),
                        Frame::Use => ToPeer::Use,
                    };
                    self.effects.push_back(Effect::PeerSend(conn, Box::new(message)));
                }
                peer::Effect::Drop(conn) => self.effects.push_back(Effect::PeerDrop(conn)),
                // The first thing said on every new path.
                peer::Effect::Up { conn, .. } | peer::Effect::Switched { conn } => {
                    self.direct.iter_mut().for_each(|direct| direct.delays.clear());
                    if let Some(have) = self.seated_table().map(Table::have) {
                        self.effects.push_back(Effect::PeerSend(conn, Box::new(ToPeer::Keeper(have))));
                    }
                }
                peer::Effect::Down { .. } => self.direct.iter_mut().for_each(|direct| {
                    direct.delays.clear();
                    direct.greeted = false;
                }),
                peer::Effect::RoundTrip(length) => {
                    self.direct.iter_mut().for_each(|direct| direct.delays.push(length));
                }
            }
        }
    }

    /// The server, and through it the opponent, is told where this client listens once there is an opponent.
    fn tell_candidates(&mut self) {
        if !self.ways.allowed || self.ways.told || self.seated.is_none() || !self.may_tell() {
            return;
        }
        if let Some(candidates) = self.ways.candidates.clone() {
            self.ways.told = true;
            self.send(ToServer::Candidates(candidates));
        }
    }

    /// Says once who is told what about this client.
    pub(super) fn explain_ways(&mut self) {
        if std::mem::replace(&mut self.ways.explained, true) {
            return;
        }
        if self.ways.allowed {
            let text = "your opponent is told this machine's addresses, so that you can play on while the server is down; \
                        --direct off keeps them private";
            self.notice("direct-on", text);
        } else {
            let text = "this machine's addresses are kept from your opponent (--direct off): you play through the server, \
                        and while it is down the match waits";
            self.notice("direct-off", text);
        }
    }

    /// If the server does not say for a while that it holds what is held here, it is asked: whoever has sent it may
    /// have reached this client only.
    fn watch_kept(&mut self) {
        let lags = |table: &Table| table.key().is_some() && table.kept() < table.evidence.chain.plies();
        let late = self.may_tell() && self.seated_table().is_some_and(lags);
        match (late, self.ways.nudge_at) {
            (true, None) => self.ways.nudge_at = Some(self.now + KEPT_LATE_AFTER),
            (false, Some(_)) => self.ways.nudge_at = None,
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Says once, while the server is down, that the opponent has signed the ending too.
    fn tell_agreed(&mut self) {
        let Some(table) = self.ways.unagreed.and_then(|id| self.tables.get(&id)) else { return };
        if table.is_finished() {
            self.ways.unagreed = None;
        } else if table.is_agreed() && !self.may_tell() {
            let text = format!("{} has it too: agreed, to be recorded when the server is back", table.opponent());
            self.ways.unagreed = None;
            self.notice("agreed", text);
        }
    }

    fn show_path(&mut self) {
        let now = self.seated.map(|id| (id, self.path()));
        if now != self.ways.shown_path {
            self.ways.shown_path = now;
            if let Some((_, path)) = now {
                self.show(Event::Path { path });
            }
        }
    }

    /// The opponent is away if the server says so, or if for long enough neither way has led there.
    fn show_presence(&mut self) {
        // Who is not logged in hears of nobody but by the direct path.
        let hears = self.has_session() || self.path() == PathKind::Direct;
        let Some(table) = self.seated_table().filter(|_| hears) else {
            (self.ways.shown_here, self.ways.alone_since) = (None, None);
            return;
        };
        let (id, said) = (table.id(), table.opponent_here);
        let here = match self.path() {
            PathKind::Direct => true,
            PathKind::Server => said,
            PathKind::None => {
                let since = *self.ways.alone_since.get_or_insert(self.now);
                let known = self.ways.shown_here.is_none_or(|(_, here)| here);
                known && self.now < since + SILENCE_MATCH_MAX
            }
        };
        if self.path() != PathKind::None {
            self.ways.alone_since = None;
        }
        let before = self.ways.shown_here.replace((id, here));
        let news = match before {
            Some((before, was)) if before == id => was != here,
            // Who is there is what one expects at a new match.
            Some(_) | None => !here,
        };
        if news {
            self.show(Event::Opponent { state: if here { Presence::Here } else { Presence::Away } });
        }
    }

    /// Whether the opponent can be reached, as it was last shown.
    pub(super) fn opponent_here(&self) -> bool {
        self.ways.shown_here.is_some_and(|(_, here)| here)
    }

    /// How entries travel just now.
    pub(super) fn path(&self) -> PathKind {
        if self.direct.as_ref().is_some_and(|direct| direct.peer.is_up() && direct.greeted) {
            PathKind::Direct
        } else if self.is_ready() && (self.has_session() || self.seated.is_none()) {
            PathKind::Server
        } else {
            PathKind::None
        }
    }

    /// Round trips of that path.
    pub(super) fn delays(&self) -> Option<&Delays> {
        match self.path() {
            PathKind::Direct => self.direct.as_ref().map(|direct| &direct.delays),
            PathKind::Server => Some(&self.server_delays),
            PathKind::None => None,
        }
    }

    /// Passes on what a match wants done.
    pub(super) fn carry_out(&mut self, effects: Vec<table::Effect>, via: Via) {
        for effect in effects {
            match effect {
                table::Effect::Write(write) => self.effects.push_back(Effect::Write(write)),
                table::Effect::Show(event) => {
                    if let Event::Result { match_id, agreed: false, recorded: false, .. } = &*event {
                        self.ways.unagreed = match_id.parse().ok();
                    }
                    self.effects.push_back(Effect::Show(event));
                }
                table::Effect::Tell(message) => {
                    if self.may_tell() {
                        self.effects.push_back(Effect::Send(message));
                    }
                }
                table::Effect::Answer(message) => match via {
                    Via::Server => self.tell_server(*message),
                    Via::Peer(conn) => {
                        self.effects.push_back(Effect::PeerSend(conn, Box::new(ToPeer::Keeper(*message))));
                    }
                },
                table::Effect::Spread(message) => {
                    self.tell_opponent((*message).clone());
                    self.tell_server(*message);
                }
                table::Effect::Pass(message) => {
                    if !self.tell_opponent((*message).clone()) && !matches!(*message, KeeperMessage::Verdict(_)) {
                        self.tell_server(*message);
                    }
                }
            }
        }
    }

    fn tell_server(&mut self, message: KeeperMessage) {
        if self.may_tell() {
            self.send(ToServer::Keeper(message));
        }
    }

    /// On the direct path, if there is one; whether there was.
    fn tell_opponent(&mut self, message: KeeperMessage) -> bool {
        let direct = self.direct.as_ref().filter(|direct| direct.match_id == message.match_id());
        let Some(conn) = direct.and_then(|direct| direct.peer.conn()) else { return false };
        self.effects.push_back(Effect::PeerSend(conn, Box::new(ToPeer::Keeper(message))));
        true
    }

    pub(super) fn seated_table(&self) -> Option<&Table> {
        self.seated.and_then(|id| self.tables.get(&id))
    }

    /// Whether the server hears what is said to it as a keeper: the link is up, and it knows who this is.
    pub(super) fn may_tell(&self) -> bool {
        self.is_ready() && self.has_session()
    }

    fn is_ready(&self) -> bool {
        self.heart.as_ref().is_some_and(|heart| heart.ready)
    }
}

/// A duration in milliseconds, for people and programs.
pub(super) fn in_ms(length: Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}
