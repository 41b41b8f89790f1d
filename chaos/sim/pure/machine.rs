//! A machine: a disk, a clock, and a process that may be dead, paused or slow.

use std::collections::VecDeque;
use std::sync::Arc;

use rejoin::chaos::history::End;
use rejoin::model::time::{Now, WallMs};
use rejoin::store::Disk;
use rejoin::store::faulty::FaultyDisk;

use super::clock::Clock;
use super::net::Arrival;
use crate::sim::plan::Host;

/// One machine.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) host: Host,
    pub(super) disk: FaultyDisk,
    pub(super) clock: Clock,
    /// When its process began, by its own clock.
    born: u64,
    pub(super) alive: bool,
    /// Without power: it does not even say that nothing listens.
    pub(super) off: bool,
    /// It does not come back.
    pub(super) gone: bool,
    /// How many faults keep the process from running.
    pub(super) paused: u32,
    /// What has come meanwhile.
    pub(super) backlog: VecDeque<Arrival>,
    /// Number of its process: news of an earlier one are not heard.
    pub(super) life: u64,
    /// Its power goes in an operation of its disk that is still to come, as a fault of the plan.
    pub(super) is_mined: bool,
    /// It is killed after so many sends.
    pub(super) sends_left: Option<u32>,
    /// When it comes back after it was killed by a send or by its disk.
    pub(super) back_after_ms: u64,
    /// A sync takes so much longer.
    pub(super) sync_ms: u64,
    /// What it does next it does then.
    pub(super) busy_until: u64,
    /// When it was last given time again.
    pub(super) resumed_at: u64,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    Killed,
    /// And its connections are reset.
    PowerCut,
    /// And nobody hears of it.
    Silent,
    /// By itself.
    Failed,
    Stopped,
}

impl Machine {
    pub(super) fn new(host: Host) -> Self {
        Self {
            host,
            disk: FaultyDisk::new(),
            clock: Clock::default(),
            born: 0,
            alive: false,
            off: false,
            gone: false,
            paused: 0,
            backlog: VecDeque::new(),
            life: 0,
            is_mined: false,
            sends_left: None,
            back_after_ms: 0,
            sync_ms: 0,
            busy_until: 0,
            resumed_at: 0,
        }
    }

    /// A process begins.
    pub(super) fn begin(&mut self, at_ms: u64) {
        self.life += 1;
        self.born = self.clock.local(at_ms);
        (self.alive, self.off) = (true, false);
        self.busy_until = at_ms;
    }

    /// Whether its process gets time.
    pub(super) const fn runs(&self) -> bool {
        self.alive && self.paused == 0
    }

    /// Since when it has had time without a break.
    pub(super) const fn awake_since(&self) -> u64 {
        if self.resumed_at > self.busy_until { self.resumed_at } else { self.busy_until }
    }

    /// The time as the process sees it.
    pub(super) const fn now(&self, at_ms: u64) -> Now {
        Now(self.clock.local(at_ms).saturating_sub(self.born))
    }

    pub(super) fn wall(&self, at_ms: u64) -> WallMs {
        self.clock.wall(at_ms)
    }

    /// When it is `due` for the process, by the world's time.
    pub(super) fn when(&self, due: Now) -> u64 {
        if due == Now::NEVER { u64::MAX } else { self.clock.when(due.0.saturating_add(self.born)).max(self.busy_until) }
    }

    pub(super) fn files(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    /// One more was sent; whether it is killed by that.
    pub(super) fn counts_send(&mut self) -> bool {
        let Some(left) = &mut self.sends_left else { return false };
        *left = left.saturating_sub(1);
        *left == 0 && self.sends_left.take().is_some()
    }
}

impl Death {
    pub(super) const fn end(self) -> End {
        match self {
            Self::Killed => End::Killed,
            Self::PowerCut | Self::Silent => End::PowerCut,
            Self::Failed => End::Failed,
            Self::Stopped => End::Stopped,
        }
    }

    pub(super) const fn is_power_cut(self) -> bool {
        matches!(self, Self::PowerCut | Self::Silent)
    }
}
