//! `rejoin admin dump`: the state for other programs, as one JSON object.
//!
//! What must hold: no password hash is in it. Finished matches that both players know of are in the archive and appear
//! as their verdicts.

use std::io;

use serde::Serialize;

use super::{Admin, Code, Desk};
use crate::model::account::{Account, Session};
use crate::model::decide::why;
use crate::model::game::{Invite, Match, Proven, Settled};
use crate::model::games::Seat;
use crate::model::id::{Lsn, UserId};
use crate::model::sign::Signed;
use crate::model::state::State;
use crate::model::statement::{Act, Entry, Foul, Grant, Ruling};

/// Write the whole state as JSON, without anything secret.
#[derive(clap::Args, Clone, Debug)]
pub struct Dump {}

impl Dump {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        let view = desk.view(admin)?;
        let picture = Picture::of(&view.state, view.last);
        serde_json::to_writer_pretty(&mut *desk.out, &picture).map_err(io::Error::from)?;
        writeln!(desk.out)?;
        Ok(Code::Done)
    }
}

/// The state, as it is printed.
#[derive(Serialize)]
struct Picture {
    head: HeadRow,
    accounts: Vec<AccountRow>,
    sessions: Vec<SessionRow>,
    invites: Vec<InviteRow>,
    matches: Vec<MatchRow>,
    verdicts: Vec<VerdictRow>,
    corrections: Vec<CorrectionRow>,
}

#[derive(Serialize)]
struct HeadRow {
    server: Option<String>,
    last_fact: u64,
    boot: u64,
    ended_well: bool,
    at_ms: u64,
    uptime_ms: u64,
    /// When state was last found to be lost.
    lost_uptime_ms: Option<u64>,
}

#[derive(Serialize)]
struct AccountRow {
    user: String,
    name: String,
    since_ms: u64,
    points: u32,
    imported: u32,
    wins: u32,
    draws: u32,
    losses: u32,
    logged_in: bool,
    seated: Option<String>,
    open: Vec<String>,
}

/// Without its id: nobody needs it.
#[derive(Serialize)]
struct SessionRow {
    user: String,
    name: Option<String>,
    device_key: String,
    seen_uptime_ms: u64,
}

#[derive(Serialize)]
struct InviteRow {
    from: Option<String>,
    to: Option<String>,
    game: String,
    resumes: Option<String>,
}

#[derive(Serialize)]
struct MatchRow {
    #[serde(rename = "match")]
    match_id: String,
    game: String,
    epoch: u32,
    users: [String; 2],
    names: [Option<String>; 2],
    keys: [String; 2],
    grants: Vec<GrantRow>,
    asked: [Option<String>; 2],
    recovering: bool,
    active: bool,
    turn: Option<String>,
    rows: Vec<String>,
    entries: Vec<EntryRow>,
    fouls: Vec<[EntryRow; 2]>,
    verdict: Option<RulingRow>,
    told: [bool; 2],
}

/// From `base` on these keys move.
#[derive(Serialize)]
struct GrantRow {
    epoch: u32,
    base: u16,
    keys: [String; 2],
}

/// What changed a verdict after its match had been filed away.
#[derive(Serialize)]
struct CorrectionRow {
    #[serde(rename = "match")]
    match_id: String,
    fouls: Vec<[EntryRow; 2]>,
}

#[derive(Serialize)]
struct EntryRow {
    epoch: u32,
    ply: u16,
    seat: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    play: Option<String>,
    resigns: bool,
    at_ms: u64,
    signature: String,
}

#[derive(Serialize)]
struct RulingRow {
    winner: Option<String>,
    why: &'static str,
}

#[derive(Serialize)]
struct VerdictRow {
    #[serde(rename = "match")]
    match_id: String,
    users: [String; 2],
    names: [Option<String>; 2],
    verdict: RulingRow,
    credit: [u32; 2],
}

impl Picture {
    fn of(state: &State, last: Lsn) -> Self {
        let head = state.head();
        Self {
            head: HeadRow {
                server: head.server.map(|server| server.to_string()),
                last_fact: last.0,
                boot: head.boot.number,
                ended_well: head.ended_well,
                at_ms: head.at.0,
                uptime_ms: head.uptime.0,
                lost_uptime_ms: state.lost().map(|lost| lost.0),
            },
            accounts: state.accounts().map(AccountRow::of).collect(),
            sessions: state.sessions().map(|session| SessionRow::of(state, session)).collect(),
            invites: state.invites().map(|invite| InviteRow::of(state, invite)).collect(),
            matches: state.games().map(|of| MatchRow::of(state, of)).collect(),
            verdicts: state.verdicts().map(|settled| VerdictRow::of(state, settled)).collect(),
            corrections: state.corrections().map(CorrectionRow::of).collect(),
        }
    }
}

impl AccountRow {
    fn of(account: &Account) -> Self {
        Self {
            user: account.user.to_string(),
            name: account.name.to_string(),
            since_ms: account.since.0,
            points: account.points(),
            imported: account.imported,
            wins: account.tally.wins,
            draws: account.tally.draws,
            losses: account.tally.losses,
            logged_in: account.session.is_some(),
            seated: account.seated.map(|id| id.to_string()),
            open: account.open.iter().map(ToString::to_string).collect(),
        }
    }
}

impl SessionRow {
    fn of(state: &State, session: &Session) -> Self {
        Self {
            user: session.user.to_string(),
            name: name(state, session.user),
            device_key: session.device.to_string(),
            seen_uptime_ms: session.seen.0,
        }
    }
}

impl InviteRow {
    fn of(state: &State, invite: &Invite) -> Self {
        Self {
            from: name(state, invite.from),
            to: name(state, invite.to),
            game: invite.game.name(),
            resumes: invite.resume.map(|id| id.to_string()),
        }
    }
}

impl MatchRow {
    fn of(state: &State, of: &Match) -> Self {
        let (grant, chain) = (of.grant(), &of.evidence.chain);
        Self {
            match_id: grant.match_id.to_string(),
            game: grant.game.name(),
            epoch: grant.epoch,
            users: grant.users.map(|user| user.to_string()),
            names: grant.users.map(|user| name(state, user)),
            keys: grant.keys.map(|key| key.to_string()),
            grants: chain.grants().iter().map(|grant| GrantRow::of(&grant.body)).collect(),
            asked: of.asked.map(|key| key.map(|key| key.to_string())),
            recovering: of.recovering,
            active: state.is_active(of),
            turn: chain.turn().map(|seat| seat.to_string()),
            rows: chain.game().show(),
            entries: chain.entries_from(0).iter().map(|entry| EntryRow::of(entry.signed())).collect(),
            fouls: of.evidence.fouls.iter().flatten().map(pair).collect(),
            verdict: of.ruling.map(RulingRow::of),
            told: of.told,
        }
    }
}

impl GrantRow {
    fn of(grant: &Grant) -> Self {
        Self { epoch: grant.epoch, base: grant.base.plies, keys: grant.keys.map(|key| key.to_string()) }
    }
}

impl CorrectionRow {
    fn of(proven: &Proven) -> Self {
        Self { match_id: proven.match_id.to_string(), fouls: proven.fouls.iter().map(pair).collect() }
    }
}

fn pair(foul: &Foul) -> [EntryRow; 2] {
    [EntryRow::of(&foul.first), EntryRow::of(&foul.second)]
}

impl EntryRow {
    fn of(entry: &Signed<Entry>) -> Self {
        let Signed { body, signature } = entry;
        let play = match &body.act {
            Act::Play(play) => Some(data_encoding::HEXLOWER.encode(play.as_bytes())),
            Act::Resign => None,
        };
        Self {
            epoch: body.epoch,
            ply: body.ply,
            seat: body.seat.to_string(),
            resigns: play.is_none(),
            play,
            at_ms: body.at.0,
            signature: signature.to_string(),
        }
    }
}

impl RulingRow {
    fn of(ruling: Ruling) -> Self {
        Self { winner: ruling.winner().map(|seat: Seat| seat.to_string()), why: why(ruling) }
    }
}

impl VerdictRow {
    fn of(state: &State, settled: &Settled) -> Self {
        Self {
            match_id: settled.match_id.to_string(),
            users: settled.users.map(|user| user.to_string()),
            names: settled.users.map(|user| name(state, user)),
            verdict: RulingRow::of(settled.ruling),
            credit: settled.credit,
        }
    }
}

fn name(state: &State, user: UserId) -> Option<String> {
    state.account(user).map(|account| account.name.to_string())
}
