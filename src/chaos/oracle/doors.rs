//! I8: an acknowledged adduser, passwd or logout holds after any crash; if the server's disk was lost, the loss is named.
//!
//! Each account is a register that holds a password, or nothing. Every call that was answered takes effect between question
//! and answer, every other one later or never, and what opens the door in the end must be what is left in the register.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Case, Finding, SERVER};
use super::linear::{Op, linearizes};
use crate::chaos::history::{Call, What};

pub(super) fn check(case: &Case<'_>) -> Finding {
    let accounts = accounts(case);
    let mut finding = Finding::default();
    for (user, door) in &case.finals.doors {
        let Some(steps) = accounts.get(user.as_str()) else { continue };
        let fits = |steps: &[Op<Step<'_>>]| {
            linearizes(steps, None, Step::after, |password: &Option<&str>| {
                let shut_out = password.is_some_and(|password| door.shut.iter().any(|shut| shut == password));
                let others = door.opens.iter().any(|opens| Some(opens.as_str()) != *password);
                !shut_out && !others
            })
        };
        let Some(holds) = fits(steps) else { continue };
        finding.exercised |= steps.iter().any(|step| step.must && step.what.changes());
        if holds || (case.is_lost(SERVER) && loss_is_named(case)) {
            continue;
        }
        let lost = if case.is_lost(SERVER) { ", and nobody has named a loss" } else { "" };
        finding.wrong.push(format!("{user}: {:?} open the door and {:?} do not{lost}", door.opens, door.shut));
    }
    finding.exercised |= logged_out(case, &mut finding.wrong);
    finding
}

/// What a call does to the register, or tells of it.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Add(&'a str),
    Change(&'a str, &'a str),
    /// It was let in.
    Opens(&'a str),
    /// It was not.
    Shut(&'a str),
    /// There is an account.
    Exists,
}

impl<'a> Step<'a> {
    fn after(before: &Option<&'a str>, step: &Self) -> Option<Option<&'a str>> {
        let (holds, after) = match *step {
            Self::Add(password) => (before.is_none(), Some(password)),
            Self::Change(old, new) => (*before == Some(old), Some(new)),
            Self::Opens(password) => (*before == Some(password), *before),
            Self::Shut(password) => (*before != Some(password), *before),
            Self::Exists => (before.is_some(), *before),
        };
        holds.then_some(after)
    }

    const fn changes(&self) -> bool {
        matches!(self, Self::Add(_) | Self::Change(..))
    }
}

/// The calls of each account. After the loss of the server's disk nothing binds, and all that is asked is the name.
fn accounts<'a>(case: &Case<'a>) -> BTreeMap<&'a str, Vec<Op<Step<'a>>>> {
    let ends = super::order::answers(case.history);
    let mut accounts: BTreeMap<&str, Vec<Op<Step<'_>>>> = BTreeMap::new();
    for (from, record) in case.history.iter().enumerate() {
        let What::Invoke { op, call } = &record.what else { continue };
        let (until, error) = match ends.get(op) {
            Some((until, error)) => (Some(*until), *error),
            None => (None, None),
        };
        let (user, what) = match (call, error) {
            (Call::AddUser { user, password }, None) => (user, Step::Add(password)),
            (Call::Passwd { user, old, new }, None) => (user, Step::Change(old, new)),
            (Call::Login { user, password }, None) if until.is_some() => (user, Step::Opens(password)),
            (Call::AddUser { user, .. }, Some("user-exists")) => (user, Step::Exists),
            (Call::Login { user, password } | Call::Passwd { user, old: password, .. }, Some("wrong-password")) => {
                (user, Step::Shut(password))
            }
            (
                Call::AddUser { .. }
                | Call::Login { .. }
                | Call::Passwd { .. }
                | Call::Logout { .. }
                | Call::Begin { .. }
                | Call::Accept { .. }
                | Call::Send { .. }
                | Call::End { .. }
                | Call::Leave { .. }
                | Call::Ask { .. },
                _,
            ) => continue,
        };
        accounts.entry(user).or_default().push(Op { what, from, until, must: until.is_some() });
    }
    accounts
}

fn loss_is_named(case: &Case<'_>) -> bool {
    !case.finals.figures.losses_named.is_empty()
}

/// Notes devices that sit in a match after their logout was done and before another login; whether there was a logout.
fn logged_out(case: &Case<'_>, wrong: &mut Vec<String>) -> bool {
    let calls = crate::chaos::history::calls(case.history);
    let mut out: BTreeSet<&str> = BTreeSet::new();
    let mut any = false;
    for record in case.history {
        let who = record.who.as_str();
        match &record.what {
            What::Ok { op } if matches!(calls.get(op), Some((_, Call::Logout { .. }))) => {
                out.insert(who);
                any = true;
            }
            What::Invoke { call: Call::Login { .. }, .. } => drop(out.remove(who)),
            What::Told { told: crate::chaos::history::Told::Match { match_id, .. } } if out.contains(who) => {
                wrong.push(format!("{who} is seated in match {match_id} at {} ms, logged out", record.at_ms));
            }
            What::Told { .. }
            | What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Unknown { .. }
            | What::Started
            | What::Ended { .. }
            | What::Fault { .. } => {}
        }
    }
    any
}
