//! The clock of one machine: it drifts, and its wall clock jumps; its monotonic clock never runs backwards.

use rejoin::model::time::{Now, WallMs};

/// Some day in 2026, when the world begins.
const WALL_AT_FIRST: i64 = 1_780_000_000_000;

/// Maps the world's time to a machine's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    world: u64,
    local: u64,
    permille: i64,
    jumped_ms: i64,
}

impl Clock {
    /// Milliseconds since the machine was switched on.
    pub(super) const fn local(&self, at_ms: u64) -> u64 {
        let passed = at_ms.saturating_sub(self.world);
        self.local + passed * (1000 + self.permille).unsigned_abs() / 1000
    }

    pub(super) fn wall(&self, at_ms: u64) -> WallMs {
        let wall = WALL_AT_FIRST + i64::try_from(self.local(at_ms)).unwrap_or(0) + self.jumped_ms;
        WallMs(wall.max(0).unsigned_abs())
    }

    /// When it will be `local` here, by the world's time.
    pub(super) const fn when(&self, local: u64) -> u64 {
        if local == Now::NEVER.0 {
            return u64::MAX;
        }
        let wait = local.saturating_sub(self.local);
        self.world + (wait * 1000).div_ceil((1000 + self.permille).unsigned_abs())
    }

    /// From now on it runs so much too fast.
    pub(super) fn drift(&mut self, at_ms: u64, permille: i16) {
        self.local = self.local(at_ms);
        self.world = at_ms;
        self.permille = i64::from(permille.clamp(-900, 900));
    }

    pub(super) fn jump(&mut self, seconds: i32) {
        self.jumped_ms += i64::from(seconds) * 1000;
    }
}
