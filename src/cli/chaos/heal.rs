//! Faults are undone, and what they took down is started again.
//!
//! What must hold: every process that a fault has taken down is started again; the last thing that is healed is known with
//! its time.
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many kinds of faults each place carries out a few")]

use std::process::ExitStatus;

use anyhow::Context;
use rustix::process::Signal;

use super::damage;
use super::player::Wish;
use super::stage::{SERVER, Stage};
use super::strikes::{CODE_DAMAGED, Down, State};
use crate::chaos::scenario::Fault;

impl Stage {
    /// Undoes a fault.
    ///
    /// # Errors
    /// When something cannot be put back or started.
    pub(super) fn heal(&mut self, number: usize) -> anyhow::Result<()> {
        let step = self.strikes.all[number].step.clone();
        self.strikes.all[number].state = State::Healing;
        if step.kind.breaks_ways() {
            self.heal_ways(number);
        }
        if step.kind.needs_networks() {
            self.heal_networks(number)?;
        }
        for who in self.strikes.all[number].who.clone() {
            match step.kind {
                Fault::Pause => {
                    if let Some(process) = self.process(who) {
                        let stood = process.is_stopped();
                        process.signal(Signal::CONT);
                        if stood {
                            self.strikes.all[number].evidence = Some("stood still".to_owned());
                        }
                    }
                }
                Fault::ClockJump => {
                    let clock = self.clocks.get(&who).context("it has no clock of its own")?;
                    if clock.was_looked_at() {
                        self.strikes.all[number].evidence = Some("its clock was looked at".to_owned());
                    }
                    clock.jump(0)?;
                }
                Fault::SlowCpu => {
                    self.strikes.slowed.remove(&who);
                    let _ = self.process(who).map(|process| process.signal(Signal::CONT));
                }
                _ => {}
            }
        }
        for (who, what, before) in std::mem::take(&mut self.strikes.all[number].limits) {
            if let Some(process) = self.process(who) {
                process.limit(what, before)?;
            }
        }
        for traced in std::mem::take(&mut self.strikes.all[number].traced) {
            if traced.let_go(&mut self.guardian) {
                self.strikes.all[number].evidence = Some("the system refused what was written".to_owned());
            }
        }
        let of_this = |(who, down): (&usize, &Down)| (down.strike == number).then_some(*who);
        let mine: Vec<usize> = self.strikes.down.iter().filter_map(of_this).collect();
        for who in mine {
            let survives = matches!(
                step.kind,
                Fault::DiskFull
                    | Fault::ReadOnly
                    | Fault::KillAtRename
                    | Fault::KillAtSync
                    | Fault::DiskError
                    | Fault::LittleMemory
            );
            let Some(down) = self.strikes.down.get_mut(&who) else { continue };
            down.healed = true;
            let (ended, started) = (down.ended, self.process(who).is_some());
            if ended && !started {
                self.bring_up(who)?;
            } else if !ended && survives {
                // It never came to that; it runs.
                self.strikes.down.remove(&who);
            }
            // Of a restart loop the life that is up was killed as it came up, though its end may not be heard of yet: the
            // one after it stays.
        }
        self.conclude(number);
        Ok(())
    }

    /// Starts again what is down.
    fn bring_up(&mut self, who: usize) -> anyhow::Result<()> {
        match who.checked_sub(1) {
            None => self.start_server(),
            Some(player) => {
                self.start_player(player)?;
                if !self.players[player].logged_in {
                    self.wish(player, 0, Wish::Login);
                }
                if self.strikes.down.get(&who).is_some_and(|down| down.healed) {
                    let down = self.strikes.down.remove(&who);
                    down.into_iter().for_each(|down| self.conclude(down.strike));
                }
                Ok(())
            }
        }
    }

    /// A process has ended: what is to be done with its files, and whether it is started at once.
    ///
    /// # Errors
    /// When files cannot be changed or it cannot be started.
    pub(super) fn after_end(&mut self, who: usize, status: Option<ExitStatus>) -> anyhow::Result<()> {
        let Some(down) = self.strikes.down.get_mut(&who) else { return Ok(()) };
        let (number, kind, first) = (down.strike, down.kind, !down.ended);
        down.ended = true;
        if let Some(original) = down.original.take_if(|_| status.and_then(|status| status.code()) == Some(CODE_DAMAGED))
        {
            original.put_back()?;
            self.strikes.all[number].evidence = Some("the damage was named at the start".to_owned());
            return self.bring_up(who);
        }
        // It had named the loss; the operator has found the file again.
        let found = down.original.take_if(|_| kind == Fault::Deleted && !first);
        if let Some(original) = found {
            original.put_back()?;
            self.strikes.all[number].evidence = Some("the loss was named at the start".to_owned());
            return self.bring_up(who);
        }
        if first {
            self.change_files(number, who, kind)?;
        }
        let starts_itself = who == SERVER && self.server.foreign.is_some();
        if let Some(down) = self.strikes.down.get_mut(&who).filter(|_| starts_itself) {
            down.healed = true;
        }
        let healed = self.strikes.down.get(&who).is_some_and(|down| down.healed);
        if kind == Fault::RestartLoop || healed { self.bring_up(who) } else { Ok(()) }
    }

    fn change_files(&mut self, number: usize, who: usize, kind: Fault) -> anyhow::Result<()> {
        let state = self.server.state.clone();
        let amount = self.strikes.all[number].step.amount.unwrap_or(1);
        let original = match (kind, who.checked_sub(1)) {
            (Fault::Damage, None) => Some(damage::flip(&state, &mut self.seeded)?),
            (Fault::Zeroes, None) => Some(damage::zero(&state, u64::try_from(amount).unwrap_or(1))?),
            (Fault::Deleted, None) => Some(damage::delete(&state)?),
            (Fault::Truncate, None) => Some(damage::cut(&state, u64::try_from(amount).unwrap_or(1))?),
            (Fault::OlderState, None) => {
                damage::replace(&state, &self.home.join("older"))?;
                None
            }
            (Fault::PowerCut, _) => {
                let gone = self.disks.get_mut(&who).context("it has no disk of its own")?.restore()?;
                self.strikes.all[number].evidence = gone.then(|| "what was not synced was gone".to_owned());
                None
            }
            (Fault::Upgrade, None) => {
                self.server.old = None;
                None
            }
            (Fault::Wipe, Some(player)) => {
                let of = &mut self.players[player];
                std::fs::remove_dir_all(&of.state)?;
                self.strikes.wiped.push(of.device.clone());
                let (user, number) = (of.user.clone(), self.strikes.wiped.len() + 1);
                (of.device, of.logged_in) = (format!("{user}.{number}"), false);
                of.state = self.home.join("clients").join(&of.device);
                None
            }
            _ => None,
        };
        if let Some(down) = self.strikes.down.get_mut(&who) {
            down.original = original;
        }
        Ok(())
    }

    /// Somebody takes connections, or is live, again.
    pub(super) fn is_up(&mut self, who: usize) {
        let Some(down) = self.strikes.down.get(&who).filter(|down| down.ended) else { return };
        let (number, kind, healed) = (down.strike, down.kind, down.healed);
        if kind == Fault::RestartLoop && !healed {
            let _ = self.process(who).map(|process| process.signal(Signal::KILL));
            return;
        }
        let waits = kind == Fault::Deleted && down.original.is_some() && !self.losses_named.is_empty();
        if waits {
            let _ = self.process(who).map(|process| process.signal(Signal::KILL));
            return;
        }
        if healed {
            let down = self.strikes.down.remove(&who);
            // With the damage in front of good frames there is no excuse, nor for a journal that is gone.
            if matches!(kind, Fault::Damage | Fault::Zeroes | Fault::Deleted)
                && down.is_some_and(|down| down.original.is_some())
            {
                self.strikes.believed.push("the server has started on a damaged journal".to_owned());
            }
            self.conclude(number);
        }
    }

    /// A strike is over once nothing is down because of it.
    fn conclude(&mut self, number: usize) {
        let strike = &self.strikes.all[number];
        let open = self.strikes.down.values().any(|down| down.strike == number);
        if open || strike.state != State::Healing {
            return;
        }
        self.strikes.all[number].state = State::Over;
        self.note_fault(number, false);
        self.strikes.healed_ms = Some(self.now_ms());
    }
}
