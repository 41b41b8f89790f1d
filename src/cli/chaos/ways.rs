//! Faults of the ways between the players and the server, and between the two players.
//!
//! What must hold: a fault of a way counts when the proxy has counted that something met it; one of networks when the
//! router drops what it shall drop, or the address is another, and a kernel has noticed.
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many kinds of faults each place carries out a few")]

use std::time::Duration;

use anyhow::Context;

use super::network::{Counted, blocks};
use super::stage::{SERVER, Stage};
use crate::chaos::proxy::{Blow, Passed, Weather};
use crate::chaos::scenario::{Fault, Step};

impl Stage {
    /// Breaks the ways of a strike.
    pub(super) fn strike_ways(&mut self, number: usize) {
        *self.before(number) = self.passed(number);
        let step = self.step_of(number);
        let blow = match step.kind {
            Fault::Cut => Some(Blow::Cut),
            Fault::Reset => Some(Blow::Reset),
            Fault::HalfOpen => Some(Blow::HalfOpen),
            _ => None,
        };
        if let Some(blow) = blow {
            self.ways_of(number).into_iter().for_each(|way| self.proxies[way].strike(blow));
        } else {
            self.weather(number, |weather| change(weather, &step, true));
        }
    }

    /// Mends them, and looks at what met the fault meanwhile.
    pub(super) fn heal_ways(&mut self, number: usize) {
        let (step, after) = (self.step_of(number), self.passed(number));
        let before = self.before(number).clone();
        let rose = |count: fn(&Passed) -> u64| -> u64 {
            before.iter().zip(&after).map(|(before, after)| count(after).saturating_sub(count(before))).sum()
        };
        let (count, what) = match step.kind {
            Fault::Cut | Fault::Reset | Fault::HalfOpen => (rose(|passed| passed.broken), "connections were broken"),
            Fault::Refuse => (rose(|passed| passed.broken), "connections were refused"),
            Fault::ChangedBytes => (rose(|passed| passed.changed), "bytes were changed"),
            _ => (rose(|passed| passed.held), "pieces were held up"),
        };
        self.prove(number, (count > 0).then(|| format!("{count} {what}")));
        self.weather(number, |weather| change(weather, &step, false));
    }

    /// Moves machines to other addresses, or keeps them apart.
    pub(super) fn strike_networks(&mut self, number: usize) -> anyhow::Result<()> {
        let (step, pairs) = (self.step_of(number), self.players.len() / 2);
        let who = self.strikes.all[number].who.clone();
        let network = self.network.as_mut().context("there are no networks")?;
        self.strikes.all[number].counted = (0..=2 * pairs).map(|who| network.counted(who)).collect();
        if step.kind == Fault::NewAddress {
            return who.into_iter().filter(|who| *who != SERVER).try_for_each(|who| network.move_machine(who, true));
        }
        let blocks = blocks(step.kind, step.target, pairs);
        network.block(number, &blocks, true)?;
        let dropped = blocks.iter().all(|block| !network.passes(*block));
        anyhow::ensure!(dropped, "the router passes on what it was told to drop");
        Ok(())
    }

    /// Undoes that, and looks at what the kernels of those machines have noticed.
    pub(super) fn heal_networks(&mut self, number: usize) -> anyhow::Result<()> {
        let (step, pairs) = (self.step_of(number), self.players.len() / 2);
        let (who, before) = (self.strikes.all[number].who.clone(), self.strikes.all[number].counted.clone());
        let network = self.network.as_mut().context("there are no networks")?;
        let after: Vec<Counted> = (0..=2 * pairs).map(|who| network.counted(who)).collect();
        let sum = |of: &[Counted], count: fn(&Counted) -> u64| who.iter().map(|who| count(&of[*who])).sum::<u64>();
        let evidence = if step.kind == Fault::NewAddress {
            let (old, new) = (sum(&before, |of| of.open), sum(&after, |of| of.open));
            who.into_iter().filter(|who| *who != SERVER).try_for_each(|who| network.move_machine(who, false))?;
            (old > 0 && new > 0).then(|| format!("{old} connections had the old address, {new} have the new one"))
        } else {
            network.block(number, &blocks(step.kind, step.target, pairs), false)?;
            let again = sum(&after, |of| of.again).saturating_sub(sum(&before, |of| of.again));
            (again > 0).then(|| format!("{again} segments were sent again"))
        };
        self.prove(number, evidence);
        Ok(())
    }
}

/// Sets, or takes away, what a fault is about, and leaves the rest as it is.
fn change(weather: &mut Weather, step: &Step, on: bool) {
    let amount = u32::try_from(step.amount.unwrap_or(0)).unwrap_or(0);
    let span = if on { Duration::from_millis(u64::from(amount)) } else { Duration::ZERO };
    let some = on.then_some(amount);
    match step.kind {
        Fault::Wall => (weather.up.wall, weather.down.wall) = (on, on),
        Fault::OneWayUp => weather.up.wall = on,
        Fault::OneWayDown => weather.down.wall = on,
        Fault::Delay => (weather.up.delay, weather.down.delay) = (span, span),
        Fault::Jitter => (weather.up.jitter, weather.down.jitter) = (span, span),
        Fault::Trickle => (weather.up.bytes_per_second, weather.down.bytes_per_second) = (some, some),
        Fault::ChangedBytes => (weather.up.changed_one_in, weather.down.changed_one_in) = (some, some),
        Fault::Refuse => weather.refuses = on,
        _ => {}
    }
}
