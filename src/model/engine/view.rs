//! What a client is shown: whole pictures, so that nothing can be missed.

use super::Engine;
use crate::model::account::Account;
use crate::model::id::{MatchId, Name, SessionId, UserId};
use crate::model::limits::SETTLED_KEPT;
use crate::model::message::{Answer, InviteView, LeaderRow, MatchView, UserRow, UserState, View};
use crate::model::time::ms;

/// Lines in one answer to `list` or `leaders`, and invitations in a view; at 65 bytes a line they fit in a frame.
const ROWS_MAX: usize = 500;
/// Matches in a view; at 450 bytes a match, the longest rules and names, they fit in a frame beside the invitations.
const MATCHES_SHOWN_MAX: usize = 64;

impl Engine {
    pub(super) fn view(&self, session: SessionId, user: UserId) -> View {
        let account = self.state.account(user).expect("a session has an account");
        let asked = self.state.invites().filter(|open| open.to == user);
        let invite = |open: &crate::model::game::Invite| {
            let by = self.state.account(open.from)?.name.clone();
            Some(InviteView { by, game: open.game.clone(), resume: open.resume })
        };
        // Those that do not fit come once the client has stored the verdicts among these.
        let first = account.seated.into_iter();
        let decided = |id: &MatchId| self.state.game(*id).is_some_and(|of| of.ruling.is_some());
        let (told, open): (Vec<_>, Vec<_>) = account.open.iter().copied().partition(decided);
        let others = told.into_iter().chain(open).filter(|id| Some(*id) != account.seated);
        View {
            session,
            user,
            name: account.name.clone(),
            boot: self.boot,
            lsn: self.appended,
            invites: asked.take(ROWS_MAX).filter_map(invite).collect(),
            matches: first.chain(others).take(MATCHES_SHOWN_MAX).filter_map(|id| self.match_view(id, user)).collect(),
            show_all: self.state.lost().is_some_and(|lost| self.uptime().0.saturating_sub(lost.0) < ms(SETTLED_KEPT)),
        }
    }

    pub(super) fn match_view(&self, match_id: MatchId, user: UserId) -> Option<MatchView> {
        let of = self.state.game(match_id)?;
        let opponent = of.user(of.seat_of(user)?.other());
        Some(MatchView {
            grant: of.evidence.chain.grants()[0].clone(),
            names: self.names(match_id),
            active: self.state.is_active(of),
            opponent_here: self.live.contains_key(&opponent),
        })
    }

    /// Names of X and O. Of a match taken from a player the other may be unknown here.
    pub(super) fn names(&self, match_id: MatchId) -> [Name; 2] {
        self.names_of(self.state.game(match_id).expect("the caller has it").grant().users)
    }

    pub(super) fn names_of(&self, users: [UserId; 2]) -> [Name; 2] {
        let unknown = || Name::new("unknown").expect("a good name");
        users.map(|user| self.state.account(user).map_or_else(unknown, |account| account.name.clone()))
    }

    pub(super) fn users(&self) -> Answer {
        let state = |account: &Account| {
            if !self.live.contains_key(&account.user) {
                UserState::Away
            } else if account.seated.is_some() {
                UserState::Busy
            } else {
                UserState::Free
            }
        };
        let row = |account: &Account| UserRow { name: account.name.clone(), state: state(account) };
        let here = self.live.keys().filter_map(|user| self.state.account(*user));
        let away = self.state.sessions().filter(|session| !self.live.contains_key(&session.user));
        let away = away.filter_map(|session| self.state.account(session.user));
        let mut rows: Vec<UserRow> = here.chain(away).take(ROWS_MAX).map(row).collect();
        rows.sort_by_cached_key(|row| (row.state, row.name.key()));
        Answer::Users { rows, total: self.state.session_count() }
    }

    pub(super) fn leaders(&self) -> Answer {
        let row = |account: &Account| LeaderRow {
            name: account.name.clone(),
            points: account.points(),
            wins: account.tally.wins,
            draws: account.tally.draws,
            losses: account.tally.losses,
            left: u32::try_from(self.state.left(account)).unwrap_or(u32::MAX),
        };
        let rows = self.state.leaders().take(ROWS_MAX).map(row).collect();
        Answer::Leaders { rows, total: self.state.account_count() }
    }
}
