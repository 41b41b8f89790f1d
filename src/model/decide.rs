//! The rules: what a request changes, or why not. Reads the state, changes nothing.

use super::account::{Account, Session};
use super::evidence::{Merge, Step};
use super::fact::Fact;
use super::game::{Invite, Match, Settled};
use super::games::GameSpec;
use super::games::Seat;
use super::id::{InviteId, MatchId, Name, RequestSeq, Run, SessionId, UserId};
use super::key::{PublicKey, ServerId};
use super::limits::{EPOCHS_MAX, INVITES_OPEN_MAX, MATCHES_OPEN_MAX, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN};
use super::password::{Password, PasswordHash};
use super::refusal::Refusal;
use super::sign::Verified;
use super::state::State;
use super::statement::{Base, Entry, Fared, Foul, Grant, Promise, Ruling};
use super::time::WallMs;
use crate::mutant::{Mutant, is_on};

/// What a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These facts, in one batch.
    New(Vec<Fact>),
    /// It was done before: answer as before.
    Again,
}

/// Points a match gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Points {
    /// For a win.
    pub win: u32,
    /// For a draw.
    pub draw: u32,
    /// For a loss.
    pub loss: u32,
}

impl Default for Points {
    fn default() -> Self {
        Self { win: 2, draw: 1, loss: 0 }
    }
}

impl Points {
    /// What a result gives.
    #[must_use]
    pub const fn of(self, fared: Fared) -> u32 {
        match fared {
            Fared::Win => self.win,
            Fared::Draw => self.draw,
            Fared::Loss => self.loss,
            Fared::Void => 0,
        }
    }
}

/// Whether a password may be chosen.
///
/// # Errors
/// [`Refusal::BadPassword`].
pub fn choosable(password: &Password) -> Result<(), Refusal> {
    if (PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX).contains(&password.expose().len()) {
        Ok(())
    } else {
        Err(Refusal::BadPassword)
    }
}

/// A new account.
///
/// # Errors
/// [`Refusal::UserExists`].
pub fn add_user(
    state: &State,
    user: UserId,
    name: &Name,
    password: PasswordHash,
    origin: (Run, RequestSeq),
    at: WallMs,
) -> Result<Decision, Refusal> {
    match state.named(&name.key()) {
        Some(account)
            if account.origin == Some(origin) && account.name == *name && !is_on(Mutant::RequestsDoneTwice) =>
        {
            Ok(Decision::Again)
        }
        Some(_) => Err(Refusal::UserExists),
        None => Ok(Decision::New(vec![Fact::AccountAdded {
            user,
            name: name.clone(),
            password,
            origin: Some(origin),
            points: 0,
            at,
        }])),
    }
}

/// A login with the right password. `live` is the session that has a link just then.
///
/// # Errors
/// [`Refusal::LoggedInElsewhere`] if another device is connected.
pub fn log_in(
    account: &Account,
    live: Option<&Session>,
    session: SessionId,
    device: PublicKey,
    at: WallMs,
) -> Result<Vec<Fact>, Refusal> {
    if live.is_some_and(|live| live.device != device) {
        return Err(Refusal::LoggedInElsewhere);
    }
    Ok(vec![Fact::LoggedIn { session, user: account.user, device, at }])
}

/// An invitation to play, or to go on with the suspended match of the two by the same rules.
///
/// # Errors
/// Why it cannot be made.
pub fn begin(
    state: &State,
    from: &Account,
    to: &Name,
    opponent_here: impl Fn(UserId) -> bool,
    game: &GameSpec,
    key: PublicKey,
    invite: InviteId,
) -> Result<Vec<Fact>, Refusal> {
    let to = state.named(&to.key()).ok_or(Refusal::NoSuchUser)?;
    game.start().map_err(|_| Refusal::UnknownGame)?;
    may_sit(from, to)?;
    if !opponent_here(to.user) {
        return Err(Refusal::OpponentOffline);
    }
    let mine = || state.invites().filter(|open| open.from == from.user);
    if mine().any(|open| open.to == to.user) {
        return Err(Refusal::AlreadyInvited);
    }
    if mine().count() >= INVITES_OPEN_MAX {
        return Err(Refusal::TooManyInvites);
    }
    let resume = suspended(state, from, to, game);
    if resume.is_none() && from.open.len().max(to.open.len()) >= MATCHES_OPEN_MAX {
        return Err(Refusal::TooManyMatches);
    }
    Ok(vec![Fact::Invited { invite, from: from.user, to: to.user, game: game.clone(), key, resume }])
}

/// The invitation of `from` that `to` accepts: a new grant, or the suspended match again.
///
/// # Errors
/// Why it cannot be accepted.
pub fn accept(
    state: &State,
    invite: &Invite,
    key: PublicKey,
    server: ServerId,
    match_id: MatchId,
    inviter_is_x: bool,
    settle_by: WallMs,
) -> Result<Vec<Fact>, Refusal> {
    let from = state.account(invite.from).ok_or(Refusal::NoInvite)?;
    let to = state.account(invite.to).ok_or(Refusal::NoInvite)?;
    may_sit(to, from)?;
    let still_open = |id: &MatchId| state.game(*id).is_some_and(|of| of.ruling.is_none());
    if let Some(match_id) = invite.resume.filter(still_open) {
        return Ok(vec![Fact::MatchResumed { match_id }]);
    }
    if invite.key == key {
        return Err(Refusal::KeyKnown);
    }
    let mut seats = [(from.user, invite.key), (to.user, key)];
    if !inviter_is_x {
        seats.reverse();
    }
    let grant = Grant {
        server,
        match_id,
        epoch: 1,
        base: Base::NONE,
        users: seats.map(|(user, _)| user),
        keys: seats.map(|(_, key)| key),
        game: invite.game.clone(),
        settle_by,
    };
    Ok(vec![Fact::MatchStarted { grant }])
}

/// The open invitation of one to the other.
///
/// # Errors
/// [`Refusal::NoInvite`], [`Refusal::NoSuchUser`].
pub fn invite_from<'a>(state: &'a State, from: &Name, to: UserId) -> Result<&'a Invite, Refusal> {
    let from = state.named(&from.key()).ok_or(Refusal::NoSuchUser)?;
    state.invites().find(|open| open.from == from.user && open.to == to).ok_or(Refusal::NoInvite)
}

/// A player leaves: the match is suspended and blocks nobody.
///
/// # Errors
/// [`Refusal::NoMatch`], [`Refusal::NotAPlayer`].
pub fn leave(state: &State, user: &Account, match_id: MatchId) -> Result<Vec<Fact>, Refusal> {
    let of = playing(state, user.user, match_id)?;
    if user.seated != Some(match_id) || of.ruling.is_some() {
        return Err(Refusal::NoMatch);
    }
    if is_on(Mutant::LeavingLoses) {
        let lost = of.seat_of(user.user).map(|by| Ruling::Resigned { by });
        return Ok(settle(of, lost, Points::default()).into_iter().collect());
    }
    Ok(vec![Fact::MatchLeft { match_id }])
}

/// The match, if it is this user's.
///
/// # Errors
/// [`Refusal::NotAPlayer`].
pub fn playing(state: &State, user: UserId, match_id: MatchId) -> Result<&Match, Refusal> {
    state.game(match_id).filter(|of| of.seat_of(user).is_some()).ok_or(Refusal::NotAPlayer)
}

/// What entries and proofs that a player delivers change: the entries, the fouls, and the verdict that follows, in
/// one batch. Either player may deliver the entries of both.
#[must_use]
pub fn deliver(of: &Match, merge: &Merge, proofs: &[Foul], points: Points) -> Vec<Fact> {
    let match_id = of.grant().match_id;
    let mut facts: Vec<Fact> = merge.adopt.iter().map(|step| grown(match_id, step)).collect();
    let mut fouled = of.evidence.fouls.each_ref().map(Option::is_some);
    for foul in merge.fouls.iter().chain(proofs) {
        // The first proof of each seat is enough.
        if !std::mem::replace(&mut fouled[foul.first.body.seat.index()], true) {
            facts.push(Fact::Fouled { match_id, foul: Box::new(foul.clone()) });
        }
    }
    facts.extend(settle(of, of.evidence.verdict_after(merge, proofs), points));
    facts
}

/// The verdict, if the evidence says another one than stands.
fn settle(of: &Match, verdict: Option<Ruling>, points: Points) -> Option<Fact> {
    let ruling = verdict.filter(|ruling| of.ruling != Some(*ruling) || is_on(Mutant::VerdictScoredAgain))?;
    let credit = Seat::BOTH.map(|seat| points.of(ruling.fared(seat)));
    Some(Fact::Settled { match_id: of.grant().match_id, ruling, credit })
}

/// A player asks for a seat under another key; nothing if that is its key, or was asked for already.
///
/// # Errors
/// [`Refusal::GameOver`] if the match is decided, [`Refusal::TooManyDevices`] if it has moved too often,
/// [`Refusal::KeyKnown`] if a seat has or had that key.
pub fn take_seat(of: &Match, seat: Seat, key: PublicKey) -> Result<Option<Fact>, Refusal> {
    if of.ruling.is_some() || of.evidence.verdict().is_some() {
        return Err(Refusal::GameOver);
    }
    let at = seat.index();
    let known = of.grant().keys[at] == key || of.asked[at] == Some(key);
    let mut keys = of.evidence.chain.grants().iter().flat_map(|grant| grant.body.keys);
    if !known && (keys.any(|used| used == key) || of.asked.contains(&Some(key))) {
        return Err(Refusal::KeyKnown);
    }
    if !known && of.evidence.chain.grants().len() >= EPOCHS_MAX {
        return Err(Refusal::TooManyDevices);
    }
    Ok((!known).then(|| Fact::SeatAsked { match_id: of.grant().match_id, seat, key }))
}

/// The newer grant, once it may be given: see [`Evidence::next_grant`](super::evidence::Evidence::next_grant). A server
/// that has lost state changes no key before it has heard both seats.
#[must_use]
pub fn regrant(of: &Match, promise: Option<(Seat, &Verified<Promise>)>) -> Option<Fact> {
    let may = (!of.recovering || is_on(Mutant::GrantWhileRecovering)) && of.ruling.is_none();
    let grant = may.then(|| of.evidence.next_grant(of.asked, promise)).flatten()?;
    Some(Fact::Regranted { grant })
}

/// What players have shown of a match in one run of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The newest epoch that X and O have shown under its key, and how many entries.
    pub seats: [(u32, u16); 2],
    /// The epoch for which X and O have promised that they take nothing of the one before; 0 without.
    pub promised: [u32; 2],
}

/// That both seats have shown what they hold, and it is here, of a match in which a server that lost state waits for it.
/// The holder of an older key does not speak for its seat; nor does that of the newest one known here if the opponent has
/// promised that seat away, before the device it was promised to asks again: had it been granted, it would show the grant.
#[must_use]
pub fn heard(of: &Match, shown: &Shown) -> Option<Fact> {
    let Grant { match_id, epoch, .. } = *of.grant();
    let here = |seat: Seat| {
        let (newest, plies) = shown.seats[seat.index()];
        let speaks = newest == epoch || is_on(Mutant::StaleHaveCounts);
        let stays = shown.promised[seat.other().index()] <= epoch || of.asked[seat.index()].is_some();
        speaks && stays && plies <= of.evidence.chain.plies()
    };
    (of.recovering && Seat::BOTH.into_iter().all(here)).then_some(Fact::Heard { match_id })
}

/// What proofs change in a match that has been filed away: its verdict was given on evidence no longer at hand. One fact
/// for each seat that is newly convicted.
#[must_use]
pub fn correct(settled: &Settled, fouls: &[Foul], points: Points) -> Vec<Fact> {
    let mut ruling = settled.ruling;
    let mut facts = Vec::new();
    for foul in fouls {
        ruling = match (ruling, foul.first.body.seat) {
            (Ruling::Board { .. } | Ruling::Resigned { .. }, by) => Ruling::Foul { by },
            (Ruling::Foul { by }, other) if by != other => Ruling::Void,
            (Ruling::Foul { .. } | Ruling::Void, _) => continue,
        };
        let credit = Seat::BOTH.map(|seat| points.of(ruling.fared(seat)));
        facts.push(Fact::Corrected { match_id: settled.match_id, foul: Box::new(foul.clone()), ruling, credit });
    }
    facts
}

fn grown(match_id: MatchId, step: &Step) -> Fact {
    match step {
        Step::Grant(grant) => Fact::Regranted { grant: grant.body().clone() },
        Step::Entry(entry) => played(match_id, entry),
    }
}

fn played(match_id: MatchId, entry: &Verified<Entry>) -> Fact {
    let signed = entry.signed();
    Fact::Played {
        match_id,
        ply: signed.body.ply,
        act: signed.body.act.clone(),
        at: signed.body.at,
        signature: signed.signature,
    }
}

/// Whether both may be seated in a match: one match a player.
fn may_sit(me: &Account, other: &Account) -> Result<(), Refusal> {
    if me.user == other.user {
        Err(Refusal::Yourself)
    } else if is_on(Mutant::OneMatchUnchecked) {
        Ok(())
    } else if me.seated.is_some() {
        Err(Refusal::InMatch)
    } else if other.seated.is_some() {
        Err(Refusal::OpponentBusy)
    } else {
        Ok(())
    }
}

/// The unfinished match of two players by these rules.
fn suspended(state: &State, one: &Account, other: &Account, game: &GameSpec) -> Option<MatchId> {
    let fits = |id: &&MatchId| state.game(**id).is_some_and(|of| of.ruling.is_none() && of.grant().game == *game);
    one.open.intersection(&other.open).find(fits).copied()
}

/// A ruling seen as text in logs.
#[must_use]
pub const fn why(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Foul { .. } | Ruling::Void => "foul",
        Ruling::Board { .. } => "board",
        Ruling::Resigned { .. } => "resigned",
    }
}
