//! Everything the server knows. [`State::apply`] is the only writer, live and in recovery.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::account::{Account, Session, Tally};
use super::evidence::Evidence;
use super::fact::Fact;
use super::game::{Invite, Match, Proven, Settled};
use super::games::Seat;
use super::id::{Boot, InviteId, MatchId, NameKey, SessionId, UserId};
use super::key::{PublicKey, ServerId};
use super::replay::{Replay, Unfit};
use super::sign::{Signed, Verified};
use super::statement::{Foul, Grant, Ruling};
use super::time::{UptimeMs, WallMs};
use super::transcript::Link;
use crate::mutant::{Mutant, is_on};

/// The server's state: a fold of the facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    head: Head,
    accounts: BTreeMap<UserId, Account>,
    names: BTreeMap<NameKey, UserId>,
    ranking: BTreeSet<(Reverse<u32>, NameKey)>,
    sessions: BTreeMap<SessionId, Session>,
    invites: BTreeMap<InviteId, Invite>,
    matches: BTreeMap<MatchId, Match>,
    settled: BTreeMap<MatchId, Settled>,
    /// What has corrected verdicts of matches that are in the archive.
    proven: BTreeMap<MatchId, Proven>,
    retired: Vec<Match>,
    /// Up-time at which the server last found that it had lost state.
    lost: Option<UptimeMs>,
}

/// The small part of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The newest run.
    pub boot: Boot,
    /// Whose state this is.
    pub server: Option<ServerId>,
    /// Whether the newest run has ended well.
    pub ended_well: bool,
    /// When that was, or when it began.
    pub at: WallMs,
    /// Over all runs.
    pub uptime: UptimeMs,
}

/// A part of the state as snapshots hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Piece {
    /// First.
    Head(Head),
    /// One player.
    Account(Box<Account>),
    /// One login.
    Session(Session),
    /// One unfinished or untold match.
    Match(Box<Match>),
    /// One verdict.
    Settled(Settled),
    /// One invitation.
    Invite(Invite),
    /// Up-time at which the server last found that it had lost state.
    Lost(UptimeMs),
    /// What has corrected a verdict.
    Proven(Box<Proven>),
}

impl State {
    /// The newest run, up-time, whether the run before ended well.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Up-time at which the server last found that it had lost state.
    #[must_use]
    pub const fn lost(&self) -> Option<UptimeMs> {
        self.lost
    }

    /// A player by id.
    #[must_use]
    pub fn account(&self, user: UserId) -> Option<&Account> {
        self.accounts.get(&user)
    }

    /// A player by name.
    #[must_use]
    pub fn named(&self, name: &NameKey) -> Option<&Account> {
        self.names.get(name).and_then(|user| self.accounts.get(user))
    }

    /// All players, by id.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.values()
    }

    /// Number of players.
    #[must_use]
    pub fn account_count(&self) -> u32 {
        u32::try_from(self.accounts.len()).unwrap_or(u32::MAX)
    }

    /// Number of sessions.
    #[must_use]
    pub fn session_count(&self) -> u32 {
        u32::try_from(self.sessions.len()).unwrap_or(u32::MAX)
    }

    /// All players, most points first, then by name.
    pub fn leaders(&self) -> impl Iterator<Item = &Account> {
        self.ranking.iter().filter_map(|(_, name)| self.named(name))
    }

    /// A session.
    #[must_use]
    pub fn session(&self, session: SessionId) -> Option<&Session> {
        self.sessions.get(&session)
    }

    /// All sessions.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// An unfinished or untold match.
    #[must_use]
    pub fn game(&self, match_id: MatchId) -> Option<&Match> {
        self.matches.get(&match_id)
    }

    /// All unfinished or untold matches.
    pub fn games(&self) -> impl Iterator<Item = &Match> {
        self.matches.values()
    }

    /// The standing verdict of a match.
    #[must_use]
    pub fn settled(&self, match_id: MatchId) -> Option<&Settled> {
        self.settled.get(&match_id)
    }

    /// All standing verdicts.
    pub fn verdicts(&self) -> impl Iterator<Item = &Settled> {
        self.settled.values()
    }

    /// What has corrected the verdict of a match after it was filed away.
    #[must_use]
    pub fn proven(&self, match_id: MatchId) -> Option<&Proven> {
        self.proven.get(&match_id)
    }

    /// All that has corrected verdicts.
    pub fn corrections(&self) -> impl Iterator<Item = &Proven> {
        self.proven.values()
    }

    /// An open invitation.
    #[must_use]
    pub fn invite(&self, invite: InviteId) -> Option<&Invite> {
        self.invites.get(&invite)
    }

    /// All open invitations.
    pub fn invites(&self) -> impl Iterator<Item = &Invite> {
        self.invites.values()
    }

    /// Whether a match is under way: unfinished, and both players are seated in it.
    #[must_use]
    pub fn is_active(&self, of: &Match) -> bool {
        let seated =
            |user: UserId| self.account(user).is_some_and(|account| account.seated == Some(of.grant().match_id));
        of.ruling.is_none() && of.grant().users.into_iter().all(seated)
    }

    /// How many matches a player has left open on the own turn.
    #[must_use]
    pub fn left(&self, account: &Account) -> usize {
        let waits = |of: &Match| {
            of.ruling.is_none() && !self.is_active(of) && of.evidence.chain.turn() == of.seat_of(account.user)
        };
        account.open.iter().filter_map(|id| self.game(*id)).filter(|of| waits(of)).count()
    }

    /// Drops what left the state: the archive is written from the journal by the snapshot thread, not from here.
    pub fn forget_retired(&mut self) {
        self.retired.clear();
    }

    fn account_mut(&mut self, user: UserId) -> Result<&mut Account, Unfit> {
        self.accounts.get_mut(&user).ok_or_else(|| Unfit(format!("there is no user {user}")))
    }

    fn game_mut(&mut self, match_id: MatchId) -> Result<&mut Match, Unfit> {
        self.matches.get_mut(&match_id).ok_or_else(|| Unfit(format!("there is no open match {match_id}")))
    }

    fn add_account(&mut self, account: Account) -> Result<(), Unfit> {
        let key = account.name.key();
        if self.names.insert(key.clone(), account.user).is_some() {
            return Err(Unfit(format!("the name {} is there twice", account.name)));
        }
        self.ranking.insert((Reverse(account.points()), key));
        if self.accounts.insert(account.user, account).is_some() {
            return Err(Unfit("a user id is there twice".to_owned()));
        }
        Ok(())
    }

    fn end_session(&mut self, session: SessionId) -> Result<(), Unfit> {
        let ended = self.sessions.remove(&session).ok_or_else(|| Unfit(format!("there is no session {session}")))?;
        let account = self.account_mut(ended.user)?;
        account.session.take_if(|live| *live == session);
        Ok(())
    }

    fn log_in(&mut self, session: SessionId, user: UserId, device: PublicKey) -> Result<(), Unfit> {
        if let Some(before) = self.account_mut(user)?.session.filter(|_| !is_on(Mutant::OldSessionKept)) {
            self.end_session(before)?;
        }
        self.account_mut(user)?.session = Some(session);
        let seen = self.head.uptime;
        self.sessions.insert(session, Session { session, user, device, seen, answered: Default::default() });
        Ok(())
    }

    fn start(&mut self, grant: &Grant) -> Result<(), Unfit> {
        self.open(grant, false)?;
        self.seat(grant.match_id)
    }

    fn open(&mut self, grant: &Grant, recovering: bool) -> Result<(), Unfit> {
        let id = grant.match_id;
        if self.matches.contains_key(&id) || self.settled.contains_key(&id) {
            return Err(Unfit(format!("match {id} is granted twice")));
        }
        let evidence =
            Evidence::new(Signed::unsigned(grant.clone())).map_err(|why| Unfit(format!("match {id}: {why}")))?;
        let of = Match { recovering, ..Match::new(evidence, self.head.uptime) };
        self.matches.insert(id, of);
        self.players_of(grant.users, |account| {
            account.open.insert(id);
        });
        Ok(())
    }

    /// Changes those of two players whose accounts are here: of a match taken from a player the other may be unknown.
    fn players_of(&mut self, users: [UserId; 2], mut change: impl FnMut(&mut Account)) {
        for user in users {
            if let Some(account) = self.accounts.get_mut(&user) {
                change(account);
            }
        }
    }

    /// Seats both players in a match; invitations to and from them are gone.
    fn seat(&mut self, match_id: MatchId) -> Result<(), Unfit> {
        let uptime = self.head.uptime;
        let of = self.game_mut(match_id)?;
        of.touched = uptime;
        let users = of.grant().users;
        self.players_of(users, |account| account.seated = Some(match_id));
        self.invites.retain(|_, invite| !users.contains(&invite.from) && !users.contains(&invite.to));
        Ok(())
    }

    fn unseat(&mut self, match_id: MatchId) -> Result<(), Unfit> {
        let users = self.game_mut(match_id)?.grant().users;
        self.players_of(users, |account| {
            account.seated.take_if(|seated| *seated == match_id);
        });
        Ok(())
    }

    fn play(&mut self, match_id: MatchId, ply: u16, link: Link) -> Result<(), Unfit> {
        let uptime = self.head.uptime;
        let of = self.game_mut(match_id)?;
        of.touched = uptime;
        if of.evidence.chain.plies() != ply {
            return Err(Unfit(format!("match {match_id} has {} entries, not {ply}", of.evidence.chain.plies())));
        }
        of.evidence.chain.take(link).map_err(|why| Unfit(format!("match {match_id}: {why}")))
    }

    fn settle(&mut self, match_id: MatchId, ruling: Ruling, credit: [u32; 2]) -> Result<(), Unfit> {
        let of = self.game_mut(match_id)?;
        of.ruling = Some(ruling);
        of.told = [false; 2];
        let users = of.grant().users;
        // Who has stored the verdict before this one does not have it yet.
        self.players_of(users, |account| {
            account.open.insert(match_id);
        });
        self.rule(match_id, users, ruling, credit);
        self.unseat(match_id)
    }

    /// Puts a verdict, and its points, in place of the one before.
    fn rule(&mut self, match_id: MatchId, users: [UserId; 2], ruling: Ruling, credit: [u32; 2]) {
        let before = self.settled.insert(match_id, Settled { match_id, users, ruling, credit });
        let again = |before: &Settled| before.ruling == ruling && is_on(Mutant::VerdictScoredAgain);
        let before = before.filter(|before| !again(before) && !is_on(Mutant::CorrectionScoredTwice));
        for seat in Seat::BOTH {
            let at = seat.index();
            self.score(users[at], |tally| {
                if let Some(before) = before {
                    tally.count(before.ruling.fared(seat), before.credit[at], false);
                }
                tally.count(ruling.fared(seat), credit[at], true);
            });
        }
    }

    fn correct(&mut self, match_id: MatchId, foul: &Foul, ruling: Ruling, credit: [u32; 2]) -> Result<(), Unfit> {
        let before = self.settled.get(&match_id).ok_or_else(|| Unfit(format!("match {match_id} has no verdict")))?;
        self.rule(match_id, before.users, ruling, credit);
        let proven = self.proven.entry(match_id).or_insert(Proven { match_id, fouls: Vec::new() });
        proven.fouls.push(foul.clone());
        Ok(())
    }

    fn regrant(&mut self, grant: &Grant) -> Result<(), Unfit> {
        let uptime = self.head.uptime;
        let of = self.game_mut(grant.match_id)?;
        of.touched = uptime;
        of.asked = [None; 2];
        let signed = Verified::from_disk(Signed::unsigned(grant.clone()));
        of.evidence.regrant(&signed).map_err(|why| Unfit(format!("match {}: {why}", grant.match_id)))
    }

    /// Who asked for a seat may have it by a grant that was lost; who has not asks again.
    fn lose(&mut self) {
        self.lost = Some(self.head.uptime);
        for of in self.matches.values_mut() {
            (of.recovering, of.asked) = (true, [None; 2]);
        }
    }

    /// Changes a tally and the place in the ranking. An unknown user is recorded but not scored.
    fn score(&mut self, user: UserId, change: impl FnOnce(&mut Tally)) {
        let Some(account) = self.accounts.get_mut(&user) else { return };
        let key = account.name.key();
        self.ranking.remove(&(Reverse(account.points()), key.clone()));
        change(&mut account.tally);
        self.ranking.insert((Reverse(account.points()), key));
    }

    fn tell(&mut self, match_id: MatchId, seat: Seat) -> Result<(), Unfit> {
        let of = self.game_mut(match_id)?;
        of.told[seat.index()] = true;
        let (users, told) = (of.grant().users, of.told);
        let all = Seat::BOTH.map(Seat::index).into_iter().all(|at| told[at] || !self.accounts.contains_key(&users[at]));
        self.account_mut(users[seat.index()])?.open.remove(&match_id);
        if all { self.shelve(match_id) } else { Ok(()) }
    }

    fn shelve(&mut self, match_id: MatchId) -> Result<(), Unfit> {
        self.unseat(match_id)?;
        let Some(of) = self.matches.remove(&match_id) else { return Ok(()) };
        self.players_of(of.grant().users, |account| {
            account.open.remove(&match_id);
        });
        self.retired.push(of);
        Ok(())
    }
}

impl Replay for State {
    type Fact = Fact;
    type Piece = Piece;
    type Retired = Match;

    fn apply(&mut self, fact: &Fact) -> Result<(), Unfit> {
        match fact {
            Fact::Booted { boot, server, at } => {
                let uptime = self.head.uptime;
                self.head = Head { boot: *boot, server: Some(*server), ended_well: false, at: *at, uptime };
                if is_on(Mutant::AnswersForgotten) {
                    self.sessions.values_mut().for_each(|session| session.answered.clear());
                }
            }
            Fact::Stopped { at } => {
                self.head.ended_well = true;
                self.head.at = *at;
            }
            Fact::Uptime { uptime, live } => {
                self.head.uptime = *uptime;
                for session in live {
                    if let Some(session) = self.sessions.get_mut(session) {
                        session.seen = *uptime;
                    }
                }
            }
            Fact::AccountAdded { user, name, password, origin, points, at } => self.add_account(Account {
                user: *user,
                name: name.clone(),
                password: password.clone(),
                origin: *origin,
                since: *at,
                imported: *points,
                tally: Tally::default(),
                session: None,
                seated: None,
                open: BTreeSet::new(),
            })?,
            Fact::PasswordChanged { user, password, keep } => {
                let account = self.account_mut(*user)?;
                account.password = password.clone();
                let ends = |session: &SessionId| Some(*session) != *keep && !is_on(Mutant::OldSessionKept);
                if let Some(session) = account.session.filter(ends) {
                    self.end_session(session)?;
                }
            }
            Fact::LoggedIn { session, user, device, at: _ } => self.log_in(*session, *user, *device)?,
            Fact::LoggedOut { session } => self.end_session(*session)?,
            Fact::Invited { invite, from, to, game, key, resume } => {
                let (invite, from, to, key, resume) = (*invite, *from, *to, *key, *resume);
                self.invites.insert(invite, Invite { invite, from, to, game: game.clone(), key, resume });
            }
            Fact::InviteClosed { invite } => {
                self.invites.remove(invite);
            }
            Fact::MatchStarted { grant } => self.start(grant)?,
            Fact::MatchResumed { match_id } => self.seat(*match_id)?,
            Fact::MatchLeft { match_id } => self.unseat(*match_id)?,
            Fact::Played { match_id, ply, act, at, signature } => {
                self.play(*match_id, *ply, Link { act: act.clone(), at: *at, signature: *signature })?;
            }
            Fact::Fouled { match_id, foul } => self.game_mut(*match_id)?.evidence.convict((**foul).clone()),
            Fact::Settled { match_id, ruling, credit } => self.settle(*match_id, *ruling, *credit)?,
            Fact::Told { match_id, seat } => self.tell(*match_id, *seat)?,
            Fact::Shelved { match_id } => self.shelve(*match_id)?,
            Fact::Answered { session, run, seq } => {
                // A request may have ended its own session.
                if let Some(session) = self.sessions.get_mut(session) {
                    session.answer(*run, *seq);
                }
            }
            Fact::SeatAsked { match_id, seat, key } => {
                self.game_mut(*match_id)?.asked[seat.index()] = Some(*key);
            }
            Fact::Regranted { grant } => self.regrant(grant)?,
            Fact::StateLost { at: _ } => self.lose(),
            Fact::MatchTaken { grant } => self.open(grant, true)?,
            Fact::Heard { match_id } => self.game_mut(*match_id)?.recovering = false,
            Fact::Corrected { match_id, foul, ruling, credit } => self.correct(*match_id, foul, *ruling, *credit)?,
        }
        Ok(())
    }

    fn pieces(&self) -> Box<dyn Iterator<Item = Piece> + '_> {
        let head = std::iter::once(Piece::Head(self.head.clone()));
        let accounts = self.accounts.values().map(|account| Piece::Account(Box::new(account.clone())));
        let sessions = self.sessions.values().map(|session| Piece::Session(session.clone()));
        let matches = self.matches.values().map(|of| Piece::Match(Box::new(of.clone())));
        let kept = |_: &&Settled| !is_on(Mutant::VerdictsNotInSnapshot);
        let settled = self.settled.values().filter(kept).map(|settled| Piece::Settled(*settled));
        let invites = self.invites.values().map(|invite| Piece::Invite(invite.clone()));
        let lost = self.lost.map(Piece::Lost);
        let proven = self.proven.values().map(|proven| Piece::Proven(Box::new(proven.clone())));
        let of_matches = matches.chain(settled).chain(invites).chain(lost).chain(proven);
        Box::new(head.chain(accounts).chain(sessions).chain(of_matches))
    }

    fn absorb(&mut self, piece: Piece) -> Result<(), Unfit> {
        match piece {
            Piece::Head(head) => self.head = head,
            Piece::Account(account) => self.add_account(*account)?,
            Piece::Session(session) => {
                self.sessions.insert(session.session, session);
            }
            Piece::Match(of) => {
                self.matches.insert(of.grant().match_id, *of);
            }
            Piece::Lost(uptime) => self.lost = Some(uptime),
            Piece::Proven(proven) => {
                self.proven.insert(proven.match_id, *proven);
            }
            Piece::Settled(settled) => {
                self.settled.insert(settled.match_id, settled);
            }
            Piece::Invite(invite) => {
                self.invites.insert(invite.invite, invite);
            }
        }
        Ok(())
    }

    fn retire(&mut self) -> Vec<Match> {
        std::mem::take(&mut self.retired)
    }
}
