//! Orders and numbers of events that sockets give too rarely to wait for: the engine itself, fed by hand.

use rejoin::model::engine::{Effect, Engine, Hashed, Input, JobId, Settings};
use rejoin::model::event::LinkEnd;
use rejoin::model::fact::Fact;
use rejoin::model::games::GameSpec;
use rejoin::model::id::{Boot, ConnId, InviteId, Lsn, Name, RequestSeq, Run, SessionId, UserId};
use rejoin::model::key::{SecretKey, ServerId, Signature};
use rejoin::model::limits::FRAME_BYTES_MAX;
use rejoin::model::message::{Answer, Command, ResumeRequest, ToClient, UserState, View};
use rejoin::model::password::{Password, PasswordHash};
use rejoin::model::refusal::Refusal;
use rejoin::model::replay::Replay;
use rejoin::model::state::State;
use rejoin::model::time::{Now, WallMs};
use rejoin::wire::{self, HEADER_BYTES};

use crate::rig::{PASSWORD, login};

/// An engine whose disk is as fast as thought.
struct Fed {
    engine: Engine,
    sent: Vec<(ConnId, ToClient)>,
    jobs: Vec<JobId>,
}

impl Fed {
    fn new(facts: &[Fact]) -> Self {
        let mut state = State::default();
        facts.iter().for_each(|fact| state.apply(fact).unwrap());
        let server = ServerId([1; 32]);
        let engine = Engine::new(Settings::default(), server, state, Lsn(facts.len() as u64), [0; 32]);
        let mut fed = Self { engine, sent: Vec::new(), jobs: Vec::new() };
        fed.feed(Input::Booted(Boot { number: 1, nonce: 1 }));
        fed
    }

    fn feed(&mut self, input: Input) {
        self.engine.handle(Now(0), WallMs(0), input);
        loop {
            let Some(effect) = self.engine.poll_effect() else {
                let (appended, flushed) = self.engine.lsns();
                if appended == flushed {
                    return;
                }
                self.engine.handle(Now(0), WallMs(0), Input::Flushed(appended));
                continue;
            };
            if let Effect::Send { conn, message } = effect {
                self.sent.push((conn, *message));
            } else if let Effect::Hash { job, .. } = effect {
                self.jobs.push(job);
            }
        }
    }

    fn open(&mut self, conn: u64) -> ConnId {
        let conn = ConnId(conn);
        self.feed(Input::Opened { conn, ip: [127, 0, 0, 1].into(), run: Run(conn.0) });
        conn
    }

    fn request(&mut self, conn: ConnId, seq: u64, command: Command) {
        self.feed(Input::Request { conn, seq: RequestSeq(seq), command });
    }

    fn resume(&mut self, conn: ConnId, user: u16) {
        let request = ResumeRequest { session: session(user), signature: Signature::EMPTY, seen: Default::default() };
        self.feed(Input::Resume { conn, request });
    }

    fn hashed(&mut self, done: Hashed) {
        let job = self.jobs.remove(0);
        self.feed(Input::Hashed { job, done });
    }

    fn view(&self, conn: ConnId) -> Option<View> {
        let mine = self.sent.iter().filter(|(to, _)| *to == conn);
        let view = |said: &ToClient| if let ToClient::Live(view) = said { Some((**view).clone()) } else { None };
        mine.filter_map(|(_, said)| view(said)).next_back()
    }

    fn users(&mut self, conn: ConnId) -> Vec<(String, UserState)> {
        self.request(conn, 99, Command::List);
        let Some((_, ToClient::Answer { result: Ok(Answer::Users { rows, .. }), .. })) = self.sent.last() else {
            panic!("{:?}", self.sent.last())
        };
        rows.iter().map(|row| (row.name.to_string(), row.state)).collect()
    }
}

fn user(number: u16) -> UserId {
    let [high, low] = number.to_be_bytes();
    let mut id = [0; 16];
    (id[0], id[1]) = (high, low);
    UserId(id)
}

fn session(number: u16) -> SessionId {
    SessionId(user(number).0)
}

fn name(number: u16) -> Name {
    Name::new(&format!("a-name-as-long-as-it-may-be-{number:04}")).unwrap()
}

/// An account that is logged in.
fn player(number: u16) -> [Fact; 2] {
    let (password, at) = (PasswordHash::new("hash".to_owned()), WallMs(0));
    let device = SecretKey::from_seed(&[9; 32]).public();
    [
        Fact::AccountAdded { user: user(number), name: name(number), password, origin: None, points: 0, at },
        Fact::LoggedIn { session: session(number), user: user(number), device, at },
    ]
}

fn players(count: u16) -> Vec<Fact> {
    (0..count).flat_map(player).collect()
}

#[test]
fn a_login_that_comes_while_a_resume_is_checked_leaves_one_user_on_the_connection() {
    let device = SecretKey::from_seed(&[9; 32]).public();
    let mut fed = Fed::new(&players(3));
    let (conn, watcher) = (fed.open(1), fed.open(2));
    fed.request(conn, 1, login(name(1).as_str(), PASSWORD, device));
    fed.resume(conn, 0);
    fed.hashed(Hashed::Right);
    fed.feed(Input::ResumeChecked { conn, good: true });
    assert_eq!(fed.view(conn).unwrap().user, user(1));
    let refused = ToClient::ResumeRefused(Refusal::AlreadyLoggedIn);
    assert!(fed.sent.contains(&(conn, refused)), "{:?}", fed.sent);

    fed.feed(Input::Closed { conn, end: LinkEnd::Closed });
    fed.resume(watcher, 2);
    fed.feed(Input::ResumeChecked { conn: watcher, good: true });
    let states: Vec<UserState> = fed.users(watcher).into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [UserState::Free, UserState::Away, UserState::Away], "nobody is there who has no link");
}

#[test]
fn a_password_is_not_changed_for_whoever_has_the_connection_next() {
    let mut fed = Fed::new(&players(2));
    let conn = fed.open(1);
    fed.resume(conn, 0);
    fed.feed(Input::ResumeChecked { conn, good: true });
    let (old, new) = (Password::new(PASSWORD).unwrap(), Password::new("mine from now on").unwrap());
    fed.request(conn, 1, Command::Passwd { old, new });
    fed.request(conn, 2, Command::Logout);
    fed.resume(conn, 1);
    fed.feed(Input::ResumeChecked { conn, good: true });
    fed.hashed(Hashed::Made(PasswordHash::new("another".to_owned())));
    let refused = ToClient::Answer { seq: RequestSeq(1), result: Err(Refusal::NotLoggedIn) };
    assert_eq!(fed.sent.last(), Some(&(conn, refused)));
    let hash = |number| fed.engine.state().account(user(number)).unwrap().password.expose().to_owned();
    assert_eq!([hash(0), hash(1)], ["hash", "hash"]);
}

#[test]
fn whoever_is_invited_by_everybody_can_still_log_in() {
    let crowd = 2_000;
    let mut facts = players(crowd);
    let (game, key) = (GameSpec::named("tictactoe").unwrap(), SecretKey::from_seed(&[9; 32]).public());
    for from in 1..crowd {
        let (invite, game) = (InviteId(user(from).0), game.clone());
        facts.push(Fact::Invited { invite, from: user(from), to: user(0), game, key, resume: None });
    }
    let mut fed = Fed::new(&facts);
    let conn = fed.open(1);
    fed.resume(conn, 0);
    fed.feed(Input::ResumeChecked { conn, good: true });
    let view = fed.view(conn).unwrap();
    assert!(!view.invites.is_empty());
    let frame = wire::encode(&ToClient::Live(Box::new(view)));
    assert!(frame.len() <= HEADER_BYTES + FRAME_BYTES_MAX, "a view of {} bytes is no frame", frame.len());
    fed.users(conn);
    fed.request(conn, 3, Command::Leaders);
    for (_, said) in &fed.sent {
        assert!(wire::encode(said).len() <= HEADER_BYTES + FRAME_BYTES_MAX);
    }
}
