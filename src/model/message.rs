//! What client and server say to each other, and two clients. The enums only grow at their ends: a variant's place is
//! its kind on the wire.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::evidence::Keeper;
use super::games::GameSpec;
use super::id::{Boot, Lsn, MatchId, Name, RequestSeq, Run, SessionId, UserId};
use super::key::{PublicKey, SecretKey, ServerId, Signature};
use super::limits::ENTRIES_PER_FRAME_MAX;
use super::operator::Announcement;
use super::outage::OutageRecord;
use super::password::Password;
use super::refusal::Refusal;
use super::sign::{Signed, Verified};
use super::statement::{Base, Entry, Foul, Grant, Held, Promise, Ruling, Verdict};

/// From a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToServer {
    /// The first frame; its form never changes.
    Hello(Hello),
    /// Takes a session up again.
    Resume(ResumeRequest),
    /// Asks for something; answered once for each number.
    Request {
        /// From 1 within a run.
        seq: RequestSeq,
        /// What.
        command: Command,
    },
    /// Are you there?
    Ping(u32),
    /// The same number back.
    Pong(u32),
    /// As one keeper to another.
    Keeper(KeeperMessage),
    /// The verdict and its evidence are on my disk.
    Stored {
        /// Of which match.
        match_id: MatchId,
        /// Which verdict.
        ruling: Ruling,
    },
    /// Where the opponent may reach me, the likeliest first; none to be reached through the server alone.
    Candidates(Vec<SocketAddr>),
    /// The outage that has just ended, for the server's log: at most once after each `Live` that was resumed.
    Outage(OutageRecord),
}

/// From the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToClient {
    /// The answer to `Hello`.
    Welcome(Welcome),
    /// The answer to a `Hello` of another time; its form never changes.
    UpgradeRequired {
        /// The oldest version spoken here.
        min: u16,
        /// The newest.
        max: u16,
    },
    /// The answer to a request.
    Answer {
        /// Its number.
        seq: RequestSeq,
        /// What came of it.
        result: Result<Answer, Refusal>,
    },
    /// Logged in or resumed: all that is to know, whole.
    Live(Box<View>),
    /// The session cannot be taken up again.
    ResumeRefused(Refusal),
    /// Are you there?
    Ping(u32),
    /// The same number back.
    Pong(u32),
    /// Somebody asks you to play.
    Invited(InviteView),
    /// An invitation from or to you is gone.
    InviteClosed {
        /// The other.
        with: Name,
        /// Why.
        why: InviteEnd,
    },
    /// You are seated in a match; or, if it is not active, the server had lost it and has it from the other player.
    Matched(Box<MatchView>),
    /// Somebody left: the match is suspended.
    Suspended {
        /// Which.
        match_id: MatchId,
        /// Who left.
        by: Name,
    },
    /// The opponent's link.
    Opponent {
        /// In which match.
        match_id: MatchId,
        /// Whether there is one.
        here: bool,
    },
    /// As one keeper to another.
    Keeper(KeeperMessage),
    /// Why an entry was not taken.
    EntryRefused {
        /// Of which match.
        match_id: MatchId,
        /// At which ply.
        ply: u16,
        /// Why.
        refusal: Refusal,
    },
    /// The server is about to stop and will be back.
    Restarting {
        /// In about this time.
        eta_ms: u32,
    },
    /// The connection ends.
    Closing {
        /// Why.
        why: CloseReason,
        /// When to come back at the earliest.
        retry_after_ms: u32,
    },
    /// A message of a kind not known here was passed over.
    Unsupported {
        /// The kind.
        kind: u8,
    },
    /// The opponent of a suspended match is there and free.
    Offered {
        /// Which match.
        match_id: MatchId,
    },
    /// The opponent's key is to change: promise what you hold.
    PromiseWanted {
        /// In which match.
        match_id: MatchId,
        /// Of the grant that is to come.
        epoch: u32,
    },
    /// Where the opponent may be reached, the likeliest first.
    Peer {
        /// In which match.
        match_id: MatchId,
        /// At most [`CANDIDATES_MAX`](super::limits::CANDIDATES_MAX).
        candidates: Vec<SocketAddr>,
    },
    /// A sentence of the operator, for every player.
    Announcement(Announcement),
}

/// From one player's client to the other's, on the direct path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToPeer {
    /// Are you there?
    Echo(u32),
    /// The same number back.
    Echoed(u32),
    /// Of several connections, this one. Said by the player with the smaller match key.
    Use,
    /// As one keeper to another.
    Keeper(KeeperMessage),
}

/// The keeper protocol: the same between any two of the three that hold a match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum KeeperMessage {
    /// How much of a match I hold; the first thing after every connect.
    Have(Have),
    /// A stretch of history the other may lack.
    Entries(Entries),
    /// A receipt: one's own, or another keeper's passed on.
    Held {
        /// Whose.
        keeper: Keeper,
        /// The receipt.
        held: Signed<Held>,
    },
    /// Proofs of fouls.
    Evidence(Proofs),
    /// What the opponent of a seat whose key changes promises the server.
    Promise(Signed<Promise>),
    /// The server's verdict; its evidence went before it.
    Verdict(Signed<Verdict>),
}

/// The first frame of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest protocol version spoken.
    pub min: u16,
    /// The newest.
    pub max: u16,
    /// Drawn at each start of the client.
    pub run: Run,
}

/// The first frame of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version both speak.
    pub version: u16,
    /// The server key; its hash is the server id.
    pub key: PublicKey,
    /// Its signature over this connection's exporter.
    pub proof: Signature,
    /// To be signed by a device that resumes.
    pub nonce: [u8; 16],
}

/// Takes a session up again on a new connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeRequest {
    /// Which.
    pub session: SessionId,
    /// Of the device key over [`Resume`](super::statement::Resume).
    pub signature: Signature,
    /// The newest run and fact of the server this client has seen.
    pub seen: (Boot, Lsn),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A new account.
    AddUser {
        /// Its name.
        name: Name,
        /// Its password.
        password: Password,
    },
    /// A new session.
    Login {
        /// Who.
        name: Name,
        /// The password.
        password: Password,
        /// The key that will resume the session.
        device: PublicKey,
    },
    /// Another password; every other session ends.
    Passwd {
        /// The one so far.
        old: Password,
        /// The new one.
        new: Password,
    },
    /// Ends the session.
    Logout,
    /// Who is logged in.
    List,
    /// Who has how many points.
    Leaders,
    /// Asks somebody to play, or to go on with a suspended match.
    Begin {
        /// Whom.
        to: Name,
        /// What.
        game: GameSpec,
        /// The match key made for it.
        key: PublicKey,
    },
    /// Accepts an invitation.
    Accept {
        /// Whose.
        from: Name,
        /// The match key made for it.
        key: PublicKey,
    },
    /// Declines an invitation.
    Decline {
        /// Whose.
        from: Name,
    },
    /// Leaves the match: it is suspended.
    Leave {
        /// Which.
        match_id: MatchId,
    },
    /// Asks for one's seat under another key: the match file is on another device, or lost.
    TakeSeat {
        /// In which match.
        match_id: MatchId,
        /// The match key made for it.
        key: PublicKey,
    },
}

/// What a request gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done, and on disk.
    Done,
    /// Who is logged in.
    Users {
        /// The first of them, those with a link first.
        rows: Vec<UserRow>,
        /// How many there are.
        total: u32,
    },
    /// Who has how many points.
    Leaders {
        /// The first of them.
        rows: Vec<LeaderRow>,
        /// How many accounts there are.
        total: u32,
    },
}

/// One line of `list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Who.
    pub name: Name,
    /// What they do.
    pub state: UserState,
}

/// What a user who is logged in does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserState {
    /// Has a link and no match.
    Free,
    /// Is in a match.
    Busy,
    /// Has no link.
    Away,
}

/// One line of `leaders`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRow {
    /// Who.
    pub name: Name,
    /// Points.
    pub points: u32,
    /// Matches won.
    pub wins: u32,
    /// Matches drawn.
    pub draws: u32,
    /// Matches lost.
    pub losses: u32,
    /// Matches left open on the own turn.
    pub left: u32,
}

/// All a client must know after it is logged in or back: nothing is replayed, so nothing can be missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The session.
    pub session: SessionId,
    /// The user's id.
    pub user: UserId,
    /// The user's name as it was chosen.
    pub name: Name,
    /// This run of the server.
    pub boot: Boot,
    /// The newest fact.
    pub lsn: Lsn,
    /// Invitations to this user.
    pub invites: Vec<InviteView>,
    /// Matches that are unfinished, or whose verdict this client has not stored.
    pub matches: Vec<MatchView>,
    /// The server has lost state not long ago, and wants to be shown every match on this disk.
    pub show_all: bool,
}

/// An invitation, for the one invited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteView {
    /// Who asks.
    pub by: Name,
    /// What to play.
    pub game: GameSpec,
    /// The suspended match it would go on with.
    pub resume: Option<MatchId>,
}

/// A match, for one of its players.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchView {
    /// The first permission to play. What came after it is for the keepers to say.
    pub grant: Signed<Grant>,
    /// Names of X and O.
    pub names: [Name; 2],
    /// Whether both are seated in it; else it is suspended or decided.
    pub active: bool,
    /// Whether the opponent has a link.
    pub opponent_here: bool,
}

/// How an invitation ended without a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InviteEnd {
    /// The one invited said no.
    Declined,
    /// Nobody answered in time.
    Expired,
    /// One of the two is in a match.
    Busy,
    /// One of the two has logged out.
    Gone,
}

/// How much of a match a keeper holds. Epoch 0 and no head: not even the grant, or no key to speak for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Have {
    /// Which match.
    pub match_id: MatchId,
    /// Of the newest grant known.
    pub epoch: u32,
    /// The end of the chain.
    pub head: Base,
}

/// A stretch of the history of one match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// Which match.
    pub match_id: MatchId,
    /// Grants that the other may not know, by epoch.
    pub grants: Vec<Signed<Grant>>,
    /// In order; at most [`ENTRIES_PER_FRAME_MAX`].
    pub entries: Vec<Signed<Entry>>,
}

/// Proofs of fouls in one match; at most one a seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proofs {
    /// Which match.
    pub match_id: MatchId,
    /// By whose keys the proofs are to be checked; whoever has forgotten the match knows no other way.
    pub grants: Vec<Signed<Grant>>,
    /// The proofs.
    pub fouls: Vec<Foul>,
}

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseReason {
    /// The session is live on a newer connection.
    Superseded,
    /// The session has ended (logout elsewhere, changed password, expiry).
    SessionEnded,
    /// Too many connections.
    Full,
    /// Nothing was heard, or too late: the session is live on a connection that was opened after this one.
    Silent,
    /// What came is not this protocol, or breaks its limits.
    Malformed,
    /// The client does not read what is sent to it.
    Slow,
}

impl KeeperMessage {
    /// Which match it is about.
    #[must_use]
    pub const fn match_id(&self) -> MatchId {
        match self {
            Self::Have(have) => have.match_id,
            Self::Entries(some) => some.match_id,
            Self::Held { held, .. } => held.body.match_id,
            Self::Evidence(proofs) => proofs.match_id,
            Self::Promise(promise) => promise.body.match_id,
            Self::Verdict(verdict) => verdict.body.match_id,
        }
    }
}

impl Entries {
    /// A stretch of history in messages that fit a frame: each has the grants whose base is held once it is taken.
    pub fn split<'a>(
        match_id: MatchId,
        grants: &'a [Signed<Grant>],
        entries: &'a [Verified<Entry>],
    ) -> impl Iterator<Item = Self> + 'a {
        let parts = entries.len().div_ceil(ENTRIES_PER_FRAME_MAX).max(usize::from(!grants.is_empty()));
        (0..parts).map(move |part| {
            let from = (part * ENTRIES_PER_FRAME_MAX).min(entries.len());
            let to = (from + ENTRIES_PER_FRAME_MAX).min(entries.len());
            let end = entries[from..to].last().map_or(0, |entry| entry.body().ply + 1);
            let last = part + 1 == parts;
            let grants = grants.iter().filter(|grant| last || grant.body.base.plies <= end).cloned().collect();
            let entries = entries[from..to].iter().map(|entry| entry.signed().clone()).collect();
            Self { match_id, grants, entries }
        })
    }
}

impl ToClient {
    /// Signs every statement of the server in it. Those passed on from players are signed already.
    pub fn seal(&mut self, key: &SecretKey, server: &ServerId) {
        self.seal_by(server, |bytes| key.sign(bytes));
    }

    /// The same with the server's signatures from elsewhere, over the bytes that are given.
    pub fn seal_by(&mut self, server: &ServerId, sign: impl Fn(&[u8]) -> Signature) {
        match self {
            Self::Live(view) => view.matches.iter_mut().for_each(|of| of.grant.seal(server, &sign)),
            Self::Matched(of) => of.grant.seal(server, sign),
            Self::Keeper(
                KeeperMessage::Entries(Entries { grants, .. }) | KeeperMessage::Evidence(Proofs { grants, .. }),
            ) => {
                grants.iter_mut().for_each(|grant| grant.seal(server, &sign));
            }
            Self::Keeper(KeeperMessage::Held { keeper: Keeper::Server, held }) => held.seal(server, sign),
            Self::Keeper(KeeperMessage::Verdict(verdict)) => verdict.seal(server, sign),
            Self::Keeper(
                KeeperMessage::Have(_)
                | KeeperMessage::Held { keeper: Keeper::Player(_), .. }
                | KeeperMessage::Promise(_),
            )
            | Self::Welcome(_)
            | Self::UpgradeRequired { .. }
            | Self::Answer { .. }
            | Self::ResumeRefused(_)
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::Invited(_)
            | Self::InviteClosed { .. }
            | Self::Suspended { .. }
            | Self::Opponent { .. }
            | Self::EntryRefused { .. }
            | Self::Restarting { .. }
            | Self::Closing { .. }
            | Self::Unsupported { .. }
            | Self::Offered { .. }
            | Self::PromiseWanted { .. }
            | Self::Peer { .. }
            | Self::Announcement(_) => {}
        }
    }
}
