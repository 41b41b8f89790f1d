//! What a connection checks of what its player says as a keeper, before the engine hears of it: signatures; and whether it
//! says anything.
//!
//! What must hold: the keys come from what this server has shown on this connection, or from grants it has signed that
//! came with the message; what bears no right signature goes no further.

use super::match_keys::MatchKeys;
use crate::model::engine::Input;
use crate::model::games::Seat;
use crate::model::id::{ConnId, MatchId};
use crate::model::key::{PublicKey, ServerId};
use crate::model::limits::PLIES_MAX;
use crate::model::message::{Entries, KeeperMessage, Proofs, ToClient};
use crate::model::pulse::Silence;
use crate::model::refusal::Refusal;
use crate::model::sign::{Signed, Statement, Verified};
use crate::model::statement::{Entry, Foul, Grant, Held};
use crate::model::time::Now;
use crate::mutant::{Mutant, is_on};

/// When a connection is given up on which nothing comes.
#[must_use]
pub fn silent_at(silence: &Silence) -> Now {
    if is_on(Mutant::SilenceIgnoredByServer) { Now::NEVER } else { silence.deadline() }
}

/// The checks of one connection.
#[derive(Debug)]
pub struct Checks {
    conn: ConnId,
    key: PublicKey,
    server: ServerId,
    /// Learned from what the engine sends.
    keys: MatchKeys,
    /// The last grants that came with entries: of a match that this server has lost, what follows is signed under them.
    came: Vec<Verified<Grant>>,
    /// The last receipt that was right.
    held: Option<Verified<Held>>,
}

impl Checks {
    /// For a connection of the server with this key.
    #[must_use]
    pub fn new(conn: ConnId, key: PublicKey) -> Self {
        Self { conn, key, server: ServerId::of(&key), keys: MatchKeys::default(), came: Vec::new(), held: None }
    }

    /// Learns from what is sent to the player which keys count on this connection.
    pub fn sent(&mut self, message: &ToClient) {
        match message {
            ToClient::Live(view) => {
                self.keys.clear();
                self.held = None;
                view.matches.iter().for_each(|of| self.keys.learn(&of.grant.body));
            }
            ToClient::Matched(of) => self.keys.learn(&of.grant.body),
            ToClient::Keeper(KeeperMessage::Entries(some)) => {
                some.grants.iter().for_each(|grant| self.keys.learn(&grant.body));
            }
            ToClient::Keeper(KeeperMessage::Verdict(verdict)) => self.keys.decided(verdict.body.match_id),
            ToClient::Keeper(
                KeeperMessage::Have(_)
                | KeeperMessage::Held { .. }
                | KeeperMessage::Evidence(_)
                | KeeperMessage::Promise(_),
            )
            | ToClient::Welcome(_)
            | ToClient::UpgradeRequired { .. }
            | ToClient::Answer { .. }
            | ToClient::ResumeRefused(_)
            | ToClient::Ping(_)
            | ToClient::Pong(_)
            | ToClient::Invited(_)
            | ToClient::InviteClosed { .. }
            | ToClient::Suspended { .. }
            | ToClient::Opponent { .. }
            | ToClient::EntryRefused { .. }
            | ToClient::Restarting { .. }
            | ToClient::Closing { .. }
            | ToClient::Unsupported { .. }
            | ToClient::Offered { .. }
            | ToClient::PromiseWanted { .. }
            | ToClient::Peer { .. }
            | ToClient::Announcement(_) => {}
        }
    }

    /// What a player says as a keeper, if its signatures are right.
    #[must_use]
    pub fn keeper(&mut self, message: KeeperMessage) -> Option<Input> {
        let conn = self.conn;
        match message {
            KeeperMessage::Have(have) => Some(Input::Have { conn, have }),
            KeeperMessage::Entries(some) => Some(self.entries(some)),
            KeeperMessage::Held { held, .. } => Some(Input::Held { conn, held: self.held(&held)? }),
            KeeperMessage::Evidence(proofs) => self.proofs(proofs),
            KeeperMessage::Promise(promise) => {
                let epoch = promise.body.epoch.checked_sub(1)?;
                let (seat, promise) = self.signed_by_a_seat(promise.body.match_id, epoch, &promise)?;
                Some(Input::Promise { conn, seat, promise })
            }
            // The server gives them.
            KeeperMessage::Verdict(_) => None,
        }
    }

    /// A receipt of a seat. The same comes again when the opponent does, as after each restart of the server.
    fn held(&mut self, held: &Signed<Held>) -> Option<Verified<Held>> {
        if self.held.as_ref().is_none_or(|before| before.signed() != held) {
            let (_, held) = self.signed_by_a_seat(held.body.match_id, held.body.epoch, held)?;
            self.held = Some(held);
        }
        self.held.clone()
    }

    /// A stretch of history whose signatures are right. The first wrong entry is refused, and none after it is looked at.
    fn entries(&mut self, Entries { match_id, grants, entries }: Entries) -> Input {
        let conn = self.conn;
        let refused = |ply: u16, refusal| Input::BadEntry { conn, match_id, ply: ply.min(PLIES_MAX), refusal };
        let Some(grants) = self.granted(match_id, grants) else { return refused(0, Refusal::BadSignature) };
        // A match that is not among those shown on this connection is the engine's to answer.
        if grants.is_empty() && !self.keys.knows(match_id) {
            return Input::Ungranted { conn, match_id };
        }
        let mut good = Vec::with_capacity(entries.len());
        for entry in entries {
            let ply = entry.body.ply;
            if entry.body.match_id != match_id {
                return refused(ply, Refusal::NotAPlayer);
            }
            let Some(keys) = self.keys_of(&grants, &entry.body) else { return Input::Ungranted { conn, match_id } };
            match authentic(entry, &keys, &self.server) {
                Some(entry) => good.push(entry),
                None => return refused(ply, Refusal::BadSignature),
            }
        }
        if !grants.is_empty() {
            self.came.clone_from(&grants);
        }
        Input::Entries { conn, match_id, grants, entries: good }
    }

    /// Grants of this match with this server's signature; `None` if one is not.
    fn granted(&self, match_id: MatchId, grants: Vec<Signed<Grant>>) -> Option<Vec<Verified<Grant>>> {
        let (key, server) = (self.key, self.server);
        let ours =
            |grant: Signed<Grant>| grant.verify(&key, &server).ok().filter(|ours| ours.body().match_id == match_id);
        grants.into_iter().map(ours).collect()
    }

    /// The keys of an entry's epoch, by a grant that came with it or one that was shown here.
    fn keys_of(&self, grants: &[Verified<Grant>], entry: &Entry) -> Option<[PublicKey; 2]> {
        let came = grants.iter().map(Verified::body).find(|grant| grant.epoch == entry.epoch).map(|grant| grant.keys);
        came.or_else(|| self.keys.of(entry.match_id, entry.epoch))
    }

    fn signed_by_a_seat<T: Statement + Clone>(
        &self,
        match_id: MatchId,
        epoch: u32,
        signed: &Signed<T>,
    ) -> Option<(Seat, Verified<T>)> {
        let came =
            || self.came.iter().map(Verified::body).find(|came| (came.match_id, came.epoch) == (match_id, epoch));
        let keys = self.keys.of(match_id, epoch).or_else(|| came().map(|came| came.keys))?;
        let by = |seat: Seat| Some((seat, signed.clone().verify(&keys[seat.index()], &self.server).ok()?));
        Seat::BOTH.into_iter().find_map(by)
    }

    fn proofs(&self, Proofs { match_id, grants, fouls }: Proofs) -> Option<Input> {
        let grants = self.granted(match_id, grants)?;
        let signed = |entry: Signed<Entry>| {
            let keys = self.keys_of(&grants, &entry.body)?;
            authentic(entry, &keys, &self.server)
        };
        let pair = |foul: Foul| Some([signed(foul.first)?, signed(foul.second)?]);
        // One proof a seat is all that can be used.
        let pairs = fouls.into_iter().take(Seat::BOTH.len()).filter_map(pair).collect();
        Some(Input::Proofs { conn: self.conn, match_id, pairs })
    }
}

/// An entry with the signature of its seat.
fn authentic(entry: Signed<Entry>, keys: &[PublicKey; 2], server: &ServerId) -> Option<Verified<Entry>> {
    let key = &keys[entry.body.seat.index()];
    entry.verify(key, server).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::Keeper;
    use crate::model::fixture::Players;
    use crate::model::key::{Hash, SecretKey};
    use crate::model::message::MatchView;
    use crate::model::statement::Held;

    #[test]
    fn a_receipt_of_a_match_that_the_server_has_lost_is_checked_by_the_grant_that_came_before_it() {
        let (players, server_key) = (Players::new(1), SecretKey::from_seed(&[1; 32]));
        let mut checks = Checks::new(ConnId(1), server_key.public());
        let match_id = players.grant().match_id;
        let held = || {
            let held = Held { match_id, epoch: 1, plies: 0, head: Hash([0; 32]) };
            KeeperMessage::Held { keeper: Keeper::Server, held: Signed::by(&players.keys[0], &players.server, held) }
        };
        assert!(checks.keeper(held()).is_none(), "nobody knows whose key it is");
        let grant = Signed::by(&server_key, &players.server, players.grant());
        let history = Entries { match_id, grants: vec![grant], entries: Vec::new() };
        assert!(matches!(checks.keeper(KeeperMessage::Entries(history)), Some(Input::Entries { .. })));
        assert!(matches!(checks.keeper(held()), Some(Input::Held { .. })));
    }

    #[test]
    fn a_receipt_that_was_right_is_right_again_and_makes_no_other_right() {
        let players = Players::new(1);
        let mut checks = Checks::new(ConnId(1), SecretKey::from_seed(&[1; 32]).public());
        let names = ["x", "o"].map(|name| crate::model::id::Name::new(name).unwrap());
        let of = MatchView { grant: players.first(), names, active: true, opponent_here: false };
        checks.sent(&ToClient::Matched(Box::new(of)));
        let held = |plies, by: &SecretKey| {
            let body =
                Held { match_id: players.grant().match_id, epoch: 1, plies, head: Hash([plies.to_le_bytes()[0]; 32]) };
            Signed::by(by, &players.server, body)
        };
        let mut takes = |held: &Signed<Held>| {
            let message = KeeperMessage::Held { keeper: Keeper::Server, held: held.clone() };
            matches!(checks.keeper(message), Some(Input::Held { held: taken, .. }) if taken.signed() == held)
        };
        let good = held(1, &players.keys[0]);
        assert!(takes(&good) && takes(&good), "it comes twice");
        let forged = Signed { body: held(2, &players.keys[0]).body, signature: good.signature };
        let foreign = held(1, &SecretKey::from_seed(&[9; 32]));
        assert!(!takes(&forged) && !takes(&foreign), "it was another that was right");
        assert!(takes(&held(2, &players.keys[1])) && takes(&good), "each of them is checked");
    }
}
