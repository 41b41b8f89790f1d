//! Players who change devices while the device they leave goes on, and come back to it.
//!
//! What must hold: at a device that is left somebody plays on, and nobody logs in; it reaches the server only once its
//! player has had time to sit down elsewhere.

use super::machine::Death;
use super::net::{What, Who};
use super::strike::FOR_GOOD;
use super::world::{Task, World};
use crate::sim::plan::{Host, Kind};

/// How soon the process at the next device begins.
const SITS_DOWN_MS: (u64, u64) = (20, 600);
/// How long a process that is started again is down.
const STARTS_AGAIN_MS: u64 = 30;

impl World<'_> {
    /// The player goes on at a new device, and somebody at the one before.
    pub(super) fn leave_device(&mut self, player: u8, for_ms: u64) -> bool {
        let (host, human) = (Host::Player(player), usize::from(player));
        if player >= self.plan.players || for_ms == FOR_GOOD || !self.may_leave(host) {
            return false;
        }
        let old = self.seats[human];
        let machine = &self.devices[old].machine;
        if !machine.alive || machine.gone {
            return false;
        }
        self.goes_on(old, player, for_ms);
        self.humans[human].leaves(self.now, None, &mut self.history);
        self.seats[human] = self.devices.len();
        self.add_device(human);
        self.devices[self.seats[human]].liar = self.devices[old].liar.take();
        let (machine, wait) = (self.devices.len(), self.chance.between(SITS_DOWN_MS.0, SITS_DOWN_MS.1));
        self.later(self.now + wait, Task::Start { machine, life: 0 });
        true
    }

    /// The player sits down again at the device that was left last, and somebody stays at this one, or it is shut.
    pub(super) fn return_device(&mut self, player: u8, for_ms: u64) -> bool {
        let (host, human) = (Host::Player(player), usize::from(player));
        // What only this device and a server that has lost its state were told would be lost with it.
        if self.plan.faults.iter().any(|fault| matches!(fault.kind, Kind::WipeServer)) {
            return false;
        }
        let was_left = |device: &super::device::Device| device.machine.host == Host::Left(player);
        let Some(other) = self.devices.iter().rposition(was_left).filter(|_| self.left.contains(&host)) else {
            return false;
        };
        let (current, now) = (self.seats[human], self.now);
        if for_ms == FOR_GOOD || self.devices[other].machine.gone || self.devices[current].machine.gone {
            return false;
        }
        if self.devices[current].machine.alive && self.chance.one_of(2) == 0 {
            self.goes_on(current, player, for_ms);
        } else {
            self.is_left(current, player);
            if self.devices[current].machine.alive {
                self.end(current + 1, Death::Killed, u64::MAX);
            }
            self.devices[current].machine.gone = true;
        }
        // Whoever was there gets up.
        let stays = self.devices[other].human;
        self.humans[stays].leaves(now, None, &mut self.history);
        self.seats[stays] = usize::MAX;
        let number = number_of(&self.devices[other].who);
        self.humans[human].leaves(now, Some(number), &mut self.history);
        self.devices[other].human = human;
        self.seats[human] = other;
        self.rename(other, host);
        if self.devices[other].machine.alive {
            self.end(other + 1, Death::Killed, STARTS_AGAIN_MS);
        }
        true
    }

    /// Whether the player may leave a device: nobody else of the match has lost anything. Who lies may.
    fn may_leave(&self, host: Host) -> bool {
        let Host::Player(player) = host else { return false };
        let lies = self.liars.contains(&self.humans[usize::from(player)].name);
        self.may_lose(host)
            || (lies && ![Host::Server, Host::Player(player ^ 1)].iter().any(|of| self.frail.contains(of)))
    }

    /// A device goes on without its player: it cannot reach the server for so long, and somebody plays on there.
    fn goes_on(&mut self, number: usize, player: u8, for_ms: u64) {
        self.is_left(number, player);
        let (here, there) = (Who::One(Host::Left(player)), Who::One(Host::Server));
        self.rule_both(here, there, What::Cut, for_ms);
        let stays = self.humans[usize::from(player)].who_stays(self.humans.len());
        self.devices[number].human = self.humans.len();
        self.humans.push(stays);
        self.seats.push(number);
    }

    /// As far as the promise goes a device that is left is lost.
    fn is_left(&mut self, number: usize, player: u8) {
        let host = Host::Player(player);
        self.rename(number, Host::Left(player));
        self.frail.insert(host);
        self.left.insert(host);
        let who = self.devices[number].who.clone();
        self.wiped.insert(who);
    }

    /// Its connections go with it.
    fn rename(&mut self, number: usize, host: Host) {
        self.devices[number].machine.host = host;
        for (conn, end) in self.net.of(number + 1) {
            self.net.conns[conn].ends[end].host = host;
        }
    }
}

/// Which device of its player.
fn number_of(who: &str) -> u8 {
    who.split_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
}
