//! What the engine has to say to the log, as plain data; names and levels are given by `ops`.

use std::net::IpAddr;

use super::games::Seat;
use super::id::{Boot, Lsn, MatchId, Name, SessionId};
use super::refusal::Refusal;
use super::statement::Ruling;

/// Something worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An account was made.
    UserAdded {
        /// Its name.
        user: Name,
        /// From where.
        ip: IpAddr,
    },
    /// A login succeeded.
    LoginOk {
        /// Who.
        user: Name,
        /// From where.
        ip: IpAddr,
        /// The new session.
        session: SessionId,
    },
    /// A login failed.
    LoginFailed {
        /// The name that was given.
        user: Name,
        /// From where.
        ip: IpAddr,
    },
    /// A session was taken up again.
    Resumed {
        /// Who.
        user: Name,
        /// From where.
        ip: IpAddr,
        /// Which.
        session: SessionId,
    },
    /// A session was not taken up again.
    ResumeRefused {
        /// From where.
        ip: IpAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A session ended.
    LoggedOut {
        /// Who.
        user: Name,
    },
    /// A user has no link any more.
    Away {
        /// Who.
        user: Name,
        /// From where they were connected.
        ip: IpAddr,
        /// Their session.
        session: SessionId,
        /// How the link ended.
        cause: LinkEnd,
    },
    /// A match began.
    MatchStarted {
        /// Which.
        match_id: MatchId,
        /// X and O.
        names: [Name; 2],
        /// Their addresses.
        ips: [Option<IpAddr>; 2],
        /// What is played.
        game: String,
    },
    /// A match was left unfinished.
    MatchSuspended {
        /// Which.
        match_id: MatchId,
        /// By whom.
        by: Name,
    },
    /// A suspended match goes on.
    MatchResumed {
        /// Which.
        match_id: MatchId,
        /// X and O.
        names: [Name; 2],
    },
    /// A player is back at the board of a match in play.
    MatchRejoined {
        /// Which.
        match_id: MatchId,
        /// Who.
        user: Name,
        /// From where.
        ip: IpAddr,
    },
    /// A match has its verdict, or another one.
    MatchSettled {
        /// Which.
        match_id: MatchId,
        /// X and O.
        names: [Name; 2],
        /// Their addresses.
        ips: [Option<IpAddr>; 2],
        /// The verdict.
        ruling: Ruling,
        /// Number of entries.
        plies: u16,
    },
    /// A player signed twice at one ply.
    Foul {
        /// In which match.
        match_id: MatchId,
        /// Who.
        by: Seat,
    },
    /// A foul proved after the match was filed away has changed its verdict.
    VerdictCorrected {
        /// Of which match.
        match_id: MatchId,
        /// The new one.
        ruling: Ruling,
    },
    /// A player asks for a seat under another key.
    SeatAsked {
        /// In which match.
        match_id: MatchId,
        /// Who.
        by: Name,
    },
    /// A seat's key has changed.
    Regranted {
        /// In which match.
        match_id: MatchId,
        /// Of the newest grant.
        epoch: u32,
        /// Number of entries that stand.
        base: u16,
    },
    /// A match the server had no record of was taken from a player.
    MatchTaken {
        /// Which.
        match_id: MatchId,
        /// From whom.
        by: Name,
    },
    /// The server has found that it has lost state.
    StateLost {
        /// Number of matches that are open, of which players may hold more.
        open: usize,
    },
    /// An entry was not taken.
    EntryRefused {
        /// Of which match.
        match_id: MatchId,
        /// From where.
        ip: IpAddr,
        /// Why.
        refusal: Refusal,
    },
    /// A client has seen a later state of this server: an older one was restored.
    StateRolledBack {
        /// Who has.
        user: Name,
        /// What was seen.
        seen: (Boot, Lsn),
        /// What is here.
        here: (Boot, Lsn),
    },
}

/// How a link ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// The other side closed it.
    Closed,
    /// The connection broke.
    Reset,
    /// Nothing was heard for too long.
    Silence,
    /// This side closed it.
    Ours,
}
