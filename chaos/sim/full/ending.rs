//! Healing, and the end: what is left on the disks, and the judgement.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rejoin::chaos::finals::{self, Door, Figures, Finals};
use rejoin::chaos::history::{Record, Told, What};
use rejoin::chaos::oracle::{Violation, judge};
use rejoin::cli::keepers::{player_keeper, secrets_in, server_keeper, server_sizes};
use rejoin::model::client::event::{LinkState, PathKind};
use rejoin::model::id::Name;
use rejoin::model::password::Password;
use rejoin::model::state::State;
use rejoin::server::hasher::FakeHasher;
use rejoin::store::{Disk, view};

use super::faults::Todo;
use super::machine::{CLIENT_STATE, SERVER_STATE};
use super::world::World;
use crate::sim::outcome::Outcome;
use crate::sim::plan::Host;

/// How long a world runs at most after all was healed.
const HEALED_MAX_MS: u64 = 20_000;

/// What was said last has arrived after this.
const LAST_WORDS_MS: u64 = 1_000;
/// A liar has found its link dead by then, and has been convicted.
const LAST_LIES_MS: u64 = 3_000;

/// How things stand since the last fault was healed.
#[derive(Clone, Debug, Default)]
pub(super) struct Healed {
    pub(super) at_ms: u64,
    /// By player: whether the shorter bound holds, and how long it took.
    live: BTreeMap<usize, (bool, Option<u64>)>,
    /// Whose link led nowhere then, and who had not noticed.
    deceived: BTreeSet<usize>,
    settled: BTreeMap<String, Option<u64>>,
    /// Since when nothing is left to do.
    over_since: Option<u64>,
}

impl World {
    pub(super) fn is_over(&self) -> bool {
        if self.outcome.violations.iter().any(|violation| violation.invariant == "panic") {
            return true;
        }
        let Some(healed) = &self.healed else { return false };
        let now = self.now_ms();
        let last = if self.players.iter().any(|player| player.lies) { LAST_LIES_MS } else { LAST_WORDS_MS };
        healed.over_since.is_some_and(|since| now >= since + last) || now >= healed.at_ms + HEALED_MAX_MS
    }

    /// Whether all have done what they wanted, and recovery is measured.
    fn is_through_all(&self, healed: &Healed) -> bool {
        let measured = healed.live.values().all(|(_, ms)| ms.is_some()) && healed.settled.values().all(Option::is_some);
        measured && (0..self.players.len()).all(|player| self.is_through(player) && !self.is_deceived(player))
    }

    /// Whether a player's connection to the server leads nowhere, and its client has not noticed yet.
    fn is_deceived(&self, player: usize) -> bool {
        let machine = &self.devices[self.players[player].device].machine;
        self.is_covered(player) && self.wires.lock().is_deceived(machine.id, self.server.id)
    }

    /// Whether there is nothing left to do for a player. Who sits opposite to a liar waits for nobody.
    fn is_through(&self, player: usize) -> bool {
        self.players[player].human.is_done() || self.lies_at(player)
    }

    /// Whether somebody cheats, at this side of the table or at the other.
    fn lies_at(&self, player: usize) -> bool {
        let pair = [player, player ^ 1];
        pair.iter().any(|of| self.players.get(*of).is_some_and(|player| player.lies))
    }

    /// Heals when it is time, and looks how long recovery takes.
    pub(super) fn look_at_recovery(&mut self) {
        let now = self.now_ms();
        if self.healed.is_some() {
            return self.measure(now);
        }
        let nothing_left = self.todo.is_empty()
            && self.active.values().all(|active| active.fault.for_ms == u64::MAX)
            && (0..self.players.len()).all(|player| self.is_through(player));
        if now >= self.plan.heal_at_ms || nothing_left {
            self.heal(now);
        }
    }

    fn heal(&mut self, now: u64) {
        self.trace(|| format!("{:<8} all is healed that is not for good", "driver"));
        self.heal_faults();
        let again: Vec<_> =
            self.todo.iter().filter(|(_, todo)| matches!(todo, Todo::Again(_))).map(|(key, _)| *key).collect();
        for key in again {
            if let Some(todo) = self.todo.remove(&key) {
                self.carry_out(todo);
            }
        }
        let live = (0..self.players.len()).filter(|player| self.is_covered(*player));
        let live = live.map(|player| (player, (self.is_urgent(player), None))).collect();
        let strangers = self.strangers();
        let meet = |id: &str, players: &BTreeSet<usize>| !strangers.contains(id) && self.meet(id, players);
        let open = self.matches.iter().filter(|(id, watched)| {
            watched.players.len() == 2
                && !watched.left
                && !watched.players.iter().all(|player| self.players[*player].human.knows_result(id))
                && watched.players.iter().all(|player| self.is_whole(*player) && !self.lies_at(*player))
                && (watched.players.iter().all(|player| self.is_covered(*player)) || meet(id, &watched.players))
        });
        let settled = open.map(|(id, _)| (id.clone(), None)).collect();
        let deceived = (0..self.players.len()).filter(|player| self.is_deceived(*player)).collect();
        self.healed = Some(Healed { at_ms: now, live, deceived, settled, over_since: None });
        self.players.iter_mut().for_each(|player| player.human.last_match());
    }

    /// Whether a player reaches the server when all is healed that ever will be.
    fn is_covered(&self, player: usize) -> bool {
        let machine = &self.devices[self.players[player].device].machine;
        let (one, other) = (machine.id, self.server.id);
        let fabric = self.wires.lock();
        machine.runs && self.server.runs && !fabric.is_cut(one, other) && !fabric.is_cut(other, one)
    }

    /// Whether two players who are no strangers reach each other in a match. Who knows the result has put it away.
    fn meet(&self, match_id: &str, players: &BTreeSet<usize>) -> bool {
        let machines: Vec<_> =
            players.iter().map(|player| &self.devices[self.players[*player].device].machine).collect();
        let fabric = self.wires.lock();
        let apart = |one: usize, other: usize| fabric.is_cut(machines[one].id, machines[other].id);
        let run = machines.iter().all(|machine| machine.runs);
        let away = players.iter().any(|player| self.players[*player].human.knows_result(match_id));
        run && !away && !apart(0, 1) && !apart(1, 0)
    }

    /// Matches in which neither player is sure to know where the other is: they were never connected directly in it, or
    /// have both moved since it began.
    fn strangers(&self) -> BTreeSet<String> {
        let mut playing: BTreeMap<&str, &str> = BTreeMap::new();
        let mut began: BTreeMap<&str, u64> = BTreeMap::new();
        let mut met: BTreeSet<&str> = BTreeSet::new();
        for record in &self.history {
            let What::Told { told } = &record.what else { continue };
            if let Told::Match { match_id, .. } = told {
                playing.insert(&record.who, match_id);
                began.entry(match_id).or_insert(record.at_ms);
            } else if matches!(told, Told::Path { path } if path == "direct") {
                met.extend(playing.get(record.who.as_str()));
            }
        }
        let moved = |player: &usize| self.players[*player].moved_ms;
        let strangers = self.matches.iter().filter(|(id, watched)| {
            let first_move = watched.players.iter().map(moved).min().unwrap_or(0);
            !met.contains(id.as_str()) || began.get(id.as_str()).is_some_and(|began| *began <= first_move)
        });
        strangers.map(|(id, _)| id.clone()).collect()
    }

    /// Whether a player has lost no disk.
    fn is_whole(&self, player: usize) -> bool {
        let of = |device: &&super::world::Device| device.player == player;
        !self.devices.iter().filter(of).any(|device| self.losses.wiped.contains(&device.machine.name))
    }

    fn is_urgent(&self, player: usize) -> bool {
        let unsettled = |(id, watched): (&String, &super::world::Watched)| {
            let knows = self.players[player].human.knows_result(id) || self.has_put_away(player, id);
            watched.players.contains(&player) && !watched.left && !knows
        };
        self.is_whole(player) && self.matches.iter().any(unsettled)
    }

    fn measure(&mut self, now: u64) {
        let Some(mut healed) = self.healed.take() else { return };
        let took = now - healed.at_ms;
        for (player, (urgent, ms)) in &mut healed.live {
            let live = self.status(self.players[*player].device).is_some_and(|status| status.link == LinkState::Live);
            // Who is idle by now asks less often, and may not know yet.
            let hurries = *urgent && self.is_urgent(*player);
            if ms.is_none() && live && !(hurries && self.is_deceived(*player)) {
                *ms = Some(took);
            }
        }
        for (id, ms) in &mut healed.settled {
            let watched = &self.matches[id];
            let well = |player: &usize| {
                let knows = self.players[*player].human.knows_result(id);
                knows || self.is_playable(*player, id) || self.has_put_away(*player, id)
            };
            if ms.is_none() && (watched.left || watched.players.iter().all(well)) {
                *ms = Some(took);
            }
        }
        healed.over_since = self.is_through_all(&healed).then(|| healed.over_since.unwrap_or(now));
        self.healed = Some(healed);
    }

    /// Whether a client has nothing to do with a match any more. One that died between writing the verdict down and
    /// showing it never shows it; what its file holds is judged in the end. Where there is no server to say more, the
    /// client goes by its file.
    fn has_put_away(&self, player: usize, id: &str) -> bool {
        let Some(status) = self.status(self.players[player].device) else { return false };
        let elsewhere = status.seated.is_none_or(|seat| seat.match_id != id);
        let heard = status.link == LinkState::Live || !self.is_covered(player);
        heard && elsewhere && self.players[player].human.match_id() != Some(id)
    }

    fn is_playable(&self, player: usize, id: &str) -> bool {
        let Some(status) = self.status(self.players[player].device) else { return false };
        let travels = |path: PathKind| path == PathKind::Direct || status.link == LinkState::Live;
        self.players[player].human.match_id() == Some(id)
            && status.seated.as_ref().is_some_and(|seat| seat.match_id == id && travels(seat.path))
    }

    /// The world has come to nothing.
    pub(super) fn panicked(mut self, violation: Violation) -> Outcome {
        self.ended_ms = self.now_ms();
        self.violation(&violation.invariant, violation.why);
        // Its machines are in the middle of something, and would panic again.
        std::mem::forget(self.sim.take());
        self.figure()
    }

    /// Stops everything, reads what is left, and judges.
    pub(super) fn end(mut self) -> Outcome {
        self.ended_ms = self.now_ms();
        let now = self.ended_ms;
        let met = self.wires.lock().met.clone();
        self.sometimes("link lost in the TLS handshake", met.cut_in_handshake);
        self.sometimes("byte changed on the way", met.bad_bytes > 0);
        let (apart, strangers) = (self.apart(), self.strangers());
        for host in self.hosts() {
            self.crash(host, super::faults::Death::Killed);
        }
        if self.other {
            self.copy_files_out();
        }
        self.wires.lock().tick(now * 1000, true);
        drop(self.sim.take());
        let liars = self.players.iter().filter(|player| player.lies).map(|player| player.human.name.clone()).collect();
        let wiped = self.losses.wiped.clone();
        let mut finals = Finals { wiped, liars, apart, strangers, figures: self.figures(), ..Finals::default() };
        self.read_server(&mut finals);
        self.read_devices(&mut finals);
        self.healed_of(&mut finals);
        self.trace(|| format!("{:<8} {:?}", "healed", finals.healed));
        let verdicts = judge(&self.history, &finals);
        for violation in verdicts.violations {
            self.violation(&violation.invariant, violation.why);
        }
        for invariant in verdicts.exercised {
            *self.coverage().exercised.entry(invariant).or_default() += 1;
        }
        self.figure()
    }

    /// Who does not reach whom in the end, with whoever does not run.
    fn apart(&self) -> Vec<[String; 2]> {
        let fabric = self.wires.lock();
        let machines: Vec<_> =
            std::iter::once(&self.server).chain(self.devices.iter().map(|device| &device.machine)).collect();
        let mut apart = Vec::new();
        for (at, one) in machines.iter().enumerate() {
            for other in &machines[at + 1..] {
                let cut = fabric.is_cut(one.id, other.id) || fabric.is_cut(other.id, one.id);
                if cut || fabric.is_deceived(one.id, other.id) || !one.runs || !other.runs {
                    apart.push([one.name.clone(), other.name.clone()]);
                }
            }
        }
        apart
    }

    /// Lets the server's machine copy its files to where they can be read.
    fn copy_files_out(&mut self) {
        self.server_desk.borrow().copies.set(true);
        let sim = self.sim.as_mut().expect("it is not over");
        sim.bounce(self.server.name.as_str());
        if let Err(error) = sim.step() {
            self.violation("files", format!("server: {error}"));
        }
    }

    fn hosts(&self) -> Vec<Host> {
        let players = (0..self.players.len()).filter_map(|number| u8::try_from(number).ok().map(Host::Player));
        std::iter::once(Host::Server).chain(players).collect()
    }

    fn read_server(&mut self, finals: &mut Finals) {
        let disk: Arc<dyn Disk> = Arc::new(self.server.disk.fork());
        let state = Path::new(SERVER_STATE);
        match server_keeper(&disk, state, self.common.server) {
            Ok((keeper, ledger)) => {
                finals.keepers.insert("server".to_owned(), keeper);
                finals.ledger = ledger;
            }
            Err(why) => self.violation("files", format!("server: {why}")),
        }
        match view::<State>(&*disk, state, &self.common.server.0) {
            Ok(view) => {
                if self.could_name_a_loss() {
                    self.try_doors(&view.state, finals);
                }
                // Who played before this world began may have cheated.
                let names = view.state.accounts().map(|account| account.name.as_str().to_owned());
                finals.liars.extend(names.filter(|name| self.players.iter().all(|player| player.human.name != *name)));
            }
            Err(error) => self.violation("files", format!("server: {error}")),
        }
    }

    /// Whether the server has run since it lost its disk, if it has lost it.
    fn could_name_a_loss(&self) -> bool {
        let losses = ["wipe-server", "copy-server"];
        let lost = |record: &Record| matches!(&record.what, What::Fault { fault, on: true } if losses.contains(&fault.as_str()));
        let started = |record: &Record| record.who == "server" && matches!(record.what, What::Started);
        let since = self.history.iter().rposition(lost).unwrap_or(0);
        self.history[since..].iter().any(started)
    }

    /// Which passwords would be let in, by what is on the server's disk.
    fn try_doors(&self, state: &State, finals: &mut Finals) {
        for player in &self.players {
            let name = Name::new(&player.human.name).expect("players have good names");
            let (passwords, sure) = player.human.passwords();
            let Some(account) = state.named(&name.key()) else {
                if sure {
                    let door = Door { opens: Vec::new(), shut: passwords.to_vec() };
                    finals.doors.insert(player.human.name.clone(), door);
                }
                continue;
            };
            let right = |text: &&String| {
                Password::new(text).is_some_and(|password| FakeHasher::mark(&password) == account.password)
            };
            let (opens, shut) = passwords.iter().cloned().partition(|text| right(&text));
            finals.doors.insert(player.human.name.clone(), Door { opens, shut });
        }
    }

    fn read_devices(&mut self, finals: &mut Finals) {
        let mut secrets = Vec::new();
        for player in &self.players {
            secrets.extend(player.human.passwords().0.iter().cloned());
        }
        let mut wrong = Vec::new();
        for device in &self.devices {
            let disk: Arc<dyn Disk> = Arc::new(device.machine.disk.fork());
            let (name, user) = (&device.machine.name, &self.players[device.player].human.name);
            match player_keeper(&disk, Path::new(CLIENT_STATE), self.common.server, user) {
                Ok(keeper) => drop(finals.keepers.insert(name.clone(), keeper)),
                Err(why) => wrong.push(format!("{name}: {why}")),
            }
            finals.figures.leaks.extend(secrets_in(&disk, &[Path::new(CLIENT_STATE)], &secrets));
        }
        let disk: Arc<dyn Disk> = Arc::new(self.server.disk.fork());
        finals.figures.leaks.extend(secrets_in(&disk, &[Path::new(SERVER_STATE)], &secrets));
        finals.figures.sizes.extend(server_sizes(&disk, Path::new(SERVER_STATE), self.common.server));
        wrong.into_iter().for_each(|why| self.violation("files", why));
    }

    fn healed_of(&self, finals: &mut Finals) {
        let Some(healed) = &self.healed else { return };
        let name = |player: &usize| self.devices[self.players[*player].device].machine.name.clone();
        finals.healed = finals::Healed {
            at_ms: Some(healed.at_ms),
            distance_ms: self.plan.latency_ms.1,
            live_ms: healed.live.iter().map(|(player, (_, ms))| (name(player), *ms)).collect(),
            urgent: healed.live.iter().map(|(player, (urgent, _))| (name(player), *urgent)).collect(),
            deceived: healed.deceived.iter().map(name).collect(),
            settled_ms: healed.settled.clone(),
        };
    }

    fn figures(&self) -> Figures {
        let fabric = self.wires.lock();
        let mut figures = Figures { losses_named: self.losses_named.clone(), ..Figures::default() };
        for ((machine, _), count) in &fabric.met.dials {
            let Some(device) = self.devices.iter().find(|device| device.machine.id == *machine) else { continue };
            let most = figures.dials_a_second_max.entry(device.machine.name.clone()).or_default();
            *most = (*most).max(*count);
        }
        if fabric.met.leaks > 0 {
            figures.leaks.push(format!("{} packets with a password in clear", fabric.met.leaks));
        }
        figures
    }

    fn figure(self) -> Outcome {
        let hash = self.wires.lock().hash;
        let mut outcome = self.outcome;
        (outcome.hash, outcome.simulated_ms) = (hash, self.ended_ms);
        outcome
    }
}
