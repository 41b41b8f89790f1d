//! The faults of a run are carried out at their times; `heal` undoes them at theirs.
//!
//! What must hold: a fault strikes once, at whom it is meant for, and a process that is down already is left alone.
//!
//! ```text
//!  planned ──Strike──> active ──Heal──> (process: down until it is up again) ──> over, with evidence or missed
//! ```
#![allow(clippy::wildcard_enum_match_arm, reason = "of the many kinds of faults each place carries out a few")]

use std::process::Stdio;

use anyhow::Context;
use rustix::process::{Resource, Signal};

use super::process::this_program;
use super::stage::{Due, SERVER, Stage};
use super::strikes::{Down, State, Strike};
use super::traced::Traced;
use crate::chaos::history::What;
use crate::chaos::proxy::{Passed, Weather};
use crate::chaos::scenario::{Fault, Step, Target};
use crate::model::time::ms;

/// What is to be done to somebody at a time.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Strike(usize),
    Heal(usize),
    /// Whether a server of others is there again.
    LookForServer,
    /// Once every thread is traced: a rename needs a snapshot.
    AskSnapshot {
        strike: usize,
        who: usize,
    },
    /// Once the process stands still.
    CutPower {
        strike: usize,
        who: usize,
    },
    /// Stop, or let go on, a process that is given little time.
    Burst {
        strike: usize,
        who: usize,
        stop: bool,
    },
}

/// How often it is looked whether a tracer has come to every thread.
const LOOK_MS: u64 = 5;
/// A strike waits so long for a process that is down because of another one.
const WAITS_MS_MAX: u64 = 10_000;
/// A process that is given little time has its share of each of these.
const BURST_MS: u64 = 100;

impl Target {
    /// Whether it is about the server (0) or a player (1 and up).
    pub(super) const fn strikes(self, who: usize) -> bool {
        match self {
            Self::Server => who == SERVER,
            Self::Client(one) | Self::Link(one) => who == one as usize + 1,
            Self::Pair(pair) | Self::Path(pair) => who == pair as usize * 2 + 1 || who == pair as usize * 2 + 2,
            Self::Clients | Self::Links | Self::Direct => who != SERVER,
            Self::All => true,
        }
    }
}

impl Stage {
    /// Plans the faults of a scenario, the first from now.
    pub(super) fn plan_faults(&mut self, steps: &[Step]) {
        let begin = self.now_ms();
        self.strikes.weather = vec![Weather::default(); self.proxies.len()];
        for step in steps {
            for time in 0..u64::from(step.times.max(1)) {
                let (at, lasts) = (begin + ms(step.at.0), ms(step.lasts.0));
                let at = at + time * 2 * lasts.max(MIN_LASTS_MS);
                self.plan_fault(step, at, at + lasts.max(MIN_LASTS_MS));
            }
        }
        if steps.is_empty() {
            self.strikes.healed_ms = Some(begin);
        }
    }

    /// Plans a fault for a time.
    pub(super) fn plan_fault(&mut self, step: &Step, from_ms: u64, to_ms: u64) {
        let (who, ways) = self.targets(step);
        let strike = Strike {
            step: step.clone(),
            who,
            ways,
            state: State::Planned,
            evidence: None,
            before: Vec::new(),
            limits: Vec::new(),
            traced: Vec::new(),
            counted: Vec::new(),
            on_ms: from_ms,
            lasts_ms: to_ms.saturating_sub(from_ms),
            waits_until_ms: from_ms + WAITS_MS_MAX,
        };
        self.strikes.all.push(strike);
        let number = self.strikes.all.len() - 1;
        self.plan(from_ms, Due::Act(Act::Strike(number)));
    }

    fn targets(&self, step: &Step) -> (Vec<usize>, Vec<usize>) {
        let players = self.players.len();
        let who: Vec<usize> = (0..=players).filter(|who| step.target.strikes(*who)).collect();
        if !step.kind.breaks_ways() {
            return (who, Vec::new());
        }
        let all = who.contains(&SERVER);
        let ways = (0..players).filter(|way| all || who.contains(&(way + 1)));
        // Behind the ways to the server come those to each player from the other.
        let direct = if matches!(step.target, Target::Path(_) | Target::Direct) { players } else { 0 };
        (Vec::new(), ways.map(|way| way + direct).collect())
    }

    /// Carries out what is due.
    ///
    /// # Errors
    /// When the system refuses what it should allow.
    pub(super) fn act(&mut self, act: &Act) -> anyhow::Result<()> {
        match *act {
            Act::Strike(number) => self.strike(number),
            Act::Heal(number) => self.heal(number),
            Act::LookForServer => self.look_for_server(),
            Act::AskSnapshot { strike, who } => self.ask_snapshot(strike, who),
            Act::CutPower { strike, who } => self.cut_power(strike, who),
            Act::Burst { strike, who, stop } => {
                self.burst(strike, who, stop);
                Ok(())
            }
        }
    }

    fn strike(&mut self, number: usize) -> anyhow::Result<()> {
        let (step, who) = (self.strikes.all[number].step.clone(), self.strikes.all[number].who.clone());
        let now = self.now_ms();
        // On a slow machine whoever is struck again and again may not be back yet.
        let is_down = |who: &usize| self.strikes.down.contains_key(who) || !self.runs(*who);
        if !who.is_empty() && who.iter().all(is_down) && now < self.strikes.all[number].waits_until_ms {
            self.plan(now + LOOK_MS, Due::Act(Act::Strike(number)));
            return Ok(());
        }
        self.strikes.all[number].state = State::Active;
        self.strikes.all[number].on_ms = now;
        self.plan(now + self.strikes.all[number].lasts_ms, Due::Act(Act::Heal(number)));
        self.note_fault(number, true);
        if step.kind.breaks_ways() {
            self.strike_ways(number);
            return Ok(());
        }
        if step.kind.needs_networks() {
            return self.strike_networks(number);
        }
        for who in who {
            let busy = self.strikes.down.contains_key(&who) || self.process(who).is_none();
            if busy && !matches!(step.kind, Fault::SlowCpu | Fault::Descriptors) {
                continue;
            }
            self.strike_process(number, who, &step)?;
        }
        Ok(())
    }

    fn strike_process(&mut self, number: usize, who: usize, step: &Step) -> anyhow::Result<()> {
        let takes_down = match step.kind {
            Fault::Kill
            | Fault::RestartLoop
            | Fault::Damage
            | Fault::Zeroes
            | Fault::Deleted
            | Fault::Truncate
            | Fault::OlderState
            | Fault::Wipe
            | Fault::Upgrade => Some(Signal::KILL),
            Fault::PlannedRestart => Some(Signal::TERM),
            _ => None,
        };
        if let Some(signal) = takes_down {
            self.take_down(number, who, step.kind);
            let Some(process) = self.process(who) else { return Ok(()) };
            if who != SERVER && signal == Signal::TERM {
                process.hang_up();
            } else {
                process.signal(signal);
            }
            return Ok(());
        }
        let Some(process) = self.process(who) else { return Ok(()) };
        match step.kind {
            Fault::Pause => {
                process.signal(Signal::STOP);
            }
            Fault::ClockJump => {
                let clock = self.clocks.get(&who).context("it has no clock of its own")?;
                clock.jump(step.amount.unwrap_or(0))?;
            }
            Fault::PowerCut => {
                process.signal(Signal::STOP);
                self.take_down(number, who, step.kind);
                self.plan(self.now_ms(), Due::Act(Act::CutPower { strike: number, who }));
            }
            Fault::SlowCpu => {
                self.strikes.slowed.insert(who);
                self.burst(number, who, true);
            }
            Fault::Descriptors => {
                let most = u64::try_from(step.amount.unwrap_or(0)).unwrap_or(0);
                let before = process.limit(Resource::Nofile, Some(most))?;
                let open = process.open_files().unwrap_or(0);
                let strike = &mut self.strikes.all[number];
                strike.limits.push((who, Resource::Nofile, before));
                if open >= most {
                    strike.evidence = Some(format!("{open} files open, {most} allowed"));
                }
            }
            Fault::LittleMemory => {
                let most = u64::try_from(step.amount.unwrap_or(0)).unwrap_or(0) << 20;
                let before = process.limit(Resource::Data, Some(most))?;
                let has = process.status("VmData:").unwrap_or_default();
                let kib: u64 = has.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
                let strike = &mut self.strikes.all[number];
                strike.limits.push((who, Resource::Data, before));
                if kib << 10 >= most {
                    strike.evidence = Some(format!("has {has}, {} MiB are allowed", most >> 20));
                }
                // Who is refused memory may end; it is started again when there is some.
                self.take_down(number, who, step.kind);
            }
            Fault::KillAtSync | Fault::KillAtRename | Fault::DiskError | Fault::DiskFull | Fault::ReadOnly => {
                let pid = process.pid();
                let state = self.server.state.clone();
                let traced = Traced::start(pid, step.kind, step.amount.unwrap_or(1), &state, &mut self.guardian)?;
                self.strikes.all[number].traced.push(traced);
                self.take_down(number, who, step.kind);
                if step.kind == Fault::KillAtRename {
                    self.plan(self.now_ms(), Due::Act(Act::AskSnapshot { strike: number, who }));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_down(&mut self, strike: usize, who: usize, kind: Fault) {
        self.strikes.down.insert(who, Down { strike, kind, ended: false, healed: false, original: None });
    }

    /// A snapshot is asked for as an operator does; the tracer ends the server in the middle of it.
    fn ask_snapshot(&mut self, strike: usize, who: usize) -> anyhow::Result<()> {
        if self.strikes.all[strike].state != State::Active {
            return Ok(());
        }
        let Some(process) = self.process(who) else { return Ok(()) };
        if !process.is_traced() {
            self.plan(self.now_ms() + LOOK_MS, Due::Act(Act::AskSnapshot { strike, who }));
            return Ok(());
        }
        let mut command = this_program(&self.home)?;
        command.args(["admin", "--state"]).arg(&self.server.state).args(["snapshot", "now"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut asks = command.spawn().context("nobody can ask for a snapshot")?;
        // Whoever it asks is killed before it answers.
        tokio::spawn(async move { asks.wait().await });
        Ok(())
    }

    /// The power goes once nobody is in the middle of a call: one that returned after the copy was made would have told of
    /// a sync that is not in it.
    fn cut_power(&mut self, strike: usize, who: usize) -> anyhow::Result<()> {
        let Some(process) = self.process(who) else { return Ok(()) };
        if !process.stands_still() {
            self.plan(self.now_ms() + 1, Due::Act(Act::CutPower { strike, who }));
            return Ok(());
        }
        self.disks.get_mut(&who).context("it has no disk of its own")?.cut()?;
        let _ = self.process(who).map(|process| process.signal(Signal::KILL));
        Ok(())
    }

    fn burst(&mut self, strike: usize, who: usize, stop: bool) {
        if !self.strikes.slowed.contains(&who) {
            return;
        }
        let share = u64::try_from(self.strikes.all[strike].step.amount.unwrap_or(500)).unwrap_or(500).clamp(1, 999);
        let runs = (BURST_MS * share / 1_000).max(1);
        if let Some(process) = self.process(who) {
            process.signal(if stop { Signal::STOP } else { Signal::CONT });
            if stop && process.is_stopped() {
                self.strikes.all[strike].evidence = Some("stood still again and again".to_owned());
            }
        }
        let after = if stop { BURST_MS - runs.min(BURST_MS - 1) } else { runs };
        self.plan(self.now_ms() + after, Due::Act(Act::Burst { strike, who, stop: !stop }));
    }

    pub(super) fn note_fault(&mut self, number: usize, on: bool) {
        let Strike { step, who, ways, .. } = &self.strikes.all[number];
        let fault = step.kind.word().to_owned();
        let players = self.players.len();
        let mut names: Vec<String> = who.iter().map(|who| self.name(*who)).collect();
        match (ways.as_slice(), step.target) {
            ([], _) => {}
            ([one], _) => names.push(self.name(one + 1)),
            (_, Target::Path(_)) => names.extend(ways.iter().map(|way| self.name(way - players + 1))),
            (_, Target::Direct) => names.push("direct".to_owned()),
            _ => names.push("links".to_owned()),
        }
        for name in names {
            self.note(name, What::Fault { fault: fault.clone(), on });
        }
    }

    pub(super) fn weather(&mut self, number: usize, mut change: impl FnMut(&mut Weather)) {
        for way in self.strikes.all[number].ways.clone() {
            let weather = &mut self.strikes.weather[way];
            // To the first of a pair the second connects: what comes up there goes down in the words of a scenario.
            let turned = way >= self.players.len() && way.is_multiple_of(2);
            if turned {
                std::mem::swap(&mut weather.up, &mut weather.down);
            }
            change(weather);
            if turned {
                std::mem::swap(&mut weather.up, &mut weather.down);
            }
            self.proxies[way].set(self.strikes.weather[way].clone());
        }
    }

    /// What has passed the ways of a strike.
    pub(super) fn passed(&self, number: usize) -> Vec<Passed> {
        self.strikes.all[number].ways.iter().map(|way| self.proxies[*way].passed()).collect()
    }

    pub(super) fn ways_of(&self, number: usize) -> Vec<usize> {
        self.strikes.all[number].ways.clone()
    }

    pub(super) fn step_of(&self, number: usize) -> Step {
        self.strikes.all[number].step.clone()
    }

    pub(super) fn before(&mut self, number: usize) -> &mut Vec<Passed> {
        &mut self.strikes.all[number].before
    }

    pub(super) fn prove(&mut self, number: usize, evidence: Option<String>) {
        self.strikes.all[number].evidence = evidence;
    }
}

/// A fault without a length is looked at so long after it struck.
const MIN_LASTS_MS: u64 = 250;
