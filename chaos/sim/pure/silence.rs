//! Whether silence is noticed: who hears something on a connection after a silence that was too long should have given
//! it up.
//!
//! What must hold: only those are judged that had time all along, and knew all along that they are in a match.

use super::net::Msg;
use super::world::World;

/// After so much silence a connection is given up: 1 s in a match, by a clock that may be a quarter too slow, and a bit.
const SILENCE_MAX_MS: u64 = 1_000 * 5 / 4 + 250;

impl World<'_> {
    /// Something comes to an end of a connection.
    pub(super) fn heed_silence(&mut self, conn: usize, to: usize, msg: &Msg) {
        let now = self.now;
        let of = &mut self.net.conns[conn];
        let heard = std::mem::replace(&mut of.heard[to], now);
        let (machine, other) = (of.ends[to].machine, of.ends[1 - to].machine);
        let is_talk = matches!(msg, Msg::Up(_) | Msg::Down(_) | Msg::Peer(_));
        if now.saturating_sub(heard) <= SILENCE_MAX_MS || !is_talk {
            return;
        }
        let strict = match (machine.checked_sub(1), other) {
            (None, _) => self.guest_is_strict_since(conn),
            (Some(device), 0) => self.link_is_strict_since(device, conn),
            (Some(device), _) => self.line_is_strict_since(device, conn),
        };
        let awake = self.machine_of(machine).awake_since();
        let Some(since) = strict.map(|strict| strict.max(heard).max(awake)) else { return };
        if now.saturating_sub(since) > SILENCE_MAX_MS {
            let (here, there) = (self.name_of(machine), self.name_of(other));
            self.figures.unnoticed.push(format!("{here} has waited {} ms for {there}, until {now} ms", now - since));
        }
    }

    /// In a match, as it was shown.
    fn link_is_strict_since(&self, device: usize, conn: usize) -> Option<u64> {
        let device = &self.devices[device];
        let in_use = device.process.as_ref().is_some_and(|process| process.conn == Some(conn));
        (in_use && device.shown.seat.is_some()).then_some(device.shown.seated_at)
    }

    fn line_is_strict_since(&self, device: usize, conn: usize) -> Option<u64> {
        let process = self.devices[device].process.as_ref()?;
        process.lines.values().any(|known| *known == conn).then_some(0)
    }
}
