//! Bots that play whole games through the model's real engine and players.
#![allow(clippy::unwrap_used, reason = "a failed test should panic")]

use std::sync::Arc;

use super::*;
use crate::model::password::Password;
use crate::model::statement::Fared;
use crate::model::world::World;
use crate::ops::host::{HostClock, HostEntropy};

const THINK: Duration = Duration::from_millis(7);

#[test]
fn it_makes_its_account_and_logs_in_whatever_has_to_be_waited_for() {
    let mut brain = brain(true);
    assert_eq!(words(&brain.on(&live(), None).unwrap()), ["adduser"]);
    assert_eq!(brain.on(&live(), None).unwrap(), [], "asked once");
    let waits = brain.on(&refused("adduser", "busy"), None).unwrap();
    assert_eq!(waits, [brain.add_user(RETRY_AFTER)]);
    assert_eq!(words(&brain.on(&refused("adduser", "user-exists"), None).unwrap()), ["login"]);
    let waits = brain.on(&refused("login", "logged-in-elsewhere"), None).unwrap();
    assert_eq!(waits, [brain.log_in(RETRY_AFTER)]);
    assert_eq!(brain.on(&done("login"), None).unwrap(), []);
    assert_eq!(brain.on(&live(), Some("bot")).unwrap(), [], "logged in");
    let ended = Event::Notice { code: "session-ended", text: String::new() };
    assert_eq!(brain.on(&ended, None).unwrap(), []);
    assert_eq!(words(&brain.on(&live(), Some("bot")).unwrap()), ["login"], "whatever an older status says");
}

#[test]
fn a_session_from_before_is_used() {
    let mut brain = brain(true);
    assert_eq!(brain.on(&live(), Some("BOT")).unwrap(), []);
}

#[test]
fn what_waiting_does_not_mend_ends_it() {
    for (command, error) in [("login", "wrong-password"), ("login", "user-in-use"), ("adduser", "bad-password")] {
        let ended = brain(true).on(&refused(command, error), None).unwrap_err();
        assert!(matches!(ended, BotError::Refused { error: why, .. } if why == error), "{ended}");
    }
    let notice = Event::Notice { code: "superseded", text: String::new() };
    assert!(matches!(brain(false).on(&notice, None), Err(BotError::Superseded(_))));
}

#[test]
fn every_invitation_is_accepted_at_once_or_after_the_match() {
    let mut brain = brain(false);
    assert_eq!(brain.on(&invited("alice"), None).unwrap(), [accept("alice").unwrap()]);
    brain.on(&sits("m1", "X", "alice", "tictactoe"), None).unwrap();
    brain.on(&invited("bob"), None).unwrap();
    brain.on(&invited("carol"), None).unwrap();
    assert_eq!(brain.on(&refused("accept", "in-match"), None).unwrap(), []);
    let closed = Event::InviteClosed { with: "bob".to_owned(), why: "gone".to_owned() };
    brain.on(&closed, None).unwrap();
    assert_eq!(words(&brain.on(&result("m1", false), None).unwrap()), ["report"], "not over for the server yet");
    let after = brain.on(&result("m1", true), None).unwrap();
    assert_eq!(after[0], accept("carol").unwrap());
    let Step::Report(played) = &after[1] else { panic!("{after:?}") };
    assert_eq!((played.opponent.as_deref(), played.recorded), (Some("alice"), true));
}

#[test]
fn it_plays_from_any_board_without_having_seen_the_moves() {
    for (game, moves, want) in [
        // X has two in a row and wins.
        ("tictactoe", vec![[1, 1], [2, 1], [1, 2], [2, 2]], Some(["1", "3"])),
        // Three in a column of connect4, with gravity.
        ("connect4", vec![[6, 1], [6, 2], [5, 1], [5, 2], [4, 1], [4, 2]], Some(["3", "1"])),
        ("gomoku", vec![], None),
    ] {
        let mut brain = brain(false);
        brain.on(&sits("m1", "X", "alice", game), None).unwrap();
        assert_eq!(brain.play(), None, "no board was shown yet");
        let steps = brain.on(&board("m1", Some("X"), &moves), None).unwrap();
        assert_eq!(steps, [Step::Think { after: THINK }]);
        let Some(Typed::Send(cell)) = brain.play() else { panic!("no move in {game}") };
        assert!(want.is_none_or(|want| cell == want), "{game}: {cell:?}");
    }
}

#[test]
fn a_move_is_chosen_only_on_the_own_turn_of_the_newest_board() {
    let mut brain = brain(false);
    brain.on(&sits("m1", "O", "alice", "tictactoe"), None).unwrap();
    assert_eq!(brain.on(&board("m1", Some("X"), &[]), None).unwrap(), []);
    assert_eq!(brain.play(), None);
    brain.on(&board("m1", Some("O"), &[[2, 2]]), None).unwrap();
    assert!(brain.play().is_some());
    brain.on(&board("m2", Some("X"), &[]), None).unwrap();
    assert!(brain.play().is_some(), "the board of another match");
    brain.on(&board("m1", Some("X"), &[[2, 2], [1, 1]]), None).unwrap();
    assert_eq!(brain.play(), None, "a late thought of a position gone by");
    brain.on(&board("m1", None, &[]), None).unwrap();
    assert_eq!(brain.play(), None, "the game is over");
}

#[test]
fn a_move_that_could_not_be_signed_is_tried_again_and_an_impossible_match_left() {
    let mut brain = brain(false);
    brain.on(&sits("m1", "X", "alice", "tictactoe"), None).unwrap();
    brain.on(&board("m1", Some("X"), &[]), None).unwrap();
    let again = brain.on(&refused("send", "nobody-reached"), None).unwrap();
    assert_eq!(again, [Step::Think { after: MOVE_RETRY_AFTER }]);
    assert_eq!(words(&brain.on(&refused("send", "other-device"), None).unwrap()), ["leave"]);
    brain.on(&board("m1", Some("O"), &[[1, 1]]), None).unwrap();
    assert_eq!(brain.on(&refused("send", "not-your-turn"), None).unwrap(), []);
}

#[test]
fn two_bots_play_to_the_end_whoever_dies_on_the_way() {
    for victim in [Victim::Nobody, Victim::Server, Victim::Client(0), Victim::Client(1)] {
        let mut world = World::new(1, 2);
        world.log_in_all();
        let mut bots = [Bot::new("p0"), Bot::new("p1")];
        bots.iter_mut().enumerate().for_each(|(number, bot)| bot.read(&mut world, number));
        let game = GameSpec::named("tictactoe").unwrap();
        world.type_in(0, Typed::Begin(Name::new("p1").unwrap(), game));
        for round in 0..40 {
            world.settle();
            if round == 5 {
                let plies = world.clients[0].player.table().unwrap().evidence.chain.plies();
                assert!((2..8).contains(&plies), "in mid-game: {plies}");
                match victim {
                    Victim::Nobody => {}
                    Victim::Server => {
                        world.kill_server();
                        world.start_server();
                    }
                    Victim::Client(number) => {
                        // A new process knows nothing but what it is shown from here on.
                        let (read, results) = (world.clients[number].shown.len(), Vec::new());
                        assert_eq!(bots[number].results, [], "in mid-game");
                        bots[number] = Bot { read, results, ..Bot::new(&format!("p{number}")) };
                        world.restart_client(number);
                    }
                }
                world.settle();
            }
            bots.iter_mut().enumerate().for_each(|(number, bot)| bot.read(&mut world, number));
        }
        for bot in &bots {
            let recorded: Vec<Fared> = bot.results.iter().filter(|r| r.recorded).map(|r| r.outcome).collect();
            assert_eq!(recorded, [Fared::Draw], "{victim:?}: both play perfectly");
        }
        assert!(world.recovered().accounts().all(|account| account.points() == 1), "{victim:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Victim {
    Nobody,
    Server,
    Client(usize),
}

/// A brain at a client of the world.
struct Bot {
    brain: Brain,
    read: usize,
    results: Vec<Played>,
}

impl Bot {
    fn new(name: &str) -> Self {
        let options = Options { user: Name::new(name).unwrap(), ..brain(false).options };
        Self { brain: Brain::new(options), read: 0, results: Vec::new() }
    }

    /// Reads what was shown and does at once what follows.
    fn read(&mut self, world: &mut World, number: usize) {
        let user = world.clients[number].player.status(world.now).user;
        let news = world.clients[number].shown.split_off(self.read);
        world.clients[number].shown.extend(news.iter().cloned());
        self.read += news.len();
        for event in news {
            for step in self.brain.on(&event, user.as_deref()).unwrap() {
                match step {
                    Step::Type { typed, .. } => world.type_in(number, typed),
                    Step::Think { .. } => {
                        if let Some(typed) = self.brain.play() {
                            world.type_in(number, typed);
                        }
                    }
                    Step::Report(played) => self.results.push(played),
                }
            }
        }
    }
}

fn brain(make_account: bool) -> Brain {
    Brain::new(Options {
        user: Name::new("bot").unwrap(),
        password: Password::new("password").unwrap(),
        make_account,
        think: THINK,
        clock: Arc::new(HostClock::start()),
        entropy: Arc::new(HostEntropy),
    })
}

fn words(steps: &[Step]) -> Vec<&'static str> {
    let word = |step: &Step| match step {
        Step::Type { typed, .. } => typed.word(),
        Step::Think { .. } => "think",
        Step::Report(_) => "report",
    };
    steps.iter().map(word).collect()
}

fn live() -> Event {
    Event::Link { state: LinkState::Live, outage_ms: None, attempts: None }
}

fn done(command: &str) -> Event {
    Event::Reply(Reply::done(command))
}

fn refused(command: &str, error: &'static str) -> Event {
    Event::Reply(Reply::refused(command, error, "a reason"))
}

fn invited(by: &str) -> Event {
    Event::Invited { by: by.to_owned(), game: "tictactoe".to_owned(), resumes: false }
}

fn sits(match_id: &str, you: &str, opponent: &str, game: &str) -> Event {
    let [match_id, you, opponent, game] = [match_id, you, opponent, game].map(str::to_owned);
    Event::Match { match_id, you, opponent, game }
}

fn board(match_id: &str, turn: Option<&str>, moves: &[[u16; 2]]) -> Event {
    let ply = u16::try_from(moves.len()).unwrap();
    let (match_id, turn) = (match_id.to_owned(), turn.map(str::to_owned));
    Event::Board { match_id, ply, turn, rows: Vec::new(), moves: moves.to_vec() }
}

fn result(match_id: &str, recorded: bool) -> Event {
    Event::Result {
        match_id: match_id.to_owned(),
        outcome: Fared::Win,
        why: "board".to_owned(),
        agreed: true,
        recorded,
    }
}
