//! What is left in the end: the keepers' files, the doors, the figures, the judgement.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::LazyLock;

use rejoin::chaos::finals::{Door, Finals};
use rejoin::chaos::oracle;
use rejoin::cli::keepers::{player_keeper, secrets_in, server_keeper, server_sizes};
use rejoin::model::client::table::Table;
use rejoin::model::engine::{Effect, Engine, Hashed, Hashing, Input, Settings};
use rejoin::model::id::{Boot, ConnId, MatchId, Name, RequestSeq, Run};
use rejoin::model::key::{PublicKey, SecretKey};
use rejoin::model::message::{Command, ToClient};
use rejoin::model::password::Password;
use rejoin::model::state::State;
use rejoin::model::time::{Now, WallMs};
use rejoin::server::hasher::FakeHasher;
use rejoin::store::{self, Disk};

use super::server::STATE;
use super::world::World;
use crate::sim::plan::Host;

/// Connections between two players at once.
const LINES_MAX: u64 = 4;
/// What a short world may write, generously.
const SERVER_BYTES_MAX: u64 = 2 * 1024 * 1024;
const DEVICE_BYTES_MAX: u64 = 512 * 1024;

impl World<'_> {
    /// Stops everything, reads what is left and has it judged.
    pub(super) fn judge(&mut self) {
        let apart = self.apart();
        self.stop_all();
        for number in 0..=self.devices.len() {
            let operations = self.machine(number).disk.operations();
            self.hash_more(number as u64, operations);
        }
        let finals = Finals { apart, ..self.finals() };
        let verdicts = oracle::judge(&self.history, &finals);
        for violation in verdicts.violations {
            self.violate(&violation.invariant, violation.why);
        }
        for invariant in verdicts.exercised {
            *self.coverage.exercised.entry(invariant).or_default() += 1;
        }
    }

    fn finals(&mut self) -> Finals {
        let mut finals = Finals {
            healed: std::mem::take(&mut self.healed),
            figures: std::mem::take(&mut self.figures),
            liars: self.liars.iter().cloned().collect(),
            wiped: self.wiped.iter().cloned().collect(),
            ..Finals::default()
        };
        finals.doors = self.doors();
        let server = self.server.id;
        match server_keeper(&self.server.machine.files(), Path::new(STATE), server) {
            Ok((keeper, ledger)) => {
                finals.keepers.insert("server".to_owned(), keeper);
                finals.ledger = ledger;
            }
            Err(why) => self.violate("I14", format!("the server's files: {why}")),
        }
        for number in 0..self.devices.len() {
            let device = &self.devices[number];
            let name = &self.humans[device.human].name;
            let home = Path::new(super::device::STATE);
            match player_keeper(&device.machine.files(), home, server, name) {
                Ok(keeper) => drop(finals.keepers.insert(device.who.clone(), keeper)),
                Err(why) => {
                    let why = format!("the files of {}: {why}", device.who);
                    self.violate("I14", why);
                }
            }
        }
        self.measure(&mut finals);
        finals
    }

    /// Who could not reach whom in the end.
    fn apart(&self) -> Vec<[String; 2]> {
        let mut apart = Vec::new();
        for one in 0..=self.devices.len() {
            for other in one + 1..=self.devices.len() {
                let ends = [self.machine_of(one), self.machine_of(other)];
                let cut = self.net.is_cut(ends[0].host, ends[1].host) || self.net.is_cut(ends[1].host, ends[0].host);
                let shut = one == 0 && self.is_shut_out(other);
                let left = ends.iter().any(|machine| matches!(machine.host, Host::Left(_)));
                if cut || shut || left || !ends.iter().all(|machine| machine.runs()) || self.are_strangers(one, other) {
                    apart.push([self.name_of(one), self.name_of(other)]);
                }
            }
        }
        apart
    }

    /// Whether the server that came from a copy no longer knows the password of who sits at a device.
    pub(super) fn is_shut_out(&self, number: usize) -> bool {
        let process = self.devices[number - 1].process.as_ref();
        self.wiped.contains("server") && process.is_some_and(|process| !process.player.has_session())
    }

    /// Whether two devices have no way to find each other: one of them cannot ask the server, and neither has heard from
    /// the other where it is.
    fn are_strangers(&self, one: usize, other: usize) -> bool {
        let (Some(one), Some(other)) = (one.checked_sub(1), other.checked_sub(1)) else { return false };
        let lost = |number: usize| {
            let host = self.devices[number].machine.host;
            let cut = self.net.is_cut(host, Host::Server) || self.net.is_cut(Host::Server, host);
            cut || !self.server.machine.runs()
        };
        // Who has left a match does not listen for the opponent.
        let sits = |number: usize, of: &Table| {
            let (shown, id) = (&self.devices[number].shown, of.id().to_string());
            shown.seat.as_ref() == Some(&id) || shown.decided.contains(&id)
        };
        let table = |number: usize| {
            let process = self.devices[number].process.as_ref()?;
            process.player.table().filter(|table| sits(number, table))
        };
        // Who has lost its key is let in by nobody, nor is one whose new key the opponent has not heard of.
        let ends = |number: usize| {
            let table = table(number)?;
            Some((table.id(), table.key()?.public(), *table.opponent_key()))
        };
        let meet = |of: (MatchId, PublicKey, PublicKey), with: (MatchId, PublicKey, PublicKey)| {
            of.0 == with.0 && of.1 == with.2 && of.2 == with.1
        };
        let same = ends(one).zip(ends(other)).is_some_and(|(one, other)| meet(one, other));
        let knows = |number: usize, other: usize| {
            let addrs = table(number).filter(|_| same).map(Table::candidates).unwrap_or_default();
            addrs.iter().any(|addr| addr.ip() == self.devices[other].addr)
        };
        (lost(one) || lost(other) || self.is_shut_out(one + 1) || self.is_shut_out(other + 1))
            && !knows(one, other)
            && !knows(other, one)
    }

    fn measure(&mut self, finals: &mut Finals) {
        let figures = &mut finals.figures;
        let bytes = self.server.machine.disk.used();
        figures.sizes.push(("server's files".to_owned(), bytes, SERVER_BYTES_MAX));
        figures.sizes.extend(server_sizes(&self.server.machine.files(), Path::new(STATE), self.server.id));
        figures.sizes.push(("direct connections".to_owned(), self.lines_max, LINES_MAX));
        for device in &self.devices {
            figures.dials_a_second_max.insert(device.who.clone(), device.shown.dials_max());
            figures.sizes.push((format!("files of {}", device.who), device.machine.disk.used(), DEVICE_BYTES_MAX));
        }
        let secrets: Vec<String> = self.humans.iter().flat_map(|human| human.passwords().0.to_vec()).collect();
        figures.leaks.extend(secrets_in(&self.server.machine.files(), &[Path::new(STATE)], &secrets));
        for number in 0..self.devices.len() {
            let dir = self.user_dir(number);
            figures.leaks.extend(secrets_in(&self.devices[number].machine.files(), &[&dir], &secrets));
        }
    }

    /// A newcomer tries the passwords at the door of each account.
    fn doors(&mut self) -> BTreeMap<String, Door> {
        let mut doors = BTreeMap::new();
        let disk = self.server.machine.disk.fork();
        let files: std::sync::Arc<dyn Disk> = std::sync::Arc::new(disk);
        let settings = store::Settings::new(self.server.id.0, 1);
        let recovered = match store::recover::<State>(&files, Path::new(STATE), &settings) {
            Ok(recovered) => recovered,
            Err(error) => {
                self.violate("I14", format!("the server does not start in the end: {error}"));
                return doors;
            }
        };
        let boot = Boot { number: recovered.journal.boot(), nonce: 7 };
        let mut engine = Engine::new(Settings::default(), self.server.id, recovered.state, recovered.last, [7; 32]);
        ask(&mut engine, Input::Booted(boot), &mut Vec::new());
        // Making a key takes longer than all the rest of this.
        static DEVICE: LazyLock<PublicKey> = LazyLock::new(|| SecretKey::from_seed(&[8; 32]).public());
        let mut conn = ConnId(0);
        for human in &self.humans {
            let (passwords, is_there) = human.passwords();
            if !is_there {
                continue;
            }
            let mut door = Door::default();
            for password in passwords {
                conn.0 += 1;
                let mut said = Vec::new();
                let ip = IpAddr::from([127, 0, 0, 1]);
                ask(&mut engine, Input::Opened { conn, ip, run: Run(conn.0) }, &mut said);
                let (name, typed) = (Name::new(&human.name), Password::new(password));
                let (Ok(name), Some(typed)) = (name, typed) else { continue };
                let command = Command::Login { name, password: typed, device: *DEVICE };
                ask(&mut engine, Input::Request { conn, seq: RequestSeq(1), command }, &mut said);
                let let_in = said.iter().any(|message| matches!(message, ToClient::Answer { result: Ok(_), .. }));
                if let_in {
                    door.opens.push(password.clone())
                } else {
                    door.shut.push(password.clone())
                }
                ask(&mut engine, Input::Closed { conn, end: rejoin::model::event::LinkEnd::Closed }, &mut said);
            }
            doors.insert(human.name.clone(), door);
        }
        doors
    }
}

/// One input to an engine whose disk is quick; what it says.
fn ask(engine: &mut Engine, input: Input, said: &mut Vec<ToClient>) {
    let (now, wall) = (Now(1), WallMs(1));
    engine.handle(now, wall, input);
    while let Some(effect) = engine.poll_effect() {
        match effect {
            Effect::Append(_) => {
                let appended = engine.lsns().0;
                engine.handle(now, wall, Input::Flushed(appended));
            }
            Effect::Hash { job, hashing } => {
                let done = match hashing {
                    Hashing::Verify { password, against } if against == Some(FakeHasher::mark(&password)) => {
                        Hashed::Right
                    }
                    Hashing::Verify { .. } | Hashing::Make(_) | Hashing::Change { .. } => Hashed::Wrong,
                };
                engine.handle(now, wall, Input::Hashed { job, done });
            }
            Effect::Send { message, .. } => said.push(*message),
            Effect::CheckResume { .. }
            | Effect::Pace { .. }
            | Effect::Close { .. }
            | Effect::Log(_)
            | Effect::Told { .. }
            | Effect::Over => {}
        }
    }
}
