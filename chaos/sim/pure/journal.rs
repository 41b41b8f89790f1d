//! The server's journal, as its thread runs it: all that waits in one write, one sync, which takes its time.
//!
//! What must hold: the engine hears `Flushed` when the sync is done, and not before; a process that ends in between
//! leaves some of it on the disk.

use std::path::Path;

use rejoin::model::engine::Input;
use rejoin::model::fact::Fact;
use rejoin::store::faulty::FaultyDisk;
use rejoin::store::{Disk, StoreError};

use super::machine::Death;
use super::server::{Process, RESPAWN_MS, STATE};
use super::world::World;

/// How soon a full disk is tried again.
const FULL_RETRY_MS: u64 = 500;
/// Space kept aside for what was decided when the disk fills up.
const RESERVE_BYTES: usize = 8 * 1024;
const RESERVE: &str = "reserve";

impl World<'_> {
    /// The journal's thread takes all that waits.
    pub(super) fn begin_sync(&mut self) {
        let takes = self.chance_of_sync();
        let Some(process) = &mut self.server.process else { return };
        if process.syncing.is_none() && !process.waiting.is_empty() {
            process.syncing = Some((self.now + takes, std::mem::take(&mut process.waiting)));
        }
    }

    fn chance_of_sync(&self) -> u64 {
        let due = self.server.process.as_ref().is_some_and(|of| of.syncing.is_none() && !of.waiting.is_empty());
        if due { self.chance.between(0, 2) + self.server.machine.sync_ms } else { 0 }
    }

    /// The sync is done.
    pub(super) fn synced(&mut self) {
        let Some((_, batches)) = self.server.process.as_mut().and_then(|process| process.syncing.take()) else {
            return;
        };
        let disk = self.server.machine.disk.clone();
        let Some(process) = &mut self.server.process else { return };
        match process.write(&disk, batches, self.now) {
            Ok(()) => {}
            Err(_) if disk.is_dead() => {
                let back = self.server.machine.back_after_ms;
                self.coverage.sometimes("power cut in a write of the journal", true);
                return self.end(0, Death::PowerCut, back);
            }
            Err(error) => {
                self.note(0, || format!("the journal cannot go on: {error}"));
                self.coverage.sometimes("journal failed, and was recovered", true);
                return self.end(0, Death::Failed, RESPAWN_MS);
            }
        }
        self.hear_journal();
    }

    pub(super) fn hear_journal(&mut self) {
        let Some(process) = &mut self.server.process else { return };
        let (_, flushed) = process.engine.lsns();
        let last = process.journal.last();
        if last > flushed {
            process.inputs.push_back(Input::Flushed(last));
        }
        let full = !process.reserved;
        if full != process.full {
            process.full = full;
            process.inputs.push_back(Input::DiskFull(full));
            self.note(0, || format!("disk full: {full}"));
            self.coverage.sometimes("disk full, and the server went on", full);
        }
        self.drive();
        self.end_turns();
        self.finish_opening();
        self.finish_draining();
    }

    pub(super) fn snapshot(&mut self) {
        let Some(process) = &mut self.server.process else { return };
        let made = process.snapshotter.step();
        let disk = &self.server.machine.disk;
        if disk.is_dead() {
            let back = self.server.machine.back_after_ms;
            self.coverage.sometimes("power cut in a snapshot", true);
            return self.end(0, Death::PowerCut, back);
        }
        match made {
            Ok(None) => {}
            Ok(Some(step)) => {
                self.coverage.sometimes("snapshot made", true);
                self.note(0, || format!("snapshot up to fact {}", step.last.0));
            }
            Err(error @ StoreError::SyncFailed { .. }) => {
                self.note(0, || format!("snapshot: {error}"));
                return self.end(0, Death::Failed, RESPAWN_MS);
            }
            Err(error) => {
                self.coverage.sometimes("disk full in a snapshot", matches!(error, StoreError::Full { .. }));
                self.note(0, || format!("no snapshot: {error}"));
            }
        }
        self.server_waits();
    }

    /// The process ends while the disk is at work: some of what it was to do is done.
    pub(super) fn break_in_sync(&mut self, how: Death) {
        let Some((_, batches)) = self.server.process.as_mut().and_then(|process| process.syncing.take()) else {
            return;
        };
        let disk = self.server.machine.disk.clone();
        if how == Death::Failed || disk.is_dead() {
            return;
        }
        let done = self.chance.between(1, 3);
        disk.cut_power_at(disk.operations() + done);
        if let Some(process) = &mut self.server.process {
            let written = process.write(&disk, batches, self.now);
            self.coverage.sometimes("crash between write and sync", written.is_err() && done > 1);
            self.coverage.sometimes("crash between sync and acknowledgement", written.is_ok());
        }
    }
}

impl Process {
    /// One step of the journal's thread: writes, syncs, keeps space aside.
    fn write(&mut self, disk: &FaultyDisk, batches: Vec<Vec<Fact>>, at_ms: u64) -> Result<(), StoreError> {
        let reserve = Path::new(STATE).join(RESERVE);
        let mut written = self.journal.append(&batches);
        if matches!(written, Err(StoreError::Full { .. })) {
            // Its space goes to what waits.
            let _ = disk.remove(&reserve);
            self.reserved = false;
            written = self.journal.append(&batches);
        }
        match written {
            Ok(_) => self.reserved = self.reserved || keep_aside(disk, &reserve),
            Err(StoreError::Full { .. }) => {
                self.syncing = Some((at_ms + FULL_RETRY_MS, batches));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if !self.reserved {
            self.syncing = Some((at_ms + FULL_RETRY_MS, Vec::new()));
        }
        Ok(())
    }
}

/// Keeps space aside; whether there was enough.
fn keep_aside(disk: &FaultyDisk, reserve: &Path) -> bool {
    let made = match disk.create(reserve) {
        Ok(mut file) => file.append(&[0; RESERVE_BYTES]).and_then(|()| file.sync()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return true,
        Err(error) => Err(error),
    };
    if made.is_err() {
        let _ = disk.remove(reserve);
    }
    made.is_ok()
}
