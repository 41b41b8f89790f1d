//! Players: `rejoin play --json` over pipes, alone and two at a board.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::channel;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::heard::Heard;
use super::server::{Server, program};
use crate::rig::Announced;

/// Everybody's password unless a test is about passwords.
pub(crate) const PASSWORD: &str = "correct-horse";
/// A game of tic-tac-toe that X wins with the fifth move.
pub(crate) const X_WINS: [(u16, u16); 5] = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];

/// A client's process. It ends with the test, also when that fails.
pub(crate) struct Player {
    pub(crate) name: String,
    child: Child,
    input: Option<ChildStdin>,
    pub(crate) heard: Heard<Value>,
    address: String,
    pub(crate) state: PathBuf,
}

impl Player {
    /// A new player, with an account and logged in.
    pub(crate) fn join(server: &Server, name: &str) -> Self {
        let mut player = Self::open(server, name);
        player.done(&format!("adduser {name} {PASSWORD}"));
        player.done(&format!("login {name} {PASSWORD}"));
        player
    }

    /// As [`join`](Self::join), with its address kept from opponents.
    pub(crate) fn join_privately(server: &Server, name: &str) -> Self {
        let state = server.dir.join("clients").join(name);
        let mut player = Self::start_with(name, server.address(), state, &["--direct", "off"]);
        player.live();
        player.done(&format!("adduser {name} {PASSWORD}"));
        player.done(&format!("login {name} {PASSWORD}"));
        player
    }

    /// A client that has reached the server, with files of its own.
    pub(crate) fn open(server: &Server, device: &str) -> Self {
        let mut player = Self::start(device, server.address(), server.dir.join("clients").join(device));
        player.live();
        player
    }

    /// The program as it starts.
    pub(crate) fn start(name: &str, address: String, state: PathBuf) -> Self {
        Self::start_with(name, address, state, &[])
    }

    fn start_with(name: &str, address: String, state: PathBuf, flags: &[&str]) -> Self {
        std::fs::create_dir_all(&state).unwrap();
        let mut command = program();
        command.args(["play", "--json", "--server", &address, "--state"]).arg(&state).args(flags).current_dir(&state);
        let errors = File::create(state.join("errors")).unwrap();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let (events, heard) = channel();
        std::thread::spawn(move || {
            // A process that was killed may leave half a line. The test may have ended.
            let parsed = said.lines().map_while(Result::ok).map_while(|line| serde_json::from_str(&line).ok());
            parsed.for_each(|event| drop(events.send(event)));
        });
        let input = child.stdin.take();
        Self { name: name.to_owned(), child, input, heard: Heard::new(heard), address, state }
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it is closed only at the end");
        writeln!(input, "{line}").unwrap_or_else(|error| panic!("{} cannot be told {line:?}: {error}", self.name));
    }

    /// Types a line and waits for what came of it.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        let from = self.heard.count();
        self.say(line);
        let word = line.split_whitespace().next().unwrap();
        self.heard.until_from(from, line, |event| is_reply(event, word).then(|| event.clone()))
    }

    /// Types a line that must do what it says.
    pub(crate) fn done(&mut self, line: &str) -> Value {
        let reply = self.ask(line);
        assert_eq!(reply["ok"], true, "{}: {line}: {reply}", self.name);
        reply
    }

    /// Types a line that must be refused; the stable word.
    pub(crate) fn refused(&mut self, line: &str) -> String {
        let reply = self.ask(line);
        assert_eq!(reply["ok"], false, "{}: {line}: {reply}", self.name);
        let sentence = reply["message"].as_str().expect("with a sentence");
        assert!(sentence.contains(' '), "{sentence}");
        reply["error"].as_str().expect("with a reason").to_owned()
    }

    /// Waits for an event whose fields are these.
    pub(crate) fn until(&mut self, fields: &[(&str, Value)]) -> Value {
        let fits = |event: &Value| fields.iter().all(|(name, value)| event[name] == *value).then(|| event.clone());
        self.heard.until(&format!("{}: {fields:?}", self.name), fits)
    }

    pub(crate) fn link(&mut self, state: &str) -> Value {
        self.until(&[("event", "link".into()), ("state", state.into())])
    }

    pub(crate) fn live(&mut self) -> Value {
        self.link("live")
    }

    pub(crate) fn opponent(&mut self, state: &str) {
        self.until(&[("event", "opponent".into()), ("state", state.into())]);
    }

    /// What `list` says of each.
    pub(crate) fn list(&mut self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let reply = self.done("list");
        reply["users"].as_array().unwrap().iter().map(|row| (text(&row["name"]), text(&row["state"]))).collect()
    }

    /// What `list` says of one.
    pub(crate) fn state_of(&mut self, name: &str) -> Option<String> {
        self.list().into_iter().find(|(known, _)| known == name).map(|(_, state)| state)
    }

    /// Points, wins, draws and losses in `leaders`.
    pub(crate) fn score_of(&mut self, name: &str) -> [u64; 4] {
        let reply = self.done("leaders");
        let row = reply["rows"].as_array().unwrap().iter().find(|row| row["name"] == name).expect("everybody is there");
        ["points", "wins", "draws", "losses"].map(|column| row[column].as_u64().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the program again with the same files.
    pub(crate) fn start_again(&mut self) {
        *self = Self::start(&self.name, self.address.clone(), self.state.clone());
    }

    /// Closes the input: the program must end well, with nothing to complain about.
    pub(crate) fn leave(mut self) {
        self.input = None;
        let status = self.child.wait().unwrap();
        let errors = std::fs::read_to_string(self.state.join("errors")).unwrap();
        assert!(status.success() && errors.is_empty(), "{} ended with {status}: {errors}", self.name);
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let announced = Announced::default();
        announced.check_files(&self.state);
        announced.check(std::fs::read_to_string(self.state.join("errors")).unwrap_or_default().lines());
    }
}

/// Two players in a match.
pub(crate) struct Pair {
    /// X and O.
    pub(crate) seats: [Player; 2],
    pub(crate) match_id: String,
    pub(crate) plies: u16,
}

impl Pair {
    /// Alice invites bob, and he accepts.
    pub(crate) fn join(server: &Server) -> Self {
        Self::seated(Player::join(server, "alice"), Player::join(server, "bob"), "begin bob")
    }

    /// One invites with these words, and the other accepts.
    pub(crate) fn seated(mut one: Player, mut other: Player, words: &str) -> Self {
        one.heard.forget();
        other.heard.forget();
        one.done(words);
        other.until(&[("event", "invited".into()), ("by", one.name.as_str().into())]);
        other.done("accept");
        let [mine, theirs] = [&mut one, &mut other].map(|player| player.until(&[("event", "match".into())]));
        assert_eq!(mine["match"], theirs["match"]);
        let match_id = mine["match"].as_str().unwrap().to_owned();
        let seats = match [&mine, &theirs].map(|seen| seen["you"].as_str().unwrap()) {
            ["X", "O"] => [one, other],
            ["O", "X"] => [other, one],
            both => panic!("two seats are {both:?}"),
        };
        Self { seats, match_id, plies: 0 }
    }

    /// Plays moves, each seen on both boards before the next.
    pub(crate) fn play(&mut self, moves: &[(u16, u16)]) {
        for &(row, col) in moves {
            let mover = &mut self.seats[usize::from(self.plies % 2)];
            mover.done(&format!("send {row} {col}"));
            self.plies += 1;
            self.see_board();
        }
    }

    /// Waits until both see the board as it is.
    pub(crate) fn see_board(&mut self) {
        let (match_id, plies) = (self.match_id.as_str(), self.plies);
        let fields = [("event", "board".into()), ("match", match_id.into()), ("ply", plies.into())];
        let [x, o] = self.seats.each_mut().map(|player| player.until(&fields));
        assert_eq!(x, o, "both see the same");
    }

    /// Waits until the verdict is recorded; how it is for X and for O, and why.
    pub(crate) fn result(&mut self) -> [(String, String); 2] {
        let fields = [("event", "result".into()), ("match", self.match_id.as_str().into()), ("recorded", true.into())];
        self.seats.each_mut().map(|player| {
            let result = player.until(&fields);
            let outcomes = player.heard.since().iter().filter(|event| event["event"] == "result");
            let same = outcomes.filter(|event| event["match"] == result["match"]);
            same.for_each(|event| assert_eq!(event["outcome"], result["outcome"], "a shown result never changes"));
            (result["outcome"].as_str().unwrap().to_owned(), result["why"].as_str().unwrap().to_owned())
        })
    }

    /// That X has won on the board, for both.
    pub(crate) fn x_has_won(&mut self) {
        assert_eq!(self.result(), [says("win", "board"), says("loss", "board")]);
    }

    /// Types `forget` for both: what follows is news.
    pub(crate) fn forget(&mut self) {
        self.seats.iter_mut().for_each(|player| player.heard.forget());
    }

    /// Waits until both have a link again.
    pub(crate) fn both_live(&mut self) {
        self.seats.iter_mut().for_each(|player| drop(player.live()));
    }

    /// The seat of a player, and the other's.
    pub(crate) fn of(&mut self, name: &str) -> [&mut Player; 2] {
        let [x, o] = &mut self.seats;
        if x.name == name { [x, o] } else { [o, x] }
    }

    /// Both programs end well.
    pub(crate) fn leave(self) {
        self.seats.into_iter().for_each(Player::leave);
    }
}

/// An outcome and its reason.
pub(crate) fn says(outcome: &str, why: &str) -> (String, String) {
    (outcome.to_owned(), why.to_owned())
}

/// A new place for a server and its clients.
pub(crate) fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn is_reply(event: &Value, word: &str) -> bool {
    event["event"] == "reply" && event["command"] == word
}
