//! Losses: disks that are gone or damaged, devices that are left.
//!
//! What must hold: never are two keepers of one match lost at once. A loss that would be the second does not strike.

use std::path::{Path, PathBuf};

use rejoin::model::state::State;
use rejoin::store::faulty::FaultyDisk;
use rejoin::store::{self, Disk, FRAME_HEAD_BYTES, HEADER_BYTES};

use super::machine::Death;
use super::server::STATE;
use super::world::{Task, World};
use crate::sim::plan::{Host, Kind};

/// Where the copy of the server's state is kept.
const COPY: &str = "/srv/copy";

/// A device that is left soon after the copy cannot win with the one move that it may still make: a server that has lost
/// state settles what is decided.
const COPIED_PLIES_MAX: u16 = 2;

impl World<'_> {
    /// Damage to a file of a process that is down: in a place that is read at the next start, and that no interrupted
    /// write can have left so.
    pub(super) fn rot(&mut self, host: Host, for_ms: u64) -> bool {
        let number = self.number_of(host);
        if self.machine(number).gone || number == 0 && self.server.rot.is_some() {
            return false;
        }
        let draw = self.chance.next();
        let disk = self.machine(number).disk.clone();
        let dir = if number == 0 { PathBuf::from(STATE) } else { self.user_dir(number - 1) };
        let found = if number == 0 { journals(&disk, &dir) } else { matches(&disk, &dir) };
        let Some((path, at)) = found.and_then(|files| place(&disk, &files, draw)) else { return false };
        if number > 0 && !self.may_lose(host) || for_ms == u64::MAX {
            return false;
        }
        if self.machine(number).alive {
            self.end(number, Death::Killed, for_ms);
        } else if number > 0 {
            return false;
        }
        let mut before = 0;
        disk.damage(&path, |bytes| {
            before = bytes[at];
            bytes[at] ^= 1 << (draw % 8);
        });
        self.note(number, || format!("byte {at} of {} is changed", path.display()));
        match number.checked_sub(1) {
            None => self.server.rot = Some((path, at, before)),
            Some(device) => {
                self.devices[device].rot = Some(path);
                self.frail.insert(host);
                let who = self.devices[device].who.clone();
                self.wiped.insert(who);
            }
        }
        true
    }

    /// A client has named damage.
    pub(super) fn told_damage(&mut self, number: usize) {
        if self.devices[number].rot.take().is_none() {
            let why = format!("{} finds damage where nobody has done any", self.devices[number].who);
            self.violate("I14", why);
        }
    }

    /// Whether the promise allows that a keeper is lost: no other of its matches is.
    pub(super) fn may_lose(&self, host: Host) -> bool {
        match host {
            // Who has left a device has lost nothing with it, as long as it can be asked.
            Host::Server => self.liars.is_empty() && self.frail.iter().all(|host| self.left.contains(host)),
            Host::Player(player) | Host::Left(player) => {
                ![Host::Server, host, Host::Player(player ^ 1)].iter().any(|host| self.frail.contains(host))
            }
        }
    }

    pub(super) fn wipe_player(&mut self, player: u8, for_ms: u64) -> bool {
        let host = Host::Player(player);
        if player >= self.plan.players || for_ms == u64::MAX || !self.may_lose(host) {
            return false;
        }
        let number = self.number_of(host);
        if self.machine(number).gone {
            return false;
        }
        if self.machine(number).alive {
            self.end(number, Death::Killed, for_ms);
        }
        self.machine(number).disk = FaultyDisk::new();
        self.frail.insert(host);
        let who = self.devices[number - 1].who.clone();
        self.wiped.insert(who);
        true
    }

    pub(super) fn take_device(&mut self, player: u8, for_ms: u64) -> bool {
        let host = Host::Player(player);
        if player >= self.plan.players || for_ms == u64::MAX || !self.may_lose(host) {
            return false;
        }
        let (human, number) = (usize::from(player), self.number_of(host));
        if self.machine(number).alive {
            self.end(number, Death::Killed, u64::MAX);
        }
        self.machine(number).gone = true;
        self.frail.insert(host);
        let who = self.devices[number - 1].who.clone();
        self.wiped.insert(who);
        self.humans[human].changes_device();
        self.seats[human] = self.devices.len();
        self.add_device(human);
        let machine = self.devices.len();
        self.later(self.now + for_ms, Task::Start { machine, life: 0 });
        true
    }

    /// Takes the copy that `WipeServer` puts back, as soon as all players are logged in, if the plan has no other time.
    pub(super) fn take_first_copy(&mut self) {
        let has = |kind: Kind| self.plan.faults.iter().any(|fault| fault.kind == kind);
        if self.server.copy.is_none() && has(Kind::WipeServer) && !has(Kind::CopyServer) {
            self.take_copy();
        }
    }

    /// Takes the copy that `WipeServer` puts back, if all players are logged in; whether it did.
    pub(super) fn take_copy(&mut self) -> bool {
        if !self.all_logged_in() {
            return false;
        }
        let disk = self.server.machine.disk.fork();
        let copied = store::backup::<State>(&disk, Path::new(STATE), Path::new(COPY), &self.server.id.0);
        if copied.is_ok() {
            let old = disk.list(Path::new(STATE)).unwrap_or_default();
            for path in old {
                disk.lose(&path);
            }
            self.server.copy = Some(disk);
        }
        copied.is_ok()
    }

    /// Whether the server has a match on disk, at its beginning. (Of one that is newer than the copy it would have to hear both seats before
    /// anybody sits at it again, and who has the older session of a player keeps the newer device out.)
    pub(super) fn has_matches(&self) -> bool {
        let has = |process: &super::server::Process| {
            let (appended, flushed) = process.engine.lsns();
            let mut games = process.engine.state().games();
            appended == flushed && games.next().is_some_and(|of| of.evidence.chain.plies() <= COPIED_PLIES_MAX)
        };
        self.server.process.as_ref().is_some_and(has)
    }

    fn all_logged_in(&self) -> bool {
        let players = self.seats.iter().take(usize::from(self.plan.players));
        let device = |at: &usize| self.devices[*at].process.as_ref();
        self.server.machine.alive && players.map(device).all(|of| of.is_some_and(|of| of.player.has_session()))
    }

    pub(super) fn wipe_server(&mut self, for_ms: u64) -> bool {
        // Who never starts again cannot say what it has lost.
        let gone = self.server.machine.gone;
        if for_ms == u64::MAX || gone || !self.may_lose(Host::Server) {
            return false;
        }
        let Some(copy) = self.server.copy.as_ref().map(FaultyDisk::fork) else { return false };
        if self.server.machine.alive {
            self.end(0, Death::Killed, for_ms);
        }
        let restored = store::restore::<State>(&copy, Path::new(COPY), Path::new(STATE), &self.server.id.0);
        if let Err(error) = restored {
            self.violate("I8", format!("a copy of the state cannot be put back: {error}"));
        }
        // Whatever was damaged went with the disk.
        self.server.rot = None;
        self.server.machine.disk = copy;
        // The disk of the copy is a good one.
        let disk = &self.server.machine.disk;
        disk.set_capacity(None);
        disk.fail_no_more();
        disk.cut_power_at(u64::MAX);
        self.frail.insert(Host::Server);
        self.wiped.insert("server".to_owned());
        true
    }
}

/// The files the next start reads: the newest snapshot and the segments after it.
fn journals(disk: &FaultyDisk, dir: &Path) -> Option<Vec<PathBuf>> {
    let all = disk.list(dir).ok()?;
    let number = |path: &PathBuf, before: &str, after: &str| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
    };
    let snapshot = all.iter().filter_map(|path| Some((number(path, "snapshot-", ".snap")?, path.clone()))).max();
    let newest = snapshot.as_ref().map_or(0, |(last, _)| *last);
    let mut files: Vec<PathBuf> = all
        .iter()
        .filter(|path| number(path, "journal-", ".log").is_some_and(|first| first > newest))
        .cloned()
        .collect();
    if let Some((_, snapshot)) = snapshot {
        files.insert(0, snapshot);
    }
    Some(files)
}

/// The match files.
fn matches(disk: &FaultyDisk, dir: &Path) -> Option<Vec<PathBuf>> {
    let is_match = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("match-") && name.ends_with(".log")
    };
    Some(disk.list(dir).ok()?.into_iter().filter(is_match).collect())
}

/// A byte in one of the files, before its last two frames: those could be an interrupted write.
fn place(disk: &FaultyDisk, files: &[PathBuf], draw: u64) -> Option<(PathBuf, usize)> {
    let path = files.get(usize::try_from(draw % files.len().max(1) as u64).ok()?)?.clone();
    let bytes = disk.read(&path).ok()?;
    let mut starts = Vec::new();
    let mut at = HEADER_BYTES;
    while let Some(len) = bytes.get(at..at + 4).and_then(|len| len.try_into().ok()).map(u32::from_le_bytes)
        // What a crash has filled with zeros is no frame.
        && len > 0
    {
        starts.push(at);
        at += FRAME_HEAD_BYTES + len as usize;
    }
    let end = *starts.get(starts.len().checked_sub(2)?)?;
    Some((path, usize::try_from((draw >> 20) % end as u64).ok()?))
}
