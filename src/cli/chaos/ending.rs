//! The end of a run: everything settles, everybody stops, the disks are read, and the oracle judges.
//!
//! What must hold: what is judged was read from the disks after the last process had ended; what was not measured is not
//! called exercised.
#![allow(clippy::wildcard_enum_match_arm, reason = "of all that can happen each place looks at a few kinds")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use super::logged;
use super::player::Wish;
use super::process::Process;
use super::settled::Course;
use super::stage::{SERVER, SERVER_NAME, Stage};
use crate::chaos::finals::{Door, Figures, Finals, Healed};
use crate::chaos::history::{Record, Told, What};
use crate::cli::keepers::{player_keeper, secrets_in, server_keeper};
use crate::store::{Disk, HostDisk};

/// All links live and all matches playable again; much longer than is allowed, so that what is late is seen.
pub(super) const HEAL_MAX: Duration = Duration::from_secs(15);
/// The last matches are played to their end.
const CLOSE_MAX: Duration = Duration::from_secs(30);
/// Lines of players are read this much late at most, on a machine with other things to do.
const LATE_MS: u64 = 500;
/// The memory of a server with a handful of players; hashing passwords takes the most of it.
const SERVER_KIB_MAX: u64 = 256 << 10;
/// Files of a server without players: beside those it had when it was ready, the ends of connections just closed.
const FILES_MORE_MAX: u64 = 16;
/// Processes that were asked to end have done so.
const STOP_MAX: Duration = Duration::from_secs(15);

impl Stage {
    /// Waits until everybody is live and every match goes on or is over.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub(super) async fn heal_all(&mut self) -> anyhow::Result<bool> {
        let course = RefCell::new(Course::since(self.strikes.healed_ms.unwrap_or_else(|| self.now_ms())));
        self.until(HEAL_MAX, |stage| {
            let live = stage.players.iter().all(|player| player.live && player.process.is_some());
            course.borrow_mut().read(&stage.history);
            live && stage.server.ready && course.borrow().all_settled()
        })
        .await
    }

    /// The last matches are finished, and the points asked for.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub(super) async fn close(&mut self) -> anyhow::Result<bool> {
        self.players.iter_mut().for_each(|player| player.closing = true);
        let done = self
            .until(CLOSE_MAX, |stage| {
                stage.players.iter().all(|player| player.seat.is_none() && player.pending.is_empty())
            })
            .await?;
        self.wish(0, 0, Wish::Leaders);
        let told = |stage: &Self| {
            let last = stage.history.iter().rev().take(64);
            { last }.any(|record| matches!(&record.what, What::Told { told: Told::Leaders { .. } }))
        };
        Ok(self.until(STOP_MAX, told).await? && done)
    }

    /// The players stop in order; newcomers try the doors; then the server stops.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub(super) async fn stop_all(&mut self) -> anyhow::Result<BTreeMap<String, Door>> {
        for player in 0..self.players.len() {
            self.strikes.expect_stop(player + 1);
            let _ = self.players[player].process.as_mut().map(Process::hang_up);
        }
        let none = |stage: &Self| stage.players.iter().all(|player| player.process.is_none());
        if !self.until(STOP_MAX, none).await? {
            self.surprises.push(format!("not all players have stopped after {STOP_MAX:?}"));
        }
        let doors = self.try_doors().await?;
        if self.server.foreign.is_some() {
            return Ok(doors);
        }
        self.measure();
        self.strikes.expect_stop(SERVER);
        let _ = self.server.process.as_ref().map(|process| process.signal(Signal::TERM));
        if !self.until(STOP_MAX, |stage| stage.server.process.is_none()).await? {
            self.surprises.push(format!("the server has not stopped after {STOP_MAX:?}"));
            let _ = self.server.process.as_ref().map(|process| process.signal(Signal::KILL));
            self.until(STOP_MAX, |stage| stage.server.process.is_none()).await?;
        }
        Ok(doors)
    }

    /// Somebody without any files tries a wrong password and the right one.
    async fn try_doors(&mut self) -> anyhow::Result<BTreeMap<String, Door>> {
        let mut doors = BTreeMap::new();
        let Some(id) = self.server.id.filter(|_| self.server.ready) else { return Ok(doors) };
        for (user, password) in self.players.iter().map(|of| (of.user.clone(), of.password.clone())).collect::<Vec<_>>()
        {
            let mut command = self.program(SERVER, None)?;
            command.args(["play", "--json", "--direct", "off", "--server", &format!("{}#{id}", self.server.addr)]);
            command.arg("--state").arg(self.home.join("doors").join(&user));
            command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
            command.stderr(std::process::Stdio::null()).process_group(0).kill_on_drop(true);
            let wrong = format!("not-{password}");
            let lines = format!("login {user} {wrong}\nlogin {user} {password}\n");
            let mut child = command.spawn().context("a newcomer cannot be started")?;
            let mut stdin = child.stdin.take().context("no standard input")?;
            tokio::io::AsyncWriteExt::write_all(&mut stdin, lines.as_bytes()).await?;
            drop(stdin);
            let Ok(output) = tokio::time::timeout(STOP_MAX, child.wait_with_output()).await else { continue };
            let said = String::from_utf8_lossy(&output?.stdout).into_owned();
            let replies = said.lines().filter(|line| line.contains(r#""command":"login""#));
            let mut door = Door::default();
            for (reply, tried) in replies.zip([&wrong, &password]) {
                if reply.contains(r#""ok":true"#) {
                    door.opens.push(tried.clone());
                } else if reply.contains("wrong-password") {
                    door.shut.push(tried.clone());
                }
            }
            doors.insert(user, door);
        }
        Ok(doors)
    }

    /// Reads what is left, and puts it beside what was measured.
    ///
    /// # Errors
    /// What cannot be read.
    pub(super) fn finals(&mut self, doors: BTreeMap<String, Door>) -> anyhow::Result<Finals> {
        let id = self.server.id.context("the server has never been there")?;
        let disk: Arc<dyn Disk> = Arc::new(HostDisk);
        let mut finals = Finals { doors, ..Finals::default() };
        if self.server.foreign.is_none() {
            match server_keeper(&disk, &self.server.state, id) {
                Ok((keeper, ledger)) => {
                    finals.keepers.insert(SERVER_NAME.to_owned(), keeper);
                    finals.ledger = ledger;
                }
                Err(why) => {
                    finals.figures.unreadable.push(format!("the server's files cannot be read in the end: {why}"))
                }
            }
        }
        for player in &self.players {
            match player_keeper(&disk, &player.state, id, &player.user) {
                Ok(keeper) => _ = finals.keepers.insert(player.device.clone(), keeper),
                Err(why) => {
                    finals
                        .figures
                        .unreadable
                        .push(format!("{}'s files cannot be read in the end: {why}", player.device));
                }
            }
        }
        self.losses_named.extend(named_in(&self.home.join("server.log")));
        finals.wiped.clone_from(&self.strikes.wiped);
        // What nobody can look at is not judged.
        if !self.losses_named.is_empty() || self.server.foreign.is_some() {
            finals.wiped.push(SERVER_NAME.to_owned());
        }
        finals.healed = self.healed();
        settled_untold(&mut finals);
        let unreadable = std::mem::take(&mut finals.figures.unreadable);
        finals.figures = Figures { unreadable, ..self.figures(&disk) };
        Ok(finals)
    }

    fn healed(&self) -> Healed {
        let Some(at_ms) = self.strikes.healed_ms else { return Healed::default() };
        let mut live_ms = BTreeMap::new();
        for player in &self.players {
            live_ms.insert(player.device.clone(), live_after(&self.history, &player.device, at_ms));
        }
        let mut course = Course::since(at_ms);
        course.read(&self.history);
        Healed { at_ms: Some(at_ms), live_ms, settled_ms: course.settled_ms(), ..Healed::default() }
    }

    fn figures(&self, disk: &Arc<dyn Disk>) -> Figures {
        let secrets: Vec<String> = self.players.iter().map(|player| player.password.clone()).collect();
        let mut dirs = Vec::new();
        dirs_below(&self.home, &mut dirs);
        let dirs: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
        let dials = self.players.iter().zip(&self.proxies);
        Figures {
            late_ms: LATE_MS,
            dials_a_second_max: dials.map(|(of, way)| (of.device.clone(), way.dials_a_second_max())).collect(),
            leaks: secrets_in(disk, &dirs, &secrets),
            losses_named: self.losses_named.clone(),
            damage_believed: self.strikes.believed.clone(),
            outages: self.players.iter().flat_map(|of| logged::outages(&of.device, &of.state)).collect(),
            doubles: self.sessions().map(|sessions| sessions.doubles).unwrap_or_default(),
            sizes: self.sizes.clone(),
            ..Figures::default()
        }
    }

    /// What the server's log says about sessions, if it can be judged: by clocks that jump it cannot.
    fn sessions(&self) -> Option<logged::Sessions> {
        let jumps = self.clocks.contains_key(&SERVER);
        (self.server.foreign.is_none() && !jumps).then(|| logged::sessions(&self.server.state)).flatten()
    }

    /// Whether somebody has looked on which connections sessions were live.
    pub(super) fn sessions_were_looked_at(&self) -> bool {
        self.sessions().is_some_and(|sessions| sessions.moves > 0)
    }

    /// What the server has taken of the machine, now that everybody has left.
    fn measure(&mut self) {
        let Some(process) = &self.server.process else { return };
        let kib = process.status("VmHWM:").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        if let Some(kib) = kib {
            self.sizes.push(("KiB of memory that the server had at most".to_owned(), kib, SERVER_KIB_MAX));
        }
        if let (Some(before), Some(after)) = (self.server.files, process.open_files()) {
            let name = "files that the server has open once everybody has left".to_owned();
            self.sizes.push((name, after, before + FILES_MORE_MAX));
        }
    }

    /// Panics in the logs: a process that lives on after one is no better for it.
    pub(super) fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.home).into_iter().flatten().filter_map(Result::ok) {
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            let panics = text.lines().filter(|line| line.contains("panicked at"));
            found.extend(panics.map(|line| format!("{}: {line}", entry.file_name().to_string_lossy())));
        }
        found
    }
}

/// Who was killed between writing a verdict down and showing it is not told of it again: such a match was settled by the
/// time that everybody was live.
fn settled_untold(finals: &mut Finals) {
    let live = finals.healed.live_ms.values().copied().max().flatten();
    for (match_id, took) in finals.healed.settled_ms.iter_mut().filter(|(_, took)| took.is_none()) {
        let kept: Vec<_> = finals.keepers.values().filter_map(|keeper| keeper.matches.get(match_id)).collect();
        if kept.len() == 3 && kept.iter().all(|kept| kept.verdict.is_some()) {
            *took = live;
        }
    }
}

/// When a device was live, after a moment.
fn live_after(history: &[Record], device: &str, at_ms: u64) -> Option<u64> {
    let mut live = false;
    for record in history.iter().filter(|record| record.who == device) {
        if record.at_ms > at_ms && live {
            return Some(0);
        }
        match &record.what {
            What::Told { told: Told::Link { state, .. } } => live = state == "live",
            What::Ended { .. } => live = false,
            _ => {}
        }
        if record.at_ms >= at_ms && live {
            return Some(record.at_ms - at_ms);
        }
    }
    live.then_some(0)
}

/// Losses of state that the server's log names.
fn named_in(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.contains(crate::ops::event::STATE_ROLLED_BACK)).map(str::to_owned).collect()
}

fn dirs_below(dir: &Path, all: &mut Vec<PathBuf>) {
    all.push(dir.to_owned());
    for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            dirs_below(&entry.path(), all);
        }
    }
}
