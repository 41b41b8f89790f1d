//! Where players may be reached by their opponents.

use std::net::{IpAddr, SocketAddr};

use super::Engine;
use crate::model::games::Seat;
use crate::model::id::{ConnId, MatchId, UserId};
use crate::model::limits::CANDIDATES_MAX;
use crate::model::message::ToClient;

/// How often one connection may say that it is reached elsewhere; an honest client dials anew when its address changes.
const MOVES_MAX: u32 = 16;

impl Engine {
    /// A client says where it listens. The address it is seen to come from is one more.
    pub(super) fn candidates(&mut self, conn: ConnId, mut candidates: Vec<SocketAddr>) {
        let Some(open) = self.conns.get_mut(&conn) else { return };
        candidates.retain(is_dialable);
        candidates.truncate(CANDIDATES_MAX);
        if let Some(port) = candidates.first().map(SocketAddr::port) {
            let seen = SocketAddr::new(open.ip, port);
            if !candidates.contains(&seen) {
                candidates.truncate(CANDIDATES_MAX - 1);
                candidates.push(seen);
            }
        }
        if open.candidates.as_ref() == Some(&candidates) || open.moves >= MOVES_MAX {
            return;
        }
        open.moves += 1;
        open.candidates = Some(candidates);
        let Some((_, user)) = open.session else { return };
        let seated = self.state.account(user).and_then(|account| account.seated);
        if let Some((match_id, other)) = seated.and_then(|id| Some((id, self.opponent(id, user)?))) {
            self.tell_candidates(match_id, other);
        }
    }

    /// Tells both players of a match where the other may be reached.
    pub(super) fn introduce(&mut self, match_id: MatchId) {
        let Some(of) = self.state.game(match_id) else { return };
        Seat::BOTH.map(|seat| of.user(seat)).into_iter().for_each(|user| self.tell_candidates(match_id, user));
    }

    /// Tells a player where the opponent may be reached, as far as it has said so on its present link.
    pub(super) fn tell_candidates(&mut self, match_id: MatchId, user: UserId) {
        let other = self.opponent(match_id, user).and_then(|other| self.live.get(&other));
        let candidates = other.and_then(|conn| self.conns.get(conn)?.candidates.clone());
        if let Some(candidates) = candidates {
            self.send_to(user, ToClient::Peer { match_id, candidates });
        }
    }

    fn opponent(&self, match_id: MatchId, user: UserId) -> Option<UserId> {
        let of = self.state.game(match_id)?;
        Some(of.user(of.seat_of(user)?.other()))
    }
}

/// Whether it can be somebody's address at all: nobody is sent to dial whole networks, or nothing.
fn is_dialable(addr: &SocketAddr) -> bool {
    let somebody = match addr.ip() {
        IpAddr::V4(ip) => !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()),
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_multicast()),
    };
    somebody && addr.port() != 0
}
