//! Who is there and what is played, for whoever looks after a server.

use super::Engine;
use crate::model::id::{MatchId, Name, SessionId};

/// How many there are of everything, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Sessions with a link.
    pub live: usize,
    /// Sessions without one.
    pub away: usize,
    /// Matches under way.
    pub active: usize,
    /// Matches that wait for both players to be there.
    pub suspended: usize,
    /// Matches that are decided and not told to both players.
    pub decided: usize,
    /// Passwords that are hashed or wait to be.
    pub hashing: usize,
    /// Open invitations.
    pub invites: usize,
    /// The first sessions.
    pub sessions: Vec<SessionRow>,
    /// The first matches.
    pub matches: Vec<MatchRow>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Which.
    pub session: SessionId,
    /// Whose.
    pub user: Name,
    /// Whether it has a link.
    pub live: bool,
    /// The match its user is seated in.
    pub seated: Option<MatchId>,
}

/// One match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchRow {
    /// Which.
    pub match_id: MatchId,
    /// X and O.
    pub names: [Name; 2],
    /// What is played.
    pub game: String,
    /// Moves that are on the server's disk.
    pub plies: u16,
    /// `active`, `suspended` or `decided`.
    pub state: &'static str,
}

impl Engine {
    /// Counts, with at most so many rows of each kind. It looks at every session and every unfinished match.
    #[must_use]
    pub fn census(&self, rows_max: usize) -> Census {
        let mut census =
            Census { hashing: self.jobs.len(), invites: self.state.invites().count(), ..Census::default() };
        for session in self.state.sessions() {
            let live = self.live.contains_key(&session.user);
            *if live { &mut census.live } else { &mut census.away } += 1;
            if census.sessions.len() < rows_max
                && let Some(account) = self.state.account(session.user)
            {
                let (user, seated) = (account.name.clone(), account.seated);
                census.sessions.push(SessionRow { session: session.session, user, live, seated });
            }
        }
        for of in self.state.games() {
            let (count, state) = if of.ruling.is_some() {
                (&mut census.decided, "decided")
            } else if self.state.is_active(of) {
                (&mut census.active, "active")
            } else {
                (&mut census.suspended, "suspended")
            };
            *count += 1;
            if census.matches.len() < rows_max {
                let match_id = of.grant().match_id;
                let (names, game, plies) = (self.names(match_id), of.grant().game.name(), of.evidence.chain.plies());
                census.matches.push(MatchRow { match_id, names, game, plies, state });
            }
        }
        census
    }
}
