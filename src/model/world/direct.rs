//! The direct links of a world: who can dial whom, and what is under way between two players.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::World;
use crate::model::client::peer::{PeerConn, PeerDial};
use crate::model::client::player::{self, Meet};
use crate::model::message::ToPeer;
use crate::model::time::WallMs;

/// Where the first client listens; the others follow.
const PORT: u16 = 4000;

/// One end of what is between two players.
#[derive(Default)]
pub(super) struct End {
    meet: Option<Meet>,
    /// What has come and was not heard yet.
    inbox: VecDeque<player::Input>,
    /// The other end of each connection: client and its number there.
    lines: Vec<(PeerConn, usize, PeerConn)>,
}

impl World {
    /// Whether players can reach each other. Without it connections break.
    pub(crate) fn set_direct(&mut self, open: bool) {
        self.direct = open;
        if !open {
            (0..self.clients.len()).for_each(|number| self.break_lines(number));
        }
    }

    /// One thing that has come over a direct link; whether there was one.
    pub(super) fn deliver_direct(&mut self, number: usize) -> bool {
        let Some(input) = self.clients[number].end.inbox.pop_front() else { return false };
        self.clients[number].player.handle(self.now, WallMs(self.now.0), input);
        self.drain_client(number);
        true
    }

    pub(super) fn hears_directly(&self, number: usize) -> bool {
        !self.clients[number].end.inbox.is_empty()
    }

    /// A client is gone: its connections end at the others.
    pub(super) fn break_lines(&mut self, number: usize) {
        self.clients[number].end.inbox.clear();
        for (conn, other, there) in std::mem::take(&mut self.clients[number].end.lines) {
            self.clients[number].end.inbox.push_back(player::Input::PeerLost(conn));
            self.close_there(other, there);
        }
    }

    fn close_there(&mut self, other: usize, there: PeerConn) {
        let end = &mut self.clients[other].end;
        end.lines.retain(|(conn, ..)| *conn != there);
        end.inbox.push_back(player::Input::PeerLost(there));
    }

    /// A process is gone, and what it had not heard with it.
    pub(super) fn forget_lines(&mut self, number: usize) {
        self.break_lines(number);
        self.clients[number].end = End::default();
    }

    pub(super) fn meet(&mut self, number: usize, meet: Option<Meet>) {
        let listens = meet.is_some();
        let end = &mut self.clients[number].end;
        end.meet = meet;
        if listens {
            end.inbox.push_back(player::Input::Reachable(vec![addr(number)]));
        }
    }

    pub(super) fn dial_peer(&mut self, number: usize, dial: PeerDial, to: SocketAddr) {
        let other = usize::from(to.port() - PORT);
        let fits = |mine: &Meet, theirs: &Meet| mine.theirs == theirs.mine.public();
        let ends = self.clients.get(other).and_then(|other| other.end.meet.as_ref());
        let met = self.clients[number].end.meet.as_ref().zip(ends);
        let met = self.direct && met.is_some_and(|(mine, theirs)| fits(mine, theirs) && fits(theirs, mine));
        if !met {
            return self.clients[number].end.inbox.push_back(player::Input::PeerFailed(dial));
        }
        self.next_conn += 2;
        let (here, there) = (PeerConn(self.next_conn), PeerConn(self.next_conn + 1));
        for (at, conn, to, far, dial) in [(number, here, other, there, Some(dial)), (other, there, number, here, None)]
        {
            let end = &mut self.clients[at].end;
            end.lines.push((conn, to, far));
            end.inbox.push_back(player::Input::PeerOpened { conn, dial });
        }
    }

    pub(super) fn send_peer(&mut self, number: usize, conn: PeerConn, message: ToPeer) {
        let line = self.clients[number].end.lines.iter().find(|(known, ..)| *known == conn).copied();
        if let Some((_, other, there)) = line {
            let message = Box::new(message);
            self.clients[other].end.inbox.push_back(player::Input::PeerHeard { conn: there, message });
        }
    }

    pub(super) fn drop_peer(&mut self, number: usize, conn: PeerConn) {
        let lines = &mut self.clients[number].end.lines;
        if let Some(at) = lines.iter().position(|(known, ..)| *known == conn) {
            let (_, other, there) = lines.remove(at);
            self.close_there(other, there);
        }
    }
}

fn addr(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], PORT + u16::try_from(number).expect("a world has few clients")))
}
