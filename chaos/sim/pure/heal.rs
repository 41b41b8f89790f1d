//! The end of the faults, and how long it takes until all is well.

use rejoin::chaos::history::End;
use rejoin::model::client::event::LinkState;

use super::device::Device;
use super::world::{Task, World};
use crate::sim::plan::Host;

/// A link of who is in a match is live after this, on a network that takes no time.
const LIVE_URGENT_MAX_MS: u64 = 1_000;
/// And so many ways of a message.
const LIVE_WAYS: u64 = 8;
/// How long a world may take to be well again.
pub(super) const HEALED_MAX_MS: u64 = 20_000;

/// A match in which nothing moves for so long, though everybody is there, is stuck.
const STUCK_AFTER_MS: u64 = 12_000;

/// What was said last has arrived after this.
const QUIET_MS: u64 = 600;
const QUIET_ALONE_MS: u64 = 4_000;
/// And as many ways to and fro: what was said last may have to be asked for and told on.
const QUIET_WAYS: u64 = 10;

impl World<'_> {
    /// Everything but what is for good is over.
    pub(super) fn heal(&mut self) {
        self.say("driver", || "HEALED".to_owned());
        self.is_healed = true;
        let now = self.now;
        self.net.calm(now);
        for number in 0..=self.devices.len() {
            let machine = self.machine(number);
            machine.sends_left = None;
            if machine.alive && machine.disk.is_dead() {
                self.end(number, super::machine::Death::PowerCut, 0);
            }
            let machine = self.machine(number);
            machine.disk.cut_power_at(u64::MAX);
            machine.disk.fail_no_more();
            if !machine.alive && !machine.gone {
                let life = machine.life;
                self.later(now, Task::Start { machine: number, life });
            }
        }
        self.devices.iter_mut().for_each(|device| device.heard_by_one = None);
        self.humans.iter_mut().for_each(crate::sim::human::Human::last_match);
        self.healed.at_ms = Some(now);
        self.healed.distance_ms = self.plan.latency_ms.1;
        for number in 0..self.devices.len() {
            if !self.is_covered(number) {
                continue;
            }
            let device = &self.devices[number];
            let open = device.shown.seat.is_some() || device.shown.decided.len() > device.shown.recorded.len();
            // Nobody is logged in by the program alone.
            let open = open && device.process.as_ref().is_none_or(|process| process.player.has_session());
            self.healed.live_ms.insert(device.who.clone(), None);
            if device.shown.link == LinkState::Live && !self.is_live(number) {
                self.healed.deceived.insert(device.who.clone());
            }
            self.healed.urgent.insert(device.who.clone(), open);
            let unsettled = device.shown.matches.difference(&device.shown.recorded).cloned().collect::<Vec<_>>();
            for of in unsettled {
                // Of what the server has lost it hears from who has it, be it a client that is idle.
                let idle = |player: &usize| self.devices[*player].shown.recorded.contains(&of);
                if self.wiped.contains("server") && self.players_of(&of).iter().any(idle) {
                    continue;
                }
                // Who sits elsewhere, or has logged out, is in no hurry to hear of it.
                let plays = |player: usize| {
                    let Device { shown, process, .. } = &self.devices[player];
                    let logged_in = process.as_ref().is_none_or(|process| process.player.has_session());
                    logged_in && (shown.seat.as_ref() == Some(&of) || shown.decided.contains(&of))
                };
                if self.players_of(&of).iter().all(|player| self.is_covered(*player) && plays(*player)) {
                    self.healed.settled_ms.insert(of, None);
                }
            }
        }
    }

    /// Whether the promise covers this device: its player sits at it, tells the truth, has not lost its disk, and can
    /// reach the server.
    fn is_covered(&self, number: usize) -> bool {
        let device = &self.devices[number];
        let sits = self.seats[device.human] == number;
        let honest = !self.liars.contains(&self.humans[device.human].name) && !self.wiped.contains(&device.who);
        let (here, host) = (!device.machine.gone && device.machine.paused == 0, device.machine.host);
        let reaches = !self.net.is_cut(host, Host::Server) && !self.net.is_cut(Host::Server, host);
        let server = !self.server.machine.gone && self.server.machine.paused == 0;
        // Who has changed its password since the copy that was put back was taken cannot log in any more.
        let known = !self.wiped.contains("server") || device.process.as_ref().is_some_and(|of| of.player.has_session());
        sits && honest && here && reaches && server && known
    }

    /// The devices that have shown a match.
    fn players_of(&self, match_id: &str) -> Vec<usize> {
        let has = |number: &usize| self.devices[*number].shown.matches.contains(match_id);
        (0..self.devices.len()).filter(has).collect()
    }

    /// What has become well by now.
    pub(super) fn look_for_health(&mut self) {
        let since = self.now - self.plan.heal_at_ms;
        let urgent_max = LIVE_URGENT_MAX_MS + LIVE_WAYS * self.plan.latency_ms.1;
        for number in 0..self.devices.len() {
            let (who, shown) = (&self.devices[number].who, &self.devices[number].shown);
            // What it was needed for was settled without it.
            let idle = shown.seat.is_none() && shown.decided.is_subset(&shown.recorded);
            if idle && since <= urgent_max && self.healed.live_ms.get(who) == Some(&None) {
                self.healed.urgent.insert(who.clone(), false);
            }
            if self.healed.live_ms.get(who) == Some(&None) && self.is_live(number) {
                self.healed.live_ms.insert(who.clone(), Some(since));
            }
        }
        let open: Vec<String> =
            self.healed.settled_ms.iter().filter(|(_, at)| at.is_none()).map(|(of, _)| of.clone()).collect();
        for of in open {
            // Who stays at a device that was left need not hear how it went on elsewhere.
            let sits = |number: &usize| !self.humans[self.devices[*number].human].stays();
            let players: Vec<usize> = self.players_of(&of).into_iter().filter(sits).collect();
            // A server put back from a copy may tell somebody only now that there is no such session any more.
            if self.wiped.contains("server") && !players.iter().all(|player| self.is_covered(*player)) {
                self.healed.settled_ms.remove(&of);
                continue;
            }
            let decided = players.iter().any(|number| self.devices[*number].shown.decided.contains(&of));
            let shown = |number: &usize| &self.devices[*number].shown;
            let over = |number: &usize| shown(number).recorded.contains(&of);
            if players.iter().all(|number| over(number) || !decided && shown(number).has(&of)) {
                self.healed.settled_ms.insert(of, Some(since));
            }
        }
    }

    /// Whether a device has a link, and the server the other end of it.
    fn is_live(&self, number: usize) -> bool {
        let device = &self.devices[number];
        let conn = device.process.as_ref().and_then(|process| process.conn);
        let live = device.shown.link == LinkState::Live;
        live && conn.is_some_and(|conn| self.net.conns[conn].ends.iter().all(|end| end.open))
    }

    /// Whether nothing is left to do, and what was said last has had time to arrive.
    pub(super) fn is_over(&mut self) -> bool {
        if !self.is_healed || !self.is_well() {
            self.well_since = None;
            return false;
        }
        // Without a server it takes the players a round or two of dials to find each other.
        let host = |number: usize| self.devices[number].machine.host;
        let cut = |one: Host, other: Host| self.net.is_cut(one, other) || self.net.is_cut(other, one);
        let shut_out = |number: usize| self.seats[self.devices[number].human] == number && self.is_shut_out(number + 1);
        let alone = |number: usize| self.server.machine.gone || cut(host(number), Host::Server) || shut_out(number);
        let quiet = if (0..self.devices.len()).any(alone) { QUIET_ALONE_MS } else { QUIET_MS };
        self.now >= *self.well_since.get_or_insert(self.now) + quiet + QUIET_WAYS * self.plan.latency_ms.1
    }

    fn is_well(&self) -> bool {
        let well = self.healed.live_ms.values().chain(self.healed.settled_ms.values()).all(Option::is_some);
        // A match that came about in the last moment is played to its end as well.
        let sits = |human: usize| self.humans[human].match_id().is_some();
        let done = |human: usize| self.humans[human].is_done() && !sits(human);
        let waits = |human: usize| self.is_covered(self.seats[human]) || self.can_play(human);
        well && (0..self.humans.len()).all(|human| done(human) || !waits(human))
    }

    /// Whether somebody can play: tells the truth, and reaches a server that knows the account, be it at another device
    /// than before or on an empty disk.
    fn can_play(&self, human: usize) -> bool {
        let Some(device) = self.devices.get(self.seats[human]).filter(|device| device.human == human) else {
            return false;
        };
        let cut = |one: Host, other: Host| self.net.is_cut(one, other) || self.net.is_cut(other, one);
        let honest = !self.liars.contains(&self.humans[human].name) && !self.humans[human].stays();
        let runs = device.machine.runs() && self.server.machine.runs();
        // A server that was put back may not know the newest password, nor who has a seat that was moved.
        let logged_in = device.process.as_ref().is_some_and(|of| of.player.has_session());
        let moved = self.devices.len() > usize::from(self.plan.players);
        let known = !self.wiped.contains("server") || logged_in && !moved;
        honest && runs && !cut(device.machine.host, Host::Server) && known
    }

    /// The world has had all its time: a match of two who can play, in which nothing was moved for long, is stuck.
    pub(super) fn heed_stuck(&mut self) {
        for one in (0..usize::from(self.plan.players)).step_by(2) {
            let pair = [one, one + 1];
            let moved = pair.map(|human| self.devices[self.seats[human]].shown.moved_at).into_iter().max();
            let idle = moved.unwrap_or(0).max(self.plan.heal_at_ms) + STUCK_AFTER_MS <= self.now;
            let ids = pair.map(|human| self.humans[human].match_id().map(str::to_owned));
            let Some(id) =
                ids.iter().flatten().next().filter(|_| idle && pair.iter().all(|human| self.can_play(*human)))
            else {
                continue;
            };
            let why = format!("match {id} is at a stand, and both players are there: {ids:?}");
            self.violate("L2", why);
        }
    }

    /// All processes are stopped.
    pub(super) fn stop_all(&mut self) {
        let (now, cut) = (self.now, self.chance.one_of(2) == 0);
        self.say("driver", || format!("all are stopped, power cut: {cut}"));
        let seed = self.chance.next();
        for number in 0..=self.devices.len() {
            let machine = self.machine(number);
            machine.alive = false;
            machine.disk.set_capacity(None);
            if cut { machine.disk.crash(seed ^ number as u64) } else { machine.disk.kill() }
        }
        self.server.process = None;
        for number in 0..self.devices.len() {
            let device = &mut self.devices[number];
            if device.process.take().is_some() && self.seats[device.human] == number {
                self.humans[device.human].ended(now, End::Stopped, &mut self.history);
            }
        }
    }
}
