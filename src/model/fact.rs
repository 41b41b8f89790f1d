//! Facts: everything that ever changes the state, as the journal holds it.
//!
//! The list only grows at its end: the journal of an older version stays readable.

use serde::{Deserialize, Serialize};

use super::games::GameSpec;
use super::games::Seat;
use super::id::{Boot, InviteId, MatchId, Name, RequestSeq, Run, SessionId, UserId};
use super::key::{PublicKey, ServerId, Signature};
use super::password::PasswordHash;
use super::statement::{Act, Foul, Grant, Ruling};
use super::time::{UptimeMs, WallMs};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A run of the server began.
    Booted {
        /// Its number.
        boot: Boot,
        /// Whose keys it has.
        server: ServerId,
        /// When.
        at: WallMs,
    },
    /// The run ended well.
    Stopped {
        /// When.
        at: WallMs,
    },
    /// Up-time so far, and who was there.
    Uptime {
        /// Over all runs.
        uptime: UptimeMs,
        /// Sessions with a link just then.
        live: Vec<SessionId>,
    },
    /// A new account.
    AccountAdded {
        /// Its id.
        user: UserId,
        /// Its name.
        name: Name,
        /// Its password, hashed.
        password: PasswordHash,
        /// The request that asked for it, so that asking again is answered as before.
        origin: Option<(Run, RequestSeq)>,
        /// Points it starts with (an import).
        points: u32,
        /// When.
        at: WallMs,
    },
    /// Another password; every session but `keep` ends.
    PasswordChanged {
        /// Whose.
        user: UserId,
        /// The new one, hashed.
        password: PasswordHash,
        /// The session that asked.
        keep: Option<SessionId>,
    },
    /// A login; the user's session before ends.
    LoggedIn {
        /// The new session.
        session: SessionId,
        /// Whose.
        user: UserId,
        /// The key that resumes it.
        device: PublicKey,
        /// When.
        at: WallMs,
    },
    /// A session ended.
    LoggedOut {
        /// Which.
        session: SessionId,
    },
    /// An invitation.
    Invited {
        /// Its id.
        invite: InviteId,
        /// Who asks.
        from: UserId,
        /// Who is asked.
        to: UserId,
        /// What to play.
        game: GameSpec,
        /// The inviter's match key.
        key: PublicKey,
        /// The suspended match to go on with, if there is one.
        resume: Option<MatchId>,
    },
    /// An invitation is gone without a match.
    InviteClosed {
        /// Which.
        invite: InviteId,
    },
    /// A match was granted; both players are seated in it.
    MatchStarted {
        /// The permission to play.
        grant: Grant,
    },
    /// A suspended match goes on; both players are seated in it.
    MatchResumed {
        /// Which.
        match_id: MatchId,
    },
    /// A player left an unfinished match: it is suspended.
    MatchLeft {
        /// Which.
        match_id: MatchId,
    },
    /// The next entry of a match.
    Played {
        /// Which match.
        match_id: MatchId,
        /// From 0.
        ply: u16,
        /// What.
        act: Act,
        /// The player's word for when.
        at: WallMs,
        /// The player's signature over the entry.
        signature: Signature,
    },
    /// Proof of a foul.
    Fouled {
        /// Which match.
        match_id: MatchId,
        /// The proof.
        foul: Box<Foul>,
    },
    /// The verdict and, in the same fact, the points; replaces the verdict before.
    Settled {
        /// Which match.
        match_id: MatchId,
        /// What the evidence says.
        ruling: Ruling,
        /// Points for X and O.
        credit: [u32; 2],
    },
    /// A player has the verdict and its evidence on disk.
    Told {
        /// Which match.
        match_id: MatchId,
        /// Who.
        seat: Seat,
    },
    /// A match nobody touched for long goes to the archive.
    Shelved {
        /// Which.
        match_id: MatchId,
    },
    /// A request was carried out; in the same batch as what it changed.
    Answered {
        /// Who asked.
        session: SessionId,
        /// In which run of the client.
        run: Run,
        /// Which request.
        seq: RequestSeq,
    },
    /// A player asks for a seat under another key.
    SeatAsked {
        /// In which match.
        match_id: MatchId,
        /// Which seat.
        seat: Seat,
        /// The new key.
        key: PublicKey,
    },
    /// A seat's key has changed: what is not in the base of this grant is dropped.
    Regranted {
        /// The newest permission to play.
        grant: Grant,
    },
    /// The server found that it has lost state: of the matches open now, players may hold more than it knows.
    StateLost {
        /// When it was found.
        at: WallMs,
    },
    /// A match the server had no record of, taken from a player. Nobody is seated in it.
    MatchTaken {
        /// The first permission to play, signed by this server's key in its time.
        grant: Grant,
    },
    /// Both seats have shown what they hold of a match that was open when state was lost, or taken from a player.
    Heard {
        /// Which.
        match_id: MatchId,
    },
    /// A foul proved after a match had been filed away: the verdict and the points change.
    Corrected {
        /// Which match.
        match_id: MatchId,
        /// The proof.
        foul: Box<Foul>,
        /// What the evidence says now.
        ruling: Ruling,
        /// Points for X and O.
        credit: [u32; 2],
    },
}
