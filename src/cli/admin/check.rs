//! `rejoin admin check`: every byte looked at, every fact replayed, every score recomputed.

use std::collections::BTreeMap;

use super::desk::advise;
use super::{Admin, Code, Desk};
use crate::model::account::Tally;
use crate::model::game::Match;
use crate::model::games::Seat;
use crate::model::id::{MatchId, UserId};
use crate::model::state::State;
use crate::model::statement::{Fared, Ruling};
use crate::store::{self, Report, StoreError};

/// How often the files are looked at because a running server changed them meanwhile.
const ATTEMPTS_MAX: usize = 10;

/// Look at every byte and recompute the scores; changes nothing.
#[derive(clap::Args, Clone, Debug)]
pub struct Check {}

impl Check {
    pub(super) fn run(&self, admin: &Admin, desk: &mut Desk<'_>) -> anyhow::Result<Code> {
        let server = admin.server()?;
        desk.must_exist(admin)?;
        let report = steady_report(admin, desk)?;
        let Report { snapshots, segments, archives, records, .. } = report;
        writeln!(
            desk.out,
            "{}: {snapshots} snapshots, {segments} journal segments, {archives} archives with {records} records",
            admin.state.display()
        )?;
        for note in &report.notes {
            writeln!(desk.out, "note: {note}")?;
        }
        for finding in &report.findings {
            writeln!(desk.out, "damage: {finding}")?;
        }
        if !report.is_good() {
            return Ok(Code::Damaged);
        }
        // Before the state: a match that retires meanwhile has its verdict in the state that is read later.
        let mut archived = BTreeMap::new();
        let keep = |_, of: Match| {
            archived.insert(of.grant().match_id, of.ruling);
        };
        store::read_archive::<Match>(&*desk.disk, &admin.state, &server.0, keep).map_err(advise)?;
        let view = desk.view(admin)?;
        let state = &view.state;
        writeln!(
            desk.out,
            "{} facts: {} accounts, {} sessions, {} open matches, {} verdicts, {} of them corrected",
            view.last.0,
            state.account_count(),
            state.session_count(),
            state.games().count(),
            state.verdicts().count(),
            state.corrections().count()
        )?;
        let wrong = contradictions(state, &archived);
        for what in &wrong {
            writeln!(desk.out, "contradiction: {what}")?;
        }
        if !wrong.is_empty() {
            return Ok(Code::Damaged);
        }
        writeln!(desk.out, "good: the scores are what the verdicts add up to")?;
        Ok(Code::Done)
    }
}

/// A report that a running server did not spoil: damage is believed when it is found twice in a row.
fn steady_report(admin: &Admin, desk: &Desk<'_>) -> anyhow::Result<Report> {
    let server = admin.server()?;
    let mut before: Option<String> = None;
    for _ in 0..ATTEMPTS_MAX {
        let report = store::check::<State>(&*desk.disk, &admin.state, &server.0).map_err(advise)?;
        let found: String = report.findings.iter().map(|finding| format!("{finding}\n")).collect();
        if report.is_good() || before.as_ref() == Some(&found) {
            return Ok(report);
        }
        before = Some(found);
    }
    Err(advise(StoreError::Restless { dir: admin.state.clone() }))
}

/// What the state says twice and differently: scores against verdicts, verdicts against evidence and archive, the order
/// of the leaders against their points.
fn contradictions(state: &State, archived: &BTreeMap<MatchId, Option<Ruling>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let tallies = recount(state);
    for account in state.accounts() {
        let counted = tallies.get(&account.user).copied().unwrap_or_default();
        if counted != account.tally {
            wrong.push(format!("{} has {:?}, the verdicts say {counted:?}", account.name, account.tally));
        }
    }
    let points: Vec<u32> = state.leaders().map(|account| account.points()).collect();
    if !points.is_sorted_by(|a, b| a >= b) || points.len() != state.accounts().count() {
        wrong.push("the leaders are not in the order of their points".to_owned());
    }
    for of in state.games().filter(|of| of.ruling.is_some()) {
        if of.evidence.verdict() != of.ruling {
            wrong.push(format!("match {} has a verdict that its entries do not say", of.grant().match_id));
        }
    }
    // One that was filed away unfinished may have come back from a player, and have a verdict by now.
    let archived = archived.iter().filter(|(id, ruling)| ruling.is_some() || state.settled(**id).is_none());
    let archived = archived.map(|(id, ruling)| (*id, corrected(state, *id, *ruling)));
    for (id, ruling) in archived.chain(state.games().map(|of| (of.grant().match_id, of.ruling))) {
        if state.settled(id).map(|settled| settled.ruling) != ruling {
            wrong.push(format!("match {id} has one verdict by itself and another in the score"));
        }
    }
    wrong
}

/// What the verdict of an archived match must be with the proofs that came later.
fn corrected(state: &State, match_id: MatchId, ruling: Option<Ruling>) -> Option<Ruling> {
    let proven = |seat| {
        let late = state.proven(match_id).is_some_and(|of| of.fouls.iter().any(|foul| foul.first.body.seat == seat));
        late || ruling == Some(Ruling::Void) || ruling == Some(Ruling::Foul { by: seat })
    };
    match Seat::BOTH.map(proven) {
        [true, true] => Some(Ruling::Void),
        [true, false] => Some(Ruling::Foul { by: Seat::X }),
        [false, true] => Some(Ruling::Foul { by: Seat::O }),
        [false, false] => ruling,
    }
}

/// Every player's results, counted anew.
fn recount(state: &State) -> BTreeMap<UserId, Tally> {
    let mut tallies: BTreeMap<UserId, Tally> = BTreeMap::new();
    for settled in state.verdicts() {
        for seat in Seat::BOTH {
            let tally = tallies.entry(settled.users[seat.index()]).or_default();
            tally.points = tally.points.saturating_add(settled.credit[seat.index()]);
            match settled.ruling.fared(seat) {
                Fared::Win => tally.wins += 1,
                Fared::Draw => tally.draws += 1,
                Fared::Loss => tally.losses += 1,
                Fared::Void => {}
            }
        }
    }
    tallies
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test should panic")]

    use super::*;
    use crate::model::fact::Fact;
    use crate::model::fixture::{Players, play};
    use crate::model::game::Settled;
    use crate::model::games::Outcome;
    use crate::model::id::Name;
    use crate::model::password::PasswordHash;
    use crate::model::replay::Replay;
    use crate::model::state::Piece;
    use crate::model::statement::Foul;
    use crate::model::time::WallMs;
    use crate::model::transcript::Transcript;

    const WON: Ruling = Ruling::Board { outcome: Outcome::Win(Seat::X) };

    #[test]
    fn a_state_made_of_facts_does_not_contradict_itself() {
        let state = played();
        assert_eq!(state.leaders().next().unwrap().tally.wins, 1);
        assert_eq!(contradictions(&state, &BTreeMap::new()), Vec::<String>::new());
    }

    #[test]
    fn a_score_that_the_verdicts_do_not_say_is_found() {
        let changed = rebuilt(|piece| {
            if let Piece::Account(account) = piece {
                account.tally.points += 1;
            }
        });
        let wrong = contradictions(&changed, &BTreeMap::new());
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong.iter().all(|what| what.contains("the verdicts say")), "{wrong:?}");
    }

    #[test]
    fn a_verdict_that_the_entries_do_not_say_is_found() {
        let changed = rebuilt(|piece| {
            if let Piece::Match(of) = piece {
                of.ruling = Some(Ruling::Void);
            }
        });
        let wrong = contradictions(&changed, &BTreeMap::new());
        assert!(wrong.iter().any(|what| what.contains("its entries do not say")), "{wrong:?}");
        assert!(wrong.iter().any(|what| what.contains("another in the score")), "{wrong:?}");
    }

    #[test]
    fn an_archived_match_must_have_its_verdict_in_the_score() {
        let state = played();
        let unknown = BTreeMap::from([(MatchId([9; 16]), Some(WON))]);
        assert_eq!(contradictions(&state, &unknown).len(), 1);
        let shelved = BTreeMap::from([(MatchId([9; 16]), None)]);
        assert_eq!(contradictions(&state, &shelved), Vec::<String>::new());
    }

    #[test]
    fn a_verdict_corrected_after_its_match_was_filed_away_is_no_contradiction() {
        let mut state = played();
        let players = Players::new(1);
        let match_id = players.grant().match_id;
        for seat in Seat::BOTH {
            state.apply(&Fact::Told { match_id, seat }).unwrap();
        }
        state.forget_retired();
        let archived = BTreeMap::from([(match_id, Some(WON))]);
        assert_eq!(contradictions(&state, &archived), Vec::<String>::new());
        let empty = Transcript::new(players.first()).unwrap();
        let [first, second] = [(1, 1), (2, 2)].map(|(row, col)| play(&players, &empty, row, col).into_signed());
        let foul = Box::new(Foul { first, second });
        let ruling = Ruling::Foul { by: Seat::X };
        state.apply(&Fact::Corrected { match_id, foul, ruling, credit: [0, 2] }).unwrap();
        assert_eq!(contradictions(&state, &archived), Vec::<String>::new());
        assert_eq!(state.leaders().map(|of| of.tally.wins).collect::<Vec<_>>(), [1, 0]);
        let shelved = BTreeMap::from([(match_id, None)]);
        assert_eq!(contradictions(&state, &shelved), Vec::<String>::new(), "it has come back since");
        let drawn = BTreeMap::from([(match_id, Some(Ruling::Foul { by: Seat::O }))]);
        assert_eq!(contradictions(&state, &drawn).len(), 1, "both would be void");
    }

    #[test]
    fn a_verdict_that_was_lost_is_found() {
        let mut changed = State::default();
        for piece in played().pieces().filter(|piece| !matches!(piece, Piece::Settled(Settled { .. }))) {
            changed.absorb(piece).unwrap();
        }
        // Both scores, and the match.
        assert_eq!(contradictions(&changed, &BTreeMap::new()).len(), 3);
    }

    /// Two players, one match won by X.
    fn played() -> State {
        let players = Players::new(1);
        let grant = players.grant();
        let mut state = State::default();
        for (user, name) in grant.users.into_iter().zip(["alice", "bob"]) {
            let name = Name::new(name).unwrap();
            let password = PasswordHash::new(String::new());
            let at = WallMs(0);
            state.apply(&Fact::AccountAdded { user, name, password, origin: None, points: 5, at }).unwrap();
        }
        let match_id = grant.match_id;
        state.apply(&Fact::MatchStarted { grant }).unwrap();
        for (row, col) in [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)] {
            let entry = play(&players, &state.game(match_id).unwrap().evidence.chain, row, col);
            let (body, signature) = (entry.body().clone(), entry.signed().signature);
            let (ply, act, at) = (body.ply, body.act, body.at);
            state.apply(&Fact::Played { match_id, ply, act, at, signature }).unwrap();
        }
        state.apply(&Fact::Settled { match_id, ruling: WON, credit: [2, 0] }).unwrap();
        state
    }

    /// The same state with its pieces changed on the way.
    fn rebuilt(change: impl Fn(&mut Piece)) -> State {
        let mut state = State::default();
        for mut piece in played().pieces() {
            change(&mut piece);
            state.absorb(piece).unwrap();
        }
        state
    }
}
