//! Keepers that are lost: their disks emptied, put aside or damaged.
//!
//! What must hold: no two keepers of one match are lost before the first loss is made good; the promise ends there, so a
//! world that did it would prove nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rejoin::model::state::State;
use rejoin::store::faulty::FaultyDisk;
use rejoin::store::{Disk, backup, restore};

use super::faults::Death;
use super::machine::{CLIENT_STATE, SERVER_STATE};
use super::world::World;
use crate::sim::plan::Host;

/// What was lost so far.
#[derive(Default)]
pub(super) struct Losses {
    list: Vec<Loss>,
    /// A file that was damaged, whose, and what was in it.
    pub(super) rotten: Option<(Host, PathBuf, Vec<u8>)>,
    /// Devices, or the server, that the promise does not cover.
    pub(super) wiped: Vec<String>,
}

/// One keeper lost.
struct Loss {
    at_ms: u64,
    /// Matches that were not settled then, and of which it was a keeper.
    matches: BTreeSet<String>,
}

/// Where the copy of the server's files is.
const COPY: &str = "/copy";
/// After a loss, what is left needs some time to spread.
const SPREAD_MS: u64 = 2_000;

impl World {
    /// Whether a keeper may be lost now.
    fn may_lose(&self, host: Host) -> bool {
        let now = self.now_ms();
        let settled = |of: &String| {
            let watched = &self.matches[of];
            watched.players.iter().all(|player| self.players[*player].human.knows_result(of))
        };
        let open = self.open_matches(host);
        self.losses.rotten.is_none()
            && self.losses.list.iter().all(|loss| {
                let shared = loss.matches.intersection(&open).next().is_some();
                now >= loss.at_ms + SPREAD_MS && (!shared || loss.matches.iter().all(settled))
            })
    }

    fn open_matches(&self, host: Host) -> BTreeSet<String> {
        let of_host = |players: &BTreeSet<usize>| match host {
            Host::Server => true,
            Host::Player(number) | Host::Left(number) => players.contains(&usize::from(number)),
        };
        let open = self.matches.iter().filter(|(id, watched)| {
            let settled = watched.players.iter().all(|player| self.players[*player].human.knows_result(id));
            of_host(&watched.players) && !settled
        });
        open.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn lost(&mut self, host: Host, name: String) {
        let loss = Loss { at_ms: self.now_ms(), matches: self.open_matches(host) };
        self.losses.list.push(loss);
        self.losses.wiped.push(name);
    }

    /// Whether a player is there, and may be lost.
    pub(super) fn can_move(&self, player: u8) -> bool {
        let host = Host::Player(player);
        self.machine(host).is_some_and(|machine| machine.runs) && self.may_lose(host)
    }

    /// The disk of a player is gone; the player goes on at an empty one.
    pub(super) fn wipe_player(&mut self, player: u8) -> bool {
        self.can_move(player) && self.leave_device(player, Death::Wiped)
    }

    /// The player goes on at another device, and the first is shut.
    pub(super) fn take_device(&mut self, player: u8) -> bool {
        self.can_move(player) && self.leave_device(player, Death::Killed)
    }

    fn leave_device(&mut self, player: u8, death: Death) -> bool {
        let host = Host::Player(player);
        let Some(name) = self.machine(host).map(|machine| machine.name.clone()) else { return false };
        self.lost(host, name);
        self.crash(host, death);
        self.players[usize::from(player)].human.changes_device();
        self.new_device(usize::from(player));
        self.stays_cut(host);
        true
    }

    /// A copy of the server's files, for the day when they are lost.
    pub(super) fn take_copy(&mut self) {
        let disk = self.server.disk.fork();
        let made = backup::<State>(&disk, Path::new(SERVER_STATE), Path::new(COPY), &self.common.server.0);
        // The server may be writing; the next moment is as good.
        if made.is_ok() {
            self.copy = Some(disk);
        }
    }

    /// The server's disk is gone; the copy is put back.
    pub(super) fn wipe_server(&mut self) -> bool {
        let Some(copy) = self.copy.clone().filter(|_| self.may_lose(Host::Server)) else { return false };
        self.lost(Host::Server, "server".to_owned());
        self.crash(Host::Server, Death::Wiped);
        let disk = FaultyDisk::new();
        copy_dir(&copy, &disk, Path::new(COPY)).expect("disks without faults work");
        let put_back = restore::<State>(&disk, Path::new(COPY), Path::new(SERVER_STATE), &self.common.server.0);
        put_back.expect("the copy is good");
        self.server.replace_disk(disk);
        self.players.iter_mut().for_each(|player| player.human.server_is_restored());
        true
    }

    /// Changes a byte of an old file, while its process is down.
    pub(super) fn rot(&mut self, host: Host) -> bool {
        if !self.may_lose(host) || !self.machine(host).is_some_and(|machine| machine.runs) {
            return false;
        }
        let disk = self.machine(host).map(|machine| machine.disk.clone()).expect("it was looked at");
        let files = old_files(&disk, host);
        if files.is_empty() {
            return false;
        }
        self.crash(host, Death::Killed);
        let path = files[self.random.up_to(files.len() - 1)].clone();
        let Ok(before) = disk.read(&path) else { return false };
        if before.is_empty() {
            return false;
        }
        let (at, bit) = (self.random.up_to(before.len() - 1), self.random.up_to(7));
        disk.damage(&path, |bytes| bytes[at] ^= 1 << bit);
        self.trace(|| format!("{host}: byte {at} of {} is changed", path.display()));
        if let Host::Player(_) = host {
            let name = self.machine(host).map(|machine| machine.name.clone()).unwrap_or_default();
            self.lost(host, name);
        }
        self.losses.rotten = Some((host, path, before));
        true
    }

    /// A process has refused a damaged file: whoever looks after it puts back a good one.
    pub(super) fn put_back_rot(&mut self, host: Host) {
        let Some((_, path, before)) = self.losses.rotten.take_if(|(of, _, _)| *of == host) else { return };
        if let Some(machine) = self.machine(host) {
            machine.disk.damage(&path, |bytes| *bytes = before);
        }
    }
}

/// Files that are not written any more, and not locks.
fn old_files(disk: &FaultyDisk, host: Host) -> Vec<PathBuf> {
    let all = disk.paths();
    let newest = all.iter().rfind(|path| path.to_string_lossy().contains("journal-")).cloned();
    let under = match host {
        Host::Server => SERVER_STATE,
        Host::Player(_) | Host::Left(_) => CLIENT_STATE,
    };
    let is_old = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        path.starts_with(under)
            && newest.as_ref() != Some(path)
            && (name.starts_with("journal-") || name.starts_with("snapshot-") || name.starts_with("match-"))
    };
    all.into_iter().filter(is_old).collect()
}

fn copy_dir(from: &FaultyDisk, to: &FaultyDisk, dir: &Path) -> std::io::Result<()> {
    to.create_dir(dir)?;
    for path in from.list(dir)? {
        let mut file = to.create(&path)?;
        file.append(&from.read(&path)?)?;
        file.sync()?;
    }
    to.sync_dir(dir)
}
