//! A real server and two windows, each with a disk that loses what was not synced.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rejoin::model::client::command::Typed;
use rejoin::model::client::event::{Event, Reply};
use rejoin::model::games::GameSpec;
use rejoin::model::password::Password;
use rejoin::model::state::State;
use rejoin::model::statement::Fared;
use rejoin::ops::event;
use rejoin::store::faulty::{FaultyDisk, Seeded};
use rejoin::store::{self, Disk};

use super::window::Window;
use super::{Case, Fate, Sessions, X_WINS};
use crate::rig::{PASSWORD, Setup, TestServer};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where the operator puts a copy.
const BACKUP: &str = "/backup";
/// What is told of each window when something does not come.
const LAST_EVENTS: usize = 12;
const LAST_LINES: usize = 25;

/// Three keepers of one match.
pub(super) struct World {
    case: String,
    seed: Seeded,
    server: TestServer,
    disk: FaultyDisk,
    /// A disk with the operator's copy on it.
    shelf: FaultyDisk,
    /// Lines of the log about settled matches before it lost its disk.
    settled: Option<usize>,
    pub(super) windows: [Window; 2],
    /// Who of them is X.
    pub(super) x: usize,
}

impl World {
    /// Two who have just sat down to a match. The operator has made a copy after the logins, or just before them.
    pub(super) async fn seated(case: String, seed: u64, copied: Sessions) -> Self {
        let disk = FaultyDisk::new();
        let server = TestServer::with(Setup { disk: Arc::new(disk.clone()), ..Setup::default() });
        let address = format!("{}#{}", server.addr, server.id);
        let windows = ["p0", "p1"].map(|name| Window::open(name, address.clone()));
        let shelf = FaultyDisk::new();
        let mut world = Self { case, seed: Seeded(seed), server, disk, shelf, settled: None, windows, x: 0 };
        for number in 0..2 {
            let name = world.windows[number].name.clone();
            world.done(number, Typed::AddUser(name, Password::new(PASSWORD).unwrap())).await;
        }
        if copied == Sessions::Lost {
            world.back_up();
        }
        for number in 0..2 {
            world.log_in(number).await;
        }
        if copied == Sessions::Kept {
            world.back_up();
        }
        let to = world.windows[1].name.clone();
        world.done(0, Typed::Begin(to, GameSpec::named("tictactoe").unwrap())).await;
        let invited = |event: &Event| matches!(event, Event::Invited { .. });
        world.until("the invitation", |[_, window]| window.shown.iter().any(invited).then_some(())).await;
        world.done(1, Typed::Accept(None)).await;
        let xs = |windows: &[Window; 2]| Some([windows[0].seat()? == "X", windows[1].seat()? == "X"]);
        let [first, second] = world.until("the match", xs).await;
        assert_ne!(first, second, "{}", world.case);
        world.x = usize::from(second);
        world
    }

    fn back_up(&mut self) {
        let server = &self.server;
        store::backup::<State>(&self.disk, &server.state_dir(), Path::new(BACKUP), &server.id.0).unwrap();
        carry(&self.disk, &self.shelf, Path::new(BACKUP));
    }

    /// Plays these plies, each until both see it.
    pub(super) async fn play(&mut self, plies: std::ops::Range<usize>) {
        for ply in plies {
            self.send(if ply % 2 == 0 { self.x } else { 1 - self.x }, X_WINS[ply]).await;
            self.see(ply + 1).await;
        }
    }

    /// Both see as many moves.
    async fn see(&mut self, plies: usize) {
        let see = |window: &Window| window.plies().is_some_and(|seen| usize::from(seen) >= plies);
        self.until(&format!("{plies} moves on both boards"), |windows| windows.iter().all(see).then_some(())).await;
    }

    /// Sends a move, as soon as this player may.
    async fn send(&mut self, number: usize, (row, col): (u16, u16)) {
        let sending = async {
            loop {
                let reply = self.ask(number, Typed::Send(vec![row.to_string(), col.to_string()])).await;
                match reply.error {
                    None => return,
                    // Another keeper is being asked. What the server answers to this comes after what it says to that.
                    Some("nobody-reached" | "opponent-moving") => drop(self.ask(number, Typed::List).await),
                    Some(_) => panic!("{}: {reply:?}\n{}", self.case, self.last()),
                }
            }
        };
        if tokio::time::timeout(PATIENCE, sending).await.is_err() {
            panic!("{}: {number} may not send {row} {col}\n{}", self.case, self.last());
        }
    }

    pub(super) async fn strike(&mut self, case: &Case) {
        let order = self.shuffled();
        for keeper in order {
            self.end(keeper, case.fates[keeper]).await;
        }
        let again = self.shuffled().into_iter().filter(|keeper| case.fates[*keeper] != Fate::Alive);
        for keeper in again {
            self.begin(keeper);
        }
        for seat in 0..2 {
            let number = self.number(seat);
            if case.fates[seat] == Fate::Wiped {
                self.log_in(number).await;
            } else if case.fates[2] == Fate::Wiped && case.sessions == Sessions::Lost {
                let ended = |windows: &[Window; 2]| windows[number].noticed("session-ended").then_some(());
                self.until("the end of the session", ended).await;
                self.log_in(number).await;
            }
        }
        for seat in (0..2).filter(|seat| case.fates[*seat] == Fate::Wiped) {
            let number = self.number(seat);
            let back = |window: &Window| window.noticed("seat-taken") || window.is_settled();
            self.until("the seat at the new device", |windows| back(&windows[number]).then_some(())).await;
        }
        if case.plies < X_WINS.len() {
            self.see(case.plies).await;
        }
    }

    /// X, O and the server in some order.
    fn shuffled(&mut self) -> [usize; 3] {
        let mut keepers = [0, 1, 2];
        keepers.swap(2, self.seed.up_to(2));
        keepers.swap(1, self.seed.up_to(1));
        keepers
    }

    /// Who sits there.
    pub(super) const fn number(&self, seat: usize) -> usize {
        if seat == 0 { self.x } else { 1 - self.x }
    }

    async fn end(&mut self, keeper: usize, fate: Fate) {
        match (keeper, fate) {
            (_, Fate::Alive) => {}
            (2, Fate::Killed) => self.kill_server(),
            (2, Fate::Wiped) => self.wipe_server(),
            (seat, Fate::Killed | Fate::Wiped) => {
                let (number, seed) = (self.number(seat), self.seed.next());
                self.windows[number].kill(seed).await;
                if fate == Fate::Wiped {
                    self.windows[number].wipe();
                }
            }
        }
    }

    fn begin(&mut self, keeper: usize) {
        match keeper {
            2 => self.server.restart(),
            seat => self.windows[self.number(seat)].start(),
        }
    }

    /// The power goes in the middle of whatever the server does.
    pub(super) fn kill_server(&mut self) {
        self.server.expects(event::JOURNAL_FAILED);
        self.disk.cut_power_at(self.disk.operations() + 1);
        self.server.kill();
        self.disk.crash(self.seed.next());
    }

    pub(super) fn restart_server(&mut self) {
        self.server.restart();
    }

    /// All is gone but the keys; the operator puts the copy back.
    fn wipe_server(&mut self) {
        self.kill_server();
        self.server.expects(event::STATE_LOST);
        self.server.expects(event::MATCH_TAKEN);
        self.settled = Some(self.server.log.count(&["match-settled"]));
        self.disk = FaultyDisk::new();
        carry(&self.shelf, &self.disk, Path::new(BACKUP));
        let server = &mut self.server;
        store::restore::<State>(&self.disk, Path::new(BACKUP), &server.state_dir(), &server.id.0).unwrap();
        server.setup.disk = Arc::new(self.disk.clone());
    }

    pub(super) async fn kill_window(&mut self, number: usize) {
        let seed = self.seed.next();
        self.windows[number].kill(seed).await;
    }

    /// Logs in, as soon as the server has heard that the other device of this player is gone.
    async fn log_in(&mut self, number: usize) {
        let name = self.windows[number].name.clone();
        let login = Typed::Login(name, Password::new(PASSWORD).unwrap());
        let logging_in = async {
            loop {
                let reply = self.ask(number, login.clone()).await;
                match reply.error {
                    None => return,
                    Some("logged-in-elsewhere") => {}
                    Some(_) => panic!("{}: {reply:?}\n{}", self.case, self.last()),
                }
            }
        };
        if tokio::time::timeout(PATIENCE, logging_in).await.is_err() {
            panic!("{}: {number} is not let in\n{}", self.case, self.last());
        }
    }

    /// Both are shown the result, as the server has it; also if it had it before it lost its disk.
    pub(super) async fn settle(&mut self) {
        for seat in 0..2 {
            self.settle_at(seat).await;
        }
        if let Some(before) = self.settled {
            self.server.log.more(before, &["match-settled"]).await;
        }
    }

    pub(super) async fn settle_at(&mut self, seat: usize) {
        let (number, fared) = (self.number(seat), [Fared::Win, Fared::Loss][seat]);
        let result = |windows: &[Window; 2]| (windows[number].result() == Some((fared, true))).then_some(());
        self.until(&format!("{fared:?} to be recorded at {number}"), result).await;
    }

    /// The match has counted once, by what this player is shown.
    pub(super) async fn check_points(&mut self, number: usize) {
        let reply = self.done(number, Typed::Leaders).await;
        let rows = reply.rows.unwrap();
        let rows: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.points, row.wins, row.losses)).collect();
        let (x, o) = (self.windows[self.x].name.as_str(), self.windows[1 - self.x].name.as_str());
        assert_eq!(rows, [(x, 2, 1, 0), (o, 0, 0, 1)], "{}\n{}", self.case, self.last());
    }

    pub(super) fn check_boards(&self) {
        let names = [self.x, 1 - self.x].map(|number| &self.windows[number].name);
        self.windows.iter().for_each(|window| window.check(&self.case, names));
    }

    /// Types something that is to be done.
    async fn done(&mut self, number: usize, typed: Typed) -> Reply {
        let reply = self.ask(number, typed).await;
        assert!(reply.ok, "{}: {reply:?}\n{}", self.case, self.last());
        reply
    }

    async fn ask(&mut self, number: usize, typed: Typed) -> Reply {
        let (from, word) = (self.windows[number].shown.len(), typed.word());
        self.windows[number].type_in(typed).await;
        self.until(&format!("the reply to {word} at {number}"), |windows| windows[number].reply(from, word)).await
    }

    /// Waits until `look` finds something in what was shown.
    pub(super) async fn until<T>(&mut self, what: &str, mut look: impl FnMut(&[Window; 2]) -> Option<T>) -> T {
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            if let Some(found) = look(&self.windows) {
                return found;
            }
            let [one, other] = &mut self.windows;
            tokio::select! {
                () = one.hear() => {}
                () = other.hear() => {}
                () = &mut patience => panic!("{}: waited for {what}\n{}", self.case, self.last()),
            }
        }
    }

    /// What happened last, everywhere.
    fn last(&self) -> String {
        let mut text = String::new();
        for window in &self.windows {
            let from = window.shown.len().saturating_sub(LAST_EVENTS);
            let events: String = window.shown[from..].iter().map(|event| format!("    {event:?}\n")).collect();
            text += &format!("  {} was shown at last:\n{events}", window.name);
        }
        let log = self.server.log.text();
        let mut lines: Vec<&str> = log.lines().filter(|line| line.contains("event=")).rev().take(LAST_LINES).collect();
        lines.reverse();
        text + "  the server has logged at last:\n    " + &lines.join("\n    ")
    }
}

/// Copies the files of a directory to another disk.
fn carry(from: &FaultyDisk, to: &FaultyDisk, dir: &Path) {
    to.create_dir(dir).unwrap();
    for path in from.list(dir).unwrap() {
        let mut file = to.create(&path).unwrap();
        file.append(&from.read(&path).unwrap()).unwrap();
        file.sync().unwrap();
    }
    to.sync_dir(dir).unwrap();
}
