//! What is left on the disks in the end, in plain types.
//!
//! What must hold: a disk is read and never changed, locks are not asked for, and nothing is added to what the files
//! say. A disk whose power is gone cannot be read: let it come back (`FaultyDisk::crash`) before, or read a `fork`.
//!
//! ```text
//!  snapshot ─┐                                    standing verdicts, then each new one in order ─> Ledger
//!  journal  ─┴─> State, and what retires from it ─┐
//!  archive  ──────────────────────────────────────┴─> every match ─> Keeper
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::chaos::finals::{Act, Entry, Keeper, Kept, Ledger, Regrant, Scored, Verdict};
use crate::chaos::history::Points;
use crate::client::left;
use crate::model::client::table::Table;
use crate::model::decide;
use crate::model::fact::Fact;
use crate::model::game::{Match, Settled};
use crate::model::games::Seat;
use crate::model::id::{MatchId, Name, UserId};
use crate::model::key::ServerId;
use crate::model::limits::{ANSWERS_MAX, RUNS_MAX};
use crate::model::replay::{Replay, Unfit};
use crate::model::sign;
use crate::model::state::{Piece, State};
use crate::model::statement::{self, Foul, Ruling};
use crate::model::transcript::Transcript;
use crate::store::{self, Disk};

/// Two, and what snapshots that were interrupted have left.
const SNAPSHOTS_MAX: usize = 5;

/// What the server's state directory holds: every match, open or in the archive, and the points.
///
/// # Errors
/// What is damaged or missing, in words.
pub fn server_keeper(disk: &Arc<dyn Disk>, state: &Path, server: ServerId) -> Result<(Keeper, Ledger), String> {
    let all = store::view::<Everything>(&**disk, state, &server.0).map_err(in_words)?.state;
    let mut retired = BTreeMap::new();
    let mut file_away = |of: Match| drop(retired.insert(of.grant().match_id, of));
    store::read_archive::<Match>(&**disk, state, &server.0, |_, of| file_away(of)).map_err(in_words)?;
    all.retired.iter().cloned().for_each(&mut file_away);
    let open = all.state.games().cloned().map(|of| (of.grant().match_id, of));
    let matches = retired.into_iter().chain(open).map(|(id, of)| (id.to_string(), all.kept(id, &of))).collect();
    Ok((Keeper { matches }, all.ledger()))
}

/// What has a limit in the server's state and directory: name, value, limit.
#[must_use]
pub fn server_sizes(disk: &Arc<dyn Disk>, state: &Path, server: ServerId) -> Vec<(String, u64, u64)> {
    let Ok(view) = store::view::<Everything>(&**disk, state, &server.0) else { return Vec::new() };
    let state_now = &view.state.state;
    let runs = state_now.sessions().map(|session| session.answered.len()).max().unwrap_or(0);
    let answers = state_now.sessions().flat_map(|session| session.answered.iter().map(|(_, seqs)| seqs.len())).max();
    let names = disk.list(state).unwrap_or_default();
    let snapshots = names.iter().filter(|path| path.extension().is_some_and(|kind| kind == "snap")).count();
    let row = |name: &str, value: usize, limit: usize| (name.to_owned(), value as u64, limit as u64);
    vec![
        row("sessions", state_now.sessions().count(), state_now.accounts().count()),
        row("runs of a client that are remembered", runs, RUNS_MAX),
        row("answers that are remembered", answers.unwrap_or(0), ANSWERS_MAX),
        row("snapshots", snapshots, SNAPSHOTS_MAX),
    ]
}

/// What the files of one user at one device hold.
///
/// # Errors
/// What cannot be read, in words. A match file that the client would set aside at its next start is left out.
pub fn player_keeper(disk: &Arc<dyn Disk>, state: &Path, server: ServerId, user: &str) -> Result<Keeper, String> {
    let name = Name::new(user).map_err(in_words)?;
    let mut matches = BTreeMap::new();
    for records in left::matches(&**disk, state, server, &name).map_err(in_words)? {
        // A file that does not fit together is one the client says is damaged.
        let Ok(table) = Table::load(records) else { continue };
        let chain = &table.evidence.chain;
        let kept = Kept {
            players: Seat::BOTH.map(|seat| table.name(seat).to_string()),
            game: table.grant().game.name(),
            entries: entries(chain),
            fouls: table.evidence.fouls.each_ref().map(Option::is_some),
            verdict: table.verdict().map(|verdict| plain(verdict.body.ruling)),
            grant: first_grant(chain),
        };
        matches.insert(table.id().to_string(), kept);
    }
    Ok(Keeper { matches })
}

/// Every place in these directories where one of `secrets` is to be read in clear.
pub fn secrets_in(disk: &Arc<dyn Disk>, dirs: &[&Path], secrets: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for dir in dirs {
        for path in disk.list(dir).unwrap_or_default() {
            let Ok(bytes) = disk.read(&path) else { continue };
            let is_in = |secret: &&String| !secret.is_empty() && contains(&bytes, secret.as_bytes());
            found.extend(secrets.iter().filter(is_in).map(|secret| format!("{}: `{secret}`", path.display())));
        }
    }
    found
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

/// The state, and what it forgets.
#[derive(Default)]
struct Everything {
    state: State,
    /// Left the state since the snapshot.
    retired: Vec<Match>,
    /// In the order in which they were given; those of the snapshot, of which the order is not known, first.
    verdicts: Vec<Settled>,
}

impl Everything {
    fn kept(&self, id: MatchId, of: &Match) -> Kept {
        let chain = &of.evidence.chain;
        let later = |seat: Seat| {
            let of_seat = |foul: &Foul| foul.first.body.seat == seat;
            self.state.proven(id).is_some_and(|proven| proven.fouls.iter().any(of_seat))
        };
        Kept {
            players: of.grant().users.map(|user| self.name(user)),
            game: of.grant().game.name(),
            entries: entries(chain),
            fouls: Seat::BOTH.map(|seat| of.evidence.fouls[seat.index()].is_some() || later(seat)),
            verdict: self.state.settled(id).map(|settled| plain(settled.ruling)),
            grant: first_grant(chain),
        }
    }

    fn ledger(&self) -> Ledger {
        let scored = |settled: &Settled| Scored {
            match_id: settled.match_id.to_string(),
            players: settled.users.map(|user| self.name(user)),
            verdict: plain(settled.ruling),
        };
        let accounts = self.state.accounts().filter(|account| account.imported > 0);
        Ledger {
            verdicts: self.verdicts.iter().map(scored).collect(),
            board: self
                .state
                .leaders()
                .map(|account| Points {
                    name: account.name.to_string(),
                    points: account.points(),
                    wins: account.tally.wins,
                    draws: account.tally.draws,
                    losses: account.tally.losses,
                })
                .collect(),
            imported: accounts.map(|account| (account.name.to_string(), account.imported)).collect(),
        }
    }

    /// A user without an account has no name here.
    fn name(&self, user: UserId) -> String {
        self.state.account(user).map_or_else(|| user.to_string(), |account| account.name.to_string())
    }

    fn note(&mut self, match_id: MatchId) {
        self.verdicts.extend(self.state.settled(match_id));
    }
}

impl Replay for Everything {
    type Fact = Fact;
    type Piece = Piece;
    type Retired = Match;

    fn apply(&mut self, fact: &Fact) -> Result<(), Unfit> {
        self.state.apply(fact)?;
        if let Fact::Settled { match_id, .. } | Fact::Corrected { match_id, .. } = fact {
            self.note(*match_id);
        }
        self.retired.extend(self.state.retire());
        Ok(())
    }

    fn pieces(&self) -> Box<dyn Iterator<Item = Piece> + '_> {
        self.state.pieces()
    }

    fn absorb(&mut self, piece: Piece) -> Result<(), Unfit> {
        if let Piece::Settled(settled) = &piece {
            self.verdicts.push(*settled);
        }
        self.state.absorb(piece)
    }

    /// Nothing is given away: it is kept here.
    fn retire(&mut self) -> Vec<Match> {
        Vec::new()
    }
}

fn entries(chain: &Transcript) -> Vec<Entry> {
    let server = chain.grant().server;
    let mut grants = chain.grants().iter().map(|grant| &grant.body).skip(1).peekable();
    let mut entries = Vec::new();
    for entry in chain.entries_from(0) {
        let body = entry.body();
        let key = chain.key_of(body.epoch, body.seat);
        let signed = key.is_some_and(|key| entry.signed().clone().verify(key, &server).is_ok());
        let mut regrant: Option<Regrant> = None;
        while let Some(grant) = grants.next_if(|grant| grant.base.plies <= body.ply) {
            let (hash, base) = (sign::hash(&server, grant).to_string(), grant.base.head.to_string());
            regrant = Some(Regrant { hash, base, after: regrant.map(Box::new) });
        }
        let act = match &body.act {
            statement::Act::Resign => Act::Resign,
            statement::Act::Play(_) => {
                let cell = chain.cell_of(body).expect("every game there is has cells");
                Act::Cell(cell.row, cell.col)
            }
        };
        entries.push(Entry {
            ply: body.ply,
            seat: body.seat.to_string(),
            act,
            prev: body.prev.to_string(),
            hash: sign::hash(&server, body).to_string(),
            signed,
            regrant,
        });
    }
    entries
}

fn first_grant(chain: &Transcript) -> String {
    let first = &chain.grants().first().expect("there is one from the start").body;
    sign::hash(&first.server, first).to_string()
}

fn plain(ruling: Ruling) -> Verdict {
    Verdict {
        why: decide::why(ruling).to_owned(),
        winner: ruling.winner().map(|seat| seat.to_string()),
        void: ruling == Ruling::Void,
    }
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
