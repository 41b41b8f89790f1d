//! One run, with the questions that many checks ask of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::rules::{self, Played};
use crate::chaos::finals::{Act, Finals, Kept, Verdict};
use crate::chaos::history::{Record, Told, What, player_of};

pub(super) const SERVER: &str = "server";

/// One run.
pub(super) struct Case<'a> {
    pub(super) history: &'a [Record],
    pub(super) finals: &'a Finals,
    /// X and O of each match, by what players were told and hold, else by the server.
    players: BTreeMap<&'a str, [&'a str; 2]>,
    /// Every chain, by keeper and match, played through once.
    played: BTreeMap<&'a str, BTreeMap<&'a str, Played>>,
    /// Every move that an honest player was told to be acknowledged.
    acks: Vec<Ack<'a>>,
    /// Of which keepers one could hear in the end, by match; filled when it is asked for.
    reached: RefCell<BTreeMap<(&'a str, &'a str), BTreeSet<&'a str>>>,
}

/// What one check has found.
#[derive(Debug, Default)]
pub(super) struct Finding {
    /// Whether the run contained what the check is about.
    pub(super) exercised: bool,
    /// What does not hold.
    pub(super) wrong: Vec<String>,
}

/// A move that an honest player was told to be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ack<'a> {
    /// Place in the history.
    pub(super) at: usize,
    pub(super) device: &'a str,
    pub(super) match_id: &'a str,
    pub(super) ply: u16,
    pub(super) by: &'a str,
    pub(super) act: Act,
    /// By the server; else by the opponent of who is told or, for the opponent's own move, by who is told.
    pub(super) kept: bool,
}

impl<'a> Case<'a> {
    pub(super) fn new(history: &'a [Record], finals: &'a Finals) -> Self {
        let mut players: BTreeMap<&str, [&str; 2]> = BTreeMap::new();
        let server_last = |keeper: &&String| keeper.as_str() == SERVER;
        let (server, devices): (Vec<&String>, Vec<&String>) = finals.keepers.keys().partition(server_last);
        for keeper in devices.into_iter().chain(server) {
            for (id, kept) in &finals.keepers[keeper].matches {
                players.entry(id).or_insert_with(|| kept.players.each_ref().map(String::as_str));
            }
        }
        for record in history {
            if let What::Told { told: Told::Match { match_id, you, opponent, .. } } = &record.what {
                let user = player_of(&record.who);
                let seats = if you == "X" { [user, opponent] } else { [opponent, user] };
                players.entry(match_id).or_insert(seats);
            }
        }
        let played = |(id, kept): (&'a String, &'a Kept)| (id.as_str(), rules::play(kept));
        let files = finals.keepers.iter();
        let played =
            files.map(|(keeper, files)| (keeper.as_str(), files.matches.iter().map(played).collect())).collect();
        let mut case = Self { history, finals, players, played, acks: Vec::new(), reached: RefCell::default() };
        case.acks = case.find_acks();
        case
    }

    /// The chain that a keeper holds of a match, played through.
    pub(super) fn played(&self, keeper: &str, match_id: &str) -> Option<&Played> {
        self.played.get(keeper)?.get(match_id)
    }

    /// What the evidence of a keeper says about a match.
    pub(super) fn verdict(&self, keeper: &str, match_id: &str) -> Option<Verdict> {
        rules::verdict(self.kept(keeper, match_id)?, self.played(keeper, match_id)?)
    }

    /// X and O.
    pub(super) fn players(&self, match_id: &str) -> Option<[&'a str; 2]> {
        self.players.get(match_id).copied()
    }

    /// The seat, 0 for X, of the player of a device.
    pub(super) fn seat_of(&self, match_id: &str, device: &str) -> Option<usize> {
        self.players(match_id)?.iter().position(|player| *player == player_of(device))
    }

    pub(super) fn is_liar(&self, user: &str) -> bool {
        self.finals.liars.iter().any(|liar| player_of(liar) == user)
    }

    /// Whether a keeper is honest.
    pub(super) fn is_honest(&self, keeper: &str) -> bool {
        keeper == SERVER || !self.is_liar(player_of(keeper))
    }

    /// Whether one of the two players was made to lie.
    pub(super) fn has_liar(&self, match_id: &str) -> bool {
        self.players(match_id).is_some_and(|players| players.into_iter().any(|player| self.is_liar(player)))
    }

    /// Whether a liar of this match is convicted in what a keeper holds.
    pub(super) fn has_convicted_liar(&self, match_id: &str, kept: &Kept) -> bool {
        let Some(players) = self.players(match_id) else { return false };
        (0..2).any(|seat| kept.fouls[seat] && self.is_liar(players[seat]))
    }

    /// Whether a keeper has lost its disk, as far as the promise goes.
    pub(super) fn is_lost(&self, keeper: &str) -> bool {
        self.finals.wiped.iter().any(|lost| lost == keeper)
    }

    /// Whether a fault of this kind has struck.
    pub(super) fn struck(&self, kind: &str) -> bool {
        self.history.iter().any(|record| matches!(&record.what, What::Fault { fault, on: true } if fault == kind))
    }

    /// Whether a device was given a notice of this code.
    pub(super) fn was_noticed(&self, device: &str, notice: &str) -> bool {
        let is_it = |told: &Told| matches!(told, Told::Notice { code, .. } if code == notice);
        self.told().any(|(_, record, told)| record.who == device && is_it(told))
    }

    /// Every match that somebody holds.
    pub(super) fn matches(&self) -> BTreeSet<&'a str> {
        self.finals.keepers.values().flat_map(|keeper| keeper.matches.keys().map(String::as_str)).collect()
    }

    /// What a keeper holds of a match.
    pub(super) fn kept(&self, keeper: &str, match_id: &str) -> Option<&'a Kept> {
        self.finals.keepers.get(keeper)?.matches.get(match_id)
    }

    /// Every honest keeper of a match that has it, the server first; those that have lost their disk left out.
    pub(super) fn holders(&self, match_id: &str) -> Vec<(&'a str, &'a Kept)> {
        let server = self.keepers().filter(|keeper| *keeper == SERVER);
        let devices = self.keepers().filter(|keeper| *keeper != SERVER);
        let sound = server.chain(devices).filter(|keeper| self.is_honest(keeper) && !self.is_lost(keeper));
        sound.filter_map(|keeper| Some((keeper, self.kept(keeper, match_id)?))).collect()
    }

    /// The server and the devices of the two players, as far as they have a disk.
    pub(super) fn keepers_of(&self, match_id: &str) -> Vec<&'a str> {
        let players = self.players(match_id).unwrap_or_default();
        self.keepers().filter(|keeper| *keeper == SERVER || players.contains(&player_of(keeper))).collect()
    }

    fn keepers(&self) -> impl Iterator<Item = &'a str> {
        self.finals.keepers.keys().map(String::as_str)
    }

    /// Whether two keepers of a match could hear of each other in the end, be it through the third. A player who has the
    /// server's verdict has put the match away: the other hears of it from the server.
    pub(super) fn together(&self, match_id: &str, one: &str, other: &str) -> bool {
        if one == other {
            return true;
        }
        let known = self.players.get_key_value(match_id).zip(self.finals.keepers.get_key_value(one));
        let Some(((match_id, _), (one, _))) = known else { return self.reached(match_id, one).contains(other) };
        let (match_id, one) = (*match_id, one.as_str());
        let mut known = self.reached.borrow_mut();
        known.entry((match_id, one)).or_insert_with(|| self.reached(match_id, one)).contains(other)
    }

    /// Who could hear of a keeper.
    fn reached<'b>(&self, match_id: &str, one: &'b str) -> BTreeSet<&'b str>
    where
        'a: 'b,
    {
        let cut = |a: &str, b: &str| self.finals.apart.iter().any(|[c, d]| (a == c && b == d) || (a == d && b == c));
        let settled = |keeper: &str| self.kept(keeper, match_id).is_some_and(|kept| kept.verdict.is_some());
        let strangers = self.finals.strangers.contains(match_id);
        let parted = |a: &str, b: &str| strangers || settled(a) || settled(b);
        let apart = |a: &str, b: &str| cut(a, b) || (a != SERVER && b != SERVER && parted(a, b));
        let honest = |keeper: &&&str| self.is_honest(keeper);
        let all = self.keepers_of(match_id);
        let mut reached = BTreeSet::from([one]);
        loop {
            let next = all
                .iter()
                .filter(honest)
                .find(|keeper| !reached.contains(**keeper) && reached.iter().any(|from| !apart(from, keeper)));
            let Some(next) = next else { return reached };
            reached.insert(next);
        }
    }

    /// What honest players were told, with its place in the history.
    pub(super) fn told(&self) -> impl Iterator<Item = (usize, &'a Record, &'a Told)> {
        self.history.iter().enumerate().filter_map(|(at, record)| match &record.what {
            What::Told { told } if self.is_honest(&record.who) => Some((at, record, told)),
            What::Told { .. }
            | What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Unknown { .. }
            | What::Started
            | What::Ended { .. }
            | What::Fault { .. } => None,
        })
    }

    /// Every move that an honest player was told to be acknowledged.
    pub(super) fn acks(&self) -> &[Ack<'a>] {
        &self.acks
    }

    fn find_acks(&self) -> Vec<Ack<'a>> {
        let ack = |(at, record, told): (usize, &'a Record, &'a Told)| match told {
            Told::Move { match_id, ply, by, row, col, resigns, state, acknowledged: true } => {
                let act = act_of(*row, *col, *resigns)?;
                let kept = state == "kept";
                Some(Ack { at, device: &record.who, match_id, ply: *ply, by, act, kept })
            }
            Told::Move { .. }
            | Told::Link { .. }
            | Told::Match { .. }
            | Told::Board { .. }
            | Told::Result { .. }
            | Told::Suspended { .. }
            | Told::Path { .. }
            | Told::Notice { .. }
            | Told::Leaders { .. }
            | Told::Other => None,
        };
        self.told().filter_map(ack).collect()
    }

    /// A result that somebody was told, as a verdict.
    pub(super) fn result(&self, record: &Record, told: &Told) -> Option<(&'a str, Verdict)> {
        let Told::Result { match_id, outcome, why, .. } = told else { return None };
        let (id, _) = self.players.get_key_value(match_id.as_str())?;
        let seat = self.seat_of(id, &record.who)?;
        let winner = match outcome.as_str() {
            "win" => Some(seat),
            "loss" => Some(1 - seat),
            _ => None,
        };
        let winner = winner.map(|seat| super::rules::SEATS[seat].to_owned());
        Some((id, Verdict { why: why.clone(), winner, void: outcome == "void" }))
    }
}

/// What a move that was told does; `None` if it is no move at all.
pub(super) fn act_of(row: Option<u16>, col: Option<u16>, resigns: bool) -> Option<Act> {
    if resigns { Some(Act::Resign) } else { Some(Act::Cell(row?, col?)) }
}
