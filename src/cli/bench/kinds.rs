//! How long the frames of a match are, to tell from the length of a TLS record what was in it.
//!
//! What must hold: lengths come from the encoder that the product uses. They are those of a short match between the
//! bench's players on this machine: fewer than 128 plies and requests, one IPv4 address each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::players::player;
use crate::model::evidence::Keeper;
use crate::model::games::{GameSpec, Outcome, Seat};
use crate::model::id::{MatchId, RequestSeq, UserId};
use crate::model::key::{Hash, PublicKey, ServerId, Signature};
use crate::model::message::{
    Answer, Command, Entries, Have, InviteView, KeeperMessage, MatchView, ToClient, ToPeer, ToServer,
};
use crate::model::sign::Signed;
use crate::model::statement::{Act, Base, Entry, Grant, Held, Ruling, Verdict};
use crate::model::time::WallMs;
use crate::wire::{Wire, encode};

/// A kind of frame and its length.
pub(super) type Kind = (&'static str, usize);

/// The frames of a match by who they are for.
pub(super) struct Kinds {
    pub(super) to_server: Vec<Kind>,
    pub(super) to_client: Vec<Kind>,
    pub(super) to_peer: Vec<Kind>,
}

/// Frames that are looked for in one record.
const TOGETHER_MAX: usize = 6;

impl Kinds {
    /// For a match of that preset, on whose board a cell is named by row and column.
    pub(super) fn of(game: &GameSpec) -> Self {
        let match_id = MatchId([7; 16]);
        let key = PublicKey([7; 32]);
        let grant = Signed::unsigned(Grant {
            server: ServerId([7; 32]),
            match_id,
            epoch: 1,
            base: Base::NONE,
            users: [UserId([7; 16]); 2],
            keys: [key; 2],
            game: game.clone(),
            settle_by: WALL,
        });
        let [inviter, invited] = [player(0), player(1)];
        let view = MatchView { grant, names: [inviter.clone(), invited.clone()], active: true, opponent_here: true };
        let invite = InviteView { by: inviter.clone(), game: game.clone(), resume: None };
        let request = |command| ToServer::Request { seq: RequestSeq(1), command };
        let here = vec![SocketAddr::from(([127, 0, 0, 1], u16::MAX))];
        let [have, entry, players, servers, verdict] = keeper_messages(game, match_id);
        let ruling = Ruling::Board { outcome: Outcome::Win(Seat::X) };
        let pings = [1, 128];
        let mut to_server = vec![
            kind("request to begin", &request(Command::Begin { to: invited, game: game.clone(), key })),
            kind("request to accept", &request(Command::Accept { from: inviter, key })),
            kind("addresses", &ToServer::Candidates(here.clone())),
            kind("how much I have", &ToServer::Keeper(have.clone())),
            kind("entry", &ToServer::Keeper(entry.clone())),
            kind("receipt of a player", &ToServer::Keeper(players.clone())),
            kind("verdict stored", &ToServer::Stored { match_id, ruling }),
        ];
        to_server.extend(pings.map(|number| kind(PROBE, &ToServer::Ping(number))));
        let mut to_client = vec![
            kind("answer", &ToClient::Answer { seq: RequestSeq(1), result: Ok(Answer::Done) }),
            kind("invitation", &ToClient::Invited(invite)),
            kind("match and grant", &ToClient::Matched(Box::new(view))),
            kind("addresses", &ToClient::Peer { match_id, candidates: here }),
            kind("how much I have", &ToClient::Keeper(have.clone())),
            kind("entry", &ToClient::Keeper(entry.clone())),
            kind("receipt of a player", &ToClient::Keeper(players.clone())),
            kind("receipt of the server", &ToClient::Keeper(servers)),
            kind("verdict", &ToClient::Keeper(verdict.clone())),
        ];
        to_client.extend(pings.map(|number| kind(PROBE, &ToClient::Pong(number))));
        let mut to_peer = vec![
            kind("use", &ToPeer::Use),
            kind("how much I have", &ToPeer::Keeper(have)),
            kind("entry", &ToPeer::Keeper(entry)),
            kind("receipt of a player", &ToPeer::Keeper(players)),
            kind("verdict", &ToPeer::Keeper(verdict)),
        ];
        to_peer.extend(pings.map(|number| kind(PROBE, &ToPeer::Echo(number))));
        // An alert is no frame: it is two bytes.
        for kinds in [&mut to_server, &mut to_client, &mut to_peer] {
            kinds.push(("end of TLS", 2));
        }
        Self { to_server, to_client, to_peer }
    }
}

/// A ping, an echo or its answer.
pub(super) const PROBE: &str = "probe";

/// The fewest frames whose lengths add up to `len`.
pub(super) fn told_by(kinds: &[Kind], len: usize) -> Option<Vec<Kind>> {
    (1..=TOGETHER_MAX).find_map(|count| together(kinds, len, count))
}

/// Adds up by kind, the frames of each record told apart by their lengths; what cannot be told is one more kind.
pub(super) fn add_up<'a>(
    kinds: &[Kind],
    lens: impl Iterator<Item = &'a usize>,
    into: &mut BTreeMap<&'static str, (usize, usize)>,
) {
    for len in lens {
        for (kind, len) in told_by(kinds, *len).unwrap_or_else(|| vec![("not told apart", *len)]) {
            let (count, bytes) = into.entry(kind).or_default();
            *count += 1;
            *bytes += len;
        }
    }
}

/// `count` frames of these kinds, in their order, that add up to `len`.
fn together(kinds: &[Kind], len: usize, count: usize) -> Option<Vec<Kind>> {
    if count == 0 {
        return (len == 0).then(Vec::new);
    }
    kinds.iter().enumerate().find_map(|(at, kind)| {
        let rest = len.checked_sub(kind.1)?;
        together(&kinds[at..], rest, count - 1).map(|mut found| {
            found.push(*kind);
            found
        })
    })
}

/// A day of these years.
const WALL: WallMs = WallMs(1_800_000_000_000);

/// `Have`, one entry, a player's receipt, the server's receipt, and the verdict.
fn keeper_messages(game: &GameSpec, match_id: MatchId) -> [KeeperMessage; 5] {
    let head = Base { plies: 1, head: Hash([7; 32]) };
    let board = game.start().expect("a preset");
    let play = board.read(&["1", "1"]).expect("a cell of the board");
    let act = Act::Play(play);
    let entry = Entry { match_id, epoch: 1, ply: 1, seat: Seat::O, act, prev: head.head, at: WALL };
    let entry = Signed { body: entry, signature: Signature::EMPTY };
    let held = Signed::unsigned(Held { match_id, epoch: 1, plies: head.plies, head: head.head });
    let ruling = Ruling::Board { outcome: Outcome::Win(Seat::X) };
    [
        KeeperMessage::Have(Have { match_id, epoch: 1, head }),
        KeeperMessage::Entries(Entries { match_id, grants: Vec::new(), entries: vec![entry] }),
        KeeperMessage::Held { keeper: Keeper::Player(Seat::X), held: held.clone() },
        KeeperMessage::Held { keeper: Keeper::Server, held },
        KeeperMessage::Verdict(Signed::unsigned(Verdict { match_id, epoch: 1, ruling })),
    ]
}

fn kind<M: Wire>(name: &'static str, message: &M) -> Kind {
    (name, encode(message).len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_went_together_are_told_apart() {
        let kinds = [("a", 100), ("b", 30), ("c", 11)];
        assert_eq!(told_by(&kinds, 30), Some(vec![("b", 30)]));
        let mut names: Vec<_> = told_by(&kinds, 152).unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "b", "c", "c"]);
        assert_eq!(told_by(&kinds, 12), None);
        let mut sums = BTreeMap::new();
        add_up(&kinds, [30, 22, 12].iter(), &mut sums);
        assert_eq!(sums, BTreeMap::from([("b", (1, 30)), ("c", (2, 22)), ("not told apart", (1, 12))]));
    }

    #[test]
    fn no_two_kinds_for_one_reader_are_as_long() {
        let Kinds { to_server, to_client, to_peer } = Kinds::of(&GameSpec::named("tictactoe").unwrap());
        for kinds in [to_server, to_client, to_peer] {
            let lens: std::collections::BTreeSet<usize> = kinds.iter().map(|(_, len)| *len).collect();
            assert_eq!(lens.len(), kinds.len(), "{kinds:?}");
        }
    }
}
